"""Coverage as points alone tell it: each serves the last slot of its video before it; those between two were missed.

It needs every point of a span, which is why the page no longer counts so. It holds where a video's publish time is its
anchor, and where YouTube had it all the time.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from ghost_tracking.core.tiers import Tier
from ghost_tracking.page.curves import slots_by

_HOUR, _DAY, _WEEK = 3_600, 86_400, 604_800
_TIERS = tuple(Tier)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Numbers = npt.NDArray[np.int64]
Slots = dict[tuple[datetime, Tier], tuple[int, int]]


def slots_of_points(points: Sequence[tuple[str, datetime, datetime]]) -> Slots:
    """Served and missed slots by hour and tier, of points with a video's id, their time, and its publish time."""
    ordered = sorted(set(points))
    codes = np.unique([id_ for id_, _, _ in ordered], return_inverse=True)[1]
    moments = np.array([int(at.timestamp()) for _, at, _ in ordered], dtype=np.int64)
    published = np.array([int(born.timestamp()) for _, _, born in ordered], dtype=np.int64)
    slots = slots_by(moments - published)
    same = np.concatenate([[False], codes[1:] == codes[:-1]])
    before = np.concatenate([[0], slots[:-1]])
    new = (slots > 0) & (~same | (slots > before))
    skipped = np.flatnonzero(same & (slots - before > 1))
    lengths = (slots - before - 1)[skipped]
    numbers = np.concatenate(
        [np.arange(b + 1, b + 1 + n) for b, n in zip(before[skipped], lengths, strict=True)] or [[]]
    )
    found: dict[tuple[datetime, Tier], list[int]] = {}
    _count(found, 0, slots[new], published[new])
    _count(found, 1, numbers.astype(np.int64), np.repeat(published[skipped], lengths))
    return {key: (served, missed) for key, (served, missed) in found.items()}


def _count(found: dict[tuple[datetime, Tier], list[int]], kind: int, slots: Numbers, published: Numbers) -> None:
    ages = np.where(slots <= 24, slots * _HOUR, np.where(slots <= 30, (slots - 23) * _DAY, (slots - 29) * _WEEK))
    # the roster reads its videos at the full hour after their slot
    hours = np.where(ages > _WEEK, -(-(published + ages) // _HOUR), (published + ages) // _HOUR)
    tiers = np.where(ages <= _DAY, 0, np.where(ages <= _WEEK, 1, 2))
    for hour, tier in zip(hours.tolist(), tiers.tolist(), strict=True):
        found.setdefault((_EPOCH + timedelta(hours=hour), _TIERS[tier]), [0, 0])[kind] += 1
