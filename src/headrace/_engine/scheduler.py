"""Admits submitted runs, starts them in order, and gives each its one final state.

The hot path. Everything here happens on one loop's thread. What it rests on:

* A queued run is one record: no asyncio task, no coroutine, no context of its own.
* A started coroutine run is one ``asyncio.Task`` that no other run shares, so
  ``current_task()``, ``asyncio.timeout``, cancel scopes and ``cancel()`` just work.
* At most `WINDOW` tasks exist that have not taken their first step; when few of these
  are left, a first step starts the next queued runs. So a map of any size keeps few
  young objects alive, and the loop is never held for more than that many first steps.
* A plain run is a job of the worker threads and no asyncio task at all.
* A run that waits (for inputs, for a retry) is a record and at most a timer.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Sequence
from threading import get_ident
from time import time
from typing import Any, Final

from headrace._concurrency.inbox import Inbox
from headrace._engine import (
    limiting,
    run_logging,
    stopping,
    thread_runs,
)
from headrace._engine.coroutine_runs import live
from headrace._engine.deferred import why_held_back, withdrawn
from headrace._engine.families import cancel_children, end_family
from headrace._engine.hooks import hooking
from headrace._engine.hooks.calls import reads_calls
from headrace._engine.hooks.completing import finish_later
from headrace._engine.hooks.threads import HookLine
from headrace._engine.inputs import ALONE, look_for_inputs
from headrace._engine.mapping import NO_KWARGS
from headrace._engine.naming import name_held_back
from headrace._engine.outcomes import Outcome, may_retry
from headrace._engine.places import pool_for
from headrace._engine.pools import Pools
from headrace._engine.records import note_end, ways_to_note
from headrace._engine.results.steps import preload_inputs
from headrace._engine.retrying import retry_later
from headrace._engine.waking import Waker
from headrace.events import Announcer
from headrace.exceptions import BlockedLoop, CancelledRun
from headrace.futures import TaskFuture
from headrace.futures.admission import Admission
from headrace.futures.resolve import ATOMS
from headrace.futures.waiters import with_one
from headrace.futures.watching import tell_loop
from headrace.runs.ended import TRIM_AFTER
from headrace.states import FINAL, State, StateType

__all__ = ("WINDOW", "Scheduler")

WINDOW: Final = 64

_TASK: Final[Any] = asyncio.Task
# A member looked up on its Enum costs 40 ns on 3.11, a global 5 ns.
_PENDING: Final = StateType.PENDING
_SCHEDULED: Final = StateType.SCHEDULED
_COMPLETED: Final = StateType.COMPLETED
_FAILED: Final = StateType.FAILED
_CANCELLED: Final = StateType.CANCELLED


class Scheduler:
    """Runs everything that is submitted to the scopes of one host, on one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, host: Any) -> None:
        self.loop = loop
        self.host = host
        self.thread_id = get_ident()
        self.inbox = Inbox(loop)
        self.call = self.inbox.post
        # loop.create_task adds 0.3 us; a host's task factory is honoured all the same.
        # The bare class: calling asyncio.Task[Any] takes 0.2 us more.
        self.has_factory = loop.get_task_factory() is not None
        own = functools.partial(asyncio.Task, loop=loop)
        self.new_task: Any = loop.create_task if self.has_factory else own
        self.announcer: Announcer | None = host.announcer
        if self.announcer is not None:
            self.announce = self.announcer.announce
        # Whether somebody is told of every state, or of every hook.
        self.is_watched = self.announcer is not None or reads_calls()
        self.limits = host.limits
        if self.limits is not None:
            # Instead of a look at each run of the others.
            self.admit = self._admit_under_limits  # type: ignore[method-assign]
        most: int | None = host.max_pending
        self.admission = None if most is None else Admission(most)
        # Whether there is something to look at for each run that is submitted.
        self.looks_at_each = self.limits is not None or most is not None
        self.granted: deque[TaskFuture[Any]] = deque()  # whose places are there
        self.ready: deque[TaskFuture[Any]] = deque()
        self.starting = 0  # tasks made that have not taken their first step
        self.submits_in_a_row = 0
        self.view: Any = None  # the last that hooks were given, if none kept it
        self.zombies: set[asyncio.Task[Any]] = set()
        self.helpers: set[asyncio.Task[Any]] = set()
        perform = functools.partial(thread_runs.perform, self)
        self.pools = Pools(perform, host)
        self.dispatched: set[Any] = set()  # plain runs that no thread has taken yet
        self.hook_line = HookLine(self, finish_later)
        ways = ways_to_note(host.log, is_derived=host.is_derived)
        self.keep, self.kept_whole, self.not_noted = ways
        self.until_trim = TRIM_AFTER
        self.waker = Waker(loop, self._inputs_ended, self.admit)
        self.wake = self.waker.wake

    def is_here(self) -> bool:
        """Whether the present code runs on this scheduler's loop."""
        return asyncio._get_running_loop() is self.loop  # noqa: SLF001 - 30 ns

    # -- in ------------------------------------------------------------------------

    def take(self, run: TaskFuture[Any], wait_for: object = None) -> None:
        """Schedule a run. Nothing of its body happens inside this call."""
        scope = run.scope
        scope.open += 1
        if self.announcer is not None:
            self.announce(run)
        has_inputs = wait_for is not None or run.kwargs is not NO_KWARGS
        try:
            for value in run.args:
                if type(value) not in ATOMS:
                    has_inputs = True
                    break
            if has_inputs and look_for_inputs(run, wait_for):
                self._await_inputs(run)
                return
        except Exception as error:  # noqa: BLE001 - users' types may raise anything
            self.conclude(run, _FAILED, error)
            return
        self.admit(run)

    def take_wait(self, item: tuple[TaskFuture[Any], object]) -> None:
        """`take` for the inbox, which passes one item."""
        run, wait_for = item
        if run.scope.has_ended:
            self._came_too_late(run)
        else:
            self.take(run, wait_for)

    def take_looked(self, runs: Sequence[TaskFuture[Any]]) -> None:
        """Schedule runs whose inputs were looked for in another thread, in order."""
        for run in runs:
            if run.scope.has_ended:
                self._came_too_late(run)
                continue
            run.scope.open += 1
            if self.announcer is not None:
                self.announce(run)
            if run.upstreams is None:
                self.admit(run)
                continue
            try:
                self._await_inputs(run)
            except Exception as error:  # noqa: BLE001 - a loop may be blocked
                self.conclude(run, _FAILED, error)

    def _came_too_late(self, run: TaskFuture[Any]) -> None:
        """End a run whose scope ended while it was on its way from another thread."""
        run.scope.open += 1
        text = f"{run.scope.kind} has ended."
        self.conclude(run, _CANCELLED, CancelledRun(text))

    def _await_inputs(self, run: TaskFuture[Any]) -> None:
        required: Any = run.upstreams
        rare = run.rare
        if rare is None and type(required) is ALONE:  # after one run, as in a chain
            source: Any = required[0]
            if source.phase not in FINAL and source.scope.scheduler is self:
                run.missing, others = 1, source.waiters
                source.waiters = run if others is None else with_one(others, run)
                run.scope.waiting.add(run)
                return
        tolerated = rare.tolerated if rare is not None else None
        run.missing = 0
        if rare is not None and rare.turn is not None:
            run.missing = 1
            rare.turn.tell(functools.partial(self.waker.wake_dependant, run))
            rare.turn = None
        for source in (*required, *tolerated) if tolerated else required:
            if not isinstance(source, State) and source.phase not in FINAL:
                run.missing += 1
                self.await_upstream(run, source)
        if run.missing:
            run.scope.waiting.add(run)
        else:
            self._inputs_ended(run)

    def await_upstream(self, waiter: Any, source: Any) -> None:
        """Wake a run, or call what else waits, when a run has ended.

        Raises:
            BlockedLoop: It needs a loop that waits for this very scope.
        """
        if source.scope.scheduler is self:
            source.add_waiter(waiter)
            return
        way_around = waiter.scope.way_around(source.scope.scheduler.loop)
        if way_around is not None:
            reason = f"the run {source.name!r} is not done"
            raise BlockedLoop(waiter.name, reason, way_around)

        def ended(_: object) -> None:
            # A run of another runtime: its loop tells ours.
            tell_loop(
                self.loop, functools.partial(self.waker.wake_waiter, source, waiter)
            )

        source.watch(ended)

    def _inputs_ended(self, run: TaskFuture[Any]) -> None:
        rare = run.rare
        if rare is not None and rare.tolerated is not None:
            for source in rare.tolerated:
                if type(source) is not State:
                    source.see()
            rare.tolerated = None
        for source in run.upstreams:
            kind = source.type if type(source) is State else source.phase
            if kind is not _COMPLETED:
                self._hold_back(run)
                return
        if self.host.drops_results:
            preload_inputs(self, run)
        else:
            self.admit(run)

    def _hold_back(self, run: TaskFuture[Any]) -> None:
        name_held_back(run)
        phase, error = why_held_back(run, run.upstreams)
        self.finish(run, phase, error)

    # -- start -----------------------------------------------------------------------

    def admit(self, run: TaskFuture[Any]) -> None:
        """Inputs are there and the time has come: start the run, or queue it."""
        spec = run.spec
        if run.scope.is_cancelled:
            self.conclude(run, _CANCELLED, withdrawn(run))
            return
        if spec.limit is not None and not limiting.has_places(self, run):
            return
        if spec.is_async or run.scope.place is not None:
            if self.ready or self.starting >= WINDOW:
                self.ready.append(run)
            else:
                self._start(run)
        else:
            run.scope.active.add(run)
            self.dispatched.add(run)
            pool_for(run, self).put(run)

    def _admit_under_limits(self, run: TaskFuture[Any]) -> None:
        if run.scope.is_cancelled or limiting.has_places(self, run):
            Scheduler.admit(self, run)

    def fill(self) -> None:
        """Start what is ready, as far as the window allows.

        While something is ready, a first step is due, and it calls this: so no run is
        forgotten.
        """
        ready = self.ready
        while ready and self.starting < WINDOW:
            run = ready.popleft()
            if run.phase is not _PENDING and run.phase is not _SCHEDULED:
                continue  # it was withdrawn
            # One that is withdrawn has something rare, and is settled before its hooks.
            if run.rare is None or not run.is_settled:
                self._start(run)

    def _start(self, run: TaskFuture[Any]) -> None:
        run.scope.active.add(run)
        self.starting += 1
        coro = live(run, self)
        # Runs to the gate. A task cancelled before its first step throws into its
        # coroutine, and one that never ran would skip all of its code: a lost run.
        coro.send(None)
        # A given name saves formatting "Task-123" (0.25 us on 3.11).
        name, context = run.spec.name, run.context.copy()
        if self.has_factory:
            run.handle = self.new_task(coro, name=name, context=context)
        else:  # the same, without a partial (0.1 us)
            run.handle = _TASK(coro, loop=self.loop, name=name, context=context)

    def spawn(self, coro: Any, *, name: str) -> asyncio.Task[Any]:
        """Start a coroutine of the engine's own, and keep it alive until it ends."""
        task: asyncio.Task[Any] = self.new_task(coro, name=name)
        self.helpers.add(task)
        task.add_done_callback(self.helpers.discard)
        return task

    # -- end -------------------------------------------------------------------------

    def attempt_ended(
        self,
        run: TaskFuture[Any],
        outcome: Outcome,
        *,
        may_go_on: bool = True,
        conclude: Callable[..., None] = hooking.conclude,
    ) -> None:
        """An attempt is over: attempt again, or end the run.

        Args:
            run: The run.
            outcome: How the attempt ended.
            may_go_on: Whether another attempt may follow.
            conclude: Ends a run that has hooks.
        """
        if run.phase in FINAL:
            return  # it had been abandoned, and this is its late outcome
        phase, data = outcome
        rare = run.rare
        if rare is not None:
            if rare.timer is not None:
                rare.timer.cancel()
                rare.timer = None
            if rare.stop is not None and rare.children:
                cancel_children(run)
            if rare.claim is not None:
                limiting.give_back(run, outcome)
        if phase is _FAILED and may_go_on and may_retry(run, phase):
            run.scope.active.discard(run)
            retry_later(self, run, data)
        elif run.spec.hooks is None:
            self.finish(run, phase, data)
        else:
            conclude(self, run, phase, data)

    def conclude(self, run: TaskFuture[Any], phase: StateType, data: object) -> None:
        """End a run: have its hooks called, if there are any, and finish it."""
        hooking.conclude(self, run, phase, data)

    def finish_settled(self, run: TaskFuture[Any]) -> None:
        """Finish a run whose state is decided, its hooks having been called."""
        if run.phase not in FINAL:
            # As its hooks were told.
            self.finish(run, run.settled.type, run.outcome, run.ended)

    def finish(
        self,
        run: TaskFuture[Any],
        phase: StateType,
        outcome: object,
        ended: float | None = None,
    ) -> None:
        """Give a run its final state, let go of all it needed, wake who waits."""
        run.outcome = outcome
        run.ended = ended or time()
        scope = run.scope
        rare, kind = run.rare, type(outcome)
        if kind in self.kept_whole and rare is None and run.spec.is_lasting:
            self.keep(run)
            self.until_trim -= 1
            if not self.until_trim:
                self.until_trim = TRIM_AFTER
                self.host.log.trim()
        elif kind not in self.not_noted:
            note_end(run, phase)
        # Last: whoever reads a final phase, on any thread, finds the rest there.
        if phase is _COMPLETED:
            run.phase = phase
        else:
            # Whoever cancelled a scope need not be told of its runs.
            run.seen = run.seen or (phase is _CANCELLED and scope.is_cancelled)
            if not run.seen:
                scope.unseen.add(run)
            run.phase = phase
            run_logging.ended(run)
        if rare is not None:
            end_family(run, phase)
        if self.announcer is not None:
            self.announce(run)
        run.args = ()
        run.kwargs = NO_KWARGS
        run.context = run.handle = run.upstreams = None
        scope.active.discard(run)
        scope.open -= 1
        if run.waiters is not None:
            self.wake(run)
        if scope.on_idle is not None and not scope.open:
            scope.check_idle()

    def cancel(self, run: TaskFuture[Any]) -> None:
        """See `headrace._engine.stopping.cancel`."""
        stopping.cancel(self, run)

    def cancel_many(self, runs: Sequence[TaskFuture[Any]]) -> None:
        """See `headrace._engine.stopping.cancel_many`."""
        stopping.cancel_many(self, runs)
