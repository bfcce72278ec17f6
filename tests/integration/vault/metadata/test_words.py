"""The index of words: a search by it finds what reading all titles finds, in the same order, and can do without."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghost_tracking.core.titles import words_of
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.metadata import files, manifest, rows, search, title_scan, words, writing
from ghost_tracking.vault.metadata.manifest import ArchiveManifest
from ghost_tracking.vault.storage import LocalStorage

DAY = datetime(2026, 1, 15, 10, tzinfo=UTC)


def row(video_id: str, title: str | None, published: int | None = 0, channel: str | None = "UC1") -> dict[str, Any]:
    """A row of the database; `published`: days after the first."""
    at = None if published is None else DAY + timedelta(days=published)
    return {"video_id": video_id, "title": title, "published_at": at, "channel_id": channel, "discovered_at": DAY}


@pytest.fixture
def vault(root: Path) -> ParquetVaultHook:
    return ParquetVaultHook(root=root)


@pytest.fixture
def storage(root: Path) -> LocalStorage:
    return LocalStorage(root, layout.SCRATCH)


@contextmanager
def reading_titles() -> Iterator[None]:
    """Without any index."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "by_index", lambda *_: None)
        yield


def by_reading(vault: ParquetVaultHook, query: str, limit: int = 20) -> list[str]:
    with reading_titles():
        return list(vault.find_videos(query, limit)["video_id"])


class Counting(LocalStorage):
    """Counts what is opened."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, layout.SCRATCH)
        self.opened: list[str] = []

    def open(self, key: str) -> Any:
        if key.endswith(layout.SUFFIX):
            self.opened.append(key)
        return super().open(key)


# A search by the index is a search by reading

SYLLABLES = [
    "a",
    "b",
    "ab",
    "é",
    "É",
    "ß",
    "ﬁ",
    "日",
    "本",
    "日本",
    "カ",
    "ガ",
    "ー",
    "ไ",
    "ม่",
    "🔥",
    "😱",
    "한",
    "हि",
    "1",
]
SIGNS = [" ", " ", " ", "-", "'", "\u200b", "!", "\u0301", "\u3099"]
texts = st.lists(st.sampled_from([*SYLLABLES, *SIGNS]), max_size=9).map("".join) | st.text(max_size=8)
videos = st.lists(st.tuples(st.none() | texts, st.none() | st.integers(0, 3)), max_size=14)


@settings(max_examples=150)
@given(st.lists(videos, min_size=1, max_size=3), texts, st.integers(1, 6))
def test_an_index_finds_what_reading_all_titles_finds_in_the_same_order(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[str | None, int | None]]], query: str, limit: int
) -> None:
    vault = ParquetVaultHook(root=tmp_path_factory.mktemp("oracle") / "vault")
    known = {}
    for number, batch in enumerate(batches):
        table = [row(f"{number}-{place:02}", title, at) for place, (title, at) in enumerate(batch)]
        known |= {each["video_id"]: each["title"] for each in table}
        vault.archive_videos(table)
    for asked in (query, *(title for title in list(known.values())[:3] if title)):
        if not words_of(asked):
            continue
        found = list(vault.find_videos(asked, limit)["video_id"])
        assert found == by_reading(vault, asked, limit), asked
        everything = list(vault.find_videos(asked, 1000)["video_id"])
        assert everything[:limit] == found
        assert sorted(everything) == sorted(by_reading(vault, asked, 1000)), asked


@given(st.lists(st.integers(-50, 50), max_size=40), st.integers(1, 10))
def test_the_best_hits_are_those_of_the_highest_rank_and_then_the_first_rows(ranks: list[int], limit: int) -> None:
    hits = title_scan.Hits(np.array(ranks, dtype=np.int64), np.arange(len(ranks)))
    best = hits.best(limit)
    wanted = sorted(range(len(ranks)), key=lambda place: (-ranks[place], place))[:limit]
    assert best.rows.tolist() == wanted
    assert best.ranks.tolist() == [ranks[place] for place in wanted]


def test_a_rank_goes_by_whole_words_then_by_time_and_an_unknown_time_is_last() -> None:
    old, new = -(10**9), 4 * 10**9
    ranks = [title_scan.ranked(whole, at) for whole in range(3) for at in (words.NEVER, old, 0, new)]
    assert ranks == sorted(set(ranks))
    assert title_scan.first_of(2) == ranks[8]


def test_rows_are_found_over_many_row_groups(vault: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ROW_GROUP", 64)
    monkeypatch.setattr(words, "_WORDS_A_GROUP", 8)
    monkeypatch.setattr(words, "_ROWS_A_GROUP", 100)
    monkeypatch.setattr(search, "_LEAST_CHECKED", 2)
    vault.archive_videos([row(f"{n:05}", f"all n{n % 7} w{n} 東京都{n % 10}", n % 50) for n in range(1000)])
    for query in ("all", "n3", "n", "w77", "w7 n0", "東京", "東京都", "京都東", "京東", "東", "all n5 東京"):
        for limit in (1, 20, 10_000):
            if words_of(query):
                found = list(vault.find_videos(query, limit)["video_id"])
                assert found == by_reading(vault, query, limit), (query, limit)


# What is opened


def test_a_full_answer_opens_nothing_that_is_older(
    vault: ParquetVaultHook, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "_FANOUT", 100)
    for month in range(12):
        vault.archive_videos([row(f"{month:02}-{n:02}", f"common m{month}x", 30 * month) for n in range(30)])
    storage = Counting(root)
    held = ArchiveManifest.of(storage)[0].files
    assert len(held) == 12
    assert list(search.find_videos(storage, "common", 5)["video_id"]) == [f"11-{n:02}" for n in range(5)]
    assert len(storage.opened) <= 3  # two indexes, since two are searched at a time, and one file
    storage.opened.clear()
    assert len(search.find_videos(storage, "common m0x", 20)) == 20
    assert len([key for key in storage.opened if key.startswith(layout.WORDS)]) == len(held)
    assert len([key for key in storage.opened if not key.startswith(layout.WORDS)]) == 1
    storage.opened.clear()
    assert len(search.find_videos(storage, "absent", 20)) == 0
    assert len(storage.opened) == len(held)


def test_videos_of_a_channel_open_only_the_files_that_have_some(vault: ParquetVaultHook, root: Path) -> None:
    for number in range(3):
        vault.archive_videos([row(f"{number}-{n}", "A title", 0, f"UC{number}{n % 3}") for n in range(30)])
    vault.archive_videos([row("none", "A title", 0, None)])
    storage = Counting(root)
    assert vault.ids_of_channels(["UC11", "UC12", "UC9"]) == {f"1-{n}" for n in range(30) if n % 3}
    with reading_titles():
        assert vault.ids_of_channels(["UC11", "UC12", "UC9"]) == {f"1-{n}" for n in range(30) if n % 3}
    found = search.rows_of_channels(storage, ["UC20"], ["channel_id", "video_id"])
    assert set(found["video_id"].to_pylist()) == {f"2-{n}" for n in range(0, 30, 3)}
    held = ArchiveManifest.of(storage)[0].files
    assert len([key for key in storage.opened if key.startswith(layout.WORDS)]) == len(held)
    assert len([key for key in storage.opened if not key.startswith(layout.WORDS)]) == 1


def test_an_index_takes_a_few_bytes_a_video(vault: ParquetVaultHook, root: Path) -> None:
    from benchmarks.titles import Library

    vault.archive_videos(list(Library().videos(20_000)))
    (file,) = ArchiveManifest.of(LocalStorage(root, layout.SCRATCH))[0].files
    assert file.words is not None
    assert file.words.bytes == (root / layout.WORDS / file.name).stat().st_size
    assert file.words.bytes < 0.15 * file.bytes


# What the manifest says


def test_the_manifest_tells_of_each_file_what_prunes_it(vault: ParquetVaultHook, storage: LocalStorage) -> None:
    vault.archive_videos([row("a", "A", 0), row("b", "B", 40) | {"discovered_at": DAY + timedelta(days=3)}])
    (file,) = ArchiveManifest.of(storage)[0].files
    assert (file.oldest, file.newest) == (DAY, DAY + timedelta(days=3))
    assert file.published == (DAY, DAY + timedelta(days=40))
    assert [file.may_hold(DAY + timedelta(days=d)) for d in (-70, -20, 0, 40, 60, 90)] == [
        False, True, True, True, True, False,
    ]  # fmt: skip
    assert file.may_hold(None)
    vault.archive_videos([row("c", "C", None)])
    undated = ArchiveManifest.of(storage)[0].files[-1]
    assert (undated.undated, undated.published, undated.may_hold(DAY)) == (1, (None, None), True)


# What becomes of an index


def test_an_index_goes_with_its_file(vault: ParquetVaultHook, root: Path, storage: LocalStorage) -> None:
    for number in range(12):
        vault.archive_videos([row(f"{number}-{n}", f"Title {n}") for n in range(20)])
        assert stands(root) == ArchiveManifest.of(storage)[0].keys
    vault.forget(["3-3"], dry_run=False)
    assert vault.archive_videos([row("3-3", "Back")]).added == 1
    vault.expire_videos(DAY + timedelta(days=1))
    assert stands(root) == ArchiveManifest.of(storage)[0].keys == set()


def stands(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in (root / layout.VIDEOS).rglob("*.parquet")}


def test_the_words_of_a_forgotten_video_are_in_no_file(vault: ParquetVaultHook, root: Path) -> None:
    vault.archive_videos([row("gone", "Unmistakable"), row("stays", "Ordinary")])
    (leftover,) = (root / layout.WORDS).iterdir()
    kept = leftover.read_bytes()
    young = leftover.name.replace(leftover.name[:8], f"{datetime.now(UTC):%Y%m%d}")[:-5] + "0.parquet"
    (root / layout.VIDEOS / young).write_bytes((root / layout.VIDEOS / leftover.name).read_bytes())
    (root / layout.WORDS / young).write_bytes(kept)
    vault.forget(["gone"], dry_run=False)
    assert vault.forget(["gone"]).rows == 0
    held = [words_in(path) for path in (root / layout.WORDS).iterdir()]
    assert held
    assert not any("unmistakable" in each for each in held)


def words_in(path: Path) -> set[str]:
    return set(pq.read_table(path)["word"].to_pylist())


@pytest.mark.parametrize("how", ["missing", "broken", "of another file", "foreign"])
def test_a_search_goes_on_without_an_index(
    vault: ParquetVaultHook, root: Path, storage: LocalStorage, how: str
) -> None:
    vault.archive_videos([row("a", "Cat"), row("b", "Dog", 0, "UC2")])
    (path,) = (root / layout.WORDS).iterdir()
    good = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "broken":
        path.write_bytes(good[:40] + b"\xff" * 60 + good[100:])
    elif how == "foreign":
        pq.write_table(pa.table({"word": ["cat"], "rows": [[7]]}), path)
    else:
        vault.archive_videos([row(f"c{n}", "Other") for n in range(5)])
        (other,) = {each for each in (root / layout.WORDS).iterdir() if each != path}
        path.write_bytes(other.read_bytes())
    assert list(vault.find_videos("cat")["video_id"]) == ["a"]
    assert vault.ids_of_channels(["UC2"]) == {"b"}
    (key,) = [file.name for file in ArchiveManifest.of(storage)[0].files if file.name == path.name]
    assert writing.Archive(storage, 1).index(0, also=[key]) == 1
    assert path.read_bytes() == good


def test_files_of_before_get_an_index_some_a_night(
    vault: ParquetVaultHook, root: Path, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        vault.archive_videos([row(f"{number}{n}", f"Title {number}") for n in range(9)])
    now, version = ArchiveManifest.of(storage)
    before = [file.model_dump(include={"name", "videos", "bytes", "oldest"}) for file in now.files]
    ArchiveManifest.model_validate({"files": before}).replace(storage, layout.VIDEOS_MANIFEST, expecting=version)
    for file in now.files:
        (root / layout.WORDS / file.name).unlink()
    assert len(vault.find_videos("title", 100)) == 27
    monkeypatch.setattr(writing, "INDEXED_A_NIGHT", 2)
    vault.archive_videos()
    assert [file.words is None for file in ArchiveManifest.of(storage)[0].files] == [True, False, False]
    assert len(vault.find_videos("title", 100)) == 27
    vault.archive_videos()
    assert ArchiveManifest.of(storage)[0] == now
    assert stands(root) == now.keys


def test_every_id_of_a_file_may_be_in_it_and_few_others(tmp_path: Path) -> None:
    ids = pa.array([f"{n:011x}" for n in range(5000)])
    table = rows.table_of([row(each, "T") for each in ids.to_pylist()], DAY)
    (tmp_path / "words").write_bytes(words.encode(table))
    with words.opened(LocalStorage(tmp_path, "tmp"), "words") as index:
        assert index.may_hold(words.digests_of(ids)).all()
        assert index.may_hold(words.digests_of(pc.binary_join_element_wise(ids, "x", ""))).sum() < 5
        assert index.may_hold(words.digests_of(ids.slice(0, 0))).tolist() == []
    assert words.digests_of(ids.slice(7, 5)).tolist() == words.digests_of(ids)[7:12].tolist()
    assert len(set(words.digests_of(ids).tolist())) > 4990


def test_an_index_has_the_columns_that_its_description_says(vault: ParquetVaultHook, root: Path) -> None:
    vault.archive_videos([row("a", "Cat dog", 0), row("b", "Dog", None), row("c", "dog DOG", 1, None)])
    (path,) = (root / layout.WORDS).iterdir()
    table = pq.read_table(path)
    parquet.require_schema(table.schema, words.SCHEMA)
    found = dict(zip(table["word"].to_pylist(), table["rows"].to_pylist(), strict=True))
    assert (found["cat"], found["dog"], found[words.PUBLISHED]) == ([0], [0, 1, 1], [1, 0, 24 * 3600 + 1])
    assert [name for name in found if name > "\x02"] == ["cat", "dog"]
