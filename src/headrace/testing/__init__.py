"""Tools for testing tasks, flows, observers and stores without waiting, without luck."""

from __future__ import annotations

from headrace.testing.cache_stores import CacheStoreContract
from headrace.testing.clock import VirtualTimeLoop
from headrace.testing.recorder import Recorder

# Not `headrace.testing.contracts`: it imports all of the storages.
__all__ = ("CacheStoreContract", "Recorder", "VirtualTimeLoop")
