"""Results that are stored: which, where, under which key, and how they are read."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace import Runtime, flow, task
from headrace.exceptions import (
    BlockedLoop,
    DamagedResult,
    InvalidStorageKey,
    MissingResult,
    SerializationError,
    StorageError,
)
from headrace.filesystems import LocalFileSystem, MemoryStorage
from headrace.results import ResultStore

pytestmark = pytest.mark.usefixtures("home")


def in_coroutine(fn: Any) -> Any:
    async def body(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return body


KINDS = pytest.mark.parametrize(
    "make", [lambda fn: fn, in_coroutine], ids=["plain", "coroutine"]
)


def files(folder: Path) -> list[Path]:
    if not folder.exists():
        return []
    return sorted(each for each in folder.rglob("*") if each.is_file())


def read(folder: Path, serializer: str = "pickle") -> list[Any]:
    """The values that are stored in a folder."""
    store = ResultStore(folder, serializer)
    return [store.from_bytes(each.read_bytes(), str(each)) for each in files(folder)]


# -- whether ---------------------------------------------------------------------------


def no_key(context: Any, parameters: Any) -> str:
    return "the key"


@KINDS
@pytest.mark.rule("PERS-02", "PRM-12")
@pytest.mark.parametrize(
    ("options", "of_flow", "setting", "is_stored"),
    [
        pytest.param({}, {}, "false", False, id="nothing-said"),
        pytest.param({}, {}, "true", True, id="setting"),
        pytest.param({}, {"persist_result": True}, "false", True, id="flow"),
        pytest.param({}, {"persist_result": False}, "true", False, id="flow-not"),
        pytest.param({"persist_result": True}, {}, "false", True, id="task"),
        pytest.param({"persist_result": False}, {"persist_result": True}, "true", False, id="task-not"),
        pytest.param({"cache_result_in_memory": False}, {}, "false", True, id="not-in-memory"),
        pytest.param({"result_storage_key": "k"}, {}, "false", True, id="key"),
        pytest.param({"result_serializer": "json"}, {}, "false", True, id="serializer"),
        pytest.param({"persist_result": False, "result_serializer": "json"}, {}, "false", False, id="serializer-not"),
        pytest.param({}, {"result_serializer": "json"}, "false", False, id="serializer-of-flow"),
        pytest.param({"cache_key_fn": no_key}, {}, "false", False, id="cached-only"),
        pytest.param({}, {"retries": 1}, "false", False, id="flow-with-retries"),
    ],
)  # fmt: skip
async def test_results_are_stored_if_something_asks_for_it(
    make: Any,
    options: Any,
    of_flow: Any,
    setting: str,
    is_stored: bool,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADRACE_RESULTS_PERSIST_BY_DEFAULT", setting)
    it = task(**options)(make(lambda: "of the task"))

    # That of the flow itself goes elsewhere.
    @flow(**of_flow)
    async def main() -> str:
        await it.acall()
        return "of the flow"

    assert await main() == "of the flow"

    serializer = str(options.get("result_serializer", "pickle"))
    if "result_serializer" in of_flow:
        serializer = "json"
    assert ("of the task" in read(home / "storage", serializer)) == is_stored


@pytest.mark.rule("PERS-10", "PRM-13")
@pytest.mark.parametrize("option", ["result_storage", "result_storage_key"])
def test_a_storage_or_a_key_alone_asks_for_storing(
    option: str, tmp_path: Path, home: Path
) -> None:
    value = {"result_storage": tmp_path / "there", "result_storage_key": "k"}[option]
    it = task(**{option: value})(lambda: 1)

    with Runtime():
        it()

    folder = tmp_path / "there" if option == "result_storage" else home / "storage"
    assert read(folder) == [1]


@KINDS
@pytest.mark.rule("PERS-03")
@pytest.mark.parametrize(
    ("options", "is_stored"),
    [
        ({}, False),
        ({"persist_result": True}, True),
        ({"cache_result_in_memory": False}, True),
        ({"cache_result_in_memory": False, "persist_result": False}, False),
        ({"retries": 1}, False),
    ],
    ids=str,
)
async def test_results_of_flows_are_stored_if_they_ask_for_it(
    make: Any, options: Any, is_stored: bool, home: Path
) -> None:
    main = flow(**options)(make(lambda: "of the flow"))

    await main.acall(return_state=True)

    assert read(home / "storage") == ["of the flow"] * is_stored


@pytest.mark.rule("PERS-03")
async def test_a_flow_that_stores_has_its_sub_flows_store_too(home: Path) -> None:
    @flow
    async def inner() -> str:
        return "inner"

    @flow(persist_result=True)
    async def outer() -> str:
        await inner()
        return "outer"

    await outer()

    assert sorted(read(home / "storage")) == ["inner", "outer"]


def test_results_are_stored_through_every_door(every_door: Any, home: Path) -> None:
    door = every_door
    if (door.code, door.kind, door.verb) == ("coroutine", "plain", "called"):
        with pytest.raises(BlockedLoop, match=r"stored or cached.*acall"):
            door(lambda: [1], persist_result=True)
        return

    assert door(lambda: [1], persist_result=True) == [1]

    assert read(home / "storage") == [[1]]


# -- where and how ---------------------------------------------------------------------


@pytest.mark.rule("PERS-04", "PRM-14")
async def test_storage_and_serializer_are_the_tasks_else_the_flows_else_the_settings(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    its, flows, settings = (tmp_path / each for each in ("task", "flow", "settings"))
    monkeypatch.setenv("HEADRACE_RESULTS_DEFAULT_SERIALIZER", "compressed/json")
    own = task(persist_result=True, result_storage=its, result_serializer="pickle")(
        in_coroutine(lambda: "own")
    )
    plain = task(persist_result=True)(in_coroutine(lambda: "else"))

    @flow(result_storage=flows, result_serializer="json", persist_result=True)
    async def main() -> None:
        await own()
        await plain()

    await main()
    async with Runtime():
        await plain()
    monkeypatch.setenv("HEADRACE_LOCAL_STORAGE_PATH", str(settings))
    async with Runtime():
        await plain()

    assert read(its) == ["own"]
    assert "else" in read(flows, "json")
    assert read(home / "storage", "compressed/json") == ["else"]
    assert read(settings, "compressed/json") == ["else"]
    assert files(its)[0].read_bytes() != files(flows)[0].read_bytes()


@pytest.mark.rule("PERS-05")
async def test_a_sub_flow_has_storage_and_serializer_of_the_one_around(
    tmp_path: Path,
) -> None:
    around, own = tmp_path / "around", tmp_path / "own"

    @task
    async def it() -> str:
        return "task"

    @flow
    async def inherits() -> str:
        await it()
        return "inherits"

    @flow(result_storage=own, result_serializer="pickle")
    async def has_its_own() -> str:
        await it()
        return "own"

    @flow(persist_result=True, result_storage=around, result_serializer="json")
    async def main() -> str:
        await inherits()
        await has_its_own()
        return "main"

    await main()

    assert sorted(read(around, "json")) == ["inherits", "main", "task"]
    assert sorted(read(own)) == ["own", "task"]


@pytest.mark.rule("PERS-06")
def test_a_file_has_a_head_with_length_and_digest(home: Path) -> None:
    it = task(persist_result=True, result_storage_key="k", result_serializer="json")(
        lambda: {"rows": [1]}
    )
    with Runtime():
        state = it.submit().wait()
    assert state is not None
    (file,) = files(home / "storage")
    blob = file.read_bytes()
    assert b'{"rows":[1]}' in blob.replace(b" ", b"")

    store = ResultStore(home / "storage", "json")
    for damaged in (blob[:-1], blob.replace(b"1]", b"2]"), b"", b"headrace"):
        with pytest.raises(DamagedResult):
            store.from_bytes(damaged)
    assert state.result() == {"rows": [1]}


@pytest.mark.rule("PERS-07")
def test_each_run_has_a_random_key_unless_one_is_given(home: Path) -> None:
    it = task(persist_result=True)(lambda x: x)
    fixed = it.with_options(result_storage_key="fixed")

    with Runtime():
        it.map([1, 2, 3]).result()
        random = files(home / "storage")
        fixed(4)
        fixed(5)

    assert len(random) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", each.name) for each in random)
    (last,) = {*files(home / "storage")} - {*random}
    assert last.name == "fixed"
    assert ResultStore().from_bytes(last.read_bytes()) == 5


@KINDS
@pytest.mark.rule("PERS-08", "PRM-15")
async def test_a_key_is_a_template_of_the_run_and_its_arguments(
    make: Any, home: Path
) -> None:
    def it(x: int, y: str = "y") -> int:
        return x

    async def coroutine(x: int, y: str = "y") -> int:
        return x

    key = "{flow_run.flow_name}/{task_run.name}-{parameters[x]:03}-{parameters[y]}.bin"
    kept = task(name="it", result_storage_key=key)(it if make(it) is it else coroutine)

    @flow(name="main")
    async def main() -> None:
        await kept.acall(1)
        await (await kept.submit(2, "z"))

    await main()

    assert [each.relative_to(home / "storage").as_posix() for each in files(home / "storage")] == [
        "main/it-0-001-y.bin",
        "main/it-1-002-z.bin",
    ]  # fmt: skip


@pytest.mark.rule("PERS-08")
def test_all_attempts_of_a_run_have_one_key(home: Path) -> None:
    calls: list[int] = []

    @task(retries=1, persist_result=True)
    def it() -> int:
        calls.append(1)
        if len(calls) == 1:
            assert files(home / "storage") == []
            raise ValueError("first")
        assert len(files(home / "storage")) == 1
        return 2

    with Runtime():
        assert it() == 2

    assert read(home / "storage") == [2]


@pytest.mark.rule("PERS-09", "PRM-15")
@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("{parameters[z]}", "'z'.*does not have.*x"),
        ("{nothing}", "'nothing' alone tells no key"),
        ("{parameters[x]", "is no template"),
        ("../outside", "outside"),
        ("/absolute", "absolute"),
    ],
)
def test_a_key_that_cannot_be_one_is_refused_by_the_decorator(
    key: str, said: str
) -> None:
    with pytest.raises(InvalidStorageKey, match=said) as info:
        task(result_storage_key=key, name="it")(lambda x: x)

    assert info.value.__notes__ == [
        "This is about the option result_storage_key of 'it'."
    ]


@KINDS
@pytest.mark.rule("PERS-09")
@pytest.mark.parametrize("argument", ["../../outside", "", "a\0b"])
async def test_a_key_that_an_argument_makes_impossible_fails_the_run(
    make: Any, argument: str, home: Path
) -> None:
    def it(x: str) -> int:
        return 1

    async def coroutine(x: str) -> int:
        return 1

    kept = task(retries=3, result_storage_key="{parameters[x]}")(
        it if make(it) is it else coroutine
    )

    async with Runtime():
        state = await kept.acall(argument, return_state=True)

    assert state.name == "Failed"
    with pytest.raises(InvalidStorageKey):
        state.result()
    assert files(home / "storage") == []


# -- what is stored --------------------------------------------------------------------


@KINDS
@pytest.mark.rule("PERS-11", "FINAL-17")
async def test_a_run_whose_result_cannot_be_stored_fails_and_is_not_retried(
    make: Any, home: Path
) -> None:
    calls: list[int] = []

    def body() -> Any:
        calls.append(1)
        return {"rows": [1, threading.Lock()]}

    it = task(persist_result=True, retries=2)(make(body))

    async with Runtime():
        state = await it.acall(return_state=True)

    assert state.name == "Failed"
    with pytest.raises(SerializationError, match=r"\['rows'\]\[1\]"):
        state.result()
    assert len(calls) == 1
    assert files(home / "storage") == []


@KINDS
@pytest.mark.rule("FINAL-17")
async def test_a_storage_that_cannot_take_a_result_makes_the_attempt_fail(
    make: Any, tmp_path: Path
) -> None:
    calls: list[int] = []
    folder = tmp_path / "folder"
    folder.write_text("a file")

    def body() -> int:
        calls.append(1)
        if len(calls) == 2:
            folder.unlink()
        return len(calls)

    it = task(result_storage=folder, retries=2)(make(body))

    async with Runtime():
        assert await it.acall() == 2

    folder_of_it = it.with_options(result_storage=tmp_path / "folder", retries=0)
    (tmp_path / "other").write_text("a file")
    async with Runtime():
        broken = folder_of_it.with_options(result_storage=tmp_path / "other")
        with pytest.raises(StorageError, match="other"):
            await broken.acall()


@pytest.mark.rule("PERS-11")
async def test_a_flow_whose_result_cannot_be_stored_fails() -> None:
    @flow(persist_result=True)
    async def main() -> Any:
        return threading.Lock()

    with pytest.raises(SerializationError):
        await main()


@KINDS
@pytest.mark.rule("PERS-14")
async def test_what_a_failed_run_raised_is_stored_in_the_place_of_its_result(
    make: Any, home: Path
) -> None:
    def body() -> None:
        raise KeyError("a", 1)

    it = task(persist_result=True, result_storage_key="k")(make(body))

    async with Runtime():
        state = await it.acall(return_state=True)

    (stored,) = read(home / "storage")
    assert type(stored) is KeyError
    assert stored.args == ("a", 1)
    with pytest.raises(KeyError):
        state.result()


@KINDS
@pytest.mark.rule("PERS-15", "PERS-01")
async def test_a_result_in_memory_is_the_very_object_that_the_body_returned(
    make: Any,
) -> None:
    made: list[Any] = [[1]]
    it = task(persist_result=True)(make(lambda: made[0]))

    async with Runtime():
        future = await it.submit()
        state = await future.astate()

        assert await future is made[0]
        assert state.result() is made[0]
        assert state.data is made[0]


@KINDS
@pytest.mark.rule("PERS-16")
@pytest.mark.parametrize("serializer", ["pickle", "json"])
async def test_values_that_look_like_records_of_results_are_values(
    make: Any, serializer: str, tmp_path: Path
) -> None:
    value = {"type": "literal", "value": None, "storage": "x", "key": "y"}
    it = task(
        result_storage=tmp_path / "r",
        result_serializer=serializer,
        cache_result_in_memory=False,
    )(make(lambda: value))

    async with Runtime():
        assert await it.acall() == value


# -- not in memory ---------------------------------------------------------------------


@KINDS
@pytest.mark.rule("SRES-08", "PERS-13", "PRM-16")
async def test_a_result_that_is_not_in_memory_is_read_at_each_look(
    make: Any, home: Path
) -> None:
    it = task(cache_result_in_memory=False)(make(lambda: [1]))

    async with Runtime():
        future = await it.submit()
        state = await future.astate()
        looks = [await future, await future.aresult(), await state.aresult()]
        assert looks == [[1]] * 3
        assert len({*map(id, looks)}) == 3
        assert "stored" in repr(state.data)

        files(home / "storage")[0].unlink()
        with pytest.raises(MissingResult):
            await state.aresult()
        with pytest.raises(MissingResult):
            await future


@pytest.mark.rule("SRES-08")
def test_plain_code_blocks_to_read_it() -> None:
    it = task(cache_result_in_memory=False)(lambda: [1])

    with Runtime():
        future = it.submit()
        state = future.wait()

        assert state is not None
        assert future.result() == [1]
        assert future.result() is not future.result()
        assert state.result() == state.result() == [1]
        assert it() == [1]


@KINDS
@pytest.mark.rule("PERS-13")
async def test_what_is_given_such_a_future_gets_a_value_of_its_own(make: Any) -> None:
    it = task(cache_result_in_memory=False)(make(lambda: [1]))
    got: list[Any] = []
    takes = task(make(lambda x, y: got.extend((x, y))))

    async with Runtime():
        future = await it.submit()
        await (await takes.submit(future, y=[future]))
        await takes.acall(future, y=[future])

    assert got == [[1], [[1]]] * 2
    assert got[0] is not got[2]


@KINDS
@pytest.mark.rule("SRES-09", "PERS-13")
async def test_a_result_that_is_neither_in_memory_nor_stored_is_missing(
    make: Any,
) -> None:
    it = task(cache_result_in_memory=False, persist_result=False, name="it")(
        make(lambda: [1])
    )

    async with Runtime():
        future = await it.submit()
        state = await future.astate()

        assert state.name == "Completed"
        with pytest.raises(MissingResult, match="'it' was neither kept"):
            await future
        with pytest.raises(MissingResult, match="cache_result_in_memory=False"):
            state.result()


@KINDS
@pytest.mark.rule("SRES-09", "PERS-13")
@pytest.mark.parametrize("persist", [True, False])
async def test_none_is_always_kept(make: Any, persist: bool) -> None:
    it = task(cache_result_in_memory=False, persist_result=persist)(make(lambda: None))

    async with Runtime():
        future = await it.submit()

        assert await future is None
        assert (await future.astate()).result() is None


@KINDS
@pytest.mark.rule("PERS-13")
async def test_a_flow_drops_its_result_too(make: Any) -> None:
    main = flow(cache_result_in_memory=False)(make(lambda: [1]))

    state = await main.acall(return_state=True)

    assert await state.aresult() == [1]
    assert await state.aresult() is not await state.aresult()


# -- storages --------------------------------------------------------------------------


def storages() -> Iterator[Callable[[Path], Any]]:
    yield lambda folder: folder
    yield str
    yield lambda folder: LocalFileSystem(basepath=folder)
    yield lambda folder: MemoryStorage()


@KINDS
@pytest.mark.rule("PRM-13")
@pytest.mark.parametrize(
    "storage", [*storages()], ids=["path", "text", "local", "memory"]
)
async def test_a_storage_may_be_named_or_given(
    make: Any, storage: Any, tmp_path: Path
) -> None:
    it = task(result_storage=storage(tmp_path / "there"), cache_result_in_memory=False)(
        make(lambda: [1])
    )

    async with Runtime():
        assert await it.acall() == [1]
