"""JSON: data that others can read, and that runs no code when it is read."""

from __future__ import annotations

import importlib
from typing import Any, Final

import pydantic_core
from pydantic import Field, field_validator

from headrace.exceptions import SerializationError
from headrace.serializers.base import Serializer
from headrace.serializers.blame import named_type
from headrace.serializers.libraries import checked_library, imported
from headrace.serializers.lifting import Decoder, json_object_decoder, lifted
from headrace.serializers.lowering import (
    Encoder,
    Unfit,
    json_object_encoder,
    lowered,
)
from headrace.serializers.sameness import is_same

__all__ = ("JSONSerializer",)

_ENCODER: Final = "headrace.serializers.json_object_encoder"
_DECODER: Final = "headrace.serializers.json_object_decoder"


class JSONSerializer(Serializer):
    """Stores values as JSON, and sees to it that the same ones come back.

    What JSON has no form for (tuples, sets, bytes, times, models, exceptions, ...) is
    written as an object that tells the class. A value that would come back as another
    one is refused when it is written.

    Attributes:
        jsonlib: The import path of a module with ``dumps`` and ``loads``. Where it is not
            said it is pydantic's, and the standard library's if there are arguments for
            ``dumps`` or ``loads``.
        object_encoder: The import path of a function that makes data of a value of
            another type; None to refuse these.
        object_decoder: The import path of a function that makes a value of an object that
            was read, or gives it back as it is; None for no other types.
        dumps_kwargs: Further arguments for ``dumps``.
        loads_kwargs: Further arguments for ``loads``.
        allow_imports: Modules that reading may import to find a class. Others have to be
            imported already.
    """

    type: str = "json"
    jsonlib: str | None = None
    object_encoder: str | None = _ENCODER
    object_decoder: str | None = _DECODER
    dumps_kwargs: dict[str, Any] = Field(default_factory=dict)
    loads_kwargs: dict[str, Any] = Field(default_factory=dict)
    allow_imports: tuple[str, ...] = ()

    @field_validator("jsonlib")
    @classmethod
    def _check_library(cls, path: str | None) -> str | None:
        if path is None:
            return None
        return checked_library("jsonlib", path, ("dumps", "loads"))

    @field_validator("object_encoder", "object_decoder")
    @classmethod
    def _check_function(cls, path: str | None) -> str | None:
        # Ours cannot be imported while they are being so.
        if path is None or path in {_ENCODER, _DECODER}:
            return path
        if callable(imported("object_encoder or object_decoder", path)):
            return path
        raise ValueError(f"{path!r} is no function. Name one.")

    @field_validator("dumps_kwargs")
    @classmethod
    def _check_dumps(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        if "default" in kwargs:
            raise ValueError("dumps_kwargs has 'default'. Use object_encoder instead.")
        return kwargs

    @field_validator("loads_kwargs")
    @classmethod
    def _check_loads(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        if "object_hook" in kwargs:
            raise ValueError(
                "loads_kwargs has 'object_hook'. Use object_decoder instead."
            )
        return kwargs

    def dumps(self, obj: Any) -> bytes:
        """See `Serializer.dumps`."""
        try:
            blob = self._written(lowered(obj, self._encoder))
            read = self.loads(blob)
        except Unfit as unfit:
            raise unfit.error() from unfit.__cause__
        except RecursionError as error:
            raise self._refusal(obj, "it is nested too deeply, or in itself") from error
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".rstrip(". ")
            raise self._refusal(obj, reason) from error
        if not _same(obj, read):
            raise self._refusal(obj, "what would be read is not the same value")
        return blob

    def loads(self, blob: bytes) -> Any:
        """See `Serializer.loads`."""
        return lifted(self._read(blob), self._decoder)

    @property
    def runs_code(self) -> bool:
        """No: only classes of modules that are imported here are made of the data."""
        return False

    def fields(self) -> dict[str, Any]:
        """See `Serializer.fields`."""
        made = super().fields()
        for name in ("dumps_kwargs", "loads_kwargs"):
            if not made.get(name):
                made.pop(name, None)
        return made

    @property
    def _library(self) -> Any:
        """The module, or None for pydantic's."""
        if self.jsonlib is not None:
            return importlib.import_module(self.jsonlib)
        if self.dumps_kwargs or self.loads_kwargs:
            return importlib.import_module("json")
        return None

    def _written(self, tree: Any) -> bytes:
        library = self._library
        if library is None:
            return pydantic_core.to_json(tree, inf_nan_mode="constants")
        made: str | bytes = library.dumps(tree, **self.dumps_kwargs)
        return made.encode() if isinstance(made, str) else bytes(made)

    def _read(self, blob: bytes) -> Any:
        library = self._library
        if library is None:
            return pydantic_core.from_json(blob)
        return library.loads(blob.decode(), **self.loads_kwargs)

    @property
    def _encoder(self) -> Encoder | None:
        if self.object_encoder is None or self.object_encoder == _ENCODER:
            return json_object_encoder if self.object_encoder else None
        found: Encoder = imported("object_encoder", self.object_encoder)
        return found

    @property
    def _decoder(self) -> Decoder | None:
        if self.object_decoder is None:
            return None
        if self.object_decoder == _DECODER:
            return lambda given: json_object_decoder(given, self.allow_imports)
        found: Decoder = imported("object_decoder", self.object_decoder)
        return found

    def _refusal(self, obj: Any, reason: str) -> SerializationError:
        return SerializationError(self.type, named_type(obj), "", reason)


def _same(value: Any, read: Any) -> bool:
    try:
        return is_same(value, read)
    except Exception:  # noqa: BLE001 - the `__eq__` of a user's class
        return False
