"""The hourly files of compacted days: which there are, and which go because the history has all their points."""

import datetime as dt
from collections.abc import Set
from contextlib import suppress
from typing import Final

from ghost_tracking.core.partitions import Partition
from ghost_tracking.errors import FileChangedError, PartitionBusyError, UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.files import beyond_history
from ghost_tracking.vault.history.manifest import HistoryManifest, load
from ghost_tracking.vault.listing import part_names, published_dates, published_hours
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.points.tables import Checksum
from ghost_tracking.vault.reports import CompactReport
from ghost_tracking.vault.storage import Storage, Version

_LOCK_SECONDS: Final = 5.0


def hours_of(storage: Storage, date: dt.date) -> list[Partition]:
    """The hours of a date that have a file. Folders without one, which whoever was killed left, go."""
    hours = published_hours(storage, date)
    there = [hour for hour in hours if storage.version(layout.stats(hour)) is not None]
    empty = [hour.path for hour in hours if hour not in there] if hours else [f"date={date.isoformat()}"]
    storage.prune(f"{layout.METRICS}/{folder}" for folder in empty)
    return there


def drop_hours(storage: Storage, stale: Set[Partition] | None) -> CompactReport:
    """Delete the hourly files whose points are all in the history; the manifest says so before they go.

    Where hours are kept, only those of `stale` and of compacted-only hours that have less than the history. An hour is
    held at a time.
    """
    manifest, version = load(storage)
    dates = set(manifest.days) if stale is None else _dates(manifest, stale)
    covered = {
        hour: seen
        for date in published_dates(storage)
        if date.isoformat() in dates
        for hour in hours_of(storage, date)
        if stale is None or hour in stale or manifest.is_compacted_only(hour)
        if (seen := _version_covered(storage, hour, manifest, whole=stale is None)) is not None
    }
    if covered:
        manifest.with_compacted_only(covered).replace(storage, layout.HISTORY_MANIFEST, expecting=version)
    return CompactReport(hours_deleted=sum(_drop(storage, hour, seen) for hour, seen in covered.items()))


def _dates(manifest: HistoryManifest, stale: Set[Partition]) -> set[str]:
    """The compacted dates of these and of compacted-only hours."""
    return {hour.date.isoformat() for hour in stale} | {
        name for name, day in manifest.days.items() if day.compacted_only
    }


def _version_covered(storage: Storage, hour: Partition, manifest: HistoryManifest, *, whole: bool) -> Version | None:
    """The version of an hour's file if all its points are in the history, to the last one; else None.

    Of one that has all that they have, only if `whole` ones are to go.
    """
    if manifest.is_stale(hour) or part_names(storage, hour):
        return None
    try:
        blob = storage.read(layout.stats(hour))
        points = files.decode(blob.data, hour)
        known = manifest.checksum(hour) or Checksum(0, 0)
        if points.num_rows >= known.rows:
            same = tables.checksums(points).get(hour, Checksum(0, 0)) == known
            return blob.version if whole and same else None
        # a part of the hour: what came late after its file had gone
        return None if beyond_history(storage, manifest, hour, points).num_rows else blob.version
    except (UnreadableFileError, FileNotFoundError):
        return None


def _drop(storage: Storage, hour: Partition, version: Version) -> bool:
    key = layout.stats(hour)
    with (
        suppress(PartitionBusyError, FileChangedError),
        storage.lock(layout.lock(hour), _LOCK_SECONDS),
    ):
        storage.discard(key, expecting=version)
        return True
    return False
