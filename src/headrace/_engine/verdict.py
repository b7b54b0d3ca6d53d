"""What a flow returned, and how its runs ended: its final state (FINAL-01 to 14)."""

from __future__ import annotations

import logging
from typing import Any, Final

from headrace._engine.outcomes import Outcome, of_value
from headrace._engine.scopes import Scope
from headrace._text import one_line
from headrace.exceptions import CrashedRun
from headrace.futures import (
    AsyncTaskFuture,
    AsyncTaskFutures,
    TaskFuture,
    TaskFutures,
)
from headrace.futures.resolve import ATOMS, Source, data_of, find, substitute
from headrace.futures.stored import preload
from headrace.futures.watching import TURN, await_ends, in_turns
from headrace.runs import Record
from headrace.states import (
    State,
    StateType,
    aggregate,
    get_state_exception,
    is_state,
    is_state_iterable,
)

__all__ = ("futures_in", "log_unseen", "verdict", "verdict_in_turns")

log: Final = logging.getLogger("headrace.engine")

_COMPLETED: Final = StateType.COMPLETED
_LISTS: Final = frozenset({list, TaskFutures, AsyncTaskFutures})
_FUTURES: Final = frozenset({TaskFuture, AsyncTaskFuture})
_STATES_IN_A_TURN: Final = 64  # making one takes some microseconds


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
    if type(value) in ATOMS:
        outcome = _COMPLETED, value
    elif is_state(value) or is_state_iterable(value):
        outcome = of_value(flow_run, value)
    else:
        outcome = _of_futures(flow_run, value)
    if outcome[0] is _COMPLETED:
        log_unseen(scope, flow_run.name)
    return outcome


async def verdict_in_turns(flow_run: Record, scope: Scope, value: object) -> Outcome:
    """`verdict` on the loop, once every future in the value has ended.

    A flow often returns what ``map()`` gave: as many futures as there are must not
    hold up the loop.
    """
    futures = _flat(value)
    if futures is None:
        if type(value) not in ATOMS:
            required, tolerated = futures_in(value)
            await await_ends([*required, *tolerated], None)
            if scope.host.drops_results:
                await preload([*required, *tolerated])
        return verdict(flow_run, scope, value)
    await await_ends(futures, None)
    if not all(await in_turns(_has_completed, futures)):
        states = await in_turns(_state_of, futures, each=_STATES_IN_A_TURN)
        return _of_states(flow_run, states)
    if scope.host.drops_results:
        await preload(futures)
    values = await in_turns(data_of, futures)
    log_unseen(scope, flow_run.name)
    return _COMPLETED, values


def _flat(value: Any) -> list[TaskFuture[Any]] | None:
    """The value, if it is a long list of nothing but futures."""
    if type(value) not in _LISTS or len(value) <= TURN:
        return None
    return value if _FUTURES.issuperset(map(type, value)) else None


def _has_completed(future: TaskFuture[Any]) -> bool:
    future.see()
    return future.phase is _COMPLETED


def _state_of(future: TaskFuture[Any]) -> State[Any]:
    return future.last_state


def _of_futures(flow_run: Record, value: object) -> Outcome:
    required, tolerated = futures_in(value)
    for future in (*required, *tolerated):
        future.see()
    if any(future.phase is not _COMPLETED for future in required):
        return _of_states(flow_run, [_state_of(future) for future in required])
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
    found = scope.unseen.worst()
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
        "%s ended with %d run%s that did not complete and that nobody asked for: %s%s",
        one_line(name or scope.kind),
        count,
        "s" if count > 1 else "",
        one_line(named),
        ", ..." if count > 3 else "",
    )
    scope.unseen.clear()


def _first(scope: Scope) -> list[Any]:
    return scope.unseen.in_order()[:3]
