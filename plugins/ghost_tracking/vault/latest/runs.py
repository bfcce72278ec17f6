"""Sorted runs: points that come in any order, sorted by id a few million at a time, and kept in temporary files."""

import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Final

import pyarrow as pa

from ghost_tracking.vault.latest.merging import Stream, newest, newest_of

MOST_POINTS: Final = 2_000_000
"""Points that are sorted in memory: some 250 MB with what sorting takes."""
_MOST_RUNS: Final = 16
"""So many files are open at a time, before they are merged into one."""
_BATCH: Final = 16 * 1024
"""Rows of a run that are read at a time."""


class SortedRuns:
    """The newest point of each video of tables in any order, as streams that are sorted by id.

    Of equal times that of the table that came first. Up to `most_points` stay in memory, more are written to temporary
    files on this machine, some 60 bytes a video and run, which are gone when the runs are closed.
    """

    def __init__(self, tables: Iterable[pa.Table], most_points: int = MOST_POINTS) -> None:
        self._files: list[IO[bytes]] = []
        self._last: list[pa.Table] = []
        pending: list[pa.Table] = []
        try:
            for table in tables:
                pending.append(table)
                if sum(each.num_rows for each in pending) >= most_points:
                    pending = self._reduced(pending, most_points)
        except BaseException:
            self.close()
            raise
        self._last = [newest_of(pending)] if pending else []

    def streams(self) -> list[Stream]:
        """The runs, the one with the first tables first; to be read once."""
        return [*map(_read, self._files), *map(_batches, self._last)]

    def close(self) -> None:
        """Remove the temporary files."""
        for file in self._files:
            file.close()
        self._files = []

    def _reduced(self, pending: list[pa.Table], most_points: int) -> list[pa.Table]:
        """What stays in memory: the newest points, unless these are still too many."""
        run = newest_of(pending)
        if run.num_rows < most_points // 2:
            return [run]
        if len(self._files) == _MOST_RUNS:
            files, self._files = self._files, []
            try:
                self._files = [_written(newest(list(map(_read, files))))]
            finally:
                for file in files:
                    file.close()
        self._files.append(_written(_batches(run)))
        return []


def _written(tables: Stream) -> IO[bytes]:
    file = tempfile.TemporaryFile(prefix="ghost-tracking-")  # noqa: SIM115 -- closed with the runs
    try:
        writer: pa.ipc.RecordBatchStreamWriter | None = None
        for table in tables:
            writer = writer or pa.ipc.new_stream(file, table.schema)
            writer.write_table(table, max_chunksize=_BATCH)
        if writer is not None:
            writer.close()
    except BaseException:
        file.close()
        raise
    return file


def _read(file: IO[bytes]) -> Iterator[pa.Table]:
    file.seek(0)
    for batch in pa.ipc.open_stream(file):
        yield pa.Table.from_batches([batch])


def _batches(table: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, _BATCH):
        yield table.slice(start, _BATCH)
