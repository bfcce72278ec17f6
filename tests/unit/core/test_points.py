"""Rows of all kinds become points, or an error that says why not."""

import pickle
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.points import COLUMNS, MetricPoint, parse_point, parse_points
from ghost_tracking.errors import BadInputError, BadPointError, BadPointsError

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
SEEN = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
PUBLISHED = datetime(2026, 1, 15, 10, tzinfo=UTC)


def times(first_year: int, last_year: int) -> st.SearchStrategy[datetime]:
    first, last = datetime(first_year, 1, 2), datetime(last_year, 1, 1)  # noqa: DTZ001 - hypothesis adds the zone
    return st.datetimes(first, last, timezones=st.timezones())


def row(**changes: Any) -> dict[str, Any]:
    whole = {
        "video_id": "VIDEO_123",
        "timestamp": SEEN.isoformat(),
        "views": 1000,
        "likes": 50,
        "comments": 10,
        "published_at": "2026-01-15T10:00:00Z",
    }
    return {**whole, **changes}


def test_the_columns_stand_in_the_specifications_order() -> None:
    assert COLUMNS == ("video_id", "timestamp", "views", "likes", "comments", "published_at")


def test_the_specifications_row_is_a_point() -> None:
    assert parse_point(row(), now=NOW) == MetricPoint("VIDEO_123", SEEN, 1000, 50, 10, PUBLISHED)


@pytest.mark.parametrize(
    "timestamp",
    [
        SEEN,
        SEEN.astimezone(timezone(timedelta(hours=-8))),
        "2026-01-15T10:30:00Z",
        "2026-01-15T11:30:00+01:00",
        "2026-01-15 10:30:00+00:00",
        pd.Timestamp("2026-01-15T10:30:00Z"),
        pd.Timestamp("2026-01-15T10:30:00.000000999Z"),
    ],
)
def test_times_come_in_many_forms_and_end_up_as_plain_utc(timestamp: object) -> None:
    point = parse_point(row(timestamp=timestamp), now=NOW)
    assert point.timestamp == SEEN
    assert type(point.timestamp) is datetime
    assert point.timestamp.tzinfo is UTC


@pytest.mark.parametrize("count", [7, 7.0, np.int64(7), np.uint8(7), np.float32(7), np.float64(7)])
def test_counts_come_in_many_forms_and_end_up_as_int(count: object) -> None:
    point = parse_point(row(views=count), now=NOW)
    assert point.views == 7
    assert type(point.views) is int


@pytest.mark.parametrize("nothing", [None, float("nan"), np.nan, np.float32("nan"), pd.NaT, pd.NA])
def test_nothing_stays_nothing(nothing: object) -> None:
    point = parse_point(row(likes=nothing, published_at=nothing), now=NOW)
    assert point.likes is None
    assert point.published_at is None


def test_what_is_left_out_is_null() -> None:
    point = parse_point({"video_id": "VIDEO_123", "timestamp": SEEN}, now=NOW)
    assert point == MetricPoint("VIDEO_123", SEEN, None, None, None, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"video_id": None}, "no video_id"),
        ({"video_id": ""}, "no video_id"),
        ({"video_id": pd.NA}, "no video_id"),
        ({"video_id": 123}, "impossible video_id 123"),
        ({"video_id": "a/b"}, "impossible video_id 'a/b'"),
        ({"video_id": "a" * 21}, "impossible video_id"),
        ({"video_id": "abc\n"}, "impossible video_id"),
        ({"video_id": "vidéo"}, "impossible video_id"),
        ({"timestamp": None}, "no timestamp"),
        ({"timestamp": pd.NaT}, "no timestamp"),
        ({"timestamp": "2026-01-15T10:30:00"}, "timestamp '2026-01-15T10:30:00' has no time zone"),
        ({"timestamp": datetime(2026, 1, 15)}, "has no time zone"),  # noqa: DTZ001
        ({"timestamp": "yesterday"}, "is not ISO 8601"),
        ({"timestamp": 1_768_472_000}, "is not a time"),
        ({"timestamp": SEEN.date()}, "is not a time"),
        ({"timestamp": NOW + timedelta(seconds=6)}, "lies in the future"),
        ({"timestamp": "1970-01-01T00:00:00Z"}, "lies before YouTube"),
        ({"timestamp": "0001-01-01T00:00:00+05:00"}, "is no time in UTC"),
        ({"views": -1}, "views -1 is negative"),
        ({"likes": 1.5}, "likes 1.5 is not a whole number"),
        ({"likes": float("inf")}, "not a whole number"),
        ({"comments": True}, "comments True is not a count"),
        ({"comments": np.bool_(True)}, "is not a count"),
        ({"views": "1000"}, "views '1000' is not a count"),
        ({"views": 2**63}, "larger than 64 bits"),
        ({"published_at": "2026-01-15T10:00:00"}, "published_at '2026-01-15T10:00:00' has no time zone"),
        ({"date": "2026-01-15"}, "unknown column 'date'"),
    ],
)
def test_what_is_no_point_says_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadPointError) as caught:
        parse_point(row(**changes), now=NOW)
    assert reason in caught.value.message


def test_a_clock_that_is_a_little_ahead_is_forgiven() -> None:
    ahead = NOW + timedelta(seconds=5)
    assert parse_point(row(timestamp=ahead), now=NOW).timestamp == ahead


def test_a_premiere_is_published_in_the_future() -> None:
    later = NOW + timedelta(days=30)
    assert parse_point(row(published_at=later), now=NOW).published_at == later


def test_the_largest_count_fits() -> None:
    assert parse_point(row(views=2**63 - 1), now=NOW).views == 2**63 - 1


def test_a_point_knows_its_time_zones() -> None:
    with pytest.raises(BadPointError, match="time zone"):
        MetricPoint("VIDEO_123", SEEN.replace(tzinfo=None), 1, 1, 1, None)


def test_exact_duplicates_collapse() -> None:
    same = [row(), row(timestamp="2026-01-15T11:30:00+01:00"), row(video_id="OTHER")]
    assert [point.video_id for point in parse_points(same, NOW)] == ["VIDEO_123", "OTHER"]


def test_contradictions_are_refused() -> None:
    with pytest.raises(BadPointsError, match="row 1: contradicts an earlier row for VIDEO_123"):
        parse_points([row(), row(views=1001)], NOW)


def test_all_bad_rows_are_named_at_once() -> None:
    rows = [row(), *(row(views=-number) for number in range(1, 13)), row(video_id="OTHER")]
    with pytest.raises(BadPointsError) as caught:
        parse_points(rows, NOW)
    error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - as Airflow hands exceptions on
    assert isinstance(error, BadInputError)
    assert error.bad_rows == 12
    assert error.reasons[0] == (1, "views -1 is negative")
    assert "row 10: views -10 is negative; and 2 more" in error.message
    assert "row 11" not in error.message


@given(
    st.text(alphabet="abcXYZ019_-", min_size=1, max_size=20),
    times(2005, 2026),
    st.none() | st.integers(0, 2**63 - 1),
    st.none() | times(1990, 2100),
)
def test_a_point_parses_to_itself(
    video_id: str, timestamp: datetime, count: int | None, published_at: datetime | None
) -> None:
    given_row = row(video_id=video_id, timestamp=timestamp, views=count, published_at=published_at)
    point = parse_point(given_row, now=NOW)
    # Compared in UTC: a local time that a change of clocks skips equals nothing, not even itself elsewhere.
    expected_publication = None if published_at is None else published_at.astimezone(UTC)
    assert (point.video_id, point.timestamp) == (video_id, timestamp.astimezone(UTC))
    assert (point.views, point.published_at) == (count, expected_publication)
    again = {name: getattr(point, name) for name in COLUMNS}
    assert parse_point(again, now=NOW) == point


@given(st.dictionaries(st.sampled_from([*COLUMNS, "other"]), st.none() | st.booleans() | st.floats() | st.text()))
def test_any_row_is_a_point_or_a_bad_point(anything: dict[str, Any]) -> None:
    with suppress(BadPointError):
        assert parse_point(anything, now=NOW).timestamp <= NOW + timedelta(seconds=5)
