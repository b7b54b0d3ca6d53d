"""What one process has of a cache: its reader, its writer, and what is between."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Final

from headrace.caching.records import CacheEntry, CacheStats, CacheSwept, size_of
from headrace.caching.sqlite.connecting import Alarm, Database
from headrace.caching.sqlite.files import Fence
from headrace.caching.sqlite.reader import Reader
from headrace.caching.sqlite.statements import (
    clear_entries,
    note_uses,
    put_entry,
    remove_entry,
    sweep_entries,
    total_bytes,
)
from headrace.caching.sqlite.writer import Job, Writer
from headrace.caching.store import is_valid

__all__ = ("Inside",)

# A use is noted only if the last one that was noted is longer ago, and written with
# what else is to be written, or when there are so many.
_SECONDS_OF_A_USE: Final = 60.0
_MOST_USES: Final = 256

# How much stays when there is too much, and how often all is added up: other processes
# write too.
_SHARE_KEPT: Final = 0.9
_BATCHES_BETWEEN_SUMS: Final = 500

_UNKNOWN: Final[Any] = object()


class Inside:
    """One index file, as one process uses it. Keys are storable ones.

    Args:
        path: The file, absolute.
        max_bytes: How large all values may be together; None for no bound.
        on_dropped: Is told where dropped values are.

    Attributes:
        reader: Finds entries.
        surveyor: Reads what takes longer.
        has_written: Whether anything was put or removed.
    """

    def __init__(
        self,
        path: Path,
        max_bytes: int | None,
        on_dropped: Callable[[tuple[str, ...]], object] | None,
    ) -> None:
        database = Database(path, Alarm())
        self._database = database
        self.reader = Reader(database, Fence(path), self.remove)
        # Another one for what takes long, as an event loop may be waiting for the first.
        self.surveyor = Reader(database, Fence(path), self.remove)
        self._writer = Writer(database, Fence(path), self._before, self._renew)
        self._max_bytes = max_bytes
        self._on_dropped = on_dropped
        self._lock = threading.Lock()
        # What is not written yet: None for what is to be removed.
        self._pending: dict[str, CacheEntry | None] = {}
        self._uses: dict[str, float] = {}
        self._bytes: int | None = None  # of all values, about; None: add them up
        self._batches = 0
        self._hits = self._misses = 0
        self._is_closed = False
        self.has_written = False

    def get(self, key: str, now: float) -> CacheEntry | None:
        """The entry with a key, if it may be used."""
        found: CacheEntry | None = self._pending.get(key, _UNKNOWN)
        if found is _UNKNOWN:
            found, used = self.reader.get(key)
            if found is not None and now - used > _SECONDS_OF_A_USE:
                self._note_use(key, now)
        if found is None or not is_valid(found, now):
            self._misses += 1
            return None
        self._hits += 1
        return found

    def latest(self, task_key: str) -> CacheEntry | None:
        """The entry of a task that was made last."""
        written = self.surveyor.latest(task_key)
        with self._lock:
            pending = [each for each in self._pending.values() if each is not None]
        own = [each for each in pending if each.task_key == task_key]
        found = own if written is None else [*own, written]
        return max(found, key=lambda entry: entry.created, default=None)

    def put(self, key: str, entry: CacheEntry) -> Future[bool]:
        """Write an entry."""
        work = partial(self._put, key=key, entry=entry)
        return self._submit(key, entry, Job(work, lost=False))

    def remove(self, key: str) -> Future[bool]:
        """Delete an entry."""
        work = partial(remove_entry, key=key)
        return self._submit(key, None, Job(work, lost=False))

    def _submit(self, key: str, entry: CacheEntry | None, job: Job) -> Future[bool]:
        self.has_written = True
        with self._lock:
            self._pending[key] = entry
        job.ended = partial(self._written, key, entry)
        self._writer.submit(job)
        return job.future

    def _written(self, key: str, entry: CacheEntry | None) -> None:
        """It is in the file now, or lost: look there, unless something came after it."""
        with self._lock:
            if self._pending.get(key, _UNKNOWN) is entry:
                del self._pending[key]

    def _put(self, connection: sqlite3.Connection, key: str, entry: CacheEntry) -> bool:
        if self._bytes is not None:
            self._bytes += size_of(entry)
        return put_entry(connection, key, entry)

    def _renew(self) -> None:
        self.reader.renew()
        self.surveyor.renew()

    def clear(self, task_key: str | None) -> CacheSwept:
        """Delete entries."""
        return self._outcome(partial(clear_entries, task_key=task_key))

    def sweep(self, now: float, max_bytes: int | None) -> CacheSwept:
        """Delete what has expired, and make room."""
        return self._outcome(partial(sweep_entries, now=now, max_bytes=max_bytes))

    def _outcome(self, work: Callable[[sqlite3.Connection], CacheSwept]) -> CacheSwept:
        job = Job(work, frees=True)
        self._writer.submit(job)
        swept: CacheSwept = job.future.result()
        self._bytes = None
        return swept

    def has_warned(self) -> bool:
        """Whether it was said that the file cannot be used, and still cannot."""
        return self._database.alarm.is_on

    def stats(self) -> CacheStats:
        """What there is, and what was asked."""
        entries, size = self.surveyor.stats()
        return CacheStats(
            entries=entries,
            bytes=size,
            hits=self._hits,
            misses=self._misses,
            lost=self._writer.lost,
            damaged=self.reader.damaged
            + self.surveyor.damaged
            + self._database.damaged,
        )

    def close(self, seconds: float) -> None:
        """Write what is left, and let go of everything; the first time."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._uses:
            self._submit_uses()
        self._writer.close(seconds)
        self.reader.close()
        self.surveyor.close()

    # -- uses and room -----------------------------------------------------------------

    def _note_use(self, key: str, now: float) -> None:
        self._uses[key] = now
        if len(self._uses) >= _MOST_USES:
            self._submit_uses()

    def _submit_uses(self) -> None:
        # There is nothing to do but what is done in each transaction.
        self._writer.submit(Job(lambda _: None, lost=False))

    def _before(self, connection: sqlite3.Connection) -> Callable[[], object]:
        """What is done in each transaction besides; gives what to do after it."""
        uses, self._uses = self._uses, {}
        if uses:
            # A list at once: other threads may still be noting uses there.
            noted = list(uses.items())
            note_uses(connection, [(used, key) for key, used in noted])
        dropped = self._make_room(connection)
        return partial(self._tell, dropped)

    def _make_room(self, connection: sqlite3.Connection) -> tuple[str, ...]:
        if self._max_bytes is None:
            return ()
        self._batches += 1
        if self._bytes is None or self._batches % _BATCHES_BETWEEN_SUMS == 0:
            self._bytes = total_bytes(connection)
        if self._bytes <= self._max_bytes:
            return ()
        self._bytes = None
        kept = int(self._max_bytes * _SHARE_KEPT)
        return sweep_entries(connection, time.time(), kept).refs

    def _tell(self, dropped: tuple[str, ...]) -> None:
        if dropped and self._on_dropped is not None:
            # The entries are gone, whatever becomes of their values.
            with contextlib.suppress(Exception):
                self._on_dropped(dropped)
