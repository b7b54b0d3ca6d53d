"""Where the bodies of a flow's tasks run: what ``@flow(task_runner=...)`` takes.

A runner is given single attempts. Inputs, retries, limits, states and hooks stay with
the engine, on the loop of the flow.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, Self, runtime_checkable

from headrace._values import Shown

__all__ = (
    "BaseTaskRunner",
    "Call",
    "ConcurrentTaskRunner",
    "LocalTaskRunner",
    "ProcessPoolTaskRunner",
    "Runner",
    "SequentialTaskRunner",
    "TaskConcurrencyType",
    "ThreadPoolTaskRunner",
    "checked_runner",
    "checked_workers",
)


class TaskConcurrencyType(StrEnum):
    """How runs go on beside each other."""

    SEQUENTIAL = "SEQUENTIAL"  # one after the other
    CONCURRENT = "CONCURRENT"  # in turns, in this process
    PARALLEL = "PARALLEL"  # at the same time, in several


@dataclass(slots=True, eq=False, repr=False)
class Call(Shown):
    """One attempt: a function and what to call it with.

    Attributes:
        name: The name of the run.
        fn: The function of the task.
        args: Its arguments, futures replaced by their values.
        kwargs: Its keyword arguments.
        is_async: Whether it is a coroutine function: what it gives is to be awaited.
    """

    name: str
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    is_async: bool


@runtime_checkable
class Runner(Protocol):
    """Runs single attempts somewhere else.

    The engine opens it on the loop of a flow run, before the first attempt, and
    leaves it when all runs of that flow have ended.
    """

    def open(self) -> AbstractAsyncContextManager[Any]:
        """What it needs to be running: entered once for a flow run."""
        ...

    async def run(self, call: Call) -> Any:
        """Run one attempt: give its value or raise what it raised.

        Cancelled at a time limit, or when the run is cancelled; it must end what it
        started then.
        """
        ...


class BaseTaskRunner:
    """What all runners of headrace share. A runner of your own need not inherit it."""

    concurrency_type: TaskConcurrencyType

    def duplicate(self) -> Self:
        """A runner with the same options; each flow run uses one of its own."""
        return copy.copy(self)

    def options(self) -> dict[str, object]:
        """What it was made with, by name."""
        return {k: v for k, v in vars(self).items() if not k.startswith("_")}

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BaseTaskRunner)
            and type(other) is type(self)
            and other.options() == self.options()
        )

    def __hash__(self) -> int:
        return hash((type(self), *self.options().values()))

    def __getstate__(self) -> dict[str, object]:
        return self.options()  # what is open stays here

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.options().items())
        return f"{type(self).__name__}({shown})"


class LocalTaskRunner(BaseTaskRunner):
    """One that leaves bodies where they are: on the loop, and in threads."""

    @property
    def is_sequential(self) -> bool:
        """Whether a run starts only when the one submitted before has ended."""
        return self.concurrency_type is TaskConcurrencyType.SEQUENTIAL


class ConcurrentTaskRunner(LocalTaskRunner):
    """What a flow without a runner does: coroutine bodies on the loop, others in threads."""

    concurrency_type = TaskConcurrencyType.CONCURRENT


class SequentialTaskRunner(LocalTaskRunner):
    """One submitted run after the other, in the order of their submission.

    In plain code `submit` returns when the run has ended; in coroutine code
    ``await task.submit()`` does.
    """

    concurrency_type = TaskConcurrencyType.SEQUENTIAL


class ThreadPoolTaskRunner(LocalTaskRunner):
    """Plain bodies in threads of the flow run's own.

    Args:
        max_workers: Most of them that run at once; None for what the runtime allows.

    Raises:
        TypeError, ValueError: ``max_workers`` is no whole number above 0.
    """

    concurrency_type = TaskConcurrencyType.CONCURRENT

    def __init__(self, max_workers: int | None = None) -> None:
        self.max_workers = checked_workers(type(self).__name__, max_workers)


class ProcessPoolTaskRunner(BaseTaskRunner):
    """Plain bodies in processes, for those that compute; coroutine bodies on the loop.

    Processes are started when needed and kept for the flow run. Functions, arguments
    and results are pickled (by cloudpickle). A time limit or a cancel kills the process
    of its run. A process that dies fails the attempt it had, which is retried as usual.

    Workers import the script that started them: put what it does under
    ``if __name__ == "__main__":``.

    Args:
        max_workers: Most processes at once; None for one for each processor.

    Raises:
        TypeError, ValueError: ``max_workers`` is no whole number above 0.
    """

    concurrency_type = TaskConcurrencyType.PARALLEL

    def __init__(self, max_workers: int | None = None) -> None:
        self.max_workers = checked_workers(type(self).__name__, max_workers)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Self]:
        """See `Runner.open`."""
        # Late: with multiprocessing and cloudpickle, which few programs use.
        from headrace._concurrency.processes import Processes  # noqa: PLC0415

        self._processes = Processes(self.max_workers)
        try:
            yield self
        finally:
            await self._processes.aclose()
            del self._processes

    async def run(self, call: Call) -> Any:
        """See `Runner.run`."""
        if call.is_async:
            return await call.fn(*call.args, **call.kwargs)
        return await self._processes.call(call.name, call.fn, call.args, call.kwargs)


def checked_workers(kind: str, given: object) -> int | None:
    """A number of workers, or None for the default."""
    if given is None:
        return None
    advice = "Give a whole number of at least 1, or leave it out."
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f"{kind}: max_workers={given!r} is no number. {advice}")
    if given < 1:
        raise ValueError(
            f"{kind}: max_workers={given!r} leaves nobody at work. {advice}"
        )
    return given


def checked_runner(flow_name: str, given: Any) -> Any:
    """The runner of a flow; None for the usual place.

    Raises:
        TypeError: It is no runner.
    """
    if given is None:
        return None
    runner = given() if inspect.isclass(given) else given
    if isinstance(runner, LocalTaskRunner | Runner):
        return runner
    raise TypeError(
        f"{flow_name}: task_runner={given!r} is no task runner. Give one of "
        f"headrace.task_runners, such as ThreadPoolTaskRunner(max_workers=8), or an "
        f"object with the methods of headrace.task_runners.Runner."
    )
