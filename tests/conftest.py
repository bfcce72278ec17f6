"""Real parts for every test: an embedded PostgreSQL, a database of one's own, a YouTube that speaks HTTP."""

import os
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from airflow.sdk import Connection

from ghost_tracking.hooks.watchlist import WatchlistHook
from local_stack.postgres import Postgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The folder of the socket of a PostgreSQL server that lives as long as the test session."""
    folder = tmp_path_factory.mktemp("postgres")
    server = Postgres(folder / "data", log=folder / "log", env=dict(os.environ))
    try:
        server.start()
        yield str(server.socket_folder)
    finally:
        server.stop(grace=5.0)


def connection_to(socket_folder: str, database: str) -> Connection:
    """An Airflow connection as a deployment would define it."""
    return Connection(
        conn_id="ghost_postgres", conn_type="postgres", host=socket_folder, login="postgres", schema=database
    )


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """A database with the schema, migrated once, that tests copy."""
    with psycopg.connect(host=postgres, user="postgres", dbname="postgres", autocommit=True) as admin:
        admin.execute("CREATE DATABASE ghost_template")
    with WatchlistHook(connection=connection_to(postgres, "ghost_template")) as hook:
        hook.migrate()
    return "ghost_template"


@pytest.fixture
def empty_database(postgres: str) -> Iterator[Connection]:
    """A database without a schema."""
    yield from _database(postgres, "template1")


@pytest.fixture
def ghost_postgres(postgres: str, template: str) -> Iterator[Connection]:
    """A database with the schema and nothing in it."""
    yield from _database(postgres, template)


def _database(socket_folder: str, template: str) -> Iterator[Connection]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(host=socket_folder, user="postgres", dbname="postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield connection_to(socket_folder, name)
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def watchlist(ghost_postgres: Connection) -> Iterator[WatchlistHook]:
    """A hook on a database of its own."""
    with WatchlistHook(connection=ghost_postgres) as hook:
        yield hook


@pytest.fixture
def sql(ghost_postgres: Connection) -> Iterator[psycopg.Connection]:
    """A second session on the same database, for looking and for meddling."""
    with psycopg.connect(
        host=ghost_postgres.host, user="postgres", dbname=ghost_postgres.schema, autocommit=True
    ) as session:
        yield session
