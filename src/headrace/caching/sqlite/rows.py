"""The table of the index, and entries as its rows.

Each row has a digest over all of it, so that damage to the file is a miss and never
another value. Only when it was used last is not in the digest: that changes.
"""

from __future__ import annotations

import hashlib
import marshal
from typing import Any, Final

from headrace.caching.records import CacheEntry, size_of

__all__ = (
    "APPLICATION_ID",
    "LATEST",
    "SCHEMA",
    "SCHEMA_VERSION",
    "SELECT",
    "UPSERT",
    "entry_of",
    "row_of",
    "written",
)

APPLICATION_ID: Final = 0x68656164
SCHEMA_VERSION: Final = 1

SCHEMA: Final = """
CREATE TABLE entries (
    key TEXT PRIMARY KEY NOT NULL,
    created REAL NOT NULL,
    expires REAL,
    task_key TEXT NOT NULL,
    task_name TEXT NOT NULL,
    state_name TEXT NOT NULL,
    message TEXT,
    ref TEXT,
    size INTEGER NOT NULL,
    parts TEXT NOT NULL,
    digest BLOB NOT NULL,
    used REAL NOT NULL,
    inline BLOB
)
"""

SELECT: Final = (
    "SELECT created, expires, task_key, task_name, state_name, message, ref, size, "
    "parts, inline, digest, used FROM entries WHERE key = ?"
)

LATEST: Final = (
    "SELECT key FROM entries WHERE task_key = ? ORDER BY created DESC LIMIT 1"
)

# The later run wins, whichever is written first; unless its clock was wrong, by more
# than `FUTURE_SECONDS`.
UPSERT: Final = """
INSERT INTO entries (key, created, expires, task_key, task_name, state_name, message,
    ref, size, parts, inline, digest, used)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    created = excluded.created, expires = excluded.expires,
    task_key = excluded.task_key, task_name = excluded.task_name,
    state_name = excluded.state_name, message = excluded.message, ref = excluded.ref,
    size = excluded.size, parts = excluded.parts, inline = excluded.inline,
    digest = excluded.digest, used = excluded.used
WHERE excluded.created >= entries.created
    OR entries.created > excluded.created + 60.0
"""

_VERSION: Final = 2


def row_of(key: str, entry: CacheEntry) -> tuple[Any, ...]:
    """The values for `UPSERT`."""
    facts = (
        float(entry.created),
        None if entry.expires is None else float(entry.expires),
        written(entry.task_key),
        written(entry.task_name),
        written(entry.state_name),
        None if entry.message is None else written(entry.message),
        None if entry.ref is None else written(entry.ref),
        size_of(entry),
        written(entry.parts),
        entry.inline,
    )
    raw = [each.encode() if isinstance(each, str) else each for each in facts]
    return key, *facts, _digest(key, raw), facts[0]


def entry_of(key: str, row: tuple[Any, ...]) -> CacheEntry | None:
    """The entry in what `SELECT` found; None if it is damaged.

    Args:
        key: The key that was asked for.
        row: Texts in it are bytes.
    """
    facts = [*row[:10]]
    if _digest(key, facts) != row[10]:
        return None
    created, expires, task_key, task_name, state, message, ref, size, parts, inline = (
        facts
    )
    return CacheEntry(
        key=key,
        created=created,
        expires=expires,
        task_key=_read(task_key),
        task_name=_read(task_name),
        state_name=_read(state),
        message=None if message is None else _read(message),
        inline=inline,
        ref=None if ref is None else _read(ref),
        size=size,
        parts=_read(parts),
    )


def _digest(key: str, facts: list[Any]) -> bytes:
    """Half of a SHA-256 over all facts, texts as their bytes."""
    return hashlib.sha256(marshal.dumps((key, facts), _VERSION)).digest()[:16]


def written(text: str) -> Any:
    """A text as SQLite takes it: with surrogates, as bytes."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _read(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")
