"""What the end of an attempt means: pure decisions, no waiting.

An outcome is the type of the final state together with its data. What differs from the
usual name and message travels with it, as `Told`, until `noted` writes it in the record's
rare part: at once, but for an attempt in a thread, which may have been given up meanwhile.
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
    "Told",
    "drained",
    "is_overdue",
    "may_retry",
    "must_ask",
    "noted",
    "of_error",
    "of_value",
    "overdue",
    "retry_delay",
    "told",
)

Outcome: TypeAlias = tuple[StateType, object]

# Why a run is being stopped, in `Rare.stop`.
LIMIT: Final = "limit"
CANCEL: Final = "cancel"
DEADLINE: Final = "deadline"

_S = StateType
_FAILED: Final = StateType.FAILED


class Told(tuple[StateType, object]):  # noqa: SLOT001 - it has attributes
    """An outcome of which there is more to tell.

    Attributes:
        name: That of the state, if not the usual one.
        message: That of the state, if not the usual one.
        scheduled: The state with which the body asked for another attempt.
        is_last: Whether another attempt would give the same.
    """

    name: str | None = None
    message: str | None = None
    scheduled: State[Any] | None = None
    is_last = False

    def with_data(self, data: object) -> Told:
        """The same with other data."""
        other = Told((self[0], data))
        other.__dict__.update(self.__dict__)
        return other


def told(phase: StateType, data: object, name: str | None, message: str | None) -> Told:
    """An outcome with the name and the message of its state, if not the usual ones."""
    outcome = Told((phase, data))
    outcome.name, outcome.message = name, message
    return outcome


def noted(run: Any, outcome: Outcome) -> Outcome:
    """An outcome of which there is no more to tell, as that is written in the record.

    For whoever knows that the attempt is the present one: on the loop, if the run was
    submitted. What comes after its end is not written.
    """
    if type(outcome) is not Told:
        return outcome
    if not run.is_settled:
        rare = run.rarely()
        rare.name, rare.message = outcome.name, outcome.message
        rare.scheduled = outcome.scheduled
        rare.is_last = rare.is_last or outcome.is_last
    return outcome[0], outcome[1]


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


def of_error(
    run: Record, error: BaseException, *, kind: str = "Task", apart: bool = False
) -> Outcome:
    """The outcome of an attempt whose body raised.

    Args:
        run: The run.
        error: What it raised.
        kind: For messages.
        apart: Whether nothing is to be written in the record yet; see `noted`.
    """
    outcome = _of_error(run, error, kind)
    return outcome if apart else noted(run, outcome)


def _of_error(run: Record, error: BaseException, kind: str) -> Outcome:
    if isinstance(error, ExitOfBody):
        error = error.error
    stop = run.rare.stop if run.rare is not None else None
    if stop == LIMIT:
        return _timed_out(run, error, kind)
    if stop == DEADLINE or (isinstance(error, DeadlineExceeded) and is_overdue(run)):
        return _overdue(run, error, kind)
    if stop is not None or _is_cancellation(run, error):
        how = "was cancelled" if stop is not None else "ended by a cancellation"
        cancelled = CancelledRun(f"the run {run.name!r} {how}.")
        # What the body raised of its own accord is kept as it is.
        cancelled.__cause__ = error if stop is None else _without_trace(error)
        if run.rare is None:
            return _S.CANCELLED, cancelled
        # Its body may have come to another end before, that has a name.
        return Told((_S.CANCELLED, cancelled))
    if isinstance(error, StopIteration):
        # Never as it is: a StopIteration that leaves a coroutine ends it silently.
        wrapped = RuntimeError(f"the body of {run.name!r} raised StopIteration")
        wrapped.__cause__ = error
        return _S.FAILED, wrapped
    if isinstance(error, Exception):
        return _S.FAILED, error
    text = f"{kind} run was {_crash_text(error)}."
    return told(_S.CRASHED, error, None, text)


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


def _timed_out(run: Any, error: BaseException, kind: str) -> Outcome:
    """The outcome of an attempt that exceeded its time limit."""
    text = f"{kind} run exceeded timeout of {run.spec.timeout_seconds} seconds"
    late = TimeoutError(text)
    late.__cause__ = error
    return told(_S.FAILED, late, "TimedOut", text)


def is_overdue(run: Record) -> bool:
    """Whether the deadline that a run is under has passed."""
    # Read once: in the thread of its body this may be asked while the loop ends the run.
    group = None if run.rare is None else run.rare.deadline
    return group is not None and bool(group.is_over)


def overdue(run: Record) -> Outcome:
    """The outcome of a run that had not begun when its deadline passed."""
    return noted(run, _overdue(run, None, "Task"))


def _overdue(run: Record, error: BaseException | None, kind: str) -> Outcome:
    group = run.rarely().deadline
    if group is None:
        # The loop has ended the run meanwhile: what its thread comes to is dropped.
        return _S.FAILED, error
    seconds: float = group.deadline.seconds
    text = f"{kind} run exceeded its deadline of {seconds:g} seconds"
    late = DeadlineExceeded(f"the run {run.name!r}", seconds)
    if run.phase is _S.SCHEDULED and run.log is not None:
        error = run.log[-1].data  # of the attempt that was to be followed by another
    late.__cause__ = _without_trace(error) if isinstance(error, BaseException) else None
    return told(_S.FAILED, late, "TimedOut", text)


def of_value(run: Record, value: object, *, apart: bool = False) -> Outcome:
    """The outcome of an attempt whose body returned (FINAL-01 to FINAL-08).

    Args:
        run: The run.
        value: What it returned.
        apart: Whether nothing is to be written in the record yet; see `noted`.
    """
    if run.rare is not None and run.rare.stop is not None:
        # It was told to stop and swallowed that: what it returned does not count.
        return of_error(run, asyncio.CancelledError(), apart=apart)
    kind = type(value)
    if kind is State:
        state = cast("State[Any]", value)
        if state.run_key is not None:
            state = aggregate(state)
    elif is_state_iterable(value):
        state = aggregate(value)
    else:
        return _S.COMPLETED, value
    outcome = _adopted(run, state)
    return outcome if apart else noted(run, outcome)


def _adopted(run: Record, state: State[Any]) -> Outcome:
    if state.type is _S.SCHEDULED:
        # "Again at that time": an attempt is used up; see `may_retry`.
        asked = Told((_S.FAILED, _without_attempts(run)))
        asked.scheduled = state
        return asked
    if state.type not in FINAL:
        return _S.FAILED, HeadraceError(
            f"the body of {run.name!r} returned a state of type {state.type}, which no "
            f"run can end in. Return a final state, AwaitingRetry(...), or a value."
        )
    return told(state.type, state.data, state.name, state.message)


def _without_attempts(run: Record) -> HeadraceError:
    return HeadraceError(
        f"the run {run.name!r} asked to be run again later and has no attempt left. "
        f"Give its task more retries."
    )


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


def must_ask(run: Any, outcome: Outcome) -> bool:
    """Whether the user's condition decides if there is another attempt."""
    if not may_retry(run, outcome[0]) or run.spec.retry.condition is None:
        return False
    # A body that asked to be run again has answered already.
    if type(outcome) is Told:
        return outcome.scheduled is None and not outcome.is_last
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
