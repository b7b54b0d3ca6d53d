"""The key that says that stored pickles are our own, and what is made of it."""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Any, Final

from headrace.exceptions import StorageError
from headrace.settings import FEWEST_OF_A_KEY, Settings
from headrace.storage.faults import storage_error

__all__ = ("Signer",)

_FILE: Final = "signing.key"
_DIGITS: Final = 64
_CANNOT_LINK: Final = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
)


class Signer:
    """Holds a key, which is read or made when it is first needed.

    Args:
        home: The folder where the key is kept; None if there is a secret.
        secret: The key itself, if it is not kept in a folder.

    Raises:
        ValueError: The secret is too short to be one.
    """

    __slots__ = ("_home", "_key")

    def __init__(self, home: Path | None, secret: str | None = None) -> None:
        self._home = home
        self._key: bytes | None = None
        if secret is not None:
            if len(secret) < FEWEST_OF_A_KEY:
                raise ValueError(
                    f"the signing key has {len(secret)} characters, which can be "
                    f"guessed. Set HEADRACE_SIGNING_KEY to {FEWEST_OF_A_KEY} random "
                    f"ones or more, such as `openssl rand -hex 32` prints."
                )
            self._key = secret.encode("utf-8", "surrogateescape")

    @classmethod
    def of_settings(cls, settings: Settings) -> Signer:
        """One with the ``signing_key`` of the settings, else with a key in ``home``."""
        if settings.signing_key is not None:
            return cls(None, settings.signing_key.get_secret_value())
        # Absolute at once, as storages are: the key is made later, and the process may
        # have gone to another directory by then.
        return cls(Path(settings.home).expanduser().absolute())

    @classmethod
    def of_secret(cls, secret: str) -> Signer:
        """One with this key."""
        return cls(None, secret)

    def __repr__(self) -> str:
        return "<Signer>"  # and nothing of its key

    @property
    def key(self) -> bytes:
        """The key; made if there is none yet.

        Raises:
            StorageError: It cannot be read or kept.
        """
        if self._key is None:
            # Two threads that come here at once read the same: the file is made once.
            self._key = _key_in(self._home or Path())
        return self._key

    @property
    def has_key(self) -> bool:
        """Whether the key has been read or made."""
        return self._key is not None

    @property
    def key_id(self) -> bytes:
        """Eight bytes that tell this key from others and do not give it away."""
        return _id_of(self.key)

    def is_own(self, key_id: bytes) -> bool:
        """Whether this is the id of our key; if there is none yet, none is made.

        Raises:
            StorageError: It cannot be read.
        """
        if self._key is None and self._home is not None:
            path = self._home / _FILE
            try:
                self._key = _read(path)
            except OSError as error:
                raise storage_error("read", path, error) from error
        return self._key is not None and hmac.compare_digest(_id_of(self._key), key_id)

    def hasher(self) -> Any:
        """A new HMAC-SHA256, with ``update`` and ``digest``."""
        return hmac.new(self.key, digestmod=hashlib.sha256)


def _id_of(key: bytes) -> bytes:
    return hashlib.sha256(b"headrace signing key\0" + key).digest()[:8]


def _key_in(home: Path) -> bytes:
    path = home / _FILE
    action = "read"
    try:
        found = _read(path)
        if found is None:
            action = "write"
            found = _created(home, path) or _needed(path)
    except OSError as error:
        raise storage_error(action, path, error) from error
    return found


def _read(path: Path) -> bytes | None:
    try:
        text = path.read_bytes().strip()
    except FileNotFoundError:
        return None
    if len(text) < _DIGITS:
        raise StorageError(
            "read",
            str(path),
            f"it holds {len(text)} characters, and a signing key has {_DIGITS}",
            "Remove the file: a new key is made then, and results signed with the old "
            "one count as missing.",
        )
    return text


def _needed(path: Path) -> bytes:
    found = _read(path)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return found


def _created(home: Path, path: Path) -> bytes | None:
    """Make the key; None if somebody else did so first.

    It is written beside its place and then linked there: so whoever sees it sees all of
    it, and of several processes one succeeds.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = secrets.token_hex(_DIGITS // 2).encode("ascii")
    part = home / f".{_FILE}.{secrets.token_hex(8)}"
    _write(part, key)
    try:
        os.link(part, path)
    except FileExistsError:
        return None
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        return _written_in_place(path, key)
    finally:
        part.unlink()
    return key


def _written_in_place(path: Path, key: bytes) -> bytes | None:
    """The same on file systems without links, where others may see half of it."""
    try:
        _write(path, key)
    except FileExistsError:
        return None
    return key


def _write(path: Path, key: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
