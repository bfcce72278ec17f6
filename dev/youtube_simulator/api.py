"""The endpoints: from a call to the JSON object that answers it. No HTTP, keys or quota here."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from . import errors, search
from .growth import Reading
from .identity import etag, mix
from .journal import ServedReading
from .quirks import Quirks
from .quota import ENDPOINT_BUCKETS, Bucket
from .request import Request
from .resources import Json, Resources
from .videos import Channel, Video
from .world import CHART_CATEGORIES, World

Item = TypeVar("Item")
_STATS_PARTS = frozenset({"id", "snippet", "statistics", "contentDetails"})
_VIDEO_PARTS = frozenset(
    {"id", "snippet", "statistics", "contentDetails", "liveStreamingDetails", "status", "localizations"}
    | {"player", "recordingDetails", "topicDetails", "paidProductPlacementDetails"}
)
_PLAYLIST_PARTS = frozenset({"id", "snippet", "contentDetails", "status"})
_CHANNEL_PARTS = frozenset(
    {"id", "snippet", "contentDetails", "statistics", "status", "brandingSettings", "localizations"}
    | {"topicDetails", "contentOwnerDetails", "auditDetails"}
)
_SEARCH_PARTS = frozenset({"id", "snippet"})
_REGION_LETTERS = 2


@dataclass(slots=True)
class Answer:
    """A successful answer, and the readings in it for the journal."""

    payload: Json
    readings: list[ServedReading] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Route:
    """A method of the API: its name, and what answers it."""

    endpoint: str
    answer: Callable[["Api", Request, datetime], Answer]

    @property
    def bucket(self) -> Bucket:
        """The bucket that a call draws on."""
        return ENDPOINT_BUCKETS[self.endpoint]


class Api:
    """Answer calls from a universe; raises ApiError for calls that the API refuses."""

    def __init__(self, world: World, quirks: Quirks) -> None:
        """Serve this universe with these quirks, both read again at every call."""
        self.world = world
        self.quirks = quirks

    def _resources(self, now: datetime) -> Resources:
        return Resources(self.world, now, fractions=self.quirks.fractions)

    def _public(self, ids: Iterable[str], now: datetime) -> list[Video]:
        found = (self.world.public(video_id, now) for video_id in ids)
        return [video for video in found if video is not None]

    def batch_get_stats(self, request: Request, now: datetime) -> Answer:
        """videos.batchGetStats: the statistics of up to 50 ids; unknown ones are left out."""
        parts = request.parts(_STATS_PARTS)
        ids = request.ids()
        if not ids:
            raise errors.missing_parameter("id")
        resources, iso = self._resources(now), self.quirks.duration == "iso"
        videos = self._public(ids, now)
        readings = [self.world.reading(video, now) for video in videos]
        pairs = zip(videos, readings, strict=True)
        items = [resources.video_stats(video, reading, parts, iso=iso) for video, reading in pairs]
        body = _listing("youtube#batchGetStatsResponse", items)
        if self.quirks.summary:
            body["summary"] = _summary(ids, {video.id for video in videos})
        served = zip(videos, readings, strict=True) if "statistics" in parts else ()
        return Answer(body, _served(served, resources, "videos.batchGetStats"))

    def videos(self, request: Request, now: datetime) -> Answer:
        """videos.list: by ids, or a page of a region's chart of popular videos."""
        parts = request.parts(_VIDEO_PARTS)
        ids, chart = request.ids(), request.one("chart")
        if ids and chart:
            raise errors.incompatible("id", "chart")
        if chart:
            videos, links, total = self._chart(request, chart, now)
        elif ids:
            videos, links = self._public(ids, now), {}
            total = len(videos)
        else:
            raise errors.no_filter("chart", "id", "myRating")
        resources = self._resources(now)
        readings = [self.world.reading(video, now) for video in videos]
        items = [resources.video(video, reading, parts) for video, reading in zip(videos, readings, strict=True)]
        info = {"totalResults": total, "resultsPerPage": len(videos)}
        body = _listing("youtube#videoListResponse", items, **links, pageInfo=info)
        served = zip(videos, readings, strict=True) if "statistics" in parts else ()
        return Answer(body, _served(served, resources, "videos.list"))

    def _chart(self, request: Request, chart: str, now: datetime) -> tuple[list[Video], dict[str, str], int]:
        if chart != "mostPopular":
            raise errors.invalid_value("chart", chart)
        region, category = request.one("regionCode") or "US", request.one("videoCategoryId")
        if len(region) != _REGION_LETTERS or not region.isalpha():
            raise errors.invalid_value("regionCode", region)
        if category in (None, "0"):
            category = None
        elif category not in CHART_CATEGORIES:
            raise errors.chart_not_found()
        page = request.page(smallest=1)
        videos = self.world.popular(region.upper(), category, now)
        return page.of(videos), page.links(more=len(videos) > page.stop), len(videos)

    def playlist_items(self, request: Request, now: datetime) -> Answer:
        """playlistItems.list: a channel's uploads newest first, or a curated playlist oldest first."""
        parts = request.parts(_PLAYLIST_PARTS)
        playlist = request.one("playlistId")
        if playlist is None:
            raise errors.no_filter("id", "playlistId")
        page = request.page()
        owner, videos, total, added_at = self._playlist(playlist, now)
        known = list(islice(videos, page.stop + 1))
        shown = page.of(known)
        resources = self._resources(now)
        items = [
            resources.playlist_item(playlist, owner, video, page.start + place, added_at(video), parts)
            for place, video in enumerate(shown)
        ]
        links = page.links(more=len(known) > page.stop)
        info = {"totalResults": total, "resultsPerPage": page.size}
        return Answer(_listing("youtube#playlistItemListResponse", items, **links, pageInfo=info))

    def _playlist(
        self, playlist: str, now: datetime
    ) -> tuple[Channel, Iterator[Video], int, Callable[[Video], datetime]]:
        """Give owner, videos and their number, and when each came onto the playlist."""
        channel = self.world.channel("UC" + playlist[2:]) if playlist.startswith("UU") else None
        if channel is not None:
            videos = self.world.uploads(channel.id, now)
            if self.quirks.uploads_disorder:
                videos = _disordered(videos)
            return channel, videos, self.world.uploads_count(channel, now), self.world.published_at
        curated = self.world.playlist(playlist)
        if curated is None:
            raise errors.playlist_not_found()
        members = self.world.curated(curated, now)
        return curated.channels[0], iter(members), len(members), partial(self.world.added_at, curated)

    def channels(self, request: Request, now: datetime) -> Answer:
        """channels.list: by ids or by a handle; without a match `items` is missing, as at YouTube."""
        parts = request.parts(_CHANNEL_PARTS)
        ids, handle = request.ids(), request.one("forHandle")
        if not ids and not handle and not request.one("forUsername"):
            raise errors.no_filter("id", "forHandle", "forUsername", "mine")
        found = [self.world.channel(identity) for identity in ids]
        if handle:
            found.append(self.world.channel_by_handle(handle))
        resources = self._resources(now)
        items = [resources.channel(channel, parts) for channel in found if channel is not None]
        info = {"totalResults": len(items), "resultsPerPage": len(items) or 5}
        body = _listing("youtube#channelListResponse", items, pageInfo=info)
        if not items:
            body.pop("items", None)
        return Answer(body)

    def search(self, request: Request, now: datetime) -> Answer:
        """search.list: videos that fit a query, newest first whatever the order asked for."""
        parts = request.parts(_SEARCH_PARTS)
        page = request.page()
        query = search.Query.of(request, now)
        kinds = request.many("type")
        videos = search.found(self.world, query, now) if not kinds or "video" in kinds else iter(())
        if self.quirks.search == "sampled":
            videos = search.sampled(videos, self.world, query, now)
        shown, more = search.cut(videos, page, repeats=self.quirks.search_repeats)
        resources = self._resources(now)
        items = [resources.search_result(video, parts) for video in shown]
        total = mix(sum(map(ord, "".join(query.words))) + page.start + int(now.timestamp()) // 600) % 1_000_000
        body = _listing(
            "youtube#searchListResponse",
            items,
            **page.links(more=more),
            regionCode=(request.one("regionCode") or "US").upper(),
            pageInfo={"totalResults": total, "resultsPerPage": page.size},
        )
        return Answer(body)


def _served(pairs: Iterable[tuple[Video, Reading]], resources: Resources, endpoint: str) -> list[ServedReading]:
    """Give what the journal keeps of the readings that go out."""
    return [
        ServedReading(video.id, resources.now, *reading, video.published_at(resources.origin), endpoint)
        for video, reading in pairs
    ]


def _listing(kind: str, items: list[Json], **fields: Any) -> Json:
    return {"kind": kind, "etag": etag(kind, *(item["etag"] for item in items)), **fields, "items": items}


def _summary(asked: list[str], found: set[str]) -> Json:
    failed = [video_id for video_id in asked if video_id not in found]
    return {
        "requestedVideoCount": len(asked),
        "succeededVideoCount": len(found),
        "failedVideoCount": len(failed),
        "failedVideoIds": failed,
    }


def _disordered(videos: Iterator[Item]) -> Iterator[Item]:
    """Let neighbours change places: 1 0 3 2 …"""
    for first in videos:
        second = next(videos, None)
        if second is not None:
            yield second
        yield first


ROUTES = {
    "videos:batchGetStats": Route("videos.batchGetStats", Api.batch_get_stats),
    "videos": Route("videos.list", Api.videos),
    "playlistItems": Route("playlistItems.list", Api.playlist_items),
    "channels": Route("channels.list", Api.channels),
    "search": Route("search.list", Api.search),
}
