"""One clock and one vault: what every task makes sure of before it does anything."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowFailException

from ghost_tracking.core.batches import Batch
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.policies import EVERY_SLOT
from ghost_tracking.core.tiers import Queue
from ghost_tracking.errors import ClockError, VaultMismatchError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services import deployment
from ghost_tracking.services.deployment import adopt, ready
from ghost_tracking.tasks import hunter, janitor, publishing, tracker


@pytest.fixture
def connections(ghost_postgres: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the tasks find in Airflow; returns the vault's folder, which is not there yet. No YouTube is needed."""
    folder = tmp_path / "vault"
    fields = ("conn_type", "host", "login", "schema")
    database = {field: getattr(ghost_postgres, field) for field in fields}
    monkeypatch.setenv("AIRFLOW_CONN_GHOST_POSTGRES", json.dumps(database))
    monkeypatch.setenv("AIRFLOW_CONN_GHOST_VAULT", json.dumps({"conn_type": "fs", "extra": {"path": str(folder)}}))
    monkeypatch.setenv("AIRFLOW_CONN_YOUTUBE_DEFAULT", json.dumps({"conn_type": "youtube", "password": "key"}))
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_SETTINGS", json.dumps({"vault_retention_days": 30}))
    return folder


def set_workers_clock(monkeypatch: pytest.MonkeyPatch, ahead: timedelta) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + ahead

    monkeypatch.setattr(deployment, "datetime", Wrong)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


BATCH = Batch(Queue.HOURLY, 10).as_dict() | {"manual": False, "plan": EVERY_SLOT.as_dict()}
NO_INTERVAL = (None, None)
SOURCES = {"videos": ["aaaaaaaaaaA"]}


def hunt(vault: str) -> None:
    digest = hunter._digest(hunter._sources(SOURCES)[0])
    batch = {"number": 0, "of": 1, "digest": digest, "end": "2026-01-01T00:00:00Z", "vault": vault}
    batch |= {"search_calls": 0, "trusts_memory": True}
    hunter.hunt(batch, "manual", NO_INTERVAL, SOURCES, print)


TASKS: dict[str, Callable[[str], object]] = {
    "hunter's plan": lambda _: hunter.plan("manual", NO_INTERVAL, SOURCES),
    "hunter's plan of a list": lambda _: hunter.plan("manual", NO_INTERVAL, {"list": "aaaaaaaaaaA"}),
    "hunter's adoption": lambda _: hunter.plan("manual", NO_INTERVAL, {"adopt_old_videos": True}),
    "hunt": hunt,
    "import_lists": lambda vault: hunter.import_lists("scheduled", vault),
    "plan": lambda _: tracker.plan("scheduled"),
    "plan by hand": lambda _: tracker.plan("manual", {"videos": ["aaaaaaaaaaA"]}),
    "track": lambda vault: tracker.track(BATCH | {"vault": vault}, print),
    "publish": lambda _: publishing.publish(),
    "archive": lambda _: janitor.archive(dry_run=False),
    "archive, dry": lambda _: janitor.archive(dry_run=True),
    "clean": lambda vault: janitor.clean(dry_run=False, retention_days=None, vault=vault),
    "clean, dry": lambda vault: janitor.clean(dry_run=True, retention_days=None, vault=vault),
    "move_to_roster": lambda vault: janitor.move_to_roster(dry_run=False, vault=vault),
    "seal": lambda _: janitor.seal(dry_run=False),
    "compact": lambda _: janitor.compact(dry_run=False),
    "expire": lambda _: janitor.expire(dry_run=False),
    "expire, dry": lambda _: janitor.expire(dry_run=True),
    "check": lambda _: janitor.check(dry_run=False, what="recent"),
    "repair": lambda _: janitor.check(dry_run=False, what="repair"),
}
"""Every task, with the identity that the run's first task saw."""


LATER_TASKS = {"hunt", "import_lists", "track", "clean", "clean, dry", "move_to_roster"}
"""They say that the run's first task saw another one."""


def everything_to_do(sql: psycopg.Connection, folder: Path) -> tuple[str, dict[str, bytes]]:
    """A deployment in which each task would write something: the vault's identity and files."""
    with WatchlistHook() as watchlist:
        vault = ParquetVaultHook()
        identity = ready(watchlist, vault)
        watchlist.ingest_video_metadata({"id": "old"}, now=datetime.now(UTC) - timedelta(days=30))
        watchlist.add_to_watchlist("new")
    long_ago = datetime(2025, 5, 30, 22, tzinfo=UTC)
    vault.append_metrics([{"video_id": "old", "timestamp": long_ago, "views": 1}])
    vault.stage([MetricPoint("new", datetime.now(UTC).replace(microsecond=0), 1, None, None, None)])
    vault.stage_videos([], datetime.now(UTC))
    return identity, files_of(folder)


@pytest.mark.parametrize("task", TASKS)
def test_a_worker_with_a_wrong_clock_does_nothing(
    task: str, connections: Path, sql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity, before = everything_to_do(sql, connections)
    set_workers_clock(monkeypatch, timedelta(days=2))
    clocks = r"this worker's clock says 2\d.* UTC, but that of the database .* says 2\d.* UTC"
    with pytest.raises(ClockError, match=clocks):
        TASKS[task](identity)
    assert files_of(connections) == before
    assert sql.execute("SELECT count(*) FROM quota_ledger").fetchone() == (0,)
    assert sql.execute("SELECT count(*) FROM videos").fetchone() == (1,)


def test_some_seconds_are_much_and_some_are_no_news(
    watchlist: WatchlistHook, vault: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in (timedelta(days=-2), timedelta(seconds=8), timedelta(seconds=-8)):
        set_workers_clock(monkeypatch, wrong)
        with pytest.raises(ClockError):
            ready(watchlist, vault)
    set_workers_clock(monkeypatch, timedelta(seconds=3))
    ready(watchlist, vault)
    set_workers_clock(monkeypatch, timedelta(seconds=-3))
    ready(watchlist, vault)


@pytest.mark.parametrize("place", ["nothing", "an empty folder", "another vault"])
@pytest.mark.parametrize("task", TASKS)
def test_a_vault_that_is_not_mounted_or_another_one_is_left_alone(
    task: str, place: str, connections: Path, sql: psycopg.Connection
) -> None:
    identity, _ = everything_to_do(sql, connections)
    connections.rename(connections.with_name("disk"))
    named = [identity, str(connections)]
    if place != "nothing":
        connections.mkdir()
    if place == "another vault":
        named.append(ParquetVaultHook(root=connections).identity(create=True))
    before = files_of(connections)
    with pytest.raises(AirflowFailException) as caught:
        TASKS[task](identity)
    if task not in LATER_TASKS:
        assert all(each in str(caught.value) for each in [*named, "adopt_vault", "adopt-vault", "mount"])
    assert files_of(connections) == before
    assert connections.exists() == (place != "nothing")
    assert sql.execute("SELECT vault_id FROM vault_identity").fetchall() == [(identity,)]
    assert sql.execute("SELECT count(*) FROM quota_ledger").fetchone() == (0,)
    assert sql.execute("SELECT count(*) FROM videos").fetchone() == (1,)


def test_two_deployments_cannot_share_a_database(watchlist: WatchlistHook, tmp_path: Path) -> None:
    ours, theirs = ParquetVaultHook(root=tmp_path / "a"), ParquetVaultHook(root=tmp_path / "b")
    mine, other = ours.identity(create=True), theirs.identity(create=True)
    assert ready(watchlist, ours) == mine
    with pytest.raises(VaultMismatchError) as caught:
        ready(watchlist, theirs, other)
    assert (caught.value.expected, caught.value.found) == (mine, other)
    assert ready(watchlist, ours, mine) == mine


def test_a_database_that_knows_no_vault_takes_the_one_that_is_there(
    watchlist: WatchlistHook, vault: ParquetVaultHook, sql: psycopg.Connection
) -> None:
    identity = ready(watchlist, vault)
    sql.execute("DELETE FROM vault_identity")  # as a backup from before it knew one
    assert ready(watchlist, vault) == ready(watchlist, vault, identity) == identity
    assert sql.execute("SELECT vault_id, root FROM vault_identity").fetchall() == [(identity, str(vault.get_conn()))]


def test_a_moved_vault_is_no_news(watchlist: WatchlistHook, vault: ParquetVaultHook, tmp_path: Path) -> None:
    identity = ready(watchlist, vault)
    (tmp_path / "vault").rename(tmp_path / "moved")
    moved = ParquetVaultHook(root=tmp_path / "moved")
    assert ready(watchlist, moved) == identity
    assert watchlist.vault_link.own().root.endswith("/moved")


def test_a_vault_is_adopted_by_the_janitors_form(connections: Path, sql: psycopg.Connection) -> None:
    identity, _ = everything_to_do(sql, connections)
    connections.rename(connections.with_name("disk"))
    with pytest.raises(AirflowFailException, match=identity):
        janitor.let_go(dry_run=True, adopt_vault=True)
    assert not connections.exists()
    said = janitor.let_go(dry_run=False, adopt_vault=True)["message"]
    archived = janitor.archive(dry_run=False)
    assert archived["vault"] != identity
    assert said.startswith(f"Adopted vault {archived['vault']} at ")
    assert f"in place of {identity}, which was at " in said
    assert tracker.plan("scheduled")["batches"]
    again = janitor.let_go(dry_run=False, adopt_vault=True)
    assert f"Vault {archived['vault']} at {connections} already belongs to this database" in again["message"]


def test_two_tasks_at_a_time_agree_on_one_vault(watchlist: WatchlistHook, tmp_path: Path) -> None:
    """Another one was remembered between the look and the note."""
    late = ParquetVaultHook(root=tmp_path / "late")
    first = watchlist.vault_link.remember("first", "/first")
    assert watchlist.vault_link.remember(late.identity(create=True), str(late.get_conn())) == first
    with pytest.raises(VaultMismatchError, match="first"):
        ready(watchlist, late)
    assert adopt(watchlist, late).endswith("in place of first, which was at /first")
    ready(watchlist, late)
