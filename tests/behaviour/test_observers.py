"""Observers: they hear every state of every run, in order, and cannot do harm."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from headrace import Observer, Runtime, State, StateChanged, flow, task
from headrace.exceptions import BlockedLoop
from headrace.runs import TaskRun
from headrace.testing import Recorder

BOUND = 5  # seconds; nothing here comes near
GOOD = ["Pending", "Running", "Completed"]
RETRIED = ["Pending", "Running", "AwaitingRetry", "Retrying", "Completed"]


@task
async def double(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


@task
def double_plainly(x: int) -> int:
    return 2 * x


class Listener:
    """Keeps the names of states by run, and the threads it was called in."""

    def __init__(self) -> None:
        self.heard: dict[str, list[str]] = defaultdict(list)
        self.threads: set[int] = set()

    def on_event(self, event: StateChanged) -> None:
        assert asyncio.get_running_loop().is_running()
        self.threads.add(threading.get_ident())
        self.heard[event.run.name].append(event.after.name)


def paths_of(recorder: Recorder) -> dict[str, list[str]]:
    heard: dict[str, list[str]] = defaultdict(list)
    for event in recorder.events:
        heard[event.run.name].append(event.after.name)
    return dict(heard)


# -- in every door ---------------------------------------------------------------------


async def test_every_door_of_coroutine_code_is_heard_on_the_loop() -> None:
    listener = Listener()

    @flow(name="inner")
    async def inner() -> None:
        await (await double.submit(1))

    @flow(name="plain")
    def plain() -> int:
        return double_plainly(1)

    @flow(name="outer")
    async def outer() -> None:
        await (await double.submit(1))
        await double.map([1, 2]).aresult()
        await double(1)
        await double.acall(1)
        await (await double_plainly.submit(1))
        double_plainly(1)
        await double_plainly.acall(1)
        await inner()
        await plain.acall()

    async with Runtime(observers=[listener]):
        await outer()

    assert listener.threads == {threading.get_ident()}
    assert dict(listener.heard) == {
        "outer-0": GOOD,
        "inner-0": GOOD,
        "plain-0": GOOD,
        # Inner flows number their runs anew: two runs of the name, one by one.
        "double-0": GOOD * 2,
        **{f"double-{number}": GOOD for number in range(1, 5)},
        "double_plainly-0": GOOD * 2,
        **{f"double_plainly-{number}": GOOD for number in range(1, 3)},
    }


def test_every_door_of_plain_code_is_heard_on_one_loop() -> None:
    listener = Listener()

    @flow(name="inner")
    async def inner() -> None:
        await (await double.submit(1))

    @flow(name="outer")
    def outer() -> None:
        _ = double.submit(1).value()
        _ = double.map([1, 2]).wait()
        _ = double(1)
        double_plainly.submit(1).wait()
        double_plainly.map([1, 2]).wait()
        double_plainly(1)
        _ = inner()

    with Runtime(observers=[listener]):
        outer()
        double_plainly(1)

    assert len(listener.threads) == 1
    assert threading.get_ident() not in listener.threads
    assert listener.heard["outer-0"] == listener.heard["inner-0"] == GOOD
    assert listener.heard["double-0"] == GOOD * 2
    assert listener.heard["double_plainly-0"] == GOOD * 2
    assert sum(len(names) for names in listener.heard.values()) == 3 * 12


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_each_event_says_the_run_and_both_states(kind: str) -> None:
    recorder = Recorder()
    async with Runtime(observers=[recorder]):
        future = await (double if kind == "coroutine" else double_plainly).submit(1)
        await future

    history = future.history
    assert [event.before for event in recorder.events] == [None, *history[:-1]]
    assert [event.after for event in recorder.events] == history
    for event in recorder.events:
        assert isinstance(event.run, TaskRun)
        assert event.run == future.task_run


async def test_retries_timeouts_cancels_and_held_back_runs_are_heard() -> None:
    recorder = Recorder()
    outcomes = iter([ValueError(), None])

    @task(retries=1)
    async def flaky() -> None:
        if (error := next(outcomes)) is not None:
            raise error

    @task(timeout_seconds=1)
    async def slow() -> None:
        await asyncio.sleep(10)

    @task
    async def cancelled() -> None:
        await asyncio.sleep(10)

    @task
    async def held() -> None: ...

    async with Runtime(observers=[recorder]):
        await (await flaky.submit()).astate()
        late = await slow.submit()
        await (await held.submit(wait_for=[late])).astate()
        future = await cancelled.submit()
        await asyncio.sleep(1)
        future.cancel()
        await future.astate()

    assert paths_of(recorder) == {
        "flaky-0": RETRIED,
        "slow-0": ["Pending", "Running", "TimedOut"],
        "held-0": ["Pending", "NotReady"],
        "cancelled-0": ["Pending", "Running", "Cancelled"],
    }


@pytest.mark.parametrize("how", ["awaited", "called"])
async def test_retries_of_runs_in_place_are_heard(how: str) -> None:
    recorder = Recorder()
    outcomes = iter([ValueError(), None])

    def flaky() -> None:
        if (error := next(outcomes)) is not None:
            raise error

    async def flaky_on_loop() -> None:
        flaky()

    async with Runtime(observers=[recorder]):
        if how == "awaited":
            await task(retries=1, retry_delay_seconds=5)(flaky_on_loop)()
        else:
            task(retries=1)(flaky)()

    assert recorder.path == RETRIED


async def test_a_thousand_runs_at_once_are_each_heard_in_order() -> None:
    recorder = Recorder()

    @flow(name="main")
    async def main() -> None:
        await double.map(range(500)).aresult()
        await double_plainly.map(range(500)).aresult()

    async with Runtime(observers=[recorder], max_threads=8):
        await main()

    paths = paths_of(recorder)
    assert len(paths) == 1001
    assert all(path == GOOD for path in paths.values())


def test_events_of_threads_are_all_heard_by_the_end_of_the_runtime() -> None:
    recorder = Recorder()
    with Runtime(observers=[recorder]) as runtime:

        def work() -> None:
            with runtime.use():
                for number in range(200):
                    double_plainly(number)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(BOUND)

    assert len(recorder.events) == 3 * 800
    assert all(path == GOOD for path in paths_of(recorder).values())


def test_a_slow_observer_hears_all_before_the_runtime_has_ended() -> None:
    class Slow(Recorder):
        def on_event(self, event: StateChanged) -> None:
            threading.Event().wait(0.0005)
            super().on_event(event)

    recorder = Slow()
    with Runtime(observers=[recorder]):
        for number in range(50):
            double_plainly(number)

    assert len(recorder.events) == 150


async def test_a_slow_observer_hears_all_before_an_async_runtime_has_ended() -> None:
    class Slow(Recorder):
        def on_event(self, event: StateChanged) -> None:
            threading.Event().wait(0.0005)
            super().on_event(event)

    @flow
    def plain() -> None:
        for number in range(50):
            double_plainly(number)

    recorder = Slow()
    async with Runtime(observers=[recorder]):
        await plain.acall()

    assert len(recorder.events) == 153


async def test_a_flow_called_on_the_loop_thread_is_heard_too() -> None:
    recorder = Recorder()

    @flow(name="plain")
    def plain() -> int:
        return double_plainly.submit(1).result()

    @flow(name="main")
    async def main() -> int:
        return plain()

    async with Runtime(observers=[recorder]):
        await main()

    assert paths_of(recorder) == {
        "main-0": GOOD,
        "plain-0": GOOD,
        "double_plainly-0": GOOD,
    }


@pytest.mark.real_loops
async def test_a_run_whose_thread_was_abandoned_is_heard_to_its_end_once() -> None:
    recorder = Recorder()
    release = threading.Event()

    @task(interrupt=False, timeout_seconds=0.01)
    def stuck() -> None:
        release.wait(BOUND)

    async with Runtime(observers=[recorder]):
        future = await stuck.submit()
        await future.astate()
        release.set()
        await (await double.submit(1))

    assert paths_of(recorder) == {
        "stuck-0": ["Pending", "Running", "TimedOut"],
        "double-0": GOOD,
    }


# -- events that are read later --------------------------------------------------------


class Keeper:
    """Keeps events and looks at none."""

    def __init__(self) -> None:
        self.events: list[StateChanged] = []

    def on_event(self, event: StateChanged) -> None:
        self.events.append(event)


async def test_an_event_says_the_same_whenever_it_is_read() -> None:
    keeper, listener = Keeper(), Listener()
    outcomes = iter([ValueError(), None])

    @task(retries=1)
    async def flaky() -> None:
        if (error := next(outcomes)) is not None:
            raise error

    @task
    async def fail() -> None:
        raise ValueError("boom")

    @flow(name="main")
    async def main() -> None:
        await (await flaky.submit()).astate()
        failed = await fail.submit()
        await (await double.submit(1, wait_for=[failed])).astate()
        await double.map([1, 2]).aresult()
        double_plainly(1)

    async with Runtime(observers=[keeper, listener]):
        await main(return_state=True)

    heard: dict[str, list[str]] = defaultdict(list)
    for event in keeper.events:
        heard[event.run.name].append(event.after.name)
    assert dict(heard) == dict(listener.heard)
    assert heard["flaky-0"] == RETRIED


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_an_event_that_is_read_late_has_the_states_of_its_run(kind: str) -> None:
    keeper = Keeper()
    async with Runtime(observers=[keeper]):
        future = await (double if kind == "coroutine" else double_plainly).submit(1)
        await future

    history = future.history
    for event, before, after in zip(
        keeper.events, [None, *history], history, strict=False
    ):
        assert event.before is before
        assert event.after is event.after is after
        assert event.run is event.run
    assert len(keeper.events) == len(history) == 3


async def test_an_event_shows_its_run_and_both_states() -> None:
    keeper = Keeper()
    async with Runtime(observers=[keeper]):
        await (await double.submit(1))

    assert repr(keeper.events[1]) == (
        "StateChanged(run=TaskRun('double-0', state='Completed'), "
        "before=Pending(message=None, type=PENDING, result=None), "
        "after=Running(message=None, type=RUNNING, result=None))"
    )


# -- observers that do harm ------------------------------------------------------------


class Broken:
    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.calls = 0

    def on_event(self, event: StateChanged) -> None:
        self.calls += 1
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("broken"),
        KeyboardInterrupt("broken"),
        asyncio.CancelledError("broken"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_broken_observer_is_logged_once_and_heard_no_more(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    broken, recorder = Broken(error), Recorder()

    async with Runtime(observers=[broken, recorder]):
        values = await double.map([1, 2]).aresult()
        double_plainly(1)

    assert values == [2, 4]
    assert broken.calls == 1
    assert len(recorder.events) == 9
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("headrace.events", "ERROR")
    assert "Broken" in caplog.text


async def test_a_broken_observer_is_dropped_for_flows_on_other_loops_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = Broken(ValueError("broken"))

    @flow
    def plain() -> int:
        return double_plainly.submit(1).result()

    async with Runtime(observers=[broken]):
        for _ in range(3):
            assert plain() == 2

    assert broken.calls == 1
    assert len(caplog.records) == 1


async def test_an_observer_equal_to_a_broken_one_is_still_heard() -> None:
    class Alike(Broken):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Alike)

        def __hash__(self) -> int:
            return 1

        def on_event(self, event: StateChanged) -> None:
            self.calls += 1
            if str(self.error):
                raise self.error

    good, bad = Alike(ValueError("")), Alike(ValueError("broken"))

    async with Runtime(observers=[good, bad]):
        await double(1)

    assert (good.calls, bad.calls) == (3, 1)


async def test_an_observer_may_not_block_for_a_run() -> None:
    seen: list[type[BaseException]] = []
    futures: list[Any] = []

    class Impatient:
        def on_event(self, event: StateChanged) -> None:
            if futures and event.after.is_running():
                try:
                    futures[0].value()
                except BlockedLoop as error:
                    seen.append(type(error))

    async with Runtime(observers=[Impatient()]):
        futures.append(await double.submit(1))
        assert await futures[0] == 2

    assert seen == [BlockedLoop]


async def test_what_an_observer_reads_is_not_observed_by_anybody() -> None:
    class Curious:
        def on_event(self, event: StateChanged) -> None:
            _ = event.run.state, event.run.history, event.after.data

    @task
    async def fail() -> None:
        raise ValueError("boom")

    @flow
    async def main() -> None:
        await fail.submit()

    class CuriousOfTasks(Curious):
        def on_event(self, event: StateChanged) -> None:
            if isinstance(event.run, TaskRun):
                super().on_event(event)

    async with Runtime(observers=[CuriousOfTasks()]):
        with pytest.raises(ValueError, match="boom"):
            await main()


# -- when nobody listens ---------------------------------------------------------------


def count_states() -> int:
    gc.collect()
    return sum(type(each) is State for each in gc.get_objects())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_without_an_observer_no_state_is_made(kind: str) -> None:
    async with Runtime():
        before = count_states()
        futures = await (double if kind == "coroutine" else double_plainly).map(
            range(100)
        )
        await asyncio.gather(*futures)

        assert count_states() == before
        assert len(futures[0].history) == 3
        assert count_states() == before + 3


async def test_no_state_is_made_for_an_observer_that_does_not_look() -> None:
    keeper = Keeper()
    async with Runtime(observers=[keeper]):
        before = count_states()
        await double.map(range(100)).aresult()

        assert count_states() == before
        assert len(keeper.events) == 300


@pytest.mark.slow
async def test_when_every_observer_was_dropped_no_more_states_are_made() -> None:
    async with Runtime(observers=[Broken(ValueError("broken"))]):
        logging.disable()
        try:
            await double.submit(0)
        finally:
            logging.disable(logging.NOTSET)
        await asyncio.sleep(1)
        before = count_states()
        futures = await double.map(range(100))
        await asyncio.gather(*futures)

        assert count_states() == before


def test_any_object_with_the_method_is_an_observer() -> None:
    listener: Observer = Listener()
    calls: Callable[[StateChanged], None] = listener.on_event

    assert callable(calls)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([3], r"3 is no observer.*on_event\(event\)"),
        ([Listener], "is no observer"),
        (3, "must be a list of observers"),
        (Listener(), "must be a list of observers"),
    ],
)
def test_what_is_no_observer_is_refused_when_the_runtime_is_made(
    given: Any, said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        Runtime(observers=given)


def test_observers_may_come_from_an_iterator() -> None:
    listener = Listener()
    with Runtime(observers=iter([listener])):
        assert double_plainly.submit(1).result() == 2
    assert [*listener.heard.values()] == [GOOD]
