"""The videos of a simulated YouTube: whose counts are functions of their number and the time, and who dies when."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

HOUR, DAY, WEEK = 3_600, 86_400, 604_800
NEVER = 2**40
"""In seconds since 1970: later than any simulation."""

_DYING, _RETURNING, _PROMOTING = 0.03, 0.3, 0.002
_YEAR = 365 * DAY
_SETTLED = 8 * DAY
_HIDDEN_LIKES, _COMMENTS_OFF = 0.04, 0.012


@dataclass(frozen=True)
class World:
    """A population, sorted by publish time; a video is named by its number. Times are seconds since 1970.

    Three videos in a hundred are taken down, at an age of three weeks on average, and three in ten of those come back
    one to seven weeks later. Two in a thousand take off again at an age of three to eight weeks, or a share a year of
    the settled ones at any age. Views are log-normal, most of them come in the first days; how many come later differs
    by far, so that some videos keep growing and others stand still. Some hide their likes or have no comments.
    """

    published: Numbers
    ids: Sequence[str]
    dies: Numbers
    returns: Numbers
    promotes: Numbers
    views: Floats
    lasting: Floats
    liking: Floats
    commenting: Floats
    likes_hidden: Flags
    comments_off: Flags

    @classmethod
    def invent(cls, start: datetime, days: int, per_day: int, seed: int, late_rises: float | None = None) -> "World":
        """`per_day` videos on each of so many days; the same for the same arguments.

        `late_rises`: the share of settled videos that takes off again in a year; None: as the class says.
        """
        dice = np.random.default_rng(seed)
        count = days * per_day
        day = np.repeat(np.arange(days, dtype=np.int64), per_day)
        published = np.sort(int(start.timestamp()) + day * DAY + dice.integers(0, DAY, count))
        dying, promoting = dice.random(count) < _DYING, dice.random(count) < _PROMOTING
        dies = np.where(dying, published + 2 * HOUR + (dice.exponential(21, count) * DAY).astype(np.int64), NEVER)
        returning = dying & (dice.random(count) < _RETURNING)
        returns = np.where(returning, dies + dice.integers(WEEK, 7 * WEEK, count), NEVER)
        ids = _ids(dice, count)
        promotes = np.where(promoting, published + dice.integers(3 * WEEK, 8 * WEEK, count), NEVER)
        more_dice = np.random.default_rng([seed, 2])
        lasting = 0.1 * np.exp(1.5 * more_dice.standard_normal(count))
        if late_rises is not None:
            years = more_dice.exponential(1 / max(late_rises, 1e-9), count)
            promotes = published + _SETTLED + (years * _YEAR).astype(np.int64)
            promotes[promotes >= int(start.timestamp()) + days * DAY] = NEVER
        return cls(
            published=published,
            ids=ids,
            dies=dies,
            returns=returns,
            promotes=promotes,
            views=np.exp(7.6 + 1.7 * dice.standard_normal(count)),
            lasting=lasting,
            liking=0.004 * 20 ** dice.random(count),
            commenting=np.minimum(0.02 * 12 ** dice.random(count), 1.0),
            likes_hidden=dice.random(count) < _HIDDEN_LIKES,
            comments_off=dice.random(count) < _COMMENTS_OFF,
        )

    def __post_init__(self) -> None:
        if len(set(self.ids)) != len(self.published):
            raise ValueError("two videos got the same id: take another seed")

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each id."""
        return {video_id: number for number, video_id in enumerate(self.ids)}

    @cached_property
    def published_texts(self) -> list[str]:
        """The publish times as YouTube writes them."""
        return [f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}" for second in self.published.tolist()]

    def published_between(self, start: datetime, end: datetime) -> range:
        """The numbers of the videos published in [start, end)."""
        first, last = np.searchsorted(self.published, [int(start.timestamp()), int(end.timestamp())])
        return range(int(first), int(last))

    def public(self, numbers: Numbers, at: int) -> Flags:
        """Which of these videos YouTube has at this second."""
        up: Flags = (self.published[numbers] <= at) & ((at < self.dies[numbers]) | (at >= self.returns[numbers]))
        return up

    def counts(self, numbers: Numbers, at: int | Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Views, likes and comments at this second, or each at one of its own.

        Whether they are shown, `likes_hidden` and `comments_off` say.
        """
        days = (at - self.published[numbers]) / DAY
        views = self.views[numbers] * (0.7 * (1 - np.exp(-days / 1.5)) + self.lasting[numbers] * np.log1p(days / 7))
        promoted = np.maximum(at - self.promotes[numbers], 0) / DAY
        views += (100_000 + 20 * self.views[numbers]) * (1 - np.exp(-promoted / 7))
        likes = views * self.liking[numbers]
        comments = likes * self.commenting[numbers]
        return views.astype(np.int64), likes.astype(np.int64), comments.astype(np.int64)

    def slots_due(self, start: datetime, end: datetime) -> int:
        """How many scheduled readings of videos that are alive fall into [start, end)."""
        since, until = int(start.timestamp()), int(end.timestamp())
        alive = self.dies > until
        return sum(
            int((_slots(until - self.published, *each) - _slots(since - self.published, *each))[alive].sum())
            for each in ((HOUR, 0, 24), (DAY, 1, 7), (WEEK, 1, NEVER))
        )

    def ordinary(self) -> Flags:
        """The videos whose schedule nothing disturbs: which neither die nor take off again."""
        calm: Flags = (self.dies == NEVER) & (self.promotes == NEVER)
        return calm


def _slots(age: Numbers, interval: int, first: int, last: int) -> Numbers:
    """How many slots of a tier lie before this age: multiples of its interval, after the `first` up to the `last`."""
    passed: Numbers = np.clip((age - 1) // interval, first, last) - first
    return passed


def _ids(dice: np.random.Generator, count: int) -> list[str]:
    """Random ids that look like YouTube's: 64 bits each."""
    octets = np.zeros((count, 9), np.uint8)
    octets[:, :8] = dice.integers(0, 256, (count, 8))
    text = base64.urlsafe_b64encode(octets.tobytes()).decode("ascii")
    return [text[start : start + 11] for start in range(0, len(text), 12)]
