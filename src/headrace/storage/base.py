"""What a storage of results does; write another one by doing the same."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from headrace._types import ByteSink, ByteSource

__all__ = ("ResultStorage",)


@runtime_checkable
class ResultStorage(Protocol):
    """Keeps bytes under keys.

    All methods may be called from any thread, and may block. A key is one that
    `headrace.storage.checked_key` lets through: names of printable characters with
    slashes in between. What goes wrong below is raised as
    `headrace.exceptions.StorageError`.

    `headrace.testing.ResultStorageContract` tests an implementation.
    """

    @property
    def identity(self) -> str:
        """What tells this storage from others, as text, such as its address.

        Two objects with the same identity hold the same. It is shown in messages, and
        kept beside what is stored, so it must hold no secrets.
        """
        ...

    def writing(self, key: str) -> AbstractContextManager[ByteSink]:
        """A file whose content is there under the key when the block has ended.

        It is there as a whole, in place of what was there before. If the block raises,
        nothing has changed.

        Raises:
            StorageError: The bytes cannot be kept; on entering, on leaving, or (here an
                ``OSError`` will do) by ``write``.
        """
        ...

    def reading(self, key: str) -> AbstractContextManager[ByteSource]:
        """A file with the bytes that were last written under the key.

        Raises:
            MissingResult: There are none.
            StorageError: They cannot be read.
        """
        ...

    def remove(self, key: str) -> bool:
        """Forget the bytes under a key; whether there were some.

        Raises:
            StorageError: They cannot be removed.
        """
        ...
