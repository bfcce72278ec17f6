"""Faults on order: what goes wrong, on which endpoint, how often. Which answer they give: see effects.py."""

import threading
from collections.abc import Collection
from dataclasses import asdict, dataclass
from enum import StrEnum
from random import Random
from typing import Any

from .quota import ENDPOINT_BUCKETS


class FaultKind(StrEnum):
    """What can go wrong; the comment says which further fields of a Fault it reads."""

    HTTP_ERROR = "http_error"  # status (503), retry_after: backendError, below 500 an error without a known reason
    HTML_OK = "html_ok"  # 200 with a page of HTML
    HTML_BAD_GATEWAY = "html_bad_gateway"  # 502 with a page of HTML
    TRUNCATED_JSON = "truncated_json"  # 200, the body ends in the middle
    NOT_AN_OBJECT = "not_an_object"  # 200, a JSON array
    HANG = "hang"  # seconds (None: until released), then the usual answer
    RESET = "reset"  # the connection is reset without an answer
    RATE_LIMITED = "rate_limited"  # retry_after: 429 rateLimitExceeded, not per day
    USER_RATE_LIMITED = "user_rate_limited"  # status 403 or 429, retry_after
    BATCH_MISSING = "batch_missing"  # 200 without a single item
    SHARE_MISSING = "share_missing"  # share: that part of the items is left out
    MALFORMED_ITEM = "malformed_item"  # form; of video_id, else of the first item
    POISON = "poison"  # 400 for every call that contains video_id
    BUCKET_EMPTIES = "bucket_empties"  # skip: after so many calls the bucket is empty
    DAILY_LIMIT = "daily_limit"  # 403 dailyLimitExceeded, nothing emptied
    API_KEY_INVALID = "api_key_invalid"  # 400, today's form
    KEY_INVALID = "key_invalid"  # 400, the older form
    KEY_BLOCKED = "key_blocked"  # 403, restricted to other addresses
    ACCESS_NOT_CONFIGURED = "access_not_configured"  # 403
    PERMISSION = "permission"  # 403, as recorded
    CANNOT_ACT = "cannot_act"  # 403 of search, transient


class MalformedForm(StrEnum):
    """How an item can be malformed."""

    TEXT_COUNT = "text_count"  # viewCount "abc"
    NEGATIVE_COUNT = "negative_count"  # viewCount "-5"
    NO_ID = "no_id"
    NO_STATISTICS = "no_statistics"
    BAD_PUBLISH_TIME = "bad_publish_time"
    NOT_AN_OBJECT = "not_an_object"  # null in the list of items
    FOREIGN_ID = "foreign_id"  # an item that was not asked for


ALTERING = frozenset({FaultKind.SHARE_MISSING, FaultKind.MALFORMED_ITEM, FaultKind.HANG})


@dataclass(slots=True)
class Fault:
    """One fault on order.

    It strikes calls of `endpoint` (None: all, else a name such as "videos.batchGetStats"; with `video_id`
    only calls that ask for that id, with `source` only those about this channel, playlist, query or region), lets
    `skip` of them pass first, then strikes with `probability`, `count`
    times (None: until it is removed).
    """

    kind: FaultKind
    endpoint: str | None = None
    count: int | None = None
    probability: float = 1.0
    skip: int = 0
    status: int | None = None
    retry_after: float | None = None
    seconds: float | None = None
    share: float = 0.2
    video_id: str | None = None
    source: str | None = None
    form: MalformedForm = MalformedForm.TEXT_COUNT
    number: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        """Accept plain strings for the kind and the form; raise ValueError for what makes no sense."""
        self.kind = FaultKind(self.kind)
        self.form = MalformedForm(self.form)
        if self.endpoint is not None and self.endpoint not in ENDPOINT_BUCKETS:
            raise ValueError(f"unknown endpoint {self.endpoint}; known: {', '.join(ENDPOINT_BUCKETS)}")
        if (self.count is not None and self.count < 1) or self.skip < 0:
            raise ValueError("count is at least 1, skip at least 0")
        if self.kind is FaultKind.POISON and not self.video_id:
            raise ValueError("a poison fault needs a video_id")
        if not 0.0 <= self.probability <= 1.0 or not 0.0 <= self.share <= 1.0:
            raise ValueError("probability and share lie between 0 and 1")

    def concerns(self, endpoint: str, ids: Collection[str], sources: Collection[str] = ()) -> bool:
        """Whether a call to this endpoint for these ids, about these sources, can be struck."""
        if self.endpoint is not None and self.endpoint != endpoint:
            return False
        if self.source is not None and self.source not in sources:
            return False
        return self.video_id is None or self.video_id in ids


class FaultPlan:
    """The faults that are on order. Thread-safe."""

    def __init__(self, seed: int = 0) -> None:
        """Start without faults; `seed` settles what probabilities and shares choose."""
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._random = Random(seed)
        self._next_number = 1
        self._hanging = threading.Condition()
        self._releases = 0

    def add(self, kind: FaultKind | str, **settings: Any) -> Fault:
        """Order a fault: `add("http_error", endpoint="search.list", count=2)`; see Fault for the settings."""
        fault = Fault(FaultKind(kind), **settings)
        with self._lock:
            fault.number = self._next_number
            self._next_number += 1
            self._faults.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """Take a fault off; nothing happens when it is used up already."""
        with self._lock:
            self._faults = [other for other in self._faults if other.number != fault.number]

    def clear(self) -> None:
        """Take all faults off and let calls that hang go on."""
        with self._lock:
            self._faults.clear()
        self.release()

    def release(self) -> None:
        """Let the calls that hang now go on; later ones hang as long as the fault is on order."""
        with self._hanging:
            self._releases += 1
            self._hanging.notify_all()

    def wait(self, fault: Fault) -> None:
        """Hold a call until the fault's seconds are over or calls are released."""
        with self._hanging:
            before = self._releases
            self._hanging.wait_for(lambda: self._releases != before, fault.seconds)

    def chance(self) -> float:
        """Draw a number in [0, 1)."""
        with self._lock:
            return self._random.random()

    def active(self) -> list[Fault]:
        """Give the faults that are on order."""
        with self._lock:
            return list(self._faults)

    def strike(self, endpoint: str, ids: Collection[str], sources: Collection[str] = ()) -> list[Fault]:
        """Give what strikes this call: faults that alter the answer, and at most one that replaces it, last."""
        if not self._faults:
            return []
        struck: list[Fault] = []
        with self._lock:
            for fault in self._faults:
                if fault.concerns(endpoint, ids, sources) and self._falls(fault):
                    struck.append(fault)
                    if fault.kind not in ALTERING:
                        break
            self._faults = [fault for fault in self._faults if fault.count is None or fault.struck < fault.count]
        return sorted(struck, key=lambda fault: fault.kind not in ALTERING)

    def _falls(self, fault: Fault) -> bool:
        if fault.skip > 0:
            fault.skip -= 1
            return False
        if fault.probability < 1.0 and self._random.random() >= fault.probability:
            return False
        fault.struck += 1
        return True

    def state(self) -> list[dict[str, Any]]:
        """Give the faults on order as JSON-ready objects."""
        return [asdict(fault) for fault in self.active()]
