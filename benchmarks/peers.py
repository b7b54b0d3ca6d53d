"""``python -m benchmarks.peers [peer ...]``: headrace beside what else there is.

Each system runs in a process of its own, with more and more calls as long as that
takes seconds. Prints the table, puts it into `README.md` and draws `peers.svg`.
``make bench-peers`` installs all of them first.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, TypeAlias

from benchmarks.peer_workloads import PEERS, Peer
from benchmarks.plot import drawn

HERE = Path(__file__).parent
BEGIN, END = "<!-- peers begin -->", "<!-- peers end -->"
SIZES = {"map": (100, 1_000, 10_000, 100_000), "chain": (100, 1_000, 10_000)}
SECONDS = 30.0  # what one size may take, as far as can be told from the one before
TIMEOUT = 150.0  # for all of a system

# Of one workload: how many calls, and microseconds for each.
Measured: TypeAlias = dict[int, float]


def main() -> int:
    """Measure all, or those that were named; 1 if nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers")
    parser.add_argument("peer", nargs="*", help="a name, as in the table")
    parser.add_argument("--child", choices=SIZES, help="print its figures as JSON")
    options = parser.parse_args()
    if options.child:
        _measure(PEERS[options.peer[0]], options.child)
        return 0
    found = {
        name: {workload: _asked(name, workload) for workload in SIZES}
        for name in options.peer or PEERS
    }
    table = _table(found)
    print(table)
    if not options.peer:
        _put_into_readme(table)
        lines = {
            name: each["map"]["us"]
            for name, each in found.items()
            if each["map"].get("us")
        }
        (HERE / "peers.svg").write_text(drawn(lines), "utf-8")
    return 0 if any(each["map"].get("us") for each in found.values()) else 1


def _asked(name: str, workload: str) -> dict[str, Any]:
    """The figures of one system, and what went wrong, if anything.

    In a process for each workload: some are busy with the one before for long.
    """
    print(f"{name}, {workload} ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.peers", "--child", workload, name]
    # Files, and not pipes: a server that a system starts would keep those open.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - the command is ours
            command, stdout=out, stderr=errors, start_new_session=True
        )
        try:
            code = process.wait(TIMEOUT)
            wrong = _last_line(errors) or "died" if code else None
        except subprocess.TimeoutExpired:
            wrong = f"not done within {TIMEOUT:g} s"
        finally:
            _end_group(process)
        out.seek(0)
        lines = out.read().decode().splitlines()
    # Each line has all that was known by then, among lines of the system's own.
    known = [line for line in lines if line.startswith('{"version"')]
    found: dict[str, Any] = json.loads(known[-1]) if known else {}
    if wrong is not None:
        found["wrong"] = f"{workload} of {found.get('next', 10)}: {wrong}"
    return found


def _last_line(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode().strip().rpartition("\n")[2]


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what a system left running, and itself if it is late."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _measure(peer: Peer, workload: str) -> None:
    """Print what is known after each size, as it may be the last."""
    found: dict[str, Any] = {"version": _version(peer.package)}
    with peer.open() as workloads:
        run = workloads.map if workload == "map" else workloads.chain
        if run is not None:
            _check(run(10) in (10, list(range(1, 11))))
        measured: Measured = {}
        for size in SIZES[workload] if run is not None else ():
            print(json.dumps({**found, "us": measured, "next": size}), flush=True)
            measured[size] = _microseconds(run, size)
            if measured[size] * size * 10 / 1e6 > SECONDS:
                break
        print(json.dumps({**found, "us": measured}), flush=True)


def _check(is_right: bool) -> None:
    if not is_right:
        raise ValueError("wrong results")


def _microseconds(run: Any, size: int) -> float:
    """For each call: the median of up to five rounds."""
    rounds: list[float] = []
    while len(rounds) < 5 and sum(rounds) < SECONDS / 10:
        began = time.perf_counter()
        run(size)
        rounds.append(time.perf_counter() - began)
    return statistics.median(rounds) / size * 1e6


def _version(package: str | None) -> str:
    if package is None:
        return platform.python_version()
    try:
        return version(package)
    except PackageNotFoundError:
        return "of this folder"


def _table(found: dict[str, dict[str, Any]]) -> str:
    """Microseconds for each call, at the most calls that were measured."""
    where = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    lines = [
        f"{where}, CPython {platform.python_version()}.",
        "Microseconds for each call, and how many calls that was measured with:",
        "",
        "| | version | map | calls | chain | calls |",
        "|---|---|--:|--:|--:|--:|",
    ]
    wrong: list[str] = []
    for name, each in found.items():
        cells: list[str] = []
        for workload in each.values():
            cells += _cells(workload.get("us"))
            if "wrong" in workload:
                wrong.append(f"* {name}, {workload['wrong']}")
        version_of = each["map"].get("version", "")
        lines.append(f"| {name} | {version_of} | {' | '.join(cells)} |")
    return "\n".join([*lines, *([""] if wrong else []), *wrong])


def _cells(measured: dict[str, float] | None) -> tuple[str, str]:
    if not measured:
        return "", ""
    size, microseconds = list(measured.items())[-1]
    digits = 1 if microseconds < 100 else 0
    told = f"{microseconds:,.{digits}f}", f"{int(size):,}"
    return told[0].replace(",", " "), told[1].replace(",", " ")


def _put_into_readme(table: str) -> None:
    readme = HERE / "README.md"
    text = readme.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
