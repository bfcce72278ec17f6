"""What an object store can do for a vault: the few requests that each kind of store answers in its own way."""

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from ghost_tracking.vault.storage.base import Blob, Version

ANY: Final[Version] = object()
"""Stands for whatever version there is, or none."""


class Bucket(Protocol):
    """A bucket of an object store. Names are those of whole objects, the vault's prefix included.

    Any call raises `OSError` for what may pass, and `ConfigurationError` when the bucket is missing or refuses.
    """

    def get(self, name: str, *, span: str | None = None, version: Version = ANY) -> Blob:
        """An object, or what `span`, the value of an HTTP Range header without its unit, tells of it.

        FileNotFoundError when it is not there, FileChangedError when it is not of this version.
        """

    def put(self, name: str, data: bytes, *, expecting: Version | None) -> None:
        """Write an object if it is of version `expecting`, None: not there; else FileChangedError."""

    def version(self, name: str) -> Version | None:
        """The present version of an object; None when it is not there."""

    def listing(self, prefix: str, delimiter: str = "", after: str = "") -> Iterator[tuple[str, int]]:
        """The names that start with `prefix` and their sizes; those alike up to a delimiter behind it, once, as 0.

        Page by page as they are taken, from the names on that sort behind `after`.
        """

    def copy(self, name: str, to: str) -> None:
        """Copy an object within the bucket, over whatever stands there; FileNotFoundError when it is not there."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete those objects that are there."""

    def delete_version(self, name: str, version: Version) -> None:
        """Delete an object if it is of this version, else FileChangedError; FileNotFoundError when it is not there."""
