"""How wrong the vault is, by the truth that only a simulation knows: counted as in `benchmarks/replays.py`."""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ghost_tracking.core.worth import SMALLEST_COUNT
from simulation.observations import Observations
from simulation.run import Scenario, Simulation, midnight
from simulation.world import DAY, HOUR, NEVER, WEEK, Floats, Numbers, World

SAMPLE = 1_000
"""Videos whose errors are counted at most; and as many that rise late."""

_PERIODS = 40
_MOMENTS_A_VIDEO = 10_000
"""About so many moments of a video are looked at."""

ALL, FIRST_WEEK, SETTLED, RISEN = "all", "first week", "settled", "risen"
CLASSES = (ALL, FIRST_WEEK, SETTLED, RISEN)
"""Ages of a video; `risen`: videos that took off again, since they did. They count in no other class, since a few of
them would be most of all errors in views."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors, each on average over the moments since a video's first reading, and over so many videos.

    `held`, `curve`: of the last value, and of the line drawn between readings, in views; `..._log` in their logarithms.
    After its last reading a video's line goes to its count at the end of the run, as if everybody were read once more
    then: a last value would make the curves of a run's last weeks as wrong as the last values are.
    """

    videos: int
    held: float
    held_log: float
    curve: float
    curve_log: float


@dataclass(frozen=True, slots=True)
class Period:
    """What was known in the days [`begin`, `end`) of a simulation, counted from 0.

    `calls`: a day of the tracker, and `fullness` how many of the ids that they have room for were answered. `longest`:
    the longest wait of any video for its next reading, in days, of those that YouTube had all the time; one that is not
    over counts so far. `rises`: how many videos were seen to take off again late, `delay`: days until they were read
    next on average, `missed`: views until then. NaN where there was nothing to measure.
    """

    begin: int
    end: int
    errors: dict[str, Errors]
    calls: float
    fullness: float
    longest: float
    rises: int
    delay: float
    missed: float

    @property
    def days(self) -> str:
        return f"{self.begin} to {self.end}"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How wrong the vault was: `over_time` in periods of equal length, `whole` in all of the run, `last` in its last
    part, `early` in a part as long that ends after two years, where there are three or more."""

    whole: Period
    last: Period
    early: Period | None
    over_time: Sequence[Period]

    @classmethod
    def of(cls, simulation: Simulation, observations: Observations) -> "Accuracy":
        """Compare the vault with the truth. Keeps a video's moments in memory at a time, some 10,000."""
        days = simulation.scenario.days
        number = min(_PERIODS, max(1, days // 7))
        borders = [round(days * part / number) for part in range(number + 1)]
        spans = [(0, days), _last_part(simulation.scenario)]
        if days >= 3 * 365:
            spans.append((2 * 365 - (days - spans[1][0]), 2 * 365))
        spans += pairwise(borders)
        periods = list(_periods(simulation, observations, spans))
        first = len(periods) - number
        return cls(periods[0], periods[1], periods[2] if first > 2 else None, periods[first:])


def _last_part(scenario: Scenario) -> tuple[int, int]:
    """From which day to which the last part of a run is: where quota is short, the second half of that time."""
    if scenario.half_from is not None:
        until = min(scenario.half_to or scenario.days, scenario.days)
        return (scenario.half_from + until) // 2, until
    return max(scenario.days - 90, scenario.days * 3 // 4), scenario.days


def _periods(simulation: Simulation, observations: Observations, spans: Sequence[tuple[int, int]]) -> Iterator[Period]:
    world, seconds = simulation.world, [_seconds(span) for span in spans]
    scored = score(world, observations, seconds)
    rises = Rises.of(world, observations)
    stays = world.dies == NEVER
    for span, (begin, end), errors in zip(spans, seconds, scored, strict=True):
        number, delay, missed = rises.within(begin, end)
        yield Period(
            *span, errors, *_calls(simulation, *span), observations.longest_wait(stays, begin, end) / DAY,
            number, delay, missed,
        )  # fmt: skip


def _seconds(span: tuple[int, int]) -> tuple[int, int]:
    begin, end = (int(midnight(day).timestamp()) for day in span)
    return begin, end


def _calls(simulation: Simulation, begin: int, end: int) -> tuple[float, float]:
    """Calls a day of the tracker, and the share of the room in them that was filled."""
    evenings = simulation.journal.evenings[begin:end]
    calls = sum(sum(evening.seen.values()) - evening.hunted for evening in evenings)
    read = sum(evening.tracked for evening in evenings)
    return calls / max(1, len(evenings)), read / (50 * calls) if calls else math.nan


def sample(world: World, chosen: Numbers, most: int = SAMPLE) -> Numbers:
    """So many of these videos, by a hash of their ids: the same ones whatever was done with them."""
    hashes = np.array([zlib.crc32(world.ids[number].encode()) for number in chosen.tolist()], dtype=np.int64)
    picked: Numbers = np.sort(chosen[np.argsort(hashes, kind="stable")[:most]])
    return picked


def score(world: World, observations: Observations, spans: Sequence[tuple[int, int]]) -> list[dict[str, Errors]]:
    """The errors in each [begin, end), in seconds since 1970, by class of age; the latest end is that of the run.

    What had no video is left out.
    """
    sums: dict[tuple[int, str], list[Floats]] = {}
    last = max(end for _, end in spans)
    seen = np.unique(observations.video)
    rose = world.promotes[seen] < last
    calm = sample(world, seen[world.ordinary()[seen]])
    risen = sample(world, seen[rose & (world.dies[seen] == NEVER)])
    for number in [*calm.tolist(), *risen.tolist()]:
        moments, totals = _of_video(world, observations, number, last)
        for name, since, until in _ages(world, number):
            for place, (begin, end) in enumerate(spans):
                low, high = np.searchsorted(moments, [max(since, begin), min(until, end)])
                if high > low:
                    mean = (totals[:, high] - totals[:, low]) / (high - low)
                    sums.setdefault((place, name), []).append(mean)
    return [
        {
            name: Errors(len(each), *np.mean(each, axis=0).tolist())
            for name in CLASSES
            if (each := sums.get((place, name)))
        }
        for place in range(len(spans))
    ]


def _ages(world: World, number: int) -> list[tuple[str, int, int]]:
    """The classes of a video, and from when to when it is in each."""
    published, rises = int(world.published[number]), int(world.promotes[number])
    if rises < NEVER:
        return [(RISEN, rises, NEVER)]
    settles = published + WEEK
    return [(ALL, published, NEVER), (FIRST_WEEK, published, settles), (SETTLED, settles, NEVER)]


def _of_video(world: World, observations: Observations, number: int, last: int) -> tuple[Numbers, Floats]:
    """Moments from a video's first reading to the `last`, and the running totals of its four errors before each."""
    read_at, counted = observations.of_video(number)
    step = max(HOUR, (last - int(read_at[0])) // _MOMENTS_A_VIDEO // HOUR * HOUR)
    # between full hours, at which a simulation in steps of an hour reads everything
    moments = np.arange(int(read_at[0]) // HOUR * HOUR + HOUR // 2, last, step, dtype=np.int64)
    moments = moments[moments >= read_at[0]]
    truth = world.counts(np.full(len(moments), number), moments)[0].astype(np.float64)
    before = np.searchsorted(read_at, moments, side="right") - 1
    held = counted[before].astype(np.float64)
    then = world.counts(np.array([number]), last)[0]
    line = np.interp(moments, np.append(read_at, last), np.append(counted, then))
    logs = [np.log((truth + SMALLEST_COUNT) / (each + SMALLEST_COUNT)) for each in (held, line)]
    errors = np.abs([truth - held, logs[0], truth - line, logs[1]])
    return moments, np.concatenate([np.zeros((4, 1)), np.cumsum(errors, axis=1)], axis=1)


@dataclass(frozen=True, slots=True)
class Rises:
    """Late rises of known videos: when (seconds since 1970), and how long and how many views until the next reading."""

    at: Numbers
    delays: Numbers
    missed: Numbers

    @classmethod
    def of(cls, world: World, observations: Observations) -> "Rises":
        last = int(observations.at.max(initial=0))
        seen = np.unique(observations.video)
        rising = seen[(world.promotes[seen] < last) & (world.dies[seen] == NEVER)]
        chosen = sample(world, rising)
        at, delays, missed = world.promotes[chosen], [], []
        for number, rise in zip(chosen.tolist(), at.tolist(), strict=True):
            read_at, _ = observations.of_video(number)
            place = int(np.searchsorted(read_at, rise))
            until = int(read_at[place]) if place < len(read_at) else last
            first, then = world.counts(np.full(2, number), np.array([rise, until]))[0].tolist()
            delays.append(until - rise)
            missed.append(then - first)
        return cls(at, np.array(delays, dtype=np.int64), np.array(missed, dtype=np.int64))

    def within(self, begin: int, end: int) -> tuple[int, float, float]:
        """How many there were in [begin, end), the mean delay in days, and the mean of views missed; NaN of none."""
        inside = (self.at >= begin) & (self.at < end)
        number = int(inside.sum())
        if not number:
            return 0, math.nan, math.nan
        return number, float(self.delays[inside].mean()) / DAY, float(self.missed[inside].mean())
