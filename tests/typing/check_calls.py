"""Calls and submits: plain values are checked, results have the function's own type."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeAlias, assert_type
from uuid import UUID

from headrace import Flow, State, Submission, Task, TaskFuture, flow, ref, task
from headrace.futures import AsyncSubmission, AsyncTaskFuture
from headrace.runs import TaskRun

Awaited: TypeAlias = Coroutine[Any, Any, bytes]


@task
def add(x: int, y: int = 0, *, scale: float = 1.0) -> float:
    return (x + y) * scale


@task
async def fetch(url: str, *parts: str) -> bytes:
    return url.encode()


@task
def untold(x: int) -> Any:
    return x


@task
def nothing() -> None: ...


@task
async def nothing_yet() -> None: ...


@task
def either(x: int) -> int | str:
    return x


def check_calls_of_plain_tasks() -> None:
    assert_type(add(1), float)
    assert_type(add(1, 2, scale=0.5), float)
    assert_type(add(1, return_state=True), State[float])
    assert_type(add(1, wait_for=[]), float)
    assert_type(add(1, return_state=True, wait_for=[]), State[float])
    assert_type(either(1), int | str)
    assert_type(either(1, return_state=True), State[int | str])
    assert_type(untold(1), Any)
    assert_type(untold(1, return_state=True), State[Any])
    assert_type(nothing(return_state=True), State[None])
    assert_type(add.fn(1), float)


async def check_calls_of_coroutine_tasks() -> None:
    assert_type(await fetch("u", "a", "b"), bytes)
    assert_type(await fetch("u", return_state=True), State[bytes])
    assert_type(await fetch("u", wait_for=[]), bytes)
    assert_type(await fetch.fn("u"), bytes)
    assert_type(await asyncio.gather(fetch("u"), fetch("v")), tuple[bytes, bytes])
    async with asyncio.TaskGroup() as group:
        assert_type(group.create_task(fetch("u")), asyncio.Task[bytes])
        assert_type(
            group.create_task(fetch("u", return_state=True)), asyncio.Task[State[bytes]]
        )


async def check_acall() -> None:
    assert_type(await add.acall(1, scale=2.0), float)
    assert_type(await fetch.acall("u"), bytes)
    assert_type(await untold.acall(1), Any)
    assert_type(await add.acall(1, return_state=True), State[float])
    assert_type(await fetch.acall("u", return_state=True), State[bytes])
    assert_type(await add.acall(1, wait_for=[]), float)
    assert_type(await fetch.acall("u", wait_for=[]), bytes)


async def check_submits_of_plain_tasks() -> None:
    submission = add.submit(1, 2)
    assert_type(submission, Submission[float])
    assert_type(submission.result(), float)
    assert_type(submission.result(5, raise_on_failure=False), float | BaseException)
    assert_type(submission.wait(), State[float] | None)
    assert_type(await submission.aresult(), float)
    assert_type(await submission.astate(5), State[float] | None)
    assert_type(submission.value(), float)
    assert_type(submission.state, State[float])
    assert_type(submission.state.result(), float)
    assert_type(submission.cancel(), bool)
    assert_type(submission.task_run, TaskRun)
    assert_type(submission.key, UUID)
    assert_type(submission.future, TaskFuture[float])
    assert_type(await submission, TaskFuture[float])
    assert_type(await (await submission), float)
    assert_type(await add.submit(1, return_state=True), State[float])
    assert_type(add.submit(1, return_state=True).result(), float)
    assert_type(add.submit(1, wait_for=[submission]), Submission[float])
    assert_type(untold.submit(1), Submission[Any])
    assert_type(untold.submit(1, wait_for=[submission]), Submission[Any])
    assert_type(nothing.submit().result(), None)


async def check_submits_of_coroutine_tasks() -> None:
    submission = fetch.submit("u")
    assert_type(submission, AsyncSubmission[bytes])
    assert_type(await assert_type(submission.result(), Awaited), bytes)
    assert_type(await submission.result(raise_on_failure=False), bytes | BaseException)
    assert_type(await submission.wait(5), State[bytes] | None)
    assert_type(submission.value(), bytes)
    assert_type(await submission, AsyncTaskFuture[bytes])
    future = await submission
    assert_type(await future, bytes)
    assert_type(await assert_type(future.result(), Awaited), bytes)
    assert_type(await future.wait(), State[bytes] | None)
    assert_type(await future.aresult(), bytes)
    assert_type(future.state, State[bytes])
    assert_type(await fetch.submit("u", return_state=True), State[bytes])
    assert_type(fetch.submit("u", wait_for=[future]), AsyncSubmission[bytes])
    assert_type(await (await nothing_yet.submit()), None)


async def check_gather() -> None:
    submissions = [add.submit(x) for x in range(3)]
    assert_type(await asyncio.gather(*submissions), list[TaskFuture[float]])
    futures = [await submission for submission in submissions]
    assert_type(await asyncio.gather(*futures), list[float])
    assert_type(await asyncio.wait_for(futures[0], 5), float)
    assert_type(await asyncio.shield(await fetch.submit("u")), bytes)


async def check_futures_as_arguments() -> None:
    plain, coroutine = add.submit(1), fetch.submit("u")
    assert_type(ref(plain), float)
    assert_type(ref(coroutine), bytes)
    assert_type(ref(await coroutine), bytes)
    fetch.submit("u", str(ref(coroutine)))
    add.submit(1, scale=ref(plain))
    add.submit(ref(coroutine))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    add.submit(1, scale=plain)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def check_wrong_arguments() -> None:
    add("1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    add()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    add(1, z=2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    add(1, 2, 3.0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    add.submit("1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    add.submit()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    add.submit(1, scale="2")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    fetch.submit(1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    add.fn("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def check_wrong_arguments_in_coroutine_code() -> None:
    await fetch(1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await fetch("u", 2)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await add.acall("1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await add(1)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    x: int = await fetch("u")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    y: float = await add.submit(x)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    y.hex()


def give(future: TaskFuture[float]) -> None: ...


async def check_that_a_submission_is_no_future() -> None:
    give(await add.submit(1))
    give(add.submit(1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@flow
def total(xs: list[int]) -> float:
    return sum(add.map(xs).result())


@flow
async def page(url: str) -> bytes:
    return await (await fetch.submit(url))


def check_plain_flows() -> None:
    assert_type(total([1]), float)
    assert_type(total([1], return_state=True), State[float])
    assert_type(total.fn([1]), float)
    total(["1"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    total.submit([1])  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def check_coroutine_flows() -> None:
    assert_type(await page("u"), bytes)
    assert_type(await page("u", return_state=True), State[bytes])
    assert_type(await page.acall("u"), bytes)
    assert_type(await total.acall([1], return_state=True), State[float])
    assert_type(await total.acall([1]), float)
    await page(1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def check_any_task(loose: Task[..., float], loosest: Task[..., Any]) -> None:
    assert_type(loose(1, 2, 3), float)
    assert_type(loose.submit("any"), Submission[float])
    assert_type(loosest(1, 2), Any)
    assert_type(loosest.submit().result(), Any)
    assert_type(Task(lambda: 1).submit(), Submission[int])
    assert_type(Flow(lambda: 1)(), int)


def check_a_wider_type(wider: Task[..., float | str]) -> None:
    assert_type(wider(1), float | str)
    check_a_wider_type(add)
    check_any_task(add, fetch)
    check_a_wider_type(fetch)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
