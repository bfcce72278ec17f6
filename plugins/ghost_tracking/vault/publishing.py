"""Staging, publishing and sealing: how points get into `stats.parquet`.

Writers never touch a published file: they stage parts. A publication makes `stats.parquet` of what was published
before and of all parts that it does not contain yet; which ones it contains stands in its own footer, so that
points and list change in one step. Parts stay until their hour is sealed. Hence a publication that is killed, or
wakes up late and overwrites a newer file, loses nothing: the next one finds what is missing and merges it.

While an hour has parts, readers look into its published file even where the hour is compacted. Sealing notes a
compacted hour that has changed as stale before it deletes the parts.
"""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa

from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import SOON, MetricPoint, is_future, refuse_future
from ghost_tracking.errors import (
    FileChangedError,
    ForeignFileError,
    PartitionBusyError,
    SchemaDriftError,
    UnreadableFileError,
)
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.files import points_of_hour
from ghost_tracking.vault.history.manifest import load, mark_stale
from ghost_tracking.vault.kit.leftovers import LEFTOVER_AGE
from ghost_tracking.vault.kit.manifests import retry_overtaken
from ghost_tracking.vault.kit.staging import StagedParts, Trouble
from ghost_tracking.vault.listing import part_names, published_sizes, staged_hours, staged_names
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.points.counts import HourCount, HourCounts, note_counts
from ghost_tracking.vault.reports import PublishReport, SealReport, StagedPart
from ghost_tracking.vault.storage import Storage, Version

log = logging.getLogger(__name__)


_Work = Callable[[Partition], PublishReport]


@dataclass(frozen=True, slots=True)
class _Published:
    """An hour's `stats.parquet` as bytes (None: there is none), or why it cannot be read."""

    data: bytes | None
    version: Version | None
    footer: files.Footer
    damage: str | None = None

    def damaged(self, reason: str) -> "_Published":
        """The same, found to be broken when it was looked into."""
        return _Published(None, self.version, _NOTHING, reason)


_NOTHING: Final = files.Footer(0, frozenset(), None, sealed=False, groups=0)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of an hour that could be read, by name in their order, and what was wrong with the others."""

    tables: dict[str, pa.Table]
    trouble: Trouble

    @property
    def report(self) -> PublishReport:
        return PublishReport(quarantined=tuple(self.trouble.quarantined), problems=tuple(self.trouble.problems))


class Publisher:
    """The writing side of the vault on one storage."""

    def __init__(self, storage: Storage, lock_timeout: float) -> None:
        self._storage = storage
        self._lock_timeout = lock_timeout
        self._written: dict[Partition, HourCount] = {}

    def stage(self, points: Sequence[MetricPoint]) -> list[StagedPart]:
        """Write one durable part for each hour that `points` touch; BadPointsError, before that, for the future's."""
        if not points:
            return []
        table = tables.table_of(points)
        refuse_future(points, datetime.now(UTC))
        where = tables.hours(table)
        touched = np.unique(where)
        if len(touched) == 1:
            return [self._stage_part(tables.partition_of(touched[0]), table)]
        return [self._stage_part(tables.partition_of(hour), table.filter(pa.array(where == hour))) for hour in touched]

    def _stage_part(self, partition: Partition, table: pa.Table) -> StagedPart:
        return StagedPart(partition, self._staged(partition).stage(files.encode_part(table)), table.num_rows)

    def _staged(self, partition: Partition) -> StagedParts:
        return StagedParts(self._storage, layout.parts(partition), partial(_decoded, partition))

    def publish(self, partitions: Collection[Partition] | None) -> PublishReport:
        """Merge what is staged and not published yet, in `partitions` or (None) anywhere."""
        hours = self._perhaps_lacking() if partitions is None else sorted(set(partitions))
        now = datetime.now(UTC)
        begun = [hour for hour in hours if not is_future(hour.starts_at, now)]
        pending = [hour for hour in begun if self._lacks_parts(hour)]
        report = self._each_alone(pending, lambda hour: retry_overtaken(partial(self._merge_new, hour)))
        return report + self._ahead([hour for hour in hours if hour not in set(begun)], now)

    def _ahead(self, hours: Collection[Partition], now: datetime) -> PublishReport:
        """Parts of hours to come were staged by another clock: those of soon wait for their hour, others go aside."""
        for hour in hours:
            if hour.starts_at <= now + SOON:
                log.warning("%s lies in the future: its parts stay staged until it begins", hour)
        return self._each_alone([hour for hour in hours if hour.starts_at > now + SOON], self.set_parts_aside)

    def set_parts_aside(self, partition: Partition) -> PublishReport:
        """Move an hour's parts, which lie in the future, to the quarantine."""
        report = PublishReport()
        for key in self._staged(partition).listed():
            aside = layout.quarantined(key)
            self._storage.move(key, aside)
            problem = f"{key} has points of the future and was set aside as {aside}: a machine's clock was wrong"
            log.error(problem)
            report += PublishReport(quarantined=(aside,), problems=(problem,))
        return report

    def seal(self, now: datetime, margin: timedelta) -> SealReport:
        """Write the hours that ended before `now - margin` once more, prove that they hold all parts, delete those."""
        due = [hour for hour in staged_hours(self._storage) if hour.ends_at + margin <= now]
        sealed: dict[Partition, int] = {}
        unverified: list[Partition] = []

        def seal_hour(partition: Partition) -> PublishReport:
            report = retry_overtaken(partial(self._merge_all, partition))
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
        report = PublishReport.combined([self._alone(hour, work, deadline) for hour in hours])
        note_counts(self._storage, self._written)
        self._written = {}
        return report

    def _alone(self, partition: Partition, work: _Work, deadline: float) -> PublishReport:
        """An hour that is held, or cannot be worked on, is reported and does not stop the others."""
        try:
            with self._storage.lock(layout.lock(partition), max(0.0, deadline - time.monotonic())):
                return work(partition)
        except (PartitionBusyError, FileChangedError):
            log.warning("%s is being written by somebody else: its parts stay staged", partition)
            return PublishReport(busy=(partition,))
        except (OSError, SchemaDriftError, ForeignFileError) as error:
            problem = f"{partition} could not be published, its parts stay staged: {error}"
            log.error(problem)
            return PublishReport(failed=(partition,), problems=(problem,))

    def _perhaps_lacking(self) -> list[Partition]:
        """The hours with parts, but those of which it is noted that their files, as they are now, have just these.

        Parts stay until the night, and so do most of their hours as they are: a few listings tell that, and not a
        footer of each.
        """
        names = staged_names(self._storage)
        counts = HourCounts.of(self._storage)[0] if names else HourCounts()
        dates = sorted({hour.date for hour in names})
        sizes = {hour: size for date in dates for hour, size in published_sizes(self._storage, date).items()}
        known = {hour: counts.count(hour, sizes[hour]) for hour in names if hour in sizes}
        return [hour for hour in names if (count := known.get(hour)) is None or not count.has_merged(names[hour])]

    def _lacks_parts(self, partition: Partition) -> bool:
        """Whether there are parts that the published file does not list; reads its footer only, and no lock."""
        try:
            names = part_names(self._storage, partition)
            if not names:
                return False
            footer, _ = files.footer_at(self._storage, layout.stats(partition))
        except (OSError, UnreadableFileError):
            return True
        return not footer.parts.issuperset(names)

    def _merge_new(self, partition: Partition) -> PublishReport:
        """Add the points of parts that the published file does not list to its end."""
        return self._merge_new_into(partition, self._read_published(partition))

    def _merge_new_into(self, partition: Partition, published: _Published) -> PublishReport:
        names = part_names(self._storage, partition)
        listed = published.footer.parts
        parts = self._read_parts(partition, [name for name in names if name not in listed])
        merged = {*parts.tables, *listed.intersection(names)}
        try:
            fresh = _fresh(published, self._rest(partition, published), parts)
            data = _grown(published, fresh, merged, partition)
        except UnreadableFileError as error:
            return self._merge_new_into(partition, published.damaged(error.message))
        unlisted = parts.tables.keys() - listed
        if not (fresh.num_rows or unlisted):
            return self._with_broken(partition, published, parts.report)
        return self._replace(partition, published, data, parts.report, fresh.num_rows, len(unlisted))

    def _merge_all(self, partition: Partition) -> PublishReport:
        """Write the published file once more, sorted, with the points of every part, listed or not."""
        published = self._read_published(partition)
        before = tables.concat([])
        if published.data is not None:
            try:
                before = files.decode(published.data, partition)
            except UnreadableFileError as error:
                published = published.damaged(error.message)
        parts = self._read_parts(partition, part_names(self._storage, partition))
        together = tables.merge([before, self._rest(partition, published), *parts.tables.values()])
        added = together.num_rows - before.num_rows
        unlisted = parts.tables.keys() - published.footer.parts
        if not (added or unlisted) and (published.footer.sealed or not together.num_rows):
            return self._with_broken(partition, published, parts.report)
        data = files.encode_sealed(together, parts.tables.keys())
        return self._replace(partition, published, data, parts.report, added, len(unlisted))

    def _replace(
        self, partition: Partition, published: _Published, data: bytes, found: PublishReport, added: int, merged: int
    ) -> PublishReport:
        found = self._with_broken(partition, published, found, rebuilt_rows=added)
        self._storage.replace(layout.stats(partition), data, expecting=published.version)
        self._written[partition] = HourCount.of(files.read_footer(data), len(data))
        return replace(found, written=(partition,), points_added=added, parts_merged=merged, bytes=len(data))

    def _read_published(self, partition: Partition) -> _Published:
        key = layout.stats(partition)
        try:
            blob = self._storage.read(key)
        except FileNotFoundError:
            return _Published(None, None, _NOTHING)
        try:
            return _Published(blob.data, blob.version, files.read_footer(blob.data))
        except SchemaDriftError as error:
            # Intact, so of another version of this program: not ours to replace.
            raise SchemaDriftError(f"{key} has {error.message}", key=key) from error
        except UnreadableFileError as error:
            return _Published(None, blob.version, _NOTHING, damage=error.message)

    def _rest(self, partition: Partition, published: _Published) -> pa.Table:
        """What the history has of an hour whose published file is broken; nothing of any other."""
        if published.damage is not None:
            try:
                return points_of_hour(self._storage, load(self._storage)[0], partition)
            except (UnreadableFileError, FileNotFoundError) as error:
                log.error("%s is not rebuilt from its history: %s", partition, error)
        return tables.concat([])

    def _with_broken(
        self, partition: Partition, published: _Published, report: PublishReport, rebuilt_rows: int = 0
    ) -> PublishReport:
        """Keep a copy of a broken published file before it is replaced, and say so; in place it stays as it is."""
        if published.damage is None:
            return report
        key = layout.stats(partition)
        if not rebuilt_rows:
            problem = f"{key} cannot be read ({published.damage}) and there is no staged part to rebuild it from"
            log.error(problem)
            return replace(report, failed=(partition,), problems=(*report.problems, problem))
        aside = layout.quarantined(key, f"-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        self._storage.put(aside, self._storage.read(key).data)
        problem = (
            f"{key} could not be read ({published.damage}): it is kept as {aside}, and was rebuilt from the staged "
            f"parts that are left, and of its history where it is compacted, {rebuilt_rows} point(s); where it is not, "
            f"what had been sealed before is missing until {aside} is mended"
        )
        log.error(problem)
        return replace(
            report,
            rebuilt=(partition,),
            quarantined=(*report.quarantined, aside),
            problems=(*report.problems, problem),
        )

    def _read_parts(self, partition: Partition, names: Sequence[str]) -> _Parts:
        trouble = Trouble()
        read = self._staged(partition).read(trouble, [layout.part(partition, name) for name in names])
        parts = _Parts({key.rpartition("/")[2]: table for key, table in read}, trouble)
        for key in trouble.gone:
            raise FileChangedError(f"{key} was sealed by somebody else", key=key)
        return parts

    def _delete_verified(self, partition: Partition) -> int | None:
        """Delete the parts whose points all stand in the published file, read back; None when not all do."""
        staged = self._staged(partition)
        keys = staged.listed()
        try:
            published = files.decode(self._storage.read(layout.stats(partition)).data, partition)
            parts = [staged.load(key) for key in keys]
        except (UnreadableFileError, OSError):
            return None if keys else 0
        if tables.merge([published, *parts]).num_rows != published.num_rows:
            return None
        self._storage.sync(layout.stats(partition))
        mark_stale(self._storage, partition, published)
        self._storage.delete(keys)
        return len(keys)


def _decoded(partition: Partition, key: str, data: bytes) -> pa.Table:
    try:
        return files.decode(data, partition)
    except UnreadableFileError as error:
        raise type(error)(f"{key} cannot be used: {error.message}", key=key) from error


def _fresh(published: _Published, rest: pa.Table, parts: _Parts) -> pa.Table:
    """The points of the history and parts whose keys are not published; sorted by key."""
    staged = tables.merge([rest, *parts.tables.values()])
    if published.data is None or not staged.num_rows:
        return staged
    return tables.without(staged, files.keys_of_span(published.data, staged))


def _grown(published: _Published, fresh: pa.Table, parts: Collection[str], partition: Partition) -> bytes:
    if published.data is None:
        return files.encode(fresh, parts)
    if published.footer.groups > files.MOST_ROW_GROUPS:
        return files.encode(tables.concat([files.decode(published.data, partition), fresh]), parts)
    return files.grow(published.data, fresh, parts)
