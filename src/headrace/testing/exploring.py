"""Run a test many times, each time with its tasks taking their steps in another order."""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, ParamSpec, TypeVar, overload

from headrace.testing.clock import VirtualTimeLoop

__all__ = ("ShufflingLoop", "explore")

P = ParamSpec("P")
T = TypeVar("T")

_SEEDS: Final = range(100)


class ShufflingLoop(VirtualTimeLoop):
    """Virtual time, and of the asyncio tasks that are ready any may go on next.

    Which one is drawn at random, the same with the same seed. Callbacks keep their
    order among each other, as asyncio promises that; nothing promises it for tasks.

    Args:
        seed: Gives the order.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        # The loop's own queue has this name in every CPython that we support.
        self._ready = _ShuffledQueue(random.Random(seed))  # noqa: S311 - no secret


class _ShuffledQueue(deque[asyncio.Handle]):
    """Gives out callbacks in their order, and in between steps of tasks in any."""

    def __init__(self, draw: random.Random) -> None:
        super().__init__()
        self._draw = draw

    def popleft(self) -> asyncio.Handle:
        place = self._draw.randrange(len(self))
        if not _is_step(self[place]):
            # By place: threads may add to it meanwhile, which ends an iteration.
            places = range(len(self))
            place = next(i for i in places if not _is_step(self[i]))
        drawn = self[place]
        del self[place]
        return drawn


def _is_step(handle: asyncio.Handle) -> bool:
    """Whether it lets an asyncio task go on, rather than calling a function."""
    callback = getattr(handle, "_callback", None)
    return isinstance(getattr(callback, "__self__", None), asyncio.Task)


@overload
def explore(
    fn: Callable[P, Coroutine[Any, Any, object]], /, *, seeds: Iterable[int] = ...
) -> Callable[P, None]: ...
@overload
def explore(
    fn: None = None, /, *, seeds: Iterable[int] = ...
) -> Callable[[Callable[P, Coroutine[Any, Any, object]]], Callable[P, None]]: ...
def explore(fn: Any = None, /, *, seeds: Iterable[int] = _SEEDS) -> Any:
    """Make a coroutine test one that is run under many orders of its tasks.

    ``@explore`` or ``@explore(seeds=range(1000))`` above ``async def test_...``: pytest
    sees a plain test of the same arguments. ``explore(scenario)()`` does the same
    without pytest. Each run has a loop of its own in virtual time, a `ShufflingLoop`,
    and `random` seeded alike. The first one that fails ends the test, and its error
    names the seed: ``explore(seeds=[that])`` fails the same way.

    It finds what depends on the order in which coroutines go on: updates that are lost
    across an ``await``, events that are set too early. Bodies of plain tasks run in
    threads, whose order nobody can give again. A fixture has one value for all runs, so
    make what a run changes inside of the test.

    Args:
        fn: A coroutine function.
        seeds: One run for each.

    Raises:
        TypeError: ``fn`` is no coroutine function, or ``seeds`` are no whole numbers.
        ValueError: There are no seeds.
    """
    tried = _checked(seeds)

    def explored(
        fn: Callable[P, Coroutine[Any, Any, object]],
    ) -> Callable[P, None]:
        if not inspect.iscoroutinefunction(fn):
            raise TypeError(
                f"explore() got {fn!r}, which is no coroutine function: plain code has "
                f"one order only. Write `async def`."
            )

        @functools.wraps(fn)
        def run_all(*args: P.args, **kwargs: P.kwargs) -> None:
            for seed in tried:
                _run_once(seed, functools.partial(fn, *args, **kwargs))

        return run_all

    return explored if fn is None else explored(fn)


def _checked(seeds: Any) -> tuple[int, ...]:
    if isinstance(seeds, int):
        raise TypeError(
            f"explore(seeds={seeds!r}) may mean one seed or so many. Write "
            f"seeds=[{seeds!r}] for that one, or seeds=range({seeds!r})."
        )
    tried = tuple(seeds)
    if not all(isinstance(seed, int) for seed in tried):
        raise TypeError(f"explore(seeds={tried!r}): seeds are whole numbers.")
    if not tried:
        raise ValueError("explore(seeds=...) got no seeds. Leave it out for 100 runs.")
    return tried


def _run_once(seed: int, main: Callable[[], Coroutine[Any, Any, object]]) -> None:
    before = random.getstate()
    random.seed(seed)
    try:
        with asyncio.Runner(
            loop_factory=functools.partial(ShufflingLoop, seed)
        ) as runner:
            runner.run(main())
    except BaseException as error:
        error.add_note(
            f"explore: this was seed {seed}. Write explore(seeds=[{seed}]) to see it "
            f"fail again."
        )
        raise
    finally:
        random.setstate(before)
