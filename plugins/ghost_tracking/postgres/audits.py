"""Audits in the database: who is drawn, and what was found."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from ghost_tracking.core.audits import Audit, AuditPick
from ghost_tracking.core.roster import Chunk
from ghost_tracking.core.tiers import Queue
from ghost_tracking.postgres.database import Database, Row
from ghost_tracking.postgres.roster import chunk_of

KEPT: Final = timedelta(days=30)
"""How long audits are kept: at a thousand a day some 4 MB."""


class Audits:
    """The table `audits`. `now` (aware) may be None: the database's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def draw(self, texts: Sequence[str]) -> list[AuditPick]:
        """Videos of the watchlist: for each random text the first id from it on. Fewer where two draw the same one."""
        return [
            AuditPick(row["video_id"], Queue(row["tracking_tier"]), row["views"], row["last_tracked_at"])
            for row in self._database.run("audit_draw", texts=list(texts))
        ]

    def draw_chunks(self, chunks: int) -> list[Chunk]:
        """So many chunks of the roster, or all; a chunk of twice as many videos is drawn twice as often."""
        return [chunk_of(row) for row in self._database.run("audit_draw_chunks", chunks=chunks)]

    def add(self, audits: Iterable[Audit]) -> None:
        """Keep what was found."""
        names = ("video_id", "at", "held_views", "held_at", "views")
        found = list(audits)
        if found:
            columns: dict[str, list[Any]] = {name: [getattr(each, name) for each in found] for name in names}
            self._database.change("audit_add", queue=[each.queue.value for each in found], **columns)

    def open(self, most: int, *, now: datetime | None = None) -> list[Audit]:
        """Audits whose videos were not seen again yet, the oldest first, `most` of them."""
        return [_audit(row) for row in self._database.run("audit_open", most=most, keep=KEPT, now=now)]

    def close(self, audits: Sequence[Audit]) -> None:
        """Note the readings after these audits."""
        names = ("video_id", "at", "next_at", "next_views")
        if audits:
            self._database.change("audit_close", **{name: [getattr(each, name) for each in audits] for name in names})

    def since(self, moment: datetime) -> list[Audit]:
        """Every audit from `moment` (aware) on: a thousand a day at most."""
        return [_audit(row) for row in self._database.run("audits_since", since=moment)]

    def forget_old(self, *, now: datetime | None = None) -> int:
        """Drop audits older than `KEPT`; returns how many."""
        return self._database.change("audit_forget", keep=KEPT, now=now)


def _audit(row: Row) -> Audit:
    return Audit(
        row["video_id"],
        Queue(row["queue"]),
        row["held_views"],
        row["held_at"],
        row["at"],
        row["views"],
        row.get("next_at"),
        row.get("next_views"),
    )
