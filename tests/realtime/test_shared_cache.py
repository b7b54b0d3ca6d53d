"""One cache file and several processes: real ones, which are killed, forked and ended."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from headrace.caching.sqlite import SQLiteCache

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

NOW = 1_700_000_000.0

PREAMBLE = """
import logging, os, random, sys, time
from headrace.caching import CacheEntry
from headrace.caching.sqlite import SQLiteCache

logging.basicConfig(level=logging.WARNING)
NOW = 1_700_000_000.0
cache = SQLiteCache(sys.argv[1])

def value(key):
    return key.encode() * 100

def entry(key):
    return CacheEntry(key=key, created=NOW, inline=value(key))
"""

SHARE = """
keys = [f"key-{i}" for i in range(200)]
random.Random(sys.argv[2]).shuffle(keys)
computed = 0
sys.stdin.readline()  # all begin together
for key in keys:
    found = cache.get(key, NOW)
    if found is None:
        computed += 1
        assert cache.put(entry(key)).result(60)
        found = cache.get(key, NOW)
    assert found.inline == value(key)
cache.close()
print(computed)
"""

TELL_WHAT_IS_KEPT = """
def tell(key):
    os.write(1, f"{key}\\n".encode())

for i in range(100_000):
    kept = cache.put(entry(f"key-{i}"))
    kept.add_done_callback(lambda done, key=f"key-{i}": done.result() and tell(key))
    if i % 7 == 0:
        kept.result()
"""

END_WITHOUT_CLOSING = """
for i in range(300):
    cache.put(entry(f"key-{i}"))
assert cache.get("key-0", NOW + 100)
"""

FORK = """
def found(key):
    # Who opens the file while another writes, for longer than 50 ms, is told of a miss.
    until = time.monotonic() + 20
    while (entry := cache.get(key, NOW)) is None and time.monotonic() < until:
        time.sleep(0.01)
    return entry

assert cache.put(entry("of parent")).result(20)
assert found("of parent")
children = []
for number in range(3):
    pid = os.fork()
    if not pid:
        assert found("of parent").inline == value("of parent")
        assert cache.put(entry(f"of child {number}")).result(20)
        sys.exit(0)
    assert cache.put(entry(f"beside {number}")).result(20)
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
for number in range(3):
    assert found(f"of child {number}") and found(f"beside {number}")
"""


def start(script: str, path: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        [
            sys.executable,
            "-W",
            "ignore::DeprecationWarning",  # of a fork beside threads: it is the point
            "-c",
            PREAMBLE + script,
            str(path),
            *arguments,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def value(key: str) -> bytes:
    return key.encode() * 100


def test_four_processes_share_a_file_that_none_of_them_finds_locked(
    tmp_path: Path,
) -> None:
    path = tmp_path / "cache.sqlite3"
    processes = [start(SHARE, path, str(i)) for i in range(4)]
    ended = [process.communicate(b"go\n", timeout=90) for process in processes]

    assert [error.decode() for _, error in ended] == [""] * 4
    computed = sum(int(told) for told, _ in ended)
    assert 200 <= computed < 4 * 200
    with closing(SQLiteCache(path)) as cache:
        found = [cache.get(f"key-{i}", NOW) for i in range(200)]
        assert [each and each.inline for each in found] == [
            value(f"key-{i}") for i in range(200)
        ]
        assert cache.stats().damaged == 0


@pytest.mark.parametrize("entries", [1, 50, 700, 3000])
def test_a_killed_process_loses_nothing_that_was_acknowledged(
    tmp_path: Path, entries: int
) -> None:
    path = tmp_path / "cache.sqlite3"
    process = start(TELL_WHAT_IS_KEPT, path)
    assert process.stdout is not None

    told = [process.stdout.readline() for _ in range(entries)]
    process.kill()
    told += process.stdout.readlines()  # `communicate` passes over what it has buffered
    process.communicate(timeout=30)
    kept = [line.decode().strip() for line in told if line.endswith(b"\n")]

    with closing(SQLiteCache(path)) as cache:
        lost = [key for key in kept if cache.get(key, NOW) is None]
        assert len(kept) >= entries
        assert lost == []
        assert cache.stats().damaged == 0
        last = cache.get(kept[-1], NOW)
        assert last is not None
        assert last.inline == value(kept[-1])


def test_a_process_that_ends_without_closing_writes_what_it_has(
    tmp_path: Path,
) -> None:
    path = tmp_path / "cache.sqlite3"
    _, error = start(END_WITHOUT_CLOSING, path).communicate(timeout=60)

    assert error == b""
    with closing(SQLiteCache(path)) as cache:
        assert cache.stats().entries == 300


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_goes_on_by_itself(tmp_path: Path) -> None:
    process = start(FORK, tmp_path / "cache.sqlite3")
    _, error = process.communicate(timeout=60)

    assert error == b""
    assert process.returncode == 0
