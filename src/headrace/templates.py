"""Templates of users, for `str.format`: what they ask for."""

from __future__ import annotations

import string

__all__ = ("fields_of", "root_of")


def fields_of(text: str) -> list[str]:
    """The placeholders of a template, those inside format specifications too.

    Raises:
        ValueError: It is malformed.
    """
    found: list[str] = []
    for _, field, inner, _ in string.Formatter().parse(text):
        if field is not None:
            found.append(field)
        if inner:
            found += fields_of(inner)
    return found


def root_of(field: str) -> str:
    """What a placeholder begins with: ``"x"`` in ``"x.y[0]"``."""
    return field.replace("[", ".").partition(".")[0]
