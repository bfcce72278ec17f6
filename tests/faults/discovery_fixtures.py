"""Deployments for tests to damage whose clock the test turns."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

from connections import migrated_postgres
from faults import discovery_children
from faults.discovery_parts import DATABASE, Discovery
from fork_server import Children, Server, forking
from local_stack.postgres import Postgres
from shifted_clock import IN_POSTGRES
from youtube_simulator import Simulator, serve


@pytest.fixture(scope="session")
def clocked_postgres(short_lived_folder: Path) -> Iterator[Postgres]:
    """A server with a migrated database whose clock can be turned.

    A commit does not wait for the disk: only a crash of this machine would tell the difference.
    """
    first = ("ALTER SYSTEM SET synchronous_commit = off", "SELECT pg_reload_conf()", IN_POSTGRES)
    with migrated_postgres(short_lived_folder / "clocked", DATABASE, *first) as server:
        yield server


@pytest.fixture(scope="session")
def discovery_program() -> Iterator[Server]:
    with forking(discovery_children.__file__) as process:
        yield process


@pytest.fixture
def new_discovery(
    clocked_postgres: Postgres, discovery_program: Server, tmp_path: Path
) -> Iterator[Callable[[Simulator, datetime], Discovery]]:
    """Makes a deployment with nothing in it, over this YouTube, at this time."""
    children = Children(discovery_program, tmp_path / "answers")
    with ExitStack() as servers:

        def make(universe: Simulator, start: datetime) -> Discovery:
            folder = tmp_path / f"discovery{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            return Discovery(clocked_postgres, servers.enter_context(serve(universe)), children, folder, start)

        yield make
        children.end()
