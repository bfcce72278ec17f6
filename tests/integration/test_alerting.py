"""Alerts: seen on a real database and vault, told by Airflow's notifiers, once."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseNotifier

from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.settings import Settings
from ghost_tracking.tasks.alerting import tell_of_heat, watch
from ghost_tracking.tasks.tracker import Tracking

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
def vault(tmp_path: Path) -> ParquetVaultHook:
    hook = ParquetVaultHook(root=str(tmp_path / "vault"))
    hook.identity(create=True)
    return hook


@pytest.fixture(autouse=True)
def notifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    TOLD.clear()
    name = f"{__name__}.Notebook"
    entries = [
        {"notifier": name, "arguments": {"text": "lost", "fails": True}},
        {"notifier": name, "arguments": {"text": "{{ ghost_alert }}"}},
    ]
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_NOTIFIERS", json.dumps(entries))


def look(watchlist: WatchlistHook, vault: ParquetVaultHook, **settings: Any) -> list[str]:
    limits = Settings(**settings)
    quota = Tracking(watchlist, limits).quota()
    return [alert.kind.value for alert in watch(watchlist, vault, quota, limits, {})]


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


def test_silence_counts_only_while_something_is_due(watchlist: WatchlistHook, vault: ParquetVaultHook) -> None:
    long_ago = datetime.now(UTC).replace(microsecond=0) - 3 * HOUR
    vault.stage([MetricPoint("v", long_ago, 1, None, None, None)])
    vault.publish()
    assert look(watchlist, vault) == []
    watchlist.add_to_watchlist(overdue(1, 2 * HOUR))
    assert look(watchlist, vault, alert_quiet_minutes=None) == []
    assert look(watchlist, vault) == ["quiet"]
    assert f"since {long_ago:%Y-%m-%d %H:%M} UTC" in TOLD[0]


def test_quota_that_ends_early_is_told(watchlist: WatchlistHook, vault: ParquetVaultHook) -> None:
    watchlist.add_to_watchlist(overdue(2_000, timedelta(0)))
    scarce = {"quota_statistics": 0, "quota_general": 10, "quota_hunter_reserve": 0, "alert_quota_hours": 0}
    assert look(watchlist, vault, **scarce) == []  # the hook's own budgets are those of the deployment
    with WatchlistHook(connection=watchlist.database._injected, budgets=Settings(**scarce).quota) as poor:
        assert look(poor, vault, **scarce) == ["quota"]
    assert "intervals become longer" in TOLD[0]


def test_heat_is_told_with_its_videos() -> None:
    tell_of_heat(["a", "b"], Settings(), {})
    tell_of_heat(["c"], Settings(alert_heat=False), {})
    assert TOLD == ["Ghost Tracking: 2 settled videos grow again and are read daily: a, b"]


@pytest.mark.parametrize(
    "bad", ["{", '[{"notifier": "no.such.Thing"}]', '[{"notifier": "json.JSONDecoder"}]', '[{"arguments": {}}]']
)
def test_a_bad_variable_is_named_and_stops_nothing(
    bad: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_NOTIFIERS", bad)
    tell_of_heat(["a"], Settings(), {})
    assert "Nobody is told: Airflow Variable 'ghost_notifiers'" in caplog.text
