"""Ctrl-C and the end of a process: what only another process can show."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# The promise is a second; a busy machine gets four times that.
SECONDS_TO_END = 4.0

PLAIN_FLOW = """
import time
from headrace import flow, task

@task
async def sleeps():
    import asyncio
    try:
        print("started", flush=True)
        await asyncio.sleep(60)
    finally:
        print("cleaned up", flush=True)

@flow
def waits():
    future = sleeps.submit()
    queued = sleeps.submit(wait_for=[future])
    try:
        future.{wait}
    except KeyboardInterrupt:
        print("body interrupted", flush=True)
        raise

try:
    waits()
except KeyboardInterrupt:
    print("flow interrupted", flush=True)
"""

COROUTINE_FLOW = """
import asyncio
from headrace import flow, task

@task
async def sleeps():
    try:
        print("started", flush=True)
        await asyncio.sleep(60)
    finally:
        print("cleaned up", flush=True)

@flow
async def waits():
    await (await sleeps.submit())

try:
    asyncio.run(waits())
except KeyboardInterrupt:
    print("flow interrupted", flush=True)
"""

STUCK_THREADS = """
import logging, time
from headrace import Runtime, task

logging.basicConfig()

@task(timeout_seconds=0.2)
def stuck():
    time.sleep(30)

with Runtime() as runtime:
    print(stuck.submit(return_state=True).name, flush=True)
    print(runtime.stats()["abandoned_threads"], flush=True)
"""


class Program:
    """A Python program in a process of its own."""

    def __init__(self, text: str) -> None:
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", text],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path("src").resolve())},
        )

    def wait_for_line(self, line: str) -> None:
        assert self.process.stdout is not None
        for found in self.process.stdout:
            if found.strip() == line:
                return
        pytest.fail(f"the program ended without printing {line!r}")

    def interrupt(self) -> float:
        self.process.send_signal(signal.SIGINT)
        return time.monotonic()

    def rest(self) -> tuple[list[str], str]:
        out, errors = self.process.communicate(timeout=15)
        return out.splitlines(), errors


@pytest.mark.rule("CRASH-03")
@pytest.mark.parametrize("wait", ["result()", "wait(30)", "value()"])
def test_ctrl_c_reaches_a_plain_flow_that_waits_and_ends_its_runs(wait: str) -> None:
    program = Program(PLAIN_FLOW.replace("{wait}", wait))
    program.wait_for_line("started")

    began = program.interrupt()
    lines, errors = program.rest()

    assert time.monotonic() - began < SECONDS_TO_END
    assert lines == ["body interrupted", "cleaned up", "flow interrupted"]
    assert "Traceback" not in errors
    assert program.process.returncode == 0


@pytest.mark.rule("CRASH-03")
def test_ctrl_c_ends_a_coroutine_flow_and_its_runs() -> None:
    program = Program(COROUTINE_FLOW)
    program.wait_for_line("started")

    began = program.interrupt()
    lines, errors = program.rest()

    assert time.monotonic() - began < SECONDS_TO_END
    assert lines == ["cleaned up", "flow interrupted"]
    assert "never" not in errors
    assert "Traceback" not in errors


@pytest.mark.rule("TIME-04")
def test_a_process_with_an_abandoned_thread_exits_at_once() -> None:
    began = time.monotonic()
    program = Program(STUCK_THREADS)

    lines, errors = program.rest()

    assert time.monotonic() - began < SECONDS_TO_END
    assert lines == ["TimedOut", "1"]
    assert "stuck-0" in errors
    assert program.process.returncode == 0
