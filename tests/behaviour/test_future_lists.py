"""The list of futures that a map gives, as one thing to wait for."""

from __future__ import annotations

import asyncio
import json
import math
import pickle
import threading
from typing import Any

import anyio
import pytest

from headrace import Runtime, TaskFutures, flow, task
from headrace.exceptions import BlockedLoop, UnreadyMap, UpstreamTaskError
from headrace.futures import AsyncTaskFutures

BOUND = 5  # seconds; nothing here comes near


@task
async def sleep_for(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@task
async def fail_if_odd(number: int) -> int:
    await asyncio.sleep(number)
    if number % 2:
        raise ValueError(f"odd: {number}")
    return number


@task
def double(x: int) -> int:
    return 2 * x


@task
def block_for_event(event: threading.Event) -> str:
    assert event.wait(BOUND)
    return "done"


# -- the list --------------------------------------------------------------------------


async def test_a_map_gives_a_list_of_futures_in_the_order_of_its_inputs() -> None:
    async with Runtime():
        futures = sleep_for.map([3, 1, 2])

        assert isinstance(futures, list)
        assert isinstance(futures, TaskFutures)
        assert [future.name for future in futures] == [
            "sleep_for-0",
            "sleep_for-1",
            "sleep_for-2",
        ]
        assert await futures.aresult() == [3, 1, 2]


async def test_awaiting_the_list_gives_the_list_any_number_of_times() -> None:
    async with Runtime():
        submitted = sleep_for.map([1, 2])

        assert await submitted is submitted
        assert await submitted is submitted
        assert await asyncio.gather(*await submitted) == [1, 2]


async def test_the_list_knows_its_kind_of_task() -> None:
    async with Runtime():
        assert type(sleep_for.map([1])) is AsyncTaskFutures
        assert type(double.map([1])) is TaskFutures


@pytest.mark.rule("FUT-12")
async def test_a_list_of_futures_cannot_be_pickled() -> None:
    async with Runtime():
        futures = sleep_for.map([1])

        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(futures)


# -- results ---------------------------------------------------------------------------


def test_in_plain_code_result_and_wait_block_and_return() -> None:
    @flow
    def main(kind: Any) -> Any:
        futures = kind.map([0, 0])
        states = futures.wait()
        return [state.name for state in states], futures.result()

    assert main(double) == (["Completed", "Completed"], [0, 0])
    assert main(sleep_for) == (["Completed", "Completed"], [0, 0])


async def test_in_coroutine_code_a_coroutine_task_gives_awaitables() -> None:
    async with Runtime():
        futures = await sleep_for.map([2, 1])

        states = await futures.wait()

        assert [state.result() for state in states if state] == [2, 1]
        assert await futures.result() == [2, 1]


async def test_in_coroutine_code_a_plain_task_gives_results_once_done() -> None:
    async with Runtime():
        futures = await double.map([1, 2])

        with pytest.raises(BlockedLoop, match=r"await futures\.aresult"):
            futures.result()
        with pytest.raises(BlockedLoop, match=r"await futures\.astate"):
            futures.wait()
        await futures.aresult()

        assert futures.result() == [2, 4]
        assert [state and state.name for state in futures.wait()] == ["Completed"] * 2


async def test_the_first_failure_is_raised_without_waiting_for_the_others() -> None:
    async with Runtime():
        futures = await fail_if_odd.map([8, 3, 1])
        started = anyio.current_time()

        with pytest.raises(ValueError, match="odd: 1"):
            await futures.aresult()

        assert anyio.current_time() - started == pytest.approx(1)
        assert not futures[0].done()


async def test_of_failures_that_are_there_the_first_in_order_is_raised() -> None:
    async with Runtime():
        futures = await fail_if_odd.map([8, 3, 1])
        await futures[2].astate()
        await futures[1].astate()

        with pytest.raises(ValueError, match="odd: 3"):
            await futures.aresult()
        assert not futures[0].done()


def test_blocking_raises_the_first_failure_without_waiting_for_the_others() -> None:
    release = threading.Event()

    @task
    def wait_or_fail(event: threading.Event | None) -> None:
        if event is None:
            raise ValueError("none")
        assert event.wait(BOUND)

    with Runtime():
        futures = wait_or_fail.map([release, None])

        with pytest.raises(ValueError, match="none"):
            futures.result(BOUND)

        assert not futures[0].done()
        release.set()


async def test_without_raising_exceptions_take_the_places_of_values() -> None:
    async with Runtime():
        futures = await fail_if_odd.map([0, 1, 2])

        results = await futures.aresult(raise_on_failure=False)

    assert results[0] == 0
    assert isinstance(results[1], ValueError)
    assert results[2] == 2


def test_without_raising_blocking_gives_exceptions_too() -> None:
    @task
    async def fail_unless_zero(number: int) -> int:
        if number:
            raise ValueError(f"not zero: {number}")
        return number

    with Runtime():
        futures = fail_unless_zero.map([0, 1])

        results: Any = futures.result(raise_on_failure=False)

    assert results[0] == 0
    assert str(results[1]) == "not zero: 1"


async def test_an_empty_list_is_done_at_once() -> None:
    async with Runtime():
        futures = await sleep_for.map([])

        assert await futures.aresult() == []
        assert await futures.astate() == []
        assert await futures.result(0) == []
        assert futures.cancel() == 0


# -- time that runs out ----------------------------------------------------------------


async def test_a_result_that_runs_out_of_time_names_who_is_late() -> None:
    async with Runtime():
        futures = await sleep_for.map([1, 5, 9])

        with pytest.raises(
            TimeoutError, match=r"2 of 3 runs .* within 2 seconds, 'sleep_for-1'"
        ):
            await futures.aresult(2)

        assert await futures.aresult() == [1, 5, 9]


async def test_a_wait_that_runs_out_of_time_gives_none_for_who_is_late() -> None:
    async with Runtime():
        futures = await sleep_for.map([1, 5])

        states = await futures.astate(2)

        assert states == [futures[0].state, None]
        assert await futures.wait(0) == [futures[0].state, None]


async def test_a_failure_counts_more_than_being_late() -> None:
    async with Runtime():
        futures = await fail_if_odd.map([8, 1])
        await futures[1].astate()

        with pytest.raises(ValueError, match="odd: 1"):
            await futures.aresult(0)


def test_a_blocking_wait_that_runs_out_gives_none_for_who_is_late() -> None:
    release, there = threading.Event(), threading.Event()
    there.set()
    with Runtime():
        futures = block_for_event.map([there, release])
        futures[0].value(BOUND)

        states = futures.wait(0.01)
        with pytest.raises(TimeoutError, match="1 of 2 runs"):
            futures.result(0)
        release.set()

    assert states == [futures[0].state, None]


@pytest.mark.parametrize("timeout", [-1, math.nan])
async def test_a_timeout_that_makes_no_sense_is_refused(timeout: float) -> None:
    async with Runtime():
        futures = await sleep_for.map([1])

        for wait in (futures.aresult, futures.astate, futures.result, futures.wait):
            with pytest.raises(ValueError, match="timeout="):
                await wait(timeout)


async def test_waits_that_were_given_up_leave_nothing_in_the_runs() -> None:
    async with Runtime():
        futures = await sleep_for.map([10, 20])

        await futures.astate(1)
        with anyio.move_on_after(1):
            await futures.aresult()

        await asyncio.sleep(0.1)
        assert [future.waiters or [] for future in futures] == [[], []]


# -- cancelling ------------------------------------------------------------------------


async def test_cancelling_the_list_cancels_what_has_not_ended_and_counts_it() -> None:
    async with Runtime():
        futures = await sleep_for.map([1, 5, 9])
        await futures[0]

        count = futures.cancel()
        states = await futures.astate()

    assert count == 2
    names = [state.name for state in states if state]
    assert names == ["Completed", "Cancelled", "Cancelled"]


# -- a map whose length is not known ---------------------------------------------------


@task
async def numbers(count: int) -> list[int]:
    await asyncio.sleep(1)
    if not count:
        raise ValueError("none")
    return list(range(count))


async def test_a_map_over_a_pending_future_is_awaited_for_its_list() -> None:
    async with Runtime():
        submitted = sleep_for.map(await numbers.submit(3))

        futures = await submitted

        assert len(futures) == 3
        assert await futures.aresult() == [0, 1, 2]


async def test_awaiting_such_a_map_again_gives_the_same_list() -> None:
    async with Runtime():
        submitted = sleep_for.map(await numbers.submit(3))

        assert await submitted is await submitted


async def test_a_map_over_a_pending_future_can_be_waited_for_as_a_whole() -> None:
    async with Runtime():
        values = await sleep_for.map(await numbers.submit(3)).aresult()
        states = await sleep_for.map(await numbers.submit(2)).astate()

    assert values == [0, 1, 2]
    assert [state.result() for state in states if state] == [0, 1]


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(len, id="len"),
        pytest.param(list, id="list"),
        pytest.param(bool, id="bool"),
        pytest.param(lambda futures: futures[0], id="item"),
        pytest.param(lambda futures: futures == [], id="equals"),
        pytest.param(lambda futures: futures + futures, id="plus"),
        pytest.param(lambda futures: 1 in futures, id="in"),
        pytest.param(lambda futures: futures.result(), id="result"),
        pytest.param(lambda futures: futures.wait(), id="wait"),
        pytest.param(lambda futures: futures.cancel(), id="cancel"),
        pytest.param(lambda futures: futures.append(1), id="append"),
        pytest.param(json.dumps, id="json"),
        pytest.param(reversed, id="reversed"),
        pytest.param(pickle.dumps, id="pickle"),
    ],
)
async def test_using_the_list_before_its_length_is_known_is_refused(use: Any) -> None:
    async with Runtime():
        futures = sleep_for.map(await numbers.submit(2))

        with pytest.raises(UnreadyMap, match=r"futures = await sleep_for\.map"):
            use(futures)

        assert len(await futures) == 2


async def test_such_a_map_that_is_never_awaited_warns() -> None:
    async with Runtime():
        source = await numbers.submit(2)

        with pytest.warns(RuntimeWarning, match="never awaited, so it made no runs"):
            sleep_for.map(source)

        await source


async def test_such_a_map_as_an_input_fails_the_run_that_it_was_given_to() -> None:
    @task
    async def add_up(values: Any) -> Any:
        return sum(values)

    async with Runtime():
        source = await numbers.submit(2)
        state = await add_up.submit(sleep_for.map(source), return_state=True)

    assert state.name == "Failed"
    assert isinstance(state.data, UnreadyMap)


async def test_a_map_over_a_future_that_fails_raises_what_held_it_back() -> None:
    async with Runtime():
        source = await numbers.submit(0)

        with pytest.raises(UpstreamTaskError, match="numbers-0") as caught:
            await sleep_for.map(source)

    assert isinstance(caught.value.__cause__, ValueError)


def test_in_plain_code_a_map_over_a_pending_future_blocks_for_its_length() -> None:
    release = threading.Event()

    @task
    def make() -> list[int]:
        assert release.wait(BOUND)
        return [1, 2, 3]

    @flow
    def main() -> list[int]:
        source = make.submit()
        source.future.add_done_callback(lambda _: None)
        threading.Timer(0, release.set).start()
        return double.map(source).result()

    assert main() == [2, 4, 6]


@pytest.mark.rule("CALL-03")
async def test_states_of_a_map_read_alike_in_plain_and_in_coroutine_code() -> None:
    @task
    def same(x: int) -> int:
        return x

    @flow
    def plain() -> list[int]:
        return [state.result() for state in same.map([1, 2], return_state=True)]

    async with Runtime():
        states = await same.map([1, 2], return_state=True)

    assert [state.result() for state in states] == [1, 2]
    assert await states is states
    assert await plain.acall() == [1, 2]
