"""The options of stored and cached results: what each may be, and what a spec keeps."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from headrace._text import shown
from headrace.cache_keys import task_input_hash
from headrace.callables import check_takes, is_coroutine_callable, is_of_module
from headrace.option_checks import flag_of, optional_flag_of
from headrace.parameters import Binder

__all__ = ("RESULT_OPTIONS", "ResultOptions")

# What of these flows have is a part of what tasks have.
RESULT_OPTIONS: Final = (
    "persist_result",
    "result_storage",
    "result_storage_key",
    "result_serializer",
    "cache_result_in_memory",
    "cache_key_fn",
    "cache_expiration",
    "refresh_cache",
)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ResultOptions:
    """What was said of the results of a task or flow, checked.

    Attributes:
        given: The options as they were given, by name.
        persist: Whether results are stored; None to tell by the other options.
        storage: Where, a `headrace.storage.ResultStorage`; None for that of the flow.
        serializer: How, a `headrace.serializers.Serializer`; None likewise.
        storage_key: A template for the keys; None for random ones.
        in_memory: Whether a result that is stored stays in memory too.
        cache_key: Gives the key of what is cached; None for no caching.
        is_key_async: Whether that is a coroutine function.
        cache_seconds: How long it is valid; None for ever.
        refresh: Whether what is cached is not looked at; None for what settings say.
    """

    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    persist: bool | None = None
    storage: Any = None
    serializer: Any = None
    storage_key: str | None = None
    in_memory: bool = True
    cache_key: Callable[..., Any] | None = None
    is_key_async: bool = False
    cache_seconds: float | None = None
    refresh: bool | None = None

    @classmethod
    def of(
        cls, name: str, options: Mapping[str, Any], binder: Binder
    ) -> ResultOptions | None:
        """Those among the options of a task or flow; None if nothing was said.

        Args:
            name: That of the task or flow, for messages.
            options: All its options.
            binder: Of its function.

        Raises:
            TypeError: One is of a wrong type.
            ValueError: One makes no sense: `UnknownSerializer`, `InvalidStorageKey`.
            ImportError: The storage needs a package that is not installed.
        """
        names = RESULT_OPTIONS
        given = {key: options[key] for key in names if options.get(key) is not None}
        if not given:
            return None
        # Now, and not at the first run: a loop would stand still for as long.
        importlib.import_module("headrace.results")
        flag = "cache_result_in_memory"
        cache_key = _cache_key_of(name, given.get("cache_key_fn"), binder)
        return cls(
            given=given,
            persist=optional_flag_of(
                name, "persist_result", given.get("persist_result")
            ),
            storage=_storage_of(name, given.get("result_storage")),
            serializer=_serializer_of(name, given.get("result_serializer")),
            storage_key=_storage_key_of(name, given.get("result_storage_key"), binder),
            in_memory=flag_of(name, flag, given.get(flag, True)),
            cache_key=cache_key,
            is_key_async=is_coroutine_callable(cache_key) if cache_key else False,
            cache_seconds=_seconds_of(name, given.get("cache_expiration")),
            refresh=optional_flag_of(name, "refresh_cache", given.get("refresh_cache")),
        )

    @property
    def is_lasting(self) -> bool:
        """Whether nothing is kept alive by keeping this; see `TaskSpec.is_lasting`."""
        key = self.cache_key
        is_of_user = self.storage is not None or self.serializer is not None
        return not is_of_user and (key is None or is_of_module(key))

    @property
    def asks_to_store(self) -> bool | None:
        """Whether results are to be stored, by all that was said of storing them."""
        if self.persist is not None:
            return self.persist
        said = (self.storage, self.serializer, self.storage_key)
        if not self.in_memory or any(each is not None for each in said):
            return True
        return None


# Imported late, all of them: they bring along pydantic, and most programs store nothing.


def _storage_of(name: str, given: object) -> Any:
    if given is None:
        return None
    from headrace.storage import resolve_storage  # noqa: PLC0415 - see above

    with _named(name, "result_storage"):
        return resolve_storage(given)


def _serializer_of(name: str, given: object) -> Any:
    if given is None:
        return None
    from headrace.serializers import resolve_serializer  # noqa: PLC0415 - see above

    with _named(name, "result_serializer"):
        serializer = resolve_serializer(given)
        try:
            _ = serializer.spec
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{shown(given)} cannot be written beside what it stores: {error}. Give "
                f"its fields values that JSON has."
            ) from error
        return serializer


def _storage_key_of(name: str, given: object, binder: Binder) -> str | None:
    if given is None:
        return None
    from headrace.storage_keys import check_storage_key  # noqa: PLC0415 - see above

    with _named(name, "result_storage_key"):
        return check_storage_key(given, [*binder.signature.parameters])


def _cache_key_of(
    name: str, given: object, binder: Binder
) -> Callable[..., Any] | None:
    if given is None:
        return None
    if not callable(given):
        raise TypeError(
            f"{name}: cache_key_fn={shown(given)} is no function. Give one that takes "
            f"the context and the parameters of a run and returns a text or None, such "
            f"as headrace.tasks.task_input_hash."
        )
    advice = "It is called as fn(context, parameters), by position."
    check_takes(given, 2, f"{name}: the cache_key_fn", advice)
    from headrace.hashing import KeyPolicy, keys  # noqa: PLC0415 - see above

    if given is task_input_hash:
        return keys.task_input_hash
    if isinstance(given, KeyPolicy):
        with _named(name, "cache_key_fn"):
            given.check(binder.signature.parameters)
    return given


def _seconds_of(name: str, given: object) -> float | None:
    if given is None:
        return None
    text = f"{name}: cache_expiration={shown(given)} "
    if not isinstance(given, timedelta):
        raise TypeError(
            f"{text}is no timedelta. Write datetime.timedelta(hours=1), or leave it out "
            f"for ever."
        )
    seconds = given.total_seconds()
    if not math.isfinite(seconds):
        raise ValueError(f"{text}is no length of time.")
    return seconds


@contextmanager
def _named(name: str, option: str) -> Generator[None]:
    """Say with an error which option of which task it is about."""
    try:
        yield
    except Exception as error:
        error.add_note(f"This is about the option {option} of {name!r}.")
        raise
