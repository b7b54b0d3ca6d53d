"""What a run is doing right now, for those who look at a program that seems to hang.

Nothing here is on the way of a run: all of it is read from the records, and from the
frames of asyncio tasks and threads, when somebody looks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from threading import get_ident
from time import time
from types import FrameType
from typing import Any, Final, TypeAlias

from headrace._concurrency.bodies import ThreadFace
from headrace._concurrency.loops import is_asyncio_task
from headrace._concurrency.stacks import (
    frames_of_task,
    frames_of_thread,
    is_ours,
    line_of,
)
from headrace._text import one_line
from headrace.runs import Record, RunSnapshot
from headrace.states import FINAL, StateType

__all__ = (
    "Places",
    "frames_of",
    "loop_stack",
    "places_of",
    "snapshot_of",
    "tell_who_holds",
    "what_it_waits_for",
)

log: Final = logging.getLogger("headrace.engine")

# By the id of the object that a run is.
Places: TypeAlias = Mapping[int, tuple[int, int]]

_MOST_NAMES: Final = 5

# Modules whose code runs loops: what a loop has called is behind their last frame.
_OF_LOOPS: Final = frozenset(
    {
        "asyncio.base_events",
        "asyncio.events",
        "asyncio.runners",
        "headrace._concurrency.loops",
    }
)
# What loops call to wait for news.
_OF_SELECTORS: Final = frozenset({"headrace.testing.clock", "selectors"})

_PENDING: Final = StateType.PENDING
_SCHEDULED: Final = StateType.SCHEDULED


def places_of(runs: Iterable[Any]) -> Places:
    """Of the runs that are ready to start, the place in their queue, and its length.

    Looked up once for all: a queue may be long.
    """
    places: dict[int, tuple[int, int]] = {}
    for scheduler in {run.scope.scheduler for run in runs} - {None}:
        ready = tuple(scheduler.ready)  # in one go: it changes meanwhile
        places |= {id(run): (i, len(ready)) for i, run in enumerate(ready, 1)}
    return places


def what_it_waits_for(run: Any, places: Places) -> str:
    """What has to happen before a run goes on; empty for one that has ended.

    A run that is at work waits for its body: `frames_of` tells where that is.

    Args:
        run: The run.
        places: See `places_of`.
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
    claim = None if run.rare is None else run.rare.claim
    if claim is not None and claim.is_waiting:
        return _line_of(claim)
    scheduler = run.scope.scheduler
    if scheduler is not None:
        if run in scheduler.dispatched:
            return f"a thread: {len(scheduler.dispatched)} runs wait for one"
        place, count = places.get(id(run), (0, 0))
        if place:
            return f"its turn: {place} of {count} that are ready"
    if run.scope.is_sequential and run.handle is None:
        return "the run submitted before it"
    return "its first step" if run.handle is not None else "its inputs"


def _line_of(claim: Any) -> str:
    """Where a run stands in line for a limit: the one with the longest line."""
    found = ("", 0, 0)
    for pool in claim.pools:
        line = [each for each in tuple(pool.queue) if each.is_waiting]
        if claim in line and len(line) > found[2]:
            found = one_line(pool.name), line.index(claim) + 1, len(line)
    name, place, count = found
    return f"its turn in the limit {name!r}: {place} of {count} in line"


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


def snapshot_of(run: Any, places: Places) -> RunSnapshot:
    """What a run is doing. From any thread."""
    return RunSnapshot(
        name=run.name,
        id=run.id,
        state_name=run.state_name,
        age_seconds=max(0.0, time() - run.created),
        waits_for=what_it_waits_for(run, places),
        stack=_lines(frames_of(run)) if run.phase is StateType.RUNNING else (),
    )


def loop_stack(scheduler: Any) -> tuple[str, ...]:
    """What the thread of a loop is at; empty if it waits for news, or is this one."""
    if scheduler is None or scheduler.thread_id == get_ident():
        return ()
    return _lines(_held_by(frames_of_thread(scheduler.thread_id)))


def _lines(frames: Iterable[FrameType]) -> tuple[str, ...]:
    """Those of the users and of what they call: ours, and what started them, are not."""
    frames = list(frames)
    first = next((i for i, frame in enumerate(frames) if is_ours(frame)), 0)
    return tuple(line_of(frame) for frame in frames[first:] if not is_ours(frame))


def _held_by(frames: list[FrameType]) -> list[FrameType]:
    """The frames of what a loop has called; none if it waits for news."""
    modules = [str(frame.f_globals.get("__name__", "")) for frame in frames]
    last = max((i for i, name in enumerate(modules) if name in _OF_LOOPS), default=None)
    if last is None:
        # A loop without frames of its own, in a thread that somebody made.
        return [
            f for f, name in zip(frames, modules, strict=True) if name != "threading"
        ]
    waits = modules[last + 1 : last + 2]
    return [] if waits and waits[0] in _OF_SELECTORS else frames[last + 1 :]


def tell_who_holds(scheduler: Any, seconds: float) -> None:
    """Log what holds up a loop, in another thread than that of the loop."""
    frames = _held_by(frames_of_thread(scheduler.thread_id))
    if not frames:
        return  # it has just gone on
    names = [run.name for frame in frames if is_ours(frame) for run in _runs_of(frame)]
    log.warning(
        "the event loop has been held up for %.2f s by %s, at %s. Nothing else goes on "
        "there meanwhile: await what takes long, or call it in a plain task, which has a "
        "thread",
        seconds,
        f"the run {one_line(names[-1])!r}" if names else "code that belongs to no run",
        " > ".join(_lines(frames) or map(line_of, frames[-1:])),
    )


def _runs_of(frame: FrameType) -> list[Record]:
    return [each for each in frame.f_locals.values() if isinstance(each, Record)]
