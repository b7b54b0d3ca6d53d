"""Runs that want one cache key at the same time: one computes, the others wait."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest

from headrace import Limit, Runtime, flow, task
from headrace.exceptions import CancelledRun

pytestmark = pytest.mark.usefixtures("home")

SECONDS = 5


def same(context: Any, parameters: Any) -> str:
    return "the key"


def by_x(context: Any, parameters: Any) -> str:
    return f"of {parameters['x']}"


class Gate:
    """Bodies that begin, are counted, and go on when they are told."""

    def __init__(self, fails: int = 0) -> None:
        self.begun = 0
        self.fails = fails
        self.opened = threading.Event()
        self.entered = threading.Event()
        self._lock = threading.Lock()

    def _enter(self) -> int:
        with self._lock:
            self.begun += 1
            number = self.begun
        self.entered.set()
        return number

    def plain(self, x: Any = None) -> Any:
        number = self._enter()
        # In short steps, between which it can be interrupted.
        assert any(self.opened.wait(0.01) for _ in range(100 * SECONDS))
        return self._end(number)

    async def coroutine(self, x: Any = None) -> Any:
        number = self._enter()
        await reached(self.opened.is_set)
        return self._end(number)

    def _end(self, number: int) -> int:
        if number <= self.fails:
            raise ValueError(f"attempt {number}")
        return number

    def task(self, kind: str, **options: Any) -> Any:
        options.setdefault("cache_key_fn", same)
        return task(**options)(getattr(self, kind))


KINDS = pytest.mark.parametrize("kind", ["plain", "coroutine"])


async def reached(what: Callable[[], object]) -> None:
    """Wait until something is true. Virtual time stands still: threads may be at work."""
    deadline = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < deadline, "it was never reached"
        await asyncio.sleep(0)


def pending(futures: Any) -> list[Any]:
    return [each for each in futures if not each.done()]


# -- one for all -----------------------------------------------------------------------


@KINDS
@pytest.mark.rule("CACHE-11")
async def test_a_thousand_runs_with_one_key_run_the_body_once(kind: str) -> None:
    gate = Gate()
    it = gate.task(kind)

    async with Runtime():
        futures = await it.map(range(1000))
        await reached(gate.entered.is_set)
        assert len(pending(futures)) == 1000
        gate.opened.set()
        values = await futures.aresult()

    assert values == [1] * 1000
    assert gate.begun == 1
    names = [future.state.name for future in futures]
    assert sorted(names) == ["Cached"] * 999 + ["Completed"]


@pytest.mark.rule("CACHE-11")
async def test_plain_and_coroutine_runs_with_one_key_share_one_body() -> None:
    gate = Gate()
    kinds = [gate.task("plain"), gate.task("coroutine")]

    async with Runtime():
        futures = [await kinds[i % 2].submit(i) for i in range(1000)]
        await reached(gate.entered.is_set)
        gate.opened.set()
        values = [await future for future in futures]

    assert values == [1] * 1000
    assert gate.begun == 1


@pytest.mark.rule("CACHE-11")
def test_plain_code_that_submits_shares_one_body_too() -> None:
    gate = Gate()
    it = gate.task("plain")

    with Runtime():
        futures = it.map(range(200))
        assert gate.entered.wait(SECONDS)
        gate.opened.set()

        assert futures.result() == [1] * 200
    assert gate.begun == 1


@KINDS
async def test_awaited_runs_wait_for_each_other(kind: str) -> None:
    gate = Gate()
    it = gate.task(kind)
    values: list[Any] = []

    async with Runtime(), anyio.create_task_group() as group:

        async def ask() -> None:
            values.append(await it.acall(1))

        for _ in range(100):
            group.start_soon(ask)
        await reached(gate.entered.is_set)
        gate.opened.set()
        await reached(lambda: len(values) == 100)

    assert values == [1] * 100
    assert gate.begun == 1


def test_runs_called_in_place_in_threads_wait_for_each_other() -> None:
    gate = Gate()
    it = gate.task("plain")
    values: list[Any] = []

    with Runtime() as runtime:

        def ask() -> None:
            with runtime.use():
                values.append(it(1))

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        assert gate.entered.wait(SECONDS)
        gate.opened.set()
        for thread in threads:
            thread.join(SECONDS)

    assert values == [1] * 20
    assert gate.begun == 1


@KINDS
async def test_runs_that_wait_hold_no_place_and_no_thread(kind: str) -> None:
    gate = Gate()
    it = gate.task(kind, tags="db")
    other = task(lambda: "went on", tags="db")

    async with Runtime(max_threads=2, max_concurrency=2, limits={"db": 2}):
        futures = await it.map(range(50))
        await reached(gate.entered.is_set)
        assert await (await other.submit()) == "went on"
        gate.opened.set()
        assert await futures.aresult() == [1] * 50


async def test_a_run_that_waits_is_pending_and_then_cached() -> None:
    gate = Gate()
    it = gate.task("coroutine")

    async with Runtime():
        leader, follower = await it.map([1, 2])
        await reached(gate.entered.is_set)
        assert follower.state.name == "Pending"
        gate.opened.set()
        await follower

    assert leader.state.name == "Completed"
    assert [state.name for state in follower.history] == ["Pending", "Cached"]
    assert follower.task_run.run_count == 0


async def test_the_key_and_the_name_of_a_run_that_waits_are_asked_for_once() -> None:
    gate = Gate()
    keys: list[int] = []
    names: list[int] = []

    def key(context: Any, parameters: Any) -> str:
        keys.append(parameters["x"])
        return "the key"

    def name(parameters: Any) -> str:
        names.append(parameters["x"])
        return f"run {parameters['x']}"

    for kind in ("plain", "coroutine"):
        it = gate.task(kind, cache_key_fn=key, task_run_name=name)
        async with Runtime():
            futures = await it.map([1, 2, 3])
            await reached(gate.entered.is_set)
            gate.opened.set()
            await futures.aresult()
        assert sorted(keys) == sorted(names) == [1, 2, 3]
        assert {future.name for future in futures} == {"run 1", "run 2", "run 3"}
        keys.clear()
        names.clear()


# -- without a result ------------------------------------------------------------------


@KINDS
async def test_when_the_one_that_computes_is_cancelled_the_next_one_does(
    kind: str,
) -> None:
    gate = Gate()
    it = gate.task(kind)

    async with Runtime():
        futures = await it.map(range(20))
        await reached(gate.entered.is_set)
        leader = next(each for each in futures if each.state.name == "Running")
        leader.cancel()
        await leader.astate()
        await reached(lambda: gate.begun == 2)
        gate.opened.set()
        rest = [await each for each in futures if each is not leader]

    assert rest == [2] * 19
    assert gate.begun == 2
    with pytest.raises(CancelledRun):
        leader.state.result()


@KINDS
async def test_when_the_one_that_computes_fails_the_next_one_tries(kind: str) -> None:
    gate = Gate(fails=3)
    it = gate.task(kind)
    gate.opened.set()

    async with Runtime():
        futures = await it.map(range(10))
        found = [await each.aresult(raise_on_failure=False) for each in futures]

    assert gate.begun == 4
    assert sum(isinstance(each, ValueError) for each in found) == 3
    assert found.count(4) == 7


async def test_retries_of_the_one_that_computes_are_waited_for() -> None:
    gate = Gate(fails=2)
    it = gate.task("coroutine", retries=2, retry_delay_seconds=3600)
    gate.opened.set()

    async with Runtime():
        futures = await it.map(range(10))

        assert await futures.aresult() == [3] * 10
    assert gate.begun == 3


@KINDS
async def test_a_retry_finds_a_place_while_others_wait_for_it(kind: str) -> None:
    gate = Gate(fails=2)
    it = gate.task(kind, retries=2, retry_delay_seconds=60, concurrency_limit=1)
    gate.opened.set()

    async with Runtime():
        futures = await it.map(range(10))

        assert await futures.aresult() == [3] * 10
    assert gate.begun == 3


@KINDS
async def test_a_run_lends_its_place_while_one_that_it_called_waits(kind: str) -> None:
    one = Limit(1)
    gate = Gate(fails=1)
    leads = gate.task(
        "coroutine", concurrency_limit=one, retries=1, retry_delay_seconds=60
    )
    asks = gate.task(kind)
    gate.opened.set()

    @task(concurrency_limit=one)
    async def awaits() -> Any:
        return await asks(1)

    @task(concurrency_limit=one)
    def calls() -> Any:
        return asks(1)

    async with Runtime():
        leader = await leads.submit(1)
        await reached(lambda: leader.state.name == "AwaitingRetry")
        caller: Any = calls if kind == "plain" else awaits
        future = await caller.submit()

        assert await future == 2
        assert await leader == 2


@KINDS
async def test_each_run_computes_what_cannot_be_stored(kind: str) -> None:
    gate = Gate()
    locks = iter([threading.Lock() for _ in range(10)])
    entered = 0

    async def coroutine(x: Any) -> Any:
        nonlocal entered
        entered += 1
        await reached(gate.opened.is_set)
        return next(locks)

    def plain(x: Any) -> Any:
        nonlocal entered
        entered += 1
        assert gate.opened.wait(SECONDS)
        return next(locks)

    it = task(cache_key_fn=same)(coroutine if kind == "coroutine" else plain)

    async with Runtime():
        futures = await it.map(range(10))
        await reached(lambda: entered)
        gate.opened.set()
        values = await futures.aresult()

    assert len(set(map(id, values))) == 10
    assert {future.state.name for future in futures} == {"Completed"}


@pytest.mark.parametrize("seconds", [0, -1])
async def test_runs_whose_result_is_not_kept_do_not_wait_for_each_other(
    seconds: int,
) -> None:
    together = asyncio.Barrier(10)

    @task(cache_key_fn=same, cache_expiration=timedelta(seconds=seconds))
    async def meet(x: int) -> int:
        await together.wait()
        return x

    async with Runtime():
        futures = await meet.map(range(10))

        assert await futures.aresult() == [*range(10)]


async def test_what_is_too_large_to_be_kept_is_computed_side_by_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADRACE_CACHE_MAX_BYTES", "10")
    begun = 0
    most = 0

    @task(cache_key_fn=same)
    async def large(x: int) -> bytes:
        nonlocal begun, most
        begun += 1
        most = max(most, begun)
        await asyncio.sleep(1)
        begun -= 1
        return bytes(100)

    async with Runtime():
        futures = await large.map(range(10))
        await futures.aresult()

    assert most == 9  # all but the first, which the others waited for


# -- runs that stop waiting ------------------------------------------------------------


@KINDS
async def test_a_run_that_waits_can_be_cancelled(kind: str) -> None:
    gate = Gate()
    it = gate.task(kind)

    async with Runtime():
        futures = await it.map(range(10))
        await reached(gate.entered.is_set)
        followers = [each for each in futures if each.state.name == "Pending"]
        await reached(lambda: len(followers) == 9)
        assert followers[3].cancel()
        state = await followers[3].astate()
        gate.opened.set()
        rest = [await each for each in futures if each is not followers[3]]

    assert state.name == "Cancelled"
    assert rest == [1] * 9
    assert gate.begun == 1


async def test_an_awaited_run_that_waits_can_be_cancelled() -> None:
    gate = Gate()
    it = gate.task("coroutine")

    async with Runtime():
        leader = await it.submit(1)
        await reached(gate.entered.is_set)
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_soon(scope.cancel)
            await it(2)
        gate.opened.set()
        assert await leader == 1

    assert scope.cancelled_caught
    assert gate.begun == 1


@KINDS
async def test_a_time_limit_does_not_count_while_a_run_waits(kind: str) -> None:
    async def slow(x: int) -> int:
        await asyncio.sleep(3600)
        return x

    gate = Gate()
    slowly = task(cache_key_fn=same)(slow)
    it = gate.task(kind, timeout_seconds=1)

    async with Runtime():
        leader = await slowly.submit(7)
        await reached(lambda: leader.state.name == "Running")
        follower = await it.submit(1)

        assert await follower == 7
    assert gate.begun == 0


@KINDS
async def test_a_runtime_that_closes_ends_the_runs_that_wait(kind: str) -> None:
    gate = Gate()
    it = gate.task(kind)
    futures: list[Any] = []

    async def leave() -> None:
        async with Runtime():
            futures.extend(await it.map(range(20)))
            await reached(gate.entered.is_set)
            raise KeyError("leave")

    with pytest.raises(KeyError):
        await leave()

    assert {each.state.name for each in futures} == {"Cancelled"}
    assert gate.begun == 1


async def test_a_flow_that_ends_early_lets_others_go_on() -> None:
    gate = Gate()
    it = gate.task("coroutine")

    @flow
    async def gives_up() -> None:
        await it.submit(1)
        await reached(gate.entered.is_set)
        await asyncio.sleep(0)
        raise KeyError("leave")

    async with Runtime(), anyio.create_task_group() as group:

        async def ignored() -> None:
            with pytest.raises(KeyError):
                await gives_up()

        group.start_soon(ignored)
        await reached(gate.entered.is_set)
        future = await it.submit(2)
        await reached(lambda: gate.begun == 2)
        gate.opened.set()

        assert await future == 2


# -- runs within runs ------------------------------------------------------------------


@pytest.mark.parametrize("door", ["awaited", "submitted"])
async def test_a_run_inside_one_with_its_key_computes(door: str) -> None:
    depths: list[int] = []

    @task(cache_key_fn=same)
    async def nested(depth: int) -> int:
        depths.append(depth)
        if depth == 3:
            return 3
        if door == "awaited":
            return await nested(depth + 1)
        return await (await nested.submit(depth + 1))

    async with Runtime():
        assert await (await nested.submit(0)) == 3

    assert depths == [0, 1, 2, 3]


def test_a_plain_run_inside_one_with_its_key_computes() -> None:
    depths: list[int] = []

    @task(cache_key_fn=same)
    def nested(depth: int) -> int:
        depths.append(depth)
        if depth == 4:
            return depth
        if depth % 2:
            return nested(depth + 1)
        return nested.submit(depth + 1).result()

    with Runtime(max_threads=1):
        assert nested.submit(0).result() == 4

    assert depths == [0, 1, 2, 3, 4]


async def test_a_flow_inside_a_run_with_its_key_computes() -> None:
    @task(cache_key_fn=same)
    async def outer(depth: int) -> int:
        return depth or await inner()

    @flow
    async def inner() -> int:
        future = await outer.submit(1)
        return await future

    async with Runtime():
        assert await (await outer.submit(0)) == 1


@KINDS
async def test_two_runs_that_need_each_others_keys_both_end(kind: str) -> None:
    both = threading.Barrier(2, timeout=SECONDS)
    met = asyncio.Barrier(2)

    async def coroutine(x: str, top: bool) -> str:
        if top:
            await met.wait()
            other: str = await (await it.submit("b" if x == "a" else "a", False))
            return x + other
        return x

    def plain(x: str, top: bool) -> str:
        if top:
            both.wait()
            other: str = it.submit("b" if x == "a" else "a", False).value()
            return x + other
        return x

    it: Any = task(cache_key_fn=by_x)(coroutine if kind == "coroutine" else plain)

    async with Runtime():
        one, two = await it.submit("a", True), await it.submit("b", True)

        values = {await one, await two}

    # One of the two computes the other's key itself, or both do.
    assert values <= {"ab", "ba", "aba", "bab", "abab", "baba"}


async def test_a_circle_of_many_keys_ends() -> None:
    n = 10
    met = asyncio.Barrier(n)

    @task(cache_key_fn=by_x)
    async def link(x: int, top: bool) -> int:
        if not top:
            return x
        await met.wait()
        return await link((x + 1) % n, False)

    async with Runtime():
        futures = [await link.submit(i, True) for i in range(n)]
        values = [await future for future in futures]

    assert set(values) <= {*range(n)}


# -- on several loops ------------------------------------------------------------------


@pytest.mark.parametrize("leader_kind", ["plain", "coroutine"])
@KINDS
async def test_a_plain_flow_does_not_wait_for_the_loop_that_it_blocks(
    kind: str, leader_kind: str
) -> None:
    gate = Gate()
    leads = gate.task(leader_kind)
    it = task(cache_key_fn=same)(
        (lambda x: "here") if kind == "plain" else in_coroutine("here")
    )

    @flow
    def plain_flow() -> Any:
        return it.submit(2).result()

    @flow
    async def main() -> Any:
        leader = await leads.submit(1)
        await reached(gate.entered.is_set)
        value = plain_flow()
        gate.opened.set()
        return value, await leader

    assert await main() == ("here", 1)


def in_coroutine(value: Any) -> Any:
    async def body(x: Any) -> Any:
        return value

    return body


async def test_nobody_takes_over_on_a_loop_that_those_who_wait_for_it_block() -> None:
    gate = Gate(fails=1)
    asked = threading.Event()

    def key(context: Any, parameters: Any) -> str:
        if parameters["x"] == 3:
            asked.set()
        return "the key"

    it = gate.task("coroutine", cache_key_fn=key)

    @flow
    def leads() -> Any:
        return it.submit(1).result(raise_on_failure=False)

    @flow
    def blocks() -> Any:
        future = it.submit(3)
        assert asked.wait(SECONDS)
        gate.opened.set()
        return future.result()

    values: list[Any] = []
    async with Runtime(), anyio.create_task_group() as group:
        group.start_soon(leads.acall)
        await reached(gate.entered.is_set)
        second = await it.submit(2)
        for _ in range(100):
            await asyncio.sleep(0)
        values += [blocks(), await second]

    assert {*values} <= {2, 3}


async def test_runs_of_a_plain_flow_in_a_thread_share_with_those_around_it() -> None:
    gate = Gate()
    it = gate.task("coroutine")
    submitted = threading.Event()
    values: list[Any] = []

    @flow
    def plain_flow() -> Any:
        future = it.submit(2)
        submitted.set()
        return future.result()

    async with Runtime(), anyio.create_task_group() as group:
        leader = await it.submit(1)
        await reached(gate.entered.is_set)

        async def ask() -> None:
            values.append(await plain_flow.acall())

        group.start_soon(ask)
        await reached(submitted.is_set)
        gate.opened.set()
        values.append(await leader)

    assert values == [1, 1]
    assert gate.begun == 1
