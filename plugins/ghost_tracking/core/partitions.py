"""The vault's partitions: one hour of observations, in UTC, each."""

import datetime as dt
import re
from dataclasses import dataclass
from typing import Self

_PATH = re.compile(r"date=(\d{4}-\d{2}-\d{2})/hour=(\d{2})", re.ASCII)


@dataclass(frozen=True, order=True, slots=True)
class Partition:
    """The hour that begins on `date` at `hour` o'clock UTC; partitions sort in time."""

    date: dt.date
    hour: int

    def __post_init__(self) -> None:
        if not 0 <= self.hour <= 23:
            raise ValueError(f"An hour is 0 to 23, not {self.hour!r}")

    @classmethod
    def of(cls, timestamp: dt.datetime) -> Self:
        """The partition that holds `timestamp`, which must be aware (ValueError otherwise)."""
        if timestamp.utcoffset() is None:
            raise ValueError(f"{timestamp!r} has no time zone")
        utc = timestamp.astimezone(dt.UTC)
        return cls(dt.date(utc.year, utc.month, utc.day), utc.hour)

    @classmethod
    def parse(cls, path: str) -> Self:
        """The partition whose `path` this is; ValueError for anything else."""
        match = _PATH.fullmatch(path)
        if match is None:
            raise ValueError(f"{path!r} is not of the form date=YYYY-MM-DD/hour=HH")
        return cls(dt.date.fromisoformat(match[1]), int(match[2]))

    @property
    def path(self) -> str:
        """`date=YYYY-MM-DD/hour=HH`: the partition's place below a folder of partitions."""
        return f"date={self.date.isoformat()}/hour={self.hour:02d}"

    @property
    def starts_at(self) -> dt.datetime:
        """The first moment of the hour (UTC)."""
        return dt.datetime.combine(self.date, dt.time(self.hour), dt.UTC)

    @property
    def ends_at(self) -> dt.datetime:
        """The first moment after the hour (UTC)."""
        return self.starts_at + dt.timedelta(hours=1)

    def __str__(self) -> str:
        return self.path
