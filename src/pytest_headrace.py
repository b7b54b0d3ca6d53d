"""The pytest plugin of headrace: the fixtures `runtime`, `virtual_clock`, `recorded_runs`.

pytest loads this at each start, in every project that has headrace installed. So it
stands apart from the package, and imports that when a test asks for a fixture.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Generator
from typing import Any, Final, cast

import pytest

__all__ = ("pytest_pyfunc_call", "recorded_runs", "runtime", "virtual_clock")

_CLOCK: Final = "virtual_clock"
_KEY: Final = pytest.StashKey[Any]()  # the clock of a test, on its item


@pytest.fixture
def virtual_clock(request: pytest.FixtureRequest) -> Generator[Any]:
    """A `headrace.testing.VirtualClock`: ``virtual_clock.run(main())`` in virtual time.

    A coroutine test that asks for it is run on it; no other plugin is needed.
    """
    from headrace.testing import VirtualClock  # noqa: PLC0415 - see above

    item = cast("pytest.Item", request.node)
    _refuse_other_loops(item)
    with VirtualClock() as clock:
        item.stash[_KEY] = clock
        yield clock


@pytest.fixture
def runtime(request: pytest.FixtureRequest) -> Generator[Any]:
    """A `headrace.Runtime`, entered for the test; what still goes on is cancelled.

    In a coroutine test, and in a plain one that asks for ``virtual_clock`` as well, it
    is current in what runs on that clock. In any other plain test it is current in the
    test itself, as by ``with Runtime():``, and time is real.
    """
    from headrace import Runtime  # noqa: PLC0415

    runtime = Runtime(history="full")
    ended = RuntimeError("the test has ended")  # leaving so cancels what goes on
    if not _is_on_clock(request):
        runtime.__enter__()
        yield runtime
        runtime.__exit__(RuntimeError, ended, None)
        return
    clock = request.getfixturevalue(_CLOCK)
    clock.run(runtime.__aenter__())
    clock.enter(runtime.use)
    yield runtime
    clock.leave()
    clock.run(runtime.__aexit__(RuntimeError, ended, None))


@pytest.fixture
def recorded_runs(runtime: Any) -> Any:
    """The runs of ``runtime`` by name: a `headrace.testing.RecordedRuns`."""
    from headrace.testing import RecordedRuns  # noqa: PLC0415

    return RecordedRuns(runtime)


@pytest.hookimpl(hookwrapper=True)  # the newer form breaks pytest 7 at its start
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None]:
    """Run a coroutine test that asks for our fixtures on its virtual clock.

    Before the plugins that run coroutine tests look at it: they find a plain one.
    """
    clock, test = pyfuncitem.stash.get(_KEY, None), pyfuncitem.obj
    if clock is None or not inspect.iscoroutinefunction(test):
        yield
        return
    pyfuncitem.obj = _run_on(clock, test)
    yield
    pyfuncitem.obj = test


def _run_on(clock: Any, test: Any) -> Any:
    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        __tracebackhide__ = True
        clock.run(test(**arguments))

    return run


def _is_on_clock(request: pytest.FixtureRequest) -> bool:
    is_coroutine = inspect.iscoroutinefunction(getattr(request, "function", None))
    return is_coroutine or _CLOCK in request.fixturenames


def _refuse_other_loops(item: pytest.Item) -> None:
    """Fail a test that pytest-asyncio would run on a loop of its own."""
    if item.get_closest_marker("asyncio") is not None:
        pytest.fail(
            f"{item.name} asks for a virtual clock, and pytest-asyncio runs it "
            f"on a loop of its own. Take the asyncio marker away (asyncio_mode = "
            f'"strict" marks nothing by itself), so that it runs on the clock; or do '
            f"without the fixtures, and write `async with Runtime() as runtime:`.",
            pytrace=False,
        )
