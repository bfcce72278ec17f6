"""What a reading is worth: which slots are read where not all of them can be, or need be.

Most readings of a schedule by age find a video as it was. So each video is given readings by what is known of it:
`V`, its newest count; `v`, its gain in views an hour; and how long it has waited. Of `B` readings an hour for `N`
videos it deserves

    B · ( a·√v / Σ√v  +  b·√(v/(V+10)) / Σ√(v/(V+10))  +  c / N )        a + b + c = 1

readings an hour: a share `a` of all readings goes where most views would be missed, a share `b` where the curve would
be most wrong in per cent, and a share `c` to everybody in turn, which bounds how long a late rise stays unseen. The
time that a video has waited, times this, is its *index*: it is worth a reading once the index reaches 1, and where more
are worth one than can be read, the largest index comes first. The time until then is its *own interval*.

`v` is learned from the video's own readings (`core.gains`), and is never less than half a view since the last of them:
a video that stood still is looked at again. This floor belongs to the moment of the decision; kept with the reading, it
would make dull videos look alive.

Why square roots: of views that come at a rate v, a video read every T hours misses v·T/2 on average. With so many
readings in all, the sum of that over all videos is least for 1/T ∝ √v. See Cho and Garcia-Molina, *Effective page
refresh policies for Web crawlers* (2003), and Azar et al., *Tractable near-optimal policies for crawling* (PNAS
115:8099, 2018).

`vault.worth` has the same for many videos at once.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from ghost_tracking.core.tiers import Tier, next_slot

SMALLEST_COUNT: Final = 10
"""Views that are added to a count before it is compared: the first ten views of a video are no tenfold growth."""

UNSEEN: Final = 0.5
"""Views that any video may have gained since its last reading: half a view that nobody has seen."""

LONGEST_WAIT: Final = timedelta(days=365)
"""No video waits longer for a reading that it could have, however dull it is."""

LATE: Final = timedelta(minutes=10)
"""A reading may come so long after its slot; the next slot is judged as if it came as late, or it would be skipped."""

INDEX_BORDERS: Final = (0.0, *(2.0 ** (step / 4) for step in range(-60, 61)))
"""Borders of the classes of the index, 19 % apart, in which due videos are counted; see `batches.share_out`."""

_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Shares:
    """How all readings are shared out: parts of 1 that make 1 together, none of them negative (ValueError).

    `views`: where most views would be missed. `percent`: where the curve would be most wrong in per cent. `in_turn`: to
    everybody alike. The defaults come from replays: see `docs/benchmarks.md`, policy.
    """

    views: float = 0.17
    percent: float = 0.25
    in_turn: float = 0.58

    def __post_init__(self) -> None:
        together = self.views + self.percent + self.in_turn
        if min(self.views, self.percent, self.in_turn) < 0 or not math.isclose(together, 1, abs_tol=1e-6):
            raise ValueError(
                f"the shares of readings ({self.views:g}, {self.percent:g} and {self.in_turn:g}) must make 1 together, "
                f"and none may be negative; they make {together:g}"
            )


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a video: its newest count of views, its gain in views an hour, and its tier by age.

    `views` is None where no reading told it (YouTube can hide it), `gain` before a second one did.
    """

    views: int | None
    gain: float | None
    tier: Tier

    @property
    def is_new(self) -> bool:
        """Whether one reading has told its views: its tier's next slot is worth it, and shows how fast it gains."""
        return self.views is not None and self.gain is None


@dataclass(frozen=True, slots=True)
class Sums:
    """Σ over videos of 1, √v and √(v/(V+10)); they may be a day old. Sums of parts add up.

    Videos whose gain is not known are counted only.
    """

    videos: int = 0
    root_gains: float = 0.0
    root_relative: float = 0.0

    @classmethod
    def of(cls, videos: Iterable[tuple[Known, timedelta]]) -> "Sums":
        """The sums of videos that have waited so long, each at least an hour."""
        count, gains, relative = 0, 0.0, 0.0
        for known, waited in videos:
            count += 1
            if known.views is not None and known.gain is not None:
                gain = max(known.gain, UNSEEN / max(waited / _HOUR, 1.0))
                gains += math.sqrt(gain)
                relative += math.sqrt(gain / (known.views + SMALLEST_COUNT))
        return cls(count, gains, relative)

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.videos + other.videos,
            self.root_gains + other.root_gains,
            self.root_relative + other.root_relative,
        )


@dataclass(frozen=True)
class ReadingRule:
    """The rule for a deployment: the sums over its videos, and how many readings an hour they deserve together.

    Where `readings_an_hour` is infinite, every slot is worth its reading: the tiers without a lack of quota. Where it
    is 0, only the longest wait is.
    """

    sums: Sums
    readings_an_hour: float
    shares: Shares = field(default_factory=Shares)
    longest_wait: timedelta = LONGEST_WAIT

    @cached_property
    def weights(self) -> tuple[float, float, float]:
        """What √v, √(v/(V+10)) and 1 add to a video's index in an hour: all that a query must know of the rule.

        Infinite where there is nothing yet to share readings out by.
        """
        if math.isinf(self.readings_an_hour):
            return math.inf, math.inf, math.inf
        shares, sums, rate = self.shares, self.sums, self.readings_an_hour
        return (
            _part(rate * shares.views, sums.root_gains),
            _part(rate * shares.percent, sums.root_relative),
            _part(rate * shares.in_turn, sums.videos),
        )

    def index(self, known: Known, waited: timedelta | None) -> float:
        """How much a video deserves to be read that has waited so long since its last reading (None: it had none).

        1 and more: it is worth a reading. Infinite for those that are read before all others: never read, due to show
        its gain, or waiting for the longest time. One whose views are not told waits for its turn.
        """
        if waited is None or waited >= self.longest_wait or math.isinf(self.readings_an_hour):
            return math.inf
        if known.is_new:
            return math.inf if waited >= known.tier.interval else 0.0
        hours = waited / _HOUR
        if hours <= 0:
            return 0.0
        by_gain, by_relative, in_turn = self.weights
        if known.views is None or known.gain is None:
            return hours * in_turn
        root = math.sqrt(max(known.gain, UNSEEN / hours))
        return hours * (root * (by_gain + by_relative / math.sqrt(known.views + SMALLEST_COUNT)) + in_turn)

    def is_worth(self, known: Known, waited: timedelta | None) -> bool:
        """Whether a slot is worth a reading of a video that has waited so long by then, but for `LATE`."""
        return self.index(known, None if waited is None else waited + LATE) >= 1

    def own_interval(self, known: Known) -> timedelta:
        """How long a video waits from a reading until its index reaches 1; the longest wait at most."""
        if known.is_new:
            return min(known.tier.interval, self.longest_wait)
        by_gain, by_relative, in_turn = self.weights
        if known.views is None or known.gain is None:
            return self._within(_part(1.0, in_turn))
        by_root = by_gain + by_relative / math.sqrt(known.views + SMALLEST_COUNT)
        if math.isinf(by_root) or math.isinf(in_turn):
            return timedelta(0)
        moving = _part(1.0, by_root * math.sqrt(known.gain) + in_turn)
        # still: hours s with by_root·√(UNSEEN·s) + in_turn·s = 1, a quadratic equation of √s
        half = by_root * math.sqrt(UNSEEN) / 2
        still = _part(1.0, half + math.sqrt(half * half + in_turn))
        return self._within(min(moving, still * still))

    def next_worth(
        self, known: Known, anchor: datetime, read_at: datetime, after: datetime, slowest: Tier = Tier.WEEKLY
    ) -> tuple[Tier, datetime]:
        """The first slot later than `after` that is worth a reading, and the tier that the video has then; UTC.

        `read_at`: its last reading. All times are aware (ValueError); see `tiers.next_slot`. The slots before it are
        skipped, but never the last one within the longest wait.
        """
        wait = min(self.own_interval(known), max(self.longest_wait - slowest.interval, timedelta(0)))
        # the first slot at or after that moment, which `next_slot` would pass over
        return next_slot(anchor, max(after, read_at + wait - LATE - timedelta(microseconds=1)), slowest)

    def _within(self, hours: float) -> timedelta:
        return timedelta(hours=hours) if hours < self.longest_wait / _HOUR else self.longest_wait


def waited_for_tier(waited: timedelta | None, tier: Tier) -> bool:
    """Whether a due video is considered where due videos compete: a tier's interval after its last reading, not sooner.

    A video that was read late, or has come to a slower tier, would else compete again at its next slot with those that
    keep to theirs, mostly younger ones, whose curves suffer most. `LATE` is allowed for.
    """
    return waited is None or waited + LATE >= tier.interval


def _part(whole: float, parts: float) -> float:
    """`whole` divided by `parts`: nothing of nothing, and without end where only the parts are 0."""
    if parts > 0:
        return whole / parts
    return math.inf if whole > 0 else 0.0
