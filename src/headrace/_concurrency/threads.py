"""Worker threads for plain functions: grow, lend, abandon, end.

Threads take jobs from one queue and hand outcomes back themselves (through the
loop's inbox, so that a burst of ends costs one wake-up). At most ``limit`` bodies run
at once. As long as none of them waits for another run, that many threads see to it
and nothing is counted: a lock taken for each job makes eight threads four times
slower than one. A body that blocks in headrace lends its slot, and takes it back
before it goes on, ahead of any new job; from the first such on, slots are counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic
from typing import Final, Generic, TypeVar

from headrace._concurrency.bodies import ThreadFace, set_face
from headrace._concurrency.brakes import Brake
from headrace._concurrency.waits import Wait
from headrace.exceptions import DeadlockError

__all__ = ("Threads", "Worker")

J = TypeVar("J")

_SECONDS_TO_END: Final = 1.0


class Worker(threading.Thread):
    """One worker thread. A daemon: a stuck one must not keep the process alive."""

    def __init__(self, threads: Threads[J], number: int) -> None:
        super().__init__(name=f"headrace-worker-{number}", daemon=True)
        self._threads = threads
        self.face: ThreadFace | None = None
        self.abandoned = False
        self.is_lent = False  # its body waits in a headrace call
        self.has_slot = False  # while slots are counted: its body runs
        self.turn = Wait()  # the latest for a slot
        self.job: object = None
        # The same, to be owned. Whoever removes the job from here owns its end: this
        # thread, or `abandon`. A run that is retried is the job of two threads.
        self.claims: set[object] = set()
        self.ended = 0  # jobs; written by this thread alone

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
        brake: Holds a thread back, before a job, while too much is ahead of the loop.
    """

    def __init__(
        self,
        perform: Callable[[J, ThreadFace], object],
        limit: int,
        lent_limit: int,
        brake: Brake | None = None,
    ) -> None:
        self._perform = perform
        self._brake = brake or Brake()
        self._limit = limit
        self._lent_limit = lent_limit
        self._jobs: SimpleQueue[J | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._line: deque[Worker] = deque()  # those that wait for a slot
        self._live: set[Worker] = set()
        self._abandoned: set[Worker] = set()
        self._put = 0
        self._idle = 0  # at least so many threads are, as it was when last counted
        self._ended_elsewhere = 0  # jobs of threads that are not live any more
        self._counts = False  # whether slots are counted
        self._running = 0  # slots taken, while they are counted
        self._lent = 0  # threads that wait in a headrace call
        self._started = 0
        self._changes = 0  # slots lent and given
        self._closing = False
        self._on_empty: Callable[[], object] | None = None

    # -- from the loop ---------------------------------------------------------

    def put(self, job: J) -> None:
        """Queue a job; a thread is started for it while there is room. On the loop."""
        self._jobs.put(job)
        self._put += 1
        if self._idle > 0:
            self._idle -= 1
        elif len(self._live) < self._limit + self._lent:
            with self._lock:
                self._grow()

    def abandon(self, face: ThreadFace, job: J) -> bool:
        """Stop counting on a thread that does not end a job; another takes its place.

        Returns:
            False if the job has ended, though nobody may have heard of it yet.
        """
        with self._lock:
            worker = next((w for w in self._live if w.face is face), None)
            if worker is None or not worker.claims:
                return False
            try:
                worker.claims.remove(job)
            except KeyError:
                return False
            face.abandon()
            worker.abandoned = True
            self._idle = 0
            self._live.discard(worker)
            self._abandoned.add(worker)
            self._ended_elsewhere += worker.ended + 1
            if worker in self._line:
                self._line.remove(worker)
                worker.turn.end()
            if worker.is_lent:
                self._lent -= 1
            elif worker.has_slot:
                self._free_slot()
            self._grow()
            return True

    def close(self) -> None:
        """End every thread that is idle now; the rest ends with its job."""
        # For all of them together: many may be stuck when Ctrl-C was pressed twice.
        until = monotonic() + _SECONDS_TO_END
        for worker in self._tell_to_end():
            if worker is not threading.current_thread():
                worker.join(timeout=max(until - monotonic(), 0.0))

    def close_soon(self, told: Callable[[], object]) -> None:
        """`close` without waiting: tells when the last thread ends. Call `close` then."""
        self._on_empty = told
        if not self._tell_to_end():
            told()

    def _tell_to_end(self) -> list[Worker]:
        with self._lock:
            self._closing = True
            workers = list(self._live)
        # Each tells the next: all at once, they would keep the loop from running.
        self._jobs.put(None)
        return workers

    @property
    def abandoned(self) -> int:
        """How many abandoned threads are still at work."""
        return sum([worker.is_alive() for worker in tuple(self._abandoned)])

    @property
    def size(self) -> int:
        """How many threads there are, without the abandoned ones."""
        return len(self._live)

    @property
    def running(self) -> int:
        """How many bodies run now."""
        at_work = [w for w in tuple(self._live) if w.job is not None]
        return len(at_work) - self._lent

    def is_busy(self) -> bool:
        """Whether a body runs that is not waiting in a headrace call, or is due to."""
        changes = self._changes
        if self._outstanding() > self._lent or (self._closing and self._live):
            return True
        faces = [worker.face for worker in tuple(self._live)]
        if any(face is not None and face.is_woken for face in faces):
            return True
        # One that went on between the two looks was seen by neither.
        return changes != self._changes

    # -- from a body that waits (see holding.Slots) ------------------------------

    def lend(self) -> None:
        """See `headrace._concurrency.holding.Slots.lend`."""
        worker = threading.current_thread()
        if isinstance(worker, Worker) and worker.is_lent:
            return  # by a loop in this thread; see `lending`
        with self._lock:
            if self._lent >= self._lent_limit:
                raise DeadlockError(
                    f"{self._lent} threads wait for runs that need a thread themselves, "
                    f"which is as many as may (max_lent_threads={self._lent_limit})."
                )
            if not isinstance(worker, Worker) or worker.abandoned:
                return
            if not self._counts:
                self._count_from_now_on()
            self._changes += 1
            self._lent += 1
            worker.is_lent = True
            worker.has_slot = False
            self._free_slot()
            self._grow()

    def take_back(self) -> None:
        """See `headrace._concurrency.holding.Slots.take_back`."""
        worker = threading.current_thread()
        if not isinstance(worker, Worker):
            return
        with self._lock:
            if worker.abandoned or not worker.is_lent:
                return
            if self._has_slot_for(worker, first=True):
                return
        if worker.face is not None:
            worker.face.await_turn(worker.turn)
        with self._lock:
            if worker in self._line:
                # It has to end. What is left to do is short, and waits for nobody.
                self._line.remove(worker)
                self._running += 1
                self._give_slot(worker)

    # -- in the worker threads ---------------------------------------------------

    def work(self, worker: Worker) -> None:
        """The life of one worker thread."""
        face = worker.face = ThreadFace(self)
        set_face(face)
        brake, ahead = self._brake, self._brake.ahead
        while (job := self._jobs.get()) is not None:
            worker.claims.add(job)
            # Set before `_counts` is read, as `lend` sets that before it looks at
            # jobs: one of the two sees the other.
            worker.job = job
            if ahead:
                brake.hold()
            if self._counts:
                self._wait_for_slot(worker)
            self._perform(job, face)
            if not self._goes_on(worker, job):
                return
            del job  # an idle thread keeps nothing of its last job alive
        with self._lock:
            self._leave(worker)
        self._jobs.put(None)

    def _goes_on(self, worker: Worker, job: J) -> bool:
        """Account for a job that ended; whether its thread takes another."""
        try:
            worker.claims.remove(job)
        except KeyError:
            return False  # abandoned meanwhile, and accounted for
        worker.ended += 1
        worker.job = None
        if not self._counts:
            return True
        with self._lock:
            if worker.has_slot:
                worker.has_slot = False
                self._free_slot()
            # More threads than slots: some were started for slots lent out.
            surplus = len(self._live) - self._lent > self._limit and not self._closing
            if surplus:
                self._leave(worker)
            return not surplus

    def _wait_for_slot(self, worker: Worker) -> None:
        with self._lock:
            # It may have been given one by `_count_from_now_on`.
            if worker.has_slot or self._has_slot_for(worker, first=False):
                return
        worker.turn.block(-1.0, None)

    # -- with the lock held ------------------------------------------------------

    def _outstanding(self) -> int:
        """Jobs put and not yet ended."""
        ended = sum([worker.ended for worker in tuple(self._live)])
        return self._put - self._ended_elsewhere - ended

    def _leave(self, worker: Worker) -> None:
        self._idle = 0
        self._live.discard(worker)
        self._ended_elsewhere += worker.ended
        if not self._live and self._on_empty is not None:
            self._on_empty()

    def _count_from_now_on(self) -> None:
        self._counts = True
        for worker in self._live:
            if worker.job is not None:
                worker.has_slot = True
                self._running += 1

    def _has_slot_for(self, worker: Worker, *, first: bool) -> bool:
        """Give it a slot, or a place in the line and a turn to wait for."""
        if self._running < self._limit:
            self._running += 1
            self._give_slot(worker)
            return True
        worker.turn = Wait()
        if first:
            self._line.appendleft(worker)
        else:
            self._line.append(worker)
        return False

    def _give_slot(self, worker: Worker) -> None:
        # Noted by who gives it, so that no slot is neither lent nor in use meanwhile.
        worker.has_slot = True
        self._changes += 1
        if worker.is_lent:
            worker.is_lent = False
            self._lent -= 1

    def _free_slot(self) -> None:
        # More than the limit run when some had to end, and did not wait for a slot.
        if self._line and self._running <= self._limit:
            worker = self._line.popleft()
            self._give_slot(worker)
            worker.turn.end()
        else:
            self._running -= 1

    def _grow(self) -> None:
        size = len(self._live)
        self._idle = size - self._outstanding()
        if self._idle >= 0 or self._closing:
            return
        if size - self._lent < self._limit:
            self._started += 1
            worker = Worker(self, self._started)
            self._live.add(worker)
            worker.start()
