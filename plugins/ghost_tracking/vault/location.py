"""Where a vault is: its root, the storage behind it, and which vault it is."""

import errno
import getpass
import json
import os
import uuid
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ghost_tracking.errors import ConfigurationError, FileChangedError
from ghost_tracking.vault import layout
from ghost_tracking.vault.storage import LocalStorage, Storage
from ghost_tracking.vault.storage.object_store import object_storage
from ghost_tracking.vault.storage.root import BUCKETS, RootPath, UrlPath

_FOLDER_PROTOCOLS: Final = {"", "file"}
_FULL: Final = {
    errno.ENOSPC: "its file system has no space, or no inodes, left",
    errno.EDQUOT: "the quota of this user is used up",
    errno.EFBIG: "this process may write no file of that size",
}


class VaultLocation:
    """The root of a vault. Raises `ConfigurationError`, which names what to change, when there is no usable vault."""

    def __init__(self, root: str, storage_options: dict[str, Any] | None = None) -> None:
        self._root = root
        self._storage_options = storage_options or {}

    def __str__(self) -> str:
        """The vault's root, as the beginning of a sentence."""
        return f"The vault's root {self.path}"

    @cached_property
    def path(self) -> RootPath:
        """The root, whether it exists yet or not."""
        require_no_credentials(self._root)
        return UrlPath(self._root, self._storage_options)

    @cached_property
    def storage(self) -> Storage:
        """What the vault's files are kept in, whether it can be reached or not."""
        root = self.path
        if root.protocol in BUCKETS:
            return self._bucket(root)
        if root.protocol not in _FOLDER_PROTOCOLS:
            raise ConfigurationError(f"{self} is of a kind that the vault cannot use: name a folder, s3://… or gs://…")
        folder = Path(root.path)
        if not folder.is_absolute():
            raise ConfigurationError(f"{self} is not an absolute path: write it from the first / on")
        return LocalStorage(folder, layout.SCRATCH)

    def _bucket(self, root: RootPath) -> Storage:
        return object_storage(root, layout.SCRATCH, BUCKETS[root.protocol])

    def writable(self) -> Storage:
        """The storage, made where it is missing and can be."""
        try:
            self.storage.prepare()
        except OSError as error:
            raise self.not_writable(error) from error
        return self.storage

    def not_writable(self, error: OSError) -> ConfigurationError:
        """That this error keeps from writing, and whom."""
        if error.errno in _FULL:
            return ConfigurationError(f"{self} is full: {_FULL[error.errno]}. Make room, or give it more")
        return ConfigurationError(f"{self} cannot be written by user '{_user()}': {error.strerror or error}")

    def readable(self) -> Storage:
        """The storage, which is there."""
        if not self.storage.exists():
            raise ConfigurationError(f"{self} is not there, or user '{_user()}' cannot see it")
        return self.storage


def require_no_credentials(root: str) -> None:
    """Raise ConfigurationError, which quotes nothing, for a root with a password in its URL."""
    account, _, _ = urlsplit(root).netloc.rpartition("@")
    if ":" in account:
        raise ConfigurationError(
            "The vault's root has credentials in its URL: put them into an Airflow connection, and write that "
            "one's id before the @"
        )


def read_identity(storage: Storage) -> str | None:
    """The UUID of the vault in this storage; None where there is none yet; ConfigurationError for a damaged one."""
    try:
        data = storage.read(layout.IDENTITY).data
    except FileNotFoundError:
        return None
    try:
        return str(uuid.UUID(json.loads(data)["id"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{storage.place}/{layout.IDENTITY} is damaged: restore it, or delete it to have a new one made"
        ) from error


def make_identity(storage: Storage) -> str:
    """Give the vault in this storage a UUID; that of another process where that was first."""
    storage.probe()
    made = str(uuid.uuid4())
    text = json.dumps({"id": made, "created_at": datetime.now(UTC).isoformat(timespec="seconds")})
    try:
        storage.replace(layout.IDENTITY, text.encode(), expecting=None)
    except FileChangedError:  # an object store keeps nobody out, and somebody was first
        known = read_identity(storage)
        if known is None:
            raise
        return known
    return made


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return str(os.getuid())
