"""What two state machines have in common: runs of all kinds that go on at once.

`test_everything_at_once` is about coroutine code, `test_plain_at_once` about plain code.
Each has tasks of its own, and rules beside those here.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Generator, Mapping
from typing import Any, ClassVar, Final

import hypothesis
import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from headrace import Limit, Runtime, allow_failure, deadline, get_run_context, unmapped
from headrace.caching import MemoryCache
from headrace.exceptions import DeadlineExceeded, HeadraceError
from headrace.states import is_allowed
from headrace.testing import Recorder, ShufflingLoop

DB: Final = 1  # places
ALL: Final = 6
HOURS: Final = 10_000  # virtual seconds: by then all has ended, or hangs

ENDS: Final = {
    "COMPLETED": "completion",
    "FAILED": "failure",
    "CANCELLED": "cancellation",
    "CRASHED": "crashed",
}

# What a body does, step by step; a child is run by another body.
LEAVES: Final = st.one_of(
    st.tuples(st.just("sleep"), st.sampled_from([0, 0, 1, 3])),
    st.tuples(st.just("raise"), st.sampled_from([1, 9])),  # in so many attempts
    st.tuples(st.just("stubborn"), st.just(2)),
)


def scripts_of(verbs: Collection[str], kinds: Collection[str]) -> Any:
    """Lists of steps, in which children do so too, two levels deep."""
    script: Any = st.lists(LEAVES, max_size=2)
    for _ in range(2):
        child = st.tuples(st.sampled_from([*verbs]), st.sampled_from([*kinds]), script)
        script = st.lists(LEAVES | child, max_size=3)
    return script


SEEDS: Final = st.integers(0, 10_000)
NUMBERS: Final = st.integers(0, 5)
PLACE: Final = st.integers(0, 50)
KIND: Final = st.runner().flatmap(lambda machine: st.sampled_from(machine.KINDS))
SCRIPT: Final = st.runner().flatmap(lambda machine: machine.SCRIPTS)


class Boom(Exception):
    """What bodies raise."""


def raise_in_attempts(count: int) -> None:
    context: Any = get_run_context()
    if context.task_run.run_count <= count:
        raise Boom


def number(given: Any) -> int:
    """The number that a run is given, by hand or by the stage before it."""
    found: int = given if isinstance(given, int) else given[1]
    return found


def key_of(context: Any, parameters: Mapping[str, Any]) -> str:
    return f"{context.task.name} {number(parameters['n'])} {parameters['depth']}"


class Gauge:
    """Places that bodies have at this moment, counted by the bodies themselves.

    Of each the weight, and how many there are.
    """

    def __init__(self) -> None:
        self.used: Counter[Any] = Counter()
        self.wrong: list[Any] = []
        self._lock = threading.Lock()

    def take(self, places: Mapping[Any, tuple[int, int]]) -> None:
        with self._lock:
            for name, (weight, most) in places.items():
                self.used[name] += weight
                if self.used[name] > most:
                    self.wrong.append((name, self.used[name], most))

    def give(self, places: Mapping[Any, tuple[int, int]]) -> None:
        with self._lock:
            for name, (weight, _) in places.items():
                self.used[name] -= weight

    @contextlib.contextmanager
    def lent(self, places: dict[Any, tuple[int, int]]) -> Generator[None]:
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
    """The tasks of one history, and what is known of their runs.

    Attributes:
        limits: Those of the tasks, by name.
        kinds: The tasks.
    """

    limits: Mapping[str, Limit]
    kinds: Mapping[str, Any]

    def __init__(self) -> None:
        self.gauge = Gauge()
        self.recorder = Recorder()
        self.cache = MemoryCache()
        self.hooked: list[tuple[str, str]] = []
        self.bodies: list[str] = []

    def heard(self, hook: Callable[..., Any]) -> dict[str, Any]:
        """Options for a hook that is told of every end."""
        return {f"on_{what}": [functools.partial(hook, what)] for what in ENDS.values()}

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


class AtOnce(RuleBasedStateMachine):
    """One runtime after the other, and what can be done in it.

    Attributes:
        KINDS: The names of the tasks.
        HEARD: Those whose hooks are told of every end.
        SCRIPTS: What bodies do.
    """

    KINDS: ClassVar[Collection[str]]
    HEARD: ClassVar[Collection[str]]
    SCRIPTS: ClassVar[Any]

    world: Any
    runtime: Runtime

    def open(self, seed: int, world: World, **options: Any) -> None:
        make = functools.partial(ShufflingLoop, seed)
        self.runner = asyncio.Runner(loop_factory=make)
        self.world = world
        self.futures: list[Any] = []
        self.callers: list[asyncio.Task[Any]] = []
        self.runtime = Runtime(
            max_concurrency=ALL,
            observers=[world.recorder],
            middleware=[world.around, world.around_on_loop],
            cache=world.cache,
            **options,
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

    @rule(kind=KIND, n=NUMBERS, script=SCRIPT, behind=st.lists(PLACE))
    def submit(self, kind: str, n: int, script: Any, behind: list[int]) -> None:
        inputs = [self.futures[i % len(self.futures)] for i in behind if self.futures]
        args = n, script, 0, "submitted", *inputs[:1]
        wait_for = [allow_failure(each) for each in inputs[1:3]]

        async def submit() -> None:
            submitted = self.world.kinds[kind].submit(*args, wait_for=wait_for)
            self.futures.append(await submitted)

        self.go(submit())

    @rule(kind=KIND, n=NUMBERS, script=SCRIPT)
    def map(self, kind: str, n: int, script: Any) -> None:
        async def submit() -> None:
            mapped = self.world.kinds[kind].map(
                range(n, n + 4), unmapped(script), 0, "submitted"
            )
            self.futures.extend(await mapped)

        self.go(submit())

    @rule(kind=KIND, n=NUMBERS, script=SCRIPT, seconds=st.sampled_from([0.5, 1, 3]))
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
        self.settle()
        for future in self.futures:
            assert future.state.is_final()
        assert self.runtime.stats() == dict.fromkeys(self.runtime.stats(), 0)
        self.go(self.end_callers())
        self.check_ends()
        self.futures.clear()
        self.go(self.runtime.__aenter__())

    def settle(self) -> None:
        """Wait for what may go on beside a runtime that was left."""

    async def end_callers(self) -> None:
        for caller in self.callers:
            caller.cancel()
        await asyncio.gather(*self.callers, return_exceptions=True)
        self.callers.clear()
        await asyncio.sleep(1)

    # -- what holds --------------------------------------------------------------------

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
        expected = Counter(
            (str(each.run.id), ENDS[each.after.type])
            for each in self.world.recorder.events
            if each.after.is_final()
            and each.after.name != "NotReady"
            and each.run.name.rsplit("-", 1)[0] in self.HEARD
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


def run_at_once(machine: type[AtOnce], *, examples: int, steps: int) -> None:
    slow: Any = [hypothesis.HealthCheck.too_slow]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            suppress_health_check=slow,
        ),
    )
