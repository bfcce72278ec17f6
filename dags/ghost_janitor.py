"""
### Ghost janitor

Maintains the database and the vault every day. It first finishes any incomplete pausing, stopping and forgetting of
videos, so that a restored backup brings none of them back. Then it archives the metadata of new videos in the vault's
folder `videos/`, and deletes from the database the metadata of videos discovered more than seven days ago (setting
`metadata_retention_days`). It deletes a row only when the archive holds exactly that version of it. It deletes nothing
from the schedule: tracking goes on for ever.

It *moves to the roster* videos that were discovered more than seven days ago, and videos that are long gone: from the
table `watchlist` to a table in which one row stands for up to 5,000 of them. Their ids are in a file of the vault. They
are tracked as before.

Then it maintains the vault. It *seals* hours that are over: it rewrites them, small and sorted, verifies that they hold
every staged point, and deletes the parts. It *compacts* days that are over, and then months, into the history, which
keeps the points of a video together. It *expires* data older than the setting `vault_retention_days`, if that is set.
Finally it *checks* the last two days and the files that have not been proven for longest, so that all points, metadata,
events and discoveries are proven every four weeks, or, if the form says so, all at once, with or without a repair
first.

Age counts from discovery, not from publication; otherwise a video that is years old when it is found would lose its
row within a day. With *Dry run* in the form, the run writes and deletes nothing, and reports what it would do.

If notifiers are configured, an alert is sent when a run fails or has not finished five hours after it was queued.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import Param, dag, get_current_context, task

from ghost_tracking import settings
from ghost_tracking.tasks import runs


def form() -> dict:
    """The values of the form. Every task reads them itself, since most tasks run even if earlier ones fail."""
    from ghost_tracking.tasks import forms

    return forms.form(get_current_context())


@dag(
    dag_id="ghost_janitor",
    schedule="30 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    deadline=runs.deadline(settings.JANITOR_DEADLINE_ENVIRONMENT, timedelta(hours=5)),
    default_args={"owner": "ghost_tracking", "retries": 2, "retry_delay": timedelta(minutes=1)},
    params={
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Only report what the run would archive and delete."
        ),
        "retention_days": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=3650,
            title="Days to keep",
            description="Days since discovery, for this run only. If empty: the setting metadata_retention_days.",
        ),
        "check": Param(
            "recent",
            type="string",
            enum=["recent", "everything", "repair"],
            title="Check",
            description="Prove the last two days and the files whose turn it is, or everything, or repair broken files "
            "and then prove everything.",
        ),
        "adopt_vault": Param(
            False,
            type="boolean",
            title="Adopt this vault",
            description="From now on use the vault that the connection names, although the database belongs to another "
            "one. Read 'Another vault' in docs/operate.md first.",
        ),
    },
    tags=["ghost_tracking"],
    doc_md=__doc__,
)
def ghost_janitor():
    @task(execution_timeout=timedelta(hours=2))
    def let_go() -> dict:
        """Finish any incomplete pausing, stopping and forgetting of videos."""
        from ghost_tracking.tasks import janitor

        params = form()
        return janitor.let_go(dry_run=params["dry_run"], adopt_vault=params["adopt_vault"])

    @task(trigger_rule="all_done", execution_timeout=timedelta(hours=1))
    def archive() -> dict:
        """Archive the metadata of new videos in the vault."""
        from ghost_tracking.tasks import janitor

        return janitor.archive(dry_run=form()["dry_run"])

    @task(execution_timeout=timedelta(hours=2))
    def clean(archived: dict) -> dict:
        """Delete archived metadata past its retention; never rows of the watchlist."""
        from ghost_tracking.tasks import janitor

        params = form()
        return janitor.clean(
            dry_run=params["dry_run"], retention_days=params["retention_days"], vault=archived["vault"]
        )

    @task(execution_timeout=timedelta(hours=2))
    def move_to_roster(archived: dict) -> dict:
        """Move settled videos and long-gone videos from the watchlist to the roster."""
        from ghost_tracking.tasks import janitor

        return janitor.move_to_roster(dry_run=form()["dry_run"], vault=archived["vault"])

    @task(trigger_rule="all_done", execution_timeout=timedelta(hours=2))
    def seal() -> dict:
        """Seal the hours that are over."""
        from ghost_tracking.tasks import janitor

        return janitor.seal(dry_run=form()["dry_run"])

    @task(trigger_rule="all_done", execution_timeout=timedelta(hours=2))
    def compact() -> dict:
        """Compact days and months that are over into the history."""
        from ghost_tracking.tasks import janitor

        return janitor.compact(dry_run=form()["dry_run"])

    @task(trigger_rule="all_done", execution_timeout=timedelta(hours=2))
    def expire() -> dict:
        """Delete data past the vault's retention, if that is set."""
        from ghost_tracking.tasks import janitor

        return janitor.expire(dry_run=form()["dry_run"])

    @task(trigger_rule="all_done", execution_timeout=timedelta(hours=4))
    def check() -> dict:
        """Compare the vault's layers."""
        from ghost_tracking.tasks import janitor

        params = form()
        return janitor.check(dry_run=params["dry_run"], what=params["check"])

    @task(trigger_rule="none_failed", retries=0, execution_timeout=timedelta(minutes=5))
    def summary(
        archived: dict,
        gone: dict,
        cleaned: dict,
        moved: dict,
        sealed: dict,
        compacted: dict,
        expired: dict,
        checked: dict,
    ) -> dict:
        """Report what the run did; red if an earlier task failed."""
        from ghost_tracking.tasks import janitor

        return janitor.summary(archived, gone, cleaned, moved, sealed, compacted, expired, checked)

    gone, archived = let_go(), archive()
    cleaned, moved, sealed, compacted, expired, checked = (
        clean(archived),
        move_to_roster(archived),
        seal(),
        compact(),
        expire(),
        check(),
    )
    gone >> archived
    [cleaned, moved] >> sealed >> compacted >> expired >> checked
    done = [archived, gone, cleaned, moved, sealed, compacted, expired, checked]
    [*done, summary(*done)] >> runs.alert()


runs.testable(ghost_janitor())
