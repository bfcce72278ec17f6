"""
### Ghost hunter

Every hour: finds the videos that were published in its window, and puts them under tracking for ever.

`plan` reads what to hunt: from the run's form, else from the Airflow Variable `ghost_sources`, else from
`include/sources.yaml`. Each `hunt` instance takes some of the sources, writes metadata and schedule of what is new in
one transaction, and stages its first points; its name says what it found. `import_lists` does the same for some of the
videos that wait in the import queue: lists of any length that somebody has brought. `publish` merges them into the
vault.

A scheduled run also covers what earlier runs missed, back to each source's watermark, and what channels and playlists
list late. What a source has named is on the schedule, or its watermark stays. A backfill
(`airflow backfill create --dag-id ghost_hunter …`) covers exactly the hours that it names, and only sources that know
windows: channels, searches, playlists. Running a window twice changes nothing.

If notifiers are configured, an alert is sent when a run fails or has not finished 90 minutes after it was queued.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import Asset, CronDataIntervalTimetable, Param, dag, get_current_context, task

from ghost_tracking import settings
from ghost_tracking.tasks import runs

_METRICS = Asset(settings.METRICS_ASSET)


@dag(
    dag_id="ghost_hunter",
    schedule=CronDataIntervalTimetable("0 * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    deadline=runs.deadline(settings.HUNTER_DEADLINE_ENVIRONMENT, timedelta(minutes=90)),
    default_args={"owner": "ghost_tracking", "retries": 2, "retry_delay": timedelta(seconds=30)},
    params={
        "videos": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            title="Videos",
            description="Ids or URLs of videos to track from now on, one a line. Leaves the usual sources alone.",
        ),
        "sources": Param(
            None,
            type=["null", "array"],
            items={"type": "object", "properties": {"pages": {"type": "integer", "minimum": 1, "maximum": 400}}},
            title="Sources",
            description='Sources for this run only, such as [{"channel": "UC…"}, {"search": "linear algebra"}].',
        ),
        "window_start": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Published from",
            description="Start of the window. Empty: from where the last run ended.",
        ),
        "window_end": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Published before",
            description="End of the window. Empty: now.",
        ),
        "list": Param(
            None,
            type=["null", "string"],
            format="multiline",
            title="List",
            description="Ids, URLs, CSV or JSON, of any length: goes to the import queue and is imported run by run, "
            "as quota allows. Leaves the usual sources alone.",
        ),
        "list_file": Param(
            None,
            type=["null", "string"],
            title="List in a file",
            maxLength=1000,
            description="The same from a file below the vault's folder lists/, such as lists/mine.csv, or where else "
            "GHOST_LIST_PREFIXES allows it.",
        ),
        "list_name": Param(
            None,
            type=["null", "string"],
            pattern=r"^[A-Za-z0-9_.\-]{1,80}$",
            title="Name of the list",
            description="Under which its progress is shown. Empty: made of its content.",
        ),
        "list_column": Param(
            None,
            type=["null", "string"],
            maxLength=80,
            title="Column",
            description="Which column has the videos, by its name or number. Empty: found by what is in it.",
        ),
        "let_go": Param(
            None,
            type=["null", "string"],
            enum=[None, "pause", "stop", "forget", "resume"],
            title="Let go",
            description="Take the videos, the list or the channel of this form off the schedule; forget: all that is "
            "known of them as well. Hunts nothing, and only tells what would go until it is confirmed.",
        ),
        "channel": Param(
            None,
            type=["null", "string"],
            maxLength=80,
            title="Channel to let go",
            description="Every video of this channel that is known: its id, UC….",
        ),
        "confirm": Param(
            False,
            type="boolean",
            title="Confirm",
            description="Really let go. What is forgotten is gone for good, and no source brings it back.",
        ),
        "also_forgotten": Param(
            False,
            type="boolean",
            title="Resume forgotten ones too",
            description="With resume: track videos again that were forgotten. What was known of them stays gone.",
        ),
        "adopt_old_videos": Param(
            False,
            type="boolean",
            title="Adopt an old tracker's videos",
            description="Put every video of the table `videos` on the watchlist, and hunt nothing. Can be run twice.",
        ),
    },
    tags=["ghost_tracking"],
    doc_md=__doc__,
)
def ghost_hunter():
    def assignment() -> dict:
        from ghost_tracking.tasks import forms

        context = get_current_context()
        interval = (context.get("data_interval_start"), context.get("data_interval_end"))
        return {"run_type": context["dag_run"].run_type, "interval": interval, "form": forms.form(context)}

    @task(execution_timeout=timedelta(minutes=30))  # a list may have millions of lines
    def plan() -> list:
        """Read and check what to hunt, and share it out; or take a list into the import queue."""
        from ghost_tracking.tasks import hunter

        context = get_current_context()
        planned = hunter.plan(**assignment())
        context["ti"].xcom_push(key="why", value=planned["why"])
        context["ti"].xcom_push(key="vault", value=planned["vault"])
        return planned["batches"]

    @task(
        retries=0,  # what it leaves undone is the next run's: its sources' watermarks stay
        multiple_outputs=False,
        map_index_template="{{ ghost_label }}",
        # mapped tasks take none of a docstring
        doc_md="Find videos, write their metadata and schedule, stage their first points.",
        outlets=[Asset(settings.VIDEOS_ASSET)],
        execution_timeout=timedelta(minutes=45),
    )
    def hunt(batch: dict) -> dict:
        from ghost_tracking.tasks import hunter

        context = get_current_context()
        return hunter.hunt(batch, **assignment(), label=lambda label: context.update(ghost_label=label))

    @task(
        retries=0,
        multiple_outputs=False,
        outlets=[Asset(settings.VIDEOS_ASSET)],
        execution_timeout=timedelta(minutes=45),
    )
    def import_lists(vault: str) -> dict:
        """Import videos of the lists in the import queue, as many as quota and SQL carry."""
        from ghost_tracking.tasks import hunter

        return hunter.import_lists(get_current_context()["dag_run"].run_type, vault)

    @task(trigger_rule="all_done", multiple_outputs=False, outlets=[_METRICS], execution_timeout=timedelta(minutes=15))
    def publish() -> dict:
        """Merge what was staged into the vault."""
        from ghost_tracking.tasks import publishing

        report = publishing.publish()
        get_current_context()["outlet_events"][_METRICS].extra = publishing.event(report)
        return report

    @task(trigger_rule="none_failed", retries=0, multiple_outputs=False, execution_timeout=timedelta(minutes=5))
    def summary(why: str, reports: list | None, imported: dict) -> dict:
        """Say what the run did; red when anything before it failed."""
        from ghost_tracking.tasks import hunter

        return hunter.summary(why, reports, imported)

    planned = plan()
    hunted = hunt.expand(batch=planned)
    imported = import_lists(planned["vault"])
    published, judged = publish(), summary(planned["why"], hunted, imported)
    [hunted, imported] >> published >> judged
    [planned, hunted, imported, published, judged] >> runs.alert()


runs.testable(ghost_hunter())
