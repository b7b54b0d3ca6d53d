"""Large values of plain runs are let go of as fast as threads make new ones."""

from __future__ import annotations

import subprocess
import sys
import threading
from array import array
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from headrace import Runtime, Task, flow, task
from headrace._concurrency.brakes import Brake, weight_of

MANY, THREADS = 1_000, 4
# That the loop has not come to, when each thread is in a body: of those seen to be
# large, and of those of which nothing is known.
MOST, MOST_UNKNOWN = 8 + THREADS, 128 + THREADS
LOOSE = 4  # times as many may be, where other programs have the processor


class Counter:
    """How many values of a kind are alive."""

    def __init__(self) -> None:
        self.alive = self.most = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self.alive += 1
            self.most = max(self.most, self.alive)

    def remove(self) -> None:
        with self._lock:
            self.alive -= 1


class Seen(bytes):
    """A value whose size can be seen."""

    counter = Counter()

    def __init__(self, _size: int) -> None:
        Seen.counter.add()

    def __del__(self) -> None:
        Seen.counter.remove()


class Unknown:
    """A value that may hold anything."""

    counter = Counter()

    def __init__(self, size: int) -> None:
        self.more = bytes(size)
        Unknown.counter.add()

    def __del__(self) -> None:
        Unknown.counter.remove()


@task
def make(_number: int) -> Seen:
    return Seen(100_000)


@task
def make_unknown(_number: int) -> Unknown:
    return Unknown(100_000)


@task
def make_small(number: int) -> list[int]:
    return [number]


@flow
def submits(maker: Task[[int], object]) -> int:
    for number in range(MANY):
        maker.submit(number)
    return MANY


@flow
def maps(maker: Task[[int], object]) -> int:
    maker.map(range(MANY))
    return MANY


@pytest.mark.parametrize("program", [submits, maps])
@pytest.mark.parametrize(
    ("maker", "counter", "most"),
    [(make, Seen.counter, MOST), (make_unknown, Unknown.counter, MOST_UNKNOWN)],
)
def test_values_that_nobody_keeps_do_not_pile_up(
    program: Callable[[Any], int], maker: Any, counter: Counter, most: int
) -> None:
    counter.most = 0

    with Runtime(max_threads=THREADS):
        assert program(maker) == MANY

    assert counter.alive == 0
    assert 0 < counter.most <= LOOSE * most


# Each in a process of its own: one that was larger before has no peak to show.
PROGRAM = """
from headrace import flow, task

@task
def make(number):
    return bytes(1_000_000) + bytes([number % 256])

@flow
def submitted(count):
    for number in range(count):
        make.submit(number)
    return count

@flow
def mapped(count):
    make.map(range(count))
    return count

def resident_mb(line):
    with open("/proc/self/status", encoding="ascii") as file:
        return int(next(each for each in file if each.startswith(line)).split()[1]) / 1024

{program}(3)
before = resident_mb("VmRSS")
{program}(2_000)
print(resident_mb("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures what Linux tells")
@pytest.mark.parametrize("program", ["submitted", "mapped"])
def test_a_process_stays_small_while_results_of_a_megabyte_go_by(program: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM.format(program=program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    # Some 35 of it for the threads themselves; 1 800 when the loop falls behind.
    assert float(done.stdout) < LOOSE * 50


def test_threads_go_on_while_the_loop_is_held_up() -> None:
    made = threading.Semaphore(0)

    @task
    def give(number: int) -> dict[str, Any]:
        made.release()
        return dict.fromkeys(map(str, range(100)), number)

    @task
    async def hold_up() -> int:
        # The loop stands still until more values are there than may be ahead of it.
        return sum(made.acquire(timeout=20) for _ in range(2 * MOST))

    @flow
    def main() -> int:
        futures = give.map(range(3 * MOST))
        held_up = hold_up.submit().value()
        return held_up + len([future.value() for future in futures])

    with Runtime(max_threads=THREADS):
        assert main() == 2 * MOST + 3 * MOST


def test_values_of_any_size_may_follow_each_other() -> None:
    with Runtime(max_threads=THREADS):
        mixed: list[Any] = [
            (make if number % 3 else make_small).submit(number)
            for number in range(MANY)
        ]
        assert len([future.value() for future in mixed]) == MANY


@pytest.mark.parametrize(
    ("value", "weight"),
    [
        (None, 0),
        (10**6, 0),
        ("text", 0),
        (b"x" * 100_000, 16),
        ("x" * 100_000, 16),
        ([1, 2], 0),
        (list(range(100)), 16),
        ({}, 0),
        (array("d", [0.0]), 0),
        (array("d", bytes(100_000)), 16),
        (object(), 1),
    ],
)
def test_how_large_a_value_may_be_is_seen_by_its_type_and_size(
    value: object, weight: int
) -> None:
    assert weight_of(value) == weight


class Unwilling:
    """A value that ends whoever asks for its bytes; on 3.11 nobody can ask."""

    def __buffer__(self, _flags: int) -> memoryview:
        raise SystemExit


def test_a_value_that_does_not_show_its_size_gets_to_the_loop_all_the_same() -> None:
    @task
    def give() -> Unwilling:
        return Unwilling()

    @flow
    def main() -> str:
        return type(give.submit().value(timeout=20)).__name__

    assert weight_of(Unwilling()) == 1
    with Runtime(max_threads=THREADS):
        assert main() == "Unwilling"


def test_a_thread_that_is_held_goes_on_when_the_loop_has_come_to_one() -> None:
    brake = Brake()
    went_on = [threading.Event() for _ in range(3)]
    for _ in range(8):
        brake.note(16)

    def work(event: threading.Event) -> None:
        brake.hold()
        event.set()

    threads = [threading.Thread(target=work, args=(event,)) for event in went_on]
    for thread in threads:
        thread.start()
    # One lets go of the next: what they go on to may be small.
    brake.release(16)
    for thread in threads:
        thread.join(20)
    assert all(event.is_set() for event in went_on)


def test_a_thread_is_not_held_for_long_though_others_always_come_first() -> None:
    brake = Brake()
    brake.note(130)
    thread = threading.Thread(target=brake.hold, daemon=True)
    thread.start()
    until = monotonic() + 5
    while thread.is_alive() and monotonic() < until:
        # The loop has come to a value, and another thread was faster to give one.
        brake.release(1)
        brake.note(1)
        thread.join(0.01)
    went_on = not thread.is_alive()
    brake.release(130)
    thread.join(20)
    assert went_on
