"""``runtime.runs``: what a runtime tells of its runs, and what it does not keep of them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
import tracemalloc
import weakref
from collections.abc import Generator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

import headrace
from headrace import Runtime, allow_failure, flow, task, temporary_settings
from headrace.exceptions import CancelledRun, CrashedRun, FailedRun, MissingResult
from headrace.runs import FlowRun, TaskRun
from headrace.states import Completed, StateType
from headrace.task_runners import ConcurrentTaskRunner

BOUND = 5  # seconds; nothing here comes near
GOOD = ["Pending", "Running", "Completed"]


class Payload:
    """An object whose end can be watched."""


@task(tags=["numbers", "odd"])
async def double(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


@task
def double_plainly(x: int) -> int:
    return 2 * x


@task(version="7")
async def fail(x: object = None) -> None:
    raise ValueError("boom")


@task
async def give(value: Any = None) -> Payload:
    return Payload()


@task(retries=2)
async def retried(x: object = None) -> None:
    raise ValueError("again")


@task
async def last(seconds: float = 100) -> None:
    await asyncio.sleep(seconds)


@flow
async def sum_up(x: int) -> int:
    return sum(await double.map(range(x)).aresult())


def names(runs: Any) -> list[str]:
    return [run.name for run in runs]


def states(run: Any) -> list[str]:
    return [state.name for state in run.history]


@pytest.fixture(autouse=True)
def _no_collector() -> Generator[None]:
    gc.disable()
    # The log that pytest keeps for a test holds its errors, and so their frames.
    logging.disable()
    yield
    logging.disable(logging.NOTSET)
    gc.enable()


# -- looking up ------------------------------------------------------------------------


async def test_runs_that_ended_are_told_after_their_futures_are_gone() -> None:
    async with Runtime() as runtime:
        await sum_up(2)
        await fail.submit()
        double_plainly(3)

    runs = list(runtime.runs)
    assert names(runs) == [
        "sum-up-0",
        "double-0",
        "double-1",
        "fail-0",
        "double_plainly-0",
    ]
    assert [type(run) for run in runs] == [FlowRun, *[TaskRun] * 4]
    assert [states(run) for run in runs] == [
        GOOD, GOOD, GOOD, ["Pending", "Running", "Failed"], GOOD
    ]  # fmt: skip
    assert len(runtime.runs) == 5
    assert names(reversed(runtime.runs)) == names(runs)[::-1]


async def test_every_fact_of_a_run_is_told_after_its_end() -> None:
    async with Runtime() as runtime:
        await fail.submit(1)
        await sum_up(1)

    (failed,) = runtime.runs.task_runs(task_name="fail")
    assert failed.task_key.endswith("fail")
    assert (failed.dynamic_key, failed.task_version, failed.run_count) == ("0", "7", 1)
    assert failed.tags == set()
    assert failed.flow_run_id is None
    assert failed.parameters == {}
    assert failed.start_time is not None
    assert failed.end_time is not None
    assert failed.expected_start_time <= failed.start_time <= failed.end_time
    took = failed.end_time - failed.start_time
    assert abs(failed.total_run_time - took) < timedelta(microseconds=3)
    (summed,) = runtime.runs.flow_runs()
    assert (summed.flow_name, summed.name, summed.run_count) == (
        "sum-up",
        "sum-up-0",
        1,
    )
    (doubled,) = runtime.runs.task_runs(task_name="double")
    assert doubled.flow_run_id == summed.id
    assert doubled.tags == {"numbers", "odd"}


async def test_runs_that_go_on_are_told_wherever_they_are() -> None:
    @task(retries=1, retry_delay_seconds=100)
    async def waits_for_retry() -> None:
        raise ValueError

    @flow
    async def inner() -> None:
        await last.with_options(name="in_place")(3)

    async with Runtime() as runtime:
        running = await last.submit(3)
        await last.submit(3, wait_for=[running])
        retrying = await waits_for_retry.submit()
        queued = last.map([3] * 100)
        body = asyncio.create_task(inner())
        assert [run.state_name for run in runtime.runs] == ["Pending"] * 103
        await asyncio.sleep(1)

        told = {run.name: run.state_name for run in runtime.runs}

        assert len(told) == 105
        assert told["last-0"] == told["last-101"] == "Running"
        assert told["last-1"] == "Pending"
        assert told["waits_for_retry-0"] == "AwaitingRetry"
        assert told["inner-0"] == told["in_place-0"] == "Running"
        retrying.cancel()
        await body
        await queued.aresult()
        assert told.keys() == {run.name for run in runtime.runs}


def test_plain_runs_that_go_on_are_told_in_threads_and_before_them() -> None:
    begun, release = threading.Event(), threading.Event()

    @task
    def blocked() -> None:
        begun.set()
        release.wait(BOUND)

    with Runtime(max_threads=1) as runtime:
        blocked.submit()
        blocked.submit()
        begun.wait(BOUND)

        told = [run.state_name for run in runtime.runs]
        release.set()

    assert told == ["Running", "Pending"]
    assert [run.state_name for run in runtime.runs] == ["Completed"] * 2


@pytest.mark.parametrize("as_uuid", [False, True])
async def test_a_run_is_found_by_its_id_before_and_after_its_end(as_uuid: bool) -> None:
    async with Runtime() as runtime:
        future, failing = await last.submit(5), await fail.submit()
        ids = [UUID(run.id) if as_uuid else run.id for run in (future, failing)]

        assert runtime.runs.get(ids[0]) == future.task_run
        await headrace.wait([future, failing])
        assert runtime.runs.get(ids[0]) == future.task_run
        view = future.task_run
        del future, failing

        found = [runtime.runs.get(each) for each in ids]
        assert [run and run.name for run in found] == ["last-0", "fail-0"]
        assert found[0] == view
        assert len({found[0], view}) == 1
        assert found[0] != found[1] != "fail-0"


async def test_an_id_of_no_run_gives_nothing() -> None:
    async with Runtime() as runtime:
        await double(1)

        assert runtime.runs.get(str(uuid4())) is None
        with pytest.raises(ValueError, match="badly formed"):
            runtime.runs.get("double-0")


FILTERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({}, ["double-0", "double-1", "fail-0", "double-0", "last-0"]),
    "name": ({"name": "double-0"}, ["double-0", "double-0"]),
    "task-name": ({"task_name": "double"}, ["double-0", "double-1", "double-0"]),
    "type": ({"state_type": StateType.FAILED}, ["fail-0"]),
    "type-as-text": ({"state_type": "RUNNING"}, ["last-0"]),
    "state-name": (
        {"state_name": "Completed"}, ["double-0", "double-1", "double-0"]
    ),
    "tag": ({"tag": "odd"}, ["double-0", "double-1", "double-0"]),
    "unknown-tag": ({"tag": "even"}, []),
    "two": ({"task_name": "double", "name": "double-1"}, ["double-1"]),
}  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), FILTERS.values(), ids=FILTERS.keys())
async def test_task_runs_are_chosen_by_what_is_given(
    given: dict[str, Any], expected: list[str]
) -> None:
    async with Runtime() as runtime:
        await sum_up(2)
        await (await fail.submit()).astate()
        await double(1)
        future = await last.submit()
        await asyncio.sleep(1)

        assert names(runtime.runs.task_runs(**given)) == expected
        future.cancel()


async def test_flow_runs_are_chosen_by_what_is_given() -> None:
    @flow
    async def failing() -> None:
        raise ValueError

    @flow
    async def outer() -> int:
        return await sum_up(1) + await sum_up(2)

    async with Runtime() as runtime:
        with headrace.tags("daily"):
            await outer()
        await failing(return_state=True)

    runs = runtime.runs
    (top,) = runs.flow_runs(name="outer-0")
    assert names(runs.flow_runs()) == ["outer-0", "sum-up-0", "sum-up-1", "failing-0"]
    assert names(runs.flow_runs(flow_name="sum-up")) == ["sum-up-0", "sum-up-1"]
    assert names(runs.flow_runs(state_type="FAILED")) == ["failing-0"]
    assert names(runs.flow_runs(state_name="Failed")) == ["failing-0"]
    assert names(runs.flow_runs(flow_run_id=top.id)) == ["sum-up-0", "sum-up-1"]
    assert names(runs.flow_runs(parent_run_id=top.id)) == ["sum-up-0", "sum-up-1"]
    (first, second) = runs.flow_runs(flow_name="sum-up")
    assert names(runs.task_runs(flow_run_id=second.id)) == ["double-0", "double-1"]
    assert names(runs.task_runs(parent_run_id=first.id)) == ["double-0"]
    assert names(runs.flow_runs(tag="daily")) == ["outer-0", "sum-up-0", "sum-up-1"]
    assert first.tags == {"daily"}
    assert len(runs.task_runs(tag="daily")) == len(runs.task_runs(tag="odd")) == 3


async def test_names_of_states_are_chosen_by_as_they_read() -> None:
    @task
    async def skip() -> Any:
        return Completed(name="Skipped")

    @task(timeout_seconds=1)
    async def slow() -> None:
        await asyncio.sleep(10)

    async with Runtime() as runtime:
        await skip()
        held = await give.submit(await fail.submit())
        await asyncio.wait([asyncio.create_task(slow(return_state=True))])
        cancelled = await last.submit()
        await asyncio.sleep(0.1)
        cancelled.cancel()
        await headrace.wait([held, cancelled])
        flaky = await task(retries=1, retry_delay_seconds=1)(fail.fn).submit()
        await asyncio.sleep(0.5)
        waiting = names(runtime.runs.task_runs(state_name="AwaitingRetry"))
        await flaky.astate()

        for state_name, expected in {
            "Skipped": ["skip-0"],
            "NotReady": ["give-0"],
            "TimedOut": ["slow-0"],
            "Cancelled": ["last-0"],
        }.items():
            assert names(runtime.runs.task_runs(state_name=state_name)) == expected
        assert waiting == ["fail-1"]


async def test_a_run_whose_last_hooks_go_on_is_told_and_not_lost() -> None:
    told: list[list[str]] = []

    async def look(_: object, run: Any, state: Any) -> None:
        await asyncio.sleep(1)
        told.append([run.name for run in runtime.runs.task_runs()])

    hooked = double.with_options(on_completion=[look], on_cancellation=[look])

    async with Runtime() as runtime:
        await (await hooked.submit(1))
        await hooked(2)
        first = await last.submit(10)
        waiting = await hooked.submit(3, wait_for=[first])
        waiting.cancel()
        await waiting.astate()
        first.cancel()

    assert told == [
        ["double-0"],
        ["double-0", "double-1"],
        ["double-0", "double-1", "last-0", "double-2"],
    ]
    (run,) = runtime.runs.task_runs(name="double-0")
    assert run.end_time is not None
    assert run.total_run_time.total_seconds() < 0.5


async def test_runs_are_told_by_the_names_that_they_were_given() -> None:
    named = double.with_options(task_run_name="double-of-{x}")

    async with Runtime() as runtime:
        await named(3)
        await named.submit(4)

    assert names(runtime.runs) == ["double-of-3", "double-of-4"]
    assert len(runtime.runs.task_runs(name="double-of-4", task_name="double")) == 1


async def test_a_run_is_told_once_over_the_attempts_of_its_flow() -> None:
    attempts = 0

    @flow(retries=1)
    async def main() -> None:
        nonlocal attempts
        attempts += 1
        await (await double.submit(1))
        if attempts == 1:
            await last.submit(100)
            await asyncio.sleep(1)
            raise ValueError
        assert sorted(names(runtime.runs)) == ["double-0", "last-0", "main-0"]

    async with Runtime() as runtime:
        await main()

    (flow_run,) = runtime.runs.flow_runs()
    assert states(flow_run) == [
        "Pending",
        "Running",
        "AwaitingRetry",
        "Running",
        "Completed",
    ]
    assert sorted(names(runtime.runs.task_runs())) == ["double-0", "last-0"]
    (doubled,) = runtime.runs.task_runs(name="double-0")
    assert doubled.state_name == "Completed"


async def test_a_filter_that_makes_no_sense_is_an_error() -> None:
    async with Runtime() as runtime:
        with pytest.raises(ValueError, match="DONE"):
            runtime.runs.task_runs(state_type="DONE")
        choose: Any = runtime.runs.task_runs
        with pytest.raises(TypeError, match="colour"):
            choose(colour="red")


async def test_choosing_runs_makes_no_states_of_them() -> None:
    async with Runtime() as runtime:
        futures = await double.map(range(10))
        await futures.aresult()
        runtime.runs.task_runs(state_type="COMPLETED", state_name="Completed")

        assert [future.log for future in futures] == [None] * 10


async def test_looking_at_the_record_of_a_failure_is_not_asking_for_it() -> None:
    @flow
    async def main() -> None:
        await fail.submit()
        await asyncio.sleep(1)
        (run,) = runtime.runs.task_runs()
        _ = run.state, run.history

    async with Runtime() as runtime:
        with pytest.raises(ValueError, match="boom"):
            await main()


# -- threads and loops -----------------------------------------------------------------


def test_what_this_thread_has_submitted_is_found_at_once() -> None:
    with Runtime() as runtime:
        for number in range(200):
            future = double_plainly.submit(number)
            assert runtime.runs.get(future.id) == future.task_run
        mapped = double_plainly.map(range(1_000))
        assert len(runtime.runs) == 1_200
        mapped.wait()


@pytest.mark.slow
@pytest.mark.real_loops
async def test_a_run_is_found_from_another_thread_at_any_time() -> None:
    missed: list[str] = []
    done = threading.Event()
    ids: list[str] = []

    def watch() -> None:
        while not done.is_set():
            missed.extend(each for each in ids[-5:] if runtime.runs.get(each) is None)

    async with Runtime() as runtime:
        watcher = threading.Thread(target=watch)
        watcher.start()
        for number in range(300):
            future = await double.submit(number)
            ids.append(future.id)
            await future
            await (await double_plainly.submit(number))
        done.set()
        await asyncio.to_thread(watcher.join, BOUND)

    assert ids
    assert missed == []


def test_a_loop_that_does_not_answer_is_not_waited_for_long() -> None:
    looked: list[list[str]] = []

    @task
    def look() -> None:
        looked.append(names(runtime.runs))

    @flow
    def plain() -> None:
        look.submit().wait()

    @flow
    async def main() -> None:
        plain()  # holds the loop of this flow until its task has ended

    runtime = Runtime()

    async def run() -> None:
        async with runtime:
            await main()

    asyncio.run(run())

    assert looked == [["main-0", "plain-0", "look-0"]]


async def test_a_plain_flow_on_a_loop_of_its_own_is_in_the_same_records() -> None:
    @flow
    def plain() -> list[int]:
        return double_plainly.map([1, 2]).result()

    async with Runtime() as runtime:

        @flow
        async def main() -> list[int]:
            return plain()

        await main()

    assert names(runtime.runs) == [
        "main-0",
        "plain-0",
        "double_plainly-0",
        "double_plainly-1",
    ]
    (of_plain,) = runtime.runs.flow_runs(flow_name="plain")
    (of_main,) = runtime.runs.flow_runs(flow_name="main")
    assert of_plain.parent_run_id == of_main.id
    assert len(runtime.runs.task_runs(flow_run_id=of_plain.id)) == 2


async def test_code_that_joined_the_runtime_is_recorded_and_other_code_is_not() -> None:
    runtime, other = Runtime(), Runtime()

    def joined() -> None:
        with runtime.use():
            double_plainly(1)

    async with runtime:
        await asyncio.to_thread(joined)
        async with other:
            await double(1)
    await double(5)
    await sum_up(1)

    assert names(runtime.runs) == ["double_plainly-0"]
    assert names(other.runs) == ["double-0"]


async def test_a_runtime_that_was_not_entered_has_no_runs() -> None:
    runs = Runtime().runs

    assert list(runs) == []
    assert len(runs) == 0
    assert repr(runs) == "<Runs: 0>"


def test_a_runtime_that_is_entered_again_still_tells_of_earlier_runs() -> None:
    runtime = Runtime()
    for number in range(3):
        with runtime:
            double_plainly.submit(number).wait()

    runs = runtime.runs.task_runs()
    assert names(runs) == ["double_plainly-0"] * 3
    assert [run.state.result() for run in runs] == [0, 2, 4]
    assert len({run.id for run in runs}) == 3


# -- how much is kept ------------------------------------------------------------------


async def test_the_oldest_of_too_many_are_dropped_and_none_that_goes_on() -> None:
    with temporary_settings(max_run_records=3):
        async with Runtime() as runtime:
            going_on = await last.submit(1)
            for number in range(5):
                await double(number)
            await sum_up(1)

            told = names(runtime.runs)
            await going_on

    assert told == ["last-0", "double-4", "sum-up-0", "double-0"]


async def test_no_ended_run_is_kept_where_none_may_be() -> None:
    with temporary_settings(max_run_records=0):
        async with Runtime() as runtime:
            await double(1)
            future = await last.submit(1)

            assert names(runtime.runs) == ["last-0"]
            await future

    assert names(runtime.runs) == []


async def test_runs_that_are_told_no_more_are_freed() -> None:
    with temporary_settings(max_run_records=10):
        async with Runtime() as runtime:
            for kind in (double, retried):
                futures = await kind.map(range(1_500))
                refs = [weakref.ref(future) for future in futures]
                await headrace.wait(futures)
                del futures
                await settled()

                # The oldest of those that are light are dropped many at a time.
                alive = sum(each() is not None for each in refs)
                assert alive <= (600 if kind is double else 0)
                assert len(runtime.runs) == 10


@pytest.mark.slow
def test_ten_thousand_runs_are_kept_by_default() -> None:
    with Runtime() as runtime:
        double_plainly.map(range(10_100)).wait()

    assert len(runtime.runs) == 10_000


async def test_history_last_tells_only_the_last_state() -> None:
    async with Runtime(history="last") as runtime:
        await retried.submit()
        await double(1)
        future = await last.submit(2)
        await asyncio.sleep(1)
        going_on = runtime.runs.get(future.id)
        assert going_on is not None
        assert states(going_on) == ["Running"]
        assert states(future) == ["Pending", "Running"]

    assert [states(run) for run in runtime.runs] == [
        ["Failed"],
        ["Completed"],
        ["Completed"],
    ]
    (run,) = runtime.runs.task_runs(task_name="retried")
    assert (run.run_count, run.state.message) == (
        3, "Task run encountered an exception ValueError: again"
    )  # fmt: skip


async def test_history_full_tells_every_attempt() -> None:
    async with Runtime() as runtime:
        await retried.submit()

    (run,) = runtime.runs
    assert states(run) == [
        "Pending", "Running", "AwaitingRetry", "Retrying", "AwaitingRetry", "Retrying",
        "Failed",
    ]  # fmt: skip
    retry = run.history[2]
    assert retry.message == "Task run encountered an exception ValueError: again"
    assert retry.state_details.scheduled_time is not None
    assert [state.data for state in run.history] == [None] * 7


@pytest.mark.parametrize("how", ["argument", "setting"])
async def test_history_off_says_that_there_is_none(how: str) -> None:
    with temporary_settings(history="off" if how == "setting" else "full"):
        async with Runtime(history="off" if how == "argument" else None) as runtime:
            future = await double.submit(1)
            await future

            with pytest.raises(RuntimeError, match="history='off'"):
                _ = runtime.runs
            assert states(future) == GOOD


async def test_the_argument_goes_before_the_setting() -> None:
    with temporary_settings(history="off"):
        async with Runtime(history="full") as runtime:
            await double(1)

    assert [states(run) for run in runtime.runs] == [GOOD]


def test_a_history_of_another_kind_is_refused() -> None:
    wrong: Any = "some"

    with pytest.raises(ValueError, match=r"history='some'.*full, last, off"):
        Runtime(history=wrong)


# -- nothing of the user's is kept -----------------------------------------------------


async def settled() -> None:
    """Let callbacks run that were due."""
    for _ in range(3):
        await asyncio.sleep(0.1)


def watched(refs: list[weakref.ref[Any]]) -> Payload:
    payload = Payload()
    refs.append(weakref.ref(payload))
    return payload


@task
def plain_zero(x: object) -> int:
    return 0


KINDS = [plain_zero, give, fail, retried]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("door", ["submit", "map", "call"])
async def test_arguments_values_and_errors_die_though_their_run_is_recorded(
    kind: Any, door: str
) -> None:
    refs: list[weakref.ref[Any]] = []

    async def use() -> None:
        argument: Any = [1, watched(refs)]
        try:
            if door == "submit":
                value = await (await kind.submit(argument))
            elif door == "map":
                (state,) = await kind.map([argument]).astate()
                value = state.data
            else:
                value = await kind.acall(argument)
            refs.append(weakref.ref(value) if isinstance(value, Payload) else refs[0])
        except ValueError:
            refs.append(refs[0])  # in the frames that the error passed

    async with Runtime() as runtime:
        await use()
        await settled()

        assert len(refs) == 2
        assert [each() for each in refs] == [None, None]
        assert len(runtime.runs) == 1


async def test_a_flow_that_was_recorded_keeps_nothing() -> None:
    refs: list[weakref.ref[Any]] = []

    @flow
    async def main(payload: Payload, ends: str) -> Any:
        await fail.submit(payload)
        if ends == "raises":
            raise ValueError("boom")
        return watched(refs) if ends == "returns" else None

    async def use(ends: str) -> None:
        with contextlib.suppress(ValueError):
            await main(watched(refs), ends)

    async with Runtime() as runtime:
        for ends in ("returns", "raises", "fails"):
            await use(ends)
        await settled()

        assert len(refs) == 4
        assert [each() for each in refs] == [None] * 4
        assert len(runtime.runs.flow_runs()) == 3


async def test_what_a_flow_remembered_for_another_attempt_is_not_kept() -> None:
    refs: list[weakref.ref[Any]] = []

    @flow(retries=1)
    async def main() -> int:
        await double(1)
        refs.append(weakref.ref(await give()))
        return 1

    async with Runtime() as runtime:
        await main()
        await settled()

        assert [each() for each in refs] == [None]
        assert len(runtime.runs) == 3


async def test_the_runner_of_a_flow_that_was_recorded_is_not_kept() -> None:
    refs: list[weakref.ref[Any]] = []

    class Runner(ConcurrentTaskRunner):
        def duplicate(self) -> Runner:
            copy = Runner()
            refs.append(weakref.ref(copy))
            return copy

    @flow(task_runner=Runner())
    async def main() -> None:
        await (await double.submit(1))

    async with Runtime() as runtime:
        await main()
        await settled()

        assert [each() for each in refs] == [None]
        assert len(runtime.runs) == 2


class Loop(asyncio.SelectorEventLoop):
    """Can be weakly referenced."""


def test_a_loop_that_a_recorded_flow_has_blocked_is_not_kept() -> None:
    refs: list[weakref.ref[Any]] = []

    @flow
    def plain() -> None:
        double_plainly.submit(2).wait()

    async def main() -> None:
        plain()

    def on_loop_of_its_own() -> None:
        with contextlib.closing(Loop()) as loop:
            refs.append(weakref.ref(loop))
            loop.run_until_complete(main())

    with Runtime() as runtime:
        on_loop_of_its_own()
        gc.collect()

        assert [each() for each in refs] == [None]
        assert len(runtime.runs) == 2


async def test_a_loop_of_a_flow_that_was_recorded_is_not_kept() -> None:
    refs: list[weakref.ref[Any]] = []

    @flow
    def plain() -> None:
        double_plainly(1)
        double_plainly.submit(2).wait()

    @flow
    async def main() -> None:
        plain()
        await double(1)

    def on_loop_of_its_own() -> None:
        with runtime.use(), contextlib.closing(Loop()) as loop:
            refs.append(weakref.ref(loop))
            loop.run_until_complete(main())

    async with Runtime() as runtime:
        await asyncio.to_thread(on_loop_of_its_own)
        await settled()
        gc.collect()

        assert [each() for each in refs] == [None]
        assert len(runtime.runs) == 5


async def test_the_functions_of_recorded_runs_are_not_kept() -> None:
    refs: list[weakref.ref[Any]] = []

    async def use() -> None:
        held = watched(refs)

        async def body(x: int) -> int:
            return x if held else 0

        async def with_default(x: int, y: Payload = watched(refs)) -> int:  # noqa: B008
            return x

        class Service:
            @task
            async def method(self, x: int) -> int:
                return x

        service = Service()
        refs.append(weakref.ref(service))
        hooked = double.with_options(retry_condition_fn=lambda *_: bool(held))
        for kind in (task(body), task(with_default), service.method, hooked):
            await (await kind.submit(1))
            await kind(1)

    async with Runtime() as runtime:
        await use()
        await settled()
        gc.collect()  # a task and its options refer to each other

        assert [each() for each in refs] == [None] * 3
        assert len(runtime.runs) == 8


async def test_what_was_not_kept_says_so_when_it_is_asked_for() -> None:
    @task
    async def crash() -> None:
        raise SystemExit(3)

    async with Runtime() as runtime:
        await give.submit()
        await fail.submit()
        await crash.submit()
        (await last.submit()).cancel()
        await double.submit(4)
        for text in ("short", "long" * 100):
            await task(lambda text: text).submit(text)

    given, failed, crashed, cancelled, doubled, short, long = [
        run.state for run in runtime.runs
    ]
    with pytest.raises(MissingResult, match="keeps states and messages, no values"):
        given.result()
    with pytest.raises(MissingResult, match="keeps states and messages, no values"):
        await given.aresult()
    assert "<not kept>" in repr(given)
    with pytest.raises(FailedRun, match="exception ValueError: boom"):
        failed.result()
    with pytest.raises(CrashedRun, match="Python system exit call"):
        crashed.result()
    with pytest.raises(CancelledRun, match="was cancelled"):
        cancelled.result()
    assert [failed.data, crashed.data, cancelled.data] == [None] * 3
    # Numbers, booleans, None and short texts are kept.
    assert (doubled.result(), short.result()) == (8, "short")
    with pytest.raises(MissingResult):
        long.result()


async def test_a_record_is_whole_while_somebody_holds_its_future() -> None:
    async with Runtime() as runtime:
        given, failed = await give.submit(), await fail.submit()
        value = await given
        await failed.astate()

        first, second = runtime.runs

        assert first.state.result() is value
        assert first.history == given.history
        assert isinstance(second.state.data, ValueError)
        assert (first, second) == (given.task_run, failed.task_run)


async def test_a_record_and_the_future_of_a_run_tell_the_same() -> None:
    def facts(run: Any) -> list[Any]:
        return [
            run.id, run.name, run.run_count, run.task_inputs, run.parent_run_id,
            run.start_time, run.end_time, run.total_run_time, run.task_key,
            [(s.name, s.type, s.at, s.message, s.state_details) for s in run.history],
        ]  # fmt: skip

    async def wait_a_moment(*_: object) -> None:
        threading.Event().wait(0.01)

    async with Runtime() as runtime:
        upstream = await double.submit(1)
        hooked = give.with_options(on_completion=[wait_a_moment])
        futures = [
            await kind.submit(allow_failure(upstream))
            for kind in (give, fail, retried, hooked)
        ]
        await headrace.wait(futures)
        before = [facts(future.task_run) for future in futures]
        refs = [weakref.ref(future) for future in futures]
        del futures
        await settled()

        assert [each() for each in refs] == [None] * 4
        after = [facts(run) for run in runtime.runs][1:]

    for details in (before[0][-1][-1][-1], after[0][-1][-1][-1]):
        details.untrackable_result = None
    assert after == before


@pytest.mark.parametrize("how", ["plain", "coroutine"])
async def test_a_runtime_that_is_dropped_frees_its_runs(how: str) -> None:
    refs: list[weakref.ref[Any]] = []

    async def use() -> None:
        runtime = Runtime()
        if how == "plain":
            with runtime:
                refs.extend(weakref.ref(f) for f in double_plainly.map([1, 2]))
                refs.append(weakref.ref(fail.submit().future))
        else:
            async with runtime:
                refs.extend(weakref.ref(f) for f in await double.map([1, 2]))
                refs.append(weakref.ref(await fail.submit()))
                await sum_up(1)
        assert len(runtime.runs) in (3, 5)
        refs.append(weakref.ref(runtime))

    await use()
    await settled()

    assert [each() for each in refs] == [None] * 4


@pytest.mark.slow
@pytest.mark.parametrize("how", ["one-by-one", "mapped"])
async def test_large_values_that_were_dropped_take_no_memory(how: str) -> None:
    @task
    async def large(x: int) -> bytes:
        await asyncio.sleep(0)
        return b"x" * 1_000_000

    async with Runtime() as runtime:
        tracemalloc.start()
        if how == "mapped":
            large.map(range(5_000))
            await asyncio.sleep(1)  # virtual: until all have ended
        else:
            for number in range(5_000):
                await (await large.submit(number))
        grown = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()

        assert grown < 10_000_000
        assert len(runtime.runs) == 5_000
