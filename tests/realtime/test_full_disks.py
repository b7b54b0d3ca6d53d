"""A disk that is full, and is not any more, beside tasks that store, cache, or neither."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="fills it in the way of Linux"),
]

# No file may grow any more, which this process alone has to bear.
PROGRAM = """
import contextlib, json, logging, resource, sys, threading
from headrace import Runtime, task
from headrace.cache_policies import INPUTS
from headrace.exceptions import CacheUnusable

said = []

class Said(logging.Handler):
    def emit(self, record):
        if not record.name.startswith("headrace.task_runs"):
            said.append(record.getMessage())

logging.getLogger("headrace").addHandler(Said(logging.WARNING))
NO_LIMIT = resource.getrlimit(resource.RLIMIT_FSIZE)

def fill(bytes_left=0):
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, NO_LIMIT[1]))

def free():
    resource.setrlimit(resource.RLIMIT_FSIZE, NO_LIMIT)
    threading.Event().wait(1.1)  # what could not be opened is tried again in a second

@task
def untouched(n):
    return "x" * 20_000

@task(persist_result=True, result_storage_key="the key")
def asked(n):
    return "x" * 20_000

@task(cache_key_fn=INPUTS)
def small(n):
    return n

@task(cache_key_fn=INPUTS)
async def large(n):
    return "x" * 200_000

def names(*args):
    return {
        it.name: [it.submit(n).wait().name for n in args]
        for it in (untouched, asked, small, large)
    }

told = []
with Runtime() as runtime:
    if sys.argv[1] == "later":
        names(1)
        runtime.cache.gc()  # behind all that is to be written
    fill(int(sys.argv[2]))
    told.append(names(5, 5))
    with contextlib.suppress(CacheUnusable):
        runtime.cache.gc()  # the index is written by a thread: until that has had a try
    told += [len(said), str(asked.submit(1).wait().data)]
    free()
    told.append(names(5, 5))
    runtime.cache.gc()
    told.append(runtime.cache.stats().damaged)
with Runtime():
    told += [names(1, 5), len(said)]
print(json.dumps(told))
"""

COMPLETED, CACHED, FAILED = "Completed", "Cached", "Failed"


@pytest.mark.parametrize(("when", "bytes_left"), [("now", 0), ("later", 5000)])
def test_a_full_disk_fails_those_who_asked_to_store_until_it_is_not(
    tmp_path: Path, when: str, bytes_left: int
) -> None:
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", PROGRAM, when, str(bytes_left)],
        env={**os.environ, "HEADRACE_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    full, warned, failure, free, damaged, later, warned_in_all = json.loads(done.stdout)

    assert full["untouched"] == [COMPLETED, COMPLETED]
    assert full["asked"] == [FAILED, FAILED]
    assert full["small"][0] == full["large"][0] == COMPLETED
    assert {FAILED}.isdisjoint(full["small"] + full["large"])
    assert str(tmp_path / "home") in failure
    assert "Free some space there" in failure
    assert warned in {1, 2}  # of values, and of the index if it comes to that
    assert free["asked"] == [COMPLETED, COMPLETED]
    assert free["small"][1] == free["large"][1] == CACHED
    assert later["large"][1] == later["small"][1] == CACHED
    assert when == "now" or later["large"][0] == later["small"][0] == CACHED
    assert damaged == 0
    assert warned_in_all == warned
