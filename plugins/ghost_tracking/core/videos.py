"""What YouTube says of a video, read from the items of its answers.

Both answers that carry counts are read by the same code: `videos.list` (kind youtube#video) and
`videos.batchGetStats` (kind youtube#videoStats). Its publishTime is not `videos.list`'s publishedAt: it tells when a
video was uploaded, which can be days before it was made public.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ghost_tracking.core.points import EARLIEST, LARGEST_COUNT, MetricPoint

LATEST = datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Reading:
    """The counts of a video at one time; a count that YouTube does not give is None, never 0.

    `published_at` comes from `videos.list` only; `uploaded_at` from `videos.batchGetStats`, which knows no better.
    """

    video_id: str
    observed_at: datetime
    views: int | None
    likes: int | None
    comments: int | None
    published_at: datetime | None
    starts_at: datetime | None = None
    """Actual start of a premiere or broadcast; the scheduled one while `awaits_start`."""
    awaits_start: bool = False
    uploaded_at: datetime | None = None

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


def read_counts(item: Mapping[str, Any], observed_at: datetime, odd: list[str] | None = None) -> Reading:
    """One item of `videos.list` or `videos.batchGetStats`; it must have an id.

    What cannot be what it should be (a count that is no number, a time before YouTube) is unknown, None; the names of
    such fields are added to `odd`.
    """
    odd = odd if odd is not None else []
    snippet, statistics = _part(item, "snippet", odd), _part(item, "statistics", odd)
    live = _part(item, "liveStreamingDetails", odd)
    started_at = _instant(live, "actualStartTime", odd)
    awaits_start = snippet.get("liveBroadcastContent") == "upcoming" and started_at is None
    return Reading(
        video_id=str(item["id"]),
        observed_at=observed_at,
        views=_count(statistics, "viewCount", odd),
        likes=_count(statistics, "likeCount", odd),
        comments=_count(statistics, "commentCount", odd),
        published_at=_instant(snippet, "publishedAt", odd),
        starts_at=started_at or (_instant(live, "scheduledStartTime", odd) if awaits_start else None),
        awaits_start=awaits_start,
        uploaded_at=_instant(snippet, "publishTime", odd),
    )


def read_video(item: Mapping[str, Any], observed_at: datetime, odd: list[str] | None = None) -> Video:
    """One item of `videos.list` with its metadata; as `read_counts`."""
    odd = odd if odd is not None else []
    reading = read_counts(item, observed_at, odd)
    snippet = _part(item, "snippet", [])  # an odd one was noted with the counts
    tags = snippet.get("tags")
    return Video(
        id=reading.video_id,
        title=_text(snippet, "title"),
        published_at=reading.published_at,
        tags=tuple(_clean(tag) for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
        channel_id=_text(snippet, "channelId"),
        channel_title=_text(snippet, "channelTitle"),
        category_id=_text(snippet, "categoryId"),
        duration=parse_duration(_part(item, "contentDetails", odd).get("duration")),
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
    try:
        weeks, days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
        return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except (OverflowError, ValueError):  # a number of thousands of digits is a ValueError
        return None


def _part(item: Mapping[str, Any], name: str, odd: list[str]) -> Mapping[str, Any]:
    part = item.get(name)
    if isinstance(part, dict):
        return part
    if part is not None:
        odd.append(name)
    return {}


def _text(part: Mapping[str, Any], name: str) -> str | None:
    value = part.get(name)
    return _clean(value) if isinstance(value, str) else None


def _clean(text: str) -> str:
    """Without what PostgreSQL's text cannot hold: the character NUL, and halves of surrogate pairs."""
    return text.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8")


def _count(statistics: Mapping[str, Any], name: str, odd: list[str]) -> int | None:
    """YouTube writes int64 counts as strings; a missing one is hidden or switched off."""
    value = statistics.get(name)
    if value is None:
        return None
    text = str(value) if isinstance(value, str | float) or (isinstance(value, int) and value <= LARGEST_COUNT) else ""
    is_number = text.isascii() and text.isdigit() and len(text) <= 19
    if not is_number or int(text) > LARGEST_COUNT:
        odd.append(name)
        return None
    return int(text)


def _instant(part: Mapping[str, Any], name: str, odd: list[str]) -> datetime | None:
    value = part.get(name)
    if value is None:
        return None
    try:
        moment = parse_instant(value)
    except (TypeError, ValueError, OverflowError):
        moment = None
    if moment is None or not EARLIEST <= moment < LATEST:
        odd.append(name)
        return None
    return moment
