"""The settings: what there is to set, and how it is read from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
)

__all__ = (
    "PREFIX",
    "History",
    "Settings",
    "current_settings",
    "logs_prints_by_default",
    "temporary_settings",
)

# The name of a variable is this and the name of the setting, in capitals.
PREFIX: Final = "HEADRACE_"


def _split(given: object) -> object:
    """The parts of a text such as ``"1, 10"`` or ``"[1, 10]"``; else the same."""
    if not isinstance(given, str) or not ("," in given or given.strip()[:1] == "["):
        return given
    inner = given.strip().removeprefix("[").removesuffix("]")
    return [part.strip() for part in inner.split(",")] if inner.strip() else []


History: TypeAlias = Literal["full", "last", "off"]

_Count = Annotated[int, Field(ge=0)]
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# Told apart beforehand, so that an error speaks of the one that was meant.
_Delays = Annotated[
    Annotated[_Seconds, Tag("one")]
    | Annotated[tuple[_Seconds, ...], Field(max_length=50), Tag("many")],
    Discriminator(lambda given: "many" if isinstance(given, (list, tuple)) else "one"),
    BeforeValidator(_split),
]


class Settings(BaseModel):
    """What holds where nothing else was said. Cannot be changed once made.

    Attributes:
        task_default_retries: ``retries`` of a task that says nothing.
        task_default_retry_delay_seconds: ``retry_delay_seconds`` of such a task.
        flow_default_retries: ``retries`` of a flow that says nothing.
        flow_default_retry_delay_seconds: ``retry_delay_seconds`` of such a flow.
        logging_log_prints: Whether prints are logged where neither task nor flow says.
        debug_mode: Whether the engine logs what each run was called with.
        max_threads: How many plain bodies of one runtime may run at a time.
        max_lent_threads: How many threads more there may be, for bodies that wait
            for other runs.
        cancel_grace_seconds: How long a cancelled body may clean up.
        abandon_after_seconds: How long after its time limit a plain body may take
            to stop, before its thread is given up.
        hook_timeout_seconds: How long one hook may take.
        history: What a runtime records of runs: "full", "last" (of each run only its
            last state) or "off".
        max_run_records: How many runs that have ended a runtime remembers.
        track_results: Whether an argument that an earlier run of the same flow run
            returned is recorded as coming from that run.
        warn_of_duplicate_names: Whether two tasks of one name in one module make a
            warning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_default_retries: _Count = Field(default=0, description="a whole number >= 0")
    task_default_retry_delay_seconds: _Delays = Field(
        default=0.0, description="seconds >= 0, or up to 50 of them such as 1,10,60"
    )
    flow_default_retries: _Count = Field(default=0, description="a whole number >= 0")
    flow_default_retry_delay_seconds: _Delays = Field(
        default=0.0, description="seconds >= 0, or up to 50 of them such as 1,10,60"
    )
    logging_log_prints: bool = Field(default=False, description="true or false")
    debug_mode: bool = Field(default=False, description="true or false")
    max_threads: int = Field(default=64, ge=1, description="a whole number >= 1")
    max_lent_threads: _Count = Field(default=512, description="a whole number >= 0")
    cancel_grace_seconds: _Seconds = Field(default=5.0, description="seconds >= 0")
    abandon_after_seconds: _Seconds = Field(default=0.04, description="seconds >= 0")
    hook_timeout_seconds: float = Field(
        default=30.0, gt=0, allow_inf_nan=False, description="seconds > 0"
    )
    history: History = Field(default="full", description="'full', 'last' or 'off'")
    max_run_records: _Count = Field(default=10_000, description="a whole number >= 0")
    track_results: bool = Field(default=True, description="true or false")
    warn_of_duplicate_names: bool = Field(default=True, description="1 or 0")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings from variables such as ``HEADRACE_MAX_THREADS``.

        Args:
            environ: `os.environ`, or another mapping. A variable that is missing or
                empty leaves the default.

        Raises:
            ValueError: A value is not allowed: names the variable and what is.
        """
        given = {
            name: text
            for name in cls.model_fields
            if (text := environ.get(f"{PREFIX}{name.upper()}", "").strip())
        }
        return _validated(given, given, lambda name: f"{PREFIX}{name.upper()}")

    def replaced(self, updates: Mapping[str, Any]) -> Settings:
        """The same settings but for some.

        Args:
            updates: Name of a setting to its new value.

        Raises:
            ValueError: There is no such setting, or a value is not allowed.
        """
        return _validated({**self.model_dump(), **updates}, updates, str)


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


def logs_prints_by_default() -> bool:
    """``logging_log_prints`` of the current settings.

    A call outside of everything has to know, and 9 us for all of them is more than it
    takes itself.
    """
    if _CURRENT.get() is None and f"{PREFIX}LOGGING_LOG_PRINTS" not in os.environ:
        return False
    return current_settings().logging_log_prints


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


def _validated(
    fields: Mapping[str, Any],
    given: Mapping[str, Any],
    called: Callable[[str], str],
) -> Settings:
    """Settings of these fields, or an error about the first that is wrong."""
    try:
        return Settings.model_validate(fields)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        name = str(first["loc"][0])
        reason = first["msg"]
    known = Settings.model_fields.get(name)
    if known is None:
        raise ValueError(
            f"there is no setting {name!r}. Use one of "
            f"{', '.join(Settings.model_fields)}."
        )
    raise ValueError(
        f"{called(name)} cannot be {given[name]!r}: {reason}. Set it to "
        f"{known.description}, or leave it out for {known.default!r}."
    )
