"""Results in an object store: S3, Google Cloud Storage, Azure and the like."""

from __future__ import annotations

import io
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, BinaryIO

from headrace._text import shown
from headrace.storage.extras import extra_package
from headrace.storage.faults import missing, storage_error
from headrace.storage.keys import file_names
from headrace.storage.pieces import IteratedFile, spooled

__all__ = ("ObjectStorage",)


class ObjectStorage:
    """Stores results in a store of obstore, the package of the extra ``objects``.

    Each result is one request to write, and one to read. Large ones are sent and received
    in parts; while one is made it is kept in a temporary file.

    Args:
        store: Such as ``obstore.store.S3Store("bucket", prefix="results")``.

    Raises:
        TypeError: It is no store.
        ImportError: obstore is not installed.
    """

    __slots__ = ("_obstore", "identity", "store")

    def __init__(self, store: Any) -> None:
        self._obstore = extra_package("obstore", "objects", "storing in object stores")
        if type(store).__module__.partition(".")[0] != "obstore":
            raise TypeError(
                f"{shown(store)} of type {type(store).__name__} is no object store. "
                f"Give one of obstore, as obstore.store.from_url('s3://...') makes."
            )
        self.store = store
        endpoint = getattr(store, "config", {}).get("endpoint")
        self.identity = f"{store!r}" if endpoint is None else f"{store!r} at {endpoint}"

    @classmethod
    def of_address(cls, address: str) -> ObjectStorage:
        """One at an address such as ``"s3://bucket/results"``.

        What else is needed, such as credentials, comes from the environment.

        Raises:
            ValueError: It is no such address.
            ImportError: obstore is not installed.
        """
        stores = extra_package("obstore.store", "objects", f"the storage {address!r}")
        try:
            store = stores.from_url(address)
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"{address!r} is no address of an object store: {reason}. Write one "
                f"such as 's3://bucket/results', or the path of a folder."
            ) from error
        return cls(store)

    def __repr__(self) -> str:
        return f"ObjectStorage({self.store!r})"

    @contextmanager
    def writing(self, key: str) -> Generator[BinaryIO]:
        """See `ResultStorage.writing`."""
        path = "/".join(file_names(key))
        with spooled() as file:
            yield file
            file.seek(0)
            try:
                self._obstore.put(self.store, path, file)
            except Exception as error:
                raise self._error("write", path, error) from error

    @contextmanager
    def reading(self, key: str) -> Generator[BinaryIO]:
        """See `ResultStorage.reading`."""
        path = "/".join(file_names(key))
        try:
            pieces = iter(self._obstore.get(self.store, path).stream())
        except FileNotFoundError:
            raise missing(f"{path} in {self.identity}") from None
        except Exception as error:
            raise self._error("read", path, error) from error
        yield io.BufferedReader(IteratedFile(self._guarded(pieces, path)))

    def remove(self, key: str) -> bool:
        """See `ResultStorage.remove`."""
        path = "/".join(file_names(key))
        try:
            self._obstore.head(self.store, path)
            self._obstore.delete(self.store, path)
        except FileNotFoundError:
            return False
        except Exception as error:
            raise self._error("remove", path, error) from error
        return True

    def _guarded(self, pieces: Any, path: str) -> Generator[Any]:
        try:
            yield from pieces
        except Exception as error:
            raise self._error("read", path, error) from error

    def _error(self, action: str, path: str, error: Exception) -> Exception:
        short = Exception(str(error).partition("\n")[0])
        told = error if isinstance(error, OSError) and error.errno else short
        return storage_error(action, f"{path} in {self.identity}", told)
