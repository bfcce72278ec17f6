"""The one door to Parquet files: each is refused by its footer where reading it would take more than any of its kind.

A few kilobytes can say of themselves that they are billions of rows. What a file may hold has bounds, far above what
its layer writes, and they are looked at before a value is read. The footer is the file's own word: what lies about
itself meets the checksums and pages of Arrow, and no bound here.
"""

import os
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault.points.tables import require_schema

_MIB: Final = 2**20
MOST_FOOTER_BYTES: Final = 32 * _MIB
"""The footer of the largest file of series takes 6 MB."""
_END: Final = 8
"""The length of the footer, in four bytes, and the four that end every Parquet file."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a file has at most: rows and uncompressed bytes in all and in a row group, list elements in a row group."""

    rows: int
    bytes: int
    group_rows: int
    group_bytes: int
    group_elements: int = 0


POINTS: Final = Bounds(10_000_000, 1024 * _MIB, 1 << 20, 128 * _MIB)
"""Of an hour, published or staged: read whole; row groups have up to 131,072 rows."""
SERIES: Final = Bounds(32_000_000, 4096 * _MIB, 1 << 17, 64 * _MIB, 1 << 20)
"""Up to 24 million points in segments; row groups have some 10,000 points, or one segment."""
ARCHIVE: Final = Bounds(20_000_000, 16_384 * _MIB, 1 << 16, 512 * _MIB, 1 << 22)
"""Read by row groups, of up to 8,192 videos with some 10 kB each."""
STAGED_VIDEOS: Final = Bounds(1_000_000, 1024 * _MIB, 1 << 16, 512 * _MIB, 1 << 22)
"""What one task has found: read whole."""
ROSTER: Final = Bounds(100_000, 16 * _MIB, 100_000, 16 * _MIB)
"""A chunk has up to 5,000 ids, and so has what is remembered of their heat."""
INBOX: Final = Bounds(200_000, 512 * _MIB, 200_000, 512 * _MIB)
"""50,000 ids, or 100,000 bad lines of up to 500 characters each with its reason."""
AVAILABILITY: Final = Bounds(10_000_000, 1024 * _MIB, 1 << 20, 256 * _MIB)
"""The events of a month, or of a task."""
SOURCE: Final = Bounds(1_000_000, 256 * _MIB, 1 << 20, 256 * _MIB)
"""What one listing has named."""
ANY_LAYER: Final = Bounds(32_000_000, 16_384 * _MIB, 1 << 20, 512 * _MIB, 1 << 22)
"""Of any layer, read by row groups."""
REWRITTEN: Final = Bounds(10_000_000, 1024 * _MIB, 1 << 20, 512 * _MIB, 1 << 22)
"""Of the layers whose files are read whole: events, what listings have named, staged metadata with its tags."""


def opened(source: Any, schema: pa.Schema | None, bounds: Bounds, *, pre_buffer: bool = True) -> pq.ParquetFile:
    """A file for reading, from an Arrow buffer or an open file; with `schema` None whatever its columns.

    SchemaDriftError for other columns, UnreadableFileError, which says the numbers and not the file, for one beyond
    its bounds; else what pyarrow raises.
    """
    require_footer(source)
    file = pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=pre_buffer)
    if schema is not None:
        require_schema(file.schema_arrow, schema)
    require_bounds(file.metadata, bounds)
    return file


def rows_of(source: Any, bounds: Bounds) -> int:
    """How many rows the footer tells of; raises as `opened`, whatever the columns."""
    require_footer(source)
    metadata = pq.read_metadata(source)
    require_bounds(metadata, bounds)
    return int(metadata.num_rows)


def require_footer(source: Any) -> None:
    """Raise UnreadableFileError for a footer that takes more memory than any of the vault's."""
    source.seek(0, os.SEEK_END)
    source.seek(max(0, source.tell() - _END))
    end = source.read(_END)
    source.seek(0)
    length = int.from_bytes(end[:4], "little")
    if end[4:] == b"PAR1" and length > MOST_FOOTER_BYTES:
        raise UnreadableFileError(f"a footer of {length:,} bytes, where {MOST_FOOTER_BYTES:,} are the most")


def require_bounds(metadata: pq.FileMetaData, bounds: Bounds) -> None:
    """Raise UnreadableFileError for a footer that tells of more than these bounds, or of less than nothing."""
    lists = [number for number in range(metadata.num_columns) if metadata.schema.column(number).max_repetition_level]
    rows = size = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if group.num_columns != metadata.num_columns:  # pyarrow would end the process over a column that is not there
            raise UnreadableFileError(f"{group.num_columns} columns in a row group of {metadata.num_columns}")
        rows += _within("rows in a row group", group.num_rows, bounds.group_rows)
        size += _within("uncompressed bytes in a row group", group.total_byte_size, bounds.group_bytes)
        for column in lists:
            _within("list elements in a row group", group.column(column).num_values, bounds.group_elements)
    _within("rows", max(rows, metadata.num_rows), bounds.rows)
    _within("uncompressed bytes", size, bounds.bytes)


def _within(what: str, number: int, most: int) -> int:
    if not 0 <= number <= most:
        raise UnreadableFileError(f"{number:,} {what}, where {most:,} are the most that such a file has")
    return number
