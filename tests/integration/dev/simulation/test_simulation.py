"""Days pass in seconds, and what the simulation of time looks for is there."""

from datetime import timedelta
from pathlib import Path

from airflow.sdk import Connection

from ghost_tracking.core.policies import Policy
from ghost_tracking.core.tiers import Tier
from ghost_tracking.hooks.vault import ParquetVaultHook
from simulation.__main__ import _arguments, _scenario
from simulation.checks import check
from simulation.errors import ALL, Accuracy
from simulation.observations import Observations
from simulation.run import Scenario, Simulation, midnight

TICK = timedelta(minutes=30)


def test_days_pass_and_what_must_hold_does(empty_database: Connection, tmp_path: Path) -> None:
    scenario = Scenario(days=4, per_day=50, half_from=3, seed=5, tick=TICK)
    simulation = Simulation(scenario, empty_database, ParquetVaultHook(root=tmp_path / "vault"))
    try:
        journal = simulation.run()
        observations = Observations.read(simulation.vault, simulation.world)
        accuracy = Accuracy.of(simulation, observations)
        checks = check(simulation, observations, accuracy)
    finally:
        simulation.close()
    assert {each.what: each.figure for each in checks if each.is_broken} == {}
    assert sum(each.kept is True and each.invariant for each in checks) == 5
    until = int(midnight(3).timestamp())
    every_slot_is_served_in_the_next_tick(simulation, observations, until)
    *_, plenty, short = (sum(evening.seen.values()) for evening in journal.evenings)
    assert short < plenty
    # the same seed, the same days
    assert (journal.evenings[-1].found, int((observations.at < until).sum())) == (197, 3_101)


def test_a_budget_of_calls_is_kept_by_an_adaptive_policy(empty_database: Connection, tmp_path: Path) -> None:
    given = ["--days", "3", "--new-per-day", "60", "--calls-a-day", "20", "--tick-minutes", "60"]
    scenario = _scenario(_arguments([*given, "--policy", "adaptive", "--late-rises", "3", "--saves", "0.25"]))
    assert scenario.policy is Policy.ADAPTIVE
    simulation = Simulation(scenario, empty_database, ParquetVaultHook(root=tmp_path / "vault"))
    try:
        journal = simulation.run()
        observations = Observations.read(simulation.vault, simulation.world)
        accuracy = Accuracy.of(simulation, observations)
        checks = check(simulation, observations, accuracy)
        assert simulation.settings.thrifty_saves == 0.25
    finally:
        simulation.close()
    assert {each.what: each.figure for each in checks if each.is_broken} == {}
    taken = [sum(evening.seen.values()) - evening.hunted for evening in journal.evenings]
    # 24 hours: what the hunter does not take of its own is left for readings at the end of the day
    assert all(calls <= 20 + 24 - evening.hunted for calls, evening in zip(taken, journal.evenings, strict=True))
    assert min(taken[1:]) >= 15
    whole = accuracy.whole
    assert whole.calls == sum(taken) / 3
    assert 0 < whole.errors[ALL].curve < whole.errors[ALL].held
    assert sum(evening.tracked for evening in journal.evenings) == len(observations.at) - journal.done["found"]


def every_slot_is_served_in_the_next_tick(simulation: Simulation, observations: Observations, until: int) -> None:
    for tier in (Tier.HOURLY, Tier.DAILY):
        late = observations.waits(tier, simulation.world.ordinary()).lateness(0, until) * tier.interval
        assert min(late) >= timedelta(0)
        assert max(late) <= TICK
