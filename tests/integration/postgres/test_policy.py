"""What PostgreSQL says of a video's worth is what the rule says."""

import math
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest

from ghost_tracking.core.policies import Policy, ReadingPlan
from ghost_tracking.core.roster import Chunk
from ghost_tracking.core.saving import Saving
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Queue, Tier
from ghost_tracking.core.worth import INDEX_BORDERS, LATE, Known, ReadingRule, Shares, Sums, waited_for_tier
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.postgres.policy import PolicyState, index_parameters

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
RULE = ReadingRule(Sums(1_000, 800.0, 30.0), 20, Shares(0.2, 0.3, 0.5))


def plan(policy: Policy = Policy.TIERS, rule: ReadingRule = RULE, cut: float = 0.0) -> ReadingPlan:
    return ReadingPlan(policy, rule, cut)


def random_rows(number: int, seed: int) -> Iterator[WatchlistEntry]:
    """Due rows of all kinds: with and without a count, a gain and a reading, just read and long ago."""
    dice = random.Random(seed)
    for place in range(number):
        waited = dice.choice([None, 0, dice.uniform(0, 2), dice.uniform(0, 30), dice.uniform(100, 400), 8_760, 20_000])
        views = dice.choice([None, 0, 9, dice.randrange(10**6), dice.randrange(10**11)])
        gain = dice.choice(
            [None, 0.0, float(np.float32(dice.uniform(0, 3))), float(np.float32(10 ** dice.uniform(0, 7)))]
        )
        yield WatchlistEntry(
            f"v{place:05}",
            dice.choice(list(Tier)),
            None if waited is None else (NOW - waited * HOUR).replace(microsecond=0),
            NOW - timedelta(seconds=dice.randrange(1, 10_000)),
            anchor_at=NOW - 900 * DAY,
            views=views,
            gain_per_hour=gain,
        )


def waited(row: WatchlistEntry) -> timedelta | None:
    return None if row.last_tracked_at is None else NOW - row.last_tracked_at


def told(row: WatchlistEntry, plan: ReadingPlan) -> float:
    """The index by the core; -1 where the row is not considered yet.

    One that is considered to show its gain is first, though it may be minutes early.
    """
    wait = waited(row)
    if wait is not None and wait < plan.rule.longest_wait:
        if plan.policy is not Policy.ADAPTIVE and not waited_for_tier(wait, row.tracking_tier):
            return -1
        wait = max(wait, row.tracking_tier.interval) if row.known.is_new else wait
    return plan.rule.index(row.known, wait)


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("rate", [0.0, 0.01, 20.0, 1e6])
def test_the_database_tells_the_index_of_the_rule(
    watchlist: WatchlistHook, sql: psycopg.Connection, policy: Policy, rate: float
) -> None:
    rule = ReadingRule(RULE.sums, rate, RULE.shares, timedelta(days=400))
    by = index_parameters(plan(policy, rule))
    rows = list(random_rows(2_000, seed=int(rate)))
    for row in rows:  # what is no slot has no interval to wait for, but that of its tier to show its gain
        assert by[row.tracking_tier.lower()] == (0 if policy is Policy.ADAPTIVE else row.tracking_tier.interval / HOUR)
    found = sql.execute(
        "SELECT reading_index(waited, tier, views, gain, %s, %s, %s, %s) "
        "FROM unnest(%s::float8[], %s::float8[], %s::bigint[], %s::real[]) WITH ORDINALITY "
        "AS rows (waited, tier, views, gain, place) ORDER BY place",
        [
            *(by[name] for name in ("by_gain", "by_relative", "in_turn", "longest_hours")),
            [None if (wait := waited(row)) is None else wait / HOUR for row in rows],
            [by[row.tracking_tier.lower()] for row in rows],
            [row.views for row in rows],
            [row.gain_per_hour for row in rows],
        ],
    ).fetchall()
    expected = [told(row, plan(policy, rule)) for row in rows]
    assert [index for (index,) in found] == pytest.approx(expected, rel=1e-6)
    assert {-1.0, math.inf} & set(expected)


def test_due_videos_are_counted_by_their_index(watchlist: WatchlistHook) -> None:
    rows = list(random_rows(3_000, seed=1))
    later = [WatchlistEntry("soon", Tier.DAILY, NOW - 9 * DAY, NOW + HOUR, views=1, gain_per_hour=1.0)]
    watchlist.entries.add([*rows, *later])
    gone = [Chunk(f"gone{age}", 3, True, 7, NOW - HOUR, last_tracked_at=NOW - age * DAY) for age in (1, 28, 400)]
    for chunk in [*gone, Chunk("roster", 3, False, 9, NOW - HOUR)]:  # what the roster has due only the vault can tell
        watchlist.roster.insert(chunk)
    counted = watchlist.status.due_by_index(plan(), NOW)
    expected = Counter(
        (Queue(row.tracking_tier), np.searchsorted(INDEX_BORDERS, index, side="right") - 1)
        for row in rows
        if (index := told(row, plan())) >= 0
    )
    for chunk in gone:
        assert chunk.last_tracked_at is not None
        index = RULE.index(Known(None, None, Tier.WEEKLY), NOW - chunk.last_tracked_at)
        expected[Queue.GONE, np.searchsorted(INDEX_BORDERS, index, side="right") - 1] += 7
    found = {
        (queue, place): number for queue, counts in counted.items() for place, number in enumerate(counts) if number
    }
    assert found == dict(expected)
    assert watchlist.status.due(NOW)[Queue.ROSTER] == 9


def claimed(watchlist: WatchlistHook, plan: ReadingPlan, limit: int = 10_000, now: datetime = NOW) -> set[str]:
    """Who is claimed, of all tiers; nothing comes of it."""
    ids: set[str] = set()
    for tier in Tier:
        with watchlist.entries.claim(tier, limit, now=now, plan=plan) as claim:
            ids |= {entry.video_id for entry in claim.entries}
    return ids


@pytest.mark.parametrize("cut", [1e-9, 0.01, 0.5, 3.0, math.inf])
def test_a_claim_takes_those_above_the_cut_and_nobody_else(watchlist: WatchlistHook, cut: float) -> None:
    rows = list(random_rows(1_000, seed=5))
    watchlist.entries.add(rows)
    above = {row.video_id for row in rows if told(row, plan()) >= cut}
    assert 0 < len(above) < len(rows)
    assert claimed(watchlist, plan(cut=cut)) == above
    assert claimed(watchlist, plan(cut=cut), limit=9) <= above
    assert claimed(watchlist, plan(cut=0)) == {row.video_id for row in rows}
    assert claimed(watchlist, plan(cut=cut), now=NOW - DAY) == set()


def test_where_the_cut_is_tight_the_latest_slots_go_first_and_what_others_hold_is_passed_over(
    watchlist: WatchlistHook,
) -> None:
    rows = [
        WatchlistEntry(f"v{n}", Tier.DAILY, NOW - 2 * DAY, NOW - n * HOUR, views=1_000, gain_per_hour=100.0)
        for n in range(10)
    ]
    still = WatchlistEntry("still", Tier.DAILY, NOW - 2 * DAY, NOW, views=1_000, gain_per_hour=0.0)
    watchlist.entries.add([*rows, still])
    short = plan(cut=RULE.index(rows[0].known, 2 * DAY) * 0.9)
    with watchlist.entries.claim(Tier.DAILY, 3, now=NOW, plan=short) as claim:
        assert [entry.video_id for entry in claim.entries] == ["v0", "v1", "v2"]
        assert claim.entries[0].gain_per_hour == 100.0
    assert claimed(watchlist, short) == {row.video_id for row in rows}


def test_the_sums_over_all_videos_are_those_of_each(watchlist: WatchlistHook, sql: psycopg.Connection) -> None:
    rows = list(random_rows(1_500, seed=9))
    watchlist.entries.add(rows)
    lost = {row.video_id for row in rows[:100]}
    sql.execute(
        "UPDATE watchlist SET first_missed_at = now(), missed_count = 3, gone_at = now() WHERE video_id = ANY(%s)",
        [list(lost)],
    )
    for name, gone in (("here", False), ("away", True)):
        removed = frozenset({1, 2, 3})
        watchlist.roster.insert(Chunk(name, 3, gone, 40, NOW, removed, sums=Sums(99, 12.5, 0.25)))
    here = [row for row in rows if row.video_id not in lost]
    nothing = Known(None, None, Tier.WEEKLY)
    expected = Sums.of(
        (row.known if row.last_tracked_at else nothing, max(waited(row) or HOUR, timedelta(0))) for row in here
    ) + Sums(37, 12.5, 0.25)
    found = watchlist.policy.count(NOW)
    assert found.videos == expected.videos
    assert (found.root_gains, found.root_relative) == pytest.approx(
        (expected.root_gains, expected.root_relative), rel=1e-5
    )
    sql.execute("TRUNCATE watchlist, roster")
    assert watchlist.policy.count(NOW) == Sums()


def test_what_was_counted_is_kept_in_the_place_of_what_was_there(watchlist: WatchlistHook) -> None:
    assert watchlist.policy.load() is None
    for number in (1, 2):
        state = PolicyState(NOW + number * DAY, Sums(number, 2.5, 0.125), Saving(1.5, 2.5, 3.5, -0.5 * number))
        watchlist.policy.keep(state)
        assert watchlist.policy.load() == state


def test_a_late_reading_is_considered_at_its_next_slot(watchlist: WatchlistHook) -> None:
    read_at = NOW - DAY + LATE
    row = WatchlistEntry("late", Tier.DAILY, read_at, NOW, views=1_000, gain_per_hour=50.0)
    later = WatchlistEntry("later", Tier.DAILY, read_at + timedelta(seconds=1), NOW, views=1_000, gain_per_hour=50.0)
    watchlist.entries.add([row, later])
    assert claimed(watchlist, plan(cut=1e-9)) == {"late"}
    assert claimed(watchlist, plan(Policy.ADAPTIVE, cut=1e-9)) == {"late", "later"}
