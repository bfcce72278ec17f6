"""The archive of metadata: what goes in stays, once, and is found by its words; a writer that is killed loses nothing.

This file is also the program of other processes, see `fork_server`.
"""

import csv
import json
import os
import shutil
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk import ObjectStoragePath

import fork_server
from connections import recorded
from fork_server import Children, wait_for
from ghost_tracking.core.videos import Reading, Video
from ghost_tracking.errors import BadInputError, FileChangedError, PartitionBusyError, UnreadableFileError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.manifest import HistoryManifest
from ghost_tracking.vault.maintenance.units import units_of
from ghost_tracking.vault.metadata import Archive, files, manifest, survey, verify
from ghost_tracking.vault.reports import VerifyReport
from ghost_tracking.vault.storage import LocalStorage, object_store

DAY = datetime(2026, 1, 15, 10, tzinfo=UTC)
LATER = DAY + timedelta(days=30)


def row(video_id: str, title: str | None = "A title", **known: Any) -> dict[str, Any]:
    """A row of the database."""
    return {"video_id": video_id, "title": title, "tags": ["a", "b"], "discovered_at": DAY} | known


def video(video_id: str, title: str = "A title", description: str | None = "Long.", **known: Any) -> Video:
    """A video as the hunter reads it."""
    given = {
        "published_at": DAY,
        "tags": ("a", "b"),
        "channel_id": "UC1",
        "channel_title": "Ch",
        "category_id": "1",
        "duration": timedelta(seconds=61),
        "default_language": "en",
        "reading": Reading(video_id, DAY, 1, 1, 1, DAY),
    }
    return Video(id=video_id, title=title, description=description, **given | known)


# What the children do


class Dying(LocalStorage):
    """Kills its own process at the n-th step of what it is asked, each step of each verb counting."""

    def __init__(self, root: str, at: int) -> None:
        super().__init__(Path(root), layout.SCRATCH)
        self.steps = 0
        self._at = at

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self._at:
            os.kill(os.getpid(), signal.SIGKILL)

    def read(self, key: str, *, last: int | None = None) -> Any:
        self._step()
        return super().read(key, last=last)

    def open(self, key: str) -> Any:
        self._step()
        return super().open(key)

    def sync(self, key: str) -> None:
        self._step()
        super().sync(key)

    def delete(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            self._step()
            super().delete([key])

    def _write_scratch(self, data: bytes) -> Path:
        self._step()
        path = super()._write_scratch(data)
        self._step()
        return path

    def _install(self, source: Path, key: str) -> None:
        self._step()
        super()._install(source, key)
        self._step()


def run_all(storage: LocalStorage) -> None:
    """Every verb that writes: staged parts, changed rows, merges of files, expiry."""
    archive = Archive(storage, 10)
    archive.merge_staged()
    archive.take([row("kept0", "Changed in the database"), row("staged1", "Staged", other='{"x": 1}')])
    archive.expire(DAY - timedelta(days=50))


def run_all_dying(root: str, at: int) -> int:
    storage = Dying(root, at)
    run_all(storage)
    return storage.steps


def add_until(root: str, writer: int, stop: str) -> int:
    hook = ParquetVaultHook(root=root, lock_timeout=30)
    number = 0
    while not Path(stop).exists():
        rows = [row(f"w{writer}-{number + offset}", "Common words here") for offset in range(40)]
        assert hook.archive_videos([*rows, row("shared", f"Title {number} of writer {writer}")]).complete
        number += 40
    return number


def read_until(root: str, stop: str) -> int:
    """Read, and check that nothing is there twice and nothing that was seen before is missing."""
    hook = ParquetVaultHook(root=root)
    seen: set[str] = set()
    rounds = 0
    while not Path(stop).exists() or rounds == 0:
        found = list(hook.find_videos("common words", limit=10**6)["video_id"])
        assert len(found) == len(set(found)), "a duplicate"
        assert seen.issubset(found), "a gap"
        seen.update(found)
        assert len(hook.read_videos(["shared", "first"])) == 2
        rounds += 1
    return rounds


WORK = {each.__name__: each for each in (run_all_dying, add_until, read_until)}


# How the tests handle them


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.fixture
def vault(root: Path) -> ParquetVaultHook:
    return ParquetVaultHook(root=root, lock_timeout=0.2)


@pytest.fixture
def storage(root: Path) -> LocalStorage:
    return LocalStorage(root, layout.SCRATCH)


def archived_files(root: Path) -> list[Path]:
    return sorted((root / "videos").glob("*.parquet"))


def everything(root: Path) -> pd.DataFrame:
    """All rows, as an analyst reads the folder."""
    frames = [pd.read_parquet(path) for path in archived_files(root)]
    return pd.concat(frames).sort_values("video_id", ignore_index=True)


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def titles(vault: ParquetVaultHook, *video_ids: str) -> dict[str, str]:
    frame = vault.read_videos(video_ids)
    return dict(zip(frame["video_id"], frame["title"], strict=True))


# What goes in


def test_staged_metadata_is_archived_with_its_description_and_read_by_any_program(
    vault: ParquetVaultHook, root: Path, storage: LocalStorage
) -> None:
    vault.stage_videos([video("b", "Zwei Wörter"), video("a", "One", tags=(), duration=None)], DAY)
    assert titles(vault, "a", "b", "c") == {"a": "One", "b": "Zwei Wörter"}  # staged ones are read too
    assert survey(storage) == {"videos": 0, "files": 0, "bytes": 0, "staged_parts": 1, "unreadable": []}

    report = vault.archive_videos()

    assert (report.added, report.changed, report.parts_merged, report.complete) == (2, 0, 1, True)
    assert vault.archive_videos() == type(report)()
    frame = vault.read_videos("b")
    assert frame.loc[0, "description"] == "Long."
    assert frame.loc[0, "published_at"] == frame.loc[0, "discovered_at"] == DAY
    assert list(frame.loc[0, "tags"]) == ["a", "b"]
    (file,) = archived_files(root)
    assert [pd.read_parquet(file)["video_id"].to_list(), pl.read_parquet(file)["title"].to_list()] == [
        ["a", "b"],
        ["One", "Zwei Wörter"],
    ]
    assert duckdb.sql(f"SELECT tags, duration_seconds, search FROM '{file}' ORDER BY video_id").fetchall() == [
        ([], None, " one "),
        (["a", "b"], 61, " zwei worter "),
    ]
    found = survey(storage)
    assert (found["videos"], found["files"], found["staged_parts"]) == (2, 1, 0)
    assert found["bytes"] == file.stat().st_size
    assert verify(storage) == []


def test_a_row_of_the_database_stands_and_keeps_the_description(vault: ParquetVaultHook, root: Path) -> None:
    vault.stage_videos([video("a"), video("b")], DAY)
    vault.archive_videos()
    same = {
        "channel_id": "UC1",
        "channel_title": "Ch",
        "category_id": "1",
        "duration_seconds": 61,
        "default_language": "en",
        "published_at": DAY.astimezone(),
    }
    before = snapshot(root)
    assert vault.archive_videos([row("a", **same), row("b", **same)]).unchanged == 2
    assert snapshot(root) == before

    report = vault.archive_videos(
        [row("a", "Renamed", **same), row("c", description="Old tracker's", other='{"x": 1}')]
    )

    assert (report.added, report.changed, report.unchanged) == (1, 1, 0)
    frame = vault.read_videos(["a", "b", "c"]).set_index("video_id")
    assert list(frame["title"]) == ["Renamed", "A title", "A title"]
    assert list(frame["description"]) == ["Long.", "Long.", "Old tracker's"]
    assert frame.loc["c", "other"] == '{"x": 1}'
    assert len(everything(root)) == 3


def test_a_video_that_is_discovered_again_has_one_current_row(
    vault: ParquetVaultHook, root: Path, storage: LocalStorage
) -> None:
    vault.archive_videos([row("a", "Old", other='{"x": 1}'), row("b")])
    vault.stage_videos([video("a", "Newest")], LATER)
    vault.stage_videos([video("a", "Between"), video("b", "Older")], DAY - timedelta(days=1))
    assert titles(vault, "a", "b") == {"a": "Newest", "b": "A title"}

    vault.archive_videos()

    frame = everything(root).set_index("video_id")
    assert list(frame.index) == ["a", "b"]
    assert list(frame["title"]) == ["Newest", "A title"]
    assert list(frame["description"]) == ["Long.", "Long."]  # what the archive did not know of b
    assert (frame.loc["a", "other"], frame.loc["a", "discovered_at"]) == ('{"x": 1}', LATER)
    assert list(vault.find_videos("old")["video_id"]) == []
    assert list(vault.find_videos("newest")["video_id"]) == ["a"]
    assert verify(storage) == []


def test_what_does_not_fit_is_refused_before_anything_is_written(vault: ParquetVaultHook, root: Path) -> None:
    for bad in ({"title": 5}, {"video_id": None}, {"tags": [1]}, {"published_at": "yesterday"}, {"title": "\ud800"}):
        with pytest.raises(BadInputError):
            vault.archive_videos([row("a"), row("b") | bad])
    assert archived_files(root) == []


def test_a_dry_run_writes_nothing_at_all(vault: ParquetVaultHook, root: Path) -> None:
    vault.archive_videos([row("a"), row("b")])
    vault.stage_videos([video("c"), video("d")], LATER)
    (root / layout.STAGED_VIDEOS / "20260101T000000000000-0123456789ab.part").write_bytes(b"broken")
    before = snapshot(root)
    staged = vault.archive_videos(dry_run=True)
    assert (staged.added, staged.parts_merged, len(staged.problems), staged.quarantined) == (2, 1, 1, ())
    rows = vault.archive_videos([row("a"), row("b", "Changed"), row("e")], dry_run=True)
    assert (rows.added, rows.changed, rows.unchanged, rows.bytes) == (1, 1, 1, 0)
    expiry = vault.expire_videos(LATER + timedelta(days=1), dry_run=True)
    assert (expiry.videos, expiry.files, expiry.staged) == (2, 1, 2)
    assert snapshot(root) == before


def test_many_small_files_become_few_and_nothing_is_lost(
    vault: ParquetVaultHook, root: Path, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ROW_GROUP", 16)
    for batch in range(30):
        vault.archive_videos([row(f"{number:05}", f"Title {number}") for number in range(batch, 3000, 30)])
    assert len(archived_files(root)) <= 4
    assert pq.read_metadata(archived_files(root)[0]).num_row_groups > 1
    assert list(everything(root)["video_id"]) == [f"{number:05}" for number in range(3000)]
    assert verify(storage) == []
    assert titles(vault, "01234", "02999") == {"01234": "Title 1234", "02999": "Title 2999"}
    assert list(vault.find_videos("1234")["video_id"]) == ["01234"]
    everywhere = [row(f"{number:05}", "Changed") for number in range(0, 3000, 100)]
    assert vault.archive_videos(everywhere).changed == 30
    assert len(everything(root)) == 3000
    assert len(vault.find_videos("changed", limit=100)) == 30
    assert verify(storage) == []


def test_large_parts_are_merged_in_rounds(vault: ParquetVaultHook, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ghost_tracking.vault.metadata import writing

    monkeypatch.setattr(writing, "_ROUND_BYTES", 1000)
    for number in range(12):
        vault.stage_videos([video(f"v{number}", description="x" * 600)], DAY)
    report = vault.archive_videos()
    assert (report.added, report.parts_merged) == (12, 12)
    assert len(everything(root)) == 12


def test_expiry_goes_by_discovery_and_takes_staged_metadata_with_it(
    vault: ParquetVaultHook, root: Path, storage: LocalStorage
) -> None:
    vault.archive_videos([row("old"), row("new", discovered_at=LATER), row("unknown", discovered_at=None)])
    vault.archive_videos([row("alone")])
    vault.archive_videos([row("young", discovered_at=LATER)])
    vault.stage_videos([video("staged")], DAY)
    report = vault.expire_videos(LATER)
    assert (report.videos, report.problems) == (3, ())
    assert list(everything(root)["video_id"]) == ["new", "unknown", "young"]
    assert verify(storage) == []
    assert vault.expire_videos(LATER).videos == 0
    assert len(vault.read_videos(["staged", "old"])) == 0
    # that of unknown discovery counts from its archiving, just now: only below the verb does a cutoff take it
    assert Archive(storage, 5).expire(datetime.now(UTC) + timedelta(days=1)).videos == 3
    assert archived_files(root) == []
    assert survey(storage)["videos"] == 0


def test_an_archive_in_a_bucket(s3_root: ObjectStoragePath) -> None:
    """Without locks: two writers at once, and whatever else happens to the archive."""
    vault, other = ParquetVaultHook(root=s3_root), ParquetVaultHook(root=s3_root)

    def nine(name: str) -> list[dict[str, Any]]:
        return [row(f"{name}-{number}", f"Title {name}") for number in range(9)]

    with ThreadPoolExecutor(2) as pool:
        writers = (("a", vault), ("b", other))
        batches = [(hook, nine(f"{name}{batch}")) for batch in range(3) for name, hook in writers]
        added = [pool.submit(hook.archive_videos, rows) for hook, rows in batches]
        assert [each.result().added for each in added] == [9] * 6
    vault.stage_videos([video("a0-0", "Discovered again"), video("new")], LATER)
    assert titles(other, "a0-0", "b2-8", "new") == {"a0-0": "Discovered again", "b2-8": "Title b2", "new": "A title"}
    assert (vault.archive_videos().changed, other.archive_videos([row("b2-8", "Changed")]).changed) == (1, 1)
    assert list(other.find_videos("discovered")["video_id"]) == ["a0-0"]
    assert len(vault.find_videos("title", limit=1000)) == 6 * 9 - 2 + 1
    found = survey(vault._storage)
    assert (found["videos"], found["unreadable"]) == (6 * 9 + 1, [])
    assert verify(vault._storage) == []
    assert vault.expire_videos(LATER).videos == 6 * 9 - 1
    assert titles(other, "a0-0", "b2-8", "new") == {"a0-0": "Discovered again", "new": "A title"}


# What is found


def test_a_video_is_found_by_the_words_of_its_title_the_best_first(vault: ParquetVaultHook) -> None:
    vault.archive_videos(
        [
            row("begins", "Catalogue of dogs", published_at=LATER),
            row("whole-old", "Cat & dog", published_at=DAY),
            row("whole-new", "DOG, CAT!", published_at=LATER),
            row("undated", "cat dog", published_at=None),
            row("inside", "Concatenated dog"),
            row("lacking", "Cat"),
            row("untitled", None),
        ]
    )
    found = vault.find_videos("Cat dog")
    assert list(found["video_id"]) == ["whole-new", "whole-old", "undated", "begins"]
    assert list(found.columns)[:4] == ["video_id", "title", "channel_title", "published_at"]
    assert list(vault.find_videos("cat dog", limit=1)["video_id"]) == ["whole-new"]
    assert list(vault.find_videos("absent")["video_id"]) == []
    assert str(vault.find_videos("absent")["duration_seconds"].dtype) == "Int64"
    for query in ("", "?!", "\u200b"):
        with pytest.raises(BadInputError, match="no word"):
            vault.find_videos(query)
    with pytest.raises(BadInputError, match="limit is 0"):
        vault.find_videos("cat", limit=0)


def test_recorded_titles_of_any_script_are_found(vault: ParquetVaultHook) -> None:
    invented = {
        "thai": "เพลงใหม่ล่าสุด 2024",
        "chinese": "北京烤鸭教程",
        "hindi": "हिन्दी गाने",
        "arabic": "أغنية جديدة",
        "odd": "C++ (ab|cd)* .^$ [xy] \\d",
    }
    with recorded("recorded_videos.csv").open(encoding="utf-8", newline="") as file:
        known = {each["video_id"]: each["title"] for each in csv.DictReader(file)} | invented
    vault.archive_videos([row(video_id, title) for video_id, title in known.items()])
    for video_id, title in [*list(known.items())[::40], *invented.items()]:
        assert video_id in set(vault.find_videos(title.swapcase(), limit=500)["video_id"]), title
    assert list(vault.find_videos("烤鸭")["video_id"]) == ["chinese"]
    assert list(vault.find_videos("ใหม่")["video_id"]) == ["thai"]


# What is broken


def test_a_broken_part_is_set_aside_and_stops_no_other(vault: ParquetVaultHook, root: Path) -> None:
    vault.stage_videos([video("a")], DAY)
    (part,) = (root / layout.STAGED_VIDEOS).iterdir()
    broken = part.with_name("20260101T000000000000-0123456789ab.part")
    broken.write_bytes(part.read_bytes()[:-100])
    foreign = part.with_name("20260101T000000000000-0123456789ac.part")
    pq.write_table(pa.table({"video_id": ["x"]}), foreign)
    assert titles(vault, "a") == {"a": "A title"}

    report = vault.archive_videos()

    assert (report.added, report.parts_merged, len(report.quarantined)) == (1, 1, 2)
    assert f"{layout.STAGED_VIDEOS}/{broken.name} is not an intact Parquet file" in report.problems[0]
    assert "other columns" in report.problems[1]
    assert [(root / aside).exists() for aside in report.quarantined] == [True, True]
    assert list((root / "_staging").rglob("*.parquet")) == []
    assert vault.archive_videos().complete
    assert json.dumps(report.as_dict())


def test_a_broken_file_is_named_and_nothing_goes_past_it(
    vault: ParquetVaultHook, root: Path, storage: LocalStorage
) -> None:
    vault.archive_videos([row(f"v{number}") for number in range(500)])
    (file,) = archived_files(root)
    whole = bytearray(file.read_bytes())
    for place in (len(whole) // 4, len(whole) - 30):
        damaged = whole.copy()
        damaged[place : place + 8] = b"\xff" * 8
        file.write_bytes(damaged)
        assert any(file.name in problem for problem in verify(storage)), place
        with pytest.raises(UnreadableFileError, match=file.name):
            vault.archive_videos([row(f"v{number}") for number in range(500)])
        with pytest.raises(UnreadableFileError, match=file.name):
            vault.read_videos([f"v{number}" for number in range(500)])
    file.unlink()
    assert verify(storage) == [f"videos/{file.name} is missing, though the manifest names it"]
    assert survey(storage)["unreadable"] == verify(storage)
    with pytest.raises(UnreadableFileError, match="names a file that is not there"):
        vault.read_videos("v1")
    with pytest.raises(UnreadableFileError, match="names a file that is not there"):
        vault.archive_videos([row("v1")])


def test_verification_finds_what_is_twice_unsorted_or_missing(
    vault: ParquetVaultHook, root: Path, storage: LocalStorage
) -> None:
    vault.archive_videos([row(name) for name in "abcde"])
    first = archived_files(root)[0]
    vault.archive_videos([row(name) for name in "fghij"])
    (second,) = set(archived_files(root)) - {first}
    second.write_bytes(first.read_bytes())
    problems = verify(storage)
    assert len(problems) == 4
    assert problems[0] == f"videos/{second.name} has video a, which is in videos/{first.name} too"
    assert problems[-1] == "2 more videos are in two files of the archive"
    table = pq.read_table(first)
    pq.write_table(pa.concat_tables([table.slice(2), table.slice(0, 2)]), second, store_schema=False)
    assert verify(storage) == [f"videos/{second.name} is not sorted by video_id, or has a video twice"]
    pq.write_table(table.slice(1), second, store_schema=False)
    assert verify(storage) == [f"videos/{second.name} has 4 videos where the manifest says 5"]


@pytest.mark.parametrize("when", ["before it is opened", "before it is read"])
def test_a_file_that_is_merged_while_ids_are_compared_is_told_in_a_check_of_all_and_no_news_at_night(
    s3_root: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    vault = ParquetVaultHook(root=s3_root)
    for name in "ab":
        vault.archive_videos([row(name)])
    storage = vault._storage
    opened = storage.open
    units = [unit for unit in units_of(storage, HistoryManifest(), {}) if "/ids " in unit.name]
    assert len(units) == 1

    def merged(key: str) -> Any:
        file = opened(key) if when == "before it is read" else None
        storage.move(key, f"{key}-merged")
        return file or opened(key)

    monkeypatch.setattr(object_store, "_END", 8)  # or a file that is so small would be there with its end
    monkeypatch.setattr(storage, "open", merged)
    (problem,) = verify(storage)
    assert problem.startswith("the archive was rewritten while its ids were compared, verify again: ")
    assert ("while it was read" in problem) == (when == "before it is read")
    for key, _ in [*storage.walk(layout.VIDEOS)]:
        if key.endswith("-merged"):
            storage.move(key, key.removesuffix("-merged"))
    assert units[0].prove() == VerifyReport()


def test_a_video_that_got_into_two_files_leaves_one_with_its_next_archiving(
    vault: ParquetVaultHook, root: Path, storage: LocalStorage
) -> None:
    vault.archive_videos([row("a"), row("b"), row("c")])
    first = archived_files(root)[0]
    vault.archive_videos([row("d"), row("e"), row("f")])
    (second,) = set(archived_files(root)) - {first}
    second.write_bytes(first.read_bytes())
    report = vault.archive_videos([row("a"), row("b", "Changed"), row("c")])
    assert (report.added, report.changed, report.unchanged) == (0, 1, 2)
    assert titles(vault, "a", "b", "c") == {"a": "A title", "b": "Changed", "c": "A title"}
    assert verify(storage) == []


def test_a_missing_or_damaged_manifest_is_no_empty_archive(
    vault: ParquetVaultHook, root: Path, storage: LocalStorage
) -> None:
    vault.archive_videos([row("a")])
    file = root / layout.VIDEOS_MANIFEST
    content = file.read_bytes()
    file.unlink()
    for ask in (lambda: vault.archive_videos([row("b")]), lambda: vault.read_videos("a"), vault.archive_videos):
        with pytest.raises(UnreadableFileError, match=r"manifest\.json is missing"):
            ask()
    assert "is missing" in survey(storage)["unreadable"][0]
    file.write_bytes(content[:-5])
    with pytest.raises(UnreadableFileError, match=r"manifest\.json is damaged"):
        vault.find_videos("title")
    assert "is damaged" in verify(storage)[0]
    file.write_bytes(content)
    assert titles(vault, "a") == {"a": "A title"}


def test_a_full_disk_leaves_the_archive_as_it_was(vault: ParquetVaultHook, root: Path) -> None:
    vault.archive_videos([row("a")])
    before = everything(root)

    class Full(LocalStorage):
        def put(self, key: str, data: bytes) -> None:
            raise OSError(28, "No space left on device")

    full = Archive(Full(root, layout.SCRATCH), 1)
    with pytest.raises(OSError, match="No space"):
        full.take([row("a", "Changed"), row("b")])
    pd.testing.assert_frame_equal(everything(root), before)


# Who is at work at the same time


def test_the_archive_is_busy_while_another_writes(vault: ParquetVaultHook, storage: LocalStorage) -> None:
    storage.prepare()
    with storage.lock(layout.VIDEOS_LOCK, 1), pytest.raises(PartitionBusyError, match=r"videos\.lock"):
        vault.archive_videos([row("a")])


class Overtaken(LocalStorage):
    """Without locks, as an object store is; before its manifest is replaced, somebody else replaces it."""

    def __init__(self, root: Path, times: int) -> None:
        super().__init__(root, layout.SCRATCH)
        self._times = times

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        yield

    def replace(self, key: str, data: bytes, *, expecting: Any) -> None:
        if self._times:
            self._times -= 1
            other = Archive(LocalStorage(self.root, layout.SCRATCH), 1)
            other.take([row("a", f"Overtaken {self._times}"), row(f"other{self._times}")])
        super().replace(key, data, expecting=expecting)


@pytest.mark.parametrize("times", [1, 2, 4])
def test_without_locks_the_manifest_alone_keeps_two_writers_apart(
    root: Path, storage: LocalStorage, times: int
) -> None:
    storage.prepare()
    Archive(storage, 1).take([row("a", "First"), row("b")])
    Archive(Overtaken(root, times), 1).take([row("a", "Last"), row("c")])
    hook = ParquetVaultHook(root=root)
    assert titles(hook, "a", "b", "c", "other0") == {"a": "Last", "b": "A title", "c": "A title", "other0": "A title"}
    assert verify(storage) == []


def test_whoever_is_overtaken_for_ever_gives_up(root: Path, storage: LocalStorage) -> None:
    storage.prepare()
    with pytest.raises(FileChangedError):
        Archive(Overtaken(root, 50), 1).take([row("mine")])
    assert len(ParquetVaultHook(root=root).read_videos("mine")) == 0
    assert verify(storage) == []


def test_leftovers_are_swept_when_nobody_can_be_about_to_name_them(vault: ParquetVaultHook, root: Path) -> None:
    vault.archive_videos([row("a")])
    old, young, foreign = (
        root / "videos" / name
        for name in (
            f"{datetime.now(UTC) - timedelta(hours=25):%Y%m%dT%H%M%S%f}-0123456789ab.parquet",
            f"{datetime.now(UTC) - timedelta(hours=23):%Y%m%dT%H%M%S%f}-0123456789ab.parquet",
            "notes.txt",
        )
    )
    for path in (old, young, foreign):
        path.write_bytes(b"left over")
    vault.archive_videos()
    assert [path.exists() for path in (old, young, foreign)] == [False, True, True]
    assert titles(vault, "a") == {"a": "A title"}


@pytest.mark.faults
def test_writers_and_readers_interleave(children: Children, root: Path, tmp_path: Path, storage: LocalStorage) -> None:
    stop = tmp_path / "stop"
    hook = ParquetVaultHook(root=root)
    hook.archive_videos([row("shared"), row("first", "Common words")])
    common = {"root": str(root), "stop": str(stop)}
    writers = [children.start(add_until, writer=number, **common) for number in range(2)]
    readers = [children.start(read_until, **common) for _ in range(2)]
    wait_for(lambda: len(hook.find_videos("common words", limit=10**6)) > 1_500, 60)
    stop.touch()
    added = sum(writer.result() for writer in writers)
    assert sum(reader.result() for reader in readers) > 5
    assert len(everything(root)) == added + 2
    assert verify(storage) == []


@pytest.fixture(scope="module")
def before_the_kill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vault in which everything is due: staged metadata, a merge of files, expiry."""
    root = tmp_path_factory.mktemp("before") / "vault"
    hook = ParquetVaultHook(root=root)
    for number in range(3):
        old = row(f"old{number}", "Expires", discovered_at=DAY - timedelta(days=99))
        hook.archive_videos([row(f"kept{number}", f"Kept {number}"), row(f"other{number}"), old])
    hook.stage_videos([video("staged0", "Staged"), video("kept1", "Discovered again")], LATER)
    hook.stage_videos([video("staged1", "Staged")], DAY)
    (root / layout.STAGED_VIDEOS / "20260101T000000000000-0123456789ab.part").write_bytes(b"broken")
    return root


def comparable(root: Path) -> pd.DataFrame:
    return everything(root).drop(columns="archived_at")


@pytest.mark.faults
def test_a_writer_killed_at_any_step_loses_nothing_and_doubles_nothing(
    children: Children, before_the_kill: Path, tmp_path: Path
) -> None:
    expected = tmp_path / "expected"
    shutil.copytree(before_the_kill, expected)
    steps = children.start(run_all_dying, root=str(expected), at=0).result()
    assert steps > 60
    after = comparable(expected)
    assert list(after["video_id"]) == ["kept0", "kept1", "kept2", "other0", "other1", "other2", "staged0", "staged1"]

    for step in range(1, steps + 1):
        root = tmp_path / f"killed{step}"
        shutil.copytree(before_the_kill, root)
        child = children.start(run_all_dying, root=str(root), at=step)
        wait_for(child.is_gone, 30)
        storage = LocalStorage(root, layout.SCRATCH)
        hook = ParquetVaultHook(root=root)
        assert verify(storage) == [], step
        assert len(hook.read_videos(list(after["video_id"]))) == len(after), step

        run_all(storage)

        assert verify(storage) == [], step
        named = {file.name for file in manifest.ArchiveManifest.of(storage)[0].files}
        for path in archived_files(root):  # what nobody names stays for a day, as nobody knows whose it is
            if path.name not in named:
                path.unlink()
        pd.testing.assert_frame_equal(comparable(root), after)
        assert survey(storage)["staged_parts"] == 0
        shutil.rmtree(root)


if __name__ == "__main__":
    fork_server.serve(WORK)
