"""Alerting: a look at schedule, quota and vault, by every run of the tracker, and every hour by the hunter, so that a
tracker that has stopped is noticed too. Of each thing somebody is told once, and again after a cooldown.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from ghost_tracking.core.alerts import Alert, Kind, Limits, Observation, alerts, stale_sources
from ghost_tracking.core.pacing import QuotaStatus
from ghost_tracking.core.sources import Source
from ghost_tracking.core.wording import counted
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.settings import Settings
from ghost_tracking.tasks.telling import tell

_WATCHED = (Kind.BACKLOG, Kind.QUOTA, Kind.QUIET)


def watch(
    watchlist: WatchlistHook,
    vault: ParquetVaultHook,
    quota: QuotaStatus,
    settings: Settings,
) -> list[Alert]:
    """Look at schedule, quota and vault, and tell whoever should know; returns what was told now.

    What cannot be told is an error in the log: tracking goes on.
    """
    seen = Observation(
        now=watchlist.now(),
        backlog=watchlist.status.backlog(),
        oldest_due_at=watchlist.status.next_due_at(),
        newest_point_at=vault.newest_point(),
        runs_out_at=quota.runs_out_at,
        day_ends_at=quota.day.end,
    )
    found = list(alerts(seen, limits(settings)))
    watchlist.alerts.clear(set(_WATCHED) - {alert.kind for alert in found})
    return tell(found, watchlist, timedelta(hours=settings.alert_cooldown_hours))


def watch_sources(
    sources: Sequence[Source],
    watchlist: WatchlistHook,
    now: datetime,
    settings: Settings,
) -> list[Alert]:
    """Send an alert about sources whose watermark lies too far behind `now` (aware); returns what was sent."""
    if settings.alert_watermark_hours is None:
        return []
    before = now - timedelta(hours=settings.alert_watermark_hours)
    marks = watchlist.watermarks.asked_until([source.key for source in sources])
    behind = {each.label: marks[each.key] for each in sources if each.key in marks}
    behind = {label: until for label, until in behind.items() if until < before}
    if not behind:
        watchlist.alerts.clear([Kind.WATERMARK])
        return []
    return tell([stale_sources(behind, now)], watchlist, timedelta(hours=settings.alert_cooldown_hours))


def tell_of_heat(video_ids: Sequence[str], settings: Settings) -> None:
    """Tell of settled videos that have become hot; each is told of once, since it is read daily from then on."""
    if video_ids and settings.alert_heat:
        shown = ", ".join(video_ids[:10]) + (", …" if len(video_ids) > 10 else "")
        grow = counted(len(video_ids), "settled video grows again and is", "settled videos grow again and are")
        tell([Alert(Kind.HEAT, f"{grow} read daily: {shown}")])


def limits(settings: Settings) -> Limits:
    """The limits that a deployment has set."""
    hours, minutes = settings.alert_quota_hours, settings.alert_quiet_minutes
    return Limits(
        backlog=settings.alert_backlog_videos,
        quota=None if hours is None else timedelta(hours=hours),
        quiet=None if minutes is None else timedelta(minutes=minutes),
    )
