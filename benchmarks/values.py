"""How much larger a process grows while its runs return large values that nobody keeps."""

from __future__ import annotations

import functools
import subprocess
import sys

from benchmarks.measure import Case, Figure, Row

# In a process of its own: the peak of one that has been larger before says nothing.
_PROGRAM = """
import asyncio, concurrent.futures
from headrace import Runtime, flow, task

def megabyte(number):
    return bytes(1_000_000) + bytes([number % 256])

async def megabyte_async(number):
    return megabyte(number)

plain, coroutine = task(megabyte), task(megabyte_async)

def resident_mb(line):
    with open("/proc/self/status", encoding="ascii") as file:
        return int(next(each for each in file if each.startswith(line)).split()[1]) / 1024

def executor(count):
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        for number in range(count):
            pool.submit(megabyte, number)

@flow
def submitted(count):
    for number in range(count):
        plain.submit(number)
    return count

@flow
def mapped(count):
    plain.map(range(count))
    return count

@flow
async def awaited(count):
    for number in range(count):
        await coroutine.submit(number)
    return count

def coroutines(count):
    asyncio.run(awaited(count))

{kind}(3)
before = resident_mb("VmRSS")
{kind}(5_000)
print(resident_mb("VmHWM") - before)
"""


async def _grown(kind: str) -> Figure:
    ran = subprocess.run(  # noqa: S603, ASYNC221 - our code; nothing else goes on
        [sys.executable, "-c", _PROGRAM.format(kind=kind)],
        check=True,
        capture_output=True,
        text=True,
    )
    return Figure(float(ran.stdout))


def growth(kind: str) -> Case:
    """By how many MB the process grows at its largest."""
    return functools.partial(_grown, kind)


def rows() -> list[Row]:
    """Beside a pool of as many threads."""
    names = {
        "5 000 x 1 MB from plain submits, peak": "submitted",
        "5 000 x 1 MB from a plain map, peak": "mapped",
        "5 000 x 1 MB from coroutines, peak": "coroutines",
    }
    return [
        Row(
            name=name,
            ours=growth(kind),
            bare=None if kind == "coroutines" else growth("executor"),
            budget=50,
            kind="alone",
            unit="MB",
        )
        for name, kind in names.items()
    ]
