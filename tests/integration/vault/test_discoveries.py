"""Where a video came from is data: each source names a video once a day, in its place, and none of it is lost."""

import base64
import json
import random
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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

from ghost_tracking.core.origins import Discovered, Origin, Place
from ghost_tracking.core.partitions import Period
from ghost_tracking.errors import BadInputError, UnreadableFileError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import discoveries, layout, period_files
from ghost_tracking.vault.maintenance.sizes import known_sizes

NOON = datetime(2026, 1, 30, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FIRST, SECOND = (layout.discoveries(Period.parse(f"2026-01-{day}")) for day in (30, 31))
CHANNEL = Origin("channel", "UC" + "a" * 22)
SEARCH = Origin("search", "linear algebra", "US", "en", "27", CHANNEL.key)
CHART = Origin("chart", "mostPopular", "DE")
LIST = Origin("list", "mine")


def named(origin: Origin, *video_ids: str, at: datetime = NOON, first: int = 1, run: str | None = "r1") -> list[Any]:
    """What a listing names, from a rank on."""
    return [
        Discovered(each, origin, at, Place(rank, (rank + 49) // 50), run) for rank, each in enumerate(video_ids, first)
    ]


def rows(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    chosen = frame[["source_kind", "video_id", "rank", "named_at"]]
    return [tuple(None if pd.isna(value) else value for value in row) for row in chosen.itertuples(index=False)]


def test_a_source_names_a_video_once_a_day_at_its_first_time(vault: ParquetVaultHook) -> None:
    assert vault.stage_discoveries([]) == []
    assert vault.publish_discoveries().complete
    assert vault.read_discoveries().empty
    assert list(vault.read_discoveries_batches()) == []
    vault.stage_discoveries(named(CHANNEL, "b", "a"))
    vault.stage_discoveries([*named(CHANNEL, "c", "b", at=NOON + HOUR, run="r2"), *named(CHART, "b")])
    expected = [("channel", "b", 1, NOON), ("channel", "a", 2, NOON), ("channel", "c", 1, NOON + HOUR)]
    expected += [("chart", "b", 1, NOON)]
    assert rows(vault.read_discoveries()) == expected
    assert vault.health_check()["staged_discoveries"] == 2

    report = vault.publish_discoveries()

    assert (report.rows_added, report.parts_merged, report.complete) == (4, 2, True)
    assert json.dumps(report.as_dict())
    assert vault.publish_discoveries() == type(report)()
    vault.stage_discoveries(named(CHANNEL, "b", at=NOON + 2 * HOUR))
    assert rows(vault.read_discoveries()) == expected
    assert (vault.publish_discoveries().rows_added, rows(vault.read_discoveries())) == (0, expected)
    vault.stage_discoveries(named(CHANNEL, "b", at=NOON + DAY))
    assert vault.publish_discoveries().rows_added == 1
    tomorrow = ("channel", "b", 1, NOON + DAY)
    assert rows(vault.read_discoveries()) == [*expected, tomorrow]
    assert rows(vault.read_discoveries(["b"], start=NOON + DAY)) == [tomorrow]
    assert rows(vault.read_discoveries(["a", "c"], end=NOON + HOUR)) == [("channel", "a", 2, NOON)]
    assert rows(vault.read_discoveries(["absent"])) == []
    health = vault.health_check()
    layer = health["layers"]["discoveries"]
    assert (health["ok"], layer["files"], layer["rows"]) == (True, 2, 5)
    assert (health["bytes"], health["staged_discoveries"]) == (layer["bytes"], 0)
    assert vault.verify().problems == ()


def test_what_was_named_earlier_takes_the_place_of_what_was_published_first(vault: ParquetVaultHook) -> None:
    """A run that overlaps another may publish after it what it has read before it."""
    vault.stage_discoveries(named(CHANNEL, "a", at=NOON + HOUR, run="late"))
    vault.publish_discoveries()
    vault.stage_discoveries(named(CHANNEL, "x", "a", run="early"))
    # what a filter leaves out decides all the same which row is the first
    assert rows(vault.read_discoveries(start=NOON + HOUR)) == []
    assert vault.publish_discoveries().rows_added == 1
    frame = vault.read_discoveries(["a"])
    assert (rows(frame), frame["run_id"].to_list()) == ([("channel", "a", 2, NOON)], ["early"])


def test_every_part_of_a_source_tells_it_from_others(vault: ParquetVaultHook) -> None:
    sources = [
        SEARCH,
        Origin("search", "linear algebra"),
        Origin("search", "linear algebra", "US"),
        Origin("search", "linear algebra", language="US"),
        Origin("search", "linear algebra", category_id="US"),
        Origin("search", "linear algebra", within_channel_id="US"),
        Origin("search", "linear algebra\x1fUS"),
        Origin("search", "linear", "algebra"),
        Origin("list", "linear algebra"),
    ]
    vault.stage_discoveries(each for origin in sources for each in named(origin, "a"))
    assert vault.publish_discoveries().rows_added == len(sources)
    frame = vault.read_discoveries()
    assert frame.columns.to_list() == discoveries.SCHEMA.names
    found = frame[frame["language"] == "en"].iloc[0]
    assert found.to_dict() == {
        "video_id": "a",
        "source_kind": "search",
        "source_key": "linear algebra",
        "region": "US",
        "language": "en",
        "category_id": "27",
        "within_channel_id": CHANNEL.key,
        "rank": 1,
        "page": 1,
        "named_at": pd.Timestamp(NOON),
        "run_id": "r1",
    }


def test_what_is_not_known_is_null(vault: ParquetVaultHook) -> None:
    vault.stage_discoveries([Discovered("a", LIST, NOON), *named(LIST, "b")])
    vault.publish_discoveries()
    frame = vault.read_discoveries()
    assert rows(frame) == [("list", "b", 1, NOON), ("list", "a", None, NOON)]
    assert str(frame["rank"].dtype) == str(frame["page"].dtype) == "Int32"
    assert str(frame["named_at"].dtype) == "datetime64[us, UTC]"
    assert frame["run_id"].isna().to_list() == [False, True]
    assert frame["region"].isna().all()


def test_batches_are_what_the_frame_is(vault: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discoveries, "ROWS_A_PART", 10)
    monkeypatch.setattr(discoveries, "ROWS_A_BATCH", 7)
    monkeypatch.setattr(period_files, "ROWS_AT_A_TIME", 15)
    ids = [f"v{number:02}" for number in range(30)]
    assert len(vault.stage_discoveries(named(CHANNEL, *ids))) == 3
    vault.stage_discoveries(named(CHANNEL, *ids, at=NOON + DAY))
    report = vault.publish_discoveries()
    assert (report.rows_added, report.parts_merged, report.complete) == (60, 6, True)
    vault.stage_discoveries(named(CHANNEL, "new", at=NOON + DAY + HOUR))
    batches = list(vault.read_discoveries_batches())
    assert max(each.num_rows for each in batches) == 7
    together = pa.Table.from_batches(batches).to_pandas()
    assert rows(together) == rows(vault.read_discoveries())
    assert len(together) == 61
    only = pa.Table.from_batches(vault.read_discoveries_batches(["v07"], NOON + DAY))
    assert only["named_at"].to_pylist() == [NOON + DAY]


def test_bad_arguments_are_refused_before_anything_is_read(vault: ParquetVaultHook) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    vault.stage_discoveries(named(LIST, "a"))
    with pytest.raises(ValueError, match="a: a time without a time zone"):
        Discovered("a", LIST, naive)
    with pytest.raises(BadInputError, match="no time zone"):
        vault.read_discoveries(start=naive)
    with pytest.raises(BadInputError, match="no time zone"):
        vault.read_discoveries_batches(end=naive)
    with pytest.raises(BadInputError, match="give a list of ids"):
        vault.read_discoveries("a")
    with pytest.raises(BadInputError, match="do not fit the vault's schema"):
        vault.stage_discoveries([Discovered("a", LIST, NOON, Place(2**40, 1))])


def test_two_publish_at_once(vault_root: Path | ObjectStoragePath) -> None:
    hooks = [ParquetVaultHook(root=vault_root, lock_timeout=30) for _ in range(2)]

    def work(number: int) -> None:
        for turn in range(4):
            at = NOON + turn * timedelta(minutes=1)
            hooks[number].stage_discoveries(named(CHANNEL, f"v{number}-{turn}", "both", at=at))
            hooks[number].publish_discoveries()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    assert hooks[0].publish_discoveries().complete
    frame = hooks[0].read_discoveries()
    assert len(frame) == 9
    assert frame[frame["video_id"] == "both"]["named_at"].to_list() == [NOON]
    assert hooks[0].health_check()["staged_discoveries"] == 0
    assert hooks[0].verify().problems == ()


def test_readers_meet_no_gap_and_nothing_twice_while_it_is_published(vault: ParquetVaultHook) -> None:
    vault.stage_discoveries(named(CHANNEL, "v0"))
    stop = threading.Event()

    def read() -> int:
        seen = 0
        while not stop.is_set():
            for frame in (
                vault.read_discoveries(),
                pa.Table.from_batches(vault.read_discoveries_batches(), discoveries.SCHEMA).to_pandas(),
            ):
                ids = frame["video_id"].to_list()
                assert sorted(ids) == sorted(f"v{number}" for number in range(len(ids)))
                assert len(ids) >= seen
                seen = len(ids)
        return seen

    with ThreadPoolExecutor(1) as threads:
        reader = threads.submit(read)
        for number in range(1, 15):
            vault.stage_discoveries(named(CHANNEL, f"v{number}", "v0", at=NOON + timedelta(minutes=number)))
            vault.publish_discoveries()
        stop.set()
        assert reader.result() > 0
    assert len(vault.read_discoveries()) == 15


def test_a_day_goes_when_all_of_it_is_past_its_age(vault: ParquetVaultHook) -> None:
    vault.stage_discoveries([*named(CHANNEL, "a", "b"), *named(CHANNEL, "a", at=NOON + DAY)])
    vault.publish_discoveries()
    midnight = datetime(2026, 1, 31, tzinfo=UTC)
    assert vault.expire(midnight - timedelta(seconds=1), dry_run=False).discoveries == 0
    assert vault.expire(midnight).discoveries == 2
    assert len(vault.read_discoveries()) == 3
    assert vault.expire(midnight, dry_run=False).discoveries == 2
    assert rows(vault.read_discoveries()) == [("channel", "a", 1, NOON + DAY)]
    assert vault.expire(midnight + DAY, dry_run=False).discoveries == 1
    assert vault.health_check()["layers"]["discoveries"]["files"] == 0


def test_what_was_set_aside_goes_with_its_age_too(root: Path) -> None:
    vault = ParquetVaultHook(root=root)
    vault.stage_discoveries([*named(CHANNEL, "a"), *named(CHANNEL, "a", at=NOON + DAY)])
    vault.publish_discoveries()
    for day in (FIRST, SECOND):
        (root / day).write_bytes(b"?")
    for name in ("20260130T120000000000-0123456789ab", "20260131T120000000000-0123456789ab"):
        vault._storage.put(f"{layout.STAGED_DISCOVERIES}/{name}.part", b"?")
    assert len(vault.publish_discoveries().quarantined) == 2
    assert len(vault.repair().quarantined) == 2
    midnight = datetime(2026, 1, 31, tzinfo=UTC)
    assert vault.expire(midnight, dry_run=False).set_aside == 2
    left = [key for key, _ in vault._storage.walk(layout.QUARANTINE)]
    assert len(left) == 2
    assert all("2026-01-31" in each or "20260131" in each for each in left)
    assert vault.expire(midnight + DAY, dry_run=False).set_aside == 2


def test_sizes_and_proofs_cover_it(root: Path) -> None:
    vault = ParquetVaultHook(root=root)
    vault.stage_discoveries([*named(CHANNEL, "a", "b"), *named(CHANNEL, "a", at=NOON + DAY)])
    vault.publish_discoveries()
    vault.measure()
    size = (root / FIRST).stat().st_size
    assert vault.stats.size().bytes["discoveries"] == size + (root / SECOND).stat().st_size
    assert known_sizes(vault._storage).rows[FIRST] == (size, 2)
    for night in range(28):
        assert vault.verify_share(NOON + night * DAY).problems == ()
    assert vault.proven_since() is not None
    whole = (root / FIRST).read_bytes()
    (root / FIRST).write_bytes(whole[:-9])
    assert any(FIRST in each for each in vault.health_check()["unreadable"])
    found = [vault.verify_share(NOON + night * DAY).problems for night in range(28, 60)]
    assert any(problems and problems[0].startswith(FIRST) for problems in found)
    assert vault.proven_since() is None


def test_any_program_reads_the_folder(root: Path) -> None:
    vault = ParquetVaultHook(root=root)
    vault.stage_discoveries([*named(CHART, "a", "b"), *named(CHART, "b", "a", at=NOON + DAY)])
    vault.publish_discoveries()
    folder = root / "discoveries"
    frame = pd.read_parquet(folder)
    assert frame[["video_id", "rank", "date"]].astype(str).to_numpy().tolist() == [
        ["a", "1", "2026-01-30"],
        ["b", "2", "2026-01-30"],
        ["b", "1", "2026-01-31"],
        ["a", "2", "2026-01-31"],
    ]
    lazy = pl.scan_parquet(folder, hive_partitioning=True)
    assert lazy.filter(pl.col("date") == pl.date(2026, 1, 31)).collect()["video_id"].to_list() == ["b", "a"]
    query = f"""
        SELECT video_id, min(rank) FROM read_parquet('{folder}/*/*.parquet', hive_partitioning = true)
        WHERE date >= DATE '2026-01-31' GROUP BY ALL ORDER BY ALL
    """
    assert duckdb.sql(query).fetchall() == [("a", 2), ("b", 1)]
    metadata = pq.read_metadata(root / FIRST)
    encodings = {each for column in range(11) for each in metadata.row_group(0).column(column).encodings}
    assert encodings <= {"PLAIN", "RLE", "RLE_DICTIONARY", "DELTA_BINARY_PACKED"}  # Spark 3.5 knows them


def test_a_row_takes_nine_bytes(root: Path) -> None:
    """As docs/read-the-data.md says; nearly all of it are the 64 bits of an id."""
    dice = random.Random(1)
    vault = ParquetVaultHook(root=root)
    for number in range(200):
        ids = [base64.urlsafe_b64encode(dice.randbytes(8)).decode().rstrip("=") for _ in range(50)]
        key = "UC" + base64.urlsafe_b64encode(dice.randbytes(17)).decode()[:22]
        at = NOON + number // 50 * HOUR
        vault.stage_discoveries(named(Origin("channel", key), *ids, at=at, run=f"scheduled__{at.isoformat()}"))
    assert vault.publish_discoveries().rows_added == 10_000
    assert 8.5 < (root / FIRST).stat().st_size / 10_000 < 9.8


def test_a_broken_part_is_set_aside_and_stops_no_other(root: Path) -> None:
    vault = ParquetVaultHook(root=root)
    whole = root / vault.stage_discoveries(named(CHANNEL, "a"))[0]
    cut, foreign, nameless = (whole.with_name(f"20260101T000000000000-0123456789a{x}.part") for x in "bcd")
    cut.write_bytes(whole.read_bytes()[:-9])
    pq.write_table(pa.table({"video_id": ["x"]}), foreign)
    pq.write_table(
        pa.table({**{name: [None] for name in discoveries.SCHEMA.names}, "named_at": [NOON]}).cast(
            pa.schema([field.with_nullable(True) for field in discoveries.SCHEMA])
        ),
        nameless,
    )
    assert rows(vault.read_discoveries()) == [("channel", "a", 1, NOON)]
    report = vault.publish_discoveries()
    assert (report.rows_added, report.parts_merged, len(report.quarantined)) == (1, 1, 3)
    assert f"{cut.name} is not an intact Parquet file" in report.problems[0]
    assert f"{foreign.name} has other columns" in report.problems[1]
    assert f"{nameless.name} is not an intact Parquet file" in report.problems[2]
    assert all((root / aside).exists() for aside in report.quarantined)
    assert vault.publish_discoveries().complete


def test_a_broken_day_keeps_its_rows_staged_until_a_repair_sets_it_aside(root: Path) -> None:
    vault = ParquetVaultHook(root=root)
    vault.stage_discoveries([*named(CHANNEL, "a"), *named(CHANNEL, "a", at=NOON + DAY)])
    vault.publish_discoveries()
    (root / FIRST).write_bytes((root / FIRST).read_bytes()[:-9])
    vault.stage_discoveries([*named(CHANNEL, "b"), *named(CHANNEL, "b", at=NOON + DAY)])
    report = vault.publish_discoveries()
    assert (report.rows_added, report.parts_merged) == (1, 0)
    assert report.problems[0].startswith(f"{FIRST} could not be published, its rows stay staged")
    assert vault.health_check()["unreadable"] == list(vault.verify().problems)
    with pytest.raises(UnreadableFileError, match="date=2026-01-30"):
        vault.read_discoveries()
    assert len(vault.read_discoveries(start=NOON + DAY)) == 2
    repaired = vault.repair()
    (aside,) = repaired.quarantined
    assert repaired.lost == (f"the rows of {FIRST}, which is kept as {aside}, are in no other layer",)
    assert (repaired.problems, vault.verify().problems) == ((), ())
    assert (vault.publish_discoveries().rows_added, len(vault.read_discoveries())) == (1, 3)
    (root / FIRST).write_bytes((root / SECOND).read_bytes())
    assert vault.verify().problems == (f"{FIRST} holds rows of another day",)


def test_a_day_that_no_reader_would_take_is_not_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = ParquetVaultHook(root=root)
    for each in "abc":
        vault.stage_discoveries(named(CHANNEL, each))
    layer = _with_rows(2)
    monkeypatch.setattr(discoveries, "LAYER", layer)
    report = vault.publish_discoveries()
    assert (report.parts_merged, report.complete) == (0, False)
    assert "A day of discoveries holds up to 2 rows, not 3" in report.problems[0]
    monkeypatch.undo()
    assert vault.publish_discoveries().rows_added == 3


def _with_rows(most: int) -> period_files.PeriodLayer:
    return replace(discoveries.LAYER, bounds=replace(discoveries.LAYER.bounds, rows=most))


def test_rows_are_merged_in_any_order_to_the_same(root: Path) -> None:
    together = [
        discoveries.table_of(named(origin, *ids, at=NOON + turn * HOUR, run=f"r{turn}"))
        for turn, (origin, ids) in enumerate([(CHANNEL, "ab"), (CHART, "ba"), (CHANNEL, "bca"), (SEARCH, "a")])
    ]
    once = discoveries.LAYER.merged(together)
    assert once.num_rows == 6

    def merged(parts: Iterable[pa.Table]) -> pa.Table:
        known = discoveries.SCHEMA.empty_table()
        for each in parts:
            known = discoveries.LAYER.merged([known, each])
        return known

    assert merged(together).equals(once)
    assert merged(reversed(together)).equals(once)
    assert merged([*together, *together]).equals(once)
