"""What surrounds the present code: the run or scope it belongs to, and tags."""

from __future__ import annotations

from headrace.context.deadlines import deadline
from headrace.context.holders import CURRENT, RETRIES_OFF, Holder, carry, current
from headrace.context.run_contexts import (
    FlowRunContext,
    RunContext,
    TaskRunContext,
    get_run_context,
    is_task_run,
    logs_prints,
    present_flow_run,
    present_task_run,
)
from headrace.context.tagging import TAGS, TagsContext, tags, tags_here

__all__ = (
    "CURRENT",
    "RETRIES_OFF",
    "TAGS",
    "FlowRunContext",
    "Holder",
    "RunContext",
    "TagsContext",
    "TaskRunContext",
    "carry",
    "current",
    "deadline",
    "get_run_context",
    "is_task_run",
    "logs_prints",
    "present_flow_run",
    "present_task_run",
    "tags",
    "tags_here",
)
