"""Planning a run of the tracker: which batches it tracks of what is due, and the quota that each of them reserves."""

from collections.abc import Collection
from datetime import datetime

from ghost_tracking.core.batches import Batch, in_whole_calls, make_batches, share_out
from ghost_tracking.core.budgets import IDS_PER_CALL, STATISTICS_BUCKETS, Bucket, CallBudget, calls_for
from ghost_tracking.core.pacing import set_aside
from ghost_tracking.core.roster import CHUNK_SIZE
from ghost_tracking.core.tiers import Queue
from ghost_tracking.postgres.quota import QuotaLedger
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.services.quota_status import read_quota_status
from ghost_tracking.settings import Settings
from ghost_tracking.wording import pluralize

_ONE_BAD_ID = 12
"""Calls that bisect fifty ids down to the bad one."""


def plan_batches(
    watchlist: Schedule,
    settings: Settings,
    *,
    queues: Collection[str] = tuple(Queue),
    limit: int | None = None,
    now: datetime | None = None,
    manual: bool = False,
) -> tuple[list[Batch], str]:
    """The batches of a run over these queues, with `limit` videos at most, and in a sentence why they are these.

    `now` (aware; None: the database's clock) decides what is due. A run that somebody has triggered (`manual`) may
    spend what is held back for such runs.
    """
    due = {queue: counts for queue, counts in watchlist.status.due(now).items() if queue in queues}
    total = sum(sum(counts) for counts in due.values())
    if total == 0:
        next_due_at = watchlist.status.next_due_at()
        when = f"the next video is due at {next_due_at:%Y-%m-%d %H:%M} UTC" if next_due_at else "no video is tracked"
        return [], f"Nothing is due: {when}."
    quota = read_quota_status(watchlist, settings, due={queue: sum(counts) for queue, counts in due.items()}, now=now)
    calls_allowed = quota.allowed_manual if manual else quota.allowed
    most = min(calls_allowed * IDS_PER_CALL, settings.tracker_videos_a_run, limit or total)
    shares = share_out(due, most)
    if calls_allowed * IDS_PER_CALL == most < total:
        shares = in_whole_calls(shares)
    batches = make_batches(shares, settings.tracker_parallel_tasks, strict=total > most)
    due_now, tracked = pluralize(total, "video is", "videos are"), pluralize(sum(shares.values()), "is", "are")
    why = f"{due_now} due, {tracked} tracked now in {pluralize(len(batches), 'batch', 'batches')}."
    if not batches:
        stays = "stays" if total == 1 else "stay"
        why = f"{due_now} due and {stays} so: YouTube's quota is used up, or kept for later runs."
    if quota.is_paced:
        why += (
            f" Quota is short and spread over the day: {pluralize(quota.calls_due, 'call is', 'calls are')} due, "
            f"{quota.demand:,.0f} are needed a day, {quota.left:,} are left until {quota.day.end:%H:%M} UTC; "
            f"intervals are {quota.slowdown:.2g} times as long."
        )
    return batches, why


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
