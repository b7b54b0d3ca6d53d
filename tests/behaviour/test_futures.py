"""Futures: how they are waited for, read, cancelled, and what kind of object they are."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import logging
import math
import pickle
import threading
import traceback
from collections.abc import Callable
from typing import Any
from uuid import UUID

import anyio
import cloudpickle
import pytest

from headrace import Runtime, Submission, TaskFuture, flow, task
from headrace.exceptions import (
    BlockedLoop,
    CancelledRun,
    CrashedRun,
    UpstreamTaskError,
)
from headrace.futures import AsyncSubmission, AsyncTaskFuture
from headrace.states import StateType

BOUND = 5  # seconds; nothing here comes near


@task
def add(x: int, y: int) -> int:
    return x + y


@task
async def double(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


@task
async def sleep_for(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@task
async def wait_for_event(event: asyncio.Event) -> str:
    await event.wait()
    return "done"


@task
def block_for_event(event: threading.Event) -> str:
    assert event.wait(BOUND)
    return "done"


@task
def fail(text: str) -> None:
    raise ValueError(text)


@task
async def fail_soon(text: str) -> None:
    await asyncio.sleep(0)
    raise ValueError(text)


def on_thread(act: Callable[[], Any]) -> Any:
    """What a function gives, or raises, in a thread made by hand."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(act())
        except BaseException as error:  # noqa: BLE001 - handed to the test
            outcome.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,))
    thread.start()
    thread.join(BOUND)
    assert outcome, "the thread did not end"
    return outcome[0]


# -- awaiting --------------------------------------------------------------------------


@pytest.mark.rule("FUT-04", "FUT-06")
async def test_awaiting_a_future_gives_its_value_any_number_of_times() -> None:
    async with Runtime():
        future = await double.submit(21)

        values = [await future, await future, await future.aresult(), future.value()]

    assert values == [42] * 4


@pytest.mark.rule("FUT-06")
async def test_every_look_at_a_value_gives_the_same_object() -> None:
    made = object()

    async with Runtime():
        future = await task(lambda: made).submit()

        assert await future is made
        assert await future is made
        assert future.value() is made
        assert future.state.result() is made


async def test_awaiting_a_submission_gives_the_same_future_each_time() -> None:
    async with Runtime():
        submission = double.submit(1)

        futures = [await submission, await submission, await submission]

        assert futures[0] is futures[1] is futures[2]
        assert await futures[0] == 2


async def test_submissions_can_be_gathered_for_futures_and_those_for_values() -> None:
    async with Runtime():
        futures = await asyncio.gather(*[double.submit(i) for i in range(5)])

        values = await asyncio.gather(*futures)

    assert values == [0, 2, 4, 6, 8]


async def test_a_thousand_tasks_may_await_one_future() -> None:
    async with Runtime():
        future = await sleep_for.submit(3600)

        values = await asyncio.gather(*[future] * 1000)

    assert values == [3600] * 1000


async def test_wait_for_of_asyncio_leaves_the_run_alone_when_time_runs_out() -> None:
    async with Runtime():
        future = await sleep_for.submit(10)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 1)

        assert not future.done()
        assert await future == 10


async def test_a_shielded_future_can_be_awaited_after_the_shield_was_cancelled() -> (
    None
):
    async with Runtime():
        future = await sleep_for.submit(10)

        with anyio.move_on_after(1):
            await asyncio.shield(future)

        assert await future == 10


async def test_as_completed_of_asyncio_takes_futures() -> None:
    async with Runtime():
        futures = await sleep_for.map([3, 1, 2])

        # A plain list: Python 3.13 refuses an iterable that can itself be awaited.
        values = [await each for each in asyncio.as_completed([*futures])]

    assert values == [1, 2, 3]


async def test_a_task_group_takes_results_of_both_kinds_of_task() -> None:
    async with Runtime(), asyncio.TaskGroup() as group:
        futures = [await double.submit(1), await add.submit(1, 2)]
        waits = [group.create_task(future.aresult()) for future in futures]

    assert [wait.result() for wait in waits] == [2, 3]


async def test_a_failure_cancels_the_task_group_that_awaits_it_and_no_run() -> None:
    async with Runtime():
        slow = await sleep_for.submit(10)
        failed = await fail_soon.submit("no")

        async def await_both() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(slow.aresult())
                tasks.create_task(failed.aresult())

        with pytest.raises(ExceptionGroup) as group:
            await await_both()

        assert [type(error) for error in group.value.exceptions] == [ValueError]
        assert await slow == 10


async def test_a_cancelled_wait_leaves_the_run_and_the_other_waits_alone() -> None:
    async with Runtime():
        future = await sleep_for.submit(10)
        other = asyncio.create_task(future.aresult())

        with anyio.move_on_after(1) as scope:
            await future

        assert scope.cancelled_caught
        assert not future.done()
        assert await other == 10


def test_a_future_can_be_awaited_on_the_loops_of_other_threads() -> None:
    release = threading.Event()
    both_wait = threading.Barrier(3, timeout=BOUND)

    async def wait_elsewhere(future: TaskFuture[str]) -> str:
        asyncio.get_running_loop().call_soon(both_wait.wait)
        return await future

    with Runtime():
        future = block_for_event.submit(release).future
        values: list[str] = []
        threads = [
            threading.Thread(
                target=lambda: values.append(asyncio.run(wait_elsewhere(future)))
            )
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        both_wait.wait()
        release.set()
        for thread in threads:
            thread.join(BOUND)

    assert values == ["done", "done"]


def test_a_future_that_has_ended_can_be_awaited_after_its_loop_has_closed() -> None:
    with Runtime():
        future = double.submit(4).future

    async def look() -> int:
        return await future

    assert asyncio.run(look()) == 8
    assert future.value() == 8
    assert future.cancel() is False


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_a_wait_on_another_loop_that_was_given_up_leaves_nothing_in_the_run(
    timeout: float,
) -> None:
    release = threading.Event()

    with Runtime():
        future = block_for_event.submit(release).future
        for _ in range(3):
            assert asyncio.run(future.astate(timeout)) is None
        release.set()

        assert future.value(BOUND) == "done"

    # Its end had three closed loops to tell, and nothing to tell them.
    assert future.state.is_completed()


def test_the_end_of_a_run_reaches_the_living_though_a_waiting_loop_was_closed() -> None:
    release = threading.Event()
    dead = asyncio.new_event_loop()

    async def abandon(future: TaskFuture[str]) -> asyncio.Future[str]:
        waiting = asyncio.ensure_future(future)
        await asyncio.sleep(0)
        return waiting

    with Runtime():
        future = block_for_event.submit(release).future
        after = double.submit(5, wait_for=[future])
        waiting: Any = dead.run_until_complete(abandon(future))
        dead.close()
        waiting._log_destroy_pending = False  # its loop was closed under it
        release.set()

        assert after.value(BOUND) == 10


# -- result and wait, in plain code and in coroutine code ------------------------------

BOTH_KINDS = pytest.mark.parametrize(
    "kind", [pytest.param(add, id="plain"), pytest.param(double, id="coroutine")]
)


def arguments_of(kind: Any) -> tuple[int, ...]:
    return (20, 22) if kind is add else (21,)


@BOTH_KINDS
@pytest.mark.rule("FUT-04", "FUT-08")
def test_in_plain_code_result_and_wait_block_and_return(kind: Any) -> None:
    @flow
    def main() -> Any:
        future = kind.submit(*arguments_of(kind))
        state = future.wait(BOUND)
        return state.type, future.result(), future.value()

    assert main() == (StateType.COMPLETED, 42, 42)


@pytest.mark.rule("FUT-08")
async def test_in_coroutine_code_a_coroutine_task_gives_awaitables() -> None:
    async with Runtime():
        future = await double.submit(21)

        state = await future.wait(BOUND)
        value = await future.result()

    assert state is not None
    assert state.is_completed()
    assert value == 42


@pytest.mark.rule("FUT-08")
async def test_the_future_of_a_coroutine_task_is_awaitable_after_its_end_too() -> None:
    async with Runtime():
        future = await double.submit(21)
        await future

        assert await future.result() == 42
        assert await future.wait() is future.state


@pytest.mark.rule("FUT-08")
async def test_in_coroutine_code_a_plain_task_that_is_done_gives_its_result() -> None:
    async with Runtime():
        future = await add.submit(20, 22)
        await future

        assert future.result() == 42
        assert future.wait() is future.state


@pytest.mark.parametrize("verb", ["result", "wait", "value"])
async def test_blocking_for_a_plain_task_on_the_loop_thread_is_refused(
    verb: str,
) -> None:
    release = threading.Event()
    async with Runtime():
        future = await block_for_event.submit(release)

        with pytest.raises(BlockedLoop, match="await future") as refusal:
            getattr(future, verb)()
        release.set()

        assert "block_for_event-0" in str(refusal.value)
        assert await future == "done"


async def test_blocking_for_a_coroutine_task_on_the_loop_thread_is_refused() -> None:
    async with Runtime():
        future = await double.submit(1)

        with pytest.raises(BlockedLoop, match="await future"):
            future.value()

        await future
        assert future.value() == 2


async def test_a_plain_body_on_the_loop_thread_may_not_block_for_a_pending_run() -> (
    None
):
    @task
    def look(find: Callable[[], TaskFuture[int]]) -> int:
        return find().value()

    async with Runtime():
        future = await double.submit(1)

        with pytest.raises(BlockedLoop):
            look(lambda: future)

        assert await future == 2
        assert look(lambda: future) == 2


def test_coroutine_code_of_another_loop_may_block_for_a_plain_task() -> None:
    async def block(future: TaskFuture[int]) -> int:
        return future.result()

    with Runtime():
        future = add.submit(1, 2).future

        assert asyncio.run(block(future)) == 3


def test_plain_code_in_a_thread_made_by_hand_may_block() -> None:
    with Runtime():
        future = double.submit(1).future

        assert on_thread(future.value) == 2


# -- time that runs out ----------------------------------------------------------------


@pytest.mark.rule("FUT-02", "FUT-04")
def test_a_blocking_wait_that_runs_out_gives_none_and_a_result_raises() -> None:
    release = threading.Event()
    with Runtime():
        future = block_for_event.submit(release).future

        assert future.wait(0) is None
        assert future.wait(0.01) is None
        with pytest.raises(TimeoutError, match="block_for_event-0"):
            future.result(0.01)
        with pytest.raises(TimeoutError):
            future.value(0)
        release.set()

        assert future.value() == "done"


@pytest.mark.rule("FUT-02", "FUT-04", "EXC-03")
async def test_an_awaited_wait_that_runs_out_gives_none_and_a_result_raises() -> None:
    async with Runtime():
        future = await sleep_for.submit(10)
        started = anyio.current_time()

        assert await future.wait(0) is None
        assert await future.astate(1) is None
        with pytest.raises(TimeoutError, match="within 2 seconds; it goes on"):
            await future.aresult(2)

        assert anyio.current_time() - started == pytest.approx(3)
        assert await future == 10


@pytest.mark.rule("FUT-02")
async def test_after_the_end_any_timeout_gives_the_outcome() -> None:
    async with Runtime():
        future = await double.submit(1)
        await future

        assert await future.aresult(0) == 2
        assert await future.astate(0) is future.state
        assert future.value(0) == 2


@pytest.mark.parametrize("timeout", [-1, -0.001, -math.inf, math.nan])
async def test_a_timeout_that_is_negative_or_no_number_is_refused(
    timeout: float,
) -> None:
    async with Runtime():
        future = await double.submit(1)
        await future

        for wait in (future.value, add.submit(1, 2).future.wait):
            with pytest.raises(ValueError, match="timeout="):
                wait(timeout)
        for awaited in (future.aresult, future.astate, future.result, future.wait):
            with pytest.raises(ValueError, match="timeout="):
                await awaited(timeout)


async def test_a_timeout_that_is_no_number_at_all_is_refused() -> None:
    wrong: Any = "5"
    async with Runtime():
        future = await double.submit(1)
        await future

        with pytest.raises(TypeError, match="timeout='5' is no number"):
            future.value(wrong)
        with pytest.raises(TypeError, match="timeout='5' is no number"):
            await future.aresult(wrong)


async def test_waits_that_ran_out_or_were_cancelled_leave_nothing_in_the_run() -> None:
    async with Runtime():
        future = await sleep_for.submit(10)

        for _ in range(5):
            assert await future.astate(0.1) is None
            with anyio.move_on_after(0.1):
                await future
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(future.aresult(), 0.1)

        await asyncio.sleep(0.1)
        assert not future.waiters
        assert await future == 10


# -- cancelling ------------------------------------------------------------------------


@pytest.mark.rule("FUT-14")
async def test_a_cancelled_run_ends_as_cancelled_and_awaiting_it_raises() -> None:
    async with Runtime():
        future = await sleep_for.submit(10)
        await asyncio.sleep(1)

        assert future.cancel() is True

        with pytest.raises(CancelledRun, match="sleep_for-0"):
            await future
        assert future.state.is_cancelled()
        assert future.state.name == "Cancelled"


async def test_cancelling_any_number_of_times_does_what_once_does() -> None:
    cleaned: list[str] = []

    @task
    async def clean_up() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(1)
            cleaned.append("once")

    async with Runtime():
        future = await clean_up.submit()
        await asyncio.sleep(1)

        answers = [future.cancel() for _ in range(100)]
        state = await future.astate()
        answers.append(future.cancel())

    assert answers == [True] * 100 + [False]
    assert state is not None
    assert state.name == "Cancelled"
    assert cleaned == ["once"]


async def test_cancelling_a_run_that_has_ended_changes_nothing() -> None:
    async with Runtime():
        future = await double.submit(1)
        await future

        assert future.cancel() is False
        assert await future == 2


def test_a_run_can_be_cancelled_from_any_thread() -> None:
    started = threading.Event()

    @task
    async def wait_long() -> None:
        started.set()
        await asyncio.sleep(BOUND)

    with Runtime():
        future = wait_long.submit().future
        assert started.wait(BOUND)

        assert on_thread(future.cancel) is True

        with pytest.raises(CancelledRun):
            future.value(BOUND)


def test_many_threads_may_cancel_while_the_run_ends() -> None:
    together = threading.Barrier(5, timeout=BOUND)

    @task
    def meet() -> int:
        together.wait()
        return 1

    def cancel(future: TaskFuture[int]) -> None:
        together.wait()
        future.cancel()

    with Runtime():
        for _ in range(20):
            future = meet.submit().future
            threads = [
                threading.Thread(target=cancel, args=(future,)) for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            state = future.wait(BOUND)
            for thread in threads:
                thread.join(BOUND)
            assert state is not None
            assert state.type in (StateType.COMPLETED, StateType.CANCELLED)
            assert future.state is state


async def test_a_run_that_waits_for_its_input_can_be_cancelled() -> None:
    async with Runtime():
        upstream = await sleep_for.submit(10)
        future = await double.submit(1, wait_for=[upstream])

        future.cancel()

        with pytest.raises(CancelledRun, match="before it started"):
            await future
        assert [state.name for state in future.history] == ["Pending", "Cancelled"]
        assert await upstream == 10


async def test_the_only_cancelled_error_a_caller_sees_is_its_own() -> None:
    async with Runtime():
        future = await sleep_for.submit(10)
        future.cancel()

        for awaited in (future.aresult, future.result):
            with pytest.raises(CancelledRun):
                await awaited()
        error = await future.aresult(raise_on_failure=False)

    assert isinstance(error, CancelledRun)
    assert not isinstance(error, asyncio.CancelledError)


# -- callbacks -------------------------------------------------------------------------


@pytest.mark.rule("FUT-14")
async def test_callbacks_are_called_once_each_in_order_on_the_loop_thread() -> None:
    called: list[Any] = []
    here = threading.get_ident()

    async with Runtime():
        future = await sleep_for.submit(1)
        for number in range(5):
            future.add_done_callback(
                lambda done, number=number: called.append(
                    (number, done, threading.get_ident(), done.done())
                )
            )
        await future
        await asyncio.sleep(1)

    assert called == [(number, future, here, True) for number in range(5)]


def test_a_callback_added_in_another_thread_is_called_on_the_loop_thread() -> None:
    release, called = threading.Event(), threading.Event()
    seen: list[tuple[bool, str]] = []

    def note(future: TaskFuture[str]) -> None:
        running = asyncio.get_running_loop()
        seen.append((running.is_running(), threading.current_thread().name))
        called.set()

    with Runtime():
        future = block_for_event.submit(release).future
        future.add_done_callback(note)
        release.set()
        assert called.wait(BOUND)

    assert seen == [(True, "headrace-loop")]


async def test_a_callback_added_after_the_end_is_called_later_on_the_loop() -> None:
    called: list[TaskFuture[int]] = []

    async with Runtime():
        future = await double.submit(1)
        await future
        future.add_done_callback(called.append)
        at_once = list(called)
        await asyncio.sleep(1)

    assert at_once == []
    assert called == [future]


def test_a_callback_added_after_the_loop_has_closed_is_called_at_once() -> None:
    called: list[TaskFuture[int]] = []
    with Runtime():
        future = double.submit(1).future

    future.add_done_callback(called.append)

    assert called == [future]


async def test_a_callback_that_raises_is_logged_and_the_next_is_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    called: list[str] = []

    def explode(_: object) -> None:
        raise KeyboardInterrupt("not yours")

    async with Runtime():
        future = await double.submit(1)
        future.add_done_callback(explode)
        future.add_done_callback(lambda _: called.append("next"))
        assert await future == 2
        await asyncio.sleep(1)

    assert called == ["next"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "double-0" in caplog.text
    assert "not yours" in caplog.text


async def test_a_callback_runs_in_the_context_in_which_it_was_added() -> None:
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request")
    seen: list[str] = []

    async with Runtime():
        future = await double.submit(1)
        request.set("first")
        future.add_done_callback(lambda _: seen.append(request.get()))
        request.set("second")
        future.add_done_callback(lambda _: seen.append(request.get()))
        await future
        await asyncio.sleep(1)

    assert seen == ["first", "second"]


async def test_callbacks_are_called_for_every_end() -> None:
    ends: list[str] = []

    async with Runtime():
        futures = [
            await double.submit(1),
            await fail_soon.submit("no"),
            await sleep_for.submit(10),
        ]
        futures.append(await double.submit(1, wait_for=futures[1]))
        for future in futures:
            future.add_done_callback(lambda done: ends.append(done.state.name))
        futures[2].cancel()
        await asyncio.sleep(1)

    assert sorted(ends) == ["Cancelled", "Completed", "Failed", "NotReady"]


async def test_a_callback_that_cannot_be_called_is_refused() -> None:
    async with Runtime():
        future = await double.submit(1)

        with pytest.raises(TypeError, match="cannot be called"):
            future.add_done_callback("print")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

        assert await future == 2


async def test_a_callback_may_add_another_and_cancel_others() -> None:
    called: list[str] = []

    async with Runtime():
        first = await double.submit(1)
        other = await sleep_for.submit(100)

        def react(done: TaskFuture[int]) -> None:
            other.cancel()
            done.add_done_callback(lambda _: called.append("added"))

        first.add_done_callback(react)
        state = await other.astate()
        await asyncio.sleep(1)

    assert called == ["added"]
    assert state is not None
    assert state.is_cancelled()


# -- failures --------------------------------------------------------------------------


@pytest.mark.rule("FUT-04")
@pytest.mark.parametrize("kind", [fail, fail_soon], ids=["plain", "coroutine"])
async def test_a_failure_is_raised_as_the_same_object_every_time(kind: Any) -> None:
    async with Runtime():
        future = await kind.submit("no")
        raised: list[BaseException] = []

        for _ in range(3):
            with pytest.raises(ValueError, match="no") as caught:
                await future
            raised.append(caught.value)
        returned = await future.aresult(raise_on_failure=False)

    assert len({id(error) for error in [*raised, returned, future.state.data]}) == 1


@pytest.mark.rule("FUT-07")
@pytest.mark.parametrize("kind", [fail, fail_soon], ids=["plain", "coroutine"])
async def test_raising_a_failure_again_does_not_make_its_traceback_longer(
    kind: Any,
) -> None:
    async with Runtime():
        future = await kind.submit("no")
        lengths: list[int] = []

        for _ in range(5):
            with pytest.raises(ValueError, match="no") as caught:
                await future
            lengths.append(len(traceback.extract_tb(caught.value.__traceback__)))

    assert len(set(lengths)) == 1


@pytest.mark.rule("FUT-07")
async def test_the_traceback_of_a_failure_ends_where_the_body_raised() -> None:
    async with Runtime():
        future = await fail_soon.submit("no")

        with pytest.raises(ValueError, match="no") as caught:
            await future

    frames = traceback.extract_tb(caught.value.__traceback__)
    assert frames[-1].name == "fail_soon"
    assert (
        frames[0].name == "test_the_traceback_of_a_failure_ends_where_the_body_raised"
    )


@pytest.mark.rule("FUT-04")
def test_raise_on_failure_false_gives_the_exception() -> None:
    with Runtime():
        future = fail.submit("no")

        error = future.result(raise_on_failure=False)

    assert isinstance(error, ValueError)
    assert str(error) == "no"


@pytest.mark.rule("FUT-05")
async def test_the_future_of_a_run_held_back_raises_what_held_it_back() -> None:
    async with Runtime():
        failed = await fail_soon.submit("no")
        future = await double.submit(1, wait_for=failed)

        with pytest.raises(UpstreamTaskError, match="fail_soon-0") as caught:
            await future
        error = await future.aresult(raise_on_failure=False)

    assert isinstance(error, UpstreamTaskError)
    assert error is caught.value
    assert isinstance(error.__cause__, ValueError)


@pytest.mark.rule("CRASH-01", "CONC-05")
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
async def test_a_crash_is_raised_as_an_ordinary_error_from_the_original(
    kind: type[BaseException],
) -> None:
    original = kind("away")

    @task
    async def crash() -> None:
        raise original

    async with Runtime():
        future = await crash.submit()

        for _ in range(2):
            with pytest.raises(CrashedRun) as caught:
                await future
            assert caught.value.__cause__ is original
        assert future.state.is_crashed()
        assert await future.aresult(raise_on_failure=False) is original


# -- what kind of object ---------------------------------------------------------------


@pytest.mark.rule("FUT-01", "FUT-10")
async def test_a_future_tells_its_name_key_kind_and_record() -> None:
    async with Runtime():
        future = await double.submit(1)
        plain = await add.submit(1, 2)

        assert future.name == "double-0"
        assert isinstance(future.key, UUID)
        assert str(future.key) == future.id == future.task_run.id
        assert (future.asynchronous, plain.asynchronous) == (True, False)
        assert future.task_run.name == "double-0"
        assert repr(future) == "AsyncTaskFuture('double-0')"
        assert repr(plain) == "TaskFuture('add-0')"


@pytest.mark.rule("FUT-11")
async def test_the_state_of_a_future_is_read_without_waiting() -> None:
    async with Runtime():
        future = await sleep_for.submit(1)

        before = future.state.name
        await asyncio.sleep(0.5)
        meanwhile = future.get_state().name
        await future

    assert (before, meanwhile, future.state.name) == ("Pending", "Running", "Completed")


@pytest.mark.rule("FUT-09")
async def test_a_future_as_a_truth_value_warns_and_is_true() -> None:
    async with Runtime():
        submission = double.submit(0)
        future = await submission

        for each in (future, submission):
            with pytest.warns(UserWarning, match="did you mean|Did you mean") as warned:
                truth = bool(each)
            assert truth is True
            assert warned[0].filename == __file__


@pytest.mark.rule("FUT-10")
async def test_a_submission_equals_and_hashes_like_its_future() -> None:
    async with Runtime():
        submission = double.submit(1)
        future = await submission
        other = await double.submit(1)

        assert submission == future
        assert future == submission
        assert submission == Submission(future)
        assert submission != other
        assert future != other
        assert submission != 1
        assert {submission, future, Submission(future)} == {future}
        assert {future: "found"}[submission] == "found"  # type: ignore[index] # pyright: ignore[reportArgumentType]


async def test_a_submission_is_a_future_to_isinstance() -> None:
    async with Runtime():
        coroutine, plain = double.submit(1), add.submit(1, 2)

        assert isinstance(coroutine, TaskFuture)
        assert isinstance(coroutine, AsyncTaskFuture)
        assert isinstance(plain, TaskFuture)
        assert not isinstance(plain, AsyncTaskFuture)
        assert not isinstance(await coroutine, Submission)
        assert not isinstance(1, TaskFuture)


async def test_a_submission_has_every_method_of_the_future() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    users = {
        "add_done_callback", "aresult", "astate", "asynchronous", "cancel", "done",
        "get_state", "history", "id", "key", "name", "result", "state", "task_run",
        "value", "wait",
    }  # fmt: skip

    assert users <= public(TaskFuture)
    assert users <= public(Submission)
    assert users <= public(AsyncSubmission)


async def test_everything_a_future_answers_a_submission_answers_too() -> None:
    called: list[TaskFuture[int]] = []
    async with Runtime():
        submission = add.submit(1, 2)
        future = await submission
        submission.add_done_callback(called.append)

        assert await submission.aresult() == 3
        assert (await submission.astate()) is future.state
        assert submission.value() == submission.result() == 3
        assert submission.wait() is submission.state is submission.get_state()
        assert submission.done()
        assert submission.cancel() is False
        assert submission.history == future.history
        assert (submission.id, submission.key) == (future.id, future.key)
        assert submission.task_run == future.task_run
        assert (submission.name, submission.asynchronous) == ("add-0", False)
        assert repr(submission) == "Submission('add-0')"
        await asyncio.sleep(1)

    assert called == [future]


@pytest.mark.rule("FUT-12", "PICK-03")
@pytest.mark.parametrize(
    "copying", [pickle.dumps, cloudpickle.dumps, copy.copy, copy.deepcopy]
)
async def test_a_future_cannot_be_pickled_or_copied(
    copying: Callable[[object], object],
) -> None:
    async with Runtime():
        submission = double.submit(1)
        future = await submission

        for each in (future, submission):
            with pytest.raises(TypeError, match=r"cannot be pickled.*result"):
                copying(each)


async def test_a_future_that_was_dropped_does_not_end_its_run() -> None:
    ended: list[str] = []

    @task
    async def note() -> None:
        await asyncio.sleep(1)
        ended.append("yes")

    async with Runtime():
        note.submit()

    assert ended == ["yes"]


def test_a_dropped_run_that_failed_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING), Runtime():
        fail.submit("no")

    assert "fail-0" in caplog.text


@pytest.mark.rule("FUT-03")
async def test_a_timeout_counts_from_the_call_whatever_the_run_waits_for() -> None:
    async with Runtime():
        upstream = await sleep_for.submit(100)
        queued = await sleep_for.submit(1, wait_for=[upstream])
        loop = asyncio.get_running_loop()
        started = loop.time()
        waited = await queued.wait(2)
        with pytest.raises(TimeoutError):
            await queued.aresult(3)
        took = loop.time() - started

        assert await queued.aresult(100) is not None

    assert waited is None
    assert took == pytest.approx(2 + 3)


@pytest.mark.rule("FUT-13")
def test_a_future_is_made_where_no_loop_runs_and_awaited_where_one_does() -> None:
    @flow
    def program() -> Any:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        future = double.submit(21).future

        async def elsewhere() -> int:
            return await future

        return [future.result(), asyncio.run(elsewhere())]

    assert program() == [42, 42]


@pytest.mark.parametrize(
    "verb", [asyncio.wait_for, TaskFuture.aresult, TaskFuture.astate]
)
@pytest.mark.parametrize("limit", [None, 1])
def test_a_plain_body_lends_its_thread_while_its_own_loop_waits(
    verb: Callable[..., Any], limit: int | None
) -> None:
    handed: list[TaskFuture[int]] = []
    is_handed = threading.Event()

    @task
    def needs_a_thread() -> int:
        return 21

    @task
    def blocks() -> int:
        return handed[0].result(timeout=BOUND)

    @task(concurrency_limit=limit)
    def runs_a_loop() -> Any:
        async def main() -> Any:
            async with Runtime():
                blocked: Any = blocks.submit()
                future = await double.submit(blocked)
                await verb(future, None)
                return await future

        is_handed.wait(BOUND)
        return asyncio.run(main())

    with Runtime(max_threads=1):
        run = runs_a_loop.submit()
        handed.append(needs_a_thread.submit().future)
        is_handed.set()
        assert run.result() == 42
