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
)
from benchmarks.measure import Row

__all__ = ("rows",)


def rows() -> list[Row]:
    """Those of each module here; budgets are of the project's performance budget."""
    modules = (
        maps,
        streams,
        options,
        caching,
        calls,
        graphs,
        limits,
        loads,
        sizes,
        starts,
    )
    return [row for module in modules for row in module.rows()]
