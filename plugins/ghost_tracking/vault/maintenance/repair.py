"""Repair: publish what was left staged, set aside what is broken, and rebuild it from the layer that has it."""

import datetime as dt
import logging
from contextlib import suppress

import pyarrow as pa

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.core.points import is_future
from ghost_tracking.errors import (
    FileChangedError,
    ForeignFileError,
    PartitionBusyError,
    SchemaDriftError,
    UnreadableFileError,
)
from ghost_tracking.vault import future_points, layout, metadata
from ghost_tracking.vault.history.compaction import Compactor
from ghost_tracking.vault.history.files import checksums_of, points_of_hour
from ghost_tracking.vault.history.manifest import HistoryManifest, load, mark_stale
from ghost_tracking.vault.history.reader import HistoryReader
from ghost_tracking.vault.latest import proof
from ghost_tracking.vault.listing import hours_between, part_names, published_hours
from ghost_tracking.vault.maintenance.period_layers import PERIOD_LAYERS
from ghost_tracking.vault.maintenance.verify import problem_of_bytes, read_hour
from ghost_tracking.vault.period_files import PeriodFiles
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.points.tables import Checksum
from ghost_tracking.vault.prepared import upkeep
from ghost_tracking.vault.publishing import Publisher
from ghost_tracking.vault.reports import RepairReport
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)


class Repairer:
    """Mends the vault on one storage. The caller holds `layout.HISTORY_LOCK`.

    A broken file is never deleted: it is copied to the quarantine before another takes its place. Files of another
    version of this program (`SchemaDriftError`), and symbolic links, are left alone.
    """

    def __init__(self, storage: Storage, lock_timeout: float) -> None:
        self._storage = storage
        self._lock_timeout = lock_timeout

    def repair(self) -> RepairReport:
        """Mend what `verify` finds, as far as some layer or staged part has it; what none has is `lost`."""
        publisher = Publisher(self._storage, self._lock_timeout)
        now = dt.datetime.now(dt.UTC)
        report = RepairReport(published=publisher.publish(None))
        for hour in future_points.staged(self._storage, now):
            report += RepairReport(published=publisher.set_parts_aside(hour))
        report += self._mend_manifest()
        report += self._set_future_aside(now)
        manifest, _ = load(self._storage)
        for period in manifest.periods:
            report += self._mend_period(period)
        for hour in list(hours_between(self._storage, None, None)):
            report += self._mend_hour(hour)
        report += RepairReport(reindexed=tuple(metadata.mend_words(self._storage, self._lock_timeout)))
        newest = proof.mend(self._storage, now)
        report += RepairReport(shards=newest.shards, problems=newest.problems)
        for layer in PERIOD_LAYERS:
            report += PeriodFiles(layer, self._storage, self._lock_timeout).repair()
        return report + upkeep.repair(self._storage, self._lock_timeout, now)

    def _mend_manifest(self) -> RepairReport:
        """A damaged manifest is rebuilt from all files of the history that there are."""
        try:
            load(self._storage)
        except UnreadableFileError as error:
            log.error(error.message)
            version = self._storage.version(layout.HISTORY_MANIFEST)
            quarantined = [] if version is None else [self._set_aside(layout.HISTORY_MANIFEST)]
            found = self._history_files()
            sound = {period: self._sound(names, quarantined) for period, names in found.items()}
            made = self._compared(Compactor(self._storage).manifest_of(sound))
            # in one step: until then nobody takes the vault for one that has no history
            made.replace(self._storage, layout.HISTORY_MANIFEST, expecting=version)
            self._storage.delete(name for names in found.values() for name in names)
            return RepairReport(recompacted=tuple(made.periods), quarantined=tuple(quarantined))
        return RepairReport()

    def _compared(self, manifest: HistoryManifest) -> HistoryManifest:
        """A rebuilt manifest, with what only the files of hours tell: which are compacted-only or stale."""
        checksums = {hour: each for period in manifest.periods for hour, each in manifest.checksums(period).items()}
        dates = map(dt.date.fromisoformat, manifest.days)
        compacted_only, stale = [], []
        for hour in {*checksums, *(hour for date in dates for hour in published_hours(self._storage, date))}:
            known = checksums.get(hour, Checksum(0, 0))
            try:
                points = read_hour(self._storage, hour)
            except FileNotFoundError:
                compacted_only += [hour] if known.rows else []
            except UnreadableFileError:
                continue  # it is mended next
            else:
                compacted_only += [hour] if points.num_rows < known.rows else []
                stale += [hour] if tables.checksums(points).get(hour, Checksum(0, 0)) != known else []
        return manifest.with_compacted_only(compacted_only).with_stale(stale)

    def _set_future_aside(self, now: dt.datetime) -> RepairReport:
        """Points of hours to come leave the layers that readers see, and are kept in the quarantine."""
        report = RepairReport()
        manifest, _ = load(self._storage)
        for hour in future_points.compacted(manifest, now):
            key = layout.quarantined(layout.stats(hour), f"-of-history-{now:%Y%m%dT%H%M%S%f}")
            self._storage.put(key, files.encode_sealed(points_of_hour(self._storage, manifest, hour), []))
            report += _from_future(f"{layout.HISTORY}/: points of {hour}", key)
        for period in {
            each for each in manifest.periods if any(hour in each for hour in future_points.compacted(manifest, now))
        }:
            Compactor(self._storage).forget(period, lambda hour: is_future(hour.starts_at, now))
        for hour in future_points.published(self._storage, now):
            key = layout.stats(hour)
            try:
                with self._storage.lock(layout.lock(hour), self._lock_timeout):
                    aside = self._set_aside(key)
                    self._storage.delete([key])
            except PartitionBusyError:
                report += RepairReport(problems=(f"{key} is being written by somebody else: repair again",))
            else:
                report += _from_future(key, aside)
        return report

    def _history_files(self) -> dict[Period, list[str]]:
        """The files under `history/` by period; those of days within a month that has files count as the month's."""
        found: dict[Period, list[str]] = {}
        for key, _ in sorted(self._storage.walk(layout.HISTORY)):
            try:
                period = Period.parse(key.split("/")[1].partition("=")[2])
            except (ValueError, IndexError):
                continue
            found.setdefault(period, []).append(key)
        months = [period for period in found if period.is_month]
        for day in [period for period in found if not period.is_month]:
            for month in months:
                if day.first in month.dates:
                    found[month] += found.pop(day)
                    break
        return found

    def _mend_period(self, period: Period) -> RepairReport:
        """A history with a broken file, or other points than the manifest says, is rebuilt from files and hours."""
        manifest, _ = load(self._storage)
        named = manifest.files_of(period)
        names = [each.path for each in named]
        wanted = manifest.checksums(period)
        try:
            for each in named:
                HistoryReader.of(self._storage, each).check()
            if checksums_of(self._storage, names) == wanted and not self._differing(manifest, period):
                return RepairReport()
        except (UnreadableFileError, FileNotFoundError) as error:
            log.error("The history of %s is broken: %s", period, error)
        except OSError as error:
            return RepairReport(problems=(f"the history of {period} cannot be read now: {error}",))
        hours = [hour for date in period.dates for hour in self._sound_hours(date)]
        before = sum(each.rows for each in wanted.values())
        report = self._recompact(period, names, hours)
        after = sum(each.rows for each in load(self._storage)[0].checksums(period).values())
        if after < before:
            report += RepairReport(
                lost=(f"{before - after:,} of {before:,} points of {period} are in no layer any more",)
            )
        return report

    def _differing(self, manifest: HistoryManifest, period: Period) -> list[str]:
        """What is wrong with files that can be read, but have other bytes than were written."""
        return [problem for each in manifest.files_of(period) if (problem := problem_of_bytes(self._storage, each))]

    def _sound_hours(self, date: dt.date) -> list[Partition]:
        sound = []
        for hour in published_hours(self._storage, date):
            with suppress(UnreadableFileError, OSError):
                read_hour(self._storage, hour)
                sound.append(hour)
        return sound

    def _recompact(self, period: Period, names: list[str], hours: list[Partition]) -> RepairReport:
        aside: list[str] = []
        sound = self._sound(names, aside)
        compacted = Compactor(self._storage).rebuild(period, sound, hours)
        return RepairReport(recompacted=compacted.compacted, quarantined=tuple(aside))

    def _sound(self, names: list[str], aside: list[str]) -> list[str]:
        """Those files of the history that can be read and tell their borders, as whoever compacts them again needs.

        The broken ones are set aside; where is added to `aside`.
        """
        sound = []
        for key in names:
            try:
                checksums_of(self._storage, [key])
                HistoryReader(self._storage, key).borders()
                sound.append(key)
            except FileNotFoundError:
                continue
            except UnreadableFileError:
                aside.append(self._set_aside(key))
        return sound

    def _mend_hour(self, hour: Partition) -> RepairReport:
        """A broken hour is rewritten from its history; one that differs from it is compacted again."""
        manifest, _ = load(self._storage)
        try:
            points = read_hour(self._storage, hour)
        except (SchemaDriftError, ForeignFileError) as error:
            return RepairReport(problems=(f"{error.message}: it is left as it is",))
        except FileNotFoundError:
            return RepairReport()
        except UnreadableFileError:
            return self._restore(hour, manifest)
        if not manifest.holds(hour.date) or part_names(self._storage, hour):
            return RepairReport()
        report = RepairReport()
        if not manifest.is_compacted_only(hour):
            points, report = self._completed(hour, manifest, points)
        elif tables.checksums(points).get(hour) == manifest.checksum(hour):  # somebody has brought it back
            manifest, version = load(self._storage)
            manifest.not_compacted_only(hour).replace(self._storage, layout.HISTORY_MANIFEST, expecting=version)
        mark_stale(self._storage, hour, points)
        return report

    def _completed(self, hour: Partition, manifest: HistoryManifest, points: pa.Table) -> tuple[pa.Table, RepairReport]:
        """Rewrite an hour's file if it lacks points of its history; the hour's points, and what was done."""
        if tables.checksums(points).get(hour) == manifest.checksums(Period.day(hour.date)).get(hour):
            return points, RepairReport()
        known = points_of_hour(self._storage, manifest, hour)
        if not tables.without(known, tables.sort(points)).num_rows:
            return points, RepairReport()
        key = layout.stats(hour)
        try:
            with self._storage.lock(layout.lock(hour), self._lock_timeout):
                version = self._storage.version(key)
                whole = tables.merge([read_hour(self._storage, hour), known])
                self._storage.replace(key, files.encode_sealed(whole, []), expecting=version)
        except (PartitionBusyError, FileChangedError):
            return points, RepairReport(problems=(f"{key} is being written by somebody else: repair again",))
        return whole, RepairReport(restored=(hour,))

    def _restore(self, hour: Partition, manifest: HistoryManifest) -> RepairReport:
        key = layout.stats(hour)
        try:
            with self._storage.lock(layout.lock(hour), self._lock_timeout):
                version = self._storage.version(key)
                aside = self._set_aside(key)
                points = points_of_hour(self._storage, manifest, hour)
                if not points.num_rows:
                    self._storage.delete([key])
                    lost = f"the points of {key}, which is kept as {aside}, are in no other layer"
                    return RepairReport(quarantined=(aside,), lost=(lost,))
                self._storage.replace(key, files.encode_sealed(points, []), expecting=version)
        except (PartitionBusyError, FileChangedError):
            return RepairReport(problems=(f"{key} is being written by somebody else: repair again",))
        return RepairReport(quarantined=(aside,), restored=(hour,))

    def _set_aside(self, key: str) -> str:
        aside = layout.quarantined(key, f"-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S%f}")
        self._storage.put(aside, self._storage.read(key).data)
        return aside


def _from_future(what: str, aside: str) -> RepairReport:
    log.error("%s lies in the future: a machine's clock was wrong; what it has is kept as %s", what, aside)
    return RepairReport(quarantined=(aside,))
