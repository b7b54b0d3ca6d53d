"""The form of stored bytes: what made them, and proof that they are as they were.

    magic 4 | version 1 | key id 8 | length of spec 2 | spec | tag 16
    then pieces: last? 1 | length 4 | bytes | tag 16

A tag is the first half of a SHA-256, or of an HMAC of it where the bytes are signed, of
the tag before and of what stands between the two. So no piece can be changed, left out,
moved or added, and each can be handed on as soon as it is read: neither writing nor
reading holds more than one piece, and nothing is decoded that was not verified. The tag
of the head is never signed: a head that is whole tells which key signed the rest.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import struct
from collections.abc import Callable
from typing import Any, Final

from headrace._types import ByteSink, ByteSource
from headrace.exceptions import DamagedResult, ResultTooLarge, UntrustedResult
from headrace.storage.signing import Signer

__all__ = ("EnvelopeReader", "EnvelopeWriter", "SmallEnvelopes")

PIECE_BYTES: Final = 1 << 18
_MAGIC: Final = b"\x89hr\n"  # not ASCII, and with a line end that text modes change
_VERSION: Final = 1
_UNSIGNED: Final = bytes(8)
_TAG_BYTES: Final = 16
_HEAD: Final = struct.Struct("<4sB8sH")
_PIECE: Final = struct.Struct("<BI")

_Hasher = Callable[[], Any]


def _tag(new: _Hasher, *parts: Any) -> bytes:
    hasher = new()
    for part in parts:
        hasher.update(part)
    digest: bytes = hasher.digest()
    return digest[:_TAG_BYTES]


class EnvelopeWriter:
    """A file that writes what it is given into another one, in an envelope.

    Call `close` at the end: without that, what was written is damaged.

    Args:
        file: Where to write. What its ``write`` raises is kept in `failure`, to be told
            from what whoever writes into this raises.
        spec: What made the bytes, as text.
        signer: Signs them; None where that is not needed.
        key: Under which they are stored, for messages.
        max_bytes: How many may be written; None for any number.
    """

    def __init__(
        self,
        file: ByteSink,
        spec: str,
        signer: Signer | None,
        *,
        key: str | None = None,
        max_bytes: int | None = None,
    ) -> None:
        self.failure: Exception | None = None
        self.size_bytes = 0
        self._file = file
        self._key = key
        self._max_bytes = max_bytes
        self._new: _Hasher = hashlib.sha256 if signer is None else signer.hasher
        head = _head_of(spec, signer)
        self._tag = _tag(hashlib.sha256, head)
        # Small values are one write in all: the head goes with the first piece.
        self._ahead = head + self._tag
        self._kept = bytearray()

    def write(self, data: Any, /) -> int:
        """Take some bytes, of any object with the buffer protocol.

        Raises:
            ResultTooLarge: They are more than allowed.
            Exception: What the file raises.
        """
        with memoryview(data) as given, given.cast("B") as view:
            size = len(view)
            self._count(size)
            if len(self._kept) + size <= PIECE_BYTES:
                self._kept += view
                return size
            start = PIECE_BYTES - len(self._kept)
            self._kept += view[:start]
            self._write_kept(is_last=False)
            # Large buffers go on in slices of their own, without being copied.
            while size - start > PIECE_BYTES:
                self._write_piece(view[start : start + PIECE_BYTES], is_last=False)
                start += PIECE_BYTES
            self._kept += view[start:]
            return size

    def close(self) -> None:
        """Write what is left, and that it is the last; raises what the file raises."""
        self._write_kept(is_last=True)

    def _count(self, size: int) -> None:
        self.size_bytes += size
        if self._max_bytes is not None and self.size_bytes > self._max_bytes:
            error = ResultTooLarge(self._key, self.size_bytes, self._max_bytes)
            self.failure = error
            raise error

    def _write_kept(self, *, is_last: bool) -> None:
        kept, self._kept = self._kept, bytearray()
        self._write_piece(kept, is_last=is_last)

    def _write_piece(self, data: Any, *, is_last: bool) -> None:
        start = _PIECE.pack(is_last, len(data))
        self._tag = _tag(self._new, self._tag, start, data)
        ahead, self._ahead = self._ahead + start, b""
        try:
            if is_last:
                self._file.write(b"".join((ahead, data, self._tag)))
            else:
                self._file.write(ahead)
                self._file.write(data)
                self._file.write(self._tag)
        except Exception as error:
            self.failure = error
            raise


class SmallEnvelopes:
    """Opens envelopes of one piece, at once: those of values that are read most often.

    Args:
        spec: What made the bytes.
        signer: Signed them; None if that was not needed.
    """

    def __init__(self, spec: str, signer: Signer | None) -> None:
        self._spec = spec
        self._signer = signer
        self._head = self._tag = b""

    def payload(self, blob: bytes) -> bytes | None:
        """The bytes in an envelope; None if that is not just as we would write it.

        Then `EnvelopeReader` is to tell why.
        """
        if not self._head and not self._has_head():
            return None
        size = len(self._head)
        start = size + _PIECE.size
        end = len(blob) - _TAG_BYTES
        if not blob.startswith(self._head) or end < start:
            return None
        if _PIECE.unpack_from(blob, size) != (1, end - start):
            return None
        signed = self._tag + blob[size:end]
        signer = self._signer
        if signer is None:
            tag = hashlib.sha256(signed).digest()
        else:
            tag = hmac.digest(signer.key, signed, "sha256")
        if not hmac.compare_digest(tag[:_TAG_BYTES], blob[end:]):
            return None
        return blob[start:end]

    def _has_head(self) -> bool:
        signer = self._signer
        if signer is not None and not signer.has_key:
            return False  # and none is made for looking
        head = _head_of(self._spec, signer)
        self._tag = _tag(hashlib.sha256, head)
        self._head = head + self._tag
        return True


def _head_of(spec: str, signer: Signer | None) -> bytes:
    text = spec.encode()
    key_id = _UNSIGNED if signer is None else signer.key_id
    return _HEAD.pack(_MAGIC, _VERSION, key_id, len(text)) + text


class EnvelopeReader(io.RawIOBase):
    """Reads what is in an envelope; every piece is verified before it is handed out.

    Args:
        file: Where to read.
        place: What messages call it.
        signer: Whose signature is trusted.

    Attributes:
        spec: What made the bytes, as text. Anybody may have written it unless
            `is_signed`.
        is_signed: Whether the signature is that of the signer.
        failure: What reading raised last, to be told from what whoever decodes raises.

    Raises:
        DamagedResult: The head is not as it was written.
        UntrustedResult: The rest is signed with another key.
        Exception: What the file raises.
    """

    def __init__(self, file: ByteSource, place: str, signer: Signer) -> None:
        self.failure: Exception | None = None
        self._file = file
        self._place = place
        self._left = memoryview(b"")
        self._is_last = False
        fixed = self._exactly(_HEAD.size)
        magic, version, key_id, length = _HEAD.unpack(fixed)
        if magic != _MAGIC or version != _VERSION:
            raise self._damaged("it does not begin as a stored result does")
        text = self._exactly(length)
        self._tag = self._exactly(_TAG_BYTES)
        if _tag(hashlib.sha256, fixed, text) != self._tag:
            raise self._damaged("its head is not what was written")
        self.spec = text.decode()
        self.is_signed = key_id != _UNSIGNED
        self._new: _Hasher = hashlib.sha256
        if self.is_signed:
            if not signer.is_own(key_id):
                raise UntrustedResult(
                    f"the stored result at {place} is signed with another key than "
                    f"ours, and was not looked into. Give both programs the same "
                    f"HEADRACE_HOME or HEADRACE_SIGNING_KEY, or run the task again."
                )
            self._new = signer.hasher

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer, or less of it; nothing only at the end.

        Raises:
            DamagedResult: What comes next is not as it was written.
            Exception: What the file raises.
        """
        while not self._left and not self._is_last:
            self._next_piece()
        with memoryview(buffer) as given, given.cast("B") as view:
            size = min(len(view), len(self._left))
            view[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def whole(self) -> bytes | None:
        """All bytes if they are one piece, which is verified; else None.

        Call it first. With None everything is still to be read.
        """
        self._next_piece()
        if not self._is_last:
            return None
        data, self._left = bytes(self._left), memoryview(b"")
        return data

    def finish(self) -> None:
        """Verify what nobody has read.

        Raises:
            DamagedResult: It is not as it was written.
        """
        while not self._is_last:
            self._next_piece()

    def _next_piece(self) -> None:
        start = self._exactly(_PIECE.size)
        is_last, length = _PIECE.unpack(start)
        if length > PIECE_BYTES or is_last not in {0, 1}:
            raise self._damaged("a length in it is not what was written")
        data = self._exactly(length)
        tag = self._exactly(_TAG_BYTES)
        if not hmac.compare_digest(_tag(self._new, self._tag, start, data), tag):
            raise self._damaged("its bytes are not those that were written")
        if is_last and self._read(1):
            raise self._damaged("there are bytes behind its end")
        self._left, self._tag, self._is_last = memoryview(data), tag, bool(is_last)

    def _exactly(self, size: int) -> bytes:
        data = self._read(size)
        while len(data) < size:  # a source may give less at a time
            more = self._read(size - len(data))
            if not more:
                raise self._damaged("it ends too early")
            data += more
        return data

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except Exception as error:
            self.failure = error
            raise

    def _damaged(self, reason: str) -> DamagedResult:
        self.failure = DamagedResult(
            f"the stored result at {self._place} is damaged: {reason}. Remove it, and "
            f"run the task again."
        )
        return self.failure
