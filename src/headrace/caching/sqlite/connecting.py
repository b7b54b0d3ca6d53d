"""Connections to an index: opened, checked, and what their errors mean."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from headrace.caching.sqlite.files import identity, is_remote, make_file, set_aside
from headrace.caching.sqlite.rows import APPLICATION_ID, SCHEMA, SCHEMA_VERSION
from headrace.exceptions import CacheUnusable

__all__ = ("Alarm", "Database", "Opened", "is_busy", "is_damage")

log: Final = logging.getLogger("headrace.caching")

# Of SQLite: what may go away by itself, or says nothing about the file. All else that
# it says of our few statements is damage, such as a table that is not there.
_NO_DAMAGE: Final = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_AUTH,
    }
)
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_MOUNTS: Final = Path("/proc/mounts")


def _code(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def is_busy(error: BaseException) -> bool:
    """Whether others are using the file, so that it may work a moment later."""
    return _code(error) in _BUSY


def is_damage(error: BaseException) -> bool:
    """Whether the file is not what we wrote."""
    code = _code(error)
    return code is not None and code not in _NO_DAMAGE


class Alarm:
    """Warns of what goes wrong: once, until it goes well again.

    Attributes:
        is_on: Whether it has warned and does so no more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.is_on = False

    def warn(self, path: Path, reason: object) -> None:
        """Say what the trouble is, if that was not said."""
        with self._lock:
            if self.is_on:
                return
            self.is_on = True
        log.warning(
            "the cache index %s cannot be used: %s. Runs go on without it; this is "
            "said once, until it works again.",
            path,
            reason,
        )

    def clear(self) -> None:
        """It goes well."""
        # Read without the lock: nearly always there is nothing to do.
        if self.is_on:
            with self._lock:
                self.is_on = False


@dataclass(slots=True)
class Opened:
    """A connection, and the file that it is to.

    Attributes:
        connection: It.
        file: What tells the file from another of its name.
    """

    connection: sqlite3.Connection
    file: int | None


class Database:
    """One index file. Whoever calls this holds the fence.

    Args:
        path: The file.
        alarm: Is told of damage.
    """

    def __init__(self, path: Path, alarm: Alarm) -> None:
        self.path = path
        self.alarm = alarm
        self.damaged = 0

    def open(self, busy_seconds: float) -> Opened:
        """Connect to the file, which is made if need be. A damaged one is set aside.

        Args:
            busy_seconds: How long each statement may wait for others.

        Raises:
            CacheUnusable: The file is not ours, or of a later version.
            OSError: It cannot be made.
            sqlite3.Error: It cannot be opened.
        """
        file = make_file(self.path)
        try:
            return Opened(self._connected(busy_seconds), file)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self.set_aside(file, error)
        file = make_file(self.path)
        return Opened(self._connected(busy_seconds), file)

    def is_current(self, opened: Opened) -> bool:
        """Whether the file is still the one of its name."""
        return opened.file == identity(self.path)

    def set_aside(self, file: int | None, reason: object) -> None:
        """Rename a damaged file, and begin a new one at the next opening.

        Raises:
            OSError: It cannot be renamed.
        """
        away = set_aside(self.path, file)
        if away is not None:
            self.damaged += 1
            log.warning(
                "the cache index %s is damaged (%s). It was renamed to %s, and an "
                "empty one is begun; delete the former when you like.",
                self.path,
                reason,
                away.name,
            )

    def _connected(self, busy_seconds: float) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=busy_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            # Decoded after the digest is checked: damaged text is not even text.
            connection.text_factory = bytes
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        if not _value(connection, "SELECT count(*) FROM sqlite_master"):
            self._create(connection)
        application = _value(connection, "PRAGMA application_id")
        if application != APPLICATION_ID:
            raise CacheUnusable(
                f"{self.path} is a database of another program. Give the cache a file "
                f"of its own."
            )
        version = _value(connection, "PRAGMA user_version")
        if version != SCHEMA_VERSION:
            raise CacheUnusable(
                f"{self.path} has the format {version}, and this version of headrace "
                f"knows {SCHEMA_VERSION}. Use a later headrace, or delete the file."
            )
        for setting in (
            "synchronous = NORMAL",
            "wal_autocheckpoint = 0",  # the writer does that, inside of the fence
            "cell_size_check = ON",
            "trusted_schema = OFF",
        ):
            connection.execute(f"PRAGMA {setting}")
        # Opens the log as well, while nobody renames it.
        connection.execute("SELECT 1 FROM entries LIMIT 1").fetchone()

    def _create(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        mode = "DELETE" if self._is_remote() else "WAL"
        connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(SCHEMA)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")

    def _is_remote(self) -> bool:
        try:
            mounts = _MOUNTS.read_text("utf-8", "replace") if os.name == "posix" else ""
        except OSError:
            return False
        found = is_remote(self.path, mounts)
        if found:
            log.warning(
                "the cache index %s is on a network file system, which is slower and "
                "less safe. Let HEADRACE_HOME name a local directory.",
                self.path,
            )
        return found


def _value(connection: sqlite3.Connection, statement: str) -> Any:
    row = connection.execute(statement).fetchone()
    return None if row is None else row[0]
