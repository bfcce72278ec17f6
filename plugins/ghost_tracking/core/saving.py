"""How many readings an hour the rule of `core.worth` may share out where a share of the tiers' readings is to be saved.

The more readings it shares out, the more slots are worth one; but how many slots that saves depends on the videos. What
must not happen is that the answer follows demand from day to day: if a quiet week saved as large a share as a busy one,
it would skip slots that teach more than those that the busy one reads. So the rate is the highest demand of late, which
fades slowly, times a factor, which moves slowly until the share that was saved in the last weeks is the one that is
wanted.
"""

import math
from dataclasses import dataclass
from typing import Final

MEMORY_DAYS: Final = 28
"""What a day counts fades to 1/e in so many days."""

STEEPNESS: Final = 6.6
"""By so much the logarithm of the factor falls for each 1 that is to be saved, as replays show; a first guess only."""

PACE: Final = 0.3
"""By so much the logarithm of the factor moves in a day for each 1 by which the share that was saved is wrong."""

FARTHEST: Final = 10.0
"""The logarithm moves so far at most: what cannot be saved, or not be spent, is not made up for later."""


@dataclass(frozen=True, slots=True)
class Saving:
    """What must be kept from day to day: four numbers.

    `peak`: slots an hour of the tiers, at their highest of late; `slots` and `readings`: how many there were and how
    many of them were read, of late; `moved`: the logarithm by which the factor has moved from the first guess.
    """

    peak: float = 0.0
    slots: float = 0.0
    readings: float = 0.0
    moved: float = 0.0

    @property
    def saved(self) -> float:
        """The share of slots that was skipped of late; 0 where there were none."""
        return max(0.0, 1 - self.readings / self.slots) if self.slots > 0 else 0.0

    def after_day(self, demand_an_hour: float, slots: int, readings: int, wanted: float) -> "Saving":
        """After a day with so many slots, of which so many were read, while all videos have so many slots an hour.

        `wanted`: the share to save, from 0 to under 1.
        """
        fades = math.exp(-1 / MEMORY_DAYS)
        now = Saving(
            max(demand_an_hour, self.peak * fades), self.slots * fades + slots, self.readings * fades + readings
        )
        moved = self.moved + PACE * (now.saved - wanted) if now.slots > 0 else self.moved
        return Saving(now.peak, now.slots, now.readings, min(max(moved, -FARTHEST), FARTHEST))

    def readings_an_hour(self, wanted: float) -> float:
        """What `worth.ReadingRule` shares out on the next day; infinite where nothing is to be saved, or known."""
        if wanted <= 0 or self.peak <= 0:
            return math.inf
        return self.peak * math.exp(STEEPNESS * (0.5 - wanted) + self.moved)
