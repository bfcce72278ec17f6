"""What a simulation has shown: a table, checks, and a picture."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from airflow.sdk import Connection
from rich.console import Console
from rich.table import Table

from ghost_tracking.core.tiers import Queue
from ghost_tracking.hooks.vault import ParquetVaultHook
from simulation.checks import Check, check
from simulation.errors import CLASSES, Accuracy
from simulation.observations import TIERS, Observations
from simulation.run import Evening, Sample, Scenario, Simulation, midnight
from simulation.world import DAY

_MOMENTS = 12


@dataclass(frozen=True)
class Report:
    """The figures. `stretches`: by tier, at the end of each day, how many intervals videos waited in the last 24 hours,
    those of WEEKLY in the last week. `seconds`: of this machine."""

    scenario: Scenario
    place: str
    samples: Sequence[Sample]
    evenings: Sequence[Evening]
    stretches: dict[str, list[float]]
    done: dict[str, int]
    checks: Sequence[Check]
    accuracy: Accuracy
    vault_bytes: int
    seconds: dict[str, float]

    @classmethod
    def of(cls, scenario: Scenario, connection: Connection, vault: ParquetVaultHook, place: Path) -> "Report":
        """Simulate, and look at what has become of it."""
        console, began = Console(highlight=False), time.monotonic()
        simulation = Simulation(scenario, connection, vault)
        try:
            with console.status("simulating") as status:
                tell: Callable[[str], None] = status.update if console.is_terminal else print
                journal = simulation.run(tell)
            observations = Observations.read(vault, simulation.world)
            accuracy = Accuracy.of(simulation, observations)
            checks = check(simulation, observations, accuracy)
            return cls(
                scenario=scenario,
                place=str(place),
                samples=journal.samples,
                evenings=journal.evenings,
                stretches=_stretches(simulation, observations),
                done=dict(journal.done),
                checks=checks,
                accuracy=accuracy,
                vault_bytes=vault.health_check()["bytes"],
                seconds=journal.seconds | {"all": time.monotonic() - began},
            )
        finally:
            simulation.close()

    @property
    def is_broken(self) -> bool:
        """Whether something does not hold that holds whatever the load is."""
        return any(each.is_broken for each in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """All figures as plain data."""
        figures: dict[str, Any] = _plain(asdict(self))
        return figures

    def show(self) -> None:
        """Print the table and the checks."""
        console = Console(highlight=False, markup=False)
        if not console.is_terminal:
            console.width = 150
        console.print(self._moments())
        console.print(self._errors())
        console.print(self._checks())
        for line in self.notes():
            console.print(line, style="dim")

    def notes(self) -> list[str]:
        """How this was measured, in sentences."""
        scenario, parts = self.scenario, {name: f"{seconds:.0f} s" for name, seconds in self.seconds.items()}
        return [
            f"{scenario.days} days of {scenario.per_day:,} new videos (seed {scenario.seed}) in "
            f"{self.seconds['all'] / 60:.1f} minutes: hunter {parts['hunter']}, tracker {parts['tracker']}, janitor "
            f"{parts.get('janitor', '0 s')}. The tracker ran and published every "
            f"{scenario.tick.total_seconds() / 60:.0f} minutes.",
            f"{self.done['gone']:,} videos were found to be gone, {self.done['returned']:,} came back, "
            f"{self.done['promoted']:,} took off again. The vault has {self.vault_bytes / 1e6:,.1f} MB.",
            f"Database and vault lay in {self.place}, the database with synchronous_commit off and its autovacuum "
            "awake every second, since a day passes in seconds; its clock was the simulation's.",
        ]

    def _moments(self) -> Table:
        table = Table(
            *("day", "found", "HOURLY", "DAILY", "WEEKLY", "on roster", "chunks", "gone", "due", "late > 1 h"),
            *("calls", "budget", "SQL", "points"),
            title=f"{self.scenario.days} days, {self.scenario.per_day:,} new videos a day",
        )
        for column in table.columns:
            column.justify = "right"
        samples = {sample.at: sample for sample in self.samples}
        days = len(self.evenings)
        for number in sorted({max(1, round(days * part / _MOMENTS)) for part in range(1, _MOMENTS + 1)}):
            evening = self.evenings[number - 1]
            sample = samples[evening.at]
            table.add_row(
                *(f"{figure:,}" for figure in (number, evening.found)),
                *(f"{evening.queues[queue]:,}" for queue in (Queue.HOURLY, Queue.DAILY, Queue.WEEKLY, Queue.ROSTER)),
                *(f"{figure:,}" for figure in (evening.chunks, evening.queues[Queue.GONE], sample.due, sample.late)),
                *(f"{sum(calls.values()):,}" for calls in (evening.spent, evening.budget)),
                *(f"{sample.sql_bytes / 1e6:.1f} MB", f"{sample.points:,}"),
            )
        return table

    def _errors(self) -> Table:
        """Both errors in views and in per cent (in logarithms), by age, and what the tracker took and missed."""
        table = Table(
            *("days", "age", "videos", "held", "curve", "held %", "curve %"),
            *("calls a day", "filled", "longest wait", "rises", "seen after", "views missed"),
            title=f"How wrong the vault was: {self.scenario.policy}",
        )
        for column in table.columns:
            column.justify = "right"
        accuracy = self.accuracy
        for period in (accuracy.whole, accuracy.early, accuracy.last):
            if period is None:
                continue
            rest = (
                f"{period.calls:,.1f}",
                _figure(period.fullness, ".1%"),
                f"{period.longest:.1f} d",
                f"{period.rises:,}",
                _figure(period.delay, ".2f", " d"),
                _figure(period.missed, ",.0f"),
            )
            for name in CLASSES:
                if (each := period.errors.get(name)) is not None:
                    table.add_row(
                        *(period.days, name, f"{each.videos:,}", f"{each.held:,.1f}", f"{each.curve:,.1f}"),
                        *(f"{100 * error:.3f}" for error in (each.held_log, each.curve_log)),
                        *(rest if name == CLASSES[0] else ()),
                    )
            table.add_section()
        return table

    def _checks(self) -> Table:
        table = Table("check", "figure", "", title="Was it kept?")
        words = {True: ("pass", "green"), False: ("MISSED", "bold red"), None: ("—", "dim")}
        for each in self.checks:
            word, style = words[each.kept]
            table.add_row(each.what, each.figure, word, style=style if each.kept is False else None)
        return table


def _stretches(simulation: Simulation, observations: Observations) -> dict[str, list[float]]:
    ends = np.array([int(midnight(day + 1).timestamp()) for day in range(simulation.scenario.days)], dtype=np.int64)
    waits = {tier: observations.waits(tier, simulation.world.ordinary()) for tier in TIERS}
    return {tier.value: mine.stretches(ends - max(DAY, mine.interval), ends).tolist() for tier, mine in waits.items()}


def _figure(value: float, form: str, unit: str = "") -> str:
    return f"{value:{form}}{unit}" if math.isfinite(value) else "—"


def _plain(value: Any) -> Any:
    """As JSON can have it: times as ISO 8601, seconds for durations, null for what is no number."""
    match value:
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case float() if not math.isfinite(value):
            return None
        case np.generic():
            return value.item()
        case _:
            return value
