"""
### Ghost janitor

Every day: finishes what is left of pausing, stopping and forgetting videos, so that no restored backup brings any of
them back. Brings the metadata of new videos into the vault's archive, `videos/`, where it stays. Then deletes that of
videos discovered more than seven days ago (setting `metadata_retention_days`) from the database: each row only once
the archive holds just that version of it, and nothing from the schedule, since tracking goes on for ever.

It *moves to the roster* what is past seven days, or long gone: these videos leave the table `watchlist` for one
where a row stands for up to 5,000 of them, whose ids are in a file of the vault. They are tracked as before.

Then it looks after the vault. It *seals* the hours that are over: writes them once more, small and sorted, proves
that they hold every staged point, and deletes the parts. It *compacts* days that are over, and then months, into
the history, where a video's points stand together. It *expires* what is older than the setting `vault_retention_days`,
if there is one. And it *checks* that all layers agree: of the last two days, or, from the form, of everything, also
after a repair.

Age counts from discovery, not from publication: a video that is years old when it is found would otherwise lose its
row within the day. With *Dry run* in the form, nothing is written or deleted and the report says what would be.

If notifiers are configured, an alert is sent when a run fails or has not finished five hours after it was queued.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import Param, dag, get_current_context, task

from ghost_tracking import settings
from ghost_tracking.tasks import runs


def form() -> dict:
    """Read by every task: most of them run whatever becomes of those before."""
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
            False, type="boolean", title="Dry run", description="Only report what would be archived and deleted."
        ),
        "retention_days": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=3650,
            title="Days to keep",
            description="Days since discovery, for this run only. Empty: the setting metadata_retention_days.",
        ),
        "check": Param(
            "recent",
            type="string",
            enum=["recent", "everything", "repair"],
            title="Check",
            description="Compare the last two days, or everything; or repair what is broken, and compare everything.",
        ),
        "adopt_vault": Param(
            False,
            type="boolean",
            title="Adopt this vault",
            description="Use the vault that is there from now on, although the database belongs to another one. Read "
            "'Another vault' in docs/operate.md first.",
        ),
    },
    tags=["ghost_tracking"],
    doc_md=__doc__,
)
def ghost_janitor():
    @task(execution_timeout=timedelta(hours=2))
    def let_go() -> dict:
        """Finish what is left of pausing, stopping and forgetting videos."""
        from ghost_tracking.tasks import janitor

        params = form()
        return janitor.let_go(dry_run=params["dry_run"], adopt_vault=params["adopt_vault"])

    @task(trigger_rule="all_done", execution_timeout=timedelta(hours=1))
    def archive() -> dict:
        """Bring the metadata of new videos into the vault."""
        from ghost_tracking.tasks import janitor

        return janitor.archive(dry_run=form()["dry_run"])

    @task(execution_timeout=timedelta(hours=2))
    def clean(archived: dict) -> dict:
        """Delete metadata past its retention, once it is archived; never the watchlist."""
        from ghost_tracking.tasks import janitor

        params = form()
        return janitor.clean(
            dry_run=params["dry_run"], retention_days=params["retention_days"], vault=archived["vault"]
        )

    @task(execution_timeout=timedelta(hours=2))
    def move_to_roster(archived: dict) -> dict:
        """Move settled videos, and those that are long gone, from the watchlist to the roster."""
        from ghost_tracking.tasks import janitor

        return janitor.move_to_roster(dry_run=form()["dry_run"], vault=archived["vault"])

    @task(trigger_rule="all_done", execution_timeout=timedelta(hours=2))
    def seal() -> dict:
        """Close the vault's hours that are over."""
        from ghost_tracking.tasks import janitor

        return janitor.seal(dry_run=form()["dry_run"])

    @task(trigger_rule="all_done", execution_timeout=timedelta(hours=2))
    def compact() -> dict:
        """Put days and months that are over into the history, by video."""
        from ghost_tracking.tasks import janitor

        return janitor.compact(dry_run=form()["dry_run"])

    @task(trigger_rule="all_done", execution_timeout=timedelta(hours=2))
    def expire() -> dict:
        """Delete what is past the vault's retention, if there is one."""
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
        """Say what the run did; red when anything before it failed."""
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
