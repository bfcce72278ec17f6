"""Whether what was promised was kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from ghost_tracking.core.budgets import Bucket
from ghost_tracking.core.policies import Policy
from ghost_tracking.core.tiers import Tier
from simulation.errors import ALL, Accuracy
from simulation.observations import SLOTS, Observations, keys
from simulation.run import START, Simulation, midnight
from simulation.world import HOUR, WEEK

FLAT_FROM = 10
"""The day from which the database should no longer grow: the first videos are on the roster."""

_FLAT = 0.10
_AT_MOST = 2.0


@dataclass(frozen=True)
class Check:
    """`kept` is None where there was nothing to measure. An `invariant` holds whatever the load is."""

    what: str
    figure: str
    kept: bool | None
    invariant: bool = True

    @property
    def is_broken(self) -> bool:
        return self.invariant and self.kept is False


def check(simulation: Simulation, observations: Observations, accuracy: Accuracy) -> list[Check]:
    """All checks."""
    return [
        _flat(simulation),
        _on_schedule(simulation, observations),
        *_ledger(simulation),
        *_nothing_lost(simulation, observations),
        _waits(simulation, accuracy),
        _errors_stay(accuracy),
    ]


def _flat(simulation: Simulation) -> Check:
    samples = simulation.journal.samples
    later = [sample for sample in samples if sample.at >= midnight(FLAT_FROM)]
    what = f"SQL stays flat from day {FLAT_FROM} on"
    if len(later) < 2:
        return Check(what, "too short", None, invariant=False)
    growth = later[-1].sql_bytes - later[0].sql_bytes
    most = max(sample.sql_bytes for sample in later)
    figure = (
        f"{later[0].sql_bytes / 1e6:.1f} to {later[-1].sql_bytes / 1e6:.1f} MB "
        f"({growth / later[0].sql_bytes:+.1%}), at most {most / 1e6:.1f} MB"
    )
    return Check(what, figure, growth <= _FLAT * later[0].sql_bytes, invariant=False)


def _on_schedule(simulation: Simulation, observations: Observations) -> Check:
    """31 observations at their ages. Left out are videos that meet a time without enough quota."""
    world, scenario = simulation.world, simulation.scenario
    tick = int(scenario.tick.total_seconds())
    old_enough = world.published + 2 * WEEK + HOUR + tick <= int(scenario.end.timestamp())
    chosen = np.flatnonzero(world.ordinary() & old_enough)
    if (short := _short_of_quota(simulation)) is not None:
        published = world.published[chosen]
        chosen = chosen[(published + 2 * WEEK + HOUR < short[0]) | (published > short[1])]
    what = "31 observations by day 14, each in time"
    if scenario.policy is not Policy.TIERS:
        return Check(what, f"{scenario.policy} leaves slots out", None)
    if not len(chosen):
        return Check(what, "no video is old enough", None)
    complete, ages = observations.of_first_two_weeks(chosen)
    in_first_hour = ages[:, 0] < HOUR
    late = ages[:, 1:] - SLOTS
    most = np.where(SLOTS <= WEEK, tick, HOUR)
    good = complete & ((late >= 0) & (late <= most)).all(axis=1)
    wrong = int((~good & in_first_hour).sum())
    late = late[complete & in_first_hour]
    figure = f"{wrong:,} of {int(in_first_hour.sum()):,} videos violate it"
    if len(late):
        figure += f"; latest: {late[:, :-1].max() / 60:.1f} min in SQL, {late[:, -1].max() / 60:.1f} min on the roster"
    return Check(what, figure, wrong == 0, invariant=_has_enough(simulation))


def _has_enough(simulation: Simulation) -> bool:
    """Whether the budgets of the days that are not meant to be short are ample."""
    return all(
        evening.spent[bucket] <= 0.9 * evening.budget[bucket]
        for number, evening in enumerate(simulation.journal.evenings)
        if not simulation.scenario.is_short(number)
        for bucket in evening.spent
    )


def _short_of_quota(simulation: Simulation) -> tuple[int, int] | None:
    """From when on there was half of the quota, and when the backlog of that was gone; seconds since 1970."""
    scenario = simulation.scenario
    if scenario.half_from is None:
        return None
    until = midnight(scenario.half_to or scenario.days)
    recovered = (sample.at for sample in simulation.journal.samples if sample.at > until and not sample.late)
    begins = midnight(scenario.half_from)
    return int(begins.timestamp()), int(next(recovered, scenario.end).timestamp())


def _ledger(simulation: Simulation) -> Iterator[Check]:
    evenings = simulation.journal.evenings
    buckets = (Bucket.STATISTICS, Bucket.GENERAL)
    over = sum(evening.spent[bucket] > evening.budget[bucket] for evening in evenings for bucket in buckets)
    below = sum(evening.spent[bucket] < evening.seen[bucket] for evening in evenings for bucket in buckets)
    more = sum(evening.spent[bucket] - evening.seen[bucket] for evening in evenings for bucket in buckets)
    days = f"of {len(evenings)} days"
    fullest = max(evening.spent[bucket] / max(1, evening.budget[bucket]) for evening in evenings for bucket in buckets)
    yield Check("the ledger is never over its budget", f"{over} {days}; at most {fullest:.1%} of it", not over)
    yield Check("the ledger never says less than YouTube saw", f"{below} {days}; {more:,} calls more in all", not below)


def _nothing_lost(simulation: Simulation, observations: Observations) -> Iterator[Check]:
    answered = [keys(video, np.full(len(video), at)) for video, at in simulation.youtube.answered]
    told = np.unique(np.concatenate([np.empty(0, np.int64), *answered]))
    kept = np.unique(observations.keys)
    lost, invented = len(np.setdiff1d(told, kept)), len(np.setdiff1d(kept, told))
    twice = len(observations.keys) - len(kept)
    figure = f"{len(told):,} answers: {lost} lost, {invented} invented, {twice} twice"
    yield Check("every answer is in the vault, once", figure, not (lost or invented or twice))
    report = simulation.vault.verify()
    problems = [*simulation.journal.problems, *report.problems]
    figure = f"{report.points:,} points of {report.hours:,} hours and {report.periods} periods of the history compared"
    yield Check("the vault's layers agree, nothing went wrong", "; ".join(problems[:3]) or figure, not problems)
    places = _places(simulation)
    found = len(simulation.world.published_between(START, simulation.last_hunt))
    nowhere, double = int((places[:found] == 0).sum()), int((places > 1).sum())
    figure = f"{found:,} videos: {nowhere} nowhere, {double} in two places"
    yield Check("every video waits in exactly one place", figure, not (nowhere or double))


def _places(simulation: Simulation) -> np.ndarray:
    """In how many places each video waits."""
    ids = [row[0] for row in simulation.clock.ask("SELECT video_id FROM watchlist")]
    for chunk in simulation.watchlist.roster.all():
        members = enumerate(simulation.vault.roster.read(chunk.name))
        ids += [video_id for position, video_id in members if position not in chunk.removed_positions]
    numbers = [simulation.world.numbers[video_id] for video_id in ids]
    return np.bincount(np.array(numbers, np.int64), minlength=len(simulation.world.ids))


def _waits(simulation: Simulation, accuracy: Accuracy) -> Check:
    longest = timedelta(days=simulation.settings.longest_wait_days)
    # a settled video is looked at once a week, whoever is worth it
    most = (longest + Tier.WEEKLY.interval) / timedelta(days=1)
    what = f"no video waits longer than {longest.days} days and a week"
    return Check(what, f"at most {accuracy.whole.longest:.1f} days", accuracy.whole.longest <= most, invariant=False)


def _errors_stay(accuracy: Accuracy) -> Check:
    """Errors in the last part of a run of years, and in one as long that ends after two years."""
    what = "errors at the end are at most twice those after two years"
    if accuracy.early is None:
        return Check(what, "fewer than three years", None, invariant=False)
    before, after = accuracy.early.errors[ALL], accuracy.last.errors[ALL]
    ratios = {
        "held": after.held / before.held,
        "curve": after.curve / before.curve,
        "held, logarithms": after.held_log / before.held_log,
        "curve, logarithms": after.curve_log / before.curve_log,
    }
    figure = "; ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    return Check(what, figure, max(ratios.values()) <= _AT_MOST, invariant=False)
