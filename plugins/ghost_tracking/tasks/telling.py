"""Telling: alerts go out through Airflow's notifiers, which the Variable `ghost_notifiers` names.

Without it, alerts are warnings in the log. Used in the triggerer and the DAG processor too, so it imports neither
pyarrow nor what asks YouTube.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from importlib import import_module
from typing import Any

from airflow.sdk import BaseNotifier, Variable

from ghost_tracking.core.alerts import Alert, Kind
from ghost_tracking.errors import BadSettingsError, GhostTrackingError
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.settings import NOTIFIERS_VARIABLE, Settings, read_settings

log = logging.getLogger(__name__)


def tell(found: Iterable[Alert], context: Mapping[str, Any]) -> None:
    """Tell of these alerts by every notifier. One that fails is an error in the log, and stops neither the others nor
    the run."""
    for alert in found:
        try:
            for notifier in notifiers():
                _notify(notifier, alert, context)
        except BadSettingsError as error:
            log.error("Nobody is told: %s", error.message)


def tell_of_run(alert: Alert, context: Mapping[str, Any], *, is_news: Callable[[], bool]) -> bool:
    """Tell of a run that went wrong, unless somebody was told of such a one within the cooldown; whether it was told.

    Where the database cannot say, for it may be what went wrong, `is_news` does. Bad settings, which may be it too,
    are no obstacle: the defaults hold then.
    """
    log.warning("Alert (%s): %s", alert.kind, alert.message)
    settings = _settings()
    if alert.kind is Kind.FAILED and not settings.alert_failed_runs:
        return False
    try:
        with WatchlistHook() as watchlist:
            watchlist.migrate()
            due = watchlist.alert_due(alert.key, timedelta(hours=settings.alert_cooldown_hours))
    except GhostTrackingError as error:
        log.warning("Whether somebody knows already cannot be looked up: %s", error.message)
        due = is_news()
    if due:
        tell([alert], context)
    return due


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


def _settings() -> Settings:
    try:
        return read_settings()
    except BadSettingsError:
        return Settings()


def _notify(notifier: BaseNotifier, alert: Alert, context: Mapping[str, Any]) -> None:
    try:
        notifier({**context, "ghost_alert": f"Ghost Tracking: {alert.message}", "ghost_alert_kind": alert.kind.value})
    except Exception:  # whatever a notifier of somebody's raises
        log.exception("%s could not tell of the alert '%s'", type(notifier).__name__, alert.kind)
