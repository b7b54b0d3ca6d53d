"""Middleware: what users have put around the body of each attempt."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from headrace._engine.bodies import block_on
from headrace._engine.outcomes import drained
from headrace._engine.scopes import context_of
from headrace._engine.thread_calls import Body, in_thread
from headrace.middleware import Middleware

__all__ = ("around", "around_here", "around_place")


def _wrapped(
    run: Any, chain: tuple[Middleware, ...], body: Callable[[], Any]
) -> Callable[[], Any]:
    """What calls the first of a chain, which calls the next; the last, the body."""
    view = run.view()
    for each in reversed(chain):
        body = functools.partial(each, view, body)
    return body


def around(run: Any) -> Coroutine[Any, Any, Any]:
    """The body of a coroutine task, with all that is around it: to be awaited."""
    spec = run.spec
    chain = (*run.scope.host.middleware[0], *spec.middleware)
    body = functools.partial(spec.call, *run.args, **run.kwargs)
    coro: Coroutine[Any, Any, Any] = (
        _awaited(_wrapped(run, chain, body)) if chain else body()
    )
    return coro


async def _awaited(call: Callable[[], Awaitable[Any]]) -> Any:
    return await call()


def around_here(run: Any) -> Any:
    """Call the function of a plain task in this thread, with all that is around it."""
    spec = run.spec
    chain = (*run.scope.host.middleware[1], *spec.middleware)
    try:
        if not chain:
            return spec.fn(*run.args, **run.kwargs)
        body = functools.partial(_drained_body, spec.fn, run.args, run.kwargs)
        return _wrapped(run, chain, body)()
    finally:
        del run, spec  # see `headrace._engine.thread_runs.perform`


def _drained_body(fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    return drained(fn(*args, **kwargs))


async def around_place(
    run: Any, scheduler: Any, hand_over: Callable[[], Coroutine[Any, Any, Any]]
) -> Any:
    """Have a body run elsewhere, with all that is around it here.

    That of a plain task is plain code, so it has a thread, in which it waits.
    """
    spec = run.spec
    chain = (*run.scope.host.middleware[not spec.is_async], *spec.middleware)
    if not chain:
        return await hand_over()
    if spec.is_async:
        return await _wrapped(run, chain, hand_over)()

    def wait() -> Any:
        return block_on(scheduler, hand_over(), context_of(run), run.name)

    return await in_thread(run.scope, Body(_wrapped(run, chain, wait), run.name))
