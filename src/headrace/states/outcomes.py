"""From what happened to the state that says so: errors, groups of states, upstreams."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, TypeGuard

from headrace.exceptions import UnfinishedRun, UpstreamTaskError
from headrace.states.details import StoredData
from headrace.states.kinds import FINAL, StateType
from headrace.states.reading import FAILING, get_state_exception, is_record_iterable
from headrace.states.state import State

__all__ = (
    "StateGroup",
    "aggregate",
    "exception_to_crashed_state",
    "exception_to_failed_state",
    "format_exception",
    "is_state",
    "is_state_iterable",
    "safe_text",
    "upstream_error",
)

_S = StateType


# -- Telling states from data -------------------------------------------------


def is_state(value: object) -> TypeGuard[State[Any]]:
    """Whether a value is a state; the class itself is none."""
    return isinstance(value, State)


def is_state_iterable(value: object) -> TypeGuard[Collection[State[Any]]]:
    """Whether a value is a list, tuple or set of states only, and not empty."""
    return is_record_iterable(value)


# -- Many states --------------------------------------------------------------


class StateGroup:
    """Counts some states by their type.

    Attributes:
        states: The states.
        type_counts: How many there are of each type.
        total_count: How many there are.
        cancelled_count: How many are cancelled or held back.
        paused_count: How many are paused.
        final_count: How many are final.
        not_final_count: How many are not.
        fail_count: How many failed or crashed.
    """

    def __init__(self, states: Iterable[State[Any]]) -> None:
        self.states = list(states)
        self.type_counts = dict(Counter(state.type for state in self.states))
        self.total_count = len(self.states)
        self.cancelled_count = self._count(_S.CANCELLED)
        self.paused_count = self._count(_S.PAUSED)
        self.final_count = self._count(*FINAL)
        self.not_final_count = self.total_count - self.final_count
        self.fail_count = self._count(_S.FAILED, _S.CRASHED)

    def _count(self, *types: StateType) -> int:
        return sum(self.type_counts.get(kind, 0) for kind in types)

    def all_completed(self) -> bool:
        """Whether every state is completed."""
        return self._count(_S.COMPLETED) == self.total_count

    def any_cancelled(self) -> bool:
        """Whether a state is cancelled."""
        return self.cancelled_count > 0

    def any_failed(self) -> bool:
        """Whether a state failed or crashed."""
        return self.fail_count > 0

    def any_paused(self) -> bool:
        """Whether a state is paused."""
        return self.paused_count > 0

    def all_final(self) -> bool:
        """Whether every state is final."""
        return self.final_count == self.total_count

    def counts_message(self) -> str:
        """The counts that are not zero: ``total=4, not_final=2, 'FAILED'=1``."""
        parts = [f"total={self.total_count}"]
        if self.not_final_count:
            parts.append(f"not_final={self.not_final_count}")
        parts += [f"'{kind}'={count}" for kind, count in self.type_counts.items()]
        return ", ".join(parts)


def aggregate(states: State[Any] | Collection[State[Any]]) -> State[Any]:
    """The one state that some states amount to, with them as its data.

    One that failed or crashed makes it Failed; else one that was cancelled makes it
    Cancelled; else one that is not final makes it Failed, with an `UnfinishedRun` as
    data; else it is Completed. A run that was held back counts as what held it back.

    Args:
        states: One state, or a list, tuple or set of them.

    Returns:
        A state as users make them: `State.adopted` gives it to a run.
    """
    group = [states] if isinstance(states, State) else states
    counts = Counter(state.verdict_type for state in group)
    total = len(group)
    failed = counts[_S.FAILED] + counts[_S.CRASHED]
    cancelled = counts[_S.CANCELLED]
    unfinished = total - failed - cancelled - counts[_S.COMPLETED]
    at = time.time()
    if failed:
        return State(_S.FAILED, "", at, states, f"{failed}/{total} states failed.")
    if cancelled:
        message = f"{cancelled}/{total} states cancelled."
        return State(_S.CANCELLED, "", at, states, message)
    if unfinished:
        message = f"{unfinished}/{total} states are not final."
        advice = "Wait for the runs before returning their states."
        return State(_S.FAILED, "", at, UnfinishedRun(f"{message} {advice}"), message)
    return State(_S.COMPLETED, "", at, states, "All states completed.")


# -- Errors and upstreams -----------------------------------------------------


def format_exception(error: BaseException) -> str:
    """``Type: text`` in one piece; the type alone if the exception has no text.

    A type of the user's is named with its module, one of Python's or ours without.
    """
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    if name.startswith("headrace."):
        name = name.rpartition(".")[2]
    text = safe_text(error)
    return f"{name}: {text}" if text else name


def safe_text(error: BaseException) -> str:
    """The text of an exception, whatever its ``__str__`` does."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - the `__str__` of a user's class may raise
        return "<no text: its __str__ raised>"


def exception_to_failed_state(
    error: BaseException | None = None, *, message: str = "", name: str = ""
) -> State[Any]:
    """The failed state of an exception.

    Args:
        error: The exception; by default the one being handled.
        message: What to say before the exception's own text.
        name: The name of the state, by default ``"Failed"``.

    Raises:
        ValueError: No exception was given, and none is being handled.
    """
    error = sys.exception() if error is None else error
    if error is None:
        raise ValueError(
            "no exception was given and none is being handled. Pass one, or call "
            "this inside an `except` block."
        )
    if message and not message.endswith(" "):
        message += " "
    text = f"{message}{format_exception(error)}"
    return State(_S.FAILED, name, 0.0, error, text)


def exception_to_crashed_state(error: BaseException) -> State[Any]:
    """The crashed state of what ended a run from outside of its body's own doing."""
    if isinstance(error, asyncio.CancelledError):
        message = "Execution was cancelled by the runtime environment."
    elif isinstance(error, KeyboardInterrupt):
        message = "Execution was aborted by an interrupt signal."
    elif isinstance(error, SystemExit):
        message = "Execution was aborted by a Python system exit call."
    else:
        message = (
            "Execution was interrupted by an unexpected exception: "
            f"{format_exception(error)}"
        )
    return State(_S.CRASHED, "", 0.0, error, message)


def upstream_error(
    run_name: str, upstream_name: str, upstream: State[Any]
) -> UpstreamTaskError:
    """Why a run did not start: the error of a state named NotReady.

    Args:
        run_name: The run that is held back.
        upstream_name: The run that it depends on.
        upstream: The state in which that one ended, or is.
    """
    failed = upstream.verdict_type in (_S.FAILED, _S.CRASHED)
    verdict = _S.FAILED if failed else _S.CANCELLED
    error = UpstreamTaskError(run_name, upstream_name, upstream.name, verdict.value)
    error.__cause__ = _cause(upstream)
    return error


def _cause(upstream: State[Any]) -> BaseException | None:
    """What an upstream's end hands on: its exception, or the start of its own chain.

    In a long chain of runs the errors in the middle are left out, so that the last
    one prints as three errors, not as ten thousand.
    """
    error = upstream.data
    if isinstance(error, UpstreamTaskError):
        cause = error.__cause__
        return cause if isinstance(cause, UpstreamTaskError) else error
    if upstream.type not in FAILING or isinstance(error, StoredData):
        # A stored exception is left where it is: reading it may block.
        return None
    try:
        return get_state_exception(upstream)
    except (TypeError, ValueError):
        # The data of a user's failed state may be anything.
        return None
