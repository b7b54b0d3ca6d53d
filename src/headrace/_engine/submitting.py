"""Submit and map: from a call to scheduled runs, from any thread."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from time import time
from typing import Any, Final, cast

from headrace._concurrency.bodies import block_until, is_plain_code
from headrace._concurrency.deadlines import deadline_here
from headrace._concurrency.forks import FORKS
from headrace._concurrency.holding import HELD, held_here
from headrace._engine.deadlines import bind, enlist
from headrace._engine.inputs import look_for_inputs
from headrace._engine.limiting import refuse_at_once
from headrace._engine.mapping import (
    NO_KWARGS,
    Calls,
    spread,
)
from headrace._engine.scopes import Scope
from headrace._engine.sequences import Turn
from headrace._engine.whole_inputs import (
    gate_of,
    has_pending,
    links_of_whole,
    materialised,
    refuse_failed,
    shared,
    with_whole_data,
)
from headrace.context import tags_here
from headrace.exceptions import MappingMissingIterable
from headrace.futures import AsyncTaskFuture, TaskFuture
from headrace.futures.admission import ask_for_admission, block_for_admission
from headrace.futures.lists import FutureList, UnreadyTaskFutures, gathered
from headrace.futures.records import new_record
from headrace.futures.watching import block_for_ends
from headrace.specs import TaskSpec

__all__ = (
    "adopt",
    "apart",
    "map_runs",
    "new_run",
    "submit_run",
    "take_in_sequence",
    "unready_map",
)

_RUNS: Final = frozenset({TaskFuture, AsyncTaskFuture})

_running_loop: Final[Callable[[], object]] = asyncio._get_running_loop  # noqa: SLF001 - 30 ns


def new_run(
    scope: Scope, spec: TaskSpec, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> TaskFuture[Any]:
    """The record of a run, its number drawn and its context taken."""
    counter = scope.counters.get(spec.key) or scope.counter(spec.key)
    number, context, created = next(counter), copy_context(), time()
    named = kwargs or NO_KWARGS
    run = new_record(scope, spec, args, named, context, number, created)
    if tags := tags_here():
        run.rarely().tags = tags
    if spec.log_prints:
        scope.look_at_prints()
    return run


def apart(context: Context) -> Context:
    """The context of runs that go on beside the present code: they lend for themselves."""
    if held_here() is not None:
        context.run(HELD.set, None)
    return context


def adopt(holder: Any, run: TaskFuture[Any]) -> None:
    """Note that a run was submitted by another, which takes it along if cancelled."""
    if type(holder) in _RUNS:
        run.rarely().parent = holder
        rare = holder.rarely()
        if rare.children is None:
            rare.children = set[Any]()
        rare.children.add(run)


def submit_run(
    holder: Any,
    spec: TaskSpec,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wait_for: Any = None,
) -> TaskFuture[Any]:
    """Schedule one run. Nothing of its body happens inside this call.

    Raises:
        ParameterBindError: The arguments do not fit.
        RunEnded: The flow run or runtime of the present code has ended, or is closing.
        ForkedRuntime: It was made in the parent of this process.
    """
    scope = holder.scope
    scheduler = scope.door
    if (
        scheduler is None
        or wait_for is not None
        or spec.limit is not None
        or type(holder) in _RUNS
        or scope.forks != FORKS.count
        or deadline_here() is not None
        or held_here() is not None
    ):
        return _submit_fully(holder, spec, args, kwargs, wait_for)
    run = new_run(scope, spec, args, kwargs)
    if _running_loop() is scheduler.loop:
        scheduler.take(run)
    else:
        _hand_over(scheduler, [run], None)
    return run


def _submit_fully(
    holder: Any,
    spec: TaskSpec,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wait_for: Any,
) -> TaskFuture[Any]:
    """`submit_run`, with a look at all that most runs have nothing of."""
    scope = holder.scope
    scheduler = scope.admitting()
    scope.open_door()
    if wait_for is not None:
        wait_for = materialised(wait_for)
    if spec.limit is not None or scheduler.limits is not None:
        refuse_at_once(scope, spec, tags_here())
    deadline = deadline_here()
    if deadline is not None:
        deadline.refuse(f"{spec.name}.submit()")
    run = new_run(scope, spec, args, kwargs)
    if deadline is not None:
        bind(deadline, scheduler, [run])
    apart(run.context)
    if type(holder) in _RUNS:
        adopt(holder, run)
    _take_all(holder, scheduler, [run], wait_for)
    return run


def take_in_sequence(
    holder: Any, scheduler: Any, run: TaskFuture[Any], wait_for: object
) -> None:
    """Schedule a run to start when the one that its holder submitted before has ended.

    Runs submitted by a run are a sequence of their own: they are part of its turn. In
    plain code this blocks until the run has ended (CONC-03).
    """
    rare = holder.rarely()
    turn = rare.latest = Turn(scheduler, rare.latest)
    look_for_inputs(run, wait_for)
    if run.upstreams is None:
        run.upstreams = []
    if scheduler.is_here():
        turn.take(run)
        enlist(scheduler, [run])
        return
    scheduler.call(turn.take, run)
    enlist(scheduler, [run])
    if is_plain_code():
        block_until(lambda fire: run.watch(lambda _: fire()), look=run.lose)


def _hand_over(scheduler: Any, runs: list[TaskFuture[Any]], wait_for: object) -> None:
    """Have runs scheduled by another thread, with the inputs they have now.

    Looked for later, a list that its owner has changed could make runs wait for each
    other.
    """
    try:
        for run in runs:
            look_for_inputs(run, wait_for)
    except Exception:  # noqa: BLE001 - users' types may raise anything
        # Rare: the loop looks again, and fails those runs alone that it has to.
        for run in runs:
            run.upstreams = None
            run.run_key()  # now, as the loop would draw it without a lock
            scheduler.call(scheduler.take_wait, (run, wait_for))
    else:
        scheduler.call(scheduler.take_looked, runs)
    enlist(scheduler, runs)


def map_runs(
    holder: Any,
    spec: TaskSpec,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wait_for: Any = None,
) -> FutureList[Any, Any]:
    """Schedule one run for each element; whole-argument futures are awaited first.

    Raises:
        MappingLengthMismatch, MappingMissingIterable: See `spread`.
        UpstreamTaskError: A future given as a whole argument did not complete.
        BlockedLoop: One has not ended, and this thread's loop has to run it.
        RunEnded, ForkedRuntime: See `submit_run`.
    """
    block_for_ends(
        cast("Sequence[TaskFuture[Any]]", has_pending(args, kwargs)),
        None,
        what=f"{spec.name}.map() over a future",
        instead=f"await {spec.name}.map(...)",
    )
    return _scheduled(holder, spec, args, kwargs, wait_for)


def unready_map(
    holder: Any,
    spec: TaskSpec,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wait_for: Any = None,
) -> FutureList[Any, Any]:
    """`map_runs`, for coroutine code that maps over a pending future."""
    wait_for = materialised(wait_for)
    # It is awaited later, and elsewhere: the runs get the context of this very call.
    context = copy_context()
    return UnreadyTaskFutures(
        spec.name,
        cast("Sequence[TaskFuture[Any]]", has_pending(args, kwargs)),
        lambda: context.run(_scheduled, holder, spec, args, kwargs, wait_for),
    )


def _scheduled(
    holder: Any,
    spec: TaskSpec,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wait_for: Any,
) -> FutureList[Any, Any]:
    scope = holder.scope
    scheduler = scope.admitting()
    wait_for = materialised(wait_for)
    if spec.limit is not None or scheduler.limits is not None:
        refuse_at_once(scope, spec, tags_here())
    deadline = deadline_here()
    if deadline is not None:
        deadline.refuse(f"{spec.name}.map()")
    links = links_of_whole(scope, args, kwargs)
    count, calls = _calls(scope, spec, args, kwargs)
    if wait_for is not None and count:
        wait_for = gate_of(scope, spec, wait_for)
    # One snapshot of the context, one time and one counter for all of them.
    context, number, created = apart(copy_context()), scope.counter(spec.key), time()
    runs = [
        new_record(scope, spec, row, named, context, index, created)
        for (row, named), index in zip(calls, number, strict=False)
    ]
    if links:
        for run in runs:
            run.links = links  # one object for all of them
    _note_surroundings(holder, runs)
    if deadline is not None:
        bind(deadline, scheduler, runs)
    if spec.log_prints:
        scope.look_at_prints()
    _take_all(holder, scheduler, runs, wait_for)
    return gathered(runs, is_async=spec.is_async)


def _note_surroundings(holder: Any, runs: list[TaskFuture[Any]]) -> None:
    if type(holder) in _RUNS:
        for run in runs:
            adopt(holder, run)
    if tags := tags_here():
        for run in runs:
            run.rarely().tags = tags


def _take_all(
    holder: Any, scheduler: Any, runs: list[TaskFuture[Any]], wait_for: object
) -> None:
    if scheduler.admission is not None:
        ask_for_admission(scheduler, runs, is_urgent=type(holder) in _RUNS)
    if holder.scope.is_sequential:
        for run in runs:
            take_in_sequence(holder, scheduler, run, wait_for)
    elif scheduler.is_here():
        take: Callable[..., None] = scheduler.take
        for run in runs:
            take(run, wait_for)
        enlist(scheduler, runs)
    else:
        for start in range(0, len(runs), 512):
            _hand_over(scheduler, runs[start : start + 512], wait_for)
        if scheduler.admission is not None and is_plain_code():
            block_for_admission(runs)


def _calls(
    scope: Scope, spec: TaskSpec, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[int, Calls]:
    """How many runs a map makes, and the arguments of each."""
    share = functools.partial(shared, scope, spec)
    values = (*args, *kwargs.values())
    args, kwargs = with_whole_data(args, kwargs)
    try:
        return spread(spec.name, spec.binder, args, kwargs, share=share)
    except MappingMissingIterable:
        refuse_failed(f"{spec.name}.map()", values)
        raise
