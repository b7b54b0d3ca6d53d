"""The end of a scope: wait until every run in it has ended, on a loop or in a thread."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

from headrace._concurrency.bodies import block_until, this_face
from headrace._concurrency.holding import HELD, while_lent
from headrace._concurrency.loops import running_loop
from headrace._concurrency.outlasting import outlast
from headrace._engine import stopping
from headrace._engine.deferred import refuse_waits
from headrace._engine.in_place import end_abandoned
from headrace._engine.scopes import Scope
from headrace.exceptions import RunInterrupted
from headrace.futures.watching import settle, tell_loop

__all__ = ("block_loop_here", "drop_scope", "finish_scope", "finish_scope_here")


async def finish_scope(scope: Scope, *, cancel: bool) -> asyncio.CancelledError | None:
    """Wait, on its own loop, until every run in a scope has ended; then close it.

    A cancellation that arrives meanwhile cancels the runs, and is awaited too.

    Args:
        scope: The scope; its body has ended.
        cancel: Whether to cancel what still goes on.

    Returns:
        What cancelled the waiting itself, if anything did. The caller must raise it.
    """
    stop = functools.partial(stopping.cancel_scope, scope)
    if cancel:
        stop()
    interrupted = None
    try:
        if not scope.is_idle:
            over = _outlast(scope, stop)
            held = HELD.get()
            interrupted = await (over if held is None else while_lent(held, over))
    finally:
        _print_again(scope)
    scope.shut()
    return interrupted


async def _outlast(
    scope: Scope, stop: Callable[[], object]
) -> asyncio.CancelledError | None:
    """Wait until a scope is idle; what cancelled that, if anything did."""
    loop = asyncio.get_running_loop()

    async def wait() -> None:
        idle: asyncio.Future[None] = loop.create_future()
        # Runs that were called in place in other threads end there.
        scope.tell_when_idle(lambda: tell_loop(loop, settle, idle))
        await idle

    return await outlast(wait, is_over=lambda: scope.is_idle, when_cancelled=stop)


def drop_scope(scope: Scope) -> None:
    """End a scope whose own code was closed and can wait for nothing any more."""
    scope.shut()
    _print_again(scope)
    stopping.tell_to_cancel(scope)


def _print_again(scope: Scope) -> None:
    if scope.owner is None:  # a flow run has it done when it has its final state
        scope.print_again()


def block_loop_here(scope: Scope) -> None:
    """From now on a scope holds up the loop of this thread, if one is running here."""
    loop = running_loop()
    if loop is None:
        return
    scope.blocks = loop
    if scope.scheduler is not None:
        scope.scheduler.call(refuse_waits, (scope.scheduler, scope, loop))


def finish_scope_here(scope: Scope, *, cancel: bool) -> None:
    """`finish_scope` in plain code: blocks this thread.

    Raises:
        KeyboardInterrupt: It came while waiting; the runs are cancelled then, and
            this returns, by raising it, when they have ended. A second one is
            raised at once.
    """
    try:
        _block_for_idle(scope, cancel=cancel)
    finally:
        _print_again(scope)


def _block_for_idle(scope: Scope, *, cancel: bool) -> None:
    if scope.host.is_forked():
        scope.shut()  # its runs go on in the parent, and nothing of it here
        return
    # The body may have been left with the first Ctrl-C.
    is_urgent = isinstance(sys.exception(), KeyboardInterrupt)
    interrupted: BaseException | None = None
    is_over, stoppable = False, True
    while not is_over:
        try:
            if cancel:
                # Once: told again it might reach the next attempt of a flow.
                cancel = False
                stopping.tell_to_cancel(scope)
            is_over = _is_over(scope)
            if not is_over:
                block_until(
                    lambda fire: _on_idle(scope, fire),
                    stoppable=stoppable,
                    look=lambda: _is_over(scope),
                )
        except RunInterrupted:
            # What is left to wait for is the end of the runs.
            cancel, stoppable = True, False
        except BaseException as error:
            if is_urgent and isinstance(error, KeyboardInterrupt):
                raise
            interrupted, is_urgent, cancel, stoppable = error, True, True, False
    if interrupted is not None:
        raise interrupted


def _end_leftovers(scope: Scope) -> None:
    """End runs in place that Ctrl-C tore out of their own code before its end.

    The body of the scope has ended, so in this very thread none can be going on.
    """
    ident, face = threading.get_ident(), this_face()

    def claims(run: Any) -> bool:
        return run.handle == ident and (face is None or face.claim(run))

    def end(_: object) -> None:
        end_abandoned(scope, claims, stopping.tell_to_cancel)

    if scope.scheduler is None:
        end(None)
    else:
        scope.scheduler.call(end, None)


def _is_over(scope: Scope) -> bool:
    """Whether there is nothing to wait for, or nobody who would tell."""
    if scope.scheduler is None:
        if scope.direct:
            _end_leftovers(scope)
        if scope.is_idle:
            scope.shut()
    elif scope.scheduler.loop.is_closed():
        scope.shut()
    elif scope.direct:
        _end_leftovers(scope)
    # From an abandoned thread the loop ends what there is to end.
    face = this_face()
    return scope.has_ended or (face is not None and face.is_abandoned)


def _on_idle(scope: Scope, fire: Any) -> None:
    def close(_: object) -> None:
        if scope.is_idle:
            scope.shut()
            fire()
        else:
            scope.tell_when_idle(lambda: scheduler.call(close, None))

    scheduler = scope.scheduler or scope.opened()
    try:
        scheduler.call(close, None)
    except RuntimeError:
        fire()  # the loop has closed
