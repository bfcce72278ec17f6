"""Object stores through Airflow: the connection that a root names has the credentials."""

from typing import Final, cast

from airflow.sdk import BaseHook, ObjectStoragePath
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.io import has_fs

from ghost_tracking.errors import ConfigurationError
from ghost_tracking.vault import layout
from ghost_tracking.vault.storage.object_store import ObjectStorage, object_storage
from ghost_tracking.vault.storage.root import RootPath

_PACKAGES: Final = {"s3": "apache-airflow-providers-amazon[s3fs]", "gs": "apache-airflow-providers-google"}


def bucket_storage(root: ObjectStoragePath) -> ObjectStorage:
    """The storage at `root`, a URL of one of `BUCKETS`.

    `s3://connection@bucket/prefix` names the Airflow connection with the credentials; without one, the environment
    has them. Raises `ConfigurationError` when a package, the connection or the bucket's name is missing.
    """
    _require_connection(root.conn_id)
    package = f"{_PACKAGES[root.protocol]} on every worker and the scheduler"
    if not has_fs(root.protocol):
        raise ConfigurationError(f"The vault's root {root} needs the Python package {package}")
    return object_storage(cast("RootPath", root), layout.SCRATCH, package)


def _require_connection(conn_id: str | None) -> None:
    """Else Airflow's provider for Amazon would take the environment's credentials for those of a misspelt one."""
    if conn_id is None:
        return
    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"Connection '{conn_id}', which the vault's root names for its object store, is missing: create it"
        ) from None
