"""A scope: what runs belong to, and what waits for all of them.

A flow run, a runtime and a stand-alone call each are one. A scope ends when its body
and every run in it have ended, and nothing is admitted after that.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from typing import Any, Final
from uuid import UUID

from headrace._concurrency.forks import FORKS
from headrace._engine.closing import refuse_from_outside
from headrace._engine.known import KnownResults
from headrace._engine.unseen import Unseen
from headrace.context import CURRENT
from headrace.exceptions import RunEnded
from headrace.logging.prints import log_prints_for, print_again_for
from headrace.middleware import AROUND_NOTHING
from headrace.runs import Record, ScopeFacts

__all__ = ("Scope", "context_of")

# Held only to make what few scopes have.
_MAKING: Final = threading.Lock()


class Scope:
    """Keeps account of the runs that belong together.

    What is written on the loop of its scheduler alone: ``open``, ``active``,
    ``waiting``. The rest is safe from any thread under the interpreter's lock.

    Attributes:
        kind: For messages: "flow run", "runtime", "task run".
        host: What it shares with other scopes: scheduler, settings, observers.
        owner: The record of the flow run this is the scope of, if it is one; None
            again once that has its final state.
        scheduler: Runs what is submitted; set by `opened`.
        door: The same, while that takes runs without a further look at it and at this.
        open: Submitted runs without a final state.
        active: Runs that have been started and have not ended.
        waiting: Runs that wait for inputs or for a retry.
        direct: Runs called or awaited in place, and sub-flows, that have not ended.
        streams: Streams that may still make runs.
        unseen: Failures that nobody was given.
        is_bare: Whether the attempts of its runs take the usual steps and no more.
        is_sequential: Whether a run waits for the one submitted before it.
        runner: The task runner of its flow, if that was given one.
        place: Where bodies go on, if the runner takes them elsewhere.
        threads: Worker threads of its own, if the runner has any.
        kept: What runs have given, for a flow that may run its body again; else None.
        is_cancelled: Whether everything in it ends as Cancelled from here on.
        is_closing: Whether it admits only what its own runs submit, and its visits.
        visits: Requests that go on, and may finish what they do.
        has_ended: Whether it admits nothing any more.
        body: The asyncio task its own body runs in, which ends by itself.
        blocks: The loop that its plain body found running in its thread, and that
            cannot go on before the body ends.
        counters: Number the runs of each task, by its key; see `counter`.
        known: Which objects its runs gave; None before the first that can be known.
        stores_results: Whether results of its runs are stored where their task does not
            say.
        plans: What becomes of the results of its tasks, by their specs; weakly.
        looks_at_prints: Whether prints are looked at on behalf of it.
    """

    __slots__ = (
        "_ended", "_facts", "active", "blocks", "body", "counters", "direct", "door", "forks",
        "has_ended", "host", "is_bare", "is_cancelled", "is_closing", "is_sequential",
        "kept", "kind", "known", "looks_at_prints", "new_key", "on_idle", "open", "owner", "parent",
        "place", "plans", "runner", "scheduler", "stores_results", "streams",
        "threads", "unseen", "visits", "waiting",
    )  # fmt: skip

    has_dependants: Final = False  # see `headrace.runs.Record`

    def __init__(
        self,
        host: Any,
        kind: str,
        *,
        parent: Scope | None = None,
        owner: Record | None = None,
    ) -> None:
        self.host = host
        self.forks: int = host.forks
        self.new_key: Callable[[], int] = host.new_key  # see `headrace.runs.Scoped`
        self.kind = kind
        self.parent = parent
        self.owner = owner
        # Name and id of the flow run, name of the flow.
        self._ended: tuple[str, int, str] | None = None
        self.scheduler: Any = host.scheduler
        self.door: Any = None
        self.open = 0
        self.active: set[Any] = set()
        self.waiting: set[Any] = set()
        self.direct: set[Any] = set()
        self.streams: set[Any] = set()
        self.unseen = Unseen()
        self.stores_results: bool = _stores_results(host, parent, owner)
        has_more = self.stores_results or host.middleware is not AROUND_NOTHING
        self.is_bare = not has_more and host.max_pending is None
        self.plans: Any = None
        self.is_cancelled = False
        self.is_closing = False
        self.visits: set[Any] = set()
        self.has_ended = False
        self.on_idle: Callable[[], object] | None = None
        self.body: Any = None
        self.blocks: Any = None
        self.kept: dict[tuple[str, int], Any] | None = None
        self.runner: Any = None
        self.place: Any = None
        self.threads: Any = None
        self.is_sequential = False
        self.looks_at_prints = False
        self.known: KnownResults | None = None
        self._facts: ScopeFacts | None = None
        self.counters: dict[str, Iterator[int]] = {}

    @property
    def scope(self) -> Scope:
        """Itself: present code may belong to nothing but a scope."""
        return self

    @property
    def is_plain_body(self) -> bool:
        """A bare scope is not the body of anything."""
        return False

    @property
    def name(self) -> str:
        """For messages."""
        if self._ended is not None:
            return self._ended[0]
        return self.owner.name if self.owner is not None else ""

    @property
    def flow_name(self) -> str | None:
        """The name of the flow, if this is the scope of a flow run."""
        if self._ended is not None:
            return self._ended[2]
        return None if self.owner is None else self.owner.spec.name

    @property
    def id(self) -> str | None:
        """See `headrace.runs.Scoped.id`."""
        key = self.flow_key()
        return None if key is None else str(UUID(int=key))

    def flow_key(self) -> int | None:
        """See `headrace.runs.Scoped.flow_key`."""
        if self._ended is not None:
            return self._ended[1]
        return None if self.owner is None else self.owner.run_key()

    def facts(self) -> ScopeFacts:
        """What records keep of it; the same object each time."""
        facts = self._facts
        if facts is None:
            facts = self._facts = ScopeFacts(self.flow_key())
        return facts

    def counter(self, task_key: str) -> Iterator[int]:
        """Numbers the runs of one task, in the order of the calls (RNAME-02)."""
        counter = self.counters.get(task_key)
        if counter is None:
            counter = self.counters.setdefault(task_key, itertools.count())
        return counter

    def dynamic_keys(self) -> dict[str, int]:
        """Of each task key, the number that its latest run was given."""
        # count(3) is what gives 3 next; looking at it must not take it.
        return {
            key: int(repr(counter)[len("count(") : -1]) - 1
            for key, counter in tuple(self.counters.items())
        }

    def opened(self) -> Any:
        """The scheduler, opened now if nothing was submitted before.

        Raises:
            RunEnded: The scope has ended.
            ForkedRuntime: It was made in the parent of this process.
        """
        self.host.refuse_fork()
        if self.has_ended:
            raise RunEnded(self.kind, self.name)
        if self.scheduler is None:
            self.scheduler = self.host.open()
        return self.scheduler

    def admitting(self) -> Any:
        """`opened`, for new work of the present code.

        Raises:
            RuntimeClosing: It is closing, and the present code is none of its runs.
        """
        if self.is_closing:
            refuse_from_outside(self)
        return self.opened()

    def open_door(self) -> None:
        """Set `door`, unless there is something to look at for each run."""
        if not (self.scheduler.looks_at_each or self.is_sequential):
            self.door = self.scheduler
        # Other threads may shut it meanwhile: they say so before they do.
        if self.has_ended or self.is_closing:
            self.door = None

    def close(self) -> None:
        """Admit only what its own runs submit, and its visits."""
        self.is_closing = True
        self.door = None

    def shut(self) -> None:
        """Admit nothing any more."""
        self.has_ended = True
        self.door = None

    def way_around(self, loop: Any) -> str | None:
        """What to await in place of the plain body that blocks a loop.

        None unless this scope is part of such a body, so that no run in it may wait
        for one of that loop.
        """
        scope: Scope | None = self
        while scope is not None:
            if scope.blocks is loop:
                if scope.kind == "runtime":
                    return "async with Runtime() as runtime: ..."
                owner: Any = scope.owner
                return f"await {owner.spec.name if owner else 'task'}.acall(...)"
            scope = scope.parent
        return None

    def way_around_for_us(self) -> str | None:
        """`way_around` for the present code and the loop of this scope."""
        holder = CURRENT.get(None)
        if holder is None:
            return None
        way: str | None = holder.scope.way_around(self.scheduler.loop)
        return way

    def seen(self, run: Any) -> None:
        """Somebody was given the outcome of a run that did not complete."""
        self.unseen.discard(run)

    def make_plans(self) -> Any:
        """Where plans are found, made now unless another thread has made it."""
        with _MAKING:
            if self.plans is None:
                self.plans = weakref.WeakKeyDictionary()
            return self.plans

    # -- another attempt of a flow ------------------------------------------------

    def keep_results(self) -> None:
        """Remember what runs give, so that another attempt need not execute them."""
        self.kept = {}
        self.is_bare = False

    def calm_down(self) -> None:
        """Its runs have ended: it is cancelled only if what it belongs to is."""
        self.is_cancelled = self.parent is not None and self.parent.is_cancelled

    def reopen(self) -> None:
        """Take runs again, numbered from the start."""
        self.has_ended = False
        self.counters.clear()
        self.unseen.clear()

    # -- prints ------------------------------------------------------------------

    @property
    def log_prints(self) -> bool:
        """Whether what runs in it print is logged, where their tasks do not say."""
        owner = self.owner
        said: bool | None = None if owner is None else owner.spec.log_prints
        if said is not None:
            return said
        if self.parent is not None:
            return self.parent.log_prints
        default: bool = self.host.log_prints
        return default

    def look_at_prints(self) -> None:
        """Have prints looked at until it ends: something in it may log them."""
        if not self.looks_at_prints:
            self.looks_at_prints = True
            log_prints_for(self)
            if self.has_ended:
                self.print_again()  # as nobody will, from here on

    def print_again(self) -> None:
        """What it was looked at for has ended."""
        if self.looks_at_prints:
            self.looks_at_prints = False
            print_again_for(self)

    # -- direct runs -------------------------------------------------------------

    def enter(self, run: Record) -> None:
        """A run is called or awaited in place. Follow with `leave` in every case.

        Raises:
            RunEnded, RuntimeClosing, ForkedRuntime: See `admitting`.
        """
        if self.has_ended or self.is_closing or FORKS.count != self.forks:
            self.host.refuse_fork()
            if self.has_ended:
                raise RunEnded(self.kind, self.name)
            refuse_from_outside(self)
        self.direct.add(run)

    def leave(self, run: Record) -> None:
        """It has ended."""
        self.direct.discard(run)
        if self.on_idle is not None:
            self.check_idle()

    # -- the end -----------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether every run in it has ended, and no stream may make others."""
        return not self.open and not self.direct and not self.streams

    def tell_when_idle(self, tell: Callable[[], object]) -> None:
        """Have somebody told, once, that every run has ended. On the loop."""
        before = self.on_idle

        def both() -> None:
            if before is not None:
                before()
            tell()

        self.on_idle = tell if before is None else both
        self.check_idle()

    def check_idle(self) -> None:
        """Tell who waits for it that every run has ended, if so.

        A stream that nobody reads any more would wait for ever: it ends first.
        """
        tell = self.on_idle
        if tell is None or self.open or self.direct:
            return
        for stream in tuple(self.streams):
            stream.end()
        if self.is_idle and self.on_idle is tell:
            self.on_idle = None
            tell()

    def has_only_streams(self) -> bool:
        """Whether nothing goes on but runs of streams, so that nobody here reads them."""
        own = sum([stream.count_open() for stream in tuple(self.streams)])
        return not self.direct and self.open <= own

    def let_go(self) -> None:
        """Its flow run has its final state: keep what is asked for later, no more.

        So that neither the one nor the other waits for the garbage collector.
        """
        owner = self.owner
        if owner is not None:
            self._ended = owner.name, owner.run_key(), owner.spec.name
            self.owner = None
        self.body = self.blocks = self.kept = None
        self.runner = self.place = self.threads = None
        self.print_again()
        self.unseen.clear()
        self.forget_results()

    def forget_results(self) -> None:
        """No run of it follows that could be given what earlier ones gave."""
        if self.known is not None:
            self.known.clear()


def _stores_results(host: Any, parent: Scope | None, owner: Any) -> bool:
    """Argument of the flow, else as around it, else as the settings say."""
    said = None if owner is None else owner.spec.results
    if said is not None and said.persist is not None:
        return bool(said.persist)
    return bool(host.stores_results if parent is None else parent.stores_results)


def context_of(run: Any) -> Context:
    """A fresh context for code of the user that belongs to a run."""
    context: Context = copy_context() if run.context is None else run.context.copy()
    context.run(CURRENT.set, run)
    return context
