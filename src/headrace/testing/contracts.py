"""Tests that every storage of results has to pass, for authors of others."""

from __future__ import annotations

import threading
from typing import Any, Final, NoReturn

from headrace.exceptions import HeadraceError, MissingResult, StorageError
from headrace.storage import ResultStorage, resolve_storage

__all__ = ("ResultStorageContract",)

_THREADS: Final = 4
_LARGE_BYTES: Final = 3_000_000


class _Interrupted(Exception):
    """Stands for whatever may be raised while a result is written."""


class ResultStorageContract:
    """What a storage of results must do, as tests for pytest.

    Subclass it in a test file, and say how to make a storage that is empty:

        class TestMyStorage(ResultStorageContract):
            def make_storage(self):
                return MyStorage(...)

    What needs fixtures can be put into ``self`` by one that is used automatically.
    """

    def make_storage(self) -> ResultStorage:
        """A storage that holds nothing; called once for each test."""
        raise NotImplementedError

    def test_it_is_taken_for_a_storage(self) -> None:
        """It has all that a storage has."""
        storage = self.make_storage()

        _check(resolve_storage(storage) is storage, "it was replaced by another")

    def test_its_identity_is_a_text_that_stays_the_same(self) -> None:
        """Records of results keep it."""
        storage = self.make_storage()

        _equal(type(storage.identity), str)
        _check(bool(storage.identity), "it is empty")
        _equal(storage.identity, storage.identity)

    def test_what_was_written_is_read(self) -> None:
        """The same bytes, as often as they are asked for."""
        storage = self.make_storage()

        _write(storage, "a", b"one")

        _equal([_read(storage, "a"), _read(storage, "a")], [b"one", b"one"])

    def test_nothing_at_all_can_be_written(self) -> None:
        """No bytes are not the same as nothing."""
        storage = self.make_storage()

        _write(storage, "a", b"")

        _equal(_read(storage, "a"), b"")

    def test_any_bytes_in_any_pieces_come_back(self) -> None:
        """Views of memory are taken, and large contents are."""
        storage = self.make_storage()
        content = bytes(range(256)) * (_LARGE_BYTES // 256)

        with storage.writing("a") as file:
            file.write(content[:5])
            file.write(memoryview(content)[5:1_000_000])
            file.write(bytearray(content[1_000_000:]))

        _equal(_read(storage, "a"), content)

    def test_it_is_read_in_pieces(self) -> None:
        """Each read gives at most what was asked for, and nothing only at the end."""
        storage = self.make_storage()
        _write(storage, "a", b"x" * 100_000)
        sizes: list[int] = []

        with storage.reading("a") as file:
            while piece := file.read(30_000):
                sizes.append(len(piece))

        _equal(sum(sizes), 100_000)
        _check(max(sizes) <= 30_000, f"a piece had {max(sizes)} bytes")

    def test_what_is_written_again_is_replaced(self) -> None:
        """The last one counts."""
        storage = self.make_storage()
        _write(storage, "a", b"a long one")

        _write(storage, "a", b"two")

        _equal(_read(storage, "a"), b"two")

    def test_keys_do_not_meet(self) -> None:
        """Different keys are different results."""
        storage = self.make_storage()
        keys = ["a", "b", "a b", "d/a", "d/e/a", "a:b", "a%3Ab", ".a", "con", "ä", "a."]

        for key in keys:
            _write(storage, key, key.encode())

        _equal([_read(storage, key).decode() for key in keys], keys)

    def test_what_was_never_written_is_missing(self) -> None:
        """What only a longer key leads to is so, or is an error of the storage."""
        storage = self.make_storage()
        _write(storage, "a/b", b"one")

        _missing(storage, "b")
        _missing(storage, "a", StorageError)
        _missing(storage, "a/b/c", StorageError)

    def test_what_is_removed_is_missing(self) -> None:
        """Removing tells whether something was there."""
        storage = self.make_storage()
        _write(storage, "d/a", b"one")
        _write(storage, "d/b", b"two")

        removed = [storage.remove("d/a"), storage.remove("d/a"), storage.remove("x")]

        _equal(removed, [True, False, False])
        _missing(storage, "d/a")
        _equal(_read(storage, "d/b"), b"two")

    def test_a_write_that_fails_changes_nothing(self) -> None:
        """Neither what was there, nor that nothing was there."""
        storage = self.make_storage()
        _write(storage, "a", b"one")

        for key in ("a", "b"):
            _check(_interrupted_write(storage, key), "it kept the exception")

        _equal(_read(storage, "a"), b"one")
        _missing(storage, "b")

    def test_nothing_is_seen_until_the_block_ends(self) -> None:
        """A result is there as a whole, or not at all."""
        storage = self.make_storage()

        with storage.writing("a") as file:
            file.write(b"x" * 100_000)
            _missing(storage, "a")

        _equal(len(_read(storage, "a")), 100_000)

    def test_threads_that_write_the_same_leave_one_of_theirs(self) -> None:
        """Whole, whoever was last."""
        storage = self.make_storage()
        contents = [bytes([65 + number]) * 50_000 for number in range(_THREADS)]
        together = threading.Barrier(_THREADS, timeout=10)

        def write(content: bytes) -> None:
            together.wait()
            _write(storage, "a", content)

        threads = [threading.Thread(target=write, args=(each,)) for each in contents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        _check(_read(storage, "a") in contents, "they are mixed up")


def _write(storage: ResultStorage, key: str, content: bytes) -> None:
    with storage.writing(key) as file:
        file.write(content)


def _interrupted_write(storage: ResultStorage, key: str) -> bool:
    """Whether what is raised in the block comes out of it."""
    try:
        with storage.writing(key) as file:
            file.write(b"half")
            raise _Interrupted
    except _Interrupted:
        return True
    return False  # pyright: ignore[reportUnreachable]


def _read(storage: ResultStorage, key: str) -> bytes:
    with storage.reading(key) as file:
        return file.read()


def _missing(
    storage: ResultStorage, key: str, or_else: type[HeadraceError] = MissingResult
) -> None:
    try:
        found = _read(storage, key)
    except (MissingResult, or_else):
        return
    _fail(f"{key!r} should be missing, and {len(found)} bytes were read")


def _equal(found: Any, wanted: Any) -> None:
    _check(bool(found == wanted), f"found {found!r:.300}, and wanted {wanted!r:.300}")


def _check(is_so: bool, otherwise: str) -> None:
    if not is_so:
        _fail(otherwise)


def _fail(text: str) -> NoReturn:
    raise AssertionError(f"{text}. See headrace.storage.ResultStorage.")
