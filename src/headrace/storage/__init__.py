"""Where the bytes of results are kept, and the form in which they are."""

from __future__ import annotations

from headrace.storage.base import ResultStorage
from headrace.storage.choosing import resolve_storage
from headrace.storage.envelope import EnvelopeReader, EnvelopeWriter, SmallEnvelopes
from headrace.storage.fsspec import FsspecStorage
from headrace.storage.keys import checked_key, random_key
from headrace.storage.local import LocalFileSystem
from headrace.storage.memory import MemoryStorage
from headrace.storage.objects import ObjectStorage
from headrace.storage.signing import Signer

__all__ = (
    "EnvelopeReader",
    "EnvelopeWriter",
    "FsspecStorage",
    "LocalFileSystem",
    "MemoryStorage",
    "ObjectStorage",
    "ResultStorage",
    "Signer",
    "SmallEnvelopes",
    "checked_key",
    "random_key",
    "resolve_storage",
)
