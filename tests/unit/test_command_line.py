"""``python -m headrace cache``: what it prints, and how it exits."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from headrace.__main__ import main
from headrace.caching import CacheEntry, index_path
from headrace.caching.sqlite import SQLiteCache

NOW = 1_700_000_000.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with closing(SQLiteCache(index_path(tmp_path))) as cache:
        for i in range(3):
            made = CacheEntry(
                key=f"a{i}",
                created=NOW + i,
                inline=b"x",
                size=1000,
                task_key="app.load",
            )
            made.task_name = "load"
            cache.put(made)
        cache.put(
            CacheEntry(
                key="b",
                created=NOW,
                expires=NOW + 1,
                ref="r",
                size=2_500_000,
                task_key="app.save",
                task_name="sa\x1b[2Jve",
            )
        ).result(10)
    return tmp_path


def run(*arguments: str | Path) -> int:
    return main(["cache", *map(str, arguments)])


def test_stats_tell_how_much_there_is_by_task(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("stats", "--home", home) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"index    {home}/cache.sqlite3 (")
    assert lines[1:3] == ["entries  4", "values   2.5 MB"]
    assert lines[5:] == [
        "        1     2.5 MB  sa\\x1b[2Jve (app.save)",
        "        3     3.0 kB  load (app.load)",
    ]


@pytest.mark.parametrize("name", ["load", "app.load"])
def test_stats_of_one_task(
    home: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run("stats", "--task", name, "--home", home) == 0

    assert "entries  3\n" in capsys.readouterr().out


def test_gc_removes_what_has_expired_and_what_is_too_much(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("gc", "--max-size", "2kB", "--home", home) == 0

    assert capsys.readouterr().out == (
        "Removed 1 expired entries, and 1 to make room: 2.5 MB of values.\n"
    )


def test_clear_removes_one_task_or_all(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("clear", "--task", "load", "--home", home) == 0
    assert run("clear", "--home", home) == 0

    assert capsys.readouterr().out == (
        "Removed 3 entries: 3.0 kB of values.\nRemoved 1 entries: 2.5 MB of values.\n"
    )


@pytest.mark.parametrize("verb", ["stats", "clear"])
def test_an_unknown_task_is_an_error_that_names_the_others(
    home: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert run(verb, "--task", "laod", "--home", home) == 1

    text = capsys.readouterr().err
    assert "nothing is cached of a task 'laod'" in text
    assert "load (app.load)" in text


@pytest.mark.parametrize("verb", ["stats", "gc", "clear"])
def test_where_there_is_no_cache_nothing_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert run(verb, "--home", tmp_path / "none") == 0

    assert "There is no cache yet" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_program_is_an_error(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import sqlite3

    with closing(sqlite3.connect(index_path(home))) as connection:
        connection.execute("PRAGMA user_version = 9")

    assert run("clear", "--home", home) == 1
    assert "has the format 9" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [[], ["cache"], ["cache", "gc", "--max-size", "much"], ["cache", "list"]],
    ids=str,
)
def test_what_is_not_understood_exits_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)

    assert raised.value.code == 2
    assert "usage: python -m headrace" in capsys.readouterr().err


@pytest.mark.slow
def test_it_runs_as_a_module_in_the_home_of_the_environment(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "cache", "stats"],
        env={**os.environ, "HEADRACE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert "entries  4" in done.stdout
    assert done.stderr == ""
