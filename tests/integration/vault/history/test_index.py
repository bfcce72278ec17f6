"""The index of a file of the history: the same answers as the footer gives, from some bytes of it."""

import datetime as dt
import random
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghost_tracking.core.partitions import Period
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.history import files, index, reader
from ghost_tracking.vault.history.encoding import HISTORY_SCHEMA, LATEST, decode
from ghost_tracking.vault.history.files import HistoryWriter, points_of
from ghost_tracking.vault.history.manifest import HistoryFile, load
from ghost_tracking.vault.history.reader import HistoryReader
from ghost_tracking.vault.kit import footers
from ghost_tracking.vault.kit.caches import ByteCache
from ghost_tracking.vault.points.tables import SCHEMA, table_of
from ghost_tracking.vault.storage import LocalStorage
from ghost_tracking.vault.storage.base import Blob
from vault_contents import assert_holds, expected, rows

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LATER = START + dt.timedelta(days=40)
MONTH = Period.month(START.date())
A_GROUP = 20
"""Points of a row group, instead of 10,240."""
GROUPS = 100
MANY = "v0500"
"""A video whose points are of several row groups."""


class Counting(LocalStorage):
    """A folder that notes how many bytes of which key are asked for; to open a file is to ask for all of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, layout.SCRATCH)
        self.asked: list[tuple[str, int]] = []

    def read_span(self, key: str, start: int, length: int) -> bytes:
        return self._instead(super().read_span(key, start, length), key, length)

    def read(self, key: str, *, last: int | None = None) -> Blob:
        blob = super().read(key, last=last)
        return self._instead(blob, key, len(blob.data))

    def open(self, key: str) -> BinaryIO:
        self.asked.append((key, self.root.joinpath(key).stat().st_size))
        return super().open(key)

    def _instead(self, result: Any, key: str, length: int) -> Any:
        self.asked[-1] = key, length
        return result

    @contextmanager
    def noting(self) -> Iterator[list[tuple[str, int]]]:
        self.asked = []
        yield self.asked


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Counting:
    return Counting(tmp_path_factory.mktemp("history"))


def points() -> pa.Table:
    dice = random.Random(1)
    found = []
    for number in range(1000):
        published = START - dt.timedelta(days=dice.randrange(3))
        for step in range(400 if f"v{number:04}" == MANY else dice.choice([1, 2, 3])):
            if step == 100:
                published += dt.timedelta(hours=1)  # a premiere: another segment begins
            at = START + dt.timedelta(minutes=step, seconds=number % 7)
            found.append(MetricPoint(f"v{number:04}", at, 10 * step, dice.choice([None, step]), step, published))
    return table_of(found)


def write(storage: LocalStorage, table: pa.Table, group: int = A_GROUP, file: int = 24_000_000) -> list[HistoryFile]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "ROW_GROUP", group)
        writer = HistoryWriter(storage, MONTH, file)
        writer.write(table)
        return writer.close()


@pytest.fixture(scope="module")
def file(storage: Counting) -> HistoryFile:
    (made,) = write(storage, points())
    assert made.index is not None
    return made


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    reader.KEPT.clear()


def by_footer(storage: LocalStorage, file: HistoryFile) -> HistoryReader:
    return HistoryReader(storage, file.path)


# The footer, taken apart and put together


def test_a_footer_of_some_row_groups_says_of_them_what_the_whole_one_says(storage: Counting, file: HistoryFile) -> None:
    data = storage.read(file.path).data
    whole = footers.parsed(data[-footers.footer_length(data[-8:]) : -8])
    split = footers.split(data[-footers.footer_length(data[-8:]) : -8])
    assert len(split.groups) == whole.num_row_groups > GROUPS
    assert footers.metadata_of(split.head, split.groups, whole.num_rows, split.tail).equals(whole)
    for chosen in ([], [0], [3, 5], list(range(20, 60))):
        some = footers.metadata_of(split.head, [split.groups[n] for n in chosen], 7, split.tail)
        assert (some.num_row_groups, some.num_rows) == (len(chosen), 7)
        assert some.schema.equals(whole.schema)
        assert [some.row_group(n).to_dict() for n in range(len(chosen))] == [
            whole.row_group(n).to_dict() for n in chosen
        ]


@given(st.lists(st.sampled_from([pa.int32(), pa.string(), pa.bool_(), pa.list_(pa.float64())]), min_size=1), st.data())
def test_any_footer_of_arrow_can_be_taken_apart(kinds: list[pa.DataType], data: st.DataObject) -> None:
    schema = pa.schema([pa.field(f"c{number}" * (number + 1), kind) for number, kind in enumerate(kinds)])
    rows = data.draw(st.integers(0, 40))
    table = pa.table([pa.nulls(rows, kind) for kind in kinds], schema=schema)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, store_schema=data.draw(st.booleans())) as writer:
        writer.write_table(table, row_group_size=data.draw(st.integers(1, 20)))
        writer.add_key_value_metadata({"note": "x" * data.draw(st.integers(0, 300))})
    written = bytes(sink.getvalue())
    footer = written[-footers.footer_length(written[-8:]) : -8]
    split, whole = footers.split(footer), footers.parsed(footer)
    assert footers.metadata_of(split.head, split.groups, whole.num_rows, split.tail).equals(whole)


# What is read by it


def test_every_video_is_found_as_by_the_footer(storage: Counting, file: HistoryFile) -> None:
    whole = by_footer(storage, file)
    for number in [*range(0, 1000, 37), 499, 500, 501, 999]:
        video = f"v{number:04}"
        assert HistoryReader.of(storage, file).rows_of([video]).equals(whole.rows_of([video]))
        assert HistoryReader.of(storage, file).rows_of([video], LATEST).equals(whole.rows_of([video], LATEST))
    for absent in ("", "a", "v0500x", "v9999", "zz"):
        assert HistoryReader.of(storage, file).rows_of([absent]).num_rows == 0
    wanted = points()
    assert points_of(storage, [file], sorted(set(wanted["video_id"].to_pylist()))).equals(wanted)


@settings(max_examples=50)
@given(ids=st.lists(st.integers(0, 1100).map(lambda number: f"v{number:04}"), max_size=60))
def test_any_videos_are_found_once_and_in_order(storage: Counting, file: HistoryFile, ids: list[str]) -> None:
    found = decode(HistoryReader.of(storage, file).rows_of(ids))
    wanted = points()
    mask = pa.compute.is_in(wanted["video_id"], pa.array(ids, pa.string()))
    assert found.equals(wanted.filter(mask))


def test_one_video_takes_three_spans_and_the_second_time_none(storage: Counting, file: HistoryFile) -> None:
    assert file.index is not None
    with storage.noting() as asked:
        HistoryReader.of(storage, file).rows_of(["v0300"])
    assert len(asked) == 3
    assert sum(length for _, length in asked) < file.bytes / 10
    with storage.noting() as asked:
        assert HistoryReader.of(storage, file).rows_of(["v0300"]).num_rows
        assert HistoryReader.of(storage, file).rows_of(["v0300"], LATEST).num_rows
    assert asked == []
    with storage.noting() as asked:  # of the same block: directory and block are kept
        HistoryReader.of(storage, file).rows_of(["v0301"])
    assert len(asked) == 1
    with storage.noting() as asked:  # one that would be there, were there one
        assert not HistoryReader.of(storage, file).rows_of(["v0300x"]).num_rows
        assert not HistoryReader.of(storage, file).rows_of(["v0300x"]).num_rows
    assert len(asked) <= 1


def test_a_file_of_few_row_groups_is_asked_by_its_footer(storage: Counting) -> None:
    (small,) = write(storage, points().slice(0, A_GROUP * index.GROUPS_A_BLOCK // 2))
    assert small.index is None
    with storage.noting() as asked:
        assert HistoryReader.of(storage, small).rows_of(["v0003"]).num_rows
    assert len(asked) == 2
    with storage.noting() as asked:
        assert HistoryReader.of(storage, small).rows_of(["v0004"]).num_rows
    assert len(asked) == 1


def test_a_scan_of_many_videos_is_not_kept(storage: Counting, file: HistoryFile) -> None:
    HistoryReader.of(storage, file).rows_of([f"v{number:04}" for number in range(1000)])
    assert not HistoryReader.of(storage, file).is_kept("v0001")
    HistoryReader.of(storage, file).rows_of(["v0001", "v0002"])
    assert HistoryReader.of(storage, file).is_kept("v0001")
    assert not HistoryReader.of(storage, file).is_kept("v0003")


# Last points by a range of ids


@settings(max_examples=50)
@given(first=st.integers(-5, 1100), end=st.none() | st.integers(-5, 1100))
def test_last_points_of_a_range(storage: Counting, file: HistoryFile, first: int, end: int | None) -> None:
    begins, ends = f"v{max(first, 0):04}" if first >= 0 else "", None if end is None else f"v{max(end, 0):04}"
    every = pa.concat_tables(by_footer(storage, file).lasts_between())
    ids = every["video_id"].to_pylist()
    wanted = every.filter(pa.array([begins <= each and (ends is None or each < ends) for each in ids]))
    for way in (HistoryReader.of(storage, file), by_footer(storage, file)):
        found = pa.concat_tables([every.schema.empty_table(), *way.lasts_between(begins, ends)])
        assert found.equals(wanted)


def test_last_points_are_read_where_they_are_and_in_small_tables(
    storage: Counting, file: HistoryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(HistoryReader.of(storage, file).lasts_between("v0300", "v0310"))  # the directory is kept from here on
    with storage.noting() as asked:
        list(HistoryReader.of(storage, file).lasts_between("v0300", "v0310"))
    assert 1 <= len(asked) <= 3
    assert sum(length for _, length in asked) < file.bytes / 40
    monkeypatch.setattr(reader, "_LASTS_AT_A_TIME", 1)
    with storage.noting() as asked:
        tables = list(HistoryReader.of(storage, file).lasts_between())
    assert len(asked) <= 2 * (GROUPS // index.GROUPS_A_BLOCK + 2)  # a block of the index, and its row groups
    assert len(tables) > GROUPS
    assert max(each.num_rows for each in tables) <= A_GROUP
    assert all(each.schema == SCHEMA for each in tables)


# What other readers see, and what it takes


def test_the_file_is_any_parquet_file(storage: Counting, file: HistoryFile) -> None:
    path = storage.root / file.path
    table = pq.read_table(path)
    assert table.schema.names == HISTORY_SCHEMA.names
    assert decode(table).equals(points())
    assert pl.read_parquet(path).height == table.num_rows
    found = duckdb.sql(f"SELECT count(*), sum(len(seconds_to_next) + 1) FROM '{path}'").fetchall()
    assert found == [(table.num_rows, points().num_rows)]
    assert duckdb.sql(f"SELECT last_views FROM '{path}' WHERE video_id = 'v0999'").fetchall()
    assert file.bytes == path.stat().st_size


def test_an_index_takes_some_hundred_bytes_a_row_group(storage: Counting, file: HistoryFile) -> None:
    data = storage.read(file.path).data
    metadata = pq.read_metadata(storage.root / file.path)
    last = metadata.row_group(metadata.num_row_groups - 1)
    pages_end = max(last.column(n).data_page_offset + last.column(n).total_compressed_size for n in range(13))
    spent = len(data) - footers.footer_length(data[-8:]) - pages_end
    assert 0 < spent <= 300 * metadata.num_row_groups


# Damage


def test_a_damaged_index_is_named_and_the_footer_answers(storage: Counting, tmp_path: Path) -> None:
    (whole,) = write(storage, points())
    assert whole.index is not None
    metadata = pq.read_metadata(storage.root / whole.path)
    last = metadata.row_group(metadata.num_row_groups - 1)
    begins = max(last.column(n).data_page_offset + last.column(n).total_compressed_size for n in range(13))
    ends = sum(whole.index)
    good = storage.read(whole.path).data
    HistoryReader.of(storage, whole).check()
    wanted = {video: by_footer(storage, whole).rows_of([video]) for video in ("v0001", MANY, "v0999")}
    lasts = pa.concat_tables(by_footer(storage, whole).lasts_between())
    for place in [*range(begins, ends, 101), whole.index[0], ends - 1]:
        reader.KEPT.clear()
        storage.put(whole.path, good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        damaged = HistoryReader.of(storage, whole)
        for video, segments in wanted.items():
            assert damaged.rows_of([video]).equals(segments)
        assert pa.concat_tables(damaged.lasts_between()).equals(lasts)
        with pytest.raises(UnreadableFileError, match=rf"{whole.path} has a damaged index"):
            damaged.check()
    storage.put(whole.path, good)


def test_a_damaged_index_in_a_vault_is_reported_and_repaired(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ROW_GROUP", A_GROUP)
    vault = ParquetVaultHook(root=root)
    found = [MetricPoint(f"v{number:04}", START, number, None, 0, START) for number in range(40 * A_GROUP)]
    vault.stage(found)
    vault.publish()
    vault.seal(LATER)
    vault.compact(LATER)
    (before,) = load(vault._storage)[0].files
    assert before.index is not None
    assert vault.verify().problems == ()
    data = bytearray((root / before.path).read_bytes())
    data[before.index[0] + 9] ^= 1
    (root / before.path).write_bytes(data)
    assert rows(vault.read_history("v0077")) == expected(found[77:78])
    assert f"{before.path} has a damaged index" in vault.verify().problems[0]
    report = vault.repair()
    assert (report.recompacted, report.lost) == ((MONTH,), ())
    assert_holds(vault, found)
    assert vault.verify().problems == ()


@pytest.mark.parametrize("place", [(10**9, 5000), (4, 2**40), (4, 0), (4, 3), (4, 200)])
def test_an_index_that_is_not_there_is_none(storage: Counting, file: HistoryFile, place: tuple[int, int]) -> None:
    told = file.model_copy(update={"index": place})
    assert HistoryReader.of(storage, told).rows_of(["v0300"]).equals(by_footer(storage, file).rows_of(["v0300"]))
    with pytest.raises(UnreadableFileError):
        HistoryReader.of(storage, told).check()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"7",
        b"[" * 100_000,
        b'{"head":"x","tail":"","blocks":[]}',
        b'{"head":"","tail":"","blocks":[[1]]}',
        b'{"head":"","tail":"","blocks":[[1,2,3,4,5,6,7]]}',
        b'{"head":"","tail":"","blocks":[["a","z","","",0,0,0]]}',
    ],
)
def test_any_text_as_a_directory_is_damage(storage: Counting, file: HistoryFile, text: bytes) -> None:
    data = storage.read(file.path).data
    key = layout.history(MONTH, "20260101T000000-0123456789ab-007")
    forged = zlib.crc32(text).to_bytes(4, "little") + text
    footer = footers.footer_length(data[-8:])
    storage.put(key, data[:-footer] + forged + data[-footer:])
    told = file.model_copy(update={"path": key, "index": (len(data) - footer, len(forged))})
    assert HistoryReader.of(storage, told).rows_of(["v0300"]).equals(by_footer(storage, file).rows_of(["v0300"]))


def test_damaged_pages_are_no_matter_of_the_index(storage: Counting) -> None:
    (made,) = write(storage, points())
    data = bytearray(storage.read(made.path).data)
    data[60] ^= 1
    storage.put(made.path, bytes(data))
    with pytest.raises(UnreadableFileError, match=f"{made.path} is not an intact Parquet file"):
        HistoryReader.of(storage, made).rows_of(["v0000"])
    assert HistoryReader.of(storage, made).rows_of(["v0900"]).num_rows
    storage.delete([made.path])
    with pytest.raises(FileNotFoundError):
        HistoryReader.of(storage, made).rows_of(["v0800"])


# What is kept


def test_the_history_of_a_video_is_kept_whole_until_its_files_change(storage: Counting) -> None:
    named = [write(storage, points().slice(0, 60))[0] for _ in range(6)]
    first = points_of(storage, named, ["v0003"])
    with storage.noting() as asked:
        assert points_of(storage, named, ["v0003"]) is first
        fewer = points_of(storage, named[:5], ["v0003"])
    assert asked == []
    assert fewer.num_rows * 6 == first.num_rows * 5 > 0
    assert points_of(storage, named[:5], ["v0003"]) is fewer
    assert points_of(storage, named, ["v0003", "v0004"]).num_rows > first.num_rows


def test_many_files_are_read_four_at_a_time(tmp_path: Path) -> None:
    """Open descriptors have a bound, whatever the number of files."""
    open_now, most, lock = 0, 0, Lock()

    class Watching(LocalStorage):
        def read_span(self, key: str, start: int, length: int) -> bytes:
            nonlocal open_now, most
            with lock:
                open_now += 1
                most = max(most, open_now)
            try:
                time.sleep(0.002)  # so that threads meet
                return super().read_span(key, start, length)
            finally:
                with lock:
                    open_now -= 1

    watching = Watching(tmp_path, layout.SCRATCH)
    (made,) = write(watching, points())
    named = [made]
    for number in range(1, 40):
        key = layout.history(MONTH, f"20260101T000000-0123456789ab-{number:03}")
        (tmp_path / key).hardlink_to(tmp_path / made.path)
        named.append(made.model_copy(update={"path": key}))
    assert points_of(watching, named, ["v0003"]).num_rows
    assert 2 <= most <= 4


def test_hours_of_one_video_are_read_again_only_when_their_files_change(tmp_path: Path) -> None:
    counting = Counting(tmp_path)
    vault = ParquetVaultHook(root=tmp_path)
    vault.identity(create=True)
    vault._location.__dict__["storage"] = counting
    hour = dt.timedelta(hours=1)
    found = [MetricPoint(video, START + n * hour, n, None, 0, START) for n in range(6) for video in ("a", "b")]
    vault.stage(found)
    vault.publish()

    def read(video: str) -> int:
        with counting.noting() as asked:
            history = vault.read_history(video)
        assert rows(history) == expected(each for each in found if each.video_id == video)
        return sum(key.endswith(layout.STATS) for key, _ in asked)

    assert [read("a"), read("a"), read("b"), read("absent"), read("absent")] == [6, 0, 6, 6, 0]
    found.append(MetricPoint("a", START + 4 * hour + dt.timedelta(minutes=5), 9, None, 0, START))
    vault.stage(found[-1:])
    vault.publish()
    assert [read("a"), read("a"), read("absent")] == [1, 0, 1]
    vault.seal(START + 4 * hour, dt.timedelta())
    assert [read("a"), read("a")] == [4, 0]


def test_a_cache_holds_so_many_bytes_and_the_least_used_go() -> None:
    cache = ByteCache(10_000)
    cache.keep("a", "first", 3_000)
    cache.keep("b", None, 3_000)
    assert cache.get("b") == (None,)
    assert cache.get("a") == ("first",)
    cache.keep("c", "third", 3_000)
    assert cache.get("b") is None
    assert cache.get("a") == ("first",)
    cache.keep("d", "larger than all of it", 20_000)
    assert cache.get("d") is None
    assert 0 < cache.bytes <= 10_000
    cache.clear()
    assert (cache.bytes, cache.get("a")) == (0, None)


def test_what_is_kept_stays_within_its_bytes(
    storage: Counting, file: HistoryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    small: Any = ByteCache(200_000)
    monkeypatch.setattr(reader, "KEPT", small)
    for number in range(1000):
        HistoryReader.of(storage, file).rows_of([f"v{number:04}"])
        assert small.bytes <= 200_000
    assert HistoryReader.of(storage, file).is_kept("v0999")
    assert not HistoryReader.of(storage, file).is_kept("v0001")
