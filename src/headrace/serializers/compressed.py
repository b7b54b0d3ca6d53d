"""Another serializer's bytes, made smaller."""

from __future__ import annotations

import io
from typing import Any, cast

from pydantic import Field, field_validator

from headrace._types import ByteSink, ByteSource
from headrace.serializers.base import Serializer, serializer_class
from headrace.serializers.choosing import resolve_serializer
from headrace.serializers.compression import best_library, compressing, decompressing
from headrace.serializers.jsons import JSONSerializer
from headrace.serializers.libraries import checked_library
from headrace.serializers.pickles import PickleSerializer

__all__ = (
    "CompressedJSONSerializer",
    "CompressedPickleSerializer",
    "CompressedSerializer",
)


class CompressedSerializer(Serializer):
    """Compresses what another serializer makes.

    Attributes:
        serializer: The other one, or the name of its type.
        compressionlib: The import path of a module with ``compress`` and ``decompress``.
            Where it is not said: zstd, if the package ``backports.zstd`` is installed
            (or on Python 3.14), else zlib.
    """

    type: str = "compressed"
    serializer: Serializer = Field(default_factory=PickleSerializer)
    compressionlib: str = Field(default_factory=best_library)

    @field_validator("serializer", mode="before")
    @classmethod
    def _find_serializer(cls, given: Any) -> Any:
        if isinstance(given, dict):
            fields = cast("dict[str, Any]", given)
            return serializer_class(str(fields.get("type")))(**fields)
        return resolve_serializer(given)

    @field_validator("compressionlib")
    @classmethod
    def _check_library(cls, path: str) -> str:
        return checked_library("compressionlib", path, ("compress", "decompress"))

    def dumps(self, obj: Any) -> bytes:
        """See `Serializer.dumps`."""
        file = io.BytesIO()
        compressed = compressing(self.compressionlib, file)
        compressed.write(self.serializer.dumps(obj))
        compressed.close()
        return file.getvalue()

    def loads(self, blob: bytes) -> Any:
        """See `Serializer.loads`."""
        return self.load(io.BytesIO(blob))

    def dump(self, obj: Any, file: ByteSink) -> None:
        """See `Serializer.dump`."""
        compressed = compressing(self.compressionlib, file)
        self.serializer.dump(obj, compressed)
        compressed.close()

    def load(self, file: ByteSource) -> Any:
        """See `Serializer.load`."""
        return self.serializer.load(decompressing(self.compressionlib, file))

    @property
    def runs_code(self) -> bool:
        """Whether the other serializer does."""
        return self.serializer.runs_code


class CompressedPickleSerializer(CompressedSerializer):
    """Compressed pickles."""

    type: str = "compressed/pickle"


class CompressedJSONSerializer(CompressedSerializer):
    """Compressed JSON."""

    type: str = "compressed/json"
    serializer: Serializer = Field(default_factory=JSONSerializer)
