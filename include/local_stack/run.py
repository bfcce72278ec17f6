"""`make run`: everything up, first results on the screen, then a line whenever something changes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NoReturn

from local_stack.errors import ApiError, NoAnswerError
from local_stack.results import Results, ResultsReader
from local_stack.stack import LocalStack
from local_stack.supervision import supervise, take_api_key
from local_stack.terminal import Terminal

DAGS = ("ghost_hunter", "ghost_tracker", "ghost_janitor")
FIRST_RUN_SECONDS = 170.0
POLL_SECONDS = 2.0


def run(state: Path) -> int:
    """Start a stack and stay with it until a signal comes; exit code 1 when something failed."""
    terminal = Terminal()
    api_key = take_api_key()
    stack = LocalStack(state, api_key=api_key, report=terminal.step)

    def work() -> int:
        with terminal.busy("Starting"):
            stack.start()
            stack.wait_for_dags(DAGS)
        _introduce(stack, terminal)
        reader = ResultsReader(stack.ghost_dsn, stack.vault)
        with terminal.busy("Waiting for the first results"):
            _first_results(stack, reader, terminal)
        _show_results(reader, terminal)
        _follow(stack, reader, terminal)

    return supervise(stack, work, terminal, stopped_code=lambda _: 0)


def _introduce(stack: LocalStack, terminal: Terminal) -> None:
    if stack.simulator_url:
        youtube = f"the simulator at {stack.simulator_url}: invented videos (set YOUTUBE_API_KEY to ask YouTube)"
    else:
        youtube = "YouTube itself, with the key of YOUTUBE_API_KEY"
    terminal.say()
    terminal.say(f"Ghost Tracking is up after {terminal.seconds:.0f} s.", style="bold green")
    terminal.say(f"  Airflow     {stack.airflow_url}   user {stack.user}   password {stack.password}", style="bold")
    terminal.say(f"  YouTube     {youtube}")
    terminal.say(f"  Vault       {stack.vault}")
    terminal.say(f'  PostgreSQL  psql "{stack.ghost_dsn}"')
    terminal.say(f"  Logs        {stack.logs_dir}")
    terminal.say()


def _first_results(stack: LocalStack, reader: ResultsReader, terminal: Terminal) -> None:
    """Let the DAGs loose; the first time, run hunter and tracker at once instead of at their next hour."""
    for dag_id in DAGS:
        stack.unpause(dag_id)
    if reader.read().any:
        return
    for dag_id in DAGS[:2]:
        state = stack.wait_for_run(dag_id, stack.trigger(dag_id), timeout=FIRST_RUN_SECONDS)
        terminal.event(_run_line(stack, dag_id, state), style=None if state == "success" else "bold red")


def _show_results(reader: ResultsReader, terminal: Terminal) -> None:
    results = reader.read()
    terminal.event(str(results), style="bold")
    if results.any:
        terminal.say(f'          python: pandas.read_parquet("{reader.metrics}")')
    terminal.say("          ctrl-C stops everything; the next make run goes on with the same data.")


def _follow(stack: LocalStack, reader: ResultsReader, terminal: Terminal) -> NoReturn:
    """Print a line whenever a run has ended or the counts have changed. Ends only by an exception."""
    seen = set(_ended_runs(stack))
    last = reader.read()
    while True:
        time.sleep(POLL_SECONDS)
        stack.check()
        ended = _ended_runs(stack)
        results = reader.read()
        for run in ended.keys() - seen:
            failed = ended[run] == "failed"
            terminal.event(_run_line(stack, run[0], ended[run]), style="bold red" if failed else None)
        if results != last:
            terminal.event(f"{results}{_difference(results, last)}")
        seen |= ended.keys()
        last = results


def _difference(now: Results, before: Results) -> str:
    more = now.points - before.points
    return f" ({more:+,})" if more else ""


def _run_line(stack: LocalStack, dag_id: str, state: str) -> str:
    if state == "failed":
        return f"{dag_id} failed: see {stack.airflow_url}/dags/{dag_id}"
    return f"{dag_id} succeeded"


def _ended_runs(stack: LocalStack) -> dict[tuple[str, str], str]:
    """The latest ended runs with their state; empty when Airflow is too busy to answer."""
    try:
        answer: dict[str, Any] = stack.api(
            "GET", "dags/~/dagRuns", order_by="-end_date", limit=10, state=["success", "failed"]
        )
    except (ApiError, NoAnswerError):
        return {}
    return {(row["dag_id"], row["dag_run_id"]): row["state"] for row in answer["dag_runs"]}
