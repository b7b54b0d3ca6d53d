"""Parents and children: what a run submitted, and what becomes of that."""

from __future__ import annotations

from typing import Any, Final

from headrace.context import CURRENT
from headrace.futures import AsyncTaskFuture, TaskFuture
from headrace.states import StateType

__all__ = ("cancel_children", "end_family", "note_parent")

_RUNS: Final = frozenset({TaskFuture, AsyncTaskFuture})


def note_parent(run: Any) -> None:
    """Note that a run is called, or awaited in place, in the body of a task.

    Its caller waits for it, so there is nothing to take along.
    """
    holder = CURRENT.get(None)
    if type(holder) in _RUNS:
        run.rarely().parent = holder


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
    parent = rare.parent
    if parent is not None:
        rare.parent_key = parent.run_key()
        if parent.rare is not None and parent.rare.children is not None:
            parent.rare.children.discard(run)
        rare.parent = None
    if rare.result is not None:
        rare.result.end(run, has_given=phase is StateType.COMPLETED)
    if rare.children and (phase is StateType.CANCELLED or rare.stop is not None):
        cancel_children(run)


def cancel_children(run: Any) -> None:
    """Cancel what a run that was cancelled or timed out has submitted."""
    children, run.rare.children = run.rare.children, None
    for child in list(children or ()):
        child.cancel()
