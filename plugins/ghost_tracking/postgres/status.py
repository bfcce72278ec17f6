"""Counts of the schedule: what waits, what is due, what is late, and how large it is.

They answer over the watchlist and the roster, where a row stands for thousands of videos whose ids are in the vault:
which ids those are, only the vault can tell.
"""

from datetime import datetime

from ghost_tracking.core.policies import ReadingPlan
from ghost_tracking.core.tiers import Queue, Tier
from ghost_tracking.core.worth import INDEX_BORDERS
from ghost_tracking.postgres.database import Database
from ghost_tracking.postgres.policy import index_parameters


class Status:
    """Counts over the watchlist and the roster. `now` (aware) may be None: the database's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, now: datetime | None = None) -> dict[Queue, int]:
        """How many videos are due, by queue."""
        rows = self._database.run("due", now=now, tiers=list(Tier))
        return dict.fromkeys(Queue, 0) | {Queue(row["queue"]): row["due"] for row in rows}

    def due_by_index(self, plan: ReadingPlan, now: datetime | None = None) -> dict[Queue, list[int]]:
        """How many videos are due, by queue and class of the index (see `worth.INDEX_BORDERS`).

        Those of the watchlist, and the gone ones of the roster; of its others only the vault knows their index. Left
        out are those that have not waited for their tier's interval yet. A second for a million rows.
        """
        counts = {queue: [0] * len(INDEX_BORDERS) for queue in Queue}
        rows = self._database.run(
            "due_by_index", now=now, tiers=list(Tier), borders=list(INDEX_BORDERS), **index_parameters(plan)
        )
        for row in rows:
            if row["class"] >= 0:
                counts[Queue(row["queue"])][row["class"]] += row["due"]
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
