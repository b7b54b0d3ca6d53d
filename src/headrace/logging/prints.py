"""Prints that are logged: one replacement of ``builtins.print`` for all who need it.

It stands only while something with ``log_prints`` is active, and decides by the run that
the printing code belongs to, whichever thread that is in. So other code prints as ever.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import io
import logging
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from types import FrameType
from typing import Any, Final

from headrace._text import one_line
from headrace.context import CURRENT, logs_prints
from headrace.logging.loggers import RunLogAdapter, is_disabled, logger_of
from headrace.runs import Record

__all__ = ("log_prints_for", "print_again_for")

# How texts are put together, whoever else has replaced print.
_PRINT: Final[Callable[..., None]] = builtins.print

# Whether a print is being logged: a handler may print, and that is for the screen.
_LOGGING: Final[ContextVar[bool]] = ContextVar("headrace_logs_print", default=False)


class _Replacement:
    """The replacement, and who needs it."""

    __slots__ = ("_lock", "_needed_by", "_ours", "_theirs")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._needed_by: set[object] = set()
        self._ours: Callable[..., Any] | None = None
        self._theirs: Callable[..., Any] = _PRINT

    def need(self, who: object) -> None:
        with self._lock:
            self._needed_by.add(who)
            if self._ours is None:
                self._theirs = builtins.print
                # Made anew each time: what others have put over an earlier one may lead
                # back to that, and must not lead to this, which leads to theirs.
                self._ours = _replacing(self._theirs)
                builtins.print = self._ours

    def release(self, who: object) -> None:
        with self._lock:
            self._needed_by.discard(who)
            if self._ours is None or self._needed_by:
                return
            if builtins.print is self._ours:
                builtins.print = self._theirs
            # Else others have replaced ours: theirs stays, and ours under it prints.
            self._ours = None


# One of the two things of this package that a process has once (decisions, section 2):
# there is one `print` to replace, for all runtimes.
_REPLACEMENT: Final = _Replacement()


def log_prints_for(scope: object) -> None:
    """Have prints looked at until `print_again_for` is called; any number of times."""
    _REPLACEMENT.need(scope)


def print_again_for(scope: object) -> None:
    """This scope needs it no more; print is restored when none does."""
    _REPLACEMENT.release(scope)


def _replacing(theirs: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(theirs)
    def print(*values: Any, **options: Any) -> Any:  # noqa: A001 - in its place
        logger = _logger_here(options.get("file"))
        if logger is None:
            return theirs(*values, **options)
        text = io.StringIO()
        _PRINT(*values, **{**options, "file": text})
        token = _LOGGING.set(True)
        try:
            # A record for each line: one that began with a line of its own could pass
            # for somebody else's.
            for line in text.getvalue().rstrip().split("\n"):
                logger.info(one_line(line.rstrip()), stacklevel=2)
        finally:
            _LOGGING.reset(token)
        return None

    return print


def _logger_here(file: object) -> RunLogAdapter | None:
    """Where a print of the present code is to be logged, if it is."""
    run = CURRENT.get(None)
    if not isinstance(run, Record) or not (
        file is None or file is sys.stdout or file is sys.stderr
    ):
        return None
    if not logs_prints(run) or _LOGGING.get() or is_disabled():
        return None
    if file is not None and _tells_of_a_broken_handler():
        return None
    logger = logger_of(run)
    # What nobody would get to see is printed: the text must not be lost.
    is_heard = logger.isEnabledFor(logging.INFO) and logger.hasHandlers()
    return logger if is_heard else None


def _tells_of_a_broken_handler() -> bool:
    """Whether `logging` prints that a handler failed: that must not go to it again.

    Seen from the frames, as it is any handler, of any logger.
    """
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        if frame.f_code is logging.Handler.handleError.__code__:
            return True
        frame = frame.f_back
    return False
