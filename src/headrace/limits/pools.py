"""The places of a limit, for one key: how many there are, who has them, who is next."""

from __future__ import annotations

import asyncio
import logging
import math
import weakref
from collections import deque
from time import monotonic
from typing import Any, Final, TypeAlias

from headrace._concurrency.loops import shows_machine_time
from headrace.limits.adaptive import Adaptive, Controller
from headrace.limits.rates import Bucket, Rate

__all__ = ("Demand", "Pool", "clock_of")

log: Final = logging.getLogger("headrace.limits")

# How long a pool that nobody uses is kept: for who is about to enter it, and for what
# was found out about a provider.
_SECONDS_TO_ENTER: Final = 10.0
_SECONDS_TO_REMEMBER: Final = 600.0


class Pool:
    """The places of one limit, for one key.

    Args:
        name: The limit, for messages.
        concurrency: How many places there are; None for any number.
        rate: How fast they may be taken; None for as fast as may be.
        burst: See `Bucket`.
    """

    __slots__ = (
        "asked", "bucket", "controller", "held", "homes", "is_simple", "most", "name", "options", "queue",
        "returning", "used",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        concurrency: int | Adaptive | None,
        rate: Rate | None,
        burst: float,
    ) -> None:
        self.name = name
        self.controller: Controller | None = None
        self.options: Adaptive | None = None
        self.most: int | None = None
        if isinstance(concurrency, Adaptive):
            self.options = concurrency
            self.controller = Controller(concurrency)
        else:
            self.most = concurrency
        self.bucket = None if rate is None else Bucket(rate, burst)
        self.is_simple = self.bucket is None and self.controller is None
        self.queue: deque[Any] = deque()
        self.returning: deque[Any] = deque()
        self.held: set[Any] = set()
        # Of those held, how many are of which loop.
        self.homes: dict[asyncio.AbstractEventLoop | None, int] = {}
        self.used = 0.0
        self.asked = (
            0.0  # when it was last given to somebody, who may be about to enter
        )

    @property
    def capacity(self) -> int | None:
        """How many places there are now."""
        return self.most if self.controller is None else self.controller.limit

    def fits(self, weight: float) -> bool:
        """Whether there is room for so much now."""
        capacity = self.capacity
        if capacity is None or self.used + weight <= capacity:
            return True
        # A limit that was found to be less than this needs: alone it may.
        return self.controller is not None and not self.held

    def first(self) -> Any | None:
        """Whose turn it is."""
        if self.returning:
            return self.returning[0]
        queue = self.queue
        # Those that have left are still in it: taking one out of the middle of very
        # many takes long.
        while queue and not queue[0].is_waiting:
            queue.popleft()
        return queue[0] if queue else None

    def lost(self) -> list[Any]:
        """Those that hold places and are of a loop that was closed."""
        closed = {loop for loop in self.homes if loop is not None and loop.is_closed()}
        return [claim for claim in self.held if claim.loop in closed] if closed else []

    def is_refusal(self, error: BaseException) -> bool:
        """Whether an error says that there were too many; what says so is the user's."""
        try:
            return self.options is not None and bool(self.options.signal(error))
        except Exception:
            log.exception("the signal of the limit %r failed", self.name)
            return False

    def is_idle(self) -> bool:
        """Whether nothing is lost when it is made anew."""
        if self.held or self.queue or self.returning:
            return False
        quiet = monotonic() - self.asked
        if self.controller is not None:
            return quiet > _SECONDS_TO_REMEMBER
        bucket = self.bucket
        return quiet > _SECONDS_TO_ENTER and (
            bucket is None or bucket.is_full(_time_of(bucket.clock))
        )


Demand: TypeAlias = tuple[Pool, float]


def clock_of(loop: asyncio.AbstractEventLoop | None) -> object:
    """Which clock a loop shows: None for that of the machine, as most loops do."""
    if loop is None or shows_machine_time(loop):
        return None
    return weakref.ref(loop)


def _time_of(clock: Any) -> float:
    """The time by a clock; infinity for one that is gone."""
    if clock is None:
        return monotonic()
    loop = clock()
    return math.inf if loop is None else float(loop.time())
