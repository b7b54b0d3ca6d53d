"""Compressing while writing, and decompressing while reading."""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from headrace._types import ByteSink, ByteSource

__all__ = ("SAFE_LIBRARIES", "best_library", "compressing", "decompressing")

# What is given to a compressor at once: it may answer with as much.
_PIECE_BYTES: Final = 1 << 20

# By module: what its streaming compressor is called.
_COMPRESSORS: Final[Mapping[str, str]] = {
    "backports.zstd": "ZstdCompressor",
    "bz2": "BZ2Compressor",
    "compression.zstd": "ZstdCompressor",
    "lzma": "LZMACompressor",
    "zlib": "compressobj",
}

# Libraries that may be named by whoever wrote the bytes.
SAFE_LIBRARIES: Final = frozenset(_COMPRESSORS)


def best_library() -> str:
    """The import path of zstd where it is installed, else zlib."""
    if sys.version_info >= (3, 14):
        return "compression.zstd"
    try:
        found = importlib.util.find_spec("backports.zstd")
    except ImportError:
        found = None
    return "zlib" if found is None else "backports.zstd"


def compressing(library: str, file: ByteSink) -> _Compressing:
    """A file that writes what it is given to another, compressed. Close it."""
    module: Any = importlib.import_module(library)
    name = _COMPRESSORS.get(library)
    compressor = _AtOnce(module) if name is None else getattr(module, name)()
    return _Compressing(compressor, file)


def decompressing(library: str, file: ByteSource) -> ByteSource:
    """A file that reads what another holds, decompressed."""
    module: Any = importlib.import_module(library)
    if library == "zlib":
        return io.BufferedReader(_Inflating(file))
    if library in _COMPRESSORS:
        return io.BufferedReader(_InPieces(module.open(file, "rb")))
    return io.BytesIO(module.decompress(file.read()))


class _Compressing:
    def __init__(self, compressor: Any, file: ByteSink) -> None:
        self._compress: Callable[[Any], bytes] = compressor.compress
        self._flush: Callable[[], bytes] = compressor.flush
        self._file = file

    def write(self, data: Any, /) -> int:
        with memoryview(data) as given, given.cast("B") as view:
            for start in range(0, len(view), _PIECE_BYTES):
                self._file.write(self._compress(view[start : start + _PIECE_BYTES]))
            return len(view)

    def close(self) -> None:
        """Write what is left."""
        self._file.write(self._flush())


class _AtOnce:
    """A compressor of a module that has only ``compress``."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._kept = bytearray()

    def compress(self, data: bytes) -> bytes:
        self._kept += data
        return b""

    def flush(self) -> bytes:
        return bytes(self._module.compress(bytes(self._kept)))


class _InPieces(io.RawIOBase):
    """Reads from a file a piece at a time: it may hold twice what it is asked for."""

    def __init__(self, file: ByteSource) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        with memoryview(buffer) as given, given.cast("B") as view:
            data = self._file.read(min(len(view), _PIECE_BYTES))
            view[: len(data)] = data
            return len(data)


class _Inflating(io.RawIOBase):
    """Reads what zlib wrote, a piece at a time."""

    def __init__(self, file: ByteSource) -> None:
        self._file = file
        self._inflater = zlib.decompressobj()
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer, or less of it.

        Raises:
            EOFError: What was written ends too early.
        """
        with memoryview(buffer) as given, given.cast("B") as view:
            most = min(len(view), _PIECE_BYTES)
            while not self._inflater.eof:
                data = self._left or self._file.read(_PIECE_BYTES)
                if not data:
                    raise EOFError("the compressed data ends too early")
                made = self._inflater.decompress(data, most)
                self._left = self._inflater.unconsumed_tail
                if made:
                    view[: len(made)] = made
                    return len(made)
            return 0
