"""YouTubeHook: the counts and metadata of videos, and the ways to find new ones, from YouTube's Data API v3."""

import functools
import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httplib2
from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowException
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from more_itertools import chunked
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_any,
    stop_when_event_set,
)

from ghost_tracking import settings
from ghost_tracking.core.answers import classify
from ghost_tracking.core.budgets import IDS_PER_CALL, Bucket, Purse
from ghost_tracking.core.tiers import as_utc
from ghost_tracking.core.video_ids import is_channel_id, uploads_playlist
from ghost_tracking.core.videos import Found, Reading, Video, item_id, parse_instant, read_counts, read_video
from ghost_tracking.errors import (
    CallRejectedError,
    ConfigurationError,
    GhostTrackingError,
    MalformedItemError,
    NotFoundError,
    PermanentError,
    QuotaExhaustedError,
    RateLimitedError,
    TransientError,
    YouTubeFaultError,
)

_KEY_HEADER = "x-goog-api-key"
_ATTEMPTS = 4
_LONGEST_WAIT = 30.0
_OUR_FAULT = {"invalidfilters", "missingrequiredparameter", "invalidpagetoken", "unknownpart"}
_BUCKETS = {("videos", "batchGetStats"): Bucket.STATISTICS, ("search", "list"): Bucket.SEARCH}
_STATS_PARTS = "id,snippet,statistics"
_SEARCH_SECONDS = "%Y-%m-%dT%H:%M:%SZ"

Item = TypeVar("Item", Reading, Video)
Result = TypeVar("Result")


@dataclass
class Answer(Generic[Item]):
    """What YouTube said of the videos it was asked for; each is in exactly one of the five.

    found: by id. missing: ids that `videos.list` does not know (gone, private or never there). malformed: ids whose
    item or call was refused, with the reason. unconfirmed: ids that only `batchGetStats` did not return and that
    could not be asked for again. unanswered: ids whose call failed or was not sent.
    `failures` tells why calls failed, each reason once a call.
    """

    found: dict[str, Item] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    malformed: dict[str, str] = field(default_factory=dict)
    unconfirmed: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    failures: list[TransientError] = field(default_factory=list)

    def add(self, other: "Answer[Item]") -> None:
        """Take in what another call answered."""
        self.found |= other.found
        self.missing |= other.missing
        self.malformed |= other.malformed
        self.unconfirmed |= other.unconfirmed
        self.unanswered |= other.unanswered
        self.failures += other.failures


class _Round:
    """One round of calls: how long it may take, and whether it is over for the threads that are still at it."""

    def __init__(self, within: timedelta | None) -> None:
        self.deadline = time.monotonic() + within.total_seconds() if within else float("inf")
        self.over = threading.Event()

    @property
    def left(self) -> float:
        """Seconds until the deadline; none once the round is over."""
        return 0.0 if self.over.is_set() else max(0.0, self.deadline - time.monotonic())

    def pause(self, seconds: float) -> None:
        """Wait, but never past the end of the round."""
        self.over.wait(min(seconds, self.left))


class _Http(httplib2.Http):  # type: ignore[misc]  # httplib2 has no types
    """One thread's connection: sends the key as a header, pays for each request at the moment it is sent.

    httplib2 sends a request again when a kept connection turns out stale; that one is paid for too. A redirect is
    not followed, since it would take the key along to wherever it points.
    """

    def __init__(self, key: str, timeout: float, *, in_query: bool = False) -> None:
        super().__init__(timeout=timeout)
        self.follow_redirects = False
        self.pay: Callable[[], None] = lambda: None
        self._aborted = False
        self._key = key
        self._in_query = in_query

    def request(self, uri: str, method: str = "GET", body: Any = None, headers: Any = None, **options: Any) -> Any:
        headers = dict(headers or {})
        if self._in_query:  # added here and not by the Google client, which logs its URLs
            uri += f"{'&' if '?' in uri else '?'}key={quote(self._key)}"
        else:
            headers[_KEY_HEADER] = self._key
        return super().request(uri, method=method, body=body, headers=headers, **options)

    def _conn_request(self, conn: Any, *arguments: Any) -> Any:
        if "request" not in vars(conn):
            send = conn.request

            def paid(*args: Any, **kwargs: Any) -> Any:
                if self._aborted:
                    raise ConnectionAbortedError("the time of the batch is over")
                self.pay()
                return send(*args, **kwargs)

            conn.request = paid
        try:
            return super()._conn_request(conn, *arguments)
        finally:
            if self._aborted:
                conn.close()  # httplib2 may have connected again, unseen by who aborted

    def abort(self) -> None:
        """End a request under way in another thread for good: closing would not wake it."""
        self._aborted = True
        for connection in list(self.connections.values()):
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)


class YouTubeHook(BaseHook):
    """YouTube's Data API v3, by an API key.

    `YouTubeHook()` uses Airflow's connection `youtube_default`: password: the API key; host (optional): another
    endpoint than Google's, such as http://127.0.0.1:8765/; extra (optional): {"key_in": "query"} sends the key as a
    parameter of the URL instead of a header. `YouTubeHook(connection=Connection(…))` works outside of Airflow too.

    Every request is paid from `purse` before it is sent; without one, calls are not counted. Calls that fail in
    passing are tried up to four times, with growing pauses or as long as Retry-After says. `timeout` is seconds
    without a byte; `threads` calls are under way at a time, each with an HTTP connection of its own.

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
        self.connection_id = youtube_conn_id
        self.purse = purse
        self._connection = connection
        self._threads = threads
        self._timeout = timeout
        self._local = threading.local()
        self._open: list[_Http] = []
        self._generation = 0
        self._open_lock = threading.Lock()
        self._round = _Round(None)

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
        with self._bounded(within):
            answer = self._ask_all(self._one_call_of_counts, others)
            answer.add(self._ask_all(self._one_call_of_list, ask_for_start))
            for video_id in answer.unconfirmed & set(gone):
                answer.unconfirmed.discard(video_id)
                answer.missing.add(video_id)
            self._confirm(answer)
            self._learn_starts(answer, [each for each in unknown if each in answer.found])
        return answer

    def metadata(self, video_ids: Collection[str], *, within: timedelta | None = None) -> Answer[Video]:
        """Metadata and counts of videos from `videos.list`, fifty ids a call. As `statistics`, which see."""
        with self._bounded(within):
            return self._ask_all(self._one_call_of_metadata, list(video_ids))

    # Finding videos

    def uploads(self, channel_id: str, after: datetime, before: datetime, *, pages: int = 400) -> list[Found]:
        """Uploads of a channel (id or @handle) that were published at or after `after` and before `before`.

        Read from its uploads playlist, newest first, up to the first page that holds nothing newer than `after`:
        the order can be wrong by a few places. NotFoundError for a channel that is gone.
        """
        if not is_channel_id(channel_id):
            playlist = self._uploads_playlist_of(channel_id)
            return self._uploads(playlist, after, before, pages)
        try:
            return self._uploads(uploads_playlist(channel_id), after, before, pages)
        except NotFoundError:
            playlist = self._uploads_playlist_of(channel_id)
        if playlist == uploads_playlist(channel_id):
            return []  # the channel is there, and has never published anything
        return self._uploads(playlist, after, before, pages)

    def playlist(
        self,
        playlist_id: str,
        after: datetime | None = None,
        before: datetime | None = None,
        *,
        pages: int = 400,
    ) -> list[Found]:
        """Videos of a playlist, all of them or those published in a window. NotFoundError for one that is gone."""
        found = (each for page in self._playlist_pages(playlist_id, pages) for each in page)
        return [each for each in found if _published_in(each, after, before)]

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
        found = (each for page in self._pages("search", parameters, pages, _found_in_search) for each in page)
        return [each for each in found if _published_in(each, after, before)]

    def chart(self, region: str, *, category: str | None = None, pages: int = 4) -> list[Found]:
        """YouTube's most popular videos of a region (ISO 3166 code), optionally of a category."""
        parameters = {
            "part": "snippet",
            "chart": "mostPopular",
            "regionCode": region,
            "videoCategoryId": category,
            "maxResults": 50,
        }
        return [each for page in self._pages("videos", parameters, pages, _found_in_list) for each in page]

    def close(self) -> None:
        """Close the HTTP connections."""
        with self._open_lock:
            opened, self._open = self._open, []
            self._generation += 1
        for connection in opened:
            connection.close()

    # One call each

    def _one_call_of_counts(self, ids: Sequence[str]) -> Answer[Reading]:
        if self.purse is not None and not self.purse.holds(Bucket.STATISTICS):
            return self._one_call_of_list(ids)
        try:
            answer = self._tried(
                lambda: _read(self._call("videos", "batchGetStats", part=_STATS_PARTS, id=list(ids)), ids, read_counts)
            )
        except QuotaExhaustedError:
            return self._one_call_of_list(ids)
        answer.unconfirmed, answer.missing = answer.missing, set()
        return answer

    def _one_call_of_list(self, ids: Sequence[str]) -> Answer[Reading]:
        parts = "snippet,statistics,liveStreamingDetails"
        return self._tried(lambda: _read(self._call("videos", "list", part=parts, id=",".join(ids)), ids, read_counts))

    def _one_call_of_starts(self, ids: Sequence[str]) -> Answer[Reading]:
        parts = "snippet,liveStreamingDetails"
        return self._tried(lambda: _read(self._call("videos", "list", part=parts, id=",".join(ids)), ids, read_counts))

    def _one_call_of_metadata(self, ids: Sequence[str]) -> Answer[Video]:
        parts = "snippet,statistics,contentDetails,liveStreamingDetails"
        return self._tried(lambda: _read(self._call("videos", "list", part=parts, id=",".join(ids)), ids, read_video))

    def _confirm(self, answer: Answer[Reading]) -> None:
        """Ask `videos.list` for what `batchGetStats` did not return: only what both lack is missing."""
        suspects, answer.unconfirmed = sorted(answer.unconfirmed), set()
        confirmed = self._ask_all(self._one_call_of_list, suspects)
        answer.unconfirmed, confirmed.unanswered = confirmed.unanswered, set()
        answer.add(confirmed)

    def _tried(self, call: Callable[[], Result]) -> Result:
        """What a call answers, after as many tries as it takes and the purse pays for, within the deadline."""
        failures: list[TransientError] = []
        unpaid = threading.Event()

        def attempt() -> Result:
            try:
                return call()
            except QuotaExhaustedError as error:
                unpaid.set()
                raise failures[-1] if failures else error from None  # why it had to be tried again says more
            except (YouTubeFaultError, RateLimitedError) as error:
                failures.append(error)
                raise

        return Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, YouTubeFaultError | RateLimitedError)),
            stop=stop_any(stop_after_attempt(_ATTEMPTS), stop_when_event_set(unpaid)),
            wait=self._pause,
            sleep=self._my_round.pause,
            reraise=True,
        )(attempt)

    def _learn_starts(self, answer: Answer[Reading], unknown: Sequence[str]) -> None:
        """Ask when videos without any view start; their counts stay those that were read before."""
        unseen = [video_id for video_id in unknown if not answer.found[video_id].views]
        for video_id, told in self._ask_all(self._one_call_of_starts, unseen).found.items():
            answer.found[video_id] = replace(
                answer.found[video_id], starts_at=told.starts_at, awaits_start=told.awaits_start
            )

    def _call(self, resource: str, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one request, and read the body of its answer."""
        bucket = _BUCKETS.get((resource, method), Bucket.GENERAL)
        this_round = self._my_round
        if not this_round.left:
            raise YouTubeFaultError("there was no time left for this call")
        http_connection, resources = self._mine()
        http_connection.timeout = min(self._timeout, this_round.left)
        http_connection.pay = functools.partial(self._pay, this_round, bucket)
        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            body = getattr(resources[resource], method)(**given).execute(num_retries=0)
        except HttpError as refusal:
            error = classify(int(refusal.resp.status), refusal.resp, refusal.content, bucket)
            if isinstance(error, QuotaExhaustedError) and self.purse is not None:
                self.purse.empty(bucket)
            # the refusal's own text has the URL, so it is not kept as the cause
            raise error from None
        except (OSError, httplib2.HttpLib2Error, http.client.HTTPException, UnicodeDecodeError) as failure:
            http_connection.close()  # what is left on it may be half an answer
            raise YouTubeFaultError(f"the call failed: {type(failure).__name__}: {_without_urls(failure)}") from None
        if not isinstance(body, dict):
            raise YouTubeFaultError("YouTube answered 200 with a body that is no JSON object")
        return body

    def _pay(self, this_round: _Round, bucket: Bucket) -> None:
        if this_round.over.is_set():
            raise ConnectionAbortedError("the time of the batch is over")
        if self.purse is not None:
            self.purse.spend(bucket)

    # Many calls

    def _ask_all(self, one_call: Callable[[Sequence[str]], Answer[Item]], ids: Sequence[str]) -> Answer[Item]:
        """Ask for the ids fifty at a time over the threads, and put the answers together.

        A permanent error ends it at once. A call that failed in passing leaves its ids unanswered.
        """
        answer: Answer[Item] = Answer()
        if not ids:
            return answer
        this_round = self._round

        def ask(chunk: Sequence[str]) -> Answer[Item]:
            self._local.round = this_round
            if this_round.over.is_set():
                return Answer(unanswered=set(chunk))
            try:
                return self._ask_or_halve(one_call, chunk)
            except PermanentError:
                this_round.over.set()  # before the next call of this thread, which would fail as well
                raise

        executor = ThreadPoolExecutor(self._threads, thread_name_prefix="youtube")
        chunks = {executor.submit(ask, chunk): chunk for chunk in chunked(ids, IDS_PER_CALL)}
        try:
            for future, chunk in self._as_they_come(chunks, this_round):
                answer.add(_result(future, chunk))
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            if any(not future.done() for future in chunks):
                self._abort(this_round)
        return answer

    def _as_they_come(
        self, chunks: Mapping[Future[Answer[Item]], Sequence[str]], this_round: _Round
    ) -> Iterator[tuple[Future[Answer[Item]] | None, Sequence[str]]]:
        """Each call's future as it ends; None for those that the deadline cut off."""
        pending = set(chunks)
        while pending:
            left = this_round.deadline - time.monotonic()
            done, pending = wait(pending, None if left == float("inf") else max(left, 0), FIRST_COMPLETED)
            if not done:
                break
            yield from ((future, chunks[future]) for future in done)
        yield from ((None, chunks[future]) for future in pending)

    def _ask_or_halve(self, one_call: Callable[[Sequence[str]], Answer[Item]], ids: Sequence[str]) -> Answer[Item]:
        """One call; where it is rejected, one for each half, down to the bad id."""
        try:
            return one_call(ids)
        except CallRejectedError as error:
            if error.reason.lower() in _OUR_FAULT:
                raise
            if len(ids) == 1:
                return Answer(malformed={ids[0]: error.message})
            rejection = error
        except TransientError as error:
            return Answer(unanswered=set(ids), failures=[error])
        middle = len(ids) // 2
        answer = self._ask_or_halve(one_call, ids[:middle])
        answer.add(self._ask_or_halve(one_call, ids[middle:]))
        if len(answer.malformed) == len(ids) >= 4:
            raise rejection  # it is not one of the ids: every call is rejected
        return answer

    # Pages

    def _uploads(self, playlist_id: str, after: datetime, before: datetime, pages: int) -> list[Found]:
        found: list[Found] = []
        for page in self._playlist_pages(playlist_id, pages):
            found += [each for each in page if _published_in(each, after, before)]
            if not any(each.published_at is None or each.published_at >= after for each in page):
                break
        return found

    def _uploads_playlist_of(self, channel: str) -> str:
        by = {"id": channel} if is_channel_id(channel) else {"forHandle": channel}
        body = self._tried(lambda: self._call("channels", "list", part="contentDetails", **by))
        for item in _items(body):
            playlist = _object(_object(item, "contentDetails"), "relatedPlaylists").get("uploads")
            if isinstance(playlist, str) and playlist:
                return playlist
        raise NotFoundError(f"YouTube does not know the channel {channel}: it is gone, hidden or misspelt")

    def _playlist_pages(self, playlist_id: str, pages: int) -> Iterator[list[Found]]:
        parameters = {"part": "contentDetails,snippet", "playlistId": playlist_id, "maxResults": 50}
        return self._pages("playlistItems", parameters, pages, _found_in_playlist)

    def _pages(
        self, resource: str, parameters: dict[str, Any], pages: int, read: Callable[[dict[str, Any]], Found | None]
    ) -> Iterator[list[Found]]:
        """What is new on each page. Ends at the last page, at an empty one, and at one that repeats only known ids."""
        seen: set[str] = set()
        token: str | None = None
        for _ in range(pages):
            body = self._tried(functools.partial(self._call, resource, "list", **parameters, pageToken=token))
            found = [each for item in _items(body) if (each := read(item)) is not None]
            page = list({each.video_id: each for each in found if each.video_id not in seen}.values())
            if not page:
                return
            seen.update(each.video_id for each in page)
            yield page
            token = body.get("nextPageToken")
            if not token:
                return

    # Connections

    def _mine(self) -> tuple[_Http, dict[str, Any]]:
        """This thread's own connection and resource objects: httplib2 mixes up the answers of shared ones."""
        if getattr(self._local, "generation", None) != self._generation:
            endpoint, key, in_query = self._endpoint
            connection = _Http(key, self._timeout, in_query=in_query)
            service = build(
                "youtube",
                "v3",
                http=connection,
                client_options={"api_endpoint": endpoint} if endpoint else None,
                static_discovery=True,
                cache_discovery=False,
            )
            names = ("videos", "playlistItems", "channels", "search")
            self._local.generation = self._generation
            self._local.connection = connection
            self._local.resources = {name: getattr(service, name)() for name in names}
            with self._open_lock:
                self._open.append(connection)
        return self._local.connection, self._local.resources

    @property
    def _endpoint(self) -> tuple[str | None, str, bool]:
        """The endpoint (None: Google's), the key, and whether it travels in the URL."""
        connection = self._resolved()
        key = (connection.password or "").strip()
        if not key:
            raise ConfigurationError(f"connection '{self.connection_id}' has no password: put the API key there")
        if not key.isascii() or not key.isprintable():
            raise ConfigurationError(f"the password of connection '{self.connection_id}' cannot be an API key")
        in_query = connection.extra_dejson.get("key_in", "header") == "query"
        return _url(connection), key, in_query

    def _resolved(self) -> Connection:
        with self._open_lock:
            if self._connection is None:
                try:
                    self._connection = self.get_connection(self.connection_id)
                except AirflowException as error:
                    raise ConfigurationError(
                        f"connection '{self.connection_id}' is not defined: add one with the API key as password, "
                        "in Airflow's Admin > Connections"
                    ) from error
            return self._connection

    # Time

    @contextmanager
    def _bounded(self, within: timedelta | None) -> Iterator[None]:
        self._round = _Round(within)
        try:
            yield
        finally:
            self._round = _Round(None)

    @property
    def _my_round(self) -> _Round:
        """The round that this thread works for; a thread that is late keeps its own, which is over."""
        this_round: _Round = getattr(self._local, "round", self._round)
        return this_round

    def _pause(self, state: RetryCallState) -> float:
        """Seconds before the next try: what Retry-After says, or else growing and scattered."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.facts.get("retry_after") if isinstance(error, GhostTrackingError) else None
        if asked is not None:
            return min(float(asked), _LONGEST_WAIT)
        scattered = 0.5 + time.monotonic() % 1
        return min(0.5 * 2.0 ** (state.attempt_number - 1) * scattered, _LONGEST_WAIT)

    def _abort(self, this_round: _Round) -> None:
        this_round.over.set()
        with self._open_lock:
            opened = list(self._open)
        for connection in opened:
            connection.abort()
        self.close()


def _result(future: Future[Answer[Item]] | None, ids: Sequence[str]) -> Answer[Item]:
    if future is None:
        return Answer(unanswered=set(ids), failures=[YouTubeFaultError("no answer within the time of the batch")])
    return future.result()


def _read(
    body: dict[str, Any], ids: Sequence[str], read_item: Callable[[dict[str, Any], datetime], Item]
) -> Answer[Item]:
    """The items of one answer. An id that was not asked for means that the answer belongs to somebody else."""
    observed_at = datetime.now(UTC).replace(microsecond=0)
    answer: Answer[Item] = Answer()
    asked = set(ids)
    for item in _items(body):
        video_id = item_id(item)
        if video_id is None:
            continue  # nobody's: the video that it was meant for counts as not returned
        if video_id not in asked:
            raise YouTubeFaultError("YouTube answered with a video that was not asked for")
        try:
            answer.found[video_id] = read_item(item, observed_at)
        except MalformedItemError as problem:
            answer.malformed[video_id] = problem.message
    answer.missing = asked - answer.found.keys() - answer.malformed.keys()
    return answer


def _items(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of an answer; the list can be missing altogether."""
    items = body.get("items") or []
    if not isinstance(items, list):
        raise YouTubeFaultError("YouTube answered with items that are no list")
    return [item for item in items if isinstance(item, dict)]


def _object(item: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of an item; empty where it is missing or something else than an object."""
    part = item.get(name)
    return part if isinstance(part, dict) else {}


def _found_in_playlist(item: dict[str, Any]) -> Found | None:
    details, snippet = _object(item, "contentDetails"), _object(item, "snippet")
    video_id = details.get("videoId") or _object(snippet, "resourceId").get("videoId")
    # snippet.publishedAt is when the video was put on the playlist; in a list of uploads the two are the same
    return _found(video_id, details.get("videoPublishedAt") or snippet.get("publishedAt"))


def _found_in_search(item: dict[str, Any]) -> Found | None:
    return _found(_object(item, "id").get("videoId"), _object(item, "snippet").get("publishedAt"))


def _found_in_list(item: dict[str, Any]) -> Found | None:
    return _found(item_id(item), _object(item, "snippet").get("publishedAt"))


def _found(video_id: object, published_at: object) -> Found | None:
    if not isinstance(video_id, str) or not video_id:
        return None
    try:
        return Found(video_id, parse_instant(published_at) if isinstance(published_at, str) else None)
    except ValueError:
        return Found(video_id)


def _published_in(found: Found, after: datetime | None, before: datetime | None) -> bool:
    """Whether a video belongs to a window; one whose publish time is not told is given the benefit of the doubt."""
    if found.published_at is None:
        return True
    return (after is None or found.published_at >= after) and (before is None or found.published_at < before)


def _url(connection: Connection) -> str | None:
    """The endpoint that a connection names: a URL as host, or scheme, host and port in their own fields."""
    host = (connection.host or "").strip()
    if not host:
        return None
    if "://" not in host:
        near = host.partition(":")[0] in ("127.0.0.1", "localhost")
        host = f"{connection.schema or ('http' if near else 'https')}://{host}"
    if connection.port and not re.search(r":\d+/?$", host):
        host = f"{host.rstrip('/')}:{connection.port}"
    return host.rstrip("/") + "/"


def _without_urls(failure: BaseException) -> str:
    return re.sub(r"https?://\S+", "the API's URL", str(failure))[:200]
