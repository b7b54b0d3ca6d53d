"""Modules that users name by their import path, checked when they are named."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

__all__ = ("checked_library", "imported")


def checked_library(field: str, path: str, needed: Iterable[str]) -> str:
    """The import path of a module that has what is needed.

    Raises:
        ValueError: It cannot be imported, or something is missing in it.
    """
    module = imported(field, path)
    missing = [name for name in needed if not callable(getattr(module, name, None))]
    if missing:
        raise ValueError(
            f"{field}={path!r} has no function {missing[0]!r}. Name a module with "
            f"{' and '.join(needed)}."
        )
    return path


def imported(field: str, path: str) -> Any:
    """What an import path leads to: a module, or something in one.

    Raises:
        ValueError: It leads nowhere.
    """
    module, _, name = path.rpartition(".")
    found: Any = _module(path)
    if found is None and module:
        found = getattr(_module(module), name, None)
    if found is None:
        raise ValueError(
            f"{field}={path!r} cannot be imported. Install what it belongs to, or name "
            f"something that can be imported from here."
        )
    return found


def _module(path: str) -> ModuleType | None:
    try:
        return importlib.import_module(path)
    except (ImportError, ValueError, TypeError):
        return None
