"""What holds while runs of all kinds are submitted, limited, cached, streamed, cancelled.

Hypothesis draws what happens, a `ShufflingLoop` the order of what is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import initialize, invariant, precondition, rule

from headrace import Limit, flow, get_run_context, task, unmapped, wait
from tests.behaviour import at_once
from tests.behaviour.at_once import (
    ALL,
    DB,
    KIND,
    NUMBERS,
    PLACE,
    SCRIPT,
    SEEDS,
    AtOnce,
    key_of,
    number,
    raise_in_attempts,
    run_at_once,
    scripts_of,
)

API = 2  # places

KINDS: Final = (
    *("bare", "retried", "timed", "db", "api", "both", "two", "keyed", "weighted"),
    *("rated", "cached", "cached_db", "cached_two", "cached_keyed"),
)
VERBS: Final = ("submit", "submit", "await", "forget", "map", "stream", "stages")


class World(at_once.World):
    """Tasks of coroutine functions, and all ways to run them."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[float] = []  # bodies at a rate
        self.limits = {
            "two": Limit(2),
            "keyed": Limit(1, key=lambda parameters: number(parameters["n"]) % 2),
            "weighted": Limit(
                3, weight=lambda parameters: number(parameters["n"]) % 3 + 1
            ),
            "rated": Limit(rate="2/s"),
            "db": Limit(DB),
            "api": Limit(API),
        }
        self.kinds = self.made()

    def made(self) -> dict[str, Any]:
        async def act(n: Any, script: Any, depth: int, how: str, *_: object) -> Any:
            context: Any = get_run_context()
            kind = context.task.name
            return await self.play(kind, number(n), script, depth, how)

        hooks = self.heard(self.slow_hook)
        cached: dict[str, Any] = {"persist_result": False, "cache_key_fn": key_of}
        options: dict[str, dict[str, Any]] = {
            "bare": {},
            "retried": {"retries": 2, "retry_delay_seconds": [0, 2]},
            "timed": {"timeout_seconds": 2, "retries": 1},
            "db": {"tags": ["db"]},
            "api": {"tags": ["api"], "retries": 1, "retry_delay_seconds": 1},
            "both": {"tags": ["db", "api"]},
            "two": {"timeout_seconds": 4},
            "keyed": {},
            "weighted": {"tags": ["api"]},
            "rated": {},
            "cached": cached,
            "cached_db": {**cached, "tags": ["db"], "retries": 1},
            "cached_two": {**cached, "timeout_seconds": 3},
            "cached_keyed": {**cached, "tags": ["api"]},
        }
        return {
            kind: task(
                name=kind,
                concurrency_limit=self.limits.get(kind.removeprefix("cached_"))
                if kind not in ("db", "cached_db", "api")
                else None,
                **({} if kind == "bare" else hooks),
                **given,
            )(act)
            for kind, given in options.items()
        }

    def places(self, kind: str, n: int, depth: int, how: str) -> dict[Any, Any]:
        spec = self.kinds[kind]
        found: dict[Any, Any] = {}
        if kind.endswith("two"):
            found["two"] = 1, 2
        if kind.endswith("keyed"):
            found["keyed", n % 2] = 1, 1
        if kind == "weighted":
            found["weighted"] = n % 3 + 1, 3
        if "db" in spec.tags:
            found["db"] = 1, DB
        if "api" in spec.tags:
            found["api"] = 1, API
        if how == "submitted":
            found["all"] = 1, ALL
        if kind.startswith("cached"):
            found["flight", kind, n, depth] = 1, 1
        return found

    async def play(self, kind: str, n: int, script: Any, depth: int, how: str) -> Any:
        places = self.places(kind, n, depth, how)
        if kind == "rated":
            now = asyncio.get_running_loop().time()
            self.begun.append(now)
        kept = {k: v for k, v in places.items() if k[0] == "flight"}
        lendable = {k: v for k, v in places.items() if k not in kept}
        self.gauge.take(kept)
        self.gauge.take(lendable)
        try:
            for step in script:
                await self.step(n, depth, step, lendable)
        finally:
            self.gauge.give(lendable)
            self.gauge.give(kept)
        return kind, n, depth

    async def step(self, n: int, depth: int, step: Any, places: dict[Any, Any]) -> None:
        verb, what = step[:2]
        if verb == "sleep":
            await asyncio.sleep(what)
        elif verb == "raise":
            raise_in_attempts(what)
        elif verb == "stubborn":
            try:
                await asyncio.sleep(1)
            finally:
                await asyncio.sleep(what)
        else:
            child = self.kinds[what]
            args = n, step[2], depth + 1
            if verb == "forget":
                await child.submit(*args, "submitted")
                return
            with self.gauge.lent(places):
                await self.run_child(verb, child, args)

    async def run_child(self, verb: str, child: Any, args: Any) -> None:
        n, script, depth = args
        if verb == "submit":
            await (await child.submit(*args, "submitted"))
        elif verb == "await":
            await child(*args, "awaited")
        elif verb == "map":
            mapped = child.map([n, n + 1], unmapped(script), depth, "submitted")
            await mapped.aresult()
        else:
            async for _ in self.stream(child, n, script, depth, verb == "stages"):
                if n % 2:
                    break

    def stream(
        self, child: Any, n: int, script: Any, depth: int, is_staged: bool
    ) -> Any:
        rest = unmapped(script), depth, "submitted"
        stream = child.stream(
            numbers(n) if n % 3 else range(n, n + 5), *rest,
            limit=1 + n % 3, ordered=bool(n % 2), return_state=True,
        )  # fmt: skip
        if is_staged:
            then = self.kinds["bare"], self.kinds[KINDS[n % len(KINDS)]]
            for each in then:
                stream = stream.then(each, [], depth + 10, "submitted", limit=2)
        return stream


async def numbers(first: int) -> AsyncIterator[int]:
    for n in range(first, first + 5):
        await asyncio.sleep(n % 2)
        yield n


class Embedded(AtOnce):
    """All that can be done in coroutine code."""

    KINDS = KINDS
    HEARD = KINDS[1:]
    SCRIPTS = scripts_of(VERBS, KINDS)

    @initialize(
        seed=SEEDS,
        pending=st.sampled_from([None, 3]),
        history=st.sampled_from(["full", "last", "off"]),
    )
    def begin(self, seed: int, pending: int | None, history: Any) -> None:
        self.streams: list[Any] = []
        world = World()
        limits = {"db": world.limits["db"], "api": world.limits["api"]}
        self.open(seed, world, limits=limits, max_pending=pending, history=history)

    # -- what happens ------------------------------------------------------------------

    @rule(kind=KIND, n=NUMBERS, script=SCRIPT)
    def call_in_place(self, kind: str, n: int, script: Any) -> None:
        self.call(lambda: self.world.kinds[kind](n, script, 0, "awaited"))

    @rule(n=NUMBERS, script=SCRIPT, retries=st.integers(0, 1), limit=st.booleans())
    def call_flow(self, n: int, script: Any, retries: int, limit: bool) -> None:
        @flow(retries=retries, timeout_seconds=3 if limit else None)
        async def story() -> None:
            kinds = [
                self.world.kinds[KINDS[(n * 5 + i) % len(KINDS)]] for i in range(4)
            ]
            futures = [await each.submit(n, script, 0, "submitted") for each in kinds]
            await futures[0]
            await kinds[1](n, script, 0, "awaited")

        self.call(story)

    @rule(kind=KIND, n=NUMBERS, script=SCRIPT, staged=st.booleans())
    def open_stream(self, kind: str, n: int, script: Any, staged: bool) -> None:
        async def begin() -> None:
            made = self.world.stream(self.world.kinds[kind], n, script, 0, staged)
            self.streams.append(made)

        self.go(begin())

    @precondition(lambda self: self.streams)
    @rule(place=PLACE, count=st.integers(1, 3))
    def pull(self, place: int, count: int) -> None:
        stream = self.streams[place % len(self.streams)]

        async def pull() -> None:
            for _ in range(count):
                with contextlib.suppress(StopAsyncIteration):
                    await anext(stream)

        self.call(pull)

    @precondition(lambda self: self.streams)
    @rule(place=PLACE, closes=st.booleans())
    def leave_stream(self, place: int, closes: bool) -> None:
        stream = self.streams.pop(place % len(self.streams))
        if closes:
            self.call(stream.aclose)

    @precondition(lambda self: self.futures)
    @rule(place=PLACE, seconds=st.sampled_from([0, 1, 5]))
    def wait(self, place: int, seconds: float) -> None:
        future = self.futures[place % len(self.futures)]

        async def look() -> None:
            state = await future.astate(timeout=seconds)
            assert state is None or state.is_final()
            done, not_done = await wait(self.futures[-3:], timeout=seconds)
            assert len(done) + len(not_done) == len(set(self.futures[-3:]))

        self.go(look())

    async def end_callers(self) -> None:
        await super().end_callers()
        self.streams.clear()

    # -- what holds --------------------------------------------------------------------

    @invariant()
    def the_snapshot_tells_what_goes_on(self) -> None:
        if not hasattr(self, "runtime"):
            return
        assert not self.world.gauge.wrong

        async def look() -> Any:
            return self.runtime.snapshot(), [*self.world.recorder.events]

        snapshot, events = self.go(look())
        assert len({run.id for run in snapshot.runs}) == len(snapshot.runs)
        assert snapshot.stats["zombies"] == snapshot.stats["abandoned_threads"] == 0
        # A flow that runs again may give an id twice.
        begun = Counter(str(each.run.id) for each in events if each.before is None)
        ended = Counter(str(each.run.id) for each in events if each.after.is_final())
        told = {run.id for run in snapshot.runs}
        last = {str(each.run.id): (each.run.name, each.after) for each in events}
        # Those that have ended and are told still wait for their hooks.
        wrong = [last.get(id_) for id_ in (begun - ended).keys() - told]
        assert not wrong, (wrong, str(snapshot))
        assert str(snapshot)

    def check_ends(self) -> None:
        super().check_ends()
        begun = self.world.begun
        assert all(b - a >= 0.5 - 1e-6 for a, b in itertools.pairwise(begun)), begun


@pytest.mark.slow
def test_what_goes_on_at_once_ends_once_within_its_limits() -> None:
    run_at_once(Embedded, examples=15, steps=20)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_same_in_ten_thousand_steps() -> None:
    run_at_once(Embedded, examples=250, steps=40)
