"""`Runtime`: entering, leaving, joining, counting, and staying apart."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from headrace import (
    Runtime,
    Settings,
    as_completed,
    check_cancelled,
    flow,
    task,
    temporary_settings,
)
from headrace.exceptions import (
    BlockedLoop,
    CancelledRun,
    DeadlockError,
    RunEnded,
    SubmitOutsideRun,
)
from headrace.testing import Recorder


def plain_double(number: int) -> int:
    return 2 * number


async def coroutine_double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


# Not typed here, as wrong calls are made as well; see tests/typing for types.
double: Any = task(name="double")(plain_double)
adouble: Any = task(name="adouble")(coroutine_double)


# -- inside its block ------------------------------------------------------------------


def test_a_plain_block_serves_every_door() -> None:
    inner = flow(lambda number: double.submit(number).result(), name="inner")
    ainner: Any = flow(adouble.fn, name="ainner")

    with Runtime():
        values = [
            double(21),
            double.submit(21).result(),
            adouble.submit(21).value(),
            *double.map([21]).result(),
            *adouble.map([21]).result(),
            inner(21),
            asyncio.run(adouble(21)),
            asyncio.run(adouble.acall(21)),
            asyncio.run(double.acall(21)),
            asyncio.run(ainner(21)),
            asyncio.run(inner.acall(21)),
        ]

    assert values == [42] * 11


async def test_an_asynchronous_block_serves_every_door() -> None:
    inner = flow(lambda number: double.submit(number).result(), name="inner")
    ainner: Any = flow(adouble.fn, name="ainner")

    async with Runtime():
        values = [
            double(21),
            await adouble(21),
            await (await double.submit(21)),
            await (await adouble.submit(21)),
            *await double.map([21]).aresult(),
            *await adouble.map([21]).aresult(),
            inner(21),
            await inner.acall(21),
            await ainner(21),
            await double.acall(21),
            await adouble.acall(21),
        ]

    assert values == [42] * 11


def test_a_plain_block_keeps_one_loop_for_all_calls_in_it() -> None:
    @task
    async def loop_of_the_task() -> int:
        return id(asyncio.get_running_loop())

    loop = flow(lambda: loop_of_the_task.submit().value(), name="loop")

    with Runtime():
        loops = [loop(), loop(), loop_of_the_task.submit().value()]

    assert len(set(loops)) == 1


async def test_an_asynchronous_block_uses_the_running_loop() -> None:
    @task
    async def loop_of_the_task() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async with Runtime():
        loop = await (await loop_of_the_task.submit())

    assert loop is asyncio.get_running_loop()


async def test_a_plain_block_in_coroutine_code_has_a_loop_of_its_own() -> None:
    @task
    async def loop_of_the_task() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    with Runtime():
        future = await loop_of_the_task.submit()
        loop = await future

    assert loop is not asyncio.get_running_loop()


async def test_what_is_started_in_a_block_is_part_of_it() -> None:
    async def work() -> int:
        future = await adouble.submit(21)
        return await future

    async with Runtime():
        started = asyncio.create_task(work())
        assert await started == 42


def test_blocks_nest_and_the_inner_one_counts() -> None:
    outer, inner = Runtime(), Runtime()

    with outer:
        with inner:
            double.submit(1)
            counts = outer.stats()["open_runs"], inner.stats()["open_runs"]
        double.submit(2).result()

    assert counts[0] == 0


# -- leaving it ------------------------------------------------------------------------


def test_leaving_a_plain_block_waits_for_its_runs() -> None:
    ended: list[int] = []
    gate = threading.Event()

    @task
    def slow(number: int) -> None:
        assert gate.wait(5)
        ended.append(number)

    with Runtime():
        slow.map([1, 2])
        assert ended == []
        gate.set()

    assert sorted(ended) == [1, 2]


async def test_leaving_an_asynchronous_block_waits_for_its_runs() -> None:
    ended: list[int] = []

    @task
    async def slow(number: int) -> None:
        await asyncio.sleep(3600)
        ended.append(number)

    async with Runtime():
        slow.map([1, 2])

    assert ended == [1, 2]


async def test_leaving_waits_for_what_the_runs_submit_as_well() -> None:
    ended: list[int] = []

    @task
    async def chain(left: int) -> None:
        await asyncio.sleep(1)
        ended.append(left)
        if left:
            chain.submit(left - 1)

    async with Runtime():
        chain.submit(3)

    assert ended == [3, 2, 1, 0]


def test_an_exception_that_leaves_a_plain_block_cancels_its_runs() -> None:
    started = threading.Barrier(2, timeout=5)
    asleep = threading.Event()
    futures: list[Any] = []
    ended: list[str] = []

    @task
    def works() -> None:
        try:
            started.wait()
            while True:
                check_cancelled()
        finally:
            ended.append("plain")

    @task
    async def sleeps() -> None:
        try:
            asleep.set()
            await asyncio.sleep(3600)
        finally:
            ended.append("coroutine")

    def program() -> None:
        with Runtime():
            futures.extend([sleeps.submit(), works.submit()])
            started.wait()
            assert asleep.wait(5)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        program()

    assert [future.state.name for future in futures] == ["Cancelled", "Cancelled"]
    assert sorted(ended) == ["coroutine", "plain"]


async def test_an_exception_that_leaves_an_asynchronous_block_cancels_its_runs() -> (
    None
):
    futures: list[Any] = []
    ended: list[str] = []

    @task
    async def sleeps() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(1)
            ended.append("coroutine")

    async def program() -> None:
        async with Runtime():
            futures.append(await sleeps.submit())
            futures.append(await adouble.submit(futures[0]))
            await anyio.wait_all_tasks_blocked()
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await program()

    assert [future.state.is_cancelled() for future in futures] == [True, True]
    assert ended == ["coroutine"]
    with pytest.raises(CancelledRun):
        await futures[0]


async def test_cancelling_the_wait_for_the_runs_cancels_them() -> None:
    futures: list[Any] = []

    @task
    async def sleeps() -> None:
        await asyncio.sleep(3600)

    async def service() -> None:
        async with Runtime():
            futures.append(await sleeps.submit())

    running = asyncio.create_task(service())
    await anyio.wait_all_tasks_blocked()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert futures[0].state.name == "Cancelled"


@pytest.mark.parametrize("seen", [False, True], ids=["unseen", "seen"])
def test_failures_that_nobody_saw_are_logged_and_not_raised(
    seen: bool, caplog: pytest.LogCaptureFixture
) -> None:
    @task
    def fail() -> None:
        raise ValueError("unseen")

    with Runtime():
        future = fail.submit()
        if seen:
            future.wait()

    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == (0 if seen else 1)
    assert seen or "fail-0 (Failed)" in caplog.text


async def test_failures_in_an_asynchronous_block_are_logged_and_not_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @task
    async def fail(number: int) -> None:
        raise ValueError(number)

    async with Runtime():
        fail.map(range(5))

    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "5 runs that did not complete" in warnings[0]
    assert "fail-0 (Failed), fail-1 (Failed)" in warnings[0]


def test_a_block_that_submits_nothing_starts_no_thread() -> None:
    before = threading.active_count()

    with Runtime():
        assert double(21) == 42
        assert threading.active_count() == before


def test_threads_end_with_the_block() -> None:
    with Runtime():
        double.map(range(100)).result()
        names = [thread.name for thread in threading.enumerate()]
        assert "headrace-loop" in names
        assert "headrace-worker-1" in names

    assert not [t for t in threading.enumerate() if t.name.startswith("headrace")]


# -- joining it from elsewhere ---------------------------------------------------------


def test_a_thread_made_by_hand_joins_with_use() -> None:
    got: list[Any] = []

    def work() -> None:
        with pytest.raises(SubmitOutsideRun):
            double.submit(1)
        with runtime.use() as same:
            assert same is runtime
            got.append(double.submit(1).result())
            got.append(adouble.submit(2).value())
            double.submit(3)
        with pytest.raises(SubmitOutsideRun):
            double.submit(1)

    with Runtime() as runtime:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(timeout=5)

    assert got == [2, 4]


async def test_coroutine_code_started_elsewhere_joins_with_use() -> None:
    requests: asyncio.Queue[int] = asyncio.Queue()
    answers: list[int] = []

    async def handler() -> None:
        number = await requests.get()
        with runtime.use():
            answers.append(await (await adouble.submit(number)))
            answers.append(await double.acall(number))

    runtime = Runtime()
    handling = asyncio.create_task(handler())
    async with runtime:
        requests.put_nowait(21)
        await handling

    assert answers == [42, 42]


def test_many_threads_join_at_once_before_anything_was_submitted() -> None:
    together = threading.Barrier(8, timeout=5)
    loops: list[int] = []

    @task
    async def loop_of_the_task() -> int:
        return id(asyncio.get_running_loop())

    def work() -> None:
        with runtime.use():
            together.wait()
            loops.append(loop_of_the_task.submit().value())

    with Runtime() as runtime:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=5)

    assert len(loops) == 8
    assert len(set(loops)) == 1


def test_use_before_and_after_the_block_is_refused() -> None:
    runtime = Runtime()

    with pytest.raises(RuntimeError, match="has not been entered"):
        runtime.use().__enter__()
    with runtime:
        pass
    with pytest.raises(RunEnded, match="runtime"):
        runtime.use().__enter__()


def test_what_joined_and_stayed_is_refused_after_the_end() -> None:
    entered, gate = threading.Event(), threading.Event()
    refusals: list[str] = []

    def work() -> None:
        with runtime.use():
            entered.set()
            assert gate.wait(5)
            with pytest.raises(RunEnded) as refusal:
                double.submit(1)
            refusals.append(str(refusal.value))

    with Runtime() as runtime:
        thread = threading.Thread(target=work)
        thread.start()
        assert entered.wait(5)
    gate.set()
    thread.join(timeout=5)

    assert "runtime" in refusals[0]
    assert "has ended" in refusals[0]


async def test_entering_twice_is_refused_and_does_no_harm() -> None:
    runtime = Runtime()

    async with runtime:
        future = await double.submit(1)
        with pytest.raises(RuntimeError, match="entered already"):
            await runtime.__aenter__()
        with pytest.raises(RuntimeError, match="entered already"):
            runtime.__enter__()
        assert await future == 2
        assert await double.acall(2) == 4


def test_leaving_without_having_entered_is_refused() -> None:
    with pytest.raises(RuntimeError, match="has not been entered"):
        Runtime().__exit__(None, None, None)


async def test_a_runtime_is_left_in_another_task_than_it_was_entered_in() -> None:
    # As the fixtures of some test runners do.
    runtime = Runtime()

    await asyncio.create_task(runtime.__aenter__())
    with runtime.use():
        future = await adouble.submit(21)
    await asyncio.create_task(runtime.__aexit__(None, None, None))

    assert await future == 42


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "4"])
def test_a_wrong_number_of_threads_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"Runtime\(max_threads="):
        Runtime(max_threads=wrong)


# -- apart from others -----------------------------------------------------------------


def test_two_runtimes_have_loops_threads_and_names_of_their_own() -> None:
    loops: list[int] = []
    recorders = [Recorder(), Recorder()]

    @task
    async def loop_of_the_task() -> int:
        return id(asyncio.get_running_loop())

    with (
        Runtime(observers=[recorders[0]]) as one,
        Runtime(observers=[recorders[1]], max_threads=1) as other,
    ):
        for runtime in (one, other):
            with runtime.use():
                loops.append(loop_of_the_task.submit().value())
                double.map(range(4)).result()
        threads = [one.stats()["threads"], other.stats()["threads"]]

    assert loops[0] != loops[1]
    assert threads[0] in range(1, 5)
    assert threads[1] == 1
    for recorder in recorders:
        names = {event.run.name for event in recorder.events}
        assert names == {"loop_of_the_task-0", *(f"double-{n}" for n in range(4))}


def test_a_run_may_depend_on_one_of_another_runtime() -> None:
    with Runtime() as one, Runtime() as other:
        with one.use():
            first = adouble.submit(10)
        with other.use():
            second = double.submit(first, wait_for=[adouble.submit(first)])

        assert second.result() == 40


async def test_a_run_that_depends_on_another_runtime_is_held_back_by_its_failure() -> (
    None
):
    @task
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("there")

    with Runtime() as other:
        async with Runtime():
            with other.use():
                failing = await fail.submit()
            held_back = await adouble.submit(failing)
            state = await held_back.astate()

    assert state is not None
    assert state.name == "NotReady"


def test_a_run_that_ends_after_a_runtime_that_waited_for_it_harms_nobody() -> None:
    gate = threading.Event()
    waits = task(gate.wait, name="waits")

    def program() -> None:
        with Runtime():
            futures.append(double.submit(awaited))
            futures.append(adouble.submit(awaited))
            raise ValueError("mine")

    futures: list[Any] = []
    with Runtime():
        awaited = waits.submit()
        with pytest.raises(ValueError, match="mine"):
            program()
        gate.set()
        assert awaited.result() is True
        assert double.submit(awaited).result() == 2

    assert [future.state.name for future in futures] == ["Cancelled", "Cancelled"]


def test_ending_one_runtime_leaves_the_other_alone() -> None:
    gate = threading.Event()
    waits = task(gate.wait, name="waits")

    with Runtime() as one:
        with Runtime() as other, one.use():
            future = waits.submit()
        with pytest.raises(RunEnded):
            other.use().__enter__()
        gate.set()
        assert future.result() is True


# -- counts ----------------------------------------------------------------------------


async def test_stats_count_what_there_is_now() -> None:
    started, gate = threading.Barrier(3, timeout=5), threading.Event()

    @task
    def holds() -> None:
        started.wait()
        assert gate.wait(5)

    @task
    async def sleeps(_: int) -> None:
        await asyncio.sleep(3600)

    runtime = Runtime(max_threads=2)
    async with runtime:
        before = runtime.stats()
        for _ in range(2):
            holds.submit()
        await asyncio.to_thread(started.wait)
        double.submit(1)
        sleeps.map(range(3))
        await asyncio.sleep(0)
        meanwhile = runtime.stats()
        gate.set()
    after = runtime.stats()

    assert set(before.values()) == {0}
    assert meanwhile == {
        "open_runs": 6,
        "queued": 1,
        "threads": 2,
        "running_threads": 2,
        "abandoned_threads": 0,
        "zombies": 0,
    }
    assert after["open_runs"] == after["queued"] == after["threads"] == 0


def test_stats_may_be_asked_at_any_time() -> None:
    runtime = Runtime()

    assert set(runtime.stats().values()) == {0}


# -- threads and slots -----------------------------------------------------------------


class Meter:
    """Counts bodies that run at once, and never lets a waiting one count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = self.most = 0

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.now -= 1


def test_never_more_bodies_run_than_there_may_be_threads() -> None:
    together = threading.Barrier(3, timeout=5)
    meter = Meter()

    @task
    def meets(_: int) -> None:
        with meter:
            together.wait()

    with Runtime(max_threads=3):
        meets.map(range(99)).result()

    assert meter.most == 3


@pytest.mark.rule("CONC-08")
def test_bodies_that_wait_lend_their_slots_and_never_more_run() -> None:
    together = threading.Barrier(3, timeout=5)
    meter = Meter()

    @task
    def leaf(number: int) -> int:
        with meter:
            together.wait()
        return number

    @task
    def branch(number: int) -> int:
        with meter:
            futures = leaf.map([number] * 3)
        values = futures.result()
        with meter:
            return sum(values)

    with Runtime(max_threads=3):
        values = branch.map(range(20)).result()

    assert values == [3 * number for number in range(20)]
    assert meter.most == 3


@pytest.mark.rule("CONC-08", "NEST-01")
@pytest.mark.parametrize("max_threads", [1, 2])
@pytest.mark.parametrize("door", ["submit", "map", "call", "coroutine", "flow"])
def test_plain_tasks_nest_fifty_deep_in_few_threads(
    door: str, max_threads: int
) -> None:
    @task
    def down(depth: int) -> int:
        if not depth:
            return 0
        return 1 + (DOORS_DOWN[door](down, depth - 1))

    with Runtime(max_threads=max_threads):
        assert down.submit(50).result() == 50


def by_a_coroutine_task(down: Any, depth: int) -> Any:
    @task
    async def between() -> int:
        return await (await down.submit(depth))

    return between.submit().value()


def by_a_flow(down: Any, depth: int) -> Any:
    return flow(lambda: down.submit(depth), name="between")()


DOORS_DOWN: dict[str, Callable[[Any, int], Any]] = {
    "submit": lambda down, depth: down.submit(depth).result(),
    "map": lambda down, depth: down.map([depth]).result()[0],
    "call": lambda down, depth: down(depth),
    "coroutine": by_a_coroutine_task,
    "flow": by_a_flow,
}


@pytest.mark.rule("CONC-08")
def test_a_wide_fan_out_of_nested_plain_tasks_ends_in_two_threads() -> None:
    @task
    def node(depth: int) -> int:
        if not depth:
            return 1
        return sum(node.map([depth - 1] * 4).result())

    with Runtime(max_threads=2):
        assert node.submit(4).result() == 256


@pytest.mark.rule("CONC-08")
def test_a_chain_of_runs_that_wait_by_dependency_needs_one_thread() -> None:
    add = task(lambda one, other: one + other, name="add")

    with Runtime(max_threads=1) as runtime:
        future: Any = double.submit(0)
        for _ in range(1000):
            future = add.submit(future, 1)
        assert future.result() == 1000
        threads = runtime.stats()["threads"]

    assert threads == 1


def test_threads_grown_for_lent_slots_end_when_they_are_not_needed() -> None:
    @task
    def down(depth: int) -> int:
        return 1 + down.submit(depth - 1).result() if depth else 0

    with Runtime(max_threads=2) as runtime:
        down.submit(20).result()
        double.map(range(50)).result()
        threads = runtime.stats()["threads"]

    assert threads <= 3


@pytest.mark.rule("CONC-08")
def test_too_many_threads_that_wait_are_a_deadlock_error() -> None:
    @task
    def down(depth: int) -> int:
        return 1 + down.submit(depth - 1).result() if depth else 0

    with Runtime(max_threads=1, settings=Settings(max_lent_threads=2)):
        assert down.submit(2).result() == 2
        with pytest.raises(DeadlockError, match="max_lent_threads=2"):
            down.submit(3).result()
        assert down.submit(2).result() == 2


@pytest.mark.rule("CONC-08")
def test_a_flow_in_a_worker_that_cannot_wait_is_a_deadlock_error() -> None:
    gate = threading.Event()
    waits = task(gate.wait, name="waits")

    @flow
    def inner() -> None:
        waits.submit()  # waited for at its end

    @task
    def outer() -> None:
        inner()

    with Runtime(max_threads=1, settings=Settings(max_lent_threads=0)):
        with pytest.raises(DeadlockError, match="max_lent_threads=0"):
            outer.submit().result()
        gate.set()
        assert double.submit(1).result() == 2


@pytest.mark.rule("CONC-08")
@pytest.mark.parametrize(
    "wait",
    [
        lambda: double.acall(21),
        lambda: double.submit(21).aresult(),
        lambda: flow(double.fn, name="inner").acall(21),
        lambda: first_of(double.map([21])),
        lambda: first_of(double.map([21] * 600)),
        lambda: first_completed(double.map([21])),
    ],
    ids=["acall", "future", "flow", "map", "long-map", "as-completed"],
)
def test_a_body_that_awaits_in_a_loop_of_its_own_lends_its_slot(wait: Any) -> None:
    outer = task(lambda: asyncio.run(wait()), name="outer")

    with Runtime(max_threads=1):
        assert outer.submit().result() == 42


async def first_of(futures: Any) -> Any:
    return (await futures.aresult())[0]


async def first_completed(futures: Any) -> Any:
    async for future in as_completed(futures):
        return await future
    return None


@pytest.mark.rule("CONC-08")
def test_many_waits_in_a_loop_of_a_body_lend_its_one_slot_once() -> None:
    meter = Meter()

    @task
    def counted(number: int) -> int:
        with meter:
            return 2 * number

    async def many() -> list[int]:
        waits = [counted.acall(n) for n in range(20)]
        return [*await asyncio.gather(*waits), counted.submit(20).result()]

    @task
    def outer() -> list[int]:
        values = asyncio.run(many())
        with meter:
            return values

    with Runtime(max_threads=1) as runtime:
        assert outer.submit().result() == [2 * n for n in range(21)]
        assert double.submit(1).result() == 2
        assert runtime.stats()["threads"] <= 2

    assert meter.most == 1


def test_plain_code_outside_of_workers_may_always_wait() -> None:
    with Runtime(max_threads=1, settings=Settings(max_lent_threads=0)):
        assert double.map(range(10)).result() == [2 * n for n in range(10)]
        assert flow(lambda: double.submit(1), name="around")() == 2


# -- settings --------------------------------------------------------------------------


def test_a_runtime_takes_the_settings_that_are_current_when_it_is_entered() -> None:
    with temporary_settings(max_threads=1):
        runtime = Runtime()
        with runtime:
            double.map(range(10)).result()
            threads = runtime.stats()["threads"]

    assert threads == 1


def test_its_own_settings_go_before_the_current_ones() -> None:
    runtime = Runtime(settings=Settings(max_threads=1))

    with temporary_settings(max_threads=5), runtime:
        double.map(range(10)).result()
        threads = runtime.stats()["threads"]

    assert threads == 1


def test_a_plain_block_that_a_loop_waits_for_does_not_wait_for_a_run_of_that_loop() -> (
    None
):
    caught: list[object] = []

    async def main() -> None:
        gate = asyncio.Event()
        async with Runtime():
            held = await task(gate.wait, name="held").submit()
            with Runtime():
                one = double.submit(held)
                many = double.submit([held] * 1000)
            caught.extend(
                future.result(raise_on_failure=False) for future in (one, many)
            )
            gate.set()

    asyncio.run(main())

    assert [type(error) for error in caught] == [BlockedLoop, BlockedLoop]
    assert "async with Runtime()" in str(caught[0])
