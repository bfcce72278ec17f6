"""Synthetic populations of videos whose true counts are known at every moment, to replay policies over them.

The shapes are the same everywhere: views come fast at first and slow down as a power law of age, some videos keep a
level of their own for ever, and few rise late. What is counted is a Poisson number.
"""

import csv
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

NEVER = -1
_DAY, _WEEK = 24, 168


@dataclass(frozen=True)
class World:
    """`views[video, step]`: true counts, a step being `hours` long; videos in the order of the steps of their birth.

    `rises_at`: the step of a late rise, or `NEVER`. `scored`: the videos whose errors count. Rises are compared where
    they lie in `rises_within` (steps, from and to).
    """

    hours: int
    born: Numbers
    views: Floats
    rises_at: Numbers
    scored: Numbers
    rises_within: tuple[int, int]

    @property
    def steps(self) -> int:
        return self.views.shape[1]

    @property
    def videos(self) -> int:
        return len(self.born)


def _world(hours: int, born: Numbers, rates: Floats, rises_at: Numbers, dice: np.random.Generator, end: int) -> World:
    steps = rates.shape[1]
    alive = np.arange(steps)[None, :] >= born[:, None]
    views = np.cumsum(dice.poisson(np.clip(rates, 0, 1e9)) * alive, axis=1).astype(np.float64)
    order = np.argsort(born, kind="stable")
    return World(hours, born[order], views[order], rises_at[order], np.arange(len(born)), (0, steps - end))


def days(seed: int, videos: int = 3_000, steps: int = 60 * _DAY) -> World:
    """Sixty days, an hour a step; all videos come in the first thirty. A fifth is evergreen, 3 % rise after a week.

    First rates are log-normal (e² views an hour at the median, sigma 2.2), a day has a rhythm of 30 %.
    """
    dice = np.random.default_rng([seed, 1])
    born = dice.integers(0, steps // 2, videos)
    at = np.arange(steps)[None, :]
    ages = np.maximum(at - born[:, None], 0)
    first = np.exp(dice.normal(2.0, 2.2, (videos, 1)))
    slows_after, power = dice.uniform(6, 72, (videos, 1)), dice.uniform(1.1, 2.2, (videos, 1))
    levels = np.exp(dice.normal(0.5, 1.8, (videos, 1)))
    rates = np.where(dice.random((videos, 1)) < 0.2, levels, first * (1 + ages / slows_after) ** -power)
    rises_at = np.full(videos, NEVER)
    for video in np.flatnonzero(dice.random(videos) < 0.03):
        start = int(born[video] + dice.integers(8 * _DAY, steps))
        if start < steps - _DAY:
            rises_at[video] = start
            since = np.arange(steps - start)
            rates[video, start:] += max(30 * rates[video, start], 20) * np.exp(-since / dice.uniform(_DAY, 4 * _DAY))
    rates *= 1 + 0.3 * np.sin(2 * np.pi * (at - 14) / _DAY)
    return _world(1, born, rates, rises_at, dice, _DAY)


def wide(seed: int, videos: int = 3_000, steps: int = 60 * _DAY) -> World:
    """Another sixty days: videos come all the time, some more of them on weekends, and differ far more.

    First rates have a sigma of 3; two fifths keep a level too, which drifts; 6 % rise, at any time after two days, each
    by a factor of its own within six hours; and one count in fifty is 0.3 % too low, as when a replica lags.
    """
    dice = np.random.default_rng([seed, 2])
    born = np.sort(dice.integers(0, steps - 3 * _DAY, videos))
    born = np.where(dice.random(videos) < 0.1, born // _WEEK * _WEEK + dice.integers(5 * _DAY, _WEEK, videos), born)
    born = np.minimum(born, steps - 3 * _DAY)
    at = np.arange(steps)[None, :]
    ages = np.maximum(at - born[:, None], 0)
    first = np.exp(dice.normal(1.0, 3.0, (videos, 1)))
    rates = first * (1 + ages / dice.uniform(2, 200, (videos, 1))) ** -dice.uniform(0.8, 2.5, (videos, 1))
    drift = np.exp(np.cumsum(dice.normal(0, 0.1, (videos, steps // _DAY)), axis=1)).repeat(_DAY, axis=1)
    rates += np.where(dice.random((videos, 1)) < 0.4, np.exp(dice.normal(-1.0, 2.0, (videos, 1))), 0) * drift
    rises_at = np.full(videos, NEVER)
    for video in np.flatnonzero(dice.random(videos) < 0.06):
        start = int(born[video] + dice.integers(2 * _DAY, steps))
        if start < steps - _DAY:
            rises_at[video] = start
            since = np.arange(steps - start)
            height = max(rates[video, start] * np.exp(dice.normal(2.5, 1.0)), 5) * np.minimum((since + 1) / 6, 1)
            rates[video, start:] += height * np.exp(-since / dice.uniform(6, 10 * _DAY))
    world = _world(1, born, np.minimum(rates, 1e7), rises_at, dice, _DAY)
    lagging = dice.random(world.views.shape) < 0.02
    return replace(world, views=np.where(lagging, np.floor(world.views * 0.997), world.views))


def years(seed: int, new_a_day: int = 10, length: int = 3 * 365) -> World:
    """Three years, a day a step; videos come every day. An eighth keeps a level, which drifts, and 3 % a year rise."""
    dice = np.random.default_rng([seed, 3])
    born = np.repeat(np.arange(length), new_a_day)
    videos = len(born)
    first, power = np.exp(dice.normal(2.5, 2.6, videos)), dice.uniform(0.9, 2.2, videos)
    level = np.exp(dice.normal(-0.5, 1.8, videos)) * (dice.random(videos) < 0.12)
    rises_at = np.full(videos, NEVER)
    rising = np.flatnonzero(dice.random(videos) < 0.03 * length / 365)
    rises_at[rising] = dice.integers(born[rising] + 10, np.maximum(born[rising] + 11, length + 200))
    rises_at[rises_at >= length] = NEVER
    height = 20 * np.exp(dice.normal(1.5, 1.5, videos)) * np.maximum(30 * level + 0.02 * first, 1)
    lasts = dice.uniform(2, 20, videos)
    rates, drift = np.zeros((videos, length)), np.ones(videos)
    for day in range(length):
        drift *= np.exp(dice.normal(0, 0.03, videos))
        rates[:, day] = first * (1 + np.maximum(day - born, 0) / 2) ** -power + level * drift
        risen = (rises_at != NEVER) & (rises_at <= day)
        rates[risen, day] += height[risen] * np.exp(-(day - rises_at[risen]) / lasts[risen])
    return replace(_world(24, born, np.minimum(rates, 1e7), rises_at, dice, 0), rises_within=(201, length - 100))


def recorded(seed: int, file: Path, copies: int = 6) -> World:
    """The world of `days`, and among its videos the recorded ones, whose errors count alone.

    `file`: readings as rows of video_id, observed_at and views, in order of time, which begin in a video's first days:
    their first stands for its birth. Each video comes `copies` times, at different moments of the first days.
    """
    world, dice = days(seed, videos=2_000), np.random.default_rng([seed, 4])
    readings: dict[str, list[tuple[float, float]]] = {}
    with file.open(encoding="utf-8", newline="") as opened:
        for row in csv.DictReader(opened):
            moment = datetime.fromisoformat(row["observed_at"]).timestamp() / 3600
            readings.setdefault(row["video_id"], []).append((moment, float(row["views"])))
    born, views = [], []
    for series in readings.values():
        moments, counts = np.array(series).T
        for _ in range(copies):
            start = int(dice.integers(0, 14 * _DAY))
            ages = np.arange(world.steps) - start
            # as the API answers at that hour: the newest recorded count, falls and jumps included
            newest = np.searchsorted(moments - moments[0], np.maximum(ages, 0), side="right") - 1
            born.append(start)
            views.append(np.where(ages >= 0, counts[newest], 0.0))
    births = np.concatenate([world.born, born])
    order = np.argsort(births, kind="stable")
    return replace(
        world,
        born=births[order],
        views=np.concatenate([world.views, views])[order],
        rises_at=np.concatenate([world.rises_at, np.full(len(born), NEVER)])[order],
        scored=np.flatnonzero(order >= world.videos),
        rises_within=(0, 0),
    )
