"""Checks of what a limit is given: a value in the form it keeps, or a clear error."""

from __future__ import annotations

from numbers import Real
from typing import Any

from headrace.limits.adaptive import Adaptive

__all__ = ("checked_concurrency", "checked_weight")


def checked_weight(weight: object) -> float:
    """A weight above 0.

    Raises:
        TypeError: It is no number.
        ValueError: It is not above 0, or not finite.
    """
    if isinstance(weight, bool) or not isinstance(weight, Real):
        raise TypeError(
            f"weight={weight!r} is no number. Give 1, or how much it takes."
        )
    number = float(weight)
    if not 0 < number < float("inf"):
        raise ValueError(f"weight={weight!r} is not above 0. Give how much it takes.")
    return number


def checked_concurrency(given: Any) -> int | Adaptive | None:
    """A number of places, 0 included.

    Raises:
        TypeError: It is no whole number, nor `Adaptive` or None.
        ValueError: It is negative.
    """
    if given is None or isinstance(given, Adaptive):
        return given
    text = (
        f"Limit({given!r}) is no number of places. Give a whole number, such as 5, "
        f"Adaptive() to have one found, or None for any number."
    )
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(text)
    if given < 0:
        raise ValueError(text)
    return given
