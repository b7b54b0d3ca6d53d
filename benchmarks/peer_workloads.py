"""The same two workloads on other systems: many calls at once, and a chain of calls.

Each is written as that system's own documentation would, with what it is best at: a
coroutine function where it takes one. What it takes to start it is not in the clock.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import tempfile
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.bodies import inc, plain
from headrace import Runtime, task
from headrace._concurrency.loops import new_event_loop

__all__ = ("PEERS", "Peer", "Workloads")

THREADS = 8


@dataclass(frozen=True, slots=True)
class Workloads:
    """Given how many calls: their results, and the result of the last of a chain."""

    map: Callable[[int], list[int]]
    chain: Callable[[int], int] | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """One system: where its version is looked up, and how it is opened."""

    package: str | None
    open: Callable[[], AbstractContextManager[Workloads]]


def _module(name: str) -> Any:
    """Not at the top: each system is imported only in the process that measures it."""
    return importlib.import_module(name)


@contextmanager
def _on_a_loop(mapped: Any, chained: Any = None) -> Generator[Workloads]:
    """Workloads from coroutine functions, on one loop."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        yield Workloads(
            lambda n: runner.run(mapped(n)),
            (lambda n: runner.run(chained(n))) if chained else None,
        )


def bare_asyncio() -> AbstractContextManager[Workloads]:
    async def mapped(n: int) -> list[int]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(inc(i)) for i in range(n)]
        return [each.result() for each in tasks]

    async def chained(n: int) -> int:
        x = 0
        for _ in range(n):
            x = await asyncio.create_task(inc(x))
        return x

    return _on_a_loop(mapped, chained)


def anyio() -> AbstractContextManager[Workloads]:
    groups = _module("anyio")

    async def mapped(n: int) -> list[int]:
        results = [0] * n

        async def one(i: int) -> None:
            results[i] = await inc(i)

        async with groups.create_task_group() as group:
            for i in range(n):
                group.start_soon(one, i)
        return results

    return _on_a_loop(mapped)


def aiometer() -> AbstractContextManager[Workloads]:
    run_on_each = _module("aiometer").run_on_each
    results: list[int] = []

    async def one(i: int) -> None:
        results.append(await inc(i))

    async def mapped(n: int) -> list[int]:
        results.clear()
        await run_on_each(one, list(range(n)), max_at_once=100)
        return results

    return _on_a_loop(mapped)


@contextmanager
def futures() -> Generator[Workloads]:
    with ThreadPoolExecutor(THREADS) as pool:

        def chained(n: int) -> int:
            x = 0
            for _ in range(n):
                x = pool.submit(plain, x).result()
            return x

        yield Workloads(lambda n: list(pool.map(plain, range(n))), chained)


def headrace() -> AbstractContextManager[Workloads]:
    inc_task = task(inc)

    async def mapped(n: int) -> list[int]:
        async with Runtime():
            return await inc_task.map(range(n)).aresult()

    async def chained(n: int) -> int:
        async with Runtime():
            last: Any = 0
            for _ in range(n):
                last = inc_task.submit(last)
            return await last.aresult()

    return _on_a_loop(mapped, chained)


@contextmanager
def headrace_plain() -> Generator[Workloads]:
    plain_task = task(plain)

    def chained(n: int) -> int:
        last: Any = 0
        for _ in range(n):
            last = plain_task.submit(last)
        return last.result()

    with Runtime(max_threads=THREADS):
        yield Workloads(lambda n: plain_task.map(range(n)).result(), chained)


@contextmanager
def dask_threads() -> Generator[Workloads]:
    dask = _module("dask")
    delayed = dask.delayed(plain, pure=False)

    def mapped(n: int) -> list[int]:
        calls = [delayed(i) for i in range(n)]
        return list(dask.compute(*calls, scheduler="threads", num_workers=THREADS))

    def chained(n: int) -> int:
        last = 0
        for _ in range(n):
            last = delayed(last)
        return dask.compute(last, scheduler="threads", num_workers=THREADS)[0]

    # Or the graph of a chain would be made into one call.
    with dask.config.set({"optimization.fuse.active": False}):
        yield Workloads(mapped, chained)


@contextmanager
def dask_distributed() -> Generator[Workloads]:
    client_type = _module("distributed").Client
    with client_type(
        processes=False, n_workers=1, threads_per_worker=THREADS, dashboard_address=None
    ) as client:

        def chained(n: int) -> int:
            last: Any = 0
            for _ in range(n):
                last = client.submit(plain, last, pure=False)
            return last.result()

        yield Workloads(
            lambda n: client.gather(client.map(plain, range(n), pure=False)), chained
        )


@contextmanager
def ray() -> Generator[Workloads]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    rays = _module("ray")
    rays.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    remote = rays.remote(plain)

    def chained(n: int) -> int:
        last = 0
        for _ in range(n):
            last = remote.remote(last)
        return rays.get(last)

    try:
        yield Workloads(
            lambda n: rays.get([remote.remote(i) for i in range(n)]), chained
        )
    finally:
        rays.shutdown()


@contextmanager
def prefect() -> Generator[Workloads]:
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(
            PREFECT_HOME=home,
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            PREFECT_SERVER_ALLOW_EPHEMERAL_MODE="true",
            PREFECT_LOGGING_LEVEL="ERROR",
            DO_NOT_TRACK="1",
        )
        prefects = _module("prefect")
        inc_task = prefects.task(plain)

        @prefects.flow
        def maps(n: int) -> list[int]:
            return inc_task.map(range(n)).result()

        @prefects.flow
        def chains(n: int) -> int:
            last: Any = 0
            for _ in range(n):
                last = inc_task.submit(last)
            return last.result()

        yield Workloads(maps, chains)


@contextmanager
def dbos() -> Generator[Workloads]:
    dbos_type = _module("dbos").DBOS
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/dbos.sqlite"
        dbos_type(
            config={
                "name": "peers",
                "system_database_url": url,
                "log_level": "ERROR",
                "run_admin_server": False,
            }
        )
        step = dbos_type.step()(inc)

        @dbos_type.workflow()
        async def mapped(n: int) -> list[int]:
            return await asyncio.gather(*[step(i) for i in range(n)])

        @dbos_type.workflow()
        async def chained(n: int) -> int:
            x = 0
            for _ in range(n):
                x = await step(x)
            return x

        dbos_type.launch()
        with _on_a_loop(mapped, chained) as workloads:
            yield workloads


PEERS: Mapping[str, Peer] = {
    "asyncio.TaskGroup": Peer(None, bare_asyncio),
    "anyio": Peer("anyio", anyio),
    "aiometer": Peer("aiometer", aiometer),
    "ThreadPoolExecutor": Peer(None, futures),
    "headrace": Peer("headrace", headrace),
    "headrace, plain": Peer("headrace", headrace_plain),
    "Dask, threads": Peer("dask", dask_threads),
    "Dask distributed": Peer("distributed", dask_distributed),
    "Ray": Peer("ray", ray),
    "Prefect": Peer("prefect", prefect),
    "DBOS, SQLite": Peer("dbos", dbos),
}
