"""Which run or scope the present code belongs to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

__all__ = ("CURRENT",)

CURRENT: Final[ContextVar[Any]] = ContextVar("headrace_current")
