"""Retries, through every door: delays, jitter, conditions, and what waiting costs."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from headrace import (
    Runtime,
    State,
    Task,
    TaskFuture,
    exponential_backoff,
    flow,
    task,
    wait,
)
from headrace.exceptions import CancelledRun, FailedRun, HeadraceError
from headrace.states import AwaitingRetry, Cancelled, Crashed, Failed, Running
from headrace.testing import Recorder

# -- bodies and doors ----------------------------------------------------------------


class Script:
    """A body that does what a list says, one entry for each attempt."""

    def __init__(self, *steps: object) -> None:
        self.steps = iter(steps)
        self.at: list[float] = []

    @property
    def calls(self) -> int:
        return len(self.at)

    @property
    def gaps(self) -> list[float]:
        return [after - before for before, after in itertools.pairwise(self.at)]

    def plain(self) -> Any:
        self.at.append(time.monotonic())
        return self._step()

    async def coroutine(self) -> Any:
        self.at.append(asyncio.get_running_loop().time())
        return self._step()

    def _step(self) -> object:
        step = next(self.steps)
        if isinstance(step, BaseException):
            raise step
        return step


async def submitted(it: Task[..., Any]) -> State[Any] | None:
    future = await it.submit()
    return await future.astate()


async def mapped(it: Task[..., Any]) -> State[Any] | None:
    # A body without parameters cannot be mapped: `wait_for` makes it wait first.
    upstream = nothing.submit()
    return await it.submit(wait_for=[upstream]).astate()


async def awaited(it: Task[..., Any]) -> State[Any] | None:
    state: State[Any] = await it.acall(return_state=True)
    return state


@task
async def nothing() -> None:
    pass


Door = Callable[[Task[..., Any]], Awaitable[State[Any]]]
DOORS = [submitted, mapped, awaited]
EVERY_DOOR = pytest.mark.parametrize("door", DOORS)
EVERY_KIND = pytest.mark.parametrize("kind", ["plain", "coroutine"])


def names(state_or_future: Any) -> list[str]:
    return [state.name for state in state_or_future.task_run.history]


# -- how often -------------------------------------------------------------------------


@EVERY_DOOR
@EVERY_KIND
@pytest.mark.rule("RETRY-01", "RETRY-16")
async def test_a_task_is_tried_again_until_it_completes(door: Door, kind: str) -> None:
    script = Script(ValueError("first"), ValueError("second"), 42, ValueError("no"))
    flaky = task(retries=5)(getattr(script, kind))

    async with Runtime():
        state = await door(flaky)

    assert state.data == 42
    assert script.calls == 3


@EVERY_DOOR
@EVERY_KIND
@pytest.mark.rule("RETRY-01")
async def test_n_retries_allow_n_plus_one_attempts(door: Door, kind: str) -> None:
    script = Script(*[ValueError(str(n)) for n in range(9)])
    hopeless = task(retries=2)(getattr(script, kind))

    async with Runtime():
        state = await door(hopeless)

    assert state.name == "Failed"
    assert str(state.data) == "2"
    assert script.calls == 3


@EVERY_KIND
@pytest.mark.rule("HIST-03", "RETRY-02")
async def test_all_attempts_belong_to_one_run(kind: str) -> None:
    script = Script(*[ValueError(str(n)) for n in range(3)])
    hopeless = task(retries=2)(getattr(script, kind))

    async with Runtime():
        future = await hopeless.submit()
        await future.astate()

    assert names(future) == [
        "Pending", "Running", "AwaitingRetry", "Retrying", "AwaitingRetry", "Retrying",
        "Failed",
    ]  # fmt: skip
    assert future.task_run.run_count == 3
    assert (
        len({state.state_details.task_run_id for state in future.task_run.history}) == 1
    )


@EVERY_KIND
@pytest.mark.rule("HIST-03")
async def test_observers_hear_every_attempt(kind: str) -> None:
    recorder = Recorder()
    script = Script(ValueError("first"), 42)
    flaky = task(retries=1)(getattr(script, kind))

    async with Runtime(observers=[recorder]):
        await (await flaky.submit())

    assert recorder.path == [
        "Pending", "Running", "AwaitingRetry", "Retrying", "Completed"
    ]  # fmt: skip


@EVERY_DOOR
@EVERY_KIND
@pytest.mark.parametrize(
    ("step", "name"),
    [
        pytest.param(SystemExit(3), "Crashed", id="crashed"),
        pytest.param(Crashed(message="gone"), "Crashed", id="returned-crashed"),
        pytest.param(Cancelled(message="off"), "Cancelled", id="returned-cancelled"),
    ],
)
@pytest.mark.rule("RETRY-01", "CRASH-02", "FINAL-08")
async def test_only_failures_are_retried(
    door: Door, kind: str, step: object, name: str
) -> None:
    script = Script(step, 42)
    never_again = task(retries=3)(getattr(script, kind))

    async with Runtime():
        state = await door(never_again)

    assert state.name == name
    assert script.calls == 1


@EVERY_DOOR
@EVERY_KIND
@pytest.mark.rule("FINAL-08", "RETRY-01")
async def test_a_returned_failed_state_is_retried(door: Door, kind: str) -> None:
    script = Script(Failed(message="not yet"), Failed(message="nor now"), 42)
    flaky = task(retries=2)(getattr(script, kind))

    async with Runtime():
        state = await door(flaky)

    assert state.data == 42
    assert state.message is None


@EVERY_DOOR
@EVERY_KIND
@pytest.mark.rule("FINAL-08", "FINAL-02")
async def test_the_last_failed_state_returned_is_how_the_run_ends(
    door: Door, kind: str
) -> None:
    script = Script(Failed(message="one"), Failed(name="NoRows", message="two"))
    flaky = task(retries=1)(getattr(script, kind))

    async with Runtime():
        state = await door(flaky)

    assert (state.name, state.message) == ("NoRows", "two")
    with pytest.raises(FailedRun, match="two"):
        state.result()


@pytest.mark.rule("HIST-11")
async def test_what_one_attempt_said_does_not_stick_to_the_next() -> None:
    script = Script(Failed(name="NoRows", message="none"), ValueError("boom"))
    flaky = task(retries=1)(script.coroutine)

    async with Runtime():
        future = await flaky.submit()
        state = await future.astate()

    assert state is not None
    assert (state.name, str(state.data)) == ("Failed", "boom")
    waiting = future.task_run.history[2]
    assert (waiting.name, waiting.message) == ("AwaitingRetry", "none")


@pytest.mark.rule("HIST-11", "RETRY-12")
async def test_a_run_that_waits_for_a_retry_says_why_and_until_when() -> None:
    error = ValueError("first")
    flaky = task(retries=1, retry_delay_seconds=60)(Script(error, 42).coroutine)

    async with Runtime():
        before = datetime.now(UTC)
        future = await flaky.submit()
        await anyio.sleep(1)
        run = future.task_run
        waiting, due = run.state, run.next_scheduled_start_time
        await future.astate()

    assert waiting.data is error
    assert waiting.message == "Task run encountered an exception ValueError: first"
    assert due is not None
    assert due == waiting.state_details.scheduled_time
    assert timedelta(seconds=59) < due - before < timedelta(seconds=62)
    assert run.next_scheduled_start_time is None


@pytest.mark.rule("HIST-10", "HIST-09")
async def test_the_time_spent_waiting_is_no_running_time() -> None:
    seen: list[tuple[int, str]] = []
    futures: list[TaskFuture[Any]] = []

    @task(retries=2, retry_delay_seconds=3600)
    async def flaky() -> None:
        run = futures[0].task_run
        seen.append((run.run_count, run.state_name))
        if run.run_count < 3:
            raise ValueError("again")

    async with Runtime():
        futures.append(await flaky.submit())
        await futures[0]

    assert seen == [(1, "Running"), (2, "Retrying"), (3, "Retrying")]
    assert futures[0].task_run.total_run_time < timedelta(seconds=60)


# -- delays ------------------------------------------------------------------------------


@EVERY_DOOR
@pytest.mark.parametrize(
    ("delay", "gaps"),
    [
        pytest.param(0.25, [0.25, 0.25, 0.25], id="a-fraction"),
        pytest.param([0.5, 0.2], [0.5, 0.2, 0.2], id="a-short-list"),
        pytest.param([1, 2, 3, 4, 5], [1, 2, 3], id="a-long-list"),
        pytest.param([], [0, 0, 0], id="an-empty-list"),
        pytest.param((0.9, 1.9, 2.9), [0.9, 1.9, 2.9], id="a-tuple"),
        pytest.param(exponential_backoff(0.5), [0.5, 1, 2], id="exponential"),
        pytest.param(lambda n: n * 0.1, [0.3, 0.3, 0.3], id="a-function"),
        pytest.param(0, [0, 0, 0], id="none"),
    ],
)
@pytest.mark.rule("RETRY-03", "RETRY-06", "RETRY-07")
async def test_delays_are_exact(door: Door, delay: Any, gaps: list[float]) -> None:
    script = Script(*[ValueError(str(n)) for n in range(4)])
    hopeless = task(retries=3, retry_delay_seconds=delay)(script.coroutine)

    async with Runtime():
        await door(hopeless)

    assert script.gaps == pytest.approx(gaps, abs=1e-6)


@pytest.mark.rule("RETRY-03", "RETRY-07")
async def test_a_plain_task_waits_as_long_as_it_says() -> None:
    loop = asyncio.get_running_loop()
    script = Script(*[ValueError(str(n)) for n in range(4)])
    hopeless = task(retries=3, retry_delay_seconds=[1.5, 0.25])(script.plain)

    async with Runtime():
        started = loop.time()
        await (await hopeless.submit()).astate()
        took = loop.time() - started

    assert took == pytest.approx(2.0, abs=0.01)


@pytest.mark.rule("RETRY-08", "RETRY-09")
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"retries": 0, "retry_delay_seconds": []}, id="empty-list"),
        pytest.param(
            {"retries": 0, "retry_delay_seconds": exponential_backoff(1)},
            id="backoff-of-no-retries",
        ),
        pytest.param(
            {"retries": 0, "retry_jitter_factor": 0.5}, id="jitter-of-nothing"
        ),
        pytest.param({"retry_delay_seconds": exponential_backoff(1)}, id="no-retries"),
    ],
)
async def test_delays_that_are_never_used_do_no_harm(options: dict[str, Any]) -> None:
    failing = task(**options)(Script(ValueError("boom")).coroutine)

    with pytest.raises(ValueError, match="boom"):
        await failing()


@pytest.mark.rule("RETRY-09")
async def test_without_a_delay_there_is_nothing_to_jitter() -> None:
    script = Script(ValueError("first"), 42)
    flaky = task(retries=1, retry_jitter_factor=0.5)(script.coroutine)

    value = await flaky()

    assert value == 42
    assert script.gaps == [0]


@pytest.mark.rule("RETRY-10", "RETRY-11")
async def test_jitter_draws_every_delay_anew_within_its_bounds() -> None:
    script = Script(*[ValueError(str(n)) for n in range(51)])
    hopeless = task(retries=50, retry_delay_seconds=100, retry_jitter_factor=0.5)(
        script.coroutine
    )

    async with Runtime():
        await (await hopeless.submit()).astate()

    assert len(set(script.gaps)) == 50
    assert min(script.gaps) >= 62.9 - 0.1
    assert max(script.gaps) <= 150 + 0.1


@pytest.mark.rule("RETRY-11")
async def test_jitter_applies_to_each_delay_of_a_list() -> None:
    script = Script(*[ValueError(str(n)) for n in range(3)])
    hopeless = task(retries=2, retry_delay_seconds=[10, 1000], retry_jitter_factor=0.1)(
        script.coroutine
    )

    async with Runtime():
        await (await hopeless.submit()).astate()

    assert 9 < script.gaps[0] < 11.01
    assert 900 < script.gaps[1] < 1100.1


# -- what waiting costs ------------------------------------------------------------------


@pytest.mark.rule("RETRY-12")
async def test_runs_that_wait_for_a_retry_are_no_asyncio_tasks() -> None:
    @task(retries=1, retry_delay_seconds=60)
    async def flaky(n: int) -> int:
        if attempts[n] == 0:
            attempts[n] += 1
            raise ValueError(n)
        return n

    attempts = [0] * 500
    before = len(asyncio.all_tasks())

    async with Runtime() as runtime:
        futures = flaky.map(range(500))
        await anyio.sleep(1)
        waiting = len(asyncio.all_tasks())
        open_runs = runtime.stats()["open_runs"]
        values = await asyncio.gather(*futures)

    assert waiting == before
    assert open_runs == 500
    assert values == list(range(500))


@pytest.mark.rule("RETRY-12")
async def test_a_plain_run_that_waits_for_a_retry_holds_no_thread() -> None:
    attempts: dict[str, int] = {}

    @task(retries=1, retry_delay_seconds=60)
    def work(name: str) -> str:
        attempts[name] = attempts.get(name, 0) + 1
        if name == "flaky" and attempts[name] == 1:
            raise ValueError("first")
        return threading.current_thread().name

    async with Runtime(max_threads=1):
        flaky = work.submit("flaky")
        while (await anyio.sleep(1)) or not flaky.state.is_scheduled():
            pass
        other = await work.submit("other")
        await other
        was_waiting = flaky.state.is_scheduled()
        await flaky

    assert was_waiting
    assert attempts == {"flaky": 2, "other": 1}


@pytest.mark.rule("RETRY-12")
def test_a_plain_body_that_calls_a_task_gives_its_slot_back_during_the_delay() -> None:
    between = threading.Event()

    @task(retries=1, retry_delay_seconds=0.05)
    def inner() -> str:
        if not between.is_set():
            raise ValueError("nobody was between")
        return "done"

    @task
    def outer() -> str:
        return inner()

    @task
    def other() -> None:
        between.set()

    @flow
    def both() -> tuple[str, None]:
        first = outer.submit()
        second = other.submit()
        return first.result(), second.result()

    with Runtime(max_threads=1):
        assert both() == ("done", None)


# -- conditions --------------------------------------------------------------------------


async def later(answer: bool) -> bool:
    await asyncio.sleep(0)
    return answer


def refuse(task: Any, run: Any, state: Any) -> bool:
    return False


async def refuse_later(task: Any, run: Any, state: Any) -> bool:
    return await later(False)


def fail(task: Any, run: Any, state: Any) -> bool:
    raise LookupError("the condition itself")


async def fail_later(task: Any, run: Any, state: Any) -> bool:
    await asyncio.sleep(0)
    raise LookupError("the condition itself")


@EVERY_DOOR
@EVERY_KIND
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda t, r, s: True, id="plain"),
        pytest.param(lambda t, r, s: later(True), id="coroutine"),
        pytest.param(lambda t, r, s: "yes", id="anything-true"),
    ],
)
async def test_a_condition_that_agrees_lets_the_task_be_retried(
    door: Door, kind: str, answer: Any
) -> None:
    script = Script(ValueError("first"), 42)
    flaky = task(retries=1, retry_condition_fn=answer)(getattr(script, kind))

    async with Runtime():
        state = await door(flaky)

    assert state.data == 42


@EVERY_DOOR
@EVERY_KIND
@pytest.mark.parametrize("condition", [refuse, refuse_later])
async def test_a_condition_that_refuses_ends_the_run(
    door: Door, kind: str, condition: Any
) -> None:
    script = Script(ValueError("first"), 42)
    flaky = task(retries=1, retry_condition_fn=condition)(getattr(script, kind))

    async with Runtime():
        state = await door(flaky)

    assert str(state.data) == "first"
    assert script.calls == 1


@EVERY_DOOR
@EVERY_KIND
@pytest.mark.parametrize("condition", [fail, fail_later])
async def test_a_condition_that_raises_is_logged_and_ends_the_run(
    door: Door, kind: str, condition: Any, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(ValueError("first"), 42)
    flaky = task(retries=1, retry_condition_fn=condition)(getattr(script, kind))

    async with Runtime():
        state = await door(flaky)

    assert str(state.data) == "first"
    (record,) = (r for r in caplog.records if r.name == "headrace.engine")
    assert "LookupError: the condition itself" in record.message
    assert record.levelname == "ERROR"


@EVERY_KIND
async def test_a_condition_is_given_the_task_the_run_and_the_state(kind: str) -> None:
    seen: list[Any] = []

    def condition(*given: Any) -> bool:
        seen.append(given)
        return False

    error = ValueError("first")
    flaky = task(retries=1, retry_condition_fn=condition)(getattr(Script(error), kind))

    async with Runtime():
        future = await flaky.submit()
        await future.astate()

    ((it, run, state),) = seen
    assert it is flaky
    assert run == future.task_run
    assert (state.type, state.data) == ("FAILED", error)


@pytest.mark.parametrize("step", [42, SystemExit(1)])
async def test_a_condition_is_not_asked_when_nothing_failed(step: object) -> None:
    asked: list[object] = []

    def condition(*given: object) -> bool:
        asked.append(given)
        return True

    it = task(retries=1, retry_condition_fn=condition)(Script(step).coroutine)

    async with Runtime():
        await (await it.submit()).astate()

    assert asked == []


@EVERY_KIND
async def test_a_condition_is_not_asked_about_the_last_attempt(kind: str) -> None:
    asked: list[int] = []

    def condition(task: Any, run: Any, state: Any) -> bool:
        asked.append(run.run_count)
        return True

    script = Script(*[ValueError(str(n)) for n in range(3)])
    hopeless = task(retries=2, retry_condition_fn=condition)(getattr(script, kind))

    async with Runtime():
        await (await hopeless.submit()).astate()

    assert asked == [1, 2]


@EVERY_DOOR
@EVERY_KIND
@pytest.mark.rule("TIME-01")
async def test_the_time_a_condition_takes_is_not_limited(door: Door, kind: str) -> None:
    async def slow(task: Any, run: Any, state: Any) -> bool:
        await anyio.sleep(3600)
        return True

    script = Script(ValueError("first"), 42)
    flaky = task(retries=1, timeout_seconds=60, retry_condition_fn=slow)(
        getattr(script, kind)
    )

    async with Runtime():
        state = await door(flaky)

    assert state.data == 42


@EVERY_KIND
async def test_a_run_whose_condition_thinks_for_ever_can_be_cancelled(
    kind: str,
) -> None:
    async def slow(task: Any, run: Any, state: Any) -> bool:
        await asyncio.Event().wait()
        return True

    flaky = task(retries=1, retry_condition_fn=slow)(
        getattr(Script(ValueError("first"), 42), kind)
    )

    async with Runtime():
        future = await flaky.submit()
        await anyio.sleep(1)
        future.cancel()
        with pytest.raises(CancelledRun):
            await future


# -- "again at that time" ------------------------------------------------------------------


@EVERY_DOOR
@EVERY_KIND
@pytest.mark.rule("FINAL-08")
async def test_a_task_may_ask_to_be_run_again_at_some_time(
    door: Door, kind: str
) -> None:
    loop = asyncio.get_running_loop()
    when = datetime.now(UTC) + timedelta(seconds=3600)
    script = Script(AwaitingRetry(scheduled_time=when), 42)
    patient = task(retries=1, retry_delay_seconds=7)(getattr(script, kind))

    async with Runtime():
        started = loop.time()
        state = await door(patient)
        took = loop.time() - started

    assert state.data == 42
    assert took == pytest.approx(3600, abs=5)


@EVERY_KIND
@pytest.mark.rule("FINAL-08", "HIST-11")
async def test_a_task_that_asked_to_be_run_again_waits_with_its_own_message(
    kind: str,
) -> None:
    when = datetime.now(UTC) + timedelta(seconds=3600)
    script = Script(AwaitingRetry(scheduled_time=when, message="no file yet"), 42)
    patient = task(retries=1)(getattr(script, kind))

    async with Runtime():
        future = await patient.submit()
        await future

    waiting = future.task_run.history[2]
    assert (waiting.name, waiting.message) == ("AwaitingRetry", "no file yet")
    assert waiting.state_details.scheduled_time is not None
    late = waiting.state_details.scheduled_time - when
    assert abs(late) < timedelta(seconds=0.1)


@EVERY_DOOR
@EVERY_KIND
@pytest.mark.rule("FINAL-08")
async def test_asking_to_be_run_again_uses_up_attempts(door: Door, kind: str) -> None:
    now = datetime.now(UTC)
    script = Script(*[AwaitingRetry(scheduled_time=now) for _ in range(9)])
    endless = task(retries=2)(getattr(script, kind))

    async with Runtime():
        state = await door(endless)

    assert state.name == "Failed"
    assert script.calls == 3
    with pytest.raises(HeadraceError, match="no attempt left"):
        state.result()


@EVERY_KIND
@pytest.mark.rule("FINAL-08")
async def test_a_task_that_asks_to_be_run_again_needs_no_condition(kind: str) -> None:
    script = Script(AwaitingRetry(), 42)
    patient = task(retries=1, retry_condition_fn=refuse)(getattr(script, kind))

    async with Runtime():
        future = await patient.submit()
        value = await future

    assert value == 42


@EVERY_DOOR
@EVERY_KIND
@pytest.mark.rule("FINAL-08")
async def test_any_other_unfinished_state_is_refused(door: Door, kind: str) -> None:
    endless = task(getattr(Script(Running()), kind))

    async with Runtime():
        state = await door(endless)

    assert state.name == "Failed"
    with pytest.raises(HeadraceError, match="type RUNNING, which no run can end in"):
        state.result()


# -- in plain code ---------------------------------------------------------------------


@EVERY_KIND
@pytest.mark.rule("RETRY-01")
def test_a_task_called_in_a_plain_flow_is_retried(kind: str) -> None:
    script = Script(ValueError("first"), ValueError("second"), 42)
    flaky = task(retries=2, retry_delay_seconds=0.001)(getattr(script, kind))

    @flow
    def call() -> int:
        return int(flaky())

    assert call() == 42
    assert script.calls == 3


@pytest.mark.rule("RETRY-01", "CALL-08")
def test_a_task_called_outside_of_everything_is_retried() -> None:
    script = Script(ValueError("first"), 42)
    flaky = task(retries=1)(script.plain)

    assert flaky() == 42


@pytest.mark.parametrize("condition", [refuse, refuse_later, fail, fail_later])
def test_conditions_hold_for_a_task_called_in_a_plain_flow(condition: Any) -> None:
    script = Script(ValueError("first"), 42)
    flaky = task(retries=1, retry_condition_fn=condition)(script.plain)

    @flow
    def call() -> None:
        flaky()

    with pytest.raises(ValueError, match="first"):
        call()


@pytest.mark.rule("FINAL-08")
def test_a_task_called_in_a_plain_flow_may_ask_to_be_run_again() -> None:
    script = Script(AwaitingRetry(message="no file yet"), 42)
    patient = task(retries=1)(script.plain)

    @flow
    def call() -> int:
        return int(patient())

    assert call() == 42


# -- together ------------------------------------------------------------------------------


@pytest.mark.rule("RETRY-15")
async def test_a_future_among_the_inputs_is_resolved_once_for_all_attempts() -> None:
    given: list[list[int]] = []

    @task
    async def one() -> int:
        return 1

    @task(retries=2)
    async def flaky(numbers: list[int]) -> None:
        given.append(numbers)
        if len(given) < 3:
            raise ValueError("again")

    async with Runtime():
        inputs: Any = [one.submit(), 2]
        await (await flaky.submit(inputs))

    assert given == [[1, 2]] * 3
    assert given[0] is given[2]


@pytest.mark.slow
@pytest.mark.rule("RETRY-01")
async def test_a_thousand_runs_of_both_kinds_are_retried_side_by_side() -> None:
    tried: dict[tuple[str, int], int] = {}

    def attempt(kind: str, n: int) -> int:
        tried[kind, n] = tried.get((kind, n), 0) + 1
        if tried[kind, n] <= n % 4:
            raise ValueError(n)
        return n

    @task(retries=3, retry_delay_seconds=exponential_backoff(0.1))
    def plain(n: int) -> int:
        return attempt("plain", n)

    @task(retries=3, retry_delay_seconds=exponential_backoff(0.1))
    async def coroutine(n: int) -> int:
        await anyio.sleep(0.01)
        return attempt("coroutine", n)

    async with Runtime() as runtime:
        futures = [*plain.map(range(500)), *coroutine.map(range(500))]
        done, not_done = await wait(futures)
        stats = runtime.stats()

    assert not not_done
    assert {future.state.name for future in done} == {"Completed"}
    assert sum(tried.values()) == 2 * sum(1 + n % 4 for n in range(500))
    assert stats["open_runs"] == stats["running_threads"] == stats["zombies"] == 0
