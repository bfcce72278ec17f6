"""Bytes by layer: of what the runs change all day counted live, of all else as the janitor measured it last.

Published files and the history need no measuring: the manifest of the history has their sizes, and those of the hours
that it does not have are listed. Of the other layers, some of which have tens of thousands of files, a listing is kept
as `prepared/sizes.json`.
"""

import logging
from datetime import UTC, datetime
from typing import Final

from pydantic import AwareDatetime, Field

from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.manifest import HistoryManifest
from ghost_tracking.vault.kit.manifests import Count, Manifest
from ghost_tracking.vault.maintenance.period_layers import PERIOD_LAYERS
from ghost_tracking.vault.period_files import RowCount, counted
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)

LIVE: Final = {"hours": layout.METRICS, "history": layout.HISTORY, "staged": layout.STAGING}
"""Layers that are counted when they are asked for."""

MEASURED: Final = {
    "metadata": layout.VIDEOS,
    "latest": layout.LATEST,
    "roster": layout.ROSTER,
    "availability": layout.AVAILABILITY,
    "discoveries": layout.DISCOVERIES,
    "import_queue": layout.IMPORT_QUEUE,
    "prepared": layout.PREPARED,
}
"""Layers that are measured once a night."""

LAYERS: Final = LIVE | MEASURED
"""The folders of a vault by what is kept there."""


class LayerSizes(Manifest):
    """Bytes of each layer of `MEASURED`, and when they were counted (None: never).

    `rows`: how many each file of a day or month of `PERIOD_LAYERS` had then, by its key.
    """

    at: AwareDatetime | None = None
    bytes: dict[str, Count] = Field(default_factory=dict)
    rows: dict[str, RowCount] = Field(default_factory=dict)


def measure(storage: Storage) -> LayerSizes:
    """Count the layers of `MEASURED`, each in one flat listing, and keep what was found."""
    known, rows = known_sizes(storage).rows, dict[str, RowCount]()
    for layer in PERIOD_LAYERS:
        rows |= counted(storage, layer, known)[0]
    found = LayerSizes(at=datetime.now(UTC), bytes=_measured(storage), rows=rows)
    storage.put(layout.SIZES, found.encoded())
    return found


def known_sizes(storage: Storage) -> LayerSizes:
    """As they were measured last; none where they never were."""
    try:
        return LayerSizes.load(storage, layout.SIZES)[0]
    except (UnreadableFileError, OSError) as error:
        log.warning("%s cannot be used, and is replaced by the janitor's next run: %s", layout.SIZES, error)
        return LayerSizes()


def sizes(storage: Storage) -> LayerSizes:
    """As they were measured last; counted now, and without a time, where they never were."""
    known = known_sizes(storage)
    return known if known.at is not None else LayerSizes(bytes=_measured(storage))


def bytes_of_history(manifest: HistoryManifest) -> int:
    """The size of all files that the manifest of the history names."""
    return sum(each.bytes for each in manifest.files)


def bytes_of_compacted_hours(manifest: HistoryManifest) -> int:
    """The size of the published files of all compacted hours, as they were when they were compacted."""
    return sum(
        size for day in manifest.days.values() for hour, size in enumerate(day.bytes) if hour not in day.compacted_only
    )


def _measured(storage: Storage) -> dict[str, int]:
    return {name: sum(size for _, size in storage.walk(folder)) for name, folder in MEASURED.items()}
