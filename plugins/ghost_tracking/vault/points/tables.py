"""Points as Arrow tables: the vault's one schema, and how tables are sorted, merged, compared and counted.

A table of points has the columns of `SCHEMA` (or some of them) and may be in any order; (video_id, timestamp) is its
key. Sorting works on numbers that stand for the keys, which is several times faster than on strings.
"""

import bisect
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import COLUMNS, MetricPoint
from ghost_tracking.errors import BadInputError, UnreadableFileError

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
COUNTS: Final = ("views", "likes", "comments")

BROKEN: Final = (pa.ArrowException, OSError, ValueError, MemoryError)
"""What pyarrow raises for data that it cannot take."""

Numbers = npt.NDArray[np.int64]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_HOUR_MICROS: Final = 3_600_000_000


def table_of(points: Sequence[MetricPoint]) -> pa.Table:
    """The points as a table, in their order; BadInputError when they do not fit the schema."""
    try:
        columns: dict[str, Any] = {name: list(map(attrgetter(name), points)) for name in COLUMNS}
        columns["timestamp"] = pa.array(_micros(columns["timestamp"]), pa.int64()).cast(_TIME)
        table = pa.table(columns, schema=SCHEMA)
    except (*BROKEN, TypeError, AttributeError) as error:
        raise BadInputError(f"These points do not fit the vault's schema: {error}") from error
    _require_keys(table)
    return table


def _micros(moments: Sequence[dt.datetime]) -> list[int]:
    """Microseconds since 1970; the videos of a call share their moment, so each is computed once."""
    known = {moment: (moment - _EPOCH) // _MICROSECOND for moment in set(moments)}
    return [known[moment] for moment in moments]


def checked(table: pa.Table) -> pa.Table:
    """The table in the vault's types; UnreadableFileError where a key is null."""
    _require_keys(table)
    return table.cast(pa.schema([SCHEMA.field(name) for name in table.column_names]))


def _require_keys(table: pa.Table) -> None:
    for name in KEY:
        if name in table.column_names and table[name].null_count:
            raise UnreadableFileError(f"{table[name].null_count} row(s) without {name}")


def require_hour(table: pa.Table, partition: Partition) -> None:
    """Raise UnreadableFileError unless all points are of this hour."""
    if not table.num_rows:
        return
    extremes: dict[str, Any] = pc.min_max(table["timestamp"]).as_py()
    if extremes["min"] < partition.starts_at or extremes["max"] >= partition.ends_at:
        raise UnreadableFileError(f"holds points of another hour than {partition}")


def concat(tables: Iterable[pa.Table]) -> pa.Table:
    """All rows, table by table; none where there is no table."""
    return pa.concat_tables([*tables] or [SCHEMA.empty_table()])


def sort(table: pa.Table) -> pa.Table:
    """The rows sorted by video_id and timestamp; rows with the same key stay in their order."""
    return table.take(pa.array(_order(*_keys(table))))


def merge(tables: Iterable[pa.Table]) -> pa.Table:
    """All rows sorted by key, each key once: the row of the earliest table that has it."""
    together = concat(tables)
    return together.take(pa.array(_first_of_each_key(together)))


def merge_sorted(sources: Sequence[Iterator[pa.Table]]) -> Iterator[pa.Table]:
    """Merge sources that each yield tables sorted by key, such as `merge` would, without holding them whole.

    Yields tables sorted by key, none of whose videos is in two of them. Of equal keys the row of the first source
    stays. At a time no more is held than a table of each source, and all of one video.
    """
    heads = [SCHEMA.empty_table() for _ in sources]
    open_sources = set(range(len(sources)))
    starved = set(open_sources)
    while open_sources or any(head.num_rows for head in heads):
        for number in starved:
            more = next(sources[number], None)
            if more is None:
                open_sources.discard(number)
            else:
                heads[number] = pa.concat_tables([heads[number], more]).combine_chunks()
        # ids from the first source's end on may go on in what is not read yet
        border = min((_id(heads[number], -1) for number in open_sources if heads[number].num_rows), default=None)
        starved = {number for number in open_sources if not heads[number].num_rows}
        if starved:
            continue
        cuts = [head.num_rows if border is None else _rows_before(head, border) for head in heads]
        if any(cuts):
            yield merge(head.slice(0, cut) for head, cut in zip(heads, cuts, strict=True) if cut)
            heads = [head.slice(cut) for head, cut in zip(heads, cuts, strict=True)]
        starved = {number for number in open_sources if _id(heads[number], -1) == border}


def _id(table: pa.Table, row: int) -> str:
    return str(table["video_id"][row].as_py())


def _rows_before(table: pa.Table, border: str) -> int:
    return bisect.bisect_left(range(table.num_rows), border, key=lambda row: _id(table, row))


def without(table: pa.Table, known: pa.Table) -> pa.Table:
    """The rows of `table`, which is sorted by key and has each once, whose key is not in `known`; sorted by key."""
    if not known.num_rows:
        return table
    first = _first_of_each_key(pa.concat_tables([known.select(KEY), table.select(KEY)]))
    return table.take(pa.array(first[first >= known.num_rows] - known.num_rows))


def latest(table: pa.Table) -> pa.Table:
    """The newest row of each video; of rows with the same key the first."""
    codes, moments = _codes(table)[0], numbers(table["timestamp"])
    newest = np.full(int(codes.max(initial=-1)) + 1, np.iinfo(np.int64).min)
    np.maximum.at(newest, codes, moments)
    rows = np.flatnonzero(moments == newest[codes])
    return table.take(pa.array(rows[np.unique(codes[rows], return_index=True)[1]]))


def newest(table: pa.Table, until: dt.datetime) -> dt.datetime | None:
    """The newest time up to `until` (aware); None where there is none."""
    moment: dt.datetime | None = pc.max(within(table, None, until + _MICROSECOND)["timestamp"]).as_py()
    return moment


def hours(table: pa.Table) -> Numbers:
    """The hour of each row, in hours since 1970."""
    return numbers(table["timestamp"]) // _HOUR_MICROS


def partition_of(hour: int) -> Partition:
    """The partition of an hour that is counted since 1970."""
    return Partition.of(_EPOCH + dt.timedelta(hours=int(hour)))


def hour_number(partition: Partition) -> int:
    """A partition as hours since 1970."""
    return (partition.starts_at - _EPOCH) // dt.timedelta(hours=1)


def of_hours(table: pa.Table, wanted: Iterable[Partition]) -> pa.Table:
    """The rows of these hours."""
    return table.filter(pa.array(_in_hours(table, wanted)))


def not_of_hours(table: pa.Table, unwanted: Iterable[Partition]) -> pa.Table:
    """The rows of other hours than these."""
    return table.filter(pa.array(~_in_hours(table, unwanted)))


def _in_hours(table: pa.Table, wanted: Iterable[Partition]) -> npt.NDArray[np.bool_]:
    return np.isin(hours(table), np.array([hour_number(partition) for partition in wanted], dtype=np.int64))


def within(table: pa.Table, start: dt.datetime | None, end: dt.datetime | None) -> pa.Table:
    """The rows of [start, end), None being open."""
    if start is not None:
        table = table.filter(pc.greater_equal(table["timestamp"], pa.scalar(start, _TIME)))
    if end is not None:
        table = table.filter(pc.less(table["timestamp"], pa.scalar(end, _TIME)))
    return table


@dataclass(frozen=True, slots=True)
class Checksum:
    """How many points an hour has, and the sum of their hashes modulo 2^64, whatever their order."""

    rows: int
    hash: int


def checksums(table: pa.Table) -> dict[Partition, Checksum]:
    """The points of a table by hour; equal for two tables that hold the same points, however they are stored.

    The hash of a point is 64 bits of all six columns, so a point that changes, goes or comes does not go unnoticed.
    """
    if not table.num_rows:
        return {}
    found, where = np.unique(hours(table), return_inverse=True)
    sums = np.zeros(len(found), dtype=np.uint64)
    np.add.at(sums, where, _hashes(table))
    rows = np.bincount(where)
    return {
        partition_of(hour): Checksum(int(count), int(total))
        for hour, count, total in zip(found, rows, sums, strict=True)
    }


def add_checksums(sums: dict[Partition, Checksum], more: Mapping[Partition, Checksum]) -> None:
    """Add to `sums` the checksums of other points of these hours."""
    for hour, each in more.items():
        have = sums.get(hour, Checksum(0, 0))
        sums[hour] = Checksum(have.rows + each.rows, (have.hash + each.hash) % 2**64)


def numbers(column: pa.ChunkedArray, null: int = 0) -> Numbers:
    """A column of integers or times as 64-bit integers, `null` for null."""
    if column.type != pa.int64():
        column = column.cast(pa.int64())
    filled = pc.fill_null(column, null) if column.null_count else column
    values: Numbers = filled.to_numpy()
    return values


def _hashes(table: pa.Table) -> npt.NDArray[np.uint64]:
    codes, ids = _codes(table)
    mixed = pd.util.hash_array(np.asarray(ids.to_numpy(zero_copy_only=False), dtype=object), categorize=False)[codes]
    for name in COLUMNS[1:]:
        # a null is told from 0 by a number that no count and no time is
        values = numbers(table[name], null=np.iinfo(np.int64).min).view(np.uint64)
        mixed = (mixed ^ values) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _codes(table: pa.Table) -> tuple[Numbers, pa.Array]:
    """A number for the id of each row, and the ids that the numbers stand for."""
    encoded = table["video_id"].combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary


def _keys(table: pa.Table) -> tuple[Numbers, Numbers]:
    """Each row's key as two numbers that sort as the key does: the rank of its id, and its time."""
    codes, ids = _codes(table)
    ranks = np.empty(len(ids), dtype=np.int64)
    ranks[pc.array_sort_indices(ids).to_numpy()] = np.arange(len(ids))
    return ranks[codes], numbers(table["timestamp"])


def _order(ranks: Numbers, moments: Numbers) -> Numbers:
    if not len(ranks):
        return np.empty(0, dtype=np.int64)
    since = moments - moments.min()
    span = int(since.max()) + 1
    if (int(ranks.max()) + 1) * span < 2**63:
        # one number a key; a stable sort is quick where sorted tables stand one behind the other
        return np.argsort(ranks * span + since, kind="stable")
    return np.lexsort((moments, ranks))


def _first_of_each_key(table: pa.Table) -> Numbers:
    """The numbers of the rows with a key that no row before them has, in the order of the keys."""
    ranks, moments = _keys(table)
    order = _order(ranks, moments)
    ranks, moments = ranks[order], moments[order]
    again = (ranks[1:] == ranks[:-1]) & (moments[1:] == moments[:-1])
    return order[np.concatenate([[True], ~again])] if len(order) else order
