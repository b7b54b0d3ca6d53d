"""Every way to run a task, for what has to hold in all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from headrace import Runtime, flow, task
from headrace.testing import VirtualClock


class Door(NamedTuple):
    """One way to run a task.

    The task is called "it", and its flow, if there is one, "main".

    Attributes:
        place: Where the code is that runs it: "flow", "runtime" or "alone".
        code: What kind of code that is: "plain" or "coroutine".
        kind: What kind of task: the same two.
        verb: "called" (awaited, of coroutine tasks), "acalled", "submitted", "mapped".
    """

    place: str
    code: str
    kind: str
    verb: str

    @property
    def in_flow(self) -> bool:
        return self.place == "flow"

    def __call__(
        self,
        body: Callable[[], Any],
        of_flow: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """What a plain body gives, run as a task through this door."""

        def plain(x: int) -> Any:
            return body()

        async def coroutine(x: int) -> Any:
            await asyncio.sleep(0)
            return body()

        fn = plain if self.kind == "plain" else coroutine
        it = task(name="it", **options)(fn)
        use: Any = self._use_plainly if self.code == "plain" else self._use
        if self.in_flow:
            options_of_flow: Any = of_flow or {}
            use = flow(use, name="main", **options_of_flow)
        if self.code == "coroutine":
            with VirtualClock() as clock:
                return clock.run(self._in_coroutine_code(use, it))
        if self.place == "runtime":
            with Runtime():
                return use(it)
        return use(it)

    async def _in_coroutine_code(self, use: Any, it: Any) -> Any:
        if self.place == "runtime":
            async with Runtime():
                return await use(it)
        return await use(it)

    def _use_plainly(self, it: Any) -> Any:
        if self.verb == "submitted":
            return it.submit(0).value()
        if self.verb == "mapped":
            return it.map([0])[0].value()
        return it(0)

    async def _use(self, it: Any) -> Any:
        if self.verb == "acalled":
            return await it.acall(0)
        if self.verb == "submitted":
            return await (await it.submit(0))
        if self.verb == "mapped":
            return await (await it.map([0]))[0]
        return it(0) if self.kind == "plain" else await it(0)


EVERY_DOOR = [
    Door(place, code, kind, verb)
    for place in ("flow", "runtime", "alone")
    for code in ("plain", "coroutine")
    for kind in ("plain", "coroutine")
    for verb in ("called", "acalled", "submitted", "mapped")
    # Without anything around there is nothing to submit to; in plain code there is
    # nothing to await, and only in a plain body does a call block for a coroutine.
    if not (place == "alone" and verb in {"submitted", "mapped"})
    if not (code == "plain" and verb == "acalled")
    if not (code == "plain" != kind and place != "flow" and verb == "called")
]


@pytest.fixture(params=EVERY_DOOR, ids="-".join)
def every_door(request: pytest.FixtureRequest) -> Door:
    """Each way to run a task, one after the other."""
    door: Door = request.param
    return door


@pytest.fixture(
    params=[
        door
        for door in EVERY_DOOR
        if not (door.code == "coroutine" != door.kind and door.verb == "called")
    ],
    ids="-".join,
)
def every_waiting_door(request: pytest.FixtureRequest) -> Door:
    """The same without those where a run that may have to wait is refused."""
    door: Door = request.param
    return door


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, for all that is stored; the cache index is in memory."""
    folder = tmp_path / "home"
    monkeypatch.setenv("HEADRACE_HOME", str(folder))
    monkeypatch.setenv("HEADRACE_CACHE_INDEX", "memory")
    return folder
