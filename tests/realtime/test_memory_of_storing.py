"""What storing and reading a very large result takes in memory, beside the result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MEGABYTES = 200
MOST_EXTRA_MB = 64

PROGRAM = """
import json, sys
from pathlib import Path
import numpy
from headrace import Runtime, task
from headrace.cache_policies import INPUTS

OPTIONS = {"persisted": {"persist_result": True}, "cached": {"cache_key_fn": INPUTS}}
options = OPTIONS[sys.argv[2]]
large = numpy.arange(int(sys.argv[3]) * 125_000)

if sys.argv[1] == "plain":
    @task(**options)
    def give(size):
        return large[:size]
else:
    @task(**options)
    async def give(size):
        return large[:size]

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

def lower_peak():
    Path("/proc/self/clear_refs").write_text("5")
    return peak()

with Runtime() as runtime:
    give.submit(100_000).wait()  # all is imported and open
    before = lower_peak()
    state = give.submit(len(large)).wait()
    runtime.cache.stats()
    stored = peak() - before
    assert state.result() is large or len(state.result()) == len(large)
    names = [state.name]
    before = lower_peak()
    state = give.submit(len(large)).wait()
    names.append(state.name)
    loaded = peak() - before
    assert (state.result() == large).all()
print(json.dumps([stored, loaded, names]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures what Linux tells")
@pytest.mark.parametrize("how", ["persisted", "cached"])
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_large_result_is_not_held_twice_by_storing_it(
    tmp_path: Path, kind: str, how: str
) -> None:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM, kind, how, str(MEGABYTES)],
        env={**os.environ, "HEADRACE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    stored, loaded, names = json.loads(done.stdout)
    again = "Cached" if how == "cached" else "Completed"
    assert names == ["Completed", again]
    assert stored < MOST_EXTRA_MB
    assert loaded < MOST_EXTRA_MB + (MEGABYTES if how == "cached" else 0)
