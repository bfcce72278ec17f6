"""What the other processes of discovery's fault tests do: a whole run of a DAG, up to where it is to be killed.

A run does what its DAG has wired, one task after the other in one process; what a task raises makes the run red and
stops what Airflow would not start then. Its clock is the one that the test turns, and may be wrong by some `skew`.
This file is also their program, see `fork_server`.
"""

import http.client
import importlib
import json
import logging
import pkgutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from faults import schedule_children
from faults.schedule_children import KILL, Steps, Where, before, enter
from fork_server import serve
from ghost_tracking import core, tasks, vault
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.youtube import YouTubeHook
from ghost_tracking.tasks import hunter, janitor, publishing, tracker
from ghost_tracking.vault.import_queue import ImportQueue
from ghost_tracking.youtube import calls
from shifted_clock import SharedShift, install

PAUSE = 0.02
"""Seconds at most before a call is tried again: what fails here fails as often as it was told to, not for a while."""

Interval = tuple[str | None, str | None]

_STEPS: dict[type, tuple[str, ...]] = {
    YouTubeHook: ("upload_pages", "playlist_pages", "search_page", "chart_pages", "metadata"),
    ParquetVaultHook: (
        "stage_discoveries",
        "stage_videos",
        "archive_videos",
        "publish_availability",
        "publish_discoveries",
        "publish",
        "seal",
        "compact",
    ),
    ImportQueue: ("submit", "waiting", "mark_imported"),
}


class Run:
    """A run under way: what its tasks reported, and why those failed that did."""

    def __init__(self, steps: Steps) -> None:
        self.reports: dict[str, Any] = {}
        self.errors: dict[str, str] = {}
        self._steps = steps

    def task(self, name: str, body: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Run a task's body; None where it fails."""
        try:
            self.reports[name] = body(*arguments, **named)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.errors[name] = f"{type(error).__name__}: {error}"
        return self.reports.get(name)

    def over(self, **more: Any) -> dict[str, Any]:
        """What the test learns; `errors` by the name of the task, none in a green run."""
        messages = [each["message"] for each in self.reports.values() if isinstance(each, dict) and "message" in each]
        return {"errors": self.errors, "messages": messages, "steps": len(self._steps.names), **more}


def _enter(where: Where, at: int | None, sent: str, skew: float) -> Run:
    shared = SharedShift(Path(where["clock"]))
    install(lambda: shared.seconds + skew)
    logging.disable(logging.WARNING)
    calls._LONGEST_WAIT = PAUSE
    steps = enter(where, at, sent)
    for cls, methods in _STEPS.items():
        for method in methods:
            before(steps, cls, method, lambda *_, method=method: method)
    return Run(steps)


def hunt(
    where: Where,
    run_type: str,
    interval: Interval,
    form: Mapping[str, Any],
    at: int | None = None,
    sent: str = KILL,
    skew: float = 0.0,
) -> dict[str, Any]:
    """A run of the hunter; `named`: from which to which running number listings named ids meanwhile."""
    run = _enter(where, at, sent, skew)
    first = _named_total(where)
    window = tuple(datetime.fromisoformat(moment) if moment else None for moment in interval)
    planned = run.task("plan", hunter.plan, run_type, window, form)
    if planned is not None:
        batches = enumerate(planned["batches"])
        hunted = [
            run.task(f"hunt {number}", hunter.hunt, batch, run_type, window, form, lambda _: None)
            for number, batch in batches
        ]
        imported = run.task("import_lists", hunter.import_lists, run_type, planned["vault"])
        run.task("publish", publishing.publish, discoveries=True)
        if not run.errors:
            run.task("summary", hunter.summary, planned["why"], hunted, imported)
    return run.over(named=[first, _named_total(where)], left=_left(run.reports))


def _left(reports: Mapping[str, Any]) -> int:
    """How many sources failed in part or in whole: a run that says so may not have read all that was named to it."""
    hunted = [report for name, report in reports.items() if name.startswith("hunt")]
    return sum(report["failed_count"] for report in hunted)


def track(
    where: Where, form: Mapping[str, Any], at: int | None = None, sent: str = KILL, skew: float = 0.0
) -> dict[str, Any]:
    """A run of the tracker."""
    run = _enter(where, at, sent, skew)
    planned = run.task("plan", tracker.plan, "manual" if form else "scheduled", form)
    if planned is not None:
        batches = enumerate(planned["batches"])
        tracked = [run.task(f"track {number}", tracker.track, batch, lambda _: None, form) for number, batch in batches]
        run.task("publish", publishing.publish)
        if not run.errors:
            run.task("summary", tracker.summary, planned["why"], tracked)
    return run.over()


def clean(where: Where, at: int | None = None, sent: str = KILL, skew: float = 0.0) -> dict[str, Any]:
    """A run of the janitor."""
    run = _enter(where, at, sent, skew)
    archived = run.task("archive", janitor.archive, dry_run=False)
    if archived is not None:
        run.task("clean", janitor.clean, dry_run=False, retention_days=None, vault=archived["vault"])
        run.task("move_to_roster", janitor.move_to_roster, dry_run=False, vault=archived["vault"])
    for name in ("seal", "compact", "expire"):
        run.task(name, getattr(janitor, name), dry_run=False)
    run.task("check", janitor.check, dry_run=False, what="recent")
    if not run.errors:
        run.task("summary", janitor.summary, *run.reports.values())
    return run.over()


def _named_total(where: Where) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", where["youtube_port"], timeout=30)
    try:
        connection.request("GET", "/_control/state")
        return int(json.load(connection.getresponse())["named"])
    finally:
        connection.close()


def warm_up() -> None:
    """Let the parent of all children load what each of them would load anew."""
    for package in (core, tasks, vault):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".storage." not in module.name:  # it may need what is not installed
                importlib.import_module(module.name)
    schedule_children.warm_up()


WORK: dict[str, Callable[..., Any]] = {each.__name__: each for each in (hunt, track, clean)}

if __name__ == "__main__":
    warm_up()
    serve(WORK)
