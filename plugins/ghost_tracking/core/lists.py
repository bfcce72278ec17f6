"""Lists of videos as people have them: an id or a URL a line, or CSV with or without a header; read as they stream in.

What the first line says decides. Where it names a column that holds videos (or the one that was asked for), the list
is CSV with a header. Otherwise each line is an id or URL, or has one among its fields: in the column where the first
line with fields has a URL, or else what could be an id. Blank lines and lines that begin with # are passed over,
except within the quotes of a CSV.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from ghost_tracking.core.video_ids import NO_VIDEO, is_usual_video_id, parse_brought_video
from ghost_tracking.errors import BadInputError

HEADERS: Final = (
    "video_id", "videoid", "youtube_id", "yt_id", "video_url", "youtube_url", "watch_url", "url", "video_link", "link",
    "video", "videos", "urls", "links", "ids", "id",
)  # fmt: skip
"""Columns that hold videos, the surest first: `id` may be anything's."""

_SEPARATORS: Final = (",", ";", "\t", "|")
_SHOWN: Final = 80
_USUAL: Final = re.compile(r"https://(?:www\.youtube\.com/watch\?v=|youtu\.be/)([A-Za-z0-9_-]{11})")
"""What most URLs look like: told in a fifteenth of the time of `parse_brought_video`, which would say the same."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line, counted from 1, in which there is no video; `text` is its beginning, `reason` says why there is none."""

    number: int
    text: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.text!r}: {self.reason}"


Found = tuple[int, str]
"""The number of a line, counted from 1, and the id of its video."""


@dataclass(frozen=True, slots=True)
class _Column:
    """Where the videos stand: in which field of lines that are separated so, and how many fields the header has."""

    separator: str
    number: int
    fields: int = 0


def read_list(lines: Iterable[str], column: str | None = None) -> Iterator[Found | BadLine]:
    """What each line of a list says, in order; a video as often as it is there. Holds a line at a time.

    `column`: the name of the column that holds videos, in a CSV with a header; BadInputError where it is not there.
    """
    rest = iter(lines)
    first, before = next(rest, ""), 0
    first = first.removeprefix("\ufeff")
    while _is_nothing(first):
        if (line := next(rest, None)) is None:
            return
        first, before = line, before + 1
    header = _header(first, column)
    if header is None:
        yield from _plain(chain([first], rest), before)
    else:
        yield from _rows(rest, header, before + 1)


def _is_nothing(line: str) -> bool:
    stripped = line.strip()
    return not stripped or stripped.startswith("#")


def _header(line: str, column: str | None) -> _Column | None:
    """The column of videos, where this line is a header; the separator is the one that makes the most fields."""
    found: dict[str, list[str]] = {separator: _fields(line, separator) for separator in _SEPARATORS}
    wanted = HEADERS if column is None else (_normal(column),)
    for separator, names in sorted(found.items(), key=lambda item: -len(item[1])):
        for name in wanted:
            if name in names:
                return _Column(separator, names.index(name), len(names))
    if column is not None:
        names = max(found.values(), key=len)
        raise BadInputError(f"The list has no column {column!r}, only {', '.join(names)[:300]}")
    return None


def _normal(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _fields(line: str, separator: str) -> list[str]:
    return [_normal(field) for field in _split(line, separator)]


def _split(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return []


def _rows(lines: Iterable[str], column: _Column, before: int) -> Iterator[Found | BadLine]:
    """The rows of a CSV, whose header was line `before`. One that has several lines goes by the number of its first."""
    rows = csv.reader(lines, delimiter=column.separator, skipinitialspace=True, strict=True)
    read = 0
    while True:
        number = before + read + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:  # a quote that is closed nowhere, or in the middle of a field
            yield BadLine(number, "", f"no CSV as far as line {before + rows.line_num} ({error})")
            continue
        finally:
            read = rows.line_num
        text = column.separator.join(row)
        if _is_nothing(text):
            continue
        if column.number < len(row) and (before + read == number or len(row) == column.fields):
            yield _video(number, row[column.number])
        else:
            reason = f"{len(row)} field(s) as far as line {before + read}, where the header has {column.fields}"
            yield BadLine(number, _short(text), reason)


def _plain(lines: Iterable[str], before: int) -> Iterator[Found | BadLine]:
    """Lines without a header, the first of which is number `before` + 1."""
    column: _Column | None = None
    for number, line in enumerate(lines, before + 1):
        text = line.strip()
        if is_usual_video_id(text):  # the most of most lists
            yield number, text
            continue
        if not text or text.startswith("#"):
            continue
        found = _video(number, text)
        if isinstance(found, BadLine):
            column = column or _sure_column(text)
            fields = _split(text, column.separator) if column else []
            if column and column.number < len(fields):
                found = _video(number, fields[column.number])
        yield found


def _sure_column(text: str) -> _Column | None:
    """Which field of a line is a URL of a video, or could be an id of the length that all have today."""
    best: _Column | None = None
    for separator in _SEPARATORS:
        for number, field in enumerate(_split(text, separator)):
            if is_usual_video_id(field.strip()):
                best = best or _Column(separator, number)
            elif not isinstance(_video(0, field), BadLine):
                return _Column(separator, number)
    return best


def _video(number: int, text: str) -> Found | BadLine:
    if usual := _USUAL.fullmatch(text):
        return number, usual[1]
    try:
        return number, parse_brought_video(text)
    except ValueError:
        return BadLine(number, _short(text), NO_VIDEO)


def _short(text: str) -> str:
    return text.strip()[:_SHOWN]
