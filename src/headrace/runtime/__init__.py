"""The runtime, and what code may ask of the runs that it belongs to."""

from __future__ import annotations

from headrace.runs import Drained
from headrace.runtime import flow_run, task_run
from headrace.runtime.asgi import Application
from headrace.runtime.runtime import Runtime

__all__ = ("Application", "Drained", "Runtime", "flow_run", "task_run")
