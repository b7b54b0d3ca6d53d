"""A mailbox from any thread to one event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

from headrace._concurrency.slices import SLICE_SECONDS

__all__ = ("Inbox",)

_LOOK_AT_CLOCK_EVERY: Final = 32


class Inbox:
    """Calls functions on the loop, in the order they were posted.

    A burst of posts costs one wake-up: only the post that finds the mailbox idle
    schedules a delivery. A long backlog is delivered in slices of `SLICE_SECONDS`,
    so that the loop's other work is not held up.
    """

    __slots__ = ("_items", "_loop", "_scheduled")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: deque[tuple[Callable[[Any], object], Any]] = deque()
        self._scheduled = False

    def post(self, call: Callable[[Any], object], item: Any) -> None:
        """Have ``call(item)`` called on the loop. Safe from any thread.

        Raises:
            RuntimeError: The loop is closed; nothing will be called.
        """
        self._items.append((call, item))
        if not self._scheduled:
            self._schedule()

    def hand_over(self, call: Callable[[Any], object], hand: list[Any]) -> None:
        """`post` the last item of a list, and have it let go of here.

        When the call is made, nothing in this thread refers to the item any more.

        Raises:
            RuntimeError: See `post`.
        """
        # Of all this no frame keeps anything at a moment when threads may change.
        self._items.append((call, hand.pop()))
        if not self._scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._scheduled = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except BaseException:
            # The loop has closed, and refuses the next one as well; or Ctrl-C came in
            # between, and the next one schedules what is left.
            self._scheduled = False
            raise

    def _deliver(self) -> None:
        # Cleared before the first popleft: an item posted during the loop below
        # is either seen by it or schedules the next delivery.
        self._scheduled = False
        items = self._items
        until = perf_counter() + SLICE_SECONDS
        count = 0
        try:
            while items:
                call, item = items.popleft()
                call(item)
                count += 1
                if not count % _LOOK_AT_CLOCK_EVERY and perf_counter() > until:
                    break
        finally:
            # Also when a call raised: what is left must not wait for the next post.
            if items and not self._scheduled:
                self._scheduled = True
                self._loop.call_soon(self._deliver)
