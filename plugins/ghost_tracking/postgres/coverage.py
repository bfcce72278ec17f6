"""The coverage ledger: how many slots of every hour and tier were served, missed, and skipped on purpose."""

from datetime import datetime

from ghost_tracking.core.coverage import KEPT, HourOfTier, OverdueSlots, SlotCounts
from ghost_tracking.core.policies import EVERY_SLOT, ReadingPlan
from ghost_tracking.core.tiers import Tier
from ghost_tracking.postgres.database import Database

_NO_WEIGHTS = {"by_gain": 0.0, "by_relative": 0.0, "in_turn": 0.0, "longest_hours": 0.0}


class CoverageLedger:
    """The table `coverage`, three rows an hour at most, kept for 400 days: some 29,000 rows, about 3 MB.

    Whoever writes back what readings have made of the schedule adds to it in the same transaction, as the last thing:
    its rows are everybody's, and locked until the end. Times are aware, UTC.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, counts: SlotCounts) -> None:
        """Add what was served, missed and skipped to what is there; hours older than the ledger keeps are left out.

        Locks its rows in their order, so that two who add wait for each other instead of for ever.
        """
        rows = list(counts)
        if rows:
            names = ("hour", "tier", "served", "missed", "skipped")
            columns = {name: [getattr(row, name) for row in rows] for name in names}
            self._database.change("add_coverage", **columns, keep=KEPT)

    def begins_at(self) -> datetime | None:
        """The first hour of which the ledger knows anything."""
        first: datetime | None = self._database.value("coverage_begins")
        return first

    def hours(self, start: datetime, end: datetime) -> list[HourOfTier]:
        """What is known of the hours in [start, end), by hour and tier."""
        rows = self._database.run("coverage_hours", start=start, end=end)
        return [
            HourOfTier(row["hour"], Tier(row["tier"]), row["served"], row["missed"], row["skipped"]) for row in rows
        ]

    def overdue(self, until: datetime, plan: ReadingPlan = EVERY_SLOT) -> list[OverdueSlots]:
        """Slots up to `until` that nobody has served or passed over yet; those of many videos together.

        Of rows that wait since they are not worth a reading yet, the plan leaves them out; of chunks, which are visited
        all the same, none.

        Reads the rows and chunks that are due. Locks nothing.
        """
        threshold = min(plan.threshold, 1.0) if plan.is_known else 0.0
        worth: dict[str, float] = {"threshold": threshold, **_NO_WEIGHTS}
        if threshold > 0:
            by_gain, by_relative, in_turn = plan.rule.weights
            worth |= {"by_gain": by_gain, "by_relative": by_relative, "in_turn": in_turn}
            worth["longest_hours"] = plan.rule.longest_wait.total_seconds() / 3600
        return [
            OverdueSlots(
                row["hour"],
                Tier(row["tier"]) if row["tier"] else None,
                row["first_slot"],
                row["last_slot"],
                row["on_the_hour"],
                row["videos"],
                row.get("left_out", False),
            )
            for row in [
                *self._database.run("coverage_overdue_rows", until=until, **worth),
                *self._database.run("coverage_overdue_chunks", until=until),
            ]
        ]

    def forget_old(self, *, now: datetime | None = None) -> int:
        """Drop hours older than 400 days before `now` (None: the database's clock); returns how many rows went."""
        return self._database.change("coverage_forget", keep=KEPT, now=now)
