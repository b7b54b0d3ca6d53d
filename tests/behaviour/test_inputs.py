"""Futures, states and plain values as the inputs of a run, in every kind of container."""

from __future__ import annotations

import array
import asyncio
import dataclasses
import enum
import io
import itertools
import threading
from collections import (
    ChainMap,
    Counter,
    OrderedDict,
    UserDict,
    UserList,
    defaultdict,
    deque,
    namedtuple,
)
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import anyio
import pydantic
import pytest

from headrace import Runtime, flow, quote, task
from headrace.exceptions import (
    BlockedLoop,
    HeadraceError,
    UnfinishedRun,
    UpstreamTaskError,
)
from headrace.states import (
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Paused,
    Pending,
    Running,
    State,
    StateType,
)


@task
async def number(value: Any) -> Any:
    return value


@task
async def broken() -> None:
    raise ValueError("boom")


@task
async def echo(value: Any = None, **more: Any) -> Any:
    return value


class Point(NamedTuple):
    x: Any
    y: Any


class Names(list[Any]):
    """A list with something to say, and with a look of its own at what it holds."""

    label: str = ""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("the engine asked the list for its items")


class Strict(dict[Any, Any]):
    """A dict that nobody may write to."""

    def __setitem__(self, key: Any, value: Any) -> None:
        raise AssertionError("the engine wrote through the dict's own method")

    def __copy__(self) -> Strict:
        raise AssertionError("the engine copied the dict by its own method")


class Pair(tuple[Any, Any]):
    __slots__ = ()

    def __new__(cls, left: Any, right: Any) -> Self:
        return super().__new__(cls, (left, right))


class Bag(MutableMapping[Any, Any]):
    """A mapping by its interface only, with its items in an attribute."""

    def __init__(self, **items: Any) -> None:
        self.items_inside = items

    def __getitem__(self, key: Any) -> Any:
        return self.items_inside[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items_inside[key] = value

    def __delitem__(self, key: Any) -> None:
        del self.items_inside[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items_inside)

    def __len__(self) -> int:
        return len(self.items_inside)


class Frozen(Mapping[Any, Any]):
    """A mapping that cannot be changed, in slots."""

    __slots__ = ("_inside",)

    def __init__(self, **items: Any) -> None:
        self._inside = items

    def __getitem__(self, key: Any) -> Any:
        return self._inside[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._inside)

    def __len__(self) -> int:
        return len(self._inside)


class Row(Sequence[Any]):
    def __init__(self, *items: Any) -> None:
        self.cells = items

    def __getitem__(self, index: Any) -> Any:
        return self.cells[index]

    def __len__(self) -> int:
        return len(self.cells)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and self.cells == other.cells

    def __hash__(self) -> int:
        return hash(self.cells)


@dataclasses.dataclass
class Order:
    item: Any
    count: int = 1


@dataclasses.dataclass(frozen=True)
class FrozenOrder:
    item: Any
    count: int = 1


@dataclasses.dataclass(slots=True)
class SlottedOrder:
    item: Any
    count: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlottedOrder:
    item: Any
    count: int = 1
    unset: Any = dataclasses.field(init=False, compare=False, repr=False)


class Model(pydantic.BaseModel):
    item: Any
    count: int = 1


@pydantic.dataclasses.dataclass
class CheckedOrder:
    item: Any
    count: int = 1


OldPoint = namedtuple("OldPoint", ["x", "y"])  # noqa: PYI024 - users have them

Build = Callable[[Any], Any]

# What is made of a future, and of the value that takes its place.
CONTAINERS: list[Any] = [
    pytest.param(lambda x: x, id="bare"),
    pytest.param(lambda x: [x, "kept"], id="list"),
    pytest.param(lambda x: (x, "kept"), id="tuple"),
    pytest.param(lambda x: Point(x, "kept"), id="typed-named-tuple"),
    pytest.param(lambda x: OldPoint(x, "kept"), id="named-tuple"),
    pytest.param(lambda x: Pair(x, "kept"), id="tuple-subclass"),
    pytest.param(lambda x: {x, "kept"}, id="set"),
    pytest.param(lambda x: frozenset({x, "kept"}), id="frozenset"),
    pytest.param(lambda x: {"key": x, "kept": 1}, id="dict-value"),
    pytest.param(lambda x: {x: "value", "kept": 1}, id="dict-key"),
    pytest.param(lambda x: OrderedDict(b=x, a=2), id="ordered-dict"),
    pytest.param(lambda x: OrderedDict([(x, 1), ("a", 2)]), id="ordered-dict-key"),
    pytest.param(lambda x: defaultdict(list, key=x), id="defaultdict"),
    pytest.param(lambda x: Counter({x: 3, "kept": 1}), id="counter"),
    pytest.param(lambda x: deque([x, "kept"], maxlen=2), id="deque"),
    pytest.param(lambda x: UserDict(key=x), id="user-dict"),
    pytest.param(lambda x: UserList([x, "kept"]), id="user-list"),
    pytest.param(lambda x: ChainMap({"a": 1}, {"b": x}), id="chain-map"),
    pytest.param(lambda x: MappingProxyType({"key": x}), id="mapping-proxy"),
    pytest.param(lambda x: Bag(key=x), id="mutable-mapping"),
    pytest.param(lambda x: Frozen(key=x), id="mapping"),
    pytest.param(lambda x: Row(x, "kept"), id="sequence"),
    pytest.param(Order, id="dataclass"),
    pytest.param(FrozenOrder, id="frozen-dataclass"),
    pytest.param(SlottedOrder, id="slotted-dataclass"),
    pytest.param(FrozenSlottedOrder, id="frozen-slotted-dataclass"),
    pytest.param(lambda x: Model(item=x), id="pydantic-model"),
    pytest.param(CheckedOrder, id="pydantic-dataclass"),
    pytest.param(lambda x: [{"a": ({x: [Order({"b": x})]},)}], id="nested"),
]

each_container = pytest.mark.parametrize("build", CONTAINERS)


# -- Where futures are found ------------------------------------------------------


@each_container
@pytest.mark.rule("RES-01", "RES-02", "RES-04")
async def test_a_future_in_a_container_is_replaced_by_its_value(build: Build) -> None:
    async with Runtime():
        future = await number.submit(1)

        received = await echo.submit(build(future)).aresult()

    assert type(received) is type(build(1))
    assert received == build(1)


@each_container
@pytest.mark.rule("RES-01", "RES-02", "RES-04")
async def test_a_submission_in_a_container_is_replaced_by_its_value(
    build: Build,
) -> None:
    async with Runtime():
        received = await echo.submit(build(number.submit(1))).aresult()

    assert received == build(1)


@each_container
@pytest.mark.rule("RES-02", "RES-11")
async def test_a_state_in_a_container_is_replaced_by_its_data(build: Build) -> None:
    async with Runtime():
        received = await echo.submit(build(Completed(data=1))).aresult()

    assert received == build(1)


@each_container
@pytest.mark.rule("RES-01", "RES-02")
async def test_an_awaited_task_gets_values_in_place_of_futures(build: Build) -> None:
    async with Runtime():
        received = await echo(build(number.submit(1)))

    assert received == build(1)


@pytest.mark.rule("RES-01", "RES-03")
def test_a_called_plain_task_waits_for_the_futures_among_its_inputs() -> None:
    @task
    def show(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    @flow
    def program() -> Any:
        future = number.submit(1)
        return show([future], {future: future}, by_name=(future,))

    assert program() == (([1], {1: 1}), {"by_name": (1,)})


@pytest.mark.rule("RES-01")
def test_a_submitted_plain_task_gets_values_in_place_of_futures() -> None:
    @task
    def show(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    @flow
    def program() -> Any:
        future = number.submit(1)
        return show.submit([future], {future: future}, by_name=(future,)).result()

    assert program() == (([1], {1: 1}), {"by_name": (1,)})


@pytest.mark.rule("RES-01", "FLOW-03")
async def test_a_flow_gets_values_in_place_of_futures() -> None:
    @flow
    async def inner(values: Any, *, by_name: Any) -> Any:
        return values, by_name

    async with Runtime():
        received = await inner([number.submit(1)], by_name={"a": number.submit(2)})

    assert received == ([1], {"a": 2})


@pytest.mark.rule("RES-01", "FLOW-03")
def test_a_plain_flow_gets_values_in_place_of_futures() -> None:
    @flow
    def inner(values: Any) -> Any:
        return values

    @flow
    def outer() -> Any:
        return inner([number.submit(1)])

    assert outer() == [1]


@pytest.mark.rule("RES-01")
async def test_the_futures_of_a_map_arrive_as_a_plain_list_of_values() -> None:
    async with Runtime():
        received = await echo.submit(number.map([1, 2, 3])).aresult()

    assert type(received) is list
    assert received == [1, 2, 3]


@pytest.mark.rule("RES-01")
async def test_the_futures_of_an_empty_map_arrive_as_a_plain_list() -> None:
    async with Runtime():
        received = await echo.submit(number.map([])).aresult()

    assert type(received) is list
    assert received == []


@pytest.mark.rule("RES-02")
@pytest.mark.parametrize(
    ("view", "expected"),
    [
        pytest.param(lambda held: held.values(), [1, 2], id="values"),
        pytest.param(lambda held: held.items(), [("a", 1), ("b", 2)], id="items"),
        pytest.param(
            lambda held: dict.fromkeys(held.values()).keys(), [1, 2], id="keys"
        ),
    ],
)
async def test_futures_in_a_view_of_a_dict_are_replaced(
    view: Callable[[dict[str, Any]], Any], expected: list[Any]
) -> None:
    async with Runtime():
        held = view({"a": number.submit(1), "b": number.submit(2)})

        received = await echo.submit(held).aresult()

    assert type(received) is type(held)
    assert list(received) == expected


@pytest.mark.rule("RES-04")
async def test_a_list_with_an_iterator_of_its_own_is_copied_without_it() -> None:
    @task
    async def look(names: Names) -> Any:
        return type(names), names[0], names.label

    async with Runtime():
        names = Names([number.submit(1)])
        names.label = "mine"

        assert await look.submit(names).aresult() == (Names, 1, "mine")


@pytest.mark.rule("RES-04", "RES-05")
async def test_a_dict_that_refuses_to_be_written_to_is_copied_all_the_same() -> None:
    async with Runtime():
        strict = Strict(a=number.submit(1))

        received = await echo.submit(strict).aresult()

    assert type(received) is Strict
    assert received == {"a": 1}


@pytest.mark.rule("RES-04", "RES-05")
async def test_a_mapping_of_the_users_own_making_is_left_as_it_was() -> None:
    async with Runtime():
        future = await number.submit(1)
        bag = Bag(key=future)

        await echo.submit(bag).aresult()

    assert bag.items_inside == {"key": future}


@pytest.mark.rule("RES-04")
async def test_a_defaultdict_keeps_its_factory_and_a_deque_its_bound() -> None:
    async with Runtime():
        grouped = defaultdict(list, a=number.submit(1))
        last = deque([number.submit(1), 2, 3], maxlen=3)

        received = await echo.submit([grouped, last]).aresult()

    assert received[0]["new"] == []
    assert received[1].maxlen == 3


@pytest.mark.rule("RES-03")
async def test_keys_that_become_equal_collapse_and_the_last_wins() -> None:
    async with Runtime():
        first, second = number.submit(1), number.submit(1)

        received = await echo.submit({first: "a", second: "b"}).aresult()

    assert received == {1: "b"}


async def test_a_dict_keeps_its_order() -> None:
    async with Runtime():
        given = {"z": number.submit(1), "a": 2, "m": number.submit(3)}

        received = await echo.submit(given).aresult()

    assert list(received) == ["z", "a", "m"]


@pytest.mark.rule("RES-04")
async def test_futures_in_arbitrary_objects_are_left_alone() -> None:
    class Holder:
        def __init__(self, inside: Any) -> None:
            self.inside = inside

    async with Runtime():
        future = await number.submit(1)
        holder = Holder(future)

        received = await echo.submit(holder).aresult()

    assert received is holder
    assert holder.inside is future


# -- Dataclasses and models -------------------------------------------------------


@pytest.mark.rule("RES-06")
async def test_a_dataclass_is_copied_without_its_constructor() -> None:
    made: list[str] = []

    @dataclasses.dataclass
    class Report:
        body: Any
        seed: dataclasses.InitVar[int]
        total: int = dataclasses.field(init=False)

        def __post_init__(self, seed: int) -> None:
            made.append("made")
            self.total = seed

    async with Runtime():
        report = Report(number.submit(1), seed=7)
        report.total += 1

        received = await echo.submit(report).aresult()

    assert (received.body, received.total) == (1, 8)
    assert made == ["made"]


@pytest.mark.rule("RES-06")
async def test_a_dataclass_with_a_field_that_is_not_set_is_copied() -> None:
    @dataclasses.dataclass
    class Report:
        body: Any
        later: int = dataclasses.field(init=False)

    async with Runtime():
        received = await echo.submit(Report(number.submit(1))).aresult()

    assert received.body == 1
    assert not hasattr(received, "later")


@pytest.mark.rule("RES-06")
async def test_attributes_of_a_dataclass_that_are_no_fields_are_kept() -> None:
    async with Runtime():
        order = Order(number.submit(1))
        order.__dict__["note"] = "kept"

        received = await echo.submit(order).aresult()

    assert received.__dict__ == {"item": 1, "count": 1, "note": "kept"}


@pytest.mark.rule("RES-06")
async def test_the_callers_dataclass_still_holds_the_future() -> None:
    async with Runtime():
        future = await number.submit(1)
        order = Order(future)

        await echo.submit(order).aresult()

    assert order.item is future


@pytest.mark.rule("RES-02", "RES-06")
async def test_a_dataclass_itself_is_no_container() -> None:
    async with Runtime():
        received = await echo.submit([Order, number.submit(1)]).aresult()

    assert received[0] is Order


@pytest.mark.rule("RES-07")
async def test_the_validators_of_a_model_do_not_run_again() -> None:
    class Counted(pydantic.BaseModel):
        count: int
        body: Any

        @pydantic.field_validator("count")
        @classmethod
        def one_more(cls, count: int) -> int:
            return count + 1

    async with Runtime():
        received = await echo.submit(
            Counted(count=1, body=number.submit("x"))
        ).aresult()

    assert (received.count, received.body) == (2, "x")


@pytest.mark.rule("RES-02", "RES-07")
async def test_a_model_keeps_its_private_attributes_and_gets_its_extras_replaced() -> (
    None
):
    class Open(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow")
        item: int = 0
        _secret: Any = pydantic.PrivateAttr(default=None)

    async with Runtime():
        future = await number.submit(1)
        model = Open(item=5, more=future)  # pyright: ignore[reportCallIssue]
        model._secret = future

        received = await echo.submit(model).aresult()

    assert received.model_extra == {"more": 1}
    assert received._secret is future
    assert received.model_fields_set == {"item", "more"}
    assert model.model_extra == {"more": future}


@pytest.mark.rule("RES-07")
async def test_a_frozen_model_is_copied_and_the_callers_is_left_as_it_was() -> None:
    class Fixed(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(frozen=True)
        item: Any

    async with Runtime():
        future = await number.submit(1)
        model = Fixed(item=[future])

        received = await echo.submit(model).aresult()

    assert received.item == [1]
    assert model.item == [future]


# -- What is passed on as it is ---------------------------------------------------


@each_container
@pytest.mark.rule("RES-05")
async def test_what_holds_no_future_arrives_as_the_very_object(build: Build) -> None:
    given = build(1)

    async with Runtime():
        submitted = await echo.submit(given).aresult()
        awaited = await echo(given)
        mapped = await echo.map([[given]]).aresult()

    assert submitted is given
    assert awaited is given
    assert mapped[0][0] is given


@pytest.mark.rule("RES-05")
async def test_only_the_way_to_a_future_is_copied() -> None:
    beside, below = ["beside"], {"deep": ["below"]}
    async with Runtime():
        future = await number.submit(1)
        given = [beside, {"future": future, "below": below}]

        received = await echo.submit(given).aresult()

    assert received == [["beside"], {"future": 1, "below": below}]
    assert received[0] is beside
    assert received[1]["below"] is below
    assert given == [beside, {"future": future, "below": below}]


@pytest.mark.rule("RES-05")
async def test_a_body_sees_changes_made_by_the_caller_after_submit() -> None:
    given = [1]
    async with Runtime():
        submission = echo.submit(given)
        given.append(2)

        received = await submission.aresult()

    assert received == [1, 2]


class Colour(enum.Enum):
    RED = ("red", 1)


@pytest.mark.rule("RES-19")
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="None"),
        pytest.param(Ellipsis, id="ellipsis"),
        pytest.param(NotImplemented, id="NotImplemented"),
        pytest.param(Colour.RED, id="enum-member"),
        pytest.param(Colour, id="enum"),
        pytest.param(int, id="class"),
        pytest.param(ValueError("x"), id="exception"),
        pytest.param(array.array("i", [1]), id="array"),
        pytest.param(memoryview(b"x"), id="memoryview"),
        pytest.param(range(3), id="range"),
        pytest.param(object(), id="object"),
        pytest.param(echo, id="task"),
    ],
)
async def test_singletons_enums_and_objects_pass_unchanged(value: Any) -> None:
    async with Runtime():
        future = number.submit(1)

        received = await echo.submit([value, future]).aresult()

    assert received[0] is value


def numbers_of(futures: list[Any]) -> Iterator[Any]:
    yield from futures


@pytest.mark.rule("RES-08", "GEN-05")
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(numbers_of, id="generator"),
        pytest.param(iter, id="iterator"),
        pytest.param(lambda futures: map(str, futures), id="map"),
        pytest.param(lambda futures: zip(futures, strict=True), id="zip"),
        pytest.param(itertools.chain, id="chain"),
        pytest.param(reversed, id="reversed"),
        pytest.param(enumerate, id="enumerate"),
    ],
)
async def test_an_iterator_arrives_unread(make: Callable[[list[Any]], Any]) -> None:
    received: list[Any] = []

    @task
    async def keep(*values: Any) -> None:
        received.extend(values)

    async with Runtime():
        future = await number.submit(1)
        iterator = make([future, future])

        await keep.submit(iterator, [iterator, future]).aresult()
        await keep(iterator)

    assert received[0] is received[1][0] is received[2] is iterator
    assert len(list(iterator)) in (1, 2)


@pytest.mark.rule("RES-08")
async def test_an_asynchronous_generator_arrives_unread() -> None:
    async def ticks() -> Any:
        yield 1
        yield 2

    @task
    async def total(numbers: Any) -> int:
        return sum([n async for n in numbers])

    async with Runtime():
        assert await total.submit(ticks()).aresult() == 3


@pytest.mark.rule("RES-08", "FLOW-03")
async def test_a_flow_gets_a_generator_unread() -> None:
    @flow
    async def total(numbers: Iterator[int]) -> int:
        return sum(numbers)

    assert await total(iter([1, 2, 3])) == 6


@pytest.mark.rule("RES-09")
async def test_an_open_file_is_not_read() -> None:
    text = io.StringIO("one\ntwo\n")

    async with Runtime():
        received = await echo.submit({"file": text, "n": number.submit(1)}).aresult()

    assert received["file"] is text
    assert text.tell() == 0


@pytest.mark.rule("RES-08")
async def test_no_code_of_a_container_runs_when_it_is_searched() -> None:
    class Remote(MutableMapping[str, Any]):
        """As of a bucket, where every look costs money."""

        def __getitem__(self, key: str) -> Any:
            raise AssertionError("read")

        def __iter__(self) -> Iterator[str]:
            raise AssertionError("listed")

        __setitem__ = __delitem__ = __len__ = __getitem__  # pyright: ignore[reportAssignmentType]

    remote = Remote()
    async with Runtime():
        received = await echo.submit([remote, number.submit(1)]).aresult()

    assert received[0] is remote


# -- Cycles, sharing, depth -------------------------------------------------------


@pytest.mark.rule("RES-10")
async def test_a_list_that_contains_itself_arrives_as_it_is() -> None:
    given: list[Any] = [1]
    given.append(given)

    async with Runtime():
        received = await echo.submit(given).aresult()

    assert received is given


@pytest.mark.rule("RES-10")
async def test_the_copy_of_a_list_that_contains_itself_contains_itself() -> None:
    async with Runtime():
        given: list[Any] = [number.submit(1)]
        given.append(given)

        received = await echo.submit(given).aresult()

    assert received[0] == 1
    assert received[1] is received


@pytest.mark.rule("RES-10")
async def test_a_cycle_through_a_tuple_and_a_dict_is_kept() -> None:
    async with Runtime():
        inner: dict[str, Any] = {"future": number.submit(1)}
        given = (inner,)
        inner["up"] = given

        received = await echo.submit(given).aresult()

    assert received[0]["future"] == 1
    assert received[0]["up"][0] is received[0]


@pytest.mark.rule("RES-10")
async def test_a_container_that_appears_twice_is_copied_once() -> None:
    async with Runtime():
        shared = [number.submit(1)]

        received = await echo.submit({"a": shared, "b": (shared, shared)}).aresult()

    assert received == {"a": [1], "b": ([1], [1])}
    assert received["a"] is received["b"][0] is received["b"][1]


@pytest.mark.rule("RES-10")
async def test_arguments_that_share_a_container_still_share_it() -> None:
    @task
    async def are_one(left: Any, right: Any, *, inside: Any) -> bool:
        return left is right is inside[0]

    async with Runtime():
        shared = [number.submit(1)]

        assert await are_one.submit(shared, shared, inside=(shared,)).aresult()


DEPTH = 100_000


def nested(inmost: Any, wrap: Callable[[Any], Any] = lambda inner: [inner]) -> Any:
    value = inmost
    for _ in range(DEPTH):
        value = wrap(value)
    return value


@pytest.mark.slow
@pytest.mark.rule("RES-02", "RES-10")
async def test_a_future_100_000_lists_deep_is_found_and_replaced() -> None:
    async with Runtime():
        value = await echo.submit(nested(number.submit(1))).aresult()

    for _ in range(DEPTH):
        (value,) = value
    assert value == 1


@pytest.mark.slow
@pytest.mark.rule("RES-02", "RES-05")
@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda inner: [inner], id="list"),
        pytest.param(lambda inner: (inner,), id="tuple"),
        pytest.param(lambda inner: {"": inner}, id="dict"),
        pytest.param(quote, id="quote"),
    ],
)
async def test_a_structure_100_000_deep_without_futures_arrives(
    wrap: Callable[[Any], Any],
) -> None:
    given = nested([], wrap)

    async with Runtime():
        received = await echo.submit([given]).aresult()

    assert received[0] is given or quote(received[0]).value is given.value


# -- States -----------------------------------------------------------------------


@pytest.mark.rule("RES-11")
async def test_the_state_of_a_finished_run_stands_for_its_value() -> None:
    async with Runtime():
        state = await number.submit([1]).astate()

        received = await echo.submit({"a": state}).aresult()

    assert received == {"a": [1]}


@pytest.mark.rule("RES-11")
async def test_a_state_made_without_data_stands_for_none() -> None:
    async with Runtime():
        assert await echo.submit([Completed()]).aresult() == [None]
        assert await echo([Completed()]) == [None]


@pytest.mark.rule("RES-11", "RES-12")
@pytest.mark.parametrize("make", [Pending, Running, Paused], ids=lambda m: m.__name__)
async def test_a_state_that_is_not_final_holds_a_run_back(
    make: Callable[[], State[Any]],
) -> None:
    async with Runtime():
        submitted = await echo.submit([make()]).astate()
        awaited = await echo([make()], return_state=True)

    for state in (submitted, awaited):
        assert state is not None
        assert (state.type, state.name) == (StateType.CANCELLED, "NotReady")


@pytest.mark.rule("RES-11", "RES-12")
@pytest.mark.parametrize(
    "state",
    [
        pytest.param(Failed(data=ValueError("boom")), id="failed"),
        pytest.param(Failed(), id="failed-without-data"),
        pytest.param(Failed(data="text"), id="failed-with-text"),
        pytest.param(Failed(data=5), id="failed-with-nonsense"),
        pytest.param(Crashed(data=SystemExit(1)), id="crashed"),
        pytest.param(Cancelled(), id="cancelled"),
    ],
)
async def test_a_made_state_that_did_not_complete_holds_a_run_back(
    state: State[Any],
) -> None:
    async with Runtime():
        submission = echo.submit(state)

        with pytest.raises(UpstreamTaskError, match="a state without a run"):
            await submission.aresult()


@pytest.mark.rule("RES-11", "RES-12")
async def test_a_run_held_back_by_the_state_of_a_run_names_that_run() -> None:
    async with Runtime():
        upstream = broken.submit()
        state = await upstream.astate()

        with pytest.raises(UpstreamTaskError) as caught:
            await echo.submit([state]).aresult()

    assert caught.value.upstream_name == upstream.id
    assert state is not None
    assert caught.value.__cause__ is state.data


@pytest.mark.rule("RES-11", "RES-12")
async def test_a_run_held_back_by_the_state_of_a_flow_names_that_flow_run() -> None:
    @flow
    async def failing() -> None:
        raise ValueError("boom")

    state = await failing(return_state=True)
    async with Runtime():
        with pytest.raises(UpstreamTaskError) as caught:
            await echo.submit([state]).aresult()

    assert caught.value.upstream_name == state.state_details.flow_run_id


# -- Upstreams that did not complete ----------------------------------------------


@pytest.mark.rule("RES-12")
async def test_a_run_whose_upstream_failed_is_not_ready_and_says_why() -> None:
    ran: list[Any] = []

    @task(retries=5)
    async def downstream(value: Any) -> None:
        ran.append(value)

    async with Runtime():
        upstream = broken.submit()
        future = await downstream.submit([upstream])
        state = await future.astate()

    assert state is not None
    assert (state.type, state.name) == (StateType.CANCELLED, "NotReady")
    assert ran == []
    assert future.task_run.run_count == 0
    assert [s.name for s in future.history] == ["Pending", "NotReady"]
    error = state.result(raise_on_failure=False)
    assert isinstance(error, UpstreamTaskError)
    assert (error.upstream_name, error.upstream_state) == ("broken-0", "Failed")
    assert isinstance(error.__cause__, ValueError)
    assert error.verdict == "FAILED"


@pytest.mark.rule("RES-12", "CALL-10")
async def test_an_awaited_task_whose_upstream_failed_raises_upstream_task_error() -> (
    None
):
    async with Runtime():
        upstream = broken.submit()

        with pytest.raises(UpstreamTaskError) as caught:
            await echo([upstream])
        state = await echo([upstream], return_state=True)

    assert isinstance(caught.value.__cause__, ValueError)
    assert state.name == "NotReady"


@pytest.mark.rule("RES-12", "CALL-10")
def test_a_called_task_whose_upstream_failed_raises_upstream_task_error() -> None:
    @task
    def show(value: Any) -> Any:
        return value

    @flow
    def program() -> Any:
        upstream = broken.submit()
        with pytest.raises(UpstreamTaskError) as caught:
            show([upstream])
        return caught.value, show([upstream], return_state=True).name

    error, name = program()

    assert isinstance(error.__cause__, ValueError)
    assert name == "NotReady"


@pytest.mark.rule("FLOW-03")
async def test_a_flow_whose_input_failed_is_not_ready() -> None:
    @flow
    async def inner(value: Any) -> Any:
        return value

    async with Runtime():
        upstream = broken.submit()

        with pytest.raises(UpstreamTaskError) as caught:
            await inner([upstream])
        state = await inner([upstream], return_state=True)

    assert isinstance(caught.value.__cause__, ValueError)
    assert (state.type, state.name) == (StateType.CANCELLED, "NotReady")


@pytest.mark.rule("FLOW-03")
def test_a_plain_flow_whose_input_failed_is_not_ready() -> None:
    @flow
    def inner(value: Any) -> Any:
        return value

    @flow
    def outer() -> Any:
        upstream = broken.submit()
        with pytest.raises(UpstreamTaskError):
            inner([upstream])
        return inner([upstream], return_state=True).name

    assert outer() == "NotReady"


@pytest.mark.rule("RES-12")
async def test_the_first_of_several_failures_is_the_one_named() -> None:
    @task
    async def fail(name: str) -> None:
        raise ValueError(name)

    async with Runtime():
        failures = fail.map(["a", "b", "c"])

        with pytest.raises(UpstreamTaskError) as caught:
            await echo.submit([failures[1], {"x": failures[0]}, failures[2]]).aresult()

    assert caught.value.upstream_name == failures[1].name
    assert str(caught.value.__cause__) == "b"


@pytest.mark.rule("RES-13")
async def test_not_ready_cascades() -> None:
    async with Runtime():
        future = await broken.submit()
        for _ in range(3):
            future = await echo.submit([future])
        state = await future.astate()

        with pytest.raises(UpstreamTaskError) as caught:
            await future

    assert state is not None
    assert state.name == "NotReady"
    causes = []
    cause: BaseException | None = caught.value
    while cause is not None:
        causes.append(type(cause))
        cause = cause.__cause__
    assert causes == [UpstreamTaskError, UpstreamTaskError, ValueError]


@pytest.mark.rule("RES-13", "RES-01")
async def test_a_chain_of_10_000_submits_passes_a_value_on() -> None:
    @task
    async def increment(value: Any) -> Any:
        return value + 1

    async with Runtime():
        future = increment.submit(0)
        for _ in range(9_999):
            future = increment.submit(future)

        assert await future.aresult() == 10_000


@pytest.mark.rule("RES-13")
async def test_a_chain_of_10_000_submits_is_held_back_by_its_first() -> None:
    @task
    async def increment(value: Any) -> Any:
        return value + 1

    async with Runtime():
        first: Any = await broken.submit()
        future = first
        for _ in range(9_999):
            future = increment.submit(future)

        with pytest.raises(UpstreamTaskError) as caught:
            await future.aresult()

    assert isinstance(caught.value.__cause__, UpstreamTaskError)
    assert caught.value.__cause__.upstream_name == first.name


@pytest.mark.rule("RES-12")
async def test_a_run_waits_for_all_its_upstreams_although_one_has_failed() -> None:
    @task
    async def slow() -> None:
        await anyio.sleep(10)

    async with Runtime():
        started = anyio.current_time()
        state = await echo.submit([broken.submit(), slow.submit()]).astate()

    assert state is not None
    assert state.name == "NotReady"
    assert anyio.current_time() - started == pytest.approx(10)


@pytest.mark.rule("RES-12")
async def test_cancelling_an_upstream_holds_its_dependants_back() -> None:
    @task
    async def forever() -> None:
        await anyio.sleep_forever()

    async with Runtime():
        upstream = await forever.submit()
        downstream = echo.submit([upstream])
        upstream.cancel()

        with pytest.raises(UpstreamTaskError) as caught:
            await downstream.aresult()

    assert (caught.value.upstream_state, caught.value.verdict) == (
        "Cancelled",
        "CANCELLED",
    )


@pytest.mark.rule("RES-12")
async def test_a_dependant_can_be_cancelled_while_it_waits() -> None:
    release = asyncio.Event()

    @task
    async def hold() -> int:
        await release.wait()
        return 1

    async with Runtime():
        upstream = await hold.submit()
        downstream = await echo.submit([upstream])
        downstream.cancel()
        state = await downstream.astate()
        release.set()

        assert await upstream == 1

    assert state is not None
    assert state.name == "Cancelled"


# -- Inputs that cannot be put together -------------------------------------------


@pytest.mark.rule("RES-14")
@pytest.mark.parametrize("how", ["submitted", "awaited"])
async def test_an_unhashable_value_for_a_set_fails_the_run(how: str) -> None:
    ran: list[Any] = []

    @task(retries=3)
    async def downstream(first: Any, second: Any) -> None:
        ran.append(second)

    async with Runtime():
        upstream = number.submit([1])
        if how == "submitted":
            state = await downstream.submit(1, second={upstream}).astate()
        else:
            state = await downstream(1, second={upstream}, return_state=True)

    assert state is not None
    assert (state.type, state.name) == (StateType.FAILED, "Failed")
    error = state.result(raise_on_failure=False)
    assert isinstance(error, HeadraceError)
    assert isinstance(error.__cause__, TypeError)
    assert "'second'" in str(error)
    assert "quote(" in str(error)
    assert ran == []


@pytest.mark.rule("RES-14")
def test_an_unhashable_value_for_a_key_fails_plain_runs_too() -> None:
    @task
    def downstream(value: Any) -> None:
        raise AssertionError("it ran")

    @flow
    def program() -> Any:
        upstream = number.submit([1])
        submitted = downstream.submit({upstream: 1}, return_state=True)
        called = downstream({upstream: 1}, return_state=True)
        return [state.result(raise_on_failure=False) for state in (submitted, called)]

    for error in program():
        assert isinstance(error, HeadraceError)
        assert isinstance(error.__cause__, TypeError)


@pytest.mark.rule("RES-14")
async def test_a_flow_with_an_input_that_cannot_be_put_together_fails() -> None:
    @flow
    async def inner(value: Any) -> Any:
        return value

    async with Runtime():
        upstream = number.submit([1])

        with pytest.raises(HeadraceError) as caught:
            await inner({upstream})

    assert isinstance(caught.value.__cause__, TypeError)
    assert "'value'" in str(caught.value)


@pytest.mark.rule("RES-14")
async def test_a_future_put_into_an_input_after_the_submit_fails_the_run() -> None:
    @task
    async def forever() -> None:
        await anyio.sleep_forever()

    async with Runtime():
        late = await forever.submit()
        given = [await number.submit(1)]
        submission = echo.submit(given)
        given.append(late)
        state = await submission.astate()
        late.cancel()

    assert state is not None
    assert state.type is StateType.FAILED
    error = state.result(raise_on_failure=False)
    assert isinstance(error, HeadraceError)
    assert isinstance(error.__cause__, UnfinishedRun)


class Unhashable(type):  # noqa: PLW1641 - that it has none is the point
    """The type of classes that cannot be looked up in a table."""

    def __eq__(cls, other: object) -> bool:
        return cls is other


@pytest.mark.rule("RES-14")
async def test_an_input_whose_very_type_is_broken_fails_the_run_only() -> None:
    class Odd(metaclass=Unhashable):
        pass

    async with Runtime() as runtime:
        state = await echo.submit([Odd()]).astate()
        bare = await echo.submit(Odd()).astate()
        fine = await echo.submit(1).aresult()
        del runtime

    assert state is not None
    assert bare is not None
    assert (state.type, bare.type) == (StateType.FAILED, StateType.FAILED)
    assert fine == 1


@pytest.mark.rule("RES-14", "CRASH-12")
def test_an_input_whose_very_type_is_broken_does_not_hang_a_plain_flow() -> None:
    class Odd(metaclass=Unhashable):
        pass

    @flow
    def program() -> Any:
        states: list[Any] = [
            echo.submit(Odd(), return_state=True),
            echo.submit([Odd()], return_state=True),
            *echo.map([Odd(), Odd()], return_state=True),
        ]
        return [state.type for state in states]

    assert program() == [StateType.FAILED] * 4


# -- Results as they are ----------------------------------------------------------


def giving(value: Any) -> Any:
    @task
    async def give() -> Any:
        return value

    return give.submit()


@pytest.mark.rule("RES-15")
async def test_a_quote_that_an_upstream_returned_is_passed_on() -> None:
    async with Runtime():
        received = await echo.submit([giving(quote([1]))]).aresult()

    assert received == [quote([1])]


@pytest.mark.rule("RES-15")
async def test_a_state_inside_a_result_is_passed_on() -> None:
    inside = {"state": Failed(data=ValueError("boom"))}

    async with Runtime():
        received = await echo.submit([giving(inside)]).aresult()

    assert received[0] is inside


@pytest.mark.rule("RES-15")
async def test_a_future_inside_a_result_is_passed_on() -> None:
    async with Runtime():
        inner = await number.submit(1)
        inside = {"future": inner}

        received = await echo.submit(giving(inside)).aresult()

    assert received is inside
    assert inside["future"] is inner


# -- Waiting for upstreams --------------------------------------------------------


@pytest.mark.rule("RES-16")
async def test_upstreams_are_awaited_at_the_same_time() -> None:
    @task
    async def slow(seconds: float) -> float:
        await anyio.sleep(seconds)
        return seconds

    async with Runtime():
        started = anyio.current_time()
        received = await echo.submit([slow.submit(10), {slow.submit(20)}]).aresult()

    assert received == [10, {20}]
    assert anyio.current_time() - started == pytest.approx(20)


@pytest.mark.rule("RES-16")
async def test_one_future_in_many_places_gives_one_value() -> None:
    async with Runtime():
        future = await number.submit([1])

        received = await echo.submit([future, {"a": future}, (future,)]).aresult()

    assert received[0] is received[1]["a"] is received[2][0]


@pytest.mark.rule("RES-17")
async def test_attempts_get_the_same_objects() -> None:
    seen: list[Any] = []

    @task(retries=2)
    async def flaky(values: Any) -> None:
        seen.append((values, list(values)))
        values.append(1)
        raise ValueError("again")

    async with Runtime():
        await flaky.submit([number.submit(0)]).astate()

    assert [then for _, then in seen] == [[0], [0, 1], [0, 1, 1]]
    assert seen[0][0] is seen[1][0] is seen[2][0]


@pytest.mark.rule("RES-18")
async def test_waiting_for_upstreams_is_not_part_of_the_run() -> None:
    @task
    async def slow() -> int:
        await anyio.sleep(100)
        return 1

    @task(timeout_seconds=1)
    async def quick(value: Any) -> Any:
        return value

    async with Runtime():
        started = anyio.current_time()
        upstream = slow.submit()
        future = await quick.submit(upstream)
        value = await future

    assert value == 1
    assert anyio.current_time() - started == pytest.approx(100)
    assert [state.name for state in future.history] == [
        "Pending",
        "Running",
        "Completed",
    ]


@pytest.mark.rule("DEP-08")
async def test_submit_returns_before_its_upstream_has_ended() -> None:
    release = asyncio.Event()

    @task
    async def hold() -> int:
        await release.wait()
        return 1

    async with Runtime():
        upstream = await hold.submit()
        downstream = await echo.submit([upstream])
        was_done = upstream.done(), downstream.done()
        release.set()

        assert await downstream == [1]

    assert was_done == (False, False)


@pytest.mark.rule("DEP-08")
def test_submit_in_plain_code_returns_before_its_upstream_has_ended() -> None:
    release = threading.Event()

    @task
    def hold() -> int:
        assert release.wait(5)
        return 1

    @flow
    def program() -> Any:
        upstream = hold.submit()
        downstream = echo.submit([upstream])
        was_done = upstream.done() or downstream.done()
        release.set()
        return was_done, downstream.result()

    assert program() == (False, [1])


# -- Every door -------------------------------------------------------------------


@task
def plain_echo(*args: Any, **kwargs: Any) -> Any:
    return list(args), kwargs


@task
async def slow(seconds: float = 10) -> float:
    await anyio.sleep(seconds)
    return seconds


@pytest.mark.rule("RES-01", "CALL-05")
async def test_a_plain_task_called_on_the_loop_takes_futures_that_are_done() -> None:
    async with Runtime():
        future = await number.submit(1)
        await future

        assert plain_echo([future], a={future}) == ([[1]], {"a": {1}})


@pytest.mark.rule("RES-01", "CALL-05")
async def test_a_plain_task_called_on_the_loop_refuses_a_pending_future() -> None:
    async with Runtime():
        pending = await slow.submit()

        with pytest.raises(BlockedLoop, match=r"'slow-0'.*await plain_echo\.acall"):
            plain_echo([1, {"a": pending}])
        with pytest.raises(BlockedLoop, match="'slow-0'"):
            plain_echo(wait_for={"a": pending})


@pytest.mark.rule("RES-01")
async def test_acall_waits_for_pending_futures() -> None:
    async with Runtime():
        started = anyio.current_time()
        plain: Any = await plain_echo.acall([slow.submit(10)], a=slow.submit(20))
        coroutine: Any = await echo.acall([slow.submit(10)])

    assert plain == ([[10]], {"a": 20})
    assert coroutine == [10]
    assert anyio.current_time() - started == pytest.approx(30)


@pytest.mark.rule("RES-01", "RES-12")
async def test_acall_of_a_task_whose_input_failed_raises() -> None:
    async with Runtime():
        upstream = broken.submit()
        for each in (plain_echo, echo):
            with pytest.raises(UpstreamTaskError):
                await each.acall([upstream])
            state = await each.acall([upstream], return_state=True)
            assert state.name == "NotReady"


@pytest.mark.rule("RES-01", "FLOW-03")
async def test_acall_of_a_plain_flow_waits_for_pending_futures() -> None:
    @flow
    def inner(values: Any, *, more: Any) -> Any:
        return values, more

    async with Runtime():
        started = anyio.current_time()
        received = await inner.acall([slow.submit(10)], more={"a": slow.submit(20)})

    assert received == ([10], {"a": 20})
    assert anyio.current_time() - started == pytest.approx(20)


@pytest.mark.rule("RES-01", "FLOW-03")
async def test_a_plain_flow_called_on_the_loop_refuses_a_pending_future() -> None:
    ran: list[Any] = []

    @flow
    def inner(value: Any) -> None:
        ran.append(value)

    async with Runtime():
        pending = await slow.submit()

        with pytest.raises(BlockedLoop, match="'slow-0'"):
            inner([pending])
        with pytest.raises(BlockedLoop, match="'slow-0'"):
            inner(1, wait_for=pending)

    assert ran == []


@pytest.mark.rule("RES-01", "NEST-01")
def test_tasks_called_in_a_plain_task_get_values_in_place_of_futures() -> None:
    @task
    def outer(upstream: Any) -> Any:
        own = number.submit(upstream + 1)
        return [echo([own]), plain_echo({own: own}), echo.submit((own,)).value()]

    @flow
    def program() -> Any:
        return outer(number.submit(1))

    assert program() == [[2], ([{2: 2}], {}), (2,)]


@pytest.mark.rule("RES-01", "NEST-01")
async def test_a_future_of_the_task_around_is_an_input_inside() -> None:
    release = asyncio.Event()

    @task
    async def outer() -> Any:
        own = await hold.submit()
        inside = [echo.submit([own]), echo.submit({"a": own})]
        release.set()
        return [await each.aresult() for each in inside]

    @task
    async def hold() -> int:
        await release.wait()
        return 1

    async with Runtime():
        assert await outer.submit().aresult() == [[1], {"a": 1}]


@pytest.mark.rule("RES-01", "CALL-07")
async def test_awaited_tasks_wait_for_their_inputs_at_the_same_time() -> None:
    async with Runtime():
        started = anyio.current_time()
        upstream = slow.submit(10)
        received = await asyncio.gather(*[echo([upstream, n]) for n in range(100)])

    assert received == [[10, n] for n in range(100)]
    assert anyio.current_time() - started == pytest.approx(10)


@pytest.mark.rule("RES-01")
async def test_giving_up_an_awaited_task_that_waits_leaves_its_upstream_alone() -> None:
    ran: list[Any] = []

    @task
    async def downstream(value: Any) -> None:
        ran.append(value)

    async with Runtime():
        upstream = await slow.submit(10)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await downstream([upstream])

        assert await upstream == 10

    assert ran == []


# -- Runs of other runtimes -------------------------------------------------------


@pytest.mark.rule("RES-01", "RES-16")
async def test_a_future_of_another_runtime_on_the_same_loop_is_an_input() -> None:
    @task
    async def slow() -> int:
        await anyio.sleep(10)
        return 1

    async with Runtime():
        upstream = await slow.submit()
        async with Runtime():
            received = await echo.submit([upstream]).aresult()

    assert received == [1]


@pytest.mark.real_loops
@pytest.mark.rule("RES-01", "RES-16")
async def test_a_future_of_another_loop_is_an_input_in_coroutine_code() -> None:
    release = threading.Event()

    @task
    def hold() -> int:
        assert release.wait(5)
        return 1

    there = await asyncio.to_thread(Runtime().__enter__)
    with there.use():
        upstream = await asyncio.to_thread(hold.submit)
    async with Runtime():
        submitted = echo.submit([upstream])
        mapped = echo.map([upstream, [upstream]])
        release.set()

        assert await submitted.aresult() == [1]
        assert await mapped.aresult() == [1, [1]]
        assert await echo([upstream]) == [1]
    await asyncio.to_thread(there.__exit__, None, None, None)


@pytest.mark.rule("RES-01", "RES-16")
def test_a_future_of_another_loop_is_an_input_in_plain_code() -> None:
    release = threading.Event()

    @task
    def hold() -> int:
        assert release.wait(5)
        return 1

    @task
    def show(value: Any) -> Any:
        return value

    with Runtime():
        upstream = hold.submit()
        with Runtime():
            submitted = show.submit([upstream])
            release.set()

            assert submitted.result() == [1]
            assert show([upstream]) == [1]


@pytest.mark.rule("RES-12", "RES-16")
def test_a_failed_future_of_another_loop_holds_a_run_back() -> None:
    release = threading.Event()

    @task
    def fail() -> int:
        assert release.wait(5)
        raise ValueError("boom")

    with Runtime():
        upstream = fail.submit()
        with Runtime():
            submitted = echo.submit([upstream])
            release.set()
            state = submitted.future.wait(5)

    assert state is not None
    assert state.name == "NotReady"


@pytest.mark.rule("RES-16")
def test_a_runtime_that_is_gone_does_not_disturb_the_run_it_waited_for() -> None:
    release = threading.Event()

    @task
    def hold() -> int:
        assert release.wait(5)
        return 1

    with Runtime():
        upstream = hold.submit()
        beside = echo.submit([upstream])
        with Runtime():
            echo.submit([upstream]).cancel()
        after = echo.submit([upstream])
        release.set()

        assert [f.value(5) for f in (beside, after)] == [[1], [1]]


@pytest.mark.rule("RES-01")
def test_a_future_of_a_flow_that_has_ended_is_an_input_of_a_root_flow() -> None:
    kept: list[Any] = []

    @flow
    def first() -> None:
        kept.append(number.submit(1))

    @flow
    def second(values: list[int]) -> list[int]:
        return values

    first()

    assert second(kept) == [1]


# -- Many -------------------------------------------------------------------------


@pytest.mark.rule("RES-16")
async def test_a_run_can_wait_for_a_thousand_others() -> None:
    async with Runtime():
        received = await echo.submit(number.map(range(1000))).aresult()

    assert received == list(range(1000))


@pytest.mark.rule("RES-16")
async def test_a_thousand_runs_can_wait_for_one() -> None:
    @task
    async def slow() -> int:
        await anyio.sleep(10)
        return 1

    async with Runtime():
        upstream = slow.submit()

        received = await echo.map([[upstream]] * 1000).aresult()

    assert received == [[1]] * 1000
