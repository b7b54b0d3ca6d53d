from __future__ import annotations

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from headrace.storage import (
    FsspecStorage,
    LocalFileSystem,
    MemoryStorage,
    ObjectStorage,
    ResultStorage,
)
from headrace.storage.faults import missing
from headrace.testing.contracts import ResultStorageContract


class InFolder(ResultStorageContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "results"


class TestMemoryStorage(ResultStorageContract):
    def make_storage(self) -> ResultStorage:
        return MemoryStorage()


class TestLocalFileSystem(InFolder):
    def make_storage(self) -> ResultStorage:
        return LocalFileSystem(self.folder)


class TestObjectStorageInMemory(ResultStorageContract):
    def make_storage(self) -> ResultStorage:
        stores = pytest.importorskip("obstore.store")
        return ObjectStorage(stores.MemoryStore())


class TestObjectStorageInFolder(InFolder):
    def make_storage(self) -> ResultStorage:
        stores = pytest.importorskip("obstore.store")
        return ObjectStorage(stores.LocalStore(self.folder, mkdir=True))


class TestFsspecStorageInMemory(ResultStorageContract):
    def make_storage(self) -> ResultStorage:
        pytest.importorskip("fsspec")
        return FsspecStorage(f"memory://{secrets.token_hex(8)}")


class TestFsspecStorageInFolder(InFolder):
    def make_storage(self) -> ResultStorage:
        fsspec = pytest.importorskip("fsspec")
        return FsspecStorage(fsspec.filesystem("file"), str(self.folder))


class OutsiderStorage:
    """What an author outside would write, with a fault that a test can choose."""

    def __init__(self, fault: str) -> None:
        self.identity = "outsider"
        self.fault = fault
        self.kept: dict[str, bytes] = {}

    @contextmanager
    def writing(self, key: str) -> Generator[BytesIO]:
        file = BytesIO()
        if self.fault == "sees early":
            self.kept[key] = b""
        try:
            yield file
        except Exception:
            if self.fault == "swallows":
                return
            if self.fault != "keeps halves":
                raise
            self.kept[key] = file.getvalue()
            raise
        if self.fault == "loses nothing":
            self.kept.setdefault(key, file.getvalue())
        elif self.fault == "mixes keys":
            self.kept[key.lower().replace(":", "%3A")] = file.getvalue()
        else:
            self.kept[key] = file.getvalue()

    @contextmanager
    def reading(self, key: str) -> Generator[BytesIO]:
        if self.fault == "mixes keys":
            key = key.replace(":", "%3A")
        if key not in self.kept and self.fault != "misses nothing":
            raise missing(key)
        yield BytesIO(self.kept.get(key, b""))

    def remove(self, key: str) -> bool:
        if self.fault == "keeps all":
            return key in self.kept
        return self.kept.pop(key, None) is not None or self.fault == "always removes"


def failures(fault: str) -> set[str]:
    class Tests(ResultStorageContract):
        def make_storage(self) -> Any:
            return OutsiderStorage(fault)

    found = set()
    for name in dir(Tests):
        if name.startswith("test_"):
            try:
                getattr(Tests(), name)()
            except AssertionError:
                found.add(name)
    return found


def test_the_contract_lets_a_storage_from_outside_pass() -> None:
    assert failures("none") == set()


@pytest.mark.parametrize(
    ("fault", "found_by"),
    [
        ("sees early", "test_nothing_is_seen_until_the_block_ends"),
        ("swallows", "test_a_write_that_fails_changes_nothing"),
        ("keeps halves", "test_a_write_that_fails_changes_nothing"),
        ("loses nothing", "test_what_is_written_again_is_replaced"),
        ("mixes keys", "test_keys_do_not_meet"),
        ("misses nothing", "test_what_was_never_written_is_missing"),
        ("keeps all", "test_what_is_removed_is_missing"),
        ("always removes", "test_what_is_removed_is_missing"),
    ],
)
def test_the_contract_finds_faults(fault: str, found_by: str) -> None:
    assert found_by in failures(fault)
