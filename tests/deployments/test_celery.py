"""CeleryExecutor for real: a broker, two workers with host names of their own, a vault in S3; one worker is killed.

Shorter than in a deployment, so that the test takes minutes: a killed worker's tasks are failed after 12 s and not
after 90, and their messages come back after 40 s and not after 6 hours. A worker has 2 places and not 4: with the
4 slots of the tracker's pool that needs both.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import psutil
import psycopg
import pytest
import redis
import yaml

from connections import CANARY, connection_of, eventually, make_due
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.hooks.watchlist import WatchlistHook
from local_stack import processes
from local_stack.comparison import compare, points_of_frame, points_of_journal
from local_stack.layout import PROJECT
from local_stack.ports import any_free_port
from local_stack.stack import LocalStack
from s3_server import S3Server

pytestmark = pytest.mark.celery

TRACKER = "ghost_tracker"
SCHEDULE = 'schedule="*/5 * * * *"'
VIDEOS = 3000
A_BATCH = 500
PLACES = 2
SLOW = timedelta(seconds=3)
"""What a call takes while a worker is killed."""

REFUSED = "TI was not in a state where it could be marked as running"
HEALTH_PORT = any_free_port()
CONFIG = {
    "scheduler": {
        "task_instance_heartbeat_sec": "2",
        "task_instance_heartbeat_timeout": "12",
        "task_instance_heartbeat_timeout_detection_interval": "3",
        "enable_health_check": "True",
        "scheduler_health_check_server_host": "127.0.0.1",
        "scheduler_health_check_server_port": str(HEALTH_PORT),
    },
    "celery": {"worker_concurrency": str(PLACES)},
    "celery_broker_transport_options": {"visibility_timeout": "40"},
}


@pytest.fixture(scope="module")
def dags(short_lived_folder: Path) -> Path:
    """The project's DAGs; the tracker runs when it is told to, so that no slot's run comes between two looks."""
    folder = short_lived_folder / "dags"
    shutil.copytree(PROJECT / "dags", folder, ignore=shutil.ignore_patterns("__pycache__"))
    tracker = folder / f"{TRACKER}.py"
    code = tracker.read_text(encoding="utf-8")
    assert code.count(SCHEDULE) == 1
    tracker.write_text(code.replace(SCHEDULE, "schedule=None"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def stack(short_lived_folder: Path, dags: Path, s3: S3Server) -> Iterator[LocalStack]:
    with LocalStack(
        short_lived_folder / "celery",
        dags_folder=dags,
        seed=11,
        videos_per_hour=200,
        workers=2,
        config=CONFIG,
        env={"AIRFLOW_CONN_VAULT_S3": s3.connection()},
    ) as stack:
        stack.wait_for_dags([TRACKER])
        for connection_id, change in (
            ("ghost_vault", {"extra": '{"path": "s3://vault_s3@vault/celery"}'}),
            ("youtube_default", {"password": CANARY}),
        ):
            connection = stack.api("GET", f"connections/{connection_id}")
            stack.api("PATCH", f"connections/{connection_id}", connection | change)
        yield stack
    assert processes.belonging_to(stack.state) == []


@pytest.fixture
def sql(stack: LocalStack) -> Iterator[psycopg.Connection]:
    with psycopg.connect(stack.ghost_dsn, autocommit=True) as session:
        yield session


@pytest.fixture(scope="module")
def watched(stack: LocalStack) -> set[str]:
    """Videos on the watchlist, all due; enough for six track tasks."""
    now = datetime.now(UTC)
    window = {"after": (now - timedelta(hours=20)).isoformat(), "before": now.isoformat()}
    published = stack.simulator_control("GET", "published", **window)["videos"]
    videos = [each["id"] for each in published if each["available"]][:VIDEOS]
    assert len(videos) == VIDEOS
    with WatchlistHook(connection=connection_of(stack.ghost_dsn)) as watchlist:
        watchlist.migrate()
        entries = [WatchlistEntry(each, next_track_at=now - timedelta(minutes=1)) for each in videos]
        assert len(watchlist.add_to_watchlist(entries)) == VIDEOS
    return set(videos)


def health_checks() -> dict[str, list[str]]:
    """What docker-compose.yaml runs in its containers, by service."""
    services = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text())["services"]
    checks = {name: each["healthcheck"]["test"] for name, each in services.items() if "healthcheck" in each}
    return {
        name: ["sh", "-c", test[1].replace("$$", "$")] if test[0] == "CMD-SHELL" else test[1:]
        for name, test in checks.items()
    }


def healthy(stack: LocalStack, service: str, host: str = "") -> bool:
    """Whether a service's health check succeeds, with the addresses of this stack."""
    addresses = {
        "http://localhost:8080": stack.airflow_url,
        "http://api-server:8080": stack.airflow_url,
        "http://localhost:8974": f"http://127.0.0.1:{HEALTH_PORT}",
    }
    command = health_checks()[service]
    for theirs, ours in addresses.items():
        command = [word.replace(theirs, ours) for word in command]
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {
        "PATH": programs,
        "AIRFLOW__CELERY__BROKER_URL_CMD": f"echo {stack.broker_url}",
        "HOSTNAME": host,
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    print(shlex.join(command), done.returncode, done.stdout, done.stderr)
    return done.returncode == 0


def tracks(stack: LocalStack, run_id: str, state: str) -> list[dict]:
    """The track tasks of a run that are in a state."""
    path = f"dags/{TRACKER}/dagRuns/{run_id}/taskInstances"
    found = stack.api("GET", path, state=[state], limit=100)["task_instances"]
    return [each for each in found if each["task_id"] == "track"]


def hosts(instances: list[dict]) -> set[str]:
    return {each["hostname"] for each in instances}


def points(s3: S3Server) -> pd.DataFrame:
    """The vault as an analyst reads it."""
    return pd.read_parquet("s3://vault/celery/metrics", storage_options=s3.options)


def due(sql: psycopg.Connection, since: datetime) -> set[str]:
    """What was due then and still is; the next slot of a video may come while the test lasts."""
    return {each for (each,) in sql.execute("SELECT video_id FROM watchlist WHERE next_track_at <= %s", [since])}


def test_the_compose_files_health_checks_pass(stack: LocalStack) -> None:
    for service in ("api-server", "scheduler", "dag-processor", "triggerer"):
        eventually(lambda service=service: healthy(stack, service), every=1)
    assert all(healthy(stack, "worker", name) for name in stack.workers)
    assert not healthy(stack, "worker", "worker-3")
    assert set(health_checks()) == {
        *("api-server", "scheduler", "dag-processor", "triggerer", "worker"),
        *("postgres", "redis"),  # with programs of their containers
    }


def test_everything_listens_on_loopback(stack: LocalStack) -> None:
    ours = {process.pid for component in stack.processes.values() for process in component.family()}
    listening = [
        connection.laddr
        for connection in psutil.net_connections("inet")
        if connection.pid in ours and connection.status == psutil.CONN_LISTEN
    ]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert HEALTH_PORT in {address.port for address in listening}


def test_a_worker_has_no_way_into_airflows_database(stack: LocalStack) -> None:
    held = [stack.state.worker_config.read_text()]
    for name in stack.workers:
        held += [str(process.environ()) for process in stack.processes[name].family()]
    secrets = {path.name: path.read_text().strip() for path in (stack.state.airflow_home / "secrets").iterdir()}
    assert {"fernet_key", "api_secret_key", "jwt_secret", "broker_password"} <= set(secrets)
    assert {name for name, secret in secrets.items() if any(secret in text for text in held)} == {"broker_password"}
    assert not any("sql_alchemy_conn" in text.lower() for text in held)


def test_a_worker_is_killed_in_the_middle_and_nothing_is_lost(
    stack: LocalStack, sql: psycopg.Connection, watched: set[str], s3: S3Server
) -> None:
    (since,) = sql.execute("SELECT date_trunc('second', now())").fetchone()
    stack.simulator_control("POST", "latency", {"ms": SLOW / timedelta(milliseconds=1)})
    stack.unpause(TRACKER)
    run_id = stack.trigger(TRACKER)
    eventually(lambda: len(tracks(stack, run_id, "running")) == 2 * PLACES, within=90, every=0.3)
    running = tracks(stack, run_id, "running")
    assert hosts(running) == set(stack.workers), "spread over both workers"
    eventually(lambda: stack.simulator_control("GET", "journal")["total"] > 0, within=30)

    (killed_at,) = sql.execute("SELECT now()").fetchone()
    stack.processes["worker-1"].expected = False
    processes.end(stack.processes["worker-1"].family(), 0.0)
    victims = {each["map_index"] for each in tracks(stack, run_id, "running") if each["hostname"] == "worker-1"}
    assert len(victims) == PLACES
    assert not healthy(stack, "worker", "worker-1")
    assert healthy(stack, "worker", "worker-2")

    assert stack.wait_for_run(TRACKER, run_id, timeout=150) == "failed", "the run says that something was not done"
    undone = due(sql, since)
    # not the same ones: tasks of the run that began after the kill claimed what was freed
    assert len(undone) == PLACES * A_BATCH, "as many videos as the killed worker had are due"
    assert {each["map_index"] for each in tracks(stack, run_id, "failed")} == victims
    assert hosts(tracks(stack, run_id, "success")) == {"worker-2"}
    assert set(points(s3)["video_id"]) >= watched - undone, "published in spite of the failure"

    # the messages that the killed worker had not acknowledged come back, and nothing is done a second time
    before = len(points(s3)), stack.simulator_control("GET", "journal")["total"]
    with redis.Redis.from_url(stack.broker_url) as broker:
        eventually(lambda: broker.hlen("unacked") == PLACES)  # the other worker has acknowledged all of its own
        eventually(lambda: broker.hlen("unacked") == 0 and broker.llen("default") == 0, within=120, every=1)
    assert stack.processes["worker-2"].log.read_text().count(REFUSED) == PLACES
    assert (len(points(s3)), stack.simulator_control("GET", "journal")["total"]) == before
    assert due(sql, since) == undone

    # one worker goes on alone
    stack.simulator_control("POST", "latency", {"ms": 0})
    run_id = stack.trigger(TRACKER)
    assert ended(stack, run_id) == {"worker-2"}
    assert due(sql, since) == set()

    # another one comes in its place; and when the first is stopped in good order, it ends its tasks
    stack.restart("worker-1")
    eventually(lambda: healthy(stack, "worker", "worker-1"), within=60, every=1)
    stack.simulator_control("POST", "latency", {"ms": SLOW / timedelta(milliseconds=1)})
    make_due(sql)
    run_id = stack.trigger(TRACKER)
    eventually(lambda: len(tracks(stack, run_id, "running")) == 2 * PLACES, within=90, every=0.3)
    stack.kill("worker-2", signal.SIGTERM)
    assert ended(stack, run_id) == set(stack.workers)
    assert stack.processes["worker-2"].wait(30)
    assert due(sql, since) == set()

    frame = points(s3)
    assert not frame.duplicated(["video_id", "timestamp"]).any()
    assert set(frame["video_id"]) == watched
    after = set(frame[frame["timestamp"] >= killed_at]["video_id"])
    assert after >= undone
    journal = stack.simulator_control("GET", "journal")
    assert journal["next"] == journal["total"]  # one page has it all
    result = compare(points_of_frame(frame), points_of_journal(journal["readings"]))
    assert result.invented == []
    assert result.matched >= 2 * VIDEOS
    # an answer is lost only with the task that had it and had not staged it; its video is read again
    lost = [each.video_id for each in result.lost]
    print(f"{len(lost)} answers were lost with the worker, of {journal['total']}")
    assert len(lost) <= PLACES * A_BATCH
    assert after >= set(lost)
    late = [each for each in result.lost if each.at > killed_at + SLOW + timedelta(seconds=5)]
    assert late == [], "calls that were under way end within a call's time, and nobody sends more"


def ended(stack: LocalStack, run_id: str) -> set[str]:
    """Wait for a run, which must succeed; gives the hosts of its track tasks."""
    assert stack.wait_for_run(TRACKER, run_id, timeout=120) == "success", stack.explain(TRACKER, run_id)
    return hosts(tracks(stack, run_id, "success"))
