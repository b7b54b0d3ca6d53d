"""A cache index in memory: it lasts as long as its process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from headrace.caching.records import CacheEntry, CacheStats, CacheSwept, size_of
from headrace.caching.store import (
    checked,
    done,
    is_stillborn,
    is_valid,
    storable_key,
)

__all__ = ("MemoryCache",)


class MemoryCache:
    """Entries in memory, of which the one used longest ago has to go first.

    Args:
        max_entries: How many there may be; None for any number.
        max_bytes: How large their values may be together; likewise.
        on_dropped: Is called with the ``ref`` of entries that had to go.

    Raises:
        ValueError: A bound is less than 1.
    """

    def __init__(
        self,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        on_dropped: Callable[[tuple[str, ...]], object] | None = None,
    ) -> None:
        for name, bound in (("max_entries", max_entries), ("max_bytes", max_bytes)):
            if bound is not None and bound < 1:
                raise ValueError(
                    f"MemoryCache({name}={bound}) could hold nothing. Give 1 or more, "
                    f"or None for no bound."
                )
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._on_dropped = on_dropped
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, CacheEntry] = OrderedDict()  # last used last
        self._bytes = self._hits = self._misses = 0
        self._is_closed = False
        self._kept = done(kept=True)
        self._lost = done(kept=False)

    def get(self, key: str, now: float) -> CacheEntry | None:
        """The entry with a key: see `headrace.caching.CacheStore`, as for all verbs."""
        key = storable_key(key)
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or not is_valid(entry, now):
                self._misses += 1
                return None
            self._entries.move_to_end(key)
            self._hits += 1
            return entry

    def put(self, entry: CacheEntry) -> Future[bool]:
        """Keep an entry."""
        key = storable_key(checked(entry).key)
        if self._is_closed:
            return self._lost
        if is_stillborn(entry):
            return self._kept
        with self._lock:
            old = self._entries.get(key)
            if old is not None and old.created > entry.created:
                return self._kept
            self._take(key)
            self._entries[key] = entry
            self._bytes += size_of(entry)
            dropped = self._make_room(self._max_entries, self._max_bytes)
        self._tell(dropped)
        return self._kept

    def remove(self, key: str) -> Future[bool]:
        """Forget the entry with a key."""
        with self._lock:
            self._take(storable_key(key))
        return self._kept

    def clear(self, task_key: str | None = None) -> CacheSwept:
        """Forget all entries, or those of one task."""
        with self._lock:
            keys = [
                key
                for key, entry in self._entries.items()
                if task_key is None or entry.task_key == task_key
            ]
            return _swept([], self._taken(keys))

    def gc(self, now: float, max_bytes: int | None = None) -> CacheSwept:
        """Forget what has expired, and make room."""
        with self._lock:
            over = [
                key
                for key, entry in self._entries.items()
                if entry.expires is not None and entry.expires <= now
            ]
            return _swept(self._taken(over), self._make_room(None, max_bytes))

    def latest(self, task_key: str) -> CacheEntry | None:
        """The entry of a task that was made last."""
        with self._lock:
            own = [e for e in self._entries.values() if e.task_key == task_key]
        return max(own, key=lambda entry: entry.created, default=None)

    def stats(self) -> CacheStats:
        """What it holds, and what was asked of it."""
        with self._lock:
            return CacheStats(
                entries=len(self._entries),
                bytes=self._bytes,
                hits=self._hits,
                misses=self._misses,
            )

    def close(self) -> None:
        """Forget everything, for good."""
        self._is_closed = True
        self.clear()

    def _make_room(
        self, max_entries: int | None, max_bytes: int | None
    ) -> list[CacheEntry]:
        dropped: list[CacheEntry] = []
        while self._entries and (
            (max_entries is not None and len(self._entries) > max_entries)
            or (max_bytes is not None and self._bytes > max_bytes)
        ):
            dropped += self._taken([next(iter(self._entries))])
        return dropped

    def _taken(self, keys: Iterable[str]) -> list[CacheEntry]:
        return [entry for key in keys if (entry := self._take(key)) is not None]

    def _take(self, key: str) -> CacheEntry | None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= size_of(entry)
        return entry

    def _tell(self, dropped: list[CacheEntry]) -> None:
        refs = _refs(dropped)
        if refs and self._on_dropped is not None:
            self._on_dropped(refs)


def _refs(entries: list[CacheEntry]) -> tuple[str, ...]:
    return tuple(entry.ref for entry in entries if entry.ref is not None)


def _swept(expired: list[CacheEntry], evicted: list[CacheEntry]) -> CacheSwept:
    both = [*expired, *evicted]
    return CacheSwept(
        expired=len(expired),
        evicted=len(evicted),
        bytes=sum(map(size_of, both)),
        refs=_refs(both),
    )
