"""A runtime in a service: who joins it, how it is drained, what it is installed in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol, Self

from headrace._concurrency.bodies import shielded
from headrace._engine.closing import VISIT, Visit, is_run_of
from headrace._engine.draining import drain_scope, drain_scope_here
from headrace._engine.host import Host
from headrace._engine.scopes import Scope
from headrace.context import CURRENT
from headrace.exceptions import BlockedLoop, DeadlockError, RunEnded, RuntimeClosing
from headrace.option_checks import seconds_of
from headrace.runs import Drained

__all__ = ("Application", "Service")


class Application(Protocol):
    """What `Runtime.install` needs of a Starlette or FastAPI application."""

    @property
    def router(self) -> Any:
        """It has a ``lifespan_context``."""
        ...

    def add_middleware(self, middleware_class: Any, **options: Any) -> None:
        """Wrap the application in one more ASGI layer."""
        ...


class Service:
    """What a `headrace.Runtime` does for the services around it.

    Args:
        host: What its runs share; another one each time it is entered.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._scope: Scope | None = None
        self._is_being_left = False

    def _opened(self) -> Scope:
        if self._scope is None:
            raise RuntimeError(
                "this Runtime has not been entered. Write `with runtime:`, or "
                "`async with runtime:`, around the code that uses it. One that is "
                "installed in an application is entered when that starts up: in a "
                "test, inside `with TestClient(app):`."
            )
        return self._scope

    # -- joining -------------------------------------------------------------------

    @contextmanager
    def use(self) -> Generator[Self]:
        """Make it current in code that was not started inside its block.

        For request handlers, callbacks and threads made by hand.

        Raises:
            RunEnded: Its block has been left.
            RuntimeError: Its block has not been entered.
            ForkedRuntime: It was entered in the parent of this process.
        """
        scope = self._opened()
        self._host.refuse_fork()
        if scope.has_ended:
            raise RunEnded(scope.kind, "")
        token = CURRENT.set(scope)
        try:
            yield self
        finally:
            CURRENT.reset(token)

    @contextmanager
    def _visit(self) -> Generator[None]:
        """`use` for one request, which may finish its work while it is drained."""
        scope = self._opened()
        if scope.has_ended:
            raise RuntimeClosing
        with self.use():
            if scope.is_closing:
                yield
                return
            visit = Visit(scope)
            token = VISIT.set(visit)
            scope.visits.add(visit)
            try:
                yield
            finally:
                visit.is_over = True
                scope.visits.discard(visit)
                VISIT.reset(token)

    def install(
        self,
        app: Application,
        *,
        grace_seconds: float | None = None,
        ready_path: str | None = None,
    ) -> None:
        """Let a Starlette or FastAPI application run its tasks here.

        The runtime opens with the application's lifespan, before its own start-up
        code, and ends after its own shut-down code. It is current in every request,
        for coroutine and plain endpoints. A request that it refuses because it is being
        drained is answered with 503. Call this before the application starts.

        Args:
            app: The application.
            grace_seconds: At the end `drain` it, with so many seconds; by default the
                end waits for all runs, as leaving the block does.
            ready_path: A path such as ``"/ready"`` at which it answers 200, or 503 once
                it is not `is_ready` any more; by default there is none.

        Raises:
            TypeError: ``app`` is no such application, ``grace_seconds`` no number.
            ValueError: ``grace_seconds`` is negative, ``ready_path`` no path.
            RuntimeError: It has started already.
        """
        # Late: most runtimes are in no application of the web.
        from headrace.runtime.asgi import (  # noqa: PLC0415
            RequestsOfRuntime,
            RuntimeDoors,
            checked_router,
        )

        router = checked_router(app)
        if ready_path is not None and not ready_path.startswith("/"):
            raise ValueError(
                f"Runtime.install(ready_path={ready_path!r}): it is no path. Write one "
                f"that begins with a slash, such as '/ready', or leave it out."
            )
        if grace_seconds is not None:
            grace_seconds = seconds_of("Runtime.install()", grace_seconds)
        inner = router.lifespan_context

        @asynccontextmanager
        async def lifespan(application: Any) -> AsyncGenerator[Any]:
            runtime: Any = self
            async with runtime:
                async with inner(application) as state:
                    yield state
                if grace_seconds is not None and not self._is_drained():
                    await self.drain(grace_seconds)

        doors = RuntimeDoors(visit=self._visit, is_ready=lambda: self.is_ready)
        app.add_middleware(  # raises once it has started
            RequestsOfRuntime, runtime=doors, ready_path=ready_path
        )
        router.lifespan_context = lifespan

    # -- draining ------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether it takes new work: entered, and neither being drained nor left."""
        scope = self._scope
        if scope is None or scope.has_ended or scope.is_closing:
            return False
        return not self._is_being_left and not self._host.is_forked()

    async def drain(self, grace_seconds: float | None = None) -> Drained:
        """Take nothing new, wait for what goes on, then cancel it. From any loop.

        Runs that go on may still submit others, and requests that had begun may finish
        their work. All else is refused with `RuntimeClosing`, for good. Cancelled bodies
        have ``cancel_grace_seconds`` to clean up. Every future is settled afterwards.

        Args:
            grace_seconds: How long what goes on is left alone; 0 cancels at once. By
                default as the settings say (``drain_grace_seconds``, 30).

        Returns:
            What had to be cancelled, and of that what did not stop; it is logged too.

        Raises:
            RuntimeError: Its block has not been entered.
            ForkedRuntime: It was entered in the parent of this process.
            DeadlockError: One of its own runs asks for it, and would wait for itself.
            TypeError, ValueError: ``grace_seconds`` is no number, or negative.
        """
        scope, grace = self._to_drain("drain", grace_seconds)
        return await drain_scope(scope, grace)

    def _is_drained(self) -> bool:
        scope = self._scope
        return scope is not None and scope.is_closing and scope.is_idle

    def drain_blocking(self, grace_seconds: float | None = None) -> Drained:
        """`drain` for plain code: blocks this thread, which may be any.

        Raises:
            BlockedLoop: This is the thread of its event loop.
        """
        scope, grace = self._to_drain("drain_blocking", grace_seconds)
        if scope.scheduler is not None and scope.scheduler.is_here():
            reason = "its runs end on the loop of this thread"
            raise BlockedLoop("drain_blocking()", reason, "await runtime.drain(...)")
        with shielded():
            return drain_scope_here(scope, grace)

    def _to_drain(self, verb: str, grace: float | None) -> tuple[Scope, float]:
        scope = self._opened()
        self._host.refuse_fork()
        if grace is None:
            grace = self._host.settings.drain_grace_seconds
        grace = seconds_of(f"Runtime.{verb}()", grace)
        if is_run_of(scope):
            raise DeadlockError(
                f"{verb}() was called by a run of the runtime itself, and would wait "
                f"for its own end. Call it where the runtime was opened, or in a thread "
                f"or request outside of its runs."
            )
        return scope, grace
