"""One hook, called: what it raises is logged, and how long it may take is limited."""

from __future__ import annotations

import asyncio
import inspect
import logging
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, Final

from headrace._concurrency.bodies import ThreadFace
from headrace._engine.stopping import leave_thread_behind, stop_thread
from headrace._engine.thread_calls import ThreadCall
from headrace._text import one_line
from headrace.hooks import Hook
from headrace.states import State, format_exception

__all__ = (
    "HookJob",
    "HookWatch",
    "begin_hook",
    "call_hook",
    "call_stoppable",
    "finish_hook",
    "reads_calls",
    "report",
)

log: Final = logging.getLogger("headrace.hooks")


def call_hook(hook: Hook, run: Any, state: State[Any]) -> None:
    """Call a plain hook. Raises nothing but KeyboardInterrupt."""
    _note(hook, run)
    try:
        found = hook.fn(run.spec.owner, run.view(), state)
        if inspect.isawaitable(found):
            if inspect.iscoroutine(found):
                found.close()
            log.error(
                "the hook %s of %s returned something to await; decorate a coroutine "
                "function as the hook, so that it is awaited",
                hook.name,
                one_line(run.name),
            )
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a hook may raise anything
        report(hook, run, error)


def call_stoppable(
    face: ThreadFace, context: Context, hook: Hook, run: Any, state: State[Any]
) -> None:
    """Call a plain hook in a worker thread, where others may stop it. Raises nothing."""
    # An interrupt may come between any two of our bytecodes, but only one ever comes:
    # see `thread_runs.perform`.
    try:
        face.enter(hook)
        try:
            context.run(call_hook, hook, run, state)
        except BaseException as error:  # noqa: BLE001 - see above
            report(hook, run, error)
        face.leave(hook)
    except BaseException:  # noqa: BLE001 - see above
        face.leave(hook)


def begin_hook(hook: Hook, run: Any, state: State[Any]) -> tuple[Any, Any] | None:
    """Take the first step of a coroutine hook. Raises nothing.

    Returns:
        Its coroutine and what that waits for, for `finish_hook`; None if it is over, as
        most hooks are: for those no timer is set.
    """
    _note(hook, run)
    try:
        coro = hook.fn(run.spec.owner, run.view(), state)
        return coro, coro.send(None)
    except StopIteration:
        return None
    except BaseException as error:  # noqa: BLE001 - a hook may raise anything
        report(hook, run, error)
        return None


async def finish_hook(
    hook: Hook,
    run: Any,
    begun: tuple[Any, Any],
    on_stuck: Callable[[asyncio.Task[Any]], object],
) -> None:
    """Wait for the end of a coroutine hook. Raises nothing of its own.

    Args:
        hook: The hook.
        run: The run that it is told of.
        begun: What `begin_hook` gave, in the same step of the present task.
        on_stuck: Called, with the present task, when the hook goes on although it was
            cancelled at its limit: nobody is to wait for it any more.

    Raises:
        CancelledError: The run itself was cancelled meanwhile.
    """
    settings = run.scope.host.settings
    limit, grace = settings.hook_timeout_seconds, settings.cancel_grace_seconds
    try:
        await _limited(*begun, limit, grace, on_stuck)
    except asyncio.CancelledError as error:
        if not run.is_settled and run.rare is not None and run.rare.stop is not None:
            raise
        report(hook, run, error)
    except GeneratorExit:
        raise  # closed from outside
    except BaseException as error:  # noqa: BLE001 - a hook may raise anything
        report(hook, run, error)


def reads_calls() -> bool:
    """Whether somebody reads the line that is logged for each call of a hook."""
    return log.isEnabledFor(logging.DEBUG)


def _note(hook: Hook, run: Any) -> None:
    if reads_calls():
        log.debug("calling the hook %s of %s", hook.name, one_line(run.name))


def report(hook: Hook, run: Any, error: BaseException) -> None:
    """Log what a hook raised."""
    log.error(
        "the hook %s of %s failed: %s",
        hook.name,
        one_line(run.name),
        one_line(format_exception(error)),
        exc_info=error,
    )


@types.coroutine
def _limited(
    coro: Coroutine[Any, Any, Any],
    yielded: Any,
    limit: float,
    grace: float,
    on_stuck: Callable[[asyncio.Task[Any]], object],
) -> Generator[Any, Any, None]:
    """Await the rest of a coroutine in the present task, for so long at the most."""
    timer = _Limit(limit, grace, on_stuck)
    try:
        while True:
            try:
                sent = yield yielded
            except GeneratorExit:
                coro.close()
                raise
            except BaseException as error:  # noqa: BLE001 - passed on to the hook
                yielded = coro.throw(error)
            else:
                yielded = coro.send(sent)
    except StopIteration:
        return
    except asyncio.CancelledError as error:
        if not timer.has_passed:
            raise
        raise TimeoutError(f"it took longer than {limit} seconds") from error
    finally:
        timer.end()


class _Limit:
    """Cancels the present task at a limit, and gives up on it after a grace."""

    def __init__(
        self,
        limit: float,
        grace: float,
        on_stuck: Callable[[asyncio.Task[Any]], object],
    ) -> None:
        self.has_passed = False
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._grace = grace
        self._on_stuck = on_stuck
        self._timer = self._loop.call_later(limit, self._pass)

    def _pass(self) -> None:
        self.has_passed = True
        if self._task is not None:
            self._task.cancel()
        self._timer = self._loop.call_later(self._grace, self._give_up)

    def _give_up(self) -> None:
        if self._task is not None:
            self._on_stuck(self._task)

    def end(self) -> None:
        self._timer.cancel()
        if self.has_passed and self._task is not None:
            self._task.uncancel()


class HookJob:
    """Some plain hooks, called one after the other in a thread.

    Attributes:
        began: When the present hook was called, on the clock of the loop; None before.
        call: The job of the worker threads that this is.
    """

    __slots__ = (
        "_context", "_face", "_hooks", "_index", "_is_given_up", "_run", "_scheduler",
        "_state", "_then", "began", "call",
    )  # fmt: skip

    def __init__(
        self,
        scheduler: Any,
        run: Any,
        hooks: tuple[Hook, ...],
        state: State[Any],
        context: Context,
        then: Callable[[Any], object],
    ) -> None:
        self._scheduler = scheduler
        self._run = run
        self._hooks = hooks
        self._state = state
        self._context = context
        self._then = then
        self._face: ThreadFace | None = None
        self._index = 0
        self._is_given_up = False
        self.began: float | None = None
        self.call = ThreadCall(self.perform, hooks[0].name)

    def start(self) -> None:
        """Have a worker thread call the hooks. On the loop of the scheduler."""
        self._scheduler.hook_watch.add(self)
        self._scheduler.pools.workers().put(self.call)

    def perform(self, face: ThreadFace) -> None:
        """Call the hooks, in this thread, then have ``then(run)`` called on the loop."""
        self._face = face
        while self._index < len(self._hooks):
            hook = self._hooks[self._index]
            self.began = self._scheduler.loop.time()
            call_stoppable(face, self._context, hook, self._run, self._state)
            if self._is_given_up:
                return  # the rest is called by another thread
            self._index += 1
        try:
            self._scheduler.call(self._end, None)
        except RuntimeError:
            return  # the loop has closed: nobody is left to tell

    def _end(self, _: object) -> None:
        if not self._is_given_up:
            self._scheduler.hook_watch.discard(self)
            self._then(self._run)

    def stop(self) -> None:
        """Interrupt a hook that is over its limit, and leave its thread if need be."""
        settings = self._scheduler.host.settings
        face, index = self._face, self._index
        if face is None or index >= len(self._hooks):
            return
        reason = f"took longer than {settings.hook_timeout_seconds} seconds"
        loop = self._scheduler.loop
        stop_thread(loop, face, self._hooks[index], reason, interrupt=True)
        seconds = settings.abandon_after_seconds
        loop.call_later(seconds, self._give_up, index)

    def _give_up(self, index: int) -> None:
        if self._is_given_up or index != self._index or self._face is None:
            return
        self._is_given_up = True
        self._scheduler.hook_watch.discard(self)
        log.error(
            "the hook %s of %s goes on after its limit; it is left behind",
            self._hooks[index].name,
            one_line(self._run.name),
        )
        leave_thread_behind(self._run.scope, self._face, self.call)
        rest = self._hooks[index + 1 :]
        if not rest:
            self._then(self._run)
            return
        context = self._context.copy()
        run, state = self._run, self._state
        HookJob(self._scheduler, run, rest, state, context, self._then).start()


class HookWatch:
    """One timer for the limits of all hooks that worker threads are calling."""

    __slots__ = ("_jobs", "_scheduler", "_timer")

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._jobs: dict[HookJob, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, job: HookJob) -> None:
        """Begin to look after a job. On the loop."""
        self._jobs[job] = None
        if self._timer is None:
            self._look_in(self._limit)

    def discard(self, job: HookJob) -> None:
        """The job has ended. On the loop."""
        self._jobs.pop(job, None)
        if not self._jobs and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _limit(self) -> float:
        seconds: float = self._scheduler.host.settings.hook_timeout_seconds
        return seconds

    def _look_in(self, seconds: float) -> None:
        self._timer = self._scheduler.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        limit, now = self._limit, self._scheduler.loop.time()
        soonest = limit
        for job in list(self._jobs):
            left = limit if job.began is None else job.began + limit - now
            if left <= 0:
                job.stop()
            else:
                soonest = min(soonest, left)
        if self._jobs:
            self._look_in(soonest)
