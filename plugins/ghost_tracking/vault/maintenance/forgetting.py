"""Forgetting: videos go from every layer of the vault, and a look at each layer proves it.

A layer is a kind of files, which is looked through one file at a time: by the statistics of its row groups, then by
the ids alone. A file that has any of the videos is replaced as its own writers replace it, under their locks and by
their manifests: whoever is killed in between leaves a vault that readers can use, and the same work done again
finishes it. Nobody else's points change, and no position: where positions count (chunks of the roster, lists that are
imported), a neighbour's id takes the place of a forgotten one.

The history goes before hours: an hour's file with fewer points than its history would be taken for what came late after
the file had gone, and be deleted by a compaction that comes in between.
"""

from collections.abc import Callable, Collection
from datetime import datetime
from functools import partial

from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault.import_queue import ImportQueue
from ghost_tracking.vault.kit.manifests import retry_overtaken
from ghost_tracking.vault.maintenance.layers import LAYERS, Layer, Wanted
from ghost_tracking.vault.maintenance.prepared_layers import PREPARED_LAYERS
from ghost_tracking.vault.reports import ForgetReport, LayerReport
from ghost_tracking.vault.storage import Storage

Progress = Callable[[str, int, int], None]
"""Is told which layer is looked through, how many of its files were, and of how many."""


def forget(
    storage: Storage,
    video_ids: Collection[str],
    lock_timeout: float,
    *,
    dry_run: bool,
    since: datetime | None = None,
    progress: Progress | None = None,
) -> ForgetReport:
    """Take these videos out of every layer, or only count what each has of them.

    With `since` (aware), only of what may have come since then: hours, history and months that meet that time, and all
    that is staged, but neither the roster nor the lists in the import queue. Holds a file of an hour, a row group or
    some 65,000 points at a time. Raises PartitionBusyError where somebody else seals or compacts.
    """
    wanted = Wanted(video_ids)
    kinds = [kind for kind in (*LAYERS, *PREPARED_LAYERS) if since is None or kind.may_get_more]
    layers = [kind(storage, wanted, lock_timeout, since) for kind in kinds]
    report = ForgetReport(tuple(_look(layer, dry_run=dry_run, progress=progress) for layer in layers))
    if not dry_run:
        ImportQueue(storage, lock_timeout).drop_empty()
    return report


def _look(layer: Layer, *, dry_run: bool, progress: Progress | None) -> LayerReport:
    keys = layer.keys()
    looked = held = rows = 0
    problems = []
    for number, key in enumerate(keys, 1):
        if progress is not None:
            progress(layer.name, number, len(keys))
        try:
            found = retry_overtaken(partial(_found, layer, key, dry_run=dry_run))
        except FileNotFoundError:
            continue  # merged or compacted meanwhile: what was in it is looked for where it went
        except UnreadableFileError as error:
            problems.append(f"{error.message}: mend it or delete it, then forget these videos again")
            continue
        looked += 1
        held += bool(found)
        rows += found
    return LayerReport(layer.name, looked, held, rows, tuple(problems))


def _found(layer: Layer, key: str, *, dry_run: bool) -> int:
    rows = layer.rows(key)
    if rows and not dry_run:
        layer.remove(key)
    return rows
