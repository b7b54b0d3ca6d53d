"""``unmapped``, ``allow_failure`` and ``quote``, alone and stacked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import headrace.annotations as marks
from headrace import Runtime, allow_failure, flow, quote, task, unmapped
from headrace.exceptions import CancelledRun, FailedRun, UpstreamTaskError
from headrace.futures import TaskFuture
from headrace.states import (
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Running,
    State,
    StateType,
)


@task
async def number(value: Any) -> Any:
    return value


@task
async def broken(text: str = "boom") -> None:
    raise ValueError(text)


@task
async def echo(value: Any = None) -> Any:
    return value


@task
def plain_echo(value: Any = None) -> Any:
    return value


# -- allow_failure ----------------------------------------------------------------


async def failed() -> TaskFuture[Any]:
    return await broken.submit()


async def crashed() -> TaskFuture[Any]:
    @task
    async def crash() -> None:
        raise SystemExit(3)

    return await crash.submit()


async def cancelled() -> TaskFuture[Any]:
    @task
    async def forever() -> None:
        await anyio.sleep_forever()

    future = await forever.submit()
    future.cancel()
    return future


async def timed_out() -> TaskFuture[Any]:
    @task(timeout_seconds=1)
    async def forever() -> None:
        await anyio.sleep_forever()

    return await forever.submit()


async def held_back() -> TaskFuture[Any]:
    return await echo.submit(broken.submit())


UPSTREAMS = [
    pytest.param(failed, ValueError, id="failed"),
    pytest.param(crashed, SystemExit, id="crashed"),
    pytest.param(cancelled, CancelledRun, id="cancelled"),
    pytest.param(timed_out, TimeoutError, id="timed-out"),
    pytest.param(held_back, UpstreamTaskError, id="not-ready"),
]


@pytest.mark.rule("ANN-04", "ANN-05")
@pytest.mark.parametrize("doing", ["submitted", "awaited"])
@pytest.mark.parametrize(("make", "kind"), UPSTREAMS)
async def test_under_allow_failure_the_exception_takes_the_place_of_the_value(
    make: Callable[[], Any], kind: type[BaseException], doing: str
) -> None:
    async with Runtime():
        upstream = await make()

        if doing == "submitted":
            received = await echo.submit([allow_failure(upstream)]).aresult()
        else:
            received = await echo([allow_failure(upstream)])

    assert [type(item) for item in received] == [kind]


@pytest.mark.rule("ANN-04", "ANN-05")
@pytest.mark.parametrize(
    ("state", "kind"),
    [
        pytest.param(Failed(data=ValueError("x")), ValueError, id="failed"),
        pytest.param(Failed(message="why"), FailedRun, id="failed-without-data"),
        pytest.param(Failed(data="why"), FailedRun, id="failed-with-text"),
        pytest.param(Failed(data=[Failed(data=KeyError())]), KeyError, id="of-states"),
        pytest.param(Crashed(data=SystemExit(1)), SystemExit, id="crashed"),
        pytest.param(Cancelled(), CancelledRun, id="cancelled"),
    ],
)
async def test_allow_failure_gives_the_exception_that_a_made_state_stands_for(
    state: State[Any], kind: type[BaseException]
) -> None:
    async with Runtime():
        received = await echo.submit(allow_failure([state])).aresult()

    assert type(received[0]) is kind


@pytest.mark.rule("ANN-05", "RES-11")
async def test_allow_failure_does_not_cover_a_state_that_is_not_final() -> None:
    async with Runtime():
        submitted = await echo.submit(allow_failure([Running()])).astate()
        awaited = await echo(allow_failure([Running()]), return_state=True)

    assert submitted is not None
    assert (submitted.name, awaited.name) == ("NotReady", "NotReady")


@pytest.mark.rule("ANN-04")
async def test_under_allow_failure_the_value_of_what_completed_is_given() -> None:
    async with Runtime():
        received = await echo.submit(allow_failure(number.submit(1))).aresult()

    assert received == 1


@pytest.mark.rule("ANN-04")
async def test_allow_failure_covers_everything_inside_a_container() -> None:
    async with Runtime():
        inputs = allow_failure([{"a": broken.submit("one")}, (number.submit(2),)])

        received = await echo.submit(inputs).aresult()

    assert str(received[0]["a"]) == "one"
    assert received[1] == (2,)


@pytest.mark.rule("ANN-04")
async def test_allow_failure_covers_nothing_outside_of_it() -> None:
    async with Runtime():
        inputs = [allow_failure(broken.submit("covered")), broken.submit("bare")]

        with pytest.raises(UpstreamTaskError) as caught:
            await echo.submit(inputs).aresult()

    assert str(caught.value.__cause__) == "bare"


@pytest.mark.rule("ANN-04")
async def test_a_future_both_inside_and_outside_of_allow_failure_must_complete() -> (
    None
):
    async with Runtime():
        upstream = await broken.submit()
        shared = [upstream]

        state = await echo.submit([allow_failure(shared), shared]).astate()

    assert state is not None
    assert state.name == "NotReady"


@pytest.mark.rule("ANN-04")
async def test_allow_failure_waits_for_the_end_of_an_upstream() -> None:
    @task
    async def slow() -> None:
        await anyio.sleep(10)
        raise ValueError("late")

    async with Runtime():
        received = await echo.submit(allow_failure(slow.submit())).aresult()

    assert str(received) == "late"


@pytest.mark.rule("ANN-04")
def test_allow_failure_works_in_plain_calls_and_plain_flows() -> None:
    @flow
    def inner(value: Any) -> Any:
        return [str(error) for error in value]

    @flow
    def program() -> Any:
        upstream = broken.submit()
        return [
            str(plain_echo(allow_failure(upstream))),
            str(plain_echo.submit(allow_failure([upstream])).result()[0]),
            inner(allow_failure([upstream])),
        ]

    assert program() == ["boom", "boom", ["boom"]]


@pytest.mark.rule("ANN-04", "FLOW-03")
async def test_allow_failure_works_for_inputs_of_a_coroutine_flow() -> None:
    @flow
    async def inner(value: Any) -> Any:
        return str(value)

    async with Runtime():
        assert await inner(allow_failure(broken.submit())) == "boom"


@pytest.mark.rule("ANN-04")
async def test_a_failure_that_was_allowed_does_not_fail_the_flow() -> None:
    @flow
    async def program() -> None:
        echo.submit(allow_failure([broken.submit()]))

    state = await program(return_state=True)

    assert state.is_completed()


# -- Stacked ----------------------------------------------------------------------


@pytest.mark.rule("ANN-06", "ANN-03")
@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda f: allow_failure([unmapped(f)]), id="list-inside"),
        pytest.param(lambda f: allow_failure(unmapped([f])), id="directly"),
        pytest.param(lambda f: unmapped(allow_failure([f])), id="the-other-way"),
        pytest.param(lambda f: unmapped([allow_failure(f)]), id="list-between"),
        pytest.param(lambda f: [unmapped(unmapped(allow_failure(f)))], id="thrice"),
        pytest.param(lambda f: allow_failure(allow_failure([f])), id="twice"),
    ],
)
async def test_every_mark_on_the_way_counts(wrap: Callable[[Any], Any]) -> None:
    async with Runtime():
        submitted = await echo.submit(wrap(broken.submit())).aresult()
        awaited = await echo(wrap(broken.submit()))

    assert [str(item) for item in (*submitted, *awaited)] == ["boom", "boom"]


@pytest.mark.rule("ANN-03")
async def test_outside_of_map_unmapped_is_taken_off() -> None:
    given = [1, 2]

    async with Runtime():
        submitted = await echo.submit(unmapped(given)).aresult()
        awaited = await echo(unmapped(given))
        inside = await echo.submit({"a": unmapped(given)}).aresult()
        resolved = await echo.submit(unmapped([number.submit(1)])).aresult()

    assert submitted is given
    assert awaited is given
    assert inside == {"a": given}
    assert resolved == [1]


@pytest.mark.rule("ANN-03")
def test_marks_are_taken_off_the_inputs_of_called_tasks_and_flows() -> None:
    @flow
    def inner(value: Any) -> Any:
        return value

    @flow
    def program() -> Any:
        return [
            plain_echo(unmapped(1)),
            plain_echo([allow_failure(2)]),
            plain_echo(quote(3)),
            inner(unmapped(4)),
            inner({"a": quote(5)}),
        ]

    assert program() == [1, [2], 3, 4, {"a": 5}]


# -- quote ------------------------------------------------------------------------


@pytest.mark.rule("ANN-07")
async def test_a_quoted_future_arrives_as_a_future() -> None:
    kept: list[Any] = []

    @task
    async def keep(*values: Any) -> None:
        kept.extend(values)

    async with Runtime():
        future = await number.submit(1)

        await keep.submit(quote(future), [quote(future), future]).aresult()
        await keep(quote([future]))

    assert kept[0] is future
    assert kept[1][0] is future
    assert kept[1][1] == 1
    assert kept[2][0] is future


@pytest.mark.rule("ANN-07", "ANN-08")
async def test_a_quoted_future_is_not_waited_for() -> None:
    release = asyncio.Event()

    @task
    async def hold() -> None:
        await release.wait()

    @task
    async def is_done(future: Any) -> bool:
        return future.done()

    async with Runtime():
        upstream = await hold.submit()
        submitted = await is_done.submit(quote(upstream)).aresult()
        awaited = await is_done(quote(upstream))
        release.set()

    assert (submitted, awaited) == (False, False)


@pytest.mark.rule("ANN-07")
async def test_a_quoted_failure_holds_nothing_back() -> None:
    @task
    async def name_of(future: Any) -> str:
        return str(future.state.name)

    async with Runtime():
        upstream = await broken.submit()
        await upstream.astate()

        assert await name_of.submit(quote(upstream)).aresult() == "Failed"


@pytest.mark.rule("ANN-07")
async def test_marks_and_states_inside_a_quote_stay() -> None:
    inside = [unmapped(1), allow_failure(2), quote(3), Failed(data=ValueError())]

    async with Runtime():
        received = await echo.submit({"a": quote(inside)}).aresult()

    assert received["a"] is inside


@pytest.mark.rule("ANN-07")
async def test_a_quote_inside_another_mark_quotes() -> None:
    async with Runtime():
        future = await number.submit(1)

        received = await echo.submit([allow_failure([quote(future)])]).aresult()

    assert received[0][0] is future


@pytest.mark.rule("ANN-08")
async def test_what_is_quoted_is_not_looked_at() -> None:
    class Costly(list[Any]):
        @property
        def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
            raise AssertionError("looked at")

    kept: list[Any] = []

    @task
    async def keep(value: Any) -> None:
        kept.append(value)

    costly = Costly()
    async with Runtime():
        await keep.submit(quote(costly)).aresult()

    assert kept[0] is costly


@pytest.mark.rule("ANN-10")
def test_there_is_one_spelling_of_quote() -> None:
    assert marks.quote is quote
    assert not hasattr(marks, "Quote")


# -- In what flows and tasks return ------------------------------------------------


@pytest.mark.rule("ANN-09")
async def test_a_task_that_returns_a_quoted_state_completes_with_the_quote() -> None:
    state = Failed(data=ValueError())

    @task
    async def give() -> Any:
        return quote(state)

    async with Runtime():
        ended = await give.submit().astate()

    assert ended is not None
    assert ended.type is StateType.COMPLETED
    assert ended.data == quote(state)


@pytest.mark.rule("ANN-09")
async def test_a_flow_that_returns_a_quoted_state_completes_with_the_quote() -> None:
    state = Failed(data=ValueError())

    @flow
    async def program() -> Any:
        return quote(state)

    assert await program() == quote(state)


@pytest.mark.rule("ANN-09")
async def test_a_flow_that_returns_a_failure_it_allows_completes() -> None:
    @flow
    async def program() -> Any:
        return allow_failure(broken.submit())

    value = await program()

    assert isinstance(value, allow_failure)
    assert isinstance(value.unwrap(), ValueError)


@pytest.mark.rule("ANN-09")
def test_marks_stay_on_what_a_flow_returns_and_futures_in_them_are_replaced() -> None:
    kept: list[Any] = []

    @flow
    def program() -> Any:
        future = number.submit(1)
        kept.append(future)
        return [unmapped(future), quote(future), {"a": unmapped([future])}, future]

    value = program()

    assert value == [unmapped(1), quote(kept[0]), {"a": unmapped([1])}, 1]


@pytest.mark.rule("ANN-09")
async def test_states_stay_in_what_a_flow_returns() -> None:
    state = Completed(data=1)

    @flow
    async def program() -> Any:
        return {"state": state, "value": number.submit(1)}

    value = await program()

    assert value["state"] is state
    assert value["value"] == 1
