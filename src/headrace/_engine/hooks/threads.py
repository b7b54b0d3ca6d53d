"""Plain hooks in worker threads: in as few as keep up with them.

Where runs end faster than a thread can be woken for each, one thread calls the hooks of
all. Where hooks block, it has help within `_SECONDS_TO_HELP`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, Final

from headrace._concurrency.bodies import ThreadFace
from headrace._engine.hooks.calls import call_stoppable, note_call
from headrace._engine.scopes import context_of
from headrace._engine.stopping import leave_thread_behind, stop_thread
from headrace._engine.thread_calls import ThreadCall
from headrace._text import one_line
from headrace.hooks import Hook
from headrace.states import State

__all__ = ("HookJob", "HookLine")

log: Final = logging.getLogger("headrace.hooks")

# How long a thread may take for what many others wait behind.
_SECONDS_TO_HELP: Final = 0.004

# What is gathered for a thread, as long as there is more to come.
_JOBS_TO_GATHER: Final = 2048
_TURNS_TO_GATHER: Final = 32

# Jobs that a thread does in that time unless they block, or take 80 us and more each.
_KEEPS_UP: Final = 50


class HookJob:
    """Some plain hooks of one run, to be called one after the other.

    A run that completed, and of which there is no more to say, is in line as it is.

    Args:
        run: The run that they are told of.
        hooks: The hooks.
        state: The state that the run has entered.
        context: What they are called in; None for that of the run.
        then: Called with the run, on the loop of the scheduler, when they have ended.
    """

    __slots__ = ("context", "hooks", "run", "state", "then")

    def __init__(
        self,
        run: Any,
        hooks: tuple[Hook, ...],
        state: State[Any],
        context: Context | None,
        then: Callable[[Any], object],
    ) -> None:
        self.run = run
        self.hooks = hooks
        self.state = state
        self.context = context
        self.then = then

    def end(self) -> None:
        """Go on with the run. On the loop."""
        self.then(self.run)


class HookLine:
    """The hooks that wait for a thread, and the threads that call them.

    Args:
        scheduler: Whose runs they are told of.
        finish: What comes after the hooks of a run that is in line as it is.

    Attributes:
        jobs: Those in line: of class `HookJob`, or runs.
        done: How many were done; a count for comparisons, which may miss some.
    """

    __slots__ = (
        "_at_work", "_callers", "_has_understudy", "_is_gathering", "_lock",
        "_scheduler", "_timer", "_turns", "done", "finish", "jobs",
    )  # fmt: skip

    def __init__(self, scheduler: Any, finish: Callable[[Any], object]) -> None:
        self.jobs: deque[Any] = deque()
        self.done = 0
        self.finish = finish
        self._scheduler = scheduler
        self._lock = threading.Lock()
        self._at_work = 0  # callers that take jobs, or are about to
        self._callers: dict[_Caller, None] = {}  # written on the loop
        self._has_understudy = False
        self._timer: asyncio.TimerHandle | None = None
        self._is_gathering = False
        self._turns = 0  # of the loop, since jobs are gathered

    def add(self, job: Any) -> None:
        """Have a job done, of class `HookJob` or a run. On the loop."""
        # Put in line before the count is read, as callers lower that before they look
        # at the line for the last time: one of the two sees the other.
        self.jobs.append(job)
        if self._is_gathering:
            return  # the next turn looks
        if not self._at_work:
            self._start_soon()
        elif not self._has_understudy:
            self._gather()

    def _start_soon(self) -> None:
        """Start a caller, in some turns of the loop if other runs end in these.

        A change of threads takes longer than the hooks of a hundred runs that return
        soon. Where nothing else is about to start, there is nothing to wait for.
        """
        is_ripe = not self._scheduler.ready or self._turns >= _TURNS_TO_GATHER
        if is_ripe or len(self.jobs) >= _JOBS_TO_GATHER:
            self._turns = 0
            self._start(is_understudy=False)
        else:
            self._gather()

    def _gather(self) -> None:
        """Look again in the next turn of the loop."""
        if not self._is_gathering:
            self._is_gathering = True
            self._scheduler.loop.call_soon(self._turn, context=Context())

    def _turn(self) -> None:
        # An understudy is made late as well: most lines are empty by then.
        self._is_gathering = False
        self._turns += 1
        if not self.jobs:
            self._turns = 0
        elif not self._at_work:
            self._start_soon()
        elif self._has_understudy:
            self._turns = 0
        elif self._turns < _TURNS_TO_GATHER:
            self._gather()
        else:
            self._turns = 0
            self._have_understudy()

    def _have_understudy(self) -> None:
        self._has_understudy = self._at_work < self._scheduler.host.max_threads
        if self._has_understudy:
            self._start(is_understudy=True)

    def _start(self, *, is_understudy: bool) -> None:
        if not is_understudy:
            with self._lock:
                self._at_work += 1
        caller = _Caller(self, self._scheduler, is_understudy=is_understudy)
        self._callers[caller] = None
        if self._timer is None:
            self._look_in(self._limit)
        self._scheduler.pools.hook_threads().put(caller.call)

    def _help(self, count: int) -> None:
        """Start so many callers more, and another understudy. On the loop."""
        most: int = self._scheduler.host.max_threads
        for _ in range(min(count, len(self.jobs), most - self._at_work)):
            self._start(is_understudy=False)
        self._has_understudy = False
        if self.jobs:
            self._have_understudy()

    # -- in the threads ------------------------------------------------------------

    def keeps_up(self) -> bool:
        """Wait until the line is empty, or moves on too slowly. In an understudy."""
        pause = threading.Event()
        while True:
            while self.jobs:
                before = self.done
                pause.wait(_SECONDS_TO_HELP)
                if self.jobs and self.done - before < _KEEPS_UP * self._at_work:
                    return False
            # In this order, as in `is_over`.
            self._has_understudy = False
            if not self.jobs:
                return True
            self._has_understudy = True

    def step_in(self) -> None:
        """An understudy goes to work, with as many others as there are."""
        with self._lock:
            count = self._at_work
            self._at_work += 1
        self._scheduler.call(self._help, count)

    def is_over(self) -> bool:
        """Whether a caller that found no job may end."""
        with self._lock:
            self._at_work -= 1
        if not self.jobs:
            return True
        with self._lock:
            self._at_work += 1
        return False

    # -- limits, on the loop ---------------------------------------------------------

    def whole(self, job: Any) -> HookJob:
        """What is in line, with all that is to be known of it."""
        if type(job) is HookJob:
            return job
        hooks: tuple[Hook, ...] = job.spec.hooks.completion
        return HookJob(job, hooks, job.settled, None, self.finish)

    def left(self, caller: _Caller) -> None:
        """A caller has ended."""
        self._callers.pop(caller, None)
        if not self._callers and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def lost(self, caller: _Caller) -> None:
        """A caller is not counted on any more."""
        self.left(caller)
        with self._lock:
            self._at_work -= 1
        if self.jobs:
            self._start(is_understudy=False)

    @property
    def _limit(self) -> float:
        seconds: float = self._scheduler.host.settings.hook_timeout_seconds
        return seconds

    def _look_in(self, seconds: float) -> None:
        # In a context of nobody: that of the present run would keep it alive.
        loop: asyncio.AbstractEventLoop = self._scheduler.loop
        self._timer = loop.call_later(seconds, self._look, context=Context())

    def _look(self) -> None:
        self._timer = None
        limit, now = self._limit, self._scheduler.loop.time()
        soonest = limit
        for caller in list(self._callers):
            left = limit if caller.began is None else caller.began + limit - now
            if left <= 0:
                caller.stop()
            else:
                soonest = min(soonest, left)
        if self._callers:
            self._look_in(soonest)


class _Caller:
    """Calls hooks in one thread, job after job, as long as there are any.

    Attributes:
        began: When the present hook was called, on the clock of the loop; None if none is.
        call: The job of the worker threads that this is.
    """

    __slots__ = (
        "_face", "_index", "_is_given_up", "_is_pressed", "_is_understudy", "_job",
        "_line", "_lock", "_scheduler", "began", "call",
    )  # fmt: skip

    def __init__(self, line: HookLine, scheduler: Any, *, is_understudy: bool) -> None:
        self._line = line
        self._scheduler = scheduler
        self._is_understudy = is_understudy
        self._face: ThreadFace | None = None
        self._job: Any = None
        self._index = 0
        self._is_pressed = False  # whether a hook of it was ever over its limit
        self._is_given_up = False
        self._lock = threading.Lock()
        self.began: float | None = None
        self.call = ThreadCall(self._work, "hooks")

    def _work(self, face: ThreadFace) -> None:
        self._face = face
        line = self._line
        try:
            if self._is_understudy:
                if line.keeps_up():
                    return
                line.step_in()
            hand: list[Any] = []
            hand_over = self._scheduler.inbox.hand_over
            while True:
                try:
                    hand.append(line.jobs.popleft())
                except IndexError:
                    if line.is_over():
                        return
                    continue
                self._do(hand[0], face)
                if self._is_given_up:
                    return  # another thread does the rest
                line.done += 1
                hand_over(
                    HookJob.end if type(hand[0]) is HookJob else line.finish, hand
                )
        except RuntimeError:
            return  # the loop has closed: nobody is left to tell
        finally:
            self._tell_end()

    def _tell_end(self) -> None:
        if self._is_given_up:
            return
        try:
            self._scheduler.call(self._line.left, self)
        except RuntimeError:
            return  # as above

    def _do(self, job: Any, face: ThreadFace) -> None:
        self._index = 0
        self._job = job
        if type(job) is HookJob:
            context = context_of(job.run) if job.context is None else job.context
            context.run(self._call_each, face, job.run, job.hooks, job.state)
        else:
            hooks = job.spec.hooks.completion
            context_of(job).run(self._call_each, face, job, hooks, job.settled)

    def _call_each(
        self, face: ThreadFace, run: Any, hooks: tuple[Hook, ...], state: State[Any]
    ) -> None:
        view, time = run.view(), self._scheduler.loop.time
        is_watched = self._scheduler.is_watched
        for hook in hooks:
            if is_watched:
                note_call(hook, run)
            self.began = time()
            call_stoppable(face, hook, run, view, state)
            self._index += 1
            # Read after that: either `_give_up` sees the new index, or this its mark.
            if self._is_pressed and self._is_left():
                return
        self.began = self._job = None

    def _is_left(self) -> bool:
        with self._lock:
            return self._is_given_up

    # -- on the loop -----------------------------------------------------------------

    def stop(self) -> None:
        """Interrupt a hook that is over its limit, and leave its thread if need be."""
        settings, loop = self._scheduler.host.settings, self._scheduler.loop
        face, job, index = self._face, self._job, self._index
        if face is None or job is None:
            return
        whole = self._line.whole(job)
        if index >= len(whole.hooks):
            return
        self._is_pressed = True
        reason = f"took longer than {settings.hook_timeout_seconds} seconds"
        stop_thread(loop, face, whole.hooks[index], reason, interrupt=True)
        grace = settings.abandon_after_seconds
        loop.call_later(grace, self._give_up, job, whole, index)

    def _give_up(self, present: Any, job: HookJob, index: int) -> None:
        face, run = self._face, job.run
        with self._lock:
            is_late = self._job is not present or self._index != index
            if self._is_given_up or is_late or face is None:
                return
            self._is_given_up = True
        name = self.call.name = job.hooks[index].name
        log.error(
            "the hook %s of %s goes on after its limit; it is left behind",
            name,
            one_line(run.name),
        )
        leave_thread_behind(run.scope, face, self.call)
        rest = job.hooks[index + 1 :]
        if rest:
            context = context_of(run) if job.context is None else job.context.copy()
            self._line.jobs.appendleft(HookJob(run, rest, job.state, context, job.then))
        self._line.lost(self)
        if not rest:
            job.end()
