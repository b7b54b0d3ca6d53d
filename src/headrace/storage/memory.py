"""Results in the memory of this process, as bytes."""

from __future__ import annotations

import io
import secrets
from collections.abc import Generator
from contextlib import contextmanager

from headrace.storage.faults import missing
from headrace.storage.signing import Signer

__all__ = ("MemoryStorage",)


class MemoryStorage:
    """Keeps results as long as this object lives. For tests, and for one process.

    Unlike values that are simply kept, these are other objects at each reading. Signing
    them takes no key from the disk: one of its own does, as nobody else gets at them.
    """

    __slots__ = ("_kept", "identity", "signer")

    def __init__(self) -> None:
        self.identity = f"memory:{secrets.token_hex(8)}"
        self.signer = Signer.of_secret(secrets.token_hex(32))
        self._kept: dict[str, bytes] = {}  # one step each, so any thread may

    def __repr__(self) -> str:
        return f"<MemoryStorage of {len(self._kept)} results>"

    @contextmanager
    def writing(self, key: str) -> Generator[io.BytesIO]:
        """See `ResultStorage.writing`."""
        file = io.BytesIO()
        yield file
        self._kept[key] = file.getvalue()

    @contextmanager
    def reading(self, key: str) -> Generator[io.BytesIO]:
        """See `ResultStorage.reading`."""
        kept = self._kept.get(key)
        if kept is None:
            raise missing(f"{key!r} in the memory")
        yield io.BytesIO(kept)

    def remove(self, key: str) -> bool:
        """See `ResultStorage.remove`."""
        return self._kept.pop(key, None) is not None
