"""Compacted days: what the manifest of the history knows of each hour of a day."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ghost_tracking.core.partitions import Partition
from ghost_tracking.vault.kit.digests import DIGEST_LENGTH, NO_DIGEST
from ghost_tracking.vault.kit.manifests import Count
from ghost_tracking.vault.points.tables import Checksum

_HOURS: Final = 24
_NONE: Final = Checksum(0, 0)
_Counts = Annotated[tuple[Count, ...], Field(min_length=_HOURS, max_length=_HOURS)]
_Hour = Annotated[int, Field(ge=0, lt=_HOURS)]


def _joined(digests: Any) -> Any:
    """One text, also of a list of 24, as manifests had it once."""
    return "".join(str(each).rjust(DIGEST_LENGTH, "0") for each in digests) if isinstance(digests, list) else digests


_Digests = Annotated[str, BeforeValidator(_joined), Field(pattern=rf"^[0-9a-f]{{{_HOURS * DIGEST_LENGTH}}}$")]
"""16 hexadecimal digits for each hour, one behind the other."""


@dataclass(frozen=True, slots=True)
class HourFile:
    """The bytes of an hour's published file: how many, and their digest."""

    bytes: int
    digest: str


class CompactedDay(BaseModel):
    """Of each of the 24 hours of a day: how many points of it are in the history, and the sum of their hashes.

    `bytes` and `file_hash` are the size and the digest (`digest_of`) of the hour's file under `metrics/` as it was when
    the hour was compacted, zeros where there was none with all its points: a file that still has this digest has them.
    `compacted_only` are the hours whose file was given up: one that stands there all the same is not whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: _Counts
    hash: _Digests
    bytes: _Counts = (0,) * _HOURS
    file_hash: _Digests = NO_DIGEST * _HOURS
    compacted_only: tuple[_Hour, ...] = ()

    @classmethod
    def of(cls, date: dt.date, hours: Mapping[Partition, Checksum]) -> Self:
        """The day `date` of these hours, of whose files nothing is known."""
        by_hour = [hours.get(Partition(date, hour), _NONE) for hour in range(_HOURS)]
        return cls(
            rows=tuple(each.rows for each in by_hour),
            hash="".join(f"{each.hash if each.rows else 0:016x}" for each in by_hour),
        )

    def checksum(self, hour: int) -> Checksum:
        """What is in the history of this hour."""
        return Checksum(self.rows[hour], int(_digest(self.hash, hour), 16))

    def checksums(self, date: dt.date) -> dict[Partition, Checksum]:
        """What is in the history of each hour of this day, `date`; hours without points are absent."""
        return {Partition(date, hour): self.checksum(hour) for hour in range(_HOURS) if self.rows[hour]}

    def file(self, hour: int) -> HourFile | None:
        """The file of this hour when it was compacted; None where there was none, or nothing is known of it."""
        digest = _digest(self.file_hash, hour)
        return None if digest == NO_DIGEST else HourFile(self.bytes[hour], digest)

    def with_compacted_only(self, hours: tuple[int, ...]) -> Self:
        """The same with these hours compacted-only, and no others."""
        return self.model_copy(update={"compacted_only": hours})

    def with_files_of(self, other: Self | None) -> Self:
        """The same with what another one knows of the files of the hours: size, digest, and whether they went."""
        if other is None:
            return self
        kept = {"bytes": other.bytes, "file_hash": other.file_hash, "compacted_only": other.compacted_only}
        return self.model_copy(update=kept)

    def with_files(self, files: Mapping[int, HourFile | None]) -> Self:
        """The same with the files of these hours as they are now; None: nothing is known of it."""
        known = {hour: files[hour] if hour in files else self.file(hour) for hour in range(_HOURS)}
        return self.model_copy(
            update={
                "bytes": tuple(0 if each is None else each.bytes for each in known.values()),
                "file_hash": "".join(NO_DIGEST if each is None else each.digest for each in known.values()),
            }
        )


def _digest(digests: str, hour: int) -> str:
    return digests[hour * DIGEST_LENGTH : (hour + 1) * DIGEST_LENGTH]
