"""A database restored from a backup, or lost: the vault knows what the schedule has forgotten."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from connections import tracked_by_tier
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.roster import hour_of_week
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.sync import RebuildProgress, SyncToken
from ghost_tracking.core.tiers import next_slot
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services.recovery import ScheduleReconciler
from ghost_tracking.services.roster_moves import RosterMoves
from ghost_tracking.tasks import hunter, publishing
from task_runs import NO_INTERVAL, Deployment

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TABLES = "watchlist, roster, retired_chunks, sync_token"


@pytest.fixture
def vault(vault: ParquetVaultHook) -> ParquetVaultHook:
    vault.identity(create=True)
    return vault


def found(watchlist: WatchlistHook, vault: ParquetVaultHook, at: datetime, ids: dict[str, timedelta]) -> None:
    """Videos of these ages, as a hunter brings them in."""
    for video_id, age in ids.items():
        tier, due = next_slot(at - age, at)
        watchlist.add_to_watchlist(WatchlistEntry(video_id, tier, at, due, anchor_at=at - age))
    vault.stage([MetricPoint(video_id, at, 1, None, None, at - age) for video_id, age in ids.items()])
    vault.publish()


def schedule(watchlist: WatchlistHook, vault: ParquetVaultHook, sql: psycopg.Connection) -> list[str]:
    rows = [video_id for (video_id,) in sql.execute("SELECT video_id FROM watchlist")]
    members = [video_id for chunk in watchlist.roster.all() for video_id in vault.roster.read(chunk.name)]
    return sorted([*rows, *members])


def test_what_was_found_since_the_backup_goes_back_on_the_schedule(
    watchlist: WatchlistHook, vault: ParquetVaultHook, sql: psycopg.Connection
) -> None:
    assert ScheduleReconciler(watchlist, vault, NOW - 20 * DAY).in_sync()
    found(watchlist, vault, NOW - 10 * DAY, {"settled": 3 * DAY, "young": DAY})
    RosterMoves(watchlist, vault, NOW - 5 * DAY).move_settled()
    assert ScheduleReconciler(watchlist, vault, NOW - DAY).in_sync()
    sql.execute("CREATE SCHEMA backup")
    for table in TABLES.split(", "):
        sql.execute(f"CREATE TABLE backup.{table} AS TABLE {table}")
    found(watchlist, vault, NOW - timedelta(hours=20), {"new": DAY, "old": 30 * DAY})
    RosterMoves(watchlist, vault, NOW).move_settled()
    assert ScheduleReconciler(watchlist, vault, NOW).in_sync()
    before = schedule(watchlist, vault, sql)
    sql.execute(f"TRUNCATE {TABLES}")
    sql.execute("INSERT INTO watchlist SELECT * FROM backup.watchlist")
    columns = (
        "chunk, hour_of_week, gone, ids, removed_positions, cursor, last_tracked_at, next_track_at, created_at,"
        " outage_since"
    )
    sql.execute(f"INSERT INTO roster ({columns}) SELECT {columns} FROM backup.roster")
    sql.execute("INSERT INTO sync_token SELECT * FROM backup.sync_token")
    assert not ScheduleReconciler(watchlist, vault, NOW).in_sync()
    assert ScheduleReconciler(watchlist, vault, NOW).reconcile().restored == 2
    RosterMoves(watchlist, vault, NOW).move_settled()
    assert schedule(watchlist, vault, sql) == before == ["new", "old", "settled", "young"]
    assert ScheduleReconciler(watchlist, vault, NOW).in_sync()


def test_a_backup_from_before_a_list_is_told_from_the_database_after_it(
    deployment: Deployment,
    sql: psycopg.Connection,
) -> None:
    deployment.track()
    vault = ParquetVaultHook()
    with WatchlistHook() as watchlist:
        assert ScheduleReconciler(watchlist, vault, watchlist.now()).in_sync()
    (mark,) = sql.execute("SELECT token, made_at FROM sync_token").fetchall()
    ids = [*deployment.alive(3), "nobodyknows"]  # of the last one there is no point
    planned = hunter.plan("manual", NO_INTERVAL, {"list": "\n".join(ids)})
    hunter.import_lists("manual", planned["vault"])
    publishing.publish()
    sql.execute("TRUNCATE watchlist, videos, roster")
    sql.execute("UPDATE sync_token SET token = %s, made_at = %s", mark)
    with WatchlistHook() as watchlist:
        reconciler = ScheduleReconciler(watchlist, vault, watchlist.now())
        assert not reconciler.in_sync()
        assert reconciler.reconcile().restored == 4
        assert schedule(watchlist, vault, sql) == sorted(ids)
        assert reconciler.reconcile().restored == 0


def test_what_is_staged_only_goes_back_on_the_schedule_too(watchlist: WatchlistHook, vault: ParquetVaultHook) -> None:
    """A run that found it was killed before it had published."""
    assert ScheduleReconciler(watchlist, vault, NOW - DAY).in_sync()
    vault.set_sync_token(SyncToken("another", NOW))
    vault.stage([MetricPoint("staged", NOW - timedelta(hours=1), 1, None, None, NOW - 2 * DAY)])
    assert ScheduleReconciler(watchlist, vault, NOW).reconcile().restored == 1
    assert watchlist.entries.known(["staged"]) == {"staged"}


def test_a_premiere_that_went_back_by_its_publish_time_is_not_there_twice(
    deployment: Deployment,
    sql: psycopg.Connection,
) -> None:
    """Its start is another hour of the week, and only YouTube tells it."""
    world, now = deployment.server.simulator.world, deployment.server.simulator.clock.now()
    premieres = [
        video.id
        for video in world.newest(now - 9 * DAY)
        if (broadcast := video.broadcast(world.origin)) is not None
        and hour_of_week(broadcast.actual_start) != hour_of_week(world.published_at(video))
        and world.available(video, now)
        and broadcast.actual_start < now - 8 * DAY
    ]
    assert premieres
    deployment.hunt({"videos": premieres})
    sql.execute("TRUNCATE watchlist, videos, roster, retired_chunks, sync_token")
    vault = ParquetVaultHook()
    with WatchlistHook() as watchlist:
        assert ScheduleReconciler(watchlist, vault, watchlist.now()).reconcile().restored == len(premieres)
        deployment.hunt({"videos": premieres})
        RosterMoves(watchlist, vault, watchlist.now()).move_settled()
        assert schedule(watchlist, vault, sql) == sorted(premieres)


def test_a_lost_database_is_made_anew_of_the_vault(
    watchlist: WatchlistHook, vault: ParquetVaultHook, sql: psycopg.Connection
) -> None:
    assert ScheduleReconciler(watchlist, vault, NOW - 90 * DAY).in_sync()
    found(watchlist, vault, NOW - 80 * DAY, {"a": DAY, "b": 9 * DAY})
    found(watchlist, vault, NOW - DAY, {"c": timedelta(hours=1), "d": timedelta(hours=2)})
    vault.seal(NOW)
    vault.compact(NOW)
    sql.execute(f"TRUNCATE {TABLES}")
    assert not ScheduleReconciler(watchlist, vault, NOW).in_sync()
    assert ScheduleReconciler(watchlist, vault, NOW).reconcile().restored == 4
    assert schedule(watchlist, vault, sql) == ["a", "b", "c", "d"]
    assert sql.execute("SELECT anchor_at FROM watchlist WHERE video_id = 'c'").fetchone() == (
        NOW - DAY - timedelta(hours=1),
    )
    assert tracked_by_tier(sql) == {"HOURLY": 2, "WEEKLY": 2}


def test_a_rebuild_that_was_killed_when_all_was_done_does_not_go_on(
    watchlist: WatchlistHook, vault: ParquetVaultHook
) -> None:
    assert ScheduleReconciler(watchlist, vault, NOW - DAY).in_sync()
    watchlist.vault_link.set_rebuild_progress(RebuildProgress(NOW - DAY, "before", "m", 9, 3))
    assert ScheduleReconciler(watchlist, vault, NOW).in_sync()
    assert watchlist.vault_link.rebuild_progress() is None


def test_a_damaged_mark_says_what_to_do(watchlist: WatchlistHook, vault: ParquetVaultHook, tmp_path: Path) -> None:
    assert ScheduleReconciler(watchlist, vault, NOW).in_sync()
    (tmp_path / "vault" / "_schedule.json").write_text("{")
    with pytest.raises(UnreadableFileError, match="delete it"):
        ScheduleReconciler(watchlist, vault, NOW).in_sync()
