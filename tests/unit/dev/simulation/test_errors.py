"""The errors of a simulated vault, against a slow count of the same."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from simulation.errors import ALL, FIRST_WEEK, RISEN, SETTLED, Rises, sample, score
from simulation.observations import Observations, Waits
from simulation.run import START
from simulation.world import DAY, HOUR, NEVER, WEEK, World

DAYS = 20
BEGIN = int(START.timestamp())
END = BEGIN + DAYS * DAY


@pytest.fixture(scope="module")
def world() -> World:
    return World.invent(START, DAYS, 4, seed=3, late_rises=10)


@pytest.fixture(scope="module")
def observations(world: World) -> Observations:
    """Each video read at random moments, with its true count."""
    dice = np.random.default_rng(1)
    video = np.sort(dice.integers(0, len(world.ids), 1_500))
    at = dice.integers(world.published[video], END)
    order = np.lexsort((at, video))
    video, at = video[order], at[order]
    return Observations(video, at, at - world.published[video], world.counts(video, at)[0])


def slowly(
    world: World, observations: Observations, videos: Sequence[int], begin: int, end: int, ages: tuple[int, int]
) -> list[float]:
    """The four errors, a moment and a video at a time."""
    means = []
    for video in videos:
        read = [(at, views) for each, at, views in zip(*columns(observations), strict=True) if each == video]
        since, until = world.published[video] + ages[0], world.published[video] + ages[1]
        errors = []
        for moment in range(BEGIN + HOUR // 2, END, HOUR):
            before = [each for each in read if each[0] <= moment]
            after = [each for each in read if each[0] > moment]
            if not before or not max(begin, since) <= moment < min(end, until):
                continue
            truth = int(world.counts(np.array([video]), moment)[0][0])
            held = line = float(before[-1][1])
            at, views = after[0] if after else (END, int(world.counts(np.array([video]), END)[0][0]))
            line += (views - held) * (moment - before[-1][0]) / (at - before[-1][0])
            pairs = ((held, truth - held), (line, truth - line))
            errors.append([f(*pair) for pair in pairs for f in (in_views, in_logs)])
        if errors:
            means.append(np.mean(errors, axis=0))
    return [len(means), *np.mean(means, axis=0).tolist()]


def columns(observations: Observations) -> tuple[list[int], list[int], list[int]]:
    return observations.video.tolist(), observations.at.tolist(), observations.views.tolist()


def in_views(known: float, wrong: float) -> float:
    del known
    return abs(wrong)


def in_logs(known: float, wrong: float) -> float:
    return abs(math.log((known + wrong + 10) / (known + 10)))


@pytest.mark.parametrize("span", [(BEGIN, END), (BEGIN + 14 * DAY, BEGIN + 18 * DAY)])
def test_the_errors_are_those_of_a_slow_count(world: World, observations: Observations, span: tuple[int, int]) -> None:
    errors, _ = score(world, observations, [span, (BEGIN, END)])
    seen = np.unique(observations.video)
    calm = seen[world.ordinary()[seen]].tolist()
    for name, ages in ((ALL, (0, NEVER)), (FIRST_WEEK, (0, WEEK)), (SETTLED, (WEEK, NEVER))):
        each = errors[name]
        found = [each.videos, each.held, each.held_log, each.curve, each.curve_log]
        assert found == pytest.approx(slowly(world, observations, calm, *span, ages))
    assert errors[RISEN].held > errors[ALL].held


def test_a_late_rise_is_seen_by_the_next_reading(world: World, observations: Observations) -> None:
    rises, number = Rises.of(world, observations), 0
    last = max(observations.at)
    for video in np.unique(observations.video):
        rise = int(world.promotes[video])
        if rise >= last or world.dies[video] < NEVER:
            continue
        read_at, _ = observations.of_video(video)
        until = min((int(at) for at in read_at if at >= rise), default=int(last))
        _, delay, _ = rises.within(rise, rise + 1)
        assert delay == pytest.approx((until - rise) / DAY)
        number += 1
    assert rises.within(BEGIN, END)[0] == number > 5
    assert math.isnan(rises.within(BEGIN, BEGIN + DAY)[1])


def test_rises_come_at_any_age_from_eight_days_on_and_change_nothing_else() -> None:
    with_them, without = (World.invent(START, 400, 20, seed=1, late_rises=share) for share in (0.5, None))
    risen = with_them.promotes < NEVER
    ages = (with_them.promotes - with_them.published)[risen]
    assert ages.min() >= 8 * DAY
    assert ages.max() > 300 * DAY
    settled = np.maximum(START.timestamp() + 400 * DAY - with_them.published - 8 * DAY, 0) / (365 * DAY)
    assert risen.sum() == pytest.approx((1 - np.exp(-0.5 * settled)).sum(), rel=0.1)
    assert list(with_them.ids) == list(without.ids)
    assert (with_them.views == without.views).all()


def test_the_longest_wait_counts_one_that_is_not_over(world: World) -> None:
    video, at = np.array([0, 0, 1, 1, 1]), BEGIN + DAY * np.array([1, 9, 2, 3, 4])
    observations = Observations(video, at, at - world.published[video], np.zeros(5, np.int64))
    everybody, not_the_first = np.ones(len(world.ids), bool), np.arange(len(world.ids)) > 0
    assert observations.longest_wait(everybody, BEGIN, BEGIN + 12 * DAY) == 8 * DAY
    assert observations.longest_wait(everybody, BEGIN, BEGIN + 5 * DAY) == 4 * DAY
    assert observations.longest_wait(not_the_first, BEGIN, BEGIN + 12 * DAY) == 8 * DAY
    assert observations.longest_wait(everybody, BEGIN, BEGIN + DAY) == 0


def test_stretches_are_time_waited_over_waits_that_ended() -> None:
    dice = np.random.default_rng(2)
    began = dice.integers(0, 1_000, 200)
    ended = np.where(dice.random(200) < 0.2, NEVER, began + dice.integers(1, 300, 200))
    waits = Waits(10, began, began, ended)
    since, until = np.array([0, 100, 500, 5_000]), np.array([50, 300, 900, 6_000])
    expected = []
    for low, high in zip(since, until, strict=True):
        waited = np.maximum(np.minimum(ended, high) - np.maximum(began, low), 0).sum()
        number = ((ended >= low) & (ended < high)).sum()
        expected.append(waited / 10 / number if number else math.nan)
    assert waits.stretches(since, until).tolist() == pytest.approx(expected, nan_ok=True)


def test_a_sample_is_the_same_whatever_else_is_chosen(world: World) -> None:
    everybody = np.arange(len(world.ids))
    few = sample(world, everybody, 10)
    assert len(few) == 10
    without_one = np.setdiff1d(everybody, few[:1])
    assert set(few[1:]) <= set(sample(world, without_one, 10))
