"""The rows of the roster: a chunk of settled videos each, whose ids are in a file of the vault."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from ghost_tracking.core.coverage import SlotCounts
from ghost_tracking.core.roster import CHUNK_SIZE, Candidate, Chunk
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Queue
from ghost_tracking.core.worth import Sums
from ghost_tracking.postgres.coverage import CoverageLedger
from ghost_tracking.postgres.database import Database, Row
from ghost_tracking.postgres.lease import lease
from ghost_tracking.postgres.watchlist import Watchlist


@dataclass
class ChunkClaim:
    """Chunks of the roster that this transaction has locked, and what will be written back when it ends."""

    chunks: list[Chunk] = field(default_factory=list)
    _changes: list[tuple[Chunk, Chunk]] = field(default_factory=list)
    _entries: list[WatchlistEntry] = field(default_factory=list)
    _gone: list[str] = field(default_factory=list)
    _slots: dict[str, SlotCounts] = field(default_factory=dict)

    def reschedule(
        self,
        chunks: Iterable[Chunk],
        entries: Iterable[WatchlistEntry] = (),
        gone: Iterable[str] = (),
        slots: Mapping[str, SlotCounts] = MappingProxyType({}),
    ) -> None:
        """Note what chunks have become, and the videos that have left them for the watchlist.

        `gone` are those that left for a row that is there already, to be marked so (`Watchlist.mark_gone`). `slots`:
        by chunk, what of its slots was served and missed. Chunks that are not named stay as they were, and due.
        """
        claimed = {chunk.name: chunk for chunk in self.chunks}
        self._changes += [(claimed[chunk.name], chunk) for chunk in chunks]
        self._entries += entries
        self._gone += gone
        self._slots |= slots

    @property
    def has_results(self) -> bool:
        """Whether there is anything to write back."""
        return bool(self._changes)


class Roster:
    """Chunks, claimed and rescheduled as the watchlist's rows are. `now` (aware) may be None: the database's clock."""

    def __init__(self, database: Database, entries: Watchlist, coverage: CoverageLedger) -> None:
        self._database = database
        self._coverage = coverage
        self._entries = entries

    def all(self) -> list[Chunk]:
        """Every chunk, by name."""
        return [chunk_of(row) for row in self._database.run("roster_all")]

    def of_hours(self, hours_of_week: Collection[int]) -> list[Chunk]:
        """The chunks of these hours of the week, by name; locks nothing."""
        return [chunk_of(row) for row in self._database.run("roster_of_hours", hours=list(hours_of_week))]

    @contextmanager
    def claim(
        self, queue: Queue, videos: int, *, deadline: timedelta = timedelta(seconds=120), now: datetime | None = None
    ) -> Iterator[ChunkClaim]:
        """Claim due chunks with so many videos together, for as long as the block runs; as `Watchlist.claim`.

        The last chunk may have more videos than are wanted. `reschedule` takes what the chunks have become, and the
        videos that leave them, whose rows are added in the same transaction.
        """
        claim = ChunkClaim()
        with lease(self._database, claim, deadline, lambda: self._write_back(claim)):
            claim.chunks = self.fetch_due(queue, videos, now)
            yield claim

    def fetch_due(self, queue: Queue, videos: int, now: datetime | None = None) -> list[Chunk]:
        """Due chunks with so many videos together, the longest overdue first; locked until the transaction ends.

        Chunks that others hold are passed over. The last one may have more videos than are wanted.
        """
        chunks: list[Chunk] = []
        while videos > 0:
            last = chunks[-1] if chunks else None
            rows = self._database.run(
                "roster_due",
                gone=queue is Queue.GONE,
                now=now,
                after_time=last and last.next_track_at,
                after_chunk=last and last.name,
                chunks=_enough(videos),
            )
            if not rows:
                break
            for row in rows:
                chunks.append(chunk_of(row))
                videos -= max(1, chunks[-1].waiting)
        return chunks

    def sample_due(self, chunks: int, now: datetime | None = None) -> list[Chunk]:
        """At most so many of the due chunks of videos that are not gone, at random; locks nothing."""
        return [chunk_of(row) for row in self._database.run("roster_sample_due", chunks=chunks, now=now)]

    def sample(self, chunks: int) -> list[Chunk]:
        """At most so many of the chunks of videos that are not gone, at random; locks nothing."""
        return [chunk_of(row) for row in self._database.run("roster_sample", chunks=chunks)]

    def enter_hour(self, hour_of_week: int, *, gone: bool) -> None:
        """Be the one who changes which chunks an hour of the week has, until the transaction ends; waits for others."""
        self._database.run("roster_enter_hour", hour_of_week=hour_of_week, gone=gone)

    def lock_hour(self, hour_of_week: int, *, gone: bool) -> list[Chunk]:
        """The chunks of one hour of the week; locked until the transaction ends. Waits for who holds any of them."""
        self.enter_hour(hour_of_week, gone=gone)
        return [chunk_of(row) for row in self._database.run("roster_lock_hour", hour_of_week=hour_of_week, gone=gone)]

    def reschedule(self, changes: Sequence[tuple[Chunk, Chunk]]) -> set[str]:
        """Write chunks as they are after a read, where nobody has changed them since; returns the names of those."""
        before, after = [each for each, _ in changes], [each for _, each in changes]
        rows = self._database.run(
            "roster_reschedule",
            chunk=[each.name for each in after],
            removed_positions=[_positions(each.removed_positions) for each in after],
            cursor=[each.cursor for each in after],
            last_tracked_at=[each.last_tracked_at for each in after],
            next_track_at=[each.next_track_at for each in after],
            outage_since=[each.outage_since for each in after],
            deferred_until=[each.deferred_until for each in after],
            root_gains=[each.sums.root_gains for each in after],
            root_relative=[each.sums.root_relative for each in after],
            claimed_version=[each.version for each in before],
        )
        return {row["chunk"] for row in rows}

    def touch(self, chunks: Iterable[Chunk]) -> None:
        """Make what others have read of these chunks, which the caller has locked, out of date: see `reschedule`."""
        self._database.change("roster_touch", chunks=[chunk.name for chunk in chunks])

    def remove(self, chunk: Chunk, positions: Collection[int]) -> None:
        """Note that the ids at these positions have left a chunk, which the caller has locked."""
        self._database.change(
            "roster_remove", chunk=chunk.name, removed_positions=_positions(chunk.removed_positions | set(positions))
        )

    def insert(self, chunk: Chunk) -> None:
        """A new chunk, whose file is there."""
        self._database.change(
            "roster_insert",
            chunk=chunk.name,
            hour_of_week=chunk.hour_of_week,
            gone=chunk.gone,
            ids=chunk.ids,
            removed_positions=_positions(chunk.removed_positions),
            last_tracked_at=chunk.last_tracked_at,
            next_track_at=chunk.next_track_at,
            root_gains=chunk.sums.root_gains,
            root_relative=chunk.sums.root_relative,
        )

    def retire(self, chunks: Iterable[Chunk], now: datetime | None = None) -> None:
        """Take chunks off the roster; their files stay until they are forgotten."""
        self._database.change("roster_retire", chunks=[chunk.name for chunk in chunks], now=now)

    def retired(self, *, keep: timedelta, now: datetime | None = None) -> list[str]:
        """The names of chunks that were retired longer ago than `keep`."""
        return [row["chunk"] for row in self._database.run("roster_retired", keep=keep, now=now)]

    def forget(self, names: Sequence[str]) -> None:
        """Drop the memory of retired chunks, whose files are gone."""
        self._database.change("roster_forget", chunks=list(names))

    def candidates(self, before: datetime, gone_before: datetime, limit: int) -> list[tuple[int, bool, Candidate]]:
        """Videos on the watchlist that belong on the roster: hour of the week, whether they are gone, and the video.

        Those are videos whose anchor lies `before` that time, and that neither wait for their start nor are missing
        nor promoted; and those that are gone whose anchor, or else their first miss, lies before `gone_before`.
        """
        return [
            (
                row["hour_of_week"],
                row["gone"],
                Candidate(
                    row["video_id"],
                    row["next_track_at"],
                    row["row_version"],
                    row["anchor_at"],
                    row["views"],
                    row["last_tracked_at"],
                    row["gain_per_hour"],
                ),
            )
            for row in self._database.run("roster_candidates", before=before, gone_before=gone_before, limit=limit)
        ]

    def take_off_watchlist(self, candidates: Collection[Candidate]) -> set[str]:
        """Delete these rows of the watchlist, but those that have changed since they were read; which went."""
        rows = self._database.run(
            "roster_take",
            ids=[each.video_id for each in candidates],
            versions=[each.version for each in candidates],
        )
        return {row["video_id"] for row in rows}

    def _write_back(self, claim: ChunkClaim) -> None:
        # the rows first: a chunk that no longer has a video finds it on the watchlist
        self._entries.add(claim._entries)
        self._entries.mark_gone(claim._gone)  # once more, where the transaction that did it was lost
        written = self.reschedule(claim._changes) if claim._changes else set()
        slots = SlotCounts()
        for name in written & claim._slots.keys():
            slots.add(claim._slots[name])
        self._coverage.add(slots)  # at the very end, since its rows are everybody's


def _enough(videos: int) -> int:
    """How many chunks to ask for: as few as may be enough, since what is fetched is locked."""
    return -(-videos // CHUNK_SIZE)


def _positions(removed_positions: Collection[int]) -> str:
    """As PostgreSQL writes an array: a list of lists of different lengths cannot be bound."""
    return "{" + ",".join(map(str, sorted(removed_positions))) + "}"


def chunk_of(row: Row) -> Chunk:
    """A row of the roster, with its version."""
    return Chunk(
        name=row["chunk"],
        hour_of_week=row["hour_of_week"],
        gone=row["gone"],
        ids=row["ids"],
        next_track_at=row["next_track_at"],
        removed_positions=frozenset(row["removed_positions"]),
        cursor=row["cursor"],
        last_tracked_at=row["last_tracked_at"],
        outage_since=row["outage_since"],
        deferred_until=row["deferred_until"],
        sums=Sums(row["videos"], row["root_gains"], row["root_relative"]),
        version=row["row_version"],
    )
