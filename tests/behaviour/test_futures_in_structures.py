"""Futures in a structure replaced by their data or states, outside of any run's inputs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from headrace import Runtime, TaskFuture, allow_failure, flow, quote, task, unmapped
from headrace.exceptions import BlockedLoop, UpstreamTaskError
from headrace.futures import (
    PrefectFuture,
    resolve_futures_to_data,
    resolve_futures_to_states,
)
from headrace.states import Completed, State


@task(name="double")
async def _double(x: int) -> int:
    await asyncio.sleep(1)
    return 2 * x


@task(name="plain_double")
def _plain_double(x: int) -> int:
    return 2 * x


@task(name="broken")
async def _broken(text: str) -> None:
    raise ValueError(text)


# What these give depends on where they are called.
double: Any = _double
plain_double: Any = _plain_double
broken: Any = _broken


@dataclass
class Held:
    value: Any


def structure() -> Any:
    return {
        "one": double.submit(1),
        double.submit(2): [Held(double.submit(3)), (plain_double.submit(4), "text")],
        "many": double.map([5, 6]),
        "none": double.map([]),
    }


DATA = {"one": 2, 4: [Held(6), (8, "text")], "many": [10, 12], "none": []}


@pytest.mark.rule("FUT-15")
async def test_every_future_is_replaced_by_its_data() -> None:
    async with Runtime():
        data = await resolve_futures_to_data(structure())

    assert data == DATA
    assert type(data["many"]) is list


@pytest.mark.rule("FUT-15")
def test_in_plain_code_it_blocks_for_them() -> None:
    @flow
    def program() -> Any:
        given = [plain_double.submit(1), Held(plain_double.submit(2))]
        return [resolve_futures_to_data(given), resolve_futures_to_states(given[0])]

    data, state = program()

    assert data == [2, Held(4)]
    assert (state.name, state.result()) == ("Completed", 2)


@pytest.mark.rule("FUT-15")
async def test_what_holds_no_future_is_given_back_as_it_is() -> None:
    given = [1, {"a": Completed(data=5)}, (n for n in range(3))]

    assert await resolve_futures_to_data(given) is given
    assert await resolve_futures_to_states(given) is given
    assert list(given[2]) == [0, 1, 2]


@pytest.mark.rule("FUT-15")
async def test_marks_and_states_stay_and_what_is_quoted_is_left_alone() -> None:
    async with Runtime():
        future = await double.submit(1)
        state = Completed(data=5)

        data = await resolve_futures_to_data([unmapped(future), quote(future), state])

        assert data == [unmapped(2), quote(future), state]
        assert await resolve_futures_to_data(quote(future)) == quote(future)


@pytest.mark.rule("FUT-15")
async def test_the_first_that_failed_is_raised_unless_told_otherwise() -> None:
    async with Runtime():
        failed = await broken.submit("boom")
        held_back = await double.submit(failed)
        given = [await double.submit(1), held_back, failed]

        with pytest.raises(UpstreamTaskError):
            await resolve_futures_to_data(given)
        data = await resolve_futures_to_data(given, raise_on_failure=False)
        allowed = await resolve_futures_to_data([allow_failure(failed)])

    assert [type(each) for each in data] == [int, UpstreamTaskError, ValueError]
    assert allowed == [allow_failure(failed.state.data)]


@pytest.mark.rule("FUT-15", "FINAL-12")
async def test_a_failure_given_so_counts_as_seen() -> None:
    @flow
    async def as_data() -> None:
        await resolve_futures_to_data(broken.submit("a"), raise_on_failure=False)

    @flow
    async def as_states() -> None:
        await resolve_futures_to_states([broken.submit("a")])

    assert await as_data() is None
    assert await as_states() is None


@pytest.mark.rule("FUT-15")
async def test_every_future_is_replaced_by_its_state() -> None:
    async with Runtime():
        futures = double.map([1, 2])
        failed = await broken.submit("boom")

        states = await resolve_futures_to_states({"many": futures, "bad": failed})

    assert [state.result() for state in states["many"]] == [2, 4]
    assert type(states["many"]) is list
    assert isinstance(states["bad"], State)
    assert states["bad"].name == "Failed"


@pytest.mark.rule("FUT-15", "CALL-05")
async def test_a_plain_body_on_the_loop_is_refused_before_anything_is_awaited() -> None:
    @task
    def inner(future: Any) -> str:
        with pytest.raises(BlockedLoop, match="await resolve_futures_to_data"):
            resolve_futures_to_data(future.value)
        return "refused"

    @flow
    async def program() -> str:
        return inner(Held(quote(await double.submit(1)))) and "called"

    assert await program() == "called"


def test_the_name_that_users_of_prefect_know_is_there() -> None:
    with Runtime():
        given: list[Any] = [plain_double.submit(1), plain_double.submit(2).future]

        assert [isinstance(each, PrefectFuture) for each in given] == [True, True]
        assert PrefectFuture is TaskFuture
