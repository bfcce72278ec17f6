"""What a reading is worth: the index, a video's own interval, and the slots that are skipped for it."""

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.tiers import Tier, next_slot, tier_at
from ghost_tracking.core.worth import LATE, LONGEST_WAIT, UNSEEN, Known, ReadingRule, Shares, Sums, waited_for_tier

BORN = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
SUMS = Sums(videos=1_000, root_gains=800.0, root_relative=30.0)
RULE = ReadingRule(SUMS, 20, Shares(0.2, 0.3, 0.5))
WHOLE = ReadingRule(SUMS, readings_an_hour=math.inf)

known_videos = st.builds(
    Known, st.integers(0, 10**10), st.floats(0, 1e7, allow_subnormal=False), st.sampled_from(list(Tier))
)
rules = st.builds(
    ReadingRule,
    st.builds(Sums, st.integers(1, 10**8), st.floats(1e-3, 1e9), st.floats(1e-3, 1e7)),
    st.floats(1e-3, 1e6),
    st.sampled_from([Shares(), Shares(1, 0, 0), Shares(0, 1, 0), Shares(0, 0, 1), Shares(0.5, 0.3, 0.2)]),
)


def video(views: int | None = 1_000, gain: float | None = 1.0, tier: Tier = Tier.WEEKLY) -> Known:
    return Known(views, gain, tier)


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.2, -0.2, 0.0), (0, 0, 0), (math.nan, 0.5, 0.5)])
def test_shares_make_one_together(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="must make 1 together"):
        Shares(*shares)
    assert Shares(0.1, 0.2, 0.7)  # whose floating sum is not 1


def test_the_index_is_the_formula() -> None:
    # 20 readings an hour, of which .2·2/800, .3·√(4/110)/30 and .5/1000 an hour are this video's, for 12 hours
    expected = 12 * 20 * (0.2 * 2 / 800 + 0.3 * math.sqrt(4 / 110) / 30 + 0.5 / 1_000)
    assert RULE.index(video(100, 4.0), 12 * HOUR) == pytest.approx(expected)


def test_a_video_that_stood_still_may_have_gained_half_a_view_since() -> None:
    assert RULE.index(video(gain=0), 8 * HOUR) == pytest.approx(RULE.index(video(gain=UNSEEN / 8), 8 * HOUR))
    assert RULE.index(video(gain=0), 8 * HOUR) > ReadingRule(SUMS, 20, Shares(0, 0, 1)).index(video(), 8 * HOUR) * 0.5


def test_what_moves_comes_first() -> None:
    waits = [RULE.own_interval(video(gain=gain)) for gain in (0, 0.1, 1, 10, 1_000, 100_000)]
    assert all(dull > lively for dull, lively in pairwise(waits))
    # as many views are more in per cent of fewer
    assert RULE.own_interval(video(views=100)) < RULE.own_interval(video(views=10**6))


@given(st.lists(st.tuples(known_videos, st.floats(1, 10_000)), min_size=1, max_size=30), st.floats(0.1, 1e5))
def test_all_videos_together_deserve_as_many_readings_as_there_are(
    videos: list[tuple[Known, float]], rate: float
) -> None:
    waiting = [(known, hours * HOUR) for known, hours in videos]
    rule = ReadingRule(Sums.of(waiting), rate, longest_wait=timedelta(days=10_000))
    deserved = sum(rule.index(known, waited) / (waited / HOUR) for known, waited in waiting)
    assert deserved == pytest.approx(rate, rel=1e-6)


@given(st.lists(st.tuples(known_videos, st.floats(1, 1_000)), max_size=8), st.integers(0, 8))
def test_sums_of_parts_add_up(videos: list[tuple[Known, float]], cut: int) -> None:
    waiting = [(known, hours * HOUR) for known, hours in videos]
    parts, whole = Sums.of(waiting[:cut]) + Sums.of(waiting[cut:]), Sums.of(waiting)
    assert parts.videos == whole.videos
    assert parts.root_gains == pytest.approx(whole.root_gains)
    assert parts.root_relative == pytest.approx(whole.root_relative)


@given(rules, known_videos, st.floats(0.001, 8_000), st.floats(1.001, 5))
def test_the_index_grows_while_a_video_waits(rule: ReadingRule, known: Known, hours: float, longer: float) -> None:
    assert rule.index(known, hours * longer * HOUR) > rule.index(known, hours * HOUR)


@given(rules, known_videos)
def test_the_own_interval_ends_when_the_index_reaches_one(rule: ReadingRule, known: Known) -> None:
    own = rule.own_interval(known)
    assert timedelta(0) <= own <= LONGEST_WAIT
    if timedelta(seconds=1) < own < LONGEST_WAIT:
        assert rule.index(known, own) == pytest.approx(1, rel=1e-3)
    if own == LONGEST_WAIT:
        assert rule.index(known, own - HOUR) < 1


def test_a_second_reading_comes_at_the_next_slot_of_the_tier() -> None:
    for tier in Tier:
        new = video(gain=None, tier=tier)
        assert RULE.index(new, tier.interval - HOUR / 2) == 0
        assert RULE.index(new, tier.interval) == math.inf
        assert RULE.own_interval(new) == tier.interval


def test_a_video_that_hides_its_views_waits_for_its_turn() -> None:
    hidden = Known(None, None, Tier.HOURLY)
    assert RULE.index(hidden, HOUR) == pytest.approx(20 * 0.5 / 1_000)
    assert RULE.own_interval(hidden) == pytest.approx(HOUR * 1_000 / 20 / 0.5, abs=timedelta(seconds=1))
    assert ReadingRule(SUMS, 20, Shares(0.5, 0.5, 0)).own_interval(hidden) == LONGEST_WAIT


def test_who_was_never_read_and_who_waits_for_the_longest_time_are_first() -> None:
    assert RULE.index(video(), None) == math.inf
    assert RULE.index(video(gain=0), LONGEST_WAIT) == math.inf
    assert ReadingRule(SUMS, 0).index(video(), LONGEST_WAIT - HOUR) == 0
    assert ReadingRule(SUMS, 0).own_interval(video()) == LONGEST_WAIT
    assert not ReadingRule(SUMS, 0).is_worth(video(gain=1e6), LONGEST_WAIT / 2)
    assert RULE.is_worth(video(), None)


def test_with_nothing_to_share_out_by_every_slot_is_worth_it() -> None:
    empty = ReadingRule(Sums(), readings_an_hour=1)
    for known in (video(), video(None, None), video(0, 0.0)):
        assert empty.is_worth(known, HOUR)
        assert empty.own_interval(known) == timedelta(0)


@given(known_videos, st.floats(0, 24 * 400), st.floats(0, 0.1))
def test_with_enough_quota_the_timeline_of_the_specification_holds(known: Known, age: float, late: float) -> None:
    read_at = BORN + age * HOUR
    assert WHOLE.next_worth(known, BORN, read_at, read_at) == next_slot(BORN, read_at)
    assert WHOLE.is_worth(known, late * HOUR)


@given(rules, known_videos, st.floats(0, 24 * 400))
def test_the_next_reading_is_the_first_slot_that_is_worth_it(rule: ReadingRule, known: Known, age: float) -> None:
    read_at = BORN + age * HOUR
    tier, due = rule.next_worth(known, BORN, read_at, read_at)
    assert read_at < due <= read_at + LONGEST_WAIT
    assert (due - BORN) % tier.interval == timedelta(0)  # at the ages of all other videos
    slot = read_at
    while (slot := next_slot(BORN, slot)[1]) < due - WEEK:
        assert rule.index(known, slot - read_at) < 1
    if due - read_at < LONGEST_WAIT - 2 * WEEK:
        assert rule.index(known, due - read_at + LATE + timedelta(seconds=1)) >= 1 - 1e-3
    assert tier is tier_at(max(read_at - BORN, due - BORN - tier.interval))


def test_a_reading_that_came_late_does_not_lose_the_next_slot() -> None:
    hourly = Known(1_000, 0.0, Tier.HOURLY)
    rate = 1 / ReadingRule(SUMS, 1).index(hourly, HOUR)  # whose own interval is an hour
    rule = ReadingRule(SUMS, rate)
    assert rule.own_interval(hourly) == pytest.approx(HOUR, abs=timedelta(seconds=1))
    read_at = BORN + 3 * HOUR + LATE
    assert rule.next_worth(hourly, BORN, read_at, read_at) == (Tier.HOURLY, BORN + 4 * HOUR)
    assert rule.is_worth(hourly, HOUR - LATE)
    assert not rule.is_worth(hourly, HOUR - 2 * LATE)


def test_where_due_videos_compete_a_late_reading_counts_for_a_whole_interval() -> None:
    assert waited_for_tier(None, Tier.WEEKLY)
    assert waited_for_tier(DAY, Tier.DAILY)
    assert waited_for_tier(DAY - LATE, Tier.DAILY)
    assert not waited_for_tier(DAY - 2 * LATE, Tier.DAILY)
    assert not waited_for_tier(6 * DAY, Tier.WEEKLY)


def test_what_stands_still_is_read_ever_less_often_and_is_seen_when_it_rises() -> None:
    """As the number of videos grows under a fixed budget, intervals grow, and none beyond the longest wait."""
    waits = []
    for videos in (10**3, 10**5, 10**7):
        rule = ReadingRule(Sums(videos, 0.8 * videos, 0.03 * videos), readings_an_hour=100)
        still, moving = (rule.own_interval(video(10_000, gain)) for gain in (0.0, 5_000.0))
        assert moving < still <= LONGEST_WAIT
        waits.append(still)
    assert waits == sorted(waits)
    assert waits[0] < DAY
    assert waits[-1] == LONGEST_WAIT
