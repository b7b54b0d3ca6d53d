"""Which texts results can be stored under, and how they become names of files."""

from __future__ import annotations

import re
import secrets
from typing import Final

from headrace._text import shown
from headrace.exceptions import InvalidStorageKey

__all__ = ("checked_key", "file_names", "random_key")

_MOST_NAMES: Final = 16
_MOST_BYTES: Final = 200  # of one name; file systems take 255
_MOST_BYTES_IN_ALL: Final = 800  # object stores take 1024, a prefix included

# What would not stay in its line, cannot be written, or separates names elsewhere.
_NEVER: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\\\\]")

# What some system reads as something else than a part of a name: streams and drives,
# patterns, hidden files, devices, and ends that are cut off.
_ENCODED: Final = re.compile(
    r"""[%:*?"<>|]|^\.|[. ]$|^(?=(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)).""",
    re.IGNORECASE,
)


def random_key() -> str:
    """A key that no other result has: 32 hexadecimal digits (PERS-07)."""
    return secrets.token_hex(16)


def checked_key(key: object) -> str:
    """The key, if a result can be stored under it.

    It consists of names, with slashes in between, and means a place inside the storage
    for every storage: ``"reports/2026-01-31T12:00.json"``.

    Raises:
        InvalidStorageKey: It is empty or too long, or has names that lead elsewhere, or
            characters that cannot be in names.
        TypeError: It is no text.
    """
    if not isinstance(key, str):
        raise TypeError(
            f"the storage key {shown(key)} of type {type(key).__name__} is no text. "
            f"Give a str."
        )
    file_names(key)
    return key


def file_names(key: str) -> list[str]:
    """The names of the folders and of the file for a key; different for each key.

    Characters that mean something to some system are written as ``%3A`` and the like.

    Raises:
        InvalidStorageKey: See `checked_key`.
    """
    found = _NEVER.search(key)
    if found is not None:
        raise _refused(key, f"it has the character {found[0]!a}")
    names = key.split("/")
    if "" in names:
        raise _refused(key, "a name in it is empty")
    if "." in names or ".." in names:
        raise _refused(key, "a name in it is '.' or '..'")
    if len(names) > _MOST_NAMES:
        raise _refused(key, f"it has {len(names)} names, and at most {_MOST_NAMES} fit")
    made = [_ENCODED.sub(_encoded, name) for name in names]
    sizes = [len(name.encode()) for name in made]
    if max(sizes) > _MOST_BYTES or sum(sizes) > _MOST_BYTES_IN_ALL:
        raise _refused(
            key,
            f"it has {sum(sizes)} bytes, {max(sizes)} of them in one name, and at most "
            f"{_MOST_BYTES_IN_ALL} and {_MOST_BYTES} fit",
        )
    return made


def _encoded(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


def _refused(key: str, reason: str) -> InvalidStorageKey:
    return InvalidStorageKey(
        f"no result can be stored under the key {shown(key)}: {reason}. Use names of "
        f"letters, digits, '-', '_' and '.', with '/' in between."
    )
