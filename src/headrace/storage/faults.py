"""From what a system or a client raised to errors that say what to do."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

from headrace._text import one_line
from headrace.exceptions import MissingResult, StorageError

__all__ = ("missing", "storage_error")

_MOST_SHOWN: Final = 300
_OTHER: Final = "Make that place usable, or store results in another one."
_SPACE: Final = (
    "Free some space there, or store results in another place. Storing goes on as soon "
    "as there is room."
)
_RIGHTS: Final = (
    "Give this process the right to do that, or store results where it may write, such "
    "as in a folder of its own named by HEADRACE_HOME."
)
_ADVICE: Final[Mapping[int, str]] = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: _SPACE,
    errno.EROFS: _RIGHTS,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
}


def storage_error(action: str, place: object, error: Exception) -> StorageError:
    """A `StorageError` for what was raised; raise it from that.

    Args:
        action: "write", "read" or "remove".
        place: A path, or an address.
        error: What the system or the client of a storage raised.
    """
    number = error.errno if isinstance(error, OSError) else None
    reason = (isinstance(error, OSError) and error.strerror) or (
        f"{type(error).__name__}: {error}"
    )
    return StorageError(
        action,
        str(place),
        one_line(reason, _MOST_SHOWN).rstrip(". "),
        _OTHER if number is None else _ADVICE.get(number, _OTHER),
        number,
    )


def missing(place: object) -> MissingResult:
    """The error for a place where nothing is."""
    return MissingResult(
        f"there is no stored result at {place}: it was removed, or never written. Run "
        f"the task again, or read it where it was stored."
    )
