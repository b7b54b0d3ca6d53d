"""An event loop in a helper thread, for plain code that has none."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeGuard, cast

__all__ = (
    "HelperLoop",
    "is_asyncio_task",
    "new_event_loop",
    "running_loop",
    "shows_machine_time",
)

# For tasks that users started and left running, once the loop is to close.
_SECONDS_TO_END: Final = 1.0


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A fresh uvloop loop where uvloop is installed, else one of the stdlib."""
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop()
    make = cast("Callable[[], asyncio.AbstractEventLoop]", uvloop.new_event_loop)
    return make()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread, if any."""
    return asyncio._get_running_loop()  # noqa: SLF001 - the other form raises


def shows_machine_time(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the clock of a loop is that of the machine, as of most loops."""
    if type(loop).time is asyncio.BaseEventLoop.time:
        return True
    return type(loop).__module__.partition(".")[0] == "uvloop"


def is_asyncio_task(value: object) -> TypeGuard[asyncio.Task[Any]]:
    """Whether a value is a task of asyncio."""
    return isinstance(value, asyncio.Task)


class HelperLoop:
    """A running loop in a thread of its own, from construction to `close`.

    One that nobody holds any more ends by itself: Ctrl-C may come before `close`.
    """

    __slots__ = ("_thread", "loop")

    def __init__(self) -> None:
        self._thread = _LoopThread()
        self._thread.start()
        self._thread.is_running.wait()
        self.loop = self._thread.opened()

    @property
    def thread_id(self) -> int:
        """The identifier of the thread the loop runs in."""
        return cast("int", self._thread.ident)

    def close(self, zombies: Iterable[asyncio.Task[Any]] = ()) -> None:
        """Stop and close the loop and wait for its thread. Not from that thread.

        What users started there and left running is cancelled first.

        Args:
            zombies: Tasks that are known to go on and are left as they are. They have
                been reported; asyncio need not do so again.
        """
        self._thread.zombies.update(zombies)
        self._thread.end()
        self._thread.join()

    def __del__(self) -> None:
        thread: _LoopThread | None = getattr(self, "_thread", None)
        if thread is not None:
            thread.end()


class _LoopThread(threading.Thread):
    """The thread of a helper loop. A daemon: a program that dies must not hang."""

    def __init__(self) -> None:
        super().__init__(name="headrace-loop", daemon=True)
        self.is_running = threading.Event()
        self.zombies: set[asyncio.Task[Any]] = set()
        self._is_wanted = True
        self._loop: asyncio.AbstractEventLoop | None = None

    def opened(self) -> asyncio.AbstractEventLoop:
        """The loop, which is running."""
        return cast("asyncio.AbstractEventLoop", self._loop)

    def run(self) -> None:
        """The life of the loop."""
        # Made here, where the context is empty: uvloop keeps the one it finds as long
        # as it lives, and that of a body leads to its run and to what its caller set.
        loop = self._loop = new_event_loop()
        try:
            if self._is_wanted:
                loop.call_soon(self.is_running.set)
                loop.run_forever()
                self._cancel_the_rest(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    def end(self) -> None:
        """Stop and close the loop, now or as soon as there is one. Any thread."""
        self._is_wanted = False
        loop = self._loop
        if loop is not None:
            # It may have closed by itself meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(loop.stop)

    def _cancel_the_rest(self, loop: asyncio.AbstractEventLoop) -> None:
        """As `asyncio.run` does, but not for ever."""
        rest = asyncio.all_tasks(loop) - self.zombies
        if not rest and not self.zombies:
            # No second look: where 100 000 asyncio tasks were ever alive at once, one
            # takes 0.25 ms on 3.11.
            return
        for task in rest:
            task.cancel()
        if rest:
            loop.run_until_complete(asyncio.wait(rest, timeout=_SECONDS_TO_END))
        for task in asyncio.all_tasks(loop):
            left: Any = task
            left._log_destroy_pending = False  # noqa: SLF001 - there is no public way
