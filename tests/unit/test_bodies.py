"""How one thread's plain bodies wait and are told to stop, with real threads."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from headrace._concurrency.bodies import (
    ThreadFace,
    block_until,
    call_body,
    is_plain_code,
    pause,
    set_face,
    shielded,
    stoppable_here,
    this_face,
    unshielded,
)
from headrace.exceptions import RunInterrupted

SOON = 5.0


class Stopper:
    """A thread with a face that runs a body; others tell the body to stop."""

    def __init__(self, body: Callable[[Stopper], object]) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.raised: list[BaseException] = []
        self.face: Any = None
        self._body = body
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        assert self.begun.wait(SOON)

    def _run(self) -> None:
        self.face = ThreadFace()
        set_face(self.face)
        self.face.enter(self)
        try:
            try:
                self._body(self)
            except BaseException as error:  # noqa: BLE001 - looked at by the test
                self.raised.append(error)
            self.face.leave(self)
        except BaseException as error:  # noqa: BLE001 - one that came late
            self.face.leave(self)
            self.raised.append(error)

    def stop(self, *, interrupt: bool = True) -> bool:
        is_told = bool(self.face.stop(self, "must stop", interrupt=interrupt))
        while self.face.press(self, is_last=False):
            self.go_on.wait(0.001)
        return is_told

    def join(self) -> list[BaseException]:
        self.thread.join(SOON)
        assert not self.thread.is_alive()
        return self.raised


def spin(it: Stopper) -> None:
    it.begun.set()
    until = time.monotonic() + SOON
    while time.monotonic() < until:
        pass


def test_a_body_in_python_code_is_interrupted() -> None:
    it = Stopper(spin)

    assert it.stop()

    assert [type(error) for error in it.join()] == [RunInterrupted]


@pytest.mark.parametrize("name", ["_release_save", "_acquire_restore"])
def test_a_body_is_spared_while_a_condition_is_without_its_lock(name: str) -> None:
    inside: list[None] = []
    free: list[None] = []

    def dwell() -> None:
        inside.append(None)
        while not free:
            pass

    # As `threading.Condition.wait` calls it, with a `with` around that gives it back.
    dwell.__code__ = dwell.__code__.replace(co_name=name)

    def body(it: Stopper) -> None:
        it.begun.set()
        dwell()
        spin(it)

    it = Stopper(body)
    while not inside:
        it.go_on.wait(0.001)
    it.face.stop(it, "must stop", interrupt=True)
    is_spared = it.face.press(it, is_last=False)
    free.append(None)
    it.stop()

    assert is_spared
    assert [type(error) for error in it.join()] == [RunInterrupted]


def test_a_body_that_blocks_in_a_call_is_released_and_told_why() -> None:
    def body(it: Stopper) -> None:
        with shielded():
            it.begun.set()
            block_until(lambda _: None, SOON)

    it = Stopper(body)
    it.stop(interrupt=False)

    (error,) = it.join()
    assert isinstance(error, RunInterrupted)
    assert error.reason == "must stop"


class Lender:
    """Slots of which one that is lent is heard."""

    def __init__(self, lend: Callable[[], None]) -> None:
        self.lend = lend

    def take_back(self) -> None:
        return


@pytest.mark.parametrize("is_before", [True, False])
def test_a_body_that_is_told_to_stop_does_not_look_as_if_it_waited(
    is_before: bool,
) -> None:
    woken: list[bool] = []

    def body(it: Stopper) -> None:
        def lent() -> None:
            if not is_before:
                it.stop(interrupt=False)
            woken.append(it.face.is_woken)

        it.begun.set()
        it.face.slots = Lender(lent)
        if is_before:
            it.stop(interrupt=False)
        block_until(lambda _: None, SOON)

    it = Stopper(body)

    assert [type(error) for error in it.join()] == [RunInterrupted]
    assert woken == [True]


def test_a_body_that_opted_out_goes_on_until_its_next_call() -> None:
    reached: list[str] = []

    def body(it: Stopper) -> None:
        it.begun.set()
        assert it.go_on.wait(SOON)
        reached.append("not interrupted")
        with shielded():
            reached.append("inside")

    it = Stopper(body)
    it.stop(interrupt=False)
    it.go_on.set()

    assert [type(error) for error in it.join()] == [RunInterrupted]
    assert reached == ["not interrupted"]


def test_nothing_is_raised_inside_of_a_call_but_at_its_end() -> None:
    reached: list[str] = []

    def body(it: Stopper) -> None:
        with shielded():
            it.begun.set()
            assert it.go_on.wait(SOON)
            reached.append("the call ends in peace")
        reached.append("not here")

    it = Stopper(body)
    it.stop()
    it.go_on.set()

    assert [type(error) for error in it.join()] == [RunInterrupted]
    assert reached == ["the call ends in peace"]


def test_a_call_that_fails_does_not_hide_that_the_body_has_to_stop() -> None:
    def body(it: Stopper) -> None:
        try:
            with shielded():
                it.begun.set()
                assert it.go_on.wait(SOON)
                raise ValueError("from the call")
        except ValueError:
            spin(it)

    it = Stopper(body)
    it.stop()
    it.go_on.set()

    (error,) = it.join()
    assert isinstance(error, RunInterrupted)
    assert isinstance(error.__context__, ValueError)


def test_users_code_inside_of_a_call_is_interrupted_again() -> None:
    def body(it: Stopper) -> None:
        with shielded(), unshielded():
            spin(it)

    it = Stopper(body)
    it.stop()

    assert [type(error) for error in it.join()] == [RunInterrupted]


def test_only_a_body_that_is_at_work_can_be_stopped() -> None:
    it = Stopper(lambda it: it.begun.set())
    it.join()

    assert it.stop() is False
    assert it.raised == []


def test_being_stopped_twice_interrupts_once() -> None:
    times: list[str] = []

    def body(it: Stopper) -> None:
        try:
            spin(it)
        except RunInterrupted:
            times.append("first")
            assert it.go_on.wait(SOON)

    it = Stopper(body)
    it.stop()
    it.stop()
    it.go_on.set()

    assert it.join() == []
    assert times == ["first"]


@pytest.mark.slow
def test_an_interrupt_that_comes_late_never_hits_the_next_body() -> None:
    """A thousand bodies in one thread, each stopped about when it ends."""
    ended = threading.Event()
    present: list[object] = []
    strayed: list[BaseException] = []

    def run() -> None:
        face = ThreadFace()
        set_face(face)
        faces.append(face)
        for _ in range(1000):
            body = object()
            face.enter(body)
            try:
                try:
                    present[:] = [body]
                    sum(range(300))
                except RunInterrupted:
                    pass
                face.leave(body)
            except RunInterrupted:
                face.leave(body)
            try:
                sum(range(30))  # between two bodies: nothing may arrive here
            except RunInterrupted as error:
                strayed.append(error)
        ended.set()

    faces: list[ThreadFace] = []
    thread = threading.Thread(target=run)
    thread.start()
    while not ended.is_set():
        if faces and present:
            faces[0].stop(present[0], "late", interrupt=True)
    thread.join(SOON)

    assert strayed == []


def test_a_run_in_place_is_claimed_once() -> None:
    face, run = ThreadFace(), object()
    face.inside.add(run)

    assert [face.claim(run), face.claim(run)] == [True, False]


# -- waiting -----------------------------------------------------------------------------


def test_a_callback_that_is_called_at_once_ends_the_wait() -> None:
    assert block_until(lambda fire: fire()) is True


def test_a_callback_may_be_called_more_than_once() -> None:
    assert block_until(lambda fire: (fire(), fire())) is True


def test_a_wait_that_runs_out_of_time_says_so() -> None:
    assert block_until(lambda _: None, 0.001) is False


@pytest.mark.slow
def test_a_wait_that_looks_gives_up_when_told() -> None:
    looks: list[str] = []

    def look() -> bool:
        looks.append("look")
        return True

    started = time.monotonic()
    got = block_until(lambda _: None, SOON, look=look)

    assert got is False
    assert looks == ["look"]
    assert time.monotonic() - started < SOON / 2


def test_a_wait_that_looks_still_keeps_its_time() -> None:
    assert block_until(lambda _: None, 0.001, look=lambda: False) is False


def test_a_pause_takes_its_time() -> None:
    started = time.monotonic()

    pause(0.01)

    assert time.monotonic() - started >= 0.01


def test_a_thread_that_was_woken_says_so_until_it_goes_on() -> None:
    fires: list[Callable[[], None]] = []
    seen: list[bool] = []

    class Slots:
        def lend(self) -> None:
            pass

        def take_back(self) -> None:
            seen.append(faces[0].is_woken)

    def run() -> None:
        faces.append(ThreadFace(Slots()))
        set_face(faces[0])
        block_until(fires.append, SOON)
        seen.append(faces[0].is_woken)

    faces: list[ThreadFace] = []
    thread = threading.Thread(target=run)
    thread.start()
    while not fires:
        threading.Event().wait(0.001)
    fires[0]()
    thread.join(SOON)

    assert seen == [True, False]


# -- which code is plain -------------------------------------------------------------------


def test_code_without_a_loop_is_plain() -> None:
    assert is_plain_code()


def test_code_on_a_loop_is_plain_only_inside_a_body_that_found_it() -> None:
    async def main() -> list[bool]:
        before, context = is_plain_code(), contextvars.copy_context()
        inside = call_body(context, is_plain_code, (), {}, interrupt=True)
        return [before, inside, is_plain_code()]

    assert asyncio.run(main()) == [False, True, False]


def test_a_body_that_can_be_stopped_has_a_face_for_so_long() -> None:
    body = object()
    before = this_face()

    with stoppable_here(body) as face:
        inside = this_face()
        stopped = face.stop(body, "must stop", interrupt=False)

    assert (before, inside, this_face()) == (None, face, None)
    assert stopped
    assert face.stop(body, "too late", interrupt=True) is False
