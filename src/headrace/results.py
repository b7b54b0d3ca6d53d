"""Values that are stored, and found again by a small record."""

from __future__ import annotations

import dataclasses
import io
import json
from dataclasses import dataclass
from typing import Any, Final

from headrace._text import shown
from headrace._types import ByteSink, ByteSource
from headrace.exceptions import (
    HeadraceError,
    SerializationError,
    UnreadableResult,
    UntrustedResult,
)
from headrace.serializers import (
    Serializer,
    blamed,
    is_harmless,
    is_same,
    resolve_serializer,
    serializer_from_spec,
    stand_in,
)
from headrace.settings import current_settings
from headrace.storage import (
    EnvelopeReader,
    EnvelopeWriter,
    LocalFileSystem,
    ResultStorage,
    Signer,
    SmallEnvelopes,
    checked_key,
    random_key,
    resolve_storage,
)
from headrace.storage.faults import storage_error

__all__ = ("ResultRef", "ResultStore")

_READ_AT_ONCE_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class ResultRef:
    """Where a stored value is. It can be pickled, and written as text.

    Attributes:
        storage: The ``identity`` of the storage, such as ``"file:///data/results"``.
        key: The key in it.
        serializer: The ``spec`` of the serializer that made its bytes.
        size_bytes: How many bytes the value has, without the envelope.
    """

    storage: str
    key: str
    serializer: str
    size_bytes: int

    def to_json(self) -> str:
        """This record as JSON text."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ResultRef:
        """The record of which `to_json` made this text, perhaps in another process.

        Raises:
            ValueError: It is no such text.
        """
        wanted = {"storage": str, "key": str, "serializer": str, "size_bytes": int}
        try:
            found: dict[str, Any] = dict(json.loads(text))
        except (ValueError, TypeError):
            found = {}
        if {name: type(value) for name, value in found.items()} != wanted:
            raise ValueError(
                f"{shown(text)} is no record of a stored result. Give what "
                f"ResultRef.to_json() made."
            )
        return cls(**found)

    def open_storage(self) -> ResultStorage | None:
        """The storage, if this record tells all that it takes: if it is a folder."""
        return LocalFileSystem.of_identity(self.storage)


class ResultStore:
    """Stores values and reads them. Any thread may call it, and it blocks for I/O.

    Args:
        storage: Where: what `resolve_storage` takes.
        serializer: How: a `Serializer` or the name of its type.
        max_bytes: Most bytes of one value; None for any number.
        signer: Signs pickles, and tells which to trust; None for that of the settings.

    Raises:
        TypeError: One of these is of a wrong type.
        ValueError: The limit is negative, or the storage cannot be.
        UnknownSerializer: There is no serializer of that name.
    """

    __slots__ = ("_signer", "_small", "_spec", "max_bytes", "serializer", "storage")

    def __init__(
        self,
        storage: object = None,
        serializer: object = "pickle",
        *,
        max_bytes: int | None = None,
        signer: Signer | None = None,
    ) -> None:
        self.storage: ResultStorage = resolve_storage(storage)
        self.serializer: Serializer = resolve_serializer(serializer)
        self._spec = self.serializer.spec
        if max_bytes is not None and (type(max_bytes) is not int or max_bytes < 0):
            kind = ValueError if type(max_bytes) is int else TypeError
            raise kind(
                f"max_bytes={max_bytes!r} is no size. Give a whole number of bytes, or "
                f"None for any size."
            )
        self.max_bytes = max_bytes
        self._signer = signer or Signer.of_settings(current_settings())
        runs_code = self.serializer.runs_code
        self._small = SmallEnvelopes(self._spec, self._signer if runs_code else None)

    def save(self, key: str | None, value: Any) -> ResultRef:
        """Store a value under a key, in place of what was there.

        If this raises, nothing has changed. An exception that cannot be stored is stored
        as a `headrace.exceptions.StoredException`.

        Args:
            key: The key; None for a random one.
            value: Any value that the serializer can store.

        Raises:
            InvalidStorageKey: Nothing can be stored under this key.
            SerializationError: The value cannot be turned into bytes.
            ResultTooLarge: It has more than `max_bytes`.
            StorageError: The storage cannot take them.
        """
        key = random_key() if key is None else checked_key(key)
        value = self._storable(value)
        try:
            with self.storage.writing(key) as file:
                size = self._write(file, value, key, self._signer_of(self.storage))
        except HeadraceError:
            raise
        except Exception as error:
            place = f"{key!r} in {self.storage.identity}"
            raise storage_error("write", place, error) from error
        return ResultRef(self.storage.identity, key, self._spec, size)

    def load(self, ref: ResultRef) -> Any:
        """Read a stored value; another object at each call.

        It is read from the storage of this store; from that of the record if that is
        another folder.

        Raises:
            MissingResult: There is none.
            DamagedResult: (a `MissingResult`) Its bytes are not those that were written.
            UntrustedResult: (a `MissingResult`) It could run code of somebody else's.
            UnreadableResult: (a `MissingResult`) A value cannot be made of them here.
            StorageError: The storage cannot be read.
        """
        storage = self.storage
        if ref.storage != storage.identity:
            storage = ref.open_storage() or storage
        place = f"{ref.key!r} in {storage.identity}"
        try:
            with storage.reading(checked_key(ref.key)) as file:
                return self._read(file, place, self._signer_of(storage))
        except HeadraceError:
            raise
        except Exception as error:
            raise storage_error("read", place, error) from error

    def remove(self, ref: ResultRef) -> bool:
        """Forget a stored value; whether there was one.

        Raises:
            StorageError: It cannot be removed.
        """
        storage = self.storage
        if ref.storage != storage.identity:
            storage = ref.open_storage() or storage
        return storage.remove(checked_key(ref.key))

    @property
    def is_ready(self) -> bool:
        """Whether `from_bytes` needs no file: the key is in hand, or is not needed."""
        return self._signer.has_key or not self.serializer.runs_code

    def to_bytes(self, value: Any) -> bytes:
        """What would be stored for a value, for keeping it elsewhere; raises as `save`.

        These are not for one storage only, so pickles are signed with the key of the
        settings.
        """
        file = io.BytesIO()
        self._write(file, self._storable(value), None, self._signer)
        return file.getvalue()

    def from_bytes(self, blob: bytes, place: str = "bytes") -> Any:
        """The value of which `to_bytes` made these; raises as `load`.

        Args:
            blob: The bytes.
            place: Where they were kept, for messages.
        """
        payload = self._small.payload(blob)
        if payload is not None:
            try:
                return self.serializer.loads(payload)
            except Exception as error:
                raise _unreadable(place, error) from error
        return self._read(io.BytesIO(blob), place, self._signer)

    def _signer_of(self, storage: ResultStorage) -> Signer:
        """That of the storage if it has one of its own, as memory has."""
        own = getattr(storage, "signer", None)
        return own if isinstance(own, Signer) else self._signer

    def _write(
        self, file: ByteSink, value: Any, key: str | None, signer: Signer
    ) -> int:
        serializer = self.serializer
        writer = EnvelopeWriter(
            file,
            self._spec,
            signer if serializer.runs_code else None,
            key=key,
            max_bytes=self.max_bytes,
        )
        try:
            serializer.dump(value, writer)
        except Exception as error:
            if writer.failure is not None and error is not writer.failure:
                raise writer.failure from error
            if error is writer.failure or isinstance(error, HeadraceError):
                raise
            raise self._blamed(value, error) from error
        writer.close()
        return writer.size_bytes

    def _blamed(self, value: Any, error: Exception) -> SerializationError:
        store = self.serializer.dump
        return blamed(
            self.serializer.type, value, error, lambda part: store(part, _Nowhere())
        )

    def _read(self, file: ByteSource, place: str, signer: Signer) -> Any:
        reader = EnvelopeReader(file, place, signer)
        serializer = self._reading_serializer(reader, place)
        try:
            whole = reader.whole()
            if whole is not None:
                return serializer.loads(whole)
            value = serializer.load(io.BufferedReader(reader, _READ_AT_ONCE_BYTES))
            reader.finish()
        except Exception as error:
            if reader.failure is None:
                raise _unreadable(place, error) from error
            if error is reader.failure:
                raise
            raise reader.failure from error
        return value

    def _reading_serializer(self, reader: EnvelopeReader, place: str) -> Serializer:
        """Ours if it is meant; else as the bytes say, if they may say so."""
        own = self.serializer
        if reader.spec == self._spec and (reader.is_signed or not own.runs_code):
            return own
        if not reader.is_signed and not is_harmless(reader.spec):
            raise UntrustedResult(
                f"the stored result at {place} is not signed, and reading it with the "
                f"serializer {shown(reader.spec)} could run code. Store it with "
                f"headrace, or with the serializer 'json'."
            )
        try:
            return serializer_from_spec(reader.spec)
        except Exception as error:
            raise _unreadable(place, error) from error

    def _storable(self, value: Any) -> Any:
        """The value; for an exception that would not come back, what stands for it."""
        if not isinstance(value, BaseException):
            return value
        return value if self._comes_back(value) else stand_in(value)

    def _comes_back(self, error: BaseException) -> bool:
        try:
            read = self.serializer.loads(self.serializer.dumps(error))
            return is_same(error.args, read.args) and type(read) is type(error)
        except Exception:  # noqa: BLE001 - methods of the user's classes
            return False


class _Nowhere:
    """Takes bytes and drops them."""

    def write(self, data: Any, /) -> int:
        return len(data)


def _unreadable(place: str, error: Exception) -> UnreadableResult:
    reason = f"{type(error).__name__}: {error}".rstrip(". ")
    return UnreadableResult(
        f"the stored result at {place} cannot be made into a value here: {reason}. Run "
        f"the task again, or read it with the code that wrote it."
    )
