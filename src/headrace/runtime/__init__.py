"""The runtime, and what code may ask of the run that it belongs to."""

from __future__ import annotations

from headrace.runtime.runtime import Application, Runtime

__all__ = ("Application", "Runtime")
