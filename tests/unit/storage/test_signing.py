from __future__ import annotations

import errno
import hmac
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from headrace.exceptions import StorageError
from headrace.settings import Secret, Settings
from headrace.storage import Signer


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    signer = Signer(tmp_path / "home")

    assert not signer.is_own(bytes(8))
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_made_once_and_read_then(tmp_path: Path) -> None:
    home = tmp_path / "home"

    first, second = Signer(home), Signer(home)

    assert first.key == second.key == (home / "signing.key").read_bytes()
    assert first.key_id == second.key_id != Signer(tmp_path / "other").key_id
    assert [path.name for path in home.iterdir()] == ["signing.key"]
    assert Signer(home).is_own(first.key_id)


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        _ = Signer(tmp_path / "home").key
    finally:
        os.umask(old)

    assert stat.S_IMODE((tmp_path / "home/signing.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700


def test_threads_that_need_it_at_once_get_one(tmp_path: Path) -> None:
    together = threading.Barrier(8, timeout=5)
    keys: list[bytes] = []

    def need() -> None:
        signer = Signer(tmp_path)
        together.wait()
        keys.append(signer.key)

    threads = [threading.Thread(target=need) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(keys) == 8
    assert len(set(keys)) == 1


@pytest.mark.parametrize("is_faster", [False, True])
def test_a_file_system_without_links_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_faster: bool
) -> None:
    def refuse(*args: object) -> None:
        if is_faster:
            (tmp_path / "signing.key").write_text("0" * 64, "ascii")
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)

    key = Signer(tmp_path).key

    assert key == (tmp_path / "signing.key").read_bytes()
    assert (key == b"0" * 64) == is_faster


def test_a_key_that_cannot_be_kept_is_an_error_with_its_path(tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.write_text("", "utf-8")

    with pytest.raises(StorageError, match=r"file/signing\.key: Not a directory"):
        _ = Signer(home).key
    with pytest.raises(StorageError, match=r"file/signing\.key: Not a directory"):
        Signer(home).is_own(bytes(8))


def test_other_errors_of_linking_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "link", fail)

    with pytest.raises(StorageError, match="Input/output error"):
        _ = Signer(tmp_path).key
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_cut_off_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "signing.key").write_text("abc", "ascii")

    with pytest.raises(StorageError, match=r"holds 3 characters.*Remove the file"):
        _ = Signer(tmp_path).key


def test_a_key_of_the_settings_is_on_no_disk(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path), signing_key=Secret("0123456789abcdef"))

    signer = Signer.of_settings(settings)

    assert signer.key == b"0123456789abcdef"
    assert signer.is_own(signer.key_id)
    assert list(tmp_path.iterdir()) == []
    assert "0123" not in repr(settings) + repr(signer)


def test_a_folder_of_the_settings_may_begin_with_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    _ = Signer.of_settings(Settings(home="~/kept")).key

    assert (tmp_path / "kept/signing.key").exists()


def test_a_secret_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has 5 characters.*openssl rand"):
        Signer.of_secret("short")


def test_a_signature_is_that_of_the_standard_library() -> None:
    signer = Signer.of_secret("0123456789abcdef")
    hasher: Any = signer.hasher()

    hasher.update(b"some bytes")

    assert hasher.digest() == hmac.digest(signer.key, b"some bytes", "sha256")


def test_the_home_is_where_it_was_when_the_signer_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "first")
    signer = Signer.of_settings(Settings(home="kept"))
    monkeypatch.chdir(tmp_path / "second")

    assert signer.key == (tmp_path / "first/kept/signing.key").read_bytes()
