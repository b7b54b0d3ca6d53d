from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MOST_EXTRA_MB = 64

PROGRAM = """
import gc, os, resource, sys
from headrace.results import ResultStore

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

store = ResultStore(sys.argv[1], sys.argv[2])
store.load(store.save("small", os.urandom(1_000_000)))
value = {"bytes": b"x".__mul__, "bytearray": bytearray, "random": os.urandom}[sys.argv[3]](10**8)
before = peak()
ref = store.save("large", value)
print(int(peak() - before))
size = len(value)
del value
gc.collect()
before = peak()
assert len(store.load(ref)) == size
print(int(peak() - before))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures what Linux tells")
@pytest.mark.parametrize("kind", ["bytes", "bytearray", "random"])
@pytest.mark.parametrize("name", ["pickle", "compressed/pickle"])
def test_a_large_value_is_not_held_twice(tmp_path: Path, name: str, kind: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM, str(tmp_path / "results"), name, kind],
        env={**os.environ, "HEADRACE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    saving, loading = map(int, done.stdout.split())
    assert saving < MOST_EXTRA_MB
    assert loading < MOST_EXTRA_MB
