"""Movers: what grows fastest over an hour, a day or a week, what came back to life, what vanished.

The gain of a window leads from the newest count at or before its beginning, but not older than the window is long, to
the newest within it; without a count before it, from the first within. Where the two counts lie further apart than the
window is long, the gain is scaled down to it. It is never scaled up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ghost_tracking.errors import BadInputError
from ghost_tracking.page.context import PageContext, ttl_cached
from ghost_tracking.page.responses import Mover, Movers, PromotedVideo, VanishedVideo, seconds_of
from ghost_tracking.page.video import titles, video_fields

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Numbers = npt.NDArray[np.int64]

WINDOWS: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
SHOWN: Final = 50
COMPARED: Final = 40
"""Movers that are compared with their channels."""
SIBLINGS: Final = 15
"""Videos of a channel that one is compared with: those published nearest to it."""
FEWEST_SIBLINGS: Final = 3
VANISHED_DAYS: Final = 30
_GRACE: Final = timedelta(minutes=10)
"""Slots an hour apart are read a few minutes more than that apart."""
_SCALE: Final = 1_000_000


def movers(context: PageContext, window: str) -> Movers:
    """The fastest of a window, absolute and against their channels; and who came back or vanished."""
    if window not in WINDOWS:
        raise BadInputError(f"{window[:20]!r} is none of {', '.join(WINDOWS)}.")
    return _movers(context, window)


@ttl_cached(300)
def _movers(context: PageContext, window: str) -> Movers:
    now = context.watchlist.quota.today().now
    length = WINDOWS[window]
    gained = gains(context, now, length)
    fastest = gained.fastest(max(SHOWN, COMPARED))
    known = titles(context, [row["video_id"] for row in fastest])
    _compare(context, fastest[:COMPARED], known, length, now)
    return Movers(
        now=seconds_of(now),
        window=window,
        seconds=round(length.total_seconds()),
        videos=len(gained.ids),
        movers=[Mover(**_known(known, row["video_id"]) | row) for row in fastest[:SHOWN]],
        promoted=_promoted(context),
        vanished=_vanished(context, now),
    )


def _known(known: Mapping[str, dict[str, Any]], video_id: str) -> dict[str, Any]:
    """The fields of a video, also of one without metadata."""
    return known.get(video_id) or video_fields({"video_id": video_id})


@dataclass(frozen=True)
class Gains:
    """By video: its id, the two counts (`before`, `after`), when they were read, and publication (microseconds)."""

    ids: "pa.Array"
    before: "Numbers"
    after: "Numbers"
    since: "Numbers"
    until: "Numbers"
    published: "Numbers"
    length: timedelta

    def fastest(self, number: int) -> list[dict[str, Any]]:
        """Fields of `Mover` of those that gained the most views a window, the fastest first."""
        import numpy as np

        window = self.length.total_seconds() * _SCALE
        scaled = (self.after - self.before) * (window / np.maximum(window, self.until - self.since))
        order = np.argsort(-scaled, kind="stable")[:number]
        return [
            {
                "video_id": self.ids[int(place)].as_py(),
                "gain": round(float(scaled[place])),
                "first_count": int(self.before[place]),
                "last_count": int(self.after[place]),
                "since": int(self.since[place]) // _SCALE,
                "until": int(self.until[place]) // _SCALE,
                "published_at": int(self.published[place]) // _SCALE if self.published[place] else None,
            }
            for place in order
            if scaled[place] > 0
        ]


def gains(context: PageContext, now: datetime, length: timedelta) -> Gains:
    """What every video gained that has two counts in or just before the window that ends `now`."""
    import numpy as np
    import pyarrow as pa

    begin = now - length
    columns = ["video_id", "timestamp", "views", "published_at"]
    earliest = begin - max(length, timedelta(hours=1)) - _GRACE
    batches = list(context.vault.read_batches(earliest, now + _GRACE, columns=columns))
    if not batches:
        empty = np.zeros(0, dtype=np.int64)
        return Gains(pa.array([], pa.string()), empty, empty, empty, empty, empty, length)
    table = pa.Table.from_batches(batches)
    table = table.filter(table["views"].is_valid())
    coded = table["video_id"].combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.unify_dictionaries().combine_chunks()
    codes, views = coded.indices.to_numpy(), table["views"].to_numpy()
    moments = table["timestamp"].cast(pa.int64()).to_numpy()
    published = table["published_at"].cast(pa.int64()).fill_null(0).to_numpy()
    count = len(coded.dictionary)
    edge = int(begin.timestamp() * _SCALE)
    first, last = _two_counts(codes, moments, count, edge)
    kept = np.flatnonzero((first >= 0) & (last >= 0) & (moments[first] < moments[last]) & (moments[last] > edge))
    first, last = first[kept], last[kept]
    return Gains(
        coded.dictionary.take(pa.array(kept)),
        views[first],
        views[last],
        moments[first],
        moments[last],
        published[last],
        length,
    )


def _two_counts(codes: "Numbers", moments: "Numbers", count: int, edge: int) -> tuple["Numbers", "Numbers"]:
    """For each video the rows of its newest count at or before `edge`, else of its first, and of its newest; or -1."""
    import numpy as np

    order = np.argsort(moments)
    # of rows that are written to the same place the last one stays
    last, first = np.full((2, count), -1, dtype=np.int64)
    last[codes[order]] = order
    first[codes[order[::-1]]] = order[::-1]
    before = order[: np.searchsorted(moments[order], edge, side="right")]
    first[codes[before]] = before
    return first, last


# Against its channel


def _compare(
    context: PageContext,
    rows: Sequence[dict[str, Any]],
    known: Mapping[str, Mapping[str, Any]],
    length: timedelta,
    now: datetime,
) -> None:
    """Add to each mover its gain between two `ages` (seconds), its channel's median one, and their ratio `times`."""
    import pyarrow.compute as pc

    siblings = _siblings(context, rows, known)
    wanted = {video_id for ids in siblings.values() for video_id in ids} | set(siblings)
    if not wanted:
        return
    earliest = now - timedelta(days=400)
    table = context.vault.read_table(earliest, None, wanted, ["video_id", "timestamp", "views", "published_at"])
    table = table.filter(pc.and_(table["views"].is_valid(), table["published_at"].is_valid()))
    histories = _histories(table)
    for row in rows:
        if row["published_at"] is None or row["video_id"] not in siblings:
            continue
        until = row["until"] - row["published_at"]
        since = max(0, until - length.total_seconds())
        own = _gain_between(histories.get(row["video_id"]), since, until)
        others = [_gain_between(histories.get(each), since, until) for each in siblings[row["video_id"]]]
        told = sorted(gain for gain in others if gain is not None)
        if own is None or len(told) < FEWEST_SIBLINGS:
            continue
        middle = len(told) // 2
        median = told[middle] if len(told) % 2 else (told[middle - 1] + told[middle]) / 2
        row["own"], row["median"] = _shown(own), _shown(median)
        row["ages"] = [round(since), round(until)]
        row["siblings"] = len(told)
        row["times"] = round(row["own"] / row["median"], 2) if row["median"] > 0 else None


def _siblings(
    context: PageContext, rows: Sequence[Mapping[str, Any]], known: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[str]]:
    """For each mover some other videos of its channel, those published nearest to it."""
    channels = {row["video_id"]: known.get(row["video_id"], {}).get("channel_id") for row in rows}
    asked = sorted({channel for channel in channels.values() if channel})
    if not asked:
        return {}
    found = context.watchlist.page.siblings(asked)
    pairs = {(video.channel_id, video.video_id): video.published_at for video in found}
    pairs |= {(channel, video_id): at for channel, video_id, at in context.vault.stats.videos_of_channels(asked)}
    by_channel: dict[str, list[tuple[int, str]]] = {}
    for (owner, video_id), published in pairs.items():
        if published is not None:
            by_channel.setdefault(owner, []).append((seconds_of(published), video_id))
    nearest: dict[str, list[str]] = {}
    for row in rows:
        channel, at = channels[row["video_id"]], row["published_at"]
        if channel and at:
            others = [each for each in by_channel.get(channel, []) if each[1] != row["video_id"] and each[0] < at]
            nearest[row["video_id"]] = [video_id for _, video_id in sorted(others, reverse=True)[:SIBLINGS]]
    return nearest


def _shown(gain: float) -> float:
    """A gain as it is shown, and as `times` is made of it, so that a reader gets the same."""
    return round(gain) if abs(gain) >= 10 else round(gain, 1)


def _histories(table: "pa.Table") -> dict[str, tuple["Numbers", "Numbers"]]:
    """By video the ages (seconds) of its readings and its views, from birth on, where it had none."""
    import numpy as np
    import pyarrow as pa

    ordered = table.sort_by([("video_id", "ascending"), ("timestamp", "ascending")])
    ids = ordered["video_id"].combine_chunks().dictionary_encode()
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.unify_dictionaries().combine_chunks()
    codes = ids.indices.to_numpy()
    seconds = ordered["timestamp"].cast(pa.int64()).to_numpy() - ordered["published_at"].cast(pa.int64()).to_numpy()
    views = ordered["views"].to_numpy()
    edges = np.flatnonzero(np.diff(codes)) + 1
    parts = zip(np.split(codes, edges), np.split(seconds // _SCALE, edges), np.split(views, edges), strict=True)
    return {
        ids.dictionary[int(code[0])].as_py(): (np.concatenate([[0], age]), np.concatenate([[0], count]))
        for code, age, count in parts
        if len(code)
    }


def _gain_between(history: tuple["Numbers", "Numbers"] | None, since: float, until: float) -> float | None:
    """What a video gained between two ages, on a straight line between readings; None where none is that old."""
    import numpy as np

    if history is None or history[0][-1] < until:
        return None
    ages, views = history
    return float(np.interp(until, ages, views) - np.interp(since, ages, views))


# Back, and gone


def _promoted(context: PageContext) -> list[PromotedVideo]:
    found = context.watchlist.page.promoted(SHOWN)
    known = titles(context, [each.video_id for each in found])
    return [
        PromotedVideo(
            **_known(known, each.video_id),
            promoted_until=seconds_of(each.promoted_until),
            last_at=seconds_of(each.last_tracked_at),
            next_at=seconds_of(each.next_track_at),
        )
        for each in found
    ]


def _vanished(context: PageContext, now: datetime) -> list[VanishedVideo]:
    """Who was found to be gone, or back, in the last days, the latest first."""
    events = context.vault.read_availability(start=now - timedelta(days=VANISHED_DAYS))
    events["at"] = events["returned_at"].fillna(events["confirmed_at"])
    latest = events.sort_values("at", ascending=False).head(SHOWN).to_dict("records")
    ids = [row["video_id"] for row in latest]
    known = titles(context, ids)
    counts: dict[str, Any] = {}
    if ids:
        counts = {row["video_id"]: row for row in context.vault.read_latest(ids).to_dict("records")}
    return [
        VanishedVideo(
            **_known(known, row["video_id"]),
            state=row["state"],
            at=seconds_of(row["at"]),
            views=_count(counts.get(row["video_id"], {}).get("views")),
        )
        for row in latest
    ]


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None
