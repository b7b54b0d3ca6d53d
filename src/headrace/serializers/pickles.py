"""Pickles: nearly any value, and code that runs when they are read."""

from __future__ import annotations

import importlib
import pickle
from typing import Any, Final

from pydantic import field_validator

from headrace._types import ByteSink, ByteSource
from headrace.serializers.base import Serializer
from headrace.serializers.blame import blamed
from headrace.serializers.libraries import checked_library

__all__ = ("PickleSerializer",)

_KNOWN_TO_STREAM: Final = frozenset({"cloudpickle", "pickle"})


class PickleSerializer(Serializer):
    """Stores nearly anything, as a pickle.

    Attributes:
        picklelib: The import path of a module with ``dumps`` and ``loads``.
    """

    type: str = "pickle"
    picklelib: str = "cloudpickle"

    @field_validator("picklelib")
    @classmethod
    def _check_library(cls, path: str) -> str:
        return checked_library("picklelib", path, ("dumps", "loads"))

    def dumps(self, obj: Any) -> bytes:
        """See `Serializer.dumps`."""
        try:
            return bytes(self._library.dumps(obj))
        except Exception as error:
            raise blamed(self.type, obj, error, self._library.dumps) from error

    def loads(self, blob: bytes) -> Any:
        """See `Serializer.loads`."""
        return self._library.loads(blob)

    def dump(self, obj: Any, file: ByteSink) -> None:
        """Write a pickle; raises what pickling and the file raise."""
        if self.picklelib in _KNOWN_TO_STREAM:
            # By protocol 5 large buffers go to the file as they are, without a copy.
            self._library.dump(obj, file, protocol=pickle.HIGHEST_PROTOCOL)
        else:
            file.write(self.dumps(obj))

    def load(self, file: ByteSource) -> Any:
        """See `Serializer.load`."""
        if self.picklelib in _KNOWN_TO_STREAM:
            return self._library.load(file)
        return self.loads(file.read())

    @property
    def _library(self) -> Any:
        return importlib.import_module(self.picklelib)
