"""Alerts of runs that fail, or are not over in time.

Of a failed run by a task of it, of a late one by a deadline, and of none by `on_failure_callback`: Airflow runs that in
the DAG processor, which one number in the form of a run can end (docs/airflow-findings.md).

Read wherever DAGs are read, in the scheduler too: so nothing heavy is imported before there is an alert to send.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from airflow.sdk import DAG, get_current_context, task
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowFailException, AirflowRuntimeError

from ghost_tracking import settings


def deadline(environment: str, default: timedelta) -> DeadlineAlert | None:
    """The deadline of a DAG's runs, counted from when they are queued; None where there is to be none.

    See `settings.deadline` for the arguments. Looked at by the scheduler, so it passes too when no task of the run
    gets a worker; the callback runs in the triggerer.
    """
    interval = settings.deadline(environment, default)
    if interval is None:
        return None
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=interval, callback=AsyncCallback(deadline_has_passed)
    )


def testable(dag: DAG) -> DAG:
    """The DAG, with no deadline in `airflow dags test` and `dag.test()`.

    These end a run that has succeeded with an error where a DAG has one (Airflow 3.2 and 3.3): they look it up by its
    definition, where the scheduler has its id.
    """
    run_in_process = dag.test

    def test(*args: Any, **kwargs: Any) -> Any:
        dag.deadline = None
        return run_in_process(*args, **kwargs)

    dag.test = test  # type: ignore[method-assign]
    return dag


async def deadline_has_passed(context: Mapping[str, Any]) -> None:
    """Airflow calls this in the triggerer, whose other triggers go on meanwhile."""
    await asyncio.to_thread(_alert_of_late_run, context)


def _alert_of_late_run(context: Mapping[str, Any]) -> None:
    from ghost_tracking.core.alerts import late_run
    from ghost_tracking.tasks.notifications import send_for_run

    run = context["dag_run"]
    # the deadline of a run that has failed passes all the same, and the runs of a backfill wait for each other
    if run["state"] in {"queued", "running"} and run["run_type"] != "backfill":
        queued_at = datetime.fromisoformat(run["queued_at"])
        alert = late_run(run["dag_id"], queued_at, datetime.now(UTC), is_running=run["state"] == "running")
        send_for_run(alert, is_news=lambda: True)


@task(trigger_rule="one_failed", execution_timeout=timedelta(minutes=5))
def alert() -> None:
    """If a task of the run has failed: send an alert by the configured notifiers, and fail. Otherwise skipped."""
    run_has_failed(get_current_context())


def run_has_failed(context: Mapping[str, Any]) -> NoReturn:
    """The body of the task that watches the others of a run: alerts of those that failed, and fails as well.

    Airflow colours a run by its last tasks: were this one green, so would be the run. It comes as soon as one of the
    others has failed, so it knows of no more than have done so by then.
    """
    from ghost_tracking.core.alerts import failed_run
    from ghost_tracking.tasks.notifications import send_for_run

    instance, dag_id = context["ti"], context["dag"].dag_id

    def is_news() -> bool:
        before = instance.get_previous_dagrun()
        return before is None or before.state != "failed"

    failed = _failed_tasks(context)
    manual = context["dag_run"].run_type == "manual"
    send_for_run(failed_run(dag_id, failed, manual=manual), is_news=is_news)
    raise AirflowFailException(f"The run failed{' at ' + ', '.join(failed) if failed else ''}: see its red tasks' logs")


def _failed_tasks(context: Mapping[str, Any]) -> list[str]:
    """The tasks of a run that have failed, in their order; of a mapped one some instance has."""
    instance, dag, run_id = context["ti"], context["dag"], context["run_id"]
    try:
        states = instance.get_task_states(dag_id=dag.dag_id, run_ids=[run_id])[run_id]
    except AirflowRuntimeError:
        return []
    failed = {name for name, state in states.items() if state == "failed"}
    instances = {name.rpartition("_")[0] for name in failed}  # track_0, track_1
    return [task.task_id for task in dag.topological_sort() if task.task_id in failed | instances]
