"""The newest points, as one stream sorted by id, or of given videos.

What is compacted comes of the history, whose files are sorted by id and tell the last point of each segment without its
others. Hours that are not compacted, or that may have more than the history, are read first, and judged by the history
as it is then: a point leaves a file only when the manifest says that the history has it.
"""

import bisect
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.core.arguments import ids_of
from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.errors import BadInputError, FileChangedError
from ghost_tracking.vault import scan
from ghost_tracking.vault.history.files import files_of_videos, latest_of
from ghost_tracking.vault.history.manifest import HistoryFile, HistoryManifest, current
from ghost_tracking.vault.history.reader import HistoryReader
from ghost_tracking.vault.latest.merging import Stream, newest, newest_of, within
from ghost_tracking.vault.latest.runs import SortedRuns
from ghost_tracking.vault.points import tables
from ghost_tracking.vault.storage import Storage

_BATCH: Final = 128 * 1024
"""Rows of the largest batch that is handed out."""
_FEW: Final = 2_000
"""Videos that are looked up one by one; of more, the layers are read from the first to the last."""
_ATTEMPTS: Final = 20
_ONE_RANGE: Final = 20_000_000
"""Points of a history that is small enough to be one range."""
_FIRST_CHARACTERS: Final = sorted("-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")


def read_batches(
    storage: Storage,
    video_ids: Collection[str] | None = None,
    *,
    first: str = "",
    end: str | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """See `Vault.read_latest_batches`."""
    chosen = scan.chosen_columns(columns)
    _require_range(first, end)
    if video_ids is None:
        stream = _of_range(storage, first, end)
    else:
        ids = [each for each in ids_of(video_ids) if each >= first and (end is None or each < end)]
        stream = _of_ids(storage, ids)
    return (batch for table in stream for batch in table.select(chosen).to_batches(max_chunksize=_BATCH))


def read_table(storage: Storage, video_ids: Collection[str] | None) -> pa.Table:
    """The newest point of each of these videos (None: of all), sorted by video_id."""
    return tables.concat(_of_range(storage, "", None) if video_ids is None else _of_ids(storage, ids_of(video_ids)))


def id_ranges(storage: Storage) -> list[tuple[str, str | None]]:
    """See `Vault.id_ranges`."""
    manifest, _ = current(storage)
    borders = [] if sum(each.points for each in manifest.files) < _ONE_RANGE else _FIRST_CHARACTERS[1:]
    return list(zip(["", *borders], [*borders, None], strict=True))


def _require_range(first: str, end: str | None) -> None:
    if not isinstance(first, str) or not isinstance(end, str | None):
        raise BadInputError(f"first and end are ids, not {first!r:.40} and {end!r:.40}")
    if end is not None and end < first:
        raise BadInputError(f"end {end!r:.40} lies before first {first!r:.40}: swap them")


def _of_ids(storage: Storage, ids: Sequence[str]) -> Stream:
    if len(ids) > _FEW:
        wanted = pa.array(ids, pa.string())
        for table in _of_range(storage, ids[0], f"{ids[-1]}\0"):
            yield table.filter(pc.is_in(table["video_id"], wanted))
    elif ids:
        yield scan.at_one_moment(lambda: _looked_up(storage, ids))


def _of_range(storage: Storage, first: str, end: str | None) -> Stream:
    """The newest points of a range of ids. Where a file goes before its turn, what follows is read again."""
    attempts = 0
    while True:
        try:
            for table in _merged(storage, first, end):
                if table.num_rows:
                    yield table
                    first, attempts = f"{table['video_id'][-1].as_py()}\0", 0
            return
        except (FileNotFoundError, FileChangedError):
            attempts += 1
            if attempts == _ATTEMPTS:
                raise


def _merged(storage: Storage, first: str, end: str | None) -> Stream:
    with closing(SortedRuns(_hours(storage, first, end))) as runs:
        manifest, _ = current(storage)
        yield from newest([*_of_history(storage, manifest, manifest.periods, first, end), *runs.streams()])


def _of_history(
    storage: Storage, manifest: HistoryManifest, periods: Sequence[Period], first: str, end: str | None
) -> list[Stream]:
    """A stream for each of these periods."""
    streams: list[Stream] = []
    for period in periods:
        files = sorted(manifest.files_of(period), key=lambda each: (each.period, each.first))
        for _, same in groupby(files, key=lambda each: each.period):
            met = [each for each in same if each.last >= first and (end is None or each.first < end)]
            streams += [_chained(storage, met, first, end)] if met else []
    return streams


def _chained(storage: Storage, files: Sequence[HistoryFile], first: str, end: str | None) -> Stream:
    for each in files:
        yield from HistoryReader.of(storage, each).lasts_between(first, end)


def _hours(storage: Storage, first: str, end: str | None) -> Stream:
    """The points of the range in files of hours that may have what the history lacks, the newest hour first."""
    for hour in reversed(scan.hours_beside_history(storage)):
        yield within(scan.points_of_hour_file(storage, hour), first, end)


def _looked_up(storage: Storage, ids: Sequence[str]) -> pa.Table:
    """The newest points of a few videos, from the newest of the hours and periods that have each of them."""
    manifest, version = current(storage)
    periods = manifest.periods
    hours: dict[Period | Partition, list[Partition]] = {}
    for hour in scan.hours_beside_history(storage):
        hours.setdefault(_period_of(hour, periods) or hour, []).append(hour)
    left, found = set(ids), list[pa.Table]()
    for each in sorted({*periods, *hours}, key=lambda each: each.starts_at, reverse=True):
        if not left:
            break
        wanted = sorted(left)
        tables_of = [scan.points_of_hour_file(storage, hour, wanted) for hour in hours.get(each, ())]
        if isinstance(each, Period):
            near = files_of_videos(manifest.files_of(each), wanted)
            tables_of = [latest_of(storage, near, wanted), *tables_of]
        found += tables_of
        left.difference_update(*(table["video_id"].to_pylist() for table in tables_of))
    if current(storage)[1] != version:
        raise FileChangedError("the history was compacted again while the newest points were looked up")
    return newest_of([tables.concat(found)])


def _period_of(hour: Partition, periods: Sequence[Period]) -> Period | None:
    """The period of the history in whose span an hour lies."""
    place = bisect.bisect_right(periods, hour.date, key=lambda period: period.first)
    return periods[place - 1] if place and hour in periods[place - 1] else None
