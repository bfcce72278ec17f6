"""Movers, prepared: what grows fastest over an hour, a day or a week, what came back to life, what vanished.

The gain of a window leads from the newest count at or before its beginning, but not older than the window is long, to
the newest within it; without a count before it, from the first within. Where the two counts lie further apart than the
window is long, the gain is scaled down to it. It is never scaled up.

Candidates are those whose intervals have gained the most (`vault.prepared.gains`), and what is shown of them is read
from the vault. So every figure is exact, and what is missing, if anything, has gained no more than `at_most`.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from more_itertools import chunked

from ghost_tracking.core.gains import GRACE, WINDOWS
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.services.channels import Channels, is_outdated
from ghost_tracking.vault import Vault
from ghost_tracking.vault.prepared import QUICKLY, REBUILT_FROM
from ghost_tracking.vault.prepared.figures import (
    MOST_SHOWN,
    PreparedChanges,
    PreparedMover,
    PreparedMovers,
    PreparedPromotion,
    PreparedVanishing,
    ShownVideo,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Numbers = npt.NDArray[np.int64]

log = logging.getLogger(__name__)

CANDIDATES: Final = 120
"""Videos whose gain is read from the vault, of whom the fastest are shown."""
COMPARED: Final = 40
"""Movers that are compared with their channels."""
COMPARED_TOGETHER: Final = 10
"""Movers whose channels' histories are read at once: each time the hours that are not compacted are looked through."""
VANISHED_FOR: Final = timedelta(days=30)
LOOKED_UP_AGAIN_AFTER: Final = timedelta(hours=6)
"""A video without a title: its metadata may have come."""
EVERY: Final = {"hour": timedelta(0), "day": timedelta(hours=1), "week": timedelta(hours=1)}
"""How old the movers of a window are at least when they are prepared again."""
SECONDS: Final = {"hour": 0.5, "day": 4.0, "week": 4.0}
"""How long comparisons with channels may take in a run; what is left comes with the next."""

_SCALE: Final = 1_000_000
_Shown = TypeVar("_Shown", bound=ShownVideo)


@dataclass
class MoversReport:
    """`prepared`: the figures that were; `problems`: what could not be, in sentences. Those stay as they were.

    `quarantined` are paths, relative to the vault's root, of broken events of availability: unlike figures, which are
    made again, nothing else has what was in them.
    """

    prepared: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)

    def add_problem(self, problem: str) -> None:
        """Note and log what could not be done."""
        self.problems.append(problem)
        log.error("%s", problem)

    def as_dict(self) -> dict[str, Any]:
        """For XCom."""
        return {"prepared": self.prepared, "problems": self.problems[:5]}


def prepare(watchlist: Schedule, vault: Vault) -> MoversReport:
    """What the tracker does after publishing: merge the gains of its batches, and prepare what is due.

    A vault from before gets the gains of the last days made from its points, if there are few; else the janitor does.
    Nothing is raised: what fails is logged and in the report, and is late by a run.
    """
    report = MoversReport()
    try:
        now = watchlist.now()
        report.problems += vault.prepared.publish_gains(now).problems
        if vault.prepared.gains_begin_late(now) and _points(vault, now) <= QUICKLY:
            points = vault.prepared.rebuild_gains(now)
            log.info("Made the gains of the last days from %s points", f"{points:,}")
    except Exception as error:  # whatever it is: the points are published, and no figure is worth a red run
        log.debug("Where it was raised", exc_info=True)
        report.add_problem(f"the gains of the last readings were not merged: {type(error).__name__}: {error}")
        return report
    return MoversPreparation(watchlist, vault, now).prepare_due(report)


def _points(vault: Vault, now: datetime) -> int:
    """How many points the gains would be made of; opens no more than the footers of hours that are not compacted."""
    return sum(vault.stats.points_by_hour(now - REBUILT_FROM, now).values())


@dataclass(frozen=True)
class MoversPreparation:
    """Prepares figures as of `now` (aware); `seconds` by window as `SECONDS`."""

    watchlist: Schedule
    vault: Vault
    now: datetime
    seconds: Mapping[str, float] = field(default_factory=lambda: SECONDS)

    def prepare_due(self, report: MoversReport | None = None) -> MoversReport:
        """Prepare what is older than `EVERY` allows. What fails is logged and in the report, and stops nothing else."""
        report = report or MoversReport()
        work: dict[str, Callable[[], bool]] = {
            f"movers of the {window}": partial(self._movers_if_due, window) for window in WINDOWS
        }
        work["who came back or vanished"] = partial(self._changes_if_due, report)
        for name, prepare in work.items():
            try:
                if prepare():
                    report.prepared.append(name)
            except Exception as error:  # as above
                log.debug("Where it was raised", exc_info=True)
                report.add_problem(
                    f"{name} could not be prepared, and what was before stays: {type(error).__name__}: {error}"
                )
        return report

    # Movers

    def _movers_if_due(self, window: str) -> bool:
        before = self._before(window)
        if before.as_of is not None and before.as_of <= self.now < before.as_of + EVERY[window]:
            return False
        self.vault.prepared.put_movers(window, self.movers(window, before))
        return True

    def movers(self, window: str, before: PreparedMovers) -> PreparedMovers:
        """The movers of a window; what was found out about those `before` is kept. Raises as vault and database do."""
        length = WINDOWS[window]
        found = self.vault.prepared.gains(length, self.now)
        ids = found.ids[:CANDIDATES].to_pylist()
        at_most = None
        if found.left is not None:
            beyond = float(found.sums[CANDIDATES]) if len(found.sums) > CANDIDATES else 0.0
            at_most = math.ceil(beyond + found.left)
        movers = self._shown([PreparedMover(**row) for row in self._fastest(ids, length)], before.movers)
        return PreparedMovers(
            as_of=self.now.astimezone(UTC),
            since=found.since,
            readings=found.readings,
            at_most=at_most,
            movers=tuple(self._compared(movers, length, self.seconds[window])),
        )

    def _before(self, window: str) -> PreparedMovers:
        try:
            return self.vault.prepared.movers(window)
        except UnreadableFileError as error:
            log.error("%s; it is made again", error.message)
            return PreparedMovers()

    def _fastest(self, ids: Sequence[str], length: timedelta) -> list[dict[str, Any]]:
        """Fields of `PreparedMover` of those of these videos that gained the most, the fastest first."""
        if not ids:
            return []
        earliest = self.now - 2 * length - GRACE
        columns = ["video_id", "timestamp", "views", "published_at"]
        return fastest(self.vault.read_table(earliest, self.now + GRACE, ids, columns), self.now, length)

    def _compared(self, movers: Sequence[PreparedMover], length: timedelta, seconds: float) -> list[PreparedMover]:
        """The same, with some of the comparisons that lack or are out of date: as many as there is time for."""
        channels, until = Channels(self.watchlist, self.vault, self.now), time.monotonic() + seconds
        lacking = sorted(filter(is_outdated, movers[:COMPARED]), key=lambda each: each.comparison is not None)
        compared: dict[str, PreparedMover] = {}
        for some in chunked(lacking, COMPARED_TOGETHER):
            compared |= {each.video_id: each for each in channels.compared(some, length)}
            if time.monotonic() > until:
                break
        return [compared.get(each.video_id, each) for each in movers]

    # Who came back, and who is gone

    def _changes_if_due(self, report: MoversReport) -> bool:
        before = self._changes_before()
        promoted = self._shown(self._promoted(), before.promoted)
        vanished, vanished_as_of = before.vanished, before.vanished_as_of
        if vanished_as_of is None or not vanished_as_of <= self.now < vanished_as_of + EVERY["day"]:
            vanished, vanished_as_of = tuple(self._shown(self._vanished(before, report), before.vanished)), self.now
        found = PreparedChanges(
            as_of=self.now.astimezone(UTC),
            vanished_as_of=vanished_as_of.astimezone(UTC),
            promoted=tuple(promoted),
            vanished=vanished,
        )
        self.vault.prepared.put_changes(found)
        return True

    def _changes_before(self) -> PreparedChanges:
        try:
            return self.vault.prepared.changes()
        except UnreadableFileError as error:
            log.error("%s; it is made again", error.message)
            return PreparedChanges()

    def _promoted(self) -> list[PreparedPromotion]:
        return [
            PreparedPromotion(
                video_id=each.video_id,
                promoted_until=int(each.promoted_until.timestamp()),
                last_at=None if each.last_tracked_at is None else int(each.last_tracked_at.timestamp()),
                next_at=int(each.next_track_at.timestamp()),
            )
            for each in self.watchlist.page.promoted(MOST_SHOWN)
        ]

    def _vanished(self, before: PreparedChanges, report: MoversReport) -> list[PreparedVanishing]:
        """Who was found to be gone, or back, in the last days, the latest first; with counts, as far as they are known.

        What is staged is published first, so that there is a file a month to read; what is wrong with that is added to
        the report.
        """
        published = self.vault.publish_availability()
        report.problems += published.problems
        report.quarantined += published.quarantined
        events = self.vault.read_availability(start=self.now - VANISHED_FOR)
        events["at"] = events["returned_at"].fillna(events["confirmed_at"])
        latest = events.sort_values("at", ascending=False).head(MOST_SHOWN).to_dict("records")
        found = [
            PreparedVanishing(video_id=row["video_id"], state=row["state"], at=int(row["at"].timestamp()))
            for row in latest
        ]
        known = {(each.video_id, each.state, each.at): each.views for each in before.vanished}
        views = [known.get((each.video_id, each.state, each.at)) for each in found]
        lacking = {each.video_id for each, count in zip(found, views, strict=True) if count is None}
        counts: dict[str, Any] = {}
        if lacking:
            counts = {row["video_id"]: row["views"] for row in self.vault.read_latest(lacking).to_dict("records")}
        shown = []
        for each, known_count in zip(found, views, strict=True):
            count = counts.get(each.video_id) if known_count is None else known_count
            shown.append(each.model_copy(update={"views": count if isinstance(count, int) else None}))
        return shown

    # Titles

    def _shown(self, rows: Sequence[_Shown], before: Iterable[ShownVideo]) -> list[_Shown]:
        """The same with their metadata: as it was known `before`, else from the database, else from the archive."""
        known = {each.video_id: each for each in before}
        again = int((self.now - LOOKED_UP_AGAIN_AFTER).timestamp())
        lacking = {
            row.video_id: row.published_at
            for row in rows
            if (old := known.get(row.video_id)) is None or (old.title is None and old.looked_up < again)
        }
        metadata = self._metadata(lacking) if lacking else {}
        return [
            row.model_copy(update=_kept(known.get(row.video_id), row) | metadata.get(row.video_id, {})) for row in rows
        ]

    def _metadata(self, wanted: Mapping[str, int | None]) -> dict[str, dict[str, Any]]:
        """The fields of `ShownVideo` of these videos, whose publication in seconds may be known."""
        found: dict[str, Mapping[str, Any]] = {}
        for each in self.watchlist.page.metadata(list(wanted)):
            found[each.video_id] = {name: getattr(each, name) for name in each.__dataclass_fields__}
        published = {
            video_id: None if at is None else datetime.fromtimestamp(at, UTC)
            for video_id, at in wanted.items()
            if video_id not in found
        }
        found |= self.vault.stats.titles(published)
        looked_up = int(self.now.timestamp())
        return {video_id: _fields(found.get(video_id, {}), wanted[video_id], looked_up) for video_id in wanted}


def _fields(row: Mapping[str, Any], published: int | None, looked_up: int) -> dict[str, Any]:
    at, duration = row.get("published_at"), row.get("duration_seconds")
    return {
        "title": row.get("title"),
        "channel_id": row.get("channel_id"),
        "channel_title": row.get("channel_title"),
        "duration": None if duration is None else int(duration),
        # a mover's is that of its readings
        "published_at": published if published is not None or at is None else int(at.timestamp()),
        "looked_up": looked_up,
    }


def _kept(old: ShownVideo | None, row: ShownVideo) -> dict[str, Any]:
    """What is kept of a video that was shown before."""
    if old is None:
        return {}
    kept = {name: getattr(old, name) for name in ("title", "channel_id", "channel_title", "duration", "looked_up")}
    kept["published_at"] = row.published_at if row.published_at is not None else old.published_at
    if isinstance(old, PreparedMover):
        kept |= {"channel": old.channel, "comparison": old.comparison}
    return kept


# What gained the most


def fastest(table: "pa.Table", now: datetime, length: timedelta) -> list[dict[str, Any]]:
    """Fields of `PreparedMover` of the videos that gained the most views in the window that ends `now` (aware).

    `table` has the points of the videos that may be, from `2 * length + GRACE` before `now` on, in any order.
    """
    import numpy as np
    import pyarrow as pa

    table = table.filter(table["views"].is_valid())
    coded = pa.chunked_array([table["video_id"].combine_chunks()]).combine_chunks().dictionary_encode()
    codes, views = coded.indices.to_numpy(), table["views"].to_numpy()
    moments = table["timestamp"].cast(pa.int64()).to_numpy()
    published = table["published_at"].cast(pa.int64()).fill_null(0).to_numpy()
    edge = int((now - length).timestamp() * _SCALE)
    first, last = _two_counts(codes, moments, len(coded.dictionary), edge)
    kept = np.flatnonzero((first >= 0) & (last >= 0) & (moments[first] < moments[last]) & (moments[last] > edge))
    first, last = first[kept], last[kept]
    window = length.total_seconds() * _SCALE
    scaled = (views[last] - views[first]) * (window / np.maximum(window, moments[last] - moments[first]))
    order = np.argsort(-scaled, kind="stable")[:MOST_SHOWN]
    return [
        {
            "video_id": coded.dictionary[int(kept[place])].as_py(),
            "gain": round(float(scaled[place])),
            "first_count": int(views[first[place]]),
            "last_count": int(views[last[place]]),
            "since": int(moments[first[place]]) // _SCALE,
            "until": int(moments[last[place]]) // _SCALE,
            "published_at": int(published[last[place]]) // _SCALE if published[last[place]] else None,
        }
        for place in order
        if scaled[place] > 0
    ]


def _two_counts(codes: "Numbers", moments: "Numbers", count: int, edge: int) -> tuple["Numbers", "Numbers"]:
    """For each video the rows of its newest count at or before `edge`, else of its first, and of its newest; or -1."""
    import numpy as np

    order = np.argsort(moments)
    # of rows that are written to the same place the last one stays
    last, first = np.full((2, count), -1, dtype=np.int64)
    last[codes[order]] = order
    first[codes[order[::-1]]] = order[::-1]
    before = order[: np.searchsorted(moments[order], edge, side="right")]
    first[codes[before]] = before
    return first, last
