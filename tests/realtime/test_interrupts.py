"""Interrupts at every possible moment: none hits headrace's own bookkeeping."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from headrace import Runtime, task

pytestmark = [pytest.mark.slow, pytest.mark.untraced]

RUNS = 1500
LIMITS = [0.0002, 0.0005, 0.001, 0.003]

# Repeats, because Python drops a Ctrl-C that comes in a destructor: press it again.
STORM = """
import random, signal, threading, time
from headrace import Runtime, flow, task

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
random.seed(7)

@task
def plain(n):
    return n + 1

@task
async def coroutine(n):
    return n + 1

@flow
def inner():
    return [plain(n) for n in range(3)]

def in_runtime():
    with Runtime():
        plain.submit(1).result()

BODIES = [
    lambda: plain(1),
    lambda: plain.submit(1).result(),
    lambda: coroutine(1),
    lambda: coroutine.map(range(20)).result(),
    inner,
    in_runtime,
]

@flow
def endless(body):
    while True:
        body()

worst = 0.0
for n in range(72):
    delay = random.uniform(0.0005, 0.01)
    started = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, delay, 0.25)
        try:
            endless(BODIES[n % len(BODIES)])
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        pass
    worst = max(worst, time.monotonic() - started - delay)
print("survived", worst < 4.0, flush=True)
"""


def work(n: int) -> int:
    total = 0
    for i in range(n):
        total += i
    return n


@task
async def tick() -> int:
    return 1


@task(timeout_seconds=0.001)
def calls(n: int) -> int:
    future = tick.submit()
    work(n)
    future.value()
    return n


@task(timeout_seconds=0.001)
def calls_in_place(n: int) -> int:
    for _ in range(5):
        plain(n // 5)
    return n


@task(timeout_seconds=0.001, retries=2)
def fails(n: int) -> int:
    work(n)
    raise ValueError(n)


plain = task(work)
TASKS: list[Any] = [
    *[task(timeout_seconds=limit)(work) for limit in LIMITS],
    plain, calls, calls_in_place, fails,
]  # fmt: skip


@pytest.fixture
def often_switching() -> Generator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio", {"use_uvloop": True}


# An interrupt may arrive in a callback of the garbage collector, such as the one that
# hypothesis sets, where Python reports it and goes on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("often_switching")
async def test_limits_and_cancels_at_any_moment_end_every_run_and_harm_no_thread() -> (
    None
):
    draw = random.Random(11)  # noqa: S311 - the same schedule every time
    loop = asyncio.get_running_loop()
    died: list[str] = []
    types: Counter[str] = Counter()
    wrong: list[Any] = []
    before, threading.excepthook = (
        threading.excepthook,
        lambda failure: died.append(repr(failure.exc_value)),
    )

    try:
        async with Runtime(max_threads=4) as runtime:
            for _ in range(RUNS // 150):
                runs: list[tuple[int, Any]] = []
                for _ in range(150):
                    n = draw.choice([0, 10, 1000, 20_000, 60_000])
                    runs.append((n, await draw.choice(TASKS).submit(n)))
                for _, future in draw.sample(runs, 50):
                    loop.call_later(draw.uniform(0, 0.03), future.cancel)
                for n, future in runs:
                    state = await future.astate()
                    types[state.name] += 1
                    if state.is_crashed() or (state.is_completed() and state.data != n):
                        wrong.append((future, state))
            # The threads that are left serve others, and interrupt none of them.
            later = [await plain.submit(n).aresult() for n in range(50)]
            stats = runtime.stats()
    finally:
        threading.excepthook = before

    assert died == []
    assert wrong == []
    assert sum(types.values()) == RUNS
    assert set(types) <= {"Completed", "Failed", "Cancelled", "TimedOut"}
    assert min(types["Completed"], types["Cancelled"], types["TimedOut"]) > 0
    assert later == list(range(50))
    assert stats["open_runs"] == stats["queued"] == stats["running_threads"] == 0


def test_ctrl_c_at_any_moment_of_a_plain_flow_never_hangs() -> None:
    ended = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", STORM],
        capture_output=True,
        text=True,
        timeout=18,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path("src").resolve())},
    )

    assert ended.stdout.splitlines()[-1:] == ["survived True"], ended.stderr[-2000:]
    assert ended.returncode == 0
