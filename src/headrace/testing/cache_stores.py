"""What a cache store has to do, as tests: for authors of stores."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from headrace.caching import CacheEntry, CacheStore

__all__ = ("CacheStoreContract",)

_NOW: Final = 1_700_000_000.0
_DAY: Final = 86_400.0


class CacheStoreContract:
    """The tests of a store: derive a class that says how one is made.

    .. code-block:: python

        class TestMyStore(CacheStoreContract):
            def new_store(self, place):
                return MyStore(place / "cache")

    ``pytest.register_assert_rewrite("headrace.testing.cache_stores")`` in a conftest
    gives failures in full.
    """

    def new_store(self, place: Path) -> CacheStore:
        """A store that is empty.

        Args:
            place: A directory that it may use.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not say how its store is made. Define "
            f"new_store(self, place) in it."
        )

    @contextmanager
    def _store(self, place: Path) -> Generator[CacheStore]:
        with closing(self.new_store(place)) as store:
            yield store

    def test_it_has_the_methods_of_a_store(self, tmp_path: Path) -> None:
        with self._store(tmp_path) as store:
            assert isinstance(store, CacheStore)

    def test_what_was_put_is_found_with_all_its_facts(self, tmp_path: Path) -> None:
        entries = [
            _entry("a"),
            _entry("b", expires=_NOW + _DAY, inline=None, ref="ab/cd.bin", size=10**12),
            _entry("c", inline=b"", message="", state_name="Skipped", parts="1 x\n2 y"),
            _entry(
                "é \x00 \n'\"", message="\ud800 ü", task_key="tâche", inline=b"\x00"
            ),
        ]
        with self._store(tmp_path) as store:
            for entry in entries:
                assert store.put(entry).result(10)

            assert [store.get(entry.key, _NOW) for entry in entries] == entries

    def test_what_was_put_is_found_at_once(self, tmp_path: Path) -> None:
        with self._store(tmp_path) as store:
            store.put(_entry("a"))

            assert store.get("a", _NOW) == _entry("a")

    def test_the_latest_entry_of_a_task_is_known(self, tmp_path: Path) -> None:
        old, new = _entry("a", task_key="t"), _entry("b", task_key="t")
        new.created = old.created + 1
        with self._store(tmp_path) as store:
            for entry in (new, old, _entry("c", task_key="other")):
                store.put(entry).result(10)

            assert store.latest("t") == new
            assert store.latest("none") is None

    def test_the_latest_entry_is_known_before_it_is_written(
        self, tmp_path: Path
    ) -> None:
        with self._store(tmp_path) as store:
            store.put(_entry("a", task_key="t"))

            assert store.latest("t") == _entry("a", task_key="t")

    def test_another_key_finds_nothing(self, tmp_path: Path) -> None:
        with self._store(tmp_path) as store:
            store.put(_entry("a")).result(10)

            assert [store.get(key, _NOW) for key in ("A", "aa", "", "b")] == [None] * 4

    def test_an_entry_is_found_until_it_expires(self, tmp_path: Path) -> None:
        with self._store(tmp_path) as store:
            store.put(_entry("a", expires=_NOW + 10)).result(10)

            found = [store.get("a", _NOW + after) for after in (0, 9.9, 10, 11, 0)]

            assert [entry is not None for entry in found] == [
                True,
                True,
                False,
                False,
                True,
            ]

    def test_what_expired_when_it_was_made_changes_nothing(
        self, tmp_path: Path
    ) -> None:
        with self._store(tmp_path) as store:
            store.put(_entry("a"))
            store.put(_entry("a", created=_NOW + 1, expires=_NOW + 1)).result(10)
            store.put(_entry("b", expires=_NOW - 1)).result(10)

            assert store.get("a", _NOW) == _entry("a")
            assert store.get("b", _NOW - 5) is None

    def test_the_later_entry_wins_whichever_is_put_first(self, tmp_path: Path) -> None:
        late = _entry("a", created=_NOW + 5, inline=b"late")
        with self._store(tmp_path) as store:
            for entry in (_entry("a"), late, _entry("a", created=_NOW + 4)):
                store.put(entry).result(10)

            assert store.get("a", _NOW) == late

    def test_what_a_wrong_clock_wrote_is_not_found(self, tmp_path: Path) -> None:
        with self._store(tmp_path) as store:
            store.put(_entry("a", created=_NOW + _DAY)).result(10)

            assert store.get("a", _NOW) is None
            assert store.get("a", _NOW + _DAY) is not None

    def test_long_keys_are_as_good_as_others(self, tmp_path: Path) -> None:
        keys = ["k" * 2000, "k" * 2001, "k" * 2002, "é" * 3000, "\ud800"]
        with self._store(tmp_path) as store:
            for key in keys:
                store.put(_entry(key, message=str(len(key)))).result(10)

            found = [store.get(key, _NOW) for key in keys]

            assert [(e and e.key, e and e.message) for e in found] == [
                (key, str(len(key))) for key in keys
            ]

    def test_what_was_removed_is_not_found(self, tmp_path: Path) -> None:
        with self._store(tmp_path) as store:
            store.put(_entry("a"))
            removed = store.remove("a")

            assert store.get("a", _NOW) is None
            assert removed.result(10)
            assert store.get("a", _NOW) is None
            assert store.remove("never there").result(10)

    def test_clearing_a_task_leaves_the_others(self, tmp_path: Path) -> None:
        with self._store(tmp_path) as store:
            store.put(_entry("a", task_key="load", size=3))
            store.put(_entry("b", task_key="save", inline=None, ref="r"))

            swept = store.clear("load")

            assert (swept.expired, swept.evicted, swept.bytes) == (0, 1, 3)
            assert store.get("a", _NOW) is None
            assert store.get("b", _NOW) is not None
            assert store.clear().refs == ("r",)
            assert store.stats().entries == 0

    def test_gc_forgets_what_has_expired(self, tmp_path: Path) -> None:
        with self._store(tmp_path) as store:
            store.put(_entry("a", expires=_NOW + 1, inline=None, ref="r"))
            store.put(_entry("b", expires=_NOW + 2))
            store.put(_entry("c"))

            swept = store.gc(_NOW + 1)

            assert (swept.expired, swept.evicted, swept.refs) == (1, 0, ("r",))
            assert store.stats().entries == 2

    def test_gc_makes_room_by_what_was_used_longest_ago(self, tmp_path: Path) -> None:
        with self._store(tmp_path) as store:
            for i, key in enumerate("abcd"):
                store.put(_entry(key, created=_NOW + i, size=100)).result(10)
            store.get("a", _NOW + 1000)
            store.put(_entry("e", created=_NOW + 4, size=100)).result(10)

            swept = store.gc(_NOW + 1000, max_bytes=300)

            assert (swept.evicted, swept.bytes) == (2, 200)
            left = [key for key in "abcde" if store.get(key, _NOW + 1000)]
            assert left == ["a", "d", "e"]

    def test_the_numbers_add_up(self, tmp_path: Path) -> None:
        with self._store(tmp_path) as store:
            store.put(_entry("a", inline=b"12345")).result(10)
            store.put(_entry("b", inline=None, ref="r", size=10)).result(10)
            for key in ("a", "a", "c"):
                store.get(key, _NOW)

            stats = store.stats()

            assert (stats.entries, stats.bytes) == (2, 15)
            assert (stats.hits, stats.misses, stats.lost) == (2, 1, 0)

    def test_what_cannot_be_kept_is_refused(self, tmp_path: Path) -> None:
        wrong: list[tuple[dict[str, Any], type[Exception]]] = [
            ({"key": ""}, ValueError),
            ({"key": 1}, TypeError),
            ({"ref": "r"}, ValueError),
            ({"inline": None}, ValueError),
            ({"inline": "text"}, TypeError),
            ({"task_key": None}, TypeError),
            ({"size": "1"}, TypeError),
            ({"size": -1}, TypeError),
            ({"created": float("nan")}, ValueError),
            ({"expires": float("inf")}, ValueError),
        ]
        with self._store(tmp_path) as store:
            for facts, error in wrong:
                given: dict[str, Any] = {"key": "a", **facts}
                assert _raised_by(store, _entry(**given)) is error, facts
            assert store.stats().entries == 0

    def test_a_callback_hears_that_an_entry_is_kept(self, tmp_path: Path) -> None:
        told = threading.Event()
        with self._store(tmp_path) as store:
            store.put(_entry("a")).add_done_callback(lambda _: told.set())

            assert told.wait(10)

    def test_many_threads_may_use_it(self, tmp_path: Path) -> None:
        wrong: list[str] = []
        with self._store(tmp_path) as store:

            def work(number: int) -> None:
                for i in range(50):
                    key = f"{(number + i) % 20}"
                    found = store.get(key, _NOW)
                    if found is not None and found.inline != key.encode():
                        wrong.append(key)
                    store.put(_entry(key, inline=key.encode()))

            threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)

            assert wrong == []
            assert all(store.get(f"{i}", _NOW) for i in range(20))

    def test_a_closed_store_finds_and_keeps_nothing(self, tmp_path: Path) -> None:
        with self._store(tmp_path) as store:
            store.put(_entry("a"))
            store.close()

            assert store.get("a", _NOW) is None
            assert not store.put(_entry("b")).result(10)
            store.close()


def _entry(key: Any, **facts: Any) -> CacheEntry:
    given: dict[str, Any] = {
        "key": key,
        "created": _NOW,
        "inline": b"value",
        "task_key": "app.load",
        "task_name": "load",
        "message": None,
    }
    given.update(facts)
    entry = CacheEntry(**given)
    if not entry.size and isinstance(entry.inline, bytes):
        entry.size = len(entry.inline)
    return entry


def _raised_by(store: CacheStore, entry: CacheEntry) -> type[BaseException] | None:
    try:
        store.put(entry)
    except Exception as error:  # noqa: BLE001 - which one it is, is the question
        return type(error)
    return None
