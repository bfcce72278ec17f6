"""What verbs ask of an object store does not depend on the vault's age: requests are counted, never timed."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from benchmarks.buckets import HISTORY_VIDEOS, OPEN_HOURS, CountingBucket, aged_vault, last_night, vault_on
from benchmarks.requests import STEPS, counted, dollars

from ghost_tracking.core.points import MetricPoint
from ghost_tracking.vault import Vault
from ghost_tracking.vault.history.manifest import load
from ghost_tracking.vault.maintenance.survey import MOST_OPENED
from s3_server import S3Server

DAY = timedelta(days=1)
SERVERS_PAGE = 50
OVERVIEW = "the overview, open all day"
HEALTH = "a health check, every hour"
CHECK = "night: check"
OPENS_THE_ARCHIVE = "night: archive metadata"
LISTS_ALL = {HEALTH, CHECK, "night: measure"}
"""They compare every name: a request for each thousand."""

Counts = dict[str, Counter[str]]


@pytest.fixture(scope="module")
def aged() -> dict[int, tuple[CountingBucket, Vault]]:
    """A vault of one year, and one of five."""
    buckets = {years: CountingBucket() for years in (1, 5)}
    return {years: (each, aged_vault(each, years, last_night(), parts_an_hour=12)) for years, each in buckets.items()}


@pytest.fixture(scope="module")
def first(aged: dict[int, tuple[CountingBucket, Vault]]) -> Counts:
    """The requests of each step in a vault of a year."""
    return counted(aged[1][0], last_night())


@pytest.fixture(scope="module")
def fifth(aged: dict[int, tuple[CountingBucket, Vault]]) -> Counts:
    """The requests of each step in a vault of five years."""
    return counted(aged[5][0], last_night())


def test_the_health_of_an_old_vault_is_told_without_opening_it(aged: dict[int, tuple[CountingBucket, Vault]]) -> None:
    health = aged[5][1].health_check()
    assert health["unreadable"] == []
    assert health["points"] == health["partitions"] >= 5 * 365 * 24
    assert health["layers"]["videos"]["files"] == 1_100
    assert (health["staged_parts"], health["stale_hours"]) == (0, [])


def test_a_publication_asks_nothing_of_hours_that_have_nothing_new(
    aged: dict[int, tuple[CountingBucket, Vault]],
) -> None:
    bucket, _ = aged[5]
    with bucket.counted() as requests:
        vault_on(bucket).publish()
    assert requests == Counter(LIST=1 + 2, GET=1)  # the parts, two dates, the notes
    assert sum(requests.values()) < OPEN_HOURS


def test_a_history_asks_three_times_a_file_and_then_no_more(aged: dict[int, tuple[CountingBucket, Vault]]) -> None:
    video = f"9Lfmrky{HISTORY_VIDEOS // 2:04}"
    months = {
        years: sum(each.is_month for each in load(vault._storage)[0].periods) for years, (_, vault) in aged.items()
    }
    assert months[5] - months[1] == 4 * 12
    first, fifth = requests_of(aged, lambda vault: vault.read_history(video))
    assert fifth["GET"] - first["GET"] == 3 * (months[5] - months[1])  # directory, block, row group
    assert fifth["LIST"] - first["LIST"] == 0
    again = requests_of(aged, lambda vault: vault.read_history(video))
    assert again[0] == again[1]
    assert again[1]["GET"] == 0
    assert again[1]["HEAD"] - fifth["HEAD"] <= OPEN_HOURS  # whether an hour's file is still what it was
    other = requests_of(aged, lambda vault: vault.read_history(f"9Lfmrky{HISTORY_VIDEOS // 2 + 40:04}"))
    assert other[1]["GET"] <= OPEN_HOURS + 2 * months[5]  # the directories are kept


def requests_of(aged: dict[int, tuple[CountingBucket, Vault]], verb: Callable[[Vault], object]) -> list[Counter[str]]:
    """The requests of a verb at each age."""
    found = []
    for bucket, vault in aged.values():
        with bucket.counted() as requests:
            verb(vault)
        found.append(requests)
    return found


def test_a_refresh_of_the_overview_sends_at_most_twenty_requests(first: Counts, fifth: Counts) -> None:
    assert sum(fifth[OVERVIEW].values()) <= 20, fifth[OVERVIEW]
    assert fifth[OVERVIEW] - first[OVERVIEW] <= Counter(LIST=1)  # for each thousand dates


def test_a_health_check_sends_at_most_a_hundred_requests(first: Counts, fifth: Counts) -> None:
    assert sum(fifth[HEALTH].values()) <= 100, fifth[HEALTH]
    assert fifth[HEALTH]["GET"] == first[HEALTH]["GET"] <= MOST_OPENED + 12  # what is opened does not grow


@pytest.mark.parametrize("step", [step.name for step in STEPS if step.name not in {*LISTS_ALL, OPENS_THE_ARCHIVE}])
def test_what_runs_do_all_day_and_at_night_sends_as_many_at_five_years_as_at_one(
    first: Counts, fifth: Counts, step: str
) -> None:
    more = sum(fifth[step].values()) - sum(first[step].values())
    assert more <= 4, (first[step], fifth[step])  # a second page of dates, wherever dates are listed


def test_a_night_proves_a_twenty_eighth(fifth: Counts) -> None:
    hours = 5 * 365 * 24
    assert hours / 28 <= fifth[CHECK]["GET"] <= 1.2 * hours / 28 + 200
    assert fifth[CHECK]["PUT"] == 1
    assert fifth[CHECK]["LIST"] <= hours / 1000 + 60


def test_a_day_of_requests_costs_about_a_cup_of_coffee_a_month(fifth: Counts) -> None:
    day = Counter[str]()
    for step in STEPS:
        day += Counter({kind: number * step.times for kind, number in fifth[step.name].items()})
    assert 30 * dollars(day) <= 20


def life(vault: Vault, took: Callable[[str], None]) -> None:
    """Some of what is done with a vault; `took` is told of each when it is done."""
    now = datetime.now(UTC).replace(minute=30, second=0, microsecond=0) - 2 * DAY
    vault.identity(create=True)
    took("identity")
    vault.stage([MetricPoint("v", now - hour * timedelta(hours=1), hour, 1, None, None) for hour in range(30)])
    took("stage")
    vault.publish()
    took("publish")
    vault.publish()
    took("publish nothing")
    vault.seal(now + DAY)
    took("seal")
    vault.compact(now + DAY)
    took("compact")
    vault.measure()
    took("measure")
    vault.verify_share(now + DAY)
    took("check")
    stats = vault.stats
    stats.size()
    stats.points_by_hour()
    stats.newest_point(now + DAY)
    took("overview")
    vault.health_check()
    took("health")
    vault.read_history("v")
    took("history")


def test_a_real_server_is_sent_the_same_requests(s3: S3Server) -> None:
    """The bucket that counts is no S3: here both are asked the same."""
    real: dict[str, Counter[str]] = {}
    vault = Vault("s3://vault/requests", storage_options=s3.options)
    s3.requests_by_kind()
    life(vault, lambda name: real.update({name: Counter(s3.requests_by_kind())}))
    counted_here: dict[str, Counter[str]] = {}
    bucket = CountingBucket(page=SERVERS_PAGE)

    def note(name: str) -> None:
        counted_here[name] = bucket.requests.copy()
        bucket.requests.clear()

    life(vault_on(bucket), note)
    assert real == counted_here
