"""The rule of `core.worth` for many videos at once: those of a roster chunk, or of a whole schedule.

Arrays of the same length, a video each: `views`, NaN where it is not told; `gain` in views an hour, NaN where it is not
known; `waited` in hours since the last reading, NaN where there was none; `tier_hours`, the interval of its tier.
"""

import numpy as np
import numpy.typing as npt

from ghost_tracking.core.gains import NEW_SHARE, SHORTEST, STILL
from ghost_tracking.core.worth import LATE, SMALLEST_COUNT, UNSEEN, ReadingRule, Sums

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_LATE = LATE.total_seconds() / 3600
_SHORTEST = SHORTEST.total_seconds() / 3600


def sums(views: Floats, gain: Floats, waited: Floats) -> Sums:
    """As `Sums.of`; who was never read is counted only."""
    at_least = np.fmax(gain, UNSEEN / np.fmax(waited, 1.0))
    known = ~(np.isnan(views) | np.isnan(gain) | np.isnan(waited))
    roots, counts = np.sqrt(at_least[known]), views[known] + SMALLEST_COUNT
    return Sums(len(views), float(roots.sum()), float((roots / np.sqrt(counts)).sum()))


def index(rule: ReadingRule, views: Floats, gain: Floats, waited: Floats, tier_hours: Floats) -> Floats:
    """As `ReadingRule.index`."""
    by_gain, by_relative, in_turn = rule.weights
    longest = rule.longest_wait.total_seconds() / 3600
    first = np.isnan(waited) | (waited >= longest) | np.isinf(rule.readings_an_hour)
    hours = np.fmax(np.where(first, 1.0, waited), 0.0)
    told = ~(np.isnan(views) | np.isnan(gain))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        roots = np.sqrt(np.fmax(gain, UNSEEN / hours))
        density = roots * (by_gain + by_relative / np.sqrt(views + SMALLEST_COUNT)) + in_turn
        indexes = np.where(hours > 0, hours * np.where(told, density, in_turn), 0.0)
    is_new = ~np.isnan(views) & np.isnan(gain)
    indexes = np.where(is_new, np.where(hours >= tier_hours, np.inf, 0.0), indexes)
    return np.where(first, np.inf, indexes)


def worth(rule: ReadingRule, views: Floats, gain: Floats, waited: Floats, tier_hours: Floats) -> Booleans:
    """As `ReadingRule.is_worth`."""
    reached: Booleans = index(rule, views, gain, waited + _LATE, tier_hours) >= 1
    return reached


def own_interval(rule: ReadingRule, views: Floats, gain: Floats, tier_hours: Floats) -> Floats:
    """As `ReadingRule.own_interval`, in hours."""
    by_gain, by_relative, in_turn = rule.weights
    longest = rule.longest_wait.total_seconds() / 3600
    told = ~(np.isnan(views) | np.isnan(gain))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        by_root = np.where(told, by_gain + by_relative / np.sqrt(views + SMALLEST_COUNT), 0.0)
        moving = 1 / (by_root * np.sqrt(np.where(told, gain, 0.0)) + in_turn)
        half = by_root * np.sqrt(UNSEEN) / 2
        still = (1 / (half + np.sqrt(half * half + in_turn))) ** 2
        hours = np.where(np.isinf(by_root) | np.isinf(in_turn), 0.0, np.minimum(moving, still))
    is_new = ~np.isnan(views) & np.isnan(gain)
    shortest: Floats = np.minimum(np.where(is_new, tier_hours, hours), longest)
    return shortest


def waited_for_tier(waited: Floats, tier_hours: Floats) -> Booleans:
    """As `core.worth.waited_for_tier`."""
    found: Booleans = ~(waited + _LATE < tier_hours)
    return found


def largest(indexes: Floats, most: int) -> npt.NDArray[np.int64]:
    """The positions of the `most` largest indexes above 0, in no order."""
    positions = np.flatnonzero(indexes > 0)
    if most >= len(positions):
        return positions
    if most <= 0:
        return positions[:0]
    return positions[np.argpartition(-indexes[positions], most - 1)[:most]]


def gains(views: Floats, gain: Floats, waited: Floats, counted: Floats) -> Floats:
    """The gains of videos after readings that `counted` so many views (NaN: not told): as `core.gains.estimate`."""
    share = np.where(np.isnan(gain), 1.0, NEW_SHARE * np.minimum(1.0, waited / _SHORTEST))
    gained = np.maximum(0.0, counted - views) / np.fmax(waited, _SHORTEST)
    mixed = share * gained + (1 - share) * np.nan_to_num(gain)
    told = ~(np.isnan(views) | np.isnan(counted)) & (waited > 0)
    return np.where(told, np.where(mixed > STILL, mixed, 0.0), gain)
