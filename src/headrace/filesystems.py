"""The storages of results, by the names that users look for."""

from __future__ import annotations

from headrace.storage import (
    FsspecStorage,
    LocalFileSystem,
    MemoryStorage,
    ObjectStorage,
    ResultStorage,
    resolve_storage,
)

__all__ = (
    "FsspecStorage",
    "LocalFileSystem",
    "MemoryStorage",
    "ObjectStorage",
    "ResultStorage",
    "resolve_storage",
)
