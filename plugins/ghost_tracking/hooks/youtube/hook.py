"""YouTubeHook: the counts and metadata of videos, and the ways to find new ones, from YouTube's Data API v3."""

import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import BaseHook, Connection

from ghost_tracking import settings
from ghost_tracking.core.budgets import Bucket, Purse
from ghost_tracking.core.tiers import as_utc
from ghost_tracking.core.video_ids import is_channel_id, uploads_playlist
from ghost_tracking.core.videos import Found, Page, Reading, Video, read_counts, read_video
from ghost_tracking.errors import NotFoundError, QuotaExhaustedError
from ghost_tracking.hooks.youtube.answer import (
    Answer,
    Item,
    found_in_list,
    found_in_playlist,
    found_in_search,
    items_of,
    part_of,
    read_answer,
)
from ghost_tracking.hooks.youtube.calls import Caller

_STATS_PARTS = "id,snippet,statistics"
_SEARCH_SECONDS = "%Y-%m-%dT%H:%M:%SZ"


class YouTubeHook(BaseHook):
    """YouTube's Data API v3, by an API key.

    `YouTubeHook()` uses Airflow's connection `youtube_default`: password: the API key; host (optional): another
    endpoint than Google's, such as http://127.0.0.1:8765/; extra (optional): {"key_in": "query"} sends the key as a
    parameter of the URL instead of a header. `YouTubeHook(connection=Connection(…))` works outside of Airflow too.

    Every request is paid from `purse` before it is sent; without one, calls are not counted. Calls that fail in
    passing are tried up to four times, with growing pauses or as long as Retry-After says. `timeout` is seconds
    without a byte; a page of a listing, or all the ids that a verb is given, may take five times as long in all, unless
    the verb is told otherwise. `threads` calls are under way at a time, each with an HTTP connection of its own.

    Raises YouTubeKeyError (the key), ConfigurationError (the connection), NotFoundError, CallRejectedError, and the
    transient QuotaExhaustedError, RateLimitedError and YouTubeFaultError. No message contains the key or a URL.
    """

    conn_name_attr = "youtube_conn_id"
    default_conn_name = settings.YOUTUBE_CONNECTION
    conn_type = "youtube"
    hook_name = "YouTube Data API"

    def __init__(
        self,
        youtube_conn_id: str = default_conn_name,
        *,
        connection: Connection | None = None,
        purse: Purse | None = None,
        threads: int = 4,
        timeout: float = 20.0,
    ) -> None:
        super().__init__()
        self._youtube = Caller(youtube_conn_id, connection, purse, threads, timeout)

    # Counts and metadata

    def statistics(
        self,
        video_ids: Collection[str],
        *,
        within: timedelta | None = None,
        upcoming: Collection[str] = (),
        gone: Collection[str] = (),
        unknown: Collection[str] = (),
    ) -> Answer[Reading]:
        """The counts of videos, stamped with the whole second (UTC) of the answer they came in.

        Fifty ids a call: `videos.batchGetStats`, and `videos.list` for what the statistics bucket does not cover,
        for `upcoming` ids (premieres and broadcasts: only it tells when they start), and to confirm a miss, but not
        that of ids in `gone`, which were confirmed before. Of ids in `unknown`, read for the first time, those without
        a view are asked for their start as well. What is not answered `within` this time stays unanswered. A call that
        is rejected is cut in halves until the bad id stands alone.
        Raises permanent errors at once; transient ones are in the answer's `failures`.
        """
        starting = set(upcoming)
        ask_for_start = [video_id for video_id in video_ids if video_id in starting]
        others = [video_id for video_id in video_ids if video_id not in starting]
        with self._youtube.bounded(within or self._youtube.longest):
            answer = self._youtube.ask_all(self._one_call_of_counts, others)
            answer.add(self._youtube.ask_all(self._one_call_of_list, ask_for_start))
            for video_id in answer.unconfirmed & set(gone):
                answer.unconfirmed.discard(video_id)
                answer.missing.add(video_id)
            self._confirm(answer)
            self._learn_starts(answer, [each for each in unknown if each in answer.found])
        return answer

    def metadata(self, video_ids: Collection[str], *, within: timedelta | None = None) -> Answer[Video]:
        """Metadata and counts of videos from `videos.list`, fifty ids a call. As `statistics`, which see."""
        with self._youtube.bounded(within or self._youtube.longest):
            return self._youtube.ask_all(self._one_call_of_metadata, list(video_ids))

    # Finding videos

    def uploads(self, channel_id: str, after: datetime, before: datetime, *, pages: int = 400) -> list[Found]:
        """Uploads of a channel (id or @handle) that were published at or after `after` and before `before`.

        Read from its uploads playlist, newest first, up to the first page that holds nothing newer than `after`:
        the order can be wrong by a few places. NotFoundError for a channel that is gone.
        """
        found: list[Found] = []
        for page in _news(self.upload_pages(channel_id), pages):
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
        found = (each for page in _news(self.playlist_pages(playlist_id), pages) for each in page)
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
        found = (each for page in _news(_follow(ask), pages) for each in page)
        return [each for each in found if each.is_published_in(after, before)]

    def chart(self, region: str, *, category: str | None = None, pages: int = 4) -> list[Found]:
        """YouTube's most popular videos of a region (ISO 3166 code), optionally of a category."""
        parameters = {
            "part": "snippet",
            "chart": "mostPopular",
            "regionCode": region,
            "videoCategoryId": category,
            "maxResults": 50,
        }
        ask = functools.partial(self._page, "videos", parameters, found_in_list)
        return [each for page in _news(_follow(ask), pages) for each in page]

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
        self._youtube.close()

    # One call each

    def _one_call_of_counts(self, ids: Sequence[str]) -> Answer[Reading]:
        if self._youtube.purse is not None and not self._youtube.purse.holds(Bucket.STATISTICS):
            return self._one_call_of_list(ids)
        try:
            answer = self._youtube.tried(
                lambda: read_answer(
                    self._youtube.call("videos", "batchGetStats", part=_STATS_PARTS, id=list(ids)), ids, read_counts
                )
            )
        except QuotaExhaustedError:
            return self._one_call_of_list(ids)
        answer.unconfirmed, answer.missing = answer.missing, set()
        return answer

    def _one_call_of_list(self, ids: Sequence[str]) -> Answer[Reading]:
        return self._list(ids, "snippet,statistics,liveStreamingDetails", read_counts)

    def _one_call_of_starts(self, ids: Sequence[str]) -> Answer[Reading]:
        return self._list(ids, "snippet,liveStreamingDetails", read_counts)

    def _one_call_of_metadata(self, ids: Sequence[str]) -> Answer[Video]:
        return self._list(ids, "snippet,statistics,contentDetails,liveStreamingDetails", read_video)

    def _list(self, ids: Sequence[str], parts: str, read: Callable[[dict[str, Any], datetime], Item]) -> Answer[Item]:
        return self._youtube.tried(
            lambda: read_answer(self._youtube.call("videos", "list", part=parts, id=",".join(ids)), ids, read)
        )

    def _confirm(self, answer: Answer[Reading]) -> None:
        """Ask `videos.list` for what `batchGetStats` did not return: only what both lack is missing."""
        suspects, answer.unconfirmed = sorted(answer.unconfirmed), set()
        confirmed = self._youtube.ask_all(self._one_call_of_list, suspects)
        answer.unconfirmed, confirmed.unanswered = confirmed.unanswered, set()
        answer.add(confirmed)

    def _learn_starts(self, answer: Answer[Reading], unknown: Sequence[str]) -> None:
        """Ask when videos without any view start; their counts stay those that were read before."""
        unseen = [video_id for video_id in unknown if not answer.found[video_id].views]
        for video_id, told in self._youtube.ask_all(self._one_call_of_starts, unseen).found.items():
            answer.found[video_id] = replace(
                answer.found[video_id], starts_at=told.starts_at, awaits_start=told.awaits_start
            )

    # Pages

    def _uploads_playlist_of(self, channel: str) -> str:
        by = {"id": channel} if is_channel_id(channel) else {"forHandle": channel}
        body = self._youtube.alone(lambda: self._youtube.call("channels", "list", part="contentDetails", **by))
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
        body = self._youtube.alone(
            functools.partial(self._youtube.call, resource, "list", **parameters, pageToken=page_token)
        )
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


def _news(pages: Iterable[Page], most: int) -> Iterator[list[Found]]:
    """What is new on each of so many pages. Ends early at an empty page, and at one that repeats only known ids."""
    seen: set[str] = set()
    for page in itertools.islice(pages, most):
        new = list({each.video_id: each for each in page.found if each.video_id not in seen}.values())
        if not new:
            return
        seen.update(each.video_id for each in new)
        yield new
