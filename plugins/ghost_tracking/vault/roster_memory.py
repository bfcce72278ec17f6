"""What is remembered of the videos of a roster chunk: their newest counts, when they were read, and what they gain.

A small file beside each chunk, by the positions of its ids, rewritten with each visit. A policy tells by it whom to
ask for (`core.policies`). It is made of what the vault has anyway, so nobody minds when it is lost: whoever is unknown
is asked for at the next visit.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pyarrow as pa

from ghost_tracking.core.fairness import CLASSES, GAIN_BORDERS, ClassSums, LivelinessSums
from ghost_tracking.core.fairness import UNKNOWN as GAINS_UNKNOWN
from ghost_tracking.core.gains import Interval, interval_to
from ghost_tracking.core.policies import DAILY_BELOW, Policy, ReadingPlan
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Tier
from ghost_tracking.core.videos import Reading
from ghost_tracking.core.worth import LATE, Sums
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout, worth
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.storage import Storage
from ghost_tracking.vault.worth import Floats

log = logging.getLogger(__name__)

UNKNOWN: Final = -1
SCHEMA: Final = pa.schema(
    [
        pa.field("views", pa.int64(), nullable=False),
        pa.field("seconds", pa.int64(), nullable=False),
        pa.field("gain_step", pa.int16(), nullable=False),
    ]
)

_STEP: Final = np.log(1.02)
"""Gains are kept in steps of 2 %: a byte each instead of four."""
_NO_GAIN_KNOWN: Final = np.iinfo(np.int16).min
_STILL: Final = _NO_GAIN_KNOWN + 1

_WEEK_HOURS: Final = 168.0
_LATE: Final = LATE.total_seconds() / 3600
_DAILY_HOURS: Final = DAILY_BELOW.total_seconds() / 3600


@dataclass(frozen=True, slots=True)
class ChunkMemory:
    """By the positions of a chunk's ids: `views`, the newest count (NaN: none is known); `seconds` since 1970 of the
    last reading (NaN: there was none); `gain` in views an hour (NaN: not known)."""

    views: Floats
    seconds: Floats
    gain: Floats

    @classmethod
    def empty(cls, length: int) -> "ChunkMemory":
        """Nothing is known of so many videos."""
        return cls(*(np.full(length, np.nan) for _ in SCHEMA))

    def __len__(self) -> int:
        return len(self.views)

    def waited(self, at: datetime) -> Floats:
        """Hours from the last readings until `at` (aware)."""
        return (at.timestamp() - self.seconds) / 3600

    def index(self, plan: ReadingPlan, at: datetime) -> Floats:
        """How much each deserves to be read at a visit at `at` (aware); see `core.worth`.

        The last one may have been some minutes later in its slot. Infinite for those that would have waited longer than
        the longest time at the next visit.
        """
        waited, longest = self.waited(at), plan.rule.longest_wait.total_seconds() / 3600
        index = worth.index(plan.rule, self.views, self.gain, waited + _LATE, np.full(len(self), _WEEK_HOURS))
        return np.where(waited + _WEEK_HOURS > longest, np.inf, index)

    def sums(self, at: datetime, positions: Sequence[int]) -> Sums:
        """Their part of the sums over all videos, as of `at` (aware)."""
        chosen = np.array(positions, dtype=np.int64)
        return worth.sums(self.views[chosen], self.gain[chosen], self.waited(at)[chosen])

    def row(self, position: int, video_id: str) -> WatchlistEntry:
        """The row that a video would have on the watchlist."""
        views, seconds, gain = self.views[position], self.seconds[position], self.gain[position]
        return WatchlistEntry(
            video_id,
            Tier.WEEKLY,
            None if np.isnan(seconds) else datetime.fromtimestamp(int(seconds), UTC),
            views=None if np.isnan(views) else int(views),
            gain_per_hour=None if np.isnan(gain) else float(gain),
        )


def load(storage: Storage, chunk: str, length: int) -> ChunkMemory:
    """What is remembered of a chunk of `length` ids; nothing where that is not there, or broken. OSError of the
    storage."""
    key = layout.roster_memory(chunk)
    try:
        table = parquet.decode(key, storage.read(key).data, SCHEMA, parquet.ROSTER)
    except FileNotFoundError:
        return ChunkMemory.empty(length)
    except UnreadableFileError as error:
        log.warning("%s: what is remembered of its videos starts over", error.message)
        return ChunkMemory.empty(length)
    if table.num_rows != length:
        log.warning("%s has %d videos in the place of %d: it starts over", key, table.num_rows, length)
        return ChunkMemory.empty(length)
    views, seconds, steps = (table[name].to_numpy().astype(np.float64) for name in SCHEMA.names)
    gain = np.where(steps == _STILL, 0.0, np.exp(steps * _STEP))
    return ChunkMemory(
        np.where(views == UNKNOWN, np.nan, views),
        np.where(seconds == UNKNOWN, np.nan, seconds),
        np.where(steps == _NO_GAIN_KNOWN, np.nan, gain),
    )


def save(storage: Storage, chunk: str, memory: ChunkMemory) -> None:
    """Remember this of a chunk, durably, whatever was remembered before."""
    with np.errstate(divide="ignore"):
        steps = np.round(np.log(memory.gain) / _STEP)
    steps = np.where(memory.gain == 0, _STILL, np.clip(steps, _STILL + 1, -_STILL))
    columns = (
        np.nan_to_num(memory.views, nan=UNKNOWN).astype(np.int64),
        np.nan_to_num(memory.seconds, nan=UNKNOWN).astype(np.int64),
        np.where(np.isnan(memory.gain), _NO_GAIN_KNOWN, np.nan_to_num(steps)).astype(np.int16),
    )
    storage.put(layout.roster_memory(chunk), parquet.encode(pa.table(list(columns), schema=SCHEMA), parquet.TRENDS))


def forget(storage: Storage, chunks: Iterable[str]) -> None:
    """Remove what is remembered of these chunks, where anything is."""
    storage.delete([layout.roster_memory(chunk) for chunk in chunks])


def taken(memory: ChunkMemory, positions: Sequence[int | None]) -> ChunkMemory:
    """What is remembered at these positions, in their order; nothing for None."""
    known = np.array([position is not None for position in positions], dtype=bool)
    where = np.array([position or 0 for position in positions], dtype=np.int64)
    return ChunkMemory(*(np.where(known, each[where], np.nan) for each in (memory.views, memory.seconds, memory.gain)))


def remembered(storage: Storage) -> list[str]:
    """The chunks of which something is remembered, those too that are no more."""
    return [name.removesuffix(layout.SUFFIX) for name in storage.children(layout.ROSTER_MEMORY)]


def carried(
    ids: Sequence[str], before: Iterable[tuple[Sequence[str], ChunkMemory]], rows: Mapping[str, WatchlistEntry]
) -> ChunkMemory:
    """What is known of the videos of a new chunk that takes the place of others, each with its ids and its memory.

    Of those that come from the watchlist what their `rows` say is known.
    """
    together = ChunkMemory.empty(len(ids))
    places = {video_id: position for position, video_id in enumerate(ids)}
    for video_id, row in rows.items():
        position = places.get(video_id)
        if position is not None and row.last_tracked_at is not None:
            together.seconds[position] = int(row.last_tracked_at.timestamp())
            together.views[position] = np.nan if row.views is None else row.views
            together.gain[position] = np.nan if row.gain_per_hour is None else row.gain_per_hour
    for old_ids, memory in before:
        pairs = [(places[video_id], old) for old, video_id in enumerate(old_ids) if video_id in places]
        new, old = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        for mine, theirs in zip(
            (together.views, together.seconds, together.gain), (memory.views, memory.seconds, memory.gain), strict=True
        ):
            mine[new] = theirs[old]
    return together


def intervals(ids: Sequence[str], memory: ChunkMemory, found: Mapping[str, Reading]) -> list[Interval]:
    """What these videos gained since the readings that are remembered of them."""
    ended = (
        interval_to(found[video_id], row.views, row.last_tracked_at)
        for position, video_id in enumerate(ids)
        if video_id in found and (row := memory.row(position, video_id)).views is not None
    )
    return [each for each in ended if each is not None]


def after(ids: Sequence[str], memory: ChunkMemory, found: Mapping[str, Reading]) -> ChunkMemory:
    """What to remember after these readings: as `core.schedule.after_reading` has it of a row."""
    counted, seconds = np.full((2, len(ids)), np.nan)
    for position, video_id in enumerate(ids):
        if (reading := found.get(video_id)) is not None:
            counted[position] = np.nan if reading.views is None else reading.views
            seconds[position] = int(reading.observed_at.timestamp())
    gain = worth.gains(memory.views, memory.gain, (seconds - memory.seconds) / 3600, counted)
    return ChunkMemory(
        np.where(np.isnan(counted), memory.views, counted), np.where(np.isnan(seconds), memory.seconds, seconds), gain
    )


def promoted(plan: ReadingPlan, before: ChunkMemory, now: ChunkMemory) -> np.ndarray:
    """The positions of the videos that are promoted where readings have made of a memory what it is now.

    As `ReadingPlan.promotes`.
    """
    if plan.promoted_for is None or not plan.is_known:
        return np.empty(0, dtype=np.int64)
    was_daily, is_daily = (_deserves_daily(plan, each) for each in (before, now))
    comes_alive = is_daily & (now.seconds > before.seconds)
    if plan.policy is Policy.TIERS:
        comes_alive &= ~np.isnan(before.gain) & ~was_daily
    return np.flatnonzero(comes_alive)


def liveliness(memory: ChunkMemory, plan: ReadingPlan, at: datetime, positions: Sequence[int]) -> LivelinessSums:
    """Who of the videos at these positions gains how much, and waits how long, as of `at` (aware).

    A chunk is visited once a week, so that none of them is read sooner, whatever its own interval.
    """
    chosen = np.array(positions, dtype=np.int64)
    views, gain, age = memory.views[chosen], memory.gain[chosen], memory.waited(at)[chosen]
    weeks = np.full(len(chosen), _WEEK_HOURS)
    waits = weeks
    if plan.is_known:
        waits = np.maximum(worth.own_interval(plan.rule, views, gain, weeks), _WEEK_HOURS)
    told = ~(np.isnan(views) | np.isnan(gain))
    classes = np.where(told, np.searchsorted(GAIN_BORDERS, np.nan_to_num(gain) * 24, side="right"), GAINS_UNKNOWN)
    found = {}
    for number in CLASSES:
        here = classes == number
        ages = age[here & ~np.isnan(age)]
        sums = (here.sum(), weeks[here].sum(), waits[here].sum(), ages.sum(), len(ages))
        found[number] = ClassSums(*map(float, sums))
    return LivelinessSums(found)


def _deserves_daily(plan: ReadingPlan, memory: ChunkMemory) -> np.ndarray:
    intervals = worth.own_interval(plan.rule, memory.views, memory.gain, np.full(len(memory), _WEEK_HOURS))
    return ~np.isnan(memory.views) & ~np.isnan(memory.gain) & (intervals <= _DAILY_HOURS)
