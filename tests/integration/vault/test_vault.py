"""The vault on a real file system and in a real S3: the specification's examples, and what the verbs promise."""

import io
import os
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk import Connection
from hypothesis import given, settings
from hypothesis import strategies as st

from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import COLUMNS, MetricPoint
from ghost_tracking.errors import (
    BadInputError,
    BadPointsError,
    ConfigurationError,
    VaultMismatchError,
)
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.points import tables
from s3_server import folder_only

TEN = datetime(2026, 1, 15, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
PUBLISHED = TEN - timedelta(days=1)


@pytest.fixture
def root(vault_root: Path) -> Path:
    return vault_root


def point(video_id: str, timestamp: datetime = TEN, views: int | None = 1) -> MetricPoint:
    return MetricPoint(video_id, timestamp, views, None, 0, PUBLISHED)


def row(video_id: str = "VIDEO_123", timestamp: datetime = TEN, views: int | None = 1000) -> dict[str, Any]:
    return {
        "video_id": video_id,
        "timestamp": timestamp.isoformat(),
        "views": views,
        "likes": 50,
        "comments": 10,
        "published_at": "2026-01-15T10:00:00Z",
    }


def files_below(folder: Path) -> list[str]:
    return sorted(str(path).removeprefix(f"{folder}/") for path in folder.rglob("*") if path.is_file())


def copy_of(path: Path) -> io.BytesIO:
    return io.BytesIO(path.read_bytes())


def keys(frame: pd.DataFrame) -> list[tuple[str, datetime]]:
    return list(zip(frame["video_id"], frame["timestamp"].dt.to_pydatetime(), strict=True))


# The specification's examples


@folder_only("they name a folder")
def test_the_specifications_examples_run_as_they_stand(
    vault: ParquetVaultHook, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root.parent)
    vault.append_metrics([row(), row("VIDEO_124"), row(timestamp=TEN + HOUR), row("LATER", TEN + 24 * HOUR)])
    metrics = [
        {
            "video_id": "VIDEO_123",
            "timestamp": datetime.now(UTC).isoformat(),
            "views": 1000,
            "likes": 50,
            "comments": 10,
            "published_at": "2026-01-15T10:00:00Z",
        }
    ]
    vault.append_metrics(metrics)

    df = pd.read_parquet("vault/metrics/date=2026-01-15/hour=10/stats.parquet")
    assert list(df.columns[:6]) == list(COLUMNS)
    assert len(df) == 2

    df = pd.read_parquet("vault/metrics/", filters=[("date", ">=", "2026-01-01"), ("date", "<=", "2026-01-15")])
    assert len(df) == 3

    views_by_video = df.groupby("video_id")["views"].agg(["min", "max", "mean"])
    assert views_by_video.loc["VIDEO_123"].tolist() == [1000, 1000, 1000]

    df = pd.read_parquet("vault/metrics/")
    print(f"Total metrics: {len(df)}")
    print(f"Unique videos: {df['video_id'].nunique()}")
    assert capsys.readouterr().out == "Total metrics: 5\nUnique videos: 3\n"


@folder_only("each reader has its own way to S3, see test_vault_objects.py")
def test_other_readers_see_the_same(vault: ParquetVaultHook, root: Path) -> None:
    vault.append_metrics([row(views=None), row("VIDEO_124"), row("VIDEO_125", TEN + HOUR)])
    vault.append_metrics([row("VIDEO_126")])  # a second row group
    query = f"""
        SELECT count(*), count(views), count(DISTINCT video_id), epoch(max(timestamp)), min(hour), max(date)
        FROM read_parquet('{root}/metrics/**/*.parquet', hive_partitioning = true)
    """
    total, with_views, videos, newest, first_hour, date = duckdb.sql(query).fetchall()[0]
    assert (total, with_views, videos, int(first_hour), str(date)) == (4, 3, 4, 10, "2026-01-15")
    assert newest == (TEN + HOUR).timestamp()
    frame = pl.read_parquet(root / "metrics")
    assert frame.shape == (4, 8)
    assert frame["views"].null_count() == 1
    assert frame.schema["timestamp"] == pl.Datetime("us", "UTC")


def test_files_keep_to_what_every_reader_knows(vault: ParquetVaultHook, root: Path) -> None:
    vault.append_metrics([row(), row("VIDEO_124", views=None)])
    file = pq.ParquetFile(copy_of(root / layout.stats(Partition.of(TEN))))
    assert file.schema_arrow.names == list(COLUMNS)
    assert [str(field.type) for field in file.schema_arrow] == [
        "string", "timestamp[us, tz=UTC]", "int64", "int64", "int64", "timestamp[us, tz=UTC]",
    ]  # fmt: skip
    columns = [file.metadata.row_group(0).column(number) for number in range(6)]
    assert {encoding for column in columns for encoding in column.encodings} <= {"PLAIN", "RLE", "RLE_DICTIONARY"}
    assert {column.compression for column in columns} == {"ZSTD"}


# Staging and publishing


def test_nothing_but_published_files_stands_under_metrics(vault: ParquetVaultHook, root: Path) -> None:
    vault.append_metrics([row(), row(timestamp=TEN + HOUR)])
    vault.stage([point("STAGED")])
    assert files_below(root / "metrics") == [
        "date=2026-01-15/hour=10/stats.parquet",
        "date=2026-01-15/hour=11/stats.parquet",
    ]
    assert files_below(root / layout.SCRATCH) == []
    assert files_below(root / layout.LOCKS) == []


def test_borders_of_hours_and_days(vault: ParquetVaultHook) -> None:
    midnight = datetime(2026, 1, 16, tzinfo=UTC)
    instant = timedelta(microseconds=1)
    staged = vault.stage([point("a", midnight), point("a", midnight - instant), point("a", midnight + HOUR)])
    assert [(part.partition.path, part.rows) for part in staged] == [
        ("date=2026-01-15/hour=23", 1),
        ("date=2026-01-16/hour=00", 1),
        ("date=2026-01-16/hour=01", 1),
    ]
    assert vault.publish().points_added == 3
    assert keys(vault.read_metrics(midnight, midnight + HOUR)) == [("a", midnight)]
    assert keys(vault.read_metrics(midnight - instant, midnight)) == [("a", midnight - instant)]


@folder_only("it looks at the inode")
def test_publishing_again_does_nothing(vault: ParquetVaultHook, root: Path) -> None:
    vault.stage([point("a")])
    first = vault.publish()
    assert (first.points_added, first.parts_merged, first.complete) == (1, 1, True)
    before = (root / layout.stats(Partition.of(TEN))).stat()
    assert vault.publish().written == ()
    after = (root / layout.stats(Partition.of(TEN))).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_appending_again_adds_no_point(vault: ParquetVaultHook) -> None:
    rows = [row(), row("VIDEO_124"), row(timestamp=TEN + HOUR)]
    assert vault.append_metrics(rows).points_added == 3
    before = vault.read_metrics(TEN, TEN + 2 * HOUR)
    assert vault.append_metrics(rows).points_added == 0
    pd.testing.assert_frame_equal(vault.read_metrics(TEN, TEN + 2 * HOUR), before)


def test_the_published_point_stays(vault: ParquetVaultHook) -> None:
    vault.append_metrics([row(views=1)])
    vault.append_metrics([row(views=2)])
    assert vault.read_history("VIDEO_123")["views"].tolist() == [1]


def test_of_two_staged_points_the_first_one_stays(vault: ParquetVaultHook) -> None:
    vault.stage([point("a", views=1)])
    vault.stage([point("a", views=2)])
    vault.publish()
    assert vault.read_history("a")["views"].tolist() == [1]


def test_only_the_named_partitions_are_published(vault: ParquetVaultHook) -> None:
    vault.stage([point("a"), point("a", TEN + HOUR)])
    report = vault.publish([Partition.of(TEN + HOUR)])
    assert [partition.hour for partition in report.written] == [11]
    assert vault.health_check()["staged_parts"] == 1


def test_bad_rows_are_refused_before_anything_is_written(vault: ParquetVaultHook, root: Path) -> None:
    with pytest.raises(BadPointsError, match="row 1: views -1 is negative"):
        vault.append_metrics([row(), row(views=-1)])
    assert not root.exists()


def test_a_frame_is_as_good_as_rows(vault: ParquetVaultHook) -> None:
    frame = pd.DataFrame([row(views=None), row("VIDEO_124")])
    frame["timestamp"] = pd.to_datetime(frame["timestamp"])
    vault.append_metrics(frame)
    assert vault.append_metrics(vault.read_metrics(TEN, TEN + HOUR)).points_added == 0
    assert vault.read_history("VIDEO_123")["views"].isna().tolist() == [True]
    assert vault.append_metrics(pd.DataFrame()).written == ()


@folder_only("it is about the report, and S3 takes long")
def test_a_report_is_small_and_plain(vault: ParquetVaultHook) -> None:
    report = vault.append_metrics([row(timestamp=TEN + number * HOUR) for number in range(50)]).as_dict()
    assert report["written_count"] == 50
    assert report["written"][0] == "date=2026-01-15/hour=10"
    assert len(report["written"]) == 20
    assert report["points_added"] == 50


def test_hundreds_of_parts_become_one_file(vault: ParquetVaultHook, root: Path) -> None:
    for number in range(300):
        vault.stage([point(f"v{number}"), point(f"v{number % 7}", TEN + timedelta(seconds=number + 1))])
    assert vault.publish().parts_merged == 300
    assert len(vault.read_metrics(TEN, TEN + HOUR)) == 600
    assert vault.publish().written == ()


def test_a_published_file_only_grows_at_its_end(vault: ParquetVaultHook, root: Path) -> None:
    """What a reader learned from one version of an open hour's file holds for every later one."""
    file = root / layout.stats(Partition.of(TEN))
    before = b""
    dice = random.Random(3)
    for publication in range(20):
        vault.stage(
            [
                point(f"v{dice.randrange(10**6)}", TEN + timedelta(seconds=publication), dice.choice([None, 5]))
                for _ in range(dice.choice([1, 30, 2000]))
            ]
        )
        vault.publish()
        now = file.read_bytes()
        assert now.startswith(before)
        assert len(now) > len(before)
        before = now
    read = pq.ParquetFile(copy_of(file), page_checksum_verification=True).read()
    assert read.num_rows == len(pl.read_parquet(copy_of(file)))


@folder_only("it is about the file, and S3 takes long")
def test_a_file_of_very_many_publications_is_sorted_into_few_row_groups(vault: ParquetVaultHook, root: Path) -> None:
    for number in range(67):
        vault.append_metrics([row(f"v{99 - number}")])
    metadata = pq.read_metadata(copy_of(root / layout.stats(Partition.of(TEN))))
    assert (metadata.num_rows, metadata.num_row_groups) == (67, 2)
    assert vault.read_metrics(TEN, TEN + HOUR)["video_id"].is_monotonic_increasing


@st.composite
def actions(draw: st.DrawFn) -> list[tuple[str, list[tuple[str, int]]]]:
    keys_of_a_batch = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3 * 3600 - 1)), max_size=6)
    verbs = st.sampled_from(["stage", "append", "publish", "seal"])
    return draw(st.lists(st.tuples(verbs, keys_of_a_batch), max_size=8))


@settings(max_examples=40, deadline=None)
@given(actions())
def test_any_interleaving_gives_the_same_points(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[tuple[str, int]]]]
) -> None:
    vault = ParquetVaultHook(root=tmp_path_factory.mktemp("any") / "vault")
    expected: dict[tuple[str, datetime], int] = {}
    for verb, batch in steps:
        points = {
            (video_id, TEN + timedelta(seconds=second)): point(video_id, TEN + timedelta(seconds=second), second)
            for video_id, second in batch
        }
        if verb in {"stage", "append"}:
            expected |= {key: each.views or 0 for key, each in points.items()}
        if verb == "stage":
            vault.stage(list(points.values()))
        elif verb == "append":
            vault.append_metrics([{name: getattr(each, name) for name in COLUMNS} for each in points.values()])
        elif verb == "publish":
            vault.publish()
        else:
            assert vault.seal(TEN + timedelta(days=1)).complete
    vault.seal(TEN + timedelta(days=1))
    found = vault.read_metrics(TEN, TEN + 3 * HOUR)
    assert dict(zip(keys(found), found["views"], strict=True)) == expected
    assert keys(found) == sorted(keys(found), key=lambda key: (Partition.of(key[1]), *key))
    assert vault.health_check()["staged_parts"] == 0


# Sealing


def test_an_hour_is_sealed_once_it_is_long_enough_over(vault: ParquetVaultHook, root: Path) -> None:
    vault.append_metrics([row(), row(timestamp=TEN + HOUR)])
    closed = TEN + HOUR
    assert vault.seal(closed + timedelta(minutes=14)).sealed == ()
    report = vault.seal(closed + timedelta(minutes=15))
    assert (report.sealed, report.parts_deleted) == ((Partition.of(TEN),), 1)
    assert report.as_dict()["sealed"] == ["date=2026-01-15/hour=10"]
    assert not (root / layout.parts(Partition.of(TEN))).exists()
    assert len(vault.read_metrics(TEN, TEN + 2 * HOUR)) == 2


def test_a_sealed_file_is_sorted_as_a_whole(vault: ParquetVaultHook, root: Path) -> None:
    for video_id in ("c", "a", "b"):
        vault.append_metrics([row(video_id, TEN + timedelta(seconds=9)), row(video_id, TEN)])
    vault.seal(datetime.now(UTC))
    frame = pd.read_parquet(copy_of(root / layout.stats(Partition.of(TEN))))
    assert keys(frame) == sorted(keys(frame))
    assert pq.read_metadata(copy_of(root / layout.stats(Partition.of(TEN)))).num_row_groups == 1


def test_sealing_publishes_what_was_not(vault: ParquetVaultHook) -> None:
    vault.stage([point("a")])
    report = vault.seal(datetime.now(UTC))
    assert report.published.points_added == 1
    assert report.parts_deleted == 1
    assert keys(vault.read_history("a")) == [("a", TEN)]


def test_a_late_point_makes_its_hour_published_and_sealed_again(vault: ParquetVaultHook) -> None:
    vault.append_metrics([row("a")])
    vault.seal(datetime.now(UTC))
    vault.stage([point("late")])
    assert vault.publish().points_added == 1
    assert vault.seal(datetime.now(UTC)).sealed == (Partition.of(TEN),)
    assert [video_id for video_id, _ in keys(vault.read_metrics(TEN, TEN + HOUR))] == ["a", "late"]


@folder_only("an object store has no unfinished files")
def test_sealing_removes_what_crashed_writers_left(vault: ParquetVaultHook, root: Path) -> None:
    vault.stage([point("a")])
    old, young = (root / layout.SCRATCH / name for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"PAR1")
    two_days_ago = datetime.now(UTC).timestamp() - 2 * 86400
    os.utime(old, (two_days_ago, two_days_ago))
    assert vault.seal(datetime.now(UTC)).leftovers_deleted == 1
    assert files_below(root / layout.SCRATCH) == ["young"]


# Reading


@pytest.fixture
def three_hours(vault: ParquetVaultHook) -> ParquetVaultHook:
    vault.append_metrics(
        [
            row(video_id, TEN + minutes * timedelta(minutes=1), minutes)
            for video_id in "cab"
            for minutes in (0, 45, 90, 150)
        ]
    )
    return vault


def test_reading_takes_start_and_leaves_end(three_hours: ParquetVaultHook) -> None:
    found = three_hours.read_metrics(TEN + timedelta(minutes=45), TEN + timedelta(minutes=150))
    assert found["views"].tolist() == [45, 45, 45, 90, 90, 90]
    assert found["video_id"].tolist() == ["a", "b", "c"] * 2


def test_reading_some_videos_and_columns(three_hours: ParquetVaultHook) -> None:
    found = three_hours.read_metrics(TEN, TEN + 3 * HOUR, video_ids=["b", "nobody"], columns=["likes", "views"])
    assert list(found.columns) == ["likes", "views"]
    assert found["views"].tolist() == [0, 45, 90, 150]


def test_a_history_is_sorted_by_time(three_hours: ParquetVaultHook) -> None:
    three_hours.append_metrics([row("b", TEN + timedelta(minutes=20), 20)])
    assert three_hours.read_history("b")["views"].tolist() == [0, 20, 45, 90, 150]
    assert three_hours.read_history("b", start=TEN + HOUR)["views"].tolist() == [90, 150]
    assert three_hours.read_history("b", end=TEN + HOUR)["views"].tolist() == [0, 20, 45]


def test_types_do_not_depend_on_what_was_found(three_hours: ParquetVaultHook) -> None:
    full = three_hours.read_metrics(TEN, TEN + HOUR)
    for found in (three_hours.read_metrics(TEN - HOUR, TEN), three_hours.read_history("nobody")):
        assert found.empty
        assert list(found.columns) == list(COLUMNS)
        pd.testing.assert_series_equal(found.dtypes, full.dtypes)
    assert str(full["views"].dtype) == "Int64"
    assert str(full["timestamp"].dtype) == "datetime64[us, UTC]"


def test_only_the_partitions_in_question_are_opened(three_hours: ParquetVaultHook, root: Path) -> None:
    (root / layout.stats(Partition.of(TEN))).write_bytes(b"broken")
    assert len(three_hours.read_metrics(TEN + HOUR, TEN + 2 * HOUR)) == 3


NAIVE = TEN.replace(tzinfo=None)
BAD_SPANS: list[tuple[dict[str, Any], str]] = [
    ({"start": NAIVE, "end": TEN}, "start .* has no time zone"),
    ({"start": TEN, "end": NAIVE}, "end .* has no time zone"),
    ({"start": TEN.date()}, "start is .* which is a date: give a datetime with a time zone"),
    ({"end": "2026-01-15"}, "end is '2026-01-15', which is no time"),
    ({"start": pd.NaT}, "start is NaT, which is no time"),
    ({"start": TEN, "end": TEN - HOUR}, "lies before start"),
]
BAD_IDS: list[tuple[Any, str]] = [
    ("9LfmrkyP81M", "video_ids is '9LfmrkyP81M': give a list of ids"),
    ([None], "video_ids has None, which is no id"),
    (["a", 5], "video_ids has 5, which is no id"),
    ([["a"]], r"video_ids has \['a'\], which is no id"),
    (7, "video_ids is 7: give a list of ids"),
]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        *BAD_SPANS,
        *(({"video_ids": ids}, reason) for ids, reason in BAD_IDS),
        ({"columns": ["shares"]}, "no column 'shares'"),
        ({"columns": "views"}, "columns is the text 'views': give a list of names"),
        ({"columns": ["views", "views"]}, "columns names 'views' twice"),
        ({"columns": [["views"]]}, "no column"),
    ],
)
def test_bad_questions_are_refused(three_hours: ParquetVaultHook, arguments: dict[str, Any], reason: str) -> None:
    for read in (three_hours.read_metrics, three_hours.read_table, three_hours.read_batches):
        with pytest.raises(BadInputError, match=reason):
            list(read(**arguments))


@pytest.mark.parametrize(("span", "reason"), BAD_SPANS)
def test_bad_spans_are_refused_by_every_verb(three_hours: ParquetVaultHook, span: dict[str, Any], reason: str) -> None:
    start, end = span.get("start"), span.get("end")
    verbs: list[Callable[[], object]] = [
        lambda: three_hours.read_history("a", start, end),
        lambda: three_hours.read_availability(None, start, end),
        lambda: three_hours.read_discoveries(None, start, end),
        lambda: three_hours.read_discoveries_batches(None, start, end),
        lambda: three_hours.history_files(start, end),
        lambda: three_hours.verify(start, end),
        lambda: three_hours.stats.points_by_hour(start, end),
    ]
    for verb in verbs:
        with pytest.raises(BadInputError, match=reason):
            verb()


@pytest.mark.parametrize(("ids", "reason"), BAD_IDS)
def test_bad_ids_are_refused_by_every_verb(three_hours: ParquetVaultHook, ids: Any, reason: str) -> None:
    verbs: list[Callable[[Any], object]] = [three_hours.read_latest, three_hours.read_availability]
    verbs += [three_hours.read_discoveries, three_hours.read_discoveries_batches]
    if not isinstance(ids, str):  # for metadata one is as good as a list
        verbs += [three_hours.read_videos, three_hours.stats.titles]
    for verb in verbs:
        with pytest.raises(BadInputError, match=reason):
            verb(ids)
    with pytest.raises(BadInputError, match="video_ids has"):
        three_hours.read_history([ids])  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [5, None, {"video_id": "a", "timestamp": TEN}, ["a"], "a", [None], [5]])
def test_what_are_no_rows_is_refused(vault: ParquetVaultHook, rows: Any) -> None:
    with pytest.raises(BadInputError, match="row"):
        vault.append_metrics(rows)
    for staged in (rows, 5):
        if staged is not None:
            with pytest.raises(BadInputError):
                vault.stage([staged])


def test_any_collection_of_ids_will_do_and_none_gives_nothing(three_hours: ParquetVaultHook) -> None:
    for ids in ({"a"}, ("a", "a"), iter(["a"]), pd.Series(["a"]), {"a": 1}.keys()):
        assert len(three_hours.read_metrics(video_ids=ids)) == 4  # type: ignore[arg-type]
    assert three_hours.read_metrics(video_ids=[]).empty
    assert three_hours.read_latest([]).empty
    assert three_hours.read_metrics(TEN, TEN).empty


# Health and identity


def test_health_of_a_good_vault(three_hours: ParquetVaultHook, root: Path) -> None:
    three_hours.stage([point("d")])
    size = sum(path.stat().st_size for path in (root / "metrics").rglob("*.parquet"))
    assert three_hours.health_check() == {
        "ok": True,
        "writable": True,
        "problem": None,
        "root": str(root),
        "proven_since": None,
        "newest_point": "2026-01-15T12:30:00+00:00",
        "partitions": 3,
        "points": 12,
        "bytes": size,
        "layers": {
            "open": {"files": 3, "points": 12, "bytes": size},
            "sealed": {"files": 0, "points": 0, "bytes": 0},
            "days": {"files": 0, "points": 0, "bytes": 0},
            "months": {"files": 0, "points": 0, "bytes": 0},
            "videos": {"files": 0, "videos": 0, "bytes": 0},
            "availability": {"files": 0, "events": 0, "bytes": 0},
            "discoveries": {"files": 0, "rows": 0, "bytes": 0},
        },
        "staged_parts": 1,
        "staged_hours": ["date=2026-01-15/hour=10"],
        "staged_videos": 0,
        "staged_availability": 0,
        "staged_discoveries": 0,
        "stale_hours": [],
        "unreadable": [],
        "quarantined": 0,
    }


def test_the_identity_is_made_once(vault: ParquetVaultHook, root: Path) -> None:
    made = vault.identity(create=True)
    again = ParquetVaultHook(root=root)
    assert again.identity(create=True) == again.identity() == made
    again.check_identity(made)


def test_another_vault_is_noticed(vault: ParquetVaultHook, tmp_path: Path) -> None:
    other = ParquetVaultHook(root=tmp_path / "other")
    expected = vault.identity(create=True)
    with pytest.raises(ConfigurationError, match="other is not there"):
        other.check_identity(expected)
    other.stage([])
    with pytest.raises(VaultMismatchError, match="holds no vault yet"):
        other.check_identity(expected)
    other.identity(create=True)
    with pytest.raises(VaultMismatchError, match="mount the same folder on every worker"):
        other.check_identity(expected)


# Where the vault is


@pytest.fixture
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("AIRFLOW_CONN_GHOST_VAULT", raising=False)
    return monkeypatch


@folder_only("they name folders")
@pytest.mark.parametrize(
    "uri", ["fs:///?path={}", "file://{}", "generic://?path={}", "generic://{}", "fs:///?path=file%3A%2F%2F{}"]
)
def test_connections_of_several_kinds_name_the_root(no_secrets: pytest.MonkeyPatch, root: Path, uri: str) -> None:
    no_secrets.setenv("AIRFLOW_CONN_GHOST_VAULT", uri.format(root))
    ParquetVaultHook().stage([point("a")])
    assert (root / "_staging").is_dir()


@folder_only("they name folders")
def test_a_connection_can_be_handed_over(root: Path) -> None:
    for connection in (
        Connection(conn_id="mine", conn_type="fs", extra=f'{{"path": "{root}"}}'),
        Connection(conn_id="mine", conn_type="generic", host=str(root)),
        Connection(conn_id="mine", conn_type="file", host=str(root.parent), schema=root.name),
    ):
        assert str(ParquetVaultHook(connection=connection).get_conn().path) == str(root)


def test_a_missing_connection_is_named(no_secrets: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"^Connection 'ghost_vault' is missing: create it"):
        ParquetVaultHook().stage([point("a")])


@pytest.mark.parametrize(
    ("connection", "reason"),
    [
        (Connection(conn_id="mine", conn_type="fs"), "Connection 'mine' names no folder"),
        (Connection(conn_id="mine", conn_type="aws", host="x"), "Connection 'mine' names no folder"),
        (
            Connection(conn_id="mine", conn_type="fs", extra='{"path": "data/vault"}'),
            r"root data/vault \(connection 'mine'\) is not an absolute path",
        ),
        (
            Connection(conn_id="mine", conn_type="fs", extra='{"path": "hdfs://host/prefix"}'),
            r"root hdfs://\S*/prefix \(connection 'mine'\) is of a kind that the vault cannot use",
        ),
    ],
)
def test_unusable_roots_say_what_to_mend(connection: Connection, reason: str) -> None:
    for verb in (ParquetVaultHook.publish, ParquetVaultHook.health_check):
        with pytest.raises(ConfigurationError, match=reason):
            verb(ParquetVaultHook(connection=connection))


def test_a_root_that_cannot_be_written_is_named_with_the_user(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    vault = ParquetVaultHook(
        connection=Connection(conn_id="mine", conn_type="fs", extra=f'{{"path": "{in_the_way}/vault"}}')
    )
    with pytest.raises(ConfigurationError, match=r"\(connection 'mine'\) cannot be written by user '\w+': Not a dir"):
        vault.stage([point("a")])
    health = vault.health_check()
    assert (health["ok"], health["writable"]) == (False, False)
    assert "cannot be written" in health["problem"]


@folder_only("a prefix of a bucket is always there")
def test_a_root_that_is_not_there_cannot_be_read(vault: ParquetVaultHook) -> None:
    with pytest.raises(ConfigurationError, match="is not there"):
        vault.read_history("a")


@pytest.mark.parametrize("module", ["ghost_tracking.vault", "ghost_tracking.hooks.vault"])
def test_importing_the_vault_loads_no_pyarrow(module: str) -> None:
    code = f"import sys, {module}; sys.exit('pyarrow' in sys.modules or 'pandas' in sys.modules)"
    plugins = Path(__file__).parents[3] / "plugins"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(plugins)})


def test_the_schema_is_that_of_the_core() -> None:
    assert tuple(tables.SCHEMA.names) == COLUMNS
    assert pa.types.is_timestamp(tables.SCHEMA.field("timestamp").type)
