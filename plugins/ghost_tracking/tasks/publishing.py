"""The body of the task that publishes what was staged; the hunter and the tracker share it."""

import logging
from collections.abc import Mapping
from typing import Any

from airflow.sdk.lineage import get_hook_lineage_collector

from ghost_tracking.errors import PermanentError, TransientError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services.deployment import ready
from ghost_tracking.services.movers import prepare
from ghost_tracking.settings import read_settings
from ghost_tracking.tasks import metrics
from ghost_tracking.tasks.body import task_body
from ghost_tracking.wording import pluralize

log = logging.getLogger(__name__)


@task_body
def publish(*, prepares: bool = False, discoveries: bool = False) -> dict[str, Any]:
    """Merge into the vault whatever is staged, also what an earlier run left.

    With `prepares`, prepare what the page shows then, for which events of availability are published; what is wrong
    with the figures is logged and in the report, and fails nothing. With `discoveries`, publish what sources named.
    What another publisher is just writing stays staged for the next run, and is no failure. Raises after everything
    that could be published is: TransientError for hours and days that could not be written, PermanentError for broken
    files, events and discoveries.
    """
    vault = ParquetVaultHook(lock_timeout=float(read_settings().vault_lock_seconds))
    with WatchlistHook() as watchlist:
        ready(watchlist, vault)
        report = vault.publish()
        named = vault.publish_discoveries() if discoveries else None
        prepared = prepare(watchlist, vault) if prepares else None
    lineage = get_hook_lineage_collector()
    for partition in report.written:
        lineage.add_output_asset(context=vault, uri=vault.uri_of(partition))
    metrics.gauge("points_published", report.points_added)
    if report.busy:
        busy = pluralize(len(report.busy), "hour")
        log.warning("Another publisher is writing %s; the parts stay staged for the next run", busy)
    log.info("Published %s into %s", pluralize(report.points_added, "point"), pluralize(len(report.written), "hour"))
    for problem in report.problems:
        log.error(problem)
    if named is not None:
        log.info("Published %s of what sources named", pluralize(named.rows_added, "row"))
    if report.failed:
        raise TransientError(
            f"{pluralize(len(report.failed), 'hour')} could not be published: {'; '.join(report.problems[:3])}"
        )
    if report.quarantined or report.rebuilt:
        raise PermanentError(f"the vault has broken files, set aside: {'; '.join(report.problems[:3])}")
    if prepared is not None and prepared.quarantined:
        raise PermanentError(f"the vault has broken events, set aside: {'; '.join(prepared.quarantined[:3])}")
    if named is not None and named.quarantined:
        raise PermanentError(f"the vault has broken discoveries, set aside: {'; '.join(named.problems[:3])}")
    if named is not None and named.problems:
        raise TransientError(f"discoveries could not be published: {'; '.join(named.problems[:3])}")
    return (
        report.as_dict()
        | ({"discoveries": named.as_dict()} if named is not None else {})
        | ({} if prepared is None else {"prepared": prepared.as_dict()})
    )


def event(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the event of the asset `ghost_metrics` carries: the partitions that were written, and how many points."""
    return {
        "partitions": report["written"],
        "partitions_count": report["written_count"],
        "points": report["points_added"],
    }
