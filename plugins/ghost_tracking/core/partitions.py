"""The vault's partitions: one hour of observations each, in UTC; and the days and months they are compacted into."""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

_PATH = re.compile(r"date=(\d{4}-\d{2}-\d{2})/hour=(\d{2})", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MONTH = re.compile(r"\d{4}-\d{2}", re.ASCII)
_HOUR = dt.timedelta(hours=1)
_YEARS = range(1900, 9999)
"""Beyond them, the end of an hour, a day or a month can be no date."""


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
        return cls(_date(match[1]), int(match[2]))

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
        return self.starts_at + _HOUR

    def meets(self, start: dt.datetime | None, end: dt.datetime | None) -> bool:
        """Whether the hour and [start, end) have a moment in common, None being open."""
        return (end is None or self.starts_at < end) and (start is None or self.ends_at > start)

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, order=True, slots=True)
class Period:
    """A day (`2026-01-15`) or a month (`2026-01`) in UTC, from its `first` date to its `last`."""

    first: dt.date
    last: dt.date

    @classmethod
    def day(cls, date: dt.date) -> Self:
        """The day that `date` is."""
        return cls(date, date)

    @classmethod
    def month(cls, date: dt.date) -> Self:
        """The month that `date` lies in."""
        first = date.replace(day=1)
        return cls(first, (first + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1))

    @classmethod
    def parse(cls, name: str) -> Self:
        """The period of this name; ValueError for anything else."""
        if _DAY.fullmatch(name):
            return cls.day(_date(name))
        if _MONTH.fullmatch(name):
            return cls.month(_date(f"{name}-01"))
        raise ValueError(f"{name!r} is neither YYYY-MM-DD nor YYYY-MM")

    @property
    def is_month(self) -> bool:
        """Whether this is a month."""
        return self.first != self.last

    @property
    def name(self) -> str:
        """`YYYY-MM-DD` or `YYYY-MM`."""
        return f"{self.first:%Y-%m}" if self.is_month else self.first.isoformat()

    @property
    def path(self) -> str:
        """`day=YYYY-MM-DD` or `month=YYYY-MM`: the period's place below a folder of periods."""
        return f"{'month' if self.is_month else 'day'}={self.name}"

    @property
    def starts_at(self) -> dt.datetime:
        """The first moment of the period (UTC)."""
        return dt.datetime.combine(self.first, dt.time(), dt.UTC)

    @property
    def ends_at(self) -> dt.datetime:
        """The first moment after the period (UTC)."""
        return dt.datetime.combine(self.last + dt.timedelta(days=1), dt.time(), dt.UTC)

    @property
    def dates(self) -> list[dt.date]:
        """Its dates in order."""
        return [self.first + dt.timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    @property
    def hours(self) -> Iterator[Partition]:
        """Its hours in order."""
        return (Partition(date, hour) for date in self.dates for hour in range(24))

    def __contains__(self, inner: "Partition | Period") -> bool:
        if isinstance(inner, Partition):
            return self.first <= inner.date <= self.last
        return self.first <= inner.first and inner.last <= self.last

    def meets(self, start: dt.datetime | None, end: dt.datetime | None) -> bool:
        """Whether the period and [start, end) have a moment in common, None being open."""
        return (end is None or self.starts_at < end) and (start is None or self.ends_at > start)

    def __str__(self) -> str:
        return self.name


def _date(text: str) -> dt.date:
    date = dt.date.fromisoformat(text)
    if date.year not in _YEARS:
        raise ValueError(f"{text} is no date of an observation")
    return date
