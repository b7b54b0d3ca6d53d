"""What the end of an attempt means: pure decisions, no waiting.

An outcome is the type of the final state together with its data. What differs from
the usual name and message is noted in the record's rare part.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

from headrace.context import RETRIES_OFF
from headrace.exceptions import (
    CancelledRun,
    DeadlineExceeded,
    HeadraceError,
    RunInterrupted,
)
from headrace.runs import Record
from headrace.states import (
    FINAL,
    State,
    StateType,
    aggregate,
    format_exception,
    is_state_iterable,
)

__all__ = (
    "CANCEL",
    "DEADLINE",
    "LIMIT",
    "ExitOfBody",
    "Outcome",
    "drained",
    "is_overdue",
    "may_retry",
    "must_ask",
    "of_error",
    "of_value",
    "overdue",
    "retry_delay",
    "timed_out",
)

Outcome: TypeAlias = tuple[StateType, object]

# Why a run is being stopped, in `Rare.stop`.
LIMIT: Final = "limit"
CANCEL: Final = "cancel"
DEADLINE: Final = "deadline"

_S = StateType
_FAILED: Final = StateType.FAILED


class ExitOfBody(BaseException):
    """Stands for a GeneratorExit that a body raised itself, on its way to `of_error`.

    As it is it could not be told from the end of a coroutine that is closed from outside,
    as the collector does: that passes, and nothing can be awaited any more.
    """

    def __init__(self, error: GeneratorExit) -> None:
        super().__init__(error)
        self.error = error


def drained(value: Any) -> Any:
    """The value of a plain body: generators are drained to a list (GEN-01)."""
    return list(value) if inspect.isgenerator(value) else value


def of_error(run: Record, error: BaseException, *, kind: str = "Task") -> Outcome:
    """The outcome of an attempt whose body raised."""
    if isinstance(error, ExitOfBody):
        error = error.error
    stop = run.rare.stop if run.rare is not None else None
    if stop == LIMIT:
        return timed_out(run, error, kind=kind)
    if stop == DEADLINE or (isinstance(error, DeadlineExceeded) and is_overdue(run)):
        return overdue(run, error, kind=kind)
    if stop is not None or _is_cancellation(run, error):
        if run.rare is not None:
            # As the thread of its body, which may have come to another end, called it.
            run.rare.name = run.rare.message = None
        how = "was cancelled" if stop is not None else "ended by a cancellation"
        cancelled = CancelledRun(f"the run {run.name!r} {how}.")
        # What the body raised of its own accord is kept as it is.
        cancelled.__cause__ = error if stop is None else _without_trace(error)
        return _S.CANCELLED, cancelled
    if isinstance(error, StopIteration):
        # Never as it is: a StopIteration that leaves a coroutine ends it silently.
        wrapped = RuntimeError(f"the body of {run.name!r} raised StopIteration")
        wrapped.__cause__ = error
        return _S.FAILED, wrapped
    if isinstance(error, Exception):
        return _S.FAILED, error
    run.rarely().message = f"{kind} run was {_crash_text(error)}."
    return _S.CRASHED, error


def _without_trace(error: BaseException) -> BaseException:
    """A cancellation without its traceback; anything else as it is.

    The frames would keep what the body had in hand for as long as the run is kept, and
    lead back to the run: from `asyncio.sleep`, say, by the context of its timer. The error
    itself goes on to whoever cancelled.
    """
    if type(error) is asyncio.CancelledError or type(error) is RunInterrupted:
        return type(error)(*error.args)
    return error


def _is_cancellation(run: Record, error: BaseException) -> bool:
    if isinstance(error, (asyncio.CancelledError, RunInterrupted)):
        return True
    # One run after the other is cancelled: this one's turn had not come.
    return isinstance(error, CancelledRun) and bool(run.scope.is_cancelled)


def timed_out(
    run: Any, error: BaseException | None = None, *, kind: str = "Task"
) -> Outcome:
    """The outcome of an attempt that exceeded its time limit."""
    text = f"{kind} run exceeded timeout of {run.spec.timeout_seconds} seconds"
    rare = run.rarely()
    rare.name, rare.message = "TimedOut", text
    late = TimeoutError(text)
    late.__cause__ = error
    return _S.FAILED, late


def is_overdue(run: Record) -> bool:
    """Whether the deadline that a run is under has passed."""
    # Read once: in the thread of its body this may be asked while the loop ends the run.
    group = None if run.rare is None else run.rare.deadline
    return group is not None and bool(group.is_over)


def overdue(
    run: Record, error: BaseException | None = None, *, kind: str = "Task"
) -> Outcome:
    """The outcome of a run that had not ended when its deadline passed."""
    rare = run.rarely()
    group = rare.deadline
    if group is None:
        # The loop has ended the run meanwhile: what its thread comes to is dropped.
        return _S.FAILED, error
    seconds: float = group.deadline.seconds
    rare.name = "TimedOut"
    rare.message = f"{kind} run exceeded its deadline of {seconds:g} seconds"
    late = DeadlineExceeded(f"the run {run.name!r}", seconds)
    if run.phase is _S.SCHEDULED and run.log is not None:
        error = run.log[-1].data  # of the attempt that was to be followed by another
    late.__cause__ = _without_trace(error) if isinstance(error, BaseException) else None
    return _S.FAILED, late


def of_value(run: Record, value: object) -> Outcome:
    """The outcome of an attempt whose body returned (FINAL-01 to FINAL-08)."""
    if run.rare is not None and run.rare.stop is not None:
        # It was told to stop and swallowed that: what it returned does not count.
        return of_error(run, asyncio.CancelledError())
    kind = type(value)
    if kind is State:
        state = cast("State[Any]", value)
        if state.run_key is not None:
            state = aggregate(state)
    elif is_state_iterable(value):
        state = aggregate(value)
    else:
        return _S.COMPLETED, value
    return _adopted(run, state)


def _adopted(run: Record, state: State[Any]) -> Outcome:
    if state.type is _S.SCHEDULED:
        # "Again at that time": an attempt is used up; see `may_retry`.
        run.rarely().scheduled = state
        return _S.FAILED, HeadraceError(
            f"the run {run.name!r} asked to be run again later and has no attempt left. "
            f"Give its task more retries."
        )
    if state.type not in FINAL:
        return _S.FAILED, HeadraceError(
            f"the body of {run.name!r} returned a state of type {state.type}, which no "
            f"run can end in. Return a final state, AwaitingRetry(...), or a value."
        )
    rare = run.rarely()
    rare.name, rare.message = state.name, state.message
    return state.type, state.data


def may_retry(run: Any, phase: StateType) -> bool:
    """Whether an attempt that ended so may be followed by another, by count alone."""
    policy = run.spec.retry
    if policy is None or phase is not _FAILED:
        return False
    rare = run.rare
    return (
        run.attempts <= policy.retries
        and not run.scope.is_cancelled
        and not (rare is not None and (rare.is_last or is_overdue(run)))
        and not _is_without_retries(run)
    )


def _is_without_retries(run: Any) -> bool:
    # A run in place has no context of its own: its caller's is the present one.
    context = run.context
    found = RETRIES_OFF.get() if context is None else context.get(RETRIES_OFF, False)
    return bool(found)


def must_ask(run: Any, phase: StateType) -> bool:
    """Whether the user's condition decides if there is another attempt."""
    if not may_retry(run, phase) or run.spec.retry.condition is None:
        return False
    # A body that asked to be run again has answered already.
    return run.rare is None or run.rare.scheduled is None


def retry_delay(run: Any, uniform: Callable[[], float], now: float) -> float:
    """Seconds to wait before the next attempt."""
    rare = run.rare
    if rare is not None and rare.scheduled is not None:
        due = rare.scheduled.state_details.scheduled_time
        return float(max(due.timestamp() - now, 0.0)) if due is not None else 0.0
    policy = run.spec.retry
    return float(policy.jittered(policy.delay_before_retry(run.attempts), uniform))


def _crash_text(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "aborted by an interrupt signal"
    if isinstance(error, SystemExit):
        return "aborted by a Python system exit call"
    return f"interrupted by an unexpected exception: {format_exception(error)}"
