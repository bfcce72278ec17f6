"""What YouTube says of a video, read from the items of its answers.

Both answers that carry counts are read by the same code: `videos.list` (kind youtube#video) and
`videos.batchGetStats` (kind youtube#videoStats), whose publish time is called publishTime.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ghost_tracking.core.points import EARLIEST, LARGEST_COUNT, MetricPoint
from ghost_tracking.errors import MalformedItemError

LATEST = datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Reading:
    """The counts of a video at one time; a count that YouTube does not give is None, never 0."""

    video_id: str
    observed_at: datetime
    views: int | None
    likes: int | None
    comments: int | None
    published_at: datetime | None
    starts_at: datetime | None = None
    """Actual start of a premiere or broadcast; the scheduled one while `awaits_start`."""
    awaits_start: bool = False

    @property
    def anchor_at(self) -> datetime | None:
        """What the video's age is counted from: its start, or else its publish time."""
        return self.starts_at or self.published_at

    @property
    def point(self) -> MetricPoint:
        """The reading as a row of the vault."""
        return MetricPoint(self.video_id, self.observed_at, self.views, self.likes, self.comments, self.published_at)


@dataclass(frozen=True, slots=True)
class Video:
    """Metadata as discovered, and the reading that came with it. The description goes to the vault only."""

    id: str
    title: str | None
    published_at: datetime | None
    tags: tuple[str, ...]
    channel_id: str | None
    channel_title: str | None
    category_id: str | None
    duration: timedelta | None
    default_language: str | None
    reading: Reading
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A video that a source names; `published_at` is None where the source does not tell it."""

    video_id: str
    published_at: datetime | None = None

    def is_published_in(self, after: datetime | None, before: datetime | None) -> bool:
        """Whether it belongs to a window; one whose publish time is not told is given the benefit of the doubt."""
        if self.published_at is None:
            return True
        return (after is None or self.published_at >= after) and (before is None or self.published_at < before)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, as YouTube gave it: every video that it names, in order.

    `next_token` asks for the next page; None: the listing ends here. `total` is how many YouTube says the listing has
    (of a search: an estimate); None where it does not say. So an empty first page is the whole of an empty listing
    only where `total` is 0.
    """

    found: list[Found]
    next_token: str | None = None
    total: int | None = None


def item_id(item: object) -> str | None:
    """The id of an item, or None where it has none that could be one."""
    video_id = item.get("id") if isinstance(item, dict) else None
    return video_id if isinstance(video_id, str) and video_id else None


def read_counts(item: Mapping[str, Any], observed_at: datetime) -> Reading:
    """One item of `videos.list` or `videos.batchGetStats`; raises MalformedItemError with the reason."""
    snippet, statistics = _part(item, "snippet"), _part(item, "statistics")
    live = _part(item, "liveStreamingDetails")
    started_at = _instant(live, "actualStartTime")
    awaits_start = snippet.get("liveBroadcastContent") == "upcoming" and started_at is None
    return Reading(
        video_id=str(item["id"]),
        observed_at=observed_at,
        views=_count(statistics, "viewCount"),
        likes=_count(statistics, "likeCount"),
        comments=_count(statistics, "commentCount"),
        published_at=_instant(snippet, "publishedAt") or _instant(snippet, "publishTime"),
        starts_at=started_at or (_instant(live, "scheduledStartTime") if awaits_start else None),
        awaits_start=awaits_start,
    )


def read_video(item: Mapping[str, Any], observed_at: datetime) -> Video:
    """One item of `videos.list` with its metadata; raises MalformedItemError with the reason."""
    reading = read_counts(item, observed_at)
    snippet = _part(item, "snippet")
    tags = snippet.get("tags")
    return Video(
        id=reading.video_id,
        title=_text(snippet, "title"),
        published_at=reading.published_at,
        tags=tuple(_clean(tag) for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
        channel_id=_text(snippet, "channelId"),
        channel_title=_text(snippet, "channelTitle"),
        category_id=_text(snippet, "categoryId"),
        duration=parse_duration(_part(item, "contentDetails").get("duration")),
        default_language=_text(snippet, "defaultLanguage") or _text(snippet, "defaultAudioLanguage"),
        reading=reading,
        description=_text(snippet, "description"),
    )


def parse_instant(text: str) -> datetime:
    """An RFC 3339 time, with or without fractions of a second, as aware UTC. ValueError where it is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.astimezone(UTC)


_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


def parse_duration(text: object) -> timedelta | None:
    """An ISO 8601 duration as YouTube writes it (PT1H2M3S, P1DT2H; P0D while live); None where it is none."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    weeks, days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
    try:
        return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        return None


def _part(item: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = item.get(name)
    if part is None:
        return {}
    if not isinstance(part, dict):
        raise MalformedItemError(f"{name} is {type(part).__name__}, not an object")
    return part


def _text(part: Mapping[str, Any], name: str) -> str | None:
    value = part.get(name)
    return _clean(value) if isinstance(value, str) else None


def _clean(text: str) -> str:
    """Without what PostgreSQL's text cannot hold: the character NUL, and halves of surrogate pairs."""
    return text.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8")


def _count(statistics: Mapping[str, Any], name: str) -> int | None:
    """YouTube writes int64 counts as strings; a missing one is hidden or switched off."""
    value = statistics.get(name)
    if value is None:
        return None
    text = value if isinstance(value, str) else repr(value)
    is_number = text.isascii() and text.isdigit() and len(text) <= 19 and not isinstance(value, bool)
    if not is_number or int(text) > LARGEST_COUNT:
        raise MalformedItemError(f"{name} is {str(value)[:40]!r}, not a count")
    return int(text)


def _instant(part: Mapping[str, Any], name: str) -> datetime | None:
    value = part.get(name)
    if value is None:
        return None
    try:
        moment = parse_instant(value)
    except (TypeError, ValueError, OverflowError):
        moment = None
    if moment is None or not EARLIEST <= moment < LATEST:
        raise MalformedItemError(f"{name} is {str(value)[:40]!r}, not a time that can be")
    return moment
