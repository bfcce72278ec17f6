"""The hook: where the vault is, and its verbs."""

import getpass
import json
import os
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from airflow.sdk import BaseHook, Connection, ObjectStoragePath
from airflow.sdk.exceptions import AirflowNotFoundException

from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import MetricPoint, parse_points
from ghost_tracking.errors import ConfigurationError, FileChangedError, VaultMismatchError
from ghost_tracking.hooks.vault import layout
from ghost_tracking.hooks.vault.reports import PublishReport, SealReport, StagedPart
from ghost_tracking.hooks.vault.storage import FolderStorage, Storage
from ghost_tracking.hooks.vault.storage.objects import PROTOCOLS, object_storage
from ghost_tracking.settings import VAULT_CONNECTION

if TYPE_CHECKING:
    import pandas as pd

    from ghost_tracking.hooks.vault.publishing import Publisher

SEAL_MARGIN: Final = timedelta(minutes=15)
_FOLDER_PROTOCOLS: Final = {"", "file"}
_EXAMPLES: Final = '{"path": "/absolute/folder"} or {"path": "s3://aws_connection@bucket/prefix"}'
_CONNECTION_TYPES: Final = {"fs", "file", "generic"}


class ParquetVaultHook(BaseHook):
    """Every observation for ever, as `metrics/date=YYYY-MM-DD/hour=HH/stats.parquet` under one root.

    The root is an absolute folder that all workers share, or a URL of an object store: `s3://bucket/prefix` or
    `gs://bucket/prefix`, with the Airflow connection that has its credentials as in `s3://aws_default@bucket/prefix`;
    without one, the environment's credentials are used. The root comes from connection `ghost_vault`: of type File
    (path) with the extra `{"path": "/folder"}`, or of type file or generic with the root as host. Outside Airflow,
    `root="/folder"` or `connection=Connection(...)` stands for it.

    Any number of processes may call any verb at any time. The reading verbs never meet an error, a duplicate or a
    gap because of it, and neither do pandas, DuckDB or polars while a published file grows. A file is rewritten as a
    whole when its hour is sealed (once, unless late points come) or was published more than 64 times: a reader of
    its path that has just then read the footer but not the data fails, and has to read again.

    All times are aware; what is returned is in UTC. Every verb raises `ConfigurationError`, in a sentence that names
    what to mend, when there is no usable vault.

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
        super().__init__()
        self.vault_conn_id = connection.conn_id if connection is not None else vault_conn_id
        self.lock_timeout = lock_timeout
        self._root = None if root is None else str(root)
        self._connection = connection

    def get_conn(self) -> ObjectStoragePath:
        """The root, whether it exists yet or not."""
        return self._root_path

    def append_metrics(self, rows: "Sequence[Mapping[str, Any]] | pd.DataFrame") -> PublishReport:
        """Stage and publish `rows`: mappings, or a frame, with the columns that `parse_point` describes.

        Raises `BadPointsError`, with every bad row's number and reason, before anything is written. Appending the
        same rows again changes no point. When a point is known already with other counts, the known one stays.
        What the report calls busy or failed is staged, and part of a later publication.
        """
        points = parse_points(_mappings(rows), datetime.now(UTC))
        staged = self.stage(points)
        return self.publish({part.partition for part in staged})

    def stage(self, points: Sequence[MetricPoint]) -> list[StagedPart]:
        """Write `points` durably beside the published files: one part for each hour that they touch.

        Points that are staged are in the vault with the next publication, whatever happens to this process. OSError
        when the storage fails: then some hours may have been staged, and staging all again is harmless.
        """
        return self._publisher().stage(points)

    def publish(self, partitions: Collection[Partition] | None = None) -> PublishReport:
        """Merge what is staged, and not yet published, into the published files of `partitions` (None: all).

        Of points with the same key the published one stays, then the one staged first. Cheap when nothing is new.
        A broken part is set aside; a broken published file is kept aside and made anew of the parts that are left;
        the report names both. No hour's trouble stops another's.
        """
        return self._publisher().publish(partitions)

    def seal(self, now: datetime, margin: timedelta = SEAL_MARGIN) -> SealReport:
        """Delete the parts of hours that ended `margin` before `now`, once proven to be published.

        What is not published yet is merged first, then the published file is read back and compared with every part.
        A point that comes later makes its hour published, and sealed, again.
        """
        return self._publisher().seal(now, margin)

    def read_metrics(
        self,
        start: datetime,
        end: datetime,
        video_ids: Collection[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> "pd.DataFrame":
        """The published points of [start, end), of `video_ids` (None: all), with `columns` (None: all six).

        Sorted by hour, then video_id and timestamp. Counts are nullable `Int64`, times UTC. Raises `BadInputError`
        for naive times or an unknown column, `UnreadableFileError` with the name of a broken file.
        """
        from ghost_tracking.hooks.vault import reading

        return reading.read_metrics(self._readable(), start, end, video_ids, columns)

    def read_history(self, video_id: str, start: datetime | None = None, end: datetime | None = None) -> "pd.DataFrame":
        """All published points of one video in [start, end), None being open, sorted by time; as `read_metrics`."""
        from ghost_tracking.hooks.vault import reading

        return reading.read_history(self._readable(), video_id, start, end)

    def health_check(self) -> dict[str, Any]:
        """How the vault is, in plain values, from the footers of its files.

        `ok`, `writable` (tried by writing), `problem` (a sentence, or None), `root`, `newest_point` (ISO 8601, UTC,
        or None), `partitions`, `points`, `bytes`, `staged_parts` (not yet published), `unreadable` (name and reason
        of each broken published file), `quarantined` (number of files set aside). Never raises for a broken file.
        """
        from ghost_tracking.hooks.vault import reading

        problem = None
        try:
            self._storage.probe()
        except OSError as error:
            problem = self._not_writable(error).message
        except ConfigurationError as error:
            problem = error.message
        found = reading.survey(self._storage)
        return {
            "ok": problem is None and not found["unreadable"],
            "writable": problem is None,
            "problem": problem,
            "root": str(self._root_path),
            **found,
        }

    def identity(self, *, create: bool) -> str:
        """The UUID of this vault, which is made once, when `create` allows it."""
        storage = self._writable() if create else self._readable()
        known = _read_identity(storage)
        if known is None and create:
            with storage.lock(f"{layout.LOCKS}/identity.lock", self.lock_timeout):
                known = _read_identity(storage) or _make_identity(storage)
        if known is None:
            raise VaultMismatchError(
                f"{self._place} holds no vault yet ({layout.IDENTITY} is missing): "
                "if another worker has made one, this worker does not see the same folder"
            )
        return known

    def check_identity(self, expected: str) -> None:
        """Raise `VaultMismatchError` unless this process sees the vault whose `identity` is `expected`."""
        found = self.identity(create=False)
        if found != expected:
            raise VaultMismatchError(
                f"{self._place} is vault {found} on this worker but {expected} elsewhere: "
                "mount the same folder on every worker, or name the same bucket",
                expected=expected,
                found=found,
            )

    @cached_property
    def _root_path(self) -> ObjectStoragePath:
        root = self._root if self._root is not None else self._root_of_connection()
        account, _, _ = urlsplit(root).netloc.rpartition("@")
        if ":" in account:  # nowhere to be quoted
            raise ConfigurationError(
                "The vault's root has credentials in its URL: put them into an Airflow connection, and write that "
                "one's id before the @"
            )
        return ObjectStoragePath(root)

    @cached_property
    def _storage(self) -> Storage:
        root = self._root_path
        if root.protocol in PROTOCOLS:
            return object_storage(root, layout.SCRATCH)
        if root.protocol not in _FOLDER_PROTOCOLS:
            raise ConfigurationError(
                f"{self._place} is of a kind that the vault cannot use: name a folder, s3://… or gs://…"
            )
        folder = Path(root.path)
        if not folder.is_absolute():
            raise ConfigurationError(f"{self._place} is not an absolute path: write it from the first / on")
        return FolderStorage(folder, layout.SCRATCH)

    @property
    def _place(self) -> str:
        """The vault's root, and who says so, as the beginning of a sentence."""
        source = "" if self._root is not None else f" (connection '{self.vault_conn_id}')"
        return f"The vault's root {self._root_path}{source}"

    def _root_of_connection(self) -> str:
        connection = self._connection or self._find_connection()
        path = connection.extra_dejson.get("path")
        if not path and connection.conn_type in _CONNECTION_TYPES:
            path = "/".join(filter(None, [connection.host or "", connection.schema]))
            path = path if connection.host else f"/{path}"
        if not path or path == "/":
            raise ConfigurationError(
                f"Connection '{self.vault_conn_id}' names no folder and no bucket: "
                f"give it the type File (path) and the extra {_EXAMPLES}"
            )
        return str(path)

    def _find_connection(self) -> Connection:
        try:
            return self.get_connection(self.vault_conn_id)
        except AirflowNotFoundException:
            raise ConfigurationError(
                f"Connection '{self.vault_conn_id}' is missing: "
                f"create it with the type File (path) and the extra {_EXAMPLES}"
            ) from None

    def _publisher(self) -> "Publisher":
        from ghost_tracking.hooks.vault.publishing import Publisher

        return Publisher(self._writable(), self.lock_timeout)

    def _writable(self) -> Storage:
        try:
            self._storage.prepare()
        except OSError as error:
            raise self._not_writable(error) from error
        return self._storage

    def _not_writable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"{self._place} cannot be written by user '{_user()}': {error.strerror or error}")

    def _readable(self) -> Storage:
        if not self._storage.exists():
            raise ConfigurationError(f"{self._place} is not there, or user '{_user()}' cannot see it")
        return self._storage


def _mappings(rows: "Sequence[Mapping[str, Any]] | pd.DataFrame") -> Sequence[Mapping[str, Any]]:
    if isinstance(rows, Sequence):
        return rows
    records: list[Any] = rows.to_dict("records")
    return records


def _read_identity(storage: Storage) -> str | None:
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


def _make_identity(storage: Storage) -> str:
    storage.probe()
    made = str(uuid.uuid4())
    text = json.dumps({"id": made, "created_at": datetime.now(UTC).isoformat(timespec="seconds")})
    try:
        storage.replace(layout.IDENTITY, text.encode(), expecting=None)
    except FileChangedError:  # an object store keeps nobody out, and somebody was first
        known = _read_identity(storage)
        if known is None:
            raise
        return known
    return made


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return str(os.getuid())
