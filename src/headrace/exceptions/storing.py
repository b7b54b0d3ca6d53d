"""What can go wrong when values are turned into bytes, stored, and read back."""

from __future__ import annotations

from headrace.exceptions.base import HeadraceError, TextError
from headrace.exceptions.ends import MissingResult

__all__ = (
    "DamagedResult",
    "InvalidStorageKey",
    "ResultTooLarge",
    "SerializationError",
    "StorageError",
    "StoredException",
    "UnknownSerializer",
    "UnreadableResult",
    "UntrustedResult",
)


class SerializationError(HeadraceError):
    """A value cannot be turned into bytes, or would come back as another one.

    Args:
        serializer: The type of the serializer, such as ``"json"``.
        type_name: The type of the part that is to blame.
        path: Where that part is in the value, such as ``"['files'][0]"``; empty if it
            is the value itself.
        reason: What is wrong with it.
    """

    def __init__(self, serializer: str, type_name: str, path: str, reason: str) -> None:
        super().__init__(serializer, type_name, path, reason)
        self.serializer = serializer
        self.type_name = type_name
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        where = f"the part value{self.path}" if self.path else "the value"
        return (
            f"the serializer {self.serializer!r} cannot store {where}, of type "
            f"{self.type_name}: {self.reason}. Leave that part out, return what can be "
            f"stored in its place, or use another serializer."
        )


class UnknownSerializer(HeadraceError, LookupError):
    """There is no serializer of this name.

    Args:
        name: The name that was given.
        known: Those that there are.
    """

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(name, known)
        self.name = name
        self.known = known

    def __str__(self) -> str:
        names = ", ".join(repr(each) for each in self.known)
        return (
            f"there is no serializer {self.name!r}. Use one of {names}, or a subclass of "
            f"headrace.serializers.Serializer that declares this type."
        )


class StorageError(HeadraceError):
    """A storage could not do what it was asked for.

    What the system, or the client of the storage, raised is the ``__cause__``.

    Args:
        action: What was tried: ``"write"``, ``"read"`` or ``"remove"``.
        place: The path or the address of what was to be written or read.
        reason: What the system says of it.
        advice: What to do about it, as a sentence.
        errno: The number of the system's error, where there is one.
    """

    def __init__(
        self,
        action: str,
        place: str,
        reason: str,
        advice: str = "Make that place usable, or store results in another one.",
        errno: int | None = None,
    ) -> None:
        super().__init__(action, place, reason, advice, errno)
        self.action = action
        self.place = place
        self.reason = reason
        self.advice = advice
        self.errno = errno

    def __str__(self) -> str:
        return f"cannot {self.action} {self.place}: {self.reason}. {self.advice}"


class ResultTooLarge(HeadraceError):
    """A value has more bytes than a stored result may have. Nothing of it is kept.

    Args:
        key: Under which it was to be stored; None for a value kept without a key.
        size_bytes: How many bytes it has at least: counting ended there.
        max_bytes: How many it may have.
    """

    def __init__(self, key: str | None, size_bytes: int, max_bytes: int) -> None:
        super().__init__(key, size_bytes, max_bytes)
        self.key = key
        self.size_bytes = size_bytes
        self.max_bytes = max_bytes

    def __str__(self) -> str:
        under = "" if self.key is None else f" to be stored as {self.key!r}"
        return (
            f"the result{under} has at least {self.size_bytes} bytes, and only "
            f"{self.max_bytes} are allowed. Return less, such as the path of a file, or "
            f"raise max_bytes."
        )


class InvalidStorageKey(TextError, ValueError):
    """A key, or a template for keys, cannot be used to store a result under."""


class DamagedResult(MissingResult):
    """The bytes of a stored result are not those that were written."""


class UntrustedResult(MissingResult):
    """A stored result could run code when it is read, and is not signed by us.

    It was not looked into.
    """


class UnreadableResult(MissingResult):
    """A stored result is whole, and a value cannot be made of it.

    Such as when its class is gone. What was raised is the ``__cause__``.
    """


class StoredException(HeadraceError):
    """Stands for an exception that could not be stored as it was.

    Args:
        type_name: The type of that exception.
        text: Its text.
    """

    def __init__(self, type_name: str, text: str) -> None:
        super().__init__(type_name, text)
        self.type_name = type_name
        self.text = text

    def __str__(self) -> str:
        return (
            f"{self.type_name}: {self.text.rstrip('.')}. This stands for an exception "
            f"that could not be stored as it was."
        )
