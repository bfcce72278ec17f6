"""Where videos came from: one row a video, source and day, the first time of that day; a file a day.

The hunter's tasks stage parts. A publication merges them into `discoveries/date=YYYY-MM-DD/discoveries.parquet`, the
UTC day of `named_at`. See `period_files`. A source that names a video all day long adds one row a day, so a day has at
most 50 rows for each page that was asked for.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from more_itertools import chunked

from ghost_tracking.core.origins import Discovered
from ghost_tracking.errors import BadInputError
from ghost_tracking.vault import layout, period_files
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.period_files import PeriodFiles, PeriodLayer
from ghost_tracking.vault.scan import ScanFilter
from ghost_tracking.vault.storage import Storage

SCHEMA: Final = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("source_kind", pa.string(), nullable=False),
        pa.field("source_key", pa.string(), nullable=False),
        pa.field("region", pa.string()),
        pa.field("language", pa.string()),
        pa.field("category_id", pa.string()),
        pa.field("within_channel_id", pa.string()),
        pa.field("rank", pa.int32()),
        pa.field("page", pa.int32()),
        pa.field("named_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("run_id", pa.string()),
    ]
)
"""The columns of an `Origin`, of a `Place` and of a `Discovered`."""

ROWS_A_PART: Final = 100_000
ROWS_A_BATCH: Final = 131_072

_SOURCE: Final = ("source_kind", "source_key", "region", "language", "category_id", "within_channel_id")
_SEPARATOR: Final = "\x1f"
"""Only a key can have it in it, and that stands between a kind and four columns that cannot."""
_PANDAS: Final[dict[pa.DataType, Any]] = {pa.int32(): pd.Int32Dtype()}


class Discoveries(PeriodFiles):
    """The writing side on one storage."""

    def __init__(self, storage: Storage, lock_timeout: float) -> None:
        super().__init__(LAYER, storage, lock_timeout)

    def stage(self, discovered: Iterable[Discovered]) -> list[str]:
        """Write discoveries as durable parts of at most `ROWS_A_PART` rows, and return their keys."""
        parts = (self.stage_table(table_of(rows)) for rows in chunked(discovered, ROWS_A_PART))
        return [key for key in parts if key is not None]


def read(
    storage: Storage, video_ids: Collection[str] | None, start: datetime | None, end: datetime | None
) -> pd.DataFrame:
    """The discoveries of [start, end) of these videos, published or staged; by day, source, time and rank."""
    found = list(period_files.read(storage, LAYER, ScanFilter.checked(start, end, video_ids)))
    frame: pd.DataFrame = pa.concat_tables([SCHEMA.empty_table(), *found]).to_pandas(types_mapper=_PANDAS.get)
    return frame


def read_batches(
    storage: Storage, video_ids: Collection[str] | None, start: datetime | None, end: datetime | None
) -> Iterator[pa.RecordBatch]:
    """As `read`, in batches of at most `ROWS_A_BATCH` rows; holds one day, and what is staged."""
    found = period_files.read(storage, LAYER, ScanFilter.checked(start, end, video_ids))
    return (batch for table in found for batch in table.to_batches(max_chunksize=ROWS_A_BATCH))


def table_of(discovered: Sequence[Discovered]) -> pa.Table:
    """Discoveries as rows."""
    columns = {
        "video_id": [each.video_id for each in discovered],
        "source_kind": [each.origin.kind for each in discovered],
        "source_key": [each.origin.key for each in discovered],
        "region": [each.origin.region for each in discovered],
        "language": [each.origin.language for each in discovered],
        "category_id": [each.origin.category_id for each in discovered],
        "within_channel_id": [each.origin.within_channel_id for each in discovered],
        "rank": [each.place and each.place.rank for each in discovered],
        "page": [each.place and each.place.page for each in discovered],
        "named_at": [each.named_at for each in discovered],
        "run_id": [each.run_id for each in discovered],
    }
    try:
        return pa.table(columns, schema=SCHEMA)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise BadInputError(f"These discoveries do not fit the vault's schema: {error}") from error


def _times(table: pa.Table) -> pa.ChunkedArray:
    return table["named_at"]


def _merged(tables: Iterable[pa.Table]) -> pa.Table:
    """Of each video, source and day the first row; sorted by source, time, rank and video_id."""
    table = pa.concat_tables([SCHEMA.empty_table(), *tables])
    keys = pa.table(
        {
            "source": _numbered(table),
            "video_id": table["video_id"],
            "named_at": table["named_at"],
            "rank": table["rank"],
            "day": pc.floor_temporal(table["named_at"], unit="day"),
        }
    )
    order = _sorted(keys, "source", "video_id", "named_at", "rank")
    keys = keys.take(order)
    if keys.num_rows > 1:
        same = [
            pc.equal(keys[name].slice(1), keys[name].slice(0, keys.num_rows - 1))
            for name in ("source", "video_id", "day")
        ]
        fresh = pc.invert(pc.and_(pc.and_(same[0], same[1]), same[2])).combine_chunks()
        first = pa.concat_arrays([pa.array([True]), fresh])
        order, keys = order.filter(first), keys.filter(first)
    return table.take(order.take(_sorted(keys, "source", "named_at", "rank", "video_id"))).combine_chunks()


def _sorted(keys: pa.Table, *names: str) -> pa.Array:
    """The places of rows in this order; nulls come last, and what is equal stays in order."""
    return pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in names])


def _numbered(table: pa.Table) -> pa.ChunkedArray:
    """A number for each row's source, in the order of their words: numbers are compared much faster."""
    columns = (pc.fill_null(table[name], "") for name in _SOURCE)
    sources = pc.binary_join_element_wise(*columns, _SEPARATOR)
    known = sources.unique()
    return pc.index_in(sources, known.take(pc.sort_indices(known)))


LAYER: Final = PeriodLayer(
    folder=layout.DISCOVERIES,
    staged=layout.STAGED_DISCOVERIES,
    key=layout.discoveries,
    lock=layout.discoveries_lock,
    unit="day",
    holds="rows",
    order="source, time and rank",
    schema=SCHEMA,
    bounds=parquet.DISCOVERIES,
    options=parquet.DAY_OF_DISCOVERIES,
    times=_times,
    merged=_merged,
    rows_a_group=ROWS_A_BATCH,
)
