"""Titles as they are searched: words in one spelling, whatever script, case, width or accent they are written in."""

import hashlib
import re
import unicodedata
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Final

_ACCENTS = range(0x300, 0x370)
"""Combining marks of Latin, Greek and Cyrillic. Those of Indic scripts or Thai are vowels, and stay."""

# Scripts that put no blanks between words, by the first and last character of their blocks: Thai to Tibetan, Myanmar,
# Khmer, kana and bopomofo, Han, and Han's extensions beyond the basic plane.
_WITHOUT_BLANKS = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3021-\u312f\u31a0-\u31ff\u3400-\u9fff" + (
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
_SYMBOLS = "\u2190-\u2bff\U0001f000-\U0001faff"
"""Arrows to emoji: each run of them is a word, and stands beside others without a blank."""

MOST_WORDS: Final = 8
SHORTEST_WORD: Final = 2

_RUN = re.compile(f"[{_WITHOUT_BLANKS}]+|[{_SYMBOLS}]+")

LAST_CHARACTER: Final = chr(0x10FFFF)
"""Comes after every character that a searchable title can have."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word that is looked for; `anywhere`: in the middle of others too, since its script has no blanks."""

    text: str
    anywhere: bool

    @property
    def needle(self) -> str:
        """What a searchable title with this word contains."""
        return self.text if self.anywhere else f" {self.text}"

    @property
    def whole(self) -> str:
        """What a searchable title contains that has it as a word of its own."""
        return f" {self.text} "

    @property
    def pairs(self) -> list[tuple[str, int]]:
        """In scripts without blanks: terms that cover it, and how far each is from its beginning; one or more."""
        places = dict.fromkeys([*range(0, len(self.text) - 1, 2), max(0, len(self.text) - 2)])
        return [(self.text[place : place + 2], place) for place in places]

    @property
    def is_told_by_terms(self) -> bool:
        """Whether each title that has its terms has the word; else the title has to be looked at."""
        return not self.anywhere or len(self.text) <= 2

    @property
    def whole_term(self) -> str:
        """The term of the titles that have it as a word of its own."""
        return _whole_run(self.text) if self.anywhere else self.text


def searchable(title: str | None) -> str:
    """The words of a title, each between blanks; a blank where there are none.

    NFKC and casefold, without accents, punctuation and format characters. Words of scripts without blanks are set off
    from others, so that `東京tower` has a word that begins with `tower`.
    """
    text = title or ""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text).casefold().translate(_SPELLING)
        text = _RUN.sub(r" \g<0> ", unicodedata.normalize("NFKC", text))
    else:
        text = text.casefold().translate(_SPELLING)
    return f" {' '.join(text.split())} " if text and not text.isspace() else " "


def words_of(query: str) -> tuple[Word, ...]:
    """The words of a query that are looked for, each once, in the spelling of `searchable`.

    The longest eight, which are the rarest, of those that have two letters or more; in scripts without blanks one
    character is a word. None where there is no such word: each more costs another pass over all titles.
    """
    found = [Word(text, _RUN.fullmatch(text) is not None) for text in dict.fromkeys(searchable(query).split())]
    telling = [word for word in found if word.anywhere or len(word.text) >= SHORTEST_WORD]
    longest = sorted(telling, key=lambda word: -len(word.text))[:MOST_WORDS]
    return tuple(word for word in telling if word in longest)


def terms_of(word: str) -> list[tuple[str, int]]:
    """What an index of titles has of one word of a searchable title; each term with its place in the word.

    A word is a term. In scripts without blanks it is found in the middle too, so each two characters that follow one
    another are a term, and so are the last one alone and a digest of all.
    """
    if word.isascii():
        return [(word, 0)]
    runs = _RUN.findall(word)
    pairs = [(run[place : place + 2], place) for run in runs for place in range(len(run))]
    if not runs:
        return [(word, 0)]
    return [*pairs, (_whole_run(word), 0)] if runs == [word] else pairs


def is_pair(term: str) -> bool:
    """Whether a term is of a script without blanks, so that its place in the word counts."""
    return _RUN.match(term) is not None


def channel_term(channel_id: str) -> str:
    """The term of the titles of a channel: no word's, and seldom another channel's."""
    return f"\x01{_digest(channel_id)}"


def _whole_run(run: str) -> str:
    return f"\x02{_digest(run)}"


def _digest(text: str) -> str:
    """48 bits, in a form that sorted terms share the beginning of: a stranger among a million is met once in 10⁸."""
    return urlsafe_b64encode(hashlib.blake2b(text.encode(), digest_size=6).digest()).decode()


class _Spelling(dict[int, str | int | None]):
    """What becomes of a character, looked up once each: letters, marks, numbers and symbols stay."""

    def __missing__(self, code: int) -> str | int | None:
        category = unicodedata.category(chr(code))
        kept: str | int | None = code if category[0] in "LMN" or category == "So" else " "
        if category == "Cf" or code in _ACCENTS or 0xFE00 <= code <= 0xFE0F:
            kept = None
        self[code] = kept
        return kept


_SPELLING = _Spelling()
