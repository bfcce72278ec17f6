"""The newest points of a few videos, from the newest layer that has each of them."""

import datetime as dt
from collections.abc import Iterable, Sequence

import pyarrow as pa

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.errors import FileChangedError
from ghost_tracking.vault import scan
from ghost_tracking.vault.history.files import files_of_videos, latest_of
from ghost_tracking.vault.history.manifest import HistoryManifest
from ghost_tracking.vault.history.manifest import current as current_history
from ghost_tracking.vault.latest.manifest import Shard, current
from ghost_tracking.vault.latest.merging import newest_of
from ghost_tracking.vault.latest.shards import ShardReader
from ghost_tracking.vault.points import tables
from ghost_tracking.vault.storage import Storage


def looked_up(storage: Storage, video_ids: Sequence[str]) -> pa.Table:
    """The newest points of these videos, sorted by id, those that have not expired.

    Goes back in time, hour by hour where these are not compacted, else period by period, and looks no further for a
    video once it has a point of its own hour or period. A shard is asked at the first period that it includes.
    FileChangedError where the history was compacted again meanwhile.
    """
    latest = current(storage)
    history, version = current_history(storage)
    hours: dict[Period | Partition, list[Partition]] = {}
    for hour in scan.hours_beside_history(storage):
        hours.setdefault(history.period_of(hour.date) or hour, []).append(hour)
    search = _Search(storage, history, {each: latest.shard_of(each) for each in video_ids})
    for place in sorted({*history.periods, *hours}, key=lambda each: each.starts_at, reverse=True):
        if not search.left:
            break
        search.look(place, hours.get(place, ()))
    if current_history(storage)[1] != version:
        raise FileChangedError("the history was compacted again while the newest points were looked up")
    return tables.within(newest_of([tables.concat(search.found)]), history.expired_before, None)


class _Search:
    """What was found of some videos, each with its shard, and which are `left` to be looked for further back."""

    def __init__(self, storage: Storage, history: HistoryManifest, shards: dict[str, Shard | None]) -> None:
        self.left = dict(shards)
        self.found: list[pa.Table] = []
        self._storage = storage
        self._history = history
        self._newest: dict[str, dt.datetime] = {}
        self._asked: set[str] = set()
        self._lacking: dict[str, frozenset[Period]] = {}

    def look(self, place: Period | Partition, hours: Iterable[Partition]) -> None:
        """Look for what is left in an hour, or in a period and in the hours of it that may have more."""
        apart = sorted(each for each, shard in self.left.items() if shard is None or self._lacks(shard, place))
        if isinstance(place, Period):
            self._ask_shards(set(self.left).difference(apart))
        self._drop_newer_than(place.ends_at)
        for hour in hours:
            self._note(scan.points_of_hour_file(self._storage, hour, sorted(self.left)))
        apart = [each for each in apart if each in self.left]
        if isinstance(place, Period) and apart:
            near = files_of_videos(self._history.files_of(place), apart)
            self._note(latest_of(self._storage, near, apart))
        self._drop_newer_than(place.starts_at)

    def _lacks(self, shard: Shard, place: Period | Partition) -> bool:
        if shard.name not in self._lacking:
            self._lacking[shard.name] = frozenset(shard.lacking(self._history))
        return not isinstance(place, Period) or place in self._lacking[shard.name]

    def _ask_shards(self, video_ids: Iterable[str]) -> None:
        """Ask each shard once: these are all of its videos that are left."""
        by_shard: dict[str, tuple[Shard, list[str]]] = {}
        for each in sorted(video_ids):
            shard = self.left[each]
            if shard is not None and shard.name not in self._asked:
                by_shard.setdefault(shard.name, (shard, []))[1].append(each)
        for name, (shard, videos) in by_shard.items():
            self._asked.add(name)
            self._note(ShardReader(self._storage, shard).rows_of(videos))

    def _note(self, points: pa.Table) -> None:
        self.found.append(points)
        for video_id, moment in zip(points["video_id"].to_pylist(), points["timestamp"].to_pylist(), strict=True):
            if moment > self._newest.get(video_id, dt.datetime.min.replace(tzinfo=dt.UTC)):
                self._newest[video_id] = moment

    def _drop_newer_than(self, moment: dt.datetime) -> None:
        """Look no further for videos with a point at or after this moment: what is left to see is older."""
        for video_id in [each for each in self.left if (at := self._newest.get(each)) is not None and at >= moment]:
            del self.left[video_id]
