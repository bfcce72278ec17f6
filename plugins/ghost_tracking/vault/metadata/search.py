"""Searching the archive: videos by the words of their titles, and those of a channel, by the indexes of its files.

The newest files come first. Once an answer is full of titles that have every word whole, files whose newest video is
older than all of these cannot change it, and are not opened. Where a file has no index, or a broken one, its titles are
read instead.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ghost_tracking.core.titles import Word, channel_term, words_of
from ghost_tracking.errors import BadInputError, UnreadableFileError
from ghost_tracking.vault.metadata import files, title_scan, words
from ghost_tracking.vault.metadata.lookup import reading_threads
from ghost_tracking.vault.metadata.manifest import ArchivedFile, ArchiveManifest
from ghost_tracking.vault.metadata.rows import SCHEMA
from ghost_tracking.vault.metadata.scan import frame_of, with_manifest
from ghost_tracking.vault.metadata.title_scan import Hits, first_of, ranked
from ghost_tracking.vault.metadata.words import Words
from ghost_tracking.vault.metadata.writing import staged_parts
from ghost_tracking.vault.storage import Storage

FOUND: Final = ("video_id", "title", "channel_title", "published_at", "duration_seconds", "channel_id", "category_id")
"""The columns of what a search finds."""

_LEAST_CHECKED: Final = 64

Numbers = npt.NDArray[Any]


def find_videos(storage: Storage, query: str, limit: int) -> pd.DataFrame:
    """The best `limit` archived videos whose titles have all words of the query.

    Opens the index of every file at the worst, up to 16 at a time, and reads a row group of each for each word; holds
    these, and `limit` hits.
    """
    if not isinstance(query, str):
        raise BadInputError(f"words is {query!r:.60}: give the words of a title as one text")
    wanted = words_of(query)
    if not wanted:
        raise BadInputError(f"{query[:60]!r} has no word of two letters or more to look for")
    if not isinstance(limit, int) or limit < 1:
        raise BadInputError(f"limit is {limit}; it must be at least 1")
    return frame_of(with_manifest(storage, partial(_find, storage, wanted, limit)))


def ids_of_channels(storage: Storage, channel_ids: Collection[str]) -> set[str]:
    """Every video of these channels that is archived or staged; opens one index after another."""
    wanted = sorted(set(channel_ids))
    found: set[str] = set()
    for key in staged_parts(storage).listed():
        with suppress(FileNotFoundError), files.opened(storage, key) as part:  # merged meanwhile: in the archive
            found.update(_of_channels(part, wanted, ["video_id"], None)["video_id"].to_pylist())
    return found.union(rows_of_channels(storage, wanted, ["video_id"])["video_id"].to_pylist())


def rows_of_channels(storage: Storage, channel_ids: Collection[str], columns: Sequence[str]) -> pa.Table:
    """These columns of every archived video of these channels, in no promised order; memory as its answer needs."""
    wanted = sorted(set(channel_ids))

    def of_file(file: ArchivedFile) -> pa.Table | None:
        rows = words.by_index(storage, file, partial(_rows_of_channels, channel_ids=wanted))
        if rows is not None and not len(rows):
            return None
        with files.opened(storage, file.key) as opened:
            return _of_channels(opened, wanted, columns, rows)

    def of_all(manifest: ArchiveManifest) -> pa.Table:
        with reading_threads(storage) as pool:
            found = [table for table in pool.map(of_file, manifest.files) if table is not None]
        return pa.concat_tables([pa.schema([SCHEMA.field(name) for name in columns]).empty_table(), *found])

    return with_manifest(storage, of_all)


@dataclass(slots=True)
class _Best:
    """The best hits of the files that were searched so far, and where they are."""

    limit: int
    files: list[tuple[ArchivedFile, Hits]] = field(default_factory=list)
    floor: int | None = None
    """The rank that one must have to be among the best; None while there are too few."""

    def add(self, file: ArchivedFile, hits: Hits) -> None:
        """Take the hits of one more file."""
        if len(hits.ranks):
            self.files.append((file, hits))

    def raise_floor(self) -> None:
        """Drop what is no longer among the best; those of the same rank as the last of them stay."""
        ranks = np.concatenate([hits.ranks for _, hits in self.files] or [np.empty(0, dtype=np.int64)])
        if len(ranks) >= self.limit:
            self.floor = int(np.partition(ranks, -self.limit)[-self.limit])
            left = [(file, hits.above(self.floor)) for file, hits in self.files]
            self.files = [(file, hits) for file, hits in left if len(hits.ranks)]


def _find(storage: Storage, wanted: Sequence[Word], limit: int, manifest: ArchiveManifest) -> pa.Table:
    best = _Best(limit)
    newest_first = sorted(manifest.files, key=lambda file: -_most(file, len(wanted)))
    with reading_threads(storage) as pool:
        start, many = 0, 2
        while start < len(newest_first):
            wave = [
                file
                for file in newest_first[start : start + many]
                if best.floor is None or _most(file, len(wanted)) >= best.floor
            ]
            if not wave:
                break  # those that follow are older still
            search = partial(_hits, storage, wanted, limit, best.floor)
            for file, hits in zip(wave, pool.map(search, wave), strict=True):
                best.add(file, hits)
            best.raise_floor()
            start, many = start + many, min(64, many * 2)
        tables = list(pool.map(lambda each: _shown(storage, *each), best.files))
    schema = pa.schema([*(SCHEMA.field(name) for name in FOUND), pa.field("rank", pa.int64())])
    together = pa.concat_tables([schema.empty_table(), *tables])
    return together.sort_by([("rank", "descending"), ("video_id", "ascending")]).slice(0, limit).select(FOUND)


def _most(file: ArchivedFile, whole: int) -> int:
    """The rank that a hit of a file has at most, in which so many words are whole."""
    if file.published is None:
        return int(first_of(whole + 1))
    newest = file.published[1]
    return int(ranked(whole, words.NEVER if newest is None else int(newest.timestamp())))


def _hits(storage: Storage, wanted: Sequence[Word], limit: int, floor: int | None, file: ArchivedFile) -> Hits:
    """The best of one file."""

    def search(index: Words) -> Hits:
        # as soon as the answer is full, mostly, of newer videos than the file has
        whole_only = floor is not None and floor > _most(file, len(wanted) - 1)
        hits = _candidates(index, wanted, whole_only=whole_only)
        hits = hits if floor is None else hits.above(floor)
        if not len(hits.ranks) or all(word.is_told_by_terms for word in wanted):
            return hits.best(limit)
        with files.opened(storage, file.key) as opened:
            return _checked(opened, wanted, hits.best(len(hits.ranks)), limit)

    found = words.by_index(storage, file, search)
    if found is not None:
        return found
    with files.opened(storage, file.key) as opened:
        return title_scan.hits(opened, wanted, limit)


def _candidates(index: Words, wanted: Sequence[Word], *, whole_only: bool) -> Hits:
    """The rows whose titles may have all words; `whole_only`: all of them as words of their own."""
    has = np.ones(index.rows, dtype=bool)
    whole = np.zeros(index.rows, dtype=np.int64)
    # the longest is the rarest, most likely: often the others need not be looked up
    for word in sorted(wanted, key=lambda word: -len(word.text)):
        rows, alone = _rows_of(index, word, whole_only=whole_only)
        has &= _marked(rows, index.rows)
        if not has.any():
            return Hits.none()
        whole += _marked(alone, index.rows)
    rows = np.flatnonzero(has)
    return Hits(ranked(whole[rows], index.published()[rows]), rows)


def _rows_of(index: Words, word: Word, *, whole_only: bool) -> tuple[Numbers, Numbers]:
    """The rows that may have a word, and those that have it as a word of its own; `whole_only`: twice the latter."""
    if not (whole_only or word.anywhere):
        return index.beginning(word.text)
    whole = index.having(word.whole_term)
    return whole if whole_only else index.with_run(word), whole


def _marked(rows: Numbers, number: int) -> Numbers:
    marked = np.zeros(number, dtype=bool)
    marked[rows] = True
    return marked


def _checked(file: pq.ParquetFile, wanted: Sequence[Word], hits: Hits, limit: int) -> Hits:
    """The first `limit` of these hits, the best first, whose titles really have all words."""
    kept: list[Hits] = []
    start, many = 0, max(limit, _LEAST_CHECKED)
    while start < len(hits.ranks) and sum(len(each.ranks) for each in kept) < limit:
        some = hits.slice(start, start + many)
        order = np.argsort(some.rows)
        titles = taken(file, some.rows[order], ["search"])["search"]
        has = np.empty(len(order), dtype=bool)
        has[order] = title_scan.have_all(titles, wanted)
        kept.append(some.only(has))
        start, many = start + many, many * 4
    return Hits.together(kept).slice(0, limit)


def _shown(storage: Storage, file: ArchivedFile, hits: Hits) -> pa.Table:
    """The hits of one file, with what is shown of them."""
    order = np.argsort(hits.rows)
    with files.opened(storage, file.key) as opened:
        table = taken(opened, hits.rows[order], FOUND)
    return table.append_column("rank", pa.array(hits.ranks[order], pa.int64()))


def taken(file: pq.ParquetFile, rows: Numbers, columns: Sequence[str]) -> pa.Table:
    """These rows of a file, by their numbers, which go up; reads the row groups that have some, one at a time."""
    found = [pa.schema([SCHEMA.field(name) for name in columns]).empty_table()]
    for number, first, inside in _by_group(file, rows):
        table = file.read_row_group(number, columns=list(columns)).select(list(columns))
        found.append(table.take(pa.array(inside - first)))
    return pa.concat_tables(found)


def _by_group(file: pq.ParquetFile, rows: Numbers) -> Iterator[tuple[int, int, Numbers]]:
    """The number of each row group that has some of these rows, its first row, and which they are."""
    ends = list(accumulate(file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)))
    place = 0
    while place < len(rows):
        number = bisect_right(ends, int(rows[place]))
        if number == len(ends):
            raise UnreadableFileError(f"no row {int(rows[place]):,}")
        end = int(np.searchsorted(rows, ends[number]))
        yield number, ends[number - 1] if number else 0, rows[place:end]
        place = end


def _rows_of_channels(index: Words, channel_ids: Sequence[str]) -> Numbers:
    terms = map(channel_term, channel_ids)
    return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *map(index.having, terms)]))


def _of_channels(
    file: pq.ParquetFile, channel_ids: Sequence[str], columns: Sequence[str], rows: Numbers | None
) -> pa.Table:
    """These columns of the videos of these channels, which are among these rows; None: among all."""
    wanted = pa.array(channel_ids, pa.string())
    names = list(dict.fromkeys([*columns, "channel_id"]))
    if rows is not None:
        table = taken(file, rows, names)
        return table.filter(pc.is_in(table["channel_id"], wanted)).select(list(columns))
    found = [pa.schema([SCHEMA.field(name) for name in columns]).empty_table()]
    for number in range(file.num_row_groups):
        held = pc.is_in(file.read_row_group(number, columns=["channel_id"])["channel_id"], wanted)
        if pc.any(held).as_py():
            found.append(file.read_row_group(number, columns=names).filter(held).select(list(columns)))
    return pa.concat_tables(found)
