"""What a cache index has to do, and the rules that are the same for all of them."""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import Future
from typing import Any, Final, Protocol, cast, runtime_checkable

from headrace._text import shown
from headrace.caching.records import CacheEntry, CacheStats, CacheSwept

__all__ = (
    "FUTURE_SECONDS",
    "MOST_CHARACTERS",
    "CacheStore",
    "checked",
    "done",
    "is_stillborn",
    "is_valid",
    "storable_key",
)

# Longer keys are hashed.
MOST_CHARACTERS: Final = 2000

# An entry that is more than this from the future was written by a clock that is wrong.
FUTURE_SECONDS: Final = 60.0


@runtime_checkable
class CacheStore(Protocol):
    """An index of what is cached. Its methods may be called from any thread.

    `headrace.testing.CacheStoreContract` has the tests that one of yours has to pass.
    """

    def get(self, key: str, now: float) -> CacheEntry | None:
        """The entry with a key.

        Args:
            key: Any text.
            now: Seconds since the epoch: an entry that has expired by then is none.

        Returns:
            What was put last under the key; None if there is none, if it expired, or
            if it cannot be read. Raises nothing.
        """
        ...

    def put(self, entry: CacheEntry) -> Future[bool]:
        """Keep an entry, in place of an older one with its key.

        It is found at once by `get` of the same object.

        Returns:
            Is done when the entry is kept as safely as this store does: True; or False
            if it is lost. It has no exception, and its callbacks may be called in
            another thread.

        Raises:
            TypeError, ValueError: This is no entry that could be kept.
        """
        ...

    def remove(self, key: str) -> Future[bool]:
        """Forget the entry with a key, if there is one. As `put` in all else."""
        ...

    def clear(self, task_key: str | None = None) -> CacheSwept:
        """Forget all entries, or those of one task.

        Raises:
            CacheUnusable: It cannot be done now.
        """
        ...

    def gc(self, now: float, max_bytes: int | None = None) -> CacheSwept:
        """Forget what has expired; then what was used longest ago, to make room.

        Args:
            now: Seconds since the epoch.
            max_bytes: How large all values together may be after it.

        Raises:
            CacheUnusable: It cannot be done now.
        """
        ...

    def latest(self, task_key: str) -> CacheEntry | None:
        """The entry of a task that was made last, expired or not; None if there is none.

        Raises:
            CacheUnusable: It cannot be read now.
        """
        ...

    def stats(self) -> CacheStats:
        """What it holds, and what was asked of it.

        Raises:
            CacheUnusable: It cannot be read now.
        """
        ...

    def close(self) -> None:
        """Write what is not written yet, and let go of files and threads.

        May be called again. Afterwards nothing is found and nothing is kept.
        """
        ...


def is_valid(entry: CacheEntry, now: float) -> bool:
    """Whether an entry may be used at a time, in seconds since the epoch."""
    expires = entry.expires
    return (expires is None or expires > now) and entry.created <= now + FUTURE_SECONDS


def is_stillborn(entry: CacheEntry) -> bool:
    """Whether it had expired when it was made, so that an older one stays."""
    return entry.expires is not None and entry.expires <= entry.created


def storable_key(key: str) -> str:
    """The key itself; of one that is long, or no text for files, a hash."""
    if len(key) <= MOST_CHARACTERS:
        if key.isascii():
            return key
        try:
            key.encode()
        except UnicodeEncodeError:
            pass
        else:
            return key
    return f"sha256:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def checked(entry: CacheEntry) -> CacheEntry:
    """The entry, if it can be kept.

    Raises:
        TypeError: Its key is no text.
        ValueError: Its key is empty, a time is no time, or it has not just one value.
    """
    key = cast("object", entry.key)
    if not isinstance(key, str):
        raise TypeError(f"the key of a cache entry must be a text, not {shown(key)}.")
    if not key:
        raise ValueError("the key of a cache entry is empty. Give a text.")
    texts = (entry.task_key, entry.task_name, entry.state_name, entry.parts)
    rest = (entry.message or "", entry.ref or "")
    given = cast("object", entry.inline or b"")
    if not all(map(_is_text, (*texts, *rest))) or not isinstance(given, bytes):
        raise TypeError(
            f"the cache entry {shown(key)} has a fact of a wrong type: {shown(entry)}. "
            f"Give inline= as bytes, size= as an int, and the others as texts."
        )
    size = cast("object", entry.size)
    if not isinstance(size, int) or size < 0:
        raise TypeError(
            f"the cache entry {shown(key)} has size={shown(size)}. Give a number of "
            f"bytes that is not negative."
        )
    times = (entry.created, 0.0 if entry.expires is None else entry.expires)
    if not all(map(math.isfinite, times)):
        raise ValueError(
            f"the cache entry {shown(key)} has created={entry.created} and "
            f"expires={entry.expires}. Give seconds since the epoch, or expires=None."
        )
    if (entry.inline is None) == (entry.ref is None):
        raise ValueError(
            f"the cache entry {shown(key)} has "
            f"{'no value' if entry.ref is None else 'two values'}. Give either "
            f"inline= or ref=."
        )
    return entry


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def done(*, kept: bool) -> Future[bool]:
    """A future that is done already."""
    future: Future[bool] = Future()
    future.set_result(kept)
    return future
