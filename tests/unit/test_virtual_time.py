from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Generator

import anyio
import pytest

from headrace.testing import VirtualTimeLoop


@pytest.fixture
def loop() -> Generator[VirtualTimeLoop]:
    loop = VirtualTimeLoop()
    yield loop
    loop.close()


async def test_a_sleep_of_an_hour_moves_the_clock_by_an_hour() -> None:
    started = anyio.current_time()

    await anyio.sleep(3600)

    assert anyio.current_time() - started == pytest.approx(3600)


async def test_timers_fire_in_the_order_of_their_deadlines() -> None:
    seen: list[int] = []

    async def note(seconds: int) -> None:
        await anyio.sleep(seconds)
        seen.append(seconds)

    async with anyio.create_task_group() as group:
        for seconds in (300, 100, 200):
            group.start_soon(note, seconds)

    assert seen == [100, 200, 300]


async def test_the_clock_stands_still_while_something_is_ready() -> None:
    started = anyio.current_time()

    for _ in range(100):
        await asyncio.sleep(0)

    assert anyio.current_time() == started


async def test_a_time_limit_ends_a_wait_for_ever() -> None:
    started = anyio.current_time()

    with anyio.move_on_after(60) as scope:
        await anyio.sleep_forever()

    assert scope.cancelled_caught
    assert anyio.current_time() - started == pytest.approx(60)


async def test_a_cancelled_timer_does_not_move_the_clock() -> None:
    asyncio.get_running_loop().call_later(1000, lambda: None).cancel()

    await anyio.sleep(1)

    assert anyio.current_time() < 1000


async def test_centuries_pass_at_once() -> None:
    started = anyio.current_time()

    await anyio.sleep(300 * 365 * 86_400)

    assert anyio.current_time() - started == pytest.approx(300 * 365 * 86_400)


def test_a_timer_at_infinity_can_be_cancelled(loop: VirtualTimeLoop) -> None:
    timer = loop.call_later(float("inf"), lambda: None)

    timer.cancel()
    timer.cancel()

    assert timer.cancelled()
    loop.run_until_complete(asyncio.sleep(1))


def test_a_test_in_which_everyone_waits_fails_and_names_who(
    loop: VirtualTimeLoop,
) -> None:
    async def wait_for_nobody() -> None:
        await asyncio.Event().wait()

    task = loop.create_task(wait_for_nobody(), name="lonely")

    with pytest.raises(RuntimeError, match=r"no timer is set.*give the wait") as caught:
        loop.run_until_complete(task)

    assert re.search(
        r"lonely \(.*wait_for_nobody at test_virtual_time.py:\d+ > Event.wait at",
        str(caught.value),
    )
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


def test_a_test_that_waits_for_ever_by_a_timer_fails_too(loop: VirtualTimeLoop) -> None:
    task = loop.create_task(anyio.sleep_forever())

    with pytest.raises(RuntimeError, match="no timer is set"):
        loop.run_until_complete(task)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


def test_the_clock_stands_still_while_threads_are_busy() -> None:
    finish = threading.Event()
    loop = VirtualTimeLoop(threads_busy=lambda: not finish.is_set())
    woken = asyncio.Event()

    def work() -> None:
        loop.call_soon_threadsafe(woken.set)
        finish.set()

    async def wait() -> float:
        thread = threading.Timer(0.05, work)
        thread.start()
        async with asyncio.timeout(0.01):
            await woken.wait()
        thread.join()
        return loop.time()

    try:
        assert loop.run_until_complete(wait()) == 0
    finally:
        loop.close()


def test_a_thread_says_itself_that_it_is_busy(loop: VirtualTimeLoop) -> None:
    woken = asyncio.Event()

    def work() -> None:
        wake_up.wait(0.05)
        loop.call_soon_threadsafe(woken.set)

    async def wait() -> float:
        thread.start()
        async with asyncio.timeout(0.01):
            await woken.wait()
        thread.join()
        return loop.time()

    wake_up = threading.Event()
    thread = threading.Thread(target=work)
    thread.headrace_busy = True  # pyright: ignore[reportAttributeAccessIssue]

    assert loop.run_until_complete(wait()) == 0


async def test_the_clock_stands_still_while_a_function_runs_in_the_executor() -> None:
    started = anyio.current_time()

    async with asyncio.timeout(0.01):
        await asyncio.to_thread(threading.Event().wait, 0.05)

    assert anyio.current_time() == started
    await anyio.sleep(60)
    assert anyio.current_time() == started + 60


def test_any_other_thread_has_a_moment_to_wake_the_loop(loop: VirtualTimeLoop) -> None:
    woken = asyncio.Event()

    async def wait() -> None:
        thread = threading.Timer(0.01, loop.call_soon_threadsafe, [woken.set])
        thread.start()
        await woken.wait()
        thread.join()

    loop.run_until_complete(wait())

    assert loop.time() == 0


def test_a_thread_that_stays_silent_does_not_keep_a_test_waiting(
    loop: VirtualTimeLoop,
) -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    task = loop.create_task(asyncio.Event().wait())

    with pytest.raises(RuntimeError, match="no timer is set"):
        loop.run_until_complete(task)

    done.set()
    thread.join()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


@pytest.mark.real_loops
async def test_a_test_may_ask_for_real_loops() -> None:
    assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
