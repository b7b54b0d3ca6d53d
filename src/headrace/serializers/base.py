"""What a serializer is, and how one is found by the name of its type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, field_validator

from headrace._types import ByteSink, ByteSource
from headrace.exceptions import UnknownSerializer

__all__ = ("Serializer", "known_types", "serializer_class")

_OURS: Final = "headrace.serializers."


class Serializer(BaseModel):
    """Turns values into bytes and back.

    Subclass it for one of your own, and give that a `type`: the name by which it is
    asked for, as in ``result_serializer="yaml"``, and found again when a stored result
    is read. ``Serializer(type="json")`` makes the one of that type.

    ``dump`` and ``load`` do the same as ``dumps`` and ``loads`` with files. Give them
    bodies of their own where large values must not be held in memory twice.

    Attributes:
        type: The name of the serializer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str

    def __new__(cls, *_: Any, **fields: Any) -> Serializer:  # noqa: PYI034
        """Make an instance of the class that the type names."""
        kind = fields.get("type")
        chosen: type[Serializer] = cls
        if cls is Serializer and isinstance(kind, str):
            chosen = serializer_class(kind)
        return object.__new__(chosen)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Check a class that somebody defines.

        Raises:
            TypeError: It lacks a method, or has the type of one of ours, whose bytes it
                would be given to read.
        """
        super().__pydantic_init_subclass__(**kwargs)
        name = _type_of(cls)
        if name is None or _is_ours(cls):
            return
        if not _is_complete(cls):
            raise TypeError(
                f"the serializer {cls.__name__} lacks a method. Define both dumps(obj) "
                f"and loads(blob)."
            )
        if any(_is_ours(other) and _type_of(other) == name for other in _classes()):
            raise TypeError(
                f"{cls.__name__} has the type {name!r}, which is that of a serializer "
                f"of headrace. Declare another, as in type: str = 'my-{name}'."
            )

    @field_validator("type")
    @classmethod
    def _check_type(cls, name: str) -> str:
        own = _type_of(cls)
        if own is not None and name != own:
            raise ValueError(
                f"{cls.__name__} is of the type {own!r}, not {name!r}. Leave it out."
            )
        return name

    def dumps(self, obj: Any) -> bytes:
        """The bytes of a value.

        Raises:
            SerializationError: It cannot be stored, or would come back as another.
        """
        raise NotImplementedError

    def loads(self, blob: bytes) -> Any:
        """The value of such bytes; may raise anything when they are not such."""
        raise NotImplementedError

    def dump(self, obj: Any, file: ByteSink) -> None:
        """Write the bytes of a value; raises as `dumps` does, and what `file` does."""
        file.write(self.dumps(obj))

    def load(self, file: ByteSource) -> Any:
        """Read a value from its bytes; raises as `loads` does, and what `file` does."""
        return self.loads(file.read())

    @property
    def runs_code(self) -> bool:
        """Whether reading bytes that somebody else made could run code of theirs.

        Results of such a serializer are signed when written, and refused unless the
        signature is ours. Override it if yours only ever makes data.
        """
        return True

    @property
    def spec(self) -> str:
        """All that is needed to make the same serializer, as JSON text."""
        return json.dumps(self.fields(), sort_keys=True, separators=(",", ":"))

    def fields(self) -> dict[str, Any]:
        """The type, and the other fields that differ from their defaults."""
        differing = {
            name: _plain(getattr(self, name))
            for name, field in type(self).model_fields.items()
            if name != "type" and getattr(self, name) != field.default
        }
        return {"type": self.type, **differing}


def serializer_class(name: str) -> type[Serializer]:
    """The class of this type; of several the one defined last.

    Raises:
        UnknownSerializer: There is none.
    """
    found = [cls for cls in _classes() if _type_of(cls) == name]
    if not found:
        raise UnknownSerializer(name, known_types())
    # A class that was refused for its type may live on for a while.
    return next(filter(_is_ours, found), found[-1])


def known_types() -> tuple[str, ...]:
    """The types of all serializers that are defined now, sorted."""
    return tuple(sorted({name for cls in _classes() if (name := _type_of(cls))}))


def _classes() -> Iterator[type[Serializer]]:
    """All subclasses, in the order of their definition within one parent.

    Asked of Python, which keeps them weakly: a registry of ours would keep them alive.
    """
    pending: list[type[Serializer]] = [Serializer]
    for cls in pending:
        pending += cls.__subclasses__()
    return filter(_is_complete, pending)


def _is_complete(cls: type[Serializer]) -> bool:
    return cls.dumps is not Serializer.dumps and cls.loads is not Serializer.loads


def _type_of(cls: type[Serializer]) -> str | None:
    field = cls.model_fields.get("type")
    return field.default if field and isinstance(field.default, str) else None


def _is_ours(cls: type[Serializer]) -> bool:
    return cls.__module__.startswith(_OURS)


def _plain(value: Any) -> Any:
    return value.fields() if isinstance(value, Serializer) else value
