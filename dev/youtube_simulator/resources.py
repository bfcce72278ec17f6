"""Resources of the API as JSON objects: a video, its statistics, a playlist item, a search result, a channel."""

import base64
import html
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from .growth import Reading
from .identity import etag, mix
from .videos import Broadcast, Channel, Video
from .world import World

Json = dict[str, Any]
_SEARCH_DESCRIPTION_LENGTH = 120


def timestamp(moment: datetime, *, fractions: bool = False) -> str:
    """Print a UTC time as 2026-01-15T10:00:00Z; with milliseconds when asked for or when it has any."""
    precision = "milliseconds" if fractions or moment.microsecond else "seconds"
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def iso_duration(seconds: int) -> str:
    """Print a length as ISO 8601: PT1H2M3S; P0D for nothing (a broadcast that has not ended)."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = "".join(f"{value}{unit}" for value, unit in ((hours, "H"), (minutes, "M"), (rest, "S")) if value)
    date = f"{days}D" if days or not parts else ""
    return f"P{date}" + (f"T{parts}" if parts else "")


def counts(reading: Reading) -> dict[str, str]:
    """Give the counts as int64 strings; one that is not shown is left out."""
    shown = {"viewCount": str(reading.views)}
    if reading.likes is not None:
        shown["likeCount"] = str(reading.likes)
    if reading.comments is not None:
        shown["commentCount"] = str(reading.comments)
    return shown


def seconds_shown(video: Video, broadcast: Broadcast | None, now: datetime) -> int:
    """Give the length that is shown: a live broadcast has none before its end."""
    if broadcast is None or broadcast.premiere:
        return video.seconds
    if now < broadcast.actual_end:
        return 0
    return int((broadcast.actual_end - broadcast.actual_start).total_seconds())


class Resources:
    """Build resources of one universe at one moment; `fractions` prints times with milliseconds."""

    def __init__(self, world: World, now: datetime, *, fractions: bool) -> None:
        """Fix the universe and the moment (UTC)."""
        self.world = world
        self.origin = world.origin
        self.now = now
        self.fractions = fractions

    def time(self, moment: datetime) -> str:
        """Print a time in the chosen form."""
        return timestamp(moment, fractions=self.fractions)

    def published(self, video: Video) -> str:
        """Print the moment of publication."""
        return self.time(video.published_at(self.origin))

    def video_stats(self, video: Video, reading: Reading, parts: Collection[str], *, iso: bool) -> Json:
        """Build an item of batchGetStats (youtube#videoStats)."""
        item: Json = {"kind": "youtube#videoStats", "etag": etag(video.id, *reading), "id": video.id}
        if "snippet" in parts:
            item["snippet"] = {"publishTime": self.published(video)}
        if "statistics" in parts:
            item["statistics"] = counts(reading)
        if "contentDetails" in parts:
            length = seconds_shown(video, video.broadcast(self.origin), self.now)
            item["contentDetails"] = {"duration": iso_duration(length) if iso else f"{length}s"}
        return item

    def video(self, video: Video, reading: Reading, parts: Collection[str]) -> Json:
        """Build an item of videos.list (youtube#video)."""
        broadcast = video.broadcast(self.origin)
        item: Json = {"kind": "youtube#video", "etag": etag(video.id, *reading), "id": video.id}
        if "snippet" in parts:
            item["snippet"] = self._video_snippet(video, broadcast)
        if "contentDetails" in parts:
            item["contentDetails"] = {
                "duration": iso_duration(seconds_shown(video, broadcast, self.now)),
                "dimension": "2d",
                "definition": "hd" if mix(video.noise + 101) % 8 else "sd",
                "caption": "true" if mix(video.noise + 103) % 3 == 0 else "false",
                "licensedContent": mix(video.noise + 107) % 2 == 0,
                "contentRating": {},
                "projection": "rectangular",
            }
        if "status" in parts:
            item["status"] = {
                "uploadStatus": "processed",
                "privacyStatus": "public",
                "license": "youtube",
                "embeddable": True,
                "publicStatsViewable": True,
                "madeForKids": False,
            }
        if "statistics" in parts:
            shown = counts(reading)
            item["statistics"] = {**shown, "favoriteCount": "0"}
        if "liveStreamingDetails" in parts and broadcast is not None:
            item["liveStreamingDetails"] = self._live_details(broadcast)
        return item

    def _live_details(self, broadcast: Broadcast) -> Json:
        details: Json = {}
        if self.now >= broadcast.actual_start:
            details["actualStartTime"] = self.time(broadcast.actual_start)
        if self.now >= broadcast.actual_end:
            details["actualEndTime"] = self.time(broadcast.actual_end)
        details["scheduledStartTime"] = self.time(broadcast.scheduled_start)
        return details

    def _live_state(self, broadcast: Broadcast | None) -> str:
        return "none" if broadcast is None else broadcast.state(self.now)

    def _video_snippet(self, video: Video, broadcast: Broadcast | None) -> Json:
        title, description, language = video.title, video.description, video.channel.tongue.language
        snippet: Json = {
            "publishedAt": self.published(video),
            "channelId": video.channel.id,
            "title": title,
            "description": description,
            "thumbnails": thumbnails(video.id, large=True),
            "channelTitle": video.channel.title,
        }
        if video.tags:
            snippet["tags"] = list(video.tags)
        snippet["categoryId"] = video.category
        snippet["liveBroadcastContent"] = self._live_state(broadcast)
        if mix(video.noise + 109) % 3:
            snippet["defaultLanguage"] = language
        snippet["localized"] = {"title": title, "description": description}
        snippet["defaultAudioLanguage"] = language
        return snippet

    def playlist_item(
        self, playlist: str, owner: Channel, video: Video, position: int, added_at: datetime, parts: Collection[str]
    ) -> Json:
        """Build an item of playlistItems.list; a video that is gone has no publication time any more."""
        public = self.world.available(video, self.now)
        name = f"{playlist}.{etag(playlist, video.id)[:16]}"
        item: Json = {
            "kind": "youtube#playlistItem",
            "etag": etag(playlist, video.id, public),
            "id": base64.urlsafe_b64encode(name.encode()).decode(),
        }
        if "snippet" in parts:
            item["snippet"] = self._playlist_snippet(playlist, owner, video, position, added_at, public=public)
        if "contentDetails" in parts:
            item["contentDetails"] = {"videoId": video.id}
            if public:
                item["contentDetails"]["videoPublishedAt"] = self.published(video)
        if "status" in parts:
            item["status"] = {"privacyStatus": "public" if public else "privacyStatusUnspecified"}
        return item

    def _playlist_snippet(
        self, playlist: str, owner: Channel, video: Video, position: int, added_at: datetime, *, public: bool
    ) -> Json:
        snippet: Json = {
            "publishedAt": self.time(added_at),
            "channelId": owner.id,
            "title": video.title if public else "Deleted video",
            "description": video.description if public else "This video is unavailable.",
            "thumbnails": thumbnails(video.id, large=True) if public else {},
            "channelTitle": owner.title,
            "playlistId": playlist,
            "position": position,
            "resourceId": {"kind": "youtube#video", "videoId": video.id},
        }
        if public:
            snippet["videoOwnerChannelTitle"] = video.channel.title
            snippet["videoOwnerChannelId"] = video.channel.id
        return snippet

    def search_result(self, video: Video, parts: Collection[str]) -> Json:
        """Build an item of search.list; its texts are escaped for HTML, its description is cut short."""
        item: Json = {
            "kind": "youtube#searchResult",
            "etag": etag("search", video.id),
            "id": {"kind": "youtube#video", "videoId": video.id},
        }
        if "snippet" in parts:
            text = " ".join(video.description.split())
            if len(text) > _SEARCH_DESCRIPTION_LENGTH:
                text = text[:_SEARCH_DESCRIPTION_LENGTH].rsplit(" ", 1)[0] + " ..."
            item["snippet"] = {
                "publishedAt": self.published(video),
                "channelId": video.channel.id,
                "title": escape(video.title),
                "description": escape(text),
                "thumbnails": thumbnails(video.id, large=False),
                "channelTitle": escape(video.channel.title),
                "liveBroadcastContent": self._live_state(video.broadcast(self.origin)),
                "publishTime": self.published(video),
            }
        return item

    def channel(self, channel: Channel, parts: Collection[str]) -> Json:
        """Build an item of channels.list (youtube#channel)."""
        item: Json = {"kind": "youtube#channel", "etag": etag("channel", channel.id), "id": channel.id}
        if "snippet" in parts:
            description = f"{channel.title}: {channel.handle}"
            item["snippet"] = {
                "title": channel.title,
                "description": description,
                "customUrl": f"@{channel.handle}",
                "publishedAt": f"20{10 + len(channel.handle) % 10}-03-01T09:36:14Z",
                "thumbnails": {
                    name: {"url": f"https://yt3.ggpht.com/{channel.id}=s{size}", "width": size, "height": size}
                    for name, size in (("default", 88), ("medium", 240), ("high", 800))
                },
                "localized": {"title": channel.title, "description": description},
                "country": channel.tongue.country,
            }
        if "contentDetails" in parts:
            item["contentDetails"] = {"relatedPlaylists": {"likes": "", "uploads": channel.uploads}}
        if "statistics" in parts:
            videos = self.world.uploads_count(channel, self.now)
            item["statistics"] = {
                "viewCount": str(int(videos * 9000 * channel.audience)),
                "subscriberCount": str(int(12_000 * channel.audience)),
                "hiddenSubscriberCount": False,
                "videoCount": str(videos),
            }
        return item


def escape(text: str) -> str:
    """Escape a text for HTML as search answers do: &amp; &lt; &gt; &quot; &#39;."""
    return html.escape(text).replace("&#x27;", "&#39;")


def thumbnails(video_id: str, *, large: bool) -> Json:
    """Give the thumbnails of a video: three sizes, or four."""
    sizes = [("default", "default", 120, 90), ("medium", "mqdefault", 320, 180), ("high", "hqdefault", 480, 360)]
    if large:
        sizes.append(("standard", "sddefault", 640, 480))
    return {
        name: {"url": f"https://i.ytimg.com/vi/{video_id}/{file}.jpg", "width": width, "height": height}
        for name, file, width, height in sizes
    }
