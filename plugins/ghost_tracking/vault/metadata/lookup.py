"""Finding given videos in the archive: which of its files have them, opening as few as can be.

Ids are random, so any file may have any of them. What tells files apart is the publish times of their videos, where the
caller knows that of a video, and the digests of ids in their indexes. A video stands once in the archive: whoever has
found it looks no further.
"""

import os
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ghost_tracking.vault.metadata import files, words
from ghost_tracking.vault.metadata.manifest import ArchivedFile
from ghost_tracking.vault.storage import Storage

Numbers = npt.NDArray[Any]

Published = Collection[str] | Mapping[str, datetime | None]
"""Ids of videos; as a mapping with their publish times (aware; None: unknown) as points and schedule tell them."""

_SOON: Final = timedelta(days=8)
"""Within which most videos are discovered."""
_FEW: Final = 8
"""Ids that are found in a file faster than by its index."""
_FIRST_WAVE: Final = 4
_LAST_WAVE: Final = 64
_THREADS: Final = 4
_REQUESTS: Final = 16
"""At a time, of an object store: what takes time there is waiting. Also the most files that a verb has open."""


def found_in(
    storage: Storage, held: Sequence[ArchivedFile], known: Published, columns: Sequence[str], *, trusting: bool
) -> Iterator[tuple[ArchivedFile, pa.Table]]:
    """Each file that has some of these videos, and these columns of their rows.

    Files that were written soon after a known publish time come first, then the newest; none once all are found.
    `trusting`: those that have no video of about the publish time of any are left out; else that only orders them.
    Raises as `files.opened`. Holds what it finds in up to 64 files, and a row group a thread.
    """
    wanted = _Wanted(known)
    order = _likely_first(held, wanted.published)
    with reading_threads(storage) as pool:
        start, many = 0, _FIRST_WAVE
        while start < len(order) and wanted.left.any():
            wave = order[start : start + many]
            asked = [wanted.of(file, trusting=trusting) for file in wave]
            for file, rows in zip(wave, pool.map(partial(_rows, storage, wanted, columns), wave, asked), strict=True):
                if rows is not None and rows.num_rows:
                    wanted.note(rows["video_id"])
                    yield file, rows.select(list(columns))
            start, many = start + many, min(_LAST_WAVE, many * 2)


def reading_threads(storage: Storage) -> ThreadPoolExecutor:
    """As many as a search or a look-up has files open at a time."""
    return ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1) if storage.keeps_others_out else _REQUESTS)


class _Wanted:
    """The videos that are looked for, in the order of their digests, and which of them are not found yet."""

    def __init__(self, known: Published) -> None:
        ids = list(dict.fromkeys(known))
        digests = words.digests_of(pa.array(ids, pa.string()))
        order = np.argsort(digests).tolist()
        self.ids = [ids[place] for place in order]
        self.digests = digests[order]
        self.left = np.ones(len(ids), dtype=bool)
        self.published = [known[each] if isinstance(known, Mapping) else None for each in self.ids]
        months = [at and at.replace(day=1, hour=0, minute=0, second=0, microsecond=0) for at in self.published]
        self._months = list(dict.fromkeys(months))
        places = {month: place for place, month in enumerate(self._months)}
        self._month_of = np.array([places[month] for month in months], dtype=np.int64)
        self._place = {video_id: place for place, video_id in enumerate(self.ids)}

    def of(self, file: ArchivedFile, *, trusting: bool) -> Numbers:
        """The places of those that are to be looked for in a file."""
        if not trusting:
            return np.flatnonzero(self.left)
        may_hold = np.array([file.may_hold(month) for month in self._months], dtype=bool)
        return np.flatnonzero(self.left & may_hold[self._month_of])

    def note(self, found: pa.ChunkedArray) -> None:
        """These need not be looked for any more."""
        self.left[[self._place[video_id] for video_id in found.to_pylist()]] = False


def _rows(
    storage: Storage, wanted: _Wanted, columns: Sequence[str], file: ArchivedFile, asked: Numbers
) -> pa.Table | None:
    """Of one file the rows of those videos that it has; None where it certainly has none."""
    if len(asked) > _FEW:
        held = words.by_index(storage, file, lambda index: index.may_hold(wanted.digests[asked]))
        asked = asked if held is None else asked[held]
    if not len(asked):
        return None
    names = list(dict.fromkeys(["video_id", *columns]))
    with files.opened(storage, file.key) as opened:
        return files.rows_of(opened, sorted(wanted.ids[place] for place in asked.tolist()), names)


def _likely_first(held: Sequence[ArchivedFile], published: Iterable[datetime | None]) -> list[ArchivedFile]:
    """The files, first those that were discovered soon after one of these publish times, then the newest."""
    times = sorted(at for at in published if at is not None)

    def is_likely(file: ArchivedFile) -> bool:
        place = bisect_left(times, file.oldest - _SOON)
        return place < len(times) and times[place] <= (file.newest or file.oldest)

    newest = sorted(held, key=lambda file: file.newest or file.oldest, reverse=True)
    return sorted(newest, key=lambda file: not is_likely(file))
