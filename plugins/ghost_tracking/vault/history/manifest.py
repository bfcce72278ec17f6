"""The manifest of `history/`: which hours are compacted, into which files, and which of them have changed since.

At five years of two billion points a year it names some 480 files and 1,826 days, about 1.5 MB. It is parsed once in a
process for each version, and every question about a period, a date or an hour is answered from an index that is built
with the first one: nothing goes through all files or days.
"""

import datetime as dt
import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from typing import Annotated, Any, Final, Literal, Self

import pyarrow as pa
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.days import CompactedDay, HourFile
from ghost_tracking.vault.kit.caches import VersionCache
from ghost_tracking.vault.kit.digests import NO_DIGEST, Digest, digest_of
from ghost_tracking.vault.kit.manifests import Count, Manifest, retry_overtaken
from ghost_tracking.vault.kit.names import named_at
from ghost_tracking.vault.points.tables import Checksum, checksums
from ghost_tracking.vault.storage import Storage, Version

_DAY: Final = dt.timedelta(days=1)
_MOST_SPANS: Final = 4
"""Each costs a request on an object store, where a listing of 1,000 names is one too."""
_NAME: Final = re.compile(r"\d{8}T\d{6}-[0-9a-f]{12}-\d{3,6}\.parquet", re.ASCII)


@lru_cache(maxsize=1 << 12)  # every version has the dates of the one before
def _day(name: str) -> str:
    if Period.parse(name).is_month:
        raise ValueError(f"{name} is no day")
    return name


def _hour(path: str) -> str:
    Partition.parse(path)
    return path


class HistoryFile(BaseModel):
    """A file of the points of a period, of the videos from `first` to `last`; its points and its size in bytes.

    `hash` is the digest of its bytes (`digest_of`), `index` where the directory of its index stands in it
    (`history.index`): offset and length in bytes, None in a file of few row groups, which has none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    period: str
    points: Count
    bytes: Count
    first: str
    last: str
    hash: Digest = NO_DIGEST
    index: tuple[Count, Count] | None = None

    @model_validator(mode="after")
    def _is_of_its_period(self) -> Self:
        """Stands where `HistoryWriter` puts the files of its period, and nowhere else."""
        folder, _, name = self.path.rpartition("/")
        if folder != f"{layout.HISTORY}/{Period.parse(self.period).path}" or not _NAME.fullmatch(name):
            raise ValueError(f"{self.path[:100]!r} is no file of the history of {self.period[:20]!r}")
        return self


class HistoryManifest(Manifest):
    """What is compacted.

    `stale`: compacted hours with points in `metrics/` that the history lacks, as paths of partitions.
    `expired_before`: points before this moment have expired, and readers leave them out where files still have them.
    """

    version: Literal[1] = 1
    files: tuple[HistoryFile, ...] = ()
    days: dict[Annotated[str, AfterValidator(_day)], CompactedDay] = Field(default_factory=dict)
    stale: tuple[Annotated[str, AfterValidator(_hour)], ...] = ()
    expired_before: AwareDatetime | None = None

    @cached_property
    def periods(self) -> Sequence[Period]:
        """The days and months that have files, in order; a day within such a month counts as the month's."""
        found = self._own_periods
        return tuple(sorted(each for each in found if each.is_month or Period.month(each.first) not in found))

    def periods_between(self, start: dt.datetime | None, end: dt.datetime | None) -> Sequence[Period]:
        """Those of the `periods` that meet [start, end) (aware), None being open, in order."""
        first = 0 if start is None else bisect_right(self.periods, start, key=lambda each: each.ends_at)
        last = len(self.periods) if end is None else bisect_left(self.periods, end, key=lambda each: each.starts_at)
        return self.periods[first:last]

    def period_of(self, date: dt.date) -> Period | None:
        """The one of the `periods` that has this date; None where none has."""
        month, day = Period.month(date), Period.day(date)
        if month in self._own_periods:
            return month
        return day if day in self._own_periods else None

    def holds(self, date: dt.date) -> bool:
        """Whether this date is compacted."""
        return date.isoformat() in self.days

    def files_of(self, period: Period) -> Sequence[HistoryFile]:
        """The files of a period, and of days within it."""
        return self._files_of.get(period, ())

    def files_of_date(self, date: dt.date) -> Sequence[HistoryFile]:
        """The files that have the points of a date."""
        period = self.period_of(date)
        return () if period is None else self.files_of(period)

    @cached_property
    def _files_of(self) -> Mapping[Period, Sequence[HistoryFile]]:
        """The files by the periods of `files_of`: each by its own, and by its month where that is a day."""
        found: dict[Period, list[HistoryFile]] = {}
        periods = {name: Period.parse(name) for name in {each.period for each in self.files}}
        for each in self.files:
            period = periods[each.period]
            for covering in {period, Period.month(period.first)}:
                found.setdefault(covering, []).append(each)
        return found

    @cached_property
    def _own_periods(self) -> frozenset[Period]:
        """The periods that files are of."""
        return frozenset(map(Period.parse, {each.period for each in self.files}))

    def digest(self, period: Period) -> str:
        """A digest of the points of a period, the same for the same points, in whichever files they are; "": none."""
        if period not in self._digests:
            days = {date: self.days.get(date.isoformat()) for date in period.dates}
            found = [f"{date}{day.rows}{day.hash}" for date, day in days.items() if day is not None]
            self._digests[period] = digest_of("".join(found).encode()) if found else ""
        return self._digests[period]

    @cached_property
    def _digests(self) -> dict[Period, str]:
        return {}

    @cached_property
    def dates(self) -> Sequence[dt.date]:
        """The compacted dates, in order."""
        return tuple(sorted(map(dt.date.fromisoformat, self.days)))

    def other_dates_between(self, start: dt.datetime | None, end: dt.datetime | None) -> list[tuple[dt.date, dt.date]]:
        """Spans of dates, each from its first to its last, that have all dates of [start, end) that are not compacted.

        Few of them, whatever the age: what comes before, what comes after, and gaps. Of more than `_MOST_SPANS` the
        later ones are one, which has compacted dates as well.
        """
        begins = dt.date.min if start is None else start.astimezone(dt.UTC).date()
        ends = dt.date.max if end is None else end.astimezone(dt.UTC).date()
        return [
            (max(first, begins), min(last, ends))
            for first, last in self._other_dates
            if first <= ends and last >= begins
        ]

    @cached_property
    def _other_dates(self) -> Sequence[tuple[dt.date, dt.date]]:
        spans, begins = list[tuple[dt.date, dt.date]](), dt.date.min
        for date in self.dates:
            if begins < date:
                spans.append((begins, date - _DAY))
            begins = date + _DAY
        spans.append((begins, dt.date.max))
        few, many = spans[: _MOST_SPANS - 1], spans[_MOST_SPANS - 1 :]
        return (*few, (many[0][0], many[-1][1])) if many else few

    def dates_between(self, start: dt.datetime | None, end: dt.datetime | None) -> Sequence[dt.date]:
        """The compacted dates that meet [start, end) (aware), None being open, in order."""
        first, last = 0, len(self.dates)
        if start is not None:
            first = bisect_left(self.dates, start.astimezone(dt.UTC).date())
        if end is not None:
            last = bisect_left(self.dates, end, key=lambda each: Period.day(each).starts_at)
        return self.dates[first:last]

    def hours_between(self, start: dt.datetime | None, end: dt.datetime | None) -> Iterator[tuple[Partition, int]]:
        """The hours that have points in the history and meet [start, end) (aware), in order, and how many they have."""
        for date in self.dates_between(start, end):
            for number, rows in enumerate(self.days[date.isoformat()].rows):
                if rows and (hour := Partition(date, number)).meets(start, end):
                    yield hour, rows

    def stale_hours(self, period: Period) -> Sequence[Partition]:
        """The stale hours of a period, in order."""
        first = bisect_left(self._stale_in_order, Partition(period.first, 0))
        return self._stale_in_order[first : bisect_right(self._stale_in_order, Partition(period.last, 23))]

    @cached_property
    def _stale_in_order(self) -> Sequence[Partition]:
        return tuple(sorted(map(Partition.parse, set(self.stale))))

    def checksums(self, period: Period) -> dict[Partition, Checksum]:
        """What is in the history of each hour of a period; hours without points are absent."""
        found: dict[Partition, Checksum] = {}
        for date in period.dates:
            if (day := self.days.get(date.isoformat())) is not None:
                found |= day.checksums(date)
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
        day = self.days.get(hour.date.isoformat())
        return day is not None and hour.hour in day.compacted_only

    def file_of(self, hour: Partition) -> HourFile | None:
        """The published file of an hour as it was when the hour was compacted; None where nothing is known of it."""
        day = self.days.get(hour.date.isoformat())
        return None if day is None else day.file(hour.hour)

    def last_hour(self, until: dt.datetime) -> Partition | None:
        """The last hour with points that has begun by `until` (aware); None where there is none."""
        for date in reversed(self.dates):
            rows = self.days[date.isoformat()].rows
            for number in reversed(range(len(rows))):
                if rows[number] and (hour := Partition(date, number)).starts_at <= until:
                    return hour
        return None

    def not_compacted_only(self, hour: Partition) -> Self:
        """The same with this hour, of a compacted day, no longer compacted-only."""
        day = self.days[hour.date.isoformat()]
        return self._with_days(
            {hour.date: day.with_compacted_only(tuple(each for each in day.compacted_only if each != hour.hour))}
        )

    def with_compacted_only(self, hours: Iterable[Partition]) -> Self:
        """The same with these hours, all of compacted days, compacted-only."""
        by_date: dict[dt.date, set[int]] = {}
        for hour in hours:
            by_date.setdefault(hour.date, set(self.days[hour.date.isoformat()].compacted_only)).add(hour.hour)
        return self._with_days(
            {
                date: self.days[date.isoformat()].with_compacted_only(tuple(sorted(numbers)))
                for date, numbers in by_date.items()
            }
        )

    def with_hour_files(self, files: Mapping[Partition, HourFile | None]) -> Self:
        """The same with the published files of these hours, all of compacted days, as they are now.

        Whoever notes a file has compared its points with those of the history. None: nothing is known of it.
        """
        by_date: dict[dt.date, dict[int, HourFile | None]] = {}
        for hour, each in files.items():
            by_date.setdefault(hour.date, {})[hour.hour] = each
        return self._with_days({date: self.days[date.isoformat()].with_files(known) for date, known in by_date.items()})

    def checksum(self, hour: Partition) -> Checksum | None:
        """What is in the history of an hour; None where its day is not compacted."""
        day = self.days.get(hour.date.isoformat())
        return None if day is None else day.checksum(hour.hour)

    def with_stale(self, hours: Iterable[Partition]) -> Self:
        """The same with these hours stale."""
        return self._with(stale=tuple(sorted({*self.stale, *(hour.path for hour in hours)})))

    def with_file(self, each: HistoryFile, files: Collection[HistoryFile], gone: Mapping[Partition, Checksum]) -> Self:
        """The same with other files in the place of one, which have all its points but those that are `gone`.

        A day of which no point is left is no longer compacted.
        """
        days = dict(self.days)
        for date in {hour.date for hour in gone}:
            day = days.pop(date.isoformat())
            left = day.checksums(date)
            for hour in [hour for hour in gone if hour.date == date]:
                rows, sums = left[hour].rows - gone[hour].rows, (left[hour].hash - gone[hour].hash) % 2**64
                left[hour] = Checksum(rows, sums)
            if any(each.rows for each in left.values()):
                days[date.isoformat()] = CompactedDay.of(date, left).with_files_of(day)
        kept = [other for other in self.files if other != each]
        return self._with(files=_in_order([*kept, *files]), days=dict(sorted(days.items())))

    def with_period(
        self,
        period: Period,
        files: Collection[HistoryFile],
        hours: Mapping[Partition, Checksum],
        taken: Iterable[Partition],
        hour_files: Mapping[Partition, HourFile | None] | None = None,
    ) -> Self:
        """The same with a period compacted again, in the place of whatever covers its dates; `taken` are no longer
        stale.

        `hour_files` are the published files that were read for it. Where no point is left, the period is no longer
        compacted.
        """
        replaced = set(self.files_of(period))
        kept = [each for each in self.files if each not in replaced]
        covered = {date.isoformat() for date in period.dates}
        days = {name: day for name, day in self.days.items() if name not in covered}
        for date in sorted({hour.date for hour in hours}):
            name = date.isoformat()
            days[name] = CompactedDay.of(date, hours).with_files_of(self.days.get(name))
        gone = {hour.path for hour in taken}
        made = self._with(
            files=_in_order([*kept, *files]),
            days=dict(sorted(days.items())),
            stale=tuple(path for path in self.stale if path not in gone),
        )
        known = {hour: each for hour, each in (hour_files or {}).items() if made.holds(hour.date)}
        return made.with_hour_files(known)

    def without(self, periods: Collection[Period]) -> Self:
        """The same without these periods: neither their files, nor their dates, nor stale hours of them."""
        gone = {each for period in periods for each in self.files_of(period)}
        dates = {date.isoformat() for period in periods for date in period.dates}
        stale = {hour.path for period in periods for hour in self.stale_hours(period)}
        return self._with(
            files=tuple(each for each in self.files if each not in gone),
            days={name: day for name, day in self.days.items() if name not in dates},
            stale=tuple(path for path in self.stale if path not in stale),
        )

    def with_expired_before(self, moment: dt.datetime) -> Self:
        """The same where all points before this moment (aware) have expired; never earlier than before."""
        return self._with(expired_before=moment if self.expired_before is None else max(moment, self.expired_before))

    def _with_days(self, days: Mapping[dt.date, CompactedDay]) -> Self:
        return self._with(days=self.days | {date.isoformat(): day for date, day in days.items()})

    def _with(self, **changed: Any) -> Self:
        """The same with other fields, and without the indexes, which `model_copy` takes along, of the fields before."""
        made = self.model_copy(update=changed)
        for name in vars(made).keys() - type(self).model_fields.keys():
            del vars(made)[name]
        return made


def _in_order(files: Iterable[HistoryFile]) -> tuple[HistoryFile, ...]:
    return tuple(sorted(files, key=lambda each: (each.period, each.first)))


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
        same = (manifest.checksum(partition) or Checksum(0, 0)) == (points or Checksum(0, 0))
        if manifest.holds(partition.date) and not same and not manifest.is_stale(partition):
            manifest.with_stale([partition]).replace(storage, layout.HISTORY_MANIFEST, expecting=version)

    retry_overtaken(note)
