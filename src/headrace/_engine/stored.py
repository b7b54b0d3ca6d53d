"""Results that are not in memory: what stands for them, and reads them when asked."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import Any

from headrace._concurrency.call_threads import in_new_thread
from headrace.exceptions import HeadraceError, MissingResult
from headrace.results import ResultRef, ResultStore
from headrace.states import StoredData

__all__ = ("Dropped", "StoredResult")


class StoredResult(StoredData):
    """A result that is read from its storage at each look: another object each time.

    Args:
        store: Reads it.
        ref: Where it is.
    """

    __slots__ = ("_read", "_store", "ref")

    def __init__(self, store: ResultStore, ref: ResultRef) -> None:
        self._store = store
        self.ref = ref
        self._read: deque[Any] = deque()

    def load(self) -> Any:
        """See `StoredData.load`."""
        try:
            return self._read.popleft()
        except IndexError:
            return self._store.load(self.ref)

    async def aload(self) -> Any:
        """See `StoredData.aload`."""
        return await in_new_thread(self._load_anew)

    async def preload(self) -> None:
        """See `StoredData.preload`."""
        with contextlib.suppress(HeadraceError):
            self._read.append(await self.aload())

    def _load_anew(self) -> Any:
        return self._store.load(self.ref)

    def __reduce__(self) -> Any:
        # As the value itself: where it arrives there may be no such storage.
        return _same, (self.load(),)

    def __repr__(self) -> str:
        return f"<stored under {self.ref.key!r} in {self.ref.storage}>"


class Dropped(StoredData):
    """A result that was neither kept in memory nor stored.

    Args:
        name: That of its task.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def load(self) -> Any:
        """See `StoredData.load`."""
        raise MissingResult(
            f"the result of {self._name!r} was neither kept in memory nor stored. Leave "
            f"out cache_result_in_memory=False, or persist_result=False."
        )

    async def aload(self) -> Any:
        """See `StoredData.aload`."""
        return self.load()

    def __repr__(self) -> str:
        return "<not kept>"


def _same(value: Any) -> Any:
    return value
