"""Which column of a table has the videos: what is in the cells decides, and names where the cells do not.

Over the first rows, the column of videos is the one with URLs of videos and with what looks as ids do. Names decide
between columns that are mostly ids. Where two are left that name different videos, somebody has to say which it is.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from ghost_tracking.core.video_ids import parse_brought_video
from ghost_tracking.errors import BadInputError
from ghost_tracking.wording import pluralize

HEADERS: Final = (
    "video_id", "videoid", "youtube_id", "youtubeid", "yt_id", "video_url", "youtube_url", "watch_url", "url",
    "video_link", "link", "video", "videos", "content", "urls", "links", "ids", "id",
)  # fmt: skip
"""Names of columns that hold videos, the surest first: `id` may be anything's."""

_SURE_NAMES: Final = HEADERS.index("url")

SEPARATORS: Final = (",", ";", "\t", "|")

_LONGEST_NAME: Final = 80
_LONGEST_NUMBER: Final = 7
_SHOWN: Final = 20
"""Characters of a name in a message."""
_SHOWN_COLUMNS: Final = 5
_MIXED: Final = re.compile(r"(?=.*[A-Za-z])(?=.*[0-9_-]).*|.*[a-z].*[A-Z].*")
_LAST: Final = frozenset("048AEIMQUYcgkosw")
"""What ids of today end with, since 11 characters hold 66 bits of 64."""
_NEARLY: Final = re.compile(r"[A-Za-z0-9_-]{8,14}")
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_NUMBER: Final = re.compile(r"[+-]?[\d.,:%\s]+")


@dataclass(frozen=True, slots=True)
class Column:
    """Where the videos of a table stand: in which field, counted from 0, of lines that are separated so.

    `fields`: so many has its first row; `header`: whether that has names.
    """

    separator: str
    number: int
    fields: int
    header: bool


def column_of(sample: Sequence[str]) -> Column | None:
    """The column of videos in the table that begins with these lines, or None where they have none.

    Raises BadInputError where several columns could be it.
    """
    columns = [each for separator in SEPARATORS for each in _columns(_rows_of_fields(sample, separator), separator)]
    likely = [each for each in columns if each.hits]
    if not likely:  # the first rows have no video: a name has to do
        named = [each for each in columns if each.is_named]
        return min(named, key=lambda each: (-len(each.first), each.rank)).column() if named else None
    sure, hits = max(each.sure for each in likely), max(each.hits for each in likely)
    likely = [each for each in likely if each.is_told or (each.sure * 2 >= sure if sure else each.hits * 2 >= hits)]
    if named := [each for each in likely if each.header and each.is_named]:
        return min(named, key=lambda each: (each.rank, -each.hits, -len(each.first))).column()
    best = max(each.score for each in likely)
    likely = [each for each in likely if each.score == best]
    widest = max(likely, key=lambda each: len(each.first))  # of separators that fit equally well
    likely = [each for each in likely if each.separator == widest.separator]
    if len({tuple(map(_id_of, each.cells)) for each in likely}) > 1:
        raise BadInputError(_ambiguous(likely))
    return widest.column()


def column_named(sample: Sequence[str], name: str) -> tuple[int, Column]:
    """The column that somebody has named, or its number counted from 1, and the place of the table's first line.

    Raises BadInputError where it is not there. A name may be that of a later table, behind a blank line.
    """
    for place, line in enumerate(sample):
        if place and not is_nothing(sample[place - 1]):
            continue
        for separator, names in sorted(_splits(line), key=lambda each: -len(each[1])):
            if normal(name) in names:
                return place, Column(separator, names.index(normal(name)), len(names), header=True)
    columns = max((_columns(_rows(sample, separator), separator) for separator in SEPARATORS), key=len)
    if name.isdecimal() and len(name) <= _LONGEST_NUMBER and 1 <= int(name) <= len(columns):
        return 0, columns[int(name) - 1].column()
    # without the names that it has: what was taken for a list may be a file of secrets
    number = max(len(names) for _, names in _splits(sample[0]))
    raise BadInputError(
        f"The list has no column {name[:_LONGEST_NAME]!r}: its first line has {pluralize(number, 'column')}; "
        "name one of them, or give its number"
    )


def may_begin_table(line: str, *, gap: bool) -> bool:
    """Whether a field of this line is a video, or, behind a `gap`, one of several has the name of such a column."""
    named = gap and any(len(names) > 1 and not set(names).isdisjoint(HEADERS) for _, names in _splits(line))
    return named or any(_id_of(cell) for separator in SEPARATORS for cell in split(line, separator))


def is_nothing(line: str) -> bool:
    """Whether a line is blank, or a comment."""
    stripped = line.strip()
    return not stripped or stripped.startswith("#")


def split(line: str, separator: str) -> list[str]:
    """The fields of a line; none where it is no CSV."""
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return []


def normal(name: str) -> str:
    """The name of a column as it is compared."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _splits(line: str) -> list[tuple[str, list[str]]]:
    return [(separator, [normal(cell) for cell in split(line, separator)]) for separator in SEPARATORS]


@dataclass(slots=True)
class _Candidate:
    """A column: its cells below the header, if it has one, and what each is worth (see `_worth`)."""

    separator: str
    number: int
    first: list[str]
    cells: list[str]
    header: bool = field(init=False)
    worth: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.header = self._has_header()
        if self.header:
            self.cells = self.cells[1:]
        self.worth = [_worth(cell) for cell in self.cells]

    def _has_header(self) -> bool:
        cell = self.first[self.number].strip()
        if _worth(cell):
            # one word of eleven letters over ids, none of which is a word
            return (
                len(self.first) > 1
                and _is_word(cell)
                and not any(_is_word(each) and _worth(each) for each in self.cells[1:])
            )
        if self.is_named:
            return True
        is_slip = "/" in cell or (_NEARLY.fullmatch(cell) and _MIXED.fullmatch(cell))  # of an id or a URL
        return len(self.first) > 1 and bool(cell) and not is_slip and all(map(_is_name, self.first))

    @property
    def rank(self) -> int:
        """The place of its name among `HEADERS`."""
        name = normal(self.first[self.number])
        return HEADERS.index(name) if name in HEADERS else len(HEADERS)

    @property
    def is_named(self) -> bool:
        return self.rank < len(HEADERS)

    @property
    def is_told(self) -> bool:
        """Whether every cell is a video, as the name says that they are."""
        return self.header and self.rank < _SURE_NAMES and all(self.worth)

    @property
    def hits(self) -> int:
        return sum(map(bool, self.worth))

    @property
    def sure(self) -> int:
        return sum(worth > 1 for worth in self.worth)

    @property
    def score(self) -> tuple[bool, int, int, int]:
        """Whether every cell is a video; how many are URLs, surely ids, could be ids."""
        urls = sum(worth > 2 for worth in self.worth)
        return bool(self.worth) and all(self.worth), urls, self.sure, self.hits

    def column(self) -> Column:
        return Column(self.separator, self.number, len(self.first), self.header)


def _ambiguous(likely: Sequence[_Candidate]) -> str:
    header = all(each.header for each in likely)
    names = [repr(each.first[each.number].strip()[:_SHOWN]) if header else str(each.number + 1) for each in likely]
    if len(names) > _SHOWN_COLUMNS:
        names = [*names[:_SHOWN_COLUMNS], "others"]
    which = f"{', '.join(names[:-1])} and {names[-1]}"
    return (
        f"The columns {which} of the list could each be the one with its videos: say which it is "
        f"(--column of the command, Column of the form), by name or number, or write one video a line"
    )


def _columns(rows: list[list[str]], separator: str) -> list[_Candidate]:
    if not rows:
        return []
    cells = [[row[number] if number < len(row) else "" for row in rows] for number in range(len(rows[0]))]
    return [_Candidate(separator, number, rows[0], each) for number, each in enumerate(cells)]


def _rows_of_fields(sample: Sequence[str], separator: str) -> list[list[str]]:
    """Those that are not as a whole a video: they need no column."""
    return [row for row in _rows(sample, separator) if len(row) > 1 or not _id_of(row[0])]


def _rows(sample: Sequence[str], separator: str) -> list[list[str]]:
    """The rows up to a blank line that rows of another width follow."""
    rows: list[list[str]] = []
    gap = False
    for row in _parsed(sample, separator):
        if is_nothing(separator.join(row)):
            gap = gap or not any(map(str.strip, row))
            continue
        if rows and gap and len(row) != len(rows[0]) > 1:
            break
        gap = False
        rows.append(row)
    return rows


def _parsed(sample: Sequence[str], separator: str) -> Iterator[list[str]]:
    """As CSV, whose rows may have several lines; line by line where it is none."""
    rows: list[list[str]] = []
    reader = csv.reader(sample, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        rows.extend(reader)
    except csv.Error:
        if reader.line_num < len(sample) or len(rows) * 2 < len(sample):
            return (split(line, separator) for line in sample)
        # else the sample only ends within quotes
    return iter(rows)


def _worth(cell: str) -> int:
    """How sure it is that this is a video: 3 a URL, 2 what looks as ids do, 1 what could be one, 0 none."""
    video_id = _id_of(cell)
    if video_id is None:
        return 0
    if "/" in cell:
        return 3
    return 2 if _MIXED.fullmatch(video_id) and video_id[-1] in _LAST and not _is_word(video_id) else 1


def _id_of(cell: str) -> str | None:
    try:
        return parse_brought_video(cell)
    except ValueError:
        return None


def _is_word(cell: str) -> bool:
    return _WORD.fullmatch(cell.strip()) is not None


def _is_name(cell: str) -> bool:
    """Whether this could be the name of a column, rather than a value."""
    text = cell.strip()
    return len(text) <= _LONGEST_NAME and "://" not in text and not _NUMBER.fullmatch(text) and _worth(text) < 2
