"""Lending what a run holds while it waits for others, whatever that is.

Of code that belongs to a run which holds places in a limit, the context says so. Whoever
makes that code wait lends them meanwhile, and has them taken back before it goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeVar

__all__ = (
    "HELD",
    "Held",
    "Slots",
    "await_lent",
    "forgo",
    "held_here",
    "lent_here",
    "while_lent",
)

T = TypeVar("T")


class Slots(Protocol):
    """Where a thread that blocks gives its slot back for so long."""

    def lend(self) -> None:
        """Let another body run while this one waits.

        Raises:
            DeadlockError: Too many threads wait already.
        """
        ...

    def take_back(self) -> None:
        """Wait until this body may run again."""
        ...


class Held(Protocol):
    """What can be lent. From any thread."""

    def lend(self) -> None:
        """Let others have it while the run waits. Each time is to be taken back."""
        ...

    def take_back(self, then: Callable[[], object]) -> bool:
        """End what `lend` began.

        Args:
            then: Called, in some thread, when the run may go on.

        Returns:
            Whether it may go on at once; ``then`` is not called then.
        """
        ...

    def stay_away(self) -> None:
        """Go on without: the wait for it was given up."""
        ...


HELD: Final[ContextVar[Held | None]] = ContextVar("headrace_held", default=None)
held_here: Final = HELD.get  # see `headrace._concurrency.current`


async def while_lent(held: Held, awaitable: Awaitable[T]) -> T:
    """Await something, and lend what the run holds so long.

    The run goes on when it has that back; so this may take longer than what is awaited.
    One that is told to stop, or cancelled a second time, goes on without.
    """
    held.lend()
    is_closed = False
    try:
        return await awaitable
    except GeneratorExit:
        is_closed = True
        raise
    finally:
        if is_closed:
            forgo(held)  # nothing can be awaited any more
        else:
            await _returned(held)
        del held, awaitable  # what was raised leads to this frame


def await_lent(held: Held, waiter: Awaitable[None]) -> Generator[Any, None, None]:
    """`while_lent` in an ``__await__``."""
    return while_lent(held, waiter).__await__()


async def _returned(held: Held) -> None:
    loop = asyncio.get_running_loop()
    back: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not back.done():
            back.set_result(None)

    def tell() -> None:
        loop.call_soon_threadsafe(settle)

    if held.take_back(tell):
        return
    try:
        await back
    except BaseException:
        held.stay_away()
        raise


@contextmanager
def lent_here(held: Held, block_until: Callable[..., object]) -> Generator[None]:
    """Lend what the run of this code holds; blocks at the end until it is back.

    Args:
        held: What that is.
        block_until: `headrace._concurrency.bodies.block_until`, which calls this itself.

    Raises:
        RunInterrupted: A body of this thread was told to stop.
    """
    held.lend()
    try:
        yield
    except BaseException as error:
        if isinstance(error, Exception):
            _take_back(held, block_until)
        else:
            forgo(held)  # it has to end
        raise
    else:
        _take_back(held, block_until)


def _take_back(held: Held, block_until: Callable[..., object]) -> None:
    def subscribe(fire: Callable[[], None]) -> None:
        if held.take_back(fire):
            fire()

    token = HELD.set(None)  # it is not lent while it is waited for
    try:
        block_until(subscribe)
    except BaseException:
        held.stay_away()
        raise
    finally:
        HELD.reset(token)


def forgo(held: Held) -> None:
    """End what `lend` began, without a wait for it."""
    if not held.take_back(lambda: None):
        held.stay_away()
