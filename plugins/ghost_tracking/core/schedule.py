"""Rows of the watchlist, and what becomes of each after its batch was asked for."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ghost_tracking.core.absence import Absence, AvailabilityEvent, is_fault, miss
from ghost_tracking.core.gains import Interval, estimate, interval_to
from ghost_tracking.core.policies import EVERY_SLOT, Policy, ReadingPlan
from ghost_tracking.core.tiers import WEEKLY_FROM, Tier, next_slot, tier_at
from ghost_tracking.core.videos import Reading
from ghost_tracking.core.worth import Known

UPCOMING_CHECK = timedelta(days=1)
"""A premiere or broadcast that has not started is looked at this often at least: its start may be moved."""

DEFERRED = timedelta(minutes=4)
"""A video whose call failed is passed over for so long: others go first, and the next run asks for it again."""

FARTHEST_SLOT = timedelta(days=8)
"""No slot lies farther ahead: the longest interval, and what a worker's clock may be off."""


@dataclass(frozen=True, slots=True)
class WatchlistEntry:
    """A row of `watchlist`; times are aware. `anchor_at` is None until a publish time is known.

    `promoted_until`: a settled video whose views grow again is DAILY until then. `deferred_until`: due, but not to be
    claimed before. `views`: the newest count, that of the reading at `last_tracked_at` unless it was hidden; None where
    none is known. `gain_per_hour`: the estimate of `core.gains`, in views.
    """

    video_id: str
    tracking_tier: Tier = Tier.HOURLY
    last_tracked_at: datetime | None = None
    next_track_at: datetime | None = None
    created_at: datetime | None = None
    anchor_at: datetime | None = None
    awaits_start: bool = False
    absence: Absence | None = None
    promoted_until: datetime | None = None
    deferred_until: datetime | None = None
    views: int | None = None
    gain_per_hour: float | None = None

    @property
    def is_gone(self) -> bool:
        return self.absence is not None and self.absence.is_gone

    @property
    def known(self) -> Known:
        """What a policy goes by."""
        return Known(self.views, self.gain_per_hour, self.tracking_tier)


def entry_of_discovery(reading: Reading) -> WatchlistEntry:
    """The row of a newly found video. The reading that came with it stands for any slot that had passed."""
    return after_reading(WatchlistEntry(reading.video_id), reading)


def after_reading(entry: WatchlistEntry, reading: Reading, plan: ReadingPlan = EVERY_SLOT) -> WatchlistEntry:
    """The row after the video was read: found, so no longer missing, and due at its next slot that is worth a reading.

    The anchor is kept once it is known, but for a video that was waiting to start. Counted from the later of the
    observation and the slot that it serves, so that a worker's slow clock cannot serve a slot twice.
    """
    anchor, at = entry.anchor_at, reading.observed_at
    if anchor is None or entry.awaits_start or reading.starts_at is not None:
        anchor = reading.anchor_at or anchor
    views = entry.views if reading.views is None else reading.views
    gain = estimate(interval_of(entry, reading), entry.gain_per_hour)
    promoted_until = _promoted_until(entry, at)
    tier, due = _next(anchor or entry.created_at or at, entry, at)
    if reading.awaits_start:
        due = min(due, at + UPCOMING_CHECK)
    elif due - at > FARTHEST_SLOT:  # an anchor in the future: it will not stay there
        due = at + Tier.WEEKLY.interval
    elif anchor is not None:
        known, slowest = Known(views, gain, tier), _slowest(promoted_until)
        if at - anchor >= WEEKLY_FROM:
            promoted_until = _promotion(entry, known, promoted_until, at, plan)
        if plan.policy is not Policy.TIERS or _slowest(promoted_until) is not slowest:
            tier, due = plan.next_reading(known, anchor, at, _served(entry, at), _slowest(promoted_until))
    return WatchlistEntry(
        video_id=entry.video_id,
        tracking_tier=tier,
        last_tracked_at=at,
        next_track_at=due,
        anchor_at=anchor,
        awaits_start=reading.awaits_start,
        promoted_until=promoted_until,
        views=views,
        gain_per_hour=gain,
    )


def _promotion(
    before: WatchlistEntry, known: Known, promoted_until: datetime | None, at: datetime, plan: ReadingPlan
) -> datetime | None:
    """Until when a video is read daily that is `known` like this after a reading at `at`; None where it is not."""
    if plan.promoted_for is None:
        return promoted_until
    if promoted_until is not None:
        return max(promoted_until, at + plan.promoted_for) if plan.stays_promoted(known) else promoted_until
    return at + plan.promoted_for if plan.promotes(before.known, known) else None


def interval_of(entry: WatchlistEntry, reading: Reading) -> Interval | None:
    """What the video gained since its row's last reading; None where no count is known of either.

    Where that reading hid its count, the one before it is taken, and the interval is too short.
    """
    return interval_to(reading, entry.views, entry.last_tracked_at)


def keeping_slot(before: WatchlistEntry, after: WatchlistEntry, at: datetime) -> WatchlistEntry:
    """The row after a reading at `at` that was asked for by hand: a slot that had not come yet stays its next one.

    A video that was missing and is found goes on at its next slot: what it waited for was another look.
    """
    if after.absence is not None or before.absence is not None:
        return after
    if before.next_track_at is None or before.next_track_at <= at:
        return after
    return replace(after, tracking_tier=before.tracking_tier, next_track_at=before.next_track_at)


def after_miss(entry: WatchlistEntry, at: datetime, *, counted: bool) -> WatchlistEntry:
    """The row after YouTube did not return the video at `at`; see `absence.miss`."""
    absence, due = miss(entry.absence, at, counted=counted, anchor=entry.anchor_at)
    return _pushed_back(entry, at, due, absence)


def deferred(entry: WatchlistEntry, at: datetime) -> WatchlistEntry:
    """The row after its call failed at `at`: as due as it was, but others are asked for first."""
    return replace(entry, deferred_until=at + DEFERRED)


def after_refusal(entry: WatchlistEntry, at: datetime) -> WatchlistEntry:
    """The row after YouTube's answer for this one video could not be used: tried again at its next slot."""
    _, due = _next(entry.anchor_at or entry.created_at or at, entry, at)
    return _pushed_back(entry, at, due, entry.absence)


def _next(anchor: datetime, entry: WatchlistEntry, at: datetime) -> tuple[Tier, datetime]:
    return next_slot(anchor, _served(entry, at), _slowest(_promoted_until(entry, at)))


def _served(entry: WatchlistEntry, at: datetime) -> datetime:
    """The moment up to which slots are behind a row at `at`: one that was missing waited for another look, not for a
    slot."""
    slot = entry.next_track_at if entry.absence is None else None
    return max(at, slot) if slot else at


def _slowest(promoted_until: datetime | None) -> Tier:
    return Tier.DAILY if promoted_until else Tier.WEEKLY


def _promoted_until(entry: WatchlistEntry, at: datetime) -> datetime | None:
    return entry.promoted_until if entry.promoted_until and at < entry.promoted_until else None


def _pushed_back(entry: WatchlistEntry, at: datetime, due: datetime, absence: Absence | None) -> WatchlistEntry:
    """The row without a new observation: `last_tracked_at` keeps telling when the video was last seen."""
    tier = tier_at(at - entry.anchor_at) if entry.anchor_at else entry.tracking_tier
    return WatchlistEntry(
        video_id=entry.video_id,
        tracking_tier=tier,
        last_tracked_at=entry.last_tracked_at,
        next_track_at=due,
        anchor_at=entry.anchor_at,
        awaits_start=entry.awaits_start,
        absence=absence,
        promoted_until=_promoted_until(entry, at),
        views=entry.views,
        gain_per_hour=entry.gain_per_hour,
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch has become: the rows to write back, who is gone or back, and whether YouTube is at fault.

    It is where so much was missing at once.
    """

    entries: list[WatchlistEntry]
    events: list[AvailabilityEvent]
    is_fault: bool

    @property
    def newly_gone(self) -> int:
        """How many videos are confirmed to be gone."""
        return sum(1 for event in self.events if event.returned_at is None)

    @property
    def returned(self) -> int:
        """How many that were gone are back."""
        return len(self.events) - self.newly_gone


def apply_results(
    entries: Mapping[str, WatchlistEntry],
    found: Mapping[str, Reading],
    missing: Collection[str],
    refused: Collection[str],
    at: datetime,
    doubtful: Collection[str] = (),
    failed: Collection[str] = (),
    plan: ReadingPlan = EVERY_SLOT,
) -> Outcome:
    """Reschedule every video of a batch that YouTube answered for, as the plan has it; the others stay due.

    `found`, `missing` and `refused` hold ids of `entries`, each at most once; so do `doubtful`, of which nobody could
    say whether they are there (they back off as missed ones do, but are not counted as such), and `failed`, whose
    call went wrong: they stay due, behind the others.
    """
    answered = len(found) + len(missing) + len(refused) + len(doubtful)
    fault = is_fault(answered, [entries[video_id].absence for video_id in missing], at)
    missed = [after_miss(entries[video_id], at, counted=not fault) for video_id in missing]
    missed += [after_miss(entries[video_id], at, counted=False) for video_id in doubtful]
    read = [after_reading(entries[video_id], reading, plan) for video_id, reading in found.items()]
    put_off = [after_refusal(entries[video_id], at) for video_id in refused]
    put_off += [deferred(entries[video_id], at) for video_id in failed]
    return Outcome([*read, *missed, *put_off], _events(entries, [*missed, *read]), fault)


def _events(before: Mapping[str, WatchlistEntry], after: Iterable[WatchlistEntry]) -> list[AvailabilityEvent]:
    """Who was confirmed to be gone, and who has returned."""
    events = []
    for entry in after:
        absence = entry.absence or before[entry.video_id].absence
        if absence is None or entry.is_gone == before[entry.video_id].is_gone:
            continue
        returned_at = None if entry.is_gone else entry.last_tracked_at
        events.append(AvailabilityEvent(entry.video_id, absence.first_missed_at, absence.gone_at, returned_at))
    return events
