"""Which runs a run depends on, as its record tells: by futures, states and values."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
import weakref
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from headrace import (
    Runtime,
    allow_failure,
    flow,
    quote,
    task,
    temporary_settings,
    unmapped,
)
from headrace.runs import FlowRun, TaskRun
from headrace.states import Completed, State
from headrace.testing import Recorder

BOUND = 5  # seconds; nothing here comes near


@task
async def number(x: int = 1) -> int:
    return x


@task
def plain_number(x: int = 1) -> int:
    return x


@task
async def broken() -> None:
    raise ValueError("boom")


@task
async def take(x: Any, y: Any = None, *more: Any, z: Any = None, **named: Any) -> None:
    await asyncio.sleep(0)


@task
def take_plainly(
    x: Any, y: Any = None, *more: Any, z: Any = None, **named: Any
) -> None: ...


@task
async def take_one(x: Any) -> None: ...


@task
def take_one_plainly(x: Any) -> None: ...


EMPTY: dict[str, list[str]] = {"x": [], "y": [], "more": [], "z": [], "named": []}


def inputs_of(run: Any) -> dict[str, list[str]]:
    """The task inputs of a future or a view, as plain texts."""
    view = run if isinstance(run, TaskRun | FlowRun) else run.task_run
    return {name: list(map(str, ids)) for name, ids in view.task_inputs.items()}


# -- futures and states ----------------------------------------------------------------


@pytest.mark.rule("DEP-01")
async def test_every_parameter_is_named_and_variadic_ones_by_their_own_names() -> None:
    async with Runtime():
        a, b, c, d, e, f = [await number.submit(i) for i in range(6)]

        run = await take.submit(a, [b], c, d, z={"key": e}, other=f)

        assert inputs_of(run) == {
            "x": [a.id],
            "y": [b.id],
            "more": [c.id, d.id],
            "z": [e.id],
            "named": [f.id],
        }


@pytest.mark.rule("DEP-01", "DEP-06")
@pytest.mark.parametrize("how", ["submitted", "mapped", "awaited"])
async def test_constants_are_no_inputs(how: str) -> None:
    recorder = Recorder()
    async with Runtime(observers=[recorder]):
        if how == "submitted":
            await take.submit(1, [2, "three"], z={"a": object()})
        elif how == "mapped":
            take.map([1], [[2]])
        else:
            await take(1, [2, object()])

    assert inputs_of(recorder.events[-1].run) == EMPTY


@pytest.mark.rule("DEP-06")
def test_parameters_of_the_flow_are_no_inputs() -> None:
    @flow
    def main(limit: int, table: Any) -> Any:
        future = plain_number.submit(limit)
        return future.wait(), inputs_of(take_plainly.submit(limit, table).future)

    assert main(3, {"a": [1]})[1] == EMPTY


@pytest.mark.parametrize("verb", [take_one, take_one_plainly])
async def test_a_run_that_waits_shows_what_was_passed_to_it(verb: Any) -> None:
    async with Runtime():
        upstream = number.submit()

        run = await verb.submit(upstream)

        assert run.task_run.parameters["x"] is upstream
        await run


@pytest.mark.rule("DEP-02")
@pytest.mark.parametrize(
    "hide",
    [
        pytest.param(lambda f: f, id="bare"),
        pytest.param(lambda f: [[(f,)]], id="sequences"),
        pytest.param(lambda f: {"a": {"b": f}}, id="dicts"),
        pytest.param(lambda f: {f}, id="set"),
        pytest.param(unmapped, id="mark"),
        pytest.param(lambda f: Box(Box(f)), id="dataclasses"),
    ],
)
async def test_futures_at_any_depth_are_inputs(hide: Callable[[Any], Any]) -> None:
    async with Runtime():
        upstream = await number.submit()

        run = await take.submit(hide(upstream))

        assert inputs_of(run) == {**EMPTY, "x": [upstream.id]}


@dataclass(eq=False)
class Box:
    inside: Any


@pytest.mark.rule("DEP-02")
async def test_a_submission_that_was_not_awaited_is_an_input_too() -> None:
    async with Runtime():
        upstream = number.submit()

        run = take.submit(upstream, [upstream])

        assert inputs_of(run) == {**EMPTY, "x": [upstream.id], "y": [upstream.id]}


@pytest.mark.rule("DEP-02")
async def test_states_of_runs_are_inputs_and_those_that_users_made_are_not() -> None:
    async with Runtime():
        upstream = await number.submit()
        state = await upstream.astate()

        run = await take.submit(state, [Completed(data=1)])

        assert inputs_of(run) == {**EMPTY, "x": [upstream.id]}


@pytest.mark.rule("DEP-02")
async def test_the_state_of_a_sub_flow_is_an_input_by_the_id_of_its_run() -> None:
    @flow
    async def inner() -> int:
        return 1

    async with Runtime():
        state: Any = await inner(return_state=True)

        run = await take.submit(state)

        assert inputs_of(run)["x"] == [state.state_details.flow_run_id]


@pytest.mark.rule("DEP-05")
async def test_an_upstream_that_is_given_twice_is_told_once() -> None:
    async with Runtime():
        upstream = await number.submit()
        state = await upstream.astate()

        run = await take.submit([upstream, {"again": upstream}, state])

        assert inputs_of(run)["x"] == [upstream.id]


@pytest.mark.rule("DEP-05")
@pytest.mark.parametrize("upstream_task", [number, broken], ids=["good", "broken"])
async def test_an_input_that_may_fail_is_an_input_all_the_same(
    upstream_task: Any,
) -> None:
    async with Runtime():
        upstream = await upstream_task.submit()
        good = await number.submit()

        run = await take.submit(
            allow_failure(upstream), [good, allow_failure([upstream])]
        )

        assert inputs_of(run) == {
            **EMPTY, "x": [upstream.id], "y": [good.id, upstream.id]
        }  # fmt: skip


@pytest.mark.rule("ANN-08")
async def test_what_is_quoted_is_no_input() -> None:
    async with Runtime():
        upstream = await number.submit()

        run = await take.submit(quote(upstream), [quote([upstream])])
        mapped = await take.map(quote([upstream]))

        assert inputs_of(run) == EMPTY
        assert inputs_of(mapped[0]) == EMPTY


@pytest.mark.rule("WAIT-07")
async def test_what_a_run_waits_for_is_told_apart_from_its_inputs() -> None:
    async with Runtime():
        first, second = await number.submit(), await number.submit()

        run = await take.submit(1, wait_for=[first, {"b": second}])

        assert inputs_of(run) == {**EMPTY, "wait_for": [first.id, second.id]}


@pytest.mark.rule("WAIT-07")
@pytest.mark.parametrize("nothing", [None, [], (), {}, [1, "x"], quote([1])])
async def test_a_run_that_waits_for_nothing_has_no_such_entry(nothing: Any) -> None:
    async with Runtime():
        run = await take.submit(1, wait_for=nothing)
        mapped = await take.map([1], wait_for=nothing)

        assert inputs_of(run) == inputs_of(mapped[0]) == EMPTY


@pytest.mark.rule("DEP-08")
async def test_inputs_are_known_at_the_submit_while_the_upstream_goes_on() -> None:
    @task
    async def last() -> None:
        await asyncio.sleep(100)

    async with Runtime():
        upstream = last.submit()
        run = take.submit(upstream)

        assert inputs_of(run) == {**EMPTY, "x": [upstream.id]}
        assert not upstream.done()
        upstream.cancel()


@pytest.mark.rule("DEP-08")
def test_inputs_are_known_at_the_submit_in_plain_code_too() -> None:
    with Runtime():
        upstream = plain_number.submit()
        run = take_plainly.submit(upstream, wait_for=[upstream])

        assert inputs_of(run) == {
            **EMPTY,
            "x": [upstream.id],
            "wait_for": [upstream.id],
        }


@pytest.mark.rule("DEP-01")
async def test_a_run_that_was_held_back_or_failed_tells_its_inputs_too() -> None:
    async with Runtime():
        upstream = await broken.submit()
        held = await take.submit(upstream)
        failed = await broken.with_options(name="after").submit(wait_for=[held])
        await failed.astate()

        assert held.task_run.state_name == "NotReady"
        assert inputs_of(held)["x"] == [upstream.id]
        assert inputs_of(failed) == {"wait_for": [held.id]}


@pytest.mark.rule("DEP-02")
async def test_upstreams_of_another_runtime_are_inputs() -> None:
    async with Runtime():
        upstream = await number.submit()
        await upstream.astate()
    async with Runtime():
        run = await take.submit(upstream)

        assert inputs_of(run)["x"] == [upstream.id]


@pytest.mark.rule("DEP-01")
async def test_the_id_of_an_input_is_a_text_with_itself_as_an_attribute() -> None:
    async with Runtime() as runtime:
        upstream = await number.submit()
        run = await take.submit(upstream)

        (found,) = run.task_run.task_inputs["x"]

        assert isinstance(found, str)
        assert found == found.id == upstream.id
        assert type(found.id) is str
        assert runtime.runs.get(found) == upstream.task_run


# -- every door ------------------------------------------------------------------------


@pytest.mark.rule("DEP-01", "WAIT-07")
async def test_runs_in_place_tell_their_inputs() -> None:
    async with Runtime() as runtime:
        upstream = await number.submit()
        await upstream

        await take(upstream, wait_for=[upstream])
        take_plainly(1, [upstream])
        await take_plainly.acall(1, z=upstream)

        awaited, called, blocked = [
            *runtime.runs.task_runs(task_name="take"),
            *runtime.runs.task_runs(task_name="take_plainly"),
        ]
        assert inputs_of(awaited) == {
            **EMPTY, "x": [upstream.id], "wait_for": [upstream.id]
        }  # fmt: skip
        assert inputs_of(called) == {**EMPTY, "y": [upstream.id]}
        assert inputs_of(blocked) == {**EMPTY, "z": [upstream.id]}


@pytest.mark.rule("DEP-07", "WAIT-07")
async def test_a_sub_flow_is_in_its_parent_by_its_own_record_with_its_inputs() -> None:
    @flow(version="3")
    async def inner(x: Any, y: int = 2) -> int:
        return 1

    @flow
    def plain_inner(x: Any) -> None: ...

    @flow
    async def outer() -> list[Any]:
        first, second = await number.submit(1), await number.submit(2)
        await inner(first, wait_for=[second])
        await plain_inner.acall(second)
        return [first.id, second.id]

    async with Runtime() as runtime:
        first, second = await outer()

    (outer_run,) = runtime.runs.flow_runs(flow_name="outer")
    inner_run, plain_run = runtime.runs.flow_runs(parent_run_id=outer_run.id)
    assert inputs_of(inner_run) == {"x": [first], "y": [], "wait_for": [second]}
    assert (inner_run.flow_version, inner_run.state_name) == ("3", "Completed")
    assert inputs_of(plain_run) == {"x": [second]}
    assert inputs_of(outer_run) == {}
    # No task run stands for a sub-flow.
    names = [run.name for run in runtime.runs.task_runs()]
    assert names == ["number-0", "number-1"]


@pytest.mark.rule("DEP-07")
async def test_runs_tell_which_run_made_them() -> None:
    @flow
    async def inner() -> None:
        await number(0)

    @task
    async def parent() -> None:
        await number(1)
        plain_number(2)
        await number.map([3, 4])
        await inner()

    @flow
    async def outer() -> None:
        await (await parent.submit())

    async with Runtime() as runtime:
        await outer()
        alone = await number.submit()

    runs = runtime.runs
    (top,), (made_by_top,) = runs.flow_runs(flow_name="outer"), runs.task_runs(
        task_name="parent"
    )  # fmt: skip
    children = runs.task_runs(parent_run_id=made_by_top.id)
    (sub_flow,) = runs.flow_runs(parent_run_id=made_by_top.id)
    assert top.parent_run_id is None
    assert made_by_top.parent_run_id == made_by_top.flow_run_id == top.id
    assert sorted(run.name for run in children) == [
        "number-0", "number-1", "number-2", "plain_number-0"
    ]  # fmt: skip
    assert {run.flow_run_id for run in children} == {top.id}
    assert runs.flow_runs(flow_run_id=top.id) == [sub_flow]
    (deep,) = runs.task_runs(parent_run_id=sub_flow.id)
    assert deep.flow_run_id == sub_flow.id
    assert alone.task_run.parent_run_id is alone.task_run.flow_run_id is None


async def test_a_run_tells_its_parent_while_it_goes_on_and_after_it() -> None:
    seen: list[str | None] = []

    @task
    async def child() -> None:
        await asyncio.sleep(10)

    @task
    async def parent() -> None:
        future = await child.submit()
        seen.append(future.task_run.parent_run_id)
        children.append(future)

    children: list[Any] = []

    async with Runtime():
        future = await parent.submit()
        await future

        assert seen == [future.id]
        await asyncio.sleep(100)
        assert [child.done() for child in children] == [True]
        assert [child.task_run.parent_run_id for child in children] == [future.id]


# -- map -------------------------------------------------------------------------------


@pytest.mark.rule("MAP-23")
@pytest.mark.parametrize("take_each", [take, take_plainly], ids=["coroutine", "plain"])
async def test_mapped_runs_tell_whole_upstreams_and_those_of_their_own_elements(
    take_each: Any,
) -> None:
    @task
    async def numbers() -> list[int]:
        return [1, 2]

    async with Runtime():
        whole, static, waited = await numbers.submit(), await number.submit(), await (
            number.submit()
        )  # fmt: skip
        elements = await number.map([1, 2])
        extra = await number.submit()

        runs = await take_each.map(
            whole,
            [elements[0], {"own": elements[1], "too": extra}],
            z=unmapped([static]),
            wait_for=[waited],
        )

        shared = {**EMPTY, "x": [whole.id], "z": [static.id], "wait_for": [waited.id]}
        assert inputs_of(runs[0]) == {**shared, "y": [elements[0].id]}
        assert inputs_of(runs[1]) == {**shared, "y": [elements[1].id, extra.id]}


@pytest.mark.rule("MAP-23")
async def test_a_whole_argument_that_is_not_split_is_an_input_of_each_run() -> None:
    async with Runtime():
        static, failed = await number.submit(), await broken.submit()
        state = await static.astate()
        assert isinstance(state, State)
        await failed.astate()

        runs = await take.map([1, 2], static, z=state, other=allow_failure(failed))

        expected = {
            **EMPTY, "y": [static.id], "z": [static.id], "named": [failed.id]
        }  # fmt: skip
        assert [inputs_of(run) for run in runs] == [expected, expected]


@pytest.mark.rule("MAP-23")
async def test_a_map_over_futures_links_each_run_to_its_own_one() -> None:
    async with Runtime():
        first = await number.map(range(3))
        second = await take.map(first)

        assert [inputs_of(run)["x"] for run in second] == [[f.id] for f in first]


@pytest.mark.rule("MAP-23")
def test_a_map_from_another_thread_tells_its_inputs_too() -> None:
    with Runtime():
        whole = task(lambda: [1, 2]).submit()
        other = plain_number.submit()

        runs = take_plainly.map(whole, unmapped(other), wait_for=whole)

        expected = {**EMPTY, "x": [whole.id], "y": [other.id], "wait_for": [whole.id]}
        assert [inputs_of(run) for run in runs] == [expected, expected]


@pytest.mark.slow
async def test_what_a_whole_map_depends_on_is_kept_once() -> None:
    async with Runtime():
        many = await number.map(range(1_000))
        await many.aresult()
        gc.collect()
        tracemalloc.start()
        runs = await number.map(range(1_000), wait_for=many)
        await runs.aresult()
        used = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()

    # A thousand ids in each of them would take 8 MB.
    assert used < 1_000_000
    assert len(runs[7].task_run.task_inputs["wait_for"]) == 1_000


# -- values ----------------------------------------------------------------------------


class Thing:
    """Can be weakly referenced, as most objects can."""


class Model(BaseModel):
    inside: Any


@dataclass
class Record:
    thing: Thing


class Pair(NamedTuple):
    left: Any
    right: Any


class Colour(Enum):
    RED = 1


@task
async def make(value: Any) -> Any:
    return value


@task
def make_plainly(value: Any) -> Any:
    return value


@pytest.mark.rule("DEP-02", "DEP-03")
@pytest.mark.parametrize("maker", [make, make_plainly], ids=["coroutine", "plain"])
async def test_an_object_that_an_earlier_run_returned_is_an_input(maker: Any) -> None:
    @flow
    async def main() -> list[Any]:
        upstream = await maker.submit(quote(Thing()))
        thing = await upstream
        other = Thing()
        runs = [await take.submit(thing), await take.submit([{"deep": thing}], other)]
        return [upstream.id, *map(inputs_of, runs)]

    upstream_id, bare, deep = await main()

    assert bare == {**EMPTY, "x": [upstream_id]}
    assert deep == {**EMPTY, "x": [upstream_id]}


@pytest.mark.rule("DEP-02", "DEP-03")
async def test_values_of_runs_in_place_and_of_sub_flows_are_known() -> None:
    @flow
    async def inner() -> Thing:
        return Thing()

    async with Runtime() as runtime:
        awaited, called, of_flow = await make(Thing()), make_plainly(Thing()), (
            await inner()
        )  # fmt: skip
        run = await take.submit(awaited, called, z=of_flow)
        await take(awaited)

        ids = {
            run.name: run.id
            for run in runtime.runs
            if run.name in ("make-0", "make_plainly-0", "inner-0")
        }
        assert inputs_of(run) == {
            **EMPTY,
            "x": [ids["make-0"]],
            "y": [ids["make_plainly-0"]],
            "z": [ids["inner-0"]],
        }
        (in_place,) = runtime.runs.task_runs(name="take-1")
        assert inputs_of(in_place)["x"] == [ids["make-0"]]


@pytest.mark.rule("DEP-03")
@pytest.mark.parametrize(
    "around",
    [
        pytest.param(lambda thing: [1, thing], id="list"),
        pytest.param(lambda thing: (thing, 1), id="tuple"),
        pytest.param(lambda thing: Pair(1, thing), id="named-tuple"),
        pytest.param(lambda thing: {thing}, id="set"),
        pytest.param(lambda thing: frozenset([thing]), id="frozenset"),
        pytest.param(lambda thing: deque([thing]), id="deque"),
        pytest.param(lambda thing: {"a": thing}, id="dict"),
        pytest.param(Record, id="dataclass"),
        pytest.param(lambda thing: Model(inside=thing), id="model"),
    ],
)
async def test_what_is_directly_in_a_result_is_known_too(
    around: Callable[[Thing], Any],
) -> None:
    thing, deeper = Thing(), Thing()
    async with Runtime():
        upstream = await make.submit(quote(around(thing)))
        await upstream
        other = await make.submit(quote([around(deeper)]))
        kept = await other

        run = await take.submit(thing)
        too_deep = await take.submit(deeper)

        assert inputs_of(run)["x"] == [upstream.id]
        assert inputs_of(too_deep)["x"] == []
        assert kept


@pytest.mark.rule("DEP-03")
async def test_the_last_run_that_returned_an_object_is_its_source() -> None:
    async with Runtime():
        thing = Thing()
        first = await make.submit(quote(thing))
        await first
        second = await make.submit(await first)
        await second

        run = await take.submit(thing)

        assert inputs_of(second) == {"value": [first.id]}
        assert inputs_of(run)["x"] == [second.id]


@pytest.mark.rule("DEP-03")
@pytest.mark.parametrize(
    "value",
    [
        1, 10**6, 1.5, True, None, ..., "text", b"bytes", (1, 2), [1], {"a": 1},
        Thing, Colour.RED, asyncio, len, inputs_of,
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)  # fmt: skip
async def test_values_that_are_everywhere_the_same_or_cannot_be_traced_are_not_known(
    value: Any,
) -> None:
    async with Runtime():
        upstream = await make.submit(quote(value))
        result = await upstream

        run = await take.submit(result, [result])

        assert result is value
        assert inputs_of(run) == EMPTY


@pytest.mark.rule("DEP-03")
async def test_the_state_of_a_run_says_whether_its_result_can_be_traced() -> None:
    async with Runtime():
        common, rare = await make.submit(1), await make.submit(quote(Thing()))
        states = [await common.astate(), await rare.astate()]

    assert [
        state.state_details.untrackable_result for state in states if state is not None
    ] == [True, False]


@pytest.mark.rule("DEP-04")
async def test_a_result_is_not_kept_alive_by_being_known() -> None:
    async with Runtime():

        async def use() -> list[weakref.ref[Any]]:
            thing, inside = Thing(), Thing()
            refs = [weakref.ref(thing), weakref.ref(inside)]
            await (await make.submit(quote(thing)))
            await (await make.submit(quote([inside])))
            return refs

        refs = await use()
        await asyncio.sleep(1)

        assert [ref() for ref in refs] == [None, None]


@pytest.mark.rule("DEP-04")
async def test_an_object_at_the_address_of_one_that_is_gone_is_another() -> None:
    async def address() -> int:
        return id(await (await make.submit(quote(Thing()))))

    def successors(gone: int) -> list[Thing]:
        return [each for each in [Thing() for _ in range(1_000)] if id(each) == gone]

    async with Runtime():
        # As a rule the first one made is there; some other object may be.
        tries = [successors(await address()) for _ in range(50)]
        found = [each for some in tries for each in some]

        assert found
        for successor in found:
            assert inputs_of(await take.submit(successor)) == EMPTY


@pytest.mark.rule("DEP-04")
async def test_an_object_equal_to_a_result_is_another() -> None:
    class Alike(Thing):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Alike)

        def __hash__(self) -> int:
            return 1

    async with Runtime():
        upstream = await make.submit(quote(Alike()))
        result = await upstream

        run = await take.submit(Alike(), result)

        assert inputs_of(run) == {**EMPTY, "y": [upstream.id]}


@pytest.mark.rule("DEP-03")
async def test_a_result_that_cannot_be_looked_at_is_not_known() -> None:
    class Rude(type):
        def __getattribute__(cls, name: str) -> Any:
            if name == "__dataclass_fields__":
                raise ZeroDivisionError
            return super().__getattribute__(name)

    class Untouchable(metaclass=Rude):
        pass

    @task
    async def rude() -> Any:
        return Untouchable()

    async with Runtime():
        future = await rude.submit()

        assert type(await future) is Untouchable


@pytest.mark.rule("DEP-04")
async def test_values_are_not_traced_where_the_setting_says_so() -> None:
    with temporary_settings(track_results=False):
        async with Runtime():
            upstream = await make.submit(quote(Thing()))
            thing = await upstream

            run = await take.submit(thing, upstream)

            assert inputs_of(run) == {**EMPTY, "y": [upstream.id]}


@pytest.mark.rule("DEP-02")
async def test_results_of_another_flow_run_are_not_known() -> None:
    @flow
    async def first() -> Thing:
        return await make(Thing())

    @flow
    async def second(thing: Thing) -> dict[str, list[str]]:
        return inputs_of(await take.submit(thing))

    assert await second(await first()) == EMPTY


@pytest.mark.rule("MAP-23", "DEP-02")
async def test_mapped_runs_are_linked_by_the_objects_that_they_are_given() -> None:
    @task
    async def things() -> list[Thing]:
        return [Thing(), Thing()]

    async with Runtime():
        upstream, other = await things.submit(), await make.submit(quote({Thing()}))
        rows, bag, single = await upstream, await other, await make(Thing())

        by_element = await take.map(rows)
        by_whole = await take.map(bag, unmapped(rows))
        by_static = await take.map([1], unmapped([single]), unmapped(single))

        assert [inputs_of(run)["x"] for run in by_element] == [[upstream.id]] * 2
        assert [inputs_of(run) for run in by_whole] == [
            {**EMPTY, "x": [other.id], "y": [upstream.id]}
        ]
        (found,) = by_static
        assert inputs_of(found)["y"] == inputs_of(found)["more"] != []


@pytest.mark.rule("WAIT-07", "DEP-02")
async def test_a_known_value_in_wait_for_is_told_and_not_waited_for() -> None:
    async with Runtime():
        upstream = await make.submit(quote(Thing()))
        thing = await upstream

        run = await take.submit(1, wait_for=[thing])
        mapped = await take.map([1], wait_for=[thing])

        expected = {**EMPTY, "wait_for": [upstream.id]}
        assert inputs_of(run) == inputs_of(mapped[0]) == expected


# -- memory ----------------------------------------------------------------------------


@pytest.fixture
def _no_collector() -> Generator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.rule("DEP-04")
@pytest.mark.usefixtures("_no_collector")
async def test_a_run_does_not_keep_those_before_it_alive() -> None:
    async with Runtime(history="off"):
        upstream = await make.submit(quote([Thing()]))
        ref = weakref.ref(upstream)
        result = weakref.ref((await upstream)[0])
        by_future = await take.submit(upstream, wait_for=[upstream])
        by_map = await take.map([1], unmapped([upstream]), wait_for=[upstream])
        first = upstream.id
        await by_future
        await by_map.aresult()

        del upstream
        await asyncio.sleep(1)

        assert ref() is None
        assert result() is None
        assert inputs_of(by_future)["x"] == inputs_of(by_map[0])["y"] == [first]


@pytest.mark.usefixtures("_no_collector")
async def test_a_chain_whose_futures_were_dropped_is_freed_as_it_goes() -> None:
    alive = 0
    most = 0

    class Counted:
        def __init__(self) -> None:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    @task
    async def step(before: Any) -> Counted:
        await asyncio.sleep(0)
        return Counted()

    async with Runtime():
        last: Any = await step.submit(None)
        refs = [weakref.ref(last)]
        for _ in range(300):
            last = await step.submit(last)
            refs.append(weakref.ref(last))
        await last
        await asyncio.sleep(1)

        assert [ref() for ref in refs[:-1]] == [None] * 300
        assert most <= 4
        assert len(inputs_of(last)["before"]) == 1
