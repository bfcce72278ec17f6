"""
### Ghost hunter

Finds, every hour, the videos that were published in its window, and tracks them for ever.

`plan` reads the sources to hunt: from the run's form, else from the Airflow Variable `ghost_sources`, else from
`include/sources.yaml`. Each `hunt` instance takes some of the sources, writes the metadata and the schedule of the new
videos in one transaction, and stages their first points; the name of the instance says what it found. `import_lists`
does the same for videos in the import queue, which holds lists of any length that you have submitted. Both first
stage which source named which video, and in which place. `publish` merges all of it into the vault.

A scheduled run also covers what earlier runs missed, back to each source's watermark, and videos that channels and
playlists list late. A watermark advances only when every video that the source has named is on the schedule. A backfill
(`airflow backfill create --dag-id ghost_hunter …`) covers exactly the hours that it names, and only sources that have
windows: channels, searches and playlists. Running a window twice changes nothing.

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
            description="Ids or URLs of videos to track from now on, one per line. The run skips the usual sources.",
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
            description="Start of the window. If empty: where the last run ended.",
        ),
        "window_end": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Published before",
            description="End of the window. If empty: now.",
        ),
        "list": Param(
            None,
            type=["null", "string"],
            format="multiline",
            title="List",
            description="Ids, URLs, CSV or JSON, of any length. The list goes to the import queue, and the next runs "
            "import it as quota allows. The run skips the usual sources.",
        ),
        "list_file": Param(
            None,
            type=["null", "string"],
            title="List in a file",
            maxLength=1000,
            description="Read the list from a file in the vault's folder lists/, such as lists/mine.csv, or in a "
            "folder that GHOST_LIST_PREFIXES allows.",
        ),
        "list_name": Param(
            None,
            type=["null", "string"],
            pattern=r"^[A-Za-z0-9_.\-]{1,80}$",
            title="Name of the list",
            description="Progress is reported under this name. If empty: derived from the content of the list.",
        ),
        "list_column": Param(
            None,
            type=["null", "string"],
            maxLength=80,
            title="Column",
            description="Name or number of the column that has the videos. If empty: detected from the content.",
        ),
        "let_go": Param(
            None,
            type=["null", "string"],
            enum=[None, "pause", "stop", "forget", "resume"],
            title="Let go",
            description="Pause, stop, forget or resume tracking of the videos, the list or the channel in this form. "
            "Forgetting also deletes all their data. The run hunts nothing; without Confirm it only reports what it "
            "would do.",
        ),
        "channel": Param(
            None,
            type=["null", "string"],
            maxLength=80,
            title="Channel to let go",
            description="Id of the channel, UC…. Applies to all of its known videos.",
        ),
        "confirm": Param(
            False,
            type="boolean",
            title="Confirm",
            description="Carry it out. Forgotten data cannot be recovered; no source brings a forgotten video back.",
        ),
        "also_forgotten": Param(
            False,
            type="boolean",
            title="Also resume forgotten videos",
            description="With resume: track forgotten videos again. Their deleted data does not come back.",
        ),
        "adopt_old_videos": Param(
            False,
            type="boolean",
            title="Adopt an old tracker's videos",
            description="Put all videos of the table `videos` on the watchlist. The run hunts nothing. Safe to repeat.",
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
        run = context["dag_run"]
        return {"run_type": run.run_type, "interval": interval, "form": forms.form(context), "run_id": run.run_id}

    @task(execution_timeout=timedelta(minutes=30))  # a list may have millions of lines
    def plan() -> list:
        """Read and check the sources, and divide them among `hunt` instances; or submit a list to the import queue."""
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
        doc_md="Find videos, write their metadata and their schedule, and stage their first points.",
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
        """Import videos from the import queue, as many as the quota and the size of the database allow."""
        from ghost_tracking.tasks import hunter

        run = get_current_context()["dag_run"]
        return hunter.import_lists(run.run_type, vault, run.run_id)

    @task(trigger_rule="all_done", multiple_outputs=False, outlets=[_METRICS], execution_timeout=timedelta(minutes=15))
    def publish() -> dict:
        """Merge the staged points, and which source named which video, into the vault."""
        from ghost_tracking.tasks import publishing

        report = publishing.publish(discoveries=True)
        get_current_context()["outlet_events"][_METRICS].extra = publishing.event(report)
        return report

    @task(trigger_rule="none_failed", retries=0, multiple_outputs=False, execution_timeout=timedelta(minutes=5))
    def summary(why: str, reports: list | None, imported: dict) -> dict:
        """Report what the run did; red if an earlier task failed."""
        from ghost_tracking.tasks import hunter

        return hunter.summary(why, reports, imported)

    planned = plan()
    hunted = hunt.expand(batch=planned)
    imported = import_lists(planned["vault"])
    published, summed = publish(), summary(planned["why"], hunted, imported)
    [hunted, imported] >> published >> summed
    [planned, hunted, imported, published, summed] >> runs.alert()


runs.testable(ghost_hunter())
