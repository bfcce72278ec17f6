"""The Parquet files of an hour: staged parts, the open hour's file that grows at its end, and the sealed one.

A published file grows at its end: a publication leaves all bytes as they are, the old footer too, and adds a row
group and a new footer. That matters to readers that open a path more than once, for its size, its footer and its
data (pandas does, DuckDB and polars do). When the file was replaced in between, what they learned from the old one
holds for the new one, and they get the old content whole. It is cheap, too: what is there is copied, not encoded.

Everything is read from bytes in memory: one version of a file, whatever happens to it meanwhile, and whatever
goes wrong here is the file's fault and not the disk's.
"""

import datetime as dt
import errno
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import COLUMNS
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.kit.footers import footer_length
from ghost_tracking.vault.points.tables import BROKEN, KEY, SCHEMA, checked, require_hour, sort
from ghost_tracking.vault.storage import Storage

MOST_ROW_GROUPS: Final = 64
"""More than that are slow: the file is then rewritten. A publication every 5 minutes makes 12."""

_PARTS_KEY = "ghost_tracking.parts"
_SEALED_KEY = "ghost_tracking.sealed"
_ROW_GROUP = 128 * 1024
_SEALED_ROW_GROUP = 32 * 1024
"""Sorted by id, so that one video's points are found by reading one of them: a quarter costs 1 % more bytes."""
_TAIL: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Footer:
    """What the end of a published file tells: its points, the parts merged into it, its newest timestamp (UTC)."""

    rows: int
    parts: frozenset[str]
    newest: dt.datetime | None
    sealed: bool
    groups: int


def encode_part(table: pa.Table) -> bytes:
    """A staged part."""
    return _file(table, parquet.PART, {})


def encode(table: pa.Table, parts: Collection[str]) -> bytes:
    """An open hour's file that holds this table, made of these parts."""
    return _file(sort(table), parquet.OPEN_HOUR, {_PARTS_KEY: json.dumps(sorted(parts))})


def encode_sealed(table: pa.Table, parts: Collection[str]) -> bytes:
    """A sealed hour's file; the table is sorted by key."""
    notes = {_PARTS_KEY: json.dumps(sorted(parts)), _SEALED_KEY: "1"}
    return _file(table, parquet.SEALED_HOUR, notes, row_group_size=_SEALED_ROW_GROUP)


def grow(data: bytes, fresh: pa.Table, parts: Collection[str]) -> bytes:
    """The file `data` with one more row group, of points whose keys are new, and with this list of parts.

    No row group is decoded or encoded again. Raises as `read_footer` does.
    """
    with _wrap_read_errors():
        before = _opened(data).metadata
    _require_room(before.num_rows + fresh.num_rows)
    with _wrap_read_errors():
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, SCHEMA, **parquet.OPEN_HOUR) as writer:
            # It has written the four bytes with which every Parquet file begins, and takes up where these end.
            sink.write(data[4:])
            if fresh.num_rows:
                writer.write_table(_whole(fresh), row_group_size=_ROW_GROUP)
        grown = sink.getvalue()
        added = pq.read_metadata(pa.BufferReader(grown))
        end = len(grown) - footer_length(bytes(grown[-8:]))
        return bytes(grown[:end]) + _footer([before, added], {_PARTS_KEY: json.dumps(sorted(parts))})


def decode(data: bytes, partition: Partition) -> pa.Table:
    """All points of a part or a published file.

    Raises `UnreadableFileError` for what is no intact Parquet file or holds points of another hour, and
    `SchemaDriftError` for other columns.
    """
    with _wrap_read_errors():
        table = checked(_opened(data).read())
        require_hour(table, partition)
        return table


def sorted_chunks(data: bytes, partition: Partition) -> Iterator[pa.Table]:
    """All points of a published file, sorted by key, row group by row group; raises as `decode` does.

    A file that is not sealed is sorted first, in memory.
    """
    if not read_footer(data).sealed:
        yield sort(decode(data, partition))
        return
    file = _opened(data)
    for group in range(file.num_row_groups):
        with _wrap_read_errors():
            table = checked(file.read_row_group(group))
            require_hour(table, partition)
        yield table


def read(data: bytes, columns: Sequence[str], video_ids: Sequence[str] | None = None) -> pa.Table:
    """The points of a published file, of these videos (None: all), with these columns, the key's among them.

    Sorted by key. Raises as `decode` does.
    """
    with _wrap_read_errors():
        file = _opened(data)
        if video_ids is None:
            table = checked(file.read(columns=columns))
        else:
            wanted = pa.array(video_ids, pa.string())
            groups = [g for g in range(file.num_row_groups) if _may_hold(file.metadata.row_group(g), video_ids)]
            # the ids first: in most files of a day there is none of a few videos
            groups = [g for g in groups if _holds(file, g, wanted)]
            table = _of_groups(file, groups, columns)
            table = table.filter(pc.is_in(table["video_id"], wanted))
        return (sort(table) if file.num_row_groups > 1 else table).select(columns)


def keys_of_span(data: bytes, span: pa.Table) -> pa.Table:
    """The keys in those row groups of a published file that have a time in common with the times of `span`.

    Publications follow each other in time, so that mostly there are none, and nothing is decoded.
    """
    times: Mapping[str, Any] = pc.min_max(span["timestamp"]).as_py()
    with _wrap_read_errors():
        file = _opened(data)
        groups = [g for g in range(file.num_row_groups) if _meets(file.metadata.row_group(g), times)]
        return _of_groups(file, groups, KEY)


def read_footer(data: bytes) -> Footer:
    """The footer of a published file, of whose bytes the last ones suffice; raises as `decode` does."""
    with _wrap_read_errors():
        metadata = _opened(data).metadata
        notes: Mapping[bytes, bytes] = metadata.metadata or {}
        return Footer(
            rows=metadata.num_rows,
            parts=frozenset(map(str, json.loads(notes.get(_PARTS_KEY.encode(), b"[]")))),
            newest=_newest(metadata),
            sealed=_SEALED_KEY.encode() in notes,
            groups=metadata.num_row_groups,
        )


def footer_at(storage: Storage, key: str) -> tuple[Footer, int]:
    """The footer of a stored file and the file's size in bytes, read without the rest.

    Raises FileNotFoundError, and what `read_footer` raises.
    """
    blob = storage.read(key, last=_TAIL)
    while footer_length(blob.data) > len(blob.data) < blob.size:
        blob = storage.read(key, last=footer_length(blob.data))
    return read_footer(blob.data), blob.size


def _of_groups(file: pq.ParquetFile, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
    # older versions of pyarrow fail where no group is asked for
    if not groups:
        return checked(file.schema_arrow.empty_table().select(list(columns)))
    return checked(file.read_row_groups(groups, columns=list(columns)))


@contextmanager
def _wrap_read_errors() -> Iterator[None]:
    try:
        yield
    except (*BROKEN, ArithmeticError, TypeError, RecursionError) as error:  # its statistics and notes are foreign too
        raise UnreadableFileError(f"not an intact Parquet file: {str(error).partition(chr(10))[0][:200]}") from error


def _file(
    table: pa.Table, options: parquet.Options, notes: Mapping[str, str], row_group_size: int = _ROW_GROUP
) -> bytes:
    _require_room(table.num_rows)
    return parquet.encode(_whole(table), options, notes=notes, row_group_size=row_group_size)


def _require_room(rows: int) -> None:
    """Nothing is written that no reader would take."""
    if rows > parquet.POINTS.rows:
        raise OSError(errno.EFBIG, f"An hour of the vault holds up to {parquet.POINTS.rows:,} points, not {rows:,}")


def _whole(table: pa.Table) -> pa.Table:
    """The table in the vault's types, and in one piece: where chunks end decides where pages end."""
    if table.schema != SCHEMA:
        parquet.require_schema(table.schema, SCHEMA)
        table = checked(table)
    return table.combine_chunks()


def _footer(row_groups: Sequence[pq.FileMetaData], notes: Mapping[str, str]) -> bytes:
    """A footer for the row groups of several; pyarrow keeps the notes of the first, so that one has nothing else."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, SCHEMA, **parquet.OPEN_HOUR) as writer:
        writer.add_key_value_metadata(notes)
    together = pq.read_metadata(pa.BufferReader(sink.getvalue()))
    for each in row_groups:
        together.append_row_groups(each)
    written = pa.BufferOutputStream()
    together.write_metadata_file(written)
    return bytes(written.getvalue())[4:]


def _opened(data: bytes) -> pq.ParquetFile:
    return parquet.opened(pa.BufferReader(data), SCHEMA, parquet.POINTS)


def _statistics(group: pq.RowGroupMetaData, column: str) -> Any:
    statistics = group.column(COLUMNS.index(column)).statistics
    return statistics if statistics is not None and statistics.has_min_max else None


def _may_hold(group: pq.RowGroupMetaData, video_ids: Sequence[str]) -> bool:
    ids = _statistics(group, "video_id")
    return ids is None or any(ids.min <= video_id <= ids.max for video_id in video_ids)


def _holds(file: pq.ParquetFile, group: int, video_ids: pa.Array) -> bool:
    ids = file.read_row_group(group, columns=["video_id"], use_threads=False)["video_id"]
    return bool(pc.any(pc.is_in(ids, video_ids)).as_py())


def _meets(group: pq.RowGroupMetaData, times: Mapping[str, Any]) -> bool:
    own = _statistics(group, "timestamp")
    return own is None or (own.min <= times["max"] and times["min"] <= own.max)


def _newest(metadata: pq.FileMetaData) -> dt.datetime | None:
    groups = (_statistics(metadata.row_group(g), "timestamp") for g in range(metadata.num_row_groups))
    return max((own.max for own in groups if own is not None), default=None)
