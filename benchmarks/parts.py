"""Real parts to measure: a PostgreSQL server, a YouTube in a process of its own, a database by its DSN."""

import base64
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow.sdk import Connection

from local_stack import processes
from local_stack.ports import any_free_port
from local_stack.postgres import Postgres
from local_stack.simulator import Simulator

BENCH_KEY = "any-key-will-do"


@contextmanager
def folder() -> Iterator[Path]:
    """A folder of its own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ghost-bench-") as name:
        yield Path(name)


@contextmanager
def postgres_server(place: Path) -> Iterator[Postgres]:
    """A PostgreSQL server as `make run` starts it."""
    server = Postgres(place / "data", log=place / "log", env=dict(os.environ))
    try:
        server.start()
        yield server
    finally:
        server.stop(grace=10.0)


@contextmanager
def youtube_server(place: Path, *, seed: int) -> Iterator[Simulator]:
    """A simulated YouTube; in a process of its own, so that it does not share a core's time with the client."""
    simulator = Simulator(place, port=any_free_port(), seed=seed, log=place / "log", env=dict(os.environ))
    try:
        simulator.start()
        simulator.wait()
        yield simulator
    finally:
        simulator.close()
        processes.stop({simulator.component: 3.0})


def youtube_connection(url: str) -> Connection:
    """The hook's connection to a simulator."""
    return Connection(conn_id="youtube_default", conn_type="youtube", host=url, password=BENCH_KEY)


def random_ids(number: int) -> list[str]:
    """Ids of videos: 64 random bits each."""
    octets = secrets.token_bytes(8 * number)
    parts = (octets[start : start + 8] for start in range(0, len(octets), 8))
    return [base64.urlsafe_b64encode(part).decode()[:11] for part in parts]
