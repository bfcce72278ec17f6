"""Partitions: an hour in UTC, its path, its order."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.partitions import Partition

aware_times = st.datetimes(
    dt.datetime(2005, 1, 2),  # noqa: DTZ001 - hypothesis adds the zone
    dt.datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.timezones(),
)


def test_the_path_is_that_of_the_specification() -> None:
    assert Partition.of(dt.datetime(2026, 1, 15, 10, 59, 59, 999_999, dt.UTC)).path == "date=2026-01-15/hour=10"
    assert Partition.of(dt.datetime(2026, 1, 15, 9, tzinfo=dt.UTC)).path == "date=2026-01-15/hour=09"


def test_the_hour_is_that_of_utc() -> None:
    tokyo = dt.timezone(dt.timedelta(hours=9))
    assert Partition.of(dt.datetime(2026, 1, 1, 8, 30, tzinfo=tokyo)) == Partition(dt.date(2025, 12, 31), 23)


def test_the_border_belongs_to_the_later_hour() -> None:
    midnight = dt.datetime(2026, 1, 16, tzinfo=dt.UTC)
    before = Partition.of(midnight - dt.timedelta(microseconds=1))
    assert before == Partition(dt.date(2026, 1, 15), 23)
    assert before.ends_at == midnight == Partition.of(midnight).starts_at


@given(aware_times)
def test_a_partition_holds_its_moment_and_its_path_leads_back(moment: dt.datetime) -> None:
    partition = Partition.of(moment)
    assert partition.starts_at <= moment < partition.ends_at
    assert Partition.parse(partition.path) == partition
    assert str(partition) == partition.path


@given(aware_times, aware_times)
def test_partitions_and_their_paths_sort_in_time(one: dt.datetime, other: dt.datetime) -> None:
    a, b = Partition.of(one), Partition.of(other)
    assert (a < b) == (a.path < b.path) == (a.starts_at < b.starts_at)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "date=2026-01-15",
        "date=2026-1-15/hour=10",
        "date=2026-01-15/hour=1",
        "date=2026-01-15/hour=24",
        "date=2026-02-30/hour=10",
        "date=2026-01-15/hour=10/",
        "/date=2026-01-15/hour=10",
        "date=2026-01-15/hour=10\n",
        "date=２０２６-01-15/hour=10",
    ],
)
def test_nothing_else_is_a_path(path: str) -> None:
    with pytest.raises(ValueError, match=r"form|hour|day|month|isoformat"):
        Partition.parse(path)


def test_a_naive_time_has_no_partition() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Partition.of(dt.datetime(2026, 1, 15, 10))  # noqa: DTZ001
