"""Processes killed between the vault write and the commit: nothing is lost, nothing stays locked.

A trigger in the database holds the tracker's child exactly there: its points are staged, its schedule is not written.
"""

import os
import signal
from collections.abc import Callable, Iterator
from datetime import datetime

import pandas as pd
import psutil
import psycopg
import pytest

from connections import eventually, make_due
from ghost_tracking.hooks.vault import ParquetVaultHook
from local_stack.stack import LocalStack

pytestmark = pytest.mark.faults

GATE = 4242
TRACKER = "ghost_tracker"


@pytest.fixture
def sql(stack: LocalStack) -> Iterator[psycopg.Connection]:
    """A session on the ghost database."""
    with psycopg.connect(stack.ghost_dsn, autocommit=True) as session:
        yield session


@pytest.fixture
def watched(stack: LocalStack, run: Callable[..., list[str]], sql: psycopg.Connection) -> list[str]:
    """Videos on the watchlist, all due, and no other run about to take them."""
    if sql.execute("SELECT to_regclass('watchlist')").fetchone() == (None,) or not rows(sql):
        run("ghost_hunter")
    sql.execute("DELETE FROM watchlist WHERE video_id NOT IN (SELECT video_id FROM watchlist LIMIT 60)")
    sql.execute("UPDATE watchlist SET next_track_at = now() + INTERVAL '1 day', tracking_tier = 'HOURLY'")
    run(TRACKER)  # the run of the latest slot is over now
    make_due(sql)
    return [video_id for (video_id,) in sql.execute("SELECT video_id FROM watchlist")]


def rows(sql: psycopg.Connection) -> int:
    return sql.execute("SELECT count(*) FROM watchlist").fetchone()[0]


@pytest.fixture
def gate(stack: LocalStack, watched: list[str]) -> Iterator[psycopg.Connection]:
    """Holds whoever writes the schedule, until the session that it gives unlocks the gate."""
    with psycopg.connect(stack.ghost_dsn, autocommit=True) as keeper:
        keeper.execute(
            f"CREATE OR REPLACE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NULL; END $$"
        )
        keeper.execute("DROP TRIGGER IF EXISTS gate ON watchlist")
        keeper.execute(
            "CREATE TRIGGER gate BEFORE UPDATE ON watchlist FOR EACH STATEMENT EXECUTE FUNCTION wait_at_gate()"
        )
        keeper.execute("SELECT pg_advisory_lock(%s)", (GATE,))
        yield keeper
        keeper.execute("SELECT pg_advisory_unlock_all()")
        keeper.execute("DROP TRIGGER IF EXISTS gate ON watchlist")


def at_the_gate(sql: psycopg.Connection) -> int:
    """How many backends wait at the gate."""
    return sql.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted", (GATE,)
    ).fetchone()[0]


def task_processes(stack: LocalStack) -> tuple[psutil.Process, psutil.Process]:
    """The supervisor and the child of the one task that runs."""
    scheduler = psutil.Process(stack.processes["scheduler"].pid)
    workers = scheduler.children()
    # One that has ended stays a zombie until its worker looks. One that a form with a huge number was for waits for
    # ever: Airflow's supervisor could not tell it what to do, and left it behind.
    living = [each for worker in workers for each in worker.children() if each.status() != psutil.STATUS_ZOMBIE]
    child = max(living, key=psutil.Process.create_time)
    return psutil.Process(child.ppid()), child


def still_locked(sql: psycopg.Connection) -> int:
    """Rows of the watchlist that a transaction holds."""
    free = sql.execute("SELECT count(*) FROM (SELECT 1 FROM watchlist FOR UPDATE SKIP LOCKED) AS free").fetchone()[0]
    return rows(sql) - free


def vault_points(stack: LocalStack, since: datetime) -> pd.DataFrame:
    frame = pd.read_parquet(stack.vault / "metrics")
    assert not frame.duplicated(["video_id", "timestamp"]).any()
    return frame[frame["timestamp"] >= since]


@pytest.mark.parametrize("victims", [("child",), ("supervisor",), ("supervisor", "child")], ids="+".join)
def test_killed_between_the_vault_and_the_commit(
    stack: LocalStack, sql: psycopg.Connection, gate: psycopg.Connection, watched: list[str], victims: tuple[str, ...]
) -> None:
    (since,) = sql.execute("SELECT date_trunc('second', now())").fetchone()
    staged_before = set((stack.vault / "_staging" / "parts").rglob("*.part"))
    stack.unpause(TRACKER)
    stack.trigger(TRACKER)
    eventually(lambda: at_the_gate(sql) == 1, within=60)
    supervisor, child = task_processes(stack)
    assert still_locked(sql) == len(watched)
    assert set((stack.vault / "_staging" / "parts").rglob("*.part")) - staged_before, "the points are staged"

    for victim in victims:
        os.kill({"supervisor": supervisor, "child": child}[victim].pid, signal.SIGKILL)
    orphaned = victims == ("supervisor",)
    if orphaned:
        # an orphan keeps its locks, so nobody tracks its videos a second time
        assert child.is_running()
        assert still_locked(sql) == len(watched)
    gate.execute("SELECT pg_advisory_unlock(%s)", (GATE,))
    eventually(lambda: still_locked(sql) == 0, within=15)
    stack.rest(TRACKER)
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, within=30)

    # since the test began: the next slot of a video may come while it lasts
    due = sql.execute("SELECT count(*) FROM watchlist WHERE next_track_at <= %s", [since]).fetchone()[0]
    published = vault_points(stack, since)
    observed = set(published["video_id"])
    missing = {row[0] for row in sql.execute("SELECT video_id FROM watchlist WHERE first_missed_at IS NOT NULL")}
    assert observed | missing == set(watched), "what was staged before the kill is published"
    if not orphaned and due:
        # the schedule was not written: everything is due, and observed a second time by the next run
        assert due == len(watched)
    if orphaned:
        assert due == 0, "the orphan's late write stands"


def test_two_runs_after_the_kills_leave_nothing_due_and_nothing_staged_twice(
    stack: LocalStack, run: Callable[..., list[str]], sql: psycopg.Connection, watched: list[str]
) -> None:
    (since,) = sql.execute("SELECT now()").fetchone()
    run(TRACKER)
    assert sql.execute("SELECT count(*) FROM watchlist WHERE next_track_at <= %s", [since]).fetchone() == (0,)
    health = ParquetVaultHook(root=stack.vault).health_check()
    assert health["unreadable"] == []
