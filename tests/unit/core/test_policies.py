"""Three policies: when each has a video read next, what it leaves out, and whom it promotes."""

import csv
import json
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connections import recorded
from ghost_tracking.core.gains import SHORTEST
from ghost_tracking.core.policies import EVERY_SLOT, Policy, ReadingPlan
from ghost_tracking.core.schedule import WatchlistEntry, after_reading
from ghost_tracking.core.tiers import Tier, next_slot
from ghost_tracking.core.videos import Reading
from ghost_tracking.core.worth import Known, ReadingRule, Shares, Sums

BORN = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE, HOUR, DAY, WEEK = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=7)
SUMS = Sums(videos=1_000, root_gains=800.0, root_relative=30.0)
RULE = ReadingRule(SUMS, 20, Shares(0.2, 0.3, 0.5))
DULL, LIVELY = Known(1_000_000, 0.0, Tier.WEEKLY), Known(1_000_000, 1e6, Tier.WEEKLY)

known_videos = st.builds(
    Known,
    st.none() | st.integers(0, 10**10),
    st.none() | st.floats(0, 1e7, allow_subnormal=False),
    st.sampled_from(list(Tier)),
)
rules = st.builds(
    ReadingRule,
    st.builds(Sums, st.integers(1, 10**8), st.floats(1e-3, 1e9), st.floats(1e-3, 1e7)),
    st.floats(1e-3, 1e6),
    st.sampled_from([Shares(), Shares(1, 0, 0), Shares(0, 1, 0), Shares(0, 0, 1), Shares(0.5, 0.3, 0.2)]),
    st.integers(14, 3_650).map(lambda days: timedelta(days=days)),
)
ages = st.floats(0, 24 * 400).map(lambda hours: hours * HOUR)
slowest_tiers = st.sampled_from([Tier.WEEKLY, Tier.DAILY])


def plan(policy: Policy, cut: float = 0.0, rule: ReadingRule = RULE, lasts: timedelta | None = WEEK) -> ReadingPlan:
    return ReadingPlan(policy, rule, cut, lasts)


@given(rules, known_videos, ages, slowest_tiers, st.floats(0, 100))
def test_with_tiers_every_slot_is_the_next_one_whatever_is_known(
    rule: ReadingRule, known: Known, age: timedelta, slowest: Tier, cut: float
) -> None:
    at = BORN + age
    assert plan(Policy.TIERS, cut, rule).next_reading(known, BORN, at, at, slowest) == next_slot(BORN, at, slowest)


@given(rules, known_videos, ages, st.sampled_from([timedelta(0), HOUR, 9 * DAY]), slowest_tiers)
def test_thrifty_reads_at_slots_only_and_skips_those_that_are_not_worth_it(
    rule: ReadingRule, known: Known, age: timedelta, behind: timedelta, slowest: Tier
) -> None:
    at = BORN + age
    tier, due = plan(Policy.THRIFTY, rule=rule).next_reading(known, BORN, at, at + behind, slowest)
    assert due > at + behind
    assert next_slot(BORN, due - timedelta(microseconds=1), slowest) == (tier, due)
    if behind == timedelta(0):
        assert due - at <= rule.longest_wait
    slot = at + behind
    while (slot := next_slot(BORN, slot, slowest)[1]) < min(due, at + rule.longest_wait - WEEK):
        assert not rule.is_worth(known, slot - at - timedelta(seconds=1))
    assert rule.is_worth(known, due - at + timedelta(seconds=1)) or due - at > rule.longest_wait - 2 * WEEK


def test_thrifty_skips_what_stands_still_and_not_what_moves() -> None:
    at = BORN + 30 * DAY
    thrifty = plan(Policy.THRIFTY)
    assert thrifty.next_reading(LIVELY, BORN, at, at) == next_slot(BORN, at)
    still = plan(Policy.THRIFTY, rule=ReadingRule(SUMS, 0.1, Shares(0.2, 0.3, 0.5)))
    assert still.next_reading(DULL, BORN, at, at)[1] > at + 4 * WEEK


@given(rules, known_videos, ages, slowest_tiers)
def test_adaptive_reads_at_the_own_interval_and_never_waits_for_longer_than_the_longest_time(
    rule: ReadingRule, known: Known, age: timedelta, slowest: Tier
) -> None:
    at = BORN + age
    tier, due = plan(Policy.ADAPTIVE, rule=rule).next_reading(known, BORN, at, at, slowest)
    assert SHORTEST - MINUTE <= due - at <= rule.longest_wait
    assert due - at == max(rule.own_interval(known), SHORTEST - MINUTE)
    assert tier is next_slot(BORN, at, slowest)[0]


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("rule", [ReadingRule(Sums(), 20), ReadingRule(SUMS, math.inf), ReadingRule(Sums(9), 20)])
def test_what_cannot_tell_videos_apart_reads_every_slot(policy: Policy, rule: ReadingRule) -> None:
    blind = plan(policy, cut=2.0, rule=rule)
    assert not blind.is_known
    for at in (BORN + HOUR / 3, BORN + 3 * DAY, BORN + 90 * DAY):
        assert blind.next_reading(DULL, BORN, at, at) == next_slot(BORN, at)
    assert not blind.leaves_out(DULL, HOUR)
    assert not blind.promotes(DULL, LIVELY)
    assert not blind.stays_promoted(LIVELY)


def test_who_is_passed_over_in_a_run_was_left_out_on_purpose() -> None:
    week_of = {known: RULE.index(known, WEEK) for known in (DULL, LIVELY)}
    assert week_of[DULL] < 5 < week_of[LIVELY]
    poor = ReadingRule(SUMS, 0.2, Shares(0.2, 0.3, 0.5))
    assert poor.index(DULL, WEEK) < 0.1 < 1 < poor.index(LIVELY, WEEK)
    for policy, cut, left_out in (
        (Policy.TIERS, 0.0, False),  # nobody had to be passed over
        (Policy.TIERS, 0.1, True),
        (Policy.TIERS, 1e-9, False),
        (Policy.THRIFTY, 0.0, True),
        (Policy.ADAPTIVE, 0.0, True),
    ):
        assert plan(policy, cut, poor).leaves_out(DULL, WEEK) is left_out, (policy, cut)
        # a slot that was worth a reading and got none is a hole, however large the indexes of others were
        assert not plan(policy, max(cut, 1e6), poor).leaves_out(LIVELY, WEEK)
        assert not plan(policy, cut, poor).leaves_out(DULL, None)


def test_the_threshold_is_the_cut_but_what_is_not_worth_a_reading_needs_none() -> None:
    cuts = (0.0, 0.3, 4.0)
    assert [plan(Policy.TIERS, cut).threshold for cut in cuts] == [0.0, 0.3, 4.0]
    for policy in (Policy.THRIFTY, Policy.ADAPTIVE):
        assert [plan(policy, cut).threshold for cut in cuts] == [1.0, 1.0, 4.0]


def test_with_tiers_who_comes_alive_is_promoted_and_nobody_else() -> None:
    tiers = plan(Policy.TIERS)
    assert RULE.own_interval(LIVELY) < DAY < RULE.own_interval(DULL)
    assert tiers.promotes(DULL, LIVELY)
    assert not tiers.promotes(LIVELY, LIVELY)  # it was always so: its age decides
    assert not tiers.promotes(LIVELY, DULL)
    assert not tiers.promotes(DULL, DULL)
    unknown = Known(None, None, Tier.WEEKLY)
    assert not tiers.promotes(unknown, LIVELY)  # a third reading tells
    assert not tiers.promotes(DULL, unknown)
    assert not tiers.promotes(DULL, Known(5, None, Tier.WEEKLY))
    assert not plan(Policy.TIERS, lasts=None).promotes(DULL, LIVELY)
    assert not EVERY_SLOT.promotes(DULL, LIVELY)


def series() -> list[list[tuple[datetime, int]]]:
    found = defaultdict(list)
    with recorded("recorded_series.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found[row["video_id"]].append((datetime.fromisoformat(row["observed_at"]), int(row["views"])))
    return [sorted(each) for each in found.values()]


def weekly(each: list[tuple[datetime, int]], start: int) -> list[tuple[datetime, int]]:
    """Its readings from the one with this number on, a week apart."""
    times, found = [at for at, _ in each], []
    while start < len(each):
        found.append(each[start])
        start = bisect_left(times, each[start][0] + WEEK)
    return found


def daily_for(gain: float) -> ReadingPlan:
    """Tiers where videos that gain more views an hour than this deserve to be read daily."""
    return plan(Policy.TIERS, rule=ReadingRule(Sums(1, 1.0, 1.0), 1 / (24 * math.sqrt(gain)), Shares(1, 0, 0)))


def promotions(readings: Iterable[tuple[datetime, int]], tiers: ReadingPlan) -> list[int]:
    """Which readings of a settled video promote it."""
    row, found = WatchlistEntry("v", Tier.WEEKLY, anchor_at=BORN - 900 * DAY), []
    for number, (at, views) in enumerate(readings):
        after = after_reading(row, Reading("v", at, views, None, None, row.anchor_at))
        found += [number] if tiers.promotes(row.known, after.known) else []
        row = after
    return found


def test_recorded_videos_that_fade_are_never_promoted_though_their_counters_fall_and_recover() -> None:
    assert sum(after < before for each in series() for (_, before), (_, after) in pairwise(each)) > 50
    compared = 0
    for gain in (0.5, 50.0, 5_000.0):
        for each in series():
            for start in range(0, len(each), 10):
                readings = weekly(each, start)
                assert promotions(readings, daily_for(gain)) == []
                compared += max(0, len(readings) - 2)
    assert compared > 3_000


def test_a_recorded_video_that_is_lifted_up_is_promoted_with_the_next_reading() -> None:
    for each in series():
        readings = weekly(each, 0)
        (before, last), (at, views) = readings[-2:]
        gains = max(after - first for (_, first), (_, after) in pairwise(readings))
        hourly = (views - last) / ((at - before) / HOUR)
        lifted = (at + WEEK, views + max(6 * gains, 7_000))
        assert promotions([*readings, lifted], daily_for(max(2 * hourly, 20))) == [len(readings)]


@pytest.mark.parametrize("policy", [Policy.THRIFTY, Policy.ADAPTIVE])
def test_with_the_others_whoever_deserves_daily_readings_has_them(policy: Policy) -> None:
    assert plan(policy).promotes(LIVELY, LIVELY)
    assert plan(policy).promotes(Known(None, None, Tier.WEEKLY), LIVELY)
    assert not plan(policy).promotes(LIVELY, DULL)
    assert not plan(policy, lasts=None).promotes(DULL, LIVELY)


@pytest.mark.parametrize("policy", Policy)
def test_who_is_promoted_falls_back_by_the_same_rule(policy: Policy) -> None:
    assert plan(policy).stays_promoted(LIVELY)
    assert not plan(policy).stays_promoted(DULL)
    assert not plan(policy).stays_promoted(Known(5, None, Tier.DAILY))
    assert not plan(policy, lasts=None).stays_promoted(LIVELY)


def test_a_slot_counts_for_a_whole_interval_where_there_are_slots() -> None:
    for tier in Tier:
        assert plan(Policy.TIERS).waits_for(tier) == plan(Policy.THRIFTY).waits_for(tier) == tier.interval
        assert plan(Policy.ADAPTIVE).waits_for(tier) == timedelta(0)


plans = st.builds(
    ReadingPlan,
    st.sampled_from(Policy),
    rules | st.just(EVERY_SLOT.rule),
    st.floats(0, 1e6),
    st.none() | st.integers(1, 365).map(lambda days: timedelta(days=days)),
)


@given(plans)
def test_a_plan_goes_to_its_batches_as_plain_data(given: ReadingPlan) -> None:
    assert ReadingPlan.from_dict(json.loads(json.dumps(given.as_dict(), allow_nan=False))) == given
