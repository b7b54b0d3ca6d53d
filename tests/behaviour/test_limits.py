"""Time limits of tasks and flows, where the loop's own clock can show them.

What needs a thread that does not wait is in ``tests/realtime``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from headrace import (
    Runtime,
    State,
    Task,
    allow_failure,
    check_cancelled,
    flow,
    task,
    temporary_settings,
)
from headrace.exceptions import CancelledRun, RunInterrupted, UpstreamTaskError
from headrace.testing import Recorder

LONG = 3600.0


def now() -> float:
    return asyncio.get_running_loop().time()


@task(name="sleep")
async def _sleep(seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


# What it gives depends on where it is called; so do types, which are tested elsewhere.
sleep: Any = _sleep


async def deaf_until(event: asyncio.Event) -> None:
    """Swallow every cancellation until then."""
    while not event.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await event.wait()


# -- doors for coroutine tasks -----------------------------------------------------------


async def submitted(it: Task[..., Any], *args: Any) -> State[Any]:
    future = await it.submit(*args)
    state: State[Any] = await future.astate()
    return state


async def awaited(it: Task[..., Any], *args: Any) -> State[Any]:
    state: State[Any] = await it(*args, return_state=True)
    return state


async def acalled(it: Task[..., Any], *args: Any) -> State[Any]:
    state: State[Any] = await it.acall(*args, return_state=True)
    return state


Door = Callable[..., Awaitable[State[Any]]]
EVERY_DOOR = pytest.mark.parametrize("door", [submitted, awaited, acalled])


# -- coroutine tasks -----------------------------------------------------------------------


@EVERY_DOOR
@pytest.mark.rule("TIME-02", "TIME-07")
async def test_a_coroutine_body_is_cancelled_at_its_limit(door: Door) -> None:
    ended: list[tuple[str, float]] = []

    @task(timeout_seconds=0.5)
    async def slow() -> None:
        try:
            await anyio.sleep(LONG)
        except Exception:  # noqa: BLE001 - a cancellation is none
            ended.append(("Exception", now()))
        finally:
            ended.append(("finally", now()))

    async with Runtime():
        started = now()
        state = await door(slow)
        took = now() - started

    assert (state.type, state.name) == ("FAILED", "TimedOut")
    assert state.message == "Task run exceeded timeout of 0.5 seconds"
    assert took == pytest.approx(0.5)
    assert ended == [("finally", pytest.approx(started + 0.5))]


@EVERY_DOOR
@pytest.mark.rule("TIME-02", "EXC-03")
async def test_the_result_of_a_run_that_timed_out_raises_timeout_error(
    door: Door,
) -> None:
    async with Runtime():
        state = await door(sleep.with_options(timeout_seconds=0.5), LONG)

    with pytest.raises(TimeoutError, match=r"of 0[.]5 seconds$"):
        state.result()
    assert type(state.data) is TimeoutError
    assert isinstance(state.data.__cause__, asyncio.CancelledError)


async def test_a_task_called_outside_of_everything_has_its_limit_too() -> None:
    started = now()

    with pytest.raises(TimeoutError):
        await sleep.with_options(timeout_seconds=0.5)(LONG)

    assert now() - started == pytest.approx(0.5)


@EVERY_DOOR
async def test_a_body_that_is_quick_enough_is_left_alone(door: Door) -> None:
    async with Runtime():
        state = await door(sleep.with_options(timeout_seconds=0.5), 0.4)
        await anyio.sleep(LONG)  # a timer left behind would do its harm now

    assert state.data == 0.4


@EVERY_DOOR
@pytest.mark.rule("TIME-03")
async def test_a_timeout_error_of_the_users_own_is_a_plain_failure(door: Door) -> None:
    @task(timeout_seconds=LONG)
    async def impatient() -> None:
        async with asyncio.timeout(0.5):
            await anyio.sleep(LONG)

    async with Runtime():
        state = await door(impatient)

    assert (state.type, state.name) == ("FAILED", "Failed")
    assert isinstance(state.data, TimeoutError)


@EVERY_DOOR
@pytest.mark.rule("TIME-06")
async def test_what_a_body_returns_after_its_limit_does_not_count(door: Door) -> None:
    @task(timeout_seconds=0.5)
    async def stubborn() -> str:
        try:
            await anyio.sleep(LONG)
        except asyncio.CancelledError:
            await anyio.sleep(1)
        return "made it"

    async with Runtime():
        started = now()
        state = await door(stubborn)
        took = now() - started

    assert state.name == "TimedOut"
    assert took == pytest.approx(1.5)


@EVERY_DOOR
@pytest.mark.rule("TIME-06")
async def test_what_a_body_raises_after_its_limit_does_not_count(door: Door) -> None:
    @task(timeout_seconds=0.5)
    async def clumsy() -> None:
        try:
            await anyio.sleep(LONG)
        finally:
            raise LookupError("while cleaning up")

    async with Runtime():
        state = await door(clumsy)

    assert state.name == "TimedOut"
    assert isinstance(state.data.__cause__, LookupError)


@EVERY_DOOR
@pytest.mark.rule("TIME-06")
async def test_a_body_that_does_not_stop_is_left_behind_exactly_after_the_grace(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    release = asyncio.Event()

    @task(timeout_seconds=0.5)
    async def deaf() -> str:
        await deaf_until(release)
        return "late"

    async with Runtime() as runtime:
        started = now()
        state = await door(deaf)
        took = now() - started
        zombies = runtime.stats()["zombies"]
        release.set()
        await anyio.sleep(1)
        zombies_later = runtime.stats()["zombies"]

    assert state.name == "TimedOut"
    assert took == pytest.approx(0.5 + 5.0)
    assert (zombies, zombies_later) == (1, 0)
    (record,) = (r for r in caplog.records if r.name == "headrace.engine")
    assert record.levelno == logging.WARNING
    assert "deaf-0 still runs 5.0 seconds after it exceeded its time limit" in (
        record.getMessage()
    )


async def test_the_grace_is_a_setting() -> None:
    release = asyncio.Event()

    @task(timeout_seconds=0.5)
    async def deaf() -> None:
        await deaf_until(release)

    with temporary_settings(cancel_grace_seconds=0.25):
        async with Runtime():
            started = now()
            state = await submitted(deaf)
            took = now() - started
            release.set()

    assert state.name == "TimedOut"
    assert took == pytest.approx(0.75)


@EVERY_DOOR
@pytest.mark.rule("RETRY-13")
async def test_a_retry_never_overlaps_a_body_that_still_runs(door: Door) -> None:
    release = asyncio.Event()
    calls: list[float] = []

    @task(timeout_seconds=0.5, retries=3)
    async def deaf() -> None:
        calls.append(now())
        await deaf_until(release)

    async with Runtime():
        state = await door(deaf)
        release.set()
        await anyio.sleep(LONG)

    assert state.name == "TimedOut"
    assert len(calls) == 1


@EVERY_DOOR
@pytest.mark.rule("RETRY-13", "HIST-06")
async def test_each_attempt_has_the_whole_limit_for_itself(door: Door) -> None:
    begun: list[float] = []
    cleaned: list[float] = []

    @task(timeout_seconds=2, retries=2, retry_delay_seconds=10)
    async def slow() -> str:
        begun.append(now())
        try:
            await anyio.sleep(LONG if len(begun) < 3 else 1.5)
        finally:
            await anyio.sleep(0.25)
            cleaned.append(now())
        return "third"

    async with Runtime():
        started = now()
        state = await door(slow)

    assert state.data == "third"
    # Each retry waits for the clean-up of the attempt before.
    assert [at - started for at in begun] == pytest.approx([0, 12.25, 24.5])
    assert [at - started for at in cleaned] == pytest.approx([2.25, 14.5, 26.25])


@pytest.mark.rule("HIST-06")
async def test_a_run_that_timed_out_and_was_retried_shows_it() -> None:
    recorder = Recorder()

    async with Runtime(observers=[recorder]):
        await submitted(sleep.with_options(timeout_seconds=0.5, retries=1), LONG)

    assert recorder.path == [
        "Pending", "Running", "AwaitingRetry", "Retrying", "TimedOut"
    ]  # fmt: skip
    assert (
        recorder.events[2].after.message == "Task run exceeded timeout of 0.5 seconds"
    )


@EVERY_DOOR
@pytest.mark.rule("TIME-05")
async def test_a_body_that_holds_the_loop_past_its_limit_completes_with_a_warning(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    loop: Any = asyncio.get_running_loop()

    @task(timeout_seconds=0.5)
    async def selfish() -> str:
        await anyio.sleep(0.1)
        loop._jumping.now += 1.0  # time passes, and the loop does not turn
        return "done"

    async with Runtime():
        state = await door(selfish)
        await anyio.sleep(LONG)

    assert state.data == "done"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "completed after its limit of 0.5 seconds" in record.getMessage()


@EVERY_DOOR
@pytest.mark.rule("TIME-05")
async def test_a_body_that_holds_the_loop_and_then_waits_times_out(door: Door) -> None:
    loop: Any = asyncio.get_running_loop()

    @task(timeout_seconds=0.5)
    async def selfish() -> str:
        loop._jumping.now += 1.0
        await anyio.sleep(1)
        return "done"

    async with Runtime():
        state = await door(selfish)

    assert state.name == "TimedOut"


@EVERY_DOOR
async def test_a_body_that_fails_at_the_very_limit_ends_once(door: Door) -> None:
    @task(timeout_seconds=1)
    async def photo_finish() -> None:
        await anyio.sleep(1)
        raise ValueError("at the same moment")

    async with Runtime():
        state = await door(photo_finish)
        await anyio.sleep(LONG)

    assert state.name in {"Failed", "TimedOut"}


@pytest.mark.rule("TIME-01")
async def test_the_limit_does_not_count_the_time_before_the_body_begins() -> None:
    async with Runtime():
        first = sleep.submit(LONG)
        state = (
            await sleep.with_options(timeout_seconds=1)
            .submit(0.5, wait_for=[first])
            .astate()
        )

    assert state is not None
    assert state.data == 0.5


@EVERY_DOOR
@pytest.mark.rule("TIME-08")
async def test_a_run_that_timed_out_holds_back_what_depends_on_it(door: Door) -> None:
    async with Runtime():
        late = await sleep.with_options(timeout_seconds=0.5).submit(LONG)
        state = await door(sleep, late)
        tolerant = await door(sleep, allow_failure(1))
        await late.astate()

    assert (late.state.type.value, late.state.name) == ("FAILED", "TimedOut")
    assert state.name == "NotReady"
    assert tolerant.data == 1
    with pytest.raises(UpstreamTaskError) as raised:
        state.result()
    assert isinstance(raised.value.__cause__, TimeoutError)


@pytest.mark.rule("TIME-09")
def test_no_limit_is_none_or_nothing() -> None:
    assert sleep.timeout_seconds is None
    assert task(timeout_seconds=None)(sleep.fn).timeout_seconds is None
    assert task(timeout_seconds=0)(sleep.fn).timeout_seconds is None
    assert task(timeout_seconds=0.0)(lambda: 42)() == 42


@EVERY_DOOR
async def test_a_thousand_runs_time_out_each_at_its_own_time(door: Door) -> None:
    async def timed(n: int) -> float:
        limit = 1 + n / 1000
        await door(sleep.with_options(timeout_seconds=limit), LONG)
        return now() - started - limit

    async with Runtime():
        started = now()
        over = await asyncio.gather(*[timed(n) for n in range(1000)])

    assert max(map(abs, over)) < 1e-6


# -- limits within limits ----------------------------------------------------------------


@EVERY_DOOR
async def test_the_inner_limit_counts_if_it_is_the_shorter(door: Door) -> None:
    inner = sleep.with_options(timeout_seconds=1)

    @task(timeout_seconds=5)
    async def outer() -> str:
        state = await inner(LONG, return_state=True)
        return str(state.name)

    async with Runtime():
        state = await door(outer)

    assert state.data == "TimedOut"


@EVERY_DOOR
async def test_the_outer_limit_counts_if_it_is_the_shorter(door: Door) -> None:
    ended: list[str] = []

    @task(timeout_seconds=5)
    async def inner() -> None:
        try:
            await anyio.sleep(LONG)
        finally:
            ended.append("inner")

    @task(timeout_seconds=1)
    async def outer() -> None:
        try:
            await inner()
        finally:
            ended.append("outer")

    async with Runtime():
        started = now()
        state = await door(outer)
        took = now() - started

    assert state.name == "TimedOut"
    assert took == pytest.approx(1)
    assert ended == ["inner", "outer"]


@EVERY_DOOR
async def test_what_a_task_submitted_is_cancelled_at_its_limit(door: Door) -> None:
    futures: list[Any] = []

    @task(timeout_seconds=1)
    async def parent() -> None:
        futures.append(await sleep.submit(LONG))
        await futures[0]

    async with Runtime():
        started = now()
        state = await door(parent)
        await futures[0].astate()
        took = now() - started

    assert state.name == "TimedOut"
    assert futures[0].state.name == "Cancelled"
    assert took == pytest.approx(1)


async def test_what_a_task_submitted_goes_on_if_the_task_ends_by_itself() -> None:
    futures: list[Any] = []

    @task(timeout_seconds=1)
    async def parent() -> None:
        futures.append(await sleep.submit(10))

    async with Runtime():
        await submitted(parent)
        value = await futures[0]

    assert value == 10


@EVERY_DOOR
async def test_each_attempt_takes_only_its_own_children_along(door: Door) -> None:
    futures: list[Any] = []

    @task(timeout_seconds=1, retries=1)
    async def parent() -> None:
        futures.append(await sleep.submit(10))
        if len(futures) == 1:
            await anyio.sleep(LONG)

    async with Runtime():
        state = await door(parent)
        await futures[0].astate()
        await futures[1].astate()

    assert state.is_completed()
    assert [future.state.name for future in futures] == ["Cancelled", "Completed"]


@EVERY_DOOR
async def test_a_zombie_takes_what_it_awaits_in_place_along(door: Door) -> None:
    release = asyncio.Event()

    @task
    async def deaf() -> None:
        await deaf_until(release)

    @task(timeout_seconds=1)
    async def parent() -> None:
        await deaf()

    @flow
    async def whole() -> list[State[Any]]:
        return [await door(parent)]

    started = now()
    state = await whole(return_state=True)
    took = now() - started
    release.set()
    await anyio.sleep(1)

    assert state.name == "Failed"
    assert took == pytest.approx(1 + 5)


# -- plain bodies that wait in headrace calls ---------------------------------------------


def check_cancelled_for_ever() -> None:
    while True:
        check_cancelled()
        sleep.submit(0.1).result()


@task(retries=1, retry_delay_seconds=LONG)
def fails() -> None:
    raise ValueError("again")


def retried_much_later() -> None:
    fails()


@flow
async def coroutine_flow() -> None:
    await anyio.sleep(LONG)


@flow
def plain_flow() -> None:
    sleep.submit(LONG)


@pytest.mark.parametrize("door", [submitted, acalled])
async def test_a_plain_body_that_waits_for_a_run_is_released_at_its_limit(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    raised: list[BaseException] = []

    @task(timeout_seconds=1)
    def waiter() -> None:
        future = sleep.submit(LONG)
        futures.append(future)
        try:
            future.result()
        except BaseException as error:
            raised.append(error)
            raise

    futures: list[Any] = []

    async with Runtime() as runtime:
        started = now()
        state = await door(waiter)
        took = now() - started
        stats = runtime.stats()
        await futures[0].astate()

    assert state.name == "TimedOut"
    assert took == pytest.approx(1, abs=0.1)
    (error,) = raised
    assert isinstance(error, RunInterrupted)
    assert error.reason == "exceeded its limit of 1.0 seconds"
    assert error.run_name == "waiter-0"
    assert futures[0].state.name == "Cancelled"
    assert stats["abandoned_threads"] == 0
    assert not [r for r in caplog.records if r.name == "headrace.engine"]


@pytest.mark.parametrize(
    "blocking",
    [
        pytest.param(lambda: sleep.submit(LONG).result(), id="result"),
        pytest.param(lambda: sleep.submit(LONG).wait(), id="wait"),
        pytest.param(lambda: sleep.submit(LONG).value(), id="value"),
        pytest.param(lambda: sleep(LONG), id="call"),
        pytest.param(lambda: sleep.submit(LONG, return_state=True), id="return_state"),
        pytest.param(check_cancelled_for_ever, id="check_cancelled"),
        pytest.param(retried_much_later, id="retry-delay"),
        pytest.param(coroutine_flow, id="coroutine-flow"),
        pytest.param(plain_flow, id="plain-flow"),
        pytest.param(lambda: sleep.map([LONG]).result(), id="map"),
        pytest.param(lambda: sleep.map(sleep.submit(LONG)), id="map-over-a-future"),
    ],
)
@pytest.mark.parametrize("interrupt", [True, False])
async def test_any_headrace_call_releases_a_plain_body_at_its_limit(
    blocking: Callable[[], object], interrupt: bool
) -> None:
    ended: list[str] = []

    @task(timeout_seconds=1, interrupt=interrupt)
    def waiter() -> None:
        try:
            blocking()
        except RunInterrupted:
            ended.append("interrupted")
            raise

    async with Runtime() as runtime:
        started = now()
        state = await submitted(waiter)
        took = now() - started
        stats = runtime.stats()

    assert state.name == "TimedOut"
    assert took < 1 + 0.1
    assert ended == ["interrupted"]
    assert stats["abandoned_threads"] == 0


async def test_every_later_headrace_call_of_a_plain_body_raises_too() -> None:
    raised: list[str] = []

    @task(timeout_seconds=1)
    def stubborn() -> None:
        for call in (
            lambda: sleep.submit(LONG).result(),
            sleep.submit,
            check_cancelled,
        ):
            try:
                call()
            except RunInterrupted as error:
                raised.append(error.reason)
            except TypeError:
                raised.append("TypeError")

    async with Runtime():
        state = await submitted(stubborn)

    assert state.name == "TimedOut"
    assert raised == ["exceeded its limit of 1.0 seconds", "TypeError", raised[0]]


async def test_a_limit_is_no_business_of_the_next_body_in_that_thread() -> None:
    @task(timeout_seconds=1)
    def waiter() -> None:
        sleep.submit(LONG).result()

    @task
    def next_one() -> float:
        check_cancelled()
        return sleep.submit(1).result()

    async with Runtime(max_threads=1):
        late = waiter.submit()
        values = await asyncio.gather(*[next_one.submit() for _ in range(5)])
        results = await asyncio.gather(*values)
        state = await late.astate()

    assert state is not None
    assert state.name == "TimedOut"
    assert results == [1] * 5


async def test_check_cancelled_says_nothing_outside_of_a_stopped_body() -> None:
    assert check_cancelled() is None  # type: ignore[func-returns-value]

    @task
    async def body() -> None:
        check_cancelled()

    await body()


async def test_check_cancelled_raises_in_coroutine_code_too() -> None:
    reached: list[str] = []

    @task(timeout_seconds=1)
    async def body() -> None:
        try:
            await anyio.sleep(LONG)
        except asyncio.CancelledError:
            reached.append("told")
        check_cancelled()
        reached.append("not here")

    state = await body(return_state=True)

    assert state.name == "TimedOut"
    assert reached == ["told"]


# -- coroutine flows -----------------------------------------------------------------------


@pytest.mark.rule("TIME-10")
async def test_a_flow_at_its_limit_takes_its_runs_along() -> None:
    futures: list[Any] = []
    ended: list[float] = []

    @flow(timeout_seconds=1)
    async def slow() -> None:
        try:
            futures.extend(sleep.map([LONG] * 10))
            futures.append(sleep.submit(1, wait_for=futures[:1]))
            await anyio.sleep(LONG)
        finally:
            ended.append(now())

    started = now()
    with pytest.raises(TimeoutError, match=r"of 1[.]0 seconds$"):
        await slow()

    assert now() - started == pytest.approx(1)
    assert ended == [pytest.approx(started + 1)]
    assert [future.state.type for future in futures] == ["CANCELLED"] * 11


@pytest.mark.rule("TIME-10")
async def test_the_limit_of_a_flow_holds_while_it_waits_for_its_runs() -> None:
    futures: list[Any] = []

    @flow(timeout_seconds=1)
    async def quick() -> str:
        futures.append(sleep.submit(LONG))
        return "done"

    started = now()
    state = await quick(return_state=True)

    assert (state.type, state.name) == ("FAILED", "TimedOut")
    assert state.message == "Flow run exceeded timeout of 1.0 seconds"
    assert now() - started == pytest.approx(1)
    assert futures[0].state.name == "Cancelled"


async def test_a_flow_that_does_not_stop_is_left_behind_after_the_grace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = asyncio.Event()

    @flow(timeout_seconds=1)
    async def deaf_flow() -> None:
        await deaf_until(release)

    started = now()
    state = await deaf_flow(return_state=True)
    took = now() - started
    release.set()
    await anyio.sleep(1)

    assert state.name == "TimedOut"
    assert took == pytest.approx(1 + 5)
    assert "deaf-flow-0 still runs" in caplog.text


async def test_a_run_of_a_flow_that_does_not_stop_is_left_behind_after_the_grace() -> (
    None
):
    release = asyncio.Event()
    futures: list[Any] = []

    @task
    async def deaf() -> None:
        await deaf_until(release)

    @flow(timeout_seconds=1)
    async def whole() -> None:
        futures.append(await deaf.submit())
        await futures[0]

    started = now()
    state = await whole(return_state=True)
    took = now() - started
    release.set()
    await anyio.sleep(1)

    assert state.name == "TimedOut"
    assert took == pytest.approx(1 + 5)
    assert futures[0].state.name == "Cancelled"


@pytest.mark.rule("TIME-11")
async def test_the_limit_of_a_subflow_starts_when_it_does() -> None:
    @flow(timeout_seconds=1)
    async def inner(value: float) -> float:
        await anyio.sleep(0.5)
        return value

    @flow
    async def outer() -> float:
        first = sleep.submit(LONG)
        return await inner(2.0, wait_for=[first])

    assert await outer() == 2.0


async def test_a_subflow_at_its_limit_leaves_its_parent_alone() -> None:
    futures: list[Any] = []

    @flow(timeout_seconds=1)
    async def inner() -> None:
        futures.append(sleep.submit(LONG))
        await anyio.sleep(LONG)

    @flow
    async def outer() -> tuple[str, float]:
        other = sleep.submit(10)
        state = await inner(return_state=True)
        return state.name, await other

    assert await outer() == ("TimedOut", 10)
    assert futures[0].state.name == "Cancelled"


async def test_a_flow_at_its_limit_takes_its_subflows_along() -> None:
    ended: list[str] = []
    futures: list[Any] = []

    @flow
    async def inner() -> None:
        futures.append(sleep.submit(LONG))
        try:
            await anyio.sleep(LONG)
        finally:
            ended.append("inner")

    @flow(timeout_seconds=1)
    async def outer() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(inner)
            group.start_soon(inner)

    started = now()
    state = await outer(return_state=True)

    assert state.name == "TimedOut"
    assert now() - started == pytest.approx(1)
    assert ended == ["inner", "inner"]
    assert [future.state.name for future in futures] == ["Cancelled"] * 2


async def test_a_flow_that_timed_out_admits_nothing_more() -> None:
    names: list[str] = []

    @flow(timeout_seconds=1)
    async def slow() -> None:
        try:
            await anyio.sleep(LONG)
        finally:
            future = sleep.submit(1)
            names.append((await future.astate()).name)

    await slow(return_state=True)

    assert names == ["Cancelled"]


async def test_a_run_that_waits_for_another_runtime_ends_with_its_flow() -> None:
    async with Runtime() as runtime:
        elsewhere = sleep.submit(LONG)
        futures: list[Any] = []

        @flow(timeout_seconds=1)
        async def slow() -> None:
            try:
                await anyio.sleep(LONG)
            finally:
                # The flow has been cancelled: its runs are not to wait any more.
                futures.append(sleep.submit(1, wait_for=[elsewhere]))

        started = now()
        state = await slow(return_state=True)
        took = now() - started
        elsewhere.cancel()

    assert runtime.stats()["open_runs"] == 0
    assert state.name == "TimedOut"
    assert took == pytest.approx(1)
    assert futures[0].state.type == "CANCELLED"


async def test_cancelling_who_waits_for_a_flow_with_a_limit_ends_as_cancelled() -> None:
    ended: list[float] = []

    @flow(timeout_seconds=10)
    async def slow() -> None:
        try:
            await anyio.sleep(LONG)
        finally:
            ended.append(now())

    started = now()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await slow()

    assert now() - started == pytest.approx(1)
    assert ended == [pytest.approx(started + 1)]


async def test_a_limit_that_passes_while_a_cancelled_body_cleans_up_changes_nothing() -> (
    None
):
    futures: list[Any] = []

    @task(timeout_seconds=2)
    async def slow() -> None:
        try:
            await anyio.sleep(LONG)
        finally:
            await anyio.sleep(2)

    async with Runtime():
        futures.append(await slow.submit())
        await anyio.sleep(1)
        futures[0].cancel()
        started = now()
        with pytest.raises(CancelledRun):
            await futures[0]

    assert now() - started == pytest.approx(2)


async def test_a_cancel_after_the_limit_does_not_make_it_cancelled() -> None:
    @task(timeout_seconds=1)
    async def slow() -> None:
        try:
            await anyio.sleep(LONG)
        finally:
            await anyio.sleep(2)

    async with Runtime():
        future = await slow.submit()
        await anyio.sleep(1.5)
        future.cancel()
        state = await future.astate()

    assert state is not None
    assert state.name == "TimedOut"
