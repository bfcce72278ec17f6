"""A past for a stack that has just been started: what it would have seen of its simulated YouTube in three weeks.

Every reading is what the simulator would have served at that moment, at the ages of the schedule, so that the tracker
goes on where the past ends. A few hours of it are missing, as after an outage.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ghost_tracking.core.absence import Absence, AvailabilityEvent
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import next_slot
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from youtube_simulator.videos import Video
from youtube_simulator.world import World

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OUTAGE = timedelta(days=2, hours=9), timedelta(days=2, hours=5)
"""How long before the present the tracker was down: from, until."""


@dataclass
class Past:
    """What there is to write; times are UTC."""

    points: list[MetricPoint] = field(default_factory=list)
    entries: list[WatchlistEntry] = field(default_factory=list)
    rows: list[dict] = field(default_factory=list)
    events: list[AvailabilityEvent] = field(default_factory=list)


def write(world: World, vault: ParquetVaultHook, watchlist: WatchlistHook, now: datetime, days: int = 24) -> Past:
    """Put `days` of the past into vault and database: readings, titles, schedule, who has vanished."""
    past = remember(world, now.replace(microsecond=0), days)
    vault.archive_videos(past.rows)
    vault.stage(past.points)
    vault.publish()
    vault.stage_availability(past.events)
    vault.publish_availability()
    watchlist.add_to_watchlist(past.entries)
    return past


def remember(world: World, now: datetime, days: int, channels: int = 5) -> Past:
    """The past of some busy channels, as the tracker would have seen it."""
    past, dice = Past(), random.Random(5)
    for channel in world.channels()[3 : 3 + channels]:
        for video in world.published(now - days * DAY, now - 2 * HOUR, channel.id):
            _follow(world, video, now, past, dice)
    past.points.sort(key=lambda point: point.timestamp)
    return past


def _follow(world: World, video: Video, now: datetime, past: Past, dice: random.Random) -> None:
    published = world.published_at(video)
    last = None
    for moment in _moments(published, now, dice):
        if not world.available(video, moment):
            continue
        views, likes, comments = world.reading(video, moment)
        past.points.append(MetricPoint(video.id, moment, views, likes, comments, published))
        last = moment
    if last is None:
        return
    absence = None
    if not world.available(video, now):
        absence = Absence(3, last + HOUR, min(last + 26 * HOUR, now))
        past.events.append(AvailabilityEvent(video.id, absence.first_missed_at, absence.gone_at))
    tier, due = next_slot(published, now)
    promoted = now + 5 * DAY if tier == "WEEKLY" and absence is None and dice.random() < 0.004 else None
    past.entries.append(
        WatchlistEntry(video.id, tier, last, due, anchor_at=published, absence=absence, promoted_until=promoted)
    )
    past.rows.append(
        {
            "video_id": video.id,
            "title": video.title,
            "published_at": published,
            "tags": list(video.tags),
            "channel_id": video.channel.id,
            "channel_title": video.channel.title,
            "category_id": video.category,
            "duration_seconds": video.seconds,
            "discovered_at": published + timedelta(minutes=35),
            "description": video.description,
        }
    )


def _moments(published: datetime, now: datetime, dice: random.Random) -> Iterator[datetime]:
    """When it was read: by the hunter, then a minute or some after each slot; what the outage put off, after it."""
    moment = (published + timedelta(minutes=dice.randrange(10, 60))).replace(microsecond=0)
    down, up = now - OUTAGE[0], now - OUTAGE[1]
    while moment < now:
        if down <= moment < up:
            moment = up + timedelta(seconds=dice.randrange(20, 900))
        yield moment
        _, slot = next_slot(published, moment)
        moment = (slot + timedelta(seconds=dice.randrange(20, 320))).replace(microsecond=0)


def present() -> datetime:
    """Now, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)
