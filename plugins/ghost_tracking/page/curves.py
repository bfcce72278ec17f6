"""A video's readings as a page draws them: where there are gaps, where counts fall, and what a fall may mean."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ghost_tracking.core.policies import EVERY_SLOT, ReadingPlan
from ghost_tracking.core.tiers import tier_at
from ghost_tracking.core.worth import Known
from ghost_tracking.page.responses import Curve, Fall, Falls

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Numbers = npt.NDArray[np.int64]

COUNTS: Final = ("views", "likes", "comments")

_HOUR, _DAY, _WEEK = 3_600, 86_400, 604_800
_AROUND: Final = 3
"""Readings on each side that tell how many slots are passed over around a gap."""
_WIDER: Final = 1.5
_RECOVERS_WITHIN: Final = 2 * _DAY
_FALLS_EXPLAINED: Final = 40


def curve(table: "pa.Table", published: datetime | None, plan: ReadingPlan = EVERY_SLOT) -> Curve:
    """The points of one video, ordered by time, as a curve; where it waited as long as the plan explains, is no gap."""
    import numpy as np
    import pyarrow as pa

    seconds = table["timestamp"].cast(pa.int64()).to_numpy() // 1_000_000
    counts = {name: table[name].to_pylist() for name in COUNTS}
    gaps: list[int] = []
    if published is not None and len(seconds) > 1:
        born, views = int(published.timestamp()), counts["views"]
        longer = np.flatnonzero(_gaps(seconds, born)).tolist()
        gaps = [place + 1 for place in longer if not _is_planned(seconds, views, place, born, plan)]
    falls = {name: _falls(seconds.tolist(), counts[name], name) for name in COUNTS}
    return Curve(seconds=seconds.tolist(), **counts, gaps=gaps, falls=Falls(**falls))


def published_at(table: "pa.Table") -> datetime | None:
    """When a video was published, as the last of its points that says so has it."""
    published = table["published_at"].drop_null()
    found: datetime | None = published[-1].as_py() if len(published) else None
    return found


def slots_by(ages: "Numbers") -> "Numbers":
    """How many slots of the schedule lie at or before these ages (seconds); see `core.tiers`."""
    import numpy as np

    hours = np.clip(ages // _HOUR, 0, 24)
    days = np.clip(ages // _DAY - 1, 0, 6)
    weeks = np.maximum(ages // _WEEK - 1, 0)
    slots: Numbers = hours + days + weeks
    return slots


def _gaps(seconds: "Numbers", published: int) -> Any:
    """Between which readings some are missing: more slots are passed over there than between those around.

    Not simply where one is, since where quota is short a slot is passed over between all readings, and that is no gap.
    """
    import numpy as np

    steps = np.diff(slots_by(seconds - published))
    found = np.zeros(len(steps), dtype=bool)
    for place in np.flatnonzero(steps > 1).tolist():
        around = np.delete(steps[max(0, place - _AROUND) : place + _AROUND + 1], min(place, _AROUND))
        found[place] = steps[place] > _WIDER * (np.median(around) if len(around) else 1)
    return found


def _is_planned(seconds: "Numbers", views: list[int | None], place: int, published: int, plan: ReadingPlan) -> bool:
    """Whether a policy that leaves slots out explains the wait after a reading, by what was gained in it."""
    if plan.threshold <= 0 or not plan.is_known:
        return False
    wait = timedelta(seconds=int(seconds[place + 1] - seconds[place]))
    before, after = views[place], views[place + 1]
    gain = None if before is None or after is None else max(0, after - before) / (wait / timedelta(hours=1))
    tier = tier_at(timedelta(seconds=int(seconds[place] - published)))
    # it is decided by what was known before the wait, and a slot comes when it comes
    return wait <= _WIDER * plan.interval(Known(before, gain, tier)) + tier.interval


def _falls(seconds: list[int], counts: list[int | None], name: str) -> list[Fall]:
    """Where a count is lower than the one shown before."""
    found: list[Fall] = []
    last = None
    for place, count in enumerate(counts):
        if count is None:
            continue
        if last is not None and count < last:
            because = _because(seconds, counts, place, last, name) if len(found) < _FALLS_EXPLAINED else ""
            found.append(Fall(place, last, count, because))
        last = count
    return found


def _because(seconds: list[int], counts: list[int | None], place: int, before: int, name: str) -> str:
    later = ((seconds[at], count) for at, count in enumerate(counts) if at > place and count is not None)
    back = next((at for at, count in later if count >= before), None)
    if back is not None and back - seconds[place] <= _RECOVERS_WITHIN:
        hours = (back - seconds[place]) / _HOUR
        return f"It recovered {hours:.1f} h later: YouTube's servers lag behind one another, and one answered late."
    if seconds[-1] - seconds[place] < _RECOVERS_WITHIN:
        return "Too early to tell: YouTube's servers lag behind one another, and most falls recover soon."
    return _LASTING[name]


_LASTING: Final = {
    "views": "It did not recover within two days: YouTube removes views that it considers invalid.",
    "likes": "It did not recover within two days: users take likes back, or their accounts are closed.",
    "comments": "It did not recover within two days: comments are deleted, or the channel hides them.",
}
