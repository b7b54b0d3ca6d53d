"""Limits: of a task, of a tag, of a runtime; by number, by rate, and found."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from headrace import (
    Adaptive,
    Limit,
    Runtime,
    as_completed,
    flow,
    ref,
    tags,
    task,
    wait,
)
from headrace._concurrency.bodies import ThreadFace
from headrace.exceptions import (
    BlockedLoop,
    CancelledRun,
    LimitTooSmall,
    UpstreamTaskError,
)
from headrace.testing import Recorder, VirtualTimeLoop

BOUND = 5  # seconds; nothing here comes near


class Gauge:
    """How many bodies go on at once, and the order in which they began."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.order: list[Any] = []
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.now -= 1


def sleeper(gauge: Gauge, **options: Any) -> Any:
    """A coroutine task that takes a second."""

    @task(**options)
    async def sleep(x: Any = 0) -> Any:
        with gauge:
            gauge.order.append(x)
            await asyncio.sleep(1)
        return x

    return sleep


# -- of a task -----------------------------------------------------------------------


async def test_so_many_runs_of_a_task_go_on_at_once_and_no_more() -> None:
    gauge = Gauge()
    sleep = sleeper(gauge, concurrency_limit=3)
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with Runtime():
        found = await sleep.map(range(9)).aresult()

    assert found == [*range(9)]
    assert gauge.most == 3
    assert loop.time() - began == pytest.approx(3)


async def test_the_limit_counts_over_all_flows_and_doors() -> None:
    gauge = Gauge()
    sleep = sleeper(gauge, concurrency_limit=2)

    @flow
    async def use() -> None:
        await asyncio.gather(sleep(1), await sleep.submit(2), sleep.acall(3))

    await asyncio.gather(use(), use(), sleep(4))

    assert gauge.most == 2
    assert len(gauge.order) == 7


def test_plain_runs_are_held_to_it_in_threads_and_in_place() -> None:
    gauge = Gauge()
    together = threading.Barrier(2, timeout=BOUND)

    @task(concurrency_limit=2)
    def meet(x: int) -> int:
        with gauge:
            together.wait()
        return x

    @flow
    def use() -> list[int]:
        return meet.map(range(8)).result()

    assert use() == [*range(8)]
    assert gauge.most == 2


def test_threads_that_call_a_task_wait_for_their_turn() -> None:
    gauge = Gauge()

    @task(concurrency_limit=1)
    def step() -> None:
        with gauge:
            pass

    threads = [
        threading.Thread(target=lambda: [step() for _ in range(20)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)

    assert not any(thread.is_alive() for thread in threads)
    assert gauge.most == 1


async def test_copies_of_a_task_share_its_limit() -> None:
    gauge = Gauge()
    sleep = sleeper(gauge, concurrency_limit=2)
    other = sleep.with_options(name="other", retries=2)
    sleep.timeout_seconds = 60

    async with Runtime():
        futures = [*sleep.map(range(4)), *other.map(range(4))]
        await asyncio.gather(*futures)

    assert gauge.most == 2
    assert other.concurrency_limit is sleep.concurrency_limit


async def test_a_limit_of_its_own_replaces_that_of_the_task() -> None:
    gauge = Gauge()
    other = sleeper(gauge, concurrency_limit=1).with_options(concurrency_limit=4)

    async with Runtime():
        await other.map(range(8)).aresult()

    assert gauge.most == 4


async def test_a_run_in_line_is_pending_and_not_running() -> None:
    recorder = Recorder()
    sleep = sleeper(Gauge(), concurrency_limit=1)

    async with Runtime(observers=[recorder]):
        first, second = await sleep.map([1, 2])
        await asyncio.sleep(0.5)
        assert (first.state.name, second.state.name) == ("Running", "Pending")

    assert second.task_run.total_run_time.total_seconds() < 1.5


@pytest.mark.parametrize(
    ("given", "error"),
    [
        pytest.param("5", TypeError, id="a-text"),
        pytest.param(True, TypeError, id="a-flag"),
        pytest.param(2.0, TypeError, id="a-fraction"),
        pytest.param(-1, ValueError, id="negative"),
    ],
)
def test_what_is_no_limit_is_refused_at_decoration(
    given: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="whole number"):
        task(concurrency_limit=given)(print)


# -- of a tag --------------------------------------------------------------------------


@pytest.mark.rule("CONC-10", "TAG-07")
async def test_runs_of_a_tag_are_limited_wherever_the_tag_comes_from() -> None:
    gauge = Gauge()
    own = sleeper(gauge, tags=["db"])
    bare = sleeper(gauge)
    outer = tags("db")

    async with Runtime(limits={"db": 2}):
        futures = list(own.map(range(3)))
        with outer:
            futures += bare.map(range(3))
        futures += bare.with_options(tags={"db", "x"}).map(range(3))

        @flow
        async def use() -> None:
            await own(9)

        await asyncio.gather(use(), *futures)

    assert gauge.most == 2
    assert len(gauge.order) == 10


@pytest.mark.rule("CONC-10")
async def test_tags_without_a_limit_are_free() -> None:
    gauge = Gauge()
    sleep = sleeper(gauge, tags=["free"])

    async with Runtime(limits={"db": 1}):
        await sleep.map(range(5)).aresult()

    assert gauge.most == 5


@pytest.mark.rule("CONC-10")
async def test_a_run_with_several_limited_tags_needs_a_place_in_each() -> None:
    gauges = {"a": Gauge(), "b": Gauge()}

    def of(*names: str) -> Any:
        @task(tags=names)
        async def it() -> None:
            for name in names:
                gauges[name].__enter__()
            await asyncio.sleep(1)
            for name in names:
                gauges[name].__exit__()

        return it

    both, a, b = of("a", "b"), of("a"), of("b")
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with Runtime(limits={"a": 1, "b": 2}):
        # While it waits for `a` it holds nothing of `b`.
        futures = [await t.submit() for t in (a, both, b, b)]
        await wait(futures)

    assert (gauges["a"].most, gauges["b"].most) == (1, 2)
    assert loop.time() - began == pytest.approx(3)


def test_limits_that_are_none_are_refused() -> None:
    cases: list[Any] = [[("db", 5)], {5: 5}, {"db": None}, {"db": "5"}]
    for wrong in cases:
        with pytest.raises(TypeError, match=r"db|tags"):
            Runtime(limits=wrong)


# -- who is next, and when -----------------------------------------------------------


@pytest.mark.rule("CONC-11")
async def test_a_free_place_goes_to_who_came_first_and_at_once() -> None:
    gauge = Gauge()
    sleep = sleeper(gauge, tags=["db"])
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with Runtime(limits={"db": 2}):
        await sleep.map(range(10)).aresult()

    assert gauge.order == [*range(10)]
    assert loop.time() - began == pytest.approx(5)


async def test_a_place_is_taken_only_when_the_inputs_are_there() -> None:
    order: list[str] = []

    @task
    async def slow() -> int:
        await asyncio.sleep(10)
        return 1

    @task(concurrency_limit=1)
    async def use(name: str, x: int) -> None:
        order.append(name)

    async with Runtime():
        late = await use.submit("late", ref(slow.submit()))
        early = await use.submit("early", 1)
        await early
        await late

    assert order == ["early", "late"]


@pytest.mark.rule("CONC-12", "RETRY-12")
async def test_a_place_is_given_back_while_a_retry_is_waited_for() -> None:
    order: list[str] = []

    @task(tags=["db"], retries=1, retry_delay_seconds=60)
    async def flaky(name: str) -> None:
        order.append(name)
        if order.count(name) == 1:
            raise ValueError(name)

    loop = asyncio.get_running_loop()
    began = loop.time()
    async with Runtime(limits={"db": 1}):
        await asyncio.gather(
            flaky("awaited"), await flaky.submit("submitted"), flaky.acall("third")
        )

    assert len({*order[:3]}) == 3
    assert loop.time() - began == pytest.approx(60)


@pytest.mark.rule("CONC-12")
async def test_a_place_is_given_back_however_a_run_ends() -> None:
    def raise_it(error: BaseException) -> None:
        raise error

    @task(tags=["db"])
    async def end(how: Callable[[], Any]) -> None:
        how()
        await asyncio.sleep(100)

    limited = end.with_options(timeout_seconds=1)
    async with Runtime(limits={"db": 1}) as runtime:
        crashed = await end.submit(lambda: raise_it(KeyboardInterrupt()))
        failed = await end.submit(lambda: raise_it(ValueError()))
        late = await limited.submit(lambda: None)
        cancelled = await end.submit(lambda: None)
        withdrawn = await end.submit(lambda: None)
        last = await limited.submit(lambda: None)
        withdrawn.cancel()
        await asyncio.sleep(2)
        cancelled.cancel()
        states = [await f.astate() for f in (crashed, failed, late, cancelled, last)]

    assert [state.name for state in states if state] == [
        "Crashed", "Failed", "TimedOut", "Cancelled", "TimedOut",
    ]  # fmt: skip
    assert runtime.stats()["open_runs"] == 0


def test_plain_runs_give_their_place_back_too() -> None:
    @task(concurrency_limit=1, retries=1, retry_delay_seconds=0.01)
    def flaky(seen: list[int]) -> int:
        seen.append(1)
        if len(seen) == 1:
            raise ValueError
        return len(seen)

    @flow
    def use() -> list[int]:
        futures = [flaky.submit([]) for _ in range(3)]
        return [flaky([]), *[future.value() for future in futures]]

    assert use() == [2, 2, 2, 2]


# -- a limit of 0 ----------------------------------------------------------------------


@pytest.mark.rule("CONC-13")
async def test_with_a_limit_of_0_every_door_refuses_at_once() -> None:
    @task(tags=["off"])
    async def it(x: int = 0) -> None: ...

    @task(concurrency_limit=0)
    def plain(x: int = 0) -> None: ...

    async with Runtime(limits={"off": 0}) as runtime:
        for call in (it.submit, plain.submit, plain):
            with pytest.raises(LimitTooSmall, match="has 0 in all"):
                call()
        for door in (it, it.acall, plain.acall):
            with pytest.raises(LimitTooSmall, match="Raise the limit"):
                await door()
        for mapped in (it, plain):
            with pytest.raises(LimitTooSmall):
                mapped.map([1, 2])

        assert runtime.stats()["open_runs"] == 0
        assert await it.with_options(tags=[])() is None


# -- waiting for other runs ------------------------------------------------------------


@pytest.mark.rule("CONC-14")
async def test_a_run_that_waits_for_runs_of_its_own_limit_gets_its_place_back() -> None:
    gauge = Gauge()
    only = Limit(1)

    @task(concurrency_limit=only)
    async def down(n: int) -> int:
        with gauge:
            pass
        if not n:
            return 0
        future = await down.submit(n - 1)
        return 1 + await future

    async with Runtime():
        assert await down(5) == 5
        assert await (await down.submit(5)) == 5

    assert only.stats()["used"] == 0


@pytest.mark.rule("CONC-14")
async def test_runs_that_await_each_other_in_place_may_share_one_place() -> None:
    only = Limit(1)

    @task(concurrency_limit=only)
    async def down(n: int) -> int:
        assert only.stats()["used"] == 1
        return 1 + await down(n - 1) if n else 0

    assert await down(5) == 5
    async with Runtime():
        assert await (await down.submit(5)) == 5

    assert only.stats()["used"] == 0


@pytest.mark.rule("CONC-14")
def test_plain_runs_may_nest_under_one_place() -> None:
    @task(concurrency_limit=1)
    def submits(n: int) -> int:
        return 1 + submits.submit(n - 1).value() if n else 0

    @task(concurrency_limit=1)
    def calls(n: int) -> int:
        return 1 + calls(n - 1) if n else 0

    @flow
    def use() -> list[int]:
        futures = [submits.submit(5), calls.submit(5)]
        return [submits(5), calls(5), *[future.value() for future in futures]]

    assert use() == [5, 5, 5, 5]


@pytest.mark.rule("CONC-14")
async def test_a_task_that_starts_flows_does_not_lock_them_out() -> None:
    done: list[int] = []

    @task(concurrency_limit=1)
    async def outer(n: int) -> int:
        return await inner(n)

    @flow
    async def inner(n: int) -> int:
        if n:
            await outer.submit(n - 1)  # nobody waits for it but the flow
        done.append(n)
        return n

    async with Runtime():
        assert await (await outer.submit(3)) == 3

    assert sorted(done) == [0, 1, 2, 3]


async def test_other_ways_to_wait_lend_the_place_too() -> None:
    @task(concurrency_limit=1)
    async def leaf(n: int) -> int:
        return n

    async def by_wait(futures: Any) -> Any:
        return len((await wait(futures)).done)

    async def by_as_completed(futures: Any) -> Any:
        return len([future async for future in as_completed(futures)])

    async def by_list(futures: Any) -> Any:
        return len(await futures.aresult())

    async def by_state(futures: Any) -> Any:
        return len([await future.astate() for future in futures])

    async def by_gather(futures: Any) -> Any:
        return len(await asyncio.gather(*futures))

    async with Runtime():
        for how in (by_wait, by_as_completed, by_list, by_state, by_gather):
            root = task(how).with_options(
                concurrency_limit=leaf.concurrency_limit, name=how.__name__
            )

            @task(concurrency_limit=leaf.concurrency_limit)
            async def parent(how: Any = how) -> Any:
                return await how(leaf.map(range(3)))

            assert await (await parent.submit()) == 3, root.name
            assert await parent() == 3


async def test_who_got_a_child_waits_for_its_place_before_it_goes_on() -> None:
    gauge = Gauge()
    only = Limit(1)
    release = asyncio.Event()

    @task
    async def child() -> None: ...

    @task(concurrency_limit=only)
    async def parent() -> None:
        future = await child.submit()
        await future
        with gauge:
            gauge.order.append("parent")

    @task(concurrency_limit=only)
    async def other() -> None:
        with gauge:
            gauge.order.append("other")
            await release.wait()

    async with Runtime():
        first = await parent.submit()
        second, third = await other.submit(), await other.submit()
        await asyncio.sleep(1)
        assert gauge.order == ["other"]
        release.set()
        await wait([first, second, third])

    assert gauge.order == ["other", "parent", "other"]
    assert gauge.most == 1


async def test_a_child_that_waits_lends_its_own_place_and_no_other() -> None:
    gauge = Gauge()
    only = Limit(1)

    @task
    async def grandchild() -> None:
        await asyncio.sleep(5)

    @task
    async def child() -> None:
        await (await grandchild.submit())

    @task(concurrency_limit=only)
    async def parent() -> None:
        with gauge:
            await child.submit()
            await asyncio.sleep(10)

    async with Runtime():
        futures = [await parent.submit() for _ in range(2)]
        await wait(futures)

    assert gauge.most == 1


# -- cancels and time limits ----------------------------------------------------------


async def test_a_run_in_line_that_is_cancelled_never_starts() -> None:
    gauge = Gauge()
    sleep = sleeper(gauge, concurrency_limit=1)

    async with Runtime():
        futures = await sleep.map(range(3))
        await asyncio.sleep(0)
        futures[1].cancel()
        states = await futures.astate()

    assert [state.name for state in states if state] == [
        "Completed", "Cancelled", "Completed",
    ]  # fmt: skip
    assert gauge.order == [0, 2]


async def test_a_cancelled_run_is_out_of_the_line_before_its_hooks_have_ended() -> None:
    gauge = Gauge()
    sleep = sleeper(gauge, concurrency_limit=1)

    @sleep.on_cancellation
    async def tell(task: Any, run: Any, state: Any) -> None:
        await asyncio.sleep(10)

    loop = asyncio.get_running_loop()
    began = loop.time()
    async with Runtime():
        _, second, third = await sleep.map(range(3))
        second.cancel()
        await third
        assert loop.time() - began == pytest.approx(2)
        assert gauge.order == [0, 2]


async def test_cancelling_a_direct_call_that_waits_for_its_turn_withdraws_it() -> None:
    gauge = Gauge()
    sleep = sleeper(gauge, concurrency_limit=1)

    first = asyncio.create_task(sleep(1))
    second = asyncio.create_task(sleep(2))
    third = asyncio.create_task(sleep(3))
    await asyncio.sleep(0.5)
    second.cancel()
    await asyncio.gather(first, third)

    with pytest.raises(asyncio.CancelledError):
        await second
    assert gauge.order == [1, 3]


async def test_a_flow_that_is_left_early_leaves_nobody_in_line() -> None:
    gauge = Gauge()
    sleep = sleeper(gauge, concurrency_limit=1)

    @flow
    async def fail() -> None:
        await sleep.map(range(10_000))
        await asyncio.sleep(0.5)
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        await fail()

    assert gauge.order == [0]
    assert sleep.concurrency_limit.stats() == {"used": 0, "waiting": 0, "capacity": 1}


async def test_the_time_limit_of_a_run_begins_when_it_has_its_place() -> None:
    sleep = sleeper(Gauge(), concurrency_limit=1, timeout_seconds=1.5)

    async with Runtime():
        assert await sleep.map(range(4)).aresult() == [0, 1, 2, 3]


async def test_a_run_that_is_stopped_while_it_waits_for_its_place_ends() -> None:
    only = Limit(1)

    @task(concurrency_limit=only)
    async def child() -> None:
        await asyncio.sleep(10)

    @task(concurrency_limit=only, timeout_seconds=5)
    async def parent() -> None:
        await (await child.submit())

    async with Runtime():
        future = await parent.submit()
        state = await future.astate()

    assert state is not None
    assert state.name == "TimedOut"
    assert only.stats()["used"] == 0


async def test_a_wait_with_a_time_of_its_own_keeps_the_limit() -> None:
    gauge = Gauge()
    only = Limit(1)
    sleep = sleeper(gauge, concurrency_limit=only)

    @task(concurrency_limit=only)
    async def parent() -> str:
        future = await sleep.submit()
        try:
            async with asyncio.timeout(0.5):
                await future
        except TimeoutError:
            with gauge:
                return "late"
        return "in time"

    async with Runtime():
        assert await (await parent.submit()) == "late"

    assert gauge.most == 1


async def test_a_run_held_back_by_an_input_takes_no_place() -> None:
    @task
    async def fail() -> int:
        raise ValueError

    @task(concurrency_limit=1)
    async def use(x: int) -> int:
        return x

    async with Runtime():
        future = await use.submit(ref(fail.submit()))
        with pytest.raises(UpstreamTaskError):
            await future
        assert await use(1) == 1


# -- keys and weights ------------------------------------------------------------------


async def test_what_has_another_key_is_counted_apart() -> None:
    gauges = {"a": Gauge(), "b": Gauge()}
    limit = Limit(2, key=lambda parameters: parameters["tenant"])

    @task(concurrency_limit=limit)
    async def serve(tenant: str, n: int) -> None:
        with gauges[tenant]:
            gauges[tenant].order.append(n)
            await asyncio.sleep(1)

    loop = asyncio.get_running_loop()
    began = loop.time()
    async with Runtime():
        await serve.map(["a"] * 6 + ["b"] * 2, range(8)).aresult()

    assert (gauges["a"].most, gauges["b"].most) == (2, 2)
    assert gauges["a"].order == [*range(6)]
    assert loop.time() - began == pytest.approx(3)


async def test_key_and_weight_are_given_the_values_of_futures() -> None:
    seen: list[dict[str, Any]] = []

    def weigh(parameters: Any) -> int:
        seen.append(dict(parameters))
        return int(parameters["x"])

    @task
    async def three() -> int:
        return 3

    @task(concurrency_limit=Limit(3, weight=weigh))
    async def use(x: int, y: int = 7) -> int:
        return x

    async with Runtime():
        assert await (await use.submit(ref(three.submit()))) == 3
        assert await use(2) == 2
        assert await (await use.submit(y=1, x=1)) == 1

    assert seen == [{"x": 3, "y": 7}, {"x": 2, "y": 7}, {"x": 1, "y": 1}]


async def test_heavy_runs_take_more() -> None:
    gauge = Gauge()
    limit = Limit(4, weight=lambda parameters: parameters["x"])
    sleep = sleeper(gauge, concurrency_limit=limit)
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with Runtime():
        await sleep.map([3, 2, 2, 1, 4]).aresult()

    assert gauge.order == [3, 2, 2, 1, 4]
    assert loop.time() - began == pytest.approx(4)


@pytest.mark.parametrize("door", ["submitted", "awaited", "called"])
@pytest.mark.parametrize(
    ("limit", "error"),
    [
        pytest.param({"key": lambda p: 1 / 0}, ZeroDivisionError, id="key-raises"),
        pytest.param({"key": lambda p: []}, TypeError, id="key-no-key"),
        pytest.param({"weight": lambda p: "x"}, TypeError, id="weight-no-number"),
        pytest.param({"weight": lambda p: 0}, ValueError, id="weight-0"),
        pytest.param({"weight": lambda p: 9}, LimitTooSmall, id="too-much"),
    ],
)
async def test_a_key_or_weight_that_cannot_be_found_fails_the_run(
    door: str, limit: dict[str, Any], error: type[Exception]
) -> None:
    only = Limit(2, **limit)

    async def coroutine() -> None: ...

    def plain() -> None: ...

    kind = plain if door == "called" else coroutine
    it: Any = task(concurrency_limit=only, name="it")(kind)
    async with Runtime():
        if door == "submitted":
            state = await it.submit(return_state=True)
        elif door == "awaited":
            state = await it(return_state=True)
        else:
            state = await it.acall(return_state=True)

    assert state.type == "FAILED"
    assert isinstance(state.data, error)
    assert only.stats()["used"] == 0


# -- rates -----------------------------------------------------------------------------


async def test_a_rate_admits_its_schedule_and_nothing_else() -> None:
    loop = asyncio.get_running_loop()
    begun: list[float] = []

    @task(concurrency_limit=Limit(rate="50/s"))
    async def call(n: int) -> None:
        begun.append(loop.time())

    async with Runtime():
        await call.map(range(201)).aresult()

    assert [t - begun[0] for t in begun] == pytest.approx([n / 50 for n in range(201)])


async def test_a_burst_goes_at_once_and_then_the_rate_holds() -> None:
    loop = asyncio.get_running_loop()
    begun: list[float] = []

    @task(tags=["api"])
    async def call(n: int) -> None:
        begun.append(loop.time())

    async with Runtime(limits={"api": Limit(rate="60/min", burst=5)}):
        await call.map(range(8)).aresult()

    assert [t - begun[0] for t in begun] == pytest.approx([0] * 5 + [1, 2, 3])


async def test_a_rate_counts_what_runs_weigh() -> None:
    loop = asyncio.get_running_loop()
    begun: list[float] = []
    limit = Limit(rate="100/s", weight=lambda parameters: parameters["tokens"])

    @task(concurrency_limit=limit)
    async def call(tokens: int) -> None:
        begun.append(loop.time())

    async with Runtime():
        await call.map([100, 50, 200, 1]).aresult()

    assert [t - begun[0] for t in begun] == pytest.approx([0, 1, 1.5, 3.5])


async def test_plain_tasks_keep_the_rate_too() -> None:
    loop = asyncio.get_running_loop()
    begun: list[float] = []

    @task(concurrency_limit=Limit(2, rate="10/s"))
    def call(n: int) -> None:
        begun.append(loop.time())

    async with Runtime():
        await call.map(range(11)).aresult()

    assert [t - begun[0] for t in begun] == pytest.approx([n / 10 for n in range(11)])


def test_one_limit_is_good_for_one_virtual_clock_after_the_other() -> None:
    limit = Limit(rate="1/hour")

    @task(concurrency_limit=limit)
    async def call() -> float:
        return asyncio.get_running_loop().time()

    async def use() -> list[float]:
        async with Runtime():
            return [await call(), await call()]

    for _ in range(2):
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            assert runner.run(use()) == pytest.approx([0, 3600])


# -- a limit that is found --------------------------------------------------------------


class Provider:
    """Serves so many calls at once, and refuses more."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.now = self.calls = self.refused = 0

    async def ask(self) -> None:
        self.calls += 1
        if self.now >= self.capacity:
            self.refused += 1
            await asyncio.sleep(0.05)
            raise ConnectionError("too many requests")
        self.now += 1
        await asyncio.sleep(0.1)
        self.now -= 1


async def test_an_adaptive_limit_finds_the_capacity_and_follows_it() -> None:
    provider = Provider(37)
    limit = Limit(Adaptive(min=1, start=8, max=200))

    @task(concurrency_limit=limit)
    async def call(n: int) -> None:
        await provider.ask()

    async with Runtime():
        await call.map(range(200)).astate()
        assert limit.stats()["capacity"] == pytest.approx(37, rel=0.15)
        provider.refused = 0
        await call.map(range(1000)).astate()
        assert provider.refused < 50
        provider.capacity = 5
        await call.map(range(200)).astate()
        assert limit.stats()["capacity"] == pytest.approx(5, abs=1)
        await call.map(range(5)).astate()


async def test_other_errors_do_not_make_an_adaptive_limit_smaller() -> None:
    limit = Limit(Adaptive(start=8))

    @task(concurrency_limit=limit, retries=1)
    async def fail(n: int) -> None:
        raise ValueError

    async with Runtime():
        await fail.map(range(50)).astate()

    assert limit.stats()["capacity"] == 8


# -- of a runtime ----------------------------------------------------------------------


async def test_a_runtime_limits_all_that_is_submitted_to_it() -> None:
    gauge = Gauge()
    one, other = sleeper(gauge), sleeper(gauge, tags=["x"])

    async with Runtime(max_concurrency=4, limits={"x": 3}):
        await asyncio.gather(*one.map(range(10)), *other.map(range(10)))

    assert gauge.most == 4


async def test_nested_runs_do_not_lock_up_a_runtime_with_one_place() -> None:
    @task
    async def down(n: int) -> int:
        return 1 + await (await down.submit(n - 1)) if n else 0

    @task
    def plain(n: int) -> int:
        return 1 + plain.submit(n - 1).value() if n else 0

    async with Runtime(max_concurrency=1, max_threads=1):
        assert await (await down.submit(5)) == 5
        assert await (await plain.submit(5)) == 5


@pytest.mark.parametrize("option", ["max_concurrency", "max_pending", "max_threads"])
@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "4"])
def test_what_is_no_count_is_refused(option: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match=option):
        Runtime(**{option: wrong})


# -- in plain code, and by hand -------------------------------------------------------


async def test_a_plain_task_under_a_limit_is_not_called_on_the_loop() -> None:
    @task(concurrency_limit=1)
    def plain() -> int:
        return 1

    with pytest.raises(BlockedLoop, match="wait for its turn"):
        plain()
    assert await plain.acall() == 1


async def test_blocks_and_runs_share_a_limit() -> None:
    gauge = Gauge()
    limit = Limit(2)
    sleep = sleeper(gauge, concurrency_limit=limit)

    async def by_hand() -> None:
        async with limit:
            with gauge:
                await asyncio.sleep(1)

    async with Runtime():
        await asyncio.gather(*sleep.map(range(4)), *[by_hand() for _ in range(4)])

    assert gauge.most == 2
    assert limit.stats()["used"] == 0


async def test_a_plain_flow_on_the_loop_counts_by_itself() -> None:
    limit = Limit(1)

    @task(concurrency_limit=limit)
    async def it() -> int:
        return 1

    @flow
    def plain() -> int:
        return it.submit().value()

    async with limit:
        # Whoever holds the place could not give it back: the loop stands still.
        assert plain() == 1


def test_two_runtimes_share_a_limit_that_both_use() -> None:
    gauge = Gauge()
    limit = Limit(1)
    ready = threading.Barrier(2, timeout=BOUND)

    @task(concurrency_limit=limit)
    def step(n: int) -> None:
        with gauge:
            pass

    def use() -> None:
        with Runtime():
            ready.wait()
            step.map(range(50)).result()

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)

    assert not any(thread.is_alive() for thread in threads)
    assert gauge.most == 1
    assert limit.stats()["used"] == 0


# -- anything at random ---------------------------------------------------------------

RUN = st.fixed_dictionaries(
    {
        "seconds": st.sampled_from([0, 0.5, 1, 3]),
        "fails": st.booleans(),
        "cancelled_at": st.sampled_from([None, None, 0, 0.25, 1.5]),
        "child": st.booleans(),
        "which": st.sampled_from(["a", "b", "ab"]),
    }
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(RUN, min_size=1, max_size=14), st.integers(1, 3))
def test_whatever_happens_the_limits_hold_and_everybody_gets_a_turn(
    runs: list[dict[str, Any]], places: int
) -> None:
    gauges = {"a": Gauge(), "b": Gauge()}

    @task(retries=1, retry_delay_seconds=1, timeout_seconds=2)
    async def work(run: dict[str, Any], depth: int = 0) -> None:
        for name in run["which"]:
            gauges[name].__enter__()
        try:
            await asyncio.sleep(run["seconds"])
        finally:
            for name in run["which"]:
                gauges[name].__exit__()
        if run["child"] and not depth:
            await (await work.with_options(tags=[*run["which"]]).submit(run, 1))
        if run["fails"]:
            raise ValueError

    async def use() -> list[str]:
        loop = asyncio.get_running_loop()
        async with Runtime(limits={"a": places, "b": 2}) as runtime:
            futures = []
            for run in runs:
                future = await work.with_options(tags=[*run["which"]]).submit(run)
                if run["cancelled_at"] is not None:
                    loop.call_later(run["cancelled_at"], future.cancel)
                futures.append(future)
            states = [await future.astate() for future in futures]
        assert runtime.stats()["open_runs"] == 0
        return [state.type for state in states if state]

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        found = runner.run(use())

    assert len(found) == len(runs)
    assert {*found} <= {"COMPLETED", "FAILED", "CANCELLED"}
    assert gauges["a"].most <= places
    assert gauges["b"].most <= 2
    assert (gauges["a"].now, gauges["b"].now) == (0, 0)


def test_a_cancelled_run_says_so_when_it_was_in_line() -> None:
    block = threading.Event()

    @task(concurrency_limit=1)
    def wait_for_it() -> None:
        block.wait(BOUND)

    @flow(name="it")
    def use() -> None:
        first, second = wait_for_it.submit(), wait_for_it.submit()
        second.cancel()
        with pytest.raises(CancelledRun, match="before it started"):
            second.result()
        block.set()
        first.result()

    use()


async def test_a_body_has_its_place_back_after_a_flow_in_it_that_timed_out() -> None:
    at_work: list[int] = []
    most: list[int] = []

    @task
    async def long() -> None:
        await asyncio.sleep(1000)

    @flow(timeout_seconds=1)
    def inner() -> None:
        _ = long.submit().result()

    shared = Limit(1)

    @task(concurrency_limit=shared)
    async def other() -> None:
        at_work.append(2)
        await asyncio.sleep(10)
        at_work.remove(2)

    @task(concurrency_limit=shared)
    def outer() -> None:
        with contextlib.suppress(TimeoutError):
            inner()
        most.append(len(at_work))

    async with Runtime():
        first = await outer.submit()
        second = await other.submit()
        await asyncio.gather(first, second)

    assert most == [0]


async def test_a_body_that_is_stopped_as_its_wait_ends_does_not_go_on_without_a_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = Limit(1)
    went_on: list[float | None] = []

    @task
    async def long() -> None:
        await asyncio.sleep(1000)

    @task(concurrency_limit=shared)
    def body() -> None:
        _ = long.submit().wait(500)
        went_on.append(shared.stats()["used"])

    @task(concurrency_limit=shared)
    async def other() -> None:
        await asyncio.sleep(100)

    stop = ThreadFace.stop

    def stop_late(face: ThreadFace, *args: Any, **kwargs: Any) -> bool:
        first = face.present_wait
        assert first is not None
        first.end()
        until = time.monotonic() + 5
        while not went_on and face.present_wait in {first, None}:
            assert time.monotonic() < until
        return stop(face, *args, **kwargs)

    async with Runtime():
        first = await body.submit()
        second = await other.submit()
        await asyncio.sleep(1)
        monkeypatch.setattr(ThreadFace, "stop", stop_late)
        first.cancel()
        state = await first.astate()
        await second

    assert state is not None
    assert state.is_cancelled()
    assert went_on == []
