"""The same random operations on CPython's own server and on a multiproc one: results, exceptions and contents must be the same.

Arguments: the address, the key, the Python whose server it is like, a seed, and how many operations on each type.
"""

import array
import ast
import collections
import datetime
import decimal
import fractions
import multiprocessing
import queue
import random
import re
import sys
from multiprocessing.managers import RemoteError, SyncManager


class Point:
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return type(other) is Point and other.x == self.x

    def __hash__(self):
        return hash(self.x)

    def __repr__(self):
        return f"Point({self.x!r})"


# Before 3.10 CPython has other words in places.
NEW = sys.version_info >= (3, 10)

Pair = collections.namedtuple("Pair", "a b")

SCALARS = [None, True, False, 0, 1, -1, 2, 3, 255, 256, -(1 << 31), (1 << 63) - 1, 1 << 63, -(1 << 70), 1.0, 0.5, -0.0, 2.5, float("inf"), 1e300]
TEXTS = ["", "a", "b", "é", "x'y", '"', "x'\"", "\n\t\0\x7f", "\u20ac\U0001f600", "a" * 300, b"", b"a", b"\0'\xff", b"'\""]
KEYS = SCALARS + TEXTS + [(), (1,), (1, "x"), (True, None), ((1, 2.0), b"k"), frozenset(), frozenset([1, 2]), 1j]


def value(r, depth=2):
    """Anything that a program may store."""
    kind = r.randrange(14 if depth else 6)
    if kind < 4:
        return r.choice(SCALARS)
    if kind < 6:
        return r.choice(TEXTS)
    some = [value(r, depth - 1) for _ in range(r.randrange(4))]
    if kind == 6:
        return some
    if kind == 7:
        return tuple(some)
    if kind == 8:
        return {r.choice(KEYS): v for v in some}
    if kind == 9:
        return {k for k in r.choices(KEYS, k=r.randrange(4))}
    if kind == 10:
        return Point(some)
    if kind == 11:
        return r.choice([bytearray(b"xy"), array.array("i", [1, 2]), range(3), 1 + 2j, collections.deque([1, 2]), Pair(1, "b"), collections.OrderedDict(a=1)])
    if kind == 12:
        return r.choice([decimal.Decimal("1.50"), fractions.Fraction(1, 3), datetime.date(2020, 2, 29), slice(1, None), Point, len, Ellipsis])
    return frozenset(r.choices(KEYS, k=r.randrange(4)))


def iterable(r):
    some = [value(r, 1) for _ in range(r.randrange(4))]
    return r.choice([some, tuple(some), r.choice(["", "abc", "é€"]), b"xy", bytearray(b"z"), range(r.randrange(-3, 5)), range(5, -5, -3), {1: 2, "k": None}, collections.deque(some), array.array("h", [5, -6]), {"single"}, 5, None, 1.5])


def index(r):
    return r.choice([0, 0, 1, 1, 2, 3, -1, -1, -2, -3, 7, -8, True, False, 1 << 40, -(1 << 70), 1.0, "0", None])


def a_slice(r):
    end = lambda: r.choice([None, 0, 1, 2, 3, 5, -1, -2, -4, 9, -9, 1 << 70, -(1 << 70), True])
    step = r.choice([None, None, None, 1, 2, -1, -2, 3, -3, 0, 1 << 66])
    return r.choice([slice(end(), end(), step), slice(end(), end(), step), slice(end()), slice("a", 1), slice(None, 2, 1.5)])


# What is called: name, and how its arguments are made.
def dict_calls(r):
    key = r.choice(KEYS) if r.random() < 0.9 else r.choice([[], {}, set(), [1], (1, []), bytearray(b"k"), ((1, {}),)])
    v = value(r)
    entries = r.choice([{r.choice(KEYS): value(r)}, [(r.choice(KEYS), value(r))], [["k", 1], (2, 3)], ["ab"], [("k",)], [5], "xy", 5, None, [([], 1)], [(1, 2, 3)], {}, []])
    return [
        ("__getitem__", (key,), {}), ("__setitem__", (key, v), {}), ("__setitem__", (key, v), {}), ("__setitem__", (key, v), {}), ("__delitem__", (key,), {}),
        ("__contains__", (key,), {}), ("__len__", (), {}), ("get", (key,), {}), ("get", (key, v), {}), ("pop", (key,), {}), ("pop", (key, v), {}),
        ("popitem", (), {}), ("setdefault", (key,), {}), ("setdefault", (key, v), {}), ("update", (entries,), {}), ("update", (entries,), {"k": v}),
        ("update", (), {"k": v, "é": 1}), ("update", (), {}), ("keys", (), {}), ("values", (), {}), ("items", (), {}), ("copy", (), {}), ("__str__", (), {}), ("__repr__", (), {}),
        ("get", (), {}), ("get", (1, 2, 3), {}), ("get", (), {"key": 1}), ("pop", (), {}), ("popitem", (1,), {}), ("setdefault", (), {}), ("update", (1, 2), {}), ("clear", (1,), {}), ("copy", (1,), {}),
        ("keys", (1,), {}), ("__getitem__", (), {}), ("__len__", (1,), {}), ("__setitem__", (1,), {}), ("__delitem__", (), {}), ("setdefault", (), {"key": 1}), ("pop", (1, 2, 3), {}),
    ] + ([("clear", (), {})] if r.random() < 0.05 else [])


def list_calls(r):
    v, i = value(r), index(r)
    return [
        ("append", (v,), {}), ("append", (v,), {}), ("append", (r.randrange(3),), {}), ("extend", (iterable(r),), {}), ("insert", (i, v), {}), ("pop", (), {}), ("pop", (i,), {}),
        ("remove", (v,), {}), ("remove", (r.choice(SCALARS),), {}), ("index", (r.choice(SCALARS),), {}), ("index", (r.choice(SCALARS), index(r)), {}), ("index", (r.choice(SCALARS), index(r), index(r)), {}),
        ("count", (r.choice(SCALARS + TEXTS),), {}), ("count", (v,), {}), ("reverse", (), {}), ("__getitem__", (i,), {}), ("__getitem__", (a_slice(r),), {}), ("__setitem__", (i, v), {}), ("__setitem__", (a_slice(r), iterable(r)), {}),
        ("__setitem__", (a_slice(r), iterable(r)), {}), ("__delitem__", (i,), {}), ("__delitem__", (a_slice(r),), {}), ("__len__", (), {}), ("__contains__", (r.choice(SCALARS + TEXTS),), {}), ("__add__", (r.choice([[1], [v], (1,), "x", 5, None]),), {}),
        ("__mul__", (r.choice([0, 1, 2, -1, True, "x", 1.5, None, []]),), {}), ("__rmul__", (r.choice([0, 2, -1, 1.0]),), {}), ("sort", (), {}), ("sort", (), {"reverse": r.choice([True, False, 0, 1, *(["x", None, 1.5, []] if sys.version_info >= (3, 12) else [])])}), ("sort", (1,), {}), ("sort", (), {"key": None}), ("sort", (), {"no": 1}),
        ("__str__", (), {}), ("__repr__", (), {}), ("append", (), {}), ("append", (1, 2), {}), ("append", (), {"object": 1}), ("insert", (1,), {}), ("pop", (1, 2), {}), ("index", (), {}), ("extend", (), {}), ("remove", (), {}), ("count", (), {}), ("reverse", (1,), {}), ("__len__", (1,), {}),
    ]


def numbers_calls(r):
    """A list of what can be sorted more often than not."""
    v = r.choice([1, 2, 3, 2.5, True, -7, 1 << 65, 0.0, -0.0, "a"] if r.random() < 0.8 else ["x", (1, 2), (1, "x"), [1], [2, 3], None, b"q", {1}])
    return [("append", (v,), {})] * 3 + [("sort", (), {}), ("sort", (), {"reverse": True}), ("__delitem__", (slice(0, r.randrange(4)),), {}), ("sort", (), {"key": None, "reverse": False})]


def namespace_calls(r):
    name = r.choice(["x", "y", "é", "a b", "x"])
    odd = r.choice([5, None, b"x", (1,)])
    return [("__getattribute__", (name,), {}), ("__setattr__", (name, value(r)), {}), ("__setattr__", (name, value(r)), {}), ("__delattr__", (name,), {}), ("__getattribute__", (odd,), {}), ("__setattr__", (odd, 1), {}), ("__delattr__", (odd,), {}), ("__str__", (), {}), ("__repr__", (), {}), ("__getattribute__", (), {}), ("__setattr__", ("x",), {})]


def value_calls(r):
    v = value(r)
    return [("get", (), {}), ("set", (v,), {}), ("set", (v,), {}), ("set", (), {}), ("get", (1,), {}), ("set", (), {"value": v}), ("__str__", (), {}), ("__repr__", (), {})]


def array_calls(r):
    v = r.choice([0, 1, -1, 127, 128, 255, 256, -129, 1 << 31, 1 << 63, 1 << 64, 1.5, True, None, "x", b"x", (1,), float("inf")])
    numbers = r.choice([array.array("i", [1, 2]), array.array("d", [0.5]), array.array("b", []), array.array("h", [3]), [1, 2], (1,), 5, "ab", array.array("i", [7])])
    return [("__getitem__", (index(r),), {}), ("__getitem__", (a_slice(r),), {}), ("__setitem__", (index(r), v), {}), ("__setitem__", (r.choice([0, -1]), v), {}), ("__setitem__", (a_slice(r), numbers), {}), ("__len__", (), {}), ("__str__", (), {}), ("__repr__", (), {}), ("__getitem__", (), {}), ("__setitem__", (1,), {})]


def queue_calls(r):
    v = value(r)
    return [("put", (v,), {"block": False}), ("put", (v, False), {}), ("put", (v, True, 0.01), {}), ("put", (), {"item": v, "timeout": 0.01}), ("put_nowait", (v,), {}), ("get", (False,), {}), ("get", (), {"block": False}), ("get", (True, 0.01), {}), ("get", (), {"timeout": 0.01}), ("get_nowait", (), {}), ("qsize", (), {}), ("empty", (), {}), ("full", (), {}), ("task_done", (), {}), ("put", (v, True, -1), {}), ("get", (True, -0.5), {}), ("get", (False, -1), {}), ("put", (), {}), ("put", (v, False, 1, 2), {}), ("get", (), {"no": 1}), ("put_nowait", (), {}), ("qsize", (1,), {}), ("get", (True, "x"), {})]


def semaphore_calls(r):
    return [("acquire", (False,), {}), ("acquire", (), {"blocking": False}), ("acquire", (True, 0.01), {}), ("acquire", (), {"timeout": 0.01}), ("acquire", (False, 1), {}), ("release", (), {}), *([("release", (r.choice([1, 2, 0, -1]),), {}), ("release", (), {"n": 1})] if NEW else []), ("release", (1, 2), {}), ("acquire", (1, 2, 3), {})]


def lock_calls(r):
    return [("acquire", (False,), {}), ("acquire", (), {"blocking": False}), ("acquire", (True, 0.01), {}), ("acquire", (), {"timeout": 0.01}), ("acquire", (False, 1), {}), ("acquire", (True, -2), {}), ("acquire", (False, -1), {}), ("release", (), {}), ("release", (), {}), ("release", (1,), {}), ("acquire", (1, 2, 3), {}), ("acquire", (), {"no": 1}), ("acquire", (2, 0.01), {}), ("acquire", (True, [] if NEW else 0), {})]


def condition_calls(r):
    return lock_calls(r)[:8] + [("notify", (), {}), ("notify", (r.choice([0, 1, 2, -1 if NEW else 0]),), {}), ("notify", (), {"n": 1}), ("notify_all", (), {}), ("wait", (0.01,), {}), ("wait", (), {"timeout": 0.01}), ("notify_all", (1,), {}), ("wait", (1, 2), {})]


def event_calls(r):
    return [("set", (), {}), ("clear", (), {}), ("is_set", (), {}), ("wait", (0.01,), {}), ("wait", (), {"timeout": 0.01}), ("wait", (-1,), {}), ("set", (1,), {}), ("wait", ("x",), {}), ("wait", (1, 2), {})]


def barrier_calls(r):
    return [("wait", (0.01,), {}), ("wait", (), {"timeout": 0.01}), ("abort", (), {}), ("reset", (), {}), ("reset", (), {}), ("__getattribute__", (r.choice(["parties", "n_waiting", "broken", "none"]),), {}), ("wait", (1, 2), {}), ("abort", (1,), {})]


def creation(r):
    """How an object of each type is made, and what is called on it; arguments may be wrong."""
    typecode = r.choice("bBhHiIlLqQfd" * 3 + "?u") if r.random() < 0.97 else r.choice([5, None, "ii", ""])
    return [
        ("dict", r.choice([((), {}), (({"a": 1, 2: [3]},), {}), (([(1, 2), ["x", None]],), {"k": 3}), ((5,), {}), (([5],), {}), ((1, 2), {})]), dict_calls),
        ("list", r.choice([((), {}), ((iterable(r),), {}), ((range(6),), {}), ((5,), {}), ((1, 2), {}), ((), {"iterable": [1]})]), list_calls),
        ("list", ((), {}), numbers_calls),
        ("Namespace", r.choice([((), {}), ((), {"x": 1, "y": [2], "_z": 3}), ((1,), {})]), namespace_calls),
        ("Value", r.choice([(("i", value(r)), {}), (("i",), {}), ((), {"typecode": "i", "value": 5}), (("no such", 1, False), {}), ((1, 2, 3, 4), {})]), value_calls),
        ("Array", r.choice([((typecode, range(5)), {}), ((typecode, [1, 2, 3]), {}), ((typecode, iterable(r)), {}), ((typecode,), {}), ((typecode, [1], 2, 3), {})]), array_calls),
        ("Queue", r.choice([((), {}), ((2,), {}), ((), {"maxsize": 1}), ((-1,), {}), ((1, 2), {}), ((), {"no": 1})]), queue_calls),
        ("JoinableQueue", ((2,), {}), queue_calls),
        ("Semaphore", r.choice([((), {}), ((2,), {}), ((), {"value": 0}), ((-1,), {}), ((1, 2), {})]), semaphore_calls),
        ("BoundedSemaphore", r.choice([((), {}), ((2,), {})]), semaphore_calls),
        ("Lock", ((), {}), lock_calls),
        ("RLock", ((), {}), lock_calls),
        ("Condition", ((), {}), condition_calls),
        ("Event", ((), {}), event_calls),
        ("Barrier", r.choice([((1,), {}), ((2,), {}), ((), {"parties": 1}), ((2, None, 0.01), {}), ((), {}), ((2, None, 5.0), {})]), barrier_calls),
    ]


def shown(thing):
    """Something whose equality means that two things can't be told apart."""
    kind = type(thing).__name__
    if isinstance(thing, (set, frozenset)):
        return kind, sorted(map(repr, map(shown, thing)))
    if isinstance(thing, dict):
        return kind, [(shown(key), shown(held)) for key, held in thing.items()]
    if isinstance(thing, (list, tuple, collections.deque)):
        return kind, [shown(element) for element in thing]
    if isinstance(thing, Point):
        return kind, shown(thing.x)
    return kind, repr(thing)


def outcome(call):
    try:
        return "returned", shown(call())
    except RemoteError as error:
        # The servers' tracebacks differ, what they end with does not have to.
        return "RemoteError", str(error).strip().splitlines()[-2].partition(":")[0].rpartition(".")[2]
    except Exception as error:
        return "raised", type(error).__name__, shown(error.args), shown(getattr(error, "name", None))


# What CPython says of a wrong number of arguments it says in many words, and others in each version.
def is_arity(theirs):
    return theirs[:2] == ("raised", "TypeError") and any(word in str(theirs[2]) for word in ["argument", "takes"])


# A set's and a str's order and an instance's text are not the server's to know.
def is_text_of_instances(name, theirs):
    return name in ("__str__", "__repr__") and any(word in str(theirs) for word in ["Point", "{", "<", "Decimal", "Fraction", "datetime", "bytearray", "slice", "range", "deque", "Ellipsis", "Ordered", "Pair", "array", "complex", "j)"])


# What CPython's versions say in different words.
BY_VERSION = [{"timeout value must be positive", "timeout value must be a non-negative number"}, {"must assign iterable to extended slice", "can only assign an iterable"}]


def text(told):
    if told[0] != "raised" or len(told[2][1]) != 1 or told[2][1][0][0] != "str":
        return None
    told = ast.literal_eval(told[2][1][0][1]).replace("array item must be integer", "'float' object cannot be interpreted as an integer")
    told = re.sub(r"'[\w.]+\.(\w+)'", r"'\1'", told)
    return re.sub(r"an integer is required \(got type (\w+)\)", r"'\1' object cannot be interpreted as an integer", told)


UNORDERED = ["Fraction", "Decimal", "date", "Pair", "'set'", "'frozenset'", "deque", "bytearray", "array", "OrderedDict"]


class Difference(Exception):
    pass


def compare(what, theirs, ours, log):
    same = theirs == ours or (is_arity(theirs) and ours[:2] == theirs[:2]) or (what[0] in ("__str__", "__repr__") and is_text_of_instances(what[0], theirs))
    if not same and not (theirs[:2] == ours[:2] and (text(theirs) == text(ours) is not None or {text(theirs), text(ours)} in BY_VERSION)):
        difference = Difference("\n".join(["", *log[-12:], f"{what}", f"CPython: {theirs}", f"ours:    {ours}"]))
        difference.name = what[0]
        raise difference


def check(r, managers, typeid, arguments, calls, count):
    log = [f"{typeid}{arguments}"]
    made = []
    args, kwargs = arguments
    results = [outcome(lambda: made.append(getattr(manager, typeid)(*args, **kwargs))) for manager in managers]
    compare((typeid, arguments), *results, log)
    if len(made) < 2:
        return
    theirs, ours = made
    compare(("class", typeid), *[("class", type(proxy).__name__) for proxy in made], log)
    if typeid in ("Queue", "JoinableQueue"):
        # What an AutoProxy has, it has been told by the server; newer ones tell of shutdown.
        compare(("methods", typeid), *[("methods", sorted(name for name in dir(proxy) if not name.startswith("_") and name != "shutdown")) for proxy in made], log)
    for _ in range(count):
        name, args, kwargs = r.choice(calls(r))
        log.append(f"{name}{args}{kwargs}")
        results = [outcome(lambda: proxy._callmethod(name, args, kwargs)) for proxy in (theirs, ours)]
        if typeid == "Array" and results[0][0] == "returned" and text(results[1]) is not None and text(results[1]).startswith("attempt to assign array of size"):
            # Documented: an array keeps its length.
            return
        if name == "sort" and results[0][0] == "returned" and results[1][:2] == ("raised", "TypeError") and any(word in str(results[1]) for word in UNORDERED):
            # Documented: the order of instances is not the server's to know.
            return
        if name == "__delattr__" and sys.version_info < (3, 11) and results[0][:2] == results[1][:2] == ("raised", "AttributeError"):
            continue
        compare((name, args, kwargs), *results, log)
        if name == "sort" and results[0][0] == "raised":
            # Documented: what can't be sorted stays as it is.
            for proxy in made:
                del proxy[:]
        if typeid in ("dict", "list", "Namespace", "Value", "Array"):
            state = vars if typeid in ("Namespace", "Value") else lambda value: value
            contents = [outcome(lambda: state(proxy._getvalue())) for proxy in (theirs, ours)]
            compare((name, args, kwargs, "contents"), *contents, log)
        if typeid == "list" and len(theirs) > 40:
            for proxy in made:
                del proxy[10:]


def main():
    address, key, minor, seed, count = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
    multiprocessing.current_process().authkey = key
    with SyncManager(authkey=key, ctx=multiprocessing.get_context("fork")) as theirs:
        ours = SyncManager(address=address, authkey=key)
        ours.connect()
        only = set(sys.argv[6:]) or {typeid for typeid, _, _ in creation(random.Random(0))}
        differences, told = 0, set()
        for round in range(max(1, count // 25)):
            r = random.Random(f"{seed} {round}")
            for typeid, arguments, calls in creation(r):
                if typeid not in only:
                    continue
                try:
                    check(random.Random(f"{seed} {round} {typeid}"), [theirs, ours], typeid, arguments, calls, 25)
                except Difference as difference:
                    differences += 1
                    if (typeid, difference.name) not in told:
                        told.add((typeid, difference.name))
                        print(typeid, "seed", seed, "round", round, difference, flush=True)
    sys.exit(f"{differences} differences" if differences else 0)


main()
