"""Audits on a real PostgreSQL, a real vault and the real client: who is drawn, what is kept, and what comes after."""

import base64
import random
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from ghost_tracking.core.audits import MOST_A_DAY, AuditPick
from ghost_tracking.core.policies import EVERY_SLOT, Policy, ReadingPlan
from ghost_tracking.core.roster import hour_of_week
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Queue, Tier
from ghost_tracking.core.worth import ReadingRule, Sums
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.hooks.youtube import YouTubeHook
from ghost_tracking.services import auditing
from ghost_tracking.services.roster_moves import RosterMoves
from ghost_tracking.services.tracking import Tracking
from ghost_tracking.settings import Settings
from youtube_simulator import SimulatorServer

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
PLAN = ReadingPlan(Policy.ADAPTIVE, ReadingRule(Sums(100, 10.0, 1.0), 10.0))


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def on_watchlist(video_id: str, read_at: datetime | None, due: datetime, views: int | None = 1) -> WatchlistEntry:
    return WatchlistEntry(video_id, Tier.DAILY, read_at, due, anchor_at=due - 3 * DAY, views=views, gain_per_hour=1.0)


def alive(server: SimulatorServer, number: int) -> list[str]:
    """Videos of the last days that YouTube has."""
    world, clock = server.simulator.world, server.simulator.clock.now()
    return [video.id for video in world.newest(clock, clock - 9 * DAY) if world.available(video, clock)][:number]


def test_who_is_drawn_comes_from_both_places_as_often_as_videos_are_there(
    watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime
) -> None:
    dice = random.Random(7)
    ids = [base64.urlsafe_b64encode(dice.randbytes(8)).decode()[:11] for _ in range(3_000)]
    settled, young = ids[:2_000], ids[2_000:]
    anchor = now - 3 * WEEK
    watchlist.add_to_watchlist(
        WatchlistEntry(id_, Tier.WEEKLY, now - DAY, now + DAY, anchor_at=anchor, views=7, gain_per_hour=1.0)
        for id_ in settled
    )
    RosterMoves(watchlist, vault, now).move_settled()
    watchlist.add_to_watchlist(on_watchlist(id_, now - HOUR, now + HOUR) for id_ in young)
    drawn: list[AuditPick] = []
    runs = 0
    while len(drawn) < 2_000:
        runs += 1
        drawn += auditing.draw(watchlist, vault, Settings(), PLAN, 10_000, dice)
    assert {each.queue for each in drawn} == {Queue.DAILY, Queue.ROSTER}
    assert sum(each.queue is Queue.ROSTER for each in drawn) / len(drawn) == pytest.approx(2 / 3, abs=0.05)
    assert {(each.held_views, each.held_at) for each in drawn if each.queue is Queue.ROSTER} == {(7, now - DAY)}
    assert {(each.held_views, each.held_at) for each in drawn if each.queue is Queue.DAILY} == {(1, now - HOUR)}
    # a thousand a day at most, in full calls
    assert len(drawn) / runs * 288 == pytest.approx(MOST_A_DAY, rel=0.3)
    assert max(sum(each.video_id == id_ for each in drawn) for id_ in settled) < 10


def test_nobody_is_drawn_while_every_slot_is_read_nor_without_a_share(
    watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime
) -> None:
    watchlist.add_to_watchlist([on_watchlist("a", now - HOUR, now + HOUR)])
    always = random.Random(1)
    always.random = lambda: 0.0  # type: ignore[method-assign]
    assert auditing.draw(watchlist, vault, Settings(), PLAN, 1_000, always) != []
    for plan, settings in ((EVERY_SLOT, Settings()), (PLAN, Settings(audit_share=0))):
        assert auditing.draw(watchlist, vault, settings, plan, 1_000, always) == []


def test_those_without_a_count_and_those_that_are_missing_are_not_drawn(
    watchlist: WatchlistHook, sql: psycopg.Connection, now: datetime
) -> None:
    watchlist.add_to_watchlist(
        [on_watchlist(id_, now - HOUR, now + HOUR, views) for id_, views in (("a", None), ("b", 1), ("c", 2), ("d", 3))]
    )
    watchlist.add_to_watchlist([on_watchlist("e", None, now)])
    sql.execute("UPDATE watchlist SET first_missed_at = now() WHERE video_id = 'c'")
    sql.execute("UPDATE watchlist SET awaits_start = TRUE WHERE video_id = 'd'")
    assert [each.video_id for each in watchlist.audits.draw(["a", "b", "A", "c"])] == ["b"]


def test_an_audit_keeps_what_was_known_beside_what_was_found_and_everybody_their_slot(
    watchlist: WatchlistHook,
    vault: ParquetVaultHook,
    youtube: YouTubeHook,
    server: SimulatorServer,
    sql: psycopg.Connection,
    now: datetime,
) -> None:
    young, settled, other = alive(server, 3)
    due = now + 20 * HOUR
    watchlist.add_to_watchlist([on_watchlist(young, now - 4 * HOUR, due), on_watchlist(other, now, due)])
    watchlist.add_to_watchlist(
        [WatchlistEntry(settled, Tier.WEEKLY, now - DAY, now + DAY, anchor_at=now - 3 * WEEK, views=5)]
    )
    RosterMoves(watchlist, vault, now).move_settled()
    (chunk,) = watchlist.roster.all()
    picks = [
        AuditPick(young, Queue.DAILY, 1, now - 4 * HOUR),
        AuditPick(settled, Queue.ROSTER, 5, now - DAY),
        AuditPick(other, Queue.DAILY, 1, now - 4 * HOUR),  # read by others since
        AuditPick("nobodyknows", Queue.ROSTER, 1, now - DAY),
    ]
    assert auditing.from_data(auditing.as_data(picks)) == picks
    done = Tracking(watchlist, Settings(), None, PLAN).audit(picks, youtube, vault)
    kept = {each.video_id: each for each in watchlist.audits.since(now - DAY)}
    assert kept.keys() == {young, settled}
    for pick in picks[:2]:
        audit = kept[pick.video_id]
        assert (audit.held_views, audit.held_at, audit.queue) == (pick.held_views, pick.held_at, pick.queue)
        assert audit.views == done.answer.found[pick.video_id].views
    assert dict(sql.execute("SELECT video_id, next_track_at FROM watchlist").fetchall()) == {young: due, other: due}
    assert watchlist.roster.all() == [chunk]
    assert [each.skipped for each in watchlist.coverage.hours(now - DAY, now + 7 * DAY)] == []
    vault.publish()
    assert set(vault.read_metrics()["video_id"]) == {young, settled, other}
    assert hour_of_week(chunk.next_track_at) == chunk.hour_of_week


def test_the_next_reading_closes_an_audit_and_who_is_forgotten_has_none(
    watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime
) -> None:
    from ghost_tracking.core.points import MetricPoint

    at = now - 5 * HOUR
    picks = [AuditPick(id_, Queue.DAILY, 100, at - HOUR) for id_ in ("a", "b", "c")]
    watchlist.audits.add(each.read(at, 140) for each in picks)
    points = [MetricPoint("a", at, 140, 1, 1, None), MetricPoint("a", at + HOUR, None, 1, 1, None)]
    points += [MetricPoint("a", at + 2 * HOUR, 190, 1, 1, None), MetricPoint("b", at, 140, 1, 1, None)]
    vault.stage(points)
    vault.publish()
    assert auditing.close_open(watchlist, vault) == 1
    closed = {each.video_id: each for each in watchlist.audits.since(now - DAY)}
    assert (closed["a"].next_at, closed["a"].next_views) == (at + 2 * HOUR, 190)
    assert closed["a"].curve_error == pytest.approx(10)
    assert closed["b"].next_at is None
    assert auditing.close_open(watchlist, vault) == 0
    watchlist.let_go.forget(["a"])
    assert {each.video_id for each in watchlist.audits.since(now - DAY)} == {"b", "c"}
    assert watchlist.let_go.traces(["a"])["audits"] == 0
    assert watchlist.audits.forget_old(now=now + 40 * DAY) == 2
