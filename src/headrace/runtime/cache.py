"""What the tasks of a runtime have cached: to look at, and to tidy."""

from __future__ import annotations

from time import time
from typing import Any

from headrace._concurrency.call_threads import in_new_thread

__all__ = ("RuntimeCache",)


class RuntimeCache:
    """The cache of a runtime. Its verbs may block for I/O; each has a twin to await."""

    def __init__(self, host: Any) -> None:
        self._host = host

    def stats(self) -> Any:
        """What the cache holds, and what was asked of it in this process.

        Returns:
            A `headrace.caching.CacheStats`: numbers of ``entries`` and ``bytes``, of
            ``hits`` and ``misses``, and of entries ``lost`` and ``damaged``.

        Raises:
            CacheUnusable: It cannot be read now.
        """
        return self._host.caches.index.stats()

    def gc(self, max_bytes: int | None = None) -> Any:
        """Forget what has expired; then what was used longest ago, to make room.

        Args:
            max_bytes: How large all cached values together may be after it.

        Returns:
            A `headrace.caching.CacheSwept`: how many entries were ``expired`` and how
            many ``evicted`` besides, and how many ``bytes`` their values had.

        Raises:
            ValueError: ``max_bytes`` is negative.
            CacheUnusable: It cannot be done now.
        """
        if max_bytes is not None and max_bytes < 0:
            raise ValueError(
                f"gc(max_bytes={max_bytes}): give a number of bytes that is not "
                f"negative, or leave it out."
            )
        caches = self._host.caches
        return caches.swept(caches.index.gc(time(), max_bytes))

    def clear(self, task: Any = None) -> Any:
        """Forget everything, or what is cached of one task.

        Args:
            task: The task, or its ``task_key``; None for all.

        Returns:
            As `gc`.

        Raises:
            TypeError: ``task`` is neither.
            CacheUnusable: It cannot be done now.
        """
        key = getattr(task, "task_key", task)
        if key is not None and not isinstance(key, str):
            raise TypeError(
                f"clear() got {task!r}. Give it a task, the task_key of one, or nothing "
                f"to clear everything."
            )
        caches = self._host.caches
        caches.memory.clear(key)
        return caches.swept(caches.index.clear(key))

    async def astats(self) -> Any:
        """See `stats`."""
        return await in_new_thread(self.stats)

    async def agc(self, max_bytes: int | None = None) -> Any:
        """See `gc`."""
        return await in_new_thread(lambda: self.gc(max_bytes))

    async def aclear(self, task: Any = None) -> Any:
        """See `clear`."""
        return await in_new_thread(lambda: self.clear(task))
