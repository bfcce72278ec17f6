"""The vault's Parquet files: the one schema, bytes to tables and back, and how tables merge.

Everything is read from bytes in memory: one version of a file, whatever happens to it meanwhile, and whatever
goes wrong here is the file's fault and not the disk's.
"""

import datetime as dt
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import COLUMNS, MetricPoint
from ghost_tracking.errors import BadInputError, SchemaDriftError, UnreadableFileError

_TIME = pa.timestamp("us", tz="UTC")

SCHEMA: Final = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("timestamp", _TIME, nullable=False),
        pa.field("views", pa.int64()),
        pa.field("likes", pa.int64()),
        pa.field("comments", pa.int64()),
        pa.field("published_at", _TIME),
    ]
)
KEY: Final = ("video_id", "timestamp")

_PARTS_KEY = "ghost_tracking.parts"
_ROW_GROUP = 128 * 1024
_BROKEN = (pa.ArrowException, OSError, ValueError, MemoryError)


@dataclass(frozen=True, slots=True)
class Footer:
    """What the end of a file tells: its points, the parts merged into it, and its newest timestamp (UTC)."""

    rows: int
    parts: frozenset[str]
    newest: dt.datetime | None


def table_of(points: Sequence[MetricPoint]) -> pa.Table:
    """The points as a table in the vault's schema."""
    columns = {name: [getattr(point, name) for point in points] for name in COLUMNS}
    try:
        return _checked(pa.table(columns, schema=SCHEMA))
    except _BROKEN as error:
        raise BadInputError(f"These points do not fit the vault's schema: {error}") from error


def merge(tables: Iterable[pa.Table]) -> pa.Table:
    """All rows sorted by video_id and timestamp, each key once: the row of the earliest table that has it."""
    together = pa.concat_tables(tables)
    # A stable sort: among equal keys the order of the tables stays.
    together = together.take(pc.sort_indices(together, sort_keys=[(name, "ascending") for name in KEY]))
    if together.num_rows < 2:
        return together
    same = [_equal_to_previous(together[name].combine_chunks()) for name in KEY]
    first = pc.invert(pc.and_(*same))
    return together.filter(pa.concat_arrays([pa.array([True]), first]))


def encode(table: pa.Table, parts: Collection[str] = ()) -> bytes:
    """A Parquet file that Spark 3.5, DuckDB, polars and pandas read; `parts` goes into its footer.

    Raises `SchemaDriftError` for a table of another schema.
    """
    _require_schema(table.schema)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        SCHEMA,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=3,
        use_dictionary=["timestamp"],  # one timestamp a call; ids and counts hardly repeat within an hour
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        writer.write_table(_checked(table), row_group_size=_ROW_GROUP)
        if parts:
            writer.add_key_value_metadata({_PARTS_KEY: json.dumps(sorted(parts))})
    return bytes(sink.getvalue())


def decode(data: bytes, partition: Partition) -> tuple[pa.Table, frozenset[str]]:
    """The points of a file, and the parts that were merged into it.

    Raises `UnreadableFileError` for what is no intact Parquet file or holds points of another hour, and
    `SchemaDriftError` for other columns.
    """
    with _naming_damage():
        file = _opened(data)
        table = _checked(file.read())
        _require_hour(table, partition)
        return table, _parts(file.metadata)


def read(data: bytes, columns: Sequence[str] = COLUMNS, video_ids: Sequence[str] | None = None) -> pa.Table:
    """The points of a file, of these videos (None: all) and with these columns; raises as `decode` does."""
    with _naming_damage():
        file = _opened(data)
        if video_ids is None:
            return _checked(file.read(columns=columns)).select(columns)
        groups = [g for g in range(file.num_row_groups) if _may_hold(file.metadata.row_group(g), video_ids)]
        table = _checked(file.read_row_groups(groups, columns=list({*columns, "video_id"})))
        table = table.filter(pc.is_in(table["video_id"], pa.array(video_ids, pa.string())))
        return table.select(columns)


def read_footer(data: bytes) -> Footer:
    """The footer of a file, of whose bytes the last ones suffice; raises as `decode` does."""
    with _naming_damage():
        metadata = _opened(data).metadata
        return Footer(metadata.num_rows, _parts(metadata), _newest(metadata))


def footer_length(data: bytes) -> int:
    """How many bytes at the end of a file make its footer, told by the last eight."""
    if data[-4:] != b"PAR1":
        raise UnreadableFileError("not an intact Parquet file: its end is missing")
    return int.from_bytes(data[-8:-4], "little") + 8


@contextmanager
def _naming_damage() -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise UnreadableFileError(f"not an intact Parquet file: {_first_line(error)}") from error


def _opened(data: bytes) -> pq.ParquetFile:
    file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    _require_schema(file.schema_arrow)
    return file


def _require_schema(schema: pa.Schema) -> None:
    found = [(field.name, field.type) for field in schema]
    wanted = [(field.name, field.type) for field in SCHEMA]
    if found == wanted:
        return
    differing = [f"{name} {kind}" for name, kind in found if (name, kind) not in wanted]
    missing = [f"{name} {kind}" for name, kind in wanted if (name, kind) not in found]
    raise SchemaDriftError(
        f"other columns than the vault's: unexpected {differing or 'order'}, missing {missing or 'none'}"
    )


def _checked(table: pa.Table) -> pa.Table:
    for name in KEY:
        if name in table.column_names and table[name].null_count:
            raise UnreadableFileError(f"{table[name].null_count} row(s) without {name}")
    return table.cast(pa.schema([SCHEMA.field(name) for name in table.column_names]))


def _require_hour(table: pa.Table, partition: Partition) -> None:
    if not table.num_rows:
        return
    extremes: dict[str, Any] = pc.min_max(table["timestamp"]).as_py()
    if extremes["min"] < partition.starts_at or extremes["max"] >= partition.ends_at:
        raise UnreadableFileError(f"holds points of another hour than {partition}")


def _equal_to_previous(column: pa.Array) -> pa.Array:
    return pc.equal(column.slice(1), column.slice(0, len(column) - 1))


def _parts(metadata: pq.FileMetaData) -> frozenset[str]:
    return frozenset(json.loads((metadata.metadata or {}).get(_PARTS_KEY.encode(), b"[]")))


def _may_hold(group: pq.RowGroupMetaData, video_ids: Sequence[str]) -> bool:
    statistics = group.column(COLUMNS.index("video_id")).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return any(statistics.min <= video_id <= statistics.max for video_id in video_ids)


def _newest(metadata: pq.FileMetaData) -> dt.datetime | None:
    column = COLUMNS.index("timestamp")
    groups = (metadata.row_group(g).column(column).statistics for g in range(metadata.num_row_groups))
    return max((s.max for s in groups if s is not None and s.has_min_max), default=None)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200]
