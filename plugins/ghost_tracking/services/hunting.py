"""A hunt: sources are asked, what they name is put on the schedule, and how far they were hunted is noted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from ghost_tracking.core.budgets import Bucket
from ghost_tracking.core.discovery import search_allowance, search_holdback
from ghost_tracking.core.sources import ChannelSource, SearchSource, Source
from ghost_tracking.core.video_ids import is_video_id
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.services.discovery import Discovery, Hunted
from ghost_tracking.services.importing import spare_calls
from ghost_tracking.services.ingestion import IngestResult, ingest
from ghost_tracking.services.provenance import record
from ghost_tracking.settings import Settings


@dataclass(frozen=True)
class HuntResult:
    """What `sources` brought: what was `ingested`, ids that were `refused`, and how many were `left` to the tracker."""

    sources: Sequence[Hunted]
    ingested: IngestResult
    refused: set[str]
    left: int


def hunt(discovery: Discovery, sources: Sequence[Source]) -> HuntResult:
    """Ask these sources, and put what they name on the schedule; `finish` does what needs no more calls."""
    watchlist, settings = discovery.watchlist, discovery.settings
    hunted = discovery.ask(sources)
    refused = {id_ for each in hunted for id_ in each.ids if not is_video_id(id_)}
    wanted = [id_ for each in hunted for id_ in each.ids if id_ not in refused]
    record(discovery.discovered(hunted), watchlist, discovery.vault)
    watchlist.refused.note("sources", dict.fromkeys(refused, "cannot be the id of a video"))
    within = timedelta(seconds=settings.tracker_batch_seconds)
    ingested = ingest(wanted, discovery.youtube, watchlist, discovery.vault, within=within)
    return HuntResult(hunted, ingested, refused, len(ingested.pending))


def finish(discovery: Discovery, found: HuntResult) -> None:
    """Leave to the tracker what had no answer, then note how far the sources were hunted."""
    named = [id_ for each in found.sources for id_ in each.ids if id_ not in found.refused]
    found.ingested.schedule_pending(named, discovery.watchlist)
    discovery.note(found.sources)


def search_calls(hunted: Sequence[Source], watchlist: Schedule, run_type: str) -> int:
    """Calls of searches that a run may send.

    One that somebody triggers gets half of what is left at most, and leaves the scheduled runs their holdback.
    """
    balance, day = watchlist.quota.balances()[Bucket.SEARCH], watchlist.quota.today()
    left = balance.left()
    if run_type != "scheduled":
        return min(-(-left // 2), balance.left(holdback(watchlist, Bucket.SEARCH, run_type)))
    return search_allowance(left, sum(each.pages for each in hunted if isinstance(each, SearchSource)), day)


def holdback(watchlist: Schedule, bucket: Bucket, run_type: str) -> int:
    """Calls that a run leaves of a bucket, whatever was planned: several runs of a backfill go on at a time."""
    if run_type == "scheduled" or bucket is not Bucket.SEARCH:
        return 0
    return search_holdback(watchlist.quota.balances()[bucket].budget, watchlist.quota.today())


def past_calls(mine: Sequence[Source], watchlist: Schedule, settings: Settings) -> int:
    """Pages of channels' past that may be read now, where any is wanted."""
    if not any(isinstance(source, ChannelSource) and source.every for source in mine):
        return 0
    return spare_calls(watchlist, settings)
