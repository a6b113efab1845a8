"""What Python's clients do with a pool of the server's. Arguments: the server's address, the key, the second number of Python's version."""

import gc
import multiprocessing
import os
import sys
import time
from multiprocessing.managers import RemoteError, SyncManager


class Overdrawn(Exception):
    pass


def square(n):
    """A task's name; never run."""
    raise AssertionError("this is the server's to run")


def cube(n):
    """No task of the server's."""


def raises(kind, text, call, *args, **keywords):
    try:
        result = call(*args, **keywords)
    except kind as error:
        assert type(error) is kind, type(error)
        assert text is None or text in str(error), (text, str(error))
        return error
    raise AssertionError(f"{kind.__name__} was not raised, but {result!r} returned")


def calls(m, pool):
    assert type(pool).__name__ == "PoolProxy" and str(pool) == "<Pool of 2 workers>", str(pool)
    assert pool.apply("square", (7,)) == 49 and pool.apply(square, [8]) == 64 and pool.apply(func=square, args=(9,)) == 81
    assert pool.apply("power", (2,), {"exponent": 10}) == 1024 and pool.apply("power", kwds={"exponent": 3, "base": 3}) == 27
    assert pool.apply("nothing") is None and pool.apply("nothing", ()) is None
    assert pool.apply("mirrored", ({"x": 3, "name": None},)) == {"x": -3, "name": None}
    later = pool.apply_async(square, (10,))
    assert type(later).__name__ == "AutoProxy[AsyncResult]" and later.get() == later.get(timeout=20) == 100
    assert later.wait() is None and later.ready() is True and later.successful() is True
    assert pool.map(square, range(5)) == [0, 1, 4, 9, 16] and pool.map("square", [], 3) == [] and pool.map(square, (2, 3), 1) == [4, 9]
    assert pool.map(square, {4: None}) == [16] and pool.map(square, m.list([5, 6])) == [25, 36]
    assert pool.map_async(square, [1, 2], chunksize=2).get() == [1, 4]
    assert pool.starmap("power", [(2, 3), [3, 2]]) == [8, 9] and pool.starmap("nothing", [(), []]) == [None, None]
    assert pool.starmap_async("power", zip_of([4, 5], [2, 2])).get(20) == [16, 25]
    assert list(pool.imap(square, [1, 2, 3], chunksize=2)) == [1, 4, 9]
    unordered = pool.imap_unordered(square, range(20))
    assert type(unordered).__name__ == "IteratorProxy" and sorted(unordered) == [n * n for n in range(20)]
    raises(StopIteration, None, next, unordered)


def zip_of(*lists):
    return list(zip(*lists))


def waits(m, pool):
    begun, leave = m.list(), m.Event()
    held = pool.apply_async("waits", (begun, leave))
    assert not held.ready() and held.wait(0.05) is None
    raises(ValueError, None, held.successful)
    raises(multiprocessing.TimeoutError, "", held.get, 0.05)
    items = pool.imap("waits", [])
    raises(StopIteration, None, next, items)
    late = pool.imap("sleeps", [300])
    raises(multiprocessing.TimeoutError, "", late.__next__, 0.01)
    assert late.__next__(20) == 300
    leave.set()
    assert held.get(20) == 1 and held.successful() and begun[:] == [7]
    # What arguments name lives until the task is done, whoever lets go of it.
    begun, leave = m.list(), m.Event()
    held = pool.apply_async("waits", args=(begun, leave))
    while not len(begun):
        time.sleep(0.01)
    leave.set()
    del begun, leave
    gc.collect()
    assert held.get(20) == 1
    # And what a result names.
    made = pool.apply("listed", (m.list([1, 2]),))
    gc.collect()
    assert type(made).__name__ == "ListProxy" and made[:] == [1, 2], made


def failures(m, pool):
    # The task's own errors.
    for call in [lambda: pool.apply("withdraw", ("eve", 1)), pool.apply_async("withdraw", ("eve", 1)).get, lambda: pool.starmap("withdraw", [("ada", 1), ("eve", 2)]), lambda: list(pool.imap("one_of", ["eve"]))]:
        error = raises(KeyError, None, call)
        assert error.args == ("eve",), error.args
    error = raises(Overdrawn, None, pool.apply, "withdraw", ("ada", 50))
    assert error.args == (40, ["ada"]), error.args
    raises(PermissionError, "on sundays", pool.apply, "closed", ("on sundays",))
    raises(RemoteError, "no exception is named for this", pool.apply, "unnamed")
    assert pool.apply("withdraw", ("ada", 1)) == 1 and pool.apply("closed", ("",)) == "open"
    failed = pool.map_async("one_of", ["ada", "eve"])
    failed.wait()
    assert failed.ready() and failed.successful() is False
    each = pool.imap("one_of", ["ada", "eve", "ada"])
    assert next(each) == 1
    raises(KeyError, None, next, each)
    assert next(each) == 1
    # The system's.
    error = raises(RemoteError, "not 3", pool.map, "panics", [1, 2, 3, 4])
    assert "panic" in str(error), error
    raises(RemoteError, "SIGKILL", pool.apply, "dies")
    assert pool.apply(square, (3,)) == 9
    raises(NameError, "no task \"__main__.cube\"", pool.apply, cube, (3,))
    raises(NameError, "square", pool.map_async, "cube", [3])
    raises(NameError, None, pool.imap, "cube", [3])
    for call in [
        lambda: pool.apply(5),
        lambda: pool.apply("abc".upper),
        lambda: pool.apply(square, 5),
        lambda: pool.apply(square, (1, 2)),
        lambda: pool.apply(square, ("x",)),
        lambda: pool.apply(square, (-1,)),
        lambda: pool.apply(square, (), {"m": 1}),
        lambda: pool.apply("power", (1,), {"base": 1}),
        lambda: pool.apply("power", (1,), {}),
        lambda: pool.apply("power", (1,), {"exponent": 1, "x": 2}),
        lambda: pool.map(square, 5),
        lambda: pool.map(square, [1], "x"),
        lambda: pool.starmap("power", [5]),
        lambda: pool.apply_async(square, (1,), callback=print),
        lambda: pool.map_async(square, [1], error_callback=print),
        lambda: pool.apply(),
        lambda: pool.map(square),
    ]:
        raises(TypeError, None, call)
    raises(ValueError, "Chunksize must be 1+, not 0", pool.imap, square, [1], 0)
    raises(RemoteError, None, pool._getvalue)
    raises(RemoteError, None, pool._callmethod, "worker_ids")


def ends(m):
    pool = m.Pool(1)
    raises(ValueError, "Pool is still running", pool.join)
    last = pool.apply_async("sleeps", (100,))
    pool.close()
    for call in [lambda: pool.apply(square, (1,)), lambda: pool.map(square, [1]), lambda: pool.apply_async(square, (1,)), lambda: pool.imap(square, [1])]:
        raises(ValueError, "Pool not running", call)
    pool.join()
    assert last.get(0.05) == 100
    with m.Pool(processes=1, initializer="begin_at", initargs=(40,), maxtasksperchild=2) as pool:
        assert pool.map("above", [1, 2, 3], 1) == [41, 42, 43]
        cut = pool.apply_async("sleeps", (60_000,))
    raises(RemoteError, "terminated", cut.get, 20)
    raises(ValueError, "Pool not running", pool.apply, square, (1,))
    pool.join()
    for arguments in [{"processes": 0}, {"processes": "x"}, {"maxtasksperchild": 0}, {"initializer": 5}, {"initializer": "begin_at", "initargs": 5}, {"context": 1}, {"x": 1}]:
        raises(RemoteError, None, m.Pool, **arguments)
    raises(RemoteError, "NameError", m.Pool, 1, cube)
    assert m.Pool(None).apply(square, (2,)) == 4
    shared = m.dict(pool=m.Pool(1))
    assert shared["pool"].map("square", [3]) == [9]


def main():
    address, key = sys.argv[1], sys.argv[2].encode()
    multiprocessing.current_process().authkey = key
    m = SyncManager(address=address, authkey=key)
    m.connect()
    pool = m.Pool(2)
    for check in [calls, waits, failures]:
        check(m, pool)
    ends(m)
    if os.fork() == 0:  # another process goes on with it
        assert pool.apply(square, (4,)) == 16
        os._exit(0)
    assert os.wait()[1] == 0
    print("all", flush=True)


main()
