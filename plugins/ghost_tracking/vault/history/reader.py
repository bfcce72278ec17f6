"""Reads files of the history: a few videos by the file's index, or all of it in order.

A question about few videos reads the file's directory, a block of its index and one row group (`index`), each as a
span of bytes: nothing stays open between them, and of an object store that is a request each. A file without an index,
which has few row groups, is asked by its footer, which is no larger than a block.

What was read is kept in this process, up to `CACHE_BYTES` in all and the least recently used first to go: directories,
blocks and footers as bytes, and the segments of single videos. Files never change, so nothing of it becomes outdated.
"""

import bisect
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault.history.encoding import HISTORY_SCHEMA, LATEST, decode, last_points
from ghost_tracking.vault.history.index import Block, Directory, IndexReader, Place, borders, holding, meeting
from ghost_tracking.vault.history.manifest import HistoryFile
from ghost_tracking.vault.kit import footers, parquet
from ghost_tracking.vault.kit.caches import ByteCache
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)

CACHE_BYTES: Final = 128 * 2**20
"""Of everything that is kept of the history in a process: the indexes of five years take some 10 MB, 60 months of a
video some 0.7 MB."""

ROW_GROUP: Final = 10 * 1024
"""Points that are read to find one video's."""

_FEW: Final = 32
"""Of so many videos at once the segments are kept: more are a scan, which would drive everything else out."""

TABLE_BYTES: Final = 16_000
"""What a table of `HISTORY_SCHEMA` takes beside the bytes of its values, measured."""

_FOREIGN: Final = (AttributeError, ArithmeticError, TypeError, MemoryError)
"""What else comes of a file whose values are not what its layer writes."""

_BYTES_AT_A_TIME: Final = 256 * 2**20
"""Of a file that is read whole, uncompressed: 51 row groups, which most batches have, take some 20 MB."""

_LASTS_AT_A_TIME: Final = 4 * 2**20
"""Uncompressed bytes of row groups whose last points are read at a time, or a single row group."""

_FEW_GROUPS: Final = 4
"""So many row groups are decoded sooner than pyarrow's threads are asked to."""

_HOLE: Final = 64 * 1024
"""Bytes between two row groups that are sooner read than asked for apart."""

_SPAN: Final = 16 * 2**20
"""Bytes that are fetched at once, or those of a single row group."""

_END: Final = 64 * 1024
"""The end of a file without an index, which has its footer."""

KEPT: Final = ByteCache(CACHE_BYTES)

_Choose = Callable[[Sequence[str], Sequence[str]], Sequence[int]]
"""Takes the first and the last ids of row groups or blocks in order; the numbers of those to be read, in order."""


@dataclass(frozen=True, slots=True)
class _Groups:
    """Row groups of a file to be read together: a footer, and their numbers in it, in order."""

    metadata: pq.FileMetaData
    numbers: list[int]


class HistoryReader:
    """Reads one file of the history. Files never change.

    Raises `UnreadableFileError`, naming the file, for a broken one, and FileNotFoundError for one that has been
    compacted again meanwhile. Keeps no file open beyond a call or an iteration, and one at most.

    :param index: where the file's directory stands, as `HistoryFile.index` says; None: it has none
    """

    def __init__(self, storage: Storage, key: str, index: tuple[int, int] | None = None) -> None:
        self._storage = storage
        self._key = key
        self._place = storage.place, key
        self._index = None if index is None else IndexReader(index, self._kept_span)

    @classmethod
    def of(cls, storage: Storage, file: HistoryFile) -> Self:
        """The reader of a file that the manifest names."""
        return cls(storage, file.path, file.index)

    def check(self) -> None:
        """Read footer and index again; raises for a file that is not there, or not intact in these."""
        with parquet.wrap_read_errors(self._key, *_FOREIGN), self._storage.open(self._key) as file:
            metadata = self._opened(file).metadata
            firsts, lasts = borders(metadata)
        if self._index is not None:
            fresh = IndexReader(self._index.place, self._span)
            with parquet.wrap_read_errors(self._key, *_FOREIGN):
                blocks = [fresh.block(place) for place in fresh.directory().places]
                told = [name for block in blocks for name in block.firsts], [n for block in blocks for n in block.lasts]
                if told != (firsts, lasts):
                    raise UnreadableFileError("an index of other row groups than its footer tells of")

    def borders(self) -> tuple[str, str]:
        """The first and the last video of the file."""
        with parquet.wrap_read_errors(self._key, *_FOREIGN), self._storage.open(self._key) as file:
            firsts, lasts = borders(self._opened(file).metadata)
            if not firsts:
                raise UnreadableFileError("no row groups")
            return firsts[0], lasts[-1]

    def rows_of(self, video_ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """The segments of these videos, by video and time; of `columns`, `video_id` among them (None: of all).

        Of up to 32 videos they are kept for the next time. Takes the memory of what is found, and of the row groups of
        a block.
        """
        ids = sorted(set(video_ids))
        schema = _schema_of(columns)
        if len(ids) > _FEW:
            return _together_as(schema, self._found(ids, columns))
        known = {each: KEPT.get((*self._place, "rows", each)) for each in ids}
        missing = [each for each, kept in known.items() if kept is None]
        found: dict[str, pa.Table | None] = {each: kept[0] for each, kept in known.items() if kept is not None}
        if missing:
            rows = _together_as(schema, self._found(missing, columns))
            found |= {each: _rows_of_one(rows, each, alone=len(missing) == 1) for each in missing}
            if columns is None:
                self._keep({each: found[each] for each in missing})
        chosen = [rows for rows in map(found.__getitem__, ids) if rows is not None]
        return _together_as(schema, (rows if columns is None else rows.select(columns) for rows in chosen))

    def is_kept(self, video_id: str) -> bool:
        """Whether `rows_of` answers for this video without reading."""
        return KEPT.get((*self._place, "rows", video_id)) is not None

    def batches(self, points: int) -> Iterator[pa.Table]:
        """All points by key, in tables of about this many; a video's may go on in the next one."""
        with parquet.wrap_read_errors(self._key, *_FOREIGN), self._storage.open(self._key) as file:
            # a footer is some 11 kB a row group in memory, for as long as this goes on
            found = self._opened(file)
            every = range(found.metadata.num_row_groups)
            for chosen in _together(found.metadata, every, max(1, points // ROW_GROUP), _BYTES_AT_A_TIME):
                yield decode(found.read_row_groups(chosen))

    def lasts_between(self, first: str = "", end: str | None = None) -> Iterator[pa.Table]:
        """The last points of all segments of videos of [first, end), None being open, by video and time.

        In tables of one or some row groups, of some 4 MB when uncompressed. A video's segments may go on in the next
        one. Reads what the index names and no more, the row groups of a block at once; holds their bytes, some 1.5 MB
        in the largest files, and a table.
        """
        for groups in self._chosen(partial(meeting, first, end)):
            for rows in self._read(groups, LATEST, _LASTS_AT_A_TIME):
                yield last_points(_between(rows, first, end))

    def _found(self, ids: Sequence[str], columns: Sequence[str] | None) -> Iterator[pa.Table]:
        wanted = pa.array(ids, pa.string())
        for groups in self._chosen(partial(_all_holding, ids)):
            for rows in self._read(groups, columns):
                yield _only(rows, pc.is_in(rows["video_id"], wanted))

    def _keep(self, found: Mapping[str, pa.Table | None]) -> None:
        for each, rows in found.items():
            size = 0 if rows is None else rows.nbytes + TABLE_BYTES
            KEPT.keep((*self._place, "rows", each), rows, size)

    def _chosen(self, choose: _Choose) -> Iterator[_Groups]:
        """The row groups that `choose` takes by their borders: first of blocks, and then of each block's groups."""
        directory = self._directory()
        if directory is None:
            metadata, firsts, lasts = self._whole()
            yield _Groups(metadata, [*choose(firsts, lasts)])
            return
        for number in choose(directory.firsts, directory.lasts):
            groups = self._of_block(directory, number, choose)
            if groups.numbers:
                yield groups

    def _of_block(self, directory: Directory, number: int, choose: _Choose) -> _Groups:
        try:
            with parquet.wrap_read_errors(self._key, *_FOREIGN):
                block = self._block(directory.places[number])
                numbers = choose(block.firsts, block.lasts)
                return _Groups(directory.metadata(block, numbers), [*range(len(numbers))])
        except UnreadableFileError as error:
            self._warn(error)
            metadata, firsts, lasts = self._whole()
            start = sum(each.groups for each in directory.places[:number])
            of_block = slice(start, start + directory.places[number].groups)
            return _Groups(metadata, [start + each for each in choose(firsts[of_block], lasts[of_block])])

    def _read(
        self, groups: _Groups, columns: Sequence[str] | None, most_bytes: int = _BYTES_AT_A_TIME
    ) -> Iterator[pa.Table]:
        """The rows of these row groups, so many uncompressed bytes at a time, or one group."""
        last = max(map(HISTORY_SCHEMA.names.index, columns or HISTORY_SCHEMA.names))  # each has one leaf
        with parquet.wrap_read_errors(self._key, *_FOREIGN):
            for numbers, start, end in _runs(groups, last):
                window = _Window(self._span(start, end - start), start, end)
                known = pq.ParquetFile(
                    window, metadata=groups.metadata, page_checksum_verification=True, pre_buffer=False
                )
                for some in _together(groups.metadata, numbers, len(numbers), most_bytes):
                    yield known.read_row_groups(some, columns=columns, use_threads=len(some) > _FEW_GROUPS)

    def _directory(self) -> Directory | None:
        """The directory; None where the file has no intact index, and the footer has to do."""
        if self._index is None:
            return None
        try:
            return self._index.directory()
        except UnreadableFileError as error:
            self._warn(error)
            return None

    def _block(self, place: Place) -> Block:
        if self._index is None:
            raise UnreadableFileError("no index")
        return self._index.block(place)

    def _warn(self, error: UnreadableFileError) -> None:
        log.warning(
            "%s is read by its whole footer, which takes longer: %s; repair the vault", self._key, error.message
        )

    def _whole(self) -> tuple[pq.FileMetaData, list[str], list[str]]:
        """The footer with the borders of its row groups."""
        with parquet.wrap_read_errors(self._key, *_FOREIGN):
            metadata = footers.parsed(self._footer_bytes())
            parquet.require_schema(metadata.schema.to_arrow_schema(), HISTORY_SCHEMA)
            parquet.require_bounds(metadata, parquet.HISTORY)
            return metadata, *borders(metadata)

    def _footer_bytes(self) -> bytes:
        key = (*self._place, "footer")
        if (kept := KEPT.get(key)) is not None:
            return cast("bytes", kept[0])
        blob = self._storage.read(self._key, last=_END)
        length = footers.footer_length(blob.data)
        if length > len(blob.data):
            blob = self._storage.read(self._key, last=length)
        footer = blob.data[-length : -footers.END]
        if len(footer) <= _END:  # one that is larger would be in the place of thousands of blocks
            KEPT.keep(key, footer, len(footer))
        return footer

    def _kept_span(self, start: int, length: int) -> bytes:
        key = (*self._place, start, length)
        if (kept := KEPT.get(key)) is not None:
            return cast("bytes", kept[0])
        data = self._storage.read_span(self._key, start, length)
        KEPT.keep(key, data, len(data))
        return data

    def _span(self, start: int, length: int) -> bytes:
        return self._storage.read_span(self._key, start, length)

    @staticmethod
    def _opened(file: Any) -> pq.ParquetFile:
        return parquet.opened(file, HISTORY_SCHEMA, parquet.HISTORY, pre_buffer=False)


class _Window(io.RawIOBase):
    """The bytes of a file from `start` to `end`, at their places; what is read outside of them is damage."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        if len(data) != end - start:
            raise UnreadableFileError("not an intact Parquet file: it is shorter than it tells")
        self._data = memoryview(data)
        self._start = start
        self._end = end
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Exactly `size` bytes."""
        begin = self._position
        end = self._end if size is None or size < 0 else begin + size
        if not self._start <= begin <= end <= self._end:
            raise ValueError("a column that lies outside of its row group")
        self._position = end
        return bytes(self._data[begin - self._start : end - self._start])


def _runs(groups: _Groups, last_column: int) -> Iterator[tuple[list[int], int, int]]:
    """Row groups that stand close together, with the span of bytes that their columns up to the last one take."""
    run, start, end = list[int](), 0, 0
    for number in groups.numbers:
        begins, ends = _extent(groups.metadata.row_group(number), last_column)
        if run and not (end <= begins <= end + _HOLE and ends - start <= _SPAN):
            yield run, start, end
            run = []
        if not run:
            start = begins
        run.append(number)
        end = ends
    if run:
        yield run, start, end


def _extent(group: pq.RowGroupMetaData, last_column: int) -> tuple[int, int]:
    """Where the first column of a row group begins, and where this one ends; UnreadableFileError for no such place."""
    first, last = group.column(0), group.column(last_column)
    begins = first.dictionary_page_offset if first.has_dictionary_page else first.data_page_offset
    ends = (last.dictionary_page_offset if last.has_dictionary_page else last.data_page_offset) + (
        last.total_compressed_size
    )
    if not 0 < begins < ends <= begins + parquet.HISTORY.bytes:
        raise UnreadableFileError("a row group whose columns have no place in the file")
    return begins, ends


def _together(metadata: pq.FileMetaData, numbers: Sequence[int], most: int, most_bytes: int) -> Iterator[list[int]]:
    """These row groups in order, so many at a time, or fewer where they are large."""
    chosen, size = list[int](), 0
    for number in numbers:
        more = metadata.row_group(number).total_byte_size
        if chosen and (len(chosen) == most or size + more > most_bytes):
            yield chosen
            chosen, size = [], 0
        chosen.append(number)
        size += more
    if chosen:
        yield chosen


def _together_as(schema: pa.Schema, found: Iterable[pa.Table]) -> pa.Table:
    tables = [*found]
    return tables[0] if len(tables) == 1 else pa.concat_tables([schema.empty_table(), *tables])


def _schema_of(columns: Sequence[str] | None) -> pa.Schema:
    return pa.schema([HISTORY_SCHEMA.field(name) for name in columns or HISTORY_SCHEMA.names])


def _all_holding(ids: Sequence[str], firsts: Sequence[str], lasts: Sequence[str]) -> list[int]:
    """The numbers of those that may hold any of these videos, in order."""
    return sorted({number for each in ids for number in holding(each, firsts, lasts)})


def _rows_of_one(rows: pa.Table, video_id: str, *, alone: bool) -> pa.Table | None:
    """A copy of the rows of one video, which does not keep its row group's alive; None where there are none.

    `alone`: there are no others'.
    """
    places = np.arange(len(rows)) if alone else np.flatnonzero(pc.equal(rows["video_id"], video_id).to_numpy())
    return rows.take(pa.array(places)) if len(places) else None


def _only(rows: pa.Table, chosen: pa.ChunkedArray) -> pa.Table:
    """The chosen rows; those of one video stand together and need not be copied."""
    places = np.flatnonzero(chosen.to_numpy())
    start, end = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)
    near = rows.slice(start, end - start)
    return near if len(places) == end - start else near.filter(chosen.slice(start, end - start))


def _between(rows: pa.Table, first: str, end: str | None) -> pa.Table:
    """The rows, sorted by video, of [first, end)."""
    ids = rows["video_id"]
    begins = bisect.bisect_left(range(len(ids)), first, key=lambda row: str(ids[row].as_py()))
    ends = len(ids) if end is None else bisect.bisect_left(range(len(ids)), end, key=lambda row: str(ids[row].as_py()))
    return rows.slice(begins, max(0, ends - begins))
