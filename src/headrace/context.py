"""Which run or scope the present code belongs to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final, Protocol

__all__ = ("CURRENT", "Holder", "current")


class Holder(Protocol):
    """What present code can belong to: a task run, a flow run, or a runtime."""

    @property
    def scope(self) -> Any:
        """Where runs that this code submits belong."""
        ...

    @property
    def is_plain_body(self) -> bool:
        """Whether the code is the plain body of a task or flow."""
        ...


CURRENT: Final[ContextVar[Any]] = ContextVar("headrace_current")


def current() -> Any | None:
    """The holder of the present code, or None outside of everything."""
    return CURRENT.get(None)
