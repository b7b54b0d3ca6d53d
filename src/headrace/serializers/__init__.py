"""What turns values into bytes and back: by name, ours, or one of the user's own."""

from __future__ import annotations

from headrace.serializers.base import Serializer
from headrace.serializers.blame import blamed
from headrace.serializers.choosing import (
    is_harmless,
    resolve_serializer,
    serializer_from_spec,
)
from headrace.serializers.compressed import (
    CompressedJSONSerializer,
    CompressedPickleSerializer,
    CompressedSerializer,
)
from headrace.serializers.errors import stand_in
from headrace.serializers.jsons import JSONSerializer
from headrace.serializers.lifting import json_object_decoder
from headrace.serializers.lowering import json_object_encoder
from headrace.serializers.pickles import PickleSerializer
from headrace.serializers.sameness import is_same

__all__ = (
    "CompressedJSONSerializer",
    "CompressedPickleSerializer",
    "CompressedSerializer",
    "JSONSerializer",
    "PickleSerializer",
    "Serializer",
    "blamed",
    "is_harmless",
    "is_same",
    "json_object_decoder",
    "json_object_encoder",
    "resolve_serializer",
    "serializer_from_spec",
    "stand_in",
)
