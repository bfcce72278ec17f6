"""An Airflow of a user's: its environment is what the test says, and nothing of this process's."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import psycopg
import pytest
import yaml
from airflow.sdk import Connection

from connections import CANARY, eventually
from ghost_tracking.page import URL_PREFIX
from local_stack.airflow_api import AirflowApi
from local_stack.ports import LOOPBACK, any_free_port
from youtube_simulator import SimulatorServer

ROOT = Path(__file__).parents[2]
UV = ROOT / ".venv" / "bin" / "uv"
DAG_BUNDLE = json.dumps(
    [
        {
            "name": "ghost_tracking",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(ROOT / "dags")},
        }
    ]
)
"""The DAGs of the checkout as a local bundle."""


def uv(*arguments: str) -> None:
    """Run uv outside of this process's environment; AssertionError with what it printed where it fails."""
    env = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    done = subprocess.run([UV, *arguments], env=env, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"{arguments}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package; nothing of the build stays in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--quiet", "--system-certs", "--wheel", "--out-dir", str(folder), str(ROOT))
    (built,) = folder.glob("*.whl")
    return built


@dataclass(frozen=True)
class Deployment:
    """A folder with AIRFLOW_HOME in it, a database, a YouTube, and the environment of its commands."""

    folder: Path
    database: Connection
    youtube: str
    environment: Mapping[str, str]

    @property
    def vault(self) -> Path:
        """Where the readings go."""
        return self.folder / "vault"

    @property
    def connections(self) -> dict[str, dict[str, Any]]:
        """Where the connections lead to, by id; the fields as Airflow's JSON has them."""
        database = {"host": self.database.host, "login": "postgres", "schema": self.database.schema}
        return {
            "ghost_postgres": {"conn_type": "postgres"} | database,
            "ghost_vault": {"conn_type": "fs", "extra": {"path": str(self.vault)}},
            "youtube_default": {"conn_type": "generic", "host": self.youtube, "password": CANARY},
        }

    def run(self, *command: str) -> str:
        """What a command prints; AssertionError with all of it where it fails."""
        done = subprocess.run(
            command, env=dict(self.environment), capture_output=True, text=True, check=False, timeout=900
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    def add_connections(self) -> None:
        """Define the connections in Airflow's database."""
        for connection_id, fields in self.connections.items():
            self.run("airflow", "connections", "add", connection_id, "--conn-json", json.dumps(fields))

    def runs_every_dag(self) -> None:
        """The plugin and the DAGs are found; hunter, tracker and janitor run; the vault has what they read."""
        assert "ghost_tracking" in self.run("airflow", "plugins", "--output", "plain")
        self.run("airflow", "dags", "reserialize")
        listed = self.run("airflow", "dags", "list", "--output", "plain")
        assert all(dag_id in listed for dag_id in ("ghost_hunter", "ghost_tracker", "ghost_janitor")), listed
        assert "No data found" in self.run("airflow", "dags", "list-import-errors")

        self.run("airflow", "dags", "test", "ghost_hunter")
        database = f"host={self.database.host} user=postgres dbname={self.database.schema}"
        with psycopg.connect(database, autocommit=True) as sql:
            (found,) = sql.execute("SELECT count(*) FROM watchlist").fetchone()
            sql.execute("UPDATE watchlist SET next_track_at = now() - INTERVAL '1 minute'")
        assert found
        self.run("airflow", "dags", "test", "ghost_tracker")
        self.run("airflow", "dags", "test", "ghost_janitor")
        points = pd.read_parquet(self.vault / "metrics")
        assert points["video_id"].nunique() == found
        assert len(points) > found

    @contextmanager
    def api_server(self) -> Iterator[tuple[str, AirflowApi]]:
        """An API server of this Airflow: its address, and a client that logs in by itself, as `admin`."""
        url = f"http://{LOOPBACK}:{(port := any_free_port())}"
        passwords = self.folder / "passwords.json"
        passwords.write_text(json.dumps({"admin": "admin"}))
        settings = {
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        }
        command = ["airflow", "api-server", "--host", LOOPBACK, "--port", str(port), "--workers", "1"]
        log = self.folder / "api-server.log"
        with log.open("w") as output:
            server = subprocess.Popen(
                command,
                env=dict(self.environment) | settings,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        client = AirflowApi(url, "admin", "admin")
        try:
            eventually(lambda: server.poll() is not None or client.answers(), within=180, every=0.5)
            assert server.poll() is None, log.read_text()[-6000:]
            yield url, client
        finally:
            client.close()
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(30)

    def shows_its_page(self) -> None:
        """The page asks for a login, and has its scripts and its figures."""
        with self.api_server() as (url, api):
            for path in ("/", "/data/overview", "/static/page.js"):
                answer = httpx.get(f"{url}{URL_PREFIX}{path}", trust_env=False)
                assert answer.status_code == httpx.codes.UNAUTHORIZED, path
            overview = api("GET", f"{URL_PREFIX}/data/overview")
            assert sum(queue["videos"] for queue in overview["queues"]) > 0
            assert {dag["dag_id"] for dag in overview["dags"]} == {"ghost_hunter", "ghost_tracker", "ghost_janitor"}


@pytest.fixture
def deployed(tmp_path: Path, empty_database: Connection, server: SimulatorServer) -> Callable[..., Deployment]:
    """Makes a deployment of the folder in which its `airflow` is, and of environment variables beyond the usual."""
    sources = tmp_path / "sources.yaml"
    channels = server.simulator.world.channel_ids()[:5]
    sources.write_text(yaml.safe_dump({"sources": [{"channel": channel} for channel in channels]}))

    def deploy(programs: Path, **environment: str) -> Deployment:
        usual = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "GHOST_SOURCES_FILE": str(sources),
        }
        return Deployment(tmp_path, empty_database, server.url, usual | environment)

    return deploy
