"""Three policies of reading: which slots are left out, and when a video is read next.

- `tiers`: every slot of every tier, while the quota lasts. Where it does not, the due videos whose index is the largest
  are read first, and what stands still waits.
- `thrifty`: slots that are not worth a reading are left out also where the quota would last.
- `adaptive`: no slots: each video is read again after its own interval.

The index and the own interval are those of `core.worth`. A plan is made once a run, and its batches go by it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from ghost_tracking.core.gains import SHORTEST
from ghost_tracking.core.tiers import Tier, next_slot
from ghost_tracking.core.worth import Known, ReadingRule, Shares, Sums

DAILY_BELOW: Final = timedelta(days=1)
"""A settled video with an own interval of so long at most deserves to be read daily: it is promoted."""

_MINUTE: Final = timedelta(minutes=1)


class Policy(StrEnum):
    """How readings are shared out. The values stand in the setting `policy`."""

    TIERS = "tiers"
    THRIFTY = "thrifty"
    ADAPTIVE = "adaptive"


@dataclass(frozen=True)
class ReadingPlan:
    """What a run goes by: the policy, its rule, and the index below which due videos are passed over in this run.

    `rule`: the readings an hour that all videos deserve together, where they are to be judged; see `core.worth`.
    `cut`: 0 where everything that is due can be read. `promoted_for`: how long a settled video that comes alive is read
    daily; None: none is.
    """

    policy: Policy = Policy.TIERS
    rule: ReadingRule = field(default_factory=lambda: ReadingRule(Sums(), math.inf))
    cut: float = 0.0
    promoted_for: timedelta | None = None

    @property
    def threshold(self) -> float:
        """The index that a slot must reach to be worth a reading: 0 where every slot is."""
        return self.cut if self.policy is Policy.TIERS else max(self.cut, 1.0)

    @property
    def is_known(self) -> bool:
        """Whether the rule can tell videos apart: the sums of their gains are known."""
        return self.rule.sums.root_gains > 0 and math.isfinite(self.rule.readings_an_hour)

    def next_reading(
        self, known: Known, anchor: datetime, read_at: datetime, after: datetime, slowest: Tier = Tier.WEEKLY
    ) -> tuple[Tier, datetime]:
        """The tier of a video that was read at `read_at`, and when it is due next, later than `after`; UTC.

        A slot of its tier, but where the policy is adaptive. All times are aware; see `tiers.next_slot`.
        """
        if self.policy is Policy.TIERS or not self.is_known:
            return next_slot(anchor, after, slowest)
        if self.policy is Policy.THRIFTY:
            return self.rule.next_worth(known, anchor, read_at, after, slowest)
        tier, _ = next_slot(anchor, after, slowest)
        # the run that comes next must find it due
        return tier, read_at + max(self.rule.own_interval(known), SHORTEST - _MINUTE)

    def waits_for(self, tier: Tier) -> timedelta:
        """How long a due video must have waited to be considered where more are due than can be read.

        A tier's interval, where there are slots: one that was read late would else compete again at its next slot with
        those that keep to theirs, mostly younger ones, whose curves suffer most.
        """
        return timedelta(0) if self.policy is Policy.ADAPTIVE else tier.interval

    def interval(self, known: Known) -> timedelta:
        """How long a video waits between two readings while all stays as it is.

        Its own interval, which where there are slots is never less than its tier's.
        """
        if not self.is_known:
            return known.tier.interval
        shortest = SHORTEST if self.policy is Policy.ADAPTIVE else known.tier.interval
        return max(self.rule.own_interval(known), shortest)

    def leaves_out(self, known: Known, waited: timedelta | None) -> bool:
        """Whether a slot that came so long after the last reading was left out on purpose."""
        if self.threshold <= 0 or not self.is_known:
            return False
        return self.rule.index(known, waited) < min(self.threshold, 1.0)

    def promotes(self, before: Known, after: Known) -> bool:
        """Whether a settled video is read daily for a while after a reading that has made of `before` what it is now.

        With tiers it must have come alive: who stays as it is keeps to the tier of its age.
        """
        if self.promoted_for is None or not self.is_known or not self._deserves_daily(after):
            return False
        return self.policy is not Policy.TIERS or (before.gain is not None and not self._deserves_daily(before))

    def stays_promoted(self, known: Known) -> bool:
        """Whether a video that is read daily deserves to be so for another while."""
        return self.promoted_for is not None and self.is_known and self._deserves_daily(known)

    def _deserves_daily(self, known: Known) -> bool:
        return not known.is_new and known.gain is not None and self.rule.own_interval(known) <= DAILY_BELOW

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for the batches of a run."""
        rule, days = self.rule, self.promoted_for
        rate = rule.readings_an_hour
        return {
            "policy": self.policy.value,
            "cut": self.cut,
            "sums": [rule.sums.videos, rule.sums.root_gains, rule.sums.root_relative],
            "readings_an_hour": rate if math.isfinite(rate) else None,
            "shares": [rule.shares.views, rule.shares.percent, rule.shares.in_turn],
            "longest_wait_hours": rule.longest_wait / timedelta(hours=1),
            "promoted_for_hours": days and days / timedelta(hours=1),
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "ReadingPlan":
        rate, hours = given["readings_an_hour"], given["promoted_for_hours"]
        rule = ReadingRule(
            Sums(*given["sums"]),
            math.inf if rate is None else float(rate),
            Shares(*given["shares"]),
            timedelta(hours=given["longest_wait_hours"]),
        )
        return cls(
            Policy(given["policy"]), rule, float(given["cut"]), None if hours is None else timedelta(hours=hours)
        )


EVERY_SLOT: Final = ReadingPlan()
"""Every slot is read, and nobody is promoted."""
