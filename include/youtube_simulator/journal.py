"""What the simulator served: each statistics item, each call, and counters. Memory is bounded."""

import threading
from collections import Counter, deque
from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import NamedTuple


class ServedReading(NamedTuple):
    """One item with statistics that went out; times are UTC, None is a count that was not shown."""

    video_id: str
    served_at: datetime
    views: int
    likes: int | None
    comments: int | None
    published_at: datetime
    endpoint: str


class ServedCall(NamedTuple):
    """One call that was answered; `status` 0 means that it got no answer, `ids` how many it asked for."""

    endpoint: str
    at: datetime
    status: int
    ids: int
    key_place: str


class Journal:
    """A bounded memory of what was served. Thread-safe."""

    def __init__(self, readings_kept: int = 100_000, calls_kept: int = 20_000) -> None:
        """Keep the latest readings and calls; the counters are never cut."""
        self._lock = threading.Lock()
        self._readings: deque[ServedReading] = deque(maxlen=readings_kept)
        self._calls: deque[ServedCall] = deque(maxlen=calls_kept)
        self._readings_total = 0
        self._by: dict[str, Counter[str]] = self._no_counts()

    @staticmethod
    def _no_counts() -> dict[str, Counter[str]]:
        return {name: Counter() for name in ("endpoint", "bucket", "key_place", "status")}

    def note_call(self, call: ServedCall, bucket: str, readings: Iterable[ServedReading] = ()) -> None:
        """Write down a call and the items with statistics that its answer held."""
        with self._lock:
            self._calls.append(call)
            served = list(readings)
            self._readings.extend(served)
            self._readings_total += len(served)
            self._by["endpoint"][call.endpoint] += 1
            self._by["bucket"][bucket] += 1
            self._by["key_place"][call.key_place] += 1
            self._by["status"][str(call.status)] += 1

    def readings(self, video_id: str | None = None) -> list[ServedReading]:
        """Give the readings that are still remembered, oldest first; of one video when it is named."""
        with self._lock:
            kept = list(self._readings)
        return kept if video_id is None else [reading for reading in kept if reading.video_id == video_id]

    def readings_since(self, sequence: int, limit: int) -> tuple[int, list[ServedReading]]:
        """Give (number of the first, readings) from that running number on, at most `limit` of them.

        Readings are numbered from 0 in the order they were served; the first number is greater than
        `sequence` when older readings have been forgotten.
        """
        with self._lock:
            oldest = self._readings_total - len(self._readings)
            start = max(sequence, oldest)
            return start, list(islice(self._readings, start - oldest, start - oldest + limit))

    @property
    def readings_total(self) -> int:
        """How many readings were served, forgotten ones too."""
        return self._readings_total

    def calls(self, endpoint: str | None = None) -> list[ServedCall]:
        """Give the calls that are still remembered, oldest first; of one endpoint when it is named."""
        with self._lock:
            kept = list(self._calls)
        return kept if endpoint is None else [call for call in kept if call.endpoint == endpoint]

    def counts(self) -> dict[str, dict[str, int]]:
        """Count all calls by endpoint, bucket, key_place (header, query, none) and status."""
        with self._lock:
            return {name: dict(counter) for name, counter in self._by.items()}

    def clear(self) -> None:
        """Forget everything, the counters too."""
        with self._lock:
            self._readings.clear()
            self._calls.clear()
            self._readings_total = 0
            self._by = self._no_counts()
