"""More points than memory takes, sorted by key: in runs that are spilled to temporary files and merged from there.

A run is so many points as are sorted at once. Where there is only one, nothing is spilled. Else each goes to a
temporary file, in small batches, of which a merge reads one at a time; and of more sources than a merge reads at once,
some are merged into a longer run first. So what is held has a bound, whatever there is: a run while it is sorted, some
450 MB, and a batch or two of each source while they are merged, some 250 MB.

The files have no name: the system takes them back when they are closed, or when the process is killed.
"""

import io
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import numpy as np
import pyarrow as pa

from ghost_tracking.vault.points import tables

MOST_POINTS_A_RUN: Final = 2_000_000
FAN_IN: Final = 64
"""Sources that are merged at once, each with an open file or a place in one."""
BATCH: Final = 32 * 1024
"""Points of a run that a merge reads at a time: 2 MB."""

Source = Iterator[pa.Table]
"""Tables sorted by key, one behind the other, each key once."""

_Place = tuple[int, int]
"""Where a batch stands in a temporary file: offset and length in bytes."""


class Runs:
    """Sorts and merges points, with temporary files that go when the block ends.

    They stand where TMPDIR says, else in /var/tmp, which is on a disk where /tmp may be in memory, else wherever
    temporary files stand. Some 20 bytes a point that is sorted, where not all fit into one run. An OSError says where
    there was no room.

    :param sort_tables: makes a sorted run of tables in the place of `tables.merge`, to keep fewer rows than all keys
    :param merge_sources: merges runs in the place of `tables.merge_sorted`, by the same rule
    """

    def __init__(
        self,
        most_points: int = MOST_POINTS_A_RUN,
        fan_in: int = FAN_IN,
        *,
        sort_tables: Callable[[Sequence[pa.Table]], pa.Table] | None = None,
        merge_sources: Callable[[Sequence[Source]], Source] | None = None,
    ) -> None:
        self._most_points = most_points
        self._fan_in = fan_in
        self._sort_tables = sort_tables or tables.merge
        self._merge_sources = merge_sources or tables.merge_sorted
        self._files = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def sort(self, points: Iterable[pa.Table]) -> list[Source]:
        """All rows of these tables, which need no order, as sources in which of equal keys the first one stands first.

        A table is held whole, so none should have more points than a run.
        """
        spilled: list[Source] = []
        file: _Spilled | None = None
        for run in self._sorted(points):
            if file is None and run.is_last:
                return [iter([run.table])] if run.table.num_rows else []
            file = file or self._new_file()
            spilled.append(file.add([run.table]))
        return spilled

    def merge(self, sources: Sequence[Source]) -> Source:
        """The rows of all sources, each key once, that of the first source: as `tables.merge_sorted`."""
        return self._merge_sources(self._few(sources))

    def apart(self, points: Source, kind_of: Callable[[pa.Table], tables.Numbers]) -> dict[int, Source]:
        """The rows by their kinds, a number for each row of a table; those of one kind stay in their order.

        Spilled; of each kind a batch is held.
        """
        file = self._new_file()
        pending: dict[int, list[pa.Table]] = {}
        places: dict[int, list[_Place]] = {}
        for table in points:
            kinds = kind_of(table)
            for kind in map(int, np.unique(kinds)):
                rows = pending.setdefault(kind, [])
                rows.append(table.filter(pa.array(kinds == kind)))
                if sum(each.num_rows for each in rows) >= BATCH:
                    places.setdefault(kind, []).extend(file.write(pa.concat_tables(pending.pop(kind))))
        for kind, rows in pending.items():
            places.setdefault(kind, []).extend(file.write(pa.concat_tables(rows)))
        return {kind: file.read(each) for kind, each in places.items()}

    def _sorted(self, points: Iterable[pa.Table]) -> Iterator["_Run"]:
        pending, count = list[pa.Table](), 0
        for table in points:
            if count and count + table.num_rows > self._most_points:
                yield _Run(self._sort_tables(pending), is_last=False)
                pending, count = [], 0
            pending.append(table)
            count += table.num_rows
        yield _Run(self._sort_tables(pending), is_last=True)

    def _few(self, sources: Sequence[Source]) -> Sequence[Source]:
        """The same rows in the same order of sources, from so many that a merge can read them at once."""
        while len(sources) > self._fan_in:
            left, merged = list(sources), list[Source]()
            file = self._new_file()
            while left and len(left) + len(merged) > self._fan_in:
                # no more than must be: each is written once more. Those at the end are runs, and smaller than files
                count = min(self._fan_in, len(left) + len(merged) - self._fan_in + 1)
                merged.insert(0, file.add(self._merge_sources(left[-count:])))
                del left[-count:]
            sources = [*left, *merged]
        return sources

    def _new_file(self) -> "_Spilled":
        return _Spilled(self._files.enter_context(tempfile.TemporaryFile(dir=_folder())))


class _Run:
    """Sorted points, and whether no others come after them."""

    __slots__ = ("is_last", "table")

    def __init__(self, table: pa.Table, *, is_last: bool) -> None:
        self.table = table
        self.is_last = is_last


class _Spilled:
    """Sources in a temporary file, which is written at its end and read anywhere."""

    _OPTIONS: Final = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1))

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._size = 0

    def add(self, points: Iterable[pa.Table]) -> Source:
        """Write the tables of a source; the same rows, to be read again as long as the file is open."""
        return self.read([place for table in points for place in self.write(table)])

    def write(self, table: pa.Table) -> Iterator[_Place]:
        """Write a table in batches; where each of them stands."""
        for start in range(0, table.num_rows, BATCH):
            batch = table.slice(start, BATCH).combine_chunks()
            sink = io.BytesIO()
            with pa.ipc.new_stream(sink, table.schema, options=self._OPTIONS) as stream:
                stream.write_table(batch)
            yield self._append(sink.getbuffer())

    def _append(self, data: memoryview) -> _Place:
        place = self._size, len(data)
        try:
            while data:
                written = os.pwrite(self._file.fileno(), data, self._size)
                self._size += written
                data = data[written:]
        except OSError as error:
            raise OSError(
                error.errno,
                f"{error.strerror} in {_folder() or tempfile.gettempdir()}, where points are sorted: let TMPDIR name a "
                "folder with more room",
            ) from error
        return place

    def read(self, places: Iterable[_Place]) -> Source:
        """The batches that stand there."""
        for start, length in places:
            with pa.ipc.open_stream(os.pread(self._file.fileno(), length, start)) as stream:
                yield stream.read_all()


def _folder() -> str | None:
    """Where large temporary files stand; None: where all do."""
    large = Path("/var/tmp")  # noqa: S108 - files without a name
    chosen = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    return None if chosen or not os.access(large, os.W_OK) else str(large)
