"""Who waits for the end of a run: nobody (None), one alone as it is, or a list.

Most runs have one at the most, and a list for that would be one more object for each.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Final

from headrace._concurrency.bodies import this_face
from headrace._concurrency.current import holder_here
from headrace._concurrency.holding import await_lent, held_here
from headrace._concurrency.lending import lent_while_awaited
from headrace.circles import begin_wait, end_wait
from headrace.futures.watching import await_ends
from headrace.states import FINAL, StateType

__all__ = ("await_end", "each_of", "ended", "with_one", "without")

# Compared with instead of isinstance(): it is exactly this, and cheaper.
_LIST: Final[Any] = list

_PENDING: Final = StateType.PENDING


def with_one(waiters: Any, waiter: Any) -> Any:
    """Who waits, with one more."""
    if waiters is None:
        return waiter
    if type(waiters) is not _LIST:
        return [waiters, waiter]
    waiters.append(waiter)
    return waiters


def without(waiters: Any, waiter: Any) -> Any:
    """Who waits, without one of them; it may have been none."""
    if type(waiters) is not _LIST:
        # Equal, as of a method there are many objects.
        return None if waiters == waiter else waiters
    if waiter in waiters:
        waiters.remove(waiter)
    return waiters or None


def each_of(waiters: Any) -> Sequence[Any]:
    """Those who wait, in the order in which they came."""
    if waiters is None:
        return ()
    return waiters if type(waiters) is _LIST else (waiters,)


def await_end(run: Any) -> Generator[Any, None, None]:
    """Wait for a run that has not ended, on any loop. For ``__await__``; see `ended`."""
    holder = holder_here(None)
    # Whether others may wait for the present code: they must not in turn be waited for.
    is_needed = holder is not None and holder.has_dependants
    if run.handle is not None and run.phase is _PENDING and not is_needed:
        yield  # its first step is due in this turn, and may be its last
        if run.phase in FINAL:
            return
    scheduler = run.scope.scheduler
    if not scheduler.is_here():
        yield from await_ends([run], None).__await__()
        return
    # Without owning it: cancelling one waiter leaves the run and others alone.
    waiter: asyncio.Future[None] = scheduler.loop.create_future()
    waiting = begin_wait((run,)) if is_needed else None
    run.waiters = with_one(run.waiters, waiter)
    held = held_here()
    # On a loop that a plain body runs in its thread, the run may need that very thread.
    wait: Any = waiter if this_face() is None else _with_thread_lent(waiter)
    try:
        yield from wait if held is None else await_lent(held, wait)
    finally:
        if waiting is not None:
            end_wait(waiting)
        if run.waiters is not None:
            run.waiters = without(run.waiters, waiter)


# The same to be awaited.
ended: Final[Callable[[Any], Awaitable[None]]] = types.coroutine(await_end)


@types.coroutine
def _with_thread_lent(waiter: asyncio.Future[None]) -> Generator[Any, None, None]:
    with lent_while_awaited():
        yield from waiter
