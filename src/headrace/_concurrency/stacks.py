"""Where code stands: the lines at which coroutines wait and threads are at work."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from types import CoroutineType, FrameType, GeneratorType
from typing import Any, cast

__all__ = ("frames_of_task", "frames_of_thread", "is_ours", "line_of")


def frames_of_task(task: asyncio.Task[Any]) -> list[FrameType]:
    """The frames in which an asyncio task waits, the innermost last.

    Empty for one that has ended, or is not of the usual coroutines.
    """
    return list(_frames(task.get_coro()))


def _frames(awaited: Any) -> Iterator[FrameType]:
    while True:
        frame: FrameType | None
        inner: Any
        if isinstance(awaited, CoroutineType):
            frame, inner = awaited.cr_frame, awaited.cr_await
        elif isinstance(awaited, GeneratorType):
            generator: Any = cast("Any", awaited)
            frame, inner = generator.gi_frame, generator.gi_yieldfrom
        else:
            return
        if frame is None:
            return
        yield frame
        # Of ours one steps another coroutine by hand, `in_context`: to the interpreter
        # the two have nothing to do with each other.
        if isinstance(awaited, GeneratorType) and is_ours(frame):
            inner = frame.f_locals.get("coro", inner)
        awaited = inner


def frames_of_thread(ident: int) -> list[FrameType]:
    """The frames of a thread, the innermost last; empty if it has ended."""
    # By a copy of all: the interpreter offers no look at one thread alone.
    frame = sys._current_frames().get(ident)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - documented all the same
    frames: list[FrameType] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def is_ours(frame: FrameType) -> bool:
    """Whether it is code of headrace."""
    name = str(frame.f_globals.get("__name__", ""))
    return name == "headrace" or name.startswith("headrace.")


def line_of(frame: FrameType) -> str:
    """The function and the line that it is at: ``load at report.py:12``."""
    code = frame.f_code
    file = os.path.basename(code.co_filename)  # noqa: PTH119 - pathlib takes 3 ms
    return f"{code.co_qualname} at {file}:{frame.f_lineno}"
