"""Reading the vault: every point once, whichever layer it lies in.

A day that is compacted is read from its history, any other from its hours. Of a compacted day's hours those are read as
well that may hold more than the history: the stale ones, and those with staged parts. Where one question is for all
videos of a span and the hourly files are there, they are read instead: they are by time, as the question is. But only a
file that is whole stands for its hour (`HistoryManifest.is_whole`); of any other, what the history lacks is added to
them.

Files of hours are read before the history, and judged by the manifest as it is then. A point leaves a file only when
the manifest says that the history has it: whatever is compacted or deleted meanwhile, both together have all.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import pandas as pd
import pyarrow as pa
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random

from ghost_tracking.core.arguments import ids_of, require_span
from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.core.points import COLUMNS
from ghost_tracking.errors import BadInputError, FileChangedError, UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.files import files_of_videos, points_of
from ghost_tracking.vault.history.manifest import HistoryFile, HistoryManifest, current
from ghost_tracking.vault.history.reader import KEPT, TABLE_BYTES, HistoryReader
from ghost_tracking.vault.listing import hours_between, part_names, published_dates, published_hours, staged_hours
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.storage import Storage, Version

_ATTEMPTS: Final = 50
_BATCH: Final = 1 << 20
_THREADS: Final = 4
_NO_POINTS: Final = tables.SCHEMA.empty_table()
_TIME: Final = tables.SCHEMA.field("timestamp").type
_PANDAS: Final[dict[pa.DataType, Any]] = {
    pa.string(): pd.StringDtype(na_value=float("nan")),
    pa.int64(): pd.Int64Dtype(),
    _TIME: pd.DatetimeTZDtype("us", "UTC"),
}

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ScanFilter:
    """Which points: of [start, end), None being open, and of these videos, sorted (None: of all)."""

    start: dt.datetime | None
    end: dt.datetime | None
    video_ids: tuple[str, ...] | None

    @classmethod
    def checked(
        cls, start: dt.datetime | None, end: dt.datetime | None, video_ids: Collection[str] | None
    ) -> "ScanFilter":
        """BadInputError for what is no time with a zone, for an end before the start, and for what are no ids."""
        require_span(start, end)
        return cls(start, end, None if video_ids is None else ids_of(video_ids))


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """What to read for a filter: the files of these `hours`, and the history.

    Of the history, the points of `lacking` hours (None: of all). `changed` hours may have points in their file alone.
    """

    hours: tuple[Partition, ...]
    lacking: frozenset[Partition] | None
    changed: frozenset[Partition]


@dataclass(slots=True)
class _Read:
    """What became of the hours of a plan: those `whole` in their files, and what the files of others have (`apart`).

    An hour whose file has gone since has nothing apart.
    """

    whole: set[Partition] = field(default_factory=set)
    apart: dict[Partition, pa.Table] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _OfHour:
    """What was read of an hour's file: its version, how many points it has, and those that were asked for."""

    version: Version
    rows: int
    points: pa.Table


def chosen_columns(columns: Sequence[str] | None) -> list[str]:
    """The columns asked for (None or none: all six); BadInputError for one that the vault has not, or asked twice."""
    if isinstance(columns, str):
        raise BadInputError(f"columns is the text {columns!r}: give a list of names")
    chosen = list(columns or COLUMNS)
    if unknown := [name for name in chosen if name not in COLUMNS]:
        raise BadInputError(f"The vault has no column {unknown[0]!r}, only {', '.join(COLUMNS)}")
    if twice := [name for number, name in enumerate(chosen) if name in chosen[:number]]:
        raise BadInputError(f"columns names {twice[0]!r} twice")
    return chosen


def read_table(storage: Storage, scan_filter: ScanFilter, columns: Sequence[str] | None) -> pa.Table:
    """The points as one table, by hour, and by video_id and timestamp within an hour."""
    chosen = chosen_columns(columns)
    table = at_one_moment(lambda: tables.concat(_points(storage, scan_filter, _fitting_plan(storage, scan_filter))))
    if table.num_rows:
        table = _by_hour(table)
    return table.select(chosen)


def read_history(storage: Storage, video_id: str, start: dt.datetime | None, end: dt.datetime | None) -> pa.Table:
    """All points of one video in [start, end), sorted by time."""
    scan_filter = ScanFilter.checked(start, end, [video_id])
    table = at_one_moment(lambda: tables.concat(_points(storage, scan_filter, _plan(storage, scan_filter))))
    return table.take(pa.array(tables.numbers(table["timestamp"]).argsort(kind="stable")))


def read_batches(storage: Storage, scan_filter: ScanFilter, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    """The points in batches of at most a million, in no promised order, with little more than one in memory.

    What the batches hold together is of one moment. FileChangedError when a file went before its turn came: with
    batches already handed out, only the caller can start over.
    """
    chosen = chosen_columns(columns)
    plan = at_one_moment(lambda: _fitting_plan(storage, scan_filter))
    try:
        for table in _points(storage, scan_filter, plan):
            yield from table.select(chosen).to_batches(max_chunksize=_BATCH)
    except FileNotFoundError as error:
        raise FileChangedError(
            f"{error.filename or 'A file'} was compacted or expired while it was read: read again"
        ) from error


def hours_beside_history(storage: Storage) -> tuple[Partition, ...]:
    """The hours whose files may have points that the history lacks, in order."""
    return _plan(storage, ScanFilter(None, None, None)).hours


def points_of_hour_file(storage: Storage, hour: Partition, video_ids: Sequence[str] | None = None) -> pa.Table:
    """The points of these videos, sorted (None: of all), in an hour's published file; none where there is no file."""
    return _hour(storage, hour, ScanFilter(None, None, None if video_ids is None else tuple(video_ids)))[1]


def history_files(storage: Storage, start: dt.datetime | None, end: dt.datetime | None) -> list[str]:
    """The keys of the files of the history that meet [start, end)."""
    require_span(start, end)
    manifest, _ = current(storage)
    return [each.path for period in manifest.periods_between(start, end) for each in manifest.files_of(period)]


def frame(table: pa.Table) -> pd.DataFrame:
    """A table of points as pandas has it, with nullable integers: a column's type never depends on its content.

    What `to_pandas` makes of it, in half the time where there are few.
    """
    columns: dict[str, Any] = {}
    for name in table.column_names:
        columns[name] = _PANDAS[table[name].type].__from_arrow__(table[name])
        if table[name].type == _TIME:
            columns[name] = columns[name].copy()  # else nobody may write to it
    return pd.DataFrame(columns, copy=False)


def at_one_moment(read: Callable[[], Result]) -> Result:
    """What `read` returns, which is called again where a file went before its turn came."""
    retrying = Retrying(
        retry=retry_if_exception_type((FileNotFoundError, FileChangedError)),
        wait=wait_random(0, 0.1),
        stop=stop_after_attempt(_ATTEMPTS),
        reraise=True,
    )
    return retrying(read)


def _fitting_plan(storage: Storage, scan_filter: ScanFilter) -> ScanPlan:
    return _plan(storage, scan_filter, by_time=scan_filter.video_ids is None)


def _plan(storage: Storage, scan_filter: ScanFilter, *, by_time: bool = False) -> ScanPlan:
    """What to read: hours where they are there (`by_time`), or the history where it is there."""
    manifest, version = current(storage)
    changed = {hour for hour in staged_hours(storage) if manifest.holds(hour.date) and part_names(storage, hour)}
    changed |= {Partition.parse(path) for path in manifest.stale}
    changed = {hour for hour in changed if hour.meets(scan_filter.start, scan_filter.end)}
    plan = (_by_time if by_time else _by_video)(storage, scan_filter, manifest, frozenset(changed))
    if current(storage)[1] != version:
        raise FileChangedError("the history was compacted again while the vault was being listed")
    return plan


def _by_video(
    storage: Storage, scan_filter: ScanFilter, manifest: HistoryManifest, changed: frozenset[Partition]
) -> ScanPlan:
    """Compacted days from the history, other days from their hours; of compacted days the hours that may have more."""
    start, end = scan_filter.start, scan_filter.end
    hours = set(changed)
    for date in published_dates(storage, manifest.other_dates_between(start, end)):
        if not manifest.holds(date) and Period.day(date).meets(start, end):
            hours |= {hour for hour in published_hours(storage, date) if hour.meets(start, end)}
    return ScanPlan(tuple(sorted(hours)), None, changed)


def _by_time(
    storage: Storage, scan_filter: ScanFilter, manifest: HistoryManifest, changed: frozenset[Partition]
) -> ScanPlan:
    """Hours from their files where they have one, and from the history what has none, or not all of it."""
    start, end = scan_filter.start, scan_filter.end
    there = set(hours_between(storage, start, end))
    hours = {hour for hour in there if hour in changed or not manifest.is_compacted_only(hour)}
    lacking = frozenset(hour for hour, _ in manifest.hours_between(start, end) if hour not in hours)
    return ScanPlan(tuple(sorted(hours)), lacking, changed)


def _points(storage: Storage, scan_filter: ScanFilter, plan: ScanPlan) -> Iterator[pa.Table]:
    """The tables of a plan, no point in two of them. Where an hour's file repeats the history, that stays."""
    read = _Read()
    yield from _from_hours(storage, scan_filter, plan, read)
    wanted = None if plan.lacking is None else plan.lacking | read.apart.keys()
    doubled: list[pa.Table] = []
    for table in _from_history(storage, scan_filter, wanted):
        apart = table if wanted is None else tables.of_hours(table, wanted)
        if read.whole and wanted is None:
            apart = tables.not_of_hours(apart, read.whole)
        if read.apart:
            doubled.append(tables.of_hours(apart, read.apart))
        yield apart
    known = tables.concat(doubled)
    yield from (tables.without(table, known) for table in read.apart.values())


def _from_hours(storage: Storage, scan_filter: ScanFilter, plan: ScanPlan, read: _Read) -> Iterator[pa.Table]:
    """The hours of a plan whose files are whole; `read` tells which, and has what the files of the others have."""
    for hour, (rows, table), manifest in _hours(storage, plan.hours, scan_filter):
        if rows is not None and hour not in plan.changed and manifest.is_whole(hour, rows):
            read.whole.add(hour)
            yield table
        else:
            read.apart[hour] = table


def _from_history(storage: Storage, scan_filter: ScanFilter, hours: Set[Partition] | None) -> Iterator[pa.Table]:
    """The history's points, by the present manifest, from the files that may have any of these hours (None: any)."""
    if hours is not None and not hours:
        return
    files_there = _history(storage, scan_filter, hours)
    if scan_filter.video_ids is not None:
        yield tables.within(points_of(storage, files_there, scan_filter.video_ids), scan_filter.start, scan_filter.end)
        return
    for each in files_there:
        for table in HistoryReader.of(storage, each).batches(_BATCH):
            yield tables.within(table, scan_filter.start, scan_filter.end)


def _history(storage: Storage, scan_filter: ScanFilter, hours: Set[Partition] | None) -> list[HistoryFile]:
    manifest, _ = current(storage)
    periods = manifest.periods_between(scan_filter.start, scan_filter.end)
    if hours is not None:
        having = {manifest.period_of(date) for date in {hour.date for hour in hours}}
        periods = [each for each in periods if each in having]
    found = [each for period in periods for each in manifest.files_of(period)]
    return found if scan_filter.video_ids is None else files_of_videos(found, scan_filter.video_ids)


def _hours(
    storage: Storage, hours: Sequence[Partition], scan_filter: ScanFilter
) -> Iterator[tuple[Partition, tuple[int | None, pa.Table], HistoryManifest]]:
    """What `_hour` says of each of these, and the manifest as it was after the file was read.

    What has left a file, or was never in it, is in the history of this manifest or of a later one. Of one video, of
    which there is little to hold, four files are read at a time, and the manifest is looked at once.
    """
    if scan_filter.video_ids is None or len(scan_filter.video_ids) > 1 or len(hours) < _THREADS:
        yield from ((hour, _hour(storage, hour, scan_filter), current(storage)[0]) for hour in hours)
        return
    with ThreadPoolExecutor(_THREADS) as threads:
        found = list(threads.map(lambda hour: _hour(storage, hour, scan_filter), hours))
    manifest, _ = current(storage)
    yield from ((hour, of_hour, manifest) for hour, of_hour in zip(hours, found, strict=True))


def _hour(storage: Storage, hour: Partition, scan_filter: ScanFilter) -> tuple[int | None, pa.Table]:
    """How many points an hour's published file has (None: there is none), and those that are asked for."""
    key, ids = layout.stats(hour), scan_filter.video_ids
    try:
        found = (
            _kept_of_hour(storage, key, ids[0]) if ids is not None and len(ids) == 1 else _of_hour(storage, key, ids)
        )
    except FileNotFoundError:
        return None, tables.concat([])
    except UnreadableFileError as error:
        raise type(error)(f"{key} cannot be read: {error.message}", key=key) from error
    rows, table = found.rows, found.points
    start = scan_filter.start if scan_filter.start is not None and scan_filter.start > hour.starts_at else None
    end = scan_filter.end if scan_filter.end is not None and scan_filter.end < hour.ends_at else None
    return rows, tables.within(table, start, end)


def _kept_of_hour(storage: Storage, key: str, video_id: str) -> _OfHour:
    """What an hour's file has of one video, which is kept for as long as the file stays as it is."""
    place = (storage.place, key, "hour", video_id)
    kept: tuple[_OfHour] | None = KEPT.get(place)
    if kept is not None and storage.version(key) == kept[0].version:
        return kept[0]
    found = _of_hour(storage, key, [video_id])
    if not found.points.num_rows:
        found = replace(found, points=_NO_POINTS)
    KEPT.keep(place, found, TABLE_BYTES + found.points.nbytes if found.points.num_rows else 0)
    return found


def _of_hour(storage: Storage, key: str, video_ids: Sequence[str] | None) -> _OfHour:
    blob = storage.read(key)
    return _OfHour(blob.version, files.read_footer(blob.data).rows, files.read(blob.data, COLUMNS, video_ids))


def _by_hour(table: pa.Table) -> pa.Table:
    ordered = tables.sort(table)
    return ordered.take(pa.array(tables.hours(ordered).argsort(kind="stable")))
