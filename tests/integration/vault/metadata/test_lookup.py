"""Finding given videos opens few files, and misses none; checking the archive holds few of them open."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.manifest import HistoryManifest
from ghost_tracking.vault.maintenance.stats import Stats
from ghost_tracking.vault.maintenance.units import units_of
from ghost_tracking.vault.metadata import duplicates, files, lookup, manifest, rows_of_videos, verify
from ghost_tracking.vault.metadata.manifest import ArchiveManifest
from ghost_tracking.vault.storage import LocalStorage

DAY = datetime(2026, 1, 15, 10, tzinfo=UTC)
MONTHS = 12


def row(video_id: str, at: datetime | None, discovered: datetime | None = None) -> dict[str, Any]:
    return {
        "video_id": video_id,
        "title": f"Title {video_id}",
        "published_at": at,
        "discovered_at": discovered or at or DAY,
    }


def month(number: int) -> datetime:
    return DAY + timedelta(days=30.5 * number)


@pytest.fixture
def vault(root: Path) -> ParquetVaultHook:
    return ParquetVaultHook(root=root)


@pytest.fixture
def archive(vault: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch) -> ParquetVaultHook:
    """A file for each month, which stay apart; the sixth has an old video too, the eighth one without a time."""
    monkeypatch.setattr(manifest, "_FANOUT", 1000)
    for number in range(MONTHS):
        rows = [row(f"{number:02}-{n:02}", month(number) + timedelta(hours=n)) for n in range(30)]
        rows += [row("old", month(-40), month(6))] if number == 6 else []
        rows += [row("undated", None, month(8))] if number == 8 else []
        vault.archive_videos(rows)
    return vault


class Counting(LocalStorage):
    """Notes which Parquet files are opened, and how many are open together at the most."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, layout.SCRATCH)
        self.opened: list[str] = []
        self.most = 0
        self._open: list[Any] = []

    def open(self, key: str) -> Any:
        handle = super().open(key)
        if key.endswith(layout.SUFFIX):
            self.opened.append(key)
            self._open = [each for each in self._open if not each.closed] + [handle]
            self.most = max(self.most, len(self._open))
        return handle


def test_a_known_publish_time_opens_the_file_of_that_time(archive: ParquetVaultHook, root: Path) -> None:
    storage = Counting(root)
    stats = Stats(storage)
    assert list(stats.titles({"03-07": month(3)})) == ["03-07"]
    # those of the month before and after may have it too, and one that has a video without a time
    assert len(storage.opened) <= 4
    storage.opened.clear()
    assert list(stats.titles({"old": month(-40)})) == ["old"]
    assert len(storage.opened) <= 2
    storage.opened.clear()
    assert stats.titles({"absent": month(-90)}) == {}
    assert len(storage.opened) <= 1
    storage.opened.clear()
    assert stats.titles({}) == stats.titles([]) == {}
    assert storage.opened == []
    everybody = {f"{n:02}-{k:02}": month(n) for n in range(MONTHS) for k in range(30)}
    assert stats.titles(everybody).keys() == everybody.keys()
    assert storage.most <= lookup._THREADS


def test_what_the_caller_does_not_know_is_looked_for_everywhere(archive: ParquetVaultHook) -> None:
    ids = ["03-07", "old", "undated", "11-29", "absent"]
    known = {"03-07": None, "old": month(-40), "undated": month(2), "11-29": month(11), "absent": None}
    for wanted in (ids, known, {**known, "undated": None}):
        assert list(archive.read_videos(wanted)["video_id"]) == sorted(ids[:-1])
    # YouTube may tell another time after a premiere, of about then
    assert list(archive.read_videos({"03-07": month(3) + timedelta(days=20)})["video_id"]) == ["03-07"]


numbers = st.integers(0, 60)


@settings(max_examples=60)
@given(st.lists(st.dictionaries(numbers, st.none() | st.integers(-30, 30), max_size=25), max_size=4), st.sets(numbers))
def test_every_video_is_found_once(
    tmp_path_factory: pytest.TempPathFactory, batches: list[dict[int, int | None]], wanted: set[int]
) -> None:
    vault = ParquetVaultHook(root=tmp_path_factory.mktemp("lookup") / "vault")
    known: dict[str, datetime | None] = {}
    for batch in batches:
        rows = [row(f"v{number}", None if at is None else month(at), DAY) for number, at in batch.items()]
        vault.archive_videos(rows)
        known |= {each["video_id"]: each["published_at"] for each in rows}
    ids = {f"v{number}" for number in wanted}
    for asked in (ids, {each: known.get(each) for each in ids}, dict.fromkeys(ids)):
        found = rows_of_videos(vault._storage, asked, ["video_id", "published_at"])
        assert {each["video_id"]: each["published_at"] for each in found.to_pylist()} == {
            each: known[each] for each in ids & known.keys()
        }
        assert found.num_rows == len(ids & known.keys())


def test_new_metadata_is_compared_by_the_indexes(archive: ParquetVaultHook, root: Path) -> None:
    storage = Counting(root)
    from ghost_tracking.vault.metadata import Archive

    new = [row(f"new{n:03}", month(11)) for n in range(200)]
    assert Archive(storage, 1).take(new).added == 200
    held = [key for key in storage.opened if not key.startswith(layout.WORDS)]
    assert len(held) == 0
    assert len(storage.opened) == MONTHS
    storage.opened.clear()
    again = [*new[:50], row("05-03", month(5) + timedelta(hours=3))]
    assert Archive(storage, 1).take(again).unchanged == 51
    assert len([key for key in storage.opened if not key.startswith(layout.WORDS)]) == 2


# Checking


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + bytes(8) + whole[68:])
    yield
    path.write_bytes(whole)


def test_a_verification_has_one_file_open_and_decodes_none_that_is_as_written(
    archive: ParquetVaultHook, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Counting(root)
    decoded: list[object] = []
    groups = files.groups

    def noted(*arguments: Any) -> Any:
        decoded.append(arguments)
        return groups(*arguments)

    monkeypatch.setattr(files, "groups", noted)
    assert verify(storage) == []
    assert storage.most == 1
    assert decoded == []
    first = next((root / layout.VIDEOS).glob("*.parquet"))
    with damaged(first):
        assert any(first.name in problem for problem in verify(storage))
        assert storage.most == 1


def test_duplicates_are_found_range_by_range(
    archive: ParquetVaultHook, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Counting(root)
    held = list(ArchiveManifest.of(storage)[0].files)
    copied, into = held[4], held[9]
    (root / into.key).write_bytes((root / copied.key).read_bytes())
    twice = duplicates(storage, held)
    assert twice[0] == f"{into.key} has video 04-00, which is in {copied.key} too"
    assert twice[-1] == "27 more videos are in two files of the archive"
    monkeypatch.setattr(import_module("ghost_tracking.vault.metadata.verify"), "_IDS_AT_A_TIME", 40)
    assert duplicates(storage, held) == twice
    shares = [duplicates(storage, held, part, 5) for part in range(5)]
    assert sum(len(share) > 0 for share in shares) == 1
    assert max(shares) == twice
    assert storage.most == 1


def test_the_nights_prove_of_a_share_of_ids_each_that_none_is_twice(archive: ParquetVaultHook, root: Path) -> None:
    storage = LocalStorage(root, layout.SCRATCH)
    held = ArchiveManifest.of(storage)[0].files
    (root / held[9].key).write_bytes((root / held[4].key).read_bytes())
    shares = [unit for unit in units_of(storage, HistoryManifest(), {}) if " of " in unit.name]
    assert len(shares) == len(held) - 1
    told = [unit.prove().problems for unit in shares]
    assert sum(len(each) for each in told) >= 4
    (root / held[2].key).unlink()
    assert [unit.prove().problems for unit in shares] == [()] * len(shares)


def test_a_broken_index_is_named_and_made_again(archive: ParquetVaultHook, root: Path) -> None:
    storage = LocalStorage(root, layout.SCRATCH)
    broken, missing = sorted((root / layout.WORDS).iterdir())[3:5]
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-20] + bytes(20))
    missing.unlink()
    problems = verify(storage)
    assert [problem.split(" ")[0] for problem in problems] == [
        f"{layout.WORDS}/{broken.name}",
        f"{layout.WORDS}/{missing.name}",
    ]
    assert all("repair the vault" in problem for problem in problems)
    assert archive.repair().reindexed == tuple(problem.split(" ")[0] for problem in problems)
    assert verify(storage) == []
    assert broken.read_bytes() == whole
    assert archive.repair().reindexed == ()
