"""The rule of promotion (`core.promotion`) for all videos of a roster chunk at once, and what it remembers of them.

A small file beside each chunk, by the positions of its ids, rewritten with each read, also where nothing is promoted:
it tells what the videos gain, too. It is made of what the vault has anyway, so nobody minds when it is lost: after two
more readings it is as it was.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pyarrow as pa

from ghost_tracking.core.gains import Interval, interval_to
from ghost_tracking.core.promotion import FALLEN_FOR, SHORTEST, PromotionRule
from ghost_tracking.core.videos import Reading
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.points.tables import Numbers
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)

UNKNOWN: Final = -1
SCHEMA: Final = pa.schema([pa.field(name, pa.int64(), nullable=False) for name in ("views", "seconds", "gain_a_day")])

_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class TrendState:
    """By the positions of a chunk's ids, `UNKNOWN` where it is not known.

    `views`: the highest count; `seconds` since 1970 of the reading that had it; `gain_a_day`: what the video had gained
    until then in whole views a day.
    """

    views: Numbers
    seconds: Numbers
    gain_a_day: Numbers

    @classmethod
    def empty(cls, length: int) -> "TrendState":
        """Nothing is known of so many videos."""
        return cls(*(np.full(length, UNKNOWN, dtype=np.int64) for _ in SCHEMA))


def load(storage: Storage, chunk: str, length: int) -> TrendState | None:
    """What is remembered of a chunk of `length` ids; None where that is nothing, or broken. OSError of the storage."""
    key = layout.promotion(chunk)
    try:
        table = parquet.decode(key, storage.read(key).data, SCHEMA, parquet.ROSTER)
    except FileNotFoundError:
        return None
    except UnreadableFileError as error:
        log.warning("%s: what is remembered of its videos starts over", error.message)
        return None
    if table.num_rows != length:
        log.warning("%s has %d videos in the place of %d: it starts over", key, table.num_rows, length)
        return None
    return TrendState(*(table[name].to_numpy() for name in SCHEMA.names))


def save(storage: Storage, chunk: str, memory: TrendState) -> None:
    """Remember this of a chunk, durably, whatever was remembered before."""
    table = pa.table([memory.views, memory.seconds, memory.gain_a_day], schema=SCHEMA)
    storage.put(layout.promotion(chunk), parquet.encode(table, parquet.TRENDS))


def forget(storage: Storage, chunks: Iterable[str]) -> None:
    """Remove what is remembered of these chunks, where anything is."""
    storage.delete([layout.promotion(chunk) for chunk in chunks])


def taken(memory: TrendState, positions: Sequence[int | None]) -> TrendState:
    """What is remembered at these positions, in their order; nothing for None."""
    known = np.array([position is not None for position in positions], dtype=bool)
    where = np.array([position or 0 for position in positions], dtype=np.int64)
    return TrendState(*(np.where(known, getattr(memory, name)[where], UNKNOWN) for name in SCHEMA.names))


def remembered(storage: Storage) -> list[str]:
    """The chunks of which something is remembered, those too that are no more."""
    return [name.removesuffix(layout.SUFFIX) for name in storage.children(layout.PROMOTION)]


def carried(
    ids: Sequence[str],
    before: Iterable[tuple[Sequence[str], TrendState | None]],
    counts: Mapping[str, tuple[int, datetime]],
) -> TrendState:
    """What is known of the videos of a new chunk that takes the place of others, each with its ids and its memory.

    Of those that come from the watchlist the last `counts` are known, and when (aware) they were read.
    """
    together = TrendState.empty(len(ids))
    for position, video_id in enumerate(ids):
        if video_id in counts:
            views, read_at = counts[video_id]
            together.views[position], together.seconds[position] = views, int(read_at.timestamp())
    places = {video_id: position for position, video_id in enumerate(ids)}
    for old_ids, memory in before:
        if memory is None:
            continue
        pairs = [(places[video_id], old) for old, video_id in enumerate(old_ids) if video_id in places]
        new, old = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        together.views[new], together.seconds[new] = memory.views[old], memory.seconds[old]
        together.gain_a_day[new] = memory.gain_a_day[old]
    return together


def counted(ids: Sequence[str], found: Mapping[str, Reading]) -> tuple[Numbers, Numbers]:
    """The views of these videos and the seconds since 1970 when they were read; `UNKNOWN` for those that were not."""
    views, seconds = np.full((2, len(ids)), UNKNOWN, dtype=np.int64)
    for position, video_id in enumerate(ids):
        reading = found.get(video_id)
        if reading is not None and reading.views is not None:
            views[position], seconds[position] = reading.views, int(reading.observed_at.timestamp())
    return views, seconds


def intervals(ids: Sequence[str], memory: TrendState, found: Mapping[str, Reading]) -> list[Interval]:
    """What these videos gained since the highest count that is remembered of each."""
    known = zip(ids, memory.views.tolist(), memory.seconds.tolist(), strict=True)
    ended = (
        interval_to(found[video_id], views, datetime.fromtimestamp(seconds, UTC))
        for video_id, views, seconds in known
        if views != UNKNOWN and video_id in found
    )
    return [each for each in ended if each is not None]


def after(memory: TrendState | None, views: Numbers, seconds: Numbers) -> TrendState:
    """What to remember after readings of all positions, as from `counted`: the same where a reading teaches nothing."""
    before = TrendState.empty(len(views)) if memory is None else memory
    known, read = before.views != UNKNOWN, views != UNKNOWN
    gained, tells = _gain_a_day(before, views, seconds)
    fallen = known & (views < before.views) & (seconds - before.seconds > FALLEN_FOR.total_seconds())
    first = read & (~known | fallen)
    return TrendState(
        np.where(first | tells, views, before.views),
        np.where(first | tells, seconds, before.seconds),
        np.where(first, UNKNOWN, np.where(tells, gained, before.gain_a_day)),
    )


def promoted(memory: TrendState | None, views: Numbers, seconds: Numbers, rule: PromotionRule | None) -> Numbers:
    """The positions of the videos that these readings promote; none without a rule, nor before a third reading."""
    if memory is None or rule is None:
        return np.empty(0, dtype=np.int64)
    gained, tells = _gain_a_day(memory, views, seconds)
    enough = np.maximum(rule.factor * memory.gain_a_day, rule.least_views_a_day)
    return np.flatnonzero(tells & (memory.gain_a_day != UNKNOWN) & (gained >= enough))


def _gain_a_day(before: TrendState, views: Numbers, seconds: Numbers) -> tuple[Numbers, np.ndarray]:
    """What each video gained in whole views a day, and whether its reading tells that."""
    waited = seconds - before.seconds
    tells = (before.views != UNKNOWN) & (views >= before.views) & (waited >= SHORTEST.total_seconds())
    return (views - before.views) * _DAY // np.where(tells, waited, 1), tells
