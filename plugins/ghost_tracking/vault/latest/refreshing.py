"""Writing the shards: the first time, again where they have not seen what was compacted since, and without videos.

Every night some of the shards that are furthest behind are written again, at least one in thirty of all: so each is at
most a month behind, and a night's work does not grow with the vault's age. A shard that is written again is merged
from itself and from what it lacks. A new file is put beside the old one, the manifest is replaced in one step, and only
then the old file is deleted.

The layer is made of the history, and can be made of it again: whoever deletes `latest/` loses nothing but time.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa

from ghost_tracking.errors import FileChangedError, UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.manifest import HistoryManifest
from ghost_tracking.vault.history.manifest import load as load_history
from ghost_tracking.vault.kit.leftovers import LEFTOVER_AGE, is_leftover, sweep
from ghost_tracking.vault.kit.manifests import retry_overtaken
from ghost_tracking.vault.latest.manifest import LatestManifest, Shard, Span, load
from ghost_tracking.vault.latest.reading import of_history
from ghost_tracking.vault.latest.shards import ShardReader, ShardWriter
from ghost_tracking.vault.reports import LatestReport
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)

SHARE: Final = 30
"""One in so many shards is written again each night."""
MOST_VIDEOS: Final = 3_000_000
"""A shard that has more becomes two."""


class Refresher:
    """Writes the shards of one storage. The caller holds `layout.HISTORY_LOCK`.

    :param most_videos: a shard with more is split when it is written again; a new one gets two thirds
    """

    def __init__(self, storage: Storage, most_videos: int = MOST_VIDEOS) -> None:
        self._storage = storage
        self._most = most_videos

    def refresh(self, share: int = SHARE) -> LatestReport:
        """Make shards of ids that are in none, and write one in `share` of the others again, where they lack anything.

        What fails is in the report, stays as it is, and is read from the history.
        """
        history, _ = load_history(self._storage)
        latest, _ = load(self._storage)
        report = LatestReport()
        if history.files:
            due = _due(latest, history)[: -(-len(latest.shards) // share)]
            spans = [span for span in latest.spans() if span.shard is None]
            spans += [Span(each.first, each.end, each) for each in due]
            report = LatestReport.combined([self._written(history, span) for span in spans] or [report])
        named = {each.key for each in load(self._storage)[0].shards}
        swept = sweep(self._storage, layout.LATEST, named, datetime.now(UTC) - LEFTOVER_AGE)
        return report + LatestReport(leftovers_deleted=swept)

    def _written(self, history: HistoryManifest, span: Span) -> LatestReport:
        """A span that cannot be written is reported and stops no other."""
        try:
            return self._made(history, span) if span.shard is None else self._made_again(history, span)
        except (UnreadableFileError, FileChangedError, OSError) as error:
            problem = f"the newest points of the ids from {span.first!r} on could not be written: {error}"
            log.error(problem)
            return LatestReport(problems=(problem,))

    def _made(self, history: HistoryManifest, span: Span) -> LatestReport:
        """Shards for ids that are in none; each counts as soon as it is whole, so that a killed run is gone on with."""
        report = LatestReport()
        for shard in self._shards(history, span, self._most * 2 // 3):
            self._replace([shard], [])
            report += _report_of([shard])
            log.info("The newest points of %s videos are in place, up to id %s", f"{report.videos:,}", shard.end)
        return report

    def _made_again(self, history: HistoryManifest, span: Span) -> LatestReport:
        """A shard, or two where it has grown too large, in the place of one."""
        before = span.shard
        if before is None:
            return LatestReport()
        # what it has gained since will not be that much; where it is, more than two come of it
        most = before.videos // 2 + 1 if before.videos > self._most else self._most * 4 // 3
        made = list[Shard]()
        try:
            made += self._shards(history, span, most)
        except Exception:
            self._storage.delete(each.key for each in made)
            raise
        # when this fails, only a later sweep can tell that nobody names what was written
        self._replace(made, [before])
        self._storage.delete([before.key])
        return _report_of(made)

    def _shards(self, history: HistoryManifest, span: Span, most: int) -> Iterator[Shard]:
        """Put the points of a span into the vault, in files of so many videos."""
        included = {period.name: history.digest(period) for period in history.periods}
        writer, first = ShardWriter(), span.first
        for table in _pieces(of_history(self._storage, history, span), most):
            if writer.videos == most:
                border = str(table["video_id"][0].as_py())
                yield writer.store(self._storage, first, border, included)
                writer, first = ShardWriter(), border
            writer.write(table)
        yield writer.store(self._storage, first, span.end, included)

    def _replace(self, made: Sequence[Shard], gone: Sequence[Shard]) -> None:
        """Name shards in the place of others; FileChangedError where somebody else has replaced these."""

        def replaced() -> None:
            latest, version = load(self._storage)
            found = [each.shard for each in latest.spans(made[0].first, made[-1].end) if each.shard is not None]
            if found != list(gone):
                raise FileChangedError(f"the ids from {made[0].first!r} on were written by somebody else")
            latest.with_shards(made, gone).replace(self._storage, layout.LATEST_MANIFEST, expecting=version)

        retry_overtaken(replaced)


def drop(storage: Storage, names: Sequence[str]) -> LatestManifest:
    """Give up shards: their ids are read from the history, until the next refresh makes them again. What is left."""
    latest, version = load(storage)
    gone = [each for each in latest.shards if each.name in names]
    left = latest.with_shards([], gone)
    left.replace(storage, layout.LATEST_MANIFEST, expecting=version)
    storage.delete(each.key for each in gone)
    return left


def without(storage: Storage, key: str, left_of: Callable[[pa.Table], pa.Table]) -> None:
    """Write the shard at `key` again with what is left of its points; a file that no manifest names goes.

    The caller holds `layout.HISTORY_LOCK`, and has taken the same videos out of the history: else a refresh brings them
    back. FileChangedError when somebody else was faster.
    """
    latest, version = load(storage)
    shard = next((each for each in latest.shards if each.key == key), None)
    if shard is None:
        if storage.keeps_others_out or is_leftover(key):
            storage.delete([key])
        return
    writer = ShardWriter()
    for table in ShardReader(storage, shard).between(shard.first, shard.end):
        writer.write(left_of(table))
    made = writer.store(storage, shard.first, shard.end, shard.included)
    # when this fails, only a later sweep can tell that nobody names what was written
    latest.with_shards([made], [shard]).replace(storage, layout.LATEST_MANIFEST, expecting=version)
    storage.delete([key])


def carry(storage: Storage, before: HistoryManifest, after: HistoryManifest, *, whole_hours: bool) -> None:
    """Note that the history has lost points and got none, so that the shards have seen what is left of them.

    With `whole_hours`, all points of some hours; other days are told by their hours and left out. Where nobody notes
    it, nothing is wrong: what changed is read from the history until the shards are written again. So what fails is
    logged and raises nothing: the caller has more to do.
    """

    def carried() -> None:
        latest, version = load(storage)
        if version is not None and latest.shards:
            carried_on = latest.carried(before, after, whole_hours=whole_hours)
            carried_on.replace(storage, layout.LATEST_MANIFEST, expecting=version)

    try:
        retry_overtaken(carried)
    except (UnreadableFileError, FileChangedError, OSError) as error:
        log.warning("What the history has lost could not be noted in %s: %s", layout.LATEST_MANIFEST, error)


def _due(latest: LatestManifest, history: HistoryManifest) -> list[Shard]:
    """The shards that lack points of the history or have expired ones, those that are furthest behind first."""
    points = {period: sum(each.points for each in history.files_of(period)) for period in history.periods}
    behind = {shard.name: sum(points[period] for period in shard.lacking(history)) for shard in latest.shards}
    due = [each for each in latest.shards if behind[each.name] or _has_expired(each, history)]
    return sorted(due, key=lambda each: (-behind[each.name], each.name))


def _has_expired(shard: Shard, history: HistoryManifest) -> bool:
    expired = history.expired_before
    return expired is not None and shard.oldest is not None and shard.oldest < expired


def _report_of(made: Sequence[Shard]) -> LatestReport:
    return LatestReport(
        shards=len(made), videos=sum(each.videos for each in made), bytes=sum(each.bytes for each in made)
    )


def _pieces(stream: Iterator[pa.Table], most: int) -> Iterator[pa.Table]:
    """The tables of a stream, none of which crosses a multiple of so many rows."""
    count = 0
    for table in stream:
        rest = table
        while count + rest.num_rows > most:
            if count < most:
                yield rest.slice(0, most - count)
            rest = rest.slice(most - count)
            count = 0
        if rest.num_rows:
            count += rest.num_rows
            yield rest
