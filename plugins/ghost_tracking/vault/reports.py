"""What the vault's verbs report."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final, Self

from ghost_tracking.core.lists import BadLine
from ghost_tracking.core.partitions import Partition, Period

_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class StagedPart:
    """One file of staged points, all of one hour; `path` is relative to the vault's root."""

    partition: Partition
    path: str
    rows: int


class Report:
    """A dataclass of numbers and tuples: two add up field by field."""

    __slots__ = ()

    def __add__(self, other: Self) -> Self:
        """What both did."""
        return type(self).combined([self, other])

    @classmethod
    def combined(cls, reports: Sequence[Self]) -> Self:
        """One report for several."""
        start = cls()
        return cls(
            **{
                f.name: sum((getattr(report, f.name) for report in reports), getattr(start, f.name))
                for f in fields(cls)  # type: ignore[arg-type]
            }
        )

    def as_dict(self) -> dict[str, Any]:
        """Small plain values, for XCom: numbers, and lists of at most 20 texts with their full count beside."""
        plain: dict[str, Any] = {}
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if isinstance(value, Report):
                plain[f.name] = value.as_dict()
            elif isinstance(value, tuple):
                plain[f.name] = [str(item) for item in value[:_SHOWN]]
                plain[f"{f.name}_count"] = len(value)
            else:
                plain[f.name] = value
        return plain


@dataclass(frozen=True, slots=True)
class PublishReport(Report):
    """What a publication did.

    `busy` hours were held by another writer, `failed` hours could not be read or written (`problems` says why): the
    parts of both stay staged, and the next publication takes them up. `rebuilt` hours lost a broken published file,
    now in quarantine, and were rebuilt from the parts that were left. `quarantined` are paths relative to the root.
    `problems` are sentences for an operator. `bytes` is what was written under `metrics/`.
    """

    written: tuple[Partition, ...] = ()
    points_added: int = 0
    parts_merged: int = 0
    bytes: int = 0
    busy: tuple[Partition, ...] = ()
    failed: tuple[Partition, ...] = ()
    rebuilt: tuple[Partition, ...] = ()
    quarantined: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """All that was looked at is published, and nothing was wrong with it."""
        return not (self.busy or self.failed or self.problems)


@dataclass(frozen=True, slots=True)
class SealReport(Report):
    """What a sealing did.

    `sealed` hours hold every point that was staged for them, read back and compared; their parts are deleted.
    `unverified` hours could not be proven complete and keep their parts. `published` is what had to be merged on the
    way, with what was busy, failed or set aside. `leftovers_deleted` counts unfinished files of crashed writers.
    """

    sealed: tuple[Partition, ...] = ()
    parts_deleted: int = 0
    unverified: tuple[Partition, ...] = ()
    leftovers_deleted: int = 0
    published: PublishReport = field(default_factory=PublishReport)

    @property
    def complete(self) -> bool:
        """Every hour that was due is sealed."""
        return self.published.complete and not self.unverified


@dataclass(frozen=True, slots=True)
class CompactReport(Report):
    """What a compaction did.

    `compacted` days and months were written, `points` and `bytes` of them in all; those that could not be are `failed`
    and are still read from what they were to be made of. `hours_deleted` hourly files went because the history has
    all their points. `leftovers_deleted` counts files of compactions that were killed.
    """

    compacted: tuple[Period, ...] = ()
    points: int = 0
    bytes: int = 0
    hours_deleted: int = 0
    leftovers_deleted: int = 0
    failed: tuple[Period, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LatestReport(Report):
    """What a refresh of the newest points did: so many `shards` were written, with `videos` in all and `bytes`.

    What could not be written stays as it was, as `problems` (sentences for an operator) say. `leftovers_deleted` counts
    files of refreshes that were killed.
    """

    shards: int = 0
    videos: int = 0
    bytes: int = 0
    leftovers_deleted: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MergeReport(Report):
    """What a publication of a layer of one file a day or month did, such as availability.

    `parts_merged` staged parts have all their rows published, and are gone. `busy` periods were held by another
    writer: their rows stay staged, and so do those that could not be written, as `problems` (sentences for an
    operator) says. `quarantined` are paths relative to the root of parts that could not be read.
    """

    rows_added: int = 0
    parts_merged: int = 0
    busy: tuple[Period, ...] = ()
    quarantined: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """All that was staged is published, and nothing was wrong with it."""
        return not (self.busy or self.problems)


@dataclass(frozen=True, slots=True)
class GainsReport(Report):
    """What a publication of gains did.

    `parts_merged` staged parts are in the files of their `hours`, and are gone. `quarantined` are paths relative to the
    root of parts and files that could not be read, `problems` sentences about them and what could not be written.
    """

    hours: tuple[Partition, ...] = ()
    parts_merged: int = 0
    quarantined: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListReport(Report):
    """What a list that was brought to the import queue had: so many different `ids`, of which `new` ones the list of
    this `name` did not have yet. `duplicates` are lines with an id of an earlier one, `bad` lines had no video; the
    first ten of them are `bad_lines`.
    """

    name: str
    ids: int
    new: int
    duplicates: int
    bad: int
    bad_lines: tuple[BadLine, ...]


@dataclass(frozen=True, slots=True)
class ListStatus:
    """How far a list of the import queue is: of its `ids`, the first `imported` are on the watchlist. `created_at` is
    UTC.

    `duplicates` are those of the last time that it got ids, `bad` all lines that were brought and could not be read.
    """

    name: str
    created_at: datetime
    ids: int
    imported: int
    duplicates: int
    bad: int

    @property
    def waiting(self) -> int:
        """How many are not imported yet."""
        return self.ids - self.imported


@dataclass(frozen=True, slots=True)
class Waiting:
    """Ids of a list that are to be imported next, the first of them at position `start`."""

    name: str
    start: int
    ids: tuple[str, ...]

    @property
    def stop(self) -> int:
        """How many ids of the list are imported when these are."""
        return self.start + len(self.ids)


@dataclass(frozen=True, slots=True)
class ExpireReport(Report):
    """What was deleted because of its age, or would be; points that lie in several layers count in each.

    `hours` files under `metrics/` with `points`, `history_points` in the history, `parts` staged, `set_aside` files in
    quarantine, `availability` events, `discoveries` (rows).
    """

    hours: int = 0
    points: int = 0
    history_points: int = 0
    parts: int = 0
    set_aside: int = 0
    availability: int = 0
    discoveries: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerReport:
    """How much of some videos a layer has, or had: of `files` that were looked through, `held` ones had `rows`.

    Points, events, metadata or places in a list. `problems` are sentences about files that could not be looked into.
    """

    name: str
    files: int
    held: int
    rows: int
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.rows:,} in {self.held:,} of {self.files:,} files"


@dataclass(frozen=True, slots=True)
class ForgetReport(Report):
    """What the layers of a vault have of some videos, or had before they were forgotten."""

    layers: tuple[LayerReport, ...] = ()

    @property
    def rows(self) -> int:
        """How much in all layers."""
        return sum(layer.rows for layer in self.layers)

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong in any layer."""
        return tuple(problem for layer in self.layers for problem in layer.problems)


@dataclass(frozen=True, slots=True)
class VerifyReport(Report):
    """What a verification found: how much it compared, and a sentence for everything that is not as it should be.

    Of `hours`, of `periods` of the history and of `points` all was read and compared. `files`, of `bytes` in all, were
    proven otherwise: they have the bytes that were written, or all that is in them is in order.
    """

    hours: int = 0
    periods: int = 0
    points: int = 0
    files: int = 0
    bytes: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RepairReport(Report):
    """What a repair did.

    `restored` hours were rewritten from the history, `recompacted` periods again from hours and what is left of the
    history, `shards` of the newest points from the history; `reindexed` are indexes of titles that were made again;
    broken files are set aside as `quarantined`. `lost` are sentences about points that no layer has any more.
    """

    published: PublishReport = field(default_factory=PublishReport)
    restored: tuple[Partition, ...] = ()
    recompacted: tuple[Period, ...] = ()
    reindexed: tuple[str, ...] = ()
    shards: int = 0
    quarantined: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
