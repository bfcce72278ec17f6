"""What a run takes of what is due, counted in calls: no call has videos of two queues."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.sdk import Connection

from ghost_tracking.core.budgets import calls_for
from ghost_tracking.core.policies import Policy
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Tier
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services.planning import plan_batches
from ghost_tracking.services.quota_status import read_quota_status
from ghost_tracking.settings import Settings
from ghost_tracking.vault import Vault

MIDNIGHT = datetime(2026, 6, 1, 7, tzinfo=UTC)  # in California
AN_HOUR = timedelta(hours=1)


def limits(
    connection: Connection, vault: Path, hourly: int, daily: int, calls: int, policy: Policy = Policy.ADAPTIVE
) -> tuple[list[int], int]:
    """How many videos of each queue an hourly run plans to read, and how many calls it may take."""
    settings = Settings(
        policy=policy, quota_statistics=calls, quota_general=0, quota_hunter_holdback=0, quota_manual_holdback=0
    )
    read_at = MIDNIGHT - timedelta(days=2)
    with WatchlistHook(connection=connection, budgets=settings.quota) as hook:
        hook.add_to_watchlist(
            WatchlistEntry(
                f"{tier}{number}",
                tier,
                last_tracked_at=read_at,
                next_track_at=MIDNIGHT - AN_HOUR,
                anchor_at=read_at,
                views=100,
                gain_per_hour=5.0,
            )
            for tier, count in ((Tier.HOURLY, hourly), (Tier.DAILY, daily))
            for number in range(count)
        )
        allowed = read_quota_status(hook, settings, now=MIDNIGHT, run_interval=AN_HOUR).allowed
        planned = plan_batches(hook, settings, Vault(vault), now=MIDNIGHT, run_interval=AN_HOUR)
    return [batch.limit for batch in planned.batches], allowed


def test_what_fits_by_videos_but_not_by_calls_is_read_in_full_calls(ghost_postgres: Connection, tmp_path: Path) -> None:
    """51 and 37 videos are 88, less than two calls have room for, and take three."""
    planned, allowed = limits(ghost_postgres, tmp_path, hourly=51, daily=37, calls=48)
    assert allowed == 2
    assert planned == [50]


def test_where_not_even_one_call_is_full_the_longest_queue_is_read(ghost_postgres: Connection, tmp_path: Path) -> None:
    planned, allowed = limits(ghost_postgres, tmp_path, hourly=10, daily=12, calls=24)
    assert allowed == 1
    assert planned == [12]


@pytest.mark.parametrize("policy", Policy)
def test_no_run_plans_more_calls_than_it_may_take(ghost_postgres: Connection, tmp_path: Path, policy: Policy) -> None:
    planned, allowed = limits(ghost_postgres, tmp_path, hourly=1_490, daily=1_010, calls=240, policy=policy)
    assert 0 < sum(map(calls_for, planned)) <= allowed == 10


def test_a_day_of_hourly_runs_is_shared_by_24_and_not_by_288(ghost_postgres: Connection, tmp_path: Path) -> None:
    planned, allowed = limits(ghost_postgres, tmp_path, hourly=2_000, daily=2_000, calls=240)
    assert allowed == 10
    assert sum(planned) == 500


def test_a_policy_that_takes_all_the_quota_reads_in_full_calls(ghost_postgres: Connection, tmp_path: Path) -> None:
    """Two half empty calls an hour would fit into its share, and the day would be spent on such."""
    planned, allowed = limits(ghost_postgres, tmp_path, hourly=75, daily=20, calls=72)
    assert allowed == 3
    assert planned == [50]


def test_where_quota_is_plentiful_nobody_waits_for_a_full_call(ghost_postgres: Connection, tmp_path: Path) -> None:
    planned, _ = limits(ghost_postgres, tmp_path, hourly=75, daily=20, calls=2_000)
    assert sorted(planned) == [20, 75]
