"""The bodies of the janitor's tasks: let_go, archive, clean, move_to_roster, seal, compact, expire, check, summary."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ghost_tracking.errors import GhostTrackingError, PermanentError, TransientError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services import auditing, letting_go
from ghost_tracking.services.deployment import adopt, ready, ready_to_look
from ghost_tracking.services.letting_go import LettingGo
from ghost_tracking.services.rebuild import RebuildReport
from ghost_tracking.services.recovery import ScheduleReconciler
from ghost_tracking.services.roster_moves import RosterMoves
from ghost_tracking.settings import read_settings
from ghost_tracking.tasks.body import task_body
from ghost_tracking.vault.metadata_reports import ArchiveReport
from ghost_tracking.vault.reports import VerifyReport
from ghost_tracking.wording import pluralize

log = logging.getLogger(__name__)

_POINTS_TOLD = 5_000_000


@task_body
def let_go(*, dry_run: bool, adopt_vault: bool = False) -> dict[str, Any]:
    """Carry out what is left of pausing, stopping and forgetting; both lists are the same then. See `letting_go`.

    Before anything is moved or rebuilt: a restored backup of the database or the vault brings nothing back. With
    `adopt_vault` the vault that is there becomes the database's own first, whichever it had; not in a dry run.
    """
    vault = _vault()
    with WatchlistHook() as watchlist:
        adopted = f"{adopt(watchlist, vault)}. " if adopt_vault and not dry_run else ""
        _ready(watchlist, vault, dry_run=dry_run)
        if adopted:
            log.warning(adopted)
        work = LettingGo(watchlist, vault, progress=letting_go.logged())
        if dry_run:
            differing = pluralize(work.unite(dry_run=True), "entry", "entries")
            return _said(f"Dry run: the lists of videos that were let go differ in {differing}")
        done = work.look_after().as_dict()
        return done | {"message": f"{adopted}{done['message']}"}


@task_body
def archive(*, dry_run: bool) -> dict[str, Any]:
    """Bring what is staged of metadata, of who is gone or back, and of where videos came from, into the vault.

    With `dry_run` only count the metadata.
    """
    vault = _vault()
    with WatchlistHook() as watchlist:
        identity = _ready(watchlist, vault, dry_run=dry_run)
    report = vault.archive_videos(dry_run=dry_run)
    message = f"{'Dry run: would archive' if dry_run else 'Archived'} {_archived(report)}"
    if not dry_run:
        events = vault.publish_availability()
        message += f"; {pluralize(events.rows_added, 'video')} gone or back"
        named = vault.publish_discoveries()
        if named.rows_added:
            message += f"; {pluralize(named.rows_added, 'discovery', 'discoveries')} that hunters had left"
        report = replace(report, problems=(*report.problems, *events.problems, *named.problems))
    log.info(message)
    return report.as_dict() | {"message": message, "vault": identity}


@task_body
def clean(*, dry_run: bool, retention_days: int | None, vault: str | None = None) -> dict[str, Any]:
    """Archive and delete metadata past its retention, never the watchlist; with `dry_run` only count it.

    `vault`: the identity of the one that `archive` used, which this worker has to see too.
    """
    settings = read_settings()
    days = retention_days or settings.metadata_retention_days
    archive = _Archive(_vault())
    with WatchlistHook(budgets=settings.quota) as watchlist:
        _ready(watchlist, archive.vault, vault, dry_run=dry_run)
        report = watchlist.videos.delete_old(days, dry_run=dry_run, archive=archive.take)
        if dry_run:
            archive.compare(watchlist.videos.due_for_deletion(days))
        forgotten = 0
        if not dry_run:
            forgotten = watchlist.quota.forget_old()
            watchlist.watermarks.forget_old_gaps()
            watchlist.coverage.forget_old()
            watchlist.audits.forget_old()
            auditing.close_open(watchlist, archive.vault)
        watched = watchlist.status.count()
    if report.unwatched:
        log.warning(
            "%s of these videos are not on the watchlist and no longer tracked. If they come from an old tracker, run "
            "ghost_hunter with `adopt_old_videos`: see docs/operate.md, Migration from an old tracker",
            f"{report.unwatched:,}",
        )
    verb = "Dry run: would delete" if dry_run else "Deleted"
    message = (
        f"{verb} the metadata of {pluralize(report.deleted, 'video')} discovered more than {pluralize(days, 'day')} "
        f"ago; {pluralize(report.kept, 'keeps its own', 'keep theirs')}, {pluralize(watched, 'is', 'are')} still "
        f"tracked. Of these rows, the archive {'would now take' if dry_run else 'took'} {_archived(archive.report)}"
    )
    log.info(message)
    return {
        "message": message,
        "dry_run": dry_run,
        "retention_days": days,
        "deleted": report.deleted,
        "changed": report.changed,
        "archived": archive.report.as_dict(),
        "kept": report.kept,
        "unwatched": report.unwatched,
        "oldest": report.oldest.isoformat() if report.oldest else None,
        "watched": watched,
        "quota_lines_deleted": forgotten,
    }


@task_body
def move_to_roster(*, dry_run: bool, vault: str | None = None) -> dict[str, Any]:
    """Move settled videos, and those that are gone, from the watchlist to the roster's chunks.

    `vault`: as for `clean`. Ids that are written where the trackers cannot see them would be tracked by nobody.
    """
    if dry_run:
        return _said("Dry run: nothing was moved to the roster")
    settings, store = read_settings(), _vault()
    with WatchlistHook(budgets=settings.quota) as watchlist:
        ready(watchlist, store, vault)
        now = watchlist.now()
        # what somebody has let go is not put back by what follows
        LettingGo(watchlist, store).unite()
        problems, restored = list[str](), None
        try:
            restored = _reconcile(ScheduleReconciler(watchlist, store, now))
        except PermanentError as error:  # what has settled meanwhile moves all the same
            problems.append(error.message)
        moves = RosterMoves(watchlist, store, now)
        report = moves.move_settled()
        report.deleted = moves.sweep(timedelta(days=settings.roster_keep_days))
    message = (
        f"Moved {pluralize(report.moved, 'video')} to the roster, {report.gone:,} of them gone, in "
        f"{pluralize(report.chunks, 'new chunk')}; {pluralize(report.retired, 'chunk was', 'chunks were')} merged, "
        f"{pluralize(report.deleted, 'old file')} deleted"
    )
    if restored is not None:
        back = pluralize(restored.restored, "video is", "videos are")
        message = (
            f"The database was older than the vault: of {pluralize(restored.compared, 'video')} there, {back} back on "
            f"the schedule. {message}"
        )
    problems += [problem for problem in report.problems if problem not in problems]
    if problems:
        raise PermanentError(f"{message}; {pluralize(len(problems), 'problem')}: {'; '.join(problems[:3])}")
    return _said(message) | report.as_dict() | {"restored": restored and restored.restored}


def _reconcile(reconciler: ScheduleReconciler) -> RebuildReport | None:
    """What was put back on the schedule; None where database and vault belong together."""
    if reconciler.in_sync():
        return None
    log.warning(
        "The database is older than the vault, or another one (a restored backup?): comparing the schedule with the "
        "vault"
    )
    return reconciler.reconcile()


@task_body
def seal(*, dry_run: bool) -> dict[str, Any]:
    """Close the hours that are over: prove that the vault has every staged point, then delete the parts."""
    if dry_run:
        return _said("Dry run: nothing was sealed")
    vault, now = _vault_now()
    report = vault.seal(now)
    for problem in report.published.problems:
        log.error(problem)
    message = f"Sealed {pluralize(len(report.sealed), 'hour')}, deleted {pluralize(report.parts_deleted, 'part')}"
    log.info(message)
    if report.published.failed:
        raise TransientError(f"{message}; {'; '.join(report.published.problems[:3])}")
    if report.unverified or report.published.quarantined or report.published.rebuilt:
        raise PermanentError(f"{message}; the vault has broken files: {'; '.join(report.published.problems[:3])}")
    return report.as_dict() | {"message": message}


@task_body
def compact(*, dry_run: bool) -> dict[str, Any]:
    """Put closed days, and then months, into the history by video, and bring the newest points up to it.

    TransientError for what could not be.
    """
    if dry_run:
        return _said("Dry run: nothing was compacted")
    settings = read_settings()
    vault, now = _vault_now()
    report = vault.compact(now, months=settings.compacts_months, keep_hours=settings.vault_keep_hours)
    rebuilt = _rebuild_gains()
    periods = ", ".join(map(str, report.compacted)) or "nothing"
    message = f"Compacted {periods}: {pluralize(report.points, 'point')}, {pluralize(report.bytes, 'byte')}"
    if report.hours_deleted:
        dropped = pluralize(report.hours_deleted, "hourly file was", "hourly files were")
        message += f"; {dropped} deleted, since the history has the points"
    message += rebuilt
    newest = vault.refresh_latest()
    if newest.shards:
        written = pluralize(newest.shards, "file")
        message += f". Refreshed the newest points of {pluralize(newest.videos, 'video')}, in {written}"
    problems = (*report.problems, *newest.problems)
    if problems:
        raise TransientError(f"{message}; {'; '.join(problems[:3])}")
    return _said(message) | report.as_dict() | {"shards": newest.shards}


def _rebuild_gains() -> str:
    """Make the gains of the last days from the points where the movers lack them: a sentence's end about it.

    As of now: compacting may have taken hours, in which trackers went on. Where it fails, the compaction stays a
    success, and the next run tries again.
    """
    told = 0

    def progress(points: int) -> None:
        nonlocal told
        if points >= told + _POINTS_TOLD:
            told = points
            log.info("Making the gains of the last days: %s points read", f"{points:,}")

    try:
        vault, now = _vault_now()
        if not (vault.prepared.gains_begin_late(now) or vault.prepared.lost_gains()):
            return ""
        points = vault.prepared.rebuild_gains(now, progress)
    except (GhostTrackingError, OSError) as error:
        log.error("The gains that movers are made of could not be made: %s", error)
        return f"; the gains that movers are made of could not be made: {error}"
    return f"; the gains of the last days, which movers are made of, come from {pluralize(points, 'point')} now"


@task_body
def expire(*, dry_run: bool) -> dict[str, Any]:
    """Delete what is older than the setting vault_retention_days from the vault; without it, nothing.

    A number of days that the run before has not met is only announced, with what it would delete.
    """
    days = read_settings().vault_retention_days
    if days is None:
        if not dry_run:
            _vault().forget_retention()
        return _said("The vault keeps everything for ever")
    vault, now = _vault_now(dry_run=dry_run)
    cutoff = now - timedelta(days=days)
    announced = dry_run or not vault.retention_was_announced(days)
    points = vault.expire(cutoff, dry_run=announced)
    videos = vault.expire_videos(cutoff, dry_run=announced)
    done = "would be deleted" if announced else "deleted"
    message = (
        f"Older than {pluralize(days, 'day')}: {pluralize(points.hours, 'hour')} with "
        f"{pluralize(points.points, 'point')}, "
        f"{pluralize(points.history_points, 'point')} of the history and the metadata of "
        f"{pluralize(videos.videos + videos.staged, 'video')} {done}"
    )
    if announced and not dry_run:
        message += " by the next run: to prevent that, change vault_retention_days before it starts"
        log.warning(message)
    problems = (*points.problems, *videos.problems)
    if problems:
        raise TransientError(f"{message}; {'; '.join(problems[:3])}")
    return _said(message) | points.as_dict() | {"videos": videos.videos}


@task_body
def check(*, dry_run: bool, what: str) -> dict[str, Any]:
    """Prove the last two days and the files whose turn it is (`recent`), or `everything`, also after a `repair`.

    Measures the layers for the page as well. PermanentError for everything that is not as it should be.
    """
    vault, now = _vault_now(dry_run=dry_run)
    repaired = ""
    if not dry_run:
        vault.measure()
    if what == "repair" and not dry_run:
        report = vault.repair()
        repaired = (
            f"Restored {pluralize(len(report.restored), 'hour')} and {pluralize(len(report.recompacted), 'period')}, "
            f"quarantined {pluralize(len(report.quarantined), 'file')}, rewrote {pluralize(report.shards, 'file')} of "
            "the newest points. "
        )
        for sentence in (*report.lost, *report.problems):
            log.error(sentence)
    found = _verified(vault, now, dry_run=dry_run, what=what)
    hours, periods = pluralize(found.hours, "hour"), pluralize(found.periods, "period")
    message = (
        f"{repaired}Compared {pluralize(found.points, 'point')} of {hours} and {periods} of the history; "
        f"{pluralize(found.files, 'file')} of {pluralize(found.bytes, 'byte')} proven to be as written"
    )
    if found.problems:
        raise PermanentError(
            f"{message}: {pluralize(len(found.problems), 'problem')}, which a run with the check 'repair' fixes as far "
            f"as any layer has the points: {'; '.join(found.problems[:3])}"
        )
    since = vault.proven_since()
    proven = "not all points, metadata, events and discoveries have been proven yet"
    if since is not None:
        proven = f"all points, metadata, events and discoveries were proven since {since}"
    return _said(f"{message}; {proven}") | found.as_dict() | {"proven_since": since and since.isoformat()}


def _verified(vault: ParquetVaultHook, now: datetime, *, dry_run: bool, what: str) -> VerifyReport:
    """What verifying found; what it has proven is noted, but for a dry run, which only looks at the last two days."""
    if what == "recent":
        return vault.verify(start=now - timedelta(days=2)) if dry_run else vault.verify_share(now)
    found = vault.verify()
    if not (found.problems or dry_run):
        vault.note_verified(now)
    return found


def summary(archived: Mapping[str, Any], *others: Mapping[str, Any]) -> dict[str, Any]:
    """What the run did in all. PermanentError where metadata was set aside: what could be archived is archived."""
    message = " ".join(f"{each['message']}." for each in (archived, *others))
    log.info(message)
    if archived["problems_count"]:
        raise PermanentError(f"{message} Staged metadata is broken: {'; '.join(archived['problems'][:3])}")
    return {"message": message}


def _said(message: str) -> dict[str, Any]:
    log.info(message)
    return {"message": message}


class _Archive:
    """The vault as `Videos.delete_old` needs it, and what it did with all the rows."""

    def __init__(self, vault: ParquetVaultHook) -> None:
        self.report = ArchiveReport()
        self.vault = vault

    def take(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Hold these rows durably, or say that they and all after them stay in the database, and raise."""
        try:
            self._add(self.vault.archive_videos(rows))
        except (OSError, GhostTrackingError) as error:
            log.error("The vault cannot store this batch of metadata; it and all later ones are not deleted: %s", error)
            raise

    def compare(self, batches: Iterable[Sequence[Mapping[str, Any]]]) -> None:
        """Count what would be archived."""
        for rows in batches:
            self._add(self.vault.archive_videos(rows, dry_run=True))

    def _add(self, report: ArchiveReport) -> None:
        self.report = ArchiveReport.combined([self.report, report])


def _vault() -> ParquetVaultHook:
    return ParquetVaultHook(lock_timeout=float(read_settings().vault_lock_seconds))


def _ready(
    watchlist: WatchlistHook, vault: ParquetVaultHook, expected: str | None = None, *, dry_run: bool
) -> str | None:
    """As `ready`; a dry run, which notes nothing, gets no identity to hand on."""
    if not dry_run:
        return ready(watchlist, vault, expected)
    ready_to_look(watchlist, vault, expected)
    return None


def _vault_now(*, dry_run: bool = False) -> tuple[ParquetVaultHook, datetime]:
    """The vault, once it is sure to be the right one, and the present by the database's clock."""
    vault = _vault()
    with WatchlistHook() as watchlist:
        _ready(watchlist, vault, dry_run=dry_run)
        return vault, watchlist.now()


def _archived(report: ArchiveReport) -> str:
    return f"{report.added:,} new, {report.changed:,} changed; {report.unchanged:,} already there"
