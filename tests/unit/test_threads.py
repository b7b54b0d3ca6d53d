"""The worker threads: slots, lending, abandoning and the end, with real threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest

from headrace._concurrency.bodies import ThreadFace, block_until, this_face
from headrace._concurrency.threads import Threads
from headrace.exceptions import DeadlockError, RunInterrupted

SOON = 5.0

Job = Callable[[], object]


class Pool:
    """Threads whose jobs are plain functions; tells when so many have ended."""

    def __init__(self, limit: int, lent_limit: int = 512) -> None:
        self.faces: dict[Job, ThreadFace] = {}
        self.raised: list[BaseException] = []
        self._ended = threading.Semaphore(0)
        self.threads: Threads[Job] = Threads(self._perform, limit, lent_limit)

    def _perform(self, job: Job, face: ThreadFace) -> None:
        self.faces[job] = face
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.raised.append(error)
        self._ended.release()

    def put(self, *jobs: Job) -> None:
        for job in jobs:
            self.threads.put(job)

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self._ended.acquire(timeout=SOON)


Maker = Callable[..., Pool]


@pytest.fixture
def make() -> Generator[Maker]:
    pools: list[Pool] = []

    def made(limit: int, lent_limit: int = 512) -> Pool:
        pools.append(Pool(limit, lent_limit))
        return pools[-1]

    yield made
    for pool in pools:
        pool.threads.close()


def eventually(is_so: Callable[[], bool]) -> bool:
    until = time.monotonic() + SOON
    while not is_so() and time.monotonic() < until:
        threading.Event().wait(0.001)
    return is_so()


def test_jobs_run_side_by_side_up_to_the_limit(make: Maker) -> None:
    pool = make(4)
    together = threading.Barrier(4, timeout=SOON)

    pool.put(*[lambda n=n: together.wait() + n for n in range(4)])
    pool.wait(4)

    assert pool.raised == []


def test_no_more_than_the_limit_run_at_once(make: Maker) -> None:
    pool = make(3)
    lock = threading.Lock()
    running = most = 0

    def job() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.001)
        with lock:
            running -= 1

    pool.put(*[lambda _=n: job() for n in range(60)])
    pool.wait(60)

    assert most <= 3
    assert pool.threads.size <= 3


def test_no_thread_is_started_before_there_is_a_job(make: Maker) -> None:
    assert make(8).threads.size == 0


def test_a_job_that_waits_lends_its_slot_and_takes_it_back(make: Maker) -> None:
    pool = make(1)
    fires: list[Callable[[], None]] = []
    order: list[str] = []

    def waits() -> None:
        order.append("waits")
        block_until(fires.append, SOON)
        order.append("goes on")

    def other() -> None:
        order.append("other")
        fires[0]()

    pool.put(waits)
    assert eventually(lambda: bool(fires))
    pool.put(other)
    pool.wait(2)

    assert order == ["waits", "other", "goes on"]
    assert pool.raised == []


@pytest.mark.parametrize("depth", [50])
def test_jobs_may_wait_for_each_other_to_any_depth(make: Maker, depth: int) -> None:
    pool = make(2)
    reached: list[int] = []

    def level(n: int) -> None:
        reached.append(n)
        if n < depth:
            block_until(lambda fire: pool.put(lambda: (level(n + 1), fire())), SOON)

    pool.put(lambda: level(0))
    pool.wait(depth + 1)

    assert reached == list(range(depth + 1))
    assert pool.raised == []


def test_what_cannot_be_served_is_refused_and_does_not_hang(make: Maker) -> None:
    pool = make(1, lent_limit=1)
    fires: list[Callable[[], None]] = []

    def waits() -> None:
        block_until(fires.append, SOON)

    first: Job = lambda: waits()  # noqa: E731, PLW0108 - two jobs, not one twice
    second: Job = lambda: waits()  # noqa: E731, PLW0108
    pool.put(first)
    assert eventually(lambda: bool(fires))
    pool.put(second)
    pool.wait(1)
    fires[0]()
    pool.wait(1)

    assert [type(error) for error in pool.raised] == [DeadlockError]


def test_an_abandoned_thread_is_replaced_and_ends_after_its_job(make: Maker) -> None:
    pool = make(1)
    let_go, begun = threading.Event(), threading.Event()

    def stuck() -> None:
        begun.set()
        assert let_go.wait(SOON)

    done: list[str] = []
    pool.put(stuck, lambda: done.append("next"))
    assert begun.wait(SOON)
    answer = pool.threads.abandon(pool.faces[stuck], stuck)
    pool.wait(1)
    counted = pool.threads.abandoned
    let_go.set()
    pool.wait(1)

    assert answer is True
    assert done == ["next"]
    assert counted == 1
    assert eventually(lambda: pool.threads.abandoned == 0)


def test_a_thread_whose_job_has_ended_cannot_be_abandoned(make: Maker) -> None:
    pool = make(1)
    job: Job = lambda: None  # noqa: E731

    pool.put(job)
    pool.wait(1)
    assert eventually(lambda: pool.threads.running == 0)

    assert pool.threads.abandon(pool.faces[job], job) is False
    assert pool.threads.abandoned == 0


def test_one_job_may_be_at_work_in_two_threads(make: Maker) -> None:
    """A run that is retried while its first attempt is stuck in an abandoned thread."""
    pool = make(2)
    lets = [threading.Event(), threading.Event()]
    begun: list[ThreadFace] = []

    def job() -> None:
        mine = lets[len(begun)]
        begun.append(pool.faces[job])
        assert mine.wait(SOON)

    pool.put(job)
    assert eventually(lambda: len(begun) == 1)
    assert pool.threads.abandon(begun[0], job)
    pool.put(job)
    assert eventually(lambda: len(begun) == 2)
    lets[0].set()  # the first ends while the second is at work
    pool.wait(1)
    answer = pool.threads.abandon(begun[1], job)
    lets[1].set()
    pool.wait(1)

    assert answer is True
    assert eventually(lambda: pool.threads.abandoned == 0)


def test_a_thread_that_waits_can_be_abandoned_too(make: Maker) -> None:
    pool = make(1)
    fires: list[Callable[[], None]] = []

    def waits() -> None:
        block_until(fires.append, SOON, stoppable=False)

    pool.put(waits)
    assert eventually(lambda: bool(fires))
    started = time.monotonic()
    assert pool.threads.abandon(pool.faces[waits], waits)
    pool.wait(1)  # what it waits for is nobody's concern any more

    assert time.monotonic() - started < SOON / 2
    done: list[str] = []
    pool.put(lambda: done.append("next"))
    pool.wait(1)
    assert done == ["next"]


class Line:
    """One job that waits, and one that has its slot until it is let go."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.fires: list[Callable[[], None]] = []
        self.let_go = threading.Event()
        self.order: list[str] = []
        begun = threading.Event()

        def holds() -> None:
            begun.set()
            assert self.let_go.wait(SOON)
            self.order.append("held")

        pool.put(self.waits)
        assert eventually(lambda: bool(self.fires) and pool.threads.running == 0)
        pool.put(holds)
        assert begun.wait(SOON)

    def waits(self) -> None:
        face = this_face()
        assert face is not None
        face.enter(self)
        try:
            block_until(self.fires.append, SOON)
        finally:
            self.order.append("goes on")
            face.leave(self)


@pytest.mark.parametrize("is_in_line", [False, True])
def test_a_job_that_has_to_end_waits_for_no_slot(make: Maker, is_in_line: bool) -> None:
    pool = make(1)
    line = Line(pool)
    face = pool.faces[line.waits]

    if is_in_line:
        line.fires[0]()
        assert eventually(lambda: face.turn is not None)
    face.stop(line, "must stop", interrupt=False)
    pool.wait(1)
    line.let_go.set()
    pool.wait(1)

    assert line.order == ["goes on", "held"]
    assert [type(error) for error in pool.raised] == [RunInterrupted]


def test_a_slot_too_many_is_not_given_on(make: Maker) -> None:
    pool = make(1)
    line = Line(pool)
    order = line.order
    pool.put(lambda: order.append("next"))

    pool.faces[line.waits].stop(line, "must stop", interrupt=False)
    pool.wait(1)
    line.let_go.set()
    pool.wait(2)

    assert order == ["goes on", "held", "next"]
    assert pool.threads.size == 1


def test_a_job_called_in_another_that_has_to_end_waits_for_its_slot(
    make: Maker,
) -> None:
    pool = make(1)
    line = Line(pool)
    face = pool.faces[line.waits]
    inner = object()
    face.enter(inner)

    face.stop(inner, "must stop", interrupt=False)
    assert eventually(lambda: face.turn is not None)
    line.let_go.set()
    pool.wait(2)
    face.leave(inner)

    assert line.order == ["held", "goes on"]


def test_a_job_that_goes_on_while_it_is_looked_for_is_seen(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make(1)
    fires: list[Callable[[], None]] = []
    may_end = threading.Event()

    def waits() -> None:
        block_until(fires.append, SOON)
        assert may_end.wait(SOON)

    pool.put(waits)
    assert eventually(lambda: bool(fires) and pool.threads.running == 0)
    lock = pool.threads._lock  # keeps the job from going on
    is_woken: Any = vars(ThreadFace)["is_woken"].fget

    def looked_at_late(face: ThreadFace) -> bool:
        lock.release()
        assert eventually(lambda: face.present_wait is None)
        return bool(is_woken(face))

    monkeypatch.setattr(ThreadFace, "is_woken", property(looked_at_late))
    with lock:
        fires[0]()
        is_busy = pool.threads.is_busy()
        lock.acquire()
    may_end.set()
    pool.wait(1)

    assert is_busy


def test_closing_ends_the_threads_that_are_idle(make: Maker) -> None:
    pool = make(4)
    pool.put(*[lambda _=n: None for n in range(20)])
    pool.wait(20)

    pool.threads.close()

    assert eventually(lambda: pool.threads.size == 0)


@pytest.mark.slow
def test_abandoning_at_any_moment_keeps_the_counts(make: Maker) -> None:
    pool = make(4)
    jobs: list[Any] = [lambda _=n: threading.Event().wait(0.0002) for n in range(400)]
    abandoned = 0

    for job in jobs:
        pool.put(job)
        face = pool.faces.get(job)
        if face is not None and pool.threads.abandon(face, job):
            abandoned += 1
    pool.wait(400)

    assert abandoned <= 400
    assert pool.raised == []
    assert eventually(lambda: not pool.threads.is_busy())
    assert pool.threads.running == 0
