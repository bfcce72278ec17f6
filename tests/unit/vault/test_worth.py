"""The rule for many videos at once says of each what `core.worth` says of one."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ghost_tracking.core.gains import estimate, interval_to
from ghost_tracking.core.tiers import Tier
from ghost_tracking.core.videos import Reading
from ghost_tracking.core.worth import Known, ReadingRule, Shares, Sums, waited_for_tier
from ghost_tracking.vault import worth

HOUR = timedelta(hours=1)
READ_AT = datetime(2026, 1, 1, tzinfo=UTC)
WAITS = st.one_of(st.none(), st.just(0.0), st.floats(0.0625, 10_000).map(lambda hours: round(hours * 16) / 16))

videos = st.lists(
    st.tuples(
        st.builds(
            Known,
            st.none() | st.integers(0, 10**10),
            st.none() | st.floats(0, 1e7, allow_subnormal=False),
            st.sampled_from(list(Tier)),
        ),
        WAITS,
    ),
    max_size=20,
)
rules = st.builds(
    ReadingRule,
    st.builds(Sums, st.integers(0, 10**8), st.floats(0, 1e9), st.floats(0, 1e7)) | st.just(Sums(10**300, 1e300, 1e300)),
    st.sampled_from([0.0, 0.01, 1.0, 250.0, 1e6, math.inf]),
    st.sampled_from([Shares(), Shares(1, 0, 0), Shares(0, 0, 1), Shares(0, 0.5, 0.5)]),
)


def arrays(given: list[tuple[Known, float | None]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    def column(values: list[float | None]) -> np.ndarray:
        return np.array([math.nan if value is None else value for value in values], dtype=np.float64)

    return (
        column([known.views for known, _ in given]),
        column([known.gain for known, _ in given]),
        column([waited for _, waited in given]),
        column([known.tier.interval / HOUR for known, _ in given]),
    )


@given(rules, videos)
@example(ReadingRule(Sums(1, 1.0, 1e-311), 0.01), [(Known(536342, 1009540.0, Tier.HOURLY), 1.0)])  # beyond a float
def test_indexes_are_those_of_each(rule: ReadingRule, given: list[tuple[Known, float | None]]) -> None:
    views, gain, waited, tier_hours = arrays(given)
    waits = [None if hours is None else hours * HOUR for _, hours in given]
    expected = [rule.index(known, wait) for (known, _), wait in zip(given, waits, strict=True)]
    assert worth.index(rule, views, gain, waited, tier_hours) == pytest.approx(expected, rel=1e-9)
    intervals = [rule.own_interval(known) / HOUR for known, _ in given]
    assert worth.own_interval(rule, views, gain, tier_hours) == pytest.approx(intervals, rel=1e-6, abs=1e-9)
    considered = worth.waited_for_tier(waited, tier_hours).tolist()
    assert considered == [waited_for_tier(wait, known.tier) for (known, _), wait in zip(given, waits, strict=True)]
    decided = worth.worth(rule, views, gain, waited, tier_hours).tolist()
    for (known, _), wait, is_worth in zip(given, waits, decided, strict=True):
        late = None if wait is None else wait + timedelta(minutes=10)
        if abs(rule.index(known, late) - 1) > 1e-9:
            assert is_worth == rule.is_worth(known, wait)


@given(videos)
def test_sums_are_those_of_each(given: list[tuple[Known, float | None]]) -> None:
    views, gain, waited, _ = arrays(given)
    found = worth.sums(views, gain, waited)
    expected = Sums.of([(known, hours * HOUR) for known, hours in given if hours is not None])
    assert found.videos == len(given)
    assert found.root_gains == pytest.approx(expected.root_gains)
    assert found.root_relative == pytest.approx(expected.root_relative)


@pytest.mark.parametrize("most", [-1, 0, 1, 3, 4, 100])
def test_the_largest_come_first(most: int) -> None:
    indexes = np.array([0.5, math.inf, 0.0, 7.0, -1.0, 2.0])
    chosen = set(worth.largest(indexes, most).tolist())
    assert chosen == {1, 3, 5, 0} if most >= 4 else chosen == set([1, 3, 5, 0][: max(most, 0)])


@given(videos, st.lists(st.none() | st.integers(0, 10**10), min_size=20, max_size=20))
def test_gains_are_the_estimates_of_each(given: list[tuple[Known, float | None]], counts: list[int | None]) -> None:
    given = [(known, hours) for known, hours in given if hours is not None]
    views, gain, waited, _ = arrays(given)
    counted = np.array([math.nan if count is None else count for count in counts[: len(given)]], dtype=np.float64)
    found = worth.gains(views, gain, waited, counted)
    for (known, hours), count, value in zip(given, counts, found.tolist(), strict=False):
        reading = Reading("v", READ_AT + hours * HOUR, count, None, None, None)
        expected = estimate(interval_to(reading, known.views, READ_AT), known.gain)
        assert value == pytest.approx(math.nan if expected is None else expected, rel=1e-9, nan_ok=True)
