"""
### Ghost tracker

Fetches, every five minutes, the counts of all due videos from YouTube and appends them to the vault.

`plan` counts the due videos, compares them with the quota, and divides them into batches. Each `track` instance claims
a batch, asks YouTube, stages the points and reschedules the videos; the name of the instance says what it did.
`publish` merges the staged points into `metrics/date=…/hour=…/stats.parquet`, and prepares the movers that the page in
Airflow's navigation shows; if it cannot prepare them, its log says why, and the page shows the earlier ones. If any of
these tasks fails, the run is red; its unread videos stay due, and the next run reads them. When nothing is due, `track`
is skipped and `summary` says so.

The form of a manual run can name videos to read now, or limit the run to some tiers and a number of videos.

If notifiers are configured, an alert is sent when a run fails or has not finished 30 minutes after it was queued.

A backfill of this DAG does nothing, because YouTube returns no past counts.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import Asset, Param, dag, get_current_context, task

from ghost_tracking import settings
from ghost_tracking.core.tiers import Queue
from ghost_tracking.tasks import runs

_QUEUES = [queue.value for queue in Queue]
_METRICS = Asset(settings.METRICS_ASSET)


@dag(
    dag_id="ghost_tracker",
    schedule="*/5 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=45),
    deadline=runs.deadline(settings.TRACKER_DEADLINE_ENVIRONMENT, timedelta(minutes=30)),
    default_args={"owner": "ghost_tracking", "retries": 2, "retry_delay": timedelta(seconds=10)},
    params={
        "videos": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            title="Videos",
            description="Ids or URLs of videos to read now, whether due or not, one per line. A video that is not "
            "tracked gets one point and stays untracked. If empty: all due videos.",
        ),
        "queues": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "enum": _QUEUES},
            examples=_QUEUES,
            title="Queues",
            description="Tiers of the watchlist, chunks of the roster, or gone videos. If empty: all queues.",
        ),
        "limit": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=5_000_000,
            title="Limit",
            description="Maximum number of videos that this run reads. If empty: as many as quota and settings allow.",
        ),
    },
    tags=["ghost_tracking"],
    doc_md=__doc__,
)
def ghost_tracker():
    @task(execution_timeout=timedelta(minutes=5))
    def plan() -> list:
        """Count the due videos, compare them with the quota, and divide them into batches."""
        from ghost_tracking.tasks import forms, tracker

        context = get_current_context()
        planned = tracker.plan(context["dag_run"].run_type, forms.form(context))
        context["ti"].xcom_push(key="why", value=planned["why"])
        return planned["batches"]

    @task(
        retries=0,
        pool=settings.tracker_pool(),
        multiple_outputs=False,
        map_index_template="{{ ghost_label }}",
        doc_md="Claim a batch, ask YouTube, stage the points, reschedule.",  # mapped tasks take none of a docstring
        execution_timeout=timedelta(minutes=15),
    )
    def track(batch: dict) -> dict:
        from ghost_tracking.tasks import tracker

        context = get_current_context()
        params = dict(context["params"])
        return tracker.track(batch, lambda label: context.update(ghost_label=label), params)

    @task(trigger_rule="all_done", multiple_outputs=False, outlets=[_METRICS], execution_timeout=timedelta(minutes=15))
    def publish() -> dict:
        """Merge the staged points into the vault, and prepare what the page shows."""
        from ghost_tracking.tasks import publishing

        report = publishing.publish(prepares=True)
        get_current_context()["outlet_events"][_METRICS].extra = publishing.event(report)
        return report

    @task(trigger_rule="none_failed", retries=0, multiple_outputs=False, execution_timeout=timedelta(minutes=5))
    def summary(why: str, reports: list | None) -> dict:
        """Report what the run did; red if an earlier task failed."""
        from ghost_tracking.tasks import tracker

        return tracker.summary(why, reports)

    planned = plan()
    tracked = track.expand(batch=planned)
    published, summed = publish(), summary(planned["why"], tracked)
    tracked >> published >> summed
    [planned, tracked, published, summed] >> runs.alert()


runs.testable(ghost_tracker())
