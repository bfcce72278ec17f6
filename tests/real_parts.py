"""The real parts that tests meet, and Airflow connections to them."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from airflow.sdk import Connection

from ghost_tracking.hooks.watchlist import WatchlistHook
from local_stack.postgres import Postgres
from youtube_simulator import SimulatorServer

CANARY = "AIzaCanary_Key_that_must_appear_nowhere"
"""The API key of all tests: found anywhere else, it has leaked."""


def connection_to(socket_folder: str, database: str) -> Connection:
    """A database, as a deployment would define it."""
    return Connection(
        conn_id="ghost_postgres", conn_type="postgres", host=socket_folder, login="postgres", schema=database
    )


@contextmanager
def migrated_postgres(folder: Path, database: str, *first: str) -> Iterator[Postgres]:
    """A server of a test's own, with a database in which the statements `first` were made, and then the migrations."""
    folder.mkdir()
    server = Postgres(folder / "data", log=folder / "log", env=dict(os.environ))
    try:
        server.start()
        server.ensure_database(database)
        with psycopg.connect(server.dsn(database), autocommit=True) as session:
            for statement in first:
                session.execute(statement.encode())
        with WatchlistHook(connection=connection_to(str(server.socket_folder), database)) as hook:
            hook.migrate()
        yield server
    finally:
        server.stop(grace=5.0)


def youtube_at(server: SimulatorServer, **fields: str) -> Connection:
    """A simulated YouTube; `fields` are those of a connection."""
    given = {"conn_id": "youtube_default", "conn_type": "youtube", "host": server.url, "password": CANARY}
    return Connection(**given | fields)


def recorded(name: str) -> Path:
    """A file of real recorded data; the test is skipped where it is not at hand, for it is no part of the product."""
    file = Path(__file__).parents[2] / "shared" / "data" / name
    if not file.is_file():
        pytest.skip(f"the recorded data is not here ({name})")
    return file


def make_due(sql: psycopg.Connection) -> int:
    """Make every video on the schedule due; returns how many are on the watchlist."""
    sql.execute("UPDATE roster SET next_track_at = now() - INTERVAL '1 minute'")
    return sql.execute("UPDATE watchlist SET next_track_at = now() - INTERVAL '1 minute'").rowcount


def eventually(condition: Callable[[], object], within: float = 30.0, every: float = 0.1) -> None:
    """Wait until the condition holds; AssertionError when it does not in time."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(every)
