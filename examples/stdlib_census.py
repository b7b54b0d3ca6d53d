"""A census of the standard library: what is this Python made of?

    python examples/stdlib_census.py            # every file of the standard library
    python examples/stdlib_census.py FOLDER     # every Python file in a folder

Shows a plain task mapped over a thousand files and more, retries, a bad file that is
tolerated, coroutine tasks that add up, a flow inside a flow, `wait_for`, an observer, and
a cache: run it a second time, and no file is parsed that has not changed.
"""

from __future__ import annotations

import ast
import asyncio
import hashlib
import logging
import platform
import sys
import sysconfig
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace import (
    Runtime,
    StateChanged,
    TaskFuture,
    allow_failure,
    flow,
    task,
    unmapped,
)
from headrace.cache_policies import TASK_SOURCE

# Installed packages, and test data that is broken on purpose.
SKIPPED = {"site-packages", "dist-packages", "data", "tokenizedata", "__pycache__"}


@dataclass(frozen=True)
class Counts:
    """What is counted, of one file or of many."""

    files: int = 0
    lines: int = 0
    functions: int = 0
    classes: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(
            self.files + other.files,
            self.lines + other.lines,
            self.functions + other.functions,
            self.classes + other.classes,
        )


@dataclass(frozen=True)
class Package:
    """A top-level package or module, and its share of all lines."""

    name: str
    counts: Counts
    share: float = 0.0


# -- plain tasks: ordinary functions, which run in worker threads ----------------


@task
def find_files(folder: Path) -> list[Path]:
    """Every Python file below a folder."""
    return sorted(
        path
        for path in folder.rglob("*.py")
        if SKIPPED.isdisjoint(path.relative_to(folder).parts)
        and not path.name.startswith("bad")
    )


def content(_: Any, parameters: dict[str, Any]) -> str:
    """What is in the file: one that was moved, or only touched, counts as the same."""
    return hashlib.sha256(parameters["path"].read_bytes()).hexdigest()


# TASK_SOURCE: when the function below is changed, all files are counted anew.
@task(retries=2, retry_delay_seconds=0.05, cache_key_fn=TASK_SOURCE + content)
def count(path: Path) -> Counts:
    """Read and parse one file. What raises is tried again, twice."""
    source = path.read_bytes()
    kinds = Counter(type(node) for node in ast.walk(ast.parse(source, path.name)))
    return Counts(
        files=1,
        lines=source.count(b"\n"),
        functions=kinds[ast.FunctionDef] + kinds[ast.AsyncFunctionDef],
        classes=kinds[ast.ClassDef],
    )


@task
def print_table(packages: list[Package], whole: Counts) -> None:
    """The report."""
    print(
        f"{'package':<20} {'files':>7} {'lines':>9} {'defs':>8} {'classes':>8}  share"
    )
    for package in [*packages, Package("all of it", whole, 1.0)]:
        of = package.counts
        print(
            f"{package.name:<20} {of.files:>7,} {of.lines:>9,} {of.functions:>8,} "
            f"{of.classes:>8,} {package.share:>6.1%}"
        )


@task
def print_unreadable(errors: dict[str, Exception]) -> None:
    """What could not be parsed, and why."""
    print(f"\nnot parsed after three attempts: {len(errors)}")
    for name, error in errors.items():
        print(f"  {name}: {type(error).__name__}: {error}")


# -- coroutine tasks: they run on the event loop -----------------------------------


@task
async def add_up(name: str, counted: list[Counts | Exception]) -> Package:
    """One package. A file that failed has its exception in the place of its counts."""
    return Package(name, sum((c for c in counted if isinstance(c, Counts)), Counts()))


@task
async def with_share(package: Package, lines: int) -> Package:
    """The same package with its part of all lines."""
    return Package(package.name, package.counts, package.counts.lines / max(lines, 1))


# -- flows: they end when everything submitted in them has ended -------------------


@flow
async def rank(packages: list[Package], whole: Counts, most: int = 10) -> list[Package]:
    """The largest packages first."""
    largest = sorted(packages, key=lambda p: p.counts.lines, reverse=True)[:most]
    # unmapped: every run gets this value whole.
    return await with_share.map(largest, unmapped(whole.lines)).aresult()


@flow
async def census(folders: list[Path]) -> Counts:
    """Count, add up, rank, report."""
    by_package: dict[str, list[TaskFuture[Counts]]] = defaultdict(list)
    by_name: dict[str, TaskFuture[Counts]] = {}
    for folder in folders:
        # acall: a plain task, called without blocking the event loop.
        paths = await find_files.acall(folder)
        for path, future in zip(paths, await count.map(paths), strict=True):
            inside = path.relative_to(folder)
            by_package[inside.parts[0].removesuffix(".py")].append(future)
            by_name[str(inside)] = future

    # One run for each package, when its files are done. Without allow_failure a
    # file that failed would hold its package back.
    packages = await add_up.map(
        list(by_package), [allow_failure(futures) for futures in by_package.values()]
    ).aresult()
    whole = sum((package.counts for package in packages), Counts())

    ranked = await rank(packages, whole)
    table = print_table.submit(ranked, whole)
    errors = {
        name: future.state.data
        for name, future in by_name.items()
        if not future.state.is_completed()
    }
    # No data goes from one to the other, only an order.
    print_unreadable.submit(errors, wait_for=[table])
    return whole


class Tally:
    """An observer: counts how runs end."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.retries = 0

    def on_event(self, event: StateChanged) -> None:
        """Called on the event loop at every change of state of every run."""
        if event.after.is_final():
            self.ends[event.after.name] += 1
        self.retries += event.after.name == "AwaitingRetry"


async def run_census(folders: list[Path]) -> None:
    """The census of some folders, and what it cost."""
    tally = Tally()
    started = time.perf_counter()
    # Parsing holds the interpreter's lock, so that more threads than cores would only
    # be in each other's way. For what waits (files, networks), keep the default of 64.
    async with Runtime(max_threads=2, observers=[tally]):
        whole = await census(folders)
    seconds = time.perf_counter() - started

    runs = sum(tally.ends.values())
    ends = ", ".join(f"{name} {many:,}" for name, many in tally.ends.most_common())
    print(f"\nruns by final state: {ends} (and {tally.retries} retries on the way)")
    print(f"{tally.ends['Cached']:,} of {whole.files:,} files came from the cache")
    print(
        f"{runs:,} runs in {seconds:.1f} s: {runs / seconds:,.0f} runs and "
        f"{whole.lines / seconds:,.0f} lines a second"
    )


def main(folder: Path) -> None:
    """The census of a folder, with one broken file planted beside it."""
    if not folder.is_dir():
        sys.exit(f"{folder} is no folder. Give one with Python files in it, or none.")
    warnings.simplefilter("ignore")  # of the parser, about odd escapes in old code
    print(f"Census of {folder}, Python {platform.python_version()}\n")
    with tempfile.TemporaryDirectory() as planted:
        Path(planted, "broken.py").write_text("def broken(:\n", "utf-8")
        asyncio.run(run_census([folder, Path(planted)]))


if __name__ == "__main__":
    # The broken file is reported by what comes out at the end.
    logging.getLogger("headrace.task_runs").setLevel(logging.CRITICAL)
    given = sys.argv[1] if sys.argv[1:] else sysconfig.get_path("stdlib")
    main(Path(given))
