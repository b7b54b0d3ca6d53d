"""Pickles: nearly any value, and code that runs when they are read."""

from __future__ import annotations

import importlib
import io
import pickle
import sys
import types
from typing import Any, Final

import cloudpickle  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
from pydantic import field_validator

from headrace._types import ByteSink, ByteSource
from headrace.serializers.base import Serializer
from headrace.serializers.blame import blamed
from headrace.serializers.libraries import checked_library

__all__ = ("PickleSerializer",)

_KNOWN_TO_STREAM: Final = frozenset({"cloudpickle", "pickle"})


_Base: Any = cloudpickle.Pickler


class _Pickler(_Base):  # type: ignore[misc]
    """Cloudpickle, but what a script defines is found again by its name.

    Cloudpickle would store its classes whole. What is read then is of another class of
    the same name, which `isinstance` and ``==`` tell from the one that the script has.
    """

    def reducer_override(self, obj: Any) -> Any:
        """See `pickle.Pickler.reducer_override`."""
        if isinstance(obj, (type, types.FunctionType)) and _is_of_script(obj):
            return NotImplemented  # by its name
        return _Base.reducer_override(self, obj)


def _is_of_script(obj: Any) -> bool:
    if obj.__module__ != "__main__":
        return False
    found: Any = sys.modules.get("__main__")
    for name in obj.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is obj


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
            return self._dumped(obj)
        except Exception as error:
            raise blamed(self.type, obj, error, self._dumped) from error

    def _dumped(self, obj: Any) -> bytes:
        if self.picklelib != "cloudpickle":
            return bytes(self._library.dumps(obj))
        file = io.BytesIO()
        _Pickler(file).dump(obj)
        return file.getvalue()

    def loads(self, blob: bytes) -> Any:
        """See `Serializer.loads`."""
        if self.picklelib != "cloudpickle":
            return self._library.loads(blob)
        # To import a module anew takes 0.5 us, and a small value 0.1.
        return cloudpickle.loads(blob)

    def dump(self, obj: Any, file: ByteSink) -> None:
        """Write a pickle; raises what pickling and the file raise."""
        if self.picklelib == "cloudpickle":
            # By protocol 5 large buffers go to the file as they are, without a copy.
            _Pickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(obj)
        elif self.picklelib in _KNOWN_TO_STREAM:
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
