"""What verification, repair and retention do with the prepared layer: all of it can be made again."""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime

from ghost_tracking.errors import GhostTrackingError, UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit.manifests import Manifest
from ghost_tracking.vault.prepared import figures
from ghost_tracking.vault.prepared.gains import Gains, GainsState, copy_aside
from ghost_tracking.vault.prepared.rebuild import rebuild
from ghost_tracking.vault.reports import RepairReport
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)


def verify(storage: Storage) -> Iterator[str]:
    """Read every file, some 200 small ones; a sentence for each that is broken. Holds one at a time."""
    yield from Gains(storage, 0).problems()
    yield from figures.problems(storage)


def repair(storage: Storage, lock_timeout: float, now: datetime) -> RepairReport:
    """Keep broken files aside, and make the gains of the last days again where any are lost; see `rebuild`.

    Figures are made by the next run of the tracker.
    """
    gains = Gains(storage, lock_timeout)
    aside = [gains.begin_again(hour) for hour in gains.broken_hours()]
    aside += [copy_aside(storage, key)[0] for key in _broken(storage, figures.kinds())]
    storage.delete(_broken(storage, figures.kinds()))
    state = list(_broken(storage, [(layout.GAINS_STATE, GainsState)]))
    if state:
        aside.append(copy_aside(storage, layout.GAINS_STATE)[0])
        gains.complete_since(now)
    report = RepairReport(quarantined=tuple(aside))
    if state or gains.lost_hours():
        try:
            points = rebuild(storage, lock_timeout, now)
            log.info("Made the gains of the last days again, from %s points", f"{points:,}")
        except (GhostTrackingError, OSError) as error:
            report += RepairReport(problems=(f"the gains that movers are made of could not be made again: {error}",))
    return report


def _broken(storage: Storage, kinds: Iterable[tuple[str, type[Manifest]]]) -> Iterator[str]:
    for key, kind in kinds:
        try:
            kind.load(storage, key)
        except UnreadableFileError as error:
            log.error(error.message)
            yield key


def expire(storage: Storage, lock_timeout: float, cutoff: datetime) -> None:
    """Delete the gains of hours that ended by `cutoff` (aware), and figures as of then or earlier."""
    Gains(storage, lock_timeout).expire(cutoff)
    figures.expire(storage, cutoff)
