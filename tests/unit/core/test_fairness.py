"""What is said of who is read how often."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from ghost_tracking.core.audits import Audit, AuditErrors, Estimate
from ghost_tracking.core.fairness import (
    CLASSES,
    POLICIES,
    UNKNOWN,
    ClassSums,
    Fairness,
    Liveliness,
    LivelinessCount,
    LivelinessSums,
    MeasuredError,
    TierSlots,
    video_reason,
    why_skipped,
)
from ghost_tracking.core.policies import EVERY_SLOT, Policy, ReadingPlan
from ghost_tracking.core.tiers import Queue, Tier
from ghost_tracking.core.worth import Known, ReadingRule, Sums

HOUR = timedelta(hours=1)
NOW = datetime(2026, 12, 1, tzinfo=UTC)
RULE = ReadingRule(Sums(1_000, 3_000.0, 50.0), 10.0)


def test_the_real_interval_is_that_of_the_slots_that_were_served() -> None:
    slots = TierSlots(Tier.DAILY, 168, served=50, skipped=40, missed=10)
    assert slots.interval == timedelta(days=2)
    assert slots.skipped_share == 0.4
    assert slots.as_dict()["interval_seconds"] == 2 * 86_400
    assert TierSlots(Tier.DAILY, 168, skipped=3).interval is None
    assert TierSlots(Tier.DAILY, 168).skipped_share == 0


def test_a_sample_stands_for_all() -> None:
    rows = LivelinessSums({2: ClassSums(10, 240, 480, 60, 10)})
    sample = LivelinessSums({2: ClassSums(1, 168, 168, 12, 1), UNKNOWN: ClassSums(2, 336, 336)})
    two, unknown = rows.plus(sample, 5).means()
    assert (two.number, two.videos, two.least, two.below) == (2, 15, 10.0, 100.0)
    assert two.planned == (240 + 5 * 168) / 15 * HOUR
    assert two.interval == (480 + 5 * 168) / 15 * HOUR
    assert two.age == (60 + 5 * 12) / 15 * HOUR
    assert (unknown.videos, unknown.age, unknown.least, unknown.below) == (10, None, None, None)
    assert (rows + sample).plus(LivelinessSums()).means() == rows.plus(sample).means()


def test_the_classes_have_their_borders() -> None:
    borders = [(each.least, each.below) for each in (Liveliness(n, 1, HOUR, HOUR, None) for n in CLASSES)]
    assert borders == [(0, 1), (1, 10), (10, 100), (100, 1000), (1000, None), (None, None)]


@pytest.mark.parametrize(("known", "unknown", "is_known"), [(5, 5, True), (5, 6, False), (0, 0, False)])
def test_it_is_known_when_it_is_known_of_half(known: int, unknown: int, is_known: bool) -> None:
    classes = [Liveliness(3, known, HOUR, HOUR, None), Liveliness(UNKNOWN, unknown, HOUR, HOUR, None)]
    assert LivelinessCount(NOW, "tiers", classes).is_known is is_known


def test_an_error_in_per_cent_comes_from_logarithms() -> None:
    error = MeasuredError.of(Estimate(12.34, 2.0, 50), Estimate(math.log(1.1), 0.01, 50))
    assert error is not None
    assert error.as_dict() == {
        "views": 12.3,
        "views_within": 2.0,
        "percent": 10.0,
        "percent_within": 1.1,
        "audits": 50,
    }
    assert MeasuredError.of(None, Estimate(0.1, 0.01, 50)) is None


def test_what_is_shown_is_plain_data() -> None:
    audits = [Audit("a", Queue.DAILY, 100, NOW - n * HOUR, NOW, 100 + n, NOW + n * HOUR, 120) for n in (1, 2, 4)]
    shown = Fairness(
        Policy.THRIFTY,
        "why",
        0.5,
        [TierSlots(Tier.HOURLY, 24, 2, 1, 1)],
        LivelinessCount(NOW, "thrifty", [Liveliness(0, 3, HOUR, 2 * HOUR, None)]),
        AuditErrors.of(audits),
    )
    assert shown.text == POLICIES[Policy.THRIFTY]
    found = shown.as_dict()
    assert found["tiers"][0]["interval_seconds"] == 7_200
    assert found["liveliness"]["classes"][0] == {
        "least_a_day": 0.0,
        "below_a_day": 1.0,
        "videos": 3,
        "planned_seconds": 3_600,
        "interval_seconds": 7_200,
        "age_seconds": None,
    }
    assert found["error_of_last_count"]["views"] == pytest.approx(7 / 3, abs=0.05)
    assert found["error_of_curve"]["audits"] == 3
    empty = Fairness(Policy.TIERS, None, 0.0, [], None, AuditErrors.of([])).as_dict()
    assert (empty["liveliness"], empty["error_of_curve"]) == ({"counted_at": None, "classes": []}, None)


@pytest.mark.parametrize(
    ("policy", "skipped", "is_short", "is_known", "words"),
    [
        (Policy.TIERS, 0.0, False, True, None),
        (Policy.TIERS, 0.42, True, True, "Quota is short: 42% of all slots are left out, where least is to be seen."),
        (Policy.TIERS, 0.42, True, False, "evenly until it is known"),
        (Policy.THRIFTY, 0.5, False, True, "To save quota, 50%"),
        (Policy.THRIFTY, 0.0, False, True, None),
        (Policy.THRIFTY, 0.7, True, True, "Quota is short: 70%"),
        (Policy.ADAPTIVE, 0.0, False, True, "its own interval"),
    ],
)
def test_why_slots_are_left_out(
    policy: Policy, skipped: float, is_short: bool, is_known: bool, words: str | None
) -> None:
    said = why_skipped(policy, skipped, is_short=is_short, is_known=is_known)
    assert said is None if words is None else words in (said or "")


@pytest.mark.parametrize(
    ("policy", "leaves_out", "is_promoted", "on_roster", "words"),
    [
        (Policy.TIERS, False, False, False, "Every slot of its tier is read."),
        (Policy.TIERS, True, False, True, "Quota is short"),
        (Policy.THRIFTY, True, False, False, "To save quota"),
        (Policy.THRIFTY, True, True, False, "came alive"),
        (Policy.ADAPTIVE, True, True, False, "own interval"),
        (Policy.ADAPTIVE, True, False, True, "once a week"),
    ],
)
def test_why_a_video_is_read_when_it_is(
    policy: Policy, leaves_out: bool, is_promoted: bool, on_roster: bool, words: str
) -> None:
    assert words in video_reason(policy, leaves_out=leaves_out, is_promoted=is_promoted, on_roster=on_roster)


def test_how_long_a_video_waits_is_never_less_than_its_tiers_interval_where_there_are_slots() -> None:
    fast, slow = Known(10_000, 5_000.0, Tier.DAILY), Known(3, 0.0, Tier.DAILY)
    assert EVERY_SLOT.interval(slow) == timedelta(days=1)
    for policy in (Policy.TIERS, Policy.THRIFTY):
        plan = ReadingPlan(policy, RULE)
        assert plan.interval(fast) == timedelta(days=1)
        assert plan.interval(slow) == RULE.own_interval(slow) > timedelta(days=1)
    assert ReadingPlan(Policy.ADAPTIVE, RULE).interval(fast) == RULE.own_interval(fast) < timedelta(days=1)
    assert ReadingPlan(Policy.ADAPTIVE, RULE).interval(Known(10**9, 1e12, Tier.DAILY)) == timedelta(minutes=5)
