"""A settled video that takes off again is hot; a counter that stumbles is not."""

import csv
from bisect import bisect_left
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from connections import recorded
from ghost_tracking.core.promotion import FALLEN_FOR, PromotionRule
from promotion_oracle import Trend, gain_a_day, is_hot, trend_after

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY, WEEK = timedelta(days=1), timedelta(days=7)
RULE = PromotionRule(factor=5, least_views_a_day=1_000, lasts=WEEK)


def hot_readings(views: list[int | None], rule: PromotionRule | None = RULE, step: timedelta = WEEK) -> list[int]:
    """Which of these readings, a `step` apart, are hot."""
    trend, hot = None, []
    for number, count in enumerate(views):
        at = START + number * step
        hot += [number] if is_hot(trend, count, at, rule) else []
        trend = trend_after(trend, count, at)
    return hot


def test_a_video_is_promoted_that_gains_so_many_times_what_it_gained_and_enough() -> None:
    assert hot_readings([0, 7_000, 42_000]) == [2]
    assert hot_readings([0, 7_000, 41_999]) == []
    assert hot_readings([0, 7_000, 41_999], PromotionRule(4, 1_000, WEEK)) == [2]
    assert hot_readings([0, 7, 7_006, 7_007]) == []
    assert hot_readings([0, 7, 7_007]) == [2]
    assert hot_readings([5, 5, 5, 7_005]) == [3]
    assert hot_readings([0, 7_000, 42_000, 42_000 + 35_000]) == [2]  # as fast as before, not faster
    assert hot_readings([0, 7_000, 10**9], rule=None) == []


def test_two_readings_do_not_tell() -> None:
    assert hot_readings([0, 10**9]) == []
    assert hot_readings([None, 0, None, 10**9, None]) == []
    assert trend_after(None, None, START) is None


def test_a_recovery_after_a_fall_is_no_promotion() -> None:
    growing = [100_000, 107_000, 114_000]
    assert hot_readings([*growing, 10_000, 128_000]) == []
    assert hot_readings([*growing, None, 128_000]) == []
    assert hot_readings([*growing, 113_999, 10_000, 135_000, 142_000]) == []
    # but it does not hide any either: 70,000 and more in the two weeks since the highest
    assert hot_readings([*growing, 10_000, 184_000]) == [4]


def test_views_that_youtube_has_removed_are_forgotten_in_time() -> None:
    at = START + FALLEN_FOR
    before = Trend(1_000_000, START, 50)
    assert trend_after(before, 10, at) == before
    assert trend_after(before, 10, at + timedelta(seconds=1)) == Trend(10, at + timedelta(seconds=1))


def test_readings_within_a_day_are_not_compared() -> None:
    before = Trend(1_000, START, 10)
    for at in (START, START - DAY, START + DAY - timedelta(seconds=1)):
        assert trend_after(before, 10**6, at) == before
        assert gain_a_day(before, 10**6, at) is None
    assert trend_after(before, 2_500, START + 1.5 * DAY) == Trend(2_500, START + 1.5 * DAY, 1_000)


def series() -> list[list[tuple[datetime, int]]]:
    found = defaultdict(list)
    with recorded("recorded_series.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            at = datetime.fromisoformat(row["observed_at"])
            found[row["video_id"]].append((at, int(row["views"])))
    return [sorted(each) for each in found.values()]


def test_recorded_videos_that_fade_are_never_promoted_though_their_counters_fall_and_recover() -> None:
    assert sum(after < before for each in series() for (_, before), (_, after) in pairwise(each)) > 50
    compared = 0
    for each in series():
        times = [at for at, _ in each]
        for start in range(0, len(each), 10):
            trend, number = None, start
            while number < len(each):
                at, views = each[number]
                compared += trend is not None and trend.gain_a_day is not None
                assert not is_hot(trend, views, at, PromotionRule(1.2, 1, WEEK))
                trend = trend_after(trend, views, at)
                number = bisect_left(times, at + WEEK)
    assert compared > 1_000


def test_a_recorded_video_that_is_lifted_up_is_promoted_with_the_next_reading() -> None:
    for each in series():
        times, last = [at for at, _ in each], None
        weekly = []
        at = times[0]
        while at <= times[-1]:
            weekly.append(each[bisect_left(times, at)][1])
            at += WEEK
        gains = [after - before for before, after in pairwise(weekly)]
        last = weekly[-1] + max(6 * gains[-1], 7_000)
        assert hot_readings([*weekly, last]) == [len(weekly)]
