"""A whole service: requests, a background job, live counters, and a graceful stop.

    pip install fastapi uvicorn
    python examples/service.py              # then, in another terminal:

    curl localhost:8000/quote/7             # three suppliers, asked under a deadline
    curl localhost:8000/seal/text           # a plain endpoint
    curl -X POST localhost:8000/orders/7    # tasks that submit tasks
    curl -X POST localhost:8000/import      # 100 000 rows, in the background
    curl localhost:8000/live                # how far it is, and what goes on
    kill -TERM <pid>                        # or Ctrl-C; twice, to wait for nothing

When it is told to stop it answers what has begun, refuses what is new with 503, lets the
import come to the end of its present rows, and exits with 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import signal
import sys
from collections.abc import AsyncGenerator, Generator

import uvicorn
from fastapi import FastAPI, HTTPException

from headrace import Limit, Runtime, as_completed, deadline, task

GRACE_SECONDS = 20.0
ROWS = 100_000

app = FastAPI()
runtime = Runtime(max_threads=8)
runtime.install(app, grace_seconds=GRACE_SECONDS, ready_path="/ready")


# -- requests ----------------------------------------------------------------------


@task(retries=2, retry_delay_seconds=0.1)
async def ask_supplier(supplier: str, item: int) -> float:
    """One supplier's price. A coroutine task shares the loop of the service."""
    await asyncio.sleep(0.01 * len(supplier))
    return item * (1.0 + len(supplier) / 100)


@app.get("/quote/{item}")
async def quote(item: int, seconds: float = 2.0) -> dict[str, float]:
    """The best price that is known by the deadline; who is late is not waited for."""
    answers, best = 0, float("inf")
    # It bounds the runs and their retries, and not only this wait for them.
    with contextlib.suppress(TimeoutError), deadline(seconds):
        suppliers = ["north", "south-east", "overseas-trading"]
        futures = await ask_supplier.map(suppliers, item)
        async for future in as_completed(futures):
            answers, best = answers + 1, min(best, await future)
    if not answers:
        raise HTTPException(504, f"no supplier answered within {seconds} s")
    return {"price": best, "suppliers": answers}


@task(timeout_seconds=5)
def seal(text: str) -> str:
    """Slow on purpose. A plain task runs in a thread and leaves the loop free."""
    return hashlib.pbkdf2_hmac("sha256", text.encode(), b"salt", 20_000).hex()


@app.get("/seal/{text}")
def seal_text(text: str) -> dict[str, str]:
    """A plain endpoint, in a thread of the framework: blocking is fine here."""
    return {"seal": seal.submit(text).result()}


@task
async def take_from_shelf(item: int, shelf: int) -> int:
    """The innermost step of an order."""
    await asyncio.sleep(0.2)
    return item * 10 + shelf


@task
async def fulfil(item: int) -> list[int]:
    """A task that submits tasks: they may go on while the service stops."""
    await asyncio.sleep(0.2)
    return list(await take_from_shelf.map(item, range(3)).aresult())


@app.post("/orders/{item}")
async def order(item: int) -> dict[str, list[int]]:
    """In two steps: once begun, the second is not refused either."""
    parts = await (await fulfil.submit(item))
    checked = await (await fulfil.submit(item))
    return {"parts": sorted({*parts, *checked})}


# -- the background job ------------------------------------------------------------

progress = {"read": 0, "stored": 0}


async def rows(count: int) -> AsyncGenerator[int]:
    """Rows of a database, say; none any more once the service stops."""
    for number in range(count):
        if not runtime.is_ready:
            return
        if not number % 100:
            await asyncio.sleep(0)  # the next page
        progress["read"] += 1
        yield number


@task(concurrency_limit=Limit(rate="20000/s", burst=100))
async def store(row: int) -> int:
    """What happens to one row, at most so often in a second."""
    return row


@task
async def import_rows(count: int) -> int:
    """Never holds more than a hundred rows, however many there are."""
    async for _ in store.stream(rows(count), limit=100):
        progress["stored"] += 1
    return progress["stored"]


@app.post("/import", status_code=202)
async def start_import(count: int = ROWS) -> dict[str, str]:
    """The run belongs to the runtime: it goes on when this has been answered."""
    future = await import_rows.submit(count)
    return {"run": future.name}


# -- what goes on ------------------------------------------------------------------


@app.get("/live")
async def live() -> dict[str, int]:
    """Counters of this very moment."""
    return {**runtime.stats(), **progress}


@app.get("/runs")
async def runs() -> list[str]:
    """What each run waits for, the oldest first."""
    return [
        f"{run.name}: {run.state_name}, waits for {run.waits_for}"
        for run in runtime.snapshot(most_runs=20).runs
    ]


# -- the life of the service ---------------------------------------------------------


class Server(uvicorn.Server):
    """A server whose signals are handled here: uvicorn's own way exits with 143."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone."""
        yield


async def serve(port: int) -> None:
    """Serve until told to stop, and stop in order."""
    server = Server(uvicorn.Config(app, host="127.0.0.1", port=port))
    # Told once it waits, told twice it cancels, and then it waits for nothing more.
    graces = iter([GRACE_SECONDS, 0.0])
    stops: list[asyncio.Task[None]] = []

    async def stop(grace: float) -> None:
        # Meanwhile the server goes on: it answers what has begun, and 503 to the rest.
        await runtime.drain(grace)
        server.should_exit = True

    def told() -> None:
        grace = next(graces, None)
        if grace is not None and server.started:
            stops.append(asyncio.create_task(stop(grace)))
        else:
            server.should_exit = True
            server.force_exit = grace is None

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told)
    try:
        await server.serve()
    finally:
        for each in stops:
            each.cancel()


def main(port: int = 8000) -> None:
    """Run the service as a program."""
    logging.basicConfig(level=logging.INFO)
    asyncio.run(serve(port))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
