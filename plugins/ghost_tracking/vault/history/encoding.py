"""Files of the history: all points of a video one behind the other, in few bytes.

A row is a segment: consecutive points of one video that tell the same publish time. It holds its last point whole
(`last_second`, `last_views` …), and how far each point before it is from the one that follows: `seconds_to_next`,
`views_to_next` and so on, lists with one element less than the segment has points. So a count is its last one less all
that was gained after it, and the latest count of every video is read without its history. Small differences, their
bytes gathered by place (BYTE_STREAM_SPLIT), take a third of the bytes that the counts take.

A count that YouTube did not show is null in its list. The gain of the last count shown before such ones leads to the
segment's last count, or to 0 where that is null too. Fractions of seconds are null where there are none; `microseconds`
is the list of those of all points.
`decode` and `encode` are each other's inverse, to the bit.
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

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.manifest import HistoryFile, HistoryManifest
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.kit.caches import VersionCache
from ghost_tracking.vault.points import tables
from ghost_tracking.vault.points.tables import COUNTS, SCHEMA, Checksum, Numbers, numbers
from ghost_tracking.vault.storage import Storage

_GAINS = pa.list_(pa.field("element", pa.int64()))
HISTORY_SCHEMA: Final = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("published_second", pa.int64()),
        pa.field("published_microsecond", pa.int32()),
        pa.field("last_second", pa.int64(), nullable=False),
        pa.field("last_microsecond", pa.int32()),
        pa.field("last_views", pa.int64()),
        pa.field("last_likes", pa.int64()),
        pa.field("last_comments", pa.int64()),
        pa.field("seconds_to_next", pa.list_(pa.field("element", pa.int64(), nullable=False)), nullable=False),
        pa.field("views_to_next", _GAINS, nullable=False),
        pa.field("likes_to_next", _GAINS, nullable=False),
        pa.field("comments_to_next", _GAINS, nullable=False),
        pa.field("microseconds", pa.list_(pa.field("element", pa.int32(), nullable=False))),
    ]
)
LATEST: Final = ["video_id", "published_second", "published_microsecond", "last_second", "last_microsecond"] + [
    f"last_{name}" for name in COUNTS
]
"""The columns of the last points of segments."""

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
_CHECKED: Final = 64 * 1024
_BYTES_AT_A_TIME: Final = 256 * 2**20
"""Of a file that is read whole, uncompressed: 51 row groups, which most batches have, take some 20 MB."""

_SECOND: Final = 1_000_000
_NULL: Final = np.iinfo(np.int64).min
_WRITING: Final = parquet.history_options(HISTORY_SCHEMA)


def encode(table: pa.Table) -> pa.Table:
    """A table of points, sorted by key and each key once, as rows of `HISTORY_SCHEMA`."""
    count = table.num_rows
    moments, published = numbers(table["timestamp"]), numbers(table["published_at"], null=_NULL)
    ends = _ends(table, published)
    offsets = np.concatenate([[0], np.flatnonzero(ends) + 1]).astype(np.int32) if count else np.zeros(1, np.int32)
    lasts = np.flatnonzero(ends)
    seconds, micros = np.divmod(moments, _SECOND)
    columns: dict[str, Any] = {
        "video_id": table["video_id"].combine_chunks().take(pa.array(lasts)),
        **_published(published[lasts]),
        "last_second": seconds[lasts],
        "last_microsecond": pa.array(micros[lasts].astype(np.int32), mask=micros[lasts] == 0),
        "seconds_to_next": _all_but_last(offsets, ends, _to_next(seconds, ends)),
        "microseconds": _microseconds(offsets, micros, lasts),
    }
    for name in COUNTS:
        column = table[name].combine_chunks()
        columns[f"last_{name}"] = column.take(pa.array(lasts))
        columns[f"{name}_to_next"] = _all_but_last(offsets, ends, _gains(column, ends), _nulls(column))
    return pa.table([columns[name] for name in HISTORY_SCHEMA.names], schema=HISTORY_SCHEMA)


def decode(rows: pa.Table) -> pa.Table:
    """Rows of `HISTORY_SCHEMA` as points, in their order."""
    rows = rows.combine_chunks()
    steps = _column(rows, "seconds_to_next")
    lengths = pc.list_value_length(steps).to_numpy(zero_copy_only=False).astype(np.int64) + 1
    ends = np.cumsum(lengths)
    where = np.repeat(np.arange(len(lengths)), lengths)
    to_next = np.ones(len(where), dtype=bool)
    to_next[ends - 1] = False

    def values(last: pa.ChunkedArray, gains: pa.Array) -> Numbers:
        spread = np.zeros(len(where), dtype=np.int64)
        spread[to_next] = numbers(gains)
        return numbers(last)[where] - _still_to_come(spread, ends, where)

    seconds = values(rows["last_second"], steps.flatten())
    columns: dict[str, Any] = {
        "video_id": _column(rows, "video_id").take(pa.array(where)),
        "timestamp": _times(seconds * _SECOND + _micros_of(rows, lengths, where)),
        "published_at": _publish_times(rows).take(pa.array(where)),
    }
    for name in COUNTS:
        last, gains = rows[f"last_{name}"], _column(rows, f"{name}_to_next").flatten()
        hidden = None
        if last.null_count or gains.null_count:
            hidden = np.empty(len(where), dtype=bool)
            hidden[to_next] = gains.is_null().to_numpy(zero_copy_only=False)
            hidden[ends - 1] = last.is_null().to_numpy()
        columns[name] = pa.array(values(last, gains), mask=hidden)
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def last_points(rows: pa.Table) -> pa.Table:
    """The last point of each row, of which the columns `LATEST` suffice."""
    columns = {
        "video_id": rows["video_id"],
        "timestamp": _times(numbers(rows["last_second"]) * _SECOND + numbers(rows["last_microsecond"])),
        "published_at": _publish_times(rows),
        **{name: rows[f"last_{name}"] for name in COUNTS},
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _ends(table: pa.Table, published: Numbers) -> Any:
    """Which points are the last of their segment."""
    if not table.num_rows:
        return np.zeros(0, dtype=bool)
    ids = table["video_id"].combine_chunks()
    other_video = pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1)).to_numpy(zero_copy_only=False)
    return np.concatenate([other_video | (published[1:] != published[:-1]), [True]])


def _to_next(values: Numbers, ends: Any) -> Numbers:
    steps = np.zeros(len(values), dtype=np.int64)
    steps[:-1] = values[1:] - values[:-1]
    steps[ends] = 0
    return steps


def _gains(column: pa.Array, ends: Any) -> Numbers:
    """From each count to the next one shown in its segment; from the last one shown to the segment's last, or to 0."""
    values = numbers(pa.chunked_array([column]))
    if not column.null_count:
        return _to_next(values, ends)
    shown = column.is_valid().to_numpy(zero_copy_only=False)
    segment = np.concatenate([[0], np.cumsum(ends)[:-1]])
    places = np.flatnonzero(shown)
    gains = np.zeros(len(values), dtype=np.int64)
    if len(places):
        following = np.zeros(len(places), dtype=np.int64)
        same = segment[places[1:]] == segment[places[:-1]]
        following[:-1][same] = values[places[1:]][same]
        final = np.concatenate([~same, [True]])
        # null stands as 0 in `values`
        following[final] = values[np.flatnonzero(ends)[segment[places[final]]]]
        gains[places] = following - values[places]
    return gains


def _still_to_come(gains: Numbers, ends: Numbers, where: Numbers) -> Numbers:
    """For each point the sum of its own gain and all after it in its segment. Sums that overflow come back exactly."""
    if not len(gains):
        return gains
    total = np.cumsum(gains)
    sums: Numbers = total[ends - 1][where] - total + gains
    return sums


def _all_but_last(offsets: Any, ends: Any, values: Numbers, nulls: Any = None) -> pa.Array:
    """Of each segment the values of all points but the last."""
    shorter = offsets - np.arange(len(offsets), dtype=np.int32)
    kept = ~ends
    return pa.ListArray.from_arrays(
        pa.array(shorter), pa.array(values[kept], mask=None if nulls is None else nulls[kept])
    )


def _nulls(column: pa.Array) -> Any:
    """Where a column is null; None where it nowhere is."""
    return column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None


def _microseconds(offsets: Any, micros: Numbers, lasts: Any) -> pa.Array:
    kind = HISTORY_SCHEMA.field("microseconds").type
    if not micros.any():
        return pa.nulls(len(lasts), kind)
    broken = np.logical_or.reduceat(micros != 0, offsets[:-1])
    kept = np.repeat(broken, np.diff(offsets))
    lengths = np.where(broken, np.diff(offsets), 0)
    shorter = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(shorter), pa.array(micros[kept].astype(np.int32)), mask=pa.array(~broken)
    ).cast(kind)


def _micros_of(rows: pa.Table, lengths: Numbers, where: Numbers) -> Numbers:
    lists = _column(rows, "microseconds")
    micros = np.zeros(len(where), dtype=np.int64)
    if lists.null_count < len(lists):
        micros[np.repeat(lists.is_valid().to_numpy(zero_copy_only=False), lengths)] = numbers(lists.flatten())
    return micros


def _published(published: Numbers) -> dict[str, pa.Array]:
    seconds, micros = np.divmod(published, _SECOND)
    unknown = published == _NULL
    return {
        "published_second": pa.array(seconds, mask=unknown),
        "published_microsecond": pa.array(micros.astype(np.int32), mask=unknown | (micros == 0)),
    }


def _publish_times(rows: pa.Table) -> pa.Array:
    seconds = rows["published_second"].combine_chunks() if rows.num_rows else pa.array([], pa.int64())
    micros = numbers(seconds) * _SECOND + numbers(rows["published_microsecond"])
    return _times(micros, mask=seconds.is_null().to_numpy(zero_copy_only=False))


def _times(micros: Numbers, mask: Any = None) -> pa.Array:
    return pa.array(micros, mask=mask).cast(SCHEMA.field("timestamp").type)


def _column(rows: pa.Table, name: str) -> pa.Array:
    """A column in one piece."""
    column = rows[name].combine_chunks()
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column


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
            )
        )
        self._open, self._written, self._borders = None, 0, []


_Footer = tuple[pq.FileMetaData, list[str], list[str]]
"""With the first and the last id of each row group."""
_FOOTERS: Final = VersionCache[_Footer](most=256)


class HistoryReader:
    """Reads one file of the history. For single videos its footer is parsed once in a process: files never change.

    Raises `UnreadableFileError`, naming the file, for a broken one, and FileNotFoundError for one that has been
    compacted anew meanwhile.
    """

    def __init__(self, storage: Storage, key: str) -> None:
        self._storage = storage
        self._key = key

    def check(self) -> None:
        """Read the footer anew; raises for a file that is not there or not intact at its end."""
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
        for period in manifest.periods
        if hour in period and hour in manifest.checksums(period)
        for each in manifest.files_of(period)
        for table in HistoryReader(storage, each.path).batches(_HOURS_BATCH)
    )
    return tables.sort(tables.concat(chunks))


def beyond_history(storage: Storage, manifest: HistoryManifest, hour: Partition, points: pa.Table) -> pa.Table:
    """Those of an hour's points that the history lacks, sorted by key; raises as `HistoryReader`."""
    ids = sorted(set(points["video_id"].to_pylist()))
    keys = [each.path for period in manifest.periods if hour in period for each in manifest.files_of(period)]
    return tables.without(tables.sort(points), points_of(storage, keys, ids))


def newest_of_hour(storage: Storage, manifest: HistoryManifest, hour: Partition, until: datetime) -> datetime | None:
    """The newest point up to `until` (aware), which is of this hour, the last one that has begun by then.

    Only the last points of segments are read, unless later hours have points. Raises as `HistoryReader`.
    """
    keys = [each.path for period in manifest.periods if hour in period for each in manifest.files_of(period)]
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
