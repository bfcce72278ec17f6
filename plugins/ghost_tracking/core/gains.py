"""What a video gains: the interval between two readings of it, and the estimate of its gain an hour that a row keeps.

Each reading with a count ends an interval that began with the reading before. What was gained in it, scaled to the
length of a window as the page's movers are, tells which videos may be among the fastest of that window.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ghost_tracking.core.videos import Reading

WINDOWS: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
"""What movers are prepared for."""

GRACE: Final = timedelta(minutes=10)
"""Slots an hour apart are read a few minutes more than that apart."""

NEW_SHARE: Final = 0.7
"""How much of an estimate is the last interval; the rest is the estimate before. Replays of months did well with it."""

SHORTEST: Final = timedelta(minutes=5)
"""The tracker runs so often. What was gained in less time, as by a reading by hand, counts for less."""

STILL: Final = 1e-6
"""Views an hour below which a video stands still; what halves for ever would leave PostgreSQL's REAL."""

_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Interval:
    """What YouTube counted for a video at two moments (aware), `since` before `until`; views `before` and `after`."""

    video_id: str
    since: datetime
    until: datetime
    before: int
    after: int

    @property
    def gain(self) -> int:
        """Views gained; negative where the count fell."""
        return self.after - self.before

    @property
    def length(self) -> timedelta:
        return self.until - self.since

    def scaled(self, window: timedelta) -> float:
        """Views gained in a window: scaled down where the interval is longer than it, and never scaled up."""
        return self.gain * (window / max(window, self.length))


def longest(window: timedelta) -> timedelta:
    """The longest interval that tells what was gained in a window: it may begin a window's length before it."""
    return 2 * window + GRACE


def interval_to(reading: Reading, views: int | None, since: datetime | None) -> Interval | None:
    """The interval that a reading ends, after a count of `views` at `since` (aware).

    None where either count is unknown or hidden, and where the reading is not the later one.
    """
    if views is None or since is None or reading.views is None or reading.observed_at <= since:
        return None
    return Interval(reading.video_id, since, reading.observed_at, views, reading.views)


def estimate(interval: Interval | None, before: float | None) -> float | None:
    """The gain in views an hour after an interval, given the estimate `before` it; never negative.

    As it was where there is no interval; None while nothing is known.
    """
    if interval is None:
        return before
    gained = max(0, interval.gain) / (max(SHORTEST, interval.length) / _HOUR)
    share = 1.0 if before is None else NEW_SHARE * min(1.0, interval.length / SHORTEST)
    mixed = share * gained + (1 - share) * (before or 0.0)
    return mixed if mixed > STILL else 0.0
