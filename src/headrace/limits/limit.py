"""``Limit``: what users give to tasks and runtimes, or enter by hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable, Mapping
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

from headrace._concurrency.bodies import is_plain_code, shielded
from headrace._concurrency.forks import FORKS
from headrace._concurrency.loops import running_loop
from headrace.callables import check_takes
from headrace.circles import begin_wait_of, end_wait, holders_of, present_body
from headrace.exceptions import BlockedLoop, LimitTooSmall
from headrace.limits.adaptive import Adaptive
from headrace.limits.checking import checked_concurrency, checked_weight
from headrace.limits.claims import Claim
from headrace.limits.pools import Demand, Pool
from headrace.limits.rates import Rate, checked_burst
from headrace.limits.waiting import News, await_claim, block_for, settle_claim

__all__ = ("Limit", "Slot", "limit_of")

# Pools of so many keys are there before the idle ones are looked for.
_MANY: Final = 256

_GETS_ALL: Final = (
    "It gets a mapping of all arguments, as in "
    'Limit(5, key=lambda parameters: parameters["tenant"]).'
)


class Limit:
    """How many go on at once, or begin in a time, of all that share this object.

    Give it to tasks (``@task(concurrency_limit=...)``) or to a runtime, for a tag
    (``Runtime(limits={"db": ...})``); or enter it by hand, ``async with limit:``, in
    plain code ``with limit:``. Who waits is served first come first served.

    It counts for the whole process, over all loops and threads.

    Args:
        concurrency: How many at once: a number, `Adaptive` to have it found, or None
            for any. With 0 nothing may begin: `LimitTooSmall` is raised.
        rate: How many may begin in a time, evenly spaced: ``"50/s"``, ``"500/min"``.
        key: ``key(parameters)`` gives what is counted apart, such as a tenant, from a
            dict of the arguments of a run. None counts all together.
        weight: How much each takes: a number, or ``weight(parameters)``.
        burst: How much may begin at once after a pause; with 1 the pace is even.
        name: For messages.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: A number makes no sense; there is neither concurrency nor rate.
    """

    __slots__ = (
        "_entered", "_forks", "_many", "_pools", "_rate", "burst", "concurrency", "key", "name",
        "rate", "weight",
    )  # fmt: skip

    def __init__(
        self,
        concurrency: int | Adaptive | None = None,
        rate: str | None = None,
        key: Callable[[Mapping[str, Any]], Hashable] | None = None,
        weight: float | Callable[[Mapping[str, Any]], float] = 1,
        *,
        burst: float = 1,
        name: str | None = None,
    ) -> None:
        if concurrency is None and rate is None:
            raise ValueError(
                "Limit() limits nothing. Give it a concurrency, such as Limit(5), a "
                'rate, such as Limit(rate="50/s"), or both.'
            )
        self.concurrency = checked_concurrency(concurrency)
        self._rate = None if rate is None else Rate.of(rate)
        self.rate = rate
        if key is not None and not callable(key):
            raise TypeError(
                f"Limit(key={key!r}) cannot be called. Give a function of the "
                f'arguments, such as key=lambda parameters: parameters["tenant"].'
            )
        for option, fn in (("key", key), ("weight", weight)):
            if callable(fn):
                check_takes(fn, 1, f"Limit({option}=...):", _GETS_ALL)
        self.key = key
        self.weight = weight if callable(weight) else checked_weight(weight)
        self.burst = checked_burst(burst, self._rate)
        self.name = name or "a limit"
        self._pools: dict[Hashable, Pool] = {}
        self._many = _MANY
        self._forks = FORKS.count
        self._entered: dict[object, list[Slot]] = {}

    def slot(self, *, key: Hashable = None, weight: float = 1) -> Slot:
        """A place to take by hand: ``async with limit.slot(key="acme", weight=3):``.

        Raises:
            TypeError, ValueError: ``weight`` is no number above 0.
        """
        return Slot(self, key, checked_weight(weight))

    def demand(
        self, what: str, key: Hashable, weight: float, realm: object = None
    ) -> Demand:
        """What something takes of this: a pool, and how much.

        Args:
            what: For messages.
            key: What is counted apart.
            weight: How much.
            realm: Code that keeps a loop from going on counts by itself: all others
                might have to be waited for by that loop. None for the rest.

        Raises:
            LimitTooSmall: It could never be had.
        """
        most = self.concurrency
        if isinstance(most, int) and weight > most:
            raise LimitTooSmall(what, self.name, weight, most)
        if self._forks != FORKS.count:  # what holds places is in the parent
            self._pools, self._forks = {}, FORKS.count
        place = (realm, key)
        pool = self._pools.get(place)
        if pool is None:
            if len(self._pools) >= self._many:
                self._tidy()
            pool = Pool(self.name, most, self._rate, self.burst)
            # Two threads may be here at once: they are given one pool.
            pool = self._pools.setdefault(place, pool)
        if len(self._pools) > 1:
            pool.asked = monotonic()
        return pool, weight

    def stats(self, key: Hashable = None) -> dict[str, float | None]:
        """What is known of one key now.

        Returns:
            ``used`` (of the concurrency), ``waiting`` (how many claims), ``capacity``
            (None for any), which of an `Adaptive` limit is what was found so far.
        """
        pool = self._pools.get((None, key))
        if pool is None:
            pool = Pool(self.name, self.concurrency, None, 1)
        waiting = sum([claim.is_waiting for claim in tuple(pool.queue)])
        waiting += len(pool.returning)
        return {"used": pool.used, "waiting": waiting, "capacity": pool.capacity}

    def _tidy(self) -> None:
        for place, pool in list(self._pools.items()):
            if pool.is_idle():
                self._pools.pop(place, None)
        self._many = max(2 * len(self._pools), _MANY)

    # -- by hand -----------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        slot = self._slot_by_hand()
        await slot.__aenter__()
        self._entered.setdefault(asyncio.current_task(), []).append(slot)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left(asyncio.current_task()).leave(error)

    def __enter__(self) -> Self:
        slot = self._slot_by_hand()
        slot.__enter__()
        self._entered.setdefault(_place_here(), []).append(slot)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left(_place_here()).leave(error)

    def _slot_by_hand(self) -> Slot:
        if self.key is not None or callable(self.weight):
            raise TypeError(
                f"{self!r} takes its key and weight from the arguments of a run, and by "
                f'hand there are none. Write `limit.slot(key="acme", weight=1)`.'
            )
        return Slot(self, None, self.weight)

    def _left(self, place: object) -> Slot:
        slots = self._entered[place]
        slot = slots.pop()
        if not slots:
            del self._entered[place]
        return slot

    # -- as an object ------------------------------------------------------------------

    # A copy would be another limit: who copies a task shares the limit of it.
    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (
            self.concurrency, self.rate, self.key, self.weight, self.burst, self.name,
        )  # fmt: skip

    def __repr__(self) -> str:
        parts = [] if self.concurrency is None else [repr(self.concurrency)]
        parts += [] if self.rate is None else [f"rate={self.rate!r}"]
        return f"Limit({', '.join(parts)})"


class Slot:
    """A place in a limit, taken in a block; see `Limit.slot`."""

    __slots__ = ("_claim", "_key", "_limit", "_weight")

    def __init__(self, limit: Limit, key: Hashable, weight: float) -> None:
        self._limit = limit
        self._key = key
        self._weight = weight
        self._claim: Claim | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        granted: list[asyncio.Future[None]] = []
        claim = self._enter(loop, lambda: settle_claim(loop, granted))
        if not claim.is_held:
            waiting = self._begin_wait(claim)
            try:
                await await_claim(claim, loop, granted)
            finally:
                end_wait(waiting)
        self._claim = claim
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave(error)

    def __enter__(self) -> Self:
        news = News()
        claim = self._enter(None, news)
        if not claim.is_held:
            try:
                self._refuse_to_block(claim)
                waiting = self._begin_wait(claim)
                try:
                    with shielded():
                        block_for(claim, news)
                finally:
                    end_wait(waiting)
            except BaseException:
                claim.leave()
                raise
        self._claim = claim
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave(error)

    def leave(self, error: BaseException | None) -> None:
        """The block has ended."""
        claim, self._claim = self._claim, None
        if claim is not None:
            counts = error is None or isinstance(error, Exception)
            claim.leave(error, counts=counts)

    def _enter(
        self, loop: asyncio.AbstractEventLoop | None, tell: Callable[[], object]
    ) -> Claim:
        if self._claim is not None:
            raise RuntimeError(
                "this slot is entered already. Call limit.slot() for each block."
            )
        what = "with limit" if loop is None else "async with limit"
        claim = Claim([self._limit.demand(what, self._key, self._weight)], loop, tell)
        claim.owner = present_body()
        claim.enter()
        return claim

    def _begin_wait(self, claim: Claim) -> Any:
        """Refuse a wait for those that wait for this very body."""
        run = claim.owner
        if run is not None:
            try:
                begin_wait_of(run, lambda: holders_of(claim), is_any=True)
            except BaseException:
                claim.leave()
                raise
        return run

    def _refuse_to_block(self, claim: Claim) -> None:
        loop = running_loop()
        if loop is not None and (not is_plain_code() or loop in claim.ahead()):
            what = f"with {self._limit!r}"
            reason = "all its places are taken"
            raise BlockedLoop(what, reason, "async with limit: ...")


def limit_of(what: str, given: object) -> Limit | None:
    """A limit, or the number of one.

    Args:
        what: The option, for messages.
        given: A `Limit`, a whole number, or None.

    Raises:
        TypeError: It is neither.
        ValueError: It is negative.
    """
    if given is None or isinstance(given, Limit):
        return given
    if isinstance(given, Adaptive):
        return Limit(given, name=what)
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(
            f"{what}={given!r} is no limit. Give a whole number, such as 5, or "
            f'headrace.Limit(5, rate="50/s").'
        )
    return Limit(given, name=what)


def _place_here() -> object:
    """Whose blocks are nested: those of a task of asyncio, else of this thread."""
    if running_loop() is not None:
        task = asyncio.current_task()
        if task is not None and not is_plain_code():
            return task
    return threading.get_ident()


def _remade(
    concurrency: Any, rate: Any, key: Any, weight: Any, burst: Any, name: Any
) -> Limit:
    return Limit(concurrency, rate, key, weight, burst=burst, name=name)
