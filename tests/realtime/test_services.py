"""A service that is told to stop under load: what only another process can show."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

BOUND = 10.0
REQUESTS = 200
GRACE_SECONDS = 20.0  # of the example; a run of it takes half a second

OWN_SERVER = """
import sys, threading
sys.path.insert(0, "examples")
import service
service.main(0)
left = [each.name for each in threading.enumerate() if each.name.startswith("headrace")]
print("threads left:", left, flush=True)
"""

SERVER_OF_OTHERS = """
import logging, sys
sys.path.insert(0, "examples")
import uvicorn, service
logging.basicConfig(level=logging.INFO)
uvicorn.run(service.app, port=0)
print("never reached", flush=True)
"""


class Service:
    """The example in a process of its own, and a client of it."""

    def __init__(self, program: str) -> None:
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-W", "ignore", "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path("src").resolve())},
        )
        self.log = ""
        self.port = int(self._wait_for(r"running on http://[\d.]+:(\d+)"))

    def _wait_for(self, pattern: str) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log += line
            if found := re.search(pattern, line):
                return found[1]
        pytest.fail(f"the service ended without {pattern!r}:\n{self.log}")

    async def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        """The status and the body of an answer. Two hundred of these take no time."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"{method} {path} HTTP/1.0\r\nhost: test\r\n\r\n".encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return int(head.split()[1]), body

    async def until(self, name: str, least: int) -> None:
        """Look at the live counters until one of them is so large."""
        async with asyncio.timeout(BOUND):
            while json.loads((await self.ask("/live"))[1])[name] < least:
                pass

    async def order(self, count: int) -> list[asyncio.Task[tuple[int, str]]]:
        """So many requests that have all begun and go on."""
        ask = self.ask
        sent = [
            asyncio.create_task(ask(f"/orders/{number}", "POST"))
            for number in range(count)
        ]
        await self.until("open_runs", count)
        return sent

    async def stop(self) -> float:
        """Send SIGTERM; when it was heard."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(BOUND):
            while (await self.ask("/ready"))[0] != 503:
                pass
        return time.monotonic()

    async def end(self) -> tuple[int, str]:
        """The exit code, and what was printed."""
        out, errors = await asyncio.to_thread(self.process.communicate, timeout=15)
        self.log += errors
        return self.process.returncode, out


@pytest.fixture
def anyio_backend() -> Any:
    return "asyncio", {"use_uvloop": False}


@asynccontextmanager
async def serving(program: str) -> AsyncGenerator[Service]:
    service = await asyncio.to_thread(Service, program)
    try:
        yield service
    finally:
        service.process.kill()
        await asyncio.to_thread(service.process.communicate)


async def test_a_service_under_load_answers_what_has_begun_and_exits_with_0() -> None:
    async with serving(OWN_SERVER) as service:
        await service.ask("/import", "POST")
        await service.until("stored", 1_000)
        sent = await service.order(REQUESTS)

        began = await service.stop()
        late = [await service.ask("/orders/1", "POST") for _ in range(20)]
        answers = await asyncio.gather(*sent)
        code, out = await service.end()

    assert Counter(status for status, _ in answers) == {200: REQUESTS}
    assert answers[7][1] == '{"parts":[70,71,72]}'
    assert Counter(status for status, _ in late) == {503: 20}
    assert code == 0
    assert out.endswith("\nthreads left: []\n")
    assert time.monotonic() - began < GRACE_SECONDS
    assert "every run had ended" in service.log
    assert "Application shutdown complete" in service.log
    for trouble in ("Traceback", "destroyed", "pending", "never awaited", "ERROR"):
        assert trouble not in service.log


async def test_a_plain_uvicorn_ends_the_lifespan_before_its_signal_ends_it() -> None:
    async with serving(SERVER_OF_OTHERS) as service:
        sent = await service.order(REQUESTS)
        await service.ask("/import?count=1000000", "POST")

        service.process.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*sent)
        code, out = await service.end()

    assert Counter(status for status, _ in answers) == {200: REQUESTS}
    assert code == -signal.SIGTERM  # 143 in a shell
    assert "never reached" not in out
    assert "the runtime was drained in" in service.log
    assert "every run had ended" in service.log
    assert "Application shutdown complete" in service.log
    assert "Traceback" not in service.log
    assert "pending" not in service.log


async def test_a_service_that_is_told_twice_waits_no_longer() -> None:
    async with serving(OWN_SERVER) as service:
        sent = await service.order(20)
        await service.stop()

        service.process.send_signal(signal.SIGTERM)
        code, out = await service.end()
        answers = await asyncio.gather(*sent)

    assert set(answers) == {(503, "the service is stopping\n")}
    assert code == 0
    assert out.endswith("\nthreads left: []\n")
    assert "runs cancelled: 20 (" in service.log
    assert "Traceback" not in service.log
    assert "pending" not in service.log
