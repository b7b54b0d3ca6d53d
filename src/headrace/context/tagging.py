"""Tags that hold for all runs made in a block."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Self

from headrace._values import Value

__all__ = ("TAGS", "TagsContext", "tags", "tags_here")

TAGS: Final[ContextVar[frozenset[str]]] = ContextVar(
    "headrace_tags", default=frozenset()
)
tags_here: Final = TAGS.get  # see `headrace._concurrency.current`


@contextmanager
def tags(*new: str) -> Generator[set[str]]:
    """Add tags to every run that is made in the block, beside those of its task.

    A run is made when its task or flow is called, submitted or mapped; it keeps its
    tags wherever it goes on. A flow run hands them on to the runs in it.

    Args:
        new: The tags; without any, the block merely tells which there are.

    Yields:
        The tags that hold inside: these and those of the blocks around.

    Raises:
        TypeError: A tag is not a text.
    """
    for tag in new:
        if not isinstance(tag, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"tags() takes texts, not {tag!r}. Write tags('a', 'b'), or "
                f"tags(*names) for a list of them."
            )
    together = TAGS.get() | frozenset(new)
    token = TAGS.set(together)
    try:
        yield set(together)
    finally:
        TAGS.reset(token)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TagsContext(Value):
    """The tags of the present context.

    Attributes:
        current_tags: Those of all `tags` blocks around; empty if there are none.
    """

    current_tags: frozenset[str] = frozenset()

    @classmethod
    def get(cls) -> Self:
        """The present one; there always is one."""
        return cls(TAGS.get())
