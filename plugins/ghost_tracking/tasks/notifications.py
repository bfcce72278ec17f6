"""Notifications: alerts go out through Airflow's notifiers, which the Variable `ghost_notifiers` names.

Without it, alerts are warnings in the log. Used in the triggerer too, so it imports neither pyarrow nor what asks
YouTube.

Whoever may edit Variables writes the notifiers' texts, which are Jinja templates: so they get the alert's own words and
nothing of Airflow's context, whose `conn` and `var` have passwords. And a class is imported only where the deployment
allows it by name.
"""

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from importlib import import_module

from airflow.sdk import BaseNotifier, Variable
from airflow.sdk.exceptions import AirflowException

from ghost_tracking.core.alerts import Alert, Kind
from ghost_tracking.errors import BadSettingsError, GhostTrackingError
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.settings import (
    NOTIFIERS_ENVIRONMENT,
    NOTIFIERS_VARIABLE,
    Settings,
    notifiers_allowed,
    read_settings,
)

log = logging.getLogger(__name__)


def send(
    found: Sequence[Alert], watchlist: WatchlistHook | None = None, settings: Settings | None = None
) -> list[Alert]:
    """Send these alerts by every notifier; returns those that one at least has sent.

    With a `watchlist`, only those that were not sent within the cooldown of the `settings`, which begins when one is
    sent. A notifier that fails, or a bad Variable, is an error in the log, and stops neither the others nor the run.
    """
    for alert in found:
        log.warning("Alert (%s): %s", alert.kind, alert.message)
    cooldown = timedelta(hours=(settings or Settings()).alert_cooldown_hours)
    try:
        # made for each alert, since they render their texts in place
        return [alert for alert in found if _sent(alert, notifiers(), watchlist, cooldown)]
    except BadSettingsError as error:
        log.error("No alert is sent: %s", error.message)
        return []


def _sent(
    alert: Alert,
    by: Sequence[BaseNotifier],
    watchlist: WatchlistHook | None,
    cooldown: timedelta,
) -> bool:
    """Whether one at least of the notifiers has sent it. Of two tasks at a time one sends."""
    if not by or (watchlist and not watchlist.alerts.claim(alert.key, cooldown)):
        return False
    succeeded = 0
    try:
        for notifier in by:
            succeeded += _notify(notifier, alert)
    finally:
        if watchlist and not succeeded:
            watchlist.alerts.clear([alert.key])
    return succeeded > 0


def send_for_run(alert: Alert, *, is_news: Callable[[], bool]) -> bool:
    """Send the alert of a run that went wrong, unless such a one was sent within the cooldown; whether it was sent.

    Where the database cannot say, for it may be what went wrong, `is_news` does. Bad settings, which may be it too,
    are no obstacle: the defaults hold then.
    """
    settings = _settings()
    if alert.kind is Kind.FAILED and not settings.alert_failed_runs:
        log.warning("Alert (%s), not sent because alert_failed_runs is off: %s", alert.kind, alert.message)
        return False
    with ExitStack() as open_hooks:
        watchlist: WatchlistHook | None = None
        try:
            watchlist = open_hooks.enter_context(WatchlistHook())
            watchlist.migrate()
        except GhostTrackingError as error:
            log.warning("Cannot look up whether this alert was sent already: %s", error.message)
            if not is_news():
                return False
            watchlist = None
        return bool(send([alert], watchlist, settings))


def notifiers() -> list[BaseNotifier]:
    """The notifiers of the Variable: a JSON list of `{"notifier": "a.b.SlackNotifier", "arguments": {…}}`.

    Any text among the arguments that the notifier renders can have `{{ ghost_alert }}`, the message, and
    `{{ ghost_alert_kind }}`. Raises BadSettingsError, which names the entry; nothing is imported that
    `settings.notifiers_allowed` does not have.
    """
    text = Variable.get(NOTIFIERS_VARIABLE, default=None)
    made = []
    try:
        entries = json.loads(text) if text and text.strip() else []
        if not isinstance(entries, list):
            raise ValueError(f"it has {text[:60]}")
    except ValueError as error:
        raise BadSettingsError(f"Airflow Variable '{NOTIFIERS_VARIABLE}' is not a JSON list: {error}") from None
    for number, entry in enumerate(entries, 1):
        try:
            made.append(_notifier_class(entry["notifier"])(**entry.get("arguments", {})))
        except (KeyError, TypeError, ImportError, AttributeError, ValueError, AirflowException) as error:
            raise BadSettingsError(f"Airflow Variable '{NOTIFIERS_VARIABLE}', entry {number}: {error}") from None
    return made


def _notifier_class(path: str) -> type[BaseNotifier]:
    """The class of this name, once the deployment is found to allow it: an import runs whatever it is pointed at."""
    if not _is_allowed(path):
        raise ValueError(
            f"{path[:200]!r} is not a notifier that this deployment allows: add its class to the environment "
            f"variable {NOTIFIERS_ENVIRONMENT} of every worker and the triggerer"
        )
    module, _, name = path.rpartition(".")
    notifier = getattr(import_module(module), name)
    if not (isinstance(notifier, type) and issubclass(notifier, BaseNotifier)):
        raise TypeError(f"{path} is not an Airflow notifier")
    return notifier


def _is_allowed(path: str) -> bool:
    return all(map(str.isidentifier, path.split("."))) and any(
        path.startswith(allowed) if allowed.endswith(".") else path == allowed for allowed in notifiers_allowed()
    )


def _settings() -> Settings:
    try:
        return read_settings()
    except BadSettingsError:
        return Settings()


def _notify(notifier: BaseNotifier, alert: Alert) -> bool:
    try:
        notifier({"ghost_alert": f"Ghost Tracking: {alert.message}", "ghost_alert_kind": alert.kind.value})
    except Exception:  # whatever a notifier of somebody's raises
        log.exception("%s could not send the alert '%s'", type(notifier).__name__, alert.kind)
        return False
    return True
