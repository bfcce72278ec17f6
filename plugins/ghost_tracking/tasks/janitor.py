"""The bodies of the janitor's tasks: clean, seal, verdict."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ghost_tracking.errors import PermanentError, TransientError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.settings import read_settings
from ghost_tracking.tasks.body import task_body

log = logging.getLogger(__name__)


@task_body
def clean(*, dry_run: bool, retention_days: int | None) -> dict[str, Any]:
    """Delete metadata past its retention, never the watchlist; with `dry_run` only count it."""
    settings = read_settings()
    days = retention_days or settings.metadata_retention_days
    with WatchlistHook(budgets=settings.quota) as watchlist:
        watchlist.migrate()
        report = watchlist.run_janitor(days, dry_run=dry_run)
        forgotten = 0 if dry_run else watchlist.forget_old_quota()
        watched = watchlist.count()
    if report.unwatched:
        log.warning(
            "%s of these videos are not on the watchlist: nobody tracks them any more. Videos of an old tracker are "
            "put there by the command in the README, Migration",
            f"{report.unwatched:,}",
        )
    verb = "would delete" if dry_run else "deleted"
    message = (
        f"{'Dry run: ' if dry_run else ''}{verb} the metadata of {report.deleted:,} videos discovered more than {days} "
        f"days ago; {report.kept:,} keep theirs, {watched:,} are tracked on"
    )
    log.info(message)
    return {
        "message": message,
        "dry_run": dry_run,
        "retention_days": days,
        "deleted": report.deleted,
        "kept": report.kept,
        "unwatched": report.unwatched,
        "oldest": report.oldest.isoformat() if report.oldest else None,
        "watched": watched,
        "quota_lines_deleted": forgotten,
    }


@task_body
def seal(*, dry_run: bool) -> dict[str, Any]:
    """Close the hours that are over: prove that the vault has every staged point, then delete the parts."""
    if dry_run:
        log.info("Dry run: nothing is sealed")
        return {"message": "Dry run: nothing was sealed"}
    report = ParquetVaultHook(lock_timeout=float(read_settings().vault_lock_seconds)).seal(datetime.now(UTC))
    for problem in report.published.problems:
        log.error(problem)
    message = f"Sealed {len(report.sealed)} hours, deleted {report.parts_deleted:,} parts"
    log.info(message)
    if report.published.failed:
        raise TransientError(f"{message}; {'; '.join(report.published.problems[:3])}")
    if report.unverified or report.published.quarantined or report.published.rebuilt:
        raise PermanentError(f"{message}; the vault has broken files: {'; '.join(report.published.problems[:3])}")
    return report.as_dict() | {"message": message}


def verdict(cleaned: Mapping[str, Any], sealed: Mapping[str, Any]) -> dict[str, Any]:
    """What the run did in all."""
    message = f"{cleaned['message']}. {sealed['message']}."
    log.info(message)
    return {"message": message}
