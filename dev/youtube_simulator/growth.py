"""Counts of a video as a pure function of its age: fast at first, then slow, with real-looking noise.

Ages are seconds since publication. Nothing here knows a date, so counts move with the video when the
universe's origin is shifted. The noise imitates recorded series: readings that fall for less than two hours
(replica lag), readings that stand still for up to 21 hours, late bursts, hidden likes, comments that are off.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from .identity import mix, unit

HOUR = 3600.0
DAY = 86400.0
_FREEZE_WINDOW = 3 * DAY
_FREEZE_SHARE = 0.06
_FREEZE_HOURS = (1.0, 21.0)
_DIP_WINDOW = 12 * HOUR
_DIP_SHARE = 0.12
_DIP_MINUTES = (10.0, 110.0)
_HIDDEN_LIKES_SHARE = 0.03
_COMMENTS_OFF_SHARE = 0.012


class Reading(NamedTuple):
    """What the API tells at one moment; None where a count is not shown."""

    views: int
    likes: int | None
    comments: int | None


@dataclass(frozen=True, slots=True)
class Growth:
    """One video's curve: sums of saturating terms and bursts, by its age in seconds."""

    noise: int
    scale: float
    fast: float
    slow: float
    like_ratio: float
    comment_ratio: float
    burst_age: float
    burst_size: float
    likes_hidden: bool
    comments_off: bool

    @classmethod
    def of(cls, noise: int, audience: float) -> "Growth":
        """Draw a curve from 64 bits of noise; `audience` multiplies the views (1.0: a median channel)."""
        draws = [unit(noise + step) for step in range(1, 11)]
        normal = math.sqrt(-2.0 * math.log(1.0 - draws[0])) * math.cos(2.0 * math.pi * draws[1])
        return cls(
            noise=noise,
            scale=min(3e9, audience * math.exp(7.6 + 1.7 * normal)),
            fast=HOUR * 3.0 * 8.0 ** draws[2],
            slow=DAY * 5.0 * 8.0 ** draws[3],
            like_ratio=0.004 * 20.0 ** draws[4],
            comment_ratio=0.02 * 12.0 ** draws[5],
            burst_age=DAY * 0.5 * 80.0 ** draws[6],
            burst_size=1.5 * draws[7] if draws[7] < 0.2 else 0.0,
            likes_hidden=draws[8] < _HIDDEN_LIKES_SHARE,
            comments_off=draws[9] < _COMMENTS_OFF_SHARE,
        )

    def reading(self, age: float) -> Reading:
        """Give the counts shown at this age (seconds); an age below 0 shows zeros."""
        shown, loss = self._shown_age(max(0.0, age))
        views = self._views(shown) * loss
        likes = min(views, views * self.like_ratio * (1.0 + 0.4 * math.exp(-shown / self.fast)))
        return Reading(
            int(views),
            None if self.likes_hidden else int(likes),
            None if self.comments_off else int(likes * self.comment_ratio),
        )

    def _views(self, age: float) -> float:
        first = 1.0 - math.exp(-age / self.fast)
        later = 1.0 - math.exp(-age / self.slow)
        grown = 0.55 * first + 0.35 * later + 0.02 * math.log1p(age / self.slow)
        if self.burst_size and age > self.burst_age:
            grown += self.burst_size * (1.0 - math.exp((self.burst_age - age) / (0.7 * DAY)))
        return self.scale * grown

    def _shown_age(self, age: float) -> tuple[float, float]:
        """Give the age whose counts are shown, and the share of them that a lagging replica still has."""
        frozen = _spell(self.noise ^ 0xF0, age, _FREEZE_WINDOW, _FREEZE_SHARE, _FREEZE_HOURS, HOUR)
        if frozen is not None:
            return frozen[0], 1.0
        dip = _spell(self.noise ^ 0xD1, age, _DIP_WINDOW, _DIP_SHARE, _DIP_MINUTES, 60.0)
        if dip is not None:
            start, length = dip
            return max(0.5 * start, start - length), 0.9985
        return age, 1.0


def _spell(
    noise: int, age: float, window: float, share: float, lengths: tuple[float, float], unit_seconds: float
) -> tuple[float, float] | None:
    """Give (start age, length), both in seconds, of the spell that holds `age`, if any.

    Each window of ages has a spell with probability `share`. It ends at least two hours before the window
    does, so that two spells never join.
    """
    number = int(age // window)
    bits = mix(noise + number * 0x9E3779B97F4A7C15)
    if (bits & 0xFFFF) >= share * 65536.0:
        return None
    low, high = lengths
    length = unit_seconds * (low + (high - low) * ((bits >> 16) & 0xFFFF) / 65536.0)
    start = number * window + (window - length - 2 * HOUR) * ((bits >> 32) & 0xFFFF) / 65536.0
    return (start, length) if start <= age < start + length else None
