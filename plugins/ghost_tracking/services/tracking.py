"""Tracking a batch: claim, ask, apply, stage, reschedule.

The sequence stands in `Tracking._track`, once. What differs between videos of the watchlist, chunks of the roster and
videos that a form names is in the classes below it: whom they ask about, and what the answer makes of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeVar

from ghost_tracking.core.absence import AvailabilityEvent
from ghost_tracking.core.audits import Audit, AuditPick
from ghost_tracking.core.batches import Batch
from ghost_tracking.core.coverage import count_chunk
from ghost_tracking.core.gains import Interval
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.policies import EVERY_SLOT, ReadingPlan
from ghost_tracking.core.roster import Chunk, ChunkRead, RosterOutcome, apply_chunk_results, as_of_chunk, plan_read
from ghost_tracking.core.schedule import Outcome, WatchlistEntry, apply_results, interval_of, keeping_slot
from ghost_tracking.core.tiers import Queue
from ghost_tracking.core.videos import Reading, Video
from ghost_tracking.postgres.roster import ChunkClaim
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.postgres.watchlist import Claim
from ghost_tracking.settings import Settings
from ghost_tracking.vault import Vault
from ghost_tracking.youtube import BatchResult, YouTubeClient

if TYPE_CHECKING:
    from ghost_tracking.vault.roster_memory import ChunkMemory

log = logging.getLogger(__name__)

Claimed = TypeVar("Claimed")
Result = BatchResult[Reading]


@dataclass(frozen=True)
class Done:
    """What became of a batch. `claimed`: how many videos it had."""

    answer: Result
    claimed: int
    newly_gone: int = 0
    returned: int = 0
    promoted: Sequence[str] = ()
    is_fault: bool = False


@dataclass(frozen=True)
class Tracking:
    """Tracks batches, with its parts and the time passed in.

    `plan`: what the run goes by. `now` (None: the clocks of the database and of this worker) decides what is due.
    """

    watchlist: Schedule
    settings: Settings
    now: datetime | None = None
    plan: ReadingPlan = EVERY_SLOT

    def follow(self, batch: Batch, affordable: int, youtube: YouTubeClient, vault: Vault) -> Done:
        """Claim a batch's videos, as many as are `affordable`, ask for them, stage what YouTube says, reschedule."""
        limit, queue = min(batch.limit, affordable), batch.queue
        if queue.in_chunks:
            most = limit if batch.strict else affordable
            waiting = replace(batch, limit=limit).waiting
            chunks = self.watchlist.roster.claim(queue, waiting, deadline=self.within, now=self.now)
            return self._track(chunks, lambda claim: _Chunks(self, vault, queue, most, claim), youtube, vault)
        rows = self.watchlist.entries.claim(queue.tier, limit, deadline=self.within, now=self.now, plan=self.plan)
        return self._track(rows, lambda claim: _Rows(self, vault, claim), youtube, vault)

    def read_now(self, videos: Sequence[str], youtube: YouTubeClient, vault: Vault) -> Done:
        """Ask for these videos, due or not. Those on the watchlist keep their slots; others get a point only."""
        named = self.watchlist.entries.claim_videos(videos, deadline=self.within, plan=self.plan)
        return self._track(named, lambda claim: _NamedVideos(self, videos, claim), youtube, vault)

    def audit(self, picks: Sequence[AuditPick], youtube: YouTubeClient, vault: Vault) -> Done:
        """Ask for videos that were drawn at random, and keep what was known of them beside what was found."""
        named = self.watchlist.entries.claim_videos(
            [each.video_id for each in picks], deadline=self.within, plan=self.plan
        )
        return self._track(named, lambda claim: _Audited(self, picks, claim), youtube, vault)

    def _track(
        self,
        claiming: AbstractContextManager[Claimed],
        work_on: Callable[[Claimed], _Work],
        youtube: YouTubeClient,
        vault: Vault,
    ) -> Done:
        with claiming as claim:
            work = work_on(claim)
            answer = work.ask(youtube)
            done = work.apply(answer)
            # the vault first, the schedule second: a crash in between costs a second observation, never a lost one
            vault.stage(work.points(answer))
            vault.stage_availability(work.events)
            _stage_gains(work.intervals(answer), vault)
            work.reschedule(answer)
        work.finish()
        return done

    @property
    def within(self) -> timedelta:
        """How long asking for one batch may take."""
        return timedelta(seconds=self.settings.tracker_batch_seconds)

    @property
    def present(self) -> datetime:
        """When what is answered counts as observed."""
        return self.now or datetime.now(UTC)


class _Work(Protocol):
    """What differs between the kinds of batches, in the order in which it is called."""

    def ask(self, youtube: YouTubeClient) -> Result:
        """Ask YouTube for whom the batch is about."""

    def apply(self, answer: Result) -> Done:
        """Find out what becomes of them; nothing is written yet."""

    def points(self, answer: Result) -> list[MetricPoint]:
        """The points to stage."""

    @property
    def events(self) -> Sequence[AvailabilityEvent]:
        """Who is gone or back."""

    def intervals(self, answer: Result) -> Sequence[Interval]:
        """What was gained since the readings before."""

    def reschedule(self, answer: Result) -> None:
        """Hand the claim what its rows have become."""

    def finish(self) -> None:
        """What comes after the transaction, and is a help only."""


class _OfWatchlist:
    """Videos with a row of their own."""

    def __init__(self, tracking: Tracking, claim: Claim) -> None:
        self.tracking = tracking
        self.claim = claim
        self.entries = {entry.video_id: entry for entry in claim.entries}
        self.outcome = Outcome([], [], is_fault=False)

    @property
    def events(self) -> Sequence[AvailabilityEvent]:
        return self.outcome.events

    def apply(self, answer: Result) -> Done:
        """The answer may be about other videos as well."""
        entries = self.entries
        found = {video_id: answer.found[video_id] for video_id in entries if video_id in answer.found}
        missing, malformed = answer.missing & entries.keys(), answer.malformed.keys() & entries.keys()
        doubtful = (answer.unconfirmed | answer.faulty.keys()) & entries.keys()
        failed = answer.failed & entries.keys()
        self.outcome = apply_results(
            entries, found, missing, malformed, self.tracking.present, doubtful, failed, self.tracking.plan
        )
        return Done(
            answer, self.claimed, self.outcome.newly_gone, self.outcome.returned, is_fault=self.outcome.is_fault
        )

    @property
    def claimed(self) -> int:
        return len(self.entries)

    def points(self, answer: Result) -> list[MetricPoint]:
        return _points(answer, self.entries)

    def intervals(self, answer: Result) -> list[Interval]:
        found = ((entry, answer.found.get(video_id)) for video_id, entry in self.entries.items())
        intervals = (interval_of(entry, reading) for entry, reading in found if reading is not None)
        return [each for each in intervals if each is not None]

    def finish(self) -> None:
        pass


class _Rows(_OfWatchlist):
    """Due videos of a tier."""

    def __init__(self, tracking: Tracking, vault: Vault, claim: Claim) -> None:
        super().__init__(tracking, claim)
        self.vault = vault

    def ask(self, youtube: YouTubeClient) -> Result:
        entries = self.entries.values()
        return youtube.statistics(
            list(self.entries),
            within=self.tracking.within,
            upcoming=[entry.video_id for entry in entries if entry.awaits_start],
            gone=[entry.video_id for entry in entries if entry.is_gone],
            unknown=[entry.video_id for entry in entries if entry.anchor_at is None],
            # a bad id spoils no healthy one's call a second time
            suspect=[entry.video_id for entry in entries if entry.absence and not entry.is_gone],
        )

    def reschedule(self, answer: Result) -> None:
        self._keep_metadata(answer.videos)
        self.claim.reschedule(self.outcome.entries)

    def _keep_metadata(self, videos: Mapping[str, Video]) -> None:
        """Write metadata that came with first readings, where a video was put on the schedule without any."""
        if videos:
            watchlist, now = self.tracking.watchlist, self.tracking.now
            fresh = set(watchlist.videos.ingest(videos.values(), now=now))
            kept = [video for video in videos.values() if video.id in fresh]
            self.vault.stage_videos(kept, now or watchlist.videos.discovery_time())


class _NamedVideos(_OfWatchlist):
    """Videos that a form names, on the watchlist or not."""

    def __init__(self, tracking: Tracking, videos: Sequence[str], claim: Claim) -> None:
        super().__init__(tracking, claim)
        self.videos = videos

    @property
    def claimed(self) -> int:
        return len(self.videos)

    def ask(self, youtube: YouTubeClient) -> Result:
        entries = self.entries
        unknown = [each for each in self.videos if each not in entries or entries[each].anchor_at is None]
        return youtube.statistics(self.videos, within=self.tracking.within, unknown=unknown)

    def reschedule(self, answer: Result) -> None:
        del answer
        present = self.tracking.present
        # a reading between two slots stands for neither
        self.claim.reschedule(keeping_slot(self.entries[each.video_id], each, present) for each in self.outcome.entries)


class _Audited(_NamedVideos):
    """Videos that were drawn at random, with rows of their own or on the roster."""

    def __init__(self, tracking: Tracking, picks: Sequence[AuditPick], claim: Claim) -> None:
        super().__init__(tracking, [each.video_id for each in picks], claim)
        self.picks = picks

    def ask(self, youtube: YouTubeClient) -> Result:
        return youtube.statistics(self.videos, within=self.tracking.within)

    def reschedule(self, answer: Result) -> None:
        super().reschedule(answer)
        self.tracking.watchlist.audits.add(audit for each in self.picks if (audit := self._audit(each, answer)))

    def _audit(self, pick: AuditPick, answer: Result) -> Audit | None:
        """None where it was read by others since it was drawn, and where it was not found."""
        row, reading = self.entries.get(pick.video_id), answer.found.get(pick.video_id)
        if reading is None or reading.views is None or (row is not None and row.last_tracked_at != pick.held_at):
            return None
        return pick.read(reading.observed_at, reading.views)


class _Chunks:
    """Due chunks of the roster, and `most` of their videos."""

    def __init__(self, tracking: Tracking, vault: Vault, queue: Queue, most: int, claim: ChunkClaim) -> None:
        self.tracking = tracking
        self.vault = vault
        self.queue = queue
        self.claim = claim
        self.memories: dict[str, ChunkMemory] = {}
        self.reads = self._reads(claim.chunks, most)
        self.outcome: RosterOutcome
        self.gained: list[Interval] = []

    @property
    def events(self) -> Sequence[AvailabilityEvent]:
        return self.outcome.events

    def ask(self, youtube: YouTubeClient) -> Result:
        # two chunks that share a video, for a while, are due at the same time
        wanted = list(dict.fromkeys(video_id for each in self.reads for video_id in each.wanted))
        gone = wanted if self.queue is Queue.GONE else ()
        answer = youtube.statistics(wanted, within=self.tracking.within, gone=gone)
        for each in self.reads:
            answer.found |= as_of_chunk(each, answer.found)
        return answer

    def apply(self, answer: Result) -> Done:
        present = self.tracking.present
        promoted = self._learn(answer)
        # of what could not be confirmed next week's read tells more: were YouTube at fault, all would leave
        asked = {*answer.malformed, *answer.faulty, *answer.unconfirmed}
        self.outcome = apply_chunk_results(
            self.reads,
            answer.found,
            answer.missing,
            asked,
            promoted,
            present,
            answer.failed,
            self.tracking.plan,
            self._not_found(answer),
        )
        claimed = len({video_id for each in self.reads for video_id in each.wanted})
        return Done(answer, claimed, 0, len(self.outcome.events), sorted(promoted), self.outcome.is_fault)

    def points(self, answer: Result) -> list[MetricPoint]:
        return _points(answer)

    def intervals(self, answer: Result) -> list[Interval]:
        del answer
        return self.gained

    def reschedule(self, answer: Result) -> None:
        gone = [id_ for each in self.reads for id_ in each.unseen]
        slots = {
            after.name: count_chunk(each, after, answer.found, answer.missing)
            for each, after in zip(self.reads, self.outcome.chunks, strict=True)
        }
        chunks = [self._with_sums(each) for each in self.outcome.chunks]
        self.claim.reschedule(chunks, self.outcome.entries, gone, slots)

    def finish(self) -> None:
        # afterwards, since it is only a help: what was not remembered starts over
        for name, memory in self.memories.items():
            self.vault.roster.remember(name, memory)

    def _learn(self, answer: Result) -> dict[str, WatchlistEntry]:
        """The rows that the videos had before these reads which they promote.

        `memories` gets what to remember, `gained` what the videos gained since they were read before.
        """
        from ghost_tracking.vault import roster_memory

        plan, present = self.tracking.plan, self.tracking.present
        rows: dict[str, WatchlistEntry] = {}
        for each in self.reads:
            if each.chunk.gone:
                continue
            before = self.memories[each.chunk.name]
            found = {id_: answer.found[id_] for id_ in each.wanted if id_ in answer.found}
            after = self.memories[each.chunk.name] = roster_memory.after(each.ids, before, found)
            self.gained += roster_memory.intervals(each.ids, before, found)
            if plan.promoted_for is not None:
                for position in roster_memory.promoted(plan, before, after).tolist():
                    row = before.row(position, each.ids[position])
                    rows[row.video_id] = replace(row, promoted_until=present + plan.promoted_for)
        return rows

    def _not_found(self, answer: Result) -> dict[str, WatchlistEntry]:
        """What is remembered of those who may leave their chunk, since they were not found or not asked for."""
        return {
            each.ids[position]: self.memories[each.chunk.name].row(position, each.ids[position])
            for each in self.reads
            if not each.chunk.gone
            for position in each.positions
            if each.ids[position] not in answer.found
        }

    def _with_sums(self, chunk: Chunk) -> Chunk:
        if chunk.gone:
            return chunk
        here = [position for position in range(chunk.ids) if position not in chunk.removed_positions]
        return replace(chunk, sums=self.memories[chunk.name].sums(self.tracking.present, here))

    def _reads(self, chunks: Iterable[Chunk], most: int) -> list[ChunkRead]:
        """Which ids of these chunks to ask for, `most` in all; those with a row on the watchlist are read there."""
        watchlist = self.tracking.watchlist
        reads: list[ChunkRead] = []
        for chunk in chunks:
            ids = self.vault.roster.read(chunk.name)
            watched = watchlist.entries.seen(ids)
            unseen = [id_ for id_, seen in watched.items() if seen is None] if chunk.gone else []
            # a row that is being read at this moment tells its return to the next read
            kept = set(unseen) - watchlist.entries.mark_gone(unseen, now=self.tracking.now)
            reads.append(plan_read(chunk, ids, watched, most, kept, self._left_out(chunk, ids)))
            most -= len(reads[-1].positions)
        return reads

    def _left_out(self, chunk: Chunk, ids: Sequence[str]) -> Collection[int]:
        """The positions of those who are not worth a reading in this slot."""
        plan = self.tracking.plan
        if chunk.gone:
            return ()
        memory = self.memories[chunk.name] = self.vault.roster.memory(chunk.name, len(ids))
        if plan.threshold <= 0 or not plan.is_known:
            return ()
        below: list[int] = (memory.index(plan, self.tracking.present) < plan.threshold).nonzero()[0].tolist()
        return below


def _points(answer: Result, entries: Mapping[str, WatchlistEntry] = MappingProxyType({})) -> list[MetricPoint]:
    """What was read, as points: where an answer does not tell when a video was published, its row may."""
    points = []
    for video_id, reading in answer.found.items():
        entry = entries.get(video_id)
        known = reading.published_at or (entry.anchor_at if entry and not entry.awaits_start else None)
        points.append(replace(reading.point, published_at=known))
    return points


def _stage_gains(intervals: Sequence[Interval], vault: Vault) -> None:
    """Stage what the movers are made of. Where that fails, they may lack some of it, and nothing else is lost."""
    try:
        vault.prepared.stage_gains(intervals)
    except OSError as error:
        log.error("What the batch gained could not be staged, so movers may be incomplete for a while: %s", error)
