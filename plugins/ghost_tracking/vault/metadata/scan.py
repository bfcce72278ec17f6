"""Reading the archive: the metadata of given videos, and videos by the words of their titles."""

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from more_itertools import chunked

from ghost_tracking.core.arguments import ids_of
from ghost_tracking.core.titles import Word, words_of
from ghost_tracking.errors import BadInputError, FileChangedError, UnreadableFileError
from ghost_tracking.vault.metadata import files
from ghost_tracking.vault.metadata.manifest import ArchivedFile, ArchiveManifest, missing_file
from ghost_tracking.vault.metadata.rows import GIVEN, SCHEMA, STAGED, newest_of_each, standing
from ghost_tracking.vault.metadata.writing import staged_parts
from ghost_tracking.vault.storage import Storage, Version

FOUND: Final = ("video_id", "title", "channel_title", "published_at", "duration_seconds", "channel_id", "category_id")
"""The columns of what a search finds."""

_HIT: Final = pa.schema(
    [
        pa.field("whole", pa.int64()),
        SCHEMA.field("published_at"),
        pa.field("row", pa.int64()),
        pa.field("file", pa.string()),
    ]
)
"""A title that has the words: how many are whole words in it, and where it stands."""
_BEST_FIRST: Final = [("whole", "descending"), ("published_at", "descending"), ("video_id", "ascending")]
_ATTEMPTS: Final = 10
_GROUPS_AT_A_TIME: Final = 16

Result = TypeVar("Result")


def read_videos(storage: Storage, video_ids: Collection[str]) -> pd.DataFrame:
    """One row for each of these videos that is archived or staged, sorted by video_id."""
    wanted = ids_of(video_ids)
    # Staged ones first: what is merged meanwhile is then found in the archive.
    found = {row["video_id"]: row for row in _staged_rows(storage, wanted).to_pylist()}
    archived = _with_manifest(storage, partial(_archived_rows, storage, wanted))
    for row in archived.to_pylist():
        newer = found.get(row["video_id"])
        found[row["video_id"]] = (newer and standing(row, newer, STAGED)) or row
    schema = pa.schema([SCHEMA.field(name) for name in GIVEN])
    return _frame(pa.Table.from_pylist([found[video_id] for video_id in sorted(found)], schema=schema))


def find_videos(storage: Storage, query: str, limit: int) -> pd.DataFrame:
    """The best `limit` archived videos whose titles have all words of the query."""
    if not isinstance(query, str):
        raise BadInputError(f"words is {query!r:.60}: give the words of a title as one text")
    words = words_of(query)
    if not words:
        raise BadInputError(f"{query[:60]!r} has no word of two letters or more to look for")
    if not isinstance(limit, int) or limit < 1:
        raise BadInputError(f"limit is {limit}; it must be at least 1")
    return _frame(_with_manifest(storage, partial(_find, storage, words, limit)))


def ids_of_channels(storage: Storage, channel_ids: Collection[str]) -> set[str]:
    """Every video of these channels that is archived or staged; reads all their ids, a group at a time."""
    wanted = pa.array(sorted(set(channel_ids)), pa.string())

    def of_file(key: str) -> set[str]:
        found: set[str] = set()
        with files.opened(storage, key) as opened:
            for rows in files.groups(opened, ["video_id", "channel_id"]):
                found.update(rows.filter(pc.is_in(rows["channel_id"], wanted))["video_id"].to_pylist())
        return found

    found: set[str] = set()
    for key in staged_parts(storage).listed():
        with suppress(FileNotFoundError):  # merged meanwhile, and so in the archive
            found |= of_file(key)
    return found | _with_manifest(
        storage, lambda manifest: set[str]().union(*(of_file(file.key) for file in manifest.files))
    )


def _with_manifest(storage: Storage, read: Callable[[ArchiveManifest], Result]) -> Result:
    """Read by the present manifest, again when files that it named are gone since."""
    seen: Version | None = None
    for _ in range(_ATTEMPTS - 1):
        manifest, version = ArchiveManifest.of(storage)
        try:
            return read(manifest)
        except FileChangedError:
            continue
        except FileNotFoundError as error:
            if version == seen:
                raise missing_file(error) from error
            seen = version
    return read(ArchiveManifest.of(storage)[0])


def _archived_rows(storage: Storage, video_ids: Sequence[str], manifest: ArchiveManifest) -> pa.Table:
    found = [pa.schema([SCHEMA.field(name) for name in GIVEN]).empty_table()]
    for file in manifest.files:
        with files.opened(storage, file.key) as opened:
            found.append(files.rows_of(opened, video_ids, GIVEN))
    return pa.concat_tables(found)


def _staged_rows(storage: Storage, video_ids: Sequence[str]) -> pa.Table:
    found = [pa.schema([SCHEMA.field(name) for name in GIVEN]).empty_table()]
    for key in staged_parts(storage).listed():
        # merged meanwhile, and so in the archive; a broken one is for the archiver to report
        with suppress(FileNotFoundError, UnreadableFileError), files.opened(storage, key) as part:
            found.append(files.rows_of(part, video_ids, GIVEN))
    return newest_of_each(pa.concat_tables(found))


def _find(storage: Storage, words: Sequence[Word], limit: int, manifest: ArchiveManifest) -> pa.Table:
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        hits = _best(pool.map(partial(_hits, storage, words, limit), manifest.files), limit)
        held = [(file, hits.filter(pc.equal(hits["file"], file.name))) for file in manifest.files]
        rows = list(pool.map(partial(_rows_of_hits, storage), *zip(*held, strict=True))) if held else []
    schema = pa.schema([*(SCHEMA.field(name) for name in FOUND), _HIT.field("whole")])
    return pa.concat_tables([schema.empty_table(), *rows]).sort_by(_BEST_FIRST).select(FOUND)


def _hits(storage: Storage, words: Sequence[Word], limit: int, file: ArchivedFile) -> pa.Table:
    """The best of one file."""
    with files.opened(storage, file.key) as opened:
        found = [
            _hits_of_groups(opened, numbers, words, file.name)
            for numbers in chunked(range(opened.num_row_groups), _GROUPS_AT_A_TIME)
        ]
    return _best(found, limit)


def _hits_of_groups(file: pq.ParquetFile, numbers: list[int], words: Sequence[Word], name: str) -> pa.Table:
    titles = file.read_row_groups(numbers, columns=["search"], use_threads=False)["search"]
    rows: pa.Array | None = None
    # the longest is the rarest, most likely: the others are looked for in what is left
    for word in sorted(words, key=lambda word: -len(word.needle)):
        matching = pc.indices_nonzero(_contains(titles, word.needle))
        titles = titles.take(matching)
        rows = matching if rows is None else rows.take(matching)
    if rows is None or not len(rows):
        return _HIT.empty_table()
    whole = pa.array(np.zeros(len(rows), dtype=np.int64))
    for word in words:
        whole = pc.add(whole, _contains(titles, word.whole).cast(pa.int64()))
    published = file.read_row_groups(numbers, columns=["published_at"], use_threads=False)["published_at"].take(rows)
    before = sum(file.metadata.row_group(number).num_rows for number in range(numbers[0]))
    places = pc.add(rows.cast(pa.int64()), before)
    return pa.table([whole, published, places, pa.repeat(name, len(rows))], schema=_HIT)


def _rows_of_hits(storage: Storage, file: ArchivedFile, hits: pa.Table) -> pa.Table:
    """The hits of one file, with what is shown of them."""
    shown, first = [], 0
    with files.opened(storage, file.key) as opened:
        for number in range(opened.num_row_groups if hits.num_rows else 0):
            rows = opened.metadata.row_group(number).num_rows
            within = pc.and_(pc.greater_equal(hits["row"], first), pc.less(hits["row"], first + rows))
            if pc.any(within).as_py():
                here = hits.filter(within)
                table = opened.read_row_group(number, columns=FOUND).take(pc.subtract(here["row"], first))
                shown.append(table.select(FOUND).append_column(_HIT.field("whole"), here["whole"]))
            first += rows
    schema = pa.schema([*(SCHEMA.field(name) for name in FOUND), _HIT.field("whole")])
    return pa.concat_tables([schema.empty_table(), *shown])


def _contains(titles: pa.ChunkedArray, needle: str) -> pa.ChunkedArray:
    # Twice as fast as match_substring. A word has letters, marks, numbers and symbols: nothing that means something.
    return pc.match_substring_regex(titles, needle)


def _best(hits: Iterable[pa.Table], limit: int) -> pa.Table:
    """Those with the most words whole first, then the newest; those without a time behind them."""
    together = pa.concat_tables([_HIT.empty_table(), *hits])
    return together.take(pc.sort_indices(together, sort_keys=_BEST_FIRST[:2]).slice(0, limit))


def _frame(table: pa.Table) -> pd.DataFrame:
    # Nullable integers, whether nulls are among them or not: a column's type never depends on its content.
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame
