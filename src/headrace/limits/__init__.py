"""Limits: how many go on at once, and how many begin in a time; for runs and by hand."""

from __future__ import annotations

from headrace.limits.adaptive import Adaptive
from headrace.limits.limit import Limit, Slot

__all__ = ("Adaptive", "Limit", "Slot")
