"""A cache index in a SQLite file. Imports sqlite3, so it is imported when needed."""

from __future__ import annotations

from headrace.caching.sqlite.cache import SQLiteCache

__all__ = ("SQLiteCache",)
