"""Run coroutines of a plain test in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self, TypeVar

from headrace.testing.clock import VirtualTimeLoop

__all__ = ("VirtualClock",)

T = TypeVar("T")


class VirtualClock:
    """A loop in virtual time, kept from one `run` to the next.

    The pytest plugin has one for each test that asks for it, as ``virtual_clock``.
    Elsewhere write ``with VirtualClock() as clock:``, so that the loop is closed.

    Args:
        make_loop: Makes the loop.
    """

    def __init__(
        self, make_loop: Callable[[], VirtualTimeLoop] = VirtualTimeLoop
    ) -> None:
        self._loop: VirtualTimeLoop | None = None
        self._make_loop = make_loop
        self._main: asyncio.Task[Any] | None = None
        self._runner = asyncio.Runner(loop_factory=self._made)
        self._around: Callable[[], AbstractContextManager[object]]
        self._around = contextlib.nullcontext

    def _made(self) -> VirtualTimeLoop:
        self._loop = self._make_loop()
        return self._loop

    @property
    def now(self) -> float:
        """Virtual seconds that have passed: on the running loop, else on its own."""
        with contextlib.suppress(RuntimeError):
            running = asyncio.get_running_loop()
            if isinstance(running, VirtualTimeLoop):
                return running.time()
        return 0.0 if self._loop is None else self._loop.time()

    def run(self, coro: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, and give its value.

        It sees the context variables of the present code. Sleeps, time limits and
        retry delays in it take no time.

        Raises:
            RuntimeError: A loop is running in this thread already; or everyone waits
                and no timer is set.
            BaseException: What the coroutine raised.
        """
        if asyncio._get_running_loop() is not None:  # noqa: SLF001 - the other form raises
            coro.close()
            raise RuntimeError(
                "virtual_clock.run() was called where an event loop is running already. "
                "Await the coroutine there; to have virtual time in it, let whatever "
                "runs the test make its loop by headrace.testing.VirtualTimeLoop."
            )
        within = self._within(coro)
        try:
            return self._runner.run(within, context=contextvars.copy_context())
        except BaseException:
            self._end_main()
            raise

    async def _within(self, coro: Coroutine[Any, Any, T]) -> T:
        self._main = asyncio.current_task()
        with self._around():
            return await coro

    def _end_main(self) -> None:
        """Let a coroutine clean up that the loop gave up, as everyone was waiting."""
        main = self._main
        if main is None or main.done():
            return
        main.cancel()
        # It may wait for ever once more, and is closed with the loop then.
        with contextlib.suppress(RuntimeError):
            self._runner.get_loop().run_until_complete(asyncio.wait([main]))
        if main.done() and not main.cancelled():
            main.exception()  # looked at, so that asyncio does not log it

    def enter(self, around: Callable[[], AbstractContextManager[object]]) -> None:
        """Have every coroutine run from now on inside of a fresh ``with around():``."""
        self._around = around

    def leave(self) -> None:
        """Undo `enter`."""
        self._around = contextlib.nullcontext

    def close(self) -> None:
        """Cancel what is left on the loop, and close it."""
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
