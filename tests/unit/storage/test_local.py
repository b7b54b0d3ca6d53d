from __future__ import annotations

import errno
import os
import pickle
import resource
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headrace.exceptions import InvalidStorageKey, MissingResult, StorageError
from headrace.settings import temporary_settings
from headrace.storage import LocalFileSystem


def write(storage: LocalFileSystem, key: str, content: bytes = b"x") -> None:
    with storage.writing(key) as file:
        file.write(content)


def read(storage: LocalFileSystem, key: str) -> bytes:
    with storage.reading(key) as file:
        return file.read()


def files_in(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


@contextmanager
def umask(mask: int) -> Generator[None]:
    old = os.umask(mask)
    try:
        yield
    finally:
        os.umask(old)


@contextmanager
def largest_file(size_bytes: int) -> Generator[None]:
    """Files may become so large, as if there were no more room."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


# -- Where ----------------------------------------------------------------------------


def test_results_are_in_the_folder_that_was_given(tmp_path: Path) -> None:
    write(LocalFileSystem(tmp_path / "results"), "a/b:c.json")

    assert files_in(tmp_path) == ["results/a/b%3Ac.json"]


def test_the_folder_is_that_of_the_settings_if_none_is_given(tmp_path: Path) -> None:
    with temporary_settings(home=tmp_path / "home"):
        storage = LocalFileSystem()

    assert storage.basepath == tmp_path / "home/storage"
    assert list(tmp_path.iterdir()) == []


def test_paths_are_made_absolute_when_they_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))

    assert LocalFileSystem("x/../results").basepath == tmp_path / "results"
    assert LocalFileSystem("~/results").basepath == tmp_path / "me/results"
    assert LocalFileSystem(basepath=Path("results")) == LocalFileSystem("results")


def test_storages_are_equal_if_their_folders_are(tmp_path: Path) -> None:
    first, second = LocalFileSystem(tmp_path), LocalFileSystem(str(tmp_path))

    assert first == second
    assert hash(first) == hash(second)
    assert first != LocalFileSystem(tmp_path / "x")
    assert first != str(tmp_path)
    assert pickle.loads(pickle.dumps(first)) == first
    assert repr(first) == f"LocalFileSystem(basepath={str(tmp_path)!r})"


@pytest.mark.parametrize("name", ["plain", "with space#?%", "é", os.fsdecode(b"\xff")])
def test_a_storage_is_found_again_by_its_identity(tmp_path: Path, name: str) -> None:
    storage = LocalFileSystem(tmp_path / name)

    assert LocalFileSystem.of_identity(storage.identity) == storage
    assert LocalFileSystem.of_identity("memory:1") is None


@pytest.mark.parametrize(
    ("basepath", "error"),
    [(b"x", TypeError), (3, TypeError), ("", ValueError), (" ", ValueError), ("\0", ValueError)],
)  # fmt: skip
def test_what_is_no_folder_is_refused(basepath: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        LocalFileSystem(basepath)


# -- Links ----------------------------------------------------------------------------


def test_a_link_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    storage = LocalFileSystem(root)

    for act in (write, read, LocalFileSystem.remove):
        with pytest.raises(InvalidStorageKey, match="leads out of"):
            act(storage, "link/secret")
    with pytest.raises(StorageError):
        read(storage, "file")
    write(storage, "file", b"mine")

    assert (outside / "secret").read_bytes() == b"secret"
    assert read(storage, "file") == b"mine"


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    write(LocalFileSystem(tmp_path / "link"), "a/b", b"one")

    assert files_in(tmp_path / "real") == ["a/b"]


def test_what_is_no_file_is_missing(tmp_path: Path) -> None:
    storage = LocalFileSystem(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")

    for key in ("folder", "pipe"):
        with pytest.raises(MissingResult):
            read(storage, key)


# -- Rights ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)]
)
def test_files_have_the_rights_that_the_umask_leaves(
    tmp_path: Path, mask: int, mode: int
) -> None:
    with umask(mask):
        write(LocalFileSystem(tmp_path), "a/b")

    assert stat.S_IMODE((tmp_path / "a/b").stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(StorageError, match=r"Permission denied.*HEADRACE_HOME"):
        write(LocalFileSystem(tmp_path), "a")


# -- Errors of the system -------------------------------------------------------------


def test_a_place_that_cannot_be_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    storage = LocalFileSystem(tmp_path / "file")

    with pytest.raises(StorageError) as caught:
        write(storage, "a")

    assert caught.value.place == str(tmp_path / "file/a")
    assert caught.value.errno == errno.ENOTDIR
    assert caught.value.reason == "Not a directory"
    assert not storage.remove("a")
    with pytest.raises(MissingResult):
        read(storage, "a")


def test_a_name_that_is_a_folder_already_is_an_error(tmp_path: Path) -> None:
    storage = LocalFileSystem(tmp_path)
    write(storage, "a/b")

    with pytest.raises(StorageError, match="cannot write"):
        write(storage, "a")
    with pytest.raises(StorageError, match="cannot remove"):
        storage.remove("a")
    with pytest.raises(StorageError, match="cannot write"):
        write(storage, "a/b/c")

    assert files_in(tmp_path) == ["a/b"]


@pytest.mark.parametrize("size", [100_000, 10_001], ids=["large", "small"])
def test_without_room_nothing_is_left_and_with_room_all_works(
    tmp_path: Path, size: int
) -> None:
    storage = LocalFileSystem(tmp_path)

    with largest_file(10_000), pytest.raises(StorageError) as caught:
        write(storage, "a", bytes(size))

    assert caught.value.errno == errno.EFBIG
    assert "Free some space" in caught.value.advice
    assert files_in(tmp_path) == []
    write(storage, "a", bytes(size))
    assert len(read(storage, "a")) == size


def test_an_error_while_reading_is_one_of_the_storage(tmp_path: Path) -> None:
    storage = LocalFileSystem(tmp_path)
    write(storage, "a")

    with pytest.raises(StorageError, match="cannot read"), storage.reading("a"):
        raise OSError(errno.EIO, "Input/output error")


# -- What is left behind --------------------------------------------------------------


def test_what_dead_processes_left_is_removed_at_the_first_write(tmp_path: Path) -> None:
    parts = tmp_path / ".parts"
    parts.mkdir()
    for name, age in (("old", 100_000), ("young", 0)):
        (parts / name).write_bytes(b"half")
        at = (parts / name).stat().st_mtime - age
        os.utime(parts / name, (at, at))
    storage = LocalFileSystem(tmp_path)

    write(storage, "a")

    assert files_in(tmp_path) == [".parts/young", "a"]


def test_a_folder_that_is_removed_meanwhile_is_made_again(tmp_path: Path) -> None:
    storage = LocalFileSystem(tmp_path / "results")
    write(storage, "a/b")
    for name in ("a/b", "a", ".parts"):
        path = tmp_path / "results" / name
        path.unlink() if path.is_file() else path.rmdir()
    (tmp_path / "results").rmdir()

    write(storage, "a/b", b"again")

    assert read(storage, "a/b") == b"again"


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    storage = LocalFileSystem(tmp_path)

    with pytest.raises(KeyboardInterrupt), storage.writing("a"):
        raise KeyboardInterrupt

    assert files_in(tmp_path) == []
