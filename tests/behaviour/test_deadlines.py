"""Deadlines: one moment by which all that was started in a block is over."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from headrace import Limit, Runtime, State, deadline, flow, task, wait
from headrace.exceptions import DeadlineExceeded

LONG = 3600.0


def now() -> float:
    return asyncio.get_running_loop().time()


@task(name="sleep")
async def _sleep(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


# What it gives depends on where it is called; so do types, which are tested elsewhere.
sleep: Any = _sleep


@task(retries=10, retry_delay_seconds=0.75)
async def fail() -> None:
    raise ConnectionError("refused")


def is_overdue(state: State[Any] | None) -> bool:
    return (
        state is not None
        and state.name == "TimedOut"
        and state.is_failed()
        and isinstance(state.data, DeadlineExceeded)
    )


async def keep_all(values: AsyncIterator[Any], given: list[Any]) -> None:
    async for value in values:
        given.append(value)  # noqa: PERF401 - what came before an error counts too


async def submitted() -> None:
    await (await sleep.submit(LONG))


async def mapped() -> None:
    await sleep.map([LONG] * 3).aresult()


async def in_place() -> None:
    await sleep(LONG)


async def streamed() -> None:
    async for _ in sleep.stream([LONG]):
        pass


async def by_a_flow() -> None:
    @flow
    async def outer() -> None:
        await sleep.submit(LONG)

    await outer()


async def by_a_child() -> None:
    @task
    async def parent() -> float:
        return await (await sleep.submit(LONG))

    await (await parent.submit())


async def queued_for_a_limit() -> None:
    limited = sleep.with_options(concurrency_limit=1)
    first, second = await limited.submit(LONG), await limited.submit(1)
    with pytest.raises(DeadlineExceeded):
        await second
    assert second.task_run.start_time is None
    await first


async def retried_again_and_again() -> None:
    await fail()


async def waiting_for_an_input() -> None:
    await (await sleep.submit(sleep.submit(LONG)))


@pytest.mark.parametrize(
    "use",
    [
        submitted,
        mapped,
        in_place,
        streamed,
        by_a_flow,
        by_a_child,
        queued_for_a_limit,
        retried_again_and_again,
        waiting_for_an_input,
    ],
    ids=lambda use: use.__name__,
)
async def test_a_deadline_bounds_what_is(use: Callable[[], Any]) -> None:
    async with Runtime():
        started = now()

        with deadline(2), pytest.raises(DeadlineExceeded):
            await use()

        assert now() - started == pytest.approx(2)


async def test_a_run_that_is_overdue_has_timed_out_and_says_so() -> None:
    async with Runtime():
        with deadline(2):
            future = await fail.submit()
        state = await future.astate()

    assert is_overdue(state)
    assert isinstance(state, State)
    assert str(state.message) == "Task run exceeded its deadline of 2 seconds"
    assert isinstance(state.data.__cause__, ConnectionError)
    assert future.task_run.run_count == 3


async def test_runs_that_end_before_are_left_alone() -> None:
    async with Runtime():
        with deadline(2):
            early, late = await sleep.submit(1), await sleep.submit(3)
            assert await early == 1
            done, _ = await wait([early, late])

    assert len(done) == 2
    assert early.state.is_completed()
    assert is_overdue(late.state)


async def test_what_is_called_after_a_deadline_is_refused() -> None:
    @flow
    async def some_flow() -> None: ...

    @task
    def plain() -> None: ...

    async with Runtime() as runtime:
        with deadline(1):
            await anyio.sleep(1)
            assert deadline.remaining() == 0
            for call in (
                lambda: sleep.submit(0),
                lambda: sleep.map([0]),
                lambda: sleep.stream([0]),
                plain,
            ):
                with pytest.raises(DeadlineExceeded, match="was called after"):
                    call()
            for make in (lambda: sleep(0), some_flow, plain.acall):
                with pytest.raises(DeadlineExceeded, match="was called after"):
                    await make()
            with pytest.raises(DeadlineExceeded):
                deadline(1).__enter__()
        runs = list(runtime.runs)

    assert runs == []


async def test_of_nested_deadlines_the_earlier_holds() -> None:
    with deadline(5):
        with deadline(2):
            assert deadline.remaining() == 2
        with deadline(8):
            assert deadline.remaining() == 5
        assert deadline.remaining() == 5

    assert deadline.remaining() is None


async def test_bodies_see_what_is_left_of_the_deadline_of_their_caller() -> None:
    @task
    async def look() -> float | None:
        return deadline.remaining()

    @task
    def look_in_a_thread() -> float | None:
        return deadline.remaining()

    async with Runtime():
        with deadline(2):
            await anyio.sleep(0.5)
            seen = [await look(), await (await look.submit())]
            in_a_thread = await look_in_a_thread.acall()
        outside = await look()

    assert seen == [1.5, 1.5]
    assert in_a_thread == pytest.approx(1.5)
    assert outside is None


async def test_a_deadline_holds_for_runs_that_outlive_its_block() -> None:
    async with Runtime():
        with deadline(2):
            future = await sleep.submit(LONG)

        assert is_overdue(await future.astate())
        assert now() == pytest.approx(2)


async def test_a_block_whose_runs_have_ended_leaves_no_timer() -> None:
    async with Runtime():
        with deadline(LONG):
            await (await sleep.submit(1))
        await anyio.lowlevel.checkpoint()

        loop: Any = asyncio.get_running_loop()
        assert [timer for timer in loop._scheduled if not timer.cancelled()] == []


async def test_a_body_that_cleans_up_is_waited_for() -> None:
    @task
    async def tidy() -> None:
        try:
            await anyio.sleep(LONG)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)
            cleaned.append(now())

    cleaned: list[float] = []

    async with Runtime():
        for door in (tidy, tidy.submit):
            begun = now()
            with deadline(2):
                given = await door(return_state=True)

            assert is_overdue(given)
            assert cleaned.pop() - begun == pytest.approx(3)


async def test_dependants_outside_of_the_block_are_held_back() -> None:
    async with Runtime():
        with deadline(1):
            late = await sleep.submit(LONG)
        held = await sleep.submit(late)

        state = await held.astate()

    assert state is not None
    assert state.name == "NotReady"


async def test_a_stream_over_a_source_that_gives_nothing_ends() -> None:
    async def silent() -> AsyncIterator[float]:
        yield 1
        await anyio.sleep(LONG)

    async with Runtime():
        given: list[float] = []
        with deadline(2), pytest.raises(DeadlineExceeded, match="stream"):
            await keep_all(sleep.stream(silent()), given)

    assert given == [1]


async def test_a_flow_under_a_deadline_ends_with_its_runs() -> None:
    @flow
    async def outer() -> Any:
        futures.append(await sleep.submit(LONG))
        return await inner()

    @flow
    async def inner() -> Any:
        futures.append(await sleep.submit(LONG))
        return await futures[-1]

    futures: list[Any] = []

    with deadline(2):
        state = await outer(return_state=True)

    assert is_overdue(state)
    assert all(is_overdue(future.state) for future in futures)


async def test_a_cancelled_caller_takes_its_run_along_under_a_deadline_too() -> None:
    async def call() -> None:
        with deadline(10):
            await sleep(LONG)

    async with Runtime() as runtime:
        caller = asyncio.create_task(call())
        await anyio.sleep(1)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        names = [run.state_name for run in runtime.runs]

    assert names == ["Cancelled"]


async def test_places_in_limits_are_given_back_at_a_deadline() -> None:
    limit = Limit(1)
    limited = sleep.with_options(concurrency_limit=limit)

    async with Runtime():
        with deadline(1):
            await limited.map([LONG] * 3).astate()
        assert await limited(1) == 1

    assert limit.stats()["used"] == 0


@pytest.mark.parametrize("seconds", [0, -1, -0.5])
def test_a_deadline_in_the_past_refuses_at_once(seconds: float) -> None:
    with pytest.raises(DeadlineExceeded, match="was entered after"):
        deadline(seconds).__enter__()

    assert deadline.remaining() is None


@pytest.mark.parametrize(
    ("seconds", "kind"),
    [("2", TypeError), (None, TypeError), (True, TypeError), (math.inf, ValueError)],
)
def test_what_is_no_time_is_refused(seconds: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"deadline\("):
        deadline(seconds)


def test_it_is_a_timeout_error() -> None:
    assert issubclass(DeadlineExceeded, TimeoutError)


def test_a_plain_flow_waits_no_longer_than_its_deadline() -> None:
    @task
    def blocked() -> None:
        ended.wait(5)

    @flow
    def outer() -> State[None] | None:
        with deadline(0.05):
            first, second = blocked.submit(), blocked.with_options(name="x").submit()
            with pytest.raises(DeadlineExceeded):
                blocked()
            with pytest.raises(DeadlineExceeded):
                first.result()
            state = second.wait()
        ended.set()
        return state

    ended = threading.Event()

    with pytest.raises(DeadlineExceeded):
        outer()


async def test_what_is_queued_with_hooks_does_not_start_after_a_deadline() -> None:
    async def body() -> None:
        begun.append(now())
        await anyio.sleep(LONG)

    async def told(of_task: Any, run: Any, state: State[None]) -> None:
        await anyio.sleep(1)
        failed.append(state.name)

    begun: list[float] = []
    failed: list[str] = []
    it = task(name="it", concurrency_limit=1, on_failure=[told])(body)

    async with Runtime():
        with deadline(2):
            await asyncio.gather(
                *[future.astate() for future in [await it.submit() for _ in range(9)]]
            )

    assert begun == [0]
    assert failed == ["TimedOut"] * 9


async def test_a_plain_body_is_not_held_up_by_what_it_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended: list[tuple[str, float]] = []

    @task
    async def slow_to_end() -> None:
        try:
            await anyio.sleep(1000)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)
            ended.append(("called", now()))

    called: Any = slow_to_end

    @task
    def body() -> None:
        try:
            called()
        finally:
            ended.append(("caller", loop.time()))

    loop = asyncio.get_running_loop()
    began = now()
    async with Runtime() as runtime:
        with deadline(1):
            future = await body.submit()
            state = await future.astate()
        assert runtime.stats()["abandoned_threads"] == 0

    assert is_overdue(state)
    assert ended == [("caller", began + 1), ("called", began + 3)]
    assert "abandoned" not in caplog.text
