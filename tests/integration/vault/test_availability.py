"""Since when a video is gone is data: each event once, in the month in which it was found, and none is lost."""

import json
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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

from ghost_tracking.core.absence import AvailabilityEvent
from ghost_tracking.core.partitions import Period
from ghost_tracking.errors import BadInputError, FileChangedError, UnreadableFileError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.availability import Availability
from ghost_tracking.vault.storage import LocalStorage

MISSED = datetime(2026, 1, 30, 10, tzinfo=UTC)
CONFIRMED = MISSED + timedelta(hours=25)
BACK = MISSED + timedelta(days=30)
JANUARY, FEBRUARY, MARCH = (layout.availability(Period.parse(f"2026-0{month}")) for month in (1, 2, 3))


def gone(video_id: str, at: datetime = CONFIRMED) -> AvailabilityEvent:
    return AvailabilityEvent(video_id, MISSED, at)


def returned(video_id: str, at: datetime = BACK) -> AvailabilityEvent:
    return AvailabilityEvent(video_id, MISSED, CONFIRMED, at)


def rows(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(frame[["video_id", "state"]].itertuples(index=False, name=None))


def test_events_are_read_once_staged_or_published_and_stand_in_their_month(vault: ParquetVaultHook) -> None:
    assert vault.stage_availability([]) is None
    assert vault.publish_availability().as_dict()["parts_merged"] == 0
    assert vault.read_availability().empty
    vault.stage_availability([gone("b"), gone("a"), gone("b")])
    vault.stage_availability([gone("a"), returned("a")])
    expected = [("a", "gone"), ("a", "returned"), ("b", "gone")]
    assert rows(vault.read_availability()) == expected
    assert vault.health_check()["staged_availability"] == 2

    report = vault.publish_availability()

    assert (report.rows_added, report.parts_merged, report.complete) == (3, 2, True)
    assert vault.publish_availability() == type(report)()
    vault.stage_availability([returned("a")])
    assert rows(vault.read_availability()) == expected
    assert (vault.publish_availability().rows_added, len(vault.read_availability())) == (0, 3)
    vault.stage_availability([gone("0", CONFIRMED + timedelta(hours=1)), returned("c")])
    assert vault.publish_availability().rows_added == 2
    frame = vault.read_availability()
    assert rows(frame) == [("0", "gone"), *expected, ("c", "returned")]
    assert frame.loc[2, ["first_missed_at", "confirmed_at", "returned_at"]].to_list() == [MISSED, CONFIRMED, BACK]
    assert pd.isna(frame.loc[1, "returned_at"])
    assert str(frame["returned_at"].dtype) == "datetime64[us, UTC]"
    assert rows(vault.read_availability(["a"], start=BACK)) == [("a", "returned")]
    assert rows(vault.read_availability(end=BACK)) == [("0", "gone"), ("a", "gone"), ("b", "gone")]
    assert rows(vault.read_availability(["absent"])) == []
    health = vault.health_check()
    assert (health["ok"], health["layers"]["availability"]["events"]) == (True, 5)
    assert health["layers"]["availability"]["files"] == 2
    assert (health["bytes"], health["staged_availability"]) == (health["layers"]["availability"]["bytes"], 0)
    assert vault.verify().problems == ()


def test_a_return_may_not_know_since_when_the_video_was_gone(vault: ParquetVaultHook) -> None:
    vault.stage_availability([AvailabilityEvent("a", None, None, BACK)])
    assert vault.publish_availability().complete
    assert vault.read_availability()["first_missed_at"].isna().to_list() == [True]
    with pytest.raises(ValueError, match="a is gone, but since when is not said"):
        AvailabilityEvent("a", None, CONFIRMED)
    with pytest.raises(ValueError, match="a: a time without a time zone"):
        gone("a", datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(BadInputError, match="no time zone"):
        vault.read_availability(start=datetime(2026, 1, 1))  # noqa: DTZ001


def test_two_publish_at_once(vault_root: Path | ObjectStoragePath) -> None:
    hooks = [ParquetVaultHook(root=vault_root, lock_timeout=30) for _ in range(2)]

    def work(number: int) -> None:
        for turn in range(5):
            hooks[number].stage_availability([gone(f"v{number}-{turn}"), gone("both"), returned(f"v{number}-{turn}")])
            hooks[number].publish_availability()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    assert hooks[0].publish_availability().complete
    assert len(hooks[0].read_availability()) == 21
    assert hooks[0].health_check()["staged_availability"] == 0
    assert hooks[0].verify().problems == ()


def test_a_month_goes_when_all_of_it_is_past_its_age(vault: ParquetVaultHook) -> None:
    vault.stage_availability([gone("a"), returned("a"), returned("b")])
    vault.publish_availability()
    february = datetime(2026, 2, 1, tzinfo=UTC)
    assert vault.expire(february - timedelta(seconds=1), dry_run=False).availability == 0
    assert vault.expire(february).availability == 1
    assert len(vault.read_availability()) == 3
    assert vault.expire(february, dry_run=False).availability == 1
    assert rows(vault.read_availability()) == [("a", "returned"), ("b", "returned")]
    assert vault.expire(BACK + timedelta(days=99), dry_run=False).availability == 2
    assert vault.health_check()["layers"]["availability"]["files"] == 0


def test_any_program_reads_the_folder(root: Path) -> None:
    vault = ParquetVaultHook(root=root)
    vault.stage_availability([gone("a"), returned("a")])
    vault.publish_availability()
    folder = root / "availability"
    frame = pd.read_parquet(folder)
    assert frame[["video_id", "state", "month"]].astype(str).to_numpy().tolist() == [
        ["a", "gone", "2026-01"],
        ["a", "returned", "2026-03"],
    ]
    assert frame["confirmed_at"].to_list() == [CONFIRMED, CONFIRMED]
    assert pl.read_parquet(folder / "**/*.parquet")["state"].to_list() == ["gone", "returned"]
    query = f"SELECT state, month, epoch(returned_at) FROM '{folder}/*/*.parquet' ORDER BY 1"
    assert duckdb.sql(query).fetchall() == [("gone", "2026-01", None), ("returned", "2026-03", BACK.timestamp())]
    encodings = {
        each
        for path in folder.rglob("*.parquet")
        for column in range(5)
        for each in pq.read_metadata(path).row_group(0).column(column).encodings
    }
    assert encodings <= {"PLAIN", "RLE", "RLE_DICTIONARY"}


def test_a_broken_part_is_set_aside_and_stops_no_other(root: Path) -> None:
    vault = ParquetVaultHook(root=root)
    whole = root / str(vault.stage_availability([gone("a")]))
    cut, foreign = (whole.with_name(f"20260101T000000000000-0123456789a{x}.part") for x in "bc")
    cut.write_bytes(whole.read_bytes()[:-9])
    pq.write_table(pa.table({"video_id": ["x"]}), foreign)
    assert rows(vault.read_availability()) == [("a", "gone")]
    report = vault.publish_availability()
    assert (report.rows_added, report.parts_merged, len(report.quarantined)) == (1, 1, 2)
    assert f"{cut.name} is not an intact Parquet file" in report.problems[0]
    assert f"{foreign.name} has other columns" in report.problems[1]
    assert all((root / aside).exists() for aside in report.quarantined)
    assert json.dumps(report.as_dict())
    assert vault.publish_availability().complete


def test_a_broken_month_is_named_and_keeps_its_events_staged(root: Path) -> None:
    vault = ParquetVaultHook(root=root)
    vault.stage_availability([gone("a"), returned("a")])
    vault.publish_availability()
    whole = (root / JANUARY).read_bytes()
    (root / JANUARY).write_bytes(whole[:-9])
    vault.stage_availability([gone("b"), returned("b")])
    report = vault.publish_availability()
    assert (report.rows_added, report.parts_merged) == (1, 0)
    assert report.problems[0].startswith(f"{JANUARY} could not be published, its events stay staged")
    assert vault.health_check()["unreadable"] == list(vault.verify().problems)
    with pytest.raises(UnreadableFileError, match="month=2026-01"):
        vault.read_availability()
    assert rows(vault.read_availability(start=BACK)) == [("a", "returned"), ("b", "returned")]
    (root / JANUARY).write_bytes(whole)
    assert (vault.publish_availability().rows_added, len(vault.read_availability())) == (1, 4)
    shutil.copy(root / MARCH, root / JANUARY)
    assert vault.verify().problems == (f"{JANUARY} holds events of another month",)
    table = pq.ParquetFile(root / MARCH).read()
    pq.write_table(pa.concat_tables([table, table]), root / MARCH, store_schema=False)
    assert "has one of its events twice" in vault.verify().problems[1]


def test_a_repair_sets_a_broken_month_aside_and_puts_another_in_order(root: Path) -> None:
    vault = ParquetVaultHook(root=root)
    vault.stage_availability([gone("a"), returned("a"), returned("b")])
    vault.publish_availability()
    (root / JANUARY).write_bytes((root / JANUARY).read_bytes()[:-9])
    table = pq.ParquetFile(root / MARCH).read()
    pq.write_table(pa.concat_tables([table.slice(1), table]), root / MARCH, store_schema=False)
    vault.stage_availability([gone("c")])
    report = vault.repair()
    (aside,) = report.quarantined
    assert (root / aside).exists()
    assert report.lost == (f"the events of {JANUARY}, which is kept as {aside}, are in no other layer",)
    assert report.problems == vault.verify().problems == ()
    assert vault.publish_availability().complete
    assert rows(vault.read_availability()) == [("a", "returned"), ("b", "returned"), ("c", "gone")]
    pq.write_table(pa.table({"video_id": ["x"]}), root / MARCH)
    (problem,) = vault.repair().problems
    assert problem.startswith(f"{MARCH} has other columns")
    assert problem.endswith("it is left as it is")


class Failing(LocalStorage):
    """Fails at the n-th step of what it is asked, before or after it is done."""

    def __init__(self, root: Path, at: int) -> None:
        super().__init__(root, layout.SCRATCH)
        self.steps = 0
        self._at = at

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self._at:
            raise KeyboardInterrupt

    def read(self, key: str, *, last: int | None = None) -> Any:
        self._step()
        return super().read(key, last=last)

    def sync(self, key: str) -> None:
        self._step()
        super().sync(key)

    def delete(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            self._step()
            super().delete([key])

    def _write_scratch(self, data: bytes) -> Path:
        self._step()
        return super()._write_scratch(data)

    def _install(self, source: Path, key: str) -> None:
        self._step()
        super()._install(source, key)
        self._step()


def test_a_publisher_stopped_at_any_step_loses_nothing_and_doubles_nothing(root: Path, tmp_path: Path) -> None:
    vault = ParquetVaultHook(root=root)
    vault.stage_availability([gone("a"), returned("a")])
    vault.publish_availability()
    vault.stage_availability([gone("b"), gone("a"), returned("b")])
    vault.stage_availability([gone("c", CONFIRMED + timedelta(days=2)), gone("b")])
    expected = vault.read_availability()
    assert len(expected) == 5
    counted = Failing(shutil.copytree(root, tmp_path / "counted"), 0)
    Availability(counted, 1).publish()
    assert counted.steps > 10
    for step in range(1, counted.steps + 1):
        copy = shutil.copytree(root, tmp_path / f"stopped{step}")
        with pytest.raises(KeyboardInterrupt):
            Availability(Failing(copy, step), 1).publish()
        again = ParquetVaultHook(root=copy)
        pd.testing.assert_frame_equal(again.read_availability(), expected)
        assert again.publish_availability().complete, step
        pd.testing.assert_frame_equal(again.read_availability(), expected)
        assert (again.health_check()["staged_availability"], again.verify().problems) == (0, ()), step
        assert {path.parent.name for path in (copy / "availability").rglob("*.parquet")} == {
            "month=2026-01",
            "month=2026-02",
            "month=2026-03",
        }


class Refusing(LocalStorage):
    """A disk that fails, at one verb."""

    def __init__(self, root: Path, verb: str, error: Exception) -> None:
        super().__init__(root, layout.SCRATCH)
        self._refused, self._error = verb, error

    def __getattribute__(self, name: str) -> Any:
        if name == object.__getattribute__(self, "__dict__").get("_refused"):
            raise object.__getattribute__(self, "_error")
        return super().__getattribute__(name)


@pytest.mark.parametrize("verb", ["read", "replace", "children", "delete", "lock"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), FileChangedError()])
def test_a_storage_that_fails_leaves_every_event(
    root: Path, verb: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ghost_tracking.vault.kit.manifests.ATTEMPTS", 1)
    vault = ParquetVaultHook(root=root)
    vault.stage_availability([gone("a"), returned("a")])
    expected = vault.read_availability()
    with suppress(type(error)):
        assert not Availability(Refusing(root, verb, error), 1).publish().complete
    pd.testing.assert_frame_equal(vault.read_availability(), expected)
    assert vault.publish_availability().complete
    pd.testing.assert_frame_equal(vault.read_availability(), expected)
