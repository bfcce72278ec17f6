"""Finding words by reading the titles themselves: of files without an index, and what an index must agree with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from more_itertools import chunked

from ghost_tracking.core.titles import Word
from ghost_tracking.vault.metadata.words import NEVER

Numbers = npt.NDArray[Any]

_GROUPS_AT_A_TIME: Final = 16
_SECONDS: Final = 1 << 40
"""More than there are between two times of the archive."""


def ranked(whole: Any, published: Any) -> Any:
    """How good hits are, as one number each: by how many words are whole in the title, then by publish time.

    `published` are whole seconds since 1970, or `words.NEVER`, which is behind all others.
    """
    return np.asarray(whole, dtype=np.int64) * _SECONDS + np.maximum(published, -_SECONDS // 2 + 1) + _SECONDS // 2 - 1


def first_of(whole: int) -> int:
    """The least rank of a hit in which so many words are whole."""
    return int(ranked(whole, NEVER))


@dataclass(frozen=True, slots=True)
class Hits:
    """Titles that have the words: how good each is, and its row in the file."""

    ranks: Numbers
    rows: Numbers

    @classmethod
    def none(cls) -> Self:
        """No hits."""
        return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))

    @classmethod
    def together(cls, many: Sequence[Self]) -> Self:
        """All of several, in their order."""
        parts = [cls.none(), *many]
        return cls(np.concatenate([each.ranks for each in parts]), np.concatenate([each.rows for each in parts]))

    def best(self, limit: int) -> Self:
        """The first `limit` of them, the best first; of the same rank those that stand first in the file."""
        if len(self.ranks) > limit:
            floor = np.partition(self.ranks, -limit)[-limit]
            return self.above(int(floor)).best(limit) if (self.ranks < floor).any() else self._ordered().slice(0, limit)
        return self._ordered()

    def above(self, floor: int) -> Self:
        """Those of this rank or a better one."""
        return self.only(self.ranks >= floor)

    def only(self, which: Numbers) -> Self:
        """Those for which this is true."""
        return type(self)(self.ranks[which], self.rows[which])

    def slice(self, start: int, end: int) -> Self:
        """Some of them that follow one another."""
        return type(self)(self.ranks[start:end], self.rows[start:end])

    def _ordered(self) -> Self:
        order = np.lexsort((self.rows, -self.ranks))
        return type(self)(self.ranks[order], self.rows[order])


def hits(file: pq.ParquetFile, wanted: Sequence[Word], limit: int) -> Hits:
    """The best `limit` hits of a file, by reading all its titles, some row groups at a time."""
    found, before = Hits.none(), 0
    for numbers in chunked(range(file.num_row_groups), _GROUPS_AT_A_TIME):
        table = file.read_row_groups(numbers, columns=["search", "published_at"], use_threads=False)
        here = _hits_among(table, wanted)
        found = Hits.together([found, Hits(here.ranks, here.rows + before)]).best(limit)
        before += table.num_rows
    return found


def have_all(titles: pa.ChunkedArray, wanted: Sequence[Word]) -> Numbers:
    """For each searchable title whether it has all these words."""
    has = np.ones(len(titles), dtype=bool)
    for word in wanted:
        has &= _contains(titles, word.needle)
    return has


def _hits_among(table: pa.Table, wanted: Sequence[Word]) -> Hits:
    titles, rows = table["search"], np.arange(table.num_rows)
    # the longest is the rarest, most likely: the others are looked for in what is left
    for word in sorted(wanted, key=lambda word: -len(word.needle)):
        matching = np.flatnonzero(_contains(titles, word.needle))
        titles, rows = titles.take(pa.array(matching)), rows[matching]
    whole = np.zeros(len(rows), dtype=np.int64)
    for word in wanted:
        whole += _contains(titles, word.whole)
    times = table["published_at"].take(pa.array(rows))
    seconds = np.floor_divide(times.cast(pa.int64()).fill_null(0).to_numpy(), 10**6)
    known = times.is_valid().to_numpy()
    return Hits(ranked(whole, np.where(known, seconds, NEVER)), rows)


def _contains(titles: pa.ChunkedArray, needle: str) -> Numbers:
    # Twice as fast as match_substring. A word has letters, marks, numbers and symbols: nothing that means something.
    found: Numbers = pc.match_substring_regex(titles, needle).to_numpy()
    return found
