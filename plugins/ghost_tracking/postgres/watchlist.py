"""The rows of the watchlist: put there, claimed for the time of their calls, and rescheduled."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ghost_tracking.core.absence import GONE_AFTER_MISSES, Absence
from ghost_tracking.core.coverage import count_rows
from ghost_tracking.core.policies import EVERY_SLOT, ReadingPlan
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Tier
from ghost_tracking.errors import BadInputError
from ghost_tracking.postgres.checks import instant, require_id, tier_named
from ghost_tracking.postgres.coverage import CoverageLedger
from ghost_tracking.postgres.database import Database, Row
from ghost_tracking.postgres.lease import lease
from ghost_tracking.postgres.policy import index_parameters


@dataclass
class Claim:
    """Rows that this transaction has locked, and what will be written back when it ends."""

    entries: list[WatchlistEntry] = field(default_factory=list)
    plan: ReadingPlan = EVERY_SLOT
    _outcomes: list[tuple[WatchlistEntry, WatchlistEntry]] = field(default_factory=list)

    def reschedule(self, outcomes: Iterable[WatchlistEntry]) -> None:
        """Note what the claim's videos have become; written in one statement when the claim ends.

        Videos that are not named stay as they were, and due.
        """
        claimed = {entry.video_id: entry for entry in self.entries}
        self._outcomes += [(claimed[outcome.video_id], outcome) for outcome in outcomes]

    @property
    def has_results(self) -> bool:
        """Whether there is anything to write back."""
        return bool(self._outcomes)


class Watchlist:
    """The table `watchlist`, a row for each video that has its own slots. `now` may be None: the database's clock."""

    def __init__(self, database: Database, coverage: CoverageLedger) -> None:
        self._database = database
        self._coverage = coverage

    def add(self, videos: str | WatchlistEntry | Iterable[str | WatchlistEntry], tier: str = Tier.HOURLY) -> list[str]:
        """Put one or many videos on the watchlist; returns the ids that were new. Known ones stay as they are.

        Those that somebody has paused, stopped or forgotten stay off, see `LetGo`.
        A plain id is due at once, in `tier`, and learns its publish time from the first answer. One that is on the
        roster gets a row as well, which takes its place there with the chunk's next read.
        Raises BadInputError for an impossible id or an unknown tier.
        """
        many = [videos] if isinstance(videos, str | WatchlistEntry) else list(videos)
        default = tier_named(tier)
        entries = [entry if isinstance(entry, WatchlistEntry) else WatchlistEntry(entry, default) for entry in many]
        for entry in entries:
            require_id(entry.video_id)
        return [row["video_id"] for row in self._database.run("insert_watchlist", **_columns(entries))]

    def known(self, video_ids: Sequence[str]) -> set[str]:
        """Which of these videos are on the watchlist."""
        return {row["video_id"] for row in self._database.run("known", video_ids=list(video_ids))}

    def seen(self, video_ids: Sequence[str]) -> dict[str, datetime | None]:
        """Which of these videos are on the watchlist, and since when if they were found there; None for the others."""
        return {row["video_id"]: row["seen_at"] for row in self._database.run("seen", video_ids=list(video_ids))}

    def mark_gone(self, video_ids: Sequence[str], *, now: datetime | None = None) -> set[str]:
        """Note that these videos are gone, where they are on the watchlist and were not found yet; which are so now.

        Their first reading is then a return. Rows that others hold are passed over.
        """
        if not video_ids:
            return set()
        rows = self._database.run("mark_gone", video_ids=list(video_ids), misses=GONE_AFTER_MISSES, now=now)
        return {row["video_id"] for row in rows}

    @contextmanager
    def claim(
        self,
        tier: Tier,
        limit: int,
        *,
        deadline: timedelta = timedelta(seconds=120),
        now: datetime | None = None,
        plan: ReadingPlan = EVERY_SLOT,
    ) -> Iterator[Claim]:
        """Claim up to `limit` due videos of a tier, the longest overdue first, for as long as the block runs.

        Where the plan has a cut, only those whose index reaches it.

        The lease is the row lock of one transaction: rows that another claim holds are passed over, as are those whose
        call has just failed (`core.schedule.deferred`), and a worker that dies frees its own at once. What `reschedule`
        was given is written back when the block ends, in the same transaction; an exception leaves everything due.
        PostgreSQL ends a claim that stays idle longer than `deadline` and a margin. Where the connection is lost before
        the end, the outcome is written over a new one, to the rows that nobody else has tracked meanwhile.
        """
        claim = Claim(plan=plan)
        with lease(self._database, claim, deadline, lambda: self._write_back(claim)):
            claim.entries = [entry_of(row) for row in self._due(limit, tier, now, plan)]
            yield claim

    @contextmanager
    def claim_videos(
        self,
        video_ids: Sequence[str],
        *,
        deadline: timedelta = timedelta(seconds=120),
        plan: ReadingPlan = EVERY_SLOT,
    ) -> Iterator[Claim]:
        """Claim those of these videos that are on the watchlist, due or not; as `claim`. Others hold none of them."""
        claim = Claim(plan=plan)
        with lease(self._database, claim, deadline, lambda: self._write_back(claim)):
            claim.entries = [entry_of(row) for row in self._database.run("these_videos", video_ids=list(video_ids))]
            yield claim

    def fetch_due(self, batch_size: int, tier: Tier | None = None, now: datetime | None = None) -> list[Row]:
        """Due rows, the longest overdue first, of one tier or of all; locked until the transaction ends.

        Rows that others hold are passed over.
        """
        if tier is None:
            return self._fetch_of_all(batch_size, now)
        return self._database.run("due_of_tier", batch_size=batch_size, tier=tier, now=now)

    def _due(self, limit: int, tier: Tier, now: datetime | None, plan: ReadingPlan) -> list[Row]:
        if plan.cut <= 0:
            return self.fetch_due(limit, tier, now)
        return self._database.run(
            "due_of_tier_above", batch_size=limit, tier=tier, now=now, cut=plan.cut, **index_parameters(plan)
        )

    def update_schedule(self, updates: Sequence[Mapping[str, Any]]) -> int:
        """Set `tracking_tier`, `last_tracked_at` and `next_track_at` of many videos in one statement.

        Each update is a mapping with these and `video_id`. Returns how many rows were changed; a video that is not
        on the watchlist changes none. Locks the rows until the transaction ends. Raises BadInputError, naming the
        update and the reason, before anything is written.
        """
        rows = [_checked_update(number, update) for number, update in enumerate(updates)]
        names = ("video_id", "tracking_tier", "last_tracked_at", "next_track_at")
        return self._database.change("update_schedule", **{name: [row[name] for row in rows] for name in names})

    def _fetch_of_all(self, batch_size: int, now: datetime | None) -> list[Row]:
        rows: list[Row] = []
        tried: set[str] = set()
        wanted = batch_size
        with self._database.transaction():
            while True:
                found = self._database.run("due_heads", tiers=list(Tier), heads=wanted, now=now)
                heads = [row["video_id"] for row in found]
                left = batch_size - len(rows)
                new = [video_id for video_id in heads if video_id not in tried]
                rows += self._database.run("due_among", video_ids=new, batch_size=left, now=now)
                if len(rows) >= batch_size or len(heads) < wanted:
                    return rows
                # others hold some of them: look further down
                tried.update(new)
                wanted *= 4

    def _write_back(self, claim: Claim) -> None:
        if claim._outcomes:
            rows = self._database.run(
                "reschedule",
                **_columns([after for _, after in claim._outcomes]),
                claimed_last=[before.last_tracked_at for before, _ in claim._outcomes],
                claimed_next=[before.next_track_at for before, _ in claim._outcomes],
            )
            written = {row["video_id"] for row in rows}
            # at the very end, since its rows are everybody's
            changes = (change for change in claim._outcomes if change[1].video_id in written)
            self._coverage.add(count_rows(changes, claim.plan))


def entry_of(row: Row) -> WatchlistEntry:
    """A row of the watchlist, with all of its columns but `deferred_until`."""
    absence = None
    if row["first_missed_at"] is not None:
        absence = Absence(row["missed_count"] or 0, row["first_missed_at"], row["gone_at"])
    names = (
        "video_id",
        "last_tracked_at",
        "next_track_at",
        "created_at",
        "anchor_at",
        "awaits_start",
        "promoted_until",
        "views",
        "gain_per_hour",
    )
    return WatchlistEntry(
        **{name: row[name] for name in names}, tracking_tier=Tier(row["tracking_tier"]), absence=absence
    )


def _columns(entries: Sequence[WatchlistEntry]) -> dict[str, list[Any]]:
    """Rows of the watchlist as columns, to be bound."""
    names = ("video_id", "tracking_tier", "last_tracked_at", "next_track_at", "anchor_at", "awaits_start")
    states = ("promoted_until", "deferred_until", "views", "gain_per_hour")
    absences = [entry.absence for entry in entries]
    return {name: [getattr(entry, name) for entry in entries] for name in (*names, *states)} | {
        "missed_count": [absence and absence.missed_count for absence in absences],
        "first_missed_at": [absence and absence.first_missed_at for absence in absences],
        "gone_at": [absence and absence.gone_at for absence in absences],
    }


def _checked_update(number: int, update: Mapping[str, Any]) -> Row:
    where = f"update {number} ({update.get('video_id')!r})"
    require_id(update.get("video_id"))
    due = instant(update.get("next_track_at"), f"{where}: next_track_at")
    if due is None:
        raise BadInputError(f"{where}: next_track_at is missing")
    return {
        "video_id": update["video_id"],
        "tracking_tier": tier_named(str(update.get("tracking_tier"))),
        "last_tracked_at": instant(update.get("last_tracked_at"), f"{where}: last_tracked_at"),
        "next_track_at": due,
    }
