"""Types for annotations, and the one sentinel that tells "not given" from None."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, Literal, Protocol, TypeVar

__all__ = ("NOT_SET", "ByteSink", "ByteSource", "HasFn", "NotSet", "Untold")

F_co = TypeVar("F_co", covariant=True)


class NotSet(Enum):
    """The type of `NOT_SET`, for annotations such as ``float | None | NotSet``."""

    NOT_SET = "not set"

    def __repr__(self) -> str:
        return "NOT_SET"


NOT_SET: Final[Literal[NotSet.NOT_SET]] = NotSet.NOT_SET


class Untold:
    """What no function returns or takes: only an unknown type fits.

    An overload for it, put first, is that of functions whose type is not told.
    """


class HasFn(Protocol[F_co]):
    """A task or flow, for what only its function tells."""

    @property
    def fn(self) -> F_co:
        """Its function."""
        ...


class ByteSink(Protocol):
    """What bytes are written to, one piece after the other."""

    def write(self, data: Any, /) -> Any:
        """Take some bytes: any object with the buffer protocol."""
        ...


class ByteSource(Protocol):
    """What bytes are read from, one piece after the other."""

    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes, fewer only at the end; -1 for all that are left."""
        ...
