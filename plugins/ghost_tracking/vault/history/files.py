"""The files of the history, each of the points of a day or month as `encoding` has them: written, read, looked through.

A file is never changed: a new one takes its place in the manifest. Row groups are so small that one video's points are
found by reading one of them.
"""

import bisect
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from more_itertools import chunked

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.encoding import HISTORY_SCHEMA, LATEST, decode, encode, last_points
from ghost_tracking.vault.history.manifest import HistoryFile, HistoryManifest
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.kit.caches import VersionCache
from ghost_tracking.vault.kit.digests import digest_of
from ghost_tracking.vault.points import tables
from ghost_tracking.vault.points.tables import Checksum
from ghost_tracking.vault.storage import Storage

MOST_POINTS_A_FILE: Final = 24_000_000
"""About 110 MB: object stores and query engines like files of 100 MB to 1 GB, and one is put together in memory."""

_ROW_GROUP: Final = 10 * 1024
"""Points that are read to find one video's."""

_FEW: Final = 4
"""Files that are read sooner one by one than threads are started."""

_THREADS: Final = 4
_FOREIGN: Final = (AttributeError, ArithmeticError, TypeError, MemoryError)
"""What else comes of a file whose values are not what its layer writes."""
_HOURS_BATCH: Final = 1 << 19
_LASTS_GROUPS: Final = 8
"""Row groups whose last points are read at a time: some 30,000 videos of a month."""
_CHECKED: Final = 64 * 1024
_NONE: Final = Checksum(0, 0)
_BYTES_AT_A_TIME: Final = 256 * 2**20
"""Of a file that is read whole, uncompressed: 51 row groups, which most batches have, take some 20 MB."""

_WRITING: Final = parquet.history_options(HISTORY_SCHEMA)


class HistoryWriter:
    """Writes a period's points into new files, of which no manifest knows yet."""

    def __init__(self, storage: Storage, period: Period, most_points: int = MOST_POINTS_A_FILE) -> None:
        self.files: list[HistoryFile] = []
        self._storage = storage
        self._period = period
        self._most_points = most_points
        self._stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:12]}"
        self._pending: list[pa.Table] = []
        self._pending_points = 0
        self._open: tuple[pa.BufferOutputStream, pq.ParquetWriter] | None = None
        self._written = 0
        self._borders: list[str] = []

    def write(self, table: pa.Table) -> None:
        """Add points, sorted by key, all of whose videos come after those that were added before."""
        if table.num_rows:
            self._pending.append(table)
            self._pending_points += table.num_rows
        if self._pending_points >= 16 * _ROW_GROUP:
            self._flush()

    def close(self) -> list[HistoryFile]:
        """Store what is left; all files that were written."""
        self._flush()
        self._store()
        return self.files

    @contextmanager
    def discarding(self) -> Iterator[None]:
        """Delete what was written when the block fails."""
        try:
            yield
        except Exception:
            self._storage.delete(each.path for each in self.files)
            raise

    def _flush(self) -> None:
        if not self._pending:
            return
        rows = encode(pa.concat_tables(self._pending))
        self._pending, self._pending_points = [], 0
        behind = np.cumsum(pc.list_value_length(rows["seconds_to_next"]).to_numpy() + 1)
        start = 0
        while start < rows.num_rows:
            before = int(behind[start - 1]) if start else 0
            end = max(start + 1, int(np.searchsorted(behind, before + _ROW_GROUP, side="right")))
            self._write_group(rows.slice(start, end - start), int(behind[end - 1]) - before)
            start = end

    def _write_group(self, rows: pa.Table, points: int) -> None:
        if self._open is None:
            sink = pa.BufferOutputStream()
            self._open = sink, pq.ParquetWriter(sink, HISTORY_SCHEMA, **_WRITING)
        self._open[1].write_table(rows.combine_chunks(), row_group_size=rows.num_rows)
        self._written += points
        self._borders += [rows["video_id"][0].as_py(), rows["video_id"][-1].as_py()]
        if self._written >= self._most_points:
            self._store()

    def _store(self) -> None:
        if self._open is None:
            return
        sink, writer = self._open
        writer.close()
        data = bytes(sink.getvalue())
        key = layout.history(self._period, f"{self._stamp}-{len(self.files):03d}")
        self._storage.put(key, data)
        self.files.append(
            HistoryFile(
                path=key,
                period=self._period.name,
                points=self._written,
                bytes=len(data),
                first=self._borders[0],
                last=self._borders[-1],
                hash=digest_of(data),
            )
        )
        self._open, self._written, self._borders = None, 0, []


_Footer = tuple[pq.FileMetaData, list[str], list[str]]
"""With the first and the last id of each row group."""
_FOOTERS: Final = VersionCache[_Footer](most=256)


class HistoryReader:
    """Reads one file of the history. For single videos its footer is parsed once in a process: files never change.

    Raises `UnreadableFileError`, naming the file, for a broken one, and FileNotFoundError for one that has been
    compacted again meanwhile.
    """

    def __init__(self, storage: Storage, key: str) -> None:
        self._storage = storage
        self._key = key

    def check(self) -> None:
        """Read the footer again; raises for a file that is not there or not intact at its end."""
        _FOOTERS.forget(self._storage, self._key)
        self._footer()

    def rows_of(self, video_ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """The segments of these videos, by video and time; of `columns`, `video_id` among them (None: of all)."""
        metadata, firsts, lasts = self._footer()
        groups = sorted({group for each in video_ids for group in _groups_of(each, firsts, lasts)})
        if not groups:
            return pa.schema([HISTORY_SCHEMA.field(name) for name in columns or HISTORY_SCHEMA.names]).empty_table()
        with parquet.wrap_read_errors(self._key, *_FOREIGN), self._storage.open(self._key) as file:
            known = pq.ParquetFile(file, metadata=metadata, page_checksum_verification=True, pre_buffer=False)
            rows = known.read_row_groups(groups, columns=columns, use_threads=False)
            return _only(rows, pc.is_in(rows["video_id"], pa.array(video_ids, pa.string())))

    def batches(self, points: int) -> Iterator[pa.Table]:
        """All points by key, in tables of about this many; a video's may go on in the next one."""
        yield from (decode(rows) for rows in self._rows(max(1, points // _ROW_GROUP), None))

    def lasts(self) -> pa.Table:
        """The columns `LATEST` of all segments."""
        return pa.concat_tables(self._rows(1 << 30, LATEST))

    def lasts_between(self, first: str, end: str | None) -> Iterator[pa.Table]:
        """The last points of all segments of videos in [first, end), by video, a few row groups at a time."""
        with parquet.wrap_read_errors(self._key, *_FOREIGN), self._storage.open(self._key) as file:
            found = self._opened(file)
            for groups in chunked(_groups_between(found.metadata, first, end), _LASTS_GROUPS):
                rows = found.read_row_groups(groups, columns=LATEST)
                yield last_points(_within_ids(rows, first, end))

    def _rows(self, groups: int, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        with parquet.wrap_read_errors(self._key, *_FOREIGN), self._storage.open(self._key) as file:
            # a footer is some 11 kB a row group in memory: whoever reads every file once does not leave all of them
            found = self._opened(file)
            for chosen in _together(found.metadata, groups):
                yield found.read_row_groups(chosen, columns=columns)

    def _footer(self) -> _Footer:
        return _FOOTERS.get(self._storage, self._key, None, lambda: (self._parsed(), None))[0]

    def _parsed(self) -> _Footer:
        with parquet.wrap_read_errors(self._key, *_FOREIGN), self._storage.open(self._key) as file:
            metadata = self._opened(file).metadata
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
            ids = [group.column(0).statistics for group in groups]
            if not all(each is not None and isinstance(each.min, str) for each in ids):
                raise UnreadableFileError("row groups that do not tell from which video to which they go")
            return metadata, [each.min for each in ids], [each.max for each in ids]

    @staticmethod
    def _opened(file: Any) -> pq.ParquetFile:
        return parquet.opened(file, HISTORY_SCHEMA, parquet.HISTORY, pre_buffer=False)


def _groups_between(metadata: pq.FileMetaData, first: str, end: str | None) -> range:
    """The row groups that may hold videos of [first, end); these follow each other by id."""
    numbers = range(metadata.num_row_groups)
    start = bisect.bisect_left(numbers, first, key=lambda number: _border(metadata, number, "max"))
    stop = len(numbers)
    if end is not None:
        stop = bisect.bisect_left(numbers, end, key=lambda number: _border(metadata, number, "min"))
    return numbers[start:stop]


def _border(metadata: pq.FileMetaData, group: int, name: str) -> str:
    border = getattr(metadata.row_group(group).column(0).statistics, name, None)
    if not isinstance(border, str):
        raise UnreadableFileError("row groups that do not tell from which video to which they go")
    return border


def _within_ids(rows: pa.Table, first: str, end: str | None) -> pa.Table:
    ids = rows["video_id"]
    if first and rows.num_rows and ids[0].as_py() < first:
        rows = rows.filter(pc.greater_equal(ids, pa.scalar(first)))
    if end is not None and rows.num_rows and rows["video_id"][-1].as_py() >= end:
        rows = rows.filter(pc.less(rows["video_id"], pa.scalar(end)))
    return rows


def _together(metadata: pq.FileMetaData, most: int) -> Iterator[list[int]]:
    """The row groups in order, so many at a time, or fewer where they are large."""
    chosen, size = list[int](), 0
    for number in range(metadata.num_row_groups):
        more = metadata.row_group(number).total_byte_size
        if chosen and (len(chosen) == most or size + more > _BYTES_AT_A_TIME):
            yield chosen
            chosen, size = [], 0
        chosen.append(number)
        size += more
    if chosen:
        yield chosen


def _only(rows: pa.Table, chosen: pa.ChunkedArray) -> pa.Table:
    """The chosen rows; those of one video stand together and need not be copied."""
    places = np.flatnonzero(chosen.to_numpy())
    start, end = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)
    near = rows.slice(start, end - start)
    return near if len(places) == end - start else near.filter(chosen.slice(start, end - start))


def _groups_of(video_id: str, firsts: Sequence[str], lasts: Sequence[str]) -> Iterator[int]:
    """The row groups that may hold this video: most often one."""
    group = bisect.bisect_left(lasts, video_id)
    while group < len(firsts) and firsts[group] <= video_id:
        yield group
        group += 1


def points_of(storage: Storage, keys: Iterable[str], video_ids: Sequence[str]) -> pa.Table:
    """The points of these videos in these files, file by file; raises as `HistoryReader`."""
    readers = [HistoryReader(storage, key) for key in keys]
    if len(readers) <= _FEW:
        found = [each.rows_of(video_ids) for each in readers]
    else:
        with ThreadPoolExecutor(_THREADS) as threads:
            found = list(threads.map(lambda each: each.rows_of(video_ids), readers))
    return decode(pa.concat_tables([HISTORY_SCHEMA.empty_table(), *found]))


def checksums_of(storage: Storage, keys: Iterable[str], batch: int = _CHECKED) -> dict[Partition, Checksum]:
    """The points of these files by hour, so many read at a time; raises as `HistoryReader`."""
    found: dict[Partition, Checksum] = {}
    for key in keys:
        for table in HistoryReader(storage, key).batches(batch):
            tables.add_checksums(found, tables.checksums(table))
    return found


def points_of_hour(storage: Storage, manifest: HistoryManifest, hour: Partition) -> pa.Table:
    """All that the history has of an hour, sorted by key; raises as `HistoryReader`."""
    chunks = (
        tables.of_hours(table, [hour])
        for each in (manifest.files_of_date(hour.date) if (manifest.checksum(hour) or _NONE).rows else ())
        for table in HistoryReader(storage, each.path).batches(_HOURS_BATCH)
    )
    return tables.sort(tables.concat(chunks))


def beyond_history(storage: Storage, manifest: HistoryManifest, hour: Partition, points: pa.Table) -> pa.Table:
    """Those of an hour's points that the history lacks, sorted by key; raises as `HistoryReader`."""
    ids = sorted(set(points["video_id"].to_pylist()))
    keys = [each.path for each in manifest.files_of_date(hour.date)]
    return tables.without(tables.sort(points), points_of(storage, keys, ids))


def newest_of_hour(storage: Storage, manifest: HistoryManifest, hour: Partition, until: datetime) -> datetime | None:
    """The newest point up to `until` (aware), which is of this hour, the last one that has begun by then.

    Only the last points of segments are read, unless later hours have points. Raises as `HistoryReader`.
    """
    keys = [each.path for each in manifest.files_of_date(hour.date)]
    lasts = latest_of(storage, keys, None)
    ahead = pc.any(pc.greater(lasts["timestamp"], pa.scalar(until, lasts["timestamp"].type))).as_py()
    return tables.newest(points_of_hour(storage, manifest, hour) if ahead else lasts, until)


def latest_of(storage: Storage, keys: Iterable[str], video_ids: Sequence[str] | None) -> pa.Table:
    """The last points of the segments of these videos (None: of all) in these files; raises as `HistoryReader`."""
    readers = [HistoryReader(storage, key) for key in keys]
    found = [each.lasts() if video_ids is None else each.rows_of(video_ids, LATEST) for each in readers]
    return last_points(pa.concat_tables([HISTORY_SCHEMA.empty_table().select(LATEST), *found]))


def files_of_videos(files: Sequence[HistoryFile], video_ids: Sequence[str]) -> Mapping[HistoryFile, list[str]]:
    """Which of these files may hold which of these videos."""
    found = {each: [video for video in video_ids if each.first <= video <= each.last] for each in files}
    return {each: videos for each, videos in found.items() if videos}
