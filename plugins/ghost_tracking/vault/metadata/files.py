"""The archive's Parquet files: each sorted by video_id, read and merged a row group at a time."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.kit.digests import digest_of
from ghost_tracking.vault.metadata.manifest import ArchivedFile, IndexFile, archived, month_bit
from ghost_tracking.vault.metadata.rows import SCHEMA
from ghost_tracking.vault.metadata.words import encode as encode_words
from ghost_tracking.vault.storage import Storage

ROW_GROUP: Final = 8 * 1024
"""Rows: one video is found by reading the ids of one group, 90 kB, and itself with the rest of it, 3 MB."""


_DESCRIBED: Final = ("video_id", "channel_id", "published_at", "search", "discovered_at", "archived_at")
"""The columns that tell what the manifest says of a file, and its index."""


class Draft:
    """A file in the making: takes rows in the order of their ids, and becomes bytes.

    Holds the file's bytes and the columns that its index needs: some 64 MB and 150 bytes a video.
    """

    def __init__(self) -> None:
        self._sink = pa.BufferOutputStream()
        self._waiting: list[pa.Table] = []
        self._written: list[pa.Table] = []
        self._writer = pq.ParquetWriter(self._sink, SCHEMA, **parquet.videos_options(SCHEMA))

    @property
    def videos(self) -> int:
        """How many it has."""
        return sum(each.num_rows for each in self._written)

    def write(self, table: pa.Table) -> None:
        """Take more rows, whose ids follow those before; SchemaDriftError for other columns."""
        parquet.require_schema(table.schema, SCHEMA)
        if not table.num_rows:
            return
        self._written.append(table.select(_DESCRIBED))
        self._waiting.append(table)
        waiting = sum(each.num_rows for each in self._waiting)
        if waiting >= ROW_GROUP:
            self._flush(waiting - waiting % ROW_GROUP)

    def finish(self) -> bytes:
        """The whole file."""
        self._flush(sum(each.num_rows for each in self._waiting))
        self._writer.close()
        return bytes(self._sink.getvalue().to_pybytes())

    def described(self, name: str, data: bytes) -> tuple[ArchivedFile, bytes]:
        """What the manifest says of the file `data`, which has at least one row, and its index."""
        return described(name, data, pa.concat_tables(self._written))

    def _flush(self, rows: int) -> None:
        table = pa.concat_tables([SCHEMA.empty_table(), *self._waiting])
        self._waiting = [table.slice(rows)]
        self._writer.write_table(table.slice(0, rows).cast(SCHEMA), row_group_size=ROW_GROUP)


def described(name: str, data: bytes, rows: pa.Table | None = None) -> tuple[ArchivedFile, bytes]:
    """What the manifest says of the file `data`, and its index; bound on memory as `words.encode`.

    `rows` are those of the file, where the caller has them; else they are read, and that raises as `decode`.
    """
    if rows is None:
        with parquet.wrap_read_errors(archived(name)):
            file = parquet.opened(pa.BufferReader(data), SCHEMA, parquet.ARCHIVE)
            rows = pa.concat_tables(groups(file, _DESCRIBED))
    words = encode_words(rows)
    discovered, published = pc.min_max(discovery(rows)).as_py(), pc.min_max(rows["published_at"]).as_py()
    return ArchivedFile(
        name=name,
        videos=rows.num_rows,
        bytes=len(data),
        oldest=discovered["min"],
        newest=discovered["max"],
        hash=digest_of(data),
        published=(published["min"], published["max"]),
        undated=rows["published_at"].null_count,
        months=_months(rows["published_at"]),
        words=IndexFile(bytes=len(words), hash=digest_of(words)),
    ), words


def _months(times: pa.ChunkedArray) -> str:
    months = np.unique(times.drop_null().cast(pa.int64()).to_numpy().astype("datetime64[us]").astype("datetime64[M]"))
    bits = 0
    for month in months.astype("datetime64[D]").astype(object):
        bits |= month_bit(datetime(month.year, month.month, 1, tzinfo=UTC))
    return f"{bits:x}"


def discovery(table: pa.Table) -> pa.ChunkedArray:
    """When each row was discovered, or archived where that is unknown."""
    return pc.coalesce(table["discovered_at"], table["archived_at"])


@contextmanager
def opened(storage: Storage, key: str) -> Iterator[pq.ParquetFile]:
    """An archived file for reading here and there.

    Raises `UnreadableFileError` with its name when it is damaged, `SchemaDriftError` for other columns, and
    FileNotFoundError or `FileChangedError` when it is gone.
    """
    with parquet.wrap_read_errors(key), storage.open(key) as handle:
        yield parquet.opened(handle, SCHEMA, parquet.ARCHIVE)


def decode(key: str, data: bytes) -> pa.Table:
    """All rows of a file that was read whole; raises as `opened`."""
    return parquet.decode(key, data, SCHEMA, parquet.STAGED_VIDEOS)


def groups(file: pq.ParquetFile, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """A file's row groups, in order."""
    for number in range(file.num_row_groups):
        yield file.read_row_group(number, columns=columns)


def rows_of(file: pq.ParquetFile, video_ids: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """The rows of these videos, which are sorted, by reading the row groups that may hold them."""
    found = [pa.schema([SCHEMA.field(name) for name in columns]).empty_table()]
    for number in range(file.num_row_groups):
        wanted = _within(_statistics(file, number), video_ids)
        if not wanted:
            continue
        held = pc.is_in(file.read_row_group(number, columns=["video_id"])["video_id"], pa.array(wanted, pa.string()))
        if pc.any(held).as_py():
            found.append(file.read_row_group(number, columns=columns).filter(held))
    return pa.concat_tables(found).select(columns)


def first_ids(file: pq.ParquetFile) -> list[str]:
    """The least id of each row group, as the footer tells."""
    return [str(found.min) for number in range(file.num_row_groups) if (found := _statistics(file, number)) is not None]


def ids_between(file: pq.ParquetFile, first: str, end: str | None) -> pa.ChunkedArray:
    """The ids in [first, end), None being open, by reading the row groups that may hold them."""
    found = pa.chunked_array([], pa.string())
    for number in range(file.num_row_groups):
        span = _statistics(file, number)
        if span is None or (span.max >= first and (end is None or span.min < end)):
            ids = file.read_row_group(number, columns=["video_id"])["video_id"]
            within = pc.greater_equal(ids, first)
            within = within if end is None else pc.and_(within, pc.less(ids, end))
            found = pa.chunked_array([*found.chunks, *ids.filter(within).chunks], pa.string())
    return found


def merged(streams: Iterable[Iterable[pa.Table]]) -> Iterator[pa.Table]:
    """The rows of several streams, each in the order of its ids, in that order; holds a table a stream at a time."""
    heads = [(head, rest) for rest in map(iter, streams) if (head := _next(rest)) is not None]
    while heads:
        border = min(head["video_id"][-1].as_py() for head, _ in heads)
        ready, advanced = [], []
        for head, rest in heads:
            before = pc.sum(pc.less_equal(head["video_id"], border)).as_py()
            ready.append(head.slice(0, before))
            left = head.slice(before) if before < head.num_rows else _next(rest)
            if left is not None:
                advanced.append((left, rest))
        heads = advanced
        together = pa.concat_tables(ready)
        yield together if len(ready) == 1 else together.sort_by("video_id")


def _next(tables: Iterator[pa.Table]) -> pa.Table | None:
    return next((table for table in tables if table.num_rows), None)


def _statistics(file: pq.ParquetFile, number: int) -> Any:
    """The least and the greatest id of a row group; None where the footer does not tell."""
    statistics = file.metadata.row_group(number).column(SCHEMA.names.index("video_id")).statistics
    return statistics if statistics is not None and statistics.has_min_max else None


def _within(span: Any, video_ids: Sequence[str]) -> Sequence[str]:
    """Those of the sorted ids that lie between the least and the greatest of a row group."""
    if span is None:
        return video_ids
    return video_ids[bisect_left(video_ids, span.min) : bisect_right(video_ids, span.max)]
