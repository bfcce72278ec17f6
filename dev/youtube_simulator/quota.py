"""Quota as YouTube counts it since June 2026: three buckets, refilled at midnight Pacific time."""

import threading
from datetime import date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")
_DAYS_KEPT = 40


class Bucket(StrEnum):
    """The buckets that calls draw on."""

    STATISTICS = "statistics"
    SEARCH = "search"
    GENERAL = "general"


ENDPOINT_BUCKETS = {
    "videos.batchGetStats": Bucket.STATISTICS,
    "videos.list": Bucket.GENERAL,
    "playlistItems.list": Bucket.GENERAL,
    "channels.list": Bucket.GENERAL,
    "search.list": Bucket.SEARCH,
}
DEFAULT_LIMITS = {Bucket.STATISTICS: 10_000, Bucket.SEARCH: 100, Bucket.GENERAL: 10_000}


def pacific_day(now: datetime) -> date:
    """Give the calendar day in Los Angeles at `now` (aware); it has 23 to 25 hours."""
    return now.astimezone(PACIFIC).date()


class QuotaLedger:
    """Count the calls of each Pacific day against the limits of the three buckets. Thread-safe."""

    def __init__(self, limits: dict[Bucket, int] | None = None) -> None:
        """Start with nothing used; buckets that `limits` does not name keep YouTube's defaults."""
        self._lock = threading.Lock()
        self._limits = {**DEFAULT_LIMITS, **(limits or {})}
        self._used: dict[tuple[date, Bucket], int] = {}

    def spend(self, bucket: Bucket, now: datetime) -> bool:
        """Take one call from the bucket; False, and nothing taken, when it is empty."""
        with self._lock:
            slot = (pacific_day(now), bucket)
            used = self._used.get(slot, 0)
            if used >= self._limits[bucket]:
                return False
            if slot not in self._used:
                self._forget_old_days()
            self._used[slot] = used + 1
            return True

    def _forget_old_days(self) -> None:
        for slot in sorted(self._used)[: -_DAYS_KEPT * len(Bucket)]:
            del self._used[slot]

    def limit(self, bucket: Bucket) -> int:
        """Give the calls that the bucket holds a day."""
        return self._limits[bucket]

    def used(self, bucket: Bucket, now: datetime) -> int:
        """Give the calls taken from the bucket in the Pacific day of `now`."""
        return self._used.get((pacific_day(now), bucket), 0)

    def remaining(self, bucket: Bucket, now: datetime) -> int:
        """Give the calls left in the bucket in the Pacific day of `now`."""
        with self._lock:
            return max(0, self._limits[bucket] - self.used(bucket, now))

    def set_limit(self, bucket: Bucket, limit: int) -> None:
        """Change how many calls the bucket holds a day; what is used already stays used."""
        with self._lock:
            self._limits[bucket] = max(0, limit)

    def set_remaining(self, bucket: Bucket, remaining: int, now: datetime) -> None:
        """Leave exactly `remaining` calls in the bucket for the Pacific day of `now` (0 empties it)."""
        with self._lock:
            self._used[pacific_day(now), bucket] = self._limits[bucket] - max(0, remaining)

    def state(self, now: datetime) -> dict[str, dict[str, int]]:
        """Give limit, used and remaining calls of each bucket for the Pacific day of `now`."""
        return {
            bucket.value: {
                "limit": self.limit(bucket),
                "used": self.used(bucket, now),
                "remaining": self.remaining(bucket, now),
            }
            for bucket in Bucket
        }
