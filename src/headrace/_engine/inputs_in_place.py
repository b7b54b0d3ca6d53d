"""The inputs of runs in place, and of flow runs: waited for where the run is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from headrace._engine.deferred import why_held_back
from headrace._engine.host import Host
from headrace._engine.inputs import (
    Inputs,
    gather_crowds,
    look_into,
    may_be_crowded,
    substitute_inputs,
)
from headrace._engine.naming import name_held_back
from headrace._engine.outcomes import Outcome
from headrace._engine.scheduler import Scheduler
from headrace._engine.scopes import Scope
from headrace._engine.whole_inputs import materialised
from headrace.futures import TaskFuture
from headrace.futures.resolve import ATOMS
from headrace.futures.stored import preload
from headrace.futures.watching import await_ends, block_for_ends
from headrace.runs import Record
from headrace.states import FINAL, State, StateType

__all__ = (
    "Given",
    "are_plain",
    "await_inputs",
    "block_for_inputs",
    "pending",
    "scheduler_here",
    "sources_of",
    "way_out",
)

# What a run is called with: arguments, those by keyword, what must have completed before.
Given: TypeAlias = "tuple[tuple[Any, ...], Mapping[str, Any], Any]"

_COMPLETED: Final = StateType.COMPLETED
_FAILED: Final = StateType.FAILED


def are_plain(args: tuple[Any, ...], kwargs: Mapping[str, Any], wait_for: Any) -> bool:
    """Whether inputs are nothing but plain values, as most are: no look into them."""
    if wait_for is not None:
        return False
    for value in args:  # not `all(...)`, which takes twice as long
        if type(value) not in ATOMS:
            return False
    return not kwargs or ATOMS.issuperset(map(type, kwargs.values()))


def sources_of(
    scope: Scope | None,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wait_for: Any,
) -> Inputs | None:
    """The futures and states among the inputs of a run in a scope.

    None when the arguments are plain values.
    """
    if are_plain(args, kwargs, wait_for):
        return None
    if wait_for is not None:
        wait_for = materialised(wait_for)
    known = None if scope is None else scope.known
    return Inputs(*look_into(args, kwargs, wait_for, known))


def pending(sources: Inputs) -> list[TaskFuture[Any]]:
    """Those that have not ended."""
    return [
        source
        for source in (*sources.required, *sources.tolerated)
        if isinstance(source, TaskFuture) and not source.done()
    ]


async def await_inputs(
    run: Any, scope: Scope | None, wait_for: object
) -> Outcome | None:
    """Wait for the upstreams of a run and put their values into its inputs.

    Args:
        run: The run.
        scope: Where it was called.
        wait_for: What else must have completed, or None.

    Returns:
        The outcome of a run that cannot start.
    """
    if may_be_crowded(run, wait_for):
        wait_for = await _crowds_ended(run, wait_for)
    sources = sources_of(scope, run.args, run.kwargs, wait_for)
    if sources is None:
        return None
    run.links = tuple(sources.links) or None
    if not sources.has_any:
        return None
    await await_ends(pending(sources), None)
    if run.scope.host.drops_results:
        await preload([*sources.required, *sources.tolerated])
    return _put(run, sources)


async def _crowds_ended(run: Any, wait_for: object) -> object:
    wait_for, crowds = gather_crowds(run, wait_for)
    for crowd in crowds:
        await await_ends(crowd.sources(), None)
        scheduler = scheduler_here(run.scope)
        crowd.watch(scheduler)
        if crowd.phase not in FINAL:
            read = scheduler.loop.create_future()
            crowd.add_waiter(read)
            await read
        await asyncio.sleep(0)  # what follows has a turn of its own
    return wait_for


def block_for_inputs(run: Record, sources: Inputs | None, what: str) -> Outcome | None:
    """`await_inputs` in plain code.

    Raises:
        BlockedLoop: An upstream needs the loop of this very thread.
    """
    if sources is None:
        return None
    run.links = tuple(sources.links) or None
    if not sources.has_any:
        return None
    block_for_ends(pending(sources), None, what=what, instead=way_out(what))
    return _put(run, sources)


def _put(run: Any, sources: Inputs) -> Outcome | None:
    required = sources.required
    for source in sources.tolerated:
        if isinstance(source, TaskFuture):
            source.see()
    for source in required:
        kind = source.type if isinstance(source, State) else source.phase
        if kind is not _COMPLETED:
            name_held_back(run)
            return why_held_back(run, required)
    try:
        substitute_inputs(run)
    except Exception as error:  # noqa: BLE001 - users' containers may raise anything
        return _FAILED, error
    return None


def way_out(what: str) -> str:
    """What to write in place of a call that would block its loop."""
    return f"await {what.removesuffix('()')}.acall(...)"


def scheduler_here(scope: Scope) -> Scheduler:
    """A scheduler of the running loop, for its task factory and list of zombies."""
    if scope.scheduler is not None and scope.scheduler.is_here():
        found: Scheduler = scope.scheduler
        return found
    host: Host = scope.host
    return host.derived().open_here()
