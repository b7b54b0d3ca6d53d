"""Generator functions as tasks and flows: what they yield is drained to a list."""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest

from headrace import Runtime, flow, task
from headrace.exceptions import UpstreamTaskError
from headrace.states import StateType


@task
def count(upto: int) -> Iterator[int]:
    yield from range(upto)


@task
async def tick(upto: int) -> AsyncIterator[int]:
    for number in range(upto):
        await anyio.sleep(1)
        yield number


@task
async def number(value: Any) -> Any:
    return value


# -- Drained ----------------------------------------------------------------------


@pytest.mark.rule("GEN-01")
async def test_what_a_generator_yields_is_the_result_as_a_list() -> None:
    async with Runtime():
        submitted: Any = await count.submit(3).aresult()
        called: Any = count(3)
        awaited: Any = await count.acall(3)
        mapped: Any = await count.map([0, 1, 2]).aresult()

    assert submitted == called == awaited == [0, 1, 2]
    assert mapped == [[], [0], [0, 1]]


@pytest.mark.rule("GEN-01")
def test_a_generator_is_drained_in_a_plain_flow() -> None:
    @flow
    def program() -> Any:
        return [count(2), count.submit(2), count.map([1])]

    assert program() == [[0, 1], [0, 1], [[0]]]


@pytest.mark.rule("GEN-01")
def test_a_generator_outside_of_everything_is_drained() -> None:
    assert count(2) == [0, 1]


@pytest.mark.rule("GEN-04")
async def test_an_asynchronous_generator_is_drained_to_a_list() -> None:
    async with Runtime():
        started = anyio.current_time()
        submitted: Any = await tick.submit(3).aresult()
        took = anyio.current_time() - started
        awaited: Any = await tick(2)  # pyright: ignore[reportGeneralTypeIssues]
        acalled: Any = await tick.acall(1)
        mapped: Any = await tick.map([0, 1]).aresult()

    assert submitted == [0, 1, 2]
    assert took == pytest.approx(3)
    assert (awaited, acalled, mapped) == ([0, 1], [0], [[], [0]])


@pytest.mark.rule("GEN-04")
def test_an_asynchronous_generator_is_drained_in_a_plain_flow() -> None:
    @task
    async def letters() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    @flow
    def program() -> Any:
        return [letters(), letters.submit()]

    assert program() == [["a", "b"], ["a", "b"]]


@pytest.mark.rule("GEN-01")
async def test_a_generator_that_a_function_returns_is_drained() -> None:
    @task
    def plain() -> Any:
        return (n for n in (1, 2))

    @task
    async def coroutine() -> Any:
        return (n for n in (3, 4))

    async with Runtime():
        assert plain() == [1, 2]
        assert await plain.submit().aresult() == [1, 2]
        assert await coroutine() == [3, 4]
        assert await coroutine.submit().aresult() == [3, 4]


@pytest.mark.rule("GEN-04")
async def test_an_asynchronous_generator_that_a_coroutine_returns_is_drained() -> None:
    async def letters() -> AsyncIterator[str]:
        yield "a"

    @task
    async def coroutine() -> Any:
        return letters()

    async with Runtime():
        assert await coroutine() == ["a"]
        assert await coroutine.submit().aresult() == ["a"]


@pytest.mark.rule("GEN-01")
async def test_what_a_generator_returns_at_its_end_is_dropped() -> None:
    @task
    def both() -> Any:
        yield 1
        return 2

    async with Runtime():
        assert await both.submit().aresult() == [1]


@pytest.mark.rule("GEN-01")
async def test_a_generator_method_is_drained() -> None:
    class Counter:
        step = 5

        @task
        def steps(self, times: int) -> Iterator[int]:
            for time in range(times):
                yield self.step * time

    async with Runtime():
        assert await Counter().steps.submit(3).aresult() == [0, 5, 10]


@pytest.mark.rule("GEN-01")
async def test_a_drained_list_is_an_input_like_any_other() -> None:
    async with Runtime():
        assert await number.submit({"a": count.submit(2)}).aresult() == {"a": [0, 1]}
        assert await (await number.map(count.submit(2))).aresult() == [0, 1]


@pytest.mark.rule("GEN-03")
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: range(3), id="range"),
        pytest.param(lambda: iter([1, 2]), id="iterator"),
        pytest.param(lambda: map(str, [1]), id="map"),
        pytest.param(lambda: zip([1], [2], strict=True), id="zip"),
        pytest.param(itertools.count, id="endless"),
    ],
)
async def test_any_other_iterator_is_returned_as_it_is(
    make: Callable[[], Any],
) -> None:
    value = make()

    @task
    async def coroutine() -> Any:
        return value

    @task
    def plain() -> Any:
        return value

    async with Runtime():
        assert await coroutine.submit().aresult() is value
        assert await coroutine() is value
        assert await plain.submit().aresult() is value
        assert plain() is value


# -- Inside the attempt -----------------------------------------------------------


@pytest.mark.rule("GEN-02")
@pytest.mark.parametrize("doing", ["submitted", "called"])
async def test_a_generator_that_raises_half_way_is_tried_again(doing: str) -> None:
    attempts = itertools.count(1)

    @task(retries=2)
    def flaky() -> Iterator[str]:
        attempt = next(attempts)
        yield f"{attempt}"
        if attempt < 3:
            raise ValueError(attempt)
        yield "done"

    async with Runtime():
        value: Any
        if doing == "submitted":
            value = await flaky.submit().aresult()
        else:
            value = flaky()

    assert value == ["3", "done"]


@pytest.mark.rule("GEN-02", "GEN-04")
@pytest.mark.parametrize("doing", ["submitted", "awaited"])
async def test_an_asynchronous_generator_that_raises_half_way_is_tried_again(
    doing: str,
) -> None:
    attempts = itertools.count(1)

    @task(retries=1, retry_delay_seconds=5)
    async def flaky() -> Any:
        attempt = next(attempts)
        yield attempt
        if attempt < 2:
            raise ValueError(attempt)

    async with Runtime():
        run: Any = flaky.submit().aresult() if doing == "submitted" else flaky()
        value = await run

    assert value == [2]


@pytest.mark.rule("GEN-02")
async def test_a_generator_that_raises_for_good_fails_its_run() -> None:
    @task
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("half way")

    async with Runtime():
        submitted = await broken.submit().astate()
        called = broken(return_state=True)

    for state in (submitted, called):
        assert state is not None
        assert state.type is StateType.FAILED
        assert str(state.result(raise_on_failure=False)) == "half way"


@pytest.mark.rule("GEN-02", "CRASH-06")
@pytest.mark.parametrize("doing", ["submitted", "called"])
async def test_a_generator_that_raises_stop_iteration_fails_its_run(doing: str) -> None:
    @task
    def broken() -> Iterator[int]:
        yield next(iter([]))

    async with Runtime():
        state: Any
        if doing == "submitted":
            state = await broken.submit().astate()
        else:
            state = broken(return_state=True)

    assert state.type is StateType.FAILED
    assert isinstance(state.result(raise_on_failure=False), RuntimeError)


@pytest.mark.rule("GEN-02", "GEN-04")
async def test_an_endless_asynchronous_generator_ends_at_its_limit() -> None:
    closed: list[float] = []

    @task(timeout_seconds=5)
    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                await anyio.sleep(2)
                yield 1
        finally:
            closed.append(anyio.current_time())

    async with Runtime():
        started = anyio.current_time()
        submitted = await endless.submit().astate()
        awaited: Any = await endless(return_state=True)

    assert submitted is not None
    assert (submitted.name, awaited.name) == ("TimedOut", "TimedOut")
    assert [at - started for at in closed] == pytest.approx([5, 10])


@pytest.mark.rule("GEN-02")
async def test_an_asynchronous_generator_can_be_cancelled() -> None:
    closed: list[bool] = []

    @task
    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                await anyio.sleep(1)
                yield 1
        finally:
            closed.append(True)

    async with Runtime():
        future = await endless.submit()
        await anyio.sleep(3)
        future.cancel()
        state = await future.astate()

    assert state is not None
    assert state.name == "Cancelled"
    assert closed == [True]


@pytest.mark.rule("GEN-02")
def test_a_plain_generator_can_be_cancelled() -> None:
    begun, closed = threading.Event(), threading.Event()

    @task
    def endless() -> Iterator[int]:
        try:
            while True:
                begun.set()
                yield 1
        finally:
            closed.set()

    with Runtime():
        future = endless.submit()
        assert begun.wait(5)
        future.cancel()
        state = future.wait(5)

        assert state is not None
        assert state.name == "Cancelled"
        assert closed.wait(5)


# -- Flows ------------------------------------------------------------------------


@pytest.mark.rule("GEN-05", "GEN-01")
def test_a_plain_generator_flow_gives_a_list_with_values_for_futures() -> None:
    @flow
    def program() -> Any:
        yield 1
        yield number.submit(2)
        yield [number.submit(3)]

    assert program() == [1, 2, [3]]


@pytest.mark.rule("GEN-05", "GEN-04")
async def test_an_asynchronous_generator_flow_gives_a_list() -> None:
    @flow
    async def program() -> Any:
        yield 1
        yield number.submit(2)

    assert await program() == [1, 2]


@pytest.mark.rule("GEN-05", "FINAL-15")
async def test_a_flow_that_returns_a_generator_gives_a_list() -> None:
    @flow
    async def program() -> Any:
        futures = [number.submit(n) for n in range(3)]
        return (future for future in futures)

    assert await program() == [0, 1, 2]


@pytest.mark.rule("GEN-05")
async def test_a_generator_in_the_middle_of_what_is_returned_is_left_alone() -> None:
    inside = (n for n in (1, 2))

    @task
    async def body() -> Any:
        return {"later": inside}

    @flow
    async def program() -> Any:
        return [await body(), number.submit(1)]

    value = await program()

    assert value[0]["later"] is inside
    assert list(inside) == [1, 2]
    assert value[1] == 1


@pytest.mark.rule("GEN-05", "RES-08")
async def test_a_generator_is_an_input_that_its_body_reads() -> None:
    @task
    def total(numbers: Iterator[int]) -> int:
        return sum(numbers)

    async with Runtime():
        assert await total.submit(n for n in (1, 2)).aresult() == 3
        assert total(n for n in (3, 4)) == 7


@pytest.mark.rule("GEN-02", "RES-12")
async def test_a_run_behind_a_generator_that_failed_is_held_back() -> None:
    @task
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("half way")

    async with Runtime():
        with pytest.raises(UpstreamTaskError):
            await number.submit([broken.submit()]).aresult()
