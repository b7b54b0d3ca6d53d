"""Cancelling: of one run, of all in a flow or runtime, and of who waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import anyio
import pytest

from headrace import Runtime, State, Task, flow, task, wait
from headrace.exceptions import CancelledRun, RunInterrupted, UpstreamTaskError
from headrace.testing import Recorder

LONG = 3600.0
SOON = 5.0  # the longest that a thread waits in real time, where something is wrong


def now() -> float:
    return asyncio.get_running_loop().time()


@task(name="sleep")
async def _sleep(seconds: float = LONG) -> float:
    await anyio.sleep(seconds)
    return seconds


# What it gives depends on where it is called; so do types, which are tested elsewhere.
sleep: Any = _sleep


@task(name="block")
def _block() -> None:
    sleep.submit(LONG).result()


block: Any = _block


async def deaf_until(event: asyncio.Event) -> None:
    """Swallow every cancellation until then."""
    while not event.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await event.wait()


class Bodies:
    """Counts how often bodies began and cleaned up."""

    def __init__(self) -> None:
        self.begun: Counter[Any] = Counter()
        self.ended: Counter[Any] = Counter()

    @contextlib.contextmanager
    def one(self, key: object) -> Any:
        self.begun[key] += 1
        try:
            yield
        finally:
            self.ended[key] += 1


# -- a run, wherever it is in its life ---------------------------------------------------


@pytest.mark.rule("CRASH-11")
async def test_a_running_coroutine_is_cancelled_and_cleans_up() -> None:
    ended: list[str] = []

    @task
    async def body() -> None:
        try:
            await anyio.sleep(LONG)
        finally:
            await anyio.sleep(1)
            ended.append("finally")

    async with Runtime():
        future = await body.submit()
        await anyio.sleep(1)
        started = now()
        answer = future.cancel()
        with pytest.raises(CancelledRun, match="'body-0' was cancelled"):
            await future

    assert answer is True
    assert ended == ["finally"]
    assert now() - started == pytest.approx(1)
    assert (future.state.type, future.state.name) == ("CANCELLED", "Cancelled")


async def test_a_running_plain_body_is_released_and_cleans_up() -> None:
    ended: list[str] = []

    @task
    def body() -> None:
        try:
            sleep.submit(LONG).result()
        except RunInterrupted as error:
            ended.append(error.reason)
            raise

    async with Runtime() as runtime:
        future = await body.submit()
        await anyio.sleep(1)
        future.cancel()
        with pytest.raises(CancelledRun):
            await future
        stats = runtime.stats()

    assert ended == ["was cancelled"]
    assert stats["abandoned_threads"] == 0


async def test_a_plain_body_that_is_cancelled_needs_no_thread_of_others() -> None:
    in_the_way, let_go = threading.Event(), threading.Event()
    ended: list[bool] = []

    @task
    def body() -> None:
        try:
            sleep.submit(LONG).result()
        finally:
            ended.append(let_go.is_set())

    @task
    def takes_the_thread() -> None:
        in_the_way.set()
        assert let_go.wait(SOON)

    async with Runtime(max_threads=1) as runtime:
        future = await body.submit()
        await anyio.sleep(1)
        other = await takes_the_thread.submit()
        assert await asyncio.to_thread(in_the_way.wait, SOON)
        future.cancel()
        state = await future.astate()
        let_go.set()
        await other
        stats = runtime.stats()

    assert state is not None
    assert state.is_cancelled()
    assert ended == [False]
    assert (stats["threads"], stats["abandoned_threads"]) == (1, 0)


async def test_a_queued_coroutine_run_never_starts() -> None:
    begun: list[int] = []

    @task
    async def body(n: int) -> None:
        begun.append(n)

    async with Runtime():
        futures = body.map(range(500))  # more than are ever started in one turn
        futures[499].cancel()
        futures[0].cancel()
        states = await asyncio.gather(*[future.astate() for future in futures])

    assert Counter(state.name for state in states if state) == {
        "Completed": 498, "Cancelled": 2
    }  # fmt: skip
    assert sorted(begun) == list(range(1, 499))


async def test_a_queued_run_never_starts_while_hooks_hear_of_its_end() -> None:
    begun: list[int] = []
    heard: list[str] = []

    async def hear(_: Any, run: Any, state: Any) -> None:
        await asyncio.sleep(1)
        heard.append(state.name)

    @task(on_cancellation=[hear])
    async def body(n: int) -> None:
        begun.append(n)

    async with Runtime():
        futures = body.map(range(200))
        futures[199].cancel()
        await futures[198]

    assert futures[199].state.name == "Cancelled"
    assert heard == ["Cancelled"]
    assert sorted(begun) == list(range(199))


@pytest.mark.parametrize("is_async", [True, False])
async def test_inputs_start_no_run_while_hooks_hear_of_its_end(
    is_async: bool,
) -> None:
    begun: list[object] = []

    async def hear(_: Any, run: Any, state: Any) -> None:
        await asyncio.sleep(10)

    @task
    async def first() -> None:
        await asyncio.sleep(2)

    def body(_: object) -> None:
        begun.append(1)

    async def coroutine(_: object) -> None:
        begun.append(1)

    it: Any = task(coroutine if is_async else body, on_cancellation=[hear])
    async with Runtime():
        future = await it.submit(await first.submit())
        await asyncio.sleep(1)
        future.cancel()

    assert future.state.name == "Cancelled"
    assert begun == []


async def test_a_queued_plain_run_never_starts() -> None:
    begun: list[int] = []
    go = threading.Event()

    @task
    def body(n: int) -> None:
        begun.append(n)
        assert go.wait(SOON)

    async with Runtime(max_threads=1) as runtime:
        futures = body.map(range(3))
        futures[2].cancel()
        state = await futures[2].astate()
        queued = runtime.stats()["queued"]
        go.set()
        await futures[1]

    assert state is not None
    assert state.name == "Cancelled"
    assert begun == [0, 1]
    assert queued <= 1


async def test_a_run_that_waits_for_its_inputs_ends_at_once() -> None:
    async with Runtime():
        first = sleep.submit(LONG)
        second = sleep.submit(first)
        started = now()
        second.cancel()
        with pytest.raises(CancelledRun, match="cancelled before it started"):
            await second.aresult()
        took = now() - started
        first_is_done = first.done()
        first.cancel()

    assert took == 0
    assert not first_is_done
    assert [state.name for state in second.task_run.history] == ["Pending", "Cancelled"]


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_a_run_that_waits_for_a_retry_ends_at_once(kind: str) -> None:
    calls: list[str] = []

    @task(retries=3, retry_delay_seconds=LONG)
    async def coroutine() -> None:
        calls.append("called")
        raise ValueError("again")

    @task(retries=3, retry_delay_seconds=LONG)
    def plain() -> None:
        calls.append("called")
        raise ValueError("again")

    flaky: Any = {"plain": plain, "coroutine": coroutine}[kind]
    async with Runtime() as runtime:
        future = flaky.submit()
        await anyio.sleep(1)
        assert future.state.is_scheduled()
        started = now()
        future.cancel()
        with pytest.raises(CancelledRun):
            await future.aresult()
        took = now() - started
        stats = runtime.stats()
        await anyio.sleep(2 * LONG)

    assert took == 0
    assert calls == ["called"]
    assert stats["zombies"] == stats["abandoned_threads"] == 0
    assert [state.name for state in future.task_run.history] == [
        "Pending", "Running", "AwaitingRetry", "Cancelled"
    ]  # fmt: skip


async def test_a_run_that_has_ended_stays_as_it_is() -> None:
    async with Runtime():
        future = await sleep.submit(1)
        value = await future
        answer = future.cancel()
        await anyio.sleep(1)

    assert answer is False
    assert value == 1
    assert future.state.name == "Completed"


async def test_a_run_may_be_cancelled_any_number_of_times() -> None:
    bodies = Bodies()

    @task
    async def body() -> None:
        with bodies.one("body"):
            try:
                await anyio.sleep(LONG)
            finally:
                await anyio.sleep(1)

    async with Runtime():
        future = await body.submit()
        await anyio.sleep(1)
        for _ in range(100):
            future.cancel()
            await anyio.sleep(0.005)
        state = await future.astate()

    assert state is not None
    assert state.name == "Cancelled"
    assert bodies.ended == {"body": 1}


async def test_a_run_cancelled_in_the_turn_it_was_submitted_in_never_starts() -> None:
    begun: list[str] = []

    @task
    async def body() -> None:
        begun.append("body")

    async with Runtime():
        future = body.submit()
        future.cancel()
        state = await future.astate()

    assert state is not None
    assert state.name == "Cancelled"
    assert begun == []


async def test_a_run_that_cancels_itself_ends_as_cancelled() -> None:
    futures: list[Any] = []

    @task
    async def body() -> None:
        futures[0].cancel()
        await anyio.sleep(LONG)

    async with Runtime():
        futures.append(body.submit())
        with pytest.raises(CancelledRun):
            await futures[0].aresult()


async def test_a_plain_run_that_cancels_itself_ends_as_cancelled() -> None:
    futures: list[Any] = []
    is_there = threading.Event()

    @task
    def body() -> None:
        assert is_there.wait(SOON)
        futures[0].cancel()
        sleep.submit(LONG).result()

    async with Runtime():
        futures.append(body.submit())
        is_there.set()
        with pytest.raises(CancelledRun):
            await futures[0].aresult()


async def test_what_a_cancelled_body_returns_or_raises_does_not_count() -> None:
    @task
    async def returns() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await anyio.sleep(LONG)
        return "all the same"

    @task
    async def raises() -> None:
        try:
            await anyio.sleep(LONG)
        finally:
            raise LookupError("while cleaning up")

    async with Runtime():
        futures: list[Any] = [returns.submit(), raises.submit()]
        await anyio.sleep(1)
        for future in futures:
            future.cancel()
        states = [await future.astate() for future in futures]

    assert [state.name for state in states] == ["Cancelled", "Cancelled"]
    assert isinstance(states[1].data.__cause__, LookupError)


async def test_a_cancelled_run_is_not_retried() -> None:
    calls: list[float] = []

    @task(retries=5)
    async def body() -> None:
        calls.append(now())
        try:
            await anyio.sleep(LONG)
        except asyncio.CancelledError:
            raise ValueError("a failure, it seems") from None

    async with Runtime():
        future = await body.submit()
        await anyio.sleep(1)
        future.cancel()
        state: Any = await future.astate()

    assert state.name == "Cancelled"
    assert len(calls) == 1


async def test_a_body_that_does_not_stop_is_left_behind_exactly_after_the_grace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = asyncio.Event()

    @task(retries=3)
    async def deaf() -> None:
        await deaf_until(release)

    async with Runtime() as runtime:
        future = await deaf.submit()
        await anyio.sleep(1)
        started = now()
        future.cancel()
        state: Any = await future.astate()
        took = now() - started
        zombies = runtime.stats()["zombies"]
        release.set()
        await anyio.sleep(1)
        zombies_later = runtime.stats()["zombies"]

    assert state.name == "Cancelled"
    assert took == pytest.approx(5)
    assert (zombies, zombies_later) == (1, 0)
    assert "deaf-0 still runs 5.0 seconds after it was cancelled" in caplog.text


async def test_what_depends_on_a_cancelled_run_is_not_ready() -> None:
    async with Runtime():
        first = sleep.submit(LONG)
        second = sleep.submit(first)
        await anyio.sleep(1)
        first.cancel()
        state = await second.astate()

    assert (state.type, state.name) == ("CANCELLED", "NotReady")
    with pytest.raises(UpstreamTaskError) as raised:
        state.result()
    assert isinstance(raised.value.__cause__, CancelledRun)


async def test_observers_hear_of_a_cancel_once() -> None:
    recorder = Recorder()

    async with Runtime(observers=[recorder]):
        future = await sleep.submit()
        await anyio.sleep(1)
        future.cancel()
        future.cancel()
        await future.astate()

    assert recorder.path == ["Pending", "Running", "Cancelled"]


@pytest.mark.slow
async def test_ten_thousand_runs_are_cancelled_one_by_one() -> None:
    async with Runtime() as runtime:
        futures = sleep.map([LONG] * 10_000)
        await anyio.sleep(1)
        for future in futures:
            future.cancel()
        done, not_done = await wait(futures)
        stats = runtime.stats()

    assert (len(done), len(not_done)) == (10_000, 0)
    assert {future.state.name for future in done} == {"Cancelled"}
    assert stats["open_runs"] == stats["queued"] == 0


async def test_threads_may_cancel_what_a_loop_runs() -> None:
    bodies = Bodies()

    @task
    async def body(n: int) -> None:
        with bodies.one(n):
            await anyio.sleep(LONG)

    async with Runtime():
        futures = body.map(range(200))
        await anyio.sleep(1)
        together = threading.Barrier(4, timeout=SOON)

        def cancel_all() -> None:
            together.wait()
            for future in futures:
                future.cancel()

        await asyncio.gather(*[asyncio.to_thread(cancel_all) for _ in range(4)])
        states = await asyncio.gather(*[future.astate() for future in futures])

    assert {state.name for state in states if state} == {"Cancelled"}
    assert bodies.ended == Counter(range(200))


def test_plain_code_may_cancel_what_a_helper_thread_runs() -> None:
    @flow
    def whole() -> str:
        future = sleep.submit(LONG)
        future.cancel()
        state = future.wait(SOON)
        return str(state.name)

    assert whole() == "Cancelled"


# -- what a cancelled run submitted --------------------------------------------------------


async def test_children_of_a_cancelled_run_are_cancelled() -> None:
    futures: list[Any] = []

    @task
    async def child() -> None:
        futures.append(await sleep.submit(LONG))
        await futures[-1]

    @task
    async def parent() -> None:
        futures.extend([child.submit(), *sleep.map([LONG] * 5)])
        await anyio.sleep(LONG)

    async with Runtime():
        future = await parent.submit()
        await anyio.sleep(1)
        future.cancel()
        await future.astate()
        await wait(futures)
        took = now()

    assert len(futures) == 7
    assert {each.state.name for each in futures} == {"Cancelled"}
    assert took < LONG


async def test_children_of_a_cancelled_plain_run_are_cancelled() -> None:
    futures: list[Any] = []

    @task
    def parent() -> None:
        futures.extend([block.submit(), sleep.submit(LONG)])
        futures[0].result()

    async with Runtime():
        future = await parent.submit()
        await anyio.sleep(1)
        future.cancel()
        await future.astate()
        await wait(futures)

    assert {each.state.name for each in futures} == {"Cancelled"}


@pytest.mark.parametrize("error", [None, ValueError("failed"), SystemExit(3)])
async def test_children_of_a_run_that_ends_by_itself_go_on(
    error: BaseException | None,
) -> None:
    futures: list[Any] = []

    @task
    async def parent() -> None:
        futures.append(await sleep.submit(10))
        if error is not None:
            raise error

    async with Runtime():
        await parent.submit().astate()
        value = await futures[0]

    assert value == 10


async def test_children_that_ended_before_are_left_alone() -> None:
    futures: list[Any] = []

    @task
    async def parent() -> None:
        futures.append(await sleep.submit(1))
        await futures[0]
        await anyio.sleep(LONG)

    async with Runtime():
        future = await parent.submit()
        await anyio.sleep(10)
        future.cancel()
        await future.astate()

    assert futures[0].state.name == "Completed"


async def test_a_flow_inside_a_cancelled_run_is_cancelled_with_its_runs() -> None:
    futures: list[Any] = []

    @flow
    async def inner() -> None:
        futures.extend(sleep.map([LONG] * 3))

    @task
    async def parent() -> None:
        await inner()

    async with Runtime():
        future = await parent.submit()
        await anyio.sleep(1)
        future.cancel()
        await future.astate()
        finished = [each.done() for each in futures]

    assert finished == [True] * 3
    assert {each.state.name for each in futures} == {"Cancelled"}


async def test_a_plain_flow_inside_a_cancelled_plain_run_ends_with_it() -> None:
    futures: list[Any] = []

    @flow
    def inner() -> None:
        futures.extend(sleep.map([LONG] * 3))

    @task
    def parent() -> None:
        inner()

    async with Runtime() as runtime:
        future = await parent.submit()
        await anyio.sleep(1)
        future.cancel()
        await future.astate()
        await wait(futures)
        stats = runtime.stats()

    assert future.state.name == "Cancelled"
    assert {each.state.name for each in futures} == {"Cancelled"}
    assert stats["abandoned_threads"] == stats["open_runs"] == 0


# -- who waits -----------------------------------------------------------------------------


@pytest.mark.rule("CRASH-07")
async def test_cancelling_a_wait_leaves_a_submitted_run_alone() -> None:
    async with Runtime():
        future = await sleep.submit(10)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await future
        value = await future

    assert value == 10


@pytest.mark.rule("CRASH-07")
@pytest.mark.parametrize("limit", [None, LONG])
async def test_cancelling_who_awaits_a_task_cancels_the_run(
    limit: float | None,
) -> None:
    recorder = Recorder()
    bodies = Bodies()

    @task(timeout_seconds=limit)
    async def body() -> None:
        with bodies.one("body"):
            try:
                await anyio.sleep(LONG)
            finally:
                await anyio.sleep(1)

    async with Runtime(observers=[recorder]):
        started = now()
        with anyio.move_on_after(1) as scope:
            with anyio.CancelScope(shield=True):
                # Shielded from anyio, which cancels over and over; not from asyncio.
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(2):
                        await body()
        took = now() - started

    assert not scope.cancelled_caught
    assert took == pytest.approx(3)
    assert bodies.ended == {"body": 1}
    assert recorder.path == ["Pending", "Running", "Cancelled"]


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_cancelling_who_awaits_acall_cancels_the_run(kind: str) -> None:
    recorder = Recorder()
    it = {"plain": block, "coroutine": sleep}[kind]

    async with Runtime(observers=[recorder]):
        started = now()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await it.acall()
        took = now() - started

    finals = {event.run.name: event.after.name for event in recorder.events}
    assert set(finals.values()) == {"Cancelled"}
    assert took == pytest.approx(1, abs=0.1)


@pytest.mark.rule("CRASH-08", "CRASH-07")
async def test_the_callers_own_cancellation_arrives_as_it_is() -> None:
    raised: list[BaseException] = []

    async def caller(wait: Callable[[], Awaitable[object]]) -> None:
        try:
            await wait()
        except BaseException as error:
            raised.append(error)
            raise

    async with Runtime():
        future = await sleep.submit(10)
        waits: list[Callable[[], Awaitable[object]]] = [
            lambda: future,
            future.result,
            future.wait,
            lambda: wait([future]),
            lambda: sleep(LONG),
            lambda: sleep.with_options(timeout_seconds=LONG)(LONG),
            lambda: sleep.acall(LONG),
            block.acall,
            nothing_but_sleep,
            lambda: sleep.with_options(retries=1, retry_delay_seconds=LONG)("no"),
        ]
        callers = [asyncio.create_task(caller(each)) for each in waits]
        await anyio.sleep(1)
        for each in callers:
            each.cancel("mine")
        await asyncio.wait(callers)
        await future

    assert [type(error) for error in raised] == [asyncio.CancelledError] * len(waits)
    assert all(each.cancelled() for each in callers)


@flow
async def nothing_but_sleep() -> None:
    await anyio.sleep(LONG)


@pytest.mark.rule("CRASH-08")
async def test_awaiting_a_cancelled_run_is_no_cancellation_of_the_caller() -> None:
    async with Runtime(), asyncio.TaskGroup() as group:
        future = await sleep.submit()

        async def caller() -> str:
            try:
                await future
            except CancelledRun:
                return "an ordinary error"
            return "no error"

        outcome = group.create_task(caller())
        await anyio.sleep(1)
        future.cancel()

    assert outcome.result() == "an ordinary error"


async def test_gather_over_futures_gives_each_its_own_error() -> None:
    async with Runtime():
        futures = await sleep.map([LONG, 1, "nonsense"])
        await anyio.sleep(2)
        futures[0].cancel()
        outcomes = await asyncio.gather(*futures, return_exceptions=True)

    assert [type(each) for each in outcomes] == [CancelledRun, int, TypeError]


async def test_cancelling_one_waiter_leaves_the_others_waiting() -> None:
    async with Runtime():
        future = await sleep.submit(10)
        waiters = [asyncio.create_task(future.aresult()) for _ in range(10)]
        await anyio.sleep(1)
        for waiter in waiters[:9]:
            waiter.cancel()
        await asyncio.wait(waiters)

    assert [waiter.cancelled() for waiter in waiters] == [True] * 9 + [False]
    assert waiters[9].result() == 10


async def test_wait_for_and_shield_of_asyncio_take_futures() -> None:
    async with Runtime():
        future = await sleep.submit(10)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(future)), 1)
        value = await future

    assert value == 10


# -- scopes of others ------------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, LONG])
async def test_asyncio_timeout_works_inside_a_body(limit: float | None) -> None:
    @task(timeout_seconds=limit)
    async def body() -> str:
        try:
            async with asyncio.timeout(1):
                await anyio.sleep(LONG)
        except TimeoutError:
            await anyio.sleep(1)
            return "in time"
        return "too late"

    async with Runtime():
        values = [await body(), await (await body.submit()), await body.acall()]

    assert values == ["in time"] * 3


@pytest.mark.parametrize("limit", [None, LONG])
async def test_cancel_scopes_of_anyio_work_inside_a_body(limit: float | None) -> None:
    @task(timeout_seconds=limit)
    async def body() -> list[str]:
        ended: list[str] = []

        async def nap(name: str) -> None:
            try:
                await anyio.sleep(LONG)
            finally:
                ended.append(name)

        async with anyio.create_task_group() as group:
            group.start_soon(nap, "a")
            group.start_soon(nap, "b")
            with anyio.move_on_after(1):
                await anyio.sleep(LONG)
            group.cancel_scope.cancel()
        return sorted(ended)

    async with Runtime():
        values = [await body(), await (await body.submit()), await body.acall()]

    assert values == [["a", "b"]] * 3


@pytest.mark.parametrize("limit", [None, LONG])
async def test_cancel_scopes_of_anyio_work_around_a_call(limit: float | None) -> None:
    bodies = Bodies()

    @task(timeout_seconds=limit)
    async def body() -> None:
        with bodies.one("body"):
            await anyio.sleep(LONG)

    async with Runtime() as runtime:
        started = now()
        with anyio.move_on_after(1) as scope:
            await body()
        took = now() - started
        stats = runtime.stats()

    assert scope.cancelled_caught
    assert took == pytest.approx(1)
    assert bodies.ended == {"body": 1}
    assert stats["open_runs"] == stats["zombies"] == 0


async def test_cancel_scopes_of_anyio_work_around_a_flow() -> None:
    futures: list[Any] = []

    @flow
    async def whole() -> None:
        futures.extend(sleep.map([LONG] * 10))
        await futures[0]

    with anyio.move_on_after(1) as scope:
        await whole()

    assert scope.cancelled_caught
    assert now() == pytest.approx(1, abs=0.1)
    assert {future.state.name for future in futures} == {"Cancelled"}


async def test_a_timeout_of_the_caller_leaves_no_trace_in_its_task() -> None:
    async with Runtime():
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await sleep(LONG)
        current = asyncio.current_task()
        assert current is not None
        cancelling = current.cancelling()

    assert cancelling == 0


async def test_a_task_group_that_fails_cancels_the_tasks_awaited_in_it() -> None:
    bodies = Bodies()

    @task
    async def body(n: int) -> None:
        with bodies.one(n):
            await anyio.sleep(LONG)

    @task
    async def fail() -> None:
        await anyio.sleep(1)
        raise ValueError("boom")

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(5):
                group.create_task(body(n))
            group.create_task(fail())

    async with Runtime():
        with pytest.raises(ExceptionGroup) as raised:
            await all_of_them()

    assert [str(error) for error in raised.value.exceptions] == ["boom"]
    assert bodies.ended == Counter(range(5))


# -- whole flows ---------------------------------------------------------------------------


class Crowd:
    """50 running coroutines, 1000 runs that wait for them, and 5 threads."""

    def __init__(self) -> None:
        self.bodies = Bodies()
        self.futures: list[Any] = []
        self.threads_in = threading.Barrier(6, timeout=SOON)

        @task
        async def running(n: int) -> None:
            with self.bodies.one(("running", n)):
                await anyio.sleep(LONG)

        @task
        async def waiting(n: int) -> None:
            with self.bodies.one(("waiting", n)):
                pass

        @task
        def threaded(n: int) -> None:
            with self.bodies.one(("threaded", n)):
                self.threads_in.wait()
                sleep.submit(LONG).result()

        self.tasks = running, waiting, threaded

    def submit(self) -> None:
        running, waiting, threaded = self.tasks
        first = running.map(range(50))
        self.futures.extend(first)
        self.futures.extend(waiting.map(range(1000), wait_for=first))
        self.futures.extend(threaded.map(range(5)))

    async def fill(self) -> None:
        self.submit()
        await asyncio.to_thread(self.threads_in.wait)
        await anyio.sleep(1)

    def check(self) -> None:
        types = Counter(future.state.type for future in self.futures)
        assert types == {"CANCELLED": 1055}
        expected = Counter(
            [("running", n) for n in range(50)] + [("threaded", n) for n in range(5)]
        )
        assert self.bodies.begun == expected
        assert self.bodies.ended == expected


@contextlib.asynccontextmanager
async def nothing_left() -> AsyncGenerator[None]:
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() - before == set()


@pytest.mark.rule("CRASH-08")
async def test_a_crowded_flow_that_is_cancelled_leaves_nothing_behind() -> None:
    crowd = Crowd()

    @flow
    async def whole() -> None:
        await crowd.fill()
        await anyio.sleep(LONG)

    async with nothing_left():
        caller = asyncio.create_task(whole())
        await anyio.sleep(10)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller

    crowd.check()


@pytest.mark.rule("FINAL-13", "FLOW-04")
async def test_a_crowded_flow_left_with_an_exception_leaves_nothing_behind() -> None:
    crowd = Crowd()

    @flow
    async def whole() -> None:
        await crowd.fill()
        raise ValueError("out of here")

    async with nothing_left():
        with pytest.raises(ValueError, match="out of here"):
            await whole()

    crowd.check()


async def test_a_crowded_flow_that_times_out_leaves_nothing_behind() -> None:
    crowd = Crowd()

    @flow(timeout_seconds=10)
    async def whole() -> None:
        await crowd.fill()
        await anyio.sleep(LONG)

    async with nothing_left():
        with pytest.raises(TimeoutError):
            await whole()

    crowd.check()


async def test_a_crowded_runtime_left_with_an_exception_leaves_nothing_behind() -> None:
    crowd = Crowd()

    async def whole() -> None:
        async with Runtime():
            await crowd.fill()
            raise ValueError("out of here")

    async with nothing_left():
        with pytest.raises(ValueError, match="out of here"):
            await whole()

    crowd.check()


@pytest.mark.rule("FINAL-13", "FLOW-04")
def test_a_crowded_plain_flow_left_with_an_exception_leaves_nothing_behind() -> None:
    crowd = Crowd()

    @flow
    def whole() -> None:
        crowd.submit()
        crowd.threads_in.wait()
        raise ValueError("out of here")

    with pytest.raises(ValueError, match="out of here"):
        whole()

    types = Counter(future.state.type for future in crowd.futures)
    assert types == {"CANCELLED": 1055}
    assert crowd.bodies.begun == crowd.bodies.ended


async def test_leaving_a_flow_with_an_exception_keeps_what_had_ended() -> None:
    futures: list[Any] = []

    @flow
    async def whole() -> None:
        futures.extend([sleep.submit(1), sleep.submit(LONG)])
        await futures[0].aresult()
        raise ValueError("out of here")

    state: State[Any] = await whole(return_state=True)

    assert state.name == "Failed"
    assert [future.state.name for future in futures] == ["Completed", "Cancelled"]


async def test_what_is_awaited_in_tasks_of_the_flows_own_is_cancelled_too() -> None:
    bodies = Bodies()

    @task
    async def body(n: int) -> None:
        with bodies.one(n):
            await anyio.sleep(LONG)

    @flow
    async def whole() -> None:
        own = [asyncio.create_task(body(n)) for n in range(5)]
        await anyio.sleep(1)
        assert len(own) == 5
        raise ValueError("out of here")

    with pytest.raises(ValueError, match="out of here"):
        await whole()

    assert bodies.ended == Counter(range(5))
    assert now() == pytest.approx(1, abs=0.1)


async def test_what_is_awaited_in_tasks_of_the_flows_own_and_does_not_stop() -> None:
    release = asyncio.Event()

    @task
    async def deaf() -> None:
        await deaf_until(release)

    @flow
    async def whole() -> None:
        own = asyncio.create_task(deaf())
        await anyio.sleep(1)
        assert not own.done()
        raise ValueError("out of here")

    started = now()
    with pytest.raises(ValueError, match="out of here"):
        await whole()
    took = now() - started
    release.set()
    await anyio.sleep(1)

    assert took == pytest.approx(1 + 5)


async def test_a_zombie_that_is_inside_of_flows_and_tasks_ends_them_all() -> None:
    release = asyncio.Event()
    recorder = Recorder()

    @task
    async def deaf() -> None:
        await deaf_until(release)

    @flow
    async def inner() -> None:
        sleep.submit(LONG)
        await deaf()

    @task
    async def middle() -> None:
        await inner()

    async with Runtime(observers=[recorder]) as runtime:
        future = await middle.submit()
        await anyio.sleep(1)
        started = now()
        future.cancel()
        await future.astate()
        await anyio.sleep(1)
        open_runs = runtime.stats()["open_runs"]
        took = now() - started
        release.set()
        await anyio.sleep(LONG)

    finals = [
        (event.run.name, event.after.name)
        for event in recorder.events
        if event.after.is_final()
    ]
    assert took == pytest.approx(6)
    assert open_runs == 0
    assert sorted(finals) == [
        ("deaf-0", "Cancelled"),
        ("inner-0", "Cancelled"),
        ("middle-0", "Cancelled"),
        ("sleep-0", "Cancelled"),
    ]


@pytest.mark.rule("CRASH-10")
async def test_cancelling_a_flow_twice_does_not_cut_its_clean_up_short() -> None:
    bodies = Bodies()

    @task
    async def body() -> None:
        with bodies.one("body"):
            try:
                await anyio.sleep(LONG)
            finally:
                await anyio.sleep(2)

    @flow
    async def whole() -> None:
        await body.submit()
        await anyio.sleep(LONG)

    caller = asyncio.create_task(whole())
    await anyio.sleep(1)
    caller.cancel()
    await anyio.sleep(1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert bodies.ended == {"body": 1}
    assert now() == pytest.approx(3, abs=0.1)


@pytest.mark.rule("CRASH-10", "CRASH-08")
async def test_a_flow_that_is_cancelled_from_outside_ends_as_cancelled() -> None:
    recorder = Recorder()

    @flow
    async def whole() -> None:
        await sleep.submit()
        await anyio.sleep(LONG)

    async with Runtime(observers=[recorder]):
        caller = asyncio.create_task(whole())
        await anyio.sleep(1)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        ends = {
            event.run.name: (event.after.type, event.after.name)
            for event in recorder.events
            if event.after.is_final()
        }

    assert ends == {
        "whole-0": ("CANCELLED", "Cancelled"),
        "sleep-0": ("CANCELLED", "Cancelled"),
    }


# -- closing -------------------------------------------------------------------------------


async def test_who_waits_while_a_runtime_closes_is_given_the_outcomes() -> None:
    seen: list[Any] = []

    async def waiter(future: Any) -> None:
        state = await future.astate()
        seen.append(state.name)

    waiters: list[asyncio.Task[None]] = []
    with contextlib.suppress(ValueError):
        async with Runtime():
            futures = sleep.map([LONG] * 20)
            waiters = [asyncio.create_task(waiter(future)) for future in futures]
            await anyio.sleep(1)
            raise ValueError("out of here")
    await asyncio.gather(*waiters)

    assert seen == ["Cancelled"] * 20


def test_threads_that_wait_while_a_runtime_closes_are_given_the_outcomes() -> None:
    seen: list[str] = []
    waiting = threading.Barrier(11, timeout=SOON)

    def waiter(future: Any) -> None:
        waiting.wait()
        seen.append(future.wait(SOON).name)

    threads: list[threading.Thread] = []
    with contextlib.suppress(ValueError), Runtime():
        for future in sleep.map([LONG] * 10):
            threads.append(threading.Thread(target=waiter, args=[future]))
            threads[-1].start()
        waiting.wait()
        raise ValueError("out of here")
    for thread in threads:
        thread.join(SOON)

    assert seen == ["Cancelled"] * 10


def test_runs_may_be_cancelled_while_their_runtime_closes() -> None:
    cancelling = threading.Event()
    threads: list[threading.Thread] = []

    with Runtime():
        futures = sleep.map([LONG] * 100)

        def cancel_all() -> None:
            assert cancelling.wait(SOON)
            for future in futures:
                future.cancel()

        threads.append(threading.Thread(target=cancel_all))
        threads[0].start()
        cancelling.set()
    threads[0].join(SOON)

    assert {future.state.name for future in futures} == {"Cancelled"}


def test_cancelling_after_the_end_is_refused_quietly() -> None:
    with Runtime():
        future = sleep.submit(0)

    assert future.cancel() is False


def test_a_coroutine_flow_under_asyncio_run_ends_with_its_runs() -> None:
    futures: list[Any] = []

    @flow
    async def whole() -> None:
        futures.extend(sleep.map([LONG] * 10))
        await anyio.sleep(LONG)

    async def main() -> None:
        own = asyncio.create_task(whole())
        await asyncio.sleep(0.01)
        assert not own.done()  # `asyncio.run` cancels it now

    asyncio.run(main())

    assert {future.state.name for future in futures} == {"Cancelled"}


async def test_a_run_of_another_runtime_is_cancelled_from_here() -> None:
    """Two runtimes never meet, but their futures may."""
    async with Runtime():
        outer = sleep.submit(LONG)
        async with Runtime():
            inner: Task[..., Any] = sleep
            future = inner.submit(outer)
            await anyio.sleep(1)
            outer.cancel()
            state = await future.astate()

    assert state is not None
    assert state.name == "NotReady"
