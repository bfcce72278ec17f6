"""Compaction: closed days, then closed months, become files of `history/`.

New files are written beside the old ones, read back, and compared hour by hour with what they were made of; then the
manifest is replaced in one step, and only then the files that it no longer names are deleted. Whatever is killed in
between leaves files that no manifest names, which a later run sweeps.

Memory has a bound of 2 GB, whatever a period holds. Hours are read one after another and sorted in runs, which are
spilled where there are several (`points.runs`); files of the history whose videos come one after another are read one
after another. What is merged at once are the runs and these.

One process compacts at a time: under a lock where the storage has locks, else because the manifest is replaced only if
nobody has replaced it meanwhile. An hour that changed while it was being compacted is noted as stale.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Final

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.errors import FileChangedError, UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.days import HourFile
from ghost_tracking.vault.history.files import (
    MOST_POINTS_A_FILE,
    HistoryWriter,
    checksums_of,
)
from ghost_tracking.vault.history.hours import drop_hours, hours_of
from ghost_tracking.vault.history.manifest import HistoryFile, HistoryManifest, load
from ghost_tracking.vault.history.reader import HistoryReader
from ghost_tracking.vault.kit.digests import digest_of
from ghost_tracking.vault.kit.leftovers import LEFTOVER_AGE, sweep
from ghost_tracking.vault.listing import part_names, published_dates, staged_hours
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.points.runs import FAN_IN, MOST_POINTS_A_RUN, Runs, Source
from ghost_tracking.vault.points.tables import Checksum
from ghost_tracking.vault.reports import CompactReport
from ghost_tracking.vault.storage import Storage, Version

log = logging.getLogger(__name__)

_BATCH: Final = 64 * 1024
"""Points of a file that a merge holds at a time: a month of 31 days takes some 120 MB."""

_HOURS_A_DAY: Final = 24

Wanted = Callable[[Partition], bool]


@dataclass(slots=True)
class _Hours:
    """What is read of `metrics/` for a compaction: these hours, of each its points, and its file with its version."""

    hours: Collection[Partition] = ()
    checksums: dict[Partition, Checksum] = field(default_factory=dict)
    versions: dict[Partition, Version] = field(default_factory=dict)
    files: dict[Partition, HourFile | None] = field(default_factory=dict)


class Compactor:
    """Makes the history of closed days and months on one storage. The caller holds `layout.HISTORY_LOCK`."""

    def __init__(
        self,
        storage: Storage,
        most_points_a_file: int = MOST_POINTS_A_FILE,
        most_points_a_run: int = MOST_POINTS_A_RUN,
        fan_in: int = FAN_IN,
    ) -> None:
        self._storage = storage
        self._most_points = most_points_a_file
        self._runs = partial(Runs, most_points_a_run, fan_in)

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
        report += drop_hours(self._storage, stale if keep_hours else None)
        named = {each.path for each in load(self._storage)[0].files}
        swept = sweep(self._storage, layout.HISTORY, named, now - LEFTOVER_AGE)
        return report + CompactReport(leftovers_deleted=swept)

    def rebuild(self, period: Period, sources: Collection[str], hours: Collection[Partition]) -> CompactReport:
        """Make a period's history of these files of it and of these hours, whatever the manifest says of it."""
        everything = set(period.hours)
        files = self._files(_borders(self._storage, sources))
        return self._commit(period, files, {}, _Hours(hours), taken=everything, measured=everything)

    def manifest_of(self, sources: Mapping[Period, Collection[str]]) -> HistoryManifest:
        """A manifest of new files that hold the points of these ones, by period; nobody sees it yet."""
        manifest = HistoryManifest()
        for period, names in sources.items():
            everything = set(period.hours)
            files = self._files(_borders(self._storage, names))
            _, manifest = self._written(manifest, period, files, {}, _Hours(), taken=everything, measured=everything)
        return manifest

    def forget(self, period: Period, gone: Wanted) -> CompactReport:
        """Leave the hours that are `gone` out of a period's history; without any left, the period goes."""
        manifest, _ = load(self._storage)
        left = {hour: each for hour, each in manifest.checksums(period).items() if not gone(hour)}
        files = [_without(each, gone) for each in self._files_of(manifest, period)] if left else []
        return self._commit(period, files, left, _Hours(), taken=set(filter(gone, period.hours)))

    def expire(self, before: datetime) -> None:
        """Leave out all points before this moment, the first one of an hour; the manifest says so at once.

        Periods that end by then go as the files that they are. Of the one that goes on, a month is split into its days
        in one pass, once; from then on it stays in days, and each time these go and the one of `before` is rewritten.
        Raises what `forget` raises for that one; the others have gone then.
        """
        manifest, version = load(self._storage)
        if version is None:
            return
        whole = [period for period in manifest.periods_between(None, before) if period.ends_at <= before]
        after = manifest.without(whole).with_expired_before(before)
        if after != manifest:
            after.replace(self._storage, layout.HISTORY_MANIFEST, expecting=version)
            self._storage.delete(each.path for period in whole for each in manifest.files_of(period))
        border = after.period_of(before.date())
        if border is None or not any(after.hours_between(border.starts_at, before)):
            return
        if border.is_month:
            self._split(border, before)
        else:
            self.forget(border, lambda hour: hour.starts_at < before)

    def _split(self, month: Period, before: datetime) -> None:
        """Put a month's points from `before` on into files of its days.

        The points pass once, in their order, and are kept apart by day in a temporary file, from which one day after
        another is written: one file is put together at a time, however many days are left.
        """
        manifest, version = load(self._storage)
        log.info("Splitting %s into days, from %s on", month, before)
        left = {hour: each for hour, each in manifest.checksums(month).items() if hour.starts_at >= before}
        writers: list[HistoryWriter] = []
        with ExitStack() as discarding, self._runs() as runs:
            files = [_without(each, lambda hour: hour.starts_at < before) for each in self._files_of(manifest, month)]
            days = runs.apart(runs.merge(files), lambda table: tables.hours(table) // _HOURS_A_DAY)
            for day in sorted(days):
                period = Period.day(tables.partition_of(day * _HOURS_A_DAY).date)
                writers.append(HistoryWriter(self._storage, period, self._most_points))
                discarding.enter_context(writers[-1].discarding())
                for table in runs.merge([days[day]]):
                    writers[-1].write(table)
                writers[-1].close()
            written: list[HistoryFile] = [each for writer in writers for each in writer.files]
            found = checksums_of(self._storage, (each.path for each in written))
            _require_equal(month, left, found)
        after = manifest.with_period(month, written, found, [hour for hour in month.hours if hour.starts_at < before])
        after.replace(self._storage, layout.HISTORY_MANIFEST, expecting=version)
        self._storage.delete(each.path for each in manifest.files_of(month))

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
        stale = frozenset(manifest.stale_hours(period))
        known = {hour: each for hour, each in manifest.checksums(period).items() if hour not in stale}
        files = self._files_of(manifest, period)
        return self._commit(period, files, known, _Hours(sorted(stale)), taken=stale, measured=stale, drops=True)

    def _days_due(self, before: datetime) -> list[Period]:
        manifest, _ = load(self._storage)
        days = [Period.day(date) for date in published_dates(self._storage)]
        busy = {hour.date for hour in staged_hours(self._storage) if part_names(self._storage, hour)}
        due = [day for day in days if day.ends_at <= before and not manifest.holds(day.first) and day.first not in busy]
        return [day for day in due if hours_of(self._storage, day.first)]

    def _compact_day(self, day: Period) -> CompactReport:
        return self._commit(day, [], {}, _Hours(hours_of(self._storage, day.first)), taken=set(day.hours))

    def _months_due(self, before: datetime) -> list[Period]:
        manifest, _ = load(self._storage)
        days = [each for each in (Period.parse(each.period) for each in manifest.files) if not each.is_month]
        months = sorted({Period.month(day.first) for day in days})
        candidates = {date for month in months for date in month.dates}
        uncompacted = {
            date
            for date in published_dates(self._storage)
            if date in candidates and not manifest.holds(date) and hours_of(self._storage, date)
        }
        busy = {Partition.parse(path).date for path in manifest.stale}
        return [
            month
            for month in months
            if month.ends_at <= before
            and not _is_cut(month, manifest.expired_before)
            and not (uncompacted | busy).intersection(month.dates)
            and self._all_published(month.hours)
        ]

    def _compact_month(self, month: Period) -> CompactReport:
        manifest, _ = load(self._storage)
        return self._commit(
            month, self._files_of(manifest, month), manifest.checksums(month), _Hours(), taken=frozenset()
        )

    def _commit(
        self,
        period: Period,
        files: Sequence[Source],
        known: Mapping[Partition, Checksum],
        seen: _Hours,
        *,
        taken: Set[Partition],
        measured: Collection[Partition] = (),
        drops: bool = False,
    ) -> CompactReport:
        """Write, read back, compare, replace the manifest, delete what it no longer names.

        Made of `files` of the history and of the hours of `seen`. `known` are the points that each hour must have in
        the new files, beside those that `seen` meets on the way; of `measured` hours only the merge knows which points
        they have. With `drops`, hours whose files have less than the new files are made compacted-only in the same
        step: nobody takes one for whole, and `drop_hours` deletes it.
        """
        manifest, version = load(self._storage)
        if version is None:  # never a file without it
            manifest.replace(self._storage, layout.HISTORY_MANIFEST, expecting=None)
            manifest, version = load(self._storage)
        writer, after = self._written(manifest, period, files, known, seen, taken=taken, measured=measured)
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
        files: Sequence[Source],
        known: Mapping[Partition, Checksum],
        seen: _Hours,
        *,
        taken: Set[Partition],
        measured: Collection[Partition],
    ) -> tuple[HistoryWriter, HistoryManifest]:
        """Write and compare; the manifest that names what was written, which nobody sees yet."""
        log.info("Compacting %s", period)
        merged: dict[Partition, Checksum] = {}
        writer = HistoryWriter(self._storage, period, self._most_points)
        with writer.discarding(), self._runs() as runs:
            hours = runs.sort(table for hour in seen.hours for table in self._hour_chunks(hour, seen))
            for table in runs.merge([*files, *hours]):
                writer.write(table)
                tables.add_checksums(merged, tables.checksums(tables.of_hours(table, measured)) if measured else {})
            written = writer.close()
            found = checksums_of(self._storage, (each.path for each in written))
            _require_equal(period, {**seen.checksums, **known, **merged}, found)
        # a file that has a part of its hour proves nothing of the hour
        whole = {
            hour: each if seen.checksums.get(hour) == found.get(hour) else None for hour, each in seen.files.items()
        }
        return writer, manifest.with_period(period, written, found, taken, whole)

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

    def _files_of(self, manifest: HistoryManifest, period: Period) -> list[Source]:
        """The points of a period's files, as few sources."""
        return self._files({each.path: (each.first, each.last) for each in manifest.files_of(period)})

    def _files(self, borders: Mapping[str, tuple[str, str]]) -> list[Source]:
        """The points of these files, whose first and last videos are known, as few sources.

        Files whose videos come one after another are one source, which opens one of them at a time.
        """
        chains: list[list[str]] = []
        for key, (first, _) in sorted(borders.items(), key=itemgetter(1)):
            before = next((keys for keys in chains if borders[keys[-1]][1] < first), None)
            if before is None:
                chains.append([key])
            else:
                before.append(key)
        return [_in_order(chain.from_iterable(map(self._file_chunks, keys))) for keys in chains]

    def _file_chunks(self, key: str) -> Source:
        return HistoryReader(self._storage, key).batches(_BATCH)

    def _hour_chunks(self, hour: Partition, seen: _Hours) -> Source:
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


def _is_cut(month: Period, expired_before: datetime | None) -> bool:
    """Whether a part of this month has expired: it goes day by day, and stays in days."""
    return expired_before is not None and month.starts_at < expired_before


def _require_equal(period: Period, wanted: Mapping[Partition, Checksum], found: Mapping[Partition, Checksum]) -> None:
    differing = sorted(hour for hour in wanted.keys() | found.keys() if wanted.get(hour) != found.get(hour))
    if differing:
        raise UnreadableFileError(
            f"the new history of {period} does not hold what it was made of: {len(differing)} hour(s) differ, first "
            f"{differing[0]}; nothing was replaced"
        )


def _borders(storage: Storage, keys: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The first and the last video of files of which no manifest tells them."""
    return {key: HistoryReader(storage, key).borders() for key in keys}


def _in_order(points: Source) -> Source:
    """The same tables; UnreadableFileError where files do not come one after another as their manifest says."""
    end = ""
    for table in points:
        if table.num_rows and (begin := table["video_id"][0].as_py()) < end:
            raise UnreadableFileError(f"files of the history are not of the videos that they should be of: {begin}")
        end = table["video_id"][-1].as_py() if table.num_rows else end
        yield table


def _without(points: Source, gone: Wanted) -> Source:
    for table in points:
        hours = {tables.partition_of(hour) for hour in set(tables.hours(table).tolist())}
        yield tables.of_hours(table, [hour for hour in hours if not gone(hour)])
