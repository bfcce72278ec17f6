"""What the verbs of the archive of metadata report."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Self

_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What became of videos that were to be archived, or (a dry run) would become of them.

    `added` were not in the archive, `changed` stood there otherwise, `unchanged` stand there already. `parts_merged`
    are staged parts whose videos are all in the archive now. `quarantined` are paths relative to the vault's root of
    parts that could not be read; `problems` are sentences for an operator. `bytes` is what was written in `videos/`,
    with files that were merged or rewritten.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    parts_merged: int = 0
    bytes: int = 0
    quarantined: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Nothing was wrong with anything that was to be archived."""
        return not self.problems

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
        lists = {"quarantined": self.quarantined, "problems": self.problems}
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        shown = {name: list(texts[:_SHOWN]) for name, texts in lists.items()}
        return plain | shown | {f"{name}_count": len(texts) for name, texts in lists.items()}


@dataclass(frozen=True, slots=True)
class ExpiryReport:
    """What was dropped from the archive for its age, or (a dry run) would be.

    `videos` from archived files, of which `files` were rewritten. `staged`: only in a dry run, videos in staged
    parts; otherwise they are merged into the archive first, and count as `videos`.
    """

    videos: int = 0
    files: int = 0
    staged: int = 0
    problems: tuple[str, ...] = ()
