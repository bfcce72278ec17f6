"""Verification: read everything, and compare the layers."""

import datetime as dt
import logging
from collections.abc import Callable, Iterator
from typing import Final

import pyarrow as pa

from ghost_tracking.core.arguments import require_span
from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.errors import FileChangedError, UnreadableFileError
from ghost_tracking.vault import future_points, layout, metadata, period_files
from ghost_tracking.vault.history.files import beyond_history, checksums_of
from ghost_tracking.vault.history.manifest import HistoryFile, HistoryManifest
from ghost_tracking.vault.history.reader import HistoryReader
from ghost_tracking.vault.kit.digests import NO_DIGEST, digest_of_file
from ghost_tracking.vault.kit.leftovers import is_leftover, unnamed
from ghost_tracking.vault.kit.names import named_at
from ghost_tracking.vault.latest import proof
from ghost_tracking.vault.listing import hours_between, part_names
from ghost_tracking.vault.maintenance.period_layers import PERIOD_LAYERS
from ghost_tracking.vault.maintenance.survey import foreign, manifest_or_none
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.points.tables import Checksum
from ghost_tracking.vault.prepared import upkeep
from ghost_tracking.vault.reports import VerifyReport
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)

_BATCH: Final = 1 << 19


def verify(storage: Storage, start: dt.datetime | None = None, end: dt.datetime | None = None) -> VerifyReport:
    """Read every point of [start, end) in every layer, and compare; all metadata and availability as well.

    Hours against their history, the history against the manifest, row by row of what each must hold. While the vault is
    being compacted, a file may be reported missing: verify again.
    """
    require_span(start, end)
    unreadable: list[str] = []
    manifest = manifest_or_none(storage, unreadable)
    report = VerifyReport(problems=tuple(unreadable))
    for hour in hours_between(storage, start, end):
        report += verify_hour(storage, manifest, hour)
    for period in manifest.periods_between(start, end):
        log.info("Verifying the history of %s", period)
        report += verify_period(storage, manifest, period)
    others = (
        *ahead(storage, manifest),
        *foreign(storage),
        *orphans(storage, manifest),
        *proof.verify(storage, manifest, everything=start is None),
        *metadata.verify(storage),
        *(problem for layer in PERIOD_LAYERS for problem in period_files.verify(storage, layer)),
        *upkeep.verify(storage),
    )
    return report + VerifyReport(problems=others)


def read_hour(storage: Storage, hour: Partition) -> pa.Table:
    """All points of an hour's published file; UnreadableFileError naming it, FileNotFoundError."""
    key = layout.stats(hour)
    try:
        return files.decode(storage.read(key).data, hour)
    except UnreadableFileError as error:
        raise type(error)(f"{key} cannot be read: {error.message}", key=key) from error


def ahead(storage: Storage, manifest: HistoryManifest) -> Iterator[str]:
    """A sentence for each layer that has points of the future."""
    now = dt.datetime.now(dt.UTC)
    return future_points.problems(
        future_points.published(storage, now), future_points.staged(storage, now), manifest, now
    )


def problem_in(check: Callable[[], object]) -> str | None:
    """What keeps `check` from reading, as a sentence that names the file; None where nothing does."""
    try:
        check()
    except (UnreadableFileError, FileChangedError) as error:
        return error.message
    except OSError as error:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return None


def verify_hour(storage: Storage, manifest: HistoryManifest, hour: Partition) -> VerifyReport:
    """Read an hour's file, and compare it with its history where it is compacted; nothing where there is no file."""
    found: list[Checksum] = []
    problem = problem_in(lambda: found.append(tables.checksums(read_hour(storage, hour)).get(hour, Checksum(0, 0))))
    if not found:
        gone = storage.version(layout.stats(hour)) is None
        return VerifyReport() if gone else VerifyReport(problems=(problem or "",))
    report = VerifyReport(hours=1, points=found[0].rows)
    if not manifest.holds(hour.date) or manifest.is_stale(hour) or part_names(storage, hour):
        return report
    compacted = manifest.checksum(hour) or Checksum(0, 0)
    if compacted == found[0] or (manifest.is_compacted_only(hour) and not _lacking(storage, manifest, hour)):
        return report
    problem = (
        f"{layout.stats(hour)} has {found[0].rows:,} points, its history {compacted.rows:,}"
        + (" others" if compacted.rows == found[0].rows else "")
        + ": repair the vault to have both in both"
    )
    return report + VerifyReport(problems=(problem,))


def _lacking(storage: Storage, manifest: HistoryManifest, hour: Partition) -> int:
    """How many points of an hour's file its history lacks; what cannot be read is told of elsewhere."""
    found: list[int] = []
    problem_in(lambda: found.append(beyond_history(storage, manifest, hour, read_hour(storage, hour)).num_rows))
    return found[0] if found else 0


def verify_period(storage: Storage, manifest: HistoryManifest, period: Period) -> VerifyReport:
    """Read all of a period's history, half a million points at a time, and compare it with the manifest."""
    named = manifest.files_of(period)
    found: dict[Partition, Checksum] = {}
    problem = problem_in(lambda: found.update(checksums_of(storage, (each.path for each in named), _BATCH)))
    problem = problem or next(filter(None, (problem_in(HistoryReader.of(storage, each).check) for each in named)), None)
    if problem:
        return VerifyReport(problems=(problem,))
    wanted = manifest.checksums(period)
    differing = sorted(hour for hour in wanted.keys() | found.keys() if wanted.get(hour) != found.get(hour))
    problems = tuple(f"the history of {period} differs from the manifest in {hour}" for hour in differing[:3])
    problems += tuple(filter(None, (problem_of_bytes(storage, each) for each in named)))
    return VerifyReport(periods=1, points=sum(each.rows for each in found.values()), problems=problems)


def problem_of_bytes(storage: Storage, each: HistoryFile) -> str | None:
    """A sentence for a file of the history that has other bytes than were written; None where nobody noted them."""
    return None if each.hash == NO_DIGEST else problem_of_digest(storage, each.path, each.hash)


def problem_of_digest(storage: Storage, key: str, digest: str) -> str | None:
    """A sentence where the bytes of a file have another digest; reads all of it, and holds 32 MiB."""
    found: list[str] = []

    def read() -> None:
        with storage.open(key) as file:
            found.append(digest_of_file(file))

    problem = problem_in(read)
    if problem is None and found[0] != digest:
        problem = f"{key} is not as it was written: repair the vault to have it made again"
    return problem


def orphans(storage: Storage, manifest: HistoryManifest) -> Iterator[str]:
    """A sentence for each file of the history that no manifest names, and that no compaction is about to name."""
    for key in unnamed(storage, layout.HISTORY, {each.path for each in manifest.files}):
        if is_leftover(key):
            yield f"{key} was left by a compaction that was killed more than a day ago: the next one deletes it"
        elif named_at(key) is None:
            yield f"{key} is in no manifest and none of the vault's files: it is left alone; remove it"
