"""Writing the archive: staged metadata and rows of the database go into files that only a manifest makes part of it.

New files are written durably, then the manifest is replaced, and only then are retired files and merged parts
deleted. Whoever is killed on the way leaves either files that nobody names, which a later run sweeps, or parts that
are merged once more, which changes nothing.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.core.videos import Video
from ghost_tracking.errors import FileChangedError, UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit.leftovers import sweep
from ghost_tracking.vault.kit.manifests import retry_overtaken
from ghost_tracking.vault.kit.names import new_name
from ghost_tracking.vault.kit.staging import StagedParts, Trouble
from ghost_tracking.vault.metadata import files
from ghost_tracking.vault.metadata.lookup import found_in
from ghost_tracking.vault.metadata.manifest import ArchivedFile, ArchiveManifest, missing_file, words_of
from ghost_tracking.vault.metadata.rows import (
    DATABASE,
    GIVEN,
    SCHEMA,
    STAGED,
    Origin,
    newest_of_each,
    row_of,
    standing,
    table_of,
)
from ghost_tracking.vault.metadata_reports import ArchiveReport, ExpiryReport
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)

_ROUND_BYTES: Final = 64 * 2**20
"""Of staged metadata in memory at a time: some 60,000 videos with long descriptions."""

INDEXED_A_NIGHT: Final = 40
"""Files from before there was an index that get one in a run of the janitor: a second or two each."""


@dataclass(frozen=True, slots=True)
class _Change:
    """What becomes of the archive in one replacement of its manifest: rows that it gets, by file the ids it loses."""

    rows: pa.Table
    superseded: dict[str, list[str]] = field(default_factory=dict)
    added: int = 0
    changed: int = 0
    unchanged: int = 0


class Archive:
    """The writing side of the archive on one storage. Every verb raises as `Vault` says."""

    def __init__(self, storage: Storage, lock_timeout: float) -> None:
        self._storage = storage
        self._lock_timeout = lock_timeout

    def stage(self, videos: Sequence[Video], discovered_at: datetime) -> str | None:
        """Write `videos` as one durable part, and return its key; None where there are none."""
        if not videos:
            return None
        rows = [row_of(video, discovered_at) for video in videos]
        draft = files.Draft()
        draft.write(newest_of_each(table_of(rows, datetime.now(UTC))))
        return staged_parts(self._storage).stage(draft.finish())

    def merge_staged(self, *, dry_run: bool = False) -> ArchiveReport:
        """Bring all staged metadata into the archive, and delete its parts; with `dry_run` only tell."""
        if dry_run:
            return self._merge_staged(dry_run=True)
        with self._storage.lock(layout.VIDEOS_LOCK, self._lock_timeout):
            report = self._merge_staged(dry_run=False)
            self._index(INDEXED_A_NIGHT)
            manifest, version = ArchiveManifest.of(self._storage)
            if version is not None:  # else nothing tells what is a leftover
                sweep(self._storage, layout.VIDEOS, manifest.keys)
        return report

    def index(self, most: int, *, also: Collection[str] = ()) -> int:
        """Make the index of up to `most` files that have none, the newest first, and of those named; how many it made.

        Holds one file at a time, 64 MB, and what its index takes. Raises as `Vault.archive_videos`.
        """
        with self._storage.lock(layout.VIDEOS_LOCK, self._lock_timeout):
            return self._index(most, also)

    def _index(self, most: int, also: Collection[str] = ()) -> int:
        held = ArchiveManifest.of(self._storage)[0].files
        lacking = [file for file in reversed(held) if file.words is None]
        return sum(map(self._indexed, [*(file for file in held if file.name in also), *lacking[:most]]))

    def _indexed(self, file: ArchivedFile) -> bool:
        """Make a file's index; whether that was done. A broken file is for others to report."""
        try:
            described, words = files.described(file.name, self._storage.read(file.key).data)
        except (FileNotFoundError, UnreadableFileError) as error:  # merged meanwhile, and so it has one
            log.warning("No index of %s is made: %s", file.key, error)
            return False
        described = described.model_copy(update={"hash": file.hash or described.hash})
        self._storage.put(words_of(file.name), words)
        return retry_overtaken(partial(self._renote, described))

    def _renote(self, described: ArchivedFile) -> bool:
        """Have the manifest say this of a file, if it still names it."""
        manifest, version = ArchiveManifest.of(self._storage)
        changed = manifest.with_described(described)
        if changed != manifest:
            changed.replace(self._storage, layout.VIDEOS_MANIFEST, expecting=version)
        return described in changed.files

    def take(self, rows: Sequence[Mapping[str, Any]], *, dry_run: bool = False) -> ArchiveReport:
        """Hold exactly these rows of the database, durably, before it returns; with `dry_run` only tell."""
        table = newest_of_each(table_of(rows, datetime.now(UTC)))
        if dry_run:
            return self._add(table, DATABASE, dry_run=True)
        with self._storage.lock(layout.VIDEOS_LOCK, self._lock_timeout):
            return self._add(table, DATABASE, dry_run=False)

    def expire(self, cutoff: datetime, *, dry_run: bool = False) -> ExpiryReport:
        """Drop what was discovered before `cutoff`, staged metadata too; with `dry_run` only count it."""
        if dry_run:
            return self._expirable(cutoff)
        with self._storage.lock(layout.VIDEOS_LOCK, self._lock_timeout):
            report = ExpiryReport(problems=self._merge_staged(dry_run=False).problems)
            for file in ArchiveManifest.of(self._storage)[0].files:
                if file.oldest < cutoff:
                    dropped = self._drop(file, lambda rows: pc.greater_equal(files.discovery(rows), _time(cutoff)))
                    report = replace(report, videos=report.videos + dropped, files=report.files + 1)
            self._tidy()
        return report

    def forget(self, name: str, video_ids: Sequence[str]) -> None:
        """Leave these videos out of the archived file `name`, where the manifest still names it."""

        def left_out(manifest: ArchiveManifest) -> _Change:
            is_there = any(file.name == name for file in manifest.files)
            return _Change(SCHEMA.empty_table(), {name: list(video_ids)} if is_there else {})

        with self._storage.lock(layout.VIDEOS_LOCK, self._lock_timeout):
            self._commit(left_out)

    def _expirable(self, cutoff: datetime) -> ExpiryReport:
        found = ExpiryReport()
        for file in ArchiveManifest.of(self._storage)[0].files:
            if file.oldest < cutoff:
                with files.opened(self._storage, file.key) as opened:
                    old = sum(_older(rows, cutoff) for rows in files.groups(opened, ["discovered_at", "archived_at"]))
                found = replace(found, videos=found.videos + old, files=found.files + 1)
        with _parts(self._storage, Trouble(), sets_aside=False) as parts:
            return replace(found, staged=sum(_older(table, cutoff) for _, table in parts))

    def _merge_staged(self, *, dry_run: bool) -> ArchiveReport:
        reports, trouble = [], Trouble()
        with _parts(self._storage, trouble, sets_aside=not dry_run) as parts:
            for keys, table in _rounds(parts):
                report = self._add(newest_of_each(table), STAGED, dry_run=dry_run)
                reports.append(replace(report, parts_merged=len(keys)))
                if not dry_run:
                    self._storage.delete(keys)
        found = ArchiveReport(quarantined=tuple(trouble.quarantined), problems=tuple(trouble.problems))
        return ArchiveReport.combined([*reports, found])

    def _add(self, table: pa.Table, origin: Origin, *, dry_run: bool) -> ArchiveReport:
        """Add rows, each video once and sorted, in the place of those that are held of the same videos."""

        def added(manifest: ArchiveManifest) -> _Change:
            return self._compared(manifest, table, origin)

        if dry_run:
            change, written = added(ArchiveManifest.of(self._storage)[0]), 0
        else:
            change, written = self._commit(added)
            written += self._tidy()
        return ArchiveReport(change.added, change.changed, change.unchanged, bytes=written)

    def _compared(self, manifest: ArchiveManifest, table: pa.Table, origin: Origin) -> _Change:
        """What of `table` the archive does not hold yet, or holds otherwise."""
        asked = dict(zip(*(table[name].to_pylist() for name in ("video_id", "published_at")), strict=True))
        known: set[str] = set()
        changed: list[dict[str, Any]] = []
        superseded: dict[str, list[str]] = {}
        for file, rows in found_in(self._storage, manifest.files, asked, GIVEN, trusting=False):
            held = {row["video_id"]: row for row in rows.to_pylist()}
            both = table.filter(pc.is_in(table["video_id"], pa.array(held, pa.string())))
            for row in both.select(GIVEN).to_pylist():
                video_id = row["video_id"]
                stands = standing(held[video_id], row, origin)
                if stands is not None or video_id in known:  # one that is in two files leaves the second
                    superseded.setdefault(file.name, []).append(video_id)
                if stands is not None and video_id not in known:
                    changed.append(stands)
                known.add(video_id)
        new = table.filter(pc.invert(pc.is_in(table["video_id"], pa.array(known, pa.string()))))
        standing_rows = pa.concat_tables([new, table_of(changed, datetime.now(UTC))]).sort_by("video_id")
        return _Change(standing_rows, superseded, new.num_rows, len(changed), len(known) - len(changed))

    def _commit(self, planned: Callable[[ArchiveManifest], _Change]) -> tuple[_Change, int]:
        """Make a change durable, planned again when another writer was faster; what it was, and the bytes written."""
        try:
            return retry_overtaken(lambda: self._commit_once(planned), also=FileNotFoundError)
        except FileNotFoundError as error:
            raise missing_file(error) from error

    def _commit_once(self, planned: Callable[[ArchiveManifest], _Change]) -> tuple[_Change, int]:
        manifest, version = ArchiveManifest.of(self._storage)
        if version is None:
            manifest.replace(self._storage, layout.VIDEOS_MANIFEST, expecting=None)  # never a file without it
            manifest, version = ArchiveManifest.of(self._storage)
        change = planned(manifest)
        if not (change.rows.num_rows or change.superseded):
            # Whoever wrote it may have been killed before it was sure to survive a power cut.
            self._storage.sync(layout.VIDEOS_MANIFEST)
            return change, 0
        retired = [file for file in manifest.files if file.name in change.superseded]
        written = [self._rewritten(file, change.superseded[file.name]) for file in retired]
        written += self._written([change.rows])
        self._switch(manifest, version, [file for file in written if file is not None], retired)
        return change, sum(file.bytes for file in written if file is not None)

    def _tidy(self) -> int:
        """Merge files of one size class until no class has too many; the bytes written."""
        written = 0
        while True:
            manifest, version = ArchiveManifest.of(self._storage)
            if not (small := manifest.mergeable()):
                return written
            try:
                with _all_opened(self._storage, small) as streams:
                    made = self._written(files.merged(streams))
                self._switch(manifest, version, made, small)
            except (FileChangedError, FileNotFoundError):
                log.warning("The archive's files are being merged by somebody else")
                return written
            written += sum(file.bytes for file in made)

    def _rewritten(self, file: ArchivedFile, without: Sequence[str]) -> ArchivedFile | None:
        """A file without some videos; None where it had no others."""
        dropped = pa.array(without, pa.string())
        with files.opened(self._storage, file.key) as opened:
            kept = (rows.filter(pc.invert(pc.is_in(rows["video_id"], dropped))) for rows in files.groups(opened))
            return next(iter(self._written(kept)), None)

    def _drop(self, file: ArchivedFile, keeping: Callable[[pa.Table], pa.Array]) -> int:
        """Keep of a file only some rows; how many went."""
        manifest, version = ArchiveManifest.of(self._storage)
        with files.opened(self._storage, file.key) as opened:
            made = self._written(rows.filter(keeping(rows)) for rows in files.groups(opened))
        self._switch(manifest, version, made, [file])
        return file.videos - sum(each.videos for each in made)

    def _written(self, tables: Iterable[pa.Table]) -> list[ArchivedFile]:
        """One durable file of rows that come in order, which no manifest names yet; none where there are no rows."""
        draft = files.Draft()
        for table in tables:
            draft.write(table)
        if not draft.videos:
            return []
        data = draft.finish()
        file, words = draft.described(new_name(layout.SUFFIX), data)
        self._storage.put(file.key, data)
        self._storage.put(words_of(file.name), words)  # never without the file, so that a sweep finds both
        return [file]

    def _switch(
        self,
        manifest: ArchiveManifest,
        version: Any,
        added: Iterable[ArchivedFile],
        retired: Collection[ArchivedFile],
    ) -> None:
        """The step that makes files part of the archive and others no longer, and then deletes these.

        What was written stays when this fails: whether the manifest names it after all, only a later sweep can tell.
        """
        changed = manifest.with_files(added, {file.name for file in retired})
        changed.replace(self._storage, layout.VIDEOS_MANIFEST, expecting=version)
        self._storage.delete(key for file in retired for key in file.keys)


def staged_parts(storage: Storage) -> StagedParts:
    """The metadata that is staged."""
    return StagedParts(storage, layout.STAGED_VIDEOS, files.decode)


@contextmanager
def _parts(storage: Storage, trouble: Trouble, *, sets_aside: bool) -> Iterator[Iterator[tuple[str, pa.Table]]]:
    """The staged parts one after another; when the block is done, what the storage raised for others is raised."""
    yield staged_parts(storage).read(trouble, sets_aside=sets_aside)
    if trouble.failures:
        raise trouble.failures[0]


def _rounds(parts: Iterable[tuple[str, pa.Table]]) -> Iterator[tuple[list[str], pa.Table]]:
    """Parts together, with their keys, as many as memory may hold at a time."""
    keys: list[str] = []
    tables: list[pa.Table] = []
    for key, table in parts:
        keys.append(key)
        tables.append(table)
        if sum(each.nbytes for each in tables) >= _ROUND_BYTES:
            yield keys, pa.concat_tables(tables)
            keys, tables = [], []
    if keys:
        yield keys, pa.concat_tables(tables)


@contextmanager
def _all_opened(storage: Storage, many: Iterable[ArchivedFile]) -> Iterator[list[Iterator[pa.Table]]]:
    """The row groups of several files, open together."""
    with ExitStack() as stack:
        yield [files.groups(stack.enter_context(files.opened(storage, file.key))) for file in many]


def _older(table: pa.Table, cutoff: datetime) -> int:
    """How many rows were discovered before `cutoff`."""
    return pc.sum(pc.less(files.discovery(table), _time(cutoff)), min_count=0).as_py() or 0


def _time(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment, SCHEMA.field("discovered_at").type)
