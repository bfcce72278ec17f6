"""Runs that are late or have failed: told of by the triggerer, and by a task of the run."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from connections import eventually
from local_stack.stack import LocalStack

pytestmark = pytest.mark.faults

Run = Callable[..., list[str]]
QUIET_SECONDS = 8.0
"""What a callback may take to tell."""


@pytest.fixture
def told(stack: LocalStack, tmp_path: Path) -> Iterator[Callable[[str], list[str]]]:
    """What somebody has been told since the test began, of a kind.

    The triggerer may still have a late run of an earlier test to tell of.
    """
    file = tmp_path / "notebook"
    entry = {"notifier": "notebook.Notebook", "arguments": {"file": str(file), "text": "{{ ghost_alert }}"}}
    stack.api("POST", "variables", {"key": "ghost_notifiers", "value": json.dumps([entry])})
    yield lambda kind: [line for line in file.read_text().splitlines() if f" {kind} " in line] if file.exists() else []
    stack.api("DELETE", "variables/ghost_notifiers")


@pytest.fixture
def no_alerts_yet(sql: psycopg.Connection, run: Run) -> None:
    """A schema, and nobody who has been told of anything."""
    if sql.execute("SELECT to_regclass('alerts')").fetchone() == (None,):
        run("ghost_tracker")
    sql.execute("TRUNCATE alerts")


def set_settings(stack: LocalStack, settings: dict[str, int]) -> None:
    variable = {"key": "ghost_settings", "value": json.dumps(settings)}
    action = {"action": "create", "entities": [variable], "action_on_existence": "overwrite"}
    stack.api("PATCH", "variables", {"actions": [action]})


def test_a_run_that_is_not_over_in_time_is_told_of_once(
    no_alerts_yet: None, told: Callable[[str], list[str]], run: Run
) -> None:
    run("ghost_hunter")
    eventually(lambda: told("late"))
    run("ghost_hunter")
    time.sleep(QUIET_SECONDS)
    (line,) = told("late")
    assert line.startswith("['triggerer'] late Ghost Tracking: a run of ghost_hunter, queued at ")
    assert "after 0 minutes: does a task hang" in line


def test_a_run_that_fails_is_told_of_once_also_where_settings_are_bad(
    stack: LocalStack, no_alerts_yet: None, told: Callable[[str], list[str]], run: Run
) -> None:
    set_settings(stack, {"quota_statistic": 1})
    try:
        run("ghost_tracker", ends="failed")
        eventually(lambda: told("failed"))
        run("ghost_tracker", ends="failed")
        time.sleep(QUIET_SECONDS)
    finally:
        set_settings(stack, {})
    # unpausing may start the run of the latest slot as well, which counts by itself
    (line,) = [line for line in told("failed") if "that somebody triggered" in line]
    assert " failed Ghost Tracking: a run of ghost_tracker that somebody triggered has failed at plan" in line
    assert "dag-processor" not in line


def test_where_the_database_is_gone_the_first_of_a_row_of_failed_runs_is_told_of(
    stack: LocalStack, no_alerts_yet: None, told: Callable[[str], list[str]], run: Run
) -> None:
    def run_of_schedule() -> str:
        """As a scheduled run, it has a logical date, by which Airflow knows the run before."""
        day = {"logical_date": datetime.now(UTC).isoformat()}
        run_id = stack.api("POST", "dags/ghost_tracker/dagRuns", day)["dag_run_id"]
        return stack.wait_for_run("ghost_tracker", run_id)

    run("ghost_tracker")
    stack.unpause("ghost_tracker")
    assert run_of_schedule() == "success"
    connection = stack.api("GET", "connections/ghost_postgres")
    stack.api("PATCH", "connections/ghost_postgres", connection | {"port": 1})
    try:
        assert [run_of_schedule(), run_of_schedule()] == ["failed", "failed"]
        eventually(lambda: told("failed"))
        time.sleep(QUIET_SECONDS)
    finally:
        stack.api("PATCH", "connections/ghost_postgres", connection)
        stack.rest("ghost_tracker")
    assert len([line for line in told("failed") if "ghost_tracker" in line]) == 1


HUGE = {"anything": 1 << 64}
"""More than fits into the messages that Airflow's processes send each other."""


def test_a_huge_number_in_a_form_ends_none_of_airflows_processes(
    stack: LocalStack, no_alerts_yet: None, told: Callable[[str], list[str]], run: Run, sql: psycopg.Connection
) -> None:
    stack.unpause("ghost_hunter")
    late = stack.trigger("ghost_hunter", HUGE)
    run("ghost_tracker", HUGE, ends="failed")
    assert stack.wait_for_run("ghost_hunter", late, timeout=300) == "failed"  # its tasks are tried three times
    stack.check()  # raises where one of the components has ended
    # and they do their work still
    sql.execute("TRUNCATE alerts")
    before = len(told("late"))
    run("ghost_hunter")
    eventually(lambda: told("late")[before:])
    run("ghost_tracker")
