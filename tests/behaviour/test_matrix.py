"""Every kind of task in every kind of flow, by every door, in every place."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from headrace import Flow, Task, flow, task
from headrace.exceptions import BlockedLoop

DOORS = ["call", "submit", "map"]
KINDS = ["plain", "coroutine"]


def plain_double(number: int) -> int:
    return 2 * number


async def coroutine_double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


TASKS: dict[str, Task[..., Any]] = {
    "plain": task(name="double")(plain_double),
    "coroutine": task(name="double")(coroutine_double),
}

# -- flows: each uses one door, and blocks there too; it gives what that made of it ----


def use_call_plainly(double: Task[..., Any]) -> tuple[Any, str | None]:
    return double(21), None


def use_submit_plainly(double: Task[..., Any]) -> tuple[Any, str | None]:
    return double.submit(21).result(), None


def use_map_plainly(double: Task[..., Any]) -> tuple[Any, str | None]:
    return double.map([1, 2, 3]).result(), None


async def use_call(double: Task[..., Any]) -> tuple[Any, str | None]:
    return await double(21) if double.isasync else double(21), None


async def use_submit(double: Task[..., Any]) -> tuple[Any, str | None]:
    future = double.submit(21)
    blocked = refusal_of(future.value if double.isasync else future.result)
    return await future.aresult(), blocked


async def use_map(double: Task[..., Any]) -> tuple[Any, str | None]:
    futures = double.map([1, 2, 3])
    blocked = refusal_of(futures[-1].value if double.isasync else futures.result)
    return await futures.aresult(), blocked


def refusal_of(wait: Callable[[], object]) -> str:
    with pytest.raises(BlockedLoop) as refusal:
        wait()
    return str(refusal.value)


FLOWS: dict[tuple[str, str], Flow[..., Any]] = {
    ("plain", "call"): flow(use_call_plainly),
    ("plain", "submit"): flow(use_submit_plainly),
    ("plain", "map"): flow(use_map_plainly),
    ("coroutine", "call"): flow(use_call),
    ("coroutine", "submit"): flow(use_submit),
    ("coroutine", "map"): flow(use_map),
}

# -- what each gives -------------------------------------------------------------------

VALUES = {"call": 42, "submit": 42, "map": [2, 4, 6]}

# In coroutine flows only: in a plain flow every one of these waits blocks, and works.
REFUSALS = {
    ("plain", "submit"): (
        "double-0.result() would block the event loop that must do the work: the run "
        "'double-0' is not done. Write `await future.aresult()`."
    ),
    ("coroutine", "submit"): (
        "double-0.value() would block the event loop that must do the work: the run "
        "'double-0' is not done. Write `await future.aresult()`."
    ),
    ("plain", "map"): (
        "map(...).result() would block the event loop that must do the work: the run "
        "'double-0' is not done. Write `await futures.aresult()`."
    ),
    ("coroutine", "map"): (
        "double-2.value() would block the event loop that must do the work: the run "
        "'double-2' is not done. Write `await future.aresult()`."
    ),
}

# -- where it is called ----------------------------------------------------------------


def in_this_thread(called: Flow[..., Any], double: Task[..., Any]) -> Any:
    if called.isasync:
        return asyncio.run(called(double))
    return called(double)


def in_another_thread(called: Flow[..., Any], double: Task[..., Any]) -> Any:
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(in_this_thread(called, double)))
    thread.start()
    thread.join(timeout=10)
    return got.pop()


def in_a_running_loop(called: Flow[..., Any], double: Task[..., Any]) -> Any:
    async def service() -> Any:
        if called.isasync:
            # Beside other work of the same loop, as a request handler would.
            one, other = await asyncio.gather(called(double), called(double))
            assert one == other
            return one
        return called(double)

    return asyncio.run(service())


def in_a_task(called: Flow[..., Any], double: Task[..., Any]) -> Any:
    @task
    def plain_outer() -> Any:
        return called(double)

    @task
    async def coroutine_outer() -> Any:
        return await called(double)

    @flow
    def around() -> Any:
        return (coroutine_outer if called.isasync else plain_outer).submit().value()

    return around()


PLACES = {
    "main-thread": in_this_thread,
    "other-thread": in_another_thread,
    "running-loop": in_a_running_loop,
    "inside-a-task": in_a_task,
}


@pytest.mark.rule("CALL-01", "CALL-03", "MAP-01")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("task_kind", [f"{kind}-task" for kind in KINDS])
@pytest.mark.parametrize("flow_kind", [f"{kind}-flow" for kind in KINDS])
def test_a_task_gives_its_value_or_says_that_the_loop_is_blocked(
    flow_kind: str, task_kind: str, door: str, place: str
) -> None:
    flow_kind = flow_kind.removesuffix("-flow")
    task_kind = task_kind.removesuffix("-task")
    called = FLOWS[flow_kind, door]

    value, refusal = PLACES[place](called, TASKS[task_kind])

    assert value == VALUES[door]
    blocks = flow_kind == "coroutine" and door != "call"
    assert refusal == (REFUSALS[task_kind, door] if blocks else None)
