"""One thread that blocks until others say so."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

__all__ = ("Wait",)

_LOOK_EVERY: Final = 0.5


class Wait:
    """One wait of one thread for a callback."""

    __slots__ = ("_lock", "is_over")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.is_over = False

    def block(self, timeout: float, look: Callable[[], bool] | None) -> bool:
        """Block the thread until the end; False if the time ran out before."""
        if look is None:
            ended = self._lock.acquire(timeout=timeout)
        else:
            ended = self._block_and_look(timeout, look)
        self.is_over = True
        return ended

    def _block_and_look(self, timeout: float, look: Callable[[], bool]) -> bool:
        until = math.inf if timeout < 0 else monotonic() + timeout
        while (left := until - monotonic()) > 0:
            if self._lock.acquire(timeout=min(left, _LOOK_EVERY)):
                return True
            if look():
                return False
        return self._lock.acquire(blocking=False)

    def end(self) -> None:
        """End the wait. Any thread, any number of times."""
        self.is_over = True
        try:
            self._lock.release()
        except RuntimeError:  # released before: by the callback and by a stop
            return
