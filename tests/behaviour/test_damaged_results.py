"""Stored and cached results that are damaged or forged: a miss, never a wrong value."""

from __future__ import annotations

import io
import pickle
import random
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from time import time
from typing import Any

import pytest

from headrace import Runtime, task, temporary_settings
from headrace.cache_policies import INPUTS
from headrace.caching import CacheEntry
from headrace.caching.sqlite import SQLiteCache
from headrace.exceptions import MissingResult
from headrace.results import ResultStore
from headrace.serializers import PickleSerializer
from headrace.storage import EnvelopeWriter, Signer

BYTES = 2048
SAMPLE = 400
FLIPS = 500
Change = Callable[[bytes], bytes]

calls: list[int] = []


def value(number: int) -> bytes:
    return random.Random(number).randbytes(BYTES)  # noqa: S311 - no secret


@task(cache_key_fn=INPUTS)
def inline(number: int) -> bytes:
    """Its results are in the index itself."""
    calls.append(number)
    return value(number)


@task(
    cache_key_fn=INPUTS, persist_result=True, result_storage_key="{parameters[number]}"
)
def filed(number: int) -> bytes:
    """Its results are files."""
    calls.append(number)
    return value(number)


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Generator[Path]:
    calls.clear()
    with temporary_settings(home=tmp_path / "home"):
        yield tmp_path / "home"


def truncated(length: int) -> Change:
    return lambda blob: blob[:length]


def flipped(bit: int) -> Change:
    def flip(blob: bytes) -> bytes:
        changed = bytearray(blob)
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    return flip


def changes(length: int, most: int | None) -> Iterator[Change]:
    """Every truncation and every flip of a bit; or a sample of them, the same each time."""
    places = range(length + 8 * length)
    chosen: Iterable[int] = places
    if most is not None:
        chosen = random.Random(1).sample(places, most)  # noqa: S311 - no secret
    for place in chosen:
        yield truncated(place) if place < length else flipped(place - length)


MOST = pytest.mark.parametrize(
    "most",
    [
        pytest.param(SAMPLE, id="some", marks=pytest.mark.slow),
        pytest.param(
            None, id="all", marks=[pytest.mark.long, pytest.mark.timeout(600)]
        ),
    ],
)


@MOST
def test_a_stored_file_with_any_change_is_computed_again(home: Path, most: int) -> None:
    file = home / "storage" / "1"
    with Runtime():
        filed(1)
        whole = file.read_bytes()
        done = 0
        for change in changes(len(whole), most):
            file.write_bytes(change(whole))
            state = filed(1, return_state=True)
            done += 1
            assert state.name == "Completed"
            assert state.result() == value(1)
            assert len(calls) == done + 1
        assert filed(1, return_state=True).name == "Cached"
    assert done >= (most or 18_000)


def rows(home: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(home / "cache.sqlite3", isolation_level=None))


@MOST
def test_a_value_in_the_index_with_any_change_is_computed_again(
    home: Path, most: int
) -> None:
    numbers = range(SAMPLE)
    done = 0
    with Runtime() as runtime:
        states: Any = inline.map(numbers, return_state=True)
        keys = [state.state_details.cache_key for state in states]
        runtime.cache.gc()  # behind all that is to be written
        with rows(home) as raw:
            blobs = dict(raw.execute("SELECT key, inline FROM entries"))
            left = [*changes(len(blobs[keys[0]]), most)]
            while left:
                batch, left = left[:SAMPLE], left[SAMPLE:]
                damage(raw, blobs, keys, batch)
                calls.clear()
                assert inline.map(numbers).result() == [*map(value, numbers)]
                assert sorted(calls) == [*range(len(batch))]
                done += len(batch)
                runtime.cache.gc()
    assert done >= (most or 18_000)


def damage(
    raw: sqlite3.Connection,
    blobs: dict[str, bytes],
    keys: Sequence[str],
    batch: Sequence[Change],
) -> None:
    raw.execute("BEGIN IMMEDIATE")
    for key, change in zip(keys, batch, strict=False):
        changed = change(blobs[key])
        raw.execute("UPDATE entries SET inline = ? WHERE key = ?", (changed, key))
    raw.execute("COMMIT")


@pytest.mark.slow
def test_an_index_with_any_bit_flipped_gives_right_values_or_none(home: Path) -> None:
    with Runtime():
        for _ in range(2):  # some are in the file twice, as space that is free again
            inline.with_options(refresh_cache=True).map(range(20)).wait()
    index = home / "cache.sqlite3"
    whole = index.read_bytes()
    chosen = random.Random(2)  # noqa: S311 - no secret
    found = set()

    for _ in range(FLIPS):
        for file in home.glob("cache.sqlite3*"):
            file.unlink()
        index.write_bytes(flipped(chosen.randrange(8 * len(whole)))(whole))
        calls.clear()
        with Runtime():
            for number in (0, 7, 19):
                assert inline(number) == value(number)
        found.add(len(calls))

    assert 0 in found  # most flips hit none of the three
    assert max(found) > 0


# -- what others wrote ------------------------------------------------------------------


class Plants:
    """A value that makes a file when it is made of its bytes."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def of_somebody_else(value: object) -> bytes:
    signer = Signer.of_secret("a key that is not the one of this home")
    return ResultStore(signer=signer).to_bytes(value)


def unsigned(value: object) -> bytes:
    file = io.BytesIO()
    writer = EnvelopeWriter(file, PickleSerializer().spec, None)
    writer.write(pickle.dumps(value))
    writer.close()
    return file.getvalue()


def bare(value: object) -> bytes:
    return pickle.dumps(value)


FORGERIES = pytest.mark.parametrize("forge", [of_somebody_else, unsigned, bare])


@FORGERIES
def test_a_forged_file_is_not_loaded(
    home: Path, tmp_path: Path, forge: Callable[[object], bytes]
) -> None:
    planted = tmp_path / "planted"
    with Runtime():
        state = filed.with_options(cache_result_in_memory=False)(1, return_state=True)
        forged = forge(Plants(planted))
        (home / "storage" / "1").write_bytes(forged)

        with pytest.raises(MissingResult):
            state.result()
        assert filed(1) == value(1)

    assert not planted.exists()
    assert calls == [1, 1]


@FORGERIES
def test_a_forged_value_in_the_index_is_not_loaded(
    home: Path, tmp_path: Path, forge: Callable[[object], bytes]
) -> None:
    planted = tmp_path / "planted"
    with Runtime():
        key = inline(1, return_state=True).state_details.cache_key
    assert key is not None
    with closing(SQLiteCache(home / "cache.sqlite3")) as index:
        entry = CacheEntry(key=key, created=time(), inline=forge(Plants(planted)))
        assert index.put(entry).result(10)

    with Runtime():
        state = inline(1, return_state=True)

    assert state.name == "Completed"
    assert state.result() == value(1)
    assert not planted.exists()


def test_what_this_home_signed_is_loaded_so_that_these_tests_can_fail(
    home: Path, tmp_path: Path
) -> None:
    planted = tmp_path / "planted"
    with Runtime():
        filed(1)
        forged = ResultStore(signer=Signer(home)).to_bytes(Plants(planted))
        (home / "storage" / "1").write_bytes(forged)
        filed(1)

    assert planted.exists()
