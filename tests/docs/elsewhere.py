"""What the documentation tells one to run and these tests do not run: why, and what is checked in its place."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from airflow.sdk import Connection
from psycopg.conninfo import conninfo_to_dict

from docs.world import World
from documentation import ROOT
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.tasks.reconciling import Reconciling

FOUND_BETWEEN = "found-later"
"""A video that was found after the database was backed up, and before the vault was."""


@dataclass(frozen=True)
class Elsewhere:
    """Commands that match `pattern`; `instead` gets the world and the command, and fails where something is wrong."""

    pattern: str
    reason: str
    instead: Callable[[World, str], None]


def elsewhere(command: str) -> Elsewhere | None:
    """The entry for a command; None where it is to be run."""
    return next((each for each in ELSEWHERE if re.match(each.pattern, command)), None)


def _is_a_target(_: World, command: str) -> None:
    (target,) = re.findall(r"\bmake ([a-z-]+)", command)
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def _copies(world: World, command: str) -> None:
    """Copy what rsync would, with it where it is installed."""
    *options, source, target = shlex.split(world.here(command), comments=True)
    assert options == ["rsync", "--archive", "--delete"]
    assert source.endswith("/"), "rsync would copy the folder into the other one"
    if "/backup/" in target:
        _find_a_video(world)
    if shutil.which("rsync"):
        world.shell(command)
        return
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def _find_a_video(world: World) -> None:
    """Do what a run of the hunter does: a first point, a row of the watchlist, the same mark in both."""
    known = conninfo_to_dict(world.stack.ghost_dsn)
    connection = Connection(
        conn_id="ghost_postgres",
        conn_type="postgres",
        host=str(known["host"]),
        login=str(known["user"]),
        schema=str(known["dbname"]),
    )
    now = datetime.now(UTC).replace(microsecond=0)
    vault = ParquetVaultHook(root=world.stack.vault)
    with WatchlistHook(connection=connection) as watchlist:
        vault.append_metrics(
            [{"video_id": FOUND_BETWEEN, "timestamp": now, "views": 1, "published_at": now - timedelta(minutes=9)}]
        )
        watchlist.add_to_watchlist(FOUND_BETWEEN)
        assert Reconciling(watchlist, vault, now).agree()


ELSEWHERE = [
    Elsewhere(
        r"(YOUTUBE_API_KEY=\S+ )?make (run|demo|test|bench|simulate)\b",
        "run by `.ci/run`, or takes an hour; a real key is nobody's here",
        _is_a_target,
    ),
    Elsewhere(r"rsync ", "not installed everywhere: what it would copy is copied", _copies),
]
