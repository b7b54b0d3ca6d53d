"""What holds while plain tasks are submitted, called, limited, streamed and cancelled.

Hypothesis draws what happens; in which order threads go on nobody can draw, so an example
that fails may pass the next time. The twin for coroutine code is `test_everything_at_once`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any, Final

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import initialize, invariant, rule

from headrace import Limit, flow, get_run_context, task, unmapped
from tests.behaviour import at_once
from tests.behaviour.at_once import (
    ALL,
    DB,
    KIND,
    NUMBERS,
    SCRIPT,
    SEEDS,
    AtOnce,
    key_of,
    raise_in_attempts,
    run_at_once,
    scripts_of,
)

TWO, THREADS = 2, 3  # places

SECONDS_TO_END = 5.0  # real ones, for a thread

PLAIN: Final = (
    *("bare", "hooked", "retried", "timed", "db", "two", "keyed"),
    *("cached", "cached_db", "interrupted"),
)
KINDS: Final = (*PLAIN, "coro", "coro_db", "coro_timed")
VERBS: Final = ("submit", "call", "call", "forget", "map", "stream", "flow")


class World(at_once.World):
    """Tasks of plain functions, and some others that these call."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = {
            "two": Limit(TWO),
            "keyed": Limit(1, key=lambda parameters: parameters["n"] % 2),
            "db": Limit(DB),
        }
        self.nap = task(name="nap")(asyncio.sleep)
        self.kinds = self.made()

    def made(self) -> dict[str, Any]:
        def act(n: int, script: Any, depth: int, how: str, *_: object) -> Any:
            context: Any = get_run_context()
            return self.play(context.task.name, n, script, depth, how)

        async def act_on_loop(
            n: int, script: Any, depth: int, how: str, *_: object
        ) -> Any:
            context: Any = get_run_context()
            kind = context.task.name
            return await self.play_on_loop(kind, n, script, depth, how)

        heard, slowly = self.heard(self.hook), self.heard(self.slow_hook)
        cached: dict[str, Any] = {"persist_result": False, "cache_key_fn": key_of}
        # No delays of retries: in a run that is called these pass in its thread, by the
        # real clock.
        options: dict[str, dict[str, Any]] = {
            "bare": {},
            "hooked": slowly,
            "retried": {**heard, "retries": 2},
            "timed": {**slowly, "timeout_seconds": 2, "retries": 1},
            "db": {**heard, "tags": ["db"]},
            "two": {**slowly, "concurrency_limit": self.limits["two"]},
            "keyed": {"concurrency_limit": self.limits["keyed"], "retries": 1},
            "cached": {**slowly, **cached},
            "cached_db": {**heard, **cached, "tags": ["db"], "retries": 1},
            "interrupted": {**slowly, "timeout_seconds": 3},
            "coro": {**slowly, "retries": 1},
            "coro_db": {**heard, "tags": ["db"]},
            "coro_timed": {**slowly, "timeout_seconds": 3},
        }
        return {
            kind: task(name=kind, interrupt=kind == "interrupted", **given)(act)
            if kind in PLAIN
            else task(name=kind, **given)(act_on_loop)
            for kind, given in options.items()
        }

    def places(self, kind: str, n: int, how: str) -> dict[Any, Any]:
        if kind == "interrupted":
            return {}  # between any two steps, so it cannot count
        found: dict[Any, Any] = {}
        if kind == "two":
            found["two"] = 1, TWO
        if kind == "keyed":
            found["keyed", n % 2] = 1, 1
        if kind.endswith("db"):
            found["db"] = 1, DB
        if how == "submitted":
            found["all"] = 1, ALL
        return found

    # -- in threads --------------------------------------------------------------------

    def play(self, kind: str, n: int, script: Any, depth: int, how: str) -> Any:
        places = self.places(kind, n, how)
        self.gauge.take(places)
        try:
            for step in script:
                self.step(n, depth, step, places)
        finally:
            self.gauge.give(places)
        return kind, n, depth

    def step(self, n: int, depth: int, step: Any, places: dict[Any, Any]) -> None:
        verb, what = step[:2]
        if verb == "sleep":
            with self.gauge.lent(places):
                _ = self.nap.submit(what).result()
        elif verb == "raise":
            raise_in_attempts(what)
        elif verb == "stubborn":
            with self.gauge.lent(places):
                try:
                    _ = self.nap.submit(1).result()
                finally:
                    _ = self.nap.submit(what).result()
        elif verb == "forget":
            self.kinds[what].submit(n, step[2], depth + 1, "submitted")
        else:
            with self.gauge.lent(places):
                self.run_child(verb, what, n, step[2], depth + 1)

    def run_child(self, verb: str, kind: str, n: int, script: Any, depth: int) -> None:
        child = self.kinds[kind]
        if verb == "submit":
            child.submit(n, script, depth, "submitted").result()
        elif verb == "call":
            is_in_place = kind in PLAIN and child.timeout_seconds is None
            child(n, script, depth, "called" if is_in_place else "submitted")
        elif verb == "map":
            child.map([n, n + 1], unmapped(script), depth, "submitted").result()
        elif verb == "flow":
            flow(name="inner", timeout_seconds=n or None)(self.story)(
                n, kind, script, depth
            )
        else:
            rest = unmapped(script), depth, "submitted"
            stream = child.stream(
                range(n, n + 4), *rest, limit=1 + n % 3, return_state=True
            )
            for _ in stream:
                if n % 2:
                    break

    def story(self, n: int, kind: str, script: Any, depth: int) -> Any:
        child = self.kinds[kind]
        first = child.submit(n, script, depth, "submitted")
        child.submit(n + 1, script, depth, "submitted", first)
        return first.result(raise_on_failure=n % 2)

    # -- on the loop -------------------------------------------------------------------

    async def play_on_loop(
        self, kind: str, n: int, script: Any, depth: int, how: str
    ) -> Any:
        places = self.places(kind, n, how)
        self.gauge.take(places)
        try:
            for step in script:
                await self.step_on_loop(n, depth, step, places)
        finally:
            self.gauge.give(places)
        return kind, n, depth

    async def step_on_loop(
        self, n: int, depth: int, step: Any, places: dict[Any, Any]
    ) -> None:
        verb, what = step[:2]
        if verb in {"sleep", "raise"}:
            await asyncio.sleep(what)
        elif verb == "stubborn":
            try:
                await asyncio.sleep(1)
            finally:
                await asyncio.sleep(what)
        elif verb == "forget":
            await self.kinds[what].submit(n, step[2], depth + 1, "submitted")
        else:
            child = self.kinds[what]
            is_in_place = what not in PLAIN
            with self.gauge.lent(places):
                await child.acall(
                    n, step[2], depth + 1, "called" if is_in_place else "submitted"
                )


class PlainCode(AtOnce):
    """All that plain bodies can do."""

    KINDS = KINDS
    HEARD = frozenset(KINDS) - {"bare", "keyed"}
    SCRIPTS = scripts_of(VERBS, KINDS)

    @initialize(
        seed=SEEDS,
        pending=st.sampled_from([None, 3]),
        threads=st.sampled_from([1, THREADS]),
        history=st.sampled_from(["full", "off"]),
    )
    def begin(self, seed: int, pending: int | None, threads: int, history: Any) -> None:
        world = World()
        self.open(
            seed,
            world,
            limits={"db": world.limits["db"]},
            max_pending=pending,
            max_threads=threads,
            history=history,
        )

    # -- what happens ------------------------------------------------------------------

    @rule(kind=KIND, n=NUMBERS, script=SCRIPT)
    def call_task(self, kind: str, n: int, script: Any) -> None:
        how = "submitted" if kind in PLAIN else "called"
        self.call(lambda: self.world.kinds[kind].acall(n, script, 0, how))

    @rule(
        kind=KIND,
        n=NUMBERS,
        script=SCRIPT,
        limit=st.sampled_from([None, 2]),
        retries=st.integers(0, 1),
    )
    def call_flow(
        self, kind: str, n: int, script: Any, limit: int | None, retries: int
    ) -> None:
        told = flow(name="outer", timeout_seconds=limit, retries=retries)(
            self.world.story
        )
        self.call(lambda: told.acall(n, kind, script, 0))

    # -- what holds --------------------------------------------------------------------

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        if not hasattr(self, "runtime"):
            return
        assert not self.world.gauge.wrong
        assert not self.runtime.stats()["zombies"]
        self.settle()

    def settle(self) -> None:
        """A body that waits for the runs of a flow in it may be left behind, and ends."""
        until = time.monotonic() + SECONDS_TO_END
        pause = threading.Event()
        while self.runtime.stats()["abandoned_threads"]:
            assert time.monotonic() < until
            pause.wait(0.001)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_what_plain_bodies_do_at_once_ends_once_within_its_limits() -> None:
    run_at_once(PlainCode, examples=100, steps=40)
