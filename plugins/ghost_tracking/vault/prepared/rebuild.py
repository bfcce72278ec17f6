"""The gains of the last days, made of the points: for a vault from before there were any, or where a file was lost.

Points are read by video, all sources merged, and each reading compared with the one before it. An interval that began
more than `LOOK_BACK` before the first hour that is kept is not found: it is longer than a week.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa

from ghost_tracking.core.gains import WINDOWS
from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.errors import FileChangedError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.manifest import HistoryManifest, current
from ghost_tracking.vault.history.reader import HistoryReader
from ghost_tracking.vault.listing import hours_between
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.prepared import REBUILT_FROM, ranking
from ghost_tracking.vault.prepared.gain_files import BINS_AN_HOUR
from ghost_tracking.vault.prepared.gains import KEPT_FOR, MOST_KEPT, Gains
from ghost_tracking.vault.prepared.ranking import NOTHING, SCHEMA, PerWindow
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)

LOOK_BACK: Final = REBUILT_FROM - KEPT_FOR
"""Before the first hour: a weekly interval, and what a reading may be late."""

Progress = Callable[[int], None]
"""Is told now and then how many points were read."""

_ATTEMPTS: Final = 3
_AT_A_TIME: Final = 1 << 16
_BEFORE_TRIMMING: Final = 24_000
_BIN_MICROS: Final = 3_600_000_000 // BINS_AN_HOUR


def rebuild(
    storage: Storage, lock_timeout: float, now: datetime, progress: Progress | None = None, most: int = _AT_A_TIME
) -> int:
    """Make the gains of every hour of the `KEPT_FOR` before `now` (aware) from the points; of how many points.

    An hour without a point that had ended by `now` gets no gain but those that its file has; later hours are let alone.

    Reads every point of 16 days once. Holds some 65,000 points (`most`) of each day or month that is compacted, all of
    the hours that are not, and at most 24,000 intervals of each of 193 hours: half a gigabyte at 230,000 points an hour
    when it runs after the day before was compacted. Reads again, three times at the most, when a file is compacted
    meanwhile. Raises UnreadableFileError, naming the file, PartitionBusyError, OSError.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _rebuild(storage, lock_timeout, now, progress, most)
        except (FileNotFoundError, FileChangedError):
            log.info("A file was compacted meanwhile: the gains are read again")
    return _rebuild(storage, lock_timeout, now, progress, most)


def _rebuild(storage: Storage, lock_timeout: float, now: datetime, progress: Progress | None, most: int) -> int:
    first = Partition.of(now - KEPT_FOR)
    hours = _Hours(first.starts_at, now)
    points = 0
    for table in tables.merge_sorted(_sources(storage, first.starts_at - LOOK_BACK, now, most)):
        points += table.num_rows
        hours.add(intervals(table))
        if progress is not None:
            progress(points)
    gains = Gains(storage, lock_timeout)
    # an hour that has not ended may have gains of points that were published after these were read, or not yet
    ended = {each for each in gains.hours() if each >= first and each.ends_at <= now}
    for hour in sorted(hours.found | ended):
        gains.put_hour(hour, *hours.of(hour))
    gains.complete_since(first.starts_at)
    return points


def intervals(table: pa.Table) -> pa.Table:
    """The intervals between the counts of each video; the points are sorted by key."""
    table = table.filter(table["views"].is_valid())
    count = max(0, table.num_rows - 1)
    before, after = table.slice(0, count), table.slice(1)
    codes = table["video_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    same = pa.array(codes[1:] == codes[:-1])
    columns = [after["video_id"], before["timestamp"], after["timestamp"], before["views"], after["views"]]
    return pa.table(columns, schema=SCHEMA).filter(same)


class _Hours:
    """The largest gains of each hour, as intervals come in, in any order."""

    def __init__(self, begin: datetime, end: datetime) -> None:
        self._begin, self._end = begin, end
        self._rows: dict[int, list[pa.Table]] = {}
        self._held: dict[int, int] = {}
        self._left: dict[int, PerWindow] = {}
        self._counts: dict[int, np.ndarray[Any, np.dtype[np.int64]]] = {}

    @property
    def found(self) -> set[Partition]:
        """The hours that have intervals."""
        return {tables.partition_of(hour) for hour in self._counts}

    def add(self, table: pa.Table) -> None:
        """More intervals; those that ended at another time than is looked at are passed over."""
        table = ranking.ended_within(table, self._begin, self._end)
        if not table.num_rows:
            return
        until = tables.numbers(table["until"])
        order = np.argsort(until, kind="stable")
        table, until = table.take(pa.array(order)), until[order]
        hours = until // (BINS_AN_HOUR * _BIN_MICROS)
        edges = [0, *(np.flatnonzero(np.diff(hours)) + 1).tolist(), len(hours)]
        for start, stop in pairwise(edges):
            self._add_to(int(hours[start]), table.slice(start, stop - start), until[start:stop])

    def _add_to(self, hour: int, table: pa.Table, until: tables.Numbers) -> None:
        bins = until // _BIN_MICROS % BINS_AN_HOUR
        counts = self._counts.setdefault(hour, np.zeros((BINS_AN_HOUR, len(WINDOWS)), dtype=np.int64))
        for number, window in enumerate(WINDOWS.values()):
            tells = ~np.isnan(ranking.scaled(table, window))
            counts[:, number] += np.bincount(bins[tells], minlength=BINS_AN_HOUR)
        self._keep(hour, table)
        if self._held[hour] > _BEFORE_TRIMMING:
            self._trim(hour)

    def _keep(self, hour: int, table: pa.Table) -> None:
        # a copy of what is kept, so that not all that was read along with it stays in memory
        table, left = ranking.largest(table, MOST_KEPT)
        self._rows.setdefault(hour, []).append(table.combine_chunks())
        self._held[hour] = self._held.get(hour, 0) + table.num_rows
        self._left[hour] = ranking.joined(left, self._left.get(hour, NOTHING))

    def _trim(self, hour: int) -> pa.Table:
        """What is kept of an hour, as one table."""
        rows = pa.concat_tables([SCHEMA.empty_table(), *self._rows.pop(hour, [])])
        self._held[hour] = 0
        self._keep(hour, rows)
        return self._rows[hour][0]

    def of(self, hour: Partition) -> tuple[pa.Table, dict[int, list[int]], PerWindow]:
        """The largest gains of an hour, how many intervals ended in each twelfth of it, and what the others gained."""
        number = tables.hour_number(hour)
        if number not in self._counts:
            return SCHEMA.empty_table(), {}, NOTHING
        counts = {place: each.tolist() for place, each in enumerate(self._counts[number]) if each.any()}
        return self._trim(number), counts, self._left[number]


def _sources(storage: Storage, start: datetime, end: datetime, most: int) -> list[Iterator[pa.Table]]:
    """The points of [start, end], each source sorted by key; of a point that two have, either will do."""
    manifest, _ = current(storage)
    names = sorted({file.period for period in manifest.periods for file in manifest.files_of(period)})
    periods = [period for period in map(Period.parse, names) if period.meets(start, end)]
    compacted = [_of_history(storage, manifest, period, start, most) for period in periods]
    hours = (
        hour for hour in hours_between(storage, start, end) if not manifest.holds(hour.date) or manifest.is_stale(hour)
    )
    return [*compacted, *(_of_hour(storage, hour) for hour in hours)]


def _of_history(
    storage: Storage, manifest: HistoryManifest, period: Period, start: datetime, most: int
) -> Iterator[pa.Table]:
    for file in manifest.files_of(period):
        if file.period == period.name:
            for table in HistoryReader(storage, file.path).batches(most):
                yield tables.within(table, start, None)


def _of_hour(storage: Storage, hour: Partition) -> Iterator[pa.Table]:
    try:
        data = storage.read(layout.stats(hour)).data
    except FileNotFoundError:
        return
    yield from files.sorted_chunks(data, hour)
