from __future__ import annotations

import dataclasses
import errno
import io
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from headrace.exceptions import (
    DamagedResult,
    InvalidStorageKey,
    MissingResult,
    ResultTooLarge,
    SerializationError,
    StorageError,
    StoredException,
    UnknownSerializer,
    UnreadableResult,
    UntrustedResult,
)
from headrace.results import ResultRef, ResultStore
from headrace.serializers import JSONSerializer, PickleSerializer, Serializer
from headrace.settings import temporary_settings
from headrace.storage import LocalFileSystem, MemoryStorage, Signer

NAMES = ["pickle", "json", "compressed/pickle", "compressed/json"]
EVERY_NAME = pytest.mark.parametrize("name", NAMES)
VALUE = {"rows": [f"row {number}" for number in range(200)]}  # 2 KB


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Generator[Path]:
    folder = tmp_path / "home"
    with temporary_settings(home=folder):
        yield folder


class Noisy:
    """A pickle of it makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


class Unreadable:
    def __setstate__(self, state: object) -> None:
        raise OSError(errno.ENOENT, "the model is gone")

    def __getstate__(self) -> object:
        return {"x": 1}


class Unwritable:
    def __reduce__(self) -> Any:
        raise OSError(errno.ENOSPC, "not of the storage")


class NeedsMore(Exception):
    def __init__(self, left: int, *, right: int) -> None:
        super().__init__(f"{left}, {right}")


class Marking(Serializer):
    type: str = "marking"

    def dumps(self, obj: Any) -> bytes:
        if obj == "unfit":
            raise ValueError("unfit for me")
        return f"<{obj}>".encode()

    def loads(self, blob: bytes) -> Any:
        return blob.decode()[1:-1]


def files_in(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


# -- Save and load --------------------------------------------------------------------


@EVERY_NAME
def test_a_value_is_found_by_its_record(tmp_path: Path, name: str) -> None:
    for storage in (MemoryStorage(), LocalFileSystem(tmp_path / "results")):
        store = ResultStore(storage, name)

        ref = store.save("a/b", VALUE)

        assert store.load(ref) == VALUE
        assert store.load(ref) is not store.load(ref)
        assert (ref.storage, ref.key) == (storage.identity, "a/b")
        assert ref.serializer == store.serializer.spec
        assert 0 < ref.size_bytes < 4000


@EVERY_NAME
def test_a_value_can_be_kept_as_bytes(name: str) -> None:
    store = ResultStore(MemoryStorage(), name)

    assert store.from_bytes(store.to_bytes(VALUE)) == VALUE


@EVERY_NAME
def test_a_large_value_is_read_in_pieces(name: str) -> None:
    store = ResultStore(MemoryStorage(), name)
    value = [os.urandom(50_000) for _ in range(20)]

    assert store.load(store.save(None, value)) == value
    assert store.from_bytes(store.to_bytes(value)) == value


def test_keys_are_random_if_none_is_given() -> None:
    store = ResultStore(MemoryStorage())

    keys = {store.save(None, number).key for number in range(100)}

    assert len(keys) == 100
    assert {len(key) for key in keys} == {32}


def test_a_key_is_used_again_in_place_of_what_was_there() -> None:
    store = ResultStore(MemoryStorage())
    store.save("k", 1)

    ref = store.save("k", 2)

    assert store.load(ref) == 2


def test_what_is_removed_is_missing(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    ref = store.save(None, 1)

    assert store.remove(ref)
    assert not store.remove(ref)
    with pytest.raises(MissingResult, match=r"there is no stored result at .*results"):
        store.load(ref)


def test_many_threads_may_use_one_store(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    together = threading.Barrier(8, timeout=5)
    found: list[bool] = []

    def use(number: int) -> None:
        together.wait()
        refs = [store.save(None, (number, index)) for index in range(20)]
        found.extend(store.load(ref) == (number, i) for i, ref in enumerate(refs))

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [True] * 160


# -- Records --------------------------------------------------------------------------


@given(st.text(), st.text(), st.text(), st.integers(min_value=0))
def test_a_record_comes_back_from_its_text(
    storage: str, key: str, serializer: str, size: int
) -> None:
    ref = ResultRef(storage, key, serializer, size)

    assert ResultRef.from_json(ref.to_json()) == ref
    assert pickle.loads(pickle.dumps(ref)) == ref
    assert hash(ref) == hash(dataclasses.replace(ref))


@pytest.mark.parametrize(
    "text",
    ["", "1", "[]", "[1]", "{}", '{"storage":"a","key":"b","serializer":"c"}',
     '{"storage":"a","key":"b","serializer":"c","size_bytes":true}',
     '{"storage":"a","key":"b","serializer":"c","size_bytes":1,"x":2}'],
)  # fmt: skip
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no record of a stored result"):
        ResultRef.from_json(text)


def test_a_record_leads_to_its_own_folder(tmp_path: Path) -> None:
    ref = ResultStore(tmp_path / "one").save("k", 1)
    other = ResultStore(tmp_path / "other")
    other.save("k", 2)

    assert other.load(ref) == 1
    assert other.remove(ref)
    assert ref.open_storage() == LocalFileSystem(tmp_path / "one")
    assert files_in(tmp_path / "one") == []


def test_a_record_of_another_storage_is_looked_up_in_ours() -> None:
    ref = ResultStore(MemoryStorage()).save("k", 1)
    other = ResultStore(MemoryStorage())
    other.save("k", 2)

    assert ref.open_storage() is None
    assert other.load(ref) == 2


def test_a_key_of_a_record_cannot_lead_out_of_the_storage(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    ref = dataclasses.replace(store.save("k", 1), key="../home/signing.key")

    for act in (store.load, store.remove):
        with pytest.raises(InvalidStorageKey):
            act(ref)
    with pytest.raises(InvalidStorageKey):
        store.save("../k", 1)


@pytest.mark.slow
def test_another_process_reads_it_by_its_text(tmp_path: Path, home: Path) -> None:
    ref = ResultStore(tmp_path / "results", "compressed/pickle").save(None, VALUE)
    program = (
        "import sys; from headrace.results import ResultRef, ResultStore\n"
        "print(len(ResultStore().load(ResultRef.from_json(sys.argv[1]))['rows']))"
    )

    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program, ref.to_json()],
        env={**os.environ, "HEADRACE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert done.stdout == "200\n"


# -- Damage ---------------------------------------------------------------------------


@EVERY_NAME
def test_every_damage_of_a_stored_value_is_noticed(name: str) -> None:
    store = ResultStore(MemoryStorage(), name)
    blob = store.to_bytes(VALUE)
    damaged = [blob[:end] for end in range(len(blob))]
    for index in range(len(blob)):
        for bit in range(8):
            flipped = bytearray(blob)
            flipped[index] ^= 1 << bit
            damaged.append(bytes(flipped))
    missed: list[object] = []

    for bad in damaged:
        try:
            missed.append(store.from_bytes(bad))
        except DamagedResult:
            continue
        except BaseException as error:  # noqa: BLE001 - none other may come
            missed.append(error)

    assert len(damaged) == 9 * len(blob)
    assert missed == []


@EVERY_NAME
def test_damage_of_files_is_noticed(tmp_path: Path, name: str) -> None:
    store = ResultStore(tmp_path, name)
    ref = store.save("k", [VALUE, os.urandom(400_000)])
    blob = (tmp_path / "k").read_bytes()

    for index in range(0, len(blob), 4001):
        for bad in (
            blob[:index],
            blob[:index] + bytes([blob[index] ^ 64]) + blob[index + 1 :],
        ):
            (tmp_path / "k").write_bytes(bad)
            with pytest.raises(DamagedResult, match=r"'k' in file://.*is damaged"):
                store.load(ref)
    (tmp_path / "k").write_bytes(blob)
    assert store.load(ref)[0] == VALUE


# -- Trust ----------------------------------------------------------------------------


def test_a_pickle_that_somebody_else_made_is_not_read(tmp_path: Path) -> None:
    noise = tmp_path / "noise"
    forger = ResultStore(tmp_path / "x", signer=Signer.of_secret("k" * 16))
    store = ResultStore(tmp_path / "x")
    ref = forger.save("k", Noisy(noise))

    with pytest.raises(UntrustedResult, match="signed with another key"):
        store.load(ref)

    assert not noise.exists()
    forger.load(ref)
    assert noise.exists()


class Unsigned(PickleSerializer):
    """Makes what says of itself that it is a pickle, and is not signed."""

    type: str = "unsigned"

    @property
    def runs_code(self) -> bool:
        return False

    @property
    def spec(self) -> str:
        return PickleSerializer().spec


def test_a_pickle_that_nobody_signed_is_not_read(tmp_path: Path) -> None:
    noise = tmp_path / "noise"
    blob = ResultStore(MemoryStorage(), Unsigned()).to_bytes(Noisy(noise))

    for name in NAMES:
        with pytest.raises(UntrustedResult, match="is not signed"):
            ResultStore(MemoryStorage(), name).from_bytes(blob, "here")

    assert not noise.exists()


def test_an_unsigned_head_is_not_followed_into_a_module() -> None:
    other = JSONSerializer(jsonlib="json", allow_imports=("antigravity",))
    blob = ResultStore(MemoryStorage(), other).to_bytes(1)

    with pytest.raises(UntrustedResult):
        ResultStore(MemoryStorage(), "json").from_bytes(blob)
    assert ResultStore(MemoryStorage(), other).from_bytes(blob) == 1


def test_results_are_read_by_the_serializer_that_wrote_them() -> None:
    storage = MemoryStorage()
    refs = [ResultStore(storage, name).save(None, VALUE) for name in NAMES]

    for name in NAMES:
        store = ResultStore(storage, name)
        assert [store.load(ref) for ref in refs] == [VALUE] * 4


def test_a_key_is_made_when_a_pickle_is_written(tmp_path: Path, home: Path) -> None:
    memory = ResultStore(MemoryStorage(), "pickle")
    memory.load(memory.save(None, 1))
    plain = ResultStore(tmp_path / "results", "json")
    plain.load(plain.save(None, 1))
    assert not home.exists()

    ResultStore(tmp_path / "results", "pickle").save(None, 1)

    assert files_in(home) == ["signing.key"]


def test_a_key_of_the_settings_is_used(home: Path) -> None:
    with temporary_settings(signing_key="s" * 16):
        blob = ResultStore(MemoryStorage()).to_bytes(1)

    with pytest.raises(UntrustedResult):
        ResultStore(MemoryStorage()).from_bytes(blob)
    with temporary_settings(signing_key="s" * 16):
        assert ResultStore(MemoryStorage()).from_bytes(blob) == 1
    assert not home.exists()


def test_a_serializer_of_the_user_is_signed_and_found_by_its_type() -> None:
    storage = MemoryStorage()
    ref = ResultStore(storage, "marking").save(None, "abc")

    assert ref.serializer == '{"type":"marking"}'
    assert ResultStore(storage, "json").load(ref) == "abc"


# -- What cannot be written, or read --------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [
        ("pickle", {"a": [threading.Lock()]}, "['a'][0]"),
        ("pickle", [Unwritable()], "[0]"),
        ("compressed/pickle", {"a": [threading.Lock()]}, "['a'][0]"),
        ("json", {"a": [threading.Lock()]}, "['a'][0]"),
        ("compressed/json", {"a": [threading.Lock()]}, "['a'][0]"),
        ("marking", "unfit", ""),
    ],
)
def test_what_cannot_be_stored_is_named_and_leaves_nothing(
    tmp_path: Path, name: str, value: object, path: str
) -> None:
    store = ResultStore(tmp_path / "results", name)

    for act in (lambda: store.save("k", value), lambda: store.to_bytes(value)):
        with pytest.raises(SerializationError) as caught:
            act()
        assert caught.value.path == path
    assert files_in(tmp_path / "results") == []


def test_what_cannot_be_made_again_is_unreadable_with_its_cause() -> None:
    store = ResultStore(MemoryStorage())
    large = [bytes(600_000), Unreadable()]

    for value in (Unreadable(), large):
        with pytest.raises(UnreadableResult, match="the model is gone") as caught:
            store.load(store.save("k", value))
        assert isinstance(caught.value.__cause__, OSError)


def test_a_serializer_that_is_gone_makes_results_unreadable() -> None:
    class Gone(Marking):
        type: str = "gone"

    store = ResultStore(MemoryStorage(), Gone())
    blob = store.to_bytes("x").replace(b"gone", b"lost")

    with pytest.raises(DamagedResult):
        store.from_bytes(blob)
    renamed = Gone.model_construct(type="lost")
    blob = ResultStore(MemoryStorage(), renamed).to_bytes("x")
    with pytest.raises(UnreadableResult, match="there is no serializer 'lost'"):
        store.from_bytes(blob)


@pytest.mark.parametrize("name", ["pickle", "json"])
@pytest.mark.parametrize(
    ("error", "kind"),
    [(KeyError("a", "b"), KeyError), (NeedsMore(1, right=2), NeedsMore)],
)
def test_exceptions_are_stored_like_values(
    name: str, error: Exception, kind: type[Exception]
) -> None:
    store = ResultStore(MemoryStorage(), name)

    read = store.load(store.save(None, error))

    if name == "pickle" and kind is NeedsMore:  # calls the class with its arguments
        assert type(read) is StoredException
        assert read.text == "1, 2"
        assert read.type_name.endswith("NeedsMore")
    else:
        assert type(read) is kind
        assert read.args == error.args


# -- Sizes ----------------------------------------------------------------------------


@EVERY_NAME
def test_a_value_that_is_too_large_leaves_nothing(tmp_path: Path, name: str) -> None:
    store = ResultStore(tmp_path / "results", name, max_bytes=50_000)
    value = os.urandom(60_000)

    with pytest.raises(ResultTooLarge, match=r"only 50000 are allowed\. Return less"):
        store.save("k", value)
    with pytest.raises(ResultTooLarge):
        store.to_bytes(value)

    assert files_in(tmp_path / "results") == []
    assert store.load(store.save("k", value[:20_000])) == value[:20_000]


def test_counting_ends_where_the_limit_is() -> None:
    store = ResultStore(MemoryStorage(), max_bytes=1000)

    with pytest.raises(ResultTooLarge) as caught:
        store.save("k", [bytes(10_000_000)] * 2)

    assert caught.value.key == "k"
    assert caught.value.size_bytes < 10_100_000


# -- Storages that fail ---------------------------------------------------------------


class FullStorage(MemoryStorage):
    def __init__(self) -> None:
        super().__init__()
        self.room_bytes = 100

    @contextmanager
    def writing(self, key: str) -> Generator[Any]:
        with super().writing(key) as kept:
            yield FullFile(kept, self.room_bytes)

    @contextmanager
    def reading(self, key: str) -> Generator[Any]:
        with super().reading(key) as kept:
            yield FullFile(kept, self.room_bytes)


class FullFile:
    def __init__(self, file: io.BytesIO, room_bytes: int) -> None:
        self.file, self.room_bytes = file, room_bytes

    def write(self, data: bytes) -> None:
        self.room_bytes -= len(data)
        if self.room_bytes < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.file.write(data)

    def read(self, size: int = -1) -> bytes:
        if self.room_bytes < 0:
            raise OSError(errno.EIO, "Input/output error")
        return self.file.read(size)


@EVERY_NAME
def test_a_full_storage_is_an_error_and_works_again_with_room(name: str) -> None:
    storage = FullStorage()
    store = ResultStore(storage, name)

    for size in (1_000, 1_000_000):
        with pytest.raises(StorageError) as caught:
            store.save("k", os.urandom(size))
        assert "No space left on device. Free some space" in str(caught.value)
        assert caught.value.errno == errno.ENOSPC
        assert caught.value.place.startswith("'k' in memory:")
    storage.room_bytes = 10_000

    ref = store.save("k", b"x" * 1_000)

    assert store.load(ref) == b"x" * 1_000
    storage.room_bytes = -1
    with pytest.raises(StorageError, match=r"cannot read .*Input/output error"):
        store.load(ref)


# -- What is given --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"storage": 3}, TypeError),
        ({"serializer": 3}, TypeError),
        ({"serializer": "jsn"}, UnknownSerializer),
        ({"max_bytes": "1"}, TypeError),
        ({"max_bytes": 1.5}, TypeError),
        ({"max_bytes": -1}, ValueError),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        ResultStore(**options)


def test_by_default_pickles_go_to_the_home(home: Path) -> None:
    store = ResultStore()

    assert store.storage == LocalFileSystem(home / "storage")
    assert type(store.serializer) is PickleSerializer
