"""What lies in the future: points that a wrong clock has brought in, before they were refused or from elsewhere.

Hours that have not begun are found by their names; a point later than now within the present hour is past soon.
"""

import datetime as dt
import logging
from collections.abc import Iterable, Iterator

from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import CLOCK_SKEW, is_future
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.manifest import HistoryManifest
from ghost_tracking.vault.listing import hours_between, part_names, staged_hours
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)


def published(storage: Storage, now: dt.datetime) -> list[Partition]:
    """The hours to come that have a file under `metrics/`."""
    ahead = [hour for hour in hours_between(storage, now, None) if is_future(hour.starts_at, now)]
    return [hour for hour in ahead if storage.version(layout.stats(hour)) is not None]


def staged(storage: Storage, now: dt.datetime) -> list[Partition]:
    """The hours to come that have staged parts."""
    return [hour for hour in staged_hours(storage) if is_future(hour.starts_at, now) and part_names(storage, hour)]


def compacted(manifest: HistoryManifest, now: dt.datetime) -> list[Partition]:
    """The hours to come that have points in the history."""
    return [hour for hour, _ in manifest.hours_between(now + CLOCK_SKEW, None) if is_future(hour.starts_at, now)]


def problems(
    published: Iterable[Partition], staged: Iterable[Partition], manifest: HistoryManifest, now: dt.datetime
) -> Iterator[str]:
    """A sentence for each layer that has points of the future; hours that have a published file, or staged parts."""
    found = {
        layout.METRICS: sorted(hour for hour in published if is_future(hour.starts_at, now)),
        layout.PARTS: sorted(hour for hour in staged if is_future(hour.starts_at, now)),
        layout.HISTORY: compacted(manifest, now),
    }
    for layer, hours in found.items():
        if hours:
            more = f" and {len(hours) - 1} more" if len(hours) > 1 else ""
            yield (
                f"{layer}/ has points of the future ({hours[0]}{more}): a machine's clock was wrong; repair the vault "
                "to set them aside"
            )
