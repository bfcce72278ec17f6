"""What a vault in an object store costs: the requests of each verb at one and at five years, and those of a day.

Nothing is timed: a bucket in memory counts what it is asked (`buckets`).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from benchmarks.buckets import VIDEO, CountingBucket, aged_vault, last_night, vault_on
from benchmarks.screen import Screen
from ghost_tracking.core.gains import Interval
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.videos import Reading, Video
from ghost_tracking.vault import Vault
from ghost_tracking.vault.prepared.figures import PreparedMovers

AGES = (1, 5)
RUNS, BATCHES = 288, 12
"""Of the tracker in a day, and in each."""
_WRITING, _READING = 0.005 / 1000, 0.0004 / 1000
"""Dollars of a request to S3 Standard in us-east-1: PUT, COPY and LIST; GET and HEAD. DELETE is free."""
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
PUBLISH = "a run publishes its batches"
_KINDS = ("LIST", "GET", "HEAD", "PUT", "COPY", "DELETE")

Verb = Callable[[Vault, datetime], object]


@dataclass(frozen=True)
class Step:
    """What is done so often in a day."""

    name: str
    times: int
    verb: Verb


def _identity(vault: Vault, _: datetime) -> None:
    vault.identity()


def _points(now: datetime) -> list[MetricPoint]:
    return [MetricPoint(VIDEO, now - timedelta(minutes=1), 2, 1, 1, None)]


def _stage(vault: Vault, now: datetime) -> None:
    vault.stage(_points(now))
    vault.prepared.stage_gains([Interval(VIDEO, now - _HOUR, now, 1, 2)])


def _movers(window: timedelta, name: str) -> Verb:
    def prepare(vault: Vault, now: datetime) -> None:
        vault.prepared.gains(window, now)
        vault.read_table(now - 2 * window, now, [VIDEO])
        vault.prepared.put_movers(name, PreparedMovers())

    return prepare


def _discovery(vault: Vault, now: datetime) -> None:
    reading = Reading(VIDEO, now, 1, 1, 1, now)
    video = Video(
        id=VIDEO,
        title="Title",
        description="",
        published_at=now,
        tags=(),
        channel_id="UC1",
        channel_title="Channel",
        category_id="1",
        duration=None,
        default_language="en",
        reading=reading,
    )
    vault.stage_videos([video], now)
    vault.stage(_points(now))
    vault.publish()


def _refresh(vault: Vault, now: datetime) -> None:
    stats = vault.stats
    stats.size()
    stats.newest_point(now)
    stats.proven_since()
    stats.points_by_hour(now - 14 * _DAY)
    vault.sync_token()


STEPS = (
    Step("a task looks which vault it is", RUNS * (BATCHES + 2) + 24 * 4 + 9, _identity),
    Step("a batch is staged", RUNS * BATCHES, _stage),
    Step(PUBLISH, RUNS, lambda vault, _: vault.publish()),
    Step("a run merges their gains", RUNS, lambda vault, now: vault.prepared.publish_gains(now)),
    Step("movers of an hour are prepared", RUNS, _movers(_HOUR, "hour")),
    Step("movers of a day are prepared", 24, _movers(_DAY, "day")),
    Step("movers of a week are prepared", 24, _movers(7 * _DAY, "week")),
    Step("the newest point, for alerts", RUNS, lambda vault, _: vault.newest_point()),
    Step("the hunter stages and publishes", 24, _discovery),
    Step("the overview, open all day", 24 * 60, _refresh),
    Step("night: archive metadata", 1, lambda vault, _: vault.archive_videos()),
    Step("night: seal", 1, lambda vault, now: vault.seal(now)),
    Step("night: compact", 1, lambda vault, now: vault.compact(now)),
    Step("night: measure", 1, lambda vault, _: vault.measure()),
    Step("night: check", 1, lambda vault, now: vault.verify_share(now)),
    Step("a health check, every hour", 24, lambda vault, _: vault.health_check()),
)


def bench(screen: Screen) -> None:
    """Requests of each step by age, and what a day and a month of them cost."""
    counts: dict[str, list[Counter[str]]] = {step.name: [] for step in STEPS}
    for years in AGES:
        with screen.busy(f"a vault of {years} years"):
            for name, found in measured(years).items():
                counts[name].append(found)
    ages = [f"{years} y" for years in AGES]
    rows = [[step.name, *(f"{sum(each.values()):,}" for each in counts[step.name])] for step in STEPS]
    screen.note("requests of each step once, by the vault's age")
    screen.table(["step", *ages], rows)
    screen.note("a day at five years: 12 batches a run, one tab open all day, the night once")
    screen.table(["step", "times", *_KINDS, "requests a day", "$ a month"], _day(counts))


def measured(years: float) -> dict[str, Counter[str]]:
    """The requests of each step, in a vault of this age."""
    bucket, now = CountingBucket(), last_night()
    aged_vault(bucket, years, now, parts_an_hour=RUNS * BATCHES // 24)
    return counted(bucket, now)


def counted(bucket: CountingBucket, now: datetime) -> dict[str, Counter[str]]:
    """The requests of each step, one after the other, in an `aged_vault`."""
    found: dict[str, Counter[str]] = {}
    for step in STEPS:
        if step.name == PUBLISH:
            for _ in range(BATCHES):
                _stage(vault_on(bucket), now)
        with bucket.counted() as requests:
            step.verb(vault_on(bucket), now)  # as each task and each question of the page has its own
        found[step.name] = requests
    return found


def dollars(requests: Counter[str]) -> float:
    """What they cost."""
    writing = sum(requests[kind] for kind in ("LIST", "PUT", "COPY"))
    return writing * _WRITING + (requests["GET"] + requests["HEAD"]) * _READING


def _day(counts: dict[str, list[Counter[str]]]) -> list[list[str]]:
    rows, total = [], Counter[str]()
    for step in STEPS:
        once = counts[step.name][-1]
        day = Counter({kind: number * step.times for kind, number in once.items()})
        total += day
        rows.append([step.name, f"{step.times:,}", *(f"{once[kind]:,}" for kind in _KINDS), *_sums(day)])
    rows.append(["together", "", *(f"{total[kind]:,}" for kind in _KINDS), *_sums(total)])
    return rows


def _sums(day: Counter[str]) -> list[str]:
    return [f"{sum(day.values()):,}", f"{30 * dollars(day):.2f}"]
