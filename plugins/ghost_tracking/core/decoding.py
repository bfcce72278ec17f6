"""The lines of files that people bring, whatever program wrote them."""

import codecs
import io
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from ghost_tracking.errors import BadInputError

LONGEST_LINE: Final = 1 << 20
"""Characters: memory has a bound, also where a file has no line."""

_HEAD: Final = 4096


def decoded_lines(file: BinaryIO) -> Iterator[str]:
    """The lines of a file with their ends, in UTF-8, or in UTF-16 as spreadsheets write it; what is neither shows in
    its line. A line of over a million characters, as HTML may have, is cut after a tag or a space.

    Raises BadInputError for an archive that is to be unpacked first.
    """
    head = b""
    while len(head) < _HEAD and (data := file.read(_HEAD - len(head))):  # a pipe may give less than it is asked for
        head += data
    if head.startswith((b"PK\x03\x04", b"\x1f\x8b")):
        raise BadInputError("The list is a compressed archive: unpack it, and bring the file that is in it")
    text = io.TextIOWrapper(io.BufferedReader(_Rest(head, file)), _encoding(head), errors="replace", newline="")
    rest = ""
    while line := text.readline(LONGEST_LINE):
        line, rest = rest + line, ""
        if len(line) >= LONGEST_LINE and line[-1] not in "\r\n":
            cut = (line.rfind(">") + 1) or (line.rfind(" ") + 1)
            line, rest = (line[:cut], line[cut:]) if cut else (line, "")
        yield line
    if rest:
        yield rest


class _Rest(io.RawIOBase):
    """A file whose head was read."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head = head
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head[: len(buffer)] or self._file.read(len(buffer))
        self._head = self._head[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = head[::2].count(0), head[1::2].count(0)  # ids and commas have a zero byte each
    if max(even, odd) * 4 > len(head) and min(even, odd) * 8 < max(even, odd):
        return "utf-16-be" if even > odd else "utf-16-le"
    return "utf-8-sig"
