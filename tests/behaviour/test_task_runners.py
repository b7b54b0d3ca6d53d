"""Where the bodies of a flow's tasks run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import cloudpickle
import pytest

from headrace import Runtime, flow, task
from headrace.exceptions import BlockedLoop, CancelledRun, UpstreamTaskError
from headrace.task_runners import (
    BaseTaskRunner,
    Call,
    ConcurrentTaskRunner,
    SequentialTaskRunner,
    TaskConcurrencyType,
    ThreadPoolTaskRunner,
)


class Elsewhere(BaseTaskRunner):
    """A runner that runs calls right here, and writes down what it was asked."""

    concurrency_type = TaskConcurrencyType.PARALLEL
    notes: list[str]

    def __init__(self, notes: list[str], *, broken: str = "") -> None:
        self.notes = notes
        self.broken = broken

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        self.notes.append("open")
        if self.broken == "open":
            raise OSError("no machine")
        yield
        self.notes.append("leave")
        if self.broken == "leave":
            raise OSError("machine lost")

    async def run(self, call: Call) -> Any:
        self.notes.append(call.name)
        await asyncio.sleep(0)
        value = call.fn(*call.args, **call.kwargs)
        return await value if call.is_async else value


# -- sequential -------------------------------------------------------------------


def noting(notes: list[str], kind: str) -> Any:
    def plain(x: Any) -> Any:
        notes.extend((f"{x} begins", f"{x} ends"))
        if x == "bad":
            raise ValueError(x)
        return x

    async def coroutine(x: Any) -> Any:
        notes.append(f"{x} begins")
        await asyncio.sleep(1)
        notes.append(f"{x} ends")
        if x == "bad":
            raise ValueError(x)
        return x

    return task(plain if kind == "plain" else coroutine)


def in_order(*names: str) -> list[str]:
    return [f"{name} {what}" for name in names for what in ("begins", "ends")]


KINDS = pytest.mark.parametrize("kind", ["plain", "coroutine"])


@KINDS
@pytest.mark.rule("CONC-03", "MAP-18")
async def test_a_sequential_runner_runs_one_after_the_other(kind: str) -> None:
    notes: list[str] = []
    it = noting(notes, kind)

    @flow(task_runner=SequentialTaskRunner)
    async def main() -> Any:
        first = it.submit("a")
        many = it.map(["b", "c"])
        last = it.submit("bad")
        after = it.submit("d")
        await last.astate()
        return [await first, *await many.aresult(), await after.aresult()]

    assert await main() == ["a", "b", "c", "d"]
    assert notes == in_order("a", "b", "c", "bad", "d")


@KINDS
@pytest.mark.rule("CONC-03")
async def test_awaiting_a_submit_to_a_sequential_runner_waits_for_the_end(
    kind: str,
) -> None:
    it = noting([], kind)

    @flow(task_runner=SequentialTaskRunner())
    async def main() -> Any:
        future = await it.submit("a")
        many = await it.map(["b", "c"])
        return [future.done(), *[each.done() for each in many]]

    assert await main() == [True, True, True]


@pytest.mark.rule("CONC-03", "FUT-16")
def test_in_plain_code_a_submit_to_a_sequential_runner_blocks_until_the_end() -> None:
    notes: list[str] = []
    it = task(notes.append)

    @flow(task_runner=SequentialTaskRunner())
    def main() -> Any:
        future = it.submit("a")
        notes.append("submitted")
        many = it.map(["b", "c"])
        return [
            future.done(),
            [each.done() for each in many],
            future.wait(0) is not None,
        ]

    assert main() == [True, [True, True], True]
    assert notes == ["a", "submitted", "b", "c"]


async def test_runs_of_a_run_are_part_of_its_turn() -> None:
    notes: list[str] = []
    it = noting(notes, "coroutine")

    @task
    async def outer() -> None:
        notes.append("outer begins")
        await (await it.submit("inner"))
        notes.append("outer ends")

    @flow(task_runner=SequentialTaskRunner())
    async def main() -> None:
        first = outer.submit()
        second = it.submit("last")
        await first.astate()
        await second.astate()

    await main()

    assert notes == [
        "outer begins",
        *in_order("inner"),
        "outer ends",
        *in_order("last"),
    ]


async def test_a_sequence_goes_on_after_a_cancel_and_a_run_held_back() -> None:
    notes: list[str] = []
    it = noting(notes, "coroutine")

    @flow(task_runner=SequentialTaskRunner())
    async def main() -> None:
        bad = it.submit("bad")
        held = it.submit("held", wait_for=[bad])
        gone = it.submit("gone")
        last = it.submit("last")
        gone.cancel()
        await last.astate()
        with pytest.raises(ValueError, match="bad"):
            await bad.aresult()
        with pytest.raises(UpstreamTaskError):
            await held.aresult()
        with pytest.raises(CancelledRun):
            await gone.aresult()

    await main()

    assert notes == in_order("bad", "last")


# -- threads ------------------------------------------------------------------------


@pytest.mark.rule("CONC-02")
@pytest.mark.parametrize("workers", [1, 3])
def test_a_thread_pool_runner_runs_so_many_bodies_at_once(workers: int) -> None:
    at_once: list[int] = []
    running: set[int] = set()
    together = threading.Barrier(workers, timeout=5)

    @task
    def work(x: int) -> None:
        running.add(x)
        at_once.append(len(running))
        together.wait()
        running.discard(x)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=workers))
    def main() -> Any:
        return work.map(range(6))

    main()

    assert max(at_once) == workers


def test_threads_of_a_runner_are_counted_and_end_with_the_flow() -> None:
    counted: list[int] = []

    with Runtime() as rt:

        @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
        def main() -> Any:
            futures = task(lambda x: x).map(range(10))
            futures.wait()
            counted.append(rt.stats()["threads"])
            return futures

        assert main() == list(range(10))

    assert 1 <= counted[0] <= 2


def test_a_body_that_waits_gives_its_place_in_the_pool_of_the_runner() -> None:
    @task
    def nested(depth: int) -> int:
        return depth if not depth else nested.submit(depth - 1).result() + 1

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> Any:
        return nested.submit(10).result()

    assert main() == 10


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (0, ValueError, "leaves nobody at work"),
        (True, TypeError, "is no number"),
        ("4", TypeError, "is no number"),
    ],
)
def test_a_number_of_workers_that_makes_no_sense_is_refused(
    given: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        ThreadPoolTaskRunner(max_workers=given)


# -- runners of others ----------------------------------------------------------------


@KINDS
@pytest.mark.rule("CONC-01", "CONC-04")
async def test_a_runner_is_given_single_attempts(kind: str) -> None:
    notes: list[str] = []
    tries: list[int] = []

    def body(x: int) -> int:
        tries.append(x)
        if len(tries) < 3:
            raise ValueError
        return x + 1

    async def coroutine_body(x: int) -> int:
        return body(x)

    it: Any = task(body if kind == "plain" else coroutine_body, retries=2, name="it")

    @flow(task_runner=Elsewhere(notes))
    async def main() -> Any:
        return await (await it.submit(it.fn and 1))

    assert await main() == 2
    assert notes == ["open", "it-0", "it-0", "it-0", "leave"]


def test_a_runner_serves_a_plain_flow_too_and_calls_go_to_it() -> None:
    notes: list[str] = []
    it = task(lambda x: x + 1, name="it")

    @flow(task_runner=Elsewhere(notes))
    def main() -> Any:
        return it(it.submit(1)), it.map([1, 2]).result()

    assert main() == (3, [2, 3])
    assert sorted(notes) == ["it-0", "it-1", "it-2", "it-3", "leave", "open"]


async def test_a_plain_task_of_a_flow_with_a_runner_is_not_called_on_the_loop() -> None:
    it = task(lambda x: x, name="it")

    @flow(task_runner=Elsewhere([]))
    async def main() -> Any:
        with pytest.raises(BlockedLoop, match=r"runs it elsewhere.*it\.acall"):
            it(1)
        return await it.acall(2)

    assert await main() == 2


async def test_a_runner_is_opened_only_for_a_flow_that_needs_it() -> None:
    notes: list[str] = []

    @flow(task_runner=Elsewhere(notes))
    async def main() -> int:
        return 1

    assert await main() == 1
    assert notes == []


@pytest.mark.rule("CONC-05")
async def test_a_runner_that_cannot_be_opened_fails_each_run() -> None:
    it = task(lambda x: x)

    @flow(task_runner=Elsewhere([], broken="open"))
    async def main() -> Any:
        return [await future.astate() for future in it.map([1, 2])]

    state = await main(return_state=True)

    assert state.is_failed()
    assert "no machine" in str(state.result(raise_on_failure=False))


async def test_what_leaving_a_runner_raises_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    it = task(lambda x: x)

    @flow(task_runner=Elsewhere([], broken="leave"))
    async def main() -> Any:
        return await (await it.submit(1))

    assert await main() == 1
    assert "machine lost" in caplog.text


async def test_a_limit_cancels_the_attempt_that_a_runner_makes() -> None:
    ended: list[str] = []

    class Slow(Elsewhere):
        async def run(self, call: Call) -> Any:
            try:
                await asyncio.sleep(1000)
            finally:
                ended.append(call.name)

    it = task(lambda: None, timeout_seconds=5, name="it")

    @flow(task_runner=Slow([]))
    async def main() -> Any:
        state = await it.submit().astate()
        return [[state]]

    ((state,),) = await main()

    assert state.name == "TimedOut"
    assert ended == ["it-0"]


@pytest.mark.rule("CONC-01")
async def test_each_flow_run_has_a_runner_of_its_own() -> None:
    made: list[Any] = []

    class Counting(Elsewhere):
        def duplicate(self) -> Any:
            made.append(twin := super().duplicate())
            return twin

    runner = Counting([])
    main: Any = flow(lambda: 1, task_runner=runner)
    main()
    main()

    assert len(made) == 2
    assert runner not in [id(each) for each in made]


# -- as an option -----------------------------------------------------------------------


@pytest.mark.rule("CONC-01")
def test_a_runner_is_given_as_a_class_or_an_instance() -> None:
    assert flow(lambda: 1).task_runner == ConcurrentTaskRunner()
    assert flow(task_runner=SequentialTaskRunner)(lambda: 1).task_runner == (
        SequentialTaskRunner()
    )
    with pytest.raises(TypeError, match="task_runner=5 is no task runner"):
        flow(lambda: 1, task_runner=5)


@pytest.mark.rule("CONC-04")
def test_runners_are_equal_by_their_options_and_say_what_they_are() -> None:
    one, twin = ThreadPoolTaskRunner(2), ThreadPoolTaskRunner(max_workers=2)

    assert one == twin
    assert hash(one) == hash(twin)
    assert one != ThreadPoolTaskRunner(3)
    assert one != SequentialTaskRunner()
    assert repr(one) == "ThreadPoolTaskRunner(max_workers=2)"
    assert one.duplicate() == one
    assert SequentialTaskRunner().concurrency_type is TaskConcurrencyType.SEQUENTIAL


@pytest.mark.rule("CONC-04", "PICK-05")
def test_runners_can_be_pickled() -> None:
    runner = ThreadPoolTaskRunner(max_workers=2)

    assert cloudpickle.loads(cloudpickle.dumps(runner)) == runner
