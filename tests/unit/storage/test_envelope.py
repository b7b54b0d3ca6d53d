from __future__ import annotations

import io
import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from headrace.exceptions import DamagedResult, ResultTooLarge, UntrustedResult
from headrace.storage import EnvelopeReader, EnvelopeWriter, Signer
from headrace.storage.envelope import PIECE_BYTES

SIGNER = Signer.of_secret("a key of sixteen characters")
SPEC = '{"type":"json"}'


def written(*parts: bytes, signer: Signer | None = None, spec: str = SPEC) -> bytes:
    file = io.BytesIO()
    writer = EnvelopeWriter(file, spec, signer)
    for part in parts:
        writer.write(part)
    writer.close()
    return file.getvalue()


def opened(blob: bytes, signer: Signer = SIGNER) -> EnvelopeReader:
    return EnvelopeReader(io.BytesIO(blob), "a place", signer)


def read(blob: bytes, signer: Signer = SIGNER) -> bytes:
    with io.BufferedReader(opened(blob, signer)) as file:
        return file.read()


SIZES = st.sampled_from([0, 1, 7, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1])
BOTH = pytest.mark.parametrize("signer", [None, SIGNER], ids=["plain", "signed"])


@BOTH
@given(sizes=st.lists(SIZES, max_size=4))
def test_what_is_written_in_any_pieces_is_read(
    signer: Signer | None, sizes: list[int]
) -> None:
    parts = [bytes([index + 1]) * size for index, size in enumerate(sizes)]

    blob = written(*parts, signer=signer)

    assert read(blob) == b"".join(parts)
    assert opened(blob).is_signed == (signer is not None)
    assert opened(blob).spec == SPEC


def test_a_small_value_is_one_write_and_one_piece() -> None:
    writes: list[bytes] = []

    class File:
        def write(self, data: bytes) -> None:
            writes.append(data)

    writer = EnvelopeWriter(File(), SPEC, None)
    writer.write(b"abc")
    writer.close()

    assert len(writes) == 1
    assert opened(writes[0]).whole() == b"abc"


def test_a_large_value_is_not_read_as_a_whole() -> None:
    reader = opened(written(bytes(PIECE_BYTES + 1)))

    assert reader.whole() is None
    assert len(io.BufferedReader(reader).read()) == PIECE_BYTES + 1


def test_a_source_may_give_less_than_it_is_asked_for() -> None:
    class Slow:
        def __init__(self, blob: bytes) -> None:
            self.file = io.BytesIO(blob)

        def read(self, size: int = -1) -> bytes:
            return self.file.read(min(size, 3))

    reader = EnvelopeReader(Slow(written(b"x" * 100, signer=SIGNER)), "here", SIGNER)

    assert reader.whole() == b"x" * 100


def test_views_of_any_shape_are_bytes() -> None:
    file = io.BytesIO()
    writer = EnvelopeWriter(file, SPEC, None)

    size = writer.write(memoryview(bytes(8)).cast("I"))
    writer.close()

    assert size == writer.size_bytes == 8
    assert read(file.getvalue()) == bytes(8)


# -- Damage ---------------------------------------------------------------------------


def damaged(blob: bytes) -> Iterator[bytes]:
    """All truncations and all flips of one bit, and something behind the end."""
    for index in range(len(blob)):
        yield blob[:index]
        for bit in range(8):
            yield blob[:index] + bytes([blob[index] ^ 1 << bit]) + blob[index + 1 :]
    yield blob + b"\0"
    yield blob + blob


@BOTH
def test_every_damage_is_noticed(signer: Signer | None) -> None:
    blob = written(bytes(range(256)) * 2, signer=signer)
    missed = []

    for index, bad in enumerate(damaged(blob)):
        try:
            read(bad)
        except DamagedResult:
            continue
        missed.append(index)

    assert missed == []


def pieces_of(blob: bytes) -> tuple[bytes, list[bytes]]:
    """The head, and the pieces with their tags."""
    start = 15 + len(SPEC) + 16
    cuts = [*range(start, len(blob), 5 + PIECE_BYTES + 16), len(blob)]
    return blob[:start], [blob[a:b] for a, b in itertools.pairwise(cuts)]


@BOTH
@pytest.mark.parametrize(
    "order", [(0, 1), (0, 2), (1, 0, 2), (0, 0, 1, 2), (0, 1, 2, 2)]
)
def test_pieces_that_are_left_out_moved_or_repeated_are_noticed(
    signer: Signer | None, order: tuple[int, ...]
) -> None:
    content = bytes(PIECE_BYTES) + b"\1" * PIECE_BYTES + b"end"
    head, pieces = pieces_of(written(content, signer=signer))
    assert read(head + b"".join(pieces)) == content
    reader = opened(head + b"".join(pieces[index] for index in order))

    with pytest.raises(DamagedResult):
        io.BufferedReader(reader).read()


@BOTH
def test_pieces_of_two_results_do_not_mix(signer: Signer | None) -> None:
    first = pieces_of(written(bytes(PIECE_BYTES) + b"end", signer=signer))
    other = pieces_of(written(b"\1" * PIECE_BYTES + b"end", signer=signer))

    with pytest.raises(DamagedResult, match="bytes are not those"):
        read(first[0] + first[1][0] + other[1][1])


def test_what_was_not_closed_is_damaged() -> None:
    file = io.BytesIO()
    EnvelopeWriter(file, SPEC, None).write(bytes(2 * PIECE_BYTES))

    with pytest.raises(DamagedResult, match=r"a place.*ends too early"):
        read(file.getvalue())


def test_what_nobody_has_read_is_verified_by_finish() -> None:
    blob = written(bytes(3 * PIECE_BYTES))
    opened(blob).finish()

    with pytest.raises(DamagedResult):
        opened(blob[:-1]).finish()


# -- Signatures -----------------------------------------------------------------------


def test_what_another_key_signed_is_not_looked_into() -> None:
    other = Signer.of_secret("another key of many characters")

    with pytest.raises(UntrustedResult, match="another key"):
        opened(written(b"x", signer=other))


def test_who_does_not_know_the_key_cannot_sign() -> None:
    blob = written(b"x", signer=SIGNER)
    other = Signer.of_secret("another key of many characters")
    forged = bytearray(written(b"y", signer=other))
    head = 15 + len(SPEC) + 16
    forged[:head] = blob[:head]

    with pytest.raises(DamagedResult):
        read(bytes(forged))


# -- Sizes ----------------------------------------------------------------------------


def test_a_value_that_is_too_large_fails_while_it_is_written() -> None:
    file = io.BytesIO()
    writer = EnvelopeWriter(file, SPEC, None, key="k", max_bytes=10)
    writer.write(b"x" * 10)

    with pytest.raises(ResultTooLarge) as caught:
        writer.write(b"y")

    assert (caught.value.size_bytes, caught.value.max_bytes) == (11, 10)
    assert writer.failure is caught.value
    assert file.getvalue() == b""
