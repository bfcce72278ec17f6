"""The vault's Parquet files: the one schema, bytes to tables and back, and how tables merge.

A published file grows at its end: a publication leaves all bytes as they are, the old footer too, and adds a row
group and a new footer. That matters to readers that open a path more than once, for its size, its footer and its
data (pandas does, DuckDB and polars do). When the file was replaced in between, what they learned from the old one
holds for the new one, and they get the old content whole.

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
_MOST_ROW_GROUPS = 64
"""More than there need be are slow: the file is then sorted into few. A publication every 5 minutes makes 12."""

_BROKEN = (pa.ArrowException, OSError, ValueError, MemoryError)


@dataclass(frozen=True, slots=True)
class Content:
    """What is in a file: its row groups, each sorted by key and no key in two, and the parts merged into it.

    `gaps` are the bytes behind each row group that belong to none: footers of the file's former versions.
    """

    groups: tuple[pa.Table, ...] = ()
    parts: frozenset[str] = frozenset()
    gaps: tuple[bytes, ...] = ()

    @property
    def table(self) -> pa.Table:
        """All points."""
        return pa.concat_tables([SCHEMA.empty_table(), *self.groups])

    @property
    def is_sorted(self) -> bool:
        """Whether the file as a whole is sorted by key, in few row groups, as a sealed one is."""
        borders = [_key(group, row) for group in self.groups if group.num_rows for row in (0, -1)]
        return len(self.groups) <= _few(self.groups) and borders == sorted(borders)

    def with_points(self, points: pa.Table, parts: Collection[str]) -> "Content":
        """With one more row group, of points whose keys are new, and with this list of parts."""
        groups = (*self.groups, points) if points.num_rows else self.groups
        grown = Content(groups, frozenset(parts), self.gaps)
        return grown.sorted() if len(grown.groups) > _few(grown.groups) + _MOST_ROW_GROUPS else grown

    def sorted(self) -> "Content":
        """The same points in as few row groups as there can be."""
        return Content((sort(self.table),), self.parts)


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


def sort(table: pa.Table) -> pa.Table:
    """The rows sorted by video_id and timestamp; rows with the same key stay in their order."""
    return table.take(_key_order(table))


def merge(tables: Iterable[pa.Table]) -> pa.Table:
    """All rows sorted by key, each key once: the row of the earliest table that has it."""
    together = pa.concat_tables([SCHEMA.empty_table(), *tables])
    return together.take(_first_of_each_key(together))


def without(table: pa.Table, known: pa.Table) -> pa.Table:
    """The rows of `table`, which has each key once, whose key is not in `known`; sorted by key."""
    keys = pa.concat_tables([known.select(KEY), table.select(KEY)])
    first = _first_of_each_key(keys)
    return table.take(pc.subtract(first.filter(pc.greater_equal(first, known.num_rows)), known.num_rows))


def encode(content: Content) -> bytes:
    """A Parquet file that Spark 3.5, DuckDB, polars and pandas read; the same content gives the same bytes.

    Raises `SchemaDriftError` for a table of another schema.
    """
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
        no_gaps = (b"",) * (len(content.groups) - len(content.gaps))
        for group, gap in zip(content.groups, content.gaps + no_gaps, strict=True):
            _require_schema(group.schema)
            # In one piece: where chunks end decides where pages end.
            writer.write_table(_checked(group).combine_chunks(), row_group_size=_ROW_GROUP)
            sink.write(gap)
        writer.add_key_value_metadata({_PARTS_KEY: json.dumps(sorted(content.parts))})
    return bytes(sink.getvalue())


def decode(data: bytes, partition: Partition) -> Content:
    """What is in a file.

    Raises `UnreadableFileError` for what is no intact Parquet file or holds points of another hour, and
    `SchemaDriftError` for other columns.
    """
    with _naming_damage():
        file = _opened(data)
        groups = [_checked(file.read_row_group(number)) for number in range(file.num_row_groups)]
        for group in groups:
            _require_hour(group, partition)
        return Content(tuple(groups), _parts(file.metadata), tuple(_gaps(data, file.metadata)))


def read(data: bytes, columns: Sequence[str], video_ids: Sequence[str] | None = None) -> pa.Table:
    """The points of a file, of these videos (None: all) and with these columns, the key's among them, sorted by key.

    Raises as `decode` does.
    """
    with _naming_damage():
        file = _opened(data)
        if video_ids is None:
            table = _checked(file.read(columns=columns))
        else:
            groups = [g for g in range(file.num_row_groups) if _may_hold(file.metadata.row_group(g), video_ids)]
            table = _checked(file.read_row_groups(groups, columns=columns))
            table = table.filter(pc.is_in(table["video_id"], pa.array(video_ids, pa.string())))
        return (sort(table) if file.num_row_groups > 1 else table).select(columns)


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


def _key_order(table: pa.Table) -> pa.Array:
    return pc.sort_indices(table, sort_keys=[(name, "ascending") for name in KEY])  # a stable sort


def _first_of_each_key(table: pa.Table) -> pa.Array:
    """The numbers of the rows with a key that no row before them has, in the order of the keys."""
    order = _key_order(table)
    if len(order) < 2:
        return order
    same = [_equal_to_previous(table[name].take(order).combine_chunks()) for name in KEY]
    return order.filter(pa.concat_arrays([pa.array([True]), pc.invert(pc.and_(*same))]))


def _equal_to_previous(column: pa.Array) -> pa.Array:
    return pc.equal(column.slice(1), column.slice(0, len(column) - 1))


def _few(groups: Sequence[pa.Table]) -> int:
    """Into how few row groups these can be written."""
    rows = sum(int(group.num_rows) for group in groups)
    return -(-rows // _ROW_GROUP)


def _key(table: pa.Table, row: int) -> tuple[Any, ...]:
    return tuple(table[name][row].as_py() for name in KEY)


def _parts(metadata: pq.FileMetaData) -> frozenset[str]:
    return frozenset(json.loads((metadata.metadata or {}).get(_PARTS_KEY.encode(), b"[]")))


def _may_hold(group: pq.RowGroupMetaData, video_ids: Sequence[str]) -> bool:
    statistics = group.column(COLUMNS.index("video_id")).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return any(statistics.min <= video_id <= statistics.max for video_id in video_ids)


def _gaps(data: bytes, metadata: pq.FileMetaData) -> Iterator[bytes]:
    spans = [_span(metadata.row_group(number)) for number in range(metadata.num_row_groups)]
    next_starts = [*(start for start, _ in spans[1:]), len(data)]
    for (_, end), next_start in zip(spans, next_starts, strict=False):
        yield data[end:next_start]


def _span(group: pq.RowGroupMetaData) -> tuple[int, int]:
    """Where a row group begins and ends in its file."""
    columns = [group.column(number) for number in range(group.num_columns)]
    starts = [c.dictionary_page_offset or c.data_page_offset for c in columns]
    return min(starts), max(s + c.total_compressed_size for s, c in zip(starts, columns, strict=True))


def _newest(metadata: pq.FileMetaData) -> dt.datetime | None:
    column = COLUMNS.index("timestamp")
    groups = (metadata.row_group(g).column(column).statistics for g in range(metadata.num_row_groups))
    return max((s.max for s in groups if s is not None and s.has_min_max), default=None)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200]
