"""Cached values that never leave the process: bytes, so that each hit gives a copy."""

from __future__ import annotations

from typing import Any

from headrace.exceptions import ResultTooLarge
from headrace.results import ResultStore
from headrace.serializers import serializer_from_spec

__all__ = ("HeldValues",)

# Nothing that is stored begins so.
_MARK = b"\0"


class HeldValues:
    """Values as bytes for an index in memory: no envelope, as nothing can happen to them.

    Args:
        store: Says by which serializer, and how large they may be.
    """

    __slots__ = ("_head", "_loads", "_store")

    # See `ResultStore.is_ready`.
    is_ready = True

    def __init__(self, store: ResultStore) -> None:
        self._store = store
        self._loads = store.serializer.loads
        self._head = _MARK + store.serializer.spec.encode() + _MARK

    def to_bytes(self, value: Any) -> bytes:
        """See `ResultStore.to_bytes`."""
        data = self._store.serializer.dumps(value)
        most = self._store.max_bytes
        if most is not None and len(data) > most:
            raise ResultTooLarge(None, len(data), most)
        return self._head + data

    def from_bytes(self, blob: bytes, place: str) -> Any:
        """See `ResultStore.from_bytes`, which reads what was not made here."""
        head = self._head
        if blob.startswith(head):
            return self._loads(blob[len(head) :])
        if not blob.startswith(_MARK):
            return self._store.from_bytes(blob, place)
        # Of another task that gives the same keys.
        spec, _, data = blob[1:].partition(_MARK)
        return serializer_from_spec(spec.decode()).loads(data)
