"""The history: compacting closed days and months, and reading every point once, whichever layer it lies in."""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.core.points import COLUMNS, MetricPoint
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout, scan
from ghost_tracking.vault.history import encoding
from ghost_tracking.vault.history.compaction import Compactor
from ghost_tracking.vault.history.days import HourFile
from ghost_tracking.vault.history.files import HistoryWriter
from ghost_tracking.vault.history.manifest import load
from ghost_tracking.vault.history.reader import HistoryReader
from ghost_tracking.vault.kit.digests import digest_of
from ghost_tracking.vault.points import files, tables
from ghost_tracking.vault.storage import LocalStorage
from ghost_tracking.vault.vault import SEAL_MARGIN as MARGIN
from s3_server import folder_only
from vault_contents import assert_holds, expected, rows

START = datetime(2026, 1, 30, 22, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATER = datetime(2026, 3, 5, tzinfo=UTC)
IDS = ["-a", "AAAAAAAAAAA", "b_", "zz", "z-Z", "_x"]


@pytest.fixture
def root(vault_root: Path) -> Path:
    return vault_root


@pytest.fixture
def vault(root: Path) -> ParquetVaultHook:
    return ParquetVaultHook(root=root, lock_timeout=0.5)


def point(video_id: str, at: datetime, views: int | None = 1, likes: int | None = None) -> MetricPoint:
    return MetricPoint(video_id, at, views, likes, 0, START - DAY)


def fill(vault: ParquetVaultHook, hours: int = 60, ids: Iterable[str] = IDS) -> list[MetricPoint]:
    """Points of two months: January's last day, and the first of February."""
    dice = random.Random(4)
    points = [
        point(video_id, START + hour * HOUR + timedelta(seconds=second), dice.choice([None, 10 * hour + second]))
        for hour in range(hours)
        for second, video_id in enumerate(ids)
    ]
    vault.stage(points)
    vault.publish()
    return points


# The encoding

counts = st.none() | st.integers(0, 100) | st.integers(0, 2**63 - 1)
moments = st.datetimes(datetime(2005, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001 - given a zone below
whole = moments.map(lambda moment: moment.replace(microsecond=0, tzinfo=UTC))
fine = moments.map(lambda moment: moment.replace(tzinfo=UTC))


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(IDS), whole | fine), st.tuples(counts, counts, counts, st.none() | whole | fine)
    )
)
def test_segments_and_flat_are_each_others_inverse(drawn: dict[tuple[str, datetime], tuple[Any, ...]]) -> None:
    table = tables.sort(tables.table_of([MetricPoint(*key, *values) for key, values in drawn.items()]))
    made = encoding.encode(table)
    made.validate(full=True)
    assert encoding.decode(made).equals(table)
    assert made.num_rows <= table.num_rows
    if table.num_rows:
        assert (
            tables.latest(encoding.last_points(made))
            .sort_by("video_id")
            .equals(tables.latest(table).sort_by("video_id"))
        )
        assert encoding.decode(made.slice(made.num_rows // 2)).num_rows <= table.num_rows


@given(
    st.lists(st.tuples(whole | fine, counts, counts, counts, st.none() | whole | fine), max_size=9), st.integers(1, 3)
)
def test_a_frame_is_what_pandas_makes_of_a_table(drawn: list[tuple[Any, ...]], pieces: int) -> None:
    table = pa.concat_tables([tables.table_of([MetricPoint(IDS[0], *each) for each in drawn])] * pieces)
    made = scan.frame(table)
    wanted = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    assert made.dtypes.to_dict() == wanted.dtypes.to_dict()
    pd.testing.assert_frame_equal(made, wanted, check_index_type="exact", check_column_type="exact")
    for name in made.columns:
        made.loc[:, name] = made[name].shift()  # nothing of it is read only
    pd.testing.assert_frame_equal(made, wanted.shift().astype(wanted.dtypes))


@given(
    st.lists(st.lists(st.tuples(st.sampled_from(IDS), st.integers(0, 9)), max_size=30), max_size=5), st.integers(1, 7)
)
def test_merging_in_pieces_is_merging_at_once(sources: list[list[tuple[str, int]]], size: int) -> None:
    whole_tables = [
        tables.merge([tables.table_of([point(video, START + second * HOUR, number) for video, second in source])])
        for number, source in enumerate(sources)
    ]
    pieces = [iter([each.slice(start, size) for start in range(0, each.num_rows, size)]) for each in whole_tables]
    merged = list(tables.merge_sorted(pieces))
    assert tables.concat(merged).equals(tables.merge(whole_tables))
    first_and_last = [(each["video_id"][0].as_py(), each["video_id"][-1].as_py()) for each in merged]
    assert all(before[1] < after[0] for before, after in itertools.pairwise(first_and_last))


def test_a_tally_notices_every_change() -> None:
    points = [point(video_id, START, 1, 2) for video_id in IDS]
    whole_hour = tables.checksums(tables.table_of(points))
    assert tables.checksums(tables.table_of(points[::-1])) == whole_hour
    assert whole_hour[Partition.of(START)].rows == len(IDS)
    one = MetricPoint(IDS[0], START, 1, 2, 0, START - DAY)
    changes = [
        [*points[1:]],
        [*points[1:], MetricPoint(IDS[0], START, 1, 2, None, START - DAY)],
        [*points[1:], MetricPoint(IDS[0], START, 2, 1, 0, START - DAY)],
        [*points[1:], MetricPoint("other", START, 1, 2, 0, START - DAY)],
        [*points[1:], MetricPoint(IDS[0], START + timedelta(microseconds=1), 1, 2, 0, START - DAY)],
        [*points[1:], MetricPoint(IDS[0], START, 1, 2, 0, None)],
    ]
    assert tables.checksums(tables.table_of([*points[1:], one])) == whole_hour
    for changed in changes:
        assert tables.checksums(tables.table_of(changed)) != whole_hour


# Compaction


def test_days_and_then_months_are_compacted(vault: ParquetVaultHook, root: Path) -> None:
    points = fill(vault)
    assert_holds(vault, points)
    vault.seal(LATER)
    days = vault.compact(LATER, months=False)
    assert [str(each) for each in days.compacted] == ["2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02"]
    assert days.points == len(points)
    assert_holds(vault, points)
    months = vault.compact(LATER)
    assert [str(each) for each in months.compacted] == ["2026-01", "2026-02"]
    assert_holds(vault, points)
    assert vault.compact(LATER).compacted == ()
    assert len(list((root / "history").rglob("*.parquet"))) == 2
    assert vault.verify().problems == ()
    assert len(list((root / "metrics").rglob("*.parquet"))) == 60


def test_only_what_is_closed_is_compacted(vault: ParquetVaultHook) -> None:
    points = fill(vault)
    vault.seal(LATER)
    end_of_day = datetime(2026, 1, 31, tzinfo=UTC)
    assert vault.compact(end_of_day + timedelta(minutes=14)).compacted == ()
    assert vault.compact(end_of_day + timedelta(minutes=15)).compacted == (Period.day(START.date()),)
    assert vault.compact(end_of_day + DAY + HOUR, months=False).compacted == (Period.day((START + DAY).date()),)
    assert_holds(vault, points)
    assert [str(each) for each in vault.compact(end_of_day + DAY + HOUR).compacted] == ["2026-01"]
    assert_holds(vault, points)


def test_a_day_with_staged_parts_is_not_compacted(vault: ParquetVaultHook) -> None:
    points = fill(vault, hours=3)
    assert vault.compact(LATER).compacted == ()
    vault.seal(LATER)
    late = point("late", START)
    vault.stage([late])
    assert [str(each) for each in vault.compact(LATER).compacted] == ["2026-01-31"]
    vault.publish()
    assert_holds(vault, [*points, late])


def test_hours_can_go_once_they_are_compacted(vault: ParquetVaultHook, root: Path) -> None:
    points = fill(vault)
    vault.seal(LATER)
    assert vault.compact(LATER, keep_hours=False).hours_deleted == 60
    assert not list((root / "metrics").rglob("*.parquet"))
    assert_holds(vault, points)
    start, end = START + timedelta(minutes=30), START + 5 * HOUR + timedelta(seconds=3)
    assert rows(vault.read_metrics(start, end)) == expected(p for p in points if start <= p.timestamp < end)
    health = vault.health_check()
    assert (health["points"], health["partitions"], health["ok"]) == (len(points), 60, True)
    assert vault.verify().problems == ()


@pytest.mark.parametrize("keep_hours", [True, False])
@pytest.mark.parametrize("months", [True, False])
def test_late_points_into_compacted_hours(vault: ParquetVaultHook, root: Path, keep_hours: bool, months: bool) -> None:
    points = fill(vault, hours=30)
    vault.seal(LATER)
    vault.compact(LATER, months=months, keep_hours=keep_hours)
    late = [point("late", START + HOUR), point("AAAAAAAAAAA", START + 7 * HOUR + timedelta(minutes=5))]
    again = [MetricPoint(*(getattr(points[0], name) for name in COLUMNS[:2]), 777, 777, 777, None)]
    another_day = point("early", START.replace(day=3))
    everything = [*points, *late, another_day]
    vault.stage([*late, *again, another_day])
    assert_holds(vault, points) if keep_hours else None
    vault.publish()
    assert_holds(vault, everything)
    vault.seal(LATER)
    assert_holds(vault, everything)
    assert len(vault.health_check()["stale_hours"]) == (2 if keep_hours else 3)
    vault.compact(LATER, months=months, keep_hours=keep_hours)
    assert_holds(vault, everything)
    assert vault.health_check()["stale_hours"] == []
    assert vault.verify().problems == ()
    vault.compact(LATER, months=months, keep_hours=keep_hours)
    assert_holds(vault, everything)
    files = len(list((root / "history").rglob("*.parquet")))
    assert files == (2 if months else 4)


@folder_only("the same way of reading, many more points")
def test_a_month_is_sharded_where_it_outgrows_a_file(vault: ParquetVaultHook, root: Path) -> None:
    ids = [f"v{number:05}" for number in range(3000)]
    points = fill(vault, hours=12, ids=ids)
    vault.seal(LATER)
    vault.compact(LATER, most_points_a_file=10_000)
    names = [each for each in vault.history_files() if "month=2026-01" in each]
    assert len(names) >= 3
    assert rows(vault.read_metrics()) == expected(points)
    for video_id in ("v00000", "v01500", "v02999"):
        assert rows(vault.read_history(video_id)) == expected(p for p in points if p.video_id == video_id)
    assert vault.read_history("v").empty
    assert vault.verify().problems == ()


def test_any_order_of_work_gives_the_same_points(tmp_path_factory: pytest.TempPathFactory) -> None:
    dice = random.Random(9)
    for _ in range(6):
        vault = ParquetVaultHook(root=tmp_path_factory.mktemp("any") / "vault")
        written: dict[tuple[str, datetime], MetricPoint] = {}
        for _ in range(14):
            fresh = [
                point(dice.choice(IDS), START + dice.randrange(40 * 24) * HOUR, dice.randrange(9)) for _ in range(4)
            ]
            fresh = [each for each in fresh if (each.video_id, each.timestamp) not in written]
            fresh = list({(each.video_id, each.timestamp): each for each in fresh}.values())
            written |= {(each.video_id, each.timestamp): each for each in fresh}
            vault.stage(fresh)
            for verb in dice.choices(["publish", "seal", "compact", "drop"], k=2):
                if verb == "publish":
                    vault.publish()
                elif verb == "seal":
                    vault.seal(LATER)
                else:
                    report = vault.compact(LATER, months=dice.random() < 0.5, keep_hours=verb == "compact")
                    assert report.problems == ()
            vault.publish()
            assert_holds(vault, list(written.values()))
        assert vault.verify().problems == ()


# Other readers


@folder_only("they take paths")
def test_other_readers_read_the_history(vault: ParquetVaultHook, root: Path) -> None:
    points = fill(vault)
    vault.seal(LATER)
    vault.compact(LATER)
    names = vault.history_files()
    assert len(pd.read_parquet(names[0])) == pl.read_parquet(names[0]).height == len(IDS)
    found = duckdb.sql(f"SELECT sum(len(seconds_to_next) + 1), count(*) FROM read_parquet({names})").fetchall()
    assert found == [(len(points), 2 * len(IDS))]
    file = pq.ParquetFile(names[0])
    assert file.schema_arrow.names == encoding.HISTORY_SCHEMA.names


@folder_only("they take paths")
def test_patterns_over_the_root_never_count_a_point_twice(vault: ParquetVaultHook, root: Path) -> None:
    points = fill(vault, hours=3)
    vault.stage([point("staged", START)])
    count = f"SELECT count(*) FROM read_parquet('{root}/**/*.parquet')"
    assert duckdb.sql(count).fetchall() == [(len(points),)]
    vault.seal(LATER)
    vault.compact(LATER)
    for pattern in ("**/stats.parquet", "metrics/**/*.parquet"):
        assert duckdb.sql(f"SELECT count(*) FROM '{root}/{pattern}'").fetchall() == [(len(points) + 1,)]
        assert pl.scan_parquet(root / pattern).select(pl.len()).collect().item() == len(points) + 1


def test_of_a_file_with_a_part_of_its_hour_no_digest_is_kept(vault: ParquetVaultHook) -> None:
    points = fill(vault)
    vault.seal(LATER)
    vault.compact(LATER)
    storage, hour = vault._storage, Partition.of(START + HOUR)
    storage.delete([layout.stats(hour)])
    late = point("late", hour.starts_at)
    vault.stage([late])
    vault.seal(LATER)
    manifest = load(storage)[0]
    names = [each.path for each in manifest.files_of_date(hour.date)]
    Compactor(storage).rebuild(manifest.period_of(hour.date), names, [hour, Partition.of(START)])
    manifest = load(storage)[0]
    assert (manifest.file_of(hour), manifest.file_of(Partition.of(START)) is None) == (None, False)
    assert_holds(vault, [*points, late])


# Damage


@folder_only("the file is changed in place")
def test_a_broken_hour_is_restored_from_its_history(vault: ParquetVaultHook, root: Path) -> None:
    points = fill(vault)
    vault.seal(LATER)
    vault.compact(LATER)
    path = root / layout.stats(Partition.of(START + HOUR))
    path.write_bytes(path.read_bytes()[:-100])
    assert "hour=23/stats.parquet" in vault.verify().problems[0]
    assert "hour=23/stats.parquet" in vault.health_check()["unreadable"][0]
    report = vault.repair()
    assert (report.restored, report.lost) == ((Partition.of(START + HOUR),), ())
    assert_holds(vault, points)
    assert vault.verify().problems == ()
    assert vault.health_check()["quarantined"] == 1


@folder_only("the file is changed in place")
@pytest.mark.parametrize("keep_hours", [True, False])
def test_a_broken_history_is_rebuilt_from_hours(vault: ParquetVaultHook, root: Path, keep_hours: bool) -> None:
    points = fill(vault)
    vault.seal(LATER)
    vault.compact(LATER, keep_hours=keep_hours)
    name = next(each for each in vault.history_files() if "2026-01" in each)
    data = bytearray(Path(name).read_bytes())
    data[60] ^= 1
    Path(name).write_bytes(data)
    with pytest.raises(UnreadableFileError, match=r"history/month=2026-01/.*\.parquet is not an intact"):
        vault.read_history("-a")
    assert any("month=2026-01" in problem for problem in vault.verify().problems)
    report = vault.repair()
    assert len(report.quarantined) == 1
    if keep_hours:
        assert report.lost == ()
        assert_holds(vault, points)
    else:
        assert "are in no layer any more" in report.lost[0]
        assert_holds(vault, [each for each in points if each.timestamp.month == 2])
    assert vault.verify().problems == ()


@folder_only("the file is changed in place")
def test_a_damaged_manifest_is_rebuilt_from_the_history(vault: ParquetVaultHook, root: Path) -> None:
    points = fill(vault)
    vault.seal(LATER)
    vault.compact(LATER, keep_hours=False)
    (root / layout.HISTORY_MANIFEST).write_bytes(b'{"files": [')
    with pytest.raises(UnreadableFileError, match="repair the vault"):
        vault.read_history("-a")
    assert not vault.health_check()["ok"]
    vault.repair()
    assert_holds(vault, points)
    assert vault.verify().problems == ()


@folder_only("another folder's file is copied")
def test_an_hour_changed_behind_the_vaults_back_is_noticed(vault: ParquetVaultHook, root: Path) -> None:
    points = fill(vault)
    vault.seal(LATER)
    vault.compact(LATER)
    first, second = (root / layout.stats(Partition.of(START + hour * HOUR)) for hour in (0, 1))
    first.write_bytes(first.read_bytes())
    assert vault.verify().problems == ()
    more = ParquetVaultHook(root=root.parent / "other")
    extra = point("restored", START)
    more.stage([extra, *(each for each in points if Partition.of(each.timestamp) == Partition.of(START))])
    more.publish()
    more.seal(LATER)
    first.write_bytes((root.parent / "other" / layout.stats(Partition.of(START))).read_bytes())
    assert "has 7 points, its history 6" in vault.verify().problems[0]
    vault.repair()
    vault.compact(LATER)
    assert_holds(vault, [*points, extra])
    assert vault.verify().problems == ()
    assert second.exists()


@folder_only("buckets have no folders")
def test_folders_that_a_killed_writer_left_empty_go_and_no_others(vault: ParquetVaultHook, root: Path) -> None:
    points = fill(vault)
    vault.seal(LATER)
    day = root / f"metrics/date={START.date() - timedelta(days=3)}"
    other = root / f"metrics/date={START.date() - timedelta(days=2)}"
    for folder in (day / "hour=05", day / "hour=06", other / "hour=05", other / "hour=06"):
        folder.mkdir(parents=True)
    (other / "hour=06/somebody's.txt").touch()
    vault.compact(LATER)
    assert not day.exists()
    assert [path.name for path in other.rglob("*")] == ["hour=06", "somebody's.txt"]
    assert_holds(vault, points)


# Retention


@folder_only("empty folders are looked for")
def test_expiry_deletes_from_every_layer_after_a_dry_run(vault: ParquetVaultHook, root: Path) -> None:
    points = fill(vault)
    vault.seal(LATER)
    vault.compact(LATER)
    vault.stage([point("never", START)])
    cutoff = START + 20 * HOUR
    before = sorted(path.name for path in root.rglob("*"))
    dry = vault.expire(cutoff)
    assert sorted(path.name for path in root.rglob("*")) == before
    done = vault.expire(cutoff, dry_run=False)
    assert dry == done
    assert (done.hours, done.points, done.history_points, done.parts) == (20, 120, 120, 1)
    assert_holds(vault, [each for each in points if each.timestamp >= cutoff])
    assert vault.verify().problems == ()
    assert vault.expire(cutoff, dry_run=False).points == 0
    vault.expire(LATER, dry_run=False)
    assert vault.read_metrics().empty
    assert load(LocalStorage(root, layout.SCRATCH))[0].files == ()
    assert list(root.rglob("*.parquet")) == []


# In rounds


@pytest.mark.parametrize("keep_hours", [True, False])
def test_in_rounds_the_same_is_compacted_as_at_once(
    tmp_path: Path, keep_hours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With runs of a few points, few of which are merged at once: days, months, late hours, and a rebuilt period."""
    monkeypatch.setattr("ghost_tracking.vault.history.files.ROW_GROUP", 20)
    storages = []
    for name, compactor in (("at once", Compactor), ("in rounds", partial(Compactor, most_points_a_run=20, fan_in=3))):
        vault = ParquetVaultHook(root=tmp_path / name)
        storage = vault._storage
        storages.append(storage)
        points = fill(vault, hours=60)
        vault.seal(LATER)
        for months in (False, True):
            assert not compactor(storage, 100).compact(LATER, MARGIN, months=months, keep_hours=keep_hours).problems
            assert_holds(vault, points)
        late = [point("late", START + hour * HOUR + timedelta(minutes=9)) for hour in range(40)]
        vault.stage([*late, *(point(video_id, START + timedelta(minutes=7)) for video_id in IDS)])
        vault.seal(LATER)
        report = compactor(storage, 100).compact(LATER, MARGIN, months=True, keep_hours=keep_hours)
        assert [each.name for each in report.compacted] == ["2026-01", "2026-02"]
        for period in load(storage)[0].periods:
            names = [each.path for each in load(storage)[0].files_of(period)]
            hours = [hour for hour in period.hours if storage.version(layout.stats(hour)) is not None]
            assert not compactor(storage, 100).rebuild(period, names, hours).problems
        assert vault.verify().problems == ()
    first, second = (load(storage)[0] for storage in storages)
    for period in first.periods:
        assert first.checksums(period) == second.checksums(period)
    assert sum(each.rows for period in first.periods for each in first.checksums(period).values()) == 360 + 40 + 6
    assert len(first.files) >= 4
    assert [(each.period, each.first, each.last, each.hash) for each in first.files] == [
        (each.period, each.first, each.last, each.hash) for each in second.files
    ]


@folder_only("files are counted as they are opened")
@pytest.mark.parametrize("hours", [48, 240])
def test_compacting_holds_few_files_open_whatever_came_late(
    root: Path, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted: hours that are held in bytes, files of the history that are open, and sources that are merged."""
    monkeypatch.setattr("ghost_tracking.vault.history.files.ROW_GROUP", 20)
    vault = ParquetVaultHook(root=root)
    storage = vault._storage
    first = START + 2 * DAY
    vault.stage([point(each, first + hour * HOUR) for hour in range(hours) for each in IDS])
    vault.seal(LATER)
    Compactor(storage, 2 * len(IDS)).compact(LATER, MARGIN, months=True, keep_hours=True)
    assert len(load(storage)[0].files) >= 3
    vault.stage([point("late", first + hour * HOUR) for hour in range(hours)])
    vault.seal(LATER)
    held, most = Counter[str](), Counter[str]()

    def counting(kind: str, work: Callable[..., Iterator[pa.Table]]) -> Callable[..., Iterator[pa.Table]]:
        def counted(*arguments: Any, **named: Any) -> Iterator[pa.Table]:
            held[kind] += 1
            most[kind] = max(most[kind], held[kind])
            yield from work(*arguments, **named)
            held[kind] -= 1

        return counted

    merge_sorted = tables.merge_sorted

    def merging(sources: list[Iterator[pa.Table]]) -> Iterator[pa.Table]:
        most["sources"] = max(most["sources"], len(sources))
        return merge_sorted(sources)

    monkeypatch.setattr(tables, "merge_sorted", merging)
    monkeypatch.setattr(HistoryReader, "batches", counting("files", HistoryReader.batches))
    monkeypatch.setattr(files, "sorted_chunks", counting("hours", files.sorted_chunks))
    compactor = Compactor(storage, 2 * len(IDS), most_points_a_run=5 * len(IDS), fan_in=4)
    report = compactor.compact(LATER, MARGIN, months=True, keep_hours=True)
    assert [each.name for each in report.compacted] == ["2026-02"]
    assert most == {"files": 1, "hours": 1, "sources": 4}


# What the manifest remembers of files


@pytest.mark.parametrize("months", [True, False])
def test_the_manifest_has_the_digests_of_all_files(vault: ParquetVaultHook, root: Path, months: bool) -> None:
    fill(vault)
    vault.seal(LATER)
    vault.compact(LATER, months=months)
    storage = vault._storage
    manifest = load(storage)[0]
    for each in manifest.files:
        data = storage.read(each.path).data
        assert (each.bytes, each.hash) == (len(data), digest_of(data))
    hours = [hour for hour, _ in manifest.hours_between(None, None)]
    assert len(hours) == 60
    for hour in hours:
        data = storage.read(layout.stats(hour)).data
        assert manifest.file_of(hour) == HourFile(len(data), digest_of(data))
    late = point("late", START + HOUR)
    before = {hour: manifest.file_of(hour) for hour in hours}
    vault.append_metrics([dict(zip(COLUMNS, (getattr(late, name) for name in COLUMNS), strict=True))])
    vault.seal(LATER)
    vault.compact(LATER, months=months)
    after = load(storage)[0]
    assert {hour for hour in hours if after.file_of(hour) != before[hour]} == {Partition.of(late.timestamp)}
    data = storage.read(layout.stats(Partition.of(late.timestamp))).data
    assert after.file_of(Partition.of(late.timestamp)) == HourFile(len(data), digest_of(data))


@folder_only("files are counted as they are read")
def test_a_rolling_retention_splits_a_month_once_and_then_lets_days_go(
    vault: ParquetVaultHook, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in points that are read of the history and written to it, a night."""
    monkeypatch.setattr("ghost_tracking.vault.history.files.ROW_GROUP", 200)
    first = datetime(2026, 1, 1, tzinfo=UTC)
    points = [point(each, first + hour * HOUR) for hour in range(0, 60 * 24, 8) for each in IDS]
    vault.stage(points)
    vault.seal(LATER)
    vault.compact(LATER, most_points_a_file=3 * len(IDS))
    a_day = 3 * len(IDS)
    seen = Counter[str]()
    batches, write = HistoryReader.batches, HistoryWriter.write

    def reading(reader: HistoryReader, size: int) -> Iterator[pa.Table]:
        for table in batches(reader, size):
            seen["read"] += table.num_rows
            yield table

    def writing(writer: HistoryWriter, table: pa.Table) -> None:
        seen["written"] += table.num_rows
        write(writer, table)

    monkeypatch.setattr(HistoryReader, "batches", reading)
    monkeypatch.setattr(HistoryWriter, "write", writing)
    nights = []
    for night in range(34):
        cutoff = first + 3 * DAY + HOUR / 2 + 5 * HOUR + night * DAY
        seen.clear()
        report = vault.expire(cutoff, dry_run=False)
        nights.append(dict(seen))
        manifest = load(vault._storage)[0]
        before = cutoff - HOUR / 2
        assert manifest.expired_before == before
        assert not list(manifest.hours_between(None, before))
        assert report.history_points == report.points == (3 * a_day + len(IDS) if not night else a_day)
        assert vault.compact(LATER).compacted == ()
        if night in {0, 1, 29, 33}:
            assert_holds(vault, [each for each in points if each.timestamp >= before])
            assert vault.verify().problems == ()
    # January has 28 days left, and then February: its first day is cut in the night after its last
    wholes = [number for number, each in enumerate(nights) if each["written"] > a_day]
    assert wholes == [0, 28]
    assert nights[0]["written"] == 28 * a_day - len(IDS)
    assert max(each["read"] for number, each in enumerate(nights) if number not in wholes) <= 2 * a_day
    assert [each.name for each in load(vault._storage)[0].periods][:2] == ["2026-02-06", "2026-02-07"]


def test_periods_that_have_expired_go_unread(vault: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch) -> None:
    points = fill(vault)
    vault.seal(LATER)
    vault.compact(LATER)
    monkeypatch.setattr(HistoryReader, "batches", None)
    report = vault.expire(datetime(2026, 2, 1, tzinfo=UTC), dry_run=False)
    assert report.problems == ()
    monkeypatch.undo()
    assert [each.name for each in load(vault._storage)[0].periods] == ["2026-02"]
    assert_holds(vault, [each for each in points if each.timestamp.month == 2])
    earlier = vault.expire(datetime(2026, 1, 31, tzinfo=UTC), dry_run=False)
    assert earlier.history_points == 0
    assert load(vault._storage)[0].expired_before == datetime(2026, 2, 1, tzinfo=UTC)


@folder_only("the file is changed in place")
def test_a_month_that_cannot_be_split_is_reported_and_kept(vault: ParquetVaultHook, root: Path) -> None:
    fill(vault)
    vault.seal(LATER)
    vault.compact(LATER)
    name = next(each for each in vault.history_files() if "2026-01" in each)
    whole = Path(name).read_bytes()
    Path(name).write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    cutoff = START + 2 * HOUR
    report = vault.expire(cutoff, dry_run=False)
    assert "the history of 2026-01 keeps points past their age" in report.problems[0]
    assert report.history_points == 0
    Path(name).write_bytes(whole)
    report = vault.expire(cutoff, dry_run=False)
    assert (report.problems, report.history_points) == ((), 2 * len(IDS))
    assert vault.verify().problems == ()
