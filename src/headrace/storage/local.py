"""Results as files in a folder: each whole or absent, and none outside of it."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import unquote, urlsplit

from headrace.exceptions import InvalidStorageKey
from headrace.settings import current_settings
from headrace.storage.faults import missing, storage_error
from headrace.storage.keys import file_names

__all__ = ("LocalFileSystem",)

# Where files are written before they get their name. No key leads there: names that
# begin with a point are encoded.
_PARTS: Final = ".parts"
# A part that was not written to for so long belongs to a process that has ended.
_PART_IS_LEFT_AFTER_SECONDS: Final = 24 * 3600.0
# Links are not followed, and pipes not waited for. Windows has but the last of these.
_READ: Final = os.O_RDONLY | sum(
    getattr(os, name, 0)
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
)


class LocalFileSystem:
    """Stores results in a folder, which is made when the first is written.

    A file appears under its name when it is complete. It is not forced to the disk: after
    a power failure the last ones may be damaged, which reading finds out.

    Files and folders have the rights that the umask of the process leaves them.

    Args:
        basepath: The folder; None for ``storage`` in the setting ``home``. A ``~`` is
            the home directory of the user.

    Raises:
        TypeError: It is no path.
        ValueError: It is empty, or has a NUL.
    """

    __slots__ = ("_is_swept", "_root", "basepath")

    def __init__(self, basepath: str | os.PathLike[str] | None = None) -> None:
        if basepath is None:
            basepath = Path(current_settings().home) / "storage"
        text: Any = os.fspath(basepath)
        if not isinstance(text, str):
            raise TypeError(f"basepath={basepath!r} is no text. Give a str or a Path.")
        if not text.strip() or "\0" in text:
            raise ValueError(f"basepath={text!r} is no folder. Give the path of one.")
        self.basepath = Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100 - `absolute` keeps ".."
        self._root: str | None = None
        self._is_swept = False

    @classmethod
    def of_identity(cls, identity: str) -> LocalFileSystem | None:
        """The storage with this identity, or None if it is that of another kind."""
        if not identity.startswith("file://"):
            return None
        text = unquote(urlsplit(identity).path, errors="surrogateescape")
        # "file:///C:/data" on Windows.
        return cls(text[1:] if os.name == "nt" else text)

    def __repr__(self) -> str:
        return f"LocalFileSystem(basepath={str(self.basepath)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LocalFileSystem):
            return NotImplemented
        return self.basepath == other.basepath

    def __hash__(self) -> int:
        return hash(self.basepath)

    @property
    def identity(self) -> str:
        """See `ResultStorage.identity`."""
        return self.basepath.as_uri()

    @contextmanager
    def writing(self, key: str) -> Generator[BinaryIO]:
        """See `ResultStorage.writing`."""
        place = self._place(key)
        part, file = self._opened_part(place)
        try:
            # Not closed by the `with` of a caller: leaving the block may raise, too.
            try:
                yield file
                file.close()
                self._move(part, place)
            except OSError as error:
                raise storage_error("write", place, error) from error
        except BaseException:
            self._drop(part, file)
            raise

    @contextmanager
    def reading(self, key: str) -> Generator[BinaryIO]:
        """See `ResultStorage.reading`."""
        place = self._place(key)
        try:
            descriptor = os.open(place, _READ)
        except (FileNotFoundError, NotADirectoryError):
            raise missing(place) from None
        except OSError as error:
            raise storage_error("read", place, error) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise missing(place)
        with os.fdopen(descriptor, "rb") as file:
            try:
                yield file
            except OSError as error:
                raise storage_error("read", place, error) from error

    def remove(self, key: str) -> bool:
        """See `ResultStorage.remove`."""
        place = self._place(key)
        try:
            os.unlink(place)  # noqa: PTH108 - a third of the time of a Path
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise storage_error("remove", place, error) from error
        return True

    def _place(self, key: str) -> str:
        """The path for a key.

        Raises:
            InvalidStorageKey: It cannot be a key, or a link leads out of the folder.
        """
        names = file_names(key)
        if len(names) == 1:
            return f"{self.basepath}{os.sep}{names[0]}"
        place = os.path.join(self.basepath, *names)  # noqa: PTH118 - as above
        if self._root is None:
            self._root = os.path.realpath(self.basepath)
        real = os.path.realpath(os.path.dirname(place))  # noqa: PTH120 - as above
        if os.path.commonpath((self._root, real)) != self._root:
            raise InvalidStorageKey(
                f"the key {key!r} leads out of {self.basepath}, by a link to {real}. "
                f"Use another key, or remove the link."
            )
        return place

    def _opened_part(self, place: str) -> tuple[str, BinaryIO]:
        folder = f"{self.basepath}{os.sep}{_PARTS}"
        part = f"{folder}{os.sep}{secrets.token_hex(8)}"
        try:
            try:
                file = open(part, "xb")  # noqa: PTH123, SIM115 - closed by `writing`
            except FileNotFoundError:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - as above
                file = open(part, "xb")  # noqa: PTH123, SIM115 - as above
        except OSError as error:
            raise storage_error("write", place, error) from error
        if not self._is_swept:
            self._is_swept = True
            _sweep(folder)
        return part, file

    def _move(self, part: str, place: str) -> None:
        try:
            os.replace(part, place)  # noqa: PTH105 - as above
        except FileNotFoundError:
            os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120
            os.replace(part, place)  # noqa: PTH105 - as above

    def _drop(self, part: str, file: BinaryIO) -> None:
        # Closing writes what is left, which fails again where writing did.
        with contextlib.suppress(OSError):
            file.close()
        with contextlib.suppress(OSError):
            os.unlink(part)  # noqa: PTH108 - as above


def _sweep(folder: str) -> None:
    """Remove the parts of processes that ended while they were writing."""
    oldest = time.time() - _PART_IS_LEFT_AFTER_SECONDS
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            # Another process may be faster, or not ours to remove.
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < oldest:
                    os.unlink(entry.path)  # noqa: PTH108 - as above
