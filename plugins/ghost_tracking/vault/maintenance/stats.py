"""What a page shows of the vault: points by hour, bytes by layer, newest point; of names, manifests and footers."""

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.core.arguments import ids_of, require_moment, require_span
from ghost_tracking.core.partitions import Partition
from ghost_tracking.errors import FileChangedError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.manifest import current
from ghost_tracking.vault.kit.caches import VersionCache
from ghost_tracking.vault.listing import hours_between, part_names, staged_hours
from ghost_tracking.vault.maintenance.verify import newest_point
from ghost_tracking.vault.metadata import files as archived
from ghost_tracking.vault.metadata.manifest import ArchiveManifest
from ghost_tracking.vault.points import files
from ghost_tracking.vault.points.files import Footer
from ghost_tracking.vault.roster_files import ChunkFiles
from ghost_tracking.vault.storage import Storage

LAYERS: Final = {
    "hours": layout.METRICS,
    "history": layout.HISTORY,
    "metadata": layout.VIDEOS,
    "roster": layout.ROSTER,
    "availability": layout.AVAILABILITY,
    "import_queue": layout.IMPORT_QUEUE,
    "staged": "_staging",
}
"""The folders of a vault by what is kept there."""

TITLE: Final = ("video_id", "title", "channel_id", "channel_title", "published_at", "duration_seconds")
"""What is shown of a video's metadata."""

Result = TypeVar("Result")

_FOOTERS: Final = VersionCache[Footer](most=20_000)
_ATTEMPTS: Final = 3
_SIBLING: Final = ["channel_id", "video_id", "published_at"]


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes by layer (the names of `LAYERS`), points, each counted once, and how many files were set aside."""

    bytes: dict[str, int]
    points: int
    quarantined: int


class Stats:
    """Counts on one storage; nothing reads points."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def points_by_hour(self, start: dt.datetime | None = None, end: dt.datetime | None = None) -> dict[Partition, int]:
        """Published points of each hour that meets [start, end), None being open; hours without points are absent.

        Of compacted days from the manifest, else from the footers of the hours. UnreadableFileError, naming the file.
        """
        require_span(start, end)
        manifest, _ = current(self._storage)
        stale = {Partition.parse(path) for path in manifest.stale}
        stale |= {hour for hour in staged_hours(self._storage) if part_names(self._storage, hour)}
        found = dict(manifest.hours_between(start, end))
        for hour in hours_between(self._storage, start, end):
            if (not manifest.holds(hour.date) or hour in stale) and (footer := self._footer(hour)) and footer.rows:
                found[hour] = manifest.points(hour, footer.rows, changed=True)
        return found

    def newest_point(self, before: dt.datetime) -> dt.datetime | None:
        """The newest point up to `before` (aware), whichever layer it lies in; None: there is none."""
        require_moment("before", before)
        return newest_point(self._storage, before)

    def size(self) -> Size:
        """How heavy the vault is; lists every file once."""
        sizes = {name: sum(size for _, size in self._storage.walk(folder)) for name, folder in LAYERS.items()}
        points = sum(self.points_by_hour().values())
        return Size(sizes, points, sum(1 for _ in self._storage.walk(layout.QUARANTINE)))

    def titles(self, video_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """What the archive has of these videos, by id: the columns `TITLE`. Staged metadata is left out."""
        wanted = ids_of(video_ids)
        return self._with_archive(lambda: self._titles(wanted)) if wanted else {}

    def chunk(self, name: str) -> list[str]:
        """The ids of a chunk of the roster, in the order of their positions; raises as `ChunkFiles.read`."""
        return ChunkFiles(self._storage).read(name)

    def videos_of_channels(self, channel_ids: Collection[str]) -> list[tuple[str, str, dt.datetime | None]]:
        """Channel, id and publish time of every archived video of these channels, in no promised order."""
        return self._with_archive(lambda: self._videos_of_channels(channel_ids))

    def _with_archive(self, read: Callable[[], Result]) -> Result:
        """Read by the archive's present manifest; again when files that it named were merged meanwhile."""
        for _ in range(_ATTEMPTS - 1):
            with suppress(FileNotFoundError, FileChangedError):
                return read()
        return read()

    def _titles(self, video_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        manifest, _ = ArchiveManifest.of(self._storage)
        for each in manifest.files:
            with archived.opened(self._storage, each.key) as file:
                rows = archived.rows_of(file, video_ids, TITLE)
            found |= {row["video_id"]: row for row in rows.to_pylist()}
        return found

    def _videos_of_channels(self, channel_ids: Collection[str]) -> list[tuple[str, str, dt.datetime | None]]:
        wanted = pa.array(sorted(channel_ids), pa.string())
        manifest, _ = ArchiveManifest.of(self._storage)
        found: list[tuple[str, str, dt.datetime | None]] = []
        for each in manifest.files:
            with archived.opened(self._storage, each.key) as file:
                for number in range(file.num_row_groups):
                    held = pc.is_in(file.read_row_group(number, columns=["channel_id"])["channel_id"], wanted)
                    if pc.any(held).as_py():
                        rows = file.read_row_group(number, columns=_SIBLING).filter(held)
                        found += zip(*(rows[name].to_pylist() for name in _SIBLING), strict=True)
        return found

    def _footer(self, hour: Partition) -> Footer | None:
        """An hour's footer, parsed once for each version of its file; None where there is no file."""
        key = layout.stats(hour)
        version = self._storage.version(key)
        if version is None:
            return None
        try:
            return _FOOTERS.get(self._storage, key, version, lambda: (files.footer_at(self._storage, key)[0], version))[
                0
            ]
        except FileNotFoundError:
            return None
