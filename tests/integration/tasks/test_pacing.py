"""A day of tracker runs on a real ledger: where quota is short, the last hour is served as well as the first."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from airflow.sdk import Connection

from ghost_tracking.core.budgets import Bucket
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Queue, Tier
from ghost_tracking.errors import DatabaseUnavailableError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.postgres.quota import QuotaLedger
from ghost_tracking.services.planning import plan_batches, reserve
from ghost_tracking.settings import Settings

MIDNIGHT = datetime(2026, 6, 1, 7, tzinfo=UTC)  # in California
RUN = timedelta(minutes=5)
SCARCE = Settings(quota_statistics=400, quota_general=100, quota_hunter_holdback=20, quota_manual_holdback=12)


@pytest.fixture
def watchlist(ghost_postgres: Connection) -> WatchlistHook:
    """2,000 hourly videos, all overdue for hours: 960 calls a day."""
    with WatchlistHook(connection=ghost_postgres, budgets=SCARCE.quota) as hook:
        hook.add_to_watchlist(
            WatchlistEntry(f"video_{number}", Tier.HOURLY, next_track_at=MIDNIGHT - timedelta(hours=2))
            for number in range(2_000)
        )
        yield hook


def spend(watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime, *, manual: bool = False) -> int:
    """A run that spends what it may; returns how many calls."""
    planned = plan_batches(watchlist, SCARCE, vault, now=now, manual=manual)
    assert "Quota is short" in planned.why
    calls = 0
    for batch in planned.batches:
        assert batch.strict
        budget, affordable = reserve(watchlist.quota, batch, SCARCE, now=now, manual=manual)
        for _ in range(-(-min(batch.limit, affordable) // 50)):
            budget.spend(Bucket.STATISTICS if budget.holds(Bucket.STATISTICS) else Bucket.GENERAL)
            calls += 1
        watchlist.quota.release(budget, now=now)
    return calls


def test_every_hour_of_a_short_day_gets_its_share_and_nothing_is_left_over(
    watchlist: WatchlistHook, vault: ParquetVaultHook
) -> None:
    runs = [spend(watchlist, vault, MIDNIGHT + run * RUN) for run in range(288)]
    hours = [sum(runs[first : first + 12]) for first in range(0, 288, 12)]
    assert max(hours) - min(hours) <= 6  # of 20; what nobody has wanted of the holdbacks comes late
    assert 495 <= sum(hours) <= 500  # both buckets, and in the end what the hunter and nobody else wanted
    assert min(watchlist.quota.left(now=MIDNIGHT + 287 * RUN).values()) >= 0
    # a new day begins with its own budget
    assert spend(watchlist, vault, MIDNIGHT + 288 * RUN) <= 2


def test_a_run_by_hand_may_spend_what_is_kept_for_it(watchlist: WatchlistHook, vault: ParquetVaultHook) -> None:
    assert spend(watchlist, vault, MIDNIGHT) <= 2
    assert 12 <= spend(watchlist, vault, MIDNIGHT, manual=True) <= 14


def test_with_enough_quota_nothing_is_held_back(ghost_postgres: Connection, vault: ParquetVaultHook) -> None:
    with WatchlistHook(connection=ghost_postgres) as hook:
        hook.add_to_watchlist(WatchlistEntry(f"v{n}", Tier.DAILY, next_track_at=MIDNIGHT) for n in range(30_000))
        planned = plan_batches(hook, Settings(), vault, now=MIDNIGHT)
        assert sum(batch.limit for batch in planned.batches) == 30_000
        assert {batch.queue for batch in planned.batches} == {Queue.DAILY}
        assert "short" not in planned.why


def test_a_connection_that_breaks_between_two_buckets_leaves_nothing_reserved(
    watchlist: WatchlistHook, vault: ParquetVaultHook, sql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would give back what was reserved of the first one until midnight."""
    batch, *_ = plan_batches(watchlist, SCARCE, vault, now=MIDNIGHT).batches
    real = QuotaLedger.reserve

    def breaking(self: QuotaLedger, bucket: Bucket, *arguments: Any, **named: Any) -> int:
        if bucket is Bucket.GENERAL:
            sql.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        return real(self, bucket, *arguments, **named)

    monkeypatch.setattr(QuotaLedger, "reserve", breaking)
    with pytest.raises(DatabaseUnavailableError):
        reserve(watchlist.quota, batch, SCARCE, now=MIDNIGHT)
    assert {
        bucket: balance.spent for bucket, balance in watchlist.quota.balances(now=MIDNIGHT).items()
    } == dict.fromkeys(Bucket, 0)
    monkeypatch.setattr(QuotaLedger, "reserve", real)
    budget, affordable = reserve(watchlist.quota, batch, SCARCE, now=MIDNIGHT)
    assert affordable > 0
    watchlist.quota.release(budget, now=MIDNIGHT)
