"""Each of our cache stores does what every store has to do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, cast

import hypothesis
import pytest
from hypothesis import strategies as st

from headrace.caching import (
    CacheEntry,
    CacheStore,
    MemoryCache,
    index_path,
    open_index,
)
from headrace.caching.sqlite import SQLiteCache
from headrace.settings import Settings
from headrace.testing import CacheStoreContract

NOW = 1_700_000_000.0


class TestMemoryCache(CacheStoreContract):
    def new_store(self, place: Path) -> CacheStore:
        return MemoryCache()


class TestSQLiteCache(CacheStoreContract):
    def new_store(self, place: Path) -> CacheStore:
        return SQLiteCache(place / "home" / "cache.sqlite3")


def test_a_contract_wants_to_know_how_a_store_is_made(tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError, match="new_store"):
        CacheStoreContract().new_store(tmp_path)


def entry(key: str, size: int = 1, created: float = NOW) -> CacheEntry:
    return CacheEntry(key=key, created=created, ref=f"at {key}", size=size)


# -- in memory -------------------------------------------------------------------------


def test_the_entry_used_longest_ago_makes_room() -> None:
    dropped: list[str] = []
    cache = MemoryCache(max_entries=2, on_dropped=dropped.extend)
    for key in ("a", "b"):
        cache.put(entry(key))
    cache.get("a", NOW)

    cache.put(entry("c"))

    assert [cache.get(key, NOW) is not None for key in "abc"] == [True, False, True]
    assert dropped == ["at b"]


def test_values_have_to_fit_in_a_number_of_bytes() -> None:
    cache = MemoryCache(max_bytes=10)
    for i in range(5):
        cache.put(entry(str(i), size=4))

    assert cache.stats().bytes == 8
    assert not cache.put(entry("large", size=11)).exception()
    assert cache.get("large", NOW) is None


@pytest.mark.parametrize("bound", ["max_entries", "max_bytes"])
def test_a_bound_that_lets_nothing_in_is_refused(bound: str) -> None:
    with pytest.raises(ValueError, match=f"{bound}=0"):
        MemoryCache(**cast("Any", {bound: 0}))


@hypothesis.given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=40),
    st.integers(1, 4),
)
def test_the_latest_used_stay(steps: list[tuple[str, bool]], bound: int) -> None:
    cache = MemoryCache(max_entries=bound)
    model: dict[str, None] = {}  # the latest used last
    for key, puts in steps:
        if puts:
            cache.put(entry(key))
        elif cache.get(key, NOW) is None:
            continue
        model.pop(key, None)
        model[key] = None
        while len(model) > bound:
            del model[next(iter(model))]

    found = Counter(key for key in "abcdef" if cache.get(key, NOW))

    assert found == Counter(model.keys())


# -- where it is -----------------------------------------------------------------------


def test_the_index_is_in_the_home_that_the_setting_names() -> None:
    assert index_path("/srv/x") == Path("/srv/x/cache.sqlite3")
    assert index_path(Settings().home) == Path.home() / ".headrace/cache.sqlite3"


def test_an_index_is_opened_without_touching_anything(tmp_path: Path) -> None:
    store = open_index(index_path(tmp_path / "home"), max_bytes=1000)

    assert isinstance(store, SQLiteCache)
    assert store.get("a", NOW) is None
    assert (store.stats().entries, store.clear().evicted, store.gc(NOW).expired) == (
        0,
        0,
        0,
    )
    store.close()
    assert list(tmp_path.iterdir()) == []
