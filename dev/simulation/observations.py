"""What the vault has of a simulated population, and how it compares with the schedule."""

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.core.roster import SETTLED_AFTER
from ghost_tracking.core.tiers import Tier
from ghost_tracking.hooks.vault import ParquetVaultHook
from simulation.world import DAY, HOUR, NEVER, WEEK, Flags, Floats, Numbers, World

TIERS = tuple(Tier)
_SETTLED = int(SETTLED_AFTER.total_seconds())

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

    def waits(self, tier: Tier, chosen: Flags) -> "Waits":
        """The waits of the `chosen` videos (by number) in a tier, but for those from the hunter's reading.

        Where quota is short, a video may come to the roster with a daily slot still waiting, and waits on by the
        week: that wait is of two tiers, and left out.
        """
        interval = int(tier.interval.total_seconds())
        same = self.video[1:] == self.video[:-1]
        read_by_tracker = np.concatenate([[False], same])
        mine = np.searchsorted([DAY, WEEK], self.age, side="right") == TIERS.index(tier)
        ended = np.concatenate([np.where(same, self.at[1:], NEVER), [NEVER]])
        waited_until = np.minimum(ended, self.at.max(initial=0)) - self.at + self.age
        of_one_tier = (self.age >= WEEK) | (waited_until < _SETTLED)
        here = np.flatnonzero(chosen[self.video] & read_by_tracker & mine & of_one_tier)
        slot = self.at[here] + interval - self.age[here] % interval
        return Waits(interval, self.at[here], slot, ended[here])

    def of_first_two_weeks(self, chosen: Numbers) -> tuple[Flags, Numbers]:
        """Whether each of the `chosen` videos has 32 observations, and their ages: a row a video."""
        first = np.searchsorted(self.video, chosen)
        number = np.searchsorted(self.video, chosen, side="right") - first
        places = first[:, None] + np.arange(len(SLOTS) + 1)
        return number > len(SLOTS), self.age[np.minimum(places, len(self.age) - 1)]


@dataclass(frozen=True)
class Waits:
    """The waits for the next reading in one tier, by when they began, were due, and ended (NEVER: they have not)."""

    interval: int
    began: Numbers
    slot: Numbers
    ended: Numbers

    def lateness(self, since: int, until: int) -> Floats:
        """How long after its slot each wait ended that did so in [since, until), in intervals."""
        inside = (self.ended >= since) & (self.ended < until)
        late: Floats = (self.ended[inside] - self.slot[inside]) / self.interval
        return late

    def stretch(self, since: int, until: int) -> float:
        """How many intervals a wait takes: time waited in [since, until), over how many waits ended then.

        Not the mean of those that ended, of which the long ones, that have not ended yet, are missing. NaN where none
        ended.
        """
        number = int(((self.ended >= since) & (self.ended < until)).sum())
        waited = np.minimum(self.ended, until) - np.maximum(self.began, since)
        return float(np.maximum(waited, 0).sum()) / self.interval / number if number else math.nan

    def followed(self, since: int, before: int, until: int) -> float:
        """How many intervals those waits take that began in [since, before), followed to `until`.

        Time waited over waits that ended: one that has not ended counts with the time it has waited. Unlike `stretch`
        it does not grow where there are more videos every day, whose waits have begun and not ended. NaN where none
        ended.
        """
        begun = (self.began >= since) & (self.began < before)
        number = int((self.ended[begun] < until).sum())
        waited = np.minimum(self.ended[begun], until) - self.began[begun]
        return float(waited.sum()) / self.interval / number if number else math.nan


def keys(video: Numbers, at: Numbers) -> Numbers:
    """A number for each video and second."""
    return (video << 34) | at
