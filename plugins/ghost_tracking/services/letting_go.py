"""Letting go: videos are paused, stopped, forgotten or resumed, and both lists of them are kept the same.

The vault's list comes first, then the database's, then the schedule, then what is known of the videos. Whatever is
killed on the way is finished by the janitor's next run: the vault's list tells how far each decision was carried out.
A tracker's task that was under way may stage points of a video that was forgotten meanwhile; so the janitor looks once
more, into what has come since.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ghost_tracking.core.let_go import Change, State, united, unknown_to
from ghost_tracking.core.roster import Chunk
from ghost_tracking.errors import (
    BadInputError,
    PartitionBusyError,
    PermanentError,
    TransientError,
    UnreadableFileError,
)
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.vault import Vault
from ghost_tracking.wording import pluralize

if TYPE_CHECKING:
    from ghost_tracking.vault.let_go import Kept
    from ghost_tracking.vault.maintenance.forgetting import Progress
    from ghost_tracking.vault.reports import ForgetReport

log = logging.getLogger(__name__)

VERBS = {"pause": State.PAUSED, "stop": State.STOPPED, "forget": State.FORGOTTEN, "resume": State.RESUMED}
"""What somebody may want, as the form and the command say it."""

UNDER_WAY = timedelta(hours=2)
"""Longer than any run of the tracker or the hunter may take."""

_LONGEST_TRANSACTION = timedelta(minutes=5)
_ATTEMPTS = 3
_TELL_SECONDS = 15.0


@dataclass(frozen=True)
class Outcome:
    """What was done, or would be: a sentence, and lines about each place that has, or had, something."""

    message: str
    lines: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For XCom."""
        return {"message": self.message, "layers": self.lines}


@dataclass(frozen=True)
class LettingGo:
    """What is done with videos that somebody lets go, on a database whose schema is there and its vault.

    `now` (aware; None: the database's clock) dates the decisions. `progress` is told what is looked through.
    """

    watchlist: Schedule
    vault: Vault
    now: datetime | None = None
    progress: Progress | None = None

    def ids_of_channels(self, channel_ids: Collection[str]) -> list[str]:
        """Every video of these channels whose metadata is in the database or in the vault."""
        in_database = self.watchlist.let_go.of_channels(list(channel_ids))
        return sorted({*in_database, *self.vault.ids_of_channels(channel_ids)})

    def decide(self, state: State, video_ids: Iterable[str], *, confirm: bool, also_forgotten: bool = False) -> Outcome:
        """Pause, stop, forget or resume these videos; without `confirm` only tell what that would do.

        What is forgotten can be neither paused nor stopped, and is resumed with `also_forgotten` only. Raises
        BadInputError where nothing is left to do, before anything is written; PermanentError where something is left of
        a forgotten video, with its place; TransientError where somebody holds the vault.
        """
        self.unite(dry_run=not confirm)
        wanted = list(dict.fromkeys(video_ids))
        known = self.watchlist.let_go.changes(wanted)
        chosen, why = _chosen(state, wanted, known, also_forgotten=also_forgotten)
        if not chosen:
            raise BadInputError(f"nothing to {_verb(state)}: {why or 'no video is named'}. Nothing was done")
        if not confirm:
            return self._preview(state, chosen, why)
        changes = self._changes(state, chosen, known)
        self.vault.let_go.note(changes)
        self.watchlist.let_go.note(changes)
        lines = self._carry_out({state: chosen})
        return _outcome(f"{_done(state)} {pluralize(len(chosen), 'video')}{_also(why)}", lines)

    def unite(self, *, dry_run: bool = False) -> int:
        """Make both lists the same; returns how many entries one of them did not have, or had otherwise.

        One of them may come from a backup. What the database has learned is to be carried out again, since its
        schedule is as old as its list; what it has learned to be resumed is back on the watchlist.
        """
        mine = self.watchlist.let_go.all()
        theirs = {video_id: kept.change for video_id, kept in self.vault.let_go.all().items()}
        whole = united(mine.values(), theirs.values())
        to_vault, to_database = unknown_to(theirs, whole), unknown_to(mine, whole)
        if dry_run or not (to_vault or to_database):
            return len({each.video_id for each in (*to_vault, *to_database)})
        log.warning(
            "The lists of videos that were let go differ (a restored backup?): adding %s to the vault, "
            "%s to the database",
            f"{len(to_vault):,}",
            f"{len(to_database):,}",
        )
        self.vault.let_go.note(to_vault)
        # before the database's list has them: else a kill in between would leave the schedule as it is
        self.vault.let_go.reopen(each.video_id for each in to_database)
        self.watchlist.let_go.note(to_database)
        self.watchlist.entries.add(each.video_id for each in to_database if not each.state.lets_go)
        return len({each.video_id for each in (*to_vault, *to_database)})

    def look_after(self) -> Outcome:
        """What the janitor does: unite the lists, carry out what is not, and look for what tasks brought back.

        Raises as `decide`, after everything else is done.
        """
        learned = self.unite()
        strays = self.watchlist.let_go.enforce()
        kept = self.vault.let_go.all()
        pending: dict[State, list[str]] = {}
        for each in kept.values():
            if each.applied_at is None:
                pending.setdefault(each.change.state, []).append(each.change.video_id)
        number = sum(map(len, pending.values()))
        lines = self._carry_out(pending) if pending else []
        stray_rows = self._check_again(kept)
        sentences = [
            f"{pluralize(learned, 'entry was', 'entries were')} in one list only" if learned else "",
            f"{pluralize(strays, 'video was', 'videos were')} taken off the watchlist again" if strays else "",
            f"{pluralize(number, 'decision was', 'decisions were')} carried out" if number else "",
            f"{pluralize(stray_rows, 'trace')} of forgotten videos removed" if stray_rows else "",
        ]
        return _outcome("; ".join(filter(None, sentences)) or "Nothing is left to pause, stop or forget", lines)

    def _present(self) -> datetime:
        if self.now is not None:
            return self.now
        return self.watchlist.now()

    def _changes(self, state: State, chosen: Sequence[str], known: dict[str, Change]) -> list[Change]:
        """Later than whatever is known of them, should a clock have gone back."""
        present, changes = self._present(), []
        for video_id in chosen:
            before = known.get(video_id)
            at = present if before is None else max(present, before.changed_at + timedelta(microseconds=1))
            changes.append(Change(video_id, state, at))
        return changes

    def _preview(self, state: State, chosen: Sequence[str], why: str) -> Outcome:
        message = f"Dry run: would {_verb(state)} {pluralize(len(chosen), 'video')}{_also(why)}"
        lines = []
        if state is not State.RESUMED:
            rows = self.watchlist.let_go.traces(chosen)
            places = sum(len(places) for _, places in self._places(set(chosen), []))
            lines = [f"watchlist: {rows['watchlist']:,} rows", f"roster: {places:,} places"]
        if state is State.FORGOTTEN:
            lines.append(f"videos: {rows['videos']:,} rows")
            report = self._forgotten(chosen, dry_run=True)
            lines += [*map(str, report.layers), *report.problems]
        return _outcome(f"{message}. Confirm to carry it out", lines)

    def _carry_out(self, decided: Mapping[State, Sequence[str]]) -> list[str]:
        """Put resumed videos back, take the others off the schedule, and of the forgotten ones everything away.

        Returns a line for each layer that was proven.
        """
        began_at = self._present()
        problems, lines = list[str](), list[str]()
        resumed, forgotten = decided.get(State.RESUMED, ()), decided.get(State.FORGOTTEN, ())
        leaving = [video_id for state, ids in decided.items() if state.lets_go for video_id in ids]
        self.watchlist.entries.add(resumed)
        self.vault.let_go.applied(resumed, began_at)
        if leaving:
            self.watchlist.let_go.leave(leaving)
            self._leave_roster(set(leaving), problems)
        if forgotten:
            lines = self._forget(forgotten, problems)
        if problems:
            raise PermanentError(
                f"{pluralize(len(leaving), 'video is', 'videos are')} on the list of those that are let go, but not "
                f"yet removed everywhere: {'; '.join(problems[:3])}. The janitor tries again every day"
            )
        self.vault.let_go.applied(leaving, began_at)
        return lines

    def _forget(self, video_ids: Sequence[str], problems: list[str]) -> list[str]:
        """Take all that is known of these away, and prove it; what is in the way of that is added to the problems."""
        for _ in range(_ATTEMPTS):
            self.watchlist.let_go.forget(video_ids)
            self._forgotten(video_ids, dry_run=False)
            proof = self._forgotten(video_ids, dry_run=True)
            rows = self.watchlist.let_go.traces(video_ids)
            if not (proof.rows or any(rows.values())):
                break
            log.warning("Something came back while it was being forgotten: removing it again")
            self.watchlist.let_go.leave(video_ids)
        lines = [f"{name}: {count:,} rows" for name, count in rows.items()]
        lines += [f"{layer.name}: {layer.rows:,} in {layer.files:,} files looked at" for layer in proof.layers]
        problems += [f"{name} has {count:,} rows of them" for name, count in rows.items() if count]
        problems += [f"{layer.name}: {layer.rows:,} are still there" for layer in proof.layers if layer.rows]
        problems += proof.problems
        return lines

    def _forgotten(self, video_ids: Collection[str], *, dry_run: bool, since: datetime | None = None) -> ForgetReport:
        try:
            return self.vault.forget(video_ids, dry_run=dry_run, since=since, progress=self.progress)
        except PartitionBusyError as error:
            raise TransientError(
                f"the vault is being sealed or compacted ({error.message}): these videos are on the list of those that "
                "are let go; the janitor's next run removes their data, as does asking again"
            ) from error

    def _check_again(self, kept: dict[str, Kept]) -> int:
        """Take away what tasks that were under way have brought back of forgotten videos; how much that was."""
        present = self._present()
        fresh = [
            each
            for each in kept.values()
            if each.change.state is State.FORGOTTEN
            and each.checked_at is None
            and each.applied_at is not None
            and each.applied_at < present - UNDER_WAY
        ]
        if not fresh:
            return 0
        ids = [each.change.video_id for each in fresh]
        self.watchlist.let_go.forget(ids)
        since = min(each.change.changed_at for each in fresh) - UNDER_WAY
        report = self._forgotten(ids, dry_run=False, since=since)
        if report.problems:
            raise PermanentError(f"a layer cannot be searched for forgotten videos: {report.problems[0]}")
        self.vault.let_go.checked(ids, present)
        return report.rows

    def _leave_roster(self, wanted: Collection[str], problems: list[str]) -> None:
        """Let these videos leave their chunks. Waits for reads under way, as `LetGo.leave` does."""
        roster = self.watchlist.roster
        for hour, gone in sorted({(chunk.hour_of_week, chunk.gone) for chunk, _ in self._places(wanted, problems)}):
            with self.watchlist.transaction(within=_LONGEST_TRANSACTION):
                # read again: meanwhile chunks may have been put together
                for chunk in roster.lock_hour(hour, gone=gone):
                    places = self._places_in(chunk, wanted, [])
                    if places:
                        roster.remove(chunk, places)

    def _places(self, wanted: Collection[str], problems: list[str]) -> Iterator[tuple[Chunk, list[int]]]:
        """The chunks that have any of these, and at which positions; holds one chunk's ids at a time."""
        chunks = self.watchlist.roster.all()
        for number, chunk in enumerate(chunks, 1):
            if self.progress is not None:
                self.progress("chunks", number, len(chunks))
            if places := self._places_in(chunk, wanted, problems):
                yield chunk, places

    def _places_in(self, chunk: Chunk, wanted: Collection[str], problems: list[str]) -> list[int]:
        """Positions of those that have not left yet; and second places of a video, which neighbours of forgotten ones
        have in a database that comes from a backup: in the file the forgotten ones are gone already.
        """
        try:
            ids = self.vault.roster.read(chunk.name)
        except UnreadableFileError as error:
            problems.append(error.message)
            return []
        seen, places = set[str](), []
        for place, video_id in enumerate(ids):
            if place in chunk.removed_positions:
                continue
            if video_id in wanted or video_id in seen:
                places.append(place)
            seen.add(video_id)
        return places


def logged() -> Progress:
    """A progress that goes into the log: each layer's beginning, then every quarter of a minute, and its end."""
    told_at, before = 0.0, ""

    def tell(layer: str, number: int, total: int) -> None:
        nonlocal told_at, before
        if layer != before or number == total or time.monotonic() - told_at > _TELL_SECONDS:
            log.info("Searching %s: file %s of %s", layer, f"{number:,}", f"{total:,}")
            told_at, before = time.monotonic(), layer

    return tell


def _chosen(
    state: State, wanted: Sequence[str], known: dict[str, Change], *, also_forgotten: bool
) -> tuple[list[str], str]:
    """Which of the videos it is about, and in words why not the others."""
    states = {video_id: each.state for video_id, each in known.items()}
    if state is State.FORGOTTEN:
        return list(wanted), ""
    forgotten = (
        []
        if also_forgotten and state is State.RESUMED
        else [video_id for video_id in wanted if states.get(video_id) is State.FORGOTTEN]
    )
    reasons = []
    if forgotten:
        how = " unless you ask for them (--also-forgotten, or the form's field)" if state is State.RESUMED else ""
        reasons.append(f"{pluralize(len(forgotten), 'is', 'are')} forgotten and {_stay(forgotten)} so{how}")
    rest = [video_id for video_id in wanted if video_id not in set(forgotten)]
    if state is State.RESUMED:
        let_go = [video_id for video_id in rest if video_id in states and states[video_id].lets_go]
        if len(let_go) < len(rest):
            reasons.append(f"{pluralize(len(rest) - len(let_go), 'was', 'were')} not let go")
        rest = let_go
    return rest, "; ".join(reasons)


def _stay(many: Sequence[object]) -> str:
    return "stays" if len(many) == 1 else "stay"


def _verb(state: State) -> str:
    return next(verb for verb, meant in VERBS.items() if meant is state)


def _done(state: State) -> str:
    return state.value.capitalize()


def _also(why: str) -> str:
    return f" ({why})" if why else ""


def _outcome(message: str, lines: Sequence[str] = ()) -> Outcome:
    log.info(message)
    for line in lines:
        log.info("  %s", line)
    return Outcome(message, list(lines))
