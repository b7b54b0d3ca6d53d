"""Work in slices, so that a loop goes on turning however much there is to do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter
from typing import Final

__all__ = ("SLICE_SECONDS", "in_slices")

# The longest the engine works at a stretch before it lets the loop turn.
SLICE_SECONDS: Final = 0.001

_LOOK_AT_CLOCK_EVERY: Final = 16


def in_slices(
    loop: asyncio.AbstractEventLoop, work: Iterator[object], most: int | None = None
) -> None:
    """Do some work now, and what is left in later turns of the loop.

    Args:
        loop: The loop, whose thread this is.
        work: Does one step each time the next item is asked for.
        most: So many steps in a turn at the most: for steps that have others take a
            turn of their own.
    """
    until = perf_counter() + SLICE_SECONDS
    for count, _ in enumerate(work, 1):
        is_over = not count % _LOOK_AT_CLOCK_EVERY and perf_counter() > until
        if is_over or count == most:
            loop.call_soon(in_slices, loop, work, most)
            return
