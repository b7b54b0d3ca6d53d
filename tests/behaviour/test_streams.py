"""``task.stream(...)``: what it gives, in which order, and what it never does."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any

import pytest
from hypothesis import given, strategies as st

from headrace import (
    Runtime,
    State,
    allow_failure,
    flow,
    quote,
    tags,
    task,
    unmapped,
)
from headrace.exceptions import (
    BlockedLoop,
    CancelledRun,
    MappingLengthMismatch,
    MappingMissingIterable,
    ParameterBindError,
    RunEnded,
    SubmitOutsideRun,
    UpstreamTaskError,
)
from headrace.streams import Stream
from headrace.task_runners import SequentialTaskRunner
from headrace.testing import Recorder, VirtualTimeLoop

LONG = 3600.0


@task
async def inc(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


@task
def double(x: int) -> int:
    return 2 * x


@task
async def sleep(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@task
async def check(x: int) -> int:
    if x < 0:
        raise ValueError(x)
    return x


@task
async def hold_for(_: int) -> None:
    await asyncio.Event().wait()


async def numbers(read: list[int] | None = None) -> AsyncGenerator[int]:
    for number in itertools.count():
        if read is not None:
            read.append(number)
        yield number
        await asyncio.sleep(0)


async def all_of(stream: Any) -> list[Any]:
    return [result async for result in stream]


# -- what is given ---------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as-they-end"])
@pytest.mark.parametrize("kind", [inc, double], ids=["coroutine", "plain"])
async def test_a_stream_gives_the_result_of_each_element(
    kind: Any, ordered: bool
) -> None:
    async with Runtime():
        results = await all_of(kind.stream(range(300), limit=7, ordered=ordered))

    expected = [kind.fn(x) if kind is double else x + 1 for x in range(300)]
    assert (results if ordered else sorted(results)) == expected


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as-they-end"])
@pytest.mark.parametrize("kind", [inc, double], ids=["coroutine", "plain"])
def test_a_stream_does_so_in_plain_code(kind: Any, ordered: bool) -> None:
    with Runtime():
        results = list(kind.stream(range(300), limit=7, ordered=ordered))

    expected = [x + 1 if kind is inc else 2 * x for x in range(300)]
    assert (results if ordered else sorted(results)) == expected


async def test_results_come_in_the_order_of_the_elements() -> None:
    async with Runtime():
        results = await all_of(sleep.stream([3, 1, 2], limit=3))

    assert results == [3, 1, 2]


async def test_unordered_results_come_as_their_runs_end() -> None:
    async with Runtime():
        results = await all_of(sleep.stream([3, 1, 2], limit=3, ordered=False))

    assert results == [1, 2, 3]


@given(
    items=st.lists(st.integers(-3, 20), max_size=40),
    limit=st.integers(1, 12),
    ordered=st.booleans(),
    is_async=st.booleans(),
    in_plain_code=st.booleans(),
    stages=st.integers(1, 3),
)
def test_a_stream_gives_what_a_list_comprehension_gives(
    items: list[int],
    limit: int,
    ordered: bool,
    is_async: bool,
    in_plain_code: bool,
    stages: int,
) -> None:
    async def source() -> AsyncIterator[int]:
        for item in items:
            yield item

    def made() -> Any:
        given = source() if is_async else items
        stream = check.stream(given, limit=limit, ordered=ordered, return_state=True)
        for _ in range(stages - 1):
            stream = stream.then(check, limit=limit, ordered=ordered)
        return stream

    async def main() -> list[State[int]]:
        async with Runtime():
            return await all_of(made())

    if in_plain_code:
        with Runtime():
            states = list(made())
    else:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            states = runner.run(main())

    given = [
        state.result() if state.is_completed() else str(state.result(False))
        for state in states
    ]
    expected = [x if x >= 0 else str(x) for x in items]
    if ordered:
        assert given == expected
    else:
        assert sorted(map(str, given)) == sorted(map(str, expected))


async def test_arguments_are_bound_as_by_map() -> None:
    @task
    async def show(*args: Any, **kwargs: Any) -> str:
        return f"{args} {kwargs}"

    async with Runtime():
        constants = await all_of(show.stream([1, 2], "ab", unmapped([3])))
        zipped = await all_of(show.stream([1, 2], (x for x in "ab"), key=[3, 4]))
        keywords = await all_of(show.stream(5, key=range(2)))
        quoted = await all_of(show.stream(quote([[1], [2]])))
        keys = await all_of(show.stream({"a": 1, "b": 2}))

    assert constants == ["(1, 'ab', [3]) {}", "(2, 'ab', [3]) {}"]
    assert zipped == ["(1, 'a') {'key': 3}", "(2, 'b') {'key': 4}"]
    assert keywords == ["(5,) {'key': 0}", "(5,) {'key': 1}"]
    assert quoted == ["([1],) {}", "([2],) {}"]
    assert keys == ["('a',) {}", "('b',) {}"]


async def test_plain_and_asynchronous_iterables_are_read_side_by_side() -> None:
    @task
    async def add(x: int, y: int, z: int) -> int:
        return x + y + z

    async def tens() -> AsyncIterator[int]:
        for ten in (10, 20, 30):
            yield ten

    async with Runtime():
        results = await all_of(add.stream([1, 2, 3], tens(), 100))

    assert results == [111, 122, 133]


async def test_what_an_argument_is_a_future_of_is_read() -> None:
    @task
    async def load() -> list[int]:
        await asyncio.sleep(1)
        return [1, 2, 3]

    async with Runtime():
        pending = await all_of(inc.stream(load.submit()))
        done = load.submit()
        await done.astate()
        ended = await all_of(inc.stream(done))

    assert pending == ended == [2, 3, 4]


def test_what_an_argument_is_a_future_of_is_read_in_plain_code() -> None:
    @task
    def load() -> list[int]:
        return [1, 2, 3]

    with Runtime():
        assert list(inc.stream(load.submit())) == [2, 3, 4]


async def test_a_future_that_failed_cannot_be_read() -> None:
    async with Runtime():
        stream = inc.stream(check.submit(-1))
        with pytest.raises(UpstreamTaskError):
            await anext(stream)


async def test_futures_that_a_source_gives_are_waited_for() -> None:
    async with Runtime():
        results = await all_of(inc.stream(inc.submit(x) for x in range(5)))
        failing = inc.stream(check.submit(x) for x in (1, -1))
        assert await anext(failing) == 2
        with pytest.raises(UpstreamTaskError):
            await anext(failing)
        told = await all_of(
            task(str).stream(allow_failure([check.submit(1), check.submit(-1)]))
        )

    assert results == [2, 3, 4, 5, 6]
    assert told == ["1", "-1"]


async def test_runs_wait_for_what_they_are_told_to_wait_for() -> None:
    order: list[str] = []

    @task
    async def first() -> None:
        await asyncio.sleep(1)
        order.append("first")

    @task
    async def then(x: int) -> None:
        order.append("then")

    async with Runtime():
        await all_of(then.stream([1, 2], wait_for=[first.submit()]))

    assert order == ["first", "then", "then"]


async def test_runs_have_names_tags_and_records_as_those_of_a_map() -> None:
    recorder = Recorder()

    async with Runtime(observers=[recorder]) as runtime:
        with tags("night"):
            stream = inc.stream(range(3))
        await all_of(stream.then(check))
        runs = runtime.runs
        names = sorted(run.name for run in runs)
        first = next(run for run in runs if run.name == "inc-0")

    assert names == ["check-0", "check-1", "check-2", "inc-0", "inc-1", "inc-2"]
    assert "night" in first.tags


async def test_an_empty_source_gives_nothing() -> None:
    async with Runtime():
        assert await all_of(inc.stream([])) == []
        assert await all_of(inc.stream([]).then(inc)) == []


async def test_a_stream_that_is_over_stays_so() -> None:
    async with Runtime():
        stream = inc.stream([1])
        assert await anext(stream) == 2
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await anext(stream)


# -- how far it reads ------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as-they-end"])
async def test_leaving_an_endless_source_leaves_nothing_behind(ordered: bool) -> None:
    read: list[int] = []
    before = asyncio.all_tasks()

    async with Runtime() as runtime:
        taken = 0
        async for _ in inc.stream(numbers(read), ordered=ordered):
            taken += 1
            if taken == 10:
                break
        assert len(read) <= 100 + 11
        for _ in range(100):
            await asyncio.sleep(0)
        assert runtime.stats()["open_runs"] == 0
        assert asyncio.all_tasks() == before

    assert len(read) <= 100 + 11


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as-they-end"])
async def test_never_more_than_the_limit_is_in_flight(ordered: bool) -> None:
    going = most = 0

    @task
    async def count(x: int) -> int:
        nonlocal going, most
        going += 1
        most = max(most, going)
        await asyncio.sleep(x % 5)
        going -= 1
        return x

    async with Runtime():
        results = await all_of(count.stream(range(200), limit=8, ordered=ordered))

    assert sorted(results) == list(range(200))
    assert most == 8


async def test_nothing_is_read_before_the_first_result_is_asked_for() -> None:
    read: list[int] = []

    async with Runtime():
        stream = inc.stream(numbers(read), limit=5)
        await asyncio.sleep(1)
        assert read == []
        await anext(stream)
        await asyncio.sleep(1)
        assert len(read) == 6
        await stream.aclose()


async def test_a_slow_consumer_holds_up_the_source_and_not_the_runs() -> None:
    read: list[int] = []

    async with Runtime():
        began = asyncio.get_running_loop().time()
        stream = sleep.stream((read.append(1) or 1.0 for _ in range(20)), limit=5)
        async for _ in stream:
            assert len(read) <= 20
            await asyncio.sleep(1)
        took = asyncio.get_running_loop().time() - began

    assert took <= 21.5  # of runs that wait for the consumer it would be 25 and more


async def test_a_result_is_given_while_the_source_has_no_more_yet() -> None:
    go_on = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        yield 1
        await go_on.wait()
        yield 2

    async with Runtime():
        stream = inc.stream(source())
        assert await anext(stream) == 2
        go_on.set()
        assert await anext(stream) == 3


def test_a_result_is_given_between_two_rows_of_a_slow_plain_source() -> None:
    given: list[int] = []
    at_second: list[int] = []

    def source() -> Iterator[int]:
        yield 1
        for number in (2, 3):
            # It blocks until the run of the number before has surely ended.
            assert ended.wait(5)
            ended.clear()
            gate.wait(0.02)
            at_second.append(len(given))
            yield number

    ended, gate = threading.Event(), threading.Event()

    @task
    def work(x: int) -> int:
        ended.set()
        return x

    with Runtime():
        given.extend(work.stream(source()))

    assert given == [1, 2, 3]
    assert at_second == [0, 1]


def test_a_plain_source_is_read_in_the_thread_that_reads_the_stream() -> None:
    threads: set[int] = set()

    def source() -> Iterator[int]:
        for number in range(300):
            threads.add(threading.get_ident())
            yield number

    with Runtime():
        assert sum(inc.stream(source())) == sum(range(1, 301))

    assert threads == {threading.get_ident()}


# -- failures --------------------------------------------------------------------------


async def test_a_failure_is_raised_in_its_place_and_ends_the_stream() -> None:
    closed: list[bool] = []

    async def source() -> AsyncIterator[int]:
        try:
            for number in (1, -2, 3, 4):
                yield number
        finally:
            await asyncio.sleep(1)
            closed.append(True)

    async with Runtime() as runtime:
        stream = check.stream(source(), limit=2)
        assert await anext(stream) == 1
        with pytest.raises(ValueError, match="-2"):
            await anext(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await asyncio.sleep(2)
        assert runtime.stats()["open_runs"] == 0

    assert closed == [True]


def test_a_failure_is_raised_in_its_place_in_plain_code() -> None:
    given: list[int] = []

    with Runtime(), pytest.raises(ValueError, match="-2"):
        given.extend(check.stream([1, -2, 3]))

    assert given == [1]


async def test_failures_come_as_states_if_states_are_asked_for() -> None:
    async with Runtime():
        states = await all_of(check.stream([1, -2, 3], return_state=True))

    assert [state.name for state in states] == ["Completed", "Failed", "Completed"]
    assert states[0].result() == 1


async def test_so_many_failures_are_left_out_and_the_next_is_raised() -> None:
    async with Runtime():
        stream = check.stream([1, -2, -3, 4, -5, 6], max_failures=2)
        given = [await anext(stream), await anext(stream)]
        assert stream.failures == 2
        with pytest.raises(ValueError, match="-5") as raised:
            await anext(stream)

    assert given == [1, 4]
    assert "max_failures=2" in raised.value.__notes__[0]


async def test_so_many_failures_are_given_as_states() -> None:
    async with Runtime():
        stream = check.stream([-1, -2, 3], max_failures=1, return_state=True)
        assert (await anext(stream)).is_failed()
        with pytest.raises(ValueError, match="-2"):
            await anext(stream)


async def test_failures_that_were_given_do_not_fail_the_flow() -> None:
    @flow
    async def main() -> None:
        await all_of(check.stream([1, -2], return_state=True))
        await all_of(check.stream([1, -2], max_failures=1))
        with contextlib.suppress(ValueError):
            await all_of(check.stream([-1, -2, -3]))

    state = await main(return_state=True)

    assert state.is_completed()


async def test_what_a_flow_left_undone_does_not_fail_it() -> None:
    @flow
    async def main() -> None:
        async for _ in sleep.stream(itertools.repeat(1)):
            break

    state = await main(return_state=True)

    assert state.is_completed()


@pytest.mark.parametrize("error", [StopAsyncIteration, StopIteration, GeneratorExit])
async def test_no_error_of_a_body_ends_the_loop_silently(
    error: type[BaseException],
) -> None:
    @task
    def plain(x: int) -> int:
        raise error

    @task
    async def coroutine(x: int) -> int:
        raise error

    async with Runtime():
        for kind in (plain, coroutine):
            with pytest.raises(Exception, match=r"raised|interrupted|GeneratorExit"):
                await all_of(kind.stream([1]))


@pytest.mark.parametrize("error", [StopAsyncIteration, ValueError])
async def test_an_error_of_a_source_is_raised_after_what_it_gave(
    error: type[BaseException],
) -> None:
    class Source:
        def __init__(self) -> None:
            self.left = 3

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            self.left -= 1
            if self.left < 0:
                raise error("no more")
            return self.left

    async with Runtime():
        stream = inc.stream(Source())
        given = [await anext(stream) for _ in range(3)]
        with pytest.raises((RuntimeError, ValueError), match=r"no more|raised"):
            await anext(stream)

    assert given == [3, 2, 1]


async def test_an_asynchronous_source_that_raises_or_is_cancelled_says_so() -> None:
    async def raising() -> AsyncIterator[int]:
        yield 1
        raise KeyError("gone")

    async def cancelled() -> AsyncIterator[int]:
        yield 1
        raise asyncio.CancelledError

    async with Runtime():
        stream = inc.stream(raising())
        assert await anext(stream) == 2
        with pytest.raises(KeyError):
            await anext(stream)
        stream = inc.stream(cancelled())
        assert await anext(stream) == 2
        with pytest.raises(CancelledRun, match="source"):
            await anext(stream)


async def test_a_task_that_cancels_itself_counts_as_a_failure() -> None:
    @task
    async def give_up(x: int) -> int:
        if x == 1:
            raise asyncio.CancelledError
        return x

    async with Runtime():
        states = await all_of(give_up.stream(range(3), return_state=True))
        with pytest.raises(CancelledRun):
            await all_of(give_up.stream(range(3)))

    assert [state.name for state in states] == ["Completed", "Cancelled", "Completed"]


# -- leaving early ---------------------------------------------------------------------


class Source:
    """A source that says when it was closed, and takes a while for that."""

    def __init__(self, seconds_to_close: float = 1) -> None:
        self.is_closed = False
        self.read = 0
        self._seconds_to_close = seconds_to_close

    async def forever(self) -> AsyncGenerator[int]:
        try:
            while True:
                self.read += 1
                yield self.read
                await asyncio.sleep(0.1)
        finally:
            await asyncio.sleep(self._seconds_to_close)
            self.is_closed = True

    async def stuck(self) -> AsyncGenerator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(self._seconds_to_close)
            self.is_closed = True

    def plain(self) -> Generator[int]:
        try:
            while True:
                self.read += 1
                yield self.read
        finally:
            self.is_closed = True


async def leave_by_break(stream: Any) -> None:
    async for _ in stream:
        await asyncio.sleep(2)
        return


async def leave_by_raising(stream: Any) -> None:
    async for _ in stream:
        await asyncio.sleep(2)
        raise KeyError


async def leave_by_cancel(stream: Any) -> None:
    async with asyncio.timeout(2):
        async for _ in stream:
            pass


async def leave_by_letting_go(stream: Any) -> None:
    await anext(stream)
    await asyncio.sleep(2)


async def leave_by_closing(stream: Any) -> None:
    await anext(stream)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def leave_by_with(stream: Any) -> None:
    async with stream:
        await anext(stream)


WAYS = [
    leave_by_break,
    leave_by_raising,
    leave_by_cancel,
    leave_by_letting_go,
    leave_by_closing,
    leave_by_with,
]


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as-they-end"])
@pytest.mark.parametrize("kind", ["forever", "stuck", "plain"])
@pytest.mark.parametrize("way", WAYS)
async def test_leaving_early_cancels_the_runs_and_closes_the_source(
    way: Any, kind: str, ordered: bool
) -> None:
    source = Source()
    begun: list[int] = []
    ended: list[int] = []

    @task
    async def work(x: int) -> int:
        begun.append(x)
        try:
            await asyncio.sleep(LONG if x > 1 else 0)
        finally:
            ended.append(x)
        return x

    async with Runtime() as runtime:
        with contextlib.suppress(KeyError, TimeoutError):
            await way(work.stream(getattr(source, kind)(), limit=5, ordered=ordered))
        gc.collect()
        await asyncio.sleep(5)
        assert source.is_closed
        assert runtime.stats()["open_runs"] == 0
        reads = source.read
        await asyncio.sleep(5)

    assert sorted(ended) == sorted(begun)
    assert source.read == reads


@pytest.mark.parametrize("way", ["break", "raise", "close", "del", "with"])
def test_leaving_early_does_so_in_plain_code(way: str) -> None:
    source = Source()

    @task
    async def work(x: int) -> int:
        if x > 1:
            await asyncio.sleep(LONG)
        return x

    def read() -> None:
        stream = work.stream(source.plain(), limit=5)
        if way == "with":
            with stream:
                next(stream)
            return
        if way in ("close", "del"):
            next(stream)
            if way == "close":
                stream.close()
                assert source.is_closed
                assert list(stream) == []
            return
        for _ in stream:
            if way == "break":
                return
            raise KeyError

    @flow
    def main() -> str:
        with contextlib.suppress(KeyError):
            read()
        assert source.is_closed
        return "left"

    assert main() == "left"


def test_an_asynchronous_source_is_closed_in_plain_code() -> None:
    closed = threading.Event()

    async def source() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0)
            closed.set()

    @flow
    def main() -> str:
        for _ in inc.stream(source()):
            break
        return "left"

    assert main() == "left"
    assert closed.is_set()


async def test_a_source_that_cannot_be_closed_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def source() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            raise KeyError("no")

    async with Runtime():
        async for _ in inc.stream(source()):
            break

    assert "closing a source of inc.stream() failed" in caplog.text


async def test_a_source_that_swallows_its_cancellation_is_left_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    event = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        yield 1
        while not event.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await event.wait()

    async with Runtime() as runtime:
        stream = inc.stream(source())
        assert await anext(stream) == 2
        await stream.aclose()
        assert runtime.stats()["zombies"] == 1
        event.set()

    assert "left behind" in caplog.text
    await asyncio.sleep(0)


async def test_a_wait_that_is_cancelled_leaves_the_stream_alone() -> None:
    async with Runtime():
        stream = sleep.stream([10, 1])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 1)
        assert await anext(stream) == 10
        assert await anext(stream) == 1


# -- where it belongs ------------------------------------------------------------------


def test_a_stream_outside_of_everything_says_where_it_can_be_made() -> None:
    with pytest.raises(SubmitOutsideRun, match=r"@flow.*Runtime\(\)"):
        inc.stream([1])


async def test_a_stream_of_a_flow_that_has_ended_gives_nothing_more() -> None:
    kept: list[Stream[int]] = []

    @flow
    async def main() -> None:
        stream = inc.stream(numbers(), limit=3)
        kept.append(stream)
        await anext(stream)

    @flow
    async def unread() -> None:
        kept.append(inc.stream([1]))

    await main()
    await unread()

    for stream in kept:
        with pytest.raises(RunEnded):
            await anext(stream)


def test_a_plain_flow_ends_although_its_stream_is_unfinished() -> None:
    kept: list[Stream[int]] = []

    @flow
    def main() -> str:
        for source in (itertools.count(), numbers()):
            stream = inc.stream(source, limit=3)
            kept.append(stream)
            next(stream)
        return "ended"

    assert main() == "ended"
    for stream in kept:
        with pytest.raises(RunEnded):
            next(stream)


async def test_a_runtime_that_is_left_ends_a_stream_that_others_read() -> None:
    given: list[int] = []

    async def read() -> None:
        stream = inc.stream(Source().forever())
        while True:
            given.append(await anext(stream))

    async with Runtime():
        reading = asyncio.get_running_loop().create_task(read())
        await asyncio.sleep(1)

    with pytest.raises(RunEnded):
        await reading
    assert given == list(range(2, len(given) + 2))


async def test_a_task_of_a_flow_reads_its_stream_to_the_end() -> None:
    @task
    async def read() -> int:
        return sum(await all_of(inc.stream(range(500), limit=10)))

    @flow
    async def main() -> Any:
        return await read.submit()

    assert await main() == sum(range(1, 501))


async def test_a_task_goes_on_reading_after_the_body_of_its_flow() -> None:
    total: list[int] = []

    @task
    async def read() -> None:
        total.append(sum(await all_of(sleep.stream([1] * 50, limit=3))))

    @flow
    async def main() -> None:
        await read.submit()

    await main()

    assert total == [50]


def test_plain_tasks_read_streams_in_threads() -> None:
    @task
    def read(size: int) -> int:
        return sum(inc.stream(range(size), limit=10))

    @flow
    def main() -> Any:
        return read.map([10, 20, 30]).result()

    assert main() == [sum(range(1, n + 1)) for n in (10, 20, 30)]


async def test_a_cancelled_flow_cancels_its_stream() -> None:
    source = Source()

    @flow
    async def main() -> None:
        async for _ in sleep.stream(source.forever()):
            pass

    running = asyncio.get_running_loop().create_task(main())
    await asyncio.sleep(3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert source.is_closed


async def test_a_cancelled_task_takes_the_runs_of_its_stream_along() -> None:
    @task
    async def read() -> None:
        async for _ in sleep.stream(itertools.repeat(LONG)):
            pass

    async with Runtime() as runtime:
        future = await read.submit()
        await asyncio.sleep(1)
        future.cancel()
        with pytest.raises(CancelledRun):
            await future
        await asyncio.sleep(1)
        assert runtime.stats()["open_runs"] == 0


async def test_a_flow_at_its_limit_ends_its_stream() -> None:
    @flow(timeout_seconds=5)
    async def main() -> None:
        async for _ in sleep.stream(itertools.repeat(1), return_state=True):
            pass

    state = await main(return_state=True)

    assert state.name == "TimedOut"


@pytest.mark.parametrize("kind", ["plain", "forever"])
def test_a_plain_flow_at_its_limit_closes_the_source_of_its_stream(kind: str) -> None:
    source = Source(seconds_to_close=0.01)

    @flow(timeout_seconds=0.05)
    def main() -> None:
        for _ in hold_for.stream(getattr(source, kind)()):
            pass

    state = main(return_state=True)

    assert state.name == "TimedOut"
    assert source.is_closed


@pytest.mark.parametrize("kind", ["plain", "forever"])
def test_a_plain_task_at_its_limit_closes_the_source_of_its_stream(kind: str) -> None:
    source = Source(seconds_to_close=0.01)

    @task(timeout_seconds=0.05)
    def read() -> None:
        for _ in hold_for.stream(getattr(source, kind)()):
            pass

    @flow
    def main() -> str:
        return str(read(return_state=True).name)

    assert main() == "TimedOut"
    assert source.is_closed


async def test_streams_in_streams() -> None:
    async with Runtime():
        inner = inc.stream(range(20), limit=3)
        assert await all_of(inc.stream(inner, limit=2)) == list(range(2, 22))
        inner = inc.stream(numbers())
        async with inc.stream(inner) as outer:
            assert await anext(outer) == 2
        with pytest.raises(StopAsyncIteration):
            await anext(inner)


def test_streams_in_streams_in_plain_code() -> None:
    with Runtime():
        assert list(double.stream(inc.stream(range(20), limit=3), limit=2)) == [
            2 * x for x in range(1, 21)
        ]


async def test_tasks_that_share_a_stream_get_each_result_once() -> None:
    given: list[int] = []

    async def read(stream: Stream[int]) -> None:
        async for result in stream:
            await asyncio.sleep(result % 3)
            given.append(result)

    async with Runtime():
        for source in (range(50), itertools.islice(itertools.count(), 50)):
            given.clear()
            stream = inc.stream(source, limit=4)
            async with asyncio.timeout(500), asyncio.TaskGroup() as group:
                for _ in range(5):
                    group.create_task(read(stream))
            assert sorted(given) == list(range(1, 51))


def test_two_threads_do_not_share_a_stream() -> None:
    entered, leave = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        entered.set()
        leave.wait(5)
        yield 1

    raised: list[BaseException] = []
    with Runtime():
        stream = inc.stream(source())

        def other() -> None:
            entered.wait(5)
            try:
                next(stream)
            except RuntimeError as error:
                raised.append(error)
            leave.set()

        thread = threading.Thread(target=other)
        thread.start()
        assert list(stream) == [2]
        thread.join()

    assert "another thread" in str(raised[0])


async def test_a_loop_other_than_the_one_of_the_runtime_reads_it_as_well() -> None:
    async def main() -> list[list[int]]:
        return [
            await all_of(inc.stream(range(200), limit=7)),
            await all_of(inc.stream(_few(200), limit=7)),
            await all_of(inc.stream(_few(200), limit=7).then(inc, limit=3)),
            sorted(await all_of(double.stream(range(50), ordered=False))),
        ]

    def in_thread() -> list[list[int]]:
        with Runtime():
            return asyncio.run(main())

    found = await asyncio.to_thread(in_thread)

    assert found == [
        list(range(1, 201)),
        list(range(1, 201)),
        list(range(2, 202)),
        list(range(0, 100, 2)),
    ]


async def _few(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number
        await asyncio.sleep(0)


async def test_for_says_what_to_write_in_coroutine_code() -> None:
    async with Runtime():
        with pytest.raises(BlockedLoop, match="async for"):
            for _ in inc.stream([1]):
                pass


async def test_a_plain_task_that_is_called_on_the_loop_cannot_wait_for_a_stream() -> (
    None
):
    @task
    def read() -> list[int]:
        return list(inc.stream([1]))

    async with Runtime():
        with pytest.raises(BlockedLoop):
            read()


async def test_a_sequential_flow_runs_one_after_the_other() -> None:
    going: list[int] = []

    @task
    async def alone(x: int) -> int:
        going.append(x)
        assert len(going) == 1
        await asyncio.sleep(1)
        going.remove(x)
        return x

    @flow(task_runner=SequentialTaskRunner())
    async def main() -> list[int]:
        return await all_of(alone.stream(range(5)).then(alone))

    assert await main() == [0, 1, 2, 3, 4]


def test_a_sequential_flow_does_so_in_plain_code() -> None:
    going: list[int] = []

    @task
    def alone(x: int) -> int:
        going.append(x)
        assert len(going) == 1
        going.remove(x)
        return x

    @flow(task_runner=SequentialTaskRunner())
    def main() -> list[int]:
        return list(alone.stream(range(20)).then(alone))

    assert main() == list(range(20))


async def test_a_stream_is_read_where_it_was_begun() -> None:
    async with Runtime():
        stream = inc.stream(range(5))
        assert await anext(stream) == 1
        with pytest.raises(RuntimeError, match="on an event loop"):
            await asyncio.to_thread(next, stream)
        assert await all_of(stream) == [2, 3, 4, 5]


async def test_the_end_of_a_runtime_waits_for_a_source_that_takes_long_to_close() -> (
    None
):
    source = Source()

    async def read() -> list[int]:
        return await all_of(inc.stream(source.forever()))

    async with Runtime():
        reading = asyncio.get_running_loop().create_task(read())
        await asyncio.sleep(1)

    assert source.is_closed
    with pytest.raises(RunEnded):
        await reading


# -- pipelines -------------------------------------------------------------------------


async def test_each_result_goes_on_to_the_next_stage_at_once() -> None:
    order: list[str] = []

    @task
    async def first(x: int) -> int:
        await asyncio.sleep(x)
        order.append(f"first {x}")
        return x

    @task
    async def second(x: int, plus: int) -> int:
        order.append(f"second {x}")
        return x + plus

    async with Runtime():
        results = await all_of(first.stream([1, 2, 3]).then(second, 10))

    assert results == [11, 12, 13]
    assert order == [f"{stage} {x}" for x in (1, 2, 3) for stage in ("first", "second")]


async def test_each_stage_has_a_limit_and_holds_up_the_one_before() -> None:
    most: dict[str, int] = {"fast": 0, "slow": 0}
    going = {"fast": 0, "slow": 0}
    read: list[int] = []

    async def counted(name: str, seconds: float) -> None:
        going[name] += 1
        most[name] = max(most[name], going[name])
        await asyncio.sleep(seconds)
        going[name] -= 1

    @task
    async def fast(x: int) -> int:
        await counted("fast", 0.001)
        return x

    @task
    async def slow(x: int, *, plus: int) -> int:
        await counted("slow", 1)
        return x + plus

    async with Runtime():
        stream = fast.stream(numbers(read), limit=7).then(slow, plus=1, limit=3)
        for expected in range(1, 21):
            assert await anext(stream) == expected
            assert len(read) <= expected + 7 + 3 + 1
        await stream.aclose()

    assert most == {"fast": 7, "slow": 3}


async def test_what_fails_in_a_stage_passes_those_after_it() -> None:
    seen: list[int] = []

    @task
    async def see(x: int) -> int:
        seen.append(x)
        return x

    async with Runtime():
        states = await all_of(
            check.stream([1, -2, 3], return_state=True).then(see).then(inc)
        )
        results = await all_of(check.stream([1, -2, 3], max_failures=1).then(see))
        with pytest.raises(ValueError, match="-2"):
            await all_of(check.stream([-2, 3]).then(see))

    assert [state.name for state in states] == ["Completed", "Failed", "Completed"]
    assert [s.result(raise_on_failure=False) for s in states][::2] == [2, 4]
    assert results == [1, 3]
    assert seen[:4] == [1, 3, 1, 3]


async def test_what_a_stage_gives_is_handed_on_as_it_is() -> None:
    given: list[Any] = []

    @task
    async def make(x: int) -> Any:
        return {"list": [x], "mark": unmapped(x)}

    @task
    async def take(value: Any, constant: Any) -> None:
        given.append((value, constant))

    async with Runtime():
        await all_of(make.stream([1]).then(take, [inc.submit(1)]))
        await all_of(make.stream([1]).then(take, unmapped("c")))

    assert given[0][0]["mark"].value == 1
    assert given[0][1] == [2]
    assert given[1][1] == "c"


async def test_unordered_stages_hand_on_what_is_there() -> None:
    async with Runtime():
        stream = sleep.stream([3, 1, 2], ordered=False).then(inc, ordered=False)
        assert await all_of(stream) == [2, 3, 4]


async def test_the_run_of_a_stage_knows_the_run_before() -> None:
    async with Runtime() as runtime:
        await all_of(inc.stream([1]).then(check))
        runs = {run.name: run for run in runtime.runs}

    inputs = runs["check-0"].task_inputs
    assert [found.id for found in inputs["x"]] == [runs["inc-0"].id]


def test_pipelines_in_plain_code() -> None:
    with Runtime():
        stream = (
            inc.stream(range(500), limit=7).then(double, limit=3).then(inc, limit=5)
        )
        assert list(stream) == [2 * (x + 1) + 1 for x in range(500)]
        stream = inc.stream(_few(500), limit=7).then(double, limit=3, ordered=False)
        assert sorted(stream) == [2 * (x + 1) for x in range(500)]


async def test_leaving_a_pipeline_cancels_all_stages_and_closes_the_source() -> None:
    source = Source()

    async with Runtime() as runtime:
        stream = inc.stream(source.forever()).then(sleep).then(inc)
        assert await anext(stream) == 3
        await stream.aclose()
        assert source.is_closed
        assert runtime.stats()["open_runs"] == 0


async def test_a_stage_is_added_before_reading_and_once() -> None:
    async with Runtime():
        stream = inc.stream([1])
        longer = stream.then(inc)
        not_a_task: Any = len
        with pytest.raises(RuntimeError, match="another stage"):
            stream.then(inc)
        with pytest.raises(RuntimeError, match="another stage"):
            await all_of(stream)
        assert await anext(longer) == 3
        with pytest.raises(RuntimeError, match="being read"):
            longer.then(inc)
        with pytest.raises(TypeError, match="no task"):
            inc.stream([1]).then(not_a_task)
        with pytest.raises(ParameterBindError):
            inc.stream([1]).then(inc, 2)
        await longer.aclose()


# -- wrong calls -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        pytest.param({"limit": 0}, ValueError, id="limit-0"),
        pytest.param({"limit": 1.5}, TypeError, id="limit-float"),
        pytest.param({"limit": True}, TypeError, id="limit-bool"),
        pytest.param({"ordered": 1}, TypeError, id="ordered"),
        pytest.param({"max_failures": -1}, ValueError, id="failures"),
        pytest.param({"max_failures": 0.1}, TypeError, id="failures-float"),
        pytest.param({"return_state": "yes"}, TypeError, id="return_state"),
    ],
)
async def test_an_option_that_makes_no_sense_is_refused_at_the_call(
    options: dict[str, Any], error: type[Exception]
) -> None:
    (name,) = options
    async with Runtime():
        with pytest.raises(error, match=name):
            inc.stream([1], **options)


async def test_arguments_that_do_not_fit_are_refused_at_the_call() -> None:
    @task
    async def add(x: int, y: int) -> int:
        return x + y

    async with Runtime():
        with pytest.raises(ParameterBindError):
            inc.stream([1], [2])
        with pytest.raises(MappingMissingIterable, match=r"add\.stream\(x=1, y=2\)"):
            add.stream(1, 2)
        with pytest.raises(MappingLengthMismatch, match=r"add\.stream\(\).*x: 2, y: 3"):
            add.stream([1, 2], [1, 2, 3])
        stream = add.stream(iter([1, 2]), iter([1, 2, 3]))
        assert await anext(stream) == 2
        assert await anext(stream) == 4
        with pytest.raises(MappingLengthMismatch, match="x: 2, y: 3"):
            await anext(stream)


async def test_an_option_that_may_be_a_parameter_is_refused() -> None:
    @task
    async def fetch(page: int, limit: int = 10) -> tuple[int, int]:
        return page, limit

    async with Runtime():
        with pytest.raises(TypeError, match="by position"):
            fetch.stream([1], limit=5)
        assert await all_of(fetch.stream([1], 7, limit=5)) == [(1, 7)]
        assert await all_of(fetch.stream([1])) == [(1, 10)]


async def test_a_stream_says_what_it_is() -> None:
    async with Runtime():
        assert repr(inc.stream([1]).then(double)) == "<inc.stream().then(double)>"
