"""What sources, old trackers and people have named that cannot be the id of a video: kept, to be tried again."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from ghost_tracking.core.video_ids import parse_brought_video
from ghost_tracking.postgres.database import Database
from ghost_tracking.postgres.watchlist import Watchlist

LONGEST_ITEM = 500
"""Characters of an item that are kept; the query janitor_due knows it too."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An `item` as it was named, who named it (`origin`), why it is none, and since when (aware, UTC)."""

    item: str
    origin: str
    reason: str
    refused_at: datetime


class Refused:
    """The table `refused`. An item is on it once, whoever has named it."""

    def __init__(self, database: Database, entries: Watchlist) -> None:
        self._database = database
        self._entries = entries

    def note(self, origin: str, reasons: Mapping[str, str]) -> None:
        """Put items onto the list, each with its reason; one that is there already keeps its time."""
        kept = {item[:LONGEST_ITEM].replace("\0", ""): reason for item, reason in reasons.items()}
        if kept:
            self._database.change("refused_note", item=list(kept), origin=origin, reason=list(kept.values()))

    def count(self) -> int:
        """How many there are."""
        return int(self._database.value("refused_count"))

    def newest(self, limit: int = 1_000) -> list[Refusal]:
        """The newest first, `limit` at most."""
        return [Refusal(**row) for row in self._database.run("refused_list", limit=limit)]

    def drop(self, items: Collection[str]) -> int:
        """Take items off the list; returns how many were on it."""
        return self._database.change("refused_drop", items=list(items))

    def retry(self, items: Collection[str] | None = None) -> tuple[list[str], dict[str, str]]:
        """Put what was refused (None: all of it) on the watchlist, where it does name a video after all.

        Returns the ids of these, whose items leave the list, and why the others stay, by item.
        """
        ids, reasons = dict[str, str](), dict[str, str]()
        for item in [each.item for each in self.newest(self.count())] if items is None else items:
            try:
                ids[item] = parse_brought_video(item)
            except ValueError as error:
                reasons[item] = str(error)
        with self._database.transaction():
            self._entries.add(ids.values())
            self.drop(ids)
        return list(ids.values()), reasons
