"""Plain hooks: in few threads where they return soon, in many where they block."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from headrace import Runtime, State, task

pytestmark = pytest.mark.anyio


def hooked(*hooks: Any, **options: Any) -> Any:
    """A coroutine task with these hooks, which gives its argument."""

    @task(on_completion=list(hooks), **options)
    async def same(x: int) -> int:
        return x

    return same


async def values(runs: Any) -> list[Any]:
    """What runs give, in order."""
    return [await run for run in runs]


async def test_hooks_of_many_runs_take_few_threads_if_they_return_soon() -> None:
    threads: set[int] = set()

    def note(*_: object) -> None:
        threads.add(threading.get_ident())

    async with Runtime():
        runs = hooked(note, note).map(range(2_000))
        assert await values(runs) == list(range(2_000))
    assert threading.get_ident() not in threads
    assert 1 <= len(threads) <= 16  # of 64; each would do


@pytest.mark.rule("HOOK-04")
@pytest.mark.parametrize("meeting", [2, 3, 12])
async def test_hooks_of_runs_that_wait_for_each_other_all_go_on(meeting: int) -> None:
    barrier = threading.Barrier(meeting)

    def meet(*_: object) -> None:
        barrier.wait(10)

    async with Runtime():
        runs = hooked(meet).map(range(meeting))
        assert await values(runs) == list(range(meeting))
    assert not barrier.broken


async def test_a_hook_that_blocks_holds_up_no_other_run() -> None:
    others_ended = threading.Event()

    def block(_task: Any, run: Any, _state: State[Any]) -> None:
        if run.name.endswith("-0"):
            assert others_ended.wait(10)

    async with Runtime():
        first, *others = hooked(block).map(range(50))
        assert await values(others) == list(range(1, 50))
        assert not first.done()
        others_ended.set()
        assert await first == 0


async def test_with_one_thread_hooks_are_called_one_after_the_other() -> None:
    inside: list[int] = []
    most: list[int] = []

    def note(*_: object) -> None:
        inside.append(1)
        most.append(len(inside))
        inside.pop()

    async with Runtime(max_threads=1):
        await values(hooked(note, note).map(range(200)))
    assert most == [1] * 400


async def test_bodies_that_fill_every_thread_do_not_hold_up_hooks() -> None:
    may_end = threading.Event()

    @task
    def body() -> bool:
        return may_end.wait(10)

    async with Runtime(max_threads=1):
        blocked = await body.submit()
        assert await (await hooked(lambda *_: None).submit(1)) == 1
        may_end.set()
        assert await blocked


async def test_hooks_see_the_context_that_their_run_was_submitted_in() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    seen: list[int] = []

    def look(*_: object) -> None:
        seen.append(variable.get())
        variable.set(-1)

    hooked_task = hooked(look, look)
    async with Runtime():
        for number in range(3):
            variable.set(number)
            await (await hooked_task.submit(number))
    assert [seen[0], seen[2], seen[4]] == [0, 1, 2]


async def test_leaving_a_runtime_waits_for_hooks_in_threads() -> None:
    told: list[int] = []

    async with Runtime():
        hooked(lambda *_: told.append(1)).map(range(500))
    assert len(told) == 500


async def test_a_cancel_while_hooks_are_called_changes_nothing() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def hook(*_: object) -> None:
        begun.set()
        may_end.wait(10)

    async with Runtime():
        run = await hooked(hook).submit(1)
        await asyncio.to_thread(begun.wait, 10)
        run.cancel()
        may_end.set()
        assert await run == 1
