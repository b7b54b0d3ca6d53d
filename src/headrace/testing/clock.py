"""An asyncio loop whose clock jumps: a test that sleeps an hour takes no time."""

from __future__ import annotations

import asyncio
import math
import selectors
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextvars import Context
from typing import Any, Final, TypeVar, TypeVarTuple

from headrace.testing.waiting import waiting_runs, waiting_tasks

__all__ = ("VirtualTimeLoop", "headrace_threads_busy")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_POLL_SECONDS: Final = 0.01
_GRACE_SECONDS: Final = 0.05
_NANOSECOND: Final = 1e-9


def headrace_threads_busy() -> bool:
    """Whether a worker thread of any runtime has something to do.

    A worker says so itself: its thread object has a true ``headrace_busy`` from
    the moment a job is handed to it until the outcome has been posted to the
    loop, except while the body waits for another run.
    """
    return any(
        getattr(thread, "headrace_busy", False) for thread in threading.enumerate()
    )


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Moves its clock to the next timer whenever nothing else is ready.

    Timers fire in the order of their deadlines, so a test with sleeps and
    timeouts gives the same answer on any machine. A test in which every task
    waits and no timer is set fails at once instead of hanging.

    While threads are at work (those of a runtime, and those behind
    `asyncio.to_thread`) the clock stands still and the loop waits for them in
    real time. It knows nothing of other programs: a test that talks to a socket,
    or that is about how long a thread takes, belongs on a real loop.

    Args:
        threads_busy: Tells whether threads are at work whose outcome the loop
            has to wait for. It is asked on the loop's thread, often.
    """

    def __init__(
        self, threads_busy: Callable[[], bool] = headrace_threads_busy
    ) -> None:
        self._threads_busy = threads_busy
        self._in_executor = 0
        self._jumping = _JumpingSelector(self._busy, self._waiting)
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer; one that is due at infinity is never queued."""
        # anyio sleeps for ever by such a timer. In the queue it would make the
        # clock jump a day at a time without end.
        if when == math.inf:
            return asyncio.TimerHandle(when, callback, args, self, context)
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Call a function in a thread; the clock stands still until it returns."""
        outcome = super().run_in_executor(executor, func, *args)
        self._in_executor += 1
        outcome.add_done_callback(self._left_executor)
        return outcome

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ARG002 - it cannot pass: the clock stands
    ) -> None:
        """Wait for the threads behind `run_in_executor` to end."""
        self._in_executor += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._in_executor -= 1

    def _left_executor(self, _: asyncio.Future[Any]) -> None:
        self._in_executor -= 1

    def _busy(self) -> bool:
        return self._in_executor > 0 or self._threads_busy()

    def _waiting(self) -> str:
        tasks = [task for task in asyncio.all_tasks(self) if not task.done()]
        runs = waiting_runs(tasks)
        text = f"Waiting tasks: {'; '.join(waiting_tasks(tasks)) or 'none'}."
        return f"{text} Waiting runs: {'; '.join(runs)}." if runs else text


class _JumpingSelector(selectors.BaseSelector):
    """A selector that moves a clock where another would wait."""

    def __init__(self, busy: Callable[[], bool], waiting: Callable[[], str]) -> None:
        self.now = 0.0
        self._real = selectors.DefaultSelector()
        self._busy = busy
        self._waiting = waiting

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        # Asked before looking: a thread posts first and is idle afterwards, so
        # what an idle thread has posted is seen by the look below.
        busy = timeout != 0 and self._busy()
        ready = self._real.select(0)
        if ready or timeout == 0:
            return ready
        if busy:
            return self._real.select(_POLL_SECONDS)
        if timeout is None:
            return self._last_chance()
        self.now += timeout
        # The loop runs what is due before a nanosecond from now. After a few months
        # a nanosecond is lost in rounding, and the timer would never be due.
        if self.now + _NANOSECOND == self.now:
            self.now = math.nextafter(self.now, math.inf)
        return []

    def _last_chance(self) -> list[tuple[selectors.SelectorKey, int]]:
        if threading.active_count() > 1:
            ready = self._real.select(_GRACE_SECONDS)
            if ready or self._busy():
                return ready
        raise RuntimeError(
            f"every task is waiting and no timer is set: this test would hang. "
            f"Set the event it waits for, or give the wait a timeout. "
            f"{self._waiting()}"
        )

    def register(
        self, fileobj: Any, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(
        self, fileobj: Any, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()
