"""Sets, which managers have from Python 3.14 on: random operations on CPython's own server and on ours, side by side. Older Pythons get the proxy type here that the newer ones bring.

Arguments: the server's address, the key, the second number of Python's version.
"""

import multiprocessing
import operator
import random
import sys
from multiprocessing.managers import MakeProxyType, RemoteError, SyncManager

METHODS = (
    "__and__ __contains__ __iand__ __ior__ __isub__ __iter__ __ixor__ __len__ __or__ __rand__ __ror__ __rsub__ __rxor__ __sub__ __xor__ __ge__ __gt__ __le__ __lt__ "
    "add clear copy difference difference_update discard intersection intersection_update isdisjoint issubset issuperset pop remove symmetric_difference symmetric_difference_update union update"
).split()


class SetProxy(MakeProxyType("BaseSetProxy", METHODS)):
    _method_to_typeid_ = {"__iter__": "Iterator"}


def in_place(name):
    def method(self, value):
        self._callmethod(name, (value,))
        return self

    return method


for name in ["__ior__", "__iand__", "__ixor__", "__isub__"]:
    setattr(SetProxy, name, in_place(name))


class Sets(SyncManager):
    pass


if not hasattr(SyncManager, "set"):
    Sets.register("set", set, SetProxy)

VALUES = [0, 1, True, 2, 3.0, "a", "b", b"a", None, (1, 2), frozenset([1]), 1 << 70]


def outcome(call):
    try:
        result = call()
    except RemoteError:
        return "RemoteError"
    except Exception as error:
        return type(error).__name__, str(error)
    return type(result).__name__, result


def operand(r):
    some = r.choices(VALUES, k=r.randrange(5))
    return r.choice([set(some), set(some), frozenset(some), some, tuple(some), "ab", dict.fromkeys(some), range(3), 5, [[1]], [{}]])


def step(r, pair):
    """The same call of both."""
    kind = r.randrange(8)
    value = r.choice(VALUES + [[], {}])
    if kind < 2:
        name = r.choice(["add", "add", "discard", "remove", "__contains__"])
        return name, [outcome(lambda: getattr(one, name)(value)) for one in pair]
    if kind == 2:
        name = r.choice(["__len__", "copy", "clear"] if r.random() < 0.2 else ["__len__", "copy"])
        return name, [outcome(getattr(one, name)) for one in pair]
    if kind == 3:
        call = r.choice([operator.and_, operator.or_, operator.sub, operator.xor, operator.le, operator.lt, operator.ge, operator.gt])
        other = operand(r)
        sides = (lambda one: call(one, other)) if r.random() < 0.5 else (lambda one: call(other, one))
        return call.__name__, [outcome(lambda: sides(one)) for one in pair]
    if kind == 4:
        call = r.choice([operator.iand, operator.ior, operator.isub, operator.ixor])
        other = set(r.choices(VALUES, k=3))
        return call.__name__, [type(call(one, other)) for one in pair]
    name = r.choice(["union", "intersection", "difference", "update", "intersection_update", "difference_update"] if kind < 7 else ["symmetric_difference", "symmetric_difference_update", "issubset", "issuperset", "isdisjoint"])
    others = [operand(r) for _ in range(r.randrange(3) if kind < 7 else 1)]
    return name, [outcome(lambda: getattr(one, name)(*others)) for one in pair]


def is_text(theirs, ours):
    """Who can't be compared with what is told in the words of the client's own Python, which name the types."""
    return "TypeError" in theirs[:1] and theirs[:1] == ours[:1]


def main():
    address, key = sys.argv[1], sys.argv[2].encode()
    multiprocessing.current_process().authkey = key
    ours = Sets(address=address, authkey=key)
    ours.connect()
    with Sets(authkey=key, ctx=multiprocessing.get_context("fork")) as theirs:
        for seed in range(30):
            r = random.Random(seed)
            begin = operand(r)
            made = [outcome(lambda: manager.set(begin)) for manager in (theirs, ours)]
            if made[0] == "RemoteError":
                assert made[1] == "RemoteError", (begin, made)
                continue
            pair = [proxy for _, proxy in made]
            for _ in range(60):
                name, results = step(r, pair)
                assert results[0] == results[1] or is_text(*results), (seed, name, results)
                if name.endswith("update") and results[0][0] == "TypeError":
                    # Documented: what fails changes nothing, where Python's has taken the operands before it.
                    break
                assert pair[0]._getvalue() == pair[1]._getvalue() and type(pair[1]._getvalue()) is set, (seed, name, results)
            assert set(pair[1]) == pair[1].copy() and len(pair[1]) == len(set(pair[1])), str(pair[1])
    one, other = ours.set([1, 2]), ours.set("ab")
    assert type(one).__name__ == "SetProxy" and one | other == {1, 2, "a", "b"} and one.union(other, [3]) == {1, 2, 3, "a", "b"}
    assert one.isdisjoint(other) and ours.set(other)._getvalue() == {"a", "b"} and str(ours.set()) == "set()"
    one.update(ours.list([5]), other)
    assert one._getvalue() == {1, 2, 5, "a", "b"} and one.pop() in (1, 2, 5, "a", "b")
    one.clear()
    try:
        one.pop()
    except KeyError as error:
        assert error.args == ("pop from an empty set",)
    else:
        raise AssertionError("an empty set gave something")
    print("all", flush=True)


main()
