"""Maps and streams check their results only; the lists know what is in them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, assert_type

from headrace import State, TaskFuture, TaskFutures, allow_failure, task, unmapped
from headrace.futures import AsyncTaskFuture, AsyncTaskFutures, TaskStates
from headrace.streams import Stream


@task
def double(x: int) -> int:
    return x * 2


@task
async def shout(text: str) -> str:
    return text.upper()


@task
def untold(x: int) -> Any:
    return x


def check_maps_of_plain_tasks() -> None:
    futures = double.map([1, 2])
    assert_type(futures, TaskFutures[int])
    assert_type(futures[0], TaskFuture[int])
    assert_type([future.value() for future in futures], list[int])
    assert_type(futures.result(), list[int])
    assert_type(futures.result(raise_on_failure=False), list[int | BaseException])
    assert_type(futures.wait(5), list[State[int] | None])
    assert_type(futures.cancel(), int)
    assert_type(double.map(range(3), wait_for=futures), TaskFutures[int])
    assert_type(double.map([1], return_state=True)[0].result(), int)
    assert_type(double.map(unmapped(1), allow_failure([2])), TaskFutures[int])
    assert_type(untold.map([1]), TaskFutures[Any])


async def check_maps_in_coroutine_code() -> None:
    futures = await double.map([1, 2])
    assert_type(futures, TaskFutures[int])
    assert_type(await futures.aresult(), list[int])
    assert_type(await asyncio.gather(*futures), list[int])
    assert_type(await double.map([1], return_state=True), TaskStates[int])
    assert_type(await shout.map(["a"], return_state=True), TaskStates[str])
    assert_type(await untold.map([1], return_state=True), TaskStates[Any])


async def check_maps_of_coroutine_tasks() -> None:
    futures = shout.map(["a", "b"])
    assert_type(futures, AsyncTaskFutures[str])
    assert_type(await futures, AsyncTaskFutures[str])
    assert_type(futures[0], AsyncTaskFuture[str])
    values = await assert_type(futures.result(), Coroutine[Any, Any, list[str]])
    assert_type(values, list[str])
    assert_type(await futures.wait(), list[State[str] | None])
    assert_type([await future for future in futures], list[str])
    assert_type([await future.result() for future in futures], list[str])
    assert_type(await asyncio.gather(*futures), list[str])


async def check_streams_in_coroutine_code() -> None:
    assert_type(double.stream([1, 2]), Stream[int])
    assert_type(shout.stream(["a"], limit=3, ordered=False), Stream[str])
    assert_type(untold.stream([1]), Stream[Any])
    assert_type([value async for value in shout.stream(["a"])], list[str])
    assert_type(await anext(double.stream([1], max_failures=2)), int)
    states = shout.stream(["a"], return_state=True)
    assert_type(states, Stream[State[str]])
    assert_type([state.result() async for state in states], list[str])
    assert_type(double.stream([1], return_state=True), Stream[State[int]])
    assert_type(double.stream([1]).then(untold), Stream[Any])
    assert_type(double.stream([1]).then(shout, limit=2).then(double), Stream[int])
    assert_type(shout.stream(["a"]).then(shout), Stream[str])
    async with double.stream([1]) as stream:
        assert_type(stream, Stream[int])
    await stream.aclose()


def check_streams_in_plain_code() -> None:
    assert_type(list(double.stream([1])), list[int])
    assert_type(
        [state.name for state in double.stream([1], return_state=True)], list[str]
    )
    with shout.stream(["a"]) as stream:
        assert_type(next(stream), str)
    stream.close()
    assert_type(stream.failures, int)


def check_wrong_results() -> None:
    texts: list[str] = double.map([1]).result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    texts.append(double.map([1])[0].value())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    texts.extend(double.stream([1]))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    double.map([1]).results()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
