"""Ready questions to a vault in pandas. `root` is the vault's folder; needs no Airflow, only pandas and pyarrow.

    import sys
    sys.path.append("/path/to/ghost-tracking/include")
    from queries import recipes_pandas as ghost

    ghost.video_curve("/data/vault", "9LfmrkyP81M")

Every moment that is given has a time zone; what is returned is in UTC, counts are nullable `Int64`. The same
questions, with the same answers, are in `recipes_polars` and `duckdb/`.
"""

import datetime as dt
import os
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from queries.vault_files import HOUR, Moment, Reading, VaultFiles

Root = str | os.PathLike[str]

COUNTS: Final = ["views", "likes", "comments"]
_COLUMNS: Final = ["video_id", "timestamp", *COUNTS, "published_at"]
_LATEST: Final = ["video_id", "last_second", "last_microsecond", "published_second", "published_microsecond"] + [
    f"last_{name}" for name in COUNTS
]
_KEY: Final = ["video_id", "timestamp"]
_TIME: Final = pa.timestamp("us", tz="UTC")
_SECOND: Final = 1_000_000
_MICROSECOND: Final = pd.Timedelta(microseconds=1)


# Points


def decode(segments: pd.DataFrame) -> pd.DataFrame:
    """The points of a file of the history, in its order: `decode(pd.read_parquet(file, dtype_backend="pyarrow"))`.

    TypeError for a frame of another backend, whose counts are no longer exact.
    """
    if not isinstance(segments["views_to_next"].dtype, pd.ArrowDtype):
        raise TypeError(
            'Read files of the history with dtype_backend="pyarrow": other columns round counts beside nulls'
        )
    return _frame(_decode(pa.Table.from_pandas(segments, preserve_index=False)))


def history_points(root: Root) -> pd.DataFrame:
    """The points that are compacted into the history."""
    return _concat(_compacted([each.file for each in VaultFiles.of(root).history], None, None))


def points(root: Root, since: Moment = None, until: Moment = None) -> pd.DataFrame:
    """Every point of [since, until), None being open, once, whichever layer it lies in; in no order."""
    found = _every_point(VaultFiles.of(root).by_time(_points_in, since, until), None)
    if since is not None:
        found = found[found["timestamp"] >= since]
    return found if until is None else found[found["timestamp"] < until]


def history(root: Root, video: str) -> pd.DataFrame:
    """One video's points by time, from its history and from the hours that are not compacted."""
    found = _every_point(VaultFiles.of(root).by_video(video), video)
    return found.sort_values("timestamp", ignore_index=True)


def _every_point(reading: Reading, video: str | None) -> pd.DataFrame:
    compacted = _concat(_compacted(reading.history, video, reading.hours))
    changed = _concat(_plain(reading.changed, video))
    known = pd.MultiIndex.from_frame(compacted[_KEY])
    beyond = changed[~pd.MultiIndex.from_frame(changed[_KEY]).isin(known)]
    return _concat([*_plain(reading.plain, video), compacted, beyond])


def _points_in(file: str) -> int:
    return pq.read_metadata(file).num_rows


def _plain(files: Iterable[str], video: str | None) -> Iterable[pd.DataFrame]:
    return (_frame(_read(file, video, _COLUMNS)) for file in files)


def _compacted(files: Iterable[str], video: str | None, hours: Sequence[dt.datetime] | None) -> Iterable[pd.DataFrame]:
    for file in files:
        found = _frame(_decode(_read(file, video)))
        yield found if hours is None else found[found["timestamp"].dt.floor("h").isin(hours)]


def _read(file: str, video: str | None, columns: list[str] | None = None) -> pa.Table:
    """Of a file of the history a video's row group alone is read."""
    filters = None if video is None else [("video_id", "=", video)]
    return pq.read_table(file, columns=columns, filters=filters, partitioning=None)


def _decode(rows: pa.Table) -> pa.Table:
    """A count is its segment's last one, which has no element in the lists, less all that was gained after it."""
    lengths = pc.list_value_length(rows["seconds_to_next"]).to_numpy().astype(np.int64) + 1
    where = np.repeat(np.arange(len(lengths)), lengths)
    ends = np.cumsum(lengths) - 1
    to_next = ~np.isin(np.arange(len(where)), ends)

    def values(last: str, lists: str) -> Any:
        gains = np.zeros(len(where), dtype=np.int64)
        gains[to_next] = _numbers(pc.list_flatten(rows[lists]))
        sums = np.cumsum(gains)
        return _numbers(rows[last])[where] - (sums[ends[where]] - sums + gains)

    def counts(name: str) -> pa.Array:
        nulls = rows[f"last_{name}"].is_null().to_numpy()[where]
        nulls[to_next] = pc.list_flatten(rows[f"{name}_to_next"]).is_null().to_numpy()
        return pa.array(values(f"last_{name}", f"{name}_to_next"), mask=nulls)

    fractions = np.zeros(len(where), dtype=np.int64)
    has_fractions = rows["microseconds"].is_valid().to_numpy()
    fractions[np.repeat(has_fractions, lengths)] = _numbers(pc.list_flatten(rows["microseconds"]))
    moments = values("last_second", "seconds_to_next") * _SECOND + fractions
    return pa.table(
        {
            "video_id": rows["video_id"].take(pa.array(where)),
            "timestamp": pa.array(moments).cast(_TIME),
            **{name: counts(name) for name in COUNTS},
            "published_at": _publish_times(rows).take(pa.array(where)),
        }
    )


def _publish_times(rows: pa.Table) -> pa.Array:
    micros = _numbers(rows["published_second"]) * _SECOND + _numbers(rows["published_microsecond"])
    return pa.array(micros, mask=rows["published_second"].is_null().to_numpy()).cast(_TIME)


def _numbers(column: pa.ChunkedArray) -> Any:
    """64-bit integers, 0 for null."""
    return pc.fill_null(column.cast(pa.int64()), 0).to_numpy()


def _frame(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)


def _concat(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    types = dict(zip(_COLUMNS, [pa.string(), _TIME, *[pa.int64()] * 3, _TIME], strict=True))
    nothing = _frame(pa.table({name: pa.array([], kind) for name, kind in types.items()}))
    return pd.concat([each for each in frames if len(each)] or [nothing], ignore_index=True)


# Questions


def video_curve(root: Root, video: str) -> pd.DataFrame:
    """One video's curve: timestamp, age_hours, views, likes, comments, by time.

    The age counts from the publish time that the same observation tells; it is NaN without one.
    """
    found = history(root, video)
    found["age_hours"] = _hours(found["timestamp"] - found["published_at"])
    return found[["timestamp", "age_hours", *COUNTS]]


def growth_per_day(
    root: Root, first_day: dt.date | None = None, last_day: dt.date | None = None, look_back_days: int = 30
) -> pd.DataFrame:
    """A video's last count of views of a UTC day, less that of the nearest day before that has one.

    video_id, date, views, growth (NA for a first day), days (that the growth took), by video and day. Both days are
    included, None is open; the day before is looked for up to `look_back_days` before `first_day`.
    """
    since = None if first_day is None else _midnight(first_day - dt.timedelta(days=look_back_days))
    until = None if last_day is None else _midnight(last_day + dt.timedelta(days=1))
    counts = points(root, since, until).dropna(subset="views").sort_values(_KEY)
    counts["date"] = counts["timestamp"].dt.floor("D")
    days = counts.groupby(["video_id", "date"], as_index=False)["views"].last()
    earlier = days.groupby("video_id")[["date", "views"]].shift()
    days["growth"] = days["views"] - earlier["views"]
    days["days"] = (days["date"] - earlier["date"]).dt.days.astype("Int64")
    days["date"] = days["date"].dt.date
    return days if first_day is None else days[days["date"] >= first_day].reset_index(drop=True)


def latest(root: Root) -> pd.DataFrame:
    """The newest point of every video, by video: the six columns. Of the history only the last columns are read."""
    reading = VaultFiles.of(root).by_video()
    compacted = [_frame(_last_points(_read(file, None, _LATEST))) for file in reading.history]
    # of points of one moment that of the history stands, which comes last
    found = _concat([*_plain(reading.changed, None), *_plain(reading.plain, None), *compacted])
    newest = found.sort_values(_KEY, kind="stable").drop_duplicates("video_id", keep="last")
    return newest.reset_index(drop=True)


def _last_points(rows: pa.Table) -> pa.Table:
    micros = _numbers(rows["last_second"]) * _SECOND + _numbers(rows["last_microsecond"])
    counts = {name: rows[f"last_{name}"] for name in COUNTS}
    times = {"timestamp": pa.array(micros).cast(_TIME), "published_at": _publish_times(rows)}
    return pa.table({"video_id": rows["video_id"], **times, **counts}).select(_COLUMNS)


def top_movers(
    root: Root, until: dt.datetime, window_hours: int = 24, top: int = 20, look_back_days: int = 30
) -> pd.DataFrame:
    """The videos that gained the most views an hour in the `window_hours` that end at `until`.

    The gain leads from the newest count at or before the window's beginning (but at most `look_back_days` before it) to
    the newest at or before its end. A video without a count before the window counts from its first one within.
    video_id, counted_from, counted_until, views, gain, per_hour (by the hours between the counts), the most first.
    """
    lower = until - window_hours * HOUR
    found = points(root, lower - dt.timedelta(days=look_back_days), until + dt.timedelta(microseconds=1))
    counts = found.dropna(subset="views").sort_values("timestamp").set_index("video_id")[["timestamp", "views"]]
    last = counts.groupby(level=0).last()
    before = counts[counts["timestamp"] <= lower].groupby(level=0).last()
    start = before.reindex(last.index).fillna(counts.groupby(level=0).first())
    moved = pd.DataFrame(
        {
            "counted_from": start["timestamp"],
            "counted_until": last["timestamp"],
            "views": last["views"],
            "gain": last["views"] - start["views"],
        }
    )
    moved = moved[moved["counted_from"] < moved["counted_until"]].reset_index()
    moved["per_hour"] = moved["gain"] * 3.6e9 / ((moved["counted_until"] - moved["counted_from"]) // _MICROSECOND)
    return moved.sort_values(["per_hour", "video_id"], ascending=[False, True], ignore_index=True).head(top)


def points_per_hour(root: Root, since: Moment = None, until: Moment = None) -> pd.DataFrame:
    """How much was observed in [since, until): hour (its beginning), points, videos; hours without have no row."""
    found = points(root, since, until)
    hours = found.groupby(found["timestamp"].dt.floor("h").rename("hour"))["video_id"]
    return hours.agg(points="size", videos="nunique").reset_index()


def gaps(root: Root, since: Moment = None, until: Moment = None) -> pd.DataFrame:
    """Observations of [since, until) that follow one another with at least one slot between them that has none.

    Slots lie at the ages 1 h … 24 h, 2 d … 7 d, 14 d and so on from the publish time that the later observation tells.
    It stands for one of the slots since the earlier one, the others are missed. video_id, gap_from, gap_to, hours
    (between them), missed; the most missed first, then by video and time.
    """
    found = points(root, since, until).sort_values(_KEY)
    found["gap_from"] = found.groupby("video_id")["timestamp"].shift()
    found = found.rename(columns={"timestamp": "gap_to"}).dropna(subset=["gap_from", "published_at"])
    anchor = found["published_at"].dt.floor("s")
    found["hours"] = _hours(found["gap_to"] - found["gap_from"])
    found["missed"] = _slots_by(found["gap_to"] - anchor) - _slots_by(found["gap_from"] - anchor) - 1
    missed = found[found["missed"] > 0]
    ordered = missed.sort_values(["missed", "video_id", "gap_from"], ascending=[False, True, True], ignore_index=True)
    return ordered[["video_id", "gap_from", "gap_to", "hours", "missed"]]


def _slots_by(age: pd.Series) -> pd.Series:
    """How many slots a video of this age has behind it."""
    known = (age // _MICROSECOND).clip(lower=0)
    hours, days, weeks = (known // (count * 3_600_000_000) for count in (1, 24, 24 * 7))
    return hours.clip(upper=24) + (days.clip(upper=7) - 1).clip(lower=0) + (weeks - 1).clip(lower=0)


def _hours(duration: pd.Series) -> pd.Series:
    return (duration // _MICROSECOND) / 3.6e9


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)
