"""The manifest of `history/`: which hours are compacted, into which files, and which of them have changed since."""

import datetime as dt
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property, partial
from typing import Annotated, Final, Literal, Self

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit.caches import VersionCache
from ghost_tracking.vault.kit.manifests import Count, Manifest, retry_overtaken
from ghost_tracking.vault.kit.names import named_at
from ghost_tracking.vault.points.tables import Checksum, checksums
from ghost_tracking.vault.storage import Storage, Version

_NONE: Final = Checksum(0, 0)
_NAME: Final = re.compile(r"\d{8}T\d{6}-[0-9a-f]{12}-\d{3,6}\.parquet", re.ASCII)
_Hash = Annotated[str, Field(pattern=r"^(?:[0-9a-f]{16})?$")]
_Hour = Annotated[int, Field(ge=0, le=23)]


def _day(name: str) -> str:
    if Period.parse(name).is_month:
        raise ValueError(f"{name} is no day")
    return name


def _hour(path: str) -> str:
    Partition.parse(path)
    return path


class HistoryFile(BaseModel):
    """A file of the points of a period, of the videos from `first` to `last`; its points and its size in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    period: str
    points: Count
    bytes: Count
    first: str
    last: str

    @model_validator(mode="after")
    def _is_of_its_period(self) -> Self:
        """Stands where `HistoryWriter` puts the files of its period, and nowhere else."""
        folder, _, name = self.path.rpartition("/")
        if folder != f"{layout.HISTORY}/{Period.parse(self.period).path}" or not _NAME.fullmatch(name):
            raise ValueError(f"{self.path[:100]!r} is no file of the history of {self.period[:20]!r}")
        return self


class CompactedDay(BaseModel):
    """Of each of the 24 hours of a day: how many points of it are in the history, and their hash (hexadecimal).

    `compacted_only` are the hours whose file under `metrics/` was given up: one that stands there all the same is not
    whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: Annotated[tuple[Count, ...], Field(min_length=24, max_length=24)]
    hash: Annotated[tuple[_Hash, ...], Field(min_length=24, max_length=24)]
    compacted_only: tuple[_Hour, ...] = ()

    @classmethod
    def of(cls, date: dt.date, hours: Mapping[Partition, Checksum], compacted_only: tuple[int, ...]) -> Self:
        """The day `date` of these hours."""
        by_hour = [hours.get(Partition(date, hour), _NONE) for hour in range(24)]
        return cls(
            rows=tuple(each.rows for each in by_hour),
            hash=tuple(f"{each.hash:016x}" if each.rows else "" for each in by_hour),
            compacted_only=compacted_only,
        )

    def checksum(self, hour: int) -> Checksum:
        """What is in the history of this hour."""
        return Checksum(self.rows[hour], int(self.hash[hour] or "0", 16))


class HistoryManifest(Manifest):
    """What is compacted.

    `stale`: compacted hours with points in `metrics/` that the history lacks, as paths of partitions.
    """

    version: Literal[1] = 1
    files: tuple[HistoryFile, ...] = ()
    days: dict[Annotated[str, AfterValidator(_day)], CompactedDay] = Field(default_factory=dict)
    stale: tuple[Annotated[str, AfterValidator(_hour)], ...] = ()

    @property
    def periods(self) -> list[Period]:
        """The days and months that have files, in order; a day within such a month counts as the month's."""
        found = {Period.parse(each.period) for each in self.files}
        return sorted(each for each in found if each.is_month or Period.month(each.first) not in found)

    def holds(self, date: dt.date) -> bool:
        """Whether this date is compacted."""
        return date.isoformat() in self.days

    def files_of(self, period: Period) -> list[HistoryFile]:
        """The files of a period, and of days within it."""
        return [each for each in self.files if Period.parse(each.period) in period]

    def stale_hours(self, period: Period) -> list[Partition]:
        """The stale hours of a period, in order."""
        return sorted(hour for hour in map(Partition.parse, self.stale) if hour in period)

    def checksums(self, period: Period) -> dict[Partition, Checksum]:
        """What is in the history of each hour of a period; hours without points are absent."""
        found: dict[Partition, Checksum] = {}
        for date in period.dates:
            if (day := self.days.get(date.isoformat())) is not None:
                found |= {Partition(date, hour): day.checksum(hour) for hour in range(24) if day.rows[hour]}
        return found

    def is_whole(self, hour: Partition, rows: int) -> bool:
        """Whether a file of so many points under `metrics/` has all points of its hour, so that the history has no
        more.

        This is the one rule by which readers, recipes, `verify` and `repair` tell a whole hour from what somebody
        left, restored or added of one: of a compacted day, a file that is neither stale nor compacted-only and has at
        least as many points as the history. Those have all points of every hour that is not stale, so as many are the
        same ones.
        """
        known = self.checksum(hour)
        return known is None or (rows >= known.rows and not self.is_stale(hour) and not self.is_compacted_only(hour))

    def points(self, hour: Partition, rows: int, *, changed: bool) -> int:
        """How many points an hour has whose file has `rows`; `changed`: some may be in the file alone.

        Too few where somebody had removed the file and more points came late than there were, until these are
        compacted.
        """
        known = self.checksum(hour)
        if known is None or (rows >= known.rows and not self.is_compacted_only(hour)):
            return rows
        return known.rows + rows if changed else known.rows

    def is_stale(self, hour: Partition) -> bool:
        """Whether its file may have points that the history lacks."""
        return hour.path in self._stale

    @cached_property
    def _stale(self) -> frozenset[str]:
        return frozenset(self.stale)

    def is_compacted_only(self, hour: Partition) -> bool:
        """Whether the file of this hour was given up, so that the history alone has all its points."""
        return hour.hour in self._compacted_only_of(hour.date)

    def _compacted_only_of(self, date: dt.date) -> tuple[int, ...]:
        day = self.days.get(date.isoformat())
        return day.compacted_only if day is not None else ()

    def not_compacted_only(self, hour: Partition) -> Self:
        """The same with this hour, of a compacted day, no longer compacted-only."""
        name = hour.date.isoformat()
        compacted_only = tuple(each for each in self.days[name].compacted_only if each != hour.hour)
        return self.model_copy(
            update={"days": self.days | {name: self.days[name].model_copy(update={"compacted_only": compacted_only})}}
        )

    def last_hour(self, until: dt.datetime) -> Partition | None:
        """The last hour with points that has begun by `until` (aware); None where there is none."""
        for period in reversed(self.periods):
            if begun := [hour for hour in self.checksums(period) if hour.starts_at <= until]:
                return max(begun)
        return None

    def with_compacted_only(self, hours: Iterable[Partition]) -> Self:
        """The same with these hours, all of compacted days, compacted-only."""
        days = dict(self.days)
        for hour in hours:
            name = hour.date.isoformat()
            compacted_only = tuple(sorted({*days[name].compacted_only, hour.hour}))
            days[name] = days[name].model_copy(update={"compacted_only": compacted_only})
        return self.model_copy(update={"days": days})

    def checksum(self, hour: Partition) -> Checksum | None:
        """What is in the history of an hour; None where its day is not compacted."""
        day = self.days.get(hour.date.isoformat())
        return None if day is None else day.checksum(hour.hour)

    def with_stale(self, hours: Iterable[Partition]) -> Self:
        """The same with these hours stale."""
        return self.model_copy(update={"stale": tuple(sorted({*self.stale, *(hour.path for hour in hours)}))})

    def with_file(self, each: HistoryFile, files: Collection[HistoryFile], gone: Mapping[Partition, Checksum]) -> Self:
        """The same with other files in the place of one, which have all its points but those that are `gone`.

        A day of which no point is left is no longer compacted.
        """
        days = dict(self.days)
        for date in {hour.date for hour in gone}:
            day = days[date.isoformat()]
            left = {Partition(date, hour): day.checksum(hour) for hour in range(24) if day.rows[hour]}
            for hour in [hour for hour in gone if hour.date == date]:
                rows, sums = left[hour].rows - gone[hour].rows, (left[hour].hash - gone[hour].hash) % 2**64
                left[hour] = Checksum(rows, sums)
            if any(each.rows for each in left.values()):
                days[date.isoformat()] = CompactedDay.of(date, left, day.compacted_only)
            else:
                del days[date.isoformat()]
        kept = [other for other in self.files if other != each]
        return self.model_copy(
            update={"files": tuple(sorted([*kept, *files], key=lambda file: (file.period, file.first))), "days": days}
        )

    def with_period(
        self,
        period: Period,
        files: Collection[HistoryFile],
        hours: Mapping[Partition, Checksum],
        taken: Iterable[Partition],
    ) -> Self:
        """The same with a period compacted again, in the place of whatever covers its dates; `taken` are no longer
        stale.

        Where no point is left, the period is no longer compacted.
        """
        kept = [each for each in self.files if Period.parse(each.period) not in period]
        days = {name: day for name, day in self.days.items() if dt.date.fromisoformat(name) not in period.dates}
        dates = sorted({hour.date for hour in hours})
        days |= {date.isoformat(): CompactedDay.of(date, hours, self._compacted_only_of(date)) for date in dates}
        gone = {hour.path for hour in taken}
        return self.model_copy(
            update={
                "files": tuple(sorted([*kept, *files], key=lambda each: (each.period, each.first))),
                "days": dict(sorted(days.items())),
                "stale": tuple(path for path in self.stale if path not in gone),
            }
        )


def load(storage: Storage) -> tuple[HistoryManifest, Version | None]:
    """The manifest as it stands, and its version for replacing it.

    UnreadableFileError for a damaged one, and where one is missing from beside its files.
    """
    manifest, version = HistoryManifest.load(storage, layout.HISTORY_MANIFEST)
    if version is None and any(named_at(key) for key, _ in storage.walk(layout.HISTORY)):
        manifest, version = HistoryManifest.load(
            storage, layout.HISTORY_MANIFEST
        )  # has it come meanwhile, before its files?
        if version is None:
            raise UnreadableFileError(
                f"{layout.HISTORY_MANIFEST} is missing from beside its files: restore it from a backup, or repair the "
                "vault",
                key=layout.HISTORY_MANIFEST,
            )
    return manifest, version


_PARSED: Final = VersionCache[HistoryManifest](most=256)


def current(storage: Storage) -> tuple[HistoryManifest, Version | None]:
    """As `load`, for readers: parsed once for each version."""
    key = layout.HISTORY_MANIFEST
    return _PARSED.get(storage, key, storage.version(key), partial(load, storage))


def mark_stale(storage: Storage, partition: Partition, published: pa.Table) -> None:
    """Note that this hour is stale, if it is compacted and its published points are not those in the history."""
    points = checksums(published).get(partition)

    def note() -> None:
        manifest, version = load(storage)
        same = manifest.checksums(Period.day(partition.date)).get(partition) == points
        if manifest.holds(partition.date) and not same and not manifest.is_stale(partition):
            manifest.with_stale([partition]).replace(storage, layout.HISTORY_MANIFEST, expecting=version)

    retry_overtaken(note)
