"""How long it takes to import headrace, in a fresh interpreter each time."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile

from benchmarks.measure import Figure, Row

_CLOCK = (
    "import time; began = time.perf_counter()\n{}\nprint(time.perf_counter() - began)"
)
_OTHERS = (
    "import headrace, sys; "
    "print(*(name for name in sys.modules if not name.startswith('headrace')))"
)


@functools.cache
def _environment() -> dict[str, str]:
    """One in which bytecode is kept, as it is for what is installed."""
    environment = {
        k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"
    }
    environment["PYTHONPYCACHEPREFIX"] = _folder().name
    return environment


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="bytecode-")


def _printed(code: str) -> str:
    ran = subprocess.run(  # noqa: S603 - the code is ours
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=_environment(),
    )
    return ran.stdout


@functools.cache
def _needed() -> str:
    """Imports all that headrace imports of others, in its order; warms the caches."""
    loaded = _printed("import sys; print(*sys.modules)").split()
    more = [name for name in _printed(_OTHERS).split() if name not in loaded]
    return "\n".join(f"import {name}" for name in more)


async def what_it_needs() -> Figure:
    return Figure(float(_printed(_CLOCK.format(_needed()))) * 1e3)


async def all_of_it() -> Figure:
    _needed()
    return Figure(float(_printed(_CLOCK.format("import headrace"))) * 1e3)


def rows() -> list[Row]:
    """Milliseconds, without the start of the interpreter."""
    return [
        Row(
            name="import headrace, its own modules",
            bare=what_it_needs,
            ours=all_of_it,
            budget=40,
            kind="over",
            unit="ms",
        ),
        Row(
            name="import headrace, with what it needs",
            bare=what_it_needs,
            ours=all_of_it,
            budget=130,
            kind="alone",
            unit="ms",
        ),
    ]
