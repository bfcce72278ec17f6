"""Lists of videos as people have them, read as they stream in: an id or a URL a line, CSV, archives, JSON and HTML.

What is in the columns decides, not what they are called: over the first lines of a table, the column that holds videos
is the one with ids and URLs, and the first line is a header where it does not look like the others. Names decide where
two columns could be it; where they do not help either, the list is refused until the column is named. A blank line
with rows of another width behind it begins another table. Blank lines and lines that begin with # are passed over,
except within the quotes of a CSV, and rows below a header that have a video in its column.
"""

import csv
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

from ghost_tracking.core.columns import Column, column_named, column_of, is_nothing, may_begin_table, split
from ghost_tracking.core.video_ids import NO_VIDEO, is_usual_video_id, no_video, parse_brought_video
from ghost_tracking.wording import printable

KEPT: Final = 500
"""So many characters of a bad line are kept to be tried again; one that has more ends with `…`."""

_SHOWN: Final = 80
_SHOWN_WORD: Final = 40
_LONGEST_ROW: Final = 1_000_000
"""Characters of a row of a CSV: it may have several lines, and a quote that is closed nowhere takes in all of them."""
_SAMPLE: Final = 300
_SAMPLE_CHARACTERS: Final = 1_000_000

_USUAL: Final = re.compile(r"https://(?:www\.youtube\.com/watch\?v=|youtu\.be/)([A-Za-z0-9_-]{11})")
"""What most URLs look like: told in a fifteenth of the time of `parse_brought_video`, which would say the same."""
_URL_IN_TEXT: Final = re.compile(r"https?://[^\s\"'<>\\|]{1,2000}")
_SEPARATOR: Final = re.compile(r"\"?sep=.\"?")
"""What Excel has above a header."""
_TOTAL: Final = "total"
"""The row of sums in the exports of YouTube Studio."""

_ARCHIVED: Final = re.compile(r"([A-Za-z][\w:.-]*)[ \t]+(\S+)")
"""A line of yt-dlp's archive: where it is from, and its id."""

_DOCUMENT: Final = re.compile(
    r'\s*(?:\{\s*(?:"|$)|\[\s*(?:[{"]|$)|<(?:!doctype\s|\?xml\s|(?:html|head|body|div|dl)[\s>]))', re.IGNORECASE
)
_KEYS: Final = ("webpage_url", "original_url", "titleUrl", "url", "video_url", "videoUrl", "video_id", "videoId", "id")
"""Where the objects of JSON have their video, the surest first."""
_IN_DOCUMENT: Final = re.compile(
    r'(?:\bhref=|"(?:webpage_url|original_url|titleUrl|url|video_url|videoUrl)"\s*:\s*)["\']([^"\']{1,2000})["\']'
    r'|"(?:videoId|video_id)"\s*:\s*"([A-Za-z0-9_-]{11})"'
)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line, counted from 1, in which there is no video; `text` is what stands in the video's place, `reason` says why
    there is none. `kept` is the whole line, up to `KEPT` characters.
    """

    number: int
    text: str
    reason: str
    kept: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.text!r}: {printable(self.reason)}"


Found = tuple[int, str]
"""The number of a line, counted from 1, and the id of its video."""


class _Stream:
    """Lines that can be looked at before they are read, and put back. `number` is that of the last one read."""

    def __init__(self, lines: Iterable[str]) -> None:
        rest = iter(lines)
        self._rest = chain([next(rest, "").removeprefix("\ufeff")], rest)
        self._held: deque[str] = deque()
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._held.popleft() if self._held else next(self._rest)
        self.number += 1
        return line

    def peek(self) -> list[str]:
        """The next lines, as many as decide what a list is."""
        size = sum(map(len, self._held))
        while len(self._held) < _SAMPLE and size < _SAMPLE_CHARACTERS and (line := next(self._rest, None)) is not None:
            self._held.append(line)
            size += len(line)
        return list(islice(self._held, _SAMPLE))

    def back(self, lines: Sequence[str]) -> None:
        """Put the last lines back."""
        self._held.extendleft(reversed(lines))
        self.number -= len(lines)

    def begins(self) -> bool:
        """Pass over lines that say nothing; whether there is another one."""
        for line in self:
            if not is_nothing(line):
                self.back([line])
                return True
        return False


def read_list(lines: Iterable[str], column: str | None = None) -> Iterator[Found | BadLine]:
    """What each line of a list says, in order; a video as often as it is there. Holds some hundred lines at a time.

    `column`: the name of the column that holds videos, or its number counted from 1. Raises BadInputError where it is
    not there, and, without it, where two columns could be it.
    """
    stream = _Stream(lines)
    if stream.begins() and _SEPARATOR.fullmatch(stream.peek()[0].strip()):
        next(stream)
    if column is not None and stream.begins():
        place, where = column_named(stream.peek(), column)
        for line in islice(stream, place):
            if not is_nothing(line):
                yield _bad(stream.number, line, f"stands before the table with the column {column!r}")
        yield from _table(stream, where, to_end=True)
        return
    while stream.begins():
        sample = stream.peek()
        if _DOCUMENT.match(sample[0]):
            yield from _document(stream)
            return
        found = column_of(sample)
        if found is not None and found.header and _id_of(sample[0]) is None:
            yield from _table(stream, found, to_end=False)
        else:
            archive = any(map(_is_archived, sample))
            yield from _plain(stream, None if found is None or found.header else found, archive=archive)


def _table(stream: _Stream, column: Column, *, to_end: bool) -> Iterator[Found | BadLine]:
    """The rows of a CSV behind its header, up to another table unless `to_end`; a row of several lines goes by the
    number of its first.
    """
    if column.header:
        next(stream)
    taken: list[str] = []
    rows = csv.reader(_Noting(stream, taken), delimiter=column.separator, skipinitialspace=True, strict=True)
    gap = False
    while True:
        taken.clear()
        number = stream.number + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:  # a quote that is closed nowhere, or in the middle of a field
            yield BadLine(number, "", f"no CSV as far as line {stream.number} ({error})", _kept("".join(taken)))
            continue
        text = column.separator.join(row)
        if is_nothing(text) and not _has_hashtag(row, column):
            gap = gap or not text.strip()
            continue
        if gap and not to_end and column.fields > 1 and len(row) != column.fields:
            stream.back(taken)
            return
        gap = False
        yield from _row(number, row, column, stream.number, taken)


def _has_hashtag(row: Sequence[str], column: Column) -> bool:
    """Whether a row that looks like a comment has a video: titles often begin with #."""
    return 0 < column.number < len(row) == column.fields and _id_of(row[column.number]) is not None


class _Noting:
    """The lines of a stream, each put down in `taken`, which whoever reads rows empties before the next one.

    A row that is too long is no CSV; what follows it is read on. (A generator would end with its error.)
    """

    def __init__(self, stream: _Stream, taken: list[str]) -> None:
        self._stream = stream
        self._taken = taken
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._taken:
            self._size = 0
        if self._size > _LONGEST_ROW:
            raise csv.Error(f"a row of more than {_LONGEST_ROW:,} characters")
        line = next(self._stream)
        self._taken.append(line)
        self._size += len(line)
        return line


def _row(number: int, row: Sequence[str], column: Column, last: int, taken: Sequence[str]) -> Iterator[Found | BadLine]:
    if column.number < len(row) and (last == number or len(row) == column.fields):
        cell = row[column.number]
        if cell.strip().lower() != _TOTAL:
            yield _video(number, cell, "".join(taken))
    else:
        reason = f"{len(row)} field(s) as far as line {last}, where the header has {column.fields}"
        yield BadLine(number, _short(column.separator.join(row)), reason, _kept("".join(taken)))


def _plain(stream: _Stream, column: Column | None, *, archive: bool) -> Iterator[Found | BadLine]:
    """Lines without a header, up to one that begins a table: each is a video, or has one in the column."""
    begun = gap = False
    for line in stream:
        text = line.strip()
        if is_usual_video_id(text):  # the most of most lists
            begun, gap = True, False
            yield stream.number, text
            continue
        if not text or text.startswith("#"):
            gap = gap or not text
            continue
        found = _line(stream.number, line.rstrip("\r\n"), column, archive=archive)
        if isinstance(found, BadLine) and begun and (gap or column is None) and may_begin_table(text, gap=gap):
            stream.back([line])
            return
        begun, gap = True, False
        yield found


def _line(number: int, text: str, column: Column | None, *, archive: bool) -> Found | BadLine:
    found = _video(number, text)
    if not isinstance(found, BadLine):
        return found
    if match := _ARCHIVED.fullmatch(text.strip()):
        if match[1].lower() == "youtube":
            return _video(number, match[2], text)
        if archive:
            return _bad(number, text, f"a video of {match[1][:_SHOWN_WORD]}, not of YouTube")
    if column is not None:
        fields = split(text, column.separator)
        cell = _video(number, fields[column.number], text) if column.number < len(fields) else found
        if not isinstance(cell, BadLine) or len(fields) == column.fields:
            return cell
    within = dict.fromkeys(filter(None, map(_id_of, _URL_IN_TEXT.findall(text))))
    if len(within) == 1:
        return number, next(iter(within))
    return _bad(number, text, "names several videos: write one a line") if within else found


def _is_archived(line: str) -> bool:
    match = _ARCHIVED.fullmatch(line.strip())
    return match is not None and match[1].lower() == "youtube" and is_usual_video_id(match[2])


def _document(stream: _Stream) -> Iterator[Found | BadLine]:
    """JSON or HTML: an object a line, or what each line names as the URL of a video."""
    first, found = stream.peek()[0], False
    number = stream.number + 1
    for line in stream:
        for each in _in_document(stream.number, line.strip().rstrip(",")):
            found = True
            yield each
    if not found:
        yield _bad(number, first, "a JSON or HTML document without the URL of a video")


def _in_document(number: int, text: str) -> Iterable[Found | BadLine]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        held = _held(number, text)
        return [_bad(number, text, "no JSON")] if not held and text.startswith('{"') else held
    return [_object(number, item) for item in _objects(value)]


def _objects(value: Any) -> list[dict[str, Any] | str]:
    if isinstance(value, dict):
        inner = next((value[key] for key in ("entries", "items") if isinstance(value.get(key), list)), None)
        return [value] if inner is None else _objects(inner)
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict | str)]
    return [value] if isinstance(value, str) else []


def _object(number: int, item: dict[str, Any] | str) -> Found | BadLine:
    text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
    if isinstance(item, str):
        return _video(number, item)
    origin = next((item[key] for key in ("ie_key", "extractor", "extractor_key") if isinstance(item.get(key), str)), "")
    if origin and not origin.lower().startswith("youtube"):
        return _bad(number, text, f"a video of {origin[:_SHOWN_WORD]!r}, not of YouTube")
    for key in _KEYS:
        value = item.get(key)
        named = value.get("videoId") if isinstance(value, dict) else value
        if isinstance(named, str) and (video_id := _id_of(named)):
            return number, video_id
    return _bad(number, text, NO_VIDEO)


def _held(number: int, text: str) -> list[Found]:
    """The videos that a line of a document names, each once."""
    named = [url.replace("\\u003d", "=").replace("\\u0026", "&").replace("\\/", "/") or video_id
             for url, video_id in _IN_DOCUMENT.findall(text)]  # fmt: skip
    return [(number, video_id) for video_id in dict.fromkeys(map(_id_of, named)) if video_id]


def _video(number: int, text: str, line: str = "") -> Found | BadLine:
    if usual := _USUAL.fullmatch(text):
        return number, usual[1]
    try:
        return number, parse_brought_video(text)
    except ValueError:
        return BadLine(number, _short(text), no_video(text), _kept(line or text))


def _bad(number: int, line: str, reason: str) -> BadLine:
    """A whole line that is bad."""
    return BadLine(number, _short(line), reason, _kept(line))


def _id_of(text: str) -> str | None:
    try:
        return parse_brought_video(text)
    except ValueError:
        return None


def _short(text: str) -> str:
    return text.strip()[:_SHOWN]


def _kept(line: str) -> str:
    text = line.strip().encode("utf-8", "replace").decode()
    return text if len(text) <= KEPT else f"{text[: KEPT - 1]}…"
