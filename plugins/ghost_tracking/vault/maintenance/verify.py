"""How the vault is: a survey of its names and footers, and a verification that reads everything and compares layers."""

import datetime as dt
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from ghost_tracking.core.arguments import require_span
from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.core.points import CLOCK_SKEW, is_future
from ghost_tracking.errors import FileChangedError, UnreadableFileError
from ghost_tracking.vault import availability, future_points, layout, metadata
from ghost_tracking.vault.history.files import HistoryReader, beyond_history, checksums_of, newest_of_hour
from ghost_tracking.vault.history.manifest import HistoryFile, HistoryManifest, current, load
from ghost_tracking.vault.kit.leftovers import is_leftover, unnamed
from ghost_tracking.vault.kit.names import named_at
from ghost_tracking.vault.listing import hours_between, part_names, published_dates, published_hours, staged_hours
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.points.tables import Checksum
from ghost_tracking.vault.reports import VerifyReport
from ghost_tracking.vault.storage import Storage
from ghost_tracking.wording import printable

log = logging.getLogger(__name__)

_THREADS: Final = 8
"""Footers are small: what takes time is asking for them one by one, on an object store."""
_BATCH: Final = 1 << 19


@dataclass(slots=True)
class _Layer:
    """Files of one kind: how many, their points and bytes."""

    files: int = 0
    points: int = 0
    bytes: int = 0

    def add(self, points: int, size: int) -> None:
        self.files += 1
        self.points += points
        self.bytes += size

    def as_dict(self) -> dict[str, int]:
        return {"files": self.files, "points": self.points, "bytes": self.bytes}


@dataclass(slots=True)
class _Survey:
    open: _Layer = field(default_factory=_Layer)
    sealed: _Layer = field(default_factory=_Layer)
    days: _Layer = field(default_factory=_Layer)
    months: _Layer = field(default_factory=_Layer)
    newest: dt.datetime | None = None
    rows: dict[Partition, int] = field(default_factory=dict)
    parts: dict[Partition, frozenset[str]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


def survey(storage: Storage) -> dict[str, Any]:
    """What names and footers tell of all layers; see `Vault.health_check`."""
    seen = _Survey()
    manifest = _manifest(storage, seen)
    now = dt.datetime.now(dt.UTC)
    hours = list(hours_between(storage, None, None))
    with ThreadPoolExecutor(_THREADS) as threads:
        for hour, found in zip(hours, threads.map(lambda hour: _footer(storage, hour), hours), strict=True):
            _note_hour(storage, hour, found, seen, now)
        for each, problem in zip(
            manifest.files, threads.map(lambda each: _problem_of(storage, each), manifest.files), strict=True
        ):
            layer = seen.months if Period.parse(each.period).is_month else seen.days
            layer.add(each.points, each.bytes)
            seen.unreadable += [problem] if problem else []
    newest = _newest(storage, manifest, seen.newest, now)
    points = _points(storage, manifest, seen)
    videos, events = metadata.survey(storage), availability.survey(storage)
    unpublished = _unpublished(storage, seen)
    return {
        "newest_point": None if newest is None else newest.isoformat(),
        "points": sum(points.values()),
        "partitions": len(points),
        "bytes": sum(layer.bytes for layer in (seen.open, seen.sealed, seen.days, seen.months))
        + videos["bytes"]
        + events["bytes"],
        "layers": {
            "open": seen.open.as_dict(),
            "sealed": seen.sealed.as_dict(),
            "days": seen.days.as_dict(),
            "months": seen.months.as_dict(),
            "videos": {name: videos[name] for name in ("files", "videos", "bytes")},
            "availability": {name: events[name] for name in ("files", "events", "bytes")},
        },
        "staged_parts": sum(map(len, unpublished.values())),
        "staged_hours": [hour.path for hour, names in unpublished.items() if names],
        "staged_videos": videos["staged_parts"],
        "staged_availability": events["staged_parts"],
        "stale_hours": list(manifest.stale),
        "unreadable": [*seen.unreadable, *videos["unreadable"], *events["unreadable"], *_foreign(storage)],
        "quarantined": sum(1 for _ in storage.walk(layout.QUARANTINE)),
        "future": list(future_points.problems(storage, manifest, now)),
    }


def verify(storage: Storage, start: dt.datetime | None = None, end: dt.datetime | None = None) -> VerifyReport:
    """Read every point of [start, end) in every layer, and compare; all metadata and availability as well.

    Hours against their history, the history against the manifest, row by row of what each must hold. While the vault is
    being compacted, a file may be reported missing: verify again.
    """
    require_span(start, end)
    seen = _Survey()
    manifest = _manifest(storage, seen)
    report = VerifyReport(problems=tuple(seen.unreadable))
    for hour in hours_between(storage, start, end):
        report += _verify_hour(storage, manifest, hour)
    for period in manifest.periods_between(start, end):
        log.info("Verifying the history of %s", period)
        report += _verify_period(storage, manifest, period)
    ahead = future_points.problems(storage, manifest, dt.datetime.now(dt.UTC))
    others = (
        *ahead,
        *_foreign(storage),
        *_orphans(storage, manifest),
        *metadata.verify(storage),
        *availability.verify(storage),
    )
    return report + VerifyReport(problems=others)


def read_hour(storage: Storage, hour: Partition) -> pa.Table:
    """All points of an hour's published file; UnreadableFileError naming it, FileNotFoundError."""
    key = layout.stats(hour)
    try:
        return files.decode(storage.read(key).data, hour)
    except UnreadableFileError as error:
        raise type(error)(f"{key} cannot be read: {error.message}", key=key) from error


def _manifest(storage: Storage, seen: _Survey) -> HistoryManifest:
    try:
        return load(storage)[0]
    except UnreadableFileError as error:
        seen.unreadable.append(error.message)
    except OSError as error:
        seen.unreadable.append(f"{layout.HISTORY_MANIFEST}: {error}")
    return HistoryManifest()


def newest_point(storage: Storage, now: dt.datetime) -> dt.datetime | None:
    """When the newest published point up to `now` (aware) was read; None: there is none.

    Of the footer of the last hour that has any, and of the history where it goes on for longer.
    """
    found = None
    for date in reversed(published_dates(storage)):
        for hour in reversed(published_hours(storage, date)):
            footer = None if is_future(hour.starts_at, now) else _footer(storage, hour)
            if isinstance(footer, tuple) and (found := _newest_of_file(storage, hour, footer[0], now)) is not None:
                return _newest(storage, _current(storage), found, now)
    return _newest(storage, _current(storage), None, now)


def _current(storage: Storage) -> HistoryManifest:
    """The manifest as readers have it; an empty one in the place of a damaged one."""
    try:
        return current(storage)[0]
    except (UnreadableFileError, OSError) as error:
        log.warning("What is compacted is not known: %s", error)
        return HistoryManifest()


def _newest(
    storage: Storage, manifest: HistoryManifest, of_files: dt.datetime | None, now: dt.datetime
) -> dt.datetime | None:
    """The newest point up to `now`, of which those of the files of hours are known."""
    last = manifest.last_hour(now + CLOCK_SKEW)
    if last is None or (of_files is not None and of_files >= last.ends_at):
        return of_files
    try:
        of_history = newest_of_hour(storage, manifest, last, now + CLOCK_SKEW)
    except (UnreadableFileError, OSError) as error:
        log.warning("The newest point of the history is not known: %s", error)
        return of_files
    return max(filter(None, [of_files, of_history]), default=None)


def _newest_of_file(storage: Storage, hour: Partition, footer: files.Footer, now: dt.datetime) -> dt.datetime | None:
    """The newest point up to `now` of an hour's file; it is read only where its footer tells of later ones."""
    if footer.newest is None or not is_future(footer.newest, now):
        return footer.newest
    try:
        return tables.newest(read_hour(storage, hour), now + CLOCK_SKEW)
    except (UnreadableFileError, OSError):
        return None


def _footer(storage: Storage, hour: Partition) -> tuple[files.Footer, int] | str | None:
    """An hour's footer and its file's size; why it cannot be read; None where there is no file."""
    key = layout.stats(hour)
    try:
        return files.footer_at(storage, key)
    except FileNotFoundError:
        return None
    except (UnreadableFileError, OSError) as error:
        return f"{key}: {error}"


def _note_hour(
    storage: Storage,
    hour: Partition,
    found: tuple[files.Footer, int] | str | None,
    seen: _Survey,
    now: dt.datetime,
) -> None:
    if isinstance(found, str):
        seen.unreadable.append(found)
    elif found is not None:
        footer, size = found
        (seen.sealed if footer.sealed else seen.open).add(footer.rows, size)
        seen.rows[hour], seen.parts[hour] = footer.rows, footer.parts
        if not is_future(hour.starts_at, now):  # hours come in order
            seen.newest = _newest_of_file(storage, hour, footer, now) or seen.newest


def _problem_of(storage: Storage, each: HistoryFile) -> str | None:
    return _problem(lambda: HistoryReader(storage, each.path).check())


def _problem(check: Callable[[], object]) -> str | None:
    try:
        check()
    except (UnreadableFileError, FileChangedError) as error:
        return error.message
    except OSError as error:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return None


def _points(storage: Storage, manifest: HistoryManifest, seen: _Survey) -> dict[Partition, int]:
    """How many points each hour has, whichever layers have them."""
    points = dict(manifest.hours_between(None, None))
    for hour, rows in seen.rows.items():
        changed = hour in points and (manifest.is_stale(hour) or bool(part_names(storage, hour)))
        points[hour] = manifest.points(hour, rows, changed=changed)
    return points


def _unpublished(storage: Storage, seen: _Survey) -> dict[Partition, set[str]]:
    hours = staged_hours(storage)
    return {hour: set(part_names(storage, hour)) - seen.parts.get(hour, frozenset()) for hour in hours}


def _verify_hour(storage: Storage, manifest: HistoryManifest, hour: Partition) -> VerifyReport:
    found: list[Checksum] = []
    problem = _problem(lambda: found.append(tables.checksums(read_hour(storage, hour)).get(hour, Checksum(0, 0))))
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
    _problem(lambda: found.append(beyond_history(storage, manifest, hour, read_hour(storage, hour)).num_rows))
    return found[0] if found else 0


def _verify_period(storage: Storage, manifest: HistoryManifest, period: Period) -> VerifyReport:
    names = [each.path for each in manifest.files_of(period)]
    found: dict[Partition, Checksum] = {}
    problem = _problem(lambda: found.update(checksums_of(storage, names, _BATCH)))
    if problem:
        return VerifyReport(problems=(problem,))
    wanted = manifest.checksums(period)
    differing = sorted(hour for hour in wanted.keys() | found.keys() if wanted.get(hour) != found.get(hour))
    problems = tuple(f"the history of {period} differs from the manifest in {hour}" for hour in differing[:3])
    return VerifyReport(periods=1, points=sum(each.rows for each in found.values()), problems=problems)


def _foreign(storage: Storage) -> Iterator[str]:
    """A sentence for each symbolic link, pipe or device below the root."""
    for key in storage.foreign():
        yield f"{printable(key)} is a symbolic link, or none of the vault's files: it is left alone; remove it"


def _orphans(storage: Storage, manifest: HistoryManifest) -> Iterator[str]:
    """A sentence for each file of the history that no manifest names, and that no compaction is about to name."""
    for key in unnamed(storage, layout.HISTORY, {each.path for each in manifest.files}):
        if is_leftover(key):
            yield f"{key} was left by a compaction that was killed more than a day ago: the next one deletes it"
        elif named_at(key) is None:
            yield f"{key} is in no manifest and none of the vault's files: it is left alone; remove it"
