"""Real parts for every test: an embedded PostgreSQL, a database of one's own, a YouTube that speaks HTTP."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest
from airflow.sdk import Connection, ObjectStoragePath

from connections import CANARY, connection_to, youtube_at
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.hooks.youtube import YouTubeHook
from ghost_tracking.youtube import calls
from local_stack.postgres import Postgres
from s3_server import S3Server, serving_s3
from youtube_simulator import Simulator, SimulatorServer, serve

pytest_plugins = ("fork_server", "hunting", "page_client", "running_stack")

# a busy machine is slow, and no test is about time
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def short_lived_folder() -> Iterator[Path]:
    """A folder for servers that run under another account when the tests run as root.

    pytest's own folder will not do: each session that starts closes it to other accounts again.
    """
    place = os.environ.get("PYTEST_DEBUG_TEMPROOT")  # where pytest's own folder lies, too
    with tempfile.TemporaryDirectory(prefix="ghost-tests-", dir=place, ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def postgres(short_lived_folder: Path) -> Iterator[str]:
    """The folder of the socket of a PostgreSQL server that lives as long as the test session."""
    folder = short_lived_folder / "postgres"
    folder.mkdir()
    server = Postgres(folder / "data", log=folder / "log", env=dict(os.environ))
    try:
        server.start()
        yield str(server.socket_folder)
    finally:
        server.stop(grace=5.0)


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


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    """A YouTube of its own, which accepts one key only."""
    with serve(Simulator(seed=7, channels=40, videos_per_hour=60, history_days=10, key=CANARY)) as server:
        yield server
        server.simulator.faults.clear()


@pytest.fixture(scope="session", autouse=True)
def no_pauses() -> Iterator[float]:
    """What fails in passing is tried again at once; gives the seconds of production. A Retry-After is still obeyed."""
    production = calls.FIRST_PAUSE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "FIRST_PAUSE", 0.01)
        yield production


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch, no_pauses: float) -> None:
    """What fails in passing is tried again after a while, as it is in production."""
    monkeypatch.setattr(calls, "FIRST_PAUSE", no_pauses)


@pytest.fixture
def youtube(server: SimulatorServer) -> Iterator[YouTubeHook]:
    """The hook under test, without a budget."""
    hook = YouTubeHook(connection=youtube_at(server), timeout=5)
    yield hook
    hook.close()


@pytest.fixture(scope="session")
def s3(short_lived_folder: Path) -> Iterator[S3Server]:
    """An S3 with an empty bucket `vault`."""
    with serving_s3(short_lived_folder / "s3.log") as server:
        yield server


@pytest.fixture
def s3_root(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> ObjectStoragePath:
    """A prefix of its own in the bucket, reached through the Airflow connection `test_s3`."""
    monkeypatch.setenv("AIRFLOW_CONN_TEST_S3", s3.connection())
    root = ObjectStoragePath(f"s3://test_s3@vault/{uuid.uuid4().hex}")
    root.fs.dircache.use_listings_cache = False  # the tests' own looks at the bucket, that is
    return root


@pytest.fixture(params=["folder", "s3"])
def vault_root(request: pytest.FixtureRequest, tmp_path: Path) -> Path | ObjectStoragePath:
    """A vault's root that is not there yet, of every kind; see `folder_only`."""
    root: ObjectStoragePath = request.getfixturevalue("s3_root") if request.param == "s3" else tmp_path / "vault"
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a vault in a folder that is not there yet."""
    return tmp_path / "vault"


@pytest.fixture
def vault(root: Path) -> ParquetVaultHook:
    """A vault in which nothing is yet."""
    return ParquetVaultHook(root=root)
