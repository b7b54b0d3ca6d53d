"""Keeps worker threads from running far ahead of the loop with large values."""

from __future__ import annotations

import contextlib
from collections import deque
from itertools import repeat
from time import monotonic
from typing import Any, Final

from headrace._concurrency.waits import Wait

__all__ = ("SMALL", "Brake", "weight_of")

# In units: of 8 values known to be large, or of 128 of which nothing is known.
_MOST_AHEAD: Final = 128
_LARGE: Final = 16
_UNKNOWN: Final = 1
# For a loop that is held up by others, perhaps until one of these very threads goes on.
_MOST_SECONDS: Final = 0.3
# Less is not worth a look: numbers, short texts, small containers.
_LARGE_BYTES: Final = 64 * 1024
_LARGE_COUNT: Final = 64

SMALL: Final = frozenset({int, float, bool, type(None), complex, type, range})
_OF_BYTES: Final = frozenset({str, bytes, bytearray})
_CONTAINERS: Final = frozenset({list, tuple, dict, set, frozenset})


def weight_of(value: Any) -> int:
    """How much a value weighs in `Brake`, as far as can be seen at once; 0 if little."""
    kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind in SMALL:
        return 0
    if kind in _OF_BYTES:
        return _LARGE if len(value) >= _LARGE_BYTES else 0
    if kind in _CONTAINERS:
        return _LARGE if len(value) >= _LARGE_COUNT else 0
    try:
        return _LARGE if memoryview(value).nbytes >= _LARGE_BYTES else 0
    except BaseException:  # noqa: BLE001 - from 3.12 on, this may be code of its own
        return _UNKNOWN


class Brake:
    """Weighs the large values that the loop has not come to; see `hold`.

    Many threads that compute leave the loop little of the interpreter's lock: it would
    fall behind by thousands of values, each kept until its run has ended there.

    Attributes:
        ahead: One for each unit of their weight.
    """

    __slots__ = ("_held", "ahead")

    def __init__(self) -> None:
        # Of both, adding and removing is one step for all threads.
        self.ahead: deque[None] = deque()
        self._held: deque[Wait] = deque()

    def note(self, weight: int) -> None:
        """Another large value is handed over. Any thread."""
        self.ahead.extend(repeat(None, weight))

    def hold(self) -> None:
        """Block this thread while too many values are ahead; not for long."""
        ahead, held = self.ahead, self._held
        if len(ahead) < _MOST_AHEAD:
            return
        # One limit for all waits: others may have come first many times.
        until = monotonic() + _MOST_SECONDS
        enter = held.append
        while len(ahead) >= _MOST_AHEAD and (left := until - monotonic()) > 0:
            wait = Wait()
            enter(wait)
            enter = held.appendleft  # who was let go in vain is the next
            if len(ahead) >= _MOST_AHEAD:
                wait.block(left, None)
            with contextlib.suppress(ValueError):  # as it is where it was let go
                held.remove(wait)
        # What follows may be small values, which let nobody go.
        self._let_go()

    def release(self, weight: int) -> None:
        """The loop has come to one: another may follow. On the loop."""
        for _ in range(weight):
            self.ahead.pop()
        self._let_go()

    def _let_go(self) -> None:
        with contextlib.suppress(IndexError):  # nobody is held
            self._held.popleft().end()
