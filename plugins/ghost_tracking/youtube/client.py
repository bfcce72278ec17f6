"""YouTubeClient: the counts and metadata of videos, and the ways to find new ones, from YouTube's Data API v3."""

import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from datetime import datetime, timedelta
from typing import Any

from ghost_tracking.core.tiers import as_utc
from ghost_tracking.core.video_ids import is_channel_id, uploads_playlist
from ghost_tracking.core.videos import Found, Page, Reading, Video
from ghost_tracking.errors import NotFoundError
from ghost_tracking.youtube.batching import Batching, Fetch
from ghost_tracking.youtube.calls import ApiCalls
from ghost_tracking.youtube.results import (
    BatchResult,
    found_in_list,
    found_in_playlist,
    found_in_search,
    items_of,
    part_of,
)
from ghost_tracking.youtube.rounds import Round
from ghost_tracking.youtube.videos import VideoFetches

_SEARCH_SECONDS = "%Y-%m-%dT%H:%M:%SZ"


class YouTubeClient:
    """YouTube's Data API v3, by an API key: `YouTubeClient(ApiCalls(Endpoint("the key")))`.

    Calls that fail in passing are tried up to four times, with growing pauses or as long as Retry-After says. A page of
    a listing, or all the ids that a verb is given, may take five times as long in all as the `calls`' timeout, unless
    the verb is told otherwise. `threads` calls are under way at a time, each with an HTTP connection of its own.

    Raises YouTubeKeyError (the key), ProjectRefusedError (the API project), ConfigurationError (the endpoint),
    NotFoundError, CallRejectedError, and the transient QuotaExhaustedError, RateLimitedError and YouTubeFaultError.
    No message contains the key or a URL.
    """

    def __init__(self, calls: ApiCalls, threads: int = 4) -> None:
        self._calls = calls
        self._fetches = VideoFetches(calls)
        self._batching = Batching(calls, threads)

    # Counts and metadata

    def statistics(
        self,
        video_ids: Collection[str],
        *,
        within: timedelta | None = None,
        upcoming: Collection[str] = (),
        gone: Collection[str] = (),
        unknown: Collection[str] = (),
        suspect: Collection[str] = (),
    ) -> BatchResult[Reading]:
        """The counts of videos, stamped with the whole second (UTC) of the answer they came in.

        Fifty ids a call: `videos.batchGetStats`, and `videos.list` for what the statistics bucket does not cover,
        for `upcoming` ids (premieres and broadcasts: only it tells when they start), and to confirm a miss, but not
        that of ids in `gone`, which were confirmed before. Ids in `unknown`, whose publish time only `videos.list`
        tells, are asked for there with their metadata, which is in the result's `videos`, as far as the general bucket
        goes. Ids that are `suspect` share a call with no others. What is not answered `within` this time (None: five
        times the timeout) stays pending. A call that goes on failing is bisected until the bad id stands alone.
        Where `videos.batchGetStats` itself is refused, `videos.list` serves in its place.
        Raises permanent errors at once; transient ones are in the result's `failures`.
        """
        this_round = Round(within or self._calls.longest)
        groups = self._groups(video_ids, set(upcoming), set(unknown), set(suspect))
        result = self._batching.fetch_batches(this_round, *groups)
        for video_id in result.unconfirmed & set(gone):
            result.unconfirmed.discard(video_id)
            result.missing.add(video_id)
        # only what both methods lack is missing
        suspects, result.unconfirmed = sorted(result.unconfirmed), set()
        result.add(self._batching.fetch_batches(this_round, (self._fetches.confirmation, suspects)))
        return result

    def metadata(self, video_ids: Collection[str], *, within: timedelta | None = None) -> BatchResult[Video]:
        """Metadata and counts of videos from `videos.list`, fifty ids a call. As `statistics`, which see."""
        this_round = Round(within or self._calls.longest)
        return self._batching.fetch_batches(this_round, (self._fetches.metadata, list(video_ids)))

    def _groups(
        self, video_ids: Collection[str], upcoming: Set[str], unknown: Set[str], suspect: Set[str]
    ) -> list[tuple[Fetch[Reading], list[str]]]:
        """Which ids are asked for by which call, suspects apart."""
        groups: dict[tuple[bool, Fetch[Reading]], list[str]] = {}
        for video_id in video_ids:
            fetch: Fetch[Reading] = self._fetches.counts
            if video_id in unknown:
                fetch = self._fetches.first_readings
            elif video_id in upcoming:
                fetch = self._fetches.listed_counts
            groups.setdefault((video_id in suspect, fetch), []).append(video_id)
        return [(fetch, ids) for (_, fetch), ids in groups.items()]

    # Finding videos

    def uploads(self, channel_id: str, after: datetime, before: datetime, *, pages: int = 400) -> list[Found]:
        """Uploads of a channel (id or @handle) that were published at or after `after` and before `before`.

        Read from its uploads playlist, newest first, up to the first page that holds nothing newer than `after`:
        the order can be wrong by a few places. NotFoundError for a channel that is gone.
        """
        found: list[Found] = []
        for page in _new_on_each(self.upload_pages(channel_id), pages):
            found += [each for each in page if each.is_published_in(after, before)]
            if not any(each.is_published_in(after, None) for each in page):
                break
        return found

    def playlist(
        self,
        playlist_id: str,
        after: datetime | None = None,
        before: datetime | None = None,
        *,
        pages: int = 400,
    ) -> list[Found]:
        """Videos of a playlist, all of them or those published in a window. NotFoundError for one that is gone."""
        found = (each for page in _new_on_each(self.playlist_pages(playlist_id), pages) for each in page)
        return [each for each in found if each.is_published_in(after, before)]

    def search(
        self,
        after: datetime,
        before: datetime,
        *,
        query: str | None = None,
        region: str | None = None,
        language: str | None = None,
        category: str | None = None,
        channel_id: str | None = None,
        pages: int = 4,
    ) -> list[Found]:
        """Videos that a search finds among those published in a window: a sample, never complete.

        One call of the search bucket a page. YouTube's own bounds are whole seconds and not exact, so what it
        returns outside of the window is dropped.
        """
        ask = functools.partial(
            self.search_page,
            after,
            before,
            query=query,
            region=region,
            language=language,
            category=category,
            channel_id=channel_id,
        )
        found = (each for page in _new_on_each(_follow(ask), pages) for each in page)
        return [each for each in found if each.is_published_in(after, before)]

    def chart(self, region: str, *, category: str | None = None, pages: int = 4) -> list[Found]:
        """YouTube's most popular videos of a region (ISO 3166 code), optionally of a category; the first one first."""
        return [each for page in self.chart_pages(region, category=category, pages=pages) for each in page]

    def chart_pages(self, region: str, *, category: str | None = None, pages: int = 4) -> Iterator[list[Found]]:
        """As `chart`, page by page: what is new on each. It ends early where a page brings nothing new."""
        parameters = {
            "part": "snippet",
            "chart": "mostPopular",
            "regionCode": region,
            "videoCategoryId": category,
            "maxResults": 50,
        }
        ask = functools.partial(self._page, "videos", parameters, found_in_list)
        return _new_on_each(_follow(ask), pages)

    # The same page by page, for callers that must know whether a listing was read to its end

    def upload_pages(self, channel_id: str, page_token: str | None = None) -> Iterator[Page]:
        """A channel's uploads (its id or @handle), newest first, page by page from `page_token` on.

        Up to fifty videos and one call of the general bucket a page, asked for when it is wanted; the last one has no
        `next_token`. The order can be wrong by a few places. Raises NotFoundError for a channel that is gone; one
        that has never published anything has one page without videos.
        """
        try:
            playlist = uploads_playlist(channel_id) if is_channel_id(channel_id) else None
            yield from self.playlist_pages(playlist or self._uploads_playlist_of(channel_id), page_token)
            return
        except NotFoundError:
            if playlist is None:
                raise
        named = self._uploads_playlist_of(channel_id)
        if named == playlist:
            yield Page([], total=0)  # the channel is there, and has never published anything
        else:
            yield from self.playlist_pages(named, page_token)

    def playlist_pages(self, playlist_id: str, page_token: str | None = None) -> Iterator[Page]:
        """A playlist's videos in its own order; as `upload_pages`. Raises NotFoundError for one that is gone."""
        parameters = {"part": "contentDetails,snippet", "playlistId": playlist_id, "maxResults": 50}
        return _follow(functools.partial(self._page, "playlistItems", parameters, found_in_playlist), page_token)

    def search_page(
        self,
        after: datetime,
        before: datetime,
        page_token: str | None = None,
        *,
        query: str | None = None,
        region: str | None = None,
        language: str | None = None,
        category: str | None = None,
        channel_id: str | None = None,
    ) -> Page:
        """One page of a search for videos that were published in a window (aware times), the newest first.

        One call of the search bucket. As YouTube gave it: its bounds are whole seconds and not exact, so a few may
        lie outside of the window (see `Found.is_published_in`); pages may repeat.
        """
        parameters = {
            "part": "snippet",
            "type": "video",
            "order": "date",
            "maxResults": 50,
            "publishedAfter": as_utc(after).strftime(_SEARCH_SECONDS),
            "publishedBefore": (as_utc(before) + timedelta(seconds=1)).strftime(_SEARCH_SECONDS),
            "q": query,
            "regionCode": region,
            "relevanceLanguage": language,
            "videoCategoryId": category,
            "channelId": channel_id,
        }
        return self._page("search", parameters, found_in_search, page_token)

    def close(self) -> None:
        """Close the HTTP connections."""
        self._calls.close()

    # Pages

    def _uploads_playlist_of(self, channel: str) -> str:
        by = {"id": channel} if is_channel_id(channel) else {"forHandle": channel}
        body = self._calls.request_alone("channels", "list", part="contentDetails", **by)
        for item in items_of(body):
            playlist = part_of(part_of(item, "contentDetails"), "relatedPlaylists").get("uploads")
            if isinstance(playlist, str) and playlist:
                return playlist
        raise NotFoundError(f"YouTube does not know the channel {channel}: it is gone, hidden or misspelt")

    def _page(
        self,
        resource: str,
        parameters: dict[str, Any],
        read: Callable[[dict[str, Any]], Found | None],
        page_token: str | None = None,
    ) -> Page:
        body = self._calls.request_alone(resource, "list", **parameters, pageToken=page_token)
        found = [each for item in items_of(body) if (each := read(item)) is not None]
        token, total = body.get("nextPageToken"), part_of(body, "pageInfo").get("totalResults")
        return Page(
            found,
            token if isinstance(token, str) and token else None,
            total if isinstance(total, int) else None,
        )


def _follow(ask: Callable[[str | None], Page], page_token: str | None = None) -> Iterator[Page]:
    """Page after page, to the one without a token for the next."""
    while True:
        page = ask(page_token)
        yield page
        page_token = page.next_token
        if page_token is None:
            return


def _new_on_each(pages: Iterable[Page], most: int) -> Iterator[list[Found]]:
    """What is new on each of so many pages. Ends early at an empty page, and at one that repeats only known ids."""
    seen: set[str] = set()
    for page in itertools.islice(pages, most):
        new = list({each.video_id: each for each in page.found if each.video_id not in seen}.values())
        if not new:
            return
        seen.update(each.video_id for each in new)
        yield new
