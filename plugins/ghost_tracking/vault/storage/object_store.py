"""A vault that is a prefix of a bucket in an object store: Amazon's S3 and what speaks like it, Google Cloud Storage.

There are no locks in an object store. What keeps two writers from undoing each other's work is the conditional
write: a file is replaced only if it still is the version that its successor was made of, else `FileChangedError` has
the writer start over. That is enough for what the vault does. A replacement holds all that it replaces, so published
files only grow; a part is deleted after it was found inside a published file, which whoever is late with another
replacement of that file then has to read.
"""

import io
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any, BinaryIO, Final, cast

from ghost_tracking.errors import ConfigurationError, FileChangedError
from ghost_tracking.vault.storage.base import Blob, Version, is_key, parts_of
from ghost_tracking.vault.storage.bucket import ANY, Bucket
from ghost_tracking.vault.storage.root import RootPath

_END: Final = 128 * 1024
"""What comes with opening a file: its end, which has a Parquet file's footer."""

_BLOCK: Final = 1024 * 1024
"""What an open file fetches at least: a row group of that size, read column by column, is one request and not four."""


class ObjectStorage:
    """A prefix of a bucket; see `Storage`. What is written is durable and seen by all at once, as the stores promise.

    Versions are the store's own: entity tags of S3, generations of Google.
    """

    def __init__(self, bucket: Bucket, place: str, prefix: str, scratch: str) -> None:
        """`place` is the root for messages; `prefix` comes before each key; `scratch` is the folder of probes."""
        self._bucket = bucket
        self._place = place
        self._prefix = prefix
        self._scratch = scratch
        self._was_listed = False

    @property
    def place(self) -> str:
        """The root as a URL."""
        return self._place

    @property
    def keeps_others_out(self) -> bool:
        """Nothing does, see the module."""
        return False

    def prepare(self) -> None:
        """Nothing: there are no folders to make, and whichever verb meets a bucket that refuses says so."""

    def probe(self) -> None:
        """Really write something, and remove it; ConfigurationError from a store without conditional writes."""
        key = f"{self._scratch}/probe-{uuid.uuid4().hex}"
        self.replace(key, b"first", expecting=None)
        try:
            self._require_refusal(key, expecting=None)
            outdated = self.version(key)
            self.put(key, b"second")
            self._require_refusal(key, expecting=outdated)
        finally:
            self.delete([key])

    def _require_refusal(self, key: str, *, expecting: Version | None) -> None:
        try:
            self.replace(key, b"third", expecting=expecting)
        except FileChangedError:
            return
        raise ConfigurationError(
            f"{self.place} is in an object store that ignores the conditions of conditional writes "
            "(If-None-Match, If-Match), without which writers undo each other's work: use another store or a folder"
        )

    def exists(self) -> bool:
        """Whether the bucket can be listed; ConfigurationError says why not. A prefix without objects is there.

        Asked once: whoever could list it goes on, and hears from the next request where that has changed.
        """
        if self._was_listed:
            return True
        next(self._bucket.listing(self._prefix, "/"), None)  # a few folders, and not a thousand names
        self._was_listed = True
        return True

    def read(self, key: str, *, last: int | None = None) -> Blob:
        """One version of `key`, whole or its `last` bytes; FileNotFoundError when it is not there."""
        return self._bucket.get(self._name(key), span=None if last is None else f"-{last}")

    def read_span(self, key: str, start: int, length: int) -> bytes:
        """`length` bytes of `key` from `start` on, or what there is of them; FileNotFoundError when it is not there."""
        if length <= 0:
            return b""
        blob = self._bucket.get(self._name(key), span=f"{start}-{start + length - 1}")
        return blob.data if start < blob.size else b""  # a store answers with all of it where the span lies behind

    def open(self, key: str) -> BinaryIO:
        """`key` for reading here and there; FileChangedError when it is replaced or deleted before all is read.

        OSError from reading is the network's fault and not the file's.
        """
        return cast("BinaryIO", _OpenObject(self._bucket, self._name(key)))

    def version(self, key: str) -> Version | None:
        """The present version of `key`; None when it is not there."""
        return self._bucket.version(self._name(key))

    def children(self, folder: str) -> list[str]:
        """The names right below `folder`, sorted; none when there is nothing below it."""
        return sorted(self._children(folder, ""))

    def children_between(self, folder: str, spans: Sequence[tuple[str, str]]) -> list[str]:
        """Those of the `children` that lie in one of these spans: a request for each, or for 1,000 of its names."""
        found: set[str] = set()
        for first, last in spans:
            found.update(takewhile(lambda name: name <= last, self._children(folder, first)))  # noqa: B023 - used at once
        return sorted(found)

    def _children(self, folder: str, first: str) -> Iterator[str]:
        """The names right below `folder` from this one on, in order."""
        prefix = self._below(folder)
        after = f"{prefix}{first}" if first else ""
        names = (name.removeprefix(prefix).rstrip("/") for name, _ in self._bucket.listing(prefix, "/", after))
        # an object may have the prefix itself as its name, to look like a folder
        return (name for name in names if is_key(name) and name >= first)

    def walk(self, folder: str) -> Iterator[tuple[str, int]]:
        """The key of every file below `folder` with its size."""
        for name, size in self._bucket.listing(self._below(folder)):
            if is_key(key := name.removeprefix(self._prefix)):
                yield key, size

    def foreign(self) -> Iterator[str]:
        """Nothing: a store has objects only."""
        return iter(())

    def put(self, key: str, data: bytes) -> None:
        """Write `key` whole, whatever stood there."""
        self._bucket.put(self._name(key), data, expecting=ANY)

    def replace(self, key: str, data: bytes, *, expecting: Version | None) -> None:
        """`put`, if `key` still is the version `expecting` (None: is not there), else `FileChangedError`.

        A conditional write whose answer got lost is sent again by the client, and then refused because of its own
        success. So a refusal counts only when something else than `data` stands there.
        """
        try:
            self._bucket.put(self._name(key), data, expecting=expecting)
        except FileChangedError:
            if not self._holds(key, data):
                raise FileChangedError(f"{key} was replaced by somebody else", key=key) from None

    def _holds(self, key: str, data: bytes) -> bool:
        try:
            return self.read(key).data == data
        except FileNotFoundError:
            return False

    def sync(self, key: str) -> None:
        """Nothing: what can be read is durable."""

    def move(self, key: str, to: str) -> None:
        """Copy, then delete: somebody may see both."""
        self._bucket.copy(self._name(key), self._name(to))
        self.delete([key])

    def delete(self, keys: Iterable[str]) -> None:
        """Remove `keys`, those that are there."""
        self._bucket.delete(map(self._name, keys))

    def prune(self, folders: Iterable[str]) -> None:
        """Nothing: a store has no folders."""

    def discard(self, key: str, *, expecting: Version) -> None:
        """Remove `key` if it is the version `expecting`; a store that knows no conditions here removes any."""
        try:
            self._bucket.delete_version(self._name(key), expecting)
        except FileNotFoundError:
            return
        except FileChangedError:
            if self.version(key) is not None:
                raise

    def sweep_scratch(self, before: float) -> int:  # noqa: ARG002 - the protocol's
        """None: an object is there whole or not at all."""
        return 0

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:  # noqa: ARG002 - the protocol's
        """Keep nobody out: the conditional writes of `replace` are the guard, see the module."""
        yield

    def _name(self, key: str) -> str:
        parts_of(key)
        return f"{self._prefix}{key}"

    def _below(self, folder: str) -> str:
        return f"{self._name(folder)}/" if folder else self._prefix


class _OpenObject(io.RawIOBase):
    """One version of an object, fetched in blocks; its end comes with opening it, as Parquet is read from there."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self._name = name
        end = bucket.get(name, span=f"-{_END}")
        self._version = end.version
        self._size = end.size
        self._block = end.data
        self._block_starts = end.size - len(end.data)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes, fewer at the end only."""
        left = max(0, self._size - self._position)
        size = left if size is None or size < 0 else min(size, left)
        self._have(self._position, size)
        start = self._position - self._block_starts
        self._position += size
        return self._block[start : start + size] if size else b""

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _have(self, start: int, size: int) -> None:
        """Fetch a block that holds these bytes, if the last one does not."""
        ends = self._block_starts + len(self._block)
        if size and not (self._block_starts <= start and start + size <= ends):
            last = min(start + max(size, _BLOCK), self._size) - 1
            self._block = self._get(f"{start}-{last}")
            self._block_starts = start

    def _get(self, span: str) -> bytes:
        try:
            return self._bucket.get(self._name, span=span, version=self._version).data
        except FileNotFoundError:
            raise FileChangedError(f"{self._name} was replaced or deleted while it was read", key=self._name) from None


def object_storage(root: RootPath, scratch: str, package: str) -> ObjectStorage:
    """The storage at `root`, a URL of one of `BUCKETS`; `package` is what has to be installed for it.

    Raises `ConfigurationError` when that is missing, or the bucket's name is.
    """
    if not root.bucket:
        raise ConfigurationError(f"The vault's root {root} names no bucket: write {root.protocol}://bucket/prefix")
    prefix = root.key.strip("/")
    return ObjectStorage(_bucket(root, package), str(root).rstrip("/"), f"{prefix}/" if prefix else "", scratch)


def _bucket(root: RootPath, package: str) -> Bucket:
    try:
        if root.protocol == "s3":
            from ghost_tracking.vault.storage.s3 import S3Bucket

            return S3Bucket.connect(root)
        from ghost_tracking.vault.storage.gcs import GoogleBucket

        return GoogleBucket.connect(root)
    except ImportError as error:
        raise ConfigurationError(f"The vault's root {root} needs the Python package {package}: {error}") from error
