"""Files for storages that take or give bytes in another form than as a file."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, cast

__all__ = ("IteratedFile", "spooled")

_IN_MEMORY_BYTES: Final = 8 << 20


def spooled() -> BinaryIO:
    """A new file for what is to be sent as a whole: in memory if small, else on disk."""
    return cast("BinaryIO", tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES))


class IteratedFile(io.RawIOBase):
    """Reads what an iterator gives, one piece after the other.

    Args:
        pieces: Gives objects with the buffer protocol.
    """

    def __init__(self, pieces: Iterator[Any]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer, or less of it; nothing only at the end."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece).cast("B")
        with memoryview(buffer) as given, given.cast("B") as view:
            size = min(len(view), len(self._left))
            view[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
