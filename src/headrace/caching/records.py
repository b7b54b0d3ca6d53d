"""What a cache index keeps of a run, and what it tells of itself."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ("CacheEntry", "CacheStats", "CacheSwept", "TaskUsage", "size_of")


# Treated as frozen. Made at each hit, and a frozen one takes three times as long.
@dataclass(slots=True, kw_only=True)
class CacheEntry:
    """One completed run, by the key under which others find its value.

    Attributes:
        key: Any text that is not empty.
        created: When the run ended, in seconds since the epoch.
        expires: Until when it is valid, likewise; None for ever.
        task_key: What makes its task the same task.
        task_name: What that is called.
        state_name: The name of the state in which it ended.
        message: The message of that state.
        inline: The stored value itself; None if it is elsewhere.
        ref: Where the value is otherwise, in words of the storage.
        size: How many bytes the stored value has, wherever it is.
        parts: What the key is made of, as `headrace.hashing.parts_to_text` writes it.
    """

    key: str
    created: float
    expires: float | None = None
    task_key: str = ""
    task_name: str = ""
    state_name: str = "Completed"
    message: str | None = None
    inline: bytes | None = None
    ref: str | None = None
    size: int = 0
    parts: str = ""


def size_of(entry: CacheEntry) -> int:
    """How many bytes the value of an entry has."""
    return entry.size or len(entry.inline or b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """What an index holds, and what was asked of it in this process.

    Attributes:
        entries: How many entries it has, expired ones too.
        bytes: How large their values are together.
        hits: How often an entry was found.
        misses: How often none was.
        lost: How many entries could not be kept.
        damaged: How many entries, or whole files, were found damaged.
    """

    entries: int
    bytes: int
    hits: int
    misses: int
    lost: int = 0
    damaged: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSwept:
    """What was removed from an index.

    Attributes:
        expired: How many entries, because their time was over.
        evicted: How many more, to make room or because that was asked.
        bytes: How large their values were together.
        refs: Where such values are that were elsewhere: nobody needs them any more.
    """

    expired: int = 0
    evicted: int = 0
    bytes: int = 0
    refs: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUsage:
    """What an index holds of one task.

    Attributes:
        task_key: What makes it the same task.
        task_name: What it is called.
        entries: How many entries it has.
        bytes: How large their values are together.
    """

    task_key: str
    task_name: str
    entries: int
    bytes: int
