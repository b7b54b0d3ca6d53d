"""What the scopes of one runtime share: a loop and its scheduler, settings, observers.

A host is opened late: in plain code its loop, in a helper thread, starts at the first
thing that needs one.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import operator
import os
import threading
from collections.abc import Iterable
from typing import Any, Final

from headrace._concurrency.bodies import block_until
from headrace._concurrency.call_threads import in_new_thread, start_thread
from headrace._concurrency.forks import FORKS
from headrace._concurrency.loops import HelperLoop
from headrace._concurrency.threads import Threads
from headrace._engine.limiting import HostLimits
from headrace._engine.records import ways_to_note
from headrace._engine.results.caches import Caches
from headrace._engine.run_logging import debug_note
from headrace._engine.scheduler import Scheduler
from headrace._engine.scopes import Scope
from headrace.events import Announcer, Observer
from headrace.exceptions import ForkedRuntime
from headrace.futures.watching import settle, tell_loop
from headrace.middleware import AROUND_NOTHING, Around
from headrace.runs import RunLog
from headrace.settings import Settings, current_settings, is_switched_on

__all__ = ("Host", "host_here", "host_of")

# Threads that are idle end in microseconds; one that is not is left to itself.
_SECONDS_TO_END: Final = 1.0

log: Final = logging.getLogger("headrace.engine")


class Host:
    """One loop, one scheduler; opened when first needed, closed by whoever made it."""

    __slots__ = (
        "_caches",
        "_helper",
        "_left",
        "_lock",
        "_max_threads",
        "_root",
        "_settings",
        "announcer",
        "cache",
        "drops_results",
        "forks",
        "is_derived",
        "limits",
        "log",
        "max_pending",
        "middleware",
        "new_key",
        "pid",
        "scheduler",
    )  # fmt: skip

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        observers: Iterable[Observer] = (),
        max_threads: int | None = None,
        limits: HostLimits | None = None,
        max_pending: int | None = None,
        cache: Any = None,
        middleware: Around = AROUND_NOTHING,
    ) -> None:
        self.middleware = middleware
        self._settings = settings
        self._root = self  # the host of the runtime, or outermost flow
        self._caches: Caches | None = None
        self._left: list[str] | None = None  # names, while somebody wants to know
        self.drops_results = False  # whether any of its runs drop theirs from memory
        self.cache = cache  # the index that was given, if one was
        self._max_threads = max_threads
        self.limits, self.max_pending = limits, max_pending
        observers = tuple(observers)
        note = debug_note()
        self.announcer = Announcer(observers, note) if observers or note else None
        self.scheduler: Scheduler | None = None
        self.pid = os.getpid()  # for messages
        self.forks = FORKS.count
        self._helper: HelperLoop | None = None
        self._lock = threading.Lock()
        self.log: RunLog | None = None  # set by a runtime when it opens
        self.is_derived = False
        # A fresh 128-bit identifier: ten random bytes and a count. Without a line of
        # Python, as each run with dependants draws one.
        prefix = int.from_bytes(os.urandom(10)) << 48
        self.new_key = map(prefix.__or__, itertools.count(1)).__next__

    @property
    def settings(self) -> Settings:
        """The settings: those given, else the current ones when first needed."""
        if self._settings is None:
            self._settings = current_settings()
        return self._settings

    @property
    def max_threads(self) -> int:
        """Most plain bodies that run at once."""
        return self._max_threads or self.settings.max_threads

    @property
    def log_prints(self) -> bool:
        """Whether prints are logged where neither a task nor a flow says."""
        return self._is_switched_on("logging_log_prints")

    @property
    def stores_results(self) -> bool:
        """Whether results are stored where neither a task nor a flow says."""
        return self._is_switched_on("results_persist_by_default")

    def _is_switched_on(self, setting: str) -> bool:
        if self._settings is None:
            return is_switched_on(setting)
        return bool(getattr(self._settings, setting))

    @property
    def caches(self) -> Caches:
        """What is known of cached results; made at the first run that asks."""
        if self._root is not self:
            return self._root.caches
        with self._lock:
            if self._caches is None:
                self._caches = Caches(self.settings, self.cache)
            return self._caches

    def derived(self) -> Host:
        """A host with the same options and observers, for another loop."""
        host = Host(settings=self._settings, max_threads=self._max_threads)
        host.limits, host.max_pending = self.limits, self.max_pending
        host.announcer, host.log = self.announcer, self.log
        host.middleware = self.middleware
        host.is_derived = True
        host._root = self._root
        return host

    @property
    def tracks_results(self) -> bool:
        """Whether it is known which run gave which object."""
        return self.settings.track_results

    def is_forked(self) -> bool:
        """Whether this is a child of the process that made this."""
        return FORKS.count != self.forks

    def refuse_fork(self) -> None:
        """Raise ForkedRuntime in a child of the process that made this."""
        if FORKS.count != self.forks:
            raise ForkedRuntime(self.pid, os.getpid())

    # -- what is left behind -----------------------------------------------------

    def watch_left_behind(self) -> list[str]:
        """A list that gets the names of runs whose bodies do not stop, from now on."""
        if self._left is None:
            self._left = []
        return self._left

    def note_left_behind(self, name: str) -> None:
        """The body of a run did not stop, and is left to itself."""
        left = self._root._left  # noqa: SLF001 - of this very class
        if left is not None:
            left.append(name)

    # -- opening -----------------------------------------------------------------

    def open_here(self) -> Scheduler:
        """Use the running loop."""
        self.scheduler = Scheduler(asyncio.get_running_loop(), self)
        return self.scheduler

    def open(self) -> Scheduler:
        """Use a loop in a helper thread, started now if it was not before."""
        with self._lock:
            if self.scheduler is None:
                helper = self._helper = HelperLoop()
                self.scheduler = Scheduler(helper.loop, self)
                self.scheduler.thread_id = helper.thread_id
            return self.scheduler

    # -- closing -----------------------------------------------------------------

    def close(self) -> None:
        """End the threads and the helper loop. Every scope has ended."""
        self._end_log()
        if self._caches is not None and not self.is_forked():
            self._caches.close()
        scheduler = self.scheduler
        if scheduler is None or self.is_forked():
            return
        for threads in scheduler.pools.own():
            threads.close()
        if self._helper is not None:
            try:
                if self.announcer is not None:
                    # Behind all that its observers are still to be told.
                    block_until(lambda fire: scheduler.call(operator.call, fire))
            finally:
                self._helper.close(scheduler.zombies)

    async def aclose(self) -> None:
        """End the threads of a host that uses the running loop."""
        self._end_log()
        scheduler = self.scheduler
        if scheduler is None:
            return
        try:
            if self.announcer is not None:
                told: asyncio.Future[None] = scheduler.loop.create_future()
                scheduler.call(settle, told)
                await told
            if self._caches is not None:
                await in_new_thread(self._caches.close)
            for threads in scheduler.pools.own():
                await _end_of(threads)
        finally:
            for threads in scheduler.pools.own():
                threads.close()

    def drop(self) -> None:
        """Tell the threads to end, and wait for nothing."""
        self._end_log()
        if self._caches is not None:
            start_thread(self._caches.close)
        if self.scheduler is not None:
            for threads in self.scheduler.pools.own():
                threads.close_soon(lambda: None)

    def _end_log(self) -> None:
        """Note no more runs: the log may hold some, which lead here."""
        self.log = None
        scheduler = self.scheduler
        if scheduler is not None:
            ways = ways_to_note(None, is_derived=self.is_derived)
            scheduler.keep, scheduler.kept_whole, scheduler.not_noted = ways

    def stats(self) -> dict[str, int]:
        """Counts of what there is now."""
        scheduler = self.scheduler
        pools = list(scheduler.pools) if scheduler is not None else []
        return {
            "threads": sum([pool.size for pool in pools]),
            "running_threads": sum([pool.running for pool in pools]),
            "abandoned_threads": sum([pool.abandoned for pool in pools]),
            "zombies": len(scheduler.zombies) if scheduler is not None else 0,
            "queued": (
                len(scheduler.ready) + len(scheduler.dispatched)
                if scheduler is not None
                else 0
            ),
        }


async def _end_of(threads: Threads[Any]) -> None:
    """Tell threads to end, and let the loop turn until they have."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    threads.close_soon(lambda: tell_loop(loop, settle, ended))
    await asyncio.wait([ended], timeout=_SECONDS_TO_END)


def host_here(parent: Scope | None, template: Host | None) -> tuple[Host, bool]:
    """The host of a coroutine flow, open on this loop; whether it is its own to close."""
    scheduler = None if parent is None else parent.scheduler
    shares = scheduler is not None and scheduler.is_here()
    host = host_of(parent, template, shares=shares)
    if not shares:
        host.open_here()
    return host, not shares


def host_of(parent: Scope | None, template: Host | None, *, shares: bool) -> Host:
    """The host of a flow: that of the scope around, one like it, or one of its own."""
    if parent is None:
        return template or Host()
    host: Host = parent.host
    return host if shares else host.derived()
