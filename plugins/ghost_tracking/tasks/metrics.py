"""Numbers for monitoring, out the way Airflow's own go: StatsD or OpenTelemetry, as the deployment has set.

Names begin with `ghost_tracking.`; what varies is in tags, which StatsD servers without tags do not show. Where no
metrics are switched on, nothing happens.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow.sdk.observability.stats import Stats  # the functions beside it are new in Airflow 3.3

from ghost_tracking.core.pacing import QuotaStatus
from ghost_tracking.hooks.watchlist import WatchlistHook

_PREFIX = "ghost_tracking"


def schedule(watchlist: WatchlistHook, quota: QuotaStatus) -> None:
    """What is due and what the quota allows, before a run: gauges."""
    gauge("backlog", watchlist.status.backlog())
    gauge("lag_seconds", _lag(watchlist.status.next_due_at(), watchlist.now()))
    gauge("sql_bytes", watchlist.status.database_bytes())
    for queue, count in quota.videos.items():
        gauge("videos", count, queue=queue.value)
        gauge("due", quota.due.get(queue, 0), queue=queue.value)
    for bucket, balance in quota.balances.items():
        gauge("quota_left", balance.left(), bucket=bucket.value)
        gauge("quota_spent", balance.spent, bucket=bucket.value)
    gauge("quota_demand_a_day", quota.demand)
    gauge("quota_capacity_a_day", quota.capacity)


def run(totals: Mapping[str, Any]) -> None:
    """What a run did: counters."""
    for name, count in totals.items():
        Stats.incr(f"{_PREFIX}.{name}", count=count)


def gauge(name: str, value: float, **tags: str) -> None:
    """One number as it is now."""
    Stats.gauge(f"{_PREFIX}.{name}", value, tags=tags)


def _lag(next_due_at: datetime | None, now: datetime) -> float:
    """Seconds by which the longest overdue video is late."""
    return max(0.0, (now - next_due_at).total_seconds()) if next_due_at else 0.0
