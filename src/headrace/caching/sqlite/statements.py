"""What is done to the index in a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Final

from headrace.caching.records import CacheEntry, CacheSwept
from headrace.caching.sqlite.rows import UPSERT, row_of

__all__ = (
    "clear_entries",
    "note_uses",
    "put_entry",
    "remove_entry",
    "sweep_entries",
    "total_bytes",
)

# Of damaged rows too these have to be a number and a text, or they would stay for ever.
_TOTAL: Final = "SELECT coalesce(sum(CAST(size AS INTEGER)), 0) FROM entries"
_EXPIRED: Final = """
SELECT rowid, coalesce(CAST(size AS INTEGER), 0), CAST(ref AS TEXT) FROM entries
WHERE expires <= ?
"""
_OLDEST: Final = """
SELECT rowid, coalesce(CAST(size AS INTEGER), 0), CAST(ref AS TEXT) FROM entries
ORDER BY used, rowid
"""
_ALL: Final = """
SELECT rowid, coalesce(CAST(size AS INTEGER), 0), CAST(ref AS TEXT) FROM entries
WHERE :task IS NULL OR task_key = :task
"""


def put_entry(connection: sqlite3.Connection, key: str, entry: CacheEntry) -> bool:
    """Write an entry, unless there is a later one."""
    connection.execute(UPSERT, row_of(key, entry))
    return True


def remove_entry(connection: sqlite3.Connection, key: str) -> bool:
    """Delete the entry with a key."""
    connection.execute("DELETE FROM entries WHERE key = ?", (key,))
    return True


def note_uses(
    connection: sqlite3.Connection, used: Iterable[tuple[float, str]]
) -> None:
    """Note when entries were used last: seconds since the epoch, and the key."""
    connection.executemany("UPDATE entries SET used = ? WHERE key = ?", used)


def total_bytes(connection: sqlite3.Connection) -> int:
    """How large all values are together."""
    return int(connection.execute(_TOTAL).fetchone()[0])


def clear_entries(connection: sqlite3.Connection, task_key: str | None) -> CacheSwept:
    """Delete all entries, or those of one task."""
    rows = connection.execute(_ALL, {"task": task_key}).fetchall()
    _delete(connection, rows)
    return _swept([], rows)


def sweep_entries(
    connection: sqlite3.Connection, now: float, max_bytes: int | None
) -> CacheSwept:
    """Delete what has expired; then what was used longest ago, to make room.

    Args:
        connection: To the index.
        now: Seconds since the epoch.
        max_bytes: How large all values together may be after it.
    """
    expired = connection.execute(_EXPIRED, (now,)).fetchall()
    _delete(connection, expired)
    evicted: list[Any] = []
    if max_bytes is not None:
        over = total_bytes(connection) - max_bytes
        if over > 0:
            for row in connection.execute(_OLDEST):
                evicted.append(row)
                over -= row[1]
                if over <= 0:
                    break
            _delete(connection, evicted)
    return _swept(expired, evicted)


def _delete(connection: sqlite3.Connection, rows: list[Any]) -> None:
    if rows:
        ids = ((row[0],) for row in rows)
        connection.executemany("DELETE FROM entries WHERE rowid = ?", ids)


def _swept(expired: list[Any], evicted: list[Any]) -> CacheSwept:
    both = [*expired, *evicted]
    return CacheSwept(
        expired=len(expired),
        evicted=len(evicted),
        bytes=sum(row[1] for row in both),
        refs=tuple(_text(row[2]) for row in both if row[2] is not None),
    )


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")
