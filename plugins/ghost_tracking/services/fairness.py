"""Fairness that can be seen: who is read how often, why, and how wrong that leaves what is known of videos.

The page and the command `status` show the same. What would take a pass over all videos is counted once a day, by a run
of the tracker.
"""

import logging
from datetime import datetime, timedelta
from typing import Final

from ghost_tracking.core.audits import AuditErrors
from ghost_tracking.core.coverage import LATE, hour_of
from ghost_tracking.core.fairness import Fairness, LivelinessSums, TierSlots, why_skipped
from ghost_tracking.core.pacing import QuotaStatus
from ghost_tracking.core.policies import ReadingPlan
from ghost_tracking.core.roster import Chunk, slot_at_or_after
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Queue, Tier
from ghost_tracking.core.worth import LATE as WORTH_LATE
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.services.reading_policy import standing_plan
from ghost_tracking.settings import Settings
from ghost_tracking.vault import Vault

log = logging.getLogger(__name__)

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_WINDOWS: Final = {Tier.HOURLY: 24, Tier.DAILY: 168, Tier.WEEKLY: 168}
"""Hours that are looked back."""
_AUDITS_SINCE: Final = timedelta(days=7)
_CHUNKS: Final = 64
"""Chunks of the roster that stand for all: up to 320,000 videos."""


def read_fairness(
    watchlist: Schedule, settings: Settings, quota: QuotaStatus, *, now: datetime | None = None
) -> Fairness:
    """How readings are shared out, as of `now` (aware; None: the database's clock); changes nothing.

    Reads a week of the coverage ledger and of audits, and the rows that are due.
    """
    at = now or quota.day.now
    plan = standing_plan(watchlist, settings, quota)
    return Fairness(
        plan.policy,
        why_skipped(plan.policy, quota.skipped, is_short=quota.is_short, is_known=plan.is_known),
        quota.skipped,
        _tier_slots(watchlist, plan, at),
        watchlist.policy.liveliness(),
        AuditErrors.of(watchlist.audits.since(at - _AUDITS_SINCE)),
    )


def _tier_slots(watchlist: Schedule, plan: ReadingPlan, at: datetime) -> list[TierSlots]:
    """The slots of the last hours, up to the last full one: those that were counted, and those that wait."""
    end = at.replace(minute=0, second=0, microsecond=0)
    starts = {tier: end - hours * _HOUR for tier, hours in _WINDOWS.items()}
    found = {tier: [0, 0, 0] for tier in Tier}
    for row in watchlist.coverage.hours(min(starts.values()), end):
        if row.hour >= starts[row.tier]:
            for kind, count in enumerate((row.served, row.skipped, row.missed)):
                found[row.tier][kind] += count
    for group in watchlist.coverage.overdue(at - LATE, plan):
        for tier, slot in group.slots():
            if hour_of(Tier.HOURLY, starts[tier]) <= hour_of(tier, slot) < hour_of(Tier.HOURLY, end):
                found[tier][1 if group.left_out else 2] += group.videos
    return [TierSlots(tier, _WINDOWS[tier], *found[tier]) for tier in Tier]


def renew_liveliness(
    watchlist: Schedule, vault: Vault, settings: Settings, quota: QuotaStatus, *, now: datetime | None = None
) -> bool:
    """Count by how much videos gain, where that was last done a day ago; returns whether it was.

    Sooner where another policy has been set, where there are twice as many videos now, and, after an hour, where it was
    not known yet of most of them what they gain. A pass over the watchlist, and 64 small files of the vault for the
    roster.
    """
    at = now or quota.day.now
    last = watchlist.policy.liveliness()
    if last is not None and timedelta(0) <= at - last.counted_at < (_DAY if last.is_known else _HOUR):
        tracked = sum(count for queue, count in quota.videos.items() if queue is not Queue.GONE)
        if last.policy == settings.policy and tracked < 2 * last.videos:
            return False
    plan = standing_plan(watchlist, settings, quota)
    found = watchlist.policy.count_liveliness(plan, at)
    settled = watchlist.status.queues()[Queue.ROSTER]
    sample = _of_roster(watchlist, vault, plan, at)
    found = found.plus(sample, settled / max(1, sum(each.videos for each in sample.classes.values())))
    watchlist.policy.keep_liveliness(found.means(), settings.policy, at)
    return True


def _of_roster(watchlist: Schedule, vault: Vault, plan: ReadingPlan, at: datetime) -> LivelinessSums:
    """Of a sample of the settled videos."""
    from ghost_tracking.vault import roster_memory

    found = LivelinessSums()
    for chunk in watchlist.roster.sample(_CHUNKS):
        here = [position for position in range(chunk.ids) if position not in chunk.removed_positions]
        found += roster_memory.liveliness(vault.roster.memory(chunk.name, chunk.ids), plan, at, here)
    return found


def next_reading(plan: ReadingPlan, chunk: Chunk, row: WatchlistEntry) -> datetime:
    """When a settled video of a chunk is read next, as far as is known: at the first visit that finds it worth it.

    `row`: what is remembered of it. A chunk is visited once a week; what a visit finds worth a reading, see
    `vault.roster_memory.ChunkMemory.index`.
    """
    if chunk.gone or row.last_tracked_at is None or plan.threshold <= 0 or not plan.is_known:
        return chunk.next_track_at
    last_visit = plan.rule.longest_wait - Queue.ROSTER.interval + timedelta(seconds=1)
    wait = min(plan.rule.own_interval(row.known) - WORTH_LATE, last_visit)
    return slot_at_or_after(chunk.hour_of_week, max(row.last_tracked_at + wait, chunk.next_track_at))
