"""Reading an index: one connection for all threads, in a few microseconds."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from headrace.caching.records import CacheEntry, TaskUsage
from headrace.caching.sqlite.connecting import (
    Database,
    Opened,
    is_busy,
    is_damage,
)
from headrace.caching.sqlite.files import Fence, FenceBusy, identity
from headrace.caching.sqlite.rows import LATEST, SELECT, entry_of, written
from headrace.exceptions import CacheUnusable

__all__ = ("Reader",)

T = TypeVar("T")

# The caller may be an event loop: better a miss than a wait.
_FENCE_SECONDS: Final = 0.05
_BUSY_SECONDS: Final = 0.05
_PATIENT_SECONDS: Final = 5.0
_SECONDS_BETWEEN_TRIES: Final = 1.0

# What Python raises of damaged values, besides what SQLite says.
_OF_DAMAGED_ROWS: Final = (ValueError, TypeError, OverflowError, MemoryError)

_STATS: Final = "SELECT count(*), coalesce(sum(CAST(size AS INTEGER)), 0) FROM entries"
_USAGE: Final = """
SELECT coalesce(CAST(task_key AS TEXT), ''), coalesce(max(CAST(task_name AS TEXT)), ''),
    count(*), coalesce(sum(CAST(size AS INTEGER)), 0)
FROM entries GROUP BY task_key ORDER BY 4 DESC, 1
"""


class Reader:
    """Finds entries. From any thread.

    Args:
        database: The file.
        fence: Of its own.
        found_damaged: Is called with the key of an entry that is.
    """

    def __init__(
        self,
        database: Database,
        fence: Fence,
        found_damaged: Callable[[str], object],
    ) -> None:
        self._database = database
        self._fence = fence
        self._found_damaged = found_damaged
        self._lock = threading.Lock()
        self._opened: Opened | None = None
        self._not_before = 0.0
        self._is_stale = False
        self.damaged = 0

    @property
    def is_open(self) -> bool:
        """Whether it has a connection, to the file that there is."""
        return self._opened is not None and not self._is_stale

    def get(self, key: str) -> tuple[CacheEntry | None, float]:
        """The entry with a key, and when it was used last. Raises nothing."""
        with self._lock:
            try:
                connection = self._connection(_FENCE_SECONDS)
                if connection is None:
                    return None, 0.0
                row = self._row(connection, key)
                if row is None:
                    return None, 0.0
                entry, used = entry_of(key, row), row[11]
            except Exception as error:  # noqa: BLE001 - it must not fail a run
                self._went_wrong(error)
                return None, 0.0
        if entry is None:
            self.damaged += 1
            self._found_damaged(key)
            return None, 0.0
        return entry, used if isinstance(used, float) else 0.0

    def _row(self, connection: sqlite3.Connection, key: str) -> tuple[Any, ...] | None:
        # Apart, as this is what an event loop may do: it takes 10 us.
        row: tuple[Any, ...] | None = connection.execute(SELECT, (key,)).fetchone()
        return row

    def latest(self, task_key: str) -> CacheEntry | None:
        """The entry of a task that was made last.

        Raises:
            CacheUnusable: It cannot be read now.
        """
        given = (written(task_key),)
        rows = self._patiently(lambda c: c.execute(LATEST, given).fetchall())
        return self.get(rows[0][0].decode("utf-8", "replace"))[0] if rows else None

    def stats(self) -> tuple[int, int]:
        """How many entries there are, and how large their values are together.

        Raises:
            CacheUnusable: It cannot be read now.
        """
        rows = self._patiently(lambda c: c.execute(_STATS).fetchall())
        return rows[0] if rows else (0, 0)

    def usage(self) -> list[TaskUsage]:
        """The same for each task, the largest first.

        Raises:
            CacheUnusable: It cannot be read now.
        """
        rows = self._patiently(lambda c: c.execute(_USAGE).fetchall())
        return [
            TaskUsage(
                task_key=key.decode("utf-8", "replace"),
                task_name=name.decode("utf-8", "replace"),
                entries=entries,
                bytes=size,
            )
            for key, name, entries, size in rows
        ]

    def _patiently(self, ask: Callable[[sqlite3.Connection], list[Any]]) -> list[Any]:
        with self._lock:
            self._not_before = 0.0
            try:
                connection = self._connection(_PATIENT_SECONDS)
                return [] if connection is None else ask(connection)
            except CacheUnusable:
                raise
            except (sqlite3.Error, OSError, FenceBusy) as error:
                if is_damage(error):
                    self._went_wrong(error)
                raise CacheUnusable(
                    f"the cache index {self._database.path} cannot be read: "
                    f"{str(error) or 'others are writing'}. Try again later; if that "
                    f"does not help, delete the file."
                ) from error

    def _connection(self, fence_seconds: float) -> sqlite3.Connection | None:
        """A connection; None if there is no file yet, or if it was just tried."""
        if self._is_stale:
            self._is_stale = False
            self._let_go()
        if self._opened is None:
            if identity(self._database.path) is None:
                return None
            if time.monotonic() < self._not_before:
                return None
            try:
                with self._fence.hold(fence_seconds):
                    self._opened = self._database.open(_BUSY_SECONDS)
            except FenceBusy:
                if fence_seconds == _FENCE_SECONDS:
                    return None  # someone is writing: the next one may find it
                raise
            self._database.alarm.clear()
        return self._opened.connection

    def _went_wrong(self, error: Exception) -> None:
        """Go on after an error, with the lock held."""
        if is_busy(error):
            return
        try:
            with self._fence.hold(_FENCE_SECONDS):
                opened = self._let_go()
                damaged = is_damage(error) or isinstance(error, _OF_DAMAGED_ROWS)
                if damaged and opened is not None:
                    self._database.set_aside(opened.file, error)
                    return
        except (FenceBusy, OSError):
            self._let_go()  # if it is damaged, the next one who finds it may rename it
        self._not_before = time.monotonic() + _SECONDS_BETWEEN_TRIES
        self._database.alarm.warn(self._database.path, error)

    def _let_go(self) -> Opened | None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.connection.close()
        return opened

    def renew(self) -> None:
        """Connect anew next time: the file may be another one. From any thread."""
        self._is_stale = True

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            try:
                if self._opened is None:
                    return
                # The last one who leaves a file copies its log into it.
                with self._fence.hold(_FENCE_SECONDS):
                    self._let_go()
            except (FenceBusy, OSError):
                self._let_go()
            finally:
                self._fence.close()
