"""What the vault has of a simulated population, and how it compares with the schedule."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.core.roster import SETTLED_AFTER
from ghost_tracking.core.tiers import Tier
from ghost_tracking.hooks.vault import ParquetVaultHook
from simulation.world import DAY, HOUR, WEEK, Flags, Floats, Numbers, World

TIERS = tuple(Tier)
_SETTLED = int(SETTLED_AFTER.total_seconds())
_INTERVALS = np.array([int(tier.interval.total_seconds()) for tier in TIERS], dtype=np.int64)

SLOTS = np.array(
    [hours * HOUR for hours in range(1, 25)] + [days * DAY for days in range(2, 8)] + [2 * WEEK], dtype=np.int64
)
"""The ages, in seconds, of the 31 scheduled observations up to the fourteenth day."""


@dataclass(frozen=True)
class Observations:
    """Every point of the vault, by video (its number) and time (seconds since 1970)."""

    video: Numbers
    at: Numbers
    age: Numbers

    @classmethod
    def read(cls, vault: ParquetVaultHook, world: World) -> "Observations":
        """Read all points; ValueError where one is of no video of this world."""
        videos, moments, ids = [np.empty(0, np.int64)], [np.empty(0, np.int64)], pa.array(world.ids)
        for batch in vault.read_batches(columns=["video_id", "timestamp"]):
            numbers = pc.index_in(batch["video_id"], value_set=ids)
            if numbers.null_count:
                raise ValueError("the vault has a video that this world has not")
            videos.append(numbers.to_numpy().astype(np.int64))
            moments.append(batch["timestamp"].cast(pa.timestamp("s", "UTC")).cast(pa.int64()).to_numpy())
        video, at = np.concatenate(videos), np.concatenate(moments)
        order = np.lexsort((at, video))
        return cls(video[order], at[order], at[order] - world.published[video[order]])

    @property
    def keys(self) -> Numbers:
        """A number for each point."""
        return keys(self.video, self.at)

    def punctuality(self, chosen: Flags) -> "Punctuality":
        """How the waits of the `chosen` videos (by number) were, but for that from the hunter's reading.

        Where quota is short, a video may come to the roster with a daily slot still waiting, and waits on by the
        week: that wait is of two tiers, and left out.
        """
        same = self.video[1:] == self.video[:-1]
        second = np.concatenate([[True], ~same[:-1]])
        waits = np.flatnonzero(same & ~second & chosen[self.video[1:]])
        waits = waits[(self.age[waits] >= WEEK) | (self.age[waits + 1] < _SETTLED)]
        before, at = self.age[waits], self.at[waits + 1]
        tier = np.searchsorted([DAY, WEEK], before, side="right")
        interval = _INTERVALS[tier]
        slot = (before // interval + 1) * interval
        return Punctuality(at, tier, (at - self.at[waits]) / interval, (self.age[waits + 1] - slot) / interval)

    def of_first_two_weeks(self, chosen: Numbers) -> tuple[Flags, Numbers]:
        """Whether each of the `chosen` videos has 32 observations, and their ages: a row a video."""
        first = np.searchsorted(self.video, chosen)
        number = np.searchsorted(self.video, chosen, side="right") - first
        places = first[:, None] + np.arange(len(SLOTS) + 1)
        return number > len(SLOTS), self.age[np.minimum(places, len(self.age) - 1)]


@dataclass(frozen=True)
class Punctuality:
    """Waits between two observations of a video, by when they ended and in which tier they were.

    `stretch`: their length, and `lateness`: how long after its slot they ended, both in intervals of the tier.
    """

    at: Numbers
    tier: Numbers
    stretch: Floats
    lateness: Floats

    def within(self, since: int, until: int) -> "Punctuality":
        """Those that ended in [since, until)."""
        inside = (self.at >= since) & (self.at < until)
        return Punctuality(self.at[inside], self.tier[inside], self.stretch[inside], self.lateness[inside])

    def stretches(self, edges: Numbers) -> dict[Tier, list[float]]:
        """The mean stretch of each tier between each two of these `edges`; NaN where nothing was waited for."""
        means = {}
        for number, tier in enumerate(TIERS):
            mine = self.tier == number
            counts, _ = np.histogram(self.at[mine], edges)
            sums, _ = np.histogram(self.at[mine], edges, weights=self.stretch[mine])
            means[tier] = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0).tolist()
        return means


def keys(video: Numbers, at: Numbers) -> Numbers:
    """A number for each video and second."""
    return (video << 34) | at
