"""Streams of points that are sorted by video_id, merged so that the newest point of each video is left.

A stream yields tables of points; within it ids never go down, and a video may have several points. What merging costs
is decided by how ids are compared: as fixed-size bytes in numpy, and never one by one. Ids sort by their bytes, as
everywhere in the vault.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.vault.points.runs import Runs
from ghost_tracking.vault.points.tables import SCHEMA, Numbers, numbers

Stream = Iterator[pa.Table]
_Ids = npt.NDArray[np.bytes_]
_NO_IDS: Final = np.empty(0, dtype="S11")


@dataclass(frozen=True, slots=True)
class _Rows:
    """Points with their ids as bytes and their times in microseconds, the columns each in one piece."""

    ids: _Ids
    moments: Numbers
    columns: tuple[pa.Array, ...]
    schema: pa.Schema

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, table: pa.Table) -> "_Rows":
        columns = tuple(_whole(column) for column in table.columns)
        video_ids = columns[table.column_names.index("video_id")]
        return cls(_bytes_of(video_ids), numbers(table["timestamp"]), columns, table.schema)

    @property
    def table(self) -> pa.Table:
        return pa.table(list(self.columns), schema=self.schema)

    def part(self, start: int, end: int | None = None) -> "_Rows":
        columns = tuple(column[start:end] for column in self.columns)
        return _Rows(self.ids[start:end], self.moments[start:end], columns, self.schema)

    def take(self, places: Numbers) -> "_Rows":
        # column by column: a table's take is ten times as slow
        columns = tuple(column.take(pa.array(places)) for column in self.columns)
        return _Rows(self.ids[places], self.moments[places], columns, self.schema)


def newest(sources: Sequence[Stream]) -> Stream:
    """The newest point of each video of several streams, sorted by id; of equal times that of the first stream.

    Holds a table of each stream at a time, and what the streams have of one video.
    """
    if len(sources) == 1:
        yield from _newest_in(sources[0])
        return
    heads: list[_Rows | None] = [None for _ in sources]
    waiting = set(range(len(sources)))
    starved = set(waiting)
    while waiting or any(head is not None for head in heads):
        for number in starved:
            table = _more(sources[number])
            if table is None:
                waiting.discard(number)
            else:
                heads[number] = _joined([heads[number], _Rows.of(table)])
        # of ids from the first stream's end on, more may be in what is not read yet
        ends = {number: head.ids[-1] for number in waiting if (head := heads[number]) is not None}
        border = min(ends.values(), default=None)
        cuts = [_before(head, border) for head in heads]
        ready = [head.part(0, cut) for head, cut in zip(heads, cuts, strict=True) if head is not None and cut]
        if ready:
            yield _newest_of(_joined(ready)).table
        heads = [
            head.part(cut) if head is not None and cut < len(head) else None
            for head, cut in zip(heads, cuts, strict=True)
        ]
        starved = {number for number in waiting if heads[number] is None or ends[number] == border}


def _newest_in(source: Stream) -> Stream:
    """The newest point of each video of one stream, whose tables are passed on as they are where nothing is double."""
    held = _next(source)
    while held is not None:
        following = _next(source)
        if following is not None and following.ids[0] == held.ids[-1]:
            held = _joined([held, following])
        else:
            yield _newest_of(held).table
            held = following


def newest_of(tables: Sequence[pa.Table]) -> pa.Table:
    """The newest point of each video of several tables in any order, sorted by id; of equal times that of the first."""
    return _newest_of(_joined([_Rows.of(table) for table in tables])).table if tables else SCHEMA.empty_table()


def runs() -> Runs:
    """Sorts points that come in any order, and merges more streams than can be read at once, to the newest points."""
    return Runs(sort_tables=newest_of, merge_sources=newest)


def overlaid(base: Stream, updates: Stream) -> Stream:
    """`base`, with the points of `updates` where these are newer, or of videos that it has not.

    Both are sorted by id and have each id once. What has no update is passed on as it is, so that it costs little where
    the updates are few. Of equal times that of `base` stays. Holds a table of each at a time.
    """
    update = _next(updates)
    for table in base:
        if update is None:
            yield table
            continue
        rows = _Rows.of(table)
        while update is not None and len(rows):
            # as far as both are known
            border = min(rows.ids[-1], update.ids[-1])
            own, others = _through(rows, border), _through(update, border)
            yield _overlaid(rows.part(0, own), update.part(0, others)).table
            rows, update = rows.part(own), update.part(others)
            if not len(update):
                update = _next(updates)
        if len(rows):
            yield rows.table
    if update is not None:
        yield update.table
        yield from updates


def within(table: pa.Table, first: str, end: str | None) -> pa.Table:
    """The rows of a table whose ids lie in [first, end); None being open."""
    if first:
        table = table.filter(pc.greater_equal(table["video_id"], pa.scalar(first)))
    if end is not None:
        table = table.filter(pc.less(table["video_id"], pa.scalar(end)))
    return table


def _more(source: Stream) -> pa.Table | None:
    return next((table for table in source if table.num_rows), None)


def _next(source: Stream) -> _Rows | None:
    table = _more(source)
    return None if table is None else _Rows.of(table)


def _before(rows: _Rows | None, border: Any) -> int:
    """How many of the rows lie before the border (None: all)."""
    if rows is None:
        return 0
    return len(rows) if border is None else int(np.searchsorted(rows.ids, border, side="left"))


def _through(rows: _Rows, border: Any) -> int:
    return int(np.searchsorted(rows.ids, border, side="right"))


def _newest_of(rows: _Rows) -> _Rows:
    """The newest row of each id, sorted by id; of equal times the first."""
    if bool(np.all(rows.ids[1:] > rows.ids[:-1])):
        return rows
    order = np.argsort(rows.ids, kind="stable")  # quick where sorted ones stand one behind the other
    ids, moments = rows.ids[order], rows.moments[order]
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]])) if len(ids) else np.empty(0, np.int64)
    if len(starts) == len(ids):
        return rows.take(order)
    lengths = np.diff(np.append(starts, len(ids)))
    candidates = np.flatnonzero(moments == np.repeat(np.maximum.reduceat(moments, starts), lengths))
    video = np.searchsorted(starts, candidates, side="right")
    first = np.concatenate([[True], video[1:] != video[:-1]])
    return rows.take(order[candidates[first]])


def _overlaid(base: _Rows, updates: _Rows) -> _Rows:
    if not len(updates):
        return base
    if not len(base):
        return updates
    places = np.searchsorted(base.ids, updates.ids)
    nearest = np.minimum(places, len(base) - 1)
    known = base.ids[nearest] == updates.ids
    newer = known & (updates.moments > base.moments[nearest])
    chosen = np.arange(len(base), dtype=np.int64)
    chosen[places[newer]] = len(base) + np.flatnonzero(newer)
    chosen = np.insert(chosen, places[~known], len(base) + np.flatnonzero(~known))
    return _joined([base, updates]).take(chosen)


def _joined(pieces: Sequence[_Rows | None]) -> _Rows:
    found = [piece for piece in pieces if piece is not None]
    if len(found) == 1:
        return found[0]
    columns = tuple(pa.concat_arrays(list(each)) for each in zip(*(piece.columns for piece in found), strict=True))
    ids = np.concatenate([piece.ids for piece in found])
    return _Rows(ids, np.concatenate([piece.moments for piece in found]), columns, found[0].schema)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _bytes_of(video_ids: pa.Array) -> _Ids:
    """Ids as bytes of one size, without a copy where all have it, as today's have."""
    if not len(video_ids):
        return _NO_IDS
    _, behind, data = video_ids.buffers()
    offsets = np.frombuffer(behind, dtype=np.int32, count=len(video_ids) + 1, offset=4 * video_ids.offset)
    size = int(offsets[1] - offsets[0])
    if size and np.all(np.diff(offsets) == size):
        return np.frombuffer(data, dtype=f"S{size}", count=len(video_ids), offset=int(offsets[0]))
    return np.array(video_ids.cast(pa.binary()).to_pylist())
