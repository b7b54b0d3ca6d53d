"""States that were looked at: kept as long as somebody keeps one or knows its id."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from headrace import Runtime, State, StateChanged, task

pytestmark = pytest.mark.anyio

COUNT = 200


@task
async def same(x: int) -> int:
    """What most tasks do."""
    return x


def count_states() -> int:
    """How many states there are in this process."""
    gc.collect()
    return sum(type(each) is State for each in gc.get_objects())


async def ended(count: int = COUNT) -> list[Any]:
    """Runs that have completed."""
    runs = list(same.map(range(count)))
    for run in runs:
        await run
    return runs


async def test_what_is_read_of_many_runs_does_not_pile_up() -> None:
    async with Runtime():
        runs = await ended()
        before = count_states()
        for run in runs:
            assert len(run.history) == 3
            assert run.state.is_completed()
        assert count_states() - before < 20


async def test_states_that_somebody_keeps_stay_the_same_objects() -> None:
    async with Runtime():
        runs = await ended()
        kept = [run.history for run in runs]
        lasts = [run.state for run in runs]
        for run, history, last in zip(runs, kept, lasts, strict=True):
            assert all(a is b for a, b in zip(run.history, history, strict=True))
            assert run.state is last is history[-1]


async def test_one_state_that_is_kept_keeps_the_history_as_it_is() -> None:
    async with Runtime():
        runs = await ended()
        kept = [run.history[1] for run in runs]
        assert all(run.history[1] is it for run, it in zip(runs, kept, strict=True))


async def test_ids_that_were_read_stay() -> None:
    async with Runtime():
        runs = await ended()
        ids = [[state.id for state in run.history] for run in runs]
        last_ids = [run.state.id for run in runs]
        assert [[state.id for state in run.history] for run in runs] == ids
        assert last_ids == [each[-1] for each in ids]


async def test_a_last_state_that_was_read_alone_ends_the_history() -> None:
    async with Runtime():
        runs = await ended()
        lasts = [run.state for run in runs]
        for run, last in zip(runs, lasts, strict=True):
            assert run.history[-1] is last
            assert last.at > run.history[1].at > run.history[0].at


async def test_what_is_read_again_is_equal() -> None:
    async with Runtime():
        runs = await ended()
        before = [
            [(state.at, state.type, state.name, state.data) for state in run.history]
            for run in runs
        ]
        for run, told in zip(runs, before, strict=True):
            again = [(s.at, s.type, s.name, s.data) for s in run.history]
            assert again == told


@pytest.mark.parametrize("keeps", [False, True])
async def test_states_that_observers_do_not_keep_are_let_go(keeps: bool) -> None:
    heard: list[State[Any]] = []

    class Listener:
        def on_event(self, event: StateChanged) -> None:
            if keeps:
                heard.append(event.after)

    before = count_states()
    async with Runtime(observers=[Listener()]):
        runs = await ended()
        left = count_states() - before
        assert (left >= 3 * COUNT) if keeps else (left < 20)
        assert [len(run.history) for run in runs] == [3] * COUNT
        states = {id(state) for run in runs for state in run.history}
        assert all(id(state) in states for state in heard)
        assert len(heard) == 3 * COUNT * keeps
