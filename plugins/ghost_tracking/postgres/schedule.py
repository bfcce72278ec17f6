"""The schedule of every tracked video, and all that is kept beside it, in one PostgreSQL database."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Self

from ghost_tracking.postgres.adoption import OldTracker
from ghost_tracking.postgres.alerts import Alerts
from ghost_tracking.postgres.audits import Audits
from ghost_tracking.postgres.coverage import CoverageLedger
from ghost_tracking.postgres.database import Database
from ghost_tracking.postgres.let_go import LetGo
from ghost_tracking.postgres.page import PageQueries
from ghost_tracking.postgres.policy import PolicyStates
from ghost_tracking.postgres.quota import QuotaLedger
from ghost_tracking.postgres.refused import Refused
from ghost_tracking.postgres.roster import Roster
from ghost_tracking.postgres.status import Status
from ghost_tracking.postgres.vault_link import VaultLink
from ghost_tracking.postgres.videos import Videos
from ghost_tracking.postgres.watchlist import Watchlist
from ghost_tracking.postgres.watermarks import Watermarks


class Schedule:
    """Each table's verbs on an attribute of its subject, all over the same connection and in the same transactions.

    `budgets` has the calls a day that each of YouTube's buckets may spend. For one thread at a time. As a context
    manager it keeps one database connection for all calls and closes it at the end; otherwise call `close`. All times
    are aware and come back in UTC. Everything raises DatabaseUnavailableError where the database does not answer.
    """

    def __init__(self, database: Database, budgets: Mapping[str, int]) -> None:
        self.database = database
        self.coverage = CoverageLedger(database)
        self.entries = Watchlist(database, self.coverage)
        self.roster = Roster(database, self.entries, self.coverage)
        self.videos = Videos(database)
        self.status = Status(database)
        self.page = PageQueries(database)
        self.policy = PolicyStates(database)
        self.audits = Audits(database)
        self.quota = QuotaLedger(database, budgets)
        self.watermarks = Watermarks(database)
        self.alerts = Alerts(database)
        self.vault_link = VaultLink(database)
        self.let_go = LetGo(database)
        self.refused = Refused(database, self.entries)
        self.old_tracker = OldTracker(database, self.entries, self.refused)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database connection."""
        self.database.close()

    def migrate(self) -> str:
        """Bring the schema up to date; see `Database.migrate`."""
        return self.database.migrate()

    def has_schema(self) -> bool:
        """Whether Ghost Tracking's tables are there, in whatever version."""
        return self.database.has_schema()

    def now(self) -> datetime:
        """The present by the database's clock, in UTC: the one that decides."""
        moment: datetime = self.database.value("database_now")
        return moment

    @contextmanager
    def transaction(self, within: timedelta | None = None) -> Iterator[None]:
        """Make what is done inside one transaction, which PostgreSQL ends when it takes longer than `within`."""
        with self.database.transaction():
            if within is not None:
                self.database.limit(within)
            yield
