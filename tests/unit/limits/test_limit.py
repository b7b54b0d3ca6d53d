"""Tests for limits that are entered by hand, and for what they refuse."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import cloudpickle
import pytest

from headrace import Adaptive, Limit
from headrace.exceptions import BlockedLoop, LimitTooSmall
from headrace.limits.limit import limit_of

BOUND = 5  # seconds; nothing here comes near


async def test_a_block_waits_for_its_turn() -> None:
    limit, order = Limit(1), []

    async def use(name: str) -> None:
        async with limit:
            order.append(name)
            await asyncio.sleep(1)
            order.append(name)

    await asyncio.gather(use("a"), use("b"), use("c"))

    assert order == ["a", "a", "b", "b", "c", "c"]


async def test_blocks_may_be_one_in_the_other() -> None:
    limit = Limit(3)

    async with limit:
        async with limit:
            assert limit.stats()["used"] == 2
        assert limit.stats()["used"] == 1

    assert limit.stats() == {"used": 0, "waiting": 0, "capacity": 3}


async def test_a_block_that_raises_gives_its_place_back() -> None:
    limit = Limit(1)

    with pytest.raises(ValueError, match="no"):
        async with limit:
            raise ValueError("no")

    assert limit.stats()["used"] == 0


async def test_a_cancelled_wait_leaves_the_line() -> None:
    limit, order = Limit(1), []

    async def use(name: str) -> None:
        async with limit:
            order.append(name)
            await asyncio.sleep(1)

    tasks = [asyncio.create_task(use(name)) for name in "abc"]
    await asyncio.sleep(0.5)
    assert limit.stats()["waiting"] == 2
    tasks[1].cancel()
    await asyncio.wait(tasks)

    assert order == ["a", "c"]


async def test_a_wait_that_is_cancelled_as_its_turn_comes_passes_it_on() -> None:
    limit, order = Limit(1), []

    async def use(name: str) -> None:
        async with limit:
            order.append(name)

    async with limit:
        first, second = [asyncio.create_task(use(name)) for name in "ab"]
        await asyncio.sleep(0)
    first.cancel()  # it has its place, and has not gone on yet
    await asyncio.wait([first, second])

    assert order == ["b"]
    assert limit.stats()["used"] == 0


async def test_slots_have_keys_and_weights() -> None:
    limit = Limit(4, key=lambda parameters: parameters["x"])

    async with limit.slot(key="a", weight=3), limit.slot(key="b", weight=4):
        assert limit.stats("a")["used"] == 3
        assert limit.stats("b")["used"] == 4
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), limit.slot(key="a", weight=2):
                pass

    assert limit.stats("a")["used"] == 0


async def test_a_slot_is_good_for_one_block() -> None:
    slot = Limit(4).slot()

    async with slot:
        with pytest.raises(RuntimeError, match="entered already"):
            await slot.__aenter__()


async def test_a_limit_with_keys_has_none_by_hand() -> None:
    for limit in (Limit(4, key=len), Limit(4, weight=lambda parameters: 1)):
        with pytest.raises(TypeError, match=r"limit\.slot"):
            async with limit:
                pass
        with pytest.raises(TypeError, match=r"limit\.slot"), limit:
            pass


@pytest.mark.parametrize("option", ["key", "weight"])
def test_a_function_of_a_limit_that_takes_other_arguments_is_refused(
    option: str,
) -> None:
    given: Any = {option: lambda tenant, amount: 1}
    with pytest.raises(TypeError, match=rf"{option}=.*called with one argument"):
        Limit(4, **given)


async def test_a_block_that_could_never_begin_is_refused() -> None:
    with pytest.raises(LimitTooSmall, match="has 0 in all"):
        async with Limit(0):
            pass
    with pytest.raises(LimitTooSmall, match="takes 3"):
        async with Limit(2).slot(weight=3):
            pass


def test_threads_wait_for_their_turn() -> None:
    limit, most, now = Limit(2), 0, 0
    lock = threading.Lock()

    def use() -> None:
        nonlocal most, now
        for _ in range(50):
            with limit:
                with lock:
                    now += 1
                    most = max(most, now)
                with lock:
                    now -= 1

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)

    assert not any(thread.is_alive() for thread in threads)
    assert most <= 2
    assert limit.stats()["used"] == 0


@pytest.mark.real_loops
async def test_threads_and_loops_share_a_limit() -> None:
    limit, order = Limit(1), []
    inside, go_on = threading.Event(), threading.Event()

    def in_a_thread() -> None:
        with limit:
            order.append("thread")
            inside.set()
            go_on.wait(BOUND)

    thread = asyncio.create_task(asyncio.to_thread(in_a_thread))
    await asyncio.to_thread(inside.wait, BOUND)
    waiting = asyncio.create_task(_enter(limit, order))
    await asyncio.sleep(0)
    assert order == ["thread"]
    go_on.set()
    await asyncio.gather(thread, waiting)

    assert order == ["thread", "loop"]


async def _enter(limit: Limit, order: list[str]) -> None:
    async with limit:
        order.append("loop")


def test_a_thread_waits_as_long_as_a_rate_says() -> None:
    limit, begun = Limit(rate="200/s"), []

    for _ in range(5):
        with limit:
            begun.append(0)

    assert len(begun) == 5


async def test_plain_code_does_not_wait_on_the_loop() -> None:
    limit = Limit(1)

    with limit, pytest.raises(BlockedLoop, match="async with limit"), limit:
        pass

    assert limit.stats() == {"used": 0, "waiting": 0, "capacity": 1}


async def test_many_keys_that_nobody_uses_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headrace.limits.pools._SECONDS_TO_ENTER", -1.0)
    limit = Limit(1, key=len)

    async with limit.slot(key="used"):
        for key in range(2000):
            async with limit.slot(key=key):
                pass

        assert len(limit._pools) <= 512
        assert limit.stats("used")["used"] == 1


wrong: Any = Limit  # with what type checkers refuse


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        pytest.param(Limit, ValueError, "limits nothing", id="nothing"),
        pytest.param(lambda: Limit(-1), ValueError, "no number", id="negative"),
        pytest.param(lambda: wrong(1.5), TypeError, "no number", id="fraction"),
        pytest.param(lambda: Limit(True), TypeError, "no number", id="flag"),
        pytest.param(lambda: Limit(1, rate="x"), ValueError, "no rate", id="rate"),
        pytest.param(lambda: wrong(1, key="x"), TypeError, "cannot be", id="key"),
        pytest.param(lambda: wrong(1, weight="x"), TypeError, "no number", id="weight"),
        pytest.param(lambda: Limit(1, weight=0), ValueError, "above 0", id="weight-0"),
        pytest.param(lambda: Limit(1, burst=2), ValueError, "a rate", id="burst"),
        pytest.param(lambda: Limit(1).slot(weight=-1), ValueError, "above", id="slot"),
    ],
)
def test_what_makes_no_sense_is_refused(
    make: Callable[[], Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        make()


def test_a_copy_is_the_limit_itself_and_a_pickle_another_like_it() -> None:
    limit = Limit(5, "3/s", key=len, burst=2, name="few")

    twin = pickle.loads(pickle.dumps(limit))

    assert copy.copy(limit) is copy.deepcopy(limit) is limit
    assert (twin.concurrency, twin.rate, twin.key, twin.burst, twin.name) == (
        5, "3/s", len, 2, "few",
    )  # fmt: skip
    assert repr(twin) == "Limit(5, rate='3/s')"
    weighed = cloudpickle.loads(cloudpickle.dumps(Limit(5, weight=lambda p: 2)))
    assert weighed.weight({}) == 2


def test_numbers_and_adaptive_ones_stand_for_limits() -> None:
    limit = Limit(5)

    assert limit_of("it", None) is None
    assert limit_of("it", limit) is limit
    number, found = limit_of("it", 5), limit_of("it", Adaptive())
    assert number is not None
    assert number.concurrency == 5
    assert found is not None
    assert found.stats()["capacity"] == 8
