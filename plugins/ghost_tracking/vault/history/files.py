"""The files of the history, each of the points of a day or month as `encoding` has them: written, and asked together.

A file is never changed: a new one takes its place in the manifest. Row groups are so small that one video's points are
found by reading one of them, which `index` names and `reader` reads.
"""

import bisect
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from more_itertools import chunked

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.encoding import HISTORY_SCHEMA, LATEST, decode, encode, last_points
from ghost_tracking.vault.history.index import indexed
from ghost_tracking.vault.history.manifest import HistoryFile, HistoryManifest
from ghost_tracking.vault.history.reader import KEPT, ROW_GROUP, TABLE_BYTES, HistoryReader
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.kit.digests import digest_of
from ghost_tracking.vault.points import tables
from ghost_tracking.vault.points.tables import Checksum
from ghost_tracking.vault.storage import Storage

MOST_POINTS_A_FILE: Final = 24_000_000
"""About 110 MB: object stores and query engines like files of 100 MB to 1 GB, and one is put together in memory."""

_FEW: Final = 4
"""Files that are read sooner one by one than threads are started."""

_THREADS: Final = 4
_KEY_BYTES: Final = 130
"""Of a file's name, which may outlive the manifest that it came from."""
_HOURS_BATCH: Final = 1 << 19
_IDS_AT_A_TIME: Final = 4096
"""Videos that are looked up together where there may be any number: some 20 MB of a month's segments a file."""
_CHECKED: Final = 64 * 1024
_NONE: Final = Checksum(0, 0)

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
        if self._pending_points >= 16 * ROW_GROUP:
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
            end = max(start + 1, int(np.searchsorted(behind, before + ROW_GROUP, side="right")))
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
        data, index = indexed(bytes(sink.getvalue()))
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
                index=index,
            )
        )
        self._open, self._written, self._borders = None, 0, []


def points_of(storage: Storage, files: Iterable[HistoryFile], video_ids: Sequence[str]) -> pa.Table:
    """The points of these videos in these files, file by file; raises as `HistoryReader`.

    Opens up to four files at a time. What many files have of one video is kept, until others take the place of these.
    """
    files = tuple(files)
    if len(video_ids) != 1 or len(files) <= _FEW:
        return _read_points(storage, files, video_ids)
    place, keys = (storage.place, "points", video_ids[0]), tuple(each.path for each in files)
    kept = KEPT.get(place)
    if kept is not None and kept[0][0] == keys:
        return kept[0][1]
    points = _read_points(storage, files, video_ids)
    KEPT.keep(place, (keys, points), points.nbytes + TABLE_BYTES + _KEY_BYTES * len(keys))
    return points


def _read_points(storage: Storage, files: Sequence[HistoryFile], video_ids: Sequence[str]) -> pa.Table:
    readers = [HistoryReader.of(storage, each) for each in files]
    unread = sum(not all(map(each.is_kept, video_ids)) for each in readers)
    if unread <= _FEW:
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
    """Those of an hour's points that the history lacks, sorted by key; raises as `HistoryReader`.

    Beside the hour, the segments of `_IDS_AT_A_TIME` videos are held.
    """
    of_date = manifest.files_of_date(hour.date)
    ids = sorted(set(points["video_id"].to_pylist()))
    known = (tables.of_hours(points_of(storage, of_date, some), [hour]) for some in chunked(ids, _IDS_AT_A_TIME))
    return tables.without(tables.sort(points), tables.concat(known))


def newest_of_hour(storage: Storage, manifest: HistoryManifest, hour: Partition, until: datetime) -> datetime | None:
    """The newest point up to `until` (aware), which is of this hour, the last one that has begun by then.

    Only the last points of segments are read, some of them at a time, unless later hours have points. Raises as
    `HistoryReader`.
    """
    found: datetime | None = None
    for each in manifest.files_of_date(hour.date):
        for lasts in HistoryReader.of(storage, each).lasts_between():
            newest = pc.max(lasts["timestamp"]).as_py()
            found = newest if found is None else max(found, newest or found)
    if found is not None and found > until:
        return tables.newest(points_of_hour(storage, manifest, hour), until)
    return found


def latest_of(storage: Storage, files: Iterable[HistoryFile], video_ids: Sequence[str] | None) -> pa.Table:
    """The last points of the segments of these videos (None: of all) in these files; raises as `HistoryReader`."""
    readers = [HistoryReader.of(storage, each) for each in files]
    if video_ids is None:
        return tables.concat(table for each in readers for table in each.lasts_between())
    found = [each.rows_of(video_ids, LATEST) for each in readers]
    return last_points(pa.concat_tables([HISTORY_SCHEMA.empty_table().select(LATEST), *found]))


def files_of_videos(files: Iterable[HistoryFile], video_ids: Sequence[str]) -> list[HistoryFile]:
    """Which of these files may hold any of these videos, which are sorted."""
    found = []
    for each in files:
        place = bisect.bisect_left(video_ids, each.first)
        if place < len(video_ids) and video_ids[place] <= each.last:
            found.append(each)
    return found
