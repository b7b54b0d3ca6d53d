"""Raise `RunInterrupted` in another thread, at a moment when that does no harm."""

from __future__ import annotations

import ctypes
import dis
import math
import sys
import threading
import time
from types import FrameType
from typing import Final

from headrace.exceptions import RunInterrupted

__all__ = ("Interrupts", "forget_pending")

# Functions that do nothing but take a lock, or give one back. An interrupt inside the
# first, or at the start of the second, would leave it taken: that of a log handler, say,
# or the one that coverage.py takes at each call it traces, and that all threads need.
# Inside the last two, of `threading.Condition.wait`, it would leave the lock given back,
# for the `with` around to give back once more: that of another thread, maybe.
_TAKES: Final = frozenset(
    {"__enter__", "acquire", "lock_data", "_release_save", "_acquire_restore"}
)
_GIVES_BACK: Final = frozenset({"__exit__", "release", "unlock_data"})

_RESUME: Final = dis.opmap["RESUME"]

# On CPython 3.11 every traced thread stands still, at the next function it calls, for as
# long as an interrupt of any other thread has not arrived.
_STOPS_TRACED_THREADS: Final = sys.version_info < (3, 12)

_RAISE: Final = ctypes.pythonapi.PyThreadState_SetAsyncExc


class Interrupts:
    """Those of one thread. Not to be sent or taken back by two at the same time.

    Args:
        ident: The thread. It is alive whenever something is sent to it.
    """

    __slots__ = ("_ident", "_worked")

    def __init__(self, ident: int) -> None:
        self._ident = ident
        self._worked = math.inf  # seconds, when last looked at

    def send(self, *, is_last: bool = False) -> bool:
        """Have `RunInterrupted` raised in the thread, as soon as it is in Python code.

        Args:
            is_last: Whether it is better to harm a lock than to leave this.

        Returns:
            False if that would do harm now. Try again in a moment.
        """
        if _STOPS_TRACED_THREADS and _is_traced() and not self._works():
            return False
        given = ctypes.c_ulong(self._ident), ctypes.py_object(RunInterrupted)
        if not is_last and self._handles_a_lock():
            return False
        # No call in Python since the look: tracing one could let the thread go on.
        _RAISE(*given)
        return True

    def take_back(self) -> None:
        """Take back one that has not arrived, if there is one. In the thread itself.

        By letting one arrive here: CPython 3.11 goes on looking for an interrupt that
        was merely removed, at every call, for as long as the process lives (and, when
        the code is being traced, looks for nothing else).
        """
        ident = ctypes.c_ulong(self._ident)
        try:
            _RAISE(ident, ctypes.py_object(RunInterrupted))
            for _ in range(100):  # places for it to arrive at
                pass
        except RunInterrupted:
            return
        _RAISE(ident, None)

    def _handles_a_lock(self) -> bool:
        # Not kept in a variable: it holds the frame of this very function as well.
        frame = sys._current_frames().get(self._ident)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        if frame is None:
            return False
        name = frame.f_code.co_name
        return name in _TAKES or (name in _GIVES_BACK and _has_just_begun(frame))

    def _works(self) -> bool:
        """Whether the thread has done something since this was last asked."""
        if not hasattr(time, "pthread_getcpuclockid"):
            return True
        seconds = time.clock_gettime(time.pthread_getcpuclockid(self._ident))
        before, self._worked = self._worked, seconds
        return seconds > before


def forget_pending() -> None:
    """Have no thread look for an interrupt that one which was left behind has not taken.

    CPython 3.11 has one mark for all threads that there is such a thing, and takes it away
    where one arrives. As long as it is there, code that is traced or profiled stands
    still. The interrupt itself stays: it is raised when its thread goes on.
    """
    if _STOPS_TRACED_THREADS:
        # One arrives, in a thread where it does no harm.
        name = "headrace-interrupts"
        threading.Thread(target=_take_one, name=name, daemon=True).start()


def _take_one() -> None:
    Interrupts(threading.get_ident()).take_back()


def _has_just_begun(frame: FrameType) -> bool:
    """Whether a function is at its first step, where threads take turns."""
    return frame.f_lasti <= frame.f_code.co_code[::2].index(_RESUME) * 2


def _is_traced() -> bool:
    here = sys.gettrace(), sys.getprofile()
    return any(each is not None for each in (*here, threading.gettrace()))
