"""How the vault is, told by names and sizes: one flat listing of each layer, compared with what its manifest says.

Files that a manifest names are not opened: of these, `verify` tells. Opened are the footers of the newest hours, which
no manifest names yet, and of hours whose file is no longer the one that was compacted.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.core.points import is_future
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import future_points, layout, metadata, period_files
from ghost_tracking.vault.history.manifest import HistoryManifest, load
from ghost_tracking.vault.kit.manifests import size_problem
from ghost_tracking.vault.listing import published_sizes
from ghost_tracking.vault.maintenance.live import LiveHours, footers_of
from ghost_tracking.vault.maintenance.newest import newest, newest_of_file
from ghost_tracking.vault.maintenance.period_layers import PERIOD_LAYERS
from ghost_tracking.vault.maintenance.sizes import known_sizes
from ghost_tracking.vault.points import files
from ghost_tracking.vault.points.counts import HourCount
from ghost_tracking.vault.storage import Storage
from ghost_tracking.wording import printable

MOST_OPENED: Final = 24
"""Footers of published files that are read all the same, although notes or the manifest tell what they hold."""


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
class _Hours:
    """The published files: what each holds as far as that is known, which cannot be read, and what is unpublished."""

    open: _Layer = field(default_factory=_Layer)
    sealed: _Layer = field(default_factory=_Layer)
    counts: dict[Partition, HourCount] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    unpublished: dict[Partition, int] = field(default_factory=dict)


def survey(storage: Storage) -> dict[str, Any]:
    """What names and sizes tell of all layers; see `Vault.health_check`."""
    unreadable: list[str] = []
    manifest = manifest_or_none(storage, unreadable)
    now = dt.datetime.now(dt.UTC)
    live = LiveHours(storage, manifest)
    sizes = published_sizes(storage)
    hours = _hours(storage, manifest, live, sizes)
    days, months = _history(manifest)
    unreadable += history_problems(storage, manifest)
    videos, known = metadata.survey(storage), known_sizes(storage).rows
    others = {layer: period_files.survey(storage, layer, known) for layer in PERIOD_LAYERS}
    of_others = sum(each["bytes"] for each in others.values())
    points = _points(manifest, hours.counts, live.changed)
    layers = (hours.open, hours.sealed, days, months)
    newest_at = _newest(storage, manifest, hours.counts, now)
    return {
        "newest_point": None if newest_at is None else newest_at.isoformat(),
        "points": sum(points.values()),
        "partitions": len(points),
        "bytes": sum(layer.bytes for layer in layers) + videos["bytes"] + of_others,
        "layers": {
            "open": hours.open.as_dict(),
            "sealed": hours.sealed.as_dict(),
            "days": days.as_dict(),
            "months": months.as_dict(),
            "videos": {name: videos[name] for name in ("files", "videos", "bytes")},
        }
        | {
            layer.folder: {"files": each["files"], layer.holds: each["rows"], "bytes": each["bytes"]}
            for layer, each in others.items()
        },
        "staged_parts": sum(hours.unpublished.values()),
        "staged_hours": [hour.path for hour in hours.unpublished],
        "staged_videos": videos["staged_parts"],
        "stale_hours": list(manifest.stale),
        "unreadable": [
            *unreadable, *hours.unreadable, *videos["unreadable"],
            *(problem for each in others.values() for problem in each["unreadable"]), *foreign(storage),
        ],
        "quarantined": sum(1 for key in live.staged if key.startswith(f"{layout.QUARANTINE}/")),
        "future": list(future_points.problems(sizes, live.parts, manifest, now)),
    } | {f"staged_{layer.folder}": each["staged_parts"] for layer, each in others.items()}  # fmt: skip


def manifest_or_none(storage: Storage, unreadable: list[str]) -> HistoryManifest:
    """The manifest as it stands; one of nothing where it cannot be read, and `unreadable` has the reason then."""
    try:
        return load(storage)[0]
    except UnreadableFileError as error:
        unreadable.append(error.message)
    except OSError as error:
        unreadable.append(f"{layout.HISTORY_MANIFEST}: {error}")
    return HistoryManifest()


def foreign(storage: Storage) -> list[str]:
    """A sentence for each symbolic link, pipe or device below the root."""
    return [
        f"{printable(key)} is a symbolic link, or none of the vault's files: it is left alone; remove it"
        for key in storage.foreign()
    ]


def _hours(storage: Storage, manifest: HistoryManifest, live: LiveHours, sizes: Mapping[Partition, int]) -> _Hours:
    """What the published files hold: those that were compacted as the manifest says, others by notes and footers."""
    compacted = {hour for hour, size in sizes.items() if _is_as_compacted(manifest, hour, size)}
    noted = {
        hour: count
        for hour, size in sizes.items()
        if hour not in compacted and (count := live.noted(hour, size)) is not None
    }
    opened = footers_of(storage, _to_open(manifest, live, sizes, compacted, noted))
    found = _Hours(unpublished=_unpublished(live.parts, sizes, noted, opened))
    for hour, size in sizes.items():
        footer = opened.get(hour)
        if isinstance(footer, str):
            found.unreadable.append(footer)
        elif (count := noted.get(hour) if footer is None else HourCount.of(*footer)) is not None:
            (found.sealed if count.sealed else found.open).add(count.rows, count.bytes)
            found.counts[hour] = count
        elif manifest.holds(hour.date):
            known = manifest.checksum(hour)
            found.sealed.add(0 if known is None else known.rows, size)
    return found


def _is_as_compacted(manifest: HistoryManifest, hour: Partition, size: int) -> bool:
    """Whether an hour's file has the size that it had when it was compacted."""
    known = manifest.file_of(hour)
    return known is not None and known.bytes == size


def _to_open(
    manifest: HistoryManifest,
    live: LiveHours,
    sizes: Mapping[Partition, int],
    compacted: Collection[Partition],
    noted: Mapping[Partition, HourCount],
) -> list[Partition]:
    """The hours whose footers are read.

    Those of which nothing else tells, or whose parts may be unpublished; the last one; and of all others that are not
    as they were compacted the newest, the ones that nothing explains before them: `MOST_OPENED` at most.
    """
    unknown = {hour for hour in sizes if hour not in noted and not manifest.holds(hour.date)}
    waiting = {
        hour
        for hour, names in live.parts.items()
        if hour in sizes and not (hour in noted and noted[hour].has_merged(names))
    }
    others = [hour for hour in sorted(sizes, reverse=True) if hour not in compacted and hour not in unknown]
    unexplained = [hour for hour in others if manifest.holds(hour.date) and hour not in live.changed]
    looked_at = [*unexplained[: MOST_OPENED // 2], *others][:MOST_OPENED]
    return sorted(unknown | waiting | {*looked_at, *_last_begun(sizes)})


def _last_begun(sizes: Iterable[Partition]) -> list[Partition]:
    """The last of these hours that has begun, if any has."""
    now = dt.datetime.now(dt.UTC)
    return sorted(hour for hour in sizes if not is_future(hour.starts_at, now))[-1:]


def _unpublished(
    parts: Mapping[Partition, list[str]],
    sizes: Collection[Partition],
    noted: Mapping[Partition, HourCount],
    opened: Mapping[Partition, tuple[files.Footer, int] | str],
) -> dict[Partition, int]:
    """How many staged parts of each hour are in no published file."""
    found: dict[Partition, int] = {}
    for hour, names in parts.items():
        footer = opened.get(hour)
        if isinstance(footer, tuple):
            found[hour] = len(set(names) - footer[0].parts)
        elif footer is None and hour in sizes and hour in noted and noted[hour].has_merged(names):
            found[hour] = 0
        else:
            found[hour] = len(names)
    return {hour: number for hour, number in found.items() if number}


def _points(
    manifest: HistoryManifest, counts: Mapping[Partition, HourCount], changed: Collection[Partition]
) -> dict[Partition, int]:
    """How many points each hour has, whichever layers have them."""
    points = dict(manifest.hours_between(None, None))
    for hour, count in counts.items():
        points[hour] = manifest.points(hour, count.rows, changed=hour in changed)
    return points


def _newest(
    storage: Storage, manifest: HistoryManifest, counts: Mapping[Partition, HourCount], now: dt.datetime
) -> dt.datetime | None:
    for hour in sorted(counts, reverse=True):
        if not is_future(hour.starts_at, now):
            found = newest_of_file(storage, hour, counts[hour].newest_at, now)
            if found is not None:
                return newest(storage, manifest, (hour, counts[hour].rows, found), now)
    return newest(storage, manifest, None, now)


def history_problems(storage: Storage, manifest: HistoryManifest) -> list[str]:
    """A sentence for each file of the history that is not there, or of another size than the manifest says."""
    there = dict(storage.walk(layout.HISTORY)) if manifest.files else {}
    found = {each.path: size_problem(each.path, each.bytes, there.get(each.path)) for each in manifest.files}
    problems = {path: problem for path, problem in found.items() if problem}
    if problems:  # a compaction may have taken files out of the manifest, and deleted them, in between
        named = {each.path for each in manifest_or_none(storage, []).files}
        problems = {path: problem for path, problem in problems.items() if path in named}
    return list(problems.values())


def _history(manifest: HistoryManifest) -> tuple[_Layer, _Layer]:
    """The files of days and of months."""
    days, months = _Layer(), _Layer()
    for each in manifest.files:
        (months if Period.parse(each.period).is_month else days).add(each.points, each.bytes)
    return days, months
