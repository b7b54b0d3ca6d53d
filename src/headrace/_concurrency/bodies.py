"""Plain bodies: which code is plain, how it waits, and how it is told to stop.

A *plain body* is a user's plain function that the engine has called in some thread.
Everything here concerns one thread: its innermost body, the calls it makes into
headrace, the lock it blocks on. Other threads touch it only through `ThreadFace.stop`.

Stopping climbs two rungs here (the third, abandoning, is the pool's). First the body
is released from headrace calls: whichever it is in, or makes next, raises
`RunInterrupted`. Then, where allowed, `RunInterrupted` is raised in the thread itself,
between two bytecodes. That must never hit headrace's own bookkeeping, so every call
into headrace is *shielded*, and a body that has ended takes a late one back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import Context
from time import monotonic
from typing import Any

from headrace._concurrency.holding import HELD, Slots, lent_here
from headrace._concurrency.interrupts import Interrupts
from headrace._concurrency.waits import Wait
from headrace.exceptions import DeadlockError, RunInterrupted

__all__ = (
    "ThreadFace",
    "block_until",
    "call_body",
    "is_plain_code",
    "pause",
    "set_face",
    "shielded",
    "stoppable_here",
    "this_face",
    "unshielded",
)


class ThreadFace:
    """What other threads may know of, and do to, the plain bodies of one thread."""

    __slots__ = (
        "_bodies", "_interrupts", "_is_pressed", "_lock", "_shields", "_spared",
        "_stopped", "_waiting", "awaits", "enter", "ident", "inside", "is_abandoned",
        "present_wait", "slots", "turn",
    )  # fmt: skip

    def __init__(self, slots: Slots | None = None) -> None:
        self.ident = threading.get_ident()
        self.slots = slots
        self._interrupts = Interrupts(self.ident)
        self._lock = threading.Lock()
        self._bodies: list[object] = []
        # Given a body that may be stopped, as it begins. Follow with `leave` in every case.
        self.enter: Callable[[object], None] = self._bodies.append
        self._stopped: list[tuple[object, str]] = []
        self._is_pressed = False  # whether `stop` is at work, or was for a body inside
        self._waiting: Wait | None = None
        self.turn: Wait | None = None  # for its slot, as long as it waits for one
        self._shields = 0
        self._spared: object = None  # of those stopped: still to be interrupted
        self.present_wait: Wait | None = None  # until the thread really goes on
        self.inside: set[Any] = set()  # runs called in place here; see `claim`
        self.is_abandoned = False
        self.awaits = 0  # waits of a loop in this thread; see `lending`

    # -- from the thread itself ------------------------------------------------

    def leave(self, body: object) -> None:
        """The body has ended; take back an interrupt that came too late for it."""
        try:
            # Already removed if a late interrupt sent us round again.
            if self._bodies and self._bodies[-1] is body:
                self._bodies.pop()
            # After that: `stop` says so before it looks for the body, so one of the two
            # sees the other, and most bodies end without taking the lock.
            if self._is_pressed:
                self._take_back(body)
        except RunInterrupted:
            # The late one itself, between the body's end and here. Only one is ever sent
            # to a body, so this happens at most once.
            self.leave(body)

    def _take_back(self, body: object) -> None:
        with self._lock:
            left = [each for each in self._stopped if each[0] is not body]
            if len(left) != len(self._stopped):
                self._stopped = left
                self._spared = None
                self._interrupts.take_back()
            self._is_pressed = bool(left)

    def raise_if_stopped(self) -> None:
        """Raise RunInterrupted if a body of this thread was told to stop."""
        with self._lock:
            stopped = self._stopped
            if stopped:
                self._spared = None
                self._interrupts.take_back()
        if stopped:
            body, reason = stopped[0]
            raise RunInterrupted(str(getattr(body, "name", body)), reason)

    def shield(self, count: int) -> int:
        """Set how deep in headrace calls this thread is; the depth before."""
        with self._lock:
            before, self._shields = self._shields, count
        return before

    def begin_wait(self, wait: Wait, *, stoppable: bool) -> None:
        """Note what this thread is about to block on, before it lends its slot.

        One that was told to stop must not look as if it waited: virtual time would pass.
        """
        with self._lock:
            self.present_wait = wait
            if stoppable:
                self._waiting = wait
            if self.is_abandoned or (stoppable and self._stopped):
                wait.end()

    def end_wait(self) -> None:
        """The thread goes on."""
        with self._lock:
            self.present_wait = self._waiting = None

    def await_turn(self, turn: Wait) -> None:
        """Block until a slot is there, or all that runs here has to end."""
        with self._lock:
            if self._has_to_end():
                return
            self.turn = turn
        try:
            turn.block(-1.0, None)
        finally:
            with self._lock:
                self.turn = None

    def _has_to_end(self) -> bool:
        # All of it, and not only what the first body has called.
        return any(body is self._bodies[0] for body, _ in self._stopped)

    # -- from any thread -------------------------------------------------------

    def claim(self, run: object) -> bool:
        """Whether the caller is the one to end a run that was called in place here.

        Its own code does, or, once the thread is abandoned, the loop; never both.
        """
        try:
            self.inside.remove(run)
        except KeyError:
            return False
        return True

    @property
    def is_woken(self) -> bool:
        """Whether the thread blocks no more, though it has not gone on yet."""
        wait = self.present_wait
        return wait is not None and wait.is_over

    def abandon(self) -> None:
        """The thread is on its own now: what it waits for is nobody's concern."""
        self.is_abandoned = True
        wait = self.present_wait
        if wait is not None:
            wait.end()

    def stop(self, body: object, reason: str, *, interrupt: bool) -> bool:
        """Tell a body to stop; False when it has ended already. Never blocks long.

        Args:
            body: What was given to `enter`.
            reason: Why, for the message of RunInterrupted.
            interrupt: Whether to raise in the thread too, if it is in user code.
        """
        with self._lock:
            self._is_pressed = True  # before the look: see `leave`
            if not any(each is body for each in self._bodies):
                self._is_pressed = bool(self._stopped)
                return False
            if any(each is body for each, _ in self._stopped):
                return True
            self._stopped.append((body, reason))
            if self.turn is not None and self._has_to_end():
                self.turn.end()
            if self._waiting is not None:
                self._waiting.end()
            elif interrupt and not self._shields:
                self._spared = None if self._interrupts.send() else body
            return True

    def press(self, body: object, *, is_last: bool) -> bool:
        """Interrupt a body that `stop` had to spare; see `Interrupts`.

        Args:
            body: What was given to `stop`.
            is_last: Whether it is not spared any more, as far as that can be.

        Returns:
            Whether the body was spared again.
        """
        with self._lock:
            if self._spared is not body:
                return False
            # One that has entered headrace since learns of it when it leaves.
            if self._shields or self._interrupts.send(is_last=is_last):
                self._spared = None
            return self._spared is not None


class _Here(threading.local):
    """Of each thread: its face, and the loop its innermost plain body found running."""

    face: ThreadFace | None = None
    loop: asyncio.AbstractEventLoop | None = None


_HERE = _Here()


def is_plain_code() -> bool:
    """Whether blocking is the way to wait here.

    True if no loop runs in this thread, or only the one that was running already
    when the innermost plain body began.
    """
    running = asyncio._get_running_loop()  # noqa: SLF001 - the only form that costs 30 ns
    return running is None or running is _HERE.loop


def this_face() -> ThreadFace | None:
    """The face of this thread, if a body that can be stopped runs in it."""
    return _HERE.face


def call_body(
    context: Context, fn: Callable[..., Any], args: Any, kwargs: Any, *, interrupt: bool
) -> Any:
    """Call a plain body in this thread, where it may be interrupted if so said."""
    before = _HERE.loop
    _HERE.loop = asyncio._get_running_loop()  # noqa: SLF001 - see is_plain_code
    try:
        if _HERE.face is None or not interrupt:
            return context.run(fn, *args, **kwargs)
        with unshielded():
            return context.run(fn, *args, **kwargs)
    finally:
        _HERE.loop = before
        del context, args, kwargs  # what the body raises would keep this frame


@contextmanager
def stoppable_here(body: object) -> Generator[ThreadFace]:
    """A body in this thread that others may stop by the face it is given.

    The block is shielded; the user's code in it goes into `unshielded`.
    """
    outer = _HERE.face
    face = _HERE.face = outer or ThreadFace()
    before = face.shield(1)
    face.enter(body)
    try:
        yield face
    finally:
        face.leave(body)
        face.shield(before)
        _HERE.face = outer


def set_face(face: ThreadFace) -> None:
    """Give a worker thread its face, for as long as it lives."""
    _HERE.face = face


@contextmanager
def shielded() -> Generator[None]:
    """A call into headrace: nothing is raised into it from another thread.

    Raises:
        RunInterrupted: A body of this thread was told to stop, before or meanwhile.
    """
    face = _HERE.face
    if face is None:
        yield
        return
    before = 0  # as it is when an interrupt comes while the shield goes up
    try:
        before = face.shield(1)
        face.raise_if_stopped()
        yield
    except Exception:
        # Nor may a body that catches what a call raised miss that it has to stop.
        face.shield(before)
        if not before:
            face.raise_if_stopped()
        raise
    finally:
        face.shield(before)
    if not before:
        face.raise_if_stopped()


@contextmanager
def unshielded() -> Generator[None]:
    """User code inside a call into headrace: it may be interrupted again."""
    face = _HERE.face
    if face is None:
        yield
        return
    before = 1  # as it is when an interrupt comes while the shield goes down
    try:
        before = face.shield(0)
        face.raise_if_stopped()
        yield
    finally:
        try:
            face.shield(before)
        except RunInterrupted:  # it came before the shield was up again
            face.shield(before)
            raise


def block_until(
    subscribe: Callable[[Callable[[], None]], object],
    timeout: float | None = None,
    *,
    stoppable: bool = True,
    look: Callable[[], bool] | None = None,
) -> bool:
    """Block this thread until a callback is called; False if the time ran out.

    The thread's slot is lent out meanwhile, and so are the places that its run holds in
    limits: before it goes on it has them back, whatever that takes. Ctrl-C gets through.

    Args:
        subscribe: Given the callback; it may call it at once, more than once, and
            from any thread.
        timeout: Seconds to wait at the most; None for no limit.
        stoppable: Whether the wait ends when a body of this thread is told to stop.
        look: Asked twice a second whether to give up: the loop whose callback this
            waits for may be closed by others, who tell nobody.

    Raises:
        RunInterrupted: A body of this thread was told to stop.
        DeadlockError: Too many threads wait already.
    """
    wait = Wait()
    subscribe(wait.end)
    if wait.is_over:
        return True
    held = HELD.get()
    if held is None:
        return _block(wait, timeout, look, stoppable=stoppable)
    with lent_here(held, block_until):
        return _block(wait, timeout, look, stoppable=stoppable)


def _block(
    wait: Wait,
    timeout: float | None,
    look: Callable[[], bool] | None,
    *,
    stoppable: bool,
) -> bool:
    seconds = -1.0 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX)
    face = _HERE.face
    if face is None:
        return wait.block(seconds, look)
    face.begin_wait(wait, stoppable=stoppable)
    try:
        if face.slots is not None:
            try:
                face.slots.lend()
            except DeadlockError:
                # A wait that cannot be given up goes on with the slot of its own.
                if stoppable:
                    raise
        try:
            got = wait.block(seconds, look)
        finally:
            wait.is_over = True
            if face.slots is not None:
                face.slots.take_back()
    finally:
        face.end_wait()
    if stoppable:
        face.raise_if_stopped()
    return got


def pause(seconds: float) -> None:
    """Let time pass in this thread, its slot lent out; ends early when stopped."""
    until = monotonic() + seconds
    while (left := until - monotonic()) > 0:
        block_until(lambda _: None, left)
