"""What goes to every run of a map or stream: looked into once, for all of them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from headrace._engine.deferred import held_back
from headrace._engine.inputs import keys_of, look_into
from headrace._engine.mapping import NO_KWARGS, whole_futures, with_data
from headrace._engine.scopes import Scope
from headrace.annotations import allow_failure, is_mark, quote
from headrace.futures.contents import container_of
from headrace.futures.gates import Gate, Shared, has_completed
from headrace.futures.resolve import ATOMS, Source, data_of, substitute
from headrace.runs.inputs import Links, packed
from headrace.specs import TaskSpec
from headrace.states import State

__all__ = (
    "gate_of",
    "has_pending",
    "links_of_whole",
    "materialised",
    "refuse_failed",
    "shared",
    "with_whole_data",
)


def materialised(wait_for: object) -> Any:
    """What to wait for: of an iterable that cannot be looked into, a list of its items.

    Read once and up front (WAIT-01). Texts and open files are left alone.
    """
    if is_mark(wait_for) and not isinstance(wait_for, quote):
        return wait_for.rewrap(materialised(wait_for.value))
    if container_of(type(wait_for)) is None and _is_to_be_read(wait_for):
        return list(wait_for)
    return wait_for


def _is_to_be_read(value: object) -> TypeGuard[Iterable[Any]]:
    return isinstance(value, Iterable) and not isinstance(
        value, (str, bytes, bytearray, memoryview, io.IOBase)
    )


def has_pending(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Source]:
    """The futures given as whole arguments that have not ended."""
    return [
        source
        for source in whole_futures((*args, *kwargs.values()))
        if not isinstance(source, State) and not source.done()
    ]


def gate_of(
    scope: Scope, spec: TaskSpec, value: object, verb: str = "map"
) -> Gate | None:
    """What every run of a map waits for, looked up once; None if it is nothing."""
    required, tolerated, links, _ = look_into((), NO_KWARGS, value, scope.known)
    if not links and not required and not tolerated:
        return None
    name = f"{spec.name}.{verb}()"
    gate = Gate(scope, name, required, tolerated, keys=links[1::2])
    scheduler = scope.opened()
    if scheduler.is_here():
        gate.watch(scheduler)
    else:
        scheduler.call(gate.watch, scheduler)
    return gate


def links_of_whole(
    scope: Scope, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Links:
    """Which runs the whole arguments of a map are of: each of its runs is told."""
    links: list[Any] = []
    for place, value in (*enumerate(args), *kwargs.items()):
        if type(value) in ATOMS:
            continue
        keys = keys_of(whole_futures([value]))
        if scope.known is not None:
            inner = value
            while is_mark(inner) and not isinstance(inner, quote):
                inner = inner.value
            key = scope.known.key_of(inner)
            keys += [] if key is None else [key]
        if keys:
            links += place, packed(keys)
    return tuple(links)


def shared(scope: Scope, spec: TaskSpec, value: object, verb: str = "map") -> Any:
    """An argument that goes to every run of a map, so that none looks into it again."""
    if container_of(type(value)) is None:
        return value
    gate = gate_of(scope, spec, value, verb)
    if gate is not None:
        return Shared(value, gate)
    return quote(substitute(value))


def with_whole_data(
    args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """The arguments of a map, with data in the place of futures that completed."""
    sources = whole_futures((*args, *kwargs.values()))
    data = {id(each): data_of(each) for each in sources if has_completed(each)}
    if data:
        args = tuple([with_data(value, data) for value in args])
        kwargs = {name: with_data(value, data) for name, value in kwargs.items()}
    return args, kwargs


def refuse_failed(name: str, values: Iterable[Any]) -> None:
    """Nothing can be split: raise if that is as a whole argument did not complete.

    What did not complete goes to every run, unless it was to be split (MAP-08).

    Raises:
        UpstreamTaskError: One did not.
    """
    failed = whole_futures([value for value in values if not _is_tolerant(value)])
    if not all(has_completed(source) for source in failed):
        raise held_back(_Mapped(name), failed)


class _Mapped:
    """Stands for the map itself where a run's name is wanted."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


def _is_tolerant(value: Any) -> bool:
    while is_mark(value):
        if isinstance(value, allow_failure):
            return True
        value = value.value
    return False
