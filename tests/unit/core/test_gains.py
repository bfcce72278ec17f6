"""What an interval between two readings gains, and the estimate that a row keeps of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.gains import SHORTEST, STILL, Interval, estimate, interval_to
from ghost_tracking.core.schedule import WatchlistEntry, after_miss, after_reading, deferred, interval_of
from ghost_tracking.core.videos import Reading

BORN = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SMALLEST_REAL = 1.2e-38


def reading(hours: float, views: int | None) -> Reading:
    return Reading("v", BORN + hours * HOUR, views, None, None, BORN)


def interval(hours: float, gain: int) -> Interval:
    return Interval("v", BORN, BORN + hours * HOUR, 1_000, 1_000 + gain)


def test_an_interval_lies_between_two_counts() -> None:
    found = interval_to(reading(5, 70), 40, BORN + 2 * HOUR)
    assert found == Interval("v", BORN + 2 * HOUR, BORN + 5 * HOUR, 40, 70)
    assert (found.gain, found.length) == (30, 3 * HOUR)


@pytest.mark.parametrize(
    ("views", "before", "since"),
    [(None, 40, BORN), (70, None, BORN), (70, 40, None), (70, 40, BORN + 5 * HOUR), (70, 40, BORN + 6 * HOUR)],
    ids=["hidden", "hidden before", "never read", "the same moment", "an earlier moment"],
)
def test_without_two_counts_in_order_there_is_none(
    views: int | None, before: int | None, since: datetime | None
) -> None:
    assert interval_to(reading(5, views), before, since) is None


def test_a_gain_is_scaled_down_to_a_window_and_never_up() -> None:
    assert interval(7 * 24, 700).scaled(DAY) == 100
    assert interval(1, 700).scaled(DAY) == 700
    assert interval(2, -700).scaled(HOUR) == -350


def test_an_estimate_mixes_what_was_just_gained_with_what_was_known() -> None:
    assert estimate(interval(2, 100), None) == 50
    assert estimate(interval(2, 100), 10.0) == pytest.approx(0.7 * 50 + 0.3 * 10)
    assert estimate(None, 10.0) == 10.0
    assert estimate(None, None) is None


def test_a_count_that_falls_is_no_negative_gain() -> None:
    assert estimate(interval(1, -500), None) == 0
    assert estimate(interval(1, -500), 10.0) == pytest.approx(3)


def test_a_reading_by_hand_right_after_another_tells_little() -> None:
    after_a_second = estimate(interval(1 / 3600, 3), 60.0)
    assert after_a_second is not None
    assert abs(after_a_second - 60) < 1
    assert estimate(interval(1 / 3600, 3), None) == 3 / (SHORTEST / HOUR)


def test_what_stands_still_reaches_zero_and_no_number_that_sql_cannot_hold() -> None:
    known: float | None = 1e9
    for _ in range(200):
        known = estimate(interval(1, 0), known)
        assert known is not None
        assert known == 0 or known > STILL > SMALLEST_REAL
    assert known == 0


@given(
    gain=st.integers(-(2**63) + 1_001, 2**63 - 1_001),
    hours=st.floats(1 / 3600, 10_000),
    before=st.none() | st.floats(0, 1e20),
)
def test_an_estimate_is_never_negative_and_fits_into_sql(gain: int, hours: float, before: float | None) -> None:
    found = estimate(interval(hours, gain), before)
    assert found is not None
    assert 0 <= found < 1e38


# On a row of the watchlist


def test_a_row_keeps_its_last_count_and_its_gain() -> None:
    first = after_reading(WatchlistEntry("v", anchor_at=BORN), reading(1, 100))
    assert (first.views, first.gain_per_hour) == (100, None)
    second = after_reading(first, reading(2, 300))
    assert (second.views, second.gain_per_hour) == (300, 200)
    assert interval_of(first, reading(2, 300)) == Interval("v", BORN + HOUR, BORN + 2 * HOUR, 100, 300)
    third = after_reading(second, reading(4, 300))
    assert third.gain_per_hour == pytest.approx(60)


def test_a_reading_that_hides_its_count_leaves_the_one_before() -> None:
    known = WatchlistEntry("v", last_tracked_at=BORN, anchor_at=BORN, views=100, gain_per_hour=5.0)
    hidden = after_reading(known, reading(1, None))
    assert (hidden.views, hidden.gain_per_hour) == (100, 5.0)
    # so that nothing that was gained is missing from the intervals' sum
    assert interval_of(hidden, reading(2, 900)) == Interval("v", BORN + HOUR, BORN + 2 * HOUR, 100, 900)


def test_what_is_not_read_keeps_what_is_known_of_it() -> None:
    known = WatchlistEntry("v", last_tracked_at=BORN, next_track_at=BORN, anchor_at=BORN, views=100, gain_per_hour=5.0)
    for after in (after_miss(known, BORN + DAY, counted=True), deferred(known, BORN + DAY)):
        assert (after.views, after.gain_per_hour, after.last_tracked_at) == (100, 5.0, BORN)
    found = after_reading(after_miss(known, BORN + DAY, counted=True), reading(48, 340))
    assert (found.views, found.gain_per_hour) == (340, pytest.approx(0.7 * 5 + 0.3 * 5))
    assert replace(found, views=None).views is None
