from __future__ import annotations

import io
import os
import sys
import zlib
from typing import Any

import pytest

from headrace.exceptions import UnknownSerializer
from headrace.serializers import (
    CompressedJSONSerializer,
    CompressedPickleSerializer,
    CompressedSerializer,
    JSONSerializer,
)
from headrace.serializers.compression import best_library

# Names are taken where the annotation says what they become.
Make: Any = CompressedSerializer

LIBRARIES = ["zlib", "bz2", "lzma", "backports.zstd", "gzip"]
# The largest are more than one piece, which has 1 MiB.
VALUES = [
    pytest.param(None, id="none"),
    pytest.param(b"", id="empty"),
    pytest.param(bytes(3_000_000), id="zeros"),
    pytest.param(os.urandom(1_200_000), id="random"),
    pytest.param(list(range(10_000)), id="list"),
]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("value", VALUES)
def test_what_was_compressed_is_read(library: str, value: object) -> None:
    pytest.importorskip(library)
    serializer = CompressedSerializer(compressionlib=library)
    file = io.BytesIO()

    serializer.dump(value, file)
    file.seek(0)

    assert serializer.load(file) == value
    assert serializer.loads(serializer.dumps(value)) == value


def test_zeros_become_small() -> None:
    assert len(CompressedPickleSerializer().dumps(bytes(1_000_000))) < 10_000


def test_the_other_serializer_is_given_by_name_or_as_it_is() -> None:
    assert type(Make(serializer="json").serializer) is JSONSerializer
    inner = JSONSerializer(jsonlib="json")
    assert CompressedSerializer(serializer=inner).serializer is inner


def test_whether_code_may_run_depends_on_the_other_serializer() -> None:
    assert CompressedPickleSerializer().runs_code
    assert not CompressedJSONSerializer().runs_code


def test_an_unknown_other_serializer_is_refused() -> None:
    with pytest.raises(UnknownSerializer, match="'jsn'"):
        Make(serializer="jsn")


@pytest.mark.parametrize("library", ["no_such_module", "math"])
def test_a_library_is_checked_when_it_is_named(library: str) -> None:
    with pytest.raises(ValueError, match=f"compressionlib='{library}'"):
        CompressedSerializer(compressionlib=library)


def test_zlib_takes_the_place_of_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 13))
    monkeypatch.setitem(sys.modules, "backports.zstd", None)

    assert best_library() == "zlib"


def test_zstd_of_the_standard_library_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 14))

    assert best_library() == "compression.zstd"


def test_an_end_that_is_missing_is_noticed() -> None:
    serializer = CompressedSerializer(compressionlib="zlib")
    blob = serializer.dumps(os.urandom(5_000))

    with pytest.raises(EOFError, match="ends too early"):
        serializer.loads(blob[:2_000])
    with pytest.raises(zlib.error):
        serializer.loads(b"no zlib")
