"""Single calls that block, each in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

__all__ = ("in_new_thread", "start_thread")

T = TypeVar("T")


class _CallThread(threading.Thread):
    """A daemon, as the workers are: a call that is stuck must not hold up the end."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(name="headrace-call", daemon=True)
        self._call = call

    headrace_busy = True  # a virtual clock must stand still

    def run(self) -> None:
        self._call()


def start_thread(call: Callable[[], object]) -> None:
    """Make a call that raises nothing in a thread, and do not wait for it."""
    _CallThread(call).start()


async def in_new_thread(call: Callable[[], T]) -> T:
    """Make a call in a thread, and wait for it without blocking the loop.

    If this is cancelled the call goes on, and what it gives is dropped. The threads of
    the loop's default executor belong to the application, and may all be taken.

    Raises:
        BaseException: What the call raised.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    outcome: list[tuple[Any, BaseException | None]] = []

    def perform() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            outcome.append((None, error))
        with contextlib.suppress(RuntimeError):  # the loop may have closed
            loop.call_soon_threadsafe(_settle, over)

    start_thread(perform)
    await over
    value, error = outcome[0]
    if error is not None:
        raise error
    return cast("T", value)


def _settle(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
