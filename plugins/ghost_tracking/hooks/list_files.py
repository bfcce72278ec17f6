"""Files of lists that a form names: they come from where the deployment allows it, and from nowhere else.

Whoever may trigger a DAG writes such a name, and a worker can read far more than he can. So a name is compared with
the allowed prefixes before anything is touched; below these no symbolic link is followed, and nothing but a regular
file of a bounded size is read; of an object store with the vault's own credentials, whatever the name says.
"""

import io
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from airflow.sdk import ObjectStoragePath

from ghost_tracking.errors import BadInputError, BadSettingsError
from ghost_tracking.hooks.buckets import bucket_storage
from ghost_tracking.settings import LIST_PREFIXES_ENVIRONMENT
from ghost_tracking.vault.storage.root import BUCKETS

LARGEST: Final = 1 << 30
"""Bytes of a list: some twenty million URLs."""

_KERNELS: Final = {"proc", "sys", "dev"}
"""Folders of the root whose files are none: `/proc/self/environ` has the passwords of whoever reads it."""
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class _Spot:
    """A file or a folder: in which store (`s3://bucket`; empty: this machine), and the parts of its path there."""

    store: str
    parts: tuple[str, ...]

    def is_below(self, other: "_Spot") -> bool:
        return self.store == other.store and self.parts[: len(other.parts)] == other.parts != self.parts


def open_list(vault_root: ObjectStoragePath, name: str, prefixes: Sequence[str]) -> BinaryIO:
    """The file of this name, a path in the vault, an absolute one or a URL, where one of the prefixes allows it.

    It is read up to the size that it has now. Raises BadInputError, in a sentence that says what is allowed, for
    another place and for what is no regular file of at most `LARGEST` bytes; BadSettingsError for a bad prefix.
    """
    vault = _root(vault_root)
    allowed = [_prefix(text, vault, vault_root.conn_id) for text in prefixes]
    try:
        spot = _spot(name, vault, vault_root.conn_id)
    except ValueError as error:
        raise BadInputError(f"list_file {name[:_SHOWN]!r} cannot be used: {error}") from None
    prefix = next((each for each in allowed if spot.is_below(each)), None)
    if prefix is None:
        raise BadInputError(
            f"list_file {name[:_SHOWN]!r} is not where forms may read lists from, which is below "
            f"{' or '.join(prefixes) or 'nothing'} (without a leading slash: in the vault): put the list there, or "
            f"add its folder to the environment variable {LIST_PREFIXES_ENVIRONMENT}"
        )
    try:
        file = _open_object(spot, vault_root.conn_id) if spot.store else _open_file(spot, prefix, vault)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BadInputError(f"list_file {name[:_SHOWN]!r} cannot be read on this worker: {reason}") from error
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size > LARGEST:
        file.close()
        raise BadInputError(f"list_file {name[:_SHOWN]!r} has {size:,} bytes, more than {LARGEST:,}: split it")
    return io.BufferedReader(_Limited(file, size))


class _Limited(io.RawIOBase):
    """A file up to a size: what is appended while it is read does not belong to it."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _root(root: ObjectStoragePath) -> _Spot:
    """Where the vault is: the deployment's own word, taken as it is."""
    if root.protocol in BUCKETS:
        return _Spot(f"{root.protocol}://{root.bucket}", tuple(filter(None, root.key.split("/"))))
    return _Spot("", Path(root.path).parts[1:])


def _prefix(text: str, vault: _Spot, conn_id: str | None) -> _Spot:
    try:
        spot = _spot(text, vault, conn_id)
        if not spot.store and (not spot.parts or spot.parts[0] in _KERNELS):
            raise ValueError("it cannot be a folder of lists")
    except ValueError as error:
        raise BadSettingsError(
            f"environment variable {LIST_PREFIXES_ENVIRONMENT}, {text[:_SHOWN]!r}: {error}"
        ) from None
    return spot


def _spot(text: str, vault: _Spot, conn_id: str | None) -> _Spot:
    """Where a text leads; ValueError with a reason. Nothing is looked at."""
    scheme, is_url, rest = text.partition("://")
    if not is_url:
        return _Spot("", _parts(text)) if text.startswith("/") else _Spot(vault.store, vault.parts + _parts(text))
    if scheme == "file" and rest.startswith("/"):
        return _Spot("", _parts(rest))
    authority, _, key = rest.partition("/")
    account, _, bucket = authority.rpartition("@")
    if scheme not in BUCKETS or not vault.store.startswith(f"{scheme}://"):
        raise ValueError("it is neither a path nor a URL of the object store that the vault is in")
    if account not in {"", conn_id}:
        raise ValueError("it names a connection, but only the vault's own is used: remove the part before the @")
    return _Spot(f"{scheme}://{bucket}", _parts(key))


def _parts(path: str) -> tuple[str, ...]:
    parts = tuple(path.strip("/").split("/")) if path.strip("/") else ()
    if not path.isprintable() or any(part in {"", ".", ".."} for part in parts):
        raise ValueError("its path has '..', '.', an empty part or a character that cannot be printed")
    return parts


def _open_object(spot: _Spot, conn_id: str | None) -> BinaryIO:
    bucket = bucket_storage(ObjectStoragePath(spot.store, conn_id=conn_id))
    return bucket.open("/".join(spot.parts))


def _open_file(spot: _Spot, prefix: _Spot, vault: _Spot) -> BinaryIO:
    """Open a regular file, folder by folder, so that nobody can put a link there meanwhile.

    A prefix is the deployment's own word, and may be a link; but into a vault others may write.
    """
    trusted = vault if prefix.is_below(vault) else prefix
    *folders, name = spot.parts[len(trusted.parts) :]
    folder = os.open(Path("/", *trusted.parts), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    below = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        for each in folders:
            inner = os.open(each, below | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        # without waiting for whoever may write into a pipe
        descriptor = os.open(name, below | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "it is not a regular file")
    return os.fdopen(descriptor, "rb")
