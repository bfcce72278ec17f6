"""The page as Airflow mounts it, and who asks it; with fixtures."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection

from connections import CANARY
from ghost_tracking.page import coverage, movers, overview, runs, video
from ghost_tracking.page.health import Standing
from ghost_tracking.page.responses import to_json

NOW = datetime.now(UTC).replace(microsecond=0)
PASSWORD = f"{CANARY}_of_the_database"


@pytest.fixture(scope="module")
def airflow_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Airflow's own tables, empty, and a secret for its tokens."""
    from airflow import settings
    from airflow.models.base import Base
    from airflow.utils.db import import_all_models

    import_all_models()
    with pytest.MonkeyPatch.context() as patch:
        database = tmp_path_factory.mktemp("airflow") / "airflow.db"
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", f"sqlite:///{database}")
        patch.setenv(
            "AIRFLOW__API_AUTH__JWT_SECRET", "a secret for tests that is long enough for HS512, which is a lot"
        )
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "ann:admin,bob:viewer")
        settings.configure_vars()
        settings.configure_orm()
        Base.metadata.create_all(settings.engine)
        yield
        settings.dispose_orm(do_log=False)
    settings.configure_vars()
    settings.configure_orm()


@pytest.fixture
def page(airflow_tables: None) -> Iterator[Any]:
    """The page mounted as Airflow mounts it, under a path, and nobody signed in."""
    from airflow.api_fastapi.app import create_auth_manager
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from ghost_tracking.plugin import GhostTrackingPlugin

    create_auth_manager()
    (mounted,) = GhostTrackingPlugin.fastapi_apps
    outer = FastAPI()
    outer.mount(f"/airflow{mounted['url_prefix']}", mounted["app"])
    with TestClient(outer, base_url="http://airflow.test/airflow/ghost/", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def signed_in(page: Any) -> Any:
    """The same for somebody who may see plugins."""
    page.headers["Authorization"] = f"Bearer {token('admin')}"
    return page


def token(role: str | None) -> str:
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    made: str = create_auth_manager().generate_jwt(SimpleAuthManagerUser(username="ann", role=role))
    return made


@pytest.fixture
def connections(ghost_postgres: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The two connections as a deployment has them, with a password; gives the vault's folder."""
    root = tmp_path / "vault"
    known = json.loads(ghost_postgres.as_json())
    monkeypatch.setenv("AIRFLOW_CONN_GHOST_POSTGRES", json.dumps(known | {"password": PASSWORD}))
    monkeypatch.setenv("AIRFLOW_CONN_GHOST_VAULT", json.dumps({"conn_type": "fs", "extra": {"path": str(root)}}))
    monkeypatch.setattr(runs, "dags", lambda _: {dag_id: healthy(dag_id) for dag_id in runs.DAGS})
    forget()
    return root


def forget() -> None:
    for each in (
        overview.overview,
        overview._policy,
        overview._vault,
        video.newest,
        movers._movers,
        coverage._coverage,
    ):
        each.cache_clear()


def plain(response: Any) -> Any:
    """A response as the browser gets it."""
    return json.loads(to_json(response))


def healthy(dag_id: str) -> runs.Dag:
    now = datetime.now(UTC).replace(microsecond=0)
    run = runs.Run(
        "r1", "success", "scheduled", now - timedelta(minutes=2), now - timedelta(minutes=2), now, "Tracked 3."
    )
    return runs.Dag(dag_id, is_known=True, is_paused=False, runs=(run,))


WELL = Standing(
    now=NOW,
    dags={dag_id: healthy(dag_id) for dag_id in runs.DAGS},
    videos=100_000,
    due=10,
    overdue=0,
    misplaced=0,
    disk_usage=50_000_000,
    points=1_000,
    newest_point=NOW,
    quarantined=0,
    in_sync=True,
    is_paced=False,
    is_short=False,
    skipped=0.0,
)
