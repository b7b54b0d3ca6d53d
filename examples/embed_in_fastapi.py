"""Tasks in a web service: one runtime that starts, serves and ends with it.

    pip install fastapi uvicorn
    python examples/embed_in_fastapi.py         # then: curl localhost:8000/quote/7

`runtime.install(app)` is all the wiring there is. Tasks run in the process of the
service: coroutine tasks on its loop, plain ones in the runtime's threads.
"""

from __future__ import annotations

import asyncio
import hashlib

import uvicorn
from fastapi import FastAPI

from headrace import Runtime, task

app = FastAPI()
runtime = Runtime(max_threads=8)
runtime.install(app)


@task(retries=2, retry_delay_seconds=0.1, timeout_seconds=5)
async def ask_supplier(supplier: str, item: int) -> float:
    """One supplier's price. A coroutine task shares the loop of the service."""
    await asyncio.sleep(0.01)
    return item * (1.0 + len(supplier) / 100)


@task(timeout_seconds=5)
def seal(text: str) -> str:
    """Slow on purpose. A plain task runs in a thread and leaves the loop free."""
    return hashlib.pbkdf2_hmac("sha256", text.encode(), b"salt", 20_000).hex()


@app.get("/quote/{item}")
async def quote(item: int) -> dict[str, float | str]:
    """A coroutine endpoint: await the future, then its value."""
    prices = await ask_supplier.map(["north", "south-east"], item).aresult()
    sealed = await seal.submit(f"{item}: {min(prices)}")
    return {"price": min(prices), "seal": await sealed}


@app.get("/seal/{text}")
def seal_text(text: str) -> dict[str, str]:
    """A plain endpoint, in a thread of the framework: blocking is fine here."""
    return {"seal": seal.submit(text).result()}


@app.get("/stats")
async def stats() -> dict[str, int]:
    """What the runtime is doing right now."""
    return runtime.stats()


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=8000)
