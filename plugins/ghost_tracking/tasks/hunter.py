"""The bodies of the hunter's tasks: plan, hunt, import_lists, summary."""

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from ghost_tracking.core.budgets import CallBudget
from ghost_tracking.core.origins import ADOPTION, Discovered
from ghost_tracking.core.sources import SearchSource, Source, parse_sources
from ghost_tracking.core.videos import parse_instant
from ghost_tracking.core.windows import Assignment, assign
from ghost_tracking.errors import (
    BadInputError,
    BadSourcesError,
    GhostTrackingError,
    PermanentError,
    QuotaExhaustedError,
    TransientError,
    YouTubeFaultError,
)
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services import alerting, hunting, importing, letting_go, letting_go_form
from ghost_tracking.services.deployment import ready
from ghost_tracking.services.discovery import Discovery
from ghost_tracking.services.hunting import HuntResult
from ghost_tracking.services.letting_go import LettingGo
from ghost_tracking.services.provenance import record
from ghost_tracking.services.quota_status import calls_sent, read_quota_status
from ghost_tracking.services.recovery import check_sync
from ghost_tracking.settings import Settings, read_settings, read_sources
from ghost_tracking.tasks import notifications
from ghost_tracking.tasks.body import Label, calling_youtube, results, task_body
from ghost_tracking.wording import pluralize

log = logging.getLogger(__name__)

_RESERVED_AT_A_TIME = 10
_SOURCES_A_TASK = 10
_SHOWN = 10


@task_body
def plan(
    run_type: str,
    interval: tuple[datetime | None, datetime | None],
    form: Mapping[str, Any],
    run_id: str | None = None,
) -> dict[str, Any]:
    """Check what to hunt and share it out: `batches` (one for each mapped task) and `why`."""
    settings = read_settings()
    if form.get("adopt_old_videos"):
        return {"batches": [], "why": _adopt(run_id), "vault": ""}
    if letting_go_form.is_asked_for(form):
        return {"batches": [], "why": _let_go(form), "vault": ""}
    if importing.brings_list(form):
        vault = ParquetVaultHook()
        with WatchlistHook() as watchlist:
            identity = ready(watchlist, vault)
            check_sync(watchlist, vault)
        return {"batches": [], "vault": identity, "why": importing.submit(form, vault, vault.open_list)}
    sources, origin = _sources(form)
    with WatchlistHook(budgets=settings.quota) as watchlist:
        vault = ParquetVaultHook()
        identity = ready(watchlist, vault)
        assignment = _assignment(run_type, interval, form, now=watchlist.now())
        LettingGo(watchlist, vault).unite()
        watchlist.let_go.enforce()
        synced = check_sync(watchlist, vault)
        quota = read_quota_status(watchlist, settings)
        # by the hunter too: a tracker that has stopped cannot tell
        notifications.send(alerting.schedule_alerts(watchlist, vault, quota, settings), watchlist, settings)
        hunted = _hunted(sources, assignment)
        if assignment.catches_up and not _is_one_off(form):
            behind = alerting.source_alerts(hunted, watchlist, assignment.window.end, settings)
            notifications.send(behind, watchlist, settings)
        search_calls = hunting.search_calls(hunted, watchlist, run_type)
    window = assignment.window
    covered = f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"
    why = f"{len(hunted)} of {pluralize(len(sources), 'source')} of {origin}, {covered}"
    log.info(why)
    # the tasks read the sources again, and the digest tells them whether they are still the same
    common = {"digest": _digest(sources), "end": window.end.isoformat(), "vault": identity, "trusts_memory": synced}
    return {
        "batches": [each | common for each in _shares(hunted, settings, search_calls)],
        "why": why,
        "vault": identity,
    }


def _shares(hunted: Sequence[Source], settings: Settings, search_calls: int) -> list[dict[str, Any]]:
    """Batches: one for all searches, which share their few calls, and as many for the others as are worth a task."""
    others = sum(1 for source in hunted if not isinstance(source, SearchSource))
    tasks = min(settings.hunter_parallel_tasks, -(-others // _SOURCES_A_TASK))
    shares: list[dict[str, Any]] = [{"number": number, "of": tasks, "search_calls": 0} for number in range(tasks)]
    if others < len(hunted):
        shares.append({"number": 0, "of": 0, "search_calls": search_calls})
    return shares


def _share(hunted: Sequence[Source], batch: Mapping[str, Any]) -> list[Source]:
    """The sources that a batch is about."""
    if not batch["of"]:
        return [source for source in hunted if isinstance(source, SearchSource)]
    others: list[Source] = [source for source in hunted if not isinstance(source, SearchSource)]
    return others[batch["number"] :: batch["of"]]


@task_body
def import_lists(run_type: str, vault: str, run_id: str | None = None) -> dict[str, Any]:
    """Import videos of the lists in the import queue, as many as quota and SQL carry in this hour.

    `vault`: the identity of the one that `plan` saw, if any. A backfill imports none. What it leaves undone is the next
    run's.
    """
    if run_type == "backfill" or not vault:
        return {"message": "This run imports no lists."}
    settings, hook = read_settings(), ParquetVaultHook()
    with WatchlistHook(budgets=settings.quota) as watchlist:
        ready(watchlist, hook, vault)
        return importing.ListImport(watchlist, hook, settings, calling_youtube, run_id=run_id).run()


@task_body
def hunt(
    batch: Mapping[str, Any],
    run_type: str,
    interval: tuple[datetime | None, datetime | None],
    form: Mapping[str, Any],
    label: Label,
    run_id: str | None = None,
) -> dict[str, Any]:
    """Find the videos of some of the sources, write their metadata and schedule, stage their first points.

    What the sources named is staged before, as of this `run_id`.

    A source that fails stops no other, and its watermark stays. One that is gone is reported; one that failed in
    passing is reported and raises a TransientError, after everything that was found is safe.
    """
    settings = read_settings()
    sources, _ = _sources(form)
    if _digest(sources) != batch["digest"]:
        raise BadSourcesError("the sources changed while the run was in progress; the next run hunts the new ones")
    assignment = _assignment(run_type, interval, form, now=parse_instant(batch["end"]))
    mine = _share(_hunted(sources, assignment), batch)
    vault = ParquetVaultHook()
    with WatchlistHook(budgets=settings.quota) as watchlist:
        ready(watchlist, vault, batch["vault"])
        # a refill may come from a thread of the hook's, while this one only waits for it
        budget = CallBudget(
            refill=lambda bucket: watchlist.quota.reserve(
                bucket, _RESERVED_AT_A_TIME, leave=hunting.holdback(watchlist, bucket, run_type)
            )
        )
        with calling_youtube(watchlist.quota, budget, settings) as youtube:
            discovery = Discovery(
                youtube,
                budget,
                watchlist,
                vault,
                settings,
                assignment,
                now=watchlist.now().replace(microsecond=0),
                is_own=not _is_one_off(form),
                trusts_memory=batch["trusts_memory"],
                search_calls=batch["search_calls"],
                past_calls=hunting.past_calls(mine, watchlist, settings),
                run_id=run_id,
            )
            found = hunting.hunt(discovery, mine)
        hunting.finish(discovery, found)
    report = _report(found) | {"calls": calls_sent(budget)}
    label(_label(report))
    _raise_failures(found)
    return report


def _adopt(run_id: str | None) -> str:
    """Put the videos of an old tracker's table on the watchlist, and say how many."""
    vault = ParquetVaultHook()
    with WatchlistHook() as watchlist:
        ready(watchlist, vault)
        now = watchlist.now().replace(microsecond=0)

        def note(video_ids: Collection[str]) -> None:
            record((Discovered(each, ADOPTION, now, run_id=run_id) for each in video_ids), watchlist, vault)

        adoption = watchlist.old_tracker.adopt_videos(before=note)
        tracked = pluralize(watchlist.status.count(), "is", "are")
        message = f"Adopted {pluralize(adoption.adopted, 'video')} of the old tracker; {tracked} tracked now"
        if adoption.refused:
            rows = pluralize(adoption.refused, "row names no video", "rows name no video")
            message += f"; {rows}: see `python -m ghost_tracking refused list`"
    log.info(message)
    return message


def _let_go(form: Mapping[str, Any]) -> str:
    """Pause, stop, forget or resume what the form names, or show what that would do."""
    with WatchlistHook() as watchlist:
        vault = ParquetVaultHook(lock_timeout=float(read_settings().vault_lock_seconds))
        ready(watchlist, vault)
        return letting_go_form.from_form(
            form, LettingGo(watchlist, vault, progress=letting_go.logged()), vault.open_list
        )


def _sources(form: Mapping[str, Any]) -> tuple[list[Source], str]:
    document, origin = read_sources(form)
    return parse_sources(document, origin), origin


def _hunted(sources: Sequence[Source], assignment: Assignment) -> list[Source]:
    """The sources that a run hunts, in an order that all of its tasks agree on."""
    return [source for source in sources if assignment.all_sources or source.windowed]


def _is_one_off(form: Mapping[str, Any]) -> bool:
    return bool(form.get("sources") or form.get("videos"))


def _assignment(
    run_type: str,
    interval: tuple[datetime | None, datetime | None],
    form: Mapping[str, Any],
    now: datetime,
) -> Assignment:
    try:
        window = {
            name: parse_instant(form[name]) if form.get(name) else None for name in ("window_start", "window_end")
        }
        return assign(run_type, interval, window, now.replace(microsecond=0))
    except ValueError as error:
        raise BadInputError(f"the run's window cannot be used: {error}") from None


def _digest(sources: Sequence[Source]) -> str:
    return hashlib.sha256("\n".join(source.model_dump_json() for source in sources).encode()).hexdigest()[:16]


def _report(found: HuntResult) -> dict[str, Any]:
    hunted, ingested, refused = found.sources, found.ingested, found.refused
    for video_id in sorted(refused)[:_SHOWN]:
        log.warning("Refused %r: it cannot be the id of a video", video_id[:40])
    failed = [f"{each.source.label[:60]}: {each.failure.message[:160]}" for each in hunted if each.failure]
    failed += [f"metadata: {error.message[:160]}" for error in ingested.failures[:1]]
    gaps = [str(gap) for each in hunted for gap in each.gaps]
    return {
        "sources": len(hunted),
        "found": len({video_id for each in hunted for video_id in each.named}),
        "new": ingested.new,
        "known": ingested.known + sum(each.known for each in hunted),
        "missing": len(ingested.missing),
        "refused": len(refused),
        "left": found.left,
        "put_off": sum(1 for each in hunted if each.is_put_off),
        "failed": failed[:_SHOWN],
        "failed_count": len(failed),
        "lost_sources": sum(1 for each in hunted if each.failure and not isinstance(each.failure, QuotaExhaustedError)),
        "gaps": gaps[:_SHOWN],
        "gaps_count": len(gaps),
    }


def _label(report: Mapping[str, Any]) -> str:
    named = ("missing", "refused", "left")
    rest = [f"{report[name]:,} {name}" for name in named if report[name]]
    failed = [f"{report['failed_count']} failed"] if report["failed_count"] else []
    put_off = [f"{report['put_off']} put off"] if report["put_off"] else []
    return f"{pluralize(report['sources'], 'source')}: " + ", ".join(
        [f"{report['new']:,} new", f"{report['known']:,} known", *rest, *failed, *put_off]
    )


def _raise_failures(found: HuntResult) -> None:
    """A channel that is gone or an empty bucket is reported; what may go through next time makes the run red."""
    ingested = found.ingested
    failures = [(each.source.label, each.failure) for each in found.sources if each.failure]
    failures += [("metadata", error) for error in ingested.failures]
    passing = [(label, error) for label, error in failures if _is_passing(error)]
    if passing:
        label, error = passing[0]
        raise TransientError(
            f"{pluralize(len(passing), 'source')} failed, to be hunted again by the next run; {label}: {error.message}"
        )
    if ingested.is_fault:
        raise YouTubeFaultError(
            f"the metadata of {pluralize(len(ingested.missing), 'video')} was missing at once: treated as a fault of "
            "YouTube; they are on the schedule and will be read again within the hour"
        )


def _is_passing(error: GhostTrackingError) -> bool:
    return isinstance(error, TransientError) and not isinstance(error, QuotaExhaustedError)


def summary(
    why: str, reports: Sequence[Mapping[str, Any] | None] | None, imported: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the run did in all. Airflow runs this task only when nothing before it has failed.

    Raises PermanentError where every source of the run has failed, be each of them gone.
    """
    done = results(reports)
    names = ("sources", "found", "new", "known", "missing", "refused", "left", "put_off", "lost_sources")
    totals = {name: sum(report[name] for report in done) for name in names}
    failed = [reason for report in done for reason in report["failed"]]
    gaps = [gap for report in done for gap in report["gaps"]]
    for reason in failed:
        log.warning("A source failed: %s", reason)
    for gap in gaps:
        log.warning("Not read completely: %s", gap)
    message = (
        f"{why}. Found {totals['found']:,}: {totals['new']:,} new, {totals['known']:,} known, "
        f"{totals['refused']:,} refused, {totals['left']:,} left to the tracker. "
        f"{pluralize(sum(report['failed_count'] for report in done), 'source')} failed."
    )
    if totals["missing"]:
        message += f" {pluralize(totals['missing'], 'new one is', 'new ones are')} missing, to be read again."
    if totals["put_off"]:
        message += f" {pluralize(totals['put_off'], 'search waits', 'searches wait')} for later runs."
    if gaps:
        number = sum(report["gaps_count"] for report in done)
        message += f" {pluralize(number, 'window was', 'windows were')} not read completely: {'; '.join(gaps[:3])}."
    if imported:
        message += f" {imported['message']}"
    log.info(message)
    if totals["sources"] and totals["lost_sources"] == totals["sources"]:
        raise PermanentError(f"every source of the run failed: {'; '.join(failed[:3])}. {message}")
    return {"message": message, "failed": failed[:_SHOWN], "gaps": gaps[:_SHOWN], **totals}
