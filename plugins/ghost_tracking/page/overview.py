"""The overview: how tracking stands, from counts of the database, sizes of the vault and Airflow's own tables."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from ghost_tracking.core import fairness, sync
from ghost_tracking.core.budgets import IDS_PER_CALL
from ghost_tracking.core.discovery import Gap
from ghost_tracking.core.pacing import QuotaStatus
from ghost_tracking.core.policies import Policy
from ghost_tracking.core.tiers import Queue
from ghost_tracking.page import runs
from ghost_tracking.page.context import PageContext, ttl_cached
from ghost_tracking.page.health import SQL_LIMIT, Standing, health
from ghost_tracking.page.responses import (
    BucketUse,
    DagRun,
    DagRuns,
    DiskUsage,
    Liveliness,
    MeasuredError,
    Overview,
    PointsByHour,
    QueueLoad,
    Quota,
    ReadingPolicy,
    SourceGap,
    TierSlots,
    UnusualVideos,
    VaultSize,
    seconds_of,
)
from ghost_tracking.postgres.page import QueueCounts, UnusualStates
from ghost_tracking.services.fairness import read_fairness
from ghost_tracking.services.quota_status import read_quota_status

if TYPE_CHECKING:
    from ghost_tracking.vault.maintenance.stats import Stats

DAYS_SHOWN: Final = 14
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_GAPS_SHOWN_FOR: Final = timedelta(days=30)
_MOST_GAPS: Final = 20


@ttl_cached(10)
def overview(context: PageContext, dag_ids: tuple[str, ...], sees_connections: bool) -> Overview:
    """How tracking stands, for somebody who may read the runs of these DAGs, and know where the vault is or not."""
    now = context.watchlist.quota.today().now
    queues = context.watchlist.page.queues(now)
    states, disk_usage = context.watchlist.page.unusual_states(), context.watchlist.page.disk_usage()
    quota = _quota(context, queues)
    vault, hours = _vault(context, now.replace(minute=0, second=0, microsecond=0))
    dags = runs.dags(dag_ids)
    standing = Standing(
        now=now,
        dags=dags,
        videos=sum(row.videos for queue, row in queues.items() if queue is not Queue.GONE),
        due=sum(row.due for row in queues.values()),
        overdue=sum(row.overdue for queue, row in queues.items() if queue is not Queue.GONE),
        misplaced=states.misplaced,
        disk_usage=disk_usage.everything,
        points=vault.points,
        newest_point=None if vault.newest_point is None else datetime.fromtimestamp(vault.newest_point, UTC),
        quarantined=vault.quarantined,
        in_sync=sync.in_sync(context.watchlist.vault_link.sync_token(), context.vault.sync_token()),
        is_paced=quota.is_paced,
        is_short=quota.is_short,
        skipped=quota.skipped,
        spends_all=context.settings.policy is Policy.ADAPTIVE,
        refused=tuple(bucket.value for bucket, balance in quota.balances.items() if balance.is_exhausted),
        gaps=tuple(map(str, context.watchlist.watermarks.gaps(_DAY))),
    )
    return Overview(
        now=seconds_of(now),
        health=health(standing),
        queues=[_queue(queue, queues) for queue in Queue],
        states=_unusual(states),
        quota=_quota_shown(quota),
        policy=_policy(context),
        hours=hours,
        disk_usage=DiskUsage(limit=SQL_LIMIT, **asdict(disk_usage)),
        vault=replace(vault, root=str(context.vault.get_conn()) if sees_connections else None),
        gaps=[_gap(gap) for gap in context.watchlist.watermarks.gaps(_GAPS_SHOWN_FOR, _MOST_GAPS)],
        dags=[_dag(dag) for dag in dags.values() if dag.is_shown],
    )


def _quota(context: PageContext, queues: Mapping[Queue, QueueCounts]) -> QuotaStatus:
    """As the tracker's plan sees it."""
    return read_quota_status(
        context.watchlist,
        context.settings,
        videos={queue: row.videos for queue, row in queues.items()},
        due={queue: row.due for queue, row in queues.items()},
    )


@ttl_cached(60)
def _policy(context: PageContext) -> ReadingPolicy:
    """Who is read how often, and how wrong that leaves what is known."""
    quota = read_quota_status(context.watchlist, context.settings)
    found = read_fairness(context.watchlist, context.settings, quota)
    count = found.liveliness
    return ReadingPolicy(
        name=found.policy.value,
        text=found.text,
        why=found.why,
        tiers=[
            TierSlots(
                tier=each.tier.value,
                hours=each.hours,
                served=each.served,
                skipped=each.skipped,
                missed=each.missed,
                planned=_seconds(each.tier.interval),
                interval=None if each.interval is None else _seconds(each.interval),
            )
            for each in found.tiers
        ],
        counted_at=None if count is None else seconds_of(count.counted_at),
        liveliness=[
            Liveliness(
                least=each.least,
                below=each.below,
                videos=each.videos,
                planned=_seconds(each.planned),
                interval=_seconds(each.interval),
                age=None if each.age is None else _seconds(each.age),
            )
            for each in (count.classes if count else ())
        ],
        last_count=_error(found.held_error),
        curve=_error(found.curve_error),
    )


def _seconds(length: timedelta) -> int:
    return round(length.total_seconds())


def _error(error: fairness.MeasuredError | None) -> MeasuredError | None:
    return None if error is None else MeasuredError(**error.as_dict())


def _unusual(states: UnusualStates) -> UnusualVideos:
    return UnusualVideos(
        missing=states.missing,
        gone=states.gone,
        promoted=states.promoted,
        awaiting=states.awaiting,
        misplaced=states.misplaced,
    )


def _gap(gap: Gap) -> SourceGap:
    window = gap.window
    return SourceGap(source=gap.label, start=seconds_of(window.start), end=seconds_of(window.end), reason=gap.reason)


def _quota_shown(quota: QuotaStatus) -> Quota:
    day = quota.day
    return Quota(
        demand=round(quota.demand),
        need=round(quota.need),
        capacity=quota.capacity,
        due=quota.calls_due,
        left=quota.left,
        skipped=round(quota.skipped, 4),
        is_short=quota.is_short,
        is_paced=quota.is_paced,
        runs_out_at=seconds_of(quota.runs_out_at),
        day_starts=seconds_of(day.start),
        day_ends=seconds_of(day.end),
        buckets={
            bucket.value: BucketUse(
                budget=balance.budget,
                spent=balance.spent,
                left=balance.left(),
                set_aside=quota.held_back[bucket],
                is_exhausted=balance.is_exhausted,
            )
            for bucket, balance in quota.balances.items()
        },
    )


def _queue(queue: Queue, queues: Mapping[Queue, QueueCounts]) -> QueueLoad:
    row = queues.get(queue, QueueCounts(queue, 0, 0, 0, None))
    readings = row.videos * (_DAY / queue.interval)
    return QueueLoad(
        queue=queue.value,
        tier=queue.tier.value,
        videos=row.videos,
        due=row.due,
        overdue=row.overdue,
        next_at=seconds_of(row.next_track_at),
        readings=round(readings),
        calls=round(readings / IDS_PER_CALL, 2),
        interval=round(queue.interval.total_seconds()),
    )


def points_by_hour(stats: "Stats", now: datetime, days: int) -> PointsByHour:
    """The hours of so many days that end `now`, and the points of each; an hour without points is 0."""
    last = now.replace(minute=0, second=0, microsecond=0)
    first = last - days * _DAY + _HOUR
    found = {hour.starts_at: points for hour, points in stats.points_by_hour(first).items()}
    moments = [first + number * _HOUR for number in range(days * 24)]
    return PointsByHour([seconds_of(moment) for moment in moments], [found.get(moment, 0) for moment in moments])


@ttl_cached(60)
def _vault(context: PageContext, hour: datetime) -> tuple[VaultSize, PointsByHour]:
    """Bytes by layer and a point, the newest point, what was set aside, not where it is; points of two weeks.

    Together, so that the vault is listed once: some 15 requests to an object store, whatever the vault's age.
    """
    stats = context.vault.stats
    size = stats.size()
    newest = stats.newest_point(datetime.now(UTC))
    of_points = size.bytes["hours"] + size.bytes["history"]
    shown = VaultSize(
        bytes=size.bytes,
        total=sum(size.bytes.values()),
        measured_at=seconds_of(size.measured_at),
        proven_since=_midnight(stats.proven_since()),
        points=size.points,
        bytes_a_point=round(of_points / size.points, 1) if size.points else None,
        newest_point=seconds_of(newest),
        quarantined=size.quarantined,
        root=None,
    )
    return shown, points_by_hour(stats, hour, DAYS_SHOWN)


def _midnight(date: date | None) -> int | None:
    """The beginning of a day in UTC."""
    return None if date is None else seconds_of(datetime.combine(date, time(), UTC))


def _dag(dag: runs.Dag) -> DagRuns:
    return DagRuns(dag.dag_id, dag.is_known, dag.is_paused, [_run(run) for run in dag.runs[: runs.RUNS_SHOWN]])


def _run(run: runs.Run) -> DagRun:
    took = run.ended_at - run.started_at if run.ended_at and run.started_at else None
    return DagRun(
        run_id=run.run_id,
        state=run.state,
        kind=run.kind,
        at=seconds_of(run.started_at or run.run_after),
        seconds=None if took is None else round(took.total_seconds(), 1),
        message=run.message,
        failure=run.failure,
    )
