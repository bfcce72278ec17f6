"""Alerting: telling somebody through Airflow's notifiers, each thing once, and again after a cooldown.

Looked at by every run of the tracker, and every hour by the hunter, so that a tracker that has stopped is noticed too.
Who is told is configured in the Variable `ghost_notifiers`; without it, alerts are warnings in the log.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

from airflow.sdk import BaseNotifier, Variable

from ghost_tracking.core.alerts import Alert, Kind, Limits, Observation, alerts
from ghost_tracking.core.pacing import QuotaStatus
from ghost_tracking.errors import BadSettingsError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.settings import NOTIFIERS_VARIABLE, Settings

log = logging.getLogger(__name__)

_WATCHED = (Kind.BACKLOG, Kind.QUOTA, Kind.QUIET)


def watch(
    watchlist: WatchlistHook,
    vault: ParquetVaultHook,
    quota: QuotaStatus,
    settings: Settings,
    context: Mapping[str, Any],
) -> list[Alert]:
    """Look at schedule, quota and vault, and tell whoever should know; returns what was told now.

    What cannot be told is an error in the log: tracking goes on.
    """
    seen = Observation(
        now=datetime.now(UTC),
        backlog=watchlist.backlog(),
        oldest_due_at=watchlist.next_due_at(),
        newest_point_at=vault.newest_point(),
        runs_out_at=quota.runs_out_at,
        day_ends_at=quota.day.end,
    )
    found = list(alerts(seen, limits(settings)))
    watchlist.alerts_over(set(_WATCHED) - {alert.kind for alert in found})
    due = [alert for alert in found if watchlist.alert_due(alert.kind, timedelta(hours=settings.alert_cooldown_hours))]
    for alert in found:
        log.warning("Alert (%s): %s", alert.kind, alert.message)
    tell(due, context)
    return due


def tell_of_heat(video_ids: Sequence[str], settings: Settings, context: Mapping[str, Any]) -> None:
    """Tell of settled videos that have become hot; each is told of once, since it is read daily from then on."""
    if video_ids and settings.alert_heat:
        shown = ", ".join(video_ids[:10]) + (", …" if len(video_ids) > 10 else "")
        tell([Alert(Kind.HEAT, f"{len(video_ids):,} settled videos grow again and are read daily: {shown}")], context)


def tell(found: Iterable[Alert], context: Mapping[str, Any]) -> None:
    """Tell of these alerts by every notifier. One that fails is an error in the log, and stops neither the others nor
    the run."""
    for alert in found:
        try:
            for notifier in notifiers():
                _notify(notifier, alert, context)
        except BadSettingsError as error:
            log.error("Nobody is told: %s", error.message)


def limits(settings: Settings) -> Limits:
    """The limits that a deployment has set."""
    hours, minutes = settings.alert_quota_hours, settings.alert_quiet_minutes
    return Limits(
        backlog=settings.alert_backlog_videos,
        quota=None if hours is None else timedelta(hours=hours),
        quiet=None if minutes is None else timedelta(minutes=minutes),
    )


def notifiers() -> list[BaseNotifier]:
    """The notifiers of the Variable: a JSON list of `{"notifier": "a.b.SlackNotifier", "arguments": {…}}`.

    Any text among the arguments that the notifier renders can have `{{ ghost_alert }}`, the message, and
    `{{ ghost_alert_kind }}`. Raises BadSettingsError, which names the entry.
    """
    text = Variable.get(NOTIFIERS_VARIABLE, default=None)
    made = []
    try:
        entries = json.loads(text) if text else []
    except ValueError as error:
        raise BadSettingsError(f"Airflow Variable '{NOTIFIERS_VARIABLE}' is no JSON list: {error}") from None
    for number, entry in enumerate(entries, 1):
        try:
            module, _, name = entry["notifier"].rpartition(".")
            notifier = getattr(import_module(module), name)
            if not issubclass(notifier, BaseNotifier):
                raise TypeError(f"{entry['notifier']} is no notifier of Airflow")
            made.append(notifier(**entry.get("arguments", {})))
        except (KeyError, TypeError, ImportError, AttributeError, ValueError) as error:
            raise BadSettingsError(f"Airflow Variable '{NOTIFIERS_VARIABLE}', entry {number}: {error}") from None
    return made


def _notify(notifier: BaseNotifier, alert: Alert, context: Mapping[str, Any]) -> None:
    try:
        notifier({**context, "ghost_alert": f"Ghost Tracking: {alert.message}", "ghost_alert_kind": alert.kind.value})
    except Exception:  # whatever a notifier of somebody's raises
        log.exception("%s could not tell of the alert '%s'", type(notifier).__name__, alert.kind)
