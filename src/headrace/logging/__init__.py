"""Loggers that know their run, and prints that are logged.

headrace configures no logging: no handler, no level, nothing of the root logger. What is
logged of runs goes to the loggers ``headrace.task_runs`` and ``headrace.flow_runs``.
"""

from __future__ import annotations

from headrace.logging.loggers import (
    FLOW_RUNS,
    TASK_RUNS,
    RunLogAdapter,
    disable_run_logger,
    flow_run_logger,
    get_logger,
    get_run_logger,
    is_disabled,
    logger_of,
    task_run_logger,
)

__all__ = (
    "FLOW_RUNS",
    "TASK_RUNS",
    "RunLogAdapter",
    "disable_run_logger",
    "flow_run_logger",
    "get_logger",
    "get_run_logger",
    "is_disabled",
    "logger_of",
    "task_run_logger",
)
