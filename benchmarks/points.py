"""Invented observations that compress like YouTube's: their sizes, gaps and repetitions are what matters."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from ghost_tracking.core.budgets import IDS_PER_CALL
from ghost_tracking.core.points import MetricPoint

_LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype="S1")
_HIDDEN_LIKES = 0.04
_COMMENTS_OFF = 0.012
_DIPPED = 0.02
_CALLS_A_SECOND = 40


@dataclass(frozen=True)
class Crowd:
    """Observations of one run: `count` different videos from `at` (UTC) on, 40 calls of 50 videos a second."""

    at: datetime
    count: int
    seed: int

    def points(self) -> list[MetricPoint]:
        """The points, in the order of the calls; each call has one whole second of its own as its stamp.

        Final views are log-normal; what is seen of them grows with age and, on 2 % of the videos, has dipped by
        0.15 %. Half of the videos are at an hourly slot of their first day, half at a daily one of their first week.
        """
        dice = np.random.default_rng(self.seed)
        age = self._ages(dice)
        views = np.exp(7.6 + 1.7 * dice.standard_normal(self.count)) * (1 - np.exp(-age / 86_400))
        views = (views * np.where(dice.random(self.count) < _DIPPED, 0.9985, 1.0)).astype(np.int64)
        likes = (views * 0.004 * 20 ** dice.random(self.count)).astype(np.int64)
        comments = (likes * 0.02 * 12 ** dice.random(self.count)).astype(np.int64)
        hidden, off = dice.random(self.count) < _HIDDEN_LIKES, dice.random(self.count) < _COMMENTS_OFF
        return [
            MetricPoint(
                video_id=video_id,
                timestamp=self._stamp(number),
                views=int(views[number]),
                likes=None if hidden[number] else int(likes[number]),
                comments=None if off[number] else int(comments[number]),
                published_at=self.at - timedelta(seconds=int(age[number])),
            )
            for number, video_id in enumerate(self._ids(dice))
        ]

    def _ids(self, dice: np.random.Generator) -> list[str]:
        drawn = _LETTERS[dice.integers(0, 64, (self.count, 11))]
        return [row.tobytes().decode() for row in drawn]

    def _ages(self, dice: np.random.Generator) -> np.ndarray:
        """Seconds since publication: just past a slot, since a video is due once its slot has come."""
        hours = dice.integers(1, 25, self.count)
        days = 24 * dice.integers(2, 8, self.count)
        slot = np.where(dice.random(self.count) < 0.5, hours, days) * 3600
        return slot + dice.integers(0, 300, self.count)

    def _stamp(self, number: int) -> datetime:
        return self.at + timedelta(seconds=number // IDS_PER_CALL // _CALLS_A_SECOND)


HOUR = datetime(2026, 1, 15, 10, tzinfo=UTC)
"""The hour that all benchmarks write into."""
