"""Which run or scope the present code belongs to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

__all__ = ("CURRENT", "holder_here", "set_holder")

CURRENT: Final[ContextVar[Any]] = ContextVar("headrace_current")

# For the hot path: `CURRENT.get`, where the name is imported, makes an object for the
# method at each call on 3.11. The same below for other variables.
holder_here: Final = CURRENT.get
set_holder: Final = CURRENT.set
