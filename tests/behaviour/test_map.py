"""``task.map(...)``: one run for each element."""

from __future__ import annotations

import asyncio
import io
import itertools
import operator
import tempfile
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pydantic
import pytest

from headrace import Runtime, allow_failure, flow, quote, task, unmapped
from headrace.exceptions import (
    HeadraceError,
    MappingLengthMismatch,
    MappingMissingIterable,
    ParameterBindError,
    SubmitOutsideRun,
    UnreadyMap,
    UpstreamTaskError,
)
from headrace.futures import TaskFuture, TaskFutures
from headrace.states import Completed, Failed, State, StateType


@task
async def number(value: Any) -> Any:
    return value


@task
async def broken(text: str = "boom") -> None:
    raise ValueError(text)


@task
async def pair(left: Any, right: Any = "default") -> Any:
    return [left, right]


@task
async def anything(*args: Any, **kwargs: Any) -> Any:
    return [list(args), kwargs]


@task
def plain_pair(left: Any, right: Any = "default") -> Any:
    return [left, right]


def giving(value: Any) -> Any:
    """The future of a run that gives a value as it is."""

    @task
    async def give() -> Any:
        return value

    return give.submit()


# -- What comes back --------------------------------------------------------------


@pytest.mark.rule("MAP-01")
async def test_map_gives_a_list_of_futures_in_the_order_of_the_elements() -> None:
    @task
    async def slow(seconds: int) -> int:
        await anyio.sleep(seconds)
        return seconds

    async with Runtime():
        futures = slow.map([3, 1, 2])
        values = await futures.aresult()

    assert isinstance(futures, list)
    assert isinstance(futures, TaskFutures)
    assert all(isinstance(future, TaskFuture) for future in futures)
    assert values == [3, 1, 2]


@pytest.mark.rule("MAP-01")
async def test_awaiting_map_gives_the_list_and_gathering_it_gives_the_values() -> None:
    async with Runtime():
        futures = await number.map([1, 2])

        assert await asyncio.gather(*futures) == [1, 2]
        assert await futures is futures


@pytest.mark.rule("MAP-01")
async def test_map_gives_states_if_asked_to_after_all_have_ended() -> None:
    @task
    async def odd(value: int) -> int:
        await anyio.sleep(value)
        if value == 2:
            raise ValueError(value)
        return value

    async with Runtime():
        states = await odd.map([1, 2, 3], return_state=True)

    assert [state.name for state in states] == ["Completed", "Failed", "Completed"]


@pytest.mark.rule("MAP-01")
def test_map_in_plain_code_gives_states_if_asked_to() -> None:
    @flow
    def program() -> Any:
        states: Any = plain_pair.map([1, 2], return_state=True)
        return [state.result() for state in states]

    assert program() == [[1, "default"], [2, "default"]]


@pytest.mark.rule("MAP-01", "MAP-07")
async def test_states_of_a_map_over_a_pending_future_can_be_asked_for() -> None:
    async with Runtime():
        states: Any = await number.map(giving([1, 2]), return_state=True)

    assert [state.result() for state in states] == [1, 2]


@pytest.mark.rule("MAP-21")
async def test_runs_are_named_by_their_place() -> None:
    async with Runtime():
        names = [future.name for future in number.map(["a", "b", "c"])]

    assert names == ["number-0", "number-1", "number-2"]


@pytest.mark.rule("MAP-06")
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(list, id="list"),
        pytest.param(tuple, id="tuple"),
        pytest.param(set, id="set"),
        pytest.param(dict, id="dict"),
        pytest.param(lambda: range(0), id="range"),
        pytest.param(lambda: iter([]), id="iterator"),
        pytest.param(lambda: allow_failure([]), id="allow-failure"),
    ],
)
async def test_an_empty_iterable_gives_an_empty_list_and_no_runs(
    make: Callable[[], Any],
) -> None:
    async with Runtime():
        alone = number.map(make())
        with_static = await pair.map(make(), 5)
        states: Any = await pair.map(make(), right=unmapped([1]), return_state=True)
        next_name = number.submit(1).name

    assert [alone, with_static, states] == [[], [], []]
    assert next_name == "number-0"


@pytest.mark.rule("MAP-06")
def test_an_empty_map_in_plain_code() -> None:
    @flow
    def program() -> Any:
        futures = plain_pair.map([])
        return [list(futures), futures.result(), list(futures.wait())]

    assert program() == [[], [], []]


# -- What is mapped ---------------------------------------------------------------


def three() -> Iterator[int]:
    yield from (1, 2, 3)


class Three:
    def __iter__(self) -> Iterator[int]:
        return three()


class Indexed:
    """Iterable by its ``__getitem__`` alone, as an array of another library may be."""

    def __getitem__(self, index: int) -> int:
        return (1, 2, 3)[index]


@pytest.mark.rule("MAP-02", "MAP-03")
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: [1, 2, 3], id="list"),
        pytest.param(lambda: (1, 2, 3), id="tuple"),
        pytest.param(lambda: range(1, 4), id="range"),
        pytest.param(lambda: deque([1, 2, 3]), id="deque"),
        pytest.param(lambda: {1: "a", 2: "b", 3: "c"}, id="keys-of-a-dict"),
        pytest.param({"a": 1, "b": 2, "c": 3}.values, id="values"),
        pytest.param(three, id="generator"),
        pytest.param(lambda: iter([1, 2, 3]), id="iterator"),
        pytest.param(lambda: map(int, "123"), id="map"),
        pytest.param(lambda: itertools.islice(itertools.count(1), 3), id="islice"),
        pytest.param(lambda: bytearray(b"\1\2\3"), id="bytearray"),
        pytest.param(lambda: memoryview(b"\1\2\3"), id="memoryview"),
        pytest.param(Three, id="iterable"),
        pytest.param(Indexed, id="indexed"),
    ],
)
async def test_an_iterable_is_mapped(make: Callable[[], Any]) -> None:
    async with Runtime():
        assert await number.map(make()).aresult() == [1, 2, 3]


@pytest.mark.rule("MAP-03")
async def test_a_set_is_mapped_in_any_order() -> None:
    async with Runtime():
        assert set(await number.map({1, 2, 3}).aresult()) == {1, 2, 3}


class Model(pydantic.BaseModel):
    a: int = 1
    b: int = 2


class Rows(pydantic.RootModel[list[int]]):
    def __iter__(self) -> Any:
        return iter(self.root)


class Frame:
    """As a data frame of another library: iterating it gives the names of columns."""

    def __dataframe__(self) -> Any:
        raise AssertionError("asked for its data")

    def __iter__(self) -> Iterator[str]:
        return iter(["name", "age"])


class Scalar:
    """As an array without dimensions: it has an iterator, and refuses to give it."""

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("iteration over a 0-d array")


@pytest.mark.rule("MAP-02", "MAP-03")
@pytest.mark.parametrize(
    "static",
    [
        pytest.param("text", id="text"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param(5, id="number"),
        pytest.param(None, id="none"),
        pytest.param(object(), id="object"),
        pytest.param(io.StringIO("a\nb"), id="text-file"),
        pytest.param(io.BytesIO(b"a\nb"), id="binary-file"),
        pytest.param(Model(), id="model"),
        pytest.param(Rows([1]), id="root-model"),
        pytest.param(Frame(), id="data-frame"),
        pytest.param(Scalar(), id="scalar-array"),
        pytest.param(Model, id="class"),
        pytest.param(number, id="task"),
        pytest.param(ValueError("x"), id="exception"),
    ],
)
async def test_what_is_no_iterable_goes_to_every_run(static: Any) -> None:
    async with Runtime():
        values = await pair.map([1, 2], static).aresult()

        with pytest.raises(MappingMissingIterable):
            pair.map(static)

    assert [left for left, _ in values] == [1, 2]
    assert all(right is static for _, right in values)


@pytest.mark.rule("MAP-02", "RES-09")
async def test_an_open_temporary_file_is_not_read() -> None:
    with tempfile.NamedTemporaryFile("w+") as file:
        file.write("a\nb\n")
        file.seek(0)
        async with Runtime():
            values = await pair.map([1, 2], file).aresult()

        assert all(right is file for _, right in values)
        assert file.read() == "a\nb\n"


@pytest.mark.rule("MAP-03", "MAP-22")
async def test_a_generator_is_read_once_and_before_any_run() -> None:
    seen: list[str] = []

    @task
    async def step(value: int) -> None:
        seen.append(f"ran {value}")

    def numbers() -> Iterator[int]:
        for value in (1, 2):
            seen.append(f"read {value}")
            yield value

    async with Runtime():
        await step.map(numbers()).aresult()

    assert seen == ["read 1", "read 2", "ran 1", "ran 2"]


@pytest.mark.rule("MAP-03")
async def test_a_generator_that_raises_raises_to_the_caller_and_makes_no_run() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    async with Runtime():
        with pytest.raises(LookupError, match="no more"):
            number.map(numbers())
        next_name = number.submit(1).name

    assert next_name == "number-0"


@pytest.mark.rule("MAP-03")
async def test_a_generator_may_submit_while_it_is_read() -> None:
    async with Runtime():
        values = await number.map(giving(i) for i in range(3)).aresult()

    assert values == [0, 1, 2]


@pytest.mark.rule("MAP-02")
async def test_an_asynchronous_iterable_is_no_iterable() -> None:
    async def ticks() -> AsyncIterator[int]:
        yield 1

    async with Runtime():
        with pytest.raises(MappingMissingIterable):
            number.map(ticks())


@pytest.mark.rule("MAP-13", "BIND-03")
async def test_a_default_is_never_mapped() -> None:
    @task
    async def scale(value: int, factors: Any = (1, 2, 3)) -> Any:
        return value, factors

    async with Runtime():
        by_default = await scale.map([5, 6]).aresult()
        given = await scale.map([5, 6, 7], factors=(1, 2, 3)).aresult()

    assert by_default == [(5, (1, 2, 3)), (6, (1, 2, 3))]
    assert given == [(5, 1), (6, 2), (7, 3)]


@pytest.mark.rule("MAP-14")
async def test_each_keyword_is_mapped_or_static_on_its_own() -> None:
    async with Runtime():
        values = await anything.map(a=[1, 2], b=3, c="cc").aresult()

    assert values == [
        [[], {"a": 1, "b": 3, "c": "cc"}],
        [[], {"a": 2, "b": 3, "c": "cc"}],
    ]


@pytest.mark.rule("MAP-15")
async def test_positional_arguments_are_zipped() -> None:
    async with Runtime():
        values = await anything.map([1, 2], [3, 4], "x").aresult()

    assert values == [[[1, 3, "x"], {}], [[2, 4, "x"], {}]]


@pytest.mark.rule("MAP-15", "MAP-14")
async def test_positional_and_keyword_arguments_are_zipped() -> None:
    async with Runtime():
        values = await anything.map([1, 2], "s", key=(x for x in "ab")).aresult()

    assert values == [[[1, "s"], {"key": "a"}], [[2, "s"], {"key": "b"}]]


@pytest.mark.rule("MAP-14")
async def test_the_runs_of_a_map_share_no_keywords() -> None:
    @task
    async def spoil(**kwargs: Any) -> Any:
        kwargs["more"] = 1
        return kwargs

    async with Runtime():
        values = await spoil.map(a=[1, 2]).aresult()

    assert values == [{"a": 1, "more": 1}, {"a": 2, "more": 1}]


# -- Bad calls --------------------------------------------------------------------


@pytest.mark.rule("MAP-04")
async def test_lengths_that_differ_are_refused_and_each_is_named() -> None:
    async with Runtime():
        with pytest.raises(MappingLengthMismatch) as caught:
            pair.map([1, 2, 3], right=[1, 2])
        next_name = pair.submit(1).name

    assert caught.value.lengths == {"left": 3, "right": 2}
    assert "left: 3, right: 2" in str(caught.value)
    assert "unmapped(" in str(caught.value)
    assert next_name == "pair-0"


@pytest.mark.rule("MAP-04", "MAP-15")
async def test_lengths_of_variadic_arguments_are_named() -> None:
    async with Runtime():
        with pytest.raises(MappingLengthMismatch) as caught:
            anything.map([1], [1, 2], 5, three(), key=range(4), static=unmapped([1]))

    assert caught.value.lengths == {
        "args[0]": 1,
        "args[1]": 2,
        "args[3]": 3,
        "key": 4,
    }


@pytest.mark.rule("MAP-04")
async def test_an_empty_iterable_beside_a_longer_one_is_a_mismatch() -> None:
    async with Runtime():
        with pytest.raises(MappingLengthMismatch, match="left: 0, right: 1"):
            pair.map([], [1])


@pytest.mark.rule("MAP-05")
async def test_without_an_iterable_map_is_refused_and_shows_the_parameters() -> None:
    async with Runtime():
        with pytest.raises(MappingMissingIterable) as caught:
            pair.map(1, right="x")
        with pytest.raises(MappingMissingIterable):
            anything.map()
        next_name = pair.submit(1).name

    assert caught.value.parameters == {"left": "1", "right": "'x'"}
    assert "pair.submit(left=1, right='x')" in str(caught.value)
    assert next_name == "pair-0"


@pytest.mark.rule("MAP-16", "BIND-01")
async def test_a_call_that_does_not_fit_is_refused_by_map() -> None:
    async with Runtime():
        with pytest.raises(ParameterBindError, match="pair"):
            pair.map([1], [2], [3])
        with pytest.raises(ParameterBindError, match="pair"):
            pair.map([1], other=[2])
        next_name = pair.submit(1).name

    assert next_name == "pair-0"


@pytest.mark.rule("CALL-08")
async def test_map_outside_of_everything_is_refused() -> None:
    with pytest.raises(SubmitOutsideRun):
        number.map([1])


# -- Whole arguments that are futures or states -------------------------------------


@pytest.mark.rule("MAP-07")
async def test_a_finished_future_as_a_whole_argument_is_mapped_over() -> None:
    async with Runtime():
        future = await giving([1, 2])
        await future

        values = await pair.map(future, right=future).aresult()

    assert values == [[1, 1], [2, 2]]


@pytest.mark.rule("MAP-07")
def test_map_in_plain_code_waits_for_a_whole_argument() -> None:
    release = threading.Event()

    @task
    def numbers() -> list[int]:
        assert release.wait(5)
        return [1, 2]

    @flow
    def program() -> Any:
        pending = numbers.submit()
        threading.Timer(0.01, release.set).start()
        return plain_pair.map(pending).result()

    assert program() == [[1, "default"], [2, "default"]]


@pytest.mark.rule("MAP-07")
async def test_map_in_coroutine_code_is_awaited_for_a_pending_whole_argument() -> None:
    @task
    async def numbers() -> list[int]:
        await anyio.sleep(10)
        return [1, 2]

    async with Runtime():
        started = anyio.current_time()
        futures = await number.map(numbers.submit())
        took = anyio.current_time() - started

        assert await asyncio.gather(*futures) == [1, 2]

    assert took == pytest.approx(10)


@pytest.mark.rule("MAP-07")
async def test_a_pending_map_can_be_awaited_often_and_by_many() -> None:
    @task
    async def numbers() -> list[int]:
        await anyio.sleep(10)
        return [1, 2]

    async def wait_for(futures: Any) -> Any:
        return await futures

    async with Runtime():
        futures = number.map(numbers.submit())
        first, second = await asyncio.gather(wait_for(futures), wait_for(futures))

        assert first is second is await futures
        assert await futures.aresult() == [1, 2]
        assert await futures.astate() == [future.state for future in first]

    assert [future.name for future in first] == ["number-0", "number-1"]


@pytest.mark.rule("MAP-07")
async def test_a_wait_for_a_pending_map_that_is_given_up_leaves_the_map_usable() -> (
    None
):
    @task
    async def numbers() -> list[int]:
        await anyio.sleep(10)
        return [1, 2]

    async with Runtime():
        futures = number.map(numbers.submit())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await futures

        assert await futures.aresult() == [1, 2]


@pytest.mark.rule("MAP-07")
async def test_mistakes_in_a_pending_map_are_raised_when_it_is_awaited() -> None:
    async with Runtime():
        with pytest.raises(MappingLengthMismatch):
            await pair.map(giving([1, 2]), giving([1]))
        with pytest.raises(MappingMissingIterable):
            await pair.map(giving(5))


USES: list[Any] = [
    pytest.param(list, id="list"),
    pytest.param(tuple, id="tuple"),
    pytest.param(len, id="len"),
    pytest.param(bool, id="bool"),
    pytest.param(iter, id="iter"),
    pytest.param(reversed, id="reversed"),
    pytest.param(sorted, id="sorted"),
    pytest.param(lambda x: [*x], id="unpacked"),
    pytest.param(lambda x: x[0], id="index"),
    pytest.param(lambda x: x[:], id="slice"),
    pytest.param(lambda x: 1 in x, id="in"),
    pytest.param(lambda x: x == [], id="eq"),
    pytest.param(lambda x: x != [], id="ne"),
    pytest.param(lambda x: x < [], id="lt"),
    pytest.param(lambda x: x <= [], id="le"),
    pytest.param(lambda x: x > [], id="gt"),
    pytest.param(lambda x: x >= [], id="ge"),
    pytest.param(lambda x: operator.add(x, []), id="add"),
    pytest.param(lambda x: operator.add([], x), id="radd"),
    pytest.param(lambda x: x * 2, id="mul"),
    pytest.param(lambda x: 2 * x, id="rmul"),
    pytest.param(lambda x: x.append(1), id="append"),
    pytest.param(lambda x: x.extend([1]), id="extend"),
    pytest.param(lambda x: x.insert(0, 1), id="insert"),
    pytest.param(lambda x: x.remove(1), id="remove"),
    pytest.param(lambda x: x.pop(), id="pop"),
    pytest.param(lambda x: x.clear(), id="clear"),
    pytest.param(lambda x: x.index(1), id="index-of"),
    pytest.param(lambda x: x.count(1), id="count"),
    pytest.param(lambda x: x.sort(), id="sort"),
    pytest.param(lambda x: x.reverse(), id="reverse"),
    pytest.param(lambda x: x.copy(), id="copy"),
    pytest.param(lambda x: x.__setitem__(0, 1), id="setitem"),
    pytest.param(lambda x: x.__delitem__(0), id="delitem"),
    pytest.param(lambda x: x.__iadd__([1]), id="iadd"),
    pytest.param(lambda x: x.__imul__(2), id="imul"),
    pytest.param(lambda x: x.result(), id="result"),
    pytest.param(lambda x: x.wait(), id="wait"),
    pytest.param(lambda x: x.cancel(), id="cancel"),
    pytest.param(number.map, id="map"),
]


@pytest.mark.rule("MAP-07")
@pytest.mark.parametrize("use", USES)
async def test_the_list_of_a_pending_map_cannot_be_used_before_it_is_awaited(
    use: Callable[[Any], object],
) -> None:
    async with Runtime():
        futures = number.map(giving([1, 2]))

        with pytest.raises(UnreadyMap, match=r"await number\.map"):
            use(futures)

        assert await futures.aresult() == [1, 2]


@pytest.mark.rule("MAP-07")
async def test_a_run_that_is_given_a_pending_map_fails_with_the_advice() -> None:
    async with Runtime():
        futures = number.map(giving([1, 2]))

        with pytest.raises(UnreadyMap, match=r"await number\.map"):
            await number.submit([futures]).aresult()
        with pytest.raises(UnreadyMap):
            await number.submit(1, wait_for=futures).aresult()
        with pytest.raises(UnreadyMap):
            await number(futures)


@pytest.mark.rule("MAP-07", "RES-15")
async def test_the_data_of_a_whole_argument_is_not_looked_into() -> None:
    state, mark = Completed(data=1), quote(2)

    async with Runtime():
        inner = await number.submit(3)
        data = [[state], {"a": mark}, (inner,), mark, unmapped(4)]
        values = await (await pair.map(giving(data))).aresult()

    assert [left for left, _ in values] == data
    assert values[0][0][0] is state
    assert values[2][0][0] is inner


@pytest.mark.rule("MAP-07")
async def test_data_that_is_no_iterable_is_static() -> None:
    config = {"a": Completed(data=1)}

    async with Runtime():
        text, model = await giving("text"), await giving(Model())
        values = await anything.map([1, 2], text, model=model).aresult()
        whole = await pair.map([1], unmapped(giving(config))).aresult()

    assert values == [[[n, "text"], {"model": Model()}] for n in (1, 2)]
    assert whole[0][1] is config


@pytest.mark.rule("MAP-07")
async def test_a_submission_as_a_whole_argument_counts_as_its_future() -> None:
    async with Runtime():
        submission = giving([1, 2])
        await submission.aresult()

        assert await number.map(submission).aresult() == [1, 2]


@pytest.mark.rule("MAP-07", "RES-11")
async def test_a_state_as_a_whole_argument_is_mapped_over() -> None:
    async with Runtime():
        of_a_run = await giving([1, 2]).astate()

        values = await pair.map(of_a_run, Completed(data=["a", "b"])).aresult()
        static = await pair.map(of_a_run, Completed()).aresult()

    assert values == [[1, "a"], [2, "b"]]
    assert static == [[1, None], [2, None]]


@pytest.mark.rule("MAP-08")
async def test_map_over_a_future_that_failed_raises_to_the_caller() -> None:
    async with Runtime():
        failed = await broken.submit()
        with pytest.raises(UpstreamTaskError) as pending:
            await number.map(failed)
        with pytest.raises(UpstreamTaskError) as ended:
            number.map(failed)
        next_name = number.submit(1).name

    for caught in (pending, ended):
        assert isinstance(caught.value.__cause__, ValueError)
        assert "number.map()" in str(caught.value)
    assert next_name == "number-0"


@pytest.mark.rule("MAP-08")
def test_map_over_a_future_that_failed_raises_in_plain_code() -> None:
    @flow
    def program() -> Any:
        failed = broken.submit()
        with pytest.raises(UpstreamTaskError) as caught:
            plain_pair.map(failed)
        return caught.value.__cause__

    assert isinstance(program(), ValueError)


@pytest.mark.rule("MAP-08")
@pytest.mark.parametrize("state", [Failed(), Failed(data=ValueError())], ids=repr)
async def test_map_over_a_state_that_did_not_complete_raises(state: State[Any]) -> None:
    async with Runtime():
        with pytest.raises(UpstreamTaskError):
            number.map(state)


@pytest.mark.rule("MAP-08", "MAP-10")
async def test_a_static_future_that_failed_holds_every_run_back() -> None:
    async with Runtime():
        failed = await broken.submit()
        await failed.wait()

        states = await pair.map([1, 2], failed).astate()
        marked = await pair.map([1, 2], unmapped(failed)).astate()
        pending = await (await pair.map([1, 2], right=broken.submit())).astate()

    for state in (*states, *marked, *pending):
        assert state is not None
        assert (state.type, state.name) == (StateType.CANCELLED, "NotReady")
        error = state.result(raise_on_failure=False)
        assert isinstance(error, UpstreamTaskError)
        assert isinstance(error.__cause__, ValueError)


@pytest.mark.rule("MAP-18")
async def test_the_runs_of_a_map_run_at_the_same_time() -> None:
    @task
    async def slow(_: int) -> None:
        await anyio.sleep(10)

    async with Runtime():
        started = anyio.current_time()
        await slow.map(range(100)).aresult()

    assert anyio.current_time() - started == pytest.approx(10)


@pytest.mark.rule("MAP-18")
def test_the_plain_runs_of_a_map_run_at_the_same_time() -> None:
    together = threading.Barrier(8, timeout=5)

    @task
    def meet(_: int) -> int:
        return together.wait()

    @flow
    def program() -> Any:
        return meet.map(range(8)).result()

    assert sorted(program()) == list(range(8))


# -- Elements ---------------------------------------------------------------------


@pytest.mark.rule("MAP-09")
async def test_a_future_as_an_element_is_resolved_for_its_run() -> None:
    async with Runtime():
        futures = [giving(1), await giving(2), 3]

        assert await number.map(futures).aresult() == [1, 2, 3]


@pytest.mark.rule("MAP-09", "MAP-19")
async def test_an_element_that_failed_holds_only_its_own_run_back() -> None:
    async with Runtime():
        states = await number.map([giving(1), broken.submit(), 3]).astate()

    assert [state.name for state in states if state] == [
        "Completed",
        "NotReady",
        "Completed",
    ]


@pytest.mark.rule("MAP-09")
async def test_the_futures_of_a_map_can_be_mapped_over() -> None:
    async with Runtime():
        doubled = pair.map(number.map([1, 2]), number.map(["a", "b"]))

        assert await doubled.aresult() == [[1, "a"], [2, "b"]]


@pytest.mark.rule("MAP-19")
async def test_a_run_that_fails_leaves_the_others_of_its_map_alone() -> None:
    @task
    async def odd(value: int) -> int:
        if value == 0:
            raise ValueError(value)
        await anyio.sleep(value)
        return value

    async with Runtime():
        states = await odd.map([0, 10, 20]).astate()

    assert [state.name for state in states if state] == [
        "Failed",
        "Completed",
        "Completed",
    ]


@pytest.mark.rule("MAP-20")
async def test_futures_and_marks_inside_an_element_are_resolved_for_its_run() -> None:
    async with Runtime():
        elements = [
            {"a": [giving(1)]},
            (unmapped(2), allow_failure(giving(3))),
            [allow_failure(broken.submit())],
            quote(5),
        ]

        values = await number.map(elements).aresult()

    assert values[0] == {"a": [1]}
    assert values[1] == (2, 3)
    assert str(values[2][0]) == "boom"
    assert values[3] == 5


# -- Marks on whole arguments --------------------------------------------------------


@pytest.mark.rule("MAP-10")
async def test_what_is_unmapped_goes_to_every_run_whole() -> None:
    shared = [7, 8, 9]

    async with Runtime():
        values = await pair.map([1, 2], unmapped(shared)).aresult()

    assert values == [[1, shared], [2, shared]]
    assert all(right is shared for _, right in values)


@pytest.mark.rule("MAP-10")
async def test_an_unmapped_generator_goes_to_every_run_unread() -> None:
    numbers = three()

    async with Runtime():
        values = await pair.map([1, 2], unmapped(numbers)).aresult()

    assert all(right is numbers for _, right in values)
    assert list(numbers) == [1, 2, 3]


@pytest.mark.rule("MAP-10")
async def test_an_unmapped_future_is_resolved_in_each_run() -> None:
    async with Runtime():
        futures = pair.map([1, 2], unmapped(giving([3, 4])))
        inside = pair.map([1], right=unmapped({"a": [giving(5)]}))

        assert await futures.aresult() == [[1, [3, 4]], [2, [3, 4]]]
        assert await inside.aresult() == [[1, {"a": [5]}]]


@pytest.mark.rule("MAP-11")
async def test_allow_failure_is_put_on_every_element() -> None:
    async with Runtime():
        elements = allow_failure([broken.submit("one"), giving(2), 3])

        first, second, third = await number.map(elements).aresult()

    assert (str(first), second, third) == ("one", 2, 3)


@pytest.mark.rule("MAP-11")
async def test_allow_failure_of_a_future_is_looked_through() -> None:
    async with Runtime():
        assert await (await number.map(allow_failure(giving([1, 2])))).aresult() == [
            1,
            2,
        ]


@pytest.mark.rule("MAP-11")
@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(allow_failure, id="allow-failure"),
        pytest.param(lambda f: allow_failure(unmapped(f)), id="around-unmapped"),
        pytest.param(lambda f: unmapped(allow_failure(f)), id="inside-unmapped"),
        pytest.param(lambda f: unmapped([allow_failure(f)]), id="deeper"),
        pytest.param(
            lambda f: allow_failure(allow_failure(unmapped(f))), id="three-marks"
        ),
    ],
)
async def test_a_failure_that_is_allowed_goes_to_every_run(
    wrap: Callable[[Any], Any],
) -> None:
    async with Runtime():
        values = await (await pair.map([1, 2], wrap(broken.submit()))).aresult()

    assert [str(right) for _, right in values] in (
        ["boom"] * 2,
        ["[ValueError('boom')]"] * 2,
    )


@pytest.mark.rule("MAP-11", "MAP-05")
async def test_a_failure_that_is_allowed_is_nothing_to_map_over() -> None:
    async with Runtime():
        with pytest.raises(MappingMissingIterable):
            await number.map(allow_failure(broken.submit()))


@pytest.mark.rule("MAP-12")
async def test_a_quoted_list_is_mapped_and_each_element_quoted() -> None:
    async with Runtime():
        future = await number.submit(1)

        values = await pair.map(quote([future, [future]]), "x").aresult()

    assert values[0][0] is future
    assert values[1][0][0] is future


@pytest.mark.rule("MAP-12")
async def test_what_is_quoted_and_no_iterable_is_static() -> None:
    async with Runtime():
        values = await pair.map([1, 2], quote(3)).aresult()

        with pytest.raises(MappingMissingIterable):
            pair.map(quote(3))

    assert values == [[1, 3], [2, 3]]


@pytest.mark.rule("MAP-12", "ANN-07")
async def test_a_quoted_future_is_neither_awaited_nor_mapped_over() -> None:
    release = asyncio.Event()

    @task
    async def hold() -> list[int]:
        await release.wait()
        return [1]

    async with Runtime():
        pending = await hold.submit()
        values = await pair.map([1, 2], quote(pending)).aresult()
        was_done = pending.done()
        release.set()

    assert not was_done
    assert all(right is pending for _, right in values)


@pytest.mark.rule("MAP-12", "MAP-10")
async def test_marks_on_a_whole_argument_can_be_stacked() -> None:
    async with Runtime():
        future = await number.submit(1)

        quoted = await pair.map([1], unmapped(quote([future]))).aresult()
        inside = await pair.map([1], quote(unmapped([future]))).aresult()
        allowed = await number.map(allow_failure(quote([future]))).aresult()

    assert quoted[0][1][0] is future
    assert inside[0][1] == unmapped([future])
    assert allowed[0] is future


@pytest.mark.rule("MAP-10", "ANN-02")
async def test_marks_inside_an_unmapped_argument_are_taken_off() -> None:
    async with Runtime():
        values = await pair.map([1], unmapped({"a": unmapped(2)})).aresult()

    assert values == [[1, {"a": 2}]]


# -- wait_for ---------------------------------------------------------------------


@pytest.mark.rule("MAP-17")
async def test_every_run_waits_for_what_it_is_told_to() -> None:
    @task
    async def slow() -> None:
        await anyio.sleep(10)

    @task
    async def now(_: int) -> float:
        return anyio.current_time()

    async with Runtime():
        started = anyio.current_time()
        times = await now.map([1, 2], wait_for=[slow.submit()]).aresult()

    assert [at - started for at in times] == pytest.approx([10, 10])


# -- Where ------------------------------------------------------------------------


@pytest.mark.rule("MAP-01")
def test_map_in_a_plain_flow() -> None:
    @flow
    def program() -> Any:
        return [
            plain_pair.map([1, 2], right=[3, 4]).result(),
            pair.map([1], unmapped([2])).result(),
        ]

    assert program() == [[[1, 3], [2, 4]], [[1, [2]]]]


@pytest.mark.rule("MAP-01", "NEST-01")
async def test_map_inside_a_task_inside_a_map() -> None:
    @task
    async def inner(value: int) -> int:
        return value + 1

    @task
    async def outer(base: int) -> int:
        return sum(await inner.map(range(base, base + 3)).aresult())

    async with Runtime():
        assert await outer.map([0, 10]).aresult() == [6, 36]


@pytest.mark.rule("MAP-01", "NEST-01")
def test_map_inside_a_plain_task_inside_a_map() -> None:
    @task
    def inner(value: int) -> int:
        return value + 1

    @task
    def outer(base: int) -> int:
        return sum(inner.map(range(base, base + 3)).result())

    @flow
    def program() -> Any:
        return outer.map([0, 10]).result()

    assert program() == [6, 36]


@pytest.mark.rule("MAP-01")
async def test_a_bound_method_can_be_mapped() -> None:
    class Scale:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        @task
        async def times(self, value: int) -> int:
            return self.factor * value

    async with Runtime():
        assert await Scale(3).times.map([1, 2]).aresult() == [3, 6]


@pytest.mark.rule("MAP-19")
async def test_a_map_can_be_cancelled_whole() -> None:
    @task
    async def forever(_: int) -> None:
        await anyio.sleep_forever()

    async with Runtime():
        futures = await forever.map(range(1000))
        await anyio.sleep(1)
        count = futures.cancel()
        states = await futures.astate()

    assert count == 1000
    assert {state.name for state in states if state} == {"Cancelled"}


# -- Many -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.rule("MAP-09")
@pytest.mark.parametrize(
    "count", [20_000, pytest.param(100_000, marks=pytest.mark.long)]
)
async def test_a_map_of_very_many_futures(count: int) -> None:
    @task
    async def increment(value: Any) -> Any:
        return value + 1

    async with Runtime():
        values = await increment.map(number.map(range(count))).aresult()

    assert values == list(range(1, count + 1))


@pytest.mark.slow
@pytest.mark.rule("MAP-01", "MAP-10")
async def test_a_map_of_20_000_elements_with_a_shared_future() -> None:
    async with Runtime():
        shared = giving([1])

        values = await pair.map(range(20_000), unmapped(shared)).aresult()

    assert len(values) == 20_000
    assert all(right is values[0][1] for _, right in values)


@pytest.mark.slow
@pytest.mark.rule("MAP-01")
def test_a_plain_map_of_10_000_futures() -> None:
    @task
    def increment(value: Any) -> Any:
        return value + 1

    @flow
    def program() -> Any:
        return increment.map(number.map(range(10_000))).result()

    assert program() == list(range(1, 10_001))


@pytest.mark.rule("MAP-10")
async def test_5_000_runs_can_share_5_000_futures() -> None:
    async with Runtime():
        shared = number.map(range(5_000))

        values = await pair.map(range(5_000), unmapped(shared)).aresult()

    # Were each future looked for by each run, this would take minutes.
    assert values[0] == [0, list(range(5_000))]
    assert all(right is values[0][1] for _, right in values)


@pytest.mark.rule("MAP-10", "RES-05")
async def test_a_large_table_is_not_searched_by_each_run() -> None:
    table = {str(key): {"value": [key]} for key in range(5_000)}

    async with Runtime():
        values = await pair.map(range(2_000), unmapped(table)).aresult()

    # As above.
    assert all(right is table for _, right in values)


@pytest.mark.rule("MAP-10")
def test_plain_runs_share_what_is_made_of_an_argument_with_futures() -> None:
    together = threading.Barrier(4, timeout=5)

    @task
    def meet(_: int, shared: Any) -> Any:
        together.wait()
        return [shared]

    @flow
    def program() -> Any:
        values = meet.map(range(4), unmapped({"a": [number.submit(1)]})).result()
        return {"values": values}

    values = program()["values"]

    assert values == [[{"a": [1]}]] * 4
    assert all(value[0] is values[0][0] for value in values)


@pytest.mark.rule("MAP-10", "RES-14")
async def test_a_shared_argument_that_cannot_be_made_fails_every_run() -> None:
    async with Runtime():
        states = await pair.map([1, 2], unmapped({giving([])})).astate()

    for state in states:
        assert state is not None
        error = state.result(raise_on_failure=False)
        assert isinstance(error, HeadraceError)
        assert "'right'" in str(error)
        assert isinstance(error.__cause__, TypeError)


@pytest.mark.rule("MAP-10", "RES-13")
async def test_a_failure_in_a_shared_argument_is_named_by_every_run() -> None:
    @flow
    async def forgotten() -> None:
        pair.map([1, 2], unmapped([giving(1), broken.submit(), broken.submit("x")]))

    @flow
    async def looked_at() -> Any:
        return {"states": await pair.map([1], unmapped([broken.submit()])).astate()}

    with pytest.raises(UpstreamTaskError) as caught:
        await forgotten()
    (state,) = (await looked_at())["states"]

    assert (caught.value.run_name, caught.value.upstream_name) == ("pair-0", "broken-0")
    assert str(caught.value.__cause__) == "boom"
    assert state.name == "NotReady"


@pytest.mark.rule("MAP-06", "MAP-10")
async def test_an_empty_map_has_seen_nothing_of_a_failure_that_it_shares() -> None:
    @flow
    async def program() -> None:
        failed = await broken.submit()
        await anyio.sleep(1)
        pair.map([], unmapped([failed]), wait_for=[failed])

    assert (await program(return_state=True)).name == "Failed"


@pytest.mark.rule("MAP-10", "MAP-19")
async def test_runs_that_share_a_future_can_be_cancelled_one_by_one() -> None:
    @task
    async def slow() -> int:
        await anyio.sleep(10)
        return 5

    async with Runtime():
        futures = pair.map([1, 2], unmapped([slow.submit()]))
        await anyio.sleep(1)
        futures[0].cancel()
        states = await futures.astate()

    assert [state.name for state in states if state] == ["Cancelled", "Completed"]
    assert states[1] is not None
    assert states[1].result() == [2, [5]]
