"""Waits that could never end: refused by whoever closes the circle."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

import anyio
import pytest
from hypothesis import given, settings, strategies as st

from headrace import Limit, Runtime, as_completed, flow, task, wait
from headrace.exceptions import DeadlockError
from headrace.testing import VirtualClock

SOON = 5.0  # the longest that a thread waits in real time, where something is wrong


async def by_await(future: Any) -> None:
    await future


async def by_result(future: Any) -> None:
    await future.result()


async def by_wait(future: Any) -> None:
    await wait([future])


async def by_as_completed(future: Any) -> None:
    async for _ in as_completed([future]):
        pass


async def by_an_input(future: Any) -> None:
    @task
    async def same(value: object) -> object:
        return value

    await (await same.submit(future))


async def by_an_input_in_place(future: Any) -> None:
    @task
    async def same(value: object) -> object:
        return value

    await same(future)


async def by_a_task_in_place(future: Any) -> None:
    @task(timeout_seconds=3600)
    async def waiting() -> object:
        return await future

    await waiting()


EVERY_WAIT = pytest.mark.parametrize(
    "wait_for",
    [
        by_await,
        by_result,
        by_wait,
        by_as_completed,
        by_an_input,
        by_an_input_in_place,
        by_a_task_in_place,
    ],
    ids=lambda wait_for: wait_for.__name__,
)


@EVERY_WAIT
async def test_two_runs_do_not_wait_for_each_other(
    wait_for: Callable[[Any], Any],
) -> None:
    @task
    async def first() -> None:
        await anyio.sleep(1)
        await wait_for(futures["second"])

    @task
    async def second() -> str:
        await anyio.sleep(2)
        try:
            await wait_for(futures["first"])
        except DeadlockError as error:
            return str(error)
        return "no error"

    futures: dict[str, Any] = {}
    async with Runtime():
        futures["first"] = await first.submit()
        futures["second"] = await second.submit()
        text = await futures["second"]

    assert "would wait for ever" in text
    assert "'first-0', which waits for " in text
    assert "'second-0'" in text


@EVERY_WAIT
async def test_a_run_does_not_wait_for_itself(wait_for: Callable[[Any], Any]) -> None:
    @task
    async def own() -> None:
        await anyio.sleep(1)
        await wait_for(futures[0])

    futures: list[Any] = []
    async with Runtime():
        futures.append(await own.submit())

        with pytest.raises(DeadlockError, match="'own-0'"):
            await futures[0]


async def test_a_child_does_not_wait_for_the_parent_that_waits_for_it() -> None:
    @task
    async def child() -> None:
        await futures[0]

    @task
    async def parent() -> None:
        await anyio.sleep(1)
        await (await child.submit())

    futures: list[Any] = []
    async with Runtime():
        futures.append(await parent.submit())

        with pytest.raises(DeadlockError, match="'child-0'"):
            await futures[0]


async def test_a_child_may_wait_for_a_parent_that_does_not_wait() -> None:
    @task
    async def child() -> str:
        return "after " + await futures[0]

    @task
    async def parent() -> str:
        await anyio.sleep(1)
        futures.append(await child.submit())
        return "the parent"

    futures: list[Any] = []
    async with Runtime():
        futures.append(await parent.submit())
        await futures[0]

        assert await futures[1] == "after the parent"


async def test_a_run_does_not_wait_for_the_task_whose_flow_it_is_in() -> None:
    @task
    async def inner() -> None:
        await futures[0]

    @flow
    async def of_inner() -> None:
        await inner.submit()

    @task
    async def outer() -> None:
        await anyio.sleep(1)
        await of_inner()

    futures: list[Any] = []
    async with Runtime():
        futures.append(await outer.submit())

        with pytest.raises(DeadlockError, match=r"'outer-0', which waits for '.*-0'"):
            await futures[0]


async def test_a_wait_with_a_timeout_is_left_alone() -> None:
    @task
    async def first() -> str:
        state = await futures[1].astate(timeout=5)
        return "went on" if state is None else "no"

    @task
    async def second() -> str:
        return await futures[0]

    futures: list[Any] = []
    async with Runtime():
        futures += [await first.submit(), await second.submit()]

        assert await futures[1] == "went on"


async def test_what_a_body_only_started_does_not_count() -> None:
    async def look() -> None:
        await futures[1]

    @task
    async def first() -> str:
        looking.append(asyncio.create_task(look()))
        await anyio.sleep(1)
        return "done"

    @task
    async def second() -> str:
        return await futures[0]

    futures: list[Any] = []
    looking: list[asyncio.Task[None]] = []
    async with Runtime():
        futures += [await first.submit(), await second.submit()]

        assert await futures[1] == "done"
        await looking[0]


async def test_one_that_may_still_end_is_enough_for_as_completed() -> None:
    @task
    async def first() -> list[Any]:
        seen: list[Any] = []
        try:
            async for future in as_completed(futures[1:]):
                seen.append(future.name)  # noqa: PERF401 - until it raises
        except DeadlockError:
            seen.append("refused")
        return seen

    @task
    async def second() -> None:
        await futures[0]

    @task
    async def third() -> None:
        await anyio.sleep(3)

    futures: list[Any] = []
    async with Runtime():
        futures += [await each.submit() for each in (first, second, third)]

        assert await futures[0] == ["third-0", "refused"]


async def test_places_taken_by_hand_count_when_their_block_waits() -> None:
    @task
    async def user() -> None:
        async with limit:
            pass

    @task
    async def holder() -> None:
        async with limit:
            await (await user.submit())

    limit = Limit(1)
    async with Runtime():
        with pytest.raises(DeadlockError, match=r"'user-0' .* waits for 'holder-0'"):
            await (await holder.submit())

    assert limit.stats()["waiting"] == 0


async def test_a_task_under_the_limit_that_its_caller_has_by_hand() -> None:
    @task(concurrency_limit=Limit(1))
    async def user() -> None: ...

    @task
    async def holder() -> None:
        assert user.concurrency_limit is not None
        async with user.concurrency_limit:
            await (await user.submit())

    async with Runtime():
        with pytest.raises(DeadlockError, match=r"'holder-0' .* waits for 'user-0'"):
            await (await holder.submit())


def test_plain_bodies_do_not_wait_in_a_circle() -> None:
    @task
    def one(number: int) -> object:
        together.wait()
        try:
            return futures[1 - number].result()
        except DeadlockError as error:
            return error

    together = threading.Barrier(3, timeout=SOON)
    futures: list[Any] = []
    with Runtime():
        futures += [one.submit(0), one.submit(1)]
        together.wait()
        found = [future.result(timeout=SOON) for future in futures]

    # One is refused, and the other is given what that one returned.
    assert found[0] is found[1]
    assert isinstance(found[0], DeadlockError)


class Model:
    """Which runs wait for which, as a reader would draw it."""

    def __init__(self, plans: list[list[tuple[float, set[int]]]]) -> None:
        self.plans = plans
        self.futures: list[Any] = []
        self.waits: dict[int, set[int]] = {}
        self.differences: list[str] = []

    def closes_circle(self, number: int, targets: Iterable[int]) -> bool:
        todo, seen = list(targets), set[int]()
        while todo:
            each = todo.pop()
            if each == number:
                return True
            if each not in seen and not self.futures[each].done():
                seen.add(each)
                todo += self.waits.get(each, ())
        return False

    async def body(self, number: int) -> None:
        for seconds, targets in self.plans[number]:
            await anyio.sleep(seconds)
            expected = self.closes_circle(number, targets)
            self.waits[number] = targets
            try:
                await wait([self.futures[each] for each in targets])
                raised = False
            except DeadlockError:
                raised = True
            del self.waits[number]
            if raised != expected:
                self.differences.append(f"{number} waits for {targets}: {raised}")

    async def run(self) -> None:
        one = task(name="one")(self.body)
        async with Runtime():
            self.futures += [await one.submit(i) for i in range(len(self.plans))]
            for future in self.futures:
                await future


@st.composite
def plans(draw: st.DrawFn) -> list[list[tuple[float, set[int]]]]:
    """For each run its waits: after so many seconds, for all of these runs."""
    count = draw(st.integers(2, 6))
    targets = st.sets(st.integers(0, count - 1), min_size=1, max_size=3)
    waits = st.lists(st.tuples(st.sampled_from([1.0, 2.0, 3.0]), targets), max_size=4)
    return draw(st.lists(waits, min_size=count, max_size=count))


@pytest.mark.slow
@settings(max_examples=40)
@given(plans())
def test_a_wait_is_refused_exactly_when_it_closes_a_circle(
    plans: list[list[tuple[float, set[int]]]],
) -> None:
    model = Model(plans)

    with VirtualClock() as clock:
        clock.run(model.run())

    assert model.differences == []
