"""What all exceptions of this package have in common."""

from __future__ import annotations

from typing import Final

__all__ = (
    "PUBLIC",
    "HeadraceError",
    "InternalError",
    "TextError",
)

PUBLIC: Final = "headrace.exceptions"


class HeadraceError(Exception):
    """Base of every exception that headrace raises on purpose."""

    __module__ = PUBLIC

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__.startswith(f"{PUBLIC}."):
            # Where users import it from: tracebacks and pickles are to say that.
            cls.__module__ = PUBLIC

    @property
    def message(self) -> str:
        """The whole sentence, as ``str(error)`` gives it."""
        return str(self)


class TextError(HeadraceError):
    """Carries one text that its raiser wrote."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class InternalError(TextError, RuntimeError):
    """A bug in headrace: something that always holds did not."""

    def __str__(self) -> str:
        return (
            f"bug in headrace: {self.args[0]}. Please report it, with this traceback "
            f"and what the program was doing."
        )
