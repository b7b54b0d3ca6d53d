"""Tools for testing tasks, flows and observers without waiting and without luck."""

from __future__ import annotations

from headrace.testing.clock import VirtualTimeLoop
from headrace.testing.recorder import Recorder

# Not `headrace.testing.contracts`: it imports all of the storages.
__all__ = ("Recorder", "VirtualTimeLoop")
