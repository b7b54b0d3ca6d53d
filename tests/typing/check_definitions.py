"""Decorators and options: what is given, kept and refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, assert_type

from headrace import (
    Adaptive,
    Flow,
    Limit,
    Runtime,
    State,
    Submission,
    Task,
    exponential_backoff,
    flow,
    task,
)
from headrace.flows import FlowDecorator
from headrace.runs import TaskRun
from headrace.tasks import TaskDecorator


def double(x: int, /) -> int:
    return x * 2


async def shout(text: str) -> str:
    return text.upper()


class Point:
    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y


class Adder:
    def __call__(self, x: int) -> int:
        return x + 1


def may_retry(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    return True


def check_the_forms_of_the_decorator() -> None:
    assert_type(task(double), Task[[int], int])
    assert_type(task(double, name="twice", retries=3), Task[[int], int])
    assert_type(task(), TaskDecorator)
    assert_type(task(retries=3), TaskDecorator)
    assert_type(task(retries=3)(double), Task[[int], int])
    assert_type(task(None, retries=3)(double), Task[[int], int])
    assert_type(Task(double, "twice"), Task[[int], int])
    assert_type(Task(fn=double, retries=1), Task[[int], int])
    assert_type(flow(), FlowDecorator)
    assert_type(flow(double)(1), int)
    assert_type(flow(name="twice")(double)(1), int)
    assert_type(Flow(double, timeout_seconds=1)(1), int)


async def check_other_callables() -> None:
    assert_type(await task(shout)("a"), str)
    assert_type(task(Point)(1, 2), Point)
    assert_type(task(Point).submit(1, y=2), Submission[Point])
    assert_type(task(Adder())(1), int)
    assert_type(task(len)([]), int)
    assert_type(task(functools.partial(double, 1))(), int)
    assert_type(task(lambda: 1)(), int)


def check_what_is_refused() -> None:
    task(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    task(double, retrys=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    task(double, retries="3")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    task(timeout_seconds="1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    Task(double, retrys=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Task(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    flow(double, interrupt=True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def check_options() -> None:
    twice = task(
        double,
        name="twice",
        description="Twice as much.",
        tags=["a", "b"],
        version="1",
        retries=3,
        retry_delay_seconds=exponential_backoff(2),
        retry_jitter_factor=0.5,
        retry_condition_fn=may_retry,
        timeout_seconds=60,
        interrupt=False,
    )
    assert_type(twice.name, str)
    assert_type(twice.description, str | None)
    assert_type(twice.tags, set[str])
    assert_type(twice.version, str | None)
    assert_type(twice.retries, int)
    assert_type(twice.timeout_seconds, float | None)
    assert_type(twice.interrupt, bool)
    assert_type(twice.isasync, bool)
    assert_type(twice.task_key, str)
    assert_type(twice.fn(1), int)
    twice.retries = 5
    twice.fn = shout


def check_with_options() -> None:
    twice = task(double)
    assert_type(twice.with_options(retries=3, tags=None), Task[[int], int])
    assert_type(twice.with_options(name="two").submit(1), Submission[int])
    assert_type(flow(double).with_options(timeout_seconds=None)(1), int)
    twice.with_options(retrys=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    twice.with_options(fn=double)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def check_limits() -> None:
    twice = task(concurrency_limit=5)(double)
    assert_type(twice.concurrency_limit, Limit | None)
    assert_type(twice.with_options(concurrency_limit=Limit(rate="5/s"))(1), int)
    Runtime(limits={"db": 5, "api": Limit(Adaptive(), key=len)}, max_pending=10)
    task(concurrency_limit="5")(double)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    Runtime(limits={"db": "5"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]


class Traced(Task[[int], int]):
    """A task of one's own."""

    def traced(self) -> str:
        return self.name


def check_subclasses() -> None:
    assert_type(Traced(double).with_options(retries=1).traced(), str)
    assert_type(Traced(double).submit(1), Submission[int])


def check_tasks_as_callables(call: Callable[[int], int]) -> None:
    check_tasks_as_callables(task(double))
    check_tasks_as_callables(flow(double))
    check_tasks_as_callables(task(Point))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
