"""How calls to YouTube are sent: connections, payment, tries, threads, and the time that all of it may take."""

import functools
import http.client
import re
import socket
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httplib2
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from more_itertools import chunked
from tenacity import RetryCallState, Retrying, retry_if_exception

from ghost_tracking.core.answers import classify
from ghost_tracking.core.budgets import IDS_PER_CALL, Bucket, Purse
from ghost_tracking.core.wording import printable
from ghost_tracking.errors import (
    CallRejectedError,
    ConfigurationError,
    GhostTrackingError,
    PermanentError,
    QuotaExhaustedError,
    RateLimitedError,
    TransientError,
    YouTubeFaultError,
)
from ghost_tracking.youtube.answer import Answer, Item

_KEY_HEADER = "x-goog-api-key"
_ATTEMPTS = 4
_LONGEST_WAIT = 30.0
FIRST_PAUSE = 0.5
"""Seconds before a call is tried again where YouTube names none; doubled each time. Tests have less patience."""
_TIMEOUTS = 5  # what takes as many timeouts in all is cut off, where the caller gives no time of its own
_OUR_FAULT = {"invalidfilters", "missingrequiredparameter", "invalidpagetoken", "unknownpart"}
_BUCKETS = {("videos", "batchGetStats"): Bucket.STATISTICS, ("search", "list"): Bucket.SEARCH}

MOST_BYTES = 32 * 2**20
"""Of an answer: fifty videos with the longest descriptions take some 2 MB."""
_CODINGS = {"gzip": [zlib.MAX_WBITS | 16], "deflate": [zlib.MAX_WBITS, -zlib.MAX_WBITS]}
"""What the Google client says that it takes; of deflate servers have two notions."""

_IN_VAIN = 4  # calls that are given up before YouTube is taken to be down; one more than threads at least
_IN_VAIN_HALVING = 8  # and while a call is cut in halves, where none has succeeded
_IN_VAIN_AFTER_SUCCESS = 10  # or has before; fewer than it takes to come from fifty ids down to one
_FEW = 3  # so many ids may all be bad ones

Result = TypeVar("Result")
OneCall = Callable[[Sequence[str]], Answer[Item]]


@dataclass(eq=False)
class _Part(Generic[Item]):
    """Ids of one call; `error`: why it failed, where that may be the fault of one of them."""

    one_call: OneCall[Item]
    ids: Sequence[str]
    error: GhostTrackingError | None = None


class _Round:
    """One round of calls: how long it may take, whether it is over for the threads still at it, and how it goes.

    `retrying`: held by the one call that is tried again at a time, or made at all while all of them fail. Where YouTube
    is down, the others need not find that out as well.
    """

    def __init__(self, within: timedelta | None) -> None:
        self.deadline = time.monotonic() + within.total_seconds() if within else float("inf")
        self.over = threading.Event()
        self.retrying = threading.RLock()
        self.in_vain = 0
        """Calls in a row that failed after their tries."""
        self.succeeded = False
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """Seconds until the deadline; none once the round is over."""
        return 0.0 if self.over.is_set() else max(0.0, self.deadline - time.monotonic())

    def pause(self, seconds: float) -> None:
        """Wait, but never past the end of the round."""
        self.over.wait(min(seconds, self.left))

    def note(self, *, success: bool) -> None:
        """A call has been answered, or was given up."""
        with self._lock:
            self.in_vain = 0 if success else self.in_vain + 1
            self.succeeded |= success

    @property
    def is_lost(self) -> bool:
        """Whether YouTube has gone down in the middle of the round: cutting calls in halves helps no more."""
        return self.in_vain >= (_IN_VAIN_AFTER_SUCCESS if self.succeeded else _IN_VAIN_HALVING)

    @property
    def is_failing(self) -> bool:
        """Whether calls have failed, and none has succeeded yet."""
        return not self.succeeded and self.in_vain > 0

    @contextmanager
    def carefully(self) -> Iterator[None]:
        """While calls fail, make them one at a time: each may be the last one."""
        with self.retrying if self.is_failing else nullcontext():
            yield


class _Http(httplib2.Http):  # type: ignore[misc]  # httplib2 has no types
    """One thread's connection: sends the key as a header, pays for each request at the moment it is sent.

    httplib2 sends a request again when a kept connection turns out stale; that one is paid for too. A redirect is
    not followed, since it would take the key along to wherever it points. Of an answer no more is read, and no more
    decompressed, than `MOST_BYTES`.
    """

    def __init__(self, key: str, timeout: float, *, in_query: bool = False) -> None:
        super().__init__(timeout=timeout)
        self.follow_redirects = False
        self.pay: Callable[[], None] = lambda: None
        self._aborted = False
        self.key = key
        self._in_query = in_query

    def request(self, uri: str, method: str = "GET", body: Any = None, headers: Any = None, **options: Any) -> Any:
        headers = dict(headers or {})
        if self._in_query:  # added here and not by the Google client, which logs its URLs
            uri += f"{'&' if '?' in uri else '?'}key={quote(self.key)}"
        else:
            headers[_KEY_HEADER] = self.key
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
            conn.getresponse = functools.partial(_bounded, conn.getresponse)
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


class _TooLargeError(http.client.HTTPException):
    """An answer has more bytes than any of YouTube's."""


def _bounded(receive: Callable[[], Any]) -> Any:
    """An answer of which no more is read than it may have; decompressed here, since httplib2 would know no bound."""
    answer = receive()
    read = answer.read

    def bounded() -> bytes:
        try:
            return _read(answer, read)
        except BaseException:
            answer.close()
            raise

    answer.read = bounded
    return answer


def _read(answer: Any, read: Callable[[int], bytes]) -> bytes:
    data = read(MOST_BYTES + 1)
    if answer.length and len(data) <= MOST_BYTES:  # asked for a number of bytes, it would not say that it was cut off
        raise http.client.IncompleteRead(b"", answer.length)
    coding = answer.headers.get("content-encoding", "").strip().lower()
    if data and coding in _CODINGS and len(data) <= MOST_BYTES:
        data = _decompressed(data, coding)
        del answer.headers["content-encoding"], answer.headers["content-length"]
    if len(data) > MOST_BYTES:
        raise _TooLargeError(f"the answer has more than {MOST_BYTES:,} bytes")
    return data


def _decompressed(data: bytes, coding: str) -> bytes:
    """The first `MOST_BYTES` of what was compressed, and one more where there is more."""
    for bits in _CODINGS[coding]:
        stream = zlib.decompressobj(bits)
        try:
            whole = stream.decompress(data, MOST_BYTES + 1)
        except zlib.error as error:
            failure = error
            continue
        if not stream.eof and len(whole) <= MOST_BYTES:
            raise http.client.IncompleteRead(b"")
        return whole
    raise http.client.HTTPException(f"the answer cannot be decompressed: {failure}")


class Caller:
    """Sends calls to the endpoint of a connection; each of its threads has an HTTP connection of its own.

    Every request is paid from `purse` at the moment it is sent. See YouTubeHook for the parameters.
    """

    def __init__(
        self, connection_id: str, connection: Connection | None, purse: Purse | None, threads: int, timeout: float
    ) -> None:
        self.purse = purse
        self._connection_id = connection_id
        self._connection = connection
        self._threads = threads
        self._timeout = timeout
        self.longest = timedelta(seconds=_TIMEOUTS * timeout)
        self._local = threading.local()
        self._open: list[_Http] = []
        self._generation = 0
        self._open_lock = threading.Lock()
        self._round = _Round(None)

    @contextmanager
    def bounded(self, within: timedelta | None) -> Iterator[None]:
        """Give what is asked in the block this much time in all."""
        self._round = _Round(within)
        try:
            yield
        finally:
            self._round = _Round(None)

    def close(self) -> None:
        """Close the HTTP connections."""
        with self._open_lock:
            opened, self._open = self._open, []
            self._generation += 1
        for connection in opened:
            connection.close()

    def alone(self, call: Callable[[], Result]) -> Result:
        """What one call of this thread answers, with its tries; cut off, as a fault of YouTube, when it takes too long.

        A timeout of the socket does not end an answer that trickles in byte by byte.
        """
        with self.bounded(self.longest):
            this_round = self._round
            watch = threading.Timer(this_round.left, self._abort, (this_round,))
            watch.daemon = True
            watch.start()
            try:
                return self.tried(call)
            finally:
                watch.cancel()
                watch.join()
                if this_round.over.is_set():
                    self.close()  # what was cut off carries no other call

    def tried(self, call: Callable[[], Result]) -> Result:
        """What a call answers, after as many tries as it takes and the purse pays for, within the deadline."""
        failures: list[TransientError] = []
        this_round, unpaid = self._my_round, threading.Event()

        def attempt() -> Result:
            try:
                return call()
            except QuotaExhaustedError as error:
                unpaid.set()
                raise failures[-1] if failures else error from None  # why it had to be tried again says more
            except (YouTubeFaultError, RateLimitedError) as error:
                failures.append(error)
                self._mine()[0].close()  # the next answer on this connection may be somebody else's
                raise

        with ExitStack() as turn:
            return Retrying(
                retry=retry_if_exception(lambda error: isinstance(error, YouTubeFaultError | RateLimitedError)),
                stop=lambda state: unpaid.is_set() or not _is_its_turn(state, this_round, turn),
                wait=self._pause,
                sleep=this_round.pause,
                reraise=True,
            )(attempt)

    def call(self, resource: str, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one request, and read the body of its answer."""
        bucket = _BUCKETS.get((resource, method), Bucket.GENERAL)
        this_round = self._my_round
        if not this_round.left:
            raise YouTubeFaultError("there was no time left for this call")
        http_connection, resources = self._mine()
        http_connection.timeout = min(self._timeout, this_round.left)
        http_connection.pay = functools.partial(self._pay, this_round, bucket)
        key = http_connection.key
        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            body = getattr(resources[resource], method)(**given).execute(num_retries=0)
        except HttpError as refusal:
            said = refusal.content.replace(key.encode(), b"(the key)")  # some messages name it
            error = classify(int(refusal.resp.status), refusal.resp, said, bucket)
            if isinstance(error, QuotaExhaustedError) and self.purse is not None:
                self.purse.empty(bucket)
            # the refusal's own text has the URL, so it is not kept as the cause
            raise error from None
        except (OSError, httplib2.HttpLib2Error, http.client.HTTPException, ValueError, RecursionError) as failure:
            http_connection.close()  # what is left on it may be half an answer
            raise YouTubeFaultError(f"the call failed: {type(failure).__name__}: {_without_urls(failure)}") from None
        if not isinstance(body, dict):
            raise YouTubeFaultError("YouTube answered 200 with a body that is no JSON object")
        return body

    def ask_all(self, *groups: tuple[OneCall[Item], Sequence[str]]) -> Answer[Item]:
        """Ask for the ids of each group by its own call, fifty at a time over the threads; the answers put together.

        No call has ids of two groups. A call that fails for good while others succeed is cut in halves, down to the ids
        that are to blame. Where nothing succeeds the round ends after a few calls, and what is left stays unanswered.
        Raises a permanent error at once, and a rejection where each and every id is rejected.
        """
        this_round = self._round
        parts: list[_Part[Any]] = []
        for one_call, every in groups:
            parts += [_Part(one_call, ids) for ids in chunked(every, IDS_PER_CALL)]
        answer, broken = Answer[Item](), list[_Part[Any]]()
        for part, answered in self._over_threads(self._ask, parts, this_round):
            answer.add(answered)
            if part.error is not None:
                broken.append(part)
        if self._is_hopeless(this_round) or (this_round.succeeded and this_round.is_lost):
            answer.add(Answer(faulty={video_id: "" for part in broken for video_id in part.ids}))
        else:
            this_round.in_vain = 0
            for _, answered in self._over_threads(self._halve, broken, this_round):
                answer.add(answered)
        if not this_round.succeeded or this_round.is_lost:
            _blame_no_id(answer, [part.error for part in broken if part.error is not None], this_round)
        return answer

    def _over_threads(
        self, work: Callable[[_Part[Any], _Round], Answer[Any]], parts: Sequence[_Part[Any]], this_round: _Round
    ) -> Iterator[tuple[_Part[Any], Answer[Any]]]:
        """The parts as they are answered. A permanent error ends it at once."""
        if not parts:
            return
        waiting, left = deque(parts), set(parts)

        def mine() -> tuple[_Part[Any], Answer[Any]]:
            self._local.round = this_round
            # from the other end where the first ones fail: bad ids may lie together
            part = waiting.pop() if this_round.is_failing else waiting.popleft()
            try:
                return part, work(part, this_round)
            except PermanentError:
                this_round.over.set()  # before the next call of this thread, which would fail as well
                raise

        executor = ThreadPoolExecutor(self._threads, thread_name_prefix="youtube")
        futures = [executor.submit(mine) for _ in parts]
        try:
            for future in self._as_they_come(futures, this_round):
                part, answered = future.result()
                left.discard(part)
                yield part, answered
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            if any(not future.done() for future in futures):
                self._abort(this_round)
            self.close()  # the threads end here, and their connections with them
        for part in left:
            yield part, Answer.without(part.ids, YouTubeFaultError("no answer within the time of the batch"))

    def _ask(self, part: _Part[Item], this_round: _Round) -> Answer[Item]:
        """One call with its tries. Where it fails for what may be the fault of an id, the part keeps why."""
        try:
            with this_round.carefully():
                if this_round.over.is_set() or self._is_hopeless(this_round):
                    return Answer(unanswered=set(part.ids))
                if not this_round.left:
                    error = YouTubeFaultError("there was no time left for this call")
                    return Answer.without(part.ids, error, sent=False)
                return self._noted(part, this_round, self.tried)
        except GhostTrackingError as failure:
            if _may_be_an_ids_fault(failure):
                part.error = failure
                return Answer()
            if not isinstance(failure, TransientError):
                raise
            return Answer.without(part.ids, failure, sent=not isinstance(failure, QuotaExhaustedError))

    def _halve(self, part: _Part[Item], this_round: _Round) -> Answer[Item]:
        """Who is to blame for a call that failed: one call for each half, and so on, down to single ids."""
        error = part.error or YouTubeFaultError()
        if len(part.ids) == 1:
            return Answer(faulty={part.ids[0]: error.message})
        middle = len(part.ids) // 2
        answer, broken = Answer[Item](), list[_Part[Item]]()
        for half in (_Part(part.one_call, part.ids[:middle]), _Part(part.one_call, part.ids[middle:])):
            if not this_round.left or this_round.is_lost:
                answer.add(Answer.without(half.ids, _in_passing(error)))
                continue
            try:
                answer.add(self._noted(half, this_round, lambda call: call()))
            except GhostTrackingError as failure:
                if _may_be_an_ids_fault(failure):
                    half.error = failure
                    broken.append(half)
                elif isinstance(failure, TransientError):
                    answer.add(Answer.without(half.ids, _in_passing(error)))
                else:
                    raise
        for half in broken:
            answer.add(self._halve(half, this_round))
        return answer

    def _noted(
        self,
        part: _Part[Item],
        this_round: _Round,
        tried: Callable[[Callable[[], Answer[Item]]], Answer[Item]],
    ) -> Answer[Item]:
        """Make a part's call, and note for the whole round whether it was in vain."""
        try:
            answer = tried(lambda: part.one_call(part.ids))
        except QuotaExhaustedError:
            raise  # nothing was sent
        except GhostTrackingError:
            this_round.note(success=False)
            raise
        this_round.note(success=True)
        return answer

    def _is_hopeless(self, this_round: _Round) -> bool:
        """Whether so many calls have failed and none has succeeded: YouTube is down, or rejects whatever we ask."""
        return this_round.is_failing and this_round.in_vain >= max(_IN_VAIN, self._threads + 1)

    @staticmethod
    def _as_they_come(futures: Sequence[Future[Result]], this_round: _Round) -> Iterator[Future[Result]]:
        """Each future as it ends, until the deadline."""
        pending = set(futures)
        while pending:
            left = this_round.deadline - time.monotonic()
            done, pending = wait(pending, None if left == float("inf") else max(left, 0), FIRST_COMPLETED)
            if not done:
                return
            yield from done

    def _pay(self, this_round: _Round, bucket: Bucket) -> None:
        if this_round.over.is_set():
            raise ConnectionAbortedError("the time of the batch is over")
        if self.purse is not None:
            self.purse.spend(bucket)

    def _mine(self) -> tuple[_Http, dict[str, Any]]:
        """This thread's own connection and resource objects: httplib2 mixes up the answers of shared ones."""
        if getattr(self._local, "generation", None) != self._generation:
            endpoint, key, in_query = self.endpoint
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
    def endpoint(self) -> tuple[str | None, str, bool]:
        """The endpoint (None: Google's), the key, and whether it travels in the URL."""
        connection = self._resolved()
        key = (connection.password or "").strip()
        if not key:
            raise ConfigurationError(f"connection '{self._connection_id}' has no password: put the API key there")
        if not key.isascii() or not key.isprintable():
            raise ConfigurationError(f"the password of connection '{self._connection_id}' cannot be an API key")
        in_query = connection.extra_dejson.get("key_in", "header") == "query"
        return _url(connection), key, in_query

    def _resolved(self) -> Connection:
        with self._open_lock:
            if self._connection is None:
                try:
                    connection: Connection = Connection.get(self._connection_id)
                    self._connection = connection
                except AirflowException as error:
                    raise ConfigurationError(
                        f"connection '{self._connection_id}' is not defined: add one with the API key as password, "
                        "in Airflow's Admin > Connections"
                    ) from error
            return self._connection

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
        return min(FIRST_PAUSE * 2.0 ** (state.attempt_number - 1) * scattered, _LONGEST_WAIT)

    def _abort(self, this_round: _Round) -> None:
        this_round.over.set()
        with self._open_lock:
            opened = list(self._open)
        for connection in opened:
            connection.abort()


def _is_its_turn(state: RetryCallState, this_round: _Round, turn: ExitStack) -> bool:
    """Whether a call that has failed is tried again. One at a time is: where it is in vain, so it is for the others."""
    if state.attempt_number >= _ATTEMPTS:
        return False
    if state.attempt_number == 1:
        if not this_round.retrying.acquire(timeout=min(this_round.left, threading.TIMEOUT_MAX)):
            return False
        turn.callback(this_round.retrying.release)
    return not (this_round.in_vain or this_round.over.is_set())


def _may_be_an_ids_fault(error: GhostTrackingError) -> bool:
    if isinstance(error, CallRejectedError):
        return _OUR_FAULT.isdisjoint(error.reasons)
    return isinstance(error, YouTubeFaultError)


def _in_passing(error: GhostTrackingError) -> TransientError:
    return error if isinstance(error, TransientError) else YouTubeFaultError(error.message)


def _blame_no_id(answer: Answer[Any], errors: Sequence[GhostTrackingError], this_round: _Round) -> None:
    """Nothing tells an id's fault from YouTube's. Raises the rejection where all calls, for many ids, were rejected."""
    rejections = [error for error in errors if isinstance(error, PermanentError)]
    if rejections and not this_round.succeeded:
        if len(answer.faulty) + len(answer.unanswered) > _FEW:
            raise rejections[0]
        return
    if answer.faulty:
        answer.add(Answer(unanswered=set(answer.faulty), failed=set(answer.faulty)))
        answer.failures += [_in_passing(error) for error in errors]
        answer.faulty.clear()


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
    return printable(re.sub(r"https?://\S+", "the API's URL", str(failure)))
