"""An argument that is a list of very many futures is as one that is a list of few."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from headrace import Runtime, flow, task
from headrace.exceptions import BlockedLoop, UpstreamTaskError
from headrace.futures.gates import FEW

MANY = FEW + 1


@task
async def give(number: int) -> int:
    return number


@task
async def refuse(number: int) -> int:
    raise ValueError(f"not {number}")


@task
async def keep(*values: Any, **named: Any) -> Any:
    return [*values, *named.values()][0]


@task
def keep_in_a_thread(value: Any) -> Any:
    return value


@pytest.mark.parametrize("kept_by", [keep, keep_in_a_thread])
@pytest.mark.parametrize("made", [list, tuple])
@pytest.mark.rule("RES-01")
async def test_its_values_come_in_their_order_and_in_a_list_or_tuple_as_it_was(
    made: Callable[[Any], Any], kept_by: Any
) -> None:
    async with Runtime():
        futures = give.map(range(MANY))

        kept = await (await kept_by.submit(made(futures)))

        assert kept == made(range(MANY))


async def test_submissions_are_taken_as_futures_are() -> None:
    async with Runtime():
        submissions = [give.submit(number) for number in range(MANY)]

        assert await (await keep.submit(submissions)) == list(range(MANY))
        assert await keep(submissions) == list(range(MANY))


async def test_it_may_hold_a_future_twice_and_be_given_by_name() -> None:
    async with Runtime():
        future = await give.submit(7)

        kept = await (await keep.submit(values=[future] * MANY))

        assert kept == [7] * MANY


async def test_it_is_what_it_was_when_the_task_was_submitted() -> None:
    async with Runtime():
        futures = list(give.map(range(MANY)))

        kept = keep.submit(futures)
        futures.clear()

        assert len(await (await kept)) == MANY


@pytest.mark.rule("RES-08")
@pytest.mark.parametrize("in_place", [False, True])
async def test_one_that_fails_holds_the_run_back(in_place: bool) -> None:
    async with Runtime():
        futures = [
            *give.map(range(MANY)),
            await refuse.submit(1),
            await refuse.submit(2),
        ]

        kept = keep(futures) if in_place else (await keep.submit(futures)).aresult()

        with pytest.raises(UpstreamTaskError, match="refuse-0") as caught:
            await kept

        assert isinstance(caught.value.__cause__, ValueError)


async def test_what_holds_a_run_back_counts_as_seen() -> None:
    @flow
    async def main() -> None:
        futures = refuse.map(range(MANY))
        kept = await keep.submit(futures)
        await kept.wait()
        assert kept.state.name == "NotReady"

    assert (await main(return_state=True)).is_completed()


async def test_it_may_be_waited_for() -> None:
    async with Runtime():
        futures = give.map(range(MANY))

        kept = await keep.submit("done", wait_for=futures)

        assert await kept == "done"
        assert all(future.done() for future in futures)


@pytest.mark.rule("DEP-01")
async def test_the_run_knows_which_runs_its_argument_comes_from() -> None:
    async with Runtime():
        futures = give.map(range(MANY))

        kept = await keep_in_a_thread.submit(futures)
        await kept

        inputs = kept.task_run.task_inputs["value"]
        assert [found.id for found in inputs] == [f.task_run.id for f in futures]


async def test_a_run_that_waits_for_it_can_be_cancelled() -> None:
    async with Runtime():
        gate = asyncio.Event()
        wait = task(gate.wait, name="held")
        held = [wait.submit() for _ in range(MANY)]
        kept = await keep.submit(held)

        kept.cancel()

        await kept.wait()
        assert kept.state.is_cancelled()
        gate.set()


async def test_one_that_cannot_be_waited_for_fails_the_run() -> None:
    outer = Runtime()
    async with outer:
        held = asyncio.Event()
        wait = task(held.wait, name="held")
        submissions = [wait.submit() for _ in range(MANY)]
        caught: list[BaseException] = []

        @flow
        def blocks() -> None:
            future = keep_in_a_thread.submit(submissions)
            caught.append(future.result(raise_on_failure=False))

        blocks(return_state=True)

        assert isinstance(caught[0], BlockedLoop)
        held.set()


def test_it_is_the_same_in_plain_code() -> None:
    @flow
    def main() -> Any:
        futures = give.map(range(MANY))
        assert keep_in_a_thread.submit(futures).result() == list(range(MANY))
        return keep_in_a_thread(futures)

    assert main() == list(range(MANY))
