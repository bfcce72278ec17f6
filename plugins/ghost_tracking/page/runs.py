"""What Airflow itself knows of the three DAGs: paused or not, and their last runs. For the API server's process.

`dags` alone reads Airflow's tables, through its ORM, which is not public: some ten small queries, where its REST
API would take 26 calls. See docs/decisions/2026-11-30-runs-through-the-orm.md.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ghost_tracking.page.responses import Failure

HUNTER, TRACKER, JANITOR = DAGS = ("ghost_hunter", "ghost_tracker", "ghost_janitor")
RUNS_SHOWN: Final = 6
_SUMMARY_TASKS: Final = ("summary", "clean")
"""Tasks whose result has a `message`."""
_ASKED_FOR: Final = {"manual", "backfill"}
"""Kinds of runs that somebody asked for, with a form that may have had a slip in it."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a DAG; times are aware. `message`: what it says it did; `failure`: its first task that failed."""

    run_id: str
    state: str
    kind: str
    run_after: datetime
    started_at: datetime | None
    ended_at: datetime | None
    message: str | None = None
    failure: Failure | None = None

    @property
    def is_scheduled(self) -> bool:
        return self.kind not in _ASKED_FOR


@dataclass(frozen=True, slots=True)
class Dag:
    """A DAG as Airflow knows it (`is_known`), and its last runs, newest first; with them the newest by schedule.

    `is_shown`: whether who asks may read its runs. Of one whose runs he may not read nothing is said.
    """

    dag_id: str
    is_known: bool
    is_paused: bool
    runs: tuple[Run, ...] = ()
    is_shown: bool = True

    @property
    def last_success(self) -> Run | None:
        """The newest run that did its work."""
        return next((run for run in self.runs if run.state == "success"), None)

    @property
    def failed(self) -> Run | None:
        """The newest run by schedule, where it failed and none has succeeded since. Of a run that somebody asked for,
        with a form, a failure says nothing of the next one.
        """
        told = (run for run in self.runs if run.state == "success" or (run.state == "failed" and run.is_scheduled))
        newest = next(told, None)
        return newest if newest is not None and newest.state == "failed" else None


def dags(readable: Collection[str]) -> dict[str, Dag]:
    """The three DAGs, also those that Airflow does not know, and those that are not among the `readable` ones."""
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        paused = {
            dag_id: is_paused
            for dag_id, is_paused, is_stale in session.execute(
                select(DagModel.dag_id, DagModel.is_paused, DagModel.is_stale).where(DagModel.dag_id.in_(readable))
            )
            if not is_stale
        }
        rows: list[Any] = []
        for dag_id in paused:
            newest = select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.run_after.desc())
            shown = session.scalars(newest.limit(RUNS_SHOWN)).all()
            ended = newest.where(DagRun.state.in_(["success", "failed"]), DagRun.run_type.not_in(_ASKED_FOR))
            rows += [*shown, *(row for row in session.scalars(ended.limit(1)) if row not in shown)]
        told = session.execute(
            select(XComModel.dag_run_id, XComModel.value).where(
                XComModel.dag_run_id.in_([row.id for row in rows]),
                XComModel.task_id.in_(_SUMMARY_TASKS),
                XComModel.map_index == -1,
                XComModel.key == "return_value",
            )
        ).all()
        messages = {run: message for run, value in told if (message := _message(value))}
        failed = session.execute(
            select(
                TaskInstance.dag_id,
                TaskInstance.run_id,
                TaskInstance.task_id,
                TaskInstance.map_index,
                TaskInstance.try_number,
            )
            .where(
                TaskInstance.dag_id.in_(paused),
                TaskInstance.run_id.in_([row.run_id for row in rows if row.state == "failed"]),
                TaskInstance.state == "failed",
            )
            .order_by(TaskInstance.end_date.desc())
        ).all()
        failures = {(row.dag_id, row.run_id): Failure(row.task_id, row.map_index, row.try_number) for row in failed}
        return {
            dag_id: _dag(dag_id, paused, rows, messages, failures)
            if dag_id in readable
            else Dag(dag_id, is_known=True, is_paused=False, is_shown=False)
            for dag_id in DAGS
        }


def _dag(
    dag_id: str,
    paused: dict[str, bool],
    rows: Iterable[Any],
    messages: dict[int, str],
    failures: dict[tuple[str, str], Failure],
) -> Dag:
    runs = tuple(
        Run(
            run_id=row.run_id,
            state=str(getattr(row.state, "value", row.state)),
            kind=str(getattr(row.run_type, "value", row.run_type)),
            run_after=row.run_after,
            started_at=row.start_date,
            ended_at=row.end_date,
            message=messages.get(row.id),
            failure=failures.get((row.dag_id, row.run_id)),
        )
        for row in rows
        if row.dag_id == dag_id
    )
    return Dag(dag_id, dag_id in paused, paused.get(dag_id, False), runs)


def _message(value: Any) -> str | None:
    """The message in a task's result, which is JSON, or text of it."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return None
    message = found.get("message") if isinstance(found, dict) else None
    return message if isinstance(message, str) else None
