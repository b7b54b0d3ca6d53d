"""What goes wrong where results are stored and keys are made, and what stays right."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import logging
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest

from headrace import Runtime, Settings, State, flow, task, temporary_settings
from headrace.cache_policies import INPUTS
from headrace.caching import CacheEntry, MemoryCache
from headrace.exceptions import (
    CrashedRun,
    MissingResult,
    SerializationError,
    StorageError,
    UnknownSerializer,
)

LARGE = "x" * 20_000  # has no place in the index
BASE_EXCEPTIONS = [KeyboardInterrupt, GeneratorExit]


class Raises:
    """A value that cannot be stored, as turning it into bytes raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> NoReturn:
        raise self.error


class Storage:
    """Keeps results in memory, until it is told to raise.

    Attributes:
        error: Is raised by everything.
    """

    identity = "a storage of mine"

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.kept: dict[str, bytes] = {}

    @contextlib.contextmanager
    def writing(self, key: str) -> Generator[io.BytesIO]:
        self._go_wrong()
        file = io.BytesIO()
        yield file
        self.kept[key] = file.getvalue()

    @contextlib.contextmanager
    def reading(self, key: str) -> Generator[io.BytesIO]:
        self._go_wrong()
        if key not in self.kept:
            raise MissingResult(key)
        yield io.BytesIO(self.kept[key])

    def remove(self, key: str) -> bool:
        self._go_wrong()
        return self.kept.pop(key, None) is not None

    def _go_wrong(self) -> None:
        if self.error is not None:
            raise self.error


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def told(caplog: pytest.LogCaptureFixture, *loggers: str) -> list[str]:
    """What was said at WARNING or more by the parts that store."""
    loggers = loggers or ("headrace.results", "headrace.caching", "headrace.hashing")
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name in loggers
    ]


def ended(it: Any, *args: object) -> State[Any]:
    """The final state of a run that was submitted."""
    state: State[Any] = it.submit(*args).wait()
    return state


# -- values that cannot be stored --------------------------------------------------------


@pytest.mark.parametrize("kind", BASE_EXCEPTIONS)
@pytest.mark.parametrize(
    "options",
    [{"persist_result": True}, {"cache_key_fn": INPUTS}],
    ids=["stored", "cached"],
)
def test_a_serializer_that_raises_no_exception_crashes_the_run_at_every_door(
    every_waiting_door: Any, kind: type[BaseException], options: dict[str, Any]
) -> None:
    plainly = every_waiting_door.code == "plain" == every_waiting_door.kind
    if plainly and every_waiting_door.verb == "called":
        expected: type[BaseException] = kind  # as if it were no task
    else:
        expected = CrashedRun

    with pytest.raises(expected) as raised:
        every_waiting_door(lambda: Raises(kind()), **options)

    assert kind in {type(raised.value), type(raised.value.__cause__)}


@pytest.mark.parametrize("is_coroutine", [False, True])
@pytest.mark.parametrize("kind", BASE_EXCEPTIONS)
def test_a_flow_whose_serializer_raises_no_exception_crashes(
    kind: type[BaseException], is_coroutine: bool
) -> None:
    @flow(persist_result=True)
    def plain() -> object:
        return Raises(kind())

    @flow(persist_result=True)
    async def coroutine() -> object:
        return Raises(kind())

    async def awaited() -> Any:
        return await coroutine(return_state=True)

    state = asyncio.run(awaited()) if is_coroutine else plain(return_state=True)

    assert state.type == "CRASHED"
    assert str(state.message).startswith("Flow run")


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), StopIteration(1), RecursionError("mine")]
)
def test_a_serializer_that_raises_what_means_something_ends_its_own_run_only(
    error: BaseException,
) -> None:
    states: list[State[Any]] = []

    def body() -> object:
        return Raises(error)

    async def rest() -> str:
        await asyncio.sleep(0)
        return "goes on"

    async def main() -> str:
        async with Runtime():
            stored = task(persist_result=True)(body)
            states.append(cast("State[Any]", await (await stored.submit()).astate()))
            return await rest()

    assert asyncio.run(main()) == "goes on"
    name = "Cancelled" if isinstance(error, asyncio.CancelledError) else "Failed"
    assert [state.name for state in states] == [name]


def deep(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


class Endless:
    def __reduce__(self) -> Any:
        return Endless, (Endless(),)


@pytest.mark.parametrize("make", [Endless, lambda: deep(100_000)])
def test_a_value_without_a_bottom_fails_its_run_and_no_other(
    make: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    made = make()

    @task(persist_result=True)
    def stored() -> Any:
        return made

    @task(cache_key_fn=INPUTS)
    def cached() -> Any:
        return made

    with Runtime():
        failed = ended(stored)
        completed = ended(cached)

    assert isinstance(failed.data, SerializationError)
    assert completed.name == "Completed"
    assert len(told(caplog)) == 1
    while isinstance(made, list) and made:
        made = made.pop()  # freed one by one, as Python would do it on its stack


def test_a_value_that_changes_while_it_is_stored_is_stored_whole_or_not_at_all() -> (
    None
):
    class Grows:
        def __reduce__(self) -> Any:
            growing[len(growing)] = "more"  # in the middle of storing it
            return int, (1,)

    growing: dict[Any, Any] = {"first": Grows(), "second": Grows()}

    @task(persist_result=True)
    def stored() -> Any:
        return growing

    with Runtime():
        state = ended(stored)

    assert isinstance(state.data, SerializationError)
    assert "changed size" in str(state.data)


# -- storages that fail or hang ---------------------------------------------------------


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), OSError("no number")]
)
def test_a_storage_that_raises_fails_those_only_who_asked_to_store(
    error: OSError, caplog: pytest.LogCaptureFixture
) -> None:
    storage = Storage()

    @task
    def untouched() -> str:
        return LARGE

    @task(persist_result=True, result_storage=storage, result_storage_key="mine")
    def asked() -> str:
        return LARGE

    with Runtime():
        storage.error = error
        states = [ended(untouched), ended(asked)]
        assert told(caplog) == []
        storage.error = None
        states.append(ended(asked))

    assert [state.type for state in states] == ["COMPLETED", "FAILED", "COMPLETED"]
    failure = states[1].data
    assert isinstance(failure, StorageError)
    assert "'mine' in a storage of mine" in str(failure)


def test_what_is_only_cached_completes_with_one_warning_until_its_storage_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage = Storage()
    storage.error = OSError(errno.ENOSPC, "No space left on device")
    states: list[State[Any]] = []

    @task(cache_key_fn=INPUTS)
    def cached(x: int) -> str:
        return LARGE

    @flow(result_storage=storage, persist_result=False)
    def main() -> None:
        states.extend(ended(cached, x) for x in (1, 2, 1))
        storage.error = None
        states.extend(ended(cached, x) for x in (1, 1))

    main()

    assert [state.name for state in states] == ["Completed"] * 4 + ["Cached"]
    assert len(told(caplog)) == 1
    assert "No space left on device" in told(caplog)[0]


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EIO, "mine"), RuntimeError("of a client"), StopIteration()],
    ids=repr,
)
def test_a_cached_value_that_cannot_be_read_now_is_computed_again(
    error: Exception,
) -> None:
    storage = Storage()
    calls: list[str] = []

    def body() -> str:
        calls.append("call")
        return LARGE

    options: Any = {"cache_key_fn": lambda context, parameters: "one"}
    stored = task(name="it", result_storage=storage, **options)(body)
    with Runtime():
        assert stored() == LARGE
        storage.error = error
        failed = ended(stored)
        storage.error = None
        again = ended(stored)

    assert calls == ["call", "call"]  # the second could not be stored, as was asked
    assert failed.type == "FAILED"
    assert again.name == "Cached"


@pytest.mark.parametrize("kind", BASE_EXCEPTIONS)
def test_a_storage_that_raises_no_exception_when_it_is_read_crashes_the_run(
    every_waiting_door: Any, kind: type[BaseException]
) -> None:
    storage = Storage()

    def body() -> str:
        return LARGE

    options: Any = {
        "cache_key_fn": lambda context, parameters: "one",
        "result_storage": storage,
    }
    every_waiting_door(body, **options)
    storage.error = kind()

    with pytest.raises((kind, CrashedRun)) as raised:
        every_waiting_door(body, **options)

    assert kind in {type(raised.value), type(raised.value.__cause__)}


# -- indexes that fail --------------------------------------------------------------------


class BadIndex(MemoryCache):
    """One that does what no index may."""

    def __init__(self, verb: str) -> None:
        super().__init__()
        self.verb: str | None = verb

    def get(self, key: str, now: float) -> CacheEntry | None:
        self._go_wrong("get")
        return super().get(key, now)

    def put(self, entry: CacheEntry) -> Any:
        self._go_wrong("put")
        return super().put(entry)

    def _go_wrong(self, verb: str) -> None:
        if self.verb == verb:
            raise RuntimeError("of the index")


@pytest.mark.parametrize("verb", ["get", "put"])
@pytest.mark.parametrize("is_coroutine", [False, True])
def test_an_index_that_raises_is_a_miss_and_one_line(
    verb: str, is_coroutine: bool, caplog: pytest.LogCaptureFixture
) -> None:
    index = BadIndex(verb)

    @task(cache_key_fn=INPUTS)
    def plain(x: int) -> int:
        return x

    @task(cache_key_fn=INPUTS)
    async def coroutine(x: int) -> int:
        return x

    cached: Any = coroutine if is_coroutine else plain
    with Runtime(cache=index):
        names = [ended(cached, x).name for x in (1, 1, 2)]
        index.verb = None
        names += [ended(cached, 3).name for _ in range(2)]

    assert names == ["Completed"] * 4 + ["Cached"]
    assert len(told(caplog)) == 1
    assert "of the index" in told(caplog)[0]


# -- key functions that fail ---------------------------------------------------------------


def given(answer: Any) -> Callable[..., Any]:
    """A key function that gives this, or raises it."""

    def key_of(context: Any, parameters: Any) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return key_of


def given_later(answer: Any) -> Callable[..., Any]:
    async def key_of(context: Any, parameters: Any) -> Any:
        await asyncio.sleep(0)
        return given(answer)(context, parameters)

    return key_of


MAKES = pytest.mark.parametrize("make", [given, given_later])


@MAKES
@pytest.mark.parametrize(
    "answer",
    [1, ["a"], ValueError("mine"), StopIteration("mine"), ""],
    ids=repr,
)
def test_a_key_function_that_gives_no_key_leaves_the_run_uncached(
    every_waiting_door: Any, make: Any, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    for _ in range(2):
        every_waiting_door(lambda: calls.append("call"), cache_key_fn=make(answer))

    assert calls == ["call", "call"]
    said = told(caplog)
    assert len(said) == (0 if answer == "" else 2)  # once in each runtime
    assert all("it is not cached" in line for line in said)


@MAKES
@pytest.mark.parametrize("kind", BASE_EXCEPTIONS)
def test_a_key_function_that_raises_no_exception_crashes_the_run(
    every_waiting_door: Any, make: Any, kind: type[BaseException]
) -> None:
    calls: list[str] = []

    with pytest.raises((kind, CrashedRun)) as raised:
        every_waiting_door(lambda: calls.append("call"), cache_key_fn=make(kind()))

    assert calls == []
    assert kind in {type(raised.value), type(raised.value.__cause__)}


@MAKES
async def test_a_key_function_that_cancels_itself_cancels_nobody_else(
    make: Any,
) -> None:
    cached = task(cache_key_fn=make(asyncio.CancelledError()))(asyncio.sleep)

    async with Runtime():
        submitted: Any = await (await cached.submit(0)).astate()
        awaited: Any = await cached(0, return_state=True)

    assert [submitted.name, awaited.name] == ["Cancelled", "Cancelled"]


@pytest.mark.parametrize("verb", ["submitted", "awaited", "acalled"])
async def test_a_cancel_ends_a_run_whose_key_function_hangs(verb: str) -> None:
    has_begun = asyncio.Event()

    async def hangs(context: Any, parameters: Any) -> str:
        has_begun.set()
        await asyncio.Event().wait()
        return "never"

    @task(cache_key_fn=hangs)
    async def cached() -> int:
        return 1

    @task(cache_key_fn=hangs)
    def plain() -> int:
        return 1

    async with Runtime() as runtime:
        if verb == "submitted":
            future = await cached.submit()
            await has_begun.wait()
            future.cancel()
            await future.wait()
        else:
            call = cached() if verb == "awaited" else plain.acall()
            calling = asyncio.ensure_future(call)
            await has_begun.wait()
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
        assert [run.state.name for run in runtime.runs.task_runs()] == ["Cancelled"]


def test_a_key_function_that_changes_the_parameters_changes_no_arguments(
    every_waiting_door: Any,
) -> None:

    def key_of(context: Any, parameters: Any) -> str:
        parameters["x"] = "changed"
        parameters.clear()
        context.parameters.clear()
        return f"key of {context.task_run.name}"

    seen: list[Any] = []

    @task(cache_key_fn=key_of)
    def cached(x: Any) -> None:
        seen.append(x)

    with Runtime():
        cached("given")

    assert seen == ["given"]
    assert every_waiting_door(lambda: "value", cache_key_fn=key_of) == "value"


# -- homes that go away ----------------------------------------------------------------


def test_a_home_that_is_deleted_in_the_middle_is_made_again(home: Path) -> None:
    def delete(folder: Path) -> None:
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()

    @task(cache_key_fn=INPUTS)
    def cached(x: str) -> str:
        return x

    values = ["small", LARGE]

    def names_of_states() -> list[str]:
        states = [cached(x, return_state=True) for x in values]
        assert [state.result() for state in states] == values
        return [state.name for state in states]

    with Runtime() as runtime:
        names_of_states()
        runtime.cache.gc()  # behind all that is to be written
        delete(home)
        for _ in range(2):
            names_of_states()
            runtime.cache.gc()
        assert names_of_states() == ["Cached", "Cached"]
    with Runtime():
        names_of_states()  # what was signed with the key that is gone is nothing
    with Runtime():
        assert names_of_states() == ["Cached", "Cached"]


def test_a_home_that_cannot_be_is_one_warning_and_no_cache(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    nowhere = tmp_path / "file" / "home"

    @task(cache_key_fn=INPUTS)
    def cached(x: int) -> int:
        return x

    @task(persist_result=True)
    def asked() -> int:
        return 1

    with Runtime(settings=Settings(home=str(nowhere))):
        states = [ended(cached, 1) for _ in range(3)]
        failed = ended(asked)

    assert [state.name for state in states] == ["Completed"] * 3
    assert len(told(caplog)) == 1
    assert isinstance(failed.data, StorageError)
    assert str(nowhere) in str(failed.data)


# -- runtimes ---------------------------------------------------------------------------


def test_two_runtimes_of_one_home_share_what_is_cached() -> None:
    @task(cache_key_fn=INPUTS)
    def cached(x: int) -> int:
        return x

    with Runtime() as first, Runtime() as second:
        names = []
        for x in range(20):
            for runtime in (first, second) if x % 2 else (second, first):
                with runtime.use():
                    names.append(cached(x, return_state=True).name)
                    runtime.cache.gc()
        counted = second.cache.stats().entries

    assert names == ["Completed", "Cached"] * 20
    assert counted == 20


def test_a_runtime_that_closes_writes_what_is_still_to_be_written() -> None:
    @task(cache_key_fn=INPUTS)
    def cached(x: int) -> int:
        return x

    with Runtime():
        cached.map(range(500)).wait()
    with Runtime():
        states = cached.map(range(500), return_state=True)

    assert {state.name for state in states} == {"Cached"}


# -- settings that make no plan ----------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{"persist_result": True}, {"cache_key_fn": INPUTS}],
    ids=["stored", "cached"],
)
def test_a_serializer_that_does_not_exist_fails_the_runs_that_need_it(
    every_waiting_door: Any, options: dict[str, Any]
) -> None:
    calls: list[str] = []

    with (
        temporary_settings(results_default_serializer="nope"),
        pytest.raises(UnknownSerializer, match="nope"),
    ):
        every_waiting_door(lambda: calls.append("call"), **options)

    assert calls == []


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_a_serializer_that_does_not_exist_fails_the_flows_that_need_it(
    is_coroutine: bool,
) -> None:
    @flow(persist_result=True)
    def plain() -> int:
        return 1

    @flow(persist_result=True)
    async def coroutine() -> int:
        return 1

    with (
        temporary_settings(results_default_serializer="nope"),
        pytest.raises(UnknownSerializer, match="nope"),
    ):
        asyncio.run(coroutine()) if is_coroutine else plain()


# -- results that cannot be read -----------------------------------------------------------


@pytest.mark.parametrize(
    "error", [OSError("mine"), RuntimeError("mine"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("is_coroutine", [False, True])
@pytest.mark.parametrize("verb", ["submitted", "mapped", "in place"])
async def test_an_input_that_cannot_be_read_fails_the_run_that_needs_it(
    verb: str, is_coroutine: bool, error: BaseException
) -> None:
    storage = Storage()

    @task(cache_result_in_memory=False, result_storage=storage)
    def upstream() -> list[int]:
        return [1]

    @task
    def plain(x: Any) -> Any:
        return x

    @task
    async def coroutine(x: Any) -> Any:
        return x

    it: Any = coroutine if is_coroutine else plain
    async with Runtime():
        future = await upstream.submit()
        await future.astate()
        storage.error = error
        if verb == "submitted":
            state = await (await it.submit(future)).astate()
        elif verb == "mapped":
            [state] = await it.map([future], return_state=True)
        else:
            state = await it.acall(future, return_state=True)
        with pytest.raises((StorageError, CrashedRun)):
            await future
        storage.error = None

        assert state.type == "FAILED"
        assert await future == [1]
