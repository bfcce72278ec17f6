"""The newest points, as one stream sorted by id, or of given videos.

The shards of `latest/` have seen most of the history. What they may not have seen comes of the history's own files,
which are sorted by id as well and tell the last point of each segment without its others; so do all points of ids that
no shard has. Hours that are not compacted, or that may have more than the history, are read first: a point leaves a
file only when the manifest says that the history has it, and shards have nothing that the history had not.

Points that have expired are left out, whichever files still have them.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.core.arguments import ids_of
from ghost_tracking.core.partitions import Period
from ghost_tracking.errors import BadInputError, FileChangedError
from ghost_tracking.vault import scan
from ghost_tracking.vault.history.manifest import HistoryFile, HistoryManifest
from ghost_tracking.vault.history.manifest import current as current_history
from ghost_tracking.vault.history.reader import HistoryReader
from ghost_tracking.vault.latest.lookup import looked_up
from ghost_tracking.vault.latest.manifest import Span, current
from ghost_tracking.vault.latest.merging import Stream, overlaid, runs, within
from ghost_tracking.vault.latest.shards import ShardReader
from ghost_tracking.vault.points import tables
from ghost_tracking.vault.storage import Storage

_BATCH: Final = 128 * 1024
"""Rows of the largest batch that is handed out."""
_FEW: Final = 2_000
"""Videos that are looked up one by one; of more, the layers are read from the first to the last."""
_ATTEMPTS: Final = 20
_ONE_RANGE: Final = 20_000_000
"""Points of a history that is small enough to be one range, where there are no shards."""
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
    history, _ = current_history(storage)
    small = sum(each.points for each in history.files) < _ONE_RANGE
    found: list[tuple[str, str | None]] = []
    for span in current(storage).spans():
        inside = [] if small or span.shard else [each for each in _FIRST_CHARACTERS[1:] if _is_inside(each, span)]
        found += zip([span.first, *inside], [*inside, span.end], strict=True)
    return found


def of_history(storage: Storage, history: HistoryManifest, span: Span) -> Stream:
    """The newest points of a span in the history, those that have not expired, by id, each id once.

    Holds a row group of the shard, and one or a few of each period that the shard lacks, at a time. Of more than 64
    periods some are merged into temporary files first.
    """
    shard = span.shard
    periods = history.periods if shard is None else shard.lacking(history)
    with runs() as several:
        merged = several.merge(_streams(storage, history, periods, span.first, span.end))
        if shard is not None:
            merged = overlaid(ShardReader(storage, shard).between(span.first, span.end), merged)
        yield from alive(merged, history.expired_before)


def alive(stream: Stream, expired_before: dt.datetime | None) -> Stream:
    """The points of a stream that have not expired."""
    if expired_before is None:
        yield from stream
        return
    for table in stream:
        yield tables.within(table, expired_before, None)


def _require_range(first: str, end: str | None) -> None:
    if not isinstance(first, str) or not isinstance(end, str | None):
        raise BadInputError(f"first and end are ids, not {first!r:.40} and {end!r:.40}")
    if end is not None and end < first:
        raise BadInputError(f"end {end!r:.40} lies before first {first!r:.40}: swap them")


def _is_inside(border: str, span: Span) -> bool:
    return span.first < border and (span.end is None or border < span.end)


def _of_ids(storage: Storage, ids: Sequence[str]) -> Stream:
    if len(ids) > _FEW:
        wanted = pa.array(ids, pa.string())
        for table in _of_range(storage, ids[0], f"{ids[-1]}\0"):
            yield table.filter(pc.is_in(table["video_id"], wanted))
    elif ids:
        yield scan.at_one_moment(lambda: looked_up(storage, ids))


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
    with runs() as several:
        hours = several.sort(_hours(storage, first, end))
        latest = current(storage)
        # after the shards: what they include of another history, they lack of this one
        history, _ = current_history(storage)
        compacted = (table for span in latest.spans(first, end) for table in of_history(storage, history, span))
        yield from overlaid(compacted, alive(several.merge(hours), history.expired_before))


def _streams(
    storage: Storage, history: HistoryManifest, periods: Sequence[Period], first: str, end: str | None
) -> list[Stream]:
    """A stream for each of these periods that has any of the ids."""
    streams: list[Stream] = []
    for period in periods:
        files = sorted(history.files_of(period), key=lambda each: (each.period, each.first))
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
