"""Failures that nobody was given: what the verdict of a flow asks for."""

from __future__ import annotations

import threading
from typing import Any, Final

from headrace.states import StateType

__all__ = ("Unseen",)

_REMEMBERED: Final = 100


class Unseen:
    """Failures that nobody was given yet, the earliest submitted first.

    Only so many are kept; of the others it is known how many there are.
    """

    __slots__ = ("_kept", "_latest", "_lock", "count")

    def __init__(self) -> None:
        self._kept: dict[int, Any] = {}
        self._latest: Any = None  # of those, once looked for
        self._lock = threading.Lock()  # failures are seen on any thread
        self.count = 0

    def add(self, run: Any) -> None:
        """A run ended without a value, and nobody has been given that."""
        with self._lock:
            self.count += 1
            if len(self._kept) >= _REMEMBERED:
                # Looked for once as a rule: most runs fail in the order of submission.
                if self._latest is None:
                    self._latest = max(self._kept.values(), key=_order)
                if _order(run) > _order(self._latest):
                    return
                self._forget(self._latest)
            self._kept[id(run)] = run

    def discard(self, run: Any) -> None:
        """Somebody has been given its outcome."""
        with self._lock:
            self.count -= 1
            self._forget(run)

    def in_order(self) -> list[Any]:
        """Those that are kept, in the order of their submission."""
        with self._lock:
            return sorted(self._kept.values(), key=_order)

    def worst(self) -> tuple[StateType, Any] | None:
        """How the first failure counts, and its run."""
        found: tuple[StateType, Any] | None = None
        for run in self.in_order():
            kind = run.last_state.verdict_type
            if kind is not StateType.CANCELLED:
                return StateType.FAILED, run
            found = found or (kind, run)
        return found

    def clear(self) -> None:
        """Keep none of them any more: whoever had to be told has been."""
        if not self.count:
            return
        with self._lock:
            self.count = 0
            self._kept.clear()
            self._latest = None

    def _forget(self, run: Any) -> None:
        self._kept.pop(id(run), None)
        if run is self._latest:
            self._latest = None


def _order(run: Any) -> tuple[float, int]:
    return run.created, run.number
