"""`run`: a program that is one flow, and ends well when it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Generator
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Final, ParamSpec, TypeVar, overload

from headrace._concurrency.loops import new_event_loop, running_loop
from headrace.exceptions import BlockedLoop, CancelledRun
from headrace.runnable import Runnable
from headrace.runtime import Runtime
from headrace.settings import current_settings

__all__ = ("run",)

P = ParamSpec("P")
T = TypeVar("T")

log: Final = logging.getLogger("headrace.engine")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

# What shells add to the number of the signal that ended a program.
_EXIT_BY_SIGNAL: Final = 128

_ENDED_BY_SIGNAL: Final = (KeyboardInterrupt, asyncio.CancelledError, CancelledRun)


@overload
def run(
    fn: Runnable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
) -> T: ...
@overload
def run(fn: Runnable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
def run(fn: Runnable[Any, Any], /, *args: Any, **kwargs: Any) -> Any:
    """Run a flow or task as a whole program, which SIGINT and SIGTERM end in steps.

    The first signal lets what goes on end by itself, for as long as the settings say
    (``drain_grace_seconds``, 30). The second, or the end of that time, cancels it:
    bodies have ``cancel_grace_seconds`` to clean up. The third ends the process at once.

    A plain function runs in this thread, a coroutine function on a loop that is opened
    for it; both inside a `Runtime` of their own. The handlers of the two signals are as
    before when this returns or raises.

    Args:
        fn: A flow or task.
        *args: For the function.
        **kwargs: Likewise.

    Returns:
        What the flow or task gave, also when a first signal came meanwhile.

    Raises:
        SystemExit: It was cancelled by a signal; the exit code is 128 and its number:
            130 for SIGINT, 143 for SIGTERM.
        TypeError: ``fn`` is neither a flow nor a task.
        RuntimeError: This is not the main thread, which alone hears signals.
        BlockedLoop: An event loop runs in this thread.
        BaseException: What the flow or task raised.
    """
    _check(fn)
    stop = _Stop()
    go = _run_on_loop if fn.isasync else _run_here
    try:
        with stop.listening():
            return go(stop, fn, args, kwargs)
    except _ENDED_BY_SIGNAL as error:
        if stop.cancelled_by is None:
            raise
        raise SystemExit(_EXIT_BY_SIGNAL + stop.cancelled_by) from error


def _check(fn: object) -> None:
    if not isinstance(fn, Runnable):
        raise TypeError(
            f"headrace.run() takes a flow or a task, and got {fn!r}. Put @flow above "
            f"the function."
        )
    name: str = fn.spec.name
    if running_loop() is not None:
        reason = "an event loop runs in this thread already"
        raise BlockedLoop(f"headrace.run({name})", reason, f"await {name}.acall(...)")
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            f"headrace.run({name}) was called in the thread "
            f"{threading.current_thread().name!r}, and signals are heard in the main "
            f"thread alone. Call {name}(...) here, without headrace.run()."
        )


def _run_here(stop: _Stop, fn: Any, args: Any, kwargs: Any) -> Any:
    with Runtime():
        # Raised in the body, as Ctrl-C is; leaving it so cancels the runs.
        stop.begin(_interrupt)
        return fn(*args, **kwargs)


def _interrupt() -> None:
    raise KeyboardInterrupt


def _run_on_loop(stop: _Stop, fn: Any, args: Any, kwargs: Any) -> Any:
    async def main() -> Any:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine of a Runner has one
        loop = task.get_loop()
        async with Runtime():
            # The handler runs between any two steps: the loop cancels when it can.
            stop.begin(lambda: loop.call_soon_threadsafe(task.cancel))
            return await fn(*args, **kwargs)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main())


class _Stop:
    """The steps in which signals end a program. Its handler runs in the main thread.

    Attributes:
        cancelled_by: The number of the signal with which the program was cancelled.
    """

    def __init__(self) -> None:
        self.cancelled_by: int | None = None
        self._grace = current_settings().drain_grace_seconds
        self._is_first = True
        self._cancel: Callable[[], object] | None = None
        # A handler may come between any two steps, inside of locks too. To put into this
        # is one of the few things that are safe there: a thread does the rest.
        self._told: SimpleQueue[int | None] = SimpleQueue()
        # Held when a signal is sent, so that none is on its way once nobody listens.
        self._lock = threading.Lock()
        self._is_listening = False

    def begin(self, cancel: Callable[[], object]) -> None:
        """From now on there is something to cancel, and this does it."""
        self._cancel = cancel
        if self.cancelled_by is not None:
            cancel()

    @contextlib.contextmanager
    def listening(self) -> Generator[None]:
        """Handle the two signals inside the block."""
        before = {each: signal.getsignal(each) for each in _SIGNALS}
        self._is_listening = True
        watch = threading.Thread(target=self._watch, name="headrace-stop", daemon=True)
        watch.start()
        try:
            for each in _SIGNALS:
                signal.signal(each, self._heard)
            yield
        finally:
            with self._lock:
                self._is_listening = False
            for each, handler in before.items():
                # None is a handler that was not set by Python, and cannot be.
                signal.signal(each, signal.SIG_DFL if handler is None else handler)
            self._told.put(None)
            watch.join()

    def _heard(self, number: int, _: FrameType | None) -> None:
        if self._is_first:
            self._is_first = False
            self._told.put(number)
        elif self.cancelled_by is None and self._is_listening:
            self.cancelled_by = number
            # The third is left to the system, which ends a main thread that hangs too.
            for each in _SIGNALS:
                signal.signal(each, signal.SIG_DFL)
            if self._cancel is not None:
                self._cancel()

    def _watch(self) -> None:
        """Wait for the first signal and for the end of the grace, in a thread."""
        number = self._told.get()
        if number is None:
            return
        log.warning(
            "%s: what goes on has %g seconds to end; the next signal cancels it",
            signal.Signals(number).name,
            self._grace,
        )
        with contextlib.suppress(Empty):
            self._told.get(timeout=self._grace)
            return
        with self._lock:
            # The end of the grace counts as the second signal.
            if self._is_listening and self.cancelled_by is None:
                _send(number)


def _send(number: int) -> None:
    if hasattr(signal, "pthread_kill"):
        ident = threading.main_thread().ident
        assert ident is not None  # noqa: S101 - it has started
        signal.pthread_kill(ident, number)  # ends a wait for a lock too
    else:
        os.kill(os.getpid(), number)
