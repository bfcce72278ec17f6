"""The bodies of the tracker's tasks: plan, track, publish, verdict."""

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ghost_tracking.core.batches import Batch, make_batches, share_out
from ghost_tracking.core.budgets import IDS_PER_CALL, Bucket, Purse, calls_for
from ghost_tracking.core.schedule import Outcome, settle
from ghost_tracking.core.videos import Reading
from ghost_tracking.errors import QuotaExhaustedError, TransientError, YouTubeFaultError
from ghost_tracking.hooks.quota import QuotaLedger
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.hooks.youtube import Answer, YouTubeHook
from ghost_tracking.settings import Settings, read_settings
from ghost_tracking.tasks.body import Label, calling_youtube, calls, task_body

log = logging.getLogger(__name__)

_SHOWN = 20


@task_body
def plan(run_type: str) -> dict[str, Any]:
    """Share out what is due, within what the quota allows: `batches` (a token for each mapped task) and `why`."""
    if run_type == "backfill":
        return _planned("A backfill tracks nothing: YouTube gives counts of the present only, and none is invented.")
    settings = read_settings()
    with WatchlistHook(budgets=settings.quota) as watchlist:
        watchlist.migrate()
        vault = ParquetVaultHook().identity(create=True)
        due, left, next_due_at = watchlist.due(), watchlist.quota.left(), watchlist.next_due_at()
    total = sum(sum(counts) for counts in due.values())
    if total == 0:
        when = f"the next video is due at {next_due_at:%Y-%m-%d %H:%M} UTC" if next_due_at else "the watchlist is empty"
        return _planned(f"Nothing is due: {when}.")
    shares = share_out(due, min(_affordable(left, settings), settings.tracker_videos_a_run))
    batches = make_batches(shares, settings.tracker_parallel_tasks)
    taken = sum(shares.values())
    why = f"{total:,} videos are due, {taken:,} are tracked now in {len(batches)} batches"
    if not batches:
        why = f"{total:,} videos are due, but YouTube's quota is used up until midnight Pacific time; they stay due"
    return _planned(f"{why}.", batches, vault)


def _planned(why: str, batches: Iterable[Batch] = (), vault: str | None = None) -> dict[str, Any]:
    log.info(why)
    return {"batches": [batch.as_dict() | {"vault": vault} for batch in batches], "why": why}


def _affordable(left: Mapping[Bucket, int], settings: Settings) -> int:
    """Videos that what is left of today's quota can ask for."""
    general = max(0, left[Bucket.GENERAL] - settings.quota_hunter_reserve)
    return (left[Bucket.STATISTICS] + general) * IDS_PER_CALL


@task_body
def track(token: Mapping[str, Any], label: Label) -> dict[str, Any]:
    """Claim a batch, ask YouTube, stage the points, reschedule. What it leaves undone is due in the next run.

    Raises a TransientError after everything that was answered is safe, so that the run's colour tells the truth.
    """
    batch, settings = Batch.from_dict(token), read_settings()
    vault = ParquetVaultHook()
    vault.check_identity(token["vault"])
    label(f"{batch.tier}: {batch.limit:,} videos")
    with WatchlistHook(budgets=settings.quota) as watchlist:
        purse, limit = _reserve(watchlist.quota, batch.limit, settings)
        with calling_youtube(watchlist.quota, purse, settings) as youtube:
            answer, outcome, claimed = _track_claimed(watchlist, youtube, vault, Batch(batch.tier, limit), settings)
    report = _report(batch, answer, outcome, claimed) | {"calls": calls(purse)}
    label(_label(report))
    _raise_failures(answer, outcome)
    return report


def _track_claimed(
    watchlist: WatchlistHook, youtube: YouTubeHook, vault: ParquetVaultHook, batch: Batch, settings: Settings
) -> tuple[Answer[Reading], Outcome, int]:
    within = timedelta(seconds=settings.tracker_batch_seconds)
    with watchlist.claim(batch.tier, batch.limit, deadline=within) as claim:
        entries = {entry.video_id: entry for entry in claim.entries}
        answer = youtube.statistics(
            list(entries),
            within=within,
            upcoming=[entry.video_id for entry in claim.entries if entry.awaits_start],
            gone=[entry.video_id for entry in claim.entries if entry.is_gone],
            unknown=[entry.video_id for entry in claim.entries if entry.anchor_at is None],
        )
        # the vault first, the schedule second: a crash in between costs a second observation, never a lost one
        vault.stage([reading.point for reading in answer.found.values()])
        outcome = settle(entries, answer.found, answer.missing, answer.malformed, datetime.now(UTC))
        claim.reschedule(outcome.entries)
    return answer, outcome, len(entries)


def _reserve(ledger: QuotaLedger, videos: int, settings: Settings) -> tuple[Purse, int]:
    """Quota for a batch, and how many videos it is enough for.

    A tenth more is reserved for calls that have to be made again, and of the general bucket enough to confirm that
    a fifth of the videos is missing; what is not needed goes back.
    """
    needed = calls_for(videos)
    again = 4 + needed // 10
    statistics = ledger.reserve(Bucket.STATISTICS, needed + again)
    overflow = max(0, needed - statistics)
    confirming = 1 + calls_for(videos // 5)
    general = ledger.reserve(
        Bucket.GENERAL, overflow + confirming + (again if overflow else 0), leave=settings.quota_hunter_reserve
    )
    purse = Purse({Bucket.STATISTICS: statistics, Bucket.GENERAL: general})
    return purse, min(videos, (statistics + (general if overflow else 0)) * IDS_PER_CALL)


def _report(batch: Batch, answer: Answer[Reading], outcome: Outcome, claimed: int) -> dict[str, Any]:
    for video_id, reason in list(answer.malformed.items())[:_SHOWN]:
        log.warning("Set aside %s, whose answer cannot be used: %s", video_id, reason)
    return {
        "tier": batch.tier.value,
        "claimed": claimed,
        "tracked": len(answer.found),
        "missing": len(answer.missing),
        "gone": outcome.newly_gone,
        "refused": len(answer.malformed),
        "left_due": len(answer.unanswered) + len(answer.unconfirmed),
    }


def _label(report: Mapping[str, Any]) -> str:
    rest = [f"{report[name]:,} {name.replace('_', ' ')}" for name in ("missing", "refused", "left_due") if report[name]]
    return f"{report['tier']}: " + ", ".join([f"{report['tracked']:,} tracked", *rest])


def _raise_failures(answer: Answer[Reading], outcome: Outcome) -> None:
    """An empty bucket is no failure: what it left is due tomorrow. Calls that failed are."""
    failures = [error for error in answer.failures if not isinstance(error, QuotaExhaustedError)]
    if failures:
        raise TransientError(
            f"{len(failures)} calls failed, {len(answer.unanswered):,} videos stay due: {failures[0].message}"
        )
    if outcome.is_fault:
        raise YouTubeFaultError(
            f"{len(answer.missing):,} of the batch's videos were missing at once: "
            "taken for a fault of YouTube, none is marked gone"
        )


def verdict(why: str, reports: Iterable[Mapping[str, Any]] | None) -> dict[str, Any]:
    """What the run did in all. Airflow runs this task only when nothing before it has failed."""
    done = [report for report in reports or [] if report]
    totals = {
        name: sum(report[name] for report in done) for name in ("tracked", "missing", "gone", "refused", "left_due")
    }
    message = f"{why} Tracked {totals['tracked']:,}." if done else why
    log.info(message)
    return {"message": message, **totals}
