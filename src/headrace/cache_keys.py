"""The key function that most cached tasks take, without what it takes to compute it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ("task_input_hash",)


def task_input_hash(context: Any, parameters: Mapping[str, Any]) -> str | None:
    """A cache key of a task, its code and its arguments: for ``cache_key_fn``.

    Equal in every process for values of the same types and content. The code is the
    bytecode of the function with its constants, defaults and the values of enclosing
    functions that it uses; not what it looks up in its module.

    Args:
        context: Has the task as ``task``.
        parameters: What each parameter of the function gets.

    Returns:
        32 hexadecimal digits; None if a part of it has no stable hash: then the run is
        not cached, and a warning names that part, once for each task.
    """
    # Late: most programs cache nothing.
    from headrace.hashing import keys  # noqa: PLC0415

    return keys.task_input_hash(context, parameters)
