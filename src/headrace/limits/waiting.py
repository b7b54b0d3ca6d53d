"""Waiting for a claim: a thread that blocks, a task that awaits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from headrace._concurrency.bodies import block_until
from headrace._concurrency.loops import running_loop
from headrace.limits.claims import Claim

__all__ = ("News", "await_claim", "block_for", "settle_claim")


class News:
    """What a claim calls for a thread that may not be waiting yet."""

    __slots__ = ("fire",)

    def __init__(self) -> None:
        self.fire: Callable[[], None] | None = None

    def __call__(self) -> None:
        """Have the thread look."""
        if self.fire is not None:
            self.fire()


def block_for(claim: Claim, news: News) -> None:
    """Block this thread until a claim of it has its places.

    Args:
        claim: The claim, which waits.
        news: What the claim tells.

    Raises:
        RunInterrupted: A body of this thread was told to stop.
    """
    while not claim.is_held:
        due = claim.due

        def subscribe(fire: Callable[[], None], due: float | None = due) -> None:
            news.fire = fire
            if claim.is_held or claim.due != due:
                fire()  # there was news meanwhile

        block_until(subscribe, None if due is None else max(due - monotonic(), 0.0))
        if due is not None and claim.due == due and monotonic() >= due:
            claim.pass_time()


async def await_claim(
    claim: Claim, loop: asyncio.AbstractEventLoop, granted: list[asyncio.Future[None]]
) -> None:
    """Wait until a claim has its places; a cancelled wait gives it up.

    Args:
        claim: The claim, which calls `settle_claim` with the other two.
        loop: The running loop.
        granted: Empty: that there is something to wait for is seldom.
    """
    waiter: asyncio.Future[None] = loop.create_future()
    granted.append(waiter)
    try:
        if not claim.is_held:  # nor by another thread meanwhile
            await waiter
    except BaseException:
        claim.leave()
        raise


def settle_claim(
    loop: asyncio.AbstractEventLoop, granted: list[asyncio.Future[None]]
) -> None:
    """Wake who awaits a claim, if somebody does. From any thread.

    Raises:
        RuntimeError: The loop has closed.
    """
    if running_loop() is loop:
        _settle(granted)
    else:
        loop.call_soon_threadsafe(_settle, granted)


def _settle(granted: list[asyncio.Future[None]]) -> None:
    for waiter in granted:
        if not waiter.done():
            waiter.set_result(None)
