"""Results that are not in memory: what stands for them, and reads them when asked."""

from __future__ import annotations

from collections import deque
from typing import Any

from headrace._concurrency.call_threads import in_new_thread
from headrace.exceptions import CrashedRun, MissingResult
from headrace.results import ResultRef, ResultStore
from headrace.states import StoredData, format_exception

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
        self._read: deque[tuple[Any, Exception | None]] = deque()

    def load(self) -> Any:
        """See `StoredData.load`."""
        try:
            value, error = self._read.popleft()
        except IndexError:
            return self._store.load(self.ref)
        if error is not None:
            raise error
        return value

    async def aload(self) -> Any:
        """See `StoredData.aload`."""
        return await in_new_thread(self._load_anew)

    async def preload(self) -> None:
        """See `StoredData.preload`."""
        try:
            self._read.append((await self.aload(), None))
        except Exception as error:  # noqa: BLE001 - of a storage of the user's
            # For the next look, which must not block to find out the same.
            self._read.append((None, error))

    def _load_anew(self) -> Any:
        """Read it, in a thread of its own: no interrupt comes there from outside."""
        try:
            return self._store.load(self.ref)
        except Exception:
            raise
        except BaseException as error:
            raise CrashedRun(
                f"the stored result {self.ref.key!r} cannot be read: its storage or "
                f"serializer raised {format_exception(error)}."
            ) from error

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
