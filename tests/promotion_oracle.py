"""The rule of `core.promotion` for one video, reading by reading, with which `vault.promotion` is compared."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ghost_tracking.core.promotion import FALLEN_FOR, SHORTEST, PromotionRule

_DAY = 86_400
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Trend:
    """What is remembered of a video: its highest count, when that was read (aware), and what it had gained until then
    in whole views a day; None where there was no reading before.
    """

    views: int
    at: datetime
    gain_a_day: int | None = None


def gain_a_day(before: Trend, views: int | None, at: datetime) -> int | None:
    """What the video gained since, in whole views a day; None where this reading at `at` (aware) does not tell."""
    if views is None or views < before.views or at - before.at < SHORTEST:
        return None
    return (views - before.views) * _DAY // ((at - before.at) // _SECOND)


def trend_after(before: Trend | None, views: int | None, at: datetime) -> Trend | None:
    """What to remember after a reading at `at` (aware); the same as before where it teaches nothing."""
    if views is None:
        return before
    if before is None or (views < before.views and at - before.at > FALLEN_FOR):
        return Trend(views, at)
    gained = gain_a_day(before, views, at)
    return before if gained is None else Trend(views, at, gained)


def is_hot(before: Trend | None, views: int | None, at: datetime, rule: PromotionRule | None) -> bool:
    """Whether this reading at `at` (aware) makes a settled video hot; never without a rule, nor before a third one."""
    if rule is None or before is None or before.gain_a_day is None:
        return False
    gained = gain_a_day(before, views, at)
    return gained is not None and gained >= max(rule.factor * before.gain_a_day, rule.least_views_a_day)
