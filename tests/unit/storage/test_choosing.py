from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.exceptions import StorageError
from headrace.filesystems import (
    FsspecStorage,
    LocalFileSystem,
    MemoryStorage,
    ObjectStorage,
    ResultStorage,
    resolve_storage,
)
from headrace.settings import temporary_settings


def write(storage: ResultStorage, key: str) -> None:
    with storage.writing(key) as file:
        file.write(b"x")


def test_a_path_is_a_folder(tmp_path: Path) -> None:
    folder = LocalFileSystem(tmp_path)

    assert resolve_storage(tmp_path) == folder
    assert resolve_storage(str(tmp_path)) == folder
    assert resolve_storage(tmp_path.as_uri()) == folder
    assert resolve_storage(folder) is folder


def test_nothing_is_the_folder_of_the_settings(tmp_path: Path) -> None:
    with temporary_settings(home=tmp_path):
        assert resolve_storage(None) == LocalFileSystem(tmp_path / "storage")


def test_a_storage_is_taken_as_it_is() -> None:
    storage = MemoryStorage()

    assert resolve_storage(storage) is storage
    assert repr(storage) == "<MemoryStorage of 0 results>"


@pytest.mark.parametrize(
    "value", [3, b"x", object(), MemoryStorage, {"bucket": "x"}, sys.stdout]
)
def test_what_is_no_storage_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"is no storage for results\. Give the path"):
        resolve_storage(value)


# -- Object stores --------------------------------------------------------------------


def test_an_address_is_an_object_store() -> None:
    pytest.importorskip("obstore")

    storage = resolve_storage("s3://bucket/results")

    assert isinstance(storage, ObjectStorage)
    assert storage.identity == 'S3Store(bucket="bucket", prefix="results")'
    assert repr(storage) == f"ObjectStorage({storage.identity})"


def test_a_store_of_obstore_is_one() -> None:
    stores = pytest.importorskip("obstore.store")
    store = stores.MemoryStore()

    storage: Any = resolve_storage(store)

    assert storage.store is store


def test_the_endpoint_tells_stores_apart() -> None:
    stores = pytest.importorskip("obstore.store")
    store = stores.S3Store("bucket", endpoint="https://one.example")

    assert ObjectStorage(store).identity.endswith("at https://one.example")


def test_an_address_of_nothing_is_refused() -> None:
    pytest.importorskip("obstore")

    with pytest.raises(ValueError, match=r"'nowhere://x' is no address .*s3://bucket"):
        resolve_storage("nowhere://x")


def test_what_is_no_object_store_is_refused() -> None:
    pytest.importorskip("obstore")

    with pytest.raises(TypeError, match="is no object store"):
        ObjectStorage(3)


def test_errors_of_an_object_store_are_those_of_a_storage(tmp_path: Path) -> None:
    stores = pytest.importorskip("obstore.store")
    folder = tmp_path / "folder"
    storage = ObjectStorage(stores.LocalStore(folder, mkdir=True))
    folder.rmdir()
    folder.write_text("in the way", "utf-8")

    with pytest.raises(StorageError, match="cannot write a in LocalStore"):
        write(storage, "a")
    with pytest.raises(StorageError, match="cannot read a in LocalStore"):
        storage.reading("a").__enter__()
    with pytest.raises(StorageError, match="cannot remove a in LocalStore"):
        storage.remove("a")


# -- File systems of fsspec -----------------------------------------------------------


def test_an_address_is_a_file_system_of_fsspec(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")

    storage = FsspecStorage(f"file://{tmp_path}", "results")

    assert storage.root == f"{tmp_path}/results"
    assert storage.identity == f"fsspec+file://{tmp_path}/results"
    assert repr(storage) == f"FsspecStorage({storage.identity!r})"


@pytest.mark.parametrize("value", [3, MemoryStorage()])
def test_what_is_no_file_system_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="is no file system of fsspec"):
        FsspecStorage(value)


def test_errors_of_a_file_system_are_those_of_a_storage(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    (tmp_path / "file").write_text("", "utf-8")
    storage = FsspecStorage(fsspec.filesystem("file"), f"{tmp_path}/file")

    with pytest.raises(StorageError, match=r"cannot write .*/file/a in fsspec\+file"):
        write(storage, "a")


def test_reading_that_fails_is_an_error_of_the_storage(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    storage = FsspecStorage(fsspec.filesystem("file"), str(tmp_path))
    (tmp_path / "a").write_text("x", "utf-8")
    (tmp_path / "d/e").mkdir(parents=True)

    with pytest.raises(StorageError, match="cannot read"), storage.reading("a"):
        raise OSError(5, "Input/output error")
    with pytest.raises(StorageError, match="cannot remove"):
        storage.remove("d")


# -- Without them ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "make", "extra"),
    [
        ("obstore", lambda: resolve_storage("s3://bucket"), "objects"),
        ("fsspec", lambda: FsspecStorage("sftp://host/x"), "fsspec"),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, package: str, make: Any, extra: str
) -> None:
    for name in (package, f"{package}.store", f"{package}.core"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ImportError, match=rf"needs {package}.*'headrace\[{extra}\]'"):
        make()
