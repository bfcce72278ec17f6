"""Which files of a vault to read so that every point is met once. Needs nothing but Python.

The vault has points in `metrics/` (one file an hour) and, once a day is compacted, in `history/` (files by video, named
by its manifest). An hour's file has all points of its hour, unless it is *changed* (late points may be in the file
alone), or *compacted-only* (it was given up: all points are in the history), or has fewer points than the history has
of that hour (somebody has removed it, and points came late; or has restored a part of it).
"""

import datetime as dt
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HOUR = dt.timedelta(hours=1)
Moment = dt.datetime | None


@dataclass(frozen=True)
class Hour:
    """An hour's file under `metrics/`."""

    file: str
    starts: dt.datetime

    @property
    def ends(self) -> dt.datetime:
        """The first moment after the hour."""
        return self.starts + HOUR


@dataclass(frozen=True)
class HistoryFile:
    """A file of the history: the points of the videos from `first` to `last` of a day or month."""

    file: str
    starts: dt.datetime
    ends: dt.datetime
    first: str
    last: str


@dataclass(frozen=True)
class Reading:
    """Files that hold every point of a question once, but for those that `changed` hours repeat of the history.

    `changed` are all hours that are not whole and may have points that the history lacks.

    Of the history only the points of these `hours` count, whose beginnings they are; None: of all.
    """

    plain: list[str]
    history: list[str]
    hours: list[dt.datetime] | None
    changed: list[str]


@dataclass(frozen=True)
class VaultFiles:
    """What a vault consists of, at one moment."""

    history: tuple[HistoryFile, ...]
    files: tuple[Hour, ...]
    changed: frozenset[dt.datetime]
    compacted_only: frozenset[dt.datetime]
    compacted: dict[dt.datetime, int]
    """How many points the history has of an hour; without those that have none."""
    compacted_days: frozenset[dt.date]

    @classmethod
    def of(cls, root: str | os.PathLike[str]) -> "VaultFiles":
        """Look at the folder `root`; one that is not there holds nothing."""
        folder = Path(root)
        while True:
            manifest = _manifest(folder / "history/manifest.json")
            found = cls._of(folder, json.loads(manifest or "{}"))
            if _manifest(folder / "history/manifest.json") == manifest:  # else it was compacted meanwhile
                return found

    @classmethod
    def _of(cls, folder: Path, manifest: dict) -> "VaultFiles":
        days = {dt.date.fromisoformat(name): day for name, day in manifest.get("days", {}).items()}
        parts = (path.parent for path in folder.glob("_staging/parts/*/*/*") if path.suffix in {".part", ".parquet"})
        changed = {_hour(*path.split("/")) for path in manifest.get("stale", [])}
        changed |= {_hour(path.parent.name, path.name) for path in set(parts)}
        return cls(
            history=tuple(
                HistoryFile(str(folder / file["path"]), *_period(file["period"]), file["first"], file["last"])
                for file in manifest.get("files", [])
            ),
            files=tuple(
                Hour(str(path), _hour(path.parent.parent.name, path.parent.name))
                for path in sorted(folder.glob("metrics/date=*/hour=*/stats.parquet"))
            ),
            changed=frozenset(hour for hour in changed if hour.date() in days),
            compacted_only=frozenset(
                _at(day, hour) for day, each in days.items() for hour in each.get("compacted_only", [])
            ),
            compacted={
                _at(day, hour): each["rows"][hour]
                for day, each in days.items()
                for hour in range(24)
                if each["rows"][hour]
            },
            compacted_days=frozenset(days),
        )

    def by_time(self, points_in: Callable[[str], int], since: Moment = None, until: Moment = None) -> Reading:
        """For a question about all videos in [since, until): hours where they are whole, else the history.

        `points_in` tells how many rows a Parquet file has, of which its footer suffices.
        """
        files = [each for each in self.files if _meets(each.starts, each.ends, since, until)]
        whole = {each.starts for each in files if self._is_whole(each, points_in)}
        lacking = sorted(hour for hour in self.compacted.keys() - whole if _meets(hour, hour + HOUR, since, until))
        return Reading(
            plain=[each.file for each in files if each.starts in whole],
            history=[each.file for each in self.history if any(each.starts <= hour < each.ends for hour in lacking)],
            hours=lacking,
            changed=[each.file for each in files if each.starts not in whole and each.starts not in self._given_up],
        )

    def _is_whole(self, hour: Hour, points_in: Callable[[str], int]) -> bool:
        """Whether a file has all points of its hour: at least as many as the history, which have all but late ones."""
        if hour.starts in self.changed or hour.starts in self.compacted_only:
            return False
        return hour.starts not in self.compacted or points_in(hour.file) >= self.compacted[hour.starts]

    @property
    def _given_up(self) -> frozenset[dt.datetime]:
        """Hours whose points are all in the history, whatever stands in their place."""
        return self.compacted_only - self.changed

    def by_video(self, video: str | None = None) -> Reading:
        """For a question about one video (None: about all) at all times: the history of the days that are compacted."""
        return Reading(
            plain=[each.file for each in self.files if each.starts.date() not in self.compacted_days],
            history=[each.file for each in self.history if video is None or each.first <= video <= each.last],
            hours=None,
            changed=[each.file for each in self.files if each.starts in self.changed],
        )


def _manifest(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _at(day: dt.date, hour: int) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(hour), dt.UTC)


def _hour(date: str, hour: str) -> dt.datetime:
    return _at(dt.date.fromisoformat(date.removeprefix("date=")), int(hour.removeprefix("hour=")))


def _period(name: str) -> tuple[dt.datetime, dt.datetime]:
    """The bounds of `2026-01-15` or `2026-01`."""
    first = dt.date.fromisoformat(f"{name}-01"[:10])
    is_day = len(name) == 10
    after = first + dt.timedelta(days=1 if is_day else 31)
    return _at(first, 0), _at(after if is_day else after.replace(day=1), 0)


def _meets(starts: dt.datetime, ends: dt.datetime, since: Moment, until: Moment) -> bool:
    return (until is None or starts < until) and (since is None or ends > since)
