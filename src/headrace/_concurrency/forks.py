"""Whether this process is a fork of the one that something was made in."""

from __future__ import annotations

import os

__all__ = ("Forks",)


class Forks:
    """Counts forks: what is read here costs a tenth of `os.getpid`.

    Attributes:
        count: How many forks lie between this process and the one that imported this.
    """

    count: int = 0


def _forked() -> None:
    Forks.count += 1


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forked)
