"""The simulator without HTTP: keys, quota, faults, latency and journal around the endpoints."""

import hmac
import json
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from . import effects, errors
from .api import ROUTES, Answer, Api, Route
from .clock import SimulatorClock
from .errors import ApiError
from .faults import Fault, FaultKind, FaultPlan
from .journal import Journal, NamedVideo, ServedCall, ServedReading
from .lateness import Lateness
from .quirks import Quirks
from .quota import Bucket, QuotaLedger
from .replay import load_replay
from .request import Request
from .videos import ReplayedVideo
from .world import World

JSON_TYPE = "application/json; charset=UTF-8"
API_PREFIX = "/youtube/v3/"


class ConnectionResetOrderedError(Exception):
    """A fault asks for the connection to be reset without an answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes out over HTTP."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    retry_after: float | None = None


def json_reply(payload: Any, status: int = 200, retry_after: float | None = None) -> Reply:
    """Give a reply with a JSON body."""
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(status, body, JSON_TYPE, retry_after)


class Simulator:
    """A simulated YouTube Data API: the universe, its clock, and everything that can be set from outside.

    Its parts are meant to be driven directly: `world`, `clock`, `quota`, `faults`, `journal`, `quirks`, and
    `latency_ms` (milliseconds that every answer takes longer).
    """

    def __init__(
        self,
        seed: int = 7,
        *,
        origin: datetime | None = None,
        channels: int = 200,
        videos_per_hour: float = 120.0,
        history_days: float = 30.0,
        fraction_share: float = 0.0,
        key: str | None = None,
        latency_ms: float = 0.0,
        limits: dict[Bucket, int] | None = None,
        now: datetime | None = None,
        quirks: Quirks | None = None,
        lateness: Lateness | None = None,
    ) -> None:
        """Make a simulator of the universe that World describes.

        `key` is the only accepted API key (None: any that is not empty), `limits` the calls a Pacific day by
        bucket, `now` (aware) a time at which the clock stands still (None: it follows the wall clock).
        """
        self.world = World(
            seed,
            origin=origin,
            channels=channels,
            videos_per_hour=videos_per_hour,
            history_days=history_days,
            fraction_share=fraction_share,
            lateness=lateness,
        )
        self.clock = SimulatorClock(now)
        self.quota = QuotaLedger(limits)
        self.faults = FaultPlan(seed)
        self.journal = Journal()
        self.quirks = quirks if quirks is not None else Quirks()
        self.latency_ms = latency_ms
        self.api = Api(self.world, self.quirks)
        self._key = key

    def replay(
        self, path: Path, *, shift: timedelta = timedelta(0), start: datetime | None = None
    ) -> list[ReplayedVideo]:
        """Serve the recorded series of a CSV file too; see load_replay for `shift` and `start`."""
        videos = load_replay(path, self.world.replay_channel, shift=shift, start=start)
        self.world.add_replay(videos)
        return videos

    def answer(self, request: Request) -> Reply:
        """Answer a call and write it into the journal.

        Raises ConnectionResetOrderedError when a fault wants that.
        """
        route = ROUTES.get(request.path)
        if route is None:
            return self._error_reply(errors.not_found())
        if self.latency_ms > 0:
            time.sleep(self.latency_ms / 1000.0)
        now, ids = self.clock.now(), request.many("id")
        readings: list[ServedReading] = []
        named: list[NamedVideo] = []
        status = 0
        try:
            answer, reply = self._attempt(route, request, ids, now)
            readings, status = answer.readings, reply.status
            if not ids:
                about = next(iter(request.sources()), "")
                for video_id, *times in effects.named_in(answer.payload):
                    named.append(NamedVideo(video_id, now, route.endpoint, about, *times))
        except ApiError as error:
            reply = self._error_reply(error)
            status = reply.status
        finally:
            call = ServedCall(route.endpoint, now, status, len(ids), request.key_place)
            self.journal.note_call(call, route.bucket.value, readings, named)
        return reply

    def _attempt(self, route: Route, request: Request, ids: list[str], now: datetime) -> tuple[Answer, Reply]:
        self._check_key(request.key)
        if not self.quota.spend(route.bucket, now):
            raise errors.bucket_empty(route.bucket)
        struck = self.faults.strike(route.endpoint, ids, request.sources())
        for fault in struck:
            self._before(fault, route.bucket, now)
        answer = route.answer(self.api, request, now)
        for fault in struck:
            spoiled = effects.body_of(fault, answer.payload)
            if spoiled is not None:
                status, content_type, body = spoiled
                return Answer({}), Reply(status, body, content_type)
            effects.spoil_items(answer.payload, fault, self.faults)
        answer.readings = effects.as_sent(answer.payload, answer.readings)
        if self.quirks.omit_empty_items and not answer.payload.get("items"):
            answer.payload.pop("items", None)
        return answer, json_reply(answer.payload)

    def _check_key(self, key: str | None) -> None:
        if not key:
            raise errors.missing_key()
        if self._key is not None and not hmac.compare_digest(key.encode(), self._key.encode()):
            raise errors.api_key_invalid()

    def _before(self, fault: Fault, bucket: Bucket, now: datetime) -> None:
        """Do what a fault does before the endpoint is asked: hold the call, or end it."""
        if fault.kind is FaultKind.HANG:
            self.faults.wait(fault)
        elif fault.kind is FaultKind.RESET:
            raise ConnectionResetOrderedError
        elif fault.kind is FaultKind.BUCKET_EMPTIES:
            self.quota.set_remaining(bucket, 0, now)
            raise errors.bucket_empty(bucket)
        error = effects.error_of(fault)
        if error is not None:
            raise error

    @staticmethod
    def _error_reply(error: ApiError) -> Reply:
        return json_reply(error.body, error.status, error.retry_after)
