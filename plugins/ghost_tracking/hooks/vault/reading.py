"""Reading the vault: points of a span of time, one video's history, and how the vault is."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import COLUMNS
from ghost_tracking.errors import BadInputError, UnreadableFileError
from ghost_tracking.hooks.vault import files, layout
from ghost_tracking.hooks.vault.footers import read_footer
from ghost_tracking.hooks.vault.publishing import part_names, staged_hours
from ghost_tracking.hooks.vault.storage import Storage


def read_metrics(
    storage: Storage,
    start: datetime | None,
    end: datetime | None,
    video_ids: Collection[str] | None,
    columns: Sequence[str] | None,
) -> pd.DataFrame:
    """The points of [start, end), hour by hour, and by video_id and timestamp within an hour."""
    _require_aware(start, end)
    chosen = list(columns or COLUMNS)
    if unknown := [name for name in chosen if name not in COLUMNS]:
        raise BadInputError(f"The vault has no column {unknown[0]!r}, only {', '.join(COLUMNS)}")
    ids = None if video_ids is None else sorted(set(video_ids))
    needed = list(dict.fromkeys([*chosen, *files.KEY]))
    schema = pa.schema([files.SCHEMA.field(name) for name in needed])
    tables = [schema.empty_table()]
    for partition in published_hours(storage, start, end):
        table = _read_hour(storage, partition, needed, ids)
        if table is not None and table.num_rows:
            tables.append(_within(table, partition, start, end))
    return _frame(pa.concat_tables(tables).select(chosen))


def read_history(storage: Storage, video_id: str, start: datetime | None, end: datetime | None) -> pd.DataFrame:
    """All points of one video in [start, end), sorted by time."""
    # Hours come in order, and within an hour one video's points do.
    return read_metrics(storage, start, end, [video_id], None)


def published_hours(
    storage: Storage, start: datetime | None = None, end: datetime | None = None
) -> Iterator[Partition]:
    """The hours under `metrics/` that meet [start, end), in order; names that are no partition are passed over."""
    for date in storage.children(layout.METRICS):
        if not _may_meet(date, start, end):
            continue
        for hour in storage.children(f"{layout.METRICS}/{date}"):
            partition = _partition(f"{date}/{hour}")
            if partition is not None and _meets(partition, start, end):
                yield partition


@dataclass(slots=True)
class _Survey:
    points: int = 0
    bytes: int = 0
    partitions: int = 0
    newest: datetime | None = None
    parts: dict[Partition, frozenset[str]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


def survey(storage: Storage) -> dict[str, Any]:
    """What the footers of all published files tell, and what is staged beside them."""
    seen = _Survey()
    for partition in published_hours(storage):
        _look_at(storage, partition, seen)
    staged = {
        hour: set(part_names(storage, hour)) - seen.parts.get(hour, frozenset()) for hour in staged_hours(storage)
    }
    return {
        "newest_point": None if seen.newest is None else seen.newest.isoformat(),
        "partitions": seen.partitions,
        "points": seen.points,
        "bytes": seen.bytes,
        "staged_parts": sum(len(names) for names in staged.values()),
        "unreadable": seen.unreadable,
        "quarantined": _count_files(storage, layout.QUARANTINE),
    }


def _look_at(storage: Storage, partition: Partition, seen: _Survey) -> None:
    key = layout.stats(partition)
    try:
        footer, size = read_footer(storage, key)
    except FileNotFoundError:
        return
    except (UnreadableFileError, OSError) as error:
        seen.unreadable.append(f"{key}: {error}")
        return
    seen.partitions += 1
    seen.points += footer.rows
    seen.bytes += size
    seen.parts[partition] = footer.parts
    seen.newest = footer.newest or seen.newest  # hours come in order


def _read_hour(
    storage: Storage, partition: Partition, columns: Sequence[str], video_ids: Sequence[str] | None
) -> pa.Table | None:
    key = layout.stats(partition)
    try:
        return files.read(storage.read(key).data, columns, video_ids)
    except FileNotFoundError:
        return None
    except UnreadableFileError as error:
        raise type(error)(f"{key} cannot be read: {error.message}", key=key) from error


def _within(table: pa.Table, partition: Partition, start: datetime | None, end: datetime | None) -> pa.Table:
    if start is not None and partition.starts_at < start:
        table = _filtered(table, pc.greater_equal, start)
    if end is not None and end < partition.ends_at:
        table = _filtered(table, pc.less, end)
    return table


def _filtered(table: pa.Table, compare: Callable[..., Any], moment: datetime) -> pa.Table:
    bound = pa.scalar(moment, files.SCHEMA.field("timestamp").type)
    return table.filter(compare(table["timestamp"], bound))


def _frame(table: pa.Table) -> pd.DataFrame:
    # Nullable integers, whether nulls are among them or not: a column's type never depends on its content.
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


def _require_aware(*moments: datetime | None) -> None:
    for moment in moments:
        if moment is not None and moment.utcoffset() is None:
            raise BadInputError(f"{moment!r} has no time zone")


def _may_meet(date: str, start: datetime | None, end: datetime | None) -> bool:
    first, last = _partition(f"{date}/hour=00"), _partition(f"{date}/hour=23")
    if first is None or last is None:
        return False
    return (end is None or first.starts_at < end) and (start is None or last.ends_at > start)


def _meets(partition: Partition, start: datetime | None, end: datetime | None) -> bool:
    return (end is None or partition.starts_at < end) and (start is None or partition.ends_at > start)


def _partition(path: str) -> Partition | None:
    try:
        return Partition.parse(path)
    except ValueError:
        return None


def _count_files(storage: Storage, folder: str) -> int:
    names = storage.children(folder)
    return sum(1 if name.endswith(layout.SUFFIX) else _count_files(storage, f"{folder}/{name}") for name in names)
