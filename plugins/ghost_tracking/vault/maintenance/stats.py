"""What a page shows of the vault: points by hour, bytes by layer, newest point; of names, manifests and footers."""

import datetime as dt
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from ghost_tracking.core.arguments import ids_of, require_moment, require_span
from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import is_future
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.manifest import HistoryManifest, current
from ghost_tracking.vault.maintenance import sizes
from ghost_tracking.vault.maintenance.live import LiveHours
from ghost_tracking.vault.maintenance.newest import newest, newest_of_file, newest_point
from ghost_tracking.vault.maintenance.rotation import Proofs
from ghost_tracking.vault.maintenance.sizes import LAYERS
from ghost_tracking.vault.metadata import rows_of_channels, rows_of_videos
from ghost_tracking.vault.roster_files import ChunkFiles
from ghost_tracking.vault.storage import Storage

TITLE: Final = ("video_id", "title", "channel_id", "channel_title", "published_at", "duration_seconds")
"""What is shown of a video's metadata."""

_SIBLING: Final = ["channel_id", "video_id", "published_at"]


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes by layer (the names of `LAYERS`), points, each counted once, and how many files were set aside.

    `measured_at`: when the layers that are measured once a night were counted; None: now.
    """

    bytes: dict[str, int]
    points: int
    quarantined: int
    measured_at: dt.datetime | None = None


class Stats:
    """Counts on one storage, as it was when the first of them was asked for; nothing reads points.

    What the verbs of one object ask of the storage does not depend on the vault's age, all together some 15 requests
    to an object store: the manifest of the history, the dates, the hours of those that are not compacted, the parts.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @cached_property
    def _manifest(self) -> HistoryManifest:
        return current(self._storage)[0]

    @cached_property
    def _live(self) -> LiveHours:
        return LiveHours(self._storage, self._manifest)

    def points_by_hour(self, start: dt.datetime | None = None, end: dt.datetime | None = None) -> dict[Partition, int]:
        """Published points of each hour that meets [start, end), None being open; hours without points are absent.

        Of compacted days from the manifest, else from the footers of the hours, or what was noted of them.
        UnreadableFileError, naming the file.
        """
        require_span(start, end)
        live = {hour: points for hour, points in self._live.points(start, end).items() if points}
        return dict(self._manifest.hours_between(start, end)) | live

    def newest_point(self, before: dt.datetime) -> dt.datetime | None:
        """The newest point up to `before` (aware), whichever layer it lies in; None: there is none."""
        require_moment("before", before)
        for hour in sorted(self._live.sizes, reverse=True):
            with suppress(UnreadableFileError):
                count = None if is_future(hour.starts_at, before) else self._live.count(hour)
                if count and (found := newest_of_file(self._storage, hour, count.newest_at, before)) is not None:
                    return newest(self._storage, self._manifest, (hour, count.rows, found), before)
        return newest_point(self._storage, before)

    def proven_since(self) -> dt.date | None:
        """The day (UTC) since which all points, metadata, events and discoveries were proven; None: not all were."""
        return Proofs.of(self._storage).since

    def size(self) -> Size:
        """How heavy the vault is: layers that change all day as they are now, the others as of `measured_at`."""
        staged = self._live.staged
        measured = sizes.sizes(self._storage)
        of_hours = sizes.bytes_of_compacted_hours(self._manifest) + sum(self._live.sizes.values())
        live = {"hours": of_hours, "history": sizes.bytes_of_history(self._manifest), "staged": sum(staged.values())}
        return Size(
            {name: live[name] if name in live else measured.bytes.get(name, 0) for name in LAYERS},
            self._points(),
            sum(1 for key in staged if key.startswith(f"{layout.QUARANTINE}/")),
            measured.at,
        )

    def _points(self) -> int:
        points = sum(sum(day.rows) for day in self._manifest.days.values())
        for hour, found in self._live.points(None, None).items():
            known = self._manifest.checksum(hour)
            points += found - (0 if known is None else known.rows)
        return points

    def titles(self, video_ids: Collection[str] | Mapping[str, dt.datetime | None]) -> dict[str, dict[str, Any]]:
        """What the archive has of these videos, by id: the columns `TITLE`. Staged metadata is left out.

        Given as a mapping to their publish times (aware; None: unknown), as points and schedule have them, a video is
        looked for only among those published about then: a few files instead of all. Up to 16 are open at a time.
        """
        ids_of(video_ids)
        return {row["video_id"]: row for row in rows_of_videos(self._storage, video_ids, TITLE).to_pylist()}

    def chunk(self, name: str) -> list[str]:
        """The ids of a chunk of the roster, in the order of their positions; raises as `ChunkFiles.read`."""
        return ChunkFiles(self._storage).read(name)

    def videos_of_channels(self, channel_ids: Collection[str]) -> list[tuple[str, str, dt.datetime | None]]:
        """Channel, id and publish time of every archived video of these channels, in no promised order.

        Opens the index of each file of the archive, up to 16 at a time, and those files that have some.
        """
        found = rows_of_channels(self._storage, channel_ids, _SIBLING)
        return list(zip(*(found[name].to_pylist() for name in _SIBLING), strict=True))
