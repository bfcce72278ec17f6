"""What so many videos a day take: the headline figures, and what must hold whatever the load."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.planner import Policy, plan
from ghost_tracking.core.policies import Policy as ReadingPolicy
from ghost_tracking.core.replayed import expected_errors
from ghost_tracking.core.tiers import Queue

QUOTA = {"statistics": 10_000, "search": 100, "general": 10_000}
HOLDBACKS = {"statistics": 100, "general": 1_000}
ENDLESS = dict.fromkeys(QUOTA, 10**9)
FOREVER = Policy(gone_a_week=0)


def test_the_headline_load_needs_sixty_thousand_calls_after_a_week_and_two_thousand_more_a_week() -> None:
    week, fourth = plan(100_000, ENDLESS, policy=FOREVER, horizons=(7, 28)).forecasts
    assert week.demand == pytest.approx(60_000)
    assert fourth.demand == pytest.approx(60_000 + 3 * 2_000)
    assert week.videos == {Queue.HOURLY: 100_000, Queue.DAILY: 600_000} | dict.fromkeys(list(Queue)[2:], 0)
    # half of the first day's videos' readings, then 24 a video, and on average three of six daily ones
    assert week.points == 100_000 * (24 * 6.5 + 6 * 3)


def test_sql_is_bounded_where_nobody_leaves_and_a_row_stands_for_five_thousand() -> None:
    month, year, years = plan(100_000, ENDLESS, policy=FOREVER, horizons=(30, 365, 1826)).forecasts
    assert month.sql["watchlist"] == years.sql["watchlist"]
    assert month.sql["videos"] == years.sql["videos"]
    a_year = 365.25 * 100_000 / 5_000 * FOREVER.weights.roster_row
    assert years.sql["roster"] - year.sql["roster"] == pytest.approx(4 * a_year, rel=0.01)


def test_who_has_left_a_chunk_weighs_in_sql_too() -> None:
    (years,) = plan(100_000, ENDLESS, policy=Policy(gone_a_week=0.001), horizons=(1826,)).forecasts
    assert years.videos[Queue.GONE] == pytest.approx(100_000 * 1818 * 0.12, rel=0.05)
    assert years.sql["roster"] > 2 * years.videos[Queue.GONE]


def test_what_quota_there_is_decides_how_long_videos_wait_on_average() -> None:
    planned = plan(100_000, QUOTA, holdbacks=HOLDBACKS)
    # metadata of the new ones takes more than the reserve
    assert (planned.hunter, planned.short_from_day) == (2_000, 1)
    for forecast in planned.forecasts:
        assert (forecast.capacity, forecast.calls) == (18_000, 18_000)
        assert forecast.slowdown == pytest.approx(forecast.demand / 18_000)
        assert forecast.intervals[Queue.HOURLY] == timedelta(hours=1) * forecast.slowdown
    assert planned.forecasts[0].intervals[Queue.DAILY] == timedelta(days=1) * 10 / 3


def test_the_policies_stand_side_by_side() -> None:
    (year,) = plan(15_000, QUOTA, holdbacks=HOLDBACKS, policy=FOREVER, horizons=(365,)).forecasts
    tiers, thrifty, adaptive = year.policies
    assert [each.policy for each in year.policies] == list(ReadingPolicy)
    assert (tiers.calls, adaptive.calls) == (year.calls, year.capacity)
    assert thrifty.calls == pytest.approx(year.demand / 2, rel=0.001)
    assert tiers.points == 50 * tiers.calls
    assert tiers.interval == timedelta(days=1) * (sum(year.videos.values()) / tiers.points)
    assert tiers.errors == expected_errors(ReadingPolicy.TIERS, tiers.calls / year.demand)
    assert thrifty.errors is not None
    assert adaptive.errors is not None
    assert thrifty.errors.held < 1.02 < tiers.errors.held if tiers.errors else False
    assert adaptive.errors.held < 0.5
    # where the quota gives less than thrifty asks for, it does what tiers do
    (short,) = plan(30_000, QUOTA, holdbacks=HOLDBACKS, policy=FOREVER, horizons=(365,)).forecasts
    assert short.policies[0].calls == short.policies[1].calls == short.capacity
    assert short.policies[0].errors == short.policies[1].errors is not None
    (greedy,) = plan(15_000, QUOTA, policy=Policy(gone_a_week=0, thrifty_saves=0.0), horizons=(30,)).forecasts
    assert greedy.policies[1].calls == greedy.policies[0].calls


def test_without_quota_or_videos_there_is_nothing_to_compare() -> None:
    (nothing,) = plan(100, dict.fromkeys(QUOTA, 0), horizons=(30,)).forecasts
    assert [(each.calls, each.interval, each.errors) for each in nothing.policies] == [(0, None, None)] * 3
    (nobody,) = plan(0, QUOTA, horizons=(30,)).forecasts
    assert [(each.calls, each.interval) for each in nobody.policies] == [(0, None)] * 3
    assert json.dumps([each.as_dict() for each in nobody.policies], allow_nan=False)


def test_the_day_on_which_the_quota_is_no_longer_enough() -> None:
    planned = plan(15_000, QUOTA, holdbacks=HOLDBACKS, policy=FOREVER, horizons=(7, 365))
    day = planned.short_from_day
    assert day is not None
    assert planned.hunter == 1_000
    before, after = plan(15_000, QUOTA, holdbacks=HOLDBACKS, policy=FOREVER, horizons=(day - 1, day)).forecasts
    assert before.slowdown == 1 < after.slowdown
    assert plan(1_000, QUOTA, horizons=(365,)).short_from_day is None


def test_hours_that_are_dropped_and_points_that_expire_weigh_nothing() -> None:
    policies = [
        Policy(),
        Policy(vault_keep_hours=False),
        Policy(vault_retention_days=90),
        Policy(vault_keep_hours=False, vault_retention_days=90),
    ]
    everything, compacted, recent, least = (
        plan(10_000, QUOTA, policy=policy, horizons=(1826,)).forecasts[0].vault for policy in policies
    )
    assert compacted == everything | {"hours": compacted["hours"]}
    assert compacted["hours"] < everything["hours"] / 1_000
    assert recent["history"] < everything["history"] / 10
    assert recent["metadata"] == 90 * 10_000 * Policy().weights.metadata
    assert least == recent | {"hours": compacted["hours"]}


@given(
    new_a_day=st.integers(0, 1_000_000),
    budgets=st.fixed_dictionaries(dict.fromkeys(QUOTA, st.integers(0, 200_000))),
    holdbacks=st.fixed_dictionaries(dict.fromkeys(HOLDBACKS, st.integers(0, 300_000))),
    gone=st.floats(0, 0.5),
    keep_hours=st.booleans(),
)
def test_no_load_and_no_quota_break_the_model(
    new_a_day: int, budgets: dict[str, int], holdbacks: dict[str, int], gone: float, keep_hours: bool
) -> None:
    policy = Policy(gone_a_week=gone, vault_keep_hours=keep_hours)
    planned = plan(new_a_day, budgets, holdbacks=holdbacks, policy=policy, horizons=(1, 10, 100))
    json.dumps(planned.as_dict(), allow_nan=False)
    points, total = 0, 0
    for forecast in planned.forecasts:
        assert forecast.calls <= forecast.capacity <= budgets["statistics"] + budgets["general"]
        assert forecast.points <= 50 * forecast.capacity * forecast.days + 1
        assert sum(forecast.videos.values()) == pytest.approx(new_a_day * forecast.days, abs=3)
        assert min(*forecast.videos.values(), *forecast.sql.values(), *forecast.vault.values()) >= 0
        assert forecast.points >= points
        assert forecast.vault_bytes - forecast.vault["staged"] >= total
        points, total = forecast.points, forecast.vault_bytes - forecast.vault["staged"]


def test_weights_can_be_told() -> None:
    heavy = replace(FOREVER, weights=replace(FOREVER.weights, video_row=1_000))
    (week,) = plan(100, QUOTA, policy=heavy, horizons=(7,)).forecasts
    assert week.sql["videos"] == 700_000
