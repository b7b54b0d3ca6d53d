"""Files that are opened and threads that are started, of which most programs need none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# What Python does to import modules, and pydantic to find its plugins, is not counted.
PREAMBLE = """
import asyncio, json, sys
from headrace import Runtime, Settings, flow, task
from headrace.cache_policies import INPUTS
from headrace.caching import MemoryCache

PLACES = [sys.prefix, sys.base_prefix, sys.pycache_prefix, *sys.path]
INSTALLED = tuple(filter(None, PLACES))
seen = []

def hear(event, args):
    if event in {"open", "sqlite3.connect", "os.mkdir", "socket.connect"}:
        # A number is of a file that was heard of before, as it was opened.
        if not isinstance(args[0], int) and not str(args[0]).startswith(INSTALLED):
            seen.append(f"{event} {args[0]}")
    elif event == "_thread.start_new_thread":
        seen.append("a thread")

sys.addaudithook(hear)

@task
def plain(n):
    return n

@task
async def coroutine(n):
    return n

@task(cache_key_fn=INPUTS)
def cached(n):
    return [n] * 10_000

@task(cache_key_fn=INPUTS)
async def cached_coroutine(n):
    return [n] * 10_000

@task(cache_key_fn=INPUTS, persist_result=False)
def kept(n):
    return lambda: n
"""

COROUTINE_FLOW = """
@flow
async def main():
    await coroutine(1)
    await (await coroutine.submit(2))
    return await coroutine.map(range(10))

assert asyncio.run(main()) == [*range(10)]
"""

PLAIN_FLOW = """
@flow
def main():
    return [plain(n) for n in range(10)]

assert main() == [*range(10)]
"""

SUBMITTED = """
@flow
def main():
    return plain.map(range(10)) + [coroutine.submit(1), coroutine(2)]

assert main()[:10] == [*range(10)]
seen[:] = [each for each in seen if each != "a thread"]
"""

MEMORY_INDEX = """
with Runtime(settings=Settings(home=sys.argv[1], cache_index="memory")):
    names = [cached(1, return_state=True).name for _ in range(2)]
    names += [kept(1, return_state=True).name for _ in range(2)]
assert names == ["Completed", "Cached"] * 2
assert seen == []
with Runtime(settings=Settings(home=sys.argv[1], cache_index="memory")):
    names = [cached_coroutine.submit(1).wait().name for _ in range(2)]
assert names == ["Completed", "Cached"]
seen[:] = [each for each in seen if each != "a thread"]
"""

MEMORY_CACHE = """
cache = MemoryCache()
names = []
for _ in range(2):
    with Runtime(settings=Settings(home=sys.argv[1]), cache=cache):
        names.append(cached(1, return_state=True).name)
assert names == ["Completed", "Cached"]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "program",
    [
        pytest.param(COROUTINE_FLOW, id="coroutine-flow"),
        pytest.param(PLAIN_FLOW, id="plain-flow-and-calls"),
        pytest.param(SUBMITTED, id="plain-flow-and-submits"),
        pytest.param(MEMORY_INDEX, id="memory-index"),
        pytest.param(MEMORY_CACHE, id="memory-cache"),
    ],
)
def test_what_stores_nothing_opens_nothing(tmp_path: Path, program: str) -> None:
    home = tmp_path / "home"
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", f"{PREAMBLE}{program}\nprint(json.dumps(seen))", home],
        env={**os.environ, "HEADRACE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.stderr == ""
    assert json.loads(done.stdout) == []
    assert not home.exists()
