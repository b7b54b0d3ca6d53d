"""The one sentinel that tells "not given" from None."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal

__all__ = ("NOT_SET", "NotSet")


class NotSet(Enum):
    """The type of `NOT_SET`, for annotations such as ``float | None | NotSet``."""

    NOT_SET = "not set"

    def __repr__(self) -> str:
        return "NOT_SET"


NOT_SET: Final[Literal[NotSet.NOT_SET]] = NotSet.NOT_SET
