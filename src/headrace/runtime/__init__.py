"""The runtime, and what code may ask of the runs that it belongs to."""

from __future__ import annotations

from headrace.runtime import flow_run, task_run
from headrace.runtime.runtime import Application, Runtime

__all__ = ("Application", "Runtime", "flow_run", "task_run")
