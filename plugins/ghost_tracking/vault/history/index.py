"""The index of a file of the history, by which one video is found without the file's footer.

The footer of a full file takes 2 to 3 MB, and ten times that in memory once it is parsed. A question about one video
needs what it says of one row group. So the same is written once more between the last row group and the footer, where
Parquet's readers do not look, in pieces of which a question reads two:

    block      what the footer says of 32 row groups that follow each other, compressed with zstd: a line of JSON, with
               first id, last id, rows, uncompressed bytes and length of each, then the bytes of each, as in the footer
    …
    directory  four bytes of CRC-32, then JSON: the footer's beginning and end (hexadecimal), and of each block the
               first id, the last id, offset, length, uncompressed length, CRC-32 and number of row groups

The manifest names the directory's offset and length. Some 130 bytes a row group, 0.3 % of the file. The footer stays
whole, and for every other reader the file is as any. A file of up to 32 row groups has no index: its footer is no
larger than a block.

What an index says is checked as what a footer says is, and where it is damaged the footer has it all.
"""

import bisect
import itertools
import json
import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault.history.encoding import HISTORY_SCHEMA
from ghost_tracking.vault.kit import footers, parquet

log = logging.getLogger(__name__)

GROUPS_A_BLOCK: Final = 32
"""About 30 kB, 5 kB compressed: a file of 24 million points has 75 of them, and a directory of 6 kB."""

MOST_BYTES: Final = 4 * 2**20
"""Of a directory or a block, as stored or uncompressed: what says more of itself is not read."""

_NONE: Final = (ValueError, LookupError, TypeError, RecursionError)
"""What comes of bytes that are no index."""

_CODEC: Final = "zstd"
_LEVEL: Final = 9
_CRC_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Block:
    """What the footer says of some row groups that follow each other."""

    firsts: list[str]
    lasts: list[str]
    rows: list[int]
    groups: list[bytes]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """A block's uncompressed bytes; one of `_NONE` for others."""
        line, _, rest = data.partition(b"\n")
        firsts, lasts, rows, lengths = zip(*json.loads(line), strict=True)
        ends = list(itertools.accumulate(_numbers(lengths)))
        if ends[-1] != len(rest):
            raise ValueError("a block of another length than its row groups")
        groups = [rest[end - length : end] for end, length in zip(ends, lengths, strict=True)]
        return cls(_texts(firsts), _texts(lasts), _numbers(rows), groups)

    def encoded(self) -> bytes:
        """Its uncompressed bytes."""
        lengths = map(len, self.groups)
        line = json.dumps(list(zip(self.firsts, self.lasts, self.rows, lengths, strict=True)), separators=(",", ":"))
        return b"\n".join([line.encode(), b"".join(self.groups)])


class Place(NamedTuple):
    """Where a block stands, how long it is when uncompressed, its checksum, and how many row groups it tells of."""

    offset: int
    length: int
    size: int
    crc: int
    groups: int


@dataclass(frozen=True, slots=True)
class Directory:
    """The blocks of a file, with the first and the last id of each; `head` and `tail` of its footer."""

    head: bytes
    tail: bytes
    firsts: list[str]
    lasts: list[str]
    places: list[Place]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """A directory's bytes; one of `_NONE` for others."""
        if zlib.crc32(data[_CRC_BYTES:]) != int.from_bytes(data[:_CRC_BYTES], "little"):
            raise ValueError("a directory that does not match its checksum")
        found = json.loads(data[_CRC_BYTES:])
        firsts, lasts, *columns = zip(*found["blocks"], strict=True)
        places = list(map(Place._make, zip(*map(_numbers, columns), strict=True)))
        return cls(bytes.fromhex(found["head"]), bytes.fromhex(found["tail"]), _texts(firsts), _texts(lasts), places)

    def encoded(self) -> bytes:
        """Its bytes."""
        blocks = [
            [first, last, *place] for first, last, place in zip(self.firsts, self.lasts, self.places, strict=True)
        ]
        text = json.dumps(
            {"head": self.head.hex(), "tail": self.tail.hex(), "blocks": blocks}, separators=(",", ":")
        ).encode()
        return zlib.crc32(text).to_bytes(_CRC_BYTES, "little") + text

    def metadata(self, block: Block, numbers: Sequence[int]) -> pq.FileMetaData:
        """A footer of these row groups of a block; raises as `parquet.opened`."""
        _require_schema(self.head, self.tail)
        metadata = footers.metadata_of(
            self.head, [block.groups[n] for n in numbers], sum(block.rows[n] for n in numbers), self.tail
        )
        parquet.require_bounds(metadata, parquet.HISTORY)
        return metadata


class IndexReader:
    """Reads the index of one file, piece by piece; raises UnreadableFileError for a damaged one.

    :param span: reads a number of bytes of the file from an offset on, and may keep them
    """

    def __init__(self, place: tuple[int, int], span: Callable[[int, int], bytes]) -> None:
        self.place = place
        self._span = span

    def directory(self) -> Directory:
        """The directory."""
        data = self._read(*self.place)
        try:
            return Directory.parse(data)
        except _NONE as error:
            raise UnreadableFileError(f"a damaged index: {error}") from error

    def block(self, place: Place) -> Block:
        """The block that stands there."""
        data = self._read(place.offset, place.length)
        if zlib.crc32(data) != place.crc:
            raise UnreadableFileError("a damaged index: a block does not match its checksum")
        try:
            _require_size(place.size)
            return Block.parse(pa.Codec(_CODEC).decompress(data, place.size, asbytes=True))
        except (*_NONE, pa.ArrowException, OSError) as error:
            raise UnreadableFileError(f"a damaged index: {error}") from error

    def _read(self, offset: int, length: int) -> bytes:
        _require_size(length)
        data = self._span(offset, length)
        if len(data) != length:
            raise UnreadableFileError("no index where one is named: the file is shorter")
        return data


def indexed(data: bytes) -> tuple[bytes, tuple[int, int] | None]:
    """A finished file with its index, and the offset and length of the directory; without one where it needs none.

    Takes some 0.3 ms a row group, and the file's bytes once more in memory.
    """
    end = len(data) - footers.footer_length(data[-footers.END :])
    footer = data[end : -footers.END]
    metadata = footers.parsed(footer)
    if metadata.num_row_groups <= GROUPS_A_BLOCK:
        return data, None
    try:
        split = footers.split(footer)
    except (ValueError, IndexError):
        # of a version of pyarrow to come: the file is whole, and read by its footer
        log.warning("The footers that pyarrow %s writes cannot be indexed", pa.__version__, exc_info=True)
        return data, None
    directory = Directory(split.head, split.tail, [], [], [])
    pieces, offset = list[bytes](), end
    for block in _blocks(metadata, split):
        plain = block.encoded()
        stored = pa.Codec(_CODEC, _LEVEL).compress(plain, asbytes=True)
        directory.firsts.append(block.firsts[0])
        directory.lasts.append(block.lasts[-1])
        directory.places.append(Place(offset, len(stored), len(plain), zlib.crc32(stored), len(block.groups)))
        pieces.append(stored)
        offset += len(stored)
    pieces.append(directory.encoded())
    return b"".join([memoryview(data)[:end], *pieces, memoryview(data)[end:]]), (offset, len(pieces[-1]))


def borders(metadata: pq.FileMetaData) -> tuple[list[str], list[str]]:
    """The first and the last id of each row group; UnreadableFileError where the footer does not tell them."""
    ids = [metadata.row_group(number).column(0).statistics for number in range(metadata.num_row_groups)]
    if not all(each is not None and isinstance(each.min, str) for each in ids):
        raise UnreadableFileError("row groups that do not tell from which video to which they go")
    return [each.min for each in ids], [each.max for each in ids]


def holding(video_id: str, firsts: Sequence[str], lasts: Sequence[str]) -> Iterator[int]:
    """The numbers of those, of row groups or blocks in order, that may hold this video: most often one."""
    number = bisect.bisect_left(lasts, video_id)
    while number < len(firsts) and firsts[number] <= video_id:
        yield number
        number += 1


def meeting(first: str, end: str | None, firsts: Sequence[str], lasts: Sequence[str]) -> range:
    """The numbers of those that may hold videos of [first, end), None being open."""
    return range(bisect.bisect_left(lasts, first), len(firsts) if end is None else bisect.bisect_left(firsts, end))


def _blocks(metadata: pq.FileMetaData, split: footers.SplitFooter) -> Iterator[Block]:
    firsts, lasts = borders(metadata)
    for start in range(0, metadata.num_row_groups, GROUPS_A_BLOCK):
        chosen = slice(start, start + GROUPS_A_BLOCK)
        rows = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)[chosen]]
        yield Block(firsts[chosen], lasts[chosen], rows, split.groups[chosen])


def _texts(values: Sequence[Any]) -> list[str]:
    if {*map(type, values)} != {str}:
        raise ValueError("an id that is no text")
    return [*values]


def _numbers(values: Sequence[Any]) -> list[int]:
    if {*map(type, values)} != {int} or min(values) < 0:
        raise ValueError("a number that is none")
    return [*values]


def _require_size(length: Any) -> None:
    if not 0 <= length <= MOST_BYTES:
        raise UnreadableFileError(f"an index of {length:,} bytes, where {MOST_BYTES:,} are the most of a piece")


@lru_cache(maxsize=16)  # one for each version of pyarrow that has written files
def _require_schema(head: bytes, tail: bytes) -> None:
    parquet.require_schema(footers.metadata_of(head, [], 0, tail).schema.to_arrow_schema(), HISTORY_SCHEMA)
