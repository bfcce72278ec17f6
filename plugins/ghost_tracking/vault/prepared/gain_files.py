"""The files of the gains: staged parts, and the files of hours; each with notes in its footer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Final, Self, TypeVar

import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from ghost_tracking.core.gains import WINDOWS
from ghost_tracking.core.partitions import Partition
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.kit.manifests import Count
from ghost_tracking.vault.prepared import ranking
from ghost_tracking.vault.prepared.ranking import NOTHING, SCHEMA, PerWindow

BINS_AN_HOUR: Final = 12
"""Intervals are counted by these parts of an hour."""
_BIN: Final = timedelta(hours=1) / BINS_AN_HOUR
_NOTES: Final = "ghost_tracking.gains"

_Gain = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Counts = Annotated[tuple[Count, ...], Field(min_length=len(WINDOWS), max_length=len(WINDOWS))]
_Gains = Annotated[tuple[_Gain, ...], Field(min_length=len(WINDOWS), max_length=len(WINDOWS))]
_Notes = TypeVar("_Notes", bound=BaseModel)


class PartNotes(BaseModel):
    """What a staged part says beside its rows, for each of `WINDOWS`: `counts` of all intervals of the batch, which
    ended by `at`, and what those that were left out had gained at most (`left`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: AwareDatetime
    counts: _Counts
    left: _Gains = NOTHING


class HourNotes(BaseModel):
    """What an hour's file says beside its rows: as `PartNotes`, with counts by twelfths of the hour (`bins`).

    `parts` are those merged into it that were still staged then. `lost`: another file of this hour was broken, so that
    nobody knows what is missing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bins: dict[Annotated[int, Field(ge=0, lt=BINS_AN_HOUR)], _Counts] = Field(default_factory=dict)
    left: _Gains = NOTHING
    parts: tuple[str, ...] = ()
    lost: bool = False

    def with_parts(self, parts: Mapping[str, PartNotes], left: PerWindow) -> Self:
        """The same with these parts merged as well, and what had to go for them."""
        bins = dict(self.bins)
        for notes in parts.values():
            place = notes.at.minute * BINS_AN_HOUR // 60
            bins[place] = tuple(map(sum, zip(bins.get(place, (0,) * len(WINDOWS)), notes.counts, strict=True)))
            left = ranking.joined(left, notes.left)
        return self.model_copy(update={"bins": bins, "left": left, "parts": tuple(sorted({*self.parts, *parts}))})

    def counted(self, hour: Partition, begin: datetime, end: datetime) -> tuple[int, ...]:
        """How many intervals ended within (`begin`, `end`], to a twelfth of an hour, for each of `WINDOWS`."""
        inside = [
            each
            for place, each in self.bins.items()
            if hour.starts_at + (place + 1) * _BIN > begin and hour.starts_at + place * _BIN <= end
        ]
        return tuple(map(sum, zip(*inside, strict=True))) if inside else (0,) * len(WINDOWS)


@dataclass(frozen=True, slots=True)
class HourGains:
    """An hour's file."""

    table: pa.Table = field(default_factory=SCHEMA.empty_table)
    notes: HourNotes = field(default_factory=HourNotes)


def hour_of(name: str) -> Partition | None:
    """The hour of a file of gains, by its name; None for another file's."""
    date, _, hour = name.removesuffix(layout.SUFFIX).partition("T")
    try:
        return Partition.parse(f"date={date}/hour={hour}") if name.endswith(layout.SUFFIX) else None
    except ValueError:
        return None


def encode(table: pa.Table, notes: BaseModel, options: parquet.Options) -> bytes:
    return parquet.encode(table.combine_chunks(), options, notes={_NOTES: notes.model_dump_json(exclude_defaults=True)})


def encode_hour(hour: HourGains) -> bytes:
    return encode(hour.table, hour.notes, parquet.HOUR_OF_GAINS)


def decode(key: str, data: bytes, kind: type[_Notes]) -> tuple[pa.Table, _Notes]:
    """A file's rows and notes; UnreadableFileError, naming the file, for a broken one."""
    with parquet.wrap_read_errors(key):
        file = parquet.opened(pa.BufferReader(data), SCHEMA, parquet.GAINS)
        notes = kind.model_validate_json((file.metadata.metadata or {}).get(_NOTES.encode(), b""))
        table = file.read().cast(SCHEMA)
        if any(table[name].null_count for name in SCHEMA.names):
            raise UnreadableFileError("intervals without a video, a time or a count")
        return table, notes


def decode_part(key: str, data: bytes) -> pa.Table:
    table, notes = decode(key, data, PartNotes)
    return table.replace_schema_metadata({_NOTES: notes.model_dump_json()})


def part_notes(table: pa.Table) -> PartNotes:
    return PartNotes.model_validate_json(table.schema.metadata[_NOTES.encode()])
