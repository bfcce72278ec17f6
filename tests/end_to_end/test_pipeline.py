"""Hunter, tracker, janitor and tracker again, through the real scheduler; backfills from the command line."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pandas as pd
import psycopg
import pytest
import yaml

from connections import clear_of_the_hour, eventually, make_due
from local_stack.airflow_config import command_line_environment
from local_stack.comparison import compare, points_of_journal, points_of_vault
from local_stack.stack import LocalStack

Run = Callable[..., list[str]]
HOUR = timedelta(hours=1)


def points(stack: LocalStack) -> pd.DataFrame:
    return pd.read_parquet(stack.vault / "metrics")


def instances(stack: LocalStack, dag_id: str, run_id: str) -> dict[str, list[dict]]:
    """The task instances of a run, by task."""
    found: dict[str, list[dict]] = {}
    for each in stack.api("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=100)["task_instances"]:
        found.setdefault(each["task_id"], []).append(each)
    return found


def xcom(stack: LocalStack, dag_id: str, run_id: str, task_id: str) -> dict:
    path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
    value = stack.api("GET", path, deserialize=False)["value"]
    return json.loads(value) if isinstance(value, str) else value


def totals(stack: LocalStack, dag_id: str, runs: list[str]) -> Counter[str]:
    """What the summaries of some runs add up to."""
    reports = [xcom(stack, dag_id, run_id, "summary") for run_id in runs]
    return Counter(
        {name: sum(each[name] for each in reports) for name in reports[0] if name not in ("message", "failed")}
    )


def start_anew(stack: LocalStack, sql: psycopg.Connection) -> int:
    """Forget the videos of other tests; returns how many points they have left in the vault."""
    if sql.execute("SELECT to_regclass('watchlist')").fetchone() == (None,):
        return 0
    sql.execute("TRUNCATE watchlist, roster, videos, hunter_watermarks")
    return len(points(stack))


def test_the_whole_way_of_the_data(stack: LocalStack, run: Run, sql: psycopg.Connection) -> None:
    first = start_anew(stack, sql)
    hunt = run("ghost_hunter")
    (found,) = sql.execute("SELECT count(*) FROM watchlist").fetchone()
    assert found > 50
    assert sql.execute("SELECT count(*) FROM videos").fetchone() == (found,)
    assert len(points(stack)) == first + found
    labels = [each["rendered_map_index"] for each in instances(stack, "ghost_hunter", hunt[0])["hunt"]]
    assert labels
    assert all(" new, " in label for label in labels)
    hunters = stack.simulator_control("GET", "journal")["total"]

    make_due(sql)
    time.sleep(1)  # two readings of one second would be one point
    due_since = datetime.now(UTC).replace(microsecond=0)
    track = run("ghost_tracker")
    report = totals(stack, "ghost_tracker", track)
    read = points(stack)
    assert len(read) == first + found + report["tracked"]
    # not of the number of readings: what falls due between two runs is read in both
    assert read[read.timestamp >= due_since].video_id.nunique() + report["missing"] >= found
    labels = [each["rendered_map_index"] for each in instances(stack, "ghost_tracker", track[0])["track"]]
    assert labels
    assert all(" tracked" in label for label in labels)

    run("ghost_janitor")  # the run of the latest slot, which would delete before the dry run looks
    assert sql.execute("SELECT count(*) FROM videos").fetchone() == (found,)
    stack.simulator_control("POST", "origin", {"shift_seconds": -8 * 24 * 3600})
    sql.execute("UPDATE videos SET discovered_at = discovered_at - INTERVAL '8 days'")
    sql.execute("UPDATE watchlist SET anchor_at = anchor_at - INTERVAL '8 days'")
    dry = run("ghost_janitor", {"dry_run": True})
    assert f"would delete the metadata of {found:,}" in xcom(stack, "ghost_janitor", dry[-1], "clean")["message"]
    assert sql.execute("SELECT count(*) FROM videos").fetchone() == (found,)
    run("ghost_janitor")
    assert sql.execute("SELECT count(*) FROM videos").fetchone() == (0,)
    assert sql.execute("SELECT count(*) FROM tracked_videos").fetchone() == (found,)
    assert sql.execute("SELECT sum(videos) FROM roster").fetchone() > (found * 0.8,)

    make_due(sql)
    before = len(points(stack))
    again = totals(stack, "ghost_tracker", run("ghost_tracker"))
    assert len(points(stack)) == before + again["tracked"]
    assert again["tracked"] > found * 0.8

    journal = stack.simulator_control("GET", "journal")
    assert journal["next"] == journal["total"]  # one page has it all
    served = points_of_journal(journal["readings"])
    result = compare(points_of_vault(stack.vault / "metrics"), served)
    trackers = {id(reading) for reading in served[hunters:]}
    assert result.invented == []
    assert [reading for reading in result.lost if id(reading) in trackers] == []
    # as it would be of a summary that asked for the results of its mapped task one by one
    assert "XCom not found" not in (stack.logs_dir / "scheduler.log").read_text()


def test_nothing_due_is_a_success_that_says_so(stack: LocalStack, run: Run, sql: psycopg.Connection) -> None:
    sql.execute("UPDATE watchlist SET next_track_at = now() + INTERVAL '1 hour'")
    sql.execute("UPDATE roster SET next_track_at = now() + INTERVAL '2 hours'")
    run_id = run("ghost_tracker")[-1]
    assert "Nothing is due: the next video is due at" in xcom(stack, "ghost_tracker", run_id, "summary")["message"]
    assert [each["state"] for each in instances(stack, "ghost_tracker", run_id)["track"]] == ["skipped"]


def airflow(stack: LocalStack, *arguments: str) -> str:
    """Airflow's own command line beside the stack."""
    command = [sys.executable, "-m", "airflow", *arguments]
    environment = command_line_environment(stack.state)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def backfill(stack: LocalStack, dag_id: str, start: datetime, end: datetime, *more: str) -> list[dict]:
    """Create a backfill from the command line, wait for it, and give its runs."""
    stack.unpause(dag_id)
    airflow(
        stack,
        "backfill",
        "create",
        "--dag-id",
        dag_id,
        "--from-date",
        start.isoformat(),
        "--to-date",
        end.isoformat(),
        *more,
    )
    eventually(lambda: all(each["completed_at"] for each in backfills(stack, dag_id)), within=180)
    stack.rest(dag_id)
    runs = stack.api("GET", f"dags/{dag_id}/dagRuns", run_type=["backfill"], limit=100)["dag_runs"]
    assert {each["state"] for each in runs} == {"success"}
    return runs


def backfills(stack: LocalStack, dag_id: str) -> list[dict]:
    found = stack.api("GET", "backfills", dag_id=dag_id)["backfills"]
    assert found
    return found


@pytest.fixture
def last_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - HOUR


def test_a_backfill_finds_exactly_what_was_published(
    stack: LocalStack, sql: psycopg.Connection, run: Callable[..., list[str]], last_hour: datetime
) -> None:
    clear_of_the_hour()
    run("ghost_hunter")  # and the run of the latest slot, which would go beside the backfill, and ask the chart
    channels = [each["id"] for each in stack.simulator_control("GET", "sources")["channels"]]
    sources = yaml.safe_dump({"sources": [{"channel": channel} for channel in channels] + [{"chart": "mostPopular"}]})
    stack.api("POST", "variables", {"key": "ghost_sources", "value": sources})
    start = last_hour - 20 * HOUR
    known = {video_id for (video_id,) in sql.execute("SELECT video_id FROM watchlist")}
    sql.execute("TRUNCATE hunter_watermarks")
    runs = backfill(stack, "ghost_hunter", start, start + 2 * HOUR)  # the end date counts: three windows
    assert len(runs) == 3

    def published(after: datetime, before: datetime) -> set[str]:
        videos = stack.simulator_control("GET", "published", after=after.isoformat(), before=before.isoformat())[
            "videos"
        ]
        return {each["id"] for each in videos if each.get("available", True)}

    expected = published(start, start + 3 * HOUR)
    now = {video_id for (video_id,) in sql.execute("SELECT video_id FROM watchlist")}
    # a scheduled run beside the backfill would hunt the hour that has just ended
    of_the_schedule = published(last_hour, last_hour + 3 * HOUR)
    assert now - known - of_the_schedule == expected - known
    assert len(expected) > 50
    assert sql.execute("SELECT count(*) FROM hunter_watermarks").fetchone() == (0,)
    count = len(points(stack))

    backfill(stack, "ghost_hunter", start, start + 2 * HOUR, "--reprocess-behavior", "completed")
    assert {video_id for (video_id,) in sql.execute("SELECT video_id FROM watchlist")} == now
    assert len(points(stack)) == count


def test_a_backfill_of_the_tracker_does_nothing_and_says_why(
    stack: LocalStack, sql: psycopg.Connection, last_hour: datetime
) -> None:
    make_due(sql)
    runs = backfill(stack, "ghost_tracker", last_hour, last_hour + timedelta(minutes=5))
    assert len(runs) == 2
    for each in runs:
        assert "no past counts" in xcom(stack, "ghost_tracker", each["dag_run_id"], "summary")["message"]
        (track,) = instances(stack, "ghost_tracker", each["dag_run_id"])["track"]
        assert track["state"] == "skipped"


def test_a_bad_form_fails_at_once_and_says_why(stack: LocalStack, run: Run) -> None:
    run_id = run("ghost_hunter", {"videos": ["https://example.com/"]}, ends="failed")[-1]
    (plan,) = instances(stack, "ghost_hunter", run_id)["plan"]
    assert plan["try_number"] == 1
    assert stack.task_log("ghost_hunter", run_id, "plan").count("neither a video id nor the URL") == 1


def test_a_name_that_a_form_does_not_have_stops_every_task_that_writes(stack: LocalStack, run: Run) -> None:
    run_id = run("ghost_janitor", {"dryrun": True}, ends="failed")[-1]
    states = {name: each[0]["state"] for name, each in instances(stack, "ghost_janitor", run_id).items()}
    stopped = {name for name, state in states.items() if state == "upstream_failed"}
    assert stopped == {"clean", "move_to_roster", "summary"}
    assert {state for name, state in states.items() if name not in stopped} == {"failed"}
    for name in ("archive", "expire"):
        assert stack.task_log("ghost_janitor", run_id, name).count("did you mean 'dry_run'?") == 1
