"""The archive's rows: the one schema, rows to tables, and which of two versions of a video's row stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.core.titles import searchable
from ghost_tracking.core.videos import Video
from ghost_tracking.errors import BadInputError

_TIME = pa.timestamp("us", tz="UTC")

SCHEMA: Final = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("published_at", _TIME),
        pa.field("tags", pa.list_(pa.field("element", pa.string()))),
        pa.field("channel_id", pa.string()),
        pa.field("channel_title", pa.string()),
        pa.field("category_id", pa.string()),
        pa.field("duration_seconds", pa.int64()),
        pa.field("default_language", pa.string()),
        pa.field("description", pa.string()),
        pa.field("discovered_at", _TIME),
        pa.field("other", pa.string()),
        pa.field("archived_at", _TIME, nullable=False),
        pa.field("search", pa.string(), nullable=False),
    ]
)
"""`other`: JSON of columns that an old tracker's table has beyond ours. `search`: the title as `searchable`."""

GIVEN: Final = tuple(name for name in SCHEMA.names if name not in {"archived_at", "search"})
"""What a row is given with, and compared by; the rest is made of it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where rows come from.

    `unknown` columns are not told there: where they are null, the archive keeps what it has. `decides`: such a row
    stands against any other; one of the other kind only against rows that were discovered before it.
    """

    unknown: tuple[str, ...]
    decides: bool


DATABASE: Final = Origin(unknown=("description",), decides=True)
STAGED: Final = Origin(unknown=("description", "other"), decides=False)


def table_of(rows: Sequence[Mapping[str, Any]], archived_at: datetime) -> pa.Table:
    """Rows as a table in the archive's schema, sorted by video_id; BadInputError for what does not fit."""
    try:
        columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in GIVEN}
        columns["archived_at"] = [archived_at] * len(rows)
        columns["search"] = [searchable(title) for title in columns["title"]]
        table = pa.table(columns, schema=SCHEMA)
    except (pa.ArrowException, TypeError, AttributeError, OverflowError, UnicodeError) as error:
        raise BadInputError(f"These videos do not fit the archive's schema: {error}") from error
    if table["video_id"].null_count:
        raise BadInputError(f"{table['video_id'].null_count} video(s) without video_id")
    return table.sort_by("video_id")


def row_of(video: Video, discovered_at: datetime) -> dict[str, Any]:
    """A video as a row, as `videos` has it and with the description."""
    names = ("title", "published_at", "channel_id", "channel_title", "category_id", "default_language", "description")
    seconds = None if video.duration is None else int(video.duration.total_seconds())
    return {name: getattr(video, name) for name in names} | {
        "video_id": video.id,
        "tags": list(video.tags),
        "duration_seconds": seconds,
        "discovered_at": discovered_at,
    }


def newest_of_each(table: pa.Table) -> pa.Table:
    """Each video once, sorted by video_id: the row that was discovered last, of equals the first."""
    order = pc.sort_indices(table, sort_keys=[("video_id", "ascending"), ("discovered_at", "descending")])  # nulls last
    ids = table["video_id"].take(order).combine_chunks()
    if len(ids) > 1:
        again = pc.equal(ids.slice(1), ids.slice(0, len(ids) - 1))
        order = order.filter(pa.concat_arrays([pa.array([True]), pc.invert(again)]))
    return table.take(order)


def standing(held: Mapping[str, Any], row: Mapping[str, Any], origin: Origin) -> dict[str, Any] | None:
    """The row that stands for a video that the archive holds as `held`; None where that is the one it holds."""
    stands, other = (row, held) if origin.decides or _is_later(row, held) else (held, row)
    merged = {name: stands[name] for name in GIVEN}
    for name in origin.unknown:
        if merged[name] is None:
            merged[name] = other[name]
    return merged if any(merged[name] != held[name] for name in GIVEN) else None


def _is_later(row: Mapping[str, Any], held: Mapping[str, Any]) -> bool:
    found, known = row["discovered_at"], held["discovered_at"]
    return found is not None and (known is None or found > known)
