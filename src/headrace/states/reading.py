"""What a state stands for: its value, or the exception to raise in its place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Any, Final, TypeGuard, cast

from headrace.exceptions import (
    CancelledRun,
    CrashedRun,
    FailedRun,
    MissingResult,
    PausedRun,
    UnfinishedRun,
)
from headrace.states.details import in_hand
from headrace.states.kinds import FINAL, StateType
from headrace.states.record import StateRecord

__all__ = (
    "FAILING",
    "error_to_raise",
    "get_state_exception",
    "is_record",
    "is_record_iterable",
    "value_of",
)

_S = StateType

# The types that stand for an exception, what is raised for one that holds none, and
# the text of that.
FAILING: Final[Mapping[StateType, tuple[Callable[[str], Exception], str]]] = {
    _S.FAILED: (FailedRun, "Run failed."),
    _S.CRASHED: (CrashedRun, "Run crashed."),
    _S.CANCELLED: (CancelledRun, "Run cancelled."),
}


def get_state_exception(state: StateRecord[Any]) -> BaseException:
    """The exception that a failed, crashed or cancelled state stands for.

    Raises:
        ValueError: The state is none of these, or none of the states that it holds.
        TypeError: Its data is a value that cannot be seen as an exception.
    """
    return _exception_of(state, _loaded(state))[0]


def is_record(value: object) -> TypeGuard[StateRecord[Any]]:
    """Whether a value is a state."""
    return isinstance(value, StateRecord)


def is_record_iterable(value: object) -> TypeGuard[Collection[StateRecord[Any]]]:
    """Whether a value is a list, tuple or set of states only, and not empty."""
    if not isinstance(value, (list, tuple, set)) or not value:
        return False
    return all(map(is_record, cast("Collection[object]", value)))


def value_of(state: StateRecord[Any], data: Any) -> Any:
    """What reading gives when it does not raise."""
    if data is None and state.type in FAILING:
        return _exception_of(state, None)[0]
    return data


def error_to_raise(
    state: StateRecord[Any], data: Any, raise_on_failure: bool
) -> Exception | None:
    """What reading raises, with the trace to start from; None to give the value."""
    if state.type is _S.COMPLETED:
        if data is None and state.run_key is None:
            return MissingResult(
                "The state was made without data, so it has no result. Write "
                "Completed(data=...) to give it one."
            )
        return None
    if state.type not in FINAL:
        carrier = PausedRun if state.type is _S.PAUSED else UnfinishedRun
        return carrier(
            f"Run is in {state.type} state, so its result is not available yet. "
            f"Wait for the run to end before asking."
        )
    if not raise_on_failure:
        return None
    error, trace = _exception_of(state, data)
    if isinstance(error, Exception):
        return error.with_traceback(trace)
    # As it is it would end the program around the run, or cancel a task of it.
    crash = CrashedRun(state.message or f"Run was ended by {error!r}.")
    crash.__cause__ = error
    return crash


def _exception_of(
    state: StateRecord[Any], data: Any
) -> tuple[BaseException, TracebackType | None]:
    """See `get_state_exception`; with the trace that it had when first seen."""
    if state.type not in FAILING:
        raise ValueError(
            f"expected failed or crashed state, got {state}. Only these, and "
            f"cancelled ones, stand for an exception."
        )
    carrier, default = FAILING[state.type]
    if data is None:
        return carrier(state.message or default), None
    if isinstance(data, str):
        return carrier(data), None
    if isinstance(data, BaseException):
        return data, state.trace_of(data)
    inner = data if is_record(data) else None
    if is_record_iterable(data):
        inner = _first_failing(data)
    if inner is not None:
        return _exception_of(inner, _loaded(inner))
    raise TypeError(
        f"data of type {type(data).__name__} in the state {state} cannot be resolved "
        f"into an exception. Give a failed state an exception, or a text, as data."
    )


def _loaded(state: StateRecord[Any]) -> Any:
    return in_hand(state.data)


def _first_failing(states: Collection[StateRecord[Any]]) -> StateRecord[Any]:
    """The first that failed or crashed, else the first that was cancelled."""
    failing = [state for state in states if state.type in FAILING]
    for state in failing:
        if state.verdict_type is not _S.CANCELLED:
            return state
    if failing:
        return failing[0]
    raise ValueError(
        f"{len(states)} states were given as the reason of a failure, but none were "
        f"failed. Give the state an exception as data."
    )
