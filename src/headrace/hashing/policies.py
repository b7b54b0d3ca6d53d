"""Ready-made key functions that can be added, and from which arguments can be taken.

``INPUTS + TASK_SOURCE - "session"`` is a key function as `task_input_hash` is one. Keys
of these hold the key of the task: two tasks never share results by accident.
"""

from __future__ import annotations

import inspect
import marshal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from headrace._text import shown
from headrace.exceptions import HashError
from headrace.hashing.encoding import digest, encode
from headrace.hashing.keys import encoded_source, key_of_task, warn_of

__all__ = (
    "INPUTS",
    "NO_CACHE",
    "RUN_ID",
    "TASK_SOURCE",
    "KeyPolicy",
    "key_of_other",
    "run_id_of",
)

_VERSION: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPolicy:
    """What a cache key is made of; for ``cache_key_fn``.

    Attributes:
        inputs: The arguments.
        source: The code of the task.
        run_id: The flow run: results are shared within one only. Outside of flows, the
            task run, which shares with nobody.
        without: Names of parameters that are no part of it.
        others: Key functions of the user's, plain ones, whose keys are parts of it.
    """

    inputs: bool = False
    source: bool = False
    run_id: bool = False
    without: frozenset[str] = frozenset()
    others: tuple[Callable[..., str | None], ...] = ()

    def __call__(self, context: Any, parameters: Mapping[str, Any]) -> str | None:
        """The key of a run; None for no caching.

        Raises:
            ValueError: A parameter that is to be left out does not exist.
            TypeError: A key function of the user's gave no text.
        """
        kind = self.inputs + 2 * self.source + 4 * self.run_id + 8 * len(self.others)
        if not kind:
            return None
        self.check(parameters)
        task = context.task
        run_id = run_id_of(context) if self.run_id else None
        try:
            encoded = [marshal.dumps((kind, key_of_task(task), run_id), _VERSION)]
            if self.source:
                encoded.append(encoded_source(task.fn))
            if self.inputs:
                encoded.append(encode(self.seen(parameters), "args"))
        except HashError as error:
            warn_of(task, error)
            return None
        for other in self.others:
            key = key_of_other(other, context, parameters)
            if not key:
                return None
            encoded.append(marshal.dumps(key, _VERSION))
        return digest(b"".join(encoded))

    def check(self, parameters: Iterable[str]) -> None:
        """Refuse the name of a parameter that does not exist.

        Args:
            parameters: Those of the task's function.

        Raises:
            ValueError: There is one.
        """
        if not self.without:
            return
        known = [*parameters]
        unknown = sorted(self.without.difference(known))
        if unknown:
            raise ValueError(
                f"the cache key is to leave out {', '.join(map(repr, unknown))}, and "
                f"the task has no such parameter. It has {', '.join(known) or 'none'}."
            )

    def seen(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that are part of it."""
        without = self.without
        if not without:
            return dict(parameters)
        return {name: parameters[name] for name in parameters if name not in without}

    def __add__(self, other: Any) -> KeyPolicy:
        if isinstance(other, KeyPolicy):
            return KeyPolicy(
                inputs=self.inputs or other.inputs,
                source=self.source or other.source,
                run_id=self.run_id or other.run_id,
                without=self.without | other.without,
                others=self.others + other.others,
            )
        if inspect.iscoroutinefunction(other):
            raise TypeError(
                f"{shown(other)} is a coroutine function, and those cannot be added to "
                f"other keys. Give it alone, or make it a plain function."
            )
        if callable(other):
            return replace(self, others=(*self.others, other))
        return NotImplemented

    # Of a function and a policy.
    __radd__ = __add__

    def __sub__(self, names: str | Iterable[str]) -> KeyPolicy:
        given: Any = names
        left_out = {given} if isinstance(given, str) else {*given}
        wrong = [name for name in left_out if not isinstance(name, str)]
        if wrong or not self.inputs:
            what = shown(wrong[0]) if wrong else f"{self} has no arguments"
            raise TypeError(
                f"only names of parameters can be left out of a cache key that has the "
                f'arguments: {what}. Write INPUTS - "session".'
            )
        return replace(self, without=self.without | left_out)

    def __repr__(self) -> str:
        has = {
            "INPUTS": self.inputs,
            "TASK_SOURCE": self.source,
            "RUN_ID": self.run_id,
        }
        names = [name for name, is_part in has.items() if is_part]
        names += [shown(other) for other in self.others]
        less = "".join(f" - {name!r}" for name in sorted(self.without))
        return (" + ".join(names) or "NO_CACHE") + less


def run_id_of(context: Any) -> str:
    """The id of the flow run, else of the task run."""
    run = context.task_run
    found = getattr(run, "flow_run_id", None) or run.id
    return str(found)


def key_of_other(
    other: Callable[..., Any], context: Any, parameters: Mapping[str, Any]
) -> str | None:
    """The key that a function of the user's gives.

    Raises:
        TypeError: It gave something else.
    """
    key = other(context, dict(parameters))
    if key is None or isinstance(key, str):
        return key
    raise TypeError(
        f"the key function {shown(other)} returned {shown(key)}, which is neither a "
        f"text nor None. Return a str, such as a hash."
    )


INPUTS: Final = KeyPolicy(inputs=True)
TASK_SOURCE: Final = KeyPolicy(source=True)
RUN_ID: Final = KeyPolicy(run_id=True)
NO_CACHE: Final = KeyPolicy()
