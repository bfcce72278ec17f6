"""The bodies of the hunter's tasks: plan, hunt, admit, verdict."""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ghost_tracking.core.budgets import Purse
from ghost_tracking.core.sources import (
    ChannelSource,
    ChartSource,
    PlaylistSource,
    SearchSource,
    Source,
    VideosSource,
    parse_sources,
)
from ghost_tracking.core.video_ids import is_video_id
from ghost_tracking.core.videos import Found, parse_instant
from ghost_tracking.core.windows import Assignment, Window, assign
from ghost_tracking.core.wording import counted
from ghost_tracking.errors import (
    BadInputError,
    BadSourcesError,
    ConfigurationError,
    PermanentError,
    QuotaExhaustedError,
    TransientError,
)
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.hooks.youtube import YouTubeHook
from ghost_tracking.settings import Settings, read_settings, read_sources
from ghost_tracking.tasks import admission, alerting
from ghost_tracking.tasks.body import Label, calling_youtube, calls, task_body
from ghost_tracking.tasks.hauls import Haul, bring_in
from ghost_tracking.tasks.reconciling import Reconciling
from ghost_tracking.tasks.tracker import Tracking

log = logging.getLogger(__name__)

_RESERVED_AT_A_TIME = 10
_SHOWN = 10


@task_body
def plan(
    run_type: str,
    interval: tuple[datetime | None, datetime | None],
    form: Mapping[str, Any],
    context: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Check what to hunt and share it out: `batches` (a token for each mapped task) and `why`."""
    settings = read_settings()
    if form.get("adopt_old_videos"):
        return {"batches": [], "why": _adopt(), "vault": ""}
    if admission.brings_list(form):
        vault = ParquetVaultHook()
        return {"batches": [], "vault": vault.identity(create=True), "why": admission.receive(form, vault)}
    sources, origin = _sources(form)
    assignment = _assignment(run_type, interval, form)
    with WatchlistHook(budgets=settings.quota) as watchlist:
        watchlist.migrate()
        vault = ParquetVaultHook()
        identity = vault.identity(create=True)
        if not Reconciling(watchlist, vault, datetime.now(UTC)).agree():
            log.warning(
                "The database is older than the vault (a restored backup?): trigger ghost_janitor, which puts back on "
                "the schedule what the vault has seen since"
            )
        # by the hunter too: a tracker that has stopped cannot tell
        alerting.watch(watchlist, vault, Tracking(watchlist, settings).quota(), settings, context or {})
    hunted = _hunted(sources, assignment)
    batches = min(settings.hunter_parallel_tasks, -(-len(hunted) // 10))
    window = assignment.window
    stretch = f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"
    why = f"{len(hunted)} of {counted(len(sources), 'source')} of {origin}, {stretch}"
    log.info(why)
    return {
        # the tasks read the sources again, and the digest tells them whether they are still the same
        "batches": [
            {
                "number": number,
                "of": batches,
                "digest": _digest(sources),
                "end": window.end.isoformat(),
                "vault": identity,
            }
            for number in range(batches)
        ],
        "why": why,
        "vault": identity,
    }


@task_body
def admit(run_type: str, vault: str) -> dict[str, Any]:
    """Admit videos of the lists in the inbox, as many as quota and SQL carry in this hour.

    `vault`: the identity of the one that `plan` saw, if any. A backfill admits none. What it leaves undone is the next
    run's.
    """
    if run_type == "backfill" or not vault:
        return {"message": "No list is admitted in such a run."}
    settings, inbox = read_settings(), ParquetVaultHook()
    inbox.check_identity(vault)
    with WatchlistHook(budgets=settings.quota) as watchlist:
        return admission.Admission(watchlist, inbox, settings).run()


@task_body
def hunt(
    token: Mapping[str, Any],
    run_type: str,
    interval: tuple[datetime | None, datetime | None],
    form: Mapping[str, Any],
    label: Label,
) -> dict[str, Any]:
    """Find the videos of some of the sources, write their metadata and schedule, stage their first points.

    A source that fails stops no other, and its watermark stays. One that is gone is reported; one that failed in
    passing is reported and raises a TransientError, after everything that was found is safe.
    """
    settings = read_settings()
    sources, _ = _sources(form)
    if _digest(sources) != token["digest"]:
        raise BadSourcesError("the sources were changed while the run was under way; the next run hunts the new ones")
    assignment = _assignment(run_type, interval, form, now=parse_instant(token["end"]))
    mine = _hunted(sources, assignment)[token["number"] :: token["of"]]
    vault = ParquetVaultHook()
    vault.check_identity(token["vault"])
    with WatchlistHook(budgets=settings.quota) as watchlist:
        # a refill may come from a thread of the hook's, while this one only waits for it
        purse = Purse(refill=lambda bucket: watchlist.quota.reserve(bucket, _RESERVED_AT_A_TIME))
        with calling_youtube(watchlist.quota, purse, settings) as youtube:
            haul = _find(mine, youtube, watchlist, assignment, settings, one_off=_is_one_off(form))
            bring_in(haul, youtube, watchlist, vault)
        watchlist.advance_watermarks(_completed(haul))
    report = _report(haul, len(mine)) | {"calls": calls(purse)}
    label(_label(report))
    _raise_failures(haul)
    return report


def _adopt() -> str:
    """Put the videos of an old tracker's table on the watchlist, and say how many."""
    with WatchlistHook() as watchlist:
        watchlist.migrate()
        adopted = watchlist.adopt_old_videos()
        tracked = counted(watchlist.count(), "is", "are")
        message = f"Adopted {counted(adopted, 'video')} of the old tracker; {tracked} tracked now"
    log.info(message)
    return message


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
    now: datetime | None = None,
) -> Assignment:
    try:
        window = {
            name: parse_instant(form[name]) if form.get(name) else None for name in ("window_start", "window_end")
        }
        return assign(run_type, interval, window, now or datetime.now(UTC).replace(microsecond=0))
    except ValueError as error:
        raise BadInputError(f"the run's window cannot be used: {error}") from None


def _digest(sources: Sequence[Source]) -> str:
    return hashlib.sha256("\n".join(source.model_dump_json() for source in sources).encode()).hexdigest()[:16]


def _find(
    sources: Sequence[Source],
    youtube: YouTubeHook,
    watchlist: WatchlistHook,
    assignment: Assignment,
    settings: Settings,
    *,
    one_off: bool,
) -> Haul:
    haul = Haul()
    if assignment.catches_up and not one_off:
        # a source that fails in its first run is hunted from there by the next one
        watchlist.begin_watermarks([source.key for source in sources if source.windowed], assignment.window.start)
    watermarks = watchlist.watermarks([source.key for source in sources])
    cap = timedelta(days=settings.hunter_catch_up_days)
    overlap = timedelta(minutes=settings.hunter_search_overlap_minutes) if assignment.catches_up else timedelta(0)
    for source in sources:
        window = assignment.window_of(watermarks.get(source.key), cap)
        if source.windowed and window.is_empty:
            continue
        try:
            found = _ask(source, youtube, window, overlap)
        except ConfigurationError:
            raise  # the key or a connection: no other source would fare better
        except (PermanentError, TransientError) as error:
            log.warning("%s failed: %s", source.label, error.message)
            haul.failed[source.label] = error
            continue
        ids = list(dict.fromkeys(each.video_id for each in found))
        haul.refused |= {video_id: "no video has such an id" for video_id in ids if not is_video_id(video_id)}
        haul.found[source.key] = [video_id for video_id in ids if is_video_id(video_id)]
        if source.windowed and assignment.catches_up and not one_off:
            haul.hunted_until[source.key] = window.end
        log.info("%s: %s", source.label, counted(len(ids), "video"))
    return haul


def _ask(source: Source, youtube: YouTubeHook, window: Window, overlap: timedelta) -> list[Found]:
    """What YouTube has from one source."""
    match source:
        case ChannelSource():
            return youtube.uploads(source.channel, window.start, window.end, pages=source.pages)
        case SearchSource():
            return youtube.search(
                window.start - overlap,
                window.end,
                query=source.search,
                region=source.region,
                language=source.language,
                category=source.category,
                channel_id=source.channel,
                pages=source.pages,
            )
        case PlaylistSource(every=True):
            return youtube.playlist(source.playlist, pages=source.pages)
        case PlaylistSource():
            return youtube.playlist(source.playlist, window.start, window.end, pages=source.pages)
        case ChartSource():
            return youtube.chart(source.region, category=source.category, pages=source.pages)
        case VideosSource():
            return [Found(video_id) for video_id in source.videos]


def _completed(haul: Haul) -> dict[str, datetime]:
    """How far each source has been hunted whose every video was answered for."""
    return {
        key: until for key, until in haul.hunted_until.items() if haul.unanswered.isdisjoint(haul.found.get(key, ()))
    }


def _report(haul: Haul, sources: int) -> dict[str, Any]:
    for video_id, reason in list(haul.refused.items())[:_SHOWN]:
        log.warning("Refused %s: %s", video_id[:40], reason)
    failed = [f"{label[:60]}: {error.message[:160]}" for label, error in haul.failed.items()]
    return {
        "sources": sources,
        "found": len(haul.ids),
        "new": haul.new,
        "known": haul.known,
        "refused": len(haul.refused),
        "left": len(haul.unanswered),
        "failed": failed[:_SHOWN],
        "failed_count": len(failed),
    }


def _label(report: Mapping[str, Any]) -> str:
    rest = [f"{report[name]:,} {name}" for name in ("refused", "left") if report[name]]
    failed = [f"{report['failed_count']} failed"] if report["failed_count"] else []
    return f"{counted(report['sources'], 'source')}: " + ", ".join(
        [f"{report['new']:,} new", f"{report['known']:,} known", *rest, *failed]
    )


def _raise_failures(haul: Haul) -> None:
    """A channel that is gone or an empty bucket is reported; what may go through next time makes the run red."""
    passing = {
        label: error
        for label, error in haul.failed.items()
        if isinstance(error, TransientError) and not isinstance(error, QuotaExhaustedError)
    }
    if passing:
        label, error = next(iter(passing.items()))
        raise TransientError(
            f"{counted(len(passing), 'source')} failed, to be hunted again next time; {label}: {error.message}"
        )


def verdict(
    why: str, reports: Iterable[Mapping[str, Any]] | None, admitted: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the run did in all. Airflow runs this task only when nothing before it has failed."""
    done = [report for report in reports or [] if report]
    totals = {name: sum(report[name] for report in done) for name in ("found", "new", "known", "refused", "left")}
    failed = [reason for report in done for reason in report["failed"]]
    for reason in failed:
        log.warning("A source failed: %s", reason)
    message = (
        f"{why}. Found {totals['found']:,}: {totals['new']:,} new, {totals['known']:,} known, "
        f"{totals['refused']:,} refused, {totals['left']:,} left for the next run. "
        f"{counted(len(failed), 'source')} failed."
    )
    if admitted:
        message += f" {admitted['message']}"
    log.info(message)
    return {"message": message, "failed": failed[:_SHOWN], **totals}
