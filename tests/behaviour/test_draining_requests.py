"""A service that is drained: which requests are answered, and how others are refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from headrace import Runtime, Settings, task

BOUND = 5  # seconds; nothing here comes near


@task
async def sleep(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@task
def double(number: int) -> int:
    return 2 * number


async def two_steps(_: Request) -> PlainTextResponse:
    first = await (await sleep.submit(5))
    second = await (await sleep.submit(5))
    return PlainTextResponse(str(first + second))


async def one_step(_: Request) -> PlainTextResponse:
    return PlainTextResponse(str(await (await sleep.submit(100))))


def plain(_: Request) -> PlainTextResponse:
    return PlainTextResponse(str(double.submit(21).result()))


async def nothing(_: Request) -> PlainTextResponse:
    return PlainTextResponse("nothing to do")


ROUTES = [
    Route("/two", two_steps),
    Route("/one", one_step),
    Route("/plain", plain),
    Route("/nothing", nothing),
]


def service(runtime: Runtime, **options: Any) -> Starlette:
    app = Starlette(routes=list(ROUTES))
    runtime.install(app, ready_path="/ready", **options)
    return app


@asynccontextmanager
async def serving(app: Any) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of an application between start-up and shut-down."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


async def test_a_request_that_had_begun_may_submit_what_is_left_of_it() -> None:
    runtime = Runtime()

    async with serving(service(runtime)) as client:
        request = asyncio.create_task(client.get("/two"))
        await anyio.wait_all_tasks_blocked()
        drained = await runtime.drain(60)
        response = await request

    assert (response.status_code, response.text) == (200, "10")
    assert drained.is_clean


async def test_new_requests_are_told_to_come_again_unless_they_need_no_run() -> None:
    runtime = Runtime()

    async with serving(service(runtime)) as client:
        await runtime.drain(0)
        refused = [await client.get(path) for path in ("/one", "/plain", "/two")]
        other = await client.get("/nothing")

    assert [response.status_code for response in refused] == [503] * 3
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].text == "the service is stopping\n"
    assert other.text == "nothing to do"


async def test_fastapi_refuses_in_the_same_way() -> None:
    app, runtime = FastAPI(), Runtime()
    runtime.install(app)

    @app.get("/coroutine")
    async def coroutine_endpoint() -> float:
        return await sleep(1)

    @app.get("/plain")
    def plain_endpoint() -> int:
        return double(1)

    async with serving(app) as client:
        before = [(await client.get(p)).json() for p in ("/coroutine", "/plain")]
        await runtime.drain(0)
        after = [(await client.get(p)).status_code for p in ("/coroutine", "/plain")]

    assert before == [1, 2]
    assert after == [503, 503]


async def test_a_request_whose_run_is_cancelled_in_the_end_is_answered_too() -> None:
    runtime = Runtime()

    async with serving(service(runtime)) as client:
        request = asyncio.create_task(client.get("/one"))
        await anyio.wait_all_tasks_blocked()
        drained = await runtime.drain(5)
        response = await request

    assert response.status_code == 503
    assert drained.cancelled == ("sleep-0",)
    assert drained.requests == 1


async def test_a_request_that_asks_to_drain_does_not_wait_for_itself() -> None:
    runtime = Runtime()

    async def stop(_: Request) -> PlainTextResponse:
        return PlainTextResponse(str((await runtime.drain(60)).is_clean))

    app = service(runtime)
    app.router.routes.append(Route("/stop", stop))

    async with serving(app) as client:
        began = anyio.current_time()
        response = await client.get("/stop")

    assert response.text == "True"
    assert anyio.current_time() - began < 1


async def test_what_a_request_left_running_is_from_outside_once_it_was_answered() -> (
    None
):
    later: list[asyncio.Task[Any]] = []
    gate = asyncio.Event()
    runtime = Runtime()

    async def submit_later() -> float:
        await gate.wait()
        return await (await sleep.submit(1))

    async def start(_: Request) -> PlainTextResponse:
        later.append(asyncio.create_task(submit_later()))
        return PlainTextResponse("started")

    app = service(runtime)
    app.router.routes.append(Route("/start", start))

    async with serving(app) as client:
        await client.get("/start")
        await runtime.drain(0)
        gate.set()
        (ended,) = await asyncio.gather(*later, return_exceptions=True)

    assert "is being drained" in str(ended)


async def test_an_answer_that_has_begun_is_not_answered_a_second_time() -> None:
    runtime = Runtime()

    async def stream(_: Request) -> StreamingResponse:
        async def parts() -> AsyncGenerator[str]:
            yield "begun"
            yield str(await (await sleep.submit(1)))

        return StreamingResponse(parts())

    app = service(runtime)
    app.router.routes.append(Route("/stream", stream))

    async with serving(app) as client:
        await runtime.drain(0)
        with pytest.raises(Exception, match="is being drained"):
            await client.get("/stream")


async def test_a_websocket_is_closed_with_the_code_for_later() -> None:
    runtime = Runtime()
    sent: list[Any] = []

    async def answer(socket: WebSocket) -> None:
        await socket.accept()
        await sleep.submit(1)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append((message["type"], message.get("code")))

    app: Any = Starlette(routes=[WebSocketRoute("/", answer)])
    runtime.install(app, ready_path="/")  # which is for HTTP alone
    scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b""}

    async with app.router.lifespan_context(app):
        await runtime.drain(0)
        await app(scope, receive, send)

    assert sent == [("websocket.accept", None), ("websocket.close", 1013)]


# -- readiness ---------------------------------------------------------------------


async def test_the_path_for_readiness_says_no_once_it_is_drained() -> None:
    runtime = Runtime()

    async with serving(service(runtime)) as client:
        before = await client.get("/ready")
        head = await client.head("/ready")
        other = await client.post("/ready")
        draining = asyncio.create_task(runtime.drain(5))
        await anyio.wait_all_tasks_blocked()
        after = await client.get("/ready")
        await draining

    assert (before.status_code, before.text) == (200, "ready\n")
    assert (head.status_code, head.text) == (200, "")
    assert other.status_code == 404
    assert (after.status_code, after.text) == (503, "stopping\n")


async def test_an_application_without_such_a_path_has_none() -> None:
    app, runtime = Starlette(), Runtime()
    runtime.install(app)

    async with serving(app) as client:
        assert (await client.get("/ready")).status_code == 404


def test_a_path_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with a slash"):
        Runtime().install(Starlette(), ready_path="ready")
    with pytest.raises(ValueError, match="at least 0"):
        Runtime().install(Starlette(), grace_seconds=-1)


# -- the end of the lifespan ----------------------------------------------------------


async def test_the_end_of_the_lifespan_drains_within_its_grace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "headrace.engine")
    runtime = Runtime(settings=Settings(cancel_grace_seconds=1))
    app = service(runtime, grace_seconds=10)
    began = anyio.current_time()

    async with serving(app) as client:
        with runtime.use():
            short, long = await sleep.map([9, 100])
        assert (await client.get("/ready")).status_code == 200

    assert anyio.current_time() - began == pytest.approx(10, abs=0.2)
    assert [short.state.name, long.state.name] == ["Completed", "Cancelled"]
    assert "runs cancelled: 1 ('sleep-1')" in caplog.text


async def test_one_that_was_drained_before_is_not_drained_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "headrace.engine")
    runtime = Runtime()

    async with serving(service(runtime, grace_seconds=10)):
        await runtime.drain(1)

    assert caplog.text.count("was drained") == 1


async def test_a_request_after_the_end_is_refused_as_well() -> None:
    app = service(Runtime())
    async with serving(app):
        pass
    transport = httpx.ASGITransport(app)

    async with httpx.AsyncClient(transport=transport, base_url="http://test") as late:
        response = await late.get("/nothing")
        ready = await late.get("/ready")

    assert response.status_code == ready.status_code == 503


async def test_the_application_may_start_again_and_is_ready_then() -> None:
    runtime = Runtime()
    app = service(runtime, grace_seconds=1)

    for _ in range(2):
        async with serving(app) as client:
            assert (await client.get("/plain")).text == "42"


# -- the host's own ------------------------------------------------------------------


async def test_nothing_that_the_host_owns_is_touched() -> None:
    import logging
    import signal

    loop: Any = asyncio.get_running_loop()
    runtime = Runtime()

    def owned() -> list[Any]:
        handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        root = logging.getLogger()
        logs = [list(root.handlers), root.level, logging.lastResort]
        return [*handlers, *logs, loop._default_executor, loop.get_exception_handler()]

    before = owned()
    async with serving(service(runtime, grace_seconds=1)) as client:
        await client.get("/plain")
        during = owned()
        await runtime.drain(0)

    assert before == during == owned()
    assert threading.current_thread() is threading.main_thread()
