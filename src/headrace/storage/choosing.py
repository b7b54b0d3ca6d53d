"""From what users name as a storage to one."""

from __future__ import annotations

import os
from typing import Any, cast

from headrace._text import shown
from headrace.storage.base import ResultStorage
from headrace.storage.local import LocalFileSystem
from headrace.storage.objects import ObjectStorage

__all__ = ("resolve_storage",)


def resolve_storage(value: object) -> ResultStorage:
    """The storage that was meant.

    Args:
        value: A storage; the path of a folder, as a text or a Path; the address of an
            object store such as ``"s3://bucket/results"``; a store of obstore; None for
            the folder ``storage`` in the setting ``home``.

    Raises:
        TypeError: It is none of these.
        ValueError: The path or address leads nowhere.
        ImportError: An object store was named, and obstore is not installed.
    """
    if value is None:
        return LocalFileSystem()
    if isinstance(value, str) and "://" in value:
        return _of_address(value)
    if isinstance(value, (str, os.PathLike)):
        return LocalFileSystem(cast("Any", value))
    if type(value).__module__.partition(".")[0] == "obstore":
        return ObjectStorage(value)
    if isinstance(value, ResultStorage) and not isinstance(value, type):
        return value
    raise TypeError(
        f"{shown(value)} of type {type(value).__name__} is no storage for results. Give "
        f"the path of a folder, headrace.filesystems.LocalFileSystem(basepath=...), or "
        f"an object with `identity`, `writing`, `reading` and `remove`."
    )


def _of_address(address: str) -> ResultStorage:
    if address.startswith("file://"):
        found = LocalFileSystem.of_identity(address)
        if found is not None:
            return found
    return ObjectStorage.of_address(address)
