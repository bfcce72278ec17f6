"""The rebuild: every video that the vault or a list knows and that is nowhere on the schedule goes back there.

Range by range of ids, in bounded memory whatever the vault holds. The ids of the roster and of the lists are sorted
into temporary files once, one for each range. Then each range's newest points stream past, and what has no place gets
one: young videos a row of the watchlist, settled ones a place in new chunks of their hour of the week. After each range
the database remembers how far it is, so that a rebuild that was killed goes on there.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from more_itertools import chunked

from ghost_tracking.core.points import EARLIEST
from ghost_tracking.core.roster import SETTLED_AFTER, Candidate
from ghost_tracking.core.schedule import WatchlistEntry, after_reading
from ghost_tracking.core.sync import RebuildProgress
from ghost_tracking.core.tiers import Queue, Tier
from ghost_tracking.core.videos import Reading
from ghost_tracking.errors import DatabaseUnavailableError
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.services.known_places import Ids, KnownPlaces, Numbers, among, sorted_ids, split_ranges, texts_of
from ghost_tracking.services.roster_moves import Hour, RosterMoves, RosterMovesReport
from ghost_tracking.vault import Vault
from ghost_tracking.wording import pluralize

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

log = logging.getLogger(__name__)


_AT_A_TIME: Final = 50_000
_MOST_SETTLED: Final = 1_500_000
"""So many settled videos are held, some 40 bytes each, before they get their chunks."""
_SMALL: Final = 2_000_000
"""Ids on the roster and in lists that are few enough for a single range."""
_HOURS_A_WEEK: Final = 168
_HOUR: Final = 3_600
_DAY: Final = 24 * _HOUR
_WEEK: Final = 7 * _DAY
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class RebuildReport:
    """`restored`: how many videos were put back, `compared`: how many newest points of the vault were looked at.

    `problems`: hours of the week that could not be written, each in a sentence. `lost`: that the connection was lost.
    """

    restored: int = 0
    compared: int = 0
    problems: list[str] = field(default_factory=list)
    lost: DatabaseUnavailableError | None = None

    @property
    def is_whole(self) -> bool:
        """Whether everything that was found missing has a place now."""
        return not self.problems and self.lost is None


@dataclass(frozen=True)
class Rebuild:
    """Put back what is missing; `now` is aware.

    Holds, beside what the vault's stream takes, the ids that the roster and the lists have in one range, 11 bytes each,
    and 1.5 million settled videos at most: some 300 MB at 180 million videos. The temporary files take 11 bytes an
    id, and 28 bytes for each time that a video went.
    """

    watchlist: Schedule
    vault: Vault
    now: datetime

    def run(self, since: datetime | None, progress: RebuildProgress) -> RebuildReport:
        """Compare all ranges from `progress.done_before` on, by the points since a time (aware; None: all).

        A rebuild that goes on looks once more at the ranges before, for what was found since it began.
        """
        report = RebuildReport()
        with self._known_places() as known:
            places = list(enumerate(known.ranges))
            for place, (first, end) in places:
                if end is not None and end <= progress.done_before:
                    continue
                self._range(known, place, max(first, progress.done_before), end, since, report)
                if report.is_whole:
                    self._note(progress, report, end, place + 1, len(places))
            if progress.done_before:
                for place, (first, end) in places:
                    if first < progress.done_before:
                        last = progress.done_before if end is None else min(end, progress.done_before)
                        self._range(known, place, first, last, progress.begun_at, report)
        report.restored += progress.restored
        report.compared += progress.compared
        return report

    def _note(self, progress: RebuildProgress, report: RebuildReport, end: str | None, done: int, ranges: int) -> None:
        restored, compared = progress.restored + report.restored, progress.compared + report.compared
        if end is not None:
            self.watchlist.vault_link.set_rebuild_progress(
                replace(progress, done_before=end, restored=restored, compared=compared)
            )
        log.info(
            "Compared %s of %s of ids with the schedule: %s, %s put back",
            done,
            pluralize(ranges, "range"),
            pluralize(compared, "video"),
            f"{restored:,}",
        )

    def _known_places(self) -> KnownPlaces:
        """The ids of the roster, but those that have left it, those that lists have named, and those that were gone."""
        queues = self.watchlist.status.queues()
        chunks = queues.get(Queue.ROSTER, 0) + queues.get(Queue.GONE, 0)
        listed = sum(each.imported for each in self.vault.import_queue.lists())
        ranges = self.vault.id_ranges()
        known = KnownPlaces(split_ranges(ranges) if chunks + listed > _SMALL else ranges)
        try:
            for hours in chunked(range(_HOURS_A_WEEK), 24):
                for chunk in self.watchlist.roster.of_hours(hours):
                    away = chunk.removed_positions
                    ids = self.vault.roster.read(chunk.name)
                    known.roster.add([id_ for place, id_ in enumerate(ids) if place not in away] if away else ids)
            for ids in self.vault.import_queue.imported_ids(_AT_A_TIME):
                known.listed.add(ids)
            for month in _months(self.now):
                events = self.vault.read_availability(start=month, end=_next_month(month))
                events = events[events["state"] == "gone"]
                known.gone.add(events["video_id"].tolist(), _whole_seconds(events["confirmed_at"]))
        except BaseException:
            known.__exit__(None, None, None)
            raise
        log.info("The roster has %s, lists have named %s", pluralize(chunks, "video"), f"{listed:,}")
        return known

    def _range(
        self,
        known: KnownPlaces,
        place: int,
        first: str,
        end: str | None,
        since: datetime | None,
        report: RebuildReport,
    ) -> None:
        """Put back what is missing of the ids in [first, end)."""
        on_roster, gone = known.roster.of(place), known.gone.of(place)
        settled = _Settled(lambda hours: self._write_chunks(hours, report))
        back: list[Ids] = []
        columns = ["video_id", "timestamp", "published_at"]
        for batch in self.vault.read_latest_batches(first=first, end=end, columns=columns):
            report.compared += batch.num_rows
            found = _Found.of(batch, since)
            missing = found.only(~among(found.ids, on_roster))
            missing = missing.only(~among(missing.ids, self._on_watchlist(missing.ids)))
            back.append(missing.ids)
            is_young = missing.is_young(self.now)
            report.restored += self._write_rows(missing.only(is_young))
            settled.add(missing.only(~is_young), gone, self.now)
        settled.flush()
        named = known.listed.of(place, first, end)
        for ids in (on_roster, *back):
            named = named[~among(named, np.sort(ids))]
        named = named[~among(named, self._on_watchlist(named))]
        for texts in chunked(texts_of(named), _AT_A_TIME):
            report.restored += len(self.watchlist.entries.add(texts))

    def _on_watchlist(self, ids: Ids) -> Ids:
        found = [id_ for texts in chunked(texts_of(ids), _AT_A_TIME) for id_ in self.watchlist.entries.known(texts)]
        return sorted_ids(found)

    def _write_rows(self, young: "_Found") -> int:
        entries = (after_reading(WatchlistEntry(each.video_id, Tier.DAILY), each) for each in young.readings())
        return sum(len(self.watchlist.entries.add(each)) for each in chunked(entries, _AT_A_TIME))

    def _write_chunks(self, hours: Iterable[tuple[Hour, list[Candidate]]], report: RebuildReport) -> None:
        moves, moved = RosterMoves(self.watchlist, self.vault, self.now), RosterMovesReport()
        for hour_gone, candidates in hours:
            moves.add_unknown(hour_gone, candidates, moved)
        report.restored += moved.moved
        report.problems += [problem for problem in moved.problems if problem not in report.problems]
        report.lost = report.lost or moved.lost


@dataclass(frozen=True)
class _Found:
    """Newest points: ids, when they were observed and published, in seconds since 1970; -1: not known."""

    ids: Ids
    observed: Numbers
    published: Numbers

    @classmethod
    def of(cls, batch: "pa.RecordBatch", since: datetime | None) -> "_Found":
        found = cls(
            batch.column("video_id").to_numpy(zero_copy_only=False).astype("S20"),
            _seconds(batch.column("timestamp")),
            _seconds(batch.column("published_at")),
        )
        return found if since is None else found.only(found.observed >= int(since.timestamp()))

    def only(self, chosen: npt.NDArray[np.bool_]) -> "_Found":
        return _Found(self.ids[chosen], self.observed[chosen], self.published[chosen])

    def is_young(self, now: datetime) -> npt.NDArray[np.bool_]:
        """Which of them belong on the watchlist.

        Of a video on the roster the answers do not tell when it was published: it has settled.
        """
        border = int((now - SETTLED_AFTER).timestamp())
        young: npt.NDArray[np.bool_] = self.published > border
        return young

    def readings(self) -> Iterator[Reading]:
        for video_id, observed, published in zip(
            texts_of(self.ids), self.observed.tolist(), self.published.tolist(), strict=True
        ):
            yield Reading(
                video_id,
                _EPOCH + timedelta(seconds=observed),
                None,
                None,
                None,
                _EPOCH + timedelta(seconds=published),
            )

    def slots(self, now: datetime) -> tuple[Numbers, Numbers]:
        """Hour of the week, and the next slot in hours since 1970, of videos that have settled.

        As `core.schedule.after_reading` has it. Of slots that have passed the last one is due: all others are lost, and
        videos that were last read in different weeks share a chunk. Where the publish time is not known, the hour in
        which the video was read stands for its slot: it was a chunk's.
        """
        known = self.published >= 0
        anchor = np.where(known, self.published, self.observed // _HOUR * _HOUR)
        age = np.maximum(self.observed - anchor, 0)
        step = np.where(known & (age < _DAY), _HOUR, np.where(known & (age < _WEEK), _DAY, _WEEK))
        following = anchor + (age // step + 1) * step
        hour_of_week = -(-anchor // _HOUR) % _HOURS_A_WEEK
        at_least = -(-following // _HOUR)
        due = at_least + (hour_of_week - at_least) % _HOURS_A_WEEK
        present = int(now.timestamp()) // _HOUR
        return hour_of_week, np.maximum(due, present - (present - hour_of_week) % _HOURS_A_WEEK)


class _Settled:
    """Settled videos, held until there are enough to fill chunks of each hour of the week, or a range is over."""

    def __init__(self, write: Callable[[Iterable[tuple[Hour, list[Candidate]]]], None]) -> None:
        self._write = write
        self._parts: list[tuple[Ids, Numbers, Numbers]] = []

    def add(self, found: _Found, gone: tuple[Ids, Numbers], now: datetime) -> None:
        """`gone`: since when videos were gone, of those that were; one that was read later is back."""
        hours, due = found.slots(now)
        went_at = _times_of(found.ids, *gone)
        is_gone = went_at >= found.observed
        due = np.where(is_gone, _gone_slots(hours, went_at, now), due)
        self._parts.append((found.ids, 2 * hours + is_gone, due))
        if sum(len(part[0]) for part in self._parts) >= _MOST_SETTLED:
            self.flush()

    def flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts:
            ids, hours, due = (np.concatenate([part[place] for part in parts]) for place in range(3))
            self._write(_by_hour(ids, hours, due))


def _times_of(ids: Ids, known: Ids, times: Numbers) -> Numbers:
    """The times of these ids, -1 for those without one; `known` is sorted."""
    if not len(known):
        return np.full(len(ids), -1, dtype=np.int64)
    places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    found: Numbers = np.where(known[places] == ids, times[places], -1)
    return found


def _gone_slots(hours_of_week: Numbers, went_at: Numbers, now: datetime) -> Numbers:
    """When to look for gone videos again, in hours since 1970: within four weeks, a quarter of them in each."""
    present = int(now.timestamp()) // _HOUR
    last = present - (present - hours_of_week) % _HOURS_A_WEEK
    slots: Numbers = last + _HOURS_A_WEEK * (1 + went_at // _WEEK % 4)
    return slots


def _whole_seconds(times: "pd.Series[pd.Timestamp]") -> Numbers:
    return np.asarray(times.dt.as_unit("s").astype("int64"), dtype=np.int64)


def _months(until: datetime) -> Iterator[datetime]:
    """The first moments of all months that YouTube has had videos in."""
    month = EARLIEST
    while month <= until:
        yield month
        month = _next_month(month)


def _next_month(month: datetime) -> datetime:
    return (month + timedelta(days=31)).replace(day=1)


def _by_hour(ids: Ids, hours: Numbers, due: Numbers) -> Iterator[tuple[Hour, list[Candidate]]]:
    """By twice the hour of the week, and one more for those that are gone."""
    order = np.argsort(hours, kind="stable")
    ids, hours, due = ids[order], hours[order], due[order]
    for hour in np.unique(hours).tolist():
        start, stop = np.searchsorted(hours, [hour, hour + 1])
        slots = {slot: _EPOCH + timedelta(hours=slot) for slot in np.unique(due[start:stop]).tolist()}
        pairs = zip(texts_of(ids[start:stop]), due[start:stop].tolist(), strict=True)
        yield (hour // 2, hour % 2 == 1), [Candidate(video_id, slots[slot]) for video_id, slot in pairs]


def _seconds(column: "pa.Array") -> Numbers:
    seconds: Numbers = column.cast("int64").fill_null(-1_000_000).to_numpy(zero_copy_only=False) // 1_000_000
    return seconds
