"""Data, or states, in the place of the futures in a structure, for code of users."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from headrace._concurrency.bodies import is_plain_code
from headrace.futures.future import TaskFuture
from headrace.futures.resolve import Source, Sources, Substitution, find
from headrace.futures.submission import future_in
from headrace.futures.watching import await_ends, block_for_ends

__all__ = ("resolve_futures_to_data", "resolve_futures_to_states")


def resolve_futures_to_data(value: Any, raise_on_failure: bool = True) -> Any:
    """A structure with the value of each run in the place of its future.

    Blocks in plain code; in coroutine code write ``await resolve_futures_to_data(...)``.
    Looks into the containers that arguments of tasks may be, copies those on the way
    to a future, and passes all else on as it is. Marks and states stay, what is
    quoted is left alone.

    Args:
        value: Any structure.
        raise_on_failure: False gives the exception of a run that did not complete in
            the place of its value. So do runs inside an ``allow_failure``.

    Raises:
        BlockedLoop: In plain code, a run needs the loop of this very thread.
        Exception: What the first run that did not complete has raised.
    """
    required, every = _futures_in(value)

    def made() -> Any:
        for future in every:
            future.see()
        if raise_on_failure:
            for future in required:
                future.read(raise_on_failure=True)
        return Substitution([value], is_returned=True).of(value)

    return _once_ended(every, made, "resolve_futures_to_data")


def resolve_futures_to_states(value: Any) -> Any:
    """A structure with the final state of each run in the place of its future.

    As `resolve_futures_to_data`; a run that failed raises nothing here.

    Raises:
        BlockedLoop: In plain code, a run needs the loop of this very thread.
    """
    _, every = _futures_in(value)
    return _once_ended(
        every, lambda: _States(value).of(value), "resolve_futures_to_states"
    )


class _States(Substitution):
    """Puts states where others put data."""

    __slots__ = ()

    def __init__(self, value: object) -> None:
        super().__init__([value], is_returned=True)

    def _instead_of(self, end: Any) -> Any:
        future = future_in(end)
        return end if future is None else future.state


def _futures_in(value: object) -> tuple[list[TaskFuture[Any]], list[TaskFuture[Any]]]:
    """The futures that must complete, and all of them."""
    required: Sources = []
    tolerated: Sources = []
    find(value, required, tolerated)
    return _futures(required), _futures([*required, *tolerated])


def _futures(sources: list[Source]) -> list[TaskFuture[Any]]:
    return [source for source in sources if isinstance(source, TaskFuture)]


def _once_ended(
    futures: list[TaskFuture[Any]], make: Callable[[], Any], verb: str
) -> Any:
    """What is made of some runs once they have ended; in coroutine code, to be awaited."""
    if not is_plain_code():
        return _awaited(futures, make)
    what, instead = f"{verb}(...)", f"await {verb}(...)"
    block_for_ends(futures, None, what=what, instead=instead)
    return make()


def _awaited(
    futures: list[TaskFuture[Any]], make: Callable[[], Any]
) -> Coroutine[Any, Any, Any]:
    async def wait() -> Any:
        await await_ends(futures, None)
        return make()

    return wait()
