"""What there is to alert somebody of: gathered from schedule, quota, vault and sources; `tasks.notifications` sends it.

Every run of the tracker looks, and the hunter every hour, so that a tracker that has stopped is noticed too.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from ghost_tracking.core.alerts import Alert, AlertInputs, AlertThresholds, Kind, alerts, stale_sources
from ghost_tracking.core.pacing import QuotaStatus
from ghost_tracking.core.policies import Policy
from ghost_tracking.core.sources import Source
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.settings import Settings
from ghost_tracking.vault import Vault
from ghost_tracking.wording import pluralize

_WATCHED = (Kind.BACKLOG, Kind.QUOTA, Kind.NO_DATA)


def schedule_alerts(watchlist: Schedule, vault: Vault, quota: QuotaStatus, settings: Settings) -> list[Alert]:
    """Look at schedule, quota and vault. Notes which alerts are over: their cooldown ends."""
    seen = AlertInputs(
        now=watchlist.now(),
        backlog=watchlist.status.backlog(),
        oldest_due_at=watchlist.status.next_due_at(),
        newest_point_at=vault.newest_point(),
        # a policy that uses all the quota that there is leaves nothing to be told
        runs_out_at=None if settings.policy is Policy.ADAPTIVE else quota.runs_out_at,
        day_ends_at=quota.day.end,
    )
    found = list(alerts(seen, thresholds(settings)))
    watchlist.alerts.clear(set(_WATCHED) - {alert.kind for alert in found})
    return found


def source_alerts(sources: Sequence[Source], watchlist: Schedule, now: datetime, settings: Settings) -> list[Alert]:
    """Sources whose watermark lies too far behind `now` (aware), in one alert; notes where none does any more."""
    if settings.alert_watermark_hours is None:
        return []
    before = now - timedelta(hours=settings.alert_watermark_hours)
    marks = watchlist.watermarks.asked_until([source.key for source in sources])
    behind = {each.label: marks[each.key] for each in sources if each.key in marks}
    behind = {label: until for label, until in behind.items() if until < before}
    if not behind:
        watchlist.alerts.clear([Kind.WATERMARK])
        return []
    return [stale_sources(behind, now)]


def promotion_alerts(video_ids: Sequence[str], settings: Settings) -> list[Alert]:
    """Settled videos that were promoted; an alert is sent once of each, since it is read daily from then on."""
    if not video_ids or not settings.alert_promotions:
        return []
    shown = ", ".join(video_ids[:10]) + (", …" if len(video_ids) > 10 else "")
    grow = pluralize(len(video_ids), "settled video grows again and is", "settled videos grow again and are")
    return [Alert(Kind.PROMOTION, f"{grow} read daily: {shown}")]


def thresholds(settings: Settings) -> AlertThresholds:
    """The thresholds that a deployment has set."""
    hours, minutes = settings.alert_quota_hours, settings.alert_no_data_minutes
    return AlertThresholds(
        backlog=settings.alert_backlog_videos,
        quota=None if hours is None else timedelta(hours=hours),
        no_data=None if minutes is None else timedelta(minutes=minutes),
    )
