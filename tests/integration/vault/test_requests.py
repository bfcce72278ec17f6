"""What verbs ask of an object store does not depend on the vault's age: requests are counted, never timed."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from benchmarks.buckets import HISTORY_VIDEOS, OPEN_HOURS, CountingBucket, aged_vault

from ghost_tracking.vault import Vault
from ghost_tracking.vault.history.manifest import load
from ghost_tracking.vault.maintenance.survey import MOST_OPENED

DAY = timedelta(days=1)
YEARS = (1, 5)


@pytest.fixture(scope="module")
def aged() -> dict[int, tuple[CountingBucket, Vault]]:
    """A vault of one year, and one of five; tests leave them as they are."""
    buckets = {years: CountingBucket() for years in YEARS}
    return {years: (bucket, aged_vault(bucket, years, datetime.now(UTC))) for years, bucket in buckets.items()}


def requests_of(aged: dict[int, tuple[CountingBucket, Vault]], verb: Callable[[Vault], object]) -> list[Counter[str]]:
    """The requests of a verb at each age."""
    found = []
    for bucket, vault in aged.values():
        with bucket.counted() as requests:
            verb(vault)
        found.append(requests)
    return found


def refresh(vault: Vault) -> None:
    """What an overview asks of the vault, when the process has kept nothing but the manifest."""
    now = datetime.now(UTC)
    stats = vault.stats
    stats.size()
    stats.newest_point(now)
    stats.points_by_hour(now - 14 * DAY)
    vault.sync_token()


def test_a_refresh_of_the_overview_sends_at_most_twenty_requests(
    aged: dict[int, tuple[CountingBucket, Vault]],
) -> None:
    first, fifth = requests_of(aged, refresh)
    assert sum(fifth.values()) <= 20, fifth
    assert fifth["LIST"] - first["LIST"] <= 1  # for each thousand dates
    assert fifth - first == Counter(LIST=fifth["LIST"] - first["LIST"])


def test_a_health_check_sends_at_most_a_hundred_requests(aged: dict[int, tuple[CountingBucket, Vault]]) -> None:
    first, fifth = requests_of(aged, lambda vault: vault.health_check())
    assert sum(fifth.values()) <= 100, fifth
    assert fifth["GET"] == first["GET"] <= MOST_OPENED + 12  # what is opened does not grow
    health = aged[5][1].health_check()
    assert health["unreadable"] == []
    assert health["partitions"] == 5 * 365 * 24 + OPEN_HOURS
    assert health["layers"]["videos"]["files"] == 1_100


def test_a_history_asks_three_times_a_file_and_then_no_more(aged: dict[int, tuple[CountingBucket, Vault]]) -> None:
    video = f"9Lfmrky{HISTORY_VIDEOS // 2:04}"
    files = {years: len({each.period for each in load(vault._storage)[0].files}) for years, (_, vault) in aged.items()}
    assert files[5] - files[1] == 4 * 12
    first, fifth = requests_of(aged, lambda vault: vault.read_history(video))
    assert fifth["GET"] - first["GET"] == 3 * (files[5] - files[1])  # directory, block, row group
    assert fifth["LIST"] - first["LIST"] == 0
    again = requests_of(aged, lambda vault: vault.read_history(video))
    assert again[0] == again[1]
    assert again[1]["GET"] == 0
    assert again[1]["HEAD"] - fifth["HEAD"] <= OPEN_HOURS  # whether an hour's file is still what it was
    other = requests_of(aged, lambda vault: vault.read_history(f"9Lfmrky{HISTORY_VIDEOS // 2 + 40:04}"))
    assert other[1]["GET"] <= OPEN_HOURS + 2 * files[5]  # the directories are kept


@pytest.mark.parametrize(
    ("name", "verb", "most"),
    [
        ("newest point", lambda vault: vault.newest_point(), 8),
        ("publish with nothing new", lambda vault: vault.publish(), 8),
        ("points of two weeks", lambda vault: vault.stats.points_by_hour(datetime.now(UTC) - 14 * DAY), 10),
    ],
)
def test_other_verbs_send_as_many_at_five_years_as_at_one(
    aged: dict[int, tuple[CountingBucket, Vault]], name: str, verb: Callable[[Vault], object], most: int
) -> None:
    first, fifth = requests_of(aged, verb)
    assert sum(fifth.values()) - sum(first.values()) <= 1, name
    assert sum(fifth.values()) <= most, (name, fifth)
