"""Keeps worker threads from running far ahead of the loop with large values."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import Any, Final

from headrace._concurrency.waits import Wait

__all__ = ("SMALL", "Brake", "is_large_value")

_MOST_AHEAD: Final = 16
# For a loop that is held up by others, perhaps until one of these very threads goes on.
_MOST_SECONDS: Final = 0.1
# Less is not worth a look: numbers, short texts, small containers.
_LARGE_BYTES: Final = 64 * 1024
_LARGE_COUNT: Final = 64

SMALL: Final = frozenset({int, float, bool, type(None), complex, type, range})
_OF_BYTES: Final = frozenset({str, bytes, bytearray})
_CONTAINERS: Final = frozenset({list, tuple, dict, set, frozenset})


def is_large_value(value: Any) -> bool:
    """Whether a value may be large, as far as can be seen at once."""
    kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind in SMALL:
        return False
    if kind in _OF_BYTES:
        return len(value) >= _LARGE_BYTES
    return kind not in _CONTAINERS or len(value) >= _LARGE_COUNT


class Brake:
    """Counts the large values that the loop has not come to; see `hold`.

    Many threads that compute leave the loop little of the interpreter's lock: it would
    fall behind by thousands of values, each kept until its run has ended there.
    """

    __slots__ = ("_ahead", "_held")

    def __init__(self) -> None:
        # Of both, adding and removing is one step for all threads.
        self._ahead: deque[None] = deque()
        self._held: deque[Wait] = deque()

    def note(self) -> None:
        """Another large value is handed over. Any thread."""
        self._ahead.append(None)

    def hold(self) -> None:
        """Block this thread while too many values are ahead; not for long."""
        if len(self._ahead) < _MOST_AHEAD:
            return
        wait = Wait()
        self._held.append(wait)
        if len(self._ahead) >= _MOST_AHEAD:
            wait.block(_MOST_SECONDS, None)
        with contextlib.suppress(ValueError):  # as it is where `release` ended it
            self._held.remove(wait)

    def release(self) -> None:
        """The loop has come to one: another may follow. On the loop."""
        self._ahead.pop()
        # One for each; but those that follow may give small values, after which
        # nobody comes here.
        most = 1 if self._ahead else len(self._held)
        with contextlib.suppress(IndexError):  # one has just gone on by itself
            for _ in range(most):
                self._held.popleft().end()
