"""Who waits for what, told when a test in which everyone waits is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import FrameType
from typing import Any

from headrace._concurrency.stacks import frames_of_task, is_ours, line_of
from headrace._engine.records import open_runs
from headrace._engine.snapshots import Places, frames_of, places_of, what_it_waits_for
from headrace.runs import Record
from headrace.states import FINAL, StateType

__all__ = ("waiting_runs", "waiting_tasks")


def waiting_tasks(tasks: Iterable[asyncio.Task[Any]]) -> list[str]:
    """Each asyncio task's name, and the lines at which it waits, the innermost last."""
    return sorted(_described(task) for task in tasks)


def _described(task: asyncio.Task[Any]) -> str:
    return f"{task.get_name()} ({_lines(frames_of_task(task))})"


def _lines(frames: list[FrameType]) -> str:
    """Where the user's code waits, and what it calls; ours is in between, and long."""
    shown = [frame for frame in frames if not is_ours(frame)] or frames[-1:]
    return " > ".join(map(line_of, shown))


def waiting_runs(tasks: Iterable[asyncio.Task[Any]]) -> list[str]:
    """What each run of ours waits for, that these asyncio tasks have to do with.

    Found by the variables of our own frames: no table of all runs is kept anywhere.
    """
    scopes: dict[int, Any] = {}
    runs: dict[int, Any] = {}
    for task in tasks:
        for run in _runs_in(task):
            runs[id(run)] = run
            scope = run.scope
            while scope is not None:
                scopes[id(scope)] = scope
                scope = scope.parent
    runs |= {id(run): run for scope in scopes.values() for run in open_runs(scope)}
    ordered = sorted(runs.values(), key=lambda run: (run.created, run.number))
    places = places_of(ordered)
    return [_told(run, places) for run in ordered if run.phase not in FINAL]


def _told(run: Any, places: Places) -> str:
    frames = frames_of(run)
    is_at_work = run.phase is StateType.RUNNING and not all(map(is_ours, frames))
    if is_at_work:
        return f"{run.name!r} waits in its body ({_lines(frames)})"
    return f"{run.name!r} waits for {what_it_waits_for(run, places)}"


def _runs_in(task: asyncio.Task[Any]) -> list[Any]:
    return [
        value
        for frame in frames_of_task(task)
        if is_ours(frame)
        for value in frame.f_locals.values()
        if isinstance(value, Record)
    ]
