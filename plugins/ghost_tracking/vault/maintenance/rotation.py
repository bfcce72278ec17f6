"""The nightly check: all that is new, and of all else the share that has not been proven for longest.

So a night's reading is a twenty-eighth of the points, metadata, events and discoveries, and within four weeks all of
them are proven once. When each unit was proven last is kept as `_verified.json`; without that file the rotation begins
again.
"""

import datetime as dt
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from pydantic import Field

from ghost_tracking.core.partitions import Partition
from ghost_tracking.errors import FileChangedError, UnreadableFileError
from ghost_tracking.vault import layout, metadata
from ghost_tracking.vault.history.manifest import HistoryManifest
from ghost_tracking.vault.kit.manifests import Manifest
from ghost_tracking.vault.latest import proof as newest_points
from ghost_tracking.vault.listing import published_sizes
from ghost_tracking.vault.maintenance.survey import foreign, history_problems, manifest_or_none
from ghost_tracking.vault.maintenance.units import Unit, day_name, prove_hour, units_of
from ghost_tracking.vault.maintenance.verify import ahead, orphans
from ghost_tracking.vault.prepared import upkeep
from ghost_tracking.vault.reports import VerifyReport
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)

NIGHTS: Final = 28
"""Within so many nights everything is proven."""
RECENT: Final = dt.timedelta(days=2)
_NOTED_EVERY: Final = 4 * 2**30
"""Bytes after which a night that is ended by force has been worth it."""


class Proofs(Manifest):
    """On which day (UTC) each unit was proven last, which ones could not be, and since when everything is proven.

    `since` is the day of the oldest proof that counts; None: something was never proven, or could not be.
    """

    proven: dict[str, dt.date] = Field(default_factory=dict)
    failed: tuple[str, ...] = ()
    since: dt.date | None = None

    @classmethod
    def of(cls, storage: Storage) -> "Proofs":
        """The present ones; none where they cannot be read, which the next check replaces."""
        try:
            return cls.load(storage, layout.VERIFIED)[0]
        except (UnreadableFileError, OSError) as error:
            log.warning("%s cannot be used, the rotation begins again: %s", layout.VERIFIED, error)
            return cls()

    def day_of(self, unit: Unit) -> dt.date | None:
        """When it was proven last; None: never, or it could not be."""
        if unit.name in self.failed:
            return None
        return max(filter(None, [self.proven.get(unit.name), unit.born]), default=None)

    def with_results(self, units: Collection[Unit], sound: Mapping[str, bool], today: dt.date) -> "Proofs":
        """The same with what was found of some units, for those that there are."""
        known = {unit.name: day for unit in units if (day := self.day_of(unit)) is not None}
        known |= {unit.name: today for unit in units if sound.get(unit.name)}
        names = {unit.name for unit in units}
        failed = {name for name in self.failed if name in names and not sound.get(name)}
        failed |= {name for name, is_sound in sound.items() if not is_sound}
        proven = {name: day for name, day in known.items() if name not in failed}
        since = min(proven.values(), default=today) if len(proven) == len(names) else None
        return Proofs(proven=proven, failed=tuple(sorted(failed)), since=since)

    def note(self, storage: Storage) -> None:
        """Keep them; what fails is logged, and costs that these files are proven again."""
        try:
            storage.put(layout.VERIFIED, self.encoded())
        except (OSError, FileChangedError, UnreadableFileError) as error:
            log.warning("What was proven could not be noted in %s: %s", layout.VERIFIED, error)


def share_of(units: Sequence[Unit], proofs: Proofs, today: dt.date) -> list[Unit]:
    """The units whose turn it is: those that could not be proven, then of each layer the ones unproven for longest.

    A twenty-eighth of a layer's bytes at least; twice that where units were not proven for 28 days, as after a pause.
    """
    layers: dict[str, list[Unit]] = {}
    for unit in units:
        layers.setdefault(unit.name.partition("/")[0], []).append(unit)
    return [unit for layer in layers.values() for unit in _share_of_layer(layer, proofs, today)]


def _share_of_layer(units: Sequence[Unit], proofs: Proofs, today: dt.date) -> list[Unit]:
    share = -(-sum(unit.bytes for unit in units) // NIGHTS)
    late = today - dt.timedelta(days=NIGHTS)
    failed = [unit for unit in units if unit.name in proofs.failed]
    days = {unit.name: proofs.day_of(unit) or dt.date.min for unit in units if unit.name not in proofs.failed}
    turn = sorted((unit for unit in units if days.get(unit.name, today) < today), key=lambda each: days[each.name])
    first = list(_up_to(turn, share))
    more = list(_up_to(turn, 2 * share))[len(first) :]
    return [*_up_to(failed, share), *first, *(unit for unit in more if dt.date.min < days[unit.name] <= late)]


def verify_share(storage: Storage, now: dt.datetime) -> VerifyReport:
    """Prove the hours of the last two days and the share whose turn it is; names and sizes of all files.

    The names are told by one flat listing of each layer, and the few small prepared files are read. Holds one file of
    an hour, of metadata, of newest points, of events or of discoveries at a time, 32 MiB of one of the history, or the
    ids of eight million videos of the archive, 250 MB; opens one at a time.
    """
    unreadable: list[str] = []
    manifest = manifest_or_none(storage, unreadable)
    sizes = published_sizes(storage)
    today = now.astimezone(dt.UTC).date()
    report = VerifyReport(problems=(*unreadable, *_problems_of_names(storage, manifest)))
    units, proofs = units_of(storage, manifest, sizes), Proofs.of(storage)
    sound: dict[str, bool] = {}
    for hours in _recent(sizes, now):
        found = VerifyReport.combined([prove_hour(storage, manifest, hour) for hour in hours])
        report += found
        sound[day_name(hours[0].date)] = not found.problems
    noted_at = 0
    for unit in share_of(units, proofs, today):
        if unit.name not in sound:
            log.info("Proving %s", unit.name)
            found = unit.prove()
            report += found
            sound[unit.name] = not found.problems
        if report.bytes - noted_at >= _NOTED_EVERY:
            noted_at = report.bytes
            proofs.with_results(units, sound, today).note(storage)
    proofs.with_results(units, sound, today).note(storage)
    return report


def note_everything(storage: Storage, now: dt.datetime) -> None:
    """Note that all files were proven: after `verify` of everything, which found nothing wrong."""
    units = units_of(storage, manifest_or_none(storage, []), published_sizes(storage))
    Proofs().with_results(
        units, dict.fromkeys((unit.name for unit in units), True), now.astimezone(dt.UTC).date()
    ).note(storage)


def _recent(sizes: Mapping[Partition, int], now: dt.datetime) -> list[list[Partition]]:
    """The hours of the dates that the last two days touch, by date."""
    first = (now - RECENT).astimezone(dt.UTC).date()
    dates = sorted({hour.date for hour in sizes if hour.date >= first})
    return [[hour for hour in sizes if hour.date == date] for date in dates]


def _problems_of_names(storage: Storage, manifest: HistoryManifest) -> Iterator[str]:
    """What names and sizes tell is wrong, in whatever layer, and what is in the few small files of prepared figures."""
    yield from history_problems(storage, manifest)
    yield from metadata.survey(storage)["unreadable"]
    yield from ahead(storage, manifest)
    yield from foreign(storage)
    yield from orphans(storage, manifest)
    yield from newest_points.verify(storage, manifest, everything=False)
    yield from upkeep.verify(storage)


def _up_to(units: Sequence[Unit], most: int) -> Iterator[Unit]:
    """The first of them that have so many bytes together; the last one may go beyond."""
    taken = 0
    for unit in units:
        if taken >= most:
            return
        yield unit
        taken += unit.bytes
