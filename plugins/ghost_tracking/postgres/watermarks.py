"""How far the hunter has hunted each source, and what of a source could not be had."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from ghost_tracking.core.discovery import Gap
from ghost_tracking.core.windows import Window
from ghost_tracking.postgres.database import Database


class Watermarks:
    """The tables `hunter_watermarks` and `discovery_gaps`. Sources go by their keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, sources: Sequence[str]) -> dict[str, datetime]:
        """How far each of these sources has been hunted; one whose hunt has not begun is absent."""
        return {row["source"]: row["watermark"] for row in self._database.run("watermarks", sources=list(sources))}

    def asked_until(self, sources: Sequence[str]) -> dict[str, datetime]:
        """Up to when each of these sources was asked; more than its watermark where the answers had no video."""
        return {row["source"]: row["asked_until"] for row in self._database.run("watermarks", sources=list(sources))}

    def never_hunted(self, sources: Sequence[str]) -> set[str]:
        """Those of these sources that have never been hunted to an end: what they have had before is their past."""
        rows = self._database.run("watermarks", sources=list(sources))
        return set(sources) - {row["source"] for row in rows if not row["is_new"]}

    def begin(self, sources: Sequence[str], start: datetime) -> None:
        """Note where the hunt of new sources begins; those that have begun, but not later, keep their watermarks."""
        self._database.change("begin_watermarks", sources=list(sources), start=start)

    def advance(
        self,
        until: Mapping[str, datetime],
        since: Mapping[str, datetime] | None = None,
        asked: Mapping[str, datetime] | None = None,
    ) -> None:
        """Note how far sources have been hunted, from when on (`since`; without it, from anywhere on), and up to when
        they were `asked`, where that is more.

        A watermark never goes back, and never leaps over what has not been hunted.
        """
        begun, looked = since or {}, asked or {}
        self._database.change(
            "advance_watermarks",
            sources=list(until),
            until=list(until.values()),
            since=[begun.get(source) for source in until],
            asked=[looked.get(source) for source in until],
        )

    def note_gap(self, gap: Gap) -> None:
        """Note that a window of a source could not be had whole; kept for 90 days."""
        self._database.change(
            "note_gap",
            source=gap.source,
            label=gap.label,
            starts_at=gap.window.start,
            ends_at=gap.window.end,
            reason=gap.reason,
        )

    def gaps(self, within: timedelta = timedelta(days=30), limit: int = 100) -> list[Gap]:
        """What could not be had of sources, as noted in the last time, the latest first."""
        rows = self._database.run("gaps", within=within, limit=limit)
        return [
            Gap(row["source"], row["label"], Window(row["starts_at"], row["ends_at"]), row["reason"]) for row in rows
        ]

    def forget_old_gaps(self) -> None:
        """Drop what was noted more than 90 days ago."""
        self._database.change("forget_old_gaps")
