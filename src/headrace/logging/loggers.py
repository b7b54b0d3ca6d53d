"""Loggers whose records say which run wrote them."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Self

from headrace._text import one_line
from headrace.context import (
    FlowRunContext,
    TaskRunContext,
    get_run_context,
    is_task_run,
)
from headrace.runs import FlowRun, Record, TaskRun, record_of

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

_ROOT: Final = "headrace"
FLOW_RUNS: Final = logging.getLogger("headrace.flow_runs")
TASK_RUNS: Final = logging.getLogger("headrace.task_runs")

_DISABLED: Final[ContextVar[bool]] = ContextVar(
    "headrace_disabled_loggers", default=False
)


class RunLogAdapter(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds fields to each record; ``extra=`` of a call adds more.

    Where several give the same field, the call wins.
    """

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the fields; called by `logging` for each record that is made."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs

    def getChild(  # noqa: N802 - as `logging.Logger` calls it
        self, suffix: str, extra: Mapping[str, Any] | None = None
    ) -> Self:
        """A logger below this one, with its fields and more."""
        fields = {**(self.extra or {}), **(extra or {})}
        return type(self)(self.logger.getChild(suffix), fields)


class _NullLogger(logging.Logger):
    """Drops everything; not known to `logging`, so nobody else can get at it."""

    def __init__(self) -> None:
        super().__init__("null")
        self.disabled = True

    def getChild(self, suffix: str) -> Self:  # noqa: ARG002, N802 - nothing of nothing
        return self


class _Fields(Mapping[str, Any]):
    """The fields of a run, made when first looked at: most loggers stay silent."""

    __slots__ = ("_made", "_more", "_run")

    def __init__(self, run: Record, more: Mapping[str, Any]) -> None:
        self._run: Record | None = run
        self._more = more
        self._made: dict[str, Any] = {}

    def _all(self) -> dict[str, Any]:
        run = self._run
        if run is not None:
            self._made = {**_fields_of(run), **self._more}
            self._run = None  # after the other: several threads may look
        return self._made

    def __getitem__(self, name: str) -> Any:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


def _fields_of(run: Record) -> dict[str, Any]:
    scope = run.scope
    flow_name: str | None = scope.flow_name
    is_in_flow = flow_name is not None
    of_flow = {
        "flow_run_id": scope.id,
        "flow_run_name": one_line(scope.name) if is_in_flow else None,
        "flow_name": one_line(flow_name) if flow_name is not None else None,
    }
    if not is_task_run(run):
        return of_flow
    return {
        "task_run_id": run.id,
        "task_run_name": one_line(run.name),
        "task_name": one_line(run.spec.name),
        **of_flow,
    }


def logger_of(run: Record, **more: Any) -> RunLogAdapter:
    """The logger of a run, from its record."""
    logger = TASK_RUNS if is_task_run(run) else FLOW_RUNS
    return RunLogAdapter(logger, _Fields(run, more))


def get_run_logger(
    context: TaskRunContext | FlowRunContext | None = None, **extra: Any
) -> RunLogAdapter:
    """A logger for the run that the present code belongs to.

    In a task it is ``headrace.task_runs``, and each record has the fields
    ``task_run_id``, ``task_run_name``, ``task_name``, ``flow_run_id``,
    ``flow_run_name`` and ``flow_name`` (None where there is no flow); in a flow it is
    ``headrace.flow_runs``, with the last three.

    Args:
        context: Another run, as `headrace.get_run_context` gives it.
        extra: More fields, or others in place of those.

    Raises:
        MissingContextError: The code runs in no task and in no flow.
        TypeError: ``context`` is no such context.
    """
    if _DISABLED.get():
        return RunLogAdapter(_NullLogger(), extra)
    found: Any = get_run_context() if context is None else context
    if isinstance(found, TaskRunContext):
        return logger_of(record_of(found.task_run), **extra)
    if isinstance(found, FlowRunContext):
        return logger_of(record_of(found.flow_run), **extra)
    raise TypeError(
        f"get_run_logger() takes a TaskRunContext or a FlowRunContext, not {found!r}. "
        f"Take one in a body with headrace.get_run_context(), or leave it out there."
    )


def task_run_logger(
    task_run: TaskRun,
    task: Any = None,
    flow_run: FlowRun | None = None,
    flow: Any = None,
    **extra: Any,
) -> RunLogAdapter:
    """A logger for a task run, where it is not the run of the present code: in hooks.

    Args:
        task_run: The run.
        task: Names the task otherwise than the run does.
        flow_run: Likewise its flow run.
        flow: Likewise its flow.
        extra: More fields.
    """
    others = {"task_name": task, "flow_run_name": flow_run, "flow_name": flow}
    return logger_of(record_of(task_run), **_names(others), **extra)


def flow_run_logger(flow_run: FlowRun, flow: Any = None, **extra: Any) -> RunLogAdapter:
    """A logger for a flow run, where it is not the run of the present code: in hooks.

    Args:
        flow_run: The run.
        flow: Names the flow otherwise than the run does.
        extra: More fields.
    """
    return logger_of(record_of(flow_run), **_names({"flow_name": flow}), **extra)


def _names(things: Mapping[str, Any]) -> dict[str, str]:
    return {
        field: one_line(str(thing.name))
        for field, thing in things.items()
        if thing is not None
    }


def get_logger(name: str | None = None) -> logging.Logger:
    """A logger below ``headrace``; that one itself without a name.

    Args:
        name: ``"app"`` for ``headrace.app``; a name that begins with ``headrace.``
            is taken as it is.
    """
    if name is None or name == _ROOT or name.startswith(f"{_ROOT}."):
        return logging.getLogger(name or _ROOT)
    return logging.getLogger(f"{_ROOT}.{name}")


@contextmanager
def disable_run_logger() -> Generator[None]:
    """Have nothing logged of runs in the block, and by them.

    `get_run_logger` gives a logger called ``null`` that drops everything, outside of
    runs too, so that the function of a task can be tested by itself. Prints are printed.
    """
    token = _DISABLED.set(True)
    try:
        yield
    finally:
        _DISABLED.reset(token)


def is_disabled(run: Any = None) -> bool:
    """Whether run loggers are disabled: for the present code, or for that of a run."""
    context = None if run is None else run.context
    if context is None:
        return _DISABLED.get()
    return bool(context.get(_DISABLED, False))
