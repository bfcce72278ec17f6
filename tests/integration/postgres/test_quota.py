"""The quota ledger in a real PostgreSQL: never more than the budget, whatever runs at once."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from airflow.sdk import Connection

from ghost_tracking.core.budgets import Balance, Bucket, CallBudget
from ghost_tracking.core.pacing import allowance, pacific_day, set_aside
from ghost_tracking.errors import QuotaExhaustedError
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.postgres.quota import QuotaLedger
from youtube_simulator import Bucket as YouTubesBucket
from youtube_simulator import QuotaLedger as YouTubesCount

DAY = timedelta(days=1)
SPRING, AUTUMN = datetime(2026, 3, 8, 8, tzinfo=UTC), datetime(2026, 11, 1, 7, tzinfo=UTC)  # midnights
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
    budget = CallBudget({Bucket.STATISTICS: hook.quota.reserve(Bucket.STATISTICS, 10)})
    for _ in range(4):
        budget.spend(Bucket.STATISTICS)
    hook.quota.release(budget)
    assert hook.quota.left()[Bucket.STATISTICS] == 96
    hook.quota.release(budget)  # nothing is given back twice
    assert hook.quota.left()[Bucket.STATISTICS] == 96


def test_what_was_sent_after_midnight_counts_for_the_new_day(hook: WatchlistHook, sql: psycopg.Connection) -> None:
    budget = CallBudget(
        {Bucket.STATISTICS: hook.quota.reserve(Bucket.STATISTICS, 10, now=SPRING - timedelta(seconds=1))}
    )
    for _ in range(4):
        budget.spend(Bucket.STATISTICS)
    hook.quota.release(budget, now=SPRING)
    assert sql.execute("SELECT spent FROM quota_ledger ORDER BY pacific_day").fetchall() == [(4,), (4,)]


@pytest.mark.parametrize("refills", [1, 3])
def test_what_a_task_sent_after_midnight_that_died_then_is_in_the_ledger_of_the_new_day(
    hook: WatchlistHook, refills: int
) -> None:
    evening, night = SPRING - timedelta(minutes=40), SPRING + timedelta(minutes=4)
    budget = CallBudget(refill=lambda bucket: hook.quota.reserve(bucket, 10, now=evening))
    for _ in range(10 * (refills - 1) + 4):
        budget.spend(Bucket.STATISTICS)
    # the last six are sent after midnight, and nobody settles; no other call of that evening can be among them
    assert hook.quota.balances(now=evening)[Bucket.STATISTICS].spent == 10 * refills
    assert hook.quota.balances(now=night)[Bucket.STATISTICS].spent == 10


def test_calls_of_a_day_that_is_not_near_its_end_are_of_that_day_only(hook: WatchlistHook) -> None:
    hook.quota.reserve(Bucket.STATISTICS, 10, now=SPRING - timedelta(minutes=51))
    assert hook.quota.balances(now=SPRING)[Bucket.STATISTICS].spent == 0


def test_reserving_before_midnight_and_settling_after_it_never_wait_for_each_other(ghost_postgres: Connection) -> None:
    def work(number: int) -> None:
        with WatchlistHook(connection=ghost_postgres, budgets=BUDGETS | {"statistics": 10_000}) as hook:
            for _ in range(40):
                calls = hook.quota.reserve(Bucket.STATISTICS, 5, now=SPRING - timedelta(seconds=1))
                budget = CallBudget({Bucket.STATISTICS: calls})
                budget.spend(Bucket.STATISTICS)
                hook.quota.release(budget, now=SPRING + timedelta(seconds=number % 2) - timedelta(milliseconds=1))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    with WatchlistHook(connection=ghost_postgres) as hook:
        days = (SPRING - timedelta(seconds=1), SPRING)
        assert [hook.quota.balances(now=day)[Bucket.STATISTICS].spent for day in days] == [240, 120]


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
    budget = CallBudget({Bucket.SEARCH: hook.quota.reserve(Bucket.SEARCH, 2)})
    budget.spend(Bucket.SEARCH)
    budget.empty(Bucket.SEARCH)
    hook.quota.release(budget)
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
    budget = CallBudget({Bucket.GENERAL: hook.quota.reserve(Bucket.GENERAL, 10)})
    budget.spend(Bucket.GENERAL)
    hook.quota.release(budget)  # it was answered
    assert hook.quota.left()["general"] == 49


def test_a_bucket_that_empties_before_midnight_is_full_after_it(hook: WatchlistHook) -> None:
    budget = CallBudget({Bucket.GENERAL: hook.quota.reserve(Bucket.GENERAL, 10, now=SPRING - timedelta(seconds=1))})
    budget.spend(Bucket.GENERAL)
    budget.empty(Bucket.GENERAL)
    hook.quota.release(budget, now=SPRING)
    assert hook.quota.left(now=SPRING)["general"] == 49  # the one call that may have been sent after midnight


def test_old_days_are_forgotten(hook: WatchlistHook, sql: psycopg.Connection) -> None:
    hook.quota.reserve(Bucket.GENERAL, 1)
    sql.execute("INSERT INTO quota_ledger (bucket, pacific_day, spent) VALUES ('general', current_date - 100, 5)")
    assert hook.quota.forget_old() == 1
    assert hook.quota.left()["general"] == 49


def test_days_are_forgotten_by_the_time_that_is_passed_in(hook: WatchlistHook) -> None:
    hook.quota.reserve(Bucket.GENERAL, 1, now=SPRING)
    assert hook.quota.forget_old(now=SPRING + 90 * DAY) == 0
    assert hook.quota.forget_old(now=SPRING + 91 * DAY) == 1


def test_one_that_settles_late_does_not_take_back_what_another_was_told_meanwhile(
    hook: WatchlistHook, ghost_postgres: Connection, sql: psycopg.Connection
) -> None:
    def exhausted() -> bool:
        return hook.quota.balances()[Bucket.GENERAL].is_exhausted

    early = CallBudget({Bucket.GENERAL: hook.quota.reserve(Bucket.GENERAL, 10)})
    early.spend(Bucket.GENERAL)
    with WatchlistHook(connection=ghost_postgres, budgets=BUDGETS) as another:
        budget = CallBudget({Bucket.GENERAL: another.quota.reserve(Bucket.GENERAL, 10)})
        budget.spend(Bucket.GENERAL)
        budget.empty(Bucket.GENERAL)
        another.quota.release(budget)
    assert exhausted()
    hook.quota.release(early)  # it was answered, but before
    assert exhausted()
    sql.execute("UPDATE quota_ledger SET exhausted_at = now() - INTERVAL '16 minutes'")
    late = CallBudget({Bucket.GENERAL: hook.quota.reserve(Bucket.GENERAL, 10)})
    late.spend(Bucket.GENERAL)
    hook.quota.release(late)
    assert not exhausted()


def test_a_budget_refills_until_the_ledger_has_no_more(hook: WatchlistHook) -> None:
    budget = CallBudget(refill=lambda bucket: hook.quota.reserve(bucket, 2))
    for _ in range(5):
        budget.spend(Bucket.SEARCH)
    with pytest.raises(QuotaExhaustedError, match="search"):
        budget.spend(Bucket.SEARCH)
    assert budget.spent[Bucket.SEARCH] == 5


def test_a_bucket_that_was_called_empty_is_tried_by_those_too_who_leave_it_to_others(
    hook: WatchlistHook, sql: psycopg.Connection
) -> None:
    hook.quota.reserve(Bucket.GENERAL, 1)
    sql.execute("UPDATE quota_ledger SET exhausted_at = now() - INTERVAL '16 minutes'")
    assert hook.quota.reserve(Bucket.GENERAL, 10, leave=50) == 1


@pytest.mark.parametrize(
    "moment",
    [
        *(SPRING, SPRING + timedelta(hours=23), AUTUMN, AUTUMN + timedelta(hours=25)),  # midnights
        *(SPRING + timedelta(hours=2), AUTUMN + timedelta(hours=2)),  # when clocks are changed
    ],
    ids=str,
)
def test_what_is_sent_around_midnight_or_a_change_of_clocks_is_in_the_ledger_of_its_day(
    ghost_postgres: Connection, moment: datetime
) -> None:
    """Tasks that reserve before it and send after it, some of them refilling; counted as YouTube counts."""
    dice = random.Random(int(moment.timestamp()))
    count = YouTubesCount({YouTubesBucket.STATISTICS: 10_000})
    crossing = 0
    with WatchlistHook(connection=ghost_postgres, budgets=BUDGETS | {"statistics": 10_000}) as hook:
        for _ in range(40):
            ledger, clock = QuotaLedger(hook.database, {"statistics": 10_000}), [moment - timedelta(seconds=30)]
            budget = CallBudget(
                refill=lambda bucket, ledger=ledger, clock=clock: ledger.reserve(bucket, 5, now=clock[0])
            )
            for _ in range(dice.randrange(25)):
                clock[0] += timedelta(seconds=dice.randrange(5))
                budget.spend(Bucket.STATISTICS)
                clock[0] += timedelta(seconds=dice.randrange(2))
                assert count.spend(YouTubesBucket.STATISTICS, clock[0])
            crossing += clock[0] >= moment
            ledger.release(budget, now=clock[0] + timedelta(seconds=dice.randrange(3)))
        spent = {day: hook.quota.balances(now=day)[Bucket.STATISTICS].spent for day in (moment - DAY / 24, moment)}
    used = {day: count.used(YouTubesBucket.STATISTICS, day) for day in spent}
    assert crossing > 5
    if pacific_day(moment).start == moment:
        assert all(used[day] <= spent[day] for day in used)
        assert sum(spent.values()) <= sum(used.values()) + 5 * 40
    else:
        assert spent == used


def test_a_simulator_passes_the_time_in(hook: WatchlistHook) -> None:
    ledger, now = hook.quota, SPRING - timedelta(seconds=1)
    assert ledger.reserve(Bucket.GENERAL, 20, now=now) == 20
    assert ledger.balances(now=now)[Bucket.GENERAL] == Balance(50, 20)
    assert ledger.balances(now=SPRING)[Bucket.GENERAL] == Balance(50, 20)  # they may be sent then
    assert ledger.left() == BUDGETS
    budget = CallBudget({Bucket.GENERAL: 20})
    budget.spend(Bucket.GENERAL)
    budget.empty(Bucket.GENERAL)
    ledger.release(budget, now=now)
    assert ledger.balances(now=now)[Bucket.GENERAL] == Balance(50, 20, is_exhausted=True, is_refused=True)
    assert ledger.balances(now=SPRING)[Bucket.GENERAL] == Balance(50)
    assert ledger.reserve(Bucket.GENERAL, 20, now=SPRING + timedelta(minutes=1)) == 20


@pytest.mark.parametrize(("midnight", "hours"), [(SPRING, 23), (AUTUMN, 25)])
def test_days_end_at_pacific_midnight_in_the_ledger_and_in_python(
    hook: WatchlistHook, midnight: datetime, hours: int
) -> None:
    ledger, end = hook.quota, midnight + timedelta(hours=hours)
    day = ledger.today(now=midnight)
    assert (day.start, day.end, day.length) == (midnight, end, timedelta(hours=hours))
    ledger.reserve(Bucket.GENERAL, 10, now=midnight)
    assert ledger.left(now=end - timedelta(microseconds=1))[Bucket.GENERAL] == 40
    assert ledger.left(now=end)[Bucket.GENERAL] == 50


def test_the_day_is_that_of_the_databases_clock(hook: WatchlistHook, sql: psycopg.Connection) -> None:
    hook.quota.reserve(Bucket.GENERAL, 1)
    day, tomorrow = sql.execute(
        """SELECT pacific_day::timestamp AT TIME ZONE 'America/Los_Angeles',
                  (pacific_day + 1)::timestamp AT TIME ZONE 'America/Los_Angeles' FROM quota_ledger"""
    ).fetchone() or (None, None)
    today = hook.quota.today()
    assert (today.start, today.end) == (day, tomorrow)
    assert today.start <= today.now < today.end


def test_a_day_of_runs_that_reserve_at_once_spends_its_budget_to_the_last_call(ghost_postgres: Connection) -> None:
    """Every run asks from four tasks for the whole of what it may spend, while the hunter asks for some as well."""
    day = pacific_day(SPRING)

    def take(now: datetime, calls: int, leave: int) -> int:
        with WatchlistHook(connection=ghost_postgres, budgets=BUDGETS) as hook:
            return hook.quota.reserve(Bucket.STATISTICS, calls, leave=leave, now=now)

    granted = []
    with WatchlistHook(connection=ghost_postgres, budgets=BUDGETS) as hook, ThreadPoolExecutor(5) as pool:
        for run in range(46):  # each of half an hour
            now = day.start + run * timedelta(minutes=30)
            leave = set_aside(20, pacific_day(now))
            left = hook.quota.balances(now=now)[Bucket.STATISTICS].left(leave)
            may = allowance(left, 1_000, 0, day.end - now, timedelta(minutes=30))
            asked = [(may, leave)] * 4 + ([(1, 0)] if run % 10 == 0 else [])
            granted.append(sum(pool.map(lambda each, now=now: take(now, *each), asked)))
            assert hook.quota.balances(now=now)[Bucket.STATISTICS].spent == sum(granted) <= 100
        assert hook.quota.left(now=now)[Bucket.STATISTICS] <= set_aside(20, pacific_day(now))
    assert sum(granted) >= 99
