"""Places that are taken together, first come first served; handed on, never polled for.

A *claim* asks for places in one or more *pools* and gets all of them at one moment, or
none. It stands in the queue of each of its pools, and is served when it is the first in
all of them and all have room. Claims enter all their queues at once, so no two are in
another order in two of them: the eldest is first everywhere, and nothing can lock up.

A claim that holds its places may lend them while its run waits for others. To get them
back it goes ahead of all that hold none yet.

Everything here may be called from any thread. What is to happen when places are there
is called after the lock was let go, in the thread that gave them back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, Final, TypeAlias

from headrace.limits.adaptive import Call
from headrace.limits.pools import Demand, Pool, clock_of

__all__ = ("Claim",)

# One for all: a claim takes places in several pools at once. Held for microseconds.
_LOCK: Final = threading.Lock()

# Where a claim stands.
_NEW: Final[int] = 0
_WAITING: Final[int] = 1
_HELD: Final[int] = 2
_LENT: Final[int] = 3
_RETURNING: Final[int] = 4
_GONE: Final[int] = 5


# Who is to be told what: to go on, or, without a call, to wait until it is due.
_Told: TypeAlias = "list[tuple[Claim, Callable[[], object] | None]]"


class Claim:
    """What one run, or one block, takes of some pools.

    Args:
        demands: How much of which pool.
        loop: The loop of whoever waits; None for a thread that blocks.
        tell: Called when the places are there, or, of a thread, when it has to look
            at `due` again. It must come back soon, and not raise, except RuntimeError
            when the loop has closed.
        asked: What the next attempt of a run asks for again; of no concern here.
    """

    __slots__ = (
        "_back", "_calls", "_is_stopped", "_lends", "_loop", "_state", "_taken",
        "_tell", "_timer", "asked", "demands", "due", "owner", "pools",
    )  # fmt: skip

    def __init__(
        self,
        demands: Iterable[Demand],
        loop: asyncio.AbstractEventLoop | None,
        tell: Callable[[], object],
        asked: Any = None,
    ) -> None:
        self.demands = tuple(demands)
        if len(self.demands) > 1:
            most: dict[Pool, float] = {}
            for pool, weight in self.demands:  # one limit by two ways is taken once
                most[pool] = max(weight, most.get(pool, 0))
            self.demands = tuple(most.items())
        self.pools = [pool for pool, _ in self.demands]
        self.asked = asked
        self.owner: Any = None  # the run whose end, or block, gives the places back
        self.due: float | None = None
        self._loop = loop
        self._tell = tell
        self._back: Callable[[], object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._state = _NEW
        self._lends = 0
        self._is_stopped = False
        self._taken = 0.0
        self._calls: list[tuple[Pool, Call]] = []

    @property
    def is_held(self) -> bool:
        """Whether the places are its own now."""
        return self._state == _HELD

    @property
    def is_waiting(self) -> bool:
        """Whether it stands in a queue for the first time."""
        return self._state == _WAITING

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop of whoever waits."""
        return self._loop

    # -- taking and leaving ------------------------------------------------------------

    def enter(self) -> bool:
        """Take the places, or queue for them.

        Returns:
            Whether they are there. If not, it is told when they are.
        """
        with _LOCK:
            if self._is_free():
                self._hold()
                return True
            self._state = _WAITING
            for pool in self.pools:
                _drop_lost(pool)
                pool.queue.append(self)
            told = _serve(self.pools)
            is_there = self.is_held
        _tell_all(told, but=self)
        if not is_there and self._loop is not None and self.due is not None:
            self.await_due()
        return is_there

    def leave(
        self, error: BaseException | None = None, *, counts: bool = False
    ) -> None:
        """Give back what it has, or wait no more. Once; more often it does nothing.

        Args:
            error: What came of it.
            counts: Whether that says something about how much a provider takes.
        """
        is_refused = (
            counts
            and error is not None
            and any(pool.is_refusal(error) for pool, _ in self._calls)
        )
        told: _Told = []
        with _LOCK:
            if self._state == _GONE:
                return
            if counts and (error is None or is_refused):
                self._report(is_refused=is_refused)
            self._withdraw()
            self._state = _GONE
            self._tell = lambda: None  # what it was leads to a run
            for pool in self.pools:
                if pool.queue or pool.returning:
                    told = _serve(self.pools)
                    break
        if self._timer is not None:
            self._stop_timer()
        if told:
            _tell_all(told)

    def ahead(self) -> set[asyncio.AbstractEventLoop]:
        """The loops of those that have to leave before it is served."""
        with _LOCK:
            claims: set[Claim] = set()
            for pool in self.pools:
                claims |= pool.held
                claims |= {*pool.returning}
                for claim in pool.queue:
                    if claim is self:
                        break
                    claims.add(claim)
        return {claim.loop for claim in claims if claim.loop is not None}

    def pass_time(self) -> bool:
        """Look whether it is due by now; whether the places are there."""
        with _LOCK:
            due, self.due = self.due, None
            told: _Told = []
            if self._state == _WAITING and due is not None:
                # Loops round times, and may call a little early: what was promised
                # for that time counts.
                told = _serve(self.pools, due)
            is_there = self.is_held
        _tell_all(told, but=self)
        if not is_there and self._loop is not None and self.due is not None:
            self.await_due()
        return is_there

    # -- lending ---------------------------------------------------------------------

    def lend(self) -> None:
        """Let others have the places while its run waits. Each time is taken back."""
        back: Callable[[], object] | None = None
        told: _Told = []
        with _LOCK:
            self._lends += 1
            if self._state == _HELD:
                self._free()
                self._state = _LENT
                told = _serve(self.pools)
            elif self._state == _RETURNING:
                # Another part of the run waits again: this one need not.
                back, self._back = self._back, None
                self._withdraw()
                self._state = _LENT
                told = _serve(self.pools)
        _tell_all(told)
        if back is not None:
            back()

    def take_back(self, then: Callable[[], object]) -> bool:
        """End what `lend` began.

        Args:
            then: Called when the places are its own again, as ``tell``.

        Returns:
            Whether there is nothing to wait for.
        """
        with _LOCK:
            self._lends -= 1
            if self._lends or self._state != _LENT or self._is_stopped:
                return True
            self._state, self._back = _RETURNING, then
            for pool in self.pools:
                pool.returning.append(self)
            told = _serve(self.pools)
            is_back = self.is_held
        _tell_all(told, but=self)
        return is_back

    def stay_away(self) -> None:
        """Go on without the places: the wait for them was given up."""
        with _LOCK:
            if self._state != _RETURNING:
                return
            self._withdraw()
            self._state = _LENT
            self._back = None
            told = _serve(self.pools)
        _tell_all(told)

    def stop(self) -> None:
        """Its run has to end: what is still done needs no place, and waits for none."""
        self._is_stopped = True

    # -- with the lock held --------------------------------------------------------

    def is_next(self) -> bool:
        """Whether it is first in every queue, and there is room for it."""
        for pool, weight in self.demands:
            if pool.first() is not self or not pool.fits(weight):
                return False
        return True

    def now(self) -> float:
        """The time, by the clock of whoever waits."""
        return monotonic() if self._loop is None else self._loop.time()

    def due_at(self, now: float) -> float:
        """When it may take its places as far as time goes: now, or later."""
        clock = clock_of(self._loop)
        due = now
        for pool, weight in self.demands:
            if pool.bucket is not None:
                due = max(due, pool.bucket.due(weight, now, clock))
        return due

    def forget(self) -> None:
        """Its loop is closed: give back all it has."""
        self._withdraw()
        self._state = _GONE

    def take(self, now: float, *, is_new: bool) -> Callable[[], object]:
        """Take the places; what is to be called then."""
        for pool in self.pools:
            (pool.queue if is_new else pool.returning).popleft()
        self._hold()
        if is_new:
            for pool, weight in self.demands:
                if pool.bucket is not None:
                    pool.bucket.take(weight, now)
                if pool.controller is not None:
                    self._calls.append((pool, pool.controller.begin(pool.used)))
            self._taken = now
            return self._tell
        back, self._back = self._back, None
        return back or self._tell

    def _is_free(self) -> bool:
        """Whether it may be served at once: no line, no clock, and room."""
        for pool, weight in self.demands:
            if not pool.is_simple or pool.queue or pool.returning:
                return False
            if pool.most is not None and pool.used + weight > pool.most:
                return False
        return True

    def _hold(self) -> None:
        loop = self._loop
        for pool, weight in self.demands:
            pool.held.add(self)
            pool.homes[loop] = pool.homes.get(loop, 0) + 1
            pool.used += weight
        self._state = _HELD

    def _free(self) -> None:
        for pool, weight in self.demands:
            if self in pool.held:
                pool.held.discard(self)
                pool.used = pool.used - weight if pool.held else 0.0
                pool.homes[self._loop] -= 1
                if not pool.homes[self._loop]:
                    del pool.homes[self._loop]

    def _withdraw(self) -> None:
        if self._state == _HELD:
            self._free()
        elif self._state == _RETURNING:
            for pool in self.pools:
                pool.returning.remove(self)

    def _report(self, *, is_refused: bool) -> None:
        seconds = max(self.now() - self._taken, 0.0)
        for pool, call in self._calls:
            if pool.controller is not None:
                pool.controller.end(call, seconds, is_refused=is_refused)
        self._calls = []

    # -- time --------------------------------------------------------------------------

    def await_due(self) -> None:
        """Have `pass_time` called when it is due, or the thread told to look."""
        loop, due = self._loop, self.due
        if due is None:
            return
        if loop is None:
            self._tell()  # it looks, and waits so long
        elif asyncio._get_running_loop() is loop:  # noqa: SLF001 - 30 ns
            self._set_timer(due)
        else:
            loop.call_soon_threadsafe(self._set_timer, due)

    def _set_timer(self, due: float) -> None:
        self._stop_timer()
        if self._loop is not None and self._state == _WAITING:
            self._timer = self._loop.call_at(due, self._at_due)

    def _at_due(self) -> None:
        self._timer = None
        if self.due is not None and self.pass_time():
            self._tell()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def _serve(pools: Iterable[Pool], promised: float | None = None) -> _Told:
    """Give places to all whose turn it is; those that are to be told. Lock held.

    Args:
        pools: Where something has changed.
        promised: The time that the first of them has waited for. Those behind it may be
            due since as well: each is taken to begin when it was due, so that a late
            timer costs nothing of the rate.
    """
    told: _Told = []
    todo = list(pools)
    at = promised
    while todo:
        claim = todo.pop().first()
        if claim is None or not claim.is_next():
            continue
        is_new = claim.is_waiting
        now = claim.now()
        due = claim.due_at(now if at is None else at) if is_new else now
        if due > (now if promised is None else max(now, promised)):
            claim.due = due
            told.append((claim, None))
            continue
        claim.due = None
        at = None if at is None else due
        told.append((claim, claim.take(due, is_new=is_new)))
        todo += claim.pools
    return told


def _tell_all(told: _Told, but: Claim | None = None) -> None:
    for claim, call in told:
        if claim is but:
            continue
        try:
            claim.await_due() if call is None else call()
        except RuntimeError:  # its loop has closed: nobody is there any more
            claim.leave()


def _drop_lost(pool: Pool) -> None:
    """Forget claims whose loop was closed under them: nobody else gives those back."""
    for claim in pool.lost():
        claim.forget()
