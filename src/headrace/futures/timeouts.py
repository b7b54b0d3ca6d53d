"""The ``timeout`` of a wait, checked before the wait begins."""

from __future__ import annotations

__all__ = ("checked_timeout",)


def checked_timeout(timeout: float | None) -> float | None:
    """The timeout of a wait, refused when it makes no sense.

    Raises:
        TypeError: It is no number.
        ValueError: It is negative or NaN.
    """
    try:
        makes_sense = timeout is None or timeout >= 0
    except TypeError:
        raise TypeError(
            f"timeout={timeout!r} is no number. Give seconds to wait, or None to wait "
            f"without a limit."
        ) from None
    if not makes_sense:
        raise ValueError(
            f"timeout={timeout!r} is not a number of seconds to wait. Give 0 to look "
            f"without waiting, or None to wait without a limit."
        )
    return timeout
