"""`Runtime.drain`: nothing new, wait, cancel, and say what is left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest

from headrace import Runtime, Settings, flow, task
from headrace.exceptions import (
    BlockedLoop,
    CancelledRun,
    DeadlockError,
    RunEnded,
    RuntimeClosing,
)

BOUND = 5  # seconds; nothing here comes near


@task
async def sleep(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@task
async def steps(count: int) -> float:
    """One run after the other, each submitted when the one before has ended."""
    return sum([await (await sleep.submit(1)) for _ in range(count)])


@task
def double(number: int) -> int:
    return 2 * number


@flow
async def coroutine_flow() -> int:
    return await (await double.submit(1))


@flow
def plain_flow() -> int:
    return 1


async def numbers() -> AsyncGenerator[int]:
    yield 1


async def stream_one() -> None:
    async for _ in sleep.stream(numbers()):
        pass


# -- what is taken, and what is not ------------------------------------------------


async def test_runs_that_go_on_may_submit_others_until_they_have_ended() -> None:
    async with Runtime() as runtime:
        future = await steps.submit(5)

        drained = await runtime.drain(60)

    assert await future == 5
    assert drained.is_clean
    assert drained.seconds >= 0
    assert "every run had ended" in str(drained)


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda: sleep.submit(1), id="submit"),
        pytest.param(lambda: sleep.map([1]), id="map"),
        pytest.param(lambda: double(1), id="call"),
        pytest.param(plain_flow, id="plain flow"),
    ],
)
async def test_work_from_outside_is_refused_at_once(ask: Any) -> None:
    async with Runtime() as runtime:
        await runtime.drain(0)

        with pytest.raises(RuntimeClosing, match="is being drained"):
            ask()
        with runtime.use(), pytest.raises(RunEnded):  # which it is a kind of
            ask()


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda: sleep(1), id="await"),
        pytest.param(lambda: double.acall(1), id="acall"),
        pytest.param(coroutine_flow, id="coroutine flow"),
        pytest.param(plain_flow.acall, id="plain flow"),
        pytest.param(stream_one, id="stream"),
    ],
)
async def test_awaited_work_from_outside_is_refused_as_well(ask: Any) -> None:
    async with Runtime() as runtime:
        await runtime.drain(0)

        with pytest.raises(RuntimeClosing, match="is being drained"):
            await ask()


async def test_it_refuses_while_it_waits_and_not_only_afterwards() -> None:
    async with Runtime() as runtime:
        first = await sleep.submit(10)
        draining = asyncio.create_task(runtime.drain(60))
        await anyio.sleep(1)

        assert not runtime.is_ready
        with pytest.raises(RuntimeClosing):
            sleep.submit(1)
        assert await first == 10
        assert (await draining).is_clean


async def test_a_stream_that_somebody_reads_comes_to_its_end() -> None:
    read: list[int] = []

    async def source() -> AsyncGenerator[int]:
        for number in range(3):
            await asyncio.sleep(1)
            yield number

    async def read_all() -> None:
        async for number in sleep.stream(source(), limit=1):
            assert number == len(read)
            read.append(int(number))

    async with Runtime() as runtime, asyncio.TaskGroup() as group:
        group.create_task(read_all())
        await anyio.wait_all_tasks_blocked()

        drained = await runtime.drain(60)

    assert read == [0, 1, 2]
    assert drained.is_clean


# -- when the grace is over ---------------------------------------------------------


async def test_what_goes_on_when_the_grace_is_over_is_cancelled_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Runtime() as runtime:
        quick, *slow = await sleep.map([1, 100, 100])
        waiting = await double.submit(1, wait_for=[slow[0]])
        began = anyio.current_time()

        drained = await runtime.drain(10)

        assert anyio.current_time() - began == pytest.approx(10, abs=0.2)
    assert quick.state.name == "Completed"
    assert [each.state.name for each in (*slow, waiting)] == ["Cancelled"] * 3
    assert drained.cancelled == ("sleep-1", "sleep-2", "double-0")
    assert not drained.is_clean
    assert drained.abandoned == ()
    assert "runs cancelled: 3 ('sleep-1', 'sleep-2', 'double-0')" in caplog.text


async def test_a_body_that_does_not_stop_is_named_as_abandoned() -> None:
    is_free = asyncio.Event()

    @task
    async def stubborn() -> None:
        while not is_free.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await is_free.wait()

    async with Runtime() as runtime:
        future = await stubborn.submit()
        await anyio.wait_all_tasks_blocked()

        drained = await runtime.drain(1)

        assert drained.abandoned == drained.cancelled == ("stubborn-0",)
        assert future.state.name == "Cancelled"
        assert runtime.stats()["zombies"] == 1
        is_free.set()
        await anyio.sleep(1)


def test_a_thread_that_does_not_stop_is_named_as_abandoned() -> None:
    begun, is_free = threading.Event(), threading.Event()

    @task(interrupt=False)
    def stuck() -> None:
        begun.set()
        is_free.wait(BOUND)

    with Runtime(settings=Settings(cancel_grace_seconds=0.02)) as runtime:
        stuck.submit()
        assert begun.wait(BOUND)

        drained = runtime.drain_blocking(0)
        is_free.set()

    assert drained.abandoned == ("stuck-0",)
    assert "that did not stop: 1 ('stuck-0')" in str(drained)


def test_what_a_thread_by_hand_has_called_and_does_not_stop_is_not_waited_for() -> None:
    begun, is_free = threading.Event(), threading.Event()
    given: list[int] = []

    @task
    def stuck() -> int:
        begun.set()
        is_free.wait(BOUND)
        return 1

    def call(runtime: Runtime) -> None:
        with runtime.use():
            given.append(stuck())

    with Runtime(settings=Settings(cancel_grace_seconds=0)) as runtime:
        thread = threading.Thread(target=call, args=[runtime])
        thread.start()
        assert begun.wait(BOUND)

        drained = runtime.drain_blocking(0)

    assert thread.is_alive()  # and the block has been left
    is_free.set()
    thread.join()
    assert drained.abandoned == drained.cancelled == ("stuck-0",)
    assert given == [1]


async def test_very_many_are_counted_and_a_thousand_are_named() -> None:
    async with Runtime() as runtime:
        await sleep.map([100] * 1_200)

        drained = await runtime.drain(0)

    assert len(drained.cancelled) == 1_000
    assert drained.more_cancelled == 200
    assert "runs cancelled: 1200 (" in str(drained)
    assert "and 1190 more)" in str(drained)


async def test_whoever_gives_up_waiting_cancels_nothing() -> None:
    async with Runtime() as runtime:
        future = await sleep.submit(10)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(runtime.drain(5), 1)

        assert await future == 10
        assert not runtime.is_ready


async def test_it_may_be_asked_for_twice_and_the_shorter_grace_counts() -> None:
    async with Runtime() as runtime:
        future = await sleep.submit(100)
        began = anyio.current_time()

        async with asyncio.TaskGroup() as group:
            long = group.create_task(runtime.drain(50))
            group.create_task(runtime.drain(5))

        assert anyio.current_time() - began == pytest.approx(5, abs=0.5)
        assert long.result().is_clean  # before its own grace was over
    assert future.state.name == "Cancelled"


async def test_the_grace_is_by_default_that_of_the_settings() -> None:
    async with Runtime(settings=Settings(drain_grace_seconds=2)) as runtime:
        await sleep.submit(100)
        began = anyio.current_time()

        await runtime.drain()

        assert anyio.current_time() - began == pytest.approx(2, abs=0.2)


# -- from where ----------------------------------------------------------------------


def test_plain_code_drains_too() -> None:
    with Runtime() as runtime:
        future = sleep.submit(100)

        drained = runtime.drain_blocking(0)

        assert future.state.name == "Cancelled"
        with pytest.raises(CancelledRun):
            future.value()
        with pytest.raises(RuntimeClosing):
            double.submit(1)
    assert drained.cancelled == ("sleep-0",)


def test_a_runtime_that_has_run_nothing_is_drained_at_once() -> None:
    with Runtime() as runtime:
        assert runtime.drain_blocking(BOUND).is_clean
    assert runtime.drain_blocking(BOUND).is_clean


def test_one_that_was_left_may_be_entered_again_and_takes_work() -> None:
    runtime = Runtime()
    with runtime:
        runtime.drain_blocking(0)

    with runtime:
        assert runtime.is_ready
        assert double.submit(2).result() == 4


def test_another_loop_may_await_it() -> None:
    with Runtime() as runtime:
        future = sleep.submit(100)

        drained = asyncio.run(runtime.drain(0))

    assert drained.cancelled == ("sleep-0",)
    assert future.state.name == "Cancelled"


async def test_a_run_of_its_own_cannot_wait_for_itself() -> None:
    runtime = Runtime()

    @task
    async def drains() -> None:
        await runtime.drain(1)

    @flow
    async def drains_too() -> None:
        await runtime.drain(1)

    async with runtime:
        for ask in (drains, drains_too):
            with pytest.raises(DeadlockError, match="by a run of the runtime itself"):
                await ask()
        assert runtime.is_ready


async def test_the_blocking_form_does_not_block_its_loop() -> None:
    async with Runtime() as runtime:
        with pytest.raises(BlockedLoop, match=r"await runtime.drain\(...\)"):
            runtime.drain_blocking(1)


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf")], ids=str)
async def test_a_grace_that_is_no_time_is_refused(wrong: float) -> None:
    text: Any = "1"
    async with Runtime() as runtime:
        with pytest.raises(ValueError, match="at least 0"):
            await runtime.drain(wrong)
        with pytest.raises(TypeError, match="no time to wait"):
            await runtime.drain(text)
        assert runtime.is_ready


async def test_one_that_was_not_entered_says_so() -> None:
    with pytest.raises(RuntimeError, match="has not been entered"):
        await Runtime().drain(1)


# -- readiness -----------------------------------------------------------------------


async def test_it_is_ready_from_its_entry_until_it_is_left() -> None:
    runtime = Runtime()
    seen = [runtime.is_ready]

    @task
    async def look() -> None:
        await asyncio.sleep(1)
        seen.append(runtime.is_ready)  # while its block is being left

    async with runtime:
        seen.append(runtime.is_ready)
        look.submit()

    assert [*seen, runtime.is_ready] == [False, True, False, False]


async def test_a_clean_drain_is_logged_as_news_and_no_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "headrace.engine")

    async with Runtime() as runtime:
        await runtime.drain(1)

    (record,) = caplog.records
    assert record.levelno == logging.INFO
