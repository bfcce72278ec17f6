"""When an alert is due: rules over what is seen of the schedule, the quota and the vault."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

_CLOCKS_DIFFER = timedelta(minutes=1)
"""By so much at most the clock of a worker that has written a point."""


class Kind(StrEnum):
    """What an alert is about."""

    BACKLOG = "backlog"
    QUOTA = "quota"
    NO_DATA = "no_data"
    PROMOTION = "promotion"
    WATERMARK = "watermark"
    LATE = "late"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AlertThresholds:
    """From when on an alert is due; None: never. `quota` is how long before midnight the quota may run out."""

    backlog: int | None
    quota: timedelta | None
    no_data: timedelta | None


@dataclass(frozen=True, slots=True)
class AlertInputs:
    """What is seen at `now`; times are aware.

    `backlog`: videos overdue by more than an hour; `oldest_due_at`: since when the longest overdue one waits;
    `newest_point_at`: when the newest published point was read; `runs_out_at`: when today's quota would be used up if
    nothing were held back, which it is from then on; `day_ends_at`: when the quota's day ends.
    """

    now: datetime
    backlog: int
    oldest_due_at: datetime | None
    newest_point_at: datetime | None
    runs_out_at: datetime | None
    day_ends_at: datetime


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that somebody should know, in a sentence that says what to do.

    `about`: of which of several it is true, such as a DAG's id; each has alerts of its own.
    """

    kind: Kind
    message: str
    about: str = ""

    @property
    def key(self) -> str:
        """What the cooldown counts by: stands in `alerts.kind`."""
        return f"{self.kind}:{self.about}" if self.about else self.kind.value


def alerts(seen: AlertInputs, thresholds: AlertThresholds) -> Iterator[Alert]:
    """The alerts that are due; none where all is well."""
    if thresholds.backlog is not None and seen.backlog > thresholds.backlog:
        yield Alert(
            Kind.BACKLOG,
            f"{seen.backlog:,} videos are overdue by more than an hour (limit {thresholds.backlog:,}): is "
            "ghost_tracker paused or red? Is the quota short? Its plan says so",
        )
    if thresholds.quota is not None and seen.runs_out_at and seen.day_ends_at - seen.runs_out_at > thresholds.quota:
        yield Alert(
            Kind.QUOTA,
            f"today's YouTube quota would be used up at {seen.runs_out_at:%H:%M} UTC, "
            f"{_hours(seen.day_ends_at - seen.runs_out_at)} before its day ends; it is spread, and slots are left "
            "out: ask Google for more, or hunt less",
        )
    if thresholds.no_data is not None and _has_no_data(seen, thresholds.no_data):
        newest = _newest_point(seen)
        since = f"since {newest:%Y-%m-%d %H:%M} UTC" if newest else "yet"
        yield Alert(
            Kind.NO_DATA,
            f"nothing was published {since}, although videos are due: is ghost_tracker paused, stuck or red?",
        )


def stale_sources(behind: Mapping[str, datetime], now: datetime) -> Alert:
    """Sources, by their labels, that have not been hunted to an end since then; times are aware."""
    oldest = sorted(behind, key=lambda label: behind[label])
    named = ", ".join(f"{label} since {behind[label]:%Y-%m-%d %H:%M} UTC" for label in oldest[:3])
    more = f", and {len(oldest) - 3} more" if len(oldest) > 3 else ""
    hours = (now - behind[oldest[0]]) / timedelta(hours=1)
    return Alert(
        Kind.WATERMARK,
        f"sources have not been hunted to an end for up to {hours:.0f} hours: {named}{more}. Was ghost_hunter down, do "
        "they fail, or are there more searches than the quota carries? The log of its runs says so",
    )


def late_run(dag_id: str, queued_at: datetime, now: datetime, *, is_running: bool) -> Alert:
    """A run that is not over although its deadline has passed; times are aware."""
    done = "is not over" if is_running else "has not begun"
    return Alert(
        Kind.LATE,
        f"a run of {dag_id}, queued at {queued_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {done} after "
        f"{(now - queued_at) / timedelta(minutes=1):.0f} minutes: does a task hang, or wait for a slot, a pool or a "
        "worker? Is the DAG paused? Its grid says so",
        dag_id,
    )


def failed_run(dag_id: str, tasks: Sequence[str], *, manual: bool = False) -> Alert:
    """A run that has failed; `tasks`: which of its tasks did, where that is known.

    Runs that somebody has triggered count by themselves, so that a form that was refused silences no real failure.
    """
    why = f"has failed{' at ' + ', '.join(tasks) if tasks else ''}: the logs of its red tasks say why."
    if manual:
        return Alert(Kind.FAILED, f"a run of {dag_id} that somebody triggered {why}", f"{dag_id}:manual")
    return Alert(Kind.FAILED, f"a run of {dag_id} {why} What it left undone, the next run does", dag_id)


def _has_no_data(seen: AlertInputs, limit: timedelta) -> bool:
    """Whether nothing has come in for too long while something was due all that time."""
    before = seen.now - limit
    is_waiting = seen.oldest_due_at is not None and seen.oldest_due_at < before
    newest = _newest_point(seen)
    return is_waiting and (newest is None or newest < before)


def _newest_point(seen: AlertInputs) -> datetime | None:
    """When the newest point was read; one of the future, by a clock that was wrong, silences nothing."""
    newest = seen.newest_point_at
    return None if newest is None or newest > seen.now + _CLOCKS_DIFFER else newest


def _hours(time: timedelta) -> str:
    return f"{time / timedelta(hours=1):.1f} h"
