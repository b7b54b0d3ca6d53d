"""Close the sources of a stream: generators, and other streams."""

from __future__ import annotations

import logging
from typing import Any, Final

from headrace._engine.streams.rows import Rows
from headrace._text import one_line

__all__ = ("close_all", "close_plain")

log: Final = logging.getLogger("headrace.engine")

_FAILED: Final = "closing a source of %s failed"


def close_plain(rows: Rows, name: str) -> None:
    """Close those that are plain. What one raises is logged."""
    for source in rows.to_close():
        close: Any = getattr(source, "close", None)
        if close is not None:
            try:
                close()
            except Exception:
                log.exception(_FAILED, one_line(name))


async def close_all(rows: Rows, name: str) -> None:
    """Close all of them. What one raises is logged."""
    for source in rows.to_close():
        try:
            if hasattr(source, "aclose"):
                await source.aclose()
            else:
                source.close()
        except Exception:
            log.exception(_FAILED, one_line(name))
