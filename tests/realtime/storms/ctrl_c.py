"""Ctrl-C at any moment of a plain flow: it ends soon, whatever it is doing."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from headrace import Runtime, flow, task

MOST_SECONDS = 4.0  # promised is one; this is for busy machines


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@task
def plain(n: int) -> int:
    return n + 1


@task
async def coroutine(n: int) -> int:
    return n + 1


@flow
def inner() -> list[int]:
    return [plain(n) for n in range(3)]


def in_runtime() -> None:
    with Runtime():
        plain.submit(1).result()


BODIES: list[Callable[[], Any]] = [
    lambda: plain(1),
    lambda: plain.submit(1).result(),
    lambda: coroutine(1),
    lambda: coroutine.map(range(20)).result(),
    inner,
    in_runtime,
]


@flow
def endless(body: Callable[[], Any]) -> None:
    while True:
        body()


def storm() -> float:
    draw = random.Random(7)  # noqa: S311 - the same schedule every time
    worst = 0.0
    for n in range(72):
        delay = draw.uniform(0.0005, 0.01)
        started = time.monotonic()
        try:
            # Repeats, because Python drops a Ctrl-C that comes in a destructor: press
            # it again.
            signal.setitimer(signal.ITIMER_REAL, delay, 0.25)
            try:
                endless(BODIES[n % len(BODIES)])
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            pass
        worst = max(worst, time.monotonic() - started - delay)
    return worst


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, interrupt)
    assert storm() < MOST_SECONDS
    sys.stdout.write("survived\n")
