"""A thread that notices when an event loop is held up, and by what."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Final

__all__ = ("LoopGuardian",)

# A loop is asked so often in the time for which it may be held. What holds it longer
# than that time and one such part is noticed in any case.
_PARTS: Final = 4


class LoopGuardian:
    """Asks a loop for a sign of life again and again, from construction to `close`.

    Args:
        loop: The loop.
        seconds: How long it may take to answer.
        tell: Called in the thread of the guardian, once each time that takes longer,
            while it still does; with the seconds so far. It must not raise.
    """

    __slots__ = ("_loop", "_seconds", "_stopped", "_tell")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        tell: Callable[[float], object],
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._tell = tell
        self._stopped = threading.Event()
        threading.Thread(
            target=self._watch, name="headrace-guardian", daemon=True
        ).start()

    def close(self) -> None:
        """Let the thread end, soon. Any thread; waits for nothing."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(self._seconds / _PARTS):
            answered = threading.Event()
            started = perf_counter()
            try:
                self._loop.call_soon_threadsafe(answered.set)
            except RuntimeError:
                return  # it has closed
            if answered.wait(self._seconds) or self._stopped.is_set():
                continue
            self._tell(perf_counter() - started)
            while not answered.wait(self._seconds / _PARTS):
                if self._stopped.is_set():
                    return
