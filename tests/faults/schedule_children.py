"""What the other processes of the schedule's fault tests do: a task's real body, up to where it is to be killed.

Each knows its parts as a deployment's tasks do, by Airflow's environment variables. What it reserved and what it
staged goes into a diary that outlives it. This file is also their program, see `fork_server`.
"""

import functools
import http.client
import importlib
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from airflow.sdk.lineage import get_hook_lineage_collector
from googleapiclient.discovery import build

from fork_server import serve
from ghost_tracking.core import roster as roster_core
from ghost_tracking.core.batches import Batch
from ghost_tracking.core.budgets import Bucket, CallBudget
from ghost_tracking.core.pacing import pacific_day
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.policies import EVERY_SLOT
from ghost_tracking.core.tiers import Queue
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.hooks.youtube import YouTubeHook
from ghost_tracking.postgres import lease, quota
from ghost_tracking.postgres import roster as roster_hook
from ghost_tracking.postgres.database import Database
from ghost_tracking.postgres.quota import QuotaLedger
from ghost_tracking.services import planning, roster_moves
from ghost_tracking.settings import Settings, read_settings
from ghost_tracking.tasks import janitor, publishing, tracker
from ghost_tracking.vault.roster_files import ChunkFiles
from ghost_tracking.youtube import transport

KILL = "SIGKILL"
MAKE_DUE = (
    "UPDATE watchlist SET next_track_at = now() - INTERVAL '1 minute' WHERE next_track_at > now()",
    # by whole weeks, so that chunks stay in their hour of the week
    "UPDATE roster SET next_track_at = next_track_at - ceil(extract(epoch FROM next_track_at - now()) / 604800)::int"
    " * INTERVAL '7 days' WHERE next_track_at > now()",
    "UPDATE watchlist SET deferred_until = NULL WHERE deferred_until > now()",
    "UPDATE roster SET deferred_until = NULL WHERE deferred_until > now()",
)

_LOADED_LATE = (
    "pyarrow.pandas_compat",
    "googleapiclient.discovery_cache",
    "encodings.idna",
    "pyarrow.vendored.version",
    "upath.implementations.local",
    *(
        f"ghost_tracking.vault.{name}"
        for name in ("availability", "publishing", "roster_files", "roster_memory", "scan")
    ),
)
_LOCKING = {
    "reschedule",
    "roster_reschedule",
    *(
        "due_of_tier",
        "due_of_tier_above",
        "roster_due",
        "roster_enter_hour",
        "roster_lock_hour",
        "quota_lock",
        "roster_take",
    ),
    "insert_watchlist",
}

Where = dict[str, Any]
"""The parts of a test as JSON: `environment` of its processes, `diary`, `vault` (its identity), `dsn`,
`batch_seconds` of a batch's calls, `idle_seconds` after which PostgreSQL ends a claim, and `chunk_size`: so many videos
fill a chunk, and half as many make it underfilled."""


class Diary:
    """What processes of a test have done, a line of JSON each, whatever becomes of them."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, **line: Any) -> None:
        os.write(self._descriptor, (json.dumps({"pid": os.getpid()} | line) + "\n").encode())


class Steps:
    """Ends or stops this process right before the step with this number, or name."""

    def __init__(self, at: int | str | None, sent: str) -> None:
        self.names: list[str] = []
        self._at = at
        self._signal = signal.Signals[sent]

    def reach(self, name: str) -> None:
        self.names.append(name)
        if self._at in (len(self.names), name):
            self._at = None  # once
            os.kill(os.getpid(), self._signal)


def before(steps: Steps, cls: type, method: str, name: Callable[..., str | None]) -> None:
    """Take a step before each call of a method, called by what `name` makes of the arguments (None: no step)."""
    real = getattr(cls, method)

    @functools.wraps(real)
    def stepped(self: Any, *arguments: Any, **named: Any) -> Any:
        if step := name(*arguments):
            steps.reach(step)
        return real(self, *arguments, **named)

    setattr(cls, method, stepped)


def _stepping(steps: Steps) -> None:
    """Take a step before everything that others can see or wait for."""
    before(steps, Database, "change", lambda query: query)
    before(steps, Database, "run", lambda query: query if query in _LOCKING else None)
    for cls, methods in (
        (YouTubeHook, ["statistics"]),
        (ParquetVaultHook, ["stage", "stage_availability", "set_sync_token"]),
        (ChunkFiles, ["write", "remember", "carry", "delete"]),
    ):
        for method in methods:
            before(steps, cls, method, lambda *_, method=method: method)
    real = Database.transaction

    @contextmanager
    def transaction(self: Database) -> Iterator[None]:
        outermost = not self._depth
        with real(self):
            yield
            if outermost:
                # what is counted of coverage goes with what it is counted of
                last = next((name for name in reversed(steps.names) if "coverage" not in name), "nothing")
                steps.reach(f"commit of {last}")

    Database.transaction = transaction  # type: ignore[method-assign]


def _keeping(diary: Diary) -> None:
    """Note what is reserved, given back and staged, and what is paid for a connection that was no more."""
    request, answer = transport._PaidConnection.request, transport._PaidConnection.getresponse
    reserve, release, stage = QuotaLedger.reserve, QuotaLedger.release, ParquetVaultHook.stage

    def reserving(self: QuotaLedger, bucket: Bucket, calls: int, **named: Any) -> int:
        # shortly before midnight it is put down for the next day as well
        days = 2 if pacific_day(datetime.now(UTC)).remaining < quota.LONGEST_TASK else 1
        diary.write(reserving=bucket, calls=calls * days)
        return reserve(self, bucket, calls, **named)

    def releasing(self: QuotaLedger, budget: CallBudget, **named: Any) -> None:
        reserved_on = [day for grants in self._last_grants.values() for day in grants]
        # what was reserved before midnight and released after it is put down for both days
        twice = any(day < datetime.now(ZoneInfo("America/Los_Angeles")).date() for day in reserved_on)
        try:
            release(self, budget, **named)
        except BaseException:
            diary.write(released=False, emptied=list(Bucket))
            raise
        diary.write(released=True, emptied=list(Bucket) if twice else sorted(budget.exhausted))

    def staging(self: ParquetVaultHook, points: Sequence[MetricPoint]) -> Any:
        staged = stage(self, points)
        diary.write(staged=[(point.video_id, point.timestamp.isoformat()) for point in points])
        return staged

    def sending(self: Any, *arguments: Any, **options: Any) -> None:
        self.is_kept = self.sock is not None
        with _noting_stale(self):
            request(self, *arguments, **options)

    def answered(self: Any) -> Any:
        with _noting_stale(self):
            return answer(self)

    @contextmanager
    def _noting_stale(connection: Any) -> Iterator[None]:
        """A request over a connection that the server has closed meanwhile is paid for and may never be seen."""
        try:
            yield
        except (ConnectionError, http.client.RemoteDisconnected):
            if connection.is_kept:
                diary.write(stale=1)
            raise

    transport._PaidConnection.request = sending  # type: ignore[method-assign]
    transport._PaidConnection.getresponse = answered  # type: ignore[method-assign]
    QuotaLedger.reserve = reserving  # type: ignore[method-assign]
    QuotaLedger.release = releasing  # type: ignore[method-assign]
    ParquetVaultHook.stage = staging  # type: ignore[method-assign]


def enter(where: Where, at: int | str | None, sent: str) -> Steps:
    """Become one of a test's processes."""
    os.environ.update(where["environment"])
    roster_core.CHUNK_SIZE = roster_hook.CHUNK_SIZE = planning.CHUNK_SIZE = where["chunk_size"]  # type: ignore[misc]
    roster_core.UNDERFILLED = where["chunk_size"] // 2  # type: ignore[misc]
    roster_core.MOST_PASSED_OVER = where["chunk_size"] // 5  # type: ignore[misc]
    idle, deadline = where["idle_seconds"], where["batch_seconds"]
    lease.MARGIN_AFTER_DEADLINE = timedelta(seconds=idle - deadline)
    roster_moves._LONGEST_TRANSACTION = quota.LONGEST_RESERVATION = timedelta(seconds=idle)  # type: ignore[misc]
    steps = Steps(at, sent)
    _keeping(Diary(where["diary"]))
    _stepping(steps)
    return steps


def warm_up() -> None:
    """Let the parent of all children load what each of them would load anew."""
    pids_only = os.dup(1)
    os.dup2(2, 1)
    os.environ["AIRFLOW_VAR_GHOST_SETTINGS"] = Settings().model_dump_json()
    read_settings()
    for module in _LOADED_LATE:
        importlib.import_module(module)
    get_hook_lineage_collector()
    build("youtube", "v3", developerKey="none", static_discovery=True, cache_discovery=False).close()
    os.dup2(pids_only, 1)


def track(
    where: Where,
    queue: str,
    limit: int = 1_000,
    *,
    strict: bool = False,
    plan: dict[str, Any] | None = None,
    at: int | str | None = None,
    sent: str = KILL,
) -> dict[str, Any]:
    """A mapped task of the tracker; `plan`: every slot where it is None."""
    batch = Batch(Queue(queue), limit, strict).as_dict() | {"plan": plan or EVERY_SLOT.as_dict()}
    batch |= {"vault": where["vault"], "manual": False}
    return _done(enter(where, at, sent), lambda: tracker.track(batch, lambda _: None))


def audit(
    where: Where, picks: list[dict[str, Any]], plan: dict[str, Any], at: int | str | None = None, sent: str = KILL
) -> dict[str, Any]:
    """A mapped task of the tracker that audits videos."""
    batch = {"audits": picks, "plan": plan, "vault": where["vault"], "manual": False}
    return _done(enter(where, at, sent), lambda: tracker.track(batch, lambda _: None))


def move_to_roster(where: Where, at: int | str | None = None, sent: str = KILL) -> dict[str, Any]:
    """The janitor's moves to the roster, merging and sweeping."""
    return _done(enter(where, at, sent), lambda: janitor.move_to_roster(dry_run=False, vault=where["vault"]))


def add(where: Where, ids: list[str], at: int | str | None = None, sent: str = KILL) -> dict[str, Any]:
    """Somebody adds videos by hand; those that were `new`."""

    def manual() -> dict[str, Any]:
        with WatchlistHook() as watchlist:
            return {"new": watchlist.add_to_watchlist(ids)}

    return _done(enter(where, at, sent), manual)


def _done(steps: Steps, body: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The report of a task, the names of its `steps`, and its `error` if it had one."""
    try:
        report = body()
    except Exception as error:  # noqa: BLE001 - the test looks at it
        report = {"error": f"{type(error).__name__}: {error}"}
    return report | {"steps": steps.names}


def run_everything(where: Where) -> dict[str, Any]:
    """A run of the tracker for which everything is due, and one of the janitor, undisturbed."""
    enter(where, None, KILL)
    with psycopg.connect(where["dsn"], autocommit=True) as session:
        for statement in MAKE_DUE:
            session.execute(statement)
    planned = tracker.plan("scheduled")
    reports = [tracker.track(batch, lambda _: None) for batch in planned["batches"]]
    published = publishing.publish()
    moved = janitor.move_to_roster(dry_run=False, vault=where["vault"])
    return {"tracked": reports, "published": published, "moved": moved}


WORK: dict[str, Callable[..., Any]] = {
    each.__name__: each for each in (track, audit, move_to_roster, add, run_everything)
}

if __name__ == "__main__":
    warm_up()
    serve(WORK)
