"""How a stream is waited for, and how asynchronous sources are read: in one task."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Final

from headrace._concurrency.bodies import block_until
from headrace._engine.outcomes import CANCEL
from headrace._engine.stopping import leave_behind
from headrace._engine.streams.rows import OVER
from headrace._engine.streams.sources import close_all
from headrace._engine.streams.streaming import Line
from headrace.exceptions import CancelledRun, CrashedRun
from headrace.futures.watching import settle, tell_loop

__all__ = ("Reader", "await_change", "await_end", "block_for_change", "block_for_end")

# How often it is looked whether the loop of a stream was closed, which tells nobody.
_LOOK_EVERY: Final = 0.5


async def await_change(line: Line, is_there: Callable[[], bool]) -> None:
    """Wait until something has changed in a stream, on the loop of who reads it."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def listener() -> None:
        if line.is_here:
            settle(waiter)
        else:
            tell_loop(loop, settle, waiter)

    line.listeners.add(listener)
    try:
        if is_there():
            return
        if line.is_here:
            await waiter
            return
        while not (await asyncio.wait([waiter], timeout=_LOOK_EVERY))[0]:
            if _is_lost(line):
                return
    finally:
        line.listeners.discard(listener)


def block_for_change(line: Line, is_there: Callable[[], bool]) -> None:
    """The same in plain code: blocks the thread.

    Raises:
        RunInterrupted: A body of this thread was told to stop.
    """
    fires: list[Callable[[], None]] = []

    def subscribe(fire: Callable[[], None]) -> None:
        fires.append(fire)
        line.listeners.add(fire)
        if is_there():
            fire()

    try:
        block_until(subscribe, look=functools.partial(_is_lost, line))
    finally:
        line.listeners.difference_update(fires)


def _is_lost(line: Line) -> bool:
    """Whether the loop of a stream was closed; ends the stream then."""
    if not line.scheduler.loop.is_closed():
        return False
    if not line.is_closed:
        text = f"the event loop of {line.name} was closed before it ended"
        line.error = CrashedRun(f"{text}. Leave its flow or runtime first.")
        line.is_closed = True
    return True


async def await_end(line: Line) -> None:
    """Close a stream, and wait until nothing of it goes on any more."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        tell_loop(loop, settle, over)

    if line.scheduler.is_here():
        line.tell_when_over(tell)
    else:
        line.scheduler.call(line.tell_when_over, tell)
    while not (await asyncio.wait([over], timeout=_LOOK_EVERY))[0]:
        if _is_lost(line):
            return


def block_for_end(line: Line) -> None:
    """The same in plain code."""
    block_until(
        lambda fire: line.scheduler.call(line.tell_when_over, fire),
        look=functools.partial(_is_lost, line),
    )


class Reader:
    """Reads the sources of a stream that have to be awaited, as far as there is room.

    It closes them too, so that what a source opens and closes is in one task.
    """

    __slots__ = ("_is_reading", "_is_stopped", "_line", "_loop", "_task")

    def __init__(self, line: Line) -> None:
        self._line = line
        self._is_reading = self._is_stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, _: object = None) -> None:
        """Begin, on the running loop: that of the scheduler, or of who reads."""
        line = self._line
        self._loop = asyncio.get_running_loop()
        if self._is_stopped:
            return
        context = line.context.copy()
        if self._loop is line.scheduler.loop:
            spawn = line.scheduler.spawn
            self._task = context.run(spawn, self._read(), name=line.name)
        else:
            self._task = self._loop.create_task(
                self._read(), name=line.name, context=context
            )

    async def _read(self) -> None:
        line = self._line
        error: BaseException | None = None
        try:
            while await self._has_room():
                self._is_reading = True
                row = await line.rows.aread()
                self._is_reading = False
                if row is OVER:
                    break
                line.offer(row)
        except asyncio.CancelledError as cancelled:
            if not self._is_stopped:
                error = CancelledRun(
                    f"the source of {line.name} was cancelled. Nothing more is read."
                )
                error.__cause__ = cancelled
        except BaseException as raised:  # noqa: BLE001 - the user's source may raise anything
            error = raised
        self._is_reading = False
        await close_all(line.rows, line.name)
        if not line.is_closed:
            if not line.is_exhausted:
                line.source_ended(error)
            line.tell()
        del error  # its trace may lead to this frame

    async def _has_room(self) -> bool:
        line = self._line

        def is_there() -> bool:
            return line.may_read() or line.is_exhausted or line.is_closed

        while not line.may_read():
            if line.is_exhausted or line.is_closed:
                return False
            if not line.is_here:
                line.is_stuck = True
            await await_change(line, is_there)
        return True

    def stop(self, ended: Callable[[], object]) -> None:
        """Have the sources closed; ``ended()`` is called when they are. On the loop.

        A source that does not listen is left behind after the grace.
        """
        self._is_stopped = True
        task, loop = self._task, self._loop
        if task is None or loop is None or task.done():
            ended()
            return
        scheduler = self._line.scheduler
        told: list[None] = []

        def tell_once(_: object) -> None:
            if not told:
                told.append(None)
                timer.cancel()
                ended()

        def tell_there(_: object) -> None:
            scheduler.call(tell_once, None)

        def give_up() -> None:
            if loop is scheduler.loop:
                leave_behind(self._line.scope, task, self._line.name, CANCEL)
            tell_once(None)

        grace = scheduler.host.settings.cancel_grace_seconds
        timer = scheduler.loop.call_later(grace, give_up)
        if loop is scheduler.loop:
            task.add_done_callback(tell_once)
            self._interrupt(task)
        else:
            tell_loop(loop, self._interrupt, task)
            tell_loop(loop, task.add_done_callback, tell_there)

    def _interrupt(self, task: asyncio.Task[None]) -> None:
        # One that waits for room is woken, as the stream is closed.
        if self._is_reading:
            task.cancel()
