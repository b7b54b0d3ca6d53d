"""The files around an index: who may write, and where damaged ones go."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

__all__ = ("Fence", "FenceBusy", "identity", "is_remote", "make_file", "set_aside")

# Not on Windows. There SQLite's own locks have to do.
_fcntl: Final[Any] = importlib.import_module("fcntl") if os.name == "posix" else None

_FIRST_PAUSE: Final = 0.0005
_LONGEST_PAUSE: Final = 0.01

# On these, memory is not shared between the machines that use a file, and locks may
# not be.
_REMOTE: Final = re.compile(r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ncpfs|fuse\.sshfs")


class FenceBusy(Exception):
    """Others held the fence for too long."""


class Fence:
    """One lock between processes: whoever writes to the index, or opens it, holds it.

    SQLite before 3.51.3 may damage a file if one connection begins a new log while
    another copies the old one into the database. With one writer at a time, and no
    copying outside of the fence, this cannot be.

    Args:
        path: Of the index; the lock is a file beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}.lock")
        self._fd = -1
        self._pause = threading.Event()

    @contextmanager
    def hold(self, seconds: float) -> Generator[None]:
        """Hold it in a block.

        Args:
            seconds: How long to wait for it.

        Raises:
            FenceBusy: That was not enough.
            OSError: The lock cannot be made.
        """
        if _fcntl is None:
            yield
            return
        fd = self._taken(time.monotonic() + seconds)
        try:
            yield
        finally:
            _fcntl.flock(fd, _fcntl.LOCK_UN)

    def _taken(self, deadline: float) -> int:
        pause = _FIRST_PAUSE
        while True:
            fd = self._opened()
            try:
                _fcntl.flock(fd, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise FenceBusy from None
                self._pause.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            if os.fstat(fd).st_ino == identity(self._path):
                return fd
            # It was deleted meanwhile, and others will make a new one.
            self.close()

    def _opened(self) -> int:
        if self._fd < 0:
            # Only now: who merely looks for an entry makes no directory.
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._fd = os.open(self._path, flags, 0o600)
        return self._fd

    def close(self) -> None:
        """Let go of the lock file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def identity(path: Path) -> int | None:
    """What tells a file from another one of its name; None if there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def make_file(path: Path) -> int | None:
    """Make an empty file that only its owner may read, if there is none.

    The fence is held.

    Returns:
        Its identity.
    """
    found = identity(path)
    if found is not None:
        return found
    # Of a database that was deleted: SQLite would apply it to the new one.
    for stray in _beside(path):
        stray.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return identity(path)


def set_aside(path: Path, which: int | None) -> Path | None:
    """Rename a damaged file, unless another process has done so. The fence is held.

    Those who have it open may go on with it; SQLite sees that it was moved and leaves
    the new file of that name alone.

    Args:
        path: The index.
        which: The identity of the file that was found to be damaged.

    Returns:
        Where it is now; None if it was another file that is gone already.

    Raises:
        OSError: It cannot be renamed.
    """
    if which is None or identity(path) != which:
        return None
    away = path.with_name(f"{path.name}.corrupt-{time.time_ns()}")
    # The log first: it must never stand beside a new file of its name.
    for beside in _beside(path):
        with contextlib.suppress(FileNotFoundError):
            beside.rename(f"{away}{beside.name.removeprefix(path.name)}")
    path.rename(away)
    return away


def _beside(path: Path) -> list[Path]:
    return [path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm", "-journal")]


def is_remote(path: Path, mounts: str) -> bool:
    """Whether a file is on a file system of another machine.

    Args:
        path: The file, absolute.
        mounts: The content of ``/proc/mounts``.
    """
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) > 2:
            place = Path(re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), fields[1]))
            if path.is_relative_to(place) and len(place.parts) >= best:
                best, kind = len(place.parts), fields[2]
    return _REMOTE.fullmatch(kind) is not None
