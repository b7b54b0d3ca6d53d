"""Single flight: of the runs with one cache key, one computes and the others wait.

A run that must not wait, as what it would wait for waits for it, computes too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ("Flight", "Flights", "ancestors")


class Flight:
    """The runs that want one key, as long as one of them computes.

    Attributes:
        leader: Computes.
        followers: Those that wait, in the order in which they came, and how each is
            told to look again. From any thread.
        is_void: Whether it ended without anything that could be given to others: then
            each computes for itself.
    """

    __slots__ = ("followers", "is_void", "key", "leader")

    def __init__(self, key: str, leader: Any) -> None:
        self.key = key
        self.leader: Any = leader
        self.followers: dict[Any, Callable[[], object]] = {}
        self.is_void = False


class Flights:
    """Those of one runtime. Its methods may be called from any thread."""

    __slots__ = ("_by_key", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[str, Flight] = {}

    def board(self, key: str, run: Any, tell: Callable[[], object]) -> bool:
        """Find nothing under a key, and lead or follow.

        Args:
            key: The key.
            run: A run that has a ``rare.result``.
            tell: Is called, in any thread, when a follower is to look again.

        Returns:
            Whether the run is to compute.
        """
        result = run.rare.result
        with self._lock:
            mine = result.flight
            if mine is not None and (mine.is_void or mine.leader is run):
                return True
            flight = self._by_key.get(key)
            if flight is None:
                result.flight = self._by_key[key] = Flight(key, run)
                return True
            if self._is_circle(flight, run):
                return True
            flight.followers[run] = tell
            result.flight = flight
            return False

    def leave(self, run: Any, *, has_given: bool) -> None:
        """A run ends, or will not wait any longer.

        Args:
            run: One that may have boarded.
            has_given: Whether there is now something to be found under its key.
        """
        flight: Flight | None = run.rare.result.flight
        if flight is None:
            return
        with self._lock:
            run.rare.result.flight = None
            told = self._left(flight, run, has_given=has_given)
        for tell in told:
            tell()

    def land(self, run: Any) -> None:
        """What a leader computed cannot be given to others: each for itself."""
        flight: Flight | None = run.rare.result.flight
        if flight is None or flight.leader is not run:
            return
        with self._lock:
            flight.is_void = True
            run.rare.result.flight = None
            told = self._ended(flight)
        for tell in told:
            tell()

    def _left(
        self, flight: Flight, run: Any, *, has_given: bool
    ) -> list[Callable[[], object]]:
        """Who is to be told that a run has left."""
        if flight.leader is not run:
            flight.followers.pop(run, None)
            return []
        if has_given or not flight.followers:
            return self._ended(flight)
        # One only: the others wait for what that one computes.
        flight.leader = next(iter(flight.followers))
        return [flight.followers.pop(flight.leader)]

    def _ended(self, flight: Flight) -> list[Callable[[], object]]:
        if self._by_key.get(flight.key) is flight:
            del self._by_key[flight.key]
        told = list(flight.followers.values())
        if not flight.is_void:
            for follower in flight.followers:
                follower.rare.result.flight = None
        flight.followers.clear()
        flight.leader = None
        return told

    def _is_circle(self, flight: Flight, run: Any) -> bool:
        """Whether a flight cannot end before a run does that would follow it."""
        leaders = {id(each.leader) for each in self._by_key.values()}
        around = {id(each) for each in ancestors(run)} & leaders
        if not around:
            return False
        seen: set[int] = set()
        flights = [flight]
        while flights:
            each = flights.pop()
            if id(each.leader) in around:
                return True
            if id(each) not in seen:
                seen.add(id(each))
                flights += self._awaited_by(each.leader)
        return False

    def _awaited_by(self, leader: Any) -> list[Flight]:
        """The flights that a leader waits for, itself or by what it called."""
        return [
            flight
            for flight in self._by_key.values()
            if any(_is_in(leader, follower) for follower in flight.followers)
        ]


def _is_in(leader: Any, run: Any) -> bool:
    return any(each is leader for each in ancestors(run))


def ancestors(run: Any) -> Iterator[Any]:
    """A run, the run whose body made it, and so on."""
    while run is not None:
        yield run
        parent = None if run.rare is None else run.rare.parent
        scope = run.home()
        while parent is None and scope is not None:
            parent, scope = scope.owner, scope.parent
        run = parent
