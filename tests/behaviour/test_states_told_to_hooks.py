"""The states that coroutine hooks are told of: made in haste, and as good as any other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import pickle
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import headrace
from headrace import Runtime, State, StateChanged, flow, task
from headrace.states import Completed, StateType

pytestmark = pytest.mark.anyio


Hooked = Callable[..., Any]


def hooked(*hooks: Any) -> Any:
    """A coroutine task with these hooks, which gives a list with its argument."""

    @task(on_completion=list(hooks))
    async def listed(x: int) -> list[int]:
        return [x]

    return listed


def as_plain(hook: Any) -> Any:
    """A coroutine hook that waits for nothing, as a plain one."""

    def plain(*told: Any) -> None:
        with contextlib.suppress(StopIteration):
            hook(*told).send(None)

    return plain


@pytest.fixture(params=["coroutine", "plain"])
def hooked_with(request: pytest.FixtureRequest) -> Hooked:
    """`hooked`, its hooks called on the loop, or in threads."""
    if request.param == "coroutine":
        return hooked
    return lambda *hooks: hooked(*map(as_plain, hooks))


@pytest.mark.rule("HOOK-07")
async def test_a_hook_can_read_every_part_of_the_state(hooked_with: Hooked) -> None:
    told: dict[str, Any] = {}

    async def look(_task: Any, run: Any, state: State[Any]) -> None:
        told.update(
            type=state.type, name=state.name, message=state.message, data=state.data
        )
        told.update(run=run.id, details=state.state_details, timestamp=state.timestamp)
        told.update(id=state.id, result=state.result(), text=str(state))

    @flow
    async def around() -> Any:
        return await (await hooked_with(look).submit(5))

    flow_state = await around(return_state=True)
    assert told["type"] is StateType.COMPLETED
    assert (told["name"], told["message"]) == ("Completed", None)
    assert told["data"] == told["result"] == flow_state.result() == [5]
    assert told["details"].task_run_id == told["run"]
    assert told["details"].flow_run_id == flow_state.state_details.flow_run_id
    assert told["text"] == "Completed()"


async def test_a_state_that_a_hook_keeps_is_the_one_that_the_run_shows(
    hooked_with: Hooked,
) -> None:
    kept: list[State[Any]] = []

    async def keep(_task: Any, _run: Any, state: State[Any]) -> None:
        kept.append(state)

    async with Runtime():
        runs = hooked_with(keep).map(range(3))
        assert [await run for run in runs] == [[0], [1], [2]]
        for run, state in zip(runs, kept, strict=True):
            assert run.history[-1] is state is run.state
            assert state.at > run.history[-2].at
            assert state.state_details.task_run_id == str(run.key)


async def test_what_a_hook_keeps_now_and_then_stays_what_it_was(
    hooked_with: Hooked,
) -> None:
    states: dict[int, State[Any]] = {}
    runs: dict[int, Any] = {}
    begun: set[int] = set()

    async def keep_some(_task: Any, run: Any, state: State[Any]) -> None:
        number = int(run.dynamic_key)
        if number not in begun and number % 5 == 1:
            begun.add(number)
            raise ValueError(number)  # its trace leads to both
        if number % 5 == 2:
            states[number] = state
        if number % 5 == 3:
            runs[number] = run

    async with Runtime():
        futures = hooked_with(keep_some, keep_some).map(range(50))
        await headrace.wait(futures)

    assert list(states) == list(range(2, 50, 5))
    assert list(runs) == list(range(3, 50, 5))
    for number, state in states.items():
        assert state.result() == [number]
        assert state.state_details.task_run_id == str(futures[number].key)
    for number, run in runs.items():
        assert run.id == str(futures[number].key)
        assert run.state == futures[number].state


async def test_a_state_that_nobody_keeps_reads_the_same_later(
    hooked_with: Hooked,
) -> None:
    ids: list[str] = []
    times: list[Any] = []

    async def look(_task: Any, run: Any, state: State[Any]) -> None:
        ids.append(run.id)
        times.append(state.timestamp)

    async with Runtime():
        run = await hooked_with(look).submit(1)
        state = await run.astate()
    assert state.state_details.task_run_id == ids[0]
    assert run.history == run.history
    assert state.timestamp >= times[0]
    assert [each.type.value for each in run.history] == [
        "PENDING",
        "RUNNING",
        "COMPLETED",
    ]


async def test_what_a_hook_read_as_id_stays_the_id_of_the_state(
    hooked_with: Hooked,
) -> None:
    ids: list[str] = []

    async def look(_task: Any, run: Any, state: State[Any]) -> None:
        assert run.state is state
        ids.append(state.id)

    async with Runtime():
        run = await hooked_with(look).submit(1)
        assert (await run.astate()).id == ids[0]


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_run_dies_with_its_last_reference_though_a_hook_kept_its_state(
    is_kept: bool, hooked_with: Hooked
) -> None:
    kept: list[State[Any]] = []

    async def keep(_task: Any, _run: Any, state: State[Any]) -> None:
        if is_kept:
            kept.append(state)

    async with Runtime(history="off"):
        run: Any = await hooked_with(keep, keep).submit(1)
        await run
        seen = weakref.ref(run)
        gc.disable()
        try:
            del run
            await asyncio.sleep(0)
            assert seen() is None
        finally:
            gc.enable()
    assert len(kept) == 2 * is_kept
    for state in kept:
        assert state.result() == [1]
        assert state.run_key is not None


async def test_the_state_can_be_pickled_compared_and_copied_in_a_hook(
    hooked_with: Hooked,
) -> None:
    read: list[State[Any]] = []

    async def look(_task: Any, _run: Any, state: State[Any]) -> None:
        read.append(pickle.loads(pickle.dumps(state)))
        assert state == read[0]
        assert hash(state) == hash(read[0])
        assert state.copy(update={"data": 7}).result() == 7
        assert state != Completed(data=[1])

    async with Runtime():
        run = await hooked_with(look).submit(1)
        await run
    assert read[0] == run.state


async def test_a_state_has_no_other_attributes_than_a_state_has(
    hooked_with: Hooked,
) -> None:
    errors: list[str] = []

    async def look(_task: Any, _run: Any, state: Any) -> None:
        assert not hasattr(state, "resutl")
        try:
            _ = state.resutl
        except AttributeError as error:
            errors.append(str(error))

    async with Runtime():
        await (await hooked_with(look).submit(1))
    assert errors == ["a state has no attribute 'resutl'"]


@pytest.mark.rule("HOOK-04")
async def test_hooks_that_wait_and_hooks_that_do_not_keep_their_order() -> None:
    told: list[tuple[str, bool]] = []

    def named(name: str, naps: int) -> Any:
        async def hook(_task: Any, run: Any, state: State[Any]) -> None:
            for _ in range(naps):
                await asyncio.sleep(0)
            told.append((name, run.state is state))

        return hook

    names = [("a", 0), ("b", 3), ("c", 0), ("d", 1)]
    async with Runtime():
        await (await hooked(*(named(*each) for each in names)).submit(1))
    assert told == [(name, True) for name, _ in names]


@pytest.mark.rule("HOOK-06")
async def test_one_that_fails_at_once_and_one_that_fails_later_harm_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[str] = []

    async def fail(*_: object) -> None:
        raise KeyError("at once")

    async def fail_later(*_: object) -> None:
        await asyncio.sleep(0)
        raise KeyError("later")

    async def tell(*_: object) -> None:
        told.append("told")

    async with Runtime():
        run = await hooked(fail, tell, fail_later, fail, tell).submit(1)
        assert await run == [1]
    assert told == ["told", "told"]
    failures = [each for each in caplog.records if each.name == "headrace.hooks"]
    assert len(failures) == 3


async def test_observers_hear_the_same_state_before_the_hooks() -> None:
    heard: list[Any] = []

    class Listener:
        def on_event(self, event: StateChanged) -> None:
            heard.append(event.after)

    async def tell(_task: Any, _run: Any, state: State[Any]) -> None:
        heard.append(state)

    async with Runtime(observers=[Listener()]):
        await (await hooked(tell).submit(1))
    assert [each.type.value for each in heard] == [
        "PENDING",
        "RUNNING",
        "COMPLETED",
        "COMPLETED",
    ]
    assert heard[2] is heard[3]


async def test_a_hook_that_waits_is_told_of_one_state_that_all_others_see() -> None:
    async with Runtime() as runtime:
        seen: list[Any] = []

        async def look(_task: Any, run: Any, state: State[Any]) -> None:
            await asyncio.sleep(0)
            seen.append((state, run.state, runtime.runs.get(run.id)))

        run = await hooked(look).submit(1)
        await run
        state, shown, found = seen[0]
        assert found is not None
        assert state is shown is run.state


async def test_what_a_hook_sets_in_a_state_is_not_told_of_other_runs(
    hooked_with: Hooked,
) -> None:
    told: list[tuple[str, str | None]] = []

    async def edit(_task: Any, run: Any, state: Any) -> None:
        if run.dynamic_key == "0":
            state.name, state.message = "Odd", "mine"

    async def look(_task: Any, run: Any, state: State[Any]) -> None:
        if run.dynamic_key != "0":
            told.append((state.name, state.message))

    async with Runtime():
        submit = hooked_with(edit, look).submit
        for number in range(3):
            await (await submit(number))
    assert told == [("Completed", None)] * 2


# A thread looks at a run as that completes, and stands still at one of its own steps
# until the next run is in its hook: a state is given to no two runs.
@pytest.mark.parametrize("step", range(1, 13))
async def test_a_thread_that_looks_slowly_sees_the_states_of_that_run(
    step: int,
) -> None:
    looks, halts, goes_on = threading.Event(), threading.Event(), threading.Event()
    runs: list[Any] = []
    seen: list[list[Any]] = []
    steps = iter(range(1, 1_000_000))

    def halt(_frame: Any, event: str, _arg: Any) -> None:
        if event == "call" and next(steps) == step:
            sys.setprofile(None)
            halts.set()
            goes_on.wait(5)

    def look() -> None:
        looks.wait(5)
        view = runs[0].task_run
        sys.setprofile(halt)
        history = view.history
        sys.setprofile(None)
        halts.set()
        seen.append([(each.name, each.data) for each in history])

    def meet(_frame: Any, event: str, arg: Any) -> None:
        if event == "c_return" and arg is sys.getrefcount and not looks.is_set():
            looks.set()
            halts.wait(5)

    async def release(_task: Any, run: Any, _state: State[Any]) -> None:
        if run.dynamic_key == "1":
            goes_on.set()
            thread.join(5)

    thread = threading.Thread(target=look)
    thread.start()
    async with Runtime():
        submit = hooked(release).submit
        runs.append(await submit(0))
        assert runs[0].key  # drawn now, not under a lock that the thread may hold
        sys.setprofile(meet)
        try:
            await runs[0]
        finally:
            sys.setprofile(None)
        await (await submit(1))
    thread.join(5)
    names = [name for name, _ in seen[0]]
    assert names == ["Pending", "Running", "Completed"][: len(names)]
    assert all(data == [0] for name, data in seen[0] if name == "Completed")
