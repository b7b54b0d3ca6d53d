"""Single flight: of the runs with one cache key, one computes and the others wait.

A run that must not wait, as what it would wait for waits for it, computes too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

__all__ = ("Flight", "Flights", "ancestors")


@dataclass(slots=True, eq=False, repr=False)
class _Follower:
    """How a run that waits is told to look again, and what cannot go on meanwhile."""

    tell: Callable[[], object]
    ties: tuple[Any, ...]


class Flight:
    """The runs that want one key, as long as one of them computes.

    Attributes:
        leader: Computes.
        followers: Those that wait, in the order in which they came.
        flights: All there are.
    """

    __slots__ = ("flights", "followers", "key", "leader")

    def __init__(self, flights: Flights, key: str, leader: Any) -> None:
        self.flights = flights
        self.key = key
        self.leader: Any = leader
        self.followers: dict[Any, _Follower] = {}


class Flights:
    """Those of one runtime. Its methods may be called from any thread.

    What waits for a follower is kept beside it: leaders that called it, and loops that
    it holds up. So a circle is found without looking at runs that have none of these.
    """

    __slots__ = ("_awaited", "_by_key", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[str, Flight] = {}
        # For a leader or a loop: the followers it waits for, and what these wait for.
        self._awaited: dict[Any, dict[Any, Flight]] = {}

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
            mine: Flight | None = result.flight
            if mine is not None:
                return bool(mine.leader is run)
            flight = self._by_key.get(key)
            if flight is None:
                result.flight = self._by_key[key] = Flight(self, key, run)
                return True
            ties = _ties_of(run)
            if ties and self._is_circle(flight, ties):
                return True
            result.flight, result.has_followed = flight, True
            flight.followers[run] = _Follower(tell, ties)
            for tie in ties:
                self._awaited.setdefault(tie, {})[run] = flight
            return False

    def leave(self, run: Any, *, has_given: bool) -> None:
        """A run ends, or will not wait any longer.

        Args:
            run: One that may have boarded.
            has_given: Whether there is now something to be found under its key.
        """
        self._end(run, for_all=has_given)

    def land(self, run: Any) -> None:
        """What a leader computed cannot be given to others: each for itself."""
        self._end(run, for_all=True, if_leader=True)

    def _end(self, run: Any, *, for_all: bool, if_leader: bool = False) -> None:
        result = run.rare.result
        if result.flight is None:
            return
        told: list[Callable[[], object]] = []
        with self._lock:
            flight: Flight | None = result.flight
            if flight is None or (if_leader and flight.leader is not run):
                return
            if flight.leader is not run:
                self._dismissed(flight, run)
            elif for_all or not flight.followers:
                told = self._all_told(flight)
            else:
                told = self._succeeded(flight)
            result.flight = None
        for tell in told:
            tell()

    def _dismissed(self, flight: Flight, run: Any) -> Callable[[], object]:
        """Have a run wait no longer; how it is told so."""
        follower = flight.followers.pop(run)
        for tie in follower.ties:
            awaited = self._awaited[tie]
            del awaited[run]
            if not awaited:
                del self._awaited[tie]
        return follower.tell

    def _all_told(self, flight: Flight) -> list[Callable[[], object]]:
        """The end of a flight: nobody leads, nobody waits."""
        del self._by_key[flight.key]
        return self._freed(flight, [*flight.followers])

    def _freed(self, flight: Flight, runs: list[Any]) -> list[Callable[[], object]]:
        for run in runs:
            run.rare.result.flight = None
        return [self._dismissed(flight, run) for run in runs]

    def _succeeded(self, flight: Flight) -> list[Callable[[], object]]:
        """The first of those that wait leads, and the others wait for that one.

        But for those without which it cannot go on: they compute for themselves.
        """
        flight.leader = next(iter(flight.followers))
        told = [self._dismissed(flight, flight.leader)]
        tied = [
            run
            for run, follower in flight.followers.items()
            if follower.ties and self._is_circle(flight, follower.ties)
        ]
        return told + self._freed(flight, tied)

    def _is_circle(self, flight: Flight, ties: tuple[Any, ...]) -> bool:
        """Whether a flight cannot end before one of these goes on."""
        seen: set[Flight] = set()
        flights = [flight]
        while flights:
            each = flights.pop()
            if each in seen:
                continue
            seen.add(each)
            for need in _needs_of(each.leader):
                if any(need is tie for tie in ties):
                    return True
                flights += self._awaited.get(need, _NONE).values()
        return False


_NONE: Final[dict[Any, Flight]] = {}


def _ties_of(run: Any) -> tuple[Any, ...]:
    """What cannot go on before a run has ended.

    The runs around it that compute a key, and the loops of threads that it blocks.
    """
    ties = [each for each in ancestors(run) if _leads(each)]
    scope = run.scope
    while scope is not None:
        if scope.blocks is not None:
            ties.append(scope.blocks)
        scope = scope.parent
    return tuple(ties)


def _leads(run: Any) -> bool:
    result = None if run.rare is None else run.rare.result
    flight = None if result is None else result.flight
    return flight is not None and flight.leader is run


def _needs_of(leader: Any) -> tuple[Any, ...]:
    """What has to go on for a leader to end: itself, and its loop."""
    scheduler = leader.scope.scheduler
    return (leader,) if scheduler is None else (leader, scheduler.loop)


def ancestors(run: Any) -> Iterator[Any]:
    """A run, the run whose body made it, and so on."""
    while run is not None:
        yield run
        parent = None if run.rare is None else run.rare.parent
        scope = run.home()
        while parent is None and scope is not None:
            parent, scope = scope.owner, scope.parent
        run = parent
