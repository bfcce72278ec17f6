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

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.vault.points.tables import COUNTS, SCHEMA, Numbers, numbers

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

_SECOND: Final = 1_000_000
_NULL: Final = np.iinfo(np.int64).min


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
