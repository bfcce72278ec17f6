"""The day's quota, spread over its runs: never over it, evenly where it is short, all of it where it is not."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.budgets import Balance, Bucket
from ghost_tracking.core.pacing import (
    RUN_INTERVAL,
    PacificDay,
    QuotaStatus,
    allowance,
    calls_a_day,
    pacific_day,
    quota_status,
    runs_out_at,
    set_aside,
    slowdown,
)
from ghost_tracking.core.tiers import Queue

HOUR = timedelta(hours=1)
NOON = datetime(2026, 7, 1, 19, tzinfo=UTC)  # 12:00 in Los Angeles
SPRING, AUTUMN = datetime(2026, 3, 8, 12, tzinfo=UTC), datetime(2026, 11, 1, 12, tzinfo=UTC)
DAYS = {23: SPRING, 24: NOON, 25: AUTUMN}
EMPTY = dict.fromkeys(Queue, 0)


@pytest.mark.parametrize(("hours", "moment"), DAYS.items())
def test_a_pacific_day_has_23_to_25_hours(hours: int, moment: datetime) -> None:
    day = pacific_day(moment)
    assert day.length == hours * HOUR
    assert (pacific_day(day.start), pacific_day(day.end).start) == (PacificDay(day.start, day.start, day.end), day.end)
    last = day.end - timedelta(microseconds=1)
    assert pacific_day(last).remaining == timedelta(microseconds=1)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        pacific_day(NOON.replace(tzinfo=None))


def test_the_headline_load_needs_sixty_thousand_calls_and_two_thousand_more_each_week() -> None:
    load = {Queue.HOURLY: 100_000, Queue.DAILY: 600_000}
    assert calls_a_day(load) == pytest.approx(60_000)
    assert calls_a_day(load | {Queue.ROSTER: 700_000}) == pytest.approx(62_000)
    assert calls_a_day({Queue.GONE: 1_400}) == pytest.approx(1)


def runs(day: PacificDay, late: timedelta = timedelta(seconds=7)) -> Iterator[datetime]:
    moment = day.start + late
    while moment < day.end:
        yield moment
        moment += RUN_INTERVAL


def spend_a_day(hours: int, budget: int, need_a_day: float, backlog: int = 0) -> list[int]:
    """Calls spent in each hour when so much becomes due evenly, and each run spends what it may."""
    day = pacific_day(DAYS[hours])
    left, due, spent = budget, float(backlog), [0] * hours
    for now in runs(day):
        calls = min(int(due), allowance(left, int(due), need_a_day, day.end - now))
        assert 0 <= calls <= left
        left, due = left - calls, due - calls + need_a_day * (RUN_INTERVAL / timedelta(days=1))
        spent[(now - day.start) // HOUR] += calls
    return spent


@pytest.mark.parametrize("hours", DAYS)
@pytest.mark.parametrize("budget", [30, 100, 288, 500, 20_000])
def test_with_half_of_what_is_needed_the_last_hour_is_served_as_the_first(hours: int, budget: int) -> None:
    spent = spend_a_day(hours, budget, need_a_day=2 * budget, backlog=budget)
    assert sum(spent) == budget
    even = budget / hours
    assert max(abs(hour - even) for hour in spent) <= max(2, 0.01 * even)


@pytest.mark.parametrize("hours", DAYS)
def test_with_enough_nothing_is_held_back(hours: int) -> None:
    spent = spend_a_day(hours, 20_000, need_a_day=10_000, backlog=5_000)
    assert spent[0] > 5_000
    assert sum(spent) == pytest.approx(5_000 + 10_000 * hours / 24, abs=50)


def test_a_backlog_drains_without_starving_the_last_hours() -> None:
    spent = spend_a_day(24, 20_000, need_a_day=12_000, backlog=30_000)
    assert sum(spent) == 20_000
    assert max(spent) - min(spent) <= 3


def test_quota_that_returns_in_the_middle_of_the_day_is_spread_over_its_rest() -> None:
    day = pacific_day(NOON)
    left, spent = 100, dict.fromkeys(range(24), 0)
    for now in runs(day):
        left += 10_000 * (now - day.start == 12 * HOUR + timedelta(seconds=7))
        calls = allowance(left, 50_000, 20_000, day.end - now)
        left -= calls
        spent[(now - day.start) // HOUR] += calls
    assert left == 0
    assert max(spent[hour] for hour in range(12)) <= 6
    assert all(abs(spent[hour] - 10_050 / 12) <= 2 for hour in range(12, 24))


@given(
    budget=st.integers(0, 30_000),
    need=st.floats(0, 200_000),
    hours=st.sampled_from(list(DAYS)),
    actions=st.lists(
        st.tuples(st.integers(0, 1_000_000), st.integers(0, 100), st.integers(1, 200), st.booleans()), max_size=40
    ),
)
def test_no_sequence_of_runs_spends_more_than_there_is(
    budget: int, need: float, hours: int, actions: list[tuple[int, int, int, bool]]
) -> None:
    """Runs at any time, with any backlog, by hand too, while others spend."""
    now, end = pacific_day(DAYS[hours]).start, pacific_day(DAYS[hours]).end
    left = budget
    for due, others, minutes, manual in actions:
        status = status_of({Queue.DAILY: int(need * 50)}, {Queue.DAILY: due * 50}, budget - left, at=now, budget=budget)
        may = status.allowed_manual if manual else status.allowed
        assert 0 <= status.allowed <= status.allowed_manual <= left
        left -= min(may, due)
        left -= min(others, left)
        now += timedelta(minutes=minutes)
        if now >= end:
            break
    assert left >= 0


@given(st.integers(1, 5_000), st.integers(0, 20_000), st.sampled_from(list(DAYS)))
def test_what_is_short_is_used_up_by_midnight_and_no_run_is_far_from_the_even_share(
    budget: int, more: int, hours: int
) -> None:
    day = pacific_day(DAYS[hours])
    left = budget
    moments = list(runs(day))
    for now in moments:
        calls = allowance(left, budget + more + 1, 0, day.end - now)
        assert abs(calls - budget / len(moments)) <= 2
        left -= calls
    assert left == 0


def test_reserves_shrink_with_the_day() -> None:
    day = pacific_day(NOON)
    at = [set_aside(1_000, pacific_day(day.start + part * day.length)) for part in (0, 0.5, 0.75, 0.9999)]
    assert at == [1_000, 500, 250, 1]
    assert set_aside(0, day) == 0


def test_relative_lateness_stretches_all_intervals_alike() -> None:
    assert [slowdown(need, 20_000) for need in (0, 20_000, 60_000)] == [1, 1, 3]
    assert slowdown(0, 0) == 1
    status = status_of({Queue.HOURLY: 100_000, Queue.DAILY: 600_000}, {}, 0, budget=20_000)
    assert status.intervals[Queue.HOURLY] == 3 * HOUR
    assert status.intervals[Queue.ROSTER] == timedelta(days=21)
    assert status_of({Queue.DAILY: 1}, {}, 0, budget=0).intervals[Queue.DAILY] is None


@pytest.mark.parametrize(
    ("left", "due", "need", "expected"),
    [
        (100, 101, 0, NOON),
        (100, 100, 0, None),
        (1_000, 400, 2_400, NOON + 6 * HOUR),
        (1_000, 400, 1_200, None),
        (0, 0, 24, NOON),
        (0, 0, 0, None),
    ],
)
def test_when_it_runs_out(left: int, due: int, need: float, expected: datetime | None) -> None:
    assert runs_out_at(left, due, need, pacific_day(NOON)) == expected


def status_of(
    videos: dict[Queue, int],
    due: dict[Queue, int],
    spent: int,
    at: datetime = NOON,
    budget: int = 1_000,
    general: Balance | None = None,
    **more: bool,
) -> QuotaStatus:
    balances = {
        Bucket.STATISTICS: Balance(budget, spent, **more),
        Bucket.SEARCH: Balance(100),
        Bucket.GENERAL: general or Balance(0),
    }
    holdbacks = {Bucket.STATISTICS: 100, Bucket.GENERAL: 200}
    return quota_status(EMPTY | videos, EMPTY | due, balances, holdbacks, pacific_day(at))


def test_both_buckets_count_and_each_keeps_its_holdback() -> None:
    status = status_of({Queue.HOURLY: 10}, {Queue.HOURLY: 10}, 300, general=Balance(1_000, 500))
    # at noon half of each reserve is kept
    assert (status.left, status.allowed, status.allowed_manual) == (650 + 400, 1_050, 1_100)
    assert (status.capacity, status.spent, status.calls_due, status.is_paced) == (1_800, 800, 1, False)


def test_a_run_by_hand_has_its_reserve_on_top_of_its_share() -> None:
    status = status_of({Queue.HOURLY: 100_000}, {Queue.HOURLY: 100_000}, 0)
    assert status.is_paced
    assert status.allowed in {6, 7}  # 950 calls for 144 runs
    assert status.allowed_manual == status.allowed + 50


def test_a_bucket_that_youtube_called_empty_is_tried_once_more() -> None:
    due = {Queue.HOURLY: 100_000}
    refused = status_of(due, due, 10, is_exhausted=True, is_refused=True)
    assert (refused.allowed, refused.allowed_manual) == (0, 0)
    tried = status_of(due, due, 10, is_exhausted=True)
    assert (tried.allowed, tried.allowed_manual) == (1, 1)


def test_the_status_is_plain_data() -> None:
    for status in (status_of({}, {}, 0), status_of({Queue.DAILY: 50_000}, {Queue.DAILY: 77}, 0, budget=0)):
        plain = json.loads(json.dumps(status.as_dict(), allow_nan=False))
        assert plain["readings"]["due"] == status.due[Queue.DAILY]
        assert set(plain["interval_seconds"]) == set(Queue)
    assert (plain["slowdown"], plain["calls"]["demand_a_day"], plain["runs_out_at"]) == (None, 1_000, NOON.isoformat())
