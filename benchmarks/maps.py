"""Many runs at once: plain sailing, watched, hooked, failing, retried, in threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.bodies import (
    bare_group,
    fail,
    fail_every_other_time,
    fail_task,
    hop,
    hop_task,
    inc,
    inc_task,
    mapped,
    nap,
    nap_task,
    plain,
    plain_task,
    retried_task,
)
from benchmarks.measure import Case, Row
from headrace import Runtime, StateChanged

BIG, SMALL = 100_000, 10_000


class Listener:
    """An observer that hears every state and does nothing."""

    def on_event(self, event: StateChanged) -> None:
        """Hear one event."""


class Reader:
    """An observer that looks at each state, so that it has to be made."""

    def on_event(self, event: StateChanged) -> None:
        """Read the type of the state that was entered."""
        event.after.type  # noqa: B018 - the look is what costs


async def on_the_loop(*_: object) -> None:
    """A hook that does nothing."""


def in_a_thread(*_: object) -> None:
    """The same."""


hooked_task = inc_task.with_options(on_completion=[on_the_loop, on_the_loop])
plainly_hooked_task = inc_task.with_options(on_completion=[in_a_thread, in_a_thread])


async def bare_threads() -> Any:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(8) as pool:
        calls = [loop.run_in_executor(pool, plain, i) for i in range(BIG)]
        return await asyncio.gather(*calls)


async def bare_failing() -> Any:
    calls = [fail(i) for i in range(SMALL)]
    return await asyncio.gather(*calls, return_exceptions=True)


async def failing() -> Any:
    async with Runtime():
        return await fail_task.map(range(SMALL), return_state=True)


async def tried_again(x: int) -> int:
    while True:
        try:
            return await fail_every_other_time(x)
        except ValueError:
            continue


def watched(
    mapped_task: Any, size: int, observers: int = 1, kind: type = Listener
) -> Case:
    """A map that so many observers hear of."""
    return mapped(mapped_task, size, observers=[kind() for _ in range(observers)])


def rows() -> list[Row]:
    """Maps of 100 000 and 10 000."""
    big: dict[str, Any] = {"size": BIG}
    small: dict[str, Any] = {"size": SMALL}
    of_inc, of_hop = bare_group(inc, BIG), bare_group(hop, BIG)
    ten_thousand = mapped(inc_task, SMALL)
    inc_100k, hop_100k = mapped(inc_task, BIG), mapped(hop_task, BIG)
    return [
        Row(name="map 100k no-ops", bare=of_inc, ours=inc_100k, budget=1.0, **big),
        Row(
            name="map 10k no-ops",
            bare=bare_group(inc, SMALL),
            ours=ten_thousand,
            budget=1.8,
            **small,
        ),
        Row(name="map 100k sleep(0)", bare=of_hop, ours=hop_100k, budget=0.8, **big),
        Row(
            name="map 10k sleep(0)",
            bare=bare_group(hop, SMALL),
            ours=mapped(hop_task, SMALL),
            budget=1.3,
            **small,
        ),
        Row(
            name="map 100k no-ops, observed",
            bare=of_inc,
            ours=watched(inc_task, BIG),
            budget=1.6,
            **big,
        ),
        Row(
            name="map 100k sleep(0), observed",
            bare=of_hop,
            ours=watched(hop_task, BIG),
            budget=1.3,
            **big,
        ),
        Row(
            name="map 100k no-ops, states read",
            bare=of_inc,
            ours=watched(inc_task, BIG, kind=Reader),
            **big,
        ),
        Row(
            name="10 observers / map 10k",
            bare=ten_thousand,
            ours=watched(inc_task, SMALL, observers=10),
            **small,
        ),
        Row(
            name="map 10k sleep(1 ms)",
            bare=bare_group(nap, SMALL),
            ours=mapped(nap_task, SMALL),
            budget=1.25,
            **small,
        ),
        Row(
            name="map 10k, all fail",
            bare=bare_failing,
            ours=failing,
            **small,
        ),
        Row(
            name="map 10k, each tried twice",
            bare=bare_group(tried_again, SMALL),
            ours=mapped(retried_task, SMALL),
            **small,
        ),
        Row(
            name="plain map 100k, 8 threads",
            bare=bare_threads,
            ours=mapped(plain_task, BIG, max_threads=8),
            budget=0.15,
            **big,
        ),
        Row(
            name="two coroutine hooks / map 10k",
            bare=ten_thousand,
            ours=mapped(hooked_task, SMALL),
            budget=1.3,
            **small,
        ),
        Row(
            name="two plain hooks over map 10k",
            bare=ten_thousand,
            ours=mapped(plainly_hooked_task, SMALL),
            budget=6.0,
            kind="over",
            **small,
        ),
    ]
