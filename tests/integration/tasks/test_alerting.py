"""Alerts: seen on a real database and vault, told by Airflow's notifiers, once."""

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseNotifier, Connection
from airflow.sdk.exceptions import AirflowFailException

from ghost_tracking import settings as configuration
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.errors import BadSettingsError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services.alerting import promotion_alerts, schedule_alerts
from ghost_tracking.services.quota_status import read_quota_status
from ghost_tracking.settings import Settings
from ghost_tracking.tasks import hunter, runs
from ghost_tracking.tasks.notifications import send

TOLD: list[str] = []
HOUR = timedelta(hours=1)


class Notebook(BaseNotifier):
    """A notifier of somebody's."""

    template_fields = ("text",)

    def __init__(self, text: str, *, fails: bool = False) -> None:
        super().__init__()
        self.text = text
        self.fails = fails

    def notify(self, context: Any) -> None:
        assert context["ghost_alert_kind"]
        if self.fails:
            raise OSError("no network")
        TOLD.append(self.text)


@pytest.fixture
def vault(vault: ParquetVaultHook) -> ParquetVaultHook:
    vault.identity(create=True)
    return vault


@pytest.fixture(autouse=True)
def notifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    TOLD.clear()
    name = f"{__name__}.Notebook"
    entries = [
        {"notifier": name, "arguments": {"text": "lost", "fails": True}},
        {"notifier": name, "arguments": {"text": "{{ ghost_alert }}"}},
    ]
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_NOTIFIERS", json.dumps(entries))
    monkeypatch.setenv("GHOST_NOTIFIERS_ALLOWED", f"airflow.providers., {name},no.such.Thing, json.JSONDecoder")


def look(watchlist: WatchlistHook, vault: ParquetVaultHook, **settings: Any) -> list[str]:
    limits = Settings(**settings)
    quota = read_quota_status(watchlist, limits)
    found = schedule_alerts(watchlist, vault, quota, limits)
    return [alert.kind.value for alert in send(found, watchlist, limits)]


def overdue(number: int, by: timedelta) -> list[WatchlistEntry]:
    return [WatchlistEntry(f"video_{n}", next_track_at=datetime.now(UTC) - by) for n in range(number)]


def test_a_backlog_is_told_once_until_it_is_over(watchlist: WatchlistHook, vault: ParquetVaultHook) -> None:
    assert look(watchlist, vault) == []
    watchlist.add_to_watchlist(overdue(3, 2 * HOUR))
    vault.append_metrics([{"video_id": "v", "timestamp": datetime.now(UTC).replace(microsecond=0), "views": 1}])
    assert look(watchlist, vault, alert_backlog_videos=2) == ["backlog"]
    assert look(watchlist, vault, alert_backlog_videos=2) == []
    assert look(watchlist, vault, alert_backlog_videos=2, alert_cooldown_hours=0) == ["backlog"]
    assert look(watchlist, vault, alert_backlog_videos=3) == []
    assert look(watchlist, vault, alert_backlog_videos=2) == ["backlog"]
    assert len(TOLD) == 3
    assert TOLD[0].startswith("Ghost Tracking: 3 videos are overdue by more than an hour (limit 2)")


NAME = f"{__name__}.Notebook"
FAILING = json.dumps([{"notifier": NAME, "arguments": {"text": "lost", "fails": True}}])


@pytest.mark.parametrize("variable", ["", "[]", "not json", FAILING])
def test_a_cooldown_begins_only_once_somebody_was_told(
    variable: str, watchlist: WatchlistHook, vault: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = os.environ["AIRFLOW_VAR_GHOST_NOTIFIERS"]
    watchlist.add_to_watchlist(overdue(1, 2 * HOUR))
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_NOTIFIERS", variable)
    assert look(watchlist, vault) == []
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_NOTIFIERS", good)
    assert look(watchlist, vault) == ["no_data"]
    assert len(TOLD) == 1


def test_bad_notifiers_are_an_error_each_time_also_within_the_cooldown(
    watchlist: WatchlistHook,
    vault: ParquetVaultHook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    watchlist.add_to_watchlist(overdue(1, 2 * HOUR))
    assert look(watchlist, vault) == ["no_data"]
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_NOTIFIERS", "not json")
    for times in (1, 2):
        assert look(watchlist, vault) == []
        assert caplog.text.count("No alert is sent: Airflow Variable 'ghost_notifiers' is not a JSON list") == times


def test_two_tasks_at_a_time_tell_once(
    watchlist: WatchlistHook, vault: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    watchlist.add_to_watchlist(overdue(1, 2 * HOUR))
    others: list[list[str]] = []

    def notify(self: Notebook, context: Any) -> None:
        others.append(look(watchlist, vault))

    monkeypatch.setattr(Notebook, "notify", notify)
    assert look(watchlist, vault) == ["no_data"]
    assert others == [[], []]


def test_silence_counts_only_while_something_is_due(watchlist: WatchlistHook, vault: ParquetVaultHook) -> None:
    long_ago = datetime.now(UTC).replace(microsecond=0) - 3 * HOUR
    vault.stage([MetricPoint("v", long_ago, 1, None, None, None)])
    vault.publish()
    assert look(watchlist, vault) == []
    watchlist.add_to_watchlist(overdue(1, 2 * HOUR))
    assert look(watchlist, vault, alert_no_data_minutes=None) == []
    assert look(watchlist, vault) == ["no_data"]
    assert f"since {long_ago:%Y-%m-%d %H:%M} UTC" in TOLD[0]


def test_quota_that_ends_early_is_told(
    watchlist: WatchlistHook, ghost_postgres: Connection, vault: ParquetVaultHook
) -> None:
    watchlist.add_to_watchlist(overdue(2_000, timedelta(0)))
    scarce = {"quota_statistics": 0, "quota_general": 10, "quota_hunter_holdback": 0, "alert_quota_hours": 0}
    assert look(watchlist, vault, **scarce) == []  # the hook's own budgets are those of the deployment
    with WatchlistHook(connection=ghost_postgres, budgets=Settings(**scarce).quota) as poor:
        assert look(poor, vault, **scarce) == ["quota"]
        assert "slots are left out" in TOLD[0]
        assert look(poor, vault, **scarce, policy="adaptive") == []  # which uses all that there is, every day


def test_a_promotion_is_sent_with_its_videos() -> None:
    send(promotion_alerts(["a", "b"], Settings()))
    send(promotion_alerts(["c"], Settings(alert_promotions=False)))
    assert TOLD == ["Ghost Tracking: 2 settled videos grow again and are read daily: a, b"]


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        "5",
        "{}",
        '["a"]',
        '[{"notifier": "no.such.Thing"}]',
        '[{"notifier": "json.JSONDecoder"}]',
        '[{"arguments": {}}]',
    ],
)
def test_a_bad_variable_is_named_and_stops_nothing(
    bad: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_NOTIFIERS", bad)
    send(promotion_alerts(["a"], Settings()))
    assert "No alert is sent: Airflow Variable 'ghost_notifiers'" in caplog.text


@pytest.fixture
def deployment(ghost_postgres: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections as Airflow finds them."""
    fields = {name: getattr(ghost_postgres, name) for name in ("conn_type", "host", "login", "schema")}
    monkeypatch.setenv("AIRFLOW_CONN_GHOST_POSTGRES", json.dumps(fields))
    monkeypatch.setenv(
        "AIRFLOW_CONN_GHOST_VAULT", json.dumps({"conn_type": "fs", "extra": {"path": str(tmp_path / "vault")}})
    )


def test_a_tracker_that_is_paused_is_told_of_by_the_hunter(
    watchlist: WatchlistHook, deployment: None, vault: ParquetVaultHook
) -> None:
    vault.append_metrics([{"video_id": "v", "timestamp": datetime.now(UTC).replace(microsecond=0) - 2 * HOUR}])
    watchlist.add_to_watchlist(overdue(1, 2 * HOUR))
    for _ in range(2):
        hunter.plan("scheduled", (None, None), {"videos": ["dQw4w9WgXcQ"]})
    (told,) = TOLD
    assert "although videos are due: is ghost_tracker paused, stuck or red?" in told


def failing(run_before: str = "success", *, run_type: str = "scheduled") -> dict[str, Any]:
    """The context of the task that watches the others of a run, in which some have failed."""

    def states(dag_id: str, run_ids: list[str]) -> dict[str, dict[str, str]]:
        return {"r": {"plan": "success", "track_0": "success", "track_1": "failed", "publish": "failed"}}

    with DAG("ghost_tracker", schedule=None) as dag:
        for task_id in ("plan", "track", "publish"):
            EmptyOperator(task_id=task_id)
    instance = SimpleNamespace(
        get_task_states=states, get_previous_dagrun=lambda: SimpleNamespace(state=run_before), task_id="publish"
    )
    return {"dag": dag, "run_id": "r", "ti": instance, "dag_run": SimpleNamespace(run_type=run_type)}


def watch_over(run: dict[str, Any]) -> None:
    """The task is red too, since the run's colour goes by it."""
    with pytest.raises(AirflowFailException, match="The run failed at track, publish"):
        runs.run_has_failed(run)


def test_a_run_that_failed_is_told_of_once_and_again_after_the_cooldown(
    deployment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (failing(), failing("failed"), failing()):
        watch_over(each)
    (told,) = TOLD
    assert "a run of ghost_tracker has failed at track, publish: the logs of its red tasks say why." in told
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_SETTINGS", json.dumps({"alert_cooldown_hours": 0}))
    watch_over(failing())
    assert len(TOLD) == 2
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_SETTINGS", json.dumps({"alert_failed_runs": False}))
    watch_over(failing())
    assert len(TOLD) == 2


def test_a_form_that_was_refused_silences_no_real_failure(deployment: None) -> None:
    for run_type in ("manual", "manual", "scheduled", "manual", "scheduled"):
        watch_over(failing(run_type=run_type))
    manual, by_schedule = TOLD
    assert "a run of ghost_tracker that somebody triggered has failed at track, publish: " in manual
    assert "a run of ghost_tracker has failed at " in by_schedule


@pytest.mark.parametrize("variable", ["", FAILING])
def test_a_failed_run_that_nobody_could_be_told_of_silences_no_other(
    variable: str, deployment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = os.environ["AIRFLOW_VAR_GHOST_NOTIFIERS"]
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_NOTIFIERS", variable)
    watch_over(failing())
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_NOTIFIERS", good)
    watch_over(failing())
    assert len(TOLD) == 1


def test_the_first_failed_run_of_a_row_is_told_of_without_a_database(
    deployment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_GHOST_POSTGRES")
    for before in ("success", "failed", "failed"):
        watch_over(failing(before))
    assert len(TOLD) == 1


def late(state: str = "running", run_type: str = "scheduled", queued_at: str | None = None) -> dict[str, Any]:
    """What Airflow hands to the callback of a deadline."""
    queued_at = queued_at or (datetime.now(UTC) - HOUR / 2).isoformat().replace("+00:00", "Z")
    run = {"dag_id": "ghost_tracker", "state": state, "run_type": run_type, "queued_at": queued_at}
    return {"dag_run": run, "deadline": {}}


def test_only_a_run_that_goes_on_is_late(deployment: None) -> None:
    for each in (late("failed"), late("success"), late(run_type="backfill")):
        asyncio.run(runs.deadline_has_passed(each))
    assert TOLD == []
    for each in (late(), late("queued")):
        asyncio.run(runs.deadline_has_passed(each))
    (told,) = TOLD
    assert "is not over after 30 minutes: does a task hang" in told


def test_deadlines_are_set_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    name = configuration.TRACKER_DEADLINE_ENVIRONMENT
    assert runs.deadline(name, HOUR).interval == HOUR
    monkeypatch.setenv(name, "90")
    assert runs.deadline(name, HOUR).interval == 1.5 * HOUR
    monkeypatch.setenv(name, "0")
    assert runs.deadline(name, HOUR) is None
    monkeypatch.setenv(name, "soon")
    with pytest.raises(BadSettingsError, match="'soon', no number of minutes"):
        runs.deadline(name, HOUR)
