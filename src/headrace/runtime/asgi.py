"""A runtime in a Starlette or FastAPI application: its lifespan and its requests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from headrace.exceptions import CancelledRun, RuntimeClosing

__all__ = ("RequestsOfRuntime", "RuntimeDoors", "checked_router")

# What a client, or a proxy in front, is told while the service stops.
_RETRY_AFTER_SECONDS: Final = 1
_TRY_AGAIN_LATER: Final = 1013  # of RFC 6455 and its registry: for WebSockets


@dataclass(slots=True, eq=False, repr=False)
class RuntimeDoors:
    """What the middleware may do with a runtime.

    Attributes:
        visit: Makes it current for one request.
        is_ready: Whether it takes new work.
    """

    visit: Callable[[], AbstractContextManager[object]]
    is_ready: Callable[[], bool]


def checked_router(app: object) -> Any:
    """The router of an application.

    Raises:
        TypeError: It has none, or is no application.
    """
    router: Any = getattr(app, "router", None)
    has_lifespan = getattr(router, "lifespan_context", None) is not None
    if not has_lifespan or not hasattr(app, "add_middleware"):
        raise TypeError(
            f"Runtime.install() got {app!r}, which is no Starlette or FastAPI "
            f"application. In another framework open the runtime at start-up with "
            f"`async with runtime:` and wrap handlers in `with runtime.use():`."
        )
    return router


class RequestsOfRuntime:
    """ASGI middleware: the runtime is current while a request is handled.

    What a runtime that stops refuses, or had to cancel, is answered with 503 unless the
    handler has begun an answer of its own.

    Args:
        app: The application around which it goes.
        runtime: The runtime.
        ready_path: The path at which it tells whether the runtime is ready.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        runtime: RuntimeDoors,
        ready_path: str | None = None,
    ) -> None:
        self._app = app
        self._runtime = runtime
        self._ready_path = ready_path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request, or the lifespan."""
        kind: str = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
        elif kind == "http" and self._asks_whether_ready(scope):
            await self._tell_whether_ready(scope, send)
        else:
            await self._handle(kind, scope, receive, send)

    async def _handle(self, kind: str, scope: Any, receive: Any, send: Any) -> None:
        has_begun = False

        async def noting(message: Any) -> None:
            nonlocal has_begun
            # A WebSocket that was accepted may still be closed; an answer is an answer.
            has_begun = has_begun or kind != "websocket"
            await send(message)

        try:
            with self._runtime.visit():
                await self._app(scope, receive, noting)
        except (RuntimeClosing, CancelledRun) as error:
            is_ours = isinstance(error, RuntimeClosing) or not self._runtime.is_ready()
            if has_begun or not is_ours:
                raise
            await _refuse(kind, send)

    def _asks_whether_ready(self, scope: Any) -> bool:
        if self._ready_path is None or scope["method"] not in {"GET", "HEAD"}:
            return False
        path: str = scope["path"]
        return path.removeprefix(scope.get("root_path", "")) == self._ready_path

    async def _tell_whether_ready(self, scope: Any, send: Any) -> None:
        is_ready = self._runtime.is_ready()
        text = b"ready\n" if is_ready else b"stopping\n"
        body = b"" if scope["method"] == "HEAD" else text
        await _answer(send, 200 if is_ready else 503, body, size=len(text))


async def _refuse(kind: str, send: Any) -> None:
    if kind == "websocket":
        await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
        return
    text = b"the service is stopping\n"
    await _answer(send, 503, text, size=len(text))


async def _answer(send: Any, status: int, body: bytes, *, size: int) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % size),
        (b"cache-control", b"no-store"),
    ]
    if status != 200:
        headers.append((b"retry-after", b"%d" % _RETRY_AFTER_SECONDS))
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
