"""Which state many states, an error or an upstream amount to."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from headrace.exceptions import (
    CancelledRun,
    FailedRun,
    UnfinishedRun,
    UpstreamTaskError,
)
from headrace.states import (
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Pending,
    Running,
    State,
    StateGroup,
    StateType,
    StoredData,
    aggregate,
    exception_to_crashed_state,
    exception_to_failed_state,
    format_exception,
    is_state,
    is_state_iterable,
    upstream_error,
)

S = StateType
RUN, FLOW = 5, 6


def of_engine(kind: StateType, data: object = None):
    return State(kind, kind.capitalize(), 1.0, data, None, RUN, FLOW)


# -- Many states --------------------------------------------------------------


@pytest.mark.rule("ST-10")
def test_a_state_is_told_from_its_class_and_from_data() -> None:
    assert is_state(Completed())
    assert not is_state(State)
    assert not is_state(5)


@pytest.mark.rule("ST-10")
@pytest.mark.parametrize("value", [[], {}, (), {"a": Failed()}, [Failed(), 5], "ab", 5])
def test_other_things_are_no_states_to_iterate_over(value: object) -> None:
    assert not is_state_iterable(value)


@pytest.mark.rule("ST-10")
@pytest.mark.parametrize("kind", [list, tuple, set])
def test_lists_tuples_and_sets_of_states_are(kind: Any) -> None:
    assert is_state_iterable(kind([Completed(), Failed()]))
    assert not is_state_iterable(state for state in [Completed()])


@pytest.mark.rule("ST-11")
def test_a_group_counts_its_states() -> None:
    group = StateGroup([Failed(), Crashed(), Running(), Pending(), Cancelled()])

    assert (group.fail_count, group.cancelled_count, group.total_count) == (2, 1, 5)
    assert (group.final_count, group.not_final_count, group.paused_count) == (3, 2, 0)
    assert group.any_failed()
    assert group.any_cancelled()
    assert not group.any_paused()
    assert not group.all_final()
    assert not group.all_completed()
    assert StateGroup([Completed()]).all_completed()


@pytest.mark.rule("ST-11")
def test_a_group_puts_its_counts_in_one_line() -> None:
    group = StateGroup([Failed(), Running(), Running(), Completed()])

    assert group.counts_message() == (
        "total=4, not_final=2, 'FAILED'=1, 'RUNNING'=2, 'COMPLETED'=1"
    )
    assert StateGroup([Failed()]).counts_message() == "total=1, 'FAILED'=1"


@pytest.mark.rule("FINAL-03", "FINAL-04")
@pytest.mark.parametrize(
    ("states", "kind", "message"),
    [
        ([Completed(), Completed()], S.COMPLETED, "All states completed."),
        ([Completed(), Completed(), Cancelled()], S.CANCELLED, "1/3 states cancelled."),
        ([Completed(), Crashed(), Failed()], S.FAILED, "2/3 states failed."),
        # The verdict of a flow: a failure weighs more than a cancellation.
        ([Cancelled(), Failed(), Running()], S.FAILED, "1/3 states failed."),
        ([Completed(), Running()], S.FAILED, "1/2 states are not final."),
    ],
)
def test_many_states_amount_to_one(
    states: list[State[Any]], kind: StateType, message: str
) -> None:
    state = aggregate(states)

    assert (state.type, state.name) == (kind, kind.capitalize())
    assert state.message == message
    assert state.run_key is None
    assert time.time() - state.at < 60


@pytest.mark.rule("FINAL-03")
def test_an_aggregate_holds_the_states_it_is_made_of() -> None:
    completed, failed = Completed(data=1), Failed(data=ValueError("boom"))

    assert aggregate([completed]).result() == [completed]
    assert aggregate(completed).data is completed
    with pytest.raises(ValueError, match="boom"):
        aggregate({completed, failed}).result()


@pytest.mark.rule("FINAL-05")
def test_an_aggregate_of_unfinished_states_carries_an_exception() -> None:
    with pytest.raises(UnfinishedRun, match="1/2 states are not final"):
        aggregate([Running(), Completed()]).result()


# -- Errors and upstreams -----------------------------------------------------


@pytest.mark.rule("FINAL-09", "FINAL-10")
def test_an_exception_makes_a_failed_state() -> None:
    error = KeyError("a")

    state = exception_to_failed_state(error, message="Task run encountered:")

    assert (state.type, state.name, state.data) == (S.FAILED, "Failed", error)
    assert state.message == "Task run encountered: KeyError: 'a'"
    assert exception_to_failed_state(error, message="It met ").message == (
        "It met KeyError: 'a'"
    )
    assert exception_to_failed_state(error, name="TimedOut").name == "TimedOut"


@pytest.mark.rule("FINAL-10")
def test_the_exception_being_handled_is_the_default() -> None:
    with pytest.raises(ValueError, match="no exception was given"):
        exception_to_failed_state()
    try:
        raise KeyError("a")
    except KeyError:
        state = exception_to_failed_state()
    assert type(state.data) is KeyError


@pytest.mark.rule("CRASH-01")
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (asyncio.CancelledError(), "cancelled by the runtime environment"),
        (KeyboardInterrupt(), "aborted by an interrupt signal"),
        (SystemExit(), "aborted by a Python system exit call"),
        (
            GeneratorExit("x"),
            "interrupted by an unexpected exception: GeneratorExit: x",
        ),
    ],
)
def test_a_crash_says_what_caused_it(error: BaseException, text: str) -> None:
    state = exception_to_crashed_state(error)

    assert (state.type, state.name, state.data) == (S.CRASHED, "Crashed", error)
    assert state.message is not None
    assert text in state.message


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.rule("FINAL-10")
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("boom"), "ValueError: boom"),
        (TimeoutError(), "TimeoutError"),
        (FailedRun("boom"), "FailedRun: boom"),
        (asyncio.QueueFull("x"), "asyncio.queues.QueueFull: x"),
        (Unprintable(), f"{__name__}.Unprintable: <no text: its __str__ raised>"),
    ],
)
def test_an_exception_is_told_in_one_line(error: Exception, text: str) -> None:
    assert format_exception(error) == text


def not_ready(upstream: State[Any], name: str = "load-0") -> State[Any]:
    error = upstream_error(name, "fetch-0", upstream)
    return State(S.CANCELLED, "NotReady", 2.0, error, str(error), RUN, FLOW)


@pytest.mark.rule("RES-12", "FUT-05", "CALL-10")
def test_a_run_held_back_raises_what_held_it_back() -> None:
    error = ValueError("boom")

    state = not_ready(of_engine(S.FAILED, error))

    assert (state.type, state.name, state.at) == (S.CANCELLED, "NotReady", 2.0)
    assert state.is_final()
    with pytest.raises(UpstreamTaskError, match="'fetch-0' ended as Failed") as caught:
        state.result()
    assert caught.value.__cause__ is error
    assert state.result(raise_on_failure=False) is caught.value


@pytest.mark.rule("FINAL-05")
@pytest.mark.parametrize(
    ("upstream", "verdict"),
    [
        (Failed(data=ValueError()), S.FAILED),
        (Failed(data="text"), S.FAILED),
        (Crashed(data=SystemExit()), S.FAILED),
        (Cancelled(), S.CANCELLED),
        (Cancelled(data=ValueError()), S.CANCELLED),
        (Running(), S.CANCELLED),
    ],
)
def test_a_run_held_back_counts_as_what_held_it_back(
    upstream: State[Any], verdict: StateType
) -> None:
    first = not_ready(upstream)
    second = not_ready(first)

    assert first.verdict_type is verdict
    assert second.verdict_type is verdict
    assert aggregate([second, Completed()]).type is verdict
    with pytest.raises(UpstreamTaskError):
        aggregate([second, Completed()]).result()


@pytest.mark.parametrize(
    ("cause", "verdict"),
    [
        (ValueError(), S.FAILED),
        (CancelledRun("x"), S.CANCELLED),
        (None, S.CANCELLED),
    ],
)
def test_without_a_verdict_the_causes_tell(
    cause: Exception | None, verdict: StateType
) -> None:
    inner, outer = UpstreamTaskError("b", "a", "x"), UpstreamTaskError("c", "b", "x")
    inner.__cause__, outer.__cause__ = cause, inner

    assert Cancelled(name="NotReady", data=outer).verdict_type is verdict


@pytest.mark.rule("RES-13")
def test_a_long_chain_of_runs_held_back_prints_as_three_errors() -> None:
    error = ValueError("boom")
    first = state = not_ready(of_engine(S.FAILED, error), "first")
    for i in range(1_000):
        state = not_ready(state, f"run-{i}")

    last = state.data
    assert last.run_name == "run-999"
    assert last.__cause__ is first.data
    assert last.__cause__.__cause__ is error


@pytest.mark.parametrize(
    ("upstream", "cause"),
    [
        (Failed(data="text"), FailedRun),
        (Failed(data=True), type(None)),
        (Running(data=ValueError()), type(None)),
        (Failed(data=StoredData()), type(None)),
    ],
)
def test_the_cause_is_the_exception_that_the_upstream_stands_for(
    upstream: State[Any], cause: type
) -> None:
    assert type(not_ready(upstream).data.__cause__) is cause
