"""Parents and children: what a run submitted, and what becomes of that."""

from __future__ import annotations

from typing import Any, Final

from headrace._concurrency.current import holder_here
from headrace.futures import AsyncTaskFuture, TaskFuture
from headrace.states import StateType

__all__ = ("cancel_children", "end_family", "note_flow", "note_parent")

_RUNS: Final = frozenset({TaskFuture, AsyncTaskFuture})
_COMPLETED: Final = StateType.COMPLETED
_CANCELLED: Final = StateType.CANCELLED


def note_parent(run: Any) -> None:
    """Note that a run is called, or awaited in place, in the body of a task.

    Its caller waits for it, so there is nothing to take along.
    """
    holder = holder_here(None)
    if type(holder) in _RUNS:
        run.rarely().parent = holder


def note_flow(run: Any) -> None:
    """Note of a flow run which bodies of tasks do not go on before it has ended."""
    for caller in _callers(run):
        rare = caller.rarely()
        if rare.flows is None:
            rare.flows = set[Any]()
        rare.flows.add(run)


def _callers(run: Any) -> list[Any]:
    """The task run whose body called this one in place, the one that called that, ..."""
    callers: list[Any] = []
    rare = run.rare
    while rare is not None and rare.parent is not None:
        caller = rare.parent
        callers.append(caller)
        rare = caller.rare if caller in caller.scope.direct else None
    return callers


def end_family(run: Any, phase: StateType) -> None:
    """Leave the parent and the limits; cancel children if it did not end by itself."""
    rare = run.rare
    if rare.timer is not None:
        rare.timer.cancel()
        rare.timer = None
    if rare.ticket is not None:
        rare.ticket.leave()
        rare.ticket = None
    if rare.claim is not None:
        rare.claim.leave()
        rare.claim = None
    if rare.deadline is not None:
        rare.deadline.leave(run)
        rare.deadline = None
    if rare.parent is not None:
        _leave_parent(run)
    if rare.result is not None:
        rare.result.end(run, has_given=phase is _COMPLETED)
    if rare.children and (phase is _CANCELLED or rare.stop is not None):
        cancel_children(run)


def _leave_parent(run: Any) -> None:
    rare = run.rare
    parent = rare.parent
    if run.is_flow:
        for caller in _callers(run):
            if caller.rare is not None and caller.rare.flows is not None:
                caller.rare.flows.discard(run)
    rare.parent_key = parent.run_key()
    if parent.rare is not None and parent.rare.children is not None:
        parent.rare.children.discard(run)
    rare.parent = None


def cancel_children(run: Any) -> None:
    """Cancel what a run that was cancelled or timed out has submitted."""
    children, run.rare.children = run.rare.children, None
    for child in list(children or ()):
        child.cancel()
