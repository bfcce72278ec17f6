"""What page and command show of who is read how often, on a real database and a real vault."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from airflow.sdk import Connection

from ghost_tracking.core.coverage import SlotCounts
from ghost_tracking.core.fairness import CLASSES, GAIN_BORDERS, UNKNOWN, Liveliness, LivelinessSums
from ghost_tracking.core.policies import EVERY_SLOT, Policy, ReadingPlan
from ghost_tracking.core.roster import Chunk, hour_of_week
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Queue, Tier
from ghost_tracking.core.worth import ReadingRule, Sums
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services.fairness import next_reading, read_fairness, renew_liveliness
from ghost_tracking.services.planning import plan_batches
from ghost_tracking.services.quota_status import read_quota_status
from ghost_tracking.settings import Settings
from ghost_tracking.vault.roster_memory import ChunkMemory

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
SCARCE = {"quota_statistics": 2, "quota_general": 0, "quota_hunter_holdback": 0, "quota_manual_holdback": 0}
RULE = ReadingRule(Sums(500, 2_000.0, 30.0), 1.0)
PLANS = [
    EVERY_SLOT,
    ReadingPlan(Policy.TIERS, RULE, cut=1.0),
    ReadingPlan(Policy.THRIFTY, RULE),
    ReadingPlan(Policy.ADAPTIVE, RULE),
    ReadingPlan(Policy.ADAPTIVE, ReadingRule(Sums(), 40.0)),
    ReadingPlan(Policy.THRIFTY, replace(RULE, readings_an_hour=0.0)),
]


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def some_rows(now: datetime, number: int = 300) -> list[WatchlistEntry]:
    """Videos of all kinds: unread, of one count, with hidden counts, still, and fast."""
    dice = random.Random(7)
    rows = []
    for place in range(number):
        kind = dice.randrange(6)
        rows.append(
            WatchlistEntry(
                f"video_{place:04}",
                dice.choice(list(Tier)),
                None if kind == 0 else now - dice.randrange(1, 10_000) * timedelta(minutes=1),
                now + HOUR,
                anchor_at=now - 3 * DAY,
                views=None if kind <= 1 else int(10 ** dice.uniform(0, 7)),
                gain_per_hour=None if kind <= 2 else 0.0 if kind == 3 else float(np.float32(10 ** dice.uniform(-3, 4))),
            )
        )
    return rows


def class_of(row: WatchlistEntry) -> int:
    if row.views is None or row.gain_per_hour is None:
        return UNKNOWN
    return sum(row.gain_per_hour * 24 >= border for border in GAIN_BORDERS)


def by_hand(
    rows: list[WatchlistEntry], plan: ReadingPlan, now: datetime, shortest: timedelta = timedelta(0)
) -> dict[int, tuple[float, ...]]:
    found: dict[int, tuple[float, ...]] = {}
    for row in rows:
        age = None if row.last_tracked_at is None else (now - row.last_tracked_at) / HOUR
        interval = max(plan.interval(row.known), shortest) / HOUR
        mine = (1, row.tracking_tier.interval / HOUR, interval, age or 0, age is not None)
        found[class_of(row)] = tuple(map(sum, zip(found.get(class_of(row), (0,) * 5), mine, strict=True)))
    return found


def plain(sums: LivelinessSums) -> dict[int, tuple[float, ...]]:
    return {
        number: (each.videos, each.planned, each.interval, each.age, each.read)
        for number, each in sums.classes.items()
        if each.videos
    }


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_the_database_counts_as_the_rule_has_it(watchlist: WatchlistHook, now: datetime, plan: ReadingPlan) -> None:
    rows = some_rows(now)
    watchlist.add_to_watchlist(rows)
    found, wanted = plain(watchlist.policy.count_liveliness(plan, now)), by_hand(rows, plan, now)
    assert found.keys() == wanted.keys() == set(CLASSES)
    for number, sums in wanted.items():
        assert found[number] == pytest.approx(sums, rel=1e-5)


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_the_rosters_memory_counts_as_the_rule_has_it(now: datetime, plan: ReadingPlan) -> None:
    from ghost_tracking.vault import roster_memory

    rows = [replace(row, tracking_tier=Tier.WEEKLY) for row in some_rows(now)]
    found = roster_memory.liveliness(memory_of(rows), plan, now, list(range(0, len(rows), 2)))
    wanted = by_hand(rows[::2], plan, now, shortest=WEEK)  # when its chunk is visited
    assert plain(found).keys() == wanted.keys()
    for number, sums in wanted.items():
        assert plain(found)[number] == pytest.approx(sums, rel=1e-5)


def memory_of(rows: list[WatchlistEntry]) -> ChunkMemory:
    columns: list[list[Any]] = [
        [row.views for row in rows],
        [row.last_tracked_at and row.last_tracked_at.timestamp() for row in rows],
        [row.gain_per_hour for row in rows],
    ]
    return ChunkMemory(*(np.array([np.nan if v is None else v for v in values], dtype=float) for values in columns))


def settled(
    watchlist: WatchlistHook, vault: ParquetVaultHook, rows: list[WatchlistEntry], due: datetime, **chunk: Any
) -> Chunk:
    """A chunk of these videos, whose slot is due then."""
    rows = sorted(rows, key=lambda row: row.video_id)
    ids = [row.video_id for row in rows]
    name = vault.roster.write(ids, due.date())
    vault.roster.remember(name, memory_of(rows))
    made = Chunk(name, hour_of_week(due), False, len(ids), due, last_tracked_at=due - WEEK, **chunk)
    watchlist.roster.insert(made)
    return made


def test_a_run_counts_once_a_day_and_again_where_another_policy_was_set(
    watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime
) -> None:
    rows = [replace(row, next_track_at=now, gain_per_hour=30.0, views=9) for row in some_rows(now, 40)]
    watchlist.add_to_watchlist(rows)
    more = [replace(row, video_id=f"old_{place:07}") for place, row in enumerate(some_rows(now, 60))]
    settled(watchlist, vault, more, now + DAY, removed_positions=frozenset(range(10)))
    settings = Settings()
    assert watchlist.policy.liveliness() is None
    plan_batches(watchlist, settings, vault, now=now)
    first = watchlist.policy.liveliness()
    assert first is not None
    assert (first.counted_at, first.policy, first.videos) == (now, "tiers", 90)
    assert [each.number for each in first.classes] == [0, 2, 3, 4, UNKNOWN]  # as the dice have it
    for later, change, is_counted in [
        (HOUR, {}, False),
        (HOUR, {"policy": Policy.ADAPTIVE}, True),
        (24 * HOUR, {"policy": Policy.ADAPTIVE}, False),
        (25 * HOUR, {"policy": Policy.ADAPTIVE}, True),
    ]:
        at, changed = now + later, Settings(**change)
        quota = read_quota_status(watchlist, changed, now=at)
        assert renew_liveliness(watchlist, vault, changed, quota, now=at) is is_counted
    watchlist.add_to_watchlist(replace(row, video_id=f"new_{row.video_id}") for row in some_rows(now, 200))
    quota = read_quota_status(watchlist, changed, now=at)
    assert renew_liveliness(watchlist, vault, changed, quota, now=at)


def test_videos_that_were_all_read_at_this_moment_are_counted(watchlist: WatchlistHook, now: datetime) -> None:
    """PostgreSQL wants the number 0 for no age, and not a duration of 0."""
    watchlist.policy.keep_liveliness([Liveliness(UNKNOWN, 3, HOUR, HOUR, timedelta(0))], "tiers", now)
    kept = watchlist.policy.liveliness()
    assert kept is not None
    assert [each.age for each in kept.classes] == [timedelta(0)]


def test_while_little_is_known_it_is_counted_every_hour(
    watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime
) -> None:
    watchlist.add_to_watchlist(f"new_{number}" for number in range(3))
    quota = read_quota_status(watchlist, Settings(), now=now)
    counted = [
        renew_liveliness(watchlist, vault, Settings(), quota, now=now + each * timedelta(minutes=20))
        for each in range(4)
    ]
    assert counted == [True, False, False, True]


def test_a_broken_or_lost_memory_is_not_known_and_stops_nothing(
    watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime
) -> None:
    chunk = settled(watchlist, vault, some_rows(now, 30), now)
    from ghost_tracking.vault import roster_memory

    roster_memory.forget(vault._storage, [chunk.name])
    renew_liveliness(watchlist, vault, Settings(), read_quota_status(watchlist, Settings()), now=now)
    found = watchlist.policy.liveliness()
    assert found is not None
    assert [(each.number, each.videos, each.age) for each in found.classes] == [(UNKNOWN, 30, None)]


def test_the_ledger_tells_what_became_of_the_slots(watchlist: WatchlistHook, now: datetime) -> None:
    hour = now.replace(minute=0, second=0)
    counts = SlotCounts()
    for tier, back in [(Tier.HOURLY, HOUR), (Tier.DAILY, 3 * DAY), (Tier.WEEKLY, 6 * DAY), (Tier.HOURLY, 25 * HOUR)]:
        counts.serve(tier, hour - back, 6)
        counts.skip(tier, hour - back, 3)
        counts.miss(tier, hour - back, 1)
    for tier in Tier:  # not over yet, and in the future
        counts.serve(tier, hour + timedelta(minutes=1), 100)
        counts.skip(tier, hour + 5 * HOUR, 100)
    watchlist.coverage.add(counts)
    found = read_fairness(watchlist, Settings(), read_quota_status(watchlist, Settings()), now=now)
    assert [(each.tier, each.served, each.skipped, each.missed) for each in found.tiers] == [
        (tier, 6, 3, 1) for tier in Tier
    ]
    assert found.tiers[1].interval == DAY * 10 / 6
    assert (found.why, found.liveliness, found.held_error) == (None, None, None)


def test_what_waits_since_it_is_not_worth_a_reading_yet_is_no_hole(
    watchlist: WatchlistHook, vault: ParquetVaultHook, ghost_postgres: Connection, now: datetime
) -> None:
    anchor = now.replace(minute=0, second=0) - 12 * HOUR
    last = anchor + 2 * HOUR
    row = WatchlistEntry("", Tier.HOURLY, last, anchor + 3 * HOUR, anchor_at=anchor)
    still = [replace(row, video_id=f"still_{n}", views=5, gain_per_hour=0.0) for n in range(60)]
    fast = [replace(row, video_id=f"fast_{n}", views=10**6, gain_per_hour=50_000.0) for n in range(3)]
    watchlist.add_to_watchlist([*still, *fast])
    scarce = Settings(**SCARCE)
    with WatchlistHook(connection=ghost_postgres, budgets=scarce.quota) as short:
        plan_batches(short, scarce, vault, now=now)
        found = read_fairness(short, scarce, read_quota_status(short, scarce, now=now), now=now)
    waiting = 9
    assert (found.tiers[0].skipped, found.tiers[0].missed) == (60 * waiting, 3 * waiting)
    assert found.why == "Quota is short: 93% of all slots are left out, where least is to be seen."
    # where the quota would have lasted, nobody has left anything out
    found = read_fairness(watchlist, Settings(), read_quota_status(watchlist, Settings(), now=now), now=now)
    assert (found.tiers[0].skipped, found.tiers[0].missed) == (0, 63 * waiting)
    assert found.why is None


def test_when_a_settled_video_is_read_next(now: datetime) -> None:
    due = now.replace(minute=0, second=0) + HOUR
    chunk = Chunk("c", hour_of_week(due), False, 1, due)
    row = WatchlistEntry("a", Tier.WEEKLY, due - WEEK, views=1_000, gain_per_hour=0.1)
    for plan in PLANS[1:4]:
        found = next_reading(plan, chunk, row)
        weeks = (found - due) // WEEK
        assert found == due + weeks * WEEK
        assert weeks > 0
        # the first visit that asks for it
        memory = memory_of([row])
        assert memory.index(plan, found)[0] >= 1 > memory.index(plan, found - WEEK)[0]
    dull = ReadingPlan(Policy.THRIFTY, replace(RULE, readings_an_hour=0.0))
    last = next_reading(dull, chunk, row)
    assert memory_of([row]).index(dull, last)[0] >= 1 > memory_of([row]).index(dull, last - WEEK)[0]
    assert timedelta(days=351) < last - (due - WEEK) <= timedelta(days=365)
    for plan in (PLANS[0], PLANS[4]):
        assert next_reading(plan, chunk, row) == due
    assert next_reading(PLANS[2], chunk, replace(row, last_tracked_at=None)) == due
    assert next_reading(PLANS[2], replace(chunk, gone=True), row) == due
    assert next_reading(PLANS[2], chunk, replace(row, views=10**6, gain_per_hour=1e6)) == due
    assert Queue.ROSTER is chunk.queue
