"""`make demo`: hunter, tracker and janitor through the real scheduler, and tracking that outlives the metadata."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from rich.table import Table

from local_stack.comparison import Comparison, compare, points_of_journal, points_of_vault
from local_stack.errors import StackError
from local_stack.results import Results, ResultsReader
from local_stack.run import HUNTER, JANITOR, TRACKER
from local_stack.stack import LocalStack
from local_stack.supervision import supervise, take_api_key
from local_stack.terminal import Terminal

RUN_SECONDS = 120.0
AN_HOUR = timedelta(hours=1)
EIGHT_DAYS = timedelta(days=8)


class CheckFailedError(StackError):
    """Something that the demonstration shows is not so."""


@dataclass(frozen=True)
class Step:
    """One line of the table at the end."""

    what: str
    results: Results
    seconds: float


def demo(state: Path) -> int:
    """Run the demonstration in an empty state folder; 0 if all of it was so, 1 and a sentence if not."""
    terminal = Terminal()
    take_api_key()  # the demonstration never asks YouTube
    stack = LocalStack(state, fresh=True, report=terminal.step)

    def work() -> int:
        with terminal.busy("Starting"):
            stack.start()
            stack.wait_for_dags((HUNTER, TRACKER, JANITOR))
        steps, comparison = Demonstration(stack, terminal).play()
        terminal.table(_table(steps))
        terminal.say(
            f"pandas reads {comparison.matched:,} points in {stack.vault / 'metrics'}: each was served by the simulator"
            " exactly once, and nothing that the tracker was served is missing."
        )
        terminal.say(f"The demonstration holds, after {terminal.seconds:.0f} s.", style="bold green")
        return 0

    return supervise(stack, work, terminal, stopped_code=lambda number: 128 + number)


class Demonstration:
    """The steps, each checked before the next one is taken."""

    def __init__(self, stack: LocalStack, terminal: Terminal) -> None:
        self._stack = stack
        self._terminal = terminal
        self._reader = ResultsReader(stack.ghost_dsn, stack.vault)
        self._steps: list[Step] = []

    def play(self) -> tuple[list[Step], Comparison]:
        """All steps; raises CheckFailedError at the first thing that is not as it should be."""
        hunted = self._step("hunter finds videos", lambda: self._run(HUNTER))
        _expect(bool(hunted.videos), "the hunter found no video")
        _expect(hunted.videos == hunted.watchlist, "not every video that was found is on the watchlist")
        _expect(hunted.points == hunted.videos, "not every video that was found has a first point")
        hunters_readings = self._journal()["total"]

        self._step("an hour passes", lambda: self._pass(AN_HOUR))
        tracked = self._step("tracker tracks what is due", lambda: self._run(TRACKER))
        _expect(tracked.points > hunted.points, "the tracker brought no new point")

        self._step("eight days pass", lambda: self._pass(EIGHT_DAYS))
        cleaned = self._step("janitor deletes metadata, moves to the roster", lambda: self._run(JANITOR))
        _expect(cleaned.videos == 0, f"the janitor left {cleaned.videos} rows in videos")
        _expect(cleaned.tracked == tracked.tracked, "the janitor lost videos")
        _expect(cleaned.watchlist == 0, f"the janitor left {cleaned.watchlist} settled videos on the watchlist")
        _expect(cleaned.points == tracked.points, "the vault lost or won points while the janitor ran")

        last = self._step("tracker tracks on", lambda: self._run(TRACKER))
        _expect(last.videos == 0, "videos came back without a hunter")
        _expect(last.points > cleaned.points, "the tracker brought no new point once the metadata was gone")
        return self._steps, self._compare(hunters_readings)

    def _step(self, what: str, act: Callable[[], None]) -> Results:
        begin = self._terminal.seconds
        with self._terminal.busy(what):
            act()
        results = self._reader.read()
        self._steps.append(Step(what, results, self._terminal.seconds - begin))
        self._terminal.step(f"{what}: {results}")
        return results

    def _run(self, dag_id: str) -> None:
        """One run through the scheduler. Paused again afterwards: nothing may run between two steps."""
        run_id = self._stack.run_soon(dag_id)
        state = self._stack.wait_for_run(dag_id, run_id, timeout=RUN_SECONDS)
        self._stack.rest(dag_id, timeout=RUN_SECONDS)
        if state != "success":
            raise CheckFailedError(f"run {run_id} of {dag_id} failed.\n{self._stack.explain(dag_id, run_id)}")

    def _pass(self, time: timedelta) -> None:
        """Let time pass: set back what the schedule and the simulator know by that much."""
        with psycopg.connect(self._stack.ghost_dsn) as connection:
            for table in ("videos", "watchlist"):
                _set_back(connection, table, time)
        self._stack.simulator_control("POST", "origin", {"shift_seconds": -time.total_seconds()})

    def _journal(self) -> dict[str, Any]:
        journal: dict[str, Any] = self._stack.simulator_control("GET", "journal")
        return journal

    def _compare(self, hunters_readings: int) -> Comparison:
        """Every point was served, and everything that was served to the tracker is a point.

        The hunter may be served a video twice, from two sources; only the first becomes a point.
        """
        journal = self._journal()
        _expect(journal["next"] == journal["total"], "the simulator's journal is longer than one page")
        readings = points_of_journal(journal["readings"])
        comparison = compare(points_of_vault(self._reader.metrics), readings)
        trackers = {id(reading) for reading in readings[hunters_readings:]}
        lost = [reading for reading in comparison.lost if id(reading) in trackers]
        _expect(not comparison.invented, f"the vault holds points that nobody served: {comparison.invented[:3]}")
        _expect(not lost, f"{len(lost)} readings that the tracker was served are not in the vault: {lost[:3]}")
        return comparison


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise CheckFailedError(f"The demonstration failed: {otherwise}.")


def _set_back(connection: psycopg.Connection, table: str, time: timedelta) -> None:
    """Make every time in a table that much older, whatever times it has."""
    columns = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        " AND table_name = %s AND data_type = 'timestamp with time zone'",
        [table],
    ).fetchall()
    changes = [sql.SQL("{0} = {0} - {1}").format(sql.Identifier(name), sql.Literal(time)) for (name,) in columns]
    connection.execute(sql.SQL("UPDATE {} SET {}").format(sql.Identifier(table), sql.SQL(", ").join(changes)))


def _table(steps: list[Step]) -> Table:
    table = Table("Step", "s", "videos", "watchlist", "roster", "points in the vault")
    for column in table.columns[1:]:
        column.justify = "right"
    before = 0
    for step in steps:
        new = step.results.points - before
        points = f"{step.results.points:,}" + (f" ({new:+,})" if new else "")
        counts = (step.results.videos, step.results.watchlist, step.results.roster)
        numbers = [f"{count or 0:,}" for count in counts]
        table.add_row(step.what, f"{step.seconds:.0f}", *numbers, points)
        before = step.results.points
    return table
