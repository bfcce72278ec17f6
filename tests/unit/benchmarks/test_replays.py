"""The replays of `make bench ARGS=policy` read at the tiers' slots, keep to budgets, and count errors right."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from benchmarks import worlds
from benchmarks.replays import (
    Adaptive,
    Policy,
    Score,
    ShortTiers,
    Stretched,
    Thrifty,
    Tiers,
    need,
    replay,
    score,
    tier_hours,
)
from benchmarks.worlds import NEVER, World

from ghost_tracking.core.tiers import next_slot, tier_at
from ghost_tracking.core.worth import Shares

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def world() -> World:
    return worlds.days(seed=5, videos=400, steps=24 * 30)


def slots_of(born: int, end: int) -> Iterator[int]:
    """The hours at which the tiers read a video, from its discovery at its birth on."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    now = start
    while now < start + (end - born) * HOUR:
        yield born + (now - start) // HOUR
        now = next_slot(start, now)[1]


def test_tiers_are_those_of_the_product() -> None:
    ages = np.arange(400)
    assert tier_hours(ages).tolist() == [tier_at(age * HOUR).interval / HOUR for age in range(400)]


def test_the_tiers_read_every_slot(world: World) -> None:
    reads = replay(world, Tiers())
    for video in range(0, world.videos, 40):
        assert np.flatnonzero(reads[video]).tolist() == list(slots_of(int(world.born[video]), world.steps))


def test_what_is_read_always_is_never_wrong(world: World) -> None:
    always = np.arange(world.steps)[None, :] >= world.born[:, None]
    found = score(world, always)
    assert (found.held, found.held_log, found.curve, found.curve_log, found.delay, found.missed) == (0, 0, 0, 0, 0, 0)


def test_errors_are_those_of_the_last_value_and_of_the_line() -> None:
    views = np.array([[0.0, 10, 20, 60, 80, 80]])
    world = World(1, np.array([0]), views, np.array([2]), np.array([0]), (0, 5))
    reads = np.array([[True, False, False, False, True, False]])
    found = score(world, reads)
    assert found.readings == 2
    assert found.held == pytest.approx((10 + 20 + 60) / 6)
    assert found.curve == pytest.approx((10 + 20 + 0) / 6)  # the line says 20, 40 and 60
    assert found.held_log == pytest.approx((np.log(2) + np.log(3) + np.log(7)) / 6)
    assert (found.delay, found.missed) == (2, 60)
    assert score(world, reads, since=3) == Score(1, 60 / 3, pytest.approx(np.log(7) / 3), 0, 0, 2, 60)


def test_a_late_rise_that_nobody_reads_is_unseen_to_the_end() -> None:
    world = World(1, np.array([0]), np.array([[0.0, 1, 5, 9]]), np.array([2]), np.array([0]), (0, 4))
    reads = np.array([[True, True, False, False]])
    assert (score(world, reads).delay, score(world, reads).missed) == (2, 4)


@pytest.mark.parametrize("policy", [Stretched, ShortTiers, Adaptive])
def test_no_policy_spends_more_than_its_day_has(world: World, policy: type[Stretched]) -> None:
    hourly = need(world) / 2
    shares = () if policy is Stretched else (Shares(),)
    reads = replay(world, policy(lambda now: float(hourly[now]), *shares))
    spent, given = (each.reshape(-1, 24).sum(axis=1) for each in (reads.sum(axis=0), hourly))
    assert (spent <= given + 1).all()
    assert spent.sum() > 0.95 * given.sum()


def ratios(world: World, policy: Policy) -> Score:
    found, full = score(world, replay(world, policy)), score(world, replay(world, Tiers()))
    return Score(*(getattr(found, name) / (getattr(full, name) or np.nan) for name in Score.__dataclass_fields__))


def test_skipping_what_stands_still_is_better_than_stretching_everything(world: World) -> None:
    hourly = need(world) / 4
    stretched = ratios(world, Stretched(lambda now: float(hourly[now])))
    skipped = ratios(world, ShortTiers(lambda now: float(hourly[now]), Shares()))
    assert skipped.readings <= stretched.readings * 1.01
    assert skipped.held < 0.7 * stretched.held
    assert skipped.held_log < 0.9 * stretched.held_log
    assert skipped.curve < 0.7 * stretched.curve


def test_half_of_the_readings_teach_nothing(world: World) -> None:
    thrifty = ratios(world, Thrifty(0.5, Shares()))
    assert 0.4 < thrifty.readings < 0.6
    assert thrifty.held < 1.1
    assert thrifty.curve < 1.1
    assert ratios(world, Thrifty(0, Shares())) == ratios(world, Tiers())


def test_readings_go_where_they_teach_most(world: World) -> None:
    hourly = need(world)
    adaptive = ratios(world, Adaptive(lambda now: float(hourly[now]), Shares()))
    assert adaptive.readings < 1.05
    assert adaptive.held < 0.6
    assert adaptive.curve < 0.6


def test_worlds_are_the_same_for_the_same_seed_and_counts_never_fall_unless_they_are_meant_to() -> None:
    first, again, other = worlds.days(1, 50, 24 * 20), worlds.days(1, 50, 24 * 20), worlds.days(2, 50, 24 * 20)
    assert (first.views == again.views).all()
    assert not (first.views == other.views).all()
    for made in (first, worlds.years(1, new_a_day=1, length=400)):
        assert (np.diff(made.views, axis=1) >= 0).all()
        assert (np.diff(made.born) >= 0).all()
        assert ((made.rises_at == NEVER) | (made.rises_at > made.born)).all()
    assert (np.diff(worlds.wide(1, 50, 24 * 20).views, axis=1) < 0).any()
