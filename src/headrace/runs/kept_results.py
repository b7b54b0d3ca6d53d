"""What is known of the result of a run that is stored or cached."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from headrace.states import StateDetails

__all__ = ("RunResult", "result_of")


class RunResult:
    """Where the result of one run is, and under which key others find it.

    Attributes:
        asked: Whether the key function was asked.
        awaited: What it gave to be awaited, until that is done.
        key: The key under which the run is cached; None for no caching.
        expires: Until when it is, in seconds since the epoch; None for ever.
        refreshes: Whether the run did not look at what was cached.
        is_cached: Whether it was given what another run gave.
        is_missed: Whether it was looked up just now, and is not there.
        flight: With which runs it shares the work: `headrace._engine.results.flights`.
        has_followed: Whether it waited for another run, or does.
        looks_first: Whether it is under limits, and takes no places before it has
            looked at what is cached.
        has_looked: Whether it has done that, and found nothing.
        was_told: Whether it was told to look again before it began to wait.
        parts: What the key is made of, as `headrace.hashing.parts_to_text` writes it.
        storage_key: The key under which its result is stored, once that is known.
        ref: Where it is, a `headrace.results.ResultRef`, once it is there.
    """

    __slots__ = (
        "asked", "awaited", "expires", "flight", "has_followed", "has_looked", "is_cached",
        "is_missed", "key", "looks_first", "parts", "ref", "refreshes", "storage_key", "was_told",
    )  # fmt: skip

    def __init__(self) -> None:
        self.asked = False
        self.awaited: Any = None
        self.key: str | None = None
        self.expires: float | None = None
        self.refreshes = False
        self.is_cached = False
        self.is_missed = False
        self.flight: Any = None
        self.has_followed = False
        self.looks_first = False
        self.has_looked = False
        self.was_told = False
        self.parts = ""
        self.storage_key: str | None = None
        self.ref: Any = None

    def details(self) -> StateDetails:
        """What the final state tells of it."""
        expires = self.expires
        return StateDetails(
            cache_key=self.key,
            cache_expiration=(
                None if expires is None else datetime.fromtimestamp(expires, UTC)
            ),
            refresh_cache=self.refreshes if self.key is not None else None,
        )

    def end(self, run: Any, *, has_given: bool) -> None:
        """The run has ended: those that share its work go on without it."""
        flight = self.flight  # read once: whoever leads it may end in another thread
        if flight is not None:
            flight.flights.leave(run, has_given=has_given)
        self.awaited = None


def result_of(run: Any) -> RunResult:
    """What is known of the result of a run, made now if need be."""
    rare = run.rare
    if rare is None:
        rare = run.rarely()
    result: RunResult | None = rare.result
    if result is None:
        result = rare.result = RunResult()
    return result
