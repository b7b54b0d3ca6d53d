"""Run Python functions concurrently, with retries, caching and states."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
