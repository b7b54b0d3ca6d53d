"""Tools for testing tasks, flows, observers and stores without waiting, without luck."""

from __future__ import annotations

from headrace.testing.cache_stores import CacheStoreContract
from headrace.testing.clock import VirtualTimeLoop
from headrace.testing.exploring import ShufflingLoop, explore
from headrace.testing.failures import Failures, fail_on, no_retries
from headrace.testing.recorder import RecordedRuns, Recorder
from headrace.testing.virtual_clock import VirtualClock

# Not `headrace.testing.contracts`: it imports all of the storages.
__all__ = (
    "CacheStoreContract",
    "Failures",
    "RecordedRuns",
    "Recorder",
    "ShufflingLoop",
    "VirtualClock",
    "VirtualTimeLoop",
    "explore",
    "fail_on",
    "no_retries",
)
