"""How far sources are asked back, how searches share their few calls, and what of a window could not be had.

A listing (a channel's uploads, a playlist) is complete and cheap: it is read back behind the watermark, since videos
are listed minutes after their publish time, or made public days after it. A search is dear, and a sample.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ghost_tracking.core.pacing import PacificDay, allowance
from ghost_tracking.core.source_memory import SourceMemory
from ghost_tracking.core.videos import Found
from ghost_tracking.core.windows import Window

RESULTS_A_PAGE = 50
"""Of a listing or a search."""

_OUT_OF_PLACE = 10
"""So many places at most an upload stands away from where its publish time belongs."""
_HUNTER_INTERVAL = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Gap:
    """A window of a source that could not be had whole, and why; `source` is its key, `label` names it for people."""

    source: str
    label: str
    window: Window
    reason: str

    def __str__(self) -> str:
        start, end = self.window.start, self.window.end
        return f"{self.label}, {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC: {self.reason}"


def reaches_back(page: Sequence[Found], since: datetime, *, exactly: bool) -> bool:
    """Whether a listing, newest first, has been read behind `since` (aware) with this page.

    The order can be wrong by a few places. So all of the page must be older, where `since` is `exactly` what is asked
    for; where it lies far behind that, the last places are enough.
    """
    last = page if exactly else page[-_OUT_OF_PLACE:]
    return bool(last) and all(each.published_at is not None and each.published_at < since for each in last)


def wanted(
    named: Mapping[str, datetime | None], memory: SourceMemory | None, window: Window, *, is_new: bool, in_order: bool
) -> list[str]:
    """Which of the videos that a listing names are to be looked up, in its order: what is not on the schedule already.

    All that was published before the window's end and that the source has not named before, however old it is: it was
    listed late, made public late, or put onto a playlist. But what a source had before its hunt began is its past: of
    one that `is_new`, and of what was passed over then, only what the window published. So is what stands, in a
    listing that is `in_order`, behind all that it has named before: there nobody has looked yet. What is published
    after the window belongs to the next one.
    """
    known = memory or SourceMemory(window.end)
    is_whole = not in_order or known.ended or memory is None
    seen = [place for place, video_id in enumerate(named) if video_id in known.named]
    looked_at = len(named) if is_whole else max(seen, default=0)
    return [
        video_id
        for place, (video_id, published_at) in enumerate(named.items())
        if video_id not in known.scheduled
        and (
            published_at is None
            or published_at in window
            or (published_at < window.start and not is_new and video_id not in known.named and place < looked_at)
        )
    ]


def search_holdback(budget: int, day: PacificDay) -> int:
    """Calls of the search bucket, of `budget` a day, that runs which somebody triggers leave to the scheduled ones.

    Half of the budget, and less as the day goes by: however many forms are sent in a day, the searches of the hours to
    come find something. Rounded up.
    """
    return math.ceil(budget / 2 * (day.remaining / day.length))


def search_allowance(left: int, calls_an_hour: int, day: PacificDay) -> int:
    """Calls of the search bucket that a scheduled run may send, of those that are `left` today.

    All of them where they last for `calls_an_hour` until midnight; otherwise an even share for each run to come, so
    that what the last hours publish is found as soon as what the first do.
    """
    return allowance(left, calls_an_hour, 24.0 * calls_an_hour, day.remaining, _HUNTER_INTERVAL)
