"""Proving the shards, and giving up those that are broken: all that they have is in the history too."""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime

from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import is_future
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.manifest import HistoryManifest
from ghost_tracking.vault.history.manifest import load as load_history
from ghost_tracking.vault.kit.leftovers import is_leftover, unnamed
from ghost_tracking.vault.kit.names import named_at
from ghost_tracking.vault.latest.manifest import LatestManifest, Shard, Span, load
from ghost_tracking.vault.latest.merging import Stream
from ghost_tracking.vault.latest.reading import of_history
from ghost_tracking.vault.latest.refreshing import Refresher, drop
from ghost_tracking.vault.latest.shards import problem_of
from ghost_tracking.vault.points import tables
from ghost_tracking.vault.points.tables import Checksum
from ghost_tracking.vault.reports import LatestReport
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)


def verify(storage: Storage, history: HistoryManifest, *, everything: bool) -> Iterator[str]:
    """A sentence for everything that is not as it should be, told by names and sizes: nothing is read.

    A refresh reads each shard once a month, and meets what is damaged. With `everything`, each shard's bytes are looked
    at, and its points are compared with those of the history, of which all last points are read. That holds a shard's
    file at a time, and what reading the newest points does.
    """
    try:
        latest, _ = load(storage)
    except UnreadableFileError as error:
        yield f"{error.message}: repair the vault, which makes {layout.LATEST}/ from the history"
        return
    sizes = dict(storage.walk(layout.LATEST))
    for shard in latest.shards:
        problem = _problem(storage, history, shard) if everything else _problem_of_size(shard, sizes.get(shard.key))
        if problem:
            yield problem
    yield from _orphans(storage, latest)


def _problem_of_size(shard: Shard, size: int | None) -> str | None:
    if size == shard.bytes:
        return None
    found = "is missing" if size is None else f"has {size:,} bytes, and {shard.bytes:,} were written"
    return f"{shard.key} {found}: repair the vault, which makes it from the history"


def mend(storage: Storage, now: datetime) -> LatestReport:
    """Give up what is broken, or has points of the future of `now` (aware) or others than the history; make it again.

    The caller holds `layout.HISTORY_LOCK`. Nothing is lost by that: see `refreshing`.
    """
    history, _ = load_history(storage)
    try:
        latest, version = load(storage)
    except UnreadableFileError as error:
        log.error(error.message)
        latest, version = LatestManifest(), storage.version(layout.LATEST_MANIFEST)
        latest.replace(storage, layout.LATEST_MANIFEST, expecting=version)
    if version is None:  # nobody has made any yet
        return LatestReport()
    broken = [each for each in latest.shards if _is_broken(storage, history, each, now)]
    if broken:
        latest = drop(storage, [each.name for each in broken])
    # also where a repair was killed after that
    return LatestReport() if all(span.shard for span in latest.spans()) else Refresher(storage).refresh()


def _is_broken(storage: Storage, history: HistoryManifest, shard: Shard, now: datetime) -> bool:
    ahead = shard.newest is not None and is_future(shard.newest, now)
    problem = f"{shard.key} has points of the future" if ahead else _problem(storage, history, shard)
    if problem:
        log.error(problem)
    return problem is not None


def problem_of_bytes(storage: Storage, shard: Shard) -> str | None:
    """As `problem_of`, with a sentence for what the storage raises."""
    return _told(shard, lambda: problem_of(storage, shard))


def _problem(storage: Storage, history: HistoryManifest, shard: Shard) -> str | None:
    def compared() -> str | None:
        other = f"{shard.key} has other points than the history: repair the vault, which makes it again"
        return None if _agrees(storage, history, shard) else other

    return problem_of_bytes(storage, shard) or _told(shard, compared)


def _told(shard: Shard, look: Callable[[], str | None]) -> str | None:
    try:
        return look()
    except UnreadableFileError as error:
        return error.message
    except OSError as error:
        return f"{shard.key} cannot be compared now: {error}"


def _agrees(storage: Storage, history: HistoryManifest, shard: Shard) -> bool:
    """Whether the newest points are the same with and without the shard."""
    ids = shard.first, shard.end
    found = _sums(of_history(storage, history, Span(*ids, shard)))
    return found == _sums(of_history(storage, history, Span(*ids, None)))


def _sums(stream: Stream) -> dict[Partition, Checksum]:
    sums: dict[Partition, Checksum] = {}
    for table in stream:
        tables.add_checksums(sums, tables.checksums(table))
    return sums


def _orphans(storage: Storage, latest: LatestManifest) -> Iterator[str]:
    """A sentence for each file that the manifest does not name, and that no refresh is about to name."""
    for key in unnamed(storage, layout.LATEST, {each.key for each in latest.shards}):
        if is_leftover(key):
            yield f"{key} was left by a refresh that was killed more than a day ago: the next one deletes it"
        elif named_at(key) is None:
            yield f"{key} is in no manifest and none of the vault's files: it is left alone; remove it"
