"""Results that are not in memory, read ahead for those that must not block."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headrace.states import FINAL, State, StoredData

__all__ = ("preload", "stored_in")


def stored_in(source: Any) -> StoredData | None:
    """What stands for the result of a run or state, if that is stored elsewhere."""
    if isinstance(source, State):
        data: Any = source.data
    elif source.rare is None or source.phase not in FINAL:
        return None
    else:
        data = source.outcome
    return data if isinstance(data, StoredData) else None


async def preload(sources: Iterable[Any]) -> None:
    """Read what is not in memory, so that the next look at each source need not block.

    What cannot be read is left to that look, which raises.
    """
    for source in sources:
        data = stored_in(source)
        if data is not None:
            await data.preload()
