"""Cache keys: of arguments, and of a task with its code."""

from __future__ import annotations

import functools
import logging
import marshal
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

from headrace.exceptions import HashError
from headrace.hashing.code import closure_of, known_code
from headrace.hashing.encoding import digest, encode

__all__ = (
    "encoded_source",
    "hash_objects",
    "key_of_task",
    "name_of_task",
    "stable_hash",
    "task_input_hash",
    "warn_of",
)

log: Final = logging.getLogger("headrace.hashing")

# A memo of what was said, so that it is said once of each task.
_WARNED: Final[WeakSet[Any]] = WeakSet()
_VERSION: Final = 2
_NOTHING: Final = encode(None, "")
# In place of the defaults, those by keyword, and the values of enclosing functions.
_NO_VALUES: Final = _NOTHING * 3


def stable_hash(
    *parts: str | bytes, hash_algo: Callable[[bytes], Any] | None = None
) -> str:
    """A hash of some texts and bytes, one after the other without anything between.

    Args:
        parts: Texts count as UTF-8.
        hash_algo: Such as `hashlib.md5`. By default half of SHA-256.

    Returns:
        Hexadecimal digits: 32 of them by default.

    Raises:
        TypeError: A part is neither text nor bytes.
    """
    encoded: list[bytes] = []
    for part in parts:
        given: Any = part
        if isinstance(given, str):
            given = given.encode("utf-8", "surrogatepass")
        if not isinstance(given, bytes):
            raise TypeError(
                f"stable_hash() takes texts and bytes, not {type(part).__name__}. "
                f"Use hash_objects() for other values."
            )
        encoded.append(given)
    content = b"".join(encoded)
    if hash_algo is None:
        return digest(content)
    return str(hash_algo(content).hexdigest())


def hash_objects(*args: Any, **kwargs: Any) -> str | None:
    """A hash of any values: the same in each process, for the same types and content.

    Returns:
        32 hexadecimal digits; None if something in the values is of this process only,
        such as a lock or an open file.
    """
    try:
        return digest(encode(args, "args") + encode(kwargs, "kwargs"))
    except HashError:
        return None


def task_input_hash(context: Any, parameters: Mapping[str, Any]) -> str | None:
    """A cache key of a task, its code and its arguments: for ``cache_key_fn``.

    The code is the bytecode of the function with its constants, defaults and the
    values of enclosing functions that it uses; not what it looks up in its module.

    Args:
        context: Has the task as ``task``.
        parameters: What each parameter of the function gets.

    Returns:
        32 hexadecimal digits; None if a part of it has no stable hash: then the run is
        not cached, and a warning names that part, once for each task.
    """
    task = context.task
    try:
        return digest(
            marshal.dumps(task.task_key, _VERSION)
            + encoded_source(task.fn)
            + encode(parameters, "args")
        )
    except HashError as error:
        warn_of(task, error)
        return None


def encoded_source(fn: Any) -> bytes:
    """What tells the code of a callable apart, and the values that go with it.

    Raises:
        HashError: Such a value cannot be told apart.
    """
    # Not by the module that it stands in: the task has a key of its own.
    if type(fn) is not types.FunctionType:
        return encode(fn, "fn")
    code = fn.__code__
    encoded = known_code(code) or encode(code, "fn.__code__")
    if fn.__defaults__ is None and fn.__kwdefaults__ is None and not fn.__closure__:
        return encoded + _NO_VALUES  # as most functions
    for name, values in (
        ("__defaults__", fn.__defaults__),
        ("__kwdefaults__", fn.__kwdefaults__),
        ("__closure__", closure_of(fn)),
    ):
        encoded += _NOTHING if values is None else encode(values, f"fn.{name}")
    return encoded


def key_of_task(task: Any) -> str:
    """What makes it the same task, in every program that looks at the same cache.

    Of one in a script the path too: each has a module called ``__main__``.
    """
    key: str = task.task_key
    if not key.startswith("__main__."):
        return key
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return key if file is None else _in_script(key, file)


@functools.lru_cache(maxsize=256)
def _in_script(key: str, file: str) -> str:
    return f"{Path(file).absolute()} {key}"


def warn_of(task: Any, error: HashError) -> None:
    """Log that the runs of a task are not cached, the first time."""
    try:
        if task in _WARNED:
            return
        _WARNED.add(task)
    except TypeError:
        pass  # it cannot be weakly referenced: then it is said each time
    log.warning("runs of the task %r are not cached: %s", name_of_task(task), error)


def name_of_task(task: Any) -> str:
    """What messages call it."""
    return str(getattr(task, "name", None) or getattr(task, "task_key", "task"))
