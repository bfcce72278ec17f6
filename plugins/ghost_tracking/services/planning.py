"""Planning a run of the tracker: which batches it tracks of what is due, and the quota that each of them reserves."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ghost_tracking.core.audits import AuditPick
from ghost_tracking.core.batches import Batch, in_proportion, in_whole_calls, make_batches, share_out
from ghost_tracking.core.budgets import IDS_PER_CALL, STATISTICS_BUCKETS, Bucket, CallBudget, calls_for
from ghost_tracking.core.pacing import RUN_INTERVAL, QuotaStatus, set_aside
from ghost_tracking.core.policies import EVERY_SLOT, Policy, ReadingPlan
from ghost_tracking.core.roster import CHUNK_SIZE
from ghost_tracking.core.tiers import Queue
from ghost_tracking.core.worth import INDEX_BORDERS
from ghost_tracking.postgres.quota import QuotaLedger
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.services.auditing import draw
from ghost_tracking.services.fairness import renew_liveliness
from ghost_tracking.services.quota_status import read_quota_status
from ghost_tracking.services.reading_policy import make_plan
from ghost_tracking.settings import Settings
from ghost_tracking.vault import Vault
from ghost_tracking.wording import pluralize

_ONE_BAD_ID = 12
"""Calls that bisect fifty ids down to the bad one."""

_SAMPLE = 16
"""Chunks by which it is judged how many of the roster's due videos are worth a reading: up to 80,000 videos."""


@dataclass(frozen=True)
class Planned:
    """The batches of a run, what they go by, and in a sentence why they are these.

    `audits`: whom to read beside them.
    """

    batches: list[Batch]
    plan: ReadingPlan
    why: str
    audits: list[AuditPick] = field(default_factory=list)


def plan_batches(
    watchlist: Schedule,
    settings: Settings,
    vault: Vault,
    *,
    queues: Collection[str] = tuple(Queue),
    limit: int | None = None,
    now: datetime | None = None,
    manual: bool = False,
    run_interval: timedelta = RUN_INTERVAL,
) -> Planned:
    """What a run over these queues does, with `limit` videos at most.

    `now` (aware; None: the database's clock) decides what is due. A run that somebody has triggered (`manual`) may
    spend what is held back for such runs. `run_interval`: time between two scheduled runs, which share a day's quota
    that is short. Where not all that is due can be read, or not all is worth it, a sample of the roster's memory is
    read from the vault.
    """
    due = {queue: count for queue, count in watchlist.status.due(now).items() if queue in queues}
    total = sum(due.values())
    if total == 0:
        next_due_at = watchlist.status.next_due_at()
        when = f"the next video is due at {next_due_at:%Y-%m-%d %H:%M} UTC" if next_due_at else "no video is tracked"
        return Planned([], EVERY_SLOT, f"Nothing is due: {when}.")
    quota = read_quota_status(watchlist, settings, due=due, now=now, run_interval=run_interval)
    plan = make_plan(watchlist, settings, quota, now=now)
    renew_liveliness(watchlist, vault, settings, quota, now=now)
    calls_allowed = quota.allowed_manual if manual else quota.allowed
    most = min(calls_allowed * IDS_PER_CALL, settings.tracker_videos_a_run, limit or total)
    shares, plan = _shares(watchlist, vault, due, most, plan, now)
    worth = min(1.0, shares[Queue.ROSTER] / due[Queue.ROSTER]) if due.get(Queue.ROSTER) else 1.0
    is_cut = plan.cut > 0 and calls_allowed * IDS_PER_CALL == most
    if calls_allowed and (is_cut or _calls(shares) > calls_allowed or _may_save(shares, plan, quota, run_interval)):
        shares = in_whole_calls(shares)
    strict = sum(shares.values()) < total or worth < 1
    batches = make_batches(shares, settings.tracker_parallel_tasks, strict=strict, worth=worth)
    audits = draw(watchlist, vault, settings, plan, sum(batch.limit for batch in batches))
    return Planned(batches, plan, _why(total, shares, batches, plan, quota), audits)


def _shares(
    watchlist: Schedule, vault: Vault, due: Mapping[Queue, int], most: int, plan: ReadingPlan, now: datetime | None
) -> tuple[dict[Queue, int], ReadingPlan]:
    """How many videos of each queue to read, and the plan with the cut that this takes."""
    roster = due.get(Queue.ROSTER, 0)
    if not plan.is_known or (sum(due.values()) <= most and (plan.threshold <= 0 or not roster)):
        return _in_order(due, most), plan
    classes = {queue: counts for queue, counts in watchlist.status.due_by_index(plan, now).items() if queue in due}
    if roster:
        classes[Queue.ROSTER] = _roster_classes(watchlist, vault, roster, plan, now)
    if sum(due.values()) <= most:
        return {**due, Queue.ROSTER: max(1, sum(classes[Queue.ROSTER]))}, plan
    shares, cut = share_out(classes, most)
    if cut == 0 and roster:
        shares[Queue.ROSTER] = max(1, shares[Queue.ROSTER])  # chunks are visited where nobody is worth it, too
    # even where all fit, those do not that are not to be considered yet
    return shares, replace(plan, cut=max(cut, INDEX_BORDERS[1]))


def _calls(shares: Mapping[Queue, int]) -> int:
    """Calls that read so many videos of each queue: no call has videos of two."""
    return sum(map(calls_for, shares.values()))


def _may_save(shares: Mapping[Queue, int], plan: ReadingPlan, quota: QuotaStatus, run_interval: timedelta) -> bool:
    """Whether full calls only leave some for readings later in the day.

    A policy that takes all of the quota is never short of it, and would spend it on half empty calls. Where twice as
    many as these would not use it up, there is nothing to be saved for; nor in the day's last run.
    """
    if plan.policy is not Policy.ADAPTIVE:
        return False
    runs = math.ceil(quota.day.remaining / run_interval)
    return runs > 1 and 2 * _calls(shares) * runs > quota.left


def _in_order(due: Mapping[Queue, int], most: int) -> dict[Queue, int]:
    """All of what is due, or as much as can be read of each queue: in proportion, while videos cannot be told apart."""
    return dict(due) if sum(due.values()) <= most else in_proportion(due, most)


def _roster_classes(watchlist: Schedule, vault: Vault, due: int, plan: ReadingPlan, now: datetime | None) -> list[int]:
    """How many of the roster's due videos there are by class of the index, from a sample of its chunks."""
    import numpy as np

    at = now or watchlist.now()
    found = np.zeros(len(INDEX_BORDERS))
    seen = 0
    for chunk in watchlist.roster.sample_due(_SAMPLE, now):
        memory = vault.roster.memory(chunk.name, chunk.ids)
        waiting = [here for here in range(chunk.cursor, chunk.ids) if here not in chunk.removed_positions]
        indexes = memory.index(plan, at)[waiting]
        classes = np.searchsorted(INDEX_BORDERS, indexes[indexes >= plan.threshold], side="right") - 1
        found += np.bincount(classes, minlength=len(INDEX_BORDERS))
        seen += len(waiting)
    counts: list[int] = np.round(found * (due / max(seen, 1))).astype(int).tolist()
    return counts


def _why(
    total: int, shares: Mapping[Queue, int], batches: Sequence[Batch], plan: ReadingPlan, quota: QuotaStatus
) -> str:
    due_now, tracked = pluralize(total, "video is", "videos are"), pluralize(sum(shares.values()), "is", "are")
    if not batches:
        stays = "stays" if total == 1 else "stay"
        why = f"{due_now} due and {stays} so: YouTube's quota is used up, or kept for later runs."
    else:
        why = f"{due_now} due, {tracked} tracked now in {pluralize(len(batches), 'batch', 'batches')}."
    if plan.policy is Policy.ADAPTIVE:
        return f"{why} Each video is read at its own interval, within {quota.capacity:,} calls a day (adaptive)."
    if quota.is_paced:
        why += (
            f" Quota is short and spread over the day: {pluralize(quota.calls_due, 'call is', 'calls are')} due, "
            f"{quota.need:,.0f} are needed a day, {quota.left:,} are left until {quota.day.end:%H:%M} UTC; "
            f"{quota.skipped:.0%} of all slots are left out, where least is to be seen."
        )
    return why


def reserve(
    ledger: QuotaLedger, batch: Batch, settings: Settings, *, now: datetime | None = None, manual: bool = False
) -> tuple[CallBudget, int]:
    """Quota for a batch, and how many videos it is enough for.

    A tenth more is reserved for calls that have to be made again, with what it takes to find one bad id, and of the
    general bucket enough to confirm that a fifth of the videos is missing, and to read rows without an anchor; what is
    not needed goes back.
    """
    day = ledger.today(now=now)
    leave = {bucket: set_aside(settings.quota_holdbacks[bucket], day) for bucket in STATISTICS_BUCKETS}
    if manual:
        leave[Bucket.STATISTICS] = 0
    videos = batch.limit + (CHUNK_SIZE if batch.queue.in_chunks and not batch.strict else 0)
    needed = calls_for(videos)
    again = 4 + needed // 10 + _ONE_BAD_ID
    with ledger.together():
        statistics = ledger.reserve(Bucket.STATISTICS, needed + again, leave=leave[Bucket.STATISTICS], now=now)
        overflow = max(0, needed - statistics)
        confirming = 1 + calls_for(videos // 5)
        firsts = 0 if batch.queue.in_chunks else needed
        wanted = overflow + confirming + (again if overflow else firsts)
        general = ledger.reserve(Bucket.GENERAL, wanted, leave=leave[Bucket.GENERAL], now=now)
    budget = CallBudget({Bucket.STATISTICS: statistics, Bucket.GENERAL: general})
    return budget, min(videos, (statistics + (general if overflow else 0)) * IDS_PER_CALL)
