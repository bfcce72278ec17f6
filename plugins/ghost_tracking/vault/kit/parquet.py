"""How each kind of Parquet file is written, and what each may hold at most.

Every kind is written with its own options, which a measurement chose: what a file's columns repeat, and how often it is
read, decides. All have checksums of their pages, and no schema of Arrow beside that of Parquet.

A few kilobytes can say of themselves that they are billions of rows. What a file may hold has bounds, far above what
its layer writes, and they are looked at before a value is read. The footer is the file's own word: what lies about
itself meets the checksums and pages of Arrow, and no bound here.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ghost_tracking.errors import SchemaDriftError, UnreadableFileError

_MIB: Final = 2**20
MOST_FOOTER_BYTES: Final = 32 * _MIB
"""The footer of the largest file of the history takes 6 MB."""
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
HISTORY: Final = Bounds(32_000_000, 4096 * _MIB, 1 << 17, 64 * _MIB, 1 << 20)
"""Up to 24 million points in segments; row groups have some 10,000 points, or one segment."""
LATEST: Final = Bounds(20_000_000, 2048 * _MIB, 1 << 17, 64 * _MIB)
"""Up to some four million points, in row groups of 32,768."""
ARCHIVE: Final = Bounds(20_000_000, 16_384 * _MIB, 1 << 16, 512 * _MIB, 1 << 22)
"""Read by row groups, of up to 8,192 videos with some 10 kB each."""
WORDS: Final = Bounds(40_000_000, 4096 * _MIB, 1 << 13, 256 * _MIB, 1 << 25)
"""Of the titles of an archived file, read by row groups: up to 4,096 words, or one that all titles have."""
STAGED_VIDEOS: Final = Bounds(1_000_000, 1024 * _MIB, 1 << 16, 512 * _MIB, 1 << 22)
"""What one task has found: read whole."""
ROSTER: Final = Bounds(100_000, 16 * _MIB, 100_000, 16 * _MIB)
"""A chunk has up to 5,000 ids, and so has what is remembered of their views."""
IMPORT_QUEUE: Final = Bounds(200_000, 512 * _MIB, 200_000, 512 * _MIB)
"""50,000 ids, or 100,000 bad lines of up to 500 characters each with its reason."""
AVAILABILITY: Final = Bounds(10_000_000, 1024 * _MIB, 1 << 20, 256 * _MIB)
"""The events of a month, or of a task."""
DISCOVERIES: Final = Bounds(10_000_000, 4096 * _MIB, 1 << 18, 256 * _MIB)
"""What sources named on a day, or in a task, in row groups of up to 131,072. Merging takes 500 bytes a row."""
GAINS: Final = Bounds(100_000, 64 * _MIB, 100_000, 64 * _MIB)
"""The largest gains of a batch, or of an hour: some thousands."""
SOURCE: Final = Bounds(1_000_000, 256 * _MIB, 1 << 20, 256 * _MIB)
"""What one listing has named."""
ANY_LAYER: Final = Bounds(32_000_000, 16_384 * _MIB, 1 << 20, 512 * _MIB, 1 << 22)
"""Of any layer, read by row groups."""
REWRITTEN: Final = Bounds(10_000_000, 1024 * _MIB, 1 << 20, 512 * _MIB, 1 << 22)
"""Of the layers whose files are read whole: events, what listings have named, staged metadata with its tags."""


Options = dict[str, Any]
"""How a kind of files is written, as `pyarrow.parquet.ParquetWriter` takes it."""

_EVERY: Final = {
    "version": "2.6",
    "data_page_version": "1.0",
    "write_page_checksum": True,
    "store_schema": False,
    "compression": "zstd",
}
# One timestamp a call; ids and counts hardly repeat within a publication.
OPEN_HOUR: Final[Options] = _EVERY | {"compression_level": 3, "use_dictionary": ["timestamp"]}
# Read once or twice, soon: what compressing costs is more than what it saves.
PART: Final[Options] = _EVERY | {"compression": "none", "use_dictionary": False, "write_statistics": False}
# Encodings that Spark 3.5 knows. Sorted ids share their beginnings; small counts repeat.
SEALED_HOUR: Final[Options] = _EVERY | {
    "compression_level": 9,
    "use_dictionary": ["timestamp", "likes", "comments"],
    "column_encoding": {"video_id": "DELTA_BYTE_ARRAY"},
    "dictionary_pagesize_limit": 256 * 1024,
}
# Sorted ids share their beginnings; of numbers most bytes are zero. 19 bytes a point, where plain ones take 21.
LATEST_POINTS: Final[Options] = _EVERY | {
    "compression_level": 3,
    "use_dictionary": False,
    "write_statistics": ["video_id"],
    "column_encoding": {
        "video_id": "DELTA_BYTE_ARRAY",
        **dict.fromkeys(("timestamp", "views", "likes", "comments", "published_at"), "BYTE_STREAM_SPLIT"),
    },
}
# One call, one time.
EVENTS: Final[Options] = _EVERY | {"use_dictionary": ["state", "first_missed_at", "confirmed_at", "returned_at"]}
# A source, a run and a time have many rows in a row; within one listing ranks go up by one.
DAY_OF_DISCOVERIES: Final[Options] = _EVERY | {
    "compression_level": 9,
    "use_dictionary": [
        "source_kind", "source_key", "region", "language", "category_id", "within_channel_id",
        "page", "named_at", "run_id",
    ],
    "column_encoding": {"rank": "DELTA_BINARY_PACKED"},
}  # fmt: skip
IDS: Final[Options] = _EVERY | {"use_dictionary": ["reason"]}
LISTED: Final[Options] = _EVERY | {"use_dictionary": False, "write_statistics": False}
# Most bytes of a count are zero: 3 bytes a video instead of 18.
TRENDS: Final[Options] = LISTED | {"compression_level": 9}
# Few rows, read whole; counts and times are close to one another.
HOUR_OF_GAINS: Final[Options] = LISTED | {
    "compression_level": 9,
    "column_encoding": {
        "video_id": "DELTA_BYTE_ARRAY",
        **dict.fromkeys(("since", "until", "before", "after"), "DELTA_BINARY_PACKED"),
    },
}
CHUNK: Final[Options] = PART | {"column_encoding": {"number": "DELTA_BINARY_PACKED", "other": "PLAIN"}}
SMALL: Final[Options] = _EVERY
"""Whatever the columns, for what is small or was written otherwise before."""


# The words are sorted and share their beginnings; numbers of rows are small steps, gathered by place.
WORDS_OPTIONS: Final[Options] = _EVERY | {
    "compression_level": 9,
    "use_dictionary": False,
    "write_statistics": ["word"],
    "column_encoding": {"word": "DELTA_BYTE_ARRAY", "rows.list.element": "BYTE_STREAM_SPLIT"},
}


def videos_options(schema: pa.Schema) -> Options:
    """The archive. A search decompresses its whole column: with lz4 in half the time, for 5 % larger files."""
    codecs = dict.fromkeys(_leaves(schema).values(), "zstd") | {"search": "lz4"}
    return _EVERY | {
        "compression": codecs,
        "compression_level": {name: 3 for name, codec in codecs.items() if codec == "zstd"},
        "use_dictionary": ["channel_id", "channel_title", "category_id", "default_language", "archived_at"],
        "write_statistics": ["video_id", "published_at", "discovered_at"],
    }


def history_options(schema: pa.Schema) -> Options:
    """The history. Bytes of small differences gathered by place take a third of what the counts take.

    The ids and the steps in time become 4 to 6 % smaller when zstd takes its time.
    """
    leaves = _leaves(schema)
    hard = {"video_id", "seconds_to_next"}
    plain = {"video_id", "published_microsecond", "last_microsecond"}
    return _EVERY | {
        "compression_level": {leaf: 15 if name in hard else 9 for name, leaf in leaves.items()},
        "use_dictionary": False,
        "write_statistics": ["video_id"],
        "column_encoding": {leaf: "PLAIN" if name in plain else "BYTE_STREAM_SPLIT" for name, leaf in leaves.items()},
    }


def _leaves(schema: pa.Schema) -> dict[str, str]:
    """The columns as Parquet names them, by how Arrow does."""
    return {each.name: f"{each.name}.list.element" if pa.types.is_list(each.type) else each.name for each in schema}


def encode(
    table: pa.Table, options: Options, *, notes: Mapping[Any, Any] | None = None, row_group_size: int | None = None
) -> bytes:
    """A file of this table, with `notes` (text or bytes) in its footer.

    The notes of a file that the table was read from stay behind.
    """
    table = table.replace_schema_metadata(None)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, **options) as writer:
        writer.write_table(table, row_group_size=row_group_size)
        if notes:
            writer.add_key_value_metadata(notes)
    return bytes(sink.getvalue())


def decode(key: str, data: bytes, schema: pa.Schema, bounds: Bounds) -> pa.Table:
    """All rows of a file that was read whole; raises as `opened`, and UnreadableFileError names `key`."""
    with wrap_read_errors(key):
        return opened(pa.BufferReader(data), schema, bounds).read().cast(schema)


@contextmanager
def wrap_read_errors(key: str, *also: type[Exception]) -> Iterator[None]:
    """Raise UnreadableFileError, naming the file, for what pyarrow raises of a damaged one, and for `also`.

    What the storage raises is passed on: the system's errors have a number.
    """
    try:
        yield
    except UnreadableFileError as error:
        verb = "is" if error.message.startswith("not ") else "has"
        raise error if error.facts.get("key") else type(error)(f"{key} {verb} {error.message}", key=key) from error
    except (pa.ArrowException, OSError, ValueError, OverflowError, *also) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).partition("\n")[0][:200]
        raise UnreadableFileError(f"{key} is not an intact Parquet file: {reason}", key=key) from error


def require_schema(found: pa.Schema, wanted: pa.Schema) -> None:
    """Raise SchemaDriftError, naming the columns, unless names and types agree."""
    have = [(field.name, field.type) for field in found]
    need = [(field.name, field.type) for field in wanted]
    if have == need:
        return
    differing = [f"{name} {kind}" for name, kind in have if (name, kind) not in need]
    missing = [f"{name} {kind}" for name, kind in need if (name, kind) not in have]
    raise SchemaDriftError(
        f"other columns than the vault's: unexpected {differing or 'order'}, missing {missing or 'none'}"
    )


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
