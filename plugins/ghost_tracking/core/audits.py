"""Audits: readings of videos at random, beside their slots, which tell how wrong is what is known of the others.

The error of the newest count known is measured when a video is audited; that of the curve once the reading after it
is there: how far the audit lies from the straight line between its neighbours. Videos and moments are drawn evenly, so
that the means over audits are those over all videos and all the time.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ghost_tracking.core.tiers import Queue
from ghost_tracking.core.worth import SMALLEST_COUNT

MOST_A_DAY: Final = 1_000
"""So many tell a mean error within some three per cent of itself, where they spread as views do."""


@dataclass(frozen=True, slots=True)
class AuditPick:
    """A video that was drawn: where it waits, and its newest count and when (aware) that was read."""

    video_id: str
    queue: Queue
    held_views: int
    held_at: datetime

    def read(self, at: datetime, views: int) -> "Audit":
        """What came of it: so many views at that time (aware)."""
        return Audit(self.video_id, self.queue, self.held_views, self.held_at, at, views)


@dataclass(frozen=True, slots=True)
class Audit:
    """An audit: `held_views` of `held_at` were known of a video when it was read, and had `views`; times are aware.

    `next_views` and `next_at`: of its next reading, where there was one.
    """

    video_id: str
    queue: Queue
    held_views: int
    held_at: datetime
    at: datetime
    views: int
    next_at: datetime | None = None
    next_views: int | None = None

    @property
    def held_error(self) -> float:
        """By how many views the newest count was wrong."""
        return float(abs(self.views - self.held_views))

    @property
    def held_log_error(self) -> float:
        """The same as the logarithm of a ratio; the first ten views of a video do not count as growth."""
        return _log_error(self.views, self.held_views)

    @property
    def on_the_curve(self) -> float | None:
        """The views on the straight line between the readings before and after; None while there is none after."""
        if self.next_at is None or self.next_views is None or self.next_at <= self.held_at:
            return None
        passed = (self.at - self.held_at) / (self.next_at - self.held_at)
        return self.held_views + (self.next_views - self.held_views) * passed

    @property
    def curve_error(self) -> float | None:
        """By how many views the curve was wrong."""
        return None if self.on_the_curve is None else abs(self.views - self.on_the_curve)

    @property
    def curve_log_error(self) -> float | None:
        """The same as the logarithm of a ratio."""
        return None if self.on_the_curve is None else _log_error(self.views, self.on_the_curve)


def _log_error(views: float, told: float) -> float:
    return abs(math.log((views + SMALLEST_COUNT) / (told + SMALLEST_COUNT)))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over so many audits, and how far it may be off: 1.96 standard errors, so in one case of twenty more."""

    mean: float
    within: float
    audits: int

    @classmethod
    def of(cls, errors: Iterable[float]) -> "Estimate | None":
        """None of fewer than two."""
        found = list(errors)
        if len(found) < 2:
            return None
        mean = math.fsum(found) / len(found)
        variance = math.fsum((each - mean) ** 2 for each in found) / (len(found) - 1)
        return cls(mean, 1.96 * math.sqrt(variance / len(found)), len(found))


@dataclass(frozen=True, slots=True)
class AuditErrors:
    """The mean errors of what is known, in views and in the logarithms of counts (0.01 is some 1 %)."""

    held: Estimate | None
    held_log: Estimate | None
    curve: Estimate | None
    curve_log: Estimate | None

    @classmethod
    def of(cls, audits: Iterable[Audit]) -> "AuditErrors":
        """From all audits; the curve's from those after which their videos were read again."""
        found = list(audits)
        curve = (each.curve_error for each in found)
        curve_log = (each.curve_log_error for each in found)
        return cls(
            Estimate.of(each.held_error for each in found),
            Estimate.of(each.held_log_error for each in found),
            Estimate.of(each for each in curve if each is not None),
            Estimate.of(each for each in curve_log if each is not None),
        )
