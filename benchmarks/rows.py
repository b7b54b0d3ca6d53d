"""All rows, in the order of the table."""

from __future__ import annotations

from benchmarks import (
    caching,
    calls,
    graphs,
    limits,
    loads,
    maps,
    options,
    sizes,
    starts,
    streams,
    values,
)
from benchmarks.measure import Row

__all__ = ("rows",)


def rows() -> list[Row]:
    """Those of each module here; budgets are of the project's performance budget."""
    modules = (
        # Before any bare group of 100 000 tasks: see `calls.rows_of_later`.
        calls,
        maps,
        streams,
        options,
        caching,
        graphs,
        limits,
        loads,
        sizes,
        starts,
        values,
    )
    each = [row for module in modules for row in module.rows()]
    return each + calls.rows_of_later()
