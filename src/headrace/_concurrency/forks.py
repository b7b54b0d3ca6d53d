"""Whether this process is a fork of the one that something was made in."""

from __future__ import annotations

import os
from typing import Final

__all__ = ("FORKS", "Forks")


class Forks:
    """Counts forks: what is read here costs a tenth of `os.getpid`.

    Attributes:
        count: How many forks lie between this process and the one that imported this.
    """

    # An instance, as reading an attribute of a class is not specialised on 3.11.
    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def forked(self) -> None:
        """This process is the child of a fork."""
        self.count += 1


FORKS: Final = Forks()

if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=FORKS.forked)
