"""Tasks of several processes that share one home: what one computed, the others know."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from headrace import Runtime, task, temporary_settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

DAY = 86_400

# The clock is moved before anything asks it.
PREAMBLE = """
import logging, os, random, sys, time
real = time.time
time.time = lambda: real() + float(os.environ.get("MOVED_BY", 0))
from datetime import timedelta
from headrace import Runtime, task, task_input_hash
from headrace.cache_policies import INPUTS
logging.basicConfig(level=logging.WARNING)
"""

LATER = """
import json
GENERATION = {"is": int(sys.argv[1])}
VALUES = [
    {"a", "b", "c", ("d", 1)}, {"x": {"one", "two"}, "y": frozenset("abc")}, 1, True,
    1.0, "1", [1], (1,), {1}, None, float("nan"), b"1", {"b": 1, "a": {"c", "d"}},
]

def body(value, size=0):
    return str(GENERATION["is"]) + "x" * size

inline = task(cache_key_fn=task_input_hash, name="inline")(body)
large = task(cache_key_fn=INPUTS, name="large")(body)
stored = task(cache_key_fn=INPUTS, persist_result=True, name="stored")(body)
for_a_day = task(
    cache_key_fn=INPUTS, cache_expiration=timedelta(days=1), name="for a day"
)(body)

def run(it, *args):
    states = [it(value, *args, return_state=True) for value in VALUES]
    told[it.name] = [[s.name, s.result()[:1], s.state_details.cache_key] for s in states]

told = {}
with Runtime():
    for again in sys.argv[2:]:
        inline = inline.with_options(name=again, refresh_cache=True)
    run(inline)
    run(large, 20_000)
    run(stored, 1)  # another key: all of these run one function
    run(for_a_day, 2)
print(json.dumps(told))
"""

SHARE = """
@task(cache_key_fn=lambda context, parameters: f"key {parameters['n']}")
def compute(n):
    global computed
    computed += 1
    return f"{n} " * (10 if n % 10 else 8_000)

computed = 0
numbers = list(range(200))
random.Random(sys.argv[1]).shuffle(numbers)
print("ready", flush=True)
sys.stdin.readline()
with Runtime():
    for n in numbers:
        assert compute(n).split() == [str(n)] * (10 if n % 10 else 8_000)
print(computed)
"""

BE_KILLED = """
@task(cache_key_fn=lambda context, parameters: f"key {parameters['n']}")
def compute(n):
    return f"{n} " * (10 if n % 10 else 8_000)

with Runtime() as runtime:
    for n in range(100_000):
        compute(n)
        if n % 7 == 0:
            runtime.cache.gc()  # behind all that is to be written
            os.write(1, f"{n}\\n".encode())
"""

FORK = """
@task(cache_key_fn=lambda context, parameters: f"key {parameters['n']}")
def compute(n):
    return n

def name_of(n):
    return compute(n, return_state=True).name

with Runtime() as runtime:
    names = [name_of(1), name_of(1)]
    runtime.cache.gc()
    child = os.fork()
    if not child:
        code = 1
        try:
            try:
                compute(1)
            except RuntimeError:
                code = 2  # that of the parent is refused
            with Runtime() as own:
                assert [name_of(1), name_of(2), name_of(2)] == ["Cached", "Completed", "Cached"]
            code = 0 if code == 2 else 3
        finally:
            os._exit(code)
    names.append(name_of(3))
    assert os.waitpid(child, 0)[1] == 0
    names += [name_of(2), name_of(3)]
print(*names)
"""


@pytest.fixture
def home(tmp_path: Path) -> Generator[Path]:
    with temporary_settings(home=tmp_path / "home"):
        yield tmp_path / "home"


def start(home: Path, script: str, *arguments: str, **environ: str) -> Any:
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        [
            sys.executable,
            "-W",
            "ignore::DeprecationWarning",  # of a fork beside threads: it is the point
            "-c",
            PREAMBLE + script,
            *arguments,
        ],
        env={**os.environ, "HEADRACE_HOME": str(home), **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: Any, say: str = "") -> str:
    out, error = process.communicate(say, timeout=60)
    assert error == ""
    assert process.returncode == 0
    return str(out)


def test_a_later_process_is_given_what_an_earlier_one_computed(home: Path) -> None:
    def told(generation: int, *refreshed: str, days: int = 0) -> Any:
        process = start(
            home,
            LATER,
            str(generation),
            *refreshed,
            PYTHONHASHSEED=str(generation),
            MOVED_BY=str(days * DAY),
        )
        return json.loads(ended(process))

    def seen(told: Any) -> dict[str, set[tuple[str, str]]]:
        return {name: {(s, value) for s, value, _ in of} for name, of in told.items()}

    first = told(1)
    second = told(2)
    third = told(3, "inline", days=2)
    fourth = told(4, days=2)

    names = ["inline", "large", "stored", "for a day"]
    assert seen(first) == {name: {("Completed", "1")} for name in names}
    assert seen(second) == {name: {("Cached", "1")} for name in names}
    anew, kept = {("Completed", "3")}, {("Cached", "1")}
    assert seen(third) == dict(zip(names, [anew, kept, kept, anew], strict=True))
    anew = {("Cached", "3")}
    assert seen(fourth) == dict(zip(names, [anew, kept, kept, anew], strict=True))
    for name in names:
        keys = [[key for *_, key in each[name]] for each in (first, second, third)]
        assert keys[0] == keys[1] == keys[2]
        assert len(set(keys[0])) == len(keys[0])


@task(cache_key_fn=lambda context, parameters: f"key {parameters['n']}")
def compute(n: int) -> str:
    return f"{n} " * (10 if n % 10 else 8_000)


def test_four_processes_with_a_fresh_home_share_it_without_a_wrong_value(
    home: Path,
) -> None:
    processes = [start(home, SHARE, str(seed)) for seed in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # all begin together, to make a key too
        process.stdin.write("go\n")
        process.stdin.flush()
    computed = [int(ended(process)) for process in processes]

    assert 200 <= sum(computed) < 4 * 200
    assert {path.name for path in home.iterdir() if "key" in path.name} == {
        "signing.key"
    }
    with Runtime() as runtime:
        states: Any = compute.map(range(200), return_state=True)
        assert runtime.cache.stats().damaged == 0
        assert runtime.cache.stats().entries == 200
    assert {state.name for state in states} == {"Cached"}
    assert [state.result() for state in states] == [compute.fn(n) for n in range(200)]


@pytest.mark.parametrize("entries", [2, 40])
def test_a_killed_process_loses_nothing_that_was_written(
    home: Path, entries: int
) -> None:
    process = start(home, BE_KILLED)
    told = [process.stdout.readline() for _ in range(entries)]
    process.kill()
    told += process.stdout.readlines()  # `communicate` passes over what it has buffered
    process.communicate(timeout=30)
    last = [int(line) for line in told if line.endswith("\n")][-1]

    numbers = range(last + 50)
    with Runtime() as runtime:
        states: Any = compute.map(numbers, return_state=True)
        assert runtime.cache.stats().damaged == 0

    assert {state.name for state in states[: last + 1]} == {"Cached"}
    assert [state.result() for state in states] == [compute.fn(n) for n in numbers]
    assert states[-1].name == "Completed"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_after_a_cached_call_goes_on_with_a_runtime_of_its_own(
    home: Path,
) -> None:
    names = ended(start(home, FORK)).split()

    assert names == ["Completed", "Cached", "Completed", "Cached", "Cached"]
