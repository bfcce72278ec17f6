"""What becomes of a video that YouTube does not return: missing once is not gone.

YouTube drops ids from an answer for a while (replica lag, a call that is not atomic), and takes videos down
and brings them back. So a missed video is looked at again soon, then later, and is *gone* only when it was missed
`GONE_AFTER_MISSES` times over at least `GONE_AFTER`. A gone video is still looked at: after as long as it was old, a
day at least, and every four weeks in the end.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from ghost_tracking.core.tiers import GONE_INTERVAL

GONE_AFTER_MISSES = 3
GONE_AFTER = timedelta(hours=24)
BACK_OFF = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))

GONE_FIRST = timedelta(days=1)
"""The shortest time until a gone video is looked at again: a young one is often made public again within days."""

FAULT_SHARE = 0.2
FAULT_AT_LEAST = 10


@dataclass(frozen=True, slots=True)
class Absence:
    """How long a video has been missing; times are aware, UTC."""

    missed_count: int
    first_missed_at: datetime
    gone_at: datetime | None

    @property
    def is_gone(self) -> bool:
        return self.gone_at is not None


@dataclass(frozen=True, slots=True)
class AvailabilityEvent:
    """A video was confirmed to be gone, or (`returned_at` is there) is back; times are aware, ValueError otherwise.

    One that is gone has both times of its absence. One that is back may have none, where the roster keeps it, which
    does not remember them: then they stand in its event before.
    """

    video_id: str
    first_missed_at: datetime | None
    confirmed_at: datetime | None
    returned_at: datetime | None = None

    def __post_init__(self) -> None:
        moments = [self.first_missed_at, self.confirmed_at, self.returned_at]
        if any(moment is not None and moment.utcoffset() is None for moment in moments):
            raise ValueError(f"{self.video_id}: a time without a time zone")
        if self.returned_at is None and (self.first_missed_at is None or self.confirmed_at is None):
            raise ValueError(f"{self.video_id} is gone, but since when is not said")

    @property
    def state(self) -> str:
        """`gone` or `returned`."""
        return "gone" if self.returned_at is None else "returned"


def miss(
    before: Absence | None, at: datetime, *, counted: bool = True, anchor: datetime | None = None
) -> tuple[Absence, datetime]:
    """The absence after one more miss at `at`, and when to look again; `anchor` tells the video's age, where known.

    With `counted` false (the whole batch was suspicious, see `is_fault`; or nobody could say whether it is there) the
    miss is remembered, not counted, and makes nothing gone.
    """
    first = before.first_missed_at if before else at
    count = (before.missed_count if before else 0) + int(counted)
    gone_at = before.gone_at if before else None
    if counted and gone_at is None and count >= GONE_AFTER_MISSES and at - first >= GONE_AFTER:
        gone_at = at
    if gone_at is not None:
        return Absence(count, first, gone_at), at + min(max(at - (anchor or first), GONE_FIRST), GONE_INTERVAL)
    # uncounted misses wait longer and longer as well
    steps = max(count - 1, sum(at - first >= wait for wait in BACK_OFF))
    return Absence(count, first, gone_at), at + BACK_OFF[min(steps, len(BACK_OFF) - 1)]


def is_fault(asked: int, missed: Collection[Absence | None], at: datetime) -> bool:
    """Whether so many videos went missing at once that YouTube is at fault, and not the videos.

    `missed` holds the earlier absence of each video that is missing now. A fifth of the `asked` videos (and at
    least ten) newly missing is a fault. A video that was missed a day ago or earlier is no news: so a batch of
    videos that really are gone cannot be taken for a fault for ever.
    """
    news = sum(1 for before in missed if before is None or at - before.first_missed_at < GONE_AFTER)
    return news >= FAULT_AT_LEAST and news >= asked * FAULT_SHARE
