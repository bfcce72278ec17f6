"""Staging, publishing and sealing: how points get into `stats.parquet`.

Writers never touch a published file: they stage parts. A publication makes `stats.parquet` of what was published
before and of all parts that it does not contain yet; which ones it contains stands in its own footer, so that
points and list change in one step. Parts stay until their hour is sealed. Hence a publication that is killed, or
wakes up late and overwrites a newer file, loses nothing: the next one finds what is missing and merges it.
"""

import logging
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final

import pyarrow as pa

from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.errors import (
    FileChangedError,
    PartitionBusyError,
    SchemaDriftError,
    UnreadableFileError,
)
from ghost_tracking.hooks.vault import files, layout
from ghost_tracking.hooks.vault.footers import read_footer
from ghost_tracking.hooks.vault.reports import PublishReport, SealReport, StagedPart
from ghost_tracking.hooks.vault.storage import Storage, Version

log = logging.getLogger(__name__)

LEFTOVER_AGE: Final = timedelta(days=1)
_ATTEMPTS: Final = 5

_Work = Callable[[Partition], PublishReport]


@dataclass(frozen=True, slots=True)
class _Published:
    """What stands in an hour's `stats.parquet`; `broken` holds the bytes of one that cannot be read, and why."""

    content: files.Content
    version: Version | None
    broken: tuple[bytes, str] | None = None


@dataclass(slots=True)
class _Parts:
    """The parts of an hour that could be read, in the order of their names, and what was wrong with the others."""

    tables: dict[str, pa.Table]
    quarantined: list[str]
    problems: list[str]


class Publisher:
    """The writing side of the vault on one storage."""

    def __init__(self, storage: Storage, lock_timeout: float) -> None:
        self._storage = storage
        self._lock_timeout = lock_timeout

    def stage(self, points: Sequence[MetricPoint]) -> list[StagedPart]:
        """Write one durable part for each hour that `points` touch."""
        ordered = sorted(points, key=lambda point: (point.timestamp, point.video_id))
        return [self._stage_part(hour, list(group)) for hour, group in groupby(ordered, _hour_of)]

    def _stage_part(self, partition: Partition, points: list[MetricPoint]) -> StagedPart:
        table = files.merge([files.table_of(points)])
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:12]}"
        key = layout.part(partition, name)
        self._storage.put(key, files.encode(files.Content((table,))))
        return StagedPart(partition, key, table.num_rows)

    def publish(self, partitions: Collection[Partition] | None) -> PublishReport:
        """Merge what is staged and not published yet, in `partitions` or (None) anywhere."""
        hours = staged_hours(self._storage) if partitions is None else sorted(set(partitions))
        pending = [hour for hour in hours if self._lacks_parts(hour)]
        return self._each_alone(pending, self._merge_new)

    def seal(self, now: datetime, margin: timedelta) -> SealReport:
        """Prove that hours which ended before `now - margin` hold all their parts, and delete those."""
        due = [hour for hour in staged_hours(self._storage) if hour.ends_at + margin <= now]
        sealed: dict[Partition, int] = {}
        unverified: list[Partition] = []

        def seal_hour(partition: Partition) -> PublishReport:
            report = self._merge_all(partition)
            deleted = self._delete_verified(partition)
            if deleted is None:
                unverified.append(partition)
            else:
                sealed[partition] = deleted
            return report

        published = self._each_alone(due, seal_hour)
        leftovers = self._storage.sweep_scratch((now - LEFTOVER_AGE).timestamp())
        return SealReport(tuple(sealed), sum(sealed.values()), tuple(unverified), leftovers, published)

    def _each_alone(self, hours: Collection[Partition], work: _Work) -> PublishReport:
        """Do `work` on each hour under its lock; all waiting together takes at most the lock timeout."""
        deadline = time.monotonic() + self._lock_timeout
        return PublishReport.combined([self._alone(hour, work, deadline) for hour in hours])

    def _alone(self, partition: Partition, work: _Work, deadline: float) -> PublishReport:
        """An hour that is held, or cannot be worked on, is reported and does not stop the others."""
        try:
            with self._storage.lock(layout.lock(partition), max(0.0, deadline - time.monotonic())):
                return work(partition)
        except (PartitionBusyError, FileChangedError):
            log.warning("%s is being written by somebody else: its parts stay staged", partition)
            return PublishReport(busy=(partition,))
        except (OSError, SchemaDriftError) as error:
            problem = f"{partition} could not be published, its parts stay staged: {error}"
            log.error(problem)
            return PublishReport(failed=(partition,), problems=(problem,))

    def _lacks_parts(self, partition: Partition) -> bool:
        """Whether there are parts that the published file does not list; reads its footer only, and no lock."""
        try:
            names = part_names(self._storage, partition)
            if not names:
                return False
            footer, _ = read_footer(self._storage, layout.stats(partition))
        except (OSError, UnreadableFileError):
            return True
        return not footer.parts.issuperset(names)

    def _merge_new(self, partition: Partition) -> PublishReport:
        return self._merge(partition, closing=False)

    def _merge_all(self, partition: Partition) -> PublishReport:
        return self._merge(partition, closing=True)

    def _merge(self, partition: Partition, *, closing: bool) -> PublishReport:
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._merge_once(partition, closing=closing)
            except FileChangedError:
                log.warning("%s was replaced under its lock: merging anew", partition)
        return self._merge_once(partition, closing=closing)

    def _merge_once(self, partition: Partition, *, closing: bool) -> PublishReport:
        """Merge parts that the footer does not list; when `closing` the hour, every part, and sort the whole file."""
        published = self._read_published(partition)
        before = published.content
        names = part_names(self._storage, partition)
        parts = self._read_parts(partition, [n for n in names if closing or n not in before.parts])
        found = PublishReport(quarantined=tuple(parts.quarantined), problems=tuple(parts.problems))
        fresh = files.without(files.merge(parts.tables.values()), before.table)
        unlisted = parts.tables.keys() - before.parts
        if not (fresh.num_rows or unlisted or (closing and not before.is_sorted)):
            return self._with_broken(partition, published, found)
        after = before.with_points(fresh, {*parts.tables, *before.parts.intersection(names)})
        data = files.encode(after.sorted() if closing else after)
        found = self._with_broken(partition, published, found, rebuilt_rows=fresh.num_rows)
        self._storage.replace(layout.stats(partition), data, expecting=published.version)
        return replace(
            found,
            written=(partition,),
            points_added=fresh.num_rows,
            parts_merged=len(unlisted),
            bytes=len(data),
        )

    def _read_published(self, partition: Partition) -> _Published:
        key = layout.stats(partition)
        try:
            blob = self._storage.read(key)
        except FileNotFoundError:
            return _Published(files.Content(), None)
        try:
            return _Published(files.decode(blob.data, partition), blob.version)
        except SchemaDriftError as error:
            # Intact, so of another version of this program: not ours to replace.
            raise SchemaDriftError(f"{key} has {error.message}", key=key) from error
        except UnreadableFileError as error:
            return _Published(files.Content(), blob.version, broken=(blob.data, error.message))

    def _with_broken(
        self, partition: Partition, published: _Published, report: PublishReport, rebuilt_rows: int = 0
    ) -> PublishReport:
        """Keep a copy of a broken published file before it is replaced, and say so; in place it stays as it is."""
        if published.broken is None:
            return report
        data, reason = published.broken
        key = layout.stats(partition)
        if not rebuilt_rows:
            problem = f"{key} cannot be read ({reason}) and there is no staged part to make it anew from"
            log.error(problem)
            return replace(report, failed=(partition,), problems=(*report.problems, problem))
        aside = layout.quarantined(partition, f"stats-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        self._storage.put(aside, data)
        problem = (
            f"{key} could not be read ({reason}): it is kept as {aside}, and was made anew of the staged parts that "
            f"are left, {rebuilt_rows} point(s); what had been sealed before is missing until {aside} is mended"
        )
        log.error(problem)
        return replace(
            report,
            rebuilt=(partition,),
            quarantined=(*report.quarantined, aside),
            problems=(*report.problems, problem),
        )

    def _read_parts(self, partition: Partition, names: Sequence[str]) -> _Parts:
        parts = _Parts({}, [], [])
        for name in names:
            key = layout.part(partition, name)
            try:
                parts.tables[name] = self._table(key, partition)
            except UnreadableFileError as error:
                aside = layout.quarantined(partition, name)
                self._storage.move(key, aside)
                parts.quarantined.append(aside)
                parts.problems.append(f"{key} could not be used ({error.message}) and was set aside as {aside}")
            except FileNotFoundError:
                raise FileChangedError(f"{key} was sealed by somebody else", key=key) from None
            except OSError as error:
                parts.problems.append(f"{key} could not be read and stays staged: {error}")
        for problem in parts.problems:
            log.error(problem)
        return parts

    def _delete_verified(self, partition: Partition) -> int | None:
        """Delete the parts whose points all stand in the published file, read back; None when not all do."""
        names = part_names(self._storage, partition)
        try:
            published = self._table(layout.stats(partition), partition)
            parts = [self._table(layout.part(partition, name), partition) for name in names]
        except (UnreadableFileError, OSError):
            return None if names else 0
        if files.merge([published, *parts]).num_rows != published.num_rows:
            return None
        self._storage.settle(layout.stats(partition))
        self._storage.delete(layout.part(partition, name) for name in names)
        return len(names)

    def _table(self, key: str, partition: Partition) -> pa.Table:
        return files.decode(self._storage.read(key).data, partition).table


def staged_hours(storage: Storage) -> list[Partition]:
    """The hours that have a folder for parts, in order."""
    hours: list[Partition] = []
    for date in storage.children(layout.PARTS):
        for hour in storage.children(f"{layout.PARTS}/{date}"):
            try:
                hours.append(Partition.parse(f"{date}/{hour}"))
            except ValueError:
                log.warning("%s/%s/%s is no partition of the vault", layout.PARTS, date, hour)
    return hours


def part_names(storage: Storage, partition: Partition) -> list[str]:
    """The names of an hour's staged parts, in the order in which they are merged."""
    names = storage.children(layout.parts(partition))
    return [name.removesuffix(layout.SUFFIX) for name in names if name.endswith(layout.SUFFIX)]


def _hour_of(point: MetricPoint) -> Partition:
    return Partition.of(point.timestamp)
