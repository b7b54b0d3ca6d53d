"""What ended runs leave in memory: nothing that waits for the garbage collector.

But records: these are in `test_records.py`, and switched off here.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
import weakref
from collections.abc import Callable, Generator
from typing import Any

import pytest

import headrace
from headrace import Limit, Runtime, TaskFuture, allow_failure, flow, task
from headrace.exceptions import UpstreamTaskError

BOUND = 5  # seconds; nothing here comes near


class Payload:
    """An argument whose end can be watched."""


@task
def keep_nothing(payload: Payload) -> int:
    return 1


@task
async def keep_nothing_on_loop(payload: Payload) -> int:
    await asyncio.sleep(0)
    return 1


@task
def fail(payload: Payload) -> int:
    raise ValueError("boom")


@task
async def fail_on_loop(payload: Payload) -> int:
    await asyncio.sleep(0)
    raise ValueError("boom")


@task(retries=2)
def fail_again(payload: Payload) -> int:
    raise ValueError("boom")


@task(retries=2)
async def fail_again_on_loop(payload: Payload) -> int:
    raise ValueError("boom")


@task
def crash(payload: Payload) -> int:
    raise SystemExit(1)


@task
async def crash_on_loop(payload: Payload) -> int:
    raise SystemExit(1)


@task(timeout_seconds=100)
async def fail_under_limit(payload: Payload) -> int:
    raise ValueError("boom")


PLACES = Limit(2, rate="1000/s", burst=100, key=lambda parameters: 1)


@task(concurrency_limit=PLACES)
async def keep_nothing_in_a_place(payload: Payload) -> int:
    return 1


@task(concurrency_limit=PLACES, retries=1)
def fail_in_a_place(payload: Payload) -> int:
    raise ValueError("boom")


@task(concurrency_limit=PLACES, retries=1)
async def fail_in_a_place_on_loop(payload: Payload) -> int:
    raise ValueError("boom")


COMPLETING = [keep_nothing, keep_nothing_on_loop, keep_nothing_in_a_place]
FAILING = [
    fail, fail_on_loop, fail_again, fail_again_on_loop, crash, crash_on_loop,
    fail_under_limit, fail_in_a_place, fail_in_a_place_on_loop,
]  # fmt: skip
EVERY_TASK = pytest.mark.parametrize(
    "kind", [*COMPLETING, *FAILING], ids=lambda kind: kind.name
)
EVERY_FAILING_TASK = pytest.mark.parametrize(
    "kind", FAILING, ids=lambda kind: kind.name
)


@pytest.fixture(autouse=True)
def _no_collector() -> Generator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(autouse=True)
def _records_are_written_and_not_kept() -> Generator[None]:
    # The log that pytest keeps for a test holds its errors, and so their frames.
    def write(record: logging.LogRecord) -> bool:
        logging.Formatter().format(record)
        return False

    loggers = [logging.getLogger(f"headrace.{kind}_runs") for kind in ("task", "flow")]
    for logger in loggers:
        logger.addFilter(write)
    yield
    for logger in loggers:
        logger.removeFilter(write)


def submitted(kind: Any, refs: list[weakref.ref[Any]], **options: Any) -> Any:
    """A submission whose run and argument are watched."""
    payload = Payload()
    submission = kind.submit(payload, **options)
    refs += [weakref.ref(payload), weakref.ref(submission.future)]
    return submission


def are_gone(refs: list[weakref.ref[Any]]) -> bool:
    assert refs
    return all(ref() is None for ref in refs)


async def settled() -> None:
    """Let callbacks run that were due; worker threads let go of their last job."""
    for _ in range(3):
        await asyncio.sleep(0.1)


# -- runs ------------------------------------------------------------------------------


# Each takes the only future from a list, so that no frame in the trace of an error
# holds it: what code keeps in its own variables is its own affair.


async def look_away(only: list[Any]) -> None:
    await headrace.wait([only.pop()])


async def await_it(only: list[Any]) -> None:
    with contextlib.suppress(Exception):
        await only.pop()


async def ask_for_result(only: list[Any]) -> None:
    with contextlib.suppress(Exception):
        await only.pop().aresult()


async def read_result(only: list[Any]) -> None:
    await only.pop().aresult(raise_on_failure=False)


async def read_states(only: list[Any]) -> None:
    future = only.pop()
    await future.astate()
    assert len(future.history) >= 3
    _ = future.task_run, future.state.id, str(future.state)


async def feed(only: list[Any]) -> None:
    await (await task(lambda value: None).submit(allow_failure(only.pop()))).astate()


async def hold_back(only: list[Any]) -> None:
    with contextlib.suppress(UpstreamTaskError):
        await (await task(lambda value: None).submit(only.pop()))


@EVERY_TASK
@pytest.mark.parametrize(
    "use",
    [
        look_away,
        await_it,
        ask_for_result,
        read_result,
        read_states,
        feed,
        hold_back,
    ],
    ids=lambda use: use.__name__,
)
async def test_an_ended_run_is_freed_when_its_future_is_dropped(
    kind: Any, use: Any
) -> None:
    refs: list[weakref.ref[Any]] = []
    async with Runtime(history="off"):
        await use([await submitted(kind, refs)])
        await settled()

        assert are_gone(refs)


@EVERY_TASK
async def test_the_runs_of_a_map_are_freed_when_its_list_is_dropped(kind: Any) -> None:
    async with Runtime(history="off"):
        payload = Payload()
        futures = kind.map([payload])
        refs: list[weakref.ref[Any]] = [weakref.ref(payload), weakref.ref(futures[0])]
        del payload

        with contextlib.suppress(Exception):
            await futures.aresult()
        del futures
        await settled()

        assert are_gone(refs)


@EVERY_TASK
def test_so_they_are_in_plain_code(kind: Any) -> None:
    with Runtime(history="off"):
        payload = Payload()
        futures = kind.map([payload])
        refs: list[weakref.ref[Any]] = [weakref.ref(payload), weakref.ref(futures[0])]
        del payload

        with contextlib.suppress(BaseException):
            futures.result()
        del futures

    assert are_gone(refs)


@task
async def sleep_long(payload: Payload) -> None:
    await asyncio.sleep(3600)


async def test_what_a_cancelled_body_had_in_hand_is_freed_though_its_future_is_kept() -> (
    None
):
    refs: list[weakref.ref[Any]] = []
    async with Runtime():
        future = await submitted(sleep_long, refs)
        await settled()

        future.cancel()
        await headrace.wait([future])
        await settled()

        assert are_gone(refs[:1])
        assert future.state.is_cancelled()


@EVERY_TASK
def test_an_ended_run_is_freed_in_plain_code_too(kind: Any) -> None:
    refs: list[weakref.ref[Any]] = []

    def use() -> None:
        future = submitted(kind, refs)
        state = future.wait(BOUND)
        del state
        only = [future]
        del future
        with contextlib.suppress(Exception):
            only.pop().value()

    with Runtime(history="off"):
        use()
        task(lambda: None).submit().wait()  # the thread lets go of its last job

        assert are_gone(refs)


@EVERY_TASK
async def test_a_dropped_run_is_freed_by_the_end_of_its_flow(kind: Any) -> None:
    refs: list[weakref.ref[Any]] = []

    @flow
    async def main() -> int:
        submitted(kind, refs)
        return 1

    assert await main() == 1
    assert are_gone(refs)


@EVERY_FAILING_TASK
async def test_a_run_whose_failure_failed_its_flow_is_freed_with_the_flow(
    kind: Any,
) -> None:
    refs: list[weakref.ref[Any]] = []

    @flow
    async def main() -> None:
        submitted(kind, refs)

    async def call() -> None:
        with contextlib.suppress(Exception):
            await main()

    await call()

    assert are_gone(refs)


@pytest.mark.parametrize("kind", COMPLETING, ids=lambda kind: kind.name)
async def test_arguments_die_with_their_run_though_its_future_is_kept(
    kind: Any,
) -> None:
    refs: list[weakref.ref[Any]] = []
    async with Runtime(history="off"):
        futures = [await submitted(kind, refs) for _ in range(10)]
        await headrace.wait(futures)
        await settled()

        assert are_gone(refs[::2])
        assert [ref() for ref in refs[1::2]] == futures


async def test_arguments_of_a_cancelled_run_die_with_it() -> None:
    refs: list[weakref.ref[Any]] = []

    @task
    async def wait_long(payload: Payload) -> None:
        # Not a sleep: its frame, in the trace of the cancellation, holds a timer, and
        # that the context of the run.
        await asyncio.get_running_loop().create_future()

    async with Runtime(history="off"):
        running = await submitted(wait_long, refs)
        waiting = await submitted(wait_long, refs, wait_for=[running])
        await asyncio.sleep(1)
        waiting.cancel()
        running.cancel()
        await headrace.wait([running, waiting])
        await settled()

        del running, waiting
        assert are_gone(refs)


async def test_arguments_of_a_cancelled_run_die_though_its_upstream_goes_on() -> None:
    refs: list[weakref.ref[Any]] = []

    @task
    async def wait_long() -> None:
        await asyncio.sleep(100)

    async with Runtime(history="off"):
        upstream = await wait_long.submit()

        async def cancelled() -> None:
            future = await submitted(keep_nothing_on_loop, refs, wait_for=[upstream])
            future.cancel()
            await future.astate()

        for _ in range(5):
            await cancelled()
        await settled()

        assert not upstream.done()
        assert are_gone(refs[::2])


# -- in place --------------------------------------------------------------------------


@EVERY_TASK
async def test_a_run_in_place_leaves_nothing(kind: Any) -> None:
    refs: list[weakref.ref[Any]] = []

    async def use() -> None:
        payload = Payload()
        refs.append(weakref.ref(payload))
        with contextlib.suppress(Exception):
            await kind.acall(payload)

    await use()
    async with Runtime(history="off"):
        await use()
        await settled()

        assert are_gone(refs)


@pytest.mark.parametrize(
    "kind",
    [keep_nothing, fail, fail_again, fail_in_a_place],
    ids=lambda kind: kind.name,
)
def test_a_called_run_leaves_nothing(kind: Any) -> None:
    refs: list[weakref.ref[Any]] = []

    def use() -> None:
        payload = Payload()
        refs.append(weakref.ref(payload))
        with contextlib.suppress(ValueError):
            kind(payload)

    use()
    flow(use)()
    with Runtime(history="off"):
        use()

    assert are_gone(refs)


@pytest.mark.parametrize("ends", ["returns", "raises", "fails"])
@pytest.mark.parametrize("limit", [None, 100])
async def test_a_coroutine_flow_leaves_nothing(ends: str, limit: float | None) -> None:
    refs: list[weakref.ref[Any]] = []

    @flow(timeout_seconds=limit)
    async def main(payload: Payload) -> int | None:
        submitted(keep_nothing_on_loop, refs)
        if ends == "raises":
            raise ValueError("boom")
        if ends == "fails":
            submitted(fail_on_loop, refs)
            return None
        return 1

    async def use() -> None:
        payload = Payload()
        refs.append(weakref.ref(payload))
        with contextlib.suppress(ValueError):
            await main(payload)

    await use()
    async with Runtime(history="off"):
        await use()
        assert are_gone(refs)

    assert are_gone(refs)


@pytest.mark.parametrize("ends", ["returns", "raises", "fails"])
def test_a_plain_flow_leaves_nothing(ends: str) -> None:
    refs: list[weakref.ref[Any]] = []

    @flow
    def main(payload: Payload) -> int | None:
        submitted(keep_nothing, refs)
        if ends == "raises":
            raise ValueError("boom")
        if ends == "fails":
            submitted(fail, refs)
            return None
        return 1

    def use() -> None:
        payload = Payload()
        refs.append(weakref.ref(payload))
        with contextlib.suppress(ValueError):
            main(payload)

    use()
    with Runtime(history="off", max_threads=1):
        use()
        task(lambda: None).submit().wait()  # the thread lets go of its last job

        assert are_gone(refs)


# -- what hangs on to a run ------------------------------------------------------------


async def test_waits_and_callbacks_are_freed_with_the_end_of_the_run() -> None:
    refs: list[weakref.ref[Any]] = []

    def watch(future: TaskFuture[int]) -> None:
        def callback(_: object) -> None: ...

        future.add_done_callback(callback)
        refs.append(weakref.ref(callback))

    async with Runtime(history="off"):
        future = await keep_nothing_on_loop.submit(Payload())
        watch(future)
        await future
        watch(future)
        await settled()

        assert are_gone(refs)


async def test_an_iteration_that_was_left_is_freed_while_the_runs_go_on() -> None:
    @task
    async def wait_long() -> None:
        await asyncio.sleep(100)

    async with Runtime(history="off"):
        futures = [await wait_long.submit() for _ in range(3)]

        def left() -> weakref.ref[Any]:
            iteration = aiter(headrace.as_completed(futures))
            return weakref.ref(iteration)

        ref = left()

        assert ref() is None
        await settled()
        assert not any(future.waiters for future in futures)


def test_a_thread_that_idles_keeps_nothing_of_its_last_job() -> None:
    refs: list[weakref.ref[Any]] = []
    with Runtime(history="off", max_threads=1):
        submitted(fail, refs).future.wait(BOUND)
        idle = threading.Event()
        task(idle.set).submit().wait(BOUND)

        assert idle.is_set()
        assert are_gone(refs)


def test_the_watched_objects_do_live_as_long_as_somebody_holds_them() -> None:
    refs: list[weakref.ref[Any]] = []
    with Runtime(history="off"):
        future = submitted(fail, refs)
        future.wait(BOUND)

        holds: Callable[[], list[Any]] = lambda: [ref() for ref in refs]  # noqa: E731
        assert None not in holds()
        del future
