"""Buckets in memory that count what is asked of them, and in them vaults as old as is wanted, by their names.

What an object store charges for is requests, and how many a verb sends depends on names, sizes and manifests, hardly on
what is in the files. So years of a vault are made of a few files that stand under many names. `tests/integration/vault/
test_requests.py` holds that a real server is sent the same requests.
"""

import random
import uuid
from base64 import b64encode
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.errors import FileChangedError
from ghost_tracking.vault import Vault, layout
from ghost_tracking.vault.availability import SCHEMA as EVENTS
from ghost_tracking.vault.history.days import CompactedDay
from ghost_tracking.vault.history.files import HistoryWriter
from ghost_tracking.vault.history.manifest import HistoryFile, HistoryManifest
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.kit.digests import digest_of
from ghost_tracking.vault.metadata import files as archive_files
from ghost_tracking.vault.metadata.manifest import LARGEST, ArchivedFile, ArchiveManifest, archived
from ghost_tracking.vault.metadata.rows import table_of
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.storage.base import Blob, Version
from ghost_tracking.vault.storage.bucket import ANY
from ghost_tracking.vault.storage.object_store import ObjectStorage

VIDEO = "9LfmrkyP81M"
PAGE = 1000
"""Names that a request for a listing gives, as S3 and Google have it."""
FILES_A_MONTH = 8
METADATA_FILES_A_YEAR = 220
CHUNKS_A_YEAR = 7_300
OPEN_HOURS = 28
"""The janitor runs in the fourth hour of a day, and compacts the day before."""
HISTORY_VIDEOS = 700
_POINTS_A_VIDEO = 500
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)


class CountingBucket:
    """See `Bucket`: conditional writes as S3 has them, and each request counted under its name in S3."""

    def __init__(self, page: int = PAGE) -> None:
        self._page = page
        self.requests: Counter[str] = Counter()
        self._objects: dict[str, tuple[bytes, str]] = {}
        self._names: list[str] = []

    @contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        """Count the requests of the block alone."""
        before = self.requests.copy()
        found: Counter[str] = Counter()
        yield found
        found.update(self.requests - before)

    def get(self, name: str, *, span: str | None = None, version: Version = ANY) -> Blob:
        """An object, or a part of it."""
        self.requests["GET"] += 1
        data, present = self._object(name)
        if version is not ANY and version != present:
            raise FileChangedError(f"{name} was replaced", key=name)
        if span is None:
            return Blob(data, len(data), present)
        first, _, last = span.partition("-")
        part = data[int(first) : int(last) + 1 if last else None] if first else data[-int(last) :]
        return Blob(part, len(data), present)

    def put(self, name: str, data: bytes, *, expecting: Version | None) -> None:
        """Write an object if it is of this version."""
        self.requests["PUT"] += 1
        present = self._objects.get(name, (b"", None))[1]
        if expecting is not ANY and expecting != present:
            raise FileChangedError(f"{name} was replaced", key=name)
        self.place(name, data)

    def place(self, name: str, data: bytes) -> None:
        """Write an object without a request."""
        if name not in self._objects:
            insort(self._names, name)
        self._objects[name] = data, uuid.uuid4().hex

    def fill(self, names: Iterable[str], data: bytes) -> None:
        """Write the same bytes under many names, without requests."""
        self._objects |= dict.fromkeys(names, (data, "1"))
        self._names = sorted(self._objects)

    def version(self, name: str) -> Version | None:
        """The present version."""
        self.requests["HEAD"] += 1
        return self._objects.get(name, (b"", None))[1]

    def listing(self, prefix: str, delimiter: str = "", after: str = "") -> Iterator[tuple[str, int]]:
        """Names in pages of a thousand, each a request."""
        self.requests["LIST"] += 1
        given, last = 0, None
        place = bisect_left(self._names, max(prefix, after))
        while place < len(self._names) and (name := self._names[place]).startswith(prefix):
            place += 1
            behind = name[len(prefix) :]
            is_folder = bool(delimiter) and delimiter in behind
            folder = f"{prefix}{behind.partition(delimiter)[0]}{delimiter}" if is_folder else ""
            found = (folder, 0) if is_folder else (name, len(self._objects[name][0]))
            if found[0] != last:
                if given and given % self._page == 0:
                    self.requests["LIST"] += 1
                given, last = given + 1, found[0]
                yield found
            if is_folder:
                place = bisect_left(self._names, f"{folder[:-1]}{chr(ord(delimiter) + 1)}", lo=place)

    def copy(self, name: str, to: str) -> None:
        """Copy an object."""
        self.requests["COPY"] += 1
        self.place(to, self._object(name)[0])

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects, a thousand a request."""
        chosen = list(names)
        self.requests["DELETE"] += -(-len(chosen) // 1000)
        for name in chosen:
            if self._objects.pop(name, None) is not None:
                del self._names[bisect_left(self._names, name)]

    def delete_version(self, name: str, version: Version) -> None:
        """Delete an object if it is of this version."""
        self.requests["DELETE"] += 1
        if self._object(name)[1] != version:
            raise FileChangedError(f"{name} was replaced", key=name)
        del self._objects[name]
        del self._names[bisect_left(self._names, name)]

    def _object(self, name: str) -> tuple[bytes, str]:
        try:
            return self._objects[name]
        except KeyError:
            raise FileNotFoundError(name) from None


def vault_on(bucket: CountingBucket) -> Vault:
    """A vault in a bucket."""
    vault = Vault("s3://counted/", lock_timeout=1.0)
    storage = ObjectStorage(bucket, f"s3://counted-{id(bucket)}", "", layout.SCRATCH)
    vault._location.__dict__["storage"] = storage
    return vault


def last_night() -> datetime:
    """Half past three of the last 5th: the janitor's time, with some days of the month in the history."""
    now = datetime.now(UTC)
    month = now if now.day > 5 else now.replace(day=1) - _DAY
    return month.replace(day=5, hour=3, minute=30, second=0, microsecond=0)


def aged_vault(bucket: CountingBucket, years: float, now: datetime, *, parts_an_hour: int = 46) -> Vault:
    """A vault with the names of so many years up to `now`, as it is before a run of the janitor: all hours kept.

    Hours of this month have a point each, compacted by day but for the last `OPEN_HOURS`, which have their parts, all
    of them published. Older hours, and the months that they are compacted into, are names and a few bytes.
    """
    vault = vault_on(bucket)
    vault.identity(create=True)
    begin = Partition.of(now - (OPEN_HOURS - 1) * _HOUR)
    first = begin.date.replace(day=1)
    dates = [first - (number + 1) * _DAY for number in range(round(years * 365) - (begin.date - first).days)][::-1]
    _this_month(bucket, vault, first, begin, parts_an_hour)
    _closed_months(bucket, dates)
    _archived_files(bucket, round(years * METADATA_FILES_A_YEAR), now)
    months = sorted({Period.month(date) for date in dates})
    bucket.fill(map(layout.availability, months), parquet.encode(EVENTS.empty_table(), parquet.EVENTS))
    chunks = round(years * CHUNKS_A_YEAR)
    bucket.fill((layout.chunk(f"{begin.date}-{number:06}") for number in range(chunks)), b"x")
    vault.measure()
    return vault


def _closed_months(bucket: CountingBucket, dates: list[date]) -> None:
    data = files.encode_sealed(points_of(Partition(dates[0], 0)), [])
    bucket.fill((layout.stats(Partition(date, hour)) for date in dates for hour in range(24)), data)
    day = CompactedDay(rows=(1,) * 24, hash="0" * 16 * 24, bytes=(len(data),) * 24, file_hash=digest_of(data) * 24)
    names = [
        (month, layout.history(month, f"20260101T000000-{_hex(month.name)}-{number:03}"))
        for month in sorted({Period.month(date) for date in dates})
        for number in range(FILES_A_MONTH)
    ]
    file, content = _history_file()
    bucket.fill((path for _, path in names), content)
    named = tuple(_named(file, period, path) for period, path in names)
    this_month = HistoryManifest.model_validate_json(bucket.get(layout.HISTORY_MANIFEST).data)
    manifest = HistoryManifest(
        files=(*named, *this_month.files), days={date.isoformat(): day for date in dates} | this_month.days
    )
    bucket.place(layout.HISTORY_MANIFEST, manifest.encoded())


@lru_cache(maxsize=1)
def _history_file() -> tuple[HistoryFile, bytes]:
    """A file of so many row groups that it has an index."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ids = np.repeat([f"9Lfmrky{number:04}" for number in range(HISTORY_VIDEOS)], _POINTS_A_VIDEO)
    seconds = np.tile(np.arange(_POINTS_A_VIDEO) * 60 * 1_000_000, HISTORY_VIDEOS) + int(start.timestamp()) * 1_000_000
    times = tables.pa.array(seconds).cast(tables.SCHEMA.field("timestamp").type)
    counts = tables.pa.array(np.arange(len(ids)))
    bucket = CountingBucket()
    storage = ObjectStorage(bucket, "s3://made", "", layout.SCRATCH)
    writer = HistoryWriter(storage, Period.month(start.date()))
    columns = [tables.pa.array(ids), times, counts, counts, counts, tables.pa.nulls(len(ids), times.type)]
    writer.write(tables.pa.table(columns, schema=tables.SCHEMA))
    (file,) = writer.close()
    return file, storage.read(file.path).data


def _named(file: HistoryFile, period: Period, path: str) -> HistoryFile:
    """The file under another name; the first of a period has the videos, the others would have later ones."""
    number = int(path.removesuffix(layout.SUFFIX).rpartition("-")[2])
    borders = (file.first, file.last) if not number else (f"a{number}", f"a{number}z")
    update = {"path": path, "period": period.name, "first": borders[0], "last": borders[1]}
    return file.model_copy(update=update)


def _this_month(bucket: CountingBucket, vault: Vault, first: date, begin: Partition, parts_an_hour: int) -> None:
    hours = [hour for hour in Period.month(first).hours if hour < begin]
    for hour in hours:
        bucket.place(layout.stats(hour), files.encode_sealed(points_of(hour), []))
    vault.compact(begin.starts_at + _HOUR, months=False)
    for number in range(OPEN_HOURS):
        hour = Partition.of(begin.starts_at + number * _HOUR)
        part = files.encode_part(points_of(hour))
        for each in range(parts_an_hour):
            name = f"{hour.starts_at:%Y%m%dT%H%M%S}{each:06}-{_hex(hour.path)}.part"
            bucket.place(layout.part(hour, name), part)
    vault.publish()


def _archived_files(bucket: CountingBucket, number: int, now: datetime) -> None:
    """The same full file under many names: merging leaves it alone."""
    draft = archive_files.Draft()
    text = b64encode(random.Random(1).randbytes(LARGEST // 2)).decode()  # that hardly packs
    draft.write(table_of([{"video_id": "a", "description": text, "discovered_at": now}], now))
    data = draft.finish()
    digest = digest_of(data)
    named = tuple(
        ArchivedFile(
            name=f"20260101T{each:012}-{_hex(str(each))}.parquet",
            videos=1,
            bytes=len(data),
            oldest=now,
            hash=digest,
        )
        for each in range(number)
    )
    bucket.fill((archived(file.name) for file in named), data)
    bucket.place(layout.VIDEOS_MANIFEST, ArchiveManifest(files=named).encoded())


def points_of(hour: Partition) -> "tables.pa.Table":
    """A point."""
    return tables.table_of([MetricPoint(VIDEO, hour.starts_at, 1, 1, 1, None)])


def _hex(text: str) -> str:
    return blake2b(text.encode(), digest_size=6).hexdigest()
