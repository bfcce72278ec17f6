"""Proving the shards, and giving up those that are broken: all that they have is in the history too."""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import is_future
from ghost_tracking.errors import FileChangedError, UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.manifest import HistoryManifest
from ghost_tracking.vault.history.manifest import load as load_history
from ghost_tracking.vault.kit.leftovers import is_leftover, unnamed
from ghost_tracking.vault.kit.manifests import size_problem
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
        if everything:
            problem = _told(shard, partial(_problem, storage, history, shard))
        elif problem := size_problem(shard.key, shard.bytes, sizes.get(shard.key)):
            problem = f"{problem}: repair the vault, which makes it from the history"
        if problem:
            yield problem
    yield from _orphans(storage, latest)


def mend(storage: Storage, now: datetime) -> LatestReport:
    """Give up what is broken, or has points of the future of `now` (aware) or others than the history; make it again.

    The caller holds `layout.HISTORY_LOCK`. Nothing is lost by that: see `refreshing`. What the storage cannot read now
    stays, and is a problem in the report: it may be sound, and making it again takes what cannot be read.
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
    broken, problems = list[str](), list[str]()
    for shard in latest.shards:
        try:
            problem = _problem(storage, history, shard, now)
        except (FileChangedError, OSError) as error:
            problem = _not_now(shard, error)
            problems.append(problem)
        else:
            broken += [shard.name] if problem else []
        if problem:
            log.error(problem)
    if broken:
        latest = drop(storage, broken)
    report = LatestReport(problems=tuple(problems))
    # also where a repair was killed after that
    return report if all(span.shard for span in latest.spans()) else report + Refresher(storage).refresh()


def problem_of_bytes(storage: Storage, shard: Shard) -> str | None:
    """As `problem_of`, with a sentence for what the storage raises."""
    return _told(shard, partial(problem_of, storage, shard))


def _problem(storage: Storage, history: HistoryManifest, shard: Shard, now: datetime | None = None) -> str | None:
    """What is wrong with a shard, which then is to be made again; FileChangedError and OSError of the storage."""
    if now is not None and shard.newest is not None and is_future(shard.newest, now):
        return f"{shard.key} has points of the future"
    try:
        return problem_of(storage, shard) or _differs(storage, history, shard)
    except UnreadableFileError as error:
        return error.message


def _told(shard: Shard, look: Callable[[], str | None]) -> str | None:
    try:
        return look()
    except UnreadableFileError as error:
        return error.message
    except (FileChangedError, OSError) as error:
        return _not_now(shard, error)


def _not_now(shard: Shard, error: Exception) -> str:
    return f"{shard.key} cannot be compared now: {error}"


def _differs(storage: Storage, history: HistoryManifest, shard: Shard) -> str | None:
    """A sentence where the newest points are others with the shard than without it."""
    ids = shard.first, shard.end
    found = _sums(of_history(storage, history, Span(*ids, shard)))
    if found == _sums(of_history(storage, history, Span(*ids, None))):
        return None
    return f"{shard.key} has other points than the history: repair the vault, which makes it again"


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
