"""The largest gains of many intervals, as Arrow tables: which to keep, and what those that go had gained at most.

Of every window the intervals count that can tell what was gained in it (`core.gains.longest`), by what they gained
scaled to it. What is left out is remembered as a bound: so whoever adds up what was kept knows how much may be missing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.core.gains import WINDOWS, Interval, longest
from ghost_tracking.vault.points.tables import Numbers, numbers

_TIME: Final = pa.timestamp("us", tz="UTC")
SCHEMA: Final = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("since", _TIME, nullable=False),
        pa.field("until", _TIME, nullable=False),
        pa.field("before", pa.int64(), nullable=False),
        pa.field("after", pa.int64(), nullable=False),
    ]
)
"""An `Interval` a row."""

Scaled = npt.NDArray[np.float64]
PerWindow = tuple[float, ...]
"""A number for each of `WINDOWS`, in their order."""

NOTHING: Final[PerWindow] = (0.0,) * len(WINDOWS)
_MICROSECOND: Final = timedelta(microseconds=1)


def table_of(intervals: Sequence[Interval]) -> pa.Table:
    """The intervals as a table, in their order."""
    return pa.table({name: [getattr(each, name) for each in intervals] for name in SCHEMA.names}, schema=SCHEMA)


def scaled(table: pa.Table, window: timedelta) -> Scaled:
    """What each interval gained in a window; not a number (NaN) where it cannot tell."""
    length = numbers(table["until"]) - numbers(table["since"])
    gained = numbers(table["after"]).astype(np.float64) - numbers(table["before"])
    span = window // _MICROSECOND
    found = gained * (span / np.maximum(span, length))
    return np.where(length <= longest(window) // _MICROSECOND, found, np.nan)


def counts(table: pa.Table) -> tuple[int, ...]:
    """How many intervals can tell what was gained in each of `WINDOWS`."""
    return tuple(int(np.count_nonzero(~np.isnan(scaled(table, window)))) for window in WINDOWS.values())


def largest(table: pa.Table, most: int) -> tuple[pa.Table, PerWindow]:
    """The intervals that are among the `most` with the largest gains of any window, and what the others gained at most.

    Those that gained nothing go: they add nothing to a sum.
    """
    gained = [np.nan_to_num(scaled(table, window), nan=0.0) for window in WINDOWS.values()]
    kept = np.zeros(table.num_rows, dtype=bool)
    for each in gained:
        order = np.argpartition(-each, most)[:most] if len(each) > most else np.arange(len(each))
        kept[order[each[order] > 0]] = True
    left = tuple(float(each[~kept].max(initial=0.0)) for each in gained)
    return table.filter(pa.array(kept)), left


def joined(first: Iterable[float], second: Iterable[float]) -> PerWindow:
    """The larger of both bounds for each window."""
    return tuple(map(max, first, second))


def each_once(table: pa.Table) -> pa.Table:
    """The intervals by video and end, each once, as the first that has it has it; sorted by them."""
    order = pc.sort_indices(table, sort_keys=[("video_id", "ascending"), ("until", "ascending")])  # stable
    ordered = table.take(order)
    if ordered.num_rows < 2:
        return ordered
    keys = [ordered["video_id"], ordered["until"]]
    again = [pc.equal(each.slice(1), each.slice(0, len(each) - 1)) for each in keys]
    fresh = pc.invert(pc.and_(*again)).combine_chunks()
    return ordered.filter(pa.concat_arrays([pa.array([True]), fresh]))


def ended_within(table: pa.Table, begin: datetime, end: datetime) -> pa.Table:
    """The intervals that ended after `begin` and not after `end` (aware)."""
    until = table["until"]
    return table.filter(
        pc.and_(pc.greater(until, pa.scalar(begin, _TIME)), pc.less_equal(until, pa.scalar(end, _TIME)))
    )


def sums(table: pa.Table, window: timedelta) -> tuple[pa.Array, Scaled]:
    """The videos that gained anything in a window, and how much in all of these intervals in which they did."""
    gained = np.nan_to_num(scaled(table, window), nan=0.0)
    table, gained = table.filter(pa.array(gained > 0)), gained[gained > 0]
    encoded = table["video_id"].combine_chunks().dictionary_encode()
    codes: Numbers = encoded.indices.to_numpy()
    total = np.bincount(codes, weights=gained, minlength=len(encoded.dictionary))
    return encoded.dictionary, total.astype(np.float64)
