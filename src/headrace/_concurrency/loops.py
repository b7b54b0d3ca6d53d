"""An event loop in a helper thread, for plain code that has none."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeGuard, cast

__all__ = ("HelperLoop", "is_asyncio_task", "new_event_loop", "running_loop")


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


def is_asyncio_task(value: object) -> TypeGuard[asyncio.Task[Any]]:
    """Whether a value is a task of asyncio."""
    return isinstance(value, asyncio.Task)


class HelperLoop:
    """A running loop in a thread of its own, from construction to `close`."""

    __slots__ = ("_left", "_thread", "loop")

    def __init__(self) -> None:
        self.loop = new_event_loop()
        started = threading.Event()
        self.loop.call_soon(started.set)
        # A daemon: a program that dies without leaving its flow must not hang.
        self._thread = threading.Thread(
            target=self._run, name="headrace-loop", daemon=True
        )
        self._left: set[asyncio.Task[Any]] = set()
        self._thread.start()
        started.wait()

    @property
    def thread_id(self) -> int:
        """The identifier of the thread the loop runs in."""
        return cast("int", self._thread.ident)

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    def close(self, zombies: Iterable[asyncio.Task[Any]] = ()) -> None:
        """Stop and close the loop and wait for its thread. Not from that thread.

        Args:
            zombies: Tasks that are known to go on and are left as they are. They have
                been reported; asyncio need not do so again.
        """
        self._left.update(zombies)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        for task in self._left:
            left: Any = task
            left._log_destroy_pending = False  # noqa: SLF001 - there is no public way
