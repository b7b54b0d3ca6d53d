"""A runtime that is closing: from whom it still takes work."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

from headrace.context import CURRENT
from headrace.exceptions import RuntimeClosing

__all__ = ("VISIT", "Visit", "is_run_of", "refuse_from_outside")


class Visit:
    """A request that a runtime helps to answer: once begun, it may be finished.

    Args:
        scope: The scope of the runtime.
    """

    __slots__ = ("is_over", "scope")

    def __init__(self, scope: Any) -> None:
        self.scope = scope
        self.is_over = False


# Code that a request has started and left running has it too: hence `is_over`.
VISIT: Final[ContextVar[Visit | None]] = ContextVar("headrace_visit", default=None)


def refuse_from_outside(scope: Any) -> None:
    """Refuse new work in a scope that is closing.

    Raises:
        RuntimeClosing: The present code is neither one of its runs, nor part of a
            request that had begun before.
    """
    if CURRENT.get(None) is not scope:
        return
    visit = VISIT.get()
    if visit is None or visit.is_over or visit.scope is not scope:
        raise RuntimeClosing


def is_run_of(scope: Any) -> bool:
    """Whether the present code is one of the runs of a scope, or in a scope within."""
    holder = CURRENT.get(None)
    if holder is None or holder is scope:
        return False
    inner = holder.scope
    while inner is not None and inner is not scope:
        inner = inner.parent
    return inner is scope
