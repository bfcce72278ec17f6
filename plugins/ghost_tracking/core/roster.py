"""The roster: videos that have settled, in chunks of ids that are due in the same hour of the week.

A video's weekly slots lie a whole number of weeks after its anchor, so all of them fall into the same hour of the
week. A chunk is due at the full hour at or after its videos' slots: each is read at its planned age or at most an hour
later. One row in SQL stands for up to `CHUNK_SIZE` ids in an immutable file of the vault. Ids that leave a chunk
(missing, gone, returned, promoted, put on the watchlist by hand) are known by their positions in the file, until the
chunk has thinned out and is rewritten.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from ghost_tracking.core.absence import Absence, AvailabilityEvent, is_fault, miss
from ghost_tracking.core.policies import EVERY_SLOT, ReadingPlan
from ghost_tracking.core.schedule import DEFERRED, WatchlistEntry, after_miss, after_reading, deferred
from ghost_tracking.core.tiers import Queue, Tier, as_utc, next_slot
from ghost_tracking.core.videos import Reading
from ghost_tracking.core.worth import Sums

CHUNK_SIZE = 5_000
UNDERFILLED = CHUNK_SIZE // 2
"""A chunk with fewer videos is put together with others of its hour of the week."""
MOST_PASSED_OVER = CHUNK_SIZE // 5
"""Where more of a chunk were not answered, YouTube is down, and the chunk itself stays due from the first of them."""

SETTLED_AFTER = timedelta(days=7, hours=1)
"""Age from which a video goes to the roster: an hour past its slot at seven days, which it has on the watchlist."""

_HOUR = timedelta(hours=1)
_WEEK = timedelta(days=7)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOURS_A_WEEK = 168


def hour_of_week(moment: datetime) -> int:
    """Which hour of the week the full hour at or after `moment` (aware) is: 0 to 167, counted from Thursday 00:00 UTC,
    as the Unix epoch began."""
    return -((_EPOCH - as_utc(moment)) // _HOUR) % _HOURS_A_WEEK


def slot_at_or_after(hour: int, moment: datetime) -> datetime:
    """The first time at or after `moment` (aware) that begins this hour of the week, in UTC."""
    weeks = -((_EPOCH + hour * _HOUR - as_utc(moment)) // _WEEK)
    return _EPOCH + hour * _HOUR + weeks * _WEEK


@dataclass(frozen=True, slots=True)
class Chunk:
    """A row of `roster`; times are aware.

    `ids`: how many stand in its file, `removed_positions`: where those that have left stand there. `cursor`: ids before
    this position have been asked for already in the slot that is due. `outage_since`: since when each read found so
    many videos missing that YouTube was taken to be at fault. `deferred_until`: due, but not to be claimed before.
    `sums`: its part of the sums over all videos (`core.worth`), as of its last read. `version`: of the row, as it was
    read.
    """

    name: str
    hour_of_week: int
    gone: bool
    ids: int
    next_track_at: datetime
    removed_positions: frozenset[int] = frozenset()
    cursor: int = 0
    last_tracked_at: datetime | None = None
    outage_since: datetime | None = None
    deferred_until: datetime | None = None
    sums: Sums = field(default_factory=Sums)
    version: str | None = None

    @property
    def queue(self) -> Queue:
        return Queue.GONE if self.gone else Queue.ROSTER

    @property
    def videos(self) -> int:
        """How many are still here."""
        return self.ids - len(self.removed_positions)

    @property
    def waiting(self) -> int:
        """How many of them are still to be asked for in the slot that is due."""
        return self.ids - self.cursor - sum(1 for position in self.removed_positions if position >= self.cursor)

    def next_slot(self, after: datetime) -> datetime:
        """The first slot later than `after` (aware): weekly, or every fourth week for videos that are gone."""
        waited = self.queue.interval - _WEEK
        return slot_at_or_after(self.hour_of_week, as_utc(after) + waited + timedelta(microseconds=1))


@dataclass(frozen=True, slots=True)
class ChunkRead:
    """A chunk whose turn it is, and its file's ids from `chunk.cursor` up to `stop` that will be asked for.

    `elsewhere`: positions of ids that have a row on the watchlist as well, which goes first; they leave
    the chunk for it, but for those in `kept`. `back`: since when those of them are there again that were gone.
    `left_out`: positions of ids that are not worth a reading in this slot: they wait for the next one.
    """

    chunk: Chunk
    ids: Sequence[str]
    stop: int
    elsewhere: frozenset[int]
    back: Mapping[str, datetime] = field(default_factory=dict)
    kept: frozenset[int] = frozenset()
    left_out: frozenset[int] = frozenset()

    @property
    def leaving(self) -> frozenset[int]:
        """Positions of the ids that leave the chunk for the row that they have on the watchlist."""
        return self.elsewhere - self.kept

    @property
    def unseen(self) -> list[str]:
        """Ids of those that leave a chunk of gone ones and were not found on the watchlist yet."""
        here = self.leaving - self.chunk.removed_positions if self.chunk.gone else ()
        return [self.ids[position] for position in sorted(here) if self.ids[position] not in self.back]

    @property
    def positions(self) -> list[int]:
        """Positions of the ids that are asked for."""
        away = self.chunk.removed_positions | self.elsewhere | self.left_out
        return [position for position in range(self.chunk.cursor, self.stop) if position not in away]

    @property
    def wanted(self) -> list[str]:
        """The ids that are asked for."""
        return [self.ids[position] for position in self.positions]


def plan_read(
    chunk: Chunk,
    ids: Sequence[str],
    watched: Mapping[str, datetime | None],
    most: int,
    kept: Collection[str] = (),
    left_out: Collection[int] = (),
) -> ChunkRead:
    """Ask for up to `most` of a chunk's ids, but for those that are `watched` elsewhere, and for the positions that are
    `left_out`.

    `watched` holds since when they are there and were found; None where they were not found since. Those in `kept` stay
    in the chunk all the same.
    """
    elsewhere = frozenset(position for position, video_id in enumerate(ids) if video_id in watched)
    here_out = frozenset(left_out) - chunk.removed_positions - elsewhere
    away = chunk.removed_positions | elsewhere | here_out
    here = [position for position in range(chunk.cursor, len(ids)) if position not in away]
    stop = len(ids) if len(here) <= most else here[most]
    back = {video_id: seen for video_id, seen in watched.items() if seen is not None and chunk.gone}
    staying = frozenset(here for here in elsewhere if ids[here] in kept)
    return ChunkRead(chunk, ids, stop, elsewhere, back, staying, here_out)


@dataclass(frozen=True, slots=True)
class RosterOutcome:
    """What reads have become: chunk rows to write back, rows for the watchlist, and who has returned."""

    chunks: list[Chunk]
    entries: list[WatchlistEntry]
    events: list[AvailabilityEvent]
    is_fault: bool


def as_of_chunk(each: ChunkRead, found: Mapping[str, Reading]) -> dict[str, Reading]:
    """What was found of a chunk, with the publish time that can be known of it.

    The time of upload that came with the counts is that of publication only where it falls into the chunk's hour of the
    week, which was the anchor's.
    """
    hour = each.chunk.hour_of_week
    return {
        id_: replace(found[id_], published_at=found[id_].uploaded_at)
        for id_ in each.wanted
        if id_ in found and found[id_].published_at is None and _lies_in(found[id_].uploaded_at, hour)
    }


def _lies_in(moment: datetime | None, hour: int) -> bool:
    return moment is not None and hour_of_week(moment) == hour


def apply_chunk_results(
    reads: Iterable[ChunkRead],
    found: Mapping[str, Reading],
    missing: Collection[str],
    refused: Collection[str],
    promoted: Mapping[str, WatchlistEntry],
    at: datetime,
    failed: Collection[str] = (),
    plan: ReadingPlan = EVERY_SLOT,
    known: Mapping[str, WatchlistEntry] = MappingProxyType({}),
) -> RosterOutcome:
    """What becomes of chunks and their videos after YouTube was asked at `at` (aware).

    What was not answered stays due: its chunk goes on from there, and a few that were passed over leave it for the
    watchlist, where they are due, so that nobody is asked for again because of them. What `failed` is put off for some
    minutes. `refused` are those that count as asked, though nothing came of it. A missing video leaves its chunk
    for the watchlist, where it is looked at again soon; so does one that was gone and is found, and one that is to be
    `promoted` (its row before this reading, by id). Where so many are missing that YouTube is at fault, no missing one
    leaves, unless it was so a day ago; their chunk is asked for the same ids again after an hour, then six, then a day.

    `known`: what is remembered of those that were not found, as rows, so that it goes with them.
    """
    reads, missing = list(reads), set(missing)
    answered = found.keys() | missing | set(refused)
    asked = [(each, video_id) for each in reads for video_id in each.wanted if video_id in answered]
    befores = [_before(each) for each, video_id in asked if video_id in missing and not each.chunk.gone]
    fault = is_fault(len(asked), befores, at)
    chunks, entries, events = [], [], []
    for each in reads:
        if each.chunk.gone:
            leaving = _returned(each, found)
            events += [AvailabilityEvent(back.video_id, None, None, back.last_tracked_at) for back in leaving]
            there = {each.ids[position] for position in each.leaving - each.chunk.removed_positions}
            events += [AvailabilityEvent(id_, None, None, each.back[id_]) for id_ in sorted(there & each.back.keys())]
        else:
            leaving = [] if fault else _missed(each, missing, known, at)
            leaving += _promoted(each, promoted, found, plan)
            leaving += _passed_over(each, answered, failed, known, at)
        entries += leaving
        left = {entry.video_id for entry in leaving}
        after = _after(each, answered, missing, left, at, fault=fault)
        stays_due = after.next_track_at == each.chunk.next_track_at
        if stays_due and not left.issuperset(set(each.wanted).intersection(failed)):
            after = replace(after, deferred_until=at + DEFERRED)
        chunks.append(after)
    return RosterOutcome(chunks, entries, events, fault)


def _after(
    each: ChunkRead, answered: Set[str], missing: Set[str], left: Set[str], at: datetime, *, fault: bool
) -> Chunk:
    positions = each.positions
    removed_positions = (
        each.chunk.removed_positions | each.leaving | {here for here in positions if each.ids[here] in left}
    )
    after = replace(each.chunk, removed_positions=frozenset(removed_positions), last_tracked_at=at, deferred_until=None)
    slot = each.chunk.next_slot(max(at, each.chunk.next_track_at))
    if fault and not missing.isdisjoint(each.wanted):
        absence, due = miss(_before(each), at, counted=False)
        return replace(after, next_track_at=min(due, slot), outage_since=absence.first_missed_at)
    done = answered | left
    stop = next((here for here in positions if each.ids[here] not in done), each.stop)
    if stop < len(each.ids):
        return replace(
            after, cursor=stop, last_tracked_at=at if stop > each.chunk.cursor else each.chunk.last_tracked_at
        )
    return replace(after, cursor=0, next_track_at=slot, outage_since=None)


def _before(each: ChunkRead) -> Absence | None:
    """A read that found too many missing a day ago or earlier makes today's misses no news."""
    return Absence(0, each.chunk.outage_since, None) if each.chunk.outage_since else None


def _leaving(each: ChunkRead, video_id: str, known: Mapping[str, WatchlistEntry]) -> WatchlistEntry:
    """The row of a video that leaves its chunk: what is remembered of it, and else when the chunk was visited last."""
    remembered = known.get(video_id)
    if remembered is None or remembered.last_tracked_at is None:
        return WatchlistEntry(video_id, Tier.WEEKLY, each.chunk.last_tracked_at)
    return remembered


def _missed(
    each: ChunkRead, missing: Collection[str], known: Mapping[str, WatchlistEntry], at: datetime
) -> list[WatchlistEntry]:
    rows = [_leaving(each, video_id, known) for video_id in each.wanted if video_id in missing]
    return [after_miss(replace(row, absence=_before(each)), at, counted=True) for row in rows]


def _passed_over(
    each: ChunkRead,
    answered: Collection[str],
    failed: Collection[str],
    known: Mapping[str, WatchlistEntry],
    at: datetime,
) -> list[WatchlistEntry]:
    """Those without an answer among others that have one: one call of many has failed, or was not sent."""
    last = max((place for place, video_id in enumerate(each.wanted) if video_id in answered), default=0)
    passed_over = [video_id for video_id in each.wanted[:last] if video_id not in answered]
    if len(passed_over) > MOST_PASSED_OVER:
        return []
    rows = [replace(_leaving(each, id_, known), next_track_at=each.chunk.next_track_at) for id_ in passed_over]
    return [deferred(row, at) if row.video_id in failed else row for row in rows]


def _returned(each: ChunkRead, found: Mapping[str, Reading]) -> list[WatchlistEntry]:
    return [after_reading(WatchlistEntry(id_, Tier.WEEKLY), found[id_]) for id_ in each.wanted if id_ in found]


def _promoted(
    each: ChunkRead, promoted: Mapping[str, WatchlistEntry], found: Mapping[str, Reading], plan: ReadingPlan
) -> list[WatchlistEntry]:
    return [after_reading(promoted[id_], found[id_], plan) for id_ in each.wanted if id_ in promoted and id_ in found]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A video that is to go to the roster, and its next due time there. `version`: of its row on the watchlist.

    `anchor_at`: of that row, where it has one; without it, its hour of the week is that of its next due time only.
    `views` were its count at `last_tracked_at`, where both are known, and `gain_per_hour` what it gained.
    """

    video_id: str
    next_track_at: datetime
    version: str | None = None
    anchor_at: datetime | None = None
    views: int | None = None
    last_tracked_at: datetime | None = None
    gain_per_hour: float | None = None

    @property
    def row(self) -> WatchlistEntry:
        """What its row said of its last reading."""
        return WatchlistEntry(
            self.video_id,
            Tier.WEEKLY,
            self.last_tracked_at,
            views=self.views,
            gain_per_hour=self.gain_per_hour,
        )

    def joining(self, now: datetime) -> "Candidate":
        """Due at its first slot later than `now` (aware), where its row would have waited for longer.

        A chunk is visited every week, and each visit decides whom to ask for. It serves no slot a second time, though
        the row was due again before the next one. Without an anchor all stays as it is.
        """
        if self.anchor_at is None:
            return self
        unserved = self.next_track_at
        if self.last_tracked_at is not None:
            unserved = max(unserved, next_slot(self.anchor_at, self.last_tracked_at)[1])
        return replace(self, next_track_at=min(unserved, next_slot(self.anchor_at, now)[1]))


def has_settled(entry: WatchlistEntry, now: datetime) -> bool:
    """Whether a video belongs on the roster by its age: it is past its slot at seven days, and nothing is unusual."""
    if entry.anchor_at is None or entry.awaits_start or entry.absence or entry.promoted_until:
        return False
    return now - entry.anchor_at >= SETTLED_AFTER


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """Ids, sorted, that make a new chunk."""

    ids: tuple[str, ...]
    next_track_at: datetime


def plan_chunks(
    hour: int, candidates: Iterable[Candidate], underfilled: Mapping[Chunk, Sequence[str]]
) -> list[ChunkPlan]:
    """New chunks of one hour of the week for candidates and the videos of underfilled chunks, which they replace.

    Only videos with the same next slot share a chunk, so that none is read early or late for it.
    """
    together: dict[datetime, set[str]] = {}
    for candidate in candidates:
        together.setdefault(slot_at_or_after(hour, candidate.next_track_at), set()).add(candidate.video_id)
    for chunk, ids in underfilled.items():
        together.setdefault(chunk.next_track_at, set()).update(ids)
    plans = []
    for due, members in sorted(together.items()):
        number = -(-len(members) // CHUNK_SIZE)
        ordered = sorted(members)
        for part in range(number):
            start, stop = len(ordered) * part // number, len(ordered) * (part + 1) // number
            plans.append(ChunkPlan(tuple(ordered[start:stop]), due))
    return plans


def underfilled_chunks(chunks: Iterable[Chunk], joining: Iterable[datetime]) -> list[Chunk]:
    """Which chunks of one hour of the week should be rewritten: underfilled ones that find company of the same slot.

    `joining`: the slots of candidates. One that has lost an eighth of its ids is rewritten alone: their positions
    are two bytes each in SQL. Chunks in the middle of a slot, or with an outage to remember, are left alone.
    """
    idle = [chunk for chunk in chunks if chunk.cursor == 0 and chunk.outage_since is None]
    underfilled = [chunk for chunk in idle if chunk.videos < UNDERFILLED]
    company = Counter([*joining, *(chunk.next_track_at for chunk in underfilled)])
    worn = {chunk for chunk in idle if len(chunk.removed_positions) * 8 > chunk.ids}
    return [
        chunk for chunk in idle if chunk in worn or (chunk.videos < UNDERFILLED and company[chunk.next_track_at] > 1)
    ]
