"""The index of an archived file: for each word of its titles, and each channel, the rows that have it.

It stands beside the file, under the same name, and whatever becomes of it only costs time: who searches reads the
titles themselves where it is missing or broken, and a repair makes it again of the file.

A Parquet file, sorted by `word`, in row groups of some thousand words, so that a word is found by the footer and one
row group. `rows` are the numbers of rows in the archived file, from 0, going up, each as its distance from the one
before. Of two characters of a script without blanks they are 16 times that, and their place in the word, modulo 16: so
those that follow one another in a title are told from those that are only both in it.

Two words that no title has come first, in row groups of their own, with a number for each row: the publish times
(`PUBLISHED`), and what tells which videos are certainly not in the file (`IDS`).
"""

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ghost_tracking.core.titles import LAST_CHARACTER, Word, channel_term, is_pair, terms_of
from ghost_tracking.errors import FileChangedError, UnreadableFileError
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.metadata.manifest import ArchivedFile, words_of
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)

Numbers = npt.NDArray[Any]
Result = TypeVar("Result")

SCHEMA: Final = pa.schema(
    [
        pa.field("word", pa.string(), nullable=False),
        pa.field("rows", pa.list_(pa.field("element", pa.int32(), nullable=False)), nullable=False),
    ]
)

PUBLISHED: Final = ""
"""Its `rows`: for each row the seconds since the earliest publish time plus one; 0 where that is unknown."""
IDS: Final = "\x00"
"""Its `rows`: 32 bits of a digest of each id, sorted, each as its distance from the one before."""
_EARLIEST: Final = b"earliest"
_ROWS: Final = b"rows"
_WORDS_A_GROUP: Final = 4096
_ROWS_A_GROUP: Final = 1 << 16
_SECOND: Final = 10**6
_PLACES: Final = 16
NEVER: Final = -(2**62)
"""Stands for an unknown publish time; before every other."""


def encode(videos: pa.Table) -> bytes:
    """The index of these rows of the archive, of which it needs video_id, channel_id, published_at and search.

    Holds some 20 numbers a title: 150 MB for the largest usual file, half a million videos.
    """
    rows = videos.num_rows
    terms, of_term, numbers = _joined(_titles(videos["search"]), _channels(videos["channel_id"]))
    order = pc.sort_indices(terms).to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    keys = np.sort(rank[of_term] * (rows * _PLACES) + numbers)
    keys = keys[np.diff(keys, prepend=-1) != 0]  # a title may have a word twice
    places, found = np.divmod(keys, max(1, rows * _PLACES))
    starts = np.searchsorted(places, np.arange(len(order) + 1))
    steps = np.diff(found, prepend=0)
    first = starts[:-1]
    steps[first] = found[first]
    lists = pa.ListArray.from_arrays(
        pa.array(starts, pa.int32()), pa.array(steps.astype(np.int32)), type=SCHEMA.field("rows").type
    )
    earliest, published = _published(videos["published_at"])
    table = pa.table([terms.take(pa.array(order)), lists], schema=SCHEMA)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, SCHEMA, **parquet.WORDS_OPTIONS) as writer:
        for word, numbers in ((PUBLISHED, published), (IDS, _ids(videos["video_id"]))):
            writer.write_table(_one(word, numbers))
        for begin, end in _groups(starts):
            writer.write_table(table.slice(begin, end - begin))
        writer.add_key_value_metadata({_EARLIEST: str(earliest), _ROWS: str(rows)})
    return bytes(sink.getvalue())


class Words:
    """One index, open for reading; holds nothing of it but the footer."""

    def __init__(self, file: pq.ParquetFile) -> None:
        """UnreadableFileError, without the file's name, where the footer does not say what it must."""
        self._file = file
        self._metadata = file.metadata
        notes = self._metadata.metadata or {}
        try:
            self.rows, self._earliest = int(notes[_ROWS]), int(notes[_EARLIEST])
        except (KeyError, ValueError) as error:
            raise UnreadableFileError(f"no number of rows in its footer ({error})") from error

    def beginning(self, text: str) -> tuple[Numbers, Numbers]:
        """The rows with a word that begins so, in no order, some twice; and those with this word itself."""
        found, alone = self._between(text, text + LAST_CHARACTER)
        return self._rows(found), self._rows(alone)

    def having(self, term: str) -> Numbers:
        """The rows with this very term, going up."""
        return self._rows(self._between(term, term)[1])

    def with_run(self, word: Word) -> Numbers:
        """The rows that may have a word of a script without blanks, in no order, some twice; see `is_told_by_terms`."""
        if len(word.text) == 1:
            return self._rows(self._between(word.text, word.text + LAST_CHARACTER)[0] // _PLACES)
        begins: Numbers | None = None
        for pair, place in word.pairs:
            found = self._between(pair, pair)[1]
            found = found // _PLACES * _PLACES + (found - place) % _PLACES  # where the word begins, then
            begins = found if begins is None else np.intersect1d(begins, found, assume_unique=True)
            if not len(begins):
                break
        return self._rows(np.empty(0, dtype=np.int64) if begins is None else begins // _PLACES)

    def _between(self, first: str, last: str) -> tuple[Numbers, Numbers]:
        """The numbers of all words from `first` to `last`, both included; and those of `first` alone.

        Reads the row groups that may have such words: one where they are few.
        """
        nothing = np.empty(0, dtype=np.int64)
        begin = bisect_left(range(self._metadata.num_row_groups), first, key=self._last)
        end = bisect_left(range(self._metadata.num_row_groups), True, key=lambda number: self._first(number) > last)
        if begin >= end:
            return nothing, nothing
        table = self._file.read_row_groups(range(begin, end), use_threads=False)
        words = table["word"].combine_chunks()
        within = pc.indices_nonzero(pc.and_(pc.greater_equal(words, first), pc.less_equal(words, last)))
        if not len(within):
            return nothing, nothing
        start, count = within[0].as_py(), len(within)
        lists = table["rows"].combine_chunks()
        borders = lists.offsets.to_numpy()[start : start + count + 1].astype(np.int64)
        found = _summed(lists.values.to_numpy()[borders[0] : borders[-1]], borders - borders[0])
        is_first = words[start].as_py() == first
        return found, found[: borders[1] - borders[0]] if is_first else nothing

    def published(self) -> Numbers:
        """For each row of the archived file when it was published, in whole seconds since 1970; `NEVER`: unknown."""
        numbers = self._numbers(PUBLISHED).view(np.uint32).astype(np.int64)
        if len(numbers) != self.rows:
            raise UnreadableFileError(f"{len(numbers):,} publish times of {self.rows:,} videos")
        return np.where(numbers > 0, numbers - 1 + self._earliest, NEVER)

    def may_hold(self, digests: Numbers) -> Numbers:
        """For each of these `digests_of` ids whether the archived file may have it: all that it has, few others."""
        held = np.cumsum(self._numbers(IDS).view(np.uint32), dtype=np.uint64)
        places = np.searchsorted(held, digests)
        return held[np.minimum(places, max(0, len(held) - 1))] == digests if len(held) else digests < 0

    def _numbers(self, word: str) -> Numbers:
        begin = bisect_left(range(self._metadata.num_row_groups), word, key=self._last)
        if begin == self._metadata.num_row_groups or self._first(begin) != word:
            raise UnreadableFileError(f"no row {word!r}")
        numbers: Numbers = self._file.read_row_group(begin)["rows"].combine_chunks().flatten().to_numpy()
        return numbers

    def _rows(self, rows: Numbers) -> Numbers:
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.rows:
            raise UnreadableFileError(f"rows beyond the {self.rows:,} that there are")
        return rows

    def _first(self, group: int) -> str:
        return str(self._metadata.row_group(group).column(0).statistics.min)

    def _last(self, group: int) -> str:
        return str(self._metadata.row_group(group).column(0).statistics.max)


@contextmanager
def opened(storage: Storage, key: str) -> Iterator[Words]:
    """An index for reading; UnreadableFileError with its name when it is damaged, FileNotFoundError when it is gone."""
    with parquet.wrap_read_errors(key, AttributeError, IndexError), storage.open(key) as handle:
        yield Words(parquet.opened(handle, SCHEMA, parquet.WORDS, pre_buffer=False))


def by_index(storage: Storage, file: ArchivedFile, read: Callable[[Words], Result]) -> Result | None:
    """What is read by an archived file's index; None where it has none that can be read, which is logged."""
    if file.words is None:
        return None
    key = words_of(file.name)
    try:
        with opened(storage, key) as index:
            if index.rows != file.videos:
                raise UnreadableFileError(f"{key} is of {index.rows:,} videos, not of {file.videos:,}", key=key)
            return read(index)
    except (FileChangedError, FileNotFoundError) as error:
        log.warning("%s is read without its index: %s", file.key, error)
    except UnreadableFileError as error:
        if error.facts.get("key") != key:
            raise
        log.warning("%s is read without its index: %s", file.key, error.message)
    return None


def digests_of(video_ids: pa.Array | pa.ChunkedArray) -> Numbers:
    """32 bits of each id, evenly spread, as `Words.may_hold` takes them; in the order of the ids."""
    whole = video_ids.combine_chunks() if isinstance(video_ids, pa.ChunkedArray) else video_ids
    if not len(whole):
        return np.empty(0, dtype=np.uint64)
    texts = whole.cast(pa.large_binary())
    _, starts, content = (np.frombuffer(each or b"", np.uint8) for each in texts.buffers())
    borders = starts.view(np.int64)[texts.offset : texts.offset + len(texts) + 1]
    lengths = np.diff(borders)
    digests = lengths.astype(np.uint64)
    for place in range(int(lengths.max())):
        here = np.flatnonzero(lengths > place)
        digests[here] = (digests[here] ^ content[borders[here] + place]) * np.uint64(0x100000001B3)  # FNV-1a
    digests ^= digests >> np.uint64(29)
    digests *= np.uint64(0xBF58476D1CE4E5B9)
    return digests >> np.uint64(32)


def _titles(search: pa.ChunkedArray) -> tuple[list[str], Numbers, Numbers]:
    """All terms of searchable titles, each once; and term by term its place, and a number as the index has it."""
    split = pc.split_pattern(search, " ").combine_chunks()
    words, rows = split.flatten(), pc.list_parent_indices(split).to_numpy()
    kept = pc.not_equal(words, "")
    coded = words.filter(kept).dictionary_encode()
    rows = rows[kept.to_numpy(zero_copy_only=False)]
    numbers: dict[str, int] = {}
    of_word = [terms_of(word) for word in coded.dictionary.to_pylist()]
    counts = np.array([len(each) for each in of_word], dtype=np.int64)
    flat = np.array([numbers.setdefault(term, len(numbers)) for each in of_word for term, _ in each], dtype=np.int64)
    places = np.array([place % _PLACES for each in of_word for _, place in each], dtype=np.int64)
    times = np.array([_PLACES if is_pair(term) else 1 for term in numbers], dtype=np.int64)
    codes = coded.indices.to_numpy()
    many = counts[codes]
    before = np.repeat(np.cumsum(many) - many, many)
    within = np.arange(len(before)) - before
    here = np.repeat((np.cumsum(counts) - counts)[codes], many) + within
    return list(numbers), flat[here], np.repeat(rows, many) * times[flat[here]] + places[here]


def _channels(channel_ids: pa.ChunkedArray) -> tuple[list[str], Numbers, Numbers]:
    coded = channel_ids.combine_chunks().dictionary_encode()
    known = np.flatnonzero(coded.is_valid().to_numpy(zero_copy_only=False))
    codes = coded.indices.drop_null().to_numpy()
    return [channel_term(channel) for channel in coded.dictionary.to_pylist()], codes.astype(np.int64), known


def _joined(
    titles: tuple[list[str], Numbers, Numbers], channels: tuple[list[str], Numbers, Numbers]
) -> tuple[pa.Array, Numbers, Numbers]:
    of_term = np.concatenate([titles[1], channels[1] + len(titles[0])]).astype(np.int64)
    return pa.array([*titles[0], *channels[0]], pa.string()), of_term, np.concatenate([titles[2], channels[2]])


def _published(times: pa.ChunkedArray) -> tuple[int, Numbers]:
    """The earliest time in whole seconds, and for each the seconds since then plus one, 0 for none."""
    seconds = np.floor_divide(times.cast(pa.int64()).fill_null(0).to_numpy(), _SECOND)
    known = times.is_valid().to_numpy()
    earliest = int(seconds[known].min()) if known.any() else 0
    return earliest, np.where(known, np.minimum(seconds - earliest + 1, 2**32 - 1), 0).astype(np.uint32)


def _ids(video_ids: pa.ChunkedArray) -> Numbers:
    steps: Numbers = np.diff(np.sort(digests_of(video_ids)), prepend=np.uint64(0)).astype(np.uint32)
    return steps


def _one(word: str, numbers: Numbers) -> pa.Table:
    lists = pa.ListArray.from_arrays(
        pa.array([0, len(numbers)], pa.int32()), pa.array(numbers.view(np.int32)), type=SCHEMA.field("rows").type
    )
    return pa.table([pa.array([word]), lists], schema=SCHEMA)


def _groups(starts: Sequence[int] | Numbers) -> Iterator[tuple[int, int]]:
    """Which words form a row group: as many as have some thousand words and rows at most, and at least one."""
    begin, words = 0, len(starts) - 1
    while begin < words:
        fitting = int(np.searchsorted(starts, starts[begin] + _ROWS_A_GROUP, side="right")) - 1
        end = max(begin + 1, min(fitting, begin + _WORDS_A_GROUP, words))
        yield begin, end
        begin = end


def _summed(steps: Numbers, borders: Numbers) -> Numbers:
    """Steps of several lists, one after another, as the numbers that they lead to."""
    sums: Numbers = np.cumsum(steps, dtype=np.int64)
    before = np.concatenate([[0], sums])[borders[:-1]]
    sums -= np.repeat(before, np.diff(borders))
    return sums
