"""The bodies of the tracker's tasks: plan, track, publish, summary."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ghost_tracking.core.batches import LARGEST_BATCH, Batch
from ghost_tracking.core.policies import ReadingPlan
from ghost_tracking.core.tiers import Queue
from ghost_tracking.core.video_ids import parse_brought_video
from ghost_tracking.errors import BadInputError, QuotaExhaustedError, TransientError, YouTubeFaultError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services import alerting, auditing
from ghost_tracking.services.deployment import ready
from ghost_tracking.services.planning import plan_batches, reserve
from ghost_tracking.services.quota_status import calls_sent, read_quota_status
from ghost_tracking.services.reading_policy import make_plan
from ghost_tracking.services.tracking import Done, Tracking
from ghost_tracking.settings import read_settings
from ghost_tracking.tasks import metrics, notifications
from ghost_tracking.tasks.body import Label, calling_youtube, results, task_body
from ghost_tracking.wording import pluralize, printable

log = logging.getLogger(__name__)

_SHOWN = 20
_TOTALS = ("tracked", "missing", "gone", "returned", "promoted", "refused", "left_due")


@task_body
def plan(run_type: str, form: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Share out what is due, within what the quota allows: `batches` (one for each mapped task) and `why`.

    The run's form can name `videos` to read now, due or not, or narrow the run to some `queues` and a `limit`.
    """
    if run_type == "backfill":
        return _planned("A backfill tracks nothing, because YouTube returns no past counts.")
    form = form or {}
    settings, videos = read_settings(), _named(form)
    manual = run_type == "manual"
    with WatchlistHook(budgets=settings.quota) as watchlist:
        vault = ParquetVaultHook()
        common = {"vault": ready(watchlist, vault), "manual": manual}
        _refuse_forgotten(videos, watchlist)
        if videos:
            plan = make_plan(watchlist, settings, read_quota_status(watchlist, settings))
            common |= {"plan": plan.as_dict()}
            slices = [{"first": first, "stop": first + LARGEST_BATCH} for first in range(0, len(videos), LARGEST_BATCH)]
            return _planned(
                f"{pluralize(len(videos), 'video')} of the run's form {'is' if len(videos) == 1 else 'are'} read now.",
                [each | common for each in slices],
            )
        quota = read_quota_status(watchlist, settings)
        metrics.schedule(watchlist, quota)
        notifications.send(alerting.schedule_alerts(watchlist, vault, quota, settings), watchlist, settings)
        queues, limit = form.get("queues") or list(Queue), form.get("limit")
        planned = plan_batches(watchlist, settings, vault, queues=queues, limit=limit, manual=manual)
    common |= {"plan": planned.plan.as_dict()}
    batches = [batch.as_dict() for batch in planned.batches]
    if planned.audits:
        batches.append({"audits": auditing.as_data(planned.audits)})
    return _planned(planned.why, [batch | common for batch in batches])


def _named(form: Mapping[str, Any]) -> list[str]:
    """The ids of the videos that the form names, each once. Raises BadInputError for what names none."""
    found, bad = dict[str, None](), []
    for number, line in enumerate(form.get("videos") or [], 1):
        try:
            if line.strip():
                found[parse_brought_video(line)] = None
        except ValueError as error:
            bad.append(f"line {number}: {error}")
    if bad:
        raise BadInputError(f"{len(bad)} of the form's videos cannot be used; none was read: {'; '.join(bad[:5])}")
    return list(found)


def _refuse_forgotten(videos: Sequence[str], watchlist: WatchlistHook) -> None:
    """BadInputError where somebody has had any of these forgotten: a reading would be a trace of it."""
    forgotten = watchlist.let_go.forgotten(videos)
    if forgotten:
        raise BadInputError(
            f"{pluralize(len(forgotten), 'of these videos was', 'of these videos were')} forgotten on request, first "
            f"{min(forgotten)}: leave them out, or resume them first. None was read"
        )


def _planned(why: str, batches: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    log.info(why)
    return {"batches": list(batches), "why": why}


@task_body
def track(batch: Mapping[str, Any], label: Label, form: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Claim a batch, ask YouTube, stage the points, reschedule. What it leaves undone is due in the next run.

    Raises a TransientError after everything that was answered is safe, so that the run's colour tells the truth.
    """
    settings, vault = read_settings(), ParquetVaultHook()
    videos = _named(form or {})[batch["first"] : batch["stop"]] if "first" in batch else None
    audits = auditing.from_data(batch["audits"]) if "audits" in batch else None
    if videos is not None or audits is not None:
        work = Batch(Queue.DAILY, len(videos if videos is not None else audits or ()), strict=True)
    else:
        work = Batch.from_dict(batch)
    name = "form" if videos is not None else "audit" if audits is not None else work.queue.value
    label(f"{name}: {pluralize(work.limit, 'video')}")
    with WatchlistHook(budgets=settings.quota) as watchlist:
        ready(watchlist, vault, batch["vault"])
        budget, affordable = reserve(watchlist.quota, work, settings, manual=batch["manual"])
        tracking = Tracking(watchlist, settings, plan=ReadingPlan.from_dict(batch["plan"]))
        with calling_youtube(watchlist.quota, budget, settings) as youtube:
            if videos is not None:
                done = tracking.read_now(videos, youtube, vault)
            elif audits is not None:
                done = tracking.audit(audits, youtube, vault)
            else:
                done = tracking.follow(work, affordable, youtube, vault)
    notifications.send(alerting.promotion_alerts(done.promoted, settings))
    report = _report(name, done) | {"calls": calls_sent(budget)}
    label(_label(report))
    _raise_failures(done)
    return report


def _report(queue: str, done: Done) -> dict[str, Any]:
    answer = done.answer
    refused = answer.malformed | answer.faulty
    for video_id, reason in list(refused.items())[:_SHOWN]:
        log.warning("Set aside %s, which cannot be read: %s", printable(video_id), printable(reason))
    return {
        "queue": queue,
        "claimed": done.claimed,
        "tracked": len(answer.found),
        "missing": len(answer.missing),
        "gone": done.newly_gone,
        "returned": done.returned,
        "promoted": len(done.promoted),
        "refused": len(refused),
        "unconfirmed": len(answer.unconfirmed),
        "left_due": len(answer.pending),
    }


def _label(report: Mapping[str, Any]) -> str:
    named = ("missing", "returned", "promoted", "refused", "unconfirmed", "left_due")
    rest = [f"{report[name]:,} {name.replace('_', ' ')}" for name in named if report[name]]
    return f"{report['queue']}: " + ", ".join([f"{report['tracked']:,} tracked", *rest])


def _raise_failures(done: Done) -> None:
    """An empty bucket is no failure: what it left is due tomorrow. Calls that failed are."""
    answer = done.answer
    failures = [error for error in answer.failures if not isinstance(error, QuotaExhaustedError)]
    if failures:
        raise TransientError(
            f"{pluralize(len(failures), 'call')} failed, {pluralize(len(answer.pending), 'video stays', 'videos stay')}"
            f" due: {failures[0].message}"
        )
    if done.is_fault:
        raise YouTubeFaultError(
            f"{len(answer.missing):,} of the batch's videos were missing at once: "
            "treated as a fault of YouTube, none is marked gone"
        )


def summary(why: str, reports: Sequence[Mapping[str, Any] | None] | None) -> dict[str, Any]:
    """What the run did in all. Airflow runs this task only when nothing before it has failed."""
    done = results(reports)
    totals = {name: sum(report[name] for report in done) for name in _TOTALS}
    message = f"{why} Tracked {totals['tracked']:,}." if done else why
    metrics.run(totals)
    log.info(message)
    return {"message": message, **totals}
