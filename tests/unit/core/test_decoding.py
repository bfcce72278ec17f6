"""Files that people bring, as their programs have written them."""

import codecs
import io
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core import decoding
from ghost_tracking.core.decoding import decoded_lines
from ghost_tracking.errors import BadInputError


class Piped(io.RawIOBase):
    """A file that gives a few bytes at a time and cannot be read twice."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _: int = -1) -> bytes:
        return next(self._pieces, b"")


LINES = ["video_id,title\r\n", "dQw4w9WgXcQ,x\r\n", "9bZkp7q19f0,日本\n", "-tJYN-eG1zk,z"]


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
    ],
)
def test_what_spreadsheets_write(mark: bytes, encoding: str) -> None:
    data = mark + "".join(LINES).encode(encoding)
    assert list(decoded_lines(io.BytesIO(data))) == LINES
    pieces = (data[at : at + 3] for at in range(0, len(data), 3))
    assert list(decoded_lines(Piped(pieces))) == LINES


@given(
    st.lists(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1), min_size=1),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_any_lines_in_any_encoding(lines: list[str], encoding: str, end: str) -> None:
    text = [line + end for line in lines]
    assert list(decoded_lines(io.BytesIO("".join(text).encode(encoding)))) == text


@given(st.binary(max_size=300))
def test_any_bytes_are_lines(data: bytes) -> None:
    with suppress(BadInputError):
        list(decoded_lines(io.BytesIO(data)))


def test_what_is_neither_shows_in_its_line() -> None:
    assert list(decoded_lines(io.BytesIO(b"a\n\xff\xff\nb"))) == ["a\n", "\ufffd\ufffd\n", "b"]
    assert list(decoded_lines(io.BytesIO(b""))) == []


@pytest.mark.parametrize("head", [b"PK\x03\x04", b"\x1f\x8b\x08"])
def test_an_archive_is_to_be_unpacked(head: bytes) -> None:
    with pytest.raises(BadInputError, match="unpack it"):
        list(decoded_lines(io.BytesIO(head + b"rest")))


def test_a_file_without_lines_is_no_end_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "LONGEST_LINE", 1_000)
    text = "".join(f'<a href="https://youtu.be/{number:011d}">{number}</a>' for number in range(500))
    pieces = list(decoded_lines(io.BytesIO(text.encode())))
    assert "".join(pieces) == text
    assert max(map(len, pieces)) < 3_000
    assert all(piece.endswith(">") for piece in pieces)
    assert list(decoded_lines(io.BytesIO(b"x" * 2_500))) == ["x" * 1_000, "x" * 1_000, "x" * 500]
