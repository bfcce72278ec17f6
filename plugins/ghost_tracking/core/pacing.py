"""How the day's quota is spread over its runs, and what a load of videos really gets.

Quota is scarce per Pacific day, which has 23 to 25 hours. Where the day's need fits into it, nothing is held back.
Where it does not, each run may spend an even share of what is left, so that the last hour is served as well as the
first. Nothing is remembered from run to run: a run that was missed, a manual one or quota that returns in the middle
of the day only changes what is left, and the next run spreads that.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ghost_tracking.core.budgets import IDS_PER_CALL, STATISTICS_BUCKETS, Balance, Bucket, calls_for
from ghost_tracking.core.tiers import Queue, as_utc

RUN_INTERVAL = timedelta(minutes=5)
"""Time between two scheduled runs of the tracker."""

_PACIFIC = ZoneInfo("America/Los_Angeles")
_DAY = timedelta(days=1)
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class PacificDay:
    """A moment, and the Pacific day around it, from midnight to midnight; all in UTC."""

    now: datetime
    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """23, 24 or 25 hours."""
        return self.end - self.start

    @property
    def remaining(self) -> timedelta:
        """What is left of the day; more than nothing."""
        return self.end - self.now


def pacific_day(now: datetime) -> PacificDay:
    """The day of YouTube's quota at `now`, which must be aware (ValueError)."""
    day = as_utc(now).astimezone(_PACIFIC).date()
    midnights = (datetime.combine(date, time(), _PACIFIC) for date in (day, day + _DAY))
    start, end = map(as_utc, midnights)
    return PacificDay(as_utc(now), start, end)


def set_aside(holdback: int, day: PacificDay) -> int:
    """How much of a holdback of so many calls a day is still kept for those that it is for.

    It shrinks with the day, so that nothing of the budget is left over at its end.
    """
    return math.ceil(holdback * (day.remaining / day.length))


def calls_a_day(videos: Mapping[Queue, float]) -> float:
    """Calls in 24 hours that read every video at each of its slots, by where the videos wait.

    Left out are what is overdue, calls that are not full or have to be made again, confirmations that a video is
    missing, and videos that are yet to be found.
    """
    return sum(count * (_DAY / queue.interval) for queue, count in videos.items()) / IDS_PER_CALL


def calls_due(due: Mapping[Queue, int]) -> int:
    """Calls that read every due video, by where they wait."""
    return sum(calls_for(count) for count in due.values())


def allowance(
    left: int, due: int, need_a_day: float, remaining: timedelta, run_interval: timedelta = RUN_INTERVAL
) -> int:
    """Calls that a run may spend now.

    `left`: what may still be spent today; `due`: calls that what is due takes; `need_a_day`: see `calls_a_day`;
    `remaining`: time until midnight. Everything that is left where it is enough for what is due and for the need of
    the rest of the day. Otherwise an even share for each run that is to come, in the day's last one all of it.

    A share that is no whole number is rounded up or down, in turns that come out evenly however few calls there are
    (the fractions of multiples of the golden ratio): a hundred calls are spread over the day's 288 runs as well.
    """
    if due + need_a_day * (remaining / _DAY) <= left:
        return left
    runs = math.ceil(remaining / run_interval)
    if runs <= 1:
        return left
    return min(left, math.floor(left / runs + runs * _GOLDEN % 1))


def slowdown(need_a_day: float, capacity_a_day: float) -> float:
    """How many times its interval a video waits on average: which slots are left out, the policy decides.

    1 where there is enough, infinite where there is nothing.
    """
    if need_a_day <= capacity_a_day:
        return 1.0
    return need_a_day / capacity_a_day if capacity_a_day > 0 else math.inf


def intervals(slowed: float) -> dict[Queue, timedelta | None]:
    """How long videos wait on average where so many times as many slots are needed as are read; None: for ever."""
    return {queue: queue.interval * slowed if math.isfinite(slowed) else None for queue in Queue}


def runs_out_at(left: int, due: int, need_a_day: float, day: PacificDay) -> datetime | None:
    """When what is left would be used up if nothing were held back; None where it lasts until midnight.

    First goes what is due, then the steady need.
    """
    if due > left:
        return day.now
    demand = need_a_day * (day.remaining / _DAY)
    if due + demand <= left:
        return None
    return day.now + day.remaining * ((left - due) / demand)


@dataclass(frozen=True, slots=True)
class QuotaStatus:
    """What the tracker needs, owns and gets of the quota, in calls; 50 readings each.

    `demand`: calls in 24 hours for every video at every slot (see `calls_a_day`), `need`: those of them that the policy
    asks for. `capacity`: calls a day of both
    buckets that give statistics, but for the hunter's holdback. `balances` also have the bucket of searches.
    `left`: what scheduled runs may still spend today. `allowed`: what one may spend now, and `allowed_manual` what a
    run may that somebody has triggered. `videos` and `due` count by where they wait.
    """

    day: PacificDay
    videos: Mapping[Queue, int]
    due: Mapping[Queue, int]
    balances: Mapping[Bucket, Balance]
    held_back: Mapping[Bucket, int]
    demand: float
    need: float
    capacity: int
    left: int
    allowed: int
    allowed_manual: int
    runs_out_at: datetime | None

    @property
    def spent(self) -> int:
        """Calls of the two buckets that give statistics that were spent today, by the tracker and the hunter."""
        return sum(self.balances[bucket].spent for bucket in STATISTICS_BUCKETS)

    @property
    def calls_due(self) -> int:
        return calls_due(self.due)

    @property
    def slowdown(self) -> float:
        """How many times its interval a video really waits on average; see `slowdown`."""
        return slowdown(self.demand, min(self.need, self.capacity))

    @property
    def skipped(self) -> float:
        """The share of all slots that is left out in the long run, since the quota is short or the policy saves it."""
        return 1 - 1 / self.slowdown

    @property
    def is_short(self) -> bool:
        """Whether the quota gives less than the policy asks for."""
        return self.need > self.capacity

    @property
    def is_paced(self) -> bool:
        """Whether what is left is spread over the rest of the day, since it is not enough for it."""
        return self.runs_out_at is not None

    @property
    def intervals(self) -> dict[Queue, timedelta | None]:
        """How long videos would wait in the long run if all shared the loss, by where they wait; None: for ever."""
        return intervals(self.slowdown)

    def as_dict(self) -> dict[str, Any]:
        """Plain data: calls and readings, times as ISO 8601, intervals in seconds, null for what never comes."""
        calls = {
            "demand_a_day": self.demand,
            "need_a_day": self.need,
            "capacity_a_day": self.capacity,
            "spent_today": self.spent,
            "left_today": self.left,
            "due": self.calls_due,
            "allowed_now": self.allowed,
            "allowed_now_manual": self.allowed_manual,
        }
        readings = {name: each * IDS_PER_CALL for name, each in calls.items()} | {"due": sum(self.due.values())}
        return {
            "now": self.day.now.isoformat(),
            "day_ends_at": self.day.end.isoformat(),
            "runs_out_at": self.runs_out_at and self.runs_out_at.isoformat(),
            "is_paced": self.is_paced,
            "calls": calls | {"demand_a_day": round(self.demand, 1), "need_a_day": round(self.need, 1)},
            "readings": readings
            | {
                "demand_a_day": round(self.demand * IDS_PER_CALL),
                "need_a_day": round(self.need * IDS_PER_CALL),
            },
            "skipped": round(self.skipped, 4),
            "slowdown": round(self.slowdown, 3) if math.isfinite(self.slowdown) else None,
            "interval_seconds": {
                queue.value: wait and round(wait.total_seconds()) for queue, wait in self.intervals.items()
            },
            "videos": {queue.value: self.videos.get(queue, 0) for queue in Queue},
            "due_videos": {queue.value: self.due.get(queue, 0) for queue in Queue},
            "buckets": {
                bucket.value: {
                    "budget": balance.budget,
                    "spent": balance.spent,
                    "left": balance.left(),
                    "set_aside": self.held_back[bucket],
                    "is_exhausted": balance.is_exhausted,
                }
                for bucket, balance in self.balances.items()
            },
        }


def capacity_a_day(budgets: Mapping[str, int], holdbacks: Mapping[str, int]) -> int:
    """Calls a day that readings can be paid from: both buckets, but for what of the general one is the hunter's.

    The holdback for triggered runs is spent on readings too.
    """
    hunted = min(holdbacks.get(Bucket.GENERAL, 0), budgets[Bucket.GENERAL])
    return sum(budgets[bucket] for bucket in STATISTICS_BUCKETS) - hunted


def quota_status(
    videos: Mapping[Queue, int],
    due: dict[Queue, int],
    balances: Mapping[Bucket, Balance],
    holdbacks: Mapping[str, int],
    day: PacificDay,
    read: float = 1.0,
    run_interval: timedelta = RUN_INTERVAL,
) -> QuotaStatus:
    """What the quota allows now.

    `read`: the share of the slots that the policy asks for; infinite where it takes all that there is. `run_interval`:
    time between two scheduled runs.

    `videos` and `due` count by where they wait; `balances`: today's lines of the ledger, of every bucket;
    `holdbacks`: calls a day of a bucket that scheduled tracker runs leave to others (general: to the hunter,
    statistics: to runs that somebody triggers).
    """
    held_back = {bucket: set_aside(holdbacks.get(bucket, 0), day) for bucket in Bucket}
    spare = {bucket: balances[bucket].left(held_back[bucket]) for bucket in STATISTICS_BUCKETS}
    left, demand = sum(spare.values()), calls_a_day(videos)
    due_calls = calls_due(due | {Queue.ROSTER: math.ceil(due.get(Queue.ROSTER, 0) * min(read, 1.0))})
    # a bucket that YouTube called empty has one call to try it, which is not spread over the day
    trying = sum(1 for bucket, calls in spare.items() if calls and balances[bucket].is_exhausted)
    capacity = capacity_a_day({bucket.value: balance.budget for bucket, balance in balances.items()}, holdbacks)
    need = demand * read if math.isfinite(read) else float(capacity)
    allowed = max(trying, allowance(left, due_calls, need, day.remaining, run_interval))
    manual = balances[Bucket.STATISTICS].left() - spare[Bucket.STATISTICS]
    return QuotaStatus(
        day=day,
        videos=videos,
        due=due,
        balances=balances,
        held_back=held_back,
        demand=demand,
        need=need,
        capacity=capacity,
        left=left,
        allowed=allowed,
        allowed_manual=allowed + manual,
        runs_out_at=runs_out_at(left, due_calls, need, day),
    )
