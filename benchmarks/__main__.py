"""``python -m benchmarks [--quick] [--json FILE] [--growth] [row ...]``.

Prints each row with its bare counterpart, the figure the budget is about, and whether
it holds. A row is chosen by any part of its name.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import sys
from pathlib import Path

from benchmarks import growth
from benchmarks.measure import Result, measure
from benchmarks.rows import rows
from headrace._concurrency.loops import new_event_loop


def main() -> int:
    """Measure what was asked for; 1 if a row does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("row", nargs="*", help="a part of a row's name")
    parser.add_argument("--quick", action="store_true", help="three rounds, not seven")
    parser.add_argument(
        "--growth", action="store_true", help="also up to a million runs"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures there")
    options = parser.parse_args()
    # Runs that fail are logged, as they are in programs; but not to the terminal.
    logging.getLogger("headrace").addHandler(logging.NullHandler())
    machine = _machine()
    print(machine)
    wanted: list[str] = options.row
    results: list[Result] = []
    chosen = [r for r in rows() if not wanted or any(part in r.name for part in wanted)]
    if chosen:
        print(f"{'':37} {'bare':>9} {'headrace':>9}   {'figure':>11} {'budget':>9}")
    for row in chosen:
        result = measure(row, 3 if options.quick else 7)
        results.append(result)
        print(_line(result), flush=True)
    sizes = growth.SIZES[:-1] if options.quick else growth.SIZES
    grown = growth.table(sizes) if options.growth else []
    if options.json is not None:
        facts = {"machine": machine, "rows": [_facts(r) for r in results]}
        options.json.write_text(json.dumps({**facts, "growth": grown}, indent=1))
    return 0 if all(result.holds for result in results) else 1


def _machine() -> str:
    loop = new_event_loop()
    loop.close()
    return (
        f"CPython {platform.python_version()}, {type(loop).__module__.partition('.')[0]}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    )


def _line(result: Result) -> str:
    row = result.row
    bare = f"{statistics.median(result.bare):9.2f}" if result.bare else f"{'':9}"
    ours = f"{statistics.median(result.ours):9.2f}"
    budget, verdict = "", ""
    if row.budget is not None:
        budget = _told(result, row.budget)
        verdict = "  holds" if result.holds else "  MISSED"
    figure = _told(result, result.figure)
    return f"{row.name:37} {bare} {ours}   {figure:>11} {budget:>9}{verdict}".rstrip()


def _told(result: Result, number: float) -> str:
    row = result.row
    if row.kind == "ratio":
        return f"x {number:.2f}"
    digits = "" if number == round(number) else ".0f" if abs(number) >= 100 else ".1f"
    sign = "" if row.kind != "over" else "- " if number < 0 else "+ "
    return f"{sign}{abs(number):{digits or 'g'}} {row.unit}"


def _facts(result: Result) -> dict[str, object]:
    return {
        "row": result.row.name,
        "kind": result.row.kind,
        "unit": result.row.unit,
        "bare": result.bare,
        "headrace": result.ours,
        "figure": result.figure,
        "budget": result.row.budget,
        "holds": result.holds,
    }


if __name__ == "__main__":
    sys.exit(main())
