"""What runs leave behind in Airflow's own database and in its log folder, and what `airflow db clean` leaves of it.

Sizes are those of tables that `VACUUM FULL` has just rewritten, indexes included: what rows take, and not the room
that a running Airflow keeps free in between.
"""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from benchmarks.figures import figure
from benchmarks.parts import folder
from benchmarks.screen import Screen, Tell
from local_stack.airflow_config import command_line_environment
from local_stack.stack import LocalStack

DAGS = ("ghost_hunter", "ghost_tracker", "ghost_janitor")
RUN_SECONDS = 180.0
A_DAY = {"ghost_tracker": 288, "ghost_hunter": 24, "ghost_janitor": 1}
QUIET_SECONDS = 90.0
LEAST_BYTES = 20
"""A table that grows by less a run is not shown."""

_TABLES = """
    SELECT relname, pg_total_relation_size(oid) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
_PARKED = "UPDATE watchlist SET next_track_at = now() + INTERVAL '1 day'"
_A_BATCH_OF_EACH_TIER = """
    UPDATE watchlist SET next_track_at = now() - INTERVAL '1 minute',
        tracking_tier = (ARRAY['HOURLY', 'DAILY', 'WEEKLY'])[1 + mod(abs(hashtext(video_id)), 3)]
"""


@dataclass(frozen=True)
class _Kind:
    """Some runs of one kind, one after the other; `prepare` is SQL for the ghost database before each."""

    name: str
    dag_id: str
    runs: int
    prepare: str | None = None


KINDS = (
    _Kind("hunter", "ghost_hunter", 5),
    _Kind("tracker, nothing due", "ghost_tracker", 33, _PARKED),
    _Kind("tracker, a batch of each tier", "ghost_tracker", 10, _A_BATCH_OF_EACH_TIER),
    _Kind("janitor", "ghost_janitor", 3),
)


@dataclass
class _Sizes:
    """Bytes and rows by table; bytes and number of log files by the folder they lie in."""

    bytes: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    log_bytes: Counter[str] = field(default_factory=Counter)
    log_files: Counter[str] = field(default_factory=Counter)


def bench(screen: Screen) -> None:
    """Run each kind of run, and compare the sizes before and after."""
    with (
        folder() as place,
        screen.busy("metadata") as tell,
        LocalStack(place / "stack", seed=7, report=tell) as stack,
    ):
        stack.wait_for_dags(DAGS)
        for dag_id in DAGS:  # the runs that unpausing owes, which set everything up
            stack.wait_for_run(dag_id, stack.run_soon(dag_id), timeout=RUN_SECONDS)
            stack.rest(dag_id)
        begun = datetime.now(UTC)
        grown = {kind: _grown(stack, kind, tell) for kind in KINDS}
        hours = (datetime.now(UTC) - begun).total_seconds() / 3600
        _print_growth(screen, grown, hours)
        before = _sizes(stack)
        tell("airflow db clean")
        _clean(stack)
        after = _sizes(stack)
        _print_cleaning(screen, before, after)
        _run(stack, KINDS[1])  # goes on


def _grown(stack: LocalStack, kind: _Kind, tell: Tell) -> _Sizes:
    with _unpaused(stack, kind.dag_id):
        before = _sizes(stack)
        for number in range(kind.runs):
            tell(f"{kind.name}: run {number + 1} of {kind.runs}")
            _run(stack, kind)
        after = _sizes(stack)
    for name in ("bytes", "rows", "log_bytes", "log_files"):
        getattr(after, name).subtract(getattr(before, name))
    return after


@contextmanager
def _unpaused(stack: LocalStack, dag_id: str) -> Iterator[None]:
    stack.unpause(dag_id)
    try:
        yield
    finally:
        stack.rest(dag_id)


def _run(stack: LocalStack, kind: _Kind) -> None:
    """One run to its end."""
    if kind.prepare:
        with psycopg.connect(stack.ghost_dsn) as session:
            session.execute(kind.prepare.encode())
    stack.unpause(kind.dag_id)
    run_id = stack.trigger(kind.dag_id)
    if (state := stack.wait_for_run(kind.dag_id, run_id, timeout=RUN_SECONDS)) != "success":
        raise RuntimeError(f"run {run_id} {state}:\n{stack.explain(kind.dag_id, run_id)}")


def _sizes(stack: LocalStack) -> _Sizes:
    """Sizes now; without the audit rows of triggering, which scheduled runs do not have."""
    sizes = _Sizes()
    with psycopg.connect(stack.airflow_dsn, autocommit=True, row_factory=tuple_row) as session:
        session.execute("DELETE FROM log WHERE event IN ('trigger_dag_run', 'patch_dag', 'post_dag_run')")
        session.execute("VACUUM FULL")
        for table, size in session.execute(_TABLES).fetchall():
            count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
            sizes.bytes[table], sizes.rows[table] = size, session.execute(count).fetchall()[0][0]
    logs = stack.state.airflow_home / "logs"
    for file in logs.rglob("*"):
        if file.is_file() and not file.is_symlink():
            top = file.relative_to(logs).parts[0]
            sizes.log_bytes[top] += file.stat().st_size
            sizes.log_files[top] += 1
    return sizes


def _clean(stack: LocalStack) -> None:
    """Clean up to a moment that lies before everything that lives was last heard of.

    DAGs that were not read since then would be deleted too, and so would a scheduler's own row, which ends it.
    """
    time.sleep(QUIET_SECONDS)
    before = (datetime.now(UTC) - timedelta(seconds=QUIET_SECONDS - 5)).isoformat(timespec="seconds")
    command = [sys.executable, "-m", "airflow", "db", "clean", "--clean-before-timestamp", before]
    subprocess.run(
        [*command, "--skip-archive", "--yes", "--error-on-cleanup-failure"],
        env=command_line_environment(stack.state),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )


def _print_growth(screen: Screen, grown: dict[_Kind, _Sizes], hours: float) -> None:
    tables = {table for sizes in grown.values() for table in sizes.bytes if _bytes(sizes, table) > LEAST_BYTES}
    largest = sorted(tables, key=lambda table: -max(_bytes(sizes, table) for sizes in grown.values()))
    rows = [[table, *(_cell(sizes, table) for sizes in grown.values())] for table in largest]
    totals: list[tuple[str, Callable[[_Kind, _Sizes], float]]] = [
        ("all tables, bytes", lambda _, sizes: sum(sizes.bytes.values()) / _runs(sizes)),
        ("task logs, bytes", lambda kind, sizes: sizes.log_bytes[f"dag_id={kind.dag_id}"] / _runs(sizes)),
        ("task logs, files", lambda kind, sizes: sizes.log_files[f"dag_id={kind.dag_id}"] / _runs(sizes)),
    ]
    rows += [[name, *(figure(value(kind, sizes)) for kind, sizes in grown.items())] for name, value in totals]
    screen.table(["a run: bytes (rows)", *(kind.name for kind in grown)], rows)
    other = Counter[str]()
    for sizes in grown.values():
        other.update({name: size for name, size in sizes.log_bytes.items() if not name.startswith("dag_id=")})
    screen.note(
        f"other logs, in {60 * hours:.0f} minutes: " + (", ".join(f"{n} {s:,} B" for n, s in other.items()) or "none")
    )
    for name in ("nothing due", "a batch of each tier"):
        a_day = Counter[str]()
        for kind, sizes in grown.items():
            if kind.dag_id == "ghost_tracker" and name not in kind.name:
                continue
            runs = A_DAY[kind.dag_id] / _runs(sizes)
            a_day["tables"] += round(sum(sizes.bytes.values()) * runs)
            a_day["logs"] += round(sizes.log_bytes[f"dag_id={kind.dag_id}"] * runs)
            a_day["files"] += round(sizes.log_files[f"dag_id={kind.dag_id}"] * runs)
        screen.note(
            f"a day with {name}: {a_day['tables'] / 1e6:.1f} MB of tables, "
            f"{a_day['logs'] / 1e6:.1f} MB of task logs in {a_day['files']:,} files"
        )


def _runs(sizes: _Sizes) -> int:
    """How many runs there were: those that were triggered, and scheduled ones that came in between."""
    return sizes.rows["dag_run"]


def _bytes(sizes: _Sizes, table: str) -> float:
    return sizes.bytes[table] / _runs(sizes)


def _cell(sizes: _Sizes, table: str) -> str:
    return f"{figure(_bytes(sizes, table))} ({figure(sizes.rows[table] / _runs(sizes))})"


def _print_cleaning(screen: Screen, before: _Sizes, after: _Sizes) -> None:
    grew = [table for table, rows in before.rows.most_common() if rows > 30 or after.rows[table] != rows]
    rows = [[table, f"{before.rows[table]:,}", f"{after.rows[table]:,}", f"{after.bytes[table]:,}"] for table in grew]
    total = f"{sum(before.rows.values()):,}", f"{sum(after.rows.values()):,}", f"{sum(after.bytes.values()):,}"
    screen.table(["airflow db clean", "rows before", "rows after", "bytes after"], [*rows, ["all tables", *total]])
    screen.note(f"all tables took {sum(before.bytes.values()):,} bytes before")
