"""What a body may ask of its own run."""

from __future__ import annotations

import asyncio

from headrace._concurrency.bodies import is_plain_code, this_face

__all__ = ("check_cancelled",)


def check_cancelled() -> None:
    """Raise if the run of the present code has been told to stop; else do nothing.

    For plain bodies that work long without calling headrace: code that loops, or is
    declared with ``interrupt=False``. Any thread, at any time; half a microsecond.

    Raises:
        RunInterrupted: In plain code: the run timed out or was cancelled.
        CancelledError: In coroutine code, likewise.
    """
    if not is_plain_code():
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        return
    face = this_face()
    if face is not None:
        face.raise_if_stopped()
