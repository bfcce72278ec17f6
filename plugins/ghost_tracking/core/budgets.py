"""YouTube's quota: three buckets a day, reset at midnight Pacific, and the call budget that a task spends from.

Source of the rules: https://developers.google.com/youtube/v3/determine_quota_cost (buckets as of June 2026).
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ghost_tracking.errors import QuotaExhaustedError

IDS_PER_CALL = 50
"""How many ids one `videos.batchGetStats` or `videos.list` call may name."""


class Bucket(StrEnum):
    """What a call is paid from. The values stand in `quota_ledger.bucket`."""

    STATISTICS = "statistics"  # videos.batchGetStats
    SEARCH = "search"  # search.list
    GENERAL = "general"  # every other read: videos, playlistItems, channels


STATISTICS_BUCKETS = (Bucket.STATISTICS, Bucket.GENERAL)
"""What readings are paid from: `videos.batchGetStats` first, then `videos.list`."""


@dataclass(frozen=True, slots=True)
class Balance:
    """A bucket's budget of today, in calls, and what has been reserved of it or sent.

    `is_exhausted`: YouTube itself has called the bucket empty; `is_refused`: less than a quarter of an hour ago.
    `is_useless`: YouTube refuses the very method that the bucket pays for, today.
    """

    budget: int
    spent: int = 0
    is_exhausted: bool = False
    is_refused: bool = False
    is_useless: bool = False

    def left(self, leave: int = 0) -> int:
        """Calls that may still be reserved by someone who leaves so many of the budget to others.

        A bucket that YouTube called empty gets one call to try it, a quarter of an hour on, whoever it is from:
        YouTube's own midnight may come a little late, and somebody may raise the quota in the middle of a day.
        """
        if self.is_refused or self.is_useless:
            return 0
        if self.is_exhausted:
            return min(max(0, self.budget - self.spent), 1)
        return max(0, self.budget - self.spent - leave)


def calls_for(videos: int) -> int:
    """How many calls ask for this many videos."""
    return -(-videos // IDS_PER_CALL)


class CallBudget:
    """Calls that were reserved in the ledger, shared by the threads of one task.

    `spend` is called before each request is sent, retries included: every request costs, failed ones too.
    `refill`, where given, reserves some more when a bucket has run out and returns how many it got.
    """

    def __init__(
        self, granted: Mapping[Bucket, int] | None = None, refill: Callable[[Bucket], int] | None = None
    ) -> None:
        self._left = dict.fromkeys(Bucket, 0) | dict(granted or {})
        self._spent = dict.fromkeys(Bucket, 0)
        self._refill = refill
        self._exhausted: set[Bucket] = set()
        self._refused: dict[Bucket, str] = {}
        self._closed = False
        self._lock = threading.Lock()

    def spend(self, bucket: Bucket) -> None:
        """Take one call out. Raises QuotaExhaustedError when there is none left."""
        with self._lock:
            if self._closed:
                raise QuotaExhaustedError.of(bucket)
            if self._left[bucket] == 0 and self._refill and bucket not in self._exhausted:
                self._left[bucket] += self._refill(bucket)
            if self._left[bucket] == 0:
                raise QuotaExhaustedError.of(bucket)
            self._left[bucket] -= 1
            self._spent[bucket] += 1

    def empty(self, bucket: Bucket) -> None:
        """YouTube itself says that this bucket is empty: nothing more is spent from it."""
        with self._lock:
            self._exhausted.add(bucket)
            self._left[bucket] = 0

    def refuse(self, bucket: Bucket, reason: str) -> None:
        """YouTube refuses the method that this bucket pays for: what is left of it is given back, and noted why."""
        with self._lock:
            self._refused.setdefault(bucket, reason)

    def close(self) -> None:
        """Pay for nothing any more: what is left can be given back."""
        with self._lock:
            self._closed = True

    def holds(self, bucket: Bucket) -> bool:
        """Whether a call could be paid from this bucket without a refill."""
        with self._lock:
            return self._left[bucket] > 0 and bucket not in self._refused

    @property
    def left(self) -> dict[Bucket, int]:
        """Calls that were reserved and not sent, to be given back; nothing of a bucket that YouTube called empty."""
        with self._lock:
            return {bucket: left for bucket, left in self._left.items() if left}

    @property
    def spent(self) -> dict[Bucket, int]:
        """Calls that were sent."""
        with self._lock:
            return dict(self._spent)

    @property
    def exhausted(self) -> frozenset[Bucket]:
        """The buckets that YouTube called empty."""
        with self._lock:
            return frozenset(self._exhausted)

    @property
    def refused(self) -> dict[Bucket, str]:
        """The buckets whose method YouTube refuses, and why."""
        with self._lock:
            return dict(self._refused)
