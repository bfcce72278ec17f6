"""Holds what a reader finds in the vault against what the simulator says it has served."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[str, int | None, int | None, int | None]
TOLERANCE = timedelta(seconds=5)
"""A point carries the whole second in which the answer arrived, a reading the moment in which it was sent."""


@dataclass(frozen=True)
class Point:
    """One row of the vault or one served item: a video's counts at a moment, UTC."""

    video_id: str
    at: datetime
    views: int | None
    likes: int | None
    comments: int | None

    @property
    def key(self) -> Key:
        """Everything but the time."""
        return (self.video_id, self.views, self.likes, self.comments)


@dataclass(frozen=True)
class Comparison:
    """`invented`: points that nobody served. `lost`: readings that were served and are no points."""

    matched: int
    invented: list[Point]
    lost: list[Point]


def compare(points: Iterable[Point], readings: Iterable[Point]) -> Comparison:
    """Match each point with one reading of the same video and counts, served within a few seconds of it."""
    served: dict[Key, list[Point]] = defaultdict(list)
    for reading in sorted(readings, key=lambda each: each.at):
        served[reading.key].append(reading)
    matched, invented = 0, []
    for point in sorted(points, key=lambda each: each.at):
        candidates = served[point.key]
        found = next((each for each in candidates if abs(each.at - point.at) <= TOLERANCE), None)
        if found is None:
            invented.append(point)
        else:
            candidates.remove(found)
            matched += 1
    return Comparison(matched, invented, [each for left in served.values() for each in left])


def points_of_vault(metrics: Path) -> list[Point]:
    """All points, read as an analyst would: pandas on the folder."""
    import pandas as pd

    return points_of_frame(pd.read_parquet(metrics)) if metrics.exists() else []


def points_of_frame(frame: pd.DataFrame) -> list[Point]:
    """All points of a table that pandas has read."""
    columns = ["video_id", "timestamp", "views", "likes", "comments"]
    rows = frame[columns].astype(object).where(frame[columns].notna(), None)
    return [
        Point(video_id, _utc(timestamp.to_pydatetime()), _count(views), _count(likes), _count(comments))
        for video_id, timestamp, views, likes, comments in rows.itertuples(index=False, name=None)
    ]


def points_of_journal(readings: Iterable[Mapping[str, Any]]) -> list[Point]:
    """The readings that the simulator's journal lists."""
    return [
        Point(
            row["video_id"], _utc(datetime.fromisoformat(row["served_at"])), row["views"], row["likes"], row["comments"]
        )
        for row in readings
    ]


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _count(value: Any) -> int | None:
    return None if value is None else int(value)
