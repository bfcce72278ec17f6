"""The roster on a real PostgreSQL, a real vault and a real YouTube over HTTP: moves, tracking chunks, healing."""

import base64
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import psycopg
import pytest

from answering import Said, answering
from connections import tracked_by_tier, youtube_at
from ghost_tracking.core.batches import Batch
from ghost_tracking.core.budgets import Bucket as CallBucket
from ghost_tracking.core.budgets import CallBudget
from ghost_tracking.core.roster import CHUNK_SIZE, SETTLED_AFTER, hour_of_week
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Queue, Tier, next_slot
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.hooks.youtube import YouTubeHook
from ghost_tracking.services.planning import plan_batches
from ghost_tracking.services.roster_moves import RosterMoves
from ghost_tracking.services.tracking import Tracking
from ghost_tracking.settings import Settings
from ghost_tracking.vault import roster_memory
from reading_plans import SEVEN_A_WEEK
from youtube_simulator import SimulatorServer

DAY, WEEK = timedelta(days=1), timedelta(days=7)


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def random_ids(number: int) -> list[str]:
    return [base64.urlsafe_b64encode(secrets.token_bytes(8)).decode()[:11] for _ in range(number)]


def entry(video_id: str, anchor: datetime, now: datetime) -> WatchlistEntry:
    tier, due = next_slot(anchor, now)
    return WatchlistEntry(video_id, tier, next_track_at=due, anchor_at=anchor, last_tracked_at=now - DAY)


def members(watchlist: WatchlistHook, vault: ParquetVaultHook, *, gone: bool = False) -> list[str]:
    """Every id on the roster, as often as it is there."""
    found = []
    for chunk in watchlist.roster.all():
        if chunk.gone == gone:
            ids = vault.roster.read(chunk.name)
            assert len(ids) == chunk.ids
            found += [video_id for position, video_id in enumerate(ids) if position not in chunk.removed_positions]
    return found


def settle_a_week_old(watchlist: WatchlistHook, vault: ParquetVaultHook, ids: list[str], now: datetime) -> datetime:
    """Bring videos onto the roster that were due for the first time there two hours ago; returns their anchor."""
    anchor = now - WEEK - timedelta(hours=2)
    watchlist.add_to_watchlist(
        WatchlistEntry(video_id, Tier.WEEKLY, None, anchor + WEEK, anchor_at=anchor) for video_id in ids
    )
    RosterMoves(watchlist, vault, now).move_settled()
    return anchor


def read_chunks(
    watchlist: WatchlistHook, vault: ParquetVaultHook, youtube: YouTubeHook, now: datetime, **batch: object
) -> object:
    """One batch of the roster, tracked at `now`."""
    given = {"queue": Queue.ROSTER, "limit": 10_000} | batch
    return Tracking(watchlist, Settings(), now).follow(Batch(**given), given["limit"], youtube, vault)


def test_settled_videos_are_moved_to_the_roster_by_their_hour_of_the_week(
    watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime, sql: psycopg.Connection
) -> None:
    old = {video_id: now - 9 * DAY - timedelta(minutes=n) for n, video_id in enumerate(random_ids(200))}
    young = dict.fromkeys(random_ids(5), now - 2 * DAY)
    watchlist.add_to_watchlist(entry(video_id, anchor, now) for video_id, anchor in (old | young).items())
    before = watchlist.status.count()
    report = RosterMoves(watchlist, vault, now).move_settled()
    assert (report.moved, report.problems) == (200, [])
    assert sorted(members(watchlist, vault)) == sorted(old)
    assert watchlist.entries.known(list(old | young)) == set(young)
    assert watchlist.status.count() == before == sum(tracked_by_tier(sql).values())
    for chunk in watchlist.roster.all():
        for video_id in vault.roster.read(chunk.name):
            assert hour_of_week(old[video_id]) == chunk.hour_of_week
            planned = next_slot(old[video_id], now)[1]
            assert timedelta(0) <= chunk.next_track_at - planned < timedelta(hours=1)
    assert RosterMoves(watchlist, vault, now).move_settled().moved == 0


def test_what_waits_unread_is_moved_to_the_roster_and_stays_due(
    watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime
) -> None:
    anchor = now - 7 * DAY - timedelta(hours=3)
    waiting = [
        WatchlistEntry(video_id, Tier.DAILY, now - 3 * DAY, now - 2 * DAY, anchor_at=anchor)
        for video_id in random_ids(3)
    ]
    watchlist.add_to_watchlist(waiting)
    assert RosterMoves(watchlist, vault, now).move_settled().moved == 3
    (chunk,) = watchlist.roster.all()
    assert now - timedelta(hours=3) <= chunk.next_track_at <= now - timedelta(hours=2)
    assert watchlist.status.due(now)[Queue.ROSTER] == 3


def test_slots_that_overdue_rows_have_passed_over_are_missed_when_they_move_to_the_roster(
    watchlist: WatchlistHook,
    vault: ParquetVaultHook,
    now: datetime,
    sql: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    anchor = now - 8 * DAY - timedelta(minutes=20)
    overdue, in_time, changed, gone = random_ids(4)
    read_at, due = anchor + 3 * DAY, anchor + 4 * DAY
    watchlist.add_to_watchlist(
        [
            *(WatchlistEntry(each, Tier.DAILY, read_at, due, anchor_at=anchor) for each in (overdue, changed)),
            WatchlistEntry(in_time, Tier.WEEKLY, anchor + WEEK, anchor + 2 * WEEK, anchor_at=anchor),
            WatchlistEntry(gone, Tier.DAILY, read_at, due, anchor_at=anchor - 30 * DAY),
        ]
    )
    sql.execute(
        "UPDATE watchlist SET first_missed_at = %s, missed_count = 3, gone_at = now() WHERE video_id = %s",
        [read_at, gone],
    )
    candidates = watchlist.roster.candidates

    def meanwhile(*arguments: object) -> object:
        found = candidates(*arguments)
        sql.execute("UPDATE watchlist SET views = 1 WHERE video_id = %s", [changed])
        return found

    monkeypatch.setattr(watchlist.roster, "candidates", meanwhile)
    report = RosterMoves(watchlist, vault, now).move_settled()
    assert (report.moved, report.gone, report.problems) == (3, 1, [])
    counted = watchlist.coverage.hours(anchor, now + 3 * WEEK)
    assert [(row.hour, row.tier, row.served, row.missed) for row in counted] == [
        (full_hour(anchor + days * DAY), Tier.DAILY, 0, 1) for days in (4, 5, 6)
    ]
    # the one at seven days is its chunk's first, and still to be served
    waiting = [slot for each in watchlist.coverage.overdue(now) for slot in each.slots() if slot[0] is Tier.WEEKLY]
    assert waiting == [(Tier.WEEKLY, full_hour(anchor + WEEK) + timedelta(hours=1))]


def full_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0)


def test_who_is_missing_awaiting_or_promoted_stays_on_the_watchlist(
    watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime, sql: psycopg.Connection
) -> None:
    ids = random_ids(4)
    watchlist.add_to_watchlist(entry(video_id, now - 20 * DAY, now) for video_id in ids)
    sql.execute("UPDATE watchlist SET awaits_start = TRUE WHERE video_id = %s", [ids[0]])
    sql.execute("UPDATE watchlist SET first_missed_at = now(), missed_count = 1 WHERE video_id = %s", [ids[1]])
    sql.execute("UPDATE watchlist SET promoted_until = now() WHERE video_id = %s", [ids[2]])
    RosterMoves(watchlist, vault, now).move_settled()
    assert members(watchlist, vault) == [ids[3]]


def test_thousands_of_one_hour_make_chunks_of_at_most_the_size_and_thin_ones_are_put_together(
    watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime
) -> None:
    anchor = (now - 30 * DAY).replace(minute=30, second=0)
    ids = random_ids(CHUNK_SIZE + 2_000)
    for part in (ids[:100], ids[100:300], ids[300:]):
        watchlist.add_to_watchlist(entry(video_id, anchor, now) for video_id in part)
        RosterMoves(watchlist, vault, now).move_settled()
        assert sorted(members(watchlist, vault)) == sorted(watchlist.entries.known([]) | set(members(watchlist, vault)))
    assert sorted(members(watchlist, vault)) == sorted(ids)
    assert [chunk.videos for chunk in watchlist.roster.all()] == [3_500, 3_500]
    named = {chunk.name for chunk in watchlist.roster.all()}
    files = {name for name, _ in vault.roster.names()}
    assert named < files
    # retired files stay as long as backups may name them
    assert RosterMoves(watchlist, vault, now).sweep(30 * DAY) == 0
    assert RosterMoves(watchlist, vault, now + 31 * DAY).sweep(30 * DAY) == len(files - named)
    assert {name for name, _ in vault.roster.names()} == named


def test_a_row_that_changes_while_it_is_moved_to_the_roster_stays_and_the_chunk_is_without_it(
    watchlist: WatchlistHook,
    vault: ParquetVaultHook,
    now: datetime,
    sql: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = random_ids(10)
    watchlist.add_to_watchlist(entry(video_id, now - 8 * DAY, now) for video_id in ids)
    candidates = watchlist.roster.candidates

    def meanwhile(*arguments: object) -> object:
        read = candidates(*arguments)
        sql.execute("UPDATE watchlist SET last_tracked_at = now() WHERE video_id = %s", [ids[0]])
        return read

    monkeypatch.setattr(watchlist.roster, "candidates", meanwhile)
    RosterMoves(watchlist, vault, now).move_settled()
    assert watchlist.entries.known(ids) == {ids[0]}
    assert sorted(members(watchlist, vault)) == sorted(ids[1:])


def test_a_chunk_is_tracked_as_a_video_is_with_one_row_written(
    watchlist: WatchlistHook,
    vault: ParquetVaultHook,
    youtube: YouTubeHook,
    server: SimulatorServer,
    now: datetime,
    sql: psycopg.Connection,
) -> None:
    alive = some_alive(server, 120)
    anchor = now - 7 * DAY - timedelta(hours=2)
    watchlist.add_to_watchlist(
        WatchlistEntry(video_id, Tier.WEEKLY, now - DAY, anchor + WEEK, anchor_at=anchor) for video_id in alive
    )
    RosterMoves(watchlist, vault, now).move_settled()
    (chunk,) = watchlist.roster.all()
    assert watchlist.status.backlog(now + DAY) == 120
    planned = plan_batches(watchlist, Settings(), vault, now=now)
    assert planned.batches == [Batch(Queue.ROSTER, 120)], planned.why
    done = read_chunks(watchlist, vault, youtube, now)
    assert done.claimed == 120
    assert done.answer.found.keys() == set(alive)
    vault.publish()
    assert set(vault.read_metrics()["video_id"]) == set(alive)
    (after,) = watchlist.roster.all()
    assert after.next_track_at == chunk.next_track_at + WEEK
    assert after.last_tracked_at == now
    assert watchlist.entries.known(alive) == set()
    assert sql.execute("SELECT count(*) FROM tracked_videos").fetchone() == (120,)
    assert watchlist.status.due(now)[Queue.ROSTER] == 0


def test_a_strict_batch_leaves_the_rest_of_a_chunk_for_its_next_visit(
    watchlist: WatchlistHook, vault: ParquetVaultHook, youtube: YouTubeHook, server: SimulatorServer, now: datetime
) -> None:
    alive = some_alive(server, 120)
    settle_a_week_old(watchlist, vault, alive, now)
    seen: set[str] = set()
    for expected in (50, 50, 20):
        done = read_chunks(watchlist, vault, youtube, now, limit=50, strict=True)
        assert done.claimed == expected
        assert seen.isdisjoint(done.answer.found)
        seen |= done.answer.found.keys()
    assert seen == set(alive)
    assert watchlist.roster.all()[0].next_track_at > now


def test_what_a_chunk_in_the_middle_of_its_slot_has_due_is_what_was_not_asked_for(
    watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime, sql: psycopg.Connection
) -> None:
    ids = random_ids(100)
    watchlist.add_to_watchlist(
        WatchlistEntry(video_id, Tier.WEEKLY, None, now - timedelta(hours=2), anchor_at=now - 8 * DAY)
        for video_id in ids
    )
    RosterMoves(watchlist, vault, now).move_settled()
    # ten have left among the 60 that were asked for, five among the others
    sql.execute("UPDATE roster SET cursor = 60, next_track_at = %s", [now - timedelta(hours=2)])
    removed_positions = [*range(10), *range(70, 75)]
    sql.execute("UPDATE roster SET removed_positions = %s::smallint[]", [removed_positions])
    (chunk,) = watchlist.roster.all()
    assert (chunk.videos, chunk.waiting) == (85, 35)
    assert watchlist.status.due(now)[Queue.ROSTER] == 35
    assert watchlist.status.backlog(now) == 35
    sql.execute("UPDATE roster SET cursor = 0")
    assert watchlist.status.due(now)[Queue.ROSTER] == watchlist.status.backlog(now) == 85


def test_one_that_is_gone_is_added_by_hand_and_is_gone_again_is_in_one_chunk(
    watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime, sql: psycopg.Connection
) -> None:
    again, others = random_ids(1)[0], random_ids(3)
    watchlist.add_to_watchlist(
        WatchlistEntry(video_id, Tier.WEEKLY, None, now - DAY, anchor_at=now - 30 * DAY)
        for video_id in [again, *others]
    )
    lost = "UPDATE watchlist SET first_missed_at = now() - INTERVAL '27 days', missed_count = 3, gone_at = now()"
    sql.execute(lost)
    RosterMoves(watchlist, vault, now).move_settled()
    hours = {chunk.hour_of_week for chunk in watchlist.roster.all()}
    # never found, it has no anchor, and is due in another hour of the week
    watchlist.add_to_watchlist([WatchlistEntry(again, Tier.WEEKLY, None, now + timedelta(hours=30))])
    sql.execute(lost)
    report = RosterMoves(watchlist, vault, now + timedelta(hours=40)).move_settled()
    assert (report.gone, report.problems) == (1, [])
    assert watchlist.entries.known([again]) == set()
    assert sorted(members(watchlist, vault, gone=True)) == sorted([again, *others])
    assert {chunk.hour_of_week for chunk in watchlist.roster.all()} == hours
    # a new one without an anchor goes to the hour of its next time
    watchlist.add_to_watchlist([WatchlistEntry(random_ids(1)[0], Tier.WEEKLY, None, now + timedelta(hours=30))])
    sql.execute(lost)
    RosterMoves(watchlist, vault, now + timedelta(hours=40)).move_settled()
    assert len(watchlist.roster.all()) == 2


def test_who_is_missing_leaves_for_the_watchlist_is_gone_in_time_and_can_return(
    watchlist: WatchlistHook, vault: ParquetVaultHook, youtube: YouTubeHook, server: SimulatorServer, now: datetime
) -> None:
    alive, lost = some_alive(server, 60), random_ids(3)
    settle_a_week_old(watchlist, vault, [*alive, *lost], now)
    read_chunks(watchlist, vault, youtube, now)
    assert watchlist.entries.known([*alive, *lost]) == set(lost)
    assert sorted(members(watchlist, vault)) == sorted(alive)
    assert watchlist.status.count() == 63
    later, gone = now, 0
    for wait in (timedelta(hours=2), timedelta(hours=8), DAY + timedelta(hours=2)):
        later += wait
        gone += Tracking(watchlist, Settings(), later).follow(Batch(Queue.WEEKLY, 100), 100, youtube, vault).newly_gone
    assert gone == 3
    # while they are young, as far as anybody knows, they keep their rows, and are looked at again before long
    assert RosterMoves(watchlist, vault, later).move_settled().gone == 0
    assert watchlist.status.count() == 60
    later = now + 28 * DAY
    Tracking(watchlist, Settings(), later).follow(Batch(Queue.WEEKLY, 100), 100, youtube, vault)
    assert RosterMoves(watchlist, vault, later).move_settled().gone == 3
    assert watchlist.entries.known(lost) == set()
    assert sorted(members(watchlist, vault, gone=True)) == sorted(lost)
    vault.publish_availability()
    events = vault.read_availability()
    assert set(events["video_id"]) == set(lost)
    assert set(events["state"]) == {"gone"}
    # four weeks later they are looked at again; still nobody there
    for chunk in watchlist.roster.all():
        if chunk.gone:
            assert timedelta(days=21) < chunk.next_track_at - later <= timedelta(days=29)
    read_chunks(watchlist, vault, youtube, later + 29 * DAY, queue=Queue.GONE)
    assert sorted(members(watchlist, vault, gone=True)) == sorted(lost)


def test_one_that_is_back_gets_a_row_again(
    watchlist: WatchlistHook,
    vault: ParquetVaultHook,
    youtube: YouTubeHook,
    server: SimulatorServer,
    now: datetime,
    sql: psycopg.Connection,
) -> None:
    back, away = some_alive(server, 1)[0], random_ids(2)
    watchlist.add_to_watchlist(
        WatchlistEntry(video_id, Tier.WEEKLY, None, now - DAY, anchor_at=now - 30 * DAY) for video_id in [back, *away]
    )
    sql.execute("UPDATE watchlist SET first_missed_at = now(), missed_count = 3, gone_at = now()")
    RosterMoves(watchlist, vault, now).move_settled()
    assert watchlist.status.count() == 0
    done = read_chunks(watchlist, vault, youtube, now + 30 * DAY, queue=Queue.GONE)
    assert done.returned == 1
    assert watchlist.entries.known([back, *away]) == {back}
    assert sorted(members(watchlist, vault, gone=True)) == sorted(away)
    vault.publish_availability()
    assert vault.read_availability()["state"].tolist() == ["returned"]


def test_one_that_was_brought_back_has_its_return_told_by_the_chunk_that_it_leaves(
    watchlist: WatchlistHook,
    vault: ParquetVaultHook,
    youtube: YouTubeHook,
    server: SimulatorServer,
    now: datetime,
    sql: psycopg.Connection,
) -> None:
    back, late, other = *some_alive(server, 2), *random_ids(1)
    server.simulator.world.delete([late])
    watchlist.add_to_watchlist(
        WatchlistEntry(video_id, Tier.WEEKLY, None, now - DAY, anchor_at=now - 30 * DAY)
        for video_id in [back, late, other]
    )
    sql.execute("UPDATE watchlist SET first_missed_at = now(), missed_count = 3, gone_at = now()")
    RosterMoves(watchlist, vault, now).move_settled()
    watchlist.add_to_watchlist([back, late])  # by hand; one of them is there
    Tracking(watchlist, Settings(), now + timedelta(minutes=1)).follow(Batch(Queue.HOURLY, 9), 9, youtube, vault)
    assert read_chunks(watchlist, vault, youtube, now + 30 * DAY, queue=Queue.GONE).returned == 1
    assert members(watchlist, vault, gone=True) == [other]
    vault.publish_availability()
    events = vault.read_availability()
    assert list(zip(events["video_id"], events["state"], strict=True)) == [(back, "returned")]
    assert abs(events["returned_at"][0] - datetime.now(UTC)) < timedelta(minutes=2)
    # the other one's is told by the reading that finds it at last
    server.simulator.world.restore([late])
    later = now + 32 * DAY
    assert Tracking(watchlist, Settings(), later).follow(Batch(Queue.HOURLY, 9), 9, youtube, vault).returned == 1
    vault.publish_availability()
    assert set(vault.read_availability()["video_id"]) == {back, late}


def test_a_bad_id_in_a_chunk_is_asked_for_again_next_week_and_stops_nobody(
    watchlist: WatchlistHook, vault: ParquetVaultHook, youtube: YouTubeHook, server: SimulatorServer, now: datetime
) -> None:
    alive = some_alive(server, 120)
    settle_a_week_old(watchlist, vault, alive, now)
    server.simulator.faults.add("http_error", status=500, video_id=alive[7])
    done = read_chunks(watchlist, vault, youtube, now)
    assert set(done.answer.found) == set(alive) - {alive[7]}
    assert sorted(members(watchlist, vault)) == sorted(alive)
    (chunk,) = watchlist.roster.all()
    assert chunk.next_track_at > now + 6 * DAY
    assert watchlist.entries.known(alive) == set()


def test_what_no_quota_is_left_to_confirm_stops_no_chunk(
    watchlist: WatchlistHook, vault: ParquetVaultHook, server: SimulatorServer, now: datetime
) -> None:
    alive, lost = some_alive(server, 60), random_ids(3)
    settle_a_week_old(watchlist, vault, [*alive, *lost], now)
    youtube = YouTubeHook(connection=youtube_at(server), budget=CallBudget({CallBucket.STATISTICS: 9}))
    done = read_chunks(watchlist, vault, youtube, now)
    assert (set(done.answer.found), done.answer.unconfirmed) == (set(alive), set(lost))
    assert sorted(members(watchlist, vault)) == sorted([*alive, *lost])
    assert watchlist.roster.all()[0].next_track_at > now + 6 * DAY
    youtube.close()


def test_a_chunk_whose_calls_failed_is_put_off_for_minutes_and_one_without_quota_is_not(
    watchlist: WatchlistHook, vault: ParquetVaultHook, youtube: YouTubeHook, server: SimulatorServer, now: datetime
) -> None:
    alive = some_alive(server, 120)
    settle_a_week_old(watchlist, vault, alive, now)
    poor = YouTubeHook(connection=youtube_at(server), budget=CallBudget())
    assert read_chunks(watchlist, vault, poor, now).answer.pending == set(alive)
    (before,) = watchlist.roster.all()
    assert before.deferred_until is None
    server.simulator.faults.add("http_error", status=503)
    assert read_chunks(watchlist, vault, youtube, now).answer.pending == set(alive)
    server.simulator.faults.clear()
    (chunk,) = watchlist.roster.all()
    assert (chunk.next_track_at, chunk.cursor) == (before.next_track_at, 0)
    assert chunk.deferred_until == now + timedelta(minutes=4)
    assert read_chunks(watchlist, vault, youtube, now + timedelta(minutes=3)).claimed == 0
    assert read_chunks(watchlist, vault, youtube, now + timedelta(minutes=4)).claimed == 120
    (chunk,) = watchlist.roster.all()
    assert chunk.deferred_until is None


def test_a_time_of_upload_is_that_of_publication_only_in_the_chunks_own_hour(
    watchlist: WatchlistHook, vault: ParquetVaultHook, server: SimulatorServer, now: datetime
) -> None:
    same, other = random_ids(2)
    anchor = settle_a_week_old(watchlist, vault, [same, other], now)
    uploaded = {same: anchor, other: anchor - timedelta(days=3, hours=5)}

    def answer(_: str, ids: Sequence[str]) -> Said:
        told = [{"id": each, "snippet": {"publishTime": uploaded[each].isoformat()}} for each in ids]
        return 200, {"items": told}

    with answering(answer) as other_server:
        youtube = YouTubeHook(connection=other_server.connection)
        read_chunks(watchlist, vault, youtube, now)
        youtube.close()
    vault.publish()
    read = vault.read_metrics(video_ids=[same, other]).set_index("video_id")["published_at"]
    assert read[same] == anchor
    assert pd.isna(read[other])


def test_a_fifth_missing_is_a_fault_and_nobody_leaves_unless_it_was_so_a_day_ago(
    watchlist: WatchlistHook, vault: ParquetVaultHook, youtube: YouTubeHook, server: SimulatorServer, now: datetime
) -> None:
    alive, lost = some_alive(server, 20), random_ids(20)
    settle_a_week_old(watchlist, vault, [*alive, *lost], now)
    (slot,) = (chunk.next_track_at + WEEK for chunk in watchlist.roster.all())
    watchlist.add_to_watchlist(alive[:8])  # so many leave that their chunk would be rewritten
    later = now
    for wait in (1, 6, 24):  # as a video that is missed
        assert read_chunks(watchlist, vault, youtube, later).is_fault
        (chunk,) = watchlist.roster.all()
        assert (chunk.outage_since, chunk.next_track_at) == (now, later + timedelta(hours=wait))
        assert sorted(members(watchlist, vault)) == sorted([*alive[8:], *lost])
        later = chunk.next_track_at
        assert read_chunks(watchlist, vault, youtube, later - timedelta(seconds=1)).claimed == 0
        assert RosterMoves(watchlist, vault, later).move_settled().retired == 0
    assert not read_chunks(watchlist, vault, youtube, later).is_fault
    assert watchlist.entries.known([*alive, *lost]) == {*alive[:8], *lost}
    (chunk,) = watchlist.roster.all()
    assert (chunk.outage_since, chunk.next_track_at) == (None, slot)


def test_a_fault_that_is_over_after_an_hour_costs_nobody_a_week_nor_in_the_middle_of_a_slot(
    watchlist: WatchlistHook, vault: ParquetVaultHook, youtube: YouTubeHook, server: SimulatorServer, now: datetime
) -> None:
    alive = some_alive(server, 100)
    settle_a_week_old(watchlist, vault, alive, now)
    before = read_chunks(watchlist, vault, youtube, now, limit=50, strict=True).answer.found.keys()
    assert len(before) == 50
    server.simulator.faults.add("share_missing", share=0.9)
    assert read_chunks(watchlist, vault, youtube, now, limit=30, strict=True).is_fault
    (chunk,) = watchlist.roster.all()
    assert (chunk.cursor, chunk.next_track_at) == (50, now + timedelta(hours=1))
    server.simulator.faults.clear()
    done = read_chunks(watchlist, vault, youtube, now + timedelta(hours=1), limit=100, strict=True)
    assert done.answer.found.keys() == set(alive) - before
    (chunk,) = watchlist.roster.all()
    assert (chunk.cursor, chunk.outage_since) == (0, None)
    assert chunk.next_track_at > now + 6 * DAY


def test_what_settled_videos_gain_is_told_from_their_last_count_on_the_watchlist_on(
    watchlist: WatchlistHook, vault: ParquetVaultHook, youtube: YouTubeHook, server: SimulatorServer, now: datetime
) -> None:
    alive = some_alive(server, 20)
    anchor = now - WEEK - timedelta(hours=2)
    watchlist.add_to_watchlist(
        WatchlistEntry(video_id, Tier.WEEKLY, now - DAY, anchor + WEEK, anchor_at=anchor, views=0)
        for video_id in alive[1:]
    )
    watchlist.add_to_watchlist(WatchlistEntry(alive[0], Tier.WEEKLY, None, anchor + WEEK, anchor_at=anchor))
    RosterMoves(watchlist, vault, now).move_settled()
    # what is remembered of a chunk is not for promotion alone, and nobody is promoted without a plan
    done = Tracking(watchlist, Settings(), now).follow(Batch(Queue.ROSTER, 100), 100, youtube, vault)
    vault.prepared.publish_gains(now)
    gained = vault.prepared.gains(WEEK, now + timedelta(minutes=5))  # the answers are of this moment
    views = {video_id: done.answer.found[video_id].views for video_id in alive[1:]}
    assert dict(zip(gained.ids.to_pylist(), gained.sums.tolist(), strict=True)) == {
        video_id: count for video_id, count in views.items() if count
    }
    assert gained.readings == sum(count is not None for count in views.values())


def test_one_that_grows_again_is_read_daily_for_a_while(
    watchlist: WatchlistHook, vault: ParquetVaultHook, youtube: YouTubeHook, server: SimulatorServer, now: datetime
) -> None:
    alive = some_alive(server, 30)
    settle_a_week_old(watchlist, vault, alive, now)
    (chunk,) = watchlist.roster.all()
    # a week ago they had no view and gained none, but for one that nothing is known of
    ids, read_at = vault.roster.read(chunk.name), now - WEEK + timedelta(hours=1)
    rows = {id_: WatchlistEntry(id_, last_tracked_at=read_at, views=0, gain_per_hour=0) for id_ in ids[1:]}
    vault.roster.remember(chunk.name, roster_memory.carried(ids, [], rows))
    tracking = Tracking(watchlist, Settings(), now, SEVEN_A_WEEK)
    done = tracking.follow(Batch(Queue.ROSTER, 100), 100, youtube, vault)
    hot = {video_id for video_id in ids[1:] if (done.answer.found[video_id].views or 0) >= 7}
    assert set(done.promoted) == hot
    assert len(hot) > 5
    assert watchlist.entries.known(alive) == hot
    entries = watchlist.fetch_tracking_batch(100, now=now + 2 * DAY)
    assert {row["video_id"] for row in entries} == hot
    assert "WEEKLY" not in {row["tracking_tier"] for row in entries}
    assert RosterMoves(watchlist, vault, now).move_settled().moved == 0


def test_a_video_that_is_added_again_has_one_place_after_the_next_visit(
    watchlist: WatchlistHook, vault: ParquetVaultHook, youtube: YouTubeHook, server: SimulatorServer, now: datetime
) -> None:
    alive = some_alive(server, 10)
    anchor = settle_a_week_old(watchlist, vault, alive, now)
    watchlist.add_to_watchlist(alive[0])
    assert read_chunks(watchlist, vault, youtube, now).claimed == 9
    assert sorted(members(watchlist, vault)) == sorted(alive[1:])
    # or when it is moved there once more, before that
    watchlist.add_to_watchlist(entry(alive[1], anchor, now))
    RosterMoves(watchlist, vault, now).move_settled()
    assert sorted(members(watchlist, vault)) == sorted(alive[1:])
    assert watchlist.entries.known(alive) == {alive[0]}


def test_old_videos_that_are_newly_found_go_to_the_roster_at_once(
    watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime
) -> None:
    ids = random_ids(300)
    found = [entry(video_id, now - 40 * DAY - timedelta(hours=n), now) for n, video_id in enumerate(ids)]
    assert RosterMoves(watchlist, vault, now).move_found(found) == 300
    assert RosterMoves(watchlist, vault, now).move_found(found) == 0
    # each has one reading, which stands for the slot before it
    assert sum(row.served for row in watchlist.coverage.hours(now - 60 * DAY, now)) == 300
    assert sorted(members(watchlist, vault)) == sorted(ids)
    assert watchlist.entries.known(ids) == set()


def test_a_broken_chunk_is_named_and_stops_no_other(
    watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime, tmp_path: Path, youtube: YouTubeHook
) -> None:
    first, second = random_ids(2)
    watchlist.add_to_watchlist(
        [entry(first, now - 9 * DAY, now), entry(second, now - 9 * DAY - timedelta(hours=5), now)]
    )
    RosterMoves(watchlist, vault, now).move_settled()
    broken = next(chunk for chunk in watchlist.roster.all() if vault.roster.read(chunk.name) == [first])
    file = tmp_path / "vault" / "roster" / f"{broken.name}.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    third = random_ids(2)
    watchlist.add_to_watchlist(
        [entry(third[0], now - 9 * DAY, now), entry(third[1], now - 9 * DAY - timedelta(hours=5), now)]
    )
    report = RosterMoves(watchlist, vault, now).move_settled()
    assert report.moved == 1
    assert broken.name in report.problems[0]
    assert watchlist.entries.known(third) == {third[0]}
    with pytest.raises(UnreadableFileError, match=broken.name):
        read_chunks(watchlist, vault, youtube, now + 2 * WEEK)


def test_an_hour_that_fails_and_a_row_that_no_chunk_can_hold_stop_no_other(
    watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime, tmp_path: Path, sql: psycopg.Connection
) -> None:
    first, second, third, fourth = random_ids(4)
    watchlist.add_to_watchlist([entry(first, now - 9 * DAY, now)])
    RosterMoves(watchlist, vault, now).move_settled()
    (chunk,) = watchlist.roster.all()
    file = tmp_path / "vault" / "roster" / f"{chunk.name}.parquet"
    file.unlink()
    file.mkdir()  # what no reader of chunks expects
    sql.execute("ALTER TABLE watchlist DROP CONSTRAINT watchlist_possible_id, DROP CONSTRAINT watchlist_possible_times")
    watchlist.add_to_watchlist(entry(each, now - 9 * DAY - timedelta(hours=5), now) for each in (second, third))
    watchlist.add_to_watchlist([entry(fourth, now - 9 * DAY, now)])
    settled = "INSERT INTO watchlist (video_id, tracking_tier, next_track_at, anchor_at) VALUES (%s, 'WEEKLY', %s, %s)"
    sql.execute(settled, ["abc def ghi", now, now - 9 * DAY - timedelta(hours=5)])
    sql.execute(settled, ["for_ever", "9999-12-31", now - 9 * DAY - timedelta(hours=5)])
    report = RosterMoves(watchlist, vault, now).move_settled()
    assert report.moved == 2
    assert watchlist.entries.known([second, third, fourth, "for_ever"]) == {fourth, "for_ever"}
    named = ("abc def ghi", "for_ever", chunk.name)
    assert [[name for name in named if name in problem] for problem in report.problems] in (
        [["abc def ghi"], ["for_ever"], [chunk.name]],
        [["for_ever"], ["abc def ghi"], [chunk.name]],
    )


def some_alive(server: SimulatorServer, number: int) -> list[str]:
    """Ids of recent videos that YouTube has."""
    world, clock = server.simulator.world, server.simulator.clock.now()
    return [v.id for v in world.newest(clock, clock - 9 * DAY) if world.available(v, clock)][:number]


def test_the_margin_leaves_the_slot_at_seven_days_to_the_watchlist() -> None:
    assert SETTLED_AFTER > WEEK
