"""Which objects the runs of a flow gave: so that who is given one depends on that run.

By weak references, each checked by identity: nothing is kept alive, and an object at
the address of one that is gone is not mistaken for it.
"""

from __future__ import annotations

import enum
import itertools
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from headrace.futures.contents import container_of
from headrace.runs import Record

__all__ = ("KnownResults",)

# Of a value that holds more, the others are not looked at: that takes 0.4 ms.
_MOST_CHILDREN: Final = 1000

# Objects of which there is one for all: that two runs had the same tells nothing.
_EVERYWHERE: Final = (
    type, enum.Enum, types.ModuleType, types.FunctionType, types.BuiltinFunctionType,
)  # fmt: skip

# For checkers, list.__iter__ is a method of lists of something unknown.
_SEQUENCES: Final[tuple[Any, ...]] = (list, tuple, set, frozenset, deque)
_DICT: Final[Any] = dict


class _Trace(weakref.ref[Any]):
    """A weak reference to what a run gave."""

    __slots__ = ("address", "run_key")

    address: int
    run_key: int


class KnownResults:
    """The objects that the runs of one scope gave and that are alive. From any thread."""

    __slots__ = ("__weakref__", "_forget", "_traces")

    def __init__(self) -> None:
        self._traces: dict[int, _Trace] = {}
        self._forget = _forgetting(weakref.ref(self))

    def note(self, value: object, run: Record) -> None:
        """A run has given a value: know it by that, and by what is directly in it.

        What was given before by another run is from now on known as given by this.
        """
        key: int | None = None
        for item in itertools.chain((value,), _children_of(value)):
            kind = type(item)
            if kind.__weakrefoffset__ and not issubclass(kind, _EVERYWHERE):
                key = run.run_key() if key is None else key
                trace = _Trace(item, self._forget)
                trace.address, trace.run_key = id(item), key
                self._traces[id(item)] = trace

    def key_of(self, value: object) -> int | None:
        """The id, as a number, of the run that gave this very object, if one did."""
        trace = self._traces.get(id(value))
        return trace.run_key if trace is not None and trace() is value else None

    def drop(self, trace: _Trace) -> None:
        """The object of a trace is gone."""
        if self._traces.get(trace.address) is trace:
            self._traces.pop(trace.address, None)

    def clear(self) -> None:
        """Know nothing any more: no run follows that could be given something."""
        self._traces.clear()


def _forgetting(owner: weakref.ref[KnownResults]) -> Callable[[_Trace], None]:
    # By a weak reference: what is noted must not wait for its objects to be freed.
    def forget(trace: _Trace) -> None:
        if (known := owner()) is not None:
            known.drop(trace)

    return forget


def _children_of(value: object) -> Iterable[object]:
    """What is directly in a value; of a dict the values."""
    kind = type(value)
    if issubclass(kind, _DICT):
        return _some(_DICT.values(value))
    for base in _SEQUENCES:
        if issubclass(kind, base):
            return _some(base.__iter__(value))
    container = container_of(kind)
    return () if container is None else container.held(value)[:_MOST_CHILDREN]


def _some(items: Iterable[object]) -> list[object]:
    try:
        return list(itertools.islice(items, _MOST_CHILDREN))
    except RuntimeError:
        return []  # another thread changes it just now
