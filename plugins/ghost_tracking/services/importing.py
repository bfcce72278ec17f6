"""Importing: lists wait in the vault's import queue, and come in at the rate that quota and SQL carry."""

import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, BinaryIO, TypeAlias

from ghost_tracking.core.budgets import IDS_PER_CALL, Bucket, CallBudget, calls_for
from ghost_tracking.core.decoding import decoded_lines
from ghost_tracking.core.origins import Discovered, Place, origin_of_list
from ghost_tracking.errors import BadInputError, QuotaExhaustedError
from ghost_tracking.postgres.quota import QuotaLedger
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.services.ingestion import IngestResult, ingest
from ghost_tracking.services.provenance import record
from ghost_tracking.services.quota_status import calls_sent, read_quota_status
from ghost_tracking.settings import Settings
from ghost_tracking.vault import Vault
from ghost_tracking.vault.reports import Waiting
from ghost_tracking.wording import pluralize
from ghost_tracking.youtube import YouTubeClient

CallingYouTube: TypeAlias = Callable[[QuotaLedger, CallBudget, Settings], AbstractContextManager[YouTubeClient]]

log = logging.getLogger(__name__)

_TRICKLE = 10
"""Calls an hour of the hunter's holdback: a list goes on, slowly, where tracking needs all that there is."""


OpenList: TypeAlias = Callable[[str], BinaryIO]
"""Opens the file of a list by its name. Raises BadInputError for one that may not be read."""


def brings_list(form: Mapping[str, Any]) -> bool:
    """Whether the hunter's form has a list for the import queue."""
    return bool((form.get("list") or "").strip() or (form.get("list_file") or "").strip())


def submit(form: Mapping[str, Any], vault: Vault, open_list: OpenList) -> str:
    """Take the list of the hunter's form, or the file that it names, into the import queue; returns a sentence on it.

    Bad lines are in the log, with their numbers. Raises BadInputError where the file cannot be read, or may not be:
    see `ParquetVaultHook.open_list`.
    """
    name = (form.get("list_name") or "").strip() or None
    column = (form.get("list_column") or "").strip() or None
    with lines_of(form, open_list) as lines:
        report = vault.import_queue.submit(
            lines, name, column, lambda read, found: log.info("Read %s lines: %s videos", f"{read:,}", f"{found:,}")
        )
    for bad in report.bad_lines:
        log.warning("Bad %s", bad)
    if report.bad > len(report.bad_lines):
        log.warning(
            "and %s more bad lines. List them all: python -m ghost_tracking list bad %s", report.bad, report.name
        )
    if not report.ids:
        raise BadInputError(f"the list has no video in it: {'; '.join(map(str, report.bad_lines)) or 'it is empty'}")
    shown = f" (the first: {report.bad_lines[0]})" if report.bad_lines else ""
    message = (
        f"List {report.name}: {pluralize(report.ids, 'video')}, {report.new:,} of them new to the queue; "
        f"{pluralize(report.duplicates, 'duplicate')}, {pluralize(report.bad, 'bad line')}{shown}"
    )
    log.info(message)
    return message


@contextmanager
def lines_of(form: Mapping[str, Any], open_list: OpenList) -> Iterator[Iterator[str]]:
    """The lines of the form's list, or of the file that it names, as they stream in; BadInputError where it cannot."""
    file = (form.get("list_file") or "").strip()
    if not file:
        yield iter(io.StringIO(form["list"]))
        return
    with open_list(file) as stream:
        yield decoded_lines(stream)


@dataclass(frozen=True)
class ListImport:
    """Bring in what waits in the import queue; `now` (aware; None: the clocks) decides what quota there is.

    `calling_youtube`: gives a client that pays from a budget, and gives back what it did not send. `run_id`: the run
    that this is done for.
    """

    watchlist: Schedule
    vault: Vault
    settings: Settings
    calling_youtube: CallingYouTube
    now: datetime | None = None
    run_id: str | None = None

    def run(self) -> dict[str, Any]:
        """Import as many videos as the hour carries: `message` and counts. What is left waits for the next run."""
        left = sum(each.ids - each.imported for each in self.vault.import_queue.lists())
        if not left:
            return _said("No list is waiting")
        allowed, why = self.allowed()
        if not allowed:
            return _said(f"{pluralize(left, 'video waits', 'videos wait')} in the import queue; {why}")
        total = IngestResult()
        budget = CallBudget(
            {Bucket.GENERAL: self.watchlist.quota.reserve(Bucket.GENERAL, calls_for(allowed), now=self.now)}
        )
        within = timedelta(seconds=self.settings.tracker_batch_seconds)
        with self.calling_youtube(self.watchlist.quota, budget, self.settings) as youtube:
            for waiting in self.vault.import_queue.waiting(allowed):
                record(self._discovered(waiting), self.watchlist, self.vault)
                ingested = ingest(waiting.ids, youtube, self.watchlist, self.vault, within=within, now=self.now)
                ingested.schedule_pending(_passed_over(waiting.ids, ingested), self.watchlist)
                done = next(
                    (place for place, video_id in enumerate(waiting.ids) if video_id in ingested.pending),
                    len(waiting.ids),
                )
                self.vault.import_queue.mark_imported(waiting.name, waiting.start + done)
                left -= done
                total.add(ingested)
                if done < len(waiting.ids):
                    break
        missing = f", {len(total.missing):,} of them missing, to be read again" if total.missing else ""
        message = (
            f"Imported from the queue: {total.new:,} new{missing}; {total.known:,} known; "
            f"{pluralize(left, 'waits', 'wait')} for the next runs ({why})"
        )
        failures = [error for error in total.failures if not isinstance(error, QuotaExhaustedError)]
        if failures:
            raise failures[0]
        return _said(message) | {"new": total.new, "known": total.known, "waiting": left, "calls": calls_sent(budget)}

    def _discovered(self, waiting: Waiting) -> Iterator[Discovered]:
        """Where these stand in their list, which has no pages."""
        origin, at = origin_of_list(waiting.name), self.now or self.watchlist.now()
        for place, video_id in enumerate(waiting.ids, waiting.start + 1):
            yield Discovered(video_id, origin, at.replace(microsecond=0), Place(place), self.run_id)

    def allowed(self) -> tuple[int, str]:
        """How many videos may be imported now, and in words what decides that."""
        size = self.watchlist.status.database_bytes()
        if size > self.settings.import_sql_megabytes * 1_000_000:
            return 0, (
                f"the database occupies {size / 1e6:,.0f} MB, more than the setting import_sql_megabytes: the janitor "
                "frees space as videos settle"
            )
        calls_now = spare_calls(self.watchlist, self.settings, self.now)
        most = min(calls_now * IDS_PER_CALL, self.settings.import_videos_a_run)
        return most, f"up to {most:,} a run" if calls_now > _TRICKLE else "slowly, since tracking needs the quota"


def _passed_over(video_ids: Sequence[str], ingested: IngestResult) -> list[str]:
    """Those without an answer that others with one come after: one call of many has failed, and the list goes on."""
    last = max((place for place, each in enumerate(video_ids) if each not in ingested.pending), default=0)
    return [each for each in video_ids[:last] if each in ingested.pending]


def spare_calls(watchlist: Schedule, settings: Settings, now: datetime | None = None) -> int:
    """Calls that this hour's run may spend on what has time: those that tracking does not need, a few at least."""
    quota = read_quota_status(watchlist, settings, now=now)
    spare = int(quota.left - quota.calls_due - quota.demand * (quota.day.remaining / quota.day.length))
    return max(spare, _TRICKLE)


def _said(message: str) -> dict[str, Any]:
    log.info(message)
    return {"message": f"{message}."}
