"""`Runtime.install`: one runtime that lives with a Starlette or FastAPI application."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any

import anyio
import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from headrace import Runtime, flow, task


@task
def double(number: int) -> int:
    return 2 * number


@task
async def adouble(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


@flow
async def coroutine_flow(number: int) -> int:
    return await (await adouble.submit(number))


@flow
def plain_flow(number: int) -> int:
    return double.submit(number).result()


@asynccontextmanager
async def started(app: Any) -> AsyncGenerator[dict[str, Any]]:
    """An application between start-up and shut-down, and the state of its lifespan."""
    asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    state: dict[str, Any] = {}
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}
    life = asyncio.create_task(app(scope, asked.get, answers.put))
    asked.put_nowait({"type": "lifespan.startup"})
    assert await answers.get() == {"type": "lifespan.startup.complete"}
    yield state
    asked.put_nowait({"type": "lifespan.shutdown"})
    assert await answers.get() == {"type": "lifespan.shutdown.complete"}
    await life


@asynccontextmanager
async def serving(app: Any) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of an application that has started up, on the running loop."""
    transport = httpx.ASGITransport(app)
    async with (
        started(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


def service() -> tuple[FastAPI, Runtime]:
    app, runtime = FastAPI(), Runtime(max_threads=4)
    runtime.install(app)

    @app.get("/coroutine/{number}")
    async def coroutine_endpoint(number: int) -> list[int]:
        return [
            await (await adouble.submit(number)),
            await (await double.submit(number)),
            *await double.map([number]).aresult(),
            await adouble(number),
            await double.acall(number),
            await coroutine_flow(number),
            await plain_flow.acall(number),
        ]

    @app.get("/plain/{number}")
    def plain_endpoint(number: int) -> list[int]:
        return [
            double(number),
            double.submit(number).result(),
            adouble.submit(number).value(),
            *double.map([number]).result(),
            plain_flow(number),
        ]

    return app, runtime


# -- requests --------------------------------------------------------------------------


async def test_every_door_works_in_coroutine_endpoints() -> None:
    app, _ = service()

    async with serving(app) as client:
        response = await client.get("/coroutine/21")

    assert response.json() == [42] * 7


async def test_every_door_works_in_plain_endpoints() -> None:
    app, _ = service()

    async with serving(app) as client:
        response = await client.get("/plain/21")

    assert response.json() == [42] * 5


async def test_many_requests_at_once_share_the_loop_and_the_threads() -> None:
    app, _ = service()

    async with serving(app) as client:
        paths = [f"/{kind}/{n}" for n in range(20) for kind in ("plain", "coroutine")]
        responses = await asyncio.gather(*[client.get(path) for path in paths])

    for path, response in zip(paths, responses, strict=True):
        assert set(response.json()) == {2 * int(path.rsplit("/", 1)[1])}


def test_an_application_may_start_again_and_again_on_other_loops() -> None:
    # As test clients do it, once a test.
    app, _ = service()

    async def ask() -> Any:
        async with serving(app) as client:
            return (await client.get("/plain/21")).json()

    assert [asyncio.run(ask()) for _ in range(3)] == [[42] * 5] * 3


async def test_the_runtime_is_current_in_requests_alone() -> None:
    app, _ = service()

    async with serving(app) as client:
        await client.get("/coroutine/21")
        with pytest.raises(RuntimeError, match="outside of a flow"):
            Context().run(double.submit, 1)


async def test_background_tasks_and_streams_are_part_of_their_request() -> None:
    app, runtime = Starlette(), Runtime()
    runtime.install(app)
    ended: list[int] = []

    async def background() -> None:
        ended.append(await (await adouble.submit(1)))

    async def stream(_: Request) -> StreamingResponse:
        async def parts() -> AsyncGenerator[str]:
            for number in range(3):
                yield str(await (await adouble.submit(number)))

        tasks = BackgroundTasks()
        tasks.add_task(background)
        return StreamingResponse(parts(), background=tasks)

    app.router.routes.append(Route("/", stream))

    async with serving(app) as client:
        response = await client.get("/")

    assert response.text == "024"
    assert ended == [2]


async def test_websockets_are_served_as_well() -> None:
    sent: list[Any] = []

    async def answer(socket: WebSocket) -> None:
        await socket.accept()
        number = int(await socket.receive_text())
        await socket.send_text(str(await (await adouble.submit(number))))
        await socket.close()

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message.get("text"))

    messages: list[dict[str, Any]] = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "21"},
    ]
    app: Any = Starlette(routes=[WebSocketRoute("/", answer)])
    Runtime().install(app)
    scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b""}

    async with started(app):
        await app(scope, receive, send)

    assert sent == [None, "42", None]


async def test_a_run_outlives_the_request_that_submitted_it() -> None:
    gate = asyncio.Event()
    ended: list[str] = []

    @task
    async def waits() -> None:
        await gate.wait()
        ended.append("run")

    async def start(_: Request) -> PlainTextResponse:
        waits.submit()
        return PlainTextResponse("started")

    app = Starlette(routes=[Route("/", start)])
    runtime = Runtime()
    runtime.install(app)

    async with serving(app) as client:
        response = await client.get("/")
        assert runtime.stats()["open_runs"] == 1
        gate.set()

    assert response.text == "started"
    assert ended == ["run"]


async def test_a_client_that_goes_away_cancels_what_its_request_awaits() -> None:
    ended: list[str] = []

    @task
    async def waits() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("cleaned up")

    async def endpoint(_: Request) -> PlainTextResponse:
        await waits()
        return PlainTextResponse("never")

    app = Starlette(routes=[Route("/", endpoint)])
    Runtime().install(app)

    async with serving(app) as client:
        request = asyncio.create_task(client.get("/"))
        await anyio.wait_all_tasks_blocked()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request

    assert ended == ["cleaned up"]


# -- the lifespan ----------------------------------------------------------------------


async def test_it_opens_before_the_start_up_code_and_ends_after_the_shut_down() -> None:
    order: list[Any] = []

    @task
    async def slow() -> None:
        await asyncio.sleep(3600)
        order.append("run ended")

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncGenerator[dict[str, int]]:
        order.append(await (await adouble.submit(1)))
        yield {"ready": 1}
        order.append(await (await adouble.submit(2)))
        slow.submit()
        order.append("shut down")

    app = Starlette(lifespan=lifespan)
    runtime = Runtime()
    runtime.install(app)

    async with serving(app):
        order.append("serving")

    assert order == [2, "serving", 4, "shut down", "run ended"]
    assert runtime.stats()["open_runs"] == 0


async def test_the_state_of_a_lifespan_is_passed_on() -> None:
    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncGenerator[dict[str, int]]:
        yield {"ready": 1}

    app = Starlette(lifespan=lifespan)
    Runtime().install(app)

    async with started(app) as state:
        assert state == {"ready": 1}


async def test_start_up_code_that_fails_ends_the_runtime() -> None:
    @task
    async def sleeps() -> None:
        await asyncio.sleep(3600)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncGenerator[None]:
        future = await sleeps.submit()
        futures.append(future)
        raise ValueError("no database")
        yield

    futures: list[Any] = []
    app = Starlette(lifespan=lifespan)
    runtime = Runtime()
    runtime.install(app)

    with pytest.raises(ValueError, match="no database"):
        await app.router.lifespan_context(app).__aenter__()

    assert futures[0].state.name == "Cancelled"
    assert runtime.stats()["open_runs"] == 0


async def test_threads_end_with_the_application() -> None:
    app, _ = service()

    async with serving(app) as client:
        await client.get("/plain/1")
        assert [t for t in threading.enumerate() if t.name.startswith("headrace")]

    assert not [t for t in threading.enumerate() if t.name.startswith("headrace")]


# -- what cannot be --------------------------------------------------------------------


async def test_a_request_without_a_lifespan_says_what_is_missing() -> None:
    app, _ = service()
    transport = httpx.ASGITransport(app)

    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        with pytest.raises(RuntimeError, match="entered when that starts up"):
            await client.get("/plain/1")


@pytest.mark.parametrize(
    "wrong", [object(), None, "app"], ids=["object", "none", "str"]
)
def test_something_that_is_no_application_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="no Starlette or FastAPI"):
        Runtime().install(wrong)


async def test_an_application_that_has_started_is_refused_and_left_as_it_is() -> None:
    app = Starlette()
    async with started(app):
        before = app.router.lifespan_context

        with pytest.raises(RuntimeError, match="started"):
            Runtime().install(app)

    assert app.router.lifespan_context is before
