"""How a flow ends: by what it returned, and by failures that nobody was given."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

import headrace
from headrace import (
    Runtime,
    State,
    TaskFuture,
    allow_failure,
    flow,
    quote,
    task,
    unmapped,
)
from headrace.exceptions import (
    CancelledRun,
    CrashedRun,
    FailedRun,
    HeadraceError,
    UnreadyMap,
    UpstreamTaskError,
)
from headrace.states import (
    AwaitingRetry,
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Pending,
    StateType,
)

BOUND = 5  # seconds; nothing here comes near


@task
def double(x: int) -> int:
    return 2 * x


@task
async def fail(text: str = "boom") -> None:
    raise ValueError(text)


@task
async def sleep_for(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@task
async def crash() -> None:
    raise SystemExit(3)


@task
def stop() -> Any:
    return Cancelled(message="enough")


@task
async def collect(value: Any) -> Any:
    return value


def in_both_kinds(body: Callable[[], Any]) -> list[Any]:
    """The body as a plain flow and as a coroutine flow."""

    async def coroutine_body() -> Any:
        return body()

    return [flow(name="plain")(body), flow(name="coroutine")(coroutine_body)]


def states_of(body: Callable[[], Any]) -> list[State[Any]]:
    """The final states of both kinds of flow with that body."""
    plain, coroutine = in_both_kinds(body)
    return [plain(return_state=True), asyncio.run(coroutine(return_state=True))]


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING
    ]


# -- what a flow returns ---------------------------------------------------------------


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass
class Box:
    content: Any


@pytest.mark.rule("FINAL-11")
@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(lambda: double.submit(1), 2, id="a-submission"),
        pytest.param(lambda: double.submit(1).future, 2, id="a-future"),
        pytest.param(lambda: double.map([1, 2]), [2, 4], id="a-map"),
        pytest.param(lambda: double.map([]), [], id="an-empty-map"),
        pytest.param(lambda: [double.submit(1), 7], [2, 7], id="a-list"),
        pytest.param(lambda: (double.submit(1),), (2,), id="a-tuple"),
        pytest.param(lambda: {"a": double.submit(1)}, {"a": 2}, id="a-dict"),
        pytest.param(lambda: {double.submit(1)}, {2}, id="a-set"),
        pytest.param(lambda: deque([double.submit(1)]), deque([2]), id="a-deque"),
        pytest.param(lambda: Pair(double.submit(1), 3), Pair(2, 3), id="a-named-tuple"),
        pytest.param(lambda: Box(double.submit(1)), Box(2), id="a-dataclass"),
        pytest.param(
            lambda: {"a": [(double.map([1]), 1)]}, {"a": [([2], 1)]}, id="nested"
        ),
    ],
)
def test_futures_in_what_a_flow_returns_are_replaced_by_their_data(
    body: Callable[[], Any], value: Any
) -> None:
    plain, coroutine = in_both_kinds(body)

    given = [plain(), asyncio.run(coroutine())]
    given += [state.result() for state in states_of(body)]

    assert given == [value] * 4
    assert [type(each) for each in given] == [type(value)] * 4


async def test_a_coroutine_flow_may_return_its_futures_awaited_or_not() -> None:
    @flow
    async def awaited() -> Any:
        return [await sleep_for.submit(2), await sleep_for.map([1])]

    @flow
    async def not_awaited() -> Any:
        return [sleep_for.submit(2), sleep_for.map([1])]

    assert await awaited() == [2, [1]]
    assert await not_awaited() == [2, [1]]


async def test_a_map_of_unknown_length_that_a_flow_returns_fails_it_with_advice() -> (
    None
):
    @flow
    async def main() -> Any:
        return sleep_for.map(await collect.submit([1, 2]))

    state = await main(return_state=True)

    assert state.name == "Failed"
    with pytest.raises(UnreadyMap, match="Await it first"):
        state.result()


async def test_a_container_that_cannot_be_looked_into_fails_the_flow() -> None:
    class Refuses(list[Any]):
        def __iter__(self) -> Any:
            raise ZeroDivisionError("not me")

    @flow
    async def main() -> Any:
        return Refuses([sleep_for.submit(1)])

    state = await main(return_state=True)

    assert state.name == "Failed"
    with pytest.raises((ZeroDivisionError, HeadraceError), match="not me"):
        state.result()


@pytest.mark.rule("FINAL-11")
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lambda: fail.submit("no"), id="the-future"),
        pytest.param(lambda: [double.submit(1), fail.submit("no")], id="among-others"),
        pytest.param(lambda: {"a": [fail.submit("no")]}, id="nested"),
        pytest.param(
            lambda: [stop.submit(), fail.submit("no")], id="beside-a-cancelled"
        ),
        pytest.param(lambda: collect.submit(fail.submit("no").future), id="not-ready"),
    ],
)
def test_a_failed_run_in_what_a_flow_returns_makes_it_failed(
    body: Callable[[], Any],
) -> None:
    for state in states_of(body):
        assert (state.type, state.name) == (StateType.FAILED, "Failed")
        with pytest.raises((ValueError, UpstreamTaskError), match="no"):
            state.result()


def test_a_failed_run_that_a_flow_returns_is_raised_by_the_call() -> None:
    plain, coroutine = in_both_kinds(lambda: [double.submit(1), fail.submit("no")])

    with pytest.raises(ValueError, match="no"):
        plain()
    with pytest.raises(ValueError, match="no"):
        asyncio.run(coroutine())


def test_a_crashed_run_that_a_flow_returns_makes_it_failed_and_ends_nothing_else() -> (
    None
):
    def body() -> Any:
        return crash.submit()

    plain, coroutine = in_both_kinds(body)

    for call in (plain, lambda: asyncio.run(coroutine())):
        with pytest.raises(CrashedRun) as caught:
            call()
        assert isinstance(caught.value.__cause__, SystemExit)
    assert [state.type for state in states_of(body)] == [StateType.FAILED] * 2


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lambda: [double.submit(1), stop.submit()], id="cancelled"),
        pytest.param(lambda: [collect.submit(stop.submit().future)], id="not-ready"),
    ],
)
def test_a_cancelled_run_in_what_a_flow_returns_makes_it_cancelled(
    body: Callable[[], Any],
) -> None:
    for state in states_of(body):
        assert (state.type, state.name) == (StateType.CANCELLED, "Cancelled")
        with pytest.raises((CancelledRun, UpstreamTaskError), match=r"enough|stop-0"):
            state.result()


@pytest.mark.rule("FINAL-04")
def test_the_message_counts_the_runs_that_failed() -> None:
    for state in states_of(lambda: [double.submit(1), fail.submit(), fail.submit()]):
        assert state.message == "2/3 states failed."


@pytest.mark.rule("FINAL-13", "FINAL-09")
def test_a_body_that_raises_makes_the_flow_failed_whatever_its_runs_did() -> None:
    def body() -> Any:
        fail.submit("ignored")
        double.submit(1)
        raise KeyError("mine")

    for state in states_of(body):
        assert state.name == "Failed"
        assert state.message == "Flow run encountered an exception. KeyError: 'mine'"


@pytest.mark.rule("FINAL-15")
def test_a_generator_that_a_flow_returns_is_drained_to_a_list() -> None:
    @flow
    def main() -> Any:
        return (double.submit(number) for number in range(3))

    @flow
    def generating() -> Any:
        yield double.submit(1)
        yield 5

    assert main() == [0, 2, 4]
    assert generating() == [2, 5]


# -- marks in what a flow returns ------------------------------------------------------


@pytest.mark.rule("ANN-09")
def test_a_flow_that_returns_an_allowed_failure_completes() -> None:
    for state in states_of(lambda: allow_failure(fail.submit("no"))):
        assert state.is_completed()
        kept = state.result()
        assert type(kept) is allow_failure
        assert isinstance(kept.value, ValueError)


@pytest.mark.rule("ANN-09")
def test_marks_in_what_a_flow_returns_are_kept() -> None:
    for state in states_of(lambda: [unmapped(double.submit(1)), quote([1])]):
        assert state.result() == [unmapped(2), quote([1])]


@pytest.mark.rule("ANN-09")
async def test_a_quoted_future_is_returned_as_it_is_and_does_not_count() -> None:
    @flow
    async def main() -> Any:
        failed = await fail.submit("no")
        await failed.astate()
        return quote(failed)

    kept = await main()

    assert isinstance(kept, quote)
    assert isinstance(kept.value, TaskFuture)


@pytest.mark.rule("ANN-09")
def test_a_quoted_state_completes_the_flow() -> None:
    for state in states_of(lambda: quote(Failed(message="no"))):
        assert state.is_completed()
        assert state.result().value.message == "no"


# -- states that a flow returns --------------------------------------------------------


@pytest.mark.rule("FINAL-02")
@pytest.mark.parametrize(
    "made",
    [
        Completed(name="Skipped", message="no rows", data=1),
        Failed(name="Refused", message="no", data=KeyError("k")),
        Cancelled(message="enough"),
        Crashed(message="disk", data="disk"),
    ],
    ids=lambda state: state.name,
)
def test_a_state_that_a_flow_makes_is_adopted(made: State[Any]) -> None:
    for state in states_of(lambda: made):
        assert state is not made
        assert (state.type, state.name, state.message, state.data) == (
            made.type,
            made.name,
            made.message,
            made.data,
        )
        assert state.state_details.flow_run_id is not None


@pytest.mark.rule("FINAL-03", "FINAL-04")
@pytest.mark.parametrize(
    ("kinds", "kind", "message"),
    [
        pytest.param(
            [collect, collect], "COMPLETED", "All states completed.", id="good"
        ),
        pytest.param(
            [stop, collect], "CANCELLED", "1/2 states cancelled.", id="stopped"
        ),
        pytest.param([fail, crash, stop], "FAILED", "2/3 states failed.", id="failed"),
    ],
)
@pytest.mark.parametrize("make", [list, tuple])
def test_states_of_runs_that_a_flow_returns_are_aggregated(
    kinds: list[Any], kind: str, message: str, make: Any
) -> None:
    def body() -> Any:
        futures = [
            each.submit(1) if each is collect else each.submit() for each in kinds
        ]
        return make(future.future for future in futures)

    async def main() -> Any:
        return make([await future.astate() for future in body()])

    state = asyncio.run(flow(main)(return_state=True))

    assert (state.type, state.message) == (kind, message)
    assert [type(each) for each in state.data] == [State] * len(kinds)


@pytest.mark.rule("FINAL-03")
async def test_one_state_of_a_run_that_a_flow_returns_is_its_data() -> None:
    @flow
    async def good() -> Any:
        return await sleep_for(1, return_state=True)

    @flow
    async def bad() -> Any:
        return await fail(return_state=True)

    given = await good()

    assert isinstance(given, State)
    assert given.result() == 1
    with pytest.raises(ValueError, match="boom"):
        await bad()


@pytest.mark.rule("FINAL-05")
async def test_a_held_back_run_counts_as_what_held_it_back() -> None:
    @flow
    async def held_back_by(upstream: Any) -> Any:
        source = await upstream.submit()
        return await collect.map([1, 2], return_state=True, wait_for=[source])

    failed = await held_back_by(fail, return_state=True)
    stopped = await held_back_by(stop, return_state=True)

    assert (failed.type, failed.message) == ("FAILED", "2/2 states failed.")
    assert (stopped.type, stopped.message) == ("CANCELLED", "2/2 states cancelled.")
    with pytest.raises(UpstreamTaskError) as caught:
        failed.result()
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.rule("FINAL-05")
async def test_a_state_that_is_not_final_makes_the_flow_failed() -> None:
    @flow
    async def main() -> Any:
        slow = await sleep_for.submit(10)
        return [slow.state, await sleep_for(1, return_state=True)]

    state = await main(return_state=True)

    assert (state.type, state.message) == ("FAILED", "1/2 states are not final.")
    with pytest.raises(HeadraceError, match="not final"):
        state.result()


@pytest.mark.rule("FINAL-06", "FINAL-07")
@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda state: (state, 5), id="mixed"),
        pytest.param(lambda state: {"a": state}, id="dict"),
        pytest.param(lambda state: [[state]], id="nested"),
        pytest.param(lambda _: [], id="empty-list"),
        pytest.param(lambda _: (), id="empty-tuple"),
        pytest.param(lambda _: set(), id="empty-set"),
    ],
)
async def test_states_in_other_structures_are_data(wrap: Any) -> None:
    @flow
    async def main() -> Any:
        return wrap(await fail(return_state=True))

    state = await main(return_state=True)

    assert state.is_completed()
    assert type(state.result()) is type(wrap(None))


@pytest.mark.rule("FINAL-08", "FINAL-16")
@pytest.mark.parametrize("made", [Pending(), AwaitingRetry()], ids=lambda s: s.name)
def test_a_flow_that_returns_an_unfinished_state_failed(made: State[Any]) -> None:
    for state in states_of(lambda: made):
        assert state.name == "Failed"
        with pytest.raises(HeadraceError):
            state.result()


# -- a flow that returns None ----------------------------------------------------------


@pytest.mark.rule("FINAL-12")
def test_a_flow_that_returns_none_gives_none() -> None:
    def body() -> None:
        double.map(range(5))

    plain, coroutine = in_both_kinds(body)

    assert plain() is None
    assert asyncio.run(coroutine()) is None
    assert flow(lambda: None)() is None


@pytest.mark.rule("FINAL-12")
def test_it_fails_with_the_first_failure_in_submission_order_that_nobody_was_given() -> (
    None
):
    release = threading.Event()

    @task
    def fail_last() -> None:
        assert release.wait(BOUND)
        raise ValueError("submitted first")

    def body() -> None:
        double.submit(1)
        first = fail_last.submit()
        last = fail.submit("submitted last")
        last.future.add_done_callback(lambda _: release.set())
        assert not first.done()

    plain, coroutine = in_both_kinds(body)

    with pytest.raises(ValueError, match="submitted first"):
        plain()
    release.clear()
    state = asyncio.run(coroutine(return_state=True))
    assert state.name == "Failed"
    assert state.message is not None
    assert state.message.startswith("2 runs ")
    assert "'fail_last-0'" in state.message


@pytest.mark.rule("FINAL-12")
@pytest.mark.parametrize(
    ("unseen", "kind", "error"),
    [
        pytest.param([fail], "FAILED", ValueError, id="failed"),
        pytest.param([crash], "FAILED", CrashedRun, id="crashed"),
        pytest.param([stop], "CANCELLED", CancelledRun, id="cancelled"),
        pytest.param(
            [stop, fail], "FAILED", ValueError, id="a-failure-before-a-cancel"
        ),
    ],
)
def test_how_it_ends_is_how_the_failure_counts(
    unseen: list[Any], kind: str, error: type[Exception]
) -> None:
    def body() -> None:
        for each in unseen:
            each.submit()

    for state in states_of(body):
        assert (state.type, state.name) == (kind, kind.title())
        with pytest.raises(error):
            state.result()
    plain, coroutine = in_both_kinds(body)
    with pytest.raises(error):
        plain()
    with pytest.raises(error):
        asyncio.run(coroutine())


async def wait_for_all(futures: list[TaskFuture[Any]]) -> None:
    for future in futures:
        await future.astate()


async def catch(future: Any) -> None:
    with pytest.raises(ValueError, match="boom"):
        await future


async def gathered(future: Any) -> None:
    await asyncio.gather(future, return_exceptions=True)


async def completed(future: Any) -> None:
    async for _ in headrace.as_completed([future]):
        pass


async def read_state(future: Any) -> None:
    await asyncio.sleep(1)
    assert future.state.is_final()


async def read_state_by_call(future: Any) -> None:
    await asyncio.sleep(1)
    assert future.get_state().is_final()


async def feed_allowed(future: Any) -> None:
    await (await collect.submit(allow_failure([future])))


async def feed_allowed_wait_for(future: Any) -> None:
    await (await collect.submit(1, wait_for=[allow_failure(future)]))


async def feed_allowed_direct(future: Any) -> None:
    await collect(allow_failure(future))


async def feed_and_observe(future: Any) -> None:
    held = await collect.submit(future)
    assert (await held.astate()) is not None


async def call_with(future: Any) -> None:
    with pytest.raises(UpstreamTaskError):
        await collect(future)


async def map_over(future: Any) -> None:
    with pytest.raises(UpstreamTaskError):
        await collect.map(future)


WAYS_TO_OBSERVE: dict[str, Any] = {
    "awaited": catch,
    "gathered": gathered,
    "aresult": lambda future: future.aresult(raise_on_failure=False),
    "result": lambda future: future.result(raise_on_failure=False),
    "astate": lambda future: future.astate(),
    "wait": lambda future: future.wait(),
    "headrace.wait": lambda future: headrace.wait([future]),
    "as_completed": completed,
    "state": read_state,
    "get_state": read_state_by_call,
    "allow_failure": feed_allowed,
    "allow_failure-wait_for": feed_allowed_wait_for,
    "allow_failure-direct": feed_allowed_direct,
    "held-back-observed": feed_and_observe,
    "held-back-call": call_with,
    "held-back-map": map_over,
}


@pytest.mark.rule("FINAL-12")
@pytest.mark.parametrize(
    "observe", WAYS_TO_OBSERVE.values(), ids=WAYS_TO_OBSERVE.keys()
)
async def test_a_failure_that_somebody_was_given_does_not_fail_the_flow(
    observe: Any,
) -> None:
    @flow
    async def main() -> None:
        await observe(await fail.submit())

    assert await main() is None


@pytest.mark.rule("FINAL-12", "CALL-13")
@pytest.mark.parametrize("how", ["submit", "map", "call", "acall"])
async def test_a_failure_whose_state_was_asked_for_does_not_fail_the_flow(
    how: str,
) -> None:
    @flow
    async def main() -> None:
        if how == "map":
            await fail.map(["a", "b"], return_state=True)
        elif how == "call":
            await fail(return_state=True)
        else:
            await getattr(fail, how)(return_state=True)

    assert await main() is None


@pytest.mark.parametrize("how", ["result", "value", "wait", "for", "headrace.wait"])
def test_a_failure_that_plain_code_was_given_does_not_fail_the_flow(how: str) -> None:
    @flow
    def main() -> None:
        future: Any = fail.submit()
        if how == "for":
            for _ in headrace.as_completed([future]):
                pass
        elif how == "headrace.wait":
            headrace.wait([future])
        elif how == "wait":
            future.wait()
        else:
            with pytest.raises(ValueError, match="boom"):
                getattr(future, how)()

    assert main() is None


@pytest.mark.parametrize("how", ["aresult", "astate", "wait", "result"])
async def test_failures_of_a_map_that_were_all_given_do_not_fail_the_flow(
    how: str,
) -> None:
    @flow
    async def main() -> None:
        futures = await fail.map(["a", "b"])
        if how in ("aresult", "result"):
            await getattr(futures, how)(raise_on_failure=False)
        else:
            await getattr(futures, how)()

    assert await main() is None


async def time_out(future: Any) -> None:
    assert await future.astate(0) is None
    with pytest.raises(TimeoutError):
        await future.aresult(0)
    assert await headrace.wait([future], 0) == (set(), {future})
    with pytest.raises(TimeoutError):
        await anext(aiter(headrace.as_completed([future], 0)))


async def look_before_the_end(future: Any) -> None:
    assert not future.state.is_final()


async def add_callback(future: Any) -> None:
    future.add_done_callback(lambda _: None)


async def ask_whether_done(future: Any) -> None:
    await asyncio.sleep(5)
    assert future.done()


async def read_the_record(future: Any) -> None:
    await ask_whether_done(future)
    _ = future.task_run.state, future.history, repr(future), future.name


async def feed_and_forget(future: Any) -> None:
    await collect.submit(future)


async def feed_in_a_chain(future: Any) -> None:
    await collect.submit(await collect.submit(await collect.submit(future)))


async def feed_quoted(future: Any) -> None:
    await (await collect.submit(quote(future)))


async def feed_and_cancel(future: Any) -> None:
    held = await collect.submit(future)
    held.cancel()
    await held.astate()


WAYS_TO_OVERLOOK: dict[str, Any] = {
    "timed-out-waits": time_out,
    "state-before-the-end": look_before_the_end,
    "callback": add_callback,
    "done": ask_whether_done,
    "record": read_the_record,
    "fed-and-forgotten": feed_and_forget,
    "fed-in-a-chain": feed_in_a_chain,
    "quoted": feed_quoted,
    "fed-to-a-cancelled-run": feed_and_cancel,
}


@pytest.mark.rule("FINAL-12")
@pytest.mark.parametrize(
    "overlook", WAYS_TO_OVERLOOK.values(), ids=WAYS_TO_OVERLOOK.keys()
)
async def test_a_failure_that_nobody_was_given_fails_the_flow(overlook: Any) -> None:
    @task
    async def fail_later() -> None:
        await asyncio.sleep(1)
        raise ValueError("boom")

    @flow
    async def main() -> None:
        await overlook(await fail_later.submit())

    state = await main(return_state=True)

    assert state.type is StateType.FAILED
    with pytest.raises((ValueError, UpstreamTaskError)) as caught:
        state.result()
    first: BaseException = caught.value
    while first.__cause__ is not None:
        first = first.__cause__
    assert str(first) == "boom"


async def test_a_held_back_run_takes_over_all_failures_that_it_was_fed() -> None:
    @flow
    async def main() -> None:
        failures = [await fail.submit("a"), await fail.submit("b")]
        held = await collect.submit(failures)
        await held.astate()

    assert await main() is None


async def test_a_failure_fed_to_two_held_back_runs_is_passed_on_to_both() -> None:
    @flow
    async def main() -> None:
        failed = await fail.submit()
        first = await collect.submit(failed)
        await collect.submit(failed)
        await first.astate()

    with pytest.raises(UpstreamTaskError, match="'collect-1' did not start"):
        await main()


async def test_an_observation_after_the_flow_has_ended_comes_too_late() -> None:
    kept: list[Any] = []

    @flow
    async def main() -> None:
        kept.append(await fail.submit())

    state = await main(return_state=True)
    kept[0].state  # noqa: B018 - reading it is the point

    assert state.name == "Failed"


@pytest.mark.rule("CALL-13", "FINAL-12")
async def test_runs_submitted_by_tasks_count_in_their_flow() -> None:
    @task
    async def parent() -> str:
        await fail.submit("child")
        return "fine"

    @task
    def plain_parent() -> str:
        fail.submit("plain child")
        return "fine"

    @flow
    async def submitted() -> None:
        assert await (await parent.submit()) == "fine"

    @flow
    async def awaited() -> None:
        assert await parent() == "fine"

    @flow
    async def in_thread() -> None:
        assert await (await plain_parent.submit()) == "fine"

    for main, text in ((submitted, "child"), (awaited, "child"), (in_thread, "plain")):
        with pytest.raises(ValueError, match=text):
            await main()


async def test_failures_of_a_subflow_are_its_own() -> None:
    @flow
    async def inner() -> str:
        await fail.submit("inner")
        return "fine"

    @flow
    async def inner_none() -> None:
        await fail.submit("inner")

    @flow
    async def outer() -> None:
        assert await inner() == "fine"
        assert (await inner_none(return_state=True)).name == "Failed"

    assert await outer() is None


# -- a flow that returns another value, a runtime, a call outside of both --------------


@pytest.mark.rule("FINAL-14")
def test_a_flow_that_returns_a_value_completes_and_logs_what_nobody_was_given(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def body() -> str:
        fail.map(["a", "b", "c", "d"])
        return "value"

    states = states_of(body)

    assert [state.result() for state in states] == ["value", "value"]
    assert warnings_in(caplog) == [
        f"{name}-0 ended with 4 runs that did not complete and that nobody asked for: "
        f"fail-0 (Failed), "
        f"fail-1 (Failed), fail-2 (Failed), ..."
        for name in ("plain", "coroutine")
    ]


def test_a_flow_whose_failures_were_given_logs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @flow
    def main() -> str:
        fail.submit().future.wait()
        return "value"

    assert main() == "value"
    assert warnings_in(caplog) == []


async def test_a_run_that_a_runtime_cancels_at_its_exit_is_no_failure_to_tell_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ends: list[type[BaseException]] = []

    async def wait_for(future: TaskFuture[None]) -> None:
        try:
            await future
        except CancelledRun as error:
            ends.append(type(error))

    @task
    async def never() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with Runtime():
            waiting.append(asyncio.create_task(wait_for(await never.submit())))
            await asyncio.sleep(1)
            raise ZeroDivisionError

    waiting: list[asyncio.Task[None]] = []
    with pytest.raises(ZeroDivisionError):
        await main()
    await asyncio.wait(waiting)

    # They were not counted as failures that nobody was given, nor taken off those.
    assert ends == [CancelledRun]
    assert warnings_in(caplog) == []


async def test_the_exit_of_a_runtime_logs_and_never_raises(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Runtime():
        await fail.submit()
        (await sleep_for.submit(10)).cancel()

    assert len(warnings_in(caplog)) == 1
    assert "the runtime ended with 2 runs that did not complete" in caplog.text
    assert "fail-0 (Failed), sleep_for-0 (Cancelled)" in caplog.text


def test_the_exit_of_a_plain_runtime_logs_and_never_raises(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Runtime():
        fail.submit()

    assert len(warnings_in(caplog)) == 1
    assert "the runtime ended with 1 run that did not complete" in caplog.text


async def test_runs_that_are_cancelled_because_a_runtime_is_left_are_not_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def left() -> None:
        async with Runtime():
            await sleep_for.submit(10)
            await asyncio.sleep(0.1)
            raise KeyError("mine")

    with pytest.raises(KeyError):
        await left()

    assert warnings_in(caplog) == []


def test_nor_are_those_of_a_plain_runtime(caplog: pytest.LogCaptureFixture) -> None:
    def left() -> None:
        with Runtime():
            sleep_for.map([10, 20])
            raise KeyError("mine")

    with pytest.raises(KeyError):
        left()

    assert warnings_in(caplog) == []


async def test_a_call_outside_of_everything_logs_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @task
    async def parent() -> str:
        await fail.submit()
        return "fine"

    assert await parent() == "fine"
    assert len(warnings_in(caplog)) == 1
    assert "fail-0 (Failed)" in caplog.text


async def test_of_a_thousand_failures_a_hundred_are_kept() -> None:
    kept: list[int] = []

    @flow
    async def main() -> None:
        futures = await fail.map([str(number) for number in range(1000)])
        await asyncio.sleep(1)
        kept.append(len(futures[0].scope.unseen.in_order()))
        for future in futures[:50]:
            _ = future.state

    state = await main(return_state=True)

    assert kept == [100]
    assert state.message is not None
    assert state.message.startswith("950 runs ")
    assert "'fail-50'" in state.message
    with pytest.raises(ValueError, match=r"^50$"):
        state.result()


async def test_failures_that_were_not_kept_still_fail_the_flow() -> None:
    @flow
    async def main() -> None:
        futures = await fail.map([str(number) for number in range(1000)])
        await asyncio.sleep(1)
        for future in futures[:-1]:
            _ = future.state

    state = await main(return_state=True)

    assert state.name == "Failed"
    assert state.message is not None
    assert state.message.startswith("1 run ")
    with pytest.raises((FailedRun, ValueError)):
        state.result()
