"""A cache index in a file, shared by threads and processes."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

from headrace._text import shown
from headrace.caching.records import CacheEntry, CacheStats, CacheSwept, TaskUsage
from headrace.caching.sqlite.inside import Inside
from headrace.caching.store import checked, done, is_stillborn, storable_key

__all__ = ("SQLiteCache",)

_SECONDS_TO_CLOSE: Final = 5.0
_SECONDS_AT_EXIT: Final = 2.0


class SQLiteCache:
    """Entries in a SQLite file, which outlast the process and may be shared by many.

    Nothing is touched before the first `get` or `put`. A file that is damaged is a miss
    for what is damaged in it, or it is set aside; one that cannot be used is a miss and
    one warning. After a fork the child goes on with connections of its own.

    ``os.kill`` with SIGKILL loses what is not acknowledged; a power failure may lose
    the latest entries too, and damages nothing.

    Args:
        path: The file. It must be on a disk of this machine to be safe.
        max_bytes: How large all values together may be: when they are larger, those
            that were used longest ago are dropped. None for no bound.
        on_dropped: Is called with the ``ref`` of those, in a thread of this cache. What
            it raises is lost.

    Raises:
        TypeError: ``path`` is no path.
        ValueError: ``max_bytes`` is less than 1.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        max_bytes: int | None = None,
        on_dropped: Callable[[tuple[str, ...]], object] | None = None,
    ) -> None:
        if not isinstance(cast("object", path), str | os.PathLike):
            raise TypeError(
                f"SQLiteCache() takes the path of a file, not {shown(path)}. Give a "
                f"str or a Path."
            )
        if max_bytes is not None and max_bytes < 1:
            raise ValueError(
                f"SQLiteCache(max_bytes={max_bytes}) could hold nothing. Give 1 or "
                f"more, or None for no bound."
            )
        self.path = Path(path).expanduser().absolute()
        self._max_bytes = max_bytes
        self._on_dropped = on_dropped
        # By process, so that a fork finds nothing that works only in its parent, and
        # nothing of the parent's is closed there.
        self._by_process: dict[int, Inside] = {}
        self._is_closed = False

    def _inside(self) -> Inside:
        pid = os.getpid()
        inside = self._by_process.get(pid)
        if inside is None:
            made = Inside(self.path, self._max_bytes, self._on_dropped)
            inside = self._by_process.setdefault(pid, made)
            if inside is made:
                # Also when the program ends, and nobody closed it.
                weakref.finalize(self, _close_of, pid, inside)
        return inside

    @property
    def is_open(self) -> bool:
        """Whether `get` will take microseconds: it may have to open the file first."""
        inside = self._by_process.get(os.getpid())
        return self._is_closed or (inside is not None and inside.reader.is_open)

    @property
    def has_warned(self) -> bool:
        """Whether it was said that the file cannot be used, and still cannot."""
        return not self._is_closed and self._inside().has_warned()

    def get(self, key: str, now: float) -> CacheEntry | None:
        """The entry with a key: see `headrace.caching.CacheStore`, as for all verbs."""
        if self._is_closed:
            return None
        stored = storable_key(key)
        entry = self._inside().get(stored, now)
        if entry is not None and stored != key:
            return replace(entry, key=key)
        return entry

    def put(self, entry: CacheEntry) -> Future[bool]:
        """Keep an entry; done when that is committed."""
        checked(entry)
        if self._is_closed:
            return done(kept=False)
        if is_stillborn(entry):
            return done(kept=True)
        return self._inside().put(storable_key(entry.key), entry)

    def remove(self, key: str) -> Future[bool]:
        """Forget the entry with a key; done when that is committed."""
        if self._is_closed:
            return done(kept=False)
        return self._inside().remove(storable_key(key))

    def clear(self, task_key: str | None = None) -> CacheSwept:
        """Forget all entries, or those of one task."""
        return CacheSwept() if self._is_absent() else self._inside().clear(task_key)

    def gc(self, now: float, max_bytes: int | None = None) -> CacheSwept:
        """Forget what has expired, and make room."""
        if self._is_absent():
            return CacheSwept()
        return self._inside().sweep(now, max_bytes)

    def latest(self, task_key: str) -> CacheEntry | None:
        """The entry of a task that was made last."""
        return None if self._is_absent() else self._inside().latest(task_key)

    def stats(self) -> CacheStats:
        """What it holds, and what was asked of it in this process."""
        return self._inside().stats()

    def usage(self) -> list[TaskUsage]:
        """What it holds of each task, the largest first.

        Raises:
            CacheUnusable: It cannot be read now.
        """
        return self._inside().surveyor.usage()

    def close(self) -> None:
        """Write what is not written yet, and let go of files and threads."""
        self._is_closed = True
        inside = self._by_process.get(os.getpid())
        if inside is not None:
            inside.close(_SECONDS_TO_CLOSE)

    def _is_absent(self) -> bool:
        """Whether there is no file, nor soon will be: nobody wrote."""
        inside = self._by_process.get(os.getpid())
        has_written = inside is not None and inside.has_written
        return self._is_closed or not (has_written or self.path.exists())


def _close_of(pid: int, inside: Inside) -> None:
    # In a fork, what the parent opened is left alone.
    if pid == os.getpid():
        inside.close(_SECONDS_AT_EXIT)
