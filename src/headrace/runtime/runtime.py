"""The runtime: one loop for many calls, in a program or in somebody else's service."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from contextvars import Token
from types import TracebackType
from typing import Any, Self, TextIO, cast

from headrace._concurrency.bodies import shielded
from headrace._concurrency.guardian import LoopGuardian
from headrace._engine.host import Host
from headrace._engine.limiting import host_limits
from headrace._engine.records import checked_history, new_log, open_runs
from headrace._engine.scope_ends import (
    block_loop_here,
    drop_scope,
    finish_scope,
    finish_scope_here,
)
from headrace._engine.scopes import Scope
from headrace._engine.snapshots import (
    loop_stack,
    places_of,
    snapshot_of,
    tell_who_holds,
)
from headrace._engine.verdict import log_unseen
from headrace._text import shown
from headrace.callables import misfit
from headrace.context import CURRENT
from headrace.events import Observer
from headrace.exceptions import RunEnded
from headrace.limits import Limit
from headrace.middleware import Middleware, sorted_by_kind
from headrace.option_checks import limit_of
from headrace.runs import RunLog, Runs, RuntimeSnapshot
from headrace.runtime.cache import RuntimeCache
from headrace.runtime.service import Service
from headrace.settings import History, Settings

__all__ = ("Runtime",)


class Runtime(Service):
    """Where tasks run that belong to no flow, and what flows called inside share.

    ``with Runtime():`` in plain code keeps one loop, in a helper thread, for all calls
    in the block. ``async with Runtime():`` uses the running loop. Either makes it
    current for the code in the block and what that starts; code started elsewhere
    joins with `use`. Leaving the block waits for all its runs, or, when an exception
    leaves it, cancels them and waits. Failures that nobody was given are logged. Once
    left it can be entered again, as test clients do with an application.

    Args:
        max_threads: Most plain bodies that run at once; by default as the settings
            say (64).
        max_concurrency: Most submitted runs that go on at once, of either kind; None
            for any number. Those that wait for others do not count.
        max_pending: Most submitted runs that have not begun. Whoever submits more is
            made to wait, by ``await task.submit(...)`` and ``await task.map(...)``, and
            in plain code by the call. Runs that submit others never wait.
        limits: Limits of the runs with a tag, by the tag: a number or a
            `headrace.Limit`. A run with several such tags needs a place in each.
        observers: Hear every state of every run; see `headrace.events.Observer`.
        slow_loop_seconds: Log a WARNING that names the run and the line whenever code
            holds up the event loop so long; None to watch nothing.
        settings: By default those that are current when the block is entered.
        cache: Where it is written down what is cached: a `headrace.caching.CacheStore`
            such as ``MemoryCache()``, which you close; by default as the settings say,
            a file that processes share.
        middleware: Functions that go around the body of each attempt of a task, the
            outermost first, outside of those of the task itself: ``fn(run, call_next)``.
            Coroutine functions go around coroutine tasks, plain ones around plain tasks.
        history: What `runs` tells of each run: all its states ("full"), only the last
            one ("last"), or nothing ("off"); by default as the settings say ("full").

    Raises:
        TypeError: ``observers`` have no ``on_event``, ``middleware`` are no functions,
            ``slow_loop_seconds`` is no number, ``limits`` no mapping of texts to limits.
        ValueError: ``max_threads``, ``max_concurrency`` or ``max_pending`` is no
            positive whole number, ``slow_loop_seconds`` negative, or ``history`` none
            of these.
    """

    def __init__(
        self,
        *,
        max_threads: int | None = None,
        max_concurrency: int | None = None,
        max_pending: int | None = None,
        limits: Mapping[str, int | Limit] | None = None,
        observers: Iterable[Observer] = (),
        middleware: Iterable[Middleware] = (),
        slow_loop_seconds: float | None = None,
        settings: Settings | None = None,
        history: History | None = None,
        cache: Any = None,
    ) -> None:
        _check_count("max_threads", max_threads, "the default of the settings")
        _check_count("max_concurrency", max_concurrency, "any number")
        _check_count("max_pending", max_pending, "any number")
        self._new_host = functools.partial(
            Host,
            settings=settings,
            observers=_checked_observers(observers),
            max_threads=max_threads,
            limits=host_limits(max_concurrency, limits),
            max_pending=max_pending,
            cache=_checked_cache(cache),
            middleware=sorted_by_kind(middleware),
        )
        self._slow_loop_seconds = limit_of(
            "Runtime()", slow_loop_seconds, "slow_loop_seconds"
        )
        self._guardian: LoopGuardian | None = None
        super().__init__(self._new_host())
        self._history: History | None = checked_history(history)
        self._log: RunLog | None = None
        self._token: Token[Any] | None = None

    # -- entering and leaving ------------------------------------------------------

    def __enter__(self) -> Self:
        self._renew()
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        scope = self._close()
        block_loop_here(scope)
        try:
            with shielded():
                finish_scope_here(scope, cancel=error is not None)
        finally:
            self._unguard()
            log_unseen(scope, "the runtime")
            self._host.close()

    async def __aenter__(self) -> Self:
        self._renew()
        self._host.open_here()
        self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        scope = self._close()
        if isinstance(error, GeneratorExit):
            # The coroutine around was closed: nothing can be awaited any more.
            drop_scope(scope)
            self._unguard()
            self._host.drop()
            return
        interrupted = await finish_scope(scope, cancel=error is not None)
        self._unguard()
        log_unseen(scope, "the runtime")
        await self._host.aclose()
        if interrupted is not None and error is None:
            raise interrupted

    def _renew(self) -> None:
        if self._scope is not None and not self._scope.has_ended:
            self._host.refuse_fork()
            raise RuntimeError(
                "this Runtime is entered already. Join it from elsewhere with `with "
                "runtime.use():`, or make another."
            )
        # Not the one made with this object: that may have been in a parent process.
        self._host = self._new_host()
        settings = self._host.settings  # read now, not at the first run
        self._log = self._host.log = new_log(self._history, settings, self._log)

    def _open(self) -> None:
        settings = self._host.settings
        self._scope = Scope(self._host, "runtime")
        self._is_being_left = False
        if settings.logging_log_prints:
            self._scope.look_at_prints()
        self._token = CURRENT.set(self._scope)
        if self._slow_loop_seconds is not None:
            scheduler = self._host.open()
            tell = functools.partial(tell_who_holds, scheduler)
            self._guardian = LoopGuardian(scheduler.loop, self._slow_loop_seconds, tell)

    def _unguard(self) -> None:
        if self._guardian is not None:
            self._guardian.close()

    def _close(self) -> Scope:
        scope, token = self._opened(), self._token
        self._is_being_left = True
        if token is not None:
            # Left in another context than entered, as fixtures of test runners do:
            # what was set there ends with that context.
            with suppress(ValueError):
                CURRENT.reset(token)
        return scope

    # -- using ---------------------------------------------------------------------

    @property
    def runs(self) -> Runs:
        """Its task and flow runs: those that go on, and the latest that have ended.

        Raises:
            RuntimeError: It records nothing: see ``history``.
        """
        if (self._history or self._host.settings.history) == "off":
            raise RuntimeError(
                "this Runtime keeps no records of its runs, as history='off' says. "
                "Write Runtime(history='full'), or 'last' for less, to look them up."
            )
        return Runs(self._log, functools.partial(open_runs, self._scope))

    @property
    def cache(self) -> RuntimeCache:
        """What its tasks have cached: to look at, and to tidy.

        Raises:
            RuntimeError: It is not entered.
        """
        if self._opened().has_ended:
            raise RunEnded(self._opened().kind, "")
        return RuntimeCache(self._host)

    def stats(self) -> dict[str, int]:
        """Counts of what there is now.

        Returns:
            ``open_runs`` (submitted and not ended), ``queued`` (ready to start),
            ``threads`` and ``running_threads`` (workers; bodies at work in them),
            ``abandoned_threads`` (left behind by a time limit or a cancel, and still
            at work), ``zombies`` (coroutine bodies that swallow their cancellation).
        """
        scope = self._scope
        open_runs = scope.open + len(scope.direct) if scope is not None else 0
        return {"open_runs": open_runs, **self._host.stats()}

    def snapshot(self, most_runs: int = 1000) -> RuntimeSnapshot:
        """What each run that has not ended is doing now, and where the loop is.

        From any thread; when code holds up the loop, from another one than that of the
        loop.

        Args:
            most_runs: So many, the oldest; of the others the number is told.
        """
        runs = sorted(open_runs(self._scope), key=lambda run: (run.created, run.number))
        told = runs[:most_runs]
        places = places_of(told)
        return RuntimeSnapshot(
            runs=tuple(snapshot_of(run, places) for run in told),
            more_runs=len(runs) - len(told),
            stats=self.stats(),
            loop=loop_stack(self._host.scheduler),
        )

    def dump(self, file: TextIO | None = None) -> None:
        """Write `snapshot` as text: for a program that seems to hang.

        Args:
            file: Where; by default the standard error.
        """
        (file or sys.stderr).write(str(self.snapshot()))


def _checked_cache(given: Any) -> Any:
    if given is None or all(hasattr(given, verb) for verb in ("get", "put", "gc")):
        return given
    raise TypeError(
        f"Runtime(cache={given!r}): it is no cache store. Give "
        f"headrace.caching.MemoryCache(), headrace.caching.sqlite.SQLiteCache(path), or "
        f"leave it out for the default of the settings."
    )


def _check_count(option: str, given: object, otherwise: str) -> None:
    if given is None:
        return
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ValueError(
            f"Runtime({option}={given!r}): it must be a whole number of at least 1. "
            f"Leave it out for {otherwise}."
        )


def _checked_observers(given: Iterable[Observer]) -> tuple[Observer, ...]:
    whole = cast("object", given)
    if _hears(whole) or not isinstance(whole, Iterable):
        raise TypeError(
            f"Runtime(observers={shown(whole)}): it must be a list of observers. Write "
            f"observers=[headrace.testing.Recorder()]."
        )
    observers = tuple(given)
    for observer in observers:
        if not _hears(observer):
            raise TypeError(
                f"Runtime(observers=...): {shown(observer)} is no observer. Give objects "
                f"with a method on_event(event), such as headrace.testing.Recorder()."
            )
    return observers


def _hears(given: object) -> bool:
    hear = getattr(given, "on_event", None)
    return callable(hear) and misfit(hear, 1) is None
