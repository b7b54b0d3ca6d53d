"""Where the cache index of a machine's user is, and how it is opened."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from headrace.caching.store import CacheStore

__all__ = ("index_path", "open_index")

_FILE: Final = "cache.sqlite3"


def index_path(home: str | Path) -> Path:
    """The file of the index in a home directory, as the setting ``home`` names it."""
    return Path(home).expanduser().absolute() / _FILE


def open_index(
    path: Path,
    max_bytes: int | None = None,
    on_dropped: Callable[[tuple[str, ...]], object] | None = None,
) -> CacheStore:
    """A `headrace.caching.sqlite.SQLiteCache`, of which nothing is touched yet.

    Not imported before: sqlite3 takes 5 ms, and most programs cache nothing.

    Args:
        path: The file.
        max_bytes: See there.
        on_dropped: See there.
    """
    module: Any = importlib.import_module("headrace.caching.sqlite")
    store: CacheStore = module.SQLiteCache(path, max_bytes, on_dropped)
    return store
