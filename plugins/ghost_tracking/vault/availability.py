"""Since when a video is gone, and since when it is back: one row an event, a file a month.

Tracker tasks stage parts. A publication merges them into `availability/month=YYYY-MM/availability.parquet`, the month
in UTC in which the event was found. See `period_files`.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.core.absence import AvailabilityEvent
from ghost_tracking.errors import BadInputError
from ghost_tracking.vault import layout, period_files
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.period_files import PeriodFiles, PeriodLayer
from ghost_tracking.vault.scan import ScanFilter
from ghost_tracking.vault.storage import Storage

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


class Availability(PeriodFiles):
    """The writing side on one storage."""

    def __init__(self, storage: Storage, lock_timeout: float) -> None:
        super().__init__(LAYER, storage, lock_timeout)

    def stage(self, events: Sequence[AvailabilityEvent]) -> str | None:
        """Write `events` as one durable part, and return its key; None where there are none."""
        return self.stage_table(table_of(events)) if events else None


def read(
    storage: Storage, video_ids: Collection[str] | None, start: datetime | None, end: datetime | None
) -> pd.DataFrame:
    """The events of [start, end) of these videos, published or staged, each once; sorted by video_id and time."""
    found = period_files.read(storage, LAYER, ScanFilter.checked(start, end, video_ids))
    frame: pd.DataFrame = _merged(found).to_pandas()
    return frame


def table_of(events: Sequence[AvailabilityEvent]) -> pa.Table:
    """Events as rows."""
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


LAYER: Final = PeriodLayer(
    folder=layout.AVAILABILITY,
    staged=layout.STAGED_AVAILABILITY,
    key=layout.availability,
    lock=layout.availability_lock,
    unit="month",
    holds="events",
    order="video_id and time",
    schema=SCHEMA,
    bounds=parquet.AVAILABILITY,
    options=parquet.EVENTS,
    times=_times,
    merged=_merged,
)
