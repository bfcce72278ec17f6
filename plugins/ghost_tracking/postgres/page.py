"""What the page in Airflow's navigation reads of the schedule. It locks nothing and changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Queue, Tier
from ghost_tracking.postgres.database import Database
from ghost_tracking.postgres.watchlist import entry_of


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many `videos` wait in a queue, how many are `due` and `overdue` (by more than an hour), the earliest slot."""

    queue: Queue
    videos: int
    due: int
    overdue: int
    next_track_at: datetime | None


@dataclass(frozen=True, slots=True)
class UnusualStates:
    """Rows of the watchlist in each unusual state; `misplaced`: HOURLY ones that were older than their tier."""

    missing: int
    gone: int
    promoted: int
    awaiting: int
    misplaced: int


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """Bytes on disk: `everything` in the database, and its largest tables with their indexes."""

    everything: int
    watchlist: int
    videos: int
    roster: int


@dataclass(frozen=True, slots=True)
class Metadata:
    """What `videos` has of a video, until the janitor deletes it."""

    video_id: str
    title: str | None
    channel_id: str | None
    channel_title: str | None
    published_at: datetime | None
    duration_seconds: int | None


@dataclass(frozen=True, slots=True)
class Newest:
    """A video of the watchlist, and when it was published, where that is known."""

    video_id: str
    anchor_at: datetime | None


@dataclass(frozen=True, slots=True)
class Sibling:
    """A video of a channel."""

    channel_id: str
    video_id: str
    published_at: datetime | None


@dataclass(frozen=True, slots=True)
class Promoted:
    """A video that came back to life, and until when it is read more often."""

    video_id: str
    promoted_until: datetime
    last_tracked_at: datetime | None
    next_track_at: datetime


class PageQueries:
    """The page's questions, a query each. Times are aware and in UTC."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def queues(self, now: datetime | None = None) -> dict[Queue, QueueCounts]:
        """Counts at `now` (aware; None: the database's clock); a queue of the roster without rows is absent."""
        rows = self._database.run("page_queues", now=now, tiers=list(Tier))
        return {
            queue: QueueCounts(queue, row["videos"], row["due"], row["overdue"], row["next_track_at"])
            for queue, row in ((Queue(row["queue"]), row) for row in rows)
        }

    def unusual_states(self) -> UnusualStates:
        """How many rows of the watchlist are in a state that is not the usual one."""
        (row,) = self._database.run("page_states")
        return UnusualStates(**row)

    def disk_usage(self) -> DiskUsage:
        """How large the database is."""
        (row,) = self._database.run("page_room")
        return DiskUsage(**row)

    def entries(self, video_ids: Sequence[str]) -> dict[str, WatchlistEntry]:
        """The rows of the watchlist of these videos, by id; those that are not on it are absent."""
        rows = self._database.run("page_watched", video_ids=list(video_ids))
        return {row["video_id"]: entry_of(row) for row in rows}

    def metadata(self, video_ids: Sequence[str]) -> list[Metadata]:
        """What `videos` has of these videos."""
        return [Metadata(**row) for row in self._database.run("page_metadata", video_ids=list(video_ids))]

    def found_lately(self, patterns: Sequence[str], limit: int) -> list[Metadata]:
        """Videos discovered in the last two days whose titles fit all of these patterns of LIKE, in whatever case."""
        return [
            Metadata(**row) for row in self._database.run("page_found_lately", patterns=list(patterns), limit=limit)
        ]

    def newest(self, tier: Tier, limit: int) -> list[Newest]:
        """The videos of a tier that were published last, without those that wait for their start."""
        return [Newest(**row) for row in self._database.run("page_newest", tier=tier, limit=limit)]

    def siblings(self, channel_ids: Sequence[str]) -> list[Sibling]:
        """The videos of these channels that `videos` still has."""
        return [Sibling(**row) for row in self._database.run("page_siblings", channel_ids=list(channel_ids))]

    def promoted(self, limit: int) -> list[Promoted]:
        """Videos that came back to life, those promoted last first."""
        return [Promoted(**row) for row in self._database.run("page_promoted", limit=limit)]
