"""What a vault consists of when it is proven bit by bit: days of published files, and the files that manifests name.

A file that still has the bytes that were written is proven without being decoded: when they were written, what is in
them was compared with what they were made of. Of any other, all of it is read and compared.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.errors import FileChangedError, UnreadableFileError
from ghost_tracking.vault import layout, metadata, period_files
from ghost_tracking.vault.history.manifest import HistoryFile, HistoryManifest
from ghost_tracking.vault.kit.digests import NO_DIGEST, digest_of
from ghost_tracking.vault.kit.names import named_at
from ghost_tracking.vault.latest import proof
from ghost_tracking.vault.latest.manifest import Shard, current
from ghost_tracking.vault.maintenance.period_layers import PERIOD_LAYERS
from ghost_tracking.vault.maintenance.verify import problem_of_bytes, verify_hour, verify_period
from ghost_tracking.vault.metadata.manifest import ArchivedFile, ArchiveManifest
from ghost_tracking.vault.period_files import PeriodLayer
from ghost_tracking.vault.reports import VerifyReport
from ghost_tracking.vault.storage import Storage

_SHARES: Final = 28
"""Of all ids of the archive: so many that one is proven a night."""
_ID_BYTES: Final = 10


@dataclass(frozen=True, slots=True)
class Unit:
    """What is proven at once: its name, its bytes, the day on which whoever wrote it proved it (None: nobody did).

    `prove` reads all of it, and holds one file of an hour, of metadata or of events at a time, or 32 MiB.
    """

    name: str
    bytes: int
    born: dt.date | None
    prove: Callable[[], VerifyReport]


def units_of(storage: Storage, manifest: HistoryManifest, sizes: Mapping[Partition, int]) -> list[Unit]:
    """All of a vault, of whose published files the sizes are known; lists days and months, and opens no file."""
    return [
        *_days(storage, manifest, sizes),
        *_history(storage, manifest),
        *_newest_points(storage),
        *_archive(storage),
        *_periods(storage),
    ]


def day_name(date: dt.date) -> str:
    """The name of the unit of a date's published files."""
    return f"{layout.METRICS}/date={date.isoformat()}"


def prove_hour(storage: Storage, manifest: HistoryManifest, hour: Partition) -> VerifyReport:
    """Prove an hour's file: that it is the one that was compacted, or else as `verify_hour` does."""
    known = manifest.file_of(hour)
    if known is not None:
        try:
            data = storage.read(layout.stats(hour)).data
        except FileNotFoundError:
            return VerifyReport()
        except (UnreadableFileError, OSError):
            return verify_hour(storage, manifest, hour)
        if digest_of(data) == known.digest:
            return VerifyReport(files=1, bytes=len(data))
    return verify_hour(storage, manifest, hour)


def _days(storage: Storage, manifest: HistoryManifest, sizes: Mapping[Partition, int]) -> Iterator[Unit]:
    by_date: dict[dt.date, list[Partition]] = {}
    for hour in sizes:
        by_date.setdefault(hour.date, []).append(hour)
    for date, hours in by_date.items():
        size = sum(sizes[hour] for hour in hours)
        yield Unit(day_name(date), size, None, partial(_prove_hours, storage, manifest, hours))


def _prove_hours(storage: Storage, manifest: HistoryManifest, hours: list[Partition]) -> VerifyReport:
    return VerifyReport.combined([prove_hour(storage, manifest, hour) for hour in hours])


def _history(storage: Storage, manifest: HistoryManifest) -> Iterator[Unit]:
    """The files of the history, each read back by whoever wrote it; by periods those of which nothing was noted."""
    for period in manifest.periods:
        named = manifest.files_of(period)
        if any(each.hash == NO_DIGEST for each in named):
            name = f"{layout.HISTORY}/{period.path}"
            size = sum(each.bytes for each in named)
            yield Unit(name, size, None, partial(verify_period, storage, manifest, period))
        else:
            for each in named:
                yield Unit(each.path, each.bytes, _named_on(each.path), partial(_prove_bytes, storage, each))


def _prove_bytes(storage: Storage, each: HistoryFile) -> VerifyReport:
    problem = problem_of_bytes(storage, each)
    return VerifyReport(problems=(problem,)) if problem else VerifyReport(files=1, bytes=each.bytes)


def _named_on(key: str) -> dt.date | None:
    at = named_at(key)
    return None if at is None else at.date()


def _newest_points(storage: Storage) -> Iterator[Unit]:
    """The shards, which are written again within a month: so they are hardly ever due."""
    try:
        latest = current(storage)
    except UnreadableFileError:
        return  # the look at names has said so
    for shard in latest.shards:
        yield Unit(shard.key, shard.bytes, _named_on(shard.key), partial(_prove_shard, storage, shard))


def _prove_shard(storage: Storage, shard: Shard) -> VerifyReport:
    problem = proof.problem_of_bytes(storage, shard)
    return VerifyReport(problems=(problem,)) if problem else VerifyReport(files=1, bytes=shard.bytes)


def _archive(storage: Storage) -> Iterator[Unit]:
    """The files of metadata, each with its index; and the ids in all of them, a share at a time."""
    try:
        manifest, _ = ArchiveManifest.of(storage)
    except UnreadableFileError:
        return  # the survey has said so
    for file in manifest.files:
        size = file.bytes + (0 if file.words is None else file.words.bytes)
        yield Unit(file.key, size, None, partial(_prove_archived, storage, file, size))

    parts = min(_SHARES, len(manifest.files) - 1)
    for part in range(parts):
        size = sum(file.videos for file in manifest.files) * _ID_BYTES // parts
        name = f"{layout.VIDEOS}/ids {part + 1} of {parts}"
        yield Unit(name, size, None, partial(_prove_unique, storage, manifest.files, part, parts))


def _prove_unique(storage: Storage, held: Sequence[ArchivedFile], part: int, parts: int) -> VerifyReport:
    """That no video of a share of all ids is in two files; a file that is gone meanwhile was merged."""
    try:
        return VerifyReport(problems=tuple(metadata.duplicates(storage, held, part, parts)))
    except (FileNotFoundError, FileChangedError, UnreadableFileError):
        return VerifyReport()  # what is broken or missing is told of by whoever proves that file


def _prove_archived(storage: Storage, file: ArchivedFile, size: int) -> VerifyReport:
    problem = metadata.problem_of(storage, file) or metadata.verify_words(storage, file)
    return VerifyReport(problems=(problem,)) if problem else VerifyReport(files=1, bytes=size)


def _periods(storage: Storage) -> Iterator[Unit]:
    for layer in PERIOD_LAYERS:
        sizes = dict(storage.walk(layer.folder))
        for period in layer.periods_of(sizes):
            size = sizes.get(layer.key(period), 0)
            yield Unit(layer.key(period), size, None, partial(_prove_period, storage, layer, period, size))


def _prove_period(storage: Storage, layer: PeriodLayer, period: Period, size: int) -> VerifyReport:
    problem = period_files.problem_of(storage, layer, period)
    return VerifyReport(problems=(problem,)) if problem else VerifyReport(files=1, bytes=size)
