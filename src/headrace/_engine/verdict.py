"""What a flow returned, and how its runs ended: its final state (FINAL-01 to 14)."""

from __future__ import annotations

import logging
from typing import Any, Final

from headrace._engine.outcomes import Outcome, of_value
from headrace._engine.resolve import Source, find, substitute
from headrace._engine.scopes import Scope
from headrace.exceptions import CrashedRun
from headrace.futures import TaskFuture, TaskFutures
from headrace.runs import Record
from headrace.states import (
    State,
    StateType,
    aggregate,
    get_state_exception,
    is_state,
    is_state_iterable,
)

__all__ = ("futures_in", "log_unseen", "verdict")

log: Final = logging.getLogger("headrace.engine")

_COMPLETED: Final = StateType.COMPLETED


def futures_in(value: object) -> tuple[list[TaskFuture[Any]], list[TaskFuture[Any]]]:
    """The futures in what a flow returned: those that count, and those that may fail."""
    required: list[Source] = []
    tolerated: list[Source] = []
    find(value, required, tolerated)
    return (
        [source for source in required if isinstance(source, TaskFuture)],
        [source for source in tolerated if isinstance(source, TaskFuture)],
    )


def verdict(flow_run: Record, scope: Scope, value: object) -> Outcome:
    """The outcome of a flow whose body returned, all runs having ended."""
    if value is None:
        return _of_unseen(flow_run, scope)
    if is_state(value) or is_state_iterable(value):
        outcome = of_value(flow_run, value)
    else:
        outcome = _of_futures(flow_run, value)
    if outcome[0] is _COMPLETED:
        log_unseen(scope, flow_run.name)
    return outcome


def _of_futures(flow_run: Record, value: object) -> Outcome:
    required, tolerated = futures_in(value)
    for future in (*required, *tolerated):
        future.see()
    states = [future.last_state for future in required]
    if any(state.type is not _COMPLETED for state in states):
        return _of_states(flow_run, states)
    if required or tolerated:
        value = substitute(value, is_returned=True)
    elif isinstance(value, TaskFutures):
        value = []  # of a map over nothing
    return _COMPLETED, value


def _of_states(flow_run: Record, states: list[State[Any]]) -> Outcome:
    """The outcome of a flow whose value holds runs that did not complete."""
    whole = aggregate(states)
    rare = flow_run.rarely()
    rare.name, rare.message = whole.name, whole.message
    first = next(state for state in states if _counts_as(state) is whole.type)
    return whole.type, _error_of(first)


def _counts_as(state: State[Any]) -> StateType:
    kind = state.verdict_type
    return StateType.FAILED if kind is StateType.CRASHED else kind


def _error_of(state: State[Any]) -> Exception:
    """What a flow raises for a run in it that did not complete."""
    error = get_state_exception(state)
    if isinstance(error, Exception):
        return error
    # The run's body raised it, in its own place. Here it would end the program.
    crash = CrashedRun(state.message or f"Run was ended by {error!r}.")
    crash.__cause__ = error
    return crash


def _of_unseen(flow_run: Record, scope: Scope) -> Outcome:
    """The outcome of a flow that returned None (decisions, section 4)."""
    if not scope.unseen.count:
        return _COMPLETED, None
    found = scope.verdict_of_unseen()
    count = scope.unseen.count
    text = (
        f"{count} run{'s' if count > 1 else ''} failed and nobody asked for the result"
    )
    rare = flow_run.rarely()
    if found is None:
        rare.message = f"{text}."
        return StateType.FAILED, None
    kind, run = found
    state: State[Any] = run.last_state
    rare.name = kind.title()
    rare.message = f"{text}, the first of them {run.name!r}: {state.message}"
    return kind, _error_of(state)


def log_unseen(scope: Scope, name: str) -> None:
    """One WARNING that names failures which nobody was given (section 4)."""
    count = scope.unseen.count
    if not count:
        return
    named = ", ".join(f"{run.name} ({run.last_state.name})" for run in _first(scope))
    log.warning(
        "%s ended with %d failed run%s that nobody asked for: %s%s",
        name or scope.kind,
        count,
        "s" if count > 1 else "",
        named,
        ", ..." if count > 3 else "",
    )
    scope.unseen.clear()


def _first(scope: Scope) -> list[Any]:
    return scope.unseen.in_order()[:3]
