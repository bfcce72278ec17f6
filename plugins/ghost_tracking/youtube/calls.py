"""One call of YouTube's API: where it goes, its payment, its retries, and what its answer means."""

import functools
import http.client
import re
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import httplib2
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from tenacity import RetryCallState, Retrying, retry_if_exception

from ghost_tracking.core.answers import classify
from ghost_tracking.core.budgets import Bucket, CallBudget
from ghost_tracking.errors import (
    GhostTrackingError,
    QuotaExhaustedError,
    RateLimitedError,
    TransientError,
    YouTubeFaultError,
)
from ghost_tracking.wording import printable
from ghost_tracking.youtube.rounds import Round
from ghost_tracking.youtube.transport import Transport

_ATTEMPTS = 4
_LONGEST_WAIT = 30.0
FIRST_PAUSE = 0.5
"""Seconds before a call is tried again where YouTube names none; doubled each time. Tests have less patience."""
_TIMEOUTS = 5  # what takes as many timeouts in all is cut off, where the caller gives no time of its own
_BUCKETS = {("videos", "batchGetStats"): Bucket.STATISTICS, ("search", "list"): Bucket.SEARCH}
_RESOURCES = ("videos", "playlistItems", "channels", "search")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Endpoint:
    """Where calls go, with whose key. `url` (None: Google's) ends with a slash; the key travels in a header."""

    key: str = field(repr=False)
    url: str | None = None
    key_in_query: bool = False


class ApiCalls:
    """Makes single calls to an endpoint; each thread has an HTTP connection of its own.

    `endpoint`: the endpoint, or what finds it when it is first needed. Every request is paid from `budget`, where there
    is one, at the moment it is sent. `timeout`: seconds without a byte.
    """

    def __init__(
        self, endpoint: Endpoint | Callable[[], Endpoint], budget: CallBudget | None = None, timeout: float = 20.0
    ) -> None:
        self.budget = budget
        self.longest = timedelta(seconds=_TIMEOUTS * timeout)
        """What is asked together may take so long, where the caller gives no time of its own."""
        self._endpoint = endpoint
        self._timeout = timeout
        self._local = threading.local()
        self._open: list[Transport] = []
        self._generation = 0
        self._open_lock = threading.Lock()

    def request(self, this_round: Round, resource: str, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one request, and read the body of its answer. Raises what a refusal or a failure means."""
        bucket = _BUCKETS.get((resource, method), Bucket.GENERAL)
        if not this_round.left:
            raise YouTubeFaultError("there was no time left for this call")
        transport, resources = self._of_this_thread()
        transport.timeout = min(self._timeout, this_round.left)
        transport.pay = functools.partial(self._pay, this_round, bucket)
        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            body = getattr(resources[resource], method)(**given).execute(num_retries=0)
        except HttpError as refusal:
            said = refusal.content.replace(transport.key.encode(), b"(the key)")  # some messages name it
            error = classify(int(refusal.resp.status), refusal.resp, said, bucket)
            if isinstance(error, QuotaExhaustedError) and self.budget is not None:
                self.budget.empty(bucket)
            # the refusal's own text has the URL, so it is not kept as the cause
            raise error from None
        except (OSError, httplib2.HttpLib2Error, http.client.HTTPException, ValueError, RecursionError) as failure:
            transport.close()  # what is left on it may be half an answer
            raise YouTubeFaultError(f"the call failed: {type(failure).__name__}: {_without_urls(failure)}") from None
        if not isinstance(body, dict):
            raise YouTubeFaultError("YouTube answered 200 with a body that is no JSON object")
        return body

    def with_retries(self, this_round: Round, call: Callable[[], Result]) -> Result:
        """What a call answers, after as many tries as it takes and the budget pays for, within the deadline."""
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
                self._of_this_thread()[0].close()  # the next answer on this connection may be somebody else's
                raise

        with ExitStack() as turn:
            return Retrying(
                retry=retry_if_exception(lambda error: isinstance(error, YouTubeFaultError | RateLimitedError)),
                stop=lambda state: unpaid.is_set() or not _is_its_turn(state, this_round, turn),
                wait=_pause,
                sleep=this_round.pause,
                reraise=True,
            )(attempt)

    def request_alone(self, resource: str, method: str, **parameters: Any) -> dict[str, Any]:
        """One request with its retries; cut off, as a fault of YouTube, when all of it takes longer than `longest`.

        A timeout of the socket does not end an answer that trickles in byte by byte.
        """
        this_round = Round(self.longest)
        watch = threading.Timer(this_round.left, self.abort, (this_round,))
        watch.daemon = True
        watch.start()
        try:
            return self.with_retries(this_round, lambda: self.request(this_round, resource, method, **parameters))
        finally:
            watch.cancel()
            watch.join()
            if this_round.over.is_set():
                self.close()  # what was cut off carries no other call

    def abort(self, this_round: Round) -> None:
        """End a round: what is under way in any thread fails, and nothing more is sent."""
        this_round.over.set()
        with self._open_lock:
            opened = list(self._open)
        for transport in opened:
            transport.abort()

    def close(self) -> None:
        """Close the HTTP connections."""
        with self._open_lock:
            opened, self._open = self._open, []
            self._generation += 1
        for transport in opened:
            transport.close()

    @property
    def endpoint(self) -> Endpoint:
        """Where calls go. Raises ConfigurationError where that is not said, or cannot be."""
        with self._open_lock:
            if not isinstance(self._endpoint, Endpoint):
                self._endpoint = self._endpoint()
            return self._endpoint

    def _pay(self, this_round: Round, bucket: Bucket) -> None:
        if this_round.over.is_set():
            raise ConnectionAbortedError("the time of the batch is over")
        if self.budget is not None:
            self.budget.spend(bucket)

    def _of_this_thread(self) -> tuple[Transport, dict[str, Any]]:
        """This thread's own connection and resource objects: httplib2 mixes up the answers of shared ones."""
        if getattr(self._local, "generation", None) != self._generation:
            endpoint = self.endpoint
            transport = Transport(endpoint.key, self._timeout, in_query=endpoint.key_in_query)
            service = build(
                "youtube",
                "v3",
                http=transport,
                client_options={"api_endpoint": endpoint.url} if endpoint.url else None,
                static_discovery=True,
                cache_discovery=False,
            )
            self._local.generation = self._generation
            self._local.transport = transport
            self._local.resources = {name: getattr(service, name)() for name in _RESOURCES}
            with self._open_lock:
                self._open.append(transport)
        return self._local.transport, self._local.resources


def _pause(state: RetryCallState) -> float:
    """Seconds before the next try: what Retry-After says, or else growing and scattered."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.facts.get("retry_after") if isinstance(error, GhostTrackingError) else None
    if asked is not None:
        return min(float(asked), _LONGEST_WAIT)
    scattered = 0.5 + time.monotonic() % 1
    return min(FIRST_PAUSE * 2.0 ** (state.attempt_number - 1) * scattered, _LONGEST_WAIT)


def _is_its_turn(state: RetryCallState, this_round: Round, turn: ExitStack) -> bool:
    """Whether a call that has failed is tried again. One at a time is: where it is in vain, so it is for the others."""
    if state.attempt_number >= _ATTEMPTS:
        return False
    if state.attempt_number == 1:
        if not this_round.retrying.acquire(timeout=min(this_round.left, threading.TIMEOUT_MAX)):
            return False
        turn.callback(this_round.retrying.release)
    return not (this_round.in_vain or this_round.over.is_set())


def _without_urls(failure: BaseException) -> str:
    return printable(re.sub(r"https?://\S+", "the API's URL", str(failure)))
