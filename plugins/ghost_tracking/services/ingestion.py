"""Ingestion: videos that sources or a list have named, and how they are put on the schedule."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from more_itertools import chunked

from ghost_tracking.core.absence import is_fault
from ghost_tracking.core.coverage import count_first_readings
from ghost_tracking.core.roster import has_settled
from ghost_tracking.core.schedule import WatchlistEntry, after_miss, entry_of_discovery
from ghost_tracking.core.videos import Video
from ghost_tracking.errors import GhostTrackingError
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.services.roster_moves import RosterMoves
from ghost_tracking.vault import Vault
from ghost_tracking.youtube import YouTubeClient
from ghost_tracking.youtube.results import BatchResult

_VIDEOS_A_TRANSACTION = 1_000
_LONGEST_TRANSACTION = timedelta(seconds=120)


@dataclass
class IngestResult:
    """What became of videos that were named.

    `new`: put on the schedule now, `known`: there already, or let go by somebody. `missing`: those of the new ones
    whose metadata did not come back: they are looked at again, and absence decides. `pending`: not on the schedule,
    since YouTube was not asked, or did not answer. `failures`: why. `is_fault`: so much was missing at once that
    YouTube is at fault.
    """

    known: int = 0
    new: int = 0
    missing: set[str] = field(default_factory=set)
    pending: set[str] = field(default_factory=set)
    failures: list[GhostTrackingError] = field(default_factory=list)
    is_fault: bool = False

    def schedule_pending(self, video_ids: Collection[str], watchlist: Schedule) -> None:
        """Put those of these videos on the schedule for which YouTube gave no answer, due at once.

        Whatever becomes of their source meanwhile, they are not lost: the tracker's first reading has their metadata.
        """
        ids = self.pending & set(video_ids)
        self.new += len(watchlist.entries.add(sorted(ids)))
        self.pending -= ids

    def add(self, other: "IngestResult") -> None:
        """Count what became of others as well."""
        self.known += other.known
        self.new += other.new
        self.missing |= other.missing
        self.pending |= other.pending
        self.failures += other.failures
        self.is_fault = self.is_fault or other.is_fault


def ingest(
    video_ids: Collection[str],
    youtube: YouTubeClient,
    watchlist: Schedule,
    vault: Vault,
    *,
    within: timedelta | None = None,
    now: datetime | None = None,
) -> IngestResult:
    """Put videos on the schedule that are not there yet, with their metadata and first points; each once.

    Young videos get metadata and schedule in SQL; old ones, at the end and all at once, a place on the roster, and
    their metadata goes to the archive: in SQL they would only pass through. One whose metadata does not come back gets
    its place too, as missed. `now` (None: the present) tells their ages; `within`: what asking for a thousand may take.
    """
    present, settled, ingested = now or watchlist.now(), list[WatchlistEntry](), IngestResult()
    premieres: dict[str, datetime] = {}
    for ids in chunked(dict.fromkeys(video_ids), _VIDEOS_A_TRANSACTION):
        # those that somebody has let go have no place, and are not to have one
        known = watchlist.entries.known(ids) | watchlist.let_go.among(ids)
        ingested.known += len(known)
        answer = youtube.metadata([video_id for video_id in ids if video_id not in known], within=within)
        ingested.pending |= answer.pending
        ingested.failures += answer.failures
        missed = _missed(answer, present, ingested)
        entries = {video.id: entry_of_discovery(video.reading) for video in answer.found.values()}
        old = [video for video in answer.found.values() if has_settled(entries[video.id], present)]
        young = [video for video in answer.found.values() if not has_settled(entries[video.id], present)]
        new = _write_young(young, missed, entries, watchlist, vault)
        ingested.new += new
        ingested.known += len(young) + len(missed) - new
        vault.stage_videos(old, watchlist.videos.discovery_time())
        vault.stage([video.reading.point for video in old])
        settled += [entries[video.id] for video in old]
        premieres |= {video.id: moment for video in old if (moment := _published_before_start(video)) is not None}
    moves = RosterMoves(watchlist, vault, present)
    there = moves.at_publish_hour(premieres) if premieres else set()
    moved = moves.move_found(entry for entry in settled if entry.video_id not in there)
    ingested.new += moved
    ingested.known += len(settled) - moved
    return ingested


def _published_before_start(video: Video) -> datetime | None:
    """The publish time of a premiere or broadcast, whose anchor is another one; None for other videos."""
    return video.reading.published_at if video.reading.starts_at is not None else None


def _missed(answer: BatchResult[Video], at: datetime, ingested: IngestResult) -> list[WatchlistEntry]:
    """Places for those whose metadata did not come back: they are looked at again in an hour, and absence decides.

    A miss does not count where so much is missing that YouTube is at fault, nor where the answer could not be used.
    """
    unusable = answer.malformed.keys() | answer.faulty.keys()
    answered = len(answer.found) + len(answer.missing) + len(unusable)
    fault = is_fault(answered, [None] * len(answer.missing), at)
    ingested.is_fault = ingested.is_fault or fault
    counted = dict.fromkeys(answer.missing, not fault) | dict.fromkeys(unusable, False)
    ingested.missing |= counted.keys()
    return [after_miss(WatchlistEntry(video_id), at, counted=counts) for video_id, counts in counted.items()]


def _write_young(
    videos: Sequence[Video],
    missed: Sequence[WatchlistEntry],
    entries: Mapping[str, WatchlistEntry],
    watchlist: Schedule,
    vault: Vault,
) -> int:
    """Write metadata and schedule in one transaction, and stage for the vault before it ends.

    Staged are the first points, and metadata with its descriptions as it stands in the database now. A video that
    another task has put on the watchlist meanwhile is that one's.
    """
    with watchlist.transaction(within=_LONGEST_TRANSACTION):
        fresh = set(watchlist.videos.ingest(videos, scheduled=True))
        vault.stage_videos([video for video in videos if video.id in fresh], watchlist.videos.discovery_time())
        new = set(watchlist.entries.add([*(entries[video.id] for video in videos), *missed]))
        vault.stage([video.reading.point for video in videos if video.id in new])
        # at the very end, since its rows are everybody's
        watchlist.coverage.add(count_first_readings(entries[video.id] for video in videos if video.id in new))
    return len(new)
