"""Runs that are called or awaited in place, and flow runs: how each begins and ends.

Their own code ends them, in the caller's thread or asyncio task. Where that code does
not get there, because the thread was abandoned or the task left behind, they are ended
from the loop instead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from time import time
from typing import Any, Final

from headrace._engine import run_logging
from headrace._engine.families import end_family
from headrace._engine.mapping import NO_KWARGS
from headrace._engine.outcomes import CANCEL, Outcome
from headrace._engine.records import note_end
from headrace.exceptions import CancelledRun
from headrace.runs import Record
from headrace.states import FINAL, StateType

__all__ = ("announce", "begin", "end", "end_abandoned")

_RUNNING: Final = StateType.RUNNING
_COMPLETED: Final = StateType.COMPLETED
_CANCELLED: Final = StateType.CANCELLED


def announce(run: Record) -> None:
    """Have the observers told of a run's latest state, on the loop."""
    host = run.scope.host
    announcer = host.announcer
    if announcer is None:
        return
    announcer.note(run)
    if not announcer.has_observers:
        return
    scheduler = run.scope.scheduler or host.open()
    if scheduler.is_here():
        announcer.tell(run)
    elif not scheduler.loop.is_closed():
        scheduler.call(announcer.tell, run)


def begin(run: Record) -> None:
    """Enter Running."""
    run.started = time()
    run.attempts += 1
    run.phase = _RUNNING
    if run.scope.host.announcer is not None:
        announce(run)


def end(run: Any, outcome: Outcome) -> None:
    """Enter the final state, and let go of all that the run needed; once only."""
    if run.phase in FINAL:
        return
    phase, data = outcome
    if run.settled is not None:
        phase, data = run.settled.type, run.outcome  # as its hooks were told
    run.outcome = data
    run.ended = time()
    note_end(run, phase)
    # Not before: whoever reads a final phase, on any thread, finds the rest there.
    run.phase = phase
    inner = run.inner_scope()
    try:
        if phase is not _COMPLETED or inner is not None:
            run_logging.ended(run)
        if run.rare is not None:
            end_family(run, phase)
        if run.scope.host.announcer is not None:
            announce(run)
        run.args = ()
        run.kwargs = NO_KWARGS
        run.context = run.handle = run.upstreams = None
    finally:
        home = run.scope if inner is None else run.home()
        if home is not None:
            home.leave(run)
        if inner is not None:
            inner.let_go()


def end_abandoned(
    scope: Any, claims: Callable[[Any], bool], cancel_scope: Callable[[Any], None]
) -> None:
    """End the runs in place whose code will not do so. On the scope's loop.

    Args:
        scope: The scope they belong to, or a scope around that.
        claims: Whether a run is one of them, and not being ended by its own code.
        cancel_scope: Cancels what is submitted in a scope. A flow run ends when all
            of that has ended.
    """
    for run in tuple(scope.direct):
        if run.phase in FINAL:
            scope.leave(run)  # or will be in a moment, by itself
            continue
        if not claims(run):
            continue
        run.rarely().stop = run.rarely().stop or CANCEL
        outcome = _CANCELLED, CancelledRun(f"the run {run.name!r} was left behind.")
        inner = run.inner_scope()
        if inner is None:
            end(run, outcome)
            continue
        end_abandoned(inner, claims, cancel_scope)
        if inner.scheduler is not None:
            cancel_scope(inner)
        inner.tell_when_idle(functools.partial(end, run, outcome))
