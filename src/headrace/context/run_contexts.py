"""What is known, in a body, of the runs that it belongs to."""

from __future__ import annotations

from contextvars import Token
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

from headrace._values import Shown
from headrace.context.holders import CURRENT
from headrace.exceptions import MissingContextError
from headrace.futures import TaskFuture
from headrace.runs import FlowRun, Record, RunView, TaskRun, record_of

__all__ = (
    "FlowRunContext",
    "RunContext",
    "TaskRunContext",
    "get_run_context",
    "is_task_run",
    "logs_prints",
    "present_flow_run",
    "present_task_run",
)


def is_task_run(holder: object) -> bool:
    """Whether what code belongs to is the record of a task run."""
    return isinstance(holder, TaskFuture)


def present_task_run() -> TaskRun | None:
    """The task run that the present code belongs to."""
    holder = CURRENT.get(None)
    return holder.task_run if is_task_run(holder) else None


def present_flow_run() -> FlowRun | None:
    """The flow run that the present code belongs to, itself or by its task run."""
    holder = CURRENT.get(None)
    if holder is None:
        return None
    # The scope of a runtime has no owner, nor has one whose flow run has ended.
    is_own = isinstance(holder, Record) and not is_task_run(holder)
    run = holder if is_own else holder.scope.owner
    return None if run is None else run.view()


def logs_prints(run: Any) -> bool:
    """Whether what the code of a run prints is logged (LOG-07)."""
    said: bool | None = run.spec.log_prints
    return bool(run.scope.log_prints) if said is None else said


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class RunContext(Shown):
    """What task and flow run contexts have in common.

    ``with context:`` makes its run the one that the code in the block belongs to, also
    in a thread that was made by hand. The block has to be left in the thread that
    entered it; for several blocks at a time make a `copy` for each.

    Attributes:
        parameters: What each parameter of the function got.
        log_prints: Whether what the body prints is logged.
        start_time: When the present attempt began; None before it has.
    """

    parameters: dict[str, Any]
    log_prints: bool
    start_time: datetime | None
    _token: Token[Any] | None = field(default=None, init=False, repr=False)

    def copy(self) -> Self:
        """The same once more, not entered."""
        return replace(self)

    def __enter__(self) -> Self:
        if self._token is not None:
            raise RuntimeError(
                f"this {type(self).__name__} was already entered and has not been left. "
                f"Enter a copy: `with context.copy():`."
            )
        self._keep(CURRENT.set(record_of(self._view())))
        return self

    def __exit__(self, *_: object) -> None:
        token = self._token
        if token is None:
            raise RuntimeError(
                f"asymmetric use: this {type(self).__name__} was left more often than "
                f"entered. Write `with context:` and leave the rest to that."
            )
        CURRENT.reset(token)
        self._keep(None)

    def _keep(self, token: Token[Any] | None) -> None:
        object.__setattr__(self, "_token", token)

    def _view(self) -> RunView:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TaskRunContext(RunContext):
    """What is known of the task run that code belongs to.

    Attributes:
        task: The task.
        task_run: Its run.
    """

    task: Any
    task_run: TaskRun

    @classmethod
    def get(cls) -> Self | None:
        """That of the present code; None where no task runs."""
        task_run = present_task_run()
        if task_run is None:
            return None
        run = record_of(task_run)
        return cls(task=run.spec.owner, task_run=task_run, **_facts(run))

    def _view(self) -> RunView:
        return self.task_run


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class FlowRunContext(RunContext):
    """What is known of the flow run that code belongs to, itself or by its task run.

    Attributes:
        flow: The flow.
        flow_run: Its run.
        task_runner: Where the bodies of its tasks run.
        task_run_dynamic_keys: Of each task key, the number of its latest run in it.
    """

    flow: Any
    flow_run: FlowRun
    task_runner: Any
    task_run_dynamic_keys: dict[str, int]

    @classmethod
    def get(cls) -> Self | None:
        """That of the present code; None where no flow runs."""
        flow_run = present_flow_run()
        if flow_run is None:
            return None
        run = record_of(flow_run)
        flow = run.spec.owner
        return cls(
            flow=flow,
            flow_run=flow_run,
            task_runner=flow.task_runner,
            task_run_dynamic_keys=run.scope.dynamic_keys(),
            **_facts(run),
        )

    def _view(self) -> RunView:
        return self.flow_run


def _facts(run: Any) -> dict[str, Any]:
    started: float | None = getattr(run, "started", None)
    return {
        "parameters": run.parameters(),
        "log_prints": logs_prints(run),
        "start_time": None if started is None else datetime.fromtimestamp(started, UTC),
    }


def get_run_context() -> TaskRunContext | FlowRunContext:
    """That of the task run that the present code belongs to, else of its flow run.

    Raises:
        MissingContextError: There is neither.
    """
    found = TaskRunContext.get() or FlowRunContext.get()
    if found is None:
        raise MissingContextError(
            "there is no active flow or task run context: this code runs in no task and "
            "in no flow. Call it in the body of one. In a thread that was made by hand "
            "enter a context that was taken in the body, `with context:`, or start the "
            "thread with headrace.carry(function)."
        )
    return found
