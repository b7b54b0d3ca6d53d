"""``python -m headrace``: look at the cache, and tidy it, without a program of one's own.

No cached value is looked into; those that were stored for the cache alone are removed
with their entries.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from headrace._text import one_line
from headrace.cached_values import remove_values
from headrace.caching import TaskUsage, index_path
from headrace.caching.sqlite import SQLiteCache
from headrace.exceptions import CacheUnusable
from headrace.settings import current_settings

__all__ = ("main",)

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_STEP: Final = 1000
_MOST_OF_A_NAME: Final = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what a command line asks for.

    Args:
        arguments: Those after ``python -m headrace``; by default those of the process.

    Returns:
        The exit code: 0; 1 if it could not be done; argparse exits with 2 for what it
        does not understand.
    """
    given = _parser().parse_args(arguments)
    home = current_settings().home if given.home is None else given.home
    path = index_path(home)
    if not path.exists():
        _say(f"There is no cache yet: {path} does not exist.")
        return 0
    try:
        with closing(SQLiteCache(path)) as cache:
            verb: Callable[[SQLiteCache, Any], int] = given.verb
            return verb(cache, given)
    except (CacheUnusable, OSError) as error:
        return _fail(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m headrace", description="Tools of headrace."
    )
    cache = parser.add_subparsers(required=True, metavar="cache").add_parser(
        "cache",
        help="what is cached in files",
        description="Look at the index of cached runs, and tidy it.",
    )
    verbs = cache.add_subparsers(required=True, metavar="stats | gc | clear")
    stats = verbs.add_parser("stats", help="tell how much there is, by task")
    stats.set_defaults(verb=_stats)
    gc = verbs.add_parser("gc", help="remove what has expired, and what is too much")
    gc.set_defaults(verb=_gc)
    gc.add_argument(
        "--max-size",
        type=_size,
        metavar="SIZE",
        help="also what was used longest ago, until the rest is no larger: 500MB, 2GB",
    )
    clear = verbs.add_parser("clear", help="remove all, or all of one task")
    clear.set_defaults(verb=_clear)
    for verb in (stats, clear):
        verb.add_argument(
            "--task", metavar="NAME", help="one task only, by name or by key"
        )
    for verb in (stats, gc, clear):
        verb.add_argument(
            "--home",
            type=Path,
            metavar="PATH",
            help="instead of what HEADRACE_HOME says, else ~/.headrace",
        )
    return parser


def _stats(cache: SQLiteCache, given: Any) -> int:
    usage = cache.usage()
    chosen = usage if given.task is None else _of_task(usage, given.task)
    if not chosen and given.task is not None:
        return _unknown(usage, given.task)
    on_disk = sum(
        file.stat().st_size
        for file in (cache.path, cache.path.with_name(f"{cache.path.name}-wal"))
        if file.exists()
    )
    entries = sum(each.entries for each in chosen)
    values = sum(each.bytes for each in chosen)
    _say(
        f"index    {cache.path} ({_told(on_disk)})",
        f"entries  {entries}",
        f"values   {_told(values)}",
    )
    if chosen:
        _say("", f"{'entries':>9}  {'values':>9}  task")
    for each in chosen:
        _say(f"{each.entries:>9}  {_told(each.bytes):>9}  {_named(each)}")
    return 0


def _gc(cache: SQLiteCache, given: Any) -> int:
    swept = cache.gc(time.time(), given.max_size)
    remove_values(swept.refs)
    _say(
        f"Removed {swept.expired} expired entries, and {swept.evicted} to make room: "
        f"{_told(swept.bytes)} of values."
    )
    return 0


def _clear(cache: SQLiteCache, given: Any) -> int:
    if given.task is None:
        swept = [cache.clear()]
    else:
        usage = cache.usage()
        chosen = _of_task(usage, given.task)
        if not chosen:
            return _unknown(usage, given.task)
        swept = [cache.clear(each.task_key) for each in chosen]
    for each in swept:
        remove_values(each.refs)
    removed, values = sum(s.evicted for s in swept), sum(s.bytes for s in swept)
    _say(f"Removed {removed} entries: {_told(values)} of values.")
    return 0


def _of_task(usage: list[TaskUsage], name: str) -> list[TaskUsage]:
    by_key = [each for each in usage if each.task_key == name]
    return by_key or [each for each in usage if each.task_name == name]


def _unknown(usage: list[TaskUsage], name: str) -> int:
    known = ", ".join(map(_named, usage)) or "none at all"
    return _fail(
        f"nothing is cached of a task {one_line(name, _MOST_OF_A_NAME)!r}. There are "
        f"entries of: {known}."
    )


def _named(usage: TaskUsage) -> str:
    # Names come from programs: they must not move the cursor of a terminal.
    name = one_line(usage.task_name, _MOST_OF_A_NAME)
    key = one_line(usage.task_key, _MOST_OF_A_NAME)
    return key if name == key or not name else f"{name} ({key})"


def _size(text: str) -> int:
    """A number of bytes, from a text such as ``500MB``."""
    multiples: Mapping[str, int] = {
        "": 1,
        **{unit.lower(): _STEP**i for i, unit in enumerate(_UNITS)},
    }
    number = text.strip().lower().rstrip("kmgtb ")
    unit = text.strip().lower().removeprefix(number).strip()
    try:
        size = float(number) * multiples[unit]
        if not 0 <= size < float("inf"):
            raise ValueError
    except (ValueError, KeyError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size. Write 500MB, 2GB, or a number of bytes"
        ) from None
    return int(size)


def _told(size: int) -> str:
    step = 0
    while size >= _STEP ** (step + 1) and step < len(_UNITS) - 1:
        step += 1
    return f"{size / _STEP**step:.1f} {_UNITS[step]}" if step else f"{size} B"


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _fail(text: str) -> int:
    sys.stderr.write(f"headrace: {text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
