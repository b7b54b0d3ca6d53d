"""What every test gets: virtual time, and a look at what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import os
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Generator

import hypothesis
import pytest
from blockbuster import blockbuster_ctx

from headrace._concurrency.interrupts import Interrupts
from headrace.testing import VirtualTimeLoop

REAL_LOOPS = [
    pytest.param(("asyncio", {"debug": True}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
]
# Threads end soon after the call that used them; a second is for busy machines.
SECONDS_TO_END = 1.0
MAY_BLOCK = [
    # Joins threads which were told to end and have nothing else left to do.
    ("headrace/_concurrency/threads.py", "close"),
    # Finds an entry of the cache in 20 us, in less than it takes to ask a thread.
    ("headrace/caching/sqlite/reader.py", "_row"),
    # Ask for the working directory, which is no file.
    ("headrace/storage/local.py", "__init__"),
    ("headrace/storage/signing.py", "of_settings"),
    ("headrace/caching/home.py", "index_path"),
    ("headrace/caching/sqlite/cache.py", "__init__"),
]

_HOMES = itertools.count()

# The second is installed as a plugin, and here for those who have not done that anew.
pytest_plugins = ["pytester", "pytest_headrace"]

hypothesis.settings.register_profile(
    "headrace", deadline=None, derandomize=True, database=None
)
hypothesis.settings.load_profile("headrace")


def pytest_configure(config: pytest.Config) -> None:
    """Let processes keep bytecode, for this session, where the environment forbids it.

    Else each that a test starts would compile all of headrace anew, in half a second.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        folder = tempfile.TemporaryDirectory(
            prefix="bytecode-", ignore_cleanup_errors=True
        )
        os.environ["PYTHONPYCACHEPREFIX"] = folder.name
        config.add_cleanup(folder.cleanup)


@pytest.fixture
def anyio_backend() -> object:
    """Virtual time, unless the test or its file is marked ``real_loops``."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    real = metafunc.definition.get_closest_marker("real_loops")
    if real and "anyio_backend" in metafunc.fixturenames:
        metafunc.parametrize("anyio_backend", REAL_LOOPS)


@pytest.fixture(autouse=True, scope="module")
def no_interrupt_is_pending() -> None:
    """Let none wait in a thread that an earlier file left stuck.

    On 3.11 code that is profiled or traced would stand still for as long as it does, and
    so would the signal that ends a test which takes too long.
    """
    Interrupts(threading.get_ident()).take_back()


@pytest.fixture(autouse=True, scope="module")
def collector_looks_at_little() -> None:
    """Have it pass over all that there is before the tests of a file.

    That is a million objects, at which it would look for 0.3 s in each full collection.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def home_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing a test stores is found by another, or stays in the user's home."""
    folder = tmp_path_factory.getbasetemp() / f"home-{next(_HOMES)}"
    monkeypatch.setenv("HEADRACE_HOME", str(folder))


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Generator[None]:
    """Fail a test that leaves behind our threads, or tasks on its own loop."""
    before = set(our_threads())
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("leaves_no_tasks_behind")
    yield
    deadline = time.monotonic() + SECONDS_TO_END
    for thread in our_threads():
        if thread not in before:
            thread.join(max(0.0, deadline - time.monotonic()))
    left = sorted(thread.name for thread in our_threads() if thread not in before)
    if left:
        pytest.fail(f"threads left behind: {', '.join(left)}", pytrace=False)


@pytest.fixture
async def leaves_no_tasks_behind(anyio_backend: object) -> AsyncGenerator[None]:
    before = asyncio.all_tasks()
    yield
    left = sorted(
        str(task)
        for task in asyncio.all_tasks() - before
        # anyio runs this very fixture in a task of its own.
        if "TestRunner." not in repr(task.get_coro())
    )
    if left:
        pytest.fail(f"tasks left behind: {', '.join(left)}", pytrace=False)


def our_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("headrace")]


@pytest.fixture
def no_blocking_calls() -> Generator[None]:
    """Fail a test in which our code makes a blocking call on an event loop."""
    with blockbuster_ctx("headrace") as watch:
        for file, function in MAY_BLOCK:
            for call in watch.functions.values():
                call.can_block_in(file, function)
        yield


@pytest.fixture(autouse=True)
def _no_blocking_calls_on_real_loops(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("real_loops"):
        request.getfixturevalue("no_blocking_calls")
