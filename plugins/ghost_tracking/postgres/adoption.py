"""The way from an old tracker: its table `videos` says what it has tracked, and when it was last updated."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Tier, as_utc
from ghost_tracking.core.video_ids import parse_video_reference
from ghost_tracking.errors import BadInputError
from ghost_tracking.postgres.database import Database, Row
from ghost_tracking.postgres.refused import Refused
from ghost_tracking.postgres.watchlist import Watchlist

_FIRST_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Adoption:
    """How many videos of an old tracker were put on the watchlist, and how many rows name none."""

    adopted: int = 0
    refused: int = 0


class OldTracker:
    """An old tracker's rows in the table `videos`, which stay there."""

    def __init__(self, database: Database, entries: Watchlist, refused: Refused) -> None:
        self._database = database
        self._entries = entries
        self._refused = refused

    def adopt_videos(
        self, *, batch_size: int = 10_000, before: Callable[[Collection[str]], None] = lambda _: None
    ) -> Adoption:
        """Put every video of an old tracker's `videos` table on the watchlist, in batches; run twice, it adds nothing.

        Takes over `last_updated_at` as `last_tracked_at` where it is a time that has passed, a naive one being UTC;
        each is due at once. Blanks around an id do not count, and of a URL its video does. What names no video goes
        onto the list of what was refused. `before` is told the ids of each batch before it is written. Raises
        BadInputError where `videos` does not come from an old tracker.
        """
        if not self._database.value("old_tracker_has_last_updated"):
            raise BadInputError(
                "the table `videos` has no column last_updated_at, so it does not come from an old tracker"
            )
        adoption, present, last = Adoption(), self._database.value("database_now"), None
        while rows := self._database.run("old_videos", after=last, batch_size=batch_size):
            last = rows[-1]["id"]
            entries, reasons = _read(rows, present)
            before([entry.video_id for entry in entries.values()])
            with self._database.transaction():
                adopted = self._entries.add(entries.values())
                self._database.change("note_scheduled", ids=list(entries))
                self._refused.note("old tracker", reasons)
            adoption = Adoption(adoption.adopted + len(adopted), adoption.refused + len(reasons))
        return adoption


def _read(rows: Sequence[Row], present: datetime) -> tuple[dict[str, WatchlistEntry], dict[str, str]]:
    """Rows of an old tracker by their ids as they stand there: places on the watchlist, or why there is none."""
    entries: dict[str, WatchlistEntry] = {}
    reasons: dict[str, str] = {}
    for row in rows:
        try:
            video_id = parse_video_reference(row["id"])
        except ValueError as error:
            reasons[row["id"]] = str(error)
            continue
        entries[row["id"]] = WatchlistEntry(
            video_id, Tier.DAILY, last_tracked_at=_past_time(row["last_updated_at"], present)
        )
    return entries, reasons


def _past_time(text: str | None, present: datetime) -> datetime | None:
    """A time that an old tracker has written, a naive one being UTC; None for what is none, or not over yet."""
    try:
        moment = datetime.fromisoformat(text.strip()) if text else None
        moment = moment and as_utc(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None
    return moment if moment is not None and _FIRST_TIME <= moment <= present else None
