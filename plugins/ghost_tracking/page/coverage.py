"""Coverage: expected against real observations by hour and tier, so that holes are seen.

What is expected comes of the readings themselves. Each serves the last slot of its video that had passed; the slots
between it and the reading before were missed, and so was, by now, the slot of every video that is overdue. Slots are
counted in the hour in which they lie, whenever they were served: a late reading fills its hole. What cannot be seen so
are slots of videos that were not read at all in these days and are not due now.
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ghost_tracking.core.tiers import Tier
from ghost_tracking.errors import BadInputError
from ghost_tracking.page.context import PageContext, ttl_cached
from ghost_tracking.page.curves import slots_by
from ghost_tracking.page.responses import Coverage, Hole, TierCoverage, seconds_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]

DAYS: Final = ("1", "2", "7")
LATE: Final = timedelta(minutes=15)
"""A slot younger than this is not missed: its run may still be under way."""
LOOK_BACK: Final = timedelta(days=2, hours=1)
"""A daily slot that was missed shows between two readings that lie so far apart."""
WORST_SHOWN: Final = 20

_HOUR, _DAY, _WEEK = 3_600, 86_400, 604_800
_TIERS: Final = tuple(Tier)
_MOST_SLOTS: Final = {Tier.HOURLY: 24, Tier.DAILY: 6, Tier.WEEKLY: 1}
"""Slots of a tier that a video which is overdue can have passed: then it is of the next one."""


def coverage(context: PageContext, days: str) -> Coverage:
    """By tier and hour how many slots there were, and how many were served."""
    if days not in DAYS:
        raise BadInputError(f"{days[:20]!r} is none of {', '.join(DAYS)} days.")
    return _coverage(context, int(days))


@ttl_cached(60)
def _coverage(context: PageContext, days: int) -> Coverage:
    now = context.watchlist.quota.today().now
    last = int(now.timestamp()) // _HOUR
    first = last - days * 24 + 1
    served, missed, begun = _slots(context, first, last)
    since = datetime.fromtimestamp(first * _HOUR, UTC) - LOOK_BACK
    for row in context.watchlist.page.overdue(since, now - LATE):
        tier = row.tier
        begin = int(row.hour.timestamp()) // _HOUR - first
        step = int(tier.interval.total_seconds()) // _HOUR
        end = min(last - first, begin + step * _MOST_SLOTS[tier])
        for hour in range(begin, end, step) or [begin]:
            if hour >= 0:
                missed[_TIERS.index(tier), hour] += row.videos
    expected = served + missed
    return Coverage(
        now=seconds_of(now),
        days=days,
        since=begun if begun is not None and begun > first * _HOUR else None,
        starts=[(first + place) * _HOUR for place in range(days * 24)],
        tiers=[
            TierCoverage(tier.value, expected[place].tolist(), served[place].tolist())
            for place, tier in enumerate(_TIERS)
        ],
        worst=_worst(expected, missed, first),
    )


def _slots(context: PageContext, first: int, last: int) -> tuple["Numbers", "Numbers", int | None]:
    """Slots that were served, and that were passed over, by tier and by hour since 1970, from `first` to `last`; and
    when the first reading was made that is looked at, in seconds.
    """
    import numpy as np
    import pyarrow as pa

    shape = (len(_TIERS), last - first + 1)
    served, missed = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    begin = datetime.fromtimestamp(first * _HOUR, UTC) - LOOK_BACK
    columns = ["video_id", "timestamp", "published_at"]
    batches = list(context.vault.read_batches(begin, None, columns=columns))
    if not batches:
        return served, missed, None
    table = pa.Table.from_batches(batches)
    table = table.filter(table["published_at"].is_valid())
    coded = table["video_id"].combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.unify_dictionaries().combine_chunks()
    codes = coded.indices.to_numpy()
    moments = table["timestamp"].cast(pa.int64()).to_numpy() // 1_000_000
    published = table["published_at"].cast(pa.int64()).to_numpy() // 1_000_000
    begun = int(moments.min()) if len(moments) else None
    since = moments - moments.min(initial=0)
    order = np.argsort(codes.astype(np.int64) * (int(since.max(initial=0)) + 1) + since)
    codes, moments, published = codes[order], moments[order], published[order]
    slots = slots_by(moments - published)
    same = np.concatenate([[False], codes[1:] == codes[:-1]])
    before = np.concatenate([[0], slots[:-1]])
    # a first reading stands for one slot only: what lies before it belongs to somebody who looked earlier
    new = (slots > 0) & (~same | (slots > before))
    _count(served, slots[new], published[new], first)
    skipped = np.flatnonzero(same & (slots - before > 1))
    lengths = (slots - before - 1)[skipped]
    numbers = np.repeat(before[skipped] + 1, lengths) + _places(lengths)
    _count(missed, numbers, np.repeat(published[skipped], lengths), first)
    return served, missed, begun


def _places(lengths: "Numbers") -> "Numbers":
    """0, 1 … for each of these lengths, one behind the other."""
    import numpy as np

    ends = np.cumsum(lengths)
    places: Numbers = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)
    return places


def _count(into: "Numbers", slots: "Numbers", published: "Numbers", first: int) -> None:
    """Add slots (numbered from 1) of videos to the hours and tiers that they lie in."""
    import numpy as np

    ages = age_of(slots)
    hours = (published + ages) // _HOUR
    # the roster reads its videos at the full hour after their slot
    hours = np.where(ages > _WEEK, -(-(published + ages) // _HOUR), hours) - first
    tiers = np.where(ages <= _DAY, 0, np.where(ages <= _WEEK, 1, 2))
    inside = (hours >= 0) & (hours < into.shape[1])
    np.add.at(into, (tiers[inside], hours[inside]), 1)


def age_of(slots: "Numbers") -> "Numbers":
    """The age (seconds) of the slots with these numbers: 1 is at an hour, 24 at a day, 30 at a week."""
    import numpy as np

    ages: Numbers = np.where(
        slots <= 24, slots * _HOUR, np.where(slots <= 30, (slots - 23) * _DAY, (slots - 29) * _WEEK)
    )
    return ages


def _worst(expected: "Numbers", missed: "Numbers", first: int) -> list[Hole]:
    """The hours that lack the most, the worst first."""
    import numpy as np

    order = np.argsort(-missed, axis=None, kind="stable")[:WORST_SHOWN]
    tiers, hours = np.unravel_index(order, missed.shape)
    return [
        Hole(
            start=int((first + hour) * _HOUR),
            tier=_TIERS[tier].value,
            expected=int(expected[tier, hour]),
            missed=int(missed[tier, hour]),
        )
        for tier, hour in zip(tiers.tolist(), hours.tolist(), strict=True)
        if missed[tier, hour] > 0
    ]
