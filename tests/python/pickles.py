"""Sends pickles of generated values to stdout, and compares what comes back on stdin. Each is behind its length, 4 bytes, little endian."""

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import pathlib
import pickle
import random
import struct
import sys
import uuid


@dataclasses.dataclass
class Point:
    x: object
    y: object


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a, b):
        self.a, self.b = a, b

    def __eq__(self, other):
        return type(other) is Slotted and (self.a, self.b) == (other.a, other.b)


class Listed(list):
    pass


class Keyed(dict):
    def __init__(self, *args, tag=None):
        super().__init__(*args)
        self.tag = tag

    def __eq__(self, other):
        return type(other) is Keyed and dict(self) == dict(other) and self.tag == other.tag


class KeywordOnly:
    def __new__(cls, *, size):
        self = super().__new__(cls)
        self.size = size
        return self

    def __getnewargs_ex__(self):
        return (), {"size": self.size}

    def __eq__(self, other):
        return type(other) is KeywordOnly and self.size == other.size


class Colour(enum.Enum):
    RED = 1
    BLUE = "blue"


class Bits(enum.IntFlag):
    A = 1
    B = 2


class SetByFunction:
    """Uses the sixth item of a reduced value: a function that sets the state."""

    def __init__(self, state):
        self.state = state

    def __reduce__(self):
        return SetByFunction, (None,), self.state, None, None, set_state

    def __eq__(self, other):
        return type(other) is SetByFunction and self.state == other.state


def set_state(target, state):
    target.state = state


Named = collections.namedtuple("Named", "left right")


def special(protocol):
    """Values of every kind that goes by another way than plain data."""
    yield from [Point(1, [2, "x"]), Slotted((1,), {"a": None}), Listed([1, 2, 3]), Keyed({"k": 1}, tag="t"), KeywordOnly(size=3)] if protocol >= 2 else []
    yield from [Colour.RED, Colour.BLUE, Bits.A | Bits.B, Named(1, "r"), collections.OrderedDict(a=1, b=[2])]
    yield from [collections.deque([1, 2], 5), collections.Counter("aab"), collections.defaultdict(list, x=[1])]
    yield from [datetime.datetime(2024, 2, 29, 12, 30, 1, 5), datetime.timedelta(days=-1, seconds=5), datetime.date(1, 1, 1)]
    yield from [datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc), decimal.Decimal("1.50"), fractions.Fraction(3, 7)]
    yield from [uuid.UUID(int=7), pathlib.PurePosixPath("/a/b"), array.array("d", [1.5, -2.0]), array.array("i"), range(3, 30, 4), slice(1, None, 2)]
    yield from [Ellipsis, NotImplemented, int, len, collections.OrderedDict, Point, KeyError("k"), ValueError("a", 2), SetByFunction({"a": 1})]
    yield from [bytearray(b"\0\xff"), bytearray(), "lone \ud800 surrogate\udfff", 3 - 4j, complex("inf"), {1, "a", (2,)}, frozenset([frozenset()])]


def circular():
    """Pairs of a value that holds itself and a check of a copy."""
    holds_itself = []
    holds_itself.append(holds_itself)
    yield holds_itself, lambda copy: type(copy) is list and copy[0] is copy
    by_dict = {"a": 1}
    by_dict["self"] = [by_dict]
    yield by_dict, lambda copy: copy["self"][0] is copy and copy["a"] == 1
    by_tuple = ([], 5)
    by_tuple[0].append(by_tuple)
    yield by_tuple, lambda copy: type(copy) is tuple and copy[0][0] is copy and copy[1] == 5
    long_tuple = (1, 2, 3, [], 5)
    long_tuple[3].append(long_tuple)
    yield long_tuple, lambda copy: copy[3][0] is copy and len(copy) == 5
    point = Point(None, None)
    point.x = point
    yield point, lambda copy: copy.x is copy
    parent = Point("parent", [])
    parent.y.extend(Point("child", parent) for _ in range(3))
    yield [parent], lambda copy: all(child.y is copy[0] for child in copy[0].y) and len(copy[0].y) == 3
    listed = Listed()
    listed.extend([listed, 1])
    yield listed, lambda copy: type(copy) is Listed and copy[0] is copy
    by_state = SetByFunction(None)
    by_state.state = {"me": by_state}
    yield by_state, lambda copy: copy.state["me"] is copy
    shared = ["shared"]
    yield Point(shared, shared), lambda copy: copy.x is copy.y
    frozen = Point(None, None)
    frozen.x = frozenset([1, 2])
    frozen.y = (frozen, frozen.x)
    yield frozen, lambda copy: copy.y[0] is copy and copy.y[1] == {1, 2}
    deep = []
    for _ in range(250):
        deep = [deep]
    yield deep, lambda copy: copy == deep


def generate(random, levels, protocol):
    kinds = ["none", "bool", "small", "int", "big", "float", "str", "bytes", "special"]
    if levels:
        kinds += ["list", "tuple", "dict", "set", "point"] * 2
    kind = random.choice(kinds)
    some = lambda: [generate(random, levels - 1, protocol) for _ in range(random.choice([0, 1, 2, 3, 4, 5, 20]))]
    if kind == "none":
        return None
    if kind == "bool":
        return random.random() < 0.5
    if kind == "small":
        return random.randint(-300, 300)
    if kind == "int":
        return random.choice([-1, 1]) * random.getrandbits(random.choice([8, 16, 31, 32, 33, 63, 64, 65]))
    if kind == "big":
        return random.choice([-1, 1]) * random.getrandbits(random.choice([127, 128, 129, 600, 3000]))
    if kind == "float":
        return random.choice([0.0, -0.0, 1.5, float("inf"), float("nan"), random.random() * 1e300, 5e-324])
    if kind == "str":
        letters = "ab\n\\'\"\0\x7f\xe9\u20ac\U0001f600"
        return "".join(random.choice(letters) for _ in range(random.choice([0, 1, 5, 47, 48, 255, 256, 1000])))
    if kind == "bytes":
        return bytes(random.getrandbits(8) for _ in range(random.choice([0, 1, 255, 256, 700])))
    if kind == "special":
        return random.choice(list(special(protocol)))
    if kind == "list":
        values = some()
        return values + values[:1]
    if kind == "tuple":
        return tuple(some())
    if kind == "dict":
        return {random.choice([str, int, float])(place): value for place, value in enumerate(some())}
    if kind == "set":
        return random.choice([set, frozenset])(value for value in some() if type(value) in (int, str, bytes, bool))
    return Point(*(some() + [1, 2])[:2])


def same(one, two):
    """Equal, of the same types all the way down; NaN equals itself."""
    if type(one) is not type(two):
        return False
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", two) or one != one and two != two
    if type(one) in (list, tuple):
        return len(one) == len(two) and all(map(same, one, two))
    if type(one) is dict:
        return list(one) == list(two) and all(same(one[key], two[key]) for key in one)
    if type(one) is Point:
        return same(one.x, two.x) and same(one.y, two.y)
    if isinstance(one, BaseException):
        return one.args == two.args
    if type(one) is slice:
        return (one.start, one.stop, one.step) == (two.start, two.stop, two.step)
    return one == two


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    source = random.Random(seed)
    out, back = sys.stdout.buffer, sys.stdin.buffer

    def copy(value, protocol):
        dumped = pickle.dumps(value, protocol)
        out.write(struct.pack("<I", len(dumped)) + dumped)
        out.flush()
        (length,) = struct.unpack("<I", back.read(4))
        answer = back.read(length)
        if length == 0:
            sys.exit(f"refused: protocol {protocol}, {value!r:.300}")
        return pickle.loads(answer)

    def check(value, protocol):
        copied = copy(value, protocol)
        if not same(value, copied):
            sys.exit(f"protocol {protocol}: {value!r:.300} came back as {copied!r:.300}")

    highest = pickle.HIGHEST_PROTOCOL
    for protocol in range(highest + 1):
        for value in special(protocol):
            check(value, protocol)
            # Nested, twice in one pickle, and beside others.
            check([value, {"again": value}, (1, 2.5, [value])] if type(value) not in (slice,) else [value], protocol)
        for value, is_right in circular():
            # Python 2's protocols can't do all of these themselves.
            try:
                pickle.loads(pickle.dumps(value, protocol))
            except Exception:
                continue
            if not is_right(copy(value, protocol)):
                sys.exit(f"protocol {protocol}: {value!r:.300} lost its circle")
            if not is_right(copy(["beside", value, value], protocol)[1]):
                sys.exit(f"protocol {protocol}: {value!r:.300} lost its circle inside a list")
    for _ in range(count):
        protocol = source.randint(0, highest)
        check(generate(source, 4, protocol), protocol)
    out.write(struct.pack("<I", 0))
    out.flush()


main()
