"""A real PostgreSQL whose clock is the simulation's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from airflow.sdk import Connection

from local_stack.postgres import SUPERUSER, Postgres, own_clock

DATABASE = "ghost"

_HANDS = """
    CREATE TABLE public.simulated_clock (at TIMESTAMPTZ NOT NULL);
    INSERT INTO public.simulated_clock VALUES ('epoch');
"""
_PRESENT = "SELECT at FROM public.simulated_clock"


class Clock:
    """The clock of an empty database, from here on the simulation's; and a look at what is in there."""

    def __init__(self, connection: Connection) -> None:
        self._session = psycopg.connect(
            host=connection.host, user=connection.login, dbname=connection.schema, autocommit=True
        )
        self._session.execute(_HANDS)
        self._session.execute(own_clock(now=_PRESENT, clock_timestamp=_PRESENT).encode())
        self._session.execute("SET search_path = public, pg_catalog")

    def turn_to(self, moment: datetime) -> None:
        """Make this the present."""
        self._session.execute("UPDATE simulated_clock SET at = %s", [moment])

    def ask(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows of a question, beside the hooks."""
        return self._session.execute(query.encode(), parameters).fetchall()

    def close(self) -> None:
        """Close the session."""
        self._session.close()


@contextmanager
def empty_database(folder: Path) -> Iterator[Connection]:
    """A server with an empty database.

    In a day that passes in ten seconds vacuuming once a minute would be once a week, so it is done once a second. A
    commit does not wait for the disk: only a crash of this machine would tell the difference.
    """
    server = Postgres(folder / "postgres", log=folder / "postgres.log", env=dict(os.environ))
    try:
        server.start()
        with psycopg.connect(server.dsn(SUPERUSER), autocommit=True) as session:
            session.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
            session.execute("ALTER SYSTEM SET synchronous_commit = off")
            session.execute("SELECT pg_reload_conf()")
        server.ensure_database(DATABASE)
        yield Connection(
            conn_id="ghost_postgres",
            conn_type="postgres",
            host=str(server.socket_folder),
            login=SUPERUSER,
            schema=DATABASE,
        )
    finally:
        server.stop(grace=10.0)
