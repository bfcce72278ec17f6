"""What integration tests of several packages meet."""

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection

from connections import youtube_at
from task_runs import Deployment
from youtube_simulator import SimulatorServer


@pytest.fixture
def deployment(
    server: SimulatorServer, ghost_postgres: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Deployment:
    vault, sources = tmp_path / "vault", tmp_path / "sources.yaml"
    for name, connection in (("GHOST_POSTGRES", ghost_postgres), ("YOUTUBE_DEFAULT", youtube_at(server))):
        fields = ("conn_type", "host", "login", "password", "schema", "port", "extra")
        given = {field: getattr(connection, field) for field in fields if getattr(connection, field) is not None}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(given))
    monkeypatch.setenv("AIRFLOW_CONN_GHOST_VAULT", json.dumps({"conn_type": "fs", "extra": {"path": str(vault)}}))
    monkeypatch.setenv("GHOST_SOURCES_FILE", str(sources))

    def set_settings(**settings: Any) -> None:
        monkeypatch.setenv("AIRFLOW_VAR_GHOST_SETTINGS", json.dumps(settings))

    set_settings()
    return Deployment(server, vault, sources, set_settings)
