"""Recovery: what the vault has seen and the schedule does not know goes back on the schedule.

A database that is restored from a backup has forgotten the videos that were found since. Their points are in the vault,
and so are their publish times. A database that is lost altogether is rebuilt from the vault in the same way.
"""

import logging
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from more_itertools import chunked

from ghost_tracking.core.roster import has_settled
from ghost_tracking.core.schedule import WatchlistEntry, after_reading
from ghost_tracking.core.sync import SyncToken, in_sync
from ghost_tracking.core.tiers import Tier
from ghost_tracking.core.videos import Reading
from ghost_tracking.errors import RosterMoveError
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.services.roster_moves import RosterMoves
from ghost_tracking.vault import Vault

log = logging.getLogger(__name__)

_OVERLAP = timedelta(hours=2)
"""A run that began before the token was made may have found videos after it."""

_AT_A_TIME = 50_000


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

    def reconcile(self) -> int:
        """Put back what is missing, and make database and vault agree; returns how many videos were put back.

        Reads the points since the database's token, or all of them where it has none. Running it again is harmless.
        Raises RosterMoveError where an hour of the week failed: all else is put back, and the tokens stay apart.
        """
        token = self.watchlist.vault_link.sync_token()
        self.vault.publish()  # what a killed run has staged has been seen as well
        seen = self._seen(None if token is None else token.at - _OVERLAP)
        for ids in chunked(list(seen), _AT_A_TIME):
            for video_id in self.watchlist.entries.known(ids):
                del seen[video_id]
        for chunk in self.watchlist.roster.all():
            for video_id in self.vault.roster.read(chunk.name):
                seen.pop(video_id, None)
        back = self._put_back_named_only(seen.keys())
        problems: dict[str, None] = {}
        for readings in chunked(seen.values(), _AT_A_TIME):
            entries = [after_reading(WatchlistEntry(each.video_id, Tier.DAILY), each) for each in readings]
            self.watchlist.entries.add(entry for entry in entries if not has_settled(entry, self.now))
            try:
                RosterMoves(self.watchlist, self.vault, self.now).move_found(
                    entry for entry in entries if has_settled(entry, self.now)
                )
            except RosterMoveError as error:
                problems[error.message] = None
        # they say of videos that they are on the schedule, and were said of another database
        self.vault.source_memory.forget_all()
        if problems:
            raise RosterMoveError("; ".join(problems))
        self._renew_token()
        return len(seen) + back

    def _put_back_named_only(self, others: Collection[str]) -> int:
        """Put back what lists have named that is nowhere, nor among `others`: no point tells of one that is missing.

        Holds the ids of all lists that are not on the watchlist. The tracker reads what is put back.
        """
        named: set[str] = set()
        for ids in self.vault.import_queue.imported_ids(_AT_A_TIME):
            named.update(set(ids) - self.watchlist.entries.known(ids))
        named -= set(others)
        for chunk in self.watchlist.roster.all() if named else ():
            named.difference_update(self.vault.roster.read(chunk.name))
        return len(self.watchlist.entries.add(sorted(named)))

    def _seen(self, since: datetime | None) -> dict[str, Reading]:
        """The last reading of each video that was read since then."""
        seen: dict[str, Reading] = {}
        for video_id, observed_at, published_at in self._points(since):
            known = seen.get(video_id)
            if known is None or known.observed_at < observed_at:
                seen[video_id] = Reading(video_id, observed_at, None, None, None, published_at)
        return seen

    def _points(self, since: datetime | None) -> Iterator[tuple[str, datetime, datetime | None]]:
        columns = ["video_id", "timestamp", "published_at"]
        if since is None:
            frame = self.vault.read_latest()
            yield from zip(
                *(frame[name].astype(object).where(frame[name].notna(), None) for name in columns), strict=True
            )
            return
        for batch in self.vault.read_batches(since, columns=columns):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)

    def _renew_token(self) -> None:
        """The vault first: killed in between, they are compared once more, which is harmless."""
        token = SyncToken(secrets.token_hex(8), self.now.astimezone(UTC))
        self.vault.set_sync_token(token)
        self.watchlist.vault_link.set_sync_token(token)


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
