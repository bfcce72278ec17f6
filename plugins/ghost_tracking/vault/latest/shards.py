"""The files of `latest/`: the newest point of each video of a range of ids, by id, in the vault's six columns."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.kit.digests import digest_of, digest_of_file
from ghost_tracking.vault.kit.names import new_name
from ghost_tracking.vault.latest.manifest import Shard
from ghost_tracking.vault.latest.merging import Stream, within
from ghost_tracking.vault.points import tables
from ghost_tracking.vault.storage import Storage

ROW_GROUP: Final = 32 * 1024
"""Points that are read to find one video's, and that a stream holds at a time."""
_FOREIGN: Final = (AttributeError, ArithmeticError, TypeError, MemoryError)


class ShardWriter:
    """Writes one shard, in memory: some 20 bytes a point."""

    def __init__(self) -> None:
        self.videos = 0
        self._sink = pa.BufferOutputStream()
        self._writer = pq.ParquetWriter(self._sink, tables.SCHEMA, **parquet.LATEST_POINTS)
        self._waiting: list[pa.Table] = []
        self._times: list[dt.datetime] = []

    def write(self, table: pa.Table) -> None:
        """Add points whose ids come after those that were added before, each once."""
        if not table.num_rows:
            return
        self.videos += table.num_rows
        times = [*self._times, *pc.min_max(table["timestamp"]).as_py().values()]
        self._times = [min(times), max(times)]
        self._waiting.append(table)
        waiting = sum(each.num_rows for each in self._waiting)
        if waiting >= ROW_GROUP:
            self._flush(waiting - waiting % ROW_GROUP)

    def store(self, storage: Storage, first: str, end: str | None, included: dict[str, str]) -> Shard:
        """Put the file into the vault, which no manifest names yet."""
        self._flush(sum(each.num_rows for each in self._waiting))
        self._writer.close()
        data = self._sink.getvalue()
        name = new_name(layout.SUFFIX)
        storage.put(layout.latest(name), bytes(data))
        oldest, newest = self._times or (None, None)
        return Shard(
            name=name,
            first=first,
            end=end,
            videos=self.videos,
            bytes=data.size,
            hash=digest_of(memoryview(data)),
            oldest=oldest,
            newest=newest,
            included=included,
        )

    def _flush(self, rows: int) -> None:
        table = pa.concat_tables([tables.SCHEMA.empty_table(), *self._waiting]).combine_chunks()
        self._waiting = [table.slice(rows)]
        if rows:
            self._writer.write_table(table.slice(0, rows), row_group_size=ROW_GROUP)


class ShardReader:
    """Reads the file of a shard.

    Raises `UnreadableFileError`, naming the file, for a broken one, and FileNotFoundError for one that has been written
    again meanwhile.
    """

    def __init__(self, storage: Storage, shard: Shard) -> None:
        self._storage = storage
        self._key = shard.key

    def between(self, first: str, end: str | None) -> Stream:
        """The points of [first, end), by id, a row group at a time."""
        with parquet.wrap_read_errors(self._key, *_FOREIGN), self._storage.open(self._key) as handle:
            file = parquet.opened(handle, tables.SCHEMA, parquet.LATEST, pre_buffer=False)
            for number in range(file.num_row_groups):
                least, greatest = _borders(file.metadata.row_group(number))
                if greatest < first:
                    continue
                if end is not None and least >= end:
                    return
                table = tables.checked(file.read_row_group(number))
                inside = least >= first and (end is None or greatest < end)
                yield table if inside else within(table, first, end)

    def rows_of(self, video_ids: Sequence[str]) -> pa.Table:
        """The points of these videos, which are sorted, by reading the row groups that may have them."""
        wanted = pa.array(video_ids, pa.string())
        found = [tables.SCHEMA.empty_table()]
        with parquet.wrap_read_errors(self._key, *_FOREIGN), self._storage.open(self._key) as handle:
            file = parquet.opened(handle, tables.SCHEMA, parquet.LATEST, pre_buffer=False)
            for number in range(file.num_row_groups):
                least, greatest = _borders(file.metadata.row_group(number))
                if any(least <= each <= greatest for each in video_ids):
                    table = tables.checked(file.read_row_group(number, use_threads=False))
                    found.append(table.filter(pc.is_in(table["video_id"], wanted)))
        return pa.concat_tables(found)


def problem_of(storage: Storage, shard: Shard) -> str | None:
    """What is wrong with a shard's file, in a sentence; None where its bytes are as they were written.

    Reads the file whole, some 60 MB, 32 MiB at a time, and decodes nothing. OSError when the storage fails.
    """
    try:
        with storage.open(shard.key) as file:
            found = digest_of_file(file)
    except FileNotFoundError:
        return f"{shard.key} is missing: repair the vault, which makes it from the history"
    if found != shard.hash:
        return f"{shard.key} has other bytes than were written: repair the vault, which makes it from the history"
    return None


def _borders(group: pq.RowGroupMetaData) -> tuple[str, str]:
    statistics = group.column(0).statistics
    if statistics is None or not isinstance(statistics.min, str) or not isinstance(statistics.max, str):
        raise UnreadableFileError("row groups that do not tell from which video to which they go")
    return statistics.min, statistics.max
