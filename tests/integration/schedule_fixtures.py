"""Schedules for tests to damage: a PostgreSQL that may be restarted, a YouTube, and processes."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fork_server import Children, Server, forking
from ghost_tracking.hooks.watchlist import WatchlistHook
from integration import schedule_children
from integration.schedule_parts import DATABASE, Schedule
from local_stack.postgres import Postgres
from real_parts import CANARY, connection_to
from youtube_simulator import Simulator, SimulatorServer, serve


@pytest.fixture(scope="session")
def own_postgres(short_lived_folder: Path) -> Iterator[Postgres]:
    """A server that tests may restart, with a migrated database."""
    folder = short_lived_folder / "own"
    folder.mkdir()
    server = Postgres(folder / "data", log=folder / "log", env=dict(os.environ))
    try:
        server.start()
        server.ensure_database(DATABASE)
        with WatchlistHook(connection=connection_to(str(server.socket_folder), DATABASE)) as hook:
            hook.migrate()
        yield server
    finally:
        server.stop(grace=5.0)


@pytest.fixture(scope="session")
def universe() -> Simulator:
    return Simulator(seed=7, channels=40, videos_per_hour=60, history_days=14, key=CANARY)


@pytest.fixture
def youtube_server(universe: Simulator) -> Iterator[SimulatorServer]:
    with serve(universe) as server:
        yield server
        universe.latency_ms = 0
        universe.faults.clear()
        universe.world.restore(list(universe.world._deleted))


@pytest.fixture(scope="session")
def program() -> Iterator[Server]:
    with forking(schedule_children.__file__) as process:
        yield process


@pytest.fixture
def new_schedule(
    own_postgres: Postgres, youtube_server: SimulatorServer, program: Server, tmp_path: Path
) -> Iterator[Callable[[], Schedule]]:
    """Makes an empty schedule, as often as it is asked to."""
    children = Children(program, tmp_path / "answers")

    def make() -> Schedule:
        folder = tmp_path / f"schedule{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return Schedule(own_postgres, youtube_server, children, folder)

    yield make
    children.end()


@pytest.fixture
def schedule(new_schedule: Callable[[], Schedule]) -> Schedule:
    return new_schedule()
