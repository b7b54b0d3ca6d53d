"""Writing an index: in one thread, many entries in one commit.

A commit takes 40 us whatever is in it, and an entry 10. So whatever was asked while one
commit went on is in the next.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

from headrace.caching.sqlite.connecting import (
    Database,
    Opened,
    is_busy,
    is_damage,
)
from headrace.caching.sqlite.files import Fence, FenceBusy
from headrace.exceptions import CacheUnusable

__all__ = ("Job", "Writer")

_MOST_IN_A_BATCH: Final = 500
_MOST_WAITING: Final = 10_000
_FENCE_SECONDS: Final = 10.0
_FENCE_SECONDS_AT_THE_END: Final = 1.0
_BUSY_SECONDS: Final = 5.0
_TRIES: Final = 3
_SECONDS_BETWEEN_TRIES: Final = 1.0
_BYTES_OF_LOG: Final = 4_000_000

# What says something about what is written, and not about the file.
_OF_ONE_JOB: Final = (
    sqlite3.DataError,
    sqlite3.InterfaceError,
    ArithmeticError,
    AttributeError,
    TypeError,
    ValueError,
)


@dataclass(slots=True, eq=False)
class Job:
    """Something to do with the index.

    Attributes:
        work: Does it, in a transaction.
        ended: Is called when it is done, or cannot be, before the future is.
        lost: What the future gives if it cannot be; None for an exception.
        frees: Whether room is given back to the file system after it.
        future: Of its outcome.
    """

    work: Callable[[sqlite3.Connection], Any]
    ended: Callable[[], object] | None = None
    lost: Any = None
    frees: bool = False
    future: Future[Any] = field(default_factory=Future[Any])

    def end(self, outcome: Any) -> None:
        """It is done, or cannot be."""
        if self.ended is not None:
            self.ended()
        if isinstance(outcome, BaseException):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class Writer:
    """Does jobs, one batch after the other. Its thread starts at the first.

    Args:
        database: The file.
        fence: Of its own.
        before: Is called in each transaction, after its jobs; what it gives is called
            once that is committed.
        renewed: Is called when the file is another one.
    """

    def __init__(
        self,
        database: Database,
        fence: Fence,
        before: Callable[[sqlite3.Connection], Callable[[], object]],
        renewed: Callable[[], object],
    ) -> None:
        self._database = database
        self._fence = fence
        self._before = before
        self._renewed = renewed
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._opened: Opened | None = None
        self._not_before = 0.0
        self._failed = ""
        self._fence_seconds = _FENCE_SECONDS
        self._is_closed = False
        self.lost = 0

    def submit(self, job: Job) -> None:
        """Have something done."""
        with self._lock:
            if self._is_closed:
                refused: Any = "it is closed"
            elif self._jobs.qsize() >= _MOST_WAITING:
                refused = f"{_MOST_WAITING} entries wait to be written"
            elif self._runs():
                self._jobs.put(job)
                return
            else:
                refused = None
        if refused is None:
            # Python is ending, and starts no threads any more.
            self._perform([job])
            return
        self._lose([job], refused)

    def _runs(self) -> bool:
        """Whether the thread is there; starts it."""
        if self._thread is None:
            # A daemon, so that a program can end that did not close this: then the
            # rest is written by a finalizer.
            thread = threading.Thread(
                target=self._serve, name="headrace-cache", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        return True

    def _serve(self) -> None:
        goes_on = True
        while goes_on:
            job = self._jobs.get()
            batch: list[Job] = []
            while job is not None:
                batch.append(job)
                if len(batch) >= _MOST_IN_A_BATCH:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            goes_on = job is not None
            if batch:
                self._perform(batch)

    def _perform(self, batch: list[Job]) -> None:
        """Do some jobs, or lose them."""
        try:
            outcomes = self._tried(batch)
        except _OF_ONE_JOB as error:
            # One of them cannot be written at all; the others can.
            if len(batch) == 1:
                self._lose(batch, error)
                return
            for job in batch:
                self._perform([job])
        except FenceBusy:
            self._lose(batch, "other processes have been writing all the time")
        except Exception as error:  # noqa: BLE001 - whoever waits for a job is to hear
            self._lose(batch, error)
        else:
            self._database.alarm.clear()
            for job, outcome in zip(batch, outcomes, strict=True):
                job.end(outcome)

    def _tried(self, batch: list[Job]) -> list[Any]:
        """The outcomes of some jobs, in one transaction; in another file if need be."""
        tries = 0
        while True:
            tries += 1
            with self._fence.hold(self._fence_seconds):
                try:
                    return self._committed(batch)
                except sqlite3.Error as error:
                    opened = self._let_go()
                    if tries == _TRIES or not (is_busy(error) or is_damage(error)):
                        raise
                    if is_damage(error) and opened is not None:
                        self._database.set_aside(opened.file, error)

    def _committed(self, batch: list[Job]) -> list[Any]:
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [job.work(connection) for job in batch]
            after = self._before(connection)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        if any(job.frees for job in batch):
            with contextlib.suppress(sqlite3.Error):
                # Not `execute`, which would free one page.
                connection.executescript("PRAGMA incremental_vacuum")
        self._shorten_log(connection)
        after()
        return outcomes

    def _connection(self) -> sqlite3.Connection:
        if self._opened is not None and not self._database.is_current(self._opened):
            self._let_go()
        if self._opened is None:
            if time.monotonic() < self._not_before:
                raise CacheUnusable(self._failed)
            try:
                self._opened = self._database.open(_BUSY_SECONDS)
            except (sqlite3.Error, OSError, CacheUnusable) as error:
                if not (is_busy(error) or is_damage(error)):
                    self._failed = str(error)
                    self._not_before = time.monotonic() + _SECONDS_BETWEEN_TRIES
                raise
            self._renewed()
        return self._opened.connection

    def _let_go(self) -> Opened | None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.connection.close()
        return opened

    def _shorten_log(self, connection: sqlite3.Connection) -> None:
        """Copy a long log into the database. What is committed is safe without it."""
        log = self._database.path.with_name(f"{self._database.path.name}-wal")
        try:
            if log.stat().st_size > _BYTES_OF_LOG:
                connection.execute("PRAGMA busy_timeout = 100")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                connection.execute(f"PRAGMA busy_timeout = {int(_BUSY_SECONDS * 1000)}")
        except (OSError, sqlite3.Error):
            pass  # no log, or others read it: next time

    def _lose(self, batch: list[Job], reason: object) -> None:
        for job in batch:
            if job.lost is None:
                job.end(
                    CacheUnusable(
                        f"the cache index {self._database.path} cannot be written: "
                        f"{reason}. Try again later."
                    )
                )
                continue
            self.lost += 1
            self._database.alarm.warn(self._database.path, reason)
            job.end(job.lost)

    def close(self, seconds: float) -> None:
        """Do what is left, and end the thread.

        Args:
            seconds: How long to wait for that.
        """
        with self._lock:
            self._is_closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            self._fence_seconds = min(seconds, _FENCE_SECONDS_AT_THE_END)
            self._jobs.put(None)
            if thread is threading.current_thread():
                return  # it ends as soon as it looks
            thread.join(seconds)
            if thread.is_alive():
                return  # it holds the connection, and is ended with the process
        if self._opened is not None:
            try:
                with self._fence.hold(_FENCE_SECONDS_AT_THE_END):
                    self._let_go()
            except (FenceBusy, OSError):
                self._let_go()
        self._fence.close()
