"""What a run is doing right now, for those who look at a program that seems to hang.

Nothing here is on the way of a run: all of it is read from the records, and from the
frames of asyncio tasks and threads, when somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import FrameType
from typing import Any, Final

from headrace._concurrency.bodies import ThreadFace
from headrace._concurrency.loops import is_asyncio_task
from headrace._concurrency.stacks import frames_of_task, frames_of_thread
from headrace._text import one_line
from headrace.runs import Record
from headrace.states import FINAL, StateType

__all__ = ("frames_of", "what_it_waits_for")

_MOST_NAMES: Final = 5

_PENDING: Final = StateType.PENDING
_SCHEDULED: Final = StateType.SCHEDULED


def what_it_waits_for(run: Any) -> str:
    """What has to happen before a run goes on; empty for one that has ended.

    A run that is at work waits for its body: `frames_of` tells where that is.
    """
    phase = run.phase
    if phase in FINAL:
        return ""
    if phase is _SCHEDULED and _timer(run) is not None:
        return f"its retry, due in {_seconds_left(run):.1f} s"
    if phase is not _PENDING and phase is not _SCHEDULED:
        return "its body and its runs" if run.is_flow else "its body"
    upstreams = _unfinished(run)
    if upstreams:
        return f"the runs {_names(upstreams)}"
    scheduler = run.scope.scheduler
    if scheduler is not None:
        if run in scheduler.dispatched:
            return f"a thread: {len(scheduler.dispatched)} runs wait for one"
        if run in scheduler.ready:
            place = list(scheduler.ready).index(run) + 1
            return f"its turn: {place} of {len(scheduler.ready)} that are ready"
    if run.scope.is_sequential and run.handle is None:
        return "the run submitted before it"
    return "its first step" if run.handle is not None else "its inputs"


def _unfinished(run: Any) -> list[Record]:
    found = [*(run.upstreams or ()), *((run.rare and run.rare.tolerated) or ())]
    # States are among them, and what stands for the futures of a whole map.
    return [
        each for each in found if isinstance(each, Record) and each.phase not in FINAL
    ]


def _names(runs: Iterable[Record]) -> str:
    names = [repr(one_line(run.name)) for run in runs]
    more = len(names) - _MOST_NAMES
    text = ", ".join(names[:_MOST_NAMES])
    return f"{text} and {more} more" if more > 0 else text


def _timer(run: Any) -> Any:
    return None if run.rare is None else run.rare.timer


def _seconds_left(run: Any) -> float:
    timer, scheduler = _timer(run), run.scope.scheduler
    if timer is None or scheduler is None:
        return 0.0
    return max(0.0, float(timer.when() - scheduler.loop.time()))


def frames_of(run: Any) -> list[FrameType]:
    """The frames in which the body of a run is, the innermost last."""
    handle = run.body_task() or run.handle
    if is_asyncio_task(handle):
        return frames_of_task(handle)
    if isinstance(handle, ThreadFace):
        return frames_of_thread(handle.ident)
    return frames_of_thread(handle) if isinstance(handle, int) else []
