"""``deadline``: by when all that is started in a block has to be over."""

from __future__ import annotations

import asyncio
import math
from contextvars import Token
from types import TracebackType
from typing import Final, Self

from headrace._concurrency.deadlines import DEADLINE, Deadline
from headrace._concurrency.loops import running_loop
from headrace.context.holders import CURRENT
from headrace.exceptions import DeadlineExceeded

__all__ = ("deadline",)

_TEXT: Final = "Give a number of seconds, as in `with headrace.deadline(2.0):`."


class deadline:
    """Bound all that is called, submitted, mapped or streamed in a block.

    Queueing, attempts, retries and what the runs start themselves count alike. When the
    time is over, those that have not ended end as Failed, their state is named
    ``TimedOut``, and their result raises `DeadlineExceeded`, which is a `TimeoutError`.
    Nothing is retried after it, and what is called then is refused.

    A plain ``with`` does in plain and in coroutine code. Of nested blocks the earlier
    deadline holds. Runs hand theirs on to what they start, also when the block was left.

    Args:
        seconds: How long from when the block is entered.

    Raises:
        TypeError: ``seconds`` is no number.
        ValueError: It is not finite.
        DeadlineExceeded: On entering: it is 0 or less, or a deadline around has passed.
    """

    __slots__ = ("_entered", "_seconds")

    def __init__(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not hasattr(seconds, "__float__"):
            raise TypeError(f"deadline({seconds!r}) is no time. {_TEXT}")
        if not math.isfinite(seconds):
            raise ValueError(f"deadline({seconds!r}) is never. {_TEXT}")
        self._seconds = float(seconds)
        self._entered: list[tuple[Deadline, Token[Deadline | None]]] = []

    def __enter__(self) -> Self:
        around = DEADLINE.get()
        if around is not None:
            around.refuse("headrace.deadline()")
        if self._seconds <= 0:
            raise DeadlineExceeded(
                "headrace.deadline()", self._seconds, "was entered after"
            )
        own = Deadline(self._seconds, _loop_here())
        is_earlier = around is None or own.remaining() < around.remaining()
        token = DEADLINE.set(own if is_earlier else around)
        self._entered.append((own, token))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        own, token = self._entered.pop()
        DEADLINE.reset(token)
        own.leave()

    @staticmethod
    def remaining() -> float | None:
        """Seconds until the deadline that the present code is under.

        Returns:
            0 if it has passed; None if there is none.
        """
        present = DEADLINE.get()
        return None if present is None else present.remaining()


def _loop_here() -> asyncio.AbstractEventLoop | None:
    """Whose clock counts: that of the running loop, else of the runs of this code."""
    loop = running_loop()
    if loop is not None:
        return loop
    holder = CURRENT.get(None)
    scheduler = None if holder is None else holder.scope.scheduler
    return None if scheduler is None else scheduler.loop
