"""Parquet footers as bytes: taken apart into those of single row groups, and put together for a few of them.

A footer is one structure of Thrift's compact protocol, `FileMetaData`, in which each row group's is a run of bytes of
its own. So a footer that tells of some row groups only is made without understanding any of them: what comes before
the row groups, how many rows they have, their bytes as Arrow wrote them, and what comes after.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault.kit.parquet import MOST_FOOTER_BYTES

END: Final = 8
"""The length of the footer, in four bytes, and the four that end every Parquet file."""

_MAGIC: Final = b"PAR1"

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_VARINTS: Final = {4, 5, 6}
_LONG_LIST: Final = 15
_MORE: Final = 0x80
"""The bit of a byte of a variable-length number that another one follows."""

_ROW_GROUPS: Final = 4
_NUM_ROWS_HEADER: Final = bytes([1 << 4 | 6])
_ROW_GROUPS_HEADER: Final = bytes([1 << 4 | _LIST])


@dataclass(frozen=True, slots=True)
class SplitFooter:
    """The bytes of a footer: `head` up to the schema, each row group's, and `tail`, what follows them."""

    head: bytes
    groups: list[bytes]
    tail: bytes


def footer_length(end: bytes) -> int:
    """How many bytes at the end of a file make its footer, its length and the magic, told by the last eight.

    UnreadableFileError where these are no end of a Parquet file, or tell of more than any of the vault's has.
    """
    if end[-len(_MAGIC) :] != _MAGIC:
        raise UnreadableFileError("not an intact Parquet file: its end is missing")
    length = int.from_bytes(end[-END : -len(_MAGIC)], "little") + END
    if length > MOST_FOOTER_BYTES:
        raise UnreadableFileError(f"a footer of {length:,} bytes, where {MOST_FOOTER_BYTES:,} are the most")
    return length


def split(footer: bytes) -> SplitFooter:
    """A footer, without its length and the magic bytes, taken apart; ValueError for one of another form.

    Walks over every value, some 0.2 ms a row group: a writer's work, done once a file. For what this program has
    written itself a moment ago; of foreign bytes it may raise IndexError as well.
    """
    position, field, places = 0, 0, dict[int, tuple[int, int]]()
    groups: list[bytes] = []
    while footer[position]:
        start, header = position, footer[position]
        field += header >> 4
        position += 1
        if field == _ROW_GROUPS:
            groups, position = _elements(footer, position)
        else:
            position = _skip(footer, position, header & 15)
        places[field] = start, position
    if list(places)[:4] != [1, 2, 3, 4] or position != len(footer) - 1:
        raise ValueError("a footer whose fields do not come in the order of Parquet's definition")
    return SplitFooter(footer[: places[2][1]], groups, footer[places[_ROW_GROUPS][1] :])


def metadata_of(head: bytes, groups: Sequence[bytes], rows: int, tail: bytes) -> pq.FileMetaData:
    """What a footer says that has these row groups, with so many rows together; raises what pyarrow raises."""
    number = bytes([len(groups) << 4 | _STRUCT]) if len(groups) < _LONG_LIST else b"\xfc" + _varint(len(groups))
    footer = b"".join([head, _NUM_ROWS_HEADER, _varint(rows << 1), _ROW_GROUPS_HEADER, number, *groups, tail])
    return parsed(footer)


def parsed(footer: bytes) -> pq.FileMetaData:
    """What a footer says, given without its length and the magic bytes; raises what pyarrow raises."""
    file = b"".join([_MAGIC, footer, len(footer).to_bytes(4, "little"), _MAGIC])
    return pq.read_metadata(pa.BufferReader(file))


def _elements(footer: bytes, position: int) -> tuple[list[bytes], int]:
    """The elements of a list of structures, and where it ends."""
    kind, number, position = _list_header(footer, position)
    if kind != _STRUCT:
        raise ValueError("row groups that are no structures")
    found = []
    for _ in range(number):
        end = _skip(footer, position, _STRUCT)
        found.append(footer[position:end])
        position = end
    return found, position


def _skip(footer: bytes, position: int, kind: int) -> int:
    """Where the value of this kind ends that begins here."""
    if kind in _VARINTS:
        return _behind_varint(footer, position)
    if kind == _STRUCT:
        return _behind_struct(footer, position)
    if kind == _BINARY:
        length, position = _number(footer, position)
        return position + length
    if kind in {_LIST, _SET}:
        return _behind_list(footer, position)
    lengths = {_TRUE: 0, _FALSE: 0, _BYTE: 1, _DOUBLE: 8}
    if kind not in lengths:
        raise ValueError(f"a value of kind {kind}, which no footer has")
    return position + lengths[kind]


def _behind_struct(footer: bytes, position: int) -> int:
    while header := footer[position]:
        position += 1
        if not header >> 4:  # the field's number is given in full
            position = _behind_varint(footer, position)
        position = _skip(footer, position, header & 15)
    return position + 1


def _behind_list(footer: bytes, position: int) -> int:
    kind, number, position = _list_header(footer, position)
    if kind in {_TRUE, _FALSE}:
        return position + number
    for _ in range(number):
        position = _skip(footer, position, kind)
    return position


def _list_header(footer: bytes, position: int) -> tuple[int, int, int]:
    kind, number = footer[position] & 15, footer[position] >> 4
    if number == _LONG_LIST:
        number, position = _number(footer, position + 1)
        return kind, number, position
    return kind, number, position + 1


def _number(footer: bytes, position: int) -> tuple[int, int]:
    end = _behind_varint(footer, position)
    value = 0
    for byte in reversed(footer[position:end]):
        value = value << 7 | byte & (_MORE - 1)
    return value, end


def _behind_varint(footer: bytes, position: int) -> int:
    while footer[position] & _MORE:
        position += 1
    return position + 1


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= _MORE:
        found.append(value & (_MORE - 1) | _MORE)
        value >>= 7
    found.append(value)
    return bytes(found)
