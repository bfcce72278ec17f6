"""What a policy of reading must know of all videos, counted in SQL and kept in a row."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ghost_tracking.core.fairness import GAIN_BORDERS, ClassSums, Liveliness, LivelinessCount, LivelinessSums
from ghost_tracking.core.gains import SHORTEST
from ghost_tracking.core.policies import Policy, ReadingPlan
from ghost_tracking.core.saving import Saving
from ghost_tracking.core.tiers import Tier
from ghost_tracking.core.worth import Sums
from ghost_tracking.postgres.database import Database

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PolicyState:
    """The sums over all videos, when (aware) they were counted, and what was saved of late."""

    counted_at: datetime
    sums: Sums
    saving: Saving


def index_parameters(plan: ReadingPlan) -> dict[str, float]:
    """What the function `reading_index` of the database must know of a plan."""
    by_gain, by_relative, in_turn = plan.rule.weights
    hours = {tier.lower(): plan.waits_for(tier).total_seconds() / 3600 for tier in Tier}
    longest = plan.rule.longest_wait.total_seconds() / 3600
    return hours | {"by_gain": by_gain, "by_relative": by_relative, "in_turn": in_turn, "longest_hours": longest}


class PolicyStates:
    """The tables `policy_state`, a row, and `liveliness`, six. `now` (aware) may be None: the database's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> PolicyState | None:
        """What was counted last; None before the first time."""
        rows = self._database.run("policy_state")
        if not rows:
            return None
        (row,) = rows
        return PolicyState(
            row["counted_at"],
            Sums(row["videos"], row["root_gains"], row["root_relative"]),
            Saving(row["peak"], row["slots"], row["readings"], row["moved"]),
        )

    def count(self, now: datetime | None = None) -> Sums:
        """The sums over all videos that are not gone: a pass over the watchlist, a second for a million rows."""
        (row,) = self._database.run("policy_sums", now=now)
        return Sums(row["videos"], row["root_gains"], row["root_relative"])

    def keep(self, state: PolicyState) -> None:
        """Remember this in the place of what was remembered."""
        sums, saving = state.sums, state.saving
        self._database.change(
            "keep_policy_state",
            counted_at=state.counted_at,
            videos=sums.videos,
            root_gains=sums.root_gains,
            root_relative=sums.root_relative,
            peak=saving.peak,
            slots=saving.slots,
            readings=saving.readings,
            moved=saving.moved,
        )

    def count_liveliness(self, plan: ReadingPlan, now: datetime | None = None) -> LivelinessSums:
        """Who of the watchlist gains how much, and waits how long: a pass over it, two seconds for a million rows."""
        by_gain, by_relative, in_turn = plan.rule.weights if plan.is_known else (math.inf,) * 3
        own_moments = plan.policy is Policy.ADAPTIVE and plan.is_known
        rows = self._database.run(
            "liveliness_count",
            now=now,
            borders=list(GAIN_BORDERS),
            by_gain=by_gain,
            by_relative=by_relative,
            in_turn=in_turn,
            longest_hours=plan.rule.longest_wait / _HOUR,
            shortest_hours=SHORTEST / _HOUR if own_moments else None,
        )
        names = ("videos", "planned_hours", "interval_hours", "age_hours", "read")
        return LivelinessSums({row["class"]: ClassSums(*(float(row[name] or 0) for name in names)) for row in rows})

    def liveliness(self) -> LivelinessCount | None:
        """What was counted last; None before the first time."""
        rows = self._database.run("liveliness")
        if not rows:
            return None
        classes = [
            Liveliness(
                row["class"],
                row["videos"],
                row["planned_hours"] * _HOUR,
                row["interval_hours"] * _HOUR,
                None if row["age_hours"] is None else row["age_hours"] * _HOUR,
            )
            for row in rows
        ]
        classes.sort(key=lambda each: each.number < 0)  # those of whom nothing is known last
        return LivelinessCount(rows[0]["counted_at"], rows[0]["policy"], classes)

    def keep_liveliness(self, classes: Sequence[Liveliness], policy: str, counted_at: datetime) -> None:
        """Remember this in the place of what was remembered."""
        columns = {
            "class": [each.number for each in classes],
            "videos": [each.videos for each in classes],
            "planned_hours": [each.planned / _HOUR for each in classes],
            "interval_hours": [each.interval / _HOUR for each in classes],
            "age_hours": [None if each.age is None else each.age / _HOUR for each in classes],
        }
        with self._database.transaction():
            self._database.change("liveliness_forget")
            self._database.change("liveliness_keep", policy=policy, counted_at=counted_at, **columns)
