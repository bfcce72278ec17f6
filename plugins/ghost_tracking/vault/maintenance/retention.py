"""Expiry: points past an age go from every layer, the schedule never."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

from pydantic import AwareDatetime

from ghost_tracking.core.partitions import Partition
from ghost_tracking.errors import FileChangedError, PartitionBusyError, UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.compaction import Compactor
from ghost_tracking.vault.history.manifest import HistoryManifest, load
from ghost_tracking.vault.kit.manifests import Manifest
from ghost_tracking.vault.kit.names import named_at
from ghost_tracking.vault.latest import refreshing
from ghost_tracking.vault.listing import hours_between, part_names, staged_hours
from ghost_tracking.vault.maintenance.period_layers import PERIOD_LAYERS
from ghost_tracking.vault.period_files import PeriodFiles
from ghost_tracking.vault.points import files
from ghost_tracking.vault.prepared import upkeep
from ghost_tracking.vault.reports import ExpireReport
from ghost_tracking.vault.storage import Storage

NOTICE: Final = timedelta(hours=1)

log = logging.getLogger(__name__)


def expire(storage: Storage, cutoff: datetime, lock_timeout: float, *, dry_run: bool) -> ExpireReport:
    """Delete the hours that ended by `cutoff`, or only count them. The caller holds `layout.HISTORY_LOCK`.

    Staged parts go first, so that no publication brings back an hour that has gone; hourly files then, the history
    after them. Of availability whole months go, of discoveries
    whole days, of gains whole hours, and figures that are as old.
    """
    report = ExpireReport()
    parts = [
        layout.part(hour, name)
        for hour in staged_hours(storage)
        if hour.ends_at <= cutoff
        for name in part_names(storage, hour)
    ]
    aside = list(_set_aside(storage, cutoff))
    report += ExpireReport(parts=len(parts), set_aside=len(aside))
    if not dry_run:
        storage.delete([*parts, *aside])
    for hour in [hour for hour in hours_between(storage, None, cutoff) if hour.ends_at <= cutoff]:
        report += _expire_hour(storage, hour, lock_timeout, dry_run=dry_run)
    before, _ = load(storage)
    report += _expire_history(storage, cutoff, dry_run=dry_run)
    if not dry_run:
        refreshing.carry(storage, before, load(storage)[0], whole_hours=True)
        upkeep.expire(storage, lock_timeout, cutoff)
    for layer in PERIOD_LAYERS:
        rows, problems = PeriodFiles(layer, storage, lock_timeout).expire(cutoff, dry_run=dry_run)
        report += ExpireReport(**{layer.folder: rows}, problems=problems)
    return report


class Announcement(Manifest):
    """The retention that is in force, or is going to be, and since when."""

    days: int = 0
    announced_at: AwareDatetime = datetime.min.replace(tzinfo=UTC)


def was_announced(storage: Storage, days: int, now: datetime) -> bool:
    """Whether this retention stood in `layout.RETENTION` an hour before `now`; another one is replaced by it."""
    known, version = Announcement.load(storage, layout.RETENTION)
    if known.days == days:
        return known.announced_at <= now - NOTICE
    Announcement(days=days, announced_at=now).replace(storage, layout.RETENTION, expecting=version)
    return False


def _expire_hour(storage: Storage, hour: Partition, lock_timeout: float, *, dry_run: bool) -> ExpireReport:
    key = layout.stats(hour)
    try:
        footer, _ = files.footer_at(storage, key)
        points = footer.rows
        hours = 1
    except FileNotFoundError:
        points = hours = 0  # whoever was killed left the folder
    except UnreadableFileError:
        points, hours = 0, 1  # what it held is past its age, whatever it was
    if not dry_run:
        try:
            with storage.lock(layout.lock(hour), lock_timeout):
                storage.delete([key])
        except PartitionBusyError:
            problem = f"{key} is being written by somebody else: it goes with the next run"
            return ExpireReport(problems=(problem,))
    return ExpireReport(hours=hours, points=points)


def _expire_history(storage: Storage, cutoff: datetime, *, dry_run: bool) -> ExpireReport:
    before = Partition.of(cutoff).starts_at
    old = _points_before(load(storage)[0], before)
    if dry_run:
        return ExpireReport(history_points=old)
    problems = []
    try:
        Compactor(storage).expire(before)
    except (UnreadableFileError, FileChangedError, OSError) as error:
        problem = f"the history of {_periods_before(load(storage)[0], before)} keeps points past their age: {error}"
        log.error(problem)
        problems = [problem]
    left = _points_before(load(storage)[0], before)
    return ExpireReport(history_points=old - left, problems=tuple(problems))


def _periods_before(manifest: HistoryManifest, moment: datetime) -> str:
    """The days and months that have points before a moment, as text: the first three of them."""
    held = (
        each for each in manifest.periods_between(None, moment) if any(manifest.hours_between(each.starts_at, moment))
    )
    return ", ".join(map(str, islice(held, 3)))


def _points_before(manifest: HistoryManifest, moment: datetime) -> int:
    return sum(rows for _, rows in manifest.hours_between(None, moment))


def _set_aside(storage: Storage, cutoff: datetime) -> Iterator[str]:
    """Files in quarantine that are past their age: of hours, and of layers of days and months."""
    for key, _ in storage.walk(layout.QUARANTINE):
        place = key.removeprefix(f"{layout.QUARANTINE}/")
        ended_at = _period_end(place)
        try:
            ended_at = ended_at or Partition.parse("/".join(place.split("/")[:2])).ends_at
        except ValueError:
            continue
        if ended_at <= cutoff:
            yield key


def _period_end(place: str) -> datetime | None:
    """When the day or month ended that a file was of, or a part was staged; None for another file's place."""
    layer = next((each for each in PERIOD_LAYERS if place.startswith(f"{each.folder}/")), None)
    if layer is None:
        return None
    periods = layer.periods_of([place])
    return periods[0].ends_at if periods else named_at(place.removesuffix(".broken"))
