"""Moves to the roster: how settled videos go there from the watchlist, and how its chunks stay well filled.

One hour of the week at a time: its chunks are locked, the files of new ones are written, and one transaction takes the
videos' rows off the watchlist, puts the new chunks onto the roster, and retires those that they replace. Killed
before its end it has written files that no row names, which are swept.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from ghost_tracking.core.coverage import SlotCounts, count_first_readings, count_move
from ghost_tracking.core.roster import (
    SETTLED_AFTER,
    Candidate,
    Chunk,
    ChunkPlan,
    hour_of_week,
    plan_chunks,
    slot_at_or_after,
    underfilled_chunks,
)
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import GONE_INTERVAL
from ghost_tracking.core.video_ids import is_video_id
from ghost_tracking.core.worth import Sums
from ghost_tracking.errors import DatabaseUnavailableError, GhostTrackingError, RosterMoveError, UnreadableFileError
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.vault import Vault

log = logging.getLogger(__name__)

_ROWS_AT_A_TIME = 200_000
_LONGEST_TRANSACTION = timedelta(minutes=5)

Hour = tuple[int, bool]
"""An hour of the week, and whether it is about videos that are gone."""


@dataclass
class RosterMovesReport:
    """`moved`: videos that went from the watchlist to the roster, `gone` those of them that YouTube no longer has.
    `chunks`: new ones, `retired`: those that they replace. `doubles`: second places of a video that were given up.
    `deleted`: files of chunks retired long ago. `problems`: hours of the week, files and rows that could not be put in
    order, each in a sentence; they stay as they were. `lost`: that the connection was lost in one of the hours."""

    moved: int = 0
    gone: int = 0
    chunks: int = 0
    retired: int = 0
    doubles: int = 0
    deleted: int = 0
    problems: list[str] = field(default_factory=list)
    lost: DatabaseUnavailableError | None = None

    def add_problem(self, problem: str) -> None:
        """Note what could not be done, once."""
        if problem not in self.problems:
            self.problems.append(problem)
            log.error("%s", problem)

    def as_dict(self) -> dict[str, Any]:
        counts = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "lost"}
        return counts | {"problems": self.problems[:10]}


@dataclass(frozen=True)
class RosterMoves:
    """What the janitor and the hunter do with settled videos; `now` is aware."""

    watchlist: Schedule
    vault: Vault
    now: datetime

    def move_settled(self) -> RosterMovesReport:
        """Move every video that belongs there to the roster, and put underfilled chunks together.

        An hour of the week that fails, and a row that no chunk can hold, stop no other: the report names them. Raises
        DatabaseUnavailableError, after all other hours where it can, when only the connection was lost.
        """
        report = RosterMovesReport()
        while candidates := self.watchlist.roster.candidates(
            self.now - SETTLED_AFTER, self.now - GONE_INTERVAL, _ROWS_AT_A_TIME
        ):
            before = report.moved
            hours: dict[Hour, list[Candidate]] = {}
            homes = self._homes({each.video_id for _, _, each in candidates if each.anchor_at is None})
            for hour, gone, candidate in candidates:
                home = homes.get(candidate.video_id, hour)
                if problem := _unfit(candidate, home):
                    report.add_problem(problem)
                    continue
                hours.setdefault((home, gone), []).append(candidate if gone else candidate.joining(self.now))
            for hour_gone in sorted(hours):
                self._repack(hour_gone, hours[hour_gone], report)
            log.info("Moved %s videos to the roster", f"{report.moved:,}")
            if report.moved == before:  # what is left is being tracked at this moment, or its chunk is broken
                break
        for hour_gone in self._untidy():
            self._repack(hour_gone, [], report)
        if report.lost is not None and not report.problems:
            raise report.lost
        return report

    def move_found(self, entries: Iterable[WatchlistEntry]) -> int:
        """Put settled videos, newly found and not on the watchlist, onto the roster; returns how many were new.

        They have their first reading with them, which stands for their last slot in the coverage ledger.
        RosterMoveError where an hour of the week failed, such as by a broken chunk: nothing of it is written, the other
        hours are.
        """
        hours: dict[Hour, list[Candidate]] = {}
        read: dict[str, WatchlistEntry] = {}
        for entry in entries:
            if entry.anchor_at is not None and entry.next_track_at is not None:
                read[entry.video_id] = entry
                candidate = Candidate(
                    entry.video_id,
                    entry.next_track_at,
                    anchor_at=entry.anchor_at,
                    views=entry.views,
                    last_tracked_at=entry.last_tracked_at,
                )
                hours.setdefault((hour_of_week(entry.anchor_at), False), []).append(candidate)
        report = RosterMovesReport()
        for hour_gone in sorted(hours):
            self._repack(hour_gone, hours[hour_gone], report, read)
        if report.lost is not None:
            raise report.lost
        if report.problems:
            raise RosterMoveError("; ".join(report.problems[:3]))
        return report.moved

    def add_unknown(self, hour_gone: Hour, candidates: Sequence[Candidate], report: RosterMovesReport) -> None:
        """Put settled videos that have no place onto new chunks of an hour of the week, without looking into others.

        For a rebuild, which knows that they are nowhere. One that gets another place at the same moment has two until
        its hour is put in order next. What fails is in the report, and nothing of it is written.
        """
        self._guarded(hour_gone, report, lambda: self._add_unknown(hour_gone, candidates, report))

    def at_publish_hour(self, published: Mapping[str, datetime]) -> set[str]:
        """Those of these videos that the roster has in the hour of the week of their publish time (aware).

        It is all that the vault knows of a premiere: one that went back on a restored schedule stands there, and not in
        the hour of its start, where it would be a second time.
        """
        found: set[str] = set()
        for chunk in self.watchlist.roster.of_hours({hour_of_week(moment) for moment in published.values()}):
            with suppress(UnreadableFileError):  # its own hour reports it
                found |= published.keys() & set(_members(chunk, self.vault.roster.read(chunk.name)).values())
        return found

    def sweep(self, keep: timedelta) -> int:
        """Delete files of chunks that were retired longer ago than `keep`, and of chunks that never came to be."""
        roster, files = self.watchlist.roster, self.vault.roster
        named = {chunk.name for chunk in roster.all()}
        retired = [name for name in roster.retired(keep=keep, now=self.now) if name not in named]
        remembered = named | set(roster.retired(keep=timedelta(0), now=self.now))
        before = (self.now - keep).date()
        orphans = [name for name, made_on in files.names() if made_on < before and name not in remembered]
        files.delete([*retired, *orphans])
        roster.forget(retired)
        return len(retired) + len(orphans)

    def _homes(self, video_ids: Collection[str]) -> dict[str, int]:
        """In which hour of the week those of these videos are that the roster has among the gone.

        One that was never found since somebody put it on the watchlist again has no anchor, and so no hour of its own:
        in another one it would be in two chunks. There are few: no file is read where there is none.
        """
        homes: dict[str, int] = {}
        for chunk in self.watchlist.roster.all() if video_ids else ():
            if chunk.gone:
                with suppress(UnreadableFileError):  # its own hour reports it
                    there = _members(chunk, self.vault.roster.read(chunk.name)).values()
                    homes |= {video_id: chunk.hour_of_week for video_id in there if video_id in video_ids}
        return homes

    def _untidy(self) -> list[Hour]:
        """Hours of the week with chunks that should be put together."""
        hours: dict[Hour, list[Chunk]] = {}
        for chunk in self.watchlist.roster.all():
            hours.setdefault((chunk.hour_of_week, chunk.gone), []).append(chunk)
        return sorted(hour for hour, chunks in hours.items() if underfilled_chunks(chunks, []))

    def _repack(
        self,
        hour_gone: Hour,
        candidates: Sequence[Candidate],
        report: RosterMovesReport,
        read: Mapping[str, WatchlistEntry] = MappingProxyType({}),
    ) -> None:
        """One hour of the week, or a problem in the report where that fails, in which case nothing of it is written."""
        self._guarded(hour_gone, report, lambda: self._repack_hour(hour_gone, candidates, report, read))

    def _guarded(self, hour_gone: Hour, report: RosterMovesReport, work: Callable[[], None]) -> None:
        try:
            work()
        except DatabaseUnavailableError as error:
            self.watchlist.now()  # raises where the database is gone altogether: no other hour would fare better
            log.warning("%s could not be repacked: %s", _named(hour_gone), error.message)
            report.lost = error
        except GhostTrackingError as error:
            report.add_problem(error.message)
        except Exception as error:  # whatever it is, it is of this hour, and whoever has asked for this raises it
            log.debug("Where it was raised", exc_info=True)
            report.add_problem(f"{_named(hour_gone)} could not be repacked: {type(error).__name__}: {error}")

    def _add_unknown(self, hour_gone: Hour, candidates: Sequence[Candidate], report: RosterMovesReport) -> None:
        hour, gone = hour_gone
        with self.watchlist.transaction(within=_LONGEST_TRANSACTION):
            self.watchlist.roster.enter_hour(hour, gone=gone)
            let_go = self.watchlist.let_go.among([each.video_id for each in candidates])
            joining = [each for each in candidates if each.video_id not in let_go]
            plans = plan_chunks(hour, joining, {})
            for each in plans:
                self._insert(each, hour_gone, (), {}, Sums())
        report.moved += len(joining)
        report.gone += len(joining) if gone else 0
        report.chunks += len(plans)

    def _repack_hour(
        self,
        hour_gone: Hour,
        candidates: Sequence[Candidate],
        report: RosterMovesReport,
        read: Mapping[str, WatchlistEntry],
    ) -> None:
        """One hour of the week: candidates join, underfilled chunks are merged, a video in two chunks leaves one.

        `read`: those of the candidates that have just had their first reading.
        """
        hour, gone = hour_gone
        roster = self.watchlist.roster
        with self.watchlist.transaction(within=_LONGEST_TRANSACTION):
            chunks = roster.lock_hour(hour, gone=gone)
            members = {chunk: _members(chunk, self.vault.roster.read(chunk.name)) for chunk in chunks}
            doubles = self._part_doubles(members)
            there = {video_id for ids in members.values() for video_id in ids.values()}
            # those that are on the watchlist were let in by it; here is the other way in
            let_go = self.watchlist.let_go.among([each.video_id for each in candidates if each.version is None])
            joining = [each for each in candidates if each.video_id not in there and each.video_id not in let_go]
            slots = {slot_at_or_after(hour, each.next_track_at) for each in joining}
            replaced = {chunk: list(members[chunk].values()) for chunk in underfilled_chunks(members, slots)}
            taken = roster.take_off_watchlist([each for each in candidates if each.version is not None])
            stayed = {each.video_id for each in joining if each.version is not None} - taken
            # a read that had lost its lock would let them leave, for the rows that they had then
            roster.touch(chunk for chunk, ids in members.items() if not taken.isdisjoint(ids.values()))
            roster.retire(replaced, self.now)
            plans = plan_chunks(hour, joining, replaced)
            rows = {each.video_id: each.row for each in joining}
            made = [self._insert(each, hour_gone, stayed, replaced, self._sums(each, rows, replaced)) for each in plans]
            first = (read[each.video_id] for each in joining if each.version is None and each.video_id in read)
            counts = count_first_readings(first)
            if not gone:
                counts.add(_passed_over(hour, (each for each in candidates if each.video_id in taken)))
            self.watchlist.coverage.add(counts)  # at the very end, since its rows are everybody's
        report.moved += len(taken) + sum(1 for each in joining if each.version is None)
        report.gone += len(taken) if gone else 0
        report.chunks += len(plans)
        report.retired += len(replaced)
        report.doubles += doubles
        for name, ids in made:
            self.vault.roster.carry(name, ids, [chunk.name for chunk in replaced], rows)

    def _sums(self, each: ChunkPlan, rows: Mapping[str, WatchlistEntry], replaced: Mapping[Chunk, Any]) -> Sums:
        """A new chunk's part of the sums: that of the rows which join, and its share of what the others had."""
        joining = [rows[video_id] for video_id in each.ids if video_id in rows]
        read = [(row.known, self.now - row.last_tracked_at) for row in joining if row.last_tracked_at is not None]
        before = sum((chunk.sums for chunk in replaced), Sums())
        videos = sum(chunk.videos for chunk in replaced)
        share = (len(each.ids) - len(joining)) / videos if videos else 0.0
        return Sums.of(read) + Sums(0, before.root_gains * share, before.root_relative * share)

    def _insert(
        self,
        each: ChunkPlan,
        hour_gone: Hour,
        stayed: Collection[str],
        replaced: Mapping[Chunk, Any],
        sums: Sums,
    ) -> tuple[str, list[str]]:
        """A new chunk: first its file, then its row. Candidates whose rows have `stayed` are not in it after all."""
        hour, gone = hour_gone
        name = self.vault.roster.write(each.ids, self.now.date())
        ids = self.vault.roster.read(name)
        removed_positions = frozenset(position for position, video_id in enumerate(ids) if video_id in stayed)
        tracked = [chunk.last_tracked_at for chunk in replaced if chunk.last_tracked_at is not None]
        chunk = Chunk(
            name,
            hour,
            gone,
            len(ids),
            each.next_track_at,
            removed_positions,
            last_tracked_at=max(tracked, default=None),
            sums=sums,
        )
        if chunk.videos:
            self.watchlist.roster.insert(chunk)
        return name, ids

    def _part_doubles(self, members: dict[Chunk, dict[int, str]]) -> int:
        """Let videos that are in two chunks leave one of them; returns how many there were."""
        seen: set[str] = set()
        doubles = 0
        for chunk, ids in members.items():
            again = {position for position, video_id in ids.items() if video_id in seen}
            seen.update(ids.values())
            if again:
                self.watchlist.roster.remove(chunk, again)
                members[chunk] = {position: video_id for position, video_id in ids.items() if position not in again}
                doubles += len(again)
        return doubles


def _unfit(candidate: Candidate, hour: int) -> str | None:
    """Why no chunk can hold a video, and its row stays where it is; None where one can."""
    if not is_video_id(candidate.video_id):
        return f"{candidate.video_id[:60]!r} on the watchlist cannot be the id of a video: its row stays there"
    try:
        slot_at_or_after(hour, candidate.next_track_at)
    except OverflowError:
        return f"{candidate.video_id} has an impossible slot, {candidate.next_track_at}: its row stays on the watchlist"
    return None


def _passed_over(hour: int, moved: Iterable[Candidate]) -> SlotCounts:
    """The slots of rows that were overdue when they moved: their chunk counts from its first slot on."""
    counts = SlotCounts()
    for each in moved:
        if each.anchor_at is not None:
            joins = slot_at_or_after(hour, each.next_track_at)
            counts.add(count_move(each.anchor_at, each.last_tracked_at, each.next_track_at, joins))
    return counts


def _named(hour_gone: Hour) -> str:
    hour, gone = hour_gone
    return f"Hour {hour} of the week{', of gone videos,' if gone else ''}"


def _members(chunk: Chunk, ids: Sequence[str]) -> dict[int, str]:
    """The ids that are still in a chunk, by position."""
    return {position: video_id for position, video_id in enumerate(ids) if position not in chunk.removed_positions}
