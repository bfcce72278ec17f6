"""When a video that has settled is looked at more often again: its views grow far faster than they did.

A settled video is read once a week. Something may lift it up again (a film, a scandal, a song in a short), and then
a week is long. So each reading is compared with the one before: what the video gained a day since then, with what it
gained a day in the interval before that.

YouTube's counters are not one counter: replicas lag, and a count may fall and recover (95 falls of up to 6,989 views
in the 9,225 recorded readings of four videos). Compared with a count that had fallen, its recovery would look like
growth. So a reading below the highest count so far teaches nothing, and the next is compared with the highest, over all
the time since. For the same reason readings less than a day apart are not compared.

`vault.promotion` applies the rule to a chunk's videos at once.

Read once a week, from any reading on, the recorded series promote no video: in 4,951 comparisons not one, not even
at 1.2 times. Read once a day they never reach 1.5 times. Read once an hour and compared with what was read last, they
do reach 5 times, in 11,555 of 1.2 million comparisons.
"""

from dataclasses import dataclass
from datetime import timedelta

SHORTEST = timedelta(days=1)
"""Readings closer to each other are not compared: a lag of thousands of views would be most of what was gained."""

FALLEN_FOR = timedelta(days=28)
"""A count that is lower for longer has not lagged: YouTube has removed views, and it is the one to compare with."""


@dataclass(frozen=True, slots=True)
class PromotionRule:
    """A video is promoted that gained `factor` times as many views a day as in the interval before, and at least
    `least_views_a_day`; it is read daily until `lasts` after that.

    The least gain also stands in for an interval in which nothing was gained, of which any gain is a multiple.
    """

    factor: float
    least_views_a_day: int
    lasts: timedelta
