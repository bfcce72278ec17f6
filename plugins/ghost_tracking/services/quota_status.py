"""The quota's status: put together here for the tracker, the hunter, the page and the command alike."""

from collections.abc import Mapping
from datetime import datetime

from ghost_tracking.core.budgets import Bucket, CallBudget
from ghost_tracking.core.pacing import QuotaStatus, quota_status
from ghost_tracking.core.tiers import Queue
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.settings import Settings


def read_quota_status(
    watchlist: Schedule,
    settings: Settings,
    *,
    videos: Mapping[Queue, int] | None = None,
    due: Mapping[Queue, int] | None = None,
    now: datetime | None = None,
) -> QuotaStatus:
    """What the quota allows with so many `videos` in the queues, and so many of them `due` (None: counted).

    `now` (aware; None: the database's clock) decides which day it is and what is due.
    """
    if due is None:
        due = {queue: sum(counts) for queue, counts in watchlist.status.due(now).items()}
    ledger = watchlist.quota
    balances, day = ledger.balances(now=now), ledger.today(now=now)
    videos = watchlist.status.queues() if videos is None else videos
    return quota_status(videos, due, balances, settings.quota_holdbacks, day)


def calls_sent(budget: CallBudget) -> dict[str, int]:
    """Calls that were sent, by bucket, for reports."""
    return {bucket.value: spent for bucket, spent in budget.spent.items() if spent or bucket is Bucket.STATISTICS}
