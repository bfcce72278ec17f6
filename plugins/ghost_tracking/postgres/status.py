"""Counts of the schedule: what waits, what is due, what is late, and how large it is.

They answer over the watchlist and the roster, where a row stands for thousands of videos whose ids are in the vault:
which ids those are, only the vault can tell.
"""

from datetime import datetime

from ghost_tracking.core.batches import LATENESS_BORDERS
from ghost_tracking.core.tiers import Queue, Tier
from ghost_tracking.postgres.database import Database


class Status:
    """Counts over the watchlist and the roster. `now` (aware) may be None: the database's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, now: datetime | None = None) -> dict[Queue, list[int]]:
        """How many videos are due, by queue and class of relative lateness (see `batches.LATENESS_BORDERS`)."""
        counts = {queue: [0] * len(LATENESS_BORDERS) for queue in Queue}
        rows = self._database.run(
            "due_by_lateness",
            now=now,
            borders=list(LATENESS_BORDERS),
            queues=list(Queue),
            seconds=[queue.interval.total_seconds() for queue in Queue],
        )
        for row in rows:
            counts[Queue(row["queue"])][max(0, row["lateness"])] += row["due"]
        return counts

    def count(self) -> int:
        """Total videos tracked; those that are gone do not count."""
        return int(self._database.value("total"))

    def queues(self) -> dict[Queue, int]:
        """Videos by where they wait, due or not."""
        return dict.fromkeys(Queue, 0) | {Queue(row["queue"]): row["videos"] for row in self._database.run("queues")}

    def backlog(self, now: datetime | None = None) -> int:
        """Videos that are overdue by more than an hour."""
        return int(self._database.value("backlog", now=now, tiers=list(Tier)))

    def next_due_at(self) -> datetime | None:
        """When the next video is due; None on an empty watchlist."""
        moment: datetime | None = self._database.value("next_due_at", tiers=list(Tier))
        return moment

    def database_bytes(self) -> int:
        """The size of the whole database on disk."""
        return int(self._database.value("database_bytes"))
