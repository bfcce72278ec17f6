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
    """Every point of the vault, by video (its number) and time (seconds since 1970); four numbers a point in memory."""

    video: Numbers
    at: Numbers
    age: Numbers
    views: Numbers

    @classmethod
    def read(cls, vault: ParquetVaultHook, world: World) -> "Observations":
        """Read all points; ValueError where one is of no video of this world."""
        videos, moments, counts = ([np.empty(0, np.int64)] for _ in range(3))
        ids = pa.array(world.ids)
        for batch in vault.read_batches(columns=["video_id", "timestamp", "views"]):
            numbers = pc.index_in(batch["video_id"], value_set=ids)
            if numbers.null_count:
                raise ValueError("the vault has a video that this world has not")
            videos.append(numbers.to_numpy().astype(np.int64))
            counts.append(batch["views"].to_numpy().astype(np.int64))
            moments.append(batch["timestamp"].cast(pa.timestamp("s", "UTC")).cast(pa.int64()).to_numpy())
        video, at = np.concatenate(videos), np.concatenate(moments)
        order = np.lexsort((at, video))
        views = np.concatenate(counts)[order]
        return cls(video[order], at[order], at[order] - world.published[video[order]], views)

    @property
    def keys(self) -> Numbers:
        """A number for each point."""
        return keys(self.video, self.at)

    def of_video(self, number: int) -> tuple[Numbers, Numbers]:
        """When a video was read, and its views then."""
        first, stop = np.searchsorted(self.video, [number, number + 1])
        return self.at[first:stop], self.views[first:stop]

    def longest_wait(self, chosen: Flags, since: int, until: int) -> int:
        """The longest wait in [since, until) of the `chosen` videos (by number) for a reading, in seconds.

        A wait counts with all that it has taken by `until`; 0 where there is none.
        """
        same = self.video[1:] == self.video[:-1]
        ended = np.concatenate([np.where(same, self.at[1:], NEVER), [NEVER]])[: len(self.at)]
        here = chosen[self.video] & (ended > since) & (self.at < until)
        return int((np.minimum(ended, until) - self.at)[here].max(initial=0))

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

    def stretches(self, since: Numbers, until: Numbers) -> Floats:
        """How many intervals a wait takes, in each [since, until): time waited in it, over how many waits ended then.

        Not the mean of those that ended, of which the long ones, that have not ended yet, are missing. NaN where none
        ended.
        """
        ended = np.sort(self.ended)
        number = np.searchsorted(ended, until) - np.searchsorted(ended, since)
        waited = self._waited(until) - self._waited(since)
        return np.where(number > 0, waited / self.interval / np.maximum(number, 1), math.nan)

    def _waited(self, until: Numbers) -> Numbers:
        """The time that all waits together have taken by then."""

        def since(moments: Numbers) -> Numbers:
            ordered = np.sort(moments)
            number = np.searchsorted(ordered, until)
            total: Numbers = number * until - np.concatenate([[0], np.cumsum(ordered)])[number]
            return total

        passed: Numbers = since(self.began) - since(self.ended)
        return passed


def keys(video: Numbers, at: Numbers) -> Numbers:
    """A number for each video and second."""
    return (video << 34) | at
