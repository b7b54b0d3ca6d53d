"""``max_pending``: who submits more than can begin is made to wait, or not."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from headrace import Runtime, StateChanged, flow, ref, task
from headrace.exceptions import CancelledRun

BOUND = 5  # seconds; nothing here comes near


@task
async def second(n: int = 0) -> int:
    await asyncio.sleep(1)
    return n


async def test_awaiting_a_submit_waits_until_the_line_is_shorter() -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async with Runtime(max_concurrency=2, max_pending=3):
        began = loop.time()
        for n in range(9):
            await second.submit(n)
            times.append(loop.time() - began)

    # Two begin and three stand in line at once; then as many as begin.
    assert times == pytest.approx([0] * 5 + [1, 1, 2, 2])


async def test_submits_that_are_not_awaited_stand_in_line_all_the_same() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with Runtime(max_concurrency=1, max_pending=1):
        submissions = [second.submit(n) for n in range(5)]
        assert loop.time() == began
        assert [await (await s) for s in submissions] == [*range(5)]

    assert loop.time() - began == pytest.approx(5)


async def test_awaiting_a_map_waits_until_all_of_it_is_admitted() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with Runtime(max_concurrency=1, max_pending=2):
        futures = await second.map(range(6))
        assert loop.time() - began == pytest.approx(3)
        assert await futures.aresult() == [*range(6)]


async def test_admission_is_in_the_order_of_the_submits() -> None:
    order: list[int] = []

    async def submit(n: int) -> None:
        await second.submit(n)
        order.append(n)

    async with Runtime(max_concurrency=1, max_pending=1):
        await asyncio.gather(*[submit(n) for n in range(6)])

    assert order == [*range(6)]


async def test_cancelling_the_wait_withdraws_the_run() -> None:
    began: list[int] = []

    @task
    async def note(n: int) -> None:
        began.append(n)
        await asyncio.sleep(1)

    async with Runtime(max_concurrency=1, max_pending=1):
        await note.submit(0)
        await note.submit(1)
        third = note.submit(2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await third
        with pytest.raises(CancelledRun):
            await third.future

    assert began == [0, 1]


async def test_cancelling_the_wait_for_a_map_withdraws_what_is_not_admitted() -> None:
    async with Runtime(max_concurrency=1, max_pending=2):
        futures = second.map(range(6))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await futures
        states = await futures.astate()

    assert [state.name for state in states if state] == (
        ["Completed"] * 4 + ["Cancelled"] * 2
    )


async def test_runs_that_submit_others_never_wait() -> None:
    @task
    async def parent() -> int:
        loop = asyncio.get_running_loop()
        began = loop.time()
        futures = [await second.submit(n) for n in range(4)]
        assert loop.time() == began
        return sum([await future for future in futures])

    async with Runtime(max_concurrency=1, max_pending=1):
        assert await (await parent.submit()) == 6


async def test_a_run_that_ends_without_a_start_makes_room() -> None:
    @task
    async def fail() -> int:
        raise ValueError

    loop = asyncio.get_running_loop()
    async with Runtime(max_concurrency=1, max_pending=1):
        failed = await fail.submit()
        for _ in range(5):
            await second.submit(ref(failed))
        assert loop.time() == pytest.approx(0, abs=0.01)


async def test_without_a_limit_nothing_is_pending_for_long() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with Runtime(max_pending=1):
        for n in range(20):
            await second.submit(n)
        assert loop.time() == began


class Fourth:
    """Hears that a fourth run was submitted."""

    def __init__(self) -> None:
        self.is_there = threading.Event()
        self._seen = 0

    def on_event(self, event: StateChanged) -> None:
        self._seen += event.after.name == "Pending"
        if self._seen == 4:
            self.is_there.set()


def test_plain_code_blocks_in_the_call() -> None:
    go_on, fourth = threading.Event(), Fourth()
    order: list[object] = []

    @task
    def wait_for_it(n: int) -> None:
        go_on.wait(BOUND)

    def submit(runtime: Runtime) -> None:
        with runtime.use():
            for n in range(4):
                wait_for_it.submit(n)
                order.append(n)

    with Runtime(max_threads=1, max_pending=2, observers=[fourth]) as runtime:
        thread = threading.Thread(target=submit, args=(runtime,))
        thread.start()
        assert fourth.is_there.wait(BOUND)
        order.append("let go")
        go_on.set()
        thread.join(BOUND)

    assert order == [0, 1, 2, "let go", 3]


def test_a_map_in_plain_code_blocks_until_all_of_it_is_admitted() -> None:
    @task
    def step(n: int) -> int:
        return n

    @flow
    def use() -> Any:
        return step.map(range(50)).result()

    with Runtime(max_threads=2, max_pending=4):
        assert use() == [*range(50)]


def test_a_plain_task_that_submits_never_waits() -> None:
    @task
    def step(n: int) -> int:
        return n

    @task
    def parent() -> list[int]:
        return [future.value() for future in [step.submit(n) for n in range(6)]]

    with Runtime(max_threads=1, max_pending=1):
        assert parent.submit().value() == [*range(6)]


async def test_a_plain_body_that_submits_keeps_its_place_in_a_limit() -> None:
    at_work: list[int] = []
    most: list[int] = []

    @task
    async def child() -> None: ...

    @task(concurrency_limit=1)
    def parent(n: int) -> None:
        at_work.append(n)
        child.submit()
        most.append(len(at_work))
        at_work.remove(n)

    async with Runtime(max_pending=2):
        futures = parent.map(range(50))
        await asyncio.gather(*futures)

    assert most == [1] * 50
