"""WatchlistHook: the schedule of every tracked video, and the short-lived metadata of new ones, in PostgreSQL."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseHook, Connection

from ghost_tracking import settings
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Tier, next_slot
from ghost_tracking.core.videos import Video
from ghost_tracking.hooks.postgres import connector
from ghost_tracking.postgres.checks import tier_named
from ghost_tracking.postgres.database import Database, Row
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.postgres.videos import JanitorReport
from ghost_tracking.postgres.watchlist import Claim


class WatchlistHook(Schedule, BaseHook):
    """The schedule of a deployment, with the verbs of the specification.

    It is a Schedule, not the owner of one, so that whatever takes a Schedule takes the hook, as with ParquetVaultHook.

    `WatchlistHook()` uses Airflow's connection `ghost_postgres` (type Postgres; extra: libpq's parameters, such as
    sslmode); `WatchlistHook(connection=Connection(…))` works outside of Airflow too. As a context manager it keeps
    one database connection for all calls and closes it at the end; otherwise call `close`.
    All times are aware and come back in UTC. Raises ConfigurationError where the connection is missing, and
    DatabaseUnavailableError where it leads nowhere.

    :param watchlist_conn_id: the connection that names the database
    :param connection: the connection itself, instead of its id
    :param budgets: calls a day that each of YouTube's buckets may spend; by default those of the settings
    :param statement_limit: how long a statement may take; None: as long as the server allows
    """

    conn_name_attr = "watchlist_conn_id"
    default_conn_name = settings.POSTGRES_CONNECTION
    conn_type = "postgres"
    hook_name = "Ghost Tracking watchlist"

    def __init__(
        self,
        watchlist_conn_id: str = default_conn_name,
        *,
        connection: Connection | None = None,
        budgets: Mapping[str, int] | None = None,
        statement_limit: timedelta | None = None,
    ) -> None:
        BaseHook.__init__(self)
        database = Database(watchlist_conn_id, connector(watchlist_conn_id, connection), statement_limit)
        Schedule.__init__(self, database, budgets or settings.Settings().quota)

    def ingest_video_metadata(
        self,
        videos: Video | Mapping[str, Any] | Iterable[Video | Mapping[str, Any]],
        *,
        now: datetime | None = None,
        scheduled: bool = False,
    ) -> list[str]:
        """Write the metadata of newly found videos; returns the ids that were new. See `Videos.ingest`."""
        return self.videos.ingest(videos, now=now, scheduled=scheduled)

    def add_to_watchlist(
        self, videos: str | WatchlistEntry | Iterable[str | WatchlistEntry], tier: str = Tier.HOURLY
    ) -> list[str]:
        """Put one or many videos on the watchlist; returns the ids that were new. See `Watchlist.add`."""
        return self.entries.add(videos, tier)

    def claim(
        self, tier: Tier, limit: int, *, deadline: timedelta = timedelta(seconds=120), now: datetime | None = None
    ) -> AbstractContextManager[Claim]:
        """Claim up to `limit` due videos of a tier for as long as the block runs. See `Watchlist.claim`."""
        return self.entries.claim(tier, limit, deadline=deadline, now=now)

    def fetch_tracking_batch(
        self, batch_size: int = 50, tier: str | None = None, *, now: datetime | None = None
    ) -> list[Row]:
        """Due videos, the longest overdue first, of one tier or of all: dicts with the columns of `watchlist`.

        Locks the rows that it returns against other claims until the transaction ends: inside `transaction()` that
        is its end, otherwise at once. Rows that are locked by others are passed over.
        """
        return self.entries.fetch_due(batch_size, tier_named(tier) if tier else None, now)

    @staticmethod
    def calculate_next_track_time(published_at: datetime, now: datetime | None = None) -> tuple[Tier, datetime]:
        """The tier of a video at `now` (default: the present) and its next slot after that, in UTC.

        Slots lie at the same ages for every video; see `core.tiers.next_slot`. A naive time is a ValueError.
        """
        return next_slot(published_at, now or datetime.now(UTC))

    def update_watchlist_schedule(self, updates: Sequence[Mapping[str, Any]]) -> int:
        """Set `tracking_tier`, `last_tracked_at` and `next_track_at` of many videos in one statement.

        Returns how many rows were changed, and locks them until the transaction ends. See
        `Watchlist.update_schedule`.
        """
        return self.entries.update_schedule(updates)

    def run_janitor(
        self,
        retention_days: int = 7,
        *,
        dry_run: bool = False,
        batch_size: int = 10_000,
        now: datetime | None = None,
        archive: Callable[[list[Row]], object] | None = None,
    ) -> JanitorReport:
        """Delete the metadata of videos discovered more than `retention_days` ago; see `Videos.delete_old`.

        Without `archive` **nothing is archived**: what is deleted is gone.
        """
        return self.videos.delete_old(retention_days, dry_run=dry_run, batch_size=batch_size, now=now, archive=archive)
