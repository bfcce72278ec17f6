"""The manifest of `latest/`: which shards there are, of which ids, and which points of the history each has seen.

A shard includes a period of the history when it has seen all its points. What it has seen is remembered as a digest of
the points and not of the files: days that become a month are included as before, and a day that gets late points is
not, until the shard is written again. Which periods a shard includes is always asked of the present history.
"""

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, model_validator

from ghost_tracking.core.partitions import Period
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.manifest import HistoryManifest
from ghost_tracking.vault.kit.caches import VersionCache
from ghost_tracking.vault.kit.digests import Digest
from ghost_tracking.vault.kit.manifests import Count, Manifest
from ghost_tracking.vault.kit.names import require_file_name
from ghost_tracking.vault.storage import Storage, Version


def _period(name: str) -> str:
    Period.parse(name)
    return name


class Shard(BaseModel):
    """The newest points of the videos with ids in [first, end), None being open: so many, in a file of so many bytes.

    `oldest` and `newest` are the times of the least and the most recent of them. `included` are periods of the history
    that had this digest (`HistoryManifest.digest`) when the shard was written, and all of whose points it has seen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(require_file_name)]
    first: str = ""
    end: str | None = None
    videos: Count
    bytes: Count
    hash: Digest
    oldest: AwareDatetime | None = None
    newest: AwareDatetime | None = None
    included: dict[Annotated[str, AfterValidator(_period)], Digest]

    @property
    def key(self) -> str:
        """Where its file stands in the vault."""
        return layout.latest(self.name)

    def lacks(self, history: HistoryManifest, period: Period) -> bool:
        """Whether the history has points in this period of it that the shard may not have seen."""
        if self.included.get(period.name) == history.digest(period):
            return False
        if not period.is_month:  # which a month has become, or which a month was split into
            month = Period.month(period.first)
            return self.included.get(month.name) != history.digest(month)
        days = map(Period.day, _dates(history, period))
        return any(self.included.get(day.name) != history.digest(day) for day in days)

    def lacking(self, history: HistoryManifest) -> list[Period]:
        """The periods of the history that have points which the shard may not have seen, in order."""
        return [period for period in history.periods if self.lacks(history, period)]


@dataclass(frozen=True, slots=True)
class Span:
    """A range [first, end) of ids, None being open, with the shard that has its newest points (None: there is none)."""

    first: str
    end: str | None
    shard: Shard | None


class LatestManifest(Manifest):
    """The shards, by their ids. Of what is in none of them, only the history knows."""

    shards: tuple[Shard, ...] = ()

    @model_validator(mode="after")
    def _are_apart(self) -> Self:
        for before, after in zip(self.shards, self.shards[1:], strict=False):
            if before.end is None or before.end > after.first:
                raise ValueError(f"the shards {before.name} and {after.name} have ids in common")
        if any(each.end is not None and each.end <= each.first for each in self.shards):
            raise ValueError("a shard ends before it begins")
        return self

    def spans(self, first: str = "", end: str | None = None) -> Iterator[Span]:
        """The shards that [first, end) meets, and what lies between them, in order, each cut to that range."""
        reached = first
        for each in self.shards:
            if each.end is not None and each.end <= reached:
                continue
            if end is not None and each.first >= end:
                break
            if each.first > reached:
                yield Span(reached, each.first, None)
                reached = each.first
            if each.end is None or (end is not None and each.end >= end):
                yield Span(reached, end, each)
                return
            yield Span(reached, each.end, each)
            reached = each.end
        if end is None or reached < end:
            yield Span(reached, end, None)

    def shard_of(self, video_id: str) -> Shard | None:
        """The shard of this id, if there is one."""
        place = bisect_right(self.shards, video_id, key=lambda each: each.first)
        if not place:
            return None
        shard = self.shards[place - 1]
        return shard if shard.end is None or video_id < shard.end else None

    def with_shards(self, added: Sequence[Shard], gone: Sequence[Shard]) -> Self:
        """The same with other shards in the place of some."""
        names = {each.name for each in gone}
        kept = [each for each in self.shards if each.name not in names]
        return self._with([*kept, *added])

    def carried(self, before: HistoryManifest, after: HistoryManifest, *, whole_hours: bool) -> Self:
        """The same for a history that has lost points and got none: what was included in it is so still.

        With `whole_hours`, all points of some hours: days of which anything else can be told are no longer included.
        """
        less = {
            date
            for period in after.periods
            for date in _dates(after, period)
            if before.holds(date) and (not whole_hours or _is_less(before, after, date))
        }
        made = []
        for shard in self.shards:
            lacking = {date for period in shard.lacking(before) for date in period.dates}
            seen = [each for each in after.periods if less.difference(lacking).issuperset(_dates(after, each))]
            included = {period.name: after.digest(period) for period in seen}
            made.append(shard.model_copy(update={"included": included}))
        return self._with(made)

    def _with(self, shards: Sequence[Shard]) -> Self:
        return type(self).model_validate({"shards": sorted(shards, key=lambda each: each.first)})


def _is_less(before: HistoryManifest, after: HistoryManifest, date: dt.date) -> bool:
    """Whether each hour of a date has the same points as before, or none."""
    had, has = before.days[date.isoformat()], after.days[date.isoformat()]
    return all(not has.rows[hour] or has.checksum(hour) == had.checksum(hour) for hour in range(24))


def _dates(history: HistoryManifest, period: Period) -> list[dt.date]:
    return [date for date in period.dates if history.holds(date)]


_PARSED = VersionCache[LatestManifest](most=64)


def load(storage: Storage) -> tuple[LatestManifest, Version | None]:
    """The manifest as it stands, and its version for replacing it; UnreadableFileError for a damaged one."""
    return LatestManifest.load(storage, layout.LATEST_MANIFEST)


def current(storage: Storage) -> LatestManifest:
    """As `load`, for readers: parsed once for each version."""
    key = layout.LATEST_MANIFEST
    version = storage.version(key)
    return LatestManifest() if version is None else _PARSED.get(storage, key, version, lambda: load(storage))[0]
