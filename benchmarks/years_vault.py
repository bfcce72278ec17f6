"""Five years of a vault: as many hours, months, files and row groups as the reference load has, with few points.

The reference load: two billion points a year for five years, 100,000 new videos a day; so 10 billion points in 43,800
hours and 60 months, 182 million videos, 1,100 full files of metadata. What is scaled down is how many points a row
group has (10,240 there) and how many rows one of metadata has (8,192 there); everything that is counted, opened, listed
or named is there as often as at the reference load.
"""

import json
import logging
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.population import random_video_ids
from benchmarks.screen import Tell
from benchmarks.titles import Library
from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.vault import Vault, layout
from ghost_tracking.vault.history import files as history_files
from ghost_tracking.vault.history.compaction import Compactor
from ghost_tracking.vault.history.manifest import HistoryManifest, load
from ghost_tracking.vault.metadata import Archive
from ghost_tracking.vault.metadata import files as archived_files
from ghost_tracking.vault.metadata.manifest import ArchivedFile, ArchiveManifest
from ghost_tracking.vault.metadata.rows import table_of
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.storage import LocalStorage

REFERENCE_POINTS_A_MONTH: Final = 10_000_000_000 // 60
REFERENCE_GROUP: Final = 10 * 1024
REFERENCE_FILE: Final = history_files.MOST_POINTS_A_FILE
REFERENCE_FILES_OF_METADATA: Final = 1_100
REFERENCE_METADATA_GROUPS: Final = 20

VIDEOS: Final = "videos.json"
"""Beside the vault's own files: the ids of some videos that are read in every month."""

Numbers = npt.NDArray[np.int64]
_MICROS: Final = 1_000_000
_READ: Final = 4
"""Readings of a video in a month."""


@dataclass(frozen=True)
class Scale:
    """What stands for what: `group_points` points for the 10,240 of a row group, `metadata_rows` for 8,192.

    With `group_points` None, a month is one row group in as many files as the reference load has: for counting
    requests.
    """

    years: int = 5
    group_points: int = 20
    metadata_rows: int = 100
    groups_a_file: int = REFERENCE_FILE // REFERENCE_GROUP

    @property
    def months(self) -> int:
        return self.years * 12

    @property
    def month_points(self) -> int:
        """Points of a month, in as many row groups as 167 million points have."""
        files_a_month = -(-REFERENCE_POINTS_A_MONTH // REFERENCE_FILE)
        return files_a_month * self.groups_a_file * self.group_points


def built(root: Path, scale: Scale, now: datetime, tell: Tell) -> bool:
    """Make the vault of this scale whose last month is the one before `now` (UTC), unless it is there in `root`.

    Whether it was made. One of another scale or month is made again; so delete it when the code has come to write
    other files.
    """
    last = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    note = root / "scale.json"
    wanted = json.dumps(asdict(scale) | {"last": last.isoformat()})
    if not note.exists() or note.read_text() != wanted:
        shutil.rmtree(root, ignore_errors=True)
        _build(root, scale, last, tell)
        note.write_text(wanted)
        return True
    return False


def _build(root: Path, scale: Scale, last: datetime, tell: Tell) -> None:
    """Each month, and each year of metadata, in a vault of its own, in as many processes as there are cores; then one
    vault of them all."""
    months = list(_months(scale, last))
    parts = [root.with_name(f"{root.name}-{number}") for number in range(len(months) + scale.years)]
    tasks = [
        (_month, part, scale, number, month) for number, (part, month) in enumerate(zip(parts, months, strict=False))
    ]
    tasks += [(_metadata, part, scale, year, months) for year, part in enumerate(parts[len(months) :])]
    with multiprocessing.get_context("spawn").Pool() as pool:
        for number, _ in enumerate(pool.imap_unordered(_called, tasks), 1):
            tell(f"{number} of {len(tasks)} months and years of metadata")
    Vault(root).identity(create=True)
    storage = LocalStorage(root, layout.SCRATCH)
    histories = [load(LocalStorage(part, layout.SCRATCH))[0] for part in parts]
    archives = [ArchiveManifest.of(LocalStorage(part, layout.SCRATCH))[0] for part in parts]
    for part in parts:
        _moved(part, root)
    HistoryManifest(
        files=tuple(each for history in histories for each in history.files),
        days={name: day for history in histories for name, day in history.days.items()},
    ).replace(storage, layout.HISTORY_MANIFEST, expecting=None)
    ArchiveManifest(files=tuple(each for archive in archives for each in archive.files)).replace(
        storage, layout.VIDEOS_MANIFEST, expecting=None
    )
    (root / VIDEOS).write_text(json.dumps(_Population(scale, len(months)).oldest(100)))


def _called(task: tuple[Any, ...]) -> None:
    logging.disable(logging.WARNING)
    work, *arguments = task
    work(*arguments)


def _moved(part: Path, root: Path) -> None:
    """The files of a part, at the same places below the root; the part is gone then."""
    for path in part.rglob("*.parquet"):
        target = root / path.relative_to(part)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    shutil.rmtree(part)


def _month(root: Path, scale: Scale, number: int, month: Period) -> None:
    shutil.rmtree(root, ignore_errors=True)
    Vault(root).identity(create=True)
    storage = LocalStorage(root, layout.SCRATCH)
    _write_hours(root, _Population(scale, scale.months).points(number, month))
    with patch.object(history_files, "ROW_GROUP", scale.group_points):
        Compactor(storage, scale.groups_a_file * scale.group_points).rebuild(month, [], _hours_of(root, month))


def _metadata(root: Path, scale: Scale, year: int, months: list[Period]) -> None:
    """A year's files of as many as 182 million videos fill, each with rows of some days, as discovery brings them."""
    shutil.rmtree(root, ignore_errors=True)
    Vault(root).identity(create=True)
    storage, population = LocalStorage(root, layout.SCRATCH), _Population(scale, len(months))
    count = REFERENCE_FILES_OF_METADATA // 5
    begin, end = months[12 * year].starts_at, months[12 * year + 11].ends_at
    library, dice = Library(seed=year + 1), np.random.default_rng([2, year])
    made = []
    with patch.object(archived_files, "ROW_GROUP", scale.metadata_rows):
        for number in range(count):
            rows = scale.metadata_rows * REFERENCE_METADATA_GROUPS
            ids = population.ids.take(pa.array(dice.integers(0, len(population.ids), rows))).unique().to_pylist()
            found = library.videos(len(ids), begin + number * (end - begin) / count)
            made.append(_archived(storage, [row | {"video_id": each} for row, each in zip(found, ids, strict=True)]))
    ArchiveManifest(files=tuple(made)).replace(storage, layout.VIDEOS_MANIFEST, expecting=None)


def _months(scale: Scale, last: datetime) -> Iterator[Period]:
    first = last.year * 12 + last.month - scale.months
    for number in range(first, first + scale.months):
        yield Period.month(datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC).date())


def _hours_of(root: Path, month: Period) -> list[Partition]:
    return [hour for hour in month.hours if (root / layout.stats(hour)).exists()]


class _Population:
    """Who is read when: a fifth of a month's videos lives for ever, the others came in that month."""

    def __init__(self, scale: Scale, months: int) -> None:
        dice = np.random.default_rng(1)
        self._videos = scale.month_points // _READ
        self._old = self._videos // 5
        total = self._old + months * (self._videos - self._old)
        self.ids = random_video_ids(dice, total)
        self._order = dice.permutation(total)

    def oldest(self, number: int) -> list[str]:
        """Ids of videos that are read in every month."""
        chosen: list[str] = self.ids.take(pa.array(self._order[: self._old][:number])).to_pylist()
        return chosen

    def members(self, month: int) -> Numbers:
        """Places among `ids` of the videos that are read in a month."""
        fresh = self._videos - self._old
        start = self._old + month * fresh
        found: Numbers = np.sort(np.concatenate([self._order[: self._old], self._order[start : start + fresh]]))
        return found

    def points(self, number: int, month: Period) -> pa.Table:
        """The points of a month, in no order: each video's readings a week apart."""
        members, dice = self.members(number), np.random.default_rng([1, number])
        begin, end = (int(each.timestamp()) for each in (month.starts_at, month.ends_at))
        first = dice.integers(0, 6 * 86_400, len(members))
        seconds = (begin + first[:, None] + np.arange(_READ) * 7 * 86_400 + dice.integers(0, 3_600)).ravel()
        seconds = np.minimum(seconds, end - 1)
        views = (dice.integers(10, 10**6, len(members))[:, None] + np.arange(_READ) * (number + 1)).ravel()
        columns = {
            "video_id": self.ids.take(pa.array(np.repeat(members, _READ))),
            "timestamp": pa.array(seconds * _MICROS),
            "views": pa.array(views),
            "likes": pa.array(views // 20),
            "comments": pa.array(views // 300),
            "published_at": pa.array(np.repeat(begin - first, _READ) * _MICROS),
        }
        return pa.table(columns).cast(tables.SCHEMA)


def _write_hours(root: Path, points: pa.Table) -> None:
    ordered = tables.sort(points)
    where = tables.hours(ordered)
    by_hour = np.argsort(where, kind="stable")
    edges = np.flatnonzero(np.diff(where[by_hour])) + 1
    for places in np.split(by_hour, edges):
        hour = tables.partition_of(where[places[0]])
        path = root / layout.stats(hour)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files.encode_sealed(ordered.take(pa.array(places)), []))


def _archived(storage: LocalStorage, rows: list[dict[str, object]]) -> ArchivedFile:
    """A file of its own: of full size, it would never be merged again."""
    (made,) = Archive(storage, 30.0)._written([table_of(rows, datetime.now(UTC))])
    return made


def aged(whole: Path, years: int, root: Path) -> None:
    """The last `years` of a vault as one of their own, in `root`: hard links, since no file is ever changed."""
    shutil.rmtree(root, ignore_errors=True)
    storage = LocalStorage(root, layout.SCRATCH)
    Vault(root).identity(create=True)
    history, _ = load(LocalStorage(whole, layout.SCRATCH))
    archive, _ = ArchiveManifest.of(LocalStorage(whole, layout.SCRATCH))
    months = [period for period in history.periods if period.is_month]
    kept = set(months[-12 * years :])
    first = min(kept).first
    here = [each for each in history.files if Period.parse(each.period) in kept]
    days = {name: day for name, day in history.days.items() if name >= first.isoformat()}
    videos = archive.files[-len(archive.files) * len(kept) // len(months) :]
    for folder in sorted(whole.glob("metrics/date=*")):
        if folder.name >= f"date={first.isoformat()}":
            _linked(whole, root, [path.relative_to(whole) for path in folder.rglob("*.parquet")])
    _linked(whole, root, [Path(each.path) for each in here] + [Path(each.key) for each in videos])
    shutil.copy(whole / VIDEOS, root / VIDEOS)
    history.model_copy(update={"files": tuple(here), "days": days}).replace(
        storage, layout.HISTORY_MANIFEST, expecting=None
    )
    ArchiveManifest(files=videos).replace(storage, layout.VIDEOS_MANIFEST, expecting=None)


def _linked(whole: Path, root: Path, paths: list[Path]) -> None:
    """Files that are never changed, in both vaults."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        os.link(whole / path, root / path)
