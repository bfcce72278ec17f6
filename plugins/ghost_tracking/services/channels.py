"""What a video gains against other videos of its channel at the same age."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.vault import Vault
from ghost_tracking.vault.prepared.figures import MOST_SIBLINGS, Comparison, PreparedMover

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Numbers = npt.NDArray[np.int64]

FEWEST_SIBLINGS: Final = 3
OLDEST: Final = timedelta(days=400)
"""Of a channel's videos only readings are looked at that are so young."""
_SCALE: Final = 1_000_000


@dataclass(frozen=True)
class Channels:
    """Compares movers with their channels at `now` (aware)."""

    watchlist: Schedule
    vault: Vault
    now: datetime

    def compared(self, movers: Sequence[PreparedMover], length: timedelta) -> list[PreparedMover]:
        """The same with what each has gained in the `length` before its newest reading, against its channel's median.

        Reads the whole history of up to 15 other videos for each, of the last `OLDEST`. Those of a channel are looked
        for once, and kept.
        """
        known = self._with_channels(movers)
        wanted = {other for each in known for other in (each.video_id, *(each.channel or ()))}
        histories = self._histories(wanted)
        return [each.model_copy(update={"comparison": _comparison(each, histories, length)}) for each in known]

    def _with_channels(self, movers: Sequence[PreparedMover]) -> list[PreparedMover]:
        """The same with the videos of its channel that each is compared with: those published last before it."""
        asked = sorted({each.channel_id for each in movers if each.channel is None and each.channel_id})
        by_channel = self._videos_of(asked) if asked else {}
        return [_with_channel(each, by_channel.get(each.channel_id or "", [])) for each in movers]

    def _videos_of(self, channels: Sequence[str]) -> dict[str, list[tuple[int, str]]]:
        """Seconds of publication and id of every known video of these channels."""
        pairs = {(each.channel_id, each.video_id): each.published_at for each in self.watchlist.page.siblings(channels)}
        pairs |= {(channel, id_): at for channel, id_, at in self.vault.stats.videos_of_channels(channels)}
        found: dict[str, list[tuple[int, str]]] = {}
        for (channel, video_id), published in pairs.items():
            if published is not None:
                found.setdefault(channel, []).append((int(published.timestamp()), video_id))
        return found

    def _histories(self, wanted: Collection[str]) -> dict[str, tuple["Numbers", "Numbers"]]:
        import pyarrow.compute as pc

        columns = ["video_id", "timestamp", "views", "published_at"]
        table = self.vault.read_table(self.now - OLDEST, None, wanted, columns)
        return _curves(table.filter(pc.and_(table["views"].is_valid(), table["published_at"].is_valid())))


def is_outdated(mover: PreparedMover) -> bool:
    """Whether a mover's comparison with its channel is of an age that it has left behind by more than a tenth."""
    if mover.comparison is None or mover.published_at is None:
        return mover.channel is None and mover.channel_id is not None and mover.published_at is not None
    before, age = mover.comparison.ages[1], mover.until - mover.published_at
    return age - before > max(3_600, age // 10)


def _with_channel(mover: PreparedMover, videos: Iterable[tuple[int, str]]) -> PreparedMover:
    published = mover.published_at
    if mover.channel is not None or published is None:
        return mover
    earlier = sorted((each for each in videos if each[1] != mover.video_id and each[0] < published), reverse=True)
    return mover.model_copy(update={"channel": tuple(video_id for _, video_id in earlier[:MOST_SIBLINGS])})


def _comparison(
    mover: PreparedMover, histories: Mapping[str, tuple["Numbers", "Numbers"]], length: timedelta
) -> Comparison | None:
    if mover.published_at is None:
        return None
    until = mover.until - mover.published_at
    since = max(0, until - round(length.total_seconds()))
    own = _gain_between(histories.get(mover.video_id), since, until)
    others = [_gain_between(histories.get(each), since, until) for each in mover.channel or ()]
    told = sorted(gain for gain in others if gain is not None)
    if own is None or len(told) < FEWEST_SIBLINGS:
        return None
    middle = len(told) // 2
    median = _shown(told[middle] if len(told) % 2 else (told[middle - 1] + told[middle]) / 2)
    times = round(_shown(own) / median, 2) if median > 0 else None
    return Comparison(own=_shown(own), median=median, ages=(since, until), siblings=len(told), times=times)


def _shown(gain: float) -> float:
    """A gain as it is shown, and as `times` is made of it, so that a reader gets the same."""
    return round(gain) if abs(gain) >= 10 else round(gain, 1)


def _curves(table: "pa.Table") -> dict[str, tuple["Numbers", "Numbers"]]:
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

    if history is None or history[0][-1] < until - 1:  # ages are cut off to whole seconds
        return None
    ages, views = history
    return float(np.interp(until, ages, views) - np.interp(since, ages, views))
