"""Tiers and slots: the specification's timeline, and properties at the borders."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.tiers import Tier, as_utc, next_slot, tier_at

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
SECOND = timedelta(seconds=1)

zones = st.sampled_from(
    [UTC, timezone(timedelta(hours=5, minutes=45)), ZoneInfo("America/Los_Angeles"), ZoneInfo("Europe/Berlin")]
)
moments = st.datetimes(datetime(2005, 6, 1), datetime(2040, 1, 1), timezones=zones)  # noqa: DTZ001
ages = st.timedeltas(timedelta(0), timedelta(days=400))


def test_the_specifications_example_timeline() -> None:
    published = datetime(2026, 1, 1, tzinfo=UTC)
    tracked, now = [], published
    while now - published < timedelta(days=14):
        _, now = next_slot(published, now)
        tracked.append((len(tracked) + 1, now - published))
    assert tracked[0] == (1, HOUR)
    assert tracked[22] == (23, 23 * HOUR)
    assert tracked[23] == (24, DAY)
    assert tracked[24] == (25, 2 * DAY)
    assert tracked[29] == (30, WEEK)
    assert tracked[30] == (31, 2 * WEEK)
    assert len(tracked) == 31


@pytest.mark.parametrize(
    ("age", "tier"),
    [
        (timedelta(0), Tier.HOURLY),
        (DAY - SECOND, Tier.HOURLY),
        (DAY, Tier.DAILY),
        (WEEK - SECOND, Tier.DAILY),
        (WEEK, Tier.WEEKLY),
        (520 * WEEK, Tier.WEEKLY),
        (-DAY, Tier.HOURLY),
    ],
)
def test_tier_at_the_borders(age: timedelta, tier: Tier) -> None:
    assert tier_at(age) is tier


@pytest.mark.parametrize(
    ("age", "due"),
    [
        (timedelta(0), HOUR),
        (HOUR, 2 * HOUR),
        (DAY - SECOND, DAY),
        (DAY, 2 * DAY),
        (WEEK - SECOND, WEEK),
        (WEEK, 2 * WEEK),
        (-3 * DAY, HOUR),
    ],
)
def test_next_slot_at_the_borders(age: timedelta, due: timedelta) -> None:
    published = datetime(2026, 3, 8, 9, 30, tzinfo=UTC)
    assert next_slot(published, published + age)[1] - published == due


@given(moments, ages)
def test_the_next_slot_is_later_and_at_most_an_interval_away(published: datetime, age: timedelta) -> None:
    after = published.astimezone(UTC) + age
    tier, due = next_slot(published, after)
    assert due > after
    assert due - after <= tier.interval
    assert due.tzinfo is UTC


@given(moments, ages, ages)
def test_slots_never_drift(published: datetime, age: timedelta, late: timedelta) -> None:
    """Whenever a run gets to a video, its slots lie at the same ages."""
    _, due = next_slot(published, published.astimezone(UTC) + age + late)
    since = due - published.astimezone(UTC).replace(microsecond=0)
    assert since % HOUR == timedelta(0)
    assert since <= DAY or since % DAY == timedelta(0)
    assert since <= WEEK or since % WEEK == timedelta(0)


@given(moments, ages, zones)
def test_zones_do_not_matter(published: datetime, age: timedelta, zone: ZoneInfo) -> None:
    after = published.astimezone(UTC) + age
    assert next_slot(published, after) == next_slot(published.astimezone(zone), after.astimezone(zone))


def test_a_day_with_a_changed_clock_has_its_true_length() -> None:
    los_angeles = ZoneInfo("America/Los_Angeles")
    published = datetime(2026, 3, 7, 12, tzinfo=los_angeles)  # the night after has 23 hours
    assert next_slot(published, datetime(2026, 3, 8, 12, 59, tzinfo=los_angeles))[1] == datetime(
        2026, 3, 8, 13, tzinfo=los_angeles
    )


def test_leap_days_count() -> None:
    published = datetime(2028, 2, 28, 6, tzinfo=UTC)
    assert next_slot(published, published + DAY) == (Tier.DAILY, datetime(2028, 3, 1, 6, tzinfo=UTC))
    assert next_slot(published, published + WEEK)[1] == datetime(2028, 3, 13, 6, tzinfo=UTC)


def test_fractions_of_a_second_are_dropped_from_the_anchor() -> None:
    published = datetime(2026, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC)
    assert next_slot(published, datetime(2026, 1, 1, 1, tzinfo=UTC))[1] == datetime(2026, 1, 1, 2, tzinfo=UTC)


def test_airflows_own_times_become_plain_ones() -> None:
    moment = as_utc(pendulum.datetime(2026, 11, 23, 4, 0, 0, 5, tz="Europe/Berlin"))
    assert type(moment) is datetime
    assert moment == datetime(2026, 11, 23, 3, 0, 0, 5, tzinfo=UTC)
    assert (moment - HOUR).tzinfo is UTC


@pytest.mark.parametrize("naive", ["anchor", "after"])
def test_naive_times_are_refused(naive: str) -> None:
    times = dict.fromkeys(("anchor", "after"), datetime(2026, 1, 1, tzinfo=UTC))
    times[naive] = times[naive].replace(tzinfo=None)
    with pytest.raises(ValueError, match="no time zone"):
        next_slot(**times)
