"""Coverage: which slot a reading serves and which were passed over, told by the row before it and the row after it.

A slot is *served* by a reading, in the hour in which it lies, however late. It is *skipped* where the policy found that
it is not worth a reading (`core.policies`), and *missed* where a later one came first all the same and nobody had
asked YouTube for it, or the answer was of no use. A slot at which YouTube was asked and did not
have the video is neither: nothing could be read. So are the slots of a video that is missing, of one that has not
started yet, and of one whose publish time is not known.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ghost_tracking.core.policies import EVERY_SLOT, Policy, ReadingPlan
from ghost_tracking.core.roster import Chunk, ChunkRead, slot_at_or_after
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Tier, next_slot, tier_at

KEPT = timedelta(days=400)
"""How long the ledger keeps an hour: a year, and the one before it to compare with its end."""

LATE = timedelta(minutes=15)
"""A slot younger than this is not missed: its run may still be under way."""

_SECOND, _HOUR, _DAY, _WEEK = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1), timedelta(days=7)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SERVED, _MISSED, _SKIPPED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class HourOfTier:
    """How many slots of a tier that lie in the hour from `hour` (UTC) were served, how many missed, and how many left
    out on purpose."""

    hour: datetime
    tier: Tier
    served: int
    missed: int
    skipped: int = 0


@dataclass(slots=True)
class SlotCounts:
    """Slots that were served, missed and skipped, by hour and tier. Holds three numbers for each hour and tier."""

    _counts: dict[tuple[int, Tier], list[int]] = field(default_factory=dict)

    def serve(self, tier: Tier, slot: datetime, videos: int = 1) -> None:
        """Count a slot of so many videos as served."""
        self._count(tier, slot, videos, _SERVED)

    def miss(self, tier: Tier, slot: datetime, videos: int = 1) -> None:
        """Count a slot of so many videos as missed."""
        self._count(tier, slot, videos, _MISSED)

    def skip(self, tier: Tier, slot: datetime, videos: int = 1) -> None:
        """Count a slot of so many videos as skipped."""
        self._count(tier, slot, videos, _SKIPPED)

    def add(self, other: "SlotCounts") -> None:
        """Count what others have counted as well."""
        for key, counts in other._counts.items():
            mine = self._counts.setdefault(key, [0, 0, 0])
            for kind, count in enumerate(counts):
                mine[kind] += count

    def __iter__(self) -> Iterator[HourOfTier]:
        """By hour and tier, in that order."""
        for (hour, tier), counts in sorted(self._counts.items()):
            yield HourOfTier(_EPOCH + hour * _HOUR, tier, *counts)

    def _count(self, tier: Tier, slot: datetime, videos: int, kind: int) -> None:
        if videos:
            self._counts.setdefault((hour_of(tier, slot), tier), [0, 0, 0])[kind] += videos


def hour_of(tier: Tier, slot: datetime) -> int:
    """The hour in which a slot counts, in hours since 1970.

    A WEEKLY one counts at the full hour at or after it, which is when the roster reads it.
    """
    since = slot - _EPOCH
    return -(-since // _HOUR) if tier is Tier.WEEKLY else since // _HOUR


def slots_between(
    anchor: datetime, after: datetime, end: datetime, promoted_until: datetime | None = None
) -> Iterator[tuple[Tier, datetime]]:
    """The slots later than `after` and before `end`, each with its tier; DAILY ones as long as a video is promoted."""
    at = after
    while True:
        slowest = Tier.DAILY if promoted_until is not None and at < promoted_until else Tier.WEEKLY
        tier, at = next_slot(anchor, at, slowest)
        if at >= end:
            return
        yield tier, at


def count_rows(changes: Iterable[tuple[WatchlistEntry, WatchlistEntry]], plan: ReadingPlan = EVERY_SLOT) -> SlotCounts:
    """The slots that were served and passed over where rows of the watchlist became others: (before, after).

    Those that the plan leaves out until a row's next reading are counted at once, in the hours that they will lie in.
    """
    counts = SlotCounts()
    for before, after in changes:
        if after.anchor_at is not None and not after.awaits_start:
            _count_row(counts, before, after, after.anchor_at, plan)
    return counts


def count_first_readings(entries: Iterable[WatchlistEntry]) -> SlotCounts:
    """The slots that first readings stand for: of each video the last that had passed, where one had."""
    return count_rows((WatchlistEntry(entry.video_id), entry) for entry in entries)


def count_move(anchor: datetime, read_at: datetime | None, due: datetime, joins: datetime) -> SlotCounts:
    """The slots that a video loses where it goes to the roster from a row that was read last and `due`; all times are
    aware.

    `joins`: the first slot of its chunk, up to an hour after the video's own, which is the first one that the chunk
    counts. It lies within a week of `due`, so that there are 29 slots before it at most.
    """
    counts = SlotCounts()
    since = _slot_of(anchor, due, None) - _SECOND
    for tier, slot in slots_between(anchor, max(since, read_at or since), joins - _HOUR):
        counts.miss(tier, slot)
    return counts


def _count_row(
    counts: SlotCounts, before: WatchlistEntry, after: WatchlistEntry, anchor: datetime, plan: ReadingPlan
) -> None:
    if after.absence is not None:
        _count_absent(counts, before, after, anchor, plan)
        return
    if plan.policy is not Policy.ADAPTIVE and (only := _only_slot(before, after)) is not None:
        counts.serve(before.tracking_tier, only)
        return
    was_read = after.last_tracked_at != before.last_tracked_at
    slots = _passed(before, after, anchor, plan)
    if was_read and slots:
        counts.serve(*slots.pop())
    if before.absence is None or not before.absence.missed_count:
        _pass_over(counts, before, slots, plan)
    if was_read and after.last_tracked_at is not None and after.next_track_at is not None:
        is_kept = before.absence is None and after.next_track_at == before.next_track_at
        behind = after.next_track_at if is_kept else _behind(before, after.last_tracked_at, plan)
        for tier, slot in _left_out(after, anchor, behind, after.next_track_at):
            counts.skip(tier, slot)


def _behind(before: WatchlistEntry, at: datetime, plan: ReadingPlan) -> datetime:
    """The moment up to which slots are behind a row that was read at `at`.

    A worker's slow clock reads a slot before it comes; where the times are not slots, it just reads before.
    """
    due = None if before.absence or before.last_tracked_at is None else before.next_track_at
    return at if due is None or plan.policy is Policy.ADAPTIVE else max(at, due)


def _left_out(
    row: WatchlistEntry, anchor: datetime, behind: datetime, due: datetime
) -> Iterable[tuple[Tier, datetime]]:
    """The slots between the last one that is behind a row and the one that its next reading will serve.

    Only as long as the row stays on the watchlist: what the roster leaves out it counts itself.
    """
    end = min(_slot_of(anchor, due, row.promoted_until), _stays_until(anchor, row.promoted_until) + _SECOND)
    return slots_between(anchor, behind, end, row.promoted_until)


def _stays_until(anchor: datetime, promoted_until: datetime | None) -> datetime:
    """The end of the slots that a row has as long as it is no matter of the roster."""
    return max(anchor + _WEEK, promoted_until or anchor)


def _pass_over(
    counts: SlotCounts, before: WatchlistEntry, slots: Iterable[tuple[Tier, datetime]], plan: ReadingPlan
) -> None:
    """Slots at which nobody asked for a video: skipped where they were not worth it, and else missed."""
    for tier, slot in slots:
        waited = None if before.last_tracked_at is None else slot - before.last_tracked_at
        count = counts.skip if plan.leaves_out(before.known, waited) else counts.miss
        count(tier, slot)


def _only_slot(before: WatchlistEntry, after: WatchlistEntry) -> datetime | None:
    """The slot of a video of the usual kind that was read in it, where the next is one interval later; most are."""
    due, last = before.next_track_at, before.last_tracked_at
    if due is None or last is None or after.next_track_at is None or before.absence is not None:
        return None
    is_usual = after.anchor_at == before.anchor_at and not before.awaits_start and last < due
    was_read = after.last_tracked_at != last
    return due if is_usual and was_read and after.next_track_at - due == before.tracking_tier.interval else None


def _count_absent(
    counts: SlotCounts, before: WatchlistEntry, after: WatchlistEntry, anchor: datetime, plan: ReadingPlan
) -> None:
    """What a first miss has passed over: slots before the one at which YouTube was asked, and did not have the video.

    What becomes of that one depends on what comes next: where the miss does not count, since YouTube was at fault, it
    is served or missed by the next reading.
    """
    since = _since(before, anchor)
    if after.absence is None or before.absence is not None or since is None:
        return
    slots = list(slots_between(anchor, since, after.absence.first_missed_at + _SECOND, before.promoted_until))
    _pass_over(counts, before, slots[:-1], plan)


def _passed(
    before: WatchlistEntry, after: WatchlistEntry, anchor: datetime, plan: ReadingPlan
) -> list[tuple[Tier, datetime]]:
    """The slots that nobody had served or passed over before, and that the row after has behind it.

    A first reading stands for the last slot before it, whoever was to serve that.
    """
    end, was_read = after.next_track_at, after.last_tracked_at != before.last_tracked_at
    if end is None:
        return []
    promised = None if before.absence or before.last_tracked_at is None else before.next_track_at
    if was_read and after.last_tracked_at is not None:
        end = min(end, _behind(before, after.last_tracked_at, plan) + _SECOND)
    if promised is not None and after.next_track_at == promised:  # read by hand, or its call failed
        slot = _slot_of(anchor, promised, before.promoted_until)
        has_come = was_read and after.last_tracked_at is not None and slot <= after.last_tracked_at
        end = min(end, slot + _SECOND if has_come else slot)
    since = _since(before, anchor)
    slots = [] if since is None else list(slots_between(anchor, since, end, before.promoted_until))
    if not slots and before.last_tracked_at is None and was_read:
        slots = [slot for slot in [_last_slot(anchor, end - _SECOND)] if slot]
    return slots


def _last_slot(anchor: datetime, at: datetime, promoted_until: datetime | None = None) -> tuple[Tier, datetime] | None:
    """The last slot at or before `at`; None where there is none."""
    slots = list(slots_between(anchor, max(anchor, at - _WEEK), at + _SECOND, promoted_until))
    return slots[-1] if slots else None


def _slot_of(anchor: datetime, due: datetime, promoted_until: datetime | None) -> datetime:
    """The slot that a reading serves that is due then: that moment, or with the adaptive policy the last slot before.

    The anchor itself where there is none yet; that moment also where the roster should have the video by then, since
    its slots are counted there. A chunk's slot lies up to an hour after its videos' own.
    """
    start = anchor.replace(microsecond=0)
    if due > _stays_until(start, promoted_until) + _HOUR:
        return due
    interval = (
        Tier.DAILY.interval if promoted_until is not None and due > start + _WEEK else tier_at(due - start).interval
    )
    return start + max((due - start) // interval, 0) * interval


def _since(before: WatchlistEntry, anchor: datetime) -> datetime | None:
    """The time up to which every slot of this anchor was counted; None where nobody had promised any."""
    if before.last_tracked_at is None:
        return before.created_at
    if before.absence is not None and not before.absence.missed_count:
        asked_at = before.absence.first_missed_at
        asked_in = _last_slot(anchor, asked_at, before.promoted_until)
        return max(before.last_tracked_at, asked_in[1] - _SECOND if asked_in else asked_at)
    if before.absence is not None or before.awaits_start or before.next_track_at is None:
        return before.last_tracked_at
    if before.anchor_at is None:  # it comes from a chunk, whose slots lie up to an hour after its videos' own
        return before.next_track_at - _HOUR
    if before.anchor_at.replace(microsecond=0) != anchor.replace(microsecond=0):
        return before.last_tracked_at
    return max(before.last_tracked_at, _slot_of(anchor, before.next_track_at, before.promoted_until) - _SECOND)


def count_chunk(read: ChunkRead, after: Chunk, found: Collection[str], missing: Collection[str]) -> SlotCounts:
    """The slots of a chunk's videos that a read has served, passed over and left out.

    `found` and `missing`: what YouTube said. What will be asked again in the same slot is not counted yet; a video that
    was not answered and has left for the watchlist is counted there.
    """
    counts, before = SlotCounts(), read.chunk
    at = after.last_tracked_at
    if before.gone or at is None:
        return counts
    first = pending_slot(before)
    last = _slot_at_or_before(before.hour_of_week, max(at, first))
    if before.cursor and before.last_tracked_at is not None:
        asked = _still_here(read, range(before.cursor))
        _pass_weeks(counts, _slot_after(before.hour_of_week, max(before.last_tracked_at, first)), at, asked)
    left = {read.ids[here] for here in after.removed_positions - before.removed_positions - read.leaving}
    moved = sum(1 for id_ in left if id_ in found)
    counts.serve(Tier.WEEKLY, last, moved)
    if after.outage_since is not None and after.next_track_at != before.next_track_at:
        # asked again in an hour: past is only what lies before the slot of the first such read
        if before.outage_since is None:
            _pass_weeks(counts, first, last - _WEEK, _still_here(read, range(before.cursor, len(read.ids))))
        return counts
    stop = len(read.ids) if after.next_track_at > before.next_track_at else after.cursor
    done = [read.ids[here] for here in read.positions if here < stop]
    staying = [id_ for id_ in done if id_ not in left]
    served = sum(1 for id_ in staying if id_ in found)
    counts.serve(Tier.WEEKLY, last, served)
    counts.miss(Tier.WEEKLY, last, len(staying) - served)
    lost = sum(1 for id_ in left if id_ in missing)
    _pass_weeks(counts, first, last - _WEEK, (len(staying) + moved + lost, 0))
    _pass_weeks(counts, first, last, (0, sum(1 for here in read.left_out if before.cursor <= here < stop)))
    return counts


def _still_here(read: ChunkRead, positions: Iterable[int]) -> tuple[int, int]:
    """How many of a chunk's videos at these positions are worth a reading, and how many are not."""
    away = read.chunk.removed_positions | read.elsewhere
    here = [position for position in positions if position not in away]
    left_out = sum(1 for position in here if position in read.left_out)
    return len(here) - left_out, left_out


def pending_slot(chunk: Chunk) -> datetime:
    """The first slot of a chunk that was not counted yet for the videos that are still to be asked for in it."""
    if chunk.outage_since is None:
        return chunk.next_track_at
    return _slot_at_or_before(chunk.hour_of_week, chunk.outage_since)


def _slot_at_or_before(hour_of_week: int, moment: datetime) -> datetime:
    return _slot_after(hour_of_week, moment) - _WEEK


def _slot_after(hour_of_week: int, moment: datetime) -> datetime:
    return slot_at_or_after(hour_of_week, moment + timedelta(microseconds=1))


def _pass_weeks(counts: SlotCounts, slot: datetime, until: datetime, videos: tuple[int, int]) -> None:
    """Weekly slots from `slot` on at which nobody asked for so many videos: those worth a reading, and the others."""
    missed, skipped = videos
    while slot <= until:
        counts.miss(Tier.WEEKLY, slot, missed)
        counts.skip(Tier.WEEKLY, slot, skipped)
        slot += _WEEK


@dataclass(frozen=True, slots=True)
class OverdueSlots:
    """Slots that have passed and that nobody has served yet, of `videos` whose first one lies in the hour from `hour`.

    With a `tier`, there are `last` slots, an interval of the tier apart. Without one, they are those of the schedule
    from number `first` to `last`: 1 to 24 lie at an age of so many hours, 25 to 30 at two to seven days, 31 and
    more at weeks from two on. `on_the_hour`: whether they lie at the very beginning of their hours. `left_out`:
    whether they wait since they are not worth a reading yet.
    """

    hour: datetime
    tier: Tier | None
    first: int
    last: int
    on_the_hour: bool
    videos: int
    left_out: bool = False

    def slots(self) -> Iterator[tuple[Tier, datetime]]:
        """Tier and hour of each slot."""
        if self.tier is not None:
            yield from ((self.tier, self.hour + place * self.tier.interval) for place in range(self.last))
            return
        begin = age_of_slot(self.first)
        for number in range(self.first, self.last + 1):
            tier = Tier.HOURLY if number <= 24 else Tier.DAILY if number <= 30 else Tier.WEEKLY
            late = _HOUR if tier is Tier.WEEKLY and not self.on_the_hour else timedelta(0)
            yield tier, self.hour + (age_of_slot(number) - begin) + late


def age_of_slot(number: int) -> timedelta:
    """The age at which the slot with this number lies: 1 is at an hour, 24 at a day, 30 at a week, 31 at two."""
    if number <= 24:
        return number * _HOUR
    return (number - 23) * _DAY if number <= 30 else (number - 29) * _WEEK
