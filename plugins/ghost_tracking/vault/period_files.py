"""Layers of one file a day or a month: rows are staged as parts, which publications merge into the file of their time.

A part is deleted only when all that it has is in the files of its periods: whoever is killed on the way leaves parts
that are merged once more, which changes nothing. A file is replaced as a whole, in one step, under its lock and by its
version, so that two publishers lose nothing of each other's. A layer says what its rows are and which of two that mean
the same stays (`PeriodLayer`); all else stands here once.
"""

import datetime as dt
import errno
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.core.partitions import Period
from ghost_tracking.errors import (
    FileChangedError,
    ForeignFileError,
    PartitionBusyError,
    SchemaDriftError,
    UnreadableFileError,
)
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.kit.manifests import Count, edit, retry_overtaken
from ghost_tracking.vault.kit.parquet import Bounds, Options
from ghost_tracking.vault.kit.staging import StagedParts, Trouble
from ghost_tracking.vault.reports import MergeReport, RepairReport
from ghost_tracking.vault.scan import ScanFilter
from ghost_tracking.vault.storage import Storage, Version

log = logging.getLogger(__name__)

ROWS_AT_A_TIME: Final = 500_000
"""So many rows of parts are held before they are merged, and one part more."""

_PERIODS: Final[dict[str, Callable[[dt.date], Period]]] = {"day": Period.day, "month": Period.month}


class RowCount(NamedTuple):
    """How many rows a file of so many bytes has."""

    bytes: Count
    rows: Count


@dataclass(frozen=True, slots=True, eq=False)
class PeriodLayer:
    """What tells such a layer from others.

    `folder` is its name too, `staged` the folder of its parts; `key` and `lock` give the file of a period, which is a
    `unit` (day or month, UTC), and what its writers hold. `holds`: what its rows are called. `times`: when each row
    belongs (no null). `merged`: the rows of several tables in their `order`, each once; what was merged before must
    stay as it is.
    """

    folder: str
    staged: str
    key: Callable[[Period], str]
    lock: Callable[[Period], str]
    unit: str
    holds: str
    order: str
    schema: pa.Schema
    bounds: Bounds
    options: Options
    times: Callable[[pa.Table], pa.ChunkedArray]
    merged: Callable[[Iterable[pa.Table]], pa.Table]
    rows_a_group: int | None = None

    def encode(self, table: pa.Table) -> bytes:
        """A file of these rows; OSError for more than a reader would take."""
        if table.num_rows > self.bounds.rows:
            most = f"{self.bounds.rows:,} {self.holds}, not {table.num_rows:,}"
            raise OSError(errno.EFBIG, f"A {self.unit} of {self.folder} holds up to {most}")
        return parquet.encode(table, self.options, row_group_size=self.rows_a_group)

    def decode(self, key: str, data: bytes) -> pa.Table:
        """All rows of a file or part; UnreadableFileError with its name for a broken one, SchemaDriftError for other
        columns.
        """
        table = parquet.decode(key, data, self.schema, self.bounds)
        if self.times(table).null_count:
            raise UnreadableFileError(f"{key} has {self.holds} without a time", key=key)
        return table

    def load(self, storage: Storage, period: Period) -> tuple[pa.Table, Version | None]:
        """A period's rows, and which version of its file that was; none and None where there is no file.

        UnreadableFileError with its name for one that is broken, or holds rows of another period.
        """
        key = self.key(period)
        try:
            blob = storage.read(key)
        except FileNotFoundError:
            return self.schema.empty_table(), None
        table = self.decode(key, blob.data)
        if not self.periods(table) <= {period}:
            raise UnreadableFileError(f"{key} holds {self.holds} of another {self.unit}", key=key)
        return table, blob.version

    def by_period(self, table: pa.Table) -> Iterator[tuple[Period, pa.Table]]:
        """The rows of each period, in order."""
        begins = self._begins(table)
        found = sorted(begins.unique().to_pylist())
        if len(found) == 1:
            yield self._period(found[0]), table
            return
        for begin in found:
            yield self._period(begin), table.filter(pc.equal(begins, pa.scalar(begin, begins.type)))

    def periods(self, table: pa.Table) -> set[Period]:
        """The periods of its rows."""
        return {self._period(begin) for begin in self._begins(table).unique().to_pylist()}

    def periods_of(self, keys: Iterable[str]) -> list[Period]:
        """The periods that these files are of, in order."""
        return self._of_folders(sorted({key.split("/")[1] for key in keys if key.count("/") == 2}))

    def published(self, storage: Storage) -> list[Period]:
        """The periods that have a folder, in order."""
        return self._of_folders(storage.children(self.folder))

    def parts(self, storage: Storage) -> StagedParts:
        """The staged parts."""
        return StagedParts(storage, self.staged, self.decode)

    def _of_folders(self, names: Iterable[str]) -> list[Period]:
        found = []
        for name in names:
            with suppress(ValueError):
                period = Period.parse(name.partition("=")[2])
                found += [period] if self.key(period).split("/")[1] == name else []
        return found

    def _begins(self, table: pa.Table) -> pa.ChunkedArray:
        return pc.floor_temporal(self.times(table), unit=self.unit)

    def _period(self, begin: dt.datetime) -> Period:
        return _PERIODS[self.unit](begin.date())


class PeriodFiles:
    """The writing side of a layer on one storage."""

    def __init__(self, layer: PeriodLayer, storage: Storage, lock_timeout: float) -> None:
        self._layer = layer
        self._storage = storage
        self._lock_timeout = lock_timeout

    def stage_table(self, table: pa.Table) -> str | None:
        """Write rows as one durable part, and return its key; None where there are none.

        OSError when the storage fails, and then nothing is staged.
        """
        return self._layer.parts(self._storage).stage(self._layer.encode(table)) if table.num_rows else None

    def publish(self) -> MergeReport:
        """Merge all staged parts, and delete those whose every row is published.

        Holds one period's rows, `ROWS_AT_A_TIME` of parts and a part more. OSError when the storage cannot be listed.
        """
        trouble = Trouble()
        report = MergeReport()
        for parts in self._some_parts(trouble):
            report += self._merge_parts(parts)
        return MergeReport(quarantined=tuple(trouble.quarantined), problems=tuple(trouble.problems)) + report

    def expire(self, cutoff: dt.datetime, *, dry_run: bool) -> tuple[int, tuple[str, ...]]:
        """Delete the periods that ended by `cutoff` (aware), or only count: how many rows, and problems in sentences.

        Rows are counted by footers.
        """
        rows, problems = 0, []
        for period in [period for period in self._layer.published(self._storage) if period.ends_at <= cutoff]:
            key = self._layer.key(period)
            found = self._count(key)
            try:
                if not dry_run:
                    self._delete(period)
            except (PartitionBusyError, FileChangedError):
                problems.append(f"{key} is being written by somebody else: it goes with the next run")
            else:
                rows += found
        return rows, tuple(problems)

    def forget(self, period: Period, left_of: Callable[[pa.Table], pa.Table]) -> None:
        """Keep of a period what `left_of` leaves of its rows.

        Raises PartitionBusyError, UnreadableFileError with the file's name, FileChangedError when another writer was
        faster.
        """
        with self._storage.lock(self._layer.lock(period), self._lock_timeout):
            before, version = self._layer.load(self._storage, period)
            left = left_of(before)
            if left.num_rows:
                self._storage.replace(self._layer.key(period), self._layer.encode(left), expecting=version)
            elif version is not None:
                self._storage.discard(self._layer.key(period), expecting=version)

    def repair(self) -> RepairReport:
        """Set broken files aside, whose rows are in no other layer, and put those in order that are not.

        A file of another version of this program is left as it is. Holds one period's rows.
        """
        report = RepairReport()
        for period in self._layer.published(self._storage):
            key = self._layer.key(period)
            try:
                aside = retry_overtaken(partial(self._mend, period))
            except (SchemaDriftError, ForeignFileError) as error:
                report += RepairReport(problems=(f"{error.message}: it is left as it is",))
            except (PartitionBusyError, FileChangedError):
                report += RepairReport(problems=(f"{key} is being written by somebody else: repair again",))
            except OSError as error:
                report += RepairReport(problems=(f"{key} cannot be read now: {error}",))
            else:
                lost = f"the {self._layer.holds} of {key}, which is kept as {aside}, are in no other layer"
                report += RepairReport() if aside is None else RepairReport(quarantined=(aside,), lost=(lost,))
        return report

    def _mend(self, period: Period) -> str | None:
        """Put a file in order; where it is set aside, for a broken one."""
        key = self._layer.key(period)
        with self._storage.lock(self._layer.lock(period), self._lock_timeout):
            try:
                table, version = self._layer.load(self._storage, period)
            except (SchemaDriftError, ForeignFileError):
                raise
            except UnreadableFileError:
                return self._set_aside(key)
            ordered = self._layer.merged([table])
            if version is not None and not ordered.equals(table):
                self._storage.replace(key, self._layer.encode(ordered), expecting=version)
        return None

    def _set_aside(self, key: str) -> str:
        aside = layout.quarantined(key, f"-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S%f}")
        blob = self._storage.read(key)
        self._storage.put(aside, blob.data)
        self._storage.discard(key, expecting=blob.version)
        log.error("%s is broken and was set aside as %s", key, aside)
        return aside

    def _some_parts(self, trouble: Trouble) -> Iterator[dict[str, pa.Table]]:
        """The parts by their keys, as many at a time as have `ROWS_AT_A_TIME`."""
        parts: dict[str, pa.Table] = {}
        for key, table in self._layer.parts(self._storage).read(trouble):
            parts[key] = table
            if sum(each.num_rows for each in parts.values()) >= ROWS_AT_A_TIME:
                yield parts
                parts = {}
        if parts:
            yield parts

    def _merge_parts(self, parts: dict[str, pa.Table]) -> MergeReport:
        report = MergeReport()
        waiting: set[Period] = set()
        periods = {key: self._layer.periods(table) for key, table in parts.items()}
        together = self._layer.merged(parts.values())
        parts.clear()  # they would be held twice
        for period, rows in self._layer.by_period(together):
            merged = self._publish_period(period, rows)
            report += merged
            if not merged.complete:
                waiting.add(period)
        done = [key for key, each in periods.items() if waiting.isdisjoint(each)]
        self._storage.delete(done)
        return report + MergeReport(parts_merged=len(done))

    def _publish_period(self, period: Period, rows: pa.Table) -> MergeReport:
        """A period that is held, or cannot be read or written, is reported and does not stop the others."""
        key = self._layer.key(period)
        try:
            with self._storage.lock(self._layer.lock(period), self._lock_timeout):
                return self._merge(period, rows)
        except (PartitionBusyError, FileChangedError):
            log.warning("%s is being written by somebody else: its %s stay staged", key, self._layer.holds)
            return MergeReport(busy=(period,))
        except (OSError, UnreadableFileError) as error:
            problem = f"{key} could not be published, its {self._layer.holds} stay staged: {error}"
            log.error(problem)
            return MergeReport(problems=(problem,))

    def _merge(self, period: Period, rows: pa.Table) -> MergeReport:
        def merged(before: pa.Table) -> pa.Table:
            after = self._layer.merged([before, rows])
            return before if after.equals(before) else after

        key = self._layer.key(period)
        load, encode = (lambda: self._layer.load(self._storage, period)), self._layer.encode
        before, after = edit(self._storage, key, load, merged, encode)
        return MergeReport(rows_added=after.num_rows - before.num_rows)

    def _delete(self, period: Period) -> None:
        key = self._layer.key(period)
        with self._storage.lock(self._layer.lock(period), self._lock_timeout):
            version = self._storage.version(key)
            if version is not None:
                self._storage.discard(key, expecting=version)

    def _count(self, key: str) -> int:
        """How many rows a file has; 0 for one that is broken or gone."""
        try:
            with parquet.wrap_read_errors(key), self._storage.open(key) as file:
                return parquet.rows_of(file, self._layer.bounds)
        except (FileNotFoundError, UnreadableFileError, FileChangedError):
            return 0


def read(storage: Storage, layer: PeriodLayer, scan_filter: ScanFilter) -> Iterator[pa.Table]:
    """What a layer has for a filter, published or staged, each row once: a table for each period, in order.

    Holds one period's rows, and what is staged for the filter. Raises UnreadableFileError with the name of a broken
    file.
    """
    staged: dict[Period, list[pa.Table]] = {}
    # Staged ones first: what is published meanwhile is then found in its period.
    for part in _staged(storage, layer):
        for period, rows in layer.by_period(_of_videos(part, scan_filter)):
            staged.setdefault(period, []).append(rows)
    for period in sorted({*layer.published(storage), *staged}):
        if period.meets(scan_filter.start, scan_filter.end):
            published = _of_videos(layer.load(storage, period)[0], scan_filter)
            yield _between(layer, layer.merged([published, *staged.pop(period, ())]), scan_filter)


def survey(storage: Storage, layer: PeriodLayer, known: Mapping[str, RowCount]) -> dict[str, Any]:
    """What names and sizes tell: `files`, `rows`, `bytes`, `staged_parts`, `unreadable` (a list); see `counted`."""
    found, unreadable = counted(storage, layer, known)
    return {
        "files": len(found),
        "rows": sum(each.rows for each in found.values()),
        "bytes": sum(each.bytes for each in found.values()),
        "staged_parts": len(layer.parts(storage).listed()),
        "unreadable": unreadable,
    }


def counted(
    storage: Storage, layer: PeriodLayer, known: Mapping[str, RowCount]
) -> tuple[dict[str, RowCount], list[str]]:
    """How many rows each period's file has, by its key, and a sentence for each that cannot be read.

    Those of `known` that still have their size are taken from there; of any other the footer is read.
    """
    sizes = dict(storage.walk(layer.folder))
    found: dict[str, RowCount] = {}
    unreadable = []
    for key in (key for key in map(layer.key, layer.periods_of(sizes)) if key in sizes):
        count = known.get(key)
        if count is not None and count.bytes == sizes[key]:
            found[key] = count
            continue
        try:
            with parquet.wrap_read_errors(key), storage.open(key) as file:
                rows = parquet.rows_of(file, layer.bounds)
                found[key] = RowCount(file.seek(0, 2), rows)
        except FileNotFoundError:
            continue
        except (UnreadableFileError, FileChangedError) as error:
            unreadable.append(error.message)
        except OSError as error:
            unreadable.append(f"{key}: {error}")
    return found, unreadable


def verify(storage: Storage, layer: PeriodLayer) -> list[str]:
    """Read all that is published; a sentence for each file that is not as it should be."""
    return [problem for period in layer.published(storage) if (problem := problem_of(storage, layer, period))]


def problem_of(storage: Storage, layer: PeriodLayer, period: Period) -> str | None:
    """What is wrong with a period's file, told by all of it; None where there is no file."""
    try:
        table, _ = layer.load(storage, period)
    except UnreadableFileError as error:
        return error.message
    except OSError as error:
        return f"{layer.key(period)}: {error}"
    if table.equals(layer.merged([table])):
        return None
    return f"{layer.key(period)} is not sorted by {layer.order}, or has one of its {layer.holds} twice"


def _staged(storage: Storage, layer: PeriodLayer) -> Iterator[pa.Table]:
    parts = layer.parts(storage)
    for key in parts.listed():
        # published meanwhile, and so in its period; a broken one is for the publisher to report
        with suppress(FileNotFoundError, UnreadableFileError):
            yield parts.load(key)


def _of_videos(table: pa.Table, scan_filter: ScanFilter) -> pa.Table:
    if scan_filter.video_ids is None:
        return table
    return table.filter(pc.is_in(table["video_id"], pa.array(scan_filter.video_ids, pa.string())))


def _between(layer: PeriodLayer, table: pa.Table, scan_filter: ScanFilter) -> pa.Table:
    """After merging alone: of two rows that mean the same, the one that stays may lie outside."""
    for compare, bound in ((pc.greater_equal, scan_filter.start), (pc.less, scan_filter.end)):
        if bound is not None:
            times = layer.times(table)
            table = table.filter(compare(times, pa.scalar(bound, times.type)))
    return table
