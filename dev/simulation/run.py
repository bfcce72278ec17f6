"""The loop: what the three DAGs do, at the times when they do it."""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from typing import Any

from airflow.sdk import Connection

from ghost_tracking.core.budgets import IDS_PER_CALL, Bucket, CallBudget, calls_for
from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.policies import Policy
from ghost_tracking.core.tiers import Queue
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services.ingestion import ingest
from ghost_tracking.services.planning import plan_batches, reserve
from ghost_tracking.services.roster_moves import RosterMoves
from ghost_tracking.services.tracking import Tracking
from ghost_tracking.settings import Settings
from simulation.database import Clock
from simulation.world import World
from simulation.youtube import PACIFIC, YouTube

_FIRST_DAY = date(2026, 1, 1)

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_JANITOR_AT = timedelta(hours=3, minutes=30)
_OVERFLOW = 0.05
_BUSY_HOUR = 4
"""Standard deviations by which no hour's number of new videos is above the mean."""


def midnight(day: int) -> datetime:
    """When a day of the simulation begins, counted from 0: Pacific midnight, as a day of quota; in UTC."""
    return datetime.combine(_FIRST_DAY + day * _DAY, clock.min, PACIFIC).astimezone(UTC)


START = midnight(0)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Scenario:
    """What is simulated. `statistics` and `general` are calls a day; from day `half_from` to day `half_to` there are
    half as many as all scheduled readings of that day need.

    `calls_a_day`: in their place, so many for readings, and what the hunter needs beside them. `saves`: the setting
    `thrifty_saves`. `late_rises`: the share of settled videos that takes off again in a year; see `World`. `tick`: time
    between two runs of the tracker, which divides an hour.
    """

    days: int = 90
    per_day: int = 2_000
    statistics: int = 10_000
    general: int = 10_000
    half_from: int | None = None
    half_to: int | None = None
    seed: int = 1
    tick: timedelta = timedelta(minutes=5)
    policy: Policy = Policy.TIERS
    saves: float | None = None
    calls_a_day: int | None = None
    late_rises: float | None = None

    @property
    def end(self) -> datetime:
        return midnight(self.days)

    def is_short(self, day: int) -> bool:
        """Whether this day, counted from 0, has half of the quota that it needs."""
        return self.half_from is not None and self.half_from <= day < (self.half_to or self.days)


@dataclass(frozen=True)
class Sample:
    """How things stand at a full hour. `due`: before the tracker's run, `late`: after it, by more than an hour."""

    at: datetime
    due: int
    late: int
    sql_bytes: int
    points: int


@dataclass(frozen=True)
class Evening:
    """How things stand when a Pacific day ends: calls of that day, and videos by where they wait.

    `hunted`: those of the calls that YouTube has `seen` that were the hunter's. `tracked`: readings of the tracker.
    """

    at: datetime
    queues: dict[Queue, int]
    chunks: int
    found: int
    spent: dict[Bucket, int]
    seen: dict[Bucket, int]
    budget: dict[Bucket, int]
    hunted: int
    tracked: int


@dataclass
class Journal:
    """What happened. `seconds`: of this machine's time, by part of the loop."""

    samples: list[Sample] = field(default_factory=list)
    evenings: list[Evening] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Simulation:
    """Months of Ghost Tracking on an empty database and an empty vault."""

    def __init__(self, scenario: Scenario, connection: Connection, vault: ParquetVaultHook) -> None:
        self.scenario = scenario
        self.world = World.invent(START, scenario.days, scenario.per_day, scenario.seed, scenario.late_rises)
        self.youtube = YouTube(self.world, START)
        self.journal = Journal()
        self.vault = vault
        self.clock = Clock(connection)
        self._connection = connection
        self._janitor_at = START.replace(hour=0) + _DAY + _JANITOR_AT
        self._number = 0
        self._points = 0
        self.last_hunt = START
        self._open_day(START)

    def close(self) -> None:
        """Close the database connections."""
        self.watchlist.close()
        self.clock.close()

    def run(self, tell: Tell = lambda _: None) -> Journal:
        """Let the time pass."""
        self.watchlist.migrate()
        self.vault.identity(create=True)
        now, began = START, time.monotonic()
        while now < self.scenario.end:
            self._turn_to(now)
            if (now - START) % _HOUR == timedelta(0):
                due = self._due(now)
                self._timed("hunter", self._hunt, now)
                self._timed("tracker", self._track, now)
                self._sample(now, due)
            else:
                self._timed("tracker", self._track, now)
            if now >= self._janitor_at:
                self._timed("janitor", self._clean, now)
                self._janitor_at += _DAY
                tell(f"day {self._number + 1} of {self.scenario.days}, {time.monotonic() - began:.0f} s")
            now += self.scenario.tick
        self.clock.turn_to(now)
        self._sample(now, self._due(now))
        self._end_day(now)
        return self.journal

    def _due(self, now: datetime) -> int:
        return sum(self.watchlist.status.due(now).values())

    def _timed(self, part: str, work: Callable[[datetime], None], now: datetime) -> None:
        began = time.perf_counter()
        work(now)
        self.journal.seconds[part] = self.journal.seconds.get(part, 0.0) + time.perf_counter() - began

    def _turn_to(self, now: datetime) -> None:
        if now.astimezone(PACIFIC).date() != self._day:
            self._end_day(now)
            self._number += 1
            self.watchlist.close()
            self._open_day(now)
        self.youtube.now = now
        self.clock.turn_to(now)

    # The quota of a day

    def _open_day(self, now: datetime) -> None:
        self._day = now.astimezone(PACIFIC).date()
        self._hunted = self._tracked = 0
        self.settings = self._settings_of_day(now)
        self.watchlist = WatchlistHook(connection=self._connection, budgets=self.settings.quota)

    def _settings_of_day(self, now: datetime) -> Settings:
        """Half of what is needed means: half of the calls that all readings of the day fill. A little of what there is
        for readings is left in the general bucket, which confirms that videos are gone; what the hunter needs comes on
        top."""
        scenario = self.scenario
        # audits are drawn at random, and a simulation can be repeated
        policy: dict[str, Any] = {"policy": scenario.policy, "audit_share": 0}
        if scenario.saves is not None:
            policy["thrifty_saves"] = scenario.saves
        if scenario.is_short(self._number):
            calls = self.world.slots_due(now, now + _DAY) / IDS_PER_CALL / 2
        elif scenario.calls_a_day is not None:
            calls = scenario.calls_a_day
        else:
            return Settings(quota_statistics=scenario.statistics, quota_general=scenario.general, **policy)
        an_hour = scenario.per_day / 24
        hunted = 24 * calls_for(math.ceil(an_hour + _BUSY_HOUR * math.sqrt(an_hour)))
        return Settings(
            quota_statistics=round(calls * (1 - _OVERFLOW)),
            quota_general=round(calls * _OVERFLOW) + hunted,
            quota_hunter_holdback=hunted,
            quota_manual_holdback=0,
            **policy,
        )

    def _end_day(self, now: datetime) -> None:
        lines = self.clock.ask("SELECT bucket, spent FROM quota_ledger WHERE pacific_day = %s", self._day)
        spent = {Bucket(bucket): calls for bucket, calls in lines}
        buckets = (Bucket.STATISTICS, Bucket.GENERAL)
        evening = Evening(
            at=now,
            queues=self.watchlist.status.queues(),
            chunks=len(self.watchlist.roster.all()),
            found=self.journal.done["found"],
            spent={bucket: spent.get(bucket, 0) for bucket in buckets},
            seen={bucket: self.youtube.requests[self._day, bucket] for bucket in buckets},
            budget={bucket: self.settings.quota[bucket] for bucket in buckets},
            hunted=self._hunted,
            tracked=self._tracked,
        )
        self.journal.evenings.append(evening)

    # What the DAGs do

    def _hunt(self, now: datetime) -> None:
        """Bring in what was published in the hour before, from a single source."""
        self.last_hunt = now
        new = [self.world.ids[number] for number in self.world.published_between(now - _HOUR, now)]
        if not new:
            return
        quota = self.watchlist.quota
        budget = CallBudget({Bucket.GENERAL: quota.reserve(Bucket.GENERAL, calls_for(len(new)), now=now)})
        ingested = ingest(new, self.youtube.hook(budget), self.watchlist, self.vault, now=now)
        quota.release(budget, now=now)
        self._hunted += sum(budget.spent.values())
        self.journal.done["found"] += ingested.new
        self._points += ingested.new
        if ingested.failures or ingested.missing or ingested.pending:
            self.journal.problems.append(f"{now}: {ingested.failures} {ingested.missing} {ingested.pending}")

    def _track(self, now: datetime) -> None:
        """A run of the tracker: plan, a task for each batch, publish."""
        planned = plan_batches(self.watchlist, self.settings, self.vault, now=now, run_interval=self.scenario.tick)
        tracking = Tracking(self.watchlist, self.settings, now, planned.plan)
        for batch in planned.batches:
            budget, affordable = reserve(self.watchlist.quota, batch, self.settings, now=now)
            done = tracking.follow(batch, affordable, self.youtube.hook(budget), self.vault)
            self.watchlist.quota.release(budget, now=now)
            self._points += len(done.answer.found)
            self._tracked += len(done.answer.found)
            self.journal.done.update(gone=done.newly_gone, returned=done.returned, promoted=len(done.promoted))
            self.journal.done["faults"] += done.is_fault
        self.vault.publish({Partition.of(now)})
        self.vault.prepared.publish_gains(now)

    def _clean(self, now: datetime) -> None:
        """A run of the janitor."""
        archived, events = self.vault.archive_videos(), self.vault.publish_availability()
        self.watchlist.run_janitor(self.settings.metadata_retention_days, now=now, archive=self.vault.archive_videos)
        self.watchlist.quota.forget_old(now=now)
        self.watchlist.watermarks.forget_old_gaps()
        self.watchlist.coverage.forget_old(now=now)
        moves = RosterMoves(self.watchlist, self.vault, now)
        moved = moves.move_settled()
        moves.sweep(timedelta(days=self.settings.roster_keep_days))
        sealed = self.vault.seal(now)
        compacted = self.vault.compact(
            now, months=self.settings.compacts_months, keep_hours=self.settings.vault_keep_hours
        )
        for problems in (
            archived.problems,
            events.problems,
            moved.problems,
            sealed.published.problems,
            compacted.problems,
        ):
            self.journal.problems += [f"{now:%Y-%m-%d %H:%M}: {problem}" for problem in problems]

    def _sample(self, now: datetime, due: int) -> None:
        ((size,),) = self.clock.ask("SELECT pg_database_size(current_database())")
        late = self.watchlist.status.backlog(now)
        self.journal.samples.append(Sample(now, due, late, size, self._points))
