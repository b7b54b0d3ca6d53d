"""Large values of plain runs are let go of as fast as threads make new ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from headrace import Runtime, flow, task
from headrace._concurrency.brakes import Brake, is_large_value

MANY, THREADS = 1_000, 4
MOST = 16 + THREADS  # that the loop has not come to, when each thread is in a body
LOOSE = 4  # times as many may be, where other programs have the processor


class Counted:
    """A value that knows how many of its kind are alive."""

    alive = most = 0
    lock = threading.Lock()

    def __init__(self) -> None:
        self.more = bytes(100_000)
        with Counted.lock:
            Counted.alive += 1
            Counted.most = max(Counted.most, Counted.alive)

    def __del__(self) -> None:
        with Counted.lock:
            Counted.alive -= 1


@task
def make(_number: int) -> Counted:
    return Counted()


@task
def make_small(number: int) -> list[int]:
    return [number]


@flow
def submits() -> int:
    for number in range(MANY):
        make.submit(number)
    return MANY


@flow
def maps() -> int:
    make.map(range(MANY))
    return MANY


@pytest.mark.parametrize("program", [submits, maps])
def test_values_that_nobody_keeps_do_not_pile_up(program: Callable[[], int]) -> None:
    Counted.most = 0

    with Runtime(max_threads=THREADS):
        assert program() == MANY

    assert Counted.alive == 0
    assert 0 < Counted.most <= LOOSE * MOST


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
    ("value", "is_large"),
    [
        (None, False),
        (10**6, False),
        ("text", False),
        (b"x" * 100_000, True),
        ("x" * 100_000, True),
        ([1, 2], False),
        (list(range(100)), True),
        ({}, False),
        (object(), True),
    ],
)
def test_what_may_be_large_is_seen_by_its_type_and_length(
    value: object, is_large: bool
) -> None:
    assert is_large_value(value) is is_large


def test_a_thread_that_is_held_goes_on_when_the_loop_has_come_to_one() -> None:
    brake = Brake()
    went_on = threading.Event()

    def work() -> None:
        for _ in range(17):
            brake.note()
        brake.hold()
        brake.release()
        went_on.set()

    thread = threading.Thread(target=work)
    thread.start()
    brake.release()
    thread.join(20)
    assert went_on.is_set()
