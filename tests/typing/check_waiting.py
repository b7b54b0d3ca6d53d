"""Waiting for several futures, and states."""

from __future__ import annotations

from typing import assert_type

from headrace import State, Submission, TaskFuture, as_completed, task, wait
from headrace.futures import AsyncTaskFuture, DoneAndNotDone
from headrace.states import Completed, StateType, get_state_result


@task
def double(x: int) -> int:
    return x * 2


@task
async def shout(text: str) -> str:
    return text.upper()


def check_wait_in_plain_code() -> None:
    done, not_done = wait(double.map([1]), timeout=5)
    assert_type(done, set[TaskFuture[int]])
    assert_type(not_done, set[TaskFuture[int]])
    assert_type(wait([double.submit(1)]), DoneAndNotDone[TaskFuture[int]])
    assert_type(wait([double.submit(1)]).done.pop().result(), int)


async def check_wait_in_coroutine_code() -> None:
    done, not_done = await wait([await double.submit(1)])
    assert_type(done | not_done, set[TaskFuture[int]])
    shouted = await wait([shout.submit("a"), shout.submit("b")])
    assert_type(shouted.done, set[AsyncTaskFuture[str]])
    assert_type(await wait(shout.map(["a"])), DoneAndNotDone[AsyncTaskFuture[str]])
    assert_type(await shouted.not_done.pop().result(), str)


def check_as_completed_in_plain_code() -> None:
    for future in as_completed([double.submit(1)], timeout=5):
        assert_type(future, TaskFuture[int])
    for mapped in as_completed(double.map([1])):
        assert_type(mapped.result(), int)


async def check_as_completed_in_coroutine_code() -> None:
    async for future in as_completed(shout.map(["a"])):
        assert_type(future, AsyncTaskFuture[str])
        assert_type(await future, str)
    async for plain in as_completed([await double.submit(1)]):
        assert_type(await plain, int)


def check_what_is_no_future() -> None:
    wait([1])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    wait(double.submit(1))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    as_completed([double])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]


def note(future: TaskFuture[int]) -> None: ...


def note_text(future: TaskFuture[str]) -> None: ...


def check_callbacks(submission: Submission[int]) -> None:
    submission.add_done_callback(note)
    submission.add_done_callback(lambda future: future.value() + 1)
    submission.add_done_callback(note_text)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def check_states(state: State[int]) -> None:
    assert_type(state.result(), int)
    assert_type(state.result(raise_on_failure=False), int | BaseException)
    assert_type(await state.aresult(), int)
    assert_type(await state, State[int])
    assert_type(state.type, StateType)
    assert_type(state.is_completed(), bool)
    assert_type(get_state_result(state), int)
    assert_type(Completed(data=1).name, str)


def check_a_wider_state(wider: State[object], narrow: State[int]) -> None:
    assert_type(wider.result(), object)
    check_a_wider_state(narrow, narrow)
    check_a_wider_state(wider, wider)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
