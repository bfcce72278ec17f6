"""The layers of the vault out of which videos can be forgotten: which files each has, and how one is rewritten."""

import re
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import availability, discoveries, layout
from ghost_tracking.vault.history.files import HistoryWriter, checksums_of
from ghost_tracking.vault.history.manifest import load
from ghost_tracking.vault.history.reader import HistoryReader
from ghost_tracking.vault.import_queue import ImportQueue
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.kit.leftovers import is_leftover, unnamed
from ghost_tracking.vault.kit.names import named_at
from ghost_tracking.vault.latest import refreshing
from ghost_tracking.vault.listing import hours_between, part_names, staged_hours
from ghost_tracking.vault.metadata import Archive
from ghost_tracking.vault.metadata.manifest import ArchiveManifest, is_words, words_of
from ghost_tracking.vault.period_files import PeriodFiles, PeriodLayer
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.points.tables import Checksum
from ghost_tracking.vault.roster_files import ChunkFiles
from ghost_tracking.vault.storage import Storage

_BATCH: Final = 64 * 1024
_ID: Final = re.compile(r"[A-Za-z0-9_-]+")


class Wanted:
    """The videos that are looked for."""

    def __init__(self, video_ids: Collection[str]) -> None:
        self.ids = sorted(set(video_ids))
        self.array = pa.array(self.ids, pa.string())
        self._set = frozenset(self.ids)
        self._lengths = sorted({len(each) for each in self.ids})

    def __contains__(self, video_id: object) -> bool:
        return video_id in self._set

    def among(self, table: pa.Table) -> pa.ChunkedArray:
        """For each row of a table whether it is about one of them."""
        return pc.is_in(table["video_id"], self.array)

    def left_of(self, table: pa.Table) -> pa.Table:
        """The rows of a table that are about others."""
        return table.filter(pc.invert(self.among(table)))

    def rows_of(self, file: pq.ParquetFile) -> int:
        """How many rows of a file with a column `video_id` are about them."""
        found = 0
        for number in range(file.num_row_groups):
            if self.may_be_in(file.metadata.row_group(number)):
                found += pc.sum(self.among(file.read_row_group(number, columns=["video_id"])), min_count=0).as_py()
        return found

    def named_in(self, text: str) -> bool:
        """Whether a text, such as a line of a list, has one of the ids in it."""
        return any(
            word[start : start + length] in self._set
            for word in _ID.findall(text)
            for length in self._lengths
            for start in range(len(word) - length + 1)
        )

    def may_be_in(self, group: pq.RowGroupMetaData) -> bool:
        """Whether a row group may have any of them, by its statistics."""
        column = next(
            (group.column(n) for n in range(group.num_columns) if group.column(n).path_in_schema == "video_id"), None
        )
        statistics = None if column is None else column.statistics
        if statistics is None or not statistics.has_min_max:
            return True
        place = bisect_left(self.ids, statistics.min)
        return place < len(self.ids) and self.ids[place] <= statistics.max


class Layer(ABC):
    """A kind of files of the vault. `may_get_more`: a task that was under way may bring a video back into it."""

    name: ClassVar[str]
    may_get_more: ClassVar[bool] = True

    def __init__(self, storage: Storage, wanted: Wanted, lock_timeout: float, since: datetime | None) -> None:
        self._storage = storage
        self._wanted = wanted
        self._lock_timeout = lock_timeout
        self._since = since

    @abstractmethod
    def keys(self) -> list[str]:
        """The files to look through."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Take the videos out of a file that has some; FileChangedError when somebody else was faster."""

    def rows(self, key: str) -> int:
        """How many rows of a file are about the videos.

        Raises UnreadableFileError, naming the file, when that cannot be told, and FileNotFoundError when it is gone.
        """
        with self._opened(key) as file:
            return self._wanted.rows_of(file)

    @contextmanager
    def _opened(self, key: str) -> Iterator[pq.ParquetFile]:
        with parquet.wrap_read_errors(key), self._storage.open(key) as handle:
            file = parquet.opened(handle, None, parquet.ANY_LAYER)
            if "video_id" not in file.schema_arrow.names:
                raise UnreadableFileError("no column video_id")
            yield file

    def _walked(self, folder: str) -> list[str]:
        return sorted(key for key, _ in self._storage.walk(folder))

    def _rewritten(self, key: str) -> bytes | None:
        """A small file without the videos, with all else that it says; None where nothing is left."""
        with parquet.wrap_read_errors(key):
            file = parquet.opened(pa.BufferReader(self._storage.read(key).data), None, parquet.REWRITTEN)
            table = self._wanted.left_of(file.read())
        if not table.num_rows:
            return None
        notes = {name: text for name, text in (file.metadata.metadata or {}).items() if name != b"ARROW:schema"}
        return parquet.encode(table, parquet.SMALL, notes=notes)

    def _put_rewritten(self, key: str) -> None:
        data = self._rewritten(key)
        if data is None:
            self._storage.delete([key])
        else:
            self._storage.put(key, data)


class StagedPoints(Layer):
    """Parts stand until their hour is sealed, published or not: they go first, else they would be merged again."""

    name = "staged points"

    def keys(self) -> list[str]:
        return [
            layout.part(hour, name) for hour in staged_hours(self._storage) for name in part_names(self._storage, hour)
        ]

    def remove(self, key: str) -> None:
        hour = Partition.parse(key.removeprefix(f"{layout.PARTS}/").rpartition("/")[0])
        with self._storage.lock(layout.lock(hour), self._lock_timeout):
            left = self._wanted.left_of(files.decode(self._storage.read(key).data, hour))
            if left.num_rows:
                # under its old name: a published file lists the parts that it has
                self._storage.put(key, files.encode_part(left))
            else:
                self._storage.delete([key])


class Hours(Layer):
    """Published files, open and sealed."""

    name = "hours"

    def keys(self) -> list[str]:
        return [layout.stats(hour) for hour in hours_between(self._storage, self._since, None)]

    def remove(self, key: str) -> None:
        hour = Partition.parse(key.removeprefix(f"{layout.METRICS}/").rpartition("/")[0])
        with (
            self._storage.lock(layout.HISTORY_LOCK, self._lock_timeout),
            self._storage.lock(layout.lock(hour), self._lock_timeout),
        ):
            blob = self._storage.read(key)
            footer = files.read_footer(blob.data)
            left = self._wanted.left_of(files.decode(blob.data, hour))
            if not left.num_rows and not part_names(self._storage, hour):
                self._storage.discard(key, expecting=blob.version)
                return
            encode = files.encode_sealed if footer.sealed else files.encode
            self._storage.replace(key, encode(left, footer.parts), expecting=blob.version)


class History(Layer):
    """Days and months by video, those too that no manifest names."""

    name = "history"

    def keys(self) -> list[str]:
        keys = sorted(unnamed(self._storage, layout.HISTORY, ()))
        return [key for key in keys if self._since is None or self._meets(key)]

    def rows(self, key: str) -> int:
        points = 0
        with self._opened(key) as file:
            for number in range(file.num_row_groups):
                if self._wanted.may_be_in(file.metadata.row_group(number)):
                    segments = file.read_row_group(number, columns=["video_id", "seconds_to_next"])
                    found = segments.filter(self._wanted.among(segments))
                    steps = pc.sum(pc.list_value_length(found["seconds_to_next"]), min_count=0).as_py()
                    points += found.num_rows + int(steps)
        return points

    def remove(self, key: str) -> None:
        with self._storage.lock(layout.HISTORY_LOCK, self._lock_timeout):
            manifest, version = load(self._storage)
            each = next((file for file in manifest.files if file.path == key), None)
            if each is None:
                _delete_leftover(self._storage, key)
                return
            kept: dict[Partition, Checksum] = {}
            gone: dict[Partition, Checksum] = {}
            writer = HistoryWriter(self._storage, Period.parse(each.period))
            with writer.discarding():
                for table in tables.merge_sorted([self._sorted_apart(key, kept, gone)]):
                    writer.write(table)
                written = writer.close()
                _require_same(each.path, kept, checksums_of(self._storage, (file.path for file in written)))
            # when this fails, only a later sweep can tell that nobody names what was written
            after = manifest.with_file(each, written, gone)
            after.replace(self._storage, layout.HISTORY_MANIFEST, expecting=version)
            self._storage.delete([key])
            refreshing.carry(self._storage, manifest, after, whole_hours=False)

    def _sorted_apart(
        self, key: str, kept: dict[Partition, Checksum], gone: dict[Partition, Checksum]
    ) -> Iterator[pa.Table]:
        """The points of a file that stay; of both those and the others the checksums."""
        for table in HistoryReader(self._storage, key).batches(_BATCH):
            mask = self._wanted.among(table)
            left = table.filter(pc.invert(mask))
            tables.add_checksums(gone, tables.checksums(table.filter(mask)))
            tables.add_checksums(kept, tables.checksums(left))
            yield left

    def _meets(self, key: str) -> bool:
        try:
            return Period.parse(key.split("/")[1].partition("=")[2]).meets(self._since, None)
        except (ValueError, IndexError):
            return True


class NewestPoints(Layer):
    """Shards. After the history and the hours, of which they would be written again with the videos."""

    name = "newest points"

    def keys(self) -> list[str]:
        keys = sorted(unnamed(self._storage, layout.LATEST, ()))
        return [key for key in keys if self._since is None or (named_at(key) or self._since) >= self._since]

    def remove(self, key: str) -> None:
        with self._storage.lock(layout.HISTORY_LOCK, self._lock_timeout):
            refreshing.without(self._storage, key, self._wanted.left_of)


class _StagedRows(Layer):
    """Rows of a layer of days or months that are not published yet."""

    layer: ClassVar[PeriodLayer]

    def keys(self) -> list[str]:
        return self._walked(self.layer.staged)

    def remove(self, key: str) -> None:
        self._put_rewritten(key)


class _Rows(Layer):
    """The files of days or months."""

    layer: ClassVar[PeriodLayer]

    def keys(self) -> list[str]:
        keys = self._walked(self.layer.folder)
        if self._since is None:
            return keys
        old = {self.layer.key(each) for each in self.layer.periods_of(keys) if not each.meets(self._since, None)}
        return [key for key in keys if key not in old]

    def remove(self, key: str) -> None:
        period = next(iter(self.layer.periods_of([key])), None)
        if period is None or self.layer.key(period) != key:
            self._put_rewritten(key)  # nobody else's
        else:
            PeriodFiles(self.layer, self._storage, self._lock_timeout).forget(period, self._wanted.left_of)


class StagedAvailability(_StagedRows):
    """Events that are not published yet."""

    name = "staged availability"
    layer = availability.LAYER


class Availability(_Rows):
    """Months of events."""

    name = "availability"
    layer = availability.LAYER


class StagedDiscoveries(_StagedRows):
    """What sources have named, and is not published yet."""

    name = "staged discoveries"
    layer = discoveries.LAYER


class Discoveries(_Rows):
    """Days of what sources have named."""

    name = "discoveries"
    layer = discoveries.LAYER


class StagedMetadata(Layer):
    """Metadata that is not archived yet."""

    name = "staged metadata"

    def keys(self) -> list[str]:
        return self._walked(layout.STAGED_VIDEOS)

    def remove(self, key: str) -> None:
        with self._storage.lock(layout.VIDEOS_LOCK, self._lock_timeout):
            self._put_rewritten(key)


class Metadata(Layer):
    """The archive. A file's index has no ids, and goes with the file that it is of."""

    name = "metadata"

    def keys(self) -> list[str]:
        return [key for key in sorted(unnamed(self._storage, layout.VIDEOS, ())) if not is_words(key)]

    def remove(self, key: str) -> None:
        name = key.removeprefix(f"{layout.VIDEOS}/")
        if name in {file.name for file in ArchiveManifest.of(self._storage)[0].files}:
            Archive(self._storage, self._lock_timeout).forget(name, self._wanted.ids)
            return
        with self._storage.lock(layout.VIDEOS_LOCK, self._lock_timeout):
            if name not in {file.name for file in ArchiveManifest.of(self._storage)[0].files}:
                _delete_leftover(self._storage, words_of(name))
                _delete_leftover(self._storage, key)


class Roster(Layer):
    """Chunks, those too that were retired. The caller has let the videos leave them: see `services.letting_go`."""

    name = "roster"
    may_get_more = False

    def keys(self) -> list[str]:
        return [layout.chunk(name) for name, _ in ChunkFiles(self._storage).names()]

    def rows(self, key: str) -> int:
        ids = ChunkFiles(self._storage).read(self._name(key)) if self._storage.version(key) is not None else []
        return sum(1 for video_id in ids if video_id in self._wanted)

    def remove(self, key: str) -> None:
        ChunkFiles(self._storage).forget(self._name(key), self._wanted.ids)

    @staticmethod
    def _name(key: str) -> str:
        return key.removeprefix(f"{layout.ROSTER}/").removesuffix(layout.SUFFIX)


class Lists(Layer):
    """Lists in the import queue, with their bad lines."""

    name = "lists"
    may_get_more = False

    def keys(self) -> list[str]:
        return sorted(unnamed(self._storage, layout.IMPORT_QUEUE, ()))

    def rows(self, key: str) -> int:
        with parquet.wrap_read_errors(key), self._storage.open(key) as handle:
            file = parquet.opened(handle, None, parquet.ANY_LAYER)
            if "video_id" in file.schema_arrow.names:
                return self._wanted.rows_of(file)
            return sum(1 for text in file.read(columns=["text"])["text"].to_pylist() if self._wanted.named_in(text))

    def remove(self, key: str) -> None:
        queue = ImportQueue(self._storage, self._lock_timeout)
        queue.forget(key.removeprefix(f"{layout.IMPORT_QUEUE}/"), self._wanted.ids, self._wanted.named_in)


class Sources(Layer):
    """What listings have named; a file that is lost costs calls only."""

    name = "sources"

    def keys(self) -> list[str]:
        return self._walked(layout.SOURCES)

    def remove(self, key: str) -> None:
        self._put_rewritten(key)


class Quarantine(Layer):
    """What could not be read, or could not then."""

    name = "quarantine"

    def keys(self) -> list[str]:
        return self._walked(layout.QUARANTINE)

    def rows(self, key: str) -> int:
        if self._is_text(key):
            return int(self._wanted.named_in(self._storage.read(key).data.decode("utf-8", "replace")))
        return super().rows(key)

    def remove(self, key: str) -> None:
        if self._is_text(key):
            self._storage.delete([key])
        else:
            self._put_rewritten(key)

    @staticmethod
    def _is_text(key: str) -> bool:
        return ".json" in key


LAYERS: Final[tuple[type[Layer], ...]] = (
    StagedPoints,
    History,
    Hours,
    NewestPoints,
    StagedAvailability,
    Availability,
    StagedDiscoveries,
    Discoveries,
    StagedMetadata,
    Metadata,
    Roster,
    Lists,
    Sources,
    Quarantine,
)


def _delete_leftover(storage: Storage, key: str) -> None:
    """Delete a file that no manifest names, where its writer cannot be about to have it named.

    The caller holds the lock that its writer would hold. Without locks only its age tells; a younger one stays, is
    found by the proof, and goes with a later run.
    """
    if storage.keeps_others_out or is_leftover(key):
        storage.delete([key])


def _require_same(path: str, wanted: dict[Partition, Checksum], found: dict[Partition, Checksum]) -> None:
    if wanted != found:
        raise UnreadableFileError(f"what was written in the place of {path} does not hold the other videos' points")
