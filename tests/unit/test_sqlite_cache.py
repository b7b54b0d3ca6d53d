"""The cache index in a SQLite file: what it survives, and what it leaves alone."""

from __future__ import annotations

import gc
import logging
import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headrace.caching import CacheEntry
from headrace.caching.sqlite import SQLiteCache
from headrace.caching.sqlite.files import (
    Fence,
    FenceBusy,
    identity,
    is_remote,
    set_aside,
)
from headrace.exceptions import CacheUnusable

NOW = 1_700_000_000.0


def entry(key: str, inline: bytes = b"value", **facts: Any) -> CacheEntry:
    return CacheEntry(key=key, created=NOW, inline=inline, size=len(inline), **facts)


def value(key: str) -> bytes:
    return key.encode() * 50


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.sqlite3"


@pytest.fixture
def cache(path: Path) -> Iterator[SQLiteCache]:
    with closing(SQLiteCache(path)) as made:
        yield made


def filled(path: Path, number: int) -> list[str]:
    """Keys of entries that a file has now."""
    keys = [f"key-{i}" for i in range(number)]
    with closing(SQLiteCache(path)) as cache:
        for kept in [cache.put(entry(key, value(key))) for key in keys]:
            assert kept.result(10)
    return keys


def inside(cache: SQLiteCache) -> Any:
    return next(iter(cache._by_process.values()))


def raw(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def aside(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.corrupt-*[0-9]"))


# -- processes and objects -------------------------------------------------------------


def test_entries_outlast_the_object(path: Path) -> None:
    keys = filled(path, 10)

    with closing(SQLiteCache(str(path))) as later:
        found = [later.get(key, NOW) for key in keys]

    assert [each and each.inline for each in found] == [value(key) for key in keys]


def test_two_objects_see_what_the_other_wrote(path: Path, cache: SQLiteCache) -> None:
    with closing(SQLiteCache(path)) as other:
        for i in range(5):
            assert cache.put(entry(f"a{i}")).result(10)
            assert other.get(f"a{i}", NOW) is not None
            assert other.put(entry(f"b{i}")).result(10)
            assert cache.get(f"b{i}", NOW) is not None
            assert other.remove(f"a{i}").result(10)
            assert cache.get(f"a{i}", NOW) is None


def test_the_files_are_for_their_owner_alone(path: Path, cache: SQLiteCache) -> None:
    assert cache.put(entry("a")).result(10)

    assert {file.stat().st_mode & 0o077 for file in path.parent.iterdir()} == {0}


def test_one_that_is_not_closed_writes_what_it_has(path: Path) -> None:
    cache = SQLiteCache(path)
    for i in range(100):
        cache.put(entry(f"{i}"))

    del cache
    gc.collect()

    with closing(SQLiteCache(path)) as later:
        assert later.stats().entries == 100


def test_usage_is_told_by_task(cache: SQLiteCache) -> None:
    for i in range(3):
        cache.put(entry(f"a{i}", b"12", task_key="app.a", task_name="a"))
    cache.put(entry("b", b"123456789", task_key="app.b", task_name="b")).result(10)

    assert [(u.task_key, u.task_name, u.entries, u.bytes) for u in cache.usage()] == [
        ("app.b", "b", 1, 9),
        ("app.a", "a", 3, 6),
    ]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        pytest.param({"path": 3}, TypeError, id="path"),
        pytest.param({"path": "x", "max_bytes": 0}, ValueError, id="bytes"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Any, error: Any) -> None:
    with pytest.raises(error, match="SQLiteCache"):
        SQLiteCache(**arguments)


# -- damage ----------------------------------------------------------------------------


def flip(path: Path, number: int, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(number):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [1, 20, 500])
def test_flipped_bits_give_the_right_value_or_none(path: Path, bits: int) -> None:
    keys = filled(path, 60)
    pristine = path.read_bytes()
    found = 0
    for seed in range(30):
        path.write_bytes(pristine)
        flip(path, bits, random.Random(seed))  # noqa: S311 - no secret
        with closing(SQLiteCache(path)) as cache:
            for key in keys:
                each = cache.get(key, NOW)
                assert each is None or each == entry(key, value(key))
                found += each is not None
            cache.put(entry("new")).result(10)
            assert cache.get("new", NOW) in (None, entry("new"))
        for left in path.parent.iterdir():
            left.unlink()

    assert bits == 500 or found > 0


def test_a_file_that_is_no_database_is_set_aside_with_one_warning(
    path: Path, cache: SQLiteCache, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(b"not a database at all" * 500)

    assert cache.get("a", NOW) is None
    assert cache.put(entry("a")).result(10)

    assert cache.get("a", NOW) == entry("a")
    assert [file.read_bytes()[:5] for file in aside(path)] == [b"not a"]
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert "is damaged" in caplog.text
    assert cache.stats().damaged == 1


@pytest.mark.parametrize("size", [0, 1, 100, 5000])
def test_a_file_that_was_cut_off_works_again(path: Path, size: int) -> None:
    keys = filled(path, 60)
    path.write_bytes(path.read_bytes()[:size])

    with closing(SQLiteCache(path)) as cache:
        for key in keys:
            assert cache.get(key, NOW) in (None, entry(key, value(key)))
        assert cache.put(entry("new")).result(10)
        assert cache.get("new", NOW) is not None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("inline = x'00'", id="value"),
        pytest.param("message = 'other'", id="text"),
        pytest.param("created = 99e9", id="time"),
        pytest.param("size = 'x'", id="type"),
        pytest.param("digest = x'00'", id="digest"),
        pytest.param("ref = 'elsewhere'", id="place"),
        pytest.param("key = 'b'", id="key"),
    ],
)
def test_a_damaged_row_is_a_miss_and_goes(
    path: Path, cache: SQLiteCache, change: str
) -> None:
    assert cache.put(entry("a")).result(10)
    with closing(raw(path)) as connection:
        connection.execute(f"UPDATE entries SET {change}")  # noqa: S608 - see above
    key = "b" if "key" in change else "a"

    assert cache.get(key, NOW) is None
    assert cache.stats().damaged == 1
    assert cache.put(entry(key)).result(10)

    assert cache.get(key, NOW) == entry(key)


def test_damaged_rows_do_not_stop_the_sweeping(path: Path) -> None:
    dropped: list[str] = []
    with closing(SQLiteCache(path, 100, dropped.extend)) as cache:
        for i in range(3):
            assert cache.put(entry(f"{i}", b"x" * 30)).result(10)
        with closing(raw(path)) as connection:
            connection.execute(
                "UPDATE entries SET size = x'00', task_key = 7, ref = x'ff'"
            )

        assert [(u.task_key, u.entries) for u in cache.usage()] == [("7", 3)]
        for i in range(5):
            assert cache.put(entry(f"new {i}", b"x" * 30)).result(10)

        assert cache.stats().bytes <= 100
        assert cache.clear().evicted > 0
    assert dropped[:3] == ["\ufffd"] * 3


def test_one_who_has_a_damaged_file_open_goes_on_with_the_new_one(path: Path) -> None:
    filled(path, 60)
    with closing(SQLiteCache(path)) as one, closing(SQLiteCache(path)) as other:
        for each in (one, other):
            assert each.get("key-1", NOW) is not None
            assert each.put(entry("before")).result(10)

        file = identity(path)
        inside(one)._database.set_aside(file, "it was said to be")
        assert one.put(entry("after")).result(10)
        assert other.put(entry("later")).result(10)

        for each in (one, other):
            assert each.get("after", NOW) is not None
            assert each.get("later", NOW) is not None

    with closing(SQLiteCache(path)) as last:
        assert last.stats().entries == 2
        assert last.get("before", NOW) is None
    assert len(aside(path)) == 1


def test_a_file_that_another_has_renamed_is_not_renamed_again(path: Path) -> None:
    filled(path, 1)
    file = identity(path)

    assert set_aside(path, file) is not None
    assert set_aside(path, file) is None
    filled(path, 1)
    assert set_aside(path, None) is None
    assert path.exists()


def test_a_file_that_was_deleted_is_made_anew(path: Path, cache: SQLiteCache) -> None:
    assert cache.put(entry("a")).result(10)
    assert cache.get("a", NOW) is not None
    for file in path.parent.iterdir():
        file.unlink()

    assert cache.put(entry("b")).result(10)

    assert cache.get("b", NOW) == entry("b")
    assert cache.get("a", NOW) is None


# -- what is not ours ------------------------------------------------------------------


def later_version(path: Path) -> None:
    filled(path, 3)
    with closing(raw(path)) as connection:
        connection.execute("PRAGMA user_version = 7")


def of_another(path: Path) -> None:
    with closing(raw(path)) as connection:
        connection.execute("CREATE TABLE accounts (name)")
        connection.execute("INSERT INTO accounts VALUES ('a')")


@pytest.mark.parametrize(
    ("prepare", "text"),
    [
        pytest.param(later_version, "has the format 7", id="later"),
        pytest.param(of_another, "of another program", id="foreign"),
    ],
)
def test_what_is_not_ours_is_left_alone_with_one_warning(
    path: Path, prepare: Any, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(path)
    before = path.read_bytes()

    with closing(SQLiteCache(path)) as cache:
        for i in range(5):
            assert cache.get("key-1", NOW) is None
            assert not cache.put(entry(f"{i}")).result(10)
        with pytest.raises(CacheUnusable, match=text):
            cache.stats()
        with pytest.raises(CacheUnusable):
            cache.clear()

    assert path.read_bytes() == before
    assert aside(path) == []
    assert len(caplog.records) == 1
    assert text in caplog.text


# -- what does not go ------------------------------------------------------------------


def test_what_cannot_be_written_is_lost_with_one_warning_and_works_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "home"
    home.write_text("a file where the directory should be", "utf-8")
    with closing(SQLiteCache(home / "cache.sqlite3")) as cache:
        for i in range(3):
            assert not cache.put(entry(f"{i}")).result(10)
            assert cache.get(f"{i}", NOW) is None
        assert len(caplog.records) == 1
        assert "Runs go on without it" in caplog.text
        lost = inside(cache)._writer.lost

        home.unlink()
        assert cache.put(entry("a")).result(10)

    assert lost == 3


def test_a_full_disk_loses_the_entry_and_nothing_else(
    cache: SQLiteCache, caplog: pytest.LogCaptureFixture
) -> None:
    assert cache.put(entry("a")).result(10)
    connection = inside(cache)._writer._opened.connection
    connection.execute("PRAGMA max_page_count = 1").fetchone()  # no more than it has

    assert not cache.put(entry("large", b"x" * 200_000)).result(10)
    assert cache.get("large", NOW) is None
    assert "database or disk is full" in caplog.text

    assert cache.put(entry("b")).result(10)
    assert cache.get("a", NOW) is not None


def test_one_that_cannot_be_written_takes_no_others_with_it(
    cache: SQLiteCache,
) -> None:
    large = entry("large")
    large.size = 2**70  # no number of SQLite's
    with Fence(cache.path).hold(1):  # so that they come together
        kept = [cache.put(e) for e in (entry("a"), large, entry("b"))]

    assert [each.result(10) for each in kept] == [True, False, True]


def test_the_lock_of_another_program_delays_writing_and_not_reading(
    path: Path, cache: SQLiteCache
) -> None:
    assert cache.put(entry("a")).result(10)
    assert cache.get("a", NOW) is not None
    with closing(raw(path)) as other:
        other.execute("BEGIN IMMEDIATE")

        kept = cache.put(entry("b"))

        assert cache.get("a", NOW) is not None
        assert cache.get("b", NOW) is not None
        assert not kept.done()
        other.execute("COMMIT")
    assert kept.result(10)


def test_there_is_a_bound_on_what_waits_to_be_written(
    cache: SQLiteCache, caplog: pytest.LogCaptureFixture
) -> None:
    with Fence(cache.path).hold(1):
        kept = [cache.put(entry(f"{i}")) for i in range(11_000)]
        refused = [each for each in kept if each.done()]

        assert 0 < len(refused) <= 1000
        assert not any(each.result() for each in refused)
    assert sum(each.result(20) for each in kept) == 11_000 - len(refused)
    assert caplog.text.count("10000 entries wait to be written") == 1


def test_writers_who_never_get_their_turn_lose_what_they_have(
    cache: SQLiteCache, caplog: pytest.LogCaptureFixture
) -> None:
    assert cache.put(entry("a")).result(10)
    inside(cache)._writer._fence_seconds = 0.01
    with Fence(cache.path).hold(1):
        assert not cache.put(entry("b")).result(10)
        with pytest.raises(CacheUnusable, match="other processes have been writing"):
            cache.clear()

    assert cache.get("a", NOW) is not None
    assert "other processes have been writing" in caplog.text


def test_numbers_cannot_be_told_while_others_hold_the_fence(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path, 1)
    monkeypatch.setattr("headrace.caching.sqlite.reader._PATIENT_SECONDS", 0.01)
    fence = Fence(path)
    with closing(SQLiteCache(path)) as cache, fence.hold(1):
        assert cache.get("key-0", NOW) is None  # and it does not wait long
        with pytest.raises(CacheUnusable, match="others are writing"):
            cache.stats()
    fence.close()


def test_who_adds_up_for_long_holds_up_nobody_who_looks(path: Path) -> None:
    filled(path, 2)
    with closing(SQLiteCache(path)) as cache:
        assert not cache.is_open
        assert cache.stats().entries == 2
        with inside(cache).surveyor._lock:  # as `stats` holds it
            assert cache.get("key-1", NOW) is not None
            assert cache.is_open


def test_damage_that_is_found_by_adding_up_is_told_and_set_aside(path: Path) -> None:
    filled(path, 300)
    with closing(SQLiteCache(path)) as cache:
        assert cache.get("key-1", NOW) is not None
        # What adds up is open too, and has few pages in hand.
        assert inside(cache).surveyor.get("key-1")[0] is not None
        content = bytearray(path.read_bytes())
        content[8192:] = b"\xff" * (len(content) - 8192)
        path.write_bytes(content)

        with pytest.raises(CacheUnusable, match="cannot be read"):
            cache.usage()
        assert cache.put(entry("new")).result(10)

        assert cache.stats().entries == 1
    assert len(aside(path)) == 1


def test_where_no_thread_can_be_started_the_caller_writes(
    cache: SQLiteCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        kept = cache.put(entry("a"))

    assert kept.done()
    assert kept.result()
    assert cache.get("a", NOW) == entry("a")


# -- size, uses, log -------------------------------------------------------------------


def test_values_that_are_too_many_make_room_by_what_was_used_longest_ago(
    path: Path,
) -> None:
    dropped: list[str] = []
    with closing(SQLiteCache(path, 1000, dropped.extend)) as cache:
        for i in range(10):
            made = CacheEntry(key=f"{i}", created=NOW + i, ref=f"at {i}", size=100)
            assert cache.put(made).result(10)
        assert cache.get("0", NOW + 500) is not None
        made = CacheEntry(key="10", created=NOW + 600, ref="at 10", size=100)
        assert cache.put(made).result(10)

        left = [i for i in range(11) if cache.get(f"{i}", NOW + 600)]
        assert cache.stats().bytes <= 1000

    assert left == [0, 3, 4, 5, 6, 7, 8, 9, 10]
    assert dropped == ["at 1", "at 2"]


def test_hits_write_nothing_until_there_are_many(path: Path) -> None:
    keys = filled(path, 300)
    with closing(SQLiteCache(path)) as cache, closing(raw(path)) as other:

        def changes() -> Any:
            return other.execute("PRAGMA data_version").fetchone()

        before = changes()
        for _ in range(300):
            assert cache.get(keys[0], NOW + 100) is not None
        assert changes() == before

        for key in keys:
            cache.get(key, NOW + 100)
    with closing(raw(path)) as other:
        used = other.execute(
            "SELECT count(*) FROM entries WHERE used = ?", (NOW + 100,)
        )
        assert used.fetchone() == (300,)


def test_the_log_is_kept_short(path: Path, cache: SQLiteCache) -> None:
    for i in range(100):
        assert cache.put(entry(f"{i}", b"x" * 100_000)).result(10)

    log = path.with_name(f"{path.name}-wal")
    assert log.stat().st_size < 5_000_000
    with closing(raw(path)) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_room_is_given_back(path: Path) -> None:
    with closing(SQLiteCache(path)) as cache:
        for i in range(20):
            cache.put(entry(f"{i}", b"x" * 100_000))
        cache.clear()
    assert path.stat().st_size < 100_000


# -- the fence and the file system -----------------------------------------------------


def test_a_fence_is_held_by_one_at_a_time(path: Path) -> None:
    one, other = Fence(path), Fence(path)
    with one.hold(1), pytest.raises(FenceBusy), other.hold(0.01):
        pass
    with other.hold(1):
        pass
    one.close()
    other.close()


def test_a_fence_whose_file_was_deleted_is_still_one_fence(path: Path) -> None:
    one, other = Fence(path), Fence(path)
    with one.hold(1):
        pass
    path.with_name(f"{path.name}.lock").unlink()

    with one.hold(1), pytest.raises(FenceBusy), other.hold(0.01):
        pass
    one.close()
    other.close()


def test_a_fence_is_waited_for(path: Path) -> None:
    one, other = Fence(path), Fence(path)
    waits, got = threading.Event(), threading.Event()

    def wait() -> None:
        waits.set()
        with other.hold(10):
            got.set()

    with one.hold(1):
        thread = threading.Thread(target=wait)
        thread.start()
        assert waits.wait(5)
        assert not got.is_set()
    assert got.wait(5)
    thread.join(5)
    one.close()
    other.close()


MOUNTS = r"""
/dev/vda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/local ext4 rw 0 0
//box/share /mnt/my\040share cifs rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("place", "remote"),
    [
        pytest.param("/var/cache", False, id="root"),
        pytest.param("/home/ann/.headrace/cache", True, id="nfs"),
        pytest.param("/home/local/cache", False, id="local-within"),
        pytest.param("/homer/cache", False, id="beginning-alike"),
        pytest.param("/mnt/my share/cache", True, id="with-a-space"),
    ],
)
def test_network_file_systems_are_known(place: str, remote: bool) -> None:
    assert is_remote(Path(place), MOUNTS) is remote


def test_a_network_file_system_gets_a_journal_that_works_there(
    path: Path,
    cache: SQLiteCache,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mounts = path.with_name("mounts")
    mounts.write_text(f"server:/x {path.parent} nfs rw 0 0\n", "utf-8")
    monkeypatch.setattr("headrace.caching.sqlite.connecting._MOUNTS", mounts)

    assert cache.put(entry("a")).result(10)

    assert cache.get("a", NOW) is not None
    assert "network file system" in caplog.text
    with closing(raw(path)) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("delete",)
