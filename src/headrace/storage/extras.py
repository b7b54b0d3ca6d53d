"""Packages that are not needed unless they are asked for."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ("extra_package",)


def extra_package(name: str, extra: str, purpose: str) -> Any:
    """The module of this name.

    Args:
        name: The module.
        extra: The extra of ours that installs it.
        purpose: What needs it, for the message.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs {name.partition('.')[0]}, which cannot be imported: "
            f"{error}. Run: pip install 'headrace[{extra}]'."
        ) from error
