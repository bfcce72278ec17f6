"""One video of the universe: what it is called, when it was published, what its counts are at a moment."""

from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from . import vocabulary
from .growth import HOUR, Growth, Reading
from .identity import mix, unit, uploads_id

CATEGORIES = ("1", "10", "17", "20", "22", "24", "25", "26", "27", "28")
_DELETED_SHARE = 0.015
_RETURNING_SHARE = 0.25
_PREMIERE_SHARE = 0.012
_BROADCAST_SHARE = 0.008


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel; `rate` is its mean number of videos an hour, `audience` what multiplies their views."""

    number: int
    id: str
    title: str
    handle: str
    tongue: vocabulary.Tongue
    category: str
    rate: float
    audience: float

    @property
    def uploads(self) -> str:
        """The id of the playlist of its uploads."""
        return uploads_id(self.id)


class Broadcast(NamedTuple):
    """A premiere or live broadcast: UTC times of its schedule, whatever the present time is."""

    scheduled_start: datetime
    actual_start: datetime
    actual_end: datetime
    premiere: bool

    def state(self, now: datetime) -> str:
        """Give snippet.liveBroadcastContent at `now`: upcoming, live or none."""
        if now < self.actual_start:
            return "upcoming"
        return "live" if now < self.actual_end else "none"


@dataclass(frozen=True, slots=True)
class Video(ABC):
    """What every video has; `noise` (64 bits) settles everything that is not told otherwise."""

    id: str
    channel: Channel
    noise: int

    @abstractmethod
    def published_at(self, origin: datetime) -> datetime:
        """Give the moment of publication (UTC) in a universe with this origin."""

    @abstractmethod
    def reading(self, origin: datetime, now: datetime) -> Reading:
        """Give the counts that the API shows at `now`."""

    def available(self, origin: datetime, now: datetime) -> bool:
        """Whether the video is public at `now`."""
        return self.published_at(origin) <= now

    def broadcast(self, origin: datetime) -> Broadcast | None:
        """Give the schedule of a premiere or live broadcast, None for a plain upload."""
        del origin
        return None

    @property
    def title(self) -> str:
        """The title, as raw text (search answers escape it for HTML)."""
        return vocabulary.title(self.channel.tongue, self.noise + 31)

    @property
    def description(self) -> str:
        """The description, with line breaks."""
        return vocabulary.description(self.channel.tongue, self.noise + 37)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags; empty when the uploader gave none (the API then leaves the field out)."""
        return vocabulary.tags(self.channel.tongue, self.noise + 41)

    @property
    def category(self) -> str:
        """The category's id: the channel's own for nine videos of ten."""
        bits = mix(self.noise + 43)
        return CATEGORIES[bits // 16 % len(CATEGORIES)] if bits % 10 == 0 else self.channel.category

    @property
    def seconds(self) -> int:
        """The length in seconds: a third are Shorts, some take hours."""
        draw = unit(self.noise + 47)
        return 8 + int(52 * draw * 3) if draw < 1 / 3 else int(60 * 180.0 ** ((draw - 1 / 3) * 1.5))


@dataclass(frozen=True, slots=True)
class InventedVideo(Video):
    """A video of the deterministic universe, published a fixed time after (before) the origin."""

    after_origin: timedelta

    def published_at(self, origin: datetime) -> datetime:
        """Give the moment of publication (UTC)."""
        return origin + self.after_origin

    def reading(self, origin: datetime, now: datetime) -> Reading:
        """Give the counts at `now`; they count from the actual start of a premiere or broadcast."""
        age = (now - origin - self.after_origin).total_seconds()
        kind = unit(self.noise + 53)
        if kind < _PREMIERE_SHARE + _BROADCAST_SHARE:
            age -= self._lead_seconds() + self._delay_seconds()
        return self.growth.reading(age)

    @property
    def growth(self) -> Growth:
        """The curve of its counts."""
        return Growth.of(self.noise, self.channel.audience)

    def available(self, origin: datetime, now: datetime) -> bool:
        """Whether the video is public at `now`: published, and not taken down for good or for a while."""
        age = (now - origin - self.after_origin).total_seconds()
        if age < 0:
            return False
        fate = unit(self.noise + 59)
        if fate >= _DELETED_SHARE:
            return True
        deleted = 2 * HOUR * 720.0 ** unit(self.noise + 61)
        returned = deleted + HOUR * 240.0 ** unit(self.noise + 67)
        returns = fate < _DELETED_SHARE * _RETURNING_SHARE
        return age < deleted or (returns and age >= returned)

    def broadcast(self, origin: datetime) -> Broadcast | None:
        """Give the schedule of a premiere or live broadcast, None for a plain upload."""
        kind = unit(self.noise + 53)
        if kind >= _PREMIERE_SHARE + _BROADCAST_SHARE:
            return None
        premiere = kind < _PREMIERE_SHARE
        scheduled = self.published_at(origin) + timedelta(seconds=self._lead_seconds())
        start = scheduled + timedelta(seconds=self._delay_seconds())
        length = self.seconds if premiere else 1200 + int(3.5 * HOUR * unit(self.noise + 71))
        return Broadcast(scheduled, start, start + timedelta(seconds=length), premiere)

    def _lead_seconds(self) -> int:
        """Give the time from publication to the scheduled start: half an hour to two days, in minutes."""
        return 60 * int(30 * 96.0 ** unit(self.noise + 73))

    def _delay_seconds(self) -> int:
        return int(240 * unit(self.noise + 79))


@dataclass(frozen=True, slots=True)
class ReplayedVideo(Video):
    """A recorded video: shows the latest recorded reading at or before the present time."""

    published: datetime
    moments: tuple[datetime, ...]
    readings: tuple[Reading, ...]

    def published_at(self, origin: datetime) -> datetime:
        """Give the moment of publication (UTC), which does not depend on the origin."""
        del origin
        return self.published

    def reading(self, origin: datetime, now: datetime) -> Reading:
        """Give the latest reading at or before `now`, zeros before the first."""
        del origin
        place = bisect_right(self.moments, now)
        return self.readings[place - 1] if place else Reading(0, 0, 0)
