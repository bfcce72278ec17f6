"""What a reading is worth, measured: the rule of `core.worth` replayed over worlds whose truth is known."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import worlds
from benchmarks.figures import figure
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
)
from benchmarks.screen import Screen, Tell
from benchmarks.worlds import World
from ghost_tracking.core.worth import Shares

SEEDS = range(10)
YEARS_ERRORS_OF = 180
"""Days at the end of the years over which errors are counted."""

Ratios = Mapping[str, Sequence[float]]
"""By policy: its figures over those of the policy that it is compared with, in the order of `Score`."""

Figures = tuple[float, ...]
NAMES = tuple(each.name.replace("_", " ") for each in fields(Score))
RECORDED = Path(__file__).parents[2] / "shared" / "data" / "recorded_series.csv"


@dataclass(frozen=True)
class Replayed:
    """A policy by name, made for a world. `bounds`: the project's targets for its figures, in the order of `Score`."""

    name: str
    make: Callable[[World], Policy]
    bounds: Figures = ()


def _budget(world: World, share: float) -> Callable[[int], float]:
    hourly = need(world) * share
    return lambda now: float(hourly[now // world.hours])


def _tiers(_: World) -> Policy:
    return Tiers()


def _short(share: float, world: World) -> Policy:
    return ShortTiers(_budget(world, share), Shares())


def _stretched(share: float, world: World) -> Policy:
    return Stretched(_budget(world, share))


def _adaptive(share: float, world: World) -> Policy:
    return Adaptive(_budget(world, share), Shares())


def _thrifty(saved: float, world: World) -> Policy:
    return Thrifty(saved, Shares())


IN_DAYS = (
    Replayed("half the quota: stretched, as before", partial(_stretched, 0.5)),
    Replayed("half the quota: tiers", partial(_short, 0.5), (0.52, 1.2, 1.5, 1.4, 1.9, 1.8, 1.2)),
    Replayed("a quarter: stretched, as before", partial(_stretched, 0.25)),
    Replayed("a quarter: tiers", partial(_short, 0.25), (0.27, 1.6, 3.1, 3.8, 9.5, 3.0, 1.3)),
    Replayed("thrifty, to save half", partial(_thrifty, 0.5), (0.52, 1.05, 1.1, 1.05, 1.2, 1.2, 1.05)),
    Replayed("thrifty, to save three quarters", partial(_thrifty, 0.75)),
    Replayed("adaptive, as many readings", partial(_adaptive, 1.0), (1.02, 0.35, 0.6, 0.32, 0.85, 0.95, 0.6)),
    Replayed("adaptive, half as many", partial(_adaptive, 0.5)),
    Replayed("adaptive, a quarter", partial(_adaptive, 0.25)),
)
IN_YEARS = (
    Replayed("tiers (weekly slots)", lambda world: ShortTiers(_settled_budget(world), Shares())),
    Replayed(
        "adaptive, a day apart at least",
        lambda world: Adaptive(_settled_budget(world), Shares()),
        (1.01, 1 / 3, 0.75, 1 / 3, 0.9, 1.05, np.inf),
    ),
    Replayed("every weekly slot, four times the readings", _tiers),
)


def _settled_budget(world: World) -> Callable[[int], float]:
    """A quarter of what weekly readings of all videos would take at the end."""
    a_day = world.videos / 7 / 4
    return lambda _: a_day


def bench(screen: Screen) -> None:
    """Replay each policy over each world, with ten seeds, and print the medians of their figures' ratios."""
    shares = Shares()
    screen.note(
        f"Shares of readings: {shares.views:g} where most views are missed, {shares.percent:g} where the curve is most "
        f"wrong in per cent, {shares.in_turn:g} in turn; {len(SEEDS)} seeds, medians; ratios, lower is better"
    )
    with screen.busy("replays") as tell:
        for title, policies, found in _measured(tell):
            screen.table([title, *NAMES, ""], [row for each in policies for row in _rows(each, found[each.name])])
    if not RECORDED.is_file():
        screen.note(f"recorded series: not measured, {RECORDED} is missing")


def _measured(tell: Tell) -> Iterator[tuple[str, Sequence[Replayed], Ratios]]:
    yield "sixty days", IN_DAYS, ratios(worlds.days, _tiers, IN_DAYS, tell)
    in_years = ratios(worlds.years, lambda world: Stretched(_settled_budget(world)), IN_YEARS, tell, settled=True)
    yield "three years, a quarter of weekly, against stretched", IN_YEARS, in_years
    other = [Replayed(each.name, each.make) for each in IN_DAYS]
    yield "another sixty days", other, ratios(worlds.wide, _tiers, other, tell)
    if RECORDED.is_file():
        yield "recorded series", other, ratios(partial(worlds.recorded, file=RECORDED), _tiers, other, tell)


def ratios(
    make: Callable[[int], World],
    against: Callable[[World], Policy],
    policies: Sequence[Replayed],
    tell: Tell,
    *,
    settled: bool = False,
    seeds: Sequence[int] = SEEDS,
) -> Ratios:
    """The medians over the seeds of each policy's figures, divided by those of the policy `against`."""
    found: dict[str, list[Figures]] = {each.name: [] for each in policies}
    for seed in seeds:
        world = make(seed)
        since = world.steps - YEARS_ERRORS_OF if settled else 0
        run = partial(_figures, world, settled=settled, since=since)
        baseline = run(against(world))
        for each in policies:
            tell(f"seed {seed}: {each.name}")
            found[each.name].append(tuple(np.divide(run(each.make(world)), baseline)))
    return {name: np.median(np.array(each), axis=0).tolist() for name, each in found.items()}


def _figures(world: World, policy: Policy, *, settled: bool, since: int) -> Figures:
    found = score(world, replay(world, policy, settled=settled), since)
    return tuple(getattr(found, each.name) for each in fields(Score))


def _rows(policy: Replayed, ratios: Sequence[float]) -> list[list[str]]:
    rows = [[policy.name, *("" if np.isnan(each) else figure(each) for each in ratios), ""]]
    if policy.bounds:
        missed = [name for name, ratio, most in zip(NAMES, ratios, policy.bounds, strict=True) if ratio > most]
        most = ["" if np.isinf(each) else figure(each) for each in policy.bounds]
        rows.append(["  at most", *most, f"MISSED: {', '.join(missed)}" if missed else "holds"])
    return rows
