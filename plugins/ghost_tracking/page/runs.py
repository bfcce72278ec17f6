"""What Airflow itself knows of the three DAGs: paused or not, and their last runs. For the API server's process."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

HUNTER, TRACKER, JANITOR = DAGS = ("ghost_hunter", "ghost_tracker", "ghost_janitor")
RUNS_SHOWN: Final = 6
_TELLING_TASKS: Final = ("verdict", "clean")
"""Tasks whose result has a `message`."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a DAG; times are aware. `message`: what it says it did."""

    run_id: str
    state: str
    kind: str
    run_after: datetime
    started_at: datetime | None
    ended_at: datetime | None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Dag:
    """A DAG as Airflow knows it (`is_known`), and its last runs, the newest first."""

    dag_id: str
    is_known: bool
    is_paused: bool
    runs: tuple[Run, ...] = ()

    @property
    def last_ended(self) -> Run | None:
        """The newest run that has come to an end."""
        return next((run for run in self.runs if run.state in {"success", "failed"}), None)


def dags() -> dict[str, Dag]:
    """The three DAGs, also those that Airflow does not know."""
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        paused = {
            dag_id: is_paused
            for dag_id, is_paused, is_stale in session.execute(
                select(DagModel.dag_id, DagModel.is_paused, DagModel.is_stale).where(DagModel.dag_id.in_(DAGS))
            )
            if not is_stale
        }
        rows: list[Any] = []
        for dag_id in paused:
            newest = select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.run_after.desc()).limit(RUNS_SHOWN)
            rows += session.scalars(newest)
        told = session.execute(
            select(XComModel.dag_run_id, XComModel.value).where(
                XComModel.dag_run_id.in_([row.id for row in rows]),
                XComModel.task_id.in_(_TELLING_TASKS),
                XComModel.map_index == -1,
                XComModel.key == "return_value",
            )
        ).all()
        messages = {run: message for run, value in told if (message := _message(value))}
        return {dag_id: _dag(dag_id, paused, rows, messages) for dag_id in DAGS}


def _dag(dag_id: str, paused: dict[str, bool], rows: Iterable[Any], messages: dict[int, str]) -> Dag:
    runs = tuple(
        Run(
            run_id=row.run_id,
            state=str(getattr(row.state, "value", row.state)),
            kind=str(getattr(row.run_type, "value", row.run_type)),
            run_after=row.run_after,
            started_at=row.start_date,
            ended_at=row.end_date,
            message=messages.get(row.id),
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
