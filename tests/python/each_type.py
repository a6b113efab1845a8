"""What every shared type does for a CPython client of a multiproc server. Arguments: the address, the key, and the Python whose server it is like."""

import array
import collections
import dataclasses
import gc
import multiprocessing
import os
import queue
import sys
import threading
import time
from multiprocessing.managers import BaseManager, RemoteError, SyncManager


@dataclasses.dataclass
class Point:
    x: int
    y: list


def raises(kind, text, call, *args, **kwargs):
    try:
        result = call(*args, **kwargs)
    except BaseException as error:
        assert type(error) is kind, f"{type(error)}: {error}, not {kind}"
        assert text is None or str(error) == text, f"{error!s:.200} is not {text}"
        return error
    raise AssertionError(f"returned {result!r}, and did not raise {kind}")


def dicts(m):
    d = m.dict({"a": 1}, b=[2, 3])
    assert type(d).__name__ == "DictProxy" and str(d) == "{'a': 1, 'b': [2, 3]}", str(d)
    assert repr(d).startswith("<DictProxy object, typeid 'dict' at 0x"), repr(d)
    assert d["a"] == 1 and d.get("b") == [2, 3] and d.get("c") is None and d.get("c", 7) == 7
    raises(KeyError, "'c'", d.__getitem__, "c")
    assert raises(KeyError, None, d.__getitem__, (1, "x")).args == ((1, "x"),)
    raises(TypeError, "unhashable type: 'list'", d.__setitem__, [], 1)
    d[2.5] = None
    d[(1, None)] = {"deep": {1, 2}}
    assert len(d) == 4 and 2.5 in d and 2 not in d
    assert list(d) == ["a", "b", 2.5, (1, None)]
    assert d.keys() == ["a", "b", 2.5, (1, None)] and d.values()[3] == {"deep": {1, 2}}
    assert d.items()[0] == ("a", 1)
    assert d.pop("a") == 1 and d.pop("a", "none") == "none"
    raises(KeyError, "'a'", d.pop, "a")
    assert d.setdefault("b", 9) == [2, 3] and d.setdefault("n") is None
    assert d.popitem() == ("n", None)
    d.update([("x", 1)], y=2)
    d.update({"z": Point(1, [2])})
    assert d["z"] == Point(1, [2]) and d.copy()["z"] == Point(1, [2]) and type(d.copy()) is dict
    del d["x"]
    raises(KeyError, "'x'", d.__delitem__, "x")
    assert d._getvalue() == {"b": [2, 3], 2.5: None, (1, None): {"deep": {1, 2}}, "y": 2, "z": Point(1, [2])}
    d.clear()
    raises(KeyError, "'popitem(): dictionary is empty'", d.popitem)
    raises(TypeError, None, d.update, 5)
    d[1] = "one"
    assert d[True] == d[1.0] == "one"
    for large in [b"\xff\0" * (1 << 20), "\u20ac" * (1 << 20), [b"x" * (1 << 20), 1]]:
        d["large"] = large
        assert d["large"] == d.get("large") == d.copy()["large"] == large and d.setdefault("large", 1) == large
        assert d.pop("large") == large and "large" not in d
    assert m.dict([(1, 2)], **{"k": 3})._getvalue() == {1: 2, "k": 3}
    raises(RemoteError, None, m.dict, 5)
    raises(RemoteError, None, d._callmethod, "no_such_method")


def lists(m):
    l = m.list(range(5))
    assert str(l) == "[0, 1, 2, 3, 4]" and len(l) == 5 and l[-1] == 4 and l[1:3] == [1, 2] and l[::-2] == [4, 2, 0]
    raises(IndexError, "list index out of range", l.__getitem__, 5)
    raises(IndexError, "list assignment index out of range", l.__setitem__, 5, 0)
    raises(IndexError, "list assignment index out of range", l.__delitem__, 5)
    raises(TypeError, "list indices must be integers or slices, not str", l.__getitem__, "a")
    raises(ValueError, "slice step cannot be zero", l.__getitem__, slice(None, None, 0))
    l[0] = "zero"
    l[1:3] = (10, 20, 30)
    assert l._getvalue() == ["zero", 10, 20, 30, 3, 4]
    l[::2] = "abc"
    assert l[:] == ["a", 10, "b", 30, "c", 4]
    raises(ValueError, "attempt to assign sequence of size 1 to extended slice of size 3", l.__setitem__, slice(None, None, 2), [1])
    del l[0], l[1:3]
    assert l[:] == [10, "c", 4]
    l.append(None)
    l.extend({"k": 1})
    l.extend("xy")
    l.insert(-100, "first")
    assert l[:] == ["first", 10, "c", 4, None, "k", "x", "y"]
    assert l.pop() == "y" and l.pop(0) == "first" and l.count(4) == 1 and l.index("c") == 1
    raises(ValueError, "'q' is not in list", l.index, "q")
    raises(ValueError, "list.remove(x): x not in list", l.remove, "q")
    raises(IndexError, "pop index out of range", l.pop, 99)
    raises(IndexError, "pop from empty list", m.list().pop)
    raises(TypeError, "'int' object is not iterable", l.extend, 5)
    l.remove(None)
    l.reverse()
    assert l[:] == ["x", "k", 4, "c", 10] and list(l) == l[:] and list(reversed(l)) == [10, "c", 4, "k", "x"]
    raises(TypeError, None, l.sort)
    n = m.list([3, 1.5, True, 2])
    n.sort()
    assert n[:] == [True, 1.5, 2, 3]
    n.sort(reverse=True)
    assert n + [0] == [3, 2, 1.5, True, 0] and n * 2 == n[:] * 2 and 2 * n == n[:] * 2
    n += [7]
    assert type(n).__name__ == "ListProxy" and n[-1] == 7
    n *= 2
    assert type(n).__name__ == "ListProxy" and len(n) == 10 and 1.5 in n and 9 not in n
    n.extend(m.list([8]))
    assert n[-1] == 8
    big = b"\xff\0" * (8 << 20)
    n.append(big)
    assert n[-1] == big
    raises(RemoteError, None, m.list, 5)


def queues(m, minor):
    for q in [m.Queue(2), m.JoinableQueue(2)]:
        assert type(q).__name__ == "AutoProxy[Queue]" or type(q).__name__ == "AutoProxy[JoinableQueue]"
        assert q.empty() and not q.full() and q.qsize() == 0
        raises(queue.Empty, None, q.get_nowait)
        raises(queue.Empty, None, q.get, False)
        raises(queue.Empty, None, q.get, timeout=0.05)
        raises(ValueError, "'timeout' must be a non-negative number", q.get, True, -1)
        q.put(1)
        q.put(item=Point(1, []), block=True)
        raises(queue.Full, None, q.put_nowait, 3)
        raises(queue.Full, None, q.put, 3, True, 0.05)
        assert q.full() and q.get() == 1 and q.get(timeout=5) == Point(1, [])
        q.task_done()
        q.task_done()
        raises(ValueError, "task_done() called too many times", q.task_done)
        q.join()
        threading.Timer(0.2, q.put, ["late"]).start()
        assert q.get(timeout=20) == "late"
        raises(RemoteError, None, q._getvalue)
    if minor >= 13:
        q.put("last")
        q.shutdown()
        raises(queue.ShutDown, None, q.put, 1)
        assert q.get() == "last"
        raises(queue.ShutDown, None, q.get)


def in_thread(call, *args):
    out = []
    thread = threading.Thread(target=lambda: out.append(call(*args)))
    thread.start()
    thread.join(30)
    return out[0]


def locks(m):
    lock = m.Lock()
    with lock:
        assert not in_thread(lock.acquire, False) and not in_thread(lock.acquire, True, 0.05)
    raises(RuntimeError, "release unlocked lock", lock.release)
    raises(ValueError, "can't specify a timeout for a non-blocking call", lock.acquire, False, 1)
    raises(ValueError, None, lock.acquire, True, -2)
    assert lock.acquire(timeout=5) is True
    in_thread(lock.release)  # by another connection
    assert lock.acquire()
    threading.Timer(0.2, lock.release).start()
    assert lock.acquire(True, 20)
    rlock = m.RLock()
    assert rlock.acquire() and rlock.acquire()
    assert not in_thread(rlock.acquire, False)
    raises(RuntimeError, "cannot release un-acquired lock", in_thread_raising, rlock.release)
    rlock.release()
    rlock.release()
    raises(RuntimeError, "cannot release un-acquired lock", rlock.release)
    semaphore = m.Semaphore(2)
    assert semaphore.acquire() and semaphore.acquire() and not semaphore.acquire(False)
    in_thread(semaphore.release)
    semaphore.release()
    semaphore._callmethod("release", (1,))
    assert all(semaphore.acquire(False) for _ in range(3)) and not semaphore.acquire(True, 0.05)
    raises(ValueError, "n must be one or more", semaphore._callmethod, "release", (0,))
    raises(ValueError, "can't specify timeout for non-blocking acquire", semaphore.acquire, False, 1)
    bounded = m.BoundedSemaphore(1)
    bounded.acquire()
    bounded.release()
    raises(ValueError, "Semaphore released too many times", bounded.release)
    raises(RemoteError, None, m.Semaphore, -1)
    condition = m.Condition()
    raises(RuntimeError, "cannot wait on un-acquired lock", condition.wait)
    raises(RuntimeError, "cannot notify on un-acquired lock", condition.notify)
    with condition:
        assert condition.wait(0.05) is False
        state = []

        def change():
            with condition:
                state.append(1)
                condition.notify_all()

        threading.Timer(0.2, change).start()
        assert condition.wait_for(lambda: state, 20)
    raises(RuntimeError, "cannot release un-acquired lock", condition.release)


def in_thread_raising(call):
    out = []

    def run():
        try:
            call()
        except BaseException as error:
            out.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    if out:
        raise out[0]


def events(m):
    event = m.Event()
    assert not event.is_set() and event.wait(0.05) is False
    threading.Timer(0.2, event.set).start()
    assert event.wait() is True and event.is_set()
    event.clear()
    assert not event.is_set()
    barrier = m.Barrier(2)
    assert barrier.parties == 2 and barrier.n_waiting == 0 and not barrier.broken
    numbers = []
    other = threading.Thread(target=lambda: numbers.append(barrier.wait()))
    other.start()
    numbers.append(barrier.wait(20))
    other.join(20)
    assert sorted(numbers) == [0, 1], numbers
    raises(threading.BrokenBarrierError, None, barrier.wait, 0.05)
    assert barrier.broken
    raises(threading.BrokenBarrierError, None, barrier.wait)
    barrier.reset()
    assert not barrier.broken
    barrier.abort()
    raises(threading.BrokenBarrierError, None, barrier.wait)
    raises(threading.BrokenBarrierError, None, m.Barrier(2, timeout=0.05).wait)
    raises(RemoteError, None, m.Barrier, 2, print)
    # On a busy machine the clock could be faster than one who waits for nobody: a barrier of one broke.
    lone = m.Barrier(1)
    assert all(lone.wait(0) == 0 for _ in range(300)) and not lone.broken


def namespaces(m):
    n = m.Namespace(x=1, y=[2])
    n.z = Point(3, [4])
    assert n.x == 1 and n.z == Point(3, [4]) and str(n) == "Namespace(x=1, y=[2], z=<pickle:__main__.Point object>)", str(n)
    del n.x
    error = raises(AttributeError, "'Namespace' object has no attribute 'x'", getattr, n, "x")
    if sys.version_info >= (3, 12):
        assert error.name == "x"
    raises(AttributeError, None, delattr, n, "x")
    copy = n._getvalue()
    assert type(copy).__name__ == "Namespace" and vars(copy) == {"y": [2], "z": Point(3, [4])}, copy
    n._local = 5
    assert n._local == 5


def numbers(m):
    v = m.Value("i", 5)
    assert type(v).__name__ == "ValueProxy" and v.value == v.get() == 5
    v.value += 2
    v.set(v.value + 1)
    assert v.get() == 8
    v.value = Point(1, [])
    assert v.value == Point(1, [])
    a = m.Array("i", range(5))
    assert type(a).__name__ == "ArrayProxy" and len(a) == 5 and a[-1] == 4 and str(a) == "array('i', [0, 1, 2, 3, 4])", str(a)
    a[0] = 7
    a[1:3] = array.array("i", [8, 9])
    assert a[:3] == array.array("i", [7, 8, 9]) and a._getvalue() == array.array("i", [7, 8, 9, 3, 4])
    raises(IndexError, "array index out of range", a.__getitem__, 5)
    raises(IndexError, "array assignment index out of range", a.__setitem__, 5, 0)
    raises(TypeError, None, a.__setitem__, 0, "x")
    raises(OverflowError, None, a.__setitem__, 0, 1 << 40)
    d = m.Array("d", [1.5, 2])
    assert list(d[:]) == [1.5, 2.0]
    raises(RemoteError, None, m.Array, "?", [])
    assert str(m.Array("Q", [])) == "array('Q')" and m.Array("l", [1])[1:].typecode == "l"
    assert str(v) == "Value('i', Point(1, []))" or str(v).startswith("Value('i', <")
    copy = v._getvalue()
    assert type(copy).__name__ == "Value" and copy.value == Point(1, []), copy


def proxies(m, address, key):
    d, l = m.dict(), m.list([1])
    d["list"] = l
    d["list"].append(2)
    assert l[:] == [1, 2] and type(d["list"]).__name__ == "ListProxy"
    del l
    gc.collect()
    d["list"].append(3)
    assert d["list"][:] == [1, 2, 3]
    nested = m.list([m.list([m.dict(a=1)])])
    gc.collect()
    nested[0][0]["b"] = 2
    assert nested[0][0].copy() == {"a": 1, "b": 2}
    # To another process, and back.
    context = multiprocessing.get_context("fork")
    parent, child = context.Pipe()

    def work(connection):
        proxy = connection.recv()
        proxy.append("from the child")
        connection.send(proxy)
        connection.recv()

    process = context.Process(target=work, args=(child,))
    process.start()
    mine = m.list()
    parent.send(mine)
    del mine
    gc.collect()
    returned = parent.recv()
    parent.send(None)
    process.join(20)
    assert process.exitcode == 0 and returned[:] == ["from the child"]


def settled(m):
    """How many objects there are when what was let go of is gone."""
    gc.collect()
    time.sleep(0.8)
    return m._number_of_objects()


class Holder:
    def __init__(self, held):
        self.held = held


def shared_arguments(m, address, key):
    """What takes the elements of something takes those of other shared objects, too."""
    l, d = m.list([1, 2]), m.dict(a=1)
    d.update(m.dict(b=[2]))
    d.update(m.list([("c", 3), ["d", 4]]))
    assert d.copy() == {"a": 1, "b": [2], "c": 3, "d": 4}, d.copy()
    assert m.dict(d).copy() == d.copy() and m.dict(d, z=1)["z"] == 1 and m.list(d)[:] == ["a", "b", "c", "d"]
    l.extend(l)
    l.extend(m.dict(k=0))
    l[1:2] = m.list([m.list(["deep"])])
    assert l[0] == 1 and l[1][:] == ["deep"] and l[2:] == [1, 2, "k"], str(l)
    assert m.list(l)[1][:] == ["deep"]
    assert m.Array("i", m.list([1, 2]))[:] == array.array("i", [1, 2])
    raises(TypeError, "'AutoProxy' object is not iterable", l.extend, m.Queue())
    raises(TypeError, None, d.update, m.Value("i", 5))
    raises(RemoteError, None, m.list, m.Event())
    # Proxies inside instances keep what they name.
    for hold in [lambda proxy: Holder(proxy), lambda proxy: Holder([Holder({"p": proxy})]), lambda proxy: collections.OrderedDict(p=proxy), lambda proxy: collections.deque([proxy])]:
        before = settled(m)
        inner = m.list(["held"])
        outer = m.list([hold(inner), None])
        outer.append(outer.pop(0))
        del inner
        gc.collect()
        assert m._number_of_objects() == before + 2, (before, m._number_of_objects())
        time.sleep(0.8)  # longer than what is let go of lives on
        out = outer[-1]
        while not hasattr(out, "append") or type(out) is collections.deque:
            out = out.held if isinstance(out, Holder) else list(out.values())[0] if isinstance(out, dict) else out[0]
            out = out[0] if type(out) is list else out
        assert out[:] == ["held"], out
        del out, outer
        gc.collect()
        for _ in range(100):
            if m._number_of_objects() == before:
                break
            time.sleep(0.1)
        assert m._number_of_objects() == before, (before, m._debug_info())
    # Conditions on a lock that is there.
    for lock in [m.Lock(), m.RLock()]:
        condition, other = m.Condition(lock), m.Condition(lock=lock)
        raises(RuntimeError, "cannot notify on un-acquired lock", condition.notify)
        with condition:
            assert not in_thread(lock.acquire, False)
            state = []

            def change():
                with lock:
                    state.append(1)
                    condition.notify()

            threading.Timer(0.2, change).start()
            assert condition.wait_for(lambda: state, 20) and other.wait(0.05) is False
        assert in_thread(lock.acquire, False)
    raises(RemoteError, None, m.Condition, 5)
    raises(RemoteError, None, m.Condition, m.list())


def management(m, address, key):
    before = settled(m)
    l = m.list(["held"])
    assert m._number_of_objects() == before + 1
    info = m._debug_info()
    assert "refcount=1" in info and "['held']" in info, info
    del l
    gc.collect()
    assert m._number_of_objects() == before
    wrong = SyncManager(address=address, authkey=b"wrong")
    raises(multiprocessing.AuthenticationError, None, wrong.connect)
    raises(RemoteError, None, m._create, "no such type")


def main():
    address, key, minor = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3])
    if not address.startswith("/"):
        host, port = address.rsplit(":", 1)
        address = host, int(port)
    multiprocessing.current_process().authkey = key
    m = SyncManager(address=address, authkey=key)
    m.connect()
    for check in [dicts, lists, locks, events, namespaces, numbers]:
        check(m)
        print(check.__name__, flush=True)
    queues(m, minor)
    proxies(m, address, key)
    shared_arguments(m, address, key)
    management(m, address, key)
    print("all", flush=True)


main()
