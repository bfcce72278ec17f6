"""A metric point: what YouTube counted for one video at one moment; and how a row of anybody's becomes one."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from numbers import Integral, Real
from typing import Any, Final

from ghost_tracking.core.video_ids import is_video_id
from ghost_tracking.errors import BadPointError, BadPointsError

CLOCK_SKEW: Final = timedelta(seconds=5)
"""How far in the future a timestamp may lie: the clocks of two workers differ by a little."""

SOON: Final = timedelta(days=1)
"""What lies further ahead than this is a mistake, and no matter of two clocks."""

EARLIEST: Final = datetime(2005, 1, 1, tzinfo=UTC)
"""YouTube opened in 2005: an earlier observation is a mistake (a zero, a wrong unit)."""

REASONS_SPELLED_OUT: Final = 10

LARGEST_COUNT: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One observation of one video; (video_id, timestamp) is its key.

    `timestamp` and `published_at` are aware (`BadPointError` otherwise); `parse_point` makes them UTC. A count is
    None when YouTube hides it.
    """

    video_id: str
    timestamp: datetime
    views: int | None
    likes: int | None
    comments: int | None
    published_at: datetime | None

    def __post_init__(self) -> None:
        if self.timestamp.tzinfo is None or (self.published_at is not None and self.published_at.tzinfo is None):
            raise BadPointError(f"{self.video_id}: a time without a time zone")


COLUMNS: Final = tuple(field.name for field in fields(MetricPoint))
"""The columns of the vault, in the specification's order."""

_COUNTS = ("views", "likes", "comments")
_KNOWN = frozenset(COLUMNS)


def is_future(moment: datetime, now: datetime) -> bool:
    """Whether `moment` lies after the present `now`, by more than clocks differ; both are aware."""
    return moment > now + CLOCK_SKEW


def refuse_future(points: Sequence[MetricPoint], now: datetime) -> None:
    """Raise one `BadPointsError` for all points in the future of `now` (aware), numbered from 0."""
    ahead = [(number, point.timestamp) for number, point in enumerate(points) if is_future(point.timestamp, now)]
    if ahead:
        raise _bad_points([(number, _future(moment)) for number, moment in ahead])


def parse_point(row: Mapping[str, Any], *, now: datetime) -> MetricPoint:
    """Make a point of `row`, or raise `BadPointError` with the reason.

    `row` maps names from `COLUMNS` to values; `video_id` and `timestamp` must be there, what else is missing is
    null. Times are aware datetimes or ISO 8601 strings with an offset or Z; what is finer than a microsecond is cut
    off. Counts are whole numbers, as Python, numpy or pandas make them. None, NaN, NaT and NA are null.
    `now` (aware) is the present: a timestamp may lie at most `CLOCK_SKEW` after it.
    """
    if not isinstance(row, Mapping):
        raise BadPointError(f"{_shown(row)} is no mapping of columns to values")
    unknown = [name for name in row if name not in _KNOWN]
    if unknown:
        raise BadPointError(f"unknown column {unknown[0]!r}")
    return MetricPoint(
        video_id=_video_id(row.get("video_id")),
        timestamp=_timestamp(row.get("timestamp"), now),
        views=_count("views", row.get("views")),
        likes=_count("likes", row.get("likes")),
        comments=_count("comments", row.get("comments")),
        published_at=_time("published_at", row.get("published_at")),
    )


def parse_points(rows: Iterable[Mapping[str, Any]], now: datetime) -> list[MetricPoint]:
    """Make points of `rows`, in their order; rows that say the same twice become one point.

    Raises one `BadPointsError` for all bad rows together, numbered from 0, among them rows that contradict an
    earlier row with the same video_id and timestamp.
    """
    points: dict[tuple[str, datetime], MetricPoint] = {}
    bad: list[tuple[int, str]] = []
    for number, row in enumerate(rows):
        try:
            point = parse_point(row, now=now)
        except BadPointError as error:
            bad.append((number, error.message))
            continue
        known = points.setdefault((point.video_id, point.timestamp), point)
        if known != point:
            reason = f"contradicts an earlier row for {point.video_id} at {point.timestamp.isoformat()}"
            bad.append((number, reason))
    if bad:
        raise _bad_points(bad)
    return list(points.values())


def _bad_points(bad: list[tuple[int, str]]) -> BadPointsError:
    shown = bad[:REASONS_SPELLED_OUT]
    message = f"{len(bad)} bad row(s), nothing was written: " + "; ".join(f"row {n}: {why}" for n, why in shown)
    if len(bad) > len(shown):
        message += f"; and {len(bad) - len(shown)} more"
    return BadPointsError(message, bad_rows=len(bad), reasons=shown)


def _video_id(value: Any) -> str:
    if _is_null(value) or value == "":
        raise BadPointError("no video_id")
    if not is_video_id(value):
        raise BadPointError(f"impossible video_id {_shown(value)}")
    return str(value)


def _timestamp(value: Any, now: datetime) -> datetime:
    moment = _time("timestamp", value)
    if moment is None:
        raise BadPointError("no timestamp")
    if is_future(moment, now):
        raise BadPointError(_future(moment))
    if moment < EARLIEST:
        raise BadPointError(f"timestamp {moment.isoformat()} lies before YouTube")
    return moment


def _future(moment: datetime) -> str:
    return f"timestamp {moment.isoformat()} lies in the future"


def _time(name: str, value: Any) -> datetime | None:
    if _is_null(value):
        return None
    moment = _from_text(name, value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise BadPointError(f"{name} {_shown(value)} is not a time")
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise BadPointError(f"{name} {_shown(value)} has no time zone")
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        raise BadPointError(f"{name} {_shown(value)} is no time in UTC") from None
    # Built again, so that a subclass (pandas' Timestamp, with nanoseconds) stays outside.
    return datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, tzinfo=UTC)


def _from_text(name: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise BadPointError(f"{name} {_shown(text)} is not ISO 8601") from None


def _count(name: str, value: Any) -> int | None:
    if _is_null(value):
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise BadPointError(f"{name} {_shown(value)} is not a count")
    if isinstance(value, Integral):
        count = operator.index(value)
    elif float(value).is_integer():
        count = int(float(value))
    else:
        raise BadPointError(f"{name} {_shown(value)} is not a whole number")
    if count < 0:
        raise BadPointError(f"{name} {count} is negative")
    if count > LARGEST_COUNT:
        raise BadPointError(f"{name} {_shown(count)} is larger than 64 bits hold")
    return count


def _is_null(value: Any) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"  # pandas' NA refuses to be true or false


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
