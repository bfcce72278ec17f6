"""The vault's verbs."""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ghost_tracking.core.absence import AvailabilityEvent
from ghost_tracking.core.arguments import require_cutoff, require_past
from ghost_tracking.core.origins import Discovered
from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import MetricPoint, parse_points
from ghost_tracking.core.sync import SyncToken
from ghost_tracking.core.videos import Video
from ghost_tracking.errors import BadInputError, ConfigurationError, UnreadableFileError, VaultMismatchError
from ghost_tracking.vault import layout
from ghost_tracking.vault.location import VaultLocation, make_identity, read_identity
from ghost_tracking.vault.metadata_reports import ArchiveReport, ExpiryReport
from ghost_tracking.vault.reports import (
    CompactReport,
    ExpireReport,
    ForgetReport,
    LatestReport,
    MergeReport,
    PublishReport,
    RepairReport,
    SealReport,
    StagedPart,
    VerifyReport,
)
from ghost_tracking.vault.storage import Storage
from ghost_tracking.vault.storage.root import BUCKETS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ghost_tracking.vault.availability import Availability
    from ghost_tracking.vault.discoveries import Discoveries
    from ghost_tracking.vault.import_queue import ImportQueue
    from ghost_tracking.vault.let_go import LetGoList
    from ghost_tracking.vault.maintenance.forgetting import Progress
    from ghost_tracking.vault.maintenance.stats import Stats
    from ghost_tracking.vault.metadata import Archive
    from ghost_tracking.vault.prepared.layer import Prepared
    from ghost_tracking.vault.publishing import Publisher
    from ghost_tracking.vault.roster_files import ChunkFiles
    from ghost_tracking.vault.source_memory import SourceMemories

SEAL_MARGIN: Final = timedelta(minutes=15)


class Vault:
    """Every observation for ever, as `metrics/date=YYYY-MM-DD/hour=HH/stats.parquet` under one root.

    Any number of processes may call any verb at any time. The reading verbs never meet an error, a duplicate or a
    gap because of it, and neither do pandas, DuckDB or polars while a published file grows. A file is rewritten as a
    whole when its hour is sealed (once, unless late points come) or was published more than 64 times: a reader of
    its path that has just then read the footer but not the data fails, and has to read again.

    All times are aware; what is returned is in UTC. Every verb raises `ConfigurationError`, in a sentence that names
    what to mend, when there is no usable vault.

    :param root: an absolute folder that all who use the vault share, or a URL of an object store, `s3://bucket/prefix`
        or `gs://bucket/prefix`, for which the environment has the credentials
    :param storage_options: what fsspec's file system of that object store takes
    :param lock_timeout: seconds that `publish` and `seal` wait, in all, for hours that others are writing
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        storage_options: dict[str, Any] | None = None,
        lock_timeout: float = 30.0,
    ) -> None:
        self.lock_timeout = lock_timeout
        self._location = VaultLocation(os.fspath(root), storage_options)

    @property
    def root(self) -> str:
        """The root as text, whether it exists yet or not."""
        return str(self._location.path)

    @property
    def roster(self) -> "ChunkFiles":
        """The files that say which videos the roster's chunks hold."""
        from ghost_tracking.vault.roster_files import ChunkFiles

        return ChunkFiles(self._location.writable())

    @property
    def import_queue(self) -> "ImportQueue":
        """Lists of videos that somebody brought, and how far each is imported into the watchlist."""
        from ghost_tracking.vault.import_queue import ImportQueue

        return ImportQueue(self._location.writable(), self.lock_timeout)

    @property
    def let_go(self) -> "LetGoList":
        """Videos that somebody has paused, stopped or forgotten, as the database has them too."""
        from ghost_tracking.vault.let_go import LetGoList

        return LetGoList(self._location.writable(), self.lock_timeout)

    @property
    def source_memory(self) -> "SourceMemories":
        """What the listing of each source named when it was read last; losing it costs calls and nothing else."""
        from ghost_tracking.vault.source_memory import SourceMemories

        return SourceMemories(self._location.writable())

    @property
    def prepared(self) -> "Prepared":
        """What runs prepare for the page: the largest gains of each hour, movers, who came back or vanished."""
        from ghost_tracking.vault.prepared.layer import Prepared

        return Prepared(self._location, self.lock_timeout)

    @property
    def stats(self) -> "Stats":
        """Points by hour, bytes by layer and the like, without reading a point."""
        from ghost_tracking.vault.maintenance.stats import Stats

        return Stats(self._location.readable())

    def append_metrics(self, rows: "Sequence[Mapping[str, Any]] | pd.DataFrame") -> PublishReport:
        """Stage and publish `rows`: mappings, or a frame, with the columns that `parse_point` describes.

        Raises `BadPointsError`, with every bad row's number and reason, before anything is written. Appending the
        same rows again changes no point. When a point is known already with other counts, the known one stays.
        What the report calls busy or failed is staged, and part of a later publication.
        """
        points = parse_points(_mappings(rows), datetime.now(UTC))
        staged = self.stage(points)
        return self.publish({part.partition for part in staged})

    def stage(self, points: Sequence[MetricPoint]) -> list[StagedPart]:
        """Write `points` durably beside the published files: one part for each hour that they touch.

        Points that are staged are in the vault with the next publication, whatever happens to this process. Raises
        `BadPointsError`, before anything is written, for points that lie in the future by this machine's clock, and
        OSError when the storage fails: then some hours may have been staged, and staging all again is harmless.
        """
        return self._publisher().stage(points)

    def publish(self, partitions: Collection[Partition] | None = None) -> PublishReport:
        """Merge what is staged, and not yet published, into the published files of `partitions` (None: all).

        Of points with the same key the published one stays, then the one staged first. Cheap when nothing is new.
        A broken part is set aside; a broken published file is kept aside and rebuilt from the parts that are left;
        the report names both. No hour's trouble stops another's. Parts of an hour to come wait until it begins; those
        of more than a day ahead are set aside and named.
        """
        return self._publisher().publish(partitions)

    def uri_of(self, partition: Partition) -> str:
        """Where an hour's published file stands, as a URI without any credentials."""
        root = self._location.path
        place = f"{root.protocol}://{root.bucket}/{root.key}" if root.protocol in BUCKETS else f"file://{root.path}"
        return f"{place.rstrip('/')}/{layout.stats(partition)}"

    def seal(self, now: datetime, margin: timedelta = SEAL_MARGIN) -> SealReport:
        """Write the hours that ended `margin` before `now` once more, small and sorted, and delete their parts.

        What is not published yet is merged first, then the file is read back and compared with every part. A point
        that comes later makes its hour published, and sealed, again. Raises PartitionBusyError when another process
        seals or compacts, BadInputError for a `now` that is naive or lies in the future.
        """
        require_past("now", now, datetime.now(UTC))
        publisher = self._publisher()
        with self._closed_hours():
            return publisher.seal(now, margin)

    def compact(
        self,
        now: datetime,
        margin: timedelta = SEAL_MARGIN,
        *,
        months: bool = True,
        keep_hours: bool = True,
        most_points_a_file: int | None = None,
    ) -> CompactReport:
        """Put days that ended `margin` before `now`, and then (if `months`) months, into `history/`, by video.

        Seal before: a day with staged parts is not compacted. Compacted hours that got late points are compacted again.
        Hourly files stay, unless `keep_hours` is False: then those go whose every point is proven to be in the history.
        Every file is read back before the manifest names it. Takes at most 2 GB of memory, whatever a period holds and
        however much of it came late, 256 descriptors, and some 20 bytes a point of hours in a temporary file.
        What fails is in the report and stays as it is. Raises PartitionBusyError when another process seals or
        compacts, BadInputError for a `now` that is naive or lies in the future.
        """
        require_past("now", now, datetime.now(UTC))
        from ghost_tracking.vault.history.compaction import Compactor
        from ghost_tracking.vault.history.files import MOST_POINTS_A_FILE

        compactor = Compactor(self._location.writable(), most_points_a_file or MOST_POINTS_A_FILE)
        with self._closed_hours():
            return compactor.compact(now, margin, months=months, keep_hours=keep_hours)

    def refresh_latest(self, *, most_videos_a_shard: int | None = None) -> LatestReport:
        """Keep `latest/`, the newest points of all videos in the history, close to it: call it after `compact`.

        Shards are made for ids that are in none; of the others, one in thirty is written again, those that are furthest
        behind first. So each is at most thirty calls behind. What a shard has not seen is read from the history by all
        that ask for newest points, which are right at any time. Takes less than 1 GB of memory, whatever the size: a
        shard of up to four million videos, and a few row groups of each file of the history that it has not seen. The
        first time, all last points of the history are read; a run that is killed is gone on with.

        What fails is in the report and stays as it is. Raises PartitionBusyError when another process seals or
        compacts, UnreadableFileError for a damaged manifest.
        """
        from ghost_tracking.vault.latest.refreshing import MOST_VIDEOS, Refresher

        refresher = Refresher(self._location.writable(), most_videos_a_shard or MOST_VIDEOS)
        with self._closed_hours():
            return refresher.refresh()

    def expire(self, cutoff: datetime, *, dry_run: bool = True) -> ExpireReport:
        """Delete the points of all hours that ended by `cutoff` (aware), from every layer; `dry_run` only counts.

        Metadata has a verb of its own, `expire_videos`. History files of past periods go unread. The month that the
        cutoff enters is split into its days once, and of the day that it enters the rest is written again. Takes at
        most 2 GB of memory, and some 20 bytes a point of that month in a temporary file.
        Raises BadInputError, before anything is touched, for a cutoff that is naive or less than a day before this
        machine's time, PartitionBusyError when another process seals or compacts.
        """
        from ghost_tracking.vault.maintenance import retention

        require_cutoff(cutoff, datetime.now(UTC))
        storage = self._location.readable() if dry_run else self._location.writable()
        with nullcontext() if dry_run else self._closed_hours():
            return retention.expire(storage, cutoff, self.lock_timeout, dry_run=dry_run)

    def retention_was_announced(self, days: int) -> bool:
        """Whether this retention was asked about before, at least an hour ago; a new one is noted from now on.

        So that a mistyped number is reported by one run before the next one deletes by it. Where there is no retention
        any more, `forget_retention` makes the next one be announced, whatever it is.
        """
        from ghost_tracking.vault.maintenance import retention

        return retention.was_announced(self._location.writable(), days, datetime.now(UTC))

    def forget_retention(self) -> None:
        """Note that nothing is to be deleted for its age: whatever retention is set next is announced first."""
        self._location.readable().delete([layout.RETENTION])

    def verify(self, start: datetime | None = None, end: datetime | None = None) -> VerifyReport:
        """Read all points of [start, end), None being open, in all layers, and the archive of metadata; compare.

        Every problem is a sentence that names a file. Takes as long as reading everything does.
        """
        from ghost_tracking.vault.maintenance import verify as checking

        return checking.verify(self._location.readable(), start, end)

    def verify_share(self, now: datetime) -> VerifyReport:
        """Prove the hours of the last two days, and of all other points, metadata, events and discoveries the files
        that have not been proven for longest.

        A twenty-eighth of each layer's bytes, so that within 28 nights all of it is proven; a file that still has the
        bytes that were written is proven without being decoded. `now`: aware, as `seal` has it. Names and sizes of what
        manifests name are compared too: a request to an object store for each thousand. Holds a file of an hour or a
        day of discoveries, 64 MB of another, or the ids of eight million videos, 250 MB, and opens one at a time.
        """
        from ghost_tracking.vault.maintenance import rotation

        require_past("now", now, datetime.now(UTC))
        return rotation.verify_share(self._location.writable(), now)

    def note_verified(self, now: datetime) -> None:
        """Note for `verify_share` that everything was proven by now (aware): after a `verify` that found no problem."""
        from ghost_tracking.vault.maintenance import rotation

        require_past("now", now, datetime.now(UTC))
        rotation.note_everything(self._location.writable(), now)

    def proven_since(self) -> date | None:
        """The day (UTC) since which all that `verify_share` proves was proven; None: not all was, or could be."""
        from ghost_tracking.vault.maintenance.rotation import Proofs

        return Proofs.of(self._location.readable()).since

    def measure(self) -> None:
        """Count the bytes of the layers whose sizes no run keeps up to date, for `stats.size`.

        One flat listing of each: a request to an object store for each thousand files.
        """
        from ghost_tracking.vault.maintenance import sizes

        sizes.measure(self._location.writable())

    def forget(
        self,
        video_ids: Collection[str],
        *,
        dry_run: bool = True,
        since: datetime | None = None,
        progress: "Progress | None" = None,
    ) -> ForgetReport:
        """Take all that is known of these videos out of every layer; `dry_run` only counts, and so proves.

        With `since` (aware), only out of what may have come since then. The videos have left the schedule before, see
        `services.letting_go`. `progress` is told the layer, how many of its files are done, and of how many. Reads the
        ids of every point. Calling it again finishes what was killed. Raises PartitionBusyError when another process
        seals or compacts.
        """
        from ghost_tracking.vault.maintenance import forgetting

        storage = self._location.readable() if dry_run else self._location.writable()
        return forgetting.forget(storage, video_ids, self.lock_timeout, dry_run=dry_run, since=since, progress=progress)

    def repair(self) -> RepairReport:
        """Publish what was left staged; set aside what is broken and rebuild it from the layer that has it.

        Reads everything, an hour or a batch at a time; memory and temporary space as `compact` takes. Raises
        PartitionBusyError when another process seals or compacts.
        """
        from ghost_tracking.vault.maintenance.repair import Repairer

        repairer = Repairer(self._location.writable(), self.lock_timeout)
        with self._closed_hours():
            return repairer.repair()

    def read_metrics(
        self,
        start: datetime | None = None,
        end: datetime | None = None,
        video_ids: Collection[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> "pd.DataFrame":
        """The published points of [start, end), None being open, of `video_ids` (None: all), in `columns` (all six).

        Each point once, whichever layer it lies in. Sorted by hour, then video_id and timestamp. Counts are nullable
        `Int64`, times UTC. Raises `BadInputError` for naive times or an unknown column, `UnreadableFileError` with
        the name of a broken file.
        """
        from ghost_tracking.vault import scan

        return scan.frame(self.read_table(start, end, video_ids, columns))

    def read_table(
        self,
        start: datetime | None = None,
        end: datetime | None = None,
        video_ids: Collection[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> "pa.Table":
        """As `read_metrics`, as an Arrow table."""
        from ghost_tracking.vault import scan

        scan_filter = scan.ScanFilter.checked(start, end, video_ids)
        return scan.read_table(self._location.readable(), scan_filter, columns)

    def read_batches(
        self,
        start: datetime | None = None,
        end: datetime | None = None,
        video_ids: Collection[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> "Iterator[pa.RecordBatch]":
        """As `read_metrics`, as Arrow batches of at most a million points, for what does not fit into memory.

        In no promised order. Raises FileChangedError, and has to be started again, when a file that it was to read next
        is compacted or expired meanwhile.
        """
        from ghost_tracking.vault import scan

        scan_filter = scan.ScanFilter.checked(start, end, video_ids)
        return scan.read_batches(self._location.readable(), scan_filter, columns)

    def read_history(self, video_id: str, start: datetime | None = None, end: datetime | None = None) -> "pd.DataFrame":
        """All published points of one video in [start, end), None being open, sorted by time; as `read_metrics`.

        Reads a row group of each file of the history that has the video's ids, found by an index of some kilobytes, and
        the files of the hours that are not compacted: up to four of either open at a time, and some 50 MB of memory in
        the largest vault. What was read is kept in this process, up to 128 MB, and read again only where files changed.
        """
        from ghost_tracking.vault import scan

        return scan.frame(scan.read_history(self._location.readable(), video_id, start, end))

    def read_latest(self, video_ids: Collection[str] | None = None) -> "pd.DataFrame":
        """The newest point of each of `video_ids` (None: of all), sorted by video_id; as `read_metrics` else.

        Of all videos the frame takes some 150 bytes each: `read_latest_batches` gives them in bounded memory. Given
        ids are looked for in the newest layer first, and not any further once they are found.
        """
        from ghost_tracking.vault import scan
        from ghost_tracking.vault.latest import reading

        return scan.frame(reading.read_table(self._location.readable(), video_ids))

    def read_latest_batches(
        self,
        video_ids: Collection[str] | None = None,
        *,
        first: str = "",
        end: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> "Iterator[pa.RecordBatch]":
        """The newest point of each of `video_ids` (None: of all) whose id lies in [first, end), None being open.

        Arrow batches of at most 131,072 rows, sorted by video_id, each video once, in `columns` (all six). Ids sort by
        their bytes. Takes less than 1 GB of memory, however many videos there are, and some 20 bytes of temporary
        files for each point of hours that are not compacted yet, where these have more than two million. Has up to 80
        files open.

        Each video's point is the newest one of the moment when its part of the ids was read. Where a file is compacted
        or expired meanwhile, what follows is read again. Raises BadInputError for an unknown column and for an `end`
        before `first`, UnreadableFileError with the name of a broken file.
        """
        from ghost_tracking.vault.latest import reading

        return reading.read_batches(self._location.readable(), video_ids, first=first, end=end, columns=columns)

    def id_ranges(self) -> list[tuple[str, str | None]]:
        """Ranges [first, end) of ids, in order, that together are all ids, with a few million videos each at most.

        The first begins with "", the last ends with None. `read_latest_batches` takes them, so that work on all videos
        can be done range by range and go on after the last one that was finished.
        """
        from ghost_tracking.vault.latest import reading

        return reading.id_ranges(self._location.readable())

    def history_files(self, start: datetime | None = None, end: datetime | None = None) -> list[str]:
        """The paths or URLs of the files of the history that meet [start, end), None being open, for other readers.

        Take them from here, or from `history/manifest.json`, and not from a pattern: while the vault is being
        compacted, the folder has files that are not in force.
        """
        from ghost_tracking.vault import scan

        return [str(self._location.path / key) for key in scan.history_files(self._location.readable(), start, end)]

    def stage_videos(self, videos: Sequence[Video], discovered_at: datetime) -> None:
        """Write the metadata of newly found videos durably beside the archive, descriptions included, as one part.

        `archive_videos` brings it in. `discovered_at` is what `videos` has in the database. OSError when the storage
        fails, and then nothing is staged.
        """
        self._archive(write=True).stage(videos, discovered_at)

    def archive_videos(
        self, rows: Sequence[Mapping[str, Any]] | None = None, *, dry_run: bool = False
    ) -> ArchiveReport:
        """Bring metadata into `videos/`: all that is staged, or the given rows of the database; durable on return.

        A row has `video_id` and any of title, published_at, tags, channel_id, channel_title, category_id,
        duration_seconds, default_language, description, discovered_at (aware times) and other (JSON text). It takes
        the place of what is archived of its video, whose description it keeps unless it has one. Staged metadata
        does so only when it was discovered later. Nothing is written where nothing differs, nor with `dry_run`.

        A staged part that is broken is set aside and named in the report; the others go on. Raises `BadInputError`
        for rows that do not fit, `UnreadableFileError` with the name of a broken archived file, `PartitionBusyError`
        when another writer holds the archive, OSError when the storage fails; calling again is always harmless.
        """
        metadata = self._archive(write=not dry_run)
        return metadata.merge_staged(dry_run=dry_run) if rows is None else metadata.take(rows, dry_run=dry_run)

    def expire_videos(self, cutoff: datetime, *, dry_run: bool = False) -> ExpiryReport:
        """Drop the metadata of videos discovered before `cutoff`, archived or staged; raises as `archive_videos`.

        Where the time of discovery is unknown, that of archiving counts. With `dry_run` it is only counted. Raises
        BadInputError for a cutoff as `expire` does.
        """
        require_cutoff(cutoff, datetime.now(UTC))
        return self._archive(write=not dry_run).expire(cutoff, dry_run=dry_run)

    def read_videos(self, video_ids: str | Collection[str] | Mapping[str, datetime | None]) -> "pd.DataFrame":
        """The metadata of these videos, one row each, sorted by video_id; those that are not known are absent.

        Archived and staged ones. Columns as `archive_videos` takes them; tags are arrays, times UTC. Given as a mapping
        to their publish times (aware; None: unknown), a video is looked for only among those published about then: a
        few files instead of all. Opens up to 16 at a time. Raises `UnreadableFileError` with the name of a broken file.
        """
        from ghost_tracking.vault import metadata

        return metadata.read_videos(self._location.readable(), [video_ids] if isinstance(video_ids, str) else video_ids)

    def find_videos(self, words: str, limit: int = 20) -> "pd.DataFrame":
        """Archived videos whose titles have all these `words`, the best `limit` of them first.

        The longest eight words count, of those of two letters or more. Case, accents, width and punctuation do not
        matter. A word matches at the beginning of words of a title; in scripts that put no blanks between words
        (Chinese, Japanese, Thai …) anywhere. Titles that have it as a whole word come first, and then newer videos, by
        the second. Opens the index of each file of the archive at the worst, up to 16 at a time, the newest first.
        Columns: video_id, title, channel_title, published_at, duration_seconds, channel_id, category_id. What was
        discovered since the janitor's last run is not found yet.
        Raises `BadInputError` where there is no word, `UnreadableFileError` with the name of a broken file.
        """
        from ghost_tracking.vault import metadata

        return metadata.find_videos(self._location.readable(), words, limit)

    def ids_of_channels(self, channel_ids: Collection[str]) -> set[str]:
        """The ids of all videos of these channels whose metadata is archived or staged.

        Opens the index of each file of the archive, up to 16 at a time, and the files that have some.
        Raises `UnreadableFileError` with the name of a broken file.
        """
        from ghost_tracking.vault import metadata

        return metadata.ids_of_channels(self._location.readable(), channel_ids)

    def stage_availability(self, events: Sequence[AvailabilityEvent]) -> str | None:
        """Write events durably beside `availability/`, as one part, and return its key; None where there are none.

        They are in the vault with the next `publish_availability`, whatever happens to this process. OSError when the
        storage fails, and then nothing is staged.
        """
        return self._availability().stage(events)

    def publish_availability(self) -> MergeReport:
        """Merge what is staged into `availability/`; each event once, however often it is staged.

        The key is (video_id, state, time): `confirmed_at` of one that is gone, else `returned_at`. A broken part is
        set aside and named in the report, which also says what was busy or failed and stays staged. OSError when the
        storage fails; calling again is always harmless.
        """
        return self._availability().publish()

    def read_availability(
        self,
        video_ids: Collection[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> "pd.DataFrame":
        """Which of these videos (None: all) went or came back in [start, end), None being open; a row an event.

        Published and staged ones. Columns: video_id, state (`gone` or `returned`), first_missed_at, confirmed_at,
        returned_at (NaT while gone), in UTC; sorted by video_id and time. Raises `BadInputError` for naive times,
        `UnreadableFileError` with the name of a broken file.
        """
        from ghost_tracking.vault import availability

        return availability.read(self._location.readable(), video_ids, start, end)

    def stage_discoveries(self, discovered: Iterable[Discovered]) -> list[str]:
        """Write what sources have named durably beside `discoveries/`, as parts of up to 100,000 rows; their keys.

        They are in the vault with the next `publish_discoveries`, whatever happens to this process. OSError when the
        storage fails: then some may have been staged, and staging all again is harmless.
        """
        return self._discoveries().stage(discovered)

    def publish_discoveries(self) -> MergeReport:
        """Merge what is staged into `discoveries/`: of each video, source and UTC day the first time.

        A broken part is set aside and named in the report, which also says what was busy or failed and stays staged.
        Holds a day's rows and some 500,000 staged ones, 500 bytes each. OSError when the storage fails; calling again
        is always harmless.
        """
        return self._discoveries().publish()

    def read_discoveries(
        self,
        video_ids: Collection[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> "pd.DataFrame":
        """Which sources named these videos (None: all) in [start, end), None being open; a row a video, source and day.

        Published and staged ones, the first of each UTC day; by day, then by source, time and rank. Columns: video_id,
        source_kind, source_key, region, language, category_id, within_channel_id, rank and page (from 1; nullable
        Int32), named_at (UTC), run_id. Raises `BadInputError` for naive times, `UnreadableFileError` with the name of a
        broken file.
        """
        from ghost_tracking.vault import discoveries

        return discoveries.read(self._location.readable(), video_ids, start, end)

    def read_discoveries_batches(
        self,
        video_ids: Collection[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> "Iterator[pa.RecordBatch]":
        """As `read_discoveries`, as Arrow batches of at most 131,072 rows, for what does not fit into memory.

        Holds one day, some 500 bytes a row, and what is staged. A day that expires meanwhile is passed over.
        """
        from ghost_tracking.vault import discoveries

        return discoveries.read_batches(self._location.readable(), video_ids, start, end)

    def newest_point(self) -> datetime | None:
        """When the newest published point was read, UTC; None in a vault without points. A matter of milliseconds.

        Points of the future, by this machine's clock, are left out: they would hide that nothing comes any more.
        """
        from ghost_tracking.vault.maintenance.newest import newest_point

        return newest_point(self._location.readable(), datetime.now(UTC))

    def health_check(self) -> dict[str, Any]:
        """How the vault is, in plain values, from the names and sizes of its files, as one listing has them.

        `ok`, `writable` (tried by writing), `problem` (a sentence why it cannot be written, or about points of the
        future, or None), `root`, `proven_since` (the day since which all that `verify_share` proves was proven, or
        None), `newest_point` (ISO 8601, UTC, or None), `points` and `partitions` (each counted once), `bytes` (of all
        layers), `layers` (by layer `files`, `points`, `videos`, `events` or `rows`, `bytes`: `open` and `sealed` hours,
        history of `days` and of `months`, `videos`, `availability`, `discoveries`), `staged_parts` (not yet published),
        `staged_hours` (which hours they are of), `staged_videos` (not yet archived), `staged_availability` and
        `staged_discoveries` (parts that are not yet published), `stale_hours` (to be compacted again), `unreadable`
        (name and reason of each broken file), `quarantined` (number of files set aside). Never raises for a broken
        file.

        A file that a manifest names is compared with it by its size and not opened; opened are the footers of some 30
        hours, the newest, which no manifest has yet, and those whose file is no longer the one that was compacted. What
        that does not tell, `verify` does. Five years in an object store take some 90 requests, of which 44 list
        `metrics/`.
        """
        from ghost_tracking.vault.maintenance.rotation import Proofs
        from ghost_tracking.vault.maintenance.survey import survey

        problem = None
        try:
            self._storage.probe()
        except OSError as error:
            problem = self._location.not_writable(error).message
        except ConfigurationError as error:
            problem = error.message
        found = survey(self._storage)
        problems = [*filter(None, [problem]), *found.pop("future")]
        since = Proofs.of(self._storage).since
        return {
            "ok": not problems and not found["unreadable"],
            "writable": problem is None,
            "problem": "; ".join(problems) or None,
            "root": self.root,
            "proven_since": None if since is None else since.isoformat(),
            **found,
        }

    def identity(self, *, create: bool = False) -> str:
        """The UUID of this vault, which is made once, when `create` allows it.

        Without `create` nothing is written, and VaultMismatchError says that a place holds no vault.
        """
        storage = self._location.writable() if create else self._location.readable()
        known = read_identity(storage)
        if known is None and create:
            with storage.lock(f"{layout.LOCKS}/identity.lock", self.lock_timeout):
                known = read_identity(storage) or make_identity(storage)
        if known is None:
            raise VaultMismatchError(
                f"{self._location} holds no vault yet ({layout.IDENTITY} is missing): "
                "if another worker has made one, this worker does not see the same folder"
            )
        return known

    def check_identity(self, expected: str) -> None:
        """Raise `VaultMismatchError` unless this process sees the vault whose `identity` is `expected`."""
        found = self.identity(create=False)
        if found != expected:
            raise VaultMismatchError(
                f"{self._location} is vault {found} on this worker but {expected} elsewhere: "
                "mount the same folder on every worker, or name the same bucket",
                expected=expected,
                found=found,
            )

    def sync_token(self) -> SyncToken | None:
        """The sync token that this vault shares with a database; None before the first time."""
        try:
            found = json.loads(self._location.readable().read(layout.SCHEDULE).data)
            return SyncToken(str(found["token"]), datetime.fromisoformat(found["at"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableFileError(
                f"{layout.SCHEDULE} is damaged: delete it, and the next janitor run compares the whole vault with the "
                "schedule",
                key=layout.SCHEDULE,
            ) from error

    def set_sync_token(self, token: SyncToken) -> None:
        """Write the sync token that the database is to share."""
        text = json.dumps({"token": token.token, "at": token.at.isoformat()})
        self._location.writable().put(layout.SCHEDULE, text.encode())

    @property
    def _storage(self) -> Storage:
        return self._location.storage

    def _archive(self, *, write: bool) -> "Archive":
        from ghost_tracking.vault.metadata import Archive

        return Archive(self._location.writable() if write else self._location.readable(), self.lock_timeout)

    def _availability(self) -> "Availability":
        from ghost_tracking.vault.availability import Availability

        return Availability(self._location.writable(), self.lock_timeout)

    def _discoveries(self) -> "Discoveries":
        from ghost_tracking.vault.discoveries import Discoveries

        return Discoveries(self._location.writable(), self.lock_timeout)

    @contextmanager
    def _closed_hours(self) -> Iterator[None]:
        """Keep other processes from sealing, compacting, expiring and repairing."""
        with self._storage.lock(layout.HISTORY_LOCK, self.lock_timeout):
            yield

    def _publisher(self) -> "Publisher":
        from ghost_tracking.vault.publishing import Publisher

        return Publisher(self._location.writable(), self.lock_timeout)


def _mappings(rows: Any) -> Iterable[Mapping[str, Any]]:
    if hasattr(rows, "to_dict"):
        rows = rows.to_dict("records")
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise BadInputError(f"These are no rows: {rows!r:.60}. Give a list of mappings, or a frame")
    return rows
