"""Functions around the body of each attempt, of a runtime and of a task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from headrace import Runtime, flow, task
from headrace.runs import TaskRun
from headrace.task_runners import ProcessPoolTaskRunner
from headrace.testing import fail_on

Next = Callable[[], Awaitable[Any]]
PlainNext = Callable[[], Any]


@task
async def double(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


@task
def triple(x: int) -> int:
    return 3 * x


def cube(x: int) -> int:
    return x**3


def noting(seen: list[str], name: str) -> Any:
    async def note(run: TaskRun, call_next: Next) -> Any:
        seen.append(f"{name} before {run.name}")
        value = await call_next()
        seen.append(f"{name} after {value}")
        return value

    return note


def plainly_noting(seen: list[str], name: str) -> Any:
    def note(run: TaskRun, call_next: PlainNext) -> Any:
        seen.append(f"{name} before {run.name}")
        value = call_next()
        seen.append(f"{name} after {value}")
        return value

    return note


DOORS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "called": lambda task: in_loop(task(1)),
    "acalled": lambda task: task.acall(1),
    "submitted": lambda task: task.submit(1).aresult(),
    "mapped": lambda task: task.map([1]).aresult(),
}


async def in_loop(value: Any) -> Any:
    return await value if asyncio.iscoroutine(value) else value


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", ["coroutine", "plain"])
async def test_it_goes_around_the_body_through_every_door(kind: str, door: str) -> None:
    seen: list[str] = []
    make = noting if kind == "coroutine" else plainly_noting
    inner = (double if kind == "coroutine" else triple).with_options(
        name="it", middleware=[make(seen, "b"), make(seen, "c")]
    )
    value = 2 if kind == "coroutine" else 3

    # The middleware of the other kind is not called.
    both = [noting(seen, "a"), plainly_noting(seen, "a")]
    async with Runtime(middleware=both):
        await DOORS[door](inner)

    assert seen == [
        *(f"{name} before it-0" for name in "abc"),
        *(f"{name} after {value}" for name in "cba"),
    ]


def test_it_goes_around_tasks_of_flows_and_of_what_they_call() -> None:
    seen: list[str] = []

    @task
    def outer() -> int:
        return triple(1)

    @flow
    def main() -> int:
        return outer.submit().value()

    with Runtime(middleware=[plainly_noting(seen, "a")]):
        assert main() == 3

    assert seen == [
        "a before outer-0",
        "a before triple-0",
        "a after 3",
        "a after 3",
    ]


async def test_it_may_change_the_value_or_give_one_itself() -> None:
    async def add(run: TaskRun, call_next: Next) -> int:
        return await call_next() + 1

    async def answer(run: TaskRun, call_next: Next) -> int:
        return 42

    assert await double.with_options(middleware=[add])(1) == 3
    assert await double.with_options(middleware=[answer])(1) == 42


async def test_it_goes_around_each_attempt_and_sees_its_number() -> None:
    counts: list[int] = []
    errors: list[Exception] = []

    async def look(run: TaskRun, call_next: Next) -> Any:
        counts.append(run.run_count)
        try:
            return await call_next()
        except ConnectionError as error:
            errors.append(error)
            raise

    it = double.with_options(middleware=[look], retries=2, retry_delay_seconds=3600)
    with fail_on(it, attempts=[1, 2], exception=ConnectionError):
        assert await it(1) == 2

    assert counts == [1, 2, 3]
    assert len(errors) == 2


async def test_what_it_raises_fails_the_attempt() -> None:
    async def refuse(run: TaskRun, call_next: Next) -> Any:
        raise PermissionError(run.parameters["x"])

    def refuse_plainly(run: TaskRun, call_next: PlainNext) -> Any:
        raise PermissionError(run.parameters["x"])

    async with Runtime(middleware=[refuse, refuse_plainly]):
        states = [
            await double.submit(7, return_state=True),
            await double(7, return_state=True),
            await triple.submit(7, return_state=True),
            triple(7, return_state=True),
        ]

    assert [state.name for state in states] == ["Failed"] * 4
    assert [type(state.data) for state in states] == [PermissionError] * 4


async def test_the_time_limit_is_one_for_it_and_the_body() -> None:
    async def wait(run: TaskRun, call_next: Next) -> Any:
        await asyncio.sleep(40)
        return await call_next()

    slow = task(timeout_seconds=60, middleware=[wait])(sleep)
    async with Runtime():
        assert (await slow.submit(10, return_state=True)).name == "Completed"
        assert (await slow.submit(30, return_state=True)).name == "TimedOut"
        assert (await slow(30, return_state=True)).name == "TimedOut"


async def sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def test_it_runs_where_the_body_does() -> None:
    threads: list[int] = []

    def note(run: TaskRun, call_next: PlainNext) -> Any:
        threads.append(threading.get_ident())
        return call_next()

    it = task(threading.get_ident, middleware=[note])
    async with Runtime():
        in_worker = await (await it.submit())
        in_place = it()

    assert threads == [in_worker, in_place]
    assert in_worker != in_place == threading.get_ident()


async def test_it_is_given_generators_as_lists() -> None:
    seen: list[object] = []

    async def look(run: TaskRun, call_next: Next) -> Any:
        seen.append(await call_next())
        return seen[-1]

    def look_plainly(run: TaskRun, call_next: PlainNext) -> Any:
        seen.append(call_next())
        return seen[-1]

    def plain() -> Any:
        yield 1

    async def coroutine() -> Any:
        yield 1

    async with Runtime(middleware=[look, look_plainly]):
        await task(coroutine).submit().aresult()
        await task(plain).acall()

    assert seen == [[1], [1]]


async def test_a_body_that_is_cancelled_is_cancelled_through_it() -> None:
    ended: list[str] = []

    async def clean_up(run: TaskRun, call_next: Next) -> Any:
        try:
            return await call_next()
        finally:
            ended.append(run.name)

    it = task(sleep, name="it", middleware=[clean_up])
    async with Runtime():
        future = await it.submit(3600)
        await asyncio.sleep(1)
        future.cancel()

    assert future.state.name == "Cancelled"
    assert ended == ["it-0"]


@pytest.mark.slow
async def test_it_stays_here_when_the_body_runs_in_another_process() -> None:
    seen: list[str] = []

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    async def main() -> int:
        return await task(cube, middleware=[plainly_noting(seen, "b")]).submit(2)  # pyright: ignore[reportReturnType]

    async with Runtime(middleware=[plainly_noting(seen, "a")]):
        value = await asyncio.wait_for(main(), 3600)

    assert value == 8
    assert seen == ["a before cube-0", "b before cube-0", "b after 8", "a after 8"]


def test_options_keep_it() -> None:
    async def pass_on(run: TaskRun, call_next: Next) -> Any:
        return await call_next()

    it = double.with_options(middleware=(pass_on,))

    assert it.middleware == [pass_on]
    assert it.with_options(retries=1).middleware == [pass_on]
    assert it.with_options(middleware=None).middleware == []
    assert double.middleware == []


@pytest.mark.parametrize(
    ("given", "text"),
    [
        pytest.param(print, "is no list", id="a-function"),
        pytest.param("print", "is no list", id="a-text"),
        pytest.param([1], "1 cannot be called", id="a-number"),
        pytest.param([lambda run, call_next: call_next()], "cannot go around a coroutine task.*async def", id="plain"),
    ],
)  # fmt: skip
def test_what_is_no_middleware_is_refused_at_decoration(given, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        double.with_options(middleware=given)


def test_a_coroutine_function_cannot_go_around_a_plain_task() -> None:
    with pytest.raises(TypeError, match=r"cannot go around a plain task.*`def note"):
        triple.with_options(middleware=[noting([], "a")])


@pytest.mark.parametrize("given", [print, "print", [1]])
def test_what_is_no_middleware_is_refused_by_a_runtime(given: Any) -> None:
    with pytest.raises(
        TypeError, match=r"Runtime\(middleware=...\): .* Give it a list"
    ):
        Runtime(middleware=given)


def test_a_runtime_can_be_left_and_entered_again_with_it() -> None:
    seen: list[str] = []
    runtime = Runtime(middleware=[plainly_noting(seen, "a")])

    for _ in range(2):
        with runtime:
            triple.submit(1).value()

    assert len(seen) == 4
