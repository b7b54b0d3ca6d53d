"""Runs that are given what another run with their key gave."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace import Runtime, Settings, allow_failure, flow, task
from headrace.caching import MemoryCache
from headrace.context import TaskRunContext
from headrace.exceptions import BlockedLoop
from headrace.runtime import flow_run
from headrace.states import Completed, Failed

pytestmark = pytest.mark.usefixtures("home")

Calls = list[Any]


def same(context: Any, parameters: Any) -> str:
    return "the key"


def counted(calls: Calls, give: Callable[[int], Any] = lambda n: n) -> Any:
    """A body that gives the number of its call."""

    def body(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return give(len(calls))

    return body


def in_coroutine(fn: Any) -> Any:
    async def body(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return body


KINDS = pytest.mark.parametrize(
    "make", [lambda fn: fn, in_coroutine], ids=["plain", "coroutine"]
)


class Clock:
    """The time by which entries expire."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("headrace._engine.results.cached_runs.time", made)
    return made


# -- hits ------------------------------------------------------------------------------


@pytest.mark.rule("CACHE-15")
def test_results_are_cached_through_every_door(
    every_door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_CACHE_INDEX", "sqlite")
    calls: Calls = []
    body, door = counted(calls), every_door
    if (door.code, door.kind, door.verb) == ("coroutine", "plain", "called"):
        with pytest.raises(BlockedLoop, match=r"stored or cached.*acall"):
            door(body, cache_key_fn=same)
        return

    first = door(body, cache_key_fn=same)
    second = door(body, cache_key_fn=same)

    assert (first, second) == (1, 1)
    assert len(calls) == 1


@KINDS
@pytest.mark.rule("CACHE-06", "HIST-04", "HOOK-02")
async def test_a_hit_is_completed_as_cached_and_runs_nothing(make: Any) -> None:
    calls: Calls = []
    told: Calls = []

    def note(it: Any, run: Any, state: Any) -> None:
        told.append((run.name, state.name))

    it = task(cache_key_fn=same, on_running=[note], on_completion=[note], name="it")(
        make(counted(calls))
    )

    async with Runtime():
        first = await it.submit()
        assert await first == 1
        second = await it.submit()
        assert await second == 1

    assert [state.name for state in second.history] == ["Pending", "Cached"]
    assert second.state.type == "COMPLETED"
    run = second.task_run
    assert (run.run_count, run.start_time, run.total_run_time) == (
        0,
        None,
        timedelta(0),
    )
    assert len(calls) == 1
    # Who asked for news of completion is told; of running there is none.
    assert told == [("it-0", "Running"), ("it-0", "Completed"), ("it-1", "Cached")]


@pytest.mark.rule("CACHE-06")
async def test_an_entry_that_came_later_takes_the_place_of_an_older_one() -> None:
    calls: Calls = []
    it = task(cache_key_fn=same)(in_coroutine(counted(calls)))

    async with Runtime():
        await it()
        await it.with_options(refresh_cache=True)()

        assert await it() == 2


@pytest.mark.rule("CACHE-07")
async def test_two_tasks_with_one_key_share_results() -> None:
    @task(cache_key_fn=same)
    async def one() -> str:
        return "one"

    @task(cache_key_fn=same)
    def two() -> str:
        return "two"

    @flow
    async def asks() -> str:
        return await two.acall()

    async with Runtime():
        assert await one() == "one"
        assert await two.acall() == "one"
        assert await asks() == "one"


@pytest.mark.rule("CACHE-07")
def test_results_last_in_the_home_and_not_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: Calls = []
    it = task(cache_key_fn=same)(counted(calls))

    for _ in range(2):
        with Runtime():
            it()
    in_memory = len(calls)
    monkeypatch.setenv("HEADRACE_CACHE_INDEX", "sqlite")
    for _ in range(2):
        with Runtime():
            it()

    assert in_memory == 2
    assert len(calls) == 3


def test_runtimes_share_an_index_that_they_are_given() -> None:
    calls: Calls = []
    it = task(cache_key_fn=same)(counted(calls))
    cache = MemoryCache()

    for _ in range(2):
        with Runtime(cache=cache):
            assert it() == 1

    assert len(calls) == 1


@KINDS
@pytest.mark.parametrize("verb", ["acall", "submit"])
async def test_how_often_the_index_is_asked(make: Any, verb: str) -> None:
    cache = MemoryCache()
    it = task(cache_key_fn=same)(make(lambda: 1))

    async with Runtime(cache=cache):
        run = getattr(it, verb)
        await (await run() if verb == "submit" else run())
        # By who finds nothing, and by who is about to compute: the run that computed
        # before may have come to its end in between.
        assert (cache.stats().misses, cache.stats().hits) == (2, 0)
        await (await run() if verb == "submit" else run())

    assert (cache.stats().misses, cache.stats().hits) == (2, 1)


@pytest.mark.rule("CACHE-13")
@KINDS
async def test_a_hit_is_a_copy_of_its_own(make: Any) -> None:
    it = task(cache_key_fn=same)(make(lambda: [1]))

    async with Runtime():
        first = await it.acall()
        first.append(2)
        second = await it.acall()
        second.append(3)

        assert await it.acall() == [1]


@pytest.mark.parametrize("size", [10, 100_000])
async def test_small_and_large_values_are_cached(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_CACHE_INDEX", "sqlite")
    calls: Calls = []
    it = task(cache_key_fn=same)(in_coroutine(counted(calls, lambda n: bytes(size))))

    for _ in range(2):
        async with Runtime():
            assert await it() == bytes(size)

    assert len(calls) == 1


async def test_a_cached_value_that_is_gone_or_damaged_is_computed_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_CACHE_INDEX", "sqlite")
    calls: Calls = []
    it = task(cache_key_fn=same)(in_coroutine(counted(calls, lambda n: [n] * 100_000)))

    for change in (Path.unlink, lambda file: file.write_bytes(b"headrace?"), None):
        async with Runtime():
            assert (await it())[0] == len(calls)
        files = [each for each in (home / "storage").rglob("*") if each.is_file()]
        assert len(files) == 1
        if change is not None:
            change(files[0])

    assert len(calls) == 3


# -- keys ------------------------------------------------------------------------------


@KINDS
@pytest.mark.rule("CACHE-01")
async def test_a_key_function_is_asked_once_with_the_resolved_inputs(make: Any) -> None:
    asked: Calls = []

    def key(context: Any, parameters: Any) -> str:
        run = context.task_run
        asked.append((context.task, run.state.name, run.run_count, dict(parameters)))
        return "the key"

    def plain(x: int, y: int = 5, *rest: int, **more: int) -> int:
        if len(asked) == 1 and not failed:
            failed.append(x)
            raise ValueError("once")
        return x

    async def coroutine(x: int, y: int = 5, *rest: int, **more: int) -> int:
        return plain(x, y, *rest, **more)

    failed: Calls = []
    it: Any = task(cache_key_fn=key, retries=1)(
        plain if make(plain) is plain else coroutine
    )
    upstream = task(lambda: 3)

    async with Runtime():
        future = await upstream.submit()
        assert await (await it.submit(future, 4, 6, z=7)) == 3

    parameters = {"x": 3, "y": 4, "rest": (6,), "more": {"z": 7}}
    assert asked == [(it, "Pending", 0, parameters)]


@pytest.mark.rule("CACHE-01")
async def test_a_key_function_is_given_a_context_and_the_defaults() -> None:
    asked: Calls = []

    def key(context: Any, parameters: Any) -> None:
        asked.append((type(context), context.parameters, parameters))

    @task(cache_key_fn=key)
    async def it(x: int, y: int = 5) -> int:
        return x

    async with Runtime():
        await it(1)

    assert asked == [(TaskRunContext, {"x": 1, "y": 5}, {"x": 1, "y": 5})]


@KINDS
@pytest.mark.rule("CACHE-02")
@pytest.mark.parametrize("key", [None, ""])
async def test_no_key_means_no_caching(make: Any, key: Any) -> None:
    calls: Calls = []
    it = task(cache_key_fn=lambda context, parameters: key)(make(counted(calls)))

    async with Runtime() as runtime:
        assert [await it.acall(), await it.acall()] == [1, 2]
        assert runtime.cache.stats().entries == 0


@KINDS
@pytest.mark.rule("CACHE-03")
@pytest.mark.parametrize("key", [1, ("a",), b"a"], ids=repr)
async def test_what_is_no_key_is_logged_once_and_runs_are_not_cached(
    make: Any, key: Any, caplog: pytest.LogCaptureFixture
) -> None:
    calls: Calls = []
    it = task(cache_key_fn=lambda context, parameters: key, name="it")(
        make(counted(calls))
    )

    async with Runtime():
        assert [await it.acall(), await it.acall()] == [1, 2]

    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert f"it-0: its cache_key_fn returned {key!r}" in record.getMessage()
    assert "Return a str" in record.getMessage()


@KINDS
@pytest.mark.rule("CACHE-03")
async def test_a_key_function_may_be_a_coroutine_function(make: Any) -> None:
    calls: Calls = []

    async def key(context: Any, parameters: Any) -> str:
        return "the key"

    it = task(cache_key_fn=key)(make(counted(calls)))

    async with Runtime():
        assert [await it.acall(), await (await it.submit())] == [1, 1]
    assert len(calls) == 1


@pytest.mark.rule("CACHE-03")
def test_plain_calls_wait_for_a_coroutine_key_function_too() -> None:
    calls: Calls = []

    async def key(context: Any, parameters: Any) -> str:
        return "the key"

    it = task(cache_key_fn=key)(counted(calls))

    with Runtime():
        assert [it(), it(), it.submit().result()] == [1, 1, 1]


@KINDS
@pytest.mark.rule("CACHE-04")
async def test_a_key_function_that_raises_is_logged_once_and_runs_are_not_cached(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    calls: Calls = []

    def key(context: Any, parameters: Any) -> str:
        raise KeyError("no such part")

    it = task(cache_key_fn=key, name="it")(make(counted(calls)))

    async with Runtime():
        assert [await it.acall(), await (await it.submit())] == [1, 2]

    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "it-0: its cache_key_fn raised KeyError: 'no such part'" in (
        record.getMessage()
    )


@pytest.mark.rule("CACHE-05")
@KINDS
async def test_a_key_function_is_outside_of_the_run(make: Any) -> None:
    seen: Calls = []

    def key(context: Any, parameters: Any) -> str:
        seen.append((TaskRunContext.get(), flow_run.flow_name))
        return "the key"

    it = task(cache_key_fn=key)(make(counted([])))

    @flow
    async def main() -> None:
        await it.acall()
        await (await it.submit())

    await main()

    assert seen == [(None, "main")] * 2


@pytest.mark.rule("CACHE-16")
async def test_long_keys_are_told_apart() -> None:
    calls: Calls = []

    def key(context: Any, parameters: Any) -> str:
        return "a" * 5000 + parameters["x"]

    @task(cache_key_fn=key)
    async def it(x: str) -> int:
        calls.append(x)
        return len(calls)

    async with Runtime():
        assert [await it("a"), await it("b"), await it("a")] == [1, 2, 1]


# -- what is cached --------------------------------------------------------------------


@KINDS
@pytest.mark.rule("CACHE-08")
async def test_failures_crashes_and_cancellations_are_not_cached(make: Any) -> None:
    calls: Calls = []
    ends = iter([ValueError("x"), SystemExit(1), Failed(message="no"), 4])

    def body() -> Any:
        calls.append(1)
        end = next(ends)
        if isinstance(end, BaseException):
            raise end
        return end

    it = task(cache_key_fn=same)(make(body))

    async with Runtime() as runtime:
        futures = []
        for _ in range(4):
            futures.append(await it.submit())
            await futures[-1].astate()
        cancelled = await it.with_options(refresh_cache=True).submit()
        cancelled.cancel()
        await cancelled.astate()
        assert runtime.cache.stats().entries == 1

    names = [each.state.name for each in futures]
    assert names == ["Failed", "Crashed", "Failed", "Completed"]


@KINDS
@pytest.mark.rule("CACHE-08")
async def test_a_state_that_a_body_made_is_cached_with_its_message(make: Any) -> None:
    made = Completed(name="Skipped", message="nothing to do", data=4)
    it = task(cache_key_fn=same)(make(lambda: made))

    async with Runtime():
        first = await it.acall(return_state=True)
        second = await it.acall(return_state=True)

    assert (first.name, first.message) == ("Skipped", "nothing to do")
    assert (second.name, second.message) == ("Cached", "nothing to do")
    assert second.result() == 4


@KINDS
async def test_a_value_that_cannot_be_stored_is_not_cached_and_one_warning_says_so(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    it = task(cache_key_fn=same, name="it")(make(threading.Lock))

    async with Runtime() as runtime:
        one, two = await it.acall(), await it.acall()
        assert runtime.cache.stats().entries == 0

    assert one is not two
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "it: its result is not cached: SerializationError" in record.getMessage()


@KINDS
@pytest.mark.rule("CACHE-12")
async def test_what_is_never_stored_is_cached_in_memory(make: Any, home: Path) -> None:
    calls: Calls = []
    locks: Calls = [threading.Lock()]
    it = task(cache_key_fn=same, persist_result=False)(
        make(counted(calls, lambda n: [n]))
    )
    lock = task(cache_key_fn=lambda *_: "lock", persist_result=False)(make(locks.pop))

    async with Runtime():
        first, second = await it.acall(), await it.acall()
        assert await lock.acall() is await lock.acall()

    assert first == second == [1]
    assert first is not second
    assert not (home / "storage").exists()


@pytest.mark.rule("CACHE-12")
async def test_a_task_that_caches_stores_nothing_that_nobody_asked_for(
    home: Path,
) -> None:
    it = task(cache_key_fn=same)(in_coroutine(lambda: 1))

    async with Runtime():
        await it()

    assert not (home / "storage").exists()


# -- how long, and anew ----------------------------------------------------------------


@KINDS
@pytest.mark.rule("CACHE-09", "PRM-07")
async def test_an_entry_holds_until_it_expires(make: Any, clock: Clock) -> None:
    calls: Calls = []
    it = task(cache_key_fn=same, cache_expiration=timedelta(minutes=1))(
        make(counted(calls))
    )

    async with Runtime():
        state = await it.acall(return_state=True)
        clock.now += 59
        assert await it.acall() == 1
        clock.now += 1  # a minute after the end of the first run
        assert await it.acall() == 2
        clock.now += 59
        assert await it.acall() == 2

    expires = datetime.fromtimestamp(1_800_000_060, UTC)
    assert state.state_details.cache_key == "the key"
    assert state.state_details.cache_expiration == expires


@KINDS
@pytest.mark.rule("CACHE-09", "PRM-07")
@pytest.mark.parametrize("seconds", [0, -1])
async def test_what_expires_at_once_is_never_hit(make: Any, seconds: int) -> None:
    calls: Calls = []
    it = task(cache_key_fn=same, cache_expiration=timedelta(seconds=seconds))(
        make(counted(calls))
    )

    async with Runtime():
        assert [await it.acall() for _ in range(3)] == [1, 2, 3]


@pytest.mark.rule("CACHE-09", "PRM-07")
async def test_without_expiration_an_entry_holds_for_ever(clock: Clock) -> None:
    it = task(cache_key_fn=same)(in_coroutine(counted([])))

    async with Runtime():
        state = await it(return_state=True)
        clock.now += 100 * 365 * 86_400
        assert await it() == 1

    assert state.state_details.cache_expiration is None


@KINDS
@pytest.mark.rule("CACHE-10", "PRM-19")
@pytest.mark.parametrize(
    ("option", "setting", "values"),
    [
        (None, "false", [1, 1, 1]),
        (None, "true", [1, 2, 3]),
        (True, "false", [1, 2, 3]),
        (False, "true", [1, 1, 1]),
    ],
)
async def test_what_is_cached_may_be_refreshed(
    make: Any, option: Any, setting: str, values: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_TASKS_REFRESH_CACHE", setting)
    it = task(cache_key_fn=same, refresh_cache=option)(make(counted([])))

    async with Runtime():
        assert [await it.acall() for _ in range(3)] == values
        assert await it.with_options(refresh_cache=False).acall() == values[-1]


# -- what else there is to a hit -------------------------------------------------------


async def test_a_hit_feeds_what_depends_on_it() -> None:
    it = task(cache_key_fn=same)(in_coroutine(counted([])))
    after = task(in_coroutine(lambda x, y: (x, y)))

    async with Runtime():
        await it()
        hit = await it.submit()
        assert await (await after.submit(hit, allow_failure(hit))) == (1, 1)
        assert await (await after.submit(1, 2, wait_for=[hit])) == (1, 2)


@KINDS
@pytest.mark.rule("CACHE-14")
async def test_a_hit_takes_no_place_of_a_limit(make: Any) -> None:
    opened = asyncio.Event()

    @task(tags="db")
    async def hold() -> None:
        await opened.wait()

    it = task(cache_key_fn=same, tags="db")(in_coroutine(counted([])))
    asks = task(make(lambda: 1), cache_key_fn=lambda *_: "other", tags="db")

    async with Runtime(limits={"db": 1}):
        await it()
        await asks.acall()
        await hold.submit()
        await asyncio.sleep(1)
        assert await it() == 1
        hit = await asks.submit()
        assert (await hit.astate()).name == "Cached"
        opened.set()


def test_settings_of_a_runtime_say_where_its_index_is(tmp_path: Path) -> None:
    it = task(cache_key_fn=same)(counted([]))
    settings = Settings(home=str(tmp_path / "elsewhere"))

    with Runtime(settings=settings):
        assert [it(), it()] == [1, 1]
    with Runtime(settings=settings):
        assert it() == 1

    assert [*(tmp_path / "elsewhere").iterdir()]


@KINDS
async def test_retries_are_cached_once_they_complete(make: Any) -> None:
    calls: Calls = []

    def give(n: int) -> int:
        if n < 3:
            raise ValueError(n)
        return n

    it = task(cache_key_fn=same, retries=2, retry_delay_seconds=60)(
        make(counted(calls, give))
    )

    async with Runtime():
        assert await (await it.submit()) == 3
        assert await (await it.submit()) == 3


async def test_a_flow_that_runs_again_finds_what_it_cached() -> None:
    calls: Calls = []
    it = task(cache_key_fn=same)(in_coroutine(counted(calls)))
    attempts: Calls = []

    @flow(retries=1)
    async def main() -> Any:
        value = await it.submit()
        attempts.append(await value)
        if len(attempts) == 1:
            raise ValueError("again")
        return attempts

    assert await main() == [1, 1]
    assert len(calls) == 1
