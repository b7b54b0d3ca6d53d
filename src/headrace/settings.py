"""The settings: what there is to set, and how it is read from the environment.

Checked by hand, and not by pydantic: every decorator asks for the settings, and to
import pydantic takes longer than to import all of headrace.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import Field, asdict, dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast, get_args

from headrace._values import Value

__all__ = (
    "FEWEST_OF_A_KEY",
    "PREFIX",
    "CacheIndex",
    "History",
    "Secret",
    "Settings",
    "current_settings",
    "is_switched_on",
    "temporary_settings",
)

T = TypeVar("T")

# The name of a variable is this and the name of the setting, in capitals.
PREFIX: Final = "HEADRACE_"

History: TypeAlias = Literal["full", "last", "off"]
CacheIndex: TypeAlias = Literal["sqlite", "memory"]

_MOST_DELAYS: Final = 50


# -- What a setting may be ----------------------------------------------------------
#
# Each of these gives the value that is kept, made of a text of the environment or of
# a value, or raises a ValueError that says what is wrong with it.


def _whole(least: int) -> Callable[[object], int]:
    def check(given: Any) -> int:
        try:
            number = int(given)
            is_same = isinstance(given, str) or number == given
            if isinstance(given, bool) or not is_same:
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            raise ValueError("it is no whole number") from None
        if number < least:
            raise ValueError(f"it is less than {least}")
        return number

    return check


def _seconds(given: Any) -> float:
    try:
        if isinstance(given, bool):
            raise TypeError
        number = float(given)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("it is no number") from None
    if not math.isfinite(number):
        raise ValueError("it is no finite number")
    if number < 0:
        raise ValueError("it is less than 0")
    return number


def _seconds_above_0(given: object) -> float:
    number = _seconds(given)
    if not number:
        raise ValueError("it is not more than 0")
    return number


def _folder(given: Any) -> str:
    """A text, as importing pathlib takes some milliseconds that few programs need."""
    try:
        path = cast("str | bytes", os.fspath(given))
    except TypeError:
        raise ValueError("it is no path") from None
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise ValueError("it names no folder")
    return path


class Secret:
    """A text that no message shows.

    Args:
        text: The text.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def get_secret_value(self) -> str:
        """The text itself."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret('**********')"


FEWEST_OF_A_KEY: Final = 16  # characters, so that it cannot be guessed


def _secret(given: object) -> Secret | None:
    if given is None or isinstance(given, Secret):
        return given
    if not isinstance(given, str):
        raise ValueError("it is no text")  # noqa: TRY004 - as all checks here
    if len(given) < FEWEST_OF_A_KEY:
        raise ValueError(f"it has {len(given)} characters")
    return Secret(given)


def _delays(given: object) -> float | tuple[float, ...]:
    """Seconds, or several; as a text such as ``"1, 10"`` or ``"[1, 10]"`` too."""
    parts = _parts(given) if isinstance(given, str) else given
    if not isinstance(parts, (list, tuple)):
        return _seconds(parts)
    items = cast("list[object] | tuple[object, ...]", parts)
    if len(items) > _MOST_DELAYS:
        raise ValueError(
            f"it has {len(items)} items, where at most {_MOST_DELAYS} items are allowed"
        )
    delays: list[float] = []
    for index, item in enumerate(items):
        try:
            delays.append(_seconds(item))
        except ValueError as wrong:
            raise ValueError(f"of item {index}, {item!r}, {wrong}") from None
    return tuple(delays)


def _parts(text: str) -> object:
    if not ("," in text or text.strip()[:1] == "["):
        return text
    inner = text.strip().removeprefix("[").removesuffix("]")
    return [part.strip() for part in inner.split(",")] if inner.strip() else []


_WORDS: Final[Mapping[object, bool]] = {
    **dict.fromkeys((1, "1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys((0, "0", "false", "f", "no", "n", "off"), False),
}


def _truth(given: object) -> bool:
    word = given.strip().lower() if isinstance(given, str) else given
    try:
        return _WORDS[word]
    except (KeyError, TypeError):
        raise ValueError("it is neither true nor false") from None


def _text(given: object) -> str:
    if not isinstance(given, str) or not given.strip():
        raise ValueError("it is no text")
    return given.strip()


def _optional(check: Callable[[object], T]) -> Callable[[object], T | None]:
    return lambda given: None if given is None else check(given)


def _choice(choices: Any) -> Callable[[object], Any]:
    def check(given: object) -> object:
        if given in get_args(choices):
            return given
        raise ValueError("there is no such choice")

    return check


def _setting(default: T, check: Callable[[object], object], allowed: str) -> T:
    """A field of `Settings`: what it is if not given, what it may be, and in words."""
    return field(default=default, metadata={"check": check, "allowed": allowed})


# -- The settings -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Settings(Value):
    """What holds where nothing else was said. Cannot be changed once made.

    Attributes:
        task_default_retries: ``retries`` of a task that says nothing.
        task_default_retry_delay_seconds: ``retry_delay_seconds`` of such a task.
        flow_default_retries: ``retries`` of a flow that says nothing.
        flow_default_retry_delay_seconds: ``retry_delay_seconds`` of such a flow.
        logging_log_prints: Whether prints are logged where neither task nor flow says.
        debug_mode: Whether the engine logs what each run was called with.
        max_threads: How many plain bodies of one runtime may run at a time.
        max_lent_threads: How many more of them may wait for other runs meanwhile.
        cancel_grace_seconds: How long a cancelled body may clean up.
        drain_grace_seconds: How long runs may go on when a runtime is drained.
        abandon_after_seconds: How long after its time limit a plain body may take
            to stop, before its thread is given up.
        hook_timeout_seconds: How long one hook may take.
        history: What a runtime records of runs: "full", "last" (of each run only its
            last state) or "off".
        max_run_records: How many runs that have ended a runtime remembers.
        track_results: Whether an argument that an earlier run of the same flow run
            returned is recorded as coming from that run.
        warn_of_duplicate_names: Whether two tasks of one name in one module do so.
        results_persist_by_default: Whether results are stored where neither a task nor
            its flow says.
        results_default_serializer: How, where neither says: the name of a serializer.
        local_storage_path: The folder where, likewise; None for ``storage`` in `home`.
        max_result_bytes: How large a stored result may be: a run that gives a larger one
            fails. None for any size.
        tasks_refresh_cache: Whether runs execute whatever is cached, where their task
            does not say.
        cache_index: Where it is written down what is cached: "sqlite", a file in `home`
            that processes share, or "memory", as long as the runtime lasts.
        cache_max_bytes: How large all cached values may be together: what was used
            longest ago has to go. None for any size.
        home: The folder of what headrace keeps: results, the key that signs them, and
            the index of the cache.
        signing_key: A secret of at least 16 characters in place of that key, for
            programs on several machines that read each other's results.

    Raises:
        ValueError: A value is not allowed: names the setting and what is.
    """

    task_default_retries: int = _setting(0, _whole(0), "a whole number >= 0")
    task_default_retry_delay_seconds: float | tuple[float, ...] = _setting(
        0.0, _delays, "seconds >= 0, or up to 50 of them such as 1,10,60"
    )
    flow_default_retries: int = _setting(0, _whole(0), "a whole number >= 0")
    flow_default_retry_delay_seconds: float | tuple[float, ...] = _setting(
        0.0, _delays, "seconds >= 0, or up to 50 of them such as 1,10,60"
    )
    logging_log_prints: bool = _setting(False, _truth, "true or false")
    debug_mode: bool = _setting(False, _truth, "true or false")
    max_threads: int = _setting(64, _whole(1), "a whole number >= 1")
    max_lent_threads: int = _setting(512, _whole(0), "a whole number >= 0")
    cancel_grace_seconds: float = _setting(5.0, _seconds, "seconds >= 0")
    drain_grace_seconds: float = _setting(30.0, _seconds, "seconds >= 0")
    abandon_after_seconds: float = _setting(0.04, _seconds, "seconds >= 0")
    hook_timeout_seconds: float = _setting(30.0, _seconds_above_0, "seconds > 0")
    history: History = _setting("full", _choice(History), "'full', 'last' or 'off'")  # noqa: RUF009
    max_run_records: int = _setting(10_000, _whole(0), "a whole number >= 0")
    track_results: bool = _setting(True, _truth, "true or false")
    warn_of_duplicate_names: bool = _setting(True, _truth, "1 or 0")
    results_persist_by_default: bool = _setting(False, _truth, "true or false")
    results_default_serializer: str = _setting("pickle", _text, "the name of one")
    local_storage_path: str | None = _setting(None, _optional(_folder), "a folder")
    max_result_bytes: int | None = _setting(
        None, _optional(_whole(0)), "a whole number of bytes"
    )
    tasks_refresh_cache: bool = _setting(False, _truth, "true or false")
    cache_index: CacheIndex = _setting(  # noqa: RUF009
        "sqlite", _choice(CacheIndex), "'sqlite' or 'memory'"
    )
    cache_max_bytes: int | None = _setting(
        None, _optional(_whole(1)), "a whole number of bytes >= 1"
    )
    home: str = _setting("~/.headrace", _folder, "a folder")
    signing_key: Secret | None = _setting(None, _secret, "at least 16 characters")  # noqa: RUF009

    def __post_init__(self) -> None:
        for each in fields(self):
            given = getattr(self, each.name)
            if given is not each.default:
                checked = _checked(each, given, each.name)
                object.__setattr__(self, each.name, checked)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings from variables such as ``HEADRACE_MAX_THREADS``.

        Args:
            environ: `os.environ`, or another mapping. A variable that is missing or
                empty leaves the default.

        Raises:
            ValueError: A value is not allowed: names the variable and what is.
        """
        given: dict[str, Any] = {}
        for variable, each in _BY_VARIABLE:
            if text := environ.get(variable, "").strip():
                given[each.name] = _checked(each, text, variable)
        return cls(**given) if given else _DEFAULTS

    def replaced(self, updates: Mapping[str, Any]) -> Settings:
        """The same settings but for some.

        Args:
            updates: Name of a setting to its new value.

        Raises:
            ValueError: There is no such setting, or a value is not allowed.
        """
        values = asdict(self)
        for name in updates:
            if name not in values:
                raise ValueError(
                    f"there is no setting {name!r}. Use one of {', '.join(values)}."
                )
        return Settings(**{**values, **updates})


_BY_VARIABLE: Final = tuple((f"{PREFIX}{f.name.upper()}", f) for f in fields(Settings))
_DEFAULTS: Final = Settings()


def _checked(setting: Field[Any], given: object, called: str) -> object:
    """The value to keep.

    Raises:
        ValueError: It is not allowed.
    """
    try:
        return setting.metadata["check"](given)
    except ValueError as wrong:
        # What may be a secret is not shown.
        shown = "what it is" if setting.name == "signing_key" else repr(given)
        raise ValueError(
            f"{called} cannot be {shown}: {wrong}. Set it to "
            f"{setting.metadata['allowed']}, or leave it out for {setting.default!r}."
        ) from None


_CURRENT: Final[ContextVar[Settings | None]] = ContextVar(
    "headrace_settings", default=None
)


def current_settings() -> Settings:
    """The settings that hold in this context.

    Those of the innermost `temporary_settings`; else the environment is read, which
    takes some microseconds. So decorators and runtimes ask, when they are made, and
    the runs of a runtime never do.

    Raises:
        ValueError: See `Settings.from_environment`.
    """
    current = _CURRENT.get()
    return Settings.from_environment(os.environ) if current is None else current


def is_switched_on(name: str) -> bool:
    """One of the current settings that is off unless said otherwise.

    A call outside of everything has to know two of them, and 9 us for all is more than
    it takes itself.

    Args:
        name: Such as ``"logging_log_prints"``.
    """
    if _CURRENT.get() is None and f"{PREFIX}{name.upper()}" not in os.environ:
        return False
    return bool(getattr(current_settings(), name))


@contextmanager
def temporary_settings(
    updates: Mapping[str, Any] | None = None, **more: Any
) -> Generator[Settings]:
    """Replace settings for what is defined and started inside a block.

    Args:
        updates: Name of a setting to its value.
        more: The same, as keywords.

    Yields:
        The settings that hold inside.

    Raises:
        ValueError: There is no such setting, or a value is not allowed.
    """
    settings = current_settings().replaced({**(updates or {}), **more})
    token = _CURRENT.set(settings)
    try:
        yield settings
    finally:
        _CURRENT.reset(token)
