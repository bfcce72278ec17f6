"""Recovery: what the vault has seen and the schedule does not know goes back on the schedule.

A database that is restored from a backup has forgotten the videos that were found since. Their points are in the vault,
and so are their publish times. A database that is lost altogether is rebuilt from the vault in the same way.
"""

import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ghost_tracking.core.sync import RebuildProgress, SyncToken, in_sync
from ghost_tracking.errors import RosterMoveError
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.services.rebuild import Rebuild, RebuildReport
from ghost_tracking.vault import Vault
from ghost_tracking.wording import pluralize

log = logging.getLogger(__name__)

_OVERLAP = timedelta(hours=2)
"""A run that began before the token was made may have found videos after it."""


@dataclass(frozen=True)
class ScheduleReconciler:
    """Compare a database and a vault at `now` (aware)."""

    watchlist: Schedule
    vault: Vault
    now: datetime

    def in_sync(self) -> bool:
        """Whether database and vault belong together; then both get a new token."""
        synced = in_sync(self.watchlist.vault_link.sync_token(), self.vault.sync_token())
        if synced:
            self._renew_token()
        return synced

    def reconcile(self) -> RebuildReport:
        """Put back what is missing, and make database and vault agree; returns what was compared and put back.

        By the points since the database's token, or all of them where it has none. Killed on the way it goes on where
        it was; running it again is harmless. Less than 1 GB of memory, see `Rebuild`. Raises RosterMoveError where an
        hour of the week failed: all else is put back, and the tokens stay apart.
        """
        token = self.watchlist.vault_link.sync_token()
        self.vault.publish()  # what a killed run has staged has been seen as well
        since = None if token is None else token.at - _OVERLAP
        report = Rebuild(self.watchlist, self.vault, self.now).run(since, self._progress())
        # they say of videos that they are on the schedule, and were said of another database
        self.vault.source_memory.forget_all()
        if report.problems:
            raise RosterMoveError("; ".join(report.problems))
        if report.lost is not None:
            raise report.lost
        self._renew_token()
        return report

    def _progress(self) -> RebuildProgress:
        """Where a rebuild of this database by this vault goes on, or begins."""
        begun, token = self.watchlist.vault_link.rebuild_progress(), self.vault.sync_token()
        vault_token = token.token if token is not None else None
        if begun is not None and begun.vault_token == vault_token:
            log.info(
                "Going on with the comparison that began at %s, after %s",
                f"{begun.begun_at:%Y-%m-%d %H:%M} UTC",
                pluralize(begun.compared, "video"),
            )
            return begun
        progress = RebuildProgress(self.now.astimezone(UTC) - _OVERLAP, vault_token)
        self.watchlist.vault_link.set_rebuild_progress(progress)
        return progress

    def _renew_token(self) -> None:
        """The vault first: killed in between, they are compared once more, which is harmless.

        No comparison is under way then, also where one was killed just before it could say so.
        """
        token = SyncToken(secrets.token_hex(8), self.now.astimezone(UTC))
        self.vault.set_sync_token(token)
        self.watchlist.vault_link.set_sync_token(token)
        self.watchlist.vault_link.end_rebuild()


def check_sync(watchlist: Schedule, vault: Vault) -> bool:
    """Whether database and vault belong together. Every run that may put videos on the schedule gives both a new token.

    Without a new token between a backup and what was found after it, nobody could tell that the backup was restored.
    """
    synced = ScheduleReconciler(watchlist, vault, watchlist.now()).in_sync()
    if not synced:
        log.warning(
            "The database is older than the vault (a restored backup?): trigger ghost_janitor, which puts the "
            "videos that the vault has seen since back on the schedule"
        )
    return synced
