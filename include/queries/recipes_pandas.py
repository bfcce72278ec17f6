"""Ready questions to a vault in pandas. `root` is the vault's folder; needs `pip install ghost-tracking`, no Airflow.

    import sys
    sys.path.append("/path/to/ghost-tracking/include")
    from queries import recipes_pandas as ghost

    ghost.video_curve("/data/vault", "9LfmrkyP81M")

Every moment that is given has a time zone; what is returned is in UTC, counts are nullable `Int64`. The same
questions, with the same answers, are in `recipes_polars` and `duckdb/`.
"""

import datetime as dt
import os
from typing import Final

import pandas as pd

from ghost_tracking.vault import Vault

Root = str | os.PathLike[str]
Moment = dt.datetime | None

COUNTS: Final = ["views", "likes", "comments"]
_KEY: Final = ["video_id", "timestamp"]
_HOUR: Final = dt.timedelta(hours=1)
_MICROSECOND: Final = pd.Timedelta(microseconds=1)


# Points


def points(root: Root, since: Moment = None, until: Moment = None) -> pd.DataFrame:
    """Every point of [since, until), None being open, once, whichever layer it lies in; in no order."""
    return Vault(root).read_metrics(since, until)


def history(root: Root, video: str) -> pd.DataFrame:
    """One video's points by time."""
    return Vault(root).read_history(video)


def latest(root: Root) -> pd.DataFrame:
    """The newest point of every video, by video: the six columns."""
    return Vault(root).read_latest().sort_values("video_id", ignore_index=True)


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


def top_movers(
    root: Root, until: dt.datetime, window_hours: int = 24, top: int = 20, look_back_days: int = 30
) -> pd.DataFrame:
    """The videos that gained the most views an hour in the `window_hours` that end at `until`.

    The gain leads from the newest count at or before the window's beginning (but at most `look_back_days` before it) to
    the newest at or before its end. A video without a count before the window counts from its first one within.
    video_id, counted_from, counted_until, views, gain, per_hour (by the hours between the counts), the most first.
    """
    lower = until - window_hours * _HOUR
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
