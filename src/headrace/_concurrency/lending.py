"""Lending the slot of a worker thread whose body runs an event loop of its own.

``asyncio.run(...)`` in a plain task keeps its thread, and with it a slot, for as long as
it runs. What is awaited there may need a thread too: so the slot is lent meanwhile, as
it is when plain code blocks.
"""

from __future__ import annotations

from headrace._concurrency.bodies import ThreadFace, this_face

__all__ = ("lent_while_awaited",)


class lent_while_awaited:
    """Lend the slot of this thread, if it has one, while runs elsewhere are awaited.

    Several tasks of the loop may wait at once: the first lends the slot, the last takes
    it back.

    Raises:
        DeadlockError: Too many threads wait already.
    """

    __slots__ = ("_face",)

    def __init__(self) -> None:
        self._face: ThreadFace | None = None

    def __enter__(self) -> None:
        face = this_face()
        if face is None or face.slots is None:
            return
        if not face.awaits:
            face.slots.lend()
        face.awaits += 1
        self._face = face

    def __exit__(self, *_: object) -> None:
        face = self._face
        if face is None or face.slots is None:
            return
        face.awaits -= 1
        if not face.awaits:
            face.slots.take_back()
