"""Videos that come to light later than their publish time tells."""

from dataclasses import dataclass
from datetime import timedelta

from .identity import unit

_LEAST = timedelta(minutes=1)
_NOT = timedelta(0)


@dataclass(frozen=True, slots=True)
class Lateness:
    """Which videos are late, and by how much: a minute to the most, short times as often as long ones.

    public: a share of the videos is made public so long after its publish time, which it keeps (it was private or
    unlisted before, and no listing and no call knew it). listed: a share is put on its channel's list of uploads so
    long after it is public. Both are settled by the seed.
    """

    public_share: float = 0.0
    public_most: timedelta = timedelta(days=7)
    listed_share: float = 0.0
    listed_most: timedelta = timedelta(days=2)

    def __post_init__(self) -> None:
        """Raise ValueError for what makes no sense."""
        if not 0.0 <= self.public_share <= 1.0 or not 0.0 <= self.listed_share <= 1.0:
            raise ValueError("shares lie between 0 and 1")
        if min(self.public_most, self.listed_most) < _LEAST:
            raise ValueError("the most that a video is late is at least a minute")

    def until_public(self, noise: int) -> timedelta:
        """Give the time from the publish time of a video with this noise until it is public."""
        return _late(noise + 211, self.public_share, self.public_most)

    def until_listed(self, noise: int) -> timedelta:
        """Give the time from when it is public until its channel lists it."""
        return _late(noise + 227, self.listed_share, self.listed_most)


def _late(noise: int, share: float, most: timedelta) -> timedelta:
    if unit(noise) >= share:
        return _NOT
    return timedelta(seconds=int(_LEAST.total_seconds() * (most / _LEAST) ** unit(noise + 1)))
