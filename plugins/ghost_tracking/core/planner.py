"""What so many new videos a day take, now and in years: rows in SQL, bytes in the vault, calls, and who waits how long.

The model: videos come at a steady rate and are found young. Each is read 24 times on its first day, six times until it
is seven days old, and weekly from then on, for as long as it is there. It has rows in SQL until the janitor's first
run after it has settled; then its id goes to the roster, where a row stands for thousands of videos. Where the quota
is short, slots are left out: which ones is a matter of the policy, how many is not.

Left out are what is small beside this: promoted videos, those that are missing and not yet confirmed to be gone, calls
that have to be made again, the calls that find videos (they depend on the sources), the events of availability, and
the tables of the ledger and the watermarks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

from ghost_tracking.core.budgets import IDS_PER_CALL, Bucket
from ghost_tracking.core.pacing import calls_a_day, capacity_a_day, intervals, slowdown
from ghost_tracking.core.policies import Policy as ReadingPolicy
from ghost_tracking.core.replayed import Errors, expected_errors
from ghost_tracking.core.roster import CHUNK_SIZE, SETTLED_AFTER
from ghost_tracking.core.tiers import DAILY_FROM, WEEKLY_FROM, Queue

HORIZONS: tuple[int, ...] = (7, 30, 365, 1826)
"""After a week, a month, a year and five years, in days."""

_HOURS_A_WEEK = 168
_DAYS_A_MONTH = 365.25 / 12
_DAY = timedelta(days=1)
_JANITOR_WAIT = 0.5
"""Days that what is due waits for the daily janitor, on average."""
_OPEN_MONTH = 31
"""Days that are in files of days in the history at most, until their month is over and compacted."""
_OPEN_HOURS = 1
"""Days that are in hourly files at least, until they are compacted."""
_SETTLED = SETTLED_AFTER / _DAY + _JANITOR_WAIT


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes, as measured. SQL: what the tables weigh after ten days of real work (`make bench ARGS=footprint`), with
    indexes, dead rows and free room, for each row that the model counts: it has the average of a day, while tables are
    as large as the janitor finds them, half a day's rows more.

    Of the vault: `docs/benchmarks.md` (`vault`, `series`, `archive`), where nothing else is said.
    """

    watchlist_row: float = 182
    video_row: float = 425
    """Titles, tags and channels as long as recorded ones: 62, 106 and 37 bytes on average, in 6.7 tags."""
    roster_row: float = 234
    """A chunk none of whose ids was removed."""
    removed_position: float = 2.2
    """A position in `roster.removed_positions`, for each video that has left a chunk and is still in its file."""

    hourly_point: float = 17.3
    """In a sealed hour."""
    staged_point: float = 55
    """In a part, until its hour is sealed."""
    history_point: float = 3.3
    """In the history, by itself,"""
    history_video: float = 13
    """and what a video adds to each file of a day or month in which it has points: id, publish time, last counts.
    Fitted to January of `benchmarks/population.py`, 1.1 million points of all ages and 1.6 million weekly ones: 10.5
    and 16.3 bytes a point in days, 4.4 and 6.6 in a month; within 4 %."""
    metadata: float = 409
    """A video in the archive, with description and search column."""
    staged_metadata: float = 1_000
    """A staged video, until it is archived; an estimate, nobody has measured it."""
    roster_id: float = 7
    """An id in the file of a chunk: 5.5 to 7."""
    roster_memory: float = 3.6
    """What is remembered of a settled video's last reading: the log-normal views of `benchmarks/population.py`."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a deployment keeps and for how long: the settings of the same names.

    `gone_a_week`: the share of the settled videos that YouTube stops returning, for ever, in a week. `thrifty_saves`:
    the share of the tiers' readings that the policy of reading `thrifty` saves.
    """

    metadata_retention_days: int = 7
    vault_keep_hours: bool = True
    vault_retention_days: int | None = None
    gone_a_week: float = 0.001
    thrifty_saves: float = 0.5
    weights: Weights = field(default_factory=Weights)


@dataclass(frozen=True, slots=True)
class PolicyForecast:
    """What a policy of reading would do with a load: calls a day that it makes, how long a video waits between two
    readings on average (None: for ever), and the errors that this may be expected to leave (None: nobody has replayed
    so few readings)."""

    policy: ReadingPolicy
    calls: float
    interval: timedelta | None
    errors: Errors | None

    @property
    def points(self) -> float:
        """Readings a day."""
        return self.calls * IDS_PER_CALL

    def as_dict(self) -> dict[str, Any]:
        """Plain data: calls and points a day, seconds; errors relative to those of reading every slot."""
        return {
            "calls_a_day": round(self.calls, 1),
            "points_a_day": round(self.points),
            "interval_seconds": self.interval and round(self.interval.total_seconds()),
            "expected_errors": self.errors and self.errors.as_dict(),
        }


def policies(videos: Mapping[Queue, float], capacity: int, saves: float) -> tuple[PolicyForecast, ...]:
    """The policies side by side, for these videos and so many calls a day; `saves`: the share that `thrifty` saves."""
    living: dict[Queue, float] = {queue: count for queue, count in videos.items() if queue is not Queue.GONE}
    demand, tracked = calls_a_day(living), sum(living.values())
    calls = {
        ReadingPolicy.TIERS: min(demand, capacity),
        ReadingPolicy.THRIFTY: min(demand * (1 - saves), capacity),
        ReadingPolicy.ADAPTIVE: float(capacity) if tracked else 0.0,
    }
    found = []
    for policy, number in calls.items():
        # where the quota is less than what thrifty asks for, it does what tiers do
        is_short = policy is ReadingPolicy.THRIFTY and demand * (1 - saves) > capacity
        share = number / demand if demand else 1.0
        errors = expected_errors(ReadingPolicy.TIERS if is_short else policy, share)
        readings = number * IDS_PER_CALL
        found.append(PolicyForecast(policy, number, _DAY * (tracked / readings) if readings else None, errors))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Forecast:
    """How things stand after so many days.

    `videos` counts by where they wait. `sql` has bytes by table, and `vault` by what is kept, both at their most within
    a day. `demand`: calls a day for every video at every slot; `capacity`: calls a day that readings can be paid from.
    `points`: readings in the vault. `policies`: what each policy of reading would make of it; all else is with `tiers`.
    """

    days: int
    videos: Mapping[Queue, int]
    sql: Mapping[str, int]
    vault: Mapping[str, int]
    points: int
    demand: float
    capacity: int
    policies: tuple[PolicyForecast, ...] = ()

    @property
    def calls(self) -> float:
        """Calls a day that are made."""
        return min(self.demand, self.capacity)

    @property
    def sql_bytes(self) -> int:
        return sum(self.sql.values())

    @property
    def vault_bytes(self) -> int:
        return sum(self.vault.values())

    @property
    def slowdown(self) -> float:
        """How many times its interval a video really waits on average; infinite where nothing is read."""
        return slowdown(self.demand, self.capacity)

    @property
    def intervals(self) -> dict[Queue, timedelta | None]:
        """How long videos really wait between two readings on average, by where they wait; None: for ever."""
        return intervals(self.slowdown)

    def as_dict(self) -> dict[str, Any]:
        """Plain data: bytes, calls a day, seconds; null for ever."""
        return {
            "days": self.days,
            "videos": {queue.value: count for queue, count in self.videos.items()},
            "sql_bytes": self.sql_bytes,
            "sql": dict(self.sql),
            "vault_bytes": self.vault_bytes,
            "vault": dict(self.vault),
            "points": self.points,
            "demand_a_day": round(self.demand, 1),
            "capacity_a_day": self.capacity,
            "calls_a_day": round(self.calls, 1),
            "slowdown": round(self.slowdown, 3) if math.isfinite(self.slowdown) else None,
            "interval_seconds": {
                queue.value: wait and round(wait.total_seconds()) for queue, wait in self.intervals.items()
            },
            "policies": {each.policy.value: each.as_dict() for each in self.policies},
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """Forecasts, and the first day on which demand exceeds capacity; None: not within the longest of them.

    `hunter`: calls a day of the general bucket that are the hunter's: its holdback, or what the metadata of the new
    videos takes where that is more.
    """

    new_a_day: int
    hunter: int
    short_from_day: int | None
    forecasts: tuple[Forecast, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "new_a_day": self.new_a_day,
            "hunter_calls_a_day": self.hunter,
            "short_from_day": self.short_from_day,
            "forecasts": [forecast.as_dict() for forecast in self.forecasts],
        }


def plan(
    new_a_day: int,
    budgets: Mapping[str, int],
    *,
    holdbacks: Mapping[str, int] | None = None,
    policy: Policy | None = None,
    horizons: Sequence[int] = HORIZONS,
) -> Plan:
    """What `new_a_day` new videos a day take with these calls a day by bucket, after each of `horizons`, in days.

    `holdbacks`: calls a day by bucket that scheduled tracker runs leave to others. An empty deployment begins on day 0.
    Days are days, without regard to the calendar.
    """
    policy = policy or Policy()
    hunter = min(budgets[Bucket.GENERAL], max((holdbacks or {}).get(Bucket.GENERAL, 0), -(-new_a_day // IDS_PER_CALL)))
    capacity = capacity_a_day(budgets, {Bucket.GENERAL: hunter})
    days = [_Day.of(_population(new_a_day, day + 0.5, policy), new_a_day, capacity) for day in range(max(horizons))]
    return Plan(
        new_a_day=new_a_day,
        hunter=hunter,
        short_from_day=next((number for number, day in enumerate(days, 1) if day.demand > capacity), None),
        forecasts=tuple(_forecast(new_a_day, capacity, policy, days[:horizon]) for horizon in horizons),
    )


def _population(new_a_day: int, age: float, policy: Policy) -> dict[Queue, float]:
    """Videos of a deployment that is `age` days old, by where they wait."""
    edges = [0.0, DAILY_FROM / _DAY, WEEKLY_FROM / _DAY, _SETTLED]
    young = [new_a_day * (min(age, until) - min(age, since)) for since, until in pairwise(edges)]
    settled_for = max(0.0, age - _SETTLED)
    leaving = -math.log1p(-policy.gone_a_week) / 7
    living = new_a_day * (-math.expm1(-leaving * settled_for) / leaving if leaving else settled_for)
    counts = [*young, living, new_a_day * settled_for - living]
    return dict(zip(Queue, counts, strict=True))


@dataclass(frozen=True, slots=True)
class _Day:
    """Readings of a day, and in how many histories they lie: a video's points of a day, or of a month."""

    demand: float
    points: float
    video_days: float
    video_months: float

    @classmethod
    def of(cls, videos: Mapping[Queue, float], new_a_day: int, capacity: int) -> "_Day":
        demand = calls_a_day(videos)
        share = 1 / slowdown(demand, capacity)
        points = {queue: count * (_DAY / queue.interval) * share for queue, count in videos.items()}
        points[Queue.GONE] = 0
        total, hourly = sum(points.values()), points[Queue.HOURLY]
        # 24 hours touch two days, and a life of n months n + 1 of them
        living = sum(videos.values()) - videos[Queue.GONE]
        return cls(
            demand=demand,
            points=total,
            video_days=total - hourly + min(hourly, 2 * new_a_day),
            video_months=min(total, new_a_day + living / _DAYS_A_MONTH),
        )


def _forecast(new_a_day: int, capacity: int, policy: Policy, days: Sequence[_Day]) -> Forecast:
    videos = _population(new_a_day, len(days), policy)
    return Forecast(
        days=len(days),
        videos={queue: round(count) for queue, count in videos.items()},
        sql={table: round(size) for table, size in _sql(new_a_day, videos, policy, len(days)).items()},
        vault={kind: round(size) for kind, size in _vault(new_a_day, videos, policy, days).items()},
        points=round(sum(day.points for day in _kept(days, policy))),
        demand=calls_a_day(videos),
        capacity=capacity,
        policies=policies(videos, capacity, policy.thrifty_saves),
    )


def _sql(new_a_day: int, videos: Mapping[Queue, float], policy: Policy, age: int) -> dict[str, float]:
    weights = policy.weights
    rows = sum(count for queue, count in videos.items() if not queue.in_chunks)
    chunks = sum(_chunks(videos[queue]) for queue in Queue if queue.in_chunks)
    return {
        "watchlist": rows * weights.watchlist_row,
        "videos": new_a_day * min(age, policy.metadata_retention_days + _JANITOR_WAIT) * weights.video_row,
        "roster": chunks * weights.roster_row + videos[Queue.GONE] * weights.removed_position,
    }


def _chunks(videos: float) -> float:
    """Rows of the roster: full chunks, and one for each hour of the week that is being filled."""
    return videos / CHUNK_SIZE + min(_HOURS_A_WEEK, videos)


def _kept(days: Sequence[_Day], policy: Policy) -> Sequence[_Day]:
    """The days whose points are still in the vault."""
    return days if policy.vault_retention_days is None else days[-policy.vault_retention_days :]


def _vault(new_a_day: int, videos: Mapping[Queue, float], policy: Policy, days: Sequence[_Day]) -> dict[str, float]:
    weights, kept = policy.weights, _kept(days, policy)
    this_month, months = kept[-_OPEN_MONTH:], kept[:-_OPEN_MONTH]
    hours = kept if policy.vault_keep_hours else kept[-_OPEN_HOURS:]
    points = sum(day.points for day in kept)
    histories = sum(day.video_days for day in this_month) + sum(day.video_months for day in months)
    return {
        "hours": sum(day.points for day in hours) * weights.hourly_point,
        "history": points * weights.history_point + histories * weights.history_video,
        "metadata": new_a_day * len(kept) * weights.metadata,
        "roster": (videos[Queue.ROSTER] + videos[Queue.GONE]) * weights.roster_id
        + videos[Queue.ROSTER] * weights.roster_memory,
        "staged": days[-1].points * weights.staged_point + new_a_day * weights.staged_metadata,
    }
