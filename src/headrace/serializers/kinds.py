"""Values of the standard library that JSON has no form for, and the form we give them."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import (
    PosixPath,
    PurePath,
    PurePosixPath,
    PureWindowsPath,
    WindowsPath,
)
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

__all__ = ("DATA", "KINDS", "KINDS_BY_NAME", "TAG", "Kind", "path_of")

# An object of JSON with these two is a value of another type.
TAG: Final = "__class__"
DATA: Final = "data"


class Kind(NamedTuple):
    """How values of exactly one type are written.

    Attributes:
        name: What it is called in the bytes.
        lower: From a value to what stands for it, which may hold such values again.
        lift: The way back.
    """

    name: str
    lower: Callable[[Any], Any]
    lift: Callable[[Any], Any]


def path_of(kind: type) -> str:
    """The name of a class in the bytes, such as ``"app.models:User"``."""
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}:{kind.__qualname__}"


def _base64(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode("ascii")


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as wrong:
        raise ValueError(f"{text[:20]!r} is no base64. Store it again.") from wrong


def _moment(value: datetime) -> Any:
    if isinstance(value.tzinfo, ZoneInfo) and value.tzinfo.key:
        naive = value.replace(tzinfo=None, fold=0).isoformat()
        return [naive, value.tzinfo.key, value.fold]
    return value.isoformat() if value.fold == 0 else [value.isoformat(), None, 1]


def _moment_of(data: Any) -> datetime:
    if isinstance(data, str):
        return datetime.fromisoformat(data)
    text, zone, fold = data
    found = datetime.fromisoformat(text).replace(fold=fold)
    return found if zone is None else found.replace(tzinfo=ZoneInfo(zone))


def _pairs(data: Any) -> dict[Any, Any]:
    return {key: value for key, value in data}  # noqa: C416 - hears of wrong lengths


def _kind(
    cls: type, lower: Callable[[Any], Any], lift: Callable[[Any], Any]
) -> tuple[type, Kind]:
    return cls, Kind(path_of(cls), lower, lift)


_PATHS: Final = (PosixPath, PurePosixPath, PureWindowsPath, WindowsPath)

KINDS: Final[Mapping[type, Kind]] = dict(
    (
        _kind(tuple, list, tuple),
        # One with keys that are no texts, or that looks like one of ours.
        _kind(dict, lambda value: [list(item) for item in value.items()], _pairs),
        _kind(set, list, set),
        _kind(frozenset, list, frozenset),
        _kind(bytes, _base64, _unbase64),
        _kind(bytearray, _base64, lambda text: bytearray(_unbase64(text))),
        _kind(complex, lambda c: [c.real, c.imag], lambda parts: complex(*parts)),
        _kind(uuid.UUID, str, uuid.UUID),
        _kind(datetime, _moment, _moment_of),
        _kind(date, date.isoformat, date.fromisoformat),
        _kind(time, time.isoformat, time.fromisoformat),
        _kind(
            timedelta,
            lambda given: [given.days, given.seconds, given.microseconds],
            lambda parts: timedelta(*parts),
        ),
        _kind(Decimal, str, Decimal),
        _kind(Fraction, str, Fraction),
        # Not by `path_of`: the module that these are in differs between Pythons.
        *(
            (cls, Kind(f"pathlib:{cls.__name__}", PurePath.__str__, cls))
            for cls in _PATHS
        ),
    )
)

KINDS_BY_NAME: Final[Mapping[str, Kind]] = {kind.name: kind for kind in KINDS.values()}
