"""The quota's status: put together here for the tracker, the hunter, the page and the command alike."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from ghost_tracking.core.budgets import Bucket, CallBudget
from ghost_tracking.core.pacing import RUN_INTERVAL, QuotaStatus, quota_status
from ghost_tracking.core.tiers import Queue
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.services.reading_policy import share_read
from ghost_tracking.settings import Settings


def read_quota_status(
    watchlist: Schedule,
    settings: Settings,
    *,
    videos: Mapping[Queue, int] | None = None,
    due: dict[Queue, int] | None = None,
    now: datetime | None = None,
    run_interval: timedelta = RUN_INTERVAL,
) -> QuotaStatus:
    """What the quota allows with so many `videos` in the queues, and so many of them `due` (None: counted).

    `now` (aware; None: the database's clock) decides which day it is and what is due.
    `run_interval`: time between two scheduled runs.
    """
    due = watchlist.status.due(now) if due is None else due
    ledger = watchlist.quota
    balances, day = ledger.balances(now=now), ledger.today(now=now)
    videos = watchlist.status.queues() if videos is None else videos
    read = share_read(watchlist, settings)
    return quota_status(videos, due, balances, settings.quota_holdbacks, day, read, run_interval)


def calls_sent(budget: CallBudget) -> dict[str, int]:
    """Calls that were sent, by bucket, for reports."""
    return {bucket.value: spent for bucket, spent in budget.spent.items() if spent or bucket is Bucket.STATISTICS}
