"""Schedules for tests to damage: a PostgreSQL that may be restarted, a YouTube, and processes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connections import CANARY, migrated_postgres
from faults import schedule_children
from faults.schedule_parts import DATABASE, Schedule
from fork_server import Children, Server, forking
from local_stack.postgres import Postgres
from youtube_simulator import Simulator, SimulatorServer, serve


@pytest.fixture(scope="session")
def own_postgres(short_lived_folder: Path) -> Iterator[Postgres]:
    """A server that tests may restart, with a migrated database."""
    with migrated_postgres(short_lived_folder / "own", DATABASE) as server:
        yield server


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
