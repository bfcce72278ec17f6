"""What the vault's verbs report."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from ghost_tracking.core.partitions import Partition

_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class StagedPart:
    """One file of staged points, all of one hour; `path` is relative to the vault's root."""

    partition: Partition
    path: str
    rows: int


@dataclass(frozen=True, slots=True)
class PublishReport:
    """What a publication did.

    `busy` hours were held by another writer, `failed` hours could not be read or written (`problems` says why): the
    parts of both stay staged, and the next publication takes them up. `rebuilt` hours lost a broken published file,
    now in quarantine, and were made anew of the parts that were left. `quarantined` are paths relative to the root.
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

    @classmethod
    def combined(cls, reports: Sequence[Self]) -> Self:
        """One report for several."""
        start = cls()
        return cls(
            **{
                f.name: sum((getattr(report, f.name) for report in reports), getattr(start, f.name))
                for f in fields(cls)
            }
        )

    def as_dict(self) -> dict[str, Any]:
        """Small plain values, for XCom: numbers, and lists of at most 20 texts with their full count beside."""
        return _plain(self)


@dataclass(frozen=True, slots=True)
class SealReport:
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

    def as_dict(self) -> dict[str, Any]:
        """As `PublishReport.as_dict`, with that of `published` inside."""
        return _plain(self)


def _plain(report: PublishReport | SealReport) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for f in fields(report):
        value = getattr(report, f.name)
        if isinstance(value, PublishReport):
            plain[f.name] = value.as_dict()
        elif isinstance(value, tuple):
            plain[f.name] = [str(item) for item in value[:_SHOWN]]
            plain[f"{f.name}_count"] = len(value)
        else:
            plain[f.name] = value
    return plain
