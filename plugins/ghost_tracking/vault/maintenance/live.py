"""The published files as one listing has them, and what they hold: by notes where those are true, else by footers."""

import datetime as dt
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Final

from ghost_tracking.core.partitions import Partition
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.manifest import HistoryManifest
from ghost_tracking.vault.kit.caches import VersionCache
from ghost_tracking.vault.listing import names_by_hour, published_dates, published_sizes
from ghost_tracking.vault.points import files
from ghost_tracking.vault.points.counts import HourCount, HourCounts
from ghost_tracking.vault.storage import Storage

_THREADS: Final = 8
"""Footers are small: what takes time is asking for them one by one, on an object store."""

_KNOWN: Final = VersionCache[HourCount](most=2_000)
"""By the size of the file: a published file that is written again is of another size."""


class LiveHours:
    """The hours that are not compacted, and the staged parts, as they were when they were first asked for.

    Lists `metrics/` by date, each date that is not compacted, and the parts: some six requests to an object store,
    whatever the vault's age (one more for each thousand dates).
    """

    def __init__(self, storage: Storage, manifest: HistoryManifest) -> None:
        self._storage = storage
        self._manifest = manifest

    @cached_property
    def staged(self) -> Mapping[str, int]:
        """The size of each file below `_staging/`, by its key."""
        return dict(self._storage.walk(layout.STAGING))

    @cached_property
    def parts(self) -> Mapping[Partition, list[str]]:
        """The names of the staged parts of each hour that has any."""
        return names_by_hour(self.staged)

    @cached_property
    def sizes(self) -> Mapping[Partition, int]:
        """The size of the published file of each hour that is not compacted, in order."""
        dates = [date for date in published_dates(self._storage) if not self._manifest.holds(date)]
        return {hour: size for date in dates for hour, size in published_sizes(self._storage, date).items()}

    @cached_property
    def changed(self) -> frozenset[Partition]:
        """The compacted hours whose files may have points that the history lacks: stale ones, those with parts."""
        stale = set(map(Partition.parse, self._manifest.stale))
        return frozenset(stale | {hour for hour in self.parts if self._manifest.holds(hour.date)})

    @cached_property
    def _noted(self) -> HourCounts:
        return HourCounts.of(self._storage)[0]

    def points(self, start: dt.datetime | None, end: dt.datetime | None) -> dict[Partition, int]:
        """The points of the hours that meet [start, end) and are not compacted, or changed since; see `counts`."""
        sizes = {hour: size for hour, size in self.sizes.items() if hour.meets(start, end)}
        changed = [hour for hour in self.changed if hour.meets(start, end)]
        for date in sorted({hour.date for hour in changed}):
            found = published_sizes(self._storage, date)
            sizes |= {hour: found[hour] for hour in changed if hour in found}
        return {
            hour: self._manifest.points(hour, count.rows, changed=hour in self.changed)
            for hour, count in self.counts(sizes).items()
        }

    def counts(self, sizes: Mapping[Partition, int]) -> dict[Partition, HourCount]:
        """What the files of these hours hold, which have these sizes; those that are gone since are absent.

        Raises UnreadableFileError, naming the file, OSError.
        """
        noted = {hour: count for hour, size in sizes.items() if (count := self.noted(hour, size)) is not None}
        with ThreadPoolExecutor(_THREADS) as threads:
            others = [(hour, size) for hour, size in sizes.items() if hour not in noted]
            read = threads.map(lambda each: self._kept(*each), others)
            noted |= {hour: count for (hour, _), count in zip(others, read, strict=True) if count is not None}
        return noted

    def count(self, hour: Partition) -> HourCount | None:
        """What the file of an hour that is not compacted holds; None where there is none; raises as `counts`."""
        return self.counts({hour: self.sizes[hour]}).get(hour)

    def noted(self, hour: Partition, size: int) -> HourCount | None:
        """What was noted of the hour's file, if it has this size."""
        return self._noted.count(hour, size)

    def _kept(self, hour: Partition, size: int) -> HourCount | None:
        """What the footer tells, read once in a process for each size of the file; None where there is no file."""
        key = layout.stats(hour)

        def load() -> tuple[HourCount, int]:
            footer, found = files.footer_at(self._storage, key)
            return HourCount.of(footer, found), found

        try:
            return _KNOWN.get(self._storage, key, size, load)[0]
        except FileNotFoundError:
            return None
        except UnreadableFileError as error:
            raise type(error)(f"{key} cannot be read: {error.message}", key=key) from error


def footers_of(storage: Storage, hours: Iterable[Partition]) -> dict[Partition, tuple[files.Footer, int] | str]:
    """The footers of these hours' files with the files' sizes, or why one cannot be read; absent without a file."""
    chosen = list(hours)
    with ThreadPoolExecutor(_THREADS) as threads:
        found = threads.map(lambda hour: footer_of(storage, hour), chosen)
        return {hour: each for hour, each in zip(chosen, found, strict=True) if each is not None}


def footer_of(storage: Storage, hour: Partition) -> tuple[files.Footer, int] | str | None:
    """An hour's footer and its file's size; why it cannot be read; None where there is no file."""
    key = layout.stats(hour)
    try:
        return files.footer_at(storage, key)
    except FileNotFoundError:
        return None
    except (UnreadableFileError, OSError) as error:
        return f"{key}: {error}"
