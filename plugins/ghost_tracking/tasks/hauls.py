"""Hauls: videos that a hunt or a list has found, and how they are brought in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from more_itertools import chunked

from ghost_tracking.core.roster import has_settled
from ghost_tracking.core.schedule import WatchlistEntry, entry_of_discovery
from ghost_tracking.core.videos import Video
from ghost_tracking.errors import GhostTrackingError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.hooks.youtube import YouTubeHook
from ghost_tracking.tasks.shelving import Shelving

_VIDEOS_A_TRANSACTION = 1_000
_LONGEST_TRANSACTION = timedelta(seconds=120)


@dataclass
class Haul:
    """What one hunt task brought home. `failed`: why, by label of the source; `found`: ids by key of the source."""

    found: dict[str, list[str]] = field(default_factory=dict)
    hunted_until: dict[str, datetime] = field(default_factory=dict)
    failed: dict[str, GhostTrackingError] = field(default_factory=dict)
    known: int = 0
    new: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)

    def add(self, other: "Haul") -> None:
        """Count what another one brought home as well."""
        self.failed |= other.failed
        self.known += other.known
        self.new += other.new
        self.refused |= other.refused
        self.unanswered |= other.unanswered

    @property
    def ids(self) -> list[str]:
        """Every id once, in the order in which they were found."""
        return list(dict.fromkeys(video_id for ids in self.found.values() for video_id in ids))


def bring_in(
    haul: Haul,
    youtube: YouTubeHook,
    watchlist: WatchlistHook,
    vault: ParquetVaultHook,
    now: datetime | None = None,
) -> None:
    """Fetch the metadata of what is not on the watchlist yet, and write it: the first points of all of it as well.

    Young videos get their metadata and schedule in SQL; old ones, at the end and all at once, a place on the roster,
    and their metadata goes to the archive: in SQL they would only pass through. `now` (None: the present) tells
    their ages.
    """
    present, settled = now or datetime.now(UTC), list[WatchlistEntry]()
    for ids in chunked(haul.ids, _VIDEOS_A_TRANSACTION):
        known = watchlist.known(ids)
        haul.known += len(known)
        answer = youtube.metadata([video_id for video_id in ids if video_id not in known])
        haul.unanswered |= answer.unanswered
        haul.refused |= answer.malformed | dict.fromkeys(answer.missing, "YouTube does not know it, or it is private")
        for error in answer.failures:
            haul.failed.setdefault("metadata", error)
        entries = {video.id: entry_of_discovery(video.reading) for video in answer.found.values()}
        old = [video for video in answer.found.values() if has_settled(entries[video.id], present)]
        young = [video for video in answer.found.values() if not has_settled(entries[video.id], present)]
        new = _write_young(young, entries, watchlist, vault)
        haul.new += new
        haul.known += len(young) - new
        vault.stage_videos(old, watchlist.discovery_time())
        vault.stage([video.reading.point for video in old])
        settled += [entries[video.id] for video in old]
    shelved = Shelving(watchlist, vault, present).shelve_found(settled)
    haul.new += shelved
    haul.known += len(settled) - shelved


def _write_young(
    videos: Sequence[Video],
    entries: Mapping[str, WatchlistEntry],
    watchlist: WatchlistHook,
    vault: ParquetVaultHook,
) -> int:
    """Write metadata and schedule in one transaction, and stage for the vault before it ends.

    Staged are the first points, and metadata with its descriptions as it stands in the database now. A video that
    another task has put on the watchlist meanwhile is that one's.
    """
    with watchlist.transaction(within=_LONGEST_TRANSACTION):
        fresh = set(watchlist.ingest_video_metadata(videos))
        vault.stage_videos([video for video in videos if video.id in fresh], watchlist.discovery_time())
        new = set(watchlist.add_to_watchlist(entries[video.id] for video in videos))
        vault.stage([video.reading.point for video in videos if video.id in new])
    return len(new)
