"""Results in any file system that fsspec knows."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

from headrace._text import shown
from headrace.storage.extras import extra_package
from headrace.storage.faults import missing, storage_error
from headrace.storage.keys import file_names
from headrace.storage.pieces import spooled

__all__ = ("FsspecStorage",)

_PARTS: Final = ".parts"  # no key leads there
_NEEDED: Final = ("open", "makedirs", "mv", "exists", "rm_file")

# What file systems say of a name that leads to no file.
_NOTHING: Final = (
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
)


class FsspecStorage:
    """Stores results by a file system of fsspec, the package of the extra ``fsspec``.

    A file is written under another name and moved to its place by ``mv`` of the file
    system: results are whole or absent where that is one step.

    Args:
        fs: A file system, or an address such as ``"sftp://host/results"``.
        root: The folder in it; with an address it is part of that.
        options: For the file system that an address stands for.

    Raises:
        TypeError: It is no file system.
        ImportError: An address was given, and fsspec is not installed.
        ValueError: No file system has such an address.
    """

    __slots__ = ("fs", "identity", "root")

    def __init__(self, fs: Any, root: str = "", **options: Any) -> None:
        if isinstance(fs, str):
            core = extra_package("fsspec.core", "fsspec", f"the storage {fs!r}")
            fs, root = core.url_to_fs(f"{fs}/{root}" if root else fs, **options)
        if isinstance(fs, type) or not all(
            callable(getattr(fs, name, None)) for name in _NEEDED
        ):
            raise TypeError(
                f"{shown(fs)} of type {type(fs).__name__} is no file system of fsspec. "
                f"Give what fsspec.filesystem(...) makes, or an address."
            )
        self.fs = fs
        self.root = root.rstrip("/")
        protocol = fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]
        self.identity = f"fsspec+{protocol}://{self.root}"

    def __repr__(self) -> str:
        return f"FsspecStorage({self.identity!r})"

    @contextmanager
    def writing(self, key: str) -> Generator[BinaryIO]:
        """See `ResultStorage.writing`."""
        place = self._place(key)
        with spooled() as file:
            yield file
            file.seek(0)
            try:
                self._store(file, place)
            except Exception as error:
                raise storage_error("write", self._told(place), error) from error

    @contextmanager
    def reading(self, key: str) -> Generator[BinaryIO]:
        """See `ResultStorage.reading`."""
        place = self._place(key)
        try:
            file = self.fs.open(place, "rb")
        except _NOTHING:
            raise missing(self._told(place)) from None
        except Exception as error:
            raise storage_error("read", self._told(place), error) from error
        with file:
            try:
                yield file
            except OSError as error:
                raise storage_error("read", self._told(place), error) from error

    def remove(self, key: str) -> bool:
        """See `ResultStorage.remove`."""
        place = self._place(key)
        try:
            if not self.fs.exists(place):
                return False
            self.fs.rm_file(place)
        except FileNotFoundError:
            return False
        except Exception as error:
            raise storage_error("remove", self._told(place), error) from error
        return True

    def _store(self, file: BinaryIO, place: str) -> None:
        part = f"{self.root}/{_PARTS}/{secrets.token_hex(8)}"
        self.fs.makedirs(f"{self.root}/{_PARTS}", exist_ok=True)
        self.fs.makedirs(place.rpartition("/")[0] or "/", exist_ok=True)
        try:
            with self.fs.open(part, "wb") as target:
                shutil.copyfileobj(file, target)
            self.fs.mv(part, place)
        finally:
            if self.fs.exists(part):
                self.fs.rm_file(part)

    def _place(self, key: str) -> str:
        return f"{self.root}/{'/'.join(file_names(key))}"

    def _told(self, place: str) -> str:
        return f"{place} in {self.identity}"
