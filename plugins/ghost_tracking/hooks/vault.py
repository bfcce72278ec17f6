"""ParquetVaultHook: the vault that an Airflow connection names."""

import os
from functools import cached_property
from typing import BinaryIO, Final, cast

from airflow.sdk import BaseHook, Connection, ObjectStoragePath
from airflow.sdk.exceptions import AirflowNotFoundException

from ghost_tracking.errors import ConfigurationError
from ghost_tracking.hooks.buckets import bucket_storage
from ghost_tracking.hooks.list_files import open_list
from ghost_tracking.settings import VAULT_CONNECTION, list_prefixes
from ghost_tracking.vault import Vault
from ghost_tracking.vault.location import VaultLocation, require_no_credentials
from ghost_tracking.vault.storage import Storage
from ghost_tracking.vault.storage.root import RootPath

_EXAMPLES: Final = '{"path": "/absolute/folder"} or {"path": "s3://aws_connection@bucket/prefix"}'
_CONNECTION_TYPES: Final = {"fs", "file", "generic"}


class ParquetVaultHook(Vault, BaseHook):
    """The vault of a deployment, with the verbs of `Vault`.

    The root is an absolute folder that all workers share, or a URL of an object store: `s3://bucket/prefix` or
    `gs://bucket/prefix`, with the Airflow connection that has its credentials as in `s3://aws_default@bucket/prefix`;
    without one, the environment's credentials are used. The root comes from connection `ghost_vault`: of type File
    (path) with the extra `{"path": "/folder"}`, or of type file or generic with the root as host. Outside Airflow,
    `root="/folder"` or `connection=Connection(...)` stands for it.

    Every verb raises `ConfigurationError`, in a sentence that names what to change, when there is no usable vault.

    :param vault_conn_id: the connection that names the root
    :param root: the root itself, instead of a connection
    :param connection: the connection itself, instead of its id
    :param lock_timeout: seconds that `publish` and `seal` wait, in all, for hours that others are writing
    """

    conn_name_attr = "vault_conn_id"
    default_conn_name = VAULT_CONNECTION
    conn_type = "fs"
    hook_name = "Ghost Tracking vault"

    def __init__(
        self,
        vault_conn_id: str = default_conn_name,
        *,
        root: str | os.PathLike[str] | ObjectStoragePath | None = None,
        connection: Connection | None = None,
        lock_timeout: float = 30.0,
    ) -> None:
        BaseHook.__init__(self)
        self.vault_conn_id = connection.conn_id if connection is not None else vault_conn_id
        self.lock_timeout = lock_timeout
        self._location = ConnectedLocation(self.vault_conn_id, None if root is None else str(root), connection)

    def get_conn(self) -> ObjectStoragePath:
        """The root, whether it exists yet or not."""
        return cast("ObjectStoragePath", self._location.path)

    def open_list(self, name: str) -> BinaryIO:
        """A file with a list, from where this deployment lets forms read lists: see `settings.list_prefixes`.

        `name`: a path in the vault, an absolute one, or a URL of the vault's object store. Raises BadInputError for
        any other file, and for one that is no regular file or too large.
        """
        return open_list(self.get_conn(), name, list_prefixes())


class ConnectedLocation(VaultLocation):
    """A location that an Airflow connection may name, looked up when it is first needed."""

    def __init__(self, connection_id: str, root: str | None, connection: Connection | None) -> None:
        super().__init__(root or "")
        self._connection_id = connection_id
        self._given_root = root
        self._connection = connection

    def __str__(self) -> str:
        """The vault's root, and who says so, as the beginning of a sentence."""
        source = "" if self._given_root is not None else f" (connection '{self._connection_id}')"
        return f"{super().__str__()}{source}"

    @cached_property
    def path(self) -> RootPath:
        """The root, whether it exists yet or not."""
        root = self._given_root if self._given_root is not None else self._root_of_connection()
        require_no_credentials(root)
        return cast("RootPath", ObjectStoragePath(root))

    def _bucket(self, root: RootPath) -> Storage:
        return bucket_storage(cast("ObjectStoragePath", root))

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
