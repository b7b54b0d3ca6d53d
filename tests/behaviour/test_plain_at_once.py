"""What holds while plain tasks are submitted, called, limited, streamed and cancelled.

Hypothesis draws what happens; in which order threads go on nobody can draw, so an example
that fails may pass the next time. The twin for coroutine code is `test_everything_at_once`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Mapping
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
)
from headrace.caching import MemoryCache
from headrace.exceptions import DeadlineExceeded, HeadraceError
from headrace.states import is_allowed
from headrace.testing import Recorder, ShufflingLoop

ALL, DB, TWO, THREADS = 6, 1, 2, 3  # places
HOURS = 10_000  # virtual seconds: by then all has ended, or hangs

SECONDS_TO_END = 5.0  # real ones, for a thread

PLAIN: Final = (
    *("bare", "hooked", "retried", "timed", "db", "two", "keyed"),
    *("cached", "cached_db", "interrupted"),
)
KINDS: Final = (*PLAIN, "coro", "coro_db", "coro_timed")

LEAVES: Final = st.one_of(
    st.tuples(st.just("sleep"), st.sampled_from([0, 0, 1, 3])),
    st.tuples(st.just("raise"), st.sampled_from([1, 9])),  # in so many attempts
    st.tuples(st.just("stubborn"), st.just(2)),
)


def steps(inner: Any = None) -> Any:
    if inner is None:
        return st.lists(LEAVES, max_size=2)
    verbs = "submit", "call", "call", "forget", "map", "stream", "flow"
    child = st.tuples(st.sampled_from(verbs), st.sampled_from(KINDS), inner)
    return st.lists(LEAVES | child, max_size=3)


SCRIPTS: Final = steps(steps(steps()))


class Boom(Exception):
    """What bodies raise."""


class Gauge:
    """Places that bodies have at this moment, counted by the bodies themselves."""

    def __init__(self) -> None:
        self.used: Counter[Any] = Counter()
        self.wrong: list[Any] = []
        self._lock = threading.Lock()

    def take(self, places: Mapping[Any, int]) -> None:
        with self._lock:
            for name, most in places.items():
                self.used[name] += 1
                if self.used[name] > most:
                    self.wrong.append((name, self.used[name], most))

    def give(self, places: Mapping[Any, int]) -> None:
        with self._lock:
            for name in places:
                self.used[name] -= 1

    @contextlib.contextmanager
    def lent(self, places: dict[Any, int]) -> Generator[None]:
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
        self.hooked: list[tuple[str, str]] = []
        self.bodies: list[str] = []
        self.limits = {
            "two": Limit(TWO),
            "keyed": Limit(1, key=lambda parameters: parameters["n"] % 2),
            "db": Limit(DB),
        }
        self.nap = task(name="nap")(asyncio.sleep)
        self.kinds = self.made()
        self.cache = MemoryCache()

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

        what = "completion", "failure", "cancellation", "crashed"
        heard = {f"on_{each}": [functools.partial(self.hook, each)] for each in what}
        slowly = {
            f"on_{each}": [functools.partial(self.slow_hook, each)] for each in what
        }
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

    def hook(self, what: str, _: Any, run: Any, __: Any) -> None:
        self.hooked.append((str(run.id), what))

    async def slow_hook(self, what: str, _: Any, run: Any, __: Any) -> None:
        await asyncio.sleep(0)  # longer, and a limit would leave its thread behind
        self.hooked.append((str(run.id), what))

    def around(self, run: Any, call_next: Any) -> Any:
        self.bodies.append(str(run.id))
        return call_next()

    async def around_on_loop(self, run: Any, call_next: Any) -> Any:
        self.bodies.append(str(run.id))
        return await call_next()

    def places(self, kind: str, n: int, how: str) -> dict[Any, int]:
        if kind == "interrupted":
            return {}  # between any two steps, so it cannot count
        found: dict[Any, int] = {}
        if kind == "two":
            found["two"] = TWO
        if kind == "keyed":
            found["keyed", n % 2] = 1
        if kind.endswith("db"):
            found["db"] = DB
        if how == "submitted":
            found["all"] = ALL
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

    def step(self, n: int, depth: int, step: Any, places: dict[Any, int]) -> None:
        verb, what = step[:2]
        if verb == "sleep":
            with self.gauge.lent(places):
                _ = self.nap.submit(what).result()
        elif verb == "raise":
            context: Any = get_run_context()
            if context.task_run.run_count <= what:
                raise Boom
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
        self, n: int, depth: int, step: Any, places: dict[Any, int]
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


def key_of(context: Any, parameters: Mapping[str, Any]) -> str:
    return f"{context.task.name} {parameters['n']} {parameters['depth']}"


NUMBERS: Final = st.integers(0, 5)
PLACE: Final = st.integers(0, 50)


class PlainCode(RuleBasedStateMachine):
    """One runtime after the other, and all that plain bodies can do in it."""

    @initialize(
        seed=st.integers(0, 10_000),
        pending=st.sampled_from([None, 3]),
        threads=st.sampled_from([1, THREADS]),
        history=st.sampled_from(["full", "off"]),
    )
    def begin(self, seed: int, pending: int | None, threads: int, history: Any) -> None:
        make = functools.partial(ShufflingLoop, seed)
        self.runner = asyncio.Runner(loop_factory=make)
        self.world = World()
        self.futures: list[Any] = []
        self.callers: list[asyncio.Task[Any]] = []
        self.runtime = Runtime(
            limits={"db": self.world.limits["db"]},
            max_concurrency=ALL,
            max_pending=pending,
            max_threads=threads,
            observers=[self.world.recorder],
            middleware=[self.world.around, self.world.around_on_loop],
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
            mapped = self.world.kinds[kind].map(
                range(n, n + 4), unmapped(script), 0, "submitted"
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
    def call_task(self, kind: str, n: int, script: Any) -> None:
        how = "submitted" if kind in PLAIN else "called"
        self.call(lambda: self.world.kinds[kind].acall(n, script, 0, how))

    @rule(
        kind=st.sampled_from(KINDS),
        n=NUMBERS,
        script=SCRIPTS,
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

    @rule(seconds=st.sampled_from([0, 0, 0.5, 1, 2, 10]))
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

    @rule(fails=st.booleans())
    def drain(self, fails: bool) -> None:
        error = Boom() if fails else None
        kind = Boom if fails else None
        self.go(self.runtime.__aexit__(kind, error, None))
        self.await_abandoned()
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
        await asyncio.sleep(1)

    # -- what holds --------------------------------------------------------------------

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        if not hasattr(self, "runtime"):
            return
        assert not self.world.gauge.wrong
        assert not self.runtime.stats()["zombies"]
        self.await_abandoned()

    def await_abandoned(self) -> None:
        """A body that waits for the runs of a flow in it may be left behind, and ends."""
        until = time.monotonic() + SECONDS_TO_END
        pause = threading.Event()
        while self.runtime.stats()["abandoned_threads"]:
            assert time.monotonic() < until
            pause.wait(0.001)

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
        bodies = Counter(world.bodies)
        assert bodies <= running, [
            (run, n, running[run], [e.after for e in events if str(e.run.id) == run])
            for run, n in bodies.items()
            if n > running[run]
        ]
        assert not +world.gauge.used, world.gauge.used
        for name, limit in world.limits.items():
            for key in (0, 1) if name == "keyed" else (None,):
                stats = limit.stats(key)
                assert (stats["used"], stats["waiting"]) == (0, 0), (name, stats)

    def check_hooks(self) -> None:
        what = {"COMPLETED": "completion", "FAILED": "failure"}
        what |= {"CANCELLED": "cancellation", "CRASHED": "crashed"}
        silent = {"bare", "keyed", "nap", "inner", "outer"}
        expected = Counter(
            (str(each.run.id), what[each.after.type])
            for each in self.world.recorder.events
            if each.after.is_final()
            and each.after.name != "NotReady"
            and each.run.name.rsplit("-", 1)[0] not in silent
            # A flow that runs again knows what completed before, and tells nobody.
            and (each.before and each.before.name, each.after.name)
            != ("Pending", "Completed")
        )
        heard = Counter(self.world.hooked)
        assert heard == expected, (heard - expected, expected - heard)

    def teardown(self) -> None:
        if not hasattr(self, "runtime"):
            return
        try:
            self.drain(fails=False)
            self.check_hooks()
            self.go(self.runtime.__aexit__(None, None, None))
            assert not asyncio.all_tasks(self.runner.get_loop())
        finally:
            self.runner.close()


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_what_plain_bodies_do_at_once_ends_once_within_its_limits() -> None:
    slow: Any = [hypothesis.HealthCheck.too_slow]
    run_state_machine_as_test(
        PlainCode,
        settings=settings(
            max_examples=100, stateful_step_count=40, suppress_health_check=slow
        ),
    )
