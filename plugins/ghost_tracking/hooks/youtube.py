"""YouTubeHook: the counts and metadata of videos, and the ways to find new ones, from YouTube's Data API v3."""

import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import BaseHook, Connection

from ghost_tracking import settings
from ghost_tracking.core.budgets import Bucket, Purse
from ghost_tracking.core.tiers import as_utc
from ghost_tracking.core.video_ids import is_channel_id, uploads_playlist
from ghost_tracking.core.videos import Found, Page, Reading, Video, read_counts, read_video
from ghost_tracking.errors import (
    CallRejectedError,
    GhostTrackingError,
    NotFoundError,
    ProjectRefusedError,
    QuotaExhaustedError,
    YouTubeFaultError,
)
from ghost_tracking.youtube.answer import (
    Answer,
    Item,
    found_in_list,
    found_in_playlist,
    found_in_search,
    items_of,
    part_of,
    read_answer,
)
from ghost_tracking.youtube.calls import Caller, OneCall

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

    Raises YouTubeKeyError (the key), ProjectRefusedError (the API project), ConfigurationError (the connection),
    NotFoundError, CallRejectedError, and the transient QuotaExhaustedError, RateLimitedError and YouTubeFaultError.
    No message contains the key or a URL.
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
        self._refusal: str | None = None

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
    ) -> Answer[Reading]:
        """The counts of videos, stamped with the whole second (UTC) of the answer they came in.

        Fifty ids a call: `videos.batchGetStats`, and `videos.list` for what the statistics bucket does not cover,
        for `upcoming` ids (premieres and broadcasts: only it tells when they start), and to confirm a miss, but not
        that of ids in `gone`, which were confirmed before. Ids in `unknown`, whose publish time only `videos.list`
        tells, are asked for there with their metadata, which is in the answer's `videos`, as far as the general bucket
        goes. Ids that are `suspect` share a call with no others. What is not answered `within` this time (None: five
        times `timeout`) stays unanswered. A call that goes on failing is cut in halves until the bad id stands alone.
        Where `videos.batchGetStats` itself is refused, `videos.list` serves in its place.
        Raises permanent errors at once; transient ones are in the answer's `failures`.
        """
        with self._youtube.bounded(within or self._youtube.longest):
            answer = self._youtube.ask_all(*self._groups(video_ids, set(upcoming), set(unknown), set(suspect)))
            for video_id in answer.unconfirmed & set(gone):
                answer.unconfirmed.discard(video_id)
                answer.missing.add(video_id)
            self._confirm(answer)
        return answer

    def metadata(self, video_ids: Collection[str], *, within: timedelta | None = None) -> Answer[Video]:
        """Metadata and counts of videos from `videos.list`, fifty ids a call. As `statistics`, which see."""
        with self._youtube.bounded(within or self._youtube.longest):
            return self._youtube.ask_all((self._one_call_of_metadata, list(video_ids)))

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

    def _groups(
        self, video_ids: Collection[str], upcoming: Set[str], unknown: Set[str], suspect: Set[str]
    ) -> list[tuple[OneCall[Reading], list[str]]]:
        """Which ids are asked for by which call, suspects apart."""
        groups: dict[tuple[bool, OneCall[Reading]], list[str]] = {}
        for video_id in video_ids:
            one_call = self._one_call_of_counts
            if video_id in unknown:
                one_call = self._one_call_of_firsts
            elif video_id in upcoming:
                one_call = self._one_call_of_list
            groups.setdefault((video_id in suspect, one_call), []).append(video_id)
        return [(one_call, ids) for (_, one_call), ids in groups.items()]

    def _one_call_of_counts(self, ids: Sequence[str]) -> Answer[Reading]:
        purse = self._youtube.purse
        if self._refusal is not None or (purse is not None and not purse.holds(Bucket.STATISTICS)):
            return self._one_call_of_list(ids)
        try:
            answer = self._batch(ids)
        except QuotaExhaustedError:
            return self._one_call_of_list(ids)
        except GhostTrackingError as error:
            if not _is_of_the_method(error):
                raise
            return self._instead(ids, error)
        answer.unconfirmed, answer.missing = answer.missing, set()
        return answer

    def _batch(self, ids: Sequence[str]) -> Answer[Reading]:
        """Counts from `videos.batchGetStats`; its refusal is asked for a second time, since it means so much."""
        call = functools.partial(self._youtube.call, "videos", "batchGetStats", part=_STATS_PARTS, id=list(ids))
        try:
            body = call()
        except GhostTrackingError as error:
            if not _is_of_the_method(error):
                raise
            body = call()
        return read_answer(body, ids, read_counts)

    def _instead(self, ids: Sequence[str], refusal: GhostTrackingError) -> Answer[Reading]:
        """What `videos.list` says where `videos.batchGetStats` is refused; if it is refused too, that is the error."""
        answer = self._one_call_of_list(ids)
        if self._refusal is None:
            said = refusal.facts.get("said", refusal.message)
            self._refusal = f"YouTube refuses videos.batchGetStats ({said}), so videos.list gives the counts"
            if self._youtube.purse is None:
                self.log.warning("%s", self._refusal)
            else:
                self._youtube.purse.refuse(Bucket.STATISTICS, self._refusal)
        return answer

    def _one_call_of_list(self, ids: Sequence[str]) -> Answer[Reading]:
        return self._list(ids, "snippet,statistics,liveStreamingDetails", read_counts)

    def _one_call_of_metadata(self, ids: Sequence[str]) -> Answer[Video]:
        return self._list(ids, "snippet,statistics,contentDetails,liveStreamingDetails", read_video)

    def _one_call_of_firsts(self, ids: Sequence[str]) -> Answer[Reading]:
        """Metadata and counts; counts alone where the general bucket does not cover it."""
        purse = self._youtube.purse
        if purse is not None and not purse.holds(Bucket.GENERAL):
            return self._one_call_of_counts(ids)
        try:
            told = self._one_call_of_metadata(ids)
        except QuotaExhaustedError:
            return self._one_call_of_counts(ids)
        readings = {video_id: video.reading for video_id, video in told.found.items()}
        return Answer(readings, told.missing, told.malformed, videos=told.found)

    def _one_call_of_confirming(self, ids: Sequence[str]) -> Answer[Reading]:
        try:
            return self._one_call_of_list(ids)
        except QuotaExhaustedError as error:
            return Answer(unconfirmed=set(ids), failures=[error])

    def _list(
        self, ids: Sequence[str], parts: str, read: Callable[[dict[str, Any], datetime, list[str]], Item]
    ) -> Answer[Item]:
        try:
            body = self._youtube.call("videos", "list", part=parts, id=",".join(ids))
        except NotFoundError as error:
            # of ids, and no playlist or channel: it may be the fault of one of them
            raise CallRejectedError(f"{error.said}", status=error.status, reasons=frozenset()) from None
        return read_answer(body, ids, read)

    def _confirm(self, answer: Answer[Reading]) -> None:
        """Ask `videos.list` for what `batchGetStats` did not return: only what both lack is missing."""
        suspects, answer.unconfirmed = sorted(answer.unconfirmed), set()
        answer.add(self._youtube.ask_all((self._one_call_of_confirming, suspects)))

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


def _is_of_the_method(error: GhostTrackingError) -> bool:
    """Whether a refusal may be about the method that was called and nothing else."""
    if isinstance(error, NotFoundError | ProjectRefusedError):
        return True
    status = error.facts.get("status", 0)
    return status == 401 or (isinstance(error, YouTubeFaultError) and 400 <= status < 500)


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
