"""Compaction: closed days, then closed months, become files of `history/`.

New files are written beside the old ones, read back, and compared hour by hour with what they were made of; then the
manifest is replaced in one step, and only then the files that it no longer names are deleted. Whatever is killed in
between leaves files that no manifest names, which a later run sweeps.

One process compacts at a time: under a lock where the storage has locks, else because the manifest is replaced only if
nobody has replaced it meanwhile. An hour that changed while it was being compacted is noted as stale.
"""

import datetime as dt
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import pyarrow as pa

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.errors import FileChangedError, PartitionBusyError, UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.days import HourFile
from ghost_tracking.vault.history.files import (
    MOST_POINTS_A_FILE,
    HistoryWriter,
    beyond_history,
    checksums_of,
)
from ghost_tracking.vault.history.manifest import HistoryManifest, load
from ghost_tracking.vault.history.reader import HistoryReader
from ghost_tracking.vault.kit.digests import digest_of
from ghost_tracking.vault.kit.leftovers import LEFTOVER_AGE, sweep
from ghost_tracking.vault.listing import part_names, published_dates, published_hours, staged_hours
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.points.tables import Checksum
from ghost_tracking.vault.reports import CompactReport
from ghost_tracking.vault.storage import Storage, Version

log = logging.getLogger(__name__)

_LOCK_SECONDS: Final = 5.0
_BATCH: Final = 64 * 1024
"""Points of one source that a merge holds at a time: a month of 31 days takes some 120 MB."""

Chunks = Iterator[pa.Table]
Wanted = Callable[[Partition], bool]


@dataclass(slots=True)
class _Hours:
    """What was read of `metrics/` for a compaction: the points of each hour, and its file with the version of that."""

    checksums: dict[Partition, Checksum] = field(default_factory=dict)
    versions: dict[Partition, Version] = field(default_factory=dict)
    files: dict[Partition, HourFile | None] = field(default_factory=dict)


class Compactor:
    """Makes the history of closed days and months on one storage. The caller holds `layout.HISTORY_LOCK`."""

    def __init__(self, storage: Storage, most_points_a_file: int = MOST_POINTS_A_FILE) -> None:
        self._storage = storage
        self._most_points = most_points_a_file

    def compact(self, now: datetime, margin: timedelta, *, months: bool, keep_hours: bool) -> CompactReport:
        """Compact what closed `margin` before `now`: stale hours, then days, then (if `months`) months.

        A day with staged parts is not closed. Without `keep_hours`, hourly files go whose every point is in the
        history; with it, only those of stale hours that have less than the history: whoever reads them would take a
        part of an hour for all of it.
        """
        report = CompactReport()
        stale = set(map(Partition.parse, load(self._storage)[0].stale))
        report += self._each(self._stale_periods(), self._compact_stale)
        report += self._each(self._days_due(now - margin), self._compact_day)
        if months:
            report += self._each(self._months_due(now - margin), self._compact_month)
        report += self._drop_hours(stale if keep_hours else None)
        named = {each.path for each in load(self._storage)[0].files}
        swept = sweep(self._storage, layout.HISTORY, named, now - LEFTOVER_AGE)
        return report + CompactReport(leftovers_deleted=swept)

    def rebuild(self, period: Period, sources: Collection[str], hours: Collection[Partition]) -> CompactReport:
        """Make a period's history of these files of it and of these hours, whatever the manifest says of it."""
        seen = _Hours()
        chunks = [*map(self._file_chunks, sources), *(self._hour_chunks(hour, seen) for hour in hours)]
        everything = set(period.hours)
        return self._commit(period, chunks, {}, seen, taken=everything, measured=everything)

    def manifest_of(self, sources: Mapping[Period, Collection[str]]) -> HistoryManifest:
        """A manifest of new files that hold the points of these ones, by period; nobody sees it yet."""
        manifest = HistoryManifest()
        for period, names in sources.items():
            everything = set(period.hours)
            chunks = [self._file_chunks(name) for name in names]
            _, manifest = self._written(manifest, period, chunks, {}, _Hours(), taken=everything, measured=everything)
        return manifest

    def forget(self, period: Period, gone: Wanted) -> CompactReport:
        """Leave the hours that are `gone` out of a period's history; without any left, the period goes."""
        manifest, _ = load(self._storage)
        left = {hour: each for hour, each in manifest.checksums(period).items() if not gone(hour)}
        chunks = [_without(self._file_chunks(each.path), gone) for each in manifest.files_of(period)] if left else []
        return self._commit(period, chunks, left, _Hours(), taken=set(filter(gone, period.hours)))

    def _each(self, periods: Iterable[Period], work: Callable[[Period], CompactReport]) -> CompactReport:
        """A period that cannot be compacted is reported and stops no other."""
        report = CompactReport()
        for period in periods:
            try:
                report += work(period)
            except (UnreadableFileError, FileChangedError, OSError) as error:
                problem = f"{period} could not be compacted and is read from its hours: {error}"
                log.error(problem)
                report += CompactReport(failed=(period,), problems=(problem,))
        return report

    def _stale_periods(self) -> list[Period]:
        manifest, _ = load(self._storage)
        return [period for period in manifest.periods if self._all_published(manifest.stale_hours(period))]

    def _compact_stale(self, period: Period) -> CompactReport:
        manifest, _ = load(self._storage)
        seen, stale = _Hours(), manifest.stale_hours(period)
        chunks = [self._file_chunks(each.path) for each in manifest.files_of(period)]
        chunks += [self._hour_chunks(hour, seen) for hour in stale]
        known = {hour: each for hour, each in manifest.checksums(period).items() if hour not in stale}
        return self._commit(period, chunks, known, seen, taken=set(stale), measured=set(stale), drops=True)

    def _days_due(self, before: datetime) -> list[Period]:
        manifest, _ = load(self._storage)
        days = [Period.day(date) for date in published_dates(self._storage)]
        busy = {hour.date for hour in staged_hours(self._storage) if part_names(self._storage, hour)}
        due = [day for day in days if day.ends_at <= before and not manifest.holds(day.first) and day.first not in busy]
        return [day for day in due if self._hours_of(day.first)]

    def _compact_day(self, day: Period) -> CompactReport:
        seen = _Hours()
        hours = self._hours_of(day.first)
        return self._commit(day, [self._hour_chunks(hour, seen) for hour in hours], {}, seen, taken=set(day.hours))

    def _hours_of(self, date: dt.date) -> list[Partition]:
        """The hours of a date that have a file. Folders without one, which whoever was killed left, go."""
        hours = published_hours(self._storage, date)
        there = [hour for hour in hours if self._storage.version(layout.stats(hour)) is not None]
        empty = [hour.path for hour in hours if hour not in there] if hours else [f"date={date.isoformat()}"]
        self._storage.prune(f"{layout.METRICS}/{folder}" for folder in empty)
        return there

    def _months_due(self, before: datetime) -> list[Period]:
        manifest, _ = load(self._storage)
        days = [each for each in (Period.parse(each.period) for each in manifest.files) if not each.is_month]
        months = sorted({Period.month(day.first) for day in days})
        candidates = {date for month in months for date in month.dates}
        uncompacted = {
            date
            for date in published_dates(self._storage)
            if date in candidates and not manifest.holds(date) and self._hours_of(date)
        }
        busy = {Partition.parse(path).date for path in manifest.stale}
        return [
            month
            for month in months
            if month.ends_at <= before
            and not (uncompacted | busy).intersection(month.dates)
            and self._all_published(month.hours)
        ]

    def _compact_month(self, month: Period) -> CompactReport:
        manifest, _ = load(self._storage)
        chunks = [self._file_chunks(each.path) for each in manifest.files_of(month)]
        return self._commit(month, chunks, manifest.checksums(month), _Hours(), taken=set())

    def _commit(
        self,
        period: Period,
        chunks: list[Chunks],
        known: Mapping[Partition, Checksum],
        seen: _Hours,
        *,
        taken: set[Partition],
        measured: Collection[Partition] = (),
        drops: bool = False,
    ) -> CompactReport:
        """Write, read back, compare, replace the manifest, delete what it no longer names.

        `known` are the points that each hour must have in the new files, beside those that `seen` meets on the way;
        of `measured` hours only the merge knows which points they have. With `drops`, hours whose files have less than
        the new files are made compacted-only in the same step: nobody takes one for whole, and `_drop_hours` deletes
        it.
        """
        manifest, version = load(self._storage)
        if version is None:  # never a file without it
            manifest.replace(self._storage, layout.HISTORY_MANIFEST, expecting=None)
            manifest, version = load(self._storage)
        writer, after = self._written(manifest, period, chunks, known, seen, taken=taken, measured=measured)
        if drops:
            after = after.with_compacted_only(
                hour for hour, each in seen.checksums.items() if not after.is_whole(hour, each.rows)
            )
        # when this fails, only a later sweep can tell that nobody names what was written
        after.replace(self._storage, layout.HISTORY_MANIFEST, expecting=version)
        self._note_changed(seen)
        named = {each.path for each in after.files}
        self._storage.delete(each.path for each in manifest.files if each.path not in named)
        written = writer.files
        return CompactReport(
            compacted=(period,), points=sum(each.points for each in written), bytes=sum(each.bytes for each in written)
        )

    def _written(
        self,
        manifest: HistoryManifest,
        period: Period,
        chunks: list[Chunks],
        known: Mapping[Partition, Checksum],
        seen: _Hours,
        *,
        taken: set[Partition],
        measured: Collection[Partition],
    ) -> tuple[HistoryWriter, HistoryManifest]:
        """Write and compare; the manifest that names what was written, which nobody sees yet."""
        log.info("Compacting %s", period)
        merged: dict[Partition, Checksum] = {}
        writer = HistoryWriter(self._storage, period, self._most_points)
        with writer.discarding():
            for table in tables.merge_sorted(chunks):
                writer.write(table)
                tables.add_checksums(merged, tables.checksums(tables.of_hours(table, measured)) if measured else {})
            written = writer.close()
            found = checksums_of(self._storage, (each.path for each in written))
            _require_equal(period, {**seen.checksums, **known, **merged}, found)
        return writer, manifest.with_period(period, written, found, taken, seen.files)

    def _note_changed(self, seen: _Hours) -> None:
        """Hours that somebody has published while they were being compacted are stale."""
        changed = [
            hour for hour, version in seen.versions.items() if self._storage.version(layout.stats(hour)) != version
        ]
        if changed:
            manifest, version = load(self._storage)
            manifest.with_stale(changed).replace(self._storage, layout.HISTORY_MANIFEST, expecting=version)

    def _all_published(self, hours: Iterable[Partition]) -> bool:
        """Whether there are hours, and none has parts that are not proven to be published."""
        chosen = set(hours)
        return bool(chosen) and not any(
            part_names(self._storage, hour) for hour in staged_hours(self._storage) if hour in chosen
        )

    def _file_chunks(self, key: str) -> Chunks:
        return HistoryReader(self._storage, key).batches(_BATCH)

    def _hour_chunks(self, hour: Partition, seen: _Hours) -> Chunks:
        blob = self._storage.read(layout.stats(hour))
        seen.versions[hour] = blob.version
        seen.files[hour] = HourFile(len(blob.data), digest_of(blob.data))
        try:
            for table in files.sorted_chunks(blob.data, hour):
                tables.add_checksums(seen.checksums, tables.checksums(table))
                yield table
        except UnreadableFileError as error:
            raise type(error)(
                f"{layout.stats(hour)} cannot be read: {error.message}", key=layout.stats(hour)
            ) from error

    def _drop_hours(self, stale: Set[Partition] | None) -> CompactReport:
        """Delete the hourly files whose points are all in the history; the manifest says so before they go.

        Where hours are kept, only those of `stale` and of compacted-only hours that have less than the history.
        """
        manifest, version = load(self._storage)
        dates = set(manifest.days) if stale is None else _dates(manifest, stale)
        covered = {
            hour: seen
            for date in published_dates(self._storage)
            if date.isoformat() in dates
            for hour in self._hours_of(date)
            if stale is None or hour in stale or manifest.is_compacted_only(hour)
            if (seen := self._version_covered(hour, manifest, whole=stale is None)) is not None
        }
        if covered:
            manifest.with_compacted_only(covered).replace(self._storage, layout.HISTORY_MANIFEST, expecting=version)
        return CompactReport(hours_deleted=sum(self._drop(hour, seen) for hour, seen in covered.items()))

    def _version_covered(self, hour: Partition, manifest: HistoryManifest, *, whole: bool) -> Version | None:
        """The version of an hour's file if all its points are in the history, to the last one; else None.

        Of one that has all that they have, only if `whole` ones are to go.
        """
        if manifest.is_stale(hour) or part_names(self._storage, hour):
            return None
        try:
            blob = self._storage.read(layout.stats(hour))
            points = files.decode(blob.data, hour)
            known = manifest.checksum(hour) or Checksum(0, 0)
            if points.num_rows >= known.rows:
                same = tables.checksums(points).get(hour, Checksum(0, 0)) == known
                return blob.version if whole and same else None
            # a part of the hour: what came late after its file had gone
            return None if beyond_history(self._storage, manifest, hour, points).num_rows else blob.version
        except (UnreadableFileError, FileNotFoundError):
            return None

    def _drop(self, hour: Partition, version: Version) -> bool:
        key = layout.stats(hour)
        with (
            suppress(PartitionBusyError, FileChangedError),
            self._storage.lock(layout.lock(hour), _LOCK_SECONDS),
        ):
            self._storage.discard(key, expecting=version)
            return True
        return False


def _require_equal(period: Period, wanted: Mapping[Partition, Checksum], found: Mapping[Partition, Checksum]) -> None:
    differing = sorted(hour for hour in wanted.keys() | found.keys() if wanted.get(hour) != found.get(hour))
    if differing:
        raise UnreadableFileError(
            f"the new history of {period} does not hold what it was made of: {len(differing)} hour(s) differ, first "
            f"{differing[0]}; nothing was replaced"
        )


def _dates(manifest: HistoryManifest, stale: Set[Partition]) -> set[str]:
    """The compacted dates of these and of compacted-only hours."""
    return {hour.date.isoformat() for hour in stale} | {
        name for name, day in manifest.days.items() if day.compacted_only
    }


def _without(chunks: Chunks, gone: Wanted) -> Chunks:
    for table in chunks:
        hours = {tables.partition_of(hour) for hour in set(tables.hours(table).tolist())}
        yield tables.of_hours(table, [hour for hour in hours if not gone(hour)])
