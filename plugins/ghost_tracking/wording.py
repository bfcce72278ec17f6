"""Numbers in sentences, and words of others in them."""

import unicodedata
from typing import Final

_BLANK: Final = frozenset({"Cc", "Zs", "Zl", "Zp"})
"""Control characters, line breaks of all kinds, and blanks: what else a terminal obeys begins with one of them."""
_NOTHING: Final = frozenset({"Cf", "Cs"})
"""Format characters, which turn the direction of writing or cannot be seen, and halves of surrogate pairs."""


def pluralize(number: float, one: str, more: str | None = None) -> str:
    """A number and what there is of it: `1 video`, `1,200 videos`; `more` where that is not `one` with an s."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def printable(text: object, limit: int | None = 200) -> str:
    """What others have written (a title, an id, a message of YouTube) as it may stand in a line of output or of a log.

    One line without control and format characters: nothing in it moves a cursor, sets a window's title, forges a line
    of a log or turns the order of what follows. Of more than `limit` characters (None: any number) the first ones and
    `…`. What is stored stays as it was observed.
    """
    whole = str(text)
    shown = whole if limit is None or len(whole) <= limit else f"{whole[: limit - 1]}…"
    if shown.isprintable():
        return shown
    return "".join(map(_shown, shown))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    kind = unicodedata.category(character)
    return " " if kind in _BLANK else "" if kind in _NOTHING else character
