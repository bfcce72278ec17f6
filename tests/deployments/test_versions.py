"""The wheel beside each Airflow that is supported, in an empty environment, with the DAGs as a local bundle."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psycopg
import pytest
import yaml
from airflow.sdk import Connection

from real_parts import CANARY
from youtube_simulator import SimulatorServer

pytestmark = pytest.mark.deployments

ROOT = Path(__file__).parents[2]
UV = ROOT / ".venv" / "bin" / "uv"
VERSIONS = {"3.2.*": ["--exclude-newer", "2026-06-30"], "3.3.*": []}
"""An Airflow whose next minor version is out is installed with what was there then, as its constraints file would have
it: with the FastAPI of today a task of Airflow 3.2 cannot report."""


def run(command: list[str], env: dict[str, str], timeout: float = 900) -> str:
    """What a command prints; AssertionError with all of it where it fails."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=timeout)
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built from a copy: a build leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(
        [str(UV), "build", "--quiet", "--system-certs", "--wheel", "--out-dir", str(folder), str(ROOT)],
        dict(os.environ),
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module", params=list(VERSIONS))
def airflow(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of an environment that has this Airflow and the wheel, and what these two need."""
    place = tmp_path_factory.mktemp("environment") / "venv"
    env = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    run([str(UV), "venv", "--quiet", "--python", "3.11", str(place)], env)
    install = [str(UV), "pip", "install", "--quiet", "--system-certs", "--python", str(place / "bin" / "python")]
    run([*install, f"apache-airflow=={request.param}", *VERSIONS[request.param]], env)
    run([*install, str(wheel)], env)
    return place / "bin"


@pytest.fixture
def home(
    airflow: Path, tmp_path: Path, empty_database: Connection, server: SimulatorServer
) -> Iterator[dict[str, str]]:
    """The environment variables of a deployment: a database, a vault, a YouTube, and `dags/` as its bundle."""
    sources = tmp_path / "sources.yaml"
    channels = server.simulator.world.channel_ids()[:5]
    sources.write_text(yaml.safe_dump({"sources": [{"channel": channel} for channel in channels]}))
    postgres = {
        "conn_type": "postgres",
        "host": empty_database.host,
        "login": "postgres",
        "schema": empty_database.schema,
    }
    bundle = {
        "name": "ghost_tracking",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(ROOT / "dags")},
    }
    env = {
        "PATH": f"{airflow}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "AIRFLOW_CONN_GHOST_POSTGRES": json.dumps(postgres),
        "AIRFLOW_CONN_GHOST_VAULT": json.dumps({"conn_type": "fs", "extra": {"path": str(tmp_path / "vault")}}),
        "AIRFLOW_CONN_YOUTUBE_DEFAULT": json.dumps({"conn_type": "youtube", "host": server.url, "password": CANARY}),
        "GHOST_SOURCES_FILE": str(sources),
    }
    run(["airflow", "db", "migrate"], env)
    return env


def test_the_dags_run_from_a_bundle_and_the_wheel_brings_the_rest(
    home: dict[str, str], tmp_path: Path, empty_database: Connection
) -> None:
    assert "ghost_tracking" in run(["airflow", "plugins", "--output", "plain"], home)
    providers = run(["airflow", "providers", "list", "--output", "plain"], home)
    assert "ghost-tracking" in providers
    run(["airflow", "dags", "reserialize"], home)
    listed = run(["airflow", "dags", "list", "--output", "plain"], home)
    assert all(dag_id in listed for dag_id in ("ghost_hunter", "ghost_tracker", "ghost_janitor"))
    assert "No data found" in run(["airflow", "dags", "list-import-errors"], home)
    database = f"host={empty_database.host} user=postgres dbname={empty_database.schema}"

    run(["airflow", "dags", "test", "ghost_hunter"], home)
    with psycopg.connect(database, autocommit=True) as sql:
        (found,) = sql.execute("SELECT count(*) FROM watchlist").fetchone()
        sql.execute("UPDATE watchlist SET next_track_at = now() - INTERVAL '1 minute'")
    assert found
    run(["airflow", "dags", "test", "ghost_tracker"], home)
    run(["airflow", "dags", "test", "ghost_janitor"], home)
    points = pd.read_parquet(tmp_path / "vault" / "metrics")
    assert points["video_id"].nunique() == found
    assert len(points) > found
