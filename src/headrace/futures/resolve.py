"""Find the futures and states among the inputs of a run; later, put values there.

Containers are copied only along the paths that lead to a future or state, so that
everything else reaches the body as the very object that was given. No iterator is ever
consumed, a container may contain itself, and may be of any depth.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final, TypeAlias, cast

from headrace.annotations import BaseAnnotation, allow_failure, is_mark, quote
from headrace.exceptions import HeadraceError
from headrace.futures.contents import Container, container_of
from headrace.futures.coroutine_future import AsyncTaskFuture
from headrace.futures.future import TaskFuture
from headrace.futures.gates import FEW, Crowd, Gate, Shared
from headrace.futures.lists import AsyncTaskFutures, TaskFutures
from headrace.futures.submission import AsyncSubmission, Submission
from headrace.states import (
    State,
    StateType,
    format_exception,
    get_state_exception,
    in_hand,
    is_state,
)

__all__ = (
    "ATOMS",
    "ROWS",
    "Source",
    "Sources",
    "Substitution",
    "crowd_of",
    "data_of",
    "find",
    "substitute",
)

Source: TypeAlias = "TaskFuture[Any] | State[Any]"
Sources: TypeAlias = "list[TaskFuture[Any] | State[Any]]"

# Types that hold nothing. The usual arguments, so that most need no further look.
ATOMS: Final = frozenset(
    {int, str, float, bytes, bool, type(None), complex, bytearray, type, range}
)
_COMPLETED: Final = StateType.COMPLETED

_FUTURES: Final = frozenset({TaskFuture, AsyncTaskFuture})
_SUBMISSIONS: Final = frozenset({Submission, AsyncSubmission})
_ENDS: Final = frozenset({*_FUTURES, *_SUBMISSIONS, State, Gate, Crowd, Shared})
_FUTURE: Final = operator.attrgetter("future")
# What a `Crowd` may be made of.
ROWS: Final = frozenset({list, tuple, TaskFutures, AsyncTaskFutures})
# Replaced also when they are empty: what a map gives is no list of values.
_LISTS: Final = frozenset({TaskFutures, AsyncTaskFutures})


def find(
    value: object,
    required: Sources,
    tolerated: Sources,
    *,
    allowed: bool = False,
    see: Callable[[object], object] | None = None,
) -> bool:
    """Collect every future and state in a value, each once, in order.

    Args:
        value: Any structure.
        required: Is extended by those that must complete.
        tolerated: Is extended by those inside an ``allow_failure``.
        allowed: Whether the whole value is inside one.
        see: Is called with everything else that is not plain data.

    Returns:
        Whether there is anything to replace: a future, a state or a mark.
    """
    # The usual way to pass a future: as a whole argument.
    if type(value) in _SUBMISSIONS and not allowed:
        required.append(cast("Submission[Any]", value).future)
        return True
    found = False
    seen: set[tuple[int, bool]] = set()
    stack: list[tuple[object, bool]] = [(value, allowed)]
    while stack:
        item, is_allowed = stack.pop()
        kind = type(item)
        if kind in _SUBMISSIONS:
            item = cast("Submission[Any]", item).future
        elif isinstance(item, Shared):
            item = item.gate
        # Not compared by value: user objects may have an __eq__ of any kind.
        if (id(item), is_allowed) in seen:
            continue
        seen.add((id(item), is_allowed))
        if kind in _ENDS:
            found = True
            # One that a user made and that has not ended will never end.
            may_fail = is_allowed and not (is_state(item) and not item.is_final())
            (tolerated if may_fail else required).append(cast("Source", item))
            continue
        if see is not None:
            see(item)
        if (container := container_of(kind)) is not None:
            found = found or kind in _LISTS or issubclass(kind, BaseAnnotation)
            allows = is_allowed or issubclass(kind, allow_failure)
            children = _worth_a_look(container, item)
            stack += [(child, allows) for child in children][::-1]
    return found


def crowd_of(scope: Any, name: str, value: Any) -> Crowd | None:
    """What stands for an argument that is a list of very many futures, if it is one.

    Args:
        scope: That of the run which is given it.
        name: Of that run.
        value: The argument.
    """
    if type(value) not in ROWS or len(value) <= FEW:
        return None
    kinds = set(map(type, value))
    # Copied: its owner may change the list from now on.
    if kinds <= _FUTURES:
        futures = tuple(value)
    elif kinds <= _SUBMISSIONS:
        futures = tuple(map(_FUTURE, value))
    else:
        return None
    return Crowd(scope, name, tuple if type(value) is tuple else list, futures)


def _worth_a_look(container: Container, item: object) -> list[Any]:
    held = container.held(item)
    # Most containers hold plain data: told by the types of the items, at C speed.
    if ATOMS.issuperset(map(type, held)):
        return []
    return [child for child in held if type(child) not in ATOMS]


def substitute(value: Any, *, is_returned: bool = False) -> Any:
    """One value by itself; see `Substitution`.

    Raises:
        HeadraceError: A copy could not be made, chained to the reason.
    """
    try:
        return Substitution([value], is_returned=is_returned).of(value)
    except Exception as error:
        raise HeadraceError(
            f"failed to put the results of runs into a {type(value).__name__}: "
            f"{format_exception(error)}. Wrap it in quote(...) to pass it as it is."
        ) from error


class Substitution:
    """Puts data in the place of futures and states, and takes the marks off.

    All of them have ended. The exception of one that did not complete takes its place.

    Args:
        values: Some values, which may share parts and share them afterwards too.
        is_returned: They are what a flow returned: marks and states are kept, and only
            futures are replaced (ANN-09, FINAL-06).
    """

    __slots__ = ("_dirty", "_entered", "_is_returned", "_made", "_values")

    def __init__(self, values: Iterable[object], *, is_returned: bool = False) -> None:
        self._values = values
        self._is_returned = is_returned
        self._dirty: set[int] | None = None
        self._made: dict[int, Any] = {}
        self._entered: dict[int, int] = {}

    def of(self, value: object) -> Any:
        """One of the values, with data in the place of futures.

        Raises:
            Exception: A copy could not be made: data that takes the place of a future
                in a set cannot be hashed, say.
        """
        kind = type(value)
        if kind in ATOMS:
            return value
        if kind in _ENDS:
            return self._instead_of(value)
        if self._dirty is None:
            self._dirty = _ways_to_replace(self._values, is_returned=self._is_returned)
        if id(value) not in self._dirty:
            return value
        # A structure may be deeper than the stack: whoever copies a container waits
        # in this list for the copies of those inside.
        waiting = [self._copy(value, self._dirty)]
        answer: Any = None
        while waiting:
            try:
                child = waiting[-1].send(answer)
            except StopIteration as done:
                waiting.pop()
                answer = done.value
            else:
                waiting.append(self._copy(child, self._dirty))
                answer = None
        return answer

    def _copy(self, item: object, dirty: set[int]) -> Generator[Any, Any, Any]:
        """Copy a container. Yields containers inside, and is sent their copies."""
        if id(item) in self._made:
            return self._made[id(item)]
        kind = type(item)
        if issubclass(kind, quote):
            return cast("quote[Any]", item).value
        container = cast("Container", container_of(kind))
        shell = container.shell(item)
        if shell is None:
            self._refuse_to_go_round(item)
        else:
            self._made[id(item)] = shell
        held: list[Any] = []
        for child in container.held(item):
            kind = type(child)
            if kind in ATOMS:
                held.append(child)
            elif kind in _ENDS:
                held.append(self._instead_of(child))
            elif id(child) in dirty:
                held.append((yield child))
            else:
                held.append(child)
        if is_mark(item) and not self._is_returned:
            made = held[0]
        else:
            made = container.filled(item, shell, held)
        # A tuple in a list that it holds itself has been made on the way here.
        return self._made.setdefault(id(item), made)

    def _refuse_to_go_round(self, item: object) -> None:
        count = len(self._made)
        if self._entered.get(id(item)) == count:
            raise ValueError(
                f"a {type(item).__name__} contains itself, and nothing on the way "
                f"round can be copied before what it holds"
            )
        self._entered[id(item)] = count

    def _instead_of(self, end: Any) -> Any:
        if type(end) in _SUBMISSIONS:
            return data_of(end.future)
        if isinstance(end, Shared):
            return end.data(lambda value: Substitution([value]).of(value))
        if isinstance(end, Crowd):
            return end.data()
        if self._is_returned and is_state(end):
            return end
        return data_of(end)


def _ways_to_replace(values: Iterable[object], *, is_returned: bool) -> set[int]:
    """The ids of all containers from which there is a way to something to replace."""
    parents: dict[int, list[int]] = {}
    ends: list[int] = []
    visited: set[int] = set()
    stack = [value for value in values if type(value) not in _ENDS]
    while stack:
        item = stack.pop()
        container = container_of(type(item))
        if container is None or id(item) in visited:
            continue
        visited.add(id(item))
        if type(item) in _LISTS or (is_mark(item) and not is_returned):
            ends.append(id(item))
        for child in _worth_a_look(container, item):
            if type(child) not in _ENDS:
                parents.setdefault(id(child), []).append(id(item))
                stack.append(child)
            elif not (is_returned and is_state(child)):
                ends.append(id(item))
    dirty: set[int] = set()
    while ends:
        ident = ends.pop()
        if ident not in dirty:
            dirty.add(ident)
            ends.extend(parents.get(ident, ()))
    return dirty


def data_of(source: Source) -> Any:
    """What takes the place of a future or state: its data as it is, or its exception."""
    if not isinstance(source, State) and source.phase is _COMPLETED:
        value = source.outcome
        return value if type(value) in ATOMS else in_hand(value)
    state = source if isinstance(source, State) else source.last_state
    if state.type is StateType.COMPLETED:
        return None if state.data is None else state.result()
    try:
        return get_state_exception(state)
    except (TypeError, ValueError):
        # The data of a user's state may be anything; or it has not ended.
        return state.result(raise_on_failure=False)
