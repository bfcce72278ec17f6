"""Since when a video is gone, and since when it is back: one row an event, a file a month.

Tracker tasks stage parts. A publication merges them into `availability/month=YYYY-MM/availability.parquet`, the month
in UTC in which the event was found, and deletes them only then: whoever is killed on the way leaves parts that are
merged once more, which changes nothing. A month is rewritten by each publication that has events of it.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.core.absence import AvailabilityEvent
from ghost_tracking.core.partitions import Period
from ghost_tracking.errors import (
    BadInputError,
    FileChangedError,
    PartitionBusyError,
    UnreadableFileError,
)
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.kit.manifests import Count, edit
from ghost_tracking.vault.kit.staging import StagedParts, Trouble
from ghost_tracking.vault.reports import AvailabilityReport, ExpireReport
from ghost_tracking.vault.scan import ScanFilter
from ghost_tracking.vault.storage import Storage, Version

log = logging.getLogger(__name__)

_TIME = pa.timestamp("us", tz="UTC")

SCHEMA: Final = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        pa.field("first_missed_at", _TIME),
        pa.field("confirmed_at", _TIME),
        pa.field("returned_at", _TIME),
    ]
)
"""`state` is gone or returned. The times of an `AvailabilityEvent`."""


class EventCount(NamedTuple):
    """How many events a file of so many bytes has."""

    bytes: Count
    events: Count


class Availability:
    """The writing side on one storage."""

    def __init__(self, storage: Storage, lock_timeout: float) -> None:
        self._storage = storage
        self._lock_timeout = lock_timeout

    def stage(self, events: Sequence[AvailabilityEvent]) -> str | None:
        """Write `events` as one durable part, and return its key; None where there are none."""
        if not events:
            return None
        return _parts(self._storage).stage(_encoded(_table_of(events)))

    def publish(self) -> AvailabilityReport:
        """Merge all staged parts, and delete those whose every event is published."""
        trouble = Trouble()
        parts = dict(_parts(self._storage).read(trouble))
        together = _merged(parts.values())
        report = AvailabilityReport(quarantined=tuple(trouble.quarantined), problems=tuple(trouble.problems))
        waiting: set[Period] = set()
        for month, events in _by_month(together):
            merged = self._publish_month(month, events)
            report += merged
            if not merged.complete:
                waiting.add(month)
        done = [key for key, table in parts.items() if waiting.isdisjoint(_months(table))]
        self._storage.delete(done)
        return report + AvailabilityReport(parts_merged=len(done))

    def expire(self, cutoff: datetime, *, dry_run: bool) -> ExpireReport:
        """Delete the months that ended by `cutoff`, or only count their events."""
        report = ExpireReport()
        for month in [month for month in published_months(self._storage) if month.ends_at <= cutoff]:
            key = layout.availability(month)
            events = _count(self._storage, key)
            try:
                if not dry_run:
                    self._delete(month)
            except (PartitionBusyError, FileChangedError):
                problem = f"{key} is being written by somebody else: it goes with the next run"
                report += ExpireReport(problems=(problem,))
            else:
                report += ExpireReport(availability=events)
        return report

    def _delete(self, month: Period) -> None:
        key = layout.availability(month)
        with self._storage.lock(layout.availability_lock(month), self._lock_timeout):
            version = self._storage.version(key)
            if version is not None:
                self._storage.discard(key, expecting=version)

    def _publish_month(self, month: Period, events: pa.Table) -> AvailabilityReport:
        """A month that is held, or cannot be read or written, is reported and does not stop the others."""
        key = layout.availability(month)
        try:
            with self._storage.lock(layout.availability_lock(month), self._lock_timeout):
                return self._merge(month, events)
        except (PartitionBusyError, FileChangedError):
            log.warning("%s is being written by somebody else: its events stay staged", key)
            return AvailabilityReport(busy=(month,))
        except (OSError, UnreadableFileError) as error:
            problem = f"{key} could not be published, its events stay staged: {error}"
            log.error(problem)
            return AvailabilityReport(problems=(problem,))

    def _merge(self, month: Period, events: pa.Table) -> AvailabilityReport:
        def merged(before: pa.Table) -> pa.Table:
            after = _merged([before, events])
            return after if after.num_rows > before.num_rows else before

        key = layout.availability(month)
        before, after = edit(self._storage, key, lambda: _published(self._storage, month), merged, _encoded)
        return AvailabilityReport(events_added=after.num_rows - before.num_rows)


def read(
    storage: Storage, video_ids: Collection[str] | None, start: datetime | None, end: datetime | None
) -> pd.DataFrame:
    """The events of [start, end) of these videos, published or staged, each once; sorted by video_id and time."""
    scan_filter = ScanFilter.checked(start, end, video_ids)
    # Staged ones first: what is published meanwhile is then found in its month.
    found = [_asked_for(table, scan_filter) for table in _staged(storage)]
    months = [month for month in published_months(storage) if month.meets(start, end)]
    published = [_asked_for(_published(storage, month)[0], scan_filter) for month in months]
    frame: pd.DataFrame = _merged([*published, *found]).to_pandas()
    return frame


def survey(storage: Storage, known: Mapping[str, EventCount]) -> dict[str, Any]:
    """What names and sizes tell: `files`, `events`, `bytes`, `staged_parts`, `unreadable` (a list); see `counted`."""
    found, unreadable = counted(storage, known)
    return {
        "files": len(found),
        "events": sum(each.events for each in found.values()),
        "bytes": sum(each.bytes for each in found.values()),
        "staged_parts": len(_parts(storage).listed()),
        "unreadable": unreadable,
    }


def counted(storage: Storage, known: Mapping[str, EventCount]) -> tuple[dict[str, EventCount], list[str]]:
    """How many events each month's file has, by its key, and a sentence for each that cannot be read.

    Those of `known` that still have their size are taken from there; of any other the footer is read.
    """
    sizes = dict(storage.walk(layout.AVAILABILITY))
    found: dict[str, EventCount] = {}
    unreadable = []
    for key in (key for key in map(layout.availability, months_of(sizes)) if key in sizes):
        count = known.get(key)
        if count is not None and count.bytes == sizes[key]:
            found[key] = count
            continue
        try:
            with parquet.wrap_read_errors(key), storage.open(key) as file:
                rows = parquet.rows_of(file, parquet.AVAILABILITY)
                found[key] = EventCount(file.seek(0, 2), rows)
        except FileNotFoundError:
            continue
        except (UnreadableFileError, FileChangedError) as error:
            unreadable.append(error.message)
        except OSError as error:
            unreadable.append(f"{key}: {error}")
    return found, unreadable


def verify(storage: Storage) -> list[str]:
    """Read every published event; a sentence for each file that is not as it should be."""
    return [problem for month in published_months(storage) if (problem := problem_of(storage, month))]


def problem_of(storage: Storage, month: Period) -> str | None:
    """What is wrong with a month's file, told by all of it; None where there is no file."""
    try:
        table, _ = _published(storage, month)
    except UnreadableFileError as error:
        return error.message
    except OSError as error:
        return f"{layout.availability(month)}: {error}"
    if table.equals(_merged([table])):
        return None
    return f"{layout.availability(month)} is not sorted by video_id and time, or has an event twice"


def _table_of(events: Sequence[AvailabilityEvent]) -> pa.Table:
    try:
        return pa.table({name: list(map(attrgetter(name), events)) for name in SCHEMA.names}, schema=SCHEMA)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise BadInputError(f"These events do not fit the vault's schema: {error}") from error


def _times(table: pa.Table) -> pa.ChunkedArray:
    """When each event was found: what its month goes by, and a part of its key."""
    return pc.coalesce(table["returned_at"], table["confirmed_at"])


def _merged(tables: Iterable[pa.Table]) -> pa.Table:
    """All events, each once: of those with the same key the first; sorted by video_id and time."""
    table = pa.concat_tables([SCHEMA.empty_table(), *tables])
    keys = pa.table({"video_id": table["video_id"], "at": _times(table), "state": table["state"]})
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])  # stable
    if len(order) > 1:
        keys = keys.take(order)
        again = [pc.equal(keys[name].slice(1), keys[name].slice(0, len(order) - 1)) for name in keys.column_names]
        fresh = pc.invert(pc.and_(pc.and_(again[0], again[1]), again[2])).combine_chunks()
        order = order.filter(pa.concat_arrays([pa.array([True]), fresh]))
    return table.take(order).combine_chunks()


def _by_month(table: pa.Table) -> Iterator[tuple[Period, pa.Table]]:
    first_days = _first_days(table)
    for first in sorted(first_days.unique().to_pylist()):
        yield Period.month(first.date()), table.filter(pc.equal(first_days, pa.scalar(first, _TIME)))


def _months(table: pa.Table) -> set[Period]:
    return {Period.month(first.date()) for first in _first_days(table).unique().to_pylist()}


def _first_days(table: pa.Table) -> pa.ChunkedArray:
    return pc.floor_temporal(_times(table), unit="month")


def _asked_for(table: pa.Table, scan_filter: ScanFilter) -> pa.Table:
    if scan_filter.video_ids is not None:
        table = table.filter(pc.is_in(table["video_id"], pa.array(scan_filter.video_ids, pa.string())))
    if scan_filter.start is not None:
        table = table.filter(pc.greater_equal(_times(table), pa.scalar(scan_filter.start, _TIME)))
    if scan_filter.end is not None:
        table = table.filter(pc.less(_times(table), pa.scalar(scan_filter.end, _TIME)))
    return table


def _parts(storage: Storage) -> StagedParts:
    return StagedParts(storage, layout.STAGED_AVAILABILITY, _decoded)


def _staged(storage: Storage) -> Iterator[pa.Table]:
    parts = _parts(storage)
    for key in parts.listed():
        # published meanwhile, and so in its month; a broken one is for the publisher to report
        with suppress(FileNotFoundError, UnreadableFileError):
            yield parts.load(key)


def months_of(keys: Iterable[str]) -> list[Period]:
    """The months that these files are of, in order."""
    return _of_folders(sorted({key.split("/")[1] for key in keys if key.count("/") == 2}))


def published_months(storage: Storage) -> list[Period]:
    """The months that have a folder."""
    return _of_folders(storage.children(layout.AVAILABILITY))


def _of_folders(names: Iterable[str]) -> list[Period]:
    months = []
    for name in names:
        with suppress(ValueError):
            month = Period.parse(name.removeprefix("month="))
            months += [month] if month.path == name else []
    return months


def _published(storage: Storage, month: Period) -> tuple[pa.Table, Version | None]:
    """A month's events, and which version of its file that was; none and None where there is no file.

    UnreadableFileError with its name for one that is broken, or holds events of another month.
    """
    key = layout.availability(month)
    try:
        blob = storage.read(key)
    except FileNotFoundError:
        return SCHEMA.empty_table(), None
    table = _decoded(key, blob.data)
    if not _months(table) <= {month}:
        raise UnreadableFileError(f"{key} holds events of another month", key=key)
    return table, blob.version


def _count(storage: Storage, key: str) -> int:
    """How many events a file has; 0 for one that is broken or gone."""
    try:
        with parquet.wrap_read_errors(key), storage.open(key) as file:
            return parquet.rows_of(file, parquet.AVAILABILITY)
    except (FileNotFoundError, UnreadableFileError, FileChangedError):
        return 0


def _encoded(table: pa.Table) -> bytes:
    return parquet.encode(table, parquet.EVENTS)


def _decoded(key: str, data: bytes) -> pa.Table:
    """All events of a file; UnreadableFileError with its name when it is broken, SchemaDriftError for other columns."""
    table = parquet.decode(key, data, SCHEMA, parquet.AVAILABILITY)
    if table["video_id"].null_count or _times(table).null_count:
        raise UnreadableFileError(f"{key} has events without video_id or without a time", key=key)
    return table
