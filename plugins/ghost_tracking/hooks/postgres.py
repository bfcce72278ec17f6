"""From an Airflow connection of type Postgres to the database behind it."""

import json
from collections.abc import Callable
from typing import Any, Final, cast

import psycopg
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException

from ghost_tracking.errors import ConfigurationError, DatabaseUnavailableError

_KEEPALIVES: Final = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "application_name": "ghost_tracking",
}


def connector(connection_id: str, connection: Connection | None = None) -> Callable[[], psycopg.Connection[Any]]:
    """What opens a session on the database of this connection, which Airflow is asked for unless it is given.

    Called, it raises ConfigurationError where the connection is not defined, and DatabaseUnavailableError where it
    leads nowhere.
    """

    def connect() -> psycopg.Connection[Any]:
        resolved = _with_keepalives(connection_id, connection or _defined(connection_id))
        try:
            return cast("psycopg.Connection[Any]", PostgresHook(connection=resolved).get_conn())
        except psycopg.OperationalError as error:
            raise DatabaseUnavailableError(
                f"connection '{connection_id}' does not lead to a database "
                f"({resolved.host}:{resolved.port or 5432}/{resolved.schema}): {error}"
            ) from error

    return connect


def _defined(connection_id: str) -> Connection:
    try:
        connection: Connection = Connection.get(connection_id)
        return connection
    except AirflowException as error:
        raise ConfigurationError(
            f"connection '{connection_id}' is not defined: add one of type Postgres, with host, database, "
            "login and password, in Airflow's Admin > Connections"
        ) from error


def _with_keepalives(connection_id: str, connection: Connection) -> Connection:
    # what the user set wins over what we would like
    extra = _KEEPALIVES | connection.extra_dejson
    names = ("conn_type", "host", "schema", "login", "password", "port")
    return Connection(
        conn_id=connection_id, **{name: getattr(connection, name) for name in names}, extra=json.dumps(extra)
    )
