"""Ready questions to a vault in polars. `root` is the vault's folder; needs no Airflow, only polars and this folder.

    import sys
    sys.path.append("/path/to/ghost-tracking/include")
    from queries import recipes_polars as ghost

    ghost.video_curve("/data/vault", "9LfmrkyP81M")

Every moment that is given has a time zone; what is returned is in UTC. The same questions, with the same answers, are
in `recipes_pandas` and `duckdb/`.
"""

import datetime as dt
import os
from collections.abc import Sequence
from typing import Final

import polars as pl

from queries.vault_files import HOUR, Moment, Reading, VaultFiles

Root = str | os.PathLike[str]

COUNTS: Final = ("views", "likes", "comments")
_TIME: Final = pl.Datetime("us", "UTC")
_POINTS: Final = pl.Schema(
    {"video_id": pl.String, "timestamp": _TIME, **dict.fromkeys(COUNTS, pl.Int64), "published_at": _TIME}
)
_GAINS: Final = pl.List(pl.Int64)
_SEGMENTS: Final = pl.Schema(
    {
        "video_id": pl.String,
        "published_second": pl.Int64,
        "published_microsecond": pl.Int32,
        "last_second": pl.Int64,
        "last_microsecond": pl.Int32,
        **{f"last_{name}": pl.Int64 for name in COUNTS},
        "seconds_to_next": _GAINS,
        **{f"{name}_to_next": _GAINS for name in COUNTS},
        "microseconds": pl.List(pl.Int32),
    }
)
_KEY: Final = ["video_id", "timestamp"]


# Points


def decode(segments: pl.LazyFrame) -> pl.LazyFrame:
    """The points of a file of the history, in its order: `decode(pl.scan_parquet(file))`. Filters by video reach it."""
    # the last point has no element: 0, or null where its count is
    gains = {
        f"{name}_to_next": pl.concat_list(f"{name}_to_next", pl.col(f"last_{last}") * 0)
        for name, last in {"seconds": "second", **dict(zip(COUNTS, COUNTS, strict=True))}.items()
    }
    to_come = {
        name.replace("next", "come"): pl.col(name).list.eval(pl.element().fill_null(0).cum_sum(reverse=True))
        for name in gains
    }
    no_fractions = pl.col("seconds_to_next").list.eval((pl.element() * 0).cast(pl.Int32))
    counts = {
        name: pl.when(pl.col(f"{name}_to_next").is_not_null()).then(
            pl.col(f"last_{name}").fill_null(0) - pl.col(f"{name}_to_come")
        )
        for name in COUNTS
    }
    return (
        segments.with_columns(**gains)
        .with_columns(**to_come, microseconds=pl.coalesce("microseconds", no_fractions))
        .explode(*to_come, *(f"{name}_to_next" for name in COUNTS), "microseconds")
        .select(
            "video_id",
            timestamp=_time(pl.col("last_second") - pl.col("seconds_to_come"), pl.col("microseconds")),
            **counts,
            published_at=_time(pl.col("published_second"), pl.col("published_microsecond")),
        )
    )


def history_points(root: Root) -> pl.LazyFrame:
    """The points that are compacted into the history."""
    return decode(_segments([each.file for each in VaultFiles.of(root).history]))


def points(root: Root, since: Moment = None, until: Moment = None) -> pl.LazyFrame:
    """Every point of [since, until), None being open, once, whichever layer it lies in; in no order."""
    found = _every_point(VaultFiles.of(root).by_time(_points_in, since, until))
    if since is not None:
        found = found.filter(pl.col("timestamp") >= since)
    return found if until is None else found.filter(pl.col("timestamp") < until)


def history(root: Root, video: str) -> pl.DataFrame:
    """One video's points by time, from its history and from the hours that are not compacted."""
    found = _every_point(VaultFiles.of(root).by_video(video), pl.col("video_id") == video)
    return found.sort("timestamp").collect()


def _every_point(reading: Reading, condition: pl.Expr | bool = True) -> pl.LazyFrame:
    compacted = decode(_segments(reading.history)).filter(condition)
    if reading.hours is not None:
        compacted = compacted.filter(pl.col("timestamp").dt.truncate("1h").is_in(pl.Series(reading.hours, dtype=_TIME)))
    changed = _plain(reading.changed).filter(condition)
    beyond = changed.join(compacted, on=_KEY, how="anti") if reading.changed else changed
    return pl.concat([_plain(reading.plain).filter(condition), compacted, beyond])


def _points_in(file: str) -> int:
    return pl.scan_parquet(file, glob=False, hive_partitioning=False).select(pl.len()).collect().item()


def _plain(files: Sequence[str]) -> pl.LazyFrame:
    return _scan(files, _POINTS)


def _segments(files: Sequence[str]) -> pl.LazyFrame:
    return _scan(files, _SEGMENTS)


def _scan(files: Sequence[str], schema: pl.Schema) -> pl.LazyFrame:
    if not files:
        return pl.LazyFrame(schema=schema)
    return pl.scan_parquet(list(files), glob=False, hive_partitioning=False).select(schema.names())


def _time(second: pl.Expr, fraction: pl.Expr) -> pl.Expr:
    return (second * 1_000_000 + fraction.fill_null(0)).cast(_TIME)


# Questions


def video_curve(root: Root, video: str) -> pl.DataFrame:
    """One video's curve: timestamp, age_hours, views, likes, comments, by time.

    The age counts from the publish time that the same observation tells; it is null without one.
    """
    age = pl.col("timestamp") - pl.col("published_at")
    return history(root, video).select("timestamp", _hours(age).alias("age_hours"), *COUNTS)


def growth_per_day(
    root: Root, first_day: dt.date | None = None, last_day: dt.date | None = None, look_back_days: int = 30
) -> pl.DataFrame:
    """A video's last count of views of a UTC day, less that of the nearest day before that has one.

    video_id, date, views, growth (null for a first day), days (that the growth took), by video and day. Both days are
    included, None is open; the day before is looked for up to `look_back_days` before `first_day`.
    """
    since = None if first_day is None else _midnight(first_day - dt.timedelta(days=look_back_days))
    until = None if last_day is None else _midnight(last_day + dt.timedelta(days=1))
    days = (
        points(root, since, until)
        .filter(pl.col("views").is_not_null())
        .group_by("video_id", pl.col("timestamp").dt.date().alias("date"))
        .agg(pl.col("views").sort_by("timestamp").last())
        .sort("video_id", "date")
        .with_columns(
            growth=pl.col("views").diff().over("video_id"),
            days=pl.col("date").diff().dt.total_days().over("video_id"),
        )
    )
    return (days if first_day is None else days.filter(pl.col("date") >= first_day)).collect()


def latest(root: Root) -> pl.DataFrame:
    """The newest point of every video, by video: the six columns. Of the history only the last columns are read."""
    reading = VaultFiles.of(root).by_video()
    compacted = _segments(reading.history).select(
        "video_id",
        timestamp=_time(pl.col("last_second"), pl.col("last_microsecond")),
        **{name: pl.col(f"last_{name}") for name in COUNTS},
        published_at=_time(pl.col("published_second"), pl.col("published_microsecond")),
    )
    hours = [_plain(reading.plain), _plain(reading.changed)]
    # of points of one moment that of the history stands
    ranked = [compacted.with_columns(is_compacted=True), *(each.with_columns(is_compacted=False) for each in hours)]
    newest = pl.all().sort_by("timestamp", "is_compacted").last()
    return pl.concat(ranked).group_by("video_id").agg(newest).drop("is_compacted").sort("video_id").collect()


def top_movers(
    root: Root, until: dt.datetime, window_hours: int = 24, top: int = 20, look_back_days: int = 30
) -> pl.DataFrame:
    """The videos that gained the most views an hour in the `window_hours` that end at `until`.

    The gain leads from the newest count at or before the window's beginning (but at most `look_back_days` before it) to
    the newest at or before its end. A video without a count before the window counts from its first one within.
    video_id, counted_from, counted_until, views, gain, per_hour (by the hours between the counts), the most first.
    """
    lower = until - window_hours * HOUR
    counts = points(root, lower - dt.timedelta(days=look_back_days), until + dt.timedelta(microseconds=1))
    before = pl.col("timestamp") <= lower
    start = (before.sum().cast(pl.Int64) - 1).clip(lower_bound=0)
    gain = pl.col("views") - pl.col("views_before")
    return (
        counts.filter(pl.col("views").is_not_null())
        .sort("timestamp")
        .group_by("video_id", maintain_order=True)
        .agg(
            counted_from=pl.col("timestamp").get(start),
            counted_until=pl.col("timestamp").last(),
            views=pl.col("views").last(),
            views_before=pl.col("views").get(start),
        )
        .filter(pl.col("counted_from") < pl.col("counted_until"))
        .select(
            *("video_id", "counted_from", "counted_until", "views"),
            gain=gain,
            per_hour=gain * 3.6e9 / (pl.col("counted_until") - pl.col("counted_from")).dt.total_microseconds(),
        )
        .sort("per_hour", "video_id", descending=[True, False])
        .head(top)
        .collect()
    )


def points_per_hour(root: Root, since: Moment = None, until: Moment = None) -> pl.DataFrame:
    """How much was observed in [since, until): hour (its beginning), points, videos; hours without have no row."""
    hour = pl.col("timestamp").dt.truncate("1h").alias("hour")
    counted = points(root, since, until).group_by(hour).agg(points=pl.len(), videos=pl.col("video_id").n_unique())
    return counted.sort("hour").collect()


def gaps(root: Root, since: Moment = None, until: Moment = None) -> pl.DataFrame:
    """Observations of [since, until) that follow one another with at least one slot between them that has none.

    Slots lie at the ages 1 h … 24 h, 2 d … 7 d, 14 d and so on from the publish time that the later observation tells.
    It stands for one of the slots since the earlier one, the others are missed. video_id, gap_from, gap_to, hours
    (between them), missed; the most missed first, then by video and time.
    """
    anchor = pl.col("published_at").dt.truncate("1s")
    missed = _slots_by(pl.col("gap_to") - anchor) - _slots_by(pl.col("gap_from") - anchor) - 1
    return (
        points(root, since, until)
        .sort("video_id", "timestamp")
        .select("video_id", "published_at", gap_from=pl.col("timestamp").shift().over("video_id"), gap_to="timestamp")
        .select("video_id", "gap_from", "gap_to", hours=_hours(pl.col("gap_to") - pl.col("gap_from")), missed=missed)
        .filter(pl.col("missed") > 0)
        .sort("missed", "video_id", "gap_from", descending=[True, False, False])
        .collect()
    )


def _slots_by(age: pl.Expr) -> pl.Expr:
    """How many slots a video of this age has behind it."""
    known = age.dt.total_microseconds().clip(lower_bound=0)
    hours, days, weeks = (known // (count * 3_600_000_000) for count in (1, 24, 24 * 7))
    return hours.clip(upper_bound=24) + (days.clip(upper_bound=7) - 1).clip(0) + (weeks - 1).clip(0)


def _hours(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_microseconds() / 3.6e9


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)
