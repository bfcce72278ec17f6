"""The import queue: lists of videos that somebody brought, kept until they are imported into the watchlist.

A list streams into immutable files of ids, and becomes part of the import queue in one step, when
`import_queue/manifest.json` names them. Whoever is killed before leaves files that nobody names; they are swept later.
How far a list is imported is a number in the manifest, which only grows.

While a list is read, its ids are held as hashes, 8 bytes each. Two of five million ids have the same hash with a
probability of 1 to 1.5 million; the second would not be imported.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Annotated, Any, Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from more_itertools import chunked
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from ghost_tracking.core.lists import BadLine, Found, read_list
from ghost_tracking.errors import BadInputError, UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.kit.leftovers import sweep
from ghost_tracking.vault.kit.manifests import Count, Manifest, edit
from ghost_tracking.vault.kit.names import new_name, require_file_name
from ghost_tracking.vault.reports import ListReport, ListStatus, Waiting
from ghost_tracking.vault.storage import Storage

log = logging.getLogger(__name__)

IDS_A_FILE: Final = 50_000
MOST_BAD_LINES: Final = 100_000
"""So many bad lines of a list are kept; they are all counted."""
LIST_LEFTOVER_AGE: Final = timedelta(days=7)
"""Longer than anybody takes to bring a list: files so old that no manifest names will be named by none."""

IDS: Final = pa.schema(
    [pa.field("video_id", pa.string(), nullable=False), pa.field("line", pa.int64(), nullable=False)]
)
BAD: Final = pa.schema(
    [
        pa.field("line", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_SPELLED_OUT: Final = 10
_SHOWN: Final = 80
_NOTHING: Final = np.empty(0, dtype=np.uint64)

FileName = Annotated[str, AfterValidator(require_file_name)]

Progress = Callable[[int, int], None]
"""Is told now and then how many lines were read, and how many videos were found in them."""


class ListFile(BaseModel):
    """A file of ids in the order of their lines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: FileName
    ids: Count


class PendingList(BaseModel):
    """A list: the files of its ids, each id in one of them; the first `imported` ids are on the watchlist.

    `duplicates` are those of the last time that it got ids. `bad` lines are all that were ever brought and are not read
    yet, a line that was brought again once; `bad_file` has the first of them, each in `text` up to `lists.KEPT`
    characters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=f"^(?:{_NAME.pattern})$")]
    created_at: AwareDatetime
    files: tuple[ListFile, ...] = ()
    imported: Count = 0
    duplicates: Count = 0
    bad: Count = 0
    bad_file: FileName | None = None

    @property
    def ids(self) -> int:
        return sum(file.ids for file in self.files)

    @property
    def named(self) -> set[str]:
        """The names of all its files."""
        return {file.name for file in self.files} | ({self.bad_file} if self.bad_file else set())


class ImportQueueManifest(Manifest):
    """Every list, in the order in which they came."""

    lists: tuple[PendingList, ...] = ()

    def find(self, name: str) -> PendingList | None:
        """The list of this name."""
        return next((each for each in self.lists if each.name == name), None)

    @property
    def named(self) -> set[str]:
        """The names of all files of all lists."""
        return {name for each in self.lists for name in each.named}

    def with_list(self, changed: PendingList) -> Self:
        """One in which this list stands in the place of that of its name, or behind all others."""
        if self.find(changed.name) is None:
            return self.model_copy(update={"lists": (*self.lists, changed)})
        return self.model_copy(
            update={"lists": tuple(changed if each.name == changed.name else each for each in self.lists)}
        )


class ImportQueue:
    """The import queue on one storage.

    Every verb raises OSError when the storage fails, `UnreadableFileError` with the name of a broken file, and
    `FileChangedError` or `PartitionBusyError` when others are at it all the time; calling again is always harmless.
    """

    def __init__(self, storage: Storage, lock_timeout: float) -> None:
        self._storage = storage
        self._lock_timeout = lock_timeout

    def submit(
        self, lines: Iterable[str], name: str | None = None, column: str | None = None, progress: Progress | None = None
    ) -> ListReport:
        """Take in a list as it streams in; `core.lists.read_list` says what it may look like.

        A list of this `name` gets the ids that it does not have yet. Without a name, it is named after its ids, so
        that the same ids in any order are the same list. Nothing is kept of a new list without ids. BadInputError
        for a name of other characters than letters, digits, `.`, `_` and `-`, for a `column` that is not there, and
        where several columns could have the videos and none is named.
        """
        if name is not None and not _NAME.fullmatch(name):
            raise BadInputError(f"{name!r} is no name for a list: up to 80 letters, digits, '.', '_' and '-'")
        draft = self._written(lines, column, progress)
        spelled_out = tuple(draft.bad[:_SPELLED_OUT])
        report = ListReport(
            name or draft.ids.digest(), len(draft.ids), 0, draft.duplicates, draft.bad_count, spelled_out
        )
        if not draft.files and not (draft.bad and self._has(report.name)):
            return report
        kept, useless = self._enter(report.name, draft)
        self._storage.delete(map(_key, useless))
        self._sweep()
        return replace(report, new=sum(file.ids for file in kept))

    def _has(self, name: str) -> bool:
        return ImportQueueManifest.load(self._storage, layout.IMPORT_QUEUE_MANIFEST)[0].find(name) is not None

    def waiting(self, limit: int) -> list[Waiting]:
        """The next ids to be imported, at most `limit`, list by list as they came."""
        found: list[Waiting] = []
        for each in ImportQueueManifest.load(self._storage, layout.IMPORT_QUEUE_MANIFEST)[0].lists:
            wanted = min(limit, each.ids - each.imported)
            if wanted > 0:
                found.append(Waiting(each.name, each.imported, tuple(self._ids(each, each.imported, wanted))))
                limit -= wanted
        return found

    def imported_ids(self, number: int) -> Iterator[list[str]]:
        """All ids that are noted as imported, list by list, so many at a time."""
        for each in ImportQueueManifest.load(self._storage, layout.IMPORT_QUEUE_MANIFEST)[0].lists:
            yield from chunked(self._ids(each, 0, each.imported), number)

    def mark_imported(self, name: str, upto: int) -> None:
        """Note that the first `upto` ids of a list are imported (`Waiting.stop`); less than is noted changes nothing.

        BadInputError where there is no such list, or it has fewer ids.
        """

        def moved(manifest: ImportQueueManifest) -> ImportQueueManifest:
            each = manifest.find(name)
            if each is None or upto > each.ids:
                raise BadInputError(f"The import queue has no list {name!r} of {upto} ids")
            return manifest.with_list(each.model_copy(update={"imported": max(each.imported, upto)}))

        self._change(moved)

    def lists(self) -> list[ListStatus]:
        """Every list and how far it is, in the order in which they came."""
        manifest, _ = ImportQueueManifest.load(self._storage, layout.IMPORT_QUEUE_MANIFEST)
        return [
            ListStatus(each.name, each.created_at, each.ids, each.imported, each.duplicates, each.bad)
            for each in manifest.lists
        ]

    def bad_lines(self, name: str) -> list[BadLine]:
        """The bad lines of a list that are not read yet, at most `MOST_BAD_LINES`, each as it was first brought."""
        each = ImportQueueManifest.load(self._storage, layout.IMPORT_QUEUE_MANIFEST)[0].find(name)
        if each is None:
            raise BadInputError(f"The import queue has no list {name!r}")
        return self._read_bad(each.bad_file)

    def retry(self, name: str, column: str | None = None) -> ListReport:
        """Read the bad lines that are kept of a list by the rules of now: what has become readable becomes part of the
        list, and what has not stays among its bad lines, which the report counts.

        `column`: as in `submit`, of these lines alone: a number, since headers are not kept. A line of which only the
        beginning is kept stays bad. Raises BadInputError where there is no such list, and as `submit` does.
        """
        bad = self.bad_lines(name)
        pieces = [(place, piece) for place, each in enumerate(bad) for piece in _pieces(each)]
        refused, found = set[int](), dict[int, list[Found]]()
        for each in read_list((piece for _, piece in pieces), column):
            place = pieces[(each.number if isinstance(each, BadLine) else each[0]) - 1][0]
            if isinstance(each, BadLine):
                refused.add(place)
            else:
                found.setdefault(place, []).append((bad[place].number, each[1]))
        draft = _Draft(settled={bad[place].kept for place in found.keys() - refused})
        self._take(draft, [each for place in sorted(found) for each in found[place]])
        kept, useless = self._enter(name, draft)
        self._storage.delete(map(_key, useless))
        left = [each for each in bad if each.kept not in draft.settled]
        new = sum(file.ids for file in kept)
        return ListReport(name, len(draft.ids), new, draft.duplicates, len(left), tuple(left[:_SPELLED_OUT]))

    def forget(self, name: str, video_ids: Collection[str], named_in: Callable[[str], bool]) -> None:
        """Leave no trace of these videos in the file `name`: of their ids, or of bad lines that are `named_in`.

        In place, since whoever brings a list may be about to name the file, and how far a list is imported is a
        position: so a neighbour's id takes the place of a forgotten one. Where there are no others, none stays, and
        `drop_empty` has to follow.
        """
        with parquet.wrap_read_errors(_key(name)):
            data = self._storage.read(_key(name)).data
            table = parquet.opened(pa.BufferReader(data), None, parquet.IMPORT_QUEUE).read()
        if "text" in table.column_names:
            left = table.filter(pa.array([not named_in(text) for text in table["text"].to_pylist()], pa.bool_()))
        else:
            left = self._with_neighbours(name, table, frozenset(video_ids))
        self._put(name, left)

    def drop_empty(self) -> None:
        """Give up lists all of whose ids were forgotten."""

        def without_empty(manifest: ImportQueueManifest) -> ImportQueueManifest:
            lists = (each for each in manifest.lists if any(self._rows(file.name) for file in each.files))
            return manifest.model_copy(update={"lists": tuple(lists)})

        before, _ = ImportQueueManifest.load(self._storage, layout.IMPORT_QUEUE_MANIFEST)
        if before.lists:
            after = self._change(without_empty)
            self._storage.delete(map(_key, before.named - after.named))

    def _rows(self, name: str) -> int:
        """How many ids a file has; 1 for one that is broken or missing: its list stays, to be mended."""
        try:
            with parquet.wrap_read_errors(_key(name)), self._storage.open(_key(name)) as file:
                return parquet.rows_of(file, parquet.IMPORT_QUEUE)
        except (FileNotFoundError, UnreadableFileError):
            return 1

    def _with_neighbours(self, name: str, table: pa.Table, forgotten: frozenset[str]) -> pa.Table:
        ids: list[str] = table["video_id"].to_pylist()
        others = (each for each in ids if each not in forgotten)
        neighbour = next(others, None) or self._id_beside(name, forgotten)
        if neighbour is None:
            return IDS.empty_table()
        for place, video_id in enumerate(ids):
            neighbour = ids[place] = neighbour if video_id in forgotten else video_id
        return pa.table([ids, table["line"]], schema=IDS)

    def _id_beside(self, name: str, forgotten: frozenset[str]) -> str | None:
        """An id of the list that has this file which is none of these."""
        manifest, _ = ImportQueueManifest.load(self._storage, layout.IMPORT_QUEUE_MANIFEST)
        owner = next((each for each in manifest.lists if name in each.named), None)
        for file in owner.files if owner else ():
            for video_id in self._read(file.name, IDS)["video_id"].to_pylist():
                if video_id not in forgotten:
                    return str(video_id)
        return None

    def _written(self, lines: Iterable[str], column: str | None, progress: Progress | None) -> "_Draft":
        """The list's ids in files that nobody names yet, each id once."""
        draft = _Draft()
        for batch in chunked(read_list(lines, column), IDS_A_FILE):
            bad = [each for each in batch if isinstance(each, BadLine)]
            draft.bad_count += len(bad)
            draft.bad += bad[: MOST_BAD_LINES - len(draft.bad)]
            good: list[Found] = [each for each in batch if not isinstance(each, BadLine)]
            self._take(draft, good)
            if progress is not None:
                last = batch[-1]
                progress(last.number if isinstance(last, BadLine) else last[0], len(draft.ids))
        return draft

    def _take(self, draft: "_Draft", good: Sequence[Found]) -> None:
        """Write what the draft does not have yet."""
        table = pa.table([[video_id for _, video_id in good], [number for number, _ in good]], schema=IDS)
        fresh = draft.ids.add(_hashes(table))
        draft.duplicates += table.num_rows - int(fresh.sum())
        draft.files += self._write(table.filter(pa.array(fresh)))

    def _enter(self, name: str, draft: "_Draft") -> tuple[list[ListFile], set[str]]:
        """Make the draft's ids and bad lines part of the list `name`; its files with ids, and those of no use."""
        files, compared, written = draft.files, set[str](), {file.name for file in draft.files}
        superseded = set[str]()

        def entered(manifest: ImportQueueManifest) -> ImportQueueManifest:
            nonlocal files, superseded
            held = manifest.find(name) or PendingList(name=name, created_at=datetime.now(UTC))
            if not held.named.isdisjoint(written):
                return manifest  # it went through before, though the answer got lost
            others = [file for file in held.files if file.name not in compared]
            compared.update(file.name for file in others)
            files = self._without(files, others)
            written.update(file.name for file in files)
            changed: dict[str, Any] = self._bad_with(held, draft)
            if changed:
                written.update({changed["bad_file"]} - {None})
                superseded = {held.bad_file} if held.bad_file else set()
            if files:
                changed |= {"files": (*held.files, *files), "duplicates": draft.duplicates}
            return manifest.with_list(held.model_copy(update=changed)) if changed else manifest

        after = self._change(entered)
        return files, (written | superseded) - after.named

    def _bad_with(self, held: PendingList, draft: "_Draft") -> dict[str, Any]:
        """What changes of a list's bad lines, when these come to it and those that are settled go.

        A line that it has already, as where a file is brought again that has grown, counts once.
        """
        kept = self._read_bad(held.bad_file)
        left = [each for each in kept if each.kept not in draft.settled]
        known = {each.kept for each in kept}
        fresh = [each for each in draft.bad if each.kept not in known]
        if not fresh and len(left) == len(kept):
            return {}
        unkept = draft.bad_count - len(draft.bad) if fresh else 0
        name = self._write_bad([*left, *fresh][:MOST_BAD_LINES])
        return {"bad": held.bad - (len(kept) - len(left)) + len(fresh) + unkept, "bad_file": name}

    def _without(self, files: list[ListFile], others: Sequence[ListFile]) -> list[ListFile]:
        """The files, rewritten without the ids that the others have."""
        if not others:
            return files
        known = _Ids()
        for file in others:
            known.add(_hashes(self._read(file.name, IDS)))
        left = []
        for file in files:
            table = self._read(file.name, IDS)
            fresh = ~known.has(_hashes(table))
            left += [file] if fresh.all() else self._write(table.filter(pa.array(fresh)))
        return left

    def _change(self, change: Callable[[ImportQueueManifest], ImportQueueManifest]) -> ImportQueueManifest:
        """Replace the manifest, planned again when another writer was faster; how it is then."""
        return edit(
            self._storage,
            layout.IMPORT_QUEUE_MANIFEST,
            lambda: ImportQueueManifest.load(self._storage, layout.IMPORT_QUEUE_MANIFEST),
            change,
            ImportQueueManifest.encoded,
            lambda: self._storage.lock(layout.IMPORT_QUEUE_LOCK, self._lock_timeout),
        )[1]

    def _ids(self, each: PendingList, start: int, count: int) -> Iterator[str]:
        """So many ids of a list, from a position on."""
        starts = accumulate((file.ids for file in each.files), initial=0)
        for file, first in zip(each.files, starts, strict=False):
            skipped = max(0, start - first)
            wanted = min(file.ids, start + count - first) - skipped
            if wanted > 0:
                yield from self._read(file.name, IDS)["video_id"].slice(skipped, wanted).to_pylist()

    def _write(self, table: pa.Table) -> list[ListFile]:
        if not table.num_rows:
            return []
        name = new_name(layout.SUFFIX)
        self._put(name, table)
        return [ListFile(name=name, ids=table.num_rows)]

    def _write_bad(self, bad: Sequence[BadLine]) -> str | None:
        if not bad:
            return None
        name = new_name(layout.SUFFIX)
        columns = [[each.number for each in bad], [each.kept for each in bad], [each.reason for each in bad]]
        self._put(name, pa.table(columns, schema=BAD))
        return name

    def _read_bad(self, name: str | None) -> list[BadLine]:
        rows = self._read(name, BAD).to_pylist() if name else []
        return [BadLine(row["line"], row["text"][:_SHOWN], row["reason"], row["text"]) for row in rows]

    def _put(self, name: str, table: pa.Table) -> None:
        self._storage.put(_key(name), parquet.encode(table, parquet.IDS))

    def _read(self, name: str, schema: pa.Schema) -> pa.Table:
        key = _key(name)
        try:
            data = self._storage.read(key).data
        except FileNotFoundError as error:
            raise UnreadableFileError(
                f"{layout.IMPORT_QUEUE_MANIFEST} names {key}, which is not there: restore it from a backup, or bring "
                "the list again under another name",
                key=key,
            ) from error
        return parquet.decode(key, data, schema, parquet.IMPORT_QUEUE)

    def _sweep(self) -> None:
        named = ImportQueueManifest.load(self._storage, layout.IMPORT_QUEUE_MANIFEST)[0].named
        sweep(self._storage, layout.IMPORT_QUEUE, set(map(_key, named)), datetime.now(UTC) - LIST_LEFTOVER_AGE)


class _Ids:
    """A set of hashes of ids: sorted arrays, each at least twice as long as the next."""

    def __init__(self) -> None:
        self._runs: list[npt.NDArray[np.uint64]] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def has(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which of these are in it."""
        found = np.zeros(len(hashes), dtype=np.bool_)
        for run in self._runs:
            places = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
            found |= run[places] == hashes
        return found

    def add(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Put these into it; which of them were not there before, each the first time."""
        fresh = np.zeros(len(hashes), dtype=np.bool_)
        run, first = np.unique(hashes, return_index=True)
        new = ~self.has(run)
        fresh[first[new]] = True
        run = run[new]
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]))
        self._runs += [run] if len(run) else []
        return fresh

    def digest(self) -> str:
        """A name for the set."""
        together = np.sort(np.concatenate([_NOTHING, *self._runs]))
        return hashlib.sha256(together.astype("<u8").tobytes()).hexdigest()[:20]


@dataclass(slots=True)
class _Draft:
    """A list that was read, in files that nobody names yet."""

    files: list[ListFile] = field(default_factory=list)
    ids: _Ids = field(default_factory=_Ids)
    duplicates: int = 0
    bad_count: int = 0
    bad: list[BadLine] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)
    """Bad lines of before that can be read now, as they are kept."""


def _pieces(bad: BadLine) -> list[str]:
    """The lines of a bad line, which has several where it is part of a CSV; none where it is not kept whole."""
    return [] if bad.kept.endswith("…") else [piece for piece in bad.kept.splitlines() if piece.strip()]


def _hashes(table: pa.Table) -> npt.NDArray[np.uint64]:
    ids = np.asarray(table["video_id"].to_numpy(zero_copy_only=False), dtype=object)
    hashes: npt.NDArray[np.uint64] = pd.util.hash_array(ids, categorize=False)
    return hashes


def _key(name: str) -> str:
    return f"{layout.IMPORT_QUEUE}/{name}"
