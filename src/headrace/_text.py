"""Text that is not ours, in lines of ours: it stays in its line, and short.

Names of runs, texts of exceptions and what bodies print come from outside. In a log or
a terminal they must not begin a line of their own, move the cursor, or turn around how
the rest of the line reads.
"""

from __future__ import annotations

import re
import reprlib
from typing import Final

__all__ = ("one_line", "shown")

# Control characters, separators of lines and paragraphs, what sets the direction of
# writing, and surrogates, which no file can be written with. Not what merely does not
# show: joiners are part of emoji and of Persian words.
# Not compiled here: that takes 0.4 ms of every import, and `re` keeps what it compiled.
_UNSAFE: Final = (
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff]"
)

_MOST_SHOWN: Final = 100


def one_line(text: str, most: int | None = None) -> str:
    r"""The text with such characters escaped, ``"\n"`` as ``\n``.

    Args:
        text: Any text.
        most: How many of its characters are kept; None for all.
    """
    if most is not None and len(text) > most:
        text = f"{text[:most]}..."
    # Nearly all are printable, which is known in 30 ns.
    return text if text.isprintable() else re.sub(_UNSAFE, _escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


def shown(value: object) -> str:
    """The ``repr`` of a value in one line, cut at 100 characters; raises nothing."""
    # Looks no further into large containers than what is shown of them.
    short = reprlib.Repr()
    short.maxlist = short.maxtuple = short.maxset = short.maxfrozenset = _MOST_SHOWN
    short.maxdict = short.maxdeque = short.maxarray = _MOST_SHOWN
    short.maxstring = short.maxlong = short.maxother = 2 * _MOST_SHOWN
    try:
        text = short.repr(value)
    except Exception:  # noqa: BLE001 - the `__repr__` of a user's class may raise
        text = f"<{type(value).__name__} whose repr() raises>"
    return one_line(text, _MOST_SHOWN)
