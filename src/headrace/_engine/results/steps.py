"""The steps that a result plan asks for, taken in the way that a run allows.

On the loop what blocks is done by threads for that alone: those of plain bodies may all
be busy.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any, Final, TypeVar

from headrace._concurrency.bodies import block_until
from headrace._concurrency.holding import HELD, while_lent
from headrace._concurrency.lending import lent_while_awaited
from headrace._engine.limiting import give_back
from headrace._engine.outcomes import Outcome, noted, of_error
from headrace._engine.results.walks import Await, Board, Walk
from headrace._engine.thread_calls import Body, in_pool
from headrace.exceptions import RunInterrupted
from headrace.futures.gates import Gate
from headrace.futures.stored import preload, stored_in
from headrace.futures.watching import settle, tell_loop
from headrace.runs import result_of
from headrace.states import FINAL, StateType

__all__ = (
    "PUT_ASIDE",
    "has_looked",
    "known_aside",
    "known_here",
    "known_in_task",
    "preload_inputs",
    "put_aside",
    "saved_in_task",
)

T = TypeVar("T")

# Stands for the outcome of a run that waits for another with the same cache key.
PUT_ASIDE: Final[Outcome] = StateType.PENDING, None


# A storage that hangs is given up before the run that waits for it is: then that run
# has ended by itself, and is not said to be left behind.
_SHARE_OF_GRACE: Final = 0.8


async def known_in_task(run: Any, plan: Any) -> Outcome | None:
    """What a run in place gives that was cached; None if it has to execute."""
    found: Outcome | None = plan.at_once(run)
    if found is not None:
        return noted(run, found)
    loop = asyncio.get_running_loop()

    async def board(key: str) -> bool:
        told: asyncio.Future[None] = loop.create_future()
        tell = functools.partial(tell_loop, loop, settle, told)
        if plan.flights.board(key, run, tell):
            return True
        held = HELD.get()
        with lent_while_awaited():
            await (told if held is None else while_lent(held, told))
        return False

    found = await _taken(run, plan, board)
    return None if found is None else noted(run, found)


async def known_aside(run: Any, plan: Any, scheduler: Any) -> Outcome | None:
    """The same for a submitted run, which is put aside rather than wait: `PUT_ASIDE`.

    Where `has_looked` is not so, and nothing was found at once. Not yet noted.
    """

    async def board(key: str) -> bool | None:
        leads = plan.flights.board(key, run, _teller(scheduler, run))
        return leads or None

    return await _taken(run, plan, board) or _places_first(run)


async def _taken(run: Any, plan: Any, board: Callable[[str], Any]) -> Outcome | None:
    walk = Walk(plan.known(run))
    for step in walk:
        if isinstance(step, Board):
            walk.answer = await board(step.key)
        elif isinstance(step, Await):
            walk.answer = await step.awaitable
        else:
            walk.answer = await _in_thread(run, step.call)
        if walk.is_put_aside:
            return PUT_ASIDE
    return walk.outcome


def known_here(
    run: Any, plan: Any, block_on: Callable[[Any], Any], scheduler: Any = None
) -> Outcome | None:
    """The same in a thread that may block.

    Args:
        run: The run.
        plan: Its plan.
        block_on: Waits for a coroutine on the loop of the run.
        scheduler: That of a submitted run, which is put aside rather than wait, and for
            which nothing is noted yet.
    """
    if scheduler is not None and has_looked(run):
        return None
    found: Outcome | None = plan.at_once(run)
    if found is None:
        found = _taken_here(run, plan, block_on, scheduler)
    if scheduler is not None:
        return found or _places_first(run)
    return None if found is None else noted(run, found)


def _taken_here(
    run: Any, plan: Any, block_on: Callable[[Any], Any], scheduler: Any
) -> Outcome | None:
    walk = Walk(plan.known(run))
    for step in walk:
        if isinstance(step, Board):
            walk.answer = _board_here(run, plan, step.key, scheduler)
        elif isinstance(step, Await):
            walk.answer = block_on(step.awaitable)
        else:
            walk.answer = step.call()
        if walk.is_put_aside:
            return PUT_ASIDE
    return walk.outcome


def _board_here(run: Any, plan: Any, key: str, scheduler: Any) -> bool | None:
    flights = plan.flights
    if scheduler is not None:
        return flights.board(key, run, _teller(scheduler, run)) or None
    leads = False

    def watch(fire: Callable[[], None]) -> None:
        nonlocal leads
        leads = flights.board(key, run, fire)
        if leads:
            fire()

    block_until(watch)
    return leads


# -- submitted runs that are put aside: until they are told, or have their places ----


def has_looked(run: Any) -> bool:
    """Whether a run comes back with its places, having found nothing before."""
    rare = run.rare
    return rare is not None and rare.result is not None and rare.result.has_looked


def _places_first(run: Any) -> Outcome | None:
    """Have a run that found nothing take its places, if it needs any, and come back."""
    result = run.rare.result if run.rare is not None else None
    if result is None or not result.looks_first:
        return None
    result.looks_first = False
    # Told already: it waits for nobody, and is admitted as soon as it is put aside.
    result.has_looked = result.was_told = True
    return PUT_ASIDE


def _teller(scheduler: Any, run: Any) -> Callable[[], None]:
    def tell() -> None:
        if not scheduler.loop.is_closed():
            scheduler.call(_look_again, (scheduler, run))

    return tell


def put_aside(scheduler: Any, run: Any) -> None:
    """Have a run wait until it is told to look again. On the loop."""
    if run.is_settled:
        return
    run.handle = None  # nothing runs until then
    if run.rare.claim is not None:
        # Places that the run it waits for may need: it takes others when it looks again.
        give_back(run)
    run.scope.active.discard(run)
    if run.rare.stop is not None:  # it was told to on its way here
        scheduler.attempt_ended(run, of_error(run, RunInterrupted()), may_go_on=False)
    elif run.scope.is_cancelled or result_of(run).was_told:
        result_of(run).was_told = False
        scheduler.admit(run)
    else:
        run.scope.waiting.add(run)


def _look_again(item: tuple[Any, Any]) -> None:
    scheduler, run = item
    if run.phase in FINAL or run.is_settled:
        return
    if run in run.scope.waiting:
        run.scope.waiting.discard(run)
        scheduler.admit(run)
    else:
        result_of(run).was_told = True  # it is on its way to be put aside


def preload_inputs(scheduler: Any, run: Any) -> None:
    """Start a run, having read the inputs that are not in memory. On the loop."""
    tolerated = run.rare.tolerated if run.rare is not None else None
    sources = [*run.upstreams, *(tolerated or ())]
    if not any(isinstance(each, Gate) or stored_in(each) for each in sources):
        scheduler.admit(run)
        return

    async def read() -> None:
        for source in sources:
            await preload(source.sources() if isinstance(source, Gate) else (source,))
        _look_again((scheduler, run))

    run.scope.waiting.add(run)
    scheduler.spawn(read(), name=f"inputs of {run.name}")


# -- after an attempt -----------------------------------------------------------------


async def saved_in_task(run: Any, plan: Any, outcome: Outcome) -> Outcome:
    """Store and cache what an attempt gave; see `ResultPlan.save`."""
    saved: Outcome = await _in_thread(run, functools.partial(plan.save, run, outcome))
    return noted(run, saved)


async def _in_thread(run: Any, call: Callable[[], T]) -> T:
    scope = run.scope
    scheduler = scope.scheduler or scope.host.open()
    body = Body(call, run.name)
    savers = scheduler.pools.savers
    return await in_pool(scheduler, scope, body, savers, _SHARE_OF_GRACE)
