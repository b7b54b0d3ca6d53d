"""Waiting for several futures: ``headrace.wait`` and ``headrace.as_completed``."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import anyio
import pytest

import headrace
from headrace import Runtime, Submission, TaskFuture, flow, task
from headrace.exceptions import BlockedLoop

BOUND = 5  # seconds; nothing here comes near


@task
async def sleep_for(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@task
async def fail_after(seconds: float) -> None:
    await asyncio.sleep(seconds)
    raise ValueError(str(seconds))


@task
def double(x: int) -> int:
    return 2 * x


@task
def block_for_event(event: threading.Event) -> str:
    assert event.wait(BOUND)
    return "done"


# -- wait ------------------------------------------------------------------------------


def test_in_plain_code_wait_blocks_until_all_are_done() -> None:
    @flow
    def main() -> int:
        futures = double.map(range(100))
        done, not_done = headrace.wait(futures, BOUND)
        assert done == set(futures)
        assert not_done == set()
        return len(done)

    assert main() == 100


async def test_in_coroutine_code_wait_is_awaited() -> None:
    async with Runtime():
        futures = await sleep_for.map([1, 2, 3])

        done, not_done = await headrace.wait(futures)

    assert done == set(futures)
    assert not_done == set()


async def test_a_wait_that_runs_out_tells_who_is_done_and_cancels_nobody() -> None:
    async with Runtime():
        futures = await sleep_for.map([1, 5, 2, 9])
        started = anyio.current_time()

        result = await headrace.wait(futures, 3)

        assert anyio.current_time() - started == pytest.approx(3)
        assert result.done == {futures[0], futures[2]}
        assert result.not_done == {futures[1], futures[3]}
        assert await futures.aresult() == [1, 5, 2, 9]


def test_a_blocking_wait_that_runs_out_tells_who_is_done() -> None:
    release = threading.Event()
    with Runtime():
        quick = double.submit(1).future
        slow = block_for_event.submit(release).future
        quick.value(BOUND)

        assert headrace.wait([slow, quick], 0.01) == ({quick}, {slow})
        assert headrace.wait([slow], 0) == (set(), {slow})
        release.set()


async def test_a_wait_of_no_seconds_looks_without_waiting() -> None:
    async with Runtime():
        futures = await sleep_for.map([1, 2])
        started = anyio.current_time()

        assert await headrace.wait(futures, 0) == (set(), set(futures))
        assert anyio.current_time() == started


async def test_a_failed_run_is_done_and_does_not_raise() -> None:
    async with Runtime():
        futures = [await fail_after.submit(1), await sleep_for.submit(2)]

        done, _ = await headrace.wait(futures)

    assert done == set(futures)


async def test_a_wait_can_be_awaited_again() -> None:
    async with Runtime():
        futures = await sleep_for.map([1, 3])
        waiting = headrace.wait(futures, 2)

        first = await waiting
        second = await waiting

    assert first == ({futures[0]}, {futures[1]})
    assert second == (set(futures), set())


@pytest.mark.parametrize("verb", [headrace.wait, headrace.as_completed])
async def test_duplicates_and_submissions_count_as_the_one_future(
    verb: Callable[..., Any],
) -> None:
    async with Runtime():
        submission = sleep_for.submit(1)
        future = await submission
        several = [submission, future, future, Submission(future)]

        if verb is headrace.wait:
            found = [*(await headrace.wait(several)).done]
        else:
            found = [each async for each in headrace.as_completed(several)]

    assert found == [future]
    assert type(found[0]) is type(future)


@pytest.mark.parametrize("make", [list, iter, tuple, set, dict.fromkeys])
async def test_any_iterable_of_futures_can_be_waited_for(
    make: Callable[..., Any],
) -> None:
    async with Runtime():
        futures = await sleep_for.map([1, 2])

        assert (await headrace.wait(make(futures))).done == set(futures)
        assert {each async for each in headrace.as_completed(make(futures))} == set(
            futures
        )


async def test_nothing_to_wait_for_is_done_at_once() -> None:
    assert await headrace.wait([]) == (set(), set())
    assert [each async for each in headrace.as_completed([])] == []


def test_nothing_to_wait_for_is_done_at_once_in_plain_code() -> None:
    assert headrace.wait([]) == (set(), set())
    assert list(headrace.as_completed([])) == []


@pytest.mark.parametrize("verb", [headrace.wait, headrace.as_completed])
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param([1], id="a-number"),
        pytest.param([None], id="none"),
        pytest.param("ab", id="a-text"),
        pytest.param([asyncio], id="a-module"),
    ],
)
async def test_what_is_no_future_is_refused(
    verb: Callable[..., Any], wrong: Any
) -> None:
    with pytest.raises(TypeError, match="which is not a future"):
        verb(wrong)


@pytest.mark.parametrize("verb", [headrace.wait, headrace.as_completed])
async def test_one_future_instead_of_an_iterable_is_refused_with_advice(
    verb: Callable[..., Any],
) -> None:
    async with Runtime():
        submission = sleep_for.submit(1)

        for each in (submission, await submission):
            with pytest.raises(TypeError, match=rf"{verb.__name__}\(\[future\]\)"):
                verb(each)


@pytest.mark.parametrize("verb", [headrace.wait, headrace.as_completed])
@pytest.mark.parametrize("timeout", [-1, math.nan, -math.inf])
def test_a_timeout_that_makes_no_sense_is_refused(
    verb: Callable[..., Any], timeout: float
) -> None:
    with pytest.raises(ValueError, match="timeout="):
        verb([], timeout)


@pytest.mark.parametrize("verb", [headrace.wait, headrace.as_completed])
def test_what_is_neither_futures_nor_a_number_is_refused_with_advice(
    verb: Callable[..., Any],
) -> None:
    with pytest.raises(TypeError, match=r"an iterable of futures, not 3.*what map"):
        verb(3)
    with pytest.raises(TypeError, match=r"timeout='5' is no number.*seconds"):
        verb([], "5")


@pytest.mark.parametrize("verb", [headrace.wait, headrace.as_completed])
def test_what_an_iterator_of_futures_raises_is_raised_as_it_is(
    verb: Callable[..., Any],
) -> None:
    def broken() -> Iterator[Any]:
        yield from ()
        raise TypeError("mine")

    with pytest.raises(TypeError, match=r"^mine$"):
        verb(broken())


def test_futures_of_two_runtimes_can_be_waited_for_at_once() -> None:
    release = threading.Event()
    first, second = Runtime(), Runtime()
    with first, second:
        with first.use():
            slow = block_for_event.submit(release).future
        quick = double.submit(1).future
        quick.value(BOUND)

        assert headrace.wait([slow, quick], 0.01) == ({quick}, {slow})
        release.set()
        assert headrace.wait([slow, quick], BOUND) == ({quick, slow}, set())
        assert set(headrace.as_completed([slow, quick], BOUND)) == {quick, slow}


async def test_coroutine_code_can_wait_for_the_futures_of_two_runtimes() -> None:
    def elsewhere() -> TaskFuture[int]:
        with Runtime():
            return double.submit(4).future

    async with Runtime():
        theirs = await asyncio.to_thread(elsewhere)
        ours = await sleep_for.submit(1)

        done, _ = await headrace.wait([theirs, ours])

    assert done == {theirs, ours}


async def test_in_plain_code_waiting_for_the_loop_of_this_thread_is_refused() -> None:
    @task
    def block(futures: Callable[[], Sequence[TaskFuture[float]]]) -> None:
        headrace.wait(futures())

    @task
    def loop_over(futures: Callable[[], Sequence[TaskFuture[float]]]) -> None:
        list(headrace.as_completed(futures()))

    async with Runtime():
        futures = await sleep_for.map([1, 1])

        with pytest.raises(BlockedLoop, match=r"await headrace\.wait"):
            block(lambda: futures)
        with pytest.raises(BlockedLoop, match="async for"):
            loop_over(lambda: futures)

        await headrace.wait(futures)
        block(lambda: futures)
        loop_over(lambda: futures)


async def test_a_plain_for_over_pending_futures_is_refused_in_coroutine_code() -> None:
    async with Runtime():
        futures = await sleep_for.map([1, 1])

        with pytest.raises(BlockedLoop, match="async for"):
            next(iter(headrace.as_completed(futures)))

        await headrace.wait(futures)
        assert len(list(headrace.as_completed(futures))) == 2


async def test_a_cancelled_wait_leaves_the_runs_alone_and_nothing_in_them() -> None:
    async with Runtime():
        futures = await sleep_for.map([10, 20])

        with anyio.move_on_after(1) as scope:
            await headrace.wait(futures)
        assert await headrace.wait(futures, 1) == (set(), set(futures))

        assert scope.cancelled_caught
        await asyncio.sleep(0.1)
        assert [future.waiters or [] for future in futures] == [[], []]
        assert await futures.aresult() == [10, 20]


async def test_a_wait_that_is_cancelled_before_the_run_begins_leaves_it_alone() -> None:
    runs: list[TaskFuture[float]] = []

    async def submit_and_wait() -> None:
        runs.append(await sleep_for.submit(1))
        await runs[0]

    async with Runtime():
        waiter = asyncio.create_task(submit_and_wait())
        await asyncio.sleep(0)
        assert runs[0].state.is_pending()
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert runs[0].waiters is None
        assert await runs[0] == 1


@pytest.mark.parametrize("seconds", [0, 1])
async def test_many_may_wait_for_a_run_before_it_begins_and_after(seconds: int) -> None:
    runs: list[TaskFuture[float]] = []

    async def wait_for_it(turns: int) -> float:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await runs[0]

    async with Runtime():
        waits = [asyncio.create_task(wait_for_it(turn // 2)) for turn in range(8)]
        runs.append(await sleep_for.submit(seconds))
        assert await asyncio.gather(*waits) == [seconds] * 8


# -- as_completed ----------------------------------------------------------------------


async def test_futures_come_in_the_order_in_which_their_runs_end() -> None:
    async with Runtime():
        futures = await sleep_for.map([3, 1, 2])

        ended = [await each async for each in headrace.as_completed(futures)]

    assert ended == [1, 2, 3]


def test_in_plain_code_futures_come_in_the_order_in_which_their_runs_end() -> None:
    events = [threading.Event() for _ in range(3)]
    order: list[int] = []

    with Runtime():
        futures = block_for_event.map(events)
        arriving: Iterator[TaskFuture[str]] = iter(headrace.as_completed(futures))
        for number in (2, 0, 1):
            events[number].set()
            order.append(futures.index(next(arriving)))
        assert list(arriving) == []

    assert order == [2, 0, 1]


async def test_futures_that_are_done_come_first() -> None:
    async with Runtime():
        slow, quick = await sleep_for.map([2, 1])
        await quick

        arriving = [each async for each in headrace.as_completed([slow, quick])]

    assert arriving == [quick, slow]


async def test_failed_and_cancelled_runs_come_too() -> None:
    async with Runtime():
        failed = await fail_after.submit(1)
        cancelled = await sleep_for.submit(10)
        cancelled.cancel()

        arriving = [each async for each in headrace.as_completed([failed, cancelled])]

    assert arriving == [cancelled, failed]


async def test_a_timeout_counts_from_the_first_step_and_tells_how_many_are_missing() -> (
    None
):
    async with Runtime():
        futures = await sleep_for.map([1, 2, 30, 40])
        completed = headrace.as_completed(futures, 3)
        await asyncio.sleep(0.5)
        started = anyio.current_time()
        arriving = aiter(completed)

        arrived = [await anext(arriving), await anext(arriving)]
        with pytest.raises(TimeoutError, match=r"2 of 4 futures .* within 3 seconds"):
            await anext(arriving)

        assert arrived == futures[:2]
        assert anyio.current_time() - started == pytest.approx(3)
        assert await futures.aresult() == [1, 2, 30, 40]


def test_a_timeout_in_plain_code_raises_for_those_that_are_missing() -> None:
    release = threading.Event()
    with Runtime():
        quick = double.submit(1).future
        slow = block_for_event.submit(release).future
        quick.value(BOUND)
        arriving = iter(headrace.as_completed([slow, quick], 0.01))

        assert next(arriving) is quick
        with pytest.raises(TimeoutError, match="1 of 2 futures"):
            next(arriving)
        release.set()

        assert slow.value(BOUND) == "done"


async def test_an_iteration_that_was_left_leaves_nothing_in_the_runs() -> None:
    async with Runtime():
        futures = await sleep_for.map([1, 10, 20])

        async for _ in headrace.as_completed(futures):
            break
        with pytest.raises(TimeoutError):
            async for _ in headrace.as_completed(futures[1:], 1):
                pass
        with anyio.move_on_after(1):
            async for _ in headrace.as_completed(futures[1:]):
                pass

        await asyncio.sleep(0.1)
        assert [future.waiters or [] for future in futures] == [[], [], []]


def test_a_plain_iteration_that_was_left_leaves_nothing_in_the_runs() -> None:
    release = threading.Event()
    with Runtime():
        quick = double.submit(1).future
        slow = block_for_event.submit(release).future

        for _ in headrace.as_completed([slow, quick]):
            break
        with pytest.raises(TimeoutError):
            list(headrace.as_completed([slow], 0))
        settled = sleep_for.submit(0).value(BOUND)  # behind what was posted before
        left = list(slow.waiters or [])
        release.set()

    assert settled == 0
    assert left == []


async def test_a_step_that_was_cancelled_loses_no_future() -> None:
    async with Runtime():
        futures = await sleep_for.map([2, 4])
        arriving = aiter(headrace.as_completed(futures))

        with anyio.move_on_after(1):
            await anext(arriving)
        rest = [await each async for each in arriving]

    assert rest == [2, 4]


async def test_several_tasks_may_share_one_iteration() -> None:
    async with Runtime():
        futures = await sleep_for.map([1, 2, 3, 4, 5])
        arriving = aiter(headrace.as_completed(futures))

        async def take() -> list[float]:
            return [await each async for each in arriving]

        shares = await asyncio.gather(take(), take(), take())

    assert sorted(itertools.chain(*shares)) == [1, 2, 3, 4, 5]


async def test_one_object_can_be_iterated_several_times() -> None:
    async with Runtime():
        futures = await sleep_for.map([2, 1])
        completed = headrace.as_completed(futures)

        first = [each async for each in completed]
        again = [each async for each in completed]

    assert first == [futures[1], futures[0]]
    assert set(again) == set(futures)


async def test_a_thousand_runs_come_once_each() -> None:
    async with Runtime():
        futures = await sleep_for.map([number % 7 for number in range(1000)])

        arriving = [each async for each in headrace.as_completed(futures)]

    assert len(arriving) == 1000
    assert set(arriving) == set(futures)
    ends = [await each for each in arriving]
    assert ends == sorted(ends)


def test_threads_that_end_runs_at_once_lose_none() -> None:
    @flow
    def main() -> int:
        futures = double.map(range(500))
        return sum(each.value() for each in headrace.as_completed(futures, BOUND))

    assert main() == sum(2 * number for number in range(500))


async def test_a_wait_that_is_not_awaited_says_how_to_write_it() -> None:
    @task
    async def nothing() -> None: ...

    async with Runtime():
        futures = [nothing.submit()]

        with pytest.raises(TypeError, match=r"await headrace\.wait"):
            _, _ = headrace.wait(futures)

        done, _ = await headrace.wait(futures)

    assert len(done) == 1


def test_what_wait_gives_can_be_awaited_too() -> None:
    @task
    def nothing() -> None: ...

    async def awaited(waited: Awaitable[Any]) -> Any:
        return await waited

    with Runtime():
        waited = headrace.wait([nothing.submit()])

    assert asyncio.run(awaited(waited)) is waited
