"""`make run`: everything up, first results on the screen, then a line whenever something changes."""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import Any, NoReturn

from local_stack.errors import ApiError, NoAnswerError
from local_stack.layout import PROJECT
from local_stack.results import Results, ResultsReader
from local_stack.stack import LocalStack
from local_stack.supervision import supervise, take_api_key
from local_stack.terminal import Terminal

HUNTER, TRACKER, JANITOR = DAGS = ("ghost_hunter", "ghost_tracker", "ghost_janitor")
POLL_SECONDS = 2.0
PATIENCE_SECONDS = 90.0

EndedRuns = dict[tuple[str, str], str]


def run(state: Path | None) -> int:
    """Start a stack and stay with it until a signal comes; exit code 1 when something failed."""
    terminal = Terminal()
    api_key = take_api_key()
    stack = LocalStack(state or usual_state(api_key), api_key=api_key, report=terminal.step)

    def work() -> int:
        with terminal.busy("Starting"):
            stack.start()
            stack.wait_for_dags(DAGS)
        _introduce(stack, terminal)
        ended = _ended_runs(stack)
        for dag_id in DAGS:
            stack.unpause(dag_id)
        Follower(stack, terminal, ended).follow()

    return supervise(stack, work, terminal, stopped_code=lambda _: 0)


def usual_state(api_key: str | None) -> Path:
    """Where `make run` keeps its state: invented videos must never mix with YouTube's in one vault."""
    return PROJECT / ".run" / "youtube" if api_key else PROJECT / ".run"


def _introduce(stack: LocalStack, terminal: Terminal) -> None:
    if stack.simulator_url:
        youtube = f"the simulator at {stack.simulator_url}: invented videos (set YOUTUBE_API_KEY to ask YouTube)"
    else:
        youtube = "YouTube itself, with the key of YOUTUBE_API_KEY"
    terminal.say()
    terminal.say(f"Ghost Tracking is up after {terminal.seconds:.0f} s.", style="bold green")
    # what is no terminal is kept, as the log of a CI is, and read by others
    password = stack.password if terminal.is_interactive else f"in {stack.state.password_file}"
    terminal.say(f"  Airflow     {stack.airflow_url}   user {stack.user}   password {password}", style="bold")
    terminal.say(f"  YouTube     {youtube}")
    terminal.say(f"  Sources     {stack.sources_file}")
    terminal.say(f"  Vault       {stack.vault}")
    terminal.say(f'  PostgreSQL  psql "{stack.ghost_dsn}"')
    terminal.say(f"  Logs        {stack.logs_dir}")
    terminal.say('  CLI         make airflow ARGS="dags list"')
    terminal.say("  ctrl-C stops everything; the next make run goes on with the same data.")
    terminal.say()


class Follower:
    """Prints a line whenever a run has ended or the counts have changed."""

    def __init__(self, stack: LocalStack, terminal: Terminal, seen: EndedRuns) -> None:
        self._stack = stack
        self._terminal = terminal
        self._reader = ResultsReader(stack.ghost_dsn, stack.vault)
        self._seen = set(seen)
        self._last: Results | None = None

    def follow(self) -> NoReturn:
        """Stay until an exception comes: a signal, or a component that died."""
        with self._terminal.busy("Waiting for the first results"):
            late = self._terminal.seconds + PATIENCE_SECONDS
            while not self._look().any:
                time.sleep(POLL_SECONDS)
                if self._terminal.seconds > late:
                    hunter = f"{self._stack.airflow_url}/dags/{HUNTER}"
                    self._terminal.event(f"No results yet; what the hunter is doing: {hunter}")
                    late = math.inf
        self._terminal.say(f'          python: pandas.read_parquet("{self._reader.metrics}")', style="bold")
        while True:
            time.sleep(POLL_SECONDS)
            self._look()

    def _look(self) -> Results:
        self._stack.check()
        ended = _ended_runs(self._stack)
        for run in ended.keys() - self._seen:
            self._tell(*run, failed=ended[run] == "failed")
        self._seen |= ended.keys()
        results = self._reader.read()
        if results != self._last and results.any:
            more = results.points - self._last.points if self._last else 0
            self._terminal.event(f"{results}{f' ({more:+,})' if more else ''}")
        self._last = results
        return results

    def _tell(self, dag_id: str, run_id: str, *, failed: bool) -> None:
        if not failed:
            self._terminal.event(f"{dag_id} succeeded")
            return
        self._terminal.event(f"{dag_id} failed: {self._stack.airflow_url}/dags/{dag_id}", style="bold red")
        with contextlib.suppress(ApiError, NoAnswerError):
            for reason in self._stack.reasons(dag_id, run_id)[:5]:
                self._terminal.say(f"          {reason}", style="red")


def _ended_runs(stack: LocalStack) -> EndedRuns:
    """The latest ended runs with their state; empty when Airflow is too busy to answer."""
    try:
        answer: dict[str, Any] = stack.api(
            "GET", "dags/~/dagRuns", order_by="-end_date", limit=10, state=["success", "failed"]
        )
    except (ApiError, NoAnswerError):
        return {}
    return {(row["dag_id"], row["dag_run_id"]): row["state"] for row in answer["dag_runs"]}
