"""Cache indexes: under which key a value was stored, until when, and where.

`MemoryCache` lasts as long as its process; `headrace.caching.sqlite.SQLiteCache` is a
file that processes share. Others implement `CacheStore`.
"""

from __future__ import annotations

from headrace.caching.home import index_path, open_index
from headrace.caching.memory import MemoryCache
from headrace.caching.records import CacheEntry, CacheStats, CacheSwept, TaskUsage
from headrace.caching.store import CacheStore

__all__ = (
    "CacheEntry",
    "CacheStats",
    "CacheStore",
    "CacheSwept",
    "MemoryCache",
    "TaskUsage",
    "index_path",
    "open_index",
)
