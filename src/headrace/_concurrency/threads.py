"""Worker threads for plain functions: grow, lend, abandon, end.

Threads take jobs from one queue and hand outcomes back themselves (through the
loop's inbox, so that a burst of ends costs one wake-up). What is counted here is
*slots*: at most ``limit`` bodies run at once. A body that blocks in headrace lends
its slot, and takes it back before it goes on, ahead of any new job.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

from headrace._concurrency.bodies import ThreadFace, set_face
from headrace.exceptions import DeadlockError

__all__ = ("Threads", "Worker")

J = TypeVar("J")


class Worker(threading.Thread):
    """One worker thread. A daemon: a stuck one must not keep the process alive."""

    def __init__(self, threads: Threads[J], number: int) -> None:
        super().__init__(name=f"headrace-worker-{number}", daemon=True)
        self._threads = threads
        self.face: ThreadFace | None = None
        self.abandoned = False
        self.has_slot = False
        self.job: object = None

    @property
    def headrace_busy(self) -> bool:
        """Whether jobs are queued or running: a virtual clock must stand still."""
        return self._threads.is_busy()

    def run(self) -> None:
        """Take jobs until told to end."""
        self._threads.work(self)


class Threads(Generic[J]):
    """A pool that runs ``perform(job, face)`` for each job.

    Args:
        perform: Runs one job; it must hand over the outcome itself, and raise nothing.
        limit: Most bodies that run at once.
        lent_limit: Most threads that may wait in headrace calls at once.
    """

    def __init__(
        self, perform: Callable[[J, ThreadFace], None], limit: int, lent_limit: int
    ) -> None:
        self._perform = perform
        self._limit = limit
        self._lent_limit = lent_limit
        self._jobs: SimpleQueue[J | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._turns: deque[threading.Lock] = deque()
        self._live: set[Worker] = set()
        self._abandoned: set[Worker] = set()
        self._outstanding = 0  # jobs put and not yet ended
        self._running = 0  # slots taken
        self._lent = 0  # threads that wait in a headrace call
        self._started = 0
        self._closing = False

    # -- from the loop ---------------------------------------------------------

    def put(self, job: J) -> None:
        """Queue a job; a thread is started for it while there is room."""
        self._jobs.put(job)
        with self._lock:
            self._outstanding += 1
            self._grow()

    def abandon(self, face: ThreadFace, job: J) -> bool:
        """Stop counting on a thread that does not end a job; another takes its place.

        Returns:
            False if the job has ended, though nobody may have heard of it yet.
        """
        with self._lock:
            worker = next((w for w in self._live if w.face is face), None)
            if worker is None or worker.job is not job:
                return False
            worker.abandoned = True
            self._live.discard(worker)
            self._abandoned.add(worker)
            self._outstanding -= 1
            if worker.has_slot:
                self._free_slot()
            else:
                self._lent -= 1
            self._grow()
            return True

    def close(self) -> None:
        """End every thread that is idle now; the rest ends with its job."""
        with self._lock:
            self._closing = True
            workers = list(self._live)
        for _ in workers:
            self._jobs.put(None)
        for worker in workers:
            if worker is not threading.current_thread():
                worker.join(timeout=1.0)

    @property
    def abandoned(self) -> int:
        """How many abandoned threads are still at work."""
        return len(self._abandoned)

    @property
    def size(self) -> int:
        """How many threads there are, without the abandoned ones."""
        return len(self._live)

    @property
    def running(self) -> int:
        """How many bodies run now."""
        return self._running

    def is_busy(self) -> bool:
        """Whether a body runs that is not waiting in a headrace call, or is due to."""
        return self._outstanding > self._lent

    # -- from a body that waits (see bodies.Slots) ------------------------------

    def lend(self) -> None:
        """See `headrace._concurrency.bodies.Slots.lend`."""
        worker = threading.current_thread()
        with self._lock:
            if self._lent >= self._lent_limit:
                raise DeadlockError(
                    f"{self._lent} threads wait for runs that need a thread themselves, "
                    f"which is as many as may (max_lent_threads={self._lent_limit})."
                )
            if not isinstance(worker, Worker) or worker.abandoned:
                return
            self._lent += 1
            worker.has_slot = False
            self._free_slot()
            self._grow()

    def take_back(self) -> None:
        """See `headrace._concurrency.bodies.Slots.take_back`."""
        worker = threading.current_thread()
        if not isinstance(worker, Worker):
            return
        with self._lock:
            if worker.abandoned or worker.has_slot:
                return
            turn = self._take_slot(first=True)
        if turn is not None:
            turn.acquire()
        with self._lock:
            if worker.abandoned:  # meanwhile: its slot is no longer its own
                self._free_slot()
                return
            self._lent -= 1
            worker.has_slot = True

    # -- in the worker threads ---------------------------------------------------

    def work(self, worker: Worker) -> None:
        """The life of one worker thread."""
        face = worker.face = ThreadFace(self)
        set_face(face)
        while (job := self._jobs.get()) is not None:
            with self._lock:
                turn = self._take_slot(first=False)
                worker.has_slot = True
                worker.job = job
            if turn is not None:
                turn.acquire()
            self._perform(job, face)
            del job  # an idle thread keeps nothing of its last job alive
            if self._ended(worker):
                return
        with self._lock:
            self._live.discard(worker)

    def _ended(self, worker: Worker) -> bool:
        """Account for a job that ended; whether its thread is to end too."""
        with self._lock:
            worker.job = None
            if worker.abandoned:
                self._abandoned.discard(worker)
                return True
            self._outstanding -= 1
            worker.has_slot = False
            self._free_slot()
            # More threads than slots: some were started for slots lent out.
            surplus = len(self._live) - self._lent > self._limit and not self._closing
            if surplus:
                self._live.discard(worker)
            return surplus

    # -- with the lock held ------------------------------------------------------

    def _take_slot(self, *, first: bool) -> threading.Lock | None:
        """Take a slot, or give the lock to acquire for the next one that is freed."""
        if self._running < self._limit:
            self._running += 1
            return None
        turn = threading.Lock()
        turn.acquire()
        if first:
            self._turns.appendleft(turn)
        else:
            self._turns.append(turn)
        return turn

    def _free_slot(self) -> None:
        if self._turns:
            self._turns.popleft().release()
        else:
            self._running -= 1

    def _grow(self) -> None:
        size = len(self._live)
        if (
            self._outstanding > size
            and size - self._lent < self._limit
            and not self._closing
        ):
            self._started += 1
            worker = Worker(self, self._started)
            self._live.add(worker)
            worker.start()
