"""The real parts that tests meet, and Airflow connections to them."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from airflow.sdk import Connection
from psycopg.conninfo import conninfo_to_dict

from ghost_tracking.hooks.watchlist import WatchlistHook
from local_stack.postgres import Postgres
from youtube_simulator import SimulatorServer

CANARY = "AIzaCanary_Key_that_must_appear_nowhere"
"""The API key of all tests: found anywhere else, it has leaked."""
SECRET = "s3cret%21word"
"""The database's password in `url`."""
MINUTE_OF_QUIET = 56


def connection_to(socket_folder: str, database: str) -> Connection:
    """A database, as a deployment would define it."""
    return Connection(
        conn_id="ghost_postgres", conn_type="postgres", host=socket_folder, login="postgres", schema=database
    )


def connection_of(dsn: str) -> Connection:
    """The database of a stack, by its libpq connection string."""
    known: dict[str, Any] = conninfo_to_dict(dsn)
    return Connection(
        conn_id="ghost_postgres",
        conn_type="postgres",
        host=known["host"],
        port=int(known["port"]),
        login=known["user"],
        schema=known["dbname"],
        extra=json.dumps({"passfile": known["passfile"]} if "passfile" in known else {}),
    )


def url(database: Connection) -> str:
    """The database as the command line is told of it."""
    return f"postgresql://{database.login}:{SECRET}@/{database.schema}?host={quote(str(database.host), safe='')}"


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


def tracked_by_tier(sql: psycopg.Connection) -> dict[str, int]:
    """How many videos are tracked in each tier, as an operator asks for it."""
    return dict(sql.execute("SELECT tracking_tier, videos FROM tracked_by_tier").fetchall())


def clear_of_the_hour() -> None:
    """Wait, if a full hour is about to strike: then a scheduled run of the hunter goes beside what a test has run."""
    eventually(lambda: datetime.now(UTC).minute < MINUTE_OF_QUIET, within=300, every=1)


def eventually(condition: Callable[[], object], within: float = 30.0, every: float = 0.1) -> None:
    """Wait until the condition holds; AssertionError when it does not in time."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(every)
