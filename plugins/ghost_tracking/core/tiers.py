"""How often a video is tracked: tiers by age, and due times at the same ages for every video.

Slots lie at fixed ages, counted from a video's *anchor* (its publish time; the actual start of a premiere or
broadcast): at 1 h, 2 h … 24 h, then 2 d … 7 d, then 14 d, 21 d and so on. A run that comes late does not move
them: schedules neither drift nor bunch, and curves of different videos can be compared at equal age.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum


class Tier(StrEnum):
    """A tracking frequency. The values stand in `watchlist.tracking_tier`."""

    HOURLY = "HOURLY"
    DAILY = "DAILY"
    WEEKLY = "WEEKLY"

    @property
    def interval(self) -> timedelta:
        """Time between two slots of this tier."""
        return _INTERVALS[self]


_INTERVALS = {
    Tier.HOURLY: timedelta(hours=1),
    Tier.DAILY: timedelta(days=1),
    Tier.WEEKLY: timedelta(days=7),
}
GONE_INTERVAL = timedelta(days=28)
"""A video that is gone is looked at this often: YouTube brings some back."""


class Queue(StrEnum):
    """Where videos wait for their slot: rows of the watchlist, by tier, or chunks of the roster.

    ROSTER holds videos that have settled into WEEKLY, GONE those that YouTube no longer returns.
    """

    HOURLY = "HOURLY"
    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    ROSTER = "ROSTER"
    GONE = "GONE"

    @property
    def interval(self) -> timedelta:
        """Time between two slots of a video that waits here."""
        return GONE_INTERVAL if self is Queue.GONE else self.tier.interval

    @property
    def tier(self) -> Tier:
        """What stands in `tracking_tier` for these videos."""
        return Tier.WEEKLY if self.in_chunks else Tier(self.value)

    @property
    def in_chunks(self) -> bool:
        """Whether a row stands for many videos, whose ids are in a file of the vault."""
        return self in (Queue.ROSTER, Queue.GONE)


DAILY_FROM = timedelta(hours=24)
WEEKLY_FROM = timedelta(days=7)


def tier_at(age: timedelta) -> Tier:
    """The tier of a video of this age: under 24 h HOURLY, under 7 days DAILY, then WEEKLY.

    A negative age (a video that has not started yet) counts as zero.
    """
    if age < DAILY_FROM:
        return Tier.HOURLY
    if age < WEEKLY_FROM:
        return Tier.DAILY
    return Tier.WEEKLY


def next_slot(anchor: datetime, after: datetime, slowest: Tier = Tier.WEEKLY) -> tuple[Tier, datetime]:
    """The first slot later than `after`, in UTC, and the tier that a video has at `after`.

    `slowest`: the tier of a video that is older than that one's age; for one that is promoted, DAILY.

    Both times must carry a time zone (ValueError). Fractions of a second of the anchor are dropped, so that an
    observation stamped with the whole second of its slot is never taken for one before it.
    Every border between tiers is itself a slot of both, so no video waits longer than its tier's interval.
    """
    start = as_utc(anchor).replace(microsecond=0)
    age = max(as_utc(after) - start, timedelta(0))
    tier = min(tier_at(age), slowest, key=lambda tier: tier.interval)
    return tier, start + (age // tier.interval + 1) * tier.interval


def as_utc(moment: datetime) -> datetime:
    """The same instant in UTC, where adding a timedelta means elapsed time. A naive time is a ValueError.

    A plain datetime, also from a subclass with an arithmetic of its own, such as the pendulum times of Airflow.
    """
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError(f"{moment.isoformat()} has no time zone; pass an aware datetime")
    utc = moment.astimezone(UTC)
    return datetime.combine(utc.date(), utc.time(), tzinfo=UTC)
