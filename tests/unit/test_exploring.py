from __future__ import annotations

import asyncio
import functools
import inspect
import random
import re
from typing import Any

import pytest
from hypothesis import given, strategies as st

from headrace import flow, task
from headrace.testing import ShufflingLoop, VirtualTimeLoop, explore


def order_of(seed: int, count: int = 6) -> list[int]:
    """The order in which tasks end that are started in the order of their numbers."""
    order: list[int] = []

    async def step(number: int) -> None:
        await asyncio.sleep(0)
        order.append(number)

    async def main() -> None:
        await asyncio.gather(*map(step, range(count)))

    make = functools.partial(ShufflingLoop, seed)
    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(main())
    return order


@given(st.integers())
def test_the_same_seed_gives_the_same_order(seed: int) -> None:
    first = order_of(seed)

    assert order_of(seed) == first
    assert sorted(first) == list(range(6))


def test_other_seeds_give_other_orders() -> None:
    orders = {tuple(order_of(seed, 3)) for seed in range(100)}

    assert len(orders) == 6  # all there are


@given(st.integers())
def test_callbacks_keep_their_order_among_each_other(seed: int) -> None:
    called: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for number in range(10):
            loop.call_soon(called.append, number)
            tasks.append(asyncio.create_task(asyncio.sleep(0)))
        await asyncio.wait(tasks)

    tasks: list[asyncio.Task[None]] = []
    make = functools.partial(ShufflingLoop, seed)
    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(main())

    assert called == list(range(10))


class Counter:
    """What loses updates: a value read before an await, and written after."""

    def __init__(self) -> None:
        self.value = 0

    async def add(self) -> None:
        value = self.value
        await asyncio.sleep(0)
        self.value = value + 1


async def lose_an_update(*, planted: bool = True) -> None:
    counter = Counter()
    first_has_ended = asyncio.Event()

    @task
    async def first() -> None:
        await counter.add()
        first_has_ended.set()

    @task
    async def second() -> None:
        if not planted:
            await first_has_ended.wait()
        # In the order of their submission the first has ended by now.
        for _ in range(5):
            await asyncio.sleep(0)
        await counter.add()

    @flow
    async def main() -> None:
        await first.submit()
        await second.submit()

    await main()
    assert counter.value == 2


def failing_seed_of(error: BaseException) -> int:
    (note,) = error.__notes__
    found = re.search(r"explore\(seeds=\[(\d+)\]\)", note)
    assert found is not None
    return int(found[1])


def test_a_planted_lost_update_is_not_found_in_the_usual_order() -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(lose_an_update())


def test_exploring_finds_a_planted_lost_update_and_its_seed_finds_it_again() -> None:
    with pytest.raises(AssertionError) as caught:
        explore(lose_an_update)()
    seed = failing_seed_of(caught.value)

    for _ in range(3):
        with pytest.raises(AssertionError) as again:
            explore(lose_an_update, seeds=[seed])()
        assert failing_seed_of(again.value) == seed


def test_what_does_not_depend_on_the_order_passes_under_all() -> None:
    explore(lose_an_update, seeds=range(300))(planted=False)


def test_every_run_has_a_loop_in_virtual_time() -> None:
    times: list[float] = []

    async def sleep() -> None:
        await asyncio.sleep(3600)
        times.append(asyncio.get_running_loop().time())

    explore(seeds=range(3))(sleep)()

    assert times == pytest.approx([3600] * 3)


def test_random_numbers_are_the_same_with_the_same_seed() -> None:
    drawn: list[float] = []

    async def draw() -> None:
        drawn.append(random.random())  # noqa: S311 - no secret

    before = random.getstate()
    explore(draw, seeds=[1, 2, 1])()

    assert drawn[0] == drawn[2] != drawn[1]
    assert random.getstate() == before


def test_a_deadlock_under_one_order_is_found() -> None:
    async def wait_for_each_other() -> None:
        a, b = asyncio.Lock(), asyncio.Lock()

        async def hold(first: asyncio.Lock, second: asyncio.Lock) -> None:
            async with first:
                await asyncio.sleep(0)
                async with second:
                    pass

        await asyncio.gather(hold(a, b), hold(b, a))

    with pytest.raises(RuntimeError, match="every task is waiting") as caught:
        explore(wait_for_each_other)()

    assert failing_seed_of(caught.value) >= 0


def test_an_explored_test_looks_like_a_plain_one_with_the_same_arguments() -> None:
    @explore(seeds=[1])
    async def test(tmp_path: object, *, number: int = 1) -> None:
        """Text."""

    assert not inspect.iscoroutinefunction(test)
    assert list(inspect.signature(test).parameters) == ["tmp_path", "number"]
    assert (test.__name__, test.__doc__) == ("test", "Text.")


@explore
async def test_it_decorates_tests_as_it_is(tmp_path: object) -> None:
    assert tmp_path is not None
    assert isinstance(asyncio.get_running_loop(), ShufflingLoop)


@pytest.mark.parametrize(
    ("seeds", "error", "text"),
    [
        pytest.param(3, TypeError, r"seeds=\[3\].*seeds=range\(3\)", id="a-number"),
        pytest.param([], ValueError, "got no seeds", id="none"),
        pytest.param(["1"], TypeError, "whole numbers", id="texts"),
    ],
)
def test_seeds_that_make_no_sense_are_refused_at_once(seeds, error, text) -> None:
    with pytest.raises(error, match=text):
        explore(seeds=seeds)


def test_a_plain_function_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"no coroutine function.*async def"):
        explore(lambda: None)  # pyright: ignore[reportArgumentType, reportCallIssue]


def test_a_thread_may_call_back_while_the_next_step_is_drawn() -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        queue = type(loop._ready)(random.Random(1))  # noqa: S311 - as asyncio has it
        task = asyncio.current_task()

        class Step:
            """Another callback is added while it is looked at, as threads do."""

            @property
            def _callback(self) -> object:
                queue.append(asyncio.Handle(list, (), loop))
                return task.cancel if task is not None else None

        for _ in range(20):
            queue.append(Step())
            queue.append(asyncio.Handle(list, (), loop))
        taken = [queue.popleft() for _ in range(40)]
        assert len({*taken}) == 40

    explore(main, seeds=[0])()
