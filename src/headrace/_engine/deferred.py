"""Runs that do not start now: held back, withdrawn, or due again later."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from headrace._engine import run_logging
from headrace._engine.outcomes import Outcome
from headrace.exceptions import BlockedLoop, CancelledRun, UpstreamTaskError
from headrace.futures.gates import Gate, has_completed
from headrace.futures.resolve import Source
from headrace.states import FINAL, State, StateType, upstream_error

__all__ = ("held_back", "prepare_retry", "refuse_waits", "why_held_back", "withdrawn")


def prepare_retry(run: Any, data: object, now: float, delay: float) -> None:
    """Write down that an attempt failed and when the next one is due."""
    rare = run.rarely()
    run_logging.will_retry(run, data, delay)
    run.ended = now
    message = rare.message
    if rare.scheduled is not None:
        data = rare.scheduled.data
        message = rare.scheduled.message or "The task asked to be run again."
    elif message is None and isinstance(data, BaseException):
        message = run.failure_text(data)
    rare.name = rare.message = rare.stop = rare.scheduled = None
    run.wait_for_retry(message, data, now + delay)


def why_held_back(run: Any, sources: Iterable[Source | Gate]) -> Outcome:
    """The outcome of a run whose upstreams did not all complete.

    It is held back; or Failed, if there is one that it cannot wait for.
    """
    for source in sources:
        if isinstance(source, Gate) and source.error is not None:
            return StateType.FAILED, source.error
    return StateType.CANCELLED, held_back(run, sources)


def held_back(run: Any, sources: Iterable[Source | Gate]) -> UpstreamTaskError:
    """Why a run does not start: the first of its upstreams that did not complete.

    Of those that did not, each is passed on to this run: who is given its outcome has
    been given theirs.
    """
    failed = [source for source in sources if not has_completed(source)]
    for source in failed:
        if not isinstance(source, State):
            source.see()
    first = failed[0]
    if isinstance(first, Gate):
        first = cast("Source", first.failed)
    if isinstance(first, State):
        details = first.state_details
        name = details.task_run_id or details.flow_run_id or "a state without a run"
        return upstream_error(run.name, name, first)
    return upstream_error(run.name, first.name, first.last_state)


def refuse_waits(item: tuple[Any, Any, Any]) -> None:
    """Fail the runs of a scope that wait for runs of a loop which now waits for them.

    On the loop of the scheduler.

    Args:
        item: The scheduler, the scope, and the loop that is being blocked.
    """
    scheduler, scope, loop = item
    for run in list(scope.waiting):
        claim = None if run.rare is None else run.rare.claim
        if claim is not None and claim.is_waiting and loop in claim.ahead():
            reason = "runs of that loop have all the places of its limit"
            error = BlockedLoop(run.name, reason, scope.way_around(loop))
            claim.leave()
            scope.waiting.discard(run)
            scheduler.conclude(run, StateType.FAILED, error)
            continue
        for source in run.upstreams or ():
            if _is_of_loop(source, loop):
                reason = f"the run {source.name!r} is not done"
                error = BlockedLoop(run.name, reason, scope.way_around(loop))
                scope.waiting.discard(run)
                scheduler.conclude(run, StateType.FAILED, error)
                break


def _is_of_loop(source: Any, loop: Any) -> bool:
    if isinstance(source, State) or source.phase in FINAL:
        return False
    if isinstance(source, Gate):
        return any(_is_of_loop(each, loop) for each in source.sources())
    return source.scope.scheduler.loop is loop


def withdrawn(run: Any) -> CancelledRun:
    """The outcome of a run that is cancelled without having been started."""
    return CancelledRun(f"the run {run.name!r} was cancelled before it started.")
