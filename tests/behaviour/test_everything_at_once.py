"""What holds while runs of all kinds are submitted, limited, cached, streamed, cancelled.

Hypothesis draws what happens, a `ShufflingLoop` the order of what is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, Final

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from headrace import (
    Limit,
    Runtime,
    allow_failure,
    deadline,
    flow,
    get_run_context,
    task,
    unmapped,
    wait,
)
from headrace.caching import MemoryCache
from headrace.exceptions import DeadlineExceeded, HeadraceError
from headrace.states import is_allowed
from headrace.testing import Recorder, ShufflingLoop

DB, API, ALL = 1, 2, 6  # places
HOURS = 10_000  # virtual seconds: by then all has ended, or hangs

# What a body does, step by step; a child is run by another body.
LEAVES: Final = st.one_of(
    st.tuples(st.just("sleep"), st.sampled_from([0, 0, 1, 3])),
    st.tuples(st.just("raise"), st.sampled_from([1, 9])),  # in so many attempts
    st.tuples(st.just("stubborn"), st.just(2)),
)
KINDS: Final = (
    *("bare", "retried", "timed", "db", "api", "both", "two", "keyed", "weighted"),
    *("rated", "cached", "cached_db", "cached_two", "cached_keyed"),
)


def steps(inner: Any = None) -> Any:
    if inner is None:
        return st.lists(LEAVES, max_size=2)
    verbs = ("submit", "submit", "await", "forget", "map", "stream", "stages")
    child = st.tuples(st.sampled_from(verbs), st.sampled_from(KINDS), inner)
    return st.lists(LEAVES | child, max_size=3)


SCRIPTS: Final = steps(steps(steps()))


class Boom(Exception):
    """What bodies raise."""


class Gauge:
    """Places that bodies have at this moment, counted by the bodies themselves."""

    def __init__(self) -> None:
        self.used: Counter[Any] = Counter()
        self.begun: list[float] = []
        self.wrong: list[Any] = []

    def take(self, places: Mapping[Any, tuple[int, int]]) -> None:
        for name, (weight, most) in places.items():
            self.used[name] += weight
            if self.used[name] > most:
                self.wrong.append((name, self.used[name], most))

    def give(self, places: Mapping[Any, tuple[int, int]]) -> None:
        for name, (weight, _) in places.items():
            self.used[name] -= weight

    @contextlib.asynccontextmanager
    async def lent(self, places: dict[Any, tuple[int, int]]) -> AsyncIterator[None]:
        self.give(places)
        try:
            yield
        except Exception:
            self.take(places)
            raise
        except BaseException:
            places.clear()  # it ends without
            raise
        self.take(places)


class World:
    """The tasks of one history, and what is known of their runs."""

    def __init__(self) -> None:
        self.gauge = Gauge()
        self.recorder = Recorder()
        self.hooked: Counter[tuple[str, str]] = Counter()
        self.bodies: Counter[str] = Counter()
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
        self.cache = MemoryCache()

    def made(self) -> dict[str, Any]:
        async def act(n: Any, script: Any, depth: int, how: str, *_: object) -> Any:
            context: Any = get_run_context()
            kind = context.task.name
            return await self.play(kind, number(n), script, depth, how)

        hooks = {
            f"on_{what}": [functools.partial(self.hook, what)]
            for what in ("completion", "failure", "cancellation", "crashed")
        }
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

    async def hook(self, what: str, _: Any, run: Any, __: Any) -> None:
        await asyncio.sleep(0)
        self.hooked[str(run.id), what] += 1

    async def around(self, run: Any, call_next: Any) -> Any:
        self.bodies[str(run.id)] += 1
        return await call_next()

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
            self.gauge.begun.append(now)
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
            context: Any = get_run_context()
            if context.task_run.run_count <= what:
                raise Boom
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
            async with self.gauge.lent(places):
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
    for number in range(first, first + 5):
        await asyncio.sleep(number % 2)
        yield number


def number(given: Any) -> int:
    """The number that a run is given, by hand or by the stage before it."""
    found: int = given if isinstance(given, int) else given[1]
    return found


def key_of(context: Any, parameters: Mapping[str, Any]) -> str:
    return f"{context.task.name} {number(parameters['n'])} {parameters['depth']}"


NUMBERS: Final = st.integers(0, 5)
PLACE: Final = st.integers(0, 50)


class Embedded(RuleBasedStateMachine):
    """One runtime after the other, and all that can be done with them."""

    @initialize(
        seed=st.integers(0, 10_000),
        pending=st.sampled_from([None, 3]),
        history=st.sampled_from(["full", "last", "off"]),
    )
    def begin(self, seed: int, pending: int | None, history: Any) -> None:
        make = functools.partial(ShufflingLoop, seed)
        self.runner = asyncio.Runner(loop_factory=make)
        self.world = World()
        self.futures: list[Any] = []
        self.streams: list[Any] = []
        self.callers: list[asyncio.Task[Any]] = []
        self.runtime = Runtime(
            limits={"db": self.world.limits["db"], "api": self.world.limits["api"]},
            max_concurrency=ALL,
            max_pending=pending,
            observers=[self.world.recorder],
            middleware=[self.world.around],
            history=history,
            cache=self.world.cache,
        )
        self.go(self.runtime.__aenter__())

    def go(self, coro: Coroutine[Any, Any, Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(HOURS):
                return await coro

        return self.runner.run(bounded())

    def call(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Have a task of the user's await something, beside all else."""

        async def quietly() -> None:
            with contextlib.suppress(Boom, TimeoutError, HeadraceError):
                await call()

        async def begin() -> None:
            self.callers.append(asyncio.create_task(quietly()))

        self.go(begin())

    # -- what happens ------------------------------------------------------------------

    @rule(
        kind=st.sampled_from(KINDS), n=NUMBERS, script=SCRIPTS, behind=st.lists(PLACE)
    )
    def submit(self, kind: str, n: int, script: Any, behind: list[int]) -> None:
        inputs = [self.futures[i % len(self.futures)] for i in behind if self.futures]
        args = n, script, 0, "submitted", *inputs[:1]
        wait_for = [allow_failure(each) for each in inputs[1:3]]

        async def submit() -> None:
            submitted = self.world.kinds[kind].submit(*args, wait_for=wait_for)
            self.futures.append(await submitted)

        self.go(submit())

    @rule(kind=st.sampled_from(KINDS), n=NUMBERS, script=SCRIPTS)
    def map(self, kind: str, n: int, script: Any) -> None:
        async def submit() -> None:
            numbers = range(n, n + 4)
            mapped = self.world.kinds[kind].map(
                numbers, unmapped(script), 0, "submitted"
            )
            self.futures.extend(await mapped)

        self.go(submit())

    @rule(
        kind=st.sampled_from(KINDS),
        n=NUMBERS,
        script=SCRIPTS,
        seconds=st.sampled_from([0.5, 1, 3]),
    )
    def map_under_a_deadline(
        self, kind: str, n: int, script: Any, seconds: float
    ) -> None:
        async def submit() -> None:
            with contextlib.suppress(DeadlineExceeded), deadline(seconds):
                mapped = self.world.kinds[kind].map(
                    range(n, n + 3), unmapped(script), 0, "submitted"
                )
                self.futures.extend(mapped)
                await mapped

        self.go(submit())

    @rule(kind=st.sampled_from(KINDS), n=NUMBERS, script=SCRIPTS)
    def call_in_place(self, kind: str, n: int, script: Any) -> None:
        self.call(lambda: self.world.kinds[kind](n, script, 0, "awaited"))

    @rule(n=NUMBERS, script=SCRIPTS, retries=st.integers(0, 1), limit=st.booleans())
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

    @rule(kind=st.sampled_from(KINDS), n=NUMBERS, script=SCRIPTS, staged=st.booleans())
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

    @rule(seconds=st.sampled_from([0, 0.5, 1, 2, 10]))
    def advance(self, seconds: float) -> None:
        self.go(asyncio.sleep(seconds))

    @precondition(lambda self: self.futures)
    @rule(place=PLACE)
    def cancel(self, place: int) -> None:
        async def cancel() -> None:
            self.futures[place % len(self.futures)].cancel()

        self.go(cancel())

    @precondition(lambda self: self.callers)
    @rule(place=PLACE)
    def cancel_caller(self, place: int) -> None:
        async def cancel() -> None:
            self.callers[place % len(self.callers)].cancel()

        self.go(cancel())

    @precondition(lambda self: self.futures)
    @rule(place=PLACE)
    def drop(self, place: int) -> None:
        self.futures.pop(place % len(self.futures))

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

    @rule(fails=st.booleans())
    def drain(self, fails: bool) -> None:
        error = Boom() if fails else None
        kind = Boom if fails else None
        self.go(self.runtime.__aexit__(kind, error, None))
        for future in self.futures:
            assert future.state.is_final()
        assert self.runtime.stats() == dict.fromkeys(self.runtime.stats(), 0)
        self.go(self.end_callers())
        self.check_ends()
        self.futures.clear()
        self.go(self.runtime.__aenter__())

    async def end_callers(self) -> None:
        for caller in self.callers:
            caller.cancel()
        await asyncio.gather(*self.callers, return_exceptions=True)
        self.callers.clear()
        self.streams.clear()
        await asyncio.sleep(1)

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
        world = self.world
        events = world.recorder.events
        for each in events:
            assert each.before is None or is_allowed(each.before.type, each.after.type)
        finals = Counter(str(each.run.id) for each in events if each.after.is_final())
        assert finals == Counter(str(e.run.id) for e in events if e.before is None)
        running = Counter(
            str(each.run.id) for each in events if each.after.type == "RUNNING"
        )
        assert world.bodies <= running
        assert not +world.gauge.used, world.gauge.used
        begun = world.gauge.begun
        assert all(b - a >= 0.5 - 1e-6 for a, b in itertools.pairwise(begun)), begun
        for name, limit in world.limits.items():
            for key in (0, 1) if name == "keyed" else (None,):
                stats = limit.stats(key)
                assert (stats["used"], stats["waiting"]) == (0, 0), (name, stats)

    def check_hooks(self) -> None:
        what = {"COMPLETED": "completion", "FAILED": "failure"}
        what |= {"CANCELLED": "cancellation", "CRASHED": "crashed"}
        events = self.world.recorder.events
        expected = Counter(
            (str(each.run.id), what[each.after.type])
            for each in events
            if each.after.is_final()
            and each.after.name != "NotReady"
            and each.run.name.rsplit("-", 1)[0] in KINDS[1:]
            # A flow that runs again knows what completed before, and tells nobody.
            and (each.before and each.before.name, each.after.name)
            != ("Pending", "Completed")
        )
        assert self.world.hooked == expected

    def teardown(self) -> None:
        if not hasattr(self, "runtime"):
            return
        try:
            self.drain(fails=False)
            self.check_hooks()
            self.go(self.runtime.__aexit__(None, None, None))
            loop = self.runner.get_loop()
            assert not asyncio.all_tasks(loop)
        finally:
            self.runner.close()


@pytest.mark.slow
def test_what_goes_on_at_once_ends_once_within_its_limits() -> None:
    run_state_machine_as_test(
        Embedded, settings=settings(max_examples=15, stateful_step_count=20)
    )


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_same_in_ten_thousand_steps() -> None:
    slow: Any = [hypothesis.HealthCheck.too_slow]
    run_state_machine_as_test(
        Embedded,
        settings=settings(
            max_examples=250,
            stateful_step_count=40,
            suppress_health_check=slow,
        ),
    )
