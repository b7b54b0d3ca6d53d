"""``python -m benchmarks [--quick] [--json FILE] [--growth] [row ...]``.

Prints each row with its bare counterpart, the figure the budget is about, and whether
it holds. A row is chosen by any part of its name.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
from pathlib import Path

from benchmarks.measure import Result, measure
from benchmarks.rows import growth_rows, rows
from headrace._concurrency.loops import new_event_loop


def main() -> int:
    """Measure what was asked for; 1 if a row does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("row", nargs="*", help="a part of a row's name")
    parser.add_argument("--quick", action="store_true", help="three rounds, not seven")
    parser.add_argument("--growth", action="store_true", help="also a million runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures there")
    options = parser.parse_args()
    wanted: list[str] = options.row
    print(f"CPython {platform.python_version()}, {type(_loop()).__module__}")
    print(f"{'':36} {'bare':>9} {'headrace':>9}   {'figure':>12} {'budget':>9}")
    results: list[Result] = []
    for row in rows():
        if not wanted or any(part in row.name for part in wanted):
            result = measure(row, 3 if options.quick else 7)
            results.append(result)
            print(_line(result), flush=True)
    if options.growth:
        _print_growth()
    if options.json is not None:
        options.json.write_text(json.dumps([_facts(r) for r in results], indent=1))
    return 0 if all(result.holds for result in results) else 1


def _loop() -> asyncio.AbstractEventLoop:
    loop = new_event_loop()
    loop.close()
    return loop


def _line(result: Result) -> str:
    row = result.row
    bare = f"{statistics.median(result.bare):9.2f}" if result.bare else f"{'':9}"
    ours = f"{statistics.median(result.ours):9.2f}"
    figure, budget = {
        "ratio": (f"x {result.figure:.2f}", f"x {row.budget:.2f}"),
        "over": (f"+ {result.figure:.2f} us", f"+ {row.budget:g} us"),
        "microseconds": (f"{result.figure:.1f} us", f"{row.budget:g} us"),
        "bytes": (f"{result.figure:.0f} B", f"{row.budget:g} B"),
    }[row.kind]
    verdict = "holds" if result.holds else "MISSED"
    return f"{row.name:36} {bare} {ours}   {figure:>12} {budget:>9}  {verdict}"


def _facts(result: Result) -> dict[str, object]:
    return {
        "row": result.row.name,
        "kind": result.row.kind,
        "bare": result.bare,
        "headrace": result.ours,
        "figure": result.figure,
        "budget": result.row.budget,
        "holds": result.holds,
    }


def _print_growth() -> None:
    for name, case in growth_rows():
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            factor = runner.run(case())
        print(f"growth from 10 000 to 1 000 000 held, {name:20} x {factor:.2f}")


if __name__ == "__main__":
    sys.exit(main())
