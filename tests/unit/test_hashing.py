"""Structural hashes: what makes a difference, what makes none, what has none."""

from __future__ import annotations

import array
import asyncio
import collections
import contextlib
import contextvars
import copyreg
import dataclasses
import functools
import io
import math
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import types
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import cloudpickle
import hypothesis
import pydantic
import pytest
from hypothesis import strategies as st

from headrace.exceptions import HashError
from headrace.hashing import hash_objects, register_hasher, stable_hash
from headrace.hashing.encoding import MOST_PARTS, digest, encode


class Colour(Enum):
    RED = 1
    CRIMSON = 2


class Level(IntEnum):
    LOW = 1


class Access(Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int


class Place(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Order:
    number: int
    items: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    number: int
    lock: Any = None


class Model(pydantic.BaseModel):
    x: int = 1
    tags: set[str] = set()


class Plain:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Other(Plain):
    pass


class Slots:
    __slots__ = ("a", "b")


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Callable_:
    def __call__(self) -> int:
        return 1


class Reduced:
    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        return Reduced, (self.number,)


class Stateful(Plain):
    def __getstate__(self) -> Any:
        return {"kept": vars(self)["kept"]}


def slots(**attributes: Any) -> Slots:
    made = Slots()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def adder(n: Any) -> Any:
    return lambda x: x + n


def cycle(*before: Any) -> list[Any]:
    made: list[Any] = [*before]
    made.append(made)
    return made


NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_0001))[0]

NAIVE = datetime.fromisoformat("2020-01-01")

# No two of these have one key.
DIFFERENT: list[Any] = [
    0, 1, -1, 2**31, 2**70, True, False, 1.0, 0.0, -0.0, 1j, complex(1), complex(-0.0, 0),
    None, ..., NotImplemented, math.nan, NAN, math.inf, -math.inf,
    "", "1", "a", "None", "\ud800", "é", "e\u0301", b"", b"1", b"a", bytearray(b"1"),
    memoryview(b"1"), memoryview(b"1234"), memoryview(b"1234").cast("i"), "x" * 1000,
    [], [1], [True], [1.0], ["1"], [b"1"], [None], [[]], [[], []], [[[]]], [1, 2], [2, 1],
    [1, [2]], [[1], 2], [[1, 2]], [0.0], [-0.0], list(range(300)), [[1] * 200] * 200,
    (), (1,), ((),), ([],), [()], (1, 2), ((1, 2),), (1, (2,)), ("list", [1]),
    {1}, {"1"}, {1, 2}, set(), frozenset(), frozenset({1}), {frozenset()}, {(1, 2)},
    {}, {1: 2}, {"1": 2}, {1: "2"}, {2: 1}, {"a": None}, {None: "a"}, {"a": {"b": 1}},
    {"a": 1, "b": 2}, {"a": 2, "b": 1}, [("a", 1), ("b", 2)], ["a", 1, "b", 2], {"a": {}},
    {"a": {1}}, {"a": [set()]}, {"a": (set(),)}, [set()], (set(),), [{}], ({},),
    collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1),
    collections.defaultdict(int, a=1), collections.defaultdict(list, a=1), {"a": 1},
    collections.Counter("a"), collections.deque([1]), collections.deque([1], 3),
    collections.ChainMap({"a": 1}), collections.UserDict({"a": 1}),
    types.MappingProxyType({"a": 1}), types.SimpleNamespace(a=1), array.array("i", [1]),
    array.array("l", [1]), range(3), range(0, 3, 2), range(4), slice(3), slice(0, 3),
    Decimal(1), Decimal("1.0"), Decimal("NaN"), Fraction(1), Fraction(1, 2), UUID(int=1),
    date(2020, 1, 1), NAIVE, NAIVE.replace(tzinfo=UTC),
    NAIVE.replace(fold=1), NAIVE.replace(tzinfo=ZoneInfo("UTC")),
    NAIVE.replace(tzinfo=timezone(timedelta(0), "Z")), time(0), time(0, tzinfo=UTC),
    timedelta(1), timedelta(seconds=1), UTC, ZoneInfo("UTC"), timezone(timedelta(hours=1)),
    Path("a"), PureWindowsPath("a"), PurePosixPath("a"), Path("b"), Path(),
    re.compile("a"), re.compile("a", re.IGNORECASE), re.compile(b"a"),
    Colour.RED, Colour.CRIMSON, Level.LOW, Access.READ, Access.READ | Access.WRITE,
    Access(0), Colour, Level, Point(1, 2), Point(2, 1), Place(1, 2), Point,
    Order(1, ["a"]), Order(1, []), Order, Frozen(1), Frozen(2), Model(), Model(x=2),
    Model(tags={"a"}), Model, Plain(), Plain(a=1), Plain(a="1"), Plain(b=1), Other(a=1),
    Plain(a=Plain(a=1)), slots(), slots(a=1), slots(b=1), slots(a=1, b=1), object(),
    Text("a"), Text("b"), Number(1), Callable_(), Reduced(1), Reduced(2), Stateful(kept=1),
    int, str, list, type, Plain, Other, dict[str, int], dict[str, str], list[int],
    len, str.upper, "a".upper, "b".upper, [].append, os.path.join, math, os, re,
    lambda: 1, lambda: 2, lambda: 1.0, lambda: True, lambda x: x, lambda y: y,
    lambda x=1: x, lambda x=2: x, lambda *, x=1: x, lambda x: x + 1, lambda x: len([x]),
    lambda x: str([x]), adder(1), adder(2), adder(1.0), adder("1"),
    functools.partial(print, 1), functools.partial(print, 2), functools.partial(dict, x=1),
    functools.partial(repr), Order(1, []).__eq__, Callable_().__call__, ValueError("a"),
    ValueError("b"), TypeError("a"), ExceptionGroup("a", [ValueError("a")]), KeyError("a"),
    cycle(), cycle(1), [cycle()], cycle(cycle()),
]  # fmt: skip


def test_no_two_different_values_have_one_key() -> None:
    keys: dict[str | None, list[Any]] = {}
    for value in DIFFERENT:
        keys.setdefault(hash_objects(value), []).append(value)

    assert None not in keys
    assert [same for same in keys.values() if len(same) > 1] == []


@pytest.mark.parametrize("value", DIFFERENT, ids=lambda v: type(v).__name__)
def test_a_key_is_32_digits_and_the_same_again(value: Any) -> None:
    key = hash_objects(value)

    assert key is not None
    assert re.fullmatch("[0-9a-f]{32}", key)
    assert key == hash_objects(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"a": 1, "b": {2}}, {"b": {2}, "a": 1}, id="order-in-a-dict"),
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, id="order-in-a-simple-dict"),
        pytest.param({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}, id="inner-order"),
        pytest.param({8, 16}, {16, 8}, id="order-in-a-set"),
        pytest.param([S := [set()], S], [[set()], [set()]], id="held-twice"),
        pytest.param(Plain(a=1, b=2), Plain(b=2, a=1), id="order-of-attributes"),
        pytest.param(cycle(1), cycle(1), id="cycles"),
        pytest.param(Model(), Model(x=1), id="a-default-that-was-given"),
        pytest.param(adder([1]), adder([1]), id="closures"),
        pytest.param(lambda x: [x], lambda x: [x], id="functions-of-one-code"),
        pytest.param("abc", "cba"[::-1], id="texts-of-another-identity"),
        pytest.param(memoryview(b"abcd")[::2], memoryview(b"ac"), id="views"),
        pytest.param(float("nan"), float("nan"), id="nan-of-the-same-bits"),
        pytest.param({math.nan: 1, float("nan"): 2}, {float("nan"): 2, math.nan: 1}, id="nan-keys"),
    ],
)  # fmt: skip
def test_what_is_no_difference_makes_none(one: Any, other: Any) -> None:
    assert hash_objects(one) == hash_objects(other) is not None


def test_a_computed_attribute_is_no_part_of_an_object() -> None:
    class Lazy:
        def __init__(self) -> None:
            self.a = 1

        @functools.cached_property
        def twice(self) -> int:
            return 2 * self.a

    asked, fresh = Lazy(), Lazy()
    assert asked.twice == 2

    assert hash_objects(asked) == hash_objects(fresh) is not None


class WithExtra(pydantic.BaseModel, extra="allow"):
    x: int = 1
    _secret: int = pydantic.PrivateAttr(0)


class Renewed(Plain):
    def __new__(cls, *, number: int = 0, **_: Any) -> Any:
        made = super().__new__(cls)
        cast("Any", made).number = number
        return made

    def __getnewargs_ex__(self) -> Any:
        return (), {"number": vars(self)["number"]}


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> str:
        return self.name


class Queue(list[int]):
    pass


def test_objects_go_by_all_that_they_are_made_of() -> None:
    hidden = WithExtra()
    hidden._secret = 1
    queue = Queue([1])
    queue.limit = 5  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
    values = [
        WithExtra(), cast("Any", WithExtra)(y=2), cast("Any", WithExtra)(y=3), hidden, Renewed(number=1), Renewed(number=2),
        Named("a"), Named("b"), Queue(), Queue([1]), queue, contextlib.nullcontext(1),
        contextlib.nullcontext(2),
    ]  # fmt: skip

    keys = [hash_objects(value) for value in values]

    assert None not in keys
    assert len(set(keys)) == len(keys)


def test_what_copyreg_knows_is_used() -> None:
    class Handle:
        def __init__(self, number: int) -> None:
            self.number, self.lock = number, threading.Lock()

    copyreg.pickle(Handle, lambda handle: (Handle, (handle.number,)))
    try:
        assert hash_objects(Handle(1)) == hash_objects(Handle(1)) is not None
        assert hash_objects(Handle(1)) != hash_objects(Handle(2))
    finally:
        copyreg.dispatch_table.pop(Handle)


def test_a_function_that_refers_to_itself_has_a_key() -> None:
    def made(factor: int) -> Any:
        def down(n: int) -> int:
            return factor if n == 0 else down(n - 1)

        return down

    assert hash_objects(made(1)) == hash_objects(made(1)) is not None
    assert hash_objects(made(1)) != hash_objects(made(2))


def test_a_variable_without_a_value_is_none_of_them() -> None:
    def made(*values: Any) -> Any:
        def told() -> Any:
            return value

        for value in values:  # noqa: B007 - it is what `told` tells
            pass
        return told

    assert hash_objects(made()) != hash_objects(made(None)) is not None


# -- what has no key -------------------------------------------------------------------


def generator() -> Any:
    yield 1


def path_to_the_part(value: Any) -> str:
    with pytest.raises(HashError) as caught:
        encode(value, "args")
    return caught.value.path


@pytest.mark.parametrize(
    ("value", "path", "type_name"),
    [
        pytest.param({"session": Plain(lock=threading.Lock())}, "args['session'].lock", "_thread.lock", id="lock"),
        pytest.param([1, {"k": (0, threading.RLock())}], "args[1]['k'][1]", "_thread.RLock", id="rlock"),
        pytest.param({"x": iter([])}, "args['x']", "builtins.list_iterator", id="iterator"),
        pytest.param({"x": map(len, [])}, "args['x']", "builtins.map", id="map"),
        pytest.param({"x": generator()}, "args['x']", "builtins.generator", id="generator"),
        pytest.param({"x": {1: generator()}}, "args['x'][1]", "builtins.generator", id="in-a-dict"),
        pytest.param({"x": Frozen(1, threading.Lock())}, "args['x'].lock", "_thread.lock", id="frozen"),
        pytest.param({"x": adder(threading.Lock())}, "args['x'].__closure__['n']", "_thread.lock", id="closure"),
        pytest.param({"x": Future()}, "args['x']", "concurrent.futures._base.Future", id="future"),
        pytest.param({"x": threading.current_thread()}, "args['x']", "threading._MainThread", id="thread"),
        pytest.param({"x": weakref.ref(Plain)}, "args['x']", "weakref.ReferenceType", id="weakref"),
        pytest.param({"x": contextvars.ContextVar("c")}, "args['x']", "_contextvars.ContextVar", id="contextvar"),
        pytest.param({"x": {Plain(l=threading.Lock())}}, "args['x'] (an element).l", "_thread.lock", id="in-a-set"),
    ],
)  # fmt: skip
def test_what_is_of_this_process_only_is_refused_by_its_path(
    value: Any, path: str, type_name: str
) -> None:
    with pytest.raises(HashError) as caught:
        encode(value, "args")

    assert (caught.value.path, caught.value.type_name) == (path, type_name)
    assert hash_objects(value) is None


def test_files_sockets_pools_and_coroutines_have_no_key() -> None:
    async def body() -> None: ...

    with (
        closing(body()) as coroutine,
        socket.socket() as opened,
        ThreadPoolExecutor(1) as pool,
        Path(__file__).open("rb") as file,
        closing(asyncio.new_event_loop()) as loop,
    ):
        found = [hash_objects(v) for v in (coroutine, opened, pool, file, loop)]

        assert found == [None] * 5


def test_what_is_in_memory_is_no_open_file() -> None:
    assert hash_objects(io.BytesIO(b"a")) != hash_objects(io.BytesIO(b"b")) is not None
    assert hash_objects(io.StringIO("a")) == hash_objects(io.StringIO("a")) is not None


def test_an_iterator_is_not_used_up() -> None:
    numbers = iter([1, 2])

    assert hash_objects(numbers) is None
    assert list(numbers) == [1, 2]


def test_what_a_class_raises_is_told_with_the_path() -> None:
    class Broken:
        def __reduce_ex__(self, _: Any) -> Any:
            raise LookupError("not today")

    with pytest.raises(HashError, match=r"args\['x'\].*LookupError: not today"):
        encode({"x": Broken()}, "args")


def test_no_hash_and_no_comparison_of_the_users_is_called() -> None:
    class Picky(type):
        def __hash__(cls) -> int:
            raise AssertionError

        def __eq__(cls, other: object) -> bool:
            raise AssertionError

    class Guarded(metaclass=Picky):
        armed = False

        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            assert not Guarded.armed
            return 1

        def __eq__(self, other: object) -> bool:
            assert not Guarded.armed
            return self is other

    made = [Guarded(i) for i in range(3)]
    value = [{made[0], made[1]}, {made[0]: 1, made[2]: 2}, frozenset(made)]
    value += [collections.Counter(made), collections.defaultdict(int, {made[0]: 1})]
    Guarded.armed = True

    assert hash_objects(value) is not None
    assert hash_objects(Guarded) is not None


# -- size and form ---------------------------------------------------------------------


def test_depth_and_sharing_are_no_limit() -> None:
    deep: Any = []
    for _ in range(10_000):
        deep = [deep]
    shared: Any = [1]
    for _ in range(200):
        shared = [shared, shared]
    chain: Any = None
    for _ in range(10_000):
        chain = Plain(next=chain)

    keys = {hash_objects(value) for value in (deep, [deep], shared, [shared], chain)}

    assert None not in keys
    assert len(keys) == 5


def test_a_class_that_recurses_by_itself_is_refused() -> None:
    class Endless:
        def __getstate__(self) -> Any:
            return self.__getstate__()

    assert path_to_the_part({"x": Endless()}) == "args['x']"


def test_more_than_a_million_parts_are_refused() -> None:
    with pytest.raises(HashError, match="more than 1000000 parts"):
        encode([()] * (MOST_PARTS + 1), "args")


def test_a_cycle_is_told_by_how_far_up_it_leads() -> None:
    inner: list[Any] = [1]
    outer = [inner, [inner]]
    inner.append(outer)
    same: list[Any] = [1]
    twin = [same, [same]]
    same.append(twin)
    another: list[Any] = [1]
    another.append(another)

    assert hash_objects(outer) == hash_objects(twin)
    assert hash_objects(outer) != hash_objects([another, [another]])


# -- what users say --------------------------------------------------------------------


def test_a_class_says_itself_what_tells_its_objects_apart() -> None:
    class Client:
        def __init__(self, url: str) -> None:
            self.url, self.lock = url, threading.Lock()

        def __task_hash__(self) -> Any:
            return self.url

    assert hash_objects(Client("a")) == hash_objects(Client("a")) is not None
    assert hash_objects(Client("a")) != hash_objects(Client("b"))
    assert hash_objects(Client("a")) != hash_objects("a")


def test_a_function_says_what_tells_objects_of_others_apart() -> None:
    class Session:
        def __init__(self, url: str) -> None:
            self.url, self.lock = url, threading.Lock()

    class Derived(Session):
        pass

    register_hasher(Session, lambda session: session.url)

    assert hash_objects(Session("a")) == hash_objects(Session("a")) is not None
    assert hash_objects(Session("a")) != hash_objects(Session("b"))
    assert hash_objects(Derived("a")) != hash_objects(Session("a"))


@pytest.mark.parametrize(
    ("cls", "content", "error"),
    [
        pytest.param(3, len, TypeError, id="no-class"),
        pytest.param(Plain, 3, TypeError, id="no-function"),
        pytest.param(int, str, ValueError, id="built-in"),
        pytest.param(dict, str, ValueError, id="known"),
        pytest.param(object, str, ValueError, id="all"),
    ],
)
def test_a_wrong_registration_is_refused(cls: Any, content: Any, error: Any) -> None:
    with pytest.raises(error, match="register_hasher"):
        register_hasher(cls, content)


def test_stable_hash_joins_texts_and_bytes() -> None:
    assert stable_hash("ab", b"c") == stable_hash("a", "bc") == stable_hash("abc")
    assert len(stable_hash("é")) == 32
    assert stable_hash("x", hash_algo=__import__("hashlib").sha1) == (
        "11f6ad8ec52a2984abaafd7c3b516503785c2072"
    )
    with pytest.raises(TypeError, match="hash_objects"):
        stable_hash(cast("Any", 1))


# -- properties ------------------------------------------------------------------------

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.uuids()
    | st.sampled_from([Colour.RED, Level.LOW, int, Plain, Order, len, math])
)
HASHABLE = st.recursive(
    LEAVES,
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4),
    max_leaves=6,
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner)
        | st.sets(HASHABLE, max_size=5)
        | st.dictionaries(st.text(max_size=3), inner, max_size=5)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.builds(Order, st.integers(), inner)
        | st.builds(lambda a: Plain(a=a), inner)
        | st.builds(lambda a, b: slots(a=a, b=b), inner, inner)
        | st.builds(collections.OrderedDict, st.dictionaries(st.text(), inner))
        | st.builds(collections.deque, st.lists(inner, max_size=3))
        | st.builds(adder, inner)
    ),
    max_leaves=12,
)


def form(value: Any) -> Any:
    """What the value is, by types and bits, in a form that Python can compare."""
    name = type(value).__qualname__
    if isinstance(value, float):
        return name, struct.pack("<d", value)
    if isinstance(value, (set, frozenset)):
        return name, tuple(sorted(repr(form(each)) for each in value))
    if isinstance(value, collections.OrderedDict):
        return name, tuple((form(k), form(v)) for k, v in value.items())
    if isinstance(value, dict):
        return name, tuple(sorted(repr((form(k), form(v))) for k, v in value.items()))
    if isinstance(value, (list, tuple, collections.deque)):
        return name, tuple(map(form, value))
    if isinstance(value, (Order, Plain)):
        return name, form(vars(value))
    if isinstance(value, Slots):
        return name, form((value.a, value.b))
    if isinstance(value, types.FunctionType):
        return name, form(cast("Any", value).__closure__[0].cell_contents)
    return name, repr(value)


@hypothesis.given(VALUES, VALUES)
def test_keys_are_equal_just_where_types_and_content_are(one: Any, other: Any) -> None:
    assert (hash_objects(one) == hash_objects(other)) == (form(one) == form(other))


@hypothesis.given(VALUES)
def test_a_copy_has_the_same_key(value: Any) -> None:
    copied = cloudpickle.loads(cloudpickle.dumps(value))

    assert hash_objects(copied) == hash_objects(value) is not None


@hypothesis.given(st.lists(VALUES, min_size=2, max_size=4))
def test_no_encoding_begins_another(values: list[Any]) -> None:
    encoded = [encode(value, "") for value in values]

    for i, one in enumerate(encoded):
        for other in encoded[i + 1 :]:
            assert one == other or not (one.startswith(other) or other.startswith(one))


# -- other processes -------------------------------------------------------------------

HASH_PICKLES = """
import pickle, sys
from headrace.hashing import hash_objects
for value in pickle.load(sys.stdin.buffer):
    print(hash_objects(value))
"""


@pytest.mark.slow
def test_other_processes_with_other_seeds_come_to_the_same_keys(
    tmp_path: Path,
) -> None:
    here = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(here)
    try:
        values = [v for v in DIFFERENT if not isinstance(v, (memoryview, Plain))]
        values += [{"a", "b", "c", ("d", "e")}, {"x": {"one", "two", "three"}}]
        content = cloudpickle.dumps(generated(150) + [v for v in values if loads(v)])
    finally:
        cloudpickle.unregister_pickle_by_value(here)
    answers = {
        subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", HASH_PICKLES],
            input=content,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(answers) == 1
    assert len(answers.pop().split()) > 250


def loads(value: Any) -> bool:
    try:
        cloudpickle.dumps(value)
    except Exception:  # noqa: BLE001 - whatever it is, it cannot be sent
        return False
    return True


def generated(number: int) -> list[Any]:
    found: list[Any] = []

    @hypothesis.settings(max_examples=number)
    @hypothesis.given(VALUES)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found


def test_a_digest_is_the_first_half_of_sha256() -> None:
    assert digest(b"") == "e3b0c44298fc1c149afbf4c8996fb924"
