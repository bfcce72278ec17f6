"""Policies of reading, replayed over a world whose truth is known: who is read when, and how wrong that leaves us."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.worlds import NEVER, Floats, Numbers, World
from ghost_tracking.core.saving import Saving
from ghost_tracking.core.tiers import DAILY_FROM, WEEKLY_FROM, Tier
from ghost_tracking.core.worth import ReadingRule, Shares, Sums
from ghost_tracking.vault import worth

Booleans = npt.NDArray[np.bool_]

_DAY: Final = 24
_DAILY_FROM, _WEEKLY_FROM = (moment.total_seconds() / 3600 for moment in (DAILY_FROM, WEEKLY_FROM))
_INTERVALS: Final = tuple(tier.interval.total_seconds() / 3600 for tier in Tier)
_ROWS: Final = 500
"""Videos whose errors are counted at a time."""


def tier_hours(ages: Numbers) -> Floats:
    """The intervals of the tiers of these ages, in hours; as `tiers.tier_at`."""
    return np.select([ages < _DAILY_FROM, ages < _WEEKLY_FROM], _INTERVALS[:2], _INTERVALS[2]).astype(np.float64)


@dataclass
class State:
    """What a policy may know at a step, of the videos that are there: times in hours, and NaN for what is not known.

    `due_at`: the next slot after the last reading; `slots`: whether this moment is a slot.
    """

    now: int
    ages: Numbers
    views: Floats
    gain: Floats
    read_at: Floats
    due_at: Floats

    @property
    def waited(self) -> Floats:
        return self.now - self.read_at

    @property
    def tier_hours(self) -> Floats:
        return tier_hours(self.ages)

    @property
    def due(self) -> Booleans:
        found: Booleans = self.due_at <= self.now
        return found

    @property
    def slots(self) -> Booleans:
        found: Booleans = self.ages % self.tier_hours == 0
        return found

    def sums(self) -> Sums:
        return worth.sums(self.views, self.gain, self.waited)

    def index(self, rule: ReadingRule, chosen: Numbers) -> Floats:
        columns = (self.views, self.gain, self.waited, self.tier_hours)
        return worth.index(rule, *(column[chosen] for column in columns))

    def worth(self, rule: ReadingRule, chosen: Numbers) -> Booleans:
        columns = (self.views, self.gain, self.waited, self.tier_hours)
        return worth.worth(rule, *(column[chosen] for column in columns))


class Policy(Protocol):
    """Says at each step who is read."""

    def new_day(self, state: State) -> None:
        """Before the first step of each day."""

    def pick(self, state: State) -> Numbers:
        """The videos that are read now."""


class Tiers:
    """Every slot of every tier."""

    def new_day(self, state: State) -> None:
        """Nothing changes."""

    def pick(self, state: State) -> Numbers:
        return np.flatnonzero(state.due)


class _Budgeted(ABC):
    """So many readings a step; what a day does not use of them is lost at its end."""

    def __init__(self, budget: Callable[[int], float]) -> None:
        self.budget = budget
        self.left = 0.0

    def new_day(self, state: State) -> None:
        self.left = 0.0 if self.left < 1 else self.left % 1

    def pick(self, state: State) -> Numbers:
        self.left += self.budget(state.now)
        picked = self.among(state, int(self.left))
        self.left -= len(picked)
        return picked

    @abstractmethod
    def among(self, state: State, most: int) -> Numbers:
        """Up to so many of the videos, which are read now."""


class Stretched(_Budgeted):
    """The latest in proportion to their tier's interval, as before this rule: every interval is stretched alike."""

    def among(self, state: State, most: int) -> Numbers:
        due = np.flatnonzero(state.due)
        lateness = (state.now - state.due_at[due]) / state.tier_hours[due] + 1e-9
        return due[worth.largest(np.where(np.isnan(state.read_at[due]), np.inf, lateness), most)]


class ShortTiers(_Budgeted):
    """Those of the due videos whose index is the largest, among those that have waited for their tier's interval."""

    def __init__(self, budget: Callable[[int], float], shares: Shares) -> None:
        super().__init__(budget)
        self.shares = shares
        self.sums = Sums()

    def new_day(self, state: State) -> None:
        super().new_day(state)
        self.sums = state.sums()

    def candidates(self, state: State) -> Numbers:
        return np.flatnonzero(state.due & worth.waited_for_tier(state.waited, state.tier_hours))

    def among(self, state: State, most: int) -> Numbers:
        candidates = self.candidates(state)
        rule = ReadingRule(self.sums, max(self.budget(state.now), 1e-9), self.shares)
        return candidates[worth.largest(state.index(rule, candidates), most)]


class Adaptive(ShortTiers):
    """Those of all videos whose index is the largest, but for those that were read a step ago or later."""

    def candidates(self, state: State) -> Numbers:
        return np.flatnonzero(~(state.waited < 1))


class Thrifty:
    """Each slot that is worth it at the rate that saves a share of all slots; see `core.saving`."""

    def __init__(self, wanted: float, shares: Shares) -> None:
        self.wanted, self.shares = wanted, shares
        self.saving = Saving()
        self.rule = ReadingRule(Sums(), np.inf, shares)
        self.counted = [0, 0]

    def new_day(self, state: State) -> None:
        demand = float((1 / state.tier_hours).sum())
        self.saving = self.saving.after_day(demand, self.counted[0], self.counted[1], self.wanted)
        self.counted = [0, 0]
        self.rule = ReadingRule(state.sums(), self.saving.readings_an_hour(self.wanted), self.shares)

    def pick(self, state: State) -> Numbers:
        slots = np.flatnonzero(state.slots)
        picked: Numbers = slots[state.worth(self.rule, slots)]
        self.counted[0] += len(slots)
        self.counted[1] += len(picked)
        return picked


def need(world: World) -> Floats:
    """Readings an hour that the tiers take, step by step: what a policy has a share of."""
    each = np.zeros(world.steps)
    for step in range(world.steps):
        ages = (step - world.born[: np.searchsorted(world.born, step, side="right")]) * world.hours
        each[step] = (1 / tier_hours(ages)).sum() + np.count_nonzero(ages == 0)
    return each


def replay(world: World, policy: Policy, *, settled: bool = False) -> Booleans:
    """When each video is read, as an array of the shape of `world.views`.

    `settled`: videos are followed from the age of a week only, where each is read once, and its gain known.
    """
    enters = _WEEKLY_FROM // world.hours if settled else 0
    born = world.born + int(enters)
    reads = np.zeros(world.views.shape, dtype=bool)
    views, gain, read_at = (np.full(world.videos, np.nan) for _ in range(3))
    due_at = (born * world.hours).astype(np.float64)
    for step in range(world.steps):
        now, here = step * world.hours, int(np.searchsorted(born, step, side="right"))
        if settled and here:
            entering = np.flatnonzero(born[:here] == step)
            gain[entering] = (world.views[entering, step] - world.views[entering, step - 1]) / world.hours
            views[entering], read_at[entering] = world.views[entering, step], now
            due_at[entering] = now + _INTERVALS[2]
            reads[entering, step] = True
        parts = (each[:here] for each in (views, gain, read_at, due_at))
        state = State(now, now - world.born[:here] * world.hours, *parts)
        if now % _DAY == 0:
            policy.new_day(state)
        picked = policy.pick(state)
        counted, waited = world.views[picked, step], now - read_at[picked]
        gain[picked] = worth.gains(views[picked], gain[picked], waited, counted)
        views[picked], read_at[picked] = counted, now
        ages, interval = state.ages[picked], state.tier_hours[picked]
        due_at[picked] = now - ages + (ages // interval + 1) * interval
        reads[picked, step] = True
    return reads


@dataclass(frozen=True)
class Score:
    """How wrong what is known was, each on average over the moments since a video's first reading, and over videos.

    `held`, `curve`: of the last value, and of the line drawn between readings, in views; `..._log` in their logarithms.
    `delay`: hours until a late rise is read; `missed`: views until then. `readings`: how many there were.
    """

    readings: float
    held: float
    held_log: float
    curve: float
    curve_log: float
    delay: float
    missed: float


def score(world: World, reads: Booleans, since: int = 0) -> Score:
    """The errors of these readings, and how many there were, from step `since` on; late rises at any time."""
    sums = [errors for begin in range(0, len(world.scored), _ROWS) if (errors := _errors(world, reads, begin, since))]
    held, held_log, curve, curve_log = np.concatenate([np.array(each) for each in sums], axis=1).mean(axis=1)
    delay, missed = _rises(world, reads)
    return Score(float(reads[world.scored, since:].sum()), held, held_log, curve, curve_log, delay, missed)


def _errors(world: World, reads: Booleans, begin: int, since: int) -> list[Floats]:
    rows = world.scored[begin : begin + _ROWS]
    rows = rows[reads[rows].any(axis=1)]
    steps, here = np.arange(world.steps), np.arange(len(rows))[:, None]
    before = np.maximum.accumulate(np.where(reads[rows], steps, NEVER), axis=1)[:, since:]
    after = np.minimum.accumulate(np.where(reads[rows], steps, world.steps)[:, ::-1], axis=1)[:, ::-1][:, since:]
    known, before = before != NEVER, np.maximum(before, 0)
    after = np.where(after == world.steps, before, after)
    views, truth = world.views[rows], world.views[rows, since:]
    first, last = views[here, before], views[here, after]
    line = first + (last - first) * (steps[since:] - before) / np.maximum(after - before, 1)
    counted = np.maximum(known.sum(axis=1), 1)
    differences = [
        truth - first,
        np.log((truth + 10) / (first + 10)),
        truth - line,
        np.log((truth + 10) / (line + 10)),
    ]
    return [np.where(known, np.abs(each), 0).sum(axis=1) / counted for each in differences]


def _rises(world: World, reads: Booleans) -> tuple[float, float]:
    begin, end = world.rises_within
    rising = np.flatnonzero((world.rises_at >= max(begin, 0)) & (world.rises_at < end))
    delays, missed = [], []
    for video in rising:
        rise = int(world.rises_at[video])
        seen = np.flatnonzero(reads[video, rise:])
        waited = int(seen[0]) if len(seen) else world.steps - rise
        delays.append(waited * world.hours)
        missed.append(world.views[video, min(rise + waited, world.steps - 1)] - world.views[video, rise])
    return (float(np.mean(delays)), float(np.mean(missed))) if len(rising) else (np.nan, np.nan)
