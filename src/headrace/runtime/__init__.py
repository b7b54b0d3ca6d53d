"""The runtime, and what code may ask of the runs that it belongs to."""

from __future__ import annotations

from headrace.runs import Drained
from headrace.runtime import flow_run, task_run
from headrace.runtime.runtime import Runtime
from headrace.runtime.service import Application

__all__ = ("Application", "Drained", "Runtime", "flow_run", "task_run")
