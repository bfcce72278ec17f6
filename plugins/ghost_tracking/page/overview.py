"""The overview: how tracking stands, from counts of the database, footers of the vault and Airflow's own tables."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ghost_tracking.core import marks
from ghost_tracking.core.budgets import IDS_PER_CALL
from ghost_tracking.core.discovery import Gap
from ghost_tracking.core.pacing import QuotaStatus, quota_status
from ghost_tracking.core.tiers import Queue
from ghost_tracking.page import runs
from ghost_tracking.page.doors import Doors, remembered
from ghost_tracking.page.verdict import SQL_LIMIT, Standing, verdict
from ghost_tracking.postgres.page import QueueCounts

DAYS_SHOWN: Final = 14
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_GAPS_SHOWN_FOR: Final = timedelta(days=30)
_MOST_GAPS: Final = 20


@remembered(10)
def overview(doors: Doors, dag_ids: tuple[str, ...], sees_connections: bool) -> dict[str, Any]:
    """Plain data for the page; times are seconds since 1970, sizes bytes, quota in calls.

    For somebody who may read the runs of these DAGs, and may or may not know where the vault lies.
    """
    now = doors.watchlist.quota.today().now
    queues = doors.watchlist.page.queues(now)
    states, room = doors.watchlist.page.unusual_states(), doors.watchlist.page.disk_usage()
    quota = _quota(doors, queues)
    vault = _vault(doors)
    dags = runs.dags(dag_ids)
    standing = Standing(
        now=now,
        dags=dags,
        videos=sum(row.videos for queue, row in queues.items() if queue is not Queue.GONE),
        due=sum(row.due for row in queues.values()),
        overdue=sum(row.overdue for queue, row in queues.items() if queue is not Queue.GONE),
        misplaced=states.misplaced,
        room=room.everything,
        points=vault["points"],
        newest_point=vault["newest_point"] and datetime.fromtimestamp(vault["newest_point"], UTC),
        quarantined=vault["quarantined"],
        shares_mark=marks.same(doors.watchlist.vault_link.mark(), doors.vault.mark()),
        is_paced=quota.is_paced,
        stretch=quota.as_dict()["stretch"],
        refused=tuple(bucket.value for bucket, balance in quota.balances.items() if balance.is_exhausted),
        gaps=tuple(map(str, doors.watchlist.watermarks.gaps(_DAY))),
    )
    return {
        "now": _seconds(now),
        "verdict": verdict(standing),
        "queues": [_queue(queue, queues) for queue in Queue],
        "states": asdict(states),
        "quota": _quota_shown(quota),
        "hours": _hours(doors, now.replace(minute=0, second=0, microsecond=0)),
        "room": {"limit": SQL_LIMIT, **asdict(room)},
        "vault": vault | {"root": str(doors.vault.get_conn()) if sees_connections else None},
        "gaps": [_gap(gap) for gap in doors.watchlist.watermarks.gaps(_GAPS_SHOWN_FOR, _MOST_GAPS)],
        "dags": [_dag(dag) for dag in dags.values() if dag.is_shown],
    }


def _quota(doors: Doors, queues: Mapping[Queue, QueueCounts]) -> QuotaStatus:
    """As the tracker's plan sees it."""
    ledger = doors.watchlist.quota
    return quota_status(
        {queue: row.videos for queue, row in queues.items()},
        {queue: row.due for queue, row in queues.items()},
        ledger.balances(),
        doors.settings.quota_reserves,
        ledger.today(),
    )


def _gap(gap: Gap) -> dict[str, Any]:
    window = gap.window
    return {"source": gap.label, "start": _seconds(window.start), "end": _seconds(window.end), "reason": gap.reason}


def _quota_shown(quota: QuotaStatus) -> dict[str, Any]:
    told = quota.as_dict()
    day = quota.day
    return {
        "needed": round(quota.needed),
        "owned": quota.owned,
        "due": quota.calls_due,
        "left": quota.left,
        "stretch": told["stretch"],
        "is_paced": quota.is_paced,
        "runs_out_at": quota.runs_out_at and _seconds(quota.runs_out_at),
        "day_starts": _seconds(day.start),
        "day_ends": _seconds(day.end),
        "buckets": told["buckets"],
    }


def _queue(queue: Queue, queues: Mapping[Queue, QueueCounts]) -> dict[str, Any]:
    """Where how many videos wait, and the readings and calls that the next 24 hours need for them."""
    row = queues.get(queue, QueueCounts(queue, 0, 0, 0, None))
    readings = row.videos * (_DAY / queue.interval)
    return {
        "queue": queue.value,
        "tier": queue.tier.value,
        "videos": row.videos,
        "due": row.due,
        "overdue": row.overdue,
        "next_at": row.next_track_at and _seconds(row.next_track_at),
        "readings": round(readings),
        "calls": round(readings / IDS_PER_CALL, 2),
        "interval": round(queue.interval.total_seconds()),
    }


@remembered(30)
def _hours(doors: Doors, hour: datetime) -> dict[str, list[int]]:
    """Points of each hour of the two weeks that end with this one; an hour without points is 0."""
    return points_by_hour(doors, hour, DAYS_SHOWN)


def points_by_hour(doors: Doors, now: datetime, days: int) -> dict[str, list[int]]:
    """`starts` of the hours (seconds since 1970), and the `points` of each, told by manifest and footers."""
    last = now.replace(minute=0, second=0, microsecond=0)
    first = last - days * _DAY + _HOUR
    found = {hour.starts_at: points for hour, points in doors.vault.figures.points_by_hour(first).items()}
    moments = [first + number * _HOUR for number in range(days * 24)]
    return {
        "starts": [_seconds(moment) for moment in moments],
        "points": [found.get(moment, 0) for moment in moments],
    }


@remembered(60)
def _vault(doors: Doors) -> dict[str, Any]:
    """Bytes by layer and a point, the newest point, what was set aside."""
    figures = doors.vault.figures
    weight = figures.weigh()
    newest = figures.newest_point(datetime.now(UTC))
    of_points = weight.bytes["hours"] + weight.bytes["series"]
    return {
        "bytes": weight.bytes,
        "total": sum(weight.bytes.values()),
        "points": weight.points,
        "bytes_a_point": round(of_points / weight.points, 1) if weight.points else None,
        "newest_point": newest and _seconds(newest),
        "quarantined": weight.quarantined,
    }


def _dag(dag: runs.Dag) -> dict[str, Any]:
    return {
        "dag_id": dag.dag_id,
        "is_known": dag.is_known,
        "is_paused": dag.is_paused,
        "runs": [
            {
                "run_id": run.run_id,
                "state": run.state,
                "kind": run.kind,
                "at": _seconds(run.started_at or run.run_after),
                "seconds": run.ended_at
                and run.started_at
                and round((run.ended_at - run.started_at).total_seconds(), 1),
                "message": run.message,
                "failure": run.failure and asdict(run.failure),
            }
            for run in dag.runs[: runs.RUNS_SHOWN]
        ],
    }


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
