"""`headrace.run` and signals: what only another process can show."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SECONDS_TO_END = 8.0  # for busy machines; each takes some hundredths

PROGRAM = """
import asyncio, logging, signal, sys, threading, time
import headrace
from headrace import flow, task

logging.basicConfig(format="%(message)s")
may_end = threading.Event()

@task
async def sleeps():
    try:
        print("started", flush=True)
        while not may_end.is_set():
            await asyncio.sleep(0.01)
        return "done"
    finally:
        print("cleaned up", flush=True)

@flow
async def coroutine_flow():
    return await (await sleeps.submit())

@flow
def plain_flow():
    return sleeps.submit().value()

@flow
def computes():
    print("started", flush=True)
    while not may_end.is_set():
        pass
    return "done"

@flow
async def hangs():
    print("started", flush=True)
    while not may_end.is_set():
        time.sleep(0.01)

class Ends(logging.Handler):
    # The line about the first signal is what lets the work end.
    def emit(self, record):
        if "seconds to end" in record.getMessage() and "end" in sys.argv[2:]:
            may_end.set()

logging.getLogger().addHandler(Ends())
try:
    print(headrace.run(globals()[sys.argv[1]]))
finally:
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    print(handlers == [signal.default_int_handler, signal.SIG_DFL], flush=True)
    print([each.name for each in threading.enumerate()], flush=True)
"""

KINDS = pytest.mark.parametrize("kind", ["coroutine_flow", "plain_flow", "computes"])
LEFT = ["True", "['MainThread']"]


class Program:
    """The program above in a process of its own, at work."""

    def __init__(self, *args: str, grace: float = 60) -> None:
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", PROGRAM, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(Path("src").resolve()),
                "HEADRACE_DRAIN_GRACE_SECONDS": str(grace),
            },
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "started\n"
        self.began = time.monotonic()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait_for_log(self, text: str) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if text in line:
                return
        pytest.fail(f"the program ended without logging {text!r}")

    def end(self) -> tuple[int, list[str], str]:
        try:
            out, errors = self.process.communicate(timeout=15)
        finally:
            self.process.kill()
        assert time.monotonic() - self.began < SECONDS_TO_END
        return self.process.returncode, out.splitlines(), errors


@KINDS
def test_the_first_signal_lets_the_work_come_to_its_end(kind: str) -> None:
    program = Program(kind, "end")

    program.send(signal.SIGTERM)
    code, out, _ = program.end()

    assert code == 0
    assert [line for line in out if line != "cleaned up"] == ["done", *LEFT]


@KINDS
def test_the_second_signal_cancels_and_the_exit_code_tells_which(kind: str) -> None:
    program = Program(kind)

    program.send(signal.SIGINT)
    program.wait_for_log("SIGINT: what goes on has 60 seconds to end")
    program.send(signal.SIGTERM)
    code, out, errors = program.end()

    assert code == 128 + signal.SIGTERM
    assert out[-2:] == LEFT
    assert ("cleaned up" in out) == (kind != "computes")
    assert "Traceback" not in errors
    assert "pending" not in errors


@pytest.mark.parametrize("kind", ["coroutine_flow", "computes"])
def test_the_end_of_the_grace_cancels_as_a_second_signal_does(kind: str) -> None:
    program = Program(kind, grace=0.05)

    program.send(signal.SIGTERM)
    code, out, _ = program.end()

    assert code == 128 + signal.SIGTERM
    assert out[-2:] == LEFT


def test_the_third_signal_ends_a_program_that_does_not_listen() -> None:
    # Its loop never turns, so that nothing can be cancelled.
    program = Program("hangs", grace=0.01)

    program.send(signal.SIGTERM)
    program.wait_for_log("SIGTERM: what goes on")
    deadline = time.monotonic() + SECONDS_TO_END
    while program.process.poll() is None and time.monotonic() < deadline:
        program.send(signal.SIGTERM)
    code, out, _ = program.end()

    assert code == -signal.SIGTERM
    assert out == []
