"""Wait for something to its end, however often the wait itself is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

__all__ = ("outlast",)


async def outlast(
    wait: Callable[[], Awaitable[object]],
    *,
    is_over: Callable[[], bool],
    when_cancelled: Callable[[], object],
) -> asyncio.CancelledError | None:
    """Wait until something is over.

    Args:
        wait: Makes something to await, as often as it is not over yet. To cancel that
            must do no harm.
        is_over: Whether there is nothing more to wait for.
        when_cancelled: Called once, when the wait is cancelled first.

    Returns:
        What cancelled this wait first, if anything did. The caller must raise this very
        error: the cancel scopes of anyio know their own.
    """
    first: asyncio.CancelledError | None = None
    while not is_over():
        try:
            if first is None:
                await wait()
            else:
                # A cancelled scope of anyio cancels again in every turn of the loop.
                # Late: to import it takes 8 ms, and whoever has such scopes has it.
                from anyio import CancelScope  # noqa: PLC0415

                with CancelScope(shield=True):
                    await wait()
        except asyncio.CancelledError as error:
            if first is None:
                first = error
                when_cancelled()
    return first
