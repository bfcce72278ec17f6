"""Where a vault is: its root, who says so, the storage behind it, and which vault it is."""

import errno
import getpass
import json
import os
import uuid
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from airflow.sdk import BaseHook, Connection, ObjectStoragePath
from airflow.sdk.exceptions import AirflowNotFoundException

from ghost_tracking.errors import ConfigurationError, FileChangedError
from ghost_tracking.hooks.vault import layout
from ghost_tracking.hooks.vault.storage import FolderStorage, Storage
from ghost_tracking.hooks.vault.storage.objects import PROTOCOLS, object_storage

_FOLDER_PROTOCOLS: Final = {"", "file"}
_EXAMPLES: Final = '{"path": "/absolute/folder"} or {"path": "s3://aws_connection@bucket/prefix"}'
_FULL: Final = {
    errno.ENOSPC: "its file system has no space, or no inodes, left",
    errno.EDQUOT: "the quota of this user is used up",
    errno.EFBIG: "this process may write no file of that size",
}
_CONNECTION_TYPES: Final = {"fs", "file", "generic"}


class Place:
    """The root of a vault, from the text itself or from an Airflow connection, looked up when it is first needed.

    Raises `ConfigurationError`, in a sentence that names what to mend, when there is no usable vault.
    """

    def __init__(self, connection_id: str, root: str | None, connection: Connection | None) -> None:
        self._connection_id = connection_id
        self._root = root
        self._connection = connection

    def __str__(self) -> str:
        """The vault's root, and who says so, as the beginning of a sentence."""
        source = "" if self._root is not None else f" (connection '{self._connection_id}')"
        return f"The vault's root {self.path}{source}"

    @cached_property
    def path(self) -> ObjectStoragePath:
        """The root, whether it exists yet or not."""
        root = self._root if self._root is not None else self._root_of_connection()
        account, _, _ = urlsplit(root).netloc.rpartition("@")
        if ":" in account:  # nowhere to be quoted
            raise ConfigurationError(
                "The vault's root has credentials in its URL: put them into an Airflow connection, and write that "
                "one's id before the @"
            )
        return ObjectStoragePath(root)

    @cached_property
    def storage(self) -> Storage:
        """What the vault's files are kept in, whether it can be reached or not."""
        root = self.path
        if root.protocol in PROTOCOLS:
            return object_storage(root, layout.SCRATCH)
        if root.protocol not in _FOLDER_PROTOCOLS:
            raise ConfigurationError(f"{self} is of a kind that the vault cannot use: name a folder, s3://… or gs://…")
        folder = Path(root.path)
        if not folder.is_absolute():
            raise ConfigurationError(f"{self} is not an absolute path: write it from the first / on")
        return FolderStorage(folder, layout.SCRATCH)

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

    def _root_of_connection(self) -> str:
        connection = self._connection or self._find_connection()
        path = connection.extra_dejson.get("path")
        if not path and connection.conn_type in _CONNECTION_TYPES:
            path = "/".join(filter(None, [connection.host or "", connection.schema]))
            path = path if connection.host else f"/{path}"
        if not path or path == "/":
            raise ConfigurationError(
                f"Connection '{self._connection_id}' names no folder and no bucket: "
                f"give it the type File (path) and the extra {_EXAMPLES}"
            )
        return str(path)

    def _find_connection(self) -> Connection:
        try:
            connection: Connection = BaseHook.get_connection(self._connection_id)
            return connection
        except AirflowNotFoundException:
            raise ConfigurationError(
                f"Connection '{self._connection_id}' is missing: "
                f"create it with the type File (path) and the extra {_EXAMPLES}"
            ) from None


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
            f"{storage.place}/{layout.IDENTITY} is damaged: restore it, or delete it to have it made anew"
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
