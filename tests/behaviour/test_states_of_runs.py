"""The states that a run goes through, by every path, and what is recorded of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from headrace import Runtime, State, TaskFuture, allow_failure, flow, task
from headrace.exceptions import (
    CancelledRun,
    CrashedRun,
    FailedRun,
    HeadraceError,
    UpstreamTaskError,
)
from headrace.states import (
    AwaitingRetry,
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Paused,
    Pending,
    Running,
    StateType,
    is_allowed,
)
from headrace.testing import Recorder

BOUND = 5  # seconds; nothing here comes near

# -- one task for each path through the states -----------------------------------------


async def succeed() -> int:
    return 42


def succeed_plainly() -> int:
    return 42


async def fail() -> None:
    raise ValueError("boom")


def fail_plainly() -> None:
    raise ValueError("boom")


async def last() -> None:
    await asyncio.sleep(10)


async def crash() -> None:
    raise SystemExit(3)


def crash_plainly() -> None:
    raise SystemExit(3)


def failing_first(error: BaseException) -> Callable[[], int]:
    outcomes = iter([error, 42])

    def flaky() -> int:
        outcome = next(outcomes)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return flaky


def lasting_first() -> Any:
    outcomes = iter([10, 0])

    async def flaky() -> int:
        await asyncio.sleep(next(outcomes))
        return 42

    return flaky


PATHS: dict[str, tuple[Any, list[str]]] = {
    "success": (task(succeed), ["Pending", "Running", "Completed"]),
    "plain-success": (task(succeed_plainly), ["Pending", "Running", "Completed"]),
    "failure": (task(fail), ["Pending", "Running", "Failed"]),
    "plain-failure": (task(fail_plainly), ["Pending", "Running", "Failed"]),
    "retries": (
        task(retries=2, retry_delay_seconds=1)(fail),
        ["Pending", "Running", *["AwaitingRetry", "Retrying"] * 2, "Failed"],
    ),
    "plain-retries": (
        task(retries=2)(fail_plainly),
        ["Pending", "Running", *["AwaitingRetry", "Retrying"] * 2, "Failed"],
    ),
    "success-at-last": (
        task(retries=3)(failing_first(ValueError())),
        ["Pending", "Running", "AwaitingRetry", "Retrying", "Completed"],
    ),
    "timeout": (task(timeout_seconds=1)(last), ["Pending", "Running", "TimedOut"]),
    "timeout-retried": (
        task(timeout_seconds=1, retries=1)(last),
        ["Pending", "Running", "AwaitingRetry", "Retrying", "TimedOut"],
    ),
    "timeout-then-success": (
        task(timeout_seconds=1, retries=1)(lasting_first()),
        ["Pending", "Running", "AwaitingRetry", "Retrying", "Completed"],
    ),
    "crash": (task(retries=2)(crash), ["Pending", "Running", "Crashed"]),
    "plain-crash": (task(retries=2)(crash_plainly), ["Pending", "Running", "Crashed"]),
    "own-name": (
        task(lambda: Completed(name="Skipped", data=1)),
        ["Pending", "Running", "Skipped"],
    ),
    "own-cancelled": (
        task(lambda: Cancelled(message="enough")),
        ["Pending", "Running", "Cancelled"],
    ),
}
EVERY_PATH = pytest.mark.parametrize(
    ("of_path", "names"), PATHS.values(), ids=PATHS.keys()
)


@EVERY_PATH
@pytest.mark.rule("HIST-01", "HIST-03", "HIST-06")
async def test_a_run_goes_through_its_states_in_order(
    of_path: Any, names: list[str]
) -> None:
    async with Runtime():
        future = await fresh(of_path).submit()
        await future.astate()

    assert [state.name for state in future.history] == names


@EVERY_PATH
async def test_every_step_is_along_the_table_and_each_later_than_the_one_before(
    of_path: Any, names: list[str]
) -> None:
    recorder = Recorder()
    async with Runtime(observers=[recorder]):
        future = await fresh(of_path).submit()
        await future.astate()

    steps = [(event.before, event.after) for event in recorder.events]
    assert [after.name for _, after in steps] == names
    assert [before for before, _ in steps] == [None, *future.history[:-1]]
    assert all(
        is_allowed(before.type, after.type) and before.timestamp < after.timestamp
        for before, after in steps
        if before is not None
    )


def fresh(of_path: Any) -> Any:
    """The task anew: some of these bodies keep count."""
    if of_path.fn.__name__ != "flaky":
        return of_path
    made = lasting_first() if of_path.isasync else failing_first(ValueError())
    options = {"retries": of_path.retries, "timeout_seconds": of_path.timeout_seconds}
    return task(**options)(made)


@pytest.mark.rule("ST-13")
async def test_timestamps_are_told_apart_however_fast_a_run_is() -> None:
    @task
    async def nothing() -> None: ...

    async with Runtime():
        futures = [await nothing.submit() for _ in range(500)]
        await asyncio.gather(*futures)

    for future in futures:
        moments = [state.timestamp for state in future.history]
        assert moments == sorted(set(moments))


@pytest.mark.rule("ST-13")
def test_timestamps_increase_though_the_clock_stands_still() -> None:
    recorder = Recorder()
    with Runtime(observers=[recorder]):
        future = task(retries=20)(fail_plainly).submit()
        future.wait(BOUND)

    moments = [state.timestamp for state in future.history]
    assert len(moments) == 2 + 2 * 20 + 1
    assert moments == sorted(set(moments))


# -- looking ---------------------------------------------------------------------------


async def test_every_look_gives_the_same_state_objects() -> None:
    @task
    async def wait_a_bit() -> None:
        await asyncio.sleep(1)

    async with Runtime():
        future = await wait_a_bit.submit()
        pending = future.state
        await asyncio.sleep(0.5)
        running = future.state
        again = future.history
        await future
        history = future.history

    assert [id(state) for state in again] == [id(pending), id(running)]
    assert [id(state) for state in history[:2]] == [id(pending), id(running)]
    assert future.state is future.task_run.state is history[2]
    assert [id(state) for state in future.history] == [id(state) for state in history]


async def test_a_history_that_was_given_does_not_change_the_record() -> None:
    async with Runtime():
        future = await task(succeed).submit()
        await future
        future.history.clear()

        assert [state.name for state in future.history] == [
            "Pending",
            "Running",
            "Completed",
        ]


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_states_are_the_same_for_threads_that_look_while_the_run_goes_on(
    kind: str,
) -> None:
    together = threading.Barrier(5, timeout=BOUND)
    stop = threading.Event()
    attempts = iter(range(1000))

    def flaky() -> int:
        if next(attempts) < 30:
            raise ValueError("again")
        return 42

    async def flaky_on_loop() -> int:
        await asyncio.sleep(0)
        return flaky()

    looked_at = task(retries=50)(flaky if kind == "plain" else flaky_on_loop)
    seen: list[dict[int, State[Any]]] = []

    def look(future: TaskFuture[int]) -> None:
        mine: dict[int, State[Any]] = {}
        together.wait()
        while not stop.is_set():
            _ = future.state, future.task_run.state_name, future.task_run.run_count
            _ = future.task_run.start_time, future.task_run.total_run_time
            for position, state in enumerate(future.history):
                assert mine.setdefault(position, state) is state
        seen.append(mine)

    with Runtime():
        begin = threading.Event()
        upstream = task(lambda: begin.wait(BOUND)).submit()
        future = looked_at.submit(wait_for=[upstream]).future
        threads = [threading.Thread(target=look, args=(future,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        together.wait()
        begin.set()
        assert future.value(BOUND) == 42
        stop.set()
        for thread in threads:
            thread.join(BOUND)

    assert len(seen) == 4, "a thread failed"
    history = future.history
    assert [state.name for state in history] == [
        "Pending",
        "Running",
        *["AwaitingRetry", "Retrying"] * 30,
        "Completed",
    ]
    for mine in seen:
        assert all(history[position] is state for position, state in mine.items())


# -- what the states say ---------------------------------------------------------------


async def state_of(body: Any, **options: Any) -> State[Any]:
    async with Runtime():
        return await task(**options)(body).submit(return_state=True)


@pytest.mark.rule("FINAL-01", "SRES-03")
@pytest.mark.parametrize("value", [42, None, "text", [], ValueError("a value")])
async def test_any_value_completes_the_run_without_a_message(value: Any) -> None:
    for body in (lambda: value, coroutine_giving(value)):
        state = await state_of(body)

        assert (state.type, state.name) == (StateType.COMPLETED, "Completed")
        assert state.message is None
        assert state.result() is value


def coroutine_giving(value: Any) -> Any:
    async def give() -> Any:
        return value

    return give


@pytest.mark.rule("FINAL-09", "HIST-02")
@pytest.mark.parametrize("body", [fail, fail_plainly])
async def test_a_failed_state_names_the_exception_and_holds_it(body: Any) -> None:
    state = await state_of(body)

    assert state.type is StateType.FAILED
    assert state.message == "Task run encountered an exception ValueError: boom"
    with pytest.raises(ValueError, match="boom") as caught:
        state.result()
    assert caught.value is state.data


@pytest.mark.rule("HIST-11")
async def test_awaiting_retry_carries_the_failure_and_when_it_is_over() -> None:
    async with Runtime():
        future = await task(retries=1, retry_delay_seconds=60)(fail).submit()
        await asyncio.sleep(1)
        waiting = future.state
        due = future.task_run.next_scheduled_start_time
        await future.astate()

    assert waiting.name == "AwaitingRetry"
    assert waiting.message == "Task run encountered an exception ValueError: boom"
    assert isinstance(waiting.data, ValueError)
    assert due == waiting.state_details.scheduled_time
    assert due is not None
    assert due - waiting.timestamp == pytest.approx(
        timedelta(seconds=60), abs=timedelta(seconds=1)
    )
    assert future.task_run.next_scheduled_start_time is None


@pytest.mark.rule("HIST-06")
async def test_a_timed_out_state_says_its_limit() -> None:
    state = await state_of(last, timeout_seconds=1.5)

    assert (state.type, state.name) == (StateType.FAILED, "TimedOut")
    assert state.message == "Task run exceeded timeout of 1.5 seconds"
    with pytest.raises(TimeoutError, match=r"exceeded timeout of 1\.5 seconds"):
        state.result()


async def test_an_attempt_after_a_timeout_is_not_named_after_it() -> None:
    outcomes = iter([10.0, None])

    @task(timeout_seconds=1, retries=1)
    async def slow_then_failing() -> None:
        delay = next(outcomes)
        if delay is None:
            raise ValueError("boom")
        await asyncio.sleep(delay)

    async with Runtime():
        state = await slow_then_failing.submit(return_state=True)

    assert state.name == "Failed"
    assert state.message == "Task run encountered an exception ValueError: boom"


@pytest.mark.rule("CRASH-01", "HIST-07", "CONC-05")
@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(
            SystemExit(1),
            "Task run was aborted by a Python system exit call.",
            id="exit",
        ),
        pytest.param(
            KeyboardInterrupt(),
            "Task run was aborted by an interrupt signal.",
            id="interrupt",
        ),
        pytest.param(
            BaseException("odd"),
            "Task run was interrupted by an unexpected exception: BaseException: odd.",
            id="other",
        ),
    ],
)
async def test_a_crashed_state_says_by_what(error: BaseException, message: str) -> None:
    async def crash() -> None:
        raise error

    state = await state_of(crash)

    assert (state.type, state.name) == (StateType.CRASHED, "Crashed")
    assert state.message == message
    assert state.data is error
    with pytest.raises(CrashedRun) as caught:
        state.result()
    assert caught.value.__cause__ is error


@pytest.mark.rule("HIST-05")
async def test_a_run_held_back_ends_as_not_ready() -> None:
    async with Runtime():
        failed = await task(fail).submit()
        held = await task(succeed).submit(wait_for=[failed])
        state = await held.astate()

    assert state is not None
    assert (state.type, state.name) == (StateType.CANCELLED, "NotReady")
    assert state.message is not None
    assert "'fail-0' ended as Failed" in state.message
    assert [each.name for each in held.history] == ["Pending", "NotReady"]
    with pytest.raises(UpstreamTaskError) as caught:
        state.result()
    assert caught.value.__cause__ is failed.state.data


async def test_a_cancelled_state_says_whether_the_run_had_started() -> None:
    async with Runtime():
        running = await task(last).submit()
        waiting = await task(last).submit(wait_for=[running])
        await asyncio.sleep(1)
        waiting.cancel()
        running.cancel()
        states = [await waiting.astate(), await running.astate()]

    assert [state.message for state in states if state] == [
        "the run 'last-1' was cancelled before it started.",
        "the run 'last-0' was cancelled.",
    ]
    assert [state.name for state in running.history] == [
        "Pending",
        "Running",
        "Cancelled",
    ]
    assert [state.name for state in waiting.history] == ["Pending", "Cancelled"]


async def test_a_run_cancelled_while_it_waits_for_a_retry_never_runs_again() -> None:
    async with Runtime():
        future = await task(retries=5, retry_delay_seconds=10)(fail).submit()
        await asyncio.sleep(1)
        future.cancel()
        state = await future.astate()

    assert state is not None
    assert isinstance(state.data, CancelledRun)
    assert [each.name for each in future.history] == [
        "Pending",
        "Running",
        "AwaitingRetry",
        "Cancelled",
    ]
    assert future.task_run.run_count == 1


# -- states that bodies return ---------------------------------------------------------


@pytest.mark.rule("FINAL-02", "FINAL-08")
@pytest.mark.parametrize(
    "made",
    [
        pytest.param(
            Completed(name="Skipped", message="no rows", data=7), id="completed"
        ),
        pytest.param(Cancelled(name="Stopped", message="enough"), id="cancelled"),
        pytest.param(Crashed(name="Broken", message="disk", data="disk"), id="crashed"),
        pytest.param(
            Failed(name="Refused", message="no", data=KeyError("k")), id="fail"
        ),
    ],
)
async def test_a_returned_state_is_adopted(made: State[Any]) -> None:
    async with Runtime():
        future = await task(lambda: made).submit()
        state = await future.astate()

    assert state is not None
    assert state is not made
    assert (state.type, state.name, state.message) == (
        made.type,
        made.name,
        made.message,
    )
    assert state.data is made.data
    assert state.state_details.task_run_id == future.id


@pytest.mark.rule("FINAL-08")
async def test_a_returned_failed_state_is_retried_and_a_crashed_one_is_not() -> None:
    counts = {"failed": 0, "crashed": 0}

    @task(retries=2)
    def give_failed() -> Any:
        counts["failed"] += 1
        return Failed(message="no", data=ValueError("no"))

    @task(retries=2)
    def give_crashed() -> Any:
        counts["crashed"] += 1
        return Crashed(message="no")

    async with Runtime():
        await give_failed.submit(return_state=True)
        await give_crashed.submit(return_state=True)

    assert counts == {"failed": 3, "crashed": 1}


@pytest.mark.rule("FINAL-08", "HIST-08")
@pytest.mark.parametrize("made", [Pending(), Running(), Paused()], ids=lambda s: s.name)
async def test_a_returned_state_that_is_not_final_is_an_error(made: State[Any]) -> None:
    async with Runtime():
        future = await task(lambda: made).submit()
        await future.astate()
        state: State[Any] = future.state

    assert [each.name for each in future.history] == ["Pending", "Running", "Failed"]
    assert state.type is StateType.FAILED
    with pytest.raises(HeadraceError, match=f"a state of type {made.type}"):
        state.result()


@pytest.mark.rule("FINAL-08")
async def test_a_returned_awaiting_retry_means_again_at_that_time() -> None:
    calls: list[float] = []

    @task(retries=1)
    async def later() -> Any:
        calls.append(asyncio.get_running_loop().time())
        if len(calls) == 1:
            when = datetime.now(UTC) + timedelta(seconds=30)
            return AwaitingRetry(scheduled_time=when, message="not yet")
        return "done"

    async with Runtime():
        future = await later.submit()
        assert await future == "done"

    assert calls[1] - calls[0] == pytest.approx(30, abs=1)
    assert [state.name for state in future.history] == [
        "Pending",
        "Running",
        "AwaitingRetry",
        "Retrying",
        "Completed",
    ]
    assert future.history[2].message == "not yet"


@pytest.mark.rule("FINAL-08")
async def test_asking_for_another_time_without_an_attempt_left_fails() -> None:
    state = await state_of(lambda: AwaitingRetry(message="later"))

    assert state.name == "Failed"
    with pytest.raises(HeadraceError, match="no attempt left"):
        state.result()


@pytest.mark.rule("FINAL-03", "FINAL-04")
@pytest.mark.parametrize(
    ("bodies", "kind", "message"),
    [
        pytest.param("++", "COMPLETED", "All states completed.", id="completed"),
        pytest.param("+c+", "CANCELLED", "1/3 states cancelled.", id="cancelled"),
        pytest.param("-+!", "FAILED", "2/3 states failed.", id="failed"),
        pytest.param("c-", "FAILED", "1/2 states failed.", id="both"),
    ],
)
async def test_states_of_runs_that_a_body_returns_are_aggregated(
    bodies: str, kind: str, message: str
) -> None:
    kinds: dict[str, Any] = {
        "+": task(succeed),
        "-": task(fail),
        "!": task(crash),
        "c": task(lambda: Cancelled(message="enough")),
    }

    @task
    async def collect() -> Any:
        return [await kinds[each].submit(return_state=True) for each in bodies]

    async with Runtime():
        state = await collect.submit(return_state=True)

    assert (state.type, state.message) == (kind, message)
    assert [type(each) for each in state.data] == [State] * len(bodies)


@pytest.mark.rule("FINAL-03")
async def test_one_state_of_a_run_that_a_body_returns_is_its_data() -> None:
    @task
    async def pass_on(body: Any) -> Any:
        return await task(body).submit(return_state=True)

    async with Runtime():
        good = await pass_on.submit(succeed, return_state=True)
        bad = await pass_on.submit(fail, return_state=True)

    assert isinstance(good.result(), State)
    assert good.result().result() == 42
    assert bad.type is StateType.FAILED
    with pytest.raises(ValueError, match="boom"):
        bad.result()


@pytest.mark.rule("FINAL-06", "FINAL-07")
@pytest.mark.parametrize("make", [
    pytest.param(lambda state: (state, 5), id="mixed"),
    pytest.param(lambda state: {"a": state}, id="dict"),
    pytest.param(lambda state: [[state]], id="nested"),
    pytest.param(lambda _: [], id="empty"),
])  # fmt: skip
async def test_states_in_other_structures_are_data(make: Any) -> None:
    @task
    async def wrap() -> Any:
        return make(await task(fail).submit(return_state=True))

    async with Runtime():
        state = await wrap.submit(return_state=True)

    assert state.is_completed()
    assert type(state.result()) is type(make(None))


# -- the record ------------------------------------------------------------------------


@pytest.mark.rule("HIST-09")
async def test_the_run_count_is_that_of_the_attempts_begun() -> None:
    counts: list[tuple[int, str]] = []
    futures: list[TaskFuture[Any]] = []

    @task(retries=2)
    async def count() -> None:
        record = futures[0].task_run
        counts.append((record.run_count, record.state_name))
        raise ValueError("again")

    async with Runtime():
        futures.append(await count.submit())
        before = futures[0].task_run.run_count
        await futures[0].astate()

    assert before == 0
    assert counts == [(1, "Running"), (2, "Retrying"), (3, "Retrying")]
    assert futures[0].task_run.run_count == 3


@pytest.mark.rule("HIST-10")
async def test_a_record_has_the_times_of_its_states() -> None:
    @task(retries=1)
    def work(event: threading.Event) -> None:
        event.wait(0.02)
        raise ValueError("again")

    async with Runtime():
        upstream = await task(succeed).submit()
        future = await work.submit(threading.Event(), wait_for=[upstream])
        record = future.task_run
        unset = (record.start_time, record.end_time, record.total_run_time)
        await future.astate()
        history = future.history

    assert unset == (None, None, timedelta(0))
    assert record.expected_start_time == history[0].timestamp
    assert record.start_time == history[1].timestamp
    assert record.end_time == history[-1].timestamp
    running = (history[2].timestamp - history[1].timestamp) + (
        history[4].timestamp - history[3].timestamp
    )
    assert record.total_run_time == pytest.approx(
        running, abs=timedelta(microseconds=10)
    )
    assert record.total_run_time >= timedelta(seconds=0.04)


@pytest.mark.rule("HIST-10")
def test_waiting_for_a_retry_is_no_run_time_though_it_was_cancelled() -> None:
    waited = threading.Event()

    with Runtime():
        future = task(retries=1, retry_delay_seconds=BOUND)(fail_plainly).submit()
        while future.state.name != "AwaitingRetry":
            waited.wait(0.001)
        before = future.task_run.total_run_time
        waited.wait(0.05)
        future.cancel()
        future.wait(BOUND)

    assert future.state.is_cancelled()
    assert future.task_run.total_run_time == before


async def test_a_run_that_never_started_has_no_times_but_an_end() -> None:
    async with Runtime():
        failed = await task(fail).submit()
        held = await task(succeed).submit(wait_for=failed)
        await held.astate()

    record = held.task_run
    assert record.start_time is None
    assert record.run_count == 0
    assert record.total_run_time == timedelta(0)
    assert record.end_time == held.state.timestamp


@pytest.mark.rule("FUT-01", "PRM-05", "KEY-05")
async def test_a_record_tells_what_its_task_was_told() -> None:
    @task(name="load", tags={"a", "b"}, version="v3")
    async def fn() -> None: ...

    @flow
    async def main() -> Any:
        versions = [fn, fn, fn.with_options(version=None)]
        return [(await each.submit()).task_run for each in versions]

    state = await main(return_state=True)
    first, second, unversioned = state.result()

    assert (first.name, second.name) == ("load-0", "load-1")
    assert (first.dynamic_key, second.dynamic_key) == ("0", "1")
    assert first.tags == {"a", "b"}
    assert first.task_version == "v3"
    assert unversioned.task_version is None
    assert first.task_key == fn.task_key
    assert first.flow_run_id == state.state_details.flow_run_id
    assert first.state_type is StateType.COMPLETED
    assert repr(first) == "TaskRun('load-0', state='Completed')"
    assert first != second
    assert len({first, second}) == 2


async def test_a_record_outside_of_a_flow_has_no_flow_run() -> None:
    async with Runtime():
        future = await task(succeed).submit()

        assert future.task_run.flow_run_id is None
        assert future.state.state_details.flow_run_id is None


async def test_ids_are_unique_uuids_for_runs_and_states() -> None:
    @flow
    async def main() -> Any:
        futures = [await task(succeed).submit() for _ in range(100)]
        await asyncio.gather(*futures)
        return [
            (future.id, [state.id for state in future.history]) for future in futures
        ]

    first, second = await main(), await main()

    runs = [run for run, _ in (*first, *second)]
    states = [state for _, states in (*first, *second) for state in states]
    assert len(set(runs)) == 200
    assert len(set(states)) == 600
    assert all(str(UUID(each)) == each for each in (*runs, *states))


@pytest.mark.rule("ST-07")
async def test_every_state_names_its_run_and_flow_run() -> None:
    @flow
    async def main() -> Any:
        future = await task(retries=1)(fail).submit()
        await future.astate()
        return future.id, [state.state_details for state in future.history]

    state = await main(return_state=True)
    run_id, details = state.result()

    assert {each.task_run_id for each in details} == {run_id}
    assert {each.flow_run_id for each in details} == {state.state_details.flow_run_id}
    assert state.state_details.task_run_id is None


@pytest.mark.rule("HIST-12")
async def test_a_flow_run_goes_through_its_states() -> None:
    recorder = Recorder()

    @flow
    async def good() -> int:
        return 1

    @flow
    async def bad() -> None:
        raise KeyError("k")

    async with Runtime(observers=[recorder]):
        await good()
        state = await bad(return_state=True)

    assert recorder.path[:3] == ["Pending", "Running", "Completed"]
    assert recorder.path[3:] == ["Pending", "Running", "Failed"]
    assert state.message == "Flow run encountered an exception. KeyError: 'k'"


@pytest.mark.rule("SRES-04", "FINAL-02")
async def test_a_failed_state_without_an_exception_raises_its_text() -> None:
    state = await state_of(lambda: Failed(message="no rows"))

    with pytest.raises(FailedRun, match="no rows"):
        state.result()
    assert isinstance(state.result(raise_on_failure=False), FailedRun)


async def test_an_allowed_failure_reaches_the_body_as_the_very_exception() -> None:
    async with Runtime():
        failed = await task(fail).submit()
        given = await task(lambda value: [value]).submit(allow_failure(failed))

        assert (await given)[0] is failed.state.data
