"""A population of videos over months, as the schedule reads it: every reading of every video, hour by hour."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ghost_tracking.core.budgets import IDS_PER_CALL
from ghost_tracking.core.partitions import Partition
from ghost_tracking.vault.points import tables

Numbers = npt.NDArray[np.int64]

_LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype="S1")
_LAST_LETTERS = np.frombuffer(b"048AEIMQUYcgkosw", dtype="S1")
_HOUR, _DAY = 3_600, 86_400
_BEFORE = 120
_AGES = [hours * _HOUR for hours in range(1, 25)] + [days * _DAY for days in [*range(2, 8), *range(14, 400, 7)]]
_RUN = 300
_CALLS_A_SECOND = 40
_HIDDEN_LIKES = 0.04
_COMMENTS_OFF = 0.012
_DIPPED = 0.02


@dataclass(frozen=True)
class Population:
    """Readings from `start` (UTC midnight) for `days`, about `per_hour` of them an hour; the same for the same seed.

    Videos come at a steady rate, since 120 days before `start`, and are read at the ages of the schedule: hourly on
    the first day, daily in the first week, weekly from then on. A reading comes with the tracker's next run (every
    five minutes; it gets going within 8 to 25 seconds) and a call of 50 has one whole second as its stamp, 40 calls a
    second. Final views are log-normal; most of them come in the first days, as Poisson numbers between two readings,
    and likes and comments as shares of them that each video has its own of. On 2 % of the readings views have dipped
    by 0.15 %; 4 % of the videos hide their likes, 1.2 % have no comments.
    """

    start: datetime
    days: int
    per_hour: int
    seed: int = 1

    def hours(self) -> Iterator[tuple[Partition, pa.Table]]:
        """The points of each hour, in order, sorted by key."""
        dice = np.random.default_rng(self.seed)
        begin = int(self.start.timestamp())
        published = self._publish_times(dice, begin)
        ids = random_video_ids(dice, len(published))
        videos, slots = _readings(published, begin, begin + self.days * _DAY)
        moments = _stamps(dice, slots)
        order = np.lexsort((moments, videos))
        videos, moments = videos[order], moments[order]
        counts = _counts(dice, videos, moments - published[videos], len(published))
        hidden = {
            "likes": dice.random(len(published)) < _HIDDEN_LIKES,
            "comments": dice.random(len(published)) < _COMMENTS_OFF,
        }
        by_hour = np.lexsort((moments, videos, moments // _HOUR))
        edges = np.searchsorted(moments[by_hour] // _HOUR, begin // _HOUR + np.arange(self.days * 24 + 1))
        for number in range(self.days * 24):
            chosen = by_hour[edges[number] : edges[number + 1]]
            who = videos[chosen]
            columns = {
                "video_id": ids.take(pa.array(who)),
                "timestamp": pa.array(moments[chosen] * 1_000_000),
                "views": pa.array(counts["views"][chosen]),
                **{name: pa.array(counts[name][chosen], mask=hidden[name][who]) for name in ("likes", "comments")},
                "published_at": pa.array(published[who] * 1_000_000),
            }
            table = pa.table(columns).cast(tables.SCHEMA)
            yield Partition.of(self.start + number * timedelta(hours=1)), table

    def _publish_times(self, dice: np.random.Generator, begin: int) -> Numbers:
        mean_readings = 30 + (_BEFORE + self.days / 2 - 7) / 7
        count = round(self.per_hour * 24 * (self.days + _BEFORE) / mean_readings)
        return begin - _BEFORE * _DAY + dice.integers(0, (self.days + _BEFORE) * _DAY, count)


def random_video_ids(dice: np.random.Generator, count: int) -> pa.Array:
    """Random ids that look like YouTube's; sorted, so that a video's number is its place among them."""
    drawn = _LETTERS[dice.integers(0, 64, (count, 11))]
    drawn[:, 10] = _LAST_LETTERS[dice.integers(0, 16, count)]
    ids = np.unique(drawn.view("S11").ravel())
    if len(ids) != count:
        raise RuntimeError("two videos got the same id: take another seed")
    return pa.array(ids.astype(str))


def _readings(published: Numbers, begin: int, end: int) -> tuple[Numbers, Numbers]:
    """Which video is due when, for all slots in [begin, end)."""
    videos, slots = [], []
    for age in _AGES:
        due = published + age
        inside = np.flatnonzero((due >= begin) & (due < end - _RUN - 120))
        videos.append(inside)
        slots.append(due[inside])
    return np.concatenate(videos), np.concatenate(slots)


def _stamps(dice: np.random.Generator, slots: Numbers) -> Numbers:
    runs = -(-slots // _RUN)
    delays = dice.integers(8, 26, int(runs.max() - runs.min()) + 1)
    order = np.lexsort((dice.permutation(len(slots)), runs))
    ordered = runs[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    place = np.arange(len(slots)) - np.repeat(begins, np.diff(np.concatenate([begins, [len(slots)]])))
    stamps = np.empty(len(slots), dtype=np.int64)
    stamps[order] = ordered * _RUN + delays[ordered - runs.min()] + place // IDS_PER_CALL // _CALLS_A_SECOND
    return stamps


def _counts(dice: np.random.Generator, videos: Numbers, ages: Numbers, count: int) -> dict[str, Numbers]:
    final = np.exp(7.6 + 1.7 * dice.standard_normal(count))
    grown = final[videos] * (0.7 * (1 - np.exp(-ages / (1.5 * _DAY))) + 0.3 * np.log1p(ages / (7 * _DAY)))
    first = np.concatenate([[True], videos[1:] != videos[:-1]])
    before = np.where(first, 0.0, np.concatenate([[0.0], grown[:-1]]))
    views = dice.poisson(np.maximum(grown - before, 0))
    liking = 0.004 * 20 ** dice.random(count)
    likes = dice.binomial(views, liking[videos])
    commenting = np.minimum(0.02 * 12 ** dice.random(count), 1)
    comments = dice.binomial(likes, commenting[videos])
    views, likes, comments = (_running(each, first) for each in (views, likes, comments))
    dipped = dice.random(len(views)) < _DIPPED
    return {"views": np.where(dipped, (views * 0.9985).astype(np.int64), views), "likes": likes, "comments": comments}


def _running(gains: Numbers, first: npt.NDArray[np.bool_]) -> Numbers:
    """Running sums that starts over at each video."""
    total = np.cumsum(gains)
    begins = np.flatnonzero(first)
    before = np.concatenate([[0], total[begins[1:] - 1]])
    sums: Numbers = total - np.repeat(before, np.diff(np.concatenate([begins, [len(gains)]])))
    return sums


START = datetime(2026, 1, 1, tzinfo=UTC)
"""Where the benchmarks' months begin."""
