"""The coverage ledger: written with what a claim writes back, once, and exact for what nobody has served yet."""

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from airflow.sdk import Connection

from coverage_oracle import slots_of_points
from ghost_tracking.core.coverage import SlotCounts, count_chunk, count_rows, hour_of, pending_slot, slots_between
from ghost_tracking.core.roster import Chunk, apply_chunk_results, hour_of_week, plan_read, slot_at_or_after
from ghost_tracking.core.schedule import WatchlistEntry, after_miss, after_reading
from ghost_tracking.core.tiers import Queue, Tier
from ghost_tracking.core.videos import Reading
from ghost_tracking.hooks.watchlist import WatchlistHook
from task_runs import Deployment

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Slots = dict[tuple[datetime, Tier], tuple[int, int]]


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def ledger(watchlist: WatchlistHook) -> Slots:
    """All that was counted."""
    rows = watchlist.coverage.hours(EPOCH, datetime(2100, 1, 1, tzinfo=UTC))
    return {(row.hour, row.tier): (row.served, row.missed) for row in rows}


def counted(counts: SlotCounts) -> Slots:
    return {(row.hour, row.tier): (row.served, row.missed) for row in counts}


def read(entry: WatchlistEntry, at: datetime) -> WatchlistEntry:
    return after_reading(entry, Reading(entry.video_id, at, 1, None, None, entry.anchor_at))


def waiting(video_id: str, anchor: datetime, last: datetime) -> WatchlistEntry:
    """A row of a video that was last read then."""
    return read(WatchlistEntry(video_id, anchor_at=anchor), last)


# Written with the schedule


def test_a_claim_adds_what_it_serves_and_passes_over(watchlist: WatchlistHook, now: datetime) -> None:
    entry = waiting("a", now - 10 * HOUR - timedelta(minutes=1), now - 4 * HOUR)
    watchlist.entries.add(entry)
    with watchlist.claim(Tier.HOURLY, 5) as claim:
        claim.reschedule([read(claim.entries[0], now)])
    assert ledger(watchlist) == counted(count_rows([(entry, read(entry, now))]))
    assert sum(served for served, _ in ledger(watchlist).values()) == 1
    assert sum(missed for _, missed in ledger(watchlist).values()) == 3


def test_a_claim_that_fails_counts_nothing(watchlist: WatchlistHook, now: datetime) -> None:
    watchlist.entries.add(waiting("a", now - 10 * HOUR, now - 4 * HOUR))

    def fail() -> None:
        with watchlist.claim(Tier.HOURLY, 5) as claim:
            claim.reschedule([read(claim.entries[0], now)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert ledger(watchlist) == {}


def test_what_a_lost_connection_had_written_is_not_counted_twice(
    watchlist: WatchlistHook, sql: psycopg.Connection, now: datetime
) -> None:
    """The rows were written before the connection was lost, as far as the second attempt can tell."""
    entries = [waiting(name, now - 10 * HOUR, now - 2.5 * HOUR) for name in ("a", "b")]
    watchlist.entries.add(entries)
    with watchlist.claim(Tier.HOURLY, 5) as claim:
        sql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        sql.execute("UPDATE watchlist SET last_tracked_at = now() WHERE video_id = 'b'")
        claim.reschedule(read(each, now) for each in claim.entries)
    assert ledger(watchlist) == counted(count_rows([(entries[0], read(entries[0], now))]))


def test_many_may_count_the_same_hours_at_once(
    ghost_postgres: Connection, watchlist: WatchlistHook, now: datetime
) -> None:
    dice = random.Random(3)
    entries = [
        waiting(f"v{number:04}", now - dice.randrange(9 * 24) * HOUR - 2 * HOUR, now - 1.5 * HOUR)
        for number in range(400)
    ]
    watchlist.entries.add(entries)

    def work(_: int) -> None:
        with WatchlistHook(connection=ghost_postgres) as hook:
            for _ in range(10):
                for tier in Tier:
                    with hook.claim(tier, 20, now=now) as claim:
                        claim.reschedule(read(each, now) for each in reversed(claim.entries))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    due = [entry for entry in entries if entry.next_track_at is not None and entry.next_track_at <= now]
    assert ledger(watchlist) == counted(count_rows((entry, read(entry, now)) for entry in due))


def test_chunks_count_with_what_they_write_back(watchlist: WatchlistHook, now: datetime) -> None:
    slot = now.replace(minute=0, second=0)
    chunk = Chunk("c", hour_of_week(slot), gone=False, ids=3, next_track_at=slot - WEEK)
    watchlist.roster.insert(chunk)
    ids = ["a", "b", "c"]
    found = {id_: Reading(id_, now, 1, None, None, None) for id_ in ids[:2]}
    for _ in range(2):
        with watchlist.roster.claim(Queue.ROSTER, 10) as claim:
            reads = [plan_read(each, ids, {}, 10) for each in claim.chunks]
            outcome = apply_chunk_results(reads, found, {"c"}, (), {}, now)
            slots = {
                each.name: count_chunk(one, each, found, {"c"}) for one, each in zip(reads, outcome.chunks, strict=True)
            }
            claim.reschedule(outcome.chunks, outcome.entries, slots=slots)
    # the one that is missing was not asked for a week ago
    assert ledger(watchlist) == {(slot - WEEK, Tier.WEEKLY): (0, 3), (slot, Tier.WEEKLY): (2, 0)}


def test_first_readings_and_those_of_the_tracker_are_counted_as_the_points_tell(
    deployment: Deployment, watchlist: WatchlistHook, sql: psycopg.Connection
) -> None:
    world, now = deployment.server.simulator.world, deployment.server.simulator.clock.now()
    videos = [
        video
        for video in world.newest(now, now - 9 * DAY)
        if world.available(video, now) and video.broadcast(world.origin) is None
    ]
    deployment.hunt({"videos": [video.id for video in videos[::50]]})
    found = [
        (video_id, at.to_pydatetime(), published.to_pydatetime())
        for video_id, at, published in deployment.points()[["video_id", "timestamp", "published_at"]].to_numpy()
    ]
    first = ledger(watchlist)
    assert first == slots_of_points(found)
    assert {tier for _, tier in first} == {Tier.HOURLY, Tier.DAILY}
    assert watchlist.roster.all()  # of those that have settled the slot at seven days
    # two hours and ten minutes pass in which nobody reads anything
    shift = "UPDATE watchlist SET {0} = {0} - INTERVAL '130 minutes'"
    for column in ("anchor_at", "last_tracked_at", "next_track_at"):
        sql.execute(shift.format(column))
    deployment.wait_a_second()
    deployment.track()
    shifted = dict(sql.execute("SELECT video_id, anchor_at FROM watchlist").fetchall())
    points = deployment.points().drop_duplicates(["video_id", "timestamp"])[["video_id", "timestamp"]].to_numpy()
    times = {video_id: at for video_id, at, _ in found}
    moved = timedelta(minutes=130)
    before = [(id_, times[id_] - moved, shifted[id_].astimezone(UTC)) for id_ in shifted]
    later = [(id_, at.to_pydatetime(), shifted[id_].astimezone(UTC)) for id_, at in points if at > times[id_]]
    assert later
    added = _difference(slots_of_points([*before, *later]), slots_of_points(before))
    assert _difference(ledger(watchlist), first) == added


def _difference(counts: Slots, others: Slots) -> Slots:
    parts = {
        key: (served - others.get(key, (0, 0))[0], missed - others.get(key, (0, 0))[1])
        for key, (served, missed) in counts.items()
    }
    return {key: both for key, both in parts.items() if any(both)}


# What nobody has served yet


def overdue(watchlist: WatchlistHook, until: datetime) -> Counter[tuple[Tier, int]]:
    found: Counter[tuple[Tier, int]] = Counter()
    for group in watchlist.coverage.overdue(until):
        for tier, slot in group.slots():
            found[tier, hour_of(tier, slot)] += group.videos
    return found


def rows_of_all_kinds(now: datetime, number: int) -> Iterator[tuple[WatchlistEntry, list[tuple[Tier, datetime]]]]:
    """Rows, and the slots up to `now` that nobody has counted."""
    dice = random.Random(11)
    for place in range(number):
        age = dice.choice([dice.uniform(0, 30), dice.uniform(0, 220), dice.uniform(0, 2_000)])
        anchor = (now - age * HOUR).replace(microsecond=0)
        if dice.random() < 0.2:
            anchor = anchor.replace(minute=0, second=0)
        last = anchor + (now - anchor) * dice.random()
        entry, kind = waiting(f"v{place:04}", anchor, last), dice.random()
        since = last
        if kind < 0.1:
            asked = last + (now - last) * dice.random()
            entry = after_miss(entry, asked, counted=True)
            yield entry, []
            continue
        if kind < 0.3 and entry.next_track_at is not None and entry.next_track_at <= now:
            asked = entry.next_track_at + (now - entry.next_track_at) * dice.random()
            entry = after_miss(entry, asked, counted=False)
            since = [slot for _, slot in slots_between(anchor, last, asked + timedelta(seconds=1))][-1]
            since -= timedelta(seconds=1)
        elif kind < 0.35:
            due = now - dice.randrange(100) * HOUR
            yield WatchlistEntry(entry.video_id, Tier.DAILY, None, due), [(Tier.DAILY, due)]
            continue
        yield entry, list(slots_between(anchor, since, now + timedelta(seconds=1)))


def test_the_slots_of_what_is_overdue_are_exact(watchlist: WatchlistHook, now: datetime) -> None:
    rows = list(rows_of_all_kinds(now, 600))
    watchlist.entries.add(entry for entry, _ in rows)
    wanted = Counter((tier, hour_of(tier, slot)) for _, slots in rows for tier, slot in slots)
    assert overdue(watchlist, now) == wanted
    assert len(wanted) > 500


def test_a_premiere_that_nobody_looks_at_counts_from_its_announced_start(
    watchlist: WatchlistHook, now: datetime
) -> None:
    start = now - 3 * HOUR - timedelta(minutes=5)
    reading = Reading("p", start - 5 * HOUR, 1, None, None, start - 9 * DAY, starts_at=start, awaits_start=True)
    watchlist.entries.add(after_reading(WatchlistEntry("p"), reading))
    assert sum(overdue(watchlist, now).values()) == 3


def test_those_that_are_promoted_count_by_the_day(watchlist: WatchlistHook, now: datetime) -> None:
    anchor = now - 40 * DAY - HOUR
    entry = read(WatchlistEntry("p", anchor_at=anchor, promoted_until=now + 9 * DAY), now - 3 * DAY)
    watchlist.entries.add(entry)
    assert overdue(watchlist, now) == Counter(
        (Tier.DAILY, hour_of(Tier.DAILY, anchor + days * DAY)) for days in (38, 39, 40)
    )


def test_chunks_that_wait_count_by_the_week(watchlist: WatchlistHook, sql: psycopg.Connection, now: datetime) -> None:
    slot = slot_at_or_after(hour_of_week(now), now) - WEEK
    hour = hour_of_week(slot)
    asked = Chunk("read", hour, gone=False, ids=10, next_track_at=slot - WEEK, last_tracked_at=slot - 5 * DAY)
    fault = Chunk("fault", hour, gone=False, ids=5, next_track_at=now + HOUR, outage_since=slot - 2 * HOUR)
    for chunk in (asked, fault, Chunk("gone", hour, gone=True, ids=7, next_track_at=slot)):
        watchlist.roster.insert(chunk)
    with watchlist.roster.claim(Queue.ROSTER, 1) as claim:
        (chunk,) = claim.chunks
        ids = [f"v{number}" for number in range(10)]
        part = plan_read(chunk, ids, {}, 4)
        at = slot - 5 * DAY
        found = {id_: Reading(id_, at, 1, None, None, None) for id_ in part.wanted}
        outcome = apply_chunk_results([part], found, (), (), {}, at)
        claim.reschedule(outcome.chunks)
    assert outcome.chunks[0].cursor == 4
    sql.execute("UPDATE roster SET outage_since = %s WHERE chunk = 'fault'", [fault.outage_since])
    weekly = {place: hour_of(Tier.WEEKLY, slot - place * WEEK) for place in range(3)}
    # six were not asked for a week before, four since; and of the other chunk none since the slot of its first fault
    assert pending_slot(fault) == slot - WEEK
    assert overdue(watchlist, now) == Counter(
        {(Tier.WEEKLY, weekly[1]): 6 + 5, (Tier.WEEKLY, weekly[0]): 10 + 5},
    )


# Its size


def test_it_stays_small(watchlist: WatchlistHook, sql: psycopg.Connection, now: datetime) -> None:
    """As many hours as are kept, each written in some twenty runs, with an hour of the day before and the week."""
    hour = now.replace(minute=0, second=0)
    for back in range(400 * 24, 0, -1):
        counts = SlotCounts()
        for tier in Tier:
            counts.serve(tier, hour - back * HOUR, 100_000)
        watchlist.coverage.add(counts)
        if back % 20 == 0:
            for _ in range(20):
                watchlist.coverage.add(counts)
    sql.execute("VACUUM coverage")
    rows, size = sql.execute("SELECT count(*), pg_total_relation_size('coverage') FROM coverage").fetchall()[0]
    assert 400 * 24 * 3 - 3 <= rows <= 400 * 24 * 3
    assert size < 4_000_000
    assert watchlist.coverage.begins_at() is not None
    assert watchlist.coverage.forget_old(now=now + 399 * DAY) >= 399 * 24 * 3 - 3
    assert watchlist.coverage.forget_old(now=now + 399 * DAY) == 0


def test_hours_that_are_kept_no_longer_are_not_begun(watchlist: WatchlistHook, now: datetime) -> None:
    counts = SlotCounts()
    counts.miss(Tier.WEEKLY, now - 401 * DAY, 5)
    counts.miss(Tier.WEEKLY, now - 399 * DAY, 5)
    watchlist.coverage.add(counts)
    assert [missed for _, missed in ledger(watchlist).values()] == [5]
