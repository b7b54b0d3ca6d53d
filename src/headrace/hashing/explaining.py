"""What a cache key is made of, and which part of it changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from headrace.exceptions import HashError
from headrace.hashing.encoding import digest, encode
from headrace.hashing.keys import encoded_source, key_of_task, task_input_hash
from headrace.hashing.policies import (
    INPUTS,
    NO_CACHE,
    TASK_SOURCE,
    KeyPolicy,
    key_of_other,
    run_id_of,
)

__all__ = (
    "KeyChange",
    "KeyPart",
    "compare_parts",
    "explain",
    "parts_from_text",
    "parts_to_text",
)


# Named tuples: dataclasses would make up a third of what it takes to import this package.
class KeyPart(NamedTuple):
    """One of the things that a cache key is made of.

    Attributes:
        name: Such as ``"task source"`` or ``"argument x"``.
        digest: Of its content; None if it has none that is stable, or none at all.
        problem: Why it has no digest; empty if it has one.
    """

    name: str
    digest: str | None
    problem: str = ""


class KeyChange(NamedTuple):
    """One part in which two keys differ.

    Attributes:
        name: That of the part.
        before: Its digest there; None if it was no part of that key.
        after: Likewise of the other key.
    """

    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.name} is new"
        return f"{self.name} is gone" if self.after is None else f"{self.name} changed"


def explain(
    key_fn: Callable[..., Any], context: Any, parameters: Mapping[str, Any]
) -> list[KeyPart]:
    """The parts of a key, each with a digest of its own.

    Args:
        key_fn: `task_input_hash` or a `KeyPolicy`; of any other function, plain ones
            only, the key itself is the one part.
        context: Has ``task`` and ``task_run``.
        parameters: What each parameter gets.

    Raises:
        ValueError: The policy leaves out a parameter that does not exist.
        TypeError: A key function of the user's gave no text.
    """
    policy: Any = INPUTS + TASK_SOURCE if key_fn is task_input_hash else key_fn
    if not isinstance(policy, KeyPolicy):
        return [_of_other(policy, context, parameters)]
    if policy == NO_CACHE:
        return []
    policy.check(parameters)
    parts = [_part("task key", lambda: encode(key_of_task(context.task), "task_key"))]
    if policy.run_id:
        parts.append(_part("run id", lambda: encode(run_id_of(context), "run_id")))
    if policy.source:
        parts.append(_part("task source", lambda: encoded_source(context.task.fn)))
    if policy.inputs:
        parts += [
            _of_argument(name, value) for name, value in policy.seen(parameters).items()
        ]
    return parts + [_of_other(other, context, parameters) for other in policy.others]


def _of_argument(name: str, value: Any) -> KeyPart:
    return _part(f"argument {name}", lambda: encode(value, f"args[{name!r}]"))


def _of_other(
    other: Callable[..., Any], context: Any, parameters: Mapping[str, Any]
) -> KeyPart:
    name = f"key of {getattr(other, '__qualname__', type(other).__qualname__)}"
    key = key_of_other(other, context, parameters)
    if not key:
        return KeyPart(name, None, "it gave none, so the run is not cached")
    return _part(name, lambda: encode(key, "key"))


def _part(name: str, encoded: Callable[[], bytes]) -> KeyPart:
    try:
        return KeyPart(name, digest(encoded()))
    except HashError as error:
        return KeyPart(name, None, str(error))


def compare_parts(
    before: Iterable[KeyPart], after: Iterable[KeyPart]
) -> list[KeyChange]:
    """In which parts two keys differ, in the order of the later; none if they agree."""
    old = {part.name: part.digest for part in before}
    new = {part.name: part.digest for part in after}
    names = [*new, *(name for name in old if name not in new)]
    return [
        KeyChange(name, old.get(name), new.get(name))
        for name in names
        # Without a digest nothing is known of it, so it may be another.
        if name not in old or old[name] is None or old[name] != new.get(name)
    ]


def parts_to_text(parts: Iterable[KeyPart]) -> str:
    """A line for each part, to be kept with what is cached."""
    return "\n".join(f"{part.digest or '-'} {part.name}" for part in parts)


def parts_from_text(text: str) -> list[KeyPart]:
    """The parts that `parts_to_text` wrote; lines of another form are left out."""
    found: list[KeyPart] = []
    for line in text.split("\n"):
        hashed, _, name = line.partition(" ")
        if name and hashed:
            found.append(KeyPart(name, None if hashed == "-" else hashed))
    return found
