"""The quota ledger in a real PostgreSQL: never more than the budget, whatever runs at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from airflow.sdk import Connection

from ghost_tracking.core.budgets import Bucket, Purse
from ghost_tracking.errors import QuotaExhaustedError
from ghost_tracking.hooks.watchlist import WatchlistHook

BUDGETS = {"statistics": 100, "search": 5, "general": 50}


@pytest.fixture
def hook(ghost_postgres: Connection):
    with WatchlistHook(connection=ghost_postgres, budgets=BUDGETS) as hook:
        yield hook


def test_a_reservation_gets_what_is_left_and_no_more(hook: WatchlistHook) -> None:
    assert hook.quota.left() == BUDGETS
    assert hook.quota.reserve(Bucket.STATISTICS, 70) == 70
    assert hook.quota.reserve(Bucket.STATISTICS, 70) == 30
    assert hook.quota.reserve(Bucket.STATISTICS, 1) == 0
    assert hook.quota.left() == BUDGETS | {"statistics": 0}


def test_what_was_not_sent_goes_back(hook: WatchlistHook) -> None:
    purse = Purse({Bucket.STATISTICS: hook.quota.reserve(Bucket.STATISTICS, 10)})
    for _ in range(4):
        purse.spend(Bucket.STATISTICS)
    hook.quota.settle(purse)
    assert hook.quota.left()[Bucket.STATISTICS] == 96
    hook.quota.settle(purse)  # nothing is given back twice
    assert hook.quota.left()[Bucket.STATISTICS] == 96


def test_what_was_sent_after_midnight_counts_for_the_new_day(hook: WatchlistHook, sql: psycopg.Connection) -> None:
    purse = Purse({Bucket.STATISTICS: hook.quota.reserve(Bucket.STATISTICS, 10)})
    for _ in range(4):
        purse.spend(Bucket.STATISTICS)
    # midnight passes: what was reserved today was reserved yesterday
    sql.execute("UPDATE quota_ledger SET pacific_day = pacific_day - 1")
    hook.quota._reserved_on[Bucket.STATISTICS] -= timedelta(days=1)
    hook.quota.settle(purse)
    assert sql.execute("SELECT spent FROM quota_ledger ORDER BY pacific_day").fetchall() == [(4,), (4,)]


def test_a_reserve_is_left_to_others(hook: WatchlistHook) -> None:
    assert hook.quota.reserve(Bucket.GENERAL, 50, leave=20) == 30
    assert hook.quota.reserve(Bucket.GENERAL, 50, leave=20) == 0
    assert hook.quota.reserve(Bucket.GENERAL, 50) == 20


def test_together_they_never_get_more_than_the_budget(ghost_postgres: Connection) -> None:
    def take(_: int) -> int:
        with WatchlistHook(connection=ghost_postgres, budgets=BUDGETS) as hook:
            return sum(hook.quota.reserve(Bucket.STATISTICS, 7) for _ in range(5))

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(take, range(6))) == 100


def test_a_bucket_that_youtube_calls_empty_stays_empty_until_the_pacific_day_ends(
    hook: WatchlistHook, sql: psycopg.Connection
) -> None:
    purse = Purse({Bucket.SEARCH: hook.quota.reserve(Bucket.SEARCH, 2)})
    purse.spend(Bucket.SEARCH)
    purse.empty(Bucket.SEARCH)
    hook.quota.settle(purse)
    assert hook.quota.left()["search"] == 0
    assert hook.quota.reserve(Bucket.SEARCH, 1) == 0
    sql.execute("UPDATE quota_ledger SET pacific_day = pacific_day - 1")
    assert hook.quota.reserve(Bucket.SEARCH, 1) == 1


def test_a_bucket_that_was_called_empty_is_tried_again_with_one_call(
    hook: WatchlistHook, sql: psycopg.Connection
) -> None:
    hook.quota.reserve(Bucket.GENERAL, 0)
    sql.execute("UPDATE quota_ledger SET exhausted_at = now() - INTERVAL '16 minutes'")
    assert hook.quota.left()["general"] == 1
    purse = Purse({Bucket.GENERAL: hook.quota.reserve(Bucket.GENERAL, 10)})
    purse.spend(Bucket.GENERAL)
    hook.quota.settle(purse)  # it was answered
    assert hook.quota.left()["general"] == 49


def test_a_bucket_that_empties_before_midnight_is_full_after_it(hook: WatchlistHook, sql: psycopg.Connection) -> None:
    purse = Purse({Bucket.GENERAL: hook.quota.reserve(Bucket.GENERAL, 10)})
    purse.spend(Bucket.GENERAL)
    purse.empty(Bucket.GENERAL)
    sql.execute("UPDATE quota_ledger SET pacific_day = pacific_day - 1")
    hook.quota._reserved_on[Bucket.GENERAL] -= timedelta(days=1)
    hook.quota.settle(purse)
    assert hook.quota.left()["general"] == 49  # the one call that may have been sent after midnight


def test_old_days_are_forgotten(hook: WatchlistHook, sql: psycopg.Connection) -> None:
    hook.quota.reserve(Bucket.GENERAL, 1)
    sql.execute("INSERT INTO quota_ledger (bucket, pacific_day, spent) VALUES ('general', current_date - 100, 5)")
    assert hook.forget_old_quota() == 1
    assert hook.quota.left()["general"] == 49


def test_a_purse_refills_until_the_ledger_has_no_more(hook: WatchlistHook) -> None:
    purse = Purse(refill=lambda bucket: hook.quota.reserve(bucket, 2))
    for _ in range(5):
        purse.spend(Bucket.SEARCH)
    with pytest.raises(QuotaExhaustedError, match="search"):
        purse.spend(Bucket.SEARCH)
    assert purse.spent[Bucket.SEARCH] == 5
