"""What runs are called when nothing else was said: the task's name, and a number."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace import Runtime, Task, flow, task


@task(name="double")
def _double(x: int) -> int:
    return x * 2


@task(name="triple")
def _triple(x: int) -> int:
    return x * 3


# Not typed here: what a call gives depends on where it is made.
double: Any = _double
triple: Any = _triple


@task
async def half(x: int) -> float:
    return x / 2


@pytest.mark.rule("RNAME-01", "RNAME-02")
def test_runs_are_numbered_in_the_order_of_the_calls() -> None:
    @flow
    def program() -> Any:
        first = double.submit(1)
        second, third = double.map([2, 3])
        other = triple.submit(4)
        return [
            (future.name, future.task_run.name, future.task_run.dynamic_key)
            for future in (first, second, third, other)
        ]

    assert program() == [
        ("double-0", "double-0", "0"),
        ("double-1", "double-1", "1"),
        ("double-2", "double-2", "2"),
        ("triple-0", "triple-0", "0"),
    ]


@pytest.mark.rule("RNAME-02")
async def test_every_door_counts() -> None:
    recorded: list[str] = []

    class Listener:
        def on_event(self, event: Any) -> None:
            if event.before is None:
                recorded.append(event.run.name)

    @flow(name="program")
    async def program() -> None:
        double(1)
        await double.acall(1)
        await half(1)
        await half.acall(1)
        await half.submit(1)
        await asyncio.gather(*half.map([1, 2]))

    async with Runtime(observers=[Listener()]):
        await program()

    assert recorded[0] == "program-0"
    assert sorted(recorded[1:]) == [
        "double-0",
        "double-1",
        "half-0",
        "half-1",
        "half-2",
        "half-3",
        "half-4",
    ]


@pytest.mark.rule("RNAME-02")
def test_each_flow_run_and_each_runtime_counts_anew() -> None:
    @flow
    def inner() -> str:
        return double.submit(1).name

    @flow
    def outer() -> list[str]:
        return [double.submit(1).name, inner(), inner(), double.submit(1).name]

    names = ["double-0", "double-0", "double-0", "double-1"]
    assert [outer(), outer()] == [names, names]
    with Runtime():
        assert [double.submit(1).name, outer(), double.submit(1).name] == [
            "double-0",
            names,
            "double-1",
        ]


@pytest.mark.rule("RNAME-03", "OPT-09", "KEY-04")
async def test_copies_of_a_task_share_its_numbers() -> None:
    other = double.with_options(name="other")

    async with Runtime():
        names = [each.submit(1).name for each in (double, other, double)]

    assert names == ["double-0", "other-1", "double-2"]


@pytest.mark.rule("KEY-04", "RNAME-02")
async def test_tasks_of_one_name_and_two_functions_have_numbers_of_their_own() -> None:
    def one() -> None: ...

    def two() -> None: ...

    tasks: list[Task[..., Any]] = [task(one, name="same"), task(two, name="same")]

    async with Runtime():
        names = [each.submit().name for each in (*tasks, *tasks)]

    assert names == ["same-0", "same-0", "same-1", "same-1"]
