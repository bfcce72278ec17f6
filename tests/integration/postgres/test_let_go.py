"""What is paused, stopped or forgotten stays off the schedule, whichever way in it comes; on a real PostgreSQL."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from ghost_tracking.core.let_go import Change, State
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Tier
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services.roster_moves import RosterMoves

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
IDS = {state: f"{state.value:-<11}" for state in State}


@pytest.fixture(autouse=True)
def let_go(watchlist: WatchlistHook) -> None:
    watchlist.let_go.note([Change(video_id, state, NOW) for state, video_id in IDS.items()])


def watched(sql: psycopg.Connection) -> set[str]:
    return {video_id for (video_id,) in sql.execute("SELECT video_id FROM watchlist")}


def test_those_that_are_let_go_are_told_from_the_others(watchlist: WatchlistHook) -> None:
    assert watchlist.let_go.among([*IDS.values(), "AAAAAAAAAAA"]) == set(IDS.values()) - {IDS[State.RESUMED]}
    assert watchlist.let_go.among([]) == set()


def test_of_two_changes_the_later_one_holds(watchlist: WatchlistHook) -> None:
    paused = IDS[State.PAUSED]
    earlier = Change(paused, State.RESUMED, NOW - timedelta(seconds=1))
    later = Change(paused, State.FORGOTTEN, NOW + timedelta(seconds=1))
    assert watchlist.let_go.note([earlier]) == 0
    assert watchlist.let_go.note([later]) == 1
    assert watchlist.let_go.note([later]) == 0
    assert watchlist.let_go.all()[paused] == later


def test_nothing_puts_them_onto_the_watchlist(watchlist: WatchlistHook, sql: psycopg.Connection) -> None:
    assert set(watchlist.add_to_watchlist([*IDS.values(), "AAAAAAAAAAA"])) == {IDS[State.RESUMED], "AAAAAAAAAAA"}
    assert watched(sql) == {IDS[State.RESUMED], "AAAAAAAAAAA"}


def test_adoption_passes_them_over(watchlist: WatchlistHook, sql: psycopg.Connection) -> None:
    sql.execute("ALTER TABLE videos ADD COLUMN last_updated_at TIMESTAMPTZ")
    for video_id in IDS.values():
        sql.execute("INSERT INTO videos (id, title) VALUES (%s, 'Old')", [video_id])
    assert watchlist.old_tracker.adopt_videos().adopted == 1
    assert watched(sql) == {IDS[State.RESUMED]}


def test_no_metadata_is_written_of_what_is_forgotten(watchlist: WatchlistHook) -> None:
    new = watchlist.ingest_video_metadata([{"id": video_id} for video_id in IDS.values()])
    assert set(new) == set(IDS.values()) - {IDS[State.FORGOTTEN]}


def test_nothing_puts_them_onto_the_roster(watchlist: WatchlistHook, tmp_path: Path) -> None:
    vault = ParquetVaultHook(root=str(tmp_path / "vault"))
    anchor = NOW - timedelta(days=30)
    entries = [
        WatchlistEntry(video_id, Tier.WEEKLY, next_track_at=NOW + timedelta(days=5), anchor_at=anchor)
        for video_id in IDS.values()
    ]
    assert RosterMoves(watchlist, vault, NOW).move_found(entries) == 1
    assert [vault.roster.read(chunk.name) for chunk in watchlist.roster.all()] == [[IDS[State.RESUMED]]]
