"""What the simulator served: each statistics item, each id that a listing named, each call, and counters.

Memory is bounded.
"""

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
    views: int | None
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


class NamedVideo(NamedTuple):
    """One id that a listing named, `about` the playlist, query or region that was asked for.

    `published_at` and `added_at` (to a playlist) as the answer told them; None where it did not.
    """

    video_id: str
    at: datetime
    endpoint: str
    about: str
    published_at: str | None = None
    added_at: str | None = None


class Journal:
    """A bounded memory of what was served. Thread-safe."""

    def __init__(self, readings_kept: int = 100_000, calls_kept: int = 20_000, named_kept: int = 200_000) -> None:
        """Keep the latest readings, calls and named ids; the counters are never cut."""
        self._lock = threading.Lock()
        self._readings: deque[ServedReading] = deque(maxlen=readings_kept)
        self._calls: deque[ServedCall] = deque(maxlen=calls_kept)
        self._named: deque[NamedVideo] = deque(maxlen=named_kept)
        self._readings_total = self._named_total = 0
        self._by: dict[str, Counter[str]] = self._no_counts()

    @staticmethod
    def _no_counts() -> dict[str, Counter[str]]:
        return {name: Counter() for name in ("endpoint", "bucket", "key_place", "status")}

    def note_call(
        self,
        call: ServedCall,
        bucket: str,
        readings: Iterable[ServedReading] = (),
        named: Iterable[NamedVideo] = (),
    ) -> None:
        """Write down a call, the items with statistics that its answer held, and the ids that it named."""
        with self._lock:
            self._calls.append(call)
            served = list(readings)
            self._readings.extend(served)
            self._readings_total += len(served)
            listed = list(named)
            self._named.extend(listed)
            self._named_total += len(listed)
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

    def named_since(self, sequence: int = 0) -> list[NamedVideo]:
        """Give the ids that listings named from that running number on, counted from 0, as far as remembered."""
        with self._lock:
            oldest = self._named_total - len(self._named)
            return list(islice(self._named, max(0, sequence - oldest), None))

    @property
    def named_total(self) -> int:
        """How many ids listings have named, repeated and forgotten ones too."""
        return self._named_total

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
            self._named.clear()
            self._readings_total = self._named_total = 0
            self._by = self._no_counts()
